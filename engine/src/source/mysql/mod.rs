//! A MySQL-family server as a source: looks, loads, follows.
//!
//! ```text
//! open   control plane: variables, privileges, catalogue        every finding that would stop the task stops it here
//! run    P0 ─► checkpoint ─► full load ─► all acknowledged ─► follow the binlog from P0, less what the load showed
//!                            (resumes at the ledger)             (resumes at the stored position)
//! ```

pub mod binlog;
pub mod catalog;
pub mod charset;
pub mod chunks;
pub mod collation;
pub mod connection;
pub mod ddl;
pub mod history;
pub mod incremental;
pub mod jsonb;
pub mod ledger;
pub mod result_rows;
pub mod retry;
pub mod rows;
pub mod snapshot;
pub mod wire;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use tracing::{info, warn};

use crate::batch::{ChangeBatch, Position, Table, TableName, TableParts, Watermark};
use crate::checkpoint::{Checkpoint, SourceIdentity};
use crate::config::{self, LoadOptions, MysqlOptions, Task};
use crate::error::Error;
use crate::pipeline::route::plan_transform;
use crate::pipeline::tracker::Tracker;
use crate::source::{Context, SourceError};
use crate::status::{Phase, TableProgress};
use binlog::{MarkOptions, WindowOptions};
use catalog::{CatalogTable, Selection};
use chunks::{ChunkKey, KeyRange};
use connection::{Finding, ServerFacts, Severity};
use history::{History, SchemaState, StoredSchema};
use incremental::Follower;
use ledger::Ledger;
use snapshot::{Load, LoadEnd, LoadRecord, LoadTable};
use wire::{ConnectOptions, TlsMode, TlsOptions};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that says nothing for so long, while it is expected to, is lost.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Rows of one window of the full load: large enough for column kernels, small enough for a core's cache.
const LOAD_WINDOW_ROWS: usize = 8192;
/// Bytes of one window, as columns. A window becomes about ten times as much text, and a few are encoded at the same time.
const WINDOW_BYTES_MAX: usize = 2 << 20;
const WINDOW_BYTES_MIN: usize = 128 << 10;
/// Windows of the memory budget: queued, being encoded, and their text.
const WINDOW_SHARE: u64 = 256;
/// How often a view is opened again because something was committed while it opened.
const VIEW_TRIES: u32 = 10;
/// The version of what the catalogue shows to a task that goes on. Changes that it has yet to read may be older than that and
/// have other columns: theirs are the history's versions, from 1 on, and routes are kept by version.
const VERSION_NOW: u32 = 0;

/// What a first look at the server shows.
pub struct Look {
    connect: ConnectOptions,
    facts: ServerFacts,
    tables: Vec<CatalogTable>,
    /// `None` if the account may not see them.
    prepared_xids: Option<Vec<String>>,
}

/// Connects and reads variables, privileges and the selected tables' definitions.
pub fn look(task: &Task, options: &MysqlOptions, runtime: &tokio::runtime::Runtime) -> Result<Look, Error> {
    let connect = connect_options(task, options)?;
    // The data plane's client logs in first: if it cannot, its errors say best why.
    drop(wire::Connection::connect(&connect).map_err(SourceError::Wire)?);
    let (facts, tables, prepared_xids) = runtime.block_on(async {
        let mut connection = connection::connect(&connect).await.map_err(SourceError::Connection)?;
        let facts = ServerFacts::read(&mut connection).await.map_err(SourceError::Query)?;
        let tables = read_tables(&mut connection, &facts, task).await;
        let xids = connection::prepared_xids(&mut connection).await.map_err(SourceError::Query)?;
        // A connection that is not closed politely leaves a warning in the server's log.
        connection.disconnect().await.map_err(SourceError::Query)?;
        Ok::<_, SourceError>((facts, tables?, xids))
    })?;
    Ok(Look { connect, facts, tables, prepared_xids })
}

