//! How fast does it go here, and what holds it up? `tidegate bench`.
//!
//! ```text
//! source      read ─► thrown away, but for a sample of the first rows
//! format              the sample over and over ─► filtered, projected, encoded ─► thrown away
//! brokers                                          the sample, encoded, over and over ─► a topic of its own ─► acknowledged
//! together    read ─► filtered, projected, encoded ─► the topic ─► acknowledged
//! ```
//!
//! Each step runs for some seconds, by the pipeline that a run has, with its filters, projections, threads and memory. Rows are counted as
//! they are read, so that the steps compare: the slowest one by itself is what holds the task up. The steps with a source are a full load of the
//! task's tables within its limits. Nothing of the task is touched: the state lies in a folder of its own, no lock is taken, and the topic is made for
//! this and deleted. Without a task, a generated table is read from files.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::checkpoint::{Checkpoint, CheckpointError, TaskTracker};
use crate::config::{self, SinkOptions, Task};
use crate::demo::{self, DemoError};
use crate::error::Error;
use crate::open::{PRETENDED_PARTITIONS, kafka_options, open_sink, runtime, set_limits};
use crate::pipeline;
use crate::pipeline::route::Router;
use crate::rehearsal::Folder;
use crate::source::{self, Context, Source};
use crate::stages::TaskStages;
use tidegate_flow::pipeline::{Delivery, Pipeline, StageError, Stages};
use tidegate_flow::store::StateFolder;
use tidegate_model::message::{Appetite, MessageBatch, MessageWindow};
use tidegate_model::status::Status;
use tidegate_model::stop::INTERRUPTED;
use tidegate_model::words::grouped;
use tidegate_model::{Stop, Window};
use tidegate_sink::kafka::{self, CreateTopics, MessageLimit};
use tidegate_sink::{NullSink, PretendedTopics, Sink, SinkError, TopicIdentity, TopicLook, Topics};

/// Of the JSON.
const VERSION: u32 = 1;
const TOGETHER: &str = "together";
/// Rows of the generated table.
const GENERATED_ROWS: u64 = 2_000_000;
/// Between two looks whether the time is over.
const LOOK: Duration = Duration::from_millis(10);
/// Of the rows that format and brokers get over and over: so many bytes, and no more than a share of the task's memory.
const SAMPLE_BYTES: usize = 16 << 20;
const SAMPLE_SHARE: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// What any task may meet.
    #[error(transparent)]
    Task(Box<Error>),
    #[error("the task has no full load, which is what is measured")]
    NoLoad,
    #[error(transparent)]
    Generated(#[from] DemoError),
    #[error("interrupted")]
    Interrupted,
}

impl<E: Into<Error>> From<E> for BenchError {
    fn from(error: E) -> BenchError {
        BenchError::Task(Box::new(error.into()))
    }
}

impl BenchError {
    /// Whether the same may succeed later.
    pub fn may_pass(&self) -> bool {
        matches!(self, BenchError::Task(error) if error.may_pass())
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            BenchError::Task(error) => error.hint(),
            BenchError::Generated(error) => error.hint(),
            BenchError::NoLoad | BenchError::Interrupted => None,
        }
    }
}

