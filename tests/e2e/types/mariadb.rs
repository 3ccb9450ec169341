//! What only MariaDB has, and the values of [`values`](super::values) on the newest that there is.

use std::collections::BTreeSet;

use super::super::harness::{Kind, Message, Private, Reader, Servers, Tidegate, World};
use super::golden::{Profile, Server};
use super::proofs::{Path, proofs};
use super::run::{INSERTED, run};
use super::values::CLASSES;

proofs! {
    [29, 39, 40] &[Path::FullLoad, Path::Insert, Path::Delete] => types_of_mariadb_come_as_the_server_writes_them;
    [41] &[Path::FullLoad] => of_versioned_tables_the_present_is_loaded;
    [41] Path::CHANGES => what_cannot_be_followed_of_mariadb_is_refused;
}

/// The newest, on which 10.11 is no proof.
#[test]
fn values_of_mariadb_11_are_those_of_mysql() {
    let Some((servers, [_, newest])) = Servers::with_mariadb() else { return };
    let run = run("types_maria11", Server::MariaDb11, &newest, &servers.kafka, Profile::Dts);
    for table in CLASSES.iter().flat_map(|class| (class.tables)()) {
        run.check_table(table);
    }
}

/// Columns of types that only MariaDB has, or that it stores in its own ways, and values of theirs.
const OWN: &[(&str, &[&str])] = &[
    (
        "INET6",
        &[
            "'::'",
            "'::1'",
            "'::1:2'",
            "'::ffff:1.2.3.4'",
            "'1:0:0:2:0:0:0:3'",
            "'1:2:3:4:5:6:7:8'",
            "'fe80::'",
            "'1:0:2::3'",
            "'ffff::1:0:0'",
            "NULL",
        ],
    ),
    (
        "UUID",
        &[
            "'00000000-0000-0000-0000-000000000000'",
            "'123e4567-e89b-12d3-a456-426655440000'",
            "'123e4567-e89b-72d3-8456-426655440000'",
            "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
            "NULL",
        ],
    ),
    ("BINARY(16)", &["''", "'a'", "REPEAT('b', 16)"]),
    ("VARBINARY(16)", &["''", "'a'", "REPEAT('b', 16)"]),
    ("VARCHAR(1000) COMPRESSED CHARACTER SET utf8mb4", &["''", "'x'", "REPEAT('naïve 潮', 100)", "NULL"]),
    ("VARCHAR(200) COMPRESSED CHARACTER SET latin1", &["''", "'ä'", "REPEAT('ä', 200)"]),
    ("TEXT COMPRESSED CHARACTER SET utf16", &["''", "'🌊'", "REPEAT('🌊ä', 3000)", "NULL"]),
    ("MEDIUMTEXT COMPRESSED CHARACTER SET utf8mb4", &["''", "REPEAT('tide', 50000)"]),
    ("JSON", &["'{\"b\": [1, 2.50], \"a\": null}'", "'[]'", "NULL"]),
    ("TIME", &["'-838:59:59'", "'00:00:00'", "'12:34:56'"]),
    ("TIME(1)", &["'-838:59:59.9'", "'-00:00:00.1'", "'12:34:56.7'", "NULL"]),
    ("TIME(6)", &["'-838:59:59.999999'", "'-00:00:00.000001'", "'838:59:59.999999'"]),
    ("DATETIME", &["'0000-00-00 00:00:00'", "'2024-02-29 23:59:59'"]),
    ("DATETIME(2)", &["'0000-00-00 00:00:00'", "'2010-00-10 01:02:03.45'", "'9999-12-31 23:59:59.99'", "NULL"]),
    ("DATETIME(3)", &["'1000-01-01 00:00:00.001'"]),
    ("DATETIME(6)", &["'9999-12-31 23:59:59.999999'", "'0000-00-00 00:00:00'"]),
    ("TIMESTAMP NULL", &["0", "'2038-01-19 03:14:07'", "NULL"]),
    ("TIMESTAMP(1) NULL", &["0", "'2038-01-19 03:14:07.9'", "'2020-01-02 03:04:05.6'"]),
    ("TIMESTAMP(4) NULL", &["0", "'1970-01-01 00:00:01.0001'", "NULL"]),
    ("TIMESTAMP(6) NULL", &["0", "'2020-01-02 03:04:05.678901'"]),
];

