//! Foreign keys with CASCADE or SET NULL, by which InnoDB changes rows of a child that the binlog does not hold.
//!
//! Those that are there when a task looks at its tables, [`check`](super::super::check) finds. Others come with a CREATE TABLE or an ALTER
//! TABLE of a captured table, or with one of a table beside it that takes its place: keys of such a table are remembered until then.

use super::*;
use crate::check::KeyName;
use crate::definition::ActingKey;

#[derive(Default)]
pub(super) struct Cascades {
    tell: Option<Tell>,
    /// By [`NameCase::key`], of tables that are not captured.
    beside: BTreeMap<TableName, Vec<ActingKey>>,
}

type Tell = Box<dyn Fn(Cascade, Here<'_>) + Send>;

impl Cascades {
    pub(super) fn told_to(tell: impl Fn(Cascade, Here<'_>) + Send + 'static) -> Cascades {
        Cascades { tell: Some(Box::new(tell)), ..Cascades::default() }
    }

    /// A table beside captured ones has these, too. No more tables are remembered than there may be bystanders.
    fn stands_by(&mut self, key: TableName, keys: Vec<ActingKey>) {
        if self.beside.len() >= bystanders::COUNT_MAX && !self.beside.contains_key(&key) {
            return;
        }
        let known = self.beside.entry(key).or_default();
        // CREATE TABLE IF NOT EXISTS is logged each time.
        keys.into_iter().for_each(|key| {
            if !known.contains(&key) {
                known.push(key)
            }
        });
    }
}

impl History {
    /// A statement that has been carried out.
    pub(super) fn follow_cascades(&mut self, words: &Words<'_>, effects: &[Effect], here: Here<'_>) {
        if self.cascades.tell.is_none() {
            return;
        }
        for effect in effects {
            match effect {
                Effect::Created { table, .. } | Effect::Altered { table, .. } => {
                    self.gain_cascades(table, words.acting_keys(), here);
                }
                Effect::Renamed { from, to, .. } => {
                    if let Some(keys) = self.cascades.beside.remove(&self.rules.names.key(from)) {
                        self.gain_cascades(to, keys, here);
                    }
                }
                Effect::Dropped(table) => drop(self.cascades.beside.remove(&self.rules.names.key(table))),
                Effect::DroppedDatabase(dropped) => {
                    let names = self.rules.names;
                    self.cascades.beside.retain(|table, _| !names.can_mean(dropped, &table.database));
                }
                _ => {}
            }
        }
    }

    fn gain_cascades(&mut self, table: &TableName, keys: Vec<ActingKey>, here: Here<'_>) {
        if keys.is_empty() {
            return;
        }
        let captured = self.captured_as(table);
        if captured.is_empty() && self.is_beside_captured(table) {
            self.cascades.stands_by(self.rules.names.key(table), keys);
            return;
        }
        for (table, key) in captured.iter().flat_map(|table| keys.iter().map(move |key| (table, key))) {
            let name = key.name.clone().map(KeyName::Given);
            let key = name.unwrap_or_else(|| KeyName::Unnamed { parent: key.parent.clone() });
            let tell = self.cascades.tell.as_ref().expect("somebody is told");
            tell(Cascade { table: table.clone(), key }, here);
        }
    }
}
