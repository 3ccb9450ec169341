//! The values of [`values`](super::values) on other servers than MySQL 9.7, as far as they have the types: what comes by the full load
//! and by changes must be what comes of MySQL 9.7.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::super::harness::{Message, Reader, Tidegate, World};
use super::golden::{Profile, Table};

/// Inserted rows have ids from here on.
pub(super) const INSERTED: usize = 1000;

/// Makes the tables that this server takes, with all their rows. The others are named.
pub(super) fn create(world: &mut World, tables: Vec<Table>) -> (Vec<Table>, BTreeSet<String>) {
    let mut left_out = BTreeSet::new();
    let mut taken = Vec::new();
    for table in tables {
        let mut made = world.mysql.try_run(&table.create());
        for (id, row) in table.rows().enumerate() {
            made = made.and_then(|()| world.mysql.try_run(&table.insert(id, row)));
        }
        match made {
            Ok(()) => taken.push(table),
            Err(error) => {
                println!("{}: {error}", table.name);
                world.mysql.run(format!("DROP TABLE IF EXISTS {}", table.name));
                left_out.insert(table.name);
            }
        }
    }
    (taken, left_out)
}

/// Loads the tables, inserts all rows again and deletes those: where what came differs. `own` is what this server makes of a text.
pub(super) fn faults(
    world: &mut World,
    tables: &[Table],
    profile: Profile,
    own: impl Fn(Cow<'static, str>) -> Cow<'static, str>,
) -> Vec<String> {
    let mut task = world.task_of_one_topic("");
    task.format = profile.yaml().to_owned();
    let mut reader = Reader::new(&world.kafka, vec![world.database.clone()]);
    let mut messages: BTreeMap<String, Vec<Message>> = BTreeMap::new();
    let mut take = |message: Message| messages.entry(message.table.clone()).or_default().push(message);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, &mut take);
    for table in tables {
        for (id, row) in (INSERTED..).zip(table.rows()) {
            world.mysql.run(table.insert(id, row));
        }
        world.mysql.run(format!("DELETE FROM {} WHERE id >= {INSERTED}", table.name));
    }
    world.finish(engine, &mut reader, &mut take);
    let mut faults = Vec::new();
    for table in tables {
        let rows: Vec<Option<usize>> = table.rows().collect();
        let of_table = messages.remove(&table.name).unwrap_or_default();
        if of_table.len() != 3 * rows.len() {
            faults.push(format!("{}: {} messages instead of {}", table.name, of_table.len(), 3 * rows.len()));
        }
        for message in of_table {
            let id: usize = message.data.get("id").expect("a key").parse().expect("a number");
            let row = rows[if id >= INSERTED { id - INSERTED } else { id }];
            for (index, column) in table.columns.iter().enumerate() {
                let found = message.data.find(&format!("c{index}")).map(Option::as_deref);
                let expected = column.text(row, profile).map(|text| own(Cow::Owned(text.into_owned())));
                if found != Some(expected.as_deref()) {
                    let (table, definition, kind) = (&table.name, &column.definition, message.kind);
                    faults.push(format!(
                        "{table} {definition:.60} {kind:?} row {row:?}: {found:.100?}, expected {expected:.100?}"
                    ));
                }
            }
        }
    }
    faults
}
