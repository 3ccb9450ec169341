//! The file by which a run works, and the one that it is asked to take over.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::checkpoint::journal::By;
use crate::config::{self, ConfigError, HttpOptions, Task};
use crate::consent::Consent;
use crate::error::Error;
use crate::remembered::Accept;

/// What became of the file that a run was asked to take over last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// How many times the run was asked.
    pub asked: u64,
    /// The last of these that has an outcome.
    pub answered: u64,
    /// Why it was not taken over: the run has gone on by the file before.
    pub refused: Option<String>,
    /// It says what it said: nothing was done.
    #[serde(default)]
    pub unchanged: bool,
}

/// The task file of a run, and the one that it is to take over.
#[derive(Debug)]
pub struct TaskFile {
    /// None of a run that has none.
    path: Option<PathBuf>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// By which the run works, or tries to.
    task: Arc<Task>,
    written: FileIdentity,
    next: Option<Next>,
    /// While it is not known whether the run can work by `task`: how it did before.
    before: Option<(Arc<Task>, FileIdentity, Consent)>,
    /// Why it cannot, until it works by that again.
    refused: Option<String>,
    applied: Option<Applied>,
}

/// Numbers for a file's text, and for what it says.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileIdentity {
    pub(super) text: u32,
    /// None of a run that has no file.
    meaning: Option<u64>,
}

/// What a run is asked to take over.
#[derive(Debug)]
struct Next {
    task: Arc<Task>,
    written: FileIdentity,
    accept: Vec<Accept>,
    by: By,
}

/// How a run is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplyWish {
    pub accept: Vec<Accept>,
    /// The text that was planned with.
    pub planned: Option<u32>,
    /// Also where the file says what it did.
    pub anew: bool,
}

impl TaskFile {
    pub fn new(file: Option<(PathBuf, FileIdentity)>, task: Arc<Task>) -> TaskFile {
        let (path, written) = file.unzip();
        let written = written.unwrap_or_default();
        let inner = Inner { task, written, next: None, before: None, refused: None, applied: None };
        TaskFile { path, inner: Mutex::new(inner) }
    }

    pub fn read(path: &Path) -> Result<(Task, FileIdentity), ConfigError> {
        let text = config::read_file(path)?;
        let task = config::load_text(path, &text)?;
        Ok((task, FileIdentity { text: crc32fast::hash(text.as_bytes()), meaning: config::fingerprint(&text) }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which never changes.
    pub fn task_name(&self) -> String {
        self.lock().task.name.clone()
    }

    /// `limits.connections`.
    pub fn connections(&self) -> Option<u64> {
        self.lock().task.limits.connections
    }

    pub fn applied(&self) -> Option<Applied> {
        self.lock().applied.clone()
    }

    /// Reads the file anew, which must be what was planned with. Gives the number under which [`Applied`] tells what becomes of it, and whether
    /// there is anything to take over; or why it cannot be.
    pub fn ask(&self, wish: ApplyWish, by: By) -> Result<(u64, bool), String> {
        let path = self.path.as_ref().ok_or("this run has no task file")?;
        // Whoever waits here lets everybody wait who asks how the task goes.
        if !path.metadata().is_ok_and(|file| file.is_file()) {
            return Err(format!("{} is no file", path.display()));
        }
        let (next, written) = TaskFile::read(path).map_err(|error| error.to_string())?;
        if wish.planned.is_some_and(|planned| planned != written.text) {
            return Err(format!(
                "{} is not what was planned: it has changed since, or the run has another file",
                path.display()
            ));
        }
        let mut inner = self.lock();
        if inner.next.is_some() || inner.before.is_some() || inner.refused.is_some() {
            return Err("the run is about to take over the file that it was asked to before: ask again".to_owned());
        }
        if let Some(key) = fixed(&inner.task, &next) {
            return Err(format!("`{key}` cannot be changed while the task runs: stop it and start it again"));
        }
        let asked = inner.applied.as_ref().map_or(0, |applied| applied.asked) + 1;
        if !wish.anew && wish.accept.is_empty() && written.meaning == inner.written.meaning {
            inner.written = written;
            inner.applied = Some(Applied { asked, answered: asked, refused: None, unchanged: true });
            return Ok((asked, false));
        }
        match &mut inner.applied {
            Some(applied) => applied.asked = asked,
            applied => *applied = Some(Applied { asked, answered: 0, refused: None, unchanged: false }),
        }
        inner.next = Some(Next { task: Arc::new(next), written, accept: wish.accept, by });
        Ok((asked, true))
    }

    /// By what a run works that has come to an end because it was asked.
    pub fn take_over(&self, consent: &Consent) -> Option<TakeOver> {
        let mut inner = self.lock();
        let Next { task, written, accept, by } = inner.next.take()?;
        // What else was agreed to was so for one start, but where the run is to end, and what is to be passed over until there.
        let agreed = |accept| Consent { accept, after_gap: None, ..consent.clone() };
        let before = std::mem::replace(&mut inner.task, task.clone());
        inner.before = Some((before, std::mem::replace(&mut inner.written, written), agreed(Vec::new())));
        Some(TakeOver { task, consent: agreed(accept), by })
    }

    /// Whether a start by a file that was taken over is under way.
    pub fn is_tried(&self) -> bool {
        self.lock().before.is_some()
    }

    /// The run works, by what it has taken over or by what was before: then it is told what it was that worked last.
    pub fn works(&self) -> Option<Arc<Task>> {
        let mut inner = self.lock();
        if let Some(reason) = inner.refused.take() {
            inner.answer(Some(reason));
        }
        let (before, ..) = inner.before.take()?;
        info!("the task file is taken over");
        inner.answer(None);
        Some(before)
    }

    /// It cannot, and goes on by what was before; nothing if it had taken over nothing.
    pub fn refused(&self, error: &Error) -> Option<(Arc<Task>, Consent)> {
        let mut inner = self.lock();
        let (task, written, consent) = inner.before.take()?;
        (inner.task, inner.written) = (task.clone(), written);
        warn!(hint = error.hint(), "the task file is not taken over, and the run goes on by the one before: {error}");
        let hint = error.hint().map(|hint| format!("\nhint: {hint}"));
        inner.refused = Some(format!("{error}{}", hint.unwrap_or_default()));
        Some((task, consent))
    }
}

/// By what a run is to go on.
pub struct TakeOver {
    pub task: Arc<Task>,
    pub consent: Consent,
    pub by: By,
}

impl Inner {
    fn answer(&mut self, refused: Option<String>) {
        if let Some(applied) = &mut self.applied {
            (applied.answered, applied.refused, applied.unchanged) = (applied.asked, refused, false);
        }
    }
}

/// What is of the process, and not of a run in it.
fn fixed(task: &Task, next: &Task) -> Option<&'static str> {
    let token = |http: &HttpOptions| http.token.as_ref().map(|token| token.resolve().ok());
    let port = |http: &Option<HttpOptions>| http.as_ref().map(|http| (http.address, token(http), http.tls.clone()));
    if task.name != next.name {
        Some("task")
    } else if task.state != next.state {
        Some("state")
    } else if port(&task.http) != port(&next.http) {
        Some("http")
    } else {
        None
    }
}
