//! Why a load ends, or one table's does, or an attempt at a piece of it.

use std::error::Error;

use super::view::code;
use crate::catalog::CatalogError;
use crate::result_rows::{ColumnChanged, MalformedRow};
use crate::wire::WireError;
use tidegate_model::TableName;
use tidegate_model::builder::BuildError;

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Tried again for as long as was allowed, or pointless to try again.
    #[error("full load: {0}")]
    Session(#[source] WireError),
    /// The other tables are loaded.
    #[error("full load: {}", list_failures(.0))]
    Tables(Vec<TableFailure>),
    #[error("full load: the position of a chunk could not be stored: {0}")]
    Record(#[source] Box<dyn Error + Send + Sync>),
    #[error("full load: server answered {statement} with something else: {reason}")]
    Answer { statement: &'static str, reason: String },
    #[error("full load: a table cannot be sent as it is now: {0}")]
    Plan(#[source] Box<dyn Error + Send + Sync>),
    #[error("full load: could not start a thread for a reader: {0}")]
    Thread(#[source] std::io::Error),
    #[error("full load: the server has only {server}, but the load began at {start}")]
    Behind { server: String, start: String },
    #[error("full load: what was read in a view was answered by another server than the one that opened it")]
    ManyServers,
    #[error("full load: the server is another one than before ({found} instead of {expected})")]
    OtherServer { found: String, expected: String },
}

impl LoadError {
    pub fn hint(&self) -> Option<String> {
        match self {
            LoadError::Session(error) => error.hint().map(str::to_owned),
            LoadError::Tables(failures) => failures.iter().find_map(|failure| failure.error.hint()),
            LoadError::Behind { .. } => Some(
                "A replica that lags, or another server behind the same address: point the task to a server that has \
                 everything that the first one had. Other versions than MySQL 9.7 tell so only of binlog files that are complete: \
                 FLUSH BINARY LOGS there."
                    .into(),
            ),
            LoadError::ManyServers => Some(
                "A proxy that lets several servers answer the statements of one transaction: point the task to the address of one server, the \
                 primary if possible, or turn off that the proxy splits transactions."
                    .into(),
            ),
            LoadError::OtherServer { .. } => Some(
                "Without GTIDs, a file and offset of the binlog mean nothing on another server: point the task to the one \
                 before, or begin again with a full load (move the state folder away)."
                    .into(),
            ),
            LoadError::Thread(_) => Some(
                "Raise the limit of processes and threads (ulimit -u, the container's or unit's limit of tasks), or read with fewer.".into(),
            ),
            LoadError::Record(_) | LoadError::Answer { .. } | LoadError::Plan(_) => None,
        }
    }
}

fn list_failures(failures: &[TableFailure]) -> String {
    failures.iter().map(|failure| format!("table {}: {}", failure.table, failure.error)).collect::<Vec<_>>().join("; ")
}

#[derive(Debug)]
pub struct TableFailure {
    pub table: TableName,
    pub error: TableError,
}

/// Why a table cannot be read, however often one tries.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("{0}")]
    Read(#[source] WireError),
    #[error("its rows where {} could not be read: {error}", shown(.part))]
    Part { part: String, error: WireError },
    #[error("{0}")]
    Changed(#[source] ColumnChanged),
    #[error("{0}")]
    Row(#[source] MalformedRow),
    #[error("column \"{column}\": {source}")]
    Value { column: String, source: BuildError },
    #[error("its rows do not fit its definition: {0}")]
    Batch(#[source] arrow::error::ArrowError),
    #[error("column \"{0}\", by which it is to be cut, does not exist")]
    NoSuchColumn(String),
    #[error("{0}")]
    Definition(#[source] CatalogError),
}

impl TableError {
    pub fn hint(&self) -> Option<String> {
        match self {
            TableError::Read(error) | TableError::Part { error, .. } => error.hint().map(str::to_owned),
            TableError::Changed(_) => Some("The server's answer does not fit the definition that it names.".into()),
            TableError::NoSuchColumn(_) => Some("Name a column of the table, or none.".into()),
            TableError::Value { source: BuildError::Utf8, .. } => Some(
                "The stored bytes do not fit the column's character set: correct them on the server, then begin again with a \
                 full load (move the state folder away)."
                    .into(),
            ),
            TableError::Row(_) | TableError::Value { .. } | TableError::Batch(_) | TableError::Definition(_) => None,
        }
    }
}

/// A condition of which rows are asked for, for people: on one line, and not all of a long one.
pub fn shown(part: &str) -> String {
    const CHARS_MAX: usize = 200;
    let line = part.replace('\n', "");
    match line.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Why an attempt at a job ended early.
#[derive(Debug)]
pub(super) enum Failure {
    Wire(WireError),
    Table(TableError),
    Load(LoadError),
    /// The server lacks what was there when the load began.
    Behind {
        server: String,
        start: String,
    },
    /// The job is none any more.
    Outdated,
    /// The view was open for as long as it may be.
    TooOld,
    Stopped,
}

impl Failure {
    /// Where no table is read.
    pub(super) fn of_session(self) -> LoadError {
        match self {
            Failure::Wire(error) => LoadError::Session(error),
            Failure::Load(error) => error,
            Failure::Behind { server, start } => LoadError::Behind { server, start },
            Failure::Table(_) | Failure::Outdated | Failure::TooOld | Failure::Stopped => {
                unreachable!("no table is read here, and nobody can stop it")
            }
        }
    }

    pub(super) fn of_table(self, table: &TableName) -> LoadError {
        match self {
            Failure::Table(error) => LoadError::Tables(vec![TableFailure { table: table.clone(), error }]),
            other => other.of_session(),
        }
    }
}

pub(super) fn may_pass(error: &WireError) -> bool {
    error.is_transient() || matches!(error.server_code(), Some(code::TABLE_DEFINITION_CHANGED | code::NEEDS_REPREPARE))
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Failure {
        Failure::Wire(error)
    }
}
