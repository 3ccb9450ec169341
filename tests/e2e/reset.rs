//! A task goes on from another place in the binlog: changes come once more, or never.

use std::ffi::OsStr;

use super::harness::world::MARKER;
use super::harness::{Message, Mysql, Private, Reader, Servers, TaskFile, Tidegate, World, wait_for};
use super::journal::history;

fn reset(task: &TaskFile, to: &str) -> Result<String, String> {
    let path = task.write();
    let ended = Tidegate::spawn(["reset".as_ref(), path.as_os_str(), "--to".as_ref(), OsStr::new(to)]).wait();
    if ended.status.success() { Ok(ended.output) } else { Err(ended.output) }
}

/// Where a task that does not run is, as its state says.
fn place(task: &TaskFile) -> String {
    let position = &task.stored()["position"];
    match position["gtids"].as_str() {
        Some(gtids) => gtids.to_owned(),
        None => format!("{}:{}", position["coordinate"]["file"].as_str().unwrap(), position["coordinate"]["offset"]),
    }
}

/// Where the server is: a file and an offset in it.
fn end_of(mysql: &mut Mysql) -> String {
    let (file, offset) = mysql.binlog_end();
    format!("{file}:{offset}")
}

/// `Update 1=2`
fn drawn(message: &Message) -> String {
    let [id, v] = ["id", "v"].map(|name| message.data.get(name).cloned().unwrap_or_default());
    format!("{:?} {id}={v}", message.kind)
}

/// Runs it until what was written is delivered.
fn run(world: &mut World, task: &TaskFile, reader: &mut Reader) -> Vec<String> {
    let mut came = Vec::new();
    let engine = Tidegate::run(task);
    world.finish(engine, reader, |message| came.push(drawn(&message)));
    came
}

#[test]
fn changes_come_once_more_or_never() {
    let Some((servers, [mariadb, _])) = Servers::with_mariadb() else { return };
    for (test, url) in [("reset", &servers.mysql), ("reset_nogtid", &servers.mysql_nogtid), ("reset_mariadb", &mariadb)]
    {
        let mut world = World::new(test, url, &servers.kafka);
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
        world.mysql.run("CREATE TABLE dropped (id INT PRIMARY KEY, v INT)");
        world.mysql.run("INSERT INTO t VALUES (1, 0), (2, 0)");
        world.begin_binlog_file();
        let task = world.task_of_one_topic("");
        let refused = reset(&task, "binlog.000001:4").unwrap_err();
        assert!(refused.contains("has not begun"), "{refused}");
        let mut reader = Reader::new(&servers.kafka, vec![world.database.clone()]);
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |_| ());
        wait_for("the end of the load is stored", || task.stored()["full_load"].is_null().then_some(()));
        let refused = reset(&task, "binlog.000001:4").unwrap_err();
        assert!(refused.contains("in use by another run"), "{refused}");
        world.finish(engine, &mut reader, |_| ());

        let first = place(&task);
        for v in 1..=3 {
            world.mysql.run(format!("UPDATE t SET v = {v} WHERE id = 1"));
        }
        let updates = ["Update 1=1", "Update 1=2", "Update 1=3"];
        assert_eq!(run(&mut world, &task, &mut reader), updates);
        let second = place(&task);
        let said = reset(&task, &second).unwrap();
        assert!(said.contains("is there already"), "{said}");

        // Back, and once more behind a kill in the midst.
        let said = reset(&task, &first).unwrap();
        assert!(said.contains("are sent once more") && said.contains("the next run goes on from"), "{said}");
        assert_eq!(place(&task), first);
        let mut engine = Tidegate::run(&task);
        let mut came = Vec::new();
        reader.until(&mut engine, "the first one again", |message| {
            came.extend((message.table != MARKER).then(|| drawn(&message)));
            came.len() == 1
        });
        engine.kill_9();
        came.extend(run(&mut world, &task, &mut reader));
        assert!(came.ends_with(&updates.map(str::to_owned)), "{came:?}");

        // On: what lies between never comes.
        world.mysql.run("UPDATE t SET v = 4 WHERE id = 1");
        world.mysql.run("DROP TABLE dropped");
        let end = end_of(&mut world.mysql);
        world.mysql.run("INSERT INTO t VALUES (3, 1)");
        let said = reset(&task, &end).unwrap();
        assert!(said.contains("are left out, for good"), "{said}");
        assert_eq!(run(&mut world, &task, &mut reader), ["Insert 3=1"]);
        let history = history(&task, &[]);
        for words in ["reset             command  back from", "reset             command  on from"] {
            assert!(history.contains(words), "{words}: {history}");
        }
        assert_eq!(task.stored()["gaps"].as_array().map(Vec::len), Some(1));

        // Both are those of one server, and of no other.
        let before = place(&task);
        let other = match first.contains(['-', ',']) {
            true if first.len() < 20 => "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-20",
            true => "0-1-23",
            false => "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-20",
        };
        for (to, words) in [
            (other, "the task keeps its place by"),
            ("now", "a place is where a transaction ends"),
            ("2026-11-28T10:00:00Z", "a place is where a transaction ends"),
            ("binlog.999999:4", "binlog.999999"),
            (&format!("{}0000000", end), "ends at"),
        ] {
            let refused = reset(&task, to).unwrap_err();
            assert!(refused.contains(words), "{to}: {refused}");
        }
        assert_eq!(place(&task), before);
    }
}