async fn read_tables(
    connection: &mut mysql_async::Conn,
    facts: &ServerFacts,
    task: &Task,
) -> Result<Vec<CatalogTable>, SourceError> {
    let named: Vec<TableName> =
        task.tables.exact_names().map(|(database, table)| TableName::new(database, table)).collect();
    let matches = |database: &str, table: &str| task.tables.matches(database, table).is_some();
    let selection = Selection { named: &named, matches: task.tables.has_patterns().then_some(&matches) };
    catalog::read_tables(connection, &facts.version, &selection).await.map_err(SourceError::Catalog)
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
        let mut findings = connection::check(&self.facts, &self.tables);
        findings.extend(self.prepared_xids.as_deref().and_then(connection::check_prepared));
        findings
    }

    /// What could not be looked at, and why.
    pub fn unseen(&self) -> Option<&'static str> {
        self.prepared_xids.is_none().then_some(
            "prepared XA transactions cannot be seen without XA_RECOVER_ADMIN; rows of one that was prepared before a task \
             begins are not copied",
        )
    }
}

/// An opened server.
pub struct MysqlSource {
    look: Look,
    tables: Vec<Arc<Table>>,
    server_id: u32,
    runtime: tokio::runtime::Handle,
}

impl MysqlSource {
    /// Looks, and refuses a server on which the task cannot work.
    pub fn open(
        task: &Task,
        options: &MysqlOptions,
        runtime: &tokio::runtime::Runtime,
        stored: Option<&Checkpoint>,
    ) -> Result<MysqlSource, Error> {
        let mut look = look(task, options, runtime)?;
        if stored.is_some_and(|checkpoint| checkpoint.position.is_some() || checkpoint.ledger.is_some()) {
            for table in &mut look.tables {
                let mut parts = TableParts::from(table.table.clone());
                parts.version = VERSION_NOW;
                table.table = Table::from(parts);
            }
        }
        let (errors, warnings): (Vec<Finding>, Vec<Finding>) =
            look.findings().into_iter().partition(|finding| finding.severity == Severity::Error);
        if !errors.is_empty() {
            return Err(SourceError::Findings(errors).into());
        }
        // A task that goes on has said all this before.
        if stored.is_none() {
            for finding in &warnings {
                warn!(hint = finding.hint, "{finding}");
            }
        }
        if look.tables.is_empty() {
            return Err(SourceError::NoTables.into());
        }
        info!(server = look.server(), tables = look.tables.len(), "connected");
        let tables = look.tables();
        Ok(MysqlSource { look, tables, server_id: options.server_id, runtime: runtime.handle().clone() })
    }

    pub fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    pub fn server_version(&self) -> &str {
        &self.look.facts.version.text
    }

    pub fn identity(&self) -> SourceIdentity {
        if self.look.facts.gtid_mode_on() && !self.look.facts.version.is_mariadb {
            SourceIdentity::GtidDomain
        } else {
            SourceIdentity::Server { uuid: self.look.facts.server_uuid().to_owned() }
        }
    }

    /// Full load, then changes.
    pub fn run(self, context: &Context<'_>) -> Result<(), Error> {
        let position = self.begin(context)?;
        // Without a ledger there is nothing to load: incremental reading has passed it, or began without it.
        let loaded = |checkpoint: &Checkpoint| {
            let is_loaded = |ledger: &Ledger, table: &Arc<Table>| {
                ledger.table(table.name()).is_some_and(ledger::TableChunks::is_done)
            };
            checkpoint.ledger.as_ref().is_none_or(|ledger| self.tables.iter().all(|table| is_loaded(ledger, table)))
        };
        if let Some(options) = &context.task.full_load
            && !context.tracker.read(loaded)
        {
            if self.load(context, options)? == LoadEnd::Stopped {
                return Ok(());
            }
            // Rows of the full load are delivered before the first change is sent.
            if !context.tracker.wait_for(loaded, || context.stop.is_stopped()) {
                return Ok(());
            }
            info!("full load complete");
        }
        match &context.task.incremental {
            Some(options) => self.follow(context, options, position),
            None => Ok(()),
        }
    }

    /// The position from which changes are read; taken and stored by the first run.
    fn begin(&self, context: &Context<'_>) -> Result<Position, Error> {
        let stored = context
            .tracker
            .read(|c| c.position.clone().or_else(|| c.ledger.as_ref().map(|ledger| ledger.start().clone())));
        if let Some(position) = stored {
            info!(position = %position.coordinate, "going on where the last run ended");
            return Ok(position);
        }
        let (start, binlog_end) =
            snapshot::start_position(&self.look.connect, &self.look.facts).map_err(SourceError::Load)?;
        self.check_still_the_same(context.task)?;
        let schemas = self.tables.iter().map(|table| StoredSchema {
            table: table.name().clone(),
            since: start.coordinate.clone(),
            state: SchemaState::Known {
                parts: TableParts::from(Table::clone(table)),
                shown_until: Some(binlog_end.clone()),
            },
        });
        context.tracker.update_durably(|checkpoint| {
            checkpoint.schemas = schemas.collect();
            match context.task.full_load {
                Some(_) => checkpoint.ledger = Some(Ledger::new(start.clone())),
                None => checkpoint.position = Some(start.clone()),
            }
        })?;
        Ok(start)
    }

