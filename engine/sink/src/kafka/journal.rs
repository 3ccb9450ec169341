//! What librdkafka says about connections, kept for whoever finds that brokers are not to be reached.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::types::RDKafkaErrorCode;

use super::token::Tokens;
use crate::SinkError;

/// Why brokers are not to be reached.
pub(super) struct Journal {
    /// The last that librdkafka said about a connection.
    pub(super) last: Mutex<Option<(RDKafkaErrorCode, String)>>,
    /// Without one, it is no matter what brokers say.
    pub(super) tokens: Option<Arc<Tokens>>,
}

impl Journal {
    fn lock(&self) -> MutexGuard<'_, Option<(RDKafkaErrorCode, String)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, code: RDKafkaErrorCode, text: String) {
        // That all are down says less than why the last one is.
        let mut last = self.lock();
        if code != RDKafkaErrorCode::AllBrokersDown || last.is_none() {
            *last = Some((code, text));
        }
    }

    /// A broker has answered: what was said before is no longer the matter.
    pub(super) fn clear(&self) {
        *self.lock() = None;
    }

    pub(super) fn was_refused(&self) -> bool {
        matches!(&*self.lock(), Some((RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL, _)))
    }

    pub(super) fn is_authentication(&self) -> bool {
        matches!(&*self.lock(), Some((RDKafkaErrorCode::Authentication, _)))
    }

    pub(super) fn refused(&self, brokers: &str) -> SinkError {
        let reason = self.lock().as_ref().map_or_else(String::new, |(_, text)| text.clone());
        SinkError::Refused { brokers: brokers.into(), reason }
    }

    pub(super) fn unreachable(&self, brokers: &str, reason: &str) -> SinkError {
        if let Some(lacking) = self.tokens.as_ref().and_then(|tokens| tokens.lacking()) {
            return lacking;
        }
        let reason = self.lock().as_ref().map_or_else(|| reason.to_owned(), |(code, text)| in_words(*code, text));
        SinkError::Unreachable { brokers: brokers.into(), reason }
    }
}

/// What librdkafka says about a connection, for people.
fn in_words(code: RDKafkaErrorCode, text: &str) -> String {
    // All that it says where each broker takes the connection, and hangs up or does not answer.
    if code == RDKafkaErrorCode::AllBrokersDown {
        return "each of them hangs up or says nothing, as brokers do that want SASL or TLS, that are ending, or that hang".to_owned();
    }
    if text.contains("Invalid response size") {
        return "what answers there does not speak as a Kafka broker does".to_owned();
    }
    // How often it was tried within which time says nothing to whoever reads why.
    text.split_once(" (after ").map_or(text, |(reason, _)| reason).to_owned()
}
