//! Changes that the server has purged before they were read: a start is refused, and goes on as the user says.

use std::collections::BTreeMap;

use super::harness::{Ended, Kind, Message, Mysql, Private, Reader, Servers, TaskFile, Tidegate, World};
use super::journal::history;

/// What the topics say that the tables hold, by table and `id`, and how many messages came of each table.
#[derive(Default)]
struct Topics {
    rows: BTreeMap<(String, String), String>,
    messages: BTreeMap<String, u64>,
}

impl Topics {
    fn take(&mut self, message: Message) {
        *self.messages.entry(message.table.clone()).or_default() += 1;
        let key = (message.table.clone(), message.data.get("id").cloned().expect("a key"));
        match message.kind {
            Kind::Delete => _ = self.rows.remove(&key),
            _ => _ = self.rows.insert(key, message.data.get("v").cloned().unwrap_or_default()),
        }
    }

    /// `1=x 2=y` for the rows of a table.
    fn of(&self, table: &str) -> String {
        let rows = self.rows.iter().filter(|((of, _), _)| of == table);
        rows.map(|((_, id), value)| format!("{id}={value}")).collect::<Vec<_>>().join(" ")
    }

    fn messages(&mut self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.messages)
    }
}

fn run(task: &TaskFile, after_gap: &str) -> Tidegate {
    let arguments = task.run_arguments().into_iter().chain(["--accept-gap".into(), after_gap.into()]);
    Tidegate::spawn(arguments)
}

/// What `tidegate state` says.
fn state(task: &TaskFile) -> String {
    Tidegate::spawn(["state".as_ref(), task.write().as_os_str()]).wait().output
}

/// What is written from now on lies behind the gap.
pub(crate) fn run_behind_gap(task: &TaskFile, after_gap: &str) -> Tidegate {
    let mut engine = run(task, after_gap);
    engine.wait_for_line("changes between both are left out");
    engine
}

/// A world whose task has loaded `a` and `b` and followed them for a while, then missed changes of both, an ALTER and a new table `c`.
fn behind_a_gap(test: &str, mysql_url: &str, servers: &Servers, more: &str) -> (World, TaskFile, Reader, Topics) {
    let mut world = World::new(test, mysql_url, &servers.kafka);
    for table in ["a", "b"] {
        world.mysql.run(format!("CREATE TABLE {table} (id INT PRIMARY KEY, v VARCHAR(9))"));
        world.mysql.run(format!("INSERT INTO {table} VALUES (1, 'x'), (2, 'x'), (3, 'x')"));
    }
    world.mysql.run("CREATE TABLE d (id INT PRIMARY KEY)");
    world.begin_binlog_file();
    let mut task = world.task();
    task.more = more.to_owned();
    let mut reader = world.reader(["a", "b", "c"]);
    let mut topics = Topics::default();
    let mut engine = Tidegate::run(&task);
    match more.contains("full_load: false") {
        true => engine.wait_for_line("reading the binlog"),
        false => world.until_loaded(&mut engine, &mut reader, |message| topics.take(message)),
    }
    world.mysql.run("UPDATE b SET v = 'y' WHERE id = 3");
    world.until_marker(&mut engine, &mut reader, |message| topics.take(message));
    engine.terminate(libc::SIGTERM);
    reader.read_to_end(|message| {
        if message.table != "marker" {
            topics.take(message)
        }
    });

    for table in ["a", "b"] {
        world.mysql.run(format!("DELETE FROM {table} WHERE id = 1"));
        world.mysql.run(format!("UPDATE {table} SET v = 'gap' WHERE id = 2"));
        world.mysql.run(format!("ALTER TABLE {table} ADD w INT FIRST"));
        world.mysql.run(format!("INSERT INTO {table} VALUES (0, 4, 'gap')"));
    }
    world.mysql.run("DROP TABLE d");
    world.mysql.run("CREATE TABLE c (id INT PRIMARY KEY, v VARCHAR(9))");
    world.mysql.run("INSERT INTO c VALUES (1, 'gap')");
    world.purge_binlog();
    // In the file from whose start a server without GTIDs is read: other columns at the places of those that there are now.
    for table in ["a", "b"] {
        world.mysql.run(format!("UPDATE {table} SET v = 'file' WHERE id = 2"));
        world.mysql.run(format!("ALTER TABLE {table} MODIFY w INT AFTER id"));
        world.mysql.run(format!("UPDATE {table} SET w = 7 WHERE id = 3"));
    }
    topics.messages();
    (world, task, reader, topics)
}

