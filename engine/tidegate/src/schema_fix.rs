//! Columns that neither the binlog nor any statement in it tells, said by somebody who knows: `tidegate schema-fix`.
//!
//! Where reading stops because nobody knows the columns of rows that stand there, they can be known to people: from the catalogue, if
//! nothing has altered the table since, or from a CREATE TABLE of that time. What they say becomes an entry of the history
//! ([`SchemaState::Given`]) for the transaction of these rows, and is compared with their table map like everything else.
//!
//! ```text
//! rehearse   the binlog is read on from where the task is, without sending anything, up to where it stops
//! find       the definition, in the catalogue or in a file
//! rehearse   once more, with it: is that place passed, and does a statement behind it alter the table again? Then the catalogue
//!            shows what became of it later
//! store      the run goes on from where it was, and meets the same
//! ```

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use crate::checkpoint::journal::{By, What};
use crate::checkpoint::{self, Checkpoint, CheckpointError};
use crate::config::{SourceOptions, Task};
use crate::error::Error;
use crate::open::runtime;
use crate::rehearsal::{self, Ended};
use crate::source::mysql::MysqlSource;
use crate::source::{Source, SourceError};
use tidegate_flow::store::StateFolder;
use tidegate_model::{Column, Coordinate, Gtid, Table, TableName};
use tidegate_mysql::MysqlError;
use tidegate_mysql::definition::{self, NotUnderstood, Server};
use tidegate_mysql::history::{Defined, SchemaState, StoredSchema};

/// Who says what the columns are.
#[derive(Clone, Debug)]
pub enum From {
    /// What the server has now.
    Catalogue,
    /// A file with the table's CREATE TABLE.
    File(PathBuf),
}

#[derive(Debug, thiserror::Error)]
pub enum FixError {
    /// What any task may meet.
    #[error(transparent)]
    Task(Box<Error>),
    #[error("the task reads no server's binlog")]
    NoServer,
    #[error("the task has not begun: there is no state in {}", .0.display())]
    NotBegun(PathBuf),
    #[error("its full load is not over, or one has to come first: nothing is read from the binlog yet")]
    NotReading,
    #[error("nothing is to be mended: the binlog can be read on up to {0}")]
    NotNeeded(String),
    #[error("reading stops for another reason, behind {place}: {error}")]
    Another { place: String, error: Box<Error> },
    #[error("reading stops at {found}, whose columns are not known, before any such row of {table}")]
    OtherTable { table: String, found: TableName },
    #[error("the catalogue has no table {0} that the task selects")]
    NotThere(TableName),
    #[error("the catalogue shows {table} as it is after {until}, and statements have altered it again behind {at}")]
    AlteredSince { table: TableName, at: Coordinate, until: Coordinate },
    #[error("nobody knows whether {table} was altered again, since reading stops behind {place}: {error}")]
    NotSeenToTheEnd { table: TableName, place: String, error: Box<Error> },
    #[error(
        "nobody knows whether {table} was altered again: behind {place}, {loaded} has to be loaded before reading goes on"
    )]
    LoadComesFirst { table: TableName, place: String, loaded: TableName },
    #[error("{table} was dropped behind {at}: what the catalogue has under its name is another table")]
    DroppedSince { table: TableName, at: Coordinate },
    #[error("reading did not come to the rows at {at}, for which it was told: {outcome}")]
    NotMet { at: Coordinate, outcome: String },
    #[error("file {} cannot be read: {error}", path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error("file {}: {error}", path.display())]
    Statement { path: PathBuf, error: NotUnderstood },
    #[error("these are not its columns at {at}: {error}")]
    DoesNotFit { at: Coordinate, error: Box<Error> },
}

impl<E: Into<Error>> std::convert::From<E> for FixError {
    fn from(error: E) -> FixError {
        FixError::Task(Box::new(error.into()))
    }
}

impl FixError {
    /// Whether the same may succeed later.
    pub fn may_pass(&self) -> bool {
        matches!(self, FixError::Task(error) if error.may_pass())
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        const FILE: &str = "--from FILE takes its CREATE TABLE as it was there: from a backup, a migration, or SHOW CREATE TABLE of another server";
        match self {
            FixError::Task(error) | FixError::Another { error, .. } => error.hint(),
            FixError::OtherTable { found, .. } => Some(format!("begin with {found}")),
            FixError::NotThere(_)
            | FixError::AlteredSince { .. }
            | FixError::DroppedSince { .. }
            | FixError::LoadComesFirst { .. }
            | FixError::NotSeenToTheEnd { .. } => Some(FILE.to_owned()),
            FixError::Statement { .. } => Some(
                "the file holds one statement, as SHOW CREATE TABLE prints it, with the character set of the table"
                    .to_owned(),
            ),
            FixError::DoesNotFit { .. } => Some(FILE.to_owned()),
            FixError::NotMet { .. } => Some("try it again".to_owned()),
            FixError::NotReading => Some("start the task: it loads first".to_owned()),
            _ => None,
        }
    }
}

/// Where reading stops for want of a table's columns.
struct Place {
    table: TableName,
    at: Coordinate,
    gtid: Option<Gtid>,
}

