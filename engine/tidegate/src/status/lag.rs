//! How late is the task? Judged once a second from what [`source`](tidegate_model::status::source) has gathered.
//!
//! ```text
//! complete   the topics hold all that was committed before this time: the newest transaction that is delivered, or the last mark
//!            that is passed, whichever is later
//! delay      from there to now, if anything is left to be delivered; else none, however old the newest change is
//! ```
//!
//! *A large transaction* was committed at one moment and takes minutes to read: until its end is delivered, all of it counts as not
//! delivered. *Clocks* differ: commits bear the source's time, so the source's time is what they are compared with; what the
//! comparison with ours would say stands beside it. *A source that is away* may have anything: all that is known is up to when the
//! topics are complete.

use std::time::{Duration, Instant};

use super::report::{Incremental, Pace, Position, Purge};
use crate::source::mysql::{is_behind, is_of};
use tidegate_model::status::source::{End, Extent, Following, now_us};
use tidegate_model::{self as model, Coordinate};

/// Whoever is less late is not behind.
const CURRENT: Duration = Duration::from_secs(10);
/// This is no delay of which anybody would speak.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Nothing came for so long: there is nothing to do.
const IDLE_AFTER: Duration = Duration::from_secs(10);
/// Nothing was delivered for so long, though there is something.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// Characters of a set that are told.
const GTIDS_MAX: usize = 1000;

/// The counts that a judgement needs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) windows_read: u64,
    pub(super) windows_delivered: u64,
    pub(super) messages: u64,
    /// The source does not answer: nobody knows what it has.
    pub(super) is_away: bool,
}

/// What is remembered between two judgements.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// By the source's clock; 0: nothing is known.
    complete_us: u64,
    /// When what was delivered last was committed, by whoever did.
    delivered_us: u64,
    clock_ahead_us: Option<i64>,
    has_rest: bool,
    delay: Option<Duration>,
    /// Something was delivered, and a message was.
    progress: Option<(u64, Instant)>,
    message: Option<(u64, Instant)>,
}

impl Lag {
    /// Looks at what was gathered since the last time. `delivered` is where delivery has come to.
    pub(super) fn judge(&mut self, following: &Following, delivered: Option<&model::Position>, counts: Counts) {
        self.judge_at(following, delivered, counts, now_us(), Instant::now());
    }

    fn judge_at(
        &mut self,
        following: &Following,
        delivered: Option<&model::Position>,
        counts: Counts,
        now_us: u64,
        now: Instant,
    ) {
        if let Some(extent) = following.extent() {
            self.clock_ahead_us = Some(extent.clock_ahead_us);
        }
        let is_passed = |end: &End| match end {
            End::Windows(windows) => counts.windows_delivered >= *windows,
            End::Binlog { server, end, executed } => {
                delivered.is_some_and(|position| is_behind(position, server, end, executed.as_deref()))
            }
        };
        let (passed, is_more) = following.take_passed(is_passed);
        let passed_us = passed.map_or(0, |mark| self.theirs(mark.at_us));
        let delivered_us = following.delivered_us();
        let newly_us = if delivered_us == self.delivered_us { 0 } else { delivered_us };
        self.delivered_us = delivered_us;
        // Nothing is of the future: a session may name any time (`SET timestamp`), and a clock may be set back.
        self.complete_us = self.complete_us.max(newly_us).max(passed_us).min(self.theirs(now_us));
        self.has_rest = is_more || counts.is_away || counts.windows_read > counts.windows_delivered;
        self.delay = match self.complete_us {
            0 => None,
            _ if !self.has_rest => Some(Duration::ZERO),
            complete => Some(Duration::from_micros(self.theirs(now_us).saturating_sub(complete))),
        };
        if self.progress.is_none_or(|(windows, _)| windows != counts.windows_delivered) || !self.has_rest {
            self.progress = Some((counts.windows_delivered, now));
        }
        if counts.messages > 0 && self.message.is_none_or(|(messages, _)| messages != counts.messages) {
            self.message = Some((counts.messages, now));
        }
    }

    /// A time of our clock by the source's.
    fn theirs(&self, ours_us: u64) -> u64 {
        ours_us.saturating_add_signed(self.clock_ahead_us.unwrap_or(0))
    }

