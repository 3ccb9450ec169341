//! What both sides have said, on disk, in parts of which each fits into memory.
//!
//! ```text
//! rows of the source ─┐    hash of table and key
//! messages ───────────┼──► bucket 0   ▓▓▓▓▓▓▓▓
//!                     │    bucket 1   ▓▓▓▓▓▓       one file each, appended to; read one after the other, key by key into what is
//!                     └──► …          ▓▓▓▓▓▓▓▓▓    kept of it, and again for the other half of the keys where that is too much
//! ```
//!
//! All that was said of a key is in one bucket, in the order in which it was said. A record has some 45 bytes and the key: a row of a
//! table with an integer key and its message take 110 together. In memory are the keys of a part of a bucket, each with what is kept of it: a key that
//! was told a million times is one.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::target::{Hash, Print, Shape};

/// Files that are open at the same time: a fraction of the 1024 that a process may have.
const BUCKETS: usize = 256;
/// Of each file, before it is written.
const BUFFER_BYTES: usize = 16 << 10;
/// What is held of a bucket at a time, and what a key takes besides its bytes and its rows' words.
const PART_BYTES: usize = 48 << 20;
const KEY_BYTES: usize = 400;

/// What a message leaves of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Gone,
    Row {
        shape: Shape,
        hash: Hash,
        /// What follows it may be missing, because of its size.
        is_large: bool,
        /// The same without the columns that were cut, where some were.
        cut: Option<(Shape, Hash)>,
    },
}

/// How large the messages of a row are for its topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Size {
    #[default]
    Small,
    /// One of them may be too large.
    Large,
    /// Each of them that has the row is too large.
    TooLarge,
}

/// Something that was said of a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    /// The source has such a row.
    Row {
        /// Which of the tables that have this name.
        source: u16,
        /// How often reading the table had begun.
        attempt: u32,
        size: Size,
        /// Of each shape.
        prints: Vec<Option<Print>>,
    },
    /// A message told of it.
    Told {
        /// Among all partitions.
        partition: u32,
        /// When it was written, in milliseconds since 1970.
        at_ms: i64,
        /// After the source's rows began to be read.
        is_later: bool,
        state: State,
    },
}

/// Files without names: whatever ends the process, nothing of them is left.
pub(super) struct Spill {
    buckets: Vec<Mutex<BufWriter<File>>>,
    bytes: AtomicU64,
    /// See [`PART_BYTES`].
    part_bytes: usize,
}

impl Spill {
    /// In `parent`, for this user alone: keys are values.
    pub(super) fn new(parent: &Path) -> io::Result<Spill> {
        let folder = parent.join(format!("verify-{}", std::process::id()));
        // One may be left of a process that had this number, and was killed in the middle of this.
        _ = fs::remove_dir_all(&folder);
        DirBuilder::new().mode(0o700).create(&folder)?;
        let file = |index: usize| {
            let file =
                OpenOptions::new().read(true).write(true).create_new(true).open(folder.join(index.to_string()))?;
            Ok(Mutex::new(BufWriter::with_capacity(BUFFER_BYTES, file)))
        };
        let buckets = (0..BUCKETS).map(file).collect::<io::Result<_>>();
        fs::remove_dir_all(&folder)?;
        Ok(Spill { buckets: buckets?, bytes: AtomicU64::new(0), part_bytes: PART_BYTES })
    }

    /// Written so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    pub(super) fn add(&self, target: u32, key: &[u8], word: &Word) -> io::Result<()> {
        let mut record = Vec::with_capacity(80 + key.len());
        encode(target, key, word, &mut record);
        self.bytes.fetch_add(record.len() as u64, Relaxed);
        let bucket = hash(target, key) % BUCKETS as u64;
        self.buckets[bucket as usize].lock().expect("nobody panics while writing").write_all(&record)
    }

    /// Gives what is kept of each key to `take`: what `begin` makes of a target, with all words by `add`, in the order in which they were said.
    /// `disk` is what becomes of an error of reading.
    pub(super) fn each_key<T, E>(
        &self,
        begin: impl Fn(u32) -> T,
        add: impl Fn(&mut T, Word),
        disk: impl Fn(io::Error) -> E,
        mut take: impl FnMut(u32, &[u8], T) -> Result<(), E>,
    ) -> Result<(), E> {
        for bucket in &self.buckets {
            let mut bucket = bucket.lock().expect("nobody panics while writing");
            bucket.flush().map_err(&disk)?;
            // Those keys whose hash has this rest by this divisor.
            let mut parts = vec![(1, 0)];
            while let Some((mut divisor, rest)) = parts.pop() {
                let kept = read_part(bucket.get_mut(), &mut divisor, rest, self.part_bytes, &begin, &add, &mut parts);
                let mut kept: Vec<(Vec<u8>, T)> = kept.map_err(&disk)?.into_iter().collect();
                kept.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
                for (name, words) in kept {
                    let (target, key) = target_and_key(&name);
                    take(target, key, words)?;
                }
            }
        }
        Ok(())
    }
}

