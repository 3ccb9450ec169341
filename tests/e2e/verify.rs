//! What `verify` finds: each row by which a topic and its source differ, and nothing where they are equal, however they move.
//!
//! Rows that are written with `sql_log_bin = 0` are in no binlog, so that no task can send them.

use std::ffi::OsStr;
use std::path::Path;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::harness::source_state::Format;
use super::harness::world::kafka_sink;
use super::harness::writers::{Target, Writers};
use super::harness::{Servers, TaskFile, Tidegate, World, scaled, seeded, tables, wait_for};

/// Without what is on disk, a million rows and their messages would take twice that.
const PEAK_KIB_MAX: u64 = 128 << 10;

pub(super) const FORMATS: [Format; 2] = [Format::Canal, Format::Avro];

/// Exit code, what is printed, and the most memory that was used, in KiB.
pub(super) fn verify(task: &TaskFile, more: &[&str]) -> (Option<i32>, String, u64) {
    let file = task.write();
    let arguments = ["--log".as_ref(), "error".as_ref(), "verify".as_ref(), file.as_os_str()];
    let ended = Tidegate::spawn(arguments.into_iter().chain(more.iter().map(OsStr::new))).wait();
    (ended.status.code(), ended.output, ended.peak_kib)
}

/// The report, whose `equal` is what the exit code says.
#[track_caller]
pub(super) fn report(task: &TaskFile, more: &[&str]) -> Value {
    let (code, output, _) = verify(task, &[&["--json"], more].concat());
    let report: Value = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"));
    assert_eq!(code, Some(if report["equal"] == true { 0 } else { 2 }), "{output}");
    // Nothing that was written down is left.
    let left = std::fs::read_dir(&task.state).expect("a folder").filter_map(Result::ok);
    assert_eq!(left.filter(|entry| entry.file_name().to_string_lossy().starts_with("verify")).count(), 0);
    report
}

pub(super) fn table<'r>(report: &'r Value, name: &str) -> &'r Value {
    let tables = report["tables"].as_array().expect("a list");
    tables.iter().find(|table| table["table"] == name).unwrap_or_else(|| panic!("no {name}: {report:#}"))
}

#[track_caller]
pub(super) fn assert_equal(report: &Value) {
    assert!(report["equal"] == true && report["delivered"] == true, "{report:#}");
}

/// Runs a task until its full load is over.
pub(super) fn loaded(world: &mut World, task: &TaskFile) -> Tidegate {
    let mut reader = world.reader([]);
    let mut engine = Tidegate::run(task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    wait_for("the end of the load is stored", || task.stored()["full_load"].is_null().then_some(()));
    engine
}

pub(super) fn unlogged(world: &mut World, statements: &[&str]) {
    world.mysql.run("SET sql_log_bin = 0");
    statements.iter().for_each(|statement| world.mysql.run(statement));
    world.mysql.run("SET sql_log_bin = 1");
}

pub(super) fn numbers(world: &mut World, rows: u64) -> String {
    world.mysql.run("SET cte_max_recursion_depth = 100000000");
    format!("WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < {rows})")
}

#[test]
fn one_row_of_many_is_found() {
    let Some(servers) = Servers::from_env() else { return };
    let rows = scaled(100_000);
    for format in FORMATS {
        let mut world = World::new("verify_many", &servers.mysql, &servers.kafka);
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(50), d DECIMAL(10,2), at DATETIME)");
        let numbers = numbers(&mut world, rows);
        world.mysql.run(format!("INSERT INTO t {numbers} SELECT n, CONCAT('row ', n), n / 7, NOW() FROM n"));
        let mut task = world.task();
        task.format = format.yaml();
        let engine = loaded(&mut world, &task);
        assert_equal(&report(&task, &[]));
        world.mysql.run("UPDATE t SET id = id + 100000000 WHERE id < 100");
        world.mysql.run("DELETE FROM t WHERE id BETWEEN 200 AND 300");
        unlogged(
            &mut world,
            &[
                "INSERT INTO t VALUES (-7, 'unsaid', 1, NULL)",
                "DELETE FROM t WHERE id = 1000",
                "UPDATE t SET v = 'other' WHERE id = 5000",
            ],
        );
        let name = world.topic("t");
        let (code, output, peak_kib) = verify(&task, &["--json", &name]);
        let report: Value = serde_json::from_str(&output).expect("JSON");
        println!("{format:?}: {rows} rows, {} s, peak {peak_kib} KiB", report["seconds"]);
        assert_eq!(code, Some(2), "{output}");
        // However many rows there are: keys of a part of what was written down, its buffers, and what consumers have fetched ahead.
        assert!(peak_kib > 0 && peak_kib <= PEAK_KIB_MAX, "peak {peak_kib} KiB");
        let count = rows - 101;
        let expected = json!({
            "table": name,
            "sources": [name],
            "topics": [name],
            "key": ["id"],
            "verdict": "different",
            "rows": {"source": count, "topic": count, "missing": 1, "extra": 1, "different": 1},
            "explained": {"too_large": 0, "gone_by_statement": 0, "shared_key": 0},
            "keys": {"missing": [{"id": "-7"}], "extra": [{"id": "1000"}], "different": [{"id": "5000"}]},
            "notes": [],
        });
        assert_eq!(report["tables"], json!([expected]), "{output}");
        let fields: Vec<&String> = report.as_object().expect("an object").keys().collect();
        assert_eq!(fields, ["delivered", "equal", "messages", "notes", "seconds", "tables", "task", "version"]);
        // For people.
        let (_, output, _) = verify(&task, &["--keys", "1"]);
        for words in [&format!("{name}: missing {{\"id\":\"-7\"}}"), "1 of 2 tables differ"] {
            assert!(output.contains(words), "{words}: {output}");
        }
        assert!(!output.contains("unsaid") && !output.contains("other"), "a value: {output}");
        drop(engine);
    }
}

