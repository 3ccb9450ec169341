//! Rows and changes of a MySQL-family server, as Arrow record batches.
//!
//! ```text
//! connection, catalog, grants, check    what is there, and does it serve?        control plane (mysql_async)
//! wire                  packets, rows and events in place                      data plane, blocking
//! chunks ► snapshot     tables cut by key, each chunk read at a known place ─┐
//!              ledger   what chunks have shown  ─────────────────────────────┼─► Window
//! binlog ► incremental  changes from a place on, less what chunks have shown ┘
//!   history, ddl, definition, alter                a table's columns at the point that has been reached
//!   rows, charset, jsonb, collation                stored bytes as values, as the server itself would say them
//! ```
//!
//! Nothing here knows where windows go, what a filter is or how a task is configured. What a restart must know (the
//! [`Ledger`](ledger::Ledger), the [position](tidegate_model::Position), the [schemas](history::StoredSchema)) is told to
//! the caller, who keeps it.

pub mod alter;
pub mod binlog;
pub mod binlog_file;
pub mod catalog;
pub mod check;
pub mod chunks;
pub mod collation;
pub mod connection;
pub mod ddl;
pub mod definition;
pub mod dump_error;
mod error;
pub mod extent;
pub mod grants;
pub mod history;
pub mod incremental;
pub mod jsonb;
pub mod ledger;
mod look_ahead;
pub mod result_rows;
pub mod rows;
pub mod run_lock;
pub mod same_history;
pub mod snapshot;
#[cfg(test)]
mod test_server;
pub mod until;
pub mod wire;
pub mod xa;

pub use error::MysqlError;
pub use tidegate_charset as charset;
