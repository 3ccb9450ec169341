//! `memory` is a bound, whatever a table, a row or a transaction is like and whoever takes the messages.

use std::io::{BufRead, BufReader};
use std::process::Command;

use super::harness::consume::count_of;
use super::harness::{Ended, Kind, Servers, Tidegate, World, scaled, wait_for};

/// What the program takes besides: its code, stacks, connections, and what it knows of tables and topics.
const PROGRAM_MIB: u64 = 64;

#[track_caller]
fn assert_within(memory_mib: u64, what: &str, ended: &Ended) {
    println!("memory: {memory_mib} MiB, {what}: peak {} MiB", ended.peak_kib >> 10);
    let bound = (memory_mib + PROGRAM_MIB) << 10;
    assert!(ended.peak_kib > 0 && ended.peak_kib <= bound, "{what}: peak {} KiB of {bound}", ended.peak_kib);
}

/// Needs the table `digits`.
pub(super) fn create_digits(world: &mut World) {
    world.mysql.run("CREATE TABLE digits (d INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)");
}

/// `count` rows in one statement, each made of `columns` with `n` from `from` on.
pub(super) fn insert(into: &str, columns: &str, from: u64, count: u64) -> String {
    format!(
        "INSERT INTO {into} SELECT {columns} FROM (
            SELECT {from} + a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d + 100000 * f.d + 1000000 * g.d AS n
            FROM digits a, digits b, digits c, digits d, digits e, digits f, digits g
            WHERE g.d <= {} AND f.d <= {} AND e.d <= {}
         ) numbers WHERE n < {}",
        count / 1_000_000,
        if count >= 1_000_000 { 9 } else { count / 100_000 },
        if count >= 100_000 { 9 } else { count / 10_000 },
        from + count
    )
}

/// Many chunks, then all rows of a transaction: as they come, as they change, as they go.
#[test]
fn memory_bounds_a_long_transaction() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("memory", &servers.mysql, &servers.kafka);
    let rows = scaled(500_000);
    let in_one_transaction = scaled(200_000);
    create_digits(&mut world);
    world.mysql.run("CREATE TABLE narrow (id INT PRIMARY KEY, a INT, b VARCHAR(20))");
    let numbers = |from, count| insert("narrow", "n, n * 7, CONCAT('row ', n)", from, count);
    world.mysql.run(numbers(0, rows));
    let mut task = world.task();
    task.tables = format!("[{0}.narrow, {0}.marker]", world.database);
    task.more = "memory: 128MiB\nfull_load: {chunk_rows: 10000}".to_owned();
    let mut reader = world.reader(["narrow"]);
    let mut engine = Tidegate::run(&task);
    let (mut loaded, mut changed) = (0, 0);
    world.until_loaded(&mut engine, &mut reader, |_| loaded += 1);

    world.mysql.run(numbers(rows, in_one_transaction));
    world.mysql.run(format!("UPDATE narrow SET b = REVERSE(b) WHERE id >= {rows}"));
    world.mysql.run(format!("DELETE FROM narrow WHERE id >= {rows}"));
    world.until_marker(&mut engine, &mut reader, |message| {
        loaded += u64::from(message.kind == Kind::Insert);
        changed += u64::from(message.kind != Kind::Insert);
    });
    let ended = engine.terminate(libc::SIGTERM);
    reader.read_to_end(|message| {
        loaded += u64::from(message.table == "narrow" && message.kind == Kind::Insert);
        changed += u64::from(message.table == "narrow" && message.kind != Kind::Insert);
    });
    assert_eq!((loaded, changed), (rows + in_one_transaction, 2 * in_one_transaction));
    assert_within(128, &format!("{rows} rows, {in_one_transaction} in a transaction"), &ended);
}

