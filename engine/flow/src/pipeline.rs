//! Joins the stages: each line of [`run`]'s scope is one of them.
//!
//! ```text
//! source threads ─► windows ─► dispatch ─► rayon: encode ────────────► send ─► sink
//!                   bounded       │              (all cores)            ▲        │
//!  ▲                              └── order: one slot per window ───────┘        │ deliveries,
//!  │                                  bounded                                    ▼ in order
//!  └── room ◄─────────────────────────────────────────────── tracker ◄── acknowledge
//! ```
//!
//! Windows are encoded on all cores and sent in the order in which they left the source: `dispatch` puts a slot into the
//! order queue before the work begins, and `send` waits for the slot at its head. Every queue is bounded, and a window leaves
//! its source only when there is [`room`](crate::room) for it until it is delivered, so a slow broker stops the reader and nothing grows.
//!
//! The first failure of any stage stops the source; what was under way is dropped with its deliveries unreported, and the
//! checkpoint stays before it. A stop that was asked for lets everything drain instead.
//!
//! A panic is a failure of its stage, and so is an end that nobody asked for and nobody gives a reason for: whatever happens
//! to a stage, its neighbours come to their ends, and "everything is delivered" is said only by stages that all got there.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::room::{Held, Room, Shares};
use crate::store::{StateFolder, StoreError};
use crate::tracker::{State, Tracker};
use tidegate_model::message::{Appetite, MessageWindow, TooLarge};
use tidegate_model::rate::Rate;
use tidegate_model::status::{Phase, Status};
use tidegate_model::{Progress, TableName, Window};
use tidegate_model::{Stop, Stopped};

/// Windows that wait between the source and the cores.
const WINDOWS_QUEUED: usize = 2;
/// Windows whose deliveries are awaited. Their bytes are bounded by the room; this bounds empty ones.
const DELIVERIES_QUEUED: usize = 4096;
/// How long a run that was told to stop waits for deliveries, all of them together: below the 30 s after which orchestrators kill, with
/// room for the last store of the state.
const DRAIN: Duration = Duration::from_secs(20);
/// How soon it is seen that a stop waits for a sink that does not take what it is given.
const LOOK: Duration = Duration::from_millis(500);

/// Takes windows from a source. Blocks while the pipeline is full.
#[derive(Clone)]
pub struct Emitter {
    windows: Sender<(Window, Held)>,
    room: Arc<Room>,
    status: Arc<Status>,
    stop: Stop,
}

impl Emitter {
    /// As [`Emitter::emit`], of rows of a full load.
    pub fn emit_loaded(&self, window: Window) -> Result<(), Stopped> {
        let limits = &self.status.limits;
        self.emit_within(&[&limits.full_load, &limits.all], window)
    }

    pub fn emit(&self, window: Window) -> Result<(), Stopped> {
        self.emit_within(&[&self.status.limits.all], window)
    }

    fn emit_within(&self, rates: &[&Rate], window: Window) -> Result<(), Stopped> {
        let changes = window.change_count() as u64;
        let bytes = window.changes.iter().map(|batch| batch.rows().get_array_memory_size() as u64).sum();
        rates.iter().for_each(|rate| rate.pass(changes, bytes, &self.stop, &self.status.limits.held));
        let waiting = self.status.stages.waiting.begin();
        let held = self.room.take(window.bytes)?;
        // Before it goes: no stage may seem to have had more than came to it.
        self.status.stages.read.passed(changes, bytes);
        self.windows.send((window, held)).map_err(|_| Stopped)?;
        drop(waiting);
        Ok(())
    }
}

/// What becomes of a window, which the pipeline does not know.
pub trait Stages: Sync {
    type State: State + Send;
    type Error: Send + 'static;
    /// One core's work.
    type Encode: FnOnce() -> Result<MessageWindow, Self::Error> + Send + 'static;

