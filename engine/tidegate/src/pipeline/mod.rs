//! Joins the stages: each line of [`run`]'s scope is one of them.
//!
//! ```text
//! source threads ─► windows ─► dispatch ─► rayon: transform, encode ─► send ─► sink
//!                   bounded       │              (all cores)            ▲        │
//!                                 └── order: one slot per window ───────┘        │ deliveries,
//!                                     bounded                                    ▼ in order
//!                                                              tracker ◄── acknowledge
//! ```
//!
//! Windows are encoded on all cores and sent in the order in which they left the source: `dispatch` puts a slot into the
//! order queue before the work begins, and `send` waits for the slot at its head. Every queue is bounded and the sink
//! blocks while it holds its share of the memory budget, so a slow broker stops the reader and nothing grows.
//!
//! The first failure of any stage stops the source; what was under way is dropped with its deliveries unreported, and the
//! checkpoint stays before it. A stop that was asked for lets everything drain instead.

pub mod route;
pub mod tracker;

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::checkpoint::StateFolder;
use crate::error::Error;
use route::{RouteError, Routed, Router};
use tidegate_model::message::MessageWindow;
use tidegate_model::status::{Phase, Status};
use tidegate_model::{ChangeBatch, Progress, Window};
use tidegate_model::{Stop, Stopped};
use tidegate_sink::{Delivery, Sink, SinkError};
use tracker::Tracker;

/// Windows that wait between the source and the cores.
const WINDOWS_QUEUED: usize = 2;
/// Windows whose deliveries are awaited. Their bytes are bounded by the sink; this bounds empty ones.
const DELIVERIES_QUEUED: usize = 4096;
/// How long a run that was told to stop waits for the next delivery.
const DRAIN: Duration = Duration::from_secs(30);

/// Takes windows from a source. Blocks while the pipeline is full.
#[derive(Clone)]
pub struct Emitter {
    windows: Sender<Window>,
    status: Arc<Status>,
}

impl Emitter {
    pub fn emit(&self, window: Window) -> Result<(), Stopped> {
        let rows = window.row_count();
        self.status.rows_read.fetch_add(rows as u64, Ordering::Relaxed);
        if let Some(run) = window.changes.last().and_then(|batch: &ChangeBatch| batch.events().last()) {
            self.status.event_time_s.store(u64::from(run.meta.timestamp_s), Ordering::Relaxed);
        }
        self.windows.send(window).map_err(|_| Stopped)
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
}

type Encoded = Result<MessageWindow, RouteError>;

/// A window on its way, and what it counts for once it is delivered.
struct Pending {
    delivery: Delivery,
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
    let failure = Failure { first: Mutex::new(None), stop: pipeline.stop.clone() };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(pipeline.encode_threads)
        .thread_name(|index| format!("encode-{index}"))
        .build()
        .map_err(Error::Threads)?;
    let (windows_in, windows) = bounded(WINDOWS_QUEUED);
    let (order_in, order) = bounded(pipeline.encode_threads + 1);
    let (pending_in, pending) = bounded(DELIVERIES_QUEUED);
    let abort = pipeline.sink.lock().expect("sinks do not panic").aborter();
    std::thread::scope(|scope| {
        let saver = scope.spawn(|| failure.note(pipeline.tracker.save_loop(state).map_err(Error::from)));
        let dispatcher = scope.spawn(|| failure.note(dispatch(windows, order_in, &pipeline.router, &pool)));
        let sender = scope.spawn(|| failure.note(send(order, pending_in, &pipeline.sink)));
        let acknowledger = scope.spawn(|| failure.note(acknowledge(pending, pipeline).inspect_err(|_| abort())));
        let emitter = Emitter { windows: windows_in, status: pipeline.status.clone() };
        failure.note(source(&emitter));
        pipeline.status.set_phase(Phase::Draining);
        // Without its last emitter the stages end one after the other, each after its last window.
        drop(emitter);
        for stage in [dispatcher, sender, acknowledger] {
            stage.join().expect("stages report errors, they do not panic");
        }
        pipeline.tracker.close();
        saver.join().expect("stages report errors, they do not panic");
    });
    failure.first.into_inner().expect("nobody panics while noting").map_or(Ok(()), Err)
}

/// Keeps the first error and stops the source.
struct Failure {
    first: Mutex<Option<Error>>,
    stop: Stop,
}

impl Failure {
    fn note(&self, result: Result<(), Error>) {
        if let Err(error) = result {
            let mut first = self.first.lock().expect("nobody panics while noting");
            // Other stages merely notice that their neighbour has gone.
            if !matches!(error, Error::Stopped | Error::Sink(SinkError::Stopped)) {
                first.get_or_insert(error);
            }
            self.stop.stop();
        }
    }
}

fn dispatch(
    windows: Receiver<Window>,
    order: Sender<Receiver<Encoded>>,
    router: &Arc<Router>,
    pool: &rayon::ThreadPool,
) -> Result<(), Error> {
    // Records are numbered from the time of the start on, so that numbers also grow from run to run, unless a run sends
    // half a million changes a second from its first to its last.
    let mut next_id = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
    for window in windows {
        let routed = Routed {
            routes: router.routes(&window)?,
            mark_routes: router.mark_routes(&window)?,
            first_id: next_id,
            window,
        };
        next_id += 2 * u64::from(routed.window.sequence_end());
        let router = router.clone();
        let (done, slot) = bounded(1);
        order.send(slot).map_err(|_| Error::Stopped)?;
        pool.spawn(move || {
            // Nobody waits for the slot if the pipeline has failed meanwhile.
            let _ = done.send(route::encode_window(&router, routed));
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
        let mut window = slot.recv().map_err(|_| Error::Stopped)??;
        let (messages, bytes) = (window.message_count() as u64, window.byte_size() as u64);
        let progress = window.progress.take();
        let topics =
            window.batches.iter().filter(|batch| !batch.values.is_empty()).map(|batch| batch.topic.clone()).collect();
        let delivery = sink.lock().expect("sinks do not panic").send(window)?;
        let window = Pending { delivery, progress, topics, messages, bytes };
        pending.send(window).map_err(|_| Error::Stopped)?;
    }
    Ok(())
}

fn acknowledge(pending: Receiver<Pending>, pipeline: &Pipeline) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(Error::Runtime)?;
    let mut written: HashSet<Arc<str>> = HashSet::new();
    for Pending { mut delivery, progress, topics, messages, bytes } in pending {
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
        if let Progress::Chunk { table, rows, done, .. } = progress {
            let table_done = done && pipeline.tracker.is_loaded(&table);
            pipeline.status.table_delivered(&table, rows, done, table_done);
        }
    }
    Ok(())
}
