//! Versions of each captured table's schema along the binlog.
//!
//! Row events carry values without names. With `binlog_row_metadata=FULL` the table map before them describes the columns;
//! with `MINIMAL`, every server's default, only the catalogue does, and it describes the present, not the moment of the
//! event. So the catalogue is read once, and from then on this history moves with the binlog:
//!
//! ```text
//! shop.orders   since binlog.000001:4                version 1   id, amount            (the catalogue)
//!               since binlog.000003:900   3e11…:41   changed by  ALTER TABLE orders    (the statement says: id, amount, note)
//!               since binlog.000003:1400  3e11…:42   version 2   id, amount, note      (the next table map agrees)
//! ```
//!
//! A statement that is understood says what it makes of a table that is known ([`Ddl`]), and the next table map has the last word: if
//! it says the same, as far as it says anything, the table has a new version; if it has names and says something else, the table is
//! what the map describes. After a statement that is not understood, the columns are unknown until a table map with names arrives. If
//! one without names arrives first, or says something else than the statement, reading stops: columns are never guessed and never
//! shifted. Whatever schema is
//! used, the decoder checks it against every table map: column count and types, and everything else that the map says. One
//! with names that says something else than what is known makes a new version, also without a statement (`sql_log_bin=0`).
//!
//! *What no table map says.* Unique keys besides the primary one and display widths are inherited from the version before, but
//! only where the statement in between has certainly not touched them ([`Clauses`](super::alter::Clauses)). A key that is gone
//! would tell consumers that rows are one which are many.
//!
//! *Where in history.* An entry holds from a transaction on. With GTIDs that is a GTID, and the entry is in force at a position
//! whose set has it: coordinates mean nothing on another server, and a reconnect by GTIDs begins at the start of a file.
//! Without GTIDs there is one server, and an entry is in force at every coordinate from its own on. A table's first entry is
//! always in force: nothing is known from before.
//!
//! *Statements that the catalogue shows already.* The position at which reading begins lies before the moment at which the
//! catalogue was read, without GTIDs by up to a whole file. A statement in between is met again, and the schema at hand has
//! it in it: it changes nothing, provided that no row before it was decoded with that schema by a table map without names. If one
//! was, its columns may have been others, and reading stops. That rows were decoded is an entry, too: a restart must know.
//!
//! *Tables that come to be.* A table is known from its CREATE TABLE on, and all its rows stand behind it. One that is met without it,
//! or after a CREATE TABLE IF NOT EXISTS, may have rows that nobody has seen: it was made or restored without a binlog, or had a
//! name that the task does not select. Reading stops before its first event, the load takes a turn ([`Turn::Load`]), and reading
//! goes on. The same at the first row of a new table whose columns nobody has said yet ([`Turn::LoadMade`]): the load finds them.
//! What decides is what the binlog says, not when the task was stopped or killed: a table whose CREATE TABLE is behind the position
//! is followed from it, however often it is read again. A table that is dropped or renamed away is forgotten.
//!
//! *Rows without row events.* TRUNCATE, DROP, partitions, tablespaces and renames move rows of which the binlog has no events.
//! The task says what then: a warning that tells what consumers have now, or a stop before the statement.
//!
//! *Names.* Statements name tables as they were typed, the catalogue and table maps as they are stored; [`NameCase`] knows
//! which are the same.
//!
//! The history is part of the checkpoint, from the version in force at the checkpoint's position on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use tracing::{info, warn};

use super::binlog::type_text_of_map;
use super::ddl::{self, Effect, UnloggedRows};
use super::definition::{Ddl, Definition, NotUnderstood, Session, TextDefault};
use tidegate_collation::Collation;
use tidegate_model::names::fold;
use tidegate_model::{
    Coordinate, Delivered, Groundwork, Gtid, NameCase, Position, Statement, Table, TableName, TableParts, UniqueKey,
    Watermark,
};

/// One entry of the history, as the checkpoint keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSchema {
    pub table: TableName,
    /// The event that made it. With a GTID it says where people can look, and nothing more.
    pub since: Coordinate,
    /// The transaction of that event. `None` on a server without GTIDs, of what the catalogue showed, and in checkpoints that
    /// did not keep it.
    #[serde(default)]
    pub gtid: Option<Gtid>,
    #[serde(deserialize_with = "state")]
    pub state: SchemaState,
}

/// What is known of a table from some point on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaState {
    Known {
        parts: TableParts,
        /// What the next statement builds on. `None` of what only a table map has told, and in checkpoints that did not keep it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        groundwork: Option<Groundwork>,
        /// If it was read from the catalogue: what had been executed before.
        #[serde(default, deserialize_with = "watermark_or_coordinate")]
        shown_until: Option<Watermark>,
        /// Rows have been decoded with it. A checkpoint that does not say so may have been written after some.
        #[serde(default = "yes")]
        is_used: bool,
    },
    /// A statement may have changed the columns; its first words, and what it has left of the table before, of which the next
    /// one inherits what a table map does not say.
    Changed {
        by: String,
        last_version: u32,
        #[serde(default)]
        kept: Option<TableParts>,
        /// What the statement has made of it, if it was understood and so was what came before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        defined: Option<Defined>,
    },
    /// It was dropped, or has another name: of the next table of this name nothing is known.
    Gone { last_version: u32 },
}

/// A definition that was read from statements: no table map has confirmed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defined {
    pub parts: TableParts,
    pub groundwork: Groundwork,
}

impl Defined {
    fn of(table: &Table) -> Option<Defined> {
        Some(Defined { parts: table.clone().into(), groundwork: table.groundwork()?.clone() })
    }

    fn table(&self) -> Table {
        Table::from(self.parts.clone()).with_groundwork(self.groundwork.clone())
    }
}

impl SchemaState {
    fn known(table: &Table, shown_until: Option<Watermark>, is_used: bool) -> SchemaState {
        let (parts, groundwork) = (TableParts::from(table.clone()), table.groundwork().cloned());
        SchemaState::Known { parts, groundwork, shown_until, is_used }
    }
}

/// Older checkpoints have a table that was dropped as one that changed.
fn state<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SchemaState, D::Error> {
    const DROPPED: [&str; 3] = ["DROP TABLE ", "DROP DATABASE ", "DROP SCHEMA "];
    let is_drop = |by: &str| DROPPED.iter().any(|words| by.to_ascii_uppercase().starts_with(words));
    Ok(match SchemaState::deserialize(deserializer)? {
        SchemaState::Changed { by, last_version, .. } if is_drop(&by) => SchemaState::Gone { last_version },
        state => state,
    })
}

