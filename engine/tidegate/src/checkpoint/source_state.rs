//! What a source has to know at its next start: how far reading has come, and what tables are like there.
//!
//! ```text
//! ["position"]                where incremental reading goes on
//! ["schema","shop","orders"]  versions of a table, at the position and after it
//! ["load",…]                  progress of the full load (see `tidegate_mysql::ledger`)
//! ["row_groups","s","orders"] of a Parquet data set, those that have been delivered
//! ```
//!
//! It is told what has been delivered, and tells what has become of it, so that the rest of the checkpoint need not know how sources
//! count. What is remembered of tables for their consumers is not here: a source reads on without it.

use super::told::{Told, table_of, tell_tables, tell_whole};
use tidegate_model::state::{Changes, Entries, EntryError, Keyed};
use tidegate_model::{ChunkPart, Position, Progress, Table, TableName};
use tidegate_mysql::history::{self, SchemaState, StoredSchema};
use tidegate_mysql::ledger::Ledger;

/// Where reading is. A kind of source has those parts of it that it needs: a server all but the row groups, binlog files neither these nor
/// a ledger, Parquet files nothing else.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceState {
    /// Progress of the full load; gone when incremental reading has passed every chunk's view.
    pub ledger: Option<Ledger>,
    /// Row groups of a Parquet data set that have been delivered.
    pub row_groups: Keyed<TableName, Vec<u32>>,
    /// Where incremental reading goes on.
    pub position: Option<Position>,
    /// Schemas of captured tables, as they are at `position` and after it; of each in the order in which they came to be.
    pub schemas: Keyed<TableName, Vec<StoredSchema>>,
    pub(super) told: Told<ToldState>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct ToldState {
    has_ledger: bool,
    position: Option<Position>,
}

/// What has come to its end with a delivery.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// A table of which the last row was delivered, and how many rows it had.
    pub(super) loaded: Option<(TableName, u64)>,
    /// Tables that are gone.
    pub(super) gone: Vec<TableName>,
}

impl SourceState {
    pub(super) fn of_entries(entries: &Entries) -> Result<SourceState, EntryError> {
        let mut state = SourceState {
            ledger: Ledger::of_entries(entries)?,
            position: entries.get(&("position",))?,
            ..SourceState::default()
        };
        for (key, row_groups) in entries.under(&("row_groups",))? {
            state.row_groups.insert(table_of(key), row_groups);
        }
        for (key, schemas) in entries.under(&("schema",))? {
            state.schemas.insert(table_of(key), schemas);
        }
        Ok(state)
    }

    pub(super) fn tell(&mut self, all: bool, changes: &mut Changes) {
        let told = &mut self.told.0;
        match &mut self.ledger {
            Some(ledger) => ledger.tell(all, changes),
            None if told.has_ledger && !all => Ledger::tell_gone(changes),
            None => {}
        }
        told.has_ledger = self.ledger.is_some();
        tell_whole("position", &self.position, &mut told.position, all, changes);
        tell_tables("row_groups", &mut self.row_groups, all, changes);
        tell_tables("schema", &mut self.schemas, all, changes);
    }

    /// A window with this progress, and every window before it, has been delivered.
    pub(super) fn delivered(&mut self, progress: Progress) -> Passed {
        match progress {
            Progress::Chunks { table, parts } => {
                Passed { loaded: self.chunks_delivered(table, parts), gone: Vec::new() }
            }
            Progress::Position(position) => {
                if self.ledger.as_ref().is_some_and(|ledger| ledger.settled(&position)) {
                    self.ledger = None;
                }
                let gone = self.pass(&position);
                self.position = Some(position);
                Passed { loaded: None, gone }
            }
        }
    }

