//! A task from its options to its end: opens what it needs, refuses what cannot work before anything moves, runs.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{info, warn};

use crate::apply::task_file::TaskFile;
use crate::checkpoint::journal::{By, What};
use crate::checkpoint::{self, Checkpoint, CheckpointError, TaskTracker};
use crate::config::{self, SinkOptions, SourceOptions, Task};
use crate::consent::Consent;
use crate::display::{Display, Screen};
use crate::error::Error;
use crate::items;
use crate::journal;
use crate::open::{look_at_topics, open_sink, runtime, set_limits};
use crate::pipeline;
use crate::pipeline::route::{self, Keyless, RouteError, Router};
use crate::precheck;
use crate::reload::asked;
use crate::remembered::{self, Accept};
use crate::shards;
use crate::source::{self, Context, Source};
use crate::stages::TaskStages;
use crate::status::monitor::{Monitor, Parts};
use crate::status::problems::Problems;
use crate::status::server::StatusServer;
use crate::until::Until;
use tidegate_flow::pipeline::Pipeline;
use tidegate_flow::store::StateFolder;
use tidegate_model::Stop;
use tidegate_model::Table;
use tidegate_model::retry::Retry;
use tidegate_model::status::{Phase, SINK, SOURCE, Status, Summary};
use tidegate_mysql::MysqlError;
use tidegate_mysql::check::{Finding, Severity};
use tidegate_mysql::run_lock::RunLock;
use tidegate_sink::kafka;
use tidegate_sink::{Sink, SinkError};

/// Runs a task until its source ends or it is told to stop, and shows how it goes; returns what it did.
pub fn run(file: &Path, consent: &Consent, screen: Screen, problems: Problems) -> Result<Summary, Error> {
    let (task, written) = TaskFile::read(file)?;
    let task = Arc::new(task);
    let runtime = runtime()?;
    let stop = Stop::default();
    stop.on_signals(&runtime, 0).map_err(Error::Runtime)?;
    let file = TaskFile::new(Some((file.to_owned(), written)), task.clone());
    let monitor = Monitor::new(file, Arc::new(Status::default()), stop, problems);
    monitor.run(runtime.handle());
    let _display = Display::start(monitor.clone(), screen);
    let serve = || StatusServer::start(&task, &monitor, runtime.handle());
    run_watched(&task, consent, &runtime, &monitor, serve)
}

/// As [`run`], for callers that bring their own stop and read the status themselves.
pub fn run_with(
    task: Arc<Task>,
    consent: &Consent,
    runtime: &tokio::runtime::Runtime,
    status: Arc<Status>,
    stop: Stop,
) -> Result<Summary, Error> {
    let file = TaskFile::new(None, task.clone());
    let monitor = Monitor::new(file, status, stop, Problems::default());
    run_watched(&task, consent, runtime, &monitor, || Ok(()))
}

/// `serve` lets others watch, once the state folder is this run's; what it gives lives as long as the run.
fn run_watched<T>(
    task: &Arc<Task>,
    consent: &Consent,
    runtime: &tokio::runtime::Runtime,
    monitor: &Monitor,
    serve: impl FnOnce() -> Result<T, Error>,
) -> Result<Summary, Error> {
    set_limits(monitor.status(), task);
    let state = StateFolder::open(&task.state).map_err(CheckpointError::from)?;
    let _server = serve()?;
    let result = run_by_files(task, consent, runtime, monitor, &state);
    journal::note_end(&state, &task.name, result.as_ref().map(|_| ()), monitor.stop().is_stopped());
    result
}

/// Runs in a state folder that is its own, and begins again with each task file that it is to take over.
fn run_by_files(
    task: &Arc<Task>,
    consent: &Consent,
    runtime: &tokio::runtime::Runtime,
    monitor: &Monitor,
    state: &StateFolder,
) -> Result<Summary, Error> {
    let stop = monitor.stop();
    let (mut task, mut consent, mut hold) = (task.clone(), consent.clone(), Hold::default());
    loop {
        let result = run_in(&task, &consent, runtime, monitor, state, &mut hold);
        monitor.ended();
        (task, consent) = match result {
            Ok(summary) => {
                let Some(next) = stop.go_on().then(|| monitor.file().take_over(&consent)).flatten() else {
                    return Ok(summary);
                };
                let accept: Vec<String> = next.consent.accept.iter().map(|accept| accept.name()).collect();
                let accept = if accept.is_empty() { String::new() } else { format!("; --accept {}", accept.join(",")) };
                journal::note_behind(state, &task.name, |at| (What::Applied, next.by, at + &accept));
                (next.task, next.consent)
            }
            Err(mut error) => {
                // Nothing else to go on by; or another run has the task, or somebody wants this one to end.
                if !monitor.file().is_tried() || !stop.go_on() {
                    return Err(error);
                }
                if let Error::Refused(refused) = &mut error {
                    refused.command = "apply";
                }
                journal::note_behind(state, &task.name, |_| (What::NotApplied, By::Run, error.to_string()));
                monitor.file().refused(&error).ok_or(error)?
            }
        };
    }
}