/// What came out.
#[derive(Debug, Serialize)]
pub struct Bench {
    pub version: u32,
    /// None where the table was generated.
    pub task: Option<String>,
    pub steps: Vec<Step>,
    /// The slowest step by itself: `source`, `format` or `brokers`. None if the source had no rows for so long.
    pub bottleneck: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Step {
    /// What was at work: `source`, `format`, `brokers`, each by itself, or `together`; of generated data, formats by their names.
    pub step: String,
    pub seconds: f64,
    pub rows: u64,
    pub rows_per_s: f64,
    /// Of columns.
    pub read_bytes_per_s: f64,
    pub messages: u64,
    pub message_bytes_per_s: f64,
    /// User and system time of this process.
    pub cpu_seconds: f64,
    /// All rows of all tables were read before the time was over: of few, what a start costs is a part.
    pub is_whole: bool,
}

/// The topic that a measurement of this task makes, and deletes. None if its sink is not Kafka.
pub fn topic(task: &Task) -> Option<String> {
    matches!(task.sink, SinkOptions::Kafka(_)).then(|| format!("{}.tidegate-bench-{}", task.name, std::process::id()))
}

/// Measures a task, for so long in each step; `with_brokers` also what its brokers take.
pub fn task(task: &Task, time: Duration, with_brokers: bool) -> Result<Bench, BenchError> {
    if task.full_load.is_none() {
        return Err(BenchError::NoLoad);
    }
    let bench = Runner::new(time)?;
    let folder = Folder::new(&task.name).map_err(CheckpointError::from)?;
    let task = Arc::new(alone(task, folder.path()));
    let (source, sample) = bench.source(&task)?;
    let mut steps = vec![source, bench.format(&task, "format", &sample)?];
    match topic(&task).filter(|_| with_brokers) {
        Some(topic) => steps.extend(bench.brokers(&task, &topic, &sample)?),
        None => steps.push(bench.step(TOGETHER, &task, Feed::Source, pretended(&task))?),
    }
    let bottleneck = bottleneck(&steps);
    Ok(Bench { version: VERSION, task: Some(task.name.clone()), steps, bottleneck })
}

/// Measures what this machine does with a generated table.
pub fn generated(time: Duration) -> Result<Bench, BenchError> {
    let bench = Runner::new(time)?;
    let folder = Folder::new("generated").map_err(CheckpointError::from)?;
    let data = folder.path().join("data");
    demo::generate(&data, GENERATED_ROWS)?;
    let of = |format: &str| -> Result<Arc<Task>, BenchError> {
        let text = format!(
            "task: generated\nsource: {{parquet: \"{}\"}}\ntables: [tpch.lineitem]\nsink: {{null: {{}}}}\nformat: {format}\n",
            data.display()
        );
        Ok(Arc::new(alone(&config::parse("generated.yaml", &text)?, folder.path())))
    };
    let (source, sample) = bench.source(&of("canal_json")?)?;
    let [canal, avro] = ["canal_json", "dts_avro"].map(|format| bench.format(&of(format)?, format, &sample));
    let steps = vec![source, canal?, avro?];
    Ok(Bench { version: VERSION, task: None, steps, bottleneck: None })
}

/// The task's full load, that touches nothing of its own.
fn alone(task: &Task, folder: &Path) -> Task {
    let mut task = task.clone();
    task.state = folder.join("state");
    task.incremental = None;
    (task.retry.connection, task.retry.other) = (Duration::ZERO, Duration::ZERO);
    task
}

/// The slowest of the steps that are by themselves. None if the source came to its end before the time did.
fn bottleneck(steps: &[Step]) -> Option<String> {
    let alone = steps.iter().filter(|step| step.step != TOGETHER);
    let slowest = alone.min_by(|one, other| one.rows_per_s.total_cmp(&other.rows_per_s))?;
    (!steps[0].is_whole).then(|| slowest.step.clone())
}

/// Encodes as the task does, for topics that nobody has.
fn pretended(task: &Arc<Task>) -> impl FnOnce(&dyn Source, &Stop) -> Result<TaskStages, Error> {
    |source, stop| {
        let topics = Arc::new(PretendedTopics(PRETENDED_PARTITIONS));
        let router = Router::new(task.clone(), source.server_version().to_owned(), topics, stop.clone());
        Ok(TaskStages::new(Arc::new(router), Box::new(NullSink { partitions: PRETENDED_PARTITIONS })))
    }
}

/// Where a step has its rows from.
enum Feed<'a> {
    Source,
    /// Over and over.
    Sample(&'a [Window]),
}

struct Runner {
    runtime: tokio::runtime::Runtime,
    /// By a signal.
    interrupted: Stop,
    time: Duration,
}

impl Runner {
    fn new(time: Duration) -> Result<Runner, BenchError> {
        let runner = Runner { runtime: runtime()?, interrupted: Stop::default(), time };
        // A second one ends the program at once; then the topic is left.
        runner.interrupted.on_signals(&runner.runtime, INTERRUPTED).map_err(Error::Runtime)?;
        match runner.interrupted.begin_running() {
            true => Ok(runner),
            false => Err(BenchError::Interrupted),
        }
    }

    /// With the first rows, to go on with.
    fn source(&self, task: &Arc<Task>) -> Result<(Step, Vec<Window>), BenchError> {
        let sample = Arc::new(Mutex::new(Sample {
            room: SAMPLE_BYTES.min(task.memory_bytes as usize / SAMPLE_SHARE),
            windows: Vec::new(),
        }));
        let kept = sample.clone();
        let step = self.step("source", task, Feed::Source, |_, _| Ok(Discarding(kept)))?;
        let windows = std::mem::take(&mut sample.lock().expect("who keeps windows does not panic").windows);
        Ok((step, windows))
    }

