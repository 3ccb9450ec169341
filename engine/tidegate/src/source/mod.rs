//! Where do changes come from, and from which point?
//!
//! A [`Source`] is opened (it connects, looks and refuses), then run: first the full load, then every change, as one
//! stream of windows. Only connecting happens here; how each kind of source reads is in its own module.

pub mod files;
pub mod mysql;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use crate::checkpoint::{Checkpoint, SourceIdentity, TaskTracker};
use crate::config::{SecretError, SourceOptions, Task};
use crate::gap::AfterGap;
use crate::hints;
use crate::pipeline::Emitter;
use crate::pipeline::route::RouteError;
use crate::until::{Until, UntilError};
use files::{ArchiveSource, ParquetSource};
use mysql::{MysqlSource, PlaceError, TryPart};
use tidegate_flow::tracker::NotSaved;
use tidegate_model::Stop;
use tidegate_model::status::Status;
use tidegate_model::words::duration;
use tidegate_model::{ChangeBatch, Coordinate, Table, TableName};
use tidegate_mysql::MysqlError;
use tidegate_mysql::check::Finding;
use tidegate_mysql::run_lock::{RunLock, RunLockError};

/// What a running source may use.
pub struct Context<'a> {
    pub task: &'a Task,
    /// Where in the binlog the user lets rows be lost.
    pub pass: &'a [Coordinate],
    /// What the user wants to become of the tables behind a gap.
    pub after_gap: Option<&'a AfterGap>,
    pub emitter: &'a Emitter,
    pub tracker: &'a Arc<TaskTracker>,
    pub status: &'a Arc<Status>,
    pub stop: &'a Stop,
}

/// A server's version where nobody knows it.
const UNKNOWN: &str = "unknown";

/// A source that is opened: it has connected, looked, and refused what it cannot read. Files have no more of it than the defaults.
pub trait Source {
    /// Tables known before anything is read. Archived binlogs show theirs later.
    fn tables(&self) -> &[Arc<Table>] {
        &[]
    }

    /// Whose history this source's positions are points of.
    fn identity(&self) -> SourceIdentity;

    /// What the server calls itself that has, or had, the rows; data sets do not say where they come from.
    fn server_version(&self) -> &str {
        UNKNOWN
    }

    /// Keeps other runs of the task away from a server; of files, the state folder's lock is enough. `on_lost` is called when one of
    /// them has the lock nevertheless.
    fn lock(&self, _task: &Task, _on_lost: Box<dyn Fn() + Send>) -> Result<Option<RunLock>, SourceError> {
        Ok(None)
    }

    /// The lock is held on by a run that has other options.
    fn renew(&self, _lock: &RunLock) {}

    /// Gives rows to `take` without copying anything anywhere: the first of each table, at most `rows_max` of a server's, until
    /// it breaks off; of binlog files, changes until it breaks off.
    fn sample(&self, task: &Task, rows_max: u64, take: &mut Take<'_>) -> Result<(), SourceError>;

    /// What has to come before a table that is asked for is loaded again, besides all that is known to be in the binlog then.
    fn reload_waits_for(&self) -> Option<&'static str> {
        None
    }

    /// Asks whether rows of a table can be read by a condition; of a server.
    fn try_part(&self) -> Option<Arc<TryPart>> {
        None
    }

    /// Refuses a start that could not read on from where the task was, unless the user has said how it is to go on behind a gap.
    fn check_position(
        &self,
        _task: &Task,
        _stored: &Checkpoint,
        after_gap: Option<&AfterGap>,
    ) -> Result<(), SourceError> {
        after_gap.map_or(Ok(()), |_| Err(SourceError::NoServer))
    }

    /// The run is to end there by itself. Gives back how a later start within it is told the same.
    fn end_at(&mut self, _task: &Task, until: &Until, _stored: &Checkpoint) -> Result<Until, SourceError> {
        Err(UntilError::Files(until.clone()).into())
    }

