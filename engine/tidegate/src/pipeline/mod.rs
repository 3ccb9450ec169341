//! Joins the stages: each line of [`run`]'s scope is one of them.
//!
//! ```text
//! source threads ─► windows ─► dispatch ─► rayon: transform, encode ─► send ─► sink
//!                   bounded       │              (all cores)            ▲        │
//!  ▲                              └── order: one slot per window ───────┘        │ deliveries,
//!  │                                  bounded                                    ▼ in order
//!  └── room ◄─────────────────────────────────────────────── tracker ◄── acknowledge
//! ```
//!
//! Windows are encoded on all cores and sent in the order in which they left the source: `dispatch` puts a slot into the
//! order queue before the work begins, and `send` waits for the slot at its head. Every queue is bounded, and a window leaves
//! its source only when there is [`room`] for it until it is delivered, so a slow broker stops the reader and nothing grows.
//!
//! The first failure of any stage stops the source; what was under way is dropped with its deliveries unreported, and the
//! checkpoint stays before it. A stop that was asked for lets everything drain instead.
//!
//! A panic is a failure of its stage, and so is an end that nobody asked for and nobody gives a reason for: whatever happens
//! to a stage, its neighbours come to their ends, and "everything is delivered" is said only by stages that all got there.

pub mod room;
pub mod route;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::checkpoint::{CheckpointError, Tracker};
use crate::config::Task;
use crate::error::Error;
use room::{Held, Room, Shares};
use route::{Routed, Router};
use tidegate_flow::store::StateFolder;
use tidegate_model::message::MessageWindow;
use tidegate_model::status::{Phase, Status};
use tidegate_model::{ChangeBatch, Progress, Window};
use tidegate_model::{Stop, Stopped};
use tidegate_sink::{Delivery, Sink, SinkError, Topics};

/// Windows that wait between the source and the cores.
const WINDOWS_QUEUED: usize = 2;
/// Windows whose deliveries are awaited. Their bytes are bounded by the room; this bounds empty ones.
const DELIVERIES_QUEUED: usize = 4096;
/// How long a run that was told to stop waits for the next delivery.
const DRAIN: Duration = Duration::from_secs(30);

/// Takes windows from a source. Blocks while the pipeline is full.
#[derive(Clone)]
pub struct Emitter {
    windows: Sender<(Window, Held)>,
    room: Arc<Room>,
    status: Arc<Status>,
}

impl Emitter {
    pub fn emit(&self, window: Window) -> Result<(), Stopped> {
        let rows = window.row_count();
        self.status.rows_read.fetch_add(rows as u64, Ordering::Relaxed);
        if let Some(run) = window.changes.last().and_then(|batch: &ChangeBatch| batch.events().last()) {
            self.status.event_time_s.store(u64::from(run.meta.timestamp_s), Ordering::Relaxed);
        }
        let held = self.room.take(window.bytes)?;
        self.windows.send((window, held)).map_err(|_| Stopped)
    }
}

/// What the stages of one run share.
pub struct Pipeline {
    pub router: Arc<Router>,
    pub sink: Arc<Mutex<Box<dyn Sink>>>,
    pub tracker: Arc<Tracker>,
    pub status: Arc<Status>,
    pub stop: Stop,
    pub encode_threads: usize,
    pub shares: Shares,
}

/// How a task's memory is divided: `readers` gather windows at the same time.
pub fn shares(task: &Task) -> Shares {
    let readers = task.full_load.as_ref().map_or(1, |options| options.parallel.get());
    // One more waits in `dispatch`, one in the queue of those that are done.
    Shares::new(task.memory_bytes, readers, WINDOWS_QUEUED + task.threads.get() + 2)
}

type Encoded = Result<(MessageWindow, Held), Error>;

/// A window on its way, and what it counts for once it is delivered.
struct Pending {
    delivery: Delivery,
    held: Held,
    progress: Option<Progress>,
    /// One for each batch.
    topics: Vec<Arc<str>>,
    messages: u64,
    bytes: u64,
}

