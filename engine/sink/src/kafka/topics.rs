//! Reaching the brokers: which topics are there, and making the ones that are not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};

use super::producer::{Producer, reason_of};
use super::{CreateTopics, Journal, KafkaOptions, KafkaSink, hint_of};
use crate::{Appetite, SinkError, TopicIdentity, TopicLook, Topics};

/// How long brokers may take to answer a question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a new topic may take until it has leaders for all partitions.
const CREATION_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two attempts at the same.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How soon a raised stop flag is noticed.
const STOP_CHECK: Duration = Duration::from_millis(50);

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

/// Reaches the brokers, proves who we are and lists what is there; changes nothing. Also tells what stands against sending
/// to `topics`.
pub fn check(options: KafkaOptions, topics: &[String]) -> Result<(BrokerInfo, Vec<SinkError>), SinkError> {
    let sink = KafkaSink::new(options)?;
    let metadata = sink.topics.metadata(None, &|| false)?;
    let info = BrokerInfo {
        brokers: metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port())).collect(),
        cluster_id: sink.producer.cluster_id(ANSWER_TIMEOUT),
        topic_count: metadata.topics().len(),
    };
    let problem = |topic: &String| match metadata.topics().iter().find(|found| found.name() == topic) {
        None => sink.topics.check_creation(topic).err(),
        Some(found) => match state_of(found) {
            Ok(TopicState::Missing) => sink.topics.check_creation(topic).err(),
            Ok(_) => sink.topics.check_settings(topic).err(),
            Err(error) => Some(error),
        },
    };
    let problems = topics.iter().filter_map(problem).collect();
    Ok((info, problems))
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

/// What the sink knows of its topics, and how it comes to know it.
pub(super) struct KafkaTopics {
    pub(super) producer: Arc<Producer>,
    pub(super) journal: Arc<Journal>,
    pub(super) brokers: String,
    pub(super) create: Option<CreateTopics>,
    pub(super) retry: Duration,
    /// A broker has answered a question.
    answered: AtomicBool,
    prepared: Mutex<HashMap<Arc<str>, Prepared>>,
    /// Of all that are prepared.
    partition_count: AtomicUsize,
    /// Requests that a connection has at a time, and what one holds.
    in_flight: usize,
    request_bytes: usize,
}

#[derive(Clone, Copy)]
struct Prepared {
    partitions: u32,
    identity: Option<TopicIdentity>,
}

impl Topics for KafkaTopics {
    fn prepare(&self, topic: &str, stopped: &dyn Fn() -> bool) -> Result<u32, SinkError> {
        if let Some(prepared) = self.lock().get(topic) {
            return Ok(prepared.partitions);
        }
        let start = Instant::now();
        let prepared = loop {
            let error = match self.try_to_prepare(topic, stopped) {
                Err(error) if error.is_transient() => error,
                result => break result?,
            };
            let answered = self.answered.load(Ordering::Relaxed);
            if !answered || stopped() || start.elapsed() + RETRY_PAUSE > self.retry {
                return Err(error);
            }
            tracing::warn!(topic, %error, "a question about a topic was not answered, will be asked again");
            let again = Instant::now() + RETRY_PAUSE;
            while Instant::now() < again && !stopped() {
                std::thread::sleep(STOP_CHECK);
            }
        };
        let mut known = self.lock();
        let prepared = *known.entry(topic.into()).or_insert(prepared);
        let partitions = known.values().map(|prepared| prepared.partitions as usize).sum();
        self.partition_count.store(partitions, Ordering::Relaxed);
        Ok(prepared.partitions)
    }

    /// While the requests in flight are answered, as many are to be had again; each holds messages of one partition. Until it is
    /// answered, librdkafka keeps what it has packed for a request, and what it packed it from.
    fn appetite(&self) -> Appetite {
        let requests = self.in_flight.saturating_mul(self.producer.broker_count());
        let partitions = self.partition_count.load(Ordering::Relaxed);
        Appetite {
            messages: requests.max(partitions).saturating_mul(2).saturating_mul(self.request_bytes),
            copies: requests.saturating_mul(2).saturating_mul(self.request_bytes),
        }
    }

