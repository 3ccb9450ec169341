//! Where reading begins: at the present for a task that has none of it yet, else where the last run was.

use std::sync::Arc;

use tracing::info;

use super::look::{Definitions, read_tables, show_create};
use super::{MysqlSource, patiently};
use crate::checkpoint::{Checkpoint, LoadState, is_followed};
use crate::config::Task;
use crate::source::{Context, SourceError};
use tidegate_model::{GtidSet, Position, Table, TableName, Watermark};
use tidegate_mysql::catalog::{self, CatalogError, CatalogTable};
use tidegate_mysql::dump_error::DumpError;
use tidegate_mysql::history::StoredSchema;
use tidegate_mysql::ledger::{Ledger, TableChunks};
use tidegate_mysql::{MysqlError, connection, same_history, snapshot, xa};

/// How often the start is taken again because a table was altered meanwhile.
const START_TRIES: u32 = 20;

impl MysqlSource {
    /// The position from which changes are read; taken and stored by the first run.
    pub(super) fn begin(&mut self, context: &Context<'_>) -> Result<Position, SourceError> {
        let stored = context.tracker.read(|checkpoint| checkpoint.reads_from().cloned());
        if let Some(position) = stored {
            if let Some(reason) = self.purged(context, &position)? {
                return self.begin_behind_gap(context, &position, reason);
            }
            info!(position = %position.place(), "going on where the last run ended");
            return self.begin_added(context, &position);
        }
        let (start, schemas) = self.begin_here(context)?;
        let mut ledger = Ledger::new(start.clone());
        self.enter(&mut ledger, context.task, &self.tables)?;
        context.tracker.update_durably(|checkpoint| {
            schemas.into_iter().for_each(|schema| checkpoint.source.begin_schema(schema));
            match context.task.full_load {
                Some(_) => checkpoint.source.ledger = Some(ledger),
                None => checkpoint.source.position = Some(start.clone()),
            }
        })?;
        Ok(start)
    }

    /// As [`xa::begin`].
    pub(super) async fn begin_xa(&self, context: &Context<'_>) -> Result<Option<Watermark>, MysqlError> {
        let are_known = context.task.ignored_items.contains(&"prepared_xa");
        xa::begin(&self.look.connect, &self.look.facts, are_known, context.stop).await
    }

    /// A position from which changes can be read now, and the tables as they are known from there on.
    pub(super) fn begin_here(&mut self, context: &Context<'_>) -> Result<(Position, Vec<StoredSchema>), SourceError> {
        let (start, shown_until) = self.take_start(context.task)?;
        // Those that were no longer there at the start are not those that are there behind it.
        self.look.sequences = self.runtime.block_on(self.find_sequences(context.task))?;
        let start = match &context.task.incremental {
            Some(_) => {
                let start = self.with_file(start)?;
                let began = self.runtime.block_on(self.begin_xa(context))?;
                start.with_beginning(Some(began.ok_or(SourceError::Stopped)?))
            }
            None => start,
        };
        let shown = |table: &Arc<Table>| StoredSchema::shown(table, &start.coordinate, shown_until.clone());
        let is_table = |name: &&TableName| self.tables.iter().any(|table| table.name() == *name);
        let sequences = self.look.sequences.iter().filter(|name| !is_table(name));
        // MariaDB, which alone has some, begins at the present.
        let sequences = sequences.map(|name| StoredSchema::sequence(name, &start.coordinate, true));
        let schemas = self.tables.iter().map(shown).chain(sequences).collect();
        Ok((start, schemas))
    }

    /// A position, and what had been executed when the tables were as they are known.
    ///
    /// The catalogue is read again once the start is known: what it shows then includes every statement before that. If it is
    /// not what was known, a statement came between: the next start lies behind it.
    pub(super) fn take_start(&mut self, task: &Task) -> Result<(Position, Watermark), SourceError> {
        for _ in 0..START_TRIES {
            let is_followed = task.incremental.is_some();
            let (start, binlog_end) = snapshot::start_position(&self.look.connect, &self.look.facts, is_followed)
                .map_err(MysqlError::Load)?;
            let end = Watermark::Coordinate(binlog_end);
            let (tables, definitions, executed) = self.runtime.block_on(self.read_definitions(task, None))?;
            let is_same = |(now, before): (&CatalogTable, &CatalogTable)| {
                now.table == before.table && now.table.has_collations_of(&before.table)
            };
            let is_same = definitions.is_some()
                && tables.len() == self.look.tables.len()
                && tables.iter().zip(&self.look.tables).all(is_same);
            self.look.tables = tables;
            self.tables = self.look.tables();
            if self.tables.is_empty() {
                return Err(SourceError::NoTables);
            }
            if let Some(definitions) = definitions.filter(|_| is_same) {
                self.definitions = definitions;
                let shown_until = start.gtids.as_ref().and(executed).map_or(end, Watermark::Gtids);
                return Ok((start, shown_until));
            }
        }
        Err(SourceError::SchemaMoved { table: self.tables[0].name().clone() })
    }

