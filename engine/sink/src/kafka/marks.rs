//! Is what was acknowledged still there?
//!
//! ```text
//! partition 0   … 41 42 43 │ 44 45        acknowledged at 46 or behind it: as it should be
//!                          │ 0            acknowledged before 46: 44 and 45 are gone, and who knows what else
//! ```
//!
//! Offsets of a partition only rise. Where one is acknowledged that is not behind the one before, the topic was deleted and made anew,
//! by somebody or by the brokers themselves (`auto.create.topics.enable` makes one that a client asks for), or its brokers have lost
//! what they had acknowledged (an election of a replica that was behind). Brokers before 2.8 have no other way to tell.
//!
//! When a partition gets another leader, the report of what the old one acknowledged may come behind that of what was sent later. So what
//! counts is a message of a later window that is written before one of an earlier window, or one whose offset is another's already: what
//! lies before both may be such a report.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::outstanding::WindowId;
use super::producer::Report;
use crate::SinkError;

/// Messages of one partition and window whose reports came one behind the other.
struct Run {
    /// Of the topic's handle, which tells it from others as long as the client lives.
    handle: usize,
    topic: String,
    partition: i32,
    window: WindowId,
    first: i64,
    last: i64,
}

/// What one event reports.
#[derive(Default)]
pub(super) struct Acknowledged {
    runs: Vec<Run>,
    /// Handle and partition of messages that were in a topic already when they were sent once more, and what the next one would be called.
    unplaced: Option<(usize, i32, i64)>,
}

impl Acknowledged {
    /// Adds a message that is delivered. One whose offset the broker has not said counts for nothing.
    pub(super) fn add(&mut self, report: &Report<'_>) {
        let (handle, partition, offset) = report.place();
        if self.is_placed(handle, partition, offset) {
            self.note(handle, partition, (report.window(), offset), || report.topic());
        }
    }

    /// Of a request that it has written before, a broker may not say where: librdkafka counts up from -1 then.
    fn is_placed(&mut self, handle: usize, partition: i32, offset: i64) -> bool {
        if offset >= 0 && self.unplaced != Some((handle, partition, offset)) {
            self.unplaced = None;
            return true;
        }
        self.unplaced = Some((handle, partition, offset + 1));
        false
    }

    fn note(&mut self, handle: usize, partition: i32, this: (WindowId, i64), topic: impl FnOnce() -> String) {
        match self.runs.last_mut() {
            Some(run)
                if (run.handle, run.partition, run.window) == (handle, partition, this.0) && this.1 > run.last =>
            {
                run.last = this.1;
            }
            _ => {
                let (window, offset) = this;
                self.runs.push(Run { handle, topic: topic(), partition, window, first: offset, last: offset });
            }
        }
    }
}

/// By topic and partition.
#[derive(Default)]
pub(super) struct Marks(Mutex<HashMap<String, Vec<Mark>>>);

/// The last message of a partition that is known to be there.
#[derive(Clone, Copy, Default)]
struct Mark {
    /// None of what was there before this run.
    window: Option<WindowId>,
    /// Of the next one; 0 where none is known.
    end: i64,
}

impl Marks {
    /// Takes over what was reported. An error if something that was acknowledged before is not there any more.
    pub(super) fn pass(&self, acknowledged: &mut Acknowledged) -> Result<(), SinkError> {
        let mut marks = self.lock();
        acknowledged.runs.drain(..).try_for_each(|run| pass(&mut marks, run))
    }

    /// What was there when a run began.
    pub(super) fn begin(&self, topic: &str, ends: &[i64]) {
        let mut marks = self.lock();
        let marks = marks.entry(topic.to_owned()).or_default();
        marks.resize(marks.len().max(ends.len()), Mark::default());
        marks.iter_mut().zip(ends).for_each(|(mark, &end)| mark.end = mark.end.max(end));
    }

