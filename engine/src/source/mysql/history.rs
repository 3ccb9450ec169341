//! Versions of each captured table's schema along the binlog.
//!
//! Row events carry values without names. With `binlog_row_metadata=FULL` the table map before them describes the columns;
//! with `MINIMAL`, every server's default, only the catalogue does, and it describes the present, not the moment of the
//! event. So the catalogue is read once, and from then on this history moves with the binlog:
//!
//! ```text
//! shop.orders   since binlog.000001:4      version 1   id, amount            (the catalogue)
//!               since binlog.000003:900    changed by  ALTER TABLE orders    (what it is now, nobody has said yet)
//!               since binlog.000003:1400   version 2   id, amount, note      (the next table map, with FULL metadata)
//! ```
//!
//! After a statement that may have changed a table, its columns are unknown until a table map with names arrives. If one
//! without names arrives first, reading stops: columns are never guessed and never shifted. Whatever schema is
//! used, the decoder checks its column count and types against every table map.
//!
//! Statements that the catalogue shows already. The position at which reading begins lies before the moment at which the
//! catalogue was read, without GTIDs by up to a whole file. A statement in between is met again, and the schema at hand has
//! it in it: it changes nothing, provided that no row before it was decoded with that schema. If one was, its columns
//! may have been others, and reading stops.
//!
//! The history is part of the checkpoint, from the version in force at the checkpoint's position on.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::ddl::{self, Effect};
use crate::batch::{Coordinate, Statement, Table, TableName, TableParts, UniqueKey};

/// One entry of the history, as the checkpoint keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSchema {
    pub table: TableName,
    pub since: Coordinate,
    pub state: SchemaState,
}

/// What is known of a table from some point on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaState {
    /// `shown_until`: if it was read from the catalogue, where the binlog ended before.
    Known { parts: TableParts, shown_until: Option<Coordinate> },
    /// A statement may have changed the columns; its first words, and the table before, of which the next one inherits what a
    /// table map does not say.
    Changed { by: String, last_version: u32, last: Option<TableParts> },
}

/// Drops entries that nobody who starts at `position` can need.
pub fn prune(entries: &mut Vec<StoredSchema>, position: &Coordinate) {
    let superseded: HashSet<(TableName, u64, u64)> = {
        let mut in_force: BTreeMap<&TableName, &StoredSchema> = BTreeMap::new();
        let mut old = HashSet::new();
        // Entries stand in the order of `since`.
        for entry in entries.iter().filter(|entry| entry.since <= *position) {
            if let Some(before) = in_force.insert(&entry.table, entry) {
                old.insert((before.table.clone(), before.since.file_number(), before.since.offset));
            }
        }
        old
    };
    if !superseded.is_empty() {
        entries.retain(|e| !superseded.contains(&(e.table.clone(), e.since.file_number(), e.since.offset)));
    }
}

/// Whether a table is captured, by database and name.
pub type Captured = Box<dyn Fn(&str, &str) -> bool + Send>;

/// The schemas of captured tables at the point that the reader has reached.
pub struct History {
    captured: Captured,
    now: BTreeMap<TableName, Now>,
    /// Told of every new entry, so that it reaches the checkpoint before any position behind it.
    record: Box<dyn FnMut(StoredSchema) + Send>,
}

