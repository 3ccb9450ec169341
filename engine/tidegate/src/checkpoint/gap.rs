//! Changes that were purged before they were read, or left out on purpose: what is told of them for as long as there is a state.

use serde::{Deserialize, Serialize};

use tidegate_model::TableName;

/// A gap that a task has gone on behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Up to where changes had been read, as [`Position::place`](tidegate_model::Position::place) tells it.
    pub from: String,
    /// Where it ends, for tables that were left.
    pub to: String,
    /// When it was accepted, in seconds since 1970.
    pub accepted_s: u32,
    /// Tables of which changes in it were not sent, and that were not loaded again.
    pub left: Vec<TableName>,
    pub loaded: Vec<TableName>,
    /// Tables that were there before it and are no more: their rows stay with consumers.
    #[serde(default)]
    pub gone: Vec<TableName>,
}
