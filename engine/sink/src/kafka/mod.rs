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
//! up; but [`SLOW`] brokers are not away.
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
mod limit;
mod lull;
mod marks;
mod options;
mod outstanding;
mod producer;
mod rounds;
#[cfg(test)]
mod tests;
mod token;
mod topics;
mod watch;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;

use abilities::Needs;
pub use abilities::{Ability, Lack};
pub use consumer::{Consumers, KafkaConsumer};
pub use limit::{Excess, Limit};
use options::SETTINGS;
pub use options::{
    CreateTopics, KafkaOptions, Password, PasswordMechanism, ReadPassword, Sasl, SaslMechanism, Security, Tls,
};
use token::Tokens;
pub use token::{OAuth, TokenUrl, check_extension};
use topics::KafkaTopics;
pub use topics::{BrokerInfo, OldBrokers, TopicFacts, check, compacts};
use watch::Watch;

use lull::{Lull, Order};
use marks::Acknowledged;
use outstanding::{Outstanding, WindowId};
use producer::{Event, EventKind, HeaderList, Messages, Producer, Topic};

use crate::{Delivery, Sink, SinkError, Topics, order};
use tidegate_model::message::{Headers, MessageBatch, MessageWindow};
use tidegate_model::status::Retrying;

/// Messages per call of librdkafka, all of one partition. librdkafka keeps a partition's messages as a linked list: made
/// in one go they lie side by side, and everything that walks the list takes half the time of a list that was made in
/// turns with other partitions (see benches/produce.rs).
const MESSAGES_PER_CALL: usize = 512;
/// How often the thread of reports looks at the clock.
const TICK: Duration = Duration::from_millis(500);
/// When the oldest window has got no further for so long, something is wrong with brokers or topics.
const TROUBLE_AFTER: Duration = Duration::from_secs(2);
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
                    reason: format!("message.max.bytes of sink.options allows {} bytes", self.message_bytes_max),
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
    fn send(&mut self, window: MessageWindow) -> Result<Delivery, SinkError> {
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

/// The thread that listens to librdkafka.
struct ReportService {
    producer: Arc<Producer>,
    journal: Arc<Journal>,
    stop: Arc<AtomicBool>,
    brokers: String,
    patience: Patience,
    watch: Watch,
    lull: Lull,
    topics: Arc<KafkaTopics>,
    /// Of the event at hand; kept for its memory.
    counts: Vec<(WindowId, usize)>,
    /// The same.
    acknowledged: Acknowledged,
    /// When a broken connection was last told of.
    told: Option<Instant>,
    needs: Needs,
    /// How often messages were found invalid since some were acknowledged.
    invalid: u32,
    login: Option<Password>,
}

impl ReportService {
    fn run(mut self) {
        while !self.stop.load(Ordering::Acquire) {
            let mut heard = false;
            if let Some(event) = self.producer.next_event(self.lull.next_step().unwrap_or(TICK)) {
                // A connection that breaks is no silence either: what was in flight on it is to be sent again.
                heard = matches!(event.kind(), EventKind::Reports | EventKind::Error { .. });
                self.serve(event);
            }
            let (oldest, now) = (self.producer.outstanding.oldest(), Instant::now());
            // In rounds, nothing waits behind what is on its way.
            match self.lull.step(heard, oldest.is_some() && self.needs.idempotence, now) {
                Some(Order::Pause) => self.producer.set_paused(&self.topics.partitions(), true),
                Some(Order::Resume) => self.producer.set_paused(&self.topics.partitions(), false),
                Some(Order::Wake) => self.producer.wake_brokers(),
                None => {}
            }
            let waited = self.patience.waited(oldest, now);
            self.note_outage(waited, now);
            if waited > self.patience.limit {
                let reason = format!("nothing was acknowledged for {} s", self.patience.limit.as_secs_f32());
                self.producer.fail(self.journal.unreachable(&self.brokers, &reason));
            } else if self.patience.should_say(waited) {
                let error = self.journal.unreachable(&self.brokers, "no answer to what was sent");
                tracing::warn!(%error, "nothing has been acknowledged for {} s, still waiting", waited.as_secs());
            }
            if let Some(error) = self.watch.look(waited >= TROUBLE_AFTER, now) {
                self.producer.fail(error);
            }
        }
    }

    /// Brokers that are slow for a moment are no news.
    fn note_outage(&self, waited: Duration, now: Instant) {
        let mut outage = self.topics.outage.lock().unwrap_or_else(PoisonError::into_inner);
        if waited < TROUBLE_AFTER {
            *outage = None;
        } else if outage.is_none() {
            let error = self.journal.unreachable(&self.brokers, "no answer to what was sent");
            *outage = Some(Retrying {
                reason: error.to_string(),
                hint: error.hint().map(str::to_owned),
                since: self.patience.since,
                attempts: 0,
                // librdkafka tries all the time.
                next_try: now,
                until: self.patience.since + self.patience.limit,
            });
        }
    }

    fn serve(&mut self, mut event: Event) {
        match event.kind() {
            EventKind::Reports => {
                let mut failure = None;
                let mut delivered_any = false;
                self.counts.clear();
                let has_failed = self.producer.outstanding.failure().is_some();
                let mut undelivered = Vec::new();
                event.each_report(&self.producer, |report| {
                    let counts = match report.is_delivered() {
                        true => {
                            delivered_any = true;
                            self.acknowledged.add(&report);
                            &mut self.counts
                        }
                        false => {
                            note_failure(&mut failure, &report, &self.brokers);
                            &mut undelivered
                        }
                    };
                    match counts.last_mut() {
                        Some((window, count)) if *window == report.window() => *count += 1,
                        _ => counts.push((report.window(), 1)),
                    }
                });
                // Until it is known why, a message that was not delivered is one that is missing.
                if has_failed || failure.is_some() {
                    self.counts.append(&mut undelivered);
                }
                if delivered_any {
                    self.invalid = 0;
                    self.journal.clear();
                }
                let fallen = self.topics.marks.pass(&mut self.acknowledged).err();
                // Before anything is counted, so that a window with a message that failed can't pass for delivered.
                if let Some(error) = failure.or(fallen) {
                    self.producer.fail(error);
                }
                // librdkafka lets go of the messages first.
                drop(event);
                self.producer.outstanding.reported(&self.counts);
            }
            EventKind::Error { code, fatal, text } => {
                if fatal || code == RDKafkaErrorCode::Fatal {
                    // The report of that message is behind it, and says more.
                    if self.producer.has_refused() {
                        return;
                    }
                    let error = self.producer.fatal_error().unwrap_or(SinkError::Client(text));
                    tracing::error!(%error, "Kafka client can't go on");
                    self.producer.fail(error);
                } else {
                    // Each attempt fails with its own words, many times a second; that all are down says least.
                    let is_news = code != RDKafkaErrorCode::AllBrokersDown
                        && self.told.is_none_or(|told| told.elapsed() >= TELL_INTERVAL);
                    match is_news {
                        true => {
                            self.told = Some(Instant::now());
                            tracing::warn!(reason = %text, "Kafka connection");
                        }
                        false => tracing::debug!(reason = %text, "Kafka connection"),
                    }
                    self.journal.note(code, text);
                    if code == RDKafkaErrorCode::Authentication {
                        self.read_password_again();
                        self.producer.renew_token();
                    }
                }
            }
            EventKind::Log { level, facility, text } => {
                if facility == "APIVERSION" {
                    let lacks = self.topics.abilities.note(&text, self.needs);
                    if !lacks.is_empty() {
                        self.producer.fail(self.topics.lacking(lacks));
                    }
                }
                if facility == "GETPID" && text.contains("Acquired ") {
                    self.topics.abilities.note_number();
                }
                if let Some((topic, partition)) = rounds::invalid(&text).filter(|_| facility == "MSGSET") {
                    self.invalid += 1;
                    if self.invalid == rounds::INVALID_MAX {
                        let code = RDKafkaErrorCode::InvalidMessage;
                        self.producer.fail(refused(code, topic.to_owned(), partition, producer::reason_of(code)));
                    }
                }
                // That settings of ours are "experimental" is no news to whoever runs a task.
                let is_ours = facility == "CONFWARN" && SETTINGS.iter().any(|(name, _)| text.contains(name));
                // What failed comes as an event besides; that no producer's number is to be had says nothing more.
                let is_said = facility == "FAIL" || facility == "GETPID";
                if level <= SYSLOG_WARNING && !is_ours && !is_said {
                    tracing::warn!(target: "librdkafka", "{facility}: {text}");
                } else {
                    tracing::debug!(target: "librdkafka", "{facility}: {text}");
                }
            }
            EventKind::Other => {}
        }
    }
}

impl ReportService {
    /// A password that was changed at the brokers is soon changed where it is read from, too.
    fn read_password_again(&mut self) {
        let Some(login) = &mut self.login else { return };
        let Some(password) = login.read_again.as_ref().and_then(|read| read()) else { return };
        if password != login.password {
            tracing::info!(
                user = login.user,
                "the password has changed where it is read from, and is used from now on"
            );
            self.producer.set_credentials(&login.user, &password);
            login.password = password;
        }
    }
}

const SYSLOG_WARNING: i32 = 4;
/// Between two lines about broken connections.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

impl Drop for ReportService {
    // Also when the thread panics: nobody may wait for it then.
    fn drop(&mut self) {
        self.producer.fail(match self.stop.load(Ordering::Acquire) {
            true => SinkError::Stopped,
            false => SinkError::Client("the thread that takes delivery reports has ended, a fault of tidegate".into()),
        });
    }
}

/// The first message of an event that failed decides, except that of several that are too large the largest is named:
/// a broker refuses them as one request.
fn note_failure(failure: &mut Option<SinkError>, report: &producer::Report<'_>, brokers: &str) {
    match (failure, report.error()) {
        // Purged after a failure that is known already.
        (_, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => {}
        (Some(SinkError::TooLarge { bytes, .. }), RDKafkaErrorCode::MessageSizeTooLarge) => {
            *bytes = report.bytes().max(*bytes);
        }
        // Says more than that another message of the same request was refused.
        (failure @ Some(SinkError::Delivery { .. }), RDKafkaErrorCode::InvalidRecord) => {
            *failure = Some(refusal(report))
        }
        (Some(_), _) => {}
        (failure, RDKafkaErrorCode::MessageSizeTooLarge) => {
            *failure =
                Some(SinkError::TooLarge { topic: report.topic(), bytes: report.bytes(), reason: report.reason() });
        }
        // Those that wait while brokers refuse to let the client stay are given up, and nothing may go out behind them. What they refuse
        // may be another thing a moment later: a token, or a password that has changed.
        (failure, RDKafkaErrorCode::MessageTimedOut | RDKafkaErrorCode::Authentication) => {
            *failure = Some(SinkError::Unreachable { brokers: brokers.into(), reason: report.reason() });
        }
        (failure, _) => *failure = Some(refusal(report)),
    }
}

fn refusal(report: &producer::Report<'_>) -> SinkError {
    refused(report.error(), report.topic(), report.partition(), report.reason())
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
        RDKafkaErrorCode::InvalidMessage => {
            "brokers before 0.11 say so of messages without a key where the topic is compacted: give messages a key (sink.key), set \
             cleanup.policy=delete for the topic, or send to another one"
        }
        RDKafkaErrorCode::InvalidTimestamp => {
            "the clocks of this machine and of the brokers differ by more than message.timestamp.*.max.ms of the topic allows"
        }
        RDKafkaErrorCode::PolicyViolation => "a policy of the brokers forbids it: their operator knows which",
        RDKafkaErrorCode::InvalidReplicationFactor => {
            "set sink.create_topics.replication to at most the number of brokers"
        }
        RDKafkaErrorCode::UnsupportedForMessageFormat => {
            "the topic's message.format.version is one from before 0.11: raise it, or send to another topic"
        }
        RDKafkaErrorCode::UnsupportedCompressionType => "set another compression.type in sink.options",
        RDKafkaErrorCode::UnknownPartition => "the topic has fewer partitions than it had: start the task again",
        _ => return None,
    })
}

