//! What a check looks at: names that do not change, for task files, scripts and those who ask each other.

use crate::nearest::nearest;
use tidegate_mysql::check;

/// Besides those of the server: name, what is wanted, and what to do where the error itself does not say.
const ITEMS: &[(&str, &str, &str)] = &[
    ("task_file", "a task file without errors", "`tidegate reference` shows every option"),
    (
        "source",
        "a source that answers and lets the task in",
        "correct `source` of the task file, or let the account in at the server",
    ),
    (
        "tables",
        "tables that exist, and expressions and columns that they have",
        "correct the entry of `tables` in the task file; `tidegate sql` tries an expression out",
    ),
    (
        "expressions",
        "expressions that mean on the server what they mean here",
        "`tidegate sql --compare` shows both answers; write what means the same, or go on with MySQL's",
    ),
    (
        "equal_keys",
        "keys of which equal ones are in one partition",
        "it may stay so where no UPDATE changes a key to one that is equal to it (`a` to `A`); sink.partition_text: collation keeps those \
         in one partition",
    ),
    (
        "threads",
        "room in `memory` for as many threads as are asked for",
        "raise `memory`, of which each reader and each encoding thread takes 8 MiB, or ask for fewer",
    ),
    ("key_left_out", "the columns of the key in `select` or `columns`", "add them to `select` or `columns`"),
    (
        "message_keys",
        "keys of messages that tell rows apart, all messages of one in one partition",
        "name columns that tell the rows apart, key: {columns: [...]}, and partition by them",
    ),
    (
        "shards",
        "the same columns and keys in tables that are sent under one name",
        "`columns` or `select` can make them the same, another `as` keeps them apart",
    ),
    ("shared_names", "a name for each table, or keys that no two of a name share", "another `as` keeps them apart"),
    (
        "shared_topics",
        "a topic for each table, or keys that tell tables apart",
        "another `topic` keeps them apart: where keys are the same, a compacted topic keeps one row, and a tombstone takes it",
    ),
    (
        "sink",
        "a sink that answers and lets the task in",
        "correct `sink` of the task file, or let the user in at the brokers",
    ),
    (
        "broker_version",
        "brokers that can do what the task file asks for",
        "leave it out of the task file, or send to newer brokers",
    ),
    (
        "idempotence",
        "brokers that drop what a client sends again (Kafka 0.11)",
        "it may stay so where consumers take a message twice, which comes behind itself in its partition, never behind a later one",
    ),
    (
        "topic_settings",
        "brokers that tell the settings of topics (Kafka 0.11)",
        "look at the topics by hand: one that is compacted refuses messages without a key, and max.message.bytes bounds a message",
    ),
    (
        "topic_identity",
        "brokers that tell a topic from another one of its name (Kafka 2.8)",
        "stop the task before a topic is deleted and made anew: it goes on in the new one until a partition is written to that was before",
    ),
    (
        "topics",
        "topics that exist or can be made, and that take these messages",
        "create the topics by hand, or correct `sink` of the task file",
    ),
    (
        "existing_topics",
        "topics that are as the task would make them",
        "it may stay so: topics that exist are left as they are. Write in sink.create_topics what they have, or change them by hand; more \
         partitions give rows other ones",
    ),
    (
        "message_size",
        "messages that topics and client let through",
        "raise max.message.bytes of the topic and message.max.bytes in sink.options",
    ),
    (
        "state",
        "a state folder that can be written to, with the state of this task or none",
        "`state` of the task file names the folder: whoever runs tidegate must be able to make and write it",
    ),
    ("disk_space", "room on the disk of the state folder", "make room, or point `state` to another disk"),
    (
        "other_run",
        "no other run of the task",
        "stop the other run; another task needs a name and a state folder of its own",
    ),
    ("changed_task", "the task that began", "put back what was"),
    (
        "non_empty_topics",
        "topics that nobody has written to",
        "point `state` to the folder that the task had, or delete the topics to begin anew; where other tasks write to them, \
         `non_empty_topics: accept` under `sink` says so",
    ),
    (
        "history",
        "a binlog that goes on where the task was",
        "begin again with a full load: move the state folder away and delete the topics",
    ),
    (
        "http",
        "an address of this machine that is free, and a token that is not empty",
        "correct `http` of the task file",
    ),
];

/// Each item and what is wanted of it, those of the server first.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    check::ITEMS.iter().copied().chain(ITEMS.iter().map(|(name, wanted, _)| (*name, *wanted)))
}

/// Whether it is about what messages go to, or about who looks: a source is read on whatever stands there.
pub fn is_of_sink(item: &str) -> bool {
    const OF_SINK: [&str; 7] =
        ["sink", "broker_version", "topics", "existing_topics", "message_size", "non_empty_topics", "http"];
    OF_SINK.contains(&item)
}

/// What would be in order.
pub fn wanted(item: &str) -> &'static str {
    all().find(|(name, _)| *name == item).map_or("", |(_, wanted)| wanted)
}

/// What to do, where an error has no better idea.
pub fn to_do(item: &str) -> &'static str {
    ITEMS.iter().find(|(name, ..)| *name == item).map_or("", |(.., to_do)| to_do)
}

/// The item of that name; an error is what would be right.
pub fn named(text: &str) -> Result<&'static str, String> {
    if let Some((name, _)) = all().find(|(name, _)| *name == text) {
        return Ok(name);
    }
    let names: Vec<&str> = all().map(|(name, _)| name).collect();
    Err(match nearest(text, &names) {
        Some(name) => format!("no such item of `tidegate check`, did you mean `{name}`?"),
        None => format!("no such item of `tidegate check`, there are {}", names.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::REFERENCE;

    #[test]
    fn names_are_told_apart_and_stand_in_the_reference() {
        let names: Vec<&str> = all().map(|(name, _)| name).collect();
        let once: std::collections::BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), once.len());
        let (_, section) = REFERENCE.split_once("\n#precheck:").expect("a section of its own");
        let missing: Vec<&&str> = names.iter().filter(|name| !section.contains(&format!("  #   {name} "))).collect();
        assert!(missing.is_empty(), "items that reference.yaml does not list: {missing:?}");
        assert_eq!(names.iter().filter(|name| is_of_sink(name)).count(), 7, "each of them is an item");
        assert!(ITEMS.iter().all(|(_, wanted, to_do)| !wanted.is_empty() && !to_do.is_empty()));
    }

    #[test]
    fn a_name_that_is_none_is_refused_with_what_was_meant() {
        assert_eq!(named("foreign_keys"), Ok("foreign_keys"));
        assert_eq!(named("foreign_key").unwrap_err(), "no such item of `tidegate check`, did you mean `foreign_keys`?");
        assert!(named("everything").unwrap_err().contains("there are server_version, log_bin, "));
    }
}
