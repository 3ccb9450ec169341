//! Expressions as MySQL means them, where they meet rows: by the full load, which asks the server to judge first, and by the
//! binlog, which has nobody to ask; and `tidegate sql`, which shows both answers.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use super::harness::{Kind, Message, Mysql, Private, Reader, Servers, TaskFile, Tidegate, World, seeded};
use super::prechecks::findings;

const TABLE: &str = "
    CREATE TABLE orders (
        id INT PRIMARY KEY, qty INT, total DECIMAL(10,2), ratio DOUBLE, day DATE, name VARCHAR(20), doc JSON
    )";

/// Rows at which meanings part: no quantity, infinity, a date without a month, NULL.
fn rows(from: u32) -> String {
    let values = [
        "0, 20, 1, '2009-12-31', 'none', '{\"a\": 1}'",
        "3, 40, 0, '2010-00-10', 'third', '{\"a\": \"x\"}'",
        "2, 40, 2, '2010-05-31', 'twenty', NULL",
        "2, 40, NULL, '2010-06-01', 'late', '[]'",
        "NULL, 40, 1, NULL, 'unknown', '{}'",
    ];
    let rows: Vec<String> = (from..).zip(values).map(|(id, values)| format!("({id}, {values})")).collect();
    format!("INSERT INTO orders VALUES {}", rows.join(", "))
}

#[test]
fn both_paths_keep_the_rows_that_the_server_would() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("expressions", &servers.mysql, &servers.kafka);
    world.mysql.run("SET SESSION sql_mode = ''");
    world.mysql.run(TABLE);
    world.mysql.run(rows(1));
    let condition = "total / qty > 10 AND day < '2010-06-01' OR (total / ratio) > 30";
    let kept = format!("SELECT id FROM orders WHERE {condition} ORDER BY id");
    let expected: Vec<u32> = world.mysql.query(&kept);
    assert_eq!(expected, [2, 3, 5]);

    let mut task = world.task_of_one_topic("");
    let database = &world.database;
    task.tables = format!(
        "\n  - {database}.marker\n  - table: {database}.orders
    where: \"{condition}\"
    select: [id, total / qty AS each, \"ifnull(doc->>'$.a', name) AS a\", \"lpad(qty, 3, '0') AS padded\"]"
    );
    let mut reader = Reader::new(&servers.kafka, vec![world.database.clone()]);
    let mut engine = Tidegate::run(&task);
    let mut loaded = Vec::new();
    world.until_loaded(&mut engine, &mut reader, |message| loaded.push(message));
    world.mysql.run(rows(11));
    let mut changed = Vec::new();
    world.until_marker(&mut engine, &mut reader, |message| changed.push(message));

    let ids = |messages: &[super::harness::Message]| -> Vec<u32> {
        let mut ids: Vec<u32> =
            messages.iter().map(|message| message.data.get("id").unwrap().parse().unwrap()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&loaded), expected);
    assert_eq!(ids(&changed), expected.iter().map(|id| id + 10).collect::<Vec<_>>());
    let third = changed.iter().find(|message| message.data.get("id") == Some(&"12".into())).unwrap();
    assert_eq!(third.data.get("each"), Some(&"13.333333".into()));
    assert_eq!(third.data.get("a"), Some(&"x".into()));
    assert_eq!(third.data.get("padded"), Some(&"003".into()));
}

/// What the command prints, its log left out, and whether it succeeded.
fn sql(task: &TaskFile, table: &str, expression: &str) -> (bool, String) {
    let path = task.write();
    let words = ["sql", path.to_str().unwrap(), table, expression, "--compare"].map(OsStr::new);
    let ended = Tidegate::spawn(words).wait();
    let is_log = |line: &&str| [" INFO ", " WARN "].iter().any(|level| line.contains(level));
    let said = ended.output.lines().filter(|line| !is_log(line)).collect::<Vec<_>>().join("\n");
    (ended.status.success(), said)
}

