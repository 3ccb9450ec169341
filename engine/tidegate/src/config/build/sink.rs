//! `sink`: one of three, and what it says about tables that say nothing themselves.

use crate::config::brokers::{librdkafka_options, security_options};
use crate::config::choices::{NonEmptyTopics, TooLargePolicy, Truncation};
use crate::config::file::{
    CreateTopicsFile, DeadLetterFile, SinkFile, Switch, TooLargeFile, TooLargeWord, TruncateFile,
};
use crate::config::reader::{Field, Place, Report, check_exactly_one, parsed};
use crate::config::tables::{TableRule, TableSelection};
use crate::config::task::{KafkaSinkOptions, SinkOptions};
use crate::config::template::{CaptureNames, TopicTemplate};
use tidegate_format::headers::HeaderName;
use tidegate_format::key::KeyPolicy;
use tidegate_format::partition::{PartitionHash, PartitionPolicy, PartitionText};
use tidegate_sink::kafka::CreateTopics;

/// The sink, and what the sink says about tables that say nothing themselves.
pub(super) struct BuiltSink {
    pub(super) options: SinkOptions,
    pub(super) topic: TopicTemplate,
    pub(super) ddl_topic: Option<(TopicTemplate, Place)>,
    pub(super) key: Option<KeyPolicy>,
    /// Where they are asked for.
    pub(super) tombstones: Option<Place>,
    pub(super) headers: Vec<HeaderName>,
    pub(super) partition: PartitionPolicy,
    pub(super) hash: PartitionHash,
    pub(super) text: PartitionText,
    pub(super) hash_place: Option<Place>,
    pub(super) too_large: TooLargePolicy,
    pub(super) non_empty_topics: NonEmptyTopics,
}

const DEAD_LETTER_TOPIC: &str = "{task}.dead_letter";

pub(super) fn sink_options(file: SinkFile, place: &Place, task: &str, report: &Report) -> Option<BuiltSink> {
    let SinkFile {
        kafka,
        file,
        null,
        security,
        topic,
        ddl_topic,
        key,
        tombstones,
        headers,
        partition,
        partition_hash,
        partition_text,
        too_large,
        create_topics,
        non_empty_topics,
        options,
    } = file;
    let alternatives = [("kafka", !kafka.is_absent()), ("file", !file.is_absent()), ("null", !null.is_absent())];
    check_exactly_one(&alternatives, place, report);

    if kafka.is_absent() {
        const WHY: &str = "has no meaning without sink.kafka";
        security.refuse(report, WHY);
        too_large.refuse(report, WHY);
        create_topics.refuse(report, WHY);
        non_empty_topics.refuse(report, WHY);
        options.refuse(report, WHY);
    }
    let (sasl, tls) = security_options(security, report);
    let create_topics = create_topics_options(create_topics);
    let options = librdkafka_options(options, report);
    let topic = match topic {
        Field::Absent(_) => {
            Some(TopicTemplate::parse(TopicTemplate::DEFAULT, task, &CaptureNames::new()).expect("a constant"))
        }
        field => topic_template(field, task, &CaptureNames::new(), report),
    };
    let too_large = too_large_policy(too_large, task, &CaptureNames::new(), report);
    let ddl_place = ddl_topic.as_given().map(|(_, place)| place.clone());
    let ddl_topic = topic_template(ddl_topic, task, &CaptureNames::new(), report).zip(ddl_place);

    let options = if let Some(brokers) = kafka.given() {
        SinkOptions::Kafka(KafkaSinkOptions { brokers, sasl, tls, create_topics, options })
    } else if let Some(path) = file.given() {
        SinkOptions::File(path)
    } else {
        null.given()?;
        SinkOptions::Null
    };
    let hash_place = partition_hash.as_given().map(|(_, place)| place.clone());
    let hash = partition_hash.given().unwrap_or(PartitionHash::Dts);
    if let Some((PartitionText::Collation, place)) = partition_text.as_given()
        && hash == PartitionHash::Murmur2
    {
        report.add(place, "must not be collation with partition_hash: murmur2, which hashes the bytes of keys");
    }
    Some(BuiltSink {
        options,
        topic: topic?,
        ddl_topic,
        key: key.given().flatten(),
        tombstones: tombstones.as_given().filter(|(on, _)| **on).map(|(_, place)| place.clone()),
        headers: headers.given().unwrap_or_default(),
        partition: partition.given().unwrap_or(PartitionPolicy::PrimaryKey),
        hash,
        text: partition_text.given().unwrap_or_default(),
        hash_place,
        too_large: match too_large {
            Some(TooLargePolicy::Truncate(truncation)) => {
                TooLargePolicy::Truncate(Truncation { of_all_tables: true, ..truncation })
            }
            other => other.unwrap_or(TooLargePolicy::Fail),
        },
        non_empty_topics: non_empty_topics.given().unwrap_or(NonEmptyTopics::Refuse),
    })
}

