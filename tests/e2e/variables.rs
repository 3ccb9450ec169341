//! A server whose global variables cut, change or bound what a session is told: the task's sessions have variables of their own.

use std::collections::BTreeSet;

use super::harness::{Private, Servers, Tidegate, World};

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