fn yes() -> bool {
    true
}

/// A watermark, or the bare coordinate that older checkpoints have.
fn watermark_or_coordinate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Watermark>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Watermark(Watermark),
        Coordinate(Coordinate),
    }
    Ok(Option::<Stored>::deserialize(deserializer)?.map(|stored| match stored {
        Stored::Watermark(watermark) => watermark,
        Stored::Coordinate(coordinate) => Watermark::Coordinate(coordinate),
    }))
}

impl StoredSchema {
    /// A table as the catalogue shows it, of which what is known begins at `since`; `shown_until` is where the catalogue was read.
    pub fn shown(table: &Table, since: &Coordinate, shown_until: Watermark) -> StoredSchema {
        StoredSchema {
            table: table.name().clone(),
            since: since.clone(),
            gtid: None,
            state: SchemaState::known(table, Some(shown_until), false),
        }
    }

    /// Whether whoever starts at `position` is behind the entry, or in a transaction that is.
    fn is_in_force(&self, position: &Position) -> bool {
        match (&self.gtid, &position.gtids) {
            (Some(gtid), Some(gtids)) => gtids.contains(gtid),
            (_, None) => self.since <= position.coordinate,
            // From a checkpoint without GTIDs in its entries. Its coordinate may be another server's; what holds from the entry
            // on is safe before it: the columns are unknown, or table maps have their names.
            (None, Some(_)) => true,
        }
    }

    /// Whether it was found at the same place of history, and says the same.
    fn is_same(&self, other: &StoredSchema) -> bool {
        let same_place = match (&self.gtid, &other.gtid) {
            (Some(gtid), Some(other)) => gtid == other,
            (None, None) => self.since == other.since,
            _ => false,
        };
        self.table == other.table && same_place && self.state == other.state
    }
}

/// Adds an entry, unless an earlier run has found it already.
pub fn record(entries: &mut Vec<StoredSchema>, entry: StoredSchema) {
    if !entries.iter().any(|known| known.is_same(&entry)) {
        entries.push(entry);
    }
}

/// Whether [`prune`] finds anything to drop or to forget in the entries of one table.
pub fn is_prunable(entries: &[StoredSchema], position: &Position) -> bool {
    let is_shown = |entry: &StoredSchema| match &entry.state {
        SchemaState::Known { shown_until, .. } => {
            shown_until.as_ref().is_some_and(|shown_until| is_behind(position, shown_until))
        }
        SchemaState::Changed { .. } | SchemaState::Gone { .. } => false,
    };
    let is_gone = |entry: &StoredSchema| matches!(entry.state, SchemaState::Gone { .. }) && entry.is_in_force(position);
    // The first holds until one behind it does.
    entries.iter().any(|entry| is_shown(entry) || is_gone(entry))
        || entries.iter().skip(1).any(|entry| entry.is_in_force(position))
}

/// Drops what nobody who starts at `position` can need: entries, and until when the catalogue had shown everything. Gives back
/// tables that are gone and of which nothing is left; `is_loaded` tells of those that must stay for the load.
pub fn prune(
    entries: &mut Vec<StoredSchema>,
    position: &Position,
    is_loaded: impl Fn(&TableName) -> bool,
) -> Vec<TableName> {
    let mut in_force: HashMap<&TableName, usize> = HashMap::new();
    let mut superseded = vec![false; entries.len()];
    // Entries stand in the order in which they came to be.
    for (index, entry) in entries.iter().enumerate() {
        match in_force.get_mut(&entry.table) {
            Some(before) if entry.is_in_force(position) => {
                superseded[*before] = true;
                *before = index;
            }
            Some(_) => {}
            // The first.
            None => _ = in_force.insert(&entry.table, index),
        }
    }
    let mut superseded = superseded.into_iter();
    entries.retain(|_| superseded.next() == Some(false));
    let mut left: HashMap<&TableName, u32> = HashMap::new();
    entries.iter().for_each(|entry| *left.entry(&entry.table).or_default() += 1);
    let is_gone = |entry: &&StoredSchema| {
        matches!(entry.state, SchemaState::Gone { .. })
            && left[&entry.table] == 1
            && entry.is_in_force(position)
            && !is_loaded(&entry.table)
    };
    let gone: BTreeSet<TableName> = entries.iter().filter(is_gone).map(|entry| entry.table.clone()).collect();
    entries.retain(|entry| !gone.contains(&entry.table));
    for entry in entries {
        if let SchemaState::Known { shown_until, .. } = &mut entry.state
            && shown_until.as_ref().is_some_and(|shown_until| is_behind(position, shown_until))
        {
            *shown_until = None;
        }
    }
    gone.into_iter().collect()
}

/// Whether everything up to the watermark has been read.
pub(super) fn is_behind(position: &Position, watermark: &Watermark) -> bool {
    match (watermark, &position.gtids) {
        (Watermark::Gtids(set), Some(gtids)) => gtids.contains_set(set),
        (Watermark::Coordinate(coordinate), None) => *coordinate <= position.coordinate,
        // Of another kind: from a checkpoint that kept coordinates only.
        _ => true,
    }
}

const PRIMARY: &str = "PRIMARY";

/// Whether a table is captured, by database and name.
pub type Captured = Box<dyn Fn(&str, &str) -> bool + Send>;

/// What a statement does to the task that moves rows of captured tables without row events:
/// TRUNCATE, DROP TABLE, partitions that are dropped, truncated or exchanged, tablespaces that are discarded or imported,
/// renames. Default `warn`: most such statements are meant, and what consumers keep of the rows is theirs to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnloggedRowsPolicy {
    /// The log tells what consumers have now.
    Warn,
    /// Where rows came, the table is loaded once more while changes wait; where rows went, as `warn`.
    Reload,
    /// The task ends before the statement, each time it is started, until this option is another.
    Stop,
}

impl UnloggedRowsPolicy {
    /// As a task file has them.
    pub const WORDS: &[(&str, Self)] = &[
        ("warn", UnloggedRowsPolicy::Warn),
        ("reload", UnloggedRowsPolicy::Reload),
        ("stop", UnloggedRowsPolicy::Stop),
    ];
}

/// What a history has to know of server and task.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub names: NameCase,
    pub unlogged_rows: UnloggedRowsPolicy,
}

#[cfg(test)]
pub const RULES: Rules = Rules { names: NameCase::Exact, unlogged_rows: UnloggedRowsPolicy::Warn };

