//! Tables that a task takes up when it has come further than they have: consumers may have rows of theirs, reading has passed changes of
//! theirs, and what is held makes reading pass statements once more.

use std::collections::BTreeMap;

use super::failover::{create_held, hold_load, with_replica_behind};
use super::harness::address::Address;
use super::harness::world::{kafka_sink, mysql_source};
use super::harness::{Kind, Message, Mysql, Private, Servers, Tidegate, World, wait_for};

/// The last that consumers know of each key.
#[derive(Default, Debug)]
struct Last(BTreeMap<String, String>);

impl Last {
    fn take(&mut self, message: &Message) {
        let id = message.data.get("id").expect("a key").clone();
        match message.kind {
            Kind::Delete => _ = self.0.remove(&id),
            _ => _ = self.0.insert(id, format!("{:?}", message.data)),
        }
    }

    #[track_caller]
    fn assert_equals(&self, mysql: &mut Mysql, table: &str, context: &str) {
        let query = format!("SELECT CONCAT(id), CONCAT('id=\"', id, '\" v=\"', v, '\"') FROM {table}");
        let rows: BTreeMap<String, String> = mysql.query::<(String, String)>(&query).into_iter().collect();
        assert_eq!(self.0, rows, "{context}");
    }
}

/// A table that comes first in a load.
const FIRST: &str = "a_held";

/// Changes were sent before there was a full load: what goes until a row's chunk is read goes with consumers, too.
#[test]
fn a_full_load_that_is_switched_on_keeps_no_row_that_is_gone() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "");
    for (test, url) in [("taken_up", private.mysql()), ("taken_up_nogtid", private.mysql_nogtid())] {
        let mut world = World::new(test, url, &servers.kafka);
        create_held(&mut world.mysql, FIRST);
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
        world.mysql.run("INSERT INTO t VALUES (1, 1)");
        world.begin_binlog_file();
        let mut task = world.task();
        task.tables = format!("[{0}.a_held, {0}.t, {0}.marker]", world.database);
        task.more = "full_load: false".to_owned();
        let mut reader = world.reader(["t"]);
        let mut last = Last::default();
        let mut engine = Tidegate::run(&task);
        engine.wait_for_line("reading the binlog");
        world.mysql.run("INSERT INTO t VALUES (2, 2), (3, 3), (4, 4)");
        world.until_marker(&mut engine, &mut reader, |message| last.take(&message));
        engine.terminate(libc::SIGTERM);
        world.mysql.run("DELETE FROM t WHERE id = 4");
        task.more = "full_load: {parallel: 1}".to_owned();
        let held = hold_load(&world, FIRST);
        let mut engine = Tidegate::run(&task);
        if test == "taken_up" {
            world.until_load_is_locked_out(&mut engine);
        } else {
            engine.wait_for_line("begins its next binlog file");
        }
        world.mysql.run("DELETE FROM t WHERE id = 2");
        world.mysql.run("UPDATE t SET v = 30 WHERE id = 3");
        drop(held);
        world.mysql.run("FLUSH BINARY LOGS");
        engine.wait_for_line("full load complete");
        world.finish(engine, &mut reader, |message| last.take(&message));
        last.assert_equals(&mut world.mysql, "t", test);
        assert_eq!(last.0.len(), 2);
    }
}