/// What a table was before an ALTER, a task that is behind it does not know: it stays where it is.
#[test]
fn no_row_is_read_by_the_columns_of_another_time() {
    let Some((servers, [mariadb, _])) = Servers::with_mariadb() else { return };
    for (test, url) in
        [("reset_ddl", &servers.mysql), ("reset_ddl_nogtid", &servers.mysql_nogtid), ("reset_ddl_mariadb", &mariadb)]
    {
        let mut world = World::new(test, url, &servers.kafka);
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
        world.mysql.run("CREATE TABLE u (id INT PRIMARY KEY, v INT)");
        world.mysql.run("INSERT INTO t VALUES (1, 0)");
        world.begin_binlog_file();
        let task = world.task_of_one_topic("");
        let mut reader = Reader::new(&servers.kafka, vec![world.database.clone()]);
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |_| ());
        wait_for("the end of the load is stored", || task.stored()["full_load"].is_null().then_some(()));
        world.finish(engine, &mut reader, |_| ());
        let first = place(&task);
        world.mysql.run("UPDATE t SET v = 1");
        world.mysql.run("INSERT INTO u VALUES (7, 7)");
        world.mysql.run("ALTER TABLE t DROP COLUMN v, ADD COLUMN w INT FIRST, ADD COLUMN v INT");
        world.mysql.run("UPDATE t SET v = 2, w = 5");
        let expected = ["Update 1=1", "Insert 7=7", "Update 1=2"];
        assert_eq!(run(&mut world, &task, &mut reader), expected);

        // Nobody knows what the table was before.
        let there = place(&task);
        let refused = reset(&task, &first).unwrap_err();
        let told = refused.contains("a statement has made table") || refused.contains("by what is known of tables now");
        assert!(told && refused.contains(&world.topic("t")) && refused.contains("tidegate reload"), "{refused}");
        assert_eq!(place(&task), there);
        let came = run(&mut world, &task, &mut reader);
        assert_eq!(came, [""; 0]);
        // Behind the statement, the task goes back to.
        world.mysql.run("UPDATE t SET v = 3");
        run(&mut world, &task, &mut reader);
        reset(&task, &there).unwrap();
        assert_eq!(run(&mut world, &task, &mut reader), ["Update 1=3"]);
    }
}

/// While rows of a load are told from changes by where it began, there is no other place.
#[test]
fn a_load_that_is_not_over_has_one_place() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("reset_loading", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
    world.mysql.run("INSERT INTO t VALUES (1, 0)");
    let task = world.task();
    let mut other = Mysql::connect(&servers.mysql);
    other.run(format!("LOCK TABLES {}.t WRITE", world.database));
    let mut engine = Tidegate::run(&task);
    world.until_load_is_locked_out(&mut engine);
    engine.kill_9();
    other.run("UNLOCK TABLES");
    let end = end_of(&mut world.mysql);
    let refused = reset(&task, &end).unwrap_err();
    assert!(refused.contains("has not come past its load"), "{refused}");
}

