//! Would every row get through? What the catalogue says of how wide rows can be, against what brokers and client let through.
//!
//! A message of an update holds both images. What a type bounds is counted in full, as text; a column without a bound to speak of
//! (JSON, MEDIUMTEXT) tells nothing about its rows, and is only named. Brokers count what is compressed, so that a message may be larger
//! than what they allow. What would become of one that is too large is the task's to say (`too_large`).

use std::collections::{BTreeMap, BTreeSet};

use super::Report;
use crate::config::{Task, TooLargePolicy};
use tidegate_model::{Column, SqlType, Table};
use tidegate_mysql::check::{Severity, list_names};
use tidegate_sink::kafka::BrokerInfo;

/// What a message has besides its columns, and a column besides its name and value.
const MESSAGE_BYTES: u64 = 1024;
const COLUMN_BYTES: u64 = 32;

/// A table as it leaves, and its topic.
pub(super) struct Sent<'a> {
    pub(super) output: &'a Table,
    pub(super) topic: &'a str,
    pub(super) too_large: &'a TooLargePolicy,
}

pub(super) fn check(task: &Task, sent: &[Sent<'_>], brokers: &BrokerInfo, report: &mut Report) {
    check_limits(task, sent, brokers, report);
    let limits: BTreeMap<&str, u64> = brokers
        .topics
        .iter()
        .map(|topic| (&*topic.name, topic.request_bytes_max.unwrap_or(u64::MAX).min(brokers.message_bytes_max as u64)))
        .collect();
    let (mut wide, mut open) = (Vec::new(), Vec::new());
    let (mut widest, mut least) = (0, u64::MAX);
    // What becomes of their rows.
    let mut outcomes: BTreeSet<&str> = BTreeSet::new();
    for Sent { output, topic, too_large } in sent {
        let Some(&limit) = limits.get(topic) else { continue };
        let width = message_bytes(output.columns());
        if width > limit {
            wide.push(format!("{} (up to {}, and {topic} takes {})", output.name(), in_words(width), in_words(limit)));
            widest = widest.max(width);
            outcomes.insert(outcome(too_large));
            continue;
        }
        for column in output.columns().iter().filter(|column| value_bytes(column).is_none()) {
            open.push(format!("{}.{} ({})", output.name(), column.name, column.type_text));
            least = least.min(limit);
            outcomes.insert(outcome(too_large));
        }
    }
    let to_do = format!(
        "leave the large column out with `select`, or raise max.message.bytes of the topic (sink.create_topics.config for one that is to \
         be made) and message.max.bytes in sink.options; a row that does not get through {}, as `too_large` says",
        Vec::from_iter(outcomes).join(", or ")
    );
    let place = || task.places.place("tables");
    if !wide.is_empty() {
        report.say(
            Severity::Warning,
            "message_size",
            place(),
            format!("rows can be larger than a message may be, before it is compressed: {}", list_names(&wide)),
            &format!("max.message.bytes and message.max.bytes of {widest} at least"),
            &to_do,
        );
    }
    if !open.is_empty() {
        report.say(
            Severity::Info,
            "message_size",
            place(),
            format!("a value can be larger than the {} of a message in {}", in_words(least), list_names(&open)),
            "no such value, or room for it",
            &to_do,
        );
    }
}

/// What becomes of a row that does not get through.
fn outcome(policy: &TooLargePolicy) -> &'static str {
    match policy {
        TooLargePolicy::Fail => "stops the task",
        TooLargePolicy::Skip => "is left out and counted",
        TooLargePolicy::DeadLetter(_) => "goes to the topic of dead letters",
        TooLargePolicy::Truncate(_) => "is sent with columns cut, or stops the task if that is not enough",
    }
}