/// Runs `source` on this thread until it ends, everything that it emitted is delivered and the checkpoint says so.
///
/// A source that is told to stop returns `Ok`. The error is the first that any stage met.
pub fn run(
    pipeline: &Pipeline,
    state: &StateFolder,
    source: impl FnOnce(&Emitter) -> Result<(), Error>,
) -> Result<(), Error> {
    let failure = Failure { noted: Mutex::default(), stop: pipeline.stop.clone() };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(pipeline.encode_threads)
        .thread_name(|index| format!("encode-{index}"))
        .build()
        .map_err(Error::Threads)?;
    let (windows_in, windows) = bounded(WINDOWS_QUEUED);
    let (order_in, order) = bounded(pipeline.encode_threads + 1);
    let (pending_in, pending) = bounded(DELIVERIES_QUEUED);
    let room = Arc::new(Room::new(pipeline.shares));
    let topics = pipeline.sink.lock().expect("sinks do not panic").topics();
    room.fit(topics.appetite());
    let abort = pipeline.sink.lock().expect("sinks do not panic").aborter();
    std::thread::scope(|scope| {
        let (failure, room) = (&failure, &room);
        let save =
            || Ok(pipeline.tracker.save_loop(state, || pipeline.stop.is_stopped()).map_err(CheckpointError::from)?);
        let Some(saver) = start(scope, "save", failure, save) else { return };
        let stages = [
            start(scope, "dispatch", failure, || {
                let _ends = Closes(room);
                dispatch(windows, order_in, &pipeline.router, &*topics, room, &pool)
            }),
            start(scope, "send", failure, || {
                let _ends = Closes(room);
                send(order, pending_in, &pipeline.sink)
            }),
            // Without it, whoever waits for room in the sink would wait for ever.
            start(scope, "acknowledge", failure, || {
                let _ends = Closes(room);
                caught("acknowledge", || acknowledge(pending, pipeline)).inspect_err(|_| abort())
            }),
        ];
        let emitter = Emitter { windows: windows_in, room: room.clone(), status: pipeline.status.clone() };
        if stages.iter().all(Option::is_some) {
            failure.note(SOURCE, caught(SOURCE, || source(&emitter)));
        }
        pipeline.status.set_phase(Phase::Draining);
        // Without its last emitter the stages end one after the other, each after its last window.
        drop(emitter);
        for stage in stages.into_iter().flatten() {
            stage.join().expect("panics have been caught");
        }
        pipeline.tracker.close();
        saver.join().expect("panics have been caught");
    });
    failure.into_result()
}

const SOURCE: &str = "source";

/// Starts a stage. One that cannot be started drops its ends of the queues, as one that has failed does.
fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &'static str,
    failure: &'scope Failure,
    stage: impl FnOnce() -> Result<(), Error> + Send + 'scope,
) -> Option<ScopedJoinHandle<'scope, ()>> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    let thread = thread.spawn_scoped(scope, move || failure.note(name, caught(name, stage)));
    thread.map_err(|error| failure.note(name, Err(Error::Thread(error)))).ok()
}

/// A panic as an error. What the stage shares with others is behind locks, which are poisoned then.
fn caught<T>(stage: &'static str, run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(Err(Error::Panicked { stage }))
}

/// A stage ends behind the last window, or because it failed: then nothing makes room any more.
struct Closes<'a>(&'a Room);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Keeps the first error and stops the source.
struct Failure {
    noted: Mutex<Noted>,
    stop: Stop,
}

#[derive(Default)]
struct Noted {
    first: Option<Error>,
    /// A stage that ended because another one had.
    ended: Option<&'static str>,
}

impl Failure {
    fn note(&self, stage: &'static str, result: Result<(), Error>) {
        if let Err(error) = result {
            let mut noted = self.noted.lock().expect("nobody panics while noting");
            match error {
                // The source ends so when it is told to stop.
                Error::Stopped if stage == SOURCE => {}
                // It merely noticed that its neighbour has gone, which is to say why.
                Error::Stopped | Error::Sink(SinkError::Stopped) => _ = noted.ended.get_or_insert(stage),
                error => _ = noted.first.get_or_insert(error),
            }
            self.stop.stop();
        }
    }

