//! This machine: the state folder, its disk, and the port for whoever looks.

use std::ffi::CString;
use std::io;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Report;
use crate::checkpoint::{self, Checkpoint, CheckpointError};
use crate::config::{SinkOptions, Task};
use crate::error::Error;
use crate::items;
use crate::status::server::tls_of;
use tidegate_flow::store::StoreError;
use tidegate_mysql::check::Severity;

/// The checkpoint, and rows of an XA transaction that wait for its COMMIT, have this at least.
const DISK_LEAST_BYTES: u64 = 256 << 20;

/// What is stored of the task, and whether a run of it has the folder.
pub(super) enum State {
    Stored(Option<Checkpoint>),
    Running(Option<Checkpoint>),
    Unusable,
}

pub(super) fn check_state(task: &Task, report: &mut Report) -> State {
    let place = || task.places.place("state").or_else(|| task.places.place("task"));
    match checkpoint::look(&task.state, &task.name) {
        Ok(stored) => {
            if let Err(error) = can_be_made(&task.state) {
                let folder = task.state.clone();
                let error = StoreError::Io { action: "create", path: folder, error };
                report.fail("state", place(), &CheckpointError::from(error).into());
                return State::Unusable;
            }
            check_disk(task, &task.state, report);
            State::Stored(stored)
        }
        Err(CheckpointError::Store(StoreError::InUse { folder })) => {
            report.say(
                Severity::Info,
                "other_run",
                None,
                format!("a run of the task is at work, and has the state folder {}", folder.display()),
                "nothing: that is a fact and no fault",
                "`tidegate status` shows how it goes; what was looked at here is what a next start would meet",
            );
            match checkpoint::read(&task.state, &task.name) {
                Ok(stored) => State::Running(stored),
                Err(error) => {
                    report.fail("state", place(), &error.into());
                    State::Unusable
                }
            }
        }
        Err(error) => {
            report.fail("state", place(), &error.into());
            State::Unusable
        }
    }
}

/// Whether a folder that is not there can be made, by one that is gone at once: not every file system that says so takes folders.
fn can_be_made(folder: &Path) -> io::Result<()> {
    if folder.exists() {
        return Ok(());
    }
    let trial = existing(folder).join(format!(".tidegate-check-{}", std::process::id()));
    std::fs::create_dir(&trial)?;
    std::fs::remove_dir(&trial)
}

/// The folder, or the next one above it that is there.
fn existing(folder: &Path) -> &Path {
    let existing = folder.ancestors().find(|folder| folder.exists());
    existing.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn check_disk(task: &Task, folder: &Path, report: &mut Report) {
    // What is not there yet will be made on the disk of the folder above it.
    let Some(free) = free_bytes(existing(folder)).filter(|&free| free < DISK_LEAST_BYTES) else { return };
    report.say(
        Severity::Warning,
        "disk_space",
        task.places.place("state"),
        format!("the disk of the state folder {} has {} MiB left", folder.display(), free >> 20),
        &format!("{} MiB at least", DISK_LEAST_BYTES >> 20),
        "make room, or point `state` to another disk: a task whose state cannot be saved waits for retry.other and ends",
    );
}

/// What whoever is not root may write; none if the system does not tell.
fn free_bytes(folder: &Path) -> Option<u64> {
    let path = CString::new(folder.as_os_str().as_bytes()).ok()?;
    // SAFETY: all bytes zero is a value of this struct of numbers; the path ends with a zero byte, and the call writes no more than
    // the struct.
    unsafe {
        let mut disk: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(path.as_ptr(), &mut disk) == 0).then(|| disk.f_bavail as u64 * disk.f_frsize as u64)
    }
}

/// Whether the address can be had, and token and certificate read. A run that is at work has the address itself.
pub(super) fn check_http(task: &Task, is_running: bool, report: &mut Report) {
    let Some(http) = &task.http else { return };
    let mut is_fine = true;
    if !is_running && let Err(source) = TcpListener::bind(http.address) {
        let place = task.places.place("http.listen");
        report.fail("http", place, &Error::Listen { address: http.address, source });
        is_fine = false;
    }
    if let Some(Err(error)) = http.token.as_ref().map(|token| token.resolve_some()) {
        report.fail("http", task.places.place("http.token"), &error.into());
        is_fine = false;
    }
    if let Err(error) = tls_of(http) {
        report.fail("http", task.places.place("http.tls"), &error);
        is_fine = false;
    }
    if is_fine {
        report.passed.push(("http", format!("{} can be listened on", http.address)));
    }
}

/// Whether a file can be written, without making it.
pub(super) fn check_file(task: &Task, report: &mut Report) {
    let SinkOptions::File(path) = &task.sink else { return };
    if path.as_os_str() == "-" {
        return;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let looked = match path.exists() {
        true if path.is_dir() => Err(io::Error::from(io::ErrorKind::IsADirectory)),
        true => may_write(path),
        false if folder.is_dir() => may_write(folder),
        false => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    match looked {
        Ok(()) => report.passed.push(("sink", format!("{} can be written", path.display()))),
        Err(error) => report.say(
            Severity::Error,
            "sink",
            task.places.place("sink.file"),
            format!("{} cannot be written: {error}", path.display()),
            "a file, or a folder that is there and in which one can be made",
            "make the folder, or write another path as sink.file",
        ),
    }
}

fn may_write(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path ends with a zero byte.
    match unsafe { libc::access(path.as_ptr(), libc::W_OK) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Threads that are fewer than the task file asks for.
pub(super) fn check_threads(task: &Task, report: &mut Report) {
    for lowered in &task.lowered {
        let place = task.places.place(lowered.key);
        let (wanted, to_do) = (items::wanted("threads"), items::to_do("threads"));
        report.say(Severity::Info, "threads", place, lowered.to_string(), wanted, to_do);
    }
}
