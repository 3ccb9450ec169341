//! librdkafka's producer as this sink uses it: batches of messages in without copying them, events out.
//!
//! The `rdkafka` crate makes the client and its configuration. Its own producers copy every value and handle every
//! message by itself, 250 to 500 ns each; `rd_kafka_produce_batch` and a loop over the events take half of that.
//! All `unsafe` code of the sink is here. What makes it sound:
//!
//! - Values are read by librdkafka's threads until their delivery is reported or the client is gone. [`Outstanding`]
//!   holds each window's values until all its messages are reported, and is dropped after the client.
//! - A message carries the number of its window, not a pointer.
//! - Handles of topics and queues are given back before the client is, because their owners keep it alive.
//! - Text that librdkafka shows is copied while its owner lives, and each call below names the owner: an event for what
//!   an event shows, the library itself for its constants. The broker's words about a single message have no owner that
//!   we could keep: [`Words`] takes them where they are still there.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::config::{ClientConfig, NativeClientConfig};
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr, RDKafkaType};
use rdkafka::{Offset, TopicPartitionList};
use rdkafka_sys as sys;

use super::outstanding::{Outstanding, WindowId};
use super::refused;
use crate::{SinkError, TopicIdentity};

const NO_BROKER: i32 = -1;

pub(super) struct Producer {
    // Dropped in this order. The client's end joins all threads that read values.
    queue: Queue,
    client: Client,
    pub(super) outstanding: Outstanding,
    /// librdkafka's threads have its address.
    words: Arc<Words>,
    /// A broker that led a partition, or else answered, when one was last asked about topics; [`NO_BROKER`] if none has.
    leader: AtomicI32,
    /// How many brokers there were then.
    brokers: AtomicUsize,
    /// How often partitions were paused.
    #[cfg(test)]
    pub(super) pauses: AtomicUsize,
}

impl Producer {
    pub(super) fn new(config: &ClientConfig, outstanding: Outstanding) -> Result<Producer, SinkError> {
        keep_freed_memory();
        let native = config.create_native_config().map_err(client_error)?;
        // SAFETY: the configuration is alive, and only a number is stored in it.
        unsafe { sys::rd_kafka_conf_set_events(native.ptr(), sys::RD_KAFKA_EVENT_DR | sys::RD_KAFKA_EVENT_ERROR) };
        let words = Arc::<Words>::default();
        words.listen(&native)?;
        let client =
            Client::new(config, native, RDKafkaType::RD_KAFKA_PRODUCER, DefaultClientContext).map_err(client_error)?;
        // SAFETY: the client is alive; the reference to its main queue that this returns is ours to give back.
        let queue = unsafe { sys::rd_kafka_queue_get_main(client.native_ptr()) };
        Ok(Producer {
            queue: Queue(NonNull::new(queue).expect("a client has a main queue")),
            client,
            outstanding,
            words,
            leader: AtomicI32::new(NO_BROKER),
            brokers: AtomicUsize::new(1),
            #[cfg(test)]
            pauses: AtomicUsize::new(0),
        })
    }

    /// Waits for the next event. `None` when time is up, or after [`Producer::wake`].
    pub(super) fn next_event(&self, timeout: Duration) -> Option<Event> {
        self.queue.poll(timeout)
    }

    /// Makes a thread that waits in [`Producer::next_event`], or will next do so, return.
    pub(super) fn wake(&self) {
        // SAFETY: the queue is alive as long as `self`.
        unsafe { sys::rd_kafka_queue_yield(self.queue.0.as_ptr()) };
    }

    /// Why the client can't go on, if it can't.
    pub(super) fn fatal_error(&self) -> Option<String> {
        self.client.fatal_error().map(|(_, reason)| reason)
    }

    /// Whether the client can't go on because a message was refused for good, which its report tells, or has told.
    pub(super) fn has_refused(&self) -> bool {
        matches!(self.client.fatal_error(), Some((RDKafkaErrorCode::GaplessGuarantee, _)))
    }

