//! Do the messages of each key stand in the order of its changes?
//!
//! Each row has a version that grows with every change ([`super::tables`]). The changes of a key are a chain: an update
//! says from which version to which, a delete ends at the last one, an insert begins higher. So in a partition
//!
//! ```text
//!   insert 5   update 5→6   update 6→7   delete 7   insert 9        one run
//!   insert 5   update 5→6 │ update 5→6   update 6→7                 two runs: something was repeated
//!   insert 5   update 6→7                                           a gap: update 5→6 is lost
//! ```
//!
//! Full-load rows (type INIT) come before the changes of their table; one after a change begins a new run. Each restart of
//! the engine may begin one new run per partition, and nothing else may. A gap is never right.

use std::collections::HashMap;

use super::consume::{Kind, Message, Row};
use super::state::{Key, key_of, old_key};
use super::tables::Table;
use super::world::World;

#[derive(Default)]
pub(crate) struct Order {
    tables: HashMap<&'static str, &'static Table>,
    partitions: HashMap<(&'static str, i32), Partition>,
    gaps: Vec<Finding>,
}

/// A key whose messages deserve a look.
struct Finding {
    table: &'static Table,
    key: Key,
    what: String,
}

#[derive(Default)]
struct Partition {
    /// The message with which each run but the first began.
    breaks: Vec<Finding>,
    /// Whether the run has come to changes.
    changes: bool,
    /// The last change of each key in this run.
    last: HashMap<Key, Version>,
    /// The newest of each key that was seen at all.
    newest: HashMap<Key, Version>,
}

#[derive(Clone, Copy)]
struct Version {
    number: i64,
    is_there: bool,
}

/// What a change does to one key.
enum Step {
    Appears(i64),
    Changes { from: i64, to: i64 },
    Disappears(i64),
}

impl Order {
    pub(crate) fn new(tables: impl IntoIterator<Item = &'static Table>) -> Order {
        Order { tables: tables.into_iter().map(|table| (table.name, table)).collect(), ..Order::default() }
    }

    pub(crate) fn check(&mut self, message: &Message) {
        let table = self.tables[message.table.as_str()];
        let partition = self.partitions.entry((table.name, message.partition)).or_default();
        let key = key_of(table, &message.data);
        let number = version(&message.data);
        let steps = match message.kind {
            Kind::Init => {
                if partition.changes {
                    partition.new_run(table, &key, message);
                }
                partition.reach(&key, Version { number, is_there: true });
                return;
            }
            Kind::Insert => vec![(key, Step::Appears(number))],
            Kind::Delete => vec![(key, Step::Disappears(number))],
            Kind::Statement | Kind::Begin | Kind::Commit | Kind::Heartbeat => panic!("no row: {message:?}"),
            Kind::Update => {
                let old = message.old.as_ref().expect("checked when parsed");
                let from = old.get("v").map_or(number, |version| version.parse().expect("a number"));
                let before = old_key(table, &message.data, old);
                if before == key {
                    vec![(key, Step::Changes { from, to: number })]
                } else {
                    vec![(before, Step::Disappears(from)), (key, Step::Appears(number))]
                }
            }
        };
        for (key, step) in steps {
            partition.changes = true;
            if let Some(newest) = partition.newest.get(&key)
                && step.leaves_a_gap_after(*newest)
                && self.gaps.len() < 20
            {
                let is_there = if newest.is_there { "there" } else { "deleted" };
                let what = format!("after version {} ({is_there}): {message:?}", newest.number);
                self.gaps.push(Finding { table, key: key.clone(), what });
            }
            if let Some(last) = partition.last.get(&key)
                && !step.follows(*last)
            {
                partition.new_run(table, &key, message);
                partition.changes = true;
            }
            let reached = step.reached();
            partition.last.insert(key.clone(), reached);
            partition.reach(&key, reached);
        }
    }

    /// Panics if anything is out of order that `restarts` restarts of the engine do not explain, with all messages of the
    /// first keys in question.
    pub(crate) fn assert_in_order(&self, restarts: usize, world: &World) {
        for ((table, partition), state) in &self.partitions {
            if state.breaks.len() > restarts {
                println!(
                    "partition {partition} of {table} goes back {} times, with {restarts} restarts",
                    state.breaks.len()
                );
                self.explain(&state.breaks, world);
                panic!("partition {partition} of {table} goes back {} times", state.breaks.len());
            }
        }
        if !self.gaps.is_empty() {
            self.explain(&self.gaps, world);
            panic!("{} changes are lost", self.gaps.len());
        }
    }

