//! What differs is put right: `tidegate verify --repair`.
//!
//! ```text
//! missing, different   the source has the row    ─► its rows are loaded again, as by `tidegate reload --where`
//! extra                the source has it not     ─► nothing: it is named
//! ```
//!
//! A load of some rows keeps the order of each key, whoever is at work, and so may take more rows than differ: where keys are too many for a
//! condition, it is one of ranges around them, or the whole table.
//!
//! *Nothing is deleted.* That a row is extra says that the source, as today's task file and account show it, has none of its key. It may be of a
//! table that was left out or that the account does not see any more, of another task with the same topic, of a key that the server
//! takes for equal, or of a transaction that no view shows yet: a delete would be the last word on a row that is there.

use std::fmt::{self, Write};

use super::both::Both;
use super::outcome::Wrong;
use super::report::{Again, Repair};
use super::target::{Source, Told, is_one_of, key_rows};
use crate::reload;
use crate::reload::asked::{self, CONDITION_BYTES_MAX, Wish};
use tidegate_flow::store::StateFolder;
use tidegate_model::words::counted;
use tidegate_mysql::connection::quote_identifier;
use tidegate_mysql::snapshot::shown;

/// Ranges of a condition, if so many fit.
const RANGES_MAX: usize = 64;

/// What is to be put right, and has not been yet.
pub struct Plan {
    both: Both,
    /// The state of a task that does not run, which is nobody else's meanwhile. None while a run is at work.
    state: Option<StateFolder>,
    again: Vec<Again>,
    left: Vec<String>,
}

impl Plan {
    pub(super) fn new(both: Both, state: Option<StateFolder>, wrong: Vec<Wrong>) -> Plan {
        let mut plan = Plan { both, state, again: Vec::new(), left: Vec::new() };
        for (index, wrong) in wrong.into_iter().enumerate() {
            plan.add(index, wrong);
        }
        plan
    }

    fn add(&mut self, index: usize, wrong: Wrong) {
        let target = &self.both.targets[index];
        let Wrong { missing, different, others } = wrong;
        let (keys, extra) = ([missing, different].concat(), others.extra);
        let others = others.missing + others.different;
        let mut leave = |count: u64, why: &str| {
            if count > 0 {
                self.left.push(format!("left as is: {} of {}: {why}", counted(count, "row"), target.name));
            }
        };
        if !target.has_key() {
            let why = "no key tells them apart; `tidegate reload` sends each row of the table once more, which adds to those that are extra";
            leave(others + extra, why);
            return;
        }
        if keys.len() as u64 + others > 0 {
            match asked::is_possible(&self.both.task) {
                false => leave(keys.len() as u64 + others, asked::NOT_POSSIBLE),
                true => {
                    let names: Vec<&str> = target.key_names().collect();
                    let again = |source: &Source| {
                        let told = source.told.as_ref().filter(|_| others == 0);
                        let condition = told.and_then(|told| condition(told, &names, &keys));
                        Again { table: source.table.name().to_string(), condition }
                    };
                    self.again.extend(target.sources.iter().map(again));
                }
            }
        }
        leave(
            extra,
            "they are extra, and nothing is deleted: whoever knows that they are nowhere deletes them where they went, or loads the table into a new topic",
        );
    }

    /// Nothing is to be done, or can be; why, carrying it out says.
    pub fn is_empty(&self) -> bool {
        self.again.is_empty()
    }

    /// Does it, and says what was done.
    pub fn carry_out(mut self) -> Repair {
        let mut again = Vec::with_capacity(self.again.len());
        for wanted in std::mem::take(&mut self.again) {
            let Again { table, condition } = &wanted;
            let wish = condition.clone().map_or(Wish::Load, Wish::Part);
            let (task, tables) = (&self.both.task, std::slice::from_ref(table));
            let asked = match &self.state {
                Some(state) => reload::leave(task, state, tables, &wish).map(drop),
                None => reload::reload(task, tables, condition.as_deref(), false).map(drop),
            };
            match asked {
                Ok(()) => again.push(wanted),
                Err(error) => self.left.push(format!("left as is: {table}: {error}")),
            }
        }
        Repair { again, left: self.left }
    }
}

