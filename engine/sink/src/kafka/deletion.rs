//! Deletes a topic that was made for a measurement.

use std::ffi::{CStr, CString};
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka_sys as sys;

use super::KafkaOptions;
use super::consumer::Consumers;
use crate::SinkError;

const ANSWER: Duration = Duration::from_secs(30);

/// Deletes the topic, and waits until the brokers have said so.
pub fn delete_topic(options: &KafkaOptions, topic: &str) -> Result<(), SinkError> {
    let consumer = Consumers::new(options, &[])?.consumer()?;
    let failed = |reason: &str| SinkError::Topic {
        topic: topic.to_owned(),
        reason: format!("could not be deleted: {reason}"),
        hint: Some("delete it by hand: nothing else uses it"),
    };
    let name = CString::new(topic).map_err(|_| failed("its name has a zero byte"))?;
    // SAFETY: the client lives until the end of this function, and the queue and the event are destroyed before it; the description is
    // copied by the request. What an event's parts point to lives as long as the event.
    unsafe {
        let client = consumer.client().native_ptr();
        let queue = sys::rd_kafka_queue_new(client);
        let mut description = sys::rd_kafka_DeleteTopic_new(name.as_ptr());
        sys::rd_kafka_DeleteTopics(client, &mut description, 1, std::ptr::null(), queue);
        sys::rd_kafka_DeleteTopic_destroy(description);
        let event = sys::rd_kafka_queue_poll(queue, ANSWER.as_millis() as i32);
        let text = |text: *const std::ffi::c_char| CStr::from_ptr(text).to_string_lossy().into_owned();
        let none = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        let result = if event.is_null() {
            Err(failed("the brokers do not answer"))
        } else if sys::rd_kafka_event_error(event) != none {
            Err(failed(&text(sys::rd_kafka_event_error_string(event))))
        } else {
            let mut count = 0;
            let topics =
                sys::rd_kafka_DeleteTopics_result_topics(sys::rd_kafka_event_DeleteTopics_result(event), &mut count);
            match count {
                0 => Err(failed("the brokers say nothing of it")),
                _ => match sys::rd_kafka_topic_result_error(*topics) {
                    error if error == none => Ok(()),
                    error => Err(failed(&text(sys::rd_kafka_err2str(error)))),
                },
            }
        };
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_queue_destroy(queue);
        result
    }
}
