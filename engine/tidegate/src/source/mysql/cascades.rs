//! Says once of each foreign key that comes while the task runs that it changes rows which the topics do not get to know.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use tracing::warn;

use super::look::Look;
use crate::config::Task;
use tidegate_mysql::check::{self, BinlogGaps, Cascade};
use tidegate_mysql::connection::ServerFacts;

#[derive(Clone)]
pub(super) struct Cascades {
    /// None where nobody wants to know.
    facts: Option<Arc<ServerFacts>>,
    told: Arc<Mutex<HashSet<Cascade>>>,
}

impl Cascades {
    /// `are_told`: what the look has found is said already.
    pub(super) fn of(task: &Task, look: &Look, gaps: Option<&BinlogGaps>, are_told: bool) -> Cascades {
        let is_wanted = gaps.is_some() && !task.ignored_items.contains(&"foreign_keys");
        let found = gaps.filter(|_| are_told).map(|gaps| gaps.cascades.iter().cloned().collect());
        Cascades {
            facts: is_wanted.then(|| Arc::new(look.facts.clone())),
            told: Arc::new(Mutex::new(found.unwrap_or_default())),
        }
    }

    /// `at`: where in the binlog it comes from, or what shows it.
    pub(super) fn tell(&self, cascade: Cascade, at: &str) {
        let finding =
            self.facts.as_ref().and_then(|facts| check::check_cascades(facts, std::slice::from_ref(&cascade)));
        let Some(finding) = finding else { return };
        if self.told.lock().expect("nothing here panics").insert(cascade.clone()) {
            warn!(table = %cascade.table, key = %cascade.key, at, hint = finding.hint, "{finding}");
        }
    }
}
