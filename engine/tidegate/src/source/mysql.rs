//! A MySQL-family server as a source: looks, loads, follows.
//!
//! ```text
//! open   control plane: variables, privileges, catalogue        every finding that would stop the task stops it here
//! run    P0 ─► checkpoint ─► full load ─► all acknowledged ─► follow the binlog from P0, less what the load showed
//!                            (resumes at the ledger)             (resumes at the stored position)
//!                                 ▲                                   │ rows that have no row events, or are not known
//!                                 └───────────────────────────────────┘ to have them: their table takes a turn
//! ```
//!
//! *A table that the task has never met* is there at a start, and `tables` has selected it all along: it was made meanwhile. If its
//! CREATE TABLE stands behind the position, reading meets it, and there is nothing to load. Nobody knows before the reader has come
//! to where the binlog ended when the catalogue was read. If it meets a row of the table before its CREATE TABLE, or gets there without
//! having met it ([`Followed::Arrived`]), the table is loaded then. That no row of it was sent before is certain: what a run that was
//! killed had sent behind its last checkpoint is met again, and in the same order. So its chunks may drop what they have shown, unless
//! its topic holds messages of this task: a table of this name may have been there before, been renamed away, and come back.
//!
//! *A table that is swapped again and again* (RENAME onto its name) while it loads is loaded again for each statement that lies
//! behind the begin of its load: chunks before and behind the statement are of two tables, and changes from before it would
//! follow rows from behind it. After [`RELOADS_AT_ONCE`] loads for statements of the past it is loaded no more for each of them, but
//! once, when reading has come to the end that the binlog has then; meanwhile its changes are sent as they come. That ends,
//! however many statements there were. No bound can end it where the table is swapped during every load: each holds rows of two
//! tables then. The task goes on with it, since all other tables depend on it, and says each time how often it was.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mysql_async::prelude::Queryable;
use tracing::{info, warn};

use crate::checkpoint::{Checkpoint, SourceIdentity, Tracker};
use crate::config::{self, LoadOptions, MysqlOptions, Task};
use crate::error::Error;
use crate::gap::{AfterGap, Gap};
use crate::pipeline;
use crate::pipeline::route::{plan_transform, row_bytes, target_of_table};
use crate::remembered::{LoadState, RememberedTable};
use crate::shards;
use crate::source::{Context, SourceError};
use tidegate_flow::store::CHECKPOINT;
use tidegate_model::retry::Retry;
use tidegate_model::status::{self, Phase, Status, TableProgress};
use tidegate_model::{
    ChangeBatch, Coordinate, EventMeta, Gtid, GtidSet, Mark, MarkKind, NameCase, Position, Statement, StatementKind,
    Stop, Stopped, Table, TableName, Watermark, Window, now_s,
};
use tidegate_mysql::binlog::{MarkOptions, RowBytes, WindowOptions};
use tidegate_mysql::catalog::{CatalogError, CatalogTable, Selection};
use tidegate_mysql::check::{self, BinlogGaps, Demands, Finding, Severity, Surroundings, list_names};
use tidegate_mysql::chunks::{ChunkKey, KeyRange};
use tidegate_mysql::connection::ServerFacts;
use tidegate_mysql::ddl::UnloggedRows;
use tidegate_mysql::dump_error::DumpError;
use tidegate_mysql::extent::Watch;
use tidegate_mysql::history::{Here, History, Moved, Rules, SchemaState, StoredSchema, Turn, UnloggedRowsPolicy};
use tidegate_mysql::incremental::{FollowOptions, Followed, Follower};
use tidegate_mysql::ledger::Ledger;
use tidegate_mysql::run_lock::{RunLock, RunLockError};
use tidegate_mysql::snapshot::{Load, LoadEnd, LoadRecord, LoadTable};
use tidegate_mysql::wire::{ConnectOptions, TlsOptions};
use tidegate_mysql::{MysqlError, catalog, connection, history, ledger, run_lock, same_history, snapshot, wire, xa};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
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
/// Smaller windows and chunks than these cost more than the pauses between them are worth.
const MIN_ROWS_HELD: u64 = 100;
/// Gaps that a task's state tells of.
const GAPS_KEPT: usize = 20;
/// How often the start is taken again because a table was altered meanwhile.
const START_TRIES: u32 = 20;
/// How often a table is loaded again at once, for one statement after the other.
const RELOADS_AT_ONCE: u32 = 3;

/// What a first look at the server shows.
pub struct Look {
    connect: ConnectOptions,
    facts: ServerFacts,
    tables: Vec<CatalogTable>,
    /// Why tables that are selected cannot be had.
    errors: Vec<CatalogError>,
    around: Surroundings,
    demands: Demands,
    /// `None` for a task that does not read the binlog.
    gaps: Option<BinlogGaps>,
    /// `None` if the account may not see them.
    prepared_xids: Option<Vec<String>>,
    /// The connection that holds the lock of this task's runs.
    other_run: Option<u64>,
}

/// Connects and reads variables, privileges and the selected tables' definitions.
pub fn look(
    task: &Task,
    options: &MysqlOptions,
    runtime: &tokio::runtime::Runtime,
    has_begun: bool,
) -> Result<Look, Error> {
    let connect = connect_options(task, options)?;
    // The data plane's client logs in first: if it cannot, its errors say best why.
    drop(wire::Connection::connect(&connect).map_err(MysqlError::Wire)?);
    let (facts, found, gaps, prepared_xids, other_run, around) = runtime.block_on(async {
        let mut connection = connection::connect(&connect).await.map_err(MysqlError::Connection)?;
        let facts = ServerFacts::read(&mut connection).await.map_err(MysqlError::Query)?;
        if facts.name_case() == NameCase::Folded {
            task.tables.fold_names().map_err(|names| SourceError::NamedTwice { names })?;
        }
        let found = find_tables(&mut connection, task).await?;
        let gaps = match &task.incremental {
            Some(_) => {
                let gaps = BinlogGaps::read(&mut connection, &facts.version, &found.tables).await;
                Some(gaps.map_err(MysqlError::Query)?)
            }
            None => None,
        };
        let around = Surroundings::read(&mut connection, &facts).await.map_err(MysqlError::Query)?;
        let xids = connection::prepared_xids(&mut connection).await.map_err(MysqlError::Query)?;
        let other_run = run_lock::holder(&mut connection, &task.name).await.map_err(MysqlError::Query)?;
        // A connection that is not closed politely leaves a warning in the server's log.
        connection.disconnect().await.map_err(MysqlError::Query)?;
        Ok::<_, SourceError>((facts, found, gaps, xids, other_run, around))
    })?;
    let demands = Demands {
        server_id: options.server_id,
        // Besides the readers: the run's lock, the binlog, where it ends, and a question now and then.
        connections: task.full_load.as_ref().map_or(0, |options| options.parallel.get() as u64) + 4,
        loads: task.full_load.is_some(),
        follows: task.incremental.is_some(),
        has_begun,
    };
    let catalog::Found { tables, errors } = found;
    Ok(Look { connect, facts, tables, errors, around, demands, gaps, prepared_xids, other_run })
}

