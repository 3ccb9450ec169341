//! What frames rows in the binlog: transactions that are prepared, compressed or tagged, files that end, rows that are larger
//! than a packet. Each needs a task, and some a server, of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::super::harness::consume::Row;
use super::super::harness::world::mysql_source;
use super::super::harness::{Kind, Message, Mysql, Private, Reader, Servers, TaskFile, Tidegate, World, wait_for};
use super::proofs::{Path, proofs};

proofs! {
    [28] &[Path::Insert] => a_large_compressed_transaction_is_resumed;
    [30] Path::ALL => rows_larger_than_a_packet;
    [31] Path::ALL => files_end_often_and_events_have_no_checksum;
    [33] Path::CHANGES => tags_of_gtids;
    [34] Path::CHANGES => xa_rows_come_with_their_commit;
    [34] &[Path::Insert] => xa_commit_after_a_restart;
    [34] &[Path::Insert] => xa_prepared_before_the_start_is_reported;
    [37] Path::ALL => keys;
}

/// One topic with one partition, so that all messages have one order.
fn one_topic(world: &World) -> (TaskFile, Reader) {
    (world.task_of_one_topic(""), Reader::new(&world.kafka, vec![world.database.clone()]))
}

/// The same for messages that brokers and librdkafka refuse by default.
pub(super) fn sink_of_large_messages(brokers: &str) -> String {
    let limit = 96 << 20;
    format!(
        "{{kafka: \"{brokers}\", topic: \"{{task}}\", partition: zero, \
         create_topics: {{partitions: 1, replication: 1, config: {{max.message.bytes: {limit}}}}}, \
         options: {{message.max.bytes: {limit}}}}}"
    )
}

/// `insert id="1"`
fn drawn(Message { kind, data, .. }: &Message) -> String {
    format!("{} {data:?}", format!("{kind:?}").to_lowercase())
}

fn session(world: &World) -> Mysql {
    let mut mysql = Mysql::connect(&world.mysql_url);
    mysql.run(format!("USE {}", world.database));
    mysql
}

/// The rows of an XA transaction stand in the binlog before anybody knows whether they will be true.
///
/// Where XA transactions are prepared, the server is the test's own: a task that begins meanwhile would be stopped by their
/// commit, whatever its tables.
#[test]
fn xa_rows_come_with_their_commit() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid"], "");
    let mut world = World::new("xa", private.mysql(), &servers.kafka);
    world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY, v INT)");
    world.mysql.run("INSERT INTO orders VALUES (1, 0), (2, 0)");
    let (task, mut reader) = one_topic(&world);
    let mut engine = Tidegate::run(&task);
    let mut messages = Vec::new();
    world.until_loaded(&mut engine, &mut reader, |_| {});
    let xid = |name: &str| format!("'{name} of {}','branch',7", world.database);
    let (kept, undone, at_once) = (xid("kept"), xid("undone"), xid("at once"));
    let mut other = session(&world);
    for statement in [
        format!("XA START {kept}"),
        "INSERT INTO orders VALUES (10, 0)".to_owned(),
        "UPDATE orders SET v = 1 WHERE id = 1".to_owned(),
        format!("XA END {kept}"),
        format!("XA PREPARE {kept}"),
    ] {
        world.mysql.run(statement);
    }
    for statement in [
        format!("XA START {undone}"),
        "INSERT INTO orders VALUES (20, 0)".to_owned(),
        "DELETE FROM orders WHERE id = 2".to_owned(),
        format!("XA END {undone}"),
        format!("XA PREPARE {undone}"),
        "INSERT INTO orders VALUES (30, 0)".to_owned(),
        format!("XA ROLLBACK {undone}"),
        format!("XA START {at_once}"),
        "INSERT INTO orders VALUES (40, 0)".to_owned(),
        format!("XA END {at_once}"),
        format!("XA COMMIT {at_once} ONE PHASE"),
        format!("XA COMMIT {kept}"),
        "DELETE FROM orders WHERE id = 10".to_owned(),
    ] {
        other.run(statement);
    }
    world.finish(engine, &mut reader, |message| messages.push(drawn(&message)));
    let expected = [
        r#"insert id="30" v="0""#,
        r#"insert id="40" v="0""#,
        r#"insert id="10" v="0""#,
        r#"update id="1" v="1""#,
        r#"delete id="10" v="0""#,
    ];
    assert_eq!(messages, expected);
}