#[test]
fn an_expression_is_shown_beside_the_servers_answer() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("sql_command", &servers.mysql, &servers.kafka);
    world.mysql.run("SET SESSION sql_mode = ''");
    world.mysql.run(TABLE);
    world.mysql.run(rows(1));
    let mut task = world.task();
    task.tables = format!("[{}.orders]", world.database);
    let table = format!("{}.orders", world.database);

    let (done, said) = sql(&task, &table, "total / qty");
    assert!(done, "{said}");
    let lines: Vec<String> = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines,
        [
            &format!("{table}: total / qty is decimal(14,6)"),
            "id here server",
            "1 NULL NULL",
            "2 13.333333 13.333333",
            "3 20.000000 20.000000",
            "4 20.000000 20.000000",
            "5 NULL NULL",
        ]
    );

    let (done, said) = sql(&task, &table, "uncompress(doc)");
    assert!(!done && said.contains("uncompress() is not supported") && said.contains("^^^^^^^^^"), "{said}");
    let (done, said) = sql(&task, "no.such", "1");
    assert!(!done && said.contains("the task selects no table no.such"), "{said}");
    assert!(!task.state.exists());
}

/// A server whose sessions begin in another zone than the task's: what passes is what a session in UTC would select, and `check` says so.
#[test]
fn the_zone_of_a_server_that_is_not_in_utc_is_told() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid"], "--default-time-zone=+08:00");
    let mut world = World::new("zoned", private.mysql(), &servers.kafka);
    world.mysql.run("SET time_zone = '+00:00'");
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, moment TIMESTAMP NULL, plain DATETIME, s BIGINT)");
    let insert = |mysql: &mut Mysql, from: u32| {
        let times = ["2023-12-31 23:59:59", "2024-01-01 00:00:00", "2024-01-01 07:59:59", "2023-12-31 15:59:59"];
        let rows =
            (from..).zip(times).map(|(id, time)| format!("({id}, '{time}', '{time}', unix_timestamp('{time}'))"));
        mysql.run(format!("INSERT INTO t VALUES {}", rows.collect::<Vec<_>>().join(", ")));
    };
    insert(&mut world.mysql, 1);
    let condition = "moment < '2024-01-01' OR hour(moment) = 0 AND from_unixtime(s) = plain";
    let kept: Vec<u32> = world.mysql.query(&format!("SELECT id FROM t WHERE {condition} ORDER BY id"));
    assert_eq!(kept, [1, 2, 4]);
    world.mysql.run("SET time_zone = DEFAULT");
    let elsewhere: Vec<u32> = world.mysql.query(&format!("SELECT id FROM t WHERE {condition} ORDER BY id"));
    assert_ne!(elsewhere, kept);
    world.mysql.run("SET time_zone = '+00:00'");

    let database = world.database.clone();
    let mut task = world.task();
    let tables = |select: &str| {
        format!("\n  - {database}.marker\n  - table: {database}.t\n    where: \"{condition}\"\n    select: [{select}]")
    };
    task.tables =
        tables("id, moment, hour(plain) AS h, \"date_format(moment, '%H') AS g\", unix_timestamp(moment) AS u");
    let told = |text: &str| {
        format!("warning expressions: `{text}` of {database}.t is meant in UTC, and the server's zone is +08:00")
    };
    let found: Vec<String> =
        findings(&task, &[]).into_iter().filter(|finding| finding.starts_with("warning expressions")).collect();
    assert_eq!(found, [told(condition), told("date_format(moment, '%H') AS g")]);

    task.tables = tables("id, moment");
    let mut reader = world.reader(["t"]);
    let mut engine = Tidegate::run(&task);
    let mut messages = Vec::new();
    world.until_loaded(&mut engine, &mut reader, |message| messages.push(message));
    insert(&mut world.mysql, 11);
    world.finish(engine, &mut reader, |message| messages.push(message));
    let ids: BTreeSet<u32> = messages.iter().map(|message| message.data.get("id").unwrap().parse().unwrap()).collect();
    assert_eq!(ids, BTreeSet::from([1, 2, 4, 11, 12, 14]));
}

