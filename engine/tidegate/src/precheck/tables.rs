//! What the task file says of tables that are there: what they are called, where they go, and what their keys do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Report, Seen};
use crate::checkpoint::Checkpoint;
use crate::config::{NameError, SinkOptions, SourceOptions, TableRule, TableSelection, Task};
use crate::items;
use crate::pipeline::route::{
    DIFFER_HINT, Keyless, RouteError, SCATTERED_HINT, check_compacted, check_letters, check_table, check_table_of,
    ddl_topic_of_table, dead_letter_topic_of_table, plan_partitioner, plan_transform, rule_of, topic_of_table,
};
use crate::shards;
use tidegate_format::key::key_columns;
use tidegate_format::transform::TransformError;
use tidegate_model::names::is_same;
use tidegate_model::{Index, Table, TableName};
use tidegate_mysql::check::Severity;
use tidegate_mysql::connection::quote_identifier;
use tidegate_sink::kafka::BrokerInfo;

/// Patterns that select nothing, beside others that do.
pub(super) fn check_patterns(task: &Task, tables: &[Arc<Table>], report: &mut Report) {
    if tables.is_empty() {
        return;
    }
    let used: Vec<&TableRule> = tables.iter().map(|table| rule_of(task, table.name())).collect();
    let exact: BTreeSet<String> = task
        .tables
        .exact_names()
        .filter_map(|(database, table)| task.tables.matches(database, table))
        .map(|rule| rule.name.clone())
        .collect();
    for rule in task.tables.rules().filter(|rule| !exact.contains(&rule.name)) {
        if !used.iter().any(|used| std::ptr::eq(*used, rule)) {
            report.say(
                Severity::Warning,
                "tables",
                task.places.place_in_entry(rule.at, "table"),
                format!("the pattern {} selects no table", rule.name),
                "a table that it selects, now or later",
                "correct the pattern: an entry before it, or one that excludes, may have taken all of them; a table that is made later \
                 and matches is taken up",
            );
        }
    }
}

/// Entries that exclude, and take nothing back.
pub(super) fn check_excludes(task: &Task, needless: &[String], report: &mut Report) {
    for entry in needless {
        let is_exact = TableSelection::parse(&[entry[1..].to_owned()]).is_ok_and(|alone| !alone.has_patterns());
        report.say(
            // A pattern may wait for tables that come and go.
            if is_exact { Severity::Warning } else { Severity::Info },
            "tables",
            task.places.place("tables"),
            format!("{entry} excludes no table"),
            "a table that the account sees, and that a pattern selects",
            "correct the entry, or take it out: a table that is named exactly is selected whatever excludes it",
        );
    }
}

/// `chunk_by` of a table that has a key, or no index by which it could be cut.
fn check_chunk_by(task: &Task, table: &Table, report: &mut Report) {
    let columns = &rule_of(task, table.name()).chunk_by;
    if columns.is_empty() {
        return;
    }
    let begins_with = |index: &Index| {
        let parts = index.parts.iter().map(|part| part.column.as_deref().filter(|_| part.prefix.is_none()));
        index.parts.len() >= columns.len()
            && parts.zip(columns).all(|(part, column)| part.is_some_and(|part| is_same(part, column)))
    };
    let indexes = table.groundwork().and_then(|known| known.indexes.as_deref());
    let (found, to_do) = match indexes {
        _ if !table.key().is_empty() => ("its key is what it is cut by", "leave `chunk_by` out"),
        Some(indexes) if !indexes.iter().any(begins_with) => (
            "no index begins with these columns: each chunk reads the whole table",
            "make an index that begins with them, or leave `chunk_by` out: the table is read as one chunk then",
        ),
        _ => return,
    };
    report.say(
        Severity::Warning,
        "chunks",
        place_of_table(task, table.name(), "chunk_by"),
        format!("`chunk_by` of {} is ({}): {found}", table.name(), columns.join(", ")),
        "indexed columns of a table without a key",
        to_do,
    );
}