    fn identity(&self, topic: &str) -> Option<TopicIdentity> {
        self.lock().get(topic)?.identity
    }

    fn look(&self, topics: &[&str]) -> Result<Vec<Option<TopicLook>>, SinkError> {
        let running = &|| false;
        let mut counts = Vec::with_capacity(topics.len());
        for &topic in topics {
            counts.push(match self.topic_state(topic, running)? {
                TopicState::Complete { partitions } => Some(partitions),
                TopicState::Incomplete => Some(self.wait_for_leaders(topic, running)?),
                TopicState::Missing => None,
            });
        }
        let partitions: Vec<(&str, u32)> =
            topics.iter().zip(&counts).filter_map(|(&topic, count)| count.map(|count| (topic, count))).collect();
        let mut first = self.offsets(&partitions, Offset::Beginning)?.into_iter();
        let mut end = self.offsets(&partitions, Offset::End)?.into_iter();
        let names: Vec<Arc<str>> = partitions.iter().map(|&(topic, _)| topic.into()).collect();
        let identities = self.producer.topic_identities(&names, ANSWER_TIMEOUT);
        let looks = topics.iter().zip(counts).map(|(&topic, count)| {
            count.map(|partitions| {
                let (first, end) = (first.next().expect("as many"), end.next().expect("as many"));
                TopicLook {
                    partitions,
                    holds_messages: first.iter().zip(&end).any(|(first, end)| first < end),
                    was_written: end.iter().any(|&end| end > 0),
                    identity: identities.get(topic).copied(),
                }
            })
        });
        Ok(looks.collect())
    }
}

impl KafkaTopics {
    pub(super) fn new(producer: Arc<Producer>, journal: Arc<Journal>, options: KafkaOptions) -> KafkaTopics {
        KafkaTopics {
            producer,
            journal,
            brokers: options.brokers,
            create: options.create_topics,
            retry: options.retry,
            answered: AtomicBool::new(false),
            prepared: Mutex::default(),
            partition_count: AtomicUsize::new(0),
            in_flight: 0,
            request_bytes: 0,
        }
    }

    pub(super) fn with_requests(self, in_flight: usize, request_bytes: usize) -> KafkaTopics {
        KafkaTopics { in_flight, request_bytes, ..self }
    }

