//! What a consumer knows after it has applied all messages.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use super::consume::{Kind, Message, Row};
use super::tables::Table;

pub(crate) type Key = Vec<String>;
pub(crate) type Values = Vec<Option<String>>;
/// The rows of a table.
pub(crate) type Rows = BTreeMap<Key, Values>;

/// Inserts put a row, updates replace it (under its new key, away from its old one), deletes take it away.
///
/// A key has one home: all its messages stand in one partition, or their order would mean nothing. So messages of
/// different partitions may be applied in any order.
#[derive(Default)]
pub(crate) struct State {
    tables: HashMap<&'static str, TableState>,
    violations: Vec<String>,
}

struct TableState {
    table: &'static Table,
    rows: HashMap<Key, Entry>,
    /// Inserts of rows that were there, deletes of rows that were not.
    repeats: u64,
}

struct Entry {
    /// `None` once deleted: its home is still remembered.
    values: Option<Values>,
    partition: i32,
}

impl State {
    pub(crate) fn new(tables: impl IntoIterator<Item = &'static Table>) -> State {
        let empty = |table: &'static Table| (table.name, TableState { table, rows: HashMap::new(), repeats: 0 });
        State { tables: tables.into_iter().map(empty).collect(), violations: Vec::new() }
    }

    pub(crate) fn apply(&mut self, message: &Message) {
        let state =
            self.tables.get_mut(message.table.as_str()).unwrap_or_else(|| panic!("a foreign table: {message:?}"));
        if let Err(violation) = state.apply(message)
            && self.violations.len() < 20
        {
            self.violations.push(format!("{violation}: {message:?}"));
        }
    }

    pub(crate) fn repeats(&self, table: &Table) -> u64 {
        self.tables[table.name].repeats
    }

    pub(crate) fn row_count(&self) -> usize {
        self.tables.values().map(|state| state.rows.values().filter(|entry| entry.values.is_some()).count()).sum()
    }

    pub(crate) fn assert_no_violations(&self) {
        assert!(self.violations.is_empty(), "{}", self.violations.join("\n"));
    }

    /// Panics with the first differences.
    pub(crate) fn assert_equals(&self, table: &Table, source: &Rows) {
        const SHOWN: usize = 10;
        let rows = &self.tables[table.name].rows;
        let mut differences = String::new();
        let mut count = 0;
        let mut differs = |what: &str, key: &Key, values: &dyn std::fmt::Debug| {
            count += 1;
            if count <= SHOWN {
                writeln!(differences, "  {what} {key:?} {values:?}").expect("a string");
            }
        };
        for (key, expected) in source {
            match rows.get(key).and_then(|entry| entry.values.as_ref()) {
                None => differs("lost   ", key, expected),
                Some(found) if found != expected => differs("differs", key, &Difference { expected, found }),
                Some(_) => {}
            }
        }
        for (key, entry) in rows {
            if let Some(values) = &entry.values
                && !source.contains_key(key)
            {
                differs("extra  ", key, values);
            }
        }
        assert!(count == 0, "{}: {count} rows of {} differ\n{differences}", table.name, source.len());
    }
}

#[derive(Debug)]
#[expect(dead_code, reason = "shown by Debug")]
struct Difference<'a> {
    expected: &'a Values,
    found: &'a Values,
}

impl TableState {
    fn apply(&mut self, message: &Message) -> Result<(), String> {
        let Message { partition, kind, data, old, .. } = message;
        if data.names() != self.table.column_names() {
            return Err(format!("columns {:?}", self.table.column_names()));
        }
        let primary_key =
            message.primary_key.as_ref().map(|names| names.iter().map(String::as_str).collect::<Vec<_>>());
        if primary_key.as_deref() != self.table.primary_key {
            return Err(format!("pkNames {primary_key:?}"));
        }
        let key = key_of(self.table, data);
        match kind {
            Kind::Init | Kind::Insert => self.put(key, data, *partition),
            Kind::Delete => self.take(key, *partition),
            Kind::Statement | Kind::Begin | Kind::Commit | Kind::Heartbeat => Err("no row".to_owned()),
            Kind::Update => {
                let old_key = old_key(self.table, data, old.as_ref().expect("checked when parsed"));
                if old_key != key {
                    self.take(old_key, *partition)?;
                }
                self.entry(key, *partition)?.values = Some(values_of(data));
                Ok(())
            }
        }
    }

    fn put(&mut self, key: Key, data: &Row, partition: i32) -> Result<(), String> {
        let before = self.entry(key, partition)?.values.replace(values_of(data));
        self.repeats += u64::from(before.is_some());
        Ok(())
    }

    fn take(&mut self, key: Key, partition: i32) -> Result<(), String> {
        let before = self.entry(key, partition)?.values.take();
        self.repeats += u64::from(before.is_none());
        Ok(())
    }

    fn entry(&mut self, key: Key, partition: i32) -> Result<&mut Entry, String> {
        let entry = self.rows.entry(key).or_insert(Entry { values: None, partition });
        if entry.partition != partition {
            return Err(format!("the key's home is partition {}", entry.partition));
        }
        Ok(entry)
    }
}

pub(crate) fn values_of(data: &Row) -> Values {
    data.0.iter().map(|(_, value)| value.clone()).collect()
}

/// Keys are not NULL; if one is, it matches nothing of the source.
pub(crate) fn key_of(table: &Table, data: &Row) -> Key {
    table.key.iter().map(|column| data.get(column.name).cloned().unwrap_or_default()).collect()
}

/// The key before an update, whose `old` has what changed.
pub(crate) fn old_key(table: &Table, data: &Row, old: &Row) -> Key {
    let before = |name| old.get(name).or_else(|| data.get(name)).cloned().unwrap_or_default();
    table.key.iter().map(|column| before(column.name)).collect()
}