    pub(super) fn delay(&self) -> Option<Duration> {
        self.delay
    }

    /// Since when no message has been acknowledged.
    pub(super) fn quiet(&self) -> Option<Duration> {
        self.message.map(|(_, at)| at.elapsed())
    }

    /// While changes are followed.
    pub(super) fn pace(&self) -> Pace {
        self.pace_at(Instant::now())
    }

    fn pace_at(&self, now: Instant) -> Pace {
        let since = |at: Option<(u64, Instant)>| at.map(|(_, at)| now.saturating_duration_since(at));
        match self.delay {
            _ if self.has_rest && since(self.progress).is_some_and(|quiet| quiet > STUCK_AFTER) => Pace::Stuck,
            None => Pace::Starting,
            Some(delay) if delay > CURRENT => Pace::Behind,
            // Of a busy server whose other tables are nobody's here, there is always something to be read.
            Some(delay) if delay < AT_ONCE && since(self.message).is_none_or(|quiet| quiet > IDLE_AFTER) => Pace::Idle,
            Some(_) => Pace::Current,
        }
    }

    /// Whether nothing has been delivered for a while, whatever is.
    pub(super) fn is_stuck(&self, has_rest: bool) -> bool {
        has_rest && self.progress.is_some_and(|(_, at)| at.elapsed() > STUCK_AFTER)
    }

    pub(super) fn incremental(&self, extent: Option<&Extent>, position: Option<&model::Position>) -> Incremental {
        let millis = |duration: Duration| duration.as_millis() as u64;
        let ours = self.delay.map(|_| match self.has_rest {
            true => now_us().saturating_sub(self.complete_us) / 1000,
            false => 0,
        });
        let extent = extent.zip(position).filter(|(extent, position)| is_of(position, &extent.server));
        Incremental {
            position: position.map(|position| Position {
                file: position.reached().file.to_string(),
                offset: position.reached().offset,
                gtids: position.gtids.as_ref().map(|gtids| gtids.shortened(GTIDS_MAX)),
            }),
            delay_ms: self.delay.filter(|_| self.clock_ahead_us.is_some()).map(millis),
            delay_by_our_clock_ms: ours,
            clock_ahead_ms: self.clock_ahead_us.map(|ahead| ahead / 1000),
            // By GTIDs a task may be at the end, and know a place of before it.
            bytes_behind: extent.map(|(extent, position)| match self.has_rest {
                true => bytes_behind(extent, position.reached()),
                false => 0,
            }),
            purge: extent.map(|(extent, position)| Purge {
                bytes: bytes_before(extent, position.reached()),
                seconds: self.seconds_to_purge(extent, position.reached()),
            }),
        }
    }

    /// A file goes when its last event is as old as `retention_s` says, which is not before the one at the position is.
    fn seconds_to_purge(&self, extent: &Extent, at: &Coordinate) -> Option<u64> {
        let retention_s = extent.retention_s.filter(|_| at.file_number() < extent.end.file_number())?;
        let age_s = self.theirs(now_us()).saturating_sub(self.complete_us) / 1_000_000;
        Some(retention_s.saturating_sub(age_s)).filter(|_| self.complete_us > 0)
    }
}

fn bytes_behind(extent: &Extent, at: &Coordinate) -> u64 {
    let number = model::position::file_number;
    let (here, last) = (at.file_number(), extent.end.file_number());
    if here >= last {
        return extent.end.offset.saturating_sub(if here == last { at.offset } else { u64::MAX });
    }
    let between = extent.files.iter().filter(|(file, _)| (here..last).contains(&number(file)));
    (between.map(|(_, size)| size).sum::<u64>() + extent.end.offset).saturating_sub(at.offset)
}

