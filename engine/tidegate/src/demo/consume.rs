//! What arrived, and what should have.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};

use super::{DemoError, PARTITIONS};

/// How long the mock cluster may take to hand out what it holds; it needs a fraction of a second.
pub(super) const CONSUME_TIMEOUT: Duration = Duration::from_secs(30);

/// What the server said of the rows that a consumer must have in the end.
#[derive(Debug, Deserialize)]
pub(super) struct Expected {
    pub(super) server: String,
    pub(super) changes: u64,
    pub(super) transactions: u64,
    pub(super) tables: Vec<ExpectedTable>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ExpectedTable {
    pub(super) table: String,
    pub(super) columns: Vec<String>,
    pub(super) query: String,
    pub(super) rows: u64,
    pub(super) crc32_sum: u64,
    pub(super) crc32_xor: u32,
}

impl ExpectedTable {
    pub(super) fn sums(&self) -> Sums {
        Sums { rows: self.rows, crc32_sum: self.crc32_sum, crc32_xor: self.crc32_xor }
    }
}

/// Count of rows, sum and exclusive or of their checksums: the same in any order of the rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) rows: u64,
    pub(super) crc32_sum: u64,
    pub(super) crc32_xor: u32,
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, CRC-32 sum {}, exclusive or {}", self.rows, self.crc32_sum, self.crc32_xor)
    }
}

/// A Canal JSON message, as far as a consumer needs it.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    pub(super) data: Vec<Row>,
    pub(super) old: Option<Vec<Row>>,
    #[serde(rename = "pkNames")]
    pub(super) key: Option<Vec<String>>,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

/// Names and values in the order of the message.
#[derive(Debug, Default)]
pub(super) struct Row(Vec<(String, Option<String>)>);

impl Row {
    pub(super) fn get(&self, name: &str) -> Option<&Option<String>> {
        self.0.iter().find(|(column, _)| column == name).map(|(_, value)| value)
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Row, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("columns and their values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
                let mut row = Row::default();
                while let Some(entry) = map.next_entry()? {
                    row.0.push(entry);
                }
                Ok(row)
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "  " };
            write!(f, "{separator}{name}={}", value.as_deref().unwrap_or("NULL"))?;
        }
        Ok(())
    }
}

/// A table as its consumer knows it: the values of the expected columns by key.
pub(super) struct State {
    pub(super) columns: Vec<String>,
    pub(super) rows: BTreeMap<Vec<Option<String>>, Vec<Option<String>>>,
}

impl State {
    /// Applies a message; false if it does not fit what was there.
    pub(super) fn apply(&mut self, message: &Message) -> Result<bool, String> {
        let [row] = message.data.as_slice() else { return Err(format!("{} rows", message.data.len())) };
        let key_columns = message.key.as_ref().ok_or("no key")?;
        let pick = |columns: &[String], row: &Row| {
            let value = |name: &String| row.get(name).cloned().ok_or(format!("no column {name}"));
            columns.iter().map(value).collect::<Result<Vec<_>, _>>()
        };
        let key = pick(key_columns, row)?;
        Ok(match message.kind.as_str() {
            "INSERT" => self.rows.insert(key, pick(&self.columns, row)?).is_none(),
            "UPDATE" => {
                let old = message.old.as_deref().and_then(<[Row]>::first).ok_or("an update without old")?;
                let keeps_key = key_columns.iter().all(|column| old.get(column).is_none());
                self.rows.insert(key, pick(&self.columns, row)?).is_some() && keeps_key
            }
            "DELETE" => self.rows.remove(&key).is_some(),
            other => return Err(format!("type {other}")),
        })
    }

    /// The sums that the server was asked for: each row's values joined by tabs, NULL as `\N`.
    pub(super) fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for row in self.rows.values() {
            let values: Vec<&str> = row.iter().map(|value| value.as_deref().unwrap_or("\\N")).collect();
            let crc32 = crc32fast::hash(values.join("\t").as_bytes());
            sums.rows += 1;
            sums.crc32_sum += u64::from(crc32);
            sums.crc32_xor ^= crc32;
        }
        sums
    }
}

/// What was consumed from one topic.
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) state: State,
    /// Messages by type.
    pub(super) counts: BTreeMap<String, u64>,
    /// Messages that did not fit the state before them: an insert of a row that was there, a change of one that was not.
    pub(super) surprises: u64,
    /// The first message of each type in full, with its partition.
    pub(super) first: BTreeMap<String, (i32, String, Message)>,
}

/// Reads all topics from their beginnings until `message_count` messages have come.
pub(super) fn consume(brokers: &str, expected: &Expected, message_count: u64) -> Result<Vec<Topic>, DemoError> {
    let topic = |table: &ExpectedTable| Topic {
        name: table.table.clone(),
        state: State { columns: table.columns.clone(), rows: BTreeMap::new() },
        counts: BTreeMap::new(),
        surprises: 0,
        first: BTreeMap::new(),
    };
    let mut topics: Vec<Topic> = expected.tables.iter().map(topic).collect();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "tidegate-demo")
        .set("enable.auto.commit", "false")
        .create()?;
    let mut partitions = TopicPartitionList::new();
    for topic in &topics {
        for partition in 0..PARTITIONS {
            partitions.add_partition_offset(&topic.name, partition, Offset::Beginning)?;
        }
    }
    consumer.assign(&partitions)?;
    let deadline = Instant::now() + CONSUME_TIMEOUT;
    let mut found = 0;
    while found < message_count {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            if Instant::now() >= deadline {
                return Err(DemoError::Lost { found, expected: message_count });
            }
            continue;
        };
        let message = message?;
        let topic =
            topics.iter_mut().find(|topic| topic.name == message.topic()).expect("one of those that were asked for");
        let wrong = |reason: String| DemoError::Message { topic: message.topic().to_owned(), reason };
        let bytes = message.payload().ok_or_else(|| wrong("it is empty".to_owned()))?;
        let parsed: Message = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        if !topic.state.apply(&parsed).map_err(wrong)? {
            topic.surprises += 1;
        }
        found += 1;
        *topic.counts.entry(parsed.kind.clone()).or_default() += 1;
        if !topic.first.contains_key(&parsed.kind) {
            let text = String::from_utf8_lossy(bytes).into_owned();
            topic.first.insert(parsed.kind.clone(), (message.partition(), text, parsed));
        }
    }
    Ok(topics)
}
