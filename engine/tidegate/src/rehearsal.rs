//! Would a task that has begun go on? It is tried, without sending anything or keeping what is read.
//!
//! Much of what stops a run stands in the binlog, behind where the task was: a statement that is not followed, a column that is gone
//! while `select` names it, a collation that is not known, a file that was purged, another history. So the binlog is read on from the
//! stored position to its end, through filters and encoders, by the code that a run has; only the sink takes nothing, and the state
//! is a copy in a folder of its own.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::{Checkpoint, CheckpointError, TaskTracker};
use crate::config::Task;
use crate::error::Error;
use crate::open::PRETENDED_PARTITIONS;
use crate::pipeline;
use crate::pipeline::route::Router;
use crate::source::mysql::MysqlSource;
use crate::source::{Context, Source};
use crate::stages::TaskStages;
use tidegate_flow::pipeline::Pipeline;
use tidegate_flow::store::StateFolder;
use tidegate_model::status::Status;
use tidegate_model::{Stop, TableName};
use tidegate_mysql::ledger::Ledger;
use tidegate_sink::{NullSink, PretendedTopics};

/// How it went.
pub enum Ended {
    /// Nothing stands in the way up to there.
    At(String),
    /// Up to there, too, where this table has to be loaded first.
    Turn(String, TableName),
    /// A run would stop behind that place.
    Stopped(String, Error),
    /// There is nothing to read on from, or rows are to be loaded first.
    NotTried,
}

/// Reads on from where `stored` is, for at most so long, and gives back what the state would be.
pub fn read_on(
    source: &MysqlSource,
    task: &Task,
    stored: &Checkpoint,
    runtime: &tokio::runtime::Runtime,
    time: Option<Duration>,
) -> Result<(Ended, Checkpoint), Error> {
    if task.incremental.is_none() {
        return Ok((Ended::NotTried, stored.clone()));
    }
    if let Err(error) = source.check_position(task, stored, None) {
        let place = stored.reads_from().map_or_else(String::new, |position| position.place().to_string());
        return Ok((Ended::Stopped(place, error.into()), stored.clone()));
    }
    let is_loaded = stored.source.ledger.as_ref().is_none_or(Ledger::all_done);
    if !is_loaded || stored.source.position.is_none() {
        return Ok((Ended::NotTried, stored.clone()));
    }
    let folder = Folder::new(&task.name).map_err(CheckpointError::from)?;
    let mut task = task.clone();
    task.state = folder.0.clone();
    (task.retry.connection, task.retry.other) = (Duration::ZERO, Duration::ZERO);
    let task = Arc::new(task);
    let state = StateFolder::open(&task.state).map_err(CheckpointError::from)?;
    let (stop, status) = (Stop::default(), Arc::new(Status::default()));
    let tracker = Arc::new(TaskTracker::new(stored.clone(), Duration::ZERO));
    let topics = Arc::new(PretendedTopics(PRETENDED_PARTITIONS));
    let router = Arc::new(Router::new(task.clone(), source.server_version().to_owned(), topics, stop.clone()));
    let stages = TaskStages::new(router, Box::new(NullSink { partitions: PRETENDED_PARTITIONS }));
    let (encode_threads, shares) = (task.threads.get(), pipeline::shares(&task));
    let pipeline = Pipeline { stages, tracker, status, stop: stop.clone(), encode_threads, shares };
    let timer = runtime.spawn(async move {
        if let Some(time) = time {
            tokio::time::sleep(time).await;
            stop.stop();
        }
    });
    let mut turn = None;
    let result = tidegate_flow::pipeline::run(&pipeline, &state, |emitter| {
        let (tracker, status, stop) = (&pipeline.tracker, &pipeline.status, &pipeline.stop);
        let context = Context { task: &task, pass: &[], after_gap: None, emitter, tracker, status, stop };
        turn = source.read_on(&context)?;
        Ok(())
    });
    timer.abort();
    let place = pipeline.tracker.read(|checkpoint| {
        checkpoint.source.position.as_ref().map_or_else(String::new, |position| position.place().to_string())
    });
    let ended = match result.map_err(Error::from) {
        Err(error) => Ended::Stopped(place, error),
        Ok(()) => match turn {
            Some(table) => Ended::Turn(place, table),
            None => Ended::At(place),
        },
    };
    Ok((ended, pipeline.tracker.read(Checkpoint::clone)))
}

/// A folder that is gone when this is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn new(task: &str) -> Result<Folder, tidegate_flow::store::StoreError> {
        let path = std::env::temp_dir().join(format!("tidegate-check-{task}-{}", std::process::id()));
        // Rows may be written there that wait for an XA COMMIT.
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Folder(path)),
            Err(error) => Err(tidegate_flow::store::StoreError::Io { action: "create", path, error }),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}
