//! A task that is stopped goes on from another place in the binlog: `tidegate reset`.
//!
//! ```text
//! ───● B ─────────── A ●───────────────► now          back: what stands between comes once more, in its order
//! ───● A ─────────── B ●───────────────► now          on:   what stands between is left out, for good
//! ```
//!
//! *What tables are like there*: on the way on, what stands between is read and thrown away, so that the state is what a run would have, and what would
//! stop a run keeps the task from going on. On the way back it is what the task knows where it is, as if a catalogue had shown it there: the binlog is read
//! ahead for statements that are in it already, and where rows stand before one of these, whose columns nobody knows, reading stops, and `tidegate
//! schema-fix` goes on. So no row is read by columns of another time, statements that have been followed are not followed, or sent, again, and
//! what stands behind the task's own place is news as before.
//!
//! *XA transactions* that were prepared before the place are unknown, like those from before a task began: their XA COMMIT stops a run, by name.
//!
//! Behind a load that has not been passed there is no other place: which changes its rows show is told from where it began.

use std::time::Duration;

use crate::checkpoint::{self, Checkpoint, CheckpointError};
use crate::config::{SourceOptions, Task};
use crate::confirm;
use crate::error::Error;
use crate::gap::Gap;
use crate::journal::{By, What};
use crate::rehearsal::{self, Ended};
use crate::source::Source as _;
use crate::source::mysql::{MysqlSource, OtherPlace};
use crate::task::runtime;
use crate::until::Until;
use tidegate_flow::store::StateFolder;
use tidegate_model::{Position, TableName, Watermark, now_s};
use tidegate_mysql::MysqlError;
use tidegate_mysql::history::{self, StoredSchema};
use tidegate_mysql::until::LookUpError;

/// For how long it is tried whether a run would go on there.
const REHEARSAL: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    #[error("the task reads no server's binlog")]
    NoServer,
    #[error("the task follows no changes")]
    NoChanges,
    #[error("the task has not begun: there is no state in {}", .0.display())]
    NotBegun(std::path::PathBuf),
    #[error("the task has not come past its load, whose rows are told from changes by where it began")]
    Loading,
    #[error("--to {0}: a place is where a transaction ends, as `tidegate state` prints it")]
    NoPlace(Until),
    #[error("--to {to}: the task keeps its place by {kept}")]
    OtherKind { to: Until, kept: &'static str },
    #[error("--to {to}: {error}")]
    NotFound { to: Until, error: LookUpError },
    #[error("--to {to}: the server has not all that comes behind it: {error}")]
    Gone { to: Until, error: MysqlError },
    #[error("the server's history is no longer the one that the task has read: {0}")]
    OtherHistory(MysqlError),
    #[error(
        "--to {to}: it lies neither before {at}, where the task is, nor behind it: each has transactions that the other has not"
    )]
    Beside { to: Until, at: String },
    #[error("what stands between cannot be left out, since reading stops behind {place}: {error}")]
    Stopped { place: String, error: Box<Error> },
    #[error("what stands between cannot be left out: behind {place}, table {table} is to be loaded")]
    Turn { place: String, table: TableName },
    #[error("of table {table}, nobody knows the columns where the task is, since `{statement}`")]
    NotKnown { table: TableName, statement: String },
}

impl ResetError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            ResetError::Stopped { error, .. } => return error.hint(),
            error => error.own_hint()?.to_owned(),
        })
    }

    fn own_hint(&self) -> Option<&'static str> {
        Some(match self {
            ResetError::Turn { .. } => "let it run until it has come past that place, and stop it then",
            ResetError::NotKnown { .. } => "`tidegate schema-fix` says what they are",
            ResetError::Stopped { .. } => return None,
            ResetError::NotBegun(_) => "`tidegate run` begins it; a state elsewhere is named by `state`",
            ResetError::Loading => {
                "let it run until `tidegate status` says that changes are followed, and stop it then"
            }
            ResetError::NoPlace(_) | ResetError::OtherKind { .. } => {
                "write binlog.000042:1897, or a set of GTIDs where the server keeps some"
            }
            ResetError::Gone { .. } => "choose a place that the server has: `SHOW BINARY LOGS` lists its files",
            ResetError::Beside { .. } => {
                "`tidegate state` prints the set that the task has: take transactions from it, or add some"
            }
            ResetError::OtherHistory(_) => {
                "begin again with a full load: move the state folder away and delete the topics"
            }
            ResetError::NoServer | ResetError::NoChanges | ResetError::NotFound { .. } => return None,
        })
    }
}

/// Says what follows, asks whether it is meant, and has the next run go on from there.
pub fn reset(task: &Task, to: &Until, is_meant: bool, say: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let SourceOptions::Mysql(options) = &task.source else { return Err(ResetError::NoServer.into()) };
    if task.incremental.is_none() {
        return Err(ResetError::NoChanges.into());
    }
    let state = StateFolder::open(&task.state).map_err(CheckpointError::from)?;
    let stored = checkpoint::load(&state, &task.name)?;
    let stored = stored.ok_or_else(|| ResetError::NotBegun(task.state.clone()))?;
    let Some(before) = stored.position.clone().filter(|_| stored.ledger.is_none()) else {
        return Err(ResetError::Loading.into());
    };
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
    let known = match is_ahead {
        true => {
            let until = position.gtids.clone();
            let until = until.map_or_else(|| Watermark::Coordinate(position.coordinate.clone()), Watermark::Gtids);
            say("what stands between is read, and nothing of it is sent\n");
            match rehearsal::read_on(&source, task, &stored, &runtime, None, Some(until))? {
                (Ended::At(_), there) => there.schemas(),
                (Ended::Stopped(place, error), _) => {
                    return Err(ResetError::Stopped { place, error: Box::new(error) }.into());
                }
                (Ended::Turn(place, table), _) => return Err(ResetError::Turn { place, table }.into()),
                (Ended::NotTried, _) => return Err(ResetError::Loading.into()),
            }
        }
        false => history::shown_again(&stored.schemas(), &before, &position.coordinate)
            .map_err(|(table, statement)| ResetError::NotKnown { table, statement })?,
    };
    let mut moved = stored;
    move_to(&mut moved, &before, other, known);
    if !is_ahead {
        say(
            "if the binlog has no names of columns, and an ALTER TABLE lies between, a run stops before rows from before it\n",
        );
    }
    match rehearsal::read_on(&source, task, &moved, &runtime, Some(REHEARSAL), None)?.0 {
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

/// Moves the state there.
fn move_to(checkpoint: &mut Checkpoint, before: &Position, other: OtherPlace, known_there: Vec<StoredSchema>) {
    let OtherPlace { position, is_ahead } = other;
    let known: Vec<TableName> = checkpoint.schemas.iter().map(|(name, _)| name.clone()).collect();
    known.iter().for_each(|name| checkpoint.schemas.remove(name));
    known_there.into_iter().for_each(|entry| checkpoint.record_schema(entry));
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
    checkpoint.position = Some(position);
}
