//! Delivers messages to Kafka.
//!
//! ```text
//!  send ──► admit ─────► runs of one topic ──► rd_kafka_produce_batch ──► librdkafka: one thread per broker
//!             │          in the order of       pointers into the                        │
//!             │          the window            window's buffers                         ▼ reports
//!             ▼                                                         thread kafka-reports
//!           outstanding: messages left per window ◄──────────────────────────┘
//!           at 0: values are freed, the delivery resolves
//! ```
//!
//! **Order.** One producer with idempotence: what was handed over first for a partition is written first, whatever has to
//! be repeated, and behind a message that is refused for good nothing of its partition goes out. Where several batches of a
//! window share a topic they are merged by sequence. Brokers before 0.11 know no idempotence: to them, messages go in
//! [`rounds`], in the same order, and those of a request whose connection breaks may come twice.
//!
//! **Brokers** are met before anything else, and asked what they can do ([`abilities`]).
//!
//! **Brokers that go away** are waited for inside librdkafka, without a time limit for the single message; what was
//! handed over goes out in order when they return. When the oldest window has got no further for `retry`, the sink gives
//! up; but [`SLOW`](reports::SLOW) brokers are not away.
//!
//! **Keys** are copied by librdkafka, so that only values must live. **Headers** are lists of librdkafka's own, one for each
//! message. `rd_kafka_produce_batch` knows none: a window with headers is handed over message by message.
//!
//! **Topics** are looked up and created by whoever plans to send to them, beside the thread that sends. Whether they are still
//! there is asked from time to time ([`watch`]): librdkafka itself would wait for a topic that was deleted. Whether they still hold what
//! was acknowledged, each acknowledgement tells ([`marks`]).
//!
//! **A failure is final**: what librdkafka reports as failed it has already repeated as often as that may help. Then all
//! windows fail with this one reason, nothing that waits is sent any more, and the sink takes no further window. Start
//! again from the checkpoint with a new sink.
//!
//! **Dropping** the sink stops at once: windows that are not delivered resolve with [`SinkError::Stopped`]. Await the
//! deliveries first.

mod abilities;
mod consumer;
mod deletion;
mod journal;
mod limit;
mod lull;
mod marks;
mod options;
mod outstanding;
mod producer;
mod reports;
mod rounds;
#[cfg(test)]
mod tests;
mod token;
mod topics;
mod watch;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use rdkafka::types::RDKafkaErrorCode;

use abilities::Needs;
pub use abilities::{Ability, Lack};
pub use consumer::{Consumers, KafkaConsumer};
pub use deletion::delete_topic;
use journal::Journal;
pub use limit::{Excess, MessageLimit};
pub use options::{
    CreateTopics, Decides, KafkaOptions, Password, PasswordMechanism, ReadPassword, Sasl, SaslMechanism, Security, Tls,
};
use reports::{Patience, ReportService};
pub use token::{OAuth, TokenUrl, check_extension};
use topics::KafkaTopics;
pub use topics::{BrokerInfo, OldBrokers, TopicFacts, check, compacts};
use watch::Watch;

use lull::Lull;
use marks::Acknowledged;
use outstanding::{Outstanding, WindowId};
use producer::{HeaderList, Messages, Producer, Topic};

use crate::{Receipt, Sink, SinkError, Topics, order};
use tidegate_model::message::{Headers, MessageBatch, MessageWindow};

/// Messages per call of librdkafka, all of one partition. librdkafka keeps a partition's messages as a linked list: made
/// in one go they lie side by side, and everything that walks the list takes half the time of a list that was made in
/// turns with other partitions (see benches/produce.rs).
const MESSAGES_PER_CALL: usize = 512;
/// Most that Kafka's format and librdkafka's own count add to a value.
const FRAMING_BYTES_MAX: usize = 512;
/// Requests of a connection that idempotence allows at a time.
const IN_FLIGHT_MAX: usize = 5;

pub struct KafkaSink {
    handles: HashMap<Arc<str>, Topic>,
    topics: Arc<KafkaTopics>,
    /// By partition; empty between calls, kept for their memory.
    lists: Vec<Messages>,
    producer: Arc<Producer>,
    reports: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    /// Of value, key and headers together.
    message_bytes_max: usize,
    /// Without idempotence: what a request holds.
    rounds: Option<rounds::Limit>,
}