/// `None` if it is not written, or was refused.
pub(super) fn too_large_policy(
    field: Field<TooLargeFile>,
    task: &str,
    captures: &CaptureNames,
    report: &Report,
) -> Option<TooLargePolicy> {
    let Field::Given(TooLargeFile { word, dead_letter, truncate }, place) = field else { return None };
    match word {
        Some(TooLargeWord::Fail) => return Some(TooLargePolicy::Fail),
        Some(TooLargeWord::Skip) => return Some(TooLargePolicy::Skip),
        None => {
            let alternatives = [("dead_letter", !dead_letter.is_absent()), ("truncate", !truncate.is_absent())];
            check_exactly_one(&alternatives, &place, report);
        }
    }
    if let Some(DeadLetterFile { topic }) = dead_letter.given() {
        return Some(TooLargePolicy::DeadLetter(match topic {
            Field::Absent(_) => TopicTemplate::parse(DEAD_LETTER_TOPIC, task, captures).expect("a constant"),
            field => topic_template(field, task, captures, report)?,
        }));
    }
    let TruncateFile { columns, bytes } = truncate.given()?;
    let bytes = bytes.required(report, "must say how much of a value is left, such as 64KiB");
    let columns = match columns {
        Field::Absent(_) => None,
        columns => Some(columns.given()?),
    };
    let bytes = usize::try_from(bytes?).unwrap_or(usize::MAX);
    Some(TooLargePolicy::Truncate(Truncation { columns, bytes, of_all_tables: false }))
}

/// What has a meaning only together with keys. Where the task has some, a table may say that it has none.
pub(super) fn check_keys(sink: &BuiltSink, tables: &TableSelection, report: &Report) {
    let without_key = tables.rules().find(|rule| rule.key.is_none() && sink.key.is_none());
    if let (Some(place), Some(rule)) = (&sink.tombstones, without_key) {
        let name = &rule.name;
        report.add(place, format_args!("has no meaning without keys, and {name} has key: none: set sink.key to json"));
    }
    let Some(place) = sink.hash_place.as_ref().filter(|_| sink.hash == PartitionHash::Murmur2) else { return };
    if let Some(TableRule { name, .. }) = without_key {
        report.add(
            place,
            format_args!(
                "must not be murmur2 without keys, which it hashes, and {name} has key: none: set sink.key to json"
            ),
        );
    }
    let by_other = |rule: &&TableRule| matches!(rule.partition, PartitionPolicy::Table | PartitionPolicy::Columns(_));
    if let Some(TableRule { name, .. }) = tables.rules().find(by_other) {
        report.add(
            place,
            format_args!("must not be murmur2 where something else than the key decides, as `partition` of {name} says: choose the \
                key's columns with `key` instead"),
        );
    }
}

fn create_topics_options(field: Field<Switch<CreateTopicsFile>>) -> Option<CreateTopics> {
    match field.given() {
        Some(Switch::Off) => None,
        None => Some(CreateTopics::default()),
        Some(Switch::On(CreateTopicsFile { partitions, replication, config })) => Some(CreateTopics {
            partitions: partitions.given().flatten().map(|count| u32::try_from(count).expect("the reader checked")),
            replication: replication.given().flatten().map(|count| u16::try_from(count).expect("the reader checked")),
            config: config.given().into_iter().flatten().map(|(name, value, _)| (name, value)).collect(),
        }),
    }
}

pub(super) fn topic_template(
    field: Field<String>,
    task: &str,
    captures: &CaptureNames,
    report: &Report,
) -> Option<TopicTemplate> {
    parsed(field, report, |text| TopicTemplate::parse(text, task, captures))
}
