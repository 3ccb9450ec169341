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
//! [`look`](mod@look) is the first, [`start`] where reading begins, [`behind_gap`] where it begins if changes are lost, [`load`] and [`follow`]
//! the two ways of reading, [`other_place`] where somebody wants it to go on instead, [`turns`] what brings the second back to the first, [`until`] where it ends by itself.

mod behind_gap;
mod cascades;
mod follow;
mod load;
mod look;
mod other_place;
mod start;
mod turns;
mod until;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use mysql_async::prelude::Queryable;
use tracing::{info, warn};

use crate::checkpoint::{Checkpoint, SourceIdentity};
use crate::config::{MysqlOptions, Task};
use crate::gap::AfterGap;
use crate::source::{Context, Source, SourceError, Take};
use crate::until::Until;
use cascades::Cascades;
use look::Definitions;
use tidegate_flow::store::CHECKPOINT;
use tidegate_model::retry::Retry;
use tidegate_model::status;
use tidegate_model::{Coordinate, GtidSet, Position, Table, TableName, Watermark};
use tidegate_mysql::check::{Finding, Severity};
use tidegate_mysql::extent::Watch;
use tidegate_mysql::history::Turn;
use tidegate_mysql::incremental::{Followed, Ready};
use tidegate_mysql::run_lock::RunLock;
use tidegate_mysql::snapshot::{LoadEnd, LoadTable};
use tidegate_mysql::{MysqlError, connection, snapshot};
use turns::Reloads;

pub(crate) use follow::{event_bytes_max, row_uses, window_options};
pub use load::Wanted;
pub use look::{Look, TryPart, look};
pub use other_place::{OtherPlace, PlaceError};

/// How far a server has come.
#[derive(Clone, Debug)]
pub struct ServerEnd {
    server: String,
    end: Coordinate,
    executed: Watermark,
}

impl ServerEnd {
    /// Whether a task at this position has delivered everything up to there.
    pub fn is_before(&self, position: &Position) -> bool {
        let executed = match &self.executed {
            Watermark::Gtids(gtids) => Some(gtids),
            Watermark::Coordinate(_) => None,
        };
        is_behind(position, &self.server, &self.end, executed)
    }
}

impl fmt::Display for ServerEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.end.fmt(f)
    }
}

/// Whether everything is delivered up to where a server's binlog ended, and what it had executed then.
pub(crate) fn is_behind(position: &Position, server: &str, end: &Coordinate, executed: Option<&GtidSet>) -> bool {
    let has_all = position.gtids.as_ref().zip(executed).is_some_and(|(ours, all)| ours.contains_set(all));
    has_all || (is_of(position, server) && position.reached() >= end)
}

/// Whether coordinates of the position are those of the server.
pub(crate) fn is_of(position: &Position, server: &str) -> bool {
    position.file.as_ref().is_none_or(|file| *file.server == *server)
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
    /// Where the run ends by itself.
    ending: Option<until::Ending>,
    /// Added tables, of which nothing is read before they are loaded where the others that are asked for are.
    later: BTreeSet<TableName>,
    cascades: Cascades,
}

impl MysqlSource {
    /// Looks, and refuses a server on which the task cannot work.
    pub fn open(
        task: &Task,
        options: &MysqlOptions,
        runtime: &tokio::runtime::Runtime,
        stored: Option<&Checkpoint>,
    ) -> Result<MysqlSource, SourceError> {
        let mut look = look(task, options, runtime, stored)?;
        let (errors, warnings): (Vec<Finding>, Vec<Finding>) =
            look.findings().into_iter().partition(|finding| finding.severity == Severity::Error);
        if !errors.is_empty() {
            return Err(SourceError::Findings(errors));
        }
        // A task that goes on has said all this before, but for tables that have gone.
        let news = if stored.is_none() { warnings } else { look.missing().collect() };
        for finding in news.iter().filter(|finding| !task.ignored_items.contains(&finding.item)) {
            match finding.severity {
                Severity::Info => info!(hint = finding.hint, "{finding}"),
                _ => warn!(hint = finding.hint, "{finding}"),
            }
        }
        if let Some(error) = look.errors.pop() {
            return Err(MysqlError::Catalog(error).into());
        }
        if look.tables.is_empty() && !stored.is_some_and(Checkpoint::has_begun) {
            return Err(SourceError::NoTables);
        }
        info!(server = look.server(), tables = look.tables.len(), "connected");
        let tables = look.tables();
        let cascades = Cascades::of(task, &look, look.gaps(), stored.is_none());
        Ok(MysqlSource {
            look,
            tables,
            definitions: HashMap::new(),
            server_id: options.server_id,
            runtime: runtime.handle().clone(),
            stored_at: stored.and_then(|_| task.state.join(CHECKPOINT).metadata().ok()?.modified().ok()),
            ending: None,
            later: BTreeSet::new(),
            cascades,
        })
    }

