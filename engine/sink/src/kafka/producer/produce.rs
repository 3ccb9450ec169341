//! Messages into librdkafka's queue: many of one partition in one call, or one with its headers.

use std::ffi::{CString, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka_sys as sys;

use super::{Producer, reason_of, to_text};
use crate::SinkError;
use crate::kafka::outstanding::WindowId;
use crate::kafka::refused;

/// A topic to produce to.
pub(in crate::kafka) struct Topic {
    handle: NonNull<sys::rd_kafka_topic_t>,
    producer: Arc<Producer>,
}

// SAFETY: librdkafka's topic handles may be used by any thread.
unsafe impl Send for Topic {}

impl Topic {
    pub(in crate::kafka) fn new(producer: &Arc<Producer>, name: &str) -> Result<Topic, SinkError> {
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
    pub(in crate::kafka) unsafe fn produce(&self, partition: i32, messages: &mut Messages) -> Result<(), SinkError> {
        let mut rest = messages.0.as_mut_slice();
        while !rest.is_empty() {
            let gate = self.producer.open_gate()?;
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
            drop(gate);
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
            self.producer.outstanding.wait_for_change(Duration::from_millis(5));
        }
        messages.0.clear();
        Ok(())
    }

    /// Hands one message over, with its headers. While librdkafka's queue is full, waits and goes on.
    ///
    /// # Safety
    /// The window is in `producer.outstanding` and holds the message's value.
    pub(in crate::kafka) unsafe fn produce_one(&self, message: &Message, window: WindowId) -> Result<(), SinkError> {
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
            let gate = self.producer.open_gate()?;
            // SAFETY: the topic's client is alive, and each part has the field of its type. Keys are copied; values live until
            // they are reported or the client is gone, as the caller promises, and nothing writes to them: there are no flags
            // that would free or copy them.
            let error = unsafe { sys::rd_kafka_produceva(self.producer.client.native_ptr(), parts.as_ptr(), count) };
            drop(gate);
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

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, this is its last use, and the client is still alive.
        unsafe { sys::rd_kafka_topic_destroy(self.handle.as_ptr()) };
    }
}

/// A message that goes to librdkafka by itself.
#[derive(Clone, Copy)]
pub(in crate::kafka) struct Message<'a> {
    pub(in crate::kafka) partition: i32,
    pub(in crate::kafka) value: &'a [u8],
    pub(in crate::kafka) key: Option<&'a [u8]>,
    pub(in crate::kafka) headers: Option<&'a HeaderList>,
}

/// A list of headers of librdkafka's.
pub(in crate::kafka) struct HeaderList(NonNull<sys::rd_kafka_headers_t>);

impl HeaderList {
    pub(in crate::kafka) fn new<'a>(headers: impl Iterator<Item = (&'static str, &'a [u8])>) -> HeaderList {
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

/// Messages for one partition that go to librdkafka in one call.
#[derive(Default)]
pub(in crate::kafka) struct Messages(Vec<sys::rd_kafka_message_t>);

// SAFETY: nothing is read through the pointers here; whoever hands them to librdkafka says why they are good.
unsafe impl Send for Messages {}

impl Messages {
    pub(in crate::kafka) fn clear(&mut self) {
        self.0.clear();
    }

    pub(in crate::kafka) fn len(&self) -> usize {
        self.0.len()
    }

    /// Kafka's null is an empty value's, and a key's that is none.
    pub(in crate::kafka) fn push(&mut self, value: &[u8], key: Option<&[u8]>, window: WindowId) {
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
