//! How long to wait before trying again, and for how long to go on trying.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often a pause looks at the stop flag.
const STOP_INTERVAL: Duration = Duration::from_millis(100);

/// One outage: pauses that double, with jitter, until the time is up.
#[derive(Debug)]
pub struct Retry {
    until: Instant,
    pause: Duration,
}

impl Retry {
    pub fn new(window: Duration) -> Retry {
        Retry { until: Instant::now() + window, pause: FIRST_PAUSE }
    }

    /// When the time is up.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// The next pause, or none if the time is up.
    pub fn next_pause(&mut self) -> Option<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        let pause = self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        // Between half and all of it: several readers that lost the same server do not come back in step.
        let jitter = RandomState::new().build_hasher().finish() % 16;
        Some((pause / 2 + pause / 2 * jitter as u32 / 16).min(left))
    }

    /// Waits; true if it was told to stop meanwhile.
    pub fn wait(&self, pause: Duration, is_stopped: impl Fn() -> bool) -> bool {
        let until = Instant::now() + pause;
        while !is_stopped() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            std::thread::sleep(left.min(STOP_INTERVAL));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let mut retry = Retry::new(Duration::from_secs(3600));
        let pauses: Vec<Duration> = (0..12).map(|_| retry.next_pause().unwrap()).collect();
        assert!(pauses[0] >= FIRST_PAUSE / 2 && pauses[11] <= LONGEST_PAUSE && pauses[11] >= LONGEST_PAUSE / 2);
    }

    #[test]
    fn no_time_is_no_retry() {
        assert_eq!(Retry::new(Duration::ZERO).next_pause(), None);
    }
}
