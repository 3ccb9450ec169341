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
//!
//! A table as record batches:
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//!
//! use tidegate_model::TableName;
//! use tidegate_mysql::catalog::{Selection, read_tables};
//! use tidegate_mysql::connection::{self, ServerFacts};
//! use tidegate_mysql::ledger::Ledger;
//! use tidegate_mysql::snapshot::{Load, LoadOptions, LoadTable, start_position};
//! use tidegate_mysql::wire::{ConnectOptions, TlsOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = ConnectOptions {
//!     host: "127.0.0.1".to_owned(),
//!     port: 3306,
//!     user: "reader".to_owned(),
//!     password: Some("secret".to_owned()),
//!     password_origin: None,
//!     tls: TlsOptions::default(),
//!     connect_timeout: Duration::from_secs(10),
//!     max_packet_bytes: 64 << 20,
//!     program_name: "an example".to_owned(),
//! };
//! // The control plane: what is there?
//! let (facts, tables) = tokio::runtime::Runtime::new()?.block_on(async {
//!     let mut session = connection::connect(&server).await?;
//!     let facts = ServerFacts::read(&mut session).await?;
//!     let wanted = [TableName::new("shop", "orders")];
//!     let tables = read_tables(&mut session, &Selection::named(&wanted)).await?;
//!     session.disconnect().await?;
//!     Ok::<_, Box<dyn std::error::Error>>((facts, tables))
//! })?;
//! let tables: Vec<_> = tables.into_iter().map(|found| LoadTable::whole(Arc::new(found.table))).collect();
//!
//! // The data plane: each chunk in a view of its own, on several connections. Changes go on behind `start`.
//! let (start, _) = start_position(&server, &facts, true)?;
//! let ledger = Ledger::new(start.clone());
//! Load {
//!     connect: &server,
//!     facts: &facts,
//!     tables: &tables,
//!     options: &LoadOptions::default(),
//!     ledger: &ledger,
//!     record: &Mutex::new(ledger.clone()),
//!     emit: &|window| {
//!         for batch in &window.changes {
//!             println!("{}: {} rows", batch.table().name(), batch.rows().num_rows());
//!         }
//!         Ok(())
//!     },
//!     start: &start,
//!     start_is_low: true,
//!     plan: &|table| Ok(LoadTable::whole(table)),
//!     stop: &AtomicBool::new(false),
//! }
//! .run()?;
//! # Ok(())
//! # }
//! ```

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
