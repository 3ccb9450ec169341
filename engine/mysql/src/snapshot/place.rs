//! Places in the binlog that views tell: where a load begins, and what is executed.

use super::view::{self, BINLOG_START, View, ViewRule};
use super::{Failure, LoadError, open_session};
use crate::connection::ServerFacts;
use crate::wire::{ConnectOptions, Connection, TextResult};
use tidegate_model::{Coordinate, GtidSet, Position, Watermark};

/// Whether views show all that is in the set of executed GTIDs.
pub(crate) fn shows_executed(facts: &ServerFacts) -> bool {
    ViewRule::of(facts) == ViewRule::Gtids
}

/// Whether [`start_position`] is the present, so that nothing is read from before it.
pub fn starts_at_present(facts: &ServerFacts) -> bool {
    matches!(ViewRule::of(facts), ViewRule::Gtids | ViewRule::MariadbSnapshot)
}

/// Where incremental reading starts, and where the binlog ended at that moment. Taken before the first chunk. Where nothing is read behind the
/// load (`is_followed`), an account that may not see the binlog has no place.
pub fn start_position(
    connect: &ConnectOptions,
    facts: &ServerFacts,
    is_followed: bool,
) -> Result<(Position, Coordinate), LoadError> {
    let view = || {
        let mut connection = open_session(connect, facts)?;
        View::open(&mut connection, ViewRule::of_load(facts, is_followed), facts, &[], None, 1)
    };
    let view = view().map_err(|failure| failure.of_session())?;
    let end = view.coordinate.clone();
    let (coordinate, gtids) = match view.low {
        // Every transaction that is not in the set stands in this file or a later one.
        Watermark::Gtids(gtids) => (Coordinate::new(view.coordinate.file, BINLOG_START), Some(gtids)),
        Watermark::Coordinate(coordinate) => (coordinate, None),
    };
    Ok((Position::new(coordinate, gtids), end))
}

/// What is executed now.
pub fn now(connect: &ConnectOptions, facts: &ServerFacts) -> Result<Watermark, LoadError> {
    Ok(end(connect, facts)?.0)
}

/// The same, and where the binlog ends: behind all that any view has shown that was opened before.
pub fn end(connect: &ConnectOptions, facts: &ServerFacts) -> Result<(Watermark, Coordinate), LoadError> {
    let view = || {
        let mut connection = open_session(connect, facts)?;
        View::open(&mut connection, ViewRule::of(facts), facts, &[], None, 1)
    };
    view().map(|view| (view.high, view.coordinate)).map_err(Failure::of_session)
}

/// The GTIDs of all files before that of `at`, and of what was never in one.
pub(crate) fn gtids_before_file(connection: &mut Connection, at: &Coordinate) -> Result<GtidSet, LoadError> {
    let mut gtids = || {
        let purged = connection.query(view::PURGED_STATEMENT)?;
        let purged = purged.first().and_then(TextResult::scalar).unwrap_or_default();
        view::gtids_before_file(connection, at, purged)
    };
    gtids().map_err(Failure::of_session)
}

/// Behind what every file begins with, that of `at` among them.
pub(crate) fn heading_end(connection: &mut Connection, at: &Coordinate) -> Result<Coordinate, LoadError> {
    let begin = view::file_begin(connection, at).map_err(Failure::of_session)?;
    Ok(Coordinate::new(at.file.clone(), begin.offset))
}

/// The GTIDs of all that stands before `at`, on MariaDB.
pub(crate) fn gtids_at(connection: &mut Connection, at: &Coordinate) -> Result<GtidSet, LoadError> {
    view::gtids_at(connection, at).map_err(Failure::of_session)
}
