//! What is told of a running task: one value, which the terminal, `/status`, the page and the metrics show.
//!
//! As JSON it has a [version](VERSION), which grows when a field changes its meaning or goes; new fields may come at any time. Times are
//! milliseconds since 1970, by the clock of this machine. Neither secrets nor values of rows are in it. What each field holds is told to users in
//! `status.md`, which a test compares with what is here.

use serde::{Deserialize, Serialize};

use crate::apply::task_file::Applied;
use tidegate_model::rate::{self, Limit};

/// Of the JSON.
pub const VERSION: u32 = 1;

/// At most so many tables are listed, those that are loaded first; all are counted.
pub const TABLES_MAX: usize = 500;

/// Topics are listed by name as long as they have no more partitions than that, all together.
pub const PARTITIONS_MAX: usize = 5000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub version: u32,
    pub task: String,
    /// Of this program.
    pub program: String,
    pub process: u32,
    pub time_ms: u64,
    pub started_ms: u64,
    pub phase: Phase,
    pub pace: Pace,
    /// While the task starts: what it waits for.
    pub awaits: Option<String>,
    pub total: Total,
    pub full_load: Option<FullLoad>,
    pub incremental: Option<Incremental>,
    pub stages: Vec<Stage>,
    /// The stage for which all others wait, or `limits`.
    pub bottleneck: Option<String>,
    pub retries: Vec<Retry>,
    /// Warnings and errors of the log, the newest last.
    pub problems: Vec<Problem>,
    pub memory: Memory,
    #[serde(default)]
    pub limits: Limits,
    /// Messages that were too large for their topic, since the task began; of at most [`TABLES_MAX`] tables.
    #[serde(default)]
    pub too_large: Vec<TooLarge>,
    /// Tables that somebody wants to be loaded again, until that begins; at most [`TABLES_MAX`].
    #[serde(default)]
    pub asked_for: Vec<String>,
    /// Of these, and of those that are being loaded, what is only rows that meet a condition.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// Of at most [`PARTITIONS_MAX`] partitions together.
    #[serde(default)]
    pub topics: Vec<Topic>,
    /// What became of `tidegate apply`, once it was asked for.
    #[serde(default)]
    pub applied: Option<Applied>,
}

/// What brokers have acknowledged of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    pub topic: String,
    /// By partition, the offset behind the last message that was there when this run began, or that it was told of as written.
    pub acknowledged: Vec<i64>,
}

/// Rows of a table that somebody wants to be loaded again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub table: String,
    /// The condition, of a long one the begin.
    #[serde(rename = "where")]
    pub condition: String,
    /// They are being loaded.
    pub begun: bool,
}

/// What the source is held to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub all: Limit,
    pub full_load: Limit,
    /// To the source, at a time.
    #[serde(default)]
    pub connections: Option<u64>,
}

impl Limits {
    pub fn of(limits: &rate::Limits, connections: Option<u64>) -> Limits {
        Limits { all: limits.all.limit(), full_load: limits.full_load.limit(), connections }
    }
}

/// Of one table, by what became of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TooLarge {
    pub table: String,
    #[serde(flatten)]
    pub counts: tidegate_model::message::TooLarge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Starting,
    FullLoad,
    Incremental,
    /// Told to pause: what was read is delivered, and nothing is read.
    Paused,
    /// Told to stop: what was read is delivered.
    Draining,
}

/// How it goes, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// Nothing is known yet.
    Starting,
    /// Rows of the full load arrive.
    Loading,
    /// All that the source has is delivered, and nothing comes.
    Idle,
    /// Changes come, and are delivered at once.
    Current,
    /// Changes are delivered, later than they should.
    Behind,
    /// Something is to be delivered, and nothing has been for a while.
    Stuck,
    /// Somebody wants it so.
    Paused,
}