    /// Reads the catalogue again, now that the start is known: what it shows includes every statement before that.
    ///
    /// A statement stands in the binlog a moment before the catalogue has it, and holds its table locked until then; so
    /// each table is touched first, which waits for that lock.
    fn check_still_the_same(&self, task: &Task) -> Result<(), SourceError> {
        let again = self.runtime.block_on(async {
            let mut connection = connection::connect(&self.look.connect).await.map_err(SourceError::Connection)?;
            for table in &self.tables {
                let touch = format!("SELECT 1 FROM {} LIMIT 0", connection::quote_table(table.name()));
                connection.query_drop(touch).await.map_err(SourceError::Query)?;
            }
            let tables = read_tables(&mut connection, &self.look.facts, task).await;
            connection.disconnect().await.map_err(SourceError::Query)?;
            tables
        })?;
        let differs = |(now, before): (&CatalogTable, &Arc<Table>)| {
            (now.table != **before || !now.table.has_collations_of(before)).then(|| before.name().clone())
        };
        match again.iter().zip(&self.tables).find_map(differs) {
            Some(table) => Err(SourceError::SchemaMoved { table }),
            None if again.len() != self.tables.len() => {
                Err(SourceError::SchemaMoved { table: self.tables[0].name().clone() })
            }
            None => Ok(()),
        }
    }

    /// The first rows of each table, at most `rows_max` of each, until `take` has enough of it.
    pub fn sample(
        &self,
        task: &Task,
        rows_max: u64,
        take: &mut dyn FnMut(ChangeBatch) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        for table in self.load_tables(task)? {
            snapshot::sample(&self.look.connect, &self.look.facts, &table, rows_max, take)
                .map_err(SourceError::Load)?;
        }
        Ok(())
    }

    fn load(&self, context: &Context<'_>, options: &LoadOptions) -> Result<LoadEnd, Error> {
        let tables = self.load_tables(context.task)?;
        let ledger = context
            .tracker
            .read(|checkpoint| checkpoint.ledger.clone())
            .unwrap_or_else(|| unreachable!("a load begins with a ledger"));
        let delivered = |name: &TableName| ledger.table(name).map_or(0, ledger::TableChunks::rows);
        context.status.set_tables(
            self.look
                .tables
                .iter()
                .map(|table| TableProgress {
                    table: table.table.name().clone(),
                    estimated_rows: table.estimated_rows,
                    rows: delivered(table.table.name()),
                    chunks_left: None,
                    done: ledger.table(table.table.name()).is_some_and(ledger::TableChunks::is_done),
                })
                .collect(),
        );
        context.status.set_phase(Phase::FullLoad);
        let load_options = snapshot::LoadOptions {
            readers: options.parallel.get(),
            chunk_rows: options.chunk_rows,
            window_rows: LOAD_WINDOW_ROWS,
            window_bytes: window_bytes(context.task),
            view_tries: VIEW_TRIES,
            retry_for: context.task.retry.connection,
        };
        let load = Load {
            connect: &self.look.connect,
            facts: &self.look.facts,
            tables: &tables,
            options: &load_options,
            ledger: &ledger,
            record: context.tracker,
            emit: &|window| context.emitter.emit(window).map_err(|_| snapshot::Stopped),
            stop: context.stop.flag(),
        };
        load.run().map_err(|error| SourceError::Load(error).into())
    }

    /// The tables with the part of their filters that the server can judge.
    fn load_tables(&self, task: &Task) -> Result<Vec<LoadTable>, Error> {
        let mut tables = Vec::with_capacity(self.tables.len());
        for table in &self.tables {
            let name = table.name();
            let rule = task.tables.matches(&name.database, &name.table).expect("only captured tables were read");
            let transform = plan_transform(&task.tables, table).map_err(crate::pipeline::route::RouteError::from)?;
            tables.push(LoadTable {
                table: table.clone(),
                chunk_column: rule.chunk_by.first().cloned(),
                condition: transform.mysql_predicate().map(str::to_owned),
            });
        }
        Ok(tables)
    }

