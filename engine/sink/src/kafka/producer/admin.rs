//! Questions to the brokers by librdkafka's admin interface: each is sent at once, and answered into a queue of its own.

use std::collections::BTreeMap;
use std::ffi::{CString, c_char};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::event::{Event, Queue};
use super::{NO_BROKER, Producer, to_text};
use crate::TopicIdentity;

impl Producer {
    /// Creates topics that are all alike; `-1` partitions or replicas are the broker's default. In a `trial` brokers only say
    /// whether they would.
    pub(in crate::kafka) fn create_topics(
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
    pub(in crate::kafka) fn topic_settings(self: &Arc<Self>, topics: &[&str], timeout: Duration) -> Request {
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
    pub(in crate::kafka) fn broker_settings(self: &Arc<Self>, timeout: Duration) -> Request {
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
    pub(in crate::kafka) fn describe_topics(self: &Arc<Self>, topics: &[&str], timeout: Duration) -> Request {
        self.describe(topics, self.leader(), timeout, false)
    }

    /// As [`Producer::describe_topics`], and what we may do with them.
    pub(in crate::kafka) fn describe_rights(self: &Arc<Self>, topics: &[&str], timeout: Duration) -> Request {
        self.describe(topics, self.leader(), timeout, true)
    }

    /// As [`Producer::describe_topics`], of the controller, which waits for one.
    pub(in crate::kafka) fn ask_about(self: &Arc<Self>, topics: &[Arc<str>], timeout: Duration) -> Request {
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
}

/// A question to the brokers that is under way. Dropped before it is answered, it is given up: librdkafka then drops the
/// answer together with its own reference to the queue.
pub(in crate::kafka) struct Request {
    answers: Queue,
    /// Dropped after the queue, which is a part of the client.
    _producer: Arc<Producer>,
}

/// A topic as brokers describe it.
#[derive(Clone, Copy, Debug)]
pub(in crate::kafka) struct Description {
    /// None where they have no word for that.
    pub(in crate::kafka) identity: Option<TopicIdentity>,
    pub(in crate::kafka) partitions: u32,
    /// Each partition has a leader, and there is one at least.
    pub(in crate::kafka) is_complete: bool,
    /// Whether we may write to it, if that was asked for and the brokers tell.
    pub(in crate::kafka) may_write: Option<bool>,
}

/// What brokers say about a topic, or why they cannot say.
pub(in crate::kafka) type TopicAnswer = (String, Result<Description, RDKafkaErrorCode>);

impl Request {
    pub(in crate::kafka) fn answer(&self, timeout: Duration) -> Option<Event> {
        self.answers.poll(timeout)
    }

    /// The answer to [`Producer::ask_about`], if it has come; empty if brokers gave none.
    pub(in crate::kafka) fn topics(&self) -> Option<Vec<TopicAnswer>> {
        Some(self.answer(Duration::ZERO)?.topics().unwrap_or_default())
    }
}