impl KafkaSink {
    /// Meets the brokers, and goes by what they can do: without idempotence where they know none. What else they lack of what is needed
    /// is an error.
    pub fn connect(options: KafkaOptions) -> Result<KafkaSink, SinkError> {
        match KafkaSink::meet(options)? {
            (sink, lacks) if lacks.is_empty() => Ok(sink),
            (sink, lacks) => Err(sink.topics.lacking(lacks)),
        }
    }

    /// A client as the brokers can have one, and what they lack that nothing stands in for.
    fn meet(options: KafkaOptions) -> Result<(KafkaSink, Vec<Lack>), SinkError> {
        let needs = options.needs();
        let sink = KafkaSink::prepare(options.clone(), needs)?;
        let met = sink.topics.meet_brokers(true);
        let mut lacks = sink.topics.abilities.lacks(needs);
        if lacks.is_empty() {
            return met.map(|()| (sink, lacks));
        }
        drop(sink);
        // Of this one, nothing is needed that would keep it from asking questions.
        let sink = KafkaSink::prepare(options, Needs::default())?;
        sink.topics.meet_brokers(false)?;
        lacks.retain(|&lack| lack != Lack::Idempotence);
        Ok((sink, lacks))
    }

    /// Prepares a client; whether brokers can be reached, and what they can do, shows later.
    fn prepare(options: KafkaOptions, needs: Needs) -> Result<KafkaSink, SinkError> {
        let config = options.client_config(needs.idempotence)?;
        let message_bytes_max: usize =
            config.get("message.max.bytes").and_then(|value| value.parse().ok()).unwrap_or(usize::MAX);
        let number = |name| config.get(name).and_then(|value| value.parse::<usize>().ok());
        let in_flight = number("max.in.flight.requests.per.connection").or(number("max.in.flight"));
        let in_flight = in_flight.unwrap_or(IN_FLIGHT_MAX).min(IN_FLIGHT_MAX);
        let request_bytes = number("batch.size").unwrap_or(message_bytes_max).min(message_bytes_max);
        let rounds = rounds::Limit { bytes: request_bytes, messages: number("batch.num.messages").unwrap_or(1) };
        let tokens = options.security.tokens();
        let producer = Arc::new(Producer::new(&config, tokens.clone(), Outstanding::default())?);
        let journal = Arc::new(Journal { last: Mutex::default(), tokens });
        let stop = Arc::new(AtomicBool::new(false));
        let login = match &options.security.sasl {
            Some(Sasl::Password(login)) => Some(login.clone()),
            Some(Sasl::OAuthBearer(_)) | None => None,
        };
        let topics = KafkaTopics::new(Arc::clone(&producer), Arc::clone(&journal), options);
        let topics = Arc::new(topics.with_requests(in_flight, request_bytes).with_client_limit(message_bytes_max));
        let service = ReportService {
            producer: Arc::clone(&producer),
            journal,
            stop: Arc::clone(&stop),
            brokers: topics.brokers.clone(),
            patience: Patience::new(topics.retry, Instant::now()),
            watch: Watch::new(Arc::clone(&topics)),
            lull: Lull::new(Instant::now()),
            topics: Arc::clone(&topics),
            counts: Vec::new(),
            acknowledged: Acknowledged::default(),
            told: None,
            needs,
            invalid: 0,
            login,
        };
        let reports = std::thread::Builder::new()
            .name("kafka-reports".into())
            .spawn(move || service.run())
            .map_err(|error| SinkError::Client(format!("could not start a thread: {error}")))?;
        Ok(KafkaSink {
            handles: HashMap::new(),
            topics,
            lists: Vec::new(),
            producer,
            reports: Some(reports),
            stop,
            message_bytes_max: message_bytes_max.saturating_sub(FRAMING_BYTES_MAX),
            rounds: (!needs.idempotence).then_some(rounds),
        })
    }