    fn follow(
        &self,
        context: &Context<'_>,
        options: &config::IncrementalOptions,
        position: Position,
    ) -> Result<(), Error> {
        let selection = context.task.tables.clone();
        let tracker = context.tracker.clone();
        let history = |position: &Position| {
            let selection = selection.clone();
            let recorder = tracker.clone();
            History::new(
                &tracker.read(|checkpoint| checkpoint.schemas.clone()),
                &position.coordinate,
                Box::new(move |database, table| selection.matches(database, table).is_some()),
                Box::new(move |entry| recorder.update(|checkpoint| checkpoint.record_schema(entry))),
            )
        };
        let mut follower = Follower {
            connect: &self.look.connect,
            server_id: self.server_id,
            options,
            windows: window_options(context.task, options.window_rows as usize),
            ledger: context.tracker.read(|checkpoint| checkpoint.ledger.clone()),
            retry: context.task.retry.connection,
            emitter: context.emitter,
            status: context.status,
            stop: context.stop,
        };
        follower.run(position, history)
    }
}

/// Windows of changes, with the marks that the task passes on.
pub(crate) fn window_options(task: &Task, rows: usize) -> WindowOptions {
    let statements = task.incremental.as_ref().is_some_and(|options| options.ddl == config::DdlPolicy::Forward);
    let (transactions, heartbeats) = match &task.format {
        config::Format::DtsAvro(options) => (options.transactions, options.heartbeats),
        config::Format::CanalJson(_) => (false, false),
    };
    WindowOptions { rows, bytes: window_bytes(task), marks: MarkOptions { statements, transactions, heartbeats } }
}

/// Bytes of columns that a window may hold: a share of the memory budget.
pub(crate) fn window_bytes(task: &Task) -> usize {
    ((task.memory_bytes / WINDOW_SHARE) as usize).clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX)
}

/// The checkpoint's ledger is what a load writes down in.
impl LoadRecord for Arc<Tracker> {
    fn add_table(&self, table: &TableName, key: &ChunkKey) {
        self.update(|checkpoint| {
            let ledger = checkpoint.ledger.as_mut().expect("a load has a ledger");
            ledger.add_table(table, key.clone());
        });
    }

    fn add_chunk(&self, table: &TableName, range: KeyRange) -> u32 {
        self.update(|checkpoint| {
            let ledger = checkpoint.ledger.as_mut().expect("a load has a ledger");
            ledger.add_chunk(table, range)
        })
    }

    fn begin(
        &self,
        table: &TableName,
        chunk: u32,
        low: Watermark,
        high: Watermark,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.update_durably(|checkpoint| {
            let ledger = checkpoint.ledger.as_mut().expect("a load has a ledger");
            ledger.begin(table, chunk, low, Some(high));
        })
        .map_err(Into::into)
    }
}

fn connect_options(task: &Task, options: &MysqlOptions) -> Result<ConnectOptions, Error> {
    let mode = match options.tls.mode {
        config::TlsMode::Disabled => TlsMode::Disabled,
        config::TlsMode::Preferred => TlsMode::Preferred,
        config::TlsMode::Required => TlsMode::Required,
        config::TlsMode::VerifyCa => TlsMode::VerifyCa,
        config::TlsMode::VerifyIdentity => TlsMode::VerifyIdentity,
    };
    let client = options.tls.client.as_ref();
    Ok(ConnectOptions {
        host: options.host.clone(),
        port: options.port,
        user: options.user.clone(),
        password: options.password.as_ref().map(|password| password.resolve()).transpose()?,
        tls: TlsOptions {
            mode,
            ca: options.tls.ca.clone(),
            cert: client.map(|client| client.cert.clone()),
            key: client.map(|client| client.key.clone()),
        },
        connect_timeout: CONNECT_TIMEOUT,
        read_timeout: READ_TIMEOUT,
        // A row larger than half of the budget could not be encoded within it.
        max_packet_bytes: usize::try_from(task.memory_bytes / 2).unwrap_or(usize::MAX),
        program_name: "tidegate".to_owned(),
    })
}
