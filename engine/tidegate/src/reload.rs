//! A table is loaded again, because somebody asks for it: `tidegate reload`.
//!
//! ```text
//! asked for ─► in the state ─► reading comes to where views show all that was delivered ─► load ─► reading goes on there
//! ```
//!
//! Consumers get every row that the table has, then its changes from where reading stopped, of which some may be in these rows already: the
//! last message of a key is right. Nothing is dropped as shown, since consumers have rows from before. A row that they have and the
//! table has not, for whatever reason, stays with them.
//!
//! *A part* is the rows that meet a condition, which is the server's own SQL and evaluated there. The others are as if nobody had asked. The
//! server is asked what it thinks of a condition before that is stored; what comes of it later (a column may be dropped meanwhile) can be
//! taken back while it is read, too, so that no condition can keep a task from going on.
//!
//! Until it has begun it can be taken back, and stands in the status. What is asked for is part of the state, as soon as that is written next: a run that is killed then, or not at work, begins with it.

pub mod asked;

use crate::checkpoint::journal::By;
use crate::checkpoint::{self, CheckpointError};
use crate::config::{SourceOptions, Task};
use crate::error::Error;
use crate::open::runtime;
use crate::source::mysql::look;
use crate::status::client;
use crate::status::error::StatusError;
use asked::{NOT_POSSIBLE, Wish, ask_for, is_possible, names_of, try_part};
use tidegate_flow::store::StateFolder;
use tidegate_mysql::snapshot::shown;

/// What fits into the first line of a request.
const QUERY_MAX: usize = 60_000;

/// What somebody at a terminal is asked first.
pub fn question(tables: &[String], condition: Option<&str>) -> String {
    let rows = condition.map_or_else(|| "all rows".to_owned(), |condition| format!("rows where {}", shown(condition)));
    format!("send {rows} of {} once more?", tables.join(", "))
}

/// Asks a run of the task, or leaves it to the next one. Gives back what the user reads.
pub fn reload(task: &Task, tables: &[String], condition: Option<&str>, is_cancelled: bool) -> Result<String, Error> {
    let refused = |reason: String| Error::from(StatusError::Refused(reason));
    if !is_possible(task) {
        return Err(refused(NOT_POSSIBLE.to_owned()));
    }
    let wish = Wish::of(condition, is_cancelled).map_err(refused)?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    tables.iter().for_each(|table| _ = query.append_pair("table", table));
    match &wish {
        Wish::Load => {}
        Wish::Part(condition) => _ = query.append_pair("where", condition),
        Wish::Cancel => _ = query.append_pair("cancel", "true"),
    }
    let query = query.finish();
    if query.len() > QUERY_MAX {
        return Err(refused("so many tables cannot be named at once: name them in several commands".to_owned()));
    }
    if let Some(said) = runtime()?.block_on(client::tell(task, &format!("/reload?{query}")))? {
        return Ok(String::from_utf8_lossy(&said).into_owned());
    }
    let state = StateFolder::open(&task.state).map_err(CheckpointError::from)?;
    leave(task, &state, tables, &wish)
}

/// Leaves it to the next run, when none is at work.
pub fn leave(task: &Task, state: &StateFolder, tables: &[String], wish: &Wish) -> Result<String, Error> {
    let refused = |reason: String| Error::from(StatusError::Refused(reason));
    let stored = checkpoint::load(state, &task.name)?;
    let mut stored = stored.ok_or_else(|| refused("it has not begun: its first run loads all tables".to_owned()))?;
    if let (Wish::Part(condition), SourceOptions::Mysql(options)) = (wish, &task.source) {
        let names = names_of(&stored, tables).map_err(refused)?;
        let server = look(task, options, &runtime()?, Some(&stored))?;
        try_part(&*server.try_part(), &names, condition).map_err(refused)?;
    }
    let said = ask_for(&mut stored, tables, wish, By::Command).map_err(refused)?;
    stored.save(state)?;
    Ok(match wish {
        Wish::Load | Wish::Part(_) => format!("the task is not running: its next run begins with it\n{said}"),
        Wish::Cancel => said,
    })
}
