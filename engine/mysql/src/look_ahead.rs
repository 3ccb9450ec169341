//! Which rows need not be understood, because the full load has read its table behind a statement that comes after them?
//!
//! Without names in table maps, rows are read by what the catalogue showed when the task began, and reading begins before that: where
//! no better place is certain, at the start of a file ([`snapshot`](super::snapshot)). A statement in between has changed columns, or may have:
//!
//! ```text
//! binlog  ──P0─── rows ─── ALTER TABLE t ─── rows ───┬────────────────────►
//!                  │             │               catalogue, views
//!                  │             └ the catalogue shows what it has left
//!                  └ by columns that nobody has seen
//! ```
//!
//! Those rows leave nothing behind that is not in the load. Such a statement takes the table for itself: it begins when every transaction
//! that has changed the table is over, in the engine too, and a session has its change in the binlog before it lets go of the table. So what
//! stands before it in the binlog was committed when it took effect; and a view that was opened behind it shows all of it. If *every* view
//! was, also those of attempts that failed and of another server, the statement is a `low` for the whole table: no change from before it
//! leaves, and nobody asks what its columns were.
//!
//! *Which statements.* Not every one that is logged has waited: one that changes nothing need not ([`excludes`](super::ddl::Words::excludes)). A wrong
//! one loses rows: those that are in the binlog and not yet in the engine while the load's views open.
//!
//! *When.* For each key there is one point up to which its changes are dropped. So this is decided once, for good, before the first change
//! behind the load leaves: the binlog is read for its statements alone, from there to where the catalogue has been, and what is found is on disk
//! before reading begins; also that there was nothing. An XA transaction counts where it is committed. That its rows were read by columns of
//! a later time stops reading at the statement all the same.
//!
//! That is at most as much as the catalogue is ahead of the position, a file at most where a load begins, and only where table maps have no names.
//! Where statements are forwarded nothing is passed over: whoever carries out one from before has no use for rows that were read behind it.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::binlog::{Fault, Schemas, TableMap};
use super::ddl::Words;
use super::definition::Session;
use super::history::{Here, History};
use tidegate_model::{Coordinate, Gtid, Statement, Table, TableName};

/// A statement, and a captured table that it has had for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excluded {
    pub(crate) table: TableName,
    pub(crate) at: Coordinate,
    pub(crate) gtid: Option<Gtid>,
}

/// Has a decoder pass over all rows, and tells of statements.
pub(crate) struct LookAhead {
    pub(crate) history: History,
    pub(crate) found: Sender<Excluded>,
}

impl Schemas for LookAhead {
    fn table(&mut self, _: &TableMap<'_>, _: Here<'_>) -> Result<Option<Arc<Table>>, Fault> {
        Ok(None)
    }

    fn statement(
        &mut self,
        default_database: &str,
        sql: &str,
        session: &Session,
        here: Here<'_>,
    ) -> Result<Option<Statement>, Fault> {
        for table in self.history.excluded(&Words::of(sql, default_database, session), here) {
            // Nobody may want to hear of it any more.
            _ = self.found.send(Excluded { table, at: here.at.clone(), gtid: here.gtid.cloned() });
        }
        Ok(None)
    }
}
