//! The same values on MariaDB, where the type exists: what comes by the full load and by changes is what comes of MySQL.
//!
//! And the types that only MariaDB has.

use std::collections::{BTreeMap, BTreeSet};

use super::super::harness::{Kind, Message, Private, Reader, Servers, Tidegate, World};
use super::golden::{Profile, Table};
use super::values::CLASSES;

const INSERTED: usize = 1000;

/// Makes the tables that this server takes, with all their rows. The others are named.
fn create(world: &mut World, left_out: &mut BTreeSet<String>) -> Vec<Table> {
    let mut tables = Vec::new();
    world.mysql.run("SET sql_mode = ''");
    for table in CLASSES.iter().flat_map(|class| (class.tables)()) {
        let mut made = world.mysql.try_run(&table.create());
        for (id, row) in table.rows().enumerate() {
            made = made.and_then(|()| world.mysql.try_run(&table.insert(id, row)));
        }
        match made {
            Ok(()) => tables.push(table),
            Err(error) => {
                println!("{}: {error}", table.name);
                world.mysql.run(format!("DROP TABLE IF EXISTS {}", table.name));
                left_out.insert(table.name);
            }
        }
    }
    tables
}

#[test]
fn values_of_mariadb_are_those_of_mysql() {
    let Some((servers, [mariadb, newest])) = Servers::with_mariadb() else { return };
    for url in [mariadb, newest] {
        let mut world = World::new("maria_types", &url, &servers.kafka);
        let mut left_out = BTreeSet::new();
        let tables = create(&mut world, &mut left_out);
        let mut task = world.task_of_one_topic("");
        task.format = "{canal_json: {profile: dts}}".to_owned();
        let mut reader = Reader::new(&world.kafka, vec![world.database.clone()]);
        let mut messages: BTreeMap<String, Vec<Message>> = BTreeMap::new();
        let mut take = |message: Message| messages.entry(message.table.clone()).or_default().push(message);
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, &mut take);
        for table in &tables {
            for (id, row) in (INSERTED..).zip(table.rows()) {
                world.mysql.run(table.insert(id, row));
            }
            world.mysql.run(format!("DELETE FROM {} WHERE id >= {INSERTED}", table.name));
        }
        world.finish(engine, &mut reader, &mut take);
        let mut faults = Vec::new();
        for table in &tables {
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
                    let expected = column.text(row, Profile::Dts);
                    if found != Some(expected.as_deref()) {
                        let (table, definition, kind) = (&table.name, &column.definition, message.kind);
                        faults.push(format!("{table} {definition:.60} {kind:?} row {row:?}: {found:.100?}, expected {expected:.100?}"));
                    }
                }
            }
        }
        println!("{left_out:?}");
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}