/// A table that is left out and taken up again: its rows are loaded beside those that consumers have, and what goes then goes.
#[test]
fn a_table_that_comes_back_keeps_no_row_that_goes_from_then_on() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid"], "--binlog-row-metadata=MINIMAL");
    let mut world = World::new("taken_up_back", private.mysql(), &servers.kafka);
    create_held(&mut world.mysql, FIRST);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v INT, w INT)");
    world.mysql.run("INSERT INTO t VALUES (1, 1, 1), (2, 2, 2)");
    let mut task = world.task();
    task.more = "full_load: {parallel: 1}".to_owned();
    task.tables = format!("[{0}.t, {0}.marker]", world.database);
    let mut reader = world.reader(["t"]);
    let mut last = Last::default();
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |message| last.take(&message));
    engine.terminate(libc::SIGTERM);
    task.tables = format!("[{0}.marker]", world.database);
    task.accept = "tables";
    let mut engine = Tidegate::run(&task);
    // Other columns under the names that were.
    world.mysql.run("ALTER TABLE t RENAME COLUMN v TO w, RENAME COLUMN w TO v");
    world.mysql.run("UPDATE t SET v = v + 10");
    world.until_marker(&mut engine, &mut reader, |_| ());
    engine.terminate(libc::SIGTERM);
    task.tables = format!("[{0}.a_held, {0}.t, {0}.marker]", world.database);
    task.accept = "non_empty_topics";
    let held = hold_load(&world, FIRST);
    let mut engine = Tidegate::run(&task);
    world.until_load_is_locked_out(&mut engine);
    world.mysql.run("DELETE FROM t WHERE id = 2");
    world.mysql.run("INSERT INTO t VALUES (3, 3, 33)");
    drop(held);
    engine.wait_for_line("full load complete");
    world.finish(engine, &mut reader, |message| last.take(&message));
    let shown: Vec<&String> = last.0.values().collect();
    assert_eq!(shown, ["id=\"1\" w=\"1\" v=\"11\"", "id=\"3\" w=\"3\" v=\"33\""]);
}

/// Tables of two entries have one name where they go, and the second comes in mid-load: a row that moves from it to the first stays.
#[test]
fn a_row_that_moves_between_tables_of_one_name_stays() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("taken_up_shards", &servers.mysql, &servers.kafka);
    let other = format!("{}_1", world.database);
    world.mysql.run(format!("CREATE DATABASE {other}"));
    create_held(&mut world.mysql, FIRST);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
    world.mysql.run("INSERT INTO t VALUES (1, 1)");
    let mut task = world.task();
    let (database, name) = (&world.database, &world.database);
    task.tables = format!(
        "[{database}.marker, {{table: '{database}.*', as: '{name}.{{table}}'}}, {{table: '{other}.*', as: '{name}.{{table}}'}}]"
    );
    task.more = "full_load: {parallel: 1}".to_owned();
    task.sink = kafka_sink(&servers.kafka, ", partition: zero");
    let mut reader = world.reader(["t"]);
    let held = hold_load(&world, FIRST);
    let mut engine = Tidegate::run(&task);
    world.until_load_is_locked_out(&mut engine);
    world.mysql.run(format!("CREATE TABLE {other}.t LIKE t"));
    world.mysql.run(format!("INSERT INTO {other}.t VALUES (5, 50)"));
    world.mysql.run("BEGIN");
    world.mysql.run(format!("DELETE FROM {other}.t WHERE id = 5"));
    world.mysql.run("INSERT INTO t VALUES (5, 50)");
    world.mysql.run("COMMIT");
    drop(held);
    let mut last = Last::default();
    world.finish(engine, &mut reader, |message| last.take(&message));
    last.assert_equals(&mut world.mysql, "t", "two entries");
    world.mysql.run(format!("DROP DATABASE {other}"));
}