async fn read_tables(connection: &mut mysql_async::Conn, task: &Task) -> Result<Vec<CatalogTable>, SourceError> {
    Ok(find_tables(connection, task).await?.whole().map_err(MysqlError::Catalog)?)
}

async fn find_tables(connection: &mut mysql_async::Conn, task: &Task) -> Result<catalog::Found, SourceError> {
    let named: Vec<TableName> =
        task.tables.exact_names().map(|(database, table)| TableName::new(database, table)).collect();
    let matches = |database: &str, table: &str| task.tables.matches(database, table).is_some();
    let selection = Selection { named: &named, matches: task.tables.has_patterns().then_some(&matches) };
    Ok(catalog::find_tables(connection, &selection).await.map_err(MysqlError::Query)?)
}

/// The tables' own words; none if the server has not those of all.
async fn show_create<'a>(
    connection: &mut mysql_async::Conn,
    names: impl IntoIterator<Item = &'a TableName>,
) -> Result<Option<Definitions>, SourceError> {
    /// Of one round trip.
    const TABLES_AT_ONCE: usize = 100;
    let names: Vec<&TableName> = names.into_iter().collect();
    let mut definitions = HashMap::with_capacity(names.len());
    for names in names.chunks(TABLES_AT_ONCE) {
        let show = |name: &&TableName| format!("SHOW CREATE TABLE {}", connection::quote_table(name));
        let statements: Vec<String> = names.iter().map(show).collect();
        let is_missing = |error: &mysql_async::Error| matches!(error, mysql_async::Error::Server(_));
        let mut shown = match connection.query_iter(statements.join("; ")).await {
            Err(error) if is_missing(&error) => return Ok(None),
            result => result.map_err(MysqlError::Query)?,
        };
        for &name in names {
            let rows: Vec<mysql_async::Row> = match shown.collect().await {
                Err(error) if is_missing(&error) => return Ok(None),
                rows => rows.map_err(MysqlError::Query)?,
            };
            let text = rows.into_iter().next().and_then(|row| row.get_opt::<String, _>(1)?.ok());
            let Some(text) = text else { return Ok(None) };
            definitions.insert(name.clone(), snapshot::definition_text(&text));
        }
    }
    Ok(Some(definitions))
}

impl Look {
    pub fn server(&self) -> String {
        format!("{} {}", if self.facts.version.is_mariadb { "MariaDB" } else { "MySQL" }, self.facts.version.text)
    }

    pub fn tables(&self) -> Vec<Arc<Table>> {
        self.tables.iter().map(|table| Arc::new(table.table.clone())).collect()
    }

    /// Everything remarkable about server and tables.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = check::check(&self.facts, &self.tables, self.gaps.is_some());
        findings.extend(self.gaps.iter().flat_map(|gaps| check::check_gaps(&self.facts, &self.tables, gaps)));
        findings.extend(self.prepared_xids.as_deref().and_then(check::check_prepared));
        // A run that is at work reads under the number itself, and has its connections.
        let around = match self.other_run {
            Some(_) => Surroundings { replicas: Vec::new(), connections: 0, ..self.around.clone() },
            None => self.around.clone(),
        };
        findings.extend(check::check_surroundings(&self.facts, &self.tables, &around, self.demands));
        findings
    }

    /// Why tables that are selected cannot be had.
    pub fn errors(&self) -> &[CatalogError] {
        &self.errors
    }

    /// Selected tables as the catalogue has them.
    pub fn catalog_tables(&self) -> &[CatalogTable] {
        &self.tables
    }

    /// Another run of the task that is at work.
    pub fn other_run(&self, task: &Task) -> Option<RunLockError> {
        self.other_run.map(|holder| RunLockError::held(&task.name, holder))
    }

    /// As [`Source::identity`](crate::source::Source::identity).
    pub fn identity(&self) -> SourceIdentity {
        if self.facts.gtid_mode_on() {
            SourceIdentity::GtidDomain
        } else if self.facts.version.is_mariadb {
            SourceIdentity::MariadbDomains
        } else {
            SourceIdentity::Server { uuid: self.facts.server_uuid().to_owned() }
        }
    }

    /// What could not be looked at.
    pub fn unseen(&self) -> Option<Finding> {
        self.prepared_xids.is_none().then(|| Finding {
            severity: Severity::Info,
            item: "prepared_xa",
            found: format!("{} may not see XA transactions that are prepared", self.facts.account),
            wanted: "XA_RECOVER_ADMIN, where applications use XA".to_owned(),
            hint: format!(
                "GRANT XA_RECOVER_ADMIN ON *.* TO {}; without it they are not waited for, and a task stops at the XA COMMIT of one \
                 that was prepared before it began",
                self.facts.account
            ),
        })
    }
}

/// An opened server.
pub struct MysqlSource {
    look: Look,
    tables: Vec<Arc<Table>>,
    /// What `SHOW CREATE TABLE` said of them, for a task that begins.
    definitions: Definitions,
    server_id: u32,
    runtime: tokio::runtime::Handle,
    /// When an earlier run wrote its state last.
    stored_at: Option<SystemTime>,
}

type Definitions = HashMap<TableName, String>;

impl MysqlSource {
    /// Looks, and refuses a server on which the task cannot work.
    pub fn open(
        task: &Task,
        options: &MysqlOptions,
        runtime: &tokio::runtime::Runtime,
        stored: Option<&Checkpoint>,
    ) -> Result<MysqlSource, Error> {
        let mut look = look(task, options, runtime, stored.is_some_and(Checkpoint::has_begun))?;
        let (errors, warnings): (Vec<Finding>, Vec<Finding>) =
            look.findings().into_iter().partition(|finding| finding.severity == Severity::Error);
        if !errors.is_empty() {
            return Err(SourceError::Findings(errors).into());
        }
        // A task that goes on has said all this before.
        if stored.is_none() {
            let is_ignored = |finding: &&Finding| task.ignored_items.contains(&finding.item);
            for finding in warnings.iter().filter(|finding| !is_ignored(finding)) {
                match finding.severity {
                    Severity::Info => info!(hint = finding.hint, "{finding}"),
                    _ => warn!(hint = finding.hint, "{finding}"),
                }
            }
        }
        if let Some(error) = look.errors.pop() {
            return Err(MysqlError::Catalog(error).into());
        }
        if look.tables.is_empty() {
            return Err(SourceError::NoTables.into());
        }
        info!(server = look.server(), tables = look.tables.len(), "connected");
        let tables = look.tables();
        Ok(MysqlSource {
            look,
            tables,
            definitions: HashMap::new(),
            server_id: options.server_id,
            runtime: runtime.handle().clone(),
            stored_at: stored.and_then(|_| task.state.join(CHECKPOINT).metadata().ok()?.modified().ok()),
        })
    }