    /// Looks up all that encoding needs. Called on one thread, in the order of the windows; `first_id` is the first number of
    /// the window's records, of which each change and mark has two.
    fn route(&self, window: Window, first_id: u64) -> Result<Self::Encode, StageError<Self::Error>>;

    /// Called on one thread, in the order of the windows. The future resolves when every message is durable, or with the error
    /// after which none of them may be assumed delivered.
    fn send(&self, window: MessageWindow) -> Result<Delivery<Self::Error>, StageError<Self::Error>>;

    /// Why nothing can be sent any more, if so: asked while nothing is under way, which would tell.
    fn failure(&self) -> Option<Self::Error> {
        None
    }

    /// Ends what waits in [`Stages::send`] and its futures.
    fn abort(&self);

    /// What the sink can make use of, with what was routed so far.
    fn appetite(&self) -> Appetite;

    /// Nothing is under way any more; what there is to remember of that is saved behind this.
    fn ended(&self) {}
}

pub type Delivery<E> = Pin<Box<dyn Future<Output = Result<(), StageError<E>>> + Send>>;

/// Why a stage does not go on.
#[derive(Debug)]
pub enum StageError<E> {
    /// Another one has ended, or was told to; that one's reason is the one to report.
    Stopped,
    Failed(E),
}

impl<E> From<E> for StageError<E> {
    fn from(error: E) -> StageError<E> {
        StageError::Failed(error)
    }
}

/// Why a run ended before its source did.
#[derive(Debug)]
pub enum RunError<E> {
    Stage(E),
    Fault(PipelineFault),
}

impl<E> From<PipelineFault> for RunError<E> {
    fn from(fault: PipelineFault) -> RunError<E> {
        RunError::Fault(fault)
    }
}

