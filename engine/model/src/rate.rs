//! How much may be read a second, so that a source and its brokers have time for others.
//!
//! A rate is kept as a debt: what passes is owed, time pays it off, and nothing passes while anything is owed. So the first window passes at
//! once, no pause is saved up for later, and a rate that is changed counts from the next look on, also for those that wait.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Stop;
use crate::status::stages::Busy;

/// How often one that waits looks whether it still has to.
const LOOK: Duration = Duration::from_millis(50);

/// `None` is as fast as it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Rows of a full load, and changes: an update is one.
    pub rows_per_second: Option<u64>,
    /// Of columns, as they are read.
    pub bytes_per_second: Option<u64>,
}

/// What a task's source is held to.
#[derive(Debug, Default)]
pub struct Limits {
    /// The full load and changes together.
    pub all: Rate,
    /// The full load, besides.
    pub full_load: Rate,
    /// Readers that wait because of it.
    pub held: Busy,
}

/// A limit that can be changed, and what is owed to it.
#[derive(Debug, Default)]
pub struct Rate {
    /// 0 is none.
    rows: AtomicU64,
    bytes: AtomicU64,
    debt: Mutex<Debt>,
}

#[derive(Debug, Default)]
struct Debt {
    rows: f64,
    bytes: f64,
    at: Option<Instant>,
}

impl Rate {
    pub fn limit(&self) -> Limit {
        let some = |value: &AtomicU64| Some(value.load(Relaxed)).filter(|value| *value > 0);
        Limit { rows_per_second: some(&self.rows), bytes_per_second: some(&self.bytes) }
    }

    pub fn set(&self, limit: Limit) {
        self.rows.store(limit.rows_per_second.unwrap_or(0), Relaxed);
        self.bytes.store(limit.bytes_per_second.unwrap_or(0), Relaxed);
    }

    /// Waits until so much may pass. Who is told to stop or to pause passes at once: what was read is better sent than read again.
    pub fn pass(&self, rows: u64, bytes: u64, stop: &Stop, held: &Busy) {
        let mut waiting = None;
        while let Some(pause) =
            self.owed(rows, bytes, Instant::now()).filter(|_| !stop.is_stopped() && !stop.is_paused())
        {
            waiting.get_or_insert_with(|| held.begin());
            std::thread::sleep(pause.min(LOOK));
        }
    }

    /// How long it takes until nothing is owed; if nothing is, it is owed what passes now.
    fn owed(&self, rows: u64, bytes: u64, now: Instant) -> Option<Duration> {
        let limit = self.limit();
        if limit == Limit::default() {
            return None;
        }
        let mut debt = self.debt.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = debt.at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        debt.at = Some(now);
        let left = |debt: f64, rate: Option<u64>| rate.map_or(0.0, |rate| (debt - seconds * rate as f64).max(0.0));
        debt.rows = left(debt.rows, limit.rows_per_second);
        debt.bytes = left(debt.bytes, limit.bytes_per_second);
        let time = |debt: f64, rate: Option<u64>| rate.map_or(0.0, |rate| debt / rate as f64);
        let pause = time(debt.rows, limit.rows_per_second).max(time(debt.bytes, limit.bytes_per_second));
        if pause > 0.0 {
            return Some(Duration::from_secs_f64(pause.min(1.0)));
        }
        (debt.rows, debt.bytes) = (rows as f64, bytes as f64);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_owed_and_paid_off_by_time() {
        let rate = Rate::default();
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let ms = |pause: Option<Duration>| pause.map(|pause| pause.as_millis());
        // Without a limit, anything.
        assert_eq!(ms(rate.owed(1 << 40, 1 << 40, at(0))), None);
        rate.set(Limit { rows_per_second: Some(1000), bytes_per_second: Some(10_000) });
        assert_eq!(ms(rate.owed(200, 100, at(0))), None);
        assert_eq!(ms(rate.owed(1, 0, at(50))), Some(150));
        assert_eq!(ms(rate.owed(1, 4000, at(200))), None);
        assert_eq!(ms(rate.owed(1, 0, at(300))), Some(300));
        // What is not used is not saved up.
        assert_eq!(ms(rate.owed(500, 0, at(60_000))), None);
        assert_eq!(ms(rate.owed(1, 0, at(60_100))), Some(400));
        // Another rate counts at once, and so does none.
        rate.set(Limit { rows_per_second: Some(4000), bytes_per_second: None });
        assert_eq!(ms(rate.owed(1, 0, at(60_100))), Some(100));
        rate.set(Limit::default());
        assert_eq!(ms(rate.owed(1, 0, at(60_100))), None);
        assert_eq!(rate.limit(), Limit::default());
    }
}
