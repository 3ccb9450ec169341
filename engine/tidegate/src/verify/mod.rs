//! Do the topics hold what the source holds? Proven while both move: `tidegate verify`.
//!
//! ```text
//!   topics   ─────────────┤1                                  3├──────────►
//!   read     0 ══════════►1                              ══════►3            to where they ended
//!   source                  ══ chunk ══ chunk ══ chunk ══►                   as a full load reads it
//!   task                                                 2 ────► delivered   up to where the source was
//!
//!   both ──► the task's own route ──► (table, key, hash of the row) ──► buckets on disk ──► judged key by key
//! ```
//!
//! 1. The topics are read to where they end, and what each message leaves of its row is written down. Rows of the source follow, in chunks, each
//!    in a view of its own; they go through filter, projection and encoder as the task has them and are read from the messages that come of
//!    it, so that both sides are compared as what a consumer gets: not a value is interpreted here.
//! 2. Then it is awaited that the task has delivered everything up to where the source is. Its stored position says so, which never
//!    passes what is not delivered; the task itself is not asked for anything, and nothing is locked or committed.
//! 3. The topics are read on to where they end now. [`judge`] says why no moment of standing still is needed: of each key, what the source
//!    showed must be one of the states that the topic had in between.
//!
//! Keys that differ are looked at again, for there is one way in which the topic may be ahead: a server hands a transaction to those who
//! read its binlog before it shows it to those who read its tables. A difference stands if both sides still say the same, or at the third look.
//!
//! All keys are compared, and not only sums of chunks: a sum would say that something differs, and both sides would have to be read again to
//! say what. What that costs in place, [`spill`] says; memory is that of some keys at a time, whatever the tables hold.
//!
//! [`both`] reads the two sides, [`topic`] of them the topics, [`message`] what a message says; [`target`] makes rows comparable, [`outcome`] adds
//! up what was judged, [`report`] is what is printed, and [`repair`] puts right what differs.

mod both;
mod judge;
mod message;
mod outcome;
mod repair;
mod report;
mod spill;
mod target;
mod topic;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::checkpoint::{self, CheckpointError};
use crate::config::{SinkOptions, SourceOptions, Task};
use crate::display::{Line, Screen};
use crate::error::Error;
use crate::open::{kafka_options, open_sink, runtime};
use crate::pipeline::route::Router;
use crate::source::Source as _;
use crate::source::mysql::MysqlSource;
use crate::status::client;
use both::{Both, Tally};
use message::Reader;
pub use repair::Plan;
pub use report::{Repair, Report, VERSION};
use target::{OfLarge, Target};
use topic::Topics;

use tidegate_flow::store::StateFolder;
use tidegate_model::rate::{Limit, Rate};
use tidegate_model::stop::INTERRUPTED;
use tidegate_model::{Stop, TableName};
use tidegate_mysql::ledger::Ledger;
use tidegate_sink::PretendedTopics;
use tidegate_sink::kafka::MessageLimit;

/// How long the task's position may stand still while it is waited for.
const STILL: Duration = Duration::from_secs(600);

/// What the user wants of it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// By their names in the source, or where they go; all if there are none.
    pub tables: Vec<String>,
    /// Of the source and of topics, each; instead of the task's `limits`.
    pub rows_per_second: Option<u64>,
    /// Where what was read is kept meanwhile; in the state folder if that is not said.
    pub folder: Option<PathBuf>,
    /// Keys of each kind that are told of each table.
    pub keys: usize,
    /// What differs is to be put right.
    pub repair: bool,
}

/// What was found, and what is to be done about it, if that is wanted and anything differs.
pub struct Verified {
    pub report: Report,
    pub plan: Option<Plan>,
}

