//! Where foreign keys may have come to a captured table: those with CASCADE or SET NULL change rows of it that the binlog does not hold.
//!
//! Keys themselves are not followed. What they are called, whether IF NOT EXISTS made them, and what a table had that takes the place of another,
//! the server knows better than its statements tell: whoever wants to know asks it what the table has now.

use super::*;

/// Of a table, and the statement behind which it is asked about.
pub(super) type LookForCascades = Box<dyn Fn(&TableName, Here<'_>) + Send>;

impl History {
    /// A statement that has been carried out.
    pub(super) fn look_for_cascades(&self, words: &Words<'_>, effects: &[Effect], here: Here<'_>) {
        let Some(look) = &self.look_for_cascades else { return };
        let has_keys = words.has("REFERENCES");
        let mut tables: Vec<TableName> = Vec::new();
        for effect in effects {
            let table = match effect {
                Effect::Created { table, .. } | Effect::Altered { table, .. } if has_keys => table,
                Effect::Renamed { to, .. } => to,
                _ => continue,
            };
            let more = self.captured_as(table).into_iter().filter(|table| !tables.contains(table));
            tables.extend(more.collect::<Vec<_>>());
        }
        tables.iter().for_each(|table| look(table, here));
    }
}
