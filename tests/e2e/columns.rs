//! Columns that no message needs are not read, and nobody can tell from what comes out.

use std::ffi::OsString;

use super::harness::consume::read_messages;
use super::harness::world::kafka_sink;
use super::harness::{Message, Mysql, Private, Reader, Servers, TaskFile, Tidegate, World};

const COLUMNS: &str = "name VARCHAR(40) NOT NULL, city VARCHAR(20) COLLATE utf8mb4_bin, qty INT NOT NULL, price DECIMAL(10,2),
    kind ENUM('a', 'b'), tags SET('x', 'y'), doc JSON, big BLOB, at DATETIME(3), day DATE, ratio DOUBLE, bits BIT(9), place POINT,
    region CHAR(2) NOT NULL";
/// True of every row, and nobody can know without all of its columns.
const ALL: &str = "id > -1 OR length(name) > 0 OR city IS NULL OR qty > -1 OR price IS NULL OR kind IS NULL OR tags IS NULL OR doc IS NULL
    OR big IS NULL OR at IS NULL OR day IS NULL OR ratio IS NULL OR bits IS NULL OR place IS NULL OR region = 'de'";
const VALUES: &str = "CONCAT('name ', n), IF(n % 3, CONCAT('city ', n % 7), NULL), n, n / 4, IF(n % 2, 'a', 'b'), IF(n % 2, 'x,y', ''),
    JSON_OBJECT('n', n), REPEAT('b', n), '2026-01-02 03:04:05.678', IF(n % 4, '2026-01-02', NULL), n / 8, n, POINT(n, n), IF(n % 2, 'de', 'at')";
const ROWS: u32 = 60;

/// The key of the table, the task's options of it, those of the sink, and the format.
const CASES: &[(&str, &str, &str, &str)] = &[
    ("PRIMARY KEY (id)", "select: [id, name]", "", "canal_json"),
    ("PRIMARY KEY (id)", "select: [\"upper(name) AS n\", kind]", "", "canal_json"),
    ("PRIMARY KEY (id)", "columns: [\"!big\", \"!doc\", \"!place\", \"!bits\"]", "", "canal_json"),
    ("PRIMARY KEY (id)", "columns: [name AS customer, day], as: shop.customers", "", "canal_json"),
    ("PRIMARY KEY (id)", "where: \"qty > 5 AND ratio < 6\", select: [id]", "", "canal_json"),
    ("PRIMARY KEY (id)", "where: \"city = 'city 3' OR tags = 'x,y'\", select: [name]", "", "dts_avro"),
    ("PRIMARY KEY (id)", "select: [id, name], partition: {columns: [city]}", "", "canal_json"),
    ("PRIMARY KEY (id, region)", "select: [name, doc]", "", "dts_avro"),
    (
        "PRIMARY KEY (region, id)",
        "select: [id], partition: {columns: [region, qty]}",
        ", partition_hash: canal",
        "canal_json",
    ),
    ("UNIQUE (name), UNIQUE more (qty, region)", "select: [price]", "", "canal_json"),
    ("KEY (id)", "select: [name]", "", "canal_json"),
    ("KEY (id)", "select: [name], partition: row", "", "canal_json"),
];

/// What happens to the rows that were loaded.
const CHANGES: &[&str] = &[
    "SET binlog_row_value_options = PARTIAL_JSON",
    "UPDATE t SET doc = JSON_SET(doc, '$.n', 0) WHERE id % 2 = 1",
    "UPDATE t SET doc = JSON_SET(doc, '$.n', 1), name = CONCAT(name, '?') WHERE id % 6 = 2",
    "SET binlog_row_value_options = ''",
    "UPDATE t SET city = 'city 3' WHERE id % 4 = 0",
    "UPDATE t SET qty = qty + 3, price = price + 1 WHERE id % 5 = 1",
    "UPDATE t SET region = IF(region = 'de', 'at', 'de') WHERE id % 5 = 2",
    "UPDATE t SET big = REPEAT('c', id), place = POINT(0, id), bits = 3, at = '2026-02-03', day = NULL WHERE id % 3 = 0",
    "UPDATE t SET name = CONCAT(name, '!'), kind = 'a', tags = 'y', ratio = 1 WHERE id % 6 = 1",
    "UPDATE t SET id = id + 1000 WHERE id % 8 = 3",
    "DELETE FROM t WHERE id % 9 = 4",
];

fn shown(message: &Message) -> String {
    let Message { partition, database, table, data, primary_key, .. } = message;
    format!("{partition} {database}.{table} {data:?} {primary_key:?}")
}

/// The same rows, by a filter that reads all columns of each.
fn reading_all(options: &str) -> String {
    match options.split_once("where: \"") {
        Some((before, after)) => {
            let (filter, after) = after.split_once('"').expect("it ends");
            format!("{before}where: \"({filter}) AND ({ALL})\"{after}")
        }
        None => format!("{options}, where: \"{ALL}\""),
    }
}

/// One task for each case, and what has come of it.
struct Path {
    tasks: Vec<TaskFile>,
    readers: Vec<Reader>,
}