    /// Reads on from where the task was to where the binlog ends now, or up to the first table that would be loaded, which it gives back; for
    /// a look at what a run would meet.
    pub fn read_on(&self, context: &Context<'_>) -> Result<Option<TableName>, SourceError> {
        let stored = context.tracker.read(|checkpoint| checkpoint.source.position.clone());
        let (Some(options), Some(position)) = (&context.task.incremental, stored) else { return Ok(None) };
        let until = self.now(context)?;
        Ok(match self.follow(context, options, position, Some(until), None)? {
            Followed::Due { table, .. } => Some(table),
            Followed::Arrived(_) | Followed::Asked(_) | Followed::Ready(_) | Followed::Ended(_) | Followed::Stopped => {
                None
            }
        })
    }

    /// Where the tables that are asked for can be loaded. A run that ends where the binlog ended when it began comes no further.
    fn ready(&self, context: &Context<'_>, position: &Position) -> Result<Ready, SourceError> {
        let at_file = !snapshot::starts_at_present(&self.look.facts);
        // Of files, the server is asked whether they hold all that was read, wherever that is.
        let until = match at_file {
            true => position.gtids.clone().map_or(Watermark::Coordinate(position.coordinate.clone()), Watermark::Gtids),
            false => self.present().map_or_else(|| self.now(context), Ok)?,
        };
        match at_file {
            true => info!(
                "tables are asked for: they are loaded when the server begins its next binlog file, for before that it does not tell which \
                 changes its rows show; FLUSH BINARY LOGS begins one"
            ),
            false => {
                info!(place = %until, "tables are asked for: they are loaded when reading has come to where the binlog ends now")
            }
        }
        Ok(Ready { until, at_file })
    }

    /// Where the server stands.
    fn now(&self, context: &Context<'_>) -> Result<Watermark, SourceError> {
        patiently(context, || Ok(snapshot::now(&self.look.connect, &self.look.facts).map_err(MysqlError::Load)?))
    }

    /// Whose binlog it is, where it ends, and what is executed.
    pub fn end(&self) -> Result<ServerEnd, SourceError> {
        let (executed, end) = snapshot::end(&self.look.connect, &self.look.facts).map_err(MysqlError::Load)?;
        Ok(ServerEnd { server: self.look.facts.server_uuid().to_owned(), end, executed })
    }

    /// Waits until everything before the position is delivered. False if the task is told to stop.
    fn is_delivered(&self, context: &Context<'_>, position: &Position) -> bool {
        // Where it is to read on, more may be known of XA transactions by now than where it has read to.
        let delivered =
            |checkpoint: &Checkpoint| checkpoint.reads_from().is_some_and(|reached| reached.is_at(position));
        context.tracker.wait_for(delivered, || context.stop.is_stopped())
    }
}

impl Source for MysqlSource {
    fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    fn identity(&self) -> SourceIdentity {
        self.look.identity()
    }

    fn server_version(&self) -> &str {
        &self.look.facts.version.text
    }

    /// Keeps other runs of the task away. `on_lost` is called when one of them has the lock nevertheless.
    fn lock(&self, task: &Task, on_lost: Box<dyn Fn() + Send>) -> Result<Option<RunLock>, SourceError> {
        let lock =
            RunLock::take(&self.look.connect, &task.name, &self.runtime, on_lost).map_err(MysqlError::RunLock)?;
        Ok(Some(lock))
    }

    fn renew(&self, lock: &RunLock) {
        lock.renew(&self.look.connect);
    }

    /// The first rows of each table, at most `rows_max` of each, until `take` has enough of it.
    fn sample(&self, task: &Task, rows_max: u64, take: &mut Take<'_>) -> Result<(), SourceError> {
        for table in self.load_tables(task)? {
            // An expression that is tried may name any column.
            let table = LoadTable { columns: (0..table.table.columns().len()).collect(), ..table };
            snapshot::sample(&self.look.connect, &self.look.facts, &table, rows_max, take).map_err(MysqlError::Load)?;
        }
        Ok(())
    }

    /// The one text that a statement gives, under the server's own SQL mode; its error if it has one.
    fn ask(&self, statement: &str) -> Result<String, SourceError> {
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

    fn reload_waits_for(&self) -> Option<&'static str> {
        let waits = !snapshot::starts_at_present(&self.look.facts);
        waits.then_some("the server begins its next binlog file, as FLUSH BINARY LOGS makes it do")
    }