    /// The position, with what tells its file from others of the same name.
    pub(super) fn with_file(&self, position: Position) -> Result<Position, SourceError> {
        let uuid = self.look.facts.server_uuid();
        match same_history::binlog_file(&self.look.connect, uuid, &position.coordinate) {
            Ok(file) => Ok(Position { file: Some(file), ..position }),
            // Of several servers behind an address, GTIDs alone count until one is read.
            Err(MysqlError::Dump(DumpError::Spread { .. })) if position.gtids.is_some() => Ok(position),
            Err(error) => Err(error.into()),
        }
    }

    /// Enters tables of which all rows are to be read.
    fn enter(&self, ledger: &mut Ledger, task: &Task, tables: &[Arc<Table>]) -> Result<(), SourceError> {
        for table in tables {
            let planned = self.load_table(task, table)?;
            // A column to cut by that is none stops the load, with its name.
            let key = planned.key().unwrap_or_default();
            ledger.add_table(table.name(), key, planned.fingerprint());
        }
        Ok(())
    }

    /// A table whose load was not over is not there: looks once more, on a server that is not behind the position.
    fn look_for_missing(
        &mut self,
        context: &Context<'_>,
        stored: &Checkpoint,
        position: &Position,
    ) -> Result<(), SourceError> {
        let has = |name: &TableName| self.tables.iter().any(|table| table.name() == name);
        let is_missing = |table: &TableChunks| {
            let name = &table.name;
            !table.is_done() && !has(name) && context.task.tables.matches(&name.database, &name.table).is_some()
        };
        if stored.source.ledger.as_ref().is_some_and(|ledger| ledger.tables().iter().any(is_missing)) {
            let (tables, ..) =
                patiently(context, || self.runtime.block_on(self.read_definitions(context.task, Some(position))))?;
            self.look.tables = tables;
            self.tables = self.look.tables();
        }
        Ok(())
    }

    /// Brings the ledger of an earlier run in line with the tables that there are: one that was never loaded is loaded, one that
    /// the task no longer has is forgotten.
    ///
    /// What is known of an added table begins at the position, though the catalogue shows it as it is now: statements on it
    /// between both are met again, and change nothing unless rows came before them.
    fn begin_added(&mut self, context: &Context<'_>, position: &Position) -> Result<Position, SourceError> {
        let stored = context.tracker.read(Checkpoint::clone);
        self.look_for_missing(context, &stored, position)?;
        let in_ledger = |name: &TableName| stored.source.ledger.as_ref().and_then(|ledger| ledger.table(name));
        let is_in_ledger = |name: &TableName| in_ledger(name).is_some_and(|table| !table.is_taken_as_read());
        let is_wanted = |name: &TableName| {
            let remembered = stored.remembered_table(name);
            context.task.full_load.is_some() && remembered.is_some_and(|table| table.load == LoadState::Wanted)
        };
        let added: Vec<Arc<Table>> = self
            .tables
            .iter()
            .filter(|table| is_wanted(table.name()) && !is_in_ledger(table.name()))
            .cloned()
            .collect();
        let mut ledger = stored.source.ledger.unwrap_or_else(|| Ledger::new(position.clone()));
        let has = |name: &TableName| self.tables.iter().any(|table| table.name() == name);
        let is_selected = |name: &TableName| context.task.tables.matches(&name.database, &name.table).is_some();
        // Of one that is selected, a statement tells what became of it; until that is read, its chunks are read ones.
        let is_kept = |table: &TableChunks| has(&table.name) || (is_selected(&table.name) && table.is_done());
        let removed: Vec<TableName> =
            ledger.tables().iter().filter(|table| !is_kept(table)).map(|table| table.name.clone()).collect();
        // What is known of a table that was left out has not moved with it.
        let is_left_out =
            |name: &TableName, entries: &Vec<StoredSchema>| is_followed(Some(entries)) && !is_selected(name);
        let has_left = stored.source.schemas.iter().any(|(name, entries)| is_left_out(name, entries));
        if added.is_empty() && removed.is_empty() && !has_left {
            return Ok(position.clone());
        }
        for name in &removed {
            if is_selected(name) {
                let is_gone = patiently(context, || self.runtime.block_on(self.is_gone(name)))?;
                if !is_gone {
                    let error = CatalogError::Missing { name: name.clone(), seen: Vec::new() };
                    return Err(MysqlError::Catalog(error).into());
                }
                // Its rows may have another name now, under which they are to be read.
                info!(table = %name, "it is not there any more: its full load ends without it");
                ledger.gone(name, self.now(context)?);
                continue;
            }
            info!(table = %name, "no longer a table of the task: its full load is forgotten");
            ledger.forget(name);
        }
        let mut schemas = stored.source.schemas;
        schemas.retain(|name, entries| !is_left_out(name, entries));
        let mut position = position.clone();
        let mut asked = Vec::new();
        let has_read = stored.source.position.is_some() && context.task.incremental.is_some();
        if has_read && !snapshot::starts_at_present(&self.look.facts) {
            // No view is certain to show what was read of other tables: they are loaded where one is.
            for table in &added {
                let name = table.name().clone();
                info!(table = %name, "was never loaded: it is loaded as one that is asked for");
                if !is_followed(schemas.get(&name)) {
                    self.later.insert(name.clone());
                }
                asked.push(name);
            }
        } else if !added.is_empty() {
            let end = self.now(context)?;
            let (tables, definitions, executed) =
                patiently(context, || self.runtime.block_on(self.read_definitions(context.task, Some(&position))))?;
            let shown_until = executed.map_or(end, Watermark::Gtids);
            let mut again: Vec<TableName> = Vec::new();
            self.look.tables = tables;
            self.tables = self.look.tables();
            self.definitions = definitions.unwrap_or_default();
            let added: Vec<Arc<Table>> = self
                .tables
                .iter()
                .filter(|table| added.iter().any(|one| one.name() == table.name()))
                .cloned()
                .collect();
            // One that was left behind a gap is loaded after all.
            added
                .iter()
                .filter(|table| ledger.table(table.name()).is_some())
                .for_each(|table| again.push(table.name().clone()));
            again.iter().for_each(|name| ledger.forget(name));
            self.enter(&mut ledger, context.task, &added)?;
            for table in &added {
                info!(table = %table.name(), "was never loaded: it is loaded now, and changes wait for it");
                if let Some(definition) = self.definitions.get(table.name()) {
                    self.tell_cascades(table.name(), definition);
                }
                // Consumers have rows of it, whose changes have been read up to the position.
                if is_followed(schemas.get(table.name())) {
                    let planned = self.load_table(context.task, table)?;
                    let (key, definition) = (planned.key().unwrap_or_default(), planned.fingerprint());
                    ledger.load_again(table.name(), key, definition, &position.coordinate);
                    continue;
                }
                // They may have rows from when it was here before, or of others that go to the same topic, whether the task remembers that or
                // not. Without a key nobody knows which row goes, and each that is repeated stays twice.
                if !table.key().is_empty() {
                    ledger.follow_from(table.name(), shown_until.clone());
                }
                let schema = StoredSchema::shown(table, &position.coordinate, shown_until.clone());
                schemas.insert(table.name().clone(), vec![schema]);
            }
            if context.task.incremental.is_some() {
                position = self.begun_anew(context, position)?;
            }
        }
        context.tracker.update_durably(|checkpoint| {
            checkpoint.source.schemas = schemas;
            // Within the first load, nothing has been read behind its start.
            if stored.source.position.is_some() || !added.is_empty() {
                checkpoint.source.position = Some(position.clone());
            }
            checkpoint.source.ledger = (!ledger.tables().is_empty()).then_some(ledger);
            asked.iter().for_each(|name| checkpoint.ask_for(name, true));
            removed.iter().for_each(|name| checkpoint.table_loaded(name));
        })?;
        Ok(position)
    }

