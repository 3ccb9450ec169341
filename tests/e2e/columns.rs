//! Columns that no message needs are not read, and nobody can tell from what comes out.

use super::harness::consume::read_messages;
use super::harness::world::kafka_sink;
use super::harness::{Message, Mysql, Private, Reader, Servers, TaskFile, Tidegate, World};

const COLUMNS: &str = "name VARCHAR(40) NOT NULL, city VARCHAR(20) COLLATE utf8mb4_bin, qty INT NOT NULL, price DECIMAL(10,2) NOT NULL,
    kind ENUM('a', 'b') NOT NULL, tags SET('x', 'y') NOT NULL, doc JSON NOT NULL, big BLOB NOT NULL, at DATETIME(3) NOT NULL, day DATE,
    ratio DOUBLE NOT NULL, bits BIT(9) NOT NULL, place POINT NOT NULL, region CHAR(2) NOT NULL";
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

fn shown(message: &Message) -> String {
    let Message { partition, database, table, data, primary_key, .. } = message;
    format!("{partition} {database}.{table} {data:?} {primary_key:?}")
}

/// Rows that are loaded come as they do where they are changes, of which all columns are read.
#[test]
fn rows_are_the_same_with_and_without_columns_that_nobody_needs() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("columns", &servers.mysql, &servers.kafka);
    let database = world.database.clone();
    let task = |world: &World, path: &str, full_load: &str| {
        let mut task = world.task();
        task.name = format!("{database}_{path}");
        task.path = world.path(&format!("{path}.yaml"));
        task.state = world.path(path);
        task.more = full_load.to_owned();
        task
    };
    let of_case = |world: &World, task: &TaskFile, number: usize, path: &str| {
        let (_, options, sink, format) = CASES[number];
        let topic = format!("{database}.{path}.{number}");
        TaskFile {
            tables: format!("[{{table: {database}.t{number}, {options}}}]"),
            sink: kafka_sink(&world.kafka, &format!(", topic: \"{topic}\"{sink}")),
            format: format.to_owned(),
            name: format!("{}_{number}", task.name),
            path: world.path(&format!("{path}_{number}.yaml")),
            state: world.path(&format!("{path}_{number}")),
            ..task.clone()
        }
    };
    for (number, (key, ..)) in CASES.iter().enumerate() {
        world.mysql.run(format!("CREATE TABLE t{number} (id INT NOT NULL, {COLUMNS}, {key})"));
    }
    let tasks = |path: &str, full_load: &str| -> Vec<TaskFile> {
        let task = task(&world, path, full_load);
        (0..CASES.len()).map(|number| of_case(&world, &task, number, path)).collect()
    };
    let (changed, loaded) = (tasks("changed", "full_load: false"), tasks("loaded", "incremental: false"));
    let mut running: Vec<Tidegate> = changed.iter().map(Tidegate::run).collect();
    running.iter_mut().for_each(|engine| engine.wait_for_line("incremental: reading the binlog"));
    for number in 0..CASES.len() {
        world.mysql.run(format!(
            "INSERT INTO t{number} WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < {ROWS}) SELECT n, {VALUES} FROM n"
        ));
    }
    for (number, (task, engine)) in loaded.iter().zip(running).enumerate() {
        Tidegate::finishes(task);
        let read = |path: &str, mut engine: Option<Tidegate>, count: usize| {
            let topic = format!("{database}.{path}.{number}");
            let mut reader = Reader::new(&servers.kafka, vec![topic.clone()]);
            let mut messages = Vec::new();
            match &mut engine {
                Some(engine) => reader.until(engine, "as many as were loaded", |message| {
                    messages.push(shown(&message));
                    messages.len() == count
                }),
                None => reader.read_to_end(|message| messages.push(shown(&message))),
            }
            if let Some(engine) = engine {
                engine.terminate(libc::SIGTERM);
            }
            messages.sort();
            let (raw, _) = read_messages(&servers.kafka, &topic);
            let mut keys: Vec<_> = raw.into_iter().map(|message| (message.partition, message.key)).collect();
            keys.sort();
            (messages, keys)
        };
        let by_load = read("loaded", None, 0);
        assert!(!by_load.0.is_empty(), "{:?}", CASES[number]);
        assert_eq!(read("changed", Some(engine), by_load.0.len()), by_load, "{:?}", CASES[number]);
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