    /// Fails all windows, and forgets the messages that were not sent yet, so that none goes out after one that failed.
    pub(super) fn fail(&self, error: SinkError) {
        if self.outstanding.fail(error) {
            let purge = sys::RD_KAFKA_PURGE_F_QUEUE | sys::RD_KAFKA_PURGE_F_NON_BLOCKING;
            // SAFETY: the client is alive. Each message that is purged is reported.
            unsafe { sys::rd_kafka_purge(self.client.native_ptr(), purge) };
        }
    }

    /// Has librdkafka pass over partitions, or look at them again, soon.
    pub(super) fn set_paused(&self, partitions: &TopicPartitionList, paused: bool) {
        #[cfg(test)]
        self.pauses.fetch_add(usize::from(paused), Ordering::Relaxed);
        let client = self.client.native_ptr();
        // SAFETY: the client and the list are alive. What goes wrong is written into the list for single partitions, which
        // are unknown then and have nothing to be passed over.
        unsafe {
            match paused {
                true => sys::rd_kafka_pause_partitions(client, partitions.ptr()),
                false => sys::rd_kafka_resume_partitions(client, partitions.ptr()),
            }
        };
    }

    /// Has librdkafka's threads look at what they could send.
    pub(super) fn wake_brokers(&self) {
        // SAFETY: the client is alive. Without time to wait, a flush is no more than that.
        unsafe { sys::rd_kafka_flush(self.client.native_ptr(), 0) };
    }

    /// Asks a broker about one topic, or about all.
    pub(super) fn metadata(&self, topic: Option<&str>, timeout: Duration) -> Result<Metadata, RDKafkaErrorCode> {
        let metadata = self.client.fetch_metadata(topic, timeout).map_err(|error| match error {
            KafkaError::MetadataFetch(code) => code,
            _ => RDKafkaErrorCode::InvalidArgument,
        })?;
        self.brokers.store(metadata.brokers().len().max(1), Ordering::Relaxed);
        let mut partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        if let Some(partition) = partitions.find(|partition| partition.leader() >= 0) {
            self.leader.store(partition.leader(), Ordering::Relaxed);
        } else if metadata.orig_broker_id() >= 0 {
            self.leader.store(metadata.orig_broker_id(), Ordering::Relaxed);
        }
        Ok(metadata)
    }