/// Why it could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// What any task may meet.
    #[error(transparent)]
    Task(Box<Error>),
    #[error("there is nothing to compare with: the source is files")]
    NoServer,
    #[error("there is nothing to compare: the sink is not Kafka")]
    NoTopics,
    #[error("task {task} has not begun: there is no state in {}", folder.display())]
    NotBegun { task: String, folder: PathBuf },
    #[error("the full load of task {task} has not ended")]
    Loading { task: String },
    #[error("the task selects no table {name}")]
    NoTable { name: String },
    #[error("topic {topic} does not exist, where rows of {table} go")]
    NoTopic { topic: String, table: TableName },
    #[error("table {table} was altered or dropped while it was compared")]
    Altered { table: TableName },
    #[error("the task is paused, and has not delivered what the source had at {at}")]
    Paused { at: String },
    #[error("the task has not delivered what the source had at {at}, and nothing else for {} s", STILL.as_secs())]
    Behind { at: String },
    #[error("topic {topic} could not be read: {reason}")]
    Kafka { topic: String, reason: String },
    #[error("could not write down what was read, in {}: {error}", folder.display())]
    Disk { folder: PathBuf, error: std::io::Error },
    #[error("interrupted")]
    Interrupted,
}

impl<E: Into<Error>> From<E> for VerifyError {
    fn from(error: E) -> VerifyError {
        VerifyError::Task(Box::new(error.into()))
    }
}

impl VerifyError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            VerifyError::Task(error) => return error.hint(),
            VerifyError::NoServer | VerifyError::NoTopics | VerifyError::Kafka { .. } | VerifyError::Interrupted => {
                return None;
            }
            VerifyError::NotBegun { .. } => "`tidegate run` begins it; a state elsewhere is named by `state`",
            VerifyError::Loading { .. } => "try again when `tidegate status` says that changes are followed",
            VerifyError::NoTable { .. } => {
                "write database.table, as the source calls it or as it is called where it goes"
            }
            VerifyError::NoTopic { .. } => {
                "a table that has just been made gets its topic with its first row; a topic that was deleted is missed by the task, too"
            }
            VerifyError::Altered { .. } => "try again: the columns are others now",
            VerifyError::Paused { .. } => "`tidegate resume` lets it go on",
            VerifyError::Behind { .. } => "`tidegate status` says what it waits for",
            VerifyError::Disk { .. } => {
                "--spill names another folder; about 100 bytes are needed for each row and each message"
            }
        };
        Some(hint.to_owned())
    }

    /// Whether the same may succeed later.
    pub fn may_pass(&self) -> bool {
        use VerifyError::{Altered, Behind, Kafka, Loading};
        match self {
            VerifyError::Task(error) => error.may_pass(),
            error => matches!(error, Altered { .. } | Behind { .. } | Kafka { .. } | Loading { .. }),
        }
    }
}

