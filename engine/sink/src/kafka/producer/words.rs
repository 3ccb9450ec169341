//! What brokers say about messages that they refuse.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::config::NativeClientConfig;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka_sys as sys;

use super::{reason_of, to_text};
use crate::SinkError;

/// The words of brokers about messages that they refused.
///
/// A report shows them through a pointer into the broker's answer, and librdkafka 2.12 frees the answer as soon as it has
/// queued the report: `rd_kafka_message_produce_errstr` reads freed memory there. An interceptor is called one step earlier,
/// by the thread that still holds the answer, and copies them.
#[derive(Default)]
pub(super) struct Words(Mutex<HashMap<(usize, i32), String>>);

impl Words {
    const NAME: &CStr = c"tidegate";

    /// Has librdkafka call us for every message that is done with; `self` must outlive the client that is made of `config`.
    pub(super) fn listen(self: &Arc<Self>, config: &NativeClientConfig) -> Result<(), SinkError> {
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

    pub(super) fn about(&self, message: &sys::rd_kafka_message_t) -> Option<String> {
        let words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        words.get(&(message.rkt as usize, message.partition)).cloned()
    }
}
