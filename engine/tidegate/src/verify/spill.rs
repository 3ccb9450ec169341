//! What both sides have said, on disk, in parts of which each fits into memory.
//!
//! ```text
//! rows of the source ─┐    hash of table and key
//! messages ───────────┼──► bucket 0   ▓▓▓▓▓▓▓▓
//!                     │    bucket 1   ▓▓▓▓▓▓       one file each, appended to; read whole, one after the other, and
//!                     └──► …          ▓▓▓▓▓▓▓▓▓    the larger ones in as many passes as it takes
//! ```
//!
//! All that was said of a key is in one bucket, in the order in which it was said. A record has some 45 bytes and the key: a row of a
//! table with an integer key and its message take 110 together.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::target::{Hash, Shape};

/// Files that are open at the same time: a fraction of the 1024 that a process may have.
const BUCKETS: usize = 256;
/// Of each file, before it is written.
const BUFFER_BYTES: usize = 16 << 10;
/// What is held of a bucket at a time.
const PASS_BYTES: u64 = 32 << 20;

/// What a message leaves of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Gone,
    Row {
        shape: Shape,
        hash: Hash,
        /// It may not be the whole row, or what follows it may be missing, because of its size.
        is_large: bool,
    },
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
        is_large: bool,
        /// Of each shape.
        hashes: Vec<Option<Hash>>,
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
        Ok(Spill { buckets: buckets?, bytes: AtomicU64::new(0) })
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

    /// Gives all that was said to `take`, key by key, each with its words in the order in which they were said.
    /// `disk` is what becomes of an error of reading.
    pub(super) fn each_key<E>(
        &self,
        disk: impl Fn(io::Error) -> E,
        mut take: impl FnMut(u32, &[u8], &mut dyn Iterator<Item = Word>) -> Result<(), E>,
    ) -> Result<(), E> {
        for bucket in &self.buckets {
            let mut bucket = bucket.lock().expect("nobody panics while writing");
            bucket.flush().map_err(&disk)?;
            let file = bucket.get_mut();
            let passes = file.metadata().map_err(&disk)?.len().div_ceil(PASS_BYTES);
            for pass in 0..passes {
                let is_wanted = |target, key: &[u8]| (hash(target, key) / BUCKETS as u64) % passes == pass;
                let records = read(file, is_wanted).map_err(&disk)?;
                records.each_key(&mut take)?;
            }
        }
        Ok(())
    }
}

fn read(file: &mut File, is_wanted: impl Fn(u32, &[u8]) -> bool) -> io::Result<Records> {
    file.rewind()?;
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut records = Records::default();
    let mut head = [0; HEAD_BYTES];
    loop {
        match file.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(records),
            result => result?,
        }
        let at = records.bytes.len();
        let (key_bytes, word_bytes) = (number(&head[4..8]), number(&head[8..12]));
        records.bytes.extend_from_slice(&head);
        records.bytes.resize(at + HEAD_BYTES + key_bytes + word_bytes, 0);
        file.read_exact(&mut records.bytes[at + HEAD_BYTES..])?;
        let (target, key) = records.key(at);
        match is_wanted(target, key) {
            true => records.starts.push(at),
            false => records.bytes.truncate(at),
        }
    }
}

fn hash(target: u32, key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, target.into())
}

fn number(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes.try_into().expect("four bytes")) as usize
}

/// Target, bytes of the key, bytes of the word.
const HEAD_BYTES: usize = 12;

#[derive(Default)]
struct Records {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Records {
    fn key(&self, at: usize) -> (u32, &[u8]) {
        let begin = at + HEAD_BYTES;
        (number(&self.bytes[at..at + 4]) as u32, &self.bytes[begin..begin + number(&self.bytes[at + 4..at + 8])])
    }

    fn word(&self, at: usize) -> Word {
        let begin = at + HEAD_BYTES + number(&self.bytes[at + 4..at + 8]);
        decode(&self.bytes[begin..begin + number(&self.bytes[at + 8..at + 12])])
    }

