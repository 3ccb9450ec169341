//! A MySQL-family server as a source.

pub mod charset;
pub mod chunks;
pub mod ddl;
pub mod history;
pub mod jsonb;
pub mod ledger;
pub mod wire;