/// What no stage gave as its reason.
#[derive(Debug, thiserror::Error)]
pub enum PipelineFault {
    #[error("could not start threads: {0}")]
    Threads(rayon::ThreadPoolBuildError),
    #[error("could not start a thread: {0}")]
    Thread(std::io::Error),
    #[error("the thread \"{stage}\" has panicked")]
    Panicked { stage: &'static str },
    #[error("the thread \"{stage}\" has ended without a reason")]
    Ended { stage: &'static str },
    #[error("could not start the runtime: {0}")]
    Runtime(std::io::Error),
    #[error("messages were still undelivered {seconds} s after the stop; they will be sent again by the next run")]
    NotDrained { seconds: u64 },
    #[error(transparent)]
    Saving(#[from] StoreError),
}

/// What the stages of one run share.
pub struct Pipeline<S: Stages> {
    pub stages: S,
    pub tracker: Arc<Tracker<S::State>>,
    pub status: Arc<Status>,
    pub stop: Stop,
    pub encode_threads: usize,
    pub shares: Shares,
}

/// How memory is divided among readers that gather windows at the same time and threads that encode them.
pub fn shares(memory_bytes: u64, readers: usize, encode_threads: usize) -> Shares {
    // One more waits in `dispatch`, one in the queue of those that are done.
    Shares::new(memory_bytes, readers, WINDOWS_QUEUED + encode_threads + 2)
}

/// How a stage ended that did not do its work.
enum End<E> {
    Stopped,
    Failed(RunError<E>),
}

impl<E> From<StageError<E>> for End<E> {
    fn from(error: StageError<E>) -> End<E> {
        match error {
            StageError::Stopped => End::Stopped,
            StageError::Failed(error) => End::Failed(RunError::Stage(error)),
        }
    }
}

impl<E> From<PipelineFault> for End<E> {
    fn from(fault: PipelineFault) -> End<E> {
        End::Failed(fault.into())
    }
}

type Encoded<E> = Result<Ready, End<E>>;

/// An encoded window.
struct Ready {
    window: MessageWindow,
    held: Held,
    /// See [`Window::committed_us`].
    committed_us: u64,
}

/// A window on its way, and what it counts for once it is delivered.
struct Pending<E> {
    delivery: Delivery<E>,
    held: Held,
    committed_us: u64,
    progress: Option<Progress>,
    /// One for each batch.
    topics: Vec<Arc<str>>,
    messages: u64,
    bytes: u64,
    too_large: Vec<(TableName, TooLarge)>,
}

/// Runs `source` on this thread until it ends, everything that it emitted is delivered and the state on disk says so.
///
/// A source that is told to stop returns `Ok`. The error is the first that any stage met.
pub fn run<S: Stages>(
    pipeline: &Pipeline<S>,
    state: &StateFolder,
    source: impl FnOnce(&Emitter) -> Result<(), StageError<S::Error>>,
) -> Result<(), RunError<S::Error>> {
    let failure = Failure { noted: Mutex::default(), stop: pipeline.stop.clone() };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(pipeline.encode_threads)
        .thread_name(|index| format!("encode-{index}"))
        .build()
        .map_err(PipelineFault::Threads)?;
    let (windows_in, windows) = bounded(WINDOWS_QUEUED);
    let (order_in, order) = bounded(pipeline.encode_threads + 1);
    let (pending_in, pending) = bounded(DELIVERIES_QUEUED);
    let room = Arc::new(Room::new(pipeline.shares, pipeline.status.clone()));
    count_places(pipeline);
    let stages = &pipeline.stages;
    room.fit(stages.appetite());
    std::thread::scope(|scope| {
        let (failure, room) = (&failure, &room);
        let save =
            || Ok(pipeline.tracker.save_loop(state, || pipeline.stop.is_final()).map_err(PipelineFault::from)?);
        let Some(saver) = start(scope, "save", failure, save) else { return };
        let threads = [
            start(scope, DISPATCH, failure, || {
                let _ends = Closes(room);
                dispatch(windows, order_in, pipeline, room, &pool)
            }),
            start(scope, SEND, failure, || {
                let _ends = Closes(room);
                send(order, pending_in, pipeline)
            }),
            // Without it, whoever waits for room in the sink would wait for ever.
            start(scope, ACKNOWLEDGE, failure, || {
                let _ends = Closes(room);
                caught(ACKNOWLEDGE, || acknowledge(pending, pipeline)).inspect_err(|_| stages.abort())
            }),
        ];
        let (status, stop) = (pipeline.status.clone(), pipeline.stop.clone());
        let emitter = Emitter { windows: windows_in, room: room.clone(), status, stop };
        if threads.iter().all(Option::is_some) {
            failure.note(SOURCE, caught(SOURCE, || Ok(source(&emitter)?)));
        }
        pipeline.status.set_phase(Phase::Draining);
        // Without its last emitter the stages end one after the other, each after its last window.
        drop(emitter);
        for thread in threads.into_iter().flatten() {
            thread.join().expect("panics have been caught");
        }
        stages.ended();
        pipeline.tracker.close();
        saver.join().expect("panics have been caught");
    });
    failure.into_result()
}

/// How many windows each stage can have, for whoever watches.
fn count_places<S: Stages>(pipeline: &Pipeline<S>) {
    let (stages, threads) = (&pipeline.status.stages, pipeline.encode_threads);
    stages.encode_threads.store(threads, Relaxed);
    stages.readers.store(pipeline.shares.readers, Relaxed);
    // Those that wait, one in `dispatch`, and one for each core; what is encoded waits for its turn besides.
    stages.encode.capacity.store(WINDOWS_QUEUED + 1 + threads, Relaxed);
    stages.send.capacity.store(threads + 1, Relaxed);
    pipeline.status.memory.budget.store(pipeline.shares.memory as u64, Relaxed);
}

const SOURCE: &str = "source";
const DISPATCH: &str = "dispatch";
const SEND: &str = "send";
const ACKNOWLEDGE: &str = "acknowledge";
/// As windows pass them.
const STAGES: [&str; 4] = [SOURCE, DISPATCH, SEND, ACKNOWLEDGE];

/// Starts a stage. One that cannot be started drops its ends of the queues, as one that has failed does.
fn start<'scope, E: Send>(
    scope: &'scope Scope<'scope, '_>,
    name: &'static str,
    failure: &'scope Failure<E>,
    stage: impl FnOnce() -> Result<(), End<E>> + Send + 'scope,
) -> Option<ScopedJoinHandle<'scope, ()>> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    let thread = thread.spawn_scoped(scope, move || failure.note(name, caught(name, stage)));
    thread.map_err(|error| failure.note(name, Err(PipelineFault::Thread(error).into()))).ok()
}

/// A panic as an error. What the stage shares with others is behind locks, which are poisoned then.
fn caught<T, E>(stage: &'static str, run: impl FnOnce() -> Result<T, End<E>>) -> Result<T, End<E>> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(Err(PipelineFault::Panicked { stage }.into()))
}

/// A stage ends behind the last window, or because it failed: then nothing makes room any more.
struct Closes<'a>(&'a Room);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Keeps the first error and stops the source.
struct Failure<E> {
    noted: Mutex<Noted<E>>,
    stop: Stop,
}

