//! Reaching the brokers: which topics are there, and making the ones that are not.

mod check;
mod creation;
mod differing;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

pub use self::check::{BrokerInfo, TopicFacts, check};
use self::creation::collision;
use super::abilities::{Abilities, Ability, Lack};
use super::limit::{Kept, MessageLimit};
use super::marks::Marks;
use super::producer::{Description, Event, Producer, Request, reason_of};
use super::{CreateTopics, Journal, KafkaOptions, hint_of};
use crate::{Differing, SinkError, TopicIdentity, TopicLook, Topics};
use tidegate_model::message::Appetite;
use tidegate_model::status::Retrying;

/// How long brokers may take to answer a question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a new topic may take until it has leaders for all partitions.
const CREATION_TIMEOUT: Duration = Duration::from_secs(30);
/// Topics of one question, so that an answer is neither large nor late.
const TOPICS_PER_QUESTION: usize = 100;
/// Between two attempts at the same.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long a first connection may take before it is asked why there is none.
const MEETING_TIMEOUT: Duration = Duration::from_millis(500);
/// How long what brokers said of a topic's limit is believed when a message is beyond it.
const LIMIT_AGE: Duration = Duration::from_secs(1);
/// How soon a raised stop flag is noticed.
const STOP_CHECK: Duration = Duration::from_millis(50);

/// Brokers that lack something that can be done without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldBrokers {
    /// As which release of Kafka the oldest of them speaks.
    pub release: &'static str,
    pub lack: Vec<Ability>,
}

/// What brokers say about a topic.
#[derive(Clone, Copy)]
enum TopicState {
    Missing,
    /// It exists; some partitions have no leader at the moment.
    Incomplete,
    Complete(Prepared),
}

/// What the sink knows of its topics, and how it comes to know it.
pub(super) struct KafkaTopics {
    pub(super) producer: Arc<Producer>,
    pub(super) journal: Arc<Journal>,
    pub(super) abilities: Abilities,
    pub(super) marks: Marks,
    pub(super) brokers: String,
    pub(super) create: Option<CreateTopics>,
    pub(super) retry: Duration,
    pub(super) take_up_partitions: &'static str,
    /// A broker has answered a question.
    answered: AtomicBool,
    /// A question was not answered in time.
    #[cfg(test)]
    pub(super) asked_again: AtomicBool,
    prepared: Mutex<HashMap<Arc<str>, Prepared>>,
    has_keys: bool,
    /// By topic, the policies of those that are compacted.
    compacted: Mutex<HashMap<Arc<str>, String>>,
    /// Of all that are prepared.
    partition_count: AtomicUsize,
    /// See [`Topics::outage`].
    pub(super) outage: Mutex<Option<Retrying>>,
    /// Requests that a connection has at a time, and what one holds.
    in_flight: usize,
    request_bytes: usize,
    /// `message.max.bytes` of the client.
    message_bytes: usize,
    /// By topic, what brokers told last of what they take.
    taken: Mutex<HashMap<Arc<str>, Taken>>,
    /// Those of which all messages must stay.
    kept_whole: Mutex<HashSet<String>>,
}

/// What a topic takes of a message.
#[derive(Clone, Copy)]
struct Taken {
    bytes: Option<usize>,
    kept: Kept,
    asked: Instant,
}

#[derive(Clone, Copy)]
struct Prepared {
    partitions: u32,
    identity: Option<TopicIdentity>,
    may_write: Option<bool>,
}

impl Topics for KafkaTopics {
    fn failure(&self) -> Option<SinkError> {
        self.producer.outstanding.failure()
    }

    fn outage(&self) -> Option<Retrying> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn prepare(&self, topic: &str, stopped: &dyn Fn() -> bool) -> Result<u32, SinkError> {
        let known = self.lock().get(topic).map(|prepared| prepared.partitions);
        if let Some(partitions) = known {
            return Ok(partitions);
        }
        self.prepare_all(&[topic], stopped)?;
        Ok(self.lock()[topic].partitions)
    }

