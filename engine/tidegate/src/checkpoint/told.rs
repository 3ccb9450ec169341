//! How parts of the checkpoint become entries, each told again when it has changed.

use serde::Serialize;

use tidegate_model::TableName;
use tidegate_model::state::{Changes, Keyed};

/// What was told last of that which is told as a whole. It says nothing about the task: two of them are always equal.
#[derive(Clone, Debug, Default)]
pub(super) struct Told<T>(pub(super) T);

impl<T> PartialEq for Told<T> {
    fn eq(&self, _: &Told<T>) -> bool {
        true
    }
}

/// A value under a key of its own.
pub(super) fn tell_whole<V: Clone + PartialEq + Serialize>(
    key: &str,
    value: &Option<V>,
    told: &mut Option<V>,
    all: bool,
    changes: &mut Changes,
) {
    if !all && value == told {
        return;
    }
    match value {
        Some(value) => changes.put(&(key,), value),
        None => changes.remove(&(key,)),
    }
    told.clone_from(value);
}

/// A value for each table.
pub(super) fn tell_tables<V: Serialize>(key: &str, tables: &mut Keyed<TableName, V>, all: bool, changes: &mut Changes) {
    tables.take_changed(all, |name, value| match value {
        Some(value) => changes.put(&(key, &name.database, &name.table), value),
        None => changes.remove(&(key, &name.database, &name.table)),
    });
}

/// The table of such a key.
pub(super) fn table_of((_, database, table): (String, String, String)) -> TableName {
    TableName::new(&database, &table)
}
