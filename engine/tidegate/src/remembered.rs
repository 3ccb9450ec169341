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

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::checkpoint::{Checkpoint, SourceIdentity};
use crate::config::{AvroOptions, CanalOptions, Format, NonEmptyTopics, Profile, SourceOptions, TableSelection, Task};
use crate::pipeline::route::{
    RouteError, ddl_topic_of_table, dead_letter_topic_of_table, rule_of, target_of_table, topic_of_table,
};
use tidegate_format::encode::canal_json::{MysqlType, OldColumns, StatementType};
use tidegate_format::encode::text::{EnumText, SetText};
use tidegate_format::encode::zero_dates::Substitute;
use tidegate_format::key::KeyPolicy;
use tidegate_format::partition::{PartitionHash, PartitionPolicy};
use tidegate_model::words::word_of;
use tidegate_model::{Table, TableName};
use tidegate_mysql::check::list_names;
use tidegate_mysql::ledger::{Ledger, TableChunks};
use tidegate_sink::{TopicIdentity, TopicLook};

/// A table that the task has taken up, and what has become of its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedTable {
    pub name: TableName,
    pub load: LoadState,
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
    /// An entry of [`Checkpoint::topics`].
    pub topic: String,
    /// `partition`, as a task file has it.
    pub partition: String,
    /// `key`, as a task file has it.
    #[serde(default = "no_key")]
    pub key: String,
}

/// What messages had for a key before there were any.
fn no_key() -> String {
    key_text(None)
}

impl RememberedTable {
    /// As the task file has it.
    pub fn of(task: &Task, name: &TableName, load: LoadState) -> Result<RememberedTable, RouteError> {
        let rule = rule_of(task, name);
        Ok(RememberedTable {
            name: name.clone(),
            load,
            target: Some(target_of_table(&task.tables, name)?).filter(|target| target != name),
            filter: rule.filter.clone(),
            select: rule.select.clone(),
            columns: rule.columns.as_ref().map(ToString::to_string),
            topic: topic_of_table(task, name)?,
            partition: policy_text(&rule.partition),
            key: key_text(rule.key.as_ref()),
        })
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
}

/// What is the same for all tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedTask {
    /// Paths of the task file and their values: the format, then its options.
    pub format: Vec<(String, String)>,
    pub partition_hash: String,
    #[serde(default)]
    pub tombstones: bool,
    #[serde(default)]
    pub headers: Vec<String>,
    pub full_load: bool,
    /// The entries of `tables`, as they are written.
    pub entries: Vec<String>,
}

