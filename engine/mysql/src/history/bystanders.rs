//! Tables that the task does not select, and that may come to the name of one that it does.
//!
//! Tools that alter a table without locking it (gh-ost, pt-online-schema-change) make another beside it, fill it, and swap the names:
//!
//! ```text
//! CREATE TABLE _orders_gho LIKE orders              definition of orders, under a name that is not selected
//! ALTER TABLE _orders_gho ADD note TEXT             followed, though none of its rows is read
//! RENAME TABLE orders TO _orders_del, _orders_gho TO orders
//!                                                   orders has that definition from here on
//! ```
//!
//! So definitions are followed of every table that the binlog shows to be made beside a captured one, and of each that had a captured name
//! before. What is not certain is forgotten: then the columns are unknown behind a rename, as they are of any other table. So is whatever a RENAME
//! of MariaDB's names, once it is carried out: MariaDB logs that of a temporary table as that of one with rows.

use std::collections::VecDeque;

use super::*;

/// More are not followed at a time: the one that was made first is forgotten.
pub(super) const COUNT_MAX: usize = 1000;

#[derive(Default)]
pub(super) struct Bystanders {
    /// By [`NameCase::key`].
    tables: BTreeMap<TableName, Definition>,
    /// The one that came first is first.
    order: VecDeque<TableName>,
}

impl Bystanders {
    pub(super) fn get(&self, key: &TableName) -> Option<&Definition> {
        self.tables.get(key)
    }

    /// Gives back the one that is forgotten for it.
    pub(super) fn insert(&mut self, key: TableName, definition: Definition) -> Option<TableName> {
        if self.tables.insert(key.clone(), definition).is_none() {
            self.order.push_back(key);
        }
        let first = (self.tables.len() > COUNT_MAX).then(|| self.order.pop_front()).flatten()?;
        self.tables.remove(&first);
        Some(first)
    }

    pub(super) fn remove(&mut self, key: &TableName) -> Option<Definition> {
        let definition = self.tables.remove(key)?;
        self.order.retain(|other| other != key);
        Some(definition)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &TableName> {
        self.tables.keys()
    }
}

impl History {
    /// A table that is not captured is this from here on; `None`: nobody knows what it is, or it is gone.
    pub(super) fn stands_by(&mut self, table: &TableName, definition: Option<Definition>, here: Here<'_>) {
        let key = self.rules.names.key(table);
        let forgotten = match definition {
            Some(definition) => {
                let defined = Defined::of(&definition.table(key.clone(), 1)).expect("a definition has its groundwork");
                (self.record)(here.entry(&key, SchemaState::Bystander { defined }));
                self.bystanders.insert(key, definition)
            }
            None => self.bystanders.remove(&key).map(|_| key),
        };
        if let Some(forgotten) = forgotten {
            (self.record)(here.entry(&forgotten, SchemaState::Gone { last_version: 0 }));
        }
    }

    /// Those for which `is_meant` are no longer known.
    pub(super) fn forget_bystanders(&mut self, here: Here<'_>, is_meant: impl Fn(&TableName) -> bool) {
        let meant: Vec<TableName> = self.bystanders.names().filter(|name| is_meant(name)).cloned().collect();
        for name in meant {
            self.stands_by(&name, None, here);
        }
    }

    pub(super) fn is_bystander(&self, written: &TableName) -> bool {
        self.bystanders.get(&self.rules.names.key(written)).is_some()
    }

    /// Whether the table is not captured, and may become one that is.
    pub(super) fn is_beside_captured(&self, table: &TableName) -> bool {
        let key = self.rules.names.key(table);
        let first = TableName::new(&key.database, "");
        let has_captured = self.now.range(first..).next().is_some_and(|(other, _)| other.database == key.database);
        has_captured && self.captured_as(table).is_empty()
    }

    /// What is known of a table, captured or not, that statements build on.
    pub(super) fn definition_of(&self, written: &TableName, here: Here<'_>) -> Option<Definition> {
        match self.captured_as(written).first() {
            Some(table) => self.definition(table, here),
            None => self.bystanders.get(&self.rules.names.key(written)).cloned(),
        }
    }
}
