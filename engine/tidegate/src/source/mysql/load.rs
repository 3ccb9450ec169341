//! The full load of the tables that the ledger has, and what is sent before their rows.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing::{info, warn};

use super::follow::{MIN_ROWS_HELD, held_window};
use super::look::show_create;
use super::{MysqlSource, patiently};
use crate::checkpoint::journal::{By, What, tables_text};
use crate::checkpoint::{Checkpoint, TaskTracker};
use crate::config::{self, FullLoadOptions, Task};
use crate::pipeline;
use crate::pipeline::route::{columns_read, plan_transform, row_bytes, target_of_table};
use crate::source::{Context, SourceError};
use tidegate_model::rate::Limit;
use tidegate_model::retry::Retry;
use tidegate_model::status::{self, Phase, Status, TableProgress};
use tidegate_model::words::counted;
use tidegate_model::{
    Coordinate, EventMeta, Mark, MarkKind, Statement, StatementKind, Stop, Stopped, Table, TableName, Watermark,
    Window, now_s,
};
use tidegate_mysql::catalog::CatalogTable;
use tidegate_mysql::check::list_names;
use tidegate_mysql::chunks::{ChunkKey, KeyRange};
use tidegate_mysql::ledger::Ledger;
use tidegate_mysql::snapshot::{Load, LoadEnd, LoadRecord, LoadTable, ViewRows};
use tidegate_mysql::{MysqlError, connection, ledger, snapshot};

/// Rows of one window of the full load: large enough for column kernels, small enough for a core's cache.
const LOAD_WINDOW_ROWS: usize = 8192;
/// How many chunks that are read in no time share a view and its place on disk.
const CHUNKS_PER_VIEW: usize = 256;
/// How often a view is opened again because something was committed while it opened.
const VIEW_TRIES: u32 = 10;
/// How long a view may stay open while the sink takes nothing.
const VIEW_PATIENCE: Duration = Duration::from_secs(600);
/// Under a limit of rows, for about how long a chunk of the full load keeps its view.
const VIEW_SECONDS: u64 = 5;

/// What is to be read of a table, besides a load.
pub struct Wanted {
    pub table: TableName,
    /// Only rows for which the server says that this is true.
    pub condition: Option<String>,
    /// In one view, though the table has a key.
    pub is_whole: bool,
}

impl MysqlSource {
    /// Loads the tables that the ledger has and that are not done. Complete if all their rows are delivered.
    pub(super) fn load_what_is_left(&self, context: &Context<'_>) -> Result<LoadEnd, SourceError> {
        // Without a ledger there is nothing to load: incremental reading has passed it, or began without it.
        let loaded = |checkpoint: &Checkpoint| checkpoint.source.ledger.as_ref().is_none_or(Ledger::all_done);
        let Some(options) = &context.task.full_load else { return Ok(LoadEnd::Complete) };
        if context.tracker.read(loaded) {
            return Ok(LoadEnd::Complete);
        }
        let left = |checkpoint: &mut Checkpoint| {
            let Some(ledger) = &checkpoint.source.ledger else { return };
            let left = ledger.tables().iter().filter(|table| !table.is_done());
            let names: Vec<TableName> = left.clone().map(|table| table.name.clone()).collect();
            let rows = left.map(ledger::TableChunks::rows).sum();
            let so_far =
                if rows == 0 { String::new() } else { format!(", of which {} are delivered", counted(rows, "row")) };
            checkpoint.journal.note(What::LoadBegun, By::Run, tables_text(&names) + &so_far);
        };
        context.tracker.update(left);
        if self.load(context, options)? == LoadEnd::Stopped {
            return Ok(LoadEnd::Stopped);
        }
        // Rows of the full load are delivered before the first change is sent.
        if !context.tracker.wait_for(loaded, || context.stop.is_stopped()) {
            return Ok(LoadEnd::Stopped);
        }
        context.tracker.update(|checkpoint| {
            let tables = checkpoint.source.ledger.as_ref().map(Ledger::tables).unwrap_or_default();
            let rows = tables.iter().map(ledger::TableChunks::rows).sum();
            let details = format!("{} of {}", counted(rows, "row"), counted(tables.len() as u64, "table"));
            checkpoint.journal.note(What::LoadEnded, By::Run, details);
        });
        info!("full load complete");
        Ok(LoadEnd::Complete)
    }