#[test]
fn types_of_mariadb_come_as_the_server_writes_them() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    for (server, metadata, wrap) in
        [("mariadb", "NO_LOG", "OFF"), ("mariadb-11", "MINIMAL", "ON"), ("mariadb-11", "FULL", "OFF")]
    {
        let options = format!(
            "--binlog-row-metadata={metadata} --mysql56-temporal-format=OFF --column-compression-zlib-wrap={wrap} --log-bin-compress=ON"
        );
        let private = Private::up(&[server], &options);
        let mut world = World::new("maria_own", private.mariadb_named(server), &servers.kafka);
        world.mysql.run("SET sql_mode = ''");
        let mut columns = OWN.to_vec();
        columns.push(("INET4", &["'0.0.0.0'", "'1.2.3.4'", "'255.255.255.0'", "NULL"]));
        if server == "mariadb-11" {
            columns.push(("VECTOR(3)", &["VEC_FROMTEXT('[1,-2.5,0]')", "NULL"]));
        }
        let definitions: Vec<String> =
            columns.iter().enumerate().map(|(n, (definition, _))| format!("c{n} {definition}")).collect();
        world.mysql.run(format!("CREATE TABLE own (id INT PRIMARY KEY, {})", definitions.join(", ")));
        // With a column that is not shown, which only FULL tells from others.
        if metadata == "FULL" {
            world.mysql.run(
                "CREATE TABLE hashed (id INT PRIMARY KEY, t TEXT, b BLOB NOT NULL, UNIQUE (t), UNIQUE (b), n INT)",
            );
            world.mysql.run("INSERT INTO hashed VALUES (1, 'a', 'b', 5), (2, NULL, '', NULL)");
        }
        // Keys of the types.
        world.mysql.run("CREATE TABLE keyed (u UUID, i INET6, n INT, PRIMARY KEY (u, i))");
        world.mysql.run("INSERT INTO keyed SELECT UUID(), CONCAT('::', seq), seq FROM seq_1_to_50");
        let rows = columns.iter().map(|(_, values)| values.len()).max().expect("columns");
        let insert = |world: &mut World, first: usize| {
            for row in 0..rows {
                let values: Vec<&str> = columns.iter().map(|(_, values)| values[row % values.len()]).collect();
                world.mysql.run(format!("INSERT INTO own VALUES ({}, {})", first + row, values.join(", ")));
            }
        };
        insert(&mut world, 0);
        let mut task = world.task_of_one_topic("");
        task.more = "full_load: {chunk_rows: 10}".to_owned();
        task.format = "{canal_json: {profile: dts}}".to_owned();
        let mut reader = Reader::new(&world.kafka, vec![world.database.clone()]);
        let mut messages = Vec::new();
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |message| messages.push(message));
        insert(&mut world, INSERTED);
        let texts: Vec<String> = columns
            .iter()
            .enumerate()
            .map(|(n, (definition, _))| match *definition {
                // As bytes, each the character of its number.
                "BINARY(16)" | "VARBINARY(16)" => format!("CAST(CONVERT(c{n} USING latin1) AS CHAR)"),
                "VECTOR(3)" => format!("VEC_TOTEXT(c{n})"),
                _ => format!("CAST(c{n} AS CHAR)"),
            })
            .collect();
        let query = format!(
            "SELECT CONCAT_WS('|', id, {}) FROM own ORDER BY id",
            texts.iter().map(|text| format!("IFNULL({text}, 'NULL')")).collect::<Vec<_>>().join(", ")
        );
        let expected: Vec<String> = world.mysql.query(&query);
        world.mysql.run("UPDATE keyed SET n = n + 100");
        world.mysql.run(format!("DELETE FROM own WHERE id >= {INSERTED}"));
        if metadata == "FULL" {
            world.mysql.run("INSERT INTO hashed VALUES (3, 'c', 'd', 6)");
            world.mysql.run("UPDATE hashed SET n = 7, t = NULL WHERE id = 3");
        }
        world.finish(engine, &mut reader, |message| messages.push(message));

        let drawn = |message: &Message| {
            let cells = columns.iter().enumerate().map(|(n, (definition, _))| {
                let cell = message.data.get(&format!("c{n}")).map_or("NULL", String::as_str);
                match *definition {
                    "VECTOR(3)" if cell != "NULL" => cell.replace(".0", ""),
                    _ => cell.to_owned(),
                }
            });
            let id = message.data.get("id").expect("a key").clone();
            [id].into_iter().chain(cells).collect::<Vec<_>>().join("|")
        };
        let of = |table: &str, kind: Kind| {
            messages.iter().filter(move |m| m.table == table && m.kind == kind).collect::<Vec<_>>()
        };
        let found: Vec<String> = of("own", Kind::Init).into_iter().chain(of("own", Kind::Insert)).map(drawn).collect();
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{server} {metadata}");
        }
        assert_eq!(found.len(), expected.len());
        let deleted: Vec<String> = of("own", Kind::Delete).into_iter().map(drawn).collect();
        assert_eq!(deleted, expected[rows..], "{server} {metadata}");
        // The key that the load has read is that of the change.
        let key = |message: &Message| (message.data.get("u").cloned(), message.data.get("i").cloned());
        let keys = |kind: Kind| of("keyed", kind).into_iter().map(key).collect::<BTreeSet<_>>();
        assert_eq!(keys(Kind::Init).len(), 50);
        assert_eq!(keys(Kind::Init), keys(Kind::Update));
        if metadata == "FULL" {
            let hashed: Vec<String> =
                messages.iter().filter(|m| m.table == "hashed").map(|m| format!("{:?}", m.data)).collect();
            let rows = [
                r#"id="1" t="a" b="b" n="5""#,
                r#"id="2" t=NULL b="" n=NULL"#,
                r#"id="3" t="c" b="d" n="6""#,
                r#"id="3" t=NULL b="d" n="7""#,
            ];
            assert_eq!(hashed, rows);
        }
    }
}