struct Noted<E> {
    first: Option<RunError<E>>,
    /// The last of the stages that ended because another one had, or by themselves: those before it notice that it has gone, and may say so
    /// sooner.
    ended: Option<&'static str>,
}

impl<E> Default for Noted<E> {
    fn default() -> Noted<E> {
        Noted { first: None, ended: None }
    }
}

impl<E> Failure<E> {
    fn note(&self, stage: &'static str, result: Result<(), End<E>>) {
        if let Err(end) = result {
            let mut noted = self.noted.lock().expect("nobody panics while noting");
            match end {
                // The source ends so when it is told to stop, or is interrupted.
                End::Stopped if stage == SOURCE => return self.stop.interrupt(),
                // It merely noticed that its neighbour has gone, which is to say why.
                End::Stopped => {
                    let place = |stage: &str| STAGES.iter().position(|other| *other == stage);
                    noted.ended = noted.ended.into_iter().chain([stage]).max_by_key(|stage| place(stage));
                }
                End::Failed(error) => _ = noted.first.get_or_insert(error),
            }
            self.stop.stop();
        }
    }

    fn into_result(self) -> Result<(), RunError<E>> {
        let Noted { first, ended } = self.noted.into_inner().expect("nobody panics while noting");
        match (first, ended) {
            (Some(error), _) => Err(error),
            (None, Some(stage)) => Err(PipelineFault::Ended { stage }.into()),
            (None, None) => Ok(()),
        }
    }
}

fn dispatch<S: Stages>(
    windows: Receiver<(Window, Held)>,
    order: Sender<Receiver<Encoded<S::Error>>>,
    pipeline: &Pipeline<S>,
    room: &Room,
    pool: &rayon::ThreadPool,
) -> Result<(), End<S::Error>> {
    let stages = &pipeline.stages;
    // Records are numbered from the time of the start on, so that numbers also grow from run to run, unless a run sends
    // half a million changes a second from its first to its last.
    let mut next_id = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
    for (window, mut held) in windows {
        let (ids, committed_us) = (2 * u64::from(window.sequence_end()), window.committed_us);
        let encode = stages.route(window, next_id)?;
        next_id += ids;
        // It may have been the first for its topic.
        room.fit(stages.appetite());
        let (done, slot) = bounded(1);
        order.send(slot).map_err(|_| End::Stopped)?;
        let status = pipeline.status.clone();
        pool.spawn(move || {
            // Nobody waits for the slot if the pipeline has failed meanwhile.
            let _ = done.send(caught("encode", || {
                let counts = &status.stages.encode;
                let _busy = counts.busy.begin();
                let window = encode().map_err(StageError::Failed)?;
                held.settle(&window);
                counts.passed(window.message_count() as u64, window.byte_size() as u64);
                Ok(Ready { window, held, committed_us })
            }));
        });
    }
    Ok(())
}