    pub fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    /// Keeps other runs of the task away. `on_lost` is called when one of them has the lock nevertheless.
    pub fn lock(&self, task: &Task, on_lost: impl Fn() + Send + 'static) -> Result<RunLock, MysqlError> {
        RunLock::take(&self.look.connect, &task.name, &self.runtime, on_lost).map_err(MysqlError::RunLock)
    }

    pub fn server_version(&self) -> &str {
        &self.look.facts.version.text
    }

    pub fn identity(&self) -> SourceIdentity {
        self.look.identity()
    }

    /// Full load, then changes; and again, where a table has to be loaded behind that.
    pub fn run(mut self, context: &Context<'_>) -> Result<(), Error> {
        let went_on = context.tracker.read(Checkpoint::has_begun);
        let _watch = context.task.incremental.as_ref().map(|_| {
            let (connect, status) = (self.look.connect.clone(), context.status.clone());
            Watch::start(connect, &self.look.facts, status, &self.runtime)
        });
        let mut position = self.begin(context)?;
        let mut reloads = Reloads::default();
        // Also a table that is known may be dropped behind the position, and be there again without a trace in the binlog.
        let mut until = match context.task.full_load.is_some() && context.task.incremental.is_some() && went_on {
            true => Some(self.now(context)?),
            false => None,
        };
        // A table is to be loaded, and not yet.
        let mut waits = false;
        loop {
            if !std::mem::take(&mut waits) && self.load_what_is_left(context)? == LoadEnd::Stopped {
                return Ok(());
            }
            let Some(options) = &context.task.incremental else { return Ok(()) };
            let (names, at) = match self.follow(context, options, position, until.clone())? {
                Followed::Stopped => return Ok(()),
                Followed::Due { table, turn, at, position: before } => {
                    position = before;
                    if turn == Turn::LoadAgain && !reloads.may_load(&table, context) {
                        let now = self.now(context)?;
                        if !self.load_later(context, &table, &at, &position)? {
                            return Ok(());
                        }
                        until = Some(now);
                        waits = true;
                        continue;
                    }
                    // A load takes along what waits for one.
                    let waiting = reloads.take_waiting().into_iter().map(|table| (table, Turn::LoadAgain));
                    (waiting.chain([(table, turn)]).collect::<Vec<_>>(), at)
                }
                Followed::Arrived(arrived) => {
                    until = None;
                    position = arrived;
                    if !self.is_delivered(context, &position) {
                        return Ok(());
                    }
                    let left = self.unseen(context).into_iter();
                    let waiting = reloads.take_waiting().into_iter().map(|table| (table, Turn::LoadAgain));
                    let tables = waiting.chain(left.map(|table| (table, Turn::Load))).collect();
                    (tables, position.coordinate.clone())
                }
            };
            for (name, turn) in names {
                if !self.begin_again(context, &name, turn, &at, &position)? {
                    return Ok(());
                }
            }
        }
    }

    /// Reads on from where the task was to where the binlog ends now, or up to the first table that would be loaded; for a look at what
    /// a run would meet.
    pub fn read_on(&self, context: &Context<'_>) -> Result<(), Error> {
        let stored = context.tracker.read(|checkpoint| checkpoint.position.clone());
        let (Some(options), Some(position)) = (&context.task.incremental, stored) else { return Ok(()) };
        let until = self.now(context)?;
        self.follow(context, options, position, Some(until))?;
        Ok(())
    }

    /// Where the server stands.
    fn now(&self, context: &Context<'_>) -> Result<Watermark, Error> {
        patiently(context, || Ok(snapshot::now(&self.look.connect, &self.look.facts).map_err(MysqlError::Load)?))
    }

    /// Tables that were there when the task was started, and of which it has neither read nor loaded anything.
    fn unseen(&self, context: &Context<'_>) -> Vec<TableName> {
        if context.task.full_load.is_none() || context.task.incremental.is_none() {
            return Vec::new();
        }
        let names = self.tables.iter().map(|table| table.name());
        context.tracker.read(|checkpoint| {
            let key = |name: &TableName| self.look.facts.name_case().key(name);
            let mut known = HashSet::new();
            // The last entry of a table is what is known of it.
            for (name, entries) in checkpoint.schemas.iter() {
                match entries.last().map(|entry| &entry.state) {
                    Some(SchemaState::Gone { .. } | SchemaState::Bystander { .. } | SchemaState::Database { .. })
                    | None => known.remove(&key(name)),
                    Some(_) => known.insert(key(name)),
                };
            }
            names.filter(|name| !known.contains(&key(name))).cloned().collect()
        })
    }

    /// Loads the tables that the ledger has and that are not done. Complete if all their rows are delivered.
    fn load_what_is_left(&self, context: &Context<'_>) -> Result<LoadEnd, Error> {
        // Without a ledger there is nothing to load: incremental reading has passed it, or began without it.
        let loaded = |checkpoint: &Checkpoint| checkpoint.ledger.as_ref().is_none_or(Ledger::all_done);
        let Some(options) = &context.task.full_load else { return Ok(LoadEnd::Complete) };
        if context.tracker.read(loaded) {
            return Ok(LoadEnd::Complete);
        }
        if self.load(context, options)? == LoadEnd::Stopped {
            return Ok(LoadEnd::Stopped);
        }
        // Rows of the full load are delivered before the first change is sent.
        if !context.tracker.wait_for(loaded, || context.stop.is_stopped()) {
            return Ok(LoadEnd::Stopped);
        }
        info!("full load complete");
        Ok(LoadEnd::Complete)
    }

