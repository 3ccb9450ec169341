//! Rows of transactions that wait for their outcome: a little in memory, any amount in a file.
//!
//! ```text
//! group 'a'    block 0, block 3, block 4   then the end of it in memory
//! group 'b'    block 1
//! free         block 2
//! file         │ a │ b │   │ a │ a │      nobody finds it again: it is deleted as soon as it is open
//! ```
//!
//! When what all groups have in memory exceeds [`MEMORY_MAX`], all of it goes to the file. Blocks of groups that have ended are
//! used again, so that the file grows no larger than what waits at the same time. The file keeps nothing over a
//! restart: what is held is not delivered, and is read again from the binlog.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::Fault;
use super::event::Header;

/// Bytes of held rows in memory, of all groups together.
const MEMORY_MAX: usize = 8 << 20;
/// Smaller groups leave the rest of a block unused; a file system stores no bytes that were never written.
const BLOCK_BYTES: usize = 256 << 10;

/// Events of one transaction: table maps and rows events of captured tables.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Number of each block, and how much of it is used.
    blocks: VecDeque<(u64, usize)>,
    /// What comes behind the blocks.
    memory: Vec<u8>,
    /// In their order, with the bytes of their names.
    savepoints: Vec<Savepoint>,
    savepoint_bytes: usize,
}

/// How much there was at a savepoint.
#[derive(Debug)]
struct Savepoint {
    /// As it is written.
    name: String,
    bytes: usize,
    row_events: u64,
}

/// Among so many of the last savepoints, one of the same name is found.
const SAVEPOINTS_LOOKED_AT: usize = 64;

impl Savepoint {
    fn weight(&self) -> usize {
        size_of::<Savepoint>() + self.name.len()
    }
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.memory.is_empty()
    }

    /// Of rows.
    fn bytes(&self) -> usize {
        self.blocks.iter().map(|(_, used)| used).sum::<usize>() + self.memory.len()
    }

    /// What waits, with what has to be known of it.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.bytes() + self.savepoint_bytes
    }

    /// One takes the place of another of its name, of which the last ones are looked at: a statement in a loop sets the same few. Those behind
    /// it stay.
    pub(super) fn set_savepoint(&mut self, name: &str, row_events: u64) {
        let bytes = self.bytes();
        let first = self.savepoints.len().saturating_sub(SAVEPOINTS_LOOKED_AT);
        if let Some(index) = self.savepoints[first..].iter().rposition(|savepoint| savepoint.name == name) {
            let before = self.savepoints.remove(first + index);
            self.savepoint_bytes -= before.weight();
        }
        let savepoint = Savepoint { name: name.to_owned(), bytes, row_events };
        self.savepoint_bytes += savepoint.weight();
        self.savepoints.push(savepoint);
    }
}

/// An event that was held.
pub(super) struct HeldEvent {
    pub header: Header,
    /// Rows events of the XA transaction up to this one.
    pub row_events: u64,
}

/// The memory and the file of all groups.
#[derive(Debug)]
pub(super) struct Held {
    folder: PathBuf,
    file: Option<File>,
    block_count: u64,
    free: Vec<u64>,
    memory: usize,
    memory_max: usize,
}

impl Held {
    /// The file, if one is needed, is made in `folder`.
    pub(super) fn new(folder: PathBuf) -> Held {
        Held { folder, file: None, block_count: 0, free: Vec::new(), memory: 0, memory_max: MEMORY_MAX }
    }

    #[cfg(test)]
    pub(super) fn set_memory_max(&mut self, bytes: usize) {
        self.memory_max = bytes;
    }

    /// Adds an event. If [`Held::is_over`] then, all groups should go to the file.
    pub(super) fn push(&mut self, group: &mut Group, header: &Header, row_events: u64, body: &[u8]) {
        let before = group.memory.len();
        let memory = &mut group.memory;
        memory.extend_from_slice(&row_events.to_le_bytes());
        memory.extend_from_slice(&(body.len() as u32).to_le_bytes());
        memory.extend_from_slice(&header.timestamp_s.to_le_bytes());
        memory.extend_from_slice(&header.server_id.to_le_bytes());
        memory.extend_from_slice(&header.flags.to_le_bytes());
        memory.push(header.kind);
        memory.extend_from_slice(body);
        self.memory += memory.len() - before;
    }

    pub(super) fn is_over(&self) -> bool {
        self.memory > self.memory_max
    }

