//! Where do changes come from, and from which point?
//!
//! A [`Source`] is opened (it connects, looks and refuses), then run: first the full load, then every change, as one
//! stream of windows. Only connecting happens here; how each kind of source reads is in its own module.

pub mod binlog_file;
pub mod mysql;
pub mod parquet;

use std::sync::Arc;

use crate::batch::Table;
use crate::checkpoint::{Checkpoint, CheckpointError, SourceIdentity, StateFolder};
use crate::config::{SourceOptions, Task};
use crate::error::Error;
use crate::pipeline::Emitter;
use crate::pipeline::shutdown::Stop;
use crate::pipeline::tracker::Tracker;
use crate::status::Status;
use binlog_file::ArchiveSource;
use mysql::MysqlSource;
use parquet::ParquetSource;

/// What a running source may use.
pub struct Context<'a> {
    pub task: &'a Task,
    pub emitter: &'a Emitter,
    pub tracker: &'a Tracker,
    pub status: &'a Status,
    pub stop: &'a Stop,
}

/// An opened source.
pub enum Source {
    Mysql(MysqlSource),
    BinlogFiles(ArchiveSource),
    Parquet(ParquetSource),
}

impl Source {
    /// Connects and looks: servers answer, tables exist. `stored` is the checkpoint of an earlier run.
    pub fn open(
        task: &Arc<Task>,
        runtime: &tokio::runtime::Runtime,
        stored: Option<&Checkpoint>,
    ) -> Result<Source, Error> {
        Ok(match &task.source {
            SourceOptions::Mysql(options) => Source::Mysql(MysqlSource::open(task, options, runtime, stored)?),
            SourceOptions::BinlogFiles(options) => Source::BinlogFiles(ArchiveSource::open(task, options)?),
            SourceOptions::Parquet(options) => Source::Parquet(ParquetSource::open(task, options)?),
        })
    }

    /// Tables known before anything is read. Archived binlogs show theirs later.
    pub fn tables(&self) -> &[Arc<Table>] {
        match self {
            Source::Mysql(source) => source.tables(),
            Source::BinlogFiles(_) => &[],
            Source::Parquet(source) => source.tables(),
        }
    }

    /// Whose history this source's positions are points of.
    pub fn identity(&self) -> SourceIdentity {
        match self {
            Source::Mysql(source) => source.identity(),
            Source::BinlogFiles(_) => SourceIdentity::BinlogFiles,
            Source::Parquet(source) => source.identity(),
        }
    }

    /// The stored checkpoint, if its positions mean something here.
    pub fn check_stored(&self, stored: Checkpoint, state: &StateFolder) -> Result<Checkpoint, Error> {
        if stored.source != self.identity() {
            return Err(Error::Checkpoint(CheckpointError::Foreign {
                path: state.checkpoint_path(),
                found: stored.source.to_string(),
                expected: self.identity().to_string(),
            }));
        }
        Ok(stored)
    }

    /// Emits everything until the source ends, which a server's does not, or is told to stop.
    pub fn run(self, context: &Context<'_>) -> Result<(), Error> {
        match self {
            Source::Mysql(source) => source.run(context),
            Source::BinlogFiles(source) => source.run(context),
            Source::Parquet(source) => source.run(context),
        }
    }
}
