//! One state of a running task, several views.
//!
//! Stages count here as they go; the terminal's bars, the lines of a log, what a server or a socket tells, and the summary at the end
//! read it.

pub mod source;
pub mod stages;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, RwLock};
use std::time::{Duration, Instant};

use crate::TableName;
use crate::message::TooLarge;
use crate::rate::Limits;
use crate::retry::Retry;
use crate::words::{plural, rows_and_changes};
use source::Following;
use stages::{Memory, StageCounts};

/// What a task does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing has been read; what is waited for.
    Starting {
        awaits: &'static str,
    },
    FullLoad,
    Incremental,
    /// Somebody wants it so: nothing is read, and what was read is delivered.
    Paused,
    /// What was read is delivered, and nothing is read.
    Draining,
}

/// Something is away, and is tried again.
#[derive(Clone, Debug)]
pub struct Retrying {
    pub reason: String,
    pub hint: Option<String>,
    /// When it was first in vain.
    pub since: Instant,
    pub attempts: u32,
    pub next_try: Instant,
    /// When the task gives up.
    pub until: Instant,
}

/// Whom it takes to go on: [`Retrying`] is told of each apart.
pub const SOURCE: &str = "source";
pub const SINK: &str = "sink";
pub const STATE: &str = "state";

/// Progress of one table's full load.
#[derive(Clone, Debug)]
pub struct TableProgress {
    pub table: TableName,
    /// What it is called where it goes.
    pub target: TableName,
    /// Rows that the server's statistics expect: may be off by half.
    pub estimated_rows: u64,
    pub rows: u64,
    /// Only rows that meet this condition are read: how many these are, nobody knows.
    pub part: Option<String>,
    /// Chunks that are not delivered yet, where all are known from the start.
    pub chunks_left: Option<u64>,
    pub done: bool,
}

/// Counts of a running task.
#[derive(Debug)]
pub struct Status {
    started: Instant,
    phase: RwLock<Phase>,
    tables: Mutex<Vec<TableProgress>>,
    retries: Mutex<BTreeMap<&'static str, Retrying>>,
    too_large: Mutex<BTreeMap<TableName, TooLarge>>,
    pub stages: StageCounts,
    pub memory: Memory,
    pub following: Following,
    pub limits: Limits,
    /// Somebody asks for something that the source does between changes: what, the state says.
    pub asked: AtomicBool,
    /// Rows that are being read are not wanted any more: which, the state says.
    pub taken_back: AtomicBool,
}

impl Default for Status {
    fn default() -> Status {
        Status {
            started: Instant::now(),
            phase: RwLock::new(Phase::Starting { awaits: "the state folder" }),
            tables: Mutex::default(),
            retries: Mutex::default(),
            too_large: Mutex::default(),
            stages: StageCounts::default(),
            memory: Memory::default(),
            following: Following::default(),
            limits: Limits::default(),
            asked: AtomicBool::default(),
            taken_back: AtomicBool::default(),
        }
    }
}

impl Status {
    pub fn set_phase(&self, phase: Phase) {
        *self.phase.write().expect("nobody panics while setting a phase") = phase;
    }

    pub fn phase(&self) -> Phase {
        *self.phase.read().expect("nobody panics while setting a phase")
    }

    /// Messages that are durable at the sink.
    pub fn messages(&self) -> u64 {
        self.stages.deliver.rows()
    }

    /// `what` is away, and is tried again after `pause`, until `retry` gives up.
    pub fn retrying(&self, what: &'static str, reason: String, hint: Option<String>, pause: Duration, retry: &Retry) {
        let now = Instant::now();
        let mut retries = self.retries.lock().expect("nobody panics while noting");
        let (since, attempts) = retries.get(what).map_or((now, 0), |known| (known.since, known.attempts));
        let (next_try, until) = (now + pause, retry.until());
        retries.insert(what, Retrying { reason, hint, since, attempts: attempts + 1, next_try, until });
    }

    /// It is there again.
    pub fn recovered(&self, what: &'static str) {
        self.retries.lock().expect("nobody panics while noting").remove(what);
    }

