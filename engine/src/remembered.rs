//! Is this still the task that began? What a task has promised to its consumers, kept in the checkpoint.
//!
//! ```text
//! task file ──┐
//! catalogue ──┼─► take up ─► Checkpoint { tables, topics, remembered } ─► on disk before the first row leaves
//! topics    ──┘
//! ```
//!
//! A checkpoint says how far a task has come. That is only worth something for the task that has come so far: rows that
//! left through one filter are not taken back by another. So everything that decides which rows leave, as which bytes and
//! to where is remembered.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::batch::{Table, TableName};
use crate::checkpoint::Checkpoint;
use crate::config::{
    AvroOptions, CanalOptions, ColumnsInOld, DdlType, Format, LabelOrNumber, MysqlTypeText, PartitionHash,
    PartitionPolicy, Profile, TableRule, Task, ZeroDate,
};
use crate::pipeline::route::{RouteError, topic_of_table};
use crate::source::mysql::ledger::TableChunks;

/// A table that the task has taken up, and what has become of its rows. Ordered by name in the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedTable {
    pub name: TableName,
    pub load: LoadState,
    /// `where`, as it is written.
    pub filter: Option<String>,
    /// `select`, as it is written.
    pub select: Option<Vec<String>>,
    /// An entry of [`Checkpoint::topics`].
    pub topic: String,
    /// `partition`, as a task file has it.
    pub partition: String,
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

/// A topic that rows of the task go to. Ordered by name in the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedTopic {
    pub name: String,
    /// How many it had when keys were first spread over them.
    pub partitions: u32,
    /// Whether a message of this task has been acknowledged in it.
    pub written: bool,
}

/// What is the same for all tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedTask {
    /// Paths of the task file and their values: the format, then its options.
    pub format: Vec<(String, String)>,
    pub partition_hash: String,
    pub full_load: bool,
    /// The entries of `tables`, as they are written.
    pub entries: Vec<String>,
}

impl RememberedTask {
    pub fn of(task: &Task) -> RememberedTask {
        RememberedTask {
            format: format_options(&task.format),
            partition_hash: word(PartitionHash::WORDS, task.partition_hash),
            full_load: task.full_load.is_some(),
            entries: task.tables.entries().to_vec(),
        }
    }
}

/// Remembers the tables that are there when a run starts, and what is the same for all.
pub fn take_up_all(checkpoint: &mut Checkpoint, task: &Task, tables: &[Arc<Table>]) -> Result<(), RouteError> {
    // Of a checkpoint without memory, the ledger tells, and that it has gone.
    let remembers = checkpoint.remembered.is_some() || !checkpoint.has_begun();
    for table in tables {
        let name = table.name();
        let rule = task.tables.matches(&name.database, &name.table).expect("a source has captured tables only");
        let load = match (&task.full_load, &checkpoint.ledger) {
            (None, _) => LoadState::NotWanted,
            (Some(_), None) if !remembers => LoadState::Done,
            (Some(_), Some(ledger)) if ledger.table(name).is_some_and(TableChunks::is_done) => LoadState::Done,
            (Some(_), _) => LoadState::Wanted,
        };
        checkpoint.take_up(name, rule, &topic_of_table(task, name)?, load);
    }
    checkpoint.remembered = Some(RememberedTask::of(task));
    Ok(())
}

impl Checkpoint {
    /// Whether anything may have been read.
    pub fn has_begun(&self) -> bool {
        self.ledger.is_some() || self.position.is_some() || !self.row_groups.is_empty()
    }

    pub fn remembered_table(&self, name: &TableName) -> Option<&RememberedTable> {
        self.tables.binary_search_by(|table| table.name.cmp(name)).ok().map(|index| &self.tables[index])
    }