impl RememberedTask {
    pub fn of(task: &Task) -> RememberedTask {
        RememberedTask {
            format: format_options(&task.format),
            partition_hash: word_of(PartitionHash::WORDS, task.partition_hash).to_owned(),
            tombstones: task.tombstones,
            headers: task.headers.iter().map(|header| header.name().to_owned()).collect(),
            full_load: task.full_load.is_some(),
            entries: task.tables.entries().to_vec(),
        }
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

/// One way in which a task is not the one that began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The name by which it can be accepted; `None` for one that harms nobody.
    pub accept: Option<Accept>,
    /// What was, and what is.
    pub what: String,
    /// What follows for rows that have been sent, and for those that have not.
    pub means: &'static str,
}

/// A start that somebody has to decide about.
#[derive(Debug, thiserror::Error)]
#[error("task {task} was not started, because of what would follow:{}", list(differences))]
pub struct Refused {
    pub task: String,
    /// Where its state was looked for.
    pub folder: PathBuf,
    pub differences: Vec<Difference>,
}

fn list(differences: &[Difference]) -> String {
    differences.iter().map(|Difference { what, means, .. }| format!("\n  {what}\n    {means}")).collect()
}

impl Refused {
    /// All the ways on.
    pub fn hint(&self) -> String {
        let mut names: Vec<Accept> = self.differences.iter().filter_map(|difference| difference.accept).collect();
        names.sort();
        names.dedup();
        let folder = self.folder.display();
        let mut ways = Vec::new();
        if names.contains(&Accept::NonEmptyTopics) {
            ways.push(format!(
                "if the task has run before, point `state` to its folder (it was looked for in {folder}), or delete the \
                 topics to begin anew; if other tasks write to the topics, `non_empty_topics: accept` under `sink` says so"
            ));
        }
        if names.iter().any(|name| *name != Accept::NonEmptyTopics) {
            ways.push(format!(
                "put back what was; or begin anew with a full load: move the state folder {folder} away and delete the \
                 topics"
            ));
        }
        let names: Vec<String> = names.into_iter().map(Accept::name).collect();
        ways.push(format!("or go on with these consequences: tidegate run --accept {}", names.join(",")));
        ways.join("; ")
    }
}

/// The topics of a task as they are, by name; `None` for one that does not exist.
pub type Topics = BTreeMap<String, Option<TopicLook>>;

/// Topics to which a task would write, those of statements too.
pub fn topics_in_use(stored: &Checkpoint, task: &Task, tables: &[Arc<Table>]) -> Result<BTreeSet<String>, RouteError> {
    let mut topics = BTreeSet::new();
    for name in names_in_use(stored, task, tables) {
        topics.insert(topic_of_table(task, &name)?);
        topics.extend(ddl_topic_of_table(task, &name)?);
        topics.extend(dead_letter_topic_of_table(task, &name)?);
    }
    Ok(topics)
}

/// The tables that are there; of binlog files, which show theirs later, those that are known by name.
fn names_in_use(stored: &Checkpoint, task: &Task, tables: &[Arc<Table>]) -> BTreeSet<TableName> {
    let mut names: BTreeSet<TableName> = tables.iter().map(|table| table.name().clone()).collect();
    if matches!(task.source, SourceOptions::BinlogFiles(_)) {
        names.extend(task.tables.exact_names().map(|(database, table)| TableName::new(database, table)));
        let met = stored.tables.iter().map(|(name, _)| name);
        names.extend(met.filter(|name| is_selected(task, name)).cloned());
    }
    names
}

fn is_selected(task: &Task, name: &TableName) -> bool {
    task.tables.matches(&name.database, &name.table).is_some()
}

/// Everything in which the task is not the one that left this checkpoint. `tables` are those that are there, `topics` those
/// in use.
pub fn compare(
    stored: &Checkpoint,
    task: &Task,
    tables: &[Arc<Table>],
    topics: &Topics,
) -> Result<Vec<Difference>, RouteError> {
    let mut found = Found::default();
    match &stored.remembered {
        Some(was) if stored.has_begun() => {
            compare_task(stored, was, &RememberedTask::of(task), &mut found);
            for table in stored.tables.values() {
                compare_table(table, task, &mut found)?;
            }
            let selected = was.selection(task);
            for table in tables.iter().filter(|table| stored.remembered_table(table.name()).is_none()) {
                let means = match Addition::of(stored, &selected, task, table.name()) {
                    Addition::Loaded => "it is loaded, and changes wait for it",
                    Addition::New => {
                        "it was made after the last run: it is followed from its CREATE TABLE on, or loaded where that is not in \
                         the binlog"
                    }
                    Addition::ChangesOnly => "without a full load its changes are sent from now on",
                };
                found.add_named(None, "table ", table.name(), "has been added", means);
            }
            if stored.source == SourceIdentity::BinlogFiles && was.entries != task.tables.entries() {
                let what =
                    format!("tables was [{}], is [{}]", was.entries.join(", "), task.tables.entries().join(", "));
                let means = "changes of added tables in what has been read already are not sent";
                found.add(Some(Accept::Tables), &what, means);
            }
            compare_topics(stored, topics, &mut found);
        }
        // Remembered from now on.
        None if stored.has_begun() => return Ok(Vec::new()),
        _ => {}
    }
    if task.non_empty_topics == NonEmptyTopics::Refuse {
        // Statements may share a topic with anybody's.
        for table in names_in_use(stored, task, tables) {
            let topic = topic_of_table(task, &table)?;
            let look = topics.get(&topic).copied().flatten();
            if stored.remembered_topic(&topic).is_none() && look.is_some_and(|look| look.holds_messages) {
                found.add_named(
                    Some(Accept::NonEmptyTopics),
                    "topic ",
                    &topic,
                    "holds messages, and there is no state that says who wrote them",
                    "if this task did, and its state is lost, rows come again that its consumers have, and rows that were \
                     deleted meanwhile stay with them",
                );
            }
        }
    }
    Ok(found.into_differences())
}

/// Says what harms nobody, and what has been accepted; refuses the rest.
pub fn refuse(differences: Vec<Difference>, task: &Task, accept: &[Accept]) -> Result<(), Refused> {
    let is_accepted = |difference: &Difference| difference.accept.is_none_or(|name| accept.contains(&name));
    let (accepted, open): (Vec<_>, Vec<_>) = differences.into_iter().partition(is_accepted);
    if !open.is_empty() {
        return Err(Refused { task: task.name.clone(), folder: task.state.clone(), differences: open });
    }
    for Difference { accept, what, means } in accepted {
        match accept {
            None => info!("{what}: {means}"),
            Some(name) => warn!(accepted = name.name(), "{what}: {means}"),
        }
    }
    Ok(())
}

fn compare_task(stored: &Checkpoint, was: &RememberedTask, is: &RememberedTask, found: &mut Found) {
    const FORMAT: &str =
        "messages are written in another form from now on; rows that were sent keep the old one until they change";
    for (option, is) in &is.format {
        // Another format has other options, and a version of tidegate may know more of them than one before.
        let was = was.format.iter().find(|(known, _)| known == option).map(|(_, was)| was);
        if let Some(was) = was.filter(|was| *was != is) {
            found.add(Some(Accept::Format), &format!("{option} was {was}, is {is}"), FORMAT);
        }
    }
    if was.partition_hash != is.partition_hash {
        let what = format!("sink.partition_hash was {}, is {}", was.partition_hash, is.partition_hash);
        found.add(Some(Accept::Partitions), &what, KEYS_MOVE);
    }
    if was.tombstones != is.tombstones {
        let what = format!("sink.tombstones was {}, is {}", was.tombstones, is.tombstones);
        let means = match is.tombstones {
            true => {
                "rows that were deleted before leave none: a topic that is compacted keeps the messages of their deletion"
            }
            false => {
                "deleted rows leave none from now on: a topic that is compacted keeps the messages of their deletion"
            }
        };
        found.add(Some(Accept::Key), &what, means);
    }
    if was.headers != is.headers {
        let list = |headers: &[String]| format!("[{}]", headers.join(", "));
        let what = format!("sink.headers was {}, is {}", list(&was.headers), list(&is.headers));
        found.add(Some(Accept::Format), &what, "messages that were sent keep the headers that they have");
    }
    match (was.full_load, is.full_load) {
        (false, true) => {
            found.add(
                None,
                "full_load was false, and is switched on",
                "tables that were not loaded are, and changes wait for them",
            );
        }
        (true, false) if stored.tables.values().any(|table| table.load == LoadState::Wanted) => found.add(
            Some(Accept::FullLoad),
            "full_load is switched off before the full load has ended",
            "rows that it has not reached are not sent until they change",
        ),
        _ => {}
    }
}

const KEYS_MOVE: &str =
    "keys move to other partitions, where a consumer may meet a change of a row before an older one of the same row";

fn compare_table(was: &RememberedTable, task: &Task, found: &mut Found) -> Result<(), RouteError> {
    let name = &was.name;
    if !is_selected(task, name) {
        let means = "its rows stay with the consumers as they are; if it is taken up again, it counts as added";
        found.add_named(Some(Accept::Tables), "table ", name, "is no longer selected", means);
        return Ok(());
    }
    let is = RememberedTable::of(task, name, was.load)?;
    let list = |items: &Option<Vec<String>>| items.as_ref().map(|items| format!("[{}]", items.join(", ")));
    const OLD_COLUMNS: &str = "rows that were sent keep the old columns until they change";
    const OTHER_KEYS: &str = "rows that were sent stay under their old keys, where a topic that is compacted keeps them for ever, and \
                              consumers who look rows up by key find two";
    let one = |was: &str, is: &str| (Some(was.to_owned()), Some(is.to_owned()));
    let target = one(&was.target().to_string(), &is.target().to_string());
    let (select, columns) = ((list(&was.select), list(&is.select)), (was.columns.clone(), is.columns.clone()));
    let key = one(&was.key, &is.key);
    let mut options = Vec::new();
    // Keys that are hashed move with it.
    if task.partition_hash == PartitionHash::Murmur2 {
        options.push((Accept::Partitions, "key of ", key.clone(), KEYS_MOVE));
    }
    // And what is hashed together with the name.
    let hashes_name =
        task.partition_hash == PartitionHash::Canal || is.partition == policy_text(&PartitionPolicy::Table);
    if hashes_name && is.partition != policy_text(&PartitionPolicy::Zero) {
        options.push((Accept::Partitions, "name of ", target.clone(), KEYS_MOVE));
    }
    // Names stand in keys.
    let renames =
        |columns: &Option<String>| columns.as_ref().is_some_and(|text| text.to_ascii_lowercase().contains(" as "));
    for columns in [&select, &columns] {
        if was.key == is.key && is.key != no_key() && (renames(&columns.0) || renames(&columns.1)) {
            let means = "if a column of the key has another name by it, all keys are others: rows that were sent stay under their old ones";
            options.push((Accept::Key, "names of columns of ", columns.clone(), means));
        }
    }
    options.extend([
        (
            Accept::As,
            "name of ",
            target,
            "rows that were sent keep the old name, and consumers take changes under the new one for rows of another table, which \
             they never had",
        ),
        (
            Accept::Filter,
            "where of ",
            (was.filter.clone(), is.filter.clone()),
            "rows that pass only now are not sent until they change, and then as an update of a row that nobody has; \
             rows that pass no longer stay with the consumers, who hear neither of their changes nor of their deletion",
        ),
        (Accept::Select, "select of ", select, OLD_COLUMNS),
        (Accept::Select, "columns of ", columns, OLD_COLUMNS),
        (
            Accept::Topic,
            "topic of ",
            one(&was.topic, &is.topic),
            "rows that were sent stay in the old topic, and the new one gets changes of rows that it never had",
        ),
        (Accept::Key, "key of ", key, OTHER_KEYS),
        (Accept::Partitions, "partition of ", one(&was.partition, &is.partition), KEYS_MOVE),
    ]);
    for (accept, option, (was, is), means) in options {
        if was != is {
            let text = |value: Option<String>| value.unwrap_or_else(|| "not set".to_owned());
            found.add_named(Some(accept), option, name, &format!("was {}, is {}", text(was), text(is)), means);
        }
    }
    Ok(())
}

fn is_another(was: Option<TopicIdentity>, is: Option<TopicIdentity>) -> bool {
    was.zip(is).is_some_and(|(was, is)| was != is)
}

fn compare_topics(stored: &Checkpoint, topics: &Topics, found: &mut Found) {
    let in_use = topics.iter().filter_map(|(name, look)| stored.remembered_topic(name).map(|was| (name, was, look)));
    for (name, was, look) in in_use {
        const GONE: &str = "the rows that were in it are gone with it; a new one gets changes only";
        match look {
            None => found.add_named(Some(Accept::DeletedTopics), "topic ", name, "does not exist any more", GONE),
            Some(look) if (was.written && !look.was_written) || is_another(was.identity, look.identity) => {
                found.add_named(Some(Accept::DeletedTopics), "topic ", name, "was deleted and made again", GONE);
            }
            Some(_) => {}
        }
        if let Some(look) = look
            && look.partitions != was.partitions
        {
            let what = format!("had {} partitions, has {}", was.partitions, look.partitions);
            found.add_named(Some(Accept::Partitions), "topic ", name, &what, KEYS_MOVE);
        }
    }
}

/// What becomes of a table that was not there when the task ran last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Addition {
    /// Its rows are read.
    Loaded,
    /// It would have been selected before: it is new, and reading tells whether its rows are in the binlog.
    New,
    /// No rows are asked for.
    ChangesOnly,
}

