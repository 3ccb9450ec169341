//! What becomes of a run when one of its stages does not end as it should: it ends, and says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::pipeline::{Delivery, Emitter, Pipeline, PipelineFault, RunError, StageError, Stages, run};
use crate::room::Shares;
use crate::store::{self, StateFolder, Stored};
use crate::tracker::{State, Tracker};
use tidegate_model::message::{Appetite, MessageWindow};
use tidegate_model::state::{Changes, Tracked};
use tidegate_model::status::Status;
use tidegate_model::{Coordinate, Position, Progress, Stop, TableName, Window};

type Error = &'static str;

/// The offset that was delivered last.
struct Offset(Tracked<Option<u64>>);

impl State for Offset {
    fn delivered(&mut self, progress: Progress) {
        let Progress::Position(position) = progress else { panic!("{progress:?}") };
        *self.0 = Some(position.coordinate.offset);
    }

    fn written(&mut self, _: &str) {}

    fn is_loaded(&self, _: &TableName) -> bool {
        false
    }

    fn tell(&mut self, all: bool, changes: &mut Changes) {
        if self.0.take_changed() || all {
            changes.put(&("offset",), &*self.0);
        }
    }
}

/// What becomes of the second window; the first one is delivered.
#[derive(Clone, Copy)]
enum Odd {
    Delivered,
    RoutePanics,
    EncodeFails,
    SendPanics,
    SendStops,
    DeliveryStops,
    DeliveryFails,
}

struct OddStages {
    odd: Odd,
    routed: AtomicU32,
    sent: AtomicU32,
}

impl Stages for OddStages {
    type State = Offset;
    type Error = Error;
    type Encode = Box<dyn FnOnce() -> Result<MessageWindow, Error> + Send>;

    fn route(&self, window: Window, _: u64) -> Result<Self::Encode, StageError<Error>> {
        let is_second = self.routed.fetch_add(1, Ordering::Relaxed) == 1;
        assert!(!is_second || !matches!(self.odd, Odd::RoutePanics), "as the test wants it");
        let fails = is_second && matches!(self.odd, Odd::EncodeFails);
        Ok(Box::new(move || match fails {
            true => Err("encode"),
            false => Ok(MessageWindow { batches: Vec::new(), progress: window.progress, ..MessageWindow::default() }),
        }))
    }

    fn send(&self, _: MessageWindow) -> Result<Delivery<Error>, StageError<Error>> {
        let odd = if self.sent.fetch_add(1, Ordering::Relaxed) == 1 { self.odd } else { Odd::Delivered };
        match odd {
            Odd::SendPanics => panic!("as the test wants it"),
            Odd::SendStops => Err(StageError::Stopped),
            Odd::DeliveryStops => Ok(Box::pin(async { Err(StageError::Stopped) })),
            Odd::DeliveryFails => Ok(Box::pin(async { Err(StageError::Failed("delivery")) })),
            Odd::Delivered | Odd::RoutePanics | Odd::EncodeFails => Ok(Box::pin(async { Ok(()) })),
        }
    }

    fn abort(&self) {}

    fn appetite(&self) -> Appetite {
        Appetite::default()
    }
}

fn window(offset: u64) -> Window {
    let position = Position::new(Coordinate::new("b.000001", offset), None);
    Window { progress: Some(Progress::Position(position)), ..Window::default() }
}

/// Runs a source; how it ended, and the offset on disk.
fn run_with(
    odd: Odd,
    source: impl FnOnce(&Emitter) -> Result<(), StageError<Error>>,
) -> (Result<(), RunError<Error>>, Option<u64>) {
    let folder = tempfile::tempdir().unwrap();
    let state = StateFolder::open(folder.path()).unwrap();
    let pipeline = Pipeline {
        stages: OddStages { odd, routed: AtomicU32::new(0), sent: AtomicU32::new(0) },
        tracker: Arc::new(Tracker::new(Offset(Tracked::new(None)), Duration::ZERO)),
        status: Arc::new(Status::default()),
        stop: Stop::default(),
        encode_threads: 2,
        shares: Shares::new(64 << 20, 1, 5),
    };
    let result = run(&pipeline, &state, source);
    let Some(Stored::Entries(entries)) = store::read(folder.path()).unwrap() else { panic!("nothing is stored") };
    (result, entries.get(&("offset",)).unwrap().unwrap())
}

/// Emits until nobody takes anything any more.
fn endless(emitter: &Emitter) -> Result<(), StageError<Error>> {
    let mut offset = 0;
    while emitter.emit(window(offset)).is_ok() {
        offset += 1;
    }
    Ok(())
}

#[test]
fn what_is_emitted_is_delivered_and_stored() {
    let (result, stored) = run_with(Odd::Delivered, |emitter| {
        (0..=7).try_for_each(|offset| emitter.emit(window(offset))).map_err(|_| StageError::Stopped)
    });
    assert!(result.is_ok());
    assert_eq!(stored, Some(7));
}

/// A thread that cannot be started is a panic of whoever wants to start it.
#[test]
fn a_source_that_panics_ends_the_run() {
    let (result, stored) = run_with(Odd::Delivered, |emitter| {
        emitter.emit(window(3)).unwrap();
        panic!("as the test wants it")
    });
    assert!(matches!(result, Err(RunError::Fault(PipelineFault::Panicked { stage: "source" }))), "{result:?}");
    assert_eq!(stored, Some(3));
}

#[test]
fn a_stage_that_panics_ends_the_run() {
    let (result, stored) = run_with(Odd::SendPanics, endless);
    assert!(matches!(result, Err(RunError::Fault(PipelineFault::Panicked { stage: "send" }))), "{result:?}");
    assert_eq!(stored, Some(0));
    let (result, _) = run_with(Odd::RoutePanics, endless);
    assert!(matches!(result, Err(RunError::Fault(PipelineFault::Panicked { stage: "dispatch" }))), "{result:?}");
}

#[test]
fn a_stage_that_fails_ends_the_run_with_its_reason() {
    let (result, stored) = run_with(Odd::EncodeFails, endless);
    assert!(matches!(result, Err(RunError::Stage("encode"))), "{result:?}");
    assert_eq!(stored, Some(0));
    let (result, stored) = run_with(Odd::DeliveryFails, endless);
    assert!(matches!(result, Err(RunError::Stage("delivery"))), "{result:?}");
    assert_eq!(stored, Some(0));
}

/// Nobody asked for it and nobody says why: that is not "everything is delivered".
#[test]
fn a_stage_that_ends_by_itself_is_an_error() {
    for (odd, stage) in [(Odd::SendStops, "send"), (Odd::DeliveryStops, "acknowledge")] {
        let (result, stored) = run_with(odd, endless);
        let ended = match result {
            Err(RunError::Fault(PipelineFault::Ended { stage })) => stage,
            other => panic!("{other:?}"),
        };
        assert_eq!((ended, stored), (stage, Some(0)));
    }
}

/// Nothing reaches the disk any more: a source that waits for that must hear of it.
#[test]
fn whoever_waits_for_a_state_that_nobody_writes_is_told() {
    let tracker = Tracker::new(Offset(Tracked::new(None)), Duration::ZERO);
    let folder = tempfile::tempdir().unwrap();
    let state = StateFolder::open(folder.path()).unwrap();
    tracker.close();
    tracker.save_loop(&state, || false).unwrap();
    assert!(tracker.update_durably(|_| ()).is_err());
}