    /// The position from which changes are read; taken and stored by the first run.
    fn begin(&mut self, context: &Context<'_>) -> Result<Position, Error> {
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
            schemas.into_iter().for_each(|schema| checkpoint.begin_schema(schema));
            match context.task.full_load {
                Some(_) => checkpoint.ledger = Some(ledger),
                None => checkpoint.position = Some(start.clone()),
            }
        })?;
        Ok(start)
    }

    /// A position from which changes can be read now, and the tables as they are known from there on.
    fn begin_here(&mut self, context: &Context<'_>) -> Result<(Position, Vec<StoredSchema>), Error> {
        let (start, shown_until) = self.take_start(context.task)?;
        let start = match &context.task.incremental {
            Some(_) => {
                let start = self.with_file(start)?;
                let began = self.runtime.block_on(xa::begin(&self.look.connect, &self.look.facts, context.stop))?;
                start.with_beginning(Some(began.ok_or(Error::Stopped)?))
            }
            None => start,
        };
        let shown = |table: &Arc<Table>| StoredSchema::shown(table, &start.coordinate, shown_until.clone());
        let schemas = self.tables.iter().map(shown).collect();
        Ok((start, schemas))
    }

    /// As [`Source::check_position`](crate::source::Source::check_position).
    pub fn check_position(&self, task: &Task, stored: &Checkpoint, after_gap: Option<&AfterGap>) -> Result<(), Error> {
        if let Some(after_gap) = after_gap {
            if task.full_load.is_none() && !matches!(after_gap, AfterGap::Leave) {
                return Err(SourceError::NoLoad.into());
            }
            let after_gap = after_gap.clone().on_server_of(task);
            if let Some(name) = after_gap.without_table(self.tables.iter().map(|table| table.name())) {
                return Err(SourceError::NotSelected { name: name.to_owned() }.into());
            }
        }
        let Some(position) = stored.reads_from() else { return Ok(()) };
        match self.lost(task, position)? {
            Some(DumpError::Gone { .. }) if after_gap.is_some() => Ok(()),
            Some(error) => Err(self.refused_dump(task, error, position, self.stored_at, false)),
            None => Ok(()),
        }
    }

    /// Why reading cannot go on at the position, if that is for good; for a server that is behind, reading waits.
    fn lost(&self, task: &Task, position: &Position) -> Result<Option<DumpError>, MysqlError> {
        if task.incremental.is_none() {
            return Ok(None);
        }
        match same_history::check(&self.look.connect, self.look.facts.server_uuid(), position) {
            Ok(()) => Ok(None),
            Err(MysqlError::Dump(error)) => Ok(Some(error).filter(|error| !error.may_pass())),
            Err(error) => Err(error),
        }
    }

    /// Why changes behind the position cannot be had any more, if so and the user has agreed to it.
    fn purged(&self, context: &Context<'_>, position: &Position) -> Result<Option<String>, Error> {
        if context.after_gap.is_none() {
            return Ok(None);
        }
        match patiently(context, || Ok(self.lost(context.task, position)?))? {
            Some(DumpError::Gone { reason, .. }) => Ok(Some(reason)),
            Some(_) => Ok(None),
            None => {
                info!("--accept-gap: the server still has every change behind the task's position, so there is no gap");
                Ok(None)
            }
        }
    }

    /// The error, told with what the task knows. `accepted`: the next start goes on as it is.
    fn refused_dump(
        &self,
        task: &Task,
        error: DumpError,
        position: &Position,
        stored_at: Option<SystemTime>,
        accepted: bool,
    ) -> Error {
        match error {
            DumpError::Gone { reason, .. } => SourceError::Purged {
                at: position.place().to_string(),
                reason,
                kept_s: self.look.facts.binlog_retention_s(),
                away_s: stored_at.and_then(|at| at.elapsed().ok()).map(|away| away.as_secs()),
                loads: task.full_load.is_some(),
                accepted,
            }
            .into(),
            error => MysqlError::Dump(error).into(),
        }
    }

    /// Begins at the present, behind changes that were purged. Tables are loaded again of which the user says so, or of which not
    /// every row had been sent.
    fn begin_behind_gap(&mut self, context: &Context<'_>, from: &Position, reason: String) -> Result<Position, Error> {
        let task = context.task;
        let after_gap = context.after_gap.cloned().expect("it was accepted").on_server_of(task);
        let (start, schemas) = patiently(context, || self.begin_here(context))?;
        // XA transactions that were waited for are in the gap, too.
        let end = self.now(context)?;
        let stored = context.tracker.read(Checkpoint::clone);
        let is_sent = |name: &TableName| {
            // Until reading has passed its load, changes from within that are to come.
            let in_ledger = stored.ledger.as_ref().and_then(|ledger| ledger.table(name));
            let is_passed = in_ledger.is_none_or(ledger::TableChunks::is_taken_as_read);
            match stored.remembered_table(name).map(|table| table.load) {
                // It may have been made in the gap: then its rows are as unknown as those of others.
                Some(LoadState::NotWanted) => is_passed && stored.schemas.get(name).is_some(),
                Some(LoadState::Done) => is_passed,
                Some(LoadState::Wanted) | None => false,
            }
        };
        let is_loaded =
            |table: &&Arc<Table>| task.full_load.is_some() && (after_gap.loads(table.name()) || !is_sent(table.name()));
        let (loaded, left): (Vec<_>, Vec<_>) = self.tables.iter().partition(is_loaded);
        let has_names = self.look.facts.describes_tables();
        let is_readable = has_names || snapshot::starts_at_present(&self.look.facts);
        let mut ledger = Ledger::new(start.clone());
        for table in &loaded {
            let planned = self.load_table(task, table)?;
            let (key, definition) = (planned.key().unwrap_or_default(), planned.fingerprint());
            match stored.remembered_table(table.name()).filter(|_| stored.schemas.get(table.name()).is_some()) {
                // Nothing of it was ever sent.
                None => ledger.add_table(table.name(), key, definition),
                // Consumers have rows of it: nothing that becomes of them may be taken for shown.
                Some(_) if is_readable => ledger.load_again(table.name(), key, definition, &start.coordinate),
                // What the file has from before the gap's end, nobody can read: its columns are not known. It is shown by the load.
                Some(_) => ledger.load_new(table.name(), key, definition, &start.coordinate),
            }
        }
        for table in &left {
            let planned = self.load_table(task, table)?;
            ledger.take_as_read(table.name(), planned.key().unwrap_or_default(), planned.fingerprint(), &end);
        }
        let names = |tables: &[&Arc<Table>]| tables.iter().map(|table| table.name().clone()).collect::<Vec<_>>();
        let has = |name: &TableName| self.tables.iter().any(|table| table.name() == name);
        let gap = Gap {
            from: from.place().to_string(),
            to: match &end {
                Watermark::Gtids(set) => set.in_line().to_string(),
                Watermark::Coordinate(coordinate) => coordinate.to_string(),
            },
            accepted_s: now_s(),
            left: names(&left),
            loaded: names(&loaded),
            gone: stored.tables.iter().map(|(name, _)| name).filter(|name| !has(name)).cloned().collect(),
        };
        warn!(
            from = gap.from,
            to = gap.to,
            loaded_again = list_names(&gap.loaded),
            left = list_names(&gap.left),
            gone = list_names(&gap.gone),
            "changes between both are left out, since the server has purged some of them: {reason}"
        );
        context.tracker.update_durably(|checkpoint| {
            checkpoint.begin_anew();
            schemas.into_iter().for_each(|schema| checkpoint.begin_schema(schema));
            gap.loaded.iter().for_each(|name| checkpoint.load_wanted(name));
            // What comes under its name is another table.
            gap.gone.iter().for_each(|name| checkpoint.tables.remove(name));
            checkpoint.ledger = Some(ledger);
            checkpoint.position = Some(start.clone());
            checkpoint.gaps.push(gap);
            let too_many = checkpoint.gaps.len().saturating_sub(GAPS_KEPT);
            checkpoint.gaps.drain(..too_many);
        })?;
        Ok(start)
    }

    /// The position, with what tells its file from others of the same name.
    fn with_file(&self, position: Position) -> Result<Position, SourceError> {
        let uuid = self.look.facts.server_uuid();
        match same_history::binlog_file(&self.look.connect, uuid, &position.coordinate) {
            Ok(file) => Ok(Position { file: Some(file), ..position }),
            // Of several servers behind an address, GTIDs alone count until one is read.
            Err(MysqlError::Dump(DumpError::Spread { .. })) if position.gtids.is_some() => Ok(position),
            Err(error) => Err(error.into()),
        }
    }

    /// Enters tables of which all rows are to be read.
    fn enter(&self, ledger: &mut Ledger, task: &Task, tables: &[Arc<Table>]) -> Result<(), Error> {
        for table in tables {
            let planned = self.load_table(task, table)?;
            // A column to cut by that is none stops the load, with its name.
            let key = planned.key().unwrap_or_default();
            ledger.add_table(table.name(), key, planned.fingerprint());
        }
        Ok(())
    }

    /// Brings the ledger of an earlier run in line with the tables that there are: one that was never loaded is loaded, one that
    /// the task no longer has is forgotten.
    ///
    /// What is known of an added table begins at the position, though the catalogue shows it as it is now: statements on it
    /// between both are met again, and change nothing unless rows came before them.
    fn begin_added(&mut self, context: &Context<'_>, position: &Position) -> Result<Position, Error> {
        let stored = context.tracker.read(Checkpoint::clone);
        let in_ledger = |name: &TableName| stored.ledger.as_ref().and_then(|ledger| ledger.table(name));
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
        let mut ledger = stored.ledger.unwrap_or_else(|| Ledger::new(position.clone()));
        let has = |name: &TableName| self.tables.iter().any(|table| table.name() == name);
        let removed: Vec<TableName> =
            ledger.tables().iter().map(|table| &table.name).filter(|name| !has(name)).cloned().collect();
        if added.is_empty() && removed.is_empty() {
            return Ok(position.clone());
        }
        for name in &removed {
            let is_selected = context.task.tables.matches(&name.database, &name.table).is_some();
            let known = ledger.table(name).expect("it is one of the ledger's");
            if is_selected && known.gone.is_some() {
                continue;
            }
            if is_selected && !known.is_done() {
                // Its rows may have another name now, under which they are to be read.
                info!(table = %name, "it is not there any more: its full load ends without it");
                ledger.gone(name, self.now(context)?);
                continue;
            }
            info!(table = %name, "no longer a table of the task: its full load is forgotten");
            ledger.forget(name);
        }
        // What is known of a table that was left out has not moved with it.
        let mut schemas = stored.schemas;
        schemas.retain(|name, _| context.task.tables.matches(&name.database, &name.table).is_some());
        let mut position = position.clone();
        if !added.is_empty() {
            let end = self.now(context)?;
            let (tables, definitions, executed) =
                patiently(context, || Ok(self.runtime.block_on(self.read_definitions(context.task))?))?;
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
                let schema = StoredSchema::shown(table, &position.coordinate, shown_until.clone());
                schemas.insert(table.name().clone(), vec![schema]);
            }
            // A prepared XA transaction without rows of the tables that there were may have some of these.
            if context.task.incremental.is_some() {
                let began =
                    || Ok(self.runtime.block_on(xa::begin(&self.look.connect, &self.look.facts, context.stop))?);
                let began = patiently(context, began)?;
                position = position.with_beginning(Some(began.ok_or(Error::Stopped)?));
            }
        }
        context.tracker.update_durably(|checkpoint| {
            checkpoint.schemas = schemas;
            checkpoint.position = Some(position.clone());
            checkpoint.ledger = (!ledger.tables().is_empty()).then_some(ledger);
            removed.iter().for_each(|name| checkpoint.table_loaded(name));
        })?;
        Ok(position)
    }

    /// The event `at`, before which reading stopped, shows that all rows that the table has are to be read. False if the task is told
    /// to stop.
    ///
    /// What was read before is delivered first. Otherwise a crash would send changes from before it behind the rows that are read
    /// now.
    fn begin_again(
        &mut self,
        context: &Context<'_>,
        name: &TableName,
        turn: Turn,
        at: &Coordinate,
        position: &Position,
    ) -> Result<bool, Error> {
        if !self.is_delivered(context, position) {
            return Ok(false);
        }
        let is_new = matches!(turn, Turn::Load | Turn::LoadMade);
        let now = self.now(context)?;
        let (found, definition, executed) =
            patiently(context, || Ok(self.runtime.block_on(self.read_definition(name))?))?;
        let planned = match found {
            Some(found) => {
                let mut findings = Vec::new();
                check::check_versioned(std::slice::from_ref(&found), &mut findings);
                if !findings.is_empty() {
                    return Err(SourceError::Findings(findings).into());
                }
                match is_new {
                    true => {
                        info!(table = %name, "it has rows that were never sent: it is loaded, and changes wait for it")
                    }
                    false => {
                        info!(table = %name, "rows came without row events: it is loaded from its begin, and changes wait for it");
                    }
                }
                let table = Arc::new(found.table.clone());
                self.look.tables.retain(|table| table.table.name() != name);
                self.look.tables.push(found);
                self.tables.retain(|table| table.name() != name);
                self.tables.push(table.clone());
                self.definitions.remove(name);
                if let Some(definition) = definition {
                    self.definitions.insert(name.clone(), definition);
                }
                Some((self.load_table(context.task, &table)?, table))
            }
            None => None,
        };
        let remembered = RememberedTable::of(context.task, name, LoadState::Wanted)?;
        context.tracker.update_durably(|checkpoint| {
            let was_written = checkpoint.remembered_topic(&remembered.topic).is_some_and(|topic| topic.written);
            checkpoint.position.get_or_insert_with(|| position.clone());
            let ledger = checkpoint.ledger.get_or_insert_with(|| Ledger::new(position.clone()));
            let (key, definition) = match &planned {
                Some((planned, _)) => (planned.key().unwrap_or_default(), planned.fingerprint()),
                None => (ChunkKey::default(), None),
            };
            match (&planned, turn) {
                // Where rows of an earlier table of this name may be, a row that has gone must go there, too.
                (Some(_), Turn::Load) if was_written => ledger.load_again(name, key, definition, at),
                (_, Turn::Load | Turn::LoadMade) => ledger.load_new(name, key, definition, at),
                (_, Turn::LoadAgain | Turn::Replay) => ledger.load_again(name, key, definition, at),
            }
            match (&planned, is_new) {
                (Some(_), _) => {}
                (None, true) => ledger.absent(name, now.clone()),
                (None, false) => ledger.gone(name, now.clone()),
            }
            if planned.is_some() {
                checkpoint.take_up(remembered);
                checkpoint.load_wanted(name);
            }
            match &planned {
                Some((_, table)) if is_new => {
                    // What is known of it begins here, though the catalogue shows it as it is now: see `begin_added`.
                    let shown_until = executed.clone().map_or(now.clone(), Watermark::Gtids);
                    checkpoint.begin_schema(StoredSchema::shown(table, &position.coordinate, shown_until));
                }
                Some(_) => {}
                None => checkpoint.table_loaded(name),
            }
        })?;
        Ok(true)
    }

    /// The table is to be loaded again, but not at once. Should the task end before, its next run begins with it.
    fn load_later(
        &self,
        context: &Context<'_>,
        name: &TableName,
        at: &Coordinate,
        position: &Position,
    ) -> Result<bool, Error> {
        if !self.is_delivered(context, position) {
            return Ok(false);
        }
        context.tracker.update_durably(|checkpoint| {
            checkpoint.position.get_or_insert_with(|| position.clone());
            let ledger = checkpoint.ledger.get_or_insert_with(|| Ledger::new(position.clone()));
            ledger.load_again(name, ChunkKey::default(), None, at);
        })?;
        Ok(true)
    }

    /// Waits until everything before the position is delivered. False if the task is told to stop.
    fn is_delivered(&self, context: &Context<'_>, position: &Position) -> bool {
        let delivered = |checkpoint: &Checkpoint| checkpoint.reads_from() == Some(position);
        context.tracker.wait_for(delivered, || context.stop.is_stopped())
    }

    /// One table and its own words, if it is there, and what had been executed before it was looked at.
    async fn read_definition(
        &self,
        name: &TableName,
    ) -> Result<(Option<CatalogTable>, Option<String>, Option<GtidSet>), SourceError> {
        let mut connection =
            connection::session(&self.look.connect, &self.look.facts).await.map_err(MysqlError::Connection)?;
        let definition = show_create(&mut connection, [name]).await?.and_then(|mut shown| shown.remove(name));
        let executed = match self.look.facts.has_gtids() {
            true => Some(connection::executed(&mut connection, &self.look.facts).await.map_err(MysqlError::Query)?),
            false => None,
        };
        let named = [name.clone()];
        let selection = Selection { named: &named, matches: None };
        let tables = match catalog::read_tables(&mut connection, &selection).await {
            // What has the name may be a view or a sequence by now.
            Err(CatalogError::Missing { .. } | CatalogError::NoTable { .. }) => Vec::new(),
            other => other.map_err(MysqlError::Catalog)?,
        };
        connection.disconnect().await.map_err(MysqlError::Query)?;
        Ok((tables.into_iter().next(), definition, executed))
    }

    /// A position, and what had been executed when the tables were as they are known.
    ///
    /// The catalogue is read again once the start is known: what it shows then includes every statement before that. If it is
    /// not what was known, a statement came between: the next start lies behind it.
    fn take_start(&mut self, task: &Task) -> Result<(Position, Watermark), SourceError> {
        for _ in 0..START_TRIES {
            let (start, binlog_end) =
                snapshot::start_position(&self.look.connect, &self.look.facts).map_err(MysqlError::Load)?;
            let end = Watermark::Coordinate(binlog_end);
            let (tables, definitions, executed) = self.runtime.block_on(self.read_definitions(task))?;
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

    /// The catalogue, and before it the tables' own words (none if one of them is no longer there) and the executed GTIDs.
    ///
    /// A statement stands in the binlog a moment before the catalogue has it, and holds its table locked until then; it enters
    /// the set before it lets go of its locks. `SHOW CREATE TABLE` waits for them.
    async fn read_definitions(
        &self,
        task: &Task,
    ) -> Result<(Vec<CatalogTable>, Option<Definitions>, Option<GtidSet>), SourceError> {
        let mut connection =
            connection::session(&self.look.connect, &self.look.facts).await.map_err(MysqlError::Connection)?;
        let definitions = show_create(&mut connection, self.tables.iter().map(|table| table.name())).await?;
        let executed = match self.look.facts.has_gtids() {
            true => Some(connection::executed(&mut connection, &self.look.facts).await.map_err(MysqlError::Query)?),
            false => None,
        };
        let tables = read_tables(&mut connection, task).await;
        connection.disconnect().await.map_err(MysqlError::Query)?;
        Ok((tables?, definitions, executed))
    }

    /// The first rows of each table, at most `rows_max` of each, until `take` has enough of it.
    pub fn sample(
        &self,
        task: &Task,
        rows_max: u64,
        take: &mut dyn FnMut(ChangeBatch) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        for table in self.load_tables(task)? {
            snapshot::sample(&self.look.connect, &self.look.facts, &table, rows_max, take).map_err(MysqlError::Load)?;
        }
        Ok(())
    }

    /// The one text that a statement gives, under the server's own SQL mode; its error if it has one.
    pub fn ask(&self, statement: &str) -> Result<String, Error> {
        self.runtime.block_on(async {
            let mut connection =
                connection::session(&self.look.connect, &self.look.facts).await.map_err(MysqlError::Connection)?;
            connection.query_drop("SET sql_mode = @@GLOBAL.sql_mode").await.map_err(MysqlError::Query)?;
            let answer = connection.query_first::<Option<String>, _>(statement).await;
            connection.disconnect().await.map_err(MysqlError::Query)?;
            Ok(match answer {
                Ok(Some(text)) => text.unwrap_or_else(|| "NULL".to_owned()),
                Ok(None) => "(the row is gone)".to_owned(),
                Err(mysql_async::Error::Server(error)) => format!("error: {}", error.message),
                Err(error) => return Err(MysqlError::Query(error).into()),
            })
        })
    }

    fn load(&self, context: &Context<'_>, options: &LoadOptions) -> Result<LoadEnd, Error> {
        let ledger = context
            .tracker
            .read(|checkpoint| checkpoint.ledger.clone())
            .unwrap_or_else(|| unreachable!("a load begins with a ledger"));
        let mut tables = self.load_tables(context.task)?;
        // Others were loaded before.
        tables.retain(|table| ledger.table(table.table.name()).is_some());
        let delivered = |name: &TableName| ledger.table(name).map_or(0, ledger::TableChunks::rows);
        let target = |name: &TableName| target_of_table(&context.task.tables, name);
        context.status.set_tables(
            self.look
                .tables
                .iter()
                .map(|table| TableProgress {
                    table: table.table.name().clone(),
                    // One that cannot have it has been refused.
                    target: target(table.table.name()).unwrap_or_else(|_| table.table.name().clone()),
                    estimated_rows: table.estimated_rows,
                    rows: delivered(table.table.name()),
                    chunks_left: None,
                    done: ledger.table(table.table.name()).is_some_and(ledger::TableChunks::is_done),
                })
                .collect(),
        );
        context.status.set_phase(Phase::FullLoad);
        let limits = context.task.limits;
        let limited = [limits.all, limits.full_load].iter().filter_map(|limit| limit.rows_per_second).min();
        let load_options = snapshot::LoadOptions {
            readers: options.parallel.get(),
            chunk_rows: options.chunk_rows.min(limited.map_or(u64::MAX, |rows| rows.max(MIN_ROWS_HELD) * VIEW_SECONDS)),
            window_rows: held_window(LOAD_WINDOW_ROWS, limited),
            window_bytes: pipeline::shares(context.task).window,
            chunks_per_view: CHUNKS_PER_VIEW,
            view_tries: VIEW_TRIES,
            retry_for: context.task.retry.connection,
            view_patience: VIEW_PATIENCE,
        };
        let start = context.tracker.read(|checkpoint| checkpoint.position.clone());
        let start = start.unwrap_or_else(|| ledger.start().clone());
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
            plan: &|table| self.plan_table(context.task, &table).map_err(Into::into),
            stop: context.stop.flag(),
        };
        load.run().map_err(|error| MysqlError::Load(error).into())
    }

    /// Where statements are forwarded, a table's rows come behind the statement that makes it, as it was when the task began; if the run ended
    /// before any of its rows was delivered, once more, as it is then. Not for a table that is loaded again, which consumers have.
    fn announce(
        &self,
        context: &Context<'_>,
        ledger: &Ledger,
        tables: &[LoadTable],
        start: &Coordinate,
    ) -> Result<(), Error> {
        let is_new = |name: &TableName| ledger.table(name).is_some_and(ledger::TableChunks::is_untouched);
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
            definitions = match patiently(context, || Ok(self.runtime.block_on(ask())?))? {
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
            context.emitter.emit_loaded(window).map_err(|Stopped| Error::Stopped)?;
        }
        Ok(())
    }

    /// The tables, as they are to be read.
    fn load_tables(&self, task: &Task) -> Result<Vec<LoadTable>, Error> {
        self.tables.iter().map(|table| self.load_table(task, table)).collect()
    }

    fn load_table(&self, task: &Task, table: &Arc<Table>) -> Result<LoadTable, Error> {
        let definition = self.definitions.get(table.name()).cloned();
        self.plan_table(task, table).map(|planned| LoadTable { definition, ..planned })
    }

    /// What to read of a table: all rows for which the server can tell that they pass the filter.
    fn plan_table(&self, task: &Task, table: &Arc<Table>) -> Result<LoadTable, Error> {
        let name = table.name();
        let rule = task.tables.matches(&name.database, &name.table).expect("only captured tables were read");
        let transform = plan_transform(&task.tables, table)?;
        Ok(LoadTable {
            chunk_column: rule.chunk_by.first().cloned(),
            condition: transform.mysql_predicate().map(str::to_owned),
            row_bytes: row_bytes(task, table, self.server_version()),
            ..LoadTable::whole(table.clone())
        })
    }

    fn follow(
        &self,
        context: &Context<'_>,
        options: &config::IncrementalOptions,
        position: Position,
        until: Option<Watermark>,
    ) -> Result<Followed, Error> {
        let begun = position.clone();
        let names: Vec<&TableName> = self.tables.iter().map(|table| table.name()).collect();
        context.tracker.update(|checkpoint| match &mut checkpoint.ledger {
            Some(ledger) => shards::drop_nothing_of_other_keys(context.task, &names, ledger),
            None => Ok(()),
        })?;
        let selection = context.task.tables.clone();
        let tracker = context.tracker.clone();
        let rules = JudgeRules {
            may_load: context.task.full_load.is_some(),
            reloads: options.unlogged_rows == UnloggedRowsPolicy::Reload,
            forwards: options.ddl == config::DdlPolicy::Forward,
        };
        let judge = || -> history::Judge {
            let tracker = context.tracker.clone();
            Box::new(move |table, rows, here| {
                tracker.read(|checkpoint| judge(checkpoint.ledger.as_ref(), rules, table, rows, here))
            })
        };
        let asking = |of_ledger: fn(&Ledger, &TableName, Option<&Gtid>, &Coordinate) -> bool| -> history::Shows {
            let tracker = context.tracker.clone();
            Box::new(move |table, here| {
                let shows = |ledger: &Ledger| of_ledger(ledger, table, here.gtid, here.at);
                tracker.read(|checkpoint| checkpoint.ledger.as_ref().is_some_and(shows))
            })
        };
        let history = |position: &Position| {
            let selection = selection.clone();
            let recorder = tracker.clone();
            History::new(
                &tracker.read(Checkpoint::schemas),
                position,
                Box::new(move |database, table| selection.matches(database, table).is_some()),
                Rules { names: self.look.facts.name_case(), unlogged_rows: options.unlogged_rows },
                Box::new(move |entry| recorder.update(|checkpoint| checkpoint.record_schema(entry))),
            )
            .passing(context.pass)
            .with_judge(judge())
            .with_shows(asking(Ledger::shows_all))
            .with_shows_before(asking(Ledger::is_shown_before))
        };
        let replayed = |table: &TableName| {
            context.tracker.update(|checkpoint| checkpoint.ledger.as_mut().map(|ledger| ledger.replay(table)));
        };
        let shown = |tables: &[(TableName, Watermark)]| {
            let show = |checkpoint: &mut Checkpoint| {
                let Some(ledger) = &mut checkpoint.ledger else { return };
                tables.iter().for_each(|(table, until)| ledger.show_before(table, until.clone()));
            };
            context.tracker.update_durably(show).map_err(Into::into)
        };
        let has_names = self.look.facts.describes_tables();
        let mut follower = Follower {
            connect: &self.look.connect,
            server_id: self.server_id,
            server_uuid: self.look.facts.server_uuid(),
            options: FollowOptions {
                window: Duration::from_millis(options.window_ms),
                heartbeat: Duration::from_secs(options.heartbeat_s),
            },
            windows: window_options(
                context.task,
                held_window(options.window_rows as usize, context.task.limits.all.rows_per_second),
            ),
            pass: context.pass,
            row_bytes: rows_of(context.task, self.server_version()),
            folder: &context.task.state,
            ledger: context.tracker.read(|checkpoint| checkpoint.ledger.clone()),
            until,
            replayed: &replayed,
            // Who carries out statements from before has no use for a load behind them alone.
            looks_ahead: !has_names && !rules.forwards && !self.look.facts.version.is_mariadb,
            shown: &shown,
            retry: context.task.retry.connection,
            emit: &|window| context.emitter.emit(window),
            status: context.status,
            stop: context.stop,
        };
        follower.run(position, history).map_err(|error| match error {
            MysqlError::Dump(error @ DumpError::Gone { .. }) => {
                let position = context.tracker.read(|checkpoint| checkpoint.position.clone());
                self.refused_dump(context.task, error, &position.unwrap_or(begun), None, context.after_gap.is_some())
            }
            error => error.into(),
        })
    }
}