    /// Remembers how a table's rows leave from now on; `load` is for one that was not known.
    pub fn take_up(&mut self, name: &TableName, rule: &TableRule, topic: &str, load: LoadState) {
        let at = self.tables.binary_search_by(|table| table.name.cmp(name));
        let table = RememberedTable {
            name: name.clone(),
            load: at.map_or(load, |index| self.tables[index].load),
            filter: rule.filter.clone(),
            select: rule.select.clone(),
            topic: topic.to_owned(),
            partition: policy_text(&rule.partition),
        };
        match at {
            Ok(index) => self.tables[index] = table,
            Err(index) => self.tables.insert(index, table),
        }
    }

    /// Every row that was there is delivered.
    pub fn table_loaded(&mut self, name: &TableName) {
        if let Ok(index) = self.tables.binary_search_by(|table| table.name.cmp(name)) {
            self.tables[index].load = LoadState::Done;
        }
    }

    pub fn remembered_topic(&self, name: &str) -> Option<&RememberedTopic> {
        self.topics.binary_search_by(|topic| topic.name.as_str().cmp(name)).ok().map(|index| &self.topics[index])
    }

    fn topic_mut(&mut self, name: &str) -> &mut RememberedTopic {
        let index = match self.topics.binary_search_by(|topic| topic.name.as_str().cmp(name)) {
            Ok(index) => index,
            Err(index) => {
                self.topics.insert(index, RememberedTopic { name: name.to_owned(), partitions: 0, written: false });
                index
            }
        };
        &mut self.topics[index]
    }

    /// Keys are spread over so many partitions of the topic from now on.
    pub fn topic_spread(&mut self, name: &str, partitions: u32) {
        self.topic_mut(name).partitions = partitions;
    }

    /// A message of this task is in the topic.
    pub fn topic_written(&mut self, name: &str) {
        self.topic_mut(name).written = true;
    }
}

/// `primary_key`, `{columns: [a, b]}`.
fn policy_text(policy: &PartitionPolicy) -> String {
    match policy {
        PartitionPolicy::Zero => "zero".to_owned(),
        PartitionPolicy::Table => "table".to_owned(),
        PartitionPolicy::PrimaryKey => "primary_key".to_owned(),
        PartitionPolicy::Columns(names) => format!("{{columns: [{}]}}", names.join(", ")),
    }
}

/// Everything in `format` that changes a byte of a row's message.
fn format_options(format: &Format) -> Vec<(String, String)> {
    let label = |form, number: &str| match form {
        LabelOrNumber::Label => "label".to_owned(),
        LabelOrNumber::Number => number.to_owned(),
    };
    let (name, options) = match format {
        Format::CanalJson(CanalOptions {
            profile,
            time_zone_offset_s,
            enums,
            sets,
            mysql_type,
            old,
            ddl_type,
            zero_date,
        }) => (
            "canal_json",
            vec![
                ("profile", word(Profile::WORDS, *profile)),
                ("time_zone", offset_text(*time_zone_offset_s)),
                ("enum", label(*enums, "index")),
                ("set", label(*sets, "bits")),
                ("mysql_type", word(MysqlTypeText::WORDS, *mysql_type)),
                ("old", word(ColumnsInOld::WORDS, *old)),
                ("ddl_type", word(DdlType::WORDS, *ddl_type)),
                ("zero_date", word(ZeroDate::WORDS, *zero_date)),
            ],
        ),
        Format::DtsAvro(AvroOptions { enums, sets, zero_date, transactions, heartbeats }) => (
            "dts_avro",
            vec![
                ("enum", label(*enums, "index")),
                ("set", label(*sets, "bits")),
                ("zero_date", word(ZeroDate::WORDS, *zero_date)),
                ("transactions", transactions.to_string()),
                ("heartbeats", heartbeats.to_string()),
            ],
        ),
    };
    let options = options.into_iter().map(|(option, value)| (format!("format.{name}.{option}"), value));
    std::iter::once(("format".to_owned(), name.to_owned())).chain(options).collect()
}

/// The word by which a task file calls a value.
fn word<T: Copy + PartialEq>(words: &[(&str, T)], value: T) -> String {
    let found = words.iter().find(|(_, meaning)| *meaning == value);
    found.map(|(word, _)| (*word).to_owned()).expect("every value has its word")
}

/// `+08:00`.
fn offset_text(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}
