//! Why a running task could not be asked or told.

use tidegate_mysql::run_lock::RunLockError;

#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    #[error("could not reach the socket in {folder}: {error}")]
    Socket { folder: String, error: std::io::Error },
    #[error("no run of the task has its state in {folder}, but {run}")]
    Elsewhere { folder: String, run: RunLockError },
    #[error("the run of the task does not answer: {0}")]
    Silent(String),
    #[error("the task refuses: {0}")]
    Refused(String),
    #[error("the run of the task answers in another way than this program understands: {0}")]
    Other(String),
}

impl StatusError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            StatusError::Socket { .. } => Some("the socket belongs to the user who runs the task: ask as that one"),
            StatusError::Elsewhere { .. } => Some(
                "`state` cannot be changed while the task runs: stop the run and start it again; and a run on another machine is told there. Of one \
                 that was killed, the server ends that connection within a minute",
            ),
            StatusError::Silent(_) | StatusError::Refused(_) => None,
            StatusError::Other(_) => Some("ask with the version of tidegate that runs the task"),
        }
    }
}
