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
//! was, that of the first attempt at the first chunk included, the statement is a `low` for the whole table: no change from before it leaves,
//! and nobody asks what its columns were.
//!
//! So before the first of such rows, reading stops, and the binlog is read from there to where the catalogue has been, for its statements alone.
//! That is at most a file, once, and only where table maps have no names. What is prepared (XA) counts where it is committed; its rows are
//! not passed over.

use std::sync::{Arc, Mutex, PoisonError};

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

/// What has been found since it was last taken.
#[derive(Clone, Default)]
pub(crate) struct Found(Arc<Mutex<Vec<Excluded>>>);

impl Found {
    pub(crate) fn take(&self) -> Vec<Excluded> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Has a decoder pass over all rows and gather statements.
pub(crate) struct LookAhead {
    history: History,
    found: Found,
}

impl LookAhead {
    pub(crate) fn new(history: History) -> (LookAhead, Found) {
        let found = Found::default();
        (LookAhead { history, found: found.clone() }, found)
    }
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
        let tables = self.history.excluded(&Words::of(sql, default_database, session), here);
        let excluded = |table| Excluded { table, at: here.at.clone(), gtid: here.gtid.cloned() };
        self.found.0.lock().unwrap_or_else(PoisonError::into_inner).extend(tables.into_iter().map(excluded));
        Ok(None)
    }
}
