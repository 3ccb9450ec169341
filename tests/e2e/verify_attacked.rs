//! What `verify` must not take for equal, and what it must not take for a difference.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};

use super::harness::source_state::Format;
use super::harness::world::kafka_sink;
use super::harness::writers::{Target, Writers};
use super::harness::{Mysql, Servers, TaskFile, Tidegate, World, seeded, tables, wait_for};
use super::keyed::create_compacted;
use super::verify::{FORMATS, assert_equal, loaded, numbers, report, table, unlogged};

/// Table by table: `equal 0 0 0` is a verdict, and what is missing, extra and different.
fn verdicts(report: &Value, names: &[&str], world: &World) -> Vec<String> {
    let verdict = |name: &&str| {
        let of = table(report, &world.topic(name));
        let [missing, extra, different] = ["missing", "extra", "different"].map(|kind| &of["rows"][kind]);
        format!("{name}: {} {missing} {extra} {different}", of["verdict"].as_str().expect("a verdict"))
    };
    names.iter().map(verdict).collect()
}

/// About `bytes` that do not compress.
fn noise(bytes: u32) -> String {
    format!(
        "(WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {}) \
         SELECT GROUP_CONCAT(REPLACE(TO_BASE64(RANDOM_BYTES(1023)), '\n', '') SEPARATOR '') FROM s)",
        bytes.div_ceil(1364)
    )
}

/// Sends messages to a topic, in a transaction that is given up.
fn send(brokers: &str, topic: &str, values: &[String], is_given_up: bool) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    if is_given_up {
        config.set("transactional.id", topic);
    }
    let producer: BaseProducer = config.create().expect("a producer");
    let limit = Duration::from_secs(60);
    if is_given_up {
        producer.init_transactions(limit).expect("a coordinator");
        producer.begin_transaction().expect("a transaction");
    }
    for value in values {
        producer.send(BaseRecord::<(), _>::to(topic).partition(0).payload(value)).expect("a message");
    }
    producer.flush(limit).expect("acknowledged");
    if is_given_up {
        producer.abort_transaction(limit).expect("given up");
    }
}

/// As Canal writes an INSERT.
fn insert(world: &World, name: &str, row: &Value) -> String {
    json!({"data": [row], "database": world.database, "es": 1, "gtid": "", "id": 1, "isDdl": false, "old": null,
           "pkNames": ["id"], "sql": "", "table": name, "ts": 1, "type": "INSERT"})
    .to_string()
}

/// A table whose key does not leave is a multiset, and has to be read as one: in one view, though it has a key.
#[test]
fn rows_whose_key_does_not_leave_are_counted_in_one_view() {
    let Some(servers) = Servers::from_env() else { return };
    for format in FORMATS {
        let mut world = World::new("verify_values", &servers.mysql, &servers.kafka);
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9))");
        let numbers = numbers(&mut world, 1000);
        world.mysql.run(format!("INSERT INTO t {numbers} SELECT n, CONCAT('v', n % 7) FROM n"));
        let mut task = world.task();
        let database = world.database.clone();
        task.tables = format!("\n  - {database}.marker\n  - {{table: {database}.t, select: [v]}}");
        task.format = format.yaml();
        task.more = "full_load: {parallel: 2, chunk_rows: 100}".to_owned();
        let _engine = loaded(&mut world, &task);
        assert_equal(&report(&task, &[]));
        // Rows that change their values with one another, whichever chunks they would be in.
        let (is_over, mut other) = (AtomicBool::new(false), Mysql::connect(&world.mysql_url));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0_u32.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let (one, another) = (1 + round % 100, 901 + round % 100);
                    other.run(format!(
                        "UPDATE {database}.t SET v = CONCAT('v', (id + {round}) % 7) WHERE id IN ({one}, {another})"
                    ));
                    other.run(format!(
                        "UPDATE {database}.t SET id = id + 100000 * IF(id < 100000, 1, -1) WHERE id % 100000 = {one}"
                    ));
                }
            });
            let moving = [report(&task, &[]), report(&task, &[])];
            is_over.store(true, Ordering::Relaxed);
            moving.iter().for_each(assert_equal);
        });
        unlogged(&mut world, &["DELETE FROM t WHERE id = 500"]);
        let different = report(&task, &[]);
        assert_eq!(verdicts(&different, &["t"], &world), ["t: different 0 1 0"], "{different:#}");
    }
}

