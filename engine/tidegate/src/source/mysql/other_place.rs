//! Another place in the server's binlog, for a task to go on from.

use super::MysqlSource;
use super::until::kept_otherwise;
use crate::error::Error;
use crate::reset::ResetError;
use crate::until::Until;
use tidegate_model::{Position, Watermark};
use tidegate_mysql::dump_error::DumpError;
use tidegate_mysql::{MysqlError, same_history, until};

/// Where a task may go on.
pub struct OtherPlace {
    pub position: Position,
    /// It lies behind where the task is.
    pub is_ahead: bool,
}

impl MysqlSource {
    /// Finds the place, and refuses one from which the server cannot be read. None if it is where the task is.
    pub fn other_place(&self, to: &Until, before: &Position) -> Result<Option<OtherPlace>, Error> {
        let (connect, facts) = (&self.look.connect, &self.look.facts);
        let has_gtids = before.gtids.is_some();
        // That changes are not there any more is no matter, but that the server has others in their place.
        if let Err(error @ MysqlError::Dump(DumpError::OtherHistory { .. } | DumpError::PastEnd { .. })) =
            same_history::check(connect, facts.server_uuid(), before)
        {
            return Err(ResetError::OtherHistory(error).into());
        }
        let not_found = |error| ResetError::NotFound { to: to.clone(), error };
        let position = match to {
            Until::Place(at) => {
                let found = until::look_up(connect, facts, at, has_gtids).map_err(not_found)?;
                Position::new(found.at, found.gtids)
            }
            Until::Gtids(set) => {
                if let Some(kept) = kept_otherwise(has_gtids, facts, set) {
                    return Err(ResetError::OtherKind { to: to.clone(), kept }.into());
                }
                let file = until::file_of(connect, facts, set).map_err(not_found)?;
                Position::new(file, Some(set.clone()))
            }
            Until::Now(_) | Until::Time(_) => return Err(ResetError::NoPlace(to.clone()).into()),
        };
        let position = self.with_file(position)?;
        same_history::check(connect, facts.server_uuid(), &position)
            .map_err(|error| ResetError::Gone { to: to.clone(), error })?;
        let (is_before, is_behind) = match (&position.gtids, before.sent()) {
            (Some(there), Some(here)) => (here.contains_set(there), there.contains_set(here)),
            _ => (position.coordinate <= *before.reached(), position.coordinate >= *before.reached()),
        };
        // Of a transaction that is half sent, or one that waits for its XA COMMIT, there is something to do again.
        if is_before && is_behind && before.delivered.is_none() {
            return Ok(None);
        }
        if !is_before && !is_behind {
            return Err(ResetError::Beside { to: to.clone(), at: before.place().to_string() }.into());
        }
        let began = match &position.gtids {
            Some(gtids) => Watermark::Gtids(gtids.clone()),
            None => Watermark::Coordinate(position.coordinate.clone()),
        };
        Ok(Some(OtherPlace { position: position.with_beginning(Some(began)), is_ahead: !is_before }))
    }
}