    /// The table, and how many rows it had, if these were the last ones.
    fn chunks_delivered(&mut self, table: TableName, parts: Vec<ChunkPart>) -> Option<(TableName, u64)> {
        let Some(ledger) = &mut self.ledger else {
            for ChunkPart { chunk, .. } in parts.into_iter().filter(|part| part.done) {
                self.row_groups.get_or_insert_with(&table, Vec::new).push(chunk);
            }
            return None;
        };
        // What was on its way when the table was taken back comes behind that.
        let was_done = ledger.table(&table).is_some_and(|chunks| chunks.is_done());
        for ChunkPart { chunk, rows, done } in parts {
            ledger.chunk_acknowledged(&table, chunk, rows, done);
        }
        let chunks = ledger.table(&table).filter(|chunks| chunks.is_done() && !was_done)?;
        let rows = chunks.rows();
        Some((table, rows))
    }

    /// Forgets what nobody who starts at `position` can need, and tables that are gone, which it gives back: what comes under their names
    /// begins with their CREATE TABLE, or is loaded.
    pub(super) fn pass(&mut self, position: &Position) -> Vec<TableName> {
        let may_go = self.schemas.iter().filter(|(_, entries)| history::is_prunable(entries, position));
        let names: Vec<TableName> = may_go.map(|(name, _)| name.clone()).collect();
        let mut all_gone = Vec::new();
        for name in names {
            let is_loaded = self.ledger.as_ref().is_some_and(|ledger| ledger.table(&name).is_some());
            let mut entries = self.schemas.get(&name).cloned().unwrap_or_default();
            let gone = history::prune(&mut entries, position, |_| is_loaded);
            if !gone.is_empty() {
                self.schemas.remove(&name);
                all_gone.push(name);
            } else if self.schemas.get(&name) != Some(&entries) {
                self.schemas.insert(name, entries);
            }
        }
        all_gone
    }

    /// From where a run would read: until reading has begun, from where the full load began.
    pub fn reads_from(&self) -> Option<&Position> {
        self.position.as_ref().or_else(|| self.ledger.as_ref().map(Ledger::start))
    }

    /// Whether rows that were to be loaded of the table are all delivered. Without a ledger nobody here knows.
    pub fn is_loaded(&self, table: &TableName) -> bool {
        self.ledger.as_ref().and_then(|ledger| ledger.table(table)).is_some_and(|table| table.is_done())
    }

    /// Forgets where the task was: it begins anew.
    pub fn begin_anew(&mut self) {
        (self.ledger, self.position) = (None, None);
        self.know(Vec::new());
    }

    /// Adds an entry to the history of schemas, unless an earlier run has found it already.
    pub fn record_schema(&mut self, entry: StoredSchema) {
        history::record(self.schemas.get_or_insert_with(&entry.table.clone(), Vec::new), entry);
    }

    /// Knows of tables what these entries say, and nothing else.
    pub fn know(&mut self, entries: Vec<StoredSchema>) {
        let names: Vec<TableName> = self.schemas.iter().map(|(name, _)| name.clone()).collect();
        names.iter().for_each(|name| self.schemas.remove(name));
        entries.into_iter().for_each(|entry| self.record_schema(entry));
    }

    /// What is known of the table begins with this entry.
    pub fn begin_schema(&mut self, entry: StoredSchema) {
        self.schemas.insert(entry.table.clone(), vec![entry]);
    }

    /// The history of all tables.
    pub fn schemas(&self) -> Vec<StoredSchema> {
        self.schemas.values().flatten().cloned().collect()
    }

    /// Tables whose rows are sent, as far as reading has come.
    pub fn followed(&self) -> impl Iterator<Item = &TableName> {
        self.schemas.iter().filter(|(_, entries)| is_followed(Some(entries))).map(|(name, _)| name)
    }

    /// What is known of the table: rows that are to come may have the columns of each of these.
    pub fn versions(&self, table: &TableName) -> impl Iterator<Item = Table> {
        self.schemas.get(table).into_iter().flatten().filter_map(StoredSchema::defined)
    }
}

/// Whether these say what a table is whose rows are sent: it is there, and neither beside those nor a database.
pub fn is_followed(entries: Option<&Vec<StoredSchema>>) -> bool {
    let state = entries.and_then(|entries| entries.last()).map(|entry| &entry.state);
    !matches!(
        state,
        None | Some(
            SchemaState::Gone { .. }
                | SchemaState::Bystander { .. }
                | SchemaState::Database { .. }
                | SchemaState::Sequence { .. }
        )
    )
}