    fn each_key<E>(
        mut self,
        take: &mut impl FnMut(u32, &[u8], &mut dyn Iterator<Item = Word>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut starts = std::mem::take(&mut self.starts);
        // What was said of one key stays in its order.
        starts.sort_by(|one, other| self.key(*one).cmp(&self.key(*other)));
        for of_key in starts.chunk_by(|one, other| self.key(*one) == self.key(*other)) {
            let (target, key) = self.key(of_key[0]);
            take(target, key, &mut of_key.iter().map(|&at| self.word(at)))?;
        }
        Ok(())
    }
}

const ROW: u8 = 0;
const TOLD_GONE: u8 = 1;
const TOLD_ROW: u8 = 2;

fn encode(target: u32, key: &[u8], word: &Word, out: &mut Vec<u8>) {
    out.extend_from_slice(&target.to_le_bytes());
    out.extend_from_slice(&(key.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(key);
    let begin = out.len();
    match word {
        Word::Row { source, attempt, is_large, hashes } => {
            out.extend_from_slice(&[ROW, u8::from(*is_large)]);
            out.extend_from_slice(&source.to_le_bytes());
            out.extend_from_slice(&attempt.to_le_bytes());
            for hash in hashes {
                out.push(hash.is_some().into());
                out.extend_from_slice(&hash.unwrap_or(0).to_le_bytes());
            }
        }
        Word::Told { partition, at_ms, is_later, state } => {
            let kind = if *state == State::Gone { TOLD_GONE } else { TOLD_ROW };
            out.extend_from_slice(&[kind, u8::from(*is_later)]);
            out.extend_from_slice(&partition.to_le_bytes());
            out.extend_from_slice(&at_ms.to_le_bytes());
            if let State::Row { shape, hash, is_large } = state {
                out.extend_from_slice(&shape.to_le_bytes());
                out.push((*is_large).into());
                out.extend_from_slice(&hash.to_le_bytes());
            }
        }
    }
    let length = (out.len() - begin) as u32;
    out[8..12].copy_from_slice(&length.to_le_bytes());
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
            is_large: bytes[1] == 1,
            hashes: bytes[8..].chunks(17).map(|one| (one[0] == 1).then(|| Hash::from_le_bytes(part(one, 1)))).collect(),
        },
        kind => Word::Told {
            partition: u32::from_le_bytes(part(bytes, 2)),
            at_ms: i64::from_le_bytes(part(bytes, 6)),
            is_later: bytes[1] == 1,
            state: match kind {
                TOLD_GONE => State::Gone,
                _ => State::Row {
                    shape: u16::from_le_bytes(part(bytes, 14)),
                    hash: Hash::from_le_bytes(part(bytes, 17)),
                    is_large: bytes[16] == 1,
                },
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn all_words_of_a_key_come_together_and_in_order() {
        let parent = tempfile::tempdir().unwrap();
        let spill = Spill::new(parent.path()).unwrap();
        let mut said: BTreeMap<(u32, Vec<u8>), Vec<Word>> = BTreeMap::new();
        for number in 0..20_000_u32 {
            let key = format!("{{\"id\":\"{}\"}}", number % 7_001).into_bytes();
            let word = match number % 3 {
                0 => Word::Row {
                    source: 3,
                    attempt: number,
                    is_large: number % 2 == 0,
                    hashes: vec![Some(number.into()), None, Some(Hash::MAX)],
                },
                1 => Word::Told { partition: number, at_ms: -1, is_later: false, state: State::Gone },
                _ => {
                    let state =
                        State::Row { shape: 7, hash: Hash::MAX - Hash::from(number), is_large: number % 2 == 0 };
                    Word::Told { partition: 5, at_ms: number.into(), is_later: true, state }
                }
            };
            spill.add(number % 2, &key, &word).unwrap();
            said.entry((number % 2, key)).or_default().push(word);
        }
        let mut found = BTreeMap::new();
        let take = |target, key: &[u8], words: &mut dyn Iterator<Item = Word>| {
            assert!(found.insert((target, key.to_vec()), words.collect::<Vec<_>>()).is_none(), "{key:?} came twice");
            Ok::<(), io::Error>(())
        };
        spill.each_key(|error| error, take).unwrap();
        assert!(found == said);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