    /// The first or the next offset of each partition of some topics, each with how many it has.
    pub(super) fn offsets(
        &self,
        topics: &[(&str, u32)],
        which: Offset,
        timeout: Duration,
    ) -> Result<Vec<Vec<i64>>, RDKafkaErrorCode> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let mut list = TopicPartitionList::new();
        for (topic, partitions) in topics {
            for partition in 0..*partitions {
                list.add_partition_offset(topic, partition as i32, which)
                    .map_err(|_| RDKafkaErrorCode::InvalidArgument)?;
            }
        }
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: client and list are alive. The times that are asked for stand where offsets do, and the protocol's
        // numbers for the first and the next offset are librdkafka's for the beginning and the end.
        let code = unsafe { sys::rd_kafka_offsets_for_times(self.client.native_ptr(), list.ptr(), timeout_ms) };
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(code.into());
        }
        // Answers are filled in where the questions stand.
        let mut elements = list.elements().into_iter();
        let mut found: Vec<Vec<i64>> = Vec::with_capacity(topics.len());
        for (_, partitions) in topics {
            let offsets =
                elements.by_ref().take(*partitions as usize).map(|element| match (element.error(), element.offset()) {
                    (Ok(()), Offset::Offset(offset)) => Ok(offset),
                    (Err(KafkaError::OffsetFetch(code)), _) => Err(code),
                    _ => Err(RDKafkaErrorCode::InvalidArgument),
                });
            found.push(offsets.collect::<Result<_, _>>()?);
        }
        Ok(found)
    }

    /// How many brokers there were when one was last asked about topics; one before that.
    pub(super) fn broker_count(&self) -> usize {
        self.brokers.load(Ordering::Relaxed)
    }

    pub(super) fn cluster_id(&self, timeout: Duration) -> Option<String> {
        self.client.fetch_cluster_id(timeout)
    }

    /// Creates topics that are all alike; `-1` partitions or replicas are the broker's default.
    pub(super) fn create_topics(
        self: &Arc<Self>,
        names: &[&str],
        partitions: i32,
        replication: i32,
        config: &BTreeMap<String, String>,
        timeout: Duration,
    ) -> Result<Request, (RDKafkaErrorCode, String)> {
        let invalid = |reason: &str| (RDKafkaErrorCode::InvalidArgument, reason.to_string());
        let text = |text: &str| CString::new(text).map_err(|_| invalid("a name or setting contains a zero byte"));
        let names = names.iter().map(|name| text(name)).collect::<Result<Vec<_>, _>>()?;
        let config = config
            .iter()
            .map(|(key, value)| Ok((text(key)?, text(value)?)))
            .collect::<Result<Vec<_>, (RDKafkaErrorCode, String)>>()?;
        let mut reason = [0 as c_char; 512];

        // SAFETY: the strings live until the end of this function and are copied by librdkafka, and `reason` is written
        // within its length and ends with a zero byte. Descriptions are destroyed on every path; a request has copied them.
        unsafe {
            let mut topics = Vec::with_capacity(names.len());
            let mut refused = None;
            for name in &names {
                let (reason, len) = (reason.as_mut_ptr(), reason.len());
                let topic = sys::rd_kafka_NewTopic_new(name.as_ptr(), partitions, replication, reason, len);
                if topic.is_null() {
                    refused = Some(invalid(&to_text(reason)));
                    break;
                }
                for (key, value) in &config {
                    sys::rd_kafka_NewTopic_set_config(topic, key.as_ptr(), value.as_ptr());
                }
                topics.push(topic);
            }
            let request = match refused {
                Some(refused) => Err(refused),
                None => {
                    let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS;
                    Ok(self.request(operation, NO_BROKER, timeout, |client, options, answers| {
                        sys::rd_kafka_CreateTopics(client, topics.as_mut_ptr(), topics.len(), options, answers);
                    }))
                }
            };
            sys::rd_kafka_NewTopic_destroy_array(topics.as_mut_ptr(), topics.len());
            request
        }
    }

    /// Asks for the settings of topics: see [`Event::settings`].
    pub(super) fn topic_settings(self: &Arc<Self>, topics: &[&str], timeout: Duration) -> Request {
        let names: Vec<CString> = topics.iter().filter_map(|topic| CString::new(*topic).ok()).collect();
        // SAFETY: the names live until the end of this function and are copied by librdkafka. The descriptions are destroyed
        // after the request has copied them; none is null, for none of the names is empty.
        unsafe {
            let kind = sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
            let resource = |name: &CString| sys::rd_kafka_ConfigResource_new(kind, name.as_ptr());
            let mut resources: Vec<_> =
                names.iter().filter(|name| !name.is_empty()).map(resource).filter(|new| !new.is_null()).collect();
            let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
            let request = self.request(operation, self.leader(), timeout, |client, options, answers| {
                sys::rd_kafka_DescribeConfigs(client, resources.as_mut_ptr(), resources.len(), options, answers);
            });
            sys::rd_kafka_ConfigResource_destroy_array(resources.as_mut_ptr(), resources.len());
            request
        }
    }

    /// Asks about topics: see [`Event::topics`].
    pub(super) fn describe_topics(self: &Arc<Self>, topics: &[&str], timeout: Duration) -> Request {
        self.describe(topics, self.leader(), timeout)
    }

    /// As [`Producer::describe_topics`], of the controller, which waits for one.
    pub(super) fn ask_about(self: &Arc<Self>, topics: &[Arc<str>], timeout: Duration) -> Request {
        self.describe(&topics.iter().map(|topic| &**topic).collect::<Vec<_>>(), NO_BROKER, timeout)
    }

    fn describe(self: &Arc<Self>, topics: &[&str], broker: i32, timeout: Duration) -> Request {
        let names: Vec<CString> = topics.iter().filter_map(|topic| CString::new(*topic).ok()).collect();
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: the names live until the end of this function and are copied by librdkafka. The collection is destroyed
        // after the request has copied it.
        unsafe {
            let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
            let request = self.request(operation, broker, timeout, |client, options, answers| {
                sys::rd_kafka_DescribeTopics(client, topics, options, answers);
            });
            sys::rd_kafka_TopicCollection_destroy(topics);
            request
        }
    }

    /// Whom to ask what any broker can answer: one that lives, where librdkafka would wait for the controller, and a
    /// cluster may be without one for a while.
    fn leader(&self) -> i32 {
        self.leader.load(Ordering::Relaxed)
    }

    /// Sends a request of the admin interface to a broker, or to the controller. The answer comes to a queue of its own.
    fn request(
        self: &Arc<Self>,
        operation: sys::rd_kafka_admin_op_t,
        broker: i32,
        timeout: Duration,
        send: impl FnOnce(*mut sys::rd_kafka_t, *const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    ) -> Request {
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let client = self.client.native_ptr();
        let mut reason = [0 as c_char; 512];
        // SAFETY: the client is alive as long as `self`; the options are destroyed after `send` has used them, which
        // copies them; `reason` is written within its length. The queue is the request's, which gives it back.
        unsafe {
            let options = sys::rd_kafka_AdminOptions_new(client, operation);
            sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, reason.as_mut_ptr(), reason.len());
            if operation == sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS {
                sys::rd_kafka_AdminOptions_set_operation_timeout(
                    options,
                    timeout_ms,
                    reason.as_mut_ptr(),
                    reason.len(),
                );
            }
            if broker != NO_BROKER {
                sys::rd_kafka_AdminOptions_set_broker(options, broker, reason.as_mut_ptr(), reason.len());
            }
            let answers = Queue(NonNull::new(sys::rd_kafka_queue_new(client)).expect("memory for a queue"));
            send(client, options, answers.0.as_ptr());
            sys::rd_kafka_AdminOptions_destroy(options);
            Request { answers, _producer: Arc::clone(self) }
        }
    }

    /// What the broker said about a message that it refused, if it said something.
    fn words_about(&self, message: &sys::rd_kafka_message_t) -> Option<String> {
        self.words.about(message)
    }
}

