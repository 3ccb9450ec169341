//! What `verify --repair` puts right: a consumer has each row as the source has it, however both move and whatever is killed.

use serde_json::{Value, json};

use super::harness::consume::{RawMessage, read_messages};
use super::harness::source_state::Format;
use super::harness::state::State;
use super::harness::world::kafka_sink;
use super::harness::writers::{Target, Writers};
use super::harness::{Kind, Message, Servers, TaskFile, Tidegate, World, avro, seeded, tables, wait_for};
use super::journal::history;
use super::snapshot::{assert_equals_source, names};
use super::verify::{FORMATS, assert_equal, loaded, report, table, unlogged, verify};

const REPAIR: [&str; 2] = ["--repair", "--yes"];

/// The report of a repair of these tables, and what it did.
fn repair(task: &TaskFile, tables: &[&str]) -> (Value, Value) {
    let report = report(task, &[&REPAIR, tables].concat());
    let done = report["repair"].clone();
    assert!(!done.is_null(), "{report:#}");
    (report, done)
}

fn parse(format: Format, message: &RawMessage) -> Option<Message> {
    let value = message.value.as_ref()?;
    let parsed = match format {
        Format::Avro => avro::parse(value, message.partition, 0),
        _ => Message::parse(value, message.partition, 0),
    };
    Some(parsed.expect("a message"))
}

/// The messages of a topic about one key, in their order.
fn of_key(world: &World, format: Format, topic: &str, id: &str) -> Vec<(RawMessage, Option<Message>)> {
    let (messages, _) = read_messages(&world.kafka, topic);
    let key = json!({ "id": id }).to_string().into_bytes();
    let all = messages.into_iter().map(|message| (message.clone(), parse(format, &message)));
    let is_of = |(raw, message): &(RawMessage, Option<Message>)| match message {
        Some(message) => message.data.get("id").is_some_and(|of| of == id),
        None => raw.key.as_ref() == Some(&key),
    };
    all.filter(is_of).collect()
}

/// One row is missing, one extra, one different, beside writers: what is asked for survives a kill.
#[test]
fn each_kind_is_put_right_beside_writers_and_a_kill() {
    let Some((servers, [mariadb, _])) = Servers::with_mariadb() else { return };
    for (format, url) in [(Format::Dts, &servers.mysql), (Format::Avro, &servers.mysql_nogtid), (Format::Dts, &mariadb)]
    {
        let mut rng = seeded("repair");
        let mut world = World::new("repair", url, &servers.kafka);
        let targets: Vec<Target> = tables::ALL.iter().map(|table| (*table, 400)).collect();
        for (table, keys) in &targets {
            table.create(&mut world.mysql);
            table.fill(&mut world.mysql, &mut rng, *keys);
        }
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(50))");
        let rows: Vec<String> = (1..=2000).map(|id| format!("({id}, 'row {id}')")).collect();
        world.mysql.run(format!("INSERT INTO t VALUES {}", rows.join(", ")));
        world.begin_binlog_file();
        let mut task = world.task();
        task.format = format.yaml();
        let mut reader = world.reader(names());
        let mut state = State::new(tables::ALL);
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |message| state.apply(&message));
        wait_for("the end of the load is stored", || task.stored()["full_load"].is_null().then_some(()));
        unlogged(
            &mut world,
            &[
                "INSERT INTO t VALUES (-7, 'unsaid')",
                "DELETE FROM t WHERE id = 1000",
                "UPDATE t SET v = 'o' WHERE id = 500",
            ],
        );
        let t = world.topic("t");
        let writers = Writers::start(4, url, &world.database, &targets, &mut rng);
        writers.allow(1000);
        writers.let_commit(50);

        // Beside a run, rows are loaded again and nothing is deleted.
        let (found, done) = repair(&task, &[&t]);
        let rows = json!({"source": 2000, "topic": 2000, "missing": 1, "extra": 1, "different": 1});
        assert_eq!(table(&found, &t)["rows"], rows, "{found:#}");
        assert_eq!(done["again"], json!([{"table": t, "where": "`id` IN (-7, 500)"}]), "{found:#}");
        assert_eq!(done["deleted"], 0);
        assert!(done["left"][0].as_str().is_some_and(|left| left.contains("stop the run")), "{found:#}");
        wait_for("what is asked for is stored", || history(&task, &[]).contains("reload asked for").then_some(()));
        engine.kill_9();
        let mut engine = Tidegate::run(&task);
        engine.wait_for_line("going on where the last run ended");
        world.until_asked_is_loaded(&task, &mut engine);
        let found = wait_for("only what is extra is left", || {
            engine.assert_running();
            let (code, output, _) = verify(&task, &["--json", &t]);
            let report: Value = (code == Some(2)).then(|| serde_json::from_str(&output).expect("JSON"))?;
            (table(&report, &t)["rows"]["missing"] == 0).then_some(report)
        });
        let rows = json!({"source": 2000, "topic": 2001, "missing": 0, "extra": 1, "different": 0});
        assert_eq!(table(&found, &t)["rows"], rows, "{found:#}");
        writers.allow(1000);
        writers.let_commit(50);

        // Without a run. Where views are dated by files, one that has begun since then tells that they show all that was delivered.
        let ended = engine.terminate(libc::SIGTERM);
        assert!(ended.status.success(), "{}", ended.output);
        if url == &servers.mysql_nogtid {
            let (_, done) = repair(&task, &[&t]);
            assert!(done["left"][0].as_str().is_some_and(|left| left.contains("FLUSH BINARY LOGS")), "{done}");
            world.mysql.run("FLUSH BINARY LOGS");
        }
        let (found, done) = repair(&task, &[&t]);
        assert_eq!(done, json!({"again": [], "deleted": 1, "left": []}), "{found:#}");
        let (raw, last) = of_key(&world, format, &t, "1000").pop().expect("messages");
        let last = last.expect("a delete");
        assert!(last.kind == Kind::Delete && last.old.is_none(), "{last:?}");
        assert_eq!((last.data.get("v").map(String::as_str), raw.headers.as_str()), (Some("row 1000"), ""));
        assert!(history(&task, &[]).contains(&format!("rows deleted      command  1 row of {t}")));
        // It comes back before the next run, and is sent behind its delete.
        world.mysql.run("INSERT INTO t VALUES (1000, 'again')");
        let engine = Tidegate::run(&task);
        let committed = writers.stop();
        world.finish(engine, &mut reader, |message| state.apply(&message));
        assert!(committed > 100, "{committed}");
        assert_equals_source(&mut world, &state, format);
        let last = of_key(&world, format, &t, "1000").pop().and_then(|(_, last)| last).expect("an insert");
        assert!(last.kind == Kind::Insert && last.data.get("v").is_some_and(|v| v == "again"), "{last:?}");
        // Of tables without a key, what a kill has repeated is extra.
        let stopped = report(&task, &[&t]);
        assert!(stopped["equal"] == true && stopped["repair"].is_null(), "{stopped:#}");
    }
}