impl Addition {
    fn of(stored: &Checkpoint, selected: &TableSelection<()>, task: &Task, name: &TableName) -> Addition {
        let is_server = matches!(
            stored.source,
            SourceIdentity::Server { .. } | SourceIdentity::GtidDomain | SourceIdentity::MariadbDomains
        );
        // A change of any table may have been sent.
        let has_followed = stored.position.is_some() || stored.ledger.as_ref().is_none_or(Ledger::all_done);
        let follows = is_server && task.incremental.is_some() && has_followed;
        if task.full_load.is_none() {
            Addition::ChangesOnly
        } else if follows && selected.matches(&name.database, &name.table).is_some() {
            Addition::New
        } else {
            Addition::Loaded
        }
    }
}

/// Differences, with what is the same of many tables or topics in one line.
#[derive(Default)]
struct Found(Vec<Line>);

#[derive(PartialEq)]
struct Line {
    accept: Option<Accept>,
    /// What stands before the names, if it is about some.
    of: &'static str,
    what: String,
    means: &'static str,
    /// Tables or topics.
    names: Vec<String>,
}

impl Found {
    fn add(&mut self, accept: Option<Accept>, what: &str, means: &'static str) {
        self.add_line(Line { accept, of: "", what: what.to_owned(), means, names: Vec::new() });
    }

