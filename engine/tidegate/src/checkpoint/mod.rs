//! What a restart needs to know, and what of it is written when something of it has changed.
//!
//! ```text
//! ["task"]                    whose state it is, and what its positions are points of
//! ["position"], ["schema",…], ["load",…], ["row_groups",…]     where reading is (see [`source_state`])
//! ["table",…], ["topic",…], ["remembered"]                     what consumers have been promised (see [`memory`])
//! ["gaps"]                    changes that were purged before they were read, or left out (see [`gap`])
//! ["too_large","s","orders"]  how many messages of a table were too large for their topic
//! ["journal",41]              what was done to the task, for people (see [`journal`])
//! ```
//!
//! Each part tells its own entries and reads them, and knows nothing of the others; [`Checkpoint`] is where they meet.
//!
//! How entries get to the disk, and what a crash leaves of them, is the matter of [`tidegate_flow::store`].

pub mod gap;
pub mod journal;
pub mod memory;
mod remembering;
pub mod source_state;
mod told;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use gap::Gap;
use journal::{By, TABLES_MAX, TaskJournal, What};
pub use memory::{LoadState, RememberedTable, RememberedTask, RememberedTopic};
use source_state::Passed;
pub use source_state::{SourceState, is_followed};
use tidegate_flow::store::{self, CHECKPOINT, StateFolder, StoreError, Stored};
use tidegate_flow::tracker::State;
use tidegate_model::message::TooLarge;
use tidegate_model::state::{Changes, Entries, EntryError, Keyed};
use tidegate_model::words::counted;
use tidegate_model::{Position, Progress, TableName};
use told::{Told, table_of, tell_tables, tell_whole};

/// Gaps that a task's state tells of.
const GAPS_KEPT: usize = 20;

/// The checkpoint of a running task.
pub type TaskTracker = tidegate_flow::tracker::Tracker<Checkpoint>;

/// Everything that a restart needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    pub task: String,
    /// What the positions belong to.
    pub identity: SourceIdentity,
    /// Where reading is.
    pub source: SourceState,
    /// Every table that the task has taken up.
    pub tables: Keyed<TableName, RememberedTable>,
    /// Where their rows go.
    pub topics: Keyed<String, RememberedTopic>,
    /// `None` if the checkpoint comes from a version that remembered nothing.
    pub remembered: Option<RememberedTask>,
    /// What was left out, the first first.
    pub gaps: Vec<Gap>,
    /// How many messages of a table were too large for their topic, since the task began.
    pub too_large: Keyed<TableName, TooLarge>,
    pub journal: TaskJournal,
    told: Told<ToldWhole>,
}

#[derive(Clone, Debug, Default)]
struct ToldWhole {
    remembered: Option<RememberedTask>,
    gaps: Vec<Gap>,
}

impl Checkpoint {
    /// Of a task that has not begun.
    pub fn new(task: &str, identity: SourceIdentity) -> Checkpoint {
        Checkpoint {
            task: task.to_owned(),
            identity,
            source: SourceState::default(),
            tables: Keyed::default(),
            topics: Keyed::default(),
            remembered: None,
            gaps: Vec::new(),
            too_large: Keyed::default(),
            journal: TaskJournal::default(),
            told: Told::default(),
        }
    }

    /// The checkpoint, if its positions are points of this source's history. `folder` is where it was found.
    pub fn of_source(self, identity: &SourceIdentity, folder: &Path) -> Result<Checkpoint, CheckpointError> {
        use SourceIdentity::{GtidDomain, Server};
        if self.identity == *identity {
            return Ok(self);
        }
        let (path, found, expected) = (folder.join(CHECKPOINT), self.identity.to_string(), identity.to_string());
        Err(match (&self.identity, identity) {
            (Server { .. }, GtidDomain) => CheckpointError::OtherGtidMode { path, found, expected, was_on: false },
            (GtidDomain, Server { .. }) => CheckpointError::OtherGtidMode { path, found, expected, was_on: true },
            _ => CheckpointError::Foreign { path, found, expected },
        })
    }

    /// Whether a message may have been sent.
    pub fn has_begun(&self) -> bool {
        let is_server = matches!(
            self.identity,
            SourceIdentity::Server { .. } | SourceIdentity::GtidDomain | SourceIdentity::MariadbDomains
        );
        // A server's position is on disk before the first row leaves, that of files after it was delivered.
        self.source.ledger.is_some()
            || self.source.position.is_some()
            || !self.source.row_groups.is_empty()
            || (!is_server && self.remembered.is_some())
    }