/// Its rows are behind the position when the commit comes, and must be read once more.
#[test]
fn xa_commit_after_a_restart() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "");
    for (test, mysql_url) in [("xa_restart", private.mysql()), ("xa_restart_nogtid", private.mysql_nogtid())] {
        let mut world = World::new(test, mysql_url, &servers.kafka);
        world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY)");
        world.begin_binlog_file();
        let (task, mut reader) = one_topic(&world);
        let mut engine = Tidegate::run(&task);
        let mut ids = Vec::new();
        let mut take = |message: Message| ids.push(message.data.get("id").expect("never NULL").clone());
        world.until_loaded(&mut engine, &mut reader, &mut take);
        let xid = format!("'{}'", world.database);
        for statement in ["XA START", "INSERT INTO orders VALUES (1)", "XA END", "XA PREPARE"] {
            world.mysql.run(if statement.starts_with("XA") {
                format!("{statement} {xid}")
            } else {
                statement.to_owned()
            });
        }
        world.mysql.run("INSERT INTO orders VALUES (2)");
        // Once it ends as asked, once as by a crash; both times behind the prepared rows.
        world.until_marker(&mut engine, &mut reader, &mut take);
        engine.terminate(libc::SIGTERM);
        world.mysql.run("INSERT INTO orders VALUES (3)");
        let mut engine = Tidegate::run(&task);
        world.until_marker(&mut engine, &mut reader, &mut take);
        engine.kill_9();
        world.mysql.run(format!("XA COMMIT {xid}"));
        world.mysql.run("INSERT INTO orders VALUES (4)");
        world.finish(Tidegate::run(&task), &mut reader, &mut take);
        let first =
            |id: &str| ids.iter().position(|found| found == id).unwrap_or_else(|| panic!("{id} is lost: {ids:?}"));
        assert!(first("2") < first("3") && first("3") < first("1") && first("1") < first("4"), "{test}: {ids:?}");
        assert!(ids.iter().filter(|id| *id == "1").count() == 1, "{test}: {ids:?}");
    }
}

/// Its rows stand before the position at which the task begins, and no view shows them: whoever starts a task should know, and
/// it does not go on without them.
#[test]
fn xa_prepared_before_the_start_is_reported() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid"], "");
    let mut world = World::new("xa_before", private.mysql(), &servers.kafka);
    world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY)");
    let (mut task, mut reader) = one_topic(&world);
    let mut session = session(&world);
    let name = world.database.clone();
    let hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    for statement in [
        format!("XA START '{name}','b',9"),
        "INSERT INTO orders VALUES (1)".to_owned(),
        format!("XA END '{name}','b',9"),
        format!("XA PREPARE '{name}','b',9"),
    ] {
        session.run(statement);
    }
    let check = |task: &TaskFile| {
        let path = task.write();
        let ended = Tidegate::spawn(["check".as_ref(), path.as_os_str()]).wait();
        assert!(ended.status.success(), "{}", ended.output);
        ended.output
    };
    let listed = format!("X'{hex}',X'62',9");
    let blind = check(&task);
    assert!(!blind.contains(&listed) && blind.contains("XA_RECOVER_ADMIN"), "{blind}");
    task.source = mysql_source(private.mysql(), "admin", "admin");
    let seen = check(&task);
    assert!(seen.contains("XA transactions are prepared") && seen.contains(&listed), "{seen}");
    // It is a warning: the task starts, and says so as well.
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line(&listed);
    world.until_loaded(&mut engine, &mut reader, |_| {});
    engine.terminate(libc::SIGTERM);
    session.run(format!("XA COMMIT {listed}"));
    for _ in 0..2 {
        let output = Tidegate::fails(&task);
        assert!(output.contains(&format!("XA COMMIT of {listed}")), "{output}");
        assert!(output.contains("begin again with a full load"), "{output}");
    }

    // Begun again, its row is there like any other.
    task.state = world.path("state-2");
    task.accept = "non_empty_topics";
    let mut ids = Vec::new();
    let engine = Tidegate::run(&task);
    world.finish(engine, &mut reader, |message| ids.extend(message.data.get("id").cloned()));
    assert_eq!(ids, ["1"]);
}