    pub fn retries(&self) -> BTreeMap<&'static str, Retrying> {
        self.retries.lock().expect("nobody panics while noting").clone()
    }

    /// So many had been when the run began.
    pub fn set_too_large(&self, counts: Vec<(TableName, TooLarge)>) {
        *self.too_large.lock().expect("nobody panics while counting") = counts.into_iter().collect();
    }

    /// Messages were too large for their topic.
    pub fn were_too_large(&self, counts: &[(TableName, TooLarge)]) {
        if counts.is_empty() {
            return;
        }
        let mut too_large = self.too_large.lock().expect("nobody panics while counting");
        for (table, more) in counts {
            *too_large.entry(table.clone()).or_default() += *more;
        }
    }

    /// How many were, since the task began, by the source's name of their table.
    pub fn too_large(&self) -> BTreeMap<TableName, TooLarge> {
        self.too_large.lock().expect("nobody panics while counting").clone()
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Sets the tables of a full load.
    pub fn set_tables(&self, tables: Vec<TableProgress>) {
        *self.tables.lock().expect("nobody panics while counting") = tables;
    }

    pub fn tables(&self) -> Vec<TableProgress> {
        self.tables.lock().expect("nobody panics while counting").clone()
    }

    /// Nothing more of these tables is to be loaded.
    pub fn tables_ended(&self, names: &[TableName]) {
        let mut tables = self.tables.lock().expect("nobody panics while counting");
        tables.iter_mut().filter(|progress| names.contains(&progress.table)).for_each(|progress| progress.done = true);
    }

    /// Rows of a table's full load were delivered: the last ones of a chunk, or of the whole table.
    pub fn table_delivered(&self, table: &TableName, rows: u64, chunks_done: u64, table_done: bool) {
        let mut tables = self.tables.lock().expect("nobody panics while counting");
        if let Some(progress) = tables.iter_mut().find(|progress| progress.table == *table) {
            progress.rows += rows;
            progress.chunks_left = progress.chunks_left.map(|left| left.saturating_sub(chunks_done));
            progress.done |= table_done || progress.chunks_left == Some(0);
        }
    }

    /// What has been done so far, and what it cost this process.
    pub fn summary(&self) -> Summary {
        let usage = process_usage();
        Summary {
            rows: self.stages.read.rows(),
            messages: self.stages.deliver.rows(),
            bytes: self.stages.deliver.bytes(),
            seconds: self.elapsed().as_secs_f64(),
            cpu_seconds: usage.cpu_seconds,
            peak_memory_bytes: usage.peak_memory_bytes,
        }
    }
}

/// The result of a run in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Rows of the full load, and changes: an update is one.
    pub rows: u64,
    pub messages: u64,
    pub bytes: u64,
    pub seconds: f64,
    /// User and system time of this process.
    pub cpu_seconds: f64,
    pub peak_memory_bytes: u64,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let per_cpu_second = self.rows as f64 / self.cpu_seconds.max(1e-3);
        write!(
            f,
            "{} {}, {} {}, {} in {:.2} s ({:.0} rows/s, {}/s); {:.2} CPU-seconds, {:.0} rows per CPU-second; peak memory {:.0} MiB",
            self.rows,
            rows_and_changes(self.rows),
            self.messages,
            plural(self.messages, "message"),
            bytes_text(self.bytes as f64),
            self.seconds,
            self.rows as f64 / self.seconds.max(1e-3),
            bytes_text(self.bytes as f64 / self.seconds.max(1e-3)),
            self.cpu_seconds,
            per_cpu_second,
            self.peak_memory_bytes as f64 / (1 << 20) as f64,
        )
    }
}

/// Decimal units with three digits or so, down to single bytes: `480 B`, `12.4 KB`, `3.1 MB`.
pub fn bytes_text(bytes: f64) -> String {
    match bytes {
        0.0..1e3 => format!("{bytes:.0} B"),
        1e3..1e6 => format!("{:.1} KB", bytes / 1e3),
        1e6..1e9 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.2} GB", bytes / 1e9),
    }
}

struct Usage {
    cpu_seconds: f64,
    peak_memory_bytes: u64,
}

fn process_usage() -> Usage {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `getrusage` fills the struct it is given, which a zeroed one is already valid as.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Usage {
        cpu_seconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        // Linux counts in KiB.
        peak_memory_bytes: usage.ru_maxrss as u64 * 1024,
    }
}