enum Now {
    Known {
        table: Arc<Table>,
        /// Statements before it are in the schema already.
        shown_until: Option<Coordinate>,
        /// Rows have been decoded with it.
        is_used: bool,
    },
    Changed {
        by: String,
        at: Coordinate,
        last: Option<Arc<Table>>,
        last_version: u32,
    },
}

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
    #[error("`{statement}` may have changed rows of table {table} in statement format, without row events")]
    StatementFormat { table: TableName, statement: String },
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
            HistoryError::StatementFormat { .. } => {
                "SET GLOBAL binlog_format = ROW, find the session that set another format, and begin again with a full load of the table (move the state folder away)"
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
        position: &Coordinate,
        captured: Captured,
        record: Box<dyn FnMut(StoredSchema) + Send>,
    ) -> History {
        let mut now = BTreeMap::new();
        for entry in stored {
            // A table's first entry describes it since before the position, even if it was read a moment later.
            if entry.since > *position && now.contains_key(&entry.table) {
                continue;
            }
            let state = match &entry.state {
                SchemaState::Known { parts, shown_until } => Now::Known {
                    table: Arc::new(Table::from(parts.clone())),
                    shown_until: shown_until.clone(),
                    // Only where nothing was read yet is it certain that no row was.
                    is_used: entry.since != *position,
                },
                SchemaState::Changed { by, last_version, last } => Now::Changed {
                    by: by.clone(),
                    at: entry.since.clone(),
                    last: last.clone().map(|parts| Arc::new(Table::from(parts))),
                    last_version: *last_version,
                },
            };
            now.insert(entry.table.clone(), state);
        }
        History { captured, now, record }
    }

    /// The schema for a table map.
    ///
    /// `described` is the table as the map itself describes it, where it does; `fits` checks a schema against the map.
    pub fn resolve(
        &mut self,
        name: &TableName,
        described: Option<TableParts>,
        fits: impl Fn(&Table) -> Result<(), String>,
        at: &Coordinate,
    ) -> Result<Option<Arc<Table>>, HistoryError> {
        if !(self.captured)(&name.database, &name.table) {
            return Ok(None);
        }
        let known = self.now.get_mut(name);
        if let Some(Now::Known { table, is_used, .. }) = known {
            let same_names = described
                .as_ref()
                .is_none_or(|parts| parts.columns.iter().map(|c| &c.name).eq(table.columns().iter().map(|c| &c.name)));
            match fits(table) {
                Ok(()) if same_names => {
                    *is_used = true;
                    return Ok(Some(table.clone()));
                }
                Err(reason) if described.is_none() => {
                    return Err(HistoryError::Mismatch { table: name.clone(), reason });
                }
                _ => {}
            }
        }
        let known = self.now.get(name);
        let Some(mut parts) = described else {
            return Err(match known {
                Some(Now::Changed { by, at, .. }) => {
                    HistoryError::Changed { table: name.clone(), at: at.clone(), statement: by.clone() }
                }
                _ => HistoryError::Unknown { table: name.clone() },
            });
        };
        let (last, last_version) = match known {
            Some(Now::Known { table, .. }) => (Some(table.clone()), table.version()),
            Some(Now::Changed { last, last_version, .. }) => (last.clone(), *last_version),
            None => (None, 0),
        };
        parts.version = last_version + 1;
        if let Some(last) = &last {
            inherit(&mut parts, last);
        }
        let table = Arc::new(Table::from(parts.clone()));
        fits(&table).map_err(|reason| HistoryError::Mismatch { table: name.clone(), reason })?;
        info!(table = %name, version = table.version(), columns = table.columns().len(), at = %at, "schema changed");
        let state = SchemaState::Known { parts, shown_until: None };
        (self.record)(StoredSchema { table: name.clone(), since: at.clone(), state });
        self.now.insert(name.clone(), Now::Known { table: table.clone(), shown_until: None, is_used: true });
        Ok(Some(table))
    }

    /// A statement in the binlog that is neither a transaction's frame nor rows. Gives it back if it touches captured tables,
    /// unless the catalogue showed what it did before reading began.
    pub fn statement(&mut self, database: &str, sql: &str, at: &Coordinate) -> Result<Option<Statement>, HistoryError> {
        let effects = ddl::effects(sql, database);
        let mut touched: Vec<TableName> = Vec::new();
        for effect in &effects {
            match effect {
                // The server logs IF NOT EXISTS for a table that exists, where it changed nothing.
                Effect::Created { table, if_not_exists: true } if self.now.contains_key(table) => {
                    touched.push(table.clone());
                }
                Effect::Created { table, .. } | Effect::Altered(table) | Effect::Dropped(table) => {
                    touched.extend(self.mark_changed(table, sql, at)?);
                }
                Effect::Renamed { from, to } => {
                    let from = self.mark_changed(from, sql, at)?;
                    touched.extend(self.mark_changed(to, sql, at)?);
                    touched.extend(from);
                }
                Effect::DroppedDatabase(dropped) => {
                    let tables: Vec<TableName> =
                        self.now.keys().filter(|name| *name.database == **dropped).cloned().collect();
                    for table in tables {
                        touched.extend(self.mark_changed(&table, sql, at)?);
                    }
                }
                Effect::Truncated(table) | Effect::PartitionsChanged(table) => {
                    if (self.captured)(&table.database, &table.table) {
                        warn!(table = %table, at = %at, statement = ddl::first_words(sql), "rows went without row events");
                        touched.push(table.clone());
                    }
                }
                Effect::Indexed(table) => {
                    touched.extend((self.captured)(&table.database, &table.table).then(|| table.clone()));
                }
                Effect::Rows => {
                    if let Some(table) = self.now.keys().find(|table| ddl::mentions(sql, database, table)) {
                        return Err(HistoryError::StatementFormat {
                            table: table.clone(),
                            statement: ddl::first_words(sql),
                        });
                    }
                }
            }
        }
        // An ALTER that renames touches a table twice; a rename to a name that is not captured is about the old one.
        let mut tables: Vec<TableName> = Vec::new();
        let renamed = effects.iter().filter_map(|effect| match effect {
            Effect::Renamed { to, .. } => Some(to),
            _ => None,
        });
        for table in renamed.chain(&touched) {
            if touched.contains(table) && !tables.contains(table) {
                tables.push(table.clone());
            }
        }
        Ok((!tables.is_empty()).then(|| Statement {
            kind: ddl::kind(sql, &effects),
            tables,
            sql: sql.to_owned(),
            default_database: database.to_owned(),
        }))
    }

    /// Gives the table back if it is captured and the statement is news.
    fn mark_changed(
        &mut self,
        table: &TableName,
        sql: &str,
        at: &Coordinate,
    ) -> Result<Option<TableName>, HistoryError> {
        if !(self.captured)(&table.database, &table.table) {
            return Ok(None);
        }
        if let Some(Now::Known { shown_until: Some(shown_until), is_used, .. }) = self.now.get(table)
            && at < shown_until
        {
            return match is_used {
                false => Ok(None),
                true => Err(HistoryError::RowsBefore {
                    table: table.clone(),
                    at: at.clone(),
                    statement: ddl::first_words(sql),
                }),
            };
        }
        let (last, last_version) = match self.now.remove(table) {
            Some(Now::Known { table: known, .. }) => (Some(known.clone()), known.version()),
            Some(Now::Changed { last, last_version, .. }) => (last, last_version),
            None => (None, 0),
        };
        let by = ddl::first_words(sql);
        info!(table = %table, at = %at, statement = by, "definition may have changed");
        (self.record)(StoredSchema {
            table: table.clone(),
            since: at.clone(),
            state: SchemaState::Changed {
                by: by.clone(),
                last_version,
                last: last.as_deref().map(|last| TableParts::from(last.clone())),
            },
        });
        self.now.insert(table.clone(), Now::Changed { by, at: at.clone(), last, last_version });
        Ok(Some(table.clone()))
    }
}

