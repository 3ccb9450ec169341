//! The program under test, as a child process.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::wait_for;
use super::world::TaskFile;

/// A running `tidegate`. Killed when dropped.
pub(crate) struct Tidegate {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
    peak_kib: u64,
}

/// How it ended, and all that it said.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
    /// Most resident memory seen, in KiB.
    pub(crate) peak_kib: u64,
}

/// The program beside this test: `target/release/deps/e2e-…` and `target/release/tidegate`.
pub(super) fn program() -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    let program = test.ancestors().nth(2).expect("target/release/deps/e2e").join("tidegate");
    assert!(program.exists(), "{} is missing: run `cargo build --release --workspace` first", program.display());
    program
}

impl Tidegate {
    /// `tidegate run` on the task.
    pub(crate) fn run(task: &TaskFile) -> Tidegate {
        Tidegate::spawn(task.run_arguments())
    }

    pub(crate) fn spawn(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Tidegate {
        Tidegate::spawn_in(Path::new("."), arguments)
    }

    /// Started in this folder.
    pub(crate) fn spawn_in(folder: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Tidegate {
        let mut command = Command::new(program());
        command.current_dir(folder).args(arguments);
        Tidegate::start(command)
    }

    /// With these variables of its environment.
    pub(crate) fn spawn_with(
        variables: &[(&str, &str)],
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Tidegate {
        let mut command = Command::new(program());
        command.args(arguments).envs(variables.iter().copied());
        Tidegate::start(command)
    }

    fn start(mut command: Command) -> Tidegate {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let readers = vec![
            collect(child.stdout.take().expect("piped"), &lines),
            collect(child.stderr.take().expect("piped"), &lines),
        ];
        Tidegate { child, lines, readers, peak_kib: 0 }
    }

    /// As [`Tidegate::run`], with this library in front of all others.
    pub(crate) fn run_behind(task: &TaskFile, library: &Path) -> Tidegate {
        let mut command = Command::new(program());
        command.args(task.run_arguments()).env("LD_PRELOAD", library);
        Tidegate::start(command)
    }

    /// As [`Tidegate::run`], where the system gives so few threads: each takes a gibibyte of the addresses that there are.
    pub(crate) fn run_with_few_threads(task: &TaskFile, threads: u64) -> Tidegate {
        let mut command = Command::new("sh");
        let limit = format!("ulimit -v {}; exec \"$0\" \"$@\"", threads << 20);
        command.args(["-c", &limit]).arg(program()).args(task.run_arguments());
        command.env("RUST_MIN_STACK", (1_u64 << 30).to_string());
        Tidegate::start(command)
    }

    /// Where a folder is a disk of its own, of so many mebibytes; none if the system makes none for who asks.
    pub(crate) fn spawn_beside_disk(
        folder: &Path,
        mebibytes: u32,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Option<Tidegate> {
        let mounted = |command: &str| {
            let mut unshare = Command::new("unshare");
            let mount = format!("mount -t tmpfs -o size={mebibytes}m none \"$0\" && {command}");
            unshare.args(["--map-root-user", "--mount", "sh", "-c", &mount]).arg(folder);
            unshare
        };
        // What is missing can be installed; whether a system lets anybody mount is its own affair.
        let tried = mounted("true").output().expect("`unshare` of util-linux runs");
        if !tried.status.success() {
            println!("skipped: this system mounts no disk for a test: {}", String::from_utf8_lossy(&tried.stderr));
            return None;
        }
        let mut command = mounted("exec \"$@\"");
        command.arg(program()).args(arguments);
        Some(Tidegate::start(command))
    }

    /// The folder, with the disk that stands there for the program. It stays for as long as this is open.
    pub(crate) fn open_folder(&self, folder: &Path) -> File {
        let root = PathBuf::from(format!("/proc/{}/root", self.child.id()));
        File::open(root.join(folder.strip_prefix("/").expect("an absolute path"))).expect("its folder can be seen")
    }

    /// The task fails before or while it runs: its words. Panics if it ends well.
    pub(crate) fn fails(task: &TaskFile) -> String {
        let ended = Tidegate::run(task).wait();
        assert!(!ended.status.success(), "ended well:\n{}", ended.output);
        assert!(ended.status.code().is_some(), "{}:\n{}", ended.status, ended.output);
        assert!(!ended.output.contains("panicked at"), "{}", ended.output);
        assert!(
            !ended.output.lines().any(|line| line.trim_end().ends_with("hint:")),
            "a hint is empty:\n{}",
            ended.output
        );
        ended.output
    }

    /// Ends by itself and well.
    pub(crate) fn finishes(task: &TaskFile) -> Ended {
        let ended = Tidegate::run(task).wait();
        assert!(ended.status.success(), "{}:\n{}", ended.status, ended.output);
        ended
    }

    /// Panics, with what it said, if it has ended.
    pub(crate) fn assert_running(&mut self) {
        self.sample();
        if let Some(status) = self.child.try_wait().expect("our child") {
            panic!("tidegate ended ({status}):\n{}", self.output());
        }
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_some()
    }

    /// Waits until it has said a line that holds `text`.
    pub(crate) fn wait_for_line(&mut self, text: &str) {
        self.wait_for_lines(text, 1);
    }

    /// Waits until it has said so many.
    pub(crate) fn wait_for_lines(&mut self, text: &str, count: usize) {
        wait_for(&format!("{count} lines with {text:?}"), || {
            if self.has_ended() {
                // What it said last is still on its way here.
                self.collect_rest();
            }
            if self.count_lines(text) >= count {
                return Some(());
            }
            self.assert_running();
            None
        });
    }

    pub(crate) fn count_lines(&self, text: &str) -> usize {
        self.lines.lock().expect("no panic").iter().filter(|line| line.contains(text)).count()
    }

    /// As a crash: nothing is written any more.
    pub(crate) fn kill_9(mut self) {
        self.signal(libc::SIGKILL);
        self.child.wait().expect("our child");
    }

    /// Asks it to end, waits, and expects that it ends well.
    pub(crate) fn terminate(mut self, signal: libc::c_int) -> Ended {
        self.assert_running();
        self.signal(signal);
        let ended = self.wait();
        assert!(ended.status.success(), "after signal {signal}: {}\n{}", ended.status, ended.output);
        ended
    }

    pub(crate) fn wait(mut self) -> Ended {
        let status = wait_for("tidegate ends", || {
            self.sample();
            self.child.try_wait().expect("our child")
        });
        self.collect_rest();
        Ended { status, output: self.output(), peak_kib: self.peak_kib }
    }

    /// All that it has said, once it has ended.
    fn collect_rest(&mut self) {
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader of output does not panic");
        }
    }

    pub(crate) fn output(&self) -> String {
        self.lines.lock().expect("no panic").join("\n")
    }

    pub(crate) fn signal(&self, signal: libc::c_int) {
        let id = libc::pid_t::try_from(self.child.id()).expect("process ids are small");
        // SAFETY: a system call without memory. The child is not collected before `self` ends, so the id is still its own.
        unsafe { libc::kill(id, signal) };
    }

    /// The kernel keeps the peak as `VmHWM` for as long as the process lives, so looking often enough is only needed
    /// at its end.
    fn sample(&mut self) {
        let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())) else { return };
        let peak =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        self.peak_kib = self.peak_kib.max(peak.unwrap_or(0));
    }
}

impl Drop for Tidegate {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            if std::thread::panicking() {
                println!("tidegate was running and had said:\n{}", self.output());
            }
        }
    }
}

fn collect(stream: impl Read + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    let lines = Arc::clone(lines);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n') {
            let Ok(line) = line else { return };
            lines.lock().expect("no panic").push(String::from_utf8_lossy(&line).into_owned());
        }
    })
}