    /// Moves what a group has in memory to the file.
    pub(super) fn write_out(&mut self, group: &mut Group) -> Result<(), Fault> {
        let bytes = std::mem::take(&mut group.memory);
        self.memory -= bytes.len();
        let failed = |folder: &PathBuf| {
            let folder = folder.clone();
            move |error| Fault::Held { folder, error }
        };
        for part in bytes.chunks(BLOCK_BYTES) {
            let file = match &self.file {
                Some(file) => file,
                None => self.file.insert(nameless_file(&self.folder).map_err(failed(&self.folder))?),
            };
            let block = self.free.pop().unwrap_or(self.block_count);
            file.write_all_at(part, block * BLOCK_BYTES as u64).map_err(failed(&self.folder))?;
            self.block_count = self.block_count.max(block + 1);
            group.blocks.push_back((block, part.len()));
        }
        Ok(())
    }

    /// Drops what came behind the savepoint, and gives the number of rows events before it. `None` if it has none of that name, or
    /// it is not certain which: beyond ASCII, each version has rules of its own for which names are one.
    pub(super) fn roll_back_to(&mut self, group: &mut Group, name: &str) -> Option<u64> {
        let may_be = |known: &str| known.eq_ignore_ascii_case(name) || !known.is_ascii() || !name.is_ascii();
        let index = group.savepoints.iter().rposition(|savepoint| may_be(&savepoint.name))?;
        let Savepoint { name: known, bytes, row_events } = &group.savepoints[index];
        if known != name && !(known.is_ascii() && name.is_ascii()) {
            return None;
        }
        let (bytes, row_events) = (*bytes, *row_events);
        // It is still there, those behind it are not.
        group.savepoint_bytes -= group.savepoints[index + 1..].iter().map(Savepoint::weight).sum::<usize>();
        group.savepoints.truncate(index + 1);
        let mut surplus = group.bytes() - bytes;
        let in_memory = surplus.min(group.memory.len());
        group.memory.truncate(group.memory.len() - in_memory);
        self.memory -= in_memory;
        surplus -= in_memory;
        while surplus > 0
            && let Some((block, used)) = group.blocks.pop_back()
        {
            let dropped = surplus.min(used);
            surplus -= dropped;
            if dropped == used {
                self.free.push(block);
            } else {
                group.blocks.push_back((block, used - dropped));
            }
        }
        Some(row_events)
    }

    /// A group whose rows nobody will want.
    pub(super) fn drop_group(&mut self, group: Group) {
        self.memory -= group.memory.len();
        self.free.extend(group.blocks.iter().map(|(block, _)| block));
    }

    pub(super) fn read(&mut self, group: Group) -> Reader {
        Reader { group, part: Vec::new(), read: 0 }
    }
}

