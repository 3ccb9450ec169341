//! Consumers that log in as the sink does.

use std::ops::Deref;
use std::sync::Arc;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::KafkaOptions;
use super::producer::client_error;
use super::token::{Bearer, Tokens};
use crate::SinkError;

/// Makes consumers of one task, which share its tokens.
pub struct Consumers {
    config: ClientConfig,
    tokens: Option<Arc<Tokens>>,
}

impl Consumers {
    /// With settings of librdkafka's besides what says how brokers are reached.
    pub fn new(options: &KafkaOptions, settings: &[(&str, &str)]) -> Result<Consumers, SinkError> {
        let mut config = options.consumer_config()?;
        for (name, value) in settings {
            config.set(*name, *value);
        }
        Ok(Consumers { config, tokens: options.security.tokens() })
    }

    pub fn consumer(&self) -> Result<KafkaConsumer, SinkError> {
        let first = self.tokens.as_ref().map(|tokens| tokens.token()).transpose()?;
        let consumer: BaseConsumer = self.config.create().map_err(client_error)?;
        let bearer = match self.tokens.clone().zip(first) {
            None => None,
            // SAFETY: dropped before the consumer, which stands behind it and is never moved out.
            Some((tokens, first)) => Some(unsafe { Bearer::new(consumer.client().native_ptr(), tokens, first) }?),
        };
        Ok(KafkaConsumer { _bearer: bearer, consumer })
    }

    /// Why consumers cannot log in, if it is for want of a token.
    pub fn lacking(&self) -> Option<SinkError> {
        self.tokens.as_ref()?.lacking()
    }
}

pub struct KafkaConsumer {
    // Dropped in this order.
    _bearer: Option<Bearer>,
    consumer: BaseConsumer,
}

impl Deref for KafkaConsumer {
    type Target = BaseConsumer;

    fn deref(&self) -> &BaseConsumer {
        &self.consumer
    }
}