    pub(super) fn load(&self, context: &Context<'_>, options: &FullLoadOptions) -> Result<LoadEnd, SourceError> {
        let ledger = context
            .tracker
            .read(|checkpoint| checkpoint.source.ledger.clone())
            .unwrap_or_else(|| unreachable!("a load begins with a ledger"));
        let part = |name: &TableName| ledger.table(name).and_then(|table| table.part.clone());
        let with_part = |table: LoadTable| LoadTable { part: part(table.table.name()), ..table };
        let bytes_of = self.look.tables.iter().map(|table| (table.table.name(), table.estimated_bytes));
        let bytes_of: HashMap<&TableName, u64> = bytes_of.collect();
        let with_bytes = |table: LoadTable| {
            let estimated_bytes = bytes_of.get(table.table.name()).copied().unwrap_or(0);
            LoadTable { estimated_bytes, ..table }
        };
        let tables = self.load_tables(context.task)?.into_iter();
        // Others were loaded before.
        let tables: Vec<LoadTable> =
            tables.filter(|table| ledger.table(table.table.name()).is_some()).map(with_part).map(with_bytes).collect();
        for table in tables.iter().filter(|table| table.table.key().is_empty()) {
            let rows = ledger.table(table.table.name()).map_or(0, ledger::TableChunks::rows_of_unfinished);
            if rows > 0 {
                warn!(
                    table = %table.table.name(), rows,
                    "it has no key and was being read when the last run ended: what was sent of it comes once more"
                );
            }
        }
        let delivered = |name: &TableName| ledger.table(name).map_or(0, ledger::TableChunks::rows);
        let target = |name: &TableName| target_of_table(&context.task.tables, name);
        let is_loaded = |table: &&CatalogTable| ledger.table(table.table.name()).is_some();
        context.status.set_tables(
            self.look
                .tables
                .iter()
                .filter(is_loaded)
                .map(|table| TableProgress {
                    table: table.table.name().clone(),
                    // One that cannot have it has been refused.
                    target: target(table.table.name()).unwrap_or_else(|_| table.table.name().clone()),
                    estimated_rows: table.estimated_rows,
                    rows: delivered(table.table.name()),
                    part: part(table.table.name()).map(|part| snapshot::shown(&part)),
                    chunks_left: None,
                    done: ledger.table(table.table.name()).is_some_and(ledger::TableChunks::is_done),
                })
                .collect(),
        );
        context.status.set_phase(Phase::FullLoad);
        let limits = context.task.limits;
        let limited = [limits.all, limits.full_load].iter().filter_map(|limit| limit.rows_per_second).min();
        let is_limited = [limits.all, limits.full_load].iter().any(|limit| *limit != Limit::default());
        let load_options = snapshot::LoadOptions {
            readers: options.parallel.get(),
            tables_share_views: !is_limited,
            window_rows: held_window(LOAD_WINDOW_ROWS, limited),
            window_bytes: pipeline::shares(context.task).window,
            retry_for: context.task.retry.connection,
            view_max: options.view_max,
            is_followed: context.task.incremental.is_some(),
            ..load_options(Some(options.chunk_rows), limited)
        };
        let reached = context.tracker.read(|checkpoint| checkpoint.source.position.clone());
        let start_is_low = reached.is_none();
        let start = reached.unwrap_or_else(|| ledger.start().clone());
        if context.task.incremental.as_ref().is_some_and(|options| options.ddl == config::DdlPolicy::Forward) {
            self.announce(context, &ledger, &tables, &start.coordinate)?;
        }
        let load = Load {
            connect: &self.look.connect,
            facts: &self.look.facts,
            tables: &tables,
            options: &load_options,
            ledger: &ledger,
            record: &Record { tracker: context.tracker, status: context.status, stop: context.stop },
            emit: &|window| context.emitter.emit_loaded(window),
            start: &start,
            start_is_low,
            plan: &|table| self.plan_table(context.task, &table).map(with_part).map_err(Into::into),
            stop: context.stop.flag(),
        };
        load.run().map_err(|error| MysqlError::Load(error).into())
    }

