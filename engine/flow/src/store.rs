//! When may we forget a change? The state folder of a task, and the one file in it.
//!
//! ```text
//! state/shop/
//!   lock         held (flock) while a run uses the folder
//!   checkpoint   tidegate-state 2                                      frames, the first with all entries, each later one with
//!                0000000137 5d41402a 8f14e45f                          those that have changed
//!                ["position"]⇥{"coordinate":…}                            │          │        │
//!                ["chunk","shop","orders",12]⇥["9217","Done",3,3,1000]    │          │        └ CRC-32 of what stands before it
//!                0000000058 7d793037 a0b92382                             │          └ CRC-32 of the body
//!                ["chunk","shop","old"]                                   └ bytes of the body
//! ```
//!
//! Each save appends a frame and syncs the file: it costs what has changed, however much there is. When frames of the past take more
//! than entries that still hold, the file is written anew beside the old one, synced, and renamed over it. So does the first save of each
//! run, and the one after a save that failed: of a file that could not be synced nobody knows what the disk has.
//!
//! A crash can cut off the last frame, whose save nobody has been told of: it ends early, or has zeros where pages were not written, in
//! any order, though the file has its size. It is dropped, with a warning: should somebody have cut off more, as a copy that was
//! interrupted does, nothing else tells. Anything else that cannot be read back exactly is refused with a way out, never ignored,
//! because the only other thing to do would be to start from an earlier state or from nowhere, and rows that were sent since would not
//! be known.
//!
//! Why no embedded database: what is needed of one is an append that is on disk when it returns. A file of checked lines gives that for
//! one `fdatasync`, notices every damaged bit (pages of B-trees are checked when they happen to be read), and can be read with `less`.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tracing::warn;

use tidegate_model::state::{Changes, Entries};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("state folder {folder} is in use by another run of this task")]
    InUse { folder: PathBuf },
    #[error("checkpoint {path} is damaged: {reason}")]
    Damaged { path: PathBuf, reason: String },
    #[error("could not {action} {path}: {error}")]
    Io { action: &'static str, path: PathBuf, error: io::Error },
}

impl StoreError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            StoreError::InUse { .. } => {
                Some("stop the other run, or wait for its end; another task needs a name and a state folder of its own")
            }
            StoreError::Damaged { .. } => Some(
                "restore the file from a backup; or move the state folder away to begin again with a full load, which repeats rows but loses none",
            ),
            StoreError::Io { .. } => None,
        }
    }
}

/// The file's name in its folder.
pub const CHECKPOINT: &str = "checkpoint";
/// Where the file is written anew.
const BESIDE: &str = "checkpoint.new";

const MAGIC: &str = "tidegate-state 2\n";

/// `0000000137 5d41402a 8f14e45f` and a line feed.
const HEADER_BYTES: usize = 10 + 1 + 8 + 1 + 8 + 1;

/// Frames of the past may take this much before the file is written anew, or a quarter of what holds, if that is more.
const PAST_BYTES: u64 = 1 << 20;

/// The folder of one task, locked for as long as this value lives.
#[derive(Debug)]
pub struct StateFolder {
    folder: PathBuf,
    _lock: File,
}

/// What a folder holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Stored {
    Entries(Entries),
    /// A file that does not begin as ours do. Versions before this one wrote another kind.
    Foreign(Vec<u8>),
}

impl StateFolder {
    /// Creates the folder if it is missing and locks it.
    pub fn open(folder: &Path) -> Result<StateFolder, StoreError> {
        let io = |action| move |error| StoreError::Io { action, path: folder.to_owned(), error };
        create_durably(folder).map_err(io("create"))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join("lock"))
            .map_err(io("open the lock of"))?;
        match lock.try_lock() {
            Ok(()) => Ok(StateFolder { folder: folder.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { folder: folder.to_owned() }),
            Err(TryLockError::Error(error)) => Err(io("lock")(error)),
        }
    }