/// Tables with keys of every kind and without one, while writers change all of them.
#[test]
fn a_moving_pair_is_equal() {
    let Some(servers) = Servers::from_env() else { return };
    for (format, url) in [(Format::Canal, &servers.mysql), (Format::Avro, &servers.mysql_nogtid)] {
        let mut rng = seeded("verify_moving");
        let mut world = World::new("verify_moving", url, &servers.kafka);
        let targets: Vec<Target> = tables::ALL.iter().map(|table| (*table, 600)).collect();
        for (table, keys) in &targets {
            table.create(&mut world.mysql);
            table.fill(&mut world.mysql, &mut rng, *keys);
        }
        world.begin_binlog_file();
        let mut task = world.task();
        task.format = format.yaml();
        // Many chunks, each in a view of its own.
        task.more = "full_load: {parallel: 2, chunk_rows: 200}".to_owned();
        let mut engine = loaded(&mut world, &task);
        let writers = Writers::start(4, url, &world.database, &targets, &mut rng);
        writers.let_commit(100);
        for _ in 0..2 {
            wait_for("something is written meanwhile", || {
                let before = writers.committed();
                assert_equal(&report(&task, &[]));
                engine.assert_running();
                (writers.committed() > before).then_some(())
            });
        }
        writers.stop();
        world.finish(engine, &mut world.reader([]), |_| ());
        // Without the task, of which nobody can say that it has delivered what other tests write to the same server.
        let stopped = report(&task, &[]);
        assert!(stopped["equal"] == true, "{stopped:#}");
    }
}

