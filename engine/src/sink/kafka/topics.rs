//! Reaching the brokers: which topics are there, and making the ones that are not.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::metadata::Metadata;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::producer::reason_of;
use super::{KafkaOptions, KafkaSink};
use crate::sink::{SinkError, TopicLook};

/// How long brokers may take to answer a question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a new topic may take until it has leaders for all partitions.
const CREATION_TIMEOUT: Duration = Duration::from_secs(30);

/// What answers at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerInfo {
    /// `host:port` of all brokers, as they advertise themselves.
    pub brokers: Vec<String>,
    /// Since Kafka 0.10.1.
    pub cluster_id: Option<String>,
    /// Topics that we may see.
    pub topic_count: usize,
}

/// Reaches the brokers, proves who we are and lists what is there; changes nothing.
pub fn check(options: KafkaOptions) -> Result<BrokerInfo, SinkError> {
    let sink = KafkaSink::new(options)?;
    let metadata = sink.metadata(None)?;
    Ok(BrokerInfo {
        brokers: metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port())).collect(),
        cluster_id: sink.producer.cluster_id(ANSWER_TIMEOUT),
        topic_count: metadata.topics().len(),
    })
}

/// What brokers say about a topic.
enum TopicState {
    Missing,
    /// It exists; some partitions have no leader at the moment.
    Incomplete,
    Complete {
        partitions: u32,
    },
}

impl KafkaSink {
    pub(super) fn partition_count(&self, topic: &str) -> Result<u32, SinkError> {
        match self.topic_state(topic)? {
            TopicState::Complete { partitions } => return Ok(partitions),
            TopicState::Incomplete => {}
            TopicState::Missing => self.create(topic)?,
        }
        self.wait_for_leaders(topic)
    }

    pub(super) fn look_at(&self, topics: &[&str]) -> Result<Vec<Option<TopicLook>>, SinkError> {
        let mut counts = Vec::with_capacity(topics.len());
        for topic in topics {
            counts.push(match self.topic_state(topic)? {
                TopicState::Complete { partitions } => Some(partitions),
                TopicState::Incomplete => Some(self.wait_for_leaders(topic)?),
                TopicState::Missing => None,
            });
        }
        let partitions: Vec<(&str, u32)> =
            topics.iter().zip(&counts).filter_map(|(&topic, count)| count.map(|count| (topic, count))).collect();
        let mut first = self.offsets(&partitions, Offset::Beginning)?.into_iter();
        let mut end = self.offsets(&partitions, Offset::End)?.into_iter();
        let looks = counts.iter().map(|count| {
            count.map(|partitions| {
                let (first, end) = (first.next().expect("as many"), end.next().expect("as many"));
                TopicLook {
                    partitions,
                    holds_messages: first.iter().zip(&end).any(|(first, end)| first < end),
                    was_written: end.iter().any(|&end| end > 0),
                }
            })
        });
        Ok(looks.collect())
    }

    /// An offset of each partition of some topics, which have so many.
    fn offsets(&self, topics: &[(&str, u32)], which: Offset) -> Result<Vec<Vec<i64>>, SinkError> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        loop {
            match self.producer.offsets(topics, which, deadline.saturating_duration_since(Instant::now())) {
                Ok(offsets) => return Ok(offsets),
                // A partition whose leader has just changed is asked for again.
                Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
                Err(code) => return Err(SinkError::Client(format!("offsets of topics: {}", reason_of(code)))),
            }
        }
    }

    fn wait_for_leaders(&self, topic: &str) -> Result<u32, SinkError> {
        // The broker that answers may hear of the topic later than the one that made it.
        let deadline = Instant::now() + CREATION_TIMEOUT;
        loop {
            if let TopicState::Complete { partitions } = self.topic_state(topic)? {
                return Ok(partitions);
            }
            if Instant::now() >= deadline {
                return Err(SinkError::Unreachable {
                    brokers: self.brokers.clone(),
                    reason: format!("topic {topic} had no leader for each partition within {CREATION_TIMEOUT:?}"),
                });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn create(&self, topic: &str) -> Result<(), SinkError> {
        let Some(create) = &self.create_topics else {
            return Err(SinkError::MissingTopic { topic: topic.into() });
        };
        let partitions = create.partitions.map_or(-1, |count| i32::try_from(count).unwrap_or(i32::MAX));
        let replication = create.replication.map_or(-1, i32::from);
        match self.producer.create_topic(topic, partitions, replication, &create.config, CREATION_TIMEOUT) {
            Ok(()) => {
                tracing::info!(topic, "topic created");
                Ok(())
            }
            // Somebody was quicker.
            Err((RDKafkaErrorCode::TopicAlreadyExists, _)) => Ok(()),
            Err((code, reason)) if is_no_answer(code) => Err(self.unreachable(&reason)),
            Err((_, reason)) => Err(SinkError::CreateTopic { topic: topic.into(), reason }),
        }
    }

    fn topic_state(&self, topic: &str) -> Result<TopicState, SinkError> {
        let metadata = self.metadata(Some(topic))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(TopicState::Missing);
        };
        match found.error() {
            None => {}
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => return Ok(TopicState::Missing),
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) => return Ok(TopicState::Incomplete),
            Some(error) => return Err(SinkError::Client(format!("topic {topic}: {}", reason_of(error.into())))),
        }
        let partitions = found.partitions();
        if partitions.is_empty() || partitions.iter().any(|partition| partition.leader() < 0) {
            return Ok(TopicState::Incomplete);
        }
        Ok(TopicState::Complete { partitions: partitions.len() as u32 })
    }

    /// Asks until a broker answers, which takes a few attempts while connections are being made, and gives up early
    /// when one has refused us: waiting doesn't mend a password or a certificate.
    fn metadata(&self, topic: Option<&str>) -> Result<Metadata, SinkError> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let mut patience = Duration::from_millis(500);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.producer.metadata(topic, patience.min(left)) {
                Ok(metadata) => {
                    self.journal.clear();
                    return Ok(metadata);
                }
                Err(code) if !is_no_answer(code) => return Err(SinkError::Client(reason_of(code))),
                Err(_) if self.journal.was_refused() || left.is_zero() => {
                    return Err(self.unreachable(&format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())));
                }
                Err(_) => {
                    // A refused connection is known at once, and tried again by librdkafka after a while.
                    std::thread::sleep(left.min(Duration::from_millis(50)));
                    patience = (patience * 2).min(ANSWER_TIMEOUT);
                }
            }
        }
    }

    /// With librdkafka's last words on the matter, or `reason` if there are none.
    pub(super) fn unreachable(&self, reason: &str) -> SinkError {
        self.journal.unreachable(&self.brokers, reason)
    }
}

fn is_no_answer(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::NotController
    )
}