/// Changes behind the gap: of rows from before it, from in it, and new ones.
fn change(world: &mut World) {
    for table in ["a", "b"] {
        world.mysql.run(format!("UPDATE {table} SET v = 'z' WHERE id = 3"));
        world.mysql.run(format!("DELETE FROM {table} WHERE id = 4"));
        world.mysql.run(format!("INSERT INTO {table} (id, v) VALUES (5, 'new')"));
    }
    world.mysql.run("INSERT INTO c VALUES (2, 'new')");
}

#[test]
fn a_gap_is_gone_behind_as_the_user_says() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "");
    for (kind, url) in [("gtid", private.mysql()), ("nogtid", private.mysql_nogtid())] {
        // Of what was deleted nothing tells; all else is as it is in the tables.
        let loaded = "1=x 2=file 3=z 5=new";
        let left = "1=x 2=x 3=z 5=new";
        for (after, a, b) in [("load", loaded, loaded), ("leave", left, left), ("SOME", loaded, left)] {
            let test = format!("gap_{kind}_{}", after.to_lowercase());
            let (mut world, task, mut reader, mut topics) = behind_a_gap(&test, url, &servers, "");
            let refused = Tidegate::fails(&task);
            let stored = state(&task);
            let position = stored.lines().find_map(|line| line.strip_prefix("position: ")).expect("a position");
            let place = match position.split_once("(executed ") {
                Some((_, gtids)) => gtids.trim_end_matches(')'),
                None => position.split(' ').next().expect("a place"),
            };
            let gone = format!(
                "the changes after {place} are no longer on the server, which keeps its binlog for 30 days; the task wrote its state last "
            );
            for words in [&*gone, " s ago: ", "--accept-gap load", "leave"] {
                assert!(refused.contains(words), "{words}: {refused}");
            }
            // It is a word of a start, and nothing was changed by the one that was refused.
            let after = after.replace("SOME", &format!("{}.a", world.database));
            let mut engine = run_behind_gap(&task, &after);
            world.until_loaded(&mut engine, &mut reader, |message| topics.take(message));
            change(&mut world);
            world.finish(engine, &mut reader, |message| topics.take(message));
            assert_eq!((topics.of("a"), topics.of("b")), (a.to_owned(), b.to_owned()), "{test}");
            // It was made in the gap: nothing of it was known, whatever is left.
            assert_eq!(topics.of("c"), "1=gap 2=new", "{test}");

            // It is written down, and is over.
            let state = state(&task);
            let told = state.lines().find(|line| line.starts_with("left out: changes from ")).unwrap_or_default();
            let expected = match &*after {
                "load" => "loaded again: DB.a, DB.b, DB.c, DB.marker; gone: DB.d",
                "leave" => "loaded again: DB.c; left as they were: DB.a, DB.b, DB.marker; gone: DB.d",
                _ => "loaded again: DB.a, DB.c; left as they were: DB.b, DB.marker; gone: DB.d",
            };
            assert!(told.ends_with(&expected.replace("DB", &world.database)), "{state}");
            assert!(!state.contains(".d  "), "what is gone is forgotten: {state}");
            let history = history(&task, &[]);
            assert!(history.contains("gap accepted      run      changes from"), "{history}");
            assert!(history.contains(&format!("; --accept-gap {after}")), "{history}");
            topics.messages();
            let mut engine = run(&task, &after);
            engine.wait_for_line("so there is no gap");
            world.mysql.run("UPDATE a SET v = 'end' WHERE id = 5");
            world.finish(engine, &mut reader, |message| topics.take(message));
            assert_eq!(topics.messages(), BTreeMap::from([("a".to_owned(), 1)]), "{test}");
        }
    }
}

