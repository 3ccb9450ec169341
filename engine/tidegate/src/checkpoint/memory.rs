//! What a task has promised its consumers, as it is stored: how each table's rows leave, where they go, and what is the same for all of
//! them.
//!
//! ```text
//! ["table","shop","orders"]   every table that the task has taken up, and how its rows leave
//! ["topic","shop.orders"]     where they go
//! ["remembered"]              what is the same for all tables
//! ```
//!
//! Whether a task is still what it was, the program asks elsewhere, by comparing this with a task file; here it is only kept.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use tidegate_model::TableName;
use tidegate_mysql::snapshot::enclosed;
use tidegate_sink::TopicIdentity;

/// A table that the task has taken up, and what has become of its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedTable {
    pub name: TableName,
    pub load: LoadState,
    /// Somebody has asked for its rows once more, and reading has not stopped for that yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_asked_for: bool,
    /// Of what is asked for, only rows that meet one of these conditions; empty: all. A version that does not know it loads all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked_where: Vec<String>,
    /// Rows are in it that have no row events, for which it is loaded: nobody may take that back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_needed: bool,
    /// It was met with rows and without its CREATE TABLE, and is loaded for that: consumers have not heard of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_unheard_of: bool,
    /// What it is called where it goes, if that is another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TableName>,
    /// `where`, as it is written.
    pub filter: Option<String>,
    /// `select`, as it is written.
    pub select: Option<Vec<String>>,
    /// `columns`, as it could be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<String>,
    /// Which topic its rows go to.
    pub topic: String,
    /// `partition`, as a task file has it.
    pub partition: String,
    /// `key`, as a task file has it.
    #[serde(default = "no_key")]
    pub key: String,
}

/// What `key` says where messages have none.
pub const NO_KEY: &str = "none";

/// What messages had for a key before there were any.
pub fn no_key() -> String {
    NO_KEY.to_owned()
}

impl RememberedTable {
    /// Whether all of its rows are asked for once more.
    pub fn is_asked_for_whole(&self) -> bool {
        self.is_asked_for && self.asked_where.is_empty()
    }

    /// The condition of the rows that are asked for, unless all are, or none.
    pub fn asked_part(&self) -> Option<String> {
        match &self.asked_where[..] {
            _ if !self.is_asked_for => None,
            [] => None,
            [one] => Some(one.clone()),
            several => Some(several.iter().map(|one| enclosed(one)).collect::<Vec<_>>().join(" OR ")),
        }
    }

    /// What the table is called where it goes.
    pub fn target(&self) -> &TableName {
        self.target.as_ref().unwrap_or(&self.name)
    }
}

/// Whether the rows that were in a table before its first change was read have been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadState {
    /// They were not asked for (`full_load: false`), or there were none: the table came to be while the task followed.
    NotWanted,
    /// They are asked for, and not all of them are known to be delivered.
    Wanted,
    Done,
}

/// A topic that rows of the task go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedTopic {
    pub name: String,
    /// How many it had when keys were first spread over them.
    pub partitions: u32,
    /// Whether a message of this task has been acknowledged in it.
    pub written: bool,
    /// The topic itself, where brokers tell.
    #[serde(default)]
    pub identity: Option<TopicIdentity>,
    /// By partition, an offset that the next message cannot be before: what it was at the last start, and where a run has ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<i64>,
}

/// What is the same for all tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedTask {
    /// Paths of the task file and their values: the format, then its options.
    pub format: Vec<(String, String)>,
    pub partition_hash: String,
    /// Bytes, if it is not written.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub partition_text: String,
    #[serde(default)]
    pub tombstones: bool,
    #[serde(default)]
    pub headers: Vec<String>,
    pub full_load: bool,
    /// The entries of `tables`, as they are written.
    pub entries: Vec<String>,
    /// Tables that patterns select by their names, and that the account may not see: nothing of them is read.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub hidden: BTreeSet<TableName>,
    /// Names that tables have where they go which have come to differ.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub apart: BTreeSet<TableName>,
}