    /// Names of the topics that are prepared.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.lock().keys().cloned().collect()
    }

    pub(super) fn identities(&self) -> HashMap<String, TopicIdentity> {
        self.lock().iter().filter_map(|(topic, prepared)| Some((topic.to_string(), prepared.identity?))).collect()
    }

    /// The topics that are prepared, with the number of their partitions.
    pub(super) fn partitions(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (topic, &Prepared { partitions, .. }) in self.lock().iter() {
            list.add_partition_range(topic, 0, i32::try_from(partitions).unwrap_or(i32::MAX) - 1);
        }
        list
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Prepared>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_to_prepare(&self, topic: &str, stopped: &dyn Fn() -> bool) -> Result<Prepared, SinkError> {
        if let TopicState::Missing = self.topic_state(topic, stopped)? {
            self.create(topic)?;
        }
        let partitions = self.wait_for_leaders(topic, stopped)?;
        self.check_settings(topic)?;
        let identity = self.producer.topic_identities(&[topic.into()], ANSWER_TIMEOUT).remove(topic);
        Ok(Prepared { partitions, identity })
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

    fn wait_for_leaders(&self, topic: &str, stopped: &dyn Fn() -> bool) -> Result<u32, SinkError> {
        // The broker that answers may hear of the topic later than the one that made it.
        let started = Instant::now();
        loop {
            if let TopicState::Complete { partitions } = self.topic_state(topic, stopped)? {
                return Ok(partitions);
            }
            if started.elapsed() >= CREATION_TIMEOUT || stopped() {
                return Err(SinkError::Unreachable {
                    brokers: self.brokers.clone(),
                    reason: format!("topic {topic} has no leader for some of its partitions"),
                });
            }
            std::thread::sleep(STOP_CHECK);
        }
    }

    fn create(&self, topic: &str) -> Result<(), SinkError> {
        let create = self.check_creation(topic)?;
        let partitions = create.partitions.map_or(-1, |count| i32::try_from(count).unwrap_or(i32::MAX));
        let replication = create.replication.map_or(-1, i32::from);
        match self.producer.create_topic(topic, partitions, replication, &create.config, ANSWER_TIMEOUT) {
            Ok(()) => {
                tracing::info!(topic, "topic created");
                Ok(())
            }
            // Somebody was quicker.
            Err((RDKafkaErrorCode::TopicAlreadyExists, _)) => Ok(()),
            Err((code, reason)) if is_no_answer(code) => Err(self.unreachable(&reason)),
            Err((code, reason)) => Err(SinkError::CreateTopic { topic: topic.into(), reason, hint: hint_of(code) }),
        }
    }

    /// How a topic that is missing would be created, if that would do.
    fn check_creation(&self, topic: &str) -> Result<&CreateTopics, SinkError> {
        let create = self.create.as_ref().ok_or_else(|| SinkError::MissingTopic { topic: topic.into() })?;
        check_policy(topic, create.config.get("cleanup.policy").map(String::as_str))?;
        Ok(create)
    }

    /// Refuses a topic that would refuse our messages. One whose settings we may not see passes.
    fn check_settings(&self, topic: &str) -> Result<(), SinkError> {
        let policy = self.producer.topic_setting(topic, c"cleanup.policy", ANSWER_TIMEOUT);
        if policy.is_none() {
            tracing::debug!(topic, "brokers don't tell the settings of the topic");
        }
        check_policy(topic, policy.as_deref())
    }

    fn topic_state(&self, topic: &str, stopped: &dyn Fn() -> bool) -> Result<TopicState, SinkError> {
        let metadata = self.metadata(Some(topic), stopped)?;
        metadata.topics().iter().find(|found| found.name() == topic).map_or(Ok(TopicState::Missing), state_of)
    }

    /// Asks until a broker answers, which takes a few attempts while connections are being made. At the start, gives up
    /// early when one has refused us: waiting doesn't mend a password or a certificate.
    fn metadata(&self, topic: Option<&str>, stopped: &dyn Fn() -> bool) -> Result<Metadata, SinkError> {
        let started = Instant::now();
        let mut patience = Duration::from_millis(500);
        loop {
            if let Some(failure) = self.producer.outstanding.failure() {
                return Err(failure);
            }
            let left = ANSWER_TIMEOUT.saturating_sub(started.elapsed());
            match self.producer.metadata(topic, patience.min(left)) {
                Ok(metadata) => {
                    self.answered.store(true, Ordering::Relaxed);
                    self.journal.clear();
                    return Ok(metadata);
                }
                Err(code) if !is_no_answer(code) => return Err(SinkError::Client(reason_of(code))),
                Err(_) if self.journal.was_refused() || left.is_zero() || stopped() => {
                    return Err(self.unreachable(&format!("no answer within {} s", started.elapsed().as_secs())));
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
    fn unreachable(&self, reason: &str) -> SinkError {
        self.journal.unreachable(&self.brokers, reason)
    }
}

fn state_of(found: &MetadataTopic) -> Result<TopicState, SinkError> {
    match found.error() {
        None => {}
        Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => return Ok(TopicState::Missing),
        Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) => return Ok(TopicState::Incomplete),
        Some(error) => {
            let code = error.into();
            let (topic, reason) = (found.name().to_owned(), reason_of(code));
            return Err(SinkError::Topic { topic, reason, hint: hint_of(code) });
        }
    }
    let partitions = found.partitions();
    if partitions.is_empty() || partitions.iter().any(|partition| partition.leader() < 0) {
        return Ok(TopicState::Incomplete);
    }
    Ok(TopicState::Complete { partitions: partitions.len() as u32 })
}

fn check_policy(topic: &str, policy: Option<&str>) -> Result<(), SinkError> {
    match policy {
        Some(policy) if policy.split(',').any(|policy| policy.trim() == "compact") => {
            Err(SinkError::Compacted { topic: topic.into(), policy: policy.into() })
        }
        _ => Ok(()),
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
