//! Tables that lose their key while a task runs, and get one again.

use std::collections::{BTreeMap, BTreeSet};

use super::harness::avro::as_fastavro_shows;
use super::harness::consume::read_messages;
use super::harness::{Kind, Message, Mysql, Private, Servers, Tidegate, World};

/// Statements that take the key from a table `t`, and those that give it one again.
const WAYS: [(&[&str], &[&str]); 5] = [
    (&["ALTER TABLE t DROP INDEX uk"], &["ALTER TABLE t ADD UNIQUE KEY again (x)"]),
    (&["DROP INDEX uk ON t"], &["CREATE UNIQUE INDEX again ON t (x)"]),
    (&["ALTER TABLE t MODIFY x INT NULL"], &["ALTER TABLE t MODIFY x INT NOT NULL, RENAME INDEX uk TO again"]),
    (
        &["DROP TABLE t", "CREATE TABLE t (x INT NOT NULL, y INT)"],
        &["DROP TABLE t", "CREATE TABLE t (x INT NOT NULL, y INT, UNIQUE KEY again (x))"],
    ),
    (
        &["CREATE TABLE _t_new (x INT NOT NULL, y INT)", "RENAME TABLE t TO _t_old, _t_new TO t"],
        &["ALTER TABLE t ADD CONSTRAINT again UNIQUE (x)"],
    ),
];

const NAMES: [&str; WAYS.len()] = ["t_alter", "t_drop", "t_null", "t_new", "t_swap"];

/// Behind a statement that takes the key from a table, nothing comes from it any more: neither what the message says of keys nor its
/// partition. With full metadata, too, where only primary keys are described.
#[test]
fn a_key_that_is_gone_is_used_no_more() {
    let Some(servers) = Servers::from_env() else { return };
    for (metadata, is_stopped) in [("MINIMAL", false), ("MINIMAL", true), ("FULL", true)] {
        let private = Private::up(&["mysql"], &format!("--binlog-row-metadata={metadata}"));
        for url in [private.mysql(), private.mysql_nogtid()] {
            keys_come_and_go(url, &servers.kafka, is_stopped);
        }
    }
}

fn keys_come_and_go(mysql_url: &str, kafka: &str, is_stopped: bool) {
    let mut world = World::new("lost_keys", mysql_url, kafka);
    // `t` is each of the tables.
    let run = |mysql: &mut Mysql, name: &str, statement: &str| {
        let words: Vec<String> = statement
            .split(' ')
            .map(|word| match word.strip_suffix(',') {
                Some("t") => format!("{name},"),
                _ if word == "t" => name.to_owned(),
                _ => word.replace("_t_", &format!("_{name}_")),
            })
            .collect();
        mysql.run(words.join(" "));
    };
    let on_all = |mysql: &mut Mysql, statement: &str| NAMES.iter().for_each(|name| run(mysql, name, statement));
    let insert = |mysql: &mut Mysql, from: u32| {
        let rows: Vec<String> = (from..from + 9).map(|x| format!("({x}, 0)")).collect();
        on_all(mysql, &format!("INSERT INTO t VALUES {}", rows.join(", ")));
    };
    on_all(&mut world.mysql, "CREATE TABLE t (x INT NOT NULL, y INT, UNIQUE KEY uk (x))");
    insert(&mut world.mysql, 1);
    world.begin_binlog_file();
    let mut task = world.task();
    task.tables = format!("[\"{0}.t_*\", {0}.marker]", world.database);
    task.format = "dts_avro".to_owned();
    let mut reader = world.reader(NAMES);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    insert(&mut world.mysql, 11);
    let running = if is_stopped {
        world.until_marker(&mut engine, &mut reader, |_| ());
        engine.terminate(libc::SIGTERM);
        None
    } else {
        Some(engine)
    };
    for (name, (takes, _)) in NAMES.iter().zip(WAYS) {
        takes.iter().for_each(|statement| run(&mut world.mysql, name, statement));
    }
    insert(&mut world.mysql, 21);
    on_all(&mut world.mysql, "UPDATE t SET x = x + 30, y = 1 WHERE x = 22");
    let engine = running.unwrap_or_else(|| {
        let mut engine = Tidegate::run(&task);
        world.until_marker(&mut engine, &mut reader, |_| ());
        engine.kill_9();
        Tidegate::run(&task)
    });
    for (name, (_, gives)) in NAMES.iter().zip(WAYS) {
        gives.iter().for_each(|statement| run(&mut world.mysql, name, statement));
    }
    insert(&mut world.mysql, 31);
    world.finish(engine, &mut reader, |_| ());

    for name in NAMES {
        let mut partitions: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
        let mut rows = BTreeSet::new();
        for message in read_messages(kafka, &world.topic(name)).0 {
            let value = message.value.expect("no tombstones");
            let row = Message::parse(&value, 0, 0).expect("a record");
            let x: u32 = row.data.get("x").expect("never NULL").parse().expect("a number");
            let keys = as_fastavro_shows(&value)["tags"]["pk_uk_info"].as_str().expect("a text").to_owned();
            let (key, expected) = match x {
                1..=19 => ("uk", r#"{"uk":["x"]}"#),
                31..=39 => ("again", r#"{"again":["x"]}"#),
                _ => ("none", "{}"),
            };
            assert_eq!(keys, expected, "{name}: {x}");
            partitions.entry(key).or_default().insert(message.partition);
            // It was no key any more that was changed.
            assert!(x != 52 || row.kind == Kind::Update, "{name}: {row:?}");
            rows.insert(x);
        }
        let expected = [1..10, 11..20, 21..30, 31..40, 52..53].into_iter().flatten().collect();
        assert_eq!(rows, expected, "{name}");
        assert!(partitions["uk"].len() > 1 && partitions["again"].len() > 1, "{name}: {partitions:?}");
        assert_eq!(partitions["none"], BTreeSet::from([0]), "{name}");
    }
}
