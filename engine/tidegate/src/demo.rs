//! The whole way on this machine, without any server.
//!
//! ```text
//! recorded on a real MySQL                 in this process                                 the server's own sums
//! snapshot/*.parquet ──► task 1 ──┐                                                                │
//!                                 ├─► librdkafka's mock cluster ──► consumer ──► state by key ──►  equal?
//! binlog.000002 ───────► task 2 ──┘
//! ```
//!
//! The recordings are part of the program; `datasets/README.md` says how they were made. Both tasks are the real thing, from
//! task file to delivery report. Only the brokers are not: the mock cluster speaks Kafka's protocol on a port of this
//! machine, and keeps what it gets in memory.

mod consume;
mod lineitem;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;

use crate::config;
use crate::consent::Consent;
use crate::error::Error;
use crate::open;
use crate::task;
use consume::{CONSUME_TIMEOUT, Expected, Topic, consume};
pub(crate) use lineitem::generate;
use tidegate_model::Stop;
use tidegate_model::status::{Status, Summary};
use tidegate_model::words::grouped;

/// The recordings, as they are unpacked.
const FILES: &[(&str, &[u8])] = &[
    ("snapshot/shop.customers.parquet", include_bytes!("../../../datasets/shop/snapshot/shop.customers.parquet")),
    ("snapshot/shop.orders.parquet", include_bytes!("../../../datasets/shop/snapshot/shop.orders.parquet")),
    ("snapshot/shop.items.parquet", include_bytes!("../../../datasets/shop/snapshot/shop.items.parquet")),
    ("binlog.000002", include_bytes!("../../../datasets/shop/binlog.000002")),
];

const FULL_LOAD: &str = include_str!("../../../datasets/shop/full_load.yaml");

const CHANGES: &str = include_str!("../../../datasets/shop/changes.yaml");

const EXPECTED: &str = include_str!("../../../datasets/shop/expected.json");

/// Enough to show that keys are spread and kept together.
const PARTITIONS: i32 = 3;

/// Rows of the generated table.
const GENERATED_ROWS: u64 = 1_500_000;

/// Why the demo did not come to its end, or to the wrong one.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Task(#[from] Box<Error>),
    #[error("could not {action}: {error}")]
    Io { action: String, error: io::Error },
    #[error("could not write the generated table: {0}")]
    Generate(#[from] parquet::errors::ParquetError),
    #[error("the mock cluster: {0}")]
    Kafka(#[from] KafkaError),
    #[error("the mock cluster handed out {found} messages within {} s where {expected} were delivered", CONSUME_TIMEOUT.as_secs())]
    Lost { found: u64, expected: u64 },
    #[error("a message in topic {topic} is not what it should be: {reason}")]
    Message { topic: String, reason: String },
    #[error("what was consumed is not what the server holds")]
    Different,
    #[error("the demo was interrupted")]
    Interrupted,
}

impl DemoError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            DemoError::Task(error) => error.hint(),
            _ => None,
        }
    }
}

fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> DemoError {
    let action = action.into();
    |error| DemoError::Io { action, error }
}

/// Runs the demo and says on `out` what happens. An error if anything is not as it should be.
pub fn run(out: &mut dyn Write) -> Result<(), DemoError> {
    let runner = Runner::start()?;
    runner.stop.on_signals(&runner.runtime, 0).map_err(io("wait for signals"))?;
    show(out, &runner, GENERATED_ROWS)
}

