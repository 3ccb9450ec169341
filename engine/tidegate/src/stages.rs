//! A task's stages in the [pipeline](tidegate_flow::pipeline): routes, then the sink.

use std::sync::{Arc, Mutex};

use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::pipeline::route::{self, Routed, Router};
use tidegate_flow::pipeline::{Delivery, RunError, StageError, Stages};
use tidegate_model::Window;
use tidegate_model::message::{Appetite, MessageWindow};
use tidegate_sink::{Sink, SinkError, Topics};

/// What a task does with windows.
pub struct TaskStages {
    router: Arc<Router>,
    sink: Mutex<Box<dyn Sink>>,
    topics: Arc<dyn Topics>,
    abort: Box<dyn Fn() + Send + Sync>,
}

impl TaskStages {
    pub fn new(router: Arc<Router>, sink: Box<dyn Sink>) -> TaskStages {
        let (topics, abort) = (sink.topics(), sink.aborter());
        TaskStages { router, sink: Mutex::new(sink), topics, abort }
    }
}

impl Stages for TaskStages {
    type State = Checkpoint;
    type Error = Error;
    type Encode = Box<dyn FnOnce() -> Result<MessageWindow, Error> + Send>;

    fn route(&self, window: Window, first_id: u64) -> Result<Self::Encode, StageError<Error>> {
        let mark_routes = self.router.mark_routes(&window).map_err(Error::from)?;
        let routes = self.router.routes(&window).map_err(Error::from)?;
        self.router.save_topics().map_err(Error::from)?;
        let (router, routed) = (self.router.clone(), Routed { routes, mark_routes, first_id, window });
        Ok(Box::new(move || Ok(route::encode_window(&router, routed)?)))
    }

    fn send(&self, window: MessageWindow) -> Result<Delivery<Error>, StageError<Error>> {
        let delivery = self.sink.lock().expect("sinks do not panic").send(window).map_err(stage_error)?;
        Ok(Box::pin(async { delivery.await.map_err(|_| StageError::Stopped)?.map_err(stage_error) }))
    }

    fn failure(&self) -> Option<Error> {
        let is_failure = |error: &SinkError| !matches!(error, SinkError::Stopped);
        self.topics.failure().filter(is_failure).map(Error::from)
    }

    fn abort(&self) {
        (self.abort)();
    }

    fn ended(&self) {
        self.router.remember_ends();
    }

    fn appetite(&self) -> Appetite {
        self.topics.appetite()
    }
}

fn stage_error(error: SinkError) -> StageError<Error> {
    match error {
        SinkError::Stopped => StageError::Stopped,
        error => StageError::Failed(error.into()),
    }
}

impl From<RunError<Error>> for Error {
    fn from(error: RunError<Error>) -> Error {
        match error {
            RunError::Stage(error) => error,
            RunError::Fault(fault) => fault.into(),
        }
    }
}