/// What the full load has to do with rows that a statement moves without row events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// Its chunks were read behind the statement: consumers have what there is.
    Shown,
    /// It is not about the load: the table was never loaded by what is known of it.
    NotLoaded,
    /// The table is loaded behind the statement, or was gone by then: what it moves is of no consequence.
    Covered,
    /// Rows were sent that the statement has moved: the task says what then.
    Unknown,
    /// Reading stops before the statement, for the load has to take a turn first.
    Turn(Turn),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// From the statement on, every change of the table is emitted: what chunks have shown behind it is gone where the statement
    /// is carried out.
    Replay,
    /// All rows of the table are to be read once more: some came without row events.
    LoadAgain,
    /// All rows of the table are to be read: nothing was known of it, and not all of them have row events that were or will be
    /// read. Rows of an earlier table of this name may have been sent.
    Load,
    /// The same of a table of which the CREATE TABLE was read, but no row.
    LoadMade,
}

/// Tells what the full load has to do with a statement.
pub type Judge = Box<dyn Fn(&TableName, UnloggedRows, Here<'_>) -> Moved + Send>;

/// Tells whether the load has shown everything of a table up to a transaction, so that none of its changes leaves.
pub type Shows = Box<dyn Fn(&TableName, Here<'_>) -> bool + Send>;

/// An event and the transaction that it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Here<'a> {
    pub at: &'a Coordinate,
    pub gtid: Option<&'a Gtid>,
}

impl Here<'_> {
    fn is_covered_by(&self, shown_until: &Option<Watermark>) -> bool {
        shown_until.as_ref().is_some_and(|shown_until| shown_until.covers(self.gtid, self.at))
    }

    fn entry(&self, table: &TableName, state: SchemaState) -> StoredSchema {
        StoredSchema { table: table.clone(), since: self.at.clone(), gtid: self.gtid.cloned(), state }
    }
}

/// The schemas of captured tables at the point that the reader has reached.
pub struct History {
    captured: Captured,
    rules: Rules,
    judge: Judge,
    /// Statements at which reading does not stop.
    pass: Vec<Coordinate>,
    /// Statements before it have been judged by an earlier run, too, where a position goes back behind what is delivered.
    judged_until: Option<Delivered>,
    shows: Shows,
    /// By [`NameCase::key`].
    now: BTreeMap<TableName, Entry>,
    /// The character sets and collations that databases have by statements that were read.
    databases: BTreeMap<TableName, TextDefault>,
    /// Told of every new entry, so that it reaches the checkpoint before any position behind it.
    record: Box<dyn FnMut(StoredSchema) + Send>,
}

struct Entry {
    /// As it is stored on the server.
    name: TableName,
    now: Now,
}

enum Now {
    Known {
        table: Arc<Table>,
        /// Statements before it are in the schema already.
        shown_until: Option<Watermark>,
        /// Rows have been decoded with it.
        is_used: bool,
    },
    Changed {
        by: String,
        at: Coordinate,
        kept: Option<Arc<Table>>,
        /// By the statement itself, at the next version.
        defined: Option<Arc<Table>>,
        last_version: u32,
    },
    Gone {
        last_version: u32,
    },
}

/// What a statement leaves of the table before: see [`SchemaState::Changed`].
type Keep<'a> = &'a dyn Fn(Option<&Table>) -> Option<TableParts>;

/// The binlog and what is known of a table do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("columns of table {table} are unknown since {at}, where `{statement}` changed them")]
    Changed { table: TableName, at: Coordinate, statement: String },
    #[error(
        "rows of table {table} stand in the binlog before `{statement}` at {at}, which happened before this task began"
    )]
    RowsBefore { table: TableName, at: Coordinate, statement: String },
    #[error("table {table} is in the binlog, but the catalogue did not have it when this task began")]
    Unknown { table: TableName },
    #[error("table {table}: {reason}")]
    Mismatch { table: TableName, reason: String },
    #[error("`{statement}` may have changed rows of {} in statement format, without row events", list(.tables))]
    StatementFormat {
        /// Those that it names; it may have changed others.
        tables: Vec<TableName>,
        statement: String,
    },
    /// No error: whoever reads goes on once the load has done its part.
    #[error("before `{statement}`, the full load of table {table} has to take a turn")]
    Turn { table: TableName, statement: String, turn: Turn },
    #[error("`{statement}` moves rows of table {table} without row events: behind it, {}", .rows.consequence())]
    UnloggedRows { table: TableName, statement: String, rows: UnloggedRows },
}

fn list(tables: &[TableName]) -> String {
    match tables {
        [] => "captured tables".to_owned(),
        [table] => format!("table {table}"),
        [first, others @ ..] => format!("table {first} and {} other tables", others.len()),
    }
}

impl HistoryError {
    pub fn hint(&self) -> &'static str {
        match self {
            HistoryError::Changed { .. } | HistoryError::Unknown { .. } | HistoryError::Mismatch { .. } => {
                "SET GLOBAL binlog_row_metadata = FULL makes the binlog describe its tables from then on; for what is already written, begin again with a full load (move the state folder away), on a server without GTIDs after FLUSH BINARY LOGS"
            }
            HistoryError::RowsBefore { .. } => {
                "FLUSH BINARY LOGS, then begin again with a full load (move the state folder away): a server without GTIDs has its binlog read from the start of a file"
            }
            HistoryError::Turn { .. } => "report this: the reader takes turns by itself",
            HistoryError::StatementFormat { .. } => {
                "SET GLOBAL binlog_format = ROW, find the session that set another format, and begin again with a full load (move the state folder away), on a server without GTIDs after FLUSH BINARY LOGS"
            }
            HistoryError::UnloggedRows { .. } => {
                "`incremental: {unlogged_rows: warn}` goes on and leaves the topic so; or begin again with a full load (move the state folder away)"
            }
        }
    }
}