    /// From where a run would read.
    pub fn reads_from(&self) -> Option<&Position> {
        self.source.reads_from()
    }

    /// Changes that are left out, told for as long as there are few later ones.
    pub fn add_gap(&mut self, gap: Gap) {
        self.gaps.push(gap);
        let too_many = self.gaps.len().saturating_sub(GAPS_KEPT);
        self.gaps.drain(..too_many);
    }

    /// Nothing more is to be read of the part of the table that is being loaded. False if none is.
    pub fn take_back_part(&mut self, name: &TableName) -> bool {
        let is_taken_back = self.source.ledger.as_mut().is_some_and(|ledger| ledger.take_back(name));
        if is_taken_back {
            self.table_loaded(name);
        }
        is_taken_back
    }

    /// Writes it, outside of a run.
    pub fn save(&mut self, state: &StateFolder) -> Result<(), CheckpointError> {
        let mut changes = Changes::default();
        self.tell(true, &mut changes);
        Ok(state.journal().save(&changes)?)
    }

    fn of_entries(entries: &Entries) -> Result<Checkpoint, EntryError> {
        let task = entries.get::<StoredTask>(&("task",))?;
        let StoredTask { name, source } = task.ok_or_else(|| EntryError::new(&("task",), "it is missing"))?;
        let mut checkpoint = Checkpoint::new(&name, source);
        checkpoint.source = SourceState::of_entries(entries)?;
        checkpoint.remembered = entries.get(&("remembered",))?;
        checkpoint.gaps = entries.get(&("gaps",))?.unwrap_or_default();
        checkpoint.journal = TaskJournal::of_entries(entries)?;
        for (key, table) in entries.under(&("table",))? {
            checkpoint.tables.insert(table_of(key), table);
        }
        for (key, counts) in entries.under(&("too_large",))? {
            checkpoint.too_large.insert(table_of(key), counts);
        }
        for ((_, name), topic) in entries.under::<(String, String), _>(&("topic",))? {
            checkpoint.topics.insert(name, topic);
        }
        Ok(checkpoint)
    }
}

#[derive(Serialize, Deserialize)]
struct StoredTask {
    name: String,
    source: SourceIdentity,
}

impl State for Checkpoint {
    fn delivered(&mut self, progress: Progress) {
        let Passed { loaded, gone } = self.source.delivered(progress);
        if let Some((table, rows)) = loaded {
            if self.source.ledger.as_ref().is_some_and(|ledger| ledger.tables().len() <= TABLES_MAX) {
                self.journal.note(What::TableLoaded, By::Run, format!("{table}: {}", counted(rows, "row")));
            }
            self.table_loaded(&table);
        }
        // Their topics are still there.
        gone.iter().for_each(|name| self.tables.remove(name));
    }

    fn too_large(&mut self, counts: &[(TableName, TooLarge)]) {
        for (table, more) in counts {
            *self.too_large.get_or_insert_with(table, TooLarge::default) += *more;
        }
    }

    fn written(&mut self, topic: &str) {
        self.topic_written(topic);
    }

    fn is_loaded(&self, table: &TableName) -> bool {
        self.source.is_loaded(table)
    }

    fn tell(&mut self, all: bool, changes: &mut Changes) {
        if all {
            changes.put(&("task",), &StoredTask { name: self.task.clone(), source: self.identity.clone() });
        }
        self.source.tell(all, changes);
        let told = &mut self.told.0;
        tell_whole("remembered", &self.remembered, &mut told.remembered, all, changes);
        if (all && !self.gaps.is_empty()) || self.gaps != told.gaps {
            changes.put(&("gaps",), &self.gaps);
            told.gaps.clone_from(&self.gaps);
        }
        tell_tables("table", &mut self.tables, all, changes);
        tell_tables("too_large", &mut self.too_large, all, changes);
        self.journal.tell(all, changes);
        self.topics.take_changed(all, |name, topic| match topic {
            Some(topic) => changes.put(&("topic", name), topic),
            None => changes.remove(&("topic", name)),
        });
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
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("checkpoint {path} was written by another version of tidegate, and this one does not know {what}")]
    OtherVersion { path: PathBuf, what: String },
    #[error("checkpoint {path} belongs to {found}, but this task is {expected}")]
    Foreign { path: PathBuf, found: String, expected: String },
    /// Perhaps of the same server, whose positions were of another kind.
    #[error("checkpoint {path} belongs to {found}, but this task is {expected}")]
    OtherGtidMode { path: PathBuf, found: String, expected: String, was_on: bool },
}