    fn prepare_all(&self, topics: &[&str], stopped: &dyn Fn() -> bool) -> Result<(), SinkError> {
        let start = Instant::now();
        let prepared = loop {
            let error = match self.try_to_prepare(topics, stopped) {
                Err(error) if error.is_transient() => error,
                result => break result?,
            };
            let answered = self.answered.load(Ordering::Relaxed);
            if !answered || stopped() || start.elapsed() + RETRY_PAUSE > self.retry {
                return Err(error);
            }
            tracing::warn!(%error, "a question about topics was not answered, will be asked again");
            #[cfg(test)]
            self.asked_again.store(true, Ordering::Relaxed);
            let again = Instant::now() + RETRY_PAUSE;
            while Instant::now() < again && !stopped() {
                std::thread::sleep(STOP_CHECK);
            }
        };
        let mut known = self.lock();
        for (&topic, prepared) in topics.iter().zip(prepared) {
            known.entry(topic.into()).or_insert(prepared);
        }
        let partitions = known.values().map(|prepared| prepared.partitions as usize).sum();
        self.partition_count.store(partitions, Ordering::Relaxed);
        Ok(())
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

    fn old_brokers(&self) -> Option<OldBrokers> {
        let optional = [Ability::Idempotence, Ability::Settings, Ability::Identity];
        let lack: Vec<Ability> = optional.into_iter().filter(|&ability| !self.abilities.can(ability)).collect();
        Some(OldBrokers { release: self.abilities.release()?, lack }).filter(|old| !old.lack.is_empty())
    }

    fn compacted(&self, topic: &str) -> Option<String> {
        self.compacted.lock().unwrap_or_else(PoisonError::into_inner).get(topic).cloned()
    }

    fn limit(&self, topic: &str) -> Option<MessageLimit> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner).get(topic).copied()?;
        Some(MessageLimit::new(self.message_bytes, taken.bytes, self.producer.packing, taken.kept))
    }

    fn limit_now(&self, topic: &str, stopped: &dyn Fn() -> bool) -> Option<MessageLimit> {
        let asked = self.taken.lock().unwrap_or_else(PoisonError::into_inner).get(topic).map(|taken| taken.asked);
        if asked.is_none_or(|asked| asked.elapsed() >= LIMIT_AGE)
            && let Err(error) = self.check_settings(&[topic], stopped, |_, _| {})
        {
            // What is known is as good as what was known a moment ago; and nothing can be sent now.
            tracing::debug!(topic, %error, "brokers don't say what the topic takes");
        }
        self.limit(topic)
    }

    fn differing(&self, topics: &[&str], stopped: &dyn Fn() -> bool) -> Result<Vec<Differing>, SinkError> {
        self.look_for_differing(topics, stopped)
    }

    fn keep_whole(&self, topic: &str) {
        self.kept_whole.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.to_owned());
    }

    fn identity(&self, topic: &str) -> Option<TopicIdentity> {
        self.lock().get(topic)?.identity
    }

    fn acknowledged(&self, topic: &str) -> Vec<i64> {
        self.marks.of(topic)
    }

    fn look(&self, topics: &[&str], stopped: &dyn Fn() -> bool) -> Result<Vec<Option<TopicLook>>, SinkError> {
        let states = self.describe(topics, stopped)?.into_iter().collect::<Result<Vec<TopicState>, _>>()?;
        let exists: Vec<bool> = states.iter().map(|state| !matches!(state, TopicState::Missing)).collect();
        let there: Vec<&str> =
            topics.iter().zip(&exists).filter_map(|(&topic, exists)| exists.then_some(topic)).collect();
        let found = self.wait_for_leaders(&there, stopped)?;
        let partitions: Vec<(&str, u32)> =
            there.iter().zip(&found).map(|(&topic, found)| (topic, found.partitions)).collect();
        let first = self.offsets(&partitions, Offset::Beginning)?;
        let end = self.offsets(&partitions, Offset::End)?;
        partitions.iter().zip(&end).for_each(|((topic, _), ends)| self.marks.begin(topic, ends));
        let mut looks = found.iter().zip(first.iter().zip(end)).map(|(found, (first, ends))| TopicLook {
            partitions: found.partitions,
            holds_messages: first.iter().zip(&ends).any(|(first, end)| first < end),
            ends,
            identity: found.identity,
        });
        Ok(exists.into_iter().map(|exists| if exists { looks.next() } else { None }).collect())
    }
}

