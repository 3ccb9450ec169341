//! Would every row get through? What the catalogue says of how wide rows can be, against what brokers and client let through.
//!
//! A message of an update holds both images. What a type bounds is counted in full, as text; a column without a bound to speak of
//! (JSON, MEDIUMTEXT) tells nothing about its rows, and is only named. Brokers count what is compressed, so that a message may be larger
//! than what they allow.

use std::collections::BTreeMap;

use super::Report;
use crate::config::Task;
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
}

pub(super) fn check(task: &Task, sent: &[Sent<'_>], brokers: &BrokerInfo, report: &mut Report) {
    let limits: BTreeMap<&str, u64> = brokers
        .topics
        .iter()
        .map(|topic| (&*topic.name, topic.request_bytes_max.unwrap_or(u64::MAX).min(brokers.message_bytes_max as u64)))
        .collect();
    let (mut wide, mut open) = (Vec::new(), Vec::new());
    let (mut widest, mut least) = (0, u64::MAX);
    for Sent { output, topic } in sent {
        let Some(&limit) = limits.get(topic) else { continue };
        let width = message_bytes(output.columns());
        if width > limit {
            wide.push(format!("{} (up to {}, and {topic} takes {})", output.name(), in_words(width), in_words(limit)));
            widest = widest.max(width);
            continue;
        }
        for column in output.columns().iter().filter(|column| value_bytes(column).is_none()) {
            open.push(format!("{}.{} ({})", output.name(), column.name, column.type_text));
            least = least.min(limit);
        }
    }
    const TO_DO: &str = "leave the large column out with `select`, or raise max.message.bytes of the topic \
                         (sink.create_topics.config for one that is to be made) and message.max.bytes in sink.options; a row that \
                         does not get through stops the task";
    let place = || task.places.place("tables");
    if !wide.is_empty() {
        report.say(
            Severity::Warning,
            "message_size",
            place(),
            format!("rows can be larger than a message may be, before it is compressed: {}", list_names(&wide)),
            &format!("max.message.bytes and message.max.bytes of {widest} at least"),
            TO_DO,
        );
    }
    if !open.is_empty() {
        report.say(
            Severity::Info,
            "message_size",
            place(),
            format!("a value can be larger than the {} of a message in {}", in_words(least), list_names(&open)),
            "no such value, or room for it",
            TO_DO,
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
                request_bytes_max: Some(request_bytes_max),
                compacted: None,
            }],
            message_bytes_max: 16 << 20,
            old: None,
            release: Some("4"),
        };
        let text =
            "task: t\nsource: {mysql: mysql://u@h}\ntables: [shop.notes]\nsink: {kafka: b}\nformat: canal_json\n";
        let task = crate::config::parse("t.yaml", text).expect("a task");
        let mut report = Report::new(&task, &[]);
        check(&task, &[Sent { output: &output, topic }], &brokers, &mut report);
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
                "Warning rows can be larger than a message may be, before it is compressed: shop.notes (up to 126 KiB, and notes takes 97 \
              KiB); wanted: max.message.bytes and message.max.bytes of 129156 at least"
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