/// Rows of a load that was not at its end are read anew, whatever is to be left; and without a load nothing can be.
#[test]
fn a_gap_in_the_middle_of_a_load_and_without_one() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "");
    for (kind, url) in [("gtid", private.mysql()), ("nogtid", private.mysql_nogtid())] {
        let mut world = World::new(&format!("gap_load_{kind}"), url, &servers.kafka);
        for table in ["a", "b"] {
            world.mysql.run(format!("CREATE TABLE {table} (id INT PRIMARY KEY, v VARCHAR(9))"));
            world.mysql.run(format!("INSERT INTO {table} VALUES (1, 'x'), (2, 'x'), (3, 'x')"));
        }
        world.begin_binlog_file();
        let task = world.task();
        let mut reader = world.reader(["a", "b"]);
        let mut topics = Topics::default();
        let mut locker = Mysql::connect(url);
        locker.run(format!("LOCK TABLES {}.b WRITE", world.database));
        let mut engine = Tidegate::run(&task);
        let mut left = 3;
        reader.until(&mut engine, "all of a", |message| {
            if message.table == "a" {
                topics.take(message);
                left -= 1;
            }
            left == 0
        });
        world.until_load_is_locked_out(&mut engine);
        engine.kill_9();
        locker.run("UNLOCK TABLES");
        let update = |id| ["a", "b"].map(|table| format!("UPDATE {table} SET v = 'gap' WHERE id = {id}"));
        update(1).iter().for_each(|statement| world.mysql.run(statement));
        world.purge_binlog();
        assert!(Tidegate::fails(&task).contains("are no longer on the server"));
        let checked = Tidegate::spawn(["check".as_ref(), task.write().as_os_str()]).wait();
        assert!(checked.output.contains("are no longer on the server"), "{}", checked.output);
        let wrong = run(&task, &format!("{0}.a,{0}.aa", world.database)).wait();
        assert!(wrong.output.contains(&format!("selects no table {}.aa", world.database)), "{}", wrong.output);
        let mut engine = run_behind_gap(&task, "leave");
        update(2).iter().for_each(|statement| world.mysql.run(statement));
        world.until_loaded(&mut engine, &mut reader, |message| topics.take(message));
        world.finish(engine, &mut reader, |message| topics.take(message));
        // Whether its rows were known to be delivered when the run was killed, nobody knows.
        assert!(["1=gap 2=gap 3=x", "1=x 2=gap 3=x"].contains(&&*topics.of("a")), "{kind}: {}", topics.of("a"));
        assert_eq!(topics.of("b"), "1=gap 2=gap 3=x", "{kind}");

        let (mut world, task, mut reader, mut topics) =
            behind_a_gap(&format!("gap_changes_{kind}"), url, &servers, "full_load: false");
        let refused = run(&task, "load").wait();
        assert!(!refused.status.success() && refused.output.contains("no table can be loaded"), "{}", refused.output);
        let mut engine = run_behind_gap(&task, "leave");
        world.until_marker(&mut engine, &mut reader, |message| topics.take(message));
        change(&mut world);
        world.finish(engine, &mut reader, |message| topics.take(message));
        assert_eq!(topics.of("a"), "3=z 5=new", "{kind}");
        assert_eq!(topics.of("c"), "2=new", "{kind}");
    }
}

/// What happens to a run while it reads nothing: a row changes, and the server purges the change.
fn purge_under(world: &mut World, task: &TaskFile, mut engine: Tidegate) -> Ended {
    let path = task.write();
    let tell = |command: &str| Tidegate::spawn([command.as_ref(), path.as_os_str()]).wait();
    assert!(tell("pause").status.success());
    engine.wait_for_line("paused");
    world.mysql.run("UPDATE a SET v = CONCAT(v, '!') WHERE id = 1");
    world.purge_binlog();
    assert!(tell("resume").status.success());
    engine.wait()
}

