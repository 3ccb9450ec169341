//! `where` and `select` on both paths: what a consumer may see, and how rows come and go through a filter.

use std::collections::BTreeSet;

use super::harness::source_state::Format;
use super::harness::{Kind, Message, Reader, Servers, TaskFile, Tidegate, World};

const TABLE: &str = "
    CREATE TABLE orders (
        id INT PRIMARY KEY, country CHAR(2), amount DECIMAL(10,2), name VARCHAR(50), secret VARCHAR(50), qty INT
    )";

/// One topic with one partition, so that all messages, the markers' too, have one order.
fn one_topic(world: &World, table_options: &str) -> TaskFile {
    let mut task = world.task_of_one_topic("");
    let database = &world.database;
    task.tables = format!("\n  - {database}.marker\n  - table: {database}.orders{table_options}");
    task
}

/// `insert id=1 name='x'` per message, without partition and offset.
fn shown(message: &Message) -> String {
    let kind = format!("{:?}", message.kind).to_lowercase();
    match &message.old {
        Some(old) => format!("{kind} {:?} (old {old:?})", message.data),
        None => format!("{kind} {:?}", message.data),
    }
}

#[track_caller]
fn assert_messages(messages: &[Message], expected: &[&str]) {
    let found: Vec<_> = messages.iter().map(shown).collect();
    assert!(found == expected, "found\n  {}\nexpected\n  {}", found.join("\n  "), expected.join("\n  "));
}

#[test]
fn rows_come_and_go_through_the_filter() {
    let Some(servers) = Servers::from_env() else { return };
    for format in [Format::Canal, Format::Avro] {
        rows_come_and_go(&servers, format);
    }
}

