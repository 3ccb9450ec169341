//! Says once of each foreign key that comes while the task runs that it changes rows which the topics do not get to know.
//!
//! What a table has, the server is asked behind a statement that may have brought some. It tells what is there by then: of a key that came and went
//! meanwhile, nothing is left to be done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tracing::warn;

use super::look::Look;
use crate::config::Task;
use tidegate_model::TableName;
use tidegate_mysql::catalog;
use tidegate_mysql::check::{self, BinlogGaps};
use tidegate_mysql::connection::ServerFacts;
use tidegate_mysql::wire::ConnectOptions;

/// Of no more tables it is remembered what was told: of others it may be told once more.
const TABLES_MAX: usize = 10_000;

#[derive(Clone)]
pub(super) struct Cascades {
    /// None where nobody wants to know, or the server logs what such keys do.
    server: Option<Arc<(ConnectOptions, ServerFacts)>>,
    /// Names of the keys that were told, by the table that has them.
    told: Arc<Mutex<BTreeMap<TableName, BTreeSet<String>>>>,
}

impl Cascades {
    /// `are_told`: what the look has found is said already.
    pub(super) fn of(task: &Task, look: &Look, gaps: Option<&BinlogGaps>, are_told: bool) -> Cascades {
        let is_ignored = task.ignored_items.contains(&"foreign_keys");
        let is_wanted = gaps.is_some() && !is_ignored && !check::logs_cascades(&look.facts);
        let mut told: BTreeMap<TableName, BTreeSet<String>> = BTreeMap::new();
        for cascade in gaps.filter(|_| is_wanted && are_told).iter().flat_map(|gaps| &gaps.cascades) {
            told.entry(cascade.table.clone()).or_default().insert(cascade.key.clone());
        }
        Cascades {
            server: is_wanted.then(|| Arc::new((look.connect.clone(), look.facts.clone()))),
            told: Arc::new(Mutex::new(told)),
        }
    }

    /// A statement, which stands `at` this place, may have brought some to the table.
    pub(super) fn look(&self, table: &TableName, at: &str) {
        let Some(server) = &self.server else { return };
        let (connect, facts) = &**server;
        match catalog::show_create_now(connect, facts, table) {
            Ok(Some(definition)) => self.tell(table, &definition, at),
            // Gone since.
            Ok(None) => {}
            Err(error) => warn!(
                table = %table, at, %error,
                "whether a foreign key changes its rows could not be looked at: `tidegate check` tells"
            ),
        }
    }

    /// The table has this CREATE TABLE, by a statement `at` this place in the binlog, or by what shows it.
    pub(super) fn tell(&self, table: &TableName, definition: &str, at: &str) {
        let Some(server) = &self.server else { return };
        let found = check::cascades_of(table, definition);
        let names = found.iter().map(|cascade| cascade.key.clone()).collect();
        let before = self.remember(table, names);
        for cascade in found.into_iter().filter(|cascade| !before.contains(&cascade.key)) {
            if let Some(finding) = check::check_cascades(&server.1, std::slice::from_ref(&cascade)) {
                warn!(table = %table, key = %cascade.key, at, hint = finding.hint, "{finding}");
            }
        }
    }

    /// Gives back what was told of the table before.
    fn remember(&self, table: &TableName, names: BTreeSet<String>) -> BTreeSet<String> {
        let mut told = self.told.lock().expect("nothing here panics");
        let before = told.remove(table).unwrap_or_default();
        if !names.is_empty() {
            while told.len() >= TABLES_MAX {
                told.pop_first();
            }
            told.insert(table.clone(), names);
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_of_a_table_is_what_it_has_now() {
        let cascades = Cascades { server: None, told: Arc::default() };
        let remember = |table: &str, names: &[&str]| {
            let names = names.iter().map(|name| name.to_string()).collect();
            Vec::from_iter(cascades.remember(&TableName::new("shop", table), names)).join(" ")
        };
        assert_eq!(remember("a", &["x", "y"]), "");
        assert_eq!(remember("b", &["x"]), "");
        assert_eq!(remember("a", &["y"]), "x y");
        assert_eq!(remember("a", &[]), "y");
        assert_eq!(remember("a", &["x"]), "");
        for number in 0..TABLES_MAX + 5 {
            remember(&format!("of_many_{number}"), &["x"]);
        }
        assert_eq!(cascades.told.lock().unwrap().len(), TABLES_MAX);
        assert_eq!(remember(&format!("of_many_{}", TABLES_MAX + 4), &["x"]), "x");
    }
}
