//! Hands a client of librdkafka its tokens, for as long as it lives.

use std::ffi::{CStr, CString, c_char};
use std::ptr::NonNull;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, UNIX_EPOCH};

use rdkafka::types::RDKafkaRespErr;
use rdkafka_sys as sys;

use super::{Token, Tokens};
use crate::SinkError;

/// Keeps a client in tokens. Dropped before the client.
pub(in super::super) struct Bearer {
    tokens: Arc<Tokens>,
    shared: Arc<Shared>,
}

struct Shared {
    /// None when its end has come.
    client: Mutex<Option<Client>>,
    /// There may be something to do.
    changed: Condvar,
}

#[derive(Clone, Copy)]
struct Client(NonNull<sys::rd_kafka_t>);

// SAFETY: librdkafka's clients may be used by any thread.
unsafe impl Send for Client {}

impl Bearer {
    /// Gives the client a first token, and a new one whenever one is due.
    ///
    /// # Safety
    /// The client outlives what this returns.
    pub(in super::super) unsafe fn new(
        client: *mut sys::rd_kafka_t,
        tokens: Arc<Tokens>,
        first: Arc<Token>,
    ) -> Result<Bearer, SinkError> {
        let client = Client(NonNull::new(client).expect("a client that was made"));
        let extensions = tokens.login.extensions.iter().flat_map(|(name, value)| [&**name, &**value]);
        let extensions: Option<Vec<CString>> = extensions.map(|text| CString::new(text).ok()).collect();
        let extensions = extensions.ok_or_else(|| SinkError::Client("an extension has a zero byte".into()))?;
        client.set_token(&first, &extensions).map_err(SinkError::Client)?;
        let shared = Arc::new(Shared { client: Mutex::new(Some(client)), changed: Condvar::new() });
        let (of_thread, tokens_of_thread) = (Arc::clone(&shared), Arc::clone(&tokens));
        // Nobody waits for its end: it may be waiting for the server of tokens.
        std::thread::Builder::new()
            .name("kafka-token".into())
            .spawn(move || of_thread.keep(&tokens_of_thread, first, &extensions))
            .map_err(|error| SinkError::Client(format!("could not start a thread: {error}")))?;
        Ok(Bearer { tokens, shared })
    }

    /// Brokers have refused the client: there may be a token that they take.
    pub(in super::super) fn refused(&self) {
        self.tokens.refused();
        // Whoever looks holds this lock until it waits, so that it hears what comes now.
        drop(self.shared.lock());
        self.shared.changed.notify_all();
    }
}

impl Drop for Bearer {
    fn drop(&mut self) {
        // Nobody uses the client any more when this is done.
        *self.shared.lock() = None;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until the client ends.
    fn keep(&self, tokens: &Tokens, mut given: Arc<Token>, extensions: &[CString]) {
        while self.wait(tokens, &given) {
            let token = tokens.token();
            // Held while the client is used.
            let held = self.lock();
            let Some(client) = *held else { return };
            match token {
                Ok(token) if Arc::ptr_eq(&token, &given) => {}
                Ok(token) => {
                    if let Err(reason) = client.set_token(&token, extensions) {
                        tracing::warn!(reason, "librdkafka does not take a token");
                    }
                    given = token;
                }
                // While the last one lives, nobody but the log hears of it.
                Err(_) => {
                    if let Some(error) = tokens.lacking() {
                        client.set_failure(&error.to_string());
                    }
                }
            }
        }
    }

    /// Until there is another token than the one that was given, or an attempt to be made. False at the client's end.
    fn wait(&self, tokens: &Tokens, given: &Arc<Token>) -> bool {
        let mut client = self.lock();
        while client.is_some() {
            let left = tokens.next().saturating_duration_since(Instant::now());
            // Another client of the task may have fetched it.
            if left.is_zero() || tokens.has_newer(given) {
                return true;
            }
            (client, _) = self.changed.wait_timeout(client, left).unwrap_or_else(PoisonError::into_inner);
        }
        false
    }
}

impl Client {
    /// What is wrong is said without the token.
    fn set_token(self, token: &Token, extensions: &[CString]) -> Result<(), String> {
        let (Ok(value), Ok(principal)) = (CString::new(&*token.value), CString::new(token.principal.replace('\0', "")))
        else {
            return Err("it has a zero byte".to_owned());
        };
        let ends = token.ends.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut pairs: Vec<*const c_char> = extensions.iter().map(|text| text.as_ptr()).collect();
        let mut reason = [0 as c_char; 512];
        // SAFETY: the client is alive: its owner takes it from us first. It copies all text, and writes the reason within its length.
        let code = unsafe {
            sys::rd_kafka_oauthbearer_set_token(
                self.0.as_ptr(),
                value.as_ptr(),
                i64::try_from(ends).unwrap_or(i64::MAX),
                principal.as_ptr(),
                pairs.as_mut_ptr(),
                pairs.len(),
                reason.as_mut_ptr(),
                reason.len(),
            )
        };
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Ok(());
        }
        // SAFETY: it ends with a zero byte.
        let reason = unsafe { CStr::from_ptr(reason.as_ptr()) }.to_string_lossy().into_owned();
        Err(reason.replace(&token.value, "***"))
    }

    fn set_failure(self, reason: &str) {
        let Ok(reason) = CString::new(reason.replace('\0', "")) else { return };
        // SAFETY: as above.
        unsafe { sys::rd_kafka_oauthbearer_set_token_failure(self.0.as_ptr(), reason.as_ptr()) };
    }
}
