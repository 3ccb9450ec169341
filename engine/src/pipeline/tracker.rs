//! What has been delivered, in memory and on disk.
//!
//! Deliveries are reported in the order of the windows. Each moves the [`Checkpoint`] in memory; a thread of its own writes it
//! out, at most every [`SAVE_INTERVAL`] as long as nobody waits, at once when somebody does. Everybody who waits while a
//! write is under way is served by the next one, so that many chunks beginning together cost one sync.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tracing::warn;

use crate::batch::{Progress, TableName};
use crate::checkpoint::{self, Checkpoint, CheckpointError, StateFolder};

/// How much a crash may repeat beyond what was in flight: half a second of deliveries, for two syncs a second.
const SAVE_INTERVAL: Duration = Duration::from_millis(500);

/// How long a checkpoint that could not be written waits before it is written again.
const SAVE_RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The checkpoint of a running task.
pub struct Tracker {
    /// How long a disk that refuses checkpoints is given to recover; meanwhile nothing is forgotten.
    retry: Duration,
    state: Mutex<State>,
    changed: Condvar,
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
        Tracker { retry, state: Mutex::new(state), changed: Condvar::new() }
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
    pub fn save_loop(&self, folder: &StateFolder) -> Result<(), CheckpointError> {
        let mut last_save: Option<Instant> = None;
        let mut failing_since: Option<Instant> = None;
        let mut state = self.lock();
        loop {
            let due = last_save.is_none_or(|at| at.elapsed() >= SAVE_INTERVAL);
            let wanted = state.wanted_version > state.saved_version;
            if state.version > state.saved_version && (due || wanted || state.closing) {
                let version = state.version;
                let bytes = checkpoint::encode(&state.checkpoint);
                drop(state);
                let saved = folder.save_encoded(&bytes);
                last_save = Some(Instant::now());
                state = self.lock();
                match saved {
                    Ok(()) => {
                        state.saved_version = version;
                        failing_since = None;
                    }
                    Err(error)
                        if !state.closing && failing_since.get_or_insert_with(Instant::now).elapsed() < self.retry =>
                    {
                        warn!(%error, "the checkpoint could not be written; trying again");
                        (state, _) = self
                            .changed
                            .wait_timeout(state, SAVE_RETRY_PAUSE)
                            .expect("no thread panics while it holds the checkpoint");
                        continue;
                    }
                    Err(error) => {
                        state.failure = Some(error.to_string());
                        self.changed.notify_all();
                        return Err(error);
                    }
                }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::batch::{Coordinate, Position};
    use crate::checkpoint::SourceIdentity;

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
            let saver = scope.spawn(|| tracker.save_loop(&state));
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

    #[test]
    fn a_disk_that_refuses_fails_those_who_wait() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        // A folder in the place of the file that is written first.
        std::fs::create_dir(folder.path().join("checkpoint.new")).unwrap();
        let tracker = Arc::new(Tracker::new(checkpoint(), Duration::ZERO));
        std::thread::scope(|scope| {
            let saver = scope.spawn(|| tracker.save_loop(&state));
            assert!(tracker.update_durably(|_| ()).is_err());
            assert!(saver.join().unwrap().is_err());
        });
    }
}
