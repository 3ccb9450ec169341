//! Sequences among the names that are captured.

use super::*;

impl History {
    /// What a statement makes of sequences, before it is judged: its effects on tables are left, and names that are sequences behind it.
    pub(super) fn follow_sequences(&mut self, effects: Vec<Effect>, here: Here<'_>) -> (Vec<Effect>, Vec<TableName>) {
        let (mut of_tables, mut renamed) = (Vec::with_capacity(effects.len()), Vec::<TableName>::new());
        for effect in effects {
            match &effect {
                // The server logs IF NOT EXISTS where there is something of the name, too.
                Effect::Sequence { name, if_not_exists } if !(*if_not_exists && self.knows(name)) => {
                    self.becomes_sequence(name, here);
                }
                // Of one that the catalogue shows of a later time, a table may have been there before.
                Effect::Created { table, if_not_exists, .. } => {
                    self.end_sequence(table, here, |by_catalogue| by_catalogue || !if_not_exists);
                }
                Effect::Renamed { from, to, .. } => {
                    // Of those that the catalogue shows of a later time, nobody knows what had the name.
                    let is_uncertain = |by_catalogue| by_catalogue;
                    self.end_sequence(to, here, is_uncertain);
                    if self.end_sequence(from, here, is_uncertain) {
                        of_tables.push(effect);
                        continue;
                    }
                    let key = self.rules.names.key(from);
                    let by_statement = renamed.iter().position(|name| self.rules.names.key(name) == key);
                    if by_statement.map(|index| renamed.swap_remove(index)).is_some()
                        || self.end_sequence(from, here, |_| true)
                    {
                        renamed.push(to.clone());
                        continue;
                    }
                }
                _ => {}
            }
            of_tables.push(effect);
        }
        (of_tables, renamed)
    }

    /// Once a statement is carried out: what it has dropped, and what it has renamed to sequences.
    pub(super) fn end_sequences(&mut self, effects: &[Effect], renamed: &[TableName], here: Here<'_>) {
        for effect in effects {
            match effect {
                Effect::Dropped(table) => _ = self.end_sequence(table, here, |_| true),
                Effect::DroppedDatabase(database) => {
                    let names = self.rules.names;
                    let is_in = |name: &&TableName| names.can_mean(database, &name.database);
                    for name in self.sequences.keys().filter(is_in).cloned().collect::<Vec<_>>() {
                        self.end_sequence(&name, here, |_| true);
                    }
                }
                _ => {}
            }
        }
        renamed.iter().for_each(|name| self.becomes_sequence(name, here));
    }

    fn becomes_sequence(&mut self, name: &TableName, here: Here<'_>) {
        if (self.captured)(&name.database, &name.table) {
            let key = self.rules.names.key(name);
            (self.record)(here.entry(&key, SchemaState::Sequence { by_catalogue: false }));
            self.now.remove(&key);
            self.sequences.insert(key, false);
        }
    }

    /// Whether the name was a sequence and is none from here on. `is_over` is told whether the catalogue has said that it is one.
    fn end_sequence(&mut self, name: &TableName, here: Here<'_>, is_over: impl Fn(bool) -> bool) -> bool {
        let key = self.rules.names.key(name);
        let is_over = self.sequences.get(&key).is_some_and(|by_catalogue| is_over(*by_catalogue));
        if is_over {
            self.sequences.remove(&key);
            (self.record)(here.entry(&key, SchemaState::Gone { last_version: 0 }));
        }
        is_over
    }
}