fn show(out: &mut dyn Write, runner: &Runner, generated_rows: u64) -> Result<(), DemoError> {
    let started = Instant::now();
    let mut text = Text { out };
    let expected: Expected = serde_json::from_str(EXPECTED).expect("a test reads the recordings");
    let folder = Folder::create()?;
    for (name, bytes) in FILES {
        folder.write(name, bytes)?;
    }

    text.line(format_args!("The whole way on this machine, without any server."))?;
    text.line(format_args!(
        "A shop, recorded on MySQL {}: Parquet files of its tables, and the binlog of {} changes in {} transactions.",
        expected.server,
        grouped(expected.changes),
        grouped(expected.transactions)
    ))?;
    text.line(format_args!("Kafka is librdkafka's mock cluster inside this process."))?;

    let cluster = MockCluster::new(1)?;
    for table in &expected.tables {
        cluster.create_topic(&table.table, PARTITIONS, 1)?;
    }
    let brokers = cluster.bootstrap_servers();

    text.heading("1  What was there: Parquet -> SQL -> Canal JSON -> Kafka")?;
    let task = folder.task(FULL_LOAD, &brokers);
    text.block(without_comments(&task))?;
    let full_load = runner.run(&task)?;
    text.result(&full_load)?;

    text.heading("2  What happened then: binlog -> SQL -> Canal JSON -> Kafka")?;
    let task = folder.task(CHANGES, &brokers);
    text.block(without_comments(&task).take(2).chain(["# tables, sink and format as above"]))?;
    let changes = runner.run(&task)?;
    text.result(&changes)?;

    text.heading("3  What a consumer sees")?;
    let topics = consume(&brokers, &expected, full_load.messages + changes.messages)?;
    text.sample(&topics)?;
    text.counts(&topics)?;

    text.heading("4  Is it right?")?;
    text.line(format_args!(
        "  All messages applied in order, by key, and compared with the server's count and checksums:"
    ))?;
    let mut all_equal = true;
    for (topic, expected) in topics.iter().zip(&expected.tables) {
        let found = topic.state.sums();
        let equal = found == expected.sums() && topic.surprises == 0;
        all_equal &= equal;
        text.line(format_args!(
            "  {:16} {:>6} rows   state equals the server's: {}",
            topic.name,
            grouped(found.rows),
            if equal { "yes" } else { "NO" }
        ))?;
        if topic.surprises > 0 {
            text.line(format_args!("  {} messages did not fit the state before them", grouped(topic.surprises)))?;
        }
        if found != expected.sums() {
            text.line(format_args!(
                "  consumed: {found}\n  server:   {}\n  asked by: {}",
                expected.sums(),
                expected.query
            ))?;
        }
    }
    drop(cluster);
    if !all_equal {
        return Err(DemoError::Different);
    }

    text.heading("5  How fast is it?")?;
    text.line(format_args!(
        "  A table like TPC-H's lineitem, {} rows of 16 columns, generated: Parquet -> Canal JSON -> nowhere",
        grouped(generated_rows)
    ))?;
    if cfg!(debug_assertions) {
        text.line(format_args!("  (this program was built without optimisation: the numbers mean little)"))?;
    }
    generate(&folder.path.join("generated"), generated_rows)?;
    let measured = runner.run(&format!(
        "task: generated\nsource: {{parquet: {}}}\ntables: [tpch.lineitem]\nsink: {{null: {{}}}}\nformat: canal_json\nstate: {}\n",
        quoted(&folder.path.join("generated")),
        quoted(&folder.path.join("state/generated")),
    ))?;
    text.line(format_args!(
        "  {} rows/s, {} rows per CPU-second, {:.0} MB/s of JSON; peak memory of the whole demo {} MiB",
        grouped((measured.rows as f64 / measured.seconds) as u64),
        grouped((measured.rows as f64 / measured.cpu_seconds.max(1e-3)) as u64),
        measured.bytes as f64 / 1e6 / measured.seconds,
        measured.peak_memory_bytes >> 20
    ))?;
    text.line(format_args!("\nDone in {:.1} s, without any server.", started.elapsed().as_secs_f64()))
}

/// Runs tasks one after the other.
struct Runner {
    runtime: tokio::runtime::Runtime,
    stop: Stop,
}

impl Runner {
    fn start() -> Result<Runner, DemoError> {
        let runtime = open::runtime().map_err(Box::new)?;
        Ok(Runner { runtime, stop: Stop::default() })
    }

    /// Runs the task of a task file's text to its end. The CPU-seconds are those of this run alone.
    fn run(&self, text: &str) -> Result<Summary, DemoError> {
        let task = config::parse("demo.yaml", text).map_err(|error| Box::new(Error::from(error)))?;
        let status = Arc::new(Status::default());
        let cpu_seconds_before = status.summary().cpu_seconds;
        let mut summary = task::run_with(Arc::new(task), &Consent::default(), &self.runtime, status, self.stop.clone())
            .map_err(Box::new)?;
        summary.cpu_seconds -= cpu_seconds_before;
        if self.stop.is_stopped() { Err(DemoError::Interrupted) } else { Ok(summary) }
    }
}

