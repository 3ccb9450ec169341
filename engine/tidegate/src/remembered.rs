//! Is this still the task that began? What a task has promised to its consumers, and what a changed task file would make
//! of it.
//!
//! ```text
//! checkpoint: tables, topics, task ──┐
//! task file, catalogue ──────────────┼─► compare ─► differences ─► refused together, or accepted by name ─► remembered
//! topics, as they are ───────────────┘
//! ```
//!
//! A checkpoint says how far a task has come. That is only worth something for the task that has come so far: rows that
//! left through one filter are not taken back by another. So everything that decides which rows leave, as which bytes and
//! to where is remembered, and a start that finds it changed says what would follow for the rows that have been sent. It
//! goes on only if each of these consequences is accepted by its name; what is then is what the next start compares with.
//! The memory is on disk before the first row leaves.
//!
//! The other way round, a task without a checkpoint whose topics hold messages may be one that has lost it.

mod compare;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::warn;

use compare::{Addition, is_selected};
pub use compare::{Difference, Refused, TopicLooks, compare, refuse, topics_in_use};

use crate::checkpoint::{Checkpoint, LoadState, RememberedTable, RememberedTask};
use crate::config::{AvroFormat, CanalFormat, Format, Profile, TableSelection, Task};
use crate::pipeline::route::RouteError;
use tidegate_format::encode::canal_json::{MysqlType, OldColumns, StatementType};
use tidegate_format::encode::text::{EnumText, SetText};
use tidegate_format::encode::zero_dates::Substitute;
use tidegate_format::partition::{PartitionHash, PartitionText};
use tidegate_model::words::word_of;
use tidegate_model::{NameCase, Table, TableName};
use tidegate_mysql::check::list_names;
use tidegate_mysql::ledger::TableChunks;
use tidegate_sink::TopicLook;

impl RememberedTask {
    pub fn of(task: &Task) -> RememberedTask {
        RememberedTask {
            format: format_options(&task.format),
            partition_hash: word_of(PartitionHash::WORDS, task.partition_hash).to_owned(),
            partition_text: match task.partition_text {
                PartitionText::Bytes => String::new(),
                text => word_of(PartitionText::WORDS, text).to_owned(),
            },
            tombstones: task.tombstones,
            headers: task.headers.iter().map(|header| header.name().to_owned()).collect(),
            full_load: task.full_load.is_some(),
            entries: task.tables.entries().to_vec(),
            hidden: BTreeSet::new(),
            apart: BTreeSet::new(),
        }
    }

    /// How values are written that may stand in keys: an option of the format, and what it is in a format that has none.
    fn text_option(&self, option: &str) -> &str {
        let is_it = |path: &str| path.rsplit('.').next() == Some(option);
        let found = self.format.iter().find(|(path, _)| is_it(path));
        // Only a zone is missing anywhere.
        found.map_or(UTC, |(_, value)| value)
    }

    /// What the entries select on the server that `task` has.
    fn selection(&self, task: &Task) -> TableSelection<()> {
        let selection = TableSelection::of_entries(&self.entries);
        if task.tables.folds_names() {
            // Two names for one table are an error of a task, and of one that has run they select as they are written.
            _ = selection.fold_names();
        }
        selection
    }
}

/// The tables that the task names one by one, and named or had when it ran before. What merely fits a pattern of before may be misspelt.
pub fn named_before(stored: &Checkpoint, task: &Task) -> BTreeSet<TableName> {
    let Some(remembered) = &stored.remembered else { return BTreeSet::new() };
    let before = remembered.selection(task);
    let before: BTreeSet<_> = before.exact_names().collect();
    let named = task.tables.exact_names().map(|name| (before.contains(&name), TableName::new(name.0, name.1)));
    named.filter(|(before, name)| *before || stored.remembered_table(name).is_some()).map(|(_, name)| name).collect()
}

/// What may be accepted at a start, each by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Accept {
    /// Another `where`: it counts for changes from now on, and no row is sent or taken back because of it.
    Filter,
    /// Another name of a table where it goes: rows that were sent keep the old one.
    As,
    /// Another `select` or `columns`: rows that were sent keep their columns until they change.
    Select,
    /// Another `format`, or options of it that change messages.
    Format,
    /// Another `key`, or tombstones: rows that were sent stay under their old keys.
    Key,
    /// Another topic of a table: it gets changes of rows that it never had.
    Topic,
    /// Keys that move to other partitions: another `partition`, `partition_hash` or number of partitions.
    Partitions,
    /// Topics that were deleted: they are made again, and get changes only.
    DeletedTopics,
    /// Tables left out, or, of binlog files, added.
    Tables,
    /// `full_load` switched off in the middle of it.
    FullLoad,
    /// Topics that hold messages, though nothing says that this task has written them.
    NonEmptyTopics,
}

impl Accept {
    /// The name on the command line.
    pub fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).expect("no name is hidden").get_name().to_owned()
    }
}