/// What is handed on from start to start of one process: the lock of the task on its source, which nobody else may have in between, and
/// where all of it ends.
#[derive(Default)]
struct Hold {
    until: Option<Until>,
    lock: Option<RunLock>,
    /// Of which server, and by which account.
    of: Option<(String, u16, String)>,
    /// Ends what is on its way to the sink of the run at work.
    abort: Arc<Mutex<Option<Abort>>>,
}

type Abort = Box<dyn Fn() + Send + Sync>;

impl Hold {
    /// Takes it, unless it is held already, which is the answer.
    fn take(&mut self, task: &Task, source: &dyn Source, sink: &dyn Sink, stop: &Stop) -> Result<bool, Error> {
        *self.abort.lock().unwrap_or_else(PoisonError::into_inner) = Some(sink.aborter());
        let of = match &task.source {
            SourceOptions::Mysql(options) => Some((options.host.clone(), options.port, options.user.clone())),
            SourceOptions::BinlogFiles(_) | SourceOptions::Parquet(_) => None,
        };
        if self.lock.is_some() && self.of == of {
            self.check()?;
            // Its session may have to be opened anew.
            self.lock.iter().for_each(|lock| source.renew(lock));
            return Ok(true);
        }
        self.lock = None;
        let (abort, other_run) = (self.abort.clone(), stop.clone());
        let on_lost = move || {
            // Nothing may be sent beside another run, not even what is on its way.
            other_run.stop();
            if let Some(abort) = &*abort.lock().unwrap_or_else(PoisonError::into_inner) {
                abort();
            }
        };
        (self.lock, self.of) = (source.lock(task, Box::new(on_lost))?, of);
        Ok(false)
    }

    /// The error if another run has it by now.
    fn check(&self) -> Result<(), Error> {
        Ok(self.lock.as_ref().map_or(Ok(()), RunLock::check).map_err(MysqlError::RunLock)?)
    }
}

/// A run by one task file.
fn run_in(
    task: &Arc<Task>,
    consent: &Consent,
    runtime: &tokio::runtime::Runtime,
    monitor: &Monitor,
    state: &StateFolder,
    hold: &mut Hold,
) -> Result<Summary, Error> {
    let (status, stop) = (monitor.status().clone(), monitor.stop());
    let Some(start) = start_when_possible(task, consent, runtime, monitor, state, hold)? else {
        hold.check()?;
        info!("stopped before anything was read");
        return Ok(status.summary());
    };
    let Start { source, sink, tracker, router } = start;
    let too_large = |state: &Checkpoint| state.too_large.iter().map(|(name, count)| (name.clone(), *count)).collect();
    status.set_too_large(tracker.read(too_large));
    let may_reload = asked::is_possible(task);
    let (topics, reload_waits_for, try_part) = (sink.topics(), source.reload_waits_for(), source.try_part());
    monitor.started_with(Parts { tracker: tracker.clone(), topics, may_reload, reload_waits_for, try_part });
    let (encode_threads, shares) = (task.threads.get(), pipeline::shares(task));
    let stages = TaskStages::new(router, sink);
    let (status_of, stop) = (status.clone(), stop.clone());
    let pipeline = Pipeline { stages, tracker, status: status_of, stop, encode_threads, shares };
    for lowered in &task.lowered {
        info!(hint = items::to_do("threads"), "{lowered}");
    }
    // What the source waits for before it reads, such as XA transactions that are prepared.
    status.set_phase(Phase::Starting { awaits: "the source to begin" });
    let result = match pipeline.stop.begin_running() {
        true => tidegate_flow::pipeline::run(&pipeline, state, |emitter| {
            // What the task promises is on disk before the first row leaves.
            let begun = |checkpoint: &mut Checkpoint| {
                let from = checkpoint.reads_from().map(|position| position.place().to_string());
                checkpoint.journal.note_start(from, &consent.told());
            };
            pipeline.tracker.update_durably(begun).map_err(Error::from)?;
            let (tracker, status, stop) = (&pipeline.tracker, &status, &pipeline.stop);
            let (pass, after_gap) = (&*consent.pass, consent.after_gap.as_ref());
            let context = Context { task, pass, after_gap, emitter, tracker, status, stop };
            // Others may have been set since the run began.
            let limits = |task: &Task| (task.limits.all, task.limits.full_load);
            if monitor.file().works().is_some_and(|before| limits(&before) != limits(task)) {
                set_limits(status, task);
            }
            Ok(source.run(&context)?)
        })
        .map_err(Error::from),
        false => Ok(()),
    };
    // What ended for this reason has failed, whatever else it says.
    hold.check()?;
    result?;
    info!("everything read has been delivered and stored");
    Ok(status.summary())
}