    pub fn checkpoint_path(&self) -> PathBuf {
        self.folder.join(CHECKPOINT)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn load(&self) -> Result<Option<Stored>, StoreError> {
        let Some((stored, cut_off)) = read_file(&self.folder)? else { return Ok(None) };
        if let Some(byte) = cut_off {
            warn!(
                file = %self.checkpoint_path().display(), byte,
                "the last save was cut off, as a crash may do: going on from the one before"
            );
        }
        Ok(Some(stored))
    }

    /// What [`StateFolder::open`] and [`StateFolder::load`] would say, without changing anything.
    pub fn look(folder: &Path) -> Result<Option<Stored>, StoreError> {
        let io = |action| move |error| StoreError::Io { action, path: folder.to_owned(), error };
        check_writable(folder).map_err(io("write into"))?;
        match File::open(folder.join("lock")) {
            // Given back at once: nobody is kept from anything but by a start in the same instant.
            Ok(lock) => match lock.try_lock_shared() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(StoreError::InUse { folder: folder.to_owned() }),
                Err(TryLockError::Error(error)) => return Err(io("lock")(error)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io("open the lock of")(error)),
        }
        read(folder)
    }

    /// For saving; nothing is written yet.
    pub fn journal(&self) -> Journal<'_> {
        Journal { folder: self, file: None, length: 0, all: 0 }
    }
}

/// What a folder holds, also while a run appends to it: then, what it had saved a moment ago.
pub fn read(folder: &Path) -> Result<Option<Stored>, StoreError> {
    Ok(read_file(folder)?.map(|(stored, _)| stored))
}

/// Also the byte from which on the file was dropped.
fn read_file(folder: &Path) -> Result<Option<(Stored, Option<usize>)>, StoreError> {
    let path = folder.join(CHECKPOINT);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::Io { action: "read", path, error }),
    };
    match decode(&bytes) {
        Ok(Some((entries, cut_off))) => Ok(Some((Stored::Entries(entries), cut_off))),
        Ok(None) => Ok(Some((Stored::Foreign(bytes), None))),
        Err(reason) => Err(StoreError::Damaged { path, reason }),
    }
}

/// Saves what has changed.
#[derive(Debug)]
pub struct Journal<'f> {
    folder: &'f StateFolder,
    /// None if the file is to be written anew.
    file: Option<File>,
    /// Bytes of the file.
    length: u64,
    /// Bytes that it had when it was written anew.
    all: u64,
}

impl Journal<'_> {
    /// Whether the next save must be one of all entries.
    pub fn wants_all(&self) -> bool {
        self.file.is_none() || self.length - self.all > PAST_BYTES.max(self.all / 4)
    }

    /// Saves; when this returns, a crash finds it. `changes` are all entries if [`Journal::wants_all`], else those that have
    /// changed since the last save. After an error the next save wants all.
    pub fn save(&mut self, changes: &Changes) -> Result<(), StoreError> {
        let wants_all = self.wants_all();
        if changes.is_empty() && !wants_all {
            return Ok(());
        }
        // Until it is certain what the disk has.
        let file = self.file.take();
        let frame = frame(changes);
        match file.filter(|_| !wants_all) {
            Some(mut file) => {
                let io = |action, error| StoreError::Io { action, path: self.folder.checkpoint_path(), error };
                file.write_all(frame.as_bytes()).map_err(|error| io("write", error))?;
                file.sync_data().map_err(|error| io("sync", error))?;
                self.length += frame.len() as u64;
                self.file = Some(file);
            }
            None => {
                let written = self.write_anew(&frame);
                // It may have taken the last room there was.
                self.file = Some(written.inspect_err(|_| _ = fs::remove_file(self.folder.folder.join(BESIDE)))?);
                self.length = (MAGIC.len() + frame.len()) as u64;
                self.all = self.length;
            }
        }
        Ok(())
    }

    fn write_anew(&self, frame: &str) -> Result<File, StoreError> {
        let path = self.folder.checkpoint_path();
        let io = |action| {
            let path = path.clone();
            move |error| StoreError::Io { action, path, error }
        };
        let beside = self.folder.folder.join(BESIDE);
        let mut file = File::create(&beside).map_err(io("create"))?;
        file.write_all(MAGIC.as_bytes()).and_then(|()| file.write_all(frame.as_bytes())).map_err(io("write"))?;
        file.sync_all().map_err(io("sync"))?;
        fs::rename(&beside, &path).map_err(io("replace"))?;
        // The rename itself is durable once the folder is.
        File::open(&self.folder.folder).and_then(|folder| folder.sync_all()).map_err(io("sync the folder of"))?;
        Ok(file)
    }
}