/// Expressions of which the server would say something else: those of a session in its own zone, and those of MariaDB
/// and of MySQL before 9.
fn check_expressions(task: &Task, table: &Arc<Table>, seen: &Seen, report: &mut Report) {
    const UTC: [&str; 4] = ["", "UTC", "+00:00", "GMT"];
    let Ok(transform) = plan_transform(&task.tables, table) else { return };
    let rule = rule_of(task, table.name());
    for (text, depends_on_zone) in transform.expressions() {
        let place = || {
            place_of_table(task, table.name(), if rule.filter.as_deref() == Some(text) { "where" } else { "select" })
        };
        if depends_on_zone && !UTC.contains(&seen.zone.as_str()) {
            report.say(
                Severity::Warning,
                "expressions",
                place(),
                format!("`{text}` of {} is meant in UTC, and the server's zone is {}", table.name(), seen.zone),
                items::wanted("expressions"),
                "write its dates in UTC: a session in another zone shows and compares a TIMESTAMP, from_unixtime() and unix_timestamp() in that",
            );
        }
        if let Some((server, answers_otherwise)) = seen.otherwise {
            for (name, what) in answers_otherwise(text) {
                report.say(
                    Severity::Warning,
                    "expressions",
                    place(),
                    format!("`{text}` of {} is answered as by MySQL 9; {server} {name}: {what}", table.name()),
                    items::wanted("expressions"),
                    items::to_do("expressions"),
                );
            }
        }
    }
}

/// Keys of text that are hashed by their bytes, while the server takes several of them for one.
fn check_equal_keys(task: &Task, table: &Arc<Table>, report: &mut Report) {
    // As many as the task makes; more than one if it leaves that to the brokers.
    let made = match &task.sink {
        SinkOptions::Kafka(options) => options.create_topics.as_ref().and_then(|create| create.partitions),
        _ => None,
    };
    let Ok(partitioner) = plan_partitioner(task, table, made.unwrap_or(2)) else { return };
    if let Some((column, collation)) = partitioner.scatters_texts().filter(|_| !table.key().is_empty()) {
        let to_do = match partitioner.hashes_keys() {
            true => {
                "it may stay so where no UPDATE changes a key to one that is equal to it (`a` to `A`); murmur2 always hashes bytes: \
                 `partition: zero` keeps the table in one partition, partition_hash: dts with partition_text: collation equal keys"
            }
            false => items::to_do("equal_keys"),
        };
        report.say(
            Severity::Info,
            "equal_keys",
            place_of_table(task, table.name(), "partition"),
            format!(
                "{column} of {} decides about the partition by its bytes; to the server, texts are equal by {collation}",
                table.name()
            ),
            items::wanted("equal_keys"),
            to_do,
        );
    }
}

pub(super) fn place_of_table(task: &Task, table: &TableName, key: &str) -> Option<String> {
    task.places.place_in_entry(task.tables.matches(&table.database, &table.table)?.at, key)
}

/// Whether each table can be sent, and the topics that they go to.
pub(super) fn look_at_tables(
    task: &Task,
    seen: &Seen,
    stored: Option<&Checkpoint>,
    report: &mut Report,
) -> BTreeSet<String> {
    let mut topics = BTreeSet::new();
    for table in &seen.tables {
        let name = table.name();
        let checked = match stored {
            Some(stored) => check_table_of(task, table, stored),
            None => check_table(task, table).map(|()| None),
        };
        // Where rows end that are older, a run stops, which `read_on` sees.
        if let Err(error) = checked {
            let key = match &error {
                RouteError::Transform(TransformError::Sql { clause: "where", .. }) => "where",
                RouteError::Transform(TransformError::Columns(_)) => "columns",
                RouteError::Transform(_) => "select",
                RouteError::Partition(_) | RouteError::Scattered { .. } => "partition",
                RouteError::Key(_) | RouteError::NoTombstones { .. } => "key",
                RouteError::Name { .. } => "as",
                RouteError::ChunkBy { .. } => "chunk_by",
                RouteError::Cut(_) => "too_large",
                _ => "table",
            };
            report.fail("tables", place_of_table(task, name, key), &error.into());
        }
        look_at_topics(task, name, &mut topics, report);
    }
    for table in &seen.tables {
        check_chunk_by(task, table, report);
    }
    for table in &seen.tables {
        check_expressions(task, table, seen, report);
        check_equal_keys(task, table, report);
    }
    // Names that make no topics were told of above.
    if let Err(error @ RouteError::LettersAmongRows { .. }) =
        check_letters(task, seen.tables.iter().map(|of| of.name()))
    {
        report.fail("tables", task.places.place("sink.too_large"), &error.into());
    }
    topics
}

