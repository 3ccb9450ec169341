//! What has been delivered, in memory and on disk.
//!
//! Deliveries are reported in the order of the windows. Each moves the [`State`] in memory; a thread of its own writes what has
//! changed of it, at most every [`SAVE_INTERVAL`] as long as nobody waits, at once when somebody does. Everybody who waits while a
//! write is under way is served by the next one, so that many chunks beginning together cost one sync.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

use tidegate_model::message::TooLarge;
use tidegate_model::retry::Retry;
use tidegate_model::state::Changes;
use tidegate_model::status::Retrying;
use tidegate_model::{Progress, TableName};

use crate::store::{StateFolder, StoreError};

/// How much a crash may repeat beyond what was in flight: half a second of deliveries, for two syncs a second.
const SAVE_INTERVAL: Duration = Duration::from_millis(500);

/// What a task must not forget.
pub trait State {
    /// A window with this progress, and every window before it, has been delivered.
    fn delivered(&mut self, progress: Progress);

    /// So many messages of a window that is delivered were too large for their topic: for a state that counts them.
    fn too_large(&mut self, _counts: &[(TableName, TooLarge)]) {}

    /// A message of this run is in the topic.
    fn written(&mut self, topic: &str);

    /// Whether all rows that were to be loaded of the table are delivered.
    fn is_loaded(&self, table: &TableName) -> bool;

    /// Tells all that there is, or what has changed since it told last.
    fn tell(&mut self, all: bool, changes: &mut Changes);
}

/// The state of a running task.
pub struct Tracker<S> {
    /// How long a disk that refuses checkpoints is given to recover; meanwhile nothing is forgotten.
    retry: Duration,
    inner: Mutex<Inner<S>>,
    changed: Condvar,
    #[cfg(test)]
    failed_saves: std::sync::atomic::AtomicU32,
}

struct Inner<S> {
    state: S,
    /// Counts changes of `state`.
    version: u64,
    saved_version: u64,
    /// Somebody waits for this version to be on disk.
    wanted_version: u64,
    failure: Option<String>,
    /// A disk that refuses is tried again.
    outage: Option<Retrying>,
    closing: bool,
}

/// The checkpoint could not be written, so nothing more may be forgotten.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the checkpoint could not be written: {0}")]
pub struct NotSaved(String);