/// What messages do not say is not proven, and not missing either.
#[test]
fn what_an_alter_table_has_changed_is_equal_or_unproven() {
    let Some(servers) = Servers::from_env() else { return };
    const NAMES: [&str; 6] = ["nullable", "defaulted", "renamed", "wider", "keyless", "rekeyed"];
    for format in FORMATS {
        let mut world = World::new("verify_altered", &servers.mysql, &servers.kafka);
        for name in NAMES {
            let key = if name == "keyless" { "" } else { " PRIMARY KEY" };
            world.mysql.run(format!("CREATE TABLE {name} (id INT{key}, v INT, s VARCHAR(9), b VARBINARY(9))"));
            world.mysql.run(format!("INSERT INTO {name} VALUES (1, 1, 'a', 'a'), (2, 2, 'b', 'b')"));
        }
        let mut task = world.task();
        task.format = format.yaml();
        let _engine = loaded(&mut world, &task);
        for statement in [
            "ALTER TABLE nullable ADD COLUMN n INT",
            "ALTER TABLE defaulted ADD COLUMN n INT DEFAULT 7",
            "ALTER TABLE renamed RENAME COLUMN v TO w",
            "ALTER TABLE wider MODIFY id BIGINT, MODIFY v BIGINT, MODIFY s TEXT, MODIFY b BLOB",
            "ALTER TABLE keyless ADD COLUMN n INT",
            "ALTER TABLE rekeyed ADD COLUMN n INT NOT NULL DEFAULT 7, DROP PRIMARY KEY, ADD PRIMARY KEY (n, id)",
        ] {
            world.mysql.run(statement);
        }
        let altered = report(&task, &[]);
        let expected = NAMES.map(|name| match name {
            "nullable" | "wider" => format!("{name}: equal 0 0 0"),
            _ => format!("{name}: unproven 0 0 0"),
        });
        assert_eq!(verdicts(&altered, &NAMES, &world), expected, "{altered:#}");
        // Rows that were sent since, as a whole.
        for name in NAMES.into_iter().filter(|name| !["keyless", "rekeyed"].contains(name)) {
            let column = if name == "renamed" { "w" } else { "v" };
            world.mysql.run(format!("UPDATE {name} SET {column} = {column} + 10"));
        }
        let names = &NAMES[..4];
        let changed = report(&task, &[]);
        let expected: Vec<String> = names.iter().map(|name| format!("{name}: equal 0 0 0")).collect();
        assert_eq!(verdicts(&changed, names, &world), expected, "{changed:#}");
        unlogged(&mut world, &["UPDATE defaulted SET n = 8 WHERE id = 1", "UPDATE wider SET b = 'c' WHERE id = 1"]);
        let different = report(&task, &[]);
        let expected = ["defaulted: different 0 0 1", "wider: different 0 0 1"];
        assert_eq!(verdicts(&different, &["defaulted", "wider"], &world), expected, "{different:#}");
    }
}