#[test]
fn rows_are_compared_as_they_are_sent() {
    let Some(servers) = Servers::from_env() else { return };
    for format in FORMATS {
        let mut world = World::new("verify_mapped", &servers.mysql, &servers.kafka);
        let database = world.database.clone();
        world.mysql.run("CREATE TABLE o_1 (a INT, b VARCHAR(9), c INT, secret INT, PRIMARY KEY (b, a))");
        world.mysql.run("CREATE TABLE o_2 LIKE o_1");
        world.mysql.run("INSERT INTO o_1 VALUES (1, 'x\"ä', 5, 1), (2, 'y', 50, 1), (3, 'z', 60, 1)");
        world.mysql.run("INSERT INTO o_2 VALUES (4, 'x', 70, 1), (5, 'y', 80, 1)");
        let mut task = world.task();
        task.tables = format!(
            "\n  - {database}.marker\n  - {{table: '/{database}\\.o_\\d/', as: {database}.orders, where: c > 10, select: [b, a, c * 2 AS twice]}}"
        );
        task.format = format.yaml();
        let _engine = loaded(&mut world, &task);
        // Leaves the filter, enters it, another key, and what nobody is sent.
        world.mysql.run("UPDATE o_1 SET c = 1 WHERE a = 2");
        world.mysql.run("UPDATE o_1 SET c = 11 WHERE a = 1");
        world.mysql.run("UPDATE o_2 SET b = 'new' WHERE a = 4");
        unlogged(&mut world, &["UPDATE o_1 SET secret = 2", "INSERT INTO o_2 VALUES (9, 'f', 1, 1)"]);
        let name = format!("{database}.orders");
        let equal = report(&task, &[]);
        assert_equal(&equal);
        assert_eq!(table(&equal, &name)["rows"]["source"], 4, "{equal:#}");
        unlogged(
            &mut world,
            &[
                "UPDATE o_1 SET c = 12 WHERE a = 1",
                "UPDATE o_2 SET c = 2 WHERE a = 5",
                "INSERT INTO o_2 VALUES (8, 'n', 99, 1)",
            ],
        );
        let different = report(&task, &[&format!("{database}.o_2")]);
        let orders = table(&different, &name);
        let key = |b: &str, a: u32| json!([{"b": b, "a": a.to_string()}]);
        let keys = json!({"missing": key("n", 8), "extra": key("y", 5), "different": key("x\"ä", 1)});
        assert_eq!((&orders["keys"], &orders["key"]), (&keys, &json!(["b", "a"])), "{different:#}");
        // The same key in two of them: a consumer cannot tell whose row it has.
        world.mysql.run("INSERT INTO o_2 VALUES (3, 'z', 61, 1)");
        let shared = report(&task, &[&name]);
        assert_eq!(table(&shared, &name)["explained"]["shared_key"], 1, "{shared:#}");
    }
}

#[test]
fn without_a_key_rows_are_counted() {
    let Some(servers) = Servers::from_env() else { return };
    for format in FORMATS {
        let mut world = World::new("verify_keyless", &servers.mysql, &servers.kafka);
        world.mysql.run("CREATE TABLE t (a INT, b VARCHAR(9))");
        world.mysql.run("INSERT INTO t VALUES (1, 'x'), (1, 'x'), (1, NULL), (2, 'y')");
        let mut task = world.task();
        task.format = format.yaml();
        let _engine = loaded(&mut world, &task);
        world.mysql.run("UPDATE t SET b = 'z' WHERE a = 2");
        world.mysql.run("DELETE FROM t WHERE a = 1 LIMIT 1");
        assert_equal(&report(&task, &[]));
        unlogged(&mut world, &["INSERT INTO t VALUES (3, 'w'), (3, 'w')", "UPDATE t SET b = 'q' WHERE a = 2"]);
        let different = report(&task, &[]);
        let rows = json!({"source": 5, "topic": 3, "missing": 3, "extra": 1, "different": 0});
        assert_eq!(table(&different, &world.topic("t"))["rows"], rows, "{different:#}");
    }
}

/// What differs for a reason is told apart from what is wrong.
#[test]
fn what_is_known_is_explained() {
    let Some(servers) = Servers::from_env() else { return };
    for format in FORMATS {
        let mut world = World::new("verify_known", &servers.mysql, &servers.kafka);
        world.mysql.run("CREATE TABLE altered (id INT PRIMARY KEY, v INT)");
        world.mysql.run("CREATE TABLE emptied (id INT PRIMARY KEY, v INT)");
        world.mysql.run("CREATE TABLE large (id INT PRIMARY KEY, v LONGTEXT)");
        world.mysql.run("INSERT INTO altered VALUES (1, 1), (2, 2)");
        world.mysql.run("INSERT INTO emptied VALUES (1, 1), (2, 2)");
        world.mysql.run("INSERT INTO large VALUES (1, 'a')");
        let mut task = world.task();
        task.sink = kafka_sink(&world.kafka, ", too_large: skip");
        task.format = format.yaml();
        task.more = "incremental: {ddl: forward}".to_owned();
        let _engine = loaded(&mut world, &task);
        world.mysql.run("ALTER TABLE altered ADD COLUMN w INT FIRST");
        world.mysql.run("UPDATE altered SET v = 3 WHERE id = 2");
        world.mysql.run("TRUNCATE TABLE emptied");
        world.mysql.run("INSERT INTO emptied VALUES (2, 5)");
        world.mysql.run("SET SESSION group_concat_max_len = 64000000, cte_max_recursion_depth = 10000");
        world.mysql.run(
            "INSERT INTO large WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 2000) \
             SELECT 2, GROUP_CONCAT(TO_BASE64(RANDOM_BYTES(900)) SEPARATOR '') FROM s",
        );
        let equal = report(&task, &[]);
        assert_equal(&equal);
        let of = |name: &str| table(&equal, &world.topic(name)).clone();
        assert_eq!(of("altered")["notes"], json!([]), "{equal:#}");
        assert_eq!(of("emptied")["explained"]["gone_by_statement"], 1, "{equal:#}");
        assert_eq!(of("large")["explained"]["too_large"], 1, "{equal:#}");
        let (_, words, _) = verify(&task, &[]);
        assert!(words.ends_with("the topics hold what the source holds, but for 1 row too large for them"), "{words}");
        unlogged(&mut world, &["UPDATE altered SET v = 9 WHERE id = 1"]);
        let different = report(&task, &[&world.topic("altered")]);
        assert_eq!(different["tables"][0]["keys"]["different"], json!([{"id": "1"}]), "{different:#}");
    }
}