/// Few rows, but large ones, and many threads that could all have some.
#[test]
fn memory_bounds_large_rows() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("large", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE large (id INT AUTO_INCREMENT PRIMARY KEY, content LONGTEXT)");
    let rows = scaled(200);
    let insert = "INSERT INTO large (content) VALUES (REPEAT('0123456789abcdef', 65536))";
    for _ in 0..rows {
        world.mysql.run(insert);
    }
    let mut task = world.task();
    task.more = "memory: 64MiB\nthreads: 16\nfull_load: {parallel: 8, chunk_rows: 1000}".to_owned();
    let mut reader = world.reader(["large"]);
    let mut engine = Tidegate::run(&task);
    let mut count = 0;
    world.until_loaded(&mut engine, &mut reader, |_| count += 1);
    world.mysql.run("BEGIN");
    for _ in 0..rows {
        world.mysql.run(insert);
    }
    world.mysql.run("COMMIT");
    world.until_marker(&mut engine, &mut reader, |_| count += 1);
    // In next to nothing of binlog.
    let (file, offset) = world.mysql.binlog_end();
    world.mysql.run("SET SESSION binlog_transaction_compression = ON");
    world.mysql.run("BEGIN");
    for _ in 0..rows {
        world.mysql.run(insert);
    }
    world.mysql.run("COMMIT");
    world.mysql.run("SET SESSION binlog_transaction_compression = OFF");
    println!("memory: {rows} MiB in {} bytes of binlog", world.mysql.binlog_bytes_behind(&file, offset));
    world.until_marker(&mut engine, &mut reader, |_| count += 1);
    let ended = engine.terminate(libc::SIGTERM);
    reader.read_to_end(|message| count += u64::from(message.table == "large"));
    assert_eq!(count, 3 * rows);
    assert_within(64, &format!("{rows} rows of 1 MiB, three times, 16 threads"), &ended);
}

/// Rows that are nearly nothing in the table, and 30 kB each in a topic: the names of 300 columns that are NULL.
#[test]
fn memory_bounds_messages_that_are_larger_than_their_rows() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("wide", &servers.mysql, &servers.kafka);
    create_digits(&mut world);
    let columns: Vec<String> = (0..300).map(|column| format!("a_column_22_letters{column:03} INT")).collect();
    world.mysql.run(format!("CREATE TABLE wide (id INT PRIMARY KEY, {})", columns.join(", ")));
    let rows = scaled(10_000);
    world.mysql.run(insert("wide (id)", "n", 0, rows));
    let tables = format!("[{}.wide]", world.database);

    // Full load, and a transaction behind it.
    let mut task = world.task();
    task.tables = tables.clone();
    task.more = "memory: 64MiB\nthreads: 16\nfull_load: {parallel: 16, chunk_rows: 500}".to_owned();
    let mut engine = Tidegate::run(&task);
    let (kafka, topic) = (world.kafka.clone(), world.topic("wide"));
    let mut wait_for_rows = |count: u64| {
        wait_for(&format!("{count} messages"), || {
            engine.assert_running();
            (count_of(&kafka, &topic) as u64 == count).then_some(())
        });
    };
    wait_for_rows(rows);
    world.mysql.run(insert("wide (id)", "n", rows, rows / 2));
    wait_for_rows(rows + rows / 2);
    let ended = engine.terminate(libc::SIGTERM);
    assert_within(64, "300 columns of NULL, load and transaction, 16 threads, into Kafka", &ended);

    let load = |name: &str, memory_mib: u64, sink: Option<String>| {
        let mut task = task.clone();
        task.name = format!("{}_{name}", world.database);
        (task.path, task.state) = (world.path(name).with_extension("yaml"), world.path(name));
        if let Some(sink) = sink {
            task.sink = sink;
        } else {
            task.sink = task.sink.replace("create_topics", &format!("topic: {}, create_topics", task.name));
        }
        task.more = format!("memory: {memory_mib}MiB\nincremental: false");
        let ended = Tidegate::finishes(&task);
        assert_within(memory_mib, &format!("300 columns of NULL, {name}"), &ended);
        task.name
    };
    let topic = load("kafka", 512, None);
    assert_eq!(count_of(&kafka, &topic) as u64, rows + rows / 2);
    load("null", 128, Some("{\"null\": {}}".to_owned()));

    // A reader that takes its time: for most of it the pipe is full.
    let pipe = world.path("messages");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let lines = std::thread::spawn({
        let pipe = pipe.clone();
        move || BufReader::new(std::fs::File::open(pipe).expect("a pipe")).split(b'\n').count()
    });
    load("pipe", 64, Some(format!("{{file: \"{}\"}}", pipe.display())));
    assert_eq!(lines.join().expect("a reader of lines") as u64, rows + rows / 2);
}
