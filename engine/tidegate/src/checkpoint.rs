//! When may we forget a change? The state folder of a task, and the one file in it.
//!
//! ```text
//! state/shop/
//!   lock         held (flock) while a run uses the folder
//!   checkpoint   tidegate-checkpoint 1 crc32=5d41402a length=812
//!                {"task":"shop","source":…,"ledger":…,"position":…,"schemas":…,"tables":…,…}
//! ```
//!
//! A checkpoint is written beside the old one, synced, and renamed over it, so that a crash at any moment leaves one of
//! the two, whole. What cannot be read back exactly is refused with a way out; it is never ignored, because the only
//! other thing to do would be to start from nowhere.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::remembered::{RememberedTable, RememberedTask, RememberedTopic};
use tidegate_model::{Position, TableName};
use tidegate_mysql::history::{self, StoredSchema};
use tidegate_mysql::ledger::Ledger;

/// Everything that a restart needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub task: String,
    /// What the positions belong to.
    pub source: SourceIdentity,
    /// Progress of the full load; gone when incremental reading has passed every chunk's view.
    pub ledger: Option<Ledger>,
    /// Row groups of a Parquet data set that have been delivered.
    pub row_groups: Vec<(TableName, Vec<u32>)>,
    /// Where incremental reading goes on.
    pub position: Option<Position>,
    /// Schemas of captured tables, as they are at `position` and after it.
    pub schemas: Vec<StoredSchema>,
    /// Every table that the task has taken up.
    #[serde(default)]
    pub tables: Vec<RememberedTable>,
    /// Where their rows go.
    #[serde(default)]
    pub topics: Vec<RememberedTopic>,
    /// `None` if the checkpoint comes from a version that remembered nothing.
    #[serde(default)]
    pub remembered: Option<RememberedTask>,
}

impl Checkpoint {
    /// Of a task that has not begun.
    pub fn new(task: &str, source: SourceIdentity) -> Checkpoint {
        Checkpoint {
            task: task.to_owned(),
            source,
            ledger: None,
            row_groups: Vec::new(),
            position: None,
            schemas: Vec::new(),
            tables: Vec::new(),
            topics: Vec::new(),
            remembered: None,
        }
    }

    /// The checkpoint, if its positions are points of this source's history. `folder` is where it was found.
    pub fn of_source(self, source: &SourceIdentity, folder: &Path) -> Result<Checkpoint, CheckpointError> {
        if self.source == *source {
            return Ok(self);
        }
        let (found, expected) = (self.source.to_string(), source.to_string());
        Err(CheckpointError::Foreign { path: folder.join(CHECKPOINT), found, expected })
    }

    /// Forgets what nobody who starts at `position` can need, and tables that are gone: what comes under their names begins with their
    /// CREATE TABLE, or is loaded. Their topics are still there.
    pub fn pass(&mut self, position: &Position) {
        let Checkpoint { schemas, ledger, tables, .. } = self;
        let is_loaded = |table: &TableName| ledger.as_ref().is_some_and(|ledger| ledger.table(table).is_some());
        let gone = history::prune(schemas, position, is_loaded);
        if !gone.is_empty() {
            tables.retain(|table| gone.binary_search(&table.name).is_err());
        }
    }

    /// Adds an entry to the history of schemas, unless an earlier run has found it already.
    pub fn record_schema(&mut self, entry: StoredSchema) {
        history::record(&mut self.schemas, entry);
    }
}

/// Whose history a position is a point of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceIdentity {
    /// One server: without GTIDs, a file and offset mean nothing on another.
    Server {
        uuid: String,
    },
    /// Servers that share a history of GTIDs: any of them will do that has executed what the position says.
    GtidDomain,
    /// The same of MariaDB.
    MariadbDomains,
    BinlogFiles,
    /// The fingerprints tell whether its files are still cut into row groups as they were.
    Parquet {
        folder: String,
        fingerprints: Vec<u32>,
    },
}

