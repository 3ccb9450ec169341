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
//! say what. What that costs in place, [`spill`] says; memory is that of a bucket, whatever the tables hold.
//!
//! [`topic`] reads topics, [`message`] what a message says, [`target`] makes rows comparable, [`report`] is what is printed.

mod judge;
mod message;
mod report;
mod spill;
mod target;
mod topic;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::checkpoint::{self, Checkpoint};
use crate::config::{SinkOptions, SourceOptions, Task};
use crate::display::{Line, Screen};
use crate::error::Error;
use crate::pipeline::route::{Routed, Router, encode_window, topic_of_table};
use crate::source::Source as _;
use crate::source::mysql::{End, MysqlSource};
use crate::status::client;
use crate::status::report::Phase;
use crate::status::words;
use crate::task::{kafka_options, open_sink, runtime};
use judge::{Verdict, Words};
use message::{Change, Reader, Said, empties};
use report::{Explained, Keys, Rows, TableReport};
pub use report::{Report, VERSION};
use spill::{Spill, State, Word};
use target::{ALL_COLUMNS, Target};
use topic::{Message, Topics};

use tidegate_model::rate::{Limit, Rate};
use tidegate_model::status::stages::Busy;
use tidegate_model::{Stop, Stopped, TableName, Window};
use tidegate_mysql::ledger::Ledger;
use tidegate_mysql::snapshot::LoadEnd;
use tidegate_sink::PretendedTopics;

/// How often keys are looked at that differ.
const LOOKS: usize = 3;
/// Keys that differ and are looked at again; of more, the first look counts.
const AGAIN_MAX: usize = 100_000;
/// Up to so many keys of a table, the server is asked for their rows, and else for all rows again.
const ASKED_MAX: usize = 1000;
/// How often the task's position is looked at, and for how long while it stands still.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
const STILL: Duration = Duration::from_secs(600);
/// Messages that are counted for a limit at a time.
const MESSAGES_AT_ONCE: u64 = 1000;

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
}

/// Why it could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
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

impl VerifyError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
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
        })
    }

    /// Whether the same may succeed later.
    pub fn may_pass(&self) -> bool {
        use VerifyError::{Altered, Behind, Kafka, Loading};
        matches!(self, Altered { .. } | Behind { .. } | Kafka { .. } | Loading { .. })
    }
}