/// Keys of a part, and what is kept of them. One that is too much for memory is divided: the other half is one of `parts`.
fn read_part<T>(
    file: &mut File,
    divisor: &mut u64,
    rest: u64,
    bytes_max: usize,
    begin: &impl Fn(u32) -> T,
    add: &impl Fn(&mut T, Word),
    parts: &mut Vec<(u64, u64)>,
) -> io::Result<HashMap<Vec<u8>, T>> {
    file.rewind()?;
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut kept: HashMap<Vec<u8>, (usize, T)> = HashMap::new();
    let (mut head, mut record, mut bytes) = ([0; HEAD_BYTES], Vec::new(), 0);
    loop {
        match file.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            result => result?,
        }
        let (name_bytes, word_bytes) = (number(&head[..4]), number(&head[4..]));
        record.resize(name_bytes + word_bytes, 0);
        file.read_exact(&mut record)?;
        let (name, word) = record.split_at(name_bytes);
        let (target, key) = target_and_key(name);
        if part_of(target, key) % *divisor != rest {
            continue;
        }
        let of_word = if word[0] == ROW { word.len() } else { 0 };
        match kept.get_mut(name) {
            Some((size, words)) => {
                *size += of_word;
                bytes += of_word;
                add(words, decode(word));
            }
            None => {
                let mut words = begin(target);
                add(&mut words, decode(word));
                let size = name.len() + KEY_BYTES + of_word;
                bytes += size;
                kept.insert(name.to_vec(), (size, words));
            }
        }
        while bytes > bytes_max && kept.len() > 1 && *divisor < DIVISOR_MAX {
            parts.push((2 * *divisor, rest + *divisor));
            *divisor *= 2;
            kept.retain(|name, _| {
                let (target, key) = target_and_key(name);
                part_of(target, key) % *divisor == rest
            });
            bytes = kept.values().map(|(size, _)| size).sum();
        }
    }
    Ok(kept.into_iter().map(|(name, (_, words))| (name, words)).collect())
}

/// By what the keys of a bucket are divided.
fn part_of(target: u32, key: &[u8]) -> u64 {
    hash(target, key) / BUCKETS as u64
}

fn target_and_key(name: &[u8]) -> (u32, &[u8]) {
    let (target, key) = name.split_at(4);
    (number(target) as u32, key)
}

fn hash(target: u32, key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, target.into())
}

fn number(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes.try_into().expect("four bytes")) as usize
}

/// Bytes of target and key together, and of the word.
const HEAD_BYTES: usize = 8;
/// More parts than there are keys in a bucket.
const DIVISOR_MAX: u64 = 1 << 40;

const ROW: u8 = 0;
const TOLD_GONE: u8 = 1;
const TOLD_ROW: u8 = 2;

const NO_PRINT: u8 = 0;
const PRINT: u8 = 1;
const PRINT_OF_ALL: u8 = 2;