/// What stands behind the task's own place is as it would be without: tables come, statements are sent, and what stops a run stops it.
#[test]
fn what_is_behind_its_own_place_is_news_as_before() {
    let Some(servers) = Servers::from_env() else { return };
    // Of their own: whoever reads the binlog of others stops at statement format.
    let private = Private::up(&["mysql"], "");
    let full = Private::up(&["mysql-gtid"], "--binlog-row-metadata=FULL");
    for (test, url) in [
        ("reset_news", private.mysql()),
        ("reset_news_nogtid", private.mysql_nogtid()),
        ("reset_news_full", full.mysql()),
    ] {
        let mut world = World::new(test, url, &servers.kafka);
        let other = format!("{}_other", world.database);
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
        world.mysql.run("INSERT INTO t VALUES (1, 0); CREATE TABLE u (id INT PRIMARY KEY, v INT)");
        world.mysql.run(format!("CREATE DATABASE {other}; CREATE TABLE {other}.s (id INT PRIMARY KEY, v INT)"));
        world.mysql.run(format!("INSERT INTO {other}.s VALUES (7, 7), (8, 8)"));
        world.begin_binlog_file();
        let mut task = world.task_of_one_topic("");
        task.more = "incremental: {ddl: forward}".to_owned();
        let mut reader = Reader::new(&servers.kafka, vec![world.database.clone()]);
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |_| ());
        wait_for("the end of the load is stored", || task.stored()["full_load"].is_null().then_some(()));
        world.finish(engine, &mut reader, |_| ());
        let first = place(&task);
        world.mysql.run("UPDATE t SET v = 1; INSERT INTO u VALUES (1, 1); TRUNCATE TABLE u");
        run(&mut world, &task, &mut reader);

        world.mysql.run("ALTER TABLE t COMMENT 'news'");
        world.mysql.run(format!("RENAME TABLE {other}.s TO s"));
        world.mysql.run("INSERT INTO s VALUES (9, 9)");
        let said = reset(&task, &first).unwrap();
        assert!(said.contains("a run would load"), "{said}");
        let mut came = Vec::new();
        let engine = Tidegate::run(&task);
        world.finish(engine, &mut reader, |message| match &message.statement {
            Some((_, sql)) => came.push(sql.clone()),
            None => came.push(drawn(&message)),
        });
        let place_of = |what: &str| came.iter().position(|came| came.contains(what));
        assert_eq!(came[0], "Update 1=1", "{came:?}");
        // What has been followed is followed again.
        assert!(place_of("Insert 1=1") < place_of("TRUNCATE") && place_of("COMMENT 'news'").is_some(), "{came:?}");
        for row in ["7=7", "8=8", "9=9"] {
            assert!(place_of(&format!("Insert {row}")) > place_of("COMMENT 'news'"), "{row}: {came:?}");
        }

        // On, past a table that would come, and past what stops a run: neither is left out without a word.
        let here = place(&task);
        world.mysql.run("RENAME TABLE s TO away");
        world.mysql.run(format!("RENAME TABLE away TO {other}.s"));
        run(&mut world, &task, &mut reader);
        world.mysql.run(format!("RENAME TABLE {other}.s TO s"));
        world.mysql.run("UPDATE s SET v = 1 WHERE id = 7");
        let behind = end_of(&mut world.mysql);
        let refused = reset(&task, &behind).unwrap_err();
        assert!(refused.contains("is to be loaded") && refused.contains("let it run"), "{refused}");
        run(&mut world, &task, &mut reader);
        let near = place(&task);
        assert_ne!(near, here);
        world.mysql.run("UPDATE t SET v = 5");
        run(&mut world, &task, &mut reader);
        // Behind the place, too.
        let refused = reset(&task, &here).unwrap_err();
        assert!(refused.contains("is to be loaded") || refused.contains("a statement has made table"), "{refused}");
        world.mysql.run("SET SESSION binlog_format = STATEMENT");
        world.mysql.run("UPDATE t SET v = 2");
        world.mysql.run("SET SESSION binlog_format = ROW");
        let behind = end_of(&mut world.mysql);
        let refused = reset(&task, &behind).unwrap_err();
        assert!(refused.contains("reading stops behind") && refused.contains("in statement format"), "{refused}");
        // Nor is it forgotten by who goes back.
        let said = reset(&task, &near).unwrap();
        assert!(said.contains("a run would stop behind") && said.contains("in statement format"), "{said}");
        let output = Tidegate::fails(&task);
        assert!(output.contains("in statement format"), "{output}");
        world.mysql.run(format!("DROP DATABASE {other}"));
    }
}