/// Topics that refuse together what they take one by one, and those that nobody can judge for.
fn check_limits(task: &Task, sent: &[Sent<'_>], brokers: &BrokerInfo, report: &mut Report) {
    let is_small = |limit: u64| limit < brokers.request_bytes as u64;
    let small = brokers.topics.iter().filter_map(|topic| Some((&*topic.name, topic.request_bytes_max?)));
    let small: Vec<(&str, u64)> = small.filter(|(_, limit)| is_small(*limit)).collect();
    if let Some(least) = small.iter().map(|(_, limit)| *limit).min() {
        let names: Vec<String> = small.iter().map(|(name, limit)| format!("{name} ({limit} bytes)")).collect();
        report.say(
            Severity::Warning,
            "message_size",
            task.places.place("sink.options"),
            format!(
                "the client puts messages together up to {} bytes, before they are compressed, which may be more than these topics take: {}",
                brokers.request_bytes,
                list_names(&names)
            ),
            "requests that topics take",
            &format!("set batch.size in sink.options to at most {least}, or raise max.message.bytes of the topics"),
        );
    }
    let is_judged =
        |topic: &str| brokers.topics.iter().any(|facts| facts.name == topic && facts.request_bytes_max.is_some());
    let unknown = sent.iter().filter(|sent| *sent.too_large != TooLargePolicy::Fail && !is_judged(sent.topic));
    let unknown: BTreeSet<String> = unknown.map(|sent| sent.topic.to_owned()).collect();
    if !unknown.is_empty() {
        report.say(
            Severity::Warning,
            "message_size",
            task.places.place("tables"),
            format!(
                "brokers do not tell how large a message may be in {}: one that they refuse stops the task, whatever `too_large` says",
                list_names(&Vec::from_iter(unknown))
            ),
            "limits that the task can see",
            "grant the user DESCRIBE_CONFIGS on the topics",
        );
    }
}

/// Of an update that changes all that has a bound.
fn message_bytes(columns: &[Column]) -> u64 {
    let column = |column: &Column| COLUMN_BYTES + column.name.len() as u64 + value_bytes(column).unwrap_or(0);
    MESSAGE_BYTES + 2 * columns.iter().map(column).sum::<u64>()
}

/// Of the longest value, as text; none if the type sets no bound to speak of.
fn value_bytes(column: &Column) -> Option<u64> {
    let text = column.type_text.to_ascii_lowercase();
    let length = || text.split(['(', ')']).nth(1).and_then(|length| length.parse::<u64>().ok());
    let character = match column.charset.as_deref() {
        Some("ascii") => 1,
        Some("latin1" | "latin2" | "cp1250" | "cp1251" | "greek" | "hebrew") => 2,
        Some("utf8" | "utf8mb3" | "ucs2" | "gbk" | "gb2312" | "big5" | "sjis") => 3,
        _ => 4,
    };
    // Bytes come out as characters of which every second takes two.
    const BYTE: u64 = 2;
    Some(match &column.sql_type {
        SqlType::Int { .. } | SqlType::Bit { .. } => 20,
        SqlType::Float | SqlType::Double => 24,
        SqlType::Decimal { precision, .. } => u64::from(*precision) + 3,
        SqlType::Year | SqlType::Date | SqlType::Time { .. } | SqlType::DateTime { .. } | SqlType::Timestamp { .. } => {
            32
        }
        SqlType::Char | SqlType::VarChar => length()? * character,
        SqlType::Binary { length } => u64::from(*length) * BYTE,
        SqlType::VarBinary => length()? * BYTE,
        SqlType::Text if text.starts_with("tiny") => 255 * character,
        SqlType::Text if text.starts_with("text") => 65_535 * character.min(2),
        SqlType::Blob if text.starts_with("tiny") => 255 * BYTE,
        SqlType::Blob if text.starts_with("blob") => 65_535 * BYTE,
        SqlType::Enum { labels } => labels.iter().map(|label| label.len() as u64).max().unwrap_or(0),
        SqlType::Set { labels } => labels.iter().map(|label| label.len() as u64 + 1).sum(),
        SqlType::Vector => 4 * BYTE * length()?,
        // Its SRID, and two numbers behind what says that it is one.
        SqlType::Geometry if text == "point" => 25 * BYTE,
        SqlType::Text | SqlType::Blob | SqlType::Json | SqlType::Geometry => return None,
    })
}

fn in_words(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::{TableName, TableParts};
    use tidegate_mysql::catalog::parse_type;
    use tidegate_sink::kafka::TopicFacts;

    fn found(columns: &[(&str, &str)], request_bytes_max: u64) -> Vec<String> {
        found_with(columns, Some(request_bytes_max), &TooLargePolicy::Fail)
    }

    fn found_with(columns: &[(&str, &str)], request_bytes_max: Option<u64>, too_large: &TooLargePolicy) -> Vec<String> {
        let columns = columns.iter().map(|(name, type_text)| Column {
            name: (*name).to_owned(),
            sql_type: parse_type(type_text).expect("a type"),
            type_text: (*type_text).to_owned(),
            nullable: true,
            charset: Some("utf8mb4".to_owned()),
            collation: None,
        });
        let name = TableName::new("shop", "notes");
        let parts = TableParts { name, version: 1, columns: columns.collect(), unique_keys: Vec::new() };
        let (output, topic) = (Table::from(parts), "notes");
        let brokers = BrokerInfo {
            brokers: Vec::new(),
            cluster_id: None,
            topic_count: 1,
            topics: vec![TopicFacts {
                name: topic.to_owned(),
                exists: true,
                partitions: Some(1),
                request_bytes_max,
                compacted: None,
            }],
            differing: Vec::new(),
            message_bytes_max: 16 << 20,
            old: None,
            release: Some("4"),
            request_bytes: 1_000_000,
        };
        let text =
            "task: t\nsource: {mysql: mysql://u@h}\ntables: [shop.notes]\nsink: {kafka: b}\nformat: canal_json\n";
        let task = crate::config::parse("t.yaml", text).expect("a task");
        let mut report = Report::new(&task, &[]);
        check(&task, &[Sent { output: &output, topic, too_large }], &brokers, &mut report);
        for found in report.found.iter().filter(|found| found.finding.hint.contains("get through")) {
            let does = outcome(too_large);
            assert!(found.finding.hint.ends_with(&format!("does not get through {does}, as `too_large` says")));
        }
        report.found.iter().map(|found| format!("{:?} {}", found.finding.severity, found.finding)).collect()
    }

    #[test]
    fn rows_that_may_not_get_through_are_named_with_the_numbers() {
        assert_eq!(
            found(&[("id", "int"), ("note", "varchar(2000)"), ("text", "text")], 1_048_588),
            Vec::<String>::new()
        );
        assert_eq!(
            found(&[("a", "varchar(10000)"), ("b", "varchar(6000)")], 100_000),
            [
                "Warning the client puts messages together up to 1000000 bytes, before they are compressed, which may be more than these \
                 topics take: notes (100000 bytes); wanted: requests that topics take",
                "Warning rows can be larger than a message may be, before it is compressed: shop.notes (up to 126 KiB, and notes takes 97 \
              KiB); wanted: max.message.bytes and message.max.bytes of 129156 at least"
            ]
        );
        assert_eq!(found_with(&[("doc", "json")], Some(1_048_588), &TooLargePolicy::Skip).len(), 1);
        assert_eq!(found_with(&[("id", "int")], None, &TooLargePolicy::Fail), Vec::<String>::new());
        assert_eq!(
            found_with(&[("id", "int")], None, &TooLargePolicy::Skip),
            [
                "Warning brokers do not tell how large a message may be in notes: one that they refuse stops the task, whatever `too_large` \
                 says; wanted: limits that the task can see"
            ]
        );
        assert_eq!(
            found(&[("id", "int"), ("doc", "json"), ("pic", "mediumblob")], 1_048_588),
            [
                "Info a value can be larger than the 1.0 MiB of a message in shop.notes.doc (json), shop.notes.pic (mediumblob); wanted: no \
              such value, or room for it"
            ]
        );
    }
}