/// Where a prepared XA transaction is held, reading goes back to it, past statements and rows of tables that were other ones then.
#[test]
fn what_is_met_again_on_the_way_to_a_held_transaction_changes_nothing() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-nogtid", "mariadb"], "");
    for (test, url) in [("taken_up_held", private.mysql_nogtid()), ("taken_up_held_mariadb", private.mariadb())] {
        let mut world = World::new(test, url, &servers.kafka);
        for table in ["s", "t", "swap", "swap_2"] {
            world.mysql.run(format!("CREATE TABLE {table} (id INT PRIMARY KEY, v INT)"));
            world.mysql.run(format!("INSERT INTO {table} VALUES (1, {})", table.len()));
        }
        let other = format!("{}_other", world.database);
        world.mysql.run(format!("CREATE DATABASE {other}"));
        world.mysql.run(format!("CREATE TABLE {other}.t (id INT PRIMARY KEY, v INT)"));
        world.mysql.run(format!("INSERT INTO {other}.t VALUES (1, 100), (7, 700)"));
        world.begin_binlog_file();
        let mut task = world.task();
        task.tables = format!("[{0}.s, {0}.t, {0}.swap, {0}.marker]", world.database);
        task.more = "incremental: {unlogged_rows: reload}".to_owned();
        let mut reader = world.reader(["s", "t", "swap"]);
        let (mut last, mut counts) = (BTreeMap::<String, Last>::new(), BTreeMap::<String, u64>::new());
        let mut take = |message: Message| {
            *counts.entry(message.table.clone()).or_default() += 1;
            last.entry(message.table.clone()).or_default().take(&message);
        };
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, &mut take);
        let mut session = Mysql::connect(url);
        session.run(format!("USE {}", world.database));
        for statement in ["XA START 'x'", "INSERT INTO s VALUES (2, 2)", "XA END 'x'", "XA PREPARE 'x'"] {
            session.run(statement);
        }
        world.mysql.run("INSERT INTO t VALUES (5, 5)");
        world.until_marker(&mut engine, &mut reader, &mut take);
        world.mysql.run("DROP TABLE t");
        world.mysql.run(format!("RENAME TABLE {other}.t TO t"));
        world.mysql.run("INSERT INTO t VALUES (6, 6)");
        world.until_marker(&mut engine, &mut reader, &mut take);
        for _ in 0..3 {
            world.mysql.run("RENAME TABLE swap TO swap_3, swap_2 TO swap, swap_3 TO swap_2");
            world.until_marker(&mut engine, &mut reader, &mut take);
        }
        engine.terminate(libc::SIGTERM);
        let mut engine = Tidegate::run(&task);
        world.until_marker(&mut engine, &mut reader, &mut take);
        session.run("XA COMMIT 'x'");
        world.mysql.run("INSERT INTO t VALUES (8, 8)");
        let ended = world.finish(engine, &mut reader, &mut take);
        last["s"].assert_equals(&mut world.mysql, "s", test);
        last["swap"].assert_equals(&mut world.mysql, "swap", test);
        // Rows of a table that was dropped stay with consumers.
        let mut rows = last.remove("t").expect("t has rows").0;
        rows.remove("5");
        Last(rows).assert_equals(&mut world.mysql, "t", test);
        assert!(counts["swap"] <= 8, "{test}: loaded again and again: {counts:?}\n{}", ended.output);
        world.mysql.run(format!("DROP DATABASE {other}"));
    }
}