    fn format(&self, task: &Arc<Task>, name: &str, sample: &[Window]) -> Result<Step, BenchError> {
        self.step(name, task, Feed::Sample(sample), pretended(task))
    }

    /// By themselves, and behind the others.
    fn brokers(&self, task: &Arc<Task>, topic: &str, sample: &[Window]) -> Result<[Step; 2], BenchError> {
        let mut with_topic = Task::clone(task);
        let SinkOptions::Kafka(options) = &mut with_topic.sink else { unreachable!("it has a topic") };
        // As the task would make it, but for settings such as compaction.
        let create = options.create_topics.take().unwrap_or(CreateTopics {
            partitions: None,
            replication: None,
            config: Default::default(),
        });
        options.create_topics = Some(CreateTopics { config: Default::default(), ..create });
        let options = options.clone();
        let of_kafka = kafka_options(&with_topic, &options)?;
        let into_topic = |source: &dyn Source, stop: &Stop| -> Result<TaskStages, Error> {
            let sink = open_sink(&with_topic)?;
            let inner = sink.topics();
            inner.prepare(topic, &|| stop.is_stopped())?;
            let topics = Arc::new(OneTopic { inner, topic: topic.into() });
            let router = Router::new(task.clone(), source.server_version().to_owned(), topics.clone(), stop.clone());
            Ok(TaskStages::new(Arc::new(router), Box::new(ToOneTopic { sink, topics })))
        };
        let alone = self.step("brokers", task, Feed::Sample(sample), |source, stop| {
            let stages = into_topic(source, stop)?;
            let encode = |window: &Window| -> Result<Vec<MessageBatch>, Error> {
                let encode = stages.route(copy(window), 0).map_err(|error| match error {
                    StageError::Stopped => Error::Stopped,
                    StageError::Failed(error) => error,
                })?;
                Ok(encode()?.batches)
            };
            let encoded = sample.iter().map(encode).collect::<Result<_, _>>()?;
            Ok(Encoded { stages, encoded, next: AtomicUsize::new(0) })
        });
        let both = alone.and_then(|alone| Ok([alone, self.step(TOGETHER, task, Feed::Source, into_topic)?]));
        let deleted = kafka::delete_topic(&of_kafka, topic);
        let both = both?;
        deleted?;
        Ok(both)
    }

    /// Reads for so long, through the stages that `make` makes.
    fn step<S: Stages<State = Checkpoint, Error = Error>>(
        &self,
        name: &str,
        task: &Arc<Task>,
        feed: Feed,
        make: impl FnOnce(&dyn Source, &Stop) -> Result<S, Error>,
    ) -> Result<Step, BenchError> {
        let source = source::open(task, &self.runtime, None)?;
        let (stop, status) = (Stop::default(), Arc::new(Status::default()));
        if let Feed::Source = feed {
            set_limits(&status, task);
        }
        let stages = make(&*source, &stop)?;
        let state = StateFolder::open(&task.state).map_err(CheckpointError::from)?;
        let checkpoint = Checkpoint::new(&task.name, source.identity());
        let tracker = Arc::new(TaskTracker::new(checkpoint, Duration::ZERO));
        let (encode_threads, shares) = (task.threads.get(), pipeline::shares(task));
        let pipeline = Pipeline { stages, tracker, status: status.clone(), stop: stop.clone(), encode_threads, shares };
        let (begun, before) = (Instant::now(), status.summary());
        let watch = || {
            while begun.elapsed() < self.time && !stop.is_stopped() && !self.interrupted.is_stopped() {
                std::thread::sleep(LOOK);
            }
            // What is under way then is not counted, and delivered all the same.
            let reached = (status.summary(), status.stages.read.bytes(), begun.elapsed());
            stop.stop();
            reached
        };
        let (result, (reached, read_bytes, elapsed)) = std::thread::scope(|scope| {
            let watching = scope.spawn(watch);
            let result = tidegate_flow::pipeline::run(&pipeline, &state, |emitter| {
                let (tracker, status, stop) = (&pipeline.tracker, &pipeline.status, &pipeline.stop);
                if let Feed::Sample(windows) = feed {
                    let mut again = windows.iter().cycle().take_while(|_| !stop.is_stopped());
                    return again.try_for_each(|window| emitter.emit(copy(window))).map_err(|_| StageError::Stopped);
                }
                let context = Context { task, pass: &[], after_gap: None, emitter, tracker, status, stop };
                Ok(source.run(&context)?)
            });
            // All rows may have come before the time was over.
            stop.stop();
            (result, watching.join().expect("a clock does not panic"))
        });
        drop(state);
        _ = std::fs::remove_dir_all(&task.state);
        result.map_err(Error::from)?;
        if self.interrupted.is_stopped() {
            return Err(BenchError::Interrupted);
        }
        let (seconds, rows) = (elapsed.as_secs_f64().max(1e-3), reached.rows);
        Ok(Step {
            step: name.to_owned(),
            seconds,
            rows,
            rows_per_s: rows as f64 / seconds,
            read_bytes_per_s: read_bytes as f64 / seconds,
            messages: reached.messages,
            message_bytes_per_s: reached.bytes as f64 / seconds,
            cpu_seconds: reached.cpu_seconds - before.cpu_seconds,
            is_whole: elapsed < self.time,
        })
    }
}

/// The same rows, that make nothing safe to remember.
fn copy(window: &Window) -> Window {
    Window { changes: window.changes.clone(), bytes: window.bytes, ..Window::default() }
}

/// The first rows.
struct Sample {
    room: usize,
    windows: Vec<Window>,
}

/// Rows go no further.
struct Discarding(Arc<Mutex<Sample>>);

impl Stages for Discarding {
    type State = Checkpoint;
    type Error = Error;
    type Encode = Box<dyn FnOnce() -> Result<MessageWindow, Error> + Send>;