impl History {
    /// `stored` are the checkpoint's entries, or the catalogue's tables for a task that begins.
    ///
    /// Starts with the versions in force at `position`; later ones are found again as the reader gets there.
    pub fn new(
        stored: &[StoredSchema],
        position: &Position,
        captured: Captured,
        rules: Rules,
        record: Box<dyn FnMut(StoredSchema) + Send>,
    ) -> History {
        let mut now = BTreeMap::new();
        for entry in stored {
            let key = rules.names.key(&entry.table);
            // A table's first entry describes it since before the position, even if it was read a moment later.
            if !entry.is_in_force(position) && now.contains_key(&key) {
                continue;
            }
            let state = match &entry.state {
                SchemaState::Known { parts, groundwork, shown_until, is_used } => Now::Known {
                    table: Arc::new(match groundwork {
                        Some(groundwork) => Table::from(parts.clone()).with_groundwork(groundwork.clone()),
                        None => Table::from(parts.clone()),
                    }),
                    shown_until: shown_until.clone().filter(|shown_until| !is_behind(position, shown_until)),
                    is_used: *is_used,
                },
                SchemaState::Changed { by, last_version, kept, defined } => Now::Changed {
                    by: by.clone(),
                    at: entry.since.clone(),
                    kept: kept.clone().map(|parts| Arc::new(Table::from(parts))),
                    defined: defined.as_ref().map(|defined| Arc::new(defined.table())),
                    last_version: *last_version,
                },
                SchemaState::Gone { last_version } => Now::Gone { last_version: *last_version },
            };
            now.insert(key, Entry { name: entry.table.clone(), now: state });
        }
        let is_back = |delivered: &&Delivered| position.gtids.is_none() || delivered.gtids.is_some();
        History {
            captured,
            rules,
            judge: Box::new(|_, _, _| Moved::NotLoaded),
            shows: Box::new(|_, _| false),
            pass: Vec::new(),
            judged_until: position.delivered.as_ref().filter(is_back).cloned(),
            now,
            databases: BTreeMap::new(),
            record,
        }
    }

    /// Asks `judge` before a statement that moves rows without row events.
    pub fn with_judge(self, judge: Judge) -> History {
        History { judge, ..self }
    }

    /// Passes over the statements at these places, whatever rows they changed in statement format.
    pub fn passing(self, pass: &[Coordinate]) -> History {
        History { pass: pass.to_vec(), ..self }
    }

    /// Of what `shows` is true, no change is read.
    pub fn with_shows(self, shows: Shows) -> History {
        History { shows, ..self }
    }

    /// Whether the load has shown all that the table's changes in this transaction say.
    pub fn is_shown(&self, name: &TableName, here: Here<'_>) -> bool {
        let entry = self.now.get(&self.rules.names.key(name));
        (self.shows)(entry.map_or(name, |entry| &entry.name), here)
    }

    fn is_captured(&self, name: &TableName) -> bool {
        (self.captured)(&name.database, &name.table)
    }

    /// The schema for a table map.
    ///
    /// `described` is the table as the map itself describes it, where it does; `fits` checks a schema against everything that
    /// the map says.
    pub fn resolve(
        &mut self,
        name: &TableName,
        described: Option<TableParts>,
        fits: impl Fn(&Table) -> Result<(), String>,
        here: Here<'_>,
    ) -> Result<Option<Arc<Table>>, HistoryError> {
        let key = self.rules.names.key(name);
        // A table map may not have the case that the catalogue has.
        let name = self.now.get(&key).map_or_else(|| name.clone(), |entry| entry.name.clone());
        if !self.is_captured(&name) {
            return Ok(None);
        }
        let mut differs = None;
        if let Some(Entry { now: Now::Known { table, is_used, shown_until }, .. }) = self.now.get_mut(&key) {
            match (fits(table), &described) {
                (Ok(()), described) => {
                    // A collation that the map names is the one by which the server compares from here on.
                    if let Some(other) = described.as_ref().and_then(|described| with_collations(table, described)) {
                        let other = Arc::new(other.of_version(table.version() + 1));
                        return Ok(Some(self.adopt(key, name, other, here)));
                    }
                    // Of a map that describes its table, rows are what it says, whatever a statement behind them did.
                    let is_first = described.is_none() && !std::mem::replace(is_used, true);
                    if is_first && here.is_covered_by(shown_until) {
                        let state = SchemaState::known(table, shown_until.clone(), true);
                        (self.record)(here.entry(&name, state));
                    }
                    return Ok(Some(table.clone()));
                }
                (Err(reason), None) => return Err(HistoryError::Mismatch { table: name, reason }),
                (Err(reason), Some(_)) => differs = Some(reason),
            }
        }
        let known = self.now.get(&key).map(|entry| &entry.now);
        // What the statement has made of it, if that is what the map says.
        let mut defined = None;
        if let Some(Now::Changed { defined: Some(table), kept, .. }) = known {
            // A map says which columns may be NULL; of a TIMESTAMP, an older server's statement may not.
            let other = || {
                let other = Definition::of(table).with_other_timestamps(kept.as_deref())?;
                Some(Arc::new(other.table(name.clone(), table.version()))).filter(|other| fits(other).is_ok())
            };
            match fits(table) {
                Ok(()) => defined = Some(table.clone()),
                Err(reason) => {
                    defined = other();
                    differs = Some(reason).filter(|_| defined.is_none());
                }
            }
        }
        let turn = match known {
            None | Some(Now::Gone { .. }) => Some(Turn::Load),
            Some(Now::Changed { .. }) if described.is_some() || defined.is_some() => None,
            // New, and nobody says what its columns are: also one in the place of another that was dropped.
            Some(Now::Changed { by, .. }) if is_by(by, "CREATE") => Some(Turn::LoadMade),
            Some(Now::Changed { last_version: 0, .. }) => Some(Turn::Load),
            // Its rows are another table's, which the task loads: it finds their columns, too.
            Some(Now::Changed { by, .. })
                if is_by(by, "RENAME") && self.rules.unlogged_rows == UnloggedRowsPolicy::Reload =>
            {
                Some(Turn::Load)
            }
            Some(Now::Changed { .. } | Now::Known { .. }) => None,
        };
        if let Some(turn) = turn
            && matches!((self.judge)(&name, UnloggedRows::Unseen, here), Moved::Turn(_))
        {
            return Err(HistoryError::Turn { table: name, statement: "its first rows".to_owned(), turn });
        }
        if let Some(table) = defined {
            let other = described.as_ref().and_then(|described| with_collations(&table, described));
            return Ok(Some(self.adopt(key, name, other.map_or(table, Arc::new), here)));
        }
        let Some(mut parts) = described else {
            return Err(match known {
                Some(Now::Changed { defined: Some(_), by, at, .. }) => HistoryError::Mismatch {
                    reason: format!(
                        "since `{by}` at {at}, by which we take it for other columns: {}",
                        differs.unwrap_or_default()
                    ),
                    table: name,
                },
                Some(Now::Changed { by, at, .. }) => {
                    HistoryError::Changed { table: name, at: at.clone(), statement: by.clone() }
                }
                _ => HistoryError::Unknown { table: name },
            });
        };
        let (kept, last_version) = match known {
            // Whatever changed it was not seen, and may have touched anything.
            Some(Now::Known { table, .. }) => (None, table.version()),
            Some(Now::Changed { kept, last_version, .. }) => (kept.clone(), *last_version),
            Some(Now::Gone { last_version }) => (None, *last_version),
            None => (None, 0),
        };
        parts.name = name.clone();
        parts.version = last_version + 1;
        if let Some(kept) = &kept {
            inherit(&mut parts, kept);
        }
        let table = Arc::new(Table::from(parts.clone()));
        fits(&table).map_err(|reason| HistoryError::Mismatch { table: name.clone(), reason })?;
        match (differs, known) {
            (Some(reason), Some(Now::Changed { by, .. })) => {
                warn!(table = %name, at = %here.at, statement = by, reason, "the binlog describes the table other than its statement");
            }
            (Some(reason), _) => {
                warn!(table = %name, at = %here.at, reason, "definition changed without a statement in the binlog");
            }
            (None, _) => {}
        }
        if kept.is_none() && last_version > 0 {
            info!(table = %name, "display widths, and unique keys besides the primary one, are not known any more");
        }
        Ok(Some(self.adopt(key, name, table, here)))
    }