    /// The server's answer to a statement that gives one text, under its own SQL mode; its error if it has one.
    fn ask(&self, _statement: &str) -> Result<String, SourceError> {
        Err(SourceError::NoServer)
    }

    /// Emits everything until the source ends, which a server's does not but by [`Source::end_at`], or is told to stop.
    fn run(self: Box<Self>, context: &Context<'_>) -> Result<(), SourceError>;
}

/// Has batches until it has enough of them.
pub type Take<'a> = dyn FnMut(ChangeBatch) -> ControlFlow<()> + Send + 'a;

/// Connects and looks: servers answer, tables exist. `stored` is the checkpoint of an earlier run.
pub fn open(
    task: &Task,
    runtime: &tokio::runtime::Runtime,
    stored: Option<&Checkpoint>,
) -> Result<Box<dyn Source>, SourceError> {
    Ok(match &task.source {
        SourceOptions::Mysql(options) => Box::new(MysqlSource::open(task, options, runtime, stored)?),
        SourceOptions::BinlogFiles(options) => Box::new(ArchiveSource::open(options)?),
        SourceOptions::Parquet(options) => Box::new(ParquetSource::open(task, options)?),
    })
}

/// A run of the task that is at work somewhere, as far as the source tells; whoever asks has something else to say if it cannot be asked.
pub fn other_run(task: &Task, runtime: &tokio::runtime::Runtime) -> Option<RunLockError> {
    let SourceOptions::Mysql(options) = &task.source else { return None };
    mysql::look(task, options, runtime, None).ok()?.other_run(task)
}

/// Why a source cannot be read, or not any further.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Mysql(MysqlError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A table, as it is to be read for what it is sent as.
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error(transparent)]
    NotSaved(#[from] NotSaved),
    /// Nobody takes what it emits, or it was told to stop: whoever ended first has the reason.
    #[error("the pipeline has stopped")]
    Stopped,
    #[error("the source cannot be used as it is:{}", list_findings(.0))]
    Findings(Vec<Finding>),
    #[error("no table is selected: nothing on the server matches `tables`")]
    NoTables,
    #[error("`tables` names {} and {}, which are the same table to this server", .names[0], .names[1])]
    NamedTwice { names: [String; 2] },
    /// What it has and has not of tables is of the past.
    #[error("the server has only {server}, and the task has come to {position}")]
    Behind { server: String, position: String },
    #[error("table {table} or another one changed while the task was starting")]
    SchemaMoved { table: TableName },
    #[error(
        "the changes after {at} are no longer on the server{}{}: {reason}", kept_text(*.kept_s), away_text(*.away_s)
    )]
    Purged {
        at: String,
        reason: String,
        /// How long the server keeps its binlog; `None`: until somebody removes it.
        kept_s: Option<u64>,
        /// How long ago the task was last at work; `None` if it was a moment ago.
        away_s: Option<u64>,
        /// Whether the task has a full load.
        loads: bool,
        /// Whether the next start goes on behind the gap as it is.
        accepted: bool,
    },
    #[error("the task has no full load, so that no table can be loaded behind the gap")]
    NoLoad,
    #[error(
        "nobody knows from where on changes would have to be read: when the full load began, the account could not see the binlog"
    )]
    NoPlace,
    #[error("the task selects no table {name}")]
    NotSelected { name: String },
    #[error("table {table} has no key of numbers, text or dates by which the server could be asked for a row")]
    NoKeyToCompare { table: TableName },
    #[error("there is no server to ask: the source is files")]
    NoServer,
    #[error("no binlog file is given")]
    NoFiles,
    #[error("schema file {}: {reason}", path.display())]
    SchemaFile { path: PathBuf, reason: String },
    #[error("folder {} has no data set for table {table}", folder.display())]
    NoDataSet { table: TableName, folder: PathBuf },
    #[error(transparent)]
    Parquet(tidegate_parquet::ParquetError),
    #[error(transparent)]
    Until(#[from] UntilError),
    #[error(transparent)]
    Place(#[from] PlaceError),
}

impl From<MysqlError> for SourceError {
    fn from(error: MysqlError) -> SourceError {
        match error {
            MysqlError::Stopped(_) => SourceError::Stopped,
            error => SourceError::Mysql(error),
        }
    }
}

impl SourceError {
    /// Whether the same thing may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            SourceError::Mysql(error) => error.is_transient(),
            SourceError::Route(RouteError::Sink(error)) => error.is_transient(),
            SourceError::Until(error) => error.is_transient(),
            SourceError::Behind { .. } => true,
            _ => false,
        }
    }

    /// Whether a run that has ended so may be started again as it is.
    pub fn may_pass(&self) -> bool {
        match self {
            SourceError::Purged { accepted, .. } => *accepted,
            SourceError::NotSaved(_) => true,
            error => error.is_transient(),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            SourceError::Secret(error) => Some(error.hint().to_owned()),
            SourceError::Route(error) => error.hint(),
            SourceError::Place(error) => error.hint().map(str::to_owned),
            SourceError::NoTables => Some(
                "names are compared with case unless the server has lower_case_table_names on, and a table on which the account has no \
                 right is not seen: correct `tables`, or GRANT SELECT on what is to be copied"
                    .to_owned(),
            ),
            SourceError::Mysql(error) => hints::of_server(error),
            SourceError::Purged { accepted: true, .. } => Some(
                "start it again as it is: with --accept-gap, a start goes on behind the gap; and let the server keep its binlog longer \
                 (binlog_expire_logs_seconds, before 8.0 expire_logs_days)"
                    .to_owned(),
            ),
            SourceError::Purged { loads, .. } => {
                let leave = "`tidegate run --accept-gap leave` sends changes from now on";
                let ways = match loads {
                    true => format!(
                        "`tidegate run --accept-gap load` loads all tables again, `--accept-gap shop.orders,crm.*` some of them, and {leave}, \
                         with a load only of what was not loaded to its end; rows that were deleted meanwhile stay with consumers"
                    ),
                    false => leave.to_owned(),
                };
                Some(format!(
                    "go on with the gap: {ways}. Or begin again with a full load: move the state folder away and delete the topics. And let the \
                     server keep its binlog longer (binlog_expire_logs_seconds, before 8.0 expire_logs_days)"
                ))
            }
            SourceError::NoPlace => Some(
                "begin again with a full load (move the state folder away, and delete the topics), with an account that may read the binlog; or \
                 give the task `incremental: false` again"
                    .to_owned(),
            ),
            SourceError::NoLoad => Some(
                "`--accept-gap leave` goes on without what changed in the gap; with `full_load` in the task file, tables can be loaded"
                    .to_owned(),
            ),
            SourceError::Parquet(error) => hints::of_parquet(error).map(str::to_owned),
            SourceError::Until(error) => error.hint(),
            SourceError::NoDataSet { .. } => {
                Some("a data set is a file <database>.<table>.parquet, or a folder of that name".to_owned())
            }
            SourceError::NamedTwice { .. } => {
                Some("it has lower_case_table_names on: name the table once".to_owned())
            }
            SourceError::NotSelected { .. } => Some("write database.table, as `tables` selects it".to_owned()),
            SourceError::Behind { .. } => Some(
                "a replica that lags, or another server behind the same address: it is waited for; or point the task to a server that has \
                 everything that the one before had"
                    .to_owned(),
            ),
            SourceError::SchemaMoved { .. } => Some("start again: nothing has been read yet".to_owned()),
            _ => None,
        }
    }
}

fn kept_text(kept_s: Option<u64>) -> String {
    kept_s.map_or(String::new(), |seconds| format!(", which keeps its binlog for {}", duration(seconds)))
}

fn away_text(away_s: Option<u64>) -> String {
    away_s.map_or(String::new(), |seconds| format!("; the task wrote its state last {} ago", duration(seconds)))
}

fn list_findings(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("\n  {finding}\n    {}", finding.hint)).collect()
}
