//! Stopping: a flag that everybody who waits looks at, raised by a signal or by a failure.
//!
//! ```text
//!             start: connect, look, wait for servers        run: what was read is delivered and stored
//! 1st signal  nothing is on its way: the process ends       the flag is raised, everything drains
//! 2nd signal                                                the process ends
//! ```
//!
//! A process that ends so runs no exit handlers: librdkafka's threads are alive and use what those take down (OpenSSL).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Tells sources to end. Cheap to clone; never lowered again.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    flag: AtomicBool,
    /// Something may be on its way that is to be delivered and stored before the end.
    running: AtomicBool,
    raised: Notify,
}

impl Stop {
    pub fn stop(&self) {
        self.0.flag.store(true, Ordering::SeqCst);
        self.0.raised.notify_waiters();
    }

    /// From now on, a stop lets everything drain first. Whether the task may go on.
    pub fn begin_running(&self) -> bool {
        self.0.running.store(true, Ordering::SeqCst);
        !self.is_stopped()
    }

    pub fn is_stopped(&self) -> bool {
        self.0.flag.load(Ordering::SeqCst)
    }

    /// The flag itself, for those who poll it.
    pub fn flag(&self) -> &AtomicBool {
        &self.0.flag
    }

    /// Resolves when the flag is raised.
    pub async fn stopped(&self) {
        let raised = self.0.raised.notified();
        // `notified` hears what is raised from its creation on; what was raised before shows here.
        if !self.is_stopped() {
            raised.await;
        }
    }

    /// Raises the flag at the first SIGTERM or SIGINT of a task that runs. The second ends the process at once, and so does the
    /// first of a task that is still starting, whatever it waits for.
    pub fn on_signals(&self, runtime: &tokio::runtime::Runtime) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let _guard = runtime.enter();
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stop = self.clone();
        runtime.spawn(async move {
            let mut first = true;
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if !first {
                    exit_at_once(130);
                }
                first = false;
                if !stop.0.running.load(Ordering::SeqCst) {
                    tracing::info!("stopped before anything was read");
                    exit_at_once(0);
                }
                tracing::info!("stopping: what has been read is delivered and stored first; again to stop at once");
                stop.stop();
            }
        });
        Ok(())
    }
}

/// Without exit handlers. Standard error has no buffer.
fn exit_at_once(code: i32) -> ! {
    // SAFETY: a system call that takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// Whoever takes windows wants no more: the pipeline has failed or was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pipeline has stopped")]
pub struct Stopped;