    /// The table is this from here on.
    fn adopt(&mut self, key: TableName, name: TableName, table: Arc<Table>, here: Here<'_>) -> Arc<Table> {
        let keys: Vec<&str> = table.unique_keys().iter().map(|key| key.name.as_str()).collect();
        info!(
            table = %name,
            version = table.version(),
            columns = table.columns().len(),
            keys = keys.join(","),
            at = %here.at,
            "schema changed"
        );
        (self.record)(here.entry(&name, SchemaState::known(&table, None, true)));
        self.now
            .insert(key, Entry { name, now: Now::Known { table: table.clone(), shown_until: None, is_used: true } });
        table
    }

    /// A statement in the binlog that is neither a transaction's frame nor rows. Gives it back if it touches captured tables,
    /// unless the catalogue showed what it did before reading began.
    pub fn statement(
        &mut self,
        database: &str,
        sql: &str,
        session: &Session,
        here: Here<'_>,
    ) -> Result<Option<Statement>, HistoryError> {
        let effects = ddl::effects(sql, database);
        if effects.contains(&Effect::Rows) && !self.has_shown_all(here) {
            let tables = self.now.values().map(|entry| &entry.name);
            let tables: Vec<TableName> =
                tables.filter(|table| ddl::mentions(sql, database, table, self.rules.names)).cloned().collect();
            let statement = ddl::first_words(sql);
            let is_judged = self.judged_until.as_ref().is_some_and(|delivered| match &delivered.gtids {
                Some(gtids) => here.gtid.is_some_and(|gtid| gtids.contains(gtid)),
                None => *here.at < delivered.until,
            });
            if !is_judged && !self.pass.contains(here.at) {
                return Err(HistoryError::StatementFormat { tables, statement });
            }
            warn!(at = %here.at, statement, "passed over, as told: rows of {} that it has changed are not sent", list(&tables));
        }
        // Before anything else: a task that stops here stops here again.
        for table in self.unseen_tables(&effects, here) {
            if let Moved::Turn(turn) = (self.judge)(&table, UnloggedRows::Unseen, here) {
                return Err(HistoryError::Turn { table, statement: ddl::first_words(sql), turn });
            }
        }
        let mut shown = Vec::new();
        for (table, rows) in self.unlogged_rows(&effects) {
            match (self.judge)(&table, rows, here) {
                Moved::Shown => {
                    shown.push(table);
                    continue;
                }
                Moved::Covered => continue,
                // From before the task began.
                Moved::NotLoaded if self.has_shown(&table, here) => continue,
                Moved::NotLoaded | Moved::Unknown if rows == UnloggedRows::Rewritten => continue,
                Moved::NotLoaded | Moved::Unknown => {}
                Moved::Turn(turn) => return Err(HistoryError::Turn { table, statement: ddl::first_words(sql), turn }),
            }
            if self.rules.unlogged_rows == UnloggedRowsPolicy::Stop {
                return Err(HistoryError::UnloggedRows { table, statement: ddl::first_words(sql), rows });
            }
            let statement = ddl::first_words(sql);
            warn!(table = %table, at = %here.at, statement, "rows moved without row events: {}", rows.consequence());
        }
        let ddl = Ddl::read(sql, database, session);
        if let Ok(ddl) = &ddl {
            self.database(ddl, here);
        }
        let understood = || ddl.as_ref().map_err(NotUnderstood::clone);
        // Definitions under names that are not captured, and no longer than the statement lasts.
        let mut passing: HashMap<TableName, Option<Definition>> = HashMap::new();
        let mut touched: Vec<TableName> = Vec::new();
        for effect in &effects {
            match effect {
                Effect::Created { table, if_not_exists, .. } => {
                    for table in self.captured_as(table) {
                        // The server logs IF NOT EXISTS for a table that exists, where it changed nothing.
                        // Of a table that nobody has heard of, its first row will ask whether it was there before.
                        let may_have_been =
                            || matches!((self.judge)(&table, UnloggedRows::Unseen, here), Moved::Turn(_));
                        if *if_not_exists && (self.knows(&table) || may_have_been()) {
                            touched.push(table);
                        } else {
                            let text = self.database_text(&table.database, here);
                            let defined = understood().and_then(|ddl| {
                                let like = ddl.like().and_then(|like| self.captured_as(like).into_iter().next());
                                ddl.created(text, like.and_then(|like| self.definition(&like)).as_ref())
                            });
                            touched.extend(self.mark_changed(&table, sql, here, &|_| None, defined)?);
                        }
                    }
                }
                Effect::Altered { table, clauses } => {
                    for table in self.captured_as(table) {
                        let before = self.definition(&table).ok_or_else(NotUnderstood::before);
                        let defined = before.and_then(|before| understood()?.altered(&before));
                        touched.extend(self.mark_changed(
                            &table,
                            sql,
                            here,
                            &|before| clauses.kept(before?),
                            defined,
                        )?);
                    }
                }
                Effect::Dropped(table) => {
                    for table in self.captured_as(table) {
                        touched.extend(self.mark_gone(&table, sql, here)?);
                    }
                }
                Effect::Renamed { from, to } => {
                    let kept = self.kept_of(from);
                    let source = self.captured_as(from).into_iter().next();
                    let definition = match &source {
                        Some(source) => self.definition(source),
                        None => passing.remove(&self.rules.names.key(from)).flatten(),
                    };
                    let mut renamed = Vec::new();
                    for table in self.captured_as(from) {
                        renamed.extend(self.mark_gone(&table, sql, here)?);
                    }
                    let onto = self.captured_as(to);
                    if onto.is_empty() {
                        passing.insert(self.rules.names.key(to), definition.clone());
                    }
                    for table in onto {
                        let mut defined = definition.clone().ok_or_else(NotUnderstood::before);
                        if let Ok(defined) = &mut defined {
                            defined.set_database_text(self.database_text(&table.database, here));
                        }
                        touched.extend(self.mark_changed(&table, sql, here, &|_| kept.clone(), defined)?);
                    }
                    touched.extend(renamed);
                }
                Effect::DroppedDatabase(dropped) => {
                    for table in self.known_in(dropped) {
                        touched.extend(self.mark_gone(&table, sql, here)?);
                    }
                }
                Effect::Unlogged { table, .. } => {
                    let news = |table: &TableName| !self.has_shown(table, here);
                    touched.extend(self.captured_as(table).into_iter().filter(news));
                }
                Effect::Indexed { table, dropped } => {
                    for table in self.captured_as(table) {
                        let before = self.definition(&table).ok_or_else(NotUnderstood::before);
                        match (before.and_then(|before| understood()?.altered(&before)), dropped) {
                            (Ok(defined), _) => self.index(&table, &defined, here),
                            (Err(_), Some(index)) => self.drop_key(&table, index, here),
                            (Err(_), None) => {}
                        }
                        touched.push(table);
                    }
                }
                Effect::Rows => {}
            }
        }
        // An ALTER that renames touches a table twice; a rename to a name that is not captured is about the old one.
        let mut tables: Vec<TableName> = Vec::new();
        let renamed = effects.iter().filter_map(|effect| match effect {
            Effect::Renamed { to, .. } => Some(self.captured_as(to)),
            _ => None,
        });
        for table in renamed.flatten().chain(touched.iter().cloned()) {
            if touched.contains(&table) && !tables.contains(&table) {
                tables.push(table);
            }
        }
        // What is older than all rows that were sent is no news to who has them.
        tables.retain(|table| !shown.contains(table));
        Ok((!tables.is_empty()).then(|| Statement {
            kind: ddl::kind(sql, &effects),
            tables,
            sql: sql.to_owned(),
            default_database: database.to_owned(),
        }))
    }