/// Windows end inside the one event that holds the transaction; whoever goes on there unpacks it again.
#[test]
fn a_large_compressed_transaction_is_resumed() {
    let Some(servers) = Servers::from_env() else { return };
    const ROWS: u64 = 40_000;
    let mut world = World::new("compressed", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY, t VARCHAR(200))");
    let (mut task, mut reader) = one_topic(&world);
    task.more = "incremental: {window_rows: 500}".to_owned();
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| {});
    let mut ids = BTreeSet::<u64>::new();
    let mut take = |message: Message| {
        let id = message.data.get("id").expect("never NULL").parse().expect("a number");
        assert_eq!(message.data.get("t").expect("never NULL"), &u64::to_string(&id).repeat(20));
        ids.insert(id);
        ids.len() as u64
    };
    world.mysql.run("SET SESSION binlog_transaction_compression = ON, cte_max_recursion_depth = 1000000");
    // Until a checkpoint stands inside a transaction; by chance, none may have been due.
    let mut last = 0;
    loop {
        let first = last + 1;
        last += ROWS;
        world.mysql.run(format!(
            "INSERT INTO orders WITH RECURSIVE n (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM n WHERE n < {last})
             SELECT n, REPEAT(n, 20) FROM n"
        ));
        let is_inside = wait_for("a checkpoint inside the transaction, or its end", || {
            let mut is_over = false;
            reader.poll(|message| {
                is_over |= message.table == "orders" && take(message) == last;
                !is_over
            });
            (events_done(&task) > 0).then_some(true).or(is_over.then_some(false))
        });
        if is_inside {
            break;
        }
        assert!(last < 50 * ROWS, "no checkpoint inside a transaction");
    }
    engine.kill_9();
    world.finish(Tidegate::run(&task), &mut reader, |message| _ = take(message));
    let missing: Vec<u64> = (1..=last).filter(|id| !ids.contains(id)).collect();
    assert!(missing.is_empty(), "{} rows are lost, from {:?} to {:?}", missing.len(), missing.first(), missing.last());
}

/// Rows events of the transaction that the stored position stands in.
fn events_done(task: &TaskFile) -> u64 {
    task.stored()["position"]["delivered"]["events"].as_u64().unwrap_or(0)
}

