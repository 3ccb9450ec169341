//! A MySQL-family server as a source.

pub mod chunks;
pub mod ledger;
pub mod wire;