/// How long brokers may take to acknowledge something, however short the time for retries is: only then they count as away.
const SLOW: Duration = Duration::from_secs(10);

/// Notices when the oldest window gets no further.
struct Patience {
    limit: Duration,
    /// The window and its messages left, and since when that is so.
    oldest: Option<(WindowId, usize)>,
    since: Instant,
    /// When it is time to say so.
    say_at: Duration,
}

/// How long nothing is acknowledged before that is said; then again each time it has lasted twice as long.
const SAY_AFTER: Duration = Duration::from_secs(10);

impl Patience {
    fn new(retry: Duration, now: Instant) -> Patience {
        Patience { limit: retry.max(SLOW), oldest: None, since: now, say_at: SAY_AFTER }
    }

    /// How long the oldest window has got no further.
    fn waited(&mut self, oldest: Option<(WindowId, usize)>, now: Instant) -> Duration {
        if oldest.is_none() || oldest != self.oldest {
            self.oldest = oldest;
            self.since = now;
            self.say_at = SAY_AFTER;
        }
        now - self.since
    }

    fn should_say(&mut self, waited: Duration) -> bool {
        let should = waited >= self.say_at;
        if should {
            self.say_at *= 2;
        }
        should
    }
}

/// Why brokers are not to be reached.
struct Journal {
    /// The last that librdkafka said about a connection.
    last: Mutex<Option<(RDKafkaErrorCode, String)>>,
    /// Without one, it is no matter what brokers say.
    tokens: Option<Arc<Tokens>>,
}