fn send<S: Stages>(
    order: Receiver<Receiver<Encoded<S::Error>>>,
    pending: Sender<Pending<S::Error>>,
    pipeline: &Pipeline<S>,
) -> Result<(), End<S::Error>> {
    let counts = &pipeline.status.stages.send;
    for slot in order {
        let Ready { mut window, held, committed_us } = slot.recv().map_err(|_| End::Stopped)??;
        let (messages, bytes) = (window.message_count() as u64, window.byte_size() as u64);
        let (progress, too_large) = (window.progress.take(), std::mem::take(&mut window.too_large));
        let topics =
            window.batches.iter().filter(|batch| !batch.values.is_empty()).map(|batch| batch.topic.clone()).collect();
        let busy = counts.busy.begin();
        let delivery = pipeline.stages.send(window)?;
        drop(busy);
        let window = Pending { delivery, held, committed_us, progress, topics, messages, bytes, too_large };
        counts.passed(messages, bytes);
        pending.send(window).map_err(|_| End::Stopped)?;
    }
    Ok(())
}

fn acknowledge<S: Stages>(pending: Receiver<Pending<S::Error>>, pipeline: &Pipeline<S>) -> Result<(), End<S::Error>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(PipelineFault::Runtime)?;
    let mut written: HashSet<Arc<str>> = HashSet::new();
    let counts = &pipeline.status.stages.deliver;
    let mut drained_until = None;
    let mut drains_until = || *drained_until.get_or_insert_with(|| Instant::now() + DRAIN);
    let not_drained = || End::from(PipelineFault::NotDrained { seconds: DRAIN.as_secs() });
    loop {
        let next = match pending.recv_timeout(LOOK) {
            Ok(next) => next,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            // A sink may wait for brokers while it takes a window, too.
            Err(RecvTimeoutError::Timeout) => {
                let waits = pipeline.stop.is_final() && pipeline.status.stages.send.busy.is_under_way();
                if waits && Instant::now() >= drains_until() {
                    return Err(not_drained());
                }
                if let Some(error) = pipeline.stages.failure() {
                    return Err(StageError::Failed(error).into());
                }
                continue;
            }
        };
        let Pending { mut delivery, held, committed_us, progress, topics, messages, bytes, too_large } = next;
        let busy = counts.busy.begin();
        runtime.block_on(async {
            let undrained = async {
                pipeline.stop.stopped().await;
                tokio::time::sleep_until(drains_until().into()).await;
            };
            tokio::select! {
                biased;
                delivered = &mut delivery => Ok(delivered?),
                () = undrained => Err(not_drained()),
            }
        })?;
        drop((held, busy));
        for topic in topics {
            if !written.contains(&topic) {
                pipeline.tracker.update(|state| state.written(&topic));
                written.insert(topic);
            }
        }
        pipeline.status.were_too_large(&too_large);
        if let Some(progress) = &progress {
            // Both or neither: what a crash repeats is counted once.
            pipeline.tracker.update(|state| {
                state.too_large(&too_large);
                state.delivered(progress.clone());
            });
        }
        // Behind the position, so that whoever sees the window sees where it ends.
        if committed_us > 0 {
            pipeline.status.following.delivered_us.store(committed_us, Relaxed);
        }
        counts.passed(messages, bytes);
        let Some(progress) = progress else { continue };
        if let Progress::Chunks { table, parts } = progress {
            let (rows, done) =
                (parts.iter().map(|part| part.rows).sum(), parts.iter().filter(|part| part.done).count() as u64);
            let table_done = done > 0 && pipeline.tracker.read(|state| state.is_loaded(&table));
            pipeline.status.table_delivered(&table, rows, done, table_done);
        }
    }
}
