//! librdkafka's producer as this sink uses it: batches of messages in without copying them, events out.
//!
//! The `rdkafka` crate makes the client and its configuration. Its own producers copy every value and handle every
//! message by itself, 250 to 500 ns each; `rd_kafka_produce_batch` and a loop over the events take half of that.
//! The `unsafe` code of the sink is here and below, but for what hands clients their tokens. What makes it sound:
//!
//! - Values are read by librdkafka's threads until their delivery is reported or the client is gone. [`Outstanding`]
//!   holds each window's values until all its messages are reported, and is dropped after the client.
//! - A message carries the number of its window, not a pointer.
//! - Handles of topics and queues are given back before the client is, because their owners keep it alive.
//! - Text that librdkafka shows is copied while its owner lives, and each call below names the owner: an event for what
//!   an event shows, the library itself for its constants. The broker's words about a single message have no owner that
//!   we could keep: [`Words`] takes them where they are still there.

mod event;
mod packed;
mod words;

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr, RDKafkaType};
use rdkafka::{Offset, TopicPartitionList};
use rdkafka_sys as sys;

use self::event::Queue;
pub(super) use self::event::{Event, EventKind, Report};
pub(super) use self::packed::Codec;
use self::words::Words;
use super::limit::Packing;
use super::outstanding::{Outstanding, WindowId};
use super::refused;
use super::token::{Bearer, Tokens};
use crate::{SinkError, TopicIdentity};

const NO_BROKER: i32 = -1;

pub(super) struct Producer {
    // Dropped in this order. The client's end joins all threads that read values.
    bearer: Option<Bearer>,
    queue: Queue,
    client: Client,
    pub(super) outstanding: Outstanding,
    /// librdkafka's threads have its address.
    words: Arc<Words>,
    /// A broker that led a partition, or else answered, when one was last asked about topics; [`NO_BROKER`] if none has.
    leader: AtomicI32,
    /// How many brokers there were then.
    brokers: AtomicUsize,
    /// How it compresses.
    pub(super) packing: Packing,
    /// How often partitions were paused.
    #[cfg(test)]
    pub(super) pauses: AtomicUsize,
}