/// The client protocol cuts a row at 16 MiB, the binlog's stream an event.
#[test]
fn rows_larger_than_a_packet() {
    let Some(servers) = Servers::from_env() else { return };
    const TEXT_MIB: usize = 17;
    const BLOB_MIB: usize = 33;
    let mut world = World::new("packets", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE large (id INT PRIMARY KEY, t LONGTEXT, b LONGBLOB)");
    let insert = |id: u32| {
        format!(
            "INSERT INTO large VALUES ({id}, REPEAT('0123456789abcdé', {TEXT_MIB} << 16), NULL), ({id} + 1, 'x', REPEAT('abcdefgh', {BLOB_MIB} << 17))"
        )
    };
    let text = "0123456789abcdé".repeat(TEXT_MIB << 16);
    let blob = "abcdefgh".repeat(BLOB_MIB << 17);
    world.mysql.run(insert(1));
    let mut task = world.task();
    task.sink = sink_of_large_messages(&servers.kafka);
    let mut reader = Reader::new(&servers.kafka, vec![world.database.clone()]);
    let mut engine = Tidegate::run(&task);
    let mut found = Vec::new();
    // Compared and dropped one by one.
    let mut take = |message: Message| {
        let about = |value: Option<&String>| match value {
            Some(value) if *value == text => "text".to_owned(),
            Some(value) if *value == blob => "blob".to_owned(),
            Some(value) => value.chars().take(20).collect(),
            None => "NULL".to_owned(),
        };
        let row = |row: &Row| ["id", "t", "b"].map(|name| about(row.get(name))).join(" ");
        let old = message.old.as_ref().map_or(String::new(), |old| format!(" ({})", row(old)));
        found.push(format!("{:?} {}{old}", message.kind, row(&message.data)));
    };
    world.until_loaded(&mut engine, &mut reader, &mut take);
    world.mysql.run(insert(3));
    world.mysql.run("UPDATE large SET t = 'short' WHERE id = 3");
    world.mysql.run(format!("UPDATE large SET t = REPEAT('0123456789abcdé', {TEXT_MIB} << 16), b = NULL WHERE id = 4"));
    world.mysql.run("DELETE FROM large WHERE id IN (2, 4)");
    let ended = world.finish(engine, &mut reader, &mut take);
    println!("packets: peak {} MiB", ended.peak_kib >> 10);
    let expected = [
        "Insert 1 text NULL",
        "Insert 2 x blob",
        "Insert 3 text NULL",
        "Insert 4 x blob",
        "Update 3 short NULL (NULL text NULL)",
        "Update 4 text NULL (NULL x blob)",
        "Delete 2 x blob",
        "Delete 4 text NULL",
    ];
    assert_eq!(found, expected);
}

/// A file every few transactions, some of them larger than a file; no checksum to cut off.
#[test]
fn files_end_often_and_events_have_no_checksum() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "--max-binlog-size=4096 --binlog-checksum=NONE");
    for (test, mysql_url) in [("files", private.mysql()), ("files_nogtid", private.mysql_nogtid())] {
        let mut world = World::new(test, mysql_url, &servers.kafka);
        world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY, t TEXT)");
        world.mysql.run("INSERT INTO orders VALUES (0, '')");
        world.begin_binlog_file();
        let (task, mut reader) = one_topic(&world);
        let mut engine = Tidegate::run(&task);
        let mut found = Vec::new();
        let mut take =
            |message: Message| found.push((message.kind, message.data.get("id").cloned().unwrap_or_default()));
        world.until_loaded(&mut engine, &mut reader, &mut take);
        let mut expected = vec![(Kind::Insert, "0".to_owned())];
        for id in 1..=60 {
            if id == 30 {
                // It goes on in a file that is not the last one any more.
                world.until_marker(&mut engine, &mut reader, &mut take);
                engine.terminate(libc::SIGTERM);
                world.mysql.run("FLUSH BINARY LOGS");
                engine = Tidegate::run(&task);
            }
            world.mysql.run(format!("INSERT INTO orders VALUES ({id}, REPEAT('x', {}))", id % 7 * 1000));
            world.mysql.run(format!("UPDATE orders SET t = CONCAT(t, 'y') WHERE id = {id}"));
            world.mysql.run(format!("DELETE FROM orders WHERE id = {id}"));
            expected.extend([Kind::Insert, Kind::Update, Kind::Delete].map(|kind| (kind, id.to_string())));
        }
        world.finish(engine, &mut reader, &mut take);
        let files: Vec<(String, u64, String)> = world.mysql.query("SHOW BINARY LOGS");
        assert!(files.len() > 30, "{} files", files.len());
        assert_eq!(found, expected, "{test}");
    }
}