    /// Where statements are forwarded, a table's rows come behind the statement that makes it, as it was when the task began, or took it up; if
    /// the run ended before any of its rows was delivered, once more, as it is then. Not for a table that is loaded again, which consumers have.
    fn announce(
        &self,
        context: &Context<'_>,
        ledger: &Ledger,
        tables: &[LoadTable],
        start: &Coordinate,
    ) -> Result<(), SourceError> {
        let is_unheard_of = |name: &TableName| {
            context
                .tracker
                .read(|checkpoint| checkpoint.remembered_table(name).is_some_and(|table| table.is_unheard_of))
        };
        let is_new = |name: &TableName| {
            ledger.table(name).is_some_and(|table| {
                table.is_untouched() || is_unheard_of(name) && !table.is_done() && table.rows() == 0
            })
        };
        let mut definitions = HashMap::new();
        let names = tables.iter().map(|table| table.table.name()).filter(|name| is_new(name));
        let (known, unknown): (Vec<_>, Vec<_>) = names.partition(|name| self.definitions.contains_key(name));
        if !unknown.is_empty() {
            let ask = async || -> Result<_, SourceError> {
                let connection = connection::session(&self.look.connect, &self.look.facts).await;
                let mut connection = connection.map_err(MysqlError::Connection)?;
                let shown = show_create(&mut connection, unknown.iter().copied()).await?;
                connection.disconnect().await.map_err(MysqlError::Query)?;
                Ok(shown)
            };
            definitions = match patiently(context, || self.runtime.block_on(ask()))? {
                Some(definitions) => definitions,
                None => {
                    warn!(
                        "the server does not tell the CREATE TABLE of each table: {} come without",
                        list_names(&unknown)
                    );
                    HashMap::new()
                }
            };
        }
        definitions.extend(known.into_iter().map(|name| (name.clone(), self.definitions[name].clone())));
        let mut definitions: Vec<(TableName, String)> = definitions.into_iter().collect();
        definitions.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let meta = Arc::new(EventMeta {
            timestamp_s: now_s(),
            server_id: self.look.facts.server_id(),
            thread_id: 0,
            coordinate: start.clone(),
            transaction: start.clone(),
            gtid: None,
        });
        for (name, sql) in definitions {
            let bytes = sql.len();
            let default_database = name.database.to_string();
            let statement = Statement { kind: StatementKind::Create, tables: vec![name], sql, default_database };
            let mark = Mark { kind: MarkKind::Statement(statement), sequence: 0, meta: meta.clone() };
            let window = Window { marks: vec![mark], bytes, ..Window::default() };
            context.emitter.emit_loaded(window).map_err(|Stopped| SourceError::Stopped)?;
        }
        Ok(())
    }

    /// Reads rows of some tables as a full load does, each chunk in a view of its own, for a look that nothing goes on from. Tables are cut by
    /// their keys, so that a row which is there all the time is in one view at least; without a key, all rows of a table are in one.
    pub fn read_rows(
        &self,
        task: &Task,
        wanted: &[Wanted],
        begun: &(dyn Fn(&TableName) + Sync),
        gone: &(dyn Fn(&TableName) + Sync),
        stop: &Stop,
        emit: &(dyn Fn(Window) -> Result<(), Stopped> + Sync),
    ) -> Result<LoadEnd, SourceError> {
        let mut tables = self.load_tables(task)?;
        let of = |name: &TableName| wanted.iter().find(|wanted| wanted.table == *name);
        tables.retain(|table| of(table.table.name()).is_some());
        for table in &mut tables {
            let wanted = of(table.table.name());
            table.chunk_column = None;
            table.is_whole = wanted.is_some_and(|wanted| wanted.is_whole);
            // Nothing is left to what the server says of the filter: this is what proves that it loses no row.
            table.condition = wanted.and_then(|wanted| wanted.condition.clone());
        }
        let (start, _) =
            snapshot::start_position(&self.look.connect, &self.look.facts, false).map_err(MysqlError::Load)?;
        let limited = [task.limits.all, task.limits.full_load].iter().filter_map(|limit| limit.rows_per_second).min();
        let options = task.full_load.as_ref();
        let load_options = snapshot::LoadOptions {
            readers: options.map_or(1, |options| options.parallel.get()),
            window_rows: held_window(LOAD_WINDOW_ROWS, limited),
            window_bytes: pipeline::shares(task).window,
            retry_for: task.retry.connection,
            is_followed: false,
            ..load_options(options.map(|options| options.chunk_rows), limited)
        };
        let ledger = Ledger::new(start.clone());
        let load = Load {
            connect: &self.look.connect,
            facts: &self.look.facts,
            tables: &tables,
            options: &load_options,
            ledger: &ledger,
            record: &Passing { ledger: Mutex::new(ledger.clone()), begun, gone },
            emit,
            start: &start,
            start_is_low: true,
            plan: &|table| {
                let wanted = of(table.name());
                let is_whole = wanted.is_some_and(|wanted| wanted.is_whole);
                let condition = wanted.and_then(|wanted| wanted.condition.clone());
                self.plan_table(task, &table)
                    .map(|planned| LoadTable { is_whole, condition, ..planned })
                    .map_err(Into::into)
            },
            stop: stop.flag(),
        };
        load.run().map_err(|error| MysqlError::Load(error).into())
    }