fn encode(target: u32, key: &[u8], word: &Word, out: &mut Vec<u8>) {
    out.extend_from_slice(&(key.len() as u32 + 4).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&target.to_le_bytes());
    out.extend_from_slice(key);
    let begin = out.len();
    match word {
        Word::Row { source, attempt, size, prints } => {
            out.extend_from_slice(&[ROW, *size as u8]);
            out.extend_from_slice(&source.to_le_bytes());
            out.extend_from_slice(&attempt.to_le_bytes());
            for print in prints {
                out.push(print.map_or(NO_PRINT, |print| if print.is_all { PRINT_OF_ALL } else { PRINT }));
                out.extend_from_slice(&print.map_or(0, |print| print.hash).to_le_bytes());
            }
        }
        Word::Told { partition, at_ms, is_later, state } => {
            let kind = if *state == State::Gone { TOLD_GONE } else { TOLD_ROW };
            out.extend_from_slice(&[kind, u8::from(*is_later)]);
            out.extend_from_slice(&partition.to_le_bytes());
            out.extend_from_slice(&at_ms.to_le_bytes());
            if let State::Row { shape, hash, is_large, cut } = state {
                out.push((*is_large).into());
                for (shape, hash) in std::iter::once((shape, hash)).chain(cut.iter().map(|(shape, hash)| (shape, hash)))
                {
                    out.extend_from_slice(&shape.to_le_bytes());
                    out.extend_from_slice(&hash.to_le_bytes());
                }
            }
        }
    }
    let length = (out.len() - begin) as u32;
    out[4..8].copy_from_slice(&length.to_le_bytes());
}

/// Reads what [`encode`] wrote in this process.
fn decode(bytes: &[u8]) -> Word {
    fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
        bytes[at..at + N].try_into().expect("as long as it was written")
    }
    match bytes[0] {
        ROW => Word::Row {
            source: u16::from_le_bytes(part(bytes, 2)),
            attempt: u32::from_le_bytes(part(bytes, 4)),
            size: [Size::Small, Size::Large, Size::TooLarge][usize::from(bytes[1])],
            prints: bytes[8..]
                .chunks(17)
                .map(|one| {
                    let print = Print { hash: Hash::from_le_bytes(part(one, 1)), is_all: one[0] == PRINT_OF_ALL };
                    (one[0] != NO_PRINT).then_some(print)
                })
                .collect(),
        },
        kind => Word::Told {
            partition: u32::from_le_bytes(part(bytes, 2)),
            at_ms: i64::from_le_bytes(part(bytes, 6)),
            is_later: bytes[1] == 1,
            state: match kind {
                TOLD_GONE => State::Gone,
                _ => {
                    let print = |at| (Shape::from_le_bytes(part(bytes, at)), Hash::from_le_bytes(part(bytes, at + 2)));
                    let ((shape, hash), cut) = (print(15), (bytes.len() > 33).then(|| print(33)));
                    State::Row { shape, hash, is_large: bytes[14] == 1, cut }
                }
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Whether all keys of a bucket fit into memory or not.
    #[test]
    fn all_words_of_a_key_come_together_and_in_order() {
        let parent = tempfile::tempdir().unwrap();
        for part_bytes in [PART_BYTES, 10 * KEY_BYTES, 1] {
            let spill = Spill { part_bytes, ..Spill::new(parent.path()).unwrap() };
            let mut said: BTreeMap<(u32, Vec<u8>), Vec<Word>> = BTreeMap::new();
            for number in 0..20_000_u32 {
                let key = format!("{{\"id\":\"{}\"}}", number % 7_001).into_bytes();
                let hash = Hash::MAX - Hash::from(number);
                let word = match number % 3 {
                    0 => Word::Row {
                        source: 3,
                        attempt: number,
                        size: [Size::Small, Size::Large, Size::TooLarge][number as usize % 3],
                        prints: vec![Some(Print { hash, is_all: number % 2 == 0 }), None],
                    },
                    1 => Word::Told { partition: number, at_ms: -1, is_later: false, state: State::Gone },
                    _ => {
                        let cut = (number % 4 == 0).then_some((Shape::MAX, hash - 1));
                        let state = State::Row { shape: 7, hash, is_large: number % 2 == 0, cut };
                        Word::Told { partition: 5, at_ms: number.into(), is_later: true, state }
                    }
                };
                spill.add(number % 2, &key, &word).unwrap();
                said.entry((number % 2, key)).or_default().push(word);
            }
            let mut found = BTreeMap::new();
            let take = |target, key: &[u8], words: Vec<Word>| {
                assert!(found.insert((target, key.to_vec()), words).is_none(), "{key:?} came twice");
                Ok::<(), io::Error>(())
            };
            spill.each_key(|_| Vec::new(), |words, word| words.push(word), |error| error, take).unwrap();
            assert!(found == said, "{part_bytes}");
        }
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