/// Asks a server in the midst of a task: one that is away for a moment does not end it.
fn patiently<T>(context: &Context<'_>, mut ask: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut outage = Retry::new(context.task.retry.connection);
    loop {
        let error = match ask() {
            Err(error) if error.is_transient() => error,
            result => {
                context.status.recovered(status::SOURCE);
                return result;
            }
        };
        let Some(pause) = outage.next_pause() else { return Err(error) };
        warn!(%error, retry_in_ms = pause.as_millis() as u64, "the source did not answer, and is asked again");
        context.status.retrying(status::SOURCE, error.to_string(), error.hint(), pause, &outage);
        if outage.wait(pause, || context.stop.is_stopped()) {
            return Err(Error::Stopped);
        }
    }
}

/// Tables that are loaded again for statements by which rows came without row events.
#[derive(Default)]
struct Reloads {
    /// How often in one full load.
    counts: HashMap<TableName, u32>,
    /// Those that wait until reading has come to the end.
    waiting: BTreeSet<TableName>,
}

impl Reloads {
    /// Whether the table is loaded again at once. Otherwise it waits.
    fn may_load(&mut self, table: &TableName, context: &Context<'_>) -> bool {
        if context.tracker.read(|checkpoint| checkpoint.ledger.is_none()) {
            self.counts.clear();
        }
        let count = self.counts.entry(table.clone()).or_default();
        *count += 1;
        if *count > 1 {
            warn!(table = %table, count, "it was swapped or filled without row events again and again: it is loaded once more");
        }
        if *count <= RELOADS_AT_ONCE {
            return true;
        }
        info!(table = %table, "it is loaded when reading has come to where the binlog ends now");
        self.waiting.insert(table.clone());
        false
    }

