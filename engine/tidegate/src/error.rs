//! Every way in which a task can fail to be opened or run, and what to do about each. A command that is more than that has an error of its own
//! around this one.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::checkpoint::CheckpointError;
use crate::config::{ConfigError, SecretError};
use crate::hints;
use crate::pipeline::route::RouteError;
use crate::remembered::Refused;
use crate::source::SourceError;
use crate::status::error::StatusError;
use tidegate_flow::pipeline::{PipelineFault, StageError};
use tidegate_flow::store::StoreError;
use tidegate_flow::tracker::NotSaved;
use tidegate_mysql::MysqlError;
use tidegate_sink::SinkError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Source(SourceError),
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    NotSaved(#[from] NotSaved),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Run(#[from] PipelineFault),
    #[error(transparent)]
    Status(#[from] StatusError),
    #[error("could not listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("http.tls: {} cannot be used: {reason}", file.display())]
    HttpTls { file: PathBuf, reason: String },
    #[error("{0}")]
    Log(String),
    #[error("could not start the runtime: {0}")]
    Runtime(std::io::Error),
    /// The task has not begun: whether its addresses are right, nobody knows.
    #[error(transparent)]
    FirstStart(Box<Error>),
    /// A stage noticed that another one has ended; that one's error is the one to report.
    #[error("the pipeline has stopped")]
    Stopped,
}

impl Error {
    /// Whether the same thing may succeed later without anybody changing anything: a server or a broker is away.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Source(error) => error.is_transient(),
            Error::Sink(error) | Error::Route(RouteError::Sink(error)) => error.is_transient(),
            _ => false,
        }
    }

    /// Whether a run that has ended so may be started again as it is: somebody was away for longer than the task was told to wait.
    pub fn may_pass(&self) -> bool {
        match self {
            Error::NotSaved(_)
            | Error::Run(PipelineFault::Saving(StoreError::Io { .. }) | PipelineFault::NotDrained { .. }) => true,
            Error::Sink(SinkError::Io { error, .. }) => {
                matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
            }
            Error::Source(error) => error.may_pass(),
            error => error.is_transient(),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::FirstStart(error) => error.hint(),
            Error::Source(error) => error.hint(),
            Error::Secret(error) => Some(error.hint().to_owned()),
            Error::Sink(error) | Error::Route(RouteError::Sink(error)) => hints::of_sink(error).map(str::to_owned),
            Error::Route(error) => error.hint(),
            Error::Checkpoint(error) => error.hint().map(str::to_owned),
            Error::Refused(refused) => Some(refused.hint()),
            Error::Status(error) => error.hint().map(str::to_owned),
            Error::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => Some(
                "another task, or another program, listens there: give this task another port in `http`".to_owned(),
            ),
            Error::Listen { .. } => Some("`http` of the task file must be an address of this machine".to_owned()),
            Error::HttpTls { .. } => Some(
                "`cert` is a PEM file with the certificate and those that vouch for it, `key` one with its key, without a password".to_owned(),
            ),
            Error::Log(_) => Some("levels are, for example, `info` or `warn,tidegate_mysql=debug`".to_owned()),
            Error::Run(PipelineFault::Threads(_) | PipelineFault::Thread(_)) => Some(hints::MORE_THREADS.to_owned()),
            Error::Run(PipelineFault::Panicked { .. } | PipelineFault::Ended { .. }) => Some(
                "this is a fault of tidegate: report it with the lines above; the checkpoint is whole, and the next run goes on from \
                 there"
                    .to_owned(),
            ),
            Error::Run(PipelineFault::Saving(error)) => error.hint().map(str::to_owned),
            _ => None,
        }
    }
}

/// What a source has met of other stages is theirs, wherever it was met.
impl From<SourceError> for Error {
    fn from(error: SourceError) -> Error {
        match error {
            SourceError::Secret(error) => Error::Secret(error),
            SourceError::Route(error) => Error::Route(error),
            SourceError::NotSaved(error) => Error::NotSaved(error),
            SourceError::Stopped => Error::Stopped,
            error => Error::Source(error),
        }
    }
}

/// A source that was told to stop has no reason of its own.
impl From<SourceError> for StageError<Error> {
    fn from(error: SourceError) -> StageError<Error> {
        match error {
            SourceError::Stopped => StageError::Stopped,
            error => StageError::Failed(error.into()),
        }
    }
}

impl From<MysqlError> for Error {
    fn from(error: MysqlError) -> Error {
        SourceError::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever asks what an error is need not ask where it was met.
    #[test]
    fn what_a_source_meets_of_other_stages_is_theirs() {
        let of_sink = SourceError::from(RouteError::Sink(SinkError::Stopped));
        assert!(matches!(Error::from(of_sink), Error::Route(RouteError::Sink(SinkError::Stopped))));
        assert!(matches!(Error::from(SourceError::NoTables), Error::Source(SourceError::NoTables)));
        let stopped = MysqlError::Stopped(tidegate_model::Stopped);
        assert!(matches!(StageError::from(SourceError::from(stopped)), StageError::<Error>::Stopped));
    }
}