/// A row is told where its table goes, and nowhere else; what is given up in a transaction is told nowhere.
#[test]
fn messages_count_in_the_topics_of_their_table() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("verify_elsewhere", &servers.mysql, &servers.kafka);
    for name in ["t", "u"] {
        world.mysql.run(format!("CREATE TABLE {name} (id INT PRIMARY KEY, v INT)"));
        world.mysql.run(format!("INSERT INTO {name} VALUES (1, 1)"));
    }
    let task = world.task();
    let _engine = loaded(&mut world, &task);
    let (row, garbage) = (insert(&world, "t", &json!({"id": "9", "v": "9"})), "no message".to_owned());
    send(&servers.kafka, &world.topic("t"), &[row.clone(), garbage.clone()], true);
    assert_equal(&report(&task, &[]));
    unlogged(&mut world, &["INSERT INTO t VALUES (9, 9)"]);
    send(&servers.kafka, &world.topic("u"), &[row.clone(), garbage], false);
    let different = report(&task, &[]);
    assert_eq!(verdicts(&different, &["t", "u"], &world), ["t: different 1 0 0", "u: equal 0 0 0"], "{different:#}");
    send(&servers.kafka, &world.topic("t"), &[row], false);
    assert_equal(&report(&task, &[]));
}

#[test]
fn messages_of_another_format_prove_nothing() {
    let Some(servers) = Servers::from_env() else { return };
    for formats in [[Format::Canal, Format::Avro], [Format::Avro, Format::Canal]] {
        let mut world = World::new("verify_formats", &servers.mysql, &servers.kafka);
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
        world.mysql.run("INSERT INTO t VALUES (1, 1), (2, 2)");
        let mut task = world.task();
        task.format = formats[0].yaml();
        loaded(&mut world, &task).terminate(libc::SIGTERM);
        task = TaskFile { format: formats[1].yaml(), accept: "format", ..task };
        let mut engine = Tidegate::run(&task);
        engine.wait_for_line("reading the binlog");
        world.mysql.run("UPDATE t SET v = v + 10");
        // A consumer of the messages before still has it.
        unlogged(&mut world, &["DELETE FROM t WHERE id = 1"]);
        world.mysql.run("DELETE FROM t WHERE id = 2");
        let name = world.topic("t");
        let unproven = report(&task, &[&name]);
        assert_eq!(verdicts(&unproven, &["t"], &world), ["t: different 0 1 0"], "{unproven:#}");
        world.mysql.run("INSERT INTO t VALUES (1, 11)");
        world.mysql.run("DELETE FROM t");
        let unproven = report(&task, &[&name]);
        assert_eq!(verdicts(&unproven, &["t"], &world), ["t: unproven 0 0 0"], "{unproven:#}");
    }
}

/// A key of two tables that share a name: the row that consumers have is one of the two, or wrong.
#[test]
fn a_key_that_several_tables_have_is_unproven() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("verify_shared", &servers.mysql, &servers.kafka);
    let database = world.database.clone();
    for name in ["o_1", "o_2"] {
        world.mysql.run(format!("CREATE TABLE {name} (id INT PRIMARY KEY, v INT)"));
        world.mysql.run(format!("INSERT INTO {name} VALUES (7, {})", name.len()));
    }
    world.mysql.run("UPDATE o_2 SET v = 5");
    let mut task = world.task();
    task.tables = format!("\n  - {database}.marker\n  - {{table: '/{database}\\.o_\\d/', as: {database}.o}}");
    let _engine = loaded(&mut world, &task);
    let shared = report(&task, &[]);
    assert_eq!(verdicts(&shared, &["o"], &world), ["o: unproven 0 0 0"], "{shared:#}");
    assert_eq!(table(&shared, &world.topic("o"))["explained"]["shared_key"], 1, "{shared:#}");
    unlogged(&mut world, &["UPDATE o_1 SET v = 8", "UPDATE o_2 SET v = 9"]);
    let different = report(&task, &[]);
    assert_eq!(verdicts(&different, &["o"], &world), ["o: different 0 0 1"], "{different:#}");
}