    fn take_waiting(&mut self) -> BTreeSet<TableName> {
        std::mem::take(&mut self.waiting)
    }
}

/// What the load has to do with rows that a statement moves without row events.
///
/// A statement from before the end of the load is part of it: what came by it was to be read. From behind it, the task says
/// whether a table is loaded for it.
#[derive(Clone, Copy)]
struct JudgeRules {
    may_load: bool,
    /// `unlogged_rows: reload`.
    reloads: bool,
    /// `ddl: forward`.
    forwards: bool,
}

fn judge(ledger: Option<&Ledger>, rules: JudgeRules, table: &TableName, rows: UnloggedRows, here: Here<'_>) -> Moved {
    if ledger.is_some_and(|ledger| ledger.waits(table)) {
        return Moved::Covered;
    }
    let was_gone = ledger.is_some_and(|ledger| ledger.was_gone(table, here.gtid, here.at));
    if rows == UnloggedRows::Unseen {
        return if rules.may_load && !was_gone { Moved::Turn(Turn::Load) } else { Moved::NotLoaded };
    }
    // Nothing is left to be read; what was sent of it is told of.
    if was_gone && (rows.adds() || ledger.and_then(|ledger| ledger.table(table)).is_some_and(|table| !table.replayed)) {
        return Moved::Covered;
    }
    let has_seen = ledger.is_some_and(|ledger| ledger.has_seen(table, here.gtid, here.at));
    let is_in_load = ledger.is_some_and(|ledger| ledger.ended_behind(here.gtid, here.at));
    let is_clean = ledger.is_none_or(|ledger| ledger.is_clean_before(table, here.gtid, here.at));
    let is_asked_for = rules.reloads && rows != UnloggedRows::Rewritten;
    if rules.may_load && rows.adds() && !(has_seen && is_clean) && (is_in_load || is_asked_for) {
        return Moved::Turn(Turn::LoadAgain);
    }
    let Some((ledger, known)) = ledger.and_then(|ledger| Some((ledger, ledger.table(table)?))) else {
        return Moved::NotLoaded;
    };
    if is_clean && ledger.is_before_rows(table, here.gtid, here.at) {
        return Moved::Shown;
    }
    // A consumer that carries the statement out loses rows that chunks have read behind it.
    if rules.forwards && !known.replayed {
        return Moved::Turn(Turn::Replay);
    }
    Moved::Unknown
}

