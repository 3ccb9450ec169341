//! What becomes of a run when one of its stages does not end as it should: it ends, and says so.

use std::sync::atomic::{AtomicU32, Ordering};

use super::room::Shares;
use super::*;
use crate::checkpoint::{self, Checkpoint, SourceIdentity};
use crate::config;
use tidegate_model::{Coordinate, Position, Table, pretty};
use tidegate_sink::{PretendedTopics, TopicIdentity, TopicLook, Topics};

/// What a sink does with a window.
type Answer = fn() -> Result<Delivery, SinkError>;

/// Answers the second window so; the first one is delivered.
struct OddSink {
    answer: Answer,
    sent: AtomicU32,
    topics: Arc<dyn Topics>,
}

fn delivered() -> Result<Delivery, SinkError> {
    answered(Ok(()))
}

fn answered(result: Result<(), SinkError>) -> Result<Delivery, SinkError> {
    let (done, delivery) = tokio::sync::oneshot::channel();
    done.send(result).expect("the receiver is alive");
    Ok(delivery)
}

impl Sink for OddSink {
    fn send(&mut self, _: MessageWindow) -> Result<Delivery, SinkError> {
        match self.sent.fetch_add(1, Ordering::Relaxed) {
            1 => (self.answer)(),
            _ => delivered(),
        }
    }

    fn topics(&self) -> Arc<dyn Topics> {
        self.topics.clone()
    }

    fn aborter(&self) -> Box<dyn Fn() + Send + Sync> {
        Box::new(|| ())
    }
}

/// Topics whose second is the end of whoever asks.
#[derive(Default)]
struct OddTopics(AtomicU32);

impl Topics for OddTopics {
    fn appetite(&self) -> tidegate_sink::Appetite {
        tidegate_sink::Appetite::default()
    }

    fn prepare(&self, _: &str, _: &dyn Fn() -> bool) -> Result<u32, SinkError> {
        assert_eq!(self.0.fetch_add(1, Ordering::Relaxed), 0, "as the test wants it");
        Ok(1)
    }

    fn prepare_all(&self, _: &[&str], _: &dyn Fn() -> bool) -> Result<(), SinkError> {
        Ok(())
    }

    fn identity(&self, _: &str) -> Option<TopicIdentity> {
        None
    }

    fn look(&self, _: &[&str], _: &dyn Fn() -> bool) -> Result<Vec<Option<TopicLook>>, SinkError> {
        unreachable!("nobody looks")
    }
}

fn position(offset: u64) -> Progress {
    Progress::Position(Position::new(Coordinate::new("b.000001", offset), None))
}

fn window(offset: u64) -> Window {
    Window { progress: Some(position(offset)), ..Window::default() }
}

fn changes(header: &str) -> ChangeBatch {
    pretty::parse(header, "+I 1")
}

