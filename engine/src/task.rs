//! A task from its options to its end: opens what it needs, refuses what cannot work before anything moves, runs.

use std::sync::{Arc, Mutex};

use tracing::info;

use crate::checkpoint::{Checkpoint, StateFolder};
use crate::config::{self, SinkOptions, Task};
use crate::display::{Display, Screen};
use crate::error::Error;
use crate::pipeline::route::Router;
use crate::pipeline::tracker::Tracker;
use crate::pipeline::{self, Pipeline};
use crate::remembered::{self, Accept, Topics};
use crate::source::{Context, Source};
use tidegate_model::Stop;
use tidegate_model::Table;
use tidegate_model::status::{Status, Summary};
use tidegate_mysql::MysqlError;
use tidegate_sink::file::FileSink;
use tidegate_sink::kafka::{self, KafkaSink};
use tidegate_sink::{NullSink, Sink, SinkError};

/// Partitions that topics of sinks without partitions pretend to have, so that hashing is measured too.
pub(crate) const PRETENDED_PARTITIONS: u32 = 12;

/// Runs a task until its source ends or it is told to stop; returns what it did.
///
/// `accept` names the consequences that the user has accepted for this start.
pub fn run(task: Task, accept: &[Accept], screen: Screen) -> Result<Summary, Error> {
    let task = Arc::new(task);
    let runtime = runtime()?;
    let stop = Stop::default();
    stop.on_signals(&runtime).map_err(Error::Runtime)?;
    let status = Arc::new(Status::default());
    let _display = Display::start(status.clone(), screen);
    run_with(task, accept, &runtime, status, stop)
}

/// As [`run`], for callers that bring their own stop and read the status themselves.
pub fn run_with(
    task: Arc<Task>,
    accept: &[Accept],
    runtime: &tokio::runtime::Runtime,
    status: Arc<Status>,
    stop: Stop,
) -> Result<Summary, Error> {
    let state = StateFolder::open(&task.state)?;
    let stored = state.load(&task.name)?;
    let source = Source::open(&task, runtime, stored.as_ref())?;
    let mut checkpoint = match stored {
        Some(checkpoint) => source.check_stored(checkpoint, &state)?,
        None => Checkpoint::new(&task.name, source.identity()),
    };
    let sink = open_sink(&task)?;
    let (abort, other_run) = (sink.aborter(), stop.clone());
    let lock = source.lock(&task, move || {
        // Nothing may be sent beside another run, not even what is on its way.
        other_run.stop();
        abort();
    })?;
    let topics = look_at_topics(&checkpoint, &task, source.tables(), &*sink.topics())?;
    let differences = remembered::compare(&checkpoint, &task, source.tables(), &topics)?;
    remembered::refuse(differences, &task, accept)?;
    if checkpoint.has_begun() && checkpoint.remembered.is_none() {
        info!("the checkpoint is of an older version; from now on a changed task file is noticed at the start");
    }
    remembered::take_up_all(&mut checkpoint, &task, source.tables(), &topics)?;
    let tracker = Arc::new(Tracker::new(checkpoint, task.retry.other));
    let router = Router::new(task.clone(), source.server_version(), sink.topics(), stop.clone());
    let router = Arc::new(router.remembering(tracker.clone()));
    // Filters, projections, partitions and topics are refused here, not in the middle of a table.
    for table in source.tables() {
        router.route(table)?;
    }
    let sink = Arc::new(Mutex::new(sink));
    let (encode_threads, shares) = (task.threads.get(), pipeline::shares(&task));
    let pipeline = Pipeline { router, sink, tracker, status: status.clone(), stop, encode_threads, shares };
    let result = pipeline::run(&pipeline, &state, |emitter| {
        // What the task promises is on disk before the first row leaves.
        pipeline.tracker.update_durably(|_| ())?;
        source.run(&Context { task: &task, emitter, tracker: &pipeline.tracker, status: &status, stop: &pipeline.stop })
    });
    // What ended for this reason has failed, whatever else it says.
    if let Some(lock) = lock {
        lock.check().map_err(MysqlError::RunLock)?;
    }
    result?;
    info!("everything read has been delivered and stored");
    Ok(status.summary())
}

/// The topics of a task as they are.
pub(crate) fn look_at_topics(
    checkpoint: &Checkpoint,
    task: &Task,
    tables: &[Arc<Table>],
    sink: &dyn tidegate_sink::Topics,
) -> Result<Topics, Error> {
    let topics = remembered::topics_in_use(checkpoint, task, tables)?;
    let looks = sink.look(&topics.iter().map(String::as_str).collect::<Vec<_>>())?;
    Ok(topics.into_iter().zip(looks).collect())
}

/// The runtime of the control plane: one thread that mostly sleeps. Bulk data has threads of its own.
pub fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(Error::Runtime)
}

pub(crate) fn open_sink(task: &Task) -> Result<Box<dyn Sink>, Error> {
    Ok(match &task.sink {
        SinkOptions::Kafka(options) => Box::new(KafkaSink::new(kafka_options(task, options)?)?),
        SinkOptions::File(path) => Box::new(FileSink::new(path, PRETENDED_PARTITIONS)?),
        SinkOptions::Null => Box::new(NullSink { partitions: PRETENDED_PARTITIONS }),
    })
}

/// Tries to reach and enter what the task sends to, and tells what stands against sending to `topics`.
pub fn check_sink(task: &Task, topics: &[String]) -> Result<Option<(kafka::BrokerInfo, Vec<SinkError>)>, Error> {
    match &task.sink {
        SinkOptions::Kafka(options) => Ok(Some(kafka::check(kafka_options(task, options)?, topics)?)),
        SinkOptions::File(_) | SinkOptions::Null => Ok(None),
    }
}

fn kafka_options(task: &Task, options: &config::KafkaOptions) -> Result<kafka::KafkaOptions, Error> {
    let sasl = options.sasl.as_ref().map(|sasl| -> Result<kafka::Sasl, Error> {
        let mechanism = match sasl.mechanism {
            config::Sasl::Plain => kafka::SaslMechanism::Plain,
            config::Sasl::ScramSha256 => kafka::SaslMechanism::ScramSha256,
            config::Sasl::ScramSha512 => kafka::SaslMechanism::ScramSha512,
        };
        Ok(kafka::Sasl { mechanism, user: sasl.user.clone(), password: sasl.password.resolve()? })
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
    Ok(kafka::KafkaOptions {
        brokers: options.brokers.join(","),
        security: kafka::Security { sasl: sasl.transpose()?, tls: tls.transpose()? },
        client_id: format!("tidegate-{}", task.name),
        create_topics: options.create_topics.as_ref().map(|create| kafka::CreateTopics {
            partitions: create.partitions,
            replication: create.replication,
            config: create.config.clone(),
        }),
        options: options.options.clone(),
        retry: task.retry.connection,
    })
}
