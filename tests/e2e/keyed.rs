//! Keys of messages, tombstones, headers, and topics that keep the last message of each key.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

use super::harness::consume::{RawMessage, read_messages};
use super::harness::world::kafka_sink;
use super::harness::{Message, Mysql, Private, Servers, TaskFile, Tidegate, World, wait_for};

pub(super) fn create_compacted(brokers: &str, topic: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().expect("a client needs no broker yet");
    let new = NewTopic::new(topic, 3, TopicReplication::Fixed(1)).set("cleanup.policy", "compact");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let results = runtime.block_on(admin.create_topics([&new], &AdminOptions::new())).expect("a broker");
    results[0].as_ref().expect("a new topic");
    wait_for("the topic is there", || {
        let metadata = admin.inner().fetch_metadata(Some(topic), Duration::from_secs(5)).ok()?;
        (metadata.topics()[0].partitions().len() == 3).then_some(())
    });
}

/// Runs a task until it has delivered what there is, with whatever `changes` does behind the full load.
fn run(world: &mut World, task: &TaskFile, changes: impl FnOnce(&mut World)) -> String {
    let mut reader = world.reader([]).keyed();
    let mut engine = Tidegate::run(task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    changes(world);
    world.finish(engine, &mut reader, |_| ()).output
}

/// What a command prints, its log left out; it may find something.
fn said(command: &str, task: &TaskFile) -> String {
    let path = task.write();
    let ended = Tidegate::spawn([OsStr::new(command), path.as_os_str()]).wait();
    let is_log = |line: &&str| [" INFO ", " WARN "].iter().any(|level| line.contains(level));
    ended.output.lines().filter(|line| !is_log(line)).collect::<Vec<_>>().join("\n")
}

fn text(bytes: &Option<Vec<u8>>) -> String {
    bytes.as_ref().map_or("null".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// `insert {"id":"1"} 7` for each message, in the order of each partition: what it is, its key, and `v` of its row.
fn drawn(messages: &[RawMessage]) -> Vec<String> {
    let one = |message: &RawMessage| {
        let Some(value) = &message.value else { return format!("tombstone {}", text(&message.key)) };
        let row = Message::parse(value, 0, 0).expect("a message");
        let v = row.data.get("v").cloned().unwrap_or_default();
        format!("{} {} {v}", format!("{:?}", row.kind).to_lowercase(), text(&message.key))
    };
    messages.iter().map(one).collect()
}

/// Tables for all that keys can be. Each row has its own `v`, and each of its versions another.
const TABLES: [(&str, &str, &[&str]); 9] = [
    (
        "composite",
        "e ENUM('b','a') NOT NULL, n BINARY(3) NOT NULL, d DATE NOT NULL, PRIMARY KEY (d, e, n)",
        &["'a', X'00ff2c', '2024-02-29'", "'b', X'010200', '2024-02-29'", "'b', X'5c22', '0001-01-01'"],
    ),
    (
        "big",
        "id BIGINT UNSIGNED PRIMARY KEY",
        &["0", "9223372036854775807", "9223372036854775808", "18446744073709551615"],
    ),
    ("latin", "id VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_bin PRIMARY KEY", &["''", "'é'", "'e'", "'ÿ\\\\'"]),
    ("chinese", "id VARCHAR(20) CHARACTER SET gbk COLLATE gbk_bin PRIMARY KEY", &["'潮'", "'汐'", "'a,b'"]),
    // What is equal to the server is not to a key; here no two are.
    ("folded", "id VARCHAR(20) COLLATE utf8mb4_0900_ai_ci PRIMARY KEY", &["'a'", "'É'", "'🌊'", "'ß '"]),
    ("by_unique", "a INT, id INT NOT NULL, UNIQUE KEY (id)", &["NULL, 1", "7, 2", "7, -3"]),
    ("wide", "id VARBINARY(700) PRIMARY KEY", &["REPEAT(X'00', 700)", "REPEAT(X'ff', 699)", "''"]),
    (
        "moments",
        "id DATETIME(3) PRIMARY KEY",
        &["'2024-02-29 12:00:00.001'", "'1000-01-01'", "'9999-12-31 23:59:59.999'"],
    ),
    ("decimals", "id DECIMAL(20,5) PRIMARY KEY", &["-1.5", "0", "123456789012345.00001"]),
];

/// A consumer of a compacted topic has the table, whatever is deleted, moved to another key, and done before and behind a kill.
#[test]
fn a_compacted_topic_is_the_table() {
    let Some(servers) = Servers::from_env() else { return };
    for (format, hash) in [("canal_json", "dts"), ("dts_avro", "murmur2")] {
        let mut world = World::new("compact", &servers.mysql, &servers.kafka);
        let mut v = 0;
        let mut next = || {
            v += 1;
            v
        };
        for (name, columns, keys) in TABLES {
            world.mysql.run(format!("CREATE TABLE {name} ({columns}, v INT NOT NULL)"));
            for key in keys {
                world.mysql.run(format!("INSERT INTO {name} VALUES ({key}, {})", next()));
            }
            create_compacted(&servers.kafka, &world.topic(name));
        }
        // The server's own key, which no SELECT shows.
        world.mysql.run("SET SESSION sql_generate_invisible_primary_key = ON");
        world.mysql.run("CREATE TABLE hidden (v INT NOT NULL)");
        world.mysql.run(format!("INSERT INTO hidden VALUES ({}), ({})", next(), next()));
        create_compacted(&servers.kafka, &world.topic("hidden"));

        let mut task = world.task();
        task.sink = kafka_sink(&world.kafka, &format!(", key: json, tombstones: true, partition_hash: {hash}"));
        task.format = format.to_owned();
        for round in 0..2 {
            let before = round == 1;
            let mut change = |world: &mut World| {
                for (name, _, keys) in TABLES {
                    let condition = |world: &mut World| {
                        let alive: Vec<i32> = world.mysql.query(&format!("SELECT v FROM {name} ORDER BY v"));
                        alive.first().map_or("FALSE".to_owned(), |v| format!("v = {v}"))
                    };
                    let at = condition(world);
                    world.mysql.run(format!("DELETE FROM {name} WHERE {at}"));
                    let at = condition(world);
                    world.mysql.run(format!("UPDATE {name} SET v = {} WHERE {at}", next()));
                    // A key that was deleted comes again, sooner or later.
                    for key in &keys[..1] {
                        let _ = world.mysql.try_run(&format!("INSERT INTO {name} VALUES ({key}, {})", next()));
                    }
                }
                let moved = [
                    "UPDATE big SET id = id - 1 WHERE id > 0 ORDER BY id",
                    "UPDATE folded SET id = 'A' WHERE id = 'a'",
                    "UPDATE by_unique SET id = id + 10 ORDER BY id DESC",
                    "UPDATE composite SET e = 'a' WHERE e = 'b'",
                    "UPDATE moments SET id = id + INTERVAL 1000 MICROSECOND WHERE id < '9000-01-01' ORDER BY id DESC",
                ];
                for statement in moved {
                    world.mysql.run(statement);
                }
                world.mysql.run("DELETE FROM hidden LIMIT 1");
                world.mysql.run(format!("INSERT INTO hidden VALUES ({})", next()));
            };
            // What was done before a run comes by the binlog, and some of it twice where the one before was killed.
            if before {
                change(&mut world);
                run(&mut world, &task, change);
                continue;
            }
            let mut reader = world.reader([]).keyed();
            let mut engine = Tidegate::run(&task);
            world.until_loaded(&mut engine, &mut reader, |_| ());
            change(&mut world);
            engine.kill_9();
        }

        let mut tombstones = 0;
        let mut names: Vec<&str> = TABLES.iter().map(|(name, ..)| *name).collect();
        names.push("hidden");
        for name in names {
            let (messages, partitions) = read_messages(&world.kafka, &world.topic(name));
            assert_eq!(partitions, 3);
            let mut rows: BTreeMap<Vec<u8>, Option<String>> = BTreeMap::new();
            let mut partition_of: BTreeMap<Vec<u8>, i32> = BTreeMap::new();
            for message in &messages {
                let key = message.key.clone().expect("a key");
                tombstones += u32::from(message.value.is_none());
                assert_eq!(*partition_of.entry(key.clone()).or_insert(message.partition), message.partition, "{name}");
                let v = message.value.as_ref().map(|value| {
                    Message::parse(value, 0, 0).expect("a message").data.get("v").expect("a number").clone()
                });
                rows.insert(key, v);
            }
            let kept: BTreeSet<String> = rows.into_values().flatten().collect();
            let alive: Vec<i32> = world.mysql.query(&format!("SELECT v FROM {name}"));
            let alive: BTreeSet<String> = alive.iter().map(i32::to_string).collect();
            assert_eq!(kept, alive, "{name} as {format}: {:#?}", drawn(&messages));
        }
        assert!(tombstones > 20, "{tombstones}");
    }
}

/// What the server says of the event at a place such as `binlog.000002:1234`: its kind, the table that is named before it, and the GTID of
/// its transaction.
fn event_at(mysql: &mut Mysql, position: &str) -> (String, String, String) {
    let (file, offset) = position.split_once(':').expect("a file and an offset");
    let offset: u64 = offset.parse().expect("a number");
    let rows: Vec<mysql_async::Row> = mysql.query(&format!("SHOW BINLOG EVENTS IN '{file}'"));
    let (mut table, mut gtid) = (String::new(), String::new());
    for row in rows {
        let text = |at: usize| row.get::<String, _>(at).expect("a text");
        if row.get::<u64, _>(1) == Some(offset) {
            return (text(2), table, gtid);
        }
        // `table_id: 92 (shop.orders)`, `SET @@SESSION.GTID_NEXT= '3e11fa47-…:23'`
        match text(2).as_str() {
            "Table_map" => table = text(5),
            "Gtid" => gtid = text(5),
            _ => {}
        }
    }
    panic!("no event begins at {position}");
}

/// The bytes of each form, and that a delete, its tombstone and the row under its new key are in order.
#[test]
fn keys_have_the_form_that_is_asked_for() {
    let Some(servers) = Servers::from_env() else { return };
    // Whose binlog is short enough to be looked at.
    let private = Private::up(&["mysql-gtid"], "");
    let mut world = World::new("keyed", private.mysql(), &servers.kafka);
    let database = world.database.clone();
    for name in ["as_json", "as_text", "as_avro", "by_columns", "one", "templated"] {
        world.mysql.run(format!(
            "CREATE TABLE {name} (id INT UNSIGNED NOT NULL, region VARCHAR(10) NOT NULL, n BIGINT UNSIGNED, d DATE, v INT, \
             PRIMARY KEY (region, id))"
        ));
        world.mysql.run("SET sql_mode = ''");
        world.mysql.run(format!("INSERT INTO {name} VALUES (7, 'de,\\\\at', NULL, '0000-00-00', 1)"));
    }
    world.mysql.run("ALTER TABLE one DROP PRIMARY KEY, ADD PRIMARY KEY (region)");
    world.mysql.run("CREATE TABLE plain (v INT)");
    world.mysql.run("INSERT INTO plain VALUES (1)");
    let mut task = world.task();
    task.tables = format!(
        "[{database}.marker, {{table: {database}.as_json, as: 'crm_{{database}}.json', columns: ['*', region AS r]}}, \
         {{table: {database}.as_text, key: text, select: [v, region AS r, id]}}, \
         {{table: {database}.as_avro, key: avro}}, {{table: {database}.by_columns, key: {{columns: [D, n]}}}}, \
         {{table: {database}.one, key: text}}, {{table: {database}.plain, key: none}}, \
         {{table: {database}.templated, as: 'crm_{{database}}.t', key: {{template: '{{table}},{{Region}},{{id}};'}}}}]"
    );
    task.sink = kafka_sink(
        &world.kafka,
        ", key: json, tombstones: true, partition: zero, headers: [op, database, table, source_time, position, gtid]",
    );
    task.format = "{canal_json: {zero_date: epoch}}".to_owned();

    let schema = said("schema", &task);
    for part in [
        "messages have the key (r, id) as json\n",
        "messages have the key (r, id) as text\n",
        r#"messages have the key {"fields":[{"name":"region","type":"string"},{"name":"id","type":"long"}],"name":"Key","type":"record"}"#,
        "messages have the key (d, n) as json\n",
    ] {
        assert!(schema.contains(part), "{part:?} is not in\n{schema}");
    }
    let peek = said("peek", &task);
    for part in [
        "key {\"r\":\"de,\\\\at\",\"id\":\"7\"}\n".to_owned(),
        r#"key "de\\,\\\\at,7""#.to_owned(),
        "key {\"id\":7,\"region\":\"de,\\\\at\"}\n".to_owned(),
        format!("headers op=read database=crm_{database} table=json source_time="),
    ] {
        assert!(peek.contains(&part), "{part:?} is not in\n{peek}");
    }
    let checked = said("check", &task);
    let words = format!("table {database}.by_columns: rows may share the key of their messages");
    assert!(checked.contains(&words), "{checked}");

    run(&mut world, &task, |world| {
        for name in ["as_json", "as_text", "as_avro", "by_columns", "one", "templated"] {
            world.mysql.run(format!("UPDATE {name} SET v = 2"));
            world.mysql.run(format!("UPDATE {name} SET region = '', n = 5, v = 3"));
            world.mysql.run(format!("DELETE FROM {name}"));
        }
        world.mysql.run("DELETE FROM plain");
    });
    let crm = format!("crm_{database}");
    let mut mysql = Mysql::connect(private.mysql());
    let mut expect = |to: &str, name: &str, old: &str, new: &str| {
        let (messages, _) = read_messages(&world.kafka, &format!("{to}.{name}"));
        let drawn = drawn(&messages);
        let expected = [
            format!("insert {old} 1"),
            format!("update {old} 2"),
            format!("delete {old} 2"),
            format!("tombstone {old}"),
            format!("insert {new} 3"),
            format!("delete {new} 3"),
            format!("tombstone {new}"),
        ];
        assert_eq!(drawn, expected, "{name}");
        // An update of the key is one event.
        let ops = [
            ("read", ""),
            ("update", "Update_rows"),
            ("delete", "Update_rows"),
            ("delete", "Update_rows"),
            ("insert", "Update_rows"),
            ("delete", "Delete_rows"),
            ("delete", "Delete_rows"),
        ];
        for (message, (op, event)) in messages.iter().zip(ops) {
            let begin = format!("op={op} database={to} table={name} source_time=");
            let headers = message.headers.strip_prefix(&begin);
            let (time, rest) = headers.and_then(|rest| rest.split_once(" position=")).expect(&message.headers);
            if let Some(value) = &message.value {
                let row: serde_json::Value = serde_json::from_slice(value).expect("JSON");
                assert_eq!(row["es"].to_string(), time);
            }
            let Some((position, gtid)) = rest.split_once(" gtid=") else {
                // Where the view was opened: in the file that there was.
                assert!(op == "read" && rest.starts_with("binlog."), "{}", message.headers);
                continue;
            };
            assert_ne!(op, "read", "{}", message.headers);
            let (kind, table, transaction) = event_at(&mut mysql, position);
            assert_eq!(kind, event, "{}", message.headers);
            let source = match name {
                "json" => "as_json",
                "t" => "templated",
                name => name,
            };
            assert!(table.ends_with(&format!(".{source})")), "{table} is of {name}");
            assert_eq!(transaction, format!("SET @@SESSION.GTID_NEXT= '{gtid}'"));
        }
        messages
    };
    expect(&crm, "json", r#"{"r":"de,\\at","id":"7"}"#, r#"{"r":"","id":"7"}"#);
    expect(&database, "as_text", r"de\,\\at,7", ",7");
    expect(&crm, "t", r"t,de\,\\at,7;", "t,,7;");
    expect(&database, "as_avro", "\u{c}de,\\at\u{e}", "\0\u{e}");
    // As it is, whatever zero_date makes of it in the value.
    let messages = expect(&database, "by_columns", r#"{"d":"0000-00-00","n":null}"#, r#"{"d":"0000-00-00","n":"5"}"#);
    assert!(text(&messages[0].value).contains(r#""d":"1970-01-01""#), "{}", text(&messages[0].value));
    let messages = expect(&database, "one", r"de,\at", "");
    assert_eq!(messages[4].key, Some(Vec::new()), "a key that is empty is one");

    let (messages, _) = read_messages(&world.kafka, &world.topic("plain"));
    assert_eq!(drawn(&messages), ["insert null 1", "delete null 1"]);

    // A file shows the same.
    let path = world.path("messages");
    task.sink = format!("{{file: {}, key: json, tombstones: true, partition: zero, headers: [op]}}", path.display());
    task.state = world.path("state-of-file");
    task.more = "incremental: false".to_owned();
    task.name = format!("{database}_file");
    task.tables = format!("[{database}.big]");
    world.mysql.run("CREATE TABLE big (id BIGINT PRIMARY KEY, v INT)");
    world.mysql.run("INSERT INTO big VALUES (-1, 1)");
    Tidegate::finishes(&task);
    let lines = std::fs::read_to_string(&path).expect("a file");
    assert!(lines.starts_with(&format!("{database}.big\t0\t{{\"id\":\"-1\"}}\top=read\t{{\"data\":[")), "{lines}");
}

/// Both `check` and a start say what messages without a key are, and what to do, before anything is sent.
#[test]
fn messages_without_a_key_are_refused_where_they_cannot_be() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("keyless", &servers.mysql, &servers.kafka);
    let database = world.database.clone();
    world.mysql.run("CREATE TABLE log (line TEXT)");
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v INT, note VARCHAR(20))");
    world.mysql.run("INSERT INTO t VALUES (1, 1, 'a')");
    let topic = world.topic("log");
    create_compacted(&servers.kafka, &topic);
    let mut task = world.task();
    let kafka = servers.kafka.clone();
    let with = |more: &str| kafka_sink(&kafka, &more.replace("DB", &database));
    let mut refused = |sink: &str, tables: &str, more: &str, words: &[&str]| {
        task.sink = sink.to_owned();
        task.tables = tables.replace("DB", &database);
        task.more = more.to_owned();
        let (fails, check) = (Tidegate::fails(&task), said("check", &task));
        for word in words {
            let word = word.replace("DB", &database);
            assert!(fails.contains(&word), "{word:?} is not in\n{fails}");
            assert!(check.contains(&word), "{word:?} is not in\n{check}");
        }
    };
    let compacted =
        format!("topic {topic} has cleanup.policy=compact: brokers refuse messages without a key there, and ");
    let (json, to_log) = (with(", key: json"), with(", key: json, topic: DB.log"));
    let no_key = "those of DB.log, a table without primary key";
    refused(&json, "[DB.log]", "", &[&compacted, no_key, "key: {columns: [...]}"]);
    let not_asked = "[DB.t, {table: DB.marker, key: none}]";
    refused(&to_log, not_asked, "", &[&compacted, "those of DB.marker, whose `key` is none", "set key: json"]);
    let marks = "those about statements and transactions";
    refused(&to_log, "[DB.t]", "incremental: {ddl: forward}", &[&compacted, marks, "sink.ddl_topic"]);
    let made = format!(
        "{{kafka: \"{kafka}\", key: json, topic: made.{database}, create_topics: {{config: {{cleanup.policy: compact}}}}}}"
    );
    refused(&made, "[DB.log]", "", &["topic made.DB has cleanup.policy=compact", no_key]);
    // The topic of statements, where that is to be made.
    let of_statements =
        made.replace(", topic: made", ", ddl_topic: statements").replace(&format!(".{database}, create"), ", create");
    refused(
        &of_statements,
        "[DB.t]",
        "incremental: {ddl: forward}",
        &["topic statements has cleanup.policy=compact", marks],
    );
    let tombstones = with(", key: json, tombstones: true");
    refused(&tombstones, "[DB.log]", "", &["`tombstones` needs one", "key: {columns: [...]}"]);
    let left_out = "table DB.t: column id is a part of the key of its messages, and is left out";
    refused(&json, "[{table: DB.t, select: [v]}]", "", &[left_out, "may give it another name"]);
    let nullable = "[{table: DB.t, key: {columns: [note], form: text}}]";
    refused(&json, nullable, "", &["column note may be NULL", "form: json"]);
    let scattered = "table DB.t: `partition` goes by column v, which is not in the key of its messages";
    let by_v = "[{table: DB.t, partition: {columns: [v]}}]";
    refused(&tombstones, by_v, "", &[scattered, "a tombstone takes", "murmur2"]);
    refused(&to_log, by_v, "", &[scattered, "cleanup.policy=compact keeps one of each"]);
    let unknown = "[{table: DB.t, key: {columns: [nope]}}]";
    refused(&json, unknown, "", &["no column \"nope\", which its key names"]);

    // A table without a key goes where topics are not compacted, and `check` says that its messages have none.
    world.mysql.run("CREATE TABLE plain (line TEXT)");
    world.mysql.run("INSERT INTO plain VALUES ('a'), ('b')");
    let mut task = world.task();
    task.sink = kafka_sink(&servers.kafka, ", key: json, partition: row");
    task.tables = format!("[{database}.plain, {database}.t, {database}.marker]");
    let checked = said("check", &task);
    assert!(checked.contains(&format!("keys: no key tells the rows apart in {database}.plain")), "{checked}");
    run(&mut world, &task, |world| world.mysql.run("UPDATE plain SET line = 'c' WHERE line = 'a'"));
    let (mut messages, _) = read_messages(&servers.kafka, &world.topic("plain"));
    messages.sort_by_key(|message| text(&message.value).contains("DELETE"));
    assert!(messages.iter().all(|message| message.key.is_none()));
    assert_eq!(messages.len(), 4, "an update is a delete and an insert: {:?}", drawn(&messages));

    // Another key is another task to whoever looks rows up by it.
    let mut other = task.clone();
    other.sink = kafka_sink(&servers.kafka, ", key: text, partition: row, headers: [op]");
    for output in [Tidegate::fails(&other), said("check", &other)] {
        for words in ["was json, is text", "sink.headers was [], is [op]"] {
            assert!(output.contains(words), "{words:?} is not in\n{output}");
        }
    }
    assert!(Tidegate::fails(&other).contains("--accept format,key"));
    other.accept = "key,format";
    run(&mut world, &other, |world| world.mysql.run("UPDATE t SET v = 2"));
    let (messages, _) = read_messages(&servers.kafka, &world.topic("t"));
    assert_eq!(drawn(&messages), [r#"insert {"id":"1"} 1"#, "update 1 2"]);
    assert_eq!(messages[1].headers, "op=update");
}

/// Rows whose key an ALTER TABLE names otherwise have another one, and a table without any key leaves no tombstones.
#[test]
fn a_key_that_is_altered_is_told_of() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("altered_key", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
    world.mysql.run("INSERT INTO t VALUES (1, 1)");
    let mut task = world.task();
    task.sink = kafka_sink(&world.kafka, ", key: json, tombstones: true, partition: zero");
    let output = run(&mut world, &task, |world| {
        world.mysql.run("ALTER TABLE t ADD note INT");
        world.mysql.run("INSERT INTO t VALUES (2, 2, NULL)");
        world.mysql.run("ALTER TABLE t RENAME COLUMN id TO uid");
        world.mysql.run("DELETE FROM t WHERE uid = 2");
    });
    let words = format!("messages of {}.t have other keys from here on ((id) before, (uid) now)", world.database);
    assert_eq!(output.matches(&words).count(), 1, "{output}");
    assert!(!output.contains("go to partitions by other columns"), "{output}");
    let (messages, _) = read_messages(&world.kafka, &world.topic("t"));
    let expected =
        [r#"insert {"id":"1"} 1"#, r#"insert {"id":"2"} 2"#, r#"delete {"uid":"2"} 2"#, r#"tombstone {"uid":"2"}"#];
    assert_eq!(drawn(&messages), expected);

    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("incremental: reading the binlog");
    world.mysql.run("ALTER TABLE t DROP PRIMARY KEY");
    world.mysql.run("DELETE FROM t");
    let ended = engine.wait();
    assert!(!ended.status.success(), "{}", ended.output);
    for words in ["its messages have no key, and `tombstones` needs one", "key: {columns: [...]}"] {
        assert!(ended.output.contains(words), "{words:?} is not in\n{}", ended.output);
    }
    // What the hint says goes on from there: names of its own, whatever keys the table has.
    task.tables = format!("[{0}.marker, {{table: {0}.t, key: {{columns: [uid]}}}}]", world.database);
    task.accept = "key,tables";
    run(&mut world, &task, |_| ());
    let (messages, _) = read_messages(&world.kafka, &world.topic("t"));
    assert_eq!(drawn(&messages)[4..], [r#"delete {"uid":"1"} 1"#, r#"tombstone {"uid":"1"}"#]);
}

/// A key that is another one sends rows to other partitions; one whose column only has another name does not.
#[test]
fn a_key_that_moves_rows_is_told_of() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("moved_key", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v INT NOT NULL)");
    world.mysql.run("INSERT INTO t VALUES (1, 1)");
    let mut reader = world.reader([]);
    let mut engine = Tidegate::run(&world.task());
    world.until_loaded(&mut engine, &mut reader, |_| ());
    world.mysql.run("ALTER TABLE t RENAME COLUMN id TO uid");
    world.mysql.run("INSERT INTO t VALUES (2, 2)");
    world.mysql.run("ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (v)");
    world.mysql.run("INSERT INTO t VALUES (3, 3)");
    let output = world.finish(engine, &mut reader, |_| ()).output;
    let told =
        |words: &str| output.matches(&format!("rows of {}.t go to partitions by {words}", world.database)).count();
    assert_eq!(told("other columns"), 1, "{output}");
    assert_eq!(told("other columns from here on ((uid) before, (v) now)"), 1, "{output}");

    // While the task is away: no row of the version before is sent by the run that meets it.
    world.mysql.run("ALTER TABLE t MODIFY v DECIMAL(12,2)");
    world.mysql.run("INSERT INTO t VALUES (4, 4)");
    let output = world.finish(Tidegate::run(&world.task()), &mut reader, |_| ()).output;
    let words = format!("rows of {}.t go to partitions by other texts of (v) from here on", world.database);
    assert_eq!(output.matches(&words).count(), 1, "{output}");
}

/// Statements and transactions have no key, and headers that say what they are.
#[test]
fn marks_have_headers_and_no_key() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("marks", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
    world.mysql.run("INSERT INTO t VALUES (1, 1)");
    let mut task = world.task_of_one_topic(", key: json, headers: [op, table]");
    task.format = "{dts_avro: {transactions: true}}".to_owned();
    task.more = "incremental: {ddl: forward}".to_owned();
    let mut engine = Tidegate::run(&task);
    let topic = world.database.clone();
    let seen = |words: &str| {
        wait_for(words, || {
            let (messages, _) = read_messages(&servers.kafka, &topic);
            messages.iter().any(|message| message.headers == words).then_some(())
        });
    };
    seen("op=read table=t");
    // What a load shows is no change.
    engine.wait_for_line("incremental: reading the binlog");
    world.mysql.run("ALTER TABLE t ADD note INT");
    world.mysql.run("DELETE FROM t");
    seen("op=delete table=t");
    engine.assert_running();
    let ended = engine.terminate(libc::SIGTERM);
    assert!(ended.status.success(), "{}", ended.output);
    let (messages, _) = read_messages(&servers.kafka, &topic);
    let of_t: Vec<String> = messages
        .iter()
        .filter(|message| !message.headers.contains("marker"))
        .map(|message| format!("{} {}", message.headers, text(&message.key)))
        .collect();
    let expected = [
        "op=ddl table=t null",
        "op=read table=t {\"id\":\"1\"}",
        "op=ddl table=t null",
        "op=begin null",
        "op=delete table=t {\"id\":\"1\"}",
        "op=commit null",
    ];
    let of_t: Vec<&str> = of_t.iter().map(String::as_str).filter(|line| expected.contains(line)).collect();
    assert_eq!(of_t, expected);
}
