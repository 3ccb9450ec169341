//! A MySQL-family server as a source.

pub mod binlog;
pub mod charset;
pub mod chunks;
pub mod ddl;
pub mod history;
pub mod jsonb;
pub mod ledger;
pub mod rows;
pub mod wire;
