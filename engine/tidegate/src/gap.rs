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
//! puts right everything else. What was left out is written down in the state, for as long as there is one.
//!
//! The gap reaches to the present, beyond what is purged: what the tables were like in the files that are left, only those that
//! are gone could tell.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::{TableSelection, Task};
use tidegate_model::TableName;

/// What is to become of the tables behind a gap.
#[derive(Clone, Debug)]
pub enum AfterGap {
    /// All of them are loaded again.
    Load,
    /// These are; the others are left as they are.
    LoadSome(TableSelection<()>),
    /// None is, but those whose load was not at its end.
    Leave,
}

impl AfterGap {
    pub fn loads(&self, table: &TableName) -> bool {
        match self {
            AfterGap::Load => true,
            AfterGap::LoadSome(tables) => tables.matches(&table.database, &table.table).is_some(),
            AfterGap::Leave => false,
        }
    }

    /// The tables, on a server that compares names as `task` has found out.
    pub fn on_server_of(self, task: &Task) -> AfterGap {
        if let AfterGap::LoadSome(tables) = &self
            && task.tables.folds_names()
        {
            // Two names of one table select it all the same.
            _ = tables.fold_names();
        }
        self
    }
}

impl FromStr for AfterGap {
    type Err = String;

    /// `load`, `leave`, or names and patterns as `tables` has them, with commas between them.
    fn from_str(text: &str) -> Result<AfterGap, String> {
        match text {
            "load" => Ok(AfterGap::Load),
            "leave" => Ok(AfterGap::Leave),
            tables => {
                let entries: Vec<String> = tables.split(',').map(|entry| entry.trim().to_owned()).collect();
                Ok(AfterGap::LoadSome(TableSelection::parse(&entries)?))
            }
        }
    }
}

/// A gap that a task has gone on behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Up to where changes had been read, as [`Position::place`](tidegate_model::Position::place) tells it.
    pub from: String,
    /// Where reading began again.
    pub to: String,
    /// When it was accepted, in seconds since 1970.
    pub accepted_s: u32,
    /// Tables of which changes in it were not sent, and that were not loaded again.
    pub left: Vec<TableName>,
    pub loaded: Vec<TableName>,
}
