//! What stops reading: what the binlog says and what is known do not fit, or rows may be lost.

use super::Turn;
use crate::ddl::UnloggedRows;
use crate::wire::WireError;
use tidegate_model::{Coordinate, Gtid, TableName};

/// The binlog and what is known of a table do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Here stand rows of which the columns are not known. [`SchemaState::Given`](super::SchemaState::Given) tells them.
    #[error("{}", .fault.text(.table))]
    Columns { table: TableName, at: Coordinate, gtid: Option<Gtid>, fault: ColumnsFault },
    #[error(
        "rows of table {table} stand in the binlog before `{statement}` at {at}, which happened before this task began"
    )]
    RowsBefore { table: TableName, at: Coordinate, statement: String },
    #[error("`{statement}` may have changed rows of {} in statement format, without row events", list(.tables))]
    StatementFormat {
        /// Those that it names; it may have changed others.
        tables: Vec<TableName>,
        statement: String,
        /// Nobody knows whether it is the server's own, of a table that it has found empty.
        may_be_the_servers: bool,
    },
    #[error("`{statement}` is not understood: it may have changed columns and rows of {}", list(.tables))]
    Unclear { tables: Vec<TableName>, statement: String },
    /// No error: whoever reads goes on once the load has done its part.
    #[error("before `{statement}`, the full load of table {table} has to take a turn")]
    Turn { table: TableName, statement: String, turn: Turn },
    #[error("`{statement}` moves rows of table {table} without row events: behind it, {}", .rows.consequence())]
    UnloggedRows { table: TableName, statement: String, rows: UnloggedRows },
    /// The server was asked about a table, and has not answered.
    #[error(transparent)]
    Server(#[from] WireError),
}

/// Why the columns of a table are not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnsFault {
    /// A statement has changed them, and nobody says to what.
    Changed { at: Coordinate, statement: String },
    /// A statement that is ahead has changed them before the catalogue was asked.
    Overtaken { at: Coordinate, statement: String },
    /// Nothing was ever known of it.
    Unknown,
    /// They are not those that are known.
    Mismatch { reason: String },
}

impl ColumnsFault {
    fn text(&self, table: &TableName) -> String {
        match self {
            ColumnsFault::Changed { at, statement } => {
                format!("columns of table {table} are unknown since {at}, where `{statement}` changed them")
            }
            ColumnsFault::Overtaken { at, statement } => {
                format!(
                    "columns of table {table} are unknown before `{statement}` at {at}: the catalogue was asked behind it"
                )
            }
            ColumnsFault::Unknown => {
                format!("table {table} is in the binlog, but the catalogue did not have it when this task began")
            }
            ColumnsFault::Mismatch { reason } => format!("table {table}: {reason}"),
        }
    }
}

pub(super) fn list(tables: &[TableName]) -> String {
    match tables {
        [] => "captured tables".to_owned(),
        [table] => format!("table {table}"),
        [first, others @ ..] => format!("table {first} and {} other tables", others.len()),
    }
}

impl HistoryError {
    pub fn hint(&self) -> &'static str {
        match self {
            HistoryError::Columns { fault: ColumnsFault::Overtaken { .. }, .. } => {
                "FLUSH BINARY LOGS and a full load from its begin (move the state folder away) do without them: a server without GTIDs has its binlog read from the start of a file"
            }
            HistoryError::Columns { .. } => {
                "SET GLOBAL binlog_row_metadata = FULL makes the binlog describe its tables from then on"
            }
            HistoryError::RowsBefore { .. } => {
                "FLUSH BINARY LOGS, then begin again with a full load (move the state folder away): a server without GTIDs has its binlog read from the start of a file"
            }
            HistoryError::Server(_) => "the server is asked again when the task is started again",
            HistoryError::Turn { .. } => "report this: the reader takes turns by itself",
            HistoryError::StatementFormat { may_be_the_servers: true, .. } => {
                "if the table was of the engine MEMORY there, which nothing tells any more, the server has emptied it after a start, and whoever passes over the statement misses nothing else; if not, find the session that sets another format than ROW, and begin again with a full load (move the state folder away), on a server without GTIDs after FLUSH BINARY LOGS"
            }
            HistoryError::StatementFormat { .. } => {
                "SET GLOBAL binlog_format = ROW, find the session that set another format, and begin again with a full load (move the state folder away), on a server without GTIDs after FLUSH BINARY LOGS"
            }
            HistoryError::Unclear { .. } => {
                "begin again with a full load (move the state folder away), on a server without GTIDs after FLUSH BINARY LOGS"
            }
            HistoryError::UnloggedRows { .. } => "begin again with a full load (move the state folder away)",
        }
    }
}
