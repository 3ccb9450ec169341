//! Another place in the server's binlog, for a task to go on from.

use super::MysqlSource;
use super::until::kept_otherwise;
use crate::source::SourceError;
use crate::until::Until;
use tidegate_model::{Position, Watermark};
use tidegate_mysql::dump_error::DumpError;
use tidegate_mysql::until::LookUpError;
use tidegate_mysql::{MysqlError, same_history, until};

/// Where a task may go on.
pub struct OtherPlace {
    pub position: Position,
    /// It lies behind where the task is.
    pub is_ahead: bool,
}

/// Why a task cannot go on there.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
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
}

impl PlaceError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            PlaceError::NoPlace(_) | PlaceError::OtherKind { .. } => {
                "write binlog.000042:1897, or a set of GTIDs where the server keeps some"
            }
            PlaceError::Gone { .. } => "choose a place that the server has: `SHOW BINARY LOGS` lists its files",
            PlaceError::Beside { .. } => {
                "`tidegate state` prints the set that the task has: take transactions from it, or add some"
            }
            PlaceError::OtherHistory(_) => {
                "begin again with a full load: move the state folder away and delete the topics"
            }
            PlaceError::NotFound { .. } => return None,
        })
    }
}

impl MysqlSource {
    /// Finds the place, and refuses one from which the server cannot be read. None if it is where the task is.
    pub fn other_place(&self, to: &Until, before: &Position) -> Result<Option<OtherPlace>, SourceError> {
        let (connect, facts) = (&self.look.connect, &self.look.facts);
        let has_gtids = before.gtids.is_some();
        // That changes are not there any more is no matter, but that the server has others in their place.
        if let Err(error @ MysqlError::Dump(DumpError::OtherHistory { .. } | DumpError::PastEnd { .. })) =
            same_history::check(connect, facts.server_uuid(), before)
        {
            return Err(PlaceError::OtherHistory(error).into());
        }
        let not_found = |error| PlaceError::NotFound { to: to.clone(), error };
        let position = match to {
            Until::Place(at) => {
                let found = until::look_up(connect, facts, at, has_gtids).map_err(not_found)?;
                Position::new(found.at, found.gtids)
            }
            Until::Gtids(set) => {
                if let Some(kept) = kept_otherwise(has_gtids, facts, set) {
                    return Err(PlaceError::OtherKind { to: to.clone(), kept }.into());
                }
                let file = until::file_of(connect, facts, set).map_err(not_found)?;
                Position::new(file, Some(set.clone()))
            }
            Until::Now(_) | Until::Time(_) => return Err(PlaceError::NoPlace(to.clone()).into()),
        };
        let position = self.with_file(position)?;
        same_history::check(connect, facts.server_uuid(), &position)
            .map_err(|error| PlaceError::Gone { to: to.clone(), error })?;
        let (is_before, is_behind) = match (&position.gtids, before.sent()) {
            (Some(there), Some(here)) => (here.contains_set(there), there.contains_set(here)),
            _ => (position.coordinate <= *before.reached(), position.coordinate >= *before.reached()),
        };
        // Of a transaction that is half sent, or one that waits for its XA COMMIT, there is something to do again.
        if is_before && is_behind && before.delivered.is_none() {
            return Ok(None);
        }
        if !is_before && !is_behind {
            return Err(PlaceError::Beside { to: to.clone(), at: before.place().to_string() }.into());
        }
        let began = match &position.gtids {
            Some(gtids) => Watermark::Gtids(gtids.clone()),
            None => Watermark::Coordinate(position.coordinate.clone()),
        };
        Ok(Some(OtherPlace { position: position.with_beginning(Some(began)), is_ahead: !is_before }))
    }
}
