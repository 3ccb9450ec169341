//! How far behind its source a task is: what is needed to tell.
//!
//! A change is late by the time since it was committed. Where nothing is committed, nothing is late, though the newest change may be a
//! day old; so whoever asks the source where it ends leaves a [mark](SeenEnd) with the time of the question. Once what is delivered reaches
//! the mark, the topics hold all that was committed before that time.
//!
//! ```text
//! binlog      ──c1────c2───────────c3──────►      c: commits, with the source's time
//! marks            ▲        ▲           ▲         where it ended, and when that was asked
//! delivered   ────────────────────┤               to the second mark: nothing older than that is missing
//! ```
//!
//! All times are microseconds since 1970; those of commits are by the source's clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{Coordinate, GtidSet};

/// More are of no use: older ones are passed, or commits tell more.
const MARKS_MAX: usize = 64;

/// Somewhere the source ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenEnd {
    /// By our clock, before it was asked.
    pub at_us: u64,
    pub end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The source has said on the connection that is read that there is no more behind so many windows.
    Windows(u64),
    /// Asked apart: its binlog ends there, and these transactions are executed.
    Binlog { server: Arc<str>, end: Coordinate, executed: Option<Arc<GtidSet>> },
}

/// The source's binlog as it was last asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// When, by our clock.
    pub at_us: u64,
    /// How far the source's clock is ahead of ours.
    pub clock_ahead_us: i64,
    /// The server's UUID, as in [`BinlogFile`](crate::BinlogFile).
    pub server: Arc<str>,
    pub end: Coordinate,
    /// With GTIDs: the executed ones.
    pub executed: Option<Arc<GtidSet>>,
    /// Each file with its size, the oldest first; asked less often.
    pub files: Arc<[(String, u64)]>,
    /// How long it keeps files; `None`: until somebody removes them.
    pub retention_s: Option<u64>,
}

/// What is known of the source of changes.
#[derive(Debug, Default)]
pub struct Following {
    /// When the newest transaction was committed of which all is delivered, by the source's clock. 0: none is.
    pub delivered_us: AtomicU64,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    marks: VecDeque<SeenEnd>,
    extent: Option<Extent>,
}

impl Following {
    pub fn mark(&self, mark: SeenEnd) {
        let marks = &mut self.lock().marks;
        if marks.len() == MARKS_MAX {
            marks.pop_front();
        }
        marks.push_back(mark);
    }

    /// The source was asked about its binlog.
    pub fn asked(&self, extent: Extent) {
        let (server, end, executed) = (extent.server.clone(), extent.end.clone(), extent.executed.clone());
        let end = End::Binlog { server, end, executed };
        self.mark(SeenEnd { at_us: extent.at_us, end });
        self.lock().extent = Some(extent);
    }

    /// It does not answer.
    pub fn not_asked(&self) {
        self.lock().extent = None;
    }

    pub fn extent(&self) -> Option<Extent> {
        self.lock().extent.clone()
    }

    /// Drops all marks up to the last that `is_passed`, which is given back, and says whether others are left.
    pub fn take_passed(&self, is_passed: impl Fn(&End) -> bool) -> (Option<SeenEnd>, bool) {
        let marks = &mut self.lock().marks;
        let passed = marks.iter().rposition(|mark| is_passed(&mark.end));
        let last = passed.and_then(|last| marks.drain(..=last).next_back());
        (last, !marks.is_empty())
    }

    pub fn delivered_us(&self) -> u64 {
        self.delivered_us.load(Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Microseconds since 1970, by our clock.
pub fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mark_that_is_passed_takes_those_before_it_along() {
        let following = Following::default();
        (1..=4).for_each(|at_us| following.mark(SeenEnd { at_us, end: End::Windows(10 * at_us) }));
        let up_to = |windows: u64| move |end: &End| matches!(end, End::Windows(mark) if *mark <= windows);
        assert_eq!(following.take_passed(up_to(5)), (None, true));
        assert_eq!(following.take_passed(up_to(25)).0.map(|mark| mark.at_us), Some(2));
        assert_eq!(following.take_passed(up_to(29)), (None, true));
        assert_eq!(following.take_passed(up_to(99)), (Some(SeenEnd { at_us: 4, end: End::Windows(40) }), false));
    }
}
