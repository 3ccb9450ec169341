//! The program on a terminal, for somebody who watches and types. util-linux's `script` makes the terminal.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::engine::program;
use super::wait_for;

/// A program on a terminal of its own, which hangs up when this is dropped.
pub(crate) struct Terminal {
    child: Child,
    keys: ChildStdin,
    /// Everything that came, the terminal's own codes included.
    shown: Arc<Mutex<Vec<u8>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

/// What Ctrl-C sends.
pub(crate) const INTERRUPT: &str = "\x03";

impl Terminal {
    pub(crate) fn run(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Terminal {
        let words = arguments.into_iter().map(|word| word.as_ref().to_str().expect("text").to_owned());
        let words = std::iter::once(program().to_str().expect("text").to_owned()).chain(words).map(|word| {
            assert!(!word.contains('\''), "{word}");
            format!("'{word}'")
        });
        // One without a size takes its programs for those that nobody sees.
        let line = format!("stty cols 120 rows 40; exec {}", words.collect::<Vec<_>>().join(" "));
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]).env("TERM", "xterm");
        // Whoever runs the tests in the background has Ctrl-C ignored, which programs inherit.
        // SAFETY: between fork and exec, a system call without memory.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGINT, libc::SIG_DFL);
                Ok(())
            });
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
        let mut child = child.expect("`script` of util-linux runs");
        let (keys, mut output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let shown = Arc::new(Mutex::new(Vec::new()));
        let all = shown.clone();
        let reader = std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut part) {
                all.lock().expect("no panic").extend_from_slice(&part[..length]);
            }
        });
        Terminal { child, keys, shown, reader: Some(reader) }
    }

    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().expect("no panic")).into_owned()
    }

    /// Waits until what it has shown is as wanted.
    pub(crate) fn until(&mut self, what: &str, is: impl Fn(&str) -> bool) {
        wait_for(what, || {
            let has_ended = self.child.try_wait().expect("our child").is_some();
            if has_ended && let Some(reader) = self.reader.take() {
                reader.join().expect("a reader of output does not panic");
            }
            let shown = self.shown();
            if is(&shown) {
                return Some(());
            }
            assert!(!has_ended, "ended, and {what} has not come:\n{shown}");
            None
        });
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("the terminal is there");
    }

    /// Exit code, 128 and more for a signal as shells say it, and all that was shown.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let status = wait_for("the program ends", || self.child.try_wait().expect("our child"));
        if let Some(reader) = self.reader.take() {
            reader.join().expect("a reader of output does not panic");
        }
        (status.code(), self.shown())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            if std::thread::panicking() {
                println!("on the terminal stood:\n{}", self.shown());
            }
        }
    }
}
