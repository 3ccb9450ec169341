//! One run of a task at a time, wherever it is started.
//!
//! The state folder's lock keeps a second run away that uses the same folder. One that is started with another folder, or
//! on another machine, would load everything again and send each change twice. What both have in common is the task's
//! name and the source, so a run holds a lock of that name on the server, `GET_LOCK('tidegate.<task>')`, for as long as it
//! lives:
//!
//! ```text
//! run     ── take ──┬─ ask, every few seconds ─┬─ ask ─┬─ connection lost ─ take again ─┬─ …
//! server           ours                      ours                                   ours, or another's: this run ends
//! ```
//!
//! The server ends the lock with the session. A session whose client went away without a word (its machine lost power)
//! would live for hours, so ours has a `wait_timeout` of a minute and is never silent for so long.
//!
//! What it cannot do: locks are not replicated. After a failover, runs meet on the new server; two runs that read from two
//! servers of one history do not meet at all, as behind a proxy that spreads sessions over several. A proxy that shares
//! one session among clients must keep ours apart, which those that are known to do so do for GET_LOCK.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;

use super::connection::{self, ConnectionError};
use super::wire::ConnectOptions;

/// How long a start waits for the lock: a server may need a moment to notice that a run was killed.
const START_PATIENCE_S: u32 = 15;
/// How often the server is asked.
const PERIOD: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// After so much silence the server ends the session: well more than a period and an answer.
const SESSION_SILENCE_S: u64 = 60;
/// Between two tries to take the lock again.
const RETRY: Duration = Duration::from_secs(1);
/// Characters of a lock's name, at most.
const NAME_MAX: usize = 64;

/// A lock that is held until this value is dropped.
#[derive(Debug)]
pub struct RunLock {
    runtime: Handle,
    /// By which its session is opened, should it be lost.
    connect: Arc<Mutex<ConnectOptions>>,
    /// Sent, or dropped, to end the keeper.
    end: Option<oneshot::Sender<()>>,
    keeper: Option<JoinHandle<()>>,
    lost: Arc<Mutex<Option<RunLockError>>>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum RunLockError {
    #[error("another run of task {task} is at work: connection {holder} of the server holds the lock {lock}")]
    Held { task: String, lock: String, holder: u64 },
    #[error("could not take the lock {lock}: {reason}")]
    Failed { lock: String, reason: String },
}

impl RunLockError {
    /// Another run is at work on this connection of the server.
    pub fn held(task: &str, holder: u64) -> RunLockError {
        RunLockError::Held { task: task.to_owned(), lock: lock_name(task), holder }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            RunLockError::Held { .. } => Some(
                "stop the other run; another task needs a name of its own; SHOW PROCESSLIST shows from where that connection \
                 comes, and of a run whose machine is gone the server ends it within a minute",
            ),
            RunLockError::Failed { .. } => None,
        }
    }
}

impl RunLock {
    /// Takes the lock. `on_lost` is called when another run has it, after a lost connection.
    pub fn take(
        connect: &ConnectOptions,
        task: &str,
        runtime: &Handle,
        on_lost: impl Fn() + Send + 'static,
    ) -> Result<RunLock, RunLockError> {
        let connect = Arc::new(Mutex::new(connect.clone()));
        let keeper = Keeper { connect: connect.clone(), task: task.to_owned(), lock: lock_name(task) };
        let mut connection = runtime.block_on(async {
            let mut connection = keeper.connect().await.map_err(|error| keeper.failed(&error))?;
            match keeper.take(&mut connection, START_PATIENCE_S).await.map_err(|error| keeper.failed(&error))? {
                None => Ok(connection),
                Some(holder) => {
                    // It is refused already; a session that ends impolitely would only be noted in the server's log.
                    let _ = connection.disconnect().await;
                    Err(RunLockError::held(task, holder))
                }
            }
        })?;
        let lost = Arc::new(Mutex::new(None));
        let (end, ended) = oneshot::channel();
        let note = lost.clone();
        let keeper = runtime.spawn(async move {
            let lost = tokio::select! {
                error = keeper.keep(&mut connection) => Some(error),
                _ = ended => None,
            };
            match lost {
                Some(error) => {
                    *note.lock().expect("nobody panics while noting") = Some(error);
                    on_lost();
                }
                // The lock ends with the session, whether the server hears this or not.
                None => {
                    let _ = timeout(RETRY, connection.disconnect()).await;
                }
            }
        });
        Ok(RunLock { runtime: runtime.clone(), connect, end: Some(end), keeper: Some(keeper), lost })
    }