/// Of this run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Total {
    /// Rows of the full load, and changes: an update is one.
    pub changes: u64,
    /// Acknowledged by the brokers.
    pub messages: u64,
    pub bytes: u64,
    pub changes_per_s: f64,
    pub messages_per_s: f64,
    pub bytes_per_s: f64,
    /// Since the last message was acknowledged; `None` if none was.
    pub quiet_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FullLoad {
    pub tables_done: usize,
    pub tables_total: usize,
    pub rows: u64,
    /// By the server's statistics, which may be off by half.
    pub estimated_rows: u64,
    pub seconds_left: Option<u64>,
    /// At most [`TABLES_MAX`].
    pub tables: Vec<Table>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    pub table: String,
    /// What it is called where it goes, if that is another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Only rows that meet this condition are loaded: how many there are, nobody knows.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    pub rows: u64,
    /// Of a part, those that are loaded so far.
    pub estimated_rows: u64,
    pub done: bool,
    pub rows_per_s: f64,
    pub seconds_left: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incremental {
    /// From where a restart would go on.
    pub position: Option<Position>,
    /// How old the oldest change is that is not delivered, by the source's clock. 0: all is. `None`: nobody knows.
    pub delay_ms: Option<u64>,
    /// The same by our clock, which is wrong by what the two differ.
    pub delay_by_our_clock_ms: Option<u64>,
    /// How far the source's clock is ahead of ours.
    pub clock_ahead_ms: Option<i64>,
    /// Of binlog, until its end.
    pub bytes_behind: Option<u64>,
    pub purge: Option<Purge>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    pub file: String,
    pub offset: u64,
    /// The transactions that are delivered; of a very long set the beginning.
    pub gtids: Option<String>,
}

/// What the source still has of its binlog.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Purge {
    /// What it has from before the position: so much may go without harm.
    pub bytes: u64,
    /// Until it may purge what is not read yet; `None` if it never does so, as with the file in which it writes.
    pub seconds: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    pub stage: String,
    pub per_s: f64,
    pub bytes_per_s: f64,
    /// Of the time, between 0 and 1. Of `deliver`: something is on its way to the brokers.
    pub busy: f64,
    /// Windows in it and in the queue before it, and how many there can be; of `deliver`, the memory of all that is under way.
    pub fill: f64,
    pub windows: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// `source`, `sink` or `state`.
    pub of: String,
    pub reason: String,
    pub hint: Option<String>,
    pub attempts: u32,
    pub since_ms: u64,
    pub next_try_ms: u64,
    /// Until the task gives up.
    pub seconds_left: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    pub time_ms: u64,
    /// `warn` or `error`.
    pub level: String,
    pub message: String,
    pub hint: Option<String>,
    /// How often in a row.
    pub count: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// What rows and messages under way take.
    pub used_bytes: u64,
    /// What they may take just now.
    pub room_bytes: u64,
    /// `memory` of the task.
    pub budget_bytes: u64,
    /// Of the whole process.
    pub resident_bytes: u64,
}

/// What is behind for a chart: one a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub time_ms: u64,
    pub delay_ms: Option<u64>,
    pub messages_per_s: f64,
    pub bytes_per_s: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::words::tests::report;
    use serde_json::Value;
    use std::collections::BTreeSet;

    /// Paths of all fields of `value` that have no fields of their own, and of objects that may be null.
    fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| {
                let dot = if path.is_empty() { "" } else { "." };
                paths(value, &format!("{path}{dot}{name}"), found);
            }),
            Value::Array(values) => {
                assert!(!values.is_empty(), "the test has to fill {path}");
                values.iter().for_each(|value| paths(value, &format!("{path}[]"), found));
            }
            _ => _ = found.insert(path.to_owned()),
        }
    }

    #[test]
    fn each_field_is_told_of() {
        let mut all = report();
        all.full_load = Some(FullLoad {
            tables_done: 0,
            tables_total: 1,
            rows: 0,
            estimated_rows: 0,
            seconds_left: None,
            tables: vec![Table {
                table: "shop.orders".to_owned(),
                target: Some("crm.orders".to_owned()),
                part: Some("id > 5".to_owned()),
                rows: 0,
                estimated_rows: 0,
                done: false,
                rows_per_s: 0.0,
                seconds_left: None,
            }],
        });
        let retry = |of: &str| Retry {
            of: of.to_owned(),
            reason: String::new(),
            hint: None,
            attempts: 0,
            since_ms: 0,
            next_try_ms: 0,
            seconds_left: 0,
        };
        all.retries = vec![retry("source")];
        all.parts = vec![Part { table: "shop.orders".to_owned(), condition: "id > 5".to_owned(), begun: false }];
        all.applied = Some(Applied { asked: 1, answered: 0, refused: None, unchanged: false });
        let mut is = BTreeSet::new();
        paths(&serde_json::to_value(&all).unwrap(), "", &mut is);
        let told =
            include_str!("../../status.md").lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
        // Objects that may be null have a line of their own.
        let told: BTreeSet<String> = told.map(|(field, _)| field.to_owned()).collect();
        let missing: Vec<_> = is.difference(&told).collect();
        assert!(missing.is_empty(), "status.md does not tell of {missing:?}");
        let is_object = |field: &String| is.iter().any(|path| path.starts_with(&format!("{field}.")));
        let gone: Vec<_> = told.difference(&is).filter(|field| !is_object(field)).collect();
        assert!(gone.is_empty(), "status.md tells of {gone:?}, which is not there");
    }
}
