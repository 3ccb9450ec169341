//! A password that is read again.
//!
//! Whoever rotates passwords changes one at the server and one where the task reads it, in either order, and a task that runs shall not
//! end of it. So a password that was refused is read once more, and tried if it is another one. If it is not, and the server had let us
//! in before, the two have yet to agree, which is waited for as for a server that is away.
//!
//! Servers lock accounts that try too often. So what was refused is not tried again for a while, by whichever connection of the task;
//! and one that was read takes the place of the one before only when the server has taken it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::WireError;

/// For so long, a password that was refused is not tried again.
const REST: Duration = Duration::from_secs(30);

/// Where a password is read from again. All connections of a task share one.
pub struct PasswordOrigin {
    read: Box<dyn Fn() -> Option<String> + Send + Sync>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// What the server took last.
    accepted: Option<String>,
    /// What it refused a moment ago, and how.
    refused: Vec<Refused>,
    is_mariadb: bool,
}

struct Refused {
    password: String,
    at: Instant,
    error: WireError,
}

impl PasswordOrigin {
    /// `read` gives nothing where nothing can be read at the moment.
    pub fn new(read: impl Fn() -> Option<String> + Send + Sync + 'static) -> PasswordOrigin {
        PasswordOrigin { read: Box::new(read), known: Mutex::default() }
    }

    /// What the server took last; nothing if it never took one.
    pub(crate) fn accepted(&self) -> Option<String> {
        self.lock().accepted.clone()
    }

    /// How the server refused this password a moment ago.
    pub(crate) fn refusal(&self, password: &str) -> Option<WireError> {
        let mut known = self.lock();
        known.refused.retain(|refused| refused.at.elapsed() < REST);
        let refused = known.refused.iter().find(|refused| refused.password == password)?;
        refused.error.of_login()
    }

    /// The server has refused it so, now or a moment ago: another one to try, or the error to end with.
    pub(crate) fn refuse(&self, password: &str, error: WireError) -> Result<String, WireError> {
        // One that is known rests from when it was refused, however often somebody asks for it since.
        if self.refusal(password).is_none()
            && let Some(error) = error.of_login()
        {
            self.lock().refused.push(Refused { password: password.to_owned(), at: Instant::now(), error });
        }
        let is_new = |another: &String| !another.is_empty() && another != password && self.refusal(another).is_none();
        match (self.read)().filter(is_new) {
            Some(another) => Ok(another),
            None if self.accepted().is_some() => Err(error.of_changed_password()),
            None => Err(error),
        }
    }

    /// The server has taken it.
    pub(crate) fn accept(&self, password: &str) {
        let mut known = self.lock();
        known.refused.retain(|refused| refused.password != password);
        if known.accepted.as_deref().is_some_and(|before| before != password) {
            tracing::info!("the source's password has changed where it is read from, and is used from now on");
        }
        known.accepted = Some(password.to_owned());
    }

    pub(crate) fn note_mariadb(&self) {
        self.lock().is_mariadb = true;
    }

    pub(crate) fn is_mariadb(&self) -> bool {
        self.lock().is_mariadb
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn what_was_refused_rests_and_what_was_accepted_stays() {
        let denied = || WireError::Login {
            address: "db:3306".to_owned(),
            user: "tide".to_owned(),
            code: 1045,
            state: "28000".to_owned(),
            message: "no".to_owned(),
        };
        let is_rotated = Arc::new(AtomicBool::new(false));
        let file = is_rotated.clone();
        let origin =
            PasswordOrigin::new(move || Some(if file.load(Ordering::Relaxed) { "new" } else { "old" }.to_owned()));
        let is_waited_for = |tried: Result<String, WireError>| tried.is_err_and(|error| error.is_transient());
        assert!(origin.refuse("old", denied()).is_err_and(|error| !error.is_transient()), "it was never let in");
        origin.accept("old");
        // The server has another one, and the file not yet.
        assert!(is_waited_for(origin.refuse("old", denied())) && origin.refusal("old").is_some());
        let refused_at = origin.lock().refused[0].at;
        assert!(is_waited_for(origin.refuse("old", denied())));
        assert!(origin.lock().refused.len() == 1 && origin.lock().refused[0].at == refused_at);
        is_rotated.store(true, Ordering::Relaxed);
        assert_eq!(origin.refuse("old", denied()).unwrap(), "new");
        // Not taken, so it does not take the place of the one before.
        assert!(is_waited_for(origin.refuse("new", denied())) && is_waited_for(origin.refuse("old", denied())));
        assert_eq!(origin.accepted().as_deref(), Some("old"));
        origin.accept("new");
        assert!(origin.refusal("new").is_none());
        assert_eq!(origin.accepted().as_deref(), Some("new"));
    }
}