fn frame(changes: &Changes) -> String {
    let body = changes.lines();
    let head = format!("{:010} {:08x}", body.len(), crc32fast::hash(body.as_bytes()));
    format!("{head} {:08x}\n{body}", crc32fast::hash(head.as_bytes()))
}

/// The entries of a file, or none if it does not begin as ours do; and the byte from which on a crash has cut it off.
fn decode(bytes: &[u8]) -> Result<Option<(Entries, Option<usize>)>, String> {
    let Some(mut rest) = bytes.strip_prefix(MAGIC.as_bytes()) else { return Ok(None) };
    let mut entries = Entries::default();
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let whole = split_frame(rest, at).map_err(|reason| format!("the frame at byte {at}: {reason}"))?;
        let Some((body, behind)) = whole else {
            // The first one was synced before the file got its name.
            return match at > MAGIC.len() {
                true => Ok(Some((entries, Some(at)))),
                false => Err("it ends before its first frame does".to_owned()),
            };
        };
        entries.apply(body);
        rest = behind;
    }
    match bytes.len() > MAGIC.len() {
        true => Ok(Some((entries, None))),
        false => Err("it has no frame".to_owned()),
    }
}

/// The first frame's body and what stands behind it; none if a crash has cut it off. The frame begins at byte `at` of the file.
fn split_frame(bytes: &[u8], at: usize) -> Result<Option<(&str, &[u8])>, &'static str> {
    let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) else { return Ok(None) };
    let Some((length, body_crc)) = parse_header(header) else {
        // Where no header says how long it is, only the last one can have been cut off.
        return if has_hole(bytes, at) && !has_header(rest) { Ok(None) } else { Err("its header is damaged") };
    };
    let Some((body, behind)) = rest.split_at_checked(length) else { return Ok(None) };
    if crc32fast::hash(body) != body_crc {
        let is_cut_off = behind.is_empty() && has_hole(bytes, at);
        return if is_cut_off { Ok(None) } else { Err("its checksum is not that of its body") };
    }
    let body = std::str::from_utf8(body).map_err(|_| "it is no text")?;
    Ok(Some((body, behind)))
}

/// Whether sectors of the frame, which has no zeros in it, were not written: from its begin or a sector's on, until another one's begin
/// or the end.
fn has_hole(frame: &[u8], at: usize) -> bool {
    const SECTOR: usize = 512;
    let mut begin = 0;
    frame.chunk_by(|a, b| (*a == 0) == (*b == 0)).any(|run| {
        let (from, until) = (begin, begin + run.len());
        begin = until;
        let begins = from == 0 || (at + from).is_multiple_of(SECTOR);
        run[0] == 0 && (until == frame.len() || (begins && (at + until).is_multiple_of(SECTOR)))
    })
}

/// Whether a frame begins anywhere.
fn has_header(bytes: &[u8]) -> bool {
    bytes.windows(HEADER_BYTES).any(|window| window.ends_with(b"\n") && parse_header(window).is_some())
}

/// Length and checksum of the body.
fn parse_header(header: &[u8]) -> Option<(usize, u32)> {
    let header = std::str::from_utf8(header).ok()?.strip_suffix('\n')?;
    let (head, crc) = header.split_at_checked(10 + 1 + 8)?;
    let is_head = format!(" {:08x}", crc32fast::hash(head.as_bytes())) == crc;
    let (length, body_crc) = head.split_once(' ').filter(|_| is_head)?;
    Some((length.parse().ok()?, u32::from_str_radix(body_crc, 16).ok()?))
}

