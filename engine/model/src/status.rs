//! One state of a running task, several views.
//!
//! Stages count here as they go; the terminal's bars, the lines of a log and the summary at the end read it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::{Duration, Instant};

use crate::TableName;

/// What a task does at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    Starting,
    FullLoad,
    Incremental,
    /// A connection was lost; since when, and why.
    Retrying {
        reason: String,
    },
    Draining,
}

/// Progress of one table's full load.
#[derive(Clone, Debug)]
pub struct TableProgress {
    pub table: TableName,
    /// Rows that the server's statistics expect: may be off by half.
    pub estimated_rows: u64,
    pub rows: u64,
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
    /// Row images that left the source.
    pub rows_read: AtomicU64,
    /// Messages and their bytes that are durable at the sink.
    pub messages: AtomicU64,
    pub message_bytes: AtomicU64,
    /// Header time of the newest event read, seconds since 1970.
    pub event_time_s: AtomicU64,
}

impl Default for Status {
    fn default() -> Status {
        Status {
            started: Instant::now(),
            phase: RwLock::new(Phase::Starting),
            tables: Mutex::default(),
            rows_read: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            message_bytes: AtomicU64::new(0),
            event_time_s: AtomicU64::new(0),
        }
    }
}

impl Status {
    pub fn set_phase(&self, phase: Phase) {
        *self.phase.write().expect("nobody panics while setting a phase") = phase;
    }

    pub fn phase(&self) -> Phase {
        self.phase.read().expect("nobody panics while setting a phase").clone()
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
            rows: self.rows_read.load(Ordering::Relaxed),
            messages: self.messages.load(Ordering::Relaxed),
            bytes: self.message_bytes.load(Ordering::Relaxed),
            seconds: self.elapsed().as_secs_f64(),
            cpu_seconds: usage.cpu_seconds,
            peak_memory_bytes: usage.peak_memory_bytes,
        }
    }
}

/// The result of a run in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Row images read: an update has two.
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
            "{} rows, {} messages, {:.1} MB in {:.2} s ({:.0} rows/s, {:.1} MB/s); {:.2} CPU-seconds, {:.0} rows per CPU-second; peak memory {:.0} MiB",
            self.rows,
            self.messages,
            self.bytes as f64 / 1e6,
            self.seconds,
            self.rows as f64 / self.seconds.max(1e-3),
            self.bytes as f64 / 1e6 / self.seconds.max(1e-3),
            self.cpu_seconds,
            per_cpu_second,
            self.peak_memory_bytes as f64 / (1 << 20) as f64,
        )
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