/// In the folder, and deleted from it: it ends with its last user, however that ends.
fn nameless_file(folder: &Path) -> io::Result<File> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("held-rows.{}.{number}", std::process::id()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Reads a group back, once. Its memory and blocks become free on the way.
#[derive(Debug)]
pub(super) struct Reader {
    group: Group,
    /// The block being read, or what was in memory.
    part: Vec<u8>,
    read: usize,
}

/// What stands before the body: see [`Held::push`].
const HEAD_BYTES: usize = 8 + 4 + 4 + 4 + 2 + 1;

impl Reader {
    /// The next event; its body replaces what is in `body`.
    pub(super) fn next(&mut self, held: &mut Held, body: &mut Vec<u8>) -> Result<Option<HeldEvent>, Fault> {
        if self.read == self.part.len() && !self.next_part(held)? {
            return Ok(None);
        }
        let mut head = [0; HEAD_BYTES];
        self.take(held, &mut head)?;
        let mut input = super::event::Input::new(&head);
        let (row_events, body_bytes) = (input.u64()?, input.u32()?);
        let (timestamp_s, server_id, flags, kind) = (input.u32()?, input.u32()?, input.u16()?, input.u8()?);
        body.clear();
        body.resize(body_bytes as usize, 0);
        self.take(held, body)?;
        let header = Header { timestamp_s, kind, server_id, size: 0, end_low32: 0, flags };
        Ok(Some(HeldEvent { header, row_events }))
    }

    fn take(&mut self, held: &mut Held, mut out: &mut [u8]) -> Result<(), Fault> {
        while !out.is_empty() {
            if self.read == self.part.len() && !self.next_part(held)? {
                let error = io::ErrorKind::UnexpectedEof.into();
                return Err(Fault::Held { folder: held.folder.clone(), error });
            }
            let taken = out.len().min(self.part.len() - self.read);
            let (now, later) = out.split_at_mut(taken);
            now.copy_from_slice(&self.part[self.read..self.read + taken]);
            self.read += taken;
            out = later;
        }
        Ok(())
    }

    fn next_part(&mut self, held: &mut Held) -> Result<bool, Fault> {
        self.read = 0;
        let Some((block, bytes)) = self.group.blocks.pop_front() else {
            self.part = std::mem::take(&mut self.group.memory);
            held.memory -= self.part.len();
            return Ok(!self.part.is_empty());
        };
        self.part.resize(bytes, 0);
        let file = held.file.as_ref().ok_or(io::ErrorKind::NotFound.into());
        let read = file.and_then(|file| file.read_exact_at(&mut self.part, block * BLOCK_BYTES as u64));
        read.map_err(|error| Fault::Held { folder: held.folder.clone(), error })?;
        held.free.push(block);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: u8) -> Header {
        Header { timestamp_s: 7, kind, server_id: 9, size: 0, end_low32: 0, flags: 3 }
    }

    /// Groups that grow in turns, of which some end before others: each comes back as it went in, and the file is no larger
    /// than what was held at the same time.
    #[test]
    fn groups_come_back_as_they_went_in() {
        let folder = tempfile::tempdir().unwrap();
        let mut held = Held::new(folder.path().to_owned());
        held.set_memory_max(100_000);
        let mut random = fastrand::Rng::with_seed(5);
        type Events = Vec<(u64, Vec<u8>)>;
        let mut groups: Vec<(Group, Events)> = Vec::new();
        let mut live_max = 0;
        for step in 0..400_u64 {
            if groups.len() < 5 {
                groups.push(Default::default());
            }
            let (group, events) = {
                let index = random.usize(..groups.len());
                &mut groups[index]
            };
            let size = if step % 40 == 0 { random.usize(..1 << 20) } else { random.usize(..20_000) };
            let body: Vec<u8> = (0..size).map(|_| random.u8(..)).collect();
            held.push(group, &header(30), step, &body);
            events.push((step, body));
            if held.is_over() {
                groups.iter_mut().for_each(|(group, _)| held.write_out(group).unwrap());
                assert_eq!(held.memory, 0);
            }
            live_max = live_max.max(groups.iter().flat_map(|(_, events)| events).map(|(_, body)| body.len()).sum());
            if step % 7 == 6 {
                let (group, events) = groups.swap_remove(random.usize(..groups.len()));
                if step % 2 == 0 {
                    held.drop_group(group);
                    continue;
                }
                let (mut reader, mut body) = (held.read(group), Vec::new());
                for (row_events, expected) in events {
                    let event = reader.next(&mut held, &mut body).unwrap().unwrap();
                    assert_eq!((event.row_events, event.header.kind, event.header.timestamp_s), (row_events, 30, 7));
                    assert!(body == expected, "step {step}");
                }
                assert!(reader.next(&mut held, &mut body).unwrap().is_none());
            }
        }
        groups.into_iter().for_each(|(group, _)| held.drop_group(group));
        assert_eq!((held.memory, held.free.len() as u64), (0, held.block_count));
        // Every write-out of a group leaves at most one block partly used, of which five groups have a few each.
        let file_bytes = held.block_count as usize * BLOCK_BYTES;
        assert!(file_bytes < 8 * live_max, "{file_bytes} bytes for {live_max}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
    }

    /// Whether what is dropped is in memory, in the file, or in both.
    #[test]
    fn what_came_behind_a_savepoint_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        for (is_written, more_is_written) in [(false, false), (true, false), (true, true), (false, true)] {
            let mut held = Held::new(folder.path().to_owned());
            let mut group = Group::default();
            held.push(&mut group, &header(19), 0, b"map");
            group.set_savepoint("`a`", 0);
            held.push(&mut group, &header(30), 1, &[7; 300_000]);
            group.set_savepoint("`A b`", 1);
            if is_written {
                held.write_out(&mut group).unwrap();
            }
            let kept = group.bytes();
            held.push(&mut group, &header(30), 2, &[8; 600_000]);
            group.set_savepoint("`c`", 2);
            held.push(&mut group, &header(30), 3, &[9; 10]);
            if more_is_written {
                held.write_out(&mut group).unwrap();
            }
            assert_eq!(held.roll_back_to(&mut group, "`a B`"), Some(1));
            assert_eq!(group.bytes(), kept);
            assert_eq!(held.roll_back_to(&mut group, "`c`"), None);
            held.push(&mut group, &header(30), 4, b"behind");
            let (mut reader, mut body) = (held.read(group), Vec::new());
            for (row_events, expected) in [(0, b"map".to_vec()), (1, vec![7; 300_000]), (4, b"behind".to_vec())] {
                let event = reader.next(&mut held, &mut body).unwrap().unwrap();
                assert!(event.row_events == row_events && body == expected, "{row_events}");
            }
            assert!(reader.next(&mut held, &mut body).unwrap().is_none());
            assert_eq!((held.memory, held.free.len() as u64), (0, held.block_count));
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let mut held = Held::new("/nonexistent/state".into());
        let mut group = Group::default();
        held.push(&mut group, &header(30), 1, &[1]);
        let error = held.write_out(&mut group).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/state") && error.contains("No such file"), "{error}");
    }
}