/// Fills in what a table map does not say from the version before: the exact text of a column's type (display width) where
/// name and type are the same, and unique keys other than the primary one where all their columns are still there.
///
/// Of a table without a primary key, a table map calls the first unique key of NOT NULL columns so. If the version before
/// has a key of these columns and no primary one, it is that key: the catalogue knows the difference.
fn inherit(parts: &mut TableParts, last: &Table) {
    for column in &mut parts.columns {
        let same = last.columns().iter().find(|old| old.name == column.name && old.sql_type == column.sql_type);
        if let Some(old) = same {
            column.type_text.clone_from(&old.type_text);
        }
    }
    let inherited: Vec<UniqueKey> = last
        .unique_keys()
        .iter()
        .filter(|key| key.name != "PRIMARY")
        .filter_map(|key| {
            let new_index = |old: &usize| {
                let name = &last.columns()[*old].name;
                parts.columns.iter().position(|column| column.name == *name)
            };
            let columns = key.columns.iter().map(new_index).collect::<Option<Vec<_>>>()?;
            Some(UniqueKey { name: key.name.clone(), columns })
        })
        .collect();
    if last.primary_key().is_none() {
        let is_inherited = |key: &UniqueKey| inherited.iter().any(|other| other.columns == key.columns);
        parts.unique_keys.retain(|key| !is_inherited(key));
    }
    parts.unique_keys.extend(inherited);
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::batch::pretty;

    fn parts(header: &str, version: u32) -> TableParts {
        let mut parts = TableParts::from(Table::clone(&pretty::table(header)));
        parts.version = version;
        parts
    }

    fn at(offset: u64) -> Coordinate {
        Coordinate::new("binlog.000001", offset)
    }

    fn name() -> TableName {
        TableName::new("db", "t")
    }

    fn known(parts: TableParts, shown_until: Option<Coordinate>) -> SchemaState {
        SchemaState::Known { parts, shown_until }
    }

    fn history() -> (History, Arc<Mutex<Vec<StoredSchema>>>) {
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let stored = [StoredSchema { table: name(), since: at(4), state: known(parts("id:int", 1), None) }];
        let sink = recorded.clone();
        let history = History::new(
            &stored,
            &at(4),
            Box::new(|database, _| database == "db"),
            Box::new(move |entry| sink.lock().unwrap().push(entry)),
        );
        (history, recorded)
    }

    fn fits(_: &Table) -> Result<(), String> {
        Ok(())
    }

    #[test]
    fn a_table_that_has_not_changed_keeps_its_version() {
        let (mut history, recorded) = history();
        let table = history.resolve(&name(), None, fits, &at(100)).unwrap().unwrap();
        let described = history.resolve(&name(), Some(parts("id:int", 0)), fits, &at(200)).unwrap().unwrap();
        assert!(Arc::ptr_eq(&table, &described));
        history.statement("db", "CREATE TABLE IF NOT EXISTS t (x INT)", &at(300)).unwrap();
        assert!(history.resolve(&name(), None, fits, &at(400)).is_ok());
        assert!(recorded.lock().unwrap().is_empty());
    }

    #[test]
    fn after_a_ddl_names_are_needed() {
        let (mut history, recorded) = history();
        history.statement("db", "ALTER TABLE t ADD name TEXT", &at(300)).unwrap();
        let error = history.resolve(&name(), None, fits, &at(400)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "columns of table db.t are unknown since binlog.000001:300, where `ALTER TABLE t ADD name TEXT` changed them"
        );
        let described = Some(parts("id:int name:text", 0));
        let table = history.resolve(&name(), described, fits, &at(400)).unwrap().unwrap();
        assert_eq!((table.version(), table.columns().len()), (2, 2));
        assert_eq!(recorded.lock().unwrap().len(), 2);
    }

    #[test]
    fn a_map_that_does_not_fit_stops_unless_it_has_names() {
        let (mut history, _) = history();
        let wider = |table: &Table| (table.columns().len() == 2).then_some(()).ok_or("2 columns, not 1".to_owned());
        assert!(matches!(history.resolve(&name(), None, wider, &at(9)), Err(HistoryError::Mismatch { .. })));
        let described = Some(parts("id:int name:text", 0));
        assert_eq!(history.resolve(&name(), described, wider, &at(9)).unwrap().unwrap().version(), 2);
    }

    #[test]
    fn tables_that_are_not_captured_are_nobodys_business() {
        let (mut history, _) = history();
        assert!(history.resolve(&TableName::new("other", "t"), None, fits, &at(9)).unwrap().is_none());
        history.statement("other", "ALTER TABLE t ADD x INT", &at(9)).unwrap();
        assert!(history.resolve(&name(), None, fits, &at(10)).is_ok());
    }

    #[test]
    fn a_statement_that_the_catalogue_shows_already_changes_nothing_unless_rows_came_before_it() {
        let stored = [StoredSchema { table: name(), since: at(4), state: known(parts("id:int", 1), Some(at(500))) }];
        let begin = |position| History::new(&stored, &at(position), Box::new(|_, _| true), Box::new(|_| ()));
        let alter = |history: &mut History, offset| history.statement("db", "ALTER TABLE t ADD x INT", &at(offset));
        let is_known = |history: &mut History| history.resolve(&name(), None, fits, &at(600)).is_ok();

        let mut untouched = begin(4);
        alter(&mut untouched, 300).unwrap();
        assert!(is_known(&mut untouched));

        let mut later = begin(4);
        alter(&mut later, 500).unwrap();
        assert!(!is_known(&mut later));

        let mut decoded_before = begin(4);
        assert!(is_known(&mut decoded_before));
        let error = alter(&mut decoded_before, 300).unwrap_err();
        assert!(matches!(error, HistoryError::RowsBefore { .. }), "{error}");

        let mut begun_in_between = begin(200);
        let error = alter(&mut begun_in_between, 300).unwrap_err();
        assert!(matches!(error, HistoryError::RowsBefore { .. }), "{error}");
    }

    #[test]
    fn rows_changed_by_statements_are_refused() {
        let (mut history, _) = history();
        history.statement("db", "UPDATE unrelated SET x = 1", &at(9)).unwrap();
        let error = history.statement("db", "DELETE FROM t WHERE id = 7", &at(9)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`DELETE FROM t WHERE id` may have changed rows of table db.t in statement format, without row events"
        );
    }

    #[test]
    fn a_restart_begins_with_the_version_of_its_position() {
        let entry = |offset, state| StoredSchema { table: name(), since: at(offset), state };
        let mut stored = vec![
            entry(4, known(parts("id:int", 1), None)),
            entry(300, SchemaState::Changed { by: "ALTER TABLE t".into(), last_version: 1, last: None }),
            entry(400, known(parts("id:int name:text", 2), None)),
        ];
        let version = |stored: &[StoredSchema], position| {
            let mut history = History::new(stored, &at(position), Box::new(|_, _| true), Box::new(|_| ()));
            history.resolve(&name(), None, fits, &at(position)).ok().flatten().map(|table| table.version())
        };
        assert_eq!(version(&stored, 200), Some(1));
        assert_eq!(version(&stored, 350), None);
        assert_eq!(version(&stored, 400), Some(2));
        prune(&mut stored, &at(350));
        assert_eq!(stored.len(), 2);
        prune(&mut stored, &at(500));
        assert_eq!(stored.len(), 1);
    }

    /// What a table map does not say comes from the version before, also if there was a restart in between.
    #[test]
    fn a_restart_behind_an_alter_forgets_nothing() {
        let mut first = parts("id:int", 1);
        first.columns[0].type_text = "int(6) unsigned zerofill".into();
        first.unique_keys = vec![UniqueKey { name: "by_id".into(), columns: vec![0] }];
        let stored = StoredSchema { table: name(), since: at(4), state: known(first, None) };
        let recorded = Arc::new(Mutex::new(vec![stored.clone()]));
        let recorder = recorded.clone();
        let record = Box::new(move |entry| recorder.lock().unwrap().push(entry));
        let mut history = History::new(&[stored], &at(4), Box::new(|_, _| true), record);
        history.statement("db", "ALTER TABLE t ADD name TEXT", &at(200)).unwrap();

        let text = serde_json::to_string(&*recorded.lock().unwrap()).unwrap();
        let stored: Vec<StoredSchema> = serde_json::from_str(&text).unwrap();
        let mut history = History::new(&stored, &at(300), Box::new(|_, _| true), Box::new(|_| ()));
        // As a table map has it: no width, and the unique key under another name.
        let mut described = parts("id:int name:text", 0);
        described.unique_keys = vec![UniqueKey { name: "PRIMARY".into(), columns: vec![0] }];
        let table = history.resolve(&name(), Some(described), |_| Ok(()), &at(400)).unwrap().unwrap();
        assert_eq!(table.columns()[0].type_text, "int(6) unsigned zerofill");
        assert_eq!((table.unique_keys()[0].name.as_str(), table.unique_keys().len(), table.version()), ("by_id", 1, 2));
    }

    #[test]
    fn a_unique_key_does_not_become_the_primary_one() {
        let unique = |name: &str, columns: &[usize]| UniqueKey { name: name.into(), columns: columns.to_vec() };
        let keys_after = |before: UniqueKey, described: &UniqueKey| {
            let mut last = parts("id:int code:int", 1);
            last.unique_keys = vec![before];
            // A column came in front.
            let mut now = parts("new:int id:int code:int", 0);
            now.unique_keys = vec![described.clone()];
            inherit(&mut now, &Table::from(last));
            now.unique_keys
        };
        let (primary, promoted) = (unique("PRIMARY", &[1]), unique("PRIMARY", &[2]));
        assert_eq!(keys_after(unique("by_code", &[1]), &promoted), [unique("by_code", &[2])]);
        assert_eq!(keys_after(unique("by_code", &[1]), &primary), [primary, unique("by_code", &[2])]);
        assert_eq!(keys_after(unique("PRIMARY", &[1]), &promoted), [promoted]);
    }
}