/// A question to the brokers that is under way. Dropped before it is answered, it is given up: librdkafka then drops the
/// answer together with its own reference to the queue.
pub(super) struct Request {
    answers: Queue,
    /// Dropped after the queue, which is a part of the client.
    _producer: Arc<Producer>,
}

/// A topic as brokers describe it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Description {
    /// None where they have no word for that.
    pub(super) identity: Option<TopicIdentity>,
    pub(super) partitions: u32,
    /// Each partition has a leader, and there is one at least.
    pub(super) is_complete: bool,
}

/// What brokers say about a topic, or why they cannot say.
pub(super) type TopicAnswer = (String, Result<Description, RDKafkaErrorCode>);

impl Request {
    pub(super) fn answer(&self, timeout: Duration) -> Option<Event> {
        self.answers.poll(timeout)
    }

    /// The answer to [`Producer::ask_about`], if it has come; empty if brokers gave none.
    pub(super) fn topics(&self) -> Option<Vec<TopicAnswer>> {
        Some(self.answer(Duration::ZERO)?.topics().unwrap_or_default())
    }
}

/// The words of brokers about messages that they refused.
///
/// A report shows them through a pointer into the broker's answer, and librdkafka 2.12 frees the answer as soon as it has
/// queued the report: `rd_kafka_message_produce_errstr` reads freed memory there. An interceptor is called one step earlier,
/// by the thread that still holds the answer, and copies them.
#[derive(Default)]
struct Words(Mutex<HashMap<(usize, i32), String>>);

impl Words {
    const NAME: &CStr = c"tidegate";