    fn add_named(
        &mut self,
        accept: Option<Accept>,
        of: &'static str,
        name: &dyn std::fmt::Display,
        what: &str,
        means: &'static str,
    ) {
        self.add_line(Line { accept, of, what: format!(" {what}"), means, names: vec![name.to_string()] });
    }

    fn add_line(&mut self, line: Line) {
        let same = |known: &&mut Line| {
            (known.accept, known.of, &known.what, known.means) == (line.accept, line.of, &line.what, line.means)
        };
        match self.0.iter_mut().find(same) {
            Some(known) if line.names.iter().all(|name| known.names.contains(name)) => {}
            Some(known) => known.names.extend(line.names),
            None => self.0.push(line),
        }
    }

    fn into_differences(self) -> Vec<Difference> {
        let difference = |Line { accept, of, what, means, names }: Line| Difference {
            accept,
            what: format!("{of}{}{what}", list_names(&names)),
            means,
        };
        self.0.into_iter().map(difference).collect()
    }
}

/// Remembers the task as it is at a start: the tables that are there, and the topics as they were found.
pub fn take_up_all(
    checkpoint: &mut Checkpoint,
    task: &Task,
    tables: &[Arc<Table>],
    topics: &Topics,
) -> Result<(), RouteError> {
    let begun = checkpoint.has_begun();
    let selected = checkpoint.remembered.as_ref().map(|was| was.selection(task));
    let load = |checkpoint: &Checkpoint, name: &TableName| match (&selected, &checkpoint.ledger) {
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
    let tables = &checkpoint.tables;
    let in_use: BTreeSet<&str> = tables.values().map(|table| table.topic.as_str()).collect();
    checkpoint.topics.retain(|name, _| match topics.get(name) {
        Some(look) => look.is_some(),
        None => !left_out.contains(name) || in_use.contains(name.as_str()),
    });
    for (name, look) in topics {
        let was_written = look.is_some_and(|look| look.was_written);
        if checkpoint.remembered_topic(name).is_some() || without_memory {
            let topic = checkpoint.topic_mut(name);
            topic.written = was_written && (topic.written || without_memory);
            topic.identity = look.and_then(|look| look.identity).or(topic.identity);
        }
    }
    checkpoint.remembered = Some(RememberedTask::of(task));
    Ok(())
}

impl Checkpoint {
    /// Whether a message may have been sent.
    pub fn has_begun(&self) -> bool {
        let is_server = matches!(
            self.source,
            SourceIdentity::Server { .. } | SourceIdentity::GtidDomain | SourceIdentity::MariadbDomains
        );
        // A server's position is on disk before the first row leaves, that of files after it was delivered.
        self.ledger.is_some()
            || self.position.is_some()
            || !self.row_groups.is_empty()
            || (!is_server && self.remembered.is_some())
    }

    pub fn remembered_table(&self, name: &TableName) -> Option<&RememberedTable> {
        self.tables.get(name)
    }

    /// Remembers how a table's rows leave from now on; its `load` is for one that was not known.
    pub fn take_up(&mut self, table: RememberedTable) {
        let load = self.tables.get(&table.name).map_or(table.load, |known| known.load);
        self.tables.insert(table.name.clone(), RememberedTable { load, ..table });
    }

    /// Rows of the table are to be read that are not known to be delivered.
    pub fn load_wanted(&mut self, name: &TableName) {
        self.set_load(name, LoadState::Wanted);
    }

    /// Every row that was there is delivered.
    pub fn table_loaded(&mut self, name: &TableName) {
        self.set_load(name, LoadState::Done);
    }

    fn set_load(&mut self, name: &TableName, load: LoadState) {
        if let Some(table) = self.tables.get_mut(name) {
            table.load = load;
        }
    }

    pub fn remembered_topic(&self, name: &str) -> Option<&RememberedTopic> {
        self.topics.get(name)
    }

    fn topic_mut(&mut self, name: &str) -> &mut RememberedTopic {
        let new = || RememberedTopic { name: name.to_owned(), partitions: 0, written: false, identity: None };
        self.topics.get_or_insert_with(&name.to_owned(), new)
    }

    /// Keys are spread over so many partitions of the topic from now on.
    pub fn topic_spread(&mut self, name: &str, partitions: u32, identity: Option<TopicIdentity>) {
        let topic = self.topic_mut(name);
        topic.partitions = partitions;
        topic.identity = identity.or(topic.identity);
    }

    /// A message of this task is in the topic.
    pub fn topic_written(&mut self, name: &str) {
        self.topic_mut(name).written = true;
    }
}

/// `primary_key`, `{columns: [a, b]}`.
pub fn policy_text(policy: &PartitionPolicy) -> String {
    match policy {
        PartitionPolicy::Zero => "zero".to_owned(),
        PartitionPolicy::Table => "table".to_owned(),
        PartitionPolicy::PrimaryKey => "primary_key".to_owned(),
        PartitionPolicy::Row => "row".to_owned(),
        PartitionPolicy::Columns(names) => format!("{{columns: [{}]}}", names.join(", ")),
    }
}

/// `none`, `json`, `{columns: [a, b], form: json}`.
fn key_text(policy: Option<&KeyPolicy>) -> String {
    match policy {
        None => "none".to_owned(),
        Some(KeyPolicy { form, columns: None }) => form.word().to_owned(),
        Some(KeyPolicy { form, columns: Some(names) }) => {
            format!("{{columns: [{}], form: {}}}", names.join(", "), form.word())
        }
    }
}

/// Everything in `format` that changes a byte of a row's message.
fn format_options(format: &Format) -> Vec<(String, String)> {
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
                ("profile", word_of(Profile::WORDS, *profile).to_owned()),
                ("time_zone", offset_text(*time_zone_offset_s)),
                ("enum", word_of(EnumText::WORDS, *enums).to_owned()),
                ("set", word_of(SetText::WORDS, *sets).to_owned()),
                ("mysql_type", word_of(MysqlType::WORDS, *mysql_type).to_owned()),
                ("old", word_of(OldColumns::WORDS, *old).to_owned()),
                ("ddl_type", word_of(StatementType::WORDS, *ddl_type).to_owned()),
                ("zero_date", word_of(Substitute::WORDS, *zero_date).to_owned()),
            ],
        ),
        Format::DtsAvro(AvroOptions { enums, sets, zero_date, transactions, heartbeats }) => (
            "dts_avro",
            vec![
                ("enum", word_of(EnumText::WORDS, *enums).to_owned()),
                ("set", word_of(SetText::WORDS, *sets).to_owned()),
                ("zero_date", word_of(Substitute::WORDS, *zero_date).to_owned()),
                ("transactions", transactions.to_string()),
                ("heartbeats", heartbeats.to_string()),
            ],
        ),
    };
    let options = options.into_iter().map(|(option, value)| (format!("format.{name}.{option}"), value));
    std::iter::once(("format".to_owned(), name.to_owned())).chain(options).collect()
}