fn rows_come_and_go(servers: &Servers, format: Format) {
    let mut world = World::new("filter", &servers.mysql, &servers.kafka);
    world.mysql.run(TABLE);
    world.mysql.run(
        "INSERT INTO orders VALUES
            (1, 'de', 20.00, 'anna', 's1', 1),
            (2, 'de', 5.00, 'below', 's2', 1),
            (3, 'de', NULL, 'unknown', 's3', 1),
            (4, 'fr', 20.00, 'elsewhere', 's4', 1)",
    );
    let mut task = one_topic(
        &world,
        "
    where: amount > 10 AND country IN ('de', 'at')
    select: [id, name AS customer, amount, \"upper(country) AS land\", qty + 1 AS next]",
    );
    task.format = format.yaml();
    let mut reader = Reader::new(&servers.kafka, vec![world.database.clone()]);
    let mut engine = Tidegate::run(&task);
    let mut messages = Vec::new();
    world.until_loaded(&mut engine, &mut reader, |message| messages.push(message));
    // The full load has a type of its own here, and shows a row as an insert does.
    let initial = if format == Format::Avro { Kind::Init } else { Kind::Insert };
    assert_eq!(std::mem::replace(&mut messages[0].kind, Kind::Insert), initial);
    assert_messages(&messages, &[r#"insert id="1" customer="anna" amount="20.00" land="DE" next="2""#]);
    let loaded = messages.remove(0);

    for statement in [
        // The same row by the other path, and three that stay outside.
        "INSERT INTO orders VALUES (11, 'de', 20.00, 'anna', 's1', 1)",
        "INSERT INTO orders VALUES (12, 'de', 5.00, 'below', '', 1), (13, 'at', NULL, '', '', 1), (14, NULL, 50, '', '', 1)",
        // Leaves by value, enters, leaves by NULL.
        "UPDATE orders SET amount = 5 WHERE id = 1",
        "UPDATE orders SET amount = 50, name = 'back' WHERE id = 1",
        "UPDATE orders SET country = NULL WHERE id = 1",
        // Outside before and after, through one statement that also changes one inside.
        "UPDATE orders SET qty = qty + 1 WHERE id IN (2, 11, 12)",
        // From NULL into the filter.
        "UPDATE orders SET amount = 10.01 WHERE id = 3",
        // Another key, inside; the same with leaving.
        "UPDATE orders SET id = 21 WHERE id = 11",
        "UPDATE orders SET id = 31, amount = 1 WHERE id = 3",
        // Deletes inside and outside.
        "DELETE FROM orders WHERE id IN (2, 21)",
    ] {
        world.mysql.run(statement);
    }
    world.until_marker(&mut engine, &mut reader, |message| messages.push(message));

    // By its full load and by its insert, a row's bytes are the same; only the id is another.
    assert_eq!(messages[0].data.without("id"), loaded.data.without("id"));
    assert_eq!(messages[0].mysql_type.0, loaded.mysql_type.0);
    assert_eq!(messages[0].sql_type.0, loaded.sql_type.0);
    assert_eq!(messages[0].primary_key, loaded.primary_key);

    // A change of the key may be one message or two; what matters is that the old key goes and the new one comes.
    let moved = messages
        .iter()
        .position(|message| message.kind == Kind::Update && message.data.get("id") == Some(&"21".into()));
    if let Some(moved) = moved {
        assert_eq!(messages[moved].old.as_ref().and_then(|old| old.get("id")), Some(&"11".into()));
    }
    let moved = match moved {
        Some(_) => vec![r#"update id="21" customer="anna" amount="20.00" land="DE" next="3" (old id="11")"#],
        None => vec![
            r#"delete id="11" customer="anna" amount="20.00" land="DE" next="3""#,
            r#"insert id="21" customer="anna" amount="20.00" land="DE" next="3""#,
        ],
    };
    let mut expected = vec![
        r#"insert id="11" customer="anna" amount="20.00" land="DE" next="2""#,
        r#"delete id="1" customer="anna" amount="20.00" land="DE" next="2""#,
        r#"insert id="1" customer="back" amount="50.00" land="DE" next="2""#,
        r#"delete id="1" customer="back" amount="50.00" land="DE" next="2""#,
        r#"update id="11" customer="anna" amount="20.00" land="DE" next="3" (old next="2")"#,
        r#"insert id="3" customer="unknown" amount="10.01" land="DE" next="2""#,
    ];
    expected.extend(moved);
    expected.extend([
        r#"delete id="3" customer="unknown" amount="10.01" land="DE" next="2""#,
        r#"delete id="21" customer="anna" amount="20.00" land="DE" next="3""#,
    ]);
    assert_messages(&messages, &expected);
    engine.terminate(libc::SIGTERM);
}

/// Dates that no calendar has, as the task wants them: by full load and by change, in both formats.
#[test]
fn dates_that_no_calendar_has_by_option() {
    let Some(servers) = Servers::from_env() else { return };
    for (format, option, expected) in [
        ("canal_json", "null", r#"id="1" d=NULL t=NULL s=NULL"#),
        ("canal_json", "epoch", r#"id="1" d="1970-01-01" t="1970-01-01 00:00:00.0" s="1970-01-01 00:00:00""#),
        ("dts_avro", "null", r#"id="1" d=NULL t=NULL s=NULL"#),
        // Of second 0 in DTS Avro, the reader knows only that it is the zero TIMESTAMP.
        ("dts_avro", "epoch", r#"id="1" d="1970-01-01" t="1970-01-01 00:00:00" s="0000-00-00 00:00:00""#),
    ] {
        let mut world = World::new("zero_date", &servers.mysql, &servers.kafka);
        world.mysql.run("SET sql_mode = ''");
        world.mysql.run(
            "CREATE TABLE dates (id INT PRIMARY KEY, d DATE NOT NULL, t DATETIME(1) NOT NULL, s TIMESTAMP NOT NULL DEFAULT 0)",
        );
        world.mysql.run("INSERT INTO dates VALUES (1, '2010-00-10', '0000-00-00', 0)");
        let mut task = world.task();
        task.format = format!("{{{format}: {{zero_date: {option}}}}}");
        let mut reader = world.reader(["dates"]);
        let mut engine = Tidegate::run(&task);
        let mut rows = Vec::new();
        world.until_loaded(&mut engine, &mut reader, |message| rows.push(message.data));
        world.mysql.run("DELETE FROM dates");
        world.mysql.run("INSERT INTO dates VALUES (1, '2010-00-10', '0000-00-00', 0)");
        world.finish(engine, &mut reader, |message| rows.push(message.data));
        let rows: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
        assert_eq!(rows, [expected; 3], "{format}, {option}");
    }
}

/// What is not selected is not there: neither in data nor in old nor in the types; the key still decides the partition.
#[test]
fn what_is_not_selected_stays_at_home() {
    let Some(servers) = Servers::from_env() else { return };
    for format in [Format::Canal, Format::Avro] {
        what_is_not_selected_stays(&servers, format);
    }
}

fn what_is_not_selected_stays(servers: &Servers, format: Format) {
    let mut world = World::new("select", &servers.mysql, &servers.kafka);
    world.mysql.run(TABLE);
    world
        .mysql
        .run("INSERT INTO orders VALUES (1, 'de', 20.00, 'anna', 'hidden', 1), (2, 'de', 1.00, 'bert', 'hidden', 1)");
    let mut task = world.task();
    task.format = format.yaml();
    let database = &world.database;
    task.tables = format!("\n  - {database}.marker\n  - table: {database}.orders\n    select: [name, country]");
    let mut reader = world.reader(["orders"]);
    let mut engine = Tidegate::run(&task);
    let mut messages = Vec::new();
    world.until_loaded(&mut engine, &mut reader, |message| messages.push(message));
    for id in 0..20 {
        world.mysql.run(format!("INSERT INTO orders VALUES ({}, 'de', 20.00, 'n{id}', 'hidden', 1)", 100 + id));
    }
    world.mysql.run("UPDATE orders SET name = 'new', secret = 'hidden too'");
    world.mysql.run("DELETE FROM orders");
    world.finish(engine, &mut reader, |message| messages.push(message));

    assert!(messages.len() == 2 + 20 + 22 + 22, "{} messages", messages.len());
    for message in &messages {
        assert_eq!(message.data.names(), ["name", "country"], "{message:?}");
        if let Some(old) = &message.old {
            assert_eq!(old.names(), ["name"], "{message:?}");
        }
        assert!(!format!("{message:?}").contains("hidden"), "{message:?}");
    }
    let partitions: BTreeSet<_> = messages.iter().map(|message| message.partition).collect();
    assert_eq!(partitions.len(), 3, "22 keys fall into all partitions");
}

/// Updates of columns that stay at home are left out where that is asked for; all around them stays, in its order.
#[test]
fn updates_that_change_nothing_that_leaves() {
    let Some(servers) = Servers::from_env() else { return };
    for (format, table, skips) in [
        (Format::Canal, "{}, columns: [id, name]", true),
        (Format::Avro, "{}, select: [id, upper(name) AS name]", true),
        (Format::Canal, "{}, columns: [id, name]", false),
        // Here an update always changes something that leaves.
        (Format::Canal, "{}", true),
    ] {
        let mut world = World::new("unchanged", &servers.mysql, &servers.kafka);
        world.mysql.run("CREATE TABLE visits (id INT PRIMARY KEY, name VARCHAR(9), seen INT)");
        let mut task = world.task_of_one_topic("");
        let database = world.database.clone();
        let table = table.replace("{}", &format!("table: {database}.visits"));
        task.tables = format!("[{database}.marker, {{{table}}}]");
        task.format = format.yaml();
        if skips {
            task.more = "incremental: {unchanged_updates: skip}".to_owned();
        }
        let (messages, _) = world.follow(
            &task,
            &[
                "INSERT INTO visits VALUES (1, 'a', 0), (2, 'b', 0), (3, NULL, 0)",
                "UPDATE visits SET seen = 1",
                "UPDATE visits SET seen = 2, name = 'c' WHERE id = 1",
                "UPDATE visits SET seen = 3, name = IF(id = 3, 'd', name)",
                "UPDATE visits SET seen = 4 WHERE id = 2",
                "UPDATE visits SET id = 9 WHERE id = 2",
                "UPDATE visits SET name = NULL WHERE id = 3",
                "UPDATE visits SET seen = 5 WHERE id = 3",
                "DELETE FROM visits",
            ],
        );
        let told: Vec<String> = messages
            .iter()
            .map(|message| {
                let value = |name| message.data.get(name).map_or("-".to_owned(), |value| value.to_lowercase());
                format!("{:?} {} {}", message.kind, value("id"), value("name")).to_lowercase()
            })
            .collect();
        let all = [
            "insert 1 a",
            "insert 2 b",
            "insert 3 -",
            "update 1 a",
            "update 2 b",
            "update 3 -",
            "update 1 c",
            "update 1 c",
            "update 2 b",
            "update 3 d",
            "update 2 b",
            "delete 2 b",
            "insert 9 b",
            "update 3 -",
            "update 3 -",
            "delete 1 c",
            "delete 3 -",
            "delete 9 b",
        ];
        let changed = [
            "insert 1 a",
            "insert 2 b",
            "insert 3 -",
            "update 1 c",
            "update 3 d",
            "delete 2 b",
            "insert 9 b",
            "update 3 -",
            "delete 1 c",
            "delete 3 -",
            "delete 9 b",
        ];
        match skips && table.contains("id, ") {
            true => assert_eq!(told, changed, "{table}"),
            false => assert_eq!(told, all, "{table}"),
        }
    }
}