impl CheckpointError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            CheckpointError::Store(error) => error.hint(),
            CheckpointError::OtherVersion { .. } => Some("go on with the version that wrote it, or a later one"),
            CheckpointError::Foreign { .. } => {
                Some("point `state` to another folder, or move this one away to begin again with a full load")
            }
            CheckpointError::OtherGtidMode { was_on: false, .. } => Some(
                "the server's gtid_mode was not ON when the task began: set it back, to ON_PERMISSIVE at the least, and the task goes on; or \
                 move the state folder away to begin again with a full load",
            ),
            CheckpointError::OtherGtidMode { was_on: true, .. } => Some(
                "the server's gtid_mode was ON when the task began: set it back, and the task goes on if no transactions without GTIDs \
                 stand behind its position; or move the state folder away to begin again with a full load",
            ),
        }
    }
}

/// The checkpoint in a folder, if there is one and it belongs to `task`.
pub fn load(state: &StateFolder, task: &str) -> Result<Option<Checkpoint>, CheckpointError> {
    of_task(state.load()?, state.folder(), task)
}

/// What [`StateFolder::open`] and [`load`] would say, without changing anything.
pub fn look(folder: &Path, task: &str) -> Result<Option<Checkpoint>, CheckpointError> {
    of_task(StateFolder::look(folder)?, folder, task)
}

/// As [`load`], also while a run of the task is at work.
pub fn read(folder: &Path, task: &str) -> Result<Option<Checkpoint>, CheckpointError> {
    of_task(store::read(folder)?, folder, task)
}

fn of_task(stored: Option<Stored>, folder: &Path, task: &str) -> Result<Option<Checkpoint>, CheckpointError> {
    const KNOWN: [&str; 11] = [
        "task",
        "position",
        "schema",
        "load",
        "row_groups",
        "table",
        "topic",
        "remembered",
        "gaps",
        "too_large",
        "journal",
    ];
    let path = folder.join(CHECKPOINT);
    let is_known = |key: &str| KNOWN.iter().any(|known| key.starts_with(&format!("[\"{known}\"")));
    let checkpoint = match stored {
        Some(Stored::Entries(entries)) => match entries.iter().find(|(key, _)| !is_known(key)) {
            Some((key, _)) => return Err(CheckpointError::OtherVersion { path, what: format!("its entry {key}") }),
            None => Checkpoint::of_entries(&entries).map_err(|error| error.to_string()),
        },
        Some(Stored::Foreign(bytes)) if old::is_later(&bytes) => {
            return Err(CheckpointError::OtherVersion { path, what: "the form of its file".to_owned() });
        }
        Some(Stored::Foreign(bytes)) => old::decode(&bytes),
        None => return Ok(None),
    };
    let checkpoint = checkpoint.map_err(|reason| StoreError::Damaged { path: path.clone(), reason })?;
    if checkpoint.task != task {
        let found = format!("task {:?}", checkpoint.task);
        return Err(CheckpointError::Foreign { path, found, expected: format!("task {task:?}") });
    }
    Ok(Some(checkpoint))
}

/// The file of the first version: a line with a checksum, and everything as one JSON object.
mod old {
    use super::*;
    use tidegate_mysql::history::StoredSchema;
    use tidegate_mysql::ledger::Ledger;

    const MAGIC: &str = "tidegate-checkpoint 1";

    #[derive(Deserialize)]
    struct OldCheckpoint {
        task: String,
        source: SourceIdentity,
        ledger: Option<Ledger>,
        row_groups: Vec<(TableName, Vec<u32>)>,
        position: Option<Position>,
        schemas: Vec<StoredSchema>,
        #[serde(default)]
        tables: Vec<RememberedTable>,
        #[serde(default)]
        topics: Vec<RememberedTopic>,
        #[serde(default)]
        remembered: Option<RememberedTask>,
    }