/// What a plan is, for people.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for again in &self.again {
            writeln!(f, "to be loaded again: {again}")?;
        }
        if self.state.is_some() && !self.is_empty() {
            writeln!(
                f,
                "what has changed since the task was at work is among them, and comes by its next run as well"
            )?;
        }
        self.left.iter().try_for_each(|left| writeln!(f, "{left}"))
    }
}

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.condition {
            Some(condition) => write!(f, "rows of {} where {}", self.table, shown(condition)),
            None => write!(f, "all rows of {}", self.table),
        }
    }
}

/// By which the server finds the rows of some keys, and maybe others: by each of them, or by ranges of the first column around
/// them if they are too many. None if neither can be said.
fn condition(columns: &[(String, Told)], names: &[&str], keys: &[Vec<u8>]) -> Option<String> {
    let rows = key_rows(columns, names, keys)?;
    let each = is_one_of(columns, &rows);
    if each.len() <= CONDITION_BYTES_MAX {
        return Some(each);
    }
    let first: Vec<i128> =
        (columns[0].1 == Told::Integer).then(|| rows.iter().flat_map(|row| row[0].parse()).collect())?;
    let mut count = RANGES_MAX;
    loop {
        let text = ranges(&quote_identifier(&columns[0].0), first.clone(), count);
        if text.len() <= CONDITION_BYTES_MAX {
            return Some(text);
        }
        count /= 2;
    }
}

/// So many ranges in which all numbers are, with the widest gaps between them.
fn ranges(column: &str, mut numbers: Vec<i128>, count: usize) -> String {
    numbers.sort_unstable();
    numbers.dedup();
    let mut gaps: Vec<usize> = (1..numbers.len()).collect();
    gaps.sort_by_key(|&at| numbers[at - 1] - numbers[at]);
    gaps.truncate(count.max(1) - 1);
    gaps.sort_unstable();
    gaps.push(numbers.len());
    let (mut text, mut from) = (String::new(), 0);
    for to in gaps {
        let or = if from == 0 { "" } else { " OR " };
        _ = write!(text, "{or}{column} BETWEEN {} AND {}", numbers[from], numbers[to - 1]);
        from = to;
    }
    text
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.again.iter().try_for_each(|again| writeln!(f, "asked for: {again}"))?;
        self.left.iter().try_for_each(|left| writeln!(f, "{left}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(texts: impl IntoIterator<Item = String>) -> Vec<Vec<u8>> {
        texts.into_iter().map(String::into_bytes).collect()
    }

    #[test]
    fn keys_become_a_condition() {
        let told = |columns: &[(&str, Told)]| {
            columns.iter().map(|(name, told)| ((*name).to_owned(), *told)).collect::<Vec<_>>()
        };
        let id = told(&[("id", Told::Integer)]);
        let both = told(&[("a`", Told::Text), ("id", Told::Integer)]);
        let of = |key: &str| keys([key.to_owned()]);
        assert_eq!(condition(&id, &["k"], &of(r#"{"k":"-7"}"#)).as_deref(), Some("`id` IN (-7)"));
        assert_eq!(condition(&id, &["k"], &of(r#"{"k":"0 OR 1"}"#)), None);
        assert_eq!(
            condition(&both, &["x", "k"], &of(r#"{"x":"it's \\","k":"7"}"#)).as_deref(),
            Some(r"(`a```, `id`) IN (('it''s \\', 7))")
        );
        assert_eq!(condition(&both, &["x", "k"], &of(r#"{"x":"a\nb","k":"7"}"#)), None);
        let many =
            |step: usize| keys((0..4000).map(|n| format!(r#"{{"k":"{}","x":"y"}}"#, n * step + n / 1000 * 1_000_000)));
        assert_eq!(ranges("`id`", vec![5, 1, 2, 2, 900, 7], 2), "`id` BETWEEN 1 AND 7 OR `id` BETWEEN 900 AND 900");
        let found = condition(&id, &["k"], &many(1)).expect("ranges");
        assert!(found.len() <= CONDITION_BYTES_MAX && found.contains("`id` BETWEEN 0 AND "), "{found}");
        let ends = found.rsplit_once(" AND ").expect("a range").1;
        assert_eq!(ends, "3003999");
        assert_eq!(condition(&both, &["x", "k"], &many(1)), None);
    }
}