    fn route(&self, window: Window, _: u64) -> Result<Self::Encode, StageError<Error>> {
        let mut sample = self.0.lock().expect("who keeps windows does not panic");
        // One at least, whatever it takes.
        if !window.changes.is_empty() && (sample.windows.is_empty() || window.bytes <= sample.room) {
            sample.room = sample.room.saturating_sub(window.bytes);
            sample.windows.push(copy(&window));
        }
        drop(sample);
        Ok(Box::new(move || Ok(MessageWindow { progress: window.progress, ..MessageWindow::default() })))
    }

    fn send(&self, _: MessageWindow) -> Result<Delivery<Error>, StageError<Error>> {
        Ok(Box::pin(async { Ok(()) }))
    }

    fn abort(&self) {}

    fn appetite(&self) -> Appetite {
        Appetite::default()
    }
}

/// Instead of windows, which come in turn, their messages are handed over as they were encoded before.
struct Encoded {
    stages: TaskStages,
    encoded: Vec<Vec<MessageBatch>>,
    next: AtomicUsize,
}

impl Stages for Encoded {
    type State = Checkpoint;
    type Error = Error;
    type Encode = Box<dyn FnOnce() -> Result<MessageWindow, Error> + Send>;

    fn route(&self, _: Window, _: u64) -> Result<Self::Encode, StageError<Error>> {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.encoded.len();
        let batches = self.encoded[at].clone();
        Ok(Box::new(move || Ok(MessageWindow { batches, ..MessageWindow::default() })))
    }

    fn send(&self, window: MessageWindow) -> Result<Delivery<Error>, StageError<Error>> {
        self.stages.send(window)
    }

    fn failure(&self) -> Option<Error> {
        self.stages.failure()
    }

    fn abort(&self) {
        self.stages.abort();
    }

    fn appetite(&self) -> Appetite {
        self.stages.appetite()
    }
}

/// All messages go to one topic, whatever their own would be.
struct ToOneTopic {
    sink: Box<dyn Sink>,
    topics: Arc<OneTopic>,
}

impl Sink for ToOneTopic {
    fn send(&mut self, mut window: MessageWindow) -> Result<tidegate_sink::Receipt, SinkError> {
        window.batches.iter_mut().for_each(|batch| batch.topic = self.topics.topic.clone());
        self.sink.send(window)
    }

    fn topics(&self) -> Arc<dyn Topics> {
        self.topics.clone()
    }

    fn aborter(&self) -> Box<dyn Fn() + Send + Sync> {
        self.sink.aborter()
    }
}

/// One topic under all names.
struct OneTopic {
    inner: Arc<dyn Topics>,
    topic: Arc<str>,
}

impl Topics for OneTopic {
    fn prepare(&self, _: &str, stopped: &dyn Fn() -> bool) -> Result<u32, SinkError> {
        self.inner.prepare(&self.topic, stopped)
    }

