//! A MySQL-family server as a source.

pub mod catalog;
pub mod chunks;
pub mod connection;
pub mod ledger;
pub mod result_rows;
pub mod wire;