#[test]
fn a_topic_that_has_lost_its_beginning_proves_nothing() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("verify_lost", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
    world.mysql.run("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)");
    let mut task = world.task();
    task.sink = kafka_sink(&world.kafka, ", partition: zero");
    let _engine = loaded(&mut world, &task);
    let (topic, client) = (world.topic("t"), ClientConfig::new().set("bootstrap.servers", &world.kafka).create());
    let client: AdminClient<DefaultClientContext> = client.expect("a client");
    let mut until = TopicPartitionList::new();
    until.add_partition_offset(&topic, 0, Offset::Offset(2)).expect("a partition");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(client.delete_records(&until, &AdminOptions::new())).expect("deleted");
    world.mysql.run("DELETE FROM t WHERE id = 2");
    let unproven = report(&task, &[&topic]);
    assert_eq!((&unproven["equal"], &unproven["tables"][0]["verdict"]), (&json!(false), &json!("unproven")));
    let note = unproven["tables"][0]["notes"][0].as_str().expect("a note");
    assert!(
        note.starts_with(&format!(
            "topic {topic} no longer holds its beginning (retention): in none of the messages that are left: 1 row of"
        )),
        "{note}"
    );
    unlogged(&mut world, &["UPDATE t SET v = 4 WHERE id = 3"]);
    let different = report(&task, &[&topic]);
    assert_eq!(different["tables"][0]["keys"]["different"], json!([{"id": "3"}]), "{different:#}");
}

#[test]
fn what_cannot_be_compared_says_why() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("verify_refused", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
    world.mysql.run("INSERT INTO t VALUES (1, 1)");
    let task = world.task();
    let says = |task: &TaskFile, more: &[&str], code: i32, words: &str| {
        let (found, output, _) = verify(task, more);
        assert!(found == Some(code) && output.contains(words), "{found:?} {output}");
    };
    says(&task, &[], 1, "has not begun");
    let engine = loaded(&mut world, &task);
    says(&task, &["nothing.t"], 1, "the task selects no table nothing.t");
    says(&task, &["--spill", "/nowhere"], 1, "could not write down what was read, in /nowhere");
    let mut elsewhere = task.clone();
    elsewhere.sink = "{null: {}}".to_owned();
    says(&elsewhere, &[], 1, "the sink is not Kafka");
    let folder = world.path("spill");
    std::fs::create_dir(&folder).expect("a folder");
    let folder = folder.display().to_string();
    says(&task, &["--spill", &folder], 0, "the topics hold what the source holds");
    // A task that is paused delivers nothing, and will not.
    let tell = |word: &str| assert!(Tidegate::spawn([word.as_ref(), task.path.as_os_str()]).wait().status.success());
    tell("pause");
    wait_for("it is paused", || {
        let status = Tidegate::spawn(["status".as_ref(), task.path.as_os_str(), "--json".as_ref()]).wait().output;
        let status: Value = serde_json::from_str(&status).expect("JSON");
        (status["phase"] == "paused").then_some(())
    });
    world.mysql.run("INSERT INTO t VALUES (2, 2)");
    says(&task, &[], 1, "the task is paused");
    tell("resume");
    assert_equal(&report(&task, &[]));
    engine.terminate(libc::SIGTERM);
    world.mysql.run("INSERT INTO t VALUES (3, 3)");
    let stopped = report(&task, &[]);
    assert_eq!((&stopped["delivered"], &stopped["tables"].as_array().map(Vec::len)), (&json!(false), &Some(2)));
    assert_eq!(table(&stopped, &world.topic("t"))["keys"]["missing"], json!([{"id": "3"}]), "{stopped:#}");
    assert_eq!(stopped["notes"], json!(["the task does not run: what has changed since it was at work differs"]));
}

