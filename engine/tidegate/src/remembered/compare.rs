//! In what a task is not the one that began, what follows from each difference, and who has agreed to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use tracing::{info, warn};

use super::Accept;
use crate::checkpoint::memory::no_key;
use crate::checkpoint::{Checkpoint, LoadState, RememberedTable, RememberedTask, SourceIdentity};
use crate::config::{NonEmptyTopics, SourceOptions, TableSelection, Task};
use crate::pipeline::route::{RouteError, plan_partitioner, policy_text, rule_of, topic_of_table, topics_of_table};
use tidegate_format::key::key_columns;
use tidegate_format::partition::{PartitionHash, PartitionPolicy};
use tidegate_model::words::counted;
use tidegate_model::{Column, SqlType, Table, TableName};
use tidegate_mysql::check::list_names;
use tidegate_mysql::ledger::Ledger;
use tidegate_sink::{TopicIdentity, TopicLook};

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
#[error("task {task} was not {}, because of what would follow:{}", done(command), list(differences))]
pub struct Refused {
    pub task: String,
    /// Where its state was looked for.
    pub folder: PathBuf,
    pub differences: Vec<Difference>,
    /// What has been accepted, and will have to be at the next start, too.
    pub accepted: Vec<Accept>,
    /// The command that accepts more.
    pub command: &'static str,
}

fn done(command: &str) -> &'static str {
    if command == "run" { "started" } else { "changed" }
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
            let first = if self.command.starts_with("apply") { "stop the run, " } else { "" };
            ways.push(format!(
                "put back what was; or begin anew with a full load: {first}move the state folder {folder} away and delete the \
                 topics"
            ));
        }
        names.extend(&self.accepted);
        names.sort();
        names.dedup();
        let names: Vec<String> = names.into_iter().map(Accept::name).collect();
        ways.push(format!("or go on with these consequences: tidegate {} --accept {}", self.command, names.join(",")));
        ways.join("; ")
    }
}

/// The topics of a task as they are, by name; `None` for one that does not exist.
pub type TopicLooks = BTreeMap<String, Option<TopicLook>>;

/// Topics to which a task would write, those of statements too.
pub fn topics_in_use(stored: &Checkpoint, task: &Task, tables: &[Arc<Table>]) -> Result<BTreeSet<String>, RouteError> {
    let mut topics = BTreeSet::new();
    for name in names_in_use(stored, task, tables) {
        topics.extend(topics_of_table(task, &name)?);
    }
    Ok(topics)
}

/// The tables that are there, and those whose changes are sent until reading meets what became of them; of binlog files, which show
/// theirs later, those that are known by name.
fn names_in_use(stored: &Checkpoint, task: &Task, tables: &[Arc<Table>]) -> BTreeSet<TableName> {
    let mut names: BTreeSet<TableName> = tables.iter().map(|table| table.name().clone()).collect();
    names.extend(stored.source.followed().filter(|name| is_selected(task, name)).cloned());
    if matches!(task.source, SourceOptions::BinlogFiles(_)) {
        names.extend(task.tables.exact_names().map(|(database, table)| TableName::new(database, table)));
        let met = stored.tables.iter().map(|(name, _)| name);
        names.extend(met.filter(|name| is_selected(task, name)).cloned());
    }
    names
}

pub(super) fn is_selected(task: &Task, name: &TableName) -> bool {
    task.tables.matches(&name.database, &name.table).is_some()
}