/// A server that is behind does not have yet what the load is to read, nor what has come under the name of a table.
#[test]
fn a_table_that_a_server_does_not_have_yet_is_not_gone() {
    let Some(servers) = Servers::from_env() else { return };
    let (nodes, mut world, mut replica) = with_replica_behind("taken_up_behind", &servers.kafka);
    create_held(&mut world.mysql, FIRST);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
    world.mysql.run("INSERT INTO t VALUES (1, 1), (2, 2)");

    let address = Address::of(nodes[0].mysql());
    let mut task = world.task();
    task.source = mysql_source(address.url(), "tide", "tide");
    task.more = "full_load: {parallel: 1}".to_owned();
    let held = hold_load(&world, FIRST);
    let mut engine = Tidegate::run(&task);
    world.until_load_is_locked_out(&mut engine);
    engine.kill_9();
    address.leads_to(nodes[1].mysql());
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("the server has only");
    drop(held);
    replica.run("START REPLICA SQL_THREAD");
    engine.wait_for_line("full load complete");
    address.leads_to(nodes[0].mysql());
    let mut reader = world.reader(["t"]);
    let mut last = Last::default();
    world.finish(engine, &mut reader, |message| {
        if message.table == "t" {
            last.take(&message);
        }
    });
    last.assert_equals(&mut world.mysql, "t", "behind");
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

/// A pattern goes by names, and an account by rights: what it may not see is told of and passed over, and loaded once it may.
#[test]
fn what_an_account_may_not_see_is_passed_over_until_it_may() {
    let Some((servers, [mariadb, _])) = Servers::with_mariadb() else { return };
    for url in [&servers.mysql, &servers.mysql_nogtid, &mariadb] {
        let mut world = World::new("taken_up_hidden", url, &servers.kafka);
        let (database, user) = (world.database.clone(), format!("u{}", std::process::id()));
        let hidden = format!("{database}_hidden");
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
        world.mysql.run(format!("CREATE DATABASE {hidden}"));
        world.mysql.run(format!("CREATE TABLE {hidden}.t (id INT PRIMARY KEY, v INT)"));
        world.mysql.run(format!("INSERT INTO {hidden}.t VALUES (1, 1)"));
        world.mysql.run(format!("DROP USER IF EXISTS {user}"));
        world.mysql.run(format!("CREATE USER {user} IDENTIFIED BY 'hidden'"));
        world.mysql.run(format!("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}"));
        world.mysql.run(format!("GRANT SELECT ON {database}.* TO {user}"));
        world.begin_binlog_file();
        let mut task = world.task();
        task.source = mysql_source(url, &user, "hidden");
        task.tables = format!("[\"{database}*.*\"]");
        task.sink = kafka_sink(&servers.kafka, &format!(", topic: \"{database}.{{table}}\""));
        let mut reader = world.reader(["t"]);
        let mut rows = Vec::new();
        let mut take = |message: Message| {
            if message.table == "t" {
                rows.push(format!("{:?} {}: {:?}", message.kind, message.database, message.data));
            }
        };
        let mut engine = Tidegate::run(&task);
        engine.wait_for_line("reading the binlog");
        world.mysql.run(format!("INSERT INTO {hidden}.t VALUES (2, 2)"));
        world.mysql.run("INSERT INTO t VALUES (1, 1)");
        engine.wait_for_line("a pattern selects it, and the account may not see it");
        world.mysql.run(format!("UPDATE {hidden}.t SET v = 7"));
        world.mysql.run("INSERT INTO t VALUES (2, 2)");
        let ended = world.finish(engine, &mut reader, &mut take);
        assert_eq!(ended.output.matches("a pattern selects it").count(), 1, "{}", ended.output);
        // By the next run, too, and without another word where nothing of it comes.
        let engine = Tidegate::run(&task);
        let ended = world.finish(engine, &mut reader, &mut take);
        assert!(!ended.output.contains("a pattern selects it"), "{}", ended.output);
        world.mysql.run(format!("GRANT SELECT ON {hidden}.* TO {user}"));
        let mut engine = Tidegate::run(&task);
        engine.wait_for_line("it has rows that were never sent: it is loaded");
        engine.wait_for_line("full load complete");
        world.mysql.run(format!("DELETE FROM {hidden}.t WHERE id = 2"));
        world.finish(engine, &mut reader, &mut take);
        world.mysql.run(format!("DROP USER {user}; DROP DATABASE {hidden}"));
        let (of_hidden, of_seen): (Vec<String>, Vec<String>) = rows.into_iter().partition(|row| row.contains(&hidden));
        let seen = [format!("Insert {database}: id=\"1\" v=\"1\""), format!("Insert {database}: id=\"2\" v=\"2\"")];
        assert_eq!(sorted(of_seen), seen);
        let mut loaded = [1, 2].map(|id| format!("Insert {hidden}: id=\"{id}\" v=\"7\"")).to_vec();
        loaded.insert(0, format!("Delete {hidden}: id=\"2\" v=\"7\""));
        assert_eq!(sorted(of_hidden), loaded);
    }
}

/// A table that is dropped and made again as it was is a table of the task as before.
#[test]
fn a_table_that_is_made_again_as_it_was_is_remembered() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("taken_up_again", &servers.mysql, &servers.kafka);
    let create = "CREATE TABLE t (id INT PRIMARY KEY, v INT)";
    world.mysql.run(create);
    world.mysql.run("INSERT INTO t VALUES (1, 1)");
    let mut task = world.task();
    let mut reader = world.reader(["t"]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    world.mysql.run("DROP TABLE t");
    world.until_marker(&mut engine, &mut reader, |_| ());
    wait_for("t is forgotten", || (!is_remembered(&task.stored())).then_some(()));
    world.mysql.run(create);
    world.mysql.run("INSERT INTO t VALUES (2, 2)");
    world.until_marker(&mut engine, &mut reader, |_| ());
    world.finish(engine, &mut reader, |_| ());
    assert!(is_remembered(&task.stored()), "{}", task.stored());
    // What has been sent of it went otherwise.
    task.tables = format!("[{0}.marker, {{table: {0}.t, where: 'v > 1'}}]", world.database);
    let said = Tidegate::fails(&task);
    assert!(said.contains("where"), "{said}");
}

/// Besides the marker.
fn is_remembered(stored: &serde_json::Value) -> bool {
    stored["tables"].as_array().is_some_and(|tables| tables.len() == 2)
}

/// Nothing comes, and the topic goes.
#[test]
fn a_topic_that_goes_while_nothing_comes_ends_the_task() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("taken_up_idle", &servers.mysql, &servers.kafka);
    let task = world.task();
    let mut engine = Tidegate::run(&task);
    let mut reader = world.reader([]);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    drop(reader);
    super::topics::delete_topic(&servers.kafka, &world.topic("marker"));
    let ended = engine.wait();
    assert!(ended.output.contains("was deleted"), "{}", ended.output);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
}