/// Who is held back by a limit, told to stop, or out of disk leaves nothing, and keeps nobody from the right answer.
#[test]
fn one_that_does_not_come_to_its_end_leaves_nothing() {
    const ROWS: u64 = 20_000;
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("verify_ended", &servers.mysql, &servers.kafka);
    for table in ["sent", "unsent"] {
        world.mysql.run(format!("CREATE TABLE {table} (id INT PRIMARY KEY, v VARCHAR(50))"));
    }
    let numbers = numbers(&mut world, ROWS);
    let rows = format!("{numbers} SELECT n, CONCAT('row ', n) FROM n");
    world.mysql.run(format!("INSERT INTO sent {rows}"));
    world.mysql.run("INSERT INTO unsent VALUES (-1, 'sent'), (-2, 'sent')");
    let mut task = world.task();
    // A window of the source is no more than that.
    task.more = "full_load: {chunk_rows: 1000}".to_owned();
    let _engine = loaded(&mut world, &task);
    // Rows of the source to be read, and hardly a message.
    unlogged(&mut world, &[&format!("INSERT INTO unsent {rows}")]);
    let [sent, unsent] = ["sent", "unsent"].map(|table| world.topic(table));
    let spill = world.path("spill");
    std::fs::create_dir(&spill).expect("the test's folder can be written");
    let left = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
        entries.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.starts_with("verify")).collect()
    };

    // A row a second, of each side: what is owed for the first thousand takes a quarter of an hour.
    let held = |table: &str, options: &[&OsStr]| {
        let arguments = ["verify".as_ref(), task.path.as_os_str(), table.as_ref(), "--rows-per-second".as_ref()];
        Tidegate::spawn(arguments.into_iter().chain(["1".as_ref()]).chain(options.iter().copied()))
    };
    let mut of_topic = held(&sent, &[]);
    let mut of_source = held(&unsent, &["--spill".as_ref(), spill.as_os_str()]);
    // The first line comes when ten seconds have gone by, in which both would be done.
    for (engine, phase) in
        [(&mut of_topic, "verify: reading topics; "), (&mut of_source, "verify: reading the source; ")]
    {
        engine.wait_for_line(phase);
    }
    let output = of_source.output();
    let read =
        output.rsplit_once(" messages and ").and_then(|(_, rest)| rest.split(" row").next()?.parse::<u64>().ok());
    assert!(read.is_some_and(|rows| rows > 0 && rows < ROWS / 2), "{output}");
    for (engine, signal) in [(of_topic, libc::SIGINT), (of_source, libc::SIGTERM)] {
        engine.signal(signal);
        let ended = engine.wait();
        assert_eq!(ended.status.code(), Some(130), "{}", ended.output);
        assert!(ended.output.ends_with("error: interrupted"), "{}", ended.output);
    }
    assert_eq!([left(&task.state), left(&spill)].concat(), [""; 0]);

    // A row of 110 bytes with its message, twenty thousand times, and a mebibyte.
    let disk = world.path("disk");
    std::fs::create_dir(&disk).expect("the test's folder can be written");
    let arguments = ["verify".as_ref(), task.path.as_os_str(), sent.as_ref(), "--spill".as_ref(), disk.as_os_str()];
    if let Some(engine) = Tidegate::spawn_beside_disk(&disk, 1, arguments) {
        let ended = engine.wait();
        assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
        for words in ["could not write down what was read, in ", "No space left on device", "--spill names another"] {
            assert!(ended.output.contains(words), "{words:?} is not in\n{}", ended.output);
        }
    }
    assert_equal(&report(&task, &[&sent]));
    let different = report(&task, &[&unsent, "--keys", "0"]);
    assert_eq!(table(&different, &unsent)["rows"]["missing"], ROWS, "{different:#}");
}
