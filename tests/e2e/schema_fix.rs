//! A run that has stopped because nobody knew a table's columns is told them, and goes on from where it was.

use std::ffi::OsStr;
use std::fs;

use super::harness::{Message, Reader, Servers, TaskFile, Tidegate, World};
use super::journal::history;

fn schema_fix(world: &World, task: &TaskFile, table: &str, from: &[&OsStr]) -> Result<String, String> {
    let table = world.topic(table);
    let mut arguments = vec![OsStr::new("schema-fix"), task.path.as_os_str(), OsStr::new(&table)];
    arguments.extend(from);
    let ended = Tidegate::spawn(arguments).wait();
    if ended.status.success() { Ok(ended.output) } else { Err(ended.output) }
}

fn row(message: &Message) -> String {
    format!("{:?} {:?}", message.kind, message.data).to_lowercase()
}

/// What nobody understands: which of its bytes labels that are no ASCII keep.
const NOT_UNDERSTOOD: &str = "ALTER TABLE t CONVERT TO CHARACTER SET latin1, ADD x INT FIRST";
const CATALOGUE: &str = "--from-catalogue";

#[test]
fn columns_are_told_from_the_catalogue_or_a_file() {
    let Some((servers, [mariadb, _])) = Servers::with_mariadb() else { return };
    for (test, url) in [("fix", &servers.mysql), ("fix_nogtid", &servers.mysql_nogtid), ("fix_mariadb", &mariadb)] {
        let mut world = World::new(test, url, &servers.kafka);
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, e ENUM('a', 'ü')) CHARACTER SET utf8mb4");
        world.mysql.run("CREATE TABLE u (id INT PRIMARY KEY)");
        world.mysql.run("INSERT INTO t VALUES (1, 'a')");
        let mut reader = Reader::new(&world.kafka, vec![world.database.clone(), world.topic("marker")]);
        let task = world.task_of_one_topic("");
        let from_catalogue = [OsStr::new(CATALOGUE)];
        task.write();
        let refused = schema_fix(&world, &task, "t", &from_catalogue).unwrap_err();
        assert!(refused.contains("the task has not begun"), "{refused}");
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |_| ());
        let refused = schema_fix(&world, &task, "t", &from_catalogue).unwrap_err();
        assert!(refused.contains("in use"), "{refused}");

        world.mysql.run(NOT_UNDERSTOOD);
        world.mysql.run("INSERT INTO t VALUES (10, 2, 'a')");
        world.mysql.run("INSERT INTO u VALUES (1)");
        let ended = engine.wait();
        let words = "tidegate schema-fix TASK.yaml TABLE --from-catalogue";
        assert!(!ended.status.success() && ended.output.contains(words), "{}", ended.output);
        let refused = schema_fix(&world, &task, "u", &from_catalogue).unwrap_err();
        assert!(refused.contains("before any such row of"), "{refused}");
        let told = schema_fix(&world, &task, "t", &from_catalogue).unwrap();
        for words in ["  x int", "  id int", "  e enum('a',", "the binlog can be read on up to"] {
            assert!(told.contains(words), "{words:?} is not in\n{told}");
        }
        // Before a run has met it, it may be told again.
        schema_fix(&world, &task, "t", &from_catalogue).unwrap();

        // A run that is killed meets the place again.
        let mut rows = Vec::new();
        let mut engine = Tidegate::run(&task);
        world.until_marker(&mut engine, &mut reader, |message| rows.push(row(&message)));
        engine.kill_9();
        let mut engine = Tidegate::run(&task);
        // What a later statement says builds on it.
        world.mysql.run("ALTER TABLE t ADD y INT");
        world.mysql.run("INSERT INTO t VALUES (10, 3, 'a', 30)");
        world.until_marker(&mut engine, &mut reader, |message| rows.push(row(&message)));
        rows.sort();
        rows.dedup();
        assert_eq!(
            rows,
            [r#"insert id="1""#, r#"insert x="10" id="2" e="1""#, r#"insert x="10" id="3" e="1" y="30""#],
            "{test}"
        );

        // Altered twice: the catalogue shows what became of it.
        world.mysql.run("ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4, DROP x");
        let definition: (String, String) = world.mysql.query_one("SHOW CREATE TABLE t");
        world.mysql.run("INSERT INTO t VALUES (4, 'a', 40)");
        world.mysql.run("ALTER TABLE t ADD z INT FIRST");
        world.mysql.run("INSERT INTO t VALUES (50, 5, 'a', 51)");
        assert!(!engine.wait().status.success());
        let refused = schema_fix(&world, &task, "t", &from_catalogue).unwrap_err();
        assert!(
            refused.contains("have altered it again") || refused.contains("these are not its columns"),
            "{refused}"
        );
        let from = |text: &str| {
            let path = world.path("definition.sql");
            fs::write(&path, text).unwrap();
            let from = [OsStr::new("--from"), path.as_os_str()];
            schema_fix(&world, &task, "t", &from)
        };
        let refused = from("CREATE TABLE t (id INT PRIMARY KEY, e ENUM('a', 'ü')) CHARACTER SET utf8mb4").unwrap_err();
        assert!(refused.contains("these are not its columns"), "{refused}");
        let refused = from("CREATE TABLE other (id INT PRIMARY KEY)").unwrap_err();
        assert!(refused.contains("a statement that makes"), "{refused}");
        from(&definition.1).unwrap();
        let mut rows = Vec::new();
        world.finish(Tidegate::run(&task), &mut reader, |message| rows.push(row(&message)));
        assert_eq!(rows, [r#"insert id="4" e="1" y="40""#, r#"insert z="50" id="5" e="1" y="51""#], "{test}");
    }
}

/// A statement that left no trace in the binlog.
#[test]
fn columns_that_were_altered_without_a_trace_are_told() {
    let Some(servers) = Servers::from_env() else { return };
    for (test, url) in [("untraced", &servers.mysql), ("untraced_nogtid", &servers.mysql_nogtid)] {
        let mut world = World::new(test, url, &servers.kafka);
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
        let mut reader = Reader::new(&world.kafka, vec![world.database.clone(), world.topic("marker")]);
        let task = world.task_of_one_topic("");
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |_| ());
        world.mysql.run("BEGIN");
        world.mysql.run("INSERT INTO t VALUES (1)");
        world.mysql.run("COMMIT");
        world.mysql.run("SET SESSION sql_log_bin = 0");
        world.mysql.run("ALTER TABLE t ADD a VARCHAR(10)");
        world.mysql.run("SET SESSION sql_log_bin = 1");
        world.mysql.run("INSERT INTO t VALUES (2, 'b')");
        assert!(!engine.wait().status.success());
        schema_fix(&world, &task, "t", &[OsStr::new(CATALOGUE)]).unwrap();
        let mut rows = Vec::new();
        world.finish(Tidegate::run(&task), &mut reader, |message| rows.push(row(&message)));
        rows.sort();
        rows.dedup();
        assert_eq!(rows, [r#"insert id="1""#, r#"insert id="2" a="b""#], "{test}");
        let told = history(&task, &[]);
        assert!(told.contains("schema-fix        command") && told.contains(", by the catalogue"), "{told}");
        assert!(told.contains("failed            run"), "{told}");
    }
}

/// A table that comes to its name with rows, and is altered before anybody asks the catalogue: what stands between is read by no columns of
/// a later time, though its table maps fit them.
#[test]
fn rows_are_not_read_by_columns_of_a_later_time() {
    let Some((servers, [mariadb, _])) = Servers::with_mariadb() else { return };
    for (test, url) in [("later", &servers.mysql), ("later_nogtid", &servers.mysql_nogtid), ("later_mdb", &mariadb)] {
        let mut world = World::new(test, url, &servers.kafka);
        let other = format!("{}_other", world.database);
        let definition = "(id INT PRIMARY KEY, e ENUM('a', 'b')) CHARACTER SET utf8mb4";
        world.mysql.run(format!("DROP DATABASE IF EXISTS {other}"));
        world.mysql.run(format!("CREATE DATABASE {other}"));
        world.mysql.run(format!("CREATE TABLE {other}.n {definition}"));
        world.mysql.run(format!("CREATE TABLE t {definition}"));
        world.mysql.run("INSERT INTO t VALUES (1, 'a')");
        world.begin_binlog_file();
        let mut reader = Reader::new(&world.kafka, vec![world.database.clone(), world.topic("marker")]);
        let mut task = world.task_of_one_topic("");
        task.format = "{canal_json: {profile: dts, enum: label}}".to_owned();
        world.finish(Tidegate::run(&task), &mut reader, |_| ());

        world.mysql.run(format!("RENAME TABLE t TO {other}.old, {other}.n TO t"));
        world.mysql.run("INSERT INTO t VALUES (7, 'a')");
        world.mysql.run("ALTER TABLE t MODIFY e ENUM('b', 'a')");
        let ended = Tidegate::run(&task).wait();
        let words = "are unknown before `ALTER TABLE t MODIFY e ENUM";
        assert!(!ended.status.success() && ended.output.contains(words), "{test}\n{}", ended.output);

        let path = world.path("definition.sql");
        fs::write(&path, format!("CREATE TABLE t {definition}")).unwrap();
        schema_fix(&world, &task, "t", &[OsStr::new("--from"), path.as_os_str()]).unwrap();
        world.mysql.run("INSERT INTO t VALUES (8, 'a')");
        let mut rows = Vec::new();
        world.finish(Tidegate::run(&task), &mut reader, |message| rows.push(row(&message)));
        rows.sort();
        rows.dedup();
        assert_eq!(rows, [r#"init id="7" e="a""#, r#"insert id="7" e="a""#, r#"insert id="8" e="a""#], "{test}");
        world.mysql.run(format!("DROP DATABASE {other}"));
    }
}

/// Two places of one table, of which each is told its own columns; and a catalogue that knows another table of the name.
#[test]
fn each_place_is_told_its_own_columns() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("fix_places", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, e ENUM('a', 'ü')) CHARACTER SET utf8mb4");
    let mut reader = Reader::new(&world.kafka, vec![world.database.clone(), world.topic("marker")]);
    let task = world.task_of_one_topic("");
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    let mut definitions = Vec::new();
    for (alter, row) in [("latin1, ADD p INT FIRST", "10, 1, 'a'"), ("utf8mb4, CHANGE p q INT", "20, 2, 'a'")] {
        world.mysql.run(format!("ALTER TABLE t CONVERT TO CHARACTER SET {alter}"));
        let (_, definition): (String, String) = world.mysql.query_one("SHOW CREATE TABLE t");
        definitions.push(definition);
        world.mysql.run(format!("INSERT INTO t VALUES ({row})"));
    }
    assert!(!engine.wait().status.success());
    for (definition, said) in definitions.iter().zip(["the next stop lies behind", "the binlog can be read on up to"]) {
        let path = world.path("definition.sql");
        fs::write(&path, definition).unwrap();
        let told = schema_fix(&world, &task, "t", &[OsStr::new("--from"), path.as_os_str()]).unwrap();
        assert!(told.contains(said), "{said:?} is not in\n{told}");
    }
    let mut rows = Vec::new();
    let mut engine = Tidegate::run(&task);
    world.until_marker(&mut engine, &mut reader, |message| rows.push(row(&message)));
    assert_eq!(rows, [r#"insert p="10" id="1" e="1""#, r#"insert q="20" id="2" e="1""#]);

    world.mysql.run("ALTER TABLE t CONVERT TO CHARACTER SET latin1, ADD w INT FIRST");
    world.mysql.run("INSERT INTO t VALUES (30, 31, 3, 'a')");
    assert!(!engine.wait().status.success());
    world.mysql.run("DROP TABLE IF EXISTS t");
    world
        .mysql
        .run("CREATE TABLE IF NOT EXISTS t (q INT, w INT, id INT PRIMARY KEY, e ENUM('a', 'ü')) CHARACTER SET latin1");
    let refused = schema_fix(&world, &task, "t", &[OsStr::new(CATALOGUE)]).unwrap_err();
    assert!(refused.contains("dropped behind") || refused.contains("have altered it again"), "{refused}");
}