/// Its size explains what is not there only if the task would have left it out; what was cut is compared in its other columns.
#[test]
fn a_size_explains_what_it_must() {
    let Some(servers) = Servers::from_env() else { return };
    for format in FORMATS {
        let mut world = World::new("verify_sizes", &servers.mysql, &servers.kafka);
        world.mysql.run("SET SESSION group_concat_max_len = 64000000, cte_max_recursion_depth = 10000");
        for name in ["cut", "dead", "gone"] {
            world.mysql.run(format!("CREATE TABLE {name} (id INT PRIMARY KEY, v INT, n LONGTEXT)"));
            world.mysql.run(format!("INSERT INTO {name} VALUES (1, 1, {})", noise(2_500_000)));
            world.mysql.run(format!("INSERT INTO {name} VALUES (2, 2, {})", noise(700_000)));
        }
        let mut task = world.task();
        let database = world.database.clone();
        task.tables = format!(
            "\n  - {database}.marker\n  - {{table: {database}.cut, too_large: {{truncate: {{bytes: 64KiB}}}}}}\
             \n  - {{table: {database}.dead, too_large: dead_letter}}\n  - {{table: {database}.gone, too_large: skip}}"
        );
        task.format = format.yaml();
        let _engine = loaded(&mut world, &task);
        let equal = report(&task, &[]);
        assert_equal(&equal);
        for name in ["cut", "dead", "gone"] {
            assert_eq!(table(&equal, &world.topic(name))["explained"]["too_large"], 1, "{equal:#}");
        }
        unlogged(
            &mut world,
            &[
                "UPDATE cut SET v = 3 WHERE id = 1",
                "UPDATE cut SET v = 3 WHERE id = 2",
                // Whether it was left out, or lost, nobody can tell: as an update of a row as large, it would have been too large.
                "UPDATE gone SET v = 3 WHERE id = 2",
                "DELETE FROM dead WHERE id = 2",
            ],
        );
        let different = report(&task, &[]);
        let expected = ["cut: different 0 0 2", "dead: unproven 0 0 0", "gone: unproven 0 0 0"];
        assert_eq!(verdicts(&different, &["cut", "dead", "gone"], &world), expected, "{different:#}");
    }
}

/// A statement explains what is gone from the tables that it is about.
#[test]
fn a_statement_explains_its_own_tables() {
    let Some(servers) = Servers::from_env() else { return };
    for format in FORMATS {
        let mut world = World::new("verify_statements", &servers.mysql, &servers.kafka);
        let database = world.database.clone();
        for name in ["orders", "orders_old", "a", "b", "s_1", "s_2"] {
            world.mysql.run(format!("CREATE TABLE {name} (id INT PRIMARY KEY)"));
            let first = if name == "s_2" { 20 } else { 1 };
            world.mysql.run(format!("INSERT INTO {name} VALUES ({first}), ({first} + 1)"));
        }
        let mut task = world.task();
        task.tables = format!(
            "\n  - {{table: '/{database}\\.s_(\\d)/', as: {database}.s}}\n  - {{table: {database}.a, as: {database}.c}}\n  - {database}.*"
        );
        task.format = format.yaml();
        task.more = "incremental: {ddl: forward}".to_owned();
        let _engine = loaded(&mut world, &task);
        unlogged(&mut world, &["DELETE FROM orders WHERE id = 1", "DELETE FROM s_1 WHERE id = 1"]);
        for statement in ["TRUNCATE orders_old", "TRUNCATE TABLE `a`", "TRUNCATE TABLE s_2"] {
            world.mysql.run(statement);
        }
        let found = report(&task, &[]);
        let names = ["orders", "orders_old", "c", "s"];
        let expected = ["orders: different 0 1 0", "orders_old: equal 0 0 0", "c: equal 0 0 0", "s: unproven 0 0 0"];
        assert_eq!(verdicts(&found, &names, &world), expected, "{found:#}");
    }
}

