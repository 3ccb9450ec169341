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
//! was, its columns may have been others, and reading stops. That rows were decoded is an entry, too: a restart must know. Whether such
//! a statement is ahead, and what a full load makes of the rows before it, is found by [looking ahead](super::look_ahead): most are
//! older than all that it has read, and of others reading stops before the first leaves.
//!
//! *Tables that come to be.* A table is known from its CREATE TABLE on, and all its rows stand behind it. One that is met without it,
//! or after a CREATE TABLE IF NOT EXISTS, may have rows that nobody has seen: it was made or restored without a binlog, or had a
//! name that the task does not select. Reading stops before its first event, the load takes a turn ([`Turn::Load`]), and reading
//! goes on. The same at the first row of a new table whose columns nobody has said yet ([`Turn::LoadMade`]): the load finds them.
//! What decides is what the binlog says, not when the task was stopped or killed: a table whose CREATE TABLE is behind the position
//! is followed from it, however often it is read again. A table that is dropped or renamed away is forgotten.
//!
//! A table that is not selected may take the place of one that is, in the end of a tool's online ALTER: see [`bystanders`]. Who wants to know of
//! foreign keys that change rows by themselves, is told where some may have come: see [`cascades`].
//!
//! *Rows without row events.* TRUNCATE, DROP, partitions, tablespaces and renames move rows of which the binlog has no events.
//! The task says what then: a warning that tells what consumers have now, or a stop before the statement.
//!
//! *Sequences* of MariaDB write their values to the binlog as rows of a table, which a pattern may select with the tables beside it. What a name
//! is, table or sequence, goes by the binlog like everything else: the catalogue tells of those of which nothing is known.
//!
//! *Names.* Statements name tables as they were typed, the catalogue and table maps as they are stored; [`NameCase`] knows
//! which are the same.
//!
//! The history is part of the checkpoint, from the version in force at the checkpoint's position on.

mod bystanders;
mod cascades;
mod error;
mod inherit;
mod rules;
mod sequences;
mod statement;
mod stored;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tracing::{info, warn};

pub use self::error::{ColumnsFault, HistoryError};
#[cfg(test)]
pub use self::rules::RULES;
pub use self::rules::{Here, Judge, Moved, Overtaken, Rules, Shows, Turn, UnloggedRowsPolicy};
pub use self::stored::{Defined, SchemaState, StoredSchema, is_kept, is_prunable, moved_back, prune, record};

use self::bystanders::Bystanders;
use self::cascades::LookForCascades;
use self::inherit::{completed, inherit};
use super::charset::Charset;
use super::ddl::{Effect, UnloggedRows, Words};
use super::definition::{Ddl, Definition, NotUnderstood, Session, TextDefault};
use super::wire::WireError;
use tidegate_model::names::is_same;
use tidegate_model::{
    Coordinate, Delivered, Groundwork, NameCase, Position, Statement, Table, TableName, TableParts, UniqueKey,
    Watermark,
};

const PRIMARY: &str = "PRIMARY";

/// Whether a table is captured, by database and name.
pub type Captured = Box<dyn Fn(&str, &str) -> bool + Send>;

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
    shows_before: Shows,
    gone: Shows,
    entered_gone: Shows,
    /// Of which it was said that rows are passed over.
    passed_over: BTreeSet<TableName>,
    replays: Shows,
    may_empty_itself: MayEmptyItself,
    look_for_cascades: Option<LookForCascades>,
    overtaken: Overtaken,
    /// By [`NameCase::key`].
    now: BTreeMap<TableName, Entry>,
    /// What people have said of tables at places where nobody else knew.
    given: Vec<StoredSchema>,
    /// Tables that this reader has met, and that have not gone since. Of others, what is known may come from further on.
    met: BTreeSet<TableName>,
    /// By [`NameCase::key`], of names that are captured and no tables, whether the catalogue has said so.
    sequences: BTreeMap<TableName, bool>,
    bystanders: Bystanders,
    /// What statements that were read made of databases.
    databases: BTreeMap<TableName, Database>,
    /// Told of every new entry, so that it reaches the checkpoint before any position behind it.
    record: Box<dyn FnMut(StoredSchema) + Send>,
}

/// Whether a table may, where that can be asked.
type MayEmptyItself = Box<dyn Fn(&TableName) -> Result<bool, WireError> + Send>;