    /// Has librdkafka call us for every message that is done with; `self` must outlive the client that is made of `config`.
    fn listen(self: &Arc<Self>, config: &NativeClientConfig) -> Result<(), SinkError> {
        let words = Arc::as_ptr(self) as *mut c_void;
        // SAFETY: the configuration is alive, the name is a constant, and `words` is only passed on.
        let code = unsafe {
            sys::rd_kafka_conf_interceptor_add_on_new(config.ptr(), Self::NAME.as_ptr(), Some(Self::on_new), words)
        };
        match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            code => Err(SinkError::Client(reason_of(code.into()))),
        }
    }

    unsafe extern "C" fn on_new(
        client: *mut sys::rd_kafka_t,
        _: *const sys::rd_kafka_conf_t,
        words: *mut c_void,
        _: *mut c_char,
        _: usize,
    ) -> RDKafkaRespErr {
        let listener = Some(Self::on_acknowledgement as unsafe extern "C" fn(_, _, _) -> _);
        // SAFETY: librdkafka calls this with the client that it is making; the name is a constant.
        unsafe { sys::rd_kafka_interceptor_add_on_acknowledgement(client, Self::NAME.as_ptr(), listener, words) }
    }

    /// Called for each message: nothing but a comparison for those that arrived.
    unsafe extern "C" fn on_acknowledgement(
        _: *mut sys::rd_kafka_t,
        message: *mut sys::rd_kafka_message_t,
        words: *mut c_void,
    ) -> RDKafkaRespErr {
        // SAFETY: librdkafka's message is alive during the call, and so is `words`: [`Producer`] drops the client first, whose
        // end joins the threads that call this.
        let (message, words) = unsafe { (&*message, &*words.cast::<Words>()) };
        if message.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            // SAFETY: it is one of librdkafka's own messages, as this function demands: the caller's are passed here only by
            // a call of `rd_kafka_produce_batch` that leaves the partition open. Its words are none, a constant, or part of
            // the answer that the caller of this function holds: librdkafka sets them just before, for messages that it
            // does not try again.
            let text = unsafe { to_text(sys::rd_kafka_message_produce_errstr(message)) };
            if !text.is_empty() {
                words.note(message, text);
            }
        }
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
    }

    fn note(&self, message: &sys::rd_kafka_message_t, text: String) {
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (message.rkt as usize, message.partition);
        match RDKafkaErrorCode::from(message.err) {
            // Nothing is said about the message itself.
            RDKafkaErrorCode::InvalidDifferentRecord => {
                words.entry(key).or_insert(text);
            }
            // One is enough for a partition: the first message that is refused is the end of the sink.
            _ => {
                words.insert(key, text);
            }
        }
    }

    fn about(&self, message: &sys::rd_kafka_message_t) -> Option<String> {
        let words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        words.get(&(message.rkt as usize, message.partition)).cloned()
    }
}

/// A reference to one of librdkafka's event queues.
struct Queue(NonNull<sys::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues may be used by any thread, several at a time.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    fn poll(&self, timeout: Duration) -> Option<Event> {
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is alive as long as `self`; an event that it returns is ours.
        NonNull::new(unsafe { sys::rd_kafka_queue_poll(self.0.as_ptr(), timeout_ms) }).map(Event)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the reference is ours, and this is its last use.
        unsafe { sys::rd_kafka_queue_destroy(self.0.as_ptr()) };
    }
}

/// Something that librdkafka tells.
pub(super) struct Event(NonNull<sys::rd_kafka_event_t>);

#[derive(Debug, PartialEq, Eq)]
pub(super) enum EventKind {
    /// See [`Event::each_report`].
    Reports,
    Error {
        code: RDKafkaErrorCode,
        fatal: bool,
        text: String,
    },
    /// A line of its log, with syslog's level: the smaller the worse.
    Log {
        level: i32,
        facility: String,
        text: String,
    },
    Other,
}

/// What became of a message.
pub(super) struct Report<'e> {
    message: &'e sys::rd_kafka_message_t,
    producer: &'e Producer,
}

impl Event {
    pub(super) fn kind(&self) -> EventKind {
        let event = self.0.as_ptr();
        // SAFETY: the event is alive, and each function is called for the kind of event that it is for. Strings belong to
        // the event and are copied at once.
        unsafe {
            match sys::rd_kafka_event_type(event) {
                sys::RD_KAFKA_EVENT_DR => EventKind::Reports,
                sys::RD_KAFKA_EVENT_ERROR => EventKind::Error {
                    code: sys::rd_kafka_event_error(event).into(),
                    fatal: sys::rd_kafka_event_error_is_fatal(event) != 0,
                    text: to_text(sys::rd_kafka_event_error_string(event)),
                },
                sys::RD_KAFKA_EVENT_LOG => {
                    let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
                    match sys::rd_kafka_event_log(event, &mut facility, &mut text, &mut level) {
                        0 => EventKind::Log { level, facility: to_text(facility), text: to_text(text) },
                        _ => EventKind::Other,
                    }
                }
                _ => EventKind::Other,
            }
        }
    }