    /// By partition of a topic, the offset of the next message, as far as they were written to; 0 where none was.
    pub(super) fn of(&self, topic: &str) -> Vec<i64> {
        self.lock().get(topic).map_or_else(Vec::new, |marks| marks.iter().map(|mark| mark.end).collect())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Mark>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pass(marks: &mut HashMap<String, Vec<Mark>>, run: Run) -> Result<(), SinkError> {
    let Ok(partition) = usize::try_from(run.partition) else { return Ok(()) };
    let marks = match marks.get_mut(&run.topic) {
        Some(marks) => marks,
        None => marks.entry(run.topic.clone()).or_default(),
    };
    marks.resize(marks.len().max(partition + 1), Mark::default());
    let mark = &mut marks[partition];
    let window = Some(run.window);
    let is_taken_again = run.first < mark.end && run.last + 1 >= mark.end;
    if run.first < mark.end && (window > mark.window || is_taken_again) {
        return Err(SinkError::Fallen { topic: run.topic, partition: run.partition, end: mark.end, now: run.first });
    }
    *mark = Mark { window: mark.window.max(window), end: mark.end.max(run.last + 1) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fallen(partition: i32, now: i64, acknowledged: i64) -> Result<(), String> {
        Err(format!(
            "topic shop, partition {partition}: a message was written at offset {now} though the one at {acknowledged} had been \
             acknowledged before: the topic was deleted and created anew, or its brokers have lost what they had acknowledged"
        ))
    }

    /// Reports of one event: partition, window, offset.
    fn event(marks: &Marks, reports: impl IntoIterator<Item = (i32, WindowId, i64)>) -> Result<(), String> {
        let mut acknowledged = Acknowledged::default();
        for (partition, window, offset) in reports {
            if acknowledged.is_placed(7, partition, offset) {
                acknowledged.note(7, partition, (window, offset), || "shop".to_owned());
            }
        }
        marks.pass(&mut acknowledged).map_err(|error| error.to_string())
    }

    #[test]
    fn offsets_rise() {
        let marks = Marks::default();
        assert_eq!(event(&marks, [(2, 1, 0), (0, 1, 7), (0, 1, 8), (0, 2, 9)]), Ok(()));
        // Behind a message of somebody else, or one that came twice.
        assert_eq!(event(&marks, [(0, 2, 14), (0, 3, 15)]), Ok(()));
        // From a leader that was.
        assert_eq!(event(&marks, [(0, 2, 12), (0, 2, 13)]), Ok(()));
        assert_eq!(marks.of("shop"), [16, 0, 1]);
        assert_eq!(event(&marks, [(2, 5, 0), (2, 5, 1)]), fallen(2, 0, 0));
        assert_eq!(event(&marks, [(0, 5, 15)]), fallen(0, 15, 15));
    }

    /// However many windows one event reports: the rest of one may be judged by nothing, the next is.
    #[test]
    fn each_window_is_judged() {
        let marks = Marks::default();
        assert_eq!(event(&marks, (0..50).map(|offset| (0, 7, offset))), Ok(()));
        let anew = (0..10).map(|offset| (0, 7, offset)).chain((10..60).map(|offset| (0, 8, offset)));
        assert_eq!(event(&marks, anew), fallen(0, 10, 49));
    }

    /// The rest of a window that is longer than what was acknowledged of it before.
    #[test]
    fn no_offset_is_given_twice() {
        let marks = Marks::default();
        assert_eq!(event(&marks, (0..50).map(|offset| (0, 7, offset))), Ok(()));
        assert_eq!(event(&marks, (0..60).map(|offset| (0, 7, offset))), fallen(0, 0, 49));
    }

    #[test]
    fn what_was_there_before_the_run_counts() {
        let marks = Marks::default();
        marks.begin("shop", &[5000, 0]);
        assert_eq!(event(&marks, [(1, 0, 0)]), Ok(()));
        assert_eq!(event(&marks, [(0, 0, 0)]), fallen(0, 0, 4999));
    }

    /// A request that comes twice is told of without its place.
    #[test]
    fn messages_without_a_place_count_for_nothing() {
        let marks = Marks::default();
        assert_eq!(event(&marks, (100..110).map(|offset| (0, 1, offset))), Ok(()));
        assert_eq!(event(&marks, (-1..9).map(|offset| (0, 2, offset)).chain([(0, 2, 120)])), Ok(()));
        assert_eq!(marks.of("shop"), [121]);
    }
}
