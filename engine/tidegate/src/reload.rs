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
//! Until it has begun it can be taken back, and stands in the status. What is asked for is part of the state, as soon as that is written next: a run that is killed then, or not at work, begins with it.

use crate::checkpoint::{self, Checkpoint, CheckpointError};
use crate::config::{SourceOptions, Task};
use crate::error::Error;
use crate::journal::{By, What, tables_text};
use crate::remembered::LoadState;
use crate::status::client::{self, StatusError};
use crate::task::runtime;
use tidegate_flow::store::StateFolder;
use tidegate_model::TableName;
use tidegate_mysql::check::list_names;

pub const NOT_POSSIBLE: &str = "a table can be loaded again by a task that loads a server's tables and follows their changes (`full_load`, `incremental`)";

/// What fits into the first line of a request.
const QUERY_MAX: usize = 60_000;

/// Whether tables of the task can be loaded again between changes.
pub fn is_possible(task: &Task) -> bool {
    matches!(task.source, SourceOptions::Mysql(_)) && task.full_load.is_some() && task.incremental.is_some()
}

/// What somebody wants of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Load,
    /// What was asked for is not wanted any more.
    Cancel,
}

/// Asks a run of the task, or leaves it to the next one. Gives back what the user reads.
pub fn reload(task: &Task, tables: &[String], wish: Wish) -> Result<String, Error> {
    let refused = |reason: String| Error::from(StatusError::Refused(reason));
    if !is_possible(task) {
        return Err(refused(NOT_POSSIBLE.to_owned()));
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    tables.iter().for_each(|table| _ = query.append_pair("table", table));
    if wish == Wish::Cancel {
        query.append_pair("cancel", "true");
    }
    let query = query.finish();
    if query.len() > QUERY_MAX {
        return Err(refused("so many tables cannot be named at once: name them in several commands".to_owned()));
    }
    if let Some(said) = runtime()?.block_on(client::tell(task, &format!("/reload?{query}")))? {
        return Ok(String::from_utf8_lossy(&said).into_owned());
    }
    let state = StateFolder::open(&task.state).map_err(CheckpointError::from)?;
    let stored = checkpoint::load(&state, &task.name)?;
    let mut stored = stored.ok_or_else(|| refused("it has not begun: its first run loads all tables".to_owned()))?;
    let said = ask_for(&mut stored, tables, wish, By::Command).map_err(refused)?;
    stored.save(&state)?;
    Ok(match wish {
        Wish::Load => format!("the task is not running: its next run begins with it\n{said}"),
        Wish::Cancel => said,
    })
}

/// Enters what is asked for, or takes it back, of all tables or of none.
pub fn ask_for(checkpoint: &mut Checkpoint, tables: &[String], wish: Wish, by: By) -> Result<String, String> {
    let mut names: Vec<TableName> = Vec::with_capacity(tables.len());
    for table in tables {
        let known =
            |is_it: &dyn Fn(&str) -> bool| checkpoint.tables.values().find(|known| is_it(&known.name.to_string()));
        // A server that folds names knows it by another case.
        let known = known(&|name| name == table).or_else(|| known(&|name| name.eq_ignore_ascii_case(table)));
        names.push(known.ok_or_else(|| format!("the task has no table {table}"))?.name.clone());
    }
    if names.is_empty() {
        return Err("no table is named".to_owned());
    }
    if wish == Wish::Cancel {
        let asked = checkpoint.asked_for();
        if let Some(name) = names.iter().find(|name| !asked.contains(name)) {
            return Err(format!("{name} is not asked for: it never was, or its load has begun"));
        }
        let known = |name: &&TableName| checkpoint.remembered_table(name);
        if let Some(name) = names.iter().find(|name| known(name).is_some_and(|table| table.load == LoadState::Wanted)) {
            return Err(format!("{name} has never been loaded: take it out of `tables` if it is not wanted"));
        }
        if let Some(name) = names.iter().find(|name| known(name).is_some_and(|table| table.is_needed)) {
            return Err(format!("rows of {name} came without row events, and come by its load alone"));
        }
        names.iter().for_each(|name| checkpoint.ask_for(name, false));
        checkpoint.journal.note(What::ReloadCancelled, by, tables_text(&names));
        return Ok(format!("not loaded again: {}\n", list_names(&names)));
    }
    names.iter().for_each(|name| checkpoint.ask_for(name, true));
    checkpoint.journal.note(What::ReloadAsked, by, tables_text(&names));
    Ok(format!(
        "loaded again once what was read is delivered, while changes wait: {}; rows that consumers have and the table has not stay with \
         them, and of a table without a key each row comes once more\n",
        list_names(&names)
    ))
}