/// Of a table that keeps its past, a full load alone has the present; and the times of a row, if they are columns that have names.
#[test]
fn of_versioned_tables_the_present_is_loaded() {
    let Some((servers, [mariadb, newest])) = Servers::with_mariadb() else { return };
    for (url, profile) in [(&mariadb, Profile::Canal), (&mariadb, Profile::Avro), (&newest, Profile::Dts)] {
        let mut world = World::new("maria_past", url, &servers.kafka);
        world.mysql.run("CREATE TABLE unnamed (id INT PRIMARY KEY, n INT) WITH SYSTEM VERSIONING");
        world.mysql.run(
            "CREATE TABLE named (id INT PRIMARY KEY, n INT, since TIMESTAMP(6) GENERATED ALWAYS AS ROW START,
             till TIMESTAMP(6) GENERATED ALWAYS AS ROW END INVISIBLE, PERIOD FOR SYSTEM_TIME(since, till)) WITH SYSTEM VERSIONING",
        );
        for table in ["unnamed", "named"] {
            world.mysql.run(format!("INSERT INTO {table} (id, n) VALUES (1, 1), (2, 2), (3, NULL)"));
            world.mysql.run(format!("UPDATE {table} SET n = 4 WHERE id = 1"));
            world.mysql.run(format!("DELETE FROM {table} WHERE id = 2"));
        }
        // DTS Avro has no zeros at the end of a fraction.
        let time = |column| format!("TRIM(TRAILING '0' FROM {column})");
        let expected: Vec<String> = world.mysql.query(&format!(
            "SELECT CONCAT_WS('|', id, IFNULL(n, 'NULL'), {}, {}) FROM named ORDER BY id",
            time("since"),
            time("till")
        ));
        let mut task = world.task_of_one_topic("");
        task.more = "incremental: false".to_owned();
        task.format = profile.yaml().to_owned();
        let ended = Tidegate::run(&task).wait();
        assert!(ended.status.success(), "{}", ended.output);
        let (mut unnamed, mut named) = (Vec::new(), Vec::new());
        Reader::new(&world.kafka, vec![world.database.clone()]).read_to_end(|message| {
            let cell = |name: &str| message.data.get(name).map_or("NULL", String::as_str).to_owned();
            let time = |name: &str| cell(name).trim_end_matches('0').to_owned();
            match message.table.as_str() {
                "named" => named.push([cell("id"), cell("n"), time("since"), time("till")].join("|")),
                _ => unnamed.push(format!("{:?}", message.data)),
            }
        });
        assert_eq!(named, expected, "{profile:?}");
        assert_eq!(unnamed, [r#"id="1" n="4""#, r#"id="3" n=NULL"#], "{profile:?}");
    }
}

/// What cannot be followed is told before anything is copied.
#[test]
fn what_cannot_be_followed_of_mariadb_is_refused() {
    let Some((servers, [mariadb, _])) = Servers::with_mariadb() else { return };
    let mut world = World::new("maria_refused", &mariadb, &servers.kafka);
    world.mysql.run("CREATE TABLE versioned (id INT PRIMARY KEY) WITH SYSTEM VERSIONING");
    world.mysql.run("CREATE TABLE hashed (id INT PRIMARY KEY, t TEXT, UNIQUE (t))");
    world.mysql.run("CREATE SEQUENCE numbers");
    let task = world.task();
    let output = Tidegate::fails(&task);
    for words in [
        "these tables keep a history of their rows",
        ".versioned",
        "a UNIQUE key covers a long column",
        ".hashed",
        "binlog_row_metadata = 'FULL'",
    ] {
        assert!(output.contains(words), "{words:?} is not in\n{output}");
    }
    // A sequence is no table.
    world.mysql.run("DROP TABLE versioned, hashed");
    let mut reader = world.reader([]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |message| panic!("{message:?}"));
    world.mysql.run("DO NEXTVAL(numbers)");
    world.mysql.run("DO SETVAL(numbers, 100)");
    world.until_marker(&mut engine, &mut reader, |message| panic!("{message:?}"));
    // A table that is made so later.
    world.mysql.run("CREATE TABLE later (id INT PRIMARY KEY) WITH SYSTEM VERSIONING");
    let ended = engine.wait();
    assert!(ended.output.contains(".later keeps its past in itself from here on"), "{}", ended.output);
}