/// Rows of a window: no more than may pass in a second, so that something passes each second.
fn held_window(rows: usize, limited: Option<u64>) -> usize {
    limited.map_or(rows, |limit| rows.min(limit.max(MIN_ROWS_HELD) as usize))
}

/// Windows of changes, with the marks that the task passes on.
pub(crate) fn window_options(task: &Task, rows: usize) -> WindowOptions {
    let statements = task.incremental.as_ref().is_some_and(|options| options.ddl == config::DdlPolicy::Forward);
    let (transactions, heartbeats) = match &task.format {
        config::Format::DtsAvro(options) => (options.transactions, options.heartbeats),
        config::Format::CanalJson(_) => (false, false),
    };
    WindowOptions {
        rows,
        bytes: pipeline::shares(task).window,
        marks: MarkOptions { statements, transactions, heartbeats },
    }
}

/// Tells a reader of binlogs what becomes of a table's rows.
pub(crate) fn rows_of(task: &Task, server_version: &str) -> RowBytes {
    let (task, server_version) = (task.clone(), server_version.to_owned());
    Arc::new(move |table| row_bytes(&task, table, &server_version))
}

/// A row larger than half of the budget could not be encoded within it.
pub(crate) fn event_bytes_max(task: &Task) -> usize {
    usize::try_from(task.memory_bytes / 2).unwrap_or(usize::MAX)
}