/// Finds out what is to be said, tries it, and stores it. Gives back what a user reads.
pub fn fix(task: &Task, table: &str, from: &From) -> Result<String, FixError> {
    let SourceOptions::Mysql(options) = &task.source else { return Err(FixError::NoServer) };
    let state = StateFolder::open(&task.state).map_err(CheckpointError::from)?;
    let stored = checkpoint::load(&state, &task.name)?;
    let mut stored = stored.ok_or_else(|| FixError::NotBegun(task.state.clone()))?;
    let runtime = runtime()?;
    let source = MysqlSource::open(task, options, &runtime, Some(&stored))?;
    let read_on = |stored: &Checkpoint| rehearsal::read_on(&source, task, stored, &runtime, None);

    // With what was told before, this may be the next place.
    let mut first = read_on(&stored)?.0;
    let is_next = |ended: &Ended| matches!(ended, Ended::Stopped(_, error) if stopped_at(error).is_some_and(|place| is_named(&place.table, table)));
    if !is_next(&first) && forget_told(&mut stored, table) {
        first = read_on(&stored)?.0;
    }
    let place = match first {
        Ended::NotTried => return Err(FixError::NotReading),
        Ended::At(place) | Ended::Turn(place, _) => return Err(FixError::NotNeeded(place)),
        Ended::Stopped(place, error) => match stopped_at(&error) {
            Some(place) => place,
            None => return Err(FixError::Another { place, error: Box::new(error) }),
        },
    };
    if !is_named(&place.table, table) {
        return Err(FixError::OtherTable { table: table.to_owned(), found: place.table });
    }

    let given = match from {
        From::Catalogue => {
            let found = source.tables().iter().find(|table| *table.name() == place.table);
            found.cloned().ok_or_else(|| FixError::NotThere(place.table.clone()))?
        }
        From::File(path) => {
            let sql = std::fs::read_to_string(path).map_err(|error| FixError::File { path: path.clone(), error })?;
            let table = definition::table_of(&sql, &place.table, Server::of(source.server_version()));
            Arc::new(table.map_err(|error| FixError::Statement { path: path.clone(), error })?)
        }
    };
    let defined = Defined::of(&given).expect("catalogue and statements tell what the next statement builds on");
    let mut fixed = stored;
    fixed.source.record_schema(StoredSchema {
        table: place.table.clone(),
        since: place.at.clone(),
        gtid: place.gtid.clone(),
        state: SchemaState::Given { defined },
    });

    let (ended, then) = read_on(&fixed)?;
    let further = match ended {
        Ended::NotTried => return Err(FixError::NotReading),
        Ended::At(place) => format!("the binlog can be read on up to {place}"),
        Ended::Turn(behind, loaded) if matches!(from, From::Catalogue) => {
            return Err(FixError::LoadComesFirst { table: place.table, place: behind, loaded });
        }
        Ended::Turn(behind, loaded) => {
            format!("the binlog can be read on up to {behind}, where {loaded} is loaded first")
        }
        Ended::Stopped(behind, error) => {
            if stopped_at(&error).is_some_and(|stopped| stopped.table == place.table && stopped.at == place.at) {
                return Err(FixError::DoesNotFit { at: place.at, error: Box::new(error) });
            }
            if matches!(from, From::Catalogue) {
                let (table, error) = (place.table, Box::new(error));
                return Err(FixError::NotSeenToTheEnd { table, place: behind, error });
            }
            format!("the next stop lies behind {behind}: {error}")
        }
    };
    let of_table = then.source.schemas.get(&place.table).map(Vec::as_slice).unwrap_or_default();
    let is_at = |entry: &&StoredSchema| entry.since == place.at && entry.gtid == place.gtid;
    let is_met = |entry: &StoredSchema| !entry.state.is_given();
    // What is behind it has been forgotten.
    let here: Vec<&StoredSchema> = of_table.iter().filter(is_at).collect();
    if !here.is_empty() && !here.iter().any(|entry| is_met(entry)) {
        return Err(FixError::NotMet { at: place.at, outcome: further });
    }
    if let From::Catalogue = from {
        match of_table.iter().rfind(|entry| is_met(entry)) {
            Some(last) if last.since == place.at && last.gtid == place.gtid => {}
            Some(last) => {
                let (table, until) = (place.table, last.since.clone());
                return Err(FixError::AlteredSince { table, at: place.at, until });
            }
            // It was dropped, and what is known of it forgotten.
            None => return Err(FixError::DroppedSince { table: place.table, at: place.at }),
        }
    }
    let by = match from {
        From::Catalogue => "the catalogue".to_owned(),
        From::File(path) => format!("{}", path.display()),
    };
    let details = format!("{} from {} on, by {by}", place.table, place.at);
    fixed.journal.note(What::SchemaFix, By::Command, details);
    fixed.save(&state)?;
    Ok(describe(&place, &given, &further))
}

/// As it may be typed.
fn is_named(table: &TableName, name: &str) -> bool {
    table.to_string().eq_ignore_ascii_case(name)
}

/// What was told before, and no run has met yet, can be told otherwise. True if there was something.
fn forget_told(stored: &mut Checkpoint, table: &str) -> bool {
    let names = stored.source.schemas.iter().map(|(name, _)| name).filter(|name| is_named(name, table));
    let mut had_some = false;
    for name in names.cloned().collect::<Vec<_>>() {
        let mut entries = stored.source.schemas.get(&name).cloned().unwrap_or_default();
        let count = entries.len();
        entries.retain(|entry| !entry.state.is_given());
        had_some |= entries.len() < count;
        stored.source.schemas.insert(name, entries);
    }
    had_some
}

fn stopped_at(error: &Error) -> Option<Place> {
    let Error::Source(SourceError::Mysql(MysqlError::Binlog(error))) = error else { return None };
    let (table, at, gtid) = error.unknown_columns()?;
    Some(Place { table: table.clone(), at: at.clone(), gtid: gtid.cloned() })
}

fn describe(place: &Place, given: &Table, further: &str) -> String {
    let mut text = format!("{} from {} on:\n", place.table, place.at);
    for Column { name, type_text, .. } in given.columns() {
        writeln!(text, "  {name} {type_text}").expect("a text takes all");
    }
    text + &format!("stored; {further}\n")
}
