//! A MySQL-family server as a source.

pub mod binlog;
pub mod catalog;
pub mod charset;
pub mod chunks;
pub mod connection;
pub mod ddl;
pub mod history;
pub mod jsonb;
pub mod ledger;
pub mod result_rows;
pub mod rows;
pub mod snapshot;
pub mod wire;