/// The server purges what a run has not read yet (error 1236): it ends, needs a person, and says what it needs; or a start helps, because the
/// person has said so before.
#[test]
fn a_run_whose_changes_are_purged_needs_a_person_or_a_start() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    let private = Private::up(&["mysql", "mariadb"], "");
    for (kind, url) in [("gtid", private.mysql()), ("nogtid", private.mysql_nogtid()), ("maria", private.mariadb())] {
        let mut world = World::new(&format!("purged_{kind}"), url, &servers.kafka);
        world.mysql.run("CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(9))");
        world.mysql.run("INSERT INTO a VALUES (1, 'x'), (2, 'x')");
        world.begin_binlog_file();
        let task = world.task();
        let mut reader = world.reader(["a"]);
        let mut topics = Topics::default();
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |message| topics.take(message));
        let ended = purge_under(&mut world, &task, engine);
        assert_eq!(ended.status.code(), Some(1), "{kind}: {}", ended.output);
        for words in [
            "error: the changes after ",
            "are no longer on the server",
            "tidegate run --accept-gap load",
            "rows that were deleted meanwhile stay with consumers",
        ] {
            assert!(ended.output.contains(words), "{words:?} is not in\n{}", ended.output);
        }
        // Its state is what it was, and says where the task has come to; so does what was done to it.
        let stored = task.stored();
        assert!(!stored["position"].is_null(), "{stored}");
        assert!(history(&task, &[]).contains("are no longer on the server"), "{}", history(&task, &[]));
        let status = Tidegate::spawn(["status".as_ref(), task.write().as_os_str()]).wait();
        assert_eq!(status.status.code(), Some(2), "{}", status.output);
        let last = status.output.lines().find(|line| line.starts_with("last of its history: ")).unwrap_or_default();
        assert!(last.contains("are no longer on the server"), "{}", status.output);
        let again = Tidegate::run(&task).wait();
        assert_eq!(again.status.code(), Some(1), "{kind}: {}", again.output);
        assert_eq!(topics.of("a"), "1=x 2=x", "{kind}");

        let mut engine = run_behind_gap(&task, "load");
        world.until_loaded(&mut engine, &mut reader, |message| topics.take(message));
        assert_eq!(topics.of("a"), "1=x! 2=x", "{kind}");
        let ended = purge_under(&mut world, &task, engine);
        assert_eq!(ended.status.code(), Some(75), "{kind}: {}", ended.output);
        assert!(ended.output.contains("start it again as it is"), "{}", ended.output);
        let mut engine = run_behind_gap(&task, "load");
        world.until_loaded(&mut engine, &mut reader, |message| topics.take(message));
        world.finish(engine, &mut reader, |message| topics.take(message));
        assert_eq!(topics.of("a"), "1=x!! 2=x", "{kind}");
    }
}

/// A server purges neither what a dump is reading nor what lies behind it. A file that is gone all the same is missed in the midst of the dump
/// (error 1236), and that is a gap like any other.
#[test]
fn a_file_that_an_open_dump_misses_is_a_gap() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    let private = Private::up(&["mysql", "mariadb"], "--binlog-row-metadata=FULL");
    for (server, url) in
        [("mysql", private.mysql()), ("mysql-nogtid", private.mysql_nogtid()), ("mariadb", private.mariadb())]
    {
        let test = format!("missed_{}", server.replace('-', "_"));
        let mut world = World::new(&test, url, &servers.kafka);
        world.mysql.run("CREATE TABLE a (id INT PRIMARY KEY, v LONGTEXT)");
        world.begin_binlog_file();
        let task = world.task();
        let mut reader = world.reader(["a"]);
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |message| panic!("{message:?}"));
        // What it does not take meanwhile is more than fits between both.
        engine.signal(libc::SIGSTOP);
        for id in 0..40 {
            world.mysql.run(format!("INSERT INTO a VALUES ({id}, REPEAT('x', 1000000))"));
        }
        let files = |world: &mut World| -> Vec<String> {
            let rows: Vec<mysql_async::Row> = world.mysql.query("SHOW BINARY LOGS");
            rows.into_iter().map(|row| row.get(0).expect("a file has a name")).collect()
        };
        let read = files(&mut world).pop().expect("there is a binlog");
        world.mysql.run("FLUSH BINARY LOGS");
        world.mysql.run("INSERT INTO a VALUES (100, 'gone')");
        let missed = files(&mut world).pop().expect("there is a binlog");
        world.mysql.run("FLUSH BINARY LOGS");
        let last = files(&mut world).pop().expect("there is a binlog");
        world.mysql.run(format!("PURGE BINARY LOGS TO '{last}'"));
        assert_eq!(files(&mut world), [read.as_str(), &missed, &last], "{server}");
        std::fs::remove_file(private.data(server).join(&missed)).expect("a file");
        engine.signal(libc::SIGCONT);
        let ended = engine.wait();
        assert_eq!(ended.status.code(), Some(1), "{server}: {}", ended.output);
        for words in ["error: the changes after ", "are no longer on the server", "tidegate run --accept-gap load"] {
            assert!(ended.output.contains(words), "{words:?} is not in\n{}", ended.output);
        }

        // The server does not know by itself that it has lost the file.
        world.purge_binlog();
        let mut engine = run_behind_gap(&task, "load");
        let mut ids = BTreeMap::new();
        let mut take = |message: Message| _ = ids.insert(message.data.get("id").cloned(), ());
        world.until_loaded(&mut engine, &mut reader, &mut take);
        world.finish(engine, &mut reader, &mut take);
        assert_eq!(ids.len(), 41, "{server}");
    }
}