    /// The captured tables of which a statement with these effects, standing `here`, has rows go or come without row events.
    ///
    /// Not those that the catalogue has shown after it, before any row was read; nor those that nobody has heard of, unless
    /// rows may have come.
    fn unlogged_rows(&self, effects: &[Effect]) -> Vec<(TableName, UnloggedRows)> {
        let mut out = Vec::new();
        for effect in effects {
            if let Effect::DroppedDatabase(dropped) = effect {
                out.extend(self.known_in(dropped).into_iter().map(|table| (table, UnloggedRows::Dropped)));
            }
            if let Effect::Altered { table, clauses } = effect {
                let renumbers = |table: &TableName| clauses.may_renumber(&self.key_of(table));
                let tables = self.captured_as(table).into_iter().filter(renumbers);
                out.extend(tables.map(|table| (table, UnloggedRows::Rewritten)));
            }
            for (name, rows) in effect.unlogged_rows() {
                let tables = self.captured_as(name).into_iter();
                let concerns = |table: &TableName| rows.adds() || self.knows(table);
                out.extend(tables.filter(concerns).map(|table| (table, rows)));
            }
        }
        out
    }

    /// The captured tables that a statement with these effects shows to be there, or to come, with rows of which none was sent:
    /// it is not their CREATE TABLE, and nothing was known of them before.
    fn unseen_tables(&self, effects: &[Effect], here: Here<'_>) -> Vec<TableName> {
        // What a load has shown that was read behind the statement is not what the name meant before.
        let is_sent = |name: &TableName| {
            self.captured_as(name).iter().any(|table| self.knows(table) && !(self.shows)(table, here))
        };
        let mut out: Vec<TableName> = Vec::new();
        for effect in effects {
            let name = match effect {
                // A chain of names within the statement begins with a table that is known, or with one that is not.
                Effect::Renamed { from, to } if !is_sent(from) => to,
                Effect::Altered { table, .. } | Effect::Unlogged { table, .. } => table,
                _ => continue,
            };
            out.extend(self.captured_as(name).into_iter().filter(|table| !self.knows(table)));
        }
        out
    }

    /// Whether there is a table of this name as far as the binlog and the catalogue have told.
    fn knows(&self, table: &TableName) -> bool {
        let entry = self.now.get(&self.rules.names.key(table));
        entry.is_some_and(|entry| !matches!(entry.now, Now::Gone { .. }))
    }

    /// The captured tables that a name in a statement can mean.
    fn captured_as(&self, written: &TableName) -> Vec<TableName> {
        let names = self.rules.names;
        let key = names.key(written);
        let mut tables: Vec<TableName> = match names {
            NameCase::Exact | NameCase::Folded => {
                self.now.get(&key).map(|entry| entry.name.clone()).into_iter().collect()
            }
            NameCase::Unknown => {
                let can_mean = |name: &TableName| {
                    names.can_mean(&written.database, &name.database) && names.can_mean(&written.table, &name.table)
                };
                self.now.values().map(|entry| &entry.name).filter(|name| can_mean(name)).cloned().collect()
            }
        };
        if tables.is_empty() {
            tables.push(key);
        }
        tables.retain(|table| self.is_captured(table));
        tables
    }

    fn known_in(&self, database: &str) -> Vec<TableName> {
        let known = self.now.values().filter(|entry| !matches!(entry.now, Now::Gone { .. }));
        let is_in = |name: &&TableName| self.rules.names.can_mean(database, &name.database) && self.is_captured(name);
        known.map(|entry| &entry.name).filter(is_in).cloned().collect()
    }

    /// Whether the catalogue, read later than this statement ran, has shown the table as no row was decoded with it yet.
    fn has_shown(&self, table: &TableName, here: Here<'_>) -> bool {
        let entry = self.now.get(&self.rules.names.key(table));
        entry.is_some_and(|entry| entry.now.is_shown_and_unused(here))
    }