    /// Hands out the reports of an event of that kind, once.
    pub(super) fn each_report(&mut self, producer: &Producer, mut each: impl FnMut(Report<'_>)) {
        loop {
            // SAFETY: the event is alive and stays so while `each` has the message, which belongs to it.
            let message = unsafe { sys::rd_kafka_event_message_next(self.0.as_ptr()).as_ref() };
            match message {
                Some(message) => each(Report { message, producer }),
                None => return,
            }
        }
    }

    fn failure(&self) -> Option<(RDKafkaErrorCode, String)> {
        let event = self.0.as_ptr();
        // SAFETY: the event is alive; its text belongs to it, or is a constant, and is copied at once.
        unsafe {
            let code: RDKafkaErrorCode = sys::rd_kafka_event_error(event).into();
            (code != RDKafkaErrorCode::NoError).then(|| (code, to_text(sys::rd_kafka_event_error_string(event))))
        }
    }

    /// What became of each topic that was to be created.
    #[expect(clippy::type_complexity, reason = "an error with its words, per topic")]
    pub(super) fn created_topics(
        &self,
    ) -> Result<Vec<(String, Result<(), (RDKafkaErrorCode, String)>)>, (RDKafkaErrorCode, String)> {
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        // SAFETY: the event is alive. The result is none if the event is of another kind. It and what it points at, the
        // array of `count` results, their names and their text, belong to the event; text is copied at once.
        unsafe {
            let result = sys::rd_kafka_event_CreateTopics_result(self.0.as_ptr());
            let mut count = 0;
            let topics = match result.is_null() {
                true => ptr::null_mut(),
                false => sys::rd_kafka_CreateTopics_result_topics(result, &mut count),
            };
            if topics.is_null() || count == 0 {
                return Err((RDKafkaErrorCode::Fail, "the broker's answer names no topic".into()));
            }
            let answer = |&topic: &*const sys::rd_kafka_topic_result_t| {
                let name = to_text(sys::rd_kafka_topic_result_name(topic));
                match sys::rd_kafka_topic_result_error(topic) {
                    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => (name, Ok(())),
                    code => {
                        let reason = to_text(sys::rd_kafka_topic_result_error_string(topic));
                        let reason = if reason.is_empty() { reason_of(code.into()) } else { reason };
                        (name, Err((code.into(), reason)))
                    }
                }
            };
            Ok(std::slice::from_raw_parts(topics, count).iter().map(answer).collect())
        }
    }

    /// A setting of topics, by topic, of those whose settings brokers tell: we may not ask for all, and not all brokers can say.
    pub(super) fn settings(&self, wanted: &CStr) -> HashMap<String, String> {
        let mut found = HashMap::new();
        if self.failure().is_some() {
            return found;
        }
        // SAFETY: as in `created_topics`: the resources, their names, their entries and the text of these belong to the event.
        // A name is never null; a value may be.
        unsafe {
            let result = sys::rd_kafka_event_DescribeConfigs_result(self.0.as_ptr());
            if result.is_null() {
                return found;
            }
            let mut count = 0;
            let resources = sys::rd_kafka_DescribeConfigs_result_resources(result, &mut count);
            if resources.is_null() {
                return found;
            }
            for &resource in std::slice::from_raw_parts(resources, count) {
                let mut count = 0;
                let entries = sys::rd_kafka_ConfigResource_configs(resource, &mut count);
                if entries.is_null() {
                    continue;
                }
                let entries = std::slice::from_raw_parts(entries, count);
                if let Some(entry) =
                    entries.iter().find(|&&entry| CStr::from_ptr(sys::rd_kafka_ConfigEntry_name(entry)) == wanted)
                {
                    let name = to_text(sys::rd_kafka_ConfigResource_name(resource));
                    found.insert(name, to_text(sys::rd_kafka_ConfigEntry_value(*entry)));
                }
            }
        }
        found
    }

    /// What brokers say about each topic that they were asked about.
    pub(super) fn topics(&self) -> Result<Vec<TopicAnswer>, (RDKafkaErrorCode, String)> {
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        // SAFETY: as in `created_topics`: the descriptions, their names, errors, identities and partitions belong to the event.
        // An error that is null stands for none, and so does a leader.
        unsafe {
            let result = sys::rd_kafka_event_DescribeTopics_result(self.0.as_ptr());
            if result.is_null() {
                return Ok(Vec::new());
            }
            let mut count = 0;
            let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            if topics.is_null() {
                return Ok(Vec::new());
            }
            let answer = |&topic: &*const sys::rd_kafka_TopicDescription_t| {
                let error = sys::rd_kafka_TopicDescription_error(topic);
                let code = match error.is_null() {
                    true => RDKafkaErrorCode::NoError,
                    false => sys::rd_kafka_error_code(error).into(),
                };
                let id = sys::rd_kafka_TopicDescription_topic_id(topic);
                let id = (!id.is_null()).then(|| {
                    (sys::rd_kafka_Uuid_most_significant_bits(id), sys::rd_kafka_Uuid_least_significant_bits(id))
                });
                let mut count = 0;
                let partitions = sys::rd_kafka_TopicDescription_partitions(topic, &mut count);
                let partitions = match partitions.is_null() {
                    true => &[],
                    false => std::slice::from_raw_parts(partitions, count),
                };
                let has_leader = |&partition: &*const sys::rd_kafka_TopicPartitionInfo_t| {
                    let leader = sys::rd_kafka_TopicPartitionInfo_leader(partition);
                    !leader.is_null() && sys::rd_kafka_Node_id(leader) >= 0
                };
                let state = match code {
                    RDKafkaErrorCode::NoError => Ok(Description {
                        identity: id.filter(|&id| id != (0, 0)),
                        partitions: u32::try_from(partitions.len()).unwrap_or(u32::MAX),
                        is_complete: !partitions.is_empty() && partitions.iter().all(has_leader),
                    }),
                    code => Err(code),
                };
                (to_text(sys::rd_kafka_TopicDescription_name(topic)), state)
            };
            Ok(std::slice::from_raw_parts(topics, count).iter().map(answer).collect())
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event is ours, and this is its last use.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}

impl Report<'_> {
    pub(super) fn window(&self) -> WindowId {
        self.message._private as WindowId
    }

    pub(super) fn is_delivered(&self) -> bool {
        self.message.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
    }

    pub(super) fn error(&self) -> RDKafkaErrorCode {
        self.message.err.into()
    }

    /// In words, the broker's own if it sent some.
    pub(super) fn reason(&self) -> String {
        self.producer.words_about(self.message).unwrap_or_else(|| reason_of(self.error()))
    }

    pub(super) fn topic(&self) -> String {
        // SAFETY: the message was handed out by an event that is still alive; one that was produced has a topic, of which
        // the event holds a reference, and the name belongs to the topic.
        unsafe { to_text(sys::rd_kafka_topic_name(self.message.rkt)) }
    }

    pub(super) fn partition(&self) -> i32 {
        self.message.partition
    }

    pub(super) fn value_bytes(&self) -> usize {
        self.message.len
    }
}

/// A topic to produce to.
pub(super) struct Topic {
    handle: NonNull<sys::rd_kafka_topic_t>,
    producer: Arc<Producer>,
}

// SAFETY: librdkafka's topic handles may be used by any thread.
unsafe impl Send for Topic {}

impl Topic {
    pub(super) fn new(producer: &Arc<Producer>, name: &str) -> Result<Topic, SinkError> {
        let refused = |reason: &str| SinkError::Client(format!("topic {name}: {reason}"));
        let name_text = CString::new(name).map_err(|_| refused("the name contains a zero byte"))?;
        // SAFETY: the client is alive; it copies the name; a null configuration means the client's.
        let handle =
            unsafe { sys::rd_kafka_topic_new(producer.client.native_ptr(), name_text.as_ptr(), ptr::null_mut()) };
        let handle = NonNull::new(handle).ok_or_else(|| refused("the name is empty or too long"))?;
        Ok(Topic { handle, producer: Arc::clone(producer) })
    }

    /// Hands messages of one partition over, in order, and empties the list. While librdkafka's queue is full, waits and
    /// goes on.
    ///
    /// # Safety
    /// The window that each message names is in `producer.outstanding` and holds the message's value.
    pub(super) unsafe fn produce(&self, partition: i32, messages: &mut Messages) -> Result<(), SinkError> {
        let mut rest = messages.0.as_mut_slice();
        while !rest.is_empty() {
            // SAFETY: the topic's client is alive; the list is valid for its length; values live until they are
            // reported or the client is gone, as the caller promises. Nothing writes to values: there are no flags
            // that would free or copy them.
            let accepted = unsafe {
                sys::rd_kafka_produce_batch(
                    self.handle.as_ptr(),
                    partition,
                    0,
                    rest.as_mut_ptr(),
                    i32::try_from(rest.len()).expect("lists are short"),
                )
            };
            if accepted as usize == rest.len() {
                break;
            }
            let first = rest
                .iter()
                .position(|message| message.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)
                .expect("a message that was not accepted says why");
            let code = RDKafkaErrorCode::from(rest[first].err);
            if code != RDKafkaErrorCode::QueueFull {
                // SAFETY: the handle is alive, and its name belongs to it.
                let topic = unsafe { to_text(sys::rd_kafka_topic_name(self.handle.as_ptr())) };
                return Err(match code {
                    RDKafkaErrorCode::Fatal if self.producer.has_refused() => self.producer.outstanding.await_failure(),
                    RDKafkaErrorCode::Fatal => {
                        SinkError::Client(self.producer.fatal_error().unwrap_or_else(|| reason_of(code)))
                    }
                    code => refused(code, topic, partition, reason_of(code)),
                });
            }
            // Everything behind the first message that found the queue full was refused too.
            rest = &mut rest[first..];
            if let Some(failure) = self.producer.outstanding.failure() {
                return Err(failure);
            }
            self.producer.outstanding.wait_for_change(Duration::from_millis(5));
        }
        messages.0.clear();
        Ok(())
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, this is its last use, and the client is still alive.
        unsafe { sys::rd_kafka_topic_destroy(self.handle.as_ptr()) };
    }
}

/// Messages for one partition that go to librdkafka in one call.
#[derive(Default)]
pub(super) struct Messages(Vec<sys::rd_kafka_message_t>);

// SAFETY: nothing is read through the pointers here; whoever hands them to librdkafka says why they are good.
unsafe impl Send for Messages {}

impl Messages {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn push(&mut self, value: &[u8], window: WindowId) {
        self.0.push(sys::rd_kafka_message_t {
            err: RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
            rkt: ptr::null_mut(),
            partition: 0,
            payload: value.as_ptr() as *mut c_void,
            len: value.len(),
            key: ptr::null_mut(),
            key_len: 0,
            offset: 0,
            _private: window as *mut c_void,
        });
    }
}

/// librdkafka has the C library's allocator, which gives what was freed of a request back to the kernel at once, to have it cleared
/// for the next one. What a few requests take is kept.
fn keep_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets two numbers of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 4 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 8 << 20);
    }
}

/// librdkafka's words for an error.
pub(super) fn reason_of(code: RDKafkaErrorCode) -> String {
    match RDKafkaRespErr::try_from(code as i32) {
        // SAFETY: the string is a constant of librdkafka.
        Ok(code) => unsafe { to_text(sys::rd_kafka_err2str(code)) },
        Err(_) => format!("error {}", code as i32),
    }
}

/// # Safety
/// `text` is null or a string that ends with a zero byte.
unsafe fn to_text(text: *const c_char) -> String {
    match text.is_null() {
        true => String::new(),
        // SAFETY: the caller's promise.
        false => unsafe { CStr::from_ptr(text) }.to_string_lossy().trim().to_string(),
    }
}

fn client_error(error: KafkaError) -> SinkError {
    SinkError::Client(match error {
        // Its own text would repeat the value, which may be a password.
        KafkaError::ClientConfig(_, reason, name, _) => format!("option {name}: {reason}"),
        KafkaError::ClientCreation(reason) => reason,
        other => other.to_string(),
    })
}