/// Keys of messages, tombstones and headers; filters, names and projections; keys of texts, which no condition of a few KB names.
#[test]
fn what_leaves_is_put_right_as_it_leaves() {
    let Some(servers) = Servers::from_env() else { return };
    for format in FORMATS {
        let mut world = World::new("repair_mapped", &servers.mysql, &servers.kafka);
        let database = world.database.clone();
        world.mysql.run("CREATE TABLE o_1 (id INT PRIMARY KEY, name VARCHAR(20), c INT, secret INT)");
        world.mysql.run("CREATE TABLE o_2 LIKE o_1");
        world.mysql.run("CREATE TABLE texts (a VARCHAR(40), b INT, v INT, PRIMARY KEY (a, b))");
        world.mysql.run("CREATE TABLE days (d DATE PRIMARY KEY, v INT)");
        world.mysql.run("CREATE TABLE keyless (a INT)");
        world.mysql.run("INSERT INTO o_1 VALUES (1, 'x', 50, 1), (2, 'y\\\\\"', 60, 1), (3, 'z', 5, 1)");
        world.mysql.run("INSERT INTO o_2 VALUES (4, 'u', 70, 1)");
        world.mysql.run("INSERT INTO texts VALUES ('it''s\\\\', 1, 1), ('b', 2, 2)");
        world.mysql.run("INSERT INTO days VALUES ('2024-02-29', 1)");
        world.mysql.run("INSERT INTO keyless VALUES (1)");
        let mut task = world.task();
        task.tables = format!(
            "\n  - {database}.marker\n  - {{table: '/{database}\\.o_\\d/', as: {database}.orders, where: c > 10, select: [id, name AS who]}}\n  \
             - {database}.texts\n  - {database}.days\n  - {{table: {database}.keyless, key: none}}"
        );
        task.sink = kafka_sink(
            &world.kafka,
            ", key: json, tombstones: true, partition_hash: murmur2, headers: [op, source_table, gtid]",
        );
        task.format = format.yaml();
        let mut reader = world.reader([]).keyed();
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |_| ());
        wait_for("the end of the load is stored", || task.stored()["full_load"].is_null().then_some(()));
        world.mysql.run("UPDATE o_1 SET name = 'y2' WHERE id = 2");
        assert_equal(&report(&task, &[]));
        unlogged(
            &mut world,
            &[
                "UPDATE o_1 SET name = 'x2' WHERE id = 1",
                "UPDATE o_1 SET c = 1 WHERE id = 2",
                "UPDATE o_1 SET c = 11 WHERE id = 3",
                "UPDATE texts SET v = 3 WHERE b = 1",
                "DELETE FROM texts WHERE b = 2",
                "UPDATE days SET v = 3",
                "INSERT INTO keyless VALUES (2)",
            ],
        );
        let orders = format!("{database}.orders");
        engine.terminate(libc::SIGTERM);
        let (found, done) = repair(&task, &[]);
        let again = |table: &str, condition: Option<&str>| json!({"table": world.topic(table), "where": condition});
        let expected = [
            again("days", None),
            again("o_1", Some("`id` IN (3, 1)")),
            again("o_2", Some("`id` IN (3, 1)")),
            again("texts", Some(r"(`a`, `b`) IN (('it''s\\', 1))")),
        ];
        let mut asked = done["again"].as_array().expect("a list").clone();
        asked.sort_by_key(|one| one["table"].to_string());
        assert_eq!(asked, expected, "{found:#}");
        assert_eq!((&done["deleted"], done["left"].as_array().map(Vec::len)), (&json!(2), Some(1)), "{found:#}");
        assert!(
            done["left"][0].as_str().is_some_and(|left| left.contains("1 row of") && left.contains("keyless: no key")),
            "{found:#}"
        );
        let mut messages = of_key(&world, format, &orders, "2");
        let (tombstone, none) = messages.pop().expect("a tombstone");
        assert!(none.is_none() && tombstone.headers == "op=delete source_table=o_1", "{}", tombstone.headers);
        let (raw, deleted) = messages.pop().expect("a delete");
        let deleted = deleted.expect("a delete");
        assert_eq!((raw.headers, raw.partition), (tombstone.headers, tombstone.partition));
        assert_eq!((deleted.kind, deleted.data.get("who").map(String::as_str)), (Kind::Delete, Some("y2")));
        let mut engine = Tidegate::run(&task);
        engine.wait_for_line("going on where the last run ended");
        wait_for("what was asked for is loaded", || {
            let (code, output, _) = verify(&task, &["--json", &orders, &world.topic("texts"), &world.topic("days")]);
            (code == Some(0)).then_some(output)
        });
        drop(engine);
    }
}