    /// The tables, as they are to be read.
    pub(super) fn load_tables(&self, task: &Task) -> Result<Vec<LoadTable>, SourceError> {
        self.tables.iter().map(|table| self.load_table(task, table)).collect()
    }

    pub(super) fn load_table(&self, task: &Task, table: &Arc<Table>) -> Result<LoadTable, SourceError> {
        let definition = self.definitions.get(table.name()).cloned();
        self.plan_table(task, table).map(|planned| LoadTable { definition, ..planned })
    }

    /// What to read of a table: all rows for which the server can tell that they pass the filter, and of them what messages are made of.
    fn plan_table(&self, task: &Task, table: &Arc<Table>) -> Result<LoadTable, SourceError> {
        let name = table.name();
        let rule = task.tables.matches(&name.database, &name.table).expect("only captured tables were read");
        let transform = plan_transform(&task.tables, table)?;
        Ok(LoadTable {
            chunk_column: rule.chunk_by.first().cloned(),
            condition: transform.mysql_predicate().map(str::to_owned),
            columns: columns_read(task, table, &transform),
            row_bytes: row_bytes(task, table, &transform, &self.look.facts.version.text),
            ..LoadTable::whole(table.clone())
        })
    }
}

/// What is the same for every load; a limit of rows keeps chunks short.
fn load_options(chunk_rows: Option<u64>, limited: Option<u64>) -> snapshot::LoadOptions {
    let defaults = snapshot::LoadOptions::default();
    let chunk_rows = chunk_rows.unwrap_or(defaults.chunk_rows);
    snapshot::LoadOptions {
        chunk_rows: chunk_rows.min(limited.map_or(u64::MAX, |rows| rows.max(MIN_ROWS_HELD) * VIEW_SECONDS)),
        chunks_per_view: CHUNKS_PER_VIEW,
        view_tries: VIEW_TRIES,
        view_patience: VIEW_PATIENCE,
        ..defaults
    }
}

/// A ledger in memory, and who is told of a table of which chunks begin, or that is gone.
struct Passing<'a> {
    ledger: Mutex<Ledger>,
    begun: &'a (dyn Fn(&TableName) + Sync),
    gone: &'a (dyn Fn(&TableName) + Sync),
}

impl LoadRecord for Passing<'_> {
    fn add_table(&self, table: &TableName, key: &ChunkKey, definition: Option<u32>) {
        self.ledger.add_table(table, key, definition);
    }

    fn add_chunk(&self, table: &TableName, range: KeyRange) -> Option<u32> {
        LoadRecord::add_chunk(&self.ledger, table, range)
    }

    fn begin(
        &self,
        rows: &[(&TableName, ViewRows<'_>)],
        low: &Watermark,
        high: &Watermark,
    ) -> Result<Vec<bool>, Box<dyn std::error::Error + Send + Sync>> {
        rows.iter().for_each(|(table, _)| (self.begun)(table));
        LoadRecord::begin(&self.ledger, rows, low, high)
    }

    fn begin_again(&self, table: &TableName, key: &ChunkKey, definition: Option<u32>) -> Option<u32> {
        LoadRecord::begin_again(&self.ledger, table, key, definition)
    }

    fn gone(&self, table: &TableName, at: Watermark) {
        (self.gone)(table);
        LoadRecord::gone(&self.ledger, table, at);
    }
}

/// The checkpoint's ledger is what a load writes down in.
struct Record<'a> {
    tracker: &'a TaskTracker,
    status: &'a Status,
    stop: &'a Stop,
}