/// What a run works with: opened, found in order, and the same as before.
struct Start {
    source: Box<dyn Source>,
    sink: Box<dyn Sink>,
    tracker: Arc<TaskTracker>,
    router: Arc<Router>,
}

/// Starts, and waits for servers and brokers that are away as a running task would; none if it is told to stop meanwhile.
///
/// Only a task that has begun waits. Its addresses were right once, and whoever restarts machines in the night wants it back with
/// them. Of a first start nobody knows that: most likely a name is wrong, and who has typed it is there to see it now rather
/// than in twelve hours.
fn start_when_possible(
    task: &Arc<Task>,
    consent: &Consent,
    runtime: &tokio::runtime::Runtime,
    monitor: &Monitor,
    state: &StateFolder,
    hold: &mut Hold,
) -> Result<Option<Start>, Error> {
    let (status, stop) = (monitor.status(), monitor.stop());
    let stored = checkpoint::load(state, &task.name)?;
    let has_begun = stored.as_ref().is_some_and(Checkpoint::has_begun);
    let mut outage = Retry::new(task.retry.connection);
    loop {
        if stop.is_stopped() {
            return Ok(None);
        }
        let error = match start(task, consent, runtime, monitor, state, stored.clone(), hold) {
            Err(error) if error.is_transient() => error,
            result => {
                [SOURCE, SINK].into_iter().for_each(|of| status.recovered(of));
                return result.map(Some);
            }
        };
        // Then it is no wonder that something was not answered.
        if stop.is_stopped() {
            return Ok(None);
        }
        if !has_begun {
            return Err(Error::FirstStart(Box::new(error)));
        }
        // Another file may name another address, and there is one with which the run can go on.
        if monitor.file().is_tried() {
            return Err(error);
        }
        let Some(pause) = outage.next_pause() else { return Err(error) };
        warn!(%error, retry_in_ms = pause.as_millis() as u64, "the task cannot go on yet");
        let of = if matches!(error, Error::Source(_)) { SOURCE } else { SINK };
        status.retrying(of, error.to_string(), error.hint(), pause, &outage);
        outage.wait(pause, || stop.is_stopped());
    }
}

fn start(
    task: &Arc<Task>,
    consent: &Consent,
    runtime: &tokio::runtime::Runtime,
    monitor: &Monitor,
    state: &StateFolder,
    stored: Option<Checkpoint>,
    hold: &mut Hold,
) -> Result<Start, Error> {
    let (status, stop) = (monitor.status(), monitor.stop());
    let awaits = |awaits| status.set_phase(Phase::Starting { awaits });
    awaits("the source");
    let mut source = source::open(task, runtime, stored.as_ref())?;
    let checkpoint = match stored {
        Some(checkpoint) => checkpoint.of_source(&source.identity(), state.folder())?,
        None => Checkpoint::new(&task.name, source.identity()),
    };
    awaits("the brokers");
    // Before anything else is agreed to.
    source.check_position(task, &checkpoint, consent.after_gap.as_ref())?;
    if let Some(until) = hold.until.as_ref().or(consent.until.as_ref()) {
        hold.until = Some(source.end_at(task, until, &checkpoint)?);
    }
    let sink = open_sink(task)?;
    warn_of(task, sink.topics().old_brokers().iter().flat_map(precheck::of_old_brokers));
    awaits("another run of the task to end");
    let is_handed_on = hold.take(task, &*source, &*sink, stop)?;
    awaits("the brokers");
    match compare_and_plan(task, &consent.accept, checkpoint, &*source, &*sink, stop) {
        Ok((tracker, router)) => Ok(Start { source, sink, tracker, router }),
        Err(error) => {
            hold.check()?;
            if !is_handed_on {
                hold.lock = None;
            }
            Err(error)
        }
    }
}