/// What is extra because the task has not read its delete yet is deleted twice, and what the source has by now, not at all.
#[test]
fn what_a_run_would_do_itself_is_done_once_more_and_not_otherwise() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("repair_behind", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
    world.mysql.run("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)");
    let task = world.task();
    let engine = loaded(&mut world, &task);
    let ended = engine.terminate(libc::SIGTERM);
    assert!(ended.status.success());
    world.mysql.run("UPDATE t SET v = 20 WHERE id = 2");
    world.mysql.run("DELETE FROM t WHERE id = 2");
    world.mysql.run("UPDATE t SET v = 30 WHERE id = 3");
    // Nothing is done that was not asked for.
    let before = task.stored();
    let t = world.topic("t");
    let plain = report(&task, &[&t]);
    assert!(plain["repair"].is_null() && task.stored() == before, "{plain:#}");
    let (_, done) = repair(&task, &[&t]);
    assert_eq!(done["deleted"], 1);
    assert_eq!(done["again"], json!([{"table": t, "where": "`id` IN (3)"}]));
    let mut reader = world.reader(["t"]);
    let mut rows = std::collections::BTreeMap::new();
    let engine = Tidegate::run(&task);
    world.finish(engine, &mut reader, |message| {
        let id = message.data.get("id").expect("a key").clone();
        match message.kind {
            Kind::Delete => rows.remove(&id),
            _ => rows.insert(id, message.data.get("v").expect("a value").clone()),
        };
    });
    let expected = [("1", "1"), ("3", "30")].map(|(id, v)| (id.to_owned(), v.to_owned()));
    assert_eq!(rows.into_iter().collect::<Vec<_>>(), expected);
    // A run that has its state elsewhere has the task all the same: nothing is deleted beside it.
    unlogged(&mut world, &["DELETE FROM t WHERE id = 1"]);
    let elsewhere = TaskFile { state: world.path("elsewhere"), path: world.path("elsewhere.yaml"), ..task.clone() };
    std::fs::create_dir(&elsewhere.state).expect("a folder");
    std::fs::copy(task.checkpoint(), elsewhere.checkpoint()).expect("a copy");
    let mut engine = Tidegate::run(&task);
    world.until_marker(&mut engine, &mut reader, |_| ());
    let messages = read_messages(&world.kafka, &t).0.len();
    let (code, output, _) = verify(&elsewhere, &[&REPAIR[..], &[&t]].concat());
    assert!(code == Some(1) && output.contains("another run of task"), "{code:?} {output}");
    assert_eq!(read_messages(&world.kafka, &t).0.len(), messages);
    engine.terminate(libc::SIGTERM);
}
