//! A changed task file is taken over by the run that is at work: `tidegate apply`.
//!
//! ```text
//! asked for ─► the file is read ─► what was read is delivered and stored ─► a start by the new file ─► reading goes on
//!                  │                                                              │
//!                  └─► refused: nothing has happened                              └─► refused: a start by the file before
//! ```
//!
//! What the command has planned is what the run takes over: it is told a checksum of the text, and refuses another.
//!
//! It is a stop and a start within one process, so that all is compared, prepared and refused as at any other start: tables that
//! were added are loaded, what has consequences for rows that were sent has to be accepted. The state folder with its socket, the port, and
//! what was counted stay.
//!
//! The plan is made by the command, before it asks: by the same code, from the state as it is on disk.

pub mod task_file;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::checkpoint;
use crate::config::Task;
use crate::confirm;
use crate::error::Error;
use crate::open::{runtime, topics_as_they_are};
use crate::pipeline::route;
use crate::remembered::{self, Accept, Difference, Refused};
use crate::source;
use crate::status::client;
use crate::status::error::StatusError;
use task_file::{Applied, TaskFile};

/// Between two looks of the command whether the run has taken it over.
const LOOK: Duration = Duration::from_millis(100);

/// Prints what would follow from the file as it is now, asks whether that is meant if somebody is there to answer, and lets the run of
/// the task take it over; `anew` also if it says what it did. False if there is none.
pub fn apply(file: &Path, accept: &[Accept], anew: bool, is_meant: bool, out: &mut dyn Write) -> Result<bool, Error> {
    let (task, written) = TaskFile::read(file)?;
    let runtime = runtime()?;
    // An output that is closed is no reason to do anything else.
    let mut say = |text: &str| _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    let Some(report) = runtime.block_on(client::ask(&task))? else {
        if let Some(run) = source::other_run(&task, &runtime) {
            return Err(StatusError::Elsewhere { folder: task.state.display().to_string(), run }.into());
        }
        say(&format!("task {} is not running: its next run reads the file anew\n", task.name));
        return Ok(false);
    };
    let process = client::read(&report)?.process;
    let differences = plan(&task, &runtime)?;
    // What the server and the brokers have may be another thing under the same file.
    let anew = anew || !differences.is_empty();
    let (open, agreed): (Vec<_>, Vec<_>) =
        differences.into_iter().partition(|difference| difference.accept.is_some_and(|name| !accept.contains(&name)));
    if !open.is_empty() {
        let (name, folder, accepted) = (task.name.clone(), task.state.clone(), accept.to_vec());
        return Err(Refused { task: name, folder, differences: open, accepted, command: "apply" }.into());
    }
    match agreed.as_slice() {
        [] => {
            say("nothing that concerns which rows are sent, where to, and how; what else the file says is taken over\n")
        }
        agreed => agreed.iter().for_each(|Difference { what, means, .. }| say(&format!("{what}: {means}\n"))),
    }
    if !is_meant && !confirm::is_meant("take the file over?", &mut say) {
        say("nothing was done\n");
        return Ok(true);
    }
    let names: Vec<String> = accept.iter().map(|name| name.name()).collect();
    let answer: Result<Option<Applied>, StatusError> = runtime.block_on(async {
        let path = format!("/apply?planned={}&anew={anew}&accept={}", written.text, names.join(","));
        let Some(number) = client::tell(&task, &path).await? else {
            return Ok(None);
        };
        let number = std::str::from_utf8(&number).ok().and_then(|number| number.trim().parse::<u64>().ok());
        let number = number.ok_or_else(|| StatusError::Other("no number".to_owned()))?;
        loop {
            let Some(report) = client::ask(&task).await? else { return Ok(None) };
            let report = client::read(&report)?;
            match report.applied {
                _ if report.process != process => return Ok(None),
                Some(applied) if applied.answered >= number => return Ok(Some(applied)),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    });
    match answer {
        Ok(Some(Applied { refused: None, unchanged, .. })) => {
            say(if unchanged { "the run works by it already: nothing was done\n" } else { "taken over\n" });
            Ok(true)
        }
        Ok(Some(Applied { refused: Some(reason), .. })) => {
            let reason = format!("it goes on by the file before, since by this one it cannot: {reason}");
            Err(StatusError::Refused(reason).into())
        }
        Ok(None) => {
            say(&format!("task {} has ended meanwhile: its next run reads the file anew\n", task.name));
            Ok(false)
        }
        Err(error) => Err(Error::Status(error)),
    }
}

/// In what the task would not be what it is.
fn plan(task: &Task, runtime: &tokio::runtime::Runtime) -> Result<Vec<Difference>, Error> {
    let Some(stored) = checkpoint::read(&task.state, &task.name)? else { return Ok(Vec::new()) };
    let source = source::open(task, runtime, Some(&stored))?;
    let stored = stored.of_source(&source.identity(), &task.state)?;
    let tables = source.tables();
    tables.iter().try_for_each(|table| route::check_table(task, table))?;
    route::check_letters(task, tables.iter().map(|table| table.name()))?;
    let topics = topics_as_they_are(&stored, task, tables)?;
    Ok(remembered::compare(&stored, task, tables, &topics)?)
}