    fn into_result(self) -> Result<(), Error> {
        let Noted { first, ended } = self.noted.into_inner().expect("nobody panics while noting");
        match (first, ended) {
            (Some(error), _) => Err(error),
            (None, Some(stage)) => Err(Error::Ended { stage }),
            (None, None) => Ok(()),
        }
    }
}

fn dispatch(
    windows: Receiver<(Window, Held)>,
    order: Sender<Receiver<Encoded>>,
    router: &Arc<Router>,
    topics: &dyn Topics,
    room: &Room,
    pool: &rayon::ThreadPool,
) -> Result<(), Error> {
    // Records are numbered from the time of the start on, so that numbers also grow from run to run, unless a run sends
    // half a million changes a second from its first to its last.
    let mut next_id = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
    for (window, mut held) in windows {
        let routed = Routed {
            routes: router.routes(&window)?,
            mark_routes: router.mark_routes(&window)?,
            first_id: next_id,
            window,
        };
        router.save_topics()?;
        next_id += 2 * u64::from(routed.window.sequence_end());
        // It may have been the first for its topic.
        room.fit(topics.appetite());
        let router = router.clone();
        let (done, slot) = bounded(1);
        order.send(slot).map_err(|_| Error::Stopped)?;
        pool.spawn(move || {
            // Nobody waits for the slot if the pipeline has failed meanwhile.
            let _ = done.send(caught("encode", || {
                let window = route::encode_window(&router, routed)?;
                held.settle(&window);
                Ok((window, held))
            }));
        });
    }
    Ok(())
}

fn send(
    order: Receiver<Receiver<Encoded>>,
    pending: Sender<Pending>,
    sink: &Mutex<Box<dyn Sink>>,
) -> Result<(), Error> {
    for slot in order {
        let (mut window, held) = slot.recv().map_err(|_| Error::Stopped)??;
        let (messages, bytes) = (window.message_count() as u64, window.byte_size() as u64);
        let progress = window.progress.take();
        let topics =
            window.batches.iter().filter(|batch| !batch.values.is_empty()).map(|batch| batch.topic.clone()).collect();
        let delivery = sink.lock().expect("sinks do not panic").send(window)?;
        let window = Pending { delivery, held, progress, topics, messages, bytes };
        pending.send(window).map_err(|_| Error::Stopped)?;
    }
    Ok(())
}

fn acknowledge(pending: Receiver<Pending>, pipeline: &Pipeline) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(Error::Runtime)?;
    let mut written: HashSet<Arc<str>> = HashSet::new();
    for Pending { mut delivery, held, progress, topics, messages, bytes } in pending {
        runtime.block_on(async {
            let undrained = async {
                pipeline.stop.stopped().await;
                tokio::time::sleep(DRAIN).await;
            };
            tokio::select! {
                biased;
                delivered = &mut delivery => delivered.map_err(|_| Error::Stopped)?.map_err(Error::from),
                () = undrained => Err(Error::NotDrained { seconds: DRAIN.as_secs() }),
            }
        })?;
        drop(held);
        pipeline.status.messages.fetch_add(messages, Ordering::Relaxed);
        pipeline.status.message_bytes.fetch_add(bytes, Ordering::Relaxed);
        for topic in topics {
            if !written.contains(&topic) {
                pipeline.tracker.update(|checkpoint| checkpoint.topic_written(&topic));
                written.insert(topic);
            }
        }
        let Some(progress) = progress else { continue };
        pipeline.tracker.delivered(progress.clone());
        if let Progress::Chunks { table, parts } = progress {
            let (rows, done) =
                (parts.iter().map(|part| part.rows).sum(), parts.iter().filter(|part| part.done).count() as u64);
            let table_done = done > 0 && pipeline.tracker.read(|checkpoint| checkpoint.is_loaded(&table));
            pipeline.status.table_delivered(&table, rows, done, table_done);
        }
    }
    Ok(())
}