    /// librdkafka aborts the process over a message between its own two ideas of what is too large, so it gets none.
    fn check_sizes(&self, batches: &[MessageBatch]) -> Result<(), SinkError> {
        let may_be_larger = |batch: &&MessageBatch| {
            let keys = batch.keys.as_ref().map_or(0, |keys| keys.bytes.len());
            let headers =
                batch.headers.as_ref().map_or(0, |headers| headers.sets().map(Headers::set_bytes).max().unwrap_or(0));
            batch.values.bytes.len() + keys + headers > self.message_bytes_max
        };
        for batch in batches.iter().filter(may_be_larger) {
            let mut bytes = (0..batch.values.len()).map(|index| batch.message_bytes(index));
            if let Some(bytes) = bytes.find(|&bytes| bytes > self.message_bytes_max) {
                return Err(SinkError::TooLarge {
                    topic: batch.topic.to_string(),
                    bytes,
                    reason: format!("message.max.bytes of the client allows {} bytes", self.message_bytes_max),
                });
            }
        }
        Ok(())
    }

    fn produce(&mut self, window: WindowId, batches: &[MessageBatch]) -> Result<(), SinkError> {
        let mut by_topic: Vec<&MessageBatch> = batches.iter().filter(|batch| !batch.values.is_empty()).collect();
        by_topic.sort_by(|a, b| a.topic.cmp(&b.topic));
        for same_topic in by_topic.chunk_by(|a, b| a.topic == b.topic) {
            let name = &same_topic[0].topic;
            let topic = handle(&mut self.handles, &self.producer, name)?;
            if same_topic.iter().any(|batch| batch.headers.is_some()) {
                // SAFETY: `send` put this window's batches into `outstanding` under this number.
                unsafe { produce_with_headers(topic, same_topic, window) }?;
                continue;
            }
            let partition_count =
                same_topic.iter().flat_map(|batch| &batch.partitions).max().map_or(0, |&last| last + 1);
            let lists = &mut self.lists;
            lists.iter_mut().for_each(Messages::clear);
            lists.resize_with(lists.len().max(partition_count as usize), Messages::default);
            let mut result = Ok(());
            order::each_run(same_topic, |batch, run| {
                for index in run {
                    let partition = batch.partitions[index];
                    let messages = &mut lists[partition as usize];
                    messages.push(batch.values.get(index), batch.keys.as_ref().map(|keys| keys.get(index)), window);
                    if messages.len() == MESSAGES_PER_CALL && result.is_ok() {
                        // SAFETY: `send` put this window's batches into `outstanding` under this number.
                        result = unsafe { topic.produce(partition, messages) };
                    }
                }
            });
            result?;
            for (partition, messages) in (0..partition_count).zip(lists) {
                // SAFETY: as above.
                unsafe { topic.produce(partition, messages) }?;
            }
        }
        Ok(())
    }
}

fn handle<'h>(
    handles: &'h mut HashMap<Arc<str>, Topic>,
    producer: &Arc<Producer>,
    name: &Arc<str>,
) -> Result<&'h Topic, SinkError> {
    if !handles.contains_key(name) {
        handles.insert(Arc::clone(name), Topic::new(producer, name)?);
    }
    Ok(&handles[name])
}

/// Hands over all messages of a topic, in the order of the window.
///
/// # Safety
/// The window is in `outstanding` and holds the batches.
unsafe fn produce_with_headers(topic: &Topic, batches: &[&MessageBatch], window: WindowId) -> Result<(), SinkError> {
    let mut result = Ok(());
    order::each_run(batches, |batch, run| {
        // Messages of one event mostly stand side by side.
        let mut last: Option<(usize, HeaderList)> = None;
        for index in run {
            if result.is_err() {
                return;
            }
            if let Some(headers) = &batch.headers {
                let set = headers.set_of(index);
                if last.as_ref().is_none_or(|(last, _)| *last != set) {
                    last = Some((set, HeaderList::new(headers.get(index))));
                }
            }
            let message = producer::Message {
                partition: batch.partitions[index],
                value: batch.values.get(index),
                key: batch.keys.as_ref().map(|keys| keys.get(index)),
                headers: last.as_ref().map(|(_, list)| list),
            };
            // SAFETY: the caller's promise.
            result = unsafe { topic.produce_one(&message, window) };
        }
    });
    result
}