/// Remembers the task as it is at a start: the tables that are there, and the topics as they were found.
pub fn take_up_all(
    checkpoint: &mut Checkpoint,
    task: &Task,
    tables: &[Arc<Table>],
    topics: &TopicLooks,
) -> Result<(), RouteError> {
    let begun = checkpoint.has_begun();
    let selected = checkpoint.remembered.as_ref().map(|was| was.selection(task));
    let load = |checkpoint: &Checkpoint, name: &TableName| match (&selected, &checkpoint.source.ledger) {
        _ if task.full_load.is_none() => LoadState::NotWanted,
        (_, Some(ledger)) if ledger.table(name).is_some_and(TableChunks::is_done) => LoadState::Done,
        (Some(selected), _) if begun && Addition::of(checkpoint, selected, task, name) != Addition::Loaded => {
            LoadState::NotWanted
        }
        // Without memory, a ledger that has gone tells that the full load was completed.
        (None, None) if begun => LoadState::Done,
        _ => LoadState::Wanted,
    };
    if checkpoint.remembered.as_ref().is_some_and(|was| !was.full_load) && task.full_load.is_some() {
        let tables = checkpoint.tables.values().filter(|table| table.load == LoadState::NotWanted);
        let not_loaded: Vec<TableName> = tables.map(|table| table.name.clone()).collect();
        not_loaded.iter().for_each(|name| checkpoint.load_wanted(name));
    }
    // Their topics, if nothing else goes there, are forgotten with them.
    let left_out = checkpoint.tables.values().filter(|table| !is_selected(task, &table.name));
    let left_out: BTreeSet<String> = left_out.map(|table| table.topic.clone()).collect();
    checkpoint.tables.retain(|name, _| is_selected(task, name));
    for name in tables.iter().map(|table| table.name()) {
        let load = load(checkpoint, name);
        checkpoint.take_up(RememberedTable::of(task, name, load)?);
    }
    let without_memory = begun && checkpoint.remembered.is_none();
    // A topic that is missing is made again. One of a table that was dropped may be needed again: that this task has written to it
    // is then what keeps a start from being refused.
    let taken_up = &checkpoint.tables;
    let in_use: BTreeSet<&str> = taken_up.values().map(|table| table.topic.as_str()).collect();
    checkpoint.topics.retain(|name, _| match topics.get(name) {
        Some(look) => look.is_some(),
        None => !left_out.contains(name) || in_use.contains(name.as_str()),
    });
    for (name, look) in topics {
        let was_written = look.as_ref().is_some_and(TopicLook::was_written);
        if checkpoint.remembered_topic(name).is_some() || without_memory {
            let topic = checkpoint.topic_mut(name);
            topic.written = was_written && (topic.written || without_memory);
            topic.identity = look.as_ref().and_then(|look| look.identity).or(topic.identity);
            // Of a sink without offsets they are kept: who comes back to the brokers finds what was there.
            if let Some(look) = look.as_ref().filter(|look| !look.ends.is_empty()) {
                topic.ends.clone_from(&look.ends);
            }
        }
    }
    // Those that may be seen now have been taken up.
    let case = if task.tables.folds_names() { NameCase::Folded } else { NameCase::Exact };
    let seen: BTreeSet<TableName> = tables.iter().map(|table| case.key(table.name())).collect();
    let hidden = checkpoint.hidden().filter(|name| is_selected(task, name) && !seen.contains(&case.key(name)));
    let hidden: BTreeSet<TableName> = hidden.cloned().collect();
    if !hidden.is_empty() {
        let names: Vec<&TableName> = hidden.iter().collect();
        warn!(
            hint = "GRANT SELECT on them, and the next start loads them; or exclude them in `tables`",
            "patterns select {}, which the account may not see: nothing of that is sent",
            list_names(&names)
        );
    }
    checkpoint.remembered = Some(RememberedTask { hidden, ..RememberedTask::of(task) });
    Ok(())
}

impl Checkpoint {
    /// Whether the account could not see the table when its rows came: these were nobody's.
    fn hides(&self, name: &TableName, task: &Task) -> bool {
        let case = if task.tables.folds_names() { NameCase::Folded } else { NameCase::Exact };
        self.hidden().any(|hidden| case.key(hidden) == case.key(name))
    }
}

/// Everything in `format` that changes a byte of a row's message.
fn format_options(format: &Format) -> Vec<(String, String)> {
    let (name, options) = match format {
        Format::CanalJson(CanalFormat { profile, rows, ddl_type, zero_date }) => (
            "canal_json",
            vec![
                ("profile", word_of(Profile::WORDS, *profile).to_owned()),
                ("time_zone", offset_text(rows.time_zone_offset_s)),
                ("enum", word_of(EnumText::WORDS, rows.enum_as).to_owned()),
                ("set", word_of(SetText::WORDS, rows.set_as).to_owned()),
                ("mysql_type", word_of(MysqlType::WORDS, rows.mysql_type).to_owned()),
                ("old", word_of(OldColumns::WORDS, rows.old).to_owned()),
                ("ddl_type", word_of(StatementType::WORDS, *ddl_type).to_owned()),
                ("zero_date", word_of(Substitute::WORDS, *zero_date).to_owned()),
            ],
        ),
        Format::DtsAvro(AvroFormat { rows, zero_date, transactions, heartbeats }) => (
            "dts_avro",
            vec![
                ("enum", word_of(EnumText::WORDS, rows.enum_as).to_owned()),
                ("set", word_of(SetText::WORDS, rows.set_as).to_owned()),
                ("zero_date", word_of(Substitute::WORDS, *zero_date).to_owned()),
                ("transactions", transactions.to_string()),
                ("heartbeats", heartbeats.to_string()),
            ],
        ),
    };
    let options = options.into_iter().map(|(option, value)| (format!("format.{name}.{option}"), value));
    std::iter::once(("format".to_owned(), name.to_owned())).chain(options).collect()
}

const UTC: &str = "+00:00";

/// `+08:00`.
fn offset_text(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}
