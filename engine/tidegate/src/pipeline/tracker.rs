//! What has been delivered, in memory and on disk.
//!
//! Deliveries are reported in the order of the windows. Each moves the [`Checkpoint`] in memory; a thread of its own writes it
//! out, at most every [`SAVE_INTERVAL`] as long as nobody waits, at once when somebody does. Everybody who waits while a
//! write is under way is served by the next one, so that many chunks beginning together cost one sync.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

use crate::checkpoint::{self, Checkpoint, CheckpointError, StateFolder};
use tidegate_model::{Progress, TableName};
use tidegate_mysql::retry::Retry;

/// How much a crash may repeat beyond what was in flight: half a second of deliveries, for two syncs a second.
const SAVE_INTERVAL: Duration = Duration::from_millis(500);

/// The checkpoint of a running task.
pub struct Tracker {
    /// How long a disk that refuses checkpoints is given to recover; meanwhile nothing is forgotten.
    retry: Duration,
    state: Mutex<State>,
    changed: Condvar,
    #[cfg(test)]
    failed_saves: std::sync::atomic::AtomicU32,
}

struct State {
    checkpoint: Checkpoint,
    /// Counts changes of `checkpoint`.
    version: u64,
    saved_version: u64,
    /// Somebody waits for this version to be on disk.
    wanted_version: u64,
    failure: Option<String>,
    closing: bool,
}

/// The checkpoint could not be written, so nothing more may be forgotten.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the checkpoint could not be written: {0}")]
pub struct NotSaved(String);

impl Tracker {
    pub fn new(checkpoint: Checkpoint, retry: Duration) -> Tracker {
        let state =
            State { checkpoint, version: 1, saved_version: 0, wanted_version: 0, failure: None, closing: false };
        Tracker {
            retry,
            state: Mutex::new(state),
            changed: Condvar::new(),
            #[cfg(test)]
            failed_saves: std::sync::atomic::AtomicU32::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the checkpoint")
    }

    pub fn read<T>(&self, read: impl FnOnce(&Checkpoint) -> T) -> T {
        read(&self.lock().checkpoint)
    }

    /// Changes the checkpoint; it reaches the disk soon.
    pub fn update<T>(&self, change: impl FnOnce(&mut Checkpoint) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state.checkpoint);
        state.version += 1;
        self.changed.notify_all();
        result
    }

    /// Changes the checkpoint and returns when the change is on disk.
    pub fn update_durably<T>(&self, change: impl FnOnce(&mut Checkpoint) -> T) -> Result<T, NotSaved> {
        let mut state = self.lock();
        let result = change(&mut state.checkpoint);
        state.version += 1;
        let mine = state.version;
        state.wanted_version = mine;
        self.changed.notify_all();
        while state.saved_version < mine {
            if let Some(failure) = &state.failure {
                return Err(NotSaved(failure.clone()));
            }
            state = self.changed.wait(state).expect("no thread panics while it holds the checkpoint");
        }
        Ok(result)
    }

    /// A window with this progress, and every window before it, has been delivered.
    pub fn delivered(&self, progress: Progress) {
        self.update(|checkpoint| match progress {
            Progress::Chunk { table, chunk, rows, done } => {
                if let Some(ledger) = &mut checkpoint.ledger {
                    ledger.chunk_acknowledged(&table, chunk, rows, done);
                    if ledger.table(&table).is_some_and(|chunks| chunks.is_done()) {
                        checkpoint.table_loaded(&table);
                    }
                } else if done {
                    match checkpoint.row_groups.iter_mut().find(|(name, _)| *name == table) {
                        Some((_, groups)) => groups.push(chunk),
                        None => checkpoint.row_groups.push((table, vec![chunk])),
                    }
                }
            }
            Progress::Position(position) => {
                if checkpoint.ledger.as_ref().is_some_and(|ledger| ledger.settled(&position)) {
                    checkpoint.ledger = None;
                }
                checkpoint.pass(&position);
                checkpoint.position = Some(position);
            }
        });
    }

    /// Whether the ledger has a table as delivered; without a ledger nobody here knows.
    pub fn is_loaded(&self, table: &TableName) -> bool {
        self.read(|checkpoint| {
            checkpoint.ledger.as_ref().and_then(|ledger| ledger.table(table)).is_some_and(|table| table.is_done())
        })
    }

    /// Waits until `condition` holds of the checkpoint or `interrupted` says to give up; tells which.
    pub fn wait_for(&self, condition: impl Fn(&Checkpoint) -> bool, interrupted: impl Fn() -> bool) -> bool {
        let mut state = self.lock();
        loop {
            if condition(&state.checkpoint) {
                return true;
            }
            if interrupted() || state.failure.is_some() {
                return false;
            }
            // The time-out only serves `interrupted`, which nobody announces.
            let (next, _) = self
                .changed
                .wait_timeout(state, Duration::from_millis(100))
                .expect("no thread panics while it holds the checkpoint");
            state = next;
        }
    }