impl Sink for KafkaSink {
    fn send(&mut self, window: MessageWindow) -> Result<Receipt, SinkError> {
        debug_assert!(window.batches.iter().all(|batch| {
            batch.partitions.len() == batch.values.len()
                && batch.sequence.len() == batch.values.len()
                && batch.keys.as_ref().is_none_or(|keys| keys.len() == batch.values.len())
                && batch.headers.as_ref().is_none_or(|headers| headers.len() == batch.values.len())
                && batch.partitions.iter().all(|&partition| partition >= 0)
        }));
        self.check_sizes(&window.batches)?;
        let batches = Arc::new(window.batches);
        let (id, delivery) = self.producer.outstanding.admit(Arc::clone(&batches))?;
        let produced = match self.rounds {
            // SAFETY: the window holds the batches, and is in `outstanding` under this number.
            Some(limit) => unsafe { rounds::send(&mut self.handles, &self.producer, id, &batches, limit) },
            None => self.produce(id, &batches),
        };
        if let Err(error) = produced {
            self.producer.fail(error.clone());
            return Err(error);
        }
        Ok(delivery)
    }

    fn topics(&self) -> Arc<dyn Topics> {
        Arc::clone(&self.topics) as Arc<dyn Topics>
    }

    fn aborter(&self) -> Box<dyn Fn() + Send + Sync> {
        let producer = Arc::clone(&self.producer);
        Box::new(move || {
            producer.fail(SinkError::Stopped);
        })
    }
}

impl Drop for KafkaSink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.producer.wake();
        if let Some(reports) = self.reports.take() {
            // If it panicked, it has said so, and every window has been resolved.
            let _ = reports.join();
        }
    }
}

fn refused(code: RDKafkaErrorCode, topic: String, partition: i32, reason: String) -> SinkError {
    match code {
        // From the moment on at which librdkafka believes it.
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
            SinkError::TopicGone { topic, what: "was deleted" }
        }
        code => SinkError::Delivery { topic, partition, reason, hint: hint_of(code) },
    }
}

/// What to do by options of this sink: whoever has read them from somewhere knows what they are called there.
pub mod to_do {
    pub const KEYS: &str = "brokers before 0.11 say so of messages without a key where the topic is compacted: give messages a key, set \
                            cleanup.policy=delete for the topic, or send to another one";
    pub const REPLICATION: &str = "ask for at most as many replicas as there are brokers";
    pub const COUNTS: &str = "say how many partitions and replicas a new topic gets";
    pub const COMPRESSION: &str = "set another compression.type";
}

/// What to do when brokers give this for their reason.
pub(crate) fn hint_of(code: RDKafkaErrorCode) -> Option<&'static str> {
    Some(match code {
        RDKafkaErrorCode::TopicAuthorizationFailed => {
            "grant the user DESCRIBE and WRITE on the topic, and CREATE if the task is to create it"
        }
        RDKafkaErrorCode::ClusterAuthorizationFailed => {
            "grant the user IDEMPOTENT_WRITE on the cluster (from Kafka 2.8 on, WRITE on its topics is enough), and CREATE if the task is to \
             create topics"
        }
        RDKafkaErrorCode::InvalidTopic => {
            "a topic's name has at most 249 letters, digits, dots, underscores and hyphens, and differs from others in more than \
             dots and underscores: choose another one"
        }
        RDKafkaErrorCode::InvalidRecord | RDKafkaErrorCode::InvalidDifferentRecord => {
            "the topic's settings demand something that these messages do not have, such as a key (cleanup.policy=compact) or a \
             time close to the broker's: change them, or send to another topic"
        }
        RDKafkaErrorCode::InvalidMessage => to_do::KEYS,
        RDKafkaErrorCode::InvalidTimestamp => {
            "the clocks of this machine and of the brokers differ by more than message.timestamp.*.max.ms of the topic allows"
        }
        RDKafkaErrorCode::PolicyViolation => "a policy of the brokers forbids it: their operator knows which",
        RDKafkaErrorCode::InvalidReplicationFactor => to_do::REPLICATION,
        RDKafkaErrorCode::UnsupportedForMessageFormat => {
            "the topic's message.format.version is one from before 0.11: raise it, or send to another topic"
        }
        RDKafkaErrorCode::UnsupportedCompressionType => to_do::COMPRESSION,
        RDKafkaErrorCode::UnknownPartition => "the topic has fewer partitions than it had: start the task again",
        _ => return None,
    })
}