/// A folder that goes away with this value.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn create() -> Result<Folder, DemoError> {
        let parent = std::env::temp_dir();
        let mut number = std::process::id();
        loop {
            let path = parent.join(format!("tidegate-demo-{number}"));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Folder { path }),
                // Left by a demo that was killed, under the same process id.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number = number.wrapping_add(1),
                Err(error) => return Err(io(format!("create {}", path.display()))(error)),
            }
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), DemoError> {
        let path = self.path.join(name);
        let write = || {
            std::fs::create_dir_all(path.parent().expect("it lies in the folder"))?;
            std::fs::write(&path, bytes)
        };
        write().map_err(io(format!("write {}", path.display())))
    }

    /// A recorded task file with the places of this run.
    fn task(&self, text: &str, brokers: &str) -> String {
        let mut text = text.replace("localhost:9092", brokers);
        for name in ["snapshot", "binlog.000002"] {
            text = text.replace(&format!("datasets/shop/{name}"), &quoted(&self.path.join(name)));
        }
        let name = text.lines().find_map(|line| line.strip_prefix("task: ")).expect("a task has a name").to_owned();
        format!("{text}state: {}\n", quoted(&self.path.join("state").join(name)))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nobody is left to hear that it failed; it is a temporary folder.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A path for YAML: a JSON string is one of its strings too.
fn quoted(path: &Path) -> String {
    serde_json::to_string(&path.to_string_lossy()).expect("strings are JSON")
}

fn without_comments(task: &str) -> impl Iterator<Item = &str> {
    task.lines().filter(|line| !line.starts_with('#'))
}

/// What the demo says, and how it looks.
struct Text<'a> {
    out: &'a mut dyn Write,
}

/// Types of messages in the order of a row's life.
const KINDS: [&str; 3] = ["INSERT", "UPDATE", "DELETE"];

impl Text<'_> {
    fn line(&mut self, line: fmt::Arguments<'_>) -> Result<(), DemoError> {
        writeln!(self.out, "{line}").and_then(|()| self.out.flush()).map_err(io("write to standard output"))
    }

    fn heading(&mut self, heading: &str) -> Result<(), DemoError> {
        self.line(format_args!("\n{heading}"))
    }

    fn block<'a>(&mut self, lines: impl Iterator<Item = &'a str>) -> Result<(), DemoError> {
        for line in lines {
            self.line(format_args!("  | {line}"))?;
        }
        Ok(())
    }

    fn result(&mut self, summary: &Summary) -> Result<(), DemoError> {
        self.line(format_args!(
            "  {} row images read, {} messages delivered in {:.2} s",
            grouped(summary.rows),
            grouped(summary.messages),
            summary.seconds
        ))
    }

    /// One message in full, and the rows of the first of each type.
    fn sample(&mut self, topics: &[Topic]) -> Result<(), DemoError> {
        if let Some((partition, text, _)) = topics.iter().find_map(|topic| topic.first.get("UPDATE")) {
            self.line(format_args!("  One message in full (partition {partition}):\n  {text}"))?;
        }
        self.line(format_args!("  The first of each type:"))?;
        for topic in topics {
            for kind in KINDS {
                let Some((_, _, message)) = topic.first.get(kind) else { continue };
                let row = &message.data[0];
                self.line(format_args!("  {:14} {kind}  {row}", topic.name))?;
                if let Some(old) = message.old.as_ref().and_then(|rows| rows.first()) {
                    self.line(format_args!("  {:14}    old  {old}", ""))?;
                }
            }
        }
        Ok(())
    }

    fn counts(&mut self, topics: &[Topic]) -> Result<(), DemoError> {
        self.line(format_args!("  {:16} {:>8} {:>8} {:>8}", "topic", KINDS[0], KINDS[1], KINDS[2]))?;
        for topic in topics {
            let count = |kind: &str| grouped(topic.counts.get(kind).copied().unwrap_or(0));
            let (inserts, updates, deletes) = (count(KINDS[0]), count(KINDS[1]), count(KINDS[2]));
            self.line(format_args!("  {:16} {inserts:>8} {updates:>8} {deletes:>8}", topic.name))?;
        }
        Ok(())
    }
}