/// Runs a source; how it ended, and the offset that the checkpoint on disk has.
fn run_with(
    answer: Answer,
    topics: impl Topics + 'static,
    source: impl FnOnce(&Emitter) -> Result<(), Error>,
) -> (Result<(), Error>, Option<u64>) {
    let text = "task: t\nsource: {mysql: mysql://u@h}\ntables: ['*.*']\nsink: {'null': {}, topic: '{table}'}\nformat: canal_json\n";
    let task = Arc::new(config::parse("t.yaml", text).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let state = StateFolder::open(folder.path()).unwrap();
    let checkpoint = Checkpoint::new("t", SourceIdentity::BinlogFiles);
    let tracker = Arc::new(Tracker::new(checkpoint, Duration::ZERO));
    let topics: Arc<dyn Topics> = Arc::new(topics);
    let stop = Stop::default();
    let router = Router::new(task, "8.0".to_owned(), topics.clone(), stop.clone());
    let sink: Box<dyn Sink> = Box::new(OddSink { answer, sent: AtomicU32::new(0), topics });
    let status = Arc::new(Status::default());
    let router = Arc::new(router);
    let (sink, shares) = (Arc::new(Mutex::new(sink)), Shares::new(64 << 20, 1, 5));
    let pipeline = Pipeline { router, sink, tracker, status, stop, encode_threads: 2, shares };
    let result = run(&pipeline, &state, source);
    let stored = checkpoint::load(&state, "t").unwrap().and_then(|checkpoint| checkpoint.position);
    (result, stored.map(|position| position.coordinate.offset))
}

/// Emits until nobody takes anything any more.
fn endless(emitter: &Emitter) -> Result<(), Error> {
    let mut offset = 0;
    while emitter.emit(window(offset)).is_ok() {
        offset += 1;
    }
    Ok(())
}

#[test]
fn what_is_emitted_is_delivered_and_stored() {
    let (result, stored) = run_with(delivered, PretendedTopics(1), |emitter| {
        (0..=7).try_for_each(|offset| emitter.emit(window(offset))).map_err(|_| Error::Stopped)
    });
    result.unwrap();
    assert_eq!(stored, Some(7));
}

/// A thread that cannot be started is a panic of whoever wants to start it.
#[test]
fn a_source_that_panics_ends_the_run() {
    let (result, stored) = run_with(delivered, PretendedTopics(1), |emitter| {
        emitter.emit(window(3)).unwrap();
        panic!("as the test wants it")
    });
    assert!(matches!(result, Err(Error::Panicked { stage: "source" })), "{result:?}");
    assert_eq!(stored, Some(3));
}

#[test]
fn a_stage_that_panics_ends_the_run() {
    let panics: Answer = || panic!("as the test wants it");
    let (result, stored) = run_with(panics, PretendedTopics(1), endless);
    assert!(matches!(result, Err(Error::Panicked { stage: "send" })), "{result:?}");
    assert_eq!(stored, Some(0));

    let (result, _) = run_with(delivered, OddTopics::default(), |emitter| {
        let one = |table: &str| {
            let batch = changes("id:int");
            let mut parts = tidegate_model::TableParts::from(Table::clone(batch.table()));
            parts.name = tidegate_model::TableName::new("db", table);
            let events = batch.events().to_vec();
            let batch =
                ChangeBatch::new(Arc::new(parts.into()), batch.rows().clone(), batch.kinds().to_vec(), vec![0], events);
            Window { changes: vec![batch], ..Window::default() }
        };
        for table in ["a", "b"] {
            emitter.emit(one(table)).map_err(|_| Error::Stopped)?;
        }
        endless(emitter)
    });
    assert!(matches!(result, Err(Error::Panicked { stage: "dispatch" })), "{result:?}");
}

/// Nobody asked for it and nobody says why: that is not "everything is delivered".
#[test]
fn a_stage_that_ends_by_itself_is_an_error() {
    let stopped: Answer = || Err(SinkError::Stopped);
    let (result, stored) = run_with(stopped, PretendedTopics(1), endless);
    assert!(matches!(result, Err(Error::Ended { stage: "send" })), "{result:?}");
    assert_eq!(stored, Some(0));
    let dropped: Answer = || Ok(tokio::sync::oneshot::channel().1);
    let undelivered: Answer = || answered(Err(SinkError::Stopped));
    for answer in [dropped, undelivered] {
        let (result, stored) = run_with(answer, PretendedTopics(1), endless);
        assert!(matches!(result, Err(Error::Ended { stage: "acknowledge" })), "{result:?}");
        assert_eq!(stored, Some(0));
    }
}

/// Nothing reaches the disk any more: a source that waits for that must hear of it.
#[test]
fn whoever_waits_for_a_checkpoint_that_nobody_writes_is_told() {
    let tracker = Tracker::new(Checkpoint::new("t", SourceIdentity::BinlogFiles), Duration::ZERO);
    let folder = tempfile::tempdir().unwrap();
    let state = StateFolder::open(folder.path()).unwrap();
    tracker.close();
    tracker.save_loop(&state, || false).unwrap();
    assert!(tracker.update_durably(|_| ()).is_err());
}
