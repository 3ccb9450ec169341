//! A task that is stopped goes on from another place in the binlog: `tidegate reset`.
//!
//! ```text
//! ───● B ─────────── A ●───────────────► now          back: what stands between comes once more, in its order
//! ───● A ─────────── B ●───────────────► now          on:   what stands between is left out, for good
//! ```
//!
//! *What tables are like there.* What stands between is read and thrown away, by the code that a run has. On the way on, so that the state is what
//! a run would have there. On the way back, from there to where the task is, by what the task knows of tables: where a statement between has made
//! them something else, nobody knows what they were, and the task stays where it is. What would stop a run, or have a table loaded, keeps it there, too. So
//! no row is read by columns of another time, and each statement is followed, judged and sent as ever.
//!
//! *XA transactions* that were prepared before the place are unknown, like those from before a task began: their XA COMMIT stops a run, by name.
//!
//! Behind a load that has not been passed there is no other place: which changes its rows show is told from where it began.

use std::time::Duration;

use crate::checkpoint::journal::{By, What};
use crate::checkpoint::{self, Checkpoint, CheckpointError, Gap};
use crate::config::{SourceOptions, Task};
use crate::confirm;
use crate::error::Error;
use crate::open::runtime;
use crate::rehearsal::{self, Ended};
use crate::source::Source as _;
use crate::source::mysql::{MysqlSource, OtherPlace};
use crate::until::Until;
use tidegate_flow::store::StateFolder;
use tidegate_model::{Position, TableName, now_s};
use tidegate_mysql::MysqlError;
use tidegate_mysql::history;

/// For how long it is tried whether a run would go on there.
const REHEARSAL: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// What any task may meet.
    #[error(transparent)]
    Task(Box<Error>),
    #[error("the task reads no server's binlog")]
    NoServer,
    #[error("the task follows no changes")]
    NoChanges,
    #[error("the task has not begun: there is no state in {}", .0.display())]
    NotBegun(std::path::PathBuf),
    #[error("the task has not come past its load, whose rows are told from changes by where it began")]
    Loading,
    #[error("what stands between cannot be left out, since reading stops behind {place}: {error}")]
    Stopped { place: String, error: Box<Error> },
    #[error(
        "what stands between cannot be read once more by what is known of tables now, which ends behind {place}: {error}"
    )]
    Unread { place: String, error: Box<Error> },
    #[error("what stands between is more than changes: behind {place}, table {table} is to be loaded")]
    Turn { place: String, table: TableName },
    #[error(
        "between {at} and where the task is, a statement has made table {table} what it is now: what it was before, nobody knows"
    )]
    Altered { table: TableName, at: String },
    #[error("an XA transaction is held that is prepared and has not ended")]
    Held,
}

impl<E: Into<Error>> From<E> for ResetError {
    fn from(error: E) -> ResetError {
        ResetError::Task(Box::new(error.into()))
    }
}

impl ResetError {
    /// Whether the same may succeed later.
    pub fn may_pass(&self) -> bool {
        matches!(self, ResetError::Task(error) if error.may_pass())
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            ResetError::Task(error) | ResetError::Stopped { error, .. } => return error.hint(),
            error => error.own_hint()?.to_owned(),
        })
    }

    fn own_hint(&self) -> Option<&'static str> {
        Some(match self {
            ResetError::Turn { .. } => "let it run until it has come past that place, and stop it then",
            ResetError::Altered { .. } | ResetError::Unread { .. } => {
                "go back no further than behind that statement, or have the tables loaded once more: `tidegate reload`"
            }
            ResetError::Held => "XA COMMIT or XA ROLLBACK it, let the task run past that, and stop it then",
            ResetError::Task(_) | ResetError::Stopped { .. } => return None,
            ResetError::NotBegun(_) => "`tidegate run` begins it; a state elsewhere is named by `state`",
            ResetError::Loading => {
                "let it run until `tidegate status` says that changes are followed, and stop it then"
            }
            ResetError::NoServer | ResetError::NoChanges => return None,
        })
    }
}