    /// Whether a version to come may have written it.
    pub(super) fn is_later(bytes: &[u8]) -> bool {
        // One that is cut within its first line has been damaged, whoever wrote it.
        let version = bytes.strip_prefix(b"tidegate-state ").filter(|rest| rest.contains(&b'\n'));
        version.is_some_and(|version| version.first().is_some_and(u8::is_ascii_digit))
    }

    pub(super) fn header(body: &[u8]) -> String {
        format!("{MAGIC} crc32={:08x} length={}", crc32fast::hash(body), body.len())
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Checkpoint, String> {
        let line_end = bytes.iter().position(|&b| b == b'\n').ok_or("it has no header line")?;
        let (found, body) = (&bytes[..line_end], &bytes[line_end + 1..]);
        if !found.starts_with(MAGIC.as_bytes()) {
            return Err("its header is none of tidegate's".to_owned());
        }
        if found != header(body).as_bytes() {
            return Err("its length or its checksum is not what its header says".to_owned());
        }
        let old: OldCheckpoint =
            serde_json::from_slice(body).map_err(|error| format!("its contents are not a checkpoint: {error}"))?;
        let mut checkpoint = Checkpoint {
            source: SourceState {
                ledger: old.ledger,
                row_groups: old.row_groups.into_iter().collect(),
                position: old.position,
                ..SourceState::default()
            },
            tables: old.tables.into_iter().map(|table| (table.name.clone(), table)).collect(),
            topics: old.topics.into_iter().map(|topic| (topic.name.clone(), topic)).collect(),
            remembered: old.remembered,
            ..Checkpoint::new(&old.task, old.source)
        };
        for entry in old.schemas {
            checkpoint.source.schemas.get_or_insert_with(&entry.table.clone(), Vec::new).push(entry);
        }
        Ok(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::{ChunkPart, Coordinate};
    use tidegate_mysql::history::{SchemaState, StoredSchema};
    use tidegate_mysql::ledger::Ledger;

    fn position(offset: u64) -> Position {
        let gtids = Some("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-20:23".parse().unwrap());
        Position::new(Coordinate::new("binlog.000007", offset), gtids)
    }

    fn checkpoint() -> Checkpoint {
        let source = SourceState { position: Some(position(4321)), ..SourceState::default() };
        Checkpoint { source, ..Checkpoint::new("shop", SourceIdentity::GtidDomain) }
    }

    fn name(table: &str) -> TableName {
        TableName::new("shop", table)
    }

    /// What is read back after changes were told one after the other is what all of them have made.
    #[test]
    fn what_is_told_is_loaded() {
        let mut entries = Entries::default();
        let mut told = |checkpoint: &mut Checkpoint, all| {
            let mut changes = Changes::default();
            if all {
                entries = Entries::default();
            }
            checkpoint.tell(all, &mut changes);
            entries.apply(changes.lines());
            assert_eq!(Checkpoint::of_entries(&entries).unwrap(), *checkpoint);
            changes.lines().lines().count()
        };
        let mut checkpoint = checkpoint();
        told(&mut checkpoint, true);
        assert_eq!(told(&mut checkpoint, false), 0);
        checkpoint.source.position = Some(position(4400));
        assert_eq!(told(&mut checkpoint, false), 1);

        checkpoint.topic_spread("a\t\"b", 3, Some((7, 1)));
        checkpoint.source.ledger = Some(Ledger::new(position(4)));
        for table in ["a", "b"] {
            checkpoint.source.ledger.as_mut().unwrap().add_table(&name(table), Default::default(), None);
            checkpoint.source.record_schema(StoredSchema {
                table: name(table),
                since: Coordinate::new("binlog.000007", 4),
                gtid: None,
                state: SchemaState::Gone { last_version: 3 },
            });
        }
        assert_eq!(told(&mut checkpoint, false), 1 + 2 + 3 + 1);
        // Another ledger in the place of the first.
        checkpoint.source.ledger = Some(Ledger::new(position(5)));
        told(&mut checkpoint, false);
        checkpoint.source.ledger = None;
        assert_eq!(told(&mut checkpoint, false), 1);
        assert_eq!(told(&mut checkpoint, false), 0);
        checkpoint.source.pass(&position(5000));
        assert!(checkpoint.source.schemas.is_empty());
        assert_eq!(told(&mut checkpoint, false), 2);
        let parts = vec![ChunkPart { chunk: 4, rows: 1, done: true }];
        checkpoint.delivered(Progress::Chunks { table: name("a"), parts });
        checkpoint.topic_written("a\t\"b");
        assert_eq!(told(&mut checkpoint, false), 2);
        let one = TooLarge { skipped: 1, ..TooLarge::default() };
        checkpoint.too_large(&[(name("a"), one), (name("b"), one), (name("a"), one)]);
        assert_eq!(told(&mut checkpoint, false), 2);
        assert_eq!(checkpoint.too_large.get(&name("a")).unwrap().skipped, 2);
        told(&mut checkpoint, true);
    }

    #[test]
    fn a_file_serves_one_task_and_one_version() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        let mut changes = Changes::default();
        checkpoint().tell(true, &mut changes);
        let mut journal = state.journal();
        journal.save(&changes).unwrap();
        assert_eq!(load(&state, "shop").unwrap(), Some(checkpoint()));
        assert!(matches!(load(&state, "other"), Err(CheckpointError::Foreign { .. })));
        let mut changes = Changes::default();
        changes.put(&("later",), &1);
        journal.save(&changes).unwrap();
        let error = load(&state, "shop").unwrap_err();
        assert!(matches!(error, CheckpointError::OtherVersion { .. }), "{error}");
        std::fs::write(state.checkpoint_path(), "tidegate-state 3\n").unwrap();
        assert!(matches!(load(&state, "shop"), Err(CheckpointError::OtherVersion { .. })));
    }

    /// The same server has positions of another kind once its gtid_mode is another.
    #[test]
    fn a_gtid_mode_that_was_set_is_named_with_the_way_back() {
        let server = || SourceIdentity::Server { uuid: "3e11fa47-71ca-11e1-9e33-c80aa9429562".to_owned() };
        let other = SourceIdentity::Server { uuid: String::new() };
        for (began, now, hint) in [
            (server(), SourceIdentity::GtidDomain, "gtid_mode was not ON when the task began: set it back"),
            (SourceIdentity::GtidDomain, server(), "gtid_mode was ON when the task began: set it back"),
            (server(), other, "point `state` to another folder"),
            (SourceIdentity::GtidDomain, SourceIdentity::MariadbDomains, "point `state` to another folder"),
        ] {
            let checkpoint = Checkpoint::new("shop", began);
            let error = checkpoint.of_source(&now, Path::new("state")).unwrap_err();
            assert!(error.hint().is_some_and(|found| found.contains(hint)), "{error}: {:?}", error.hint());
        }
    }

    /// Files of the first version are read, those too that remembered nothing of their task.
    #[test]
    fn a_file_of_the_first_version_is_loaded() {
        let file = |body: &str| format!("{}\n{body}", old::header(body.as_bytes()));
        let body =
            r#"{"task":"shop","source":"gtid_domain","ledger":null,"row_groups":[],"position":null,"schemas":[]}"#;
        assert_eq!(old::decode(file(body).as_bytes()).unwrap(), Checkpoint::new("shop", SourceIdentity::GtidDomain));
        let body = r#"{"task":"shop","source":"gtid_domain","ledger":{"start":{"coordinate":{"file":"b.1","offset":4},
            "gtids":null},"tables":[{"name":{"database":"shop","table":"a"},"key":{"columns":[],"identifies":false},"planned":true,"chunks":[
            {"range":{"lower":null,"upper":null},"low":{"Coordinate":{"file":"b.1","offset":9}},"high":null,
            "state":"Done","rows":7}]}]},"row_groups":[[{"database":"shop","table":"a"},[1,2]]],"position":null,"schemas":[],
            "topics":[{"name":"x","partitions":3,"written":true}]}"#;
        let good = file(body);
        let checkpoint = old::decode(good.as_bytes()).unwrap();
        let ledger = checkpoint.source.ledger.as_ref().unwrap();
        assert_eq!((ledger.all_done(), ledger.tables()[0].rows()), (true, 7));
        assert_eq!(
            (checkpoint.source.row_groups.get(&name("a")).unwrap().len(), checkpoint.topics.get("x").unwrap().written),
            (2, true)
        );
        for index in 0..good.len() {
            let mut bad = good.clone().into_bytes();
            bad[index] ^= 1;
            assert!(old::decode(&bad).is_err(), "byte {index}");
            assert!(old::decode(&good.as_bytes()[..index]).is_err(), "cut at {index}");
        }
    }
}
