//! Changes that a server has purged before they were read, and how a task goes on behind them.
//!
//! ```text
//! ──● position      purged         oldest file                 now
//!   └──────────────────── the gap, which is not read ───────────┘── as a task begins ──►
//!                                                                   tables loaded again, or left as consumers have them
//! ```
//!
//! Nobody can say what the gap changed. So a start that meets one is refused, and goes on only if the user says what is to become of the
//! tables: [`AfterGap`]. Rows that were deleted in the gap stay with consumers either way, since nothing tells of them any more; a load
//! puts right everything else. What was left out is written down in the state
//! ([`Gap`](crate::checkpoint::Gap)), for as long as there is one.
//!
//! The gap reaches to the present, beyond what is purged: what the tables were like in the files that are left, only those that
//! are gone could tell. Without GTIDs, reading begins at the start of the present file, as it always does there. A table that is left has an entry in
//! the ledger then, as if it had been read at the gap's end: what is older is dropped.

use std::fmt;
use std::str::FromStr;

use crate::config::{TableSelection, Task};
use tidegate_model::TableName;

/// What is to become of the tables behind a gap.
#[derive(Clone, Debug)]
pub enum AfterGap {
    /// All of them are loaded again.
    Load,
    /// Those that are chosen are; the others are left as they are.
    LoadSome(Vec<Chosen>),
    /// None is, but those whose load was not at its end.
    Leave,
}

/// An entry as `tables` has them.
#[derive(Clone, Debug)]
pub struct Chosen {
    entry: String,
    excludes: bool,
    /// Without regard to that.
    tables: TableSelection<()>,
}

impl Chosen {
    fn selects(&self, table: &TableName) -> bool {
        self.tables.matches(&table.database, &table.table).is_some()
    }
}

impl AfterGap {
    pub fn loads(&self, table: &TableName) -> bool {
        match self {
            AfterGap::Load => true,
            AfterGap::LoadSome(chosen) => {
                let selects = |excludes| chosen.iter().any(|one| one.excludes == excludes && one.selects(table));
                selects(false) && !selects(true)
            }
            AfterGap::Leave => false,
        }
    }

    /// An entry that selects none of the tables.
    pub fn without_table<'a>(&self, tables: impl Iterator<Item = &'a TableName> + Clone) -> Option<&str> {
        let AfterGap::LoadSome(chosen) = self else { return None };
        let only_excludes = chosen.iter().all(|one| one.excludes);
        let has_none = |one: &&Chosen| only_excludes || !tables.clone().any(|table| one.selects(table));
        chosen.iter().find(has_none).map(|one| one.entry.as_str())
    }

    /// The tables, on a server that compares names as `task` has found out.
    pub fn on_server_of(self, task: &Task) -> AfterGap {
        if let AfterGap::LoadSome(chosen) = &self
            && task.tables.folds_names()
        {
            // One entry names no table twice.
            chosen.iter().for_each(|one| _ = one.tables.fold_names());
        }
        self
    }
}

impl fmt::Display for AfterGap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AfterGap::Load => f.write_str("load"),
            AfterGap::Leave => f.write_str("leave"),
            AfterGap::LoadSome(chosen) => {
                let entries: Vec<&str> = chosen.iter().map(|one| one.entry.as_str()).collect();
                f.write_str(&entries.join(","))
            }
        }
    }
}

impl FromStr for AfterGap {
    type Err = String;

    /// `load`, `leave`, or names and patterns as `tables` has them, with commas between them.
    fn from_str(text: &str) -> Result<AfterGap, String> {
        match text {
            "load" => Ok(AfterGap::Load),
            "leave" => Ok(AfterGap::Leave),
            entries => entries.split(',').map(chosen).collect::<Result<_, _>>().map(AfterGap::LoadSome),
        }
    }
}

fn chosen(entry: &str) -> Result<Chosen, String> {
    let entry = entry.trim();
    let (excludes, included) = match entry.strip_prefix('!') {
        Some(included) => (true, included.trim_start()),
        None => (false, entry),
    };
    let tables = TableSelection::parse(&[included.to_owned()]);
    let tables = tables.map_err(|broken| format!("{broken}, or the whole load or leave"))?;
    Ok(Chosen { entry: entry.to_owned(), excludes, tables })
}