impl Producer {
    /// With tokens, where brokers are shown some.
    pub(super) fn new(
        config: &ClientConfig,
        tokens: Option<Arc<Tokens>>,
        outstanding: Outstanding,
    ) -> Result<Producer, SinkError> {
        keep_freed_memory();
        // Without one, no broker would say anything, and nobody why.
        let first = tokens.as_ref().map(|tokens| tokens.token()).transpose()?;
        let native = config.create_native_config().map_err(client_error)?;
        // SAFETY: the configuration is alive, and only a number is stored in it.
        unsafe { sys::rd_kafka_conf_set_events(native.ptr(), sys::RD_KAFKA_EVENT_DR | sys::RD_KAFKA_EVENT_ERROR) };
        // The codec that it is, under whichever of its names it was set.
        let packing = Packing {
            codec: native.get("compression.type").ok().and_then(|word| Codec::named(&word)),
            level: native.get("compression.level").ok().and_then(|level| level.parse().ok()).unwrap_or(-1),
        };
        let words = Arc::<Words>::default();
        words.listen(&native)?;
        let client =
            Client::new(config, native, RDKafkaType::RD_KAFKA_PRODUCER, DefaultClientContext).map_err(client_error)?;
        // SAFETY: the client is alive; the reference to its main queue that this returns is ours to give back.
        let queue = unsafe { sys::rd_kafka_queue_get_main(client.native_ptr()) };
        let bearer = match tokens.zip(first) {
            None => None,
            // SAFETY: dropped before the client, by the order of the fields.
            Some((tokens, first)) => Some(unsafe { Bearer::new(client.native_ptr(), tokens, first) }?),
        };
        Ok(Producer {
            bearer,
            queue: Queue(NonNull::new(queue).expect("a client has a main queue")),
            client,
            outstanding,
            words,
            leader: AtomicI32::new(NO_BROKER),
            brokers: AtomicUsize::new(1),
            packing,
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
    pub(super) fn fatal_error(&self) -> Option<SinkError> {
        Some(match self.client.fatal_error()? {
            (RDKafkaErrorCode::ClusterAuthorizationFailed, reason) => SinkError::NotIdempotent { reason },
            (_, reason) => SinkError::Client(reason),
        })
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

    /// From the next connection on.
    pub(super) fn set_credentials(&self, user: &str, password: &str) {
        // Whoever reads a password hands none over that has a zero byte, and gave one without at first.
        let (Ok(user), Ok(password)) = (CString::new(user), CString::new(password)) else { return };
        // SAFETY: the client is alive and copies both. Nothing is wrong with them that this could say.
        unsafe {
            let error = sys::rd_kafka_sasl_set_credentials(self.client.native_ptr(), user.as_ptr(), password.as_ptr());
            if !error.is_null() {
                sys::rd_kafka_error_destroy(error);
            }
        }
    }

    /// Brokers have refused the token: has another one fetched, unless it is new.
    pub(super) fn renew_token(&self) {
        if let Some(bearer) = &self.bearer {
            bearer.refused();
        }
    }

    /// Has librdkafka send what it has, and waits until all of it is done with, at most for so long.
    pub(super) fn flush(&self, timeout: Duration) {
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the client is alive. Reports are events: the flush waits until another thread has taken them.
        unsafe { sys::rd_kafka_flush(self.client.native_ptr(), timeout_ms) };
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

    /// Whether there is a connection to a broker now; if not, librdkafka tries to make one, at its own pace.
    pub(super) fn is_connected(&self, topic: &str) -> bool {
        // A question that is given up at once: without a connection it is not even sent.
        !matches!(
            self.client.fetch_metadata(Some(topic), Duration::ZERO),
            Err(KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerTransportFailure))
        )
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

    /// Creates topics that are all alike; `-1` partitions or replicas are the broker's default. In a `trial` brokers only say
    /// whether they would.
    pub(super) fn create_topics(
        self: &Arc<Self>,
        names: &[&str],
        partitions: i32,
        replication: i32,
        config: &BTreeMap<String, String>,
        timeout: Duration,
        trial: bool,
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
                        if trial {
                            sys::rd_kafka_AdminOptions_set_validate_only(
                                options.cast_mut(),
                                1,
                                reason.as_mut_ptr(),
                                reason.len(),
                            );
                        }
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

    /// Asks for the settings of the broker that answers, which has defaults for topics.
    pub(super) fn broker_settings(self: &Arc<Self>, timeout: Duration) -> Request {
        let name = CString::new(self.leader().to_string()).expect("a number has no zero byte");
        // SAFETY: as in `topic_settings`.
        unsafe {
            let kind = sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_BROKER;
            let mut resources = [sys::rd_kafka_ConfigResource_new(kind, name.as_ptr())];
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
        self.describe(topics, self.leader(), timeout, false)
    }

    /// As [`Producer::describe_topics`], and what we may do with them.
    pub(super) fn describe_rights(self: &Arc<Self>, topics: &[&str], timeout: Duration) -> Request {
        self.describe(topics, self.leader(), timeout, true)
    }

    /// As [`Producer::describe_topics`], of the controller, which waits for one.
    pub(super) fn ask_about(self: &Arc<Self>, topics: &[Arc<str>], timeout: Duration) -> Request {
        self.describe(&topics.iter().map(|topic| &**topic).collect::<Vec<_>>(), NO_BROKER, timeout, false)
    }

    fn describe(self: &Arc<Self>, topics: &[&str], broker: i32, timeout: Duration, rights: bool) -> Request {
        let names: Vec<CString> = topics.iter().filter_map(|topic| CString::new(*topic).ok()).collect();
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: the names live until the end of this function and are copied by librdkafka. The collection is destroyed
        // after the request has copied it.
        unsafe {
            let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
            let request = self.request(operation, broker, timeout, |client, options, answers| {
                if rights {
                    let error = sys::rd_kafka_AdminOptions_set_include_authorized_operations(options.cast_mut(), 1);
                    if !error.is_null() {
                        sys::rd_kafka_error_destroy(error);
                    }
                }
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
    /// Whether we may write to it, if that was asked for and the brokers tell.
    pub(super) may_write: Option<bool>,
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
                return Err(self.refusal(code, partition));
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

impl Topic {
    /// Hands one message over, with its headers. While librdkafka's queue is full, waits and goes on.
    ///
    /// # Safety
    /// The window is in `producer.outstanding` and holds the message's value.
    pub(super) unsafe fn produce_one(&self, message: &Message, window: WindowId) -> Result<(), SinkError> {
        let Message { partition, value, key, headers } = *message;
        use sys::{rd_kafka_vtype_t as vtype, rd_kafka_vu_s__bindgen_ty_1 as Part};
        let part = |vtype, u| sys::rd_kafka_vu_t { vtype, u };
        let bytes = |bytes: &[u8]| {
            let (ptr, size) = (pointer_to(bytes), bytes.len());
            Part { mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size } }
        };
        loop {
            let (rkt, ptr) = (self.handle.as_ptr(), window as *mut c_void);
            let topic = part(vtype::RD_KAFKA_VTYPE_RKT, Part { rkt });
            let to = part(vtype::RD_KAFKA_VTYPE_PARTITION, Part { i32_: partition });
            let of = part(vtype::RD_KAFKA_VTYPE_OPAQUE, Part { ptr });
            let mut parts = [topic, to, of, topic, topic, topic];
            let mut count = 3;
            let mut add = |part| {
                parts[count] = part;
                count += 1;
            };
            if !value.is_empty() {
                add(part(vtype::RD_KAFKA_VTYPE_VALUE, bytes(value)));
            }
            if let Some(key) = key {
                add(part(vtype::RD_KAFKA_VTYPE_KEY, bytes(key)));
            }
            let copy = headers.map(HeaderList::copy);
            if let Some(HeaderList(copy)) = &copy {
                add(part(vtype::RD_KAFKA_VTYPE_HEADERS, Part { headers: copy.as_ptr() }));
            }
            // SAFETY: the topic's client is alive, and each part has the field of its type. Keys are copied; values live until
            // they are reported or the client is gone, as the caller promises, and nothing writes to them: there are no flags
            // that would free or copy them.
            let error = unsafe { sys::rd_kafka_produceva(self.producer.client.native_ptr(), parts.as_ptr(), count) };
            if error.is_null() {
                // The message has the copy now.
                std::mem::forget(copy);
                return Ok(());
            }
            // SAFETY: the error is ours.
            let code = unsafe {
                let code = RDKafkaErrorCode::from(sys::rd_kafka_error_code(error));
                sys::rd_kafka_error_destroy(error);
                code
            };
            if code != RDKafkaErrorCode::QueueFull {
                return Err(self.refusal(code, partition));
            }
            if let Some(failure) = self.producer.outstanding.failure() {
                return Err(failure);
            }
            self.producer.outstanding.wait_for_change(Duration::from_millis(5));
        }
    }

    /// Why a message was not taken.
    fn refusal(&self, code: RDKafkaErrorCode, partition: i32) -> SinkError {
        match code {
            RDKafkaErrorCode::Fatal if self.producer.has_refused() => self.producer.outstanding.await_failure(),
            RDKafkaErrorCode::Fatal => {
                self.producer.fatal_error().unwrap_or_else(|| SinkError::Client(reason_of(code)))
            }
            code => {
                // SAFETY: the handle is alive, and its name belongs to it.
                let topic = unsafe { to_text(sys::rd_kafka_topic_name(self.handle.as_ptr())) };
                refused(code, topic, partition, reason_of(code))
            }
        }
    }
}

/// A message that goes to librdkafka by itself.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) partition: i32,
    pub(super) value: &'a [u8],
    pub(super) key: Option<&'a [u8]>,
    pub(super) headers: Option<&'a HeaderList>,
}

/// A list of headers of librdkafka's.
pub(super) struct HeaderList(NonNull<sys::rd_kafka_headers_t>);

impl HeaderList {
    pub(super) fn new<'a>(headers: impl Iterator<Item = (&'static str, &'a [u8])>) -> HeaderList {
        // SAFETY: the list is ours; names and values are copied within their lengths.
        unsafe {
            let list = NonNull::new(sys::rd_kafka_headers_new(8)).expect("memory for a list");
            for (name, value) in headers {
                sys::rd_kafka_header_add(
                    list.as_ptr(),
                    name.as_ptr().cast(),
                    name.len() as isize,
                    value.as_ptr().cast(),
                    value.len() as isize,
                );
            }
            HeaderList(list)
        }
    }

    fn copy(&self) -> HeaderList {
        // SAFETY: the list is alive, and nobody else has it.
        HeaderList(NonNull::new(unsafe { sys::rd_kafka_headers_copy(self.0.as_ptr()) }).expect("memory for a list"))
    }
}

impl Drop for HeaderList {
    fn drop(&mut self) {
        // SAFETY: the list is ours, and this is its last use.
        unsafe { sys::rd_kafka_headers_destroy(self.0.as_ptr()) };
    }
}

/// librdkafka's null is a pointer that is: bytes that are none are not.
fn pointer_to(bytes: &[u8]) -> *mut c_void {
    bytes.as_ptr() as *mut c_void
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

    /// Kafka's null is an empty value's, and a key's that is none.
    pub(super) fn push(&mut self, value: &[u8], key: Option<&[u8]>, window: WindowId) {
        self.0.push(sys::rd_kafka_message_t {
            err: RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
            rkt: ptr::null_mut(),
            partition: 0,
            payload: if value.is_empty() { ptr::null_mut() } else { pointer_to(value) },
            len: value.len(),
            key: key.map_or(ptr::null_mut(), pointer_to),
            key_len: key.map_or(0, <[u8]>::len),
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

pub(super) fn client_error(error: KafkaError) -> SinkError {
    SinkError::Client(match error {
        // Its own text would repeat the value, which may be a password.
        KafkaError::ClientConfig(_, reason, name, _) => format!("option {name}: {reason}"),
        KafkaError::ClientCreation(reason) => reason,
        other => other.to_string(),
    })
}