impl<S: State> Tracker<S> {
    pub fn new(state: S, retry: Duration) -> Tracker<S> {
        let inner = Inner {
            state,
            version: 1,
            saved_version: 0,
            wanted_version: 0,
            failure: None,
            outage: None,
            closing: false,
        };
        Tracker {
            retry,
            inner: Mutex::new(inner),
            changed: Condvar::new(),
            #[cfg(test)]
            failed_saves: std::sync::atomic::AtomicU32::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        self.inner.lock().expect("no thread panics while it holds the state")
    }

    pub fn read<T>(&self, read: impl FnOnce(&S) -> T) -> T {
        read(&self.lock().state)
    }

    /// The disk refuses, and is tried again.
    pub fn outage(&self) -> Option<Retrying> {
        self.lock().outage.clone()
    }

    /// Changes the state; it reaches the disk soon.
    pub fn update<T>(&self, change: impl FnOnce(&mut S) -> T) -> T {
        let mut inner = self.lock();
        let result = change(&mut inner.state);
        inner.version += 1;
        self.changed.notify_all();
        result
    }

    /// Changes the state and returns when the change is on disk.
    pub fn update_durably<T>(&self, change: impl FnOnce(&mut S) -> T) -> Result<T, NotSaved> {
        let mut inner = self.lock();
        let result = change(&mut inner.state);
        inner.version += 1;
        let mine = inner.version;
        inner.wanted_version = mine;
        self.changed.notify_all();
        while inner.saved_version < mine {
            if let Some(failure) = &inner.failure {
                return Err(NotSaved(failure.clone()));
            }
            inner = self.changed.wait(inner).expect("no thread panics while it holds the state");
        }
        Ok(result)
    }

    /// A window with this progress, and every window before it, has been delivered.
    pub fn delivered(&self, progress: Progress) {
        self.update(|state| state.delivered(progress));
    }

    /// Waits until `condition` holds of the state or `interrupted` says to give up; tells which.
    pub fn wait_for(&self, condition: impl Fn(&S) -> bool, interrupted: impl Fn() -> bool) -> bool {
        let mut inner = self.lock();
        loop {
            if condition(&inner.state) {
                return true;
            }
            if interrupted() || inner.failure.is_some() {
                return false;
            }
            // The time-out only serves `interrupted`, which nobody announces.
            let (next, _) = self
                .changed
                .wait_timeout(inner, Duration::from_millis(100))
                .expect("no thread panics while it holds the state");
            inner = next;
        }
    }

    /// Writes what has changed until [`Tracker::close`], and once more then. Runs on a thread of its own.
    ///
    /// A disk that refuses is tried again for as long as the task allows; not once the task `is_stopped`, when whoever stopped
    /// it waits for its end and not for the disk.
    pub fn save_loop(&self, folder: &StateFolder, is_stopped: impl Fn() -> bool) -> Result<(), StoreError> {
        let _ended = Ended(self);
        let mut journal = folder.journal();
        let mut last_save: Option<Instant> = None;
        let mut outage: Option<Retry> = None;
        let mut inner = self.lock();
        loop {
            let due = last_save.is_none_or(|at| at.elapsed() >= SAVE_INTERVAL);
            let wanted = inner.wanted_version > inner.saved_version;
            if inner.version > inner.saved_version && (due || wanted || inner.closing) {
                let version = inner.version;
                // What is on its end gets one try.
                let is_last = inner.closing || is_stopped();
                let mut changes = Changes::default();
                inner.state.tell(journal.wants_all(), &mut changes);
                drop(inner);
                let saved = journal.save(&changes);
                last_save = Some(Instant::now());
                if let Err(error) = saved {
                    #[cfg(test)]
                    self.failed_saves.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let outage = outage.get_or_insert_with(|| Retry::new(self.retry));
                    if let Some(pause) = outage.next_pause().filter(|_| !is_last) {
                        warn!(%error, retry_in_ms = pause.as_millis() as u64, "the checkpoint could not be written");
                        let (now, until, reason) = (Instant::now(), outage.until(), error.to_string());
                        let mut held = self.lock();
                        let known = held.outage.take();
                        let (since, attempts) = known.map_or((now, 0), |known| (known.since, known.attempts));
                        let (next_try, attempts) = (now + pause, attempts + 1);
                        held.outage = Some(Retrying { reason, hint: None, since, attempts, next_try, until });
                        drop(held);
                        // Whatever is delivered meanwhile can wait.
                        outage.wait(pause, || is_stopped() || self.lock().closing);
                        inner = self.lock();
                        continue;
                    }
                    self.lock().failure = Some(error.to_string());
                    self.changed.notify_all();
                    return Err(error);
                }
                inner = self.lock();
                outage = None;
                inner.outage = None;
                inner.saved_version = version;
                self.changed.notify_all();
            } else if inner.closing {
                return Ok(());
            } else {
                (inner, _) =
                    self.changed.wait_timeout(inner, SAVE_INTERVAL).expect("no thread panics while it holds the state");
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
struct Ended<'t, S>(&'t Tracker<S>);

impl<S> Drop for Ended<'_, S> {
    fn drop(&mut self) {
        let mut inner = self.0.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.failure.get_or_insert_with(|| "its thread has ended".to_owned());
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::store::{self, Stored};
    use tidegate_model::ChunkPart;
    use tidegate_model::state::Tracked;

    /// A number that is told when it has changed.
    struct Number(Tracked<u64>);

    impl State for Number {
        fn delivered(&mut self, progress: Progress) {
            let Progress::Chunks { parts, .. } = progress else { panic!("{progress:?}") };
            *self.0 = parts[0].rows;
        }

        fn written(&mut self, _: &str) {}

        fn is_loaded(&self, _: &TableName) -> bool {
            false
        }

        fn tell(&mut self, all: bool, changes: &mut Changes) {
            if self.0.take_changed() || all {
                changes.put(&("number",), &*self.0);
            }
        }
    }

    fn new(retry: Duration) -> Arc<Tracker<Number>> {
        Arc::new(Tracker::new(Number(Tracked::new(0)), retry))
    }

    fn rows(rows: u64) -> Progress {
        let parts = vec![ChunkPart { chunk: 0, rows, done: false }];
        Progress::Chunks { table: TableName::new("d", "t"), parts }
    }

    fn stored(state: &StateFolder) -> u64 {
        match store::read(state.folder()).unwrap() {
            Some(Stored::Entries(entries)) => entries.get(&("number",)).unwrap().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_updated_durably_is_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        let tracker = new(Duration::ZERO);
        std::thread::scope(|scope| {
            let saver = scope.spawn(|| tracker.save_loop(&state, || false));
            for number in 1..20 {
                tracker.update_durably(|state| *state.0 = number).unwrap();
                assert_eq!(stored(&state), number);
            }
            tracker.delivered(rows(99));
            tracker.close();
            saver.join().unwrap().unwrap();
        });
        assert_eq!(stored(&state), 99);
    }

    /// Whoever stops a task waits for its end, not for the disk, and a task that goes on tries at a pace of its own.
    #[test]
    fn a_disk_that_refuses_is_not_waited_for_after_a_stop() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        let in_the_way = folder.path().join("checkpoint.new");
        std::fs::create_dir(&in_the_way).unwrap();
        let day = Duration::from_secs(24 * 3600);
        let tracker = new(day);
        let stopped = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let saver = scope.spawn(|| tracker.save_loop(&state, || stopped.load(Ordering::Relaxed)));
            let waiter = scope.spawn(|| tracker.update_durably(|_| ()));
            while tracker.failed_saves.load(Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            // Deliveries do not make it try any sooner.
            (0..10_000).for_each(|number| tracker.delivered(rows(number)));
            assert!(tracker.failed_saves.load(Ordering::Relaxed) < 100);
            stopped.store(true, Ordering::Relaxed);
            assert!(waiter.join().unwrap().is_err());
            assert!(saver.join().unwrap().is_err());
        });

        // One that gets room again goes on.
        let tracker = new(day);
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
        let tracker = new(Duration::ZERO);
        std::thread::scope(|scope| {
            let saver = scope.spawn(|| tracker.save_loop(&state, || false));
            assert!(tracker.update_durably(|_| ()).is_err());
            assert!(saver.join().unwrap().is_err());
        });
    }
}
