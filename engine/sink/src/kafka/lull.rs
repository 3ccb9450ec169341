//! What keeps librdkafka's threads from spinning while brokers do not answer?
//!
//! A partition has one request in flight at a time. While messages wait behind it for longer than `linger.ms`, librdkafka's
//! thread for the broker looks at the partition again and again without any pause, because it sets the time of its next look
//! before it finds that the request in flight forbids sending (`rd_kafka_toppar_producer_serve` in 2.12). While a broker is
//! silent that costs a whole core. Partitions that are paused are passed over, so they are paused while there is silence:
//!
//! ```text
//!  reports  ││││ │                                      │ ││││
//!                ├─ QUIET ─┤├─ TRY_EVERY ─┤    ├────────┤
//!  paused                   ██████████████ █████████████
//!                                         ▲ a moment's try: a request may have failed and
//!                                           wait to be sent again, of which nobody reports
//! ```

use std::time::{Duration, Instant};

/// Silence that is no longer ordinary.
const QUIET: Duration = Duration::from_secs(1);
/// How long partitions stay paused before they get another chance.
const TRY_EVERY: Duration = Duration::from_secs(2);
/// What librdkafka gets to hear of a change,
const MOMENT: Duration = Duration::from_millis(25);
/// and then for sending something.
const TRY: Duration = Duration::from_millis(75);

#[derive(Debug)]
pub(super) struct Lull {
    state: State,
    since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Since the last report.
    Running,
    Paused,
    /// Resumed; librdkafka's main thread takes note.
    Resuming,
    /// Resumed and told the brokers' threads to look.
    Trying,
}

/// What is to be done about partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Pause,
    Resume,
    /// Have the brokers' threads look at their partitions now.
    Wake,
}

impl Lull {
    pub(super) fn new(now: Instant) -> Lull {
        Lull { state: State::Running, since: now }
    }

    /// `heard`: of a message or a connection, since the last call. `waiting`: something is on its way.
    pub(super) fn step(&mut self, heard: bool, waiting: bool, now: Instant) -> Option<Order> {
        let elapsed = now - self.since;
        let (next, order) = match self.state {
            State::Running if heard || !waiting => (State::Running, None),
            State::Running if elapsed >= QUIET => (State::Paused, Some(Order::Pause)),
            State::Paused if heard || !waiting || elapsed >= TRY_EVERY => (State::Resuming, Some(Order::Resume)),
            State::Resuming if elapsed >= MOMENT => (State::Trying, Some(Order::Wake)),
            State::Trying if heard || !waiting => (State::Running, None),
            State::Trying if elapsed >= TRY => (State::Paused, Some(Order::Pause)),
            State::Running | State::Paused | State::Resuming | State::Trying => return None,
        };
        (self.state, self.since) = (next, now);
        order
    }

    /// When [`Lull::step`] wants to be called again at the latest.
    pub(super) fn next_step(&self) -> Option<Duration> {
        match self.state {
            State::Running | State::Paused => None,
            State::Resuming => Some(MOMENT),
            State::Trying => Some(TRY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is ordered at which millisecond, looked at every 5; reports come at those of `reports`.
    fn orders(reports: impl Fn(u64) -> bool, waiting: impl Fn(u64) -> bool, until: u64) -> Vec<(u64, Order)> {
        let start = Instant::now();
        let mut lull = Lull::new(start);
        let step = |at: u64| {
            let order = lull.step(reports(at), waiting(at), start + Duration::from_millis(at))?;
            Some((at, order))
        };
        (0..until).step_by(5).filter_map(step).collect()
    }

    #[test]
    fn nothing_is_paused_while_reports_come_or_nothing_is_on_its_way() {
        assert_eq!(orders(|at| at % 500 == 0, |_| true, 10_000), []);
        assert_eq!(orders(|_| false, |_| false, 10_000), []);
    }

    #[test]
    fn silence_pauses_and_the_next_report_ends_that() {
        use Order::*;
        assert_eq!(
            orders(|at| at == 500 || at >= 4_000, |_| true, 8_000),
            [(1_500, Pause), (3_500, Resume), (3_525, Wake), (3_600, Pause), (4_000, Resume), (4_025, Wake)]
        );
    }

    #[test]
    fn partitions_are_running_again_when_the_next_message_comes() {
        use Order::*;
        assert_eq!(orders(|_| false, |at| at < 2_000, 5_000), [(1_000, Pause), (2_000, Resume), (2_025, Wake)]);
    }
}