/// A tag is a part of a transaction's name, in the message and in the set at which a task goes on.
#[test]
fn tags_of_gtids() {
    let Some(servers) = Servers::from_env() else { return };
    // A server never forgets a tag, and not everybody who reads its sets knows them.
    let private = Private::up(&["mysql-gtid"], "");
    let mut world = World::new("tags", private.mysql(), &servers.kafka);
    world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY)");
    let mut task = world.task();
    let output = world.path("messages");
    task.sink = format!("{{file: \"{}\"}}", output.display());
    let message = |id: u32, kind: &str| {
        let text = std::fs::read_to_string(&output).ok()?;
        let values = text.lines().filter_map(|line| line.split('\t').nth(2));
        let mut messages = values.map(|value| serde_json::from_str::<serde_json::Value>(value).expect("JSON"));
        messages.find(|message| {
            message["data"][0]["id"] == *id.to_string() && message["type"] == *kind && message["table"] == "orders"
        })
    };
    let wait = |engine: &mut Tidegate, id: u32, kind: &str| {
        wait_for("a message in the file", || {
            engine.assert_running();
            message(id, kind)
        })
    };
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("incremental: reading");
    world.mysql.run("SET gtid_next = 'AUTOMATIC:shop'");
    world.mysql.run("INSERT INTO orders VALUES (1)");
    let gtid = wait(&mut engine, 1, "INSERT")["gtid"].as_str().expect("text").to_owned();
    let number: u64 = gtid.rsplit(':').next().expect("parts").parse().expect("a number");
    assert!(gtid.contains(":shop:") && number >= 1, "{gtid}");
    engine.terminate(libc::SIGTERM);
    world.mysql.run("SET gtid_next = 'AUTOMATIC:other_tag'");
    world.mysql.run("UPDATE orders SET id = 2");
    world.mysql.run("SET gtid_next = 'AUTOMATIC'");
    world.mysql.run("DELETE FROM orders");
    world.mysql.run("INSERT INTO orders VALUES (3)");
    let mut engine = Tidegate::run(&task);
    wait(&mut engine, 3, "INSERT");
    engine.terminate(libc::SIGTERM);
    let deleted = message(2, "DELETE").expect("it comes before what was waited for");
    assert!(!deleted["gtid"].as_str().expect("text").contains("tag"), "{deleted}");
    let text = std::fs::read_to_string(&output).expect("text");
    assert!(text.contains(":other_tag:"), "{text}");
    assert_eq!(text.matches(":shop:").count(), 1, "{text}");
}

/// What identifies a row decides its partition: the primary key, else the first unique key without NULLs, else nothing.
#[test]
fn keys() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("keys", &servers.mysql, &servers.kafka);
    const TABLES: [(&str, &str, Option<&[&str]>); 5] = [
        ("by_primary_key", "PRIMARY KEY (b, a), UNIQUE KEY u (c)", Some(&["a", "b"])),
        ("by_unique_key", "UNIQUE KEY a_null (n), UNIQUE KEY u (a)", None),
        ("by_nullable_key", "UNIQUE KEY a_null (n)", None),
        ("by_prefix", "UNIQUE KEY p (t(3))", None),
        ("by_nothing", "KEY k (a)", None),
    ];
    let fill = |world: &mut World, from: u32| {
        for (table, ..) in TABLES {
            let rows: Vec<_> = (from..from + 30).map(|n| format!("({n}, {n}, {n}, {n}, '{n}')")).collect();
            world.mysql.run(format!("INSERT INTO {table} VALUES {}", rows.join(", ")));
        }
    };
    for (table, key, _) in TABLES {
        world.mysql.run(format!(
            "CREATE TABLE {table} (a INT NOT NULL, b INT NOT NULL, c INT NOT NULL, n INT, t VARCHAR(9) NOT NULL, {key})"
        ));
    }
    fill(&mut world, 100);
    let task = world.task();
    let mut reader = world.reader(TABLES.map(|(table, ..)| table));
    let mut engine = Tidegate::run(&task);
    let mut messages = Vec::new();
    world.until_loaded(&mut engine, &mut reader, |message| messages.push(message));
    fill(&mut world, 200);
    for (table, ..) in TABLES {
        world.mysql.run(format!("UPDATE {table} SET c = c + 1000, n = NULL WHERE a >= 110"));
        world.mysql.run(format!("DELETE FROM {table} WHERE a >= 120"));
    }
    world.finish(engine, &mut reader, |message| messages.push(message));
    for (table, _, primary_key) in TABLES {
        let of_table: Vec<&Message> = messages.iter().filter(|message| message.table == table).collect();
        assert_eq!(of_table.len(), 60 + 50 + 40, "{table}");
        let mut homes = BTreeMap::new();
        for message in of_table {
            let names = message.primary_key.as_ref().map(|names| names.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(names.as_deref(), primary_key, "{table}");
            let key = message.data.get("a").expect("never NULL").clone();
            let home = *homes.entry(key).or_insert(message.partition);
            assert_eq!(home, message.partition, "a row of {table} moved: {message:?}");
        }
        let partitions: BTreeSet<_> = homes.into_values().collect();
        let expected = if matches!(table, "by_primary_key" | "by_unique_key") { 3 } else { 1 };
        assert_eq!(partitions.len(), expected, "{table}");
    }
}