impl std::fmt::Display for SourceIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SourceIdentity::Server { uuid } => write!(f, "server {uuid}"),
            SourceIdentity::GtidDomain => write!(f, "a server with GTIDs"),
            SourceIdentity::MariadbDomains => write!(f, "a MariaDB server"),
            SourceIdentity::BinlogFiles => write!(f, "binlog files"),
            SourceIdentity::Parquet { folder, .. } => write!(f, "Parquet folder {folder}"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("state folder {folder} is in use by another run of this task")]
    InUse { folder: PathBuf },
    #[error("checkpoint {path} is damaged: {reason}")]
    Damaged { path: PathBuf, reason: String },
    #[error("checkpoint {path} belongs to {found}, but this task is {expected}")]
    Foreign { path: PathBuf, found: String, expected: String },
    #[error("could not {action} {path}: {error}")]
    Io { action: &'static str, path: PathBuf, error: io::Error },
}

impl CheckpointError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            CheckpointError::InUse { .. } => {
                Some("wait for the other run to end, or give this task its own name and state folder")
            }
            CheckpointError::Damaged { .. } => Some(
                "restore the file from a backup; or move the state folder away to begin again with a full load, which repeats rows but loses none",
            ),
            CheckpointError::Foreign { .. } => {
                Some("point `state` to another folder, or move this one away to begin again with a full load")
            }
            CheckpointError::Io { .. } => None,
        }
    }
}

/// The file's name in its folder.
const CHECKPOINT: &str = "checkpoint";

const MAGIC: &str = "tidegate-checkpoint 1";

/// The folder of one task, locked for as long as this value lives.
#[derive(Debug)]
pub struct StateFolder {
    folder: PathBuf,
    _lock: File,
}

impl StateFolder {
    /// Creates the folder if it is missing and locks it.
    pub fn open(folder: &Path) -> Result<StateFolder, CheckpointError> {
        let io = |action| move |error| CheckpointError::Io { action, path: folder.to_owned(), error };
        create_durably(folder).map_err(io("create"))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join("lock"))
            .map_err(io("open the lock of"))?;
        match lock.try_lock() {
            Ok(()) => Ok(StateFolder { folder: folder.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(CheckpointError::InUse { folder: folder.to_owned() }),
            Err(TryLockError::Error(error)) => Err(io("lock")(error)),
        }
    }

    pub fn checkpoint_path(&self) -> PathBuf {
        self.folder.join(CHECKPOINT)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The checkpoint, if there is one and it belongs to `task`.
    pub fn load(&self, task: &str) -> Result<Option<Checkpoint>, CheckpointError> {
        load(&self.folder, task)
    }

    /// What [`StateFolder::open`] and [`StateFolder::load`] would say, without changing anything.
    pub fn look(folder: &Path, task: &str) -> Result<Option<Checkpoint>, CheckpointError> {
        let io = |action| move |error| CheckpointError::Io { action, path: folder.to_owned(), error };
        check_writable(folder).map_err(io("write into"))?;
        match File::open(folder.join("lock")) {
            // Given back at once: nobody is kept from anything but by a start in the same instant.
            Ok(lock) => match lock.try_lock_shared() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(CheckpointError::InUse { folder: folder.to_owned() }),
                Err(TryLockError::Error(error)) => return Err(io("lock")(error)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io("open the lock of")(error)),
        }
        load(folder, task)
    }

    /// Replaces the checkpoint; when this returns, a crash finds the new one.
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        self.save_encoded(&encode(checkpoint))
    }

    /// As [`StateFolder::save`], for a checkpoint that [`encode`] has turned into bytes already.
    pub fn save_encoded(&self, bytes: &[u8]) -> Result<(), CheckpointError> {
        let path = self.checkpoint_path();
        let io = |action| {
            let path = path.clone();
            move |error| CheckpointError::Io { action, path, error }
        };
        let beside = self.folder.join("checkpoint.new");
        let mut file = File::create(&beside).map_err(io("create"))?;
        file.write_all(bytes).map_err(io("write"))?;
        file.sync_all().map_err(io("sync"))?;
        fs::rename(&beside, &path).map_err(io("replace"))?;
        // The rename itself is durable once the folder is.
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(io("sync the folder of"))
    }
}

fn load(folder: &Path, task: &str) -> Result<Option<Checkpoint>, CheckpointError> {
    let path = folder.join(CHECKPOINT);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CheckpointError::Io { action: "read", path, error }),
    };
    let checkpoint = decode(&bytes).map_err(|reason| CheckpointError::Damaged { path: path.clone(), reason })?;
    if checkpoint.task != task {
        return Err(CheckpointError::Foreign {
            path,
            found: format!("task {:?}", checkpoint.task),
            expected: format!("task {task:?}"),
        });
    }
    Ok(Some(checkpoint))
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