fn warn_of(task: &Task, findings: impl IntoIterator<Item = Finding>) {
    for finding in findings {
        if finding.severity == Severity::Warning && !task.ignored_items.contains(&finding.item) {
            warn!(hint = finding.hint, "{finding}");
        }
    }
}

/// Refuses what would not be the same task, or could not be sent. Filters, projections, partitions and topics are refused here,
/// not in the middle of a table, and before the first topic is made.
fn compare_and_plan(
    task: &Arc<Task>,
    accept: &[Accept],
    mut checkpoint: Checkpoint,
    source: &dyn Source,
    sink: &dyn Sink,
    stop: &Stop,
) -> Result<(Arc<TaskTracker>, Arc<Router>), Error> {
    let tables = source.tables();
    let is_stopped = || stop.is_stopped();
    let topics = look_at_topics(&checkpoint, task, tables, &*sink.topics(), &is_stopped)?;
    let differences = remembered::compare(&checkpoint, task, tables, &topics)?;
    remembered::refuse(differences, task, accept)?;
    if checkpoint.has_begun() && checkpoint.remembered.is_none() {
        info!("the checkpoint is of an older version; from now on a changed task file is noticed at the start");
    }
    let mut later = BTreeSet::new();
    for table in tables {
        if let Some(error) = route::check_table_of(task, table, &checkpoint)? {
            warn!("the task goes on to where rows end that are older than what stands against it: {error}");
            later.insert(table.name());
        }
    }
    route::check_letters(task, tables.iter().map(|table| table.name()))?;
    let apart = shards::refuse(task, tables, &checkpoint).map_err(RouteError::from)?;
    if !checkpoint.has_begun() {
        for shared in shards::shared_names(task, tables) {
            warn!("{shared}: {}", shards::meaning(task));
        }
    }
    remembered::take_up_all(&mut checkpoint, task, tables, &topics)?;
    apart.iter().for_each(|target| checkpoint.is_apart(target));
    let names = topics_of(task, tables, sink)?;
    if let Some(policy) = created_compacted(task) {
        for table in tables {
            let is_to_be_made = |topic: &String| topics.get(topic).is_some_and(Option::is_none);
            let topic = route::topic_of_table(task, table.name())?;
            if is_to_be_made(&topic) {
                route::check_compacted(task, table, &topic, policy)?;
            }
            if let Some(topic) = route::ddl_topic_of_table(task, table.name())?.filter(is_to_be_made) {
                let policy = policy.to_owned();
                return Err(RouteError::Compacted { topic, policy, what: Keyless::Marks }.into());
            }
        }
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    sink.topics().prepare_all(&names, &is_stopped)?;
    if !checkpoint.has_begun() {
        match sink.topics().differing(&names, &is_stopped) {
            Ok(differing) => warn_of(task, precheck::of_differing(&differing)),
            Err(SinkError::Stopped) => return Err(SinkError::Stopped.into()),
            // It would only have been a warning.
            Err(error) => warn!(%error, "whether topics that exist are as the task would make them is not known"),
        }
    }
    let tracker = Arc::new(TaskTracker::new(checkpoint, task.retry.other));
    let router = Router::new(task.clone(), source.server_version().to_owned(), sink.topics(), stop.clone());
    let router = Arc::new(router.remembering(tracker.clone()));
    for table in tables.iter().filter(|table| !later.contains(table.name())) {
        router.route(table)?;
    }
    Ok((tracker, router))
}

/// All topics that tables, their statements and what is too large of them go to.
fn topics_of(task: &Task, tables: &[Arc<Table>], sink: &dyn Sink) -> Result<BTreeSet<String>, RouteError> {
    let mut names = BTreeSet::new();
    for table in tables {
        names.extend(route::topics_of_table(task, table.name())?);
        if let Some(letters) = route::dead_letter_topic_of_table(task, table.name())? {
            sink.topics().keep_whole(&letters);
        }
    }
    Ok(names)
}

/// The `cleanup.policy` of topics that the task makes, where it has them compacted.
fn created_compacted(task: &Task) -> Option<&str> {
    let SinkOptions::Kafka(config::KafkaSinkOptions { create_topics: Some(create), .. }) = &task.sink else {
        return None;
    };
    kafka::compacts(&create.config)
}
