//! What each stage has done, and how long it took: a count for each window, and nothing for a row.
//!
//! ```text
//!  read ──► queue ──► encode (n cores) ──► queue ──► send ──► deliver: until brokers have acknowledged
//!    │ waits for room                                            │
//!    └───────────────────────────── memory ◄─────────────────────┘
//! ```
//!
//! What is inside a stage is what the one before it has let out and it has not. A stage that is busy all the time while the readers wait
//! for room is the bottleneck; if they never wait, the source is.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Counters of the stages of a run.
#[derive(Debug, Default)]
pub struct StageCounts {
    /// Counts changes, and bytes of columns.
    pub read: Stage,
    /// Counts messages and their bytes, as those behind it do.
    pub encode: Stage,
    pub send: Stage,
    pub deliver: Stage,
    /// Readers that wait until there is room for a window.
    pub waiting: Busy,
    /// Who follows changes waits for some.
    pub idle: Busy,
    pub readers: AtomicUsize,
    pub encode_threads: AtomicUsize,
}

/// What has left a stage.
#[derive(Debug, Default)]
pub struct Stage {
    windows: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    /// Of `deliver`: something is on its way to the brokers.
    pub busy: Busy,
    /// Windows that can be in it and in the queue before it. 0: as many as there is memory for.
    pub capacity: AtomicUsize,
}

impl Stage {
    pub fn passed(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        // Whoever sees the window sees its rows.
        self.windows.fetch_add(1, std::sync::atomic::Ordering::Release);
    }

    pub fn windows(&self) -> u64 {
        self.windows.load(std::sync::atomic::Ordering::Acquire)
    }

    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}

/// The task's memory: see `tidegate_flow::room`.
#[derive(Debug, Default)]
pub struct Memory {
    /// What windows under way have.
    pub used: AtomicUsize,
    /// What they may have.
    pub room: AtomicUsize,
    /// What the task may take in all.
    pub budget: AtomicU64,
}

/// Time that threads spend with something, up to this very moment.
#[derive(Debug, Default)]
pub struct Busy(Mutex<Spent>);

#[derive(Debug, Default)]
struct Spent {
    done: Duration,
    /// Since when, of those who are at it. Few: threads, not windows.
    begun: Vec<Instant>,
}

/// Somebody is at it until this is dropped.
#[derive(Debug)]
pub struct Begun<'b>(&'b Busy, Instant);

impl Busy {
    pub fn begin(&self) -> Begun<'_> {
        let now = Instant::now();
        self.lock().begun.push(now);
        Begun(self, now)
    }

    /// Whether somebody is at it now.
    pub fn is_under_way(&self) -> bool {
        !self.lock().begun.is_empty()
    }

    pub fn total(&self) -> Duration {
        let spent = self.lock();
        let now = Instant::now();
        spent.done + spent.begun.iter().map(|begun| now.saturating_duration_since(*begun)).sum::<Duration>()
    }

    fn lock(&self) -> MutexGuard<'_, Spent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let mut spent = self.0.lock();
        spent.done += self.1.elapsed();
        if let Some(place) = spent.begun.iter().position(|begun| *begun == self.1) {
            spent.begun.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_counts_while_it_is_spent_and_for_each_who_spends_it() {
        let busy = Busy::default();
        assert_eq!(busy.total(), Duration::ZERO);
        let (one, other) = (busy.begin(), busy.begin());
        let before = busy.total();
        while busy.total() == before {
            std::thread::yield_now();
        }
        drop(one);
        let before = busy.total();
        while busy.total() == before {
            std::thread::yield_now();
        }
        drop(other);
        assert_eq!(busy.total(), busy.total());
        assert!(busy.lock().begun.is_empty());
    }
}