    /// Writes checkpoints until [`Tracker::close`], and a last one then. Runs on a thread of its own.
    ///
    /// A disk that refuses is tried again for as long as the task allows; not once the task `is_stopped`, when whoever stopped
    /// it waits for its end and not for the disk.
    pub fn save_loop(&self, folder: &StateFolder, is_stopped: impl Fn() -> bool) -> Result<(), CheckpointError> {
        let _ended = Ended(self);
        let mut last_save: Option<Instant> = None;
        let mut outage: Option<Retry> = None;
        let mut state = self.lock();
        loop {
            let due = last_save.is_none_or(|at| at.elapsed() >= SAVE_INTERVAL);
            let wanted = state.wanted_version > state.saved_version;
            if state.version > state.saved_version && (due || wanted || state.closing) {
                let version = state.version;
                // What is on its end gets one try.
                let is_last = state.closing || is_stopped();
                let bytes = checkpoint::encode(&state.checkpoint);
                drop(state);
                let saved = folder.save_encoded(&bytes);
                last_save = Some(Instant::now());
                if let Err(error) = saved {
                    #[cfg(test)]
                    self.failed_saves.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let outage = outage.get_or_insert_with(|| Retry::new(self.retry));
                    if let Some(pause) = outage.next_pause().filter(|_| !is_last) {
                        warn!(%error, retry_in_ms = pause.as_millis() as u64, "the checkpoint could not be written");
                        // Whatever is delivered meanwhile can wait.
                        outage.wait(pause, || is_stopped() || self.lock().closing);
                        state = self.lock();
                        continue;
                    }
                    self.lock().failure = Some(error.to_string());
                    self.changed.notify_all();
                    return Err(error);
                }
                state = self.lock();
                outage = None;
                state.saved_version = version;
                self.changed.notify_all();
            } else if state.closing {
                return Ok(());
            } else {
                (state, _) = self
                    .changed
                    .wait_timeout(state, SAVE_INTERVAL)
                    .expect("no thread panics while it holds the checkpoint");
            }
        }
    }

    /// Ends [`Tracker::save_loop`] after a last write.
    pub fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_all();
    }
}

/// However saving ends: nothing reaches the disk any more, and nobody may wait for it.
struct Ended<'t>(&'t Tracker);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failure.get_or_insert_with(|| "its thread has ended".to_owned());
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::checkpoint::SourceIdentity;
    use tidegate_model::{Coordinate, Position};

    fn checkpoint() -> Checkpoint {
        Checkpoint::new("t", SourceIdentity::BinlogFiles)
    }

    fn position(offset: u64) -> Position {
        Position::new(Coordinate::new("b.000001", offset), None)
    }

    #[test]
    fn what_is_updated_durably_is_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        let tracker = Arc::new(Tracker::new(checkpoint(), Duration::ZERO));
        std::thread::scope(|scope| {
            let saver = scope.spawn(|| tracker.save_loop(&state, || false));
            for offset in 1..20 {
                tracker.update_durably(|checkpoint| checkpoint.position = Some(position(offset))).unwrap();
                assert_eq!(state.load("t").unwrap().unwrap().position, Some(position(offset)));
            }
            tracker.delivered(Progress::Position(position(99)));
            tracker.close();
            saver.join().unwrap().unwrap();
        });
        assert_eq!(state.load("t").unwrap().unwrap().position, Some(position(99)));
    }

    /// Whoever stops a task waits for its end, not for the disk, and a task that goes on tries at a pace of its own.
    #[test]
    fn a_disk_that_refuses_is_not_waited_for_after_a_stop() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        let in_the_way = folder.path().join("checkpoint.new");
        std::fs::create_dir(&in_the_way).unwrap();
        let day = Duration::from_secs(24 * 3600);
        let tracker = Arc::new(Tracker::new(checkpoint(), day));
        let stopped = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let saver = scope.spawn(|| tracker.save_loop(&state, || stopped.load(Ordering::Relaxed)));
            let waiter = scope.spawn(|| tracker.update_durably(|_| ()));
            while tracker.failed_saves.load(Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            // Deliveries do not make it try any sooner.
            for offset in 0..10_000 {
                tracker.delivered(Progress::Position(position(offset)));
            }
            assert!(tracker.failed_saves.load(Ordering::Relaxed) < 100);
            stopped.store(true, Ordering::Relaxed);
            assert!(waiter.join().unwrap().is_err());
            assert!(saver.join().unwrap().is_err());
        });

        // One that gets room again goes on.
        let tracker = Arc::new(Tracker::new(checkpoint(), day));
        std::thread::scope(|scope| {
            let saver = scope.spawn(|| tracker.save_loop(&state, || false));
            while tracker.failed_saves.load(Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            std::fs::remove_dir(&in_the_way).unwrap();
            tracker.update_durably(|_| ()).unwrap();
            tracker.close();
            saver.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_disk_that_refuses_fails_those_who_wait() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        // A folder in the place of the file that is written first.
        std::fs::create_dir(folder.path().join("checkpoint.new")).unwrap();
        let tracker = Arc::new(Tracker::new(checkpoint(), Duration::ZERO));
        std::thread::scope(|scope| {
            let saver = scope.spawn(|| tracker.save_loop(&state, || false));
            assert!(tracker.update_durably(|_| ()).is_err());
            assert!(saver.join().unwrap().is_err());
        });
    }
}