/// Compares.
pub fn verify(task: Task, options: &Options, screen: &Screen) -> Result<Report, Error> {
    let begun = Instant::now();
    let SourceOptions::Mysql(of_source) = &task.source else { return Err(VerifyError::NoServer.into()) };
    let SinkOptions::Kafka(of_sink) = &task.sink else { return Err(VerifyError::NoTopics.into()) };
    let not_begun = || VerifyError::NotBegun { task: task.name.clone(), folder: task.state.clone() };
    let stored = checkpoint::read(&task.state, &task.name)?.ok_or_else(not_begun)?;
    if !stored.ledger.as_ref().is_none_or(Ledger::all_done) {
        return Err(VerifyError::Loading { task: task.name.clone() }.into());
    }
    let runtime = runtime()?;
    let stop = Stop::default();
    stop.on_signals(&runtime).map_err(Error::Runtime)?;
    let source = MysqlSource::open(&task, of_source, &runtime, Some(&stored))?;
    stored.of_source(&source.identity(), &task.state)?;
    let targets = wanted(Target::all(&task, source.tables())?, &options.tables)?;
    let consumer = kafka_options(&task, of_sink)?.consumer_config()?;
    let limits = message_limits(&task, of_sink.clone(), &targets, &stop)?;
    let names = targets.iter().flat_map(|target| target.topics.iter().cloned()).collect();
    let topics = Topics::open(consumer, &names, task.threads.get())?;
    let limit = limit_of(&task, options);
    let rates: [Rate; 2] = Default::default();
    rates.iter().for_each(|rate| rate.set(limit));
    let [of_rows, of_messages] = rates;
    let server_version = source.server_version().to_owned();
    let task = Arc::new(task);
    let router = Router::new(task.clone(), server_version, Arc::new(PretendedTopics(1)), stop.clone());
    let compared = Compared {
        reader: Reader::new(&task.format, &targets),
        tallies: targets.iter().map(|_| Tally::default()).collect(),
        keys_max: options.keys,
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
    if !compared.stop.begin_running() {
        return Err(VerifyError::Interrupted.into());
    }
    let counts = compared.counts.clone();
    let _line = Line::start(screen.clone(), move || counts.text());
    compared.run(options.folder.as_deref(), begun)
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

/// Of each target, beyond how many bytes messages about a row may be too large for its topics: an update has two rows. Refuses topics that
/// do not exist.
fn message_limits(
    task: &Task,
    options: crate::config::KafkaOptions,
    targets: &[Target],
    stop: &Stop,
) -> Result<Vec<usize>, Error> {
    let mut task = task.clone();
    task.sink = SinkOptions::Kafka(crate::config::KafkaOptions { create_topics: None, ..options });
    let sink = open_sink(&task)?;
    let topics = sink.topics();
    let is_stopped = || stop.is_stopped();
    let mut limits = Vec::with_capacity(targets.len());
    for target in targets {
        let mut limit = usize::MAX;
        for topic in &target.topics {
            if topics.look(&[topic], &is_stopped)?[0].is_none() {
                return Err(VerifyError::NoTopic { topic: topic.clone(), table: target.name.clone() }.into());
            }
            if target.may_be_too_large {
                topics.prepare(topic, &is_stopped)?;
                limit = topics.limit(topic).map_or(limit, |of_topic| limit.min(of_topic.surely() / 2));
            }
        }
        limits.push(limit);
    }
    Ok(limits)
}

/// All that takes part.
struct Compared {
    task: Arc<Task>,
    source: MysqlSource,
    topics: Topics,
    router: Router,
    targets: Vec<Target>,
    reader: Reader,
    /// Of each target.
    limits: Vec<usize>,
    tallies: Vec<Tally>,
    keys_max: usize,
    of_rows: Rate,
    of_messages: Rate,
    counts: Arc<Counts>,
    /// How often reading a table of the source has begun, of those without a key.
    attempts: Mutex<HashMap<TableName, u32>>,
    runtime: tokio::runtime::Runtime,
    stop: Stop,
}

/// What is counted of a target while it is read.
#[derive(Default)]
struct Tally {
    /// When a statement was told last by which its rows went.
    emptied_ms: Mutex<Option<i64>>,
    /// Messages whose rows have no key, or that have other columns where all of them are the key.
    incomparable: AtomicU64,
}

/// For whoever watches.
#[derive(Default)]
struct Counts {
    rows: AtomicU64,
    messages: AtomicU64,
    messages_all: AtomicU64,
    unreadable: AtomicU64,
    phase: Mutex<String>,
}

impl Counts {
    fn begin(&self, phase: impl Into<String>) {
        *self.phase.lock().expect("nobody panics with it") = phase.into();
    }

    fn text(&self) -> String {
        let [rows, messages, all] =
            [&self.rows, &self.messages, &self.messages_all].map(|count| words::count(count.load(Relaxed)));
        let phase = self.phase.lock().expect("nobody panics with it");
        format!("verify: {phase}; {messages} of {all} messages and {rows} rows are read")
    }
}

/// What was said of a key of a target, while it is judged.
type Put<'a> = dyn Fn(usize, Vec<u8>, Word) -> std::io::Result<()> + Sync + 'a;

/// Keys that differ so far, each with what was said of it.
type Again = HashMap<(usize, Vec<u8>), Words>;

impl Compared {
    fn run(&self, folder: Option<&Path>, begun: Instant) -> Result<Report, Error> {
        let first = self.topics.extents()?;
        let begin: Vec<i64> = first.iter().map(|extent| extent.begin).collect();
        let mut seen: Vec<i64> = first.iter().map(|extent| extent.end).collect();
        let folder = folder.unwrap_or(&self.task.state);
        let disk = |error: std::io::Error| VerifyError::Disk { folder: folder.to_owned(), error };
        let spill = Spill::new(folder).map_err(disk)?;
        let put = |target: usize, key: Vec<u8>, word: Word| spill.add(target as u32, &key, &word);
        self.counts.begin("reading topics");
        self.read_topics(&begin, &seen, false, folder, &put)?;
        self.counts.begin("reading the source");
        let all = self.sources(|_| true).map(|(_, name)| (name, None)).collect::<Vec<_>>();
        self.read_source(&all, folder, &put)?;
        let mut delivered = self.wait_until_delivered()?;
        seen = self.read_on(&seen, folder, &put)?;

        self.counts.begin("comparing");
        let mut outcomes: Vec<Outcome> = self.targets.iter().map(|_| Outcome::default()).collect();
        let mut again = Again::new();
        spill.each_key(
            |error| disk(error).into(),
            |target, key, said| -> Result<(), Error> {
                let target = target as usize;
                let words = self.words(target, said);
                if self.stop.is_stopped() {
                    return Err(VerifyError::Interrupted.into());
                }
                if !self.settle(&mut outcomes[target], target, &words) {
                    if again.len() < AGAIN_MAX {
                        again.insert((target, key.to_vec()), words);
                    } else {
                        outcomes[target].judged_once += 1;
                        self.differs(&mut outcomes[target], target, key, &words);
                    }
                }
                Ok(())
            },
        )?;
        tracing::debug!(bytes = spill.bytes(), again = again.len(), "all keys are compared once");
        drop(spill);
        for look in 2..=LOOKS {
            if again.is_empty() {
                break;
            }
            self.counts.begin(format!("looking at {} keys again", again.len()));
            delivered = self.look_again(&mut again, &mut seen, folder)?;
            let keys = std::mem::take(&mut again);
            for ((target, key), words) in keys {
                if self.settle(&mut outcomes[target], target, &words) {
                    continue;
                }
                match look < LOOKS && !words.is_quiet() {
                    true => _ = again.insert((target, key), words),
                    false => self.differs(&mut outcomes[target], target, &key, &words),
                }
            }
        }
        let lost = self.lost(&begin, &self.topics.extents()?);
        Ok(self.report(outcomes, &lost, delivered, begun))
    }

    /// Source tables of the targets that are wanted.
    fn sources(&self, is_wanted: impl Fn(usize) -> bool) -> impl Iterator<Item = (usize, TableName)> {
        let targets = self.targets.iter().enumerate().filter(move |(index, _)| is_wanted(*index));
        targets
            .flat_map(|(index, target)| target.sources.iter().map(move |source| (index, source.table.name().clone())))
    }

    fn words(&self, target: usize, said: &mut dyn Iterator<Item = Word>) -> Words {
        if self.targets[target].has_key() {
            return Words::of(said);
        }
        let mut words = Words::default();
        said.for_each(|word| words.add_counted(word));
        words
    }

    /// Reads what the topics have got since.
    fn read_on(&self, seen: &[i64], folder: &Path, put: &Put<'_>) -> Result<Vec<i64>, Error> {
        let ends: Vec<i64> = self.topics.extents()?.iter().map(|extent| extent.end).collect();
        self.counts.begin("reading topics on");
        self.read_topics(seen, &ends, true, folder, put)?;
        Ok(ends)
    }

    fn read_topics(&self, from: &[i64], to: &[i64], is_later: bool, folder: &Path, put: &Put<'_>) -> Result<(), Error> {
        let all: i64 = from.iter().zip(to).map(|(from, to)| (to - from).max(0)).sum();
        self.counts.messages_all.fetch_add(all as u64, Relaxed);
        let bytes = AtomicU64::new(0);
        self.topics.read(from, to, &self.stop, &|partition, message| {
            let read = self.counts.messages.fetch_add(1, Relaxed) + 1;
            bytes.fetch_add(message.value.len() as u64, Relaxed);
            if read.is_multiple_of(MESSAGES_AT_ONCE) {
                self.of_messages.pass(MESSAGES_AT_ONCE, bytes.swap(0, Relaxed), &self.stop, &Busy::default());
            }
            let disk = |error| VerifyError::Disk { folder: folder.to_owned(), error };
            self.take_message(partition, &message, is_later, put).map_err(disk)?;
            Ok(())
        })
    }

    fn take_message(
        &self,
        partition: u32,
        message: &Message<'_>,
        is_later: bool,
        put: &Put<'_>,
    ) -> std::io::Result<()> {
        let at_ms = message.at_ms;
        match self.reader.read(&self.targets, message.value) {
            None => _ = self.counts.unreadable.fetch_add(1, Relaxed),
            Some(Said::Nothing) => {}
            Some(Said::Statement(about, text)) => {
                for target in about.into_iter().filter(|_| empties(&text)) {
                    let mut emptied = self.tallies[target].emptied_ms.lock().expect("nobody panics with it");
                    *emptied = Some(emptied.map_or(at_ms, |before| before.max(at_ms)));
                }
            }
            Some(Said::Rows(index, changes)) => {
                let target = &self.targets[index];
                let is_large = target.may_be_too_large && (message.is_cut || message.value.len() > self.limits[index]);
                let tell = |key: Vec<u8>, state| put(index, key, Word::Told { partition, at_ms, is_later, state });
                for Change { before, after } in changes {
                    let rows = [before, after].map(|image| image.map(|image| (target.shape_of(&image), image.key)));
                    if !target.has_key() {
                        // Without a key, all columns are the key.
                        for (row, is_gone) in rows.into_iter().zip([true, false]) {
                            match row {
                                None => {}
                                Some((Some((ALL_COLUMNS, hash)), _)) => {
                                    let row = State::Row { shape: ALL_COLUMNS, hash, is_large };
                                    tell(hash.to_be_bytes().to_vec(), if is_gone { State::Gone } else { row })?;
                                }
                                Some(_) => _ = self.tallies[index].incomparable.fetch_add(1, Relaxed),
                            }
                        }
                        continue;
                    }
                    let [before, after] = rows.map(|row| row.map(|(shape, key)| shape.zip(key)));
                    let is_incomparable = matches!(before, Some(None)) || matches!(after, Some(None));
                    self.tallies[index].incomparable.fetch_add(is_incomparable.into(), Relaxed);
                    let (before, after) = (before.flatten(), after.flatten());
                    let is_same =
                        before.as_ref().zip(after.as_ref()).is_some_and(|((_, one), (_, other))| one == other);
                    if let Some((_, key)) = before.filter(|_| !is_same) {
                        tell(key, State::Gone)?;
                    }
                    if let Some(((shape, hash), key)) = after {
                        tell(key, State::Row { shape, hash, is_large })?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads rows of the source, put through the task's route.
    fn read_source(&self, wanted: &[(TableName, Option<String>)], folder: &Path, put: &Put<'_>) -> Result<(), Error> {
        let failure: Mutex<Option<Error>> = Mutex::new(None);
        let is_altered: Mutex<Option<TableName>> = Mutex::new(None);
        let attempts = |table: &TableName| {
            *self.attempts.lock().expect("nobody panics with it").entry(table.clone()).or_default() += 1;
        };
        let emit = |window: Window| {
            self.take_window(window, folder, put).map_err(|error| {
                failure.lock().expect("nobody panics with it").get_or_insert(error);
                self.stop.stop();
                Stopped
            })
        };
        let gone = |table: &TableName| _ = is_altered.lock().expect("nobody panics with it").insert(table.clone());
        let end = self.source.read_rows(&self.task, wanted, &attempts, &gone, &self.stop, &emit);
        if let Some(error) = failure.into_inner().expect("nobody panics with it") {
            return Err(error);
        }
        if let Some(table) = is_altered.into_inner().expect("nobody panics with it") {
            return Err(VerifyError::Altered { table }.into());
        }
        match end? {
            LoadEnd::Complete => Ok(()),
            LoadEnd::Stopped => Err(VerifyError::Interrupted.into()),
        }
    }

    fn take_window(&self, window: Window, folder: &Path, put: &Put<'_>) -> Result<(), Error> {
        let Some(batch) = window.changes.first() else { return Ok(()) };
        let table = batch.table().clone();
        let mut places =
            self.targets.iter().enumerate().flat_map(|(index, target)| {
                target.sources.iter().enumerate().map(move |(source, of)| (index, source, of))
            });
        let (index, source, known) = places
            .find(|(.., source)| source.table.name() == table.name())
            .unwrap_or_else(|| unreachable!("only tables of targets are read"));
        if !known.table.is_defined_as(&table) {
            return Err(VerifyError::Altered { table: table.name().clone() }.into());
        }
        let rows = batch.rows().num_rows() as u64;
        let bytes = batch.rows().get_array_memory_size() as u64;
        self.of_rows.pass(rows, bytes, &self.stop, &Busy::default());
        self.counts.rows.fetch_add(rows, Relaxed);
        let attempt = self.attempt(table.name());
        let routes = self.router.routes(&window)?;
        let window = encode_window(&self.router, Routed { window, routes, mark_routes: Vec::new(), first_id: 1 })?;
        let topic = topic_of_table(&self.task, table.name())?;
        let target = &self.targets[index];
        let disk = |error| VerifyError::Disk { folder: folder.to_owned(), error };
        for value in window.batches.iter().filter(|batch| *batch.topic == *topic).flat_map(|batch| batch.values.iter())
        {
            let Some(Said::Rows(_, changes)) = self.reader.read(&self.targets, value) else {
                unreachable!("what the task's encoder writes is read");
            };
            let is_large = target.may_be_too_large && value.len() > self.limits[index];
            for image in changes.into_iter().filter_map(|change| change.after) {
                let hashes = target.hashes_of(&image);
                let key = match hashes[usize::from(ALL_COLUMNS)] {
                    Some(hash) if !target.has_key() => Some(hash.to_be_bytes().to_vec()),
                    _ => image.key,
                };
                let key = key.unwrap_or_else(|| unreachable!("a row of the source has all columns of its target"));
                put(index, key, Word::Row { source: source as u16, attempt, is_large, hashes }).map_err(disk)?;
            }
        }
        Ok(())
    }

    /// How often reading a table has begun.
    fn attempt(&self, table: &TableName) -> u32 {
        self.attempts.lock().expect("nobody panics with it").get(table).copied().unwrap_or(0)
    }

    /// Waits until the task has delivered everything up to where the source is now. False if it does not run, and has not.
    fn wait_until_delivered(&self) -> Result<bool, Error> {
        if self.task.incremental.is_none() {
            return Ok(false);
        }
        let end: End = self.source.end()?;
        self.counts.begin(format!("waiting until the task has delivered what the source had at {end}"));
        let (mut last, mut moved) = (None, Instant::now());
        loop {
            if self.stop.is_stopped() {
                return Err(VerifyError::Interrupted.into());
            }
            // Asked before the position: who ends stores it.
            let running = self.runtime.block_on(client::ask(&self.task))?;
            let position =
                checkpoint::read(&self.task.state, &self.task.name)?.and_then(|stored: Checkpoint| stored.position);
            if position.as_ref().is_some_and(|position| end.is_before(position)) {
                return Ok(true);
            }
            let Some(status) = running else { return Ok(false) };
            if client::read(&status)?.phase == Phase::Paused {
                return Err(VerifyError::Paused { at: end.to_string() }.into());
            }
            if position != last {
                (last, moved) = (position, Instant::now());
            }
            if moved.elapsed() > STILL {
                return Err(VerifyError::Behind { at: end.to_string() }.into());
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Reads both sides again, of keys that differ.
    fn look_again(&self, again: &mut Again, seen: &mut Vec<i64>, folder: &Path) -> Result<bool, Error> {
        let mut keys: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
        for ((target, key), words) in &mut *again {
            match self.targets[*target].has_key() {
                true => words.look_again(),
                false => words.look_again_counted(),
            }
            keys.entry(*target).or_default().push(key.clone());
        }
        let mut wanted = Vec::new();
        for (&index, keys) in &keys {
            let names: Vec<&str> = self.targets[index].key_names().collect();
            for source in &self.targets[index].sources {
                let condition = source.integers.as_ref().and_then(|columns| condition(columns, &names, keys));
                wanted.push((source.table.name().clone(), condition));
            }
        }
        let all = Mutex::new(std::mem::take(again));
        let put = |target: usize, key: Vec<u8>, word: Word| {
            let mut all = all.lock().expect("nobody panics with it");
            if let Some(words) = all.get_mut(&(target, key)) {
                words.add(word);
            }
            Ok(())
        };
        self.read_source(&wanted, folder, &put)?;
        let delivered = self.wait_until_delivered()?;
        *seen = self.read_on(seen, folder, &put)?;
        *again = all.into_inner().expect("nobody panics with it");
        Ok(delivered)
    }

    /// Counts a key that does not differ. False if it does.
    fn settle(&self, outcome: &mut Outcome, target: usize, words: &Words) -> bool {
        if !self.targets[target].has_key() {
            let counted = self.count(target, words);
            if (counted.missing, counted.extra) != (0, 0) {
                return false;
            }
            outcome.rows.source += counted.rows.unsigned_abs();
            outcome.rows.topic += counted.told.max(0).unsigned_abs();
            return true;
        }
        let verdict = words.judge();
        if !matches!(verdict, Verdict::Equal | Verdict::Gone | Verdict::Shared) {
            return false;
        }
        outcome.explained.shared_key += u64::from(verdict == Verdict::Shared);
        outcome.count(words);
        true
    }

    fn count(&self, target: usize, words: &Words) -> judge::Counted {
        let sources = &self.targets[target].sources;
        words.count(&|source| self.attempt(sources[usize::from(source)].table.name()))
    }

    /// Counts a key that differs for good, and why, if there is a reason for it.
    fn differs(&self, outcome: &mut Outcome, target: usize, key: &[u8], words: &Words) {
        if !self.targets[target].has_key() {
            let counted = self.count(target, words);
            outcome.rows.source += counted.rows.unsigned_abs();
            outcome.rows.topic += counted.told.max(0).unsigned_abs();
            outcome.rows.missing += counted.missing.unsigned_abs();
            outcome.rows.extra += counted.extra.unsigned_abs();
            return;
        }
        outcome.count(words);
        let verdict = words.judge();
        let emptied = *self.tallies[target].emptied_ms.lock().expect("nobody panics with it");
        if verdict == Verdict::Extra && emptied.is_some_and(|emptied| words.told_ms() <= emptied) {
            outcome.explained.gone_by_statement += 1;
            return;
        }
        if words.is_large() {
            outcome.explained.too_large += 1;
            return;
        }
        let (count, keys) = match verdict {
            Verdict::Missing => (&mut outcome.rows.missing, &mut outcome.keys.missing),
            Verdict::Extra => (&mut outcome.rows.extra, &mut outcome.keys.extra),
            _ => (&mut outcome.rows.different, &mut outcome.keys.different),
        };
        *count += 1;
        if keys.len() < self.keys_max {
            let key = serde_json::from_slice(key);
            keys.push(key.unwrap_or_else(|_| unreachable!("keys were written as JSON")));
        }
    }

    /// Topics whose first messages are gone, but for compaction, by now.
    fn lost(&self, begin: &[i64], now: &[topic::Extent]) -> Vec<&str> {
        let partitions = self.topics.partitions().iter().zip(begin).zip(now);
        let lost = partitions.filter(|((_, begin), now)| **begin > 0 || now.begin > 0);
        let mut topics: Vec<&str> = lost.map(|((partition, _), _)| partition.topic.as_str()).collect();
        topics.dedup();
        topics
    }

    fn report(&self, outcomes: Vec<Outcome>, lost: &[&str], delivered: bool, begun: Instant) -> Report {
        let tables: Vec<TableReport> =
            outcomes.into_iter().enumerate().map(|(index, outcome)| self.table_report(index, outcome, lost)).collect();
        let mut notes = Vec::new();
        if self.task.incremental.is_none() {
            notes.push(
                "the task follows no changes (incremental: false): what has changed since its full load differs"
                    .to_owned(),
            );
        } else if !delivered {
            notes.push("the task does not run: what has changed since it was at work differs".to_owned());
        }
        match self.counts.unreadable.load(Relaxed) {
            0 => {}
            count => notes.push(format!("{count} messages are not of the task's format, and were passed over")),
        }
        Report {
            version: VERSION,
            task: self.task.name.clone(),
            equal: tables.iter().all(|table| table.verdict == report::Verdict::Equal),
            delivered,
            seconds: (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            messages: self.counts.messages.load(Relaxed),
            notes,
            tables,
        }
    }

    fn table_report(&self, index: usize, mut outcome: Outcome, lost: &[&str]) -> TableReport {
        let (target, tally) = (&self.targets[index], &self.tallies[index]);
        let mut notes = Vec::new();
        let mut is_unproven = false;
        let lost: Vec<&str> = lost.iter().copied().filter(|topic| target.topics.contains(*topic)).collect();
        if !lost.is_empty() {
            is_unproven = true;
            notes.push(format!(
                "topic {} no longer holds its beginning (retention): {} rows of the source are in none of the messages that are left",
                lost.join(", "),
                outcome.rows.missing
            ));
        } else if self.task.full_load.is_none() {
            is_unproven = true;
            notes.push(format!(
                "the task has no full load: {} rows have not changed since it began, or are missing",
                outcome.rows.missing
            ));
        }
        if is_unproven {
            // Nobody can say whether they were there.
            outcome.rows.missing = 0;
            outcome.keys.missing.clear();
        }
        match tally.incomparable.load(Relaxed) {
            0 => {}
            count => {
                is_unproven |= !target.has_key();
                notes.push(format!("{count} messages were sent when the table had other columns or another key, and could not be compared"));
            }
        }
        let lacking = target.lacking();
        if target.has_key() && !lacking.is_empty() {
            notes.push(format!("rows that were sent without {} were compared without", lacking.join(", ")));
        }
        let Explained { too_large, gone_by_statement, shared_key } = outcome.explained;
        for (count, what) in [
            (too_large, "differ and may be too large for their topic (too_large)"),
            (gone_by_statement, "went by a TRUNCATE or DROP that was sent"),
            (shared_key, "have a key that several tables of this name have, and were not compared"),
            (outcome.judged_once, "were judged once: too many differ to look at all of them again"),
        ] {
            if count > 0 {
                notes.push(format!("{count} rows {what}"));
            }
        }
        let Rows { missing, extra, different, .. } = outcome.rows;
        let verdict = match missing + extra + different {
            0 if is_unproven => report::Verdict::Unproven,
            0 => report::Verdict::Equal,
            _ => report::Verdict::Different,
        };
        TableReport {
            table: target.name.to_string(),
            sources: target.sources.iter().map(|source| source.table.name().to_string()).collect(),
            topics: target.topics.iter().cloned().collect(),
            key: target.key_names().map(str::to_owned).collect(),
            verdict,
            rows: outcome.rows,
            explained: outcome.explained,
            keys: outcome.keys,
            notes,
        }
    }
}

/// What came out of a target.
#[derive(Default)]
struct Outcome {
    rows: Rows,
    explained: Explained,
    keys: Keys,
    judged_once: u64,
}

impl Outcome {
    fn count(&mut self, words: &Words) {
        self.rows.source += u64::from(words.has_row());
        self.rows.topic += u64::from(words.is_told());
    }
}

/// By which the server finds rows of some keys: `` (`a`, `b`) IN ((1, 2), (3, 4)) ``. `names` are the columns' in the keys. None if there
/// are too many.
fn condition(columns: &[String], names: &[&str], keys: &[Vec<u8>]) -> Option<String> {
    let row = |key: &Vec<u8>| -> Option<String> {
        let values: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(key).ok()?;
        // Digits and a sign, and nothing else, goes into the statement.
        let number = |name: &&str| values.get(*name)?.as_str()?.parse::<i128>().ok().map(|number| number.to_string());
        let numbers = names.iter().map(number);
        numbers.collect::<Option<Vec<String>>>().map(|numbers| format!("({})", numbers.join(", ")))
    };
    let rows = keys.iter().map(row).collect::<Option<Vec<String>>>().filter(|rows| rows.len() <= ASKED_MAX)?;
    let columns: Vec<String> =
        columns.iter().map(|column| tidegate_mysql::connection::quote_identifier(column)).collect();
    Some(format!("({}) IN ({})", columns.join(", "), rows.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_asked_for_rows_by_their_keys() {
        let columns = ["a".to_owned(), "b`".to_owned()];
        let keys = |keys: &[&str]| keys.iter().map(|key| key.as_bytes().to_vec()).collect::<Vec<_>>();
        let asked = condition(
            &columns,
            &["y", "x"],
            &keys(&[r#"{"y":"1","x":"-2"}"#, r#"{"y":"18446744073709551615","x":"0"}"#]),
        );
        assert_eq!(asked.as_deref(), Some("(`a`, `b```) IN ((1, -2), (18446744073709551615, 0))"));
        assert_eq!(condition(&columns, &["y", "x"], &keys(&[r#"{"x":"1","y":"0 OR 1"}"#])), None);
        assert_eq!(condition(&columns[..1], &["x"], &vec![br#"{"x":"1"}"#.to_vec(); ASKED_MAX + 1]), None);
    }
}