    fn explain(&self, findings: &[Finding], world: &World) {
        for Finding { table, key, what } in findings.iter().take(5) {
            println!("{what}");
            world.reader([table.name]).read_to_end(|message| {
                let before = message.old.as_ref().map(|old| old_key(table, &message.data, old));
                if message.table == table.name && (key_of(table, &message.data) == *key || before.as_ref() == Some(key))
                {
                    println!("    {message:?}");
                }
            });
        }
    }

    /// How often any partition went back.
    pub(crate) fn breaks(&self) -> usize {
        self.partitions.values().map(|partition| partition.breaks.len()).sum()
    }
}

impl Partition {
    fn new_run(&mut self, table: &'static Table, key: &Key, message: &Message) {
        self.breaks.push(Finding { table, key: key.clone(), what: format!("{message:?}") });
        self.last.clear();
        self.changes = false;
    }

    fn reach(&mut self, key: &Key, version: Version) {
        match self.newest.get_mut(key) {
            Some(newest) if version.number >= newest.number => *newest = version,
            Some(_) => {}
            None => {
                self.newest.insert(key.clone(), version);
            }
        }
    }
}

impl Step {
    fn follows(&self, last: Version) -> bool {
        match *self {
            Step::Appears(number) => !last.is_there && number > last.number,
            Step::Changes { from, to } => last.is_there && from == last.number && to > from,
            Step::Disappears(number) => last.is_there && number == last.number,
        }
    }

    fn leaves_a_gap_after(&self, newest: Version) -> bool {
        match *self {
            Step::Appears(number) => newest.is_there && number > newest.number,
            Step::Changes { from: number, .. } | Step::Disappears(number) => number > newest.number,
        }
    }

    fn reached(&self) -> Version {
        match *self {
            Step::Appears(number) | Step::Changes { to: number, .. } => Version { number, is_there: true },
            Step::Disappears(number) => Version { number, is_there: false },
        }
    }
}

fn version(data: &Row) -> i64 {
    data.get("v").expect("never NULL").parse().expect("a number")
}

#[cfg(test)]
mod tests {
    use super::super::consume::Pairs;
    use super::super::tables;
    use super::*;

    /// Words such as `init 5`, `+5`, `5>6`, `-6` for one key; gives (times it went back, gaps).
    fn check(changes: &str) -> (usize, usize) {
        let mut order = Order::new([&tables::INT]);
        let row = |number: &str| -> Row {
            Pairs(vec![("id".to_owned(), Some("1".to_owned())), ("v".to_owned(), Some(number.to_owned()))])
        };
        for change in changes.split(' ') {
            let (kind, data, old) = match (change.split_at(1), change.split_once('>')) {
                (_, Some((from, to))) => (Kind::Update, to, Some(Pairs(vec![("v".to_owned(), Some(from.to_owned()))]))),
                (("=", number), _) => (Kind::Init, number, None),
                (("+", number), _) => (Kind::Insert, number, None),
                (("-", number), _) => (Kind::Delete, number, None),
                _ => panic!("{change}"),
            };
            let table = tables::INT.name.to_owned();
            order.check(&Message { data: row(data), old, ..Message::without_row(kind, table, 0, 0) });
        }
        (order.breaks(), order.gaps.len())
    }

    #[test]
    fn a_chain_is_one_run() {
        assert_eq!(check("+5 5>6 6>7 -7 +9 9>10"), (0, 0));
        assert_eq!(check("=5 5>6 -6"), (0, 0));
    }

    #[test]
    fn changes_that_the_full_load_showed_already_are_no_break() {
        assert_eq!(check("=7 5>6 6>7 7>8"), (0, 0));
        assert_eq!(check("=9 5>6 -6 +9 9>10"), (0, 0));
    }

    #[test]
    fn each_repeat_is_a_run() {
        assert_eq!(check("+5 5>6 +5 5>6 6>7"), (1, 0));
        assert_eq!(check("+5 5>6 5>6 6>7"), (1, 0));
        assert_eq!(check("+5 -5 -5"), (1, 0));
        assert_eq!(check("=5 5>6 =6 5>6 6>7"), (1, 0));
    }

    #[test]
    fn a_lost_change_is_a_gap() {
        assert_eq!(check("+5 6>7").1, 1);
        assert_eq!(check("+5 -6").1, 1);
        assert_eq!(check("+5 5>6 +9").1, 1);
        assert_eq!(check("=5 6>7").1, 1);
        assert_eq!(check("+5 5>6 +5 5>6 7>8").1, 1);
    }
}
