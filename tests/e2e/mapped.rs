//! Names that tables have where they go, and columns that stay at home: in every message, on both paths, and for tables of several
//! databases that become one.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use super::harness::consume::read_messages;
use super::harness::source_state::Format;
use super::harness::world::kafka_sink;
use super::harness::{Kind, Message, Private, Reader, Servers, TaskFile, Tidegate, World};

/// Databases of one application beside the world's own: `<world>_0`, `<world>_1`, …
struct Shards {
    world: World,
    count: usize,
}

impl Shards {
    fn new(test: &str, mysql: &str, servers: &Servers, count: usize, columns: &str) -> Shards {
        let mut shards = Shards { world: World::new(test, mysql, &servers.kafka), count: 0 };
        (0..count).for_each(|_| shards.add(columns));
        shards
    }

    /// One more, with a row of its number.
    fn add(&mut self, columns: &str) {
        let (database, number) = (format!("{}_{}", self.world.database, self.count), self.count);
        self.world.mysql.run(format!("CREATE DATABASE {database}"));
        self.world.mysql.run(format!("CREATE TABLE {database}.orders ({columns})"));
        self.world.mysql.run(format!("INSERT INTO {database}.orders (id) VALUES ({number})"));
        self.count += 1;
    }

    /// A statement in which `<0>` is the first database.
    fn run(&mut self, statement: &str) {
        let statement = self.text(statement);
        self.world.mysql.run(statement);
    }

    fn text(&self, text: &str) -> String {
        let text = text.to_owned();
        (0..10).fold(text, |text, number| {
            text.replace(&format!("<{number}>"), &format!("{}_{number}", self.world.database))
        })
    }

    /// The marker, and all databases as one with these options; all in one partition of one topic.
    fn task(&self, options: &str) -> TaskFile {
        let mut task = self.world.task_of_one_topic("");
        task.tables = self.entries(options);
        task
    }

    fn entries(&self, options: &str) -> String {
        let database = &self.world.database;
        format!("\n  - {database}.marker\n  - table: '/{database}_(\\d+)\\.(.*)/'{options}")
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            for number in 0..self.count {
                let _ = self.world.mysql.try_run(&format!("DROP DATABASE {}_{number}", self.world.database));
            }
        }
    }
}

/// `insert crm.orders id="1"`, `ALTER crm.orders: ALTER TABLE …`.
fn shown(message: &Message) -> String {
    let Message { kind, database, table, data, old, statement, .. } = message;
    match (statement, old) {
        (Some((kind, sql)), _) => format!("{kind} {database}.{table}: {sql}"),
        (None, Some(old)) => format!("{} {database}.{table} {data:?} (old {old:?})", word(*kind)),
        (None, None) => format!("{} {database}.{table} {data:?}", word(*kind)),
    }
}

fn word(kind: Kind) -> String {
    format!("{kind:?}").to_lowercase()
}

/// What a command says, and with which exit code it ends.
fn said(command: &[&str], task: &TaskFile) -> (i32, String) {
    let path = task.write();
    let arguments = [OsStr::new(command[0]), path.as_os_str()];
    let arguments = arguments.into_iter().chain(command[1..].iter().map(OsStr::new));
    let ended = Tidegate::spawn(arguments).wait();
    (ended.status.code().expect("an exit code"), ended.output)
}

#[track_caller]
fn assert_says(output: &str, words: &[&str]) {
    for word in words {
        assert!(output.contains(word), "{word:?} is not in\n{output}");
    }
}

/// Four databases of one application go into one topic under one name; a fifth is made while the task runs, a sixth while it does
/// not.
#[test]
fn databases_of_one_application_go_into_one_topic() {
    let Some(servers) = Servers::from_env() else { return };
    for format in [Format::Canal, Format::Avro] {
        go_into_one_topic(&servers, format);
    }
}