/// Everything in which the task is not the one that left this checkpoint. `tables` are those that are there, `topics` those
/// in use.
pub fn compare(
    stored: &Checkpoint,
    task: &Task,
    tables: &[Arc<Table>],
    topics: &TopicLooks,
) -> Result<Vec<Difference>, RouteError> {
    let mut found = Found::default();
    match &stored.remembered {
        Some(was) if stored.has_begun() => {
            let is = RememberedTask::of(task);
            compare_task(stored, was, &is, &mut found);
            let known = tables.iter().filter(|table| stored.remembered_table(table.name()).is_some());
            known.for_each(|table| compare_texts(was, &is, task, table, &mut found));
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
            if stored.identity == SourceIdentity::BinlogFiles && was.entries != task.tables.entries() {
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
            let look = topics.get(&topic).and_then(Option::as_ref);
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
        return Err(Refused {
            task: task.name.clone(),
            folder: task.state.clone(),
            differences: open,
            accepted: accept.to_vec(),
            command: "run",
        });
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
    if was.partition_text != is.partition_text {
        let word = |text: &str| if text.is_empty() { "bytes" } else { text }.to_owned();
        let what = format!("sink.partition_text was {}, is {}", word(&was.partition_text), word(&is.partition_text));
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

/// Values stand in keys, and are hashed, as texts: what writes them otherwise moves rows to other keys and partitions.
fn compare_texts(was: &RememberedTask, is: &RememberedTask, task: &Task, table: &Arc<Table>, found: &mut Found) {
    let [enums, sets, zone] =
        ["enum", "set", "time_zone"].map(|option| was.text_option(option) != is.text_option(option));
    let is_changed = |column: &Column| match column.sql_type {
        SqlType::Enum { .. } => enums,
        SqlType::Set { .. } => sets,
        SqlType::Timestamp { .. } => zone,
        _ => false,
    };
    // Where rows cannot be sent at all, that is said elsewhere.
    let key = rule_of(task, table.name()).key.as_ref().map(|policy| key_columns(policy, table));
    let (Ok(key), Ok(partitioner)) = (key.transpose(), plan_partitioner(task, table, 2)) else { return };
    let in_key = key.unwrap_or_default().into_iter().any(|index| is_changed(&table.columns()[index]));
    if in_key {
        found.add_named(
            Some(Accept::Key),
            "key of ",
            table.name(),
            "has values that the format writes otherwise now",
            OTHER_KEYS,
        );
    }
    let is_hashed = match partitioner.hashes_keys() {
        true => in_key,
        false => zone && partitioner.hashed().any(is_changed),
    };
    if is_hashed {
        found.add_named(
            Some(Accept::Partitions),
            "partition of ",
            table.name(),
            "goes by values that the format writes otherwise now",
            KEYS_MOVE,
        );
    }
}

const OTHER_KEYS: &str = "rows that were sent stay under their old keys, where a topic that is compacted keeps them for ever, and \
                          consumers who look rows up by key find two";
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

fn compare_topics(stored: &Checkpoint, topics: &TopicLooks, found: &mut Found) {
    let in_use = topics.iter().filter_map(|(name, look)| stored.remembered_topic(name).map(|was| (name, was, look)));
    for (name, was, look) in in_use {
        const GONE: &str = "the rows that were in it are gone with it; a new one gets changes only";
        const LOST: &str =
            "it was deleted and made again, or its brokers lost what they had acknowledged; it gets changes only";
        match look {
            None => found.add_named(Some(Accept::DeletedTopics), "topic ", name, "does not exist any more", GONE),
            Some(look) if (was.written && !look.was_written()) || is_another(was.identity, look.identity) => {
                found.add_named(Some(Accept::DeletedTopics), "topic ", name, "was deleted and made again", GONE);
            }
            Some(look) => {
                let mut ends = was.ends.iter().zip(&look.ends).enumerate();
                if let Some((partition, (was, is))) = ends.find(|(_, (was, is))| is < was) {
                    let what = format!("lost messages: partition {partition} ended at offset {was}, and ends at {is}");
                    found.add_named(Some(Accept::DeletedTopics), "topic ", name, &what, LOST);
                }
            }
        }
        if let Some(look) = look
            && look.partitions != was.partitions
        {
            let what = format!("had {}, has {}", counted(was.partitions.into(), "partition"), look.partitions);
            found.add_named(Some(Accept::Partitions), "topic ", name, &what, KEYS_MOVE);
        }
    }
}

/// What becomes of a table that was not there when the task ran last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addition {
    /// Its rows are read.
    Loaded,
    /// It would have been selected before: it is new, and reading tells whether its rows are in the binlog.
    New,
    /// No rows are asked for.
    ChangesOnly,
}

impl Addition {
    pub(super) fn of(stored: &Checkpoint, selected: &TableSelection<()>, task: &Task, name: &TableName) -> Addition {
        let is_server = matches!(
            stored.identity,
            SourceIdentity::Server { .. } | SourceIdentity::GtidDomain | SourceIdentity::MariadbDomains
        );
        // A change of any table may have been sent.
        let has_followed =
            stored.source.position.is_some() || stored.source.ledger.as_ref().is_none_or(Ledger::all_done);
        let follows = is_server && task.incremental.is_some() && has_followed;
        if task.full_load.is_none() {
            Addition::ChangesOnly
        } else if follows && selected.matches(&name.database, &name.table).is_some() && !stored.hides(name, task) {
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