/// On MariaDB, `check` names what is answered as by MySQL.
#[test]
fn what_mariadb_answers_otherwise_is_told() {
    let Some((servers, mariadb)) = Servers::with_mariadb() else { return };
    let mut world = World::new("elsewhere", &mariadb[0], &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, qty INT, name VARCHAR(20))");
    let database = world.database.clone();
    let mut task = world.task();
    task.tables = format!(
        "\n  - {database}.marker\n  - table: {database}.t\n    where: qty / 3 > 1\n    select: [id, \"upper(name) AS round\"]"
    );
    let found: Vec<String> =
        findings(&task, &[]).into_iter().filter(|finding| finding.contains(" expressions: ")).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with(&format!(
        "warning expressions: `qty / 3 > 1` of {database}.t is answered as by MySQL 9; on MariaDB /: "
    )));
}

const RANDOM_TABLE: &str = "
    (id INT PRIMARY KEY, qty INT, total DECIMAL(10,2), ratio DOUBLE, day DATE, moment DATETIME(3), name VARCHAR(20), doc JSON)
    CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci";

fn one<'a>(random: &mut fastrand::Rng, of: &[&'a str]) -> &'a str {
    of[random.usize(..of.len())]
}

const NAMES: [&str; 10] = ["de", "DE", "Dé", "de ", "fr", "FR", "", "straße", "STRASSE", "x_y"];
const DAYS: [&str; 6] = ["2009-12-31", "2010-00-10", "2010-05-31", "2024-02-29", "0000-00-00", "2010-06-01"];

/// A row's values without its id.
fn random_values(random: &mut fastrand::Rng) -> String {
    let maybe = |random: &mut fastrand::Rng, text: String| if random.u8(..7) == 0 { "NULL".to_owned() } else { text };
    let day = one(random, &DAYS);
    let values = [
        random.i32(-2..8).to_string(),
        format!("{}.{:02}", random.i32(-20..60), random.u8(..100)),
        format!("{}e-1", random.i32(-30..60)),
        format!("'{day}'"),
        format!("'{} {:02}:00:00.5'", one(random, &DAYS), random.u8(..24)),
        format!("'{}'", one(random, &NAMES)),
        format!("'{}'", one(random, &["{\"a\": 1}", "{\"a\": \"x\"}", "[]", "{\"a\": null}"])),
    ];
    values.map(|value| maybe(random, value)).join(", ")
}

fn random_condition(random: &mut fastrand::Rng, depth: u32) -> String {
    if depth > 0 && random.u8(..3) > 0 {
        let (left, right) = (random_condition(random, depth - 1), random_condition(random, depth - 1));
        return match random.u8(..5) {
            0 | 1 => format!("{left} AND {right}"),
            2 => format!("({left} OR {right})"),
            3 => format!("NOT ({left}) OR {right}"),
            _ => format!("({left}) XOR ({right})"),
        };
    }
    let op = one(random, &["=", "<>", "<", ">=", ">", "<="]);
    let (n, name, day) =
        (random.i32(-2..9), one(random, &NAMES), one(random, &["2010-01-01", "2010-05-31", "2024-02-29"]));
    match random.u8(..20) {
        0 => format!("qty {op} {n}"),
        1 => format!("total / qty {op} {n}"),
        2 => format!("total BETWEEN {n} AND {}.5", n + 20),
        3 => format!("name {op} '{name}'"),
        4 => format!("name LIKE '{}%'", name.chars().next().unwrap_or('d')),
        5 => format!("name IN ('{name}', '{}')", one(random, &NAMES)),
        6 => format!("day {op} '{day}'"),
        7 => "day IS NULL".to_owned(),
        8 => format!("year(day) {op} 2010"),
        9 => format!("moment {op} '{day} 12:00:00.5'"),
        10 => format!("hour(moment) {op} {n}"),
        11 => format!("ratio {op} {n}.5"),
        12 => format!("ifnull(qty, 0) {op} {n}"),
        13 => format!("char_length(name) {op} {n}"),
        14 => format!("doc->>'$.a' {op} 'x'"),
        15 => format!("upper(name) = '{name}'"),
        16 => format!("qty MOD 3 = {}", random.u8(..3)),
        17 => "NOT qty".to_owned(),
        18 => format!("CASE WHEN qty > {n} THEN total ELSE 1.5 END {op} {n}"),
        _ => format!("date_add(day, INTERVAL qty DAY) {op} '{day}'"),
    }
}