/// Compares.
pub fn verify(task: Task, options: &Options, screen: &Screen) -> Result<Verified, VerifyError> {
    let begun = Instant::now();
    let SourceOptions::Mysql(of_source) = &task.source else { return Err(VerifyError::NoServer) };
    let SinkOptions::Kafka(of_sink) = &task.sink else { return Err(VerifyError::NoTopics) };
    let not_begun = || VerifyError::NotBegun { task: task.name.clone(), folder: task.state.clone() };
    let runtime = runtime()?;
    // Before the state is read, which is nobody else's from then on.
    let state = match options.repair && runtime.block_on(client::ask(&task))?.is_none() {
        true => Some(StateFolder::open(&task.state).map_err(CheckpointError::from)?),
        false => None,
    };
    let stored = checkpoint::read(&task.state, &task.name)?.ok_or_else(not_begun)?;
    if !stored.source.ledger.as_ref().is_none_or(Ledger::all_done) {
        return Err(VerifyError::Loading { task: task.name.clone() });
    }
    let stop = Stop::default();
    stop.on_signals(&runtime, INTERRUPTED).map_err(Error::Runtime)?;
    let source = MysqlSource::open(&task, of_source, &runtime, Some(&stored))?;
    stored.of_source(&source.identity(), &task.state)?;
    let targets = wanted(Target::all(&task, source.tables())?, &options.tables)?;
    let of_topics = kafka_options(&task, of_sink)?;
    let limits = message_limits(&task, &targets, &stop)?;
    let names = targets.iter().flat_map(|target| target.topics.iter().cloned()).collect();
    let topics = Topics::open(&of_topics, &names, task.threads.get())?;
    let limit = limit_of(&task, options);
    let rates: [Rate; 2] = Default::default();
    rates.iter().for_each(|rate| rate.set(limit));
    let [of_rows, of_messages] = rates;
    let server_version = source.server_version().to_owned();
    let task = Arc::new(task);
    let router = Router::new(task.clone(), server_version, Arc::new(PretendedTopics(1)), stop.clone());
    let both = Both {
        reader: Reader::new(&task.format, &targets),
        tallies: targets.iter().map(|_| Tally::default()).collect(),
        unreadable: topics.partitions().iter().map(|_| Default::default()).collect(),
        keys_max: options.keys,
        repairs: options.repair,
        wrong_bytes: Default::default(),
        counts: Arc::default(),
        attempts: Mutex::default(),
        source,
        topics,
        router,
        limits,
        targets,
        of_rows,
        of_messages,
        runtime,
        stop,
        task,
    };
    // From here on, a signal is heard, so that what is on disk goes.
    if !both.stop.begin_running() {
        return Err(VerifyError::Interrupted);
    }
    let counts = both.counts.clone();
    let _line = Line::start(screen.clone(), move || counts.text());
    let folder = options.folder.clone().unwrap_or_else(|| both.task.state.clone());
    let (report, wrong) = both.run(&folder, begun)?;
    let plan = (options.repair && !report.equal).then(|| Plan::new(both, state, wrong));
    Ok(Verified { report, plan })
}

/// Those that the user has named.
fn wanted(mut targets: Vec<Target>, names: &[String]) -> Result<Vec<Target>, VerifyError> {
    let is_named = |target: &Target, name: &str| {
        target.name.to_string() == name || target.sources.iter().any(|source| source.table.name().to_string() == name)
    };
    if let Some(name) = names.iter().find(|name| !targets.iter().any(|target| is_named(target, name))) {
        return Err(VerifyError::NoTable { name: name.clone() });
    }
    targets.retain(|target| names.is_empty() || names.iter().any(|name| is_named(target, name)));
    Ok(targets)
}

fn limit_of(task: &Task, options: &Options) -> Limit {
    let of = [task.limits.all, task.limits.full_load];
    match options.rows_per_second {
        Some(rows) => Limit { rows_per_second: Some(rows), bytes_per_second: None },
        None => Limit {
            rows_per_second: of.iter().filter_map(|limit| limit.rows_per_second).min(),
            bytes_per_second: of.iter().filter_map(|limit| limit.bytes_per_second).min(),
        },
    }
}

/// What the topics of targets take of a message, where it matters. Refuses topics that do not exist.
fn message_limits(task: &Task, targets: &[Target], stop: &Stop) -> Result<HashMap<String, MessageLimit>, VerifyError> {
    let task = without_new_topics(task);
    let sink = open_sink(&task)?;
    let topics = sink.topics();
    let is_stopped = || stop.is_stopped();
    let mut limits = HashMap::new();
    for target in targets {
        for topic in &target.topics {
            if topics.look(&[topic], &is_stopped)?[0].is_none() {
                return Err(VerifyError::NoTopic { topic: topic.clone(), table: target.name.clone() });
            }
            if target.of_large != OfLarge::Stops && !limits.contains_key(topic) {
                topics.prepare(topic, &is_stopped)?;
                limits.extend(topics.limit(topic).map(|limit| (topic.clone(), limit)));
            }
        }
    }
    Ok(limits)
}

/// The task, by which no topic is made.
fn without_new_topics(task: &Task) -> Task {
    let mut task = task.clone();
    if let SinkOptions::Kafka(options) = &mut task.sink {
        options.create_topics = None;
    }
    task
}