    /// The catalogue, and before it the tables' own words (none if one of them is no longer there) and the executed GTIDs.
    ///
    /// A statement stands in the binlog a moment before the catalogue has it, and holds its table locked until then; it enters
    /// the set before it lets go of its locks. `SHOW CREATE TABLE` waits for them. Of a server that is behind `position`, nothing.
    /// See [`catalog::is_gone`].
    async fn is_gone(&self, name: &TableName) -> Result<bool, SourceError> {
        let mut connection =
            connection::session(&self.look.connect, &self.look.facts).await.map_err(MysqlError::Connection)?;
        let is_gone = catalog::is_gone(&mut connection, name).await.map_err(MysqlError::Query)?;
        connection.disconnect().await.map_err(MysqlError::Query)?;
        Ok(is_gone)
    }

    async fn find_sequences(&self, task: &Task) -> Result<Vec<TableName>, SourceError> {
        if !self.look.facts.version.is_mariadb {
            return Ok(Vec::new());
        }
        let mut connection =
            connection::session(&self.look.connect, &self.look.facts).await.map_err(MysqlError::Connection)?;
        let is_selected = |database: &str, table: &str| task.tables.matches(database, table).is_some();
        let found = catalog::find_sequences(&mut connection, is_selected).await.map_err(MysqlError::Query)?;
        connection.disconnect().await.map_err(MysqlError::Query)?;
        Ok(found)
    }

    async fn read_definitions(
        &self,
        task: &Task,
        position: Option<&Position>,
    ) -> Result<(Vec<CatalogTable>, Option<Definitions>, Option<GtidSet>), SourceError> {
        let mut connection =
            connection::session(&self.look.connect, &self.look.facts).await.map_err(MysqlError::Connection)?;
        let definitions = show_create(&mut connection, self.tables.iter().map(|table| table.name())).await?;
        let executed = self.executed_here(&mut connection, position).await?;
        let tables = read_tables(&mut connection, task, &self.look.known).await;
        connection.disconnect().await.map_err(MysqlError::Query)?;
        Ok((tables?, definitions, executed))
    }
}
