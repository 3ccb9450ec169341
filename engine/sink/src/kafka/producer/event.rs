//! What librdkafka tells: reports of deliveries, errors, answers to questions.

use std::collections::HashMap;
use std::ffi::CStr;
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka_sys as sys;

use super::{Description, Producer, TopicAnswer, reason_of, to_text};
use crate::kafka::outstanding::WindowId;

/// A reference to one of librdkafka's event queues.
pub(super) struct Queue(pub(super) NonNull<sys::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues may be used by any thread, several at a time.
unsafe impl Send for Queue {}

// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    pub(super) fn poll(&self, timeout: Duration) -> Option<Event> {
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
pub(in super::super) struct Event(NonNull<sys::rd_kafka_event_t>);

#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum EventKind {
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
pub(in super::super) struct Report<'e> {
    message: &'e sys::rd_kafka_message_t,
    producer: &'e Producer,
}

impl Event {
    pub(in super::super) fn kind(&self) -> EventKind {
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
    pub(in super::super) fn each_report(&mut self, producer: &Producer, mut each: impl FnMut(Report<'_>)) {
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
    pub(in super::super) fn created_topics(
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
    pub(in super::super) fn settings(&self, wanted: &CStr) -> HashMap<String, String> {
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
    pub(in super::super) fn topics(&self) -> Result<Vec<TopicAnswer>, (RDKafkaErrorCode, String)> {
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
                        may_write: may_write(topic),
                    }),
                    code => Err(code),
                };
                (to_text(sys::rd_kafka_TopicDescription_name(topic)), state)
            };
            Ok(std::slice::from_raw_parts(topics, count).iter().map(answer).collect())
        }
    }
}

/// Whether a description that was asked for rights has that to write; none if the brokers do not tell, as those without rights.
///
/// # Safety
///
/// The description is alive.
unsafe fn may_write(topic: *const sys::rd_kafka_TopicDescription_t) -> Option<bool> {
    let mut count = 0;
    // SAFETY: the array of `count` operations belongs to the description; it is null if they were not asked for.
    unsafe {
        let operations = sys::rd_kafka_TopicDescription_authorized_operations(topic, &mut count);
        if operations.is_null() {
            return None;
        }
        let operations = std::slice::from_raw_parts(operations, count);
        Some(operations.contains(&sys::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_WRITE))
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event is ours, and this is its last use.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}

impl Report<'_> {
    pub(in super::super) fn window(&self) -> WindowId {
        self.message._private as WindowId
    }

    pub(in super::super) fn is_delivered(&self) -> bool {
        self.message.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
    }

    pub(in super::super) fn error(&self) -> RDKafkaErrorCode {
        self.message.err.into()
    }

    /// In words, the broker's own if it sent some.
    pub(in super::super) fn reason(&self) -> String {
        self.producer.words_about(self.message).unwrap_or_else(|| reason_of(self.error()))
    }

    pub(in super::super) fn topic(&self) -> String {
        // SAFETY: the message was handed out by an event that is still alive; one that was produced has a topic, of which
        // the event holds a reference, and the name belongs to the topic.
        unsafe { to_text(sys::rd_kafka_topic_name(self.message.rkt)) }
    }

    pub(in super::super) fn partition(&self) -> i32 {
        self.message.partition
    }

    /// The topic's handle, as a number, the partition, and the offset there; negative if the broker did not say which.
    pub(in super::super) fn place(&self) -> (usize, i32, i64) {
        (self.message.rkt as usize, self.message.partition, self.message.offset)
    }

    /// Of value and key.
    pub(in super::super) fn bytes(&self) -> usize {
        self.message.len + self.message.key_len
    }
}