impl KafkaTopics {
    pub(super) fn new(producer: Arc<Producer>, journal: Arc<Journal>, options: KafkaOptions) -> KafkaTopics {
        KafkaTopics {
            producer,
            journal,
            abilities: Abilities::default(),
            marks: Marks::default(),
            brokers: options.brokers,
            create: options.create_topics,
            retry: options.retry,
            take_up_partitions: options.take_up_partitions,
            answered: AtomicBool::new(false),
            #[cfg(test)]
            asked_again: AtomicBool::new(false),
            prepared: Mutex::default(),
            has_keys: options.has_keys,
            compacted: Mutex::default(),
            partition_count: AtomicUsize::new(0),
            outage: Mutex::default(),
            in_flight: 0,
            request_bytes: 0,
            message_bytes: usize::MAX,
            taken: Mutex::default(),
            kept_whole: Mutex::default(),
        }
    }

    pub(super) fn with_client_limit(self, message_bytes: usize) -> KafkaTopics {
        KafkaTopics { message_bytes, ..self }
    }

    pub(super) fn with_requests(self, in_flight: usize, request_bytes: usize) -> KafkaTopics {
        KafkaTopics { in_flight, request_bytes, ..self }
    }

    /// Waits for a broker that says what it can do.
    pub(super) fn meet_brokers(&self, is_idempotent: bool) -> Result<(), SinkError> {
        // A client with idempotence connects by itself. Where nothing answers, a question finds out why.
        if !is_idempotent || !self.abilities.wait_until_known(MEETING_TIMEOUT) {
            self.metadata(None, &|| false)?;
            // Who has answered has said before what it can do, and librdkafka has written it down.
            self.abilities.wait_until_known(ANSWER_TIMEOUT);
        }
        Ok(())
    }

    pub(super) fn lacking(&self, lacks: Vec<Lack>) -> SinkError {
        let release = self.abilities.release().unwrap_or_default();
        SinkError::Lacking { brokers: self.brokers.clone(), release, lacks }
    }