    /// Of the same server and account, by other options from now on.
    pub fn renew(&self, connect: &ConnectOptions) {
        *self.connect.lock().unwrap_or_else(PoisonError::into_inner) = connect.clone();
    }

    /// The error if another run has the lock by now.
    pub fn check(&self) -> Result<(), RunLockError> {
        match &*self.lost.lock().expect("nobody panics while noting") {
            None => Ok(()),
            Some(error) => Err(error.clone()),
        }
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(keeper) = self.keeper.take() {
            // If it panicked, it has said so.
            let _ = self.runtime.block_on(keeper);
        }
    }
}

/// The connection that holds the lock of a task, if any does.
pub async fn holder(connection: &mut Conn, task: &str) -> Result<Option<u64>, mysql_async::Error> {
    let holder: Option<Option<u64>> =
        connection.query_first(format!("SELECT IS_USED_LOCK('{}')", lock_name(task))).await?;
    Ok(holder.flatten())
}

/// Who takes the lock, and takes it again.
struct Keeper {
    connect: Arc<Mutex<ConnectOptions>>,
    task: String,
    lock: String,
}

impl Keeper {
    async fn connect(&self) -> Result<Conn, ConnectionError> {
        let connect = self.connect.lock().unwrap_or_else(PoisonError::into_inner).clone();
        connection::connect(&connect).await
    }

    /// `None` if the lock is ours now, else the connection that has it.
    async fn take(&self, connection: &mut Conn, patience_s: u32) -> Result<Option<u64>, mysql_async::Error> {
        connection.query_drop(format!("SET SESSION wait_timeout = {SESSION_SILENCE_S}")).await?;
        loop {
            let taken: Option<Option<u8>> =
                connection.query_first(format!("SELECT GET_LOCK('{}', {patience_s})", self.lock)).await?;
            if taken.flatten() == Some(1) {
                return Ok(None);
            }
            // It may have been given back between the two questions.
            if let Some(holder) = holder(connection, &self.task).await? {
                return Ok(Some(holder));
            }
        }
    }

    /// Returns when another run has the lock.
    async fn keep(&self, connection: &mut Conn) -> RunLockError {
        loop {
            tokio::time::sleep(PERIOD).await;
            let ours = format!("SELECT IS_USED_LOCK('{}') = CONNECTION_ID()", self.lock);
            match timeout(ANSWER, connection.query_first::<Option<u8>, _>(ours)).await {
                Ok(Ok(Some(Some(1)))) => continue,
                Ok(Err(error)) => warn!(lock = self.lock, %error, "the lock of this task is lost; taking it again"),
                Ok(Ok(_)) => {
                    warn!(lock = self.lock, "the server does not have the lock of this task any more; taking it again")
                }
                Err(_) => {
                    warn!(lock = self.lock, "the server does not answer for the lock of this task; taking it again")
                }
            }
            *connection = match self.take_again(connection.id()).await {
                Ok(connection) => connection,
                Err(error) => return error,
            };
        }
    }

    /// Waits for the server, as the rest of the run does, and takes the lock.
    async fn take_again(&self, our_last: u32) -> Result<Conn, RunLockError> {
        let mut held_since: Option<Instant> = None;
        loop {
            let answer = timeout(ANSWER, async {
                let mut connection = self.connect().await.ok()?;
                let holder = self.take(&mut connection, 0).await.ok()?;
                Some((connection, holder))
            });
            if let Ok(Some((connection, holder))) = answer.await {
                let Some(holder) = holder else { return Ok(connection) };
                // Our own last session, whose end the server has yet to notice, looks like another run's.
                let since = held_since.get_or_insert_with(Instant::now).elapsed();
                if holder != u64::from(our_last) || since.as_secs() > 2 * SESSION_SILENCE_S {
                    return Err(RunLockError::held(&self.task, holder));
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    fn failed(&self, error: &dyn std::error::Error) -> RunLockError {
        RunLockError::Failed { lock: self.lock.clone(), reason: error.to_string() }
    }
}

/// `tidegate.shop`; names that are too long end with their checksum.
fn lock_name(task: &str) -> String {
    let name = format!("tidegate.{task}");
    if name.len() <= NAME_MAX {
        return name;
    }
    // Names of tasks are ASCII.
    format!("{}.{:08x}", &name[..NAME_MAX - 9], crc32fast::hash(task.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_has_a_name_that_the_server_takes() {
        assert_eq!(lock_name("shop"), "tidegate.shop");
        let long = lock_name(&"a".repeat(200));
        assert_eq!(long.len(), NAME_MAX);
        assert_ne!(long, lock_name(&"a".repeat(201)));
    }
}
