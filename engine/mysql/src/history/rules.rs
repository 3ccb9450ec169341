//! What a history is told of its task: what becomes of rows that statements move, and what the full load has to do with them.

use std::collections::{HashMap, VecDeque};

use super::{ColumnsFault, HistoryError, SchemaState, StoredSchema};
use crate::ddl::UnloggedRows;
use tidegate_model::{Coordinate, Gtid, NameCase, TableName, Watermark};

/// What a statement does to the task that moves rows of captured tables without row events:
/// TRUNCATE, DROP TABLE, partitions that are dropped, truncated or exchanged, tablespaces that are discarded or imported,
/// renames. Default `warn`: most such statements are meant, and what consumers keep of the rows is theirs to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnloggedRowsPolicy {
    /// The log tells what consumers have now.
    Warn,
    /// Where rows came, the table is loaded once more while changes wait; where rows went, as `warn`.
    Reload,
    /// The task ends before the statement, each time it is started, until this option is another.
    Stop,
}

impl UnloggedRowsPolicy {
    /// As a task file has them.
    pub const WORDS: &[(&str, Self)] = &[
        ("warn", UnloggedRowsPolicy::Warn),
        ("reload", UnloggedRowsPolicy::Reload),
        ("stop", UnloggedRowsPolicy::Stop),
    ];
}

/// What a history has to know of server and task.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub names: NameCase,
    pub unlogged_rows: UnloggedRowsPolicy,
}

#[cfg(test)]
pub const RULES: Rules = Rules { names: NameCase::Exact, unlogged_rows: UnloggedRowsPolicy::Warn };

/// What the full load has to do with rows that a statement moves without row events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// Its chunks were read behind the statement: consumers have what there is.
    Shown,
    /// It is not about the load: the table was never loaded by what is known of it.
    NotLoaded,
    /// The table is loaded behind the statement, or was gone by then: what it moves is of no consequence.
    Covered,
    /// Rows were sent that the statement has moved: the task says what then.
    Unknown,
    /// Reading stops before the statement, for the load has to take a turn first.
    Turn(Turn),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// From the statement on, every change of the table is emitted: what chunks have shown behind it is gone where the statement
    /// is carried out.
    Replay,
    /// All rows of the table are to be read once more: some came without row events.
    LoadAgain,
    /// All rows of the table are to be read: nothing was known of it, and not all of them have row events that were or will be
    /// read. Rows of an earlier table of this name may have been sent.
    Load,
    /// The same of a table of which the CREATE TABLE was read, but no row.
    LoadMade,
}

/// Tells what the full load has to do with a statement.
pub type Judge = Box<dyn Fn(&TableName, UnloggedRows, Here<'_>) -> Moved + Send>;

/// Tells whether the load has shown everything of a table up to a transaction, so that none of its changes leaves.
pub type Shows = Box<dyn Fn(&TableName, Here<'_>) -> bool + Send>;

/// By [`NameCase::key`], statements that are ahead and in what the catalogue has shown of their tables, in their order: where each stands,
/// and its first words.
pub type Overtaken = HashMap<TableName, VecDeque<(Coordinate, String)>>;

/// An event and the transaction that it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Here<'a> {
    pub at: &'a Coordinate,
    pub gtid: Option<&'a Gtid>,
}

impl Here<'_> {
    pub(super) fn is_covered_by(&self, shown_until: &Option<Watermark>) -> bool {
        shown_until.as_ref().is_some_and(|shown_until| shown_until.covers(self.gtid, self.at))
    }

    pub(crate) fn columns(&self, table: TableName, fault: ColumnsFault) -> HistoryError {
        HistoryError::Columns { table, at: self.at.clone(), gtid: self.gtid.cloned(), fault }
    }

    pub(super) fn entry(&self, table: &TableName, state: SchemaState) -> StoredSchema {
        StoredSchema { table: table.clone(), since: self.at.clone(), gtid: self.gtid.cloned(), state }
    }
}