    /// Names of the topics that are prepared.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.lock().keys().cloned().collect()
    }

    pub(super) fn identities(&self) -> HashMap<String, TopicIdentity> {
        self.lock().iter().filter_map(|(topic, prepared)| Some((topic.to_string(), prepared.identity?))).collect()
    }

    pub(super) fn partitions_of(&self, topic: &str) -> Option<u32> {
        self.lock().get(topic).map(|prepared| prepared.partitions)
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

    /// Nothing is made before it is clear that all that is missing may be.
    fn try_to_prepare(&self, topics: &[&str], stopped: &dyn Fn() -> bool) -> Result<Vec<Prepared>, SinkError> {
        let mut missing = Vec::new();
        for (&topic, state) in topics.iter().zip(self.describe(topics, stopped)?) {
            if let TopicState::Missing = state? {
                missing.push(topic);
            }
        }
        if !missing.is_empty() {
            let metadata = self.metadata(None, stopped)?;
            let existing: Vec<&str> = metadata.topics().iter().map(|topic| topic.name()).collect();
            for (index, topic) in missing.iter().enumerate() {
                self.check_creation(topic)?;
                if let Some(error) = collision(topic, existing.iter().chain(&missing[..index])) {
                    return Err(error);
                }
            }
            missing.chunks(TOPICS_PER_QUESTION).try_for_each(|topics| self.create(topics, stopped))?;
        }
        let found = self.wait_for_leaders(topics, stopped)?;
        match self.check_settings(topics, stopped, |_, _| {})?.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(found),
        }
    }

    /// An offset of each partition of some topics, which have so many.
    fn offsets(&self, topics: &[(&str, u32)], which: Offset) -> Result<Vec<Vec<i64>>, SinkError> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        loop {
            match self.producer.offsets(topics, which, deadline.saturating_duration_since(Instant::now())) {
                Ok(offsets) => return Ok(offsets),
                // A partition whose leader has just changed is asked for again.
                Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
                Err(code) if is_no_answer(code) => return Err(self.unreachable(&reason_of(code))),
                Err(code) => return Err(SinkError::Client(format!("offsets of topics: {}", reason_of(code)))),
            }
        }
    }

    fn wait_for_leaders(&self, topics: &[&str], stopped: &dyn Fn() -> bool) -> Result<Vec<Prepared>, SinkError> {
        // The broker that answers may hear of a topic later than the one that made it.
        let started = Instant::now();
        loop {
            let mut found = Vec::with_capacity(topics.len());
            let mut incomplete = None;
            for (topic, state) in topics.iter().zip(self.describe(topics, stopped)?) {
                match state? {
                    TopicState::Complete(prepared) => found.push(prepared),
                    TopicState::Missing | TopicState::Incomplete => incomplete = Some(topic),
                }
            }
            let Some(topic) = incomplete else { return Ok(found) };
            if started.elapsed() >= CREATION_TIMEOUT || stopped() {
                return Err(SinkError::Unreachable {
                    brokers: self.brokers.clone(),
                    reason: format!("topic {topic} has no leader for some of its partitions"),
                });
            }
            std::thread::sleep(STOP_CHECK);
        }
    }

    fn is_kept_whole(&self, topic: &str) -> bool {
        self.kept_whole.lock().unwrap_or_else(PoisonError::into_inner).contains(topic)
    }

    /// Waits for an answer as long as brokers may take.
    fn answer(&self, request: &Request, stopped: &dyn Fn() -> bool) -> Result<Event, SinkError> {
        let deadline = Instant::now() + ANSWER_TIMEOUT + RETRY_PAUSE;
        loop {
            if let Some(event) = request.answer(STOP_CHECK) {
                return Ok(event);
            }
            if Instant::now() >= deadline || stopped() {
                return Err(self.unreachable("no answer"));
            }
        }
    }

    /// What brokers say about topics, in their order.
    fn describe(
        &self,
        topics: &[&str],
        stopped: &dyn Fn() -> bool,
    ) -> Result<Vec<Result<TopicState, SinkError>>, SinkError> {
        self.describe_with(topics, false, stopped)
    }

    /// With `rights`, also what we may do with them.
    fn describe_with(
        &self,
        topics: &[&str],
        rights: bool,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Vec<Result<TopicState, SinkError>>, SinkError> {
        let Some(first) = topics.first() else { return Ok(Vec::new()) };
        if !self.abilities.can(Ability::Asking) {
            return self.describe_from_list(topics, stopped);
        }
        // Which waits for a connection, says why there is none, and finds out whom to ask.
        self.metadata(Some(first), stopped)?;
        let mut known: HashMap<String, Result<Description, RDKafkaErrorCode>> = HashMap::new();
        for topics in topics.chunks(TOPICS_PER_QUESTION) {
            let request = match rights {
                true => self.producer.describe_rights(topics, ANSWER_TIMEOUT),
                false => self.producer.describe_topics(topics, ANSWER_TIMEOUT),
            };
            let event = self.answer(&request, stopped)?;
            known.extend(event.topics().map_err(|(code, reason)| match is_no_answer(code) {
                true => self.unreachable(&reason),
                false => SinkError::Client(format!("a question about topics: {reason}")),
            })?);
        }
        let state = |topic: &&str| match known.get(*topic) {
            Some(Ok(Description { is_complete: true, partitions, identity, may_write })) => {
                let (partitions, identity, may_write) = (*partitions, *identity, *may_write);
                Ok(TopicState::Complete(Prepared { partitions, identity, may_write }))
            }
            Some(Ok(_) | Err(RDKafkaErrorCode::LeaderNotAvailable)) => Ok(TopicState::Incomplete),
            Some(Err(RDKafkaErrorCode::UnknownTopicOrPartition)) | None => Ok(TopicState::Missing),
            Some(Err(code)) => {
                Err(SinkError::Topic { topic: (*topic).into(), reason: reason_of(*code), hint: hint_of(*code) })
            }
        };
        Ok(topics.iter().map(state).collect())
    }

    /// As [`KafkaTopics::describe`], of brokers that may make the topics that they are asked about: from the list of all.
    fn describe_from_list(
        &self,
        topics: &[&str],
        stopped: &dyn Fn() -> bool,
    ) -> Result<Vec<Result<TopicState, SinkError>>, SinkError> {
        let metadata = self.metadata(None, stopped)?;
        let state = |name: &&str| {
            let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == *name) else {
                return Ok(TopicState::Missing);
            };
            match topic.error().map_or(RDKafkaErrorCode::NoError, RDKafkaErrorCode::from) {
                RDKafkaErrorCode::NoError | RDKafkaErrorCode::LeaderNotAvailable => {}
                code => {
                    return Err(SinkError::Topic {
                        topic: (*name).into(),
                        reason: reason_of(code),
                        hint: hint_of(code),
                    });
                }
            }
            let partitions = topic.partitions();
            Ok(match !partitions.is_empty() && partitions.iter().all(|partition| partition.leader() >= 0) {
                true => TopicState::Complete(Prepared {
                    partitions: u32::try_from(partitions.len()).unwrap_or(u32::MAX),
                    identity: None,
                    may_write: None,
                }),
                false => TopicState::Incomplete,
            })
        };
        Ok(topics.iter().map(state).collect())
    }

    /// Topics that would refuse our messages. One whose settings we may not see passes. `take` gets each topic, in their order, with its
    /// `max.message.bytes`.
    fn check_settings(
        &self,
        topics: &[&str],
        stopped: &dyn Fn() -> bool,
        mut take: impl FnMut(&str, Option<u64>),
    ) -> Result<Vec<SinkError>, SinkError> {
        let mut problems = Vec::new();
        for topics in topics.chunks(TOPICS_PER_QUESTION) {
            let event = self.answer(&self.producer.topic_settings(topics, ANSWER_TIMEOUT), stopped)?;
            let (policies, sizes) = (event.settings(c"cleanup.policy"), event.settings(c"max.message.bytes"));
            let codecs = event.settings(c"compression.type");
            for &topic in topics {
                let policy = policies.get(topic);
                if policy.is_none() {
                    tracing::debug!(topic, "brokers don't tell the settings of the topic");
                }
                problems.extend(self.check_policy(topic, policy.map(String::as_str)).err());
                let bytes: Option<u64> = sizes.get(topic).and_then(|size| size.parse().ok());
                let mut all_taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
                // An answer without it does not make what was known untrue.
                let known = all_taken.get(topic).and_then(|taken| taken.bytes);
                let taken = Taken {
                    bytes: bytes.and_then(|bytes| usize::try_from(bytes).ok()).or(known),
                    kept: codecs.get(topic).map_or(Kept::default(), |word| Kept::named(word)),
                    asked: Instant::now(),
                };
                all_taken.insert(topic.into(), taken);
                drop(all_taken);
                take(topic, bytes);
            }
        }
        Ok(problems)
    }

    fn check_policy(&self, topic: &str, policy: Option<&str>) -> Result<(), SinkError> {
        let Some(policy) = policy.filter(|policy| is_compacted(policy)) else { return Ok(()) };
        if self.is_kept_whole(topic) {
            return Err(SinkError::KeepsOne { topic: topic.into(), policy: policy.into() });
        }
        if !self.has_keys {
            return Err(SinkError::Compacted { topic: topic.into(), policy: policy.into() });
        }
        self.compacted.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.into(), policy.into());
        Ok(())
    }

    /// Asks until a broker answers, which takes a few attempts while connections are being made. At the start, gives up
    /// early when one has refused us: waiting doesn't mend a password or a certificate.
    pub(super) fn metadata(&self, topic: Option<&str>, stopped: &dyn Fn() -> bool) -> Result<Metadata, SinkError> {
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
                Err(_) if !self.answered.load(Ordering::Relaxed) && self.journal.is_authentication() => {
                    return Err(self.journal.refused(&self.brokers));
                }
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

fn is_compacted(policy: &str) -> bool {
    policy.split(',').any(|policy| policy.trim() == "compact")
}

/// The `cleanup.policy` among a topic's settings, if it keeps the last message of each key.
pub fn compacts(settings: &BTreeMap<String, String>) -> Option<&str> {
    settings.get("cleanup.policy").map(String::as_str).filter(|policy| is_compacted(policy))
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
