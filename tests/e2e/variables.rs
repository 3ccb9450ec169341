//! A server whose global variables cut, change or bound what a session is told: the task's sessions have variables of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use super::harness::mysql::error_code;
use super::harness::{Mysql, Private, Servers, TaskFile, Tidegate, World, scaled, wait_for};
use super::prechecks::findings;
use super::verify::{assert_equal, report, table};

/// Each would hurt by itself: rows and columns missing, a view that opens late or never ends, statements refused or ended.
const HOSTILE: &[&str] = &[
    "sql_select_limit = 0",
    "max_join_size = 1",
    "sql_big_selects = OFF",
    "sql_safe_updates = ON",
    "sql_auto_is_null = ON",
    "max_execution_time = 1",
    "sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'",
    "time_zone = '-11:00'",
    "autocommit = OFF",
    "completion_type = CHAIN",
    "transaction_isolation = 'READ-UNCOMMITTED'",
    "transaction_read_only = ON",
    "max_sort_length = 4",
    "group_concat_max_len = 4",
    "sql_quote_show_create = OFF",
    "show_gipk_in_create_table_and_information_schema = OFF",
    "show_create_table_verbosity = ON",
    "explain_format = JSON",
    "lc_time_names = 'ja_JP'",
    "net_write_timeout = 1",
    "wait_timeout = 1",
    "interactive_timeout = 1",
    "lock_wait_timeout = 1",
];

const ROWS: u64 = 7200;

#[test]
fn hostile_global_variables_change_nothing() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "");
    let mut world = World::new("variables", private.mysql(), &servers.kafka);
    // The administrator's session is older than the variables.
    world.mysql.run(format!("SET SESSION cte_max_recursion_depth = {ROWS}"));
    world.mysql.run(
        "CREATE TABLE wide (a INT, b CHAR(5), c VARCHAR(9), d DATETIME, e TIMESTAMP, f INT UNSIGNED, id INT PRIMARY KEY)",
    );
    let rows = format!("WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < {ROWS})");
    world
        .mysql
        .run(format!("INSERT INTO wide {rows} SELECT n, 'x', 'a\\\\b', NOW(), '2020-01-01 00:00:00', n, n FROM n"));
    world.mysql.run("CREATE TABLE text_key (k VARCHAR(40) PRIMARY KEY, n INT)");
    world.mysql.run("INSERT INTO text_key SELECT CONCAT('the same beginning of each ', id), id FROM wide");
    world.mysql.run("ANALYZE TABLE wide, text_key");
    for variable in HOSTILE {
        world.mysql.run(format!("SET GLOBAL {variable}"));
    }
    let mut task = world.task();
    task.more = "full_load: {parallel: 2, chunk_rows: 900}".to_owned();
    let mut reader = world.reader(["wide", "text_key"]);
    // What a check sees of the tables, it does not see less of.
    let found = findings(&task, &["--ignore", "binlog_row_metadata,prepared_xa"]);
    assert!(matches!(&found[..], [one] if one.starts_with("info equal_keys: k of ")), "{found:#?}");
    let mut engine = Tidegate::run(&task);
    let mut seen: [BTreeSet<String>; 2] = Default::default();
    let mut take = |message: super::harness::Message| {
        let row = &message.data;
        match message.table.as_str() {
            "wide" => {
                assert_eq!(row.0.len(), 7, "{message:?}");
                assert_eq!(row.get("b").map(String::as_str), Some("x"), "{message:?}");
                assert_eq!(row.get("e").map(String::as_str), Some("2020-01-01 00:00:00"), "{message:?}");
                seen[0].insert(row.get("id").expect("a key").clone());
            }
            _ => _ = seen[1].insert(row.get("n").expect("a number").clone()),
        }
    };
    world.until_loaded(&mut engine, &mut reader, &mut take);
    wait_for("the end of the load is stored", || task.stored()["full_load"].is_null().then_some(()));
    // Whoever compares reads all rows of both sides.
    let report = report(&task, &[]);
    assert_equal(&report);
    for name in ["wide", "text_key"] {
        let of_table = table(&report, &world.topic(name));
        assert_eq!(of_table["rows"]["source"], ROWS, "{of_table:#}");
    }
    world.finish(engine, &mut reader, &mut take);
    assert_eq!(seen.each_ref().map(|rows| rows.len() as u64), [ROWS, ROWS]);
}

/// A server that shows everybody the past of tables that have one.
#[test]
fn rows_are_those_of_the_present() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    let private = Private::up(&["mariadb"], "");
    let mut world = World::new("variables_past", private.mariadb(), &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY) WITH SYSTEM VERSIONING");
    world.mysql.run("INSERT INTO t VALUES (1), (2)");
    world.mysql.run("SET GLOBAL sql_select_limit = 0");
    world.mysql.run("SET GLOBAL system_versioning_asof = '2020-01-01 00:00:00'");
    let mut task = world.task();
    task.more = "incremental: false".to_owned();
    let ended = Tidegate::run(&task).wait();
    assert!(ended.status.success(), "{}", ended.output);
    let mut ids = BTreeSet::new();
    world.reader(["t"]).read_to_end(|message| _ = ids.insert(message.data.get("id").cloned()));
    assert_eq!(ids, BTreeSet::from([Some("1".to_owned()), Some("2".to_owned())]));
}