/// The topics of tables that are named one by one, where the source does not tell which tables there are.
pub(super) fn look_at_named_topics(task: &Task, report: &mut Report) -> BTreeSet<String> {
    let mut topics = BTreeSet::new();
    let names: Vec<TableName> =
        task.tables.exact_names().map(|(database, table)| TableName::new(database, table)).collect();
    names.iter().for_each(|name| look_at_topics(task, name, &mut topics, report));
    topics
}

/// All topics to which messages of the table go.
fn look_at_topics(task: &Task, name: &TableName, topics: &mut BTreeSet<String>, report: &mut Report) {
    let mut take = |topic: Result<Option<String>, RouteError>, place: Option<String>, to_do: &str| match topic {
        Ok(topic) => topics.extend(topic),
        // Without a name there is no topic, which has been said.
        Err(RouteError::Name { error: NameError::Empty(_), .. }) => {}
        Err(error) => {
            let wanted = "a name of at most 249 letters, digits, dots, underscores and hyphens";
            report.say(Severity::Error, "topics", place, error.to_string(), wanted, to_do);
        }
    };
    let to_do = format!("write a topic for the table: {}", entry_with_topic(name, '.'));
    take(topic_of_table(task, name).map(Some), place_of_table(task, name, "topic"), &to_do);
    let place = place_of_table(task, name, "too_large");
    take(dead_letter_topic_of_table(task, name), place, "write another topic: too_large: {dead_letter: {topic: ...}}");
    take(ddl_topic_of_table(task, name), task.places.place("sink.ddl_topic"), "write another sink.ddl_topic");
}

/// The entry of a table with a topic that Kafka takes.
pub(super) fn entry_with_topic(table: &TableName, between: char) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let name = format!("{}{between}{}", table.database, table.table);
    let topic: String = name.chars().map(allowed).take(200).collect();
    let quoted = |name: &str| match name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '-')) {
        true => name.to_owned(),
        false => quote_identifier(name),
    };
    format!("{{table: \"{}.{}\", topic: {topic}}}", quoted(&table.database), quoted(&table.table))
}

/// Tables that have one name where they go.
pub(super) fn check_shards(task: &Task, tables: &[Arc<Table>], stored: &Checkpoint, report: &mut Report) {
    let place = || task.places.place("tables");
    for mismatch in shards::mismatches(task, tables) {
        let is_refused = shards::is_refused(&mismatch, task, stored);
        let severity = if is_refused { Severity::Error } else { Severity::Warning };
        report.say(severity, "shards", place(), mismatch.to_string(), items::wanted("shards"), DIFFER_HINT);
    }
    for shared in shards::shared_names(task, tables) {
        let to_do = shards::meaning(task);
        report.say(Severity::Warning, "shared_names", place(), shared, items::wanted("shared_names"), &to_do);
    }
    for shared in shards::shared_topics(task, tables) {
        let (wanted, to_do) = (items::wanted("shared_topics"), items::to_do("shared_topics"));
        report.say(Severity::Warning, "shared_topics", place(), shared, wanted, to_do);
    }
}