impl Journal {
    fn lock(&self) -> MutexGuard<'_, Option<(RDKafkaErrorCode, String)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, code: RDKafkaErrorCode, text: String) {
        // That all are down says less than why the last one is.
        let mut last = self.lock();
        if code != RDKafkaErrorCode::AllBrokersDown || last.is_none() {
            *last = Some((code, text));
        }
    }

    /// A broker has answered: what was said before is no longer the matter.
    fn clear(&self) {
        *self.lock() = None;
    }

    fn was_refused(&self) -> bool {
        matches!(&*self.lock(), Some((RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL, _)))
    }

    fn is_authentication(&self) -> bool {
        matches!(&*self.lock(), Some((RDKafkaErrorCode::Authentication, _)))
    }

    fn refused(&self, brokers: &str) -> SinkError {
        let reason = self.lock().as_ref().map_or_else(String::new, |(_, text)| text.clone());
        SinkError::Refused { brokers: brokers.into(), reason }
    }

    fn unreachable(&self, brokers: &str, reason: &str) -> SinkError {
        if let Some(lacking) = self.tokens.as_ref().and_then(|tokens| tokens.lacking()) {
            return lacking;
        }
        let reason = self.lock().as_ref().map_or_else(|| reason.to_owned(), |(code, text)| in_words(*code, text));
        SinkError::Unreachable { brokers: brokers.into(), reason }
    }
}

/// What librdkafka says about a connection, for people.
fn in_words(code: RDKafkaErrorCode, text: &str) -> String {
    // All that it says where each broker takes the connection, and hangs up.
    if code == RDKafkaErrorCode::AllBrokersDown {
        return "each of them hangs up, as brokers do that want SASL or TLS, or that are ending".to_owned();
    }
    if text.contains("Invalid response size") {
        return "what answers there does not speak as a Kafka broker does".to_owned();
    }
    // How often it was tried within which time says nothing to whoever reads why.
    text.split_once(" (after ").map_or(text, |(reason, _)| reason).to_owned()
}
