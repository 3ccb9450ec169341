//! A password that is read again.
//!
//! Whoever rotates passwords changes one at the server and one where the task reads it, in either order, and a task that runs shall not
//! end of it. So a password that was refused is read once more, and tried if it is another one. If it is not, and the server had let us
//! in before, the two have yet to agree, which is waited for as for a server that is away.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where a password is read from again. All connections of a task share one.
pub struct PasswordOrigin {
    read: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// In the place of the one that the task began with.
    last: Mutex<Option<String>>,
    /// Some connection was let in.
    was_accepted: AtomicBool,
}

impl PasswordOrigin {
    /// `read` gives nothing where nothing can be read at the moment.
    pub fn new(read: impl Fn() -> Option<String> + Send + Sync + 'static) -> PasswordOrigin {
        PasswordOrigin { read: Box::new(read), last: Mutex::default(), was_accepted: AtomicBool::new(false) }
    }

    pub(crate) fn last(&self) -> Option<String> {
        self.lock().clone()
    }

    /// Another password than the one that was refused.
    pub(crate) fn instead_of(&self, refused: &str) -> Option<String> {
        let password = (self.read)().filter(|password| password != refused)?;
        let news = self.lock().replace(password.clone()).is_none_or(|last| last != password);
        if news {
            tracing::info!("the source's password has changed where it is read from, and is used from now on");
        }
        Some(password)
    }

    pub(crate) fn accepted(&self) {
        self.was_accepted.store(true, Ordering::Relaxed);
    }

    pub(crate) fn was_accepted(&self) -> bool {
        self.was_accepted.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
