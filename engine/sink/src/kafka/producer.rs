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

mod admin;
mod event;
mod packed;
mod produce;
mod words;

use std::ffi::{CStr, CString, c_char};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr, RDKafkaType};
use rdkafka::{Offset, TopicPartitionList};
use rdkafka_sys as sys;

pub(super) use self::admin::{Description, Request, TopicAnswer};
use self::event::Queue;
pub(super) use self::event::{Event, EventKind, Report};
pub(super) use self::packed::Codec;
pub(super) use self::produce::{HeaderList, Message, Messages, Topic};
use self::words::Words;
use super::limit::Packing;
use super::outstanding::Outstanding;
use super::token::{Bearer, Tokens};
use crate::SinkError;

const NO_BROKER: i32 = -1;

pub(super) struct Producer {
    // Dropped in this order. The client's end joins all threads that read values.
    bearer: Option<Bearer>,
    queue: Queue,
    client: Client,
    pub(super) outstanding: Outstanding,
    /// Held while messages are handed over.
    gate: Mutex<()>,
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
            gate: Mutex::default(),
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
            // What is just being handed over is forgotten with the rest, and nothing comes behind it.
            drop(self.lock_gate());
            let purge = sys::RD_KAFKA_PURGE_F_QUEUE | sys::RD_KAFKA_PURGE_F_NON_BLOCKING;
            // SAFETY: the client is alive. Each message that is purged is reported.
            unsafe { sys::rd_kafka_purge(self.client.native_ptr(), purge) };
        }
    }

    /// For the time in which messages are handed over: none may be behind a failure, or those that are sent next would follow a gap.
    fn open_gate(&self) -> Result<MutexGuard<'_, ()>, SinkError> {
        let gate = self.lock_gate();
        match self.outstanding.failure() {
            Some(failure) => Err(failure),
            None => Ok(gate),
        }
    }

    fn lock_gate(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// What the broker said about a message that it refused, if it said something.
    fn words_about(&self, message: &sys::rd_kafka_message_t) -> Option<String> {
        self.words.about(message)
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
