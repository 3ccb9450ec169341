//! Stopping: a flag that everybody who waits looks at, raised by a signal or by a failure.
//!
//! ```text
//!             start: connect, look, wait for servers        run: what was read is delivered and stored
//! 1st signal  nothing is on its way: the process ends       the flag is raised, everything drains
//! 2nd signal                                                the process ends
//! ```
//!
//! A task that is paused reads nothing, until it is resumed or told to stop. One that is [interrupted](Stop::interrupt) drains as at a stop, and
//! goes on in the same process.
//!
//! A process that ends so runs no exit handlers: librdkafka's threads are alive and use what those take down (OpenSSL).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// How often a source that is paused looks whether it still is.
const PAUSE_INTERVAL: Duration = Duration::from_millis(50);

/// Tells sources to end, or to pause. Cheap to clone; lowered by [`Stop::go_on`] alone.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    flag: AtomicBool,
    /// It is a stop, and no interruption.
    is_final: AtomicBool,
    /// Something may be on its way that is to be delivered and stored before the end.
    running: AtomicBool,
    raised: Notify,
    paused: AtomicBool,
}

impl Stop {
    pub fn stop(&self) {
        // Before the flag, which whoever goes on lowers before he looks at this.
        self.0.is_final.store(true, Ordering::SeqCst);
        self.interrupt();
    }

    /// Everything drains as at a stop, and the process goes on behind that, by [`Stop::go_on`].
    pub fn interrupt(&self) {
        self.0.flag.store(true, Ordering::SeqCst);
        self.0.raised.notify_waiters();
    }

    /// What was interrupted begins again, as from the start. False if somebody has told the task to stop.
    pub fn go_on(&self) -> bool {
        self.0.running.store(false, Ordering::SeqCst);
        self.0.flag.store(false, Ordering::SeqCst);
        let is_final = self.is_final();
        if is_final {
            self.interrupt();
        }
        !is_final
    }

    /// Nothing is to be read until [`Stop::resume`].
    pub fn pause(&self) {
        self.0.paused.store(true, Ordering::SeqCst);
    }

    pub fn resume(&self) {
        self.0.paused.store(false, Ordering::SeqCst);
    }

    pub fn is_paused(&self) -> bool {
        self.0.paused.load(Ordering::SeqCst)
    }

    /// Returns when something may be read, or the task is told to stop.
    pub fn wait_while_paused(&self) {
        while self.is_paused() && !self.is_stopped() {
            std::thread::sleep(PAUSE_INTERVAL);
        }
    }

    /// From now on, a stop lets everything drain first. Whether the task may go on.
    pub fn begin_running(&self) -> bool {
        self.0.running.store(true, Ordering::SeqCst);
        !self.is_stopped()
    }

    pub fn is_stopped(&self) -> bool {
        self.0.flag.load(Ordering::SeqCst)
    }

    /// Whether it is a stop, behind which nothing goes on.
    pub fn is_final(&self) -> bool {
        self.0.is_final.load(Ordering::SeqCst)
    }

    /// The flag itself, for those who poll it.
    pub fn flag(&self) -> &AtomicBool {
        &self.0.flag
    }

    /// Resolves when the task is told to stop, and not when it is interrupted.
    pub async fn stopped(&self) {
        loop {
            let raised = self.0.raised.notified();
            // `notified` hears what is raised from its creation on; what was raised before shows here.
            if self.is_final() {
                return;
            }
            raised.await;
        }
    }

    /// Raises the flag at the first SIGTERM or SIGINT of a task that runs. The second ends the process at once, and so does the
    /// first of a task that is still starting, whatever it waits for, with `code_before`.
    pub fn on_signals(&self, runtime: &tokio::runtime::Runtime, code_before: u8) -> std::io::Result<()> {
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
                    exit_at_once(INTERRUPTED);
                }
                first = false;
                if !stop.0.running.load(Ordering::SeqCst) {
                    tracing::info!("stopped before anything was read");
                    exit_at_once(code_before);
                }
                tracing::info!("stopping: what has been read is delivered and stored first; again to stop at once");
                stop.stop();
            }
        });
        Ok(())
    }
}

/// How a process ends that was told to, and has not done what it was for.
pub const INTERRUPTED: u8 = 130;

/// Without exit handlers. Standard error has no buffer.
fn exit_at_once(code: u8) -> ! {
    // SAFETY: a system call that takes a number and does not return.
    unsafe { libc::_exit(i32::from(code)) }
}

/// Whoever takes windows wants no more: the pipeline has failed or was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pipeline has stopped")]
pub struct Stopped;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_is_no_stop_and_hides_none() {
        let stop = Stop::default();
        assert!(stop.begin_running());
        stop.interrupt();
        assert!(stop.is_stopped() && stop.go_on() && !stop.is_stopped());
        stop.interrupt();
        stop.stop();
        assert!(!stop.go_on() && stop.is_stopped());
    }

    #[test]
    fn whoever_is_paused_goes_on_when_resumed_or_stopped() {
        let stop = Stop::default();
        stop.wait_while_paused();
        for end in [Stop::resume, Stop::stop] {
            stop.pause();
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| stop.wait_while_paused());
                assert!(stop.is_paused() && !waiting.is_finished());
                end(&stop);
                waiting.join().unwrap();
            });
        }
    }
}
