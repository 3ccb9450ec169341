//! What was done to a task, for people: `tidegate history` prints it. What is kept of it, [`checkpoint::journal`] has.
//!
//! A run notes its end behind everything else, when its state is on disk. One that is killed notes none, which the next start tells.

use std::fmt;

use serde_json::{Value, json};
use tracing::warn;

use crate::checkpoint::journal::{By, Entry, What};
use crate::checkpoint::{self, Checkpoint, CheckpointError};
use crate::config::Task;
use tidegate_flow::store::StateFolder;
use tidegate_model::words::time_text;

/// How a run has ended, behind all that it has stored.
pub fn note_end(state: &StateFolder, task: &str, result: Result<(), &impl fmt::Display>, is_stopped: bool) {
    note_behind(state, task, |at| match result {
        Ok(()) if is_stopped => (What::Stopped, By::Signal, at),
        Ok(()) => (What::Ended, By::Run, at),
        Err(error) => (What::Failed, By::Run, error.to_string()),
    });
}

/// Notes what is made of the place where the task is, when no run is at work. Of a task that has not begun there is nothing to note it in.
pub fn note_behind(state: &StateFolder, task: &str, what: impl FnOnce(String) -> (What, By, String)) {
    // Of one that cannot be read, the run has said so.
    let Ok(Some(mut stored)) = checkpoint::load(state, task) else { return };
    let at = stored.reads_from().map_or_else(String::new, |position| format!("at {}", position.place()));
    let (what, by, details) = what(at);
    stored.journal.note(what, by, details);
    if let Err(error) = stored.save(state) {
        warn!(%error, "this could not be noted in the task's history: {}", what.words());
    }
}

/// What `tidegate history` prints.
pub fn text(task: &Task) -> Result<String, CheckpointError> {
    Ok(match read(task)? {
        Some(checkpoint) => checkpoint.journal.entries().map(|entry| format!("{entry}\n")).collect(),
        None => format!("task {} has not begun: there is no state in {}\n", task.name, task.state.display()),
    })
}

/// The same as a JSON array, of a task that has not begun an empty one.
pub fn json(task: &Task) -> Result<Value, CheckpointError> {
    Ok(read(task)?.map_or_else(|| json!([]), |checkpoint| checkpoint.journal.json()))
}

fn read(task: &Task) -> Result<Option<Checkpoint>, CheckpointError> {
    checkpoint::read(&task.state, &task.name)
}

impl What {
    fn words(self) -> &'static str {
        match self {
            What::Started => "started",
            What::Stopped => "stopped",
            What::Ended => "ended",
            What::Failed => "failed",
            What::LoadBegun => "load begun",
            What::TableLoaded => "table loaded",
            What::LoadEnded => "load ended",
            What::ReloadAsked => "reload asked for",
            What::ReloadCancelled => "reload cancelled",
            What::ReloadBegun => "reload begun",
            What::SchemaFix => "schema-fix",
            What::GapAccepted => "gap accepted",
            What::Reset => "reset",
            What::Paused => "paused",
            What::Resumed => "resumed",
            What::Limits => "limits changed",
            What::Applied => "file applied",
            What::NotApplied => "file refused",
            What::Other => "(noted by a later version)",
        }
    }
}

impl By {
    fn word(self) -> &'static str {
        match self {
            By::Run => "run",
            By::Signal => "signal",
            By::Socket => "socket",
            By::Http => "http",
            By::Command => "command",
            By::Other => "?",
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { at_s, what, by, details, again } = self;
        write!(f, "{}  {:<16}  {:<7}", time_text(*at_s), what.words(), by.word())?;
        // Errors have lines.
        let mut lines = details.lines();
        if let Some(first) = lines.next() {
            write!(f, "  {first}")?;
        }
        lines.try_for_each(|line| write!(f, "\n{:52}{}", "", line.trim_start()))?;
        match again {
            Some((times, last_s)) => write!(f, " ({times} times, the last {})", time_text(*last_s)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::journal::TaskJournal;

    #[test]
    fn what_happens_again_and_again_is_one_entry() {
        let mut journal = TaskJournal::default();
        for _ in 0..3 {
            journal.note(What::Failed, By::Run, "no route\nto host");
        }
        journal.note(What::Paused, By::Socket, "");
        let shown: Vec<String> = journal.entries().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 2);
        assert!(
            shown[0].contains("failed            run      no route\n") && shown[0].contains("(3 times, the last "),
            "{shown:?}"
        );
        assert!(shown[1].ends_with("paused            socket "), "{shown:?}");
    }
}