/// The rows of each table that a consumer has.
type There = BTreeMap<String, BTreeSet<u32>>;

fn apply(there: &mut There, message: Message) {
    let id = message.data.get("id").expect("a key").parse().expect("a number");
    let rows = there.entry(message.table).or_default();
    match message.kind {
        Kind::Delete => rows.remove(&id),
        _ => rows.insert(id),
    };
}

/// Thirty conditions, each over a table of its own: after the load and after changes, the rows that are there are those that the server selects.
#[test]
fn random_conditions_keep_what_the_server_selects() {
    let Some(servers) = Servers::from_env() else { return };
    let mut random = seeded("conditions");
    let mut world = World::new("conditions", &servers.mysql, &servers.kafka);
    let database = world.database.clone();
    world.mysql.run("SET SESSION sql_mode = ''");
    let conditions: Vec<String> = (0..30).map(|_| random_condition(&mut random, 2)).collect();
    let mut task = world.task_of_one_topic("");
    task.tables = format!("\n  - {database}.marker");
    for (at, condition) in conditions.iter().enumerate() {
        world.mysql.run(format!("CREATE TABLE c{at} {RANDOM_TABLE}"));
        if at % 2 == 0 {
            world.mysql.run(format!("ALTER TABLE c{at} ADD INDEX (name), ADD INDEX (day), ADD INDEX (moment), ADD INDEX (qty), ADD INDEX (total)"));
        }
        let rows: Vec<String> = (0..40).map(|id| format!("({id}, {})", random_values(&mut random))).collect();
        world.mysql.run(format!("INSERT INTO c{at} VALUES {}", rows.join(", ")));
        task.tables += &format!("\n  - table: {database}.c{at}\n    where: \"{condition}\"");
    }
    let mut there = There::new();
    let mut reader = Reader::new(&servers.kafka, vec![database.clone()]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |message| apply(&mut there, message));
    let compare = |mysql: &mut Mysql, there: &There, when: &str| {
        for (at, condition) in conditions.iter().enumerate() {
            let table = format!("c{at}");
            // By indexes, servers find more: DATETIMEs that a literal with more digits rounds to.
            let hint = if at % 2 == 0 { "IGNORE INDEX (name, day, moment, qty, total)" } else { "" };
            let selected: Vec<u32> = mysql.query(&format!("SELECT id FROM {table} {hint} WHERE {condition}"));
            let kept = there.get(&table).cloned().unwrap_or_default();
            assert_eq!(kept, BTreeSet::from_iter(selected), "{when}: {condition}");
        }
    };
    compare(&mut world.mysql, &there, "loaded");
    for at in 0..conditions.len() {
        for id in 0..20 {
            world.mysql.run(format!("REPLACE INTO c{at} VALUES ({id}, {})", random_values(&mut random)));
        }
        world.mysql.run(format!("UPDATE c{at} SET name = upper(name), qty = qty + 1 WHERE id > 30"));
        world.mysql.run(format!("DELETE FROM c{at} WHERE id BETWEEN 18 AND 22"));
        let rows: Vec<String> = (50..60).map(|id| format!("({id}, {})", random_values(&mut random))).collect();
        world.mysql.run(format!("INSERT INTO c{at} VALUES {}", rows.join(", ")));
    }
    world.finish(engine, &mut reader, |message| apply(&mut there, message));
    compare(&mut world.mysql, &there, "changed");
}