/// What keys do not do for tables that can be sent, the worst of each.
pub(super) fn check_keys(task: &Task, tables: &[Arc<Table>], brokers: Option<&BrokerInfo>, report: &mut Report) {
    let facts = brokers.iter().flat_map(|brokers| &brokers.topics);
    let compacted: BTreeMap<&str, &str> =
        facts.filter_map(|facts| Some((&*facts.name, facts.compacted.as_deref()?))).collect();
    // What is wrong with a topic is so for each table that goes there.
    let mut refused: BTreeMap<String, (Option<String>, RouteError)> = BTreeMap::new();
    let mut ddl_topics = BTreeSet::new();
    for table in tables.iter().filter(|table| check_table(task, table).is_ok()) {
        let name = table.name();
        ddl_topics.extend(ddl_topic_of_table(task, name).ok().flatten());
        let Ok(topic) = topic_of_table(task, name) else { continue };
        let policy = compacted.get(&*topic);
        match policy.map_or(Ok(()), |policy| check_compacted(task, table, &topic, policy)) {
            Ok(()) => check_key(task, table, report),
            Err(error) => {
                let place = match &error {
                    RouteError::Scattered { .. } => place_of_table(task, name, "partition"),
                    RouteError::Compacted { what: Keyless::Marks, .. } => task.places.place("incremental.ddl"),
                    _ => place_of_table(task, name, "key"),
                };
                refused.insert(error.to_string(), (place, error));
            }
        }
    }
    for topic in ddl_topics {
        if let Some(policy) = compacted.get(&*topic) {
            let error = RouteError::Compacted { policy: (*policy).to_owned(), topic, what: Keyless::Marks };
            refused.insert(error.to_string(), (task.places.place("sink.ddl_topic"), error));
        }
    }
    for (place, error) in refused.into_values() {
        report.fail("topics", place, &error.into());
    }
}

/// What the key of a table's messages does not do, or the key in them.
fn check_key(task: &Task, table: &Arc<Table>, report: &mut Report) {
    let (name, rule) = (table.name(), rule_of(task, table.name()));
    let Some(policy) = &rule.key else { return check_key_inside(task, table, rule, report) };
    // Both have been planned.
    let (Ok(columns), Ok(partitioner)) = (key_columns(policy, table), plan_partitioner(task, table, 1)) else { return };
    let is_of_rows = || table.unique_keys().iter().any(|key| key.columns.iter().all(|column| columns.contains(column)));
    let (key, found, to_do) = if columns.is_empty() {
        // Of a server's tables, that is an item of its own.
        if matches!(task.source, SourceOptions::Mysql(_)) {
            return;
        }
        let found =
            format!("table {name} has no primary key and no unique key of NOT NULL columns: its messages have no key");
        ("key", found, "name columns that tell its rows apart, key: {columns: [...]}")
    } else if policy.columns.is_some() && !is_of_rows() {
        let found = format!(
            "table {name}: rows may share the key of their messages, which holds no primary key and no unique key"
        );
        let to_do = "a topic that is compacted keeps one of them, and a tombstone takes all; name all columns of a key of the table";
        ("key", found, to_do)
    } else if let Some(column) = partitioner.scatters_keys() {
        let found = format!(
            "table {name}: `partition` goes by column {column}, which is not in the key of its messages: those of one key may be in \
             several partitions"
        );
        ("partition", found, SCATTERED_HINT)
    } else {
        return;
    };
    let place = place_of_table(task, name, key);
    report.say(Severity::Warning, "message_keys", place, found, items::wanted("message_keys"), to_do);
}

/// A table whose messages have no key of their own, and lose the one that the table has.
fn check_key_inside(task: &Task, table: &Arc<Table>, rule: &TableRule, report: &mut Report) {
    let Ok(transform) = plan_transform(&task.tables, table) else { return };
    if table.key().is_empty() || !transform.output().key().is_empty() {
        return;
    }
    let names: Vec<&str> = table.key().iter().map(|&index| &*table.columns()[index].name).collect();
    let list = if rule.columns.is_some() { "columns" } else { "select" };
    report.say(
        Severity::Warning,
        "key_left_out",
        place_of_table(task, table.name(), list),
        format!("`{list}` leaves out columns of the key of {}, which is {}", table.name(), names.join(", ")),
        items::wanted("key_left_out"),
        &format!(
            "add them to `{list}`: messages do not name a key without, and a consumer cannot tell which row has changed"
        ),
    );
}
