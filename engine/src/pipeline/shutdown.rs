//! Stopping: a flag that everybody who waits looks at, raised by a signal or by a failure.

use std::sync::Arc;

use tokio::sync::watch;

/// Tells sources to end. Cheap to clone; never lowered again.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Default for Stop {
    fn default() -> Stop {
        Stop(Arc::new(watch::Sender::new(false)))
    }
}

impl Stop {
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    pub fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when the flag is raised.
    pub async fn stopped(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|stopped| *stopped).await;
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