    /// Names of the columns that identify the table's rows, as far as they are known.
    fn key_of(&self, table: &TableName) -> Vec<String> {
        match self.now.get(&self.rules.names.key(table)).map(|entry| &entry.now) {
            Some(Now::Known { table, .. }) => {
                table.key().iter().map(|&column| table.columns()[column].name.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The same of all tables.
    fn has_shown_all(&self, here: Here<'_>) -> bool {
        !self.now.is_empty() && self.now.values().all(|entry| entry.now.is_shown_and_unused(here))
    }

    /// Gives the table back if the statement is news. `keep` tells what it leaves of the table before, `defined` what it makes.
    fn mark_changed(
        &mut self,
        table: &TableName,
        sql: &str,
        here: Here<'_>,
        keep: Keep<'_>,
        defined: Result<Definition, NotUnderstood>,
    ) -> Result<Option<TableName>, HistoryError> {
        let key = self.rules.names.key(table);
        let by = ddl::first_words(sql);
        if !self.is_news(table, sql, here)? {
            return Ok(None);
        }
        let (before, last_version) = match self.now.remove(&key).map(|entry| entry.now) {
            Some(Now::Known { table: known, .. }) => (Some(known.clone()), known.version()),
            Some(Now::Changed { kept, last_version, .. }) => (kept, last_version),
            Some(Now::Gone { last_version }) => (None, last_version),
            None => (None, 0),
        };
        let kept = keep(before.as_deref());
        match &defined {
            Ok(_) => info!(table = %table, at = %here.at, statement = by, "definition may have changed"),
            Err(reason) => info!(table = %table, at = %here.at, statement = by, %reason, "definition may have changed"),
        }
        let defined = defined.ok().map(|defined| defined.table(table.clone(), last_version + 1));
        let stored = defined.as_ref().and_then(Defined::of);
        let state = SchemaState::Changed { by: by.clone(), last_version, kept: kept.clone(), defined: stored };
        (self.record)(here.entry(table, state));
        let kept = kept.map(|parts| Arc::new(Table::from(parts)));
        let now = Now::Changed { by, at: here.at.clone(), kept, defined: defined.map(Arc::new), last_version };
        self.now.insert(key, Entry { name: table.clone(), now });
        Ok(Some(table.clone()))
    }

    /// The same for a statement that takes the table away.
    fn mark_gone(&mut self, table: &TableName, sql: &str, here: Here<'_>) -> Result<Option<TableName>, HistoryError> {
        if !self.is_news(table, sql, here)? {
            return Ok(None);
        }
        let key = self.rules.names.key(table);
        let last_version = match self.now.remove(&key).map(|entry| entry.now) {
            Some(Now::Known { table, .. }) => table.version(),
            Some(Now::Changed { last_version, .. } | Now::Gone { last_version }) => last_version,
            // Nobody has heard of it.
            None => return Ok(Some(table.clone())),
        };
        info!(table = %table, at = %here.at, statement = ddl::first_words(sql), "table is gone");
        (self.record)(here.entry(table, SchemaState::Gone { last_version }));
        // Chunks are known by the version that was cut: what comes next is not that.
        if (self.judge)(table, UnloggedRows::Dropped, here) != Moved::NotLoaded {
            self.now.insert(key, Entry { name: table.clone(), now: Now::Gone { last_version } });
        }
        Ok(Some(table.clone()))
    }

    /// Whether a statement on the table is not in what is known of it already.
    fn is_news(&self, table: &TableName, sql: &str, here: Here<'_>) -> Result<bool, HistoryError> {
        match self.now.get(&self.rules.names.key(table)).map(|entry| &entry.now) {
            Some(Now::Known { shown_until, is_used, .. }) if here.is_covered_by(shown_until) => match is_used {
                false => Ok(false),
                true => Err(HistoryError::RowsBefore {
                    table: table.clone(),
                    at: here.at.clone(),
                    statement: ddl::first_words(sql),
                }),
            },
            _ => Ok(true),
        }
    }

    /// An index is gone: columns and rows are the same, but it does not identify rows any more if it did.
    fn drop_key(&mut self, table: &TableName, index: &str, here: Here<'_>) {
        let Some(entry) = self.now.get_mut(&self.rules.names.key(table)) else { return };
        if entry.now.is_shown_and_unused(here) {
            return;
        }
        let less = |table: &Table| {
            let mut parts = TableParts::from(table.clone());
            parts.unique_keys.retain(|key| fold(&key.name) != fold(index));
            (parts.unique_keys.len() < table.unique_keys().len()).then_some(parts)
        };
        let state = match &mut entry.now {
            Now::Known { table, shown_until, is_used } => {
                let Some(mut parts) = less(table) else { return };
                parts.version += 1;
                *table = Arc::new(Table::from(parts.clone()));
                SchemaState::known(table, shown_until.clone(), *is_used)
            }
            Now::Changed { by, kept, defined, last_version, .. } => {
                // What was made of it had the key, or may have had it.
                *defined = None;
                if let Some(parts) = kept.as_deref().and_then(less) {
                    *kept = Some(Arc::new(Table::from(parts)));
                }
                let kept = kept.as_deref().map(|kept| TableParts::from(kept.clone()));
                SchemaState::Changed { by: by.clone(), last_version: *last_version, kept, defined: None }
            }
            Now::Gone { .. } => return,
        };
        info!(table = %entry.name, at = %here.at, index, "a unique key is gone");
        let name = entry.name.clone();
        (self.record)(here.entry(&name, state));
    }

    /// An index came or went by a statement that is understood: rows go on, and are known by other keys if those are others.
    fn index(&mut self, table: &TableName, defined: &Definition, here: Here<'_>) {
        let Some(entry) = self.now.get_mut(&self.rules.names.key(table)) else { return };
        let name = entry.name.clone();
        let state = match &mut entry.now {
            Now::Known { shown_until, .. } if here.is_covered_by(shown_until) => return,
            Now::Known { table, shown_until, is_used } => {
                let same = defined.table(name.clone(), table.version());
                let is_same = same.is_defined_as(table);
                let is_left = |key: &&UniqueKey| same.unique_keys().iter().any(|other| other.name == key.name);
                for key in table.unique_keys().iter().filter(|key| !is_left(key)) {
                    info!(table = %name, at = %here.at, index = key.name, "a unique key is gone");
                }
                *table = Arc::new(if is_same { same } else { defined.table(name.clone(), table.version() + 1) });
                SchemaState::known(table, shown_until.clone(), *is_used)
            }
            Now::Changed { by, kept, defined: before, last_version, .. } => {
                let after = defined.table(name.clone(), *last_version + 1);
                let has =
                    |key: &UniqueKey| after.unique_keys().iter().any(|other| fold(&other.name) == fold(&key.name));
                if let Some(table) = kept {
                    let mut parts = TableParts::from(Table::clone(table));
                    parts.unique_keys.retain(has);
                    *table = Arc::new(Table::from(parts));
                }
                let stored = Defined::of(&after);
                *before = Some(Arc::new(after));
                let kept = kept.as_deref().map(|kept| TableParts::from(kept.clone()));
                SchemaState::Changed { by: by.clone(), last_version: *last_version, kept, defined: stored }
            }
            Now::Gone { .. } => return,
        };
        (self.record)(here.entry(&name, state));
    }

    /// What statements build on that come next; none if it is not known.
    fn definition(&self, table: &TableName) -> Option<Definition> {
        match &self.now.get(&self.rules.names.key(table))?.now {
            Now::Known { table, .. } | Now::Changed { defined: Some(table), .. } => Some(Definition::of(table)),
            Now::Changed { defined: None, .. } | Now::Gone { .. } => None,
        }
    }

    /// What text has in a database's tables that names nothing, where the catalogue or a statement has told it before.
    fn database_text(&self, database: &str, here: Here<'_>) -> TextDefault {
        if let Some(text) = self.databases.get(&self.rules.names.key(&TableName::new(database, ""))) {
            return text.clone();
        }
        let found =
            self.now.values().filter(|entry| self.rules.names.can_mean(database, &entry.name.database)).find_map(
                |entry| match &entry.now {
                    Now::Known { shown_until, .. } if here.is_covered_by(shown_until) => None,
                    Now::Known { table, .. } | Now::Changed { defined: Some(table), .. } => {
                        Some(Definition::of(table).database_text().clone()).filter(|text| text.charset.is_some())
                    }
                    Now::Changed { defined: None, .. } | Now::Gone { .. } => None,
                },
            );
        found.unwrap_or_default()
    }

    /// A statement on a database: its tables have another character set if they name none.
    fn database(&mut self, ddl: &Ddl, here: Here<'_>) {
        let Some((database, text, is_conditional)) = ddl.database() else { return };
        // Logged also where there was one already.
        let text = if is_conditional { self.database_text(database, here) } else { text.clone() };
        self.databases.insert(self.rules.names.key(&TableName::new(database, "")), text.clone());
        for entry in self.now.values_mut() {
            if !self.rules.names.can_mean(database, &entry.name.database) {
                continue;
            }
            let with = |table: &Table| {
                let before = table.groundwork()?;
                let database_charset = text.charset.map(|charset| charset.name().to_owned());
                let database_collation = text.collation.clone();
                let after = Groundwork { database_charset, database_collation, ..before.clone() };
                (*before != after).then(|| table.clone().with_groundwork(after))
            };
            let state = match &mut entry.now {
                Now::Known { table, shown_until, is_used } if !here.is_covered_by(shown_until) => {
                    let Some(changed) = with(table) else { continue };
                    *table = Arc::new(changed);
                    SchemaState::known(table, shown_until.clone(), *is_used)
                }
                Now::Changed { by, kept, defined: Some(table), last_version, .. } => {
                    let Some(changed) = with(table) else { continue };
                    *table = Arc::new(changed);
                    let kept = kept.as_deref().map(|kept| TableParts::from(kept.clone()));
                    let defined = Defined::of(table);
                    SchemaState::Changed { by: by.clone(), last_version: *last_version, kept, defined }
                }
                Now::Known { .. } | Now::Changed { defined: None, .. } | Now::Gone { .. } => continue,
            };
            let name = entry.name.clone();
            (self.record)(here.entry(&name, state));
        }
    }

    /// What is known of a table, for another that gets its rows.
    fn kept_of(&self, written: &TableName) -> Option<TableParts> {
        let table = self.captured_as(written).into_iter().next()?;
        match &self.now.get(&self.rules.names.key(&table))?.now {
            Now::Known { table, .. } => Some(TableParts::from(Table::clone(table))),
            Now::Changed { kept, .. } => kept.as_deref().map(|kept| TableParts::from(kept.clone())),
            Now::Gone { .. } => None,
        }
    }
}

/// Whether a statement, by its first words, begins with this one.
fn is_by(by: &str, word: &str) -> bool {
    by.split(' ').next().is_some_and(|first| first.eq_ignore_ascii_case(word))
}

impl Now {
    fn is_shown_and_unused(&self, here: Here<'_>) -> bool {
        matches!(self, Now::Known { shown_until, is_used: false, .. } if here.is_covered_by(shown_until))
    }
}

/// The table by the collations that a table map names, if they are others. Of a collation that is known by its number alone, one that is
/// not known here either may be the name.
fn with_collations(table: &Table, described: &TableParts) -> Option<Table> {
    let is_known = |name: &Arc<str>| Collation::named(name).is_some();
    let mut parts = TableParts::from(table.clone());
    let mut is_other = false;
    for (column, described) in parts.columns.iter_mut().zip(&described.columns) {
        let Some(name) = &described.collation else { continue };
        if column.collation.as_ref() != Some(name) && (is_known(name) || column.collation.as_ref().is_none_or(is_known))
        {
            column.collation = Some(name.clone());
            is_other = true;
        }
    }
    let other = Table::from(parts);
    is_other.then(|| match table.groundwork() {
        Some(groundwork) => other.with_groundwork(groundwork.clone()),
        None => other,
    })
}

/// Fills in what a table map does not say from what is kept of the version before: the exact text of a column's type (display
/// width) where the map says nothing against it, and unique keys other than the primary one, as long as all their columns
/// are there and NOT NULL.
///
/// Of a table without a primary key, a table map calls the first unique key of NOT NULL columns so. If the version before
/// has a key of these columns and no primary one, it is that key: the catalogue knows the difference.
fn inherit(parts: &mut TableParts, kept: &Table) {
    for column in &mut parts.columns {
        let same = kept.columns().iter().find(|old| {
            old.name == column.name
                && old.sql_type == column.sql_type
                && type_text_of_map(&old.type_text) == type_text_of_map(&column.type_text)
        });
        if let Some(old) = same {
            column.type_text.clone_from(&old.type_text);
        }
    }
    let mut inherited: Vec<UniqueKey> = kept
        .unique_keys()
        .iter()
        .filter(|key| key.name != PRIMARY)
        .filter_map(|key| {
            let new_index = |old: &usize| {
                let name = &kept.columns()[*old].name;
                parts.columns.iter().position(|column| column.name == *name && !column.nullable)
            };
            let columns = key.columns.iter().map(new_index).collect::<Option<Vec<_>>>()?;
            Some(UniqueKey { name: key.name.clone(), columns })
        })
        .collect();
    inherited.sort_by(|a, b| a.name.cmp(&b.name));
    if kept.primary_key().is_none() {
        let is_inherited = |key: &UniqueKey| inherited.iter().any(|other| other.columns == key.columns);
        parts.unique_keys.retain(|key| !is_inherited(key));
    }
    parts.unique_keys.extend(inherited);
}

#[cfg(test)]
mod tests;