/// Says what follows, asks whether it is meant, and has the next run go on from there.
pub fn reset(task: &Task, to: &Until, is_meant: bool, say: &mut dyn FnMut(&str)) -> Result<(), ResetError> {
    let SourceOptions::Mysql(options) = &task.source else { return Err(ResetError::NoServer) };
    if task.incremental.is_none() {
        return Err(ResetError::NoChanges);
    }
    let state = StateFolder::open(&task.state).map_err(CheckpointError::from)?;
    let stored = checkpoint::load(&state, &task.name)?;
    let stored = stored.ok_or_else(|| ResetError::NotBegun(task.state.clone()))?;
    let Some(before) = stored.source.position.clone().filter(|_| stored.source.ledger.is_none()) else {
        return Err(ResetError::Loading);
    };
    // What comes before it is delivered, and read again.
    if before.delivered.as_ref().is_some_and(|delivered| delivered.events == 0 && delivered.until != before.coordinate)
    {
        return Err(ResetError::Held);
    }
    let runtime = runtime()?;
    let source = MysqlSource::open(task, options, &runtime, Some(&stored))?;
    let stored = stored.of_source(&source.identity(), &task.state)?;
    // A run on another machine has the same task.
    let lock = source.lock(task, Box::new(|| ()))?;
    let Some(other) = source.other_place(to, &before)? else {
        say(&format!("the task is there already: {}\n", before.place()));
        return Ok(());
    };
    let OtherPlace { position, is_ahead, .. } = &other;
    let (from, at, is_ahead) = (before.place().to_string(), position.place().to_string(), *is_ahead);
    say(&match is_ahead {
        true => format!(
            "on from {from} to {at}: changes between both are left out, for good; rows that they have changed stay with consumers as they are \
             until they change again, or are loaded by `tidegate reload`\n"
        ),
        false => format!(
            "back from {from} to {at}: changes between both are sent once more, each key's in their order; until the last of them has come, \
             consumers see rows as they were then, and places in messages fall; rows of a table without a key come twice\n"
        ),
    });
    let mut moved = stored.clone();
    let at_place = move_to(&mut moved, &before, other);
    let (first, last) = if is_ahead { (&stored, &at_place) } else { (&moved, &before) };
    say("what stands between is read, and nothing of it is sent\n");
    let mut reader = MysqlSource::open(task, options, &runtime, Some(&stored))?;
    let end = last.gtids.clone().map_or_else(|| Until::Place(last.coordinate.clone()), Until::Gtids);
    reader.end_at(task, &end, first)?;
    let there = match rehearsal::read_on(&reader, task, first, &runtime, None)? {
        (Ended::At(_), there) => there.source.schemas(),
        (Ended::Stopped(place, error), _) if is_ahead => {
            return Err(ResetError::Stopped { place, error: Box::new(error) });
        }
        (Ended::Stopped(place, error), _) => return Err(ResetError::Unread { place, error: Box::new(error) }),
        (Ended::Turn(place, table), _) => return Err(ResetError::Turn { place, table }),
        (Ended::NotTried, _) => return Err(ResetError::Loading),
    };
    match is_ahead {
        true => moved.source.know(there),
        false => history::is_kept(&moved.source.schemas(), &there)
            .map_err(|table| ResetError::Altered { table: table.clone(), at: at.clone() })?,
    }
    match rehearsal::read_on(&source, task, &moved, &runtime, Some(REHEARSAL))?.0 {
        Ended::Stopped(place, error) => {
            let hint = error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            say(&format!("a run would stop behind {place}: {error}{hint}\n"));
        }
        Ended::Turn(place, table) => say(&format!("a run would load {table} behind {place}\n")),
        Ended::At(_) | Ended::NotTried => {}
    }
    if !is_meant && !confirm::is_meant("is that meant?", say) {
        say("nothing was done\n");
        return Ok(());
    }
    if let Some(lock) = &lock {
        lock.check().map_err(MysqlError::RunLock)?;
    }
    let details = match is_ahead {
        true => format!("on from {from} to {at}: changes between both are left out"),
        false => format!("back from {from} to {at}"),
    };
    moved.journal.note(What::Reset, By::Command, details);
    moved.save(&state)?;
    say(&format!("the next run goes on from {at}\n"));
    Ok(())
}

/// Moves the state there, with what the task knows of tables where it is. Gives the place.
fn move_to(checkpoint: &mut Checkpoint, before: &Position, other: OtherPlace) -> Position {
    let OtherPlace { position, is_ahead } = other;
    checkpoint.source.know(history::moved_back(&checkpoint.source.schemas(), before, &position.coordinate));
    if is_ahead {
        checkpoint.add_gap(Gap {
            from: before.place().to_string(),
            to: position.place().to_string(),
            accepted_s: now_s(),
            left: checkpoint.tables.iter().map(|(name, _)| name.clone()).collect(),
            loaded: Vec::new(),
            gone: Vec::new(),
        });
    }
    checkpoint.source.position = Some(position.clone());
    position
}