    fn prepare_all(&self, _: &[&str], _: &dyn Fn() -> bool) -> Result<(), SinkError> {
        Ok(())
    }

    fn appetite(&self) -> Appetite {
        self.inner.appetite()
    }

    fn failure(&self) -> Option<SinkError> {
        self.inner.failure()
    }

    fn limit(&self, _: &str) -> Option<MessageLimit> {
        self.inner.limit(&self.topic)
    }

    fn identity(&self, _: &str) -> Option<TopicIdentity> {
        None
    }

    fn look(&self, topics: &[&str], stopped: &dyn Fn() -> bool) -> Result<Vec<Option<TopicLook>>, SinkError> {
        let found = self.inner.look(&[&self.topic], stopped)?;
        Ok(topics.iter().map(|_| found.first().cloned().flatten()).collect())
    }
}

impl Bench {
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report has string keys only")
    }
}

impl fmt::Display for Bench {
    /// ```text
    /// step      seconds       rows     rows/s  MB/s of rows  MB/s of messages  CPU-seconds
    /// source       10.0  4,812,004    481,200          60.1                 -         12.1
    /// format       10.0  9,101,337    910,133         113.7             267.3         19.2
    /// brokers      10.0  1,203,441    120,344          15.0              35.3          3.8
    /// together     10.0  1,101,002    110,100          13.8              32.4          6.8
    ///
    /// bottleneck: brokers
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEADS: [&str; 7] =
            ["step", "seconds", "rows", "rows/s", "MB/s of rows", "MB/s of messages", "CPU-seconds"];
        let line = |step: &Step| {
            let megabytes = |bytes: f64| format!("{:.1}", bytes / 1e6);
            let sent = if step.messages == 0 { "-".to_owned() } else { megabytes(step.message_bytes_per_s) };
            [
                step.step.clone(),
                format!("{:.1}", step.seconds),
                grouped(step.rows),
                grouped(step.rows_per_s as u64),
                megabytes(step.read_bytes_per_s),
                sent,
                format!("{:.1}", step.cpu_seconds),
            ]
        };
        let lines: Vec<[String; 7]> =
            std::iter::once(HEADS.map(str::to_owned)).chain(self.steps.iter().map(line)).collect();
        let widths: [usize; 7] = std::array::from_fn(|at| lines.iter().map(|line| line[at].len()).max().unwrap_or(0));
        for [name, rest @ ..] in &lines {
            write!(f, "{name:0$}", widths[0])?;
            rest.iter().zip(&widths[1..]).try_for_each(|(cell, width)| write!(f, "  {cell:>width$}"))?;
            writeln!(f)?;
        }
        if self.steps.iter().any(|step| step.is_whole) {
            writeln!(f, "\nof some steps, there were no more rows than these: of few, what a start costs is a part")?;
        }
        match &self.bottleneck {
            Some(bottleneck) => writeln!(f, "\nbottleneck: {bottleneck}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_by_itself_is_the_bottleneck() {
        let step = |(name, rows_per_s): (&str, f64)| Step {
            step: name.to_owned(),
            seconds: 1.0,
            rows: rows_per_s as u64,
            rows_per_s,
            read_bytes_per_s: 0.0,
            messages: 1,
            message_bytes_per_s: 2_500_000.0,
            cpu_seconds: 0.5,
            is_whole: false,
        };
        let of = |rates: [f64; 4]| -> Vec<Step> {
            ["source", "format", "brokers", TOGETHER].into_iter().zip(rates).map(step).collect()
        };
        for (rates, expected) in [
            ([100.0, 295.0, 190.0, 90.0], "source"),
            ([100.0, 50.0, 90.0, 40.0], "format"),
            ([100.0, 70.0, 10.0, 9.0], "brokers"),
        ] {
            assert_eq!(bottleneck(&of(rates)).as_deref(), Some(expected), "{rates:?}");
        }
        let mut few = of([100.0, 70.0, 10.0, 9.0]);
        few[0].is_whole = true;
        assert_eq!(bottleneck(&few), None);
        assert_eq!(bottleneck(&[]), None);
        let steps = vec![step(("source", 1_234_567.0))];
        let shown = Bench { version: VERSION, task: None, steps, bottleneck: None }.to_string();
        let cells: Vec<&str> = shown.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(cells, ["source", "1.0", "1,234,567", "1,234,567", "0.0", "2.5", "0.5"]);
    }
}