/// Changes the ledger, which a load has.
fn with_ledger<T>(checkpoint: &mut Checkpoint, change: impl FnOnce(&mut Ledger) -> T) -> T {
    change(checkpoint.source.ledger.as_mut().expect("a load has a ledger"))
}

/// The same, unless the table is done though it is being read: then it was taken back.
fn if_wanted<T>(checkpoint: &mut Checkpoint, table: &TableName, change: impl FnOnce(&mut Ledger) -> T) -> Option<T> {
    let is_wanted = |ledger: &Ledger| ledger.table(table).is_none_or(|table| !table.is_done());
    with_ledger(checkpoint, |ledger| is_wanted(ledger).then(|| change(ledger)))
}

impl LoadRecord for Record<'_> {
    fn add_table(&self, table: &TableName, key: &ChunkKey, definition: Option<u32>) {
        self.tracker.update(|checkpoint| {
            with_ledger(checkpoint, |ledger| ledger.add_table(table, key.clone(), definition));
        });
    }

    fn add_chunk(&self, table: &TableName, range: KeyRange) -> Option<u32> {
        self.tracker.update(|checkpoint| if_wanted(checkpoint, table, |ledger| ledger.add_chunk(table, range)))
    }

    fn begin(
        &self,
        rows: &[(&TableName, ViewRows<'_>)],
        low: &Watermark,
        high: &Watermark,
    ) -> Result<Vec<bool>, Box<dyn std::error::Error + Send + Sync>> {
        let begin = |checkpoint: &mut Checkpoint| {
            let begin = |(table, rows): &(&TableName, ViewRows<'_>)| {
                if_wanted(checkpoint, table, |ledger| rows.begin(ledger, table, low.clone(), high.clone())).is_some()
            };
            rows.iter().map(begin).collect()
        };
        self.tracker.update_durably(begin).map_err(Into::into)
    }

    fn begin_again(&self, table: &TableName, key: &ChunkKey, definition: Option<u32>) -> Option<u32> {
        let begin = |ledger: &mut Ledger| ledger.begin_again(table, key.clone(), definition);
        self.tracker.update(|checkpoint| if_wanted(checkpoint, table, begin))
    }

    fn taken_back(&self) -> Vec<TableName> {
        if !self.status.taken_back.swap(false, Ordering::Relaxed) {
            return Vec::new();
        }
        let is_taken_back = |table: &&ledger::TableChunks| table.part.is_some() && table.is_done();
        let names: Vec<TableName> = self.tracker.read(|checkpoint| {
            let tables = checkpoint.source.ledger.iter().flat_map(|ledger| ledger.tables());
            tables.filter(is_taken_back).map(|table| table.name.clone()).collect()
        });
        self.status.tables_ended(&names);
        names
    }

    fn gone(&self, table: &TableName, at: Watermark) {
        self.tracker.update(|checkpoint| {
            with_ledger(checkpoint, |ledger| ledger.gone(table, at));
            checkpoint.table_loaded(table);
        });
    }

    fn retrying(&self, reason: String, pause: Duration, retry: &Retry) {
        self.status.retrying(status::SOURCE, reason, None, pause, retry);
    }

    fn recovered(&self) {
        self.status.recovered(status::SOURCE);
    }

    fn is_held(&self) -> bool {
        self.status.limits.held.is_under_way()
    }

    fn is_paused(&self) -> bool {
        self.stop.is_paused()
    }

    fn wait_while_paused(&self) {
        self.status.set_phase(Phase::Paused);
        self.stop.wait_while_paused();
        self.status.set_phase(Phase::FullLoad);
    }
}
