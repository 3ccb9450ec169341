//! What runs and commands open alike: the runtime, the sink, and a look at its topics.

use std::sync::Arc;

use crate::checkpoint::Checkpoint;
use crate::config::{self, SaslOptions, Secret, SinkOptions, Task, TooLargePolicy};
use crate::error::Error;
use crate::hints;
use crate::remembered::{self, TopicLooks};
use tidegate_format::key::{self, KeyForm};
use tidegate_model::Table;
use tidegate_model::status::Status;
use tidegate_sink::file::{FileSink, Shown, Written};
use tidegate_sink::kafka::{self, KafkaSink};
use tidegate_sink::{NullSink, PretendedTopics, Sink, SinkError};

/// Partitions that topics of sinks without partitions pretend to have, so that hashing is measured too.
pub(crate) const PRETENDED_PARTITIONS: u32 = 12;

/// The topics of a task as they are.
pub(crate) fn look_at_topics(
    checkpoint: &Checkpoint,
    task: &Task,
    tables: &[Arc<Table>],
    sink: &dyn tidegate_sink::Topics,
    is_stopped: &dyn Fn() -> bool,
) -> Result<TopicLooks, Error> {
    let topics = remembered::topics_in_use(checkpoint, task, tables)?;
    let looks = sink.look(&topics.iter().map(String::as_str).collect::<Vec<_>>(), is_stopped)?;
    Ok(topics.into_iter().zip(looks).collect())
}

/// The same for whoever has no sink at hand.
pub(crate) fn topics_as_they_are(
    checkpoint: &Checkpoint,
    task: &Task,
    tables: &[Arc<Table>],
) -> Result<TopicLooks, Error> {
    match &task.sink {
        SinkOptions::Kafka(_) => {
            let sink = open_sink(task)?;
            look_at_topics(checkpoint, task, tables, &*sink.topics(), &|| false)
        }
        // A file would be made.
        SinkOptions::File(_) | SinkOptions::Null => {
            look_at_topics(checkpoint, task, tables, &PretendedTopics(PRETENDED_PARTITIONS), &|| false)
        }
    }
}

/// The runtime of the control plane: one thread that mostly sleeps. Bulk data has threads of its own.
pub fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(Error::Runtime)
}

pub(crate) fn open_sink(task: &Task) -> Result<Box<dyn Sink>, Error> {
    Ok(match &task.sink {
        SinkOptions::Kafka(options) => Box::new(KafkaSink::connect(kafka_options(task, options)?)?),
        SinkOptions::File(path) => {
            let values = match task.format {
                config::Format::CanalJson(_) => Written::Text,
                config::Format::DtsAvro(_) => Written::Hex,
            };
            let shown = Shown { values, key: shown_key(task), headers: !task.headers.is_empty() };
            Box::new(FileSink::new(path, PRETENDED_PARTITIONS, shown)?)
        }
        SinkOptions::Null => Box::new(NullSink { partitions: PRETENDED_PARTITIONS }),
    })
}

/// How keys stand in a line. Where tables have different forms, as bytes.
fn shown_key(task: &Task) -> Option<fn(&[u8]) -> String> {
    let mut forms = task.tables.rules().filter_map(|rule| Some(rule.key.as_ref()?.form));
    let first = forms.next()?;
    Some(match if forms.all(|form| form == first) { first } else { KeyForm::Avro } {
        KeyForm::Json => |key| key::shown(KeyForm::Json, key),
        KeyForm::Text => |key| key::shown(KeyForm::Text, key),
        KeyForm::Avro => |key| key::shown(KeyForm::Avro, key),
    })
}

/// Tries to reach and enter what the task sends to, and tells what stands against sending to `topics`.
/// Of `whole` among them, all messages are to stay.
pub fn check_sink(
    task: &Task,
    topics: &[String],
    whole: &[String],
) -> Result<Option<(kafka::BrokerInfo, Vec<SinkError>)>, Error> {
    match &task.sink {
        SinkOptions::Kafka(options) => Ok(Some(kafka::check(kafka_options(task, options)?, topics, whole)?)),
        SinkOptions::File(_) | SinkOptions::Null => Ok(None),
    }
}

pub(crate) fn kafka_options(task: &Task, options: &config::KafkaSinkOptions) -> Result<kafka::KafkaOptions, Error> {
    let read_again = |secret: &Secret| -> kafka::ReadPassword {
        let secret = secret.clone();
        Arc::new(move || secret.resolve().ok())
    };
    let sasl = options.sasl.as_ref().map(|sasl| -> Result<kafka::Sasl, Error> {
        Ok(match sasl {
            SaslOptions::Password { mechanism, user, password } => kafka::Sasl::Password(kafka::Password {
                mechanism: *mechanism,
                user: user.clone(),
                password: password.resolve()?,
                read_again: Some(read_again(password)),
            }),
            SaslOptions::OAuthBearer(oauth) => kafka::Sasl::OAuthBearer(kafka::OAuth {
                token_url: oauth.token_url.clone(),
                client_id: oauth.client_id.clone(),
                client_secret: oauth.client_secret.resolve()?,
                read_again: Some(read_again(&oauth.client_secret)),
                scope: oauth.scope.clone(),
                extensions: oauth.extensions.clone(),
                ca: oauth.ca.clone(),
            }),
        })
    });
    let tls = options.tls.as_ref().map(|tls| -> Result<kafka::Tls, Error> {
        Ok(kafka::Tls {
            ca: tls.ca.clone(),
            cert: tls.client.as_ref().map(|client| client.cert.clone()),
            key: tls.client.as_ref().map(|client| client.key.clone()),
            key_password: tls.key_password.as_ref().map(|password| password.resolve()).transpose()?,
            verify: tls.verify,
        })
    });
    // What is cut has a header that says so.
    let cuts = task.tables.rules().any(|rule| matches!(rule.too_large, TooLargePolicy::Truncate(_)));
    Ok(kafka::KafkaOptions {
        brokers: options.brokers.join(","),
        security: kafka::Security { sasl: sasl.transpose()?, tls: tls.transpose()? },
        client_id: format!("tidegate-{}", task.name),
        create_topics: options.create_topics.clone(),
        options: options.options.clone(),
        has_keys: task.tables.rules().any(|rule| rule.key.is_some()),
        has_headers: !task.headers.is_empty() || cuts,
        retry: task.retry.connection,
        take_up_partitions: hints::TAKE_UP_PARTITIONS,
    })
}

/// What the source of a run is held to, as the task file has it.
pub(crate) fn set_limits(status: &Status, task: &Task) {
    status.limits.all.set(task.limits.all);
    status.limits.full_load.set(task.limits.full_load);
}