/// Tables of all kinds in one topic, with transactions marked; and in topics that keep the last message of each key.
#[test]
fn rows_are_found_in_one_topic_and_in_compacted_ones() {
    let Some(servers) = Servers::from_env() else { return };
    for is_compacted in [false, true] {
        let mut world = World::new("verify_topics", &servers.mysql, &servers.kafka);
        for name in ["t", "u"] {
            world.mysql.run(format!("CREATE TABLE {name} (id INT PRIMARY KEY, v INT)"));
            world.mysql.run(format!("INSERT INTO {name} VALUES (1, 1), (2, 2), (3, 3)"));
            if is_compacted {
                create_compacted(&servers.kafka, &world.topic(name));
            }
        }
        let task = match is_compacted {
            false => TaskFile { format: "{dts_avro: {transactions: true}}".to_owned(), ..world.task_of_one_topic("") },
            true => TaskFile { sink: kafka_sink(&world.kafka, ", key: json, tombstones: true"), ..world.task() },
        };
        let mut engine = Tidegate::run(&task);
        engine.wait_for_line("full load complete");
        wait_for("the end of the load is stored", || task.stored()["full_load"].is_null().then_some(()));
        world.mysql.run("DELETE FROM t WHERE id = 1");
        world.mysql.run("UPDATE u SET id = 9 WHERE id = 1");
        world.mysql.run("INSERT INTO t VALUES (1, 7)");
        world.mysql.run("DELETE FROM u WHERE id = 2");
        assert_equal(&report(&task, &[]));
        unlogged(&mut world, &["DELETE FROM t WHERE id = 1", "UPDATE u SET v = 8 WHERE id = 9"]);
        let different = report(&task, &[]);
        let expected = ["t: different 0 1 0", "u: different 0 0 1"];
        assert_eq!(verdicts(&different, &["t", "u"], &world), expected, "{different:#}");
        engine.assert_running();
    }
}

#[test]
fn brokers_that_ask_who_we_are_are_read() {
    let Some(servers) = Servers::from_env() else { return };
    for mechanism in ["scram_sha_256", "plain"] {
        let mut world = World::new("verify_scram", &servers.mysql, &servers.kafka);
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
        world.mysql.run("INSERT INTO t VALUES (1), (2)");
        let mut task = world.task();
        let security = format!(", security: {{sasl: {mechanism}, user: app, password: secret}}");
        task.sink = kafka_sink(&servers.kafka_sasl, &security);
        let _engine = loaded(&mut world, &task);
        assert_equal(&report(&task, &[]));
        unlogged(&mut world, &["DELETE FROM t WHERE id = 1"]);
        let different = report(&task, &[]);
        assert_eq!(verdicts(&different, &["t"], &world), ["t: different 0 1 0"], "{different:#}");
    }
}

#[test]
fn a_moving_pair_of_mariadb_is_equal() {
    let Some((servers, mariadbs)) = Servers::with_mariadb() else { return };
    for (format, url) in FORMATS.into_iter().zip(&mariadbs) {
        let mut rng = seeded("verify_mariadb");
        let mut world = World::new("verify_mariadb", url, &servers.kafka);
        let targets: Vec<Target> = tables::ALL.iter().map(|table| (*table, 300)).collect();
        for (table, keys) in &targets {
            table.create(&mut world.mysql);
            table.fill(&mut world.mysql, &mut rng, *keys);
        }
        world.mysql.run("CREATE TABLE still (id INT PRIMARY KEY, v INT)");
        world.mysql.run("INSERT INTO still VALUES (1, 1), (2, 2)");
        let mut task = world.task();
        task.format = format.yaml();
        task.more = "full_load: {parallel: 2, chunk_rows: 100}".to_owned();
        let mut engine = loaded(&mut world, &task);
        let writers = Writers::start(2, url, &world.database, &targets, &mut rng);
        writers.let_commit(100);
        wait_for("something is written meanwhile", || {
            let before = writers.committed();
            assert_equal(&report(&task, &[]));
            (writers.committed() > before).then_some(())
        });
        writers.stop();
        unlogged(&mut world, &["UPDATE still SET v = 3 WHERE id = 2", "DELETE FROM still WHERE id = 1"]);
        let different = report(&task, &[]);
        assert_eq!(verdicts(&different, &["still"], &world), ["still: different 0 1 1"], "{different:#}");
        engine.assert_running();
    }
}