fn go_into_one_topic(servers: &Servers, format: Format) {
    const COLUMNS: &str =
        "id INT PRIMARY KEY, name VARCHAR(9) DEFAULT 'n', secret VARCHAR(10) DEFAULT 'hidden', UNIQUE (secret, id)";
    let mut shards = Shards::new("shards", &servers.mysql, servers, 4, COLUMNS);
    let database = shards.world.database.clone();
    let mut task = shards.world.task();
    task.tables = shards.entries("\n    as: crm.{2}\n    columns: [\"!secret\", name AS customer]");
    // By this hash a key's partition is also the database's.
    task.sink = kafka_sink(
        &servers.kafka,
        &format!(", topic: \"{database}.{{table}}\", partition_hash: canal, headers: [source_database, table]"),
    );
    task.format = format.yaml();
    let mut reader = shards.world.reader(["orders"]);
    let mut engine = Tidegate::run(&task);
    let mut messages = Vec::new();
    shards.world.until_loaded(&mut engine, &mut reader, |message| messages.push(message));
    shards.run("INSERT INTO <3>.orders (id) VALUES (13)");
    shards.run("UPDATE <2>.orders SET name = 'new', secret = 'hidden too'");
    shards.run("DELETE FROM <1>.orders");
    shards.add(COLUMNS);
    shards.run("UPDATE <4>.orders SET id = 14");
    // The same key once more: a consumer cannot tell the two.
    shards.run("INSERT INTO <4>.orders (id) VALUES (0)");
    let ended = shards.world.finish(engine, &mut reader, |message| messages.push(message));
    assert_says(
        &ended.output,
        &[&shards.text("crm.orders is the name of <0>.orders, <1>.orders, <2>.orders, <3>.orders: a row of one and")],
    );
    shards.add(COLUMNS);
    let engine = Tidegate::run(&task);
    shards.world.finish(engine, &mut reader, |message| messages.push(message));

    let load = if format == Format::Avro { "init" } else { "insert" };
    let mut expected: Vec<String> =
        (0..4).map(|number| format!("{load} crm.orders id=\"{number}\" customer=\"n\"")).collect();
    expected.extend(
        [
            r#"insert crm.orders id="13" customer="n""#,
            r#"update crm.orders id="2" customer="new" (old customer="n")"#,
            r#"delete crm.orders id="1" customer="n""#,
            r#"insert crm.orders id="4" customer="n""#,
            r#"delete crm.orders id="4" customer="n""#,
            r#"insert crm.orders id="14" customer="n""#,
            r#"insert crm.orders id="0" customer="n""#,
            r#"insert crm.orders id="5" customer="n""#,
        ]
        .map(str::to_owned),
    );
    let mut found: Vec<String> = messages.iter().map(shown).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    for message in &messages {
        assert!(!format!("{message:?}").contains("hidden"), "{message:?}");
        assert_eq!(message.primary_key, Some(vec!["id".to_owned()]), "{message:?}");
        assert_eq!(message.mysql_type.names(), ["id", "customer"]);
    }
    let of_0 = messages.iter().filter(|message| message.data.get("id") == Some(&"0".to_owned()));
    let of_0: BTreeSet<i32> = of_0.map(|message| message.partition).collect();
    assert_eq!(of_0.len(), 1, "equal keys of two databases");

    // Whoever has to, can tell where a message is from.
    let (raw, _) = read_messages(&servers.kafka, &format!("{database}.orders"));
    let from: BTreeSet<String> = raw.into_iter().map(|message| message.headers).collect();
    let all: Vec<String> =
        (0..6).map(|number| shards.text(&format!("source_database=<{number}> table=orders"))).collect();
    assert_eq!(from.into_iter().collect::<Vec<_>>(), all);

    // Both names are shown wherever they differ.
    let as_crm = shards.text("<0>.orders as crm.orders");
    for command in [&["schema"][..], &["peek"], &["state"], &["sql", &shards.text("<0>.orders"), "id + 1"]] {
        assert_says(&said(command, &task).1, &[&as_crm]);
    }
    assert_says(
        &said(&["state", "--json"], &task).1,
        &[r#""database": "crm""#, r#""columns": "[!secret, name AS customer]""#],
    );
    let (code, checked) = said(&["check"], &task);
    assert_eq!((code, checked.matches("crm.orders is the name of").count()), (0, 1), "{checked}");
    if format == Format::Avro {
        let peek = said(&["peek"], &task).1;
        assert_says(&peek, &["INIT crm.orders  id ", r#"pk_uk_info={"PRIMARY":["id"]}"#]);
    }
}

/// What a pattern captures is a part of the topic's name, by its number and by its own name.
#[test]
fn topics_are_called_by_what_a_pattern_captures() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("captured", &servers.mysql, &servers.kafka);
    let database = world.database.clone();
    for table in ["eu_orders", "us_orders", "us_items"] {
        world.mysql.run(format!("CREATE TABLE {table} (id INT PRIMARY KEY); INSERT INTO {table} VALUES (1)"));
    }
    let mut task = world.task();
    task.tables = format!(
        "\n  - table: '/{database}\\.(?<region>eu|us)_(orders)/'\n    topic: '{database}.{{2}}.{{region}}'\n  - table: {database}.*_items\n    \
         topic: '{database}.{{1}}'"
    );
    task.more = "incremental: false".to_owned();
    Tidegate::finishes(&task);
    for (topic, table) in [("orders.eu", "eu_orders"), ("orders.us", "us_orders"), ("us", "us_items")] {
        let (messages, _) = read_messages(&servers.kafka, &format!("{database}.{topic}"));
        let [message] = messages.try_into().ok().expect("one");
        let row = Message::parse(message.value.as_ref().expect("a value"), 0, 0).expect("a message");
        assert_eq!(shown(&row), format!("insert {database}.{table} id=\"1\""));
    }
}

/// A statement reaches one database after the other: until it has reached all, each message has the columns of its own row. What a
/// pattern captures follows a RENAME.
#[test]
fn a_statement_reaches_one_database_after_the_other() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid"], "--binlog-row-metadata=FULL --lower-case-table-names=1");
    for (mysql, format) in
        [(&*servers.mysql, Format::Canal), (private.mysql(), Format::Canal), (private.mysql(), Format::Avro)]
    {
        let mut shards = Shards::new("rollout", mysql, &servers, 3, "id INT PRIMARY KEY, a INT");
        let mut task = shards.task("\n    as: CRM.{2}");
        task.format = format.yaml();
        task.more = "incremental: {ddl: forward}".to_owned();
        let mut reader = Reader::new(&servers.kafka, vec![shards.world.database.clone()]);
        let mut engine = Tidegate::run(&task);
        shards.world.until_loaded(&mut engine, &mut reader, |_| ());
        let mut messages = Vec::new();
        shards.run("ALTER TABLE <0>.orders ADD COLUMN b INT, DROP COLUMN a");
        shards.run("INSERT INTO <0>.orders VALUES (10, 1)");
        shards.run("INSERT INTO <1>.orders VALUES (11, 2)");
        let ended = shards.world.finish(engine, &mut reader, |message| messages.push(message));
        let differ = shards.text("<0>.orders are both sent as CRM.orders, and differ: ");
        assert_says(&ended.output, &[&differ, "each message has the columns of its own row"]);
        assert_says(&ended.output, &["a TRUNCATE or DROP of one of them looks like one of all"]);
        // In the midst of it, the task goes on, and `check` does not stand in its way.
        let (code, checked) = said(&["check"], &task);
        assert_eq!(code, 0, "{checked}");
        assert_says(&checked, &["warning  shards: tables ", "are both sent as CRM.orders"]);
        let mut engine = Tidegate::run(&task);
        shards.world.until_marker(&mut engine, &mut reader, |message| messages.push(message));
        shards.run("ALTER TABLE <1>.orders ADD COLUMN b INT, DROP COLUMN a");
        shards.run("ALTER TABLE <2>.orders ADD COLUMN b INT, DROP COLUMN a");
        shards.run("INSERT INTO <1>.orders VALUES (12, 3)");
        // Out of the selection, in again, and to another name of it.
        shards.run("RENAME TABLE <2>.orders TO <2>.sales");
        shards.run("INSERT INTO <2>.sales VALUES (13, 4)");
        shards.run("RENAME TABLE <2>.sales TO <0>.sales");
        shards.run("INSERT INTO <0>.sales VALUES (14, 5)");
        shards.run("DROP TABLE <0>.sales");
        shards.world.finish(engine, &mut reader, |message| messages.push(message));
        let ddl = |kind: &str, table: &str, sql: &str| match format {
            Format::Avro => format!("DDL .CRM: {sql}"),
            _ => format!("{kind} CRM.{table}: {sql}"),
        };
        let alter = |number: u32| {
            let sql = format!("ALTER TABLE <{number}>.orders ADD COLUMN b INT, DROP COLUMN a");
            ddl("ALTER", "orders", &shards.text(&sql))
        };
        let drop = shards.text("DROP TABLE `<0>`.`sales` /* generated by server */");
        let expected = [
            alter(0),
            r#"insert CRM.orders id="10" b="1""#.to_owned(),
            r#"insert CRM.orders id="11" a="2""#.to_owned(),
            alter(1),
            alter(2),
            r#"insert CRM.orders id="12" b="3""#.to_owned(),
            ddl("RENAME", "sales", &shards.text("RENAME TABLE <2>.orders TO <2>.sales")),
            r#"insert CRM.sales id="13" b="4""#.to_owned(),
            ddl("RENAME", "sales", &shards.text("RENAME TABLE <2>.sales TO <0>.sales")),
            r#"insert CRM.sales id="14" b="5""#.to_owned(),
            ddl("ERASE", "sales", &drop),
        ];
        assert_eq!(messages.iter().map(shown).collect::<Vec<_>>(), expected, "{format:?}");
    }
}

/// Loaded side by side while they are written to, and killed meanwhile: each key has its own table's last row.
#[test]
fn a_load_of_several_databases_under_changes() {
    let Some(servers) = Servers::from_env() else { return };
    let mut shards = Shards::new("load", &servers.mysql, &servers, 3, "id INT PRIMARY KEY, a INT");
    let rows = "WITH RECURSIVE s AS (SELECT 1 AS s UNION ALL SELECT s + 1 FROM s WHERE s < 900) SELECT 10 * s";
    for number in 0..3 {
        shards.run(&format!("INSERT INTO <{number}>.orders {rows} + {number}, 0 FROM s"));
    }
    let mut task = shards.task("\n    as: crm.orders");
    task.more = "full_load: {parallel: 2, chunk_rows: 50}".to_owned();
    let mut reader = Reader::new(&servers.kafka, vec![shards.world.database.clone()]);
    let mut held: BTreeMap<u64, String> = BTreeMap::new();
    let mut take = |message: Message| {
        let id = message.data.get("id").expect("a key").parse().expect("a number");
        match (message.kind, message.data.get("a")) {
            _ if message.table == "marker" => {}
            (Kind::Delete, _) => drop(held.remove(&id)),
            (_, a) => drop(held.insert(id, format!("{a:?}"))),
        }
    };
    for round in 1..=2 {
        let mut engine = Tidegate::run(&task);
        let mut count = 0;
        reader.until(&mut engine, "some rows", |message| {
            take(message);
            count += 1;
            count > 200 * round
        });
        for number in 0..3 {
            shards.run(&format!("UPDATE <{number}>.orders SET a = a + {round} WHERE id % 4 < 2"));
            shards.run(&format!("DELETE FROM <{number}>.orders WHERE id % 70 = {number} AND id > 300 * {round}"));
            shards.run(&format!("INSERT INTO <{number}>.orders VALUES ({}, 9)", 100_000 + 10 * round + number));
        }
        // A row goes from one that is loaded early to one that is loaded late, and back: its key has one order.
        for (number, (from, to)) in (2 * round..).zip([(0, 2), (2, 0)]) {
            let id = 4000 + 10 * number + from;
            for statement in [
                "BEGIN".to_owned(),
                format!("DELETE FROM <{from}>.orders WHERE id = {id}"),
                format!("INSERT INTO <{to}>.orders VALUES ({id}, 7)"),
                "COMMIT".to_owned(),
            ] {
                shards.run(&statement);
            }
        }
        engine.kill_9();
    }
    shards.world.finish(Tidegate::run(&task), &mut reader, &mut take);
    let mut expected = BTreeMap::new();
    for number in 0..3 {
        let query = shards.text(&format!("SELECT id, CAST(a AS CHAR) FROM <{number}>.orders"));
        let rows: Vec<(u64, Option<String>)> = shards.world.mysql.query(&query);
        expected.extend(rows.into_iter().map(|(id, a)| (id, format!("{:?}", a.as_ref()))));
    }
    assert_eq!(held, expected);
}

/// Tables that differ are no shards of one, and columns that are none are not left out: a first start says so, by name.
#[test]
fn what_does_not_fit_is_refused_at_the_start() {
    let Some(servers) = Servers::from_env() else { return };
    let mut shards = Shards::new("refused", &servers.mysql, &servers, 3, "id INT PRIMARY KEY, password INT, a INT");
    shards.run("ALTER TABLE <1>.orders MODIFY a BIGINT");
    shards.run("ALTER TABLE <2>.orders ADD COLUMN b INT");
    for (options, expected) in [
        (
            "\n    as: crm.orders",
            &[
                "tables <0>.orders and <1>.orders are both sent as crm.orders, and differ: column a is int, and bigint",
                "tables <0>.orders and <2>.orders are both sent as crm.orders, and differ: <0>.orders has no column b",
                "`columns` or `select` can make them the same",
            ][..],
        ),
        (
            "\n    columns: [\"!pasword\"]",
            &["table <0>.orders, columns: there is no column \"pasword\", did you mean \"password\"?"],
        ),
        ("\n    as: \"crm.{2}\"\n    columns: [id, b]", &["table <0>.orders, columns: there is no column \"b\""]),
    ] {
        let task = shards.task(options);
        let (code, checked) = said(&["check"], &task);
        let output = Tidegate::fails(&task);
        assert_eq!(code, 2, "{checked}");
        for words in expected {
            assert_says(&checked, &[&shards.text(words)]);
            assert_says(&output, &[&shards.text(words)]);
        }
    }
    // What differs may stay at home.
    let task = shards.task("\n    as: crm.orders\n    columns: [password, id]");
    let (messages, _) = shards.world.follow(&task, &[]);
    assert!(messages.is_empty());
    let (code, checked) = said(&["check"], &task);
    assert_eq!(code, 0, "{checked}");
    // No statement makes a difference that the task file makes.
    let task = TaskFile { tables: shards.entries("\n    as: crm.orders"), accept: "select", ..task };
    assert_says(&Tidegate::fails(&task), &[&shards.text("<0>.orders and <1>.orders are both sent as crm.orders")]);
}

/// Where a statement has made tables differ, what comes out of them otherwise can be said anew all the same.
#[test]
fn tables_that_have_come_to_differ_keep_no_change_away() {
    let Some(servers) = Servers::from_env() else { return };
    let mut shards = Shards::new("apart", &servers.mysql, &servers, 2, "id INT PRIMARY KEY, password INT, a INT");
    let mut task = shards.task("\n    as: crm.orders\n    columns: [\"!password\"]");
    shards.world.follow(&task, &[]);
    shards.run("ALTER TABLE <0>.orders ADD COLUMN extra INT");
    shards.world.follow(&task, &[]);
    task.tables = shards.entries("\n    as: crm.orders\n    columns: [\"!password\", \"!a\"]");
    let refused = Tidegate::fails(&task);
    assert!(refused.contains("--accept select") && !refused.contains("must have the same columns"), "{refused}");
    task.accept = "select";
    let statement = shards.text("INSERT INTO <0>.orders VALUES (1, 2, 3, 4)");
    let (messages, _) = shards.world.follow(&task, &[&statement]);
    let rows: Vec<String> = messages.iter().map(|message| format!("{:?}", message.data)).collect();
    assert_eq!(rows, ["id=\"1\" extra=\"4\""]);
}

/// A column that stays at home may get another name, which nobody has excluded: the task stops before it leaves.
#[test]
fn an_excluded_column_does_not_leave_under_another_name() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("excluded", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, password VARCHAR(9))");
    let mut task = world.task_of_one_topic("");
    let tables = |columns: &str| format!("\n  - {0}.marker\n  - table: {0}.t\n    columns: {columns}", world.database);
    task.tables = tables("[\"!password\"]");
    let after = tables("[id]");
    let mut reader = Reader::new(&servers.kafka, vec![world.database.clone()]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    world.mysql.run("INSERT INTO t VALUES (1, 'hidden')");
    world.mysql.run("ALTER TABLE t ADD COLUMN n INT, RENAME COLUMN password TO pass");
    world.mysql.run("INSERT INTO t VALUES (2, 'hidden', 7)");
    let ended = engine.wait();
    assert!(!ended.status.success(), "{}", ended.output);
    assert_says(
        &ended.output,
        &["t, columns: there is no column \"password\"", "a list of columns that it had before and has now"],
    );
    task.tables = after;
    assert_says(&Tidegate::fails(&task), &["columns of ", "was [!password], is [id]", "--accept select"]);
    task.accept = "select";
    let mut messages = Vec::new();
    world.finish(Tidegate::run(&task), &mut reader, |message| messages.push(message));
    let rows: BTreeSet<String> = messages.iter().map(|message| format!("{:?}", message.data)).collect();
    assert_eq!(rows.into_iter().collect::<Vec<_>>(), ["id=\"1\"", "id=\"2\""]);
}

/// Another name is another table to consumers: a start says so, and goes on if somebody accepts it.
#[test]
fn another_name_is_accepted_or_put_back() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("renamed", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO t VALUES (1)");
    let mut task = world.task_of_one_topic("");
    let tables = |name: &str| format!("\n  - {0}.marker\n  - table: {0}.t{name}", world.database);
    let (before, odd) = (tables(""), tables("\n    as: '`we.ird`.`it''s \u{1f600}`$-'"));
    task.tables = before;
    let mut messages = Vec::new();
    let mut reader = Reader::new(&servers.kafka, vec![world.database.clone()]);
    world.finish(Tidegate::run(&task), &mut reader, |message| messages.push(message));
    task.tables = odd;
    let what = format!("name of {0}.t was {0}.t, is we.ird.it's \u{1f600}$-", world.database);
    let words = [&*what, "consumers take changes under the new one for rows of another table", "--accept as"];
    assert_says(&Tidegate::fails(&task), &words);
    assert_says(&said(&["check"], &task).1, &words);
    // Whatever a name holds, it is read as it was written.
    for (accept, format, id) in [("as", "canal_json", 2), ("format", "dts_avro", 3), ("", "dts_avro", 4)] {
        (task.accept, task.format) = (accept, format.to_owned());
        world.mysql.run(format!("INSERT INTO t VALUES ({id})"));
        world.finish(Tidegate::run(&task), &mut reader, |message| messages.push(message));
    }
    let of_sql = format!("{}.t as we.ird.it's \u{1f600}$-: id is int", world.database);
    assert_says(&said(&["sql", "we.ird.it's \u{1f600}$-", "id"], &task).1, &[&of_sql]);
    let names: Vec<String> = messages.iter().map(|message| format!("{}|{}", message.database, message.table)).collect();
    let odd = "we.ird|it's \u{1f600}$-".to_owned();
    assert_eq!(names, [format!("{}|t", world.database), odd.clone(), odd.clone(), odd]);
}