fn bytes_before(extent: &Extent, at: &Coordinate) -> u64 {
    let number = model::position::file_number;
    let before = extent.files.iter().filter(|(file, _)| number(file) < at.file_number());
    before.map(|(_, size)| size).sum::<u64>() + at.offset
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::BinlogFile;
    use tidegate_model::status::source::SeenEnd;

    const SECOND: u64 = 1_000_000;
    const HOUR: i64 = 3_600_000_000;
    /// Any moment, by our clock.
    const T: u64 = 1_800_000_000 * SECOND;

    fn position(offset: u64) -> model::Position {
        let file = BinlogFile { server: "us".into(), made_s: 1 };
        model::Position { file: Some(file), ..model::Position::new(Coordinate::new("binlog.000002", offset), None) }
    }

    fn extent(at_us: u64, offset: u64, clock_ahead_us: i64) -> Extent {
        let files = [("binlog.000001", 1000), ("binlog.000002", 500), ("binlog.000003", 10)];
        let files = files.map(|(name, size)| (name.to_owned(), size)).into_iter().collect();
        let end = Coordinate::new("binlog.000002", offset);
        Extent { at_us, clock_ahead_us, server: "us".into(), end, executed: None, files, retention_s: Some(1000) }
    }

    /// A task whose source's clock is so far ahead.
    struct Watched {
        lag: Lag,
        following: Following,
        ahead: i64,
        start: Instant,
        counts: Counts,
        position: model::Position,
    }

    impl Watched {
        fn new(ahead: i64) -> Watched {
            let (lag, following) = (Lag::default(), Following::default());
            Watched { lag, following, ahead, start: Instant::now(), counts: Counts::default(), position: position(4) }
        }

        /// The source is asked where its binlog ends.
        fn asked(&self, second: u64, end: u64) {
            self.following.asked(extent(T + second * SECOND, end, self.ahead));
        }

        /// A transaction that was committed then, by our clock, is delivered with all before it.
        fn delivered(&mut self, committed: u64, end: u64) {
            let committed_us = (T + committed * SECOND).saturating_add_signed(self.ahead);
            self.following.delivered_us.store(committed_us, std::sync::atomic::Ordering::Relaxed);
            self.position = position(end);
            self.counts.messages += 1;
            self.counts.windows_read += 1;
            self.counts.windows_delivered += 1;
        }

        /// Delay in seconds, and what that is called.
        fn at(&mut self, second: u64) -> (Option<u64>, Pace) {
            let now = self.start + Duration::from_secs(second);
            self.lag.judge_at(&self.following, Some(&self.position), self.counts, T + second * SECOND, now);
            (self.lag.delay.map(|delay| delay.as_secs()), self.lag.pace_at(now))
        }
    }

    #[test]
    fn an_hour_without_changes_is_no_delay() {
        for ahead in [0, HOUR, -HOUR] {
            let mut watched = Watched::new(ahead);
            watched.asked(0, 100);
            watched.delivered(0, 100);
            assert_eq!(watched.at(0), (Some(0), Pace::Current));
            for second in 1..3600 {
                watched.asked(second, 100);
                assert_eq!(watched.at(second).0, Some(0));
            }
            assert_eq!(watched.at(3600), (Some(0), Pace::Idle));
            // A change that is not delivered counts from when it can have been made on.
            watched.asked(3601, 200);
            assert_eq!(watched.at(3603), (Some(4), Pace::Current));
            assert_eq!(watched.at(3620), (Some(21), Pace::Behind));
            assert_eq!(watched.at(3640), (Some(41), Pace::Stuck));
            watched.delivered(3600, 200);
            assert_eq!(watched.at(3641), (Some(0), Pace::Current));
        }
    }

    /// A session may date its changes as it likes, and somebody may set the source's clock back.
    #[test]
    fn a_time_that_is_to_come_hides_no_delay() {
        let mut watched = Watched::new(0);
        watched.asked(0, 100);
        watched.delivered(2_000_000_000, 100);
        assert_eq!(watched.at(0), (Some(0), Pace::Current));
        watched.asked(10, 200);
        watched.counts.windows_read += 1;
        assert_eq!(watched.at(20), (Some(20), Pace::Behind));
        watched.ahead = -HOUR;
        watched.asked(21, 200);
        assert_eq!(watched.at(21).0, Some(0));
        assert_eq!(watched.at(41).0, Some(20));
    }

    #[test]
    fn a_large_transaction_counts_until_its_end_is_delivered() {
        let mut watched = Watched::new(-HOUR);
        watched.asked(0, 100);
        watched.delivered(0, 100);
        watched.asked(10, 100);
        assert_eq!(watched.at(10).0, Some(0));
        // Committed at 11, read until 300.
        for second in 12..300 {
            watched.asked(second, 900);
            watched.counts.windows_read += 1;
            watched.counts.windows_delivered += 1;
            watched.counts.messages += 1;
            let (delay, pace) = watched.at(second);
            assert_eq!(delay, Some(second - 10));
            assert_eq!(pace, if second > 20 { Pace::Behind } else { Pace::Current });
        }
        watched.delivered(11, 900);
        watched.asked(301, 900);
        assert_eq!(watched.at(301), (Some(0), Pace::Current));
    }

    #[test]
    fn backlog_is_as_old_as_its_oldest_change() {
        let mut watched = Watched::new(0);
        watched.asked(1000, 900);
        watched.delivered(400, 200);
        assert_eq!(watched.at(1000), (Some(600), Pace::Behind));
        watched.delivered(500, 300);
        assert_eq!(watched.at(1001), (Some(501), Pace::Behind));
    }

    #[test]
    fn a_sign_of_life_is_a_mark_too() {
        let mut watched = Watched::new(0);
        assert_eq!(watched.at(0), (None, Pace::Starting));
        watched.following.mark(SeenEnd { at_us: T + 5 * SECOND, end: End::Windows(0) });
        assert_eq!(watched.at(6), (Some(0), Pace::Idle));
        // Without anybody asked, the source's clock is not known.
        assert_eq!(watched.lag.incremental(None, None).delay_ms, None);
    }

    #[test]
    fn of_a_source_that_is_away_nobody_knows_what_it_has() {
        let mut watched = Watched::new(HOUR);
        watched.asked(0, 100);
        watched.delivered(0, 100);
        assert_eq!(watched.at(1), (Some(0), Pace::Current));
        watched.counts.is_away = true;
        watched.following.not_asked();
        assert_eq!(watched.at(5), (Some(5), Pace::Current));
        assert_eq!(watched.at(40), (Some(40), Pace::Stuck));
        watched.counts.is_away = false;
        watched.asked(41, 100);
        assert_eq!(watched.at(41).0, Some(0));
    }

    #[test]
    fn changes_of_other_tables_are_nothing_to_do() {
        let mut watched = Watched::new(0);
        watched.asked(0, 100);
        watched.delivered(0, 100);
        assert_eq!(watched.at(0), (Some(0), Pace::Current));
        watched.asked(20, 100);
        watched.counts.windows_read += 1;
        assert_eq!(watched.at(20), (Some(0), Pace::Idle));
    }

    #[test]
    fn coordinates_of_another_server_say_nothing() {
        let mut watched = Watched::new(0);
        watched.position.file = Some(BinlogFile { server: "others".into(), made_s: 1 });
        watched.asked(0, 1);
        assert_eq!(watched.at(1), (None, Pace::Starting));
        let extent = extent(T, 1, 0);
        assert_eq!(watched.lag.incremental(Some(&extent), Some(&watched.position)).bytes_behind, None);
    }

    /// After a failover, or at a start whose file is only known by its name.
    #[test]
    fn by_gtids_a_task_is_at_the_end_wherever_that_is() {
        let mut watched = Watched::new(0);
        let set = |text: &str| Some(text.parse().unwrap());
        watched.position.gtids = set("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-20");
        watched.position.file = Some(BinlogFile { server: "others".into(), made_s: 1 });
        let asked = |executed: &str| Extent { executed: set(executed).map(std::sync::Arc::new), ..extent(T, 900, 0) };
        watched.following.asked(asked("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-21"));
        assert_eq!(watched.at(1), (None, Pace::Starting));
        watched.following.asked(asked("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-20"));
        assert_eq!(watched.at(2), (Some(0), Pace::Idle));
    }

    #[test]
    fn bytes_are_counted_across_files() {
        let mut extent = extent(T, 400, 0);
        extent.end = Coordinate::new("binlog.000003", 10);
        let at = |file: &str, offset| Coordinate::new(file, offset);
        assert_eq!(bytes_behind(&extent, &at("binlog.000001", 900)), 100 + 500 + 10);
        assert_eq!(bytes_behind(&extent, &at("binlog.000003", 4)), 6);
        assert_eq!(bytes_behind(&extent, &at("binlog.000003", 11)), 0);
        assert_eq!(bytes_behind(&extent, &at("binlog.000004", 4)), 0);
        assert_eq!(bytes_before(&extent, &at("binlog.000002", 200)), 1200);
    }
}
