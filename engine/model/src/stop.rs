//! Stopping: a flag that everybody who waits looks at, raised by a signal or by a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Tells sources to end. Cheap to clone; never lowered again.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    flag: AtomicBool,
    raised: Notify,
}

impl Stop {
    pub fn stop(&self) {
        self.0.flag.store(true, Ordering::SeqCst);
        self.0.raised.notify_waiters();
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

    /// Raises the flag at the first SIGTERM or SIGINT. The second ends the process at once, as without this.
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
                    std::process::exit(130);
                }
                first = false;
                tracing::info!("stopping: what has been read is delivered and stored first; again to stop at once");
                stop.stop();
            }
        });
        Ok(())
    }
}

/// Whoever takes windows wants no more: the pipeline has failed or was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pipeline has stopped")]
pub struct Stopped;
