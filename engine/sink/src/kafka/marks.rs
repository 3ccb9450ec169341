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
//! counts is a message of a later window that is written before one of an earlier window.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::outstanding::WindowId;
use super::producer::Report;
use crate::SinkError;

/// Messages of one partition whose reports came one behind the other.
struct Run {
    /// Of the topic's handle, which tells it from others as long as the client lives.
    handle: usize,
    topic: String,
    partition: i32,
    /// Window and offset.
    first: (WindowId, i64),
    last: (WindowId, i64),
}

/// What one event reports.
#[derive(Default)]
pub(super) struct Acknowledged(Vec<Run>);

impl Acknowledged {
    /// Adds a message that is delivered. One whose offset the broker has not said counts for nothing.
    pub(super) fn add(&mut self, report: &Report<'_>) {
        let (handle, partition, offset) = report.place();
        if offset < 0 {
            return;
        }
        let this = (report.window(), offset);
        match self.0.last_mut() {
            Some(run) if (run.handle, run.partition) == (handle, partition) && offset > run.last.1 => run.last = this,
            _ => self.0.push(Run { handle, topic: report.topic(), partition, first: this, last: this }),
        }
    }
}

/// By topic and partition.
#[derive(Default)]
pub(super) struct Marks(Mutex<HashMap<String, Vec<Mark>>>);

/// The last message of a partition that was acknowledged.
#[derive(Clone, Copy, Default)]
struct Mark {
    window: WindowId,
    /// Of the next one; 0 where none was acknowledged.
    end: i64,
}

impl Marks {
    /// Takes over what was reported. An error if something that was acknowledged before is not there any more.
    pub(super) fn pass(&self, acknowledged: &mut Acknowledged) -> Result<(), SinkError> {
        let mut marks = self.lock();
        acknowledged.0.drain(..).try_for_each(|run| pass(&mut marks, run))
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
    let ((window, offset), (last_window, last)) = (run.first, run.last);
    if offset < mark.end && window > mark.window {
        return Err(SinkError::Fallen { topic: run.topic, partition: run.partition, end: mark.end, now: offset });
    }
    *mark = Mark { window: mark.window.max(last_window), end: mark.end.max(last + 1) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_rise() {
        let mut marks = HashMap::new();
        let mut note = |topic: &str, partition, first, last| {
            pass(&mut marks, Run { handle: 0, topic: topic.to_owned(), partition, first, last })
                .map_err(|error| error.to_string())
        };
        assert_eq!(note("shop", 2, (1, 0), (1, 0)), Ok(()));
        assert_eq!(note("shop", 0, (1, 7), (2, 11)), Ok(()));
        // Behind a message of somebody else, or one that came twice.
        assert_eq!(note("shop", 0, (2, 14), (4, 16)), Ok(()));
        assert_eq!(note("eu", 0, (3, 3), (3, 3)), Ok(()));
        // From a leader that was.
        assert_eq!(note("shop", 0, (2, 12), (2, 13)), Ok(()));
        let fallen = |partition: i32, now: i64, acknowledged: i64| {
            Err(format!(
                "topic shop, partition {partition}: a message was written at offset {now} though the one at {acknowledged} had been \
                     acknowledged before: the topic was deleted and created anew, or its brokers have lost what they had acknowledged"
            ))
        };
        assert_eq!(note("shop", 2, (5, 0), (5, 5)), fallen(2, 0, 0));
        assert_eq!(note("shop", 0, (5, 16), (5, 20)), fallen(0, 16, 16));
    }
}