impl Path {
    fn new(world: &World, path: &str, more: &str, options: fn(&str) -> String) -> Path {
        let database = &world.database;
        let topic = |number: usize| format!("{database}.{path}.{number}");
        let task = |(number, (_, of_table, sink, format)): (usize, &(&str, &str, &str, &str))| TaskFile {
            tables: format!("[{{table: {database}.t{number}, {}}}]", options(of_table)),
            sink: kafka_sink(&world.kafka, &format!(", topic: \"{}\"{sink}", topic(number))),
            format: format.to_string(),
            name: format!("{database}_{path}_{number}"),
            path: world.path(&format!("{path}_{number}.yaml")),
            state: world.path(&format!("{path}_{number}")),
            more: more.to_owned(),
            ..world.task()
        };
        let tasks = CASES.iter().enumerate().map(task).collect();
        let readers = (0..CASES.len()).map(|number| Reader::new(&world.kafka, vec![topic(number)])).collect();
        Path { tasks, readers }
    }

    /// Runs all of them up to here.
    fn run(&self, arguments: &[&str]) {
        let start = |task: &TaskFile| {
            Tidegate::spawn(task.run_arguments().into_iter().chain(arguments.iter().map(OsString::from)))
        };
        let running: Vec<Tidegate> = self.tasks.iter().map(start).collect();
        for (engine, case) in running.into_iter().zip(CASES) {
            let ended = engine.wait();
            assert!(ended.status.success(), "{case:?}: {}", ended.output);
        }
    }

    /// What has come since the last call, as `draw` says, and the keys of all that has come.
    fn read(&mut self, kafka: &str, number: usize, draw: fn(&Message) -> String) -> (Vec<String>, Vec<String>) {
        let mut messages = Vec::new();
        self.readers[number].read_to_end(|message| messages.push(draw(&message)));
        messages.sort();
        let topic = self.tasks[number].sink.split("topic: \"").nth(1).and_then(|text| text.split('"').next());
        let (raw, _) = read_messages(kafka, topic.expect("a topic"));
        let mut keys: Vec<_> =
            raw.into_iter().map(|message| format!("{} {:?}", message.partition, message.key)).collect();
        keys.sort();
        (messages, keys)
    }
}

/// Rows that are loaded, and rows that change, come as they do where all their columns are read.
#[test]
fn rows_are_the_same_with_and_without_columns_that_nobody_needs() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("columns", &servers.mysql, &servers.kafka);
    for (number, (key, ..)) in CASES.iter().enumerate() {
        world.mysql.run(format!("CREATE TABLE t{number} (id INT NOT NULL, {COLUMNS}, {key})"));
    }
    let as_it_is: fn(&str) -> String = str::to_owned;
    let mut changed = Path::new(&world, "changed", "full_load: false", as_it_is);
    let mut whole = Path::new(&world, "whole", "full_load: false", reading_all);
    let mut loaded = Path::new(&world, "loaded", "incremental: false", as_it_is);
    let follow = |paths: [&Path; 2]| paths.into_iter().for_each(|path| path.run(&["--until", "now"]));
    follow([&changed, &whole]);
    for number in 0..CASES.len() {
        world.mysql.run(format!(
            "INSERT INTO t{number} WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < {ROWS}) SELECT n, {VALUES} FROM n"
        ));
    }
    follow([&changed, &whole]);
    loaded.run(&[]);
    let kafka = world.kafka.clone();
    for (number, case) in CASES.iter().enumerate() {
        let expected = whole.read(&kafka, number, shown);
        assert!(!expected.0.is_empty(), "{case:?}");
        assert_eq!(changed.read(&kafka, number, shown), expected, "{case:?}");
        assert_eq!(loaded.read(&kafka, number, shown), expected, "{case:?}");
    }
    for number in 0..CASES.len() {
        for change in CHANGES {
            world.mysql.run(change.replace(" t ", &format!(" t{number} ")));
        }
    }
    follow([&changed, &whole]);
    let drawn = |message: &Message| format!("{:?} {} {:?}", message.kind, shown(message), message.old);
    for (number, case) in CASES.iter().enumerate() {
        let expected = whole.read(&kafka, number, drawn);
        assert!(expected.0.len() > 20, "{case:?}: {expected:?}");
        assert_eq!(changed.read(&kafka, number, drawn), expected, "{case:?}");
    }
}

/// A megabyte of each row is not selected.
#[test]
fn what_is_not_needed_stays_on_the_server() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid"], "");
    let mut world = World::new("unread", private.mysql(), &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, content LONGBLOB, name VARCHAR(20))");
    for id in 0..20 {
        world.mysql.run(format!("INSERT INTO t VALUES ({id}, RANDOM_BYTES(1024), 'n{id}')"));
    }
    world.mysql.run("UPDATE t SET content = REPEAT(content, 1024)");
    let sent = |mysql: &mut Mysql| -> u64 {
        let (_, bytes): (String, String) = mysql.query_one("SHOW GLOBAL STATUS LIKE 'Bytes_sent'");
        bytes.parse().expect("a number")
    };
    let load = |world: &World, name: &str, select: &str| {
        let mut task = world.task();
        task.name = format!("{}_{name}", world.database);
        task.state = world.path(name);
        task.path = world.path(&format!("{name}.yaml"));
        task.tables = format!("[{{table: {}.t, select: {select}}}]", world.database);
        task.sink = "{'null': {}, topic: t}".to_owned();
        task.more = "incremental: false".to_owned();
        Tidegate::finishes(&task);
    };
    let before = sent(&mut world.mysql);
    load(&world, "without", "[id, name]");
    let without = sent(&mut world.mysql);
    load(&world, "with", "[id, content]");
    let with = sent(&mut world.mysql);
    assert!(without - before < 1 << 20 && with - without > 20 << 20, "{before} {without} {with}");
}