/// What a variable may be set to, if it can be: numbers for those that have one, and texts for all others.
const NUMBERS: [&str; 11] =
    ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9223372036854775807", "18446744073709551615"];
/// So many of them.
const SMALL: usize = 9;
const TEXTS: [&str; 14] = [
    "'ON'",
    "'OFF'",
    "''",
    "'latin1'",
    "'ucs2'",
    "'utf8mb4'",
    "'binary'",
    "'latin1_bin'",
    "'ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'",
    "'ORACLE,STRICT_ALL_TABLES'",
    "'-11:00'",
    "'ja_JP'",
    "'2020-01-01 00:00:00'",
    "'MEMORY'",
];
/// With these at their least, a server refuses to answer, or nearly everybody, and says so. The first is a matter of its own tests.
const REFUSE: [&str; 5] =
    ["max_user_connections", "max_allowed_packet", "max_session_mem_used", "sort_buffer_size", "tmp_disk_table_size"];
/// In the names of those that say how much memory is taken: at their most, all together, there is none.
const MEMORY: [&str; 4] = ["size", "alloc", "mem", "buffer"];

/// A table of each kind, of which every variable may change what is seen.
const ALL_KINDS: &str = r#"
CREATE TABLE types (id BIGINT UNSIGNED PRIMARY KEY, a TINYINT, b INT ZEROFILL, c DECIMAL(20,5), d FLOAT, e DOUBLE, f BIT(9), g YEAR, h DATE,
  i TIME(3), j DATETIME(6), k TIMESTAMP(2) NULL, l CHAR(9) CHARACTER SET latin1, m VARCHAR(99), n TEXT CHARACTER SET gbk, o BLOB, p BINARY(5),
  q VARBINARY(9), r ENUM('ä','b'), s SET('x','ü'), t VARCHAR(40) CHARACTER SET ucs2, u GEOMETRY);
INSERT INTO types VALUES (1, -1, 42, -12345.67891, 1.17549e-38, 1e308, b'101', 2020, '0000-00-00', '-838:59:59.123', '2020-01-01 01:02:03.456789',
  '2020-06-01 00:00:00.25', 'pad  ', 'back\\slash "quote" \'x\' 🌊', '漢字', 0x00ff00, 'ab', 'cd\0', 'ä', 'x,ü', 'ucs', POINT(1,2));
INSERT INTO types (id) VALUES (18446744073709551615);
CREATE TABLE digits (x INT);
INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7);
CREATE TABLE n (id INT PRIMARY KEY, v VARCHAR(20), long_text LONGTEXT);
INSERT INTO n SELECT a.x * 64 + b.x * 8 + c.x, CONCAT('v', a.x, b.x, c.x), REPEAT('長い', IF(c.x = 0, 3000, 3)) FROM digits a, digits b, digits c;
CREATE TABLE text_key (k VARCHAR(60) CHARACTER SET latin1 COLLATE latin1_swedish_ci PRIMARY KEY, n INT);
INSERT INTO text_key SELECT CONCAT('the same beginning of each ', id), id FROM n;
CREATE TABLE parts (a INT NOT NULL, b DATETIME(3) NOT NULL, UNIQUE ab (a, b)) PARTITION BY HASH (a) PARTITIONS 3;
INSERT INTO parts SELECT id % 100, FROM_UNIXTIME(1600000000 + id) FROM n;
CREATE TABLE keyless (a INT, b TEXT);
INSERT INTO keyless SELECT id % 3, v FROM n;
CREATE TABLE other_engine (id INT AUTO_INCREMENT PRIMARY KEY, v TEXT) ENGINE = MyISAM;
INSERT INTO other_engine SELECT id + 1, v FROM n;
ANALYZE TABLE types, n, text_key, parts, keyless, other_engine"#;

/// The messages of a full load, less what is of the moment; or why there are none.
fn loaded(task: &TaskFile, file: &PathBuf) -> Result<Vec<String>, String> {
    let _ = std::fs::remove_dir_all(&task.state);
    let _ = std::fs::remove_file(file);
    let ended = Tidegate::run(task).wait();
    if !ended.status.success() {
        return Err(ended.output);
    }
    let text = std::fs::read_to_string(file).expect("the file is there");
    let mut messages: Vec<String> = text
        .lines()
        .map(|line| {
            let mut message: Value = serde_json::from_str(line.rsplit('\t').next().expect("a value")).expect("JSON");
            let fields = message.as_object_mut().expect("an object");
            ["ts", "es", "id", "gtid"].iter().for_each(|field| _ = fields.remove(*field));
            message.to_string()
        })
        .collect();
    messages.sort();
    Ok(messages)
}