/// Header line and JSON.
pub fn encode(checkpoint: &Checkpoint) -> Vec<u8> {
    let body = serde_json::to_vec(checkpoint).expect("a checkpoint has string keys only");
    let mut out = header(&body).into_bytes();
    out.push(b'\n');
    out.extend_from_slice(&body);
    out
}

fn header(body: &[u8]) -> String {
    format!("{MAGIC} crc32={:08x} length={}", crc32fast::hash(body), body.len())
}

fn decode(bytes: &[u8]) -> Result<Checkpoint, String> {
    let line_end = bytes.iter().position(|&b| b == b'\n').ok_or("it has no header line")?;
    let (found, body) = (&bytes[..line_end], &bytes[line_end + 1..]);
    if !found.starts_with(MAGIC.as_bytes()) {
        return Err(format!("its header is not {MAGIC:?}"));
    }
    if found != header(body).as_bytes() {
        return Err("its length or its checksum is not what its header says".to_owned());
    }
    serde_json::from_slice(body).map_err(|error| format!("its contents are not a checkpoint: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::Coordinate;

    fn checkpoint() -> Checkpoint {
        let position = Position::new(
            Coordinate::new("binlog.000007", 4321),
            Some("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-20:23".parse().unwrap()),
        );
        Checkpoint { position: Some(position), ..Checkpoint::new("shop", SourceIdentity::GtidDomain) }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        assert_eq!(state.load("shop").unwrap(), None);
        state.save(&checkpoint()).unwrap();
        assert_eq!(state.load("shop").unwrap(), Some(checkpoint()));
    }

    /// A version that remembered nothing of its task left this.
    #[test]
    fn a_checkpoint_without_memory_is_loaded() {
        let body =
            r#"{"task":"shop","source":"gtid_domain","ledger":null,"row_groups":[],"position":null,"schemas":[]}"#;
        let old = format!("{}\n{body}", header(body.as_bytes()));
        assert_eq!(decode(old.as_bytes()).unwrap(), Checkpoint::new("shop", SourceIdentity::GtidDomain));
    }

    #[test]
    fn a_look_finds_what_a_run_would_and_leaves_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("state").join("shop");
        assert_eq!(StateFolder::look(&folder, "shop").unwrap(), None);
        assert!(std::fs::read_dir(parent.path()).unwrap().next().is_none());
        let state = StateFolder::open(&folder).unwrap();
        state.save(&checkpoint()).unwrap();
        assert!(matches!(StateFolder::look(&folder, "shop"), Err(CheckpointError::InUse { .. })));
        drop(state);
        assert_eq!(StateFolder::look(&folder, "shop").unwrap(), Some(checkpoint()));
        assert!(matches!(StateFolder::look(&folder, "other"), Err(CheckpointError::Foreign { .. })));
        // A file in the place of a folder: nothing can be made in it.
        let in_a_file = folder.join("checkpoint").join("shop");
        assert!(matches!(StateFolder::look(&in_a_file, "shop"), Err(CheckpointError::Io { .. })));
    }

    #[test]
    fn damage_anywhere_is_noticed() {
        let good = encode(&checkpoint());
        for index in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[index] ^= 1 << bit;
                assert!(decode(&bad).is_err(), "byte {index}, bit {bit}");
            }
            assert!(decode(&good[..index]).is_err(), "cut at {index}");
        }
    }

    #[test]
    fn a_folder_serves_one_run_and_one_task() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        assert!(matches!(StateFolder::open(folder.path()), Err(CheckpointError::InUse { .. })));
        state.save(&checkpoint()).unwrap();
        assert!(matches!(state.load("other"), Err(CheckpointError::Foreign { .. })));
        drop(state);
        StateFolder::open(folder.path()).unwrap();
    }
}