/// The checkpoint's ledger is what a load writes down in.
struct Record<'a> {
    tracker: &'a Tracker,
    status: &'a Status,
    stop: &'a Stop,
}

impl LoadRecord for Record<'_> {
    fn add_table(&self, table: &TableName, key: &ChunkKey, definition: Option<u32>) {
        self.tracker.update(|checkpoint| {
            let ledger = checkpoint.ledger.as_mut().expect("a load has a ledger");
            ledger.add_table(table, key.clone(), definition);
        });
    }

    fn add_chunk(&self, table: &TableName, range: KeyRange) -> u32 {
        self.tracker.update(|checkpoint| {
            let ledger = checkpoint.ledger.as_mut().expect("a load has a ledger");
            ledger.add_chunk(table, range)
        })
    }

    fn begin(
        &self,
        table: &TableName,
        chunks: &[u32],
        low: Watermark,
        high: Watermark,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.tracker
            .update_durably(|checkpoint| {
                let ledger = checkpoint.ledger.as_mut().expect("a load has a ledger");
                ledger.begin(table, chunks, low, Some(high));
            })
            .map_err(Into::into)
    }

    fn begin_again(&self, table: &TableName, key: &ChunkKey, definition: Option<u32>) -> u32 {
        self.tracker.update(|checkpoint| {
            let ledger = checkpoint.ledger.as_mut().expect("a load has a ledger");
            ledger.begin_again(table, key.clone(), definition)
        })
    }

    fn gone(&self, table: &TableName, at: Watermark) {
        self.tracker.update(|checkpoint| {
            let ledger = checkpoint.ledger.as_mut().expect("a load has a ledger");
            ledger.gone(table, at);
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

fn connect_options(task: &Task, options: &MysqlOptions) -> Result<ConnectOptions, Error> {
    let client = options.tls.client.as_ref();
    Ok(ConnectOptions {
        host: options.host.clone(),
        port: options.port,
        user: options.user.clone(),
        password: options.password.as_ref().map(|password| password.resolve()).transpose()?,
        tls: TlsOptions {
            mode: options.tls.mode,
            ca: options.tls.ca.clone(),
            cert: client.map(|client| client.cert.clone()),
            key: client.map(|client| client.key.clone()),
        },
        connect_timeout: CONNECT_TIMEOUT,
        max_packet_bytes: event_bytes_max(task),
        program_name: "tidegate".to_owned(),
    })
}