/// Creates a folder and those above it that are missing. Each is on disk, with its name, when this returns: a crash must
/// not take the folder away from under its checkpoint.
fn create_durably(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = parent_of(folder);
    create_durably(parent)?;
    match fs::create_dir(folder) {
        // Somebody was quicker.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        result => result?,
    }
    File::open(parent)?.sync_all()
}

fn parent_of(folder: &Path) -> &Path {
    folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether files can be made in a folder, or the folder itself if it is missing.
fn check_writable(folder: &Path) -> io::Result<()> {
    let mut existing = folder;
    while !existing.try_exists()? {
        existing = parent_of(existing);
    }
    let path = CString::new(existing.as_os_str().as_bytes())?;
    // SAFETY: the path is a string that ends with a zero byte and lives until the call returns.
    match unsafe { libc::access(path.as_ptr(), libc::W_OK | libc::X_OK) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(entries: &[(&str, u32)]) -> Changes {
        let mut changes = Changes::default();
        entries.iter().for_each(|(key, value)| changes.put(&(key,), value));
        changes
    }

    fn entries(folder: &Path) -> Entries {
        match read(folder).unwrap() {
            Some(Stored::Entries(entries)) => entries,
            other => panic!("{other:?}"),
        }
    }

    fn value(folder: &Path, key: &str) -> Option<u32> {
        entries(folder).get(&(key,)).unwrap()
    }

    /// A file of three frames.
    fn file() -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        let mut journal = state.journal();
        journal.save(&changes(&[("a", 1), ("b", 2)])).unwrap();
        journal.save(&changes(&[("b", 3)])).unwrap();
        journal.save(&changes(&[("c", 4)])).unwrap();
        fs::read(state.checkpoint_path()).unwrap()
    }

    #[test]
    fn what_is_saved_is_there_for_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        assert_eq!(state.load().unwrap(), None);
        let mut journal = state.journal();
        assert!(journal.wants_all());
        journal.save(&changes(&[("a", 1), ("b", 2)])).unwrap();
        assert!(!journal.wants_all());
        let mut next = changes(&[("b", 3), ("c", 4)]);
        next.remove(&("a",));
        journal.save(&next).unwrap();
        assert_eq!((value(folder.path(), "a"), value(folder.path(), "b")), (None, Some(3)));
        // The next run writes all it has.
        drop(state);
        let state = StateFolder::open(folder.path()).unwrap();
        let before = fs::metadata(state.checkpoint_path()).unwrap().len();
        let mut journal = state.journal();
        assert!(journal.wants_all());
        journal.save(&changes(&[("b", 3), ("c", 4)])).unwrap();
        assert!(fs::metadata(state.checkpoint_path()).unwrap().len() < before);
        assert_eq!(value(folder.path(), "c"), Some(4));
    }

    #[test]
    fn a_file_of_the_past_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        let mut journal = state.journal();
        let text = "x".repeat(1000);
        let mut anew = 0;
        for number in 0..5000 {
            let mut changes = Changes::default();
            anew += u32::from(journal.wants_all());
            changes.put(&("a",), &(number, &text));
            journal.save(&changes).unwrap();
            assert!(journal.length < 2 * PAST_BYTES);
        }
        assert_eq!(anew, 5);
        assert_eq!(entries(folder.path()).get::<(u32, String)>(&("a",)).unwrap(), Some((4999, text)));
    }

    #[test]
    fn a_damaged_bit_anywhere_is_noticed() {
        let good = file();
        for index in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[index] ^= 1 << bit;
                // A file that begins in another way is not ours, and who reads it as something else refuses it.
                assert!(!matches!(decode(&bad), Ok(Some(_))), "byte {index}, bit {bit}");
            }
        }
    }

    /// A crash may cut off the last frame, or leave out sectors of it. It never makes more of it, and a file without any is none.
    #[test]
    fn a_frame_that_a_crash_has_cut_off_is_dropped() {
        let two = file();
        let second = two.len() - frame(&changes(&[("c", 4)])).len();
        let mut last = Changes::default();
        last.put(&("c",), &4);
        last.put(&("d",), &"x".repeat(2000));
        let good = [&two[..second], frame(&last).as_bytes()].concat();
        let c = |bytes: &[u8]| {
            let (entries, cut_off) = decode(bytes)?.unwrap();
            assert_eq!(cut_off, (bytes != good && bytes.len() > second).then_some(second));
            entries.get::<u32>(&("c",)).map_err(|error| error.to_string())
        };
        assert_eq!(c(&good), Ok(Some(4)));
        for end in second..good.len() {
            assert_eq!(c(&good[..end]), Ok(None), "cut at {end}");
            // The file has its size, and not all of its contents.
            let mut zeros = good[..end].to_vec();
            zeros.resize(good.len(), 0);
            assert_eq!(c(&zeros), Ok(None), "zeros from {end} on");
        }
        // Sectors are written in any order.
        let sectors: Vec<usize> = (second..good.len()).filter(|byte| byte.is_multiple_of(512)).collect();
        assert!(sectors.len() >= 3);
        for (index, &begin) in [second].iter().chain(&sectors).enumerate() {
            for &end in &sectors[index..] {
                let mut hole = good.clone();
                hole[begin..end].fill(0);
                assert_eq!(c(&hole), Ok(None), "zeros from {begin} until {end}");
                // Nobody had begun another frame.
                hole.extend_from_slice(frame(&changes(&[("c", 5)])).as_bytes());
                assert!(decode(&hole).is_err(), "zeros from {begin} until {end}, and a frame behind");
            }
        }
        let first = MAGIC.len() + frame(&changes(&[("a", 1), ("b", 2)])).len();
        for end in MAGIC.len()..first {
            assert!(decode(&good[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn after_a_save_that_failed_the_next_one_wants_all() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        let mut journal = state.journal();
        journal.save(&changes(&[("a", 1)])).unwrap();
        // A file that takes nothing.
        journal.file = Some(File::open(state.checkpoint_path()).unwrap());
        assert!(journal.save(&changes(&[("b", 2)])).is_err());
        assert!(journal.wants_all());
        let in_the_way = folder.path().join(BESIDE);
        fs::create_dir(&in_the_way).unwrap();
        assert!(journal.save(&changes(&[("a", 1), ("b", 2)])).is_err());
        fs::remove_dir(&in_the_way).unwrap();
        journal.save(&changes(&[("a", 1), ("b", 2)])).unwrap();
        assert_eq!(value(folder.path(), "b"), Some(2));
    }

    #[test]
    fn a_look_finds_what_a_run_would_and_leaves_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("state").join("shop");
        assert_eq!(StateFolder::look(&folder).unwrap(), None);
        assert!(fs::read_dir(parent.path()).unwrap().next().is_none());
        let state = StateFolder::open(&folder).unwrap();
        state.journal().save(&changes(&[("a", 1)])).unwrap();
        assert!(matches!(StateFolder::look(&folder), Err(StoreError::InUse { .. })));
        drop(state);
        assert_eq!(StateFolder::look(&folder).unwrap(), Some(Stored::Entries(entries(&folder))));
        // A file in the place of a folder: nothing can be made in it.
        let in_a_file = folder.join(CHECKPOINT).join("shop");
        assert!(matches!(StateFolder::look(&in_a_file), Err(StoreError::Io { .. })));
    }

    #[test]
    fn a_folder_serves_one_run() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        assert!(matches!(StateFolder::open(folder.path()), Err(StoreError::InUse { .. })));
        drop(state);
        StateFolder::open(folder.path()).unwrap();
    }
}