struct Database {
    is_there: bool,
    /// Of its tables that name none, as far as a statement has said it.
    text: TextDefault,
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
        let (mut now, mut sequences, mut databases) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut bystanders = Bystanders::default();
        let (given, stored): (Vec<_>, Vec<_>) = stored.iter().partition(|entry| entry.state.is_given());
        for entry in stored {
            let key = rules.names.key(&entry.table);
            // A table's first entry describes it since before the position, even if it was read a moment later.
            if !entry.is_in_force(position) && (now.contains_key(&key) || sequences.contains_key(&key)) {
                continue;
            }
            let state = match &entry.state {
                SchemaState::Database { is_there, charset, collation } => {
                    if entry.is_in_force(position) {
                        let charset = charset.as_deref().and_then(Charset::from_name);
                        let text = TextDefault { charset, collation: collation.clone() };
                        databases.insert(key, Database { is_there: *is_there, text });
                    }
                    continue;
                }
                SchemaState::Bystander { .. } | SchemaState::Gone { .. }
                    if !captured(&entry.table.database, &entry.table.table) =>
                {
                    match &entry.state {
                        _ if !entry.is_in_force(position) => {}
                        SchemaState::Bystander { defined } => {
                            bystanders.insert(key, Definition::of(&defined.table()));
                        }
                        _ => drop(bystanders.remove(&key)),
                    }
                    continue;
                }
                // The task has come to select it since: nothing that was sent is about it.
                SchemaState::Bystander { .. } | SchemaState::Given { .. } => continue,
                SchemaState::Sequence { by_catalogue } => {
                    now.remove(&key);
                    sequences.insert(key, *by_catalogue);
                    continue;
                }
                SchemaState::Known { parts, groundwork, shown_until, is_used } => Now::Known {
                    table: Arc::new(match groundwork {
                        Some(groundwork) => Table::from(parts.clone()).with_groundwork(groundwork.clone()),
                        None => Table::from(parts.clone()),
                    }),
                    shown_until: shown_until.clone().filter(|shown_until| !position.has_come_to(shown_until)),
                    is_used: *is_used,
                },
                SchemaState::Changed { by, at, last_version, kept, defined } => Now::Changed {
                    by: by.clone(),
                    at: at.as_ref().unwrap_or(&entry.since).clone(),
                    kept: kept.clone().map(|parts| Arc::new(Table::from(parts))),
                    defined: defined.as_ref().map(|defined| Arc::new(defined.table())),
                    last_version: *last_version,
                },
                SchemaState::Gone { last_version } => Now::Gone { last_version: *last_version },
            };
            sequences.remove(&key);
            now.insert(key, Entry { name: entry.table.clone(), now: state });
        }
        let is_back = |delivered: &&Delivered| position.gtids.is_none() || delivered.gtids.is_some();
        History {
            captured,
            rules,
            judge: Box::new(|_, _, _| Moved::NotLoaded),
            shows: Box::new(|_, _| false),
            shows_before: Box::new(|_, _| false),
            gone: Box::new(|_, _| false),
            entered_gone: Box::new(|_, _| false),
            passed_over: BTreeSet::new(),
            replays: Box::new(|_, _| false),
            may_empty_itself: Box::new(|_| Ok(true)),
            look_for_cascades: None,
            overtaken: Overtaken::new(),
            pass: Vec::new(),
            judged_until: position.delivered.as_ref().filter(is_back).cloned(),
            now,
            given: given.into_iter().cloned().collect(),
            met: BTreeSet::new(),
            sequences,
            bystanders,
            databases,
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

    /// Nor of what `shows_before` is true, because of a statement behind it: see [`look_ahead`](super::look_ahead).
    pub fn with_shows_before(self, shows_before: Shows) -> History {
        History { shows_before, ..self }
    }

    /// Of what `gone` is true, the table was not there any more behind the transaction when the load came to it: rows are passed over that stand
    /// before a statement which the catalogue had shown already. Where `entered_gone` is true, nothing of the table was ever loaded: so are
    /// all rows whose columns nobody knows any more.
    pub fn with_gone(self, gone: Shows, entered_gone: Shows) -> History {
        History { gone, entered_gone, ..self }
    }

    /// Of all but tables of the engine MEMORY, ``DELETE FROM `a`.`b` `` is a user's statement like any other, and not the server's word for a table
    /// that it has found empty after its start. Where neither catalogue nor statements have told the engine, `may_empty_itself` says whether it is that,
    /// and whether it could be asked.
    pub fn with_tables_that_empty_themselves(
        self,
        may_empty_itself: impl Fn(&TableName) -> Result<bool, WireError> + Send + 'static,
    ) -> History {
        History { may_empty_itself: Box::new(may_empty_itself), ..self }
    }

    /// `look` hears of captured tables to which a statement may have brought foreign keys, itself or with a table that has the name now.
    pub fn looking_for_cascades(self, look: impl Fn(&TableName, Here<'_>) + Send + 'static) -> History {
        History { look_for_cascades: Some(Box::new(look)), ..self }
    }

    /// Rows before these statements are not read by what the catalogue has shown of their tables: see [`look_ahead`](super::look_ahead).
    pub fn with_overtaken(self, overtaken: Overtaken) -> History {
        History { overtaken, ..self }
    }

    /// `replays` tells of tables of which every change is sent, whatever the load has shown.
    pub fn with_replays(self, replays: Shows) -> History {
        History { replays, ..self }
    }

    /// Up to where the catalogue has shown what no row was decoded with yet.
    pub fn foreseen_until(&self) -> Vec<Watermark> {
        let mut out: Vec<Watermark> = Vec::new();
        for entry in self.now.values() {
            if let Now::Known { shown_until: Some(shown_until), is_used: false, .. } = &entry.now
                && !out.contains(shown_until)
            {
                out.push(shown_until.clone());
            }
        }
        out
    }

    /// Whether the load has shown all that the table's changes in this transaction say.
    pub fn is_shown(&self, name: &TableName, here: Here<'_>) -> bool {
        let entry = self.now.get(&self.rules.names.key(name));
        let name = entry.map_or(name, |entry| &entry.name);
        (self.shows)(name, here) || (self.shows_before)(name, here)
    }

    fn is_captured(&self, name: &TableName) -> bool {
        let is_sequence = || self.sequences.contains_key(&self.rules.names.key(name));
        (self.captured)(&name.database, &name.table) && (self.sequences.is_empty() || !is_sequence())
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
        let error = match self.resolve_by_history(name, described, &fits, here) {
            Err(error) => error,
            resolved => return resolved,
        };
        let key = self.rules.names.key(name);
        let HistoryError::Columns { table: name, fault, .. } = &error else { return Err(error) };
        let given = self.given.iter().find(|given| self.rules.names.key(&given.table) == key && given.is_at(here));
        let Some(SchemaState::Given { defined }) = given.map(|given| &given.state) else {
            let is_passed_over = match fault {
                ColumnsFault::Unknown | ColumnsFault::Changed { .. } => (self.entered_gone)(name, here),
                ColumnsFault::Mismatch { .. } | ColumnsFault::Overtaken { .. } => {
                    self.is_overtaken(&key, here) && (self.gone)(name, here)
                }
            };
            if !is_passed_over {
                return Err(error);
            }
            if self.passed_over.insert(key) {
                warn!(
                    table = %name, at = %here.at,
                    "it is gone, and nobody knows the columns that it had here: what became of its rows until then is not sent"
                );
            }
            return Ok(None);
        };
        let last_version = self.now.get(&key).map_or(0, |entry| entry.now.last_version());
        let table = defined.table().of_version(last_version + 1);
        match fits(&table) {
            Ok(()) => Ok(Some(self.adopt(key, name.clone(), table, here))),
            Err(reason) => {
                let reason = format!("what was said to be its columns here does not fit: {reason}");
                Err(here.columns(name.clone(), ColumnsFault::Mismatch { reason }))
            }
        }
    }

    /// Whether a statement stands behind the transaction that the catalogue had shown, before any row was read by what it showed.
    fn is_overtaken(&self, key: &TableName, here: Here<'_>) -> bool {
        let entry = self.now.get(key).map(|entry| &entry.now);
        let is_ahead = || self.overtaken.get(key).is_some_and(|ahead| !ahead.is_empty());
        matches!(entry, Some(Now::Known { is_used: false, shown_until, .. }) if here.is_covered_by(shown_until))
            && is_ahead()
    }

    /// The same by what statements and maps have told alone.
    fn resolve_by_history(
        &mut self,
        name: &TableName,
        described: Option<TableParts>,
        fits: &impl Fn(&Table) -> Result<(), String>,
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
                    self.met.insert(key.clone());
                    // A collation that the map names is the one by which the server compares from here on, and its labels are exact.
                    if let Some(other) = described.as_ref().and_then(|described| completed(table, described)) {
                        let other = other.of_version(table.version() + 1);
                        return Ok(Some(self.adopt(key, name, other, here)));
                    }
                    // Of a map that describes its table, rows are what it says, whatever a statement behind them did.
                    if described.is_none() && !*is_used {
                        if here.is_covered_by(shown_until) {
                            if let Some((at, statement)) = self.overtaken.get(&key).and_then(VecDeque::front) {
                                let fault = ColumnsFault::Overtaken { at: at.clone(), statement: statement.clone() };
                                return Err(here.columns(name, fault));
                            }
                            let state = SchemaState::known(table, shown_until.clone(), true);
                            (self.record)(here.entry(&name, state));
                        }
                        *is_used = true;
                    }
                    return Ok(Some(table.clone()));
                }
                (Err(reason), None) => return Err(here.columns(name, ColumnsFault::Mismatch { reason })),
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
            Some(Now::Changed { by, .. }) if statement::is_by(by, "CREATE") => Some(Turn::LoadMade),
            Some(Now::Changed { last_version: 0, .. }) => Some(Turn::Load),
            // Its rows are another table's, which the task loads: it finds their columns, too.
            Some(Now::Changed { by, .. })
                if statement::is_by(by, "RENAME") && self.rules.unlogged_rows == UnloggedRowsPolicy::Reload =>
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
            let other = described.as_ref().and_then(|described| completed(&table, described));
            return Ok(Some(self.adopt(key, name, other.map_or(table, Arc::new), here)));
        }
        let Some(mut parts) = described else {
            let fault = match known {
                Some(Now::Changed { defined: Some(_), by, at, .. }) => ColumnsFault::Mismatch {
                    reason: format!(
                        "since `{by}` at {at}, by which we take it for other columns: {}",
                        differs.unwrap_or_default()
                    ),
                },
                Some(Now::Changed { by, at, .. }) => ColumnsFault::Changed { at: at.clone(), statement: by.clone() },
                _ => ColumnsFault::Unknown,
            };
            return Err(here.columns(name, fault));
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
        fits(&table).map_err(|reason| here.columns(name.clone(), ColumnsFault::Mismatch { reason }))?;
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
    fn adopt(&mut self, key: TableName, name: TableName, table: impl Into<Arc<Table>>, here: Here<'_>) -> Arc<Table> {
        let table = table.into();
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
        self.met.insert(key.clone());
        self.now
            .insert(key, Entry { name, now: Now::Known { table: table.clone(), shown_until: None, is_used: true } });
        table
    }
}

impl Now {
    /// Whether it is what the catalogue shows of a later time.
    fn is_foreseen(&self, here: Here<'_>) -> bool {
        matches!(self, Now::Known { shown_until, .. } if here.is_covered_by(shown_until))
    }

    fn last_version(&self) -> u32 {
        match self {
            Now::Known { table, .. } => table.version(),
            Now::Changed { last_version, .. } | Now::Gone { last_version } => *last_version,
        }
    }

    fn is_shown_and_unused(&self, here: Here<'_>) -> bool {
        matches!(self, Now::Known { is_used: false, .. }) && self.is_foreseen(here)
    }

    /// As it is stored by what stands `here`.
    fn state(&self, here: Here<'_>) -> SchemaState {
        match self {
            Now::Known { table, shown_until, is_used } => {
                // What an event has made behind it is not the catalogue's.
                let shown_until = shown_until.clone().filter(|_| self.is_foreseen(here));
                SchemaState::known(table, shown_until, *is_used)
            }
            Now::Changed { by, at, kept, defined, last_version } => SchemaState::Changed {
                by: by.clone(),
                at: Some(at.clone()).filter(|at| at != here.at),
                last_version: *last_version,
                kept: kept.as_deref().map(|kept| TableParts::from(kept.clone())),
                defined: defined.as_deref().and_then(Defined::of),
            },
            Now::Gone { last_version } => SchemaState::Gone { last_version: *last_version },
        }
    }
}