/// Each variable that sessions inherit, and the values that the server takes for it, its own first.
fn inherited(mysql: &mut Mysql) -> BTreeMap<String, Vec<String>> {
    /// Of the server alone, or of nobody.
    const NOT_INHERITED: [u16; 2] = [1229, 1238];
    let rows: Vec<(String, String)> = mysql.query("SHOW GLOBAL VARIABLES");
    let mut out = BTreeMap::new();
    for (name, own) in rows {
        let same = mysql.try_run(&format!("SET SESSION {name} = @@SESSION.{name}"));
        if same.is_err_and(|error| error_code(&error).is_some_and(|code| NOT_INHERITED.contains(&code))) {
            continue;
        }
        let is_number = own.parse::<f64>().is_ok();
        let value_of =
            |value: &str| if is_number { value.to_owned() } else { format!("'{}'", value.replace('\'', "''")) };
        let now = |mysql: &mut Mysql| -> Option<String> {
            let rows: Vec<(String, String)> = mysql.query(&format!("SHOW GLOBAL VARIABLES LIKE '{name}'"));
            rows.into_iter().find(|(other, _)| *other == name).map(|(_, value)| value_of(&value))
        };
        let mut values = vec![value_of(&own)];
        let candidates = match is_number {
            true if MEMORY.iter().any(|word| name.contains(word)) => &NUMBERS[..SMALL],
            true => &NUMBERS,
            false => TEXTS.as_slice(),
        };
        for candidate in NUMBERS[..SMALL].iter().chain(candidates).filter(|_| !REFUSE.contains(&name.as_str())) {
            if mysql.try_run(&format!("SET GLOBAL {name} = {candidate}")).is_ok()
                && let Some(value) = now(mysql).filter(|value| !values.contains(value))
            {
                values.push(value);
            }
        }
        let _ = mysql.try_run(&format!("SET GLOBAL {name} = {}", values[0]));
        out.insert(name, values);
    }
    out
}

/// Every variable that a session inherits, at every value that was thought of: all of them together, one value of each after the other; and
/// with `TIDEGATE_TEST_SCALE` from 10 on, each alone.
fn whatever_sessions_inherit(name: &str, url: &str, kafka: &str) {
    let mut world = World::new(&format!("inherited_{}", name.replace(['-', '.'], "_")), url, kafka);
    // This session is older than what will be set.
    world.mysql.run("SET sql_mode = ''");
    for statement in ALL_KINDS.split(";\n") {
        world.mysql.run(statement);
    }
    let file = world.path("messages");
    let mut task = world.task();
    task.sink = format!("{{file: {}}}", file.display());
    task.more = "incremental: false\nfull_load: {parallel: 2, chunk_rows: 50}".to_owned();
    let expected = loaded(&task, &file).unwrap_or_else(|error| panic!("{name}: {error}"));
    let variables = inherited(&mut world.mysql);
    let rounds = variables.values().map(Vec::len).max().expect("there are variables");
    let count: usize = variables.values().map(|values| values.len() - 1).sum();
    println!("{name}: {} variables, {count} values besides their own, {} messages", variables.len(), expected.len());
    let mut differ = Vec::new();
    let mut look = |what: String| {
        let found = loaded(&task, &file);
        if found.as_ref() != Ok(&expected) {
            differ.push((what, found.map(|messages| messages.len())));
        }
    };
    let set = |mysql: &mut Mysql, variable: &str, value: &str| {
        mysql.try_run(&format!("SET GLOBAL {variable} = {value}")).is_ok()
    };
    for round in 1..rounds {
        for (variable, values) in &variables {
            if let Some(value) = values.get(round) {
                set(&mut world.mysql, variable, value);
            }
        }
        look(format!("value {round} of each"));
    }
    for (variable, values) in &variables {
        set(&mut world.mysql, variable, &values[0]);
    }
    if scaled(1) >= 10 {
        for (variable, values) in &variables {
            for value in &values[1..] {
                if set(&mut world.mysql, variable, value) {
                    look(format!("{variable} = {value}"));
                }
            }
            set(&mut world.mysql, variable, &values[0]);
        }
    }
    assert!(differ.is_empty(), "{name}: {differ:#?}");
}

#[test]
fn whatever_sessions_inherit_from_mysql_changes_nothing() {
    let Some((servers, _)) = Servers::with_oldest() else { return };
    let private = Private::up(&["mysql-gtid", "mysql-5.6"], "");
    whatever_sessions_inherit("mysql", private.mysql(), &servers.kafka);
    whatever_sessions_inherit("mysql-5.6", private.oldest(), &servers.kafka);
}

#[test]
fn whatever_sessions_inherit_from_mariadb_changes_nothing() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    let names = ["mariadb", "mariadb-11"];
    let private = Private::up(&names, "");
    names.iter().for_each(|name| whatever_sessions_inherit(name, private.mariadb_named(name), &servers.kafka));
}