/// A table that gets its name, or gets it back, and is dropped behind that, before anybody has looked: what became of rows that consumers
/// have goes where they went, as far as somebody knows its columns.
#[test]
fn what_became_of_rows_is_sent_though_their_table_is_gone() {
    let Some(servers) = Servers::from_env() else { return };
    for metadata in ["FULL", "MINIMAL"] {
        let private = Private::up(&["mysql", "mariadb"], &format!("--binlog-row-metadata={metadata}"));
        let urls = [private.mysql(), private.mysql_nogtid(), private.mariadb()];
        for (url, is_known) in urls.into_iter().flat_map(|url| [(url, true), (url, false)]) {
            let mut world = World::new("came_and_went", url, &servers.kafka);
            world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
            world.mysql.run("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)");
            // Of this one the task has never heard.
            world.mysql.run("CREATE TABLE unseen LIKE t");
            world.mysql.run("INSERT INTO unseen SELECT * FROM t");
            world.begin_binlog_file();
            let mut task = world.task();
            task.tables = format!("[{0}.t, {0}.marker]", world.database);
            let mut reader = world.reader(["t"]);
            let mut engine = Tidegate::run(&task);
            world.until_loaded(&mut engine, &mut reader, |_| ());
            engine.terminate(libc::SIGTERM);
            world.mysql.run("RENAME TABLE t TO away");
            world.mysql.run(if is_known { "RENAME TABLE away TO t" } else { "RENAME TABLE unseen TO t" });
            for statement in ["DELETE FROM t WHERE id = 1", "UPDATE t SET v = 20 WHERE id = 2", "DROP TABLE t"] {
                world.mysql.run(statement);
            }
            let mut came = Vec::new();
            let ended = world.finish(Tidegate::run(&task), &mut reader, |message| {
                came.push(format!("{:?} {:?}", message.kind, message.data));
            });
            came.sort();
            let is_told = ended.output.contains("nobody knows the columns that it had here");
            // MariaDB's statements do not say what a table was that had another name.
            let is_known = is_known && !world.mysql.is_mariadb();
            if is_known || metadata == "FULL" {
                assert_eq!(
                    came,
                    ["Delete id=\"1\" v=\"1\"", "Update id=\"2\" v=\"20\""],
                    "{url} {metadata}\n{}",
                    ended.output
                );
            } else {
                assert!(came.is_empty() && is_told, "{url} {came:?}\n{}", ended.output);
            }
            assert!(ended.output.contains("nothing is loaded"), "{}", ended.output);
        }
    }
}
