//! Who knows the columns of tables.

use super::*;
use crate::definition::{Token, words};

/// What the decoder asks about tables.
pub trait Schemas: Send {
    /// The table's schema at this point of the binlog, `None` if the table is not captured.
    ///
    /// Asked once per table map that differs from the one before under the same table id, and again after a statement.
    fn table(&mut self, map: &TableMap<'_>, here: Here<'_>) -> Result<Option<Arc<Table>>, Fault>;

    /// Whether no change of the table in this transaction is wanted, though those of later ones may be: their columns may be
    /// others than those that are known. Not asked of rows that wait for an XA COMMIT.
    fn is_shown(&self, _map: &TableMap<'_>, _here: Here<'_>) -> bool {
        false
    }

    /// A statement that does not frame a transaction: DDL, or DML in statement format. May change schemas, or stop. Gives
    /// back what it does to captured tables.
    fn statement(
        &mut self,
        default_database: &str,
        sql: &str,
        session: &Session,
        here: Here<'_>,
    ) -> Result<Option<Statement>, Fault>;
}

impl Schemas for History {
    fn table(&mut self, map: &TableMap<'_>, here: Here<'_>) -> Result<Option<Arc<Table>>, Fault> {
        let name = map.name();
        let (described, fault) = match table_from_full_metadata(map) {
            Ok(described) => (described, None),
            Err(fault) => (None, Some(fault)),
        };
        let fits = |table: &Table| {
            check_against(map, table).map_err(|fault| match fault {
                Fault::Columns { mismatch, .. } => mismatch.to_string(),
                other => other.to_string(),
            })
        };
        // What cannot be read matters only for captured tables.
        match (self.resolve(&name, described, fits, here), fault) {
            (Ok(None), _) => Ok(None),
            (_, Some(fault)) => Err(here.columns(name, ColumnsFault::Mismatch { reason: fault.to_string() }).into()),
            (resolved, None) => Ok(resolved?),
        }
    }

    fn is_shown(&self, map: &TableMap<'_>, here: Here<'_>) -> bool {
        History::is_shown(self, &map.name(), here)
    }

    fn statement(
        &mut self,
        default_database: &str,
        sql: &str,
        session: &Session,
        here: Here<'_>,
    ) -> Result<Option<Statement>, Fault> {
        let statement = History::statement(self, default_database, sql, session, here)?;
        match statement.as_ref().and_then(|statement| statement.tables.first()) {
            Some(table) if begins_versioning(sql, session) => Err(Fault::Versioned { table: table.clone() }),
            _ => Ok(statement),
        }
    }
}

/// Whether a statement of MariaDB's makes a table keep rows that are no more.
fn begins_versioning(sql: &str, session: &Session) -> bool {
    let begins = |words: &[Token]| {
        matches!(words, [first, second, third]
            if (first.is("WITH") || first.is("ADD")) && second.is("SYSTEM") && third.is("VERSIONING"))
    };
    session.server.is_mariadb && words(sql, session).is_ok_and(|words| words.windows(3).any(begins))
}