    fn try_part(&self) -> Option<Arc<TryPart>> {
        Some(self.look.try_part())
    }

    fn check_position(
        &self,
        task: &Task,
        stored: &Checkpoint,
        after_gap: Option<&AfterGap>,
    ) -> Result<(), SourceError> {
        let is_nowhere = |position: &Position| position.gtids.is_none() && position.coordinate.file.is_empty();
        if task.incremental.is_some() && stored.reads_from().is_some_and(is_nowhere) {
            return Err(SourceError::NoPlace);
        }
        self.refuse_gap(task, stored, after_gap)
    }

    fn end_at(&mut self, task: &Task, until: &Until, stored: &Checkpoint) -> Result<Until, SourceError> {
        Ok(self.ending.insert(self.find_ending(task, until, stored)?).until())
    }

    /// Full load, then changes; and again, where a table has to be loaded behind that.
    fn run(mut self: Box<Self>, context: &Context<'_>) -> Result<(), SourceError> {
        let went_on = context.tracker.read(Checkpoint::has_begun);
        let _watch = context.task.incremental.as_ref().map(|_| {
            let (connect, status) = (self.look.connect.clone(), context.status.clone());
            Watch::start(connect, &self.look.facts, status, &self.runtime)
        });
        let mut position = self.begin(context)?;
        self.refuse_passed(context, &position, !went_on)?;
        let is_asked = context.tracker.read(|checkpoint| !checkpoint.asked_for().is_empty());
        context.status.asked.fetch_or(is_asked && context.task.full_load.is_some(), Ordering::Relaxed);
        let mut reloads = Reloads::default();
        // Also a table that is known may be dropped behind the position, and be there again without a trace in the binlog.
        let mut until = match context.task.full_load.is_some() && context.task.incremental.is_some() && went_on {
            true => Some(self.present().map_or_else(|| self.now(context), Ok)?),
            false => None,
        };
        // Tables are asked for, and are loaded there.
        let mut ready: Option<Ready> = None;
        loop {
            if self.load_what_is_left(context)? == LoadEnd::Stopped {
                return Ok(());
            }
            let Some(options) = &context.task.incremental else { return Ok(()) };
            // What is to be loaded is asked for, and may have been taken back.
            let mut are_wishes = false;
            let (names, at) = match self.follow(context, options, position, until.clone(), ready.as_ref())? {
                Followed::Stopped => return Ok(()),
                Followed::Due { table, turn, at, position: before } => {
                    position = before;
                    if turn == Turn::LoadAgain && !reloads.may_load(&table, context) {
                        self.load_later(context, &table)?;
                        continue;
                    }
                    (vec![(table, turn)], at)
                }
                Followed::Asked(reached) => {
                    position = reached;
                    context.status.asked.store(false, Ordering::Relaxed);
                    ready = Some(self.ready(context, &position)?);
                    continue;
                }
                Followed::Ready(reached) => {
                    position = reached;
                    ready = None;
                    if !self.later.is_empty() {
                        position = self.begun_anew(context, position)?;
                    }
                    are_wishes = true;
                    let with_turn = |table: TableName| match self.later.contains(&table) {
                        true => (table, Turn::Load),
                        false => (table, Turn::LoadAgain),
                    };
                    let tables = context.tracker.read(Checkpoint::asked_for).into_iter().map(with_turn);
                    (tables.collect::<Vec<_>>(), position.coordinate.clone())
                }
                Followed::Ended(ended) if !until.as_ref().is_some_and(|until| ended.has_come_to(until)) => {
                    info!(position = %ended.place(), "--until: everything up to there is read, and nothing behind it");
                    if ready.is_some() {
                        warn!(
                            "the tables that are asked for are not loaded by this run, which ends before they could be: the next one begins with them"
                        );
                    }
                    return Ok(());
                }
                // Where the run ends, something may be left to load, too.
                Followed::Arrived(arrived) | Followed::Ended(arrived) => {
                    until = None;
                    position = arrived;
                    if !self.is_delivered(context, &position) {
                        return Ok(());
                    }
                    let left = self.unseen(context).into_iter();
                    (left.map(|table| (table, Turn::Load)).collect(), position.coordinate.clone())
                }
            };
            for (name, turn) in names {
                if !self.begin_again(context, &name, turn, are_wishes, &at, &position)? {
                    return Ok(());
                }
            }
        }
    }
}

/// Asks a server in the midst of a task: one that is away for a moment does not end it.
fn patiently<T>(context: &Context<'_>, mut ask: impl FnMut() -> Result<T, SourceError>) -> Result<T, SourceError> {
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
            return Err(SourceError::Stopped);
        }
    }
}
