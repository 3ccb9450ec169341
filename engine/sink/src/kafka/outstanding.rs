//! Windows that librdkafka has and brokers have not acknowledged: how many messages of each are missing.
//!
//! ```text
//! first = 7      ┌──────────┬──────────┬──────────┐
//!                │ 7: 12 of │ 8: done  │ 9: 4 000 │   a report carries the number of its window; the window at the
//!                │    4 000 │          │          │   front that is done leaves
//!                └──────────┴──────────┴──────────┘
//! ```
//!
//! One failure ends everything: it resolves all windows, and no further one is admitted. Their values stay, because
//! librdkafka still points at them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::{Receipt, SinkError};
use tidegate_model::message::MessageBatch;

pub(super) type WindowId = usize;

#[derive(Default)]
pub(super) struct Outstanding {
    state: Mutex<State>,
    /// Something was acknowledged, or everything failed.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    windows: VecDeque<Window>,
    /// Id of `windows[0]`.
    first: WindowId,
    failure: Option<SinkError>,
}

struct Window {
    messages_left: usize,
    /// Keeps the values where librdkafka reads them.
    batches: Option<Arc<Vec<MessageBatch>>>,
    done: Option<oneshot::Sender<Result<(), SinkError>>>,
}

impl Outstanding {
    /// Takes a window in.
    pub(super) fn admit(&self, batches: Arc<Vec<MessageBatch>>) -> Result<(WindowId, Receipt), SinkError> {
        let messages_left: usize = batches.iter().map(|batch| batch.values.len()).sum();
        let (done, delivery) = oneshot::channel();
        let mut state = self.lock();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let id = state.first + state.windows.len();
        if messages_left == 0 {
            // No report would ever complete it.
            done.send(Ok(())).expect("the receiver is alive");
            return Ok((id, delivery));
        }
        state.windows.push_back(Window { messages_left, batches: Some(batches), done: Some(done) });
        Ok((id, delivery))
    }

    /// Counts reports: each entry is a window and how many of its messages are acknowledged, or purged after a failure.
    pub(super) fn reported(&self, counts: &[(WindowId, usize)]) {
        let mut released = Vec::new();
        let mut state = self.lock();
        for &(id, count) in counts {
            let index = id - state.first;
            let window = &mut state.windows[index];
            window.messages_left = window.messages_left.checked_sub(count).expect("one report per message");
            if window.messages_left == 0 {
                released.push((window.done.take(), window.batches.take()));
            }
        }
        while state.windows.front().is_some_and(|window| window.messages_left == 0) {
            state.windows.pop_front();
            state.first += 1;
        }
        drop(state);
        if released.is_empty() {
            return;
        }
        self.changed.notify_all();
        // Outside the lock: waking a task and freeing buffers take time.
        for (done, batches) in released {
            drop(batches);
            if let Some(done) = done {
                // Nobody listens if the task is being stopped.
                let _ = done.send(Ok(()));
            }
        }
    }

    /// Resolves all windows with `error`, now and in future. The first failure counts; returns whether this was it.
    pub(super) fn fail(&self, error: SinkError) -> bool {
        let mut state = self.lock();
        if state.failure.is_some() {
            return false;
        }
        let unresolved: Vec<_> = state.windows.iter_mut().filter_map(|window| window.done.take()).collect();
        state.failure = Some(error.clone());
        drop(state);
        self.changed.notify_all();
        for done in unresolved {
            let _ = done.send(Err(error.clone()));
        }
        true
    }

    pub(super) fn failure(&self) -> Option<SinkError> {
        self.lock().failure.clone()
    }

    /// Returns when everything has failed.
    pub(super) fn await_failure(&self) -> SinkError {
        let mut state = self.lock();
        loop {
            if let Some(failure) = &state.failure {
                return failure.clone();
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The oldest window, and how many of its messages are missing.
    pub(super) fn oldest(&self) -> Option<(WindowId, usize)> {
        let state = self.lock();
        Some((state.first, state.windows.front()?.messages_left))
    }

    /// Returns when a window was acknowledged, everything failed, or time is up.
    pub(super) fn wait_for_change(&self, timeout: Duration) {
        drop(self.changed.wait_timeout(self.lock(), timeout));
    }

    /// Of the values that are held.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let state = self.lock();
        let held = state.windows.iter().filter_map(|window| window.batches.as_ref());
        held.flat_map(|batches| batches.iter()).map(|batch| batch.values.bytes.len()).sum()
    }

    // A thread that panicked inside did so on a broken promise of librdkafka, after which every later call may as well
    // go on: the state is plain numbers.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::message::ByteStrings;

    fn window(message_count: usize) -> Arc<Vec<MessageBatch>> {
        Arc::new(vec![MessageBatch {
            topic: "t".into(),
            values: ByteStrings { bytes: vec![b'x'; message_count], ends: (1..=message_count).collect() },
            partitions: vec![0; message_count],
            sequence: (0..message_count as u32).collect(),
            ..MessageBatch::default()
        }])
    }

    #[test]
    fn a_window_is_delivered_with_its_last_message() {
        let outstanding = Outstanding::default();
        let (a, mut a_delivery) = outstanding.admit(window(3)).unwrap();
        let (b, mut b_delivery) = outstanding.admit(window(2)).unwrap();
        outstanding.reported(&[(b, 2), (a, 2)]);
        assert_eq!(b_delivery.try_recv().unwrap().unwrap(), ());
        assert!(a_delivery.try_recv().is_err());
        assert_eq!(outstanding.oldest(), Some((a, 1)));
        assert_eq!(outstanding.bytes(), 3);
        outstanding.reported(&[(a, 1)]);
        assert_eq!(a_delivery.try_recv().unwrap().unwrap(), ());
        assert_eq!((outstanding.oldest(), outstanding.bytes()), (None, 0));
        let (c, _) = outstanding.admit(window(1)).unwrap();
        assert_eq!(c, 2);
    }

    #[test]
    fn one_failure_ends_all_windows() {
        let outstanding = Outstanding::default();
        let (a, mut delivery) = outstanding.admit(window(1)).unwrap();
        assert!(outstanding.fail(SinkError::Client("first".into())));
        assert!(!outstanding.fail(SinkError::Stopped));
        assert_eq!(delivery.try_recv().unwrap().unwrap_err().to_string(), "Kafka client: first");
        // Until librdkafka has let go of it.
        assert_eq!(outstanding.bytes(), 1);
        outstanding.reported(&[(a, 1)]);
        assert_eq!(outstanding.bytes(), 0);
        assert!(outstanding.admit(window(1)).is_err());
    }
}
