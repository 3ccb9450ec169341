//! How a command ends that did not do what it was to do: by what a task has met, or by an error of its own.

use crate::bench::BenchError;
use crate::demo::DemoError;
use crate::error::Error;
use crate::reset::ResetError;
use crate::schema_fix::FixError;
use crate::verify::VerifyError;

/// The error above all others, which nothing but the command line has.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Task(Box<Error>),
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Fix(#[from] FixError),
    #[error(transparent)]
    Reset(#[from] ResetError),
    #[error(transparent)]
    Bench(#[from] BenchError),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Task(Box::new(error.into()))
    }
}

impl Failure {
    /// Whether the same command may succeed later as it is.
    pub fn may_pass(&self) -> bool {
        match self {
            Failure::Task(error) => error.may_pass(),
            Failure::Verify(error) => error.may_pass(),
            Failure::Fix(error) => error.may_pass(),
            Failure::Reset(error) => error.may_pass(),
            Failure::Bench(error) => error.may_pass(),
            Failure::Demo(_) => false,
        }
    }

    /// Whether a signal has ended it.
    pub fn is_interrupted(&self) -> bool {
        matches!(
            self,
            Failure::Demo(DemoError::Interrupted)
                | Failure::Verify(VerifyError::Interrupted)
                | Failure::Bench(BenchError::Interrupted)
        )
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Failure::Task(error) => error.hint(),
            Failure::Demo(error) => error.hint(),
            Failure::Verify(error) => error.hint(),
            Failure::Fix(error) => error.hint(),
            Failure::Reset(error) => error.hint(),
            Failure::Bench(error) => error.hint(),
        }
    }
}