/// `+08:00`.
fn offset_text(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use tidegate_model::state::Keyed;
    use tidegate_model::{Coordinate, Position, TableParts};

    fn task(rest: &str) -> Task {
        let source = "source: {mysql: mysql://tide@db}";
        let format = if rest.contains("format:") { "" } else { "format: canal_json" };
        let sink = if rest.contains("sink:") { "" } else { "sink: {kafka: b}" };
        config::parse("t.yaml", &format!("task: shop\n{source}\n{sink}\n{format}\n{rest}\n")).unwrap()
    }

    fn table(name: &str) -> Arc<Table> {
        let name = TableName::new("shop", name);
        Arc::new(Table::from(TableParts { name, version: 1, columns: Vec::new(), unique_keys: Vec::new() }))
    }

    /// All topics in use, as one that has messages of the task.
    fn topics(stored: &Checkpoint, task: &Task, tables: &[Arc<Table>], look: Option<TopicLook>) -> Topics {
        topics_in_use(stored, task, tables).unwrap().into_iter().map(|topic| (topic, look)).collect()
    }

    const WRITTEN: TopicLook =
        TopicLook { partitions: 3, holds_messages: true, was_written: true, identity: Some((7, 1)) };

    /// What such a task leaves after its full load.
    fn checkpoint(task: &Task, names: &[&str]) -> Checkpoint {
        let tables: Vec<_> = names.iter().map(|name| table(name)).collect();
        let mut checkpoint = Checkpoint::new(&task.name, SourceIdentity::GtidDomain);
        let topics = topics(&checkpoint, task, &tables, None);
        take_up_all(&mut checkpoint, task, &tables, &topics).unwrap();
        for topic in topics.keys() {
            checkpoint.topic_spread(topic, 3, Some((7, 1)));
            checkpoint.topic_written(topic);
        }
        for name in names {
            checkpoint.table_loaded(&TableName::new("shop", name));
        }
        let coordinate = Coordinate::new("binlog.000001", 4);
        checkpoint.position = Some(Position::new(coordinate, None));
        checkpoint
    }

    /// `filter: where of shop.a was …` for each difference.
    fn differences(stored: &Checkpoint, task: &Task, names: &[&str], look: Option<TopicLook>) -> Vec<String> {
        let tables: Vec<_> = names.iter().map(|name| table(name)).collect();
        let topics = topics(stored, task, &tables, look);
        let found = compare(stored, task, &tables, &topics).unwrap();
        let name = |accept: Option<Accept>| accept.map_or("harmless".to_owned(), Accept::name);
        found.into_iter().map(|found| format!("{}: {}", name(found.accept), found.what)).collect()
    }

    const TABLES: &str = "tables: [shop.a, shop.b]";

    #[test]
    fn the_same_task_is_the_same() {
        let text = "tables: [{table: 'shop.*', where: c > 1, select: [a, upper(b) AS b], partition: {columns: [a]}}]
sink: {kafka: b, topic: x, ddl_topic: y}
incremental: {ddl: forward}
format: {dts_avro: {enum: index}}";
        let stored = checkpoint(&task(text), &["a", "b"]);
        assert_eq!(differences(&stored, &task(text), &["a", "b"], Some(WRITTEN)), [""; 0]);
        // Nor does a table differ that was dropped meanwhile, or anything that does not concern rows.
        let text = format!("{text}\nmemory: 100MiB\nretry: {{connection: 5s}}\n");
        assert_eq!(differences(&stored, &task(&text), &["a"], Some(WRITTEN)), [""; 0]);
    }

    #[test]
    fn what_decides_about_rows_and_bytes_is_compared() {
        let stored = checkpoint(&task(TABLES), &["a", "b"]);
        for (text, expected) in [
            (
                "tables: [{table: shop.a, where: \"c = 'x {}'\"}, shop.b]",
                &["filter: where of shop.a was not set, is c = 'x {}'"][..],
            ),
            (
                "tables: [{table: 'shop.*', select: [a, b]}]",
                &["select: select of shop.a, shop.b was not set, is [a, b]"],
            ),
            (
                "tables: [{table: shop.a, topic: x}, {table: shop.b, partition: {columns: [c, d]}}]",
                &[
                    "topic: topic of shop.a was shop.a, is x",
                    "partitions: partition of shop.b was primary_key, is {columns: [c, d]}",
                    "non_empty_topics: topic x holds messages, and there is no state that says who wrote them",
                ],
            ),
            (
                "tables: [{table: shop.a, key: {columns: [c, d], form: text}}, shop.b]",
                &["key: key of shop.a was none, is {columns: [c, d], form: text}"],
            ),
            (
                "tables: [{table: shop.a, as: x.a, topic: shop.a, partition: table}, shop.b]",
                &[
                    "partitions: name of shop.a was shop.a, is x.a",
                    "as: name of shop.a was shop.a, is x.a",
                    "partitions: partition of shop.a was primary_key, is table",
                ],
            ),
            (
                "tables: ['shop.*']\nsink: {kafka: b, key: json, tombstones: true, headers: [op, gtid], partition_hash: murmur2}",
                &[
                    "partitions: sink.partition_hash was dts, is murmur2",
                    "key: sink.tombstones was false, is true",
                    "format: sink.headers was [], is [op, gtid]",
                    "partitions: key of shop.a, shop.b was none, is json",
                    "key: key of shop.a, shop.b was none, is json",
                ],
            ),
            (
                "tables: [shop.a, shop.b]\nsink: {kafka: b, partition_hash: canal, non_empty_topics: accept}",
                &["partitions: sink.partition_hash was dts, is canal"],
            ),
            (
                "tables: [shop.a, shop.b]\nformat: {canal_json: {profile: dts, enum: index, time_zone: '-03:30'}}",
                &[
                    "format: format.canal_json.profile was canal, is dts",
                    "format: format.canal_json.time_zone was +00:00, is -03:30",
                    "format: format.canal_json.set was bits, is label",
                    "format: format.canal_json.ddl_type was kind, is ddl",
                ],
            ),
            ("tables: [shop.a, shop.b]\nformat: dts_avro", &["format: format was canal_json, is dts_avro"]),
        ] {
            assert_eq!(differences(&stored, &task(text), &["a", "b"], Some(WRITTEN)), expected, "{text}");
        }
    }

    #[test]
    fn names_of_columns_are_in_keys() {
        let with = |more: &str| task(&format!("tables: [{{table: shop.a{more}}}]\nsink: {{kafka: b, key: json}}"));
        let stored = checkpoint(&with(""), &["a"]);
        assert_eq!(
            differences(&stored, &with(", columns: ['*', a AS z]"), &["a"], Some(WRITTEN)),
            [
                "key: names of columns of shop.a was not set, is [*, a AS z]",
                "select: columns of shop.a was not set, is [*, a AS z]"
            ]
        );
        assert_eq!(
            differences(&stored, &with(", columns: ['!c']"), &["a"], Some(WRITTEN)),
            ["select: columns of shop.a was not set, is [!c]"]
        );
    }

    /// One that was written before there were keys.
    #[test]
    fn an_old_checkpoint_had_no_keys() {
        let table: RememberedTable = serde_json::from_str(
            r#"{"name": {"database": "shop", "table": "a"}, "load": "done", "filter": null, "select": null,
                "topic": "shop.a", "partition": "primary_key"}"#,
        )
        .unwrap();
        assert_eq!(table.key, "none");
    }

    /// A name is compared as it comes out, however the task file makes it.
    #[test]
    fn names_where_tables_go_are_compared() {
        let named = task("tables: [{table: 'shop.*', as: 'crm.{table}', columns: ['!x']}]");
        let stored = checkpoint(&named, &["a", "b"]);
        let same = "tables: [{table: shop.a, as: crm.a, columns: ['!x']}, {table: shop.b, as: crm.b, columns: ['!x']}]";
        assert_eq!(differences(&stored, &task(same), &["a", "b"], Some(WRITTEN)), [""; 0]);
        let sink = "sink: {kafka: b, topic: 'crm.{table}', non_empty_topics: accept}";
        for (text, expected) in [
            (
                "tables: [{table: 'shop.*', columns: ['!x']}]",
                &["as: name of shop.a was crm.a, is shop.a", "as: name of shop.b was crm.b, is shop.b"][..],
            ),
            (
                "tables: [{table: 'shop.*', as: 'crm.{table}', columns: ['!x', '!y']}]",
                &["select: columns of shop.a, shop.b was [!x], is [!x, !y]"],
            ),
        ] {
            let found = differences(&stored, &task(&format!("{text}\n{sink}")), &["a", "b"], Some(WRITTEN));
            assert_eq!(found, expected, "{text}");
        }
        // What an earlier version has left had the source's names.
        let mut old = checkpoint(&task(TABLES), &["a", "b"]);
        let json = serde_json::to_value(old.remembered_table(&TableName::new("shop", "a"))).unwrap();
        assert!(json.get("target").is_none() && json.get("columns").is_none(), "{json}");
        // Once accepted, the new one is what counts.
        let is = task(&format!("tables: [{{table: 'shop.*', as: 'crm.{{table}}'}}]\n{sink}"));
        let tables = [table("a"), table("b")];
        let topics = topics(&old, &is, &tables, Some(WRITTEN));
        take_up_all(&mut old, &is, &tables, &topics).unwrap();
        topics.keys().for_each(|topic| old.topic_spread(topic, 3, Some((7, 1))));
        assert_eq!(differences(&old, &is, &["a", "b"], Some(WRITTEN)), [""; 0]);
    }

    #[test]
    fn tables_come_and_go() {
        let stored = checkpoint(&task(TABLES), &["a", "b"]);
        let with_topics = "sink: {kafka: b, non_empty_topics: accept}";
        let added = task(&format!("tables: [shop.a, shop.b, shop.c]\n{with_topics}"));
        assert_eq!(
            differences(&stored, &added, &["a", "b", "c"], Some(WRITTEN)),
            ["harmless: table shop.c has been added"]
        );
        let removed = differences(&stored, &task("tables: [shop.a]"), &["a"], Some(WRITTEN));
        assert_eq!(removed, ["tables: table shop.b is no longer selected"]);
        // A full load that has not ended takes the new table along.
        let mut loading = stored.clone();
        loading.ledger = Some(tidegate_mysql::ledger::Ledger::new(stored.position.clone().unwrap()));
        let found = differences(&loading, &added, &["a", "b", "c"], Some(WRITTEN));
        assert_eq!(found, ["harmless: table shop.c has been added"]);
        // One that the old patterns select has come to be since.
        let pattern = task(&format!("tables: ['shop.*', '!shop.d']\n{with_topics}"));
        let stored = checkpoint(&pattern, &["a", "b"]);
        let found = differences(&stored, &pattern, &["a", "b", "c"], Some(WRITTEN));
        assert_eq!(found, ["harmless: table shop.c has been added"]);
        let without = task(&format!("tables: ['shop.*']\n{with_topics}"));
        let found = differences(&stored, &without, &["a", "b", "c", "d"], Some(WRITTEN));
        assert_eq!(found, ["harmless: table shop.c has been added", "harmless: table shop.d has been added"]);
    }

    #[test]
    fn a_full_load_is_not_forgotten() {
        let off = format!("{TABLES}\nfull_load: false");
        let stored = checkpoint(&task(&off), &["a", "b"]);
        let found = differences(&stored, &task(TABLES), &["a", "b"], Some(WRITTEN));
        assert_eq!(found, ["harmless: full_load was false, and is switched on"]);
        let mut stored = checkpoint(&task(TABLES), &["a", "b"]);
        assert_eq!(differences(&stored, &task(&off), &["a", "b"], Some(WRITTEN)), [""; 0]);
        stored.load_wanted(&TableName::new("shop", "a"));
        let found = differences(&stored, &task(&off), &["a", "b"], Some(WRITTEN));
        assert_eq!(found, ["full_load: full_load is switched off before the full load has ended"]);
    }

    #[test]
    fn topics_are_what_they_were() {
        let one = task("tables: [shop.a]");
        let stored = checkpoint(&one, &["a"]);
        let found = |look| differences(&stored, &one, &["a"], look);
        assert_eq!(found(None), ["deleted_topics: topic shop.a does not exist any more"]);
        let new = TopicLook { partitions: 4, holds_messages: false, was_written: false, identity: None };
        assert_eq!(
            found(Some(new)),
            [
                "deleted_topics: topic shop.a was deleted and made again",
                "partitions: topic shop.a had 3 partitions, has 4"
            ]
        );
        // Messages may have expired.
        assert_eq!(found(Some(TopicLook { holds_messages: false, ..WRITTEN })), [""; 0]);
        assert_eq!(found(Some(TopicLook { identity: None, ..WRITTEN })), [""; 0]);
        let another = TopicLook { identity: Some((7, 2)), ..WRITTEN };
        assert_eq!(found(Some(another)), ["deleted_topics: topic shop.a was deleted and made again"]);
        // Once accepted, it is the one that counts.
        let mut accepted = stored.clone();
        let tables = [table("a")];
        take_up_all(&mut accepted, &one, &tables, &Topics::from([("shop.a".to_owned(), Some(another))])).unwrap();
        assert_eq!(differences(&accepted, &one, &["a"], Some(another)), [""; 0]);
    }

    #[test]
    fn a_task_without_a_state_asks_about_messages() {
        let fresh = Checkpoint::new("shop", SourceIdentity::GtidDomain);
        let found = |text: &str, look| differences(&fresh, &task(text), &["a", "b"], Some(look));
        let expected = |table| {
            format!(
                "non_empty_topics: topic shop.{table} holds messages, and there is no state that says who wrote them"
            )
        };
        assert_eq!(found(TABLES, WRITTEN), [expected("a, shop.b")]);
        assert_eq!(found(TABLES, TopicLook { holds_messages: false, ..WRITTEN }), [""; 0]);
        let shared = format!("{TABLES}\nsink: {{kafka: b, non_empty_topics: accept}}");
        assert_eq!(found(&shared, WRITTEN), [""; 0]);
    }

    #[test]
    fn what_was_accepted_is_what_the_task_is() {
        let was = task(TABLES);
        let mut stored = checkpoint(&was, &["a", "b"]);
        let is = task("tables: [{table: shop.a, where: c > 1}, shop.c]\nformat: dts_avro");
        let tables = [table("a"), table("c")];
        let mut topics = topics(&stored, &is, &tables, Some(WRITTEN));
        topics.insert("shop.a".to_owned(), None);
        take_up_all(&mut stored, &is, &tables, &topics).unwrap();
        // As the router does.
        for topic in topics.keys() {
            stored.topic_spread(topic, 3, Some((7, 1)));
        }
        let unwritten = TopicLook { was_written: false, ..WRITTEN };
        assert_eq!(differences(&stored, &is, &["a", "c"], Some(unwritten)), [""; 0]);
        let names: Vec<String> =
            stored.tables.values().map(|table| format!("{} {:?}", table.name, table.load)).collect();
        assert_eq!(names, ["shop.a Done", "shop.c Wanted"]);
        assert!(stored.topics.values().all(|topic| !topic.written), "{:?}", stored.topics);
    }

    /// A checkpoint of a version that remembered nothing: what is now is what is compared with later.
    #[test]
    fn a_checkpoint_without_memory_is_given_one() {
        let is = task(TABLES);
        let mut stored = checkpoint(&is, &["a", "b"]);
        (stored.tables, stored.topics, stored.remembered) = (Keyed::default(), Keyed::default(), None);
        assert_eq!(differences(&stored, &is, &["a", "b"], Some(WRITTEN)), [""; 0]);
        let tables = [table("a"), table("b")];
        let topics = topics(&stored, &is, &tables, Some(WRITTEN));
        take_up_all(&mut stored, &is, &tables, &topics).unwrap();
        assert!(stored.tables.values().all(|table| table.load == LoadState::Done), "{:?}", stored.tables);
        assert!(stored.topics.values().all(|topic| topic.written), "{:?}", stored.topics);
        for topic in topics.keys() {
            stored.topic_spread(topic, 3, Some((7, 1)));
        }
        let found = differences(&stored, &is, &["a", "b"], None);
        assert_eq!(found, ["deleted_topics: topic shop.a, shop.b does not exist any more"]);
    }

    #[test]
    fn all_is_refused_together_and_accepted_by_name() {
        let difference = |accept, what: &str| Difference { accept, what: what.to_owned(), means: "so" };
        let all = vec![
            difference(Some(Accept::Topic), "one"),
            difference(None, "two"),
            difference(Some(Accept::Filter), "three"),
            difference(Some(Accept::Topic), "four"),
        ];
        let task = task(TABLES);
        let refused = refuse(all.clone(), &task, &[]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "task shop was not started, because of what would follow:\n  one\n    so\n  three\n    so\n  four\n    so"
        );
        assert!(refused.hint().ends_with("tidegate run --accept filter,topic"), "{}", refused.hint());
        assert!(refuse(all.clone(), &task, &[Accept::Filter]).is_err());
        assert!(refuse(all, &task, &[Accept::Filter, Accept::Topic]).is_ok());
    }
}
