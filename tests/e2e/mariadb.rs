//! MariaDB as the source: its own GTIDs, its own events, and what its binlog says in other ways than MySQL's.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::failover::{Altered, LASTING_LOAD, create_held, hold_load};
use super::faults::{Outages, survives};
use super::harness::address::Address;
use super::harness::order::Order;
use super::harness::source_state::Format;
use super::harness::state::State;
use super::harness::tables;
use super::harness::world::{MARKER, kafka_sink, mysql_source};
use super::harness::writers::Writers;
use super::harness::{
    Kind, Message, Mysql, Private, Reader, Servers, TaskFile, Tidegate, World, scaled, seeded, wait_for,
};
use super::histories::assert_refused;
use super::purged::run_behind_gap;
use super::resume::killed_at_moments;
use super::snapshot::{assert_equals_source, fill_all, loaded_under_writers, names};

/// Of the largest table.
const ROWS: u64 = 8000;

#[test]
fn load_under_writers_of_mariadb() {
    let Some((servers, [mariadb, _])) = Servers::with_mariadb() else { return };
    loaded_under_writers("maria_load", &mariadb, &servers.kafka, Format::Dts, scaled(ROWS));
}

#[test]
fn load_under_writers_of_mariadb_compressed_and_described() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    let options = "--log-bin-compress=ON --log-bin-compress-min-len=10 --binlog-row-metadata=FULL";
    let private = Private::up(&["mariadb", "mariadb-11"], options);
    for (test, server) in [("maria_load_full", "mariadb-11"), ("maria_load_full_10", "mariadb")] {
        let url = private.mariadb_named(server);
        loaded_under_writers(test, url, &servers.kafka, Format::Avro, scaled(ROWS));
    }
}

/// Each of two domains has every second writer, and both write to the same rows.
#[test]
fn writers_of_two_domains_of_mariadb() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    let private = Private::up(&["mariadb"], "--gtid-domain-id=7");
    loaded_under_writers("maria_domains", private.mariadb(), &servers.kafka, Format::Dts, scaled(ROWS));
    killed_at_moments("maria_domains_kill", private.mariadb(), &servers.kafka, 4);
    let state: String = Mysql::connect(private.mariadb()).query_one("SELECT @@GLOBAL.gtid_binlog_state");
    for domain in ["7-", "8-"] {
        assert!(state.split(',').any(|gtid| gtid.trim().starts_with(domain)), "{state}");
    }
}

#[test]
fn mariadb_killed_at_random_moments() {
    let Some((servers, [mariadb, _])) = Servers::with_mariadb() else { return };
    killed_at_moments("maria_kill", &mariadb, &servers.kafka, 3);
}

/// A server decrypts what it sends of an encrypted binlog.
#[test]
fn an_encrypted_binlog_of_mariadb_is_read() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let keys = folder.path().join("keys");
    std::fs::write(&keys, format!("1;{}\n", "5a".repeat(32))).expect("a file");
    let options = format!(
        "--plugin-load-add=file_key_management --file-key-management-filename={} --encrypt-binlog=ON",
        keys.display()
    );
    let private = Private::up(&["mariadb"], &options);
    let mut world = World::new("maria_encrypted", private.mariadb(), &servers.kafka);
    world.mysql.run("CREATE TABLE x (id INT PRIMARY KEY)");
    let task = world.task_of_one_topic("");
    let (messages, _) = world.follow(&task, &["INSERT INTO x VALUES (1)", "FLUSH BINARY LOGS", "UPDATE x SET id = 2"]);
    assert_eq!(drawn(&messages), ["Insert x id=\"1\"", "Delete x id=\"1\"", "Insert x id=\"2\""]);
}

/// Both clients log in: that of rows and events, and that of everything else.
#[test]
fn accounts_of_ed25519_log_in() {
    let Some((servers, mariadb)) = Servers::with_mariadb() else { return };
    for url in mariadb {
        let mut world = World::new("maria_ed", &url, &servers.kafka);
        let task = TaskFile { source: mysql_source(&url, "ed", "ed"), ..world.task() };
        let mut reader = world.reader([]);
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |_| {});
        engine.terminate(libc::SIGTERM);
        let wrong = TaskFile { source: mysql_source(&url, "ed", "wrong"), ..task };
        let output = Tidegate::fails(&wrong);
        assert!(output.contains("refused user") && output.contains("ed"), "{output}");
    }
}

/// An account of a plugin that is not known here is told by which it may log in, and logs in by it then.
#[test]
fn accounts_of_parsec_are_refused_with_what_to_do() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    let private = Private::up(&["mariadb-11"], "--plugin-load-add=auth_parsec");
    let url = private.mariadb_named("mariadb-11");
    let mut world = World::new("maria_parsec", url, &servers.kafka);
    world.mysql.run("CREATE USER parsec@'%' IDENTIFIED VIA parsec USING PASSWORD('secret')");
    world.mysql.run("GRANT SELECT, REPLICATION SLAVE, BINLOG MONITOR ON *.* TO parsec@'%'");
    let task = TaskFile { source: mysql_source(url, "parsec", "secret"), ..world.task() };
    let output = Tidegate::fails(&task);
    let told = "ALTER USER … IDENTIFIED VIA ed25519 USING PASSWORD('…')";
    for words in ["parsec", told] {
        assert!(output.contains(words), "{words:?} is not in\n{output}");
    }
    assert!(!output.contains("secret"), "{output}");
    world.mysql.run("ALTER USER parsec@'%' IDENTIFIED VIA ed25519 USING PASSWORD('secret')");
    let mut reader = world.reader([]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| {});
    engine.terminate(libc::SIGTERM);
}

/// Transactions whose end a crash has taken are no more.
#[test]
fn mariadb_is_away_for_a_while() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    let private = Private::up(&["mariadb"], "");
    let mut outages = Outages::default();
    survives("maria_killed", private.mariadb(), &servers.kafka, |rng| {
        outages.next(rng).happens_to(&private, "mariadb", private.mariadb(), rng);
    });
}

/// Kind, table and values.
fn drawn(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| format!("{:?} {} {:?}", message.kind, message.table, message.data)).collect()
}

/// Forms that only MariaDB has, under metadata that names no columns: each of these would give `p` and `q` each other's values if it
/// were taken for nothing, or for a statement on another table.
#[test]
fn forms_of_ddl_that_only_mariadb_has_are_read() {
    let Some((servers, mariadb)) = Servers::with_mariadb() else { return };
    for url in mariadb {
        let mut world = World::new("maria_forms", &url, &servers.kafka);
        for table in ["a", "b", "c", "d", "e", "f"] {
            world.mysql.run(format!("CREATE TABLE {table} (id INT PRIMARY KEY, p INT, q INT)"));
        }
        for table in ["a2", "e2"] {
            world.mysql.run(format!("CREATE TABLE {table} (id INT PRIMARY KEY, q INT, p INT)"));
        }
        world.mysql.run("CREATE TABLE g (id INT PRIMARY KEY, p INT, q INT) PARTITION BY RANGE (id) (PARTITION p1 VALUES LESS THAN (10))");
        world.mysql.run("CREATE TABLE h (id INT PRIMARY KEY, p INT, q INT)");
        world.mysql.run("INSERT INTO h VALUES (15, 11, 22)");
        let task = TaskFile { more: "incremental: {unlogged_rows: reload}".to_owned(), ..world.task_of_one_topic("") };
        let row = |table: &str| format!("INSERT INTO {table} (id, p, q) VALUES (1, 11, 22)");
        let (messages, output) = world.follow(
            &task,
            &[
                "RENAME TABLE IF EXISTS a TO a1, a2 TO a",
                &row("a"),
                "RENAME TABLE IF EXISTS nowhere TO b",
                &row("b"),
                // It hides the table of its name.
                "SET SESSION binlog_format = MIXED",
                "CREATE TEMPORARY TABLE c (id INT PRIMARY KEY, p INT, q INT)",
                "ALTER TABLE c MODIFY q INT AFTER id",
                "TRUNCATE TABLE c",
                "DROP TEMPORARY TABLE c",
                "SET SESSION binlog_format = ROW",
                &row("c"),
                "SET STATEMENT lock_wait_timeout = 10 FOR ALTER TABLE d MODIFY q INT AFTER id",
                &row("d"),
                "ALTER TABLE e NOWAIT RENAME TO e1",
                "ALTER TABLE e2 WAIT 5 RENAME TO e",
                &row("e"),
                "ALTER TABLE f COMMENT 'with system versioning', MODIFY q INT AFTER id /* with system versioning */",
                &row("f"),
                "ALTER TABLE g CONVERT TABLE h TO PARTITION p2 VALUES LESS THAN (20)",
                &row("g"),
            ],
        );
        let values = |table: &str, id: &str| {
            let is_it = |message: &&Message| message.table == table && message.data.get("id") == Some(&id.to_owned());
            let found = messages.iter().rfind(is_it).unwrap_or_else(|| panic!("no row {id} of {table}: {output}"));
            format!("{:?} {:?}", found.data.get("p"), found.data.get("q"))
        };
        for table in ["a", "b", "c", "d", "e", "f", "g"] {
            assert_eq!(values(table, "1"), "Some(\"11\") Some(\"22\")", "{url} {table}: {output}");
        }
        assert_eq!(values("g", "15"), "Some(\"11\") Some(\"22\")", "{url}: {output}");
    }
}

/// MariaDB logs what it has rolled back where something in the transaction could not be: with a table that has no transactions, or with
/// a temporary table. Only what is true comes.
#[test]
fn what_mariadb_has_rolled_back_does_not_come() {
    let Some((servers, mariadb)) = Servers::with_mariadb() else { return };
    for url in mariadb {
        let mut world = World::new("maria_undone", &url, &servers.kafka);
        world.mysql.run("CREATE TABLE x (id INT PRIMARY KEY)");
        world.mysql.run("CREATE TABLE m (id INT PRIMARY KEY) ENGINE = MyISAM");
        world.mysql.run("CREATE TABLE big (id INT PRIMARY KEY, content LONGTEXT)");
        let task = world.task_of_one_topic("");
        let (messages, _) = world.follow(
            &task,
            &[
                "BEGIN",
                "INSERT INTO x VALUES (1)",
                "SAVEPOINT a",
                "INSERT INTO x VALUES (2)",
                "SAVEPOINT `b c`",
                "INSERT INTO m VALUES (1)",
                "INSERT INTO x VALUES (3)",
                "ROLLBACK TO `B C`",
                "INSERT INTO x VALUES (4)",
                "ROLLBACK TO a",
                "INSERT INTO x VALUES (5)",
                "COMMIT",
                "BEGIN",
                "INSERT INTO x VALUES (6)",
                "INSERT INTO m VALUES (2)",
                "ROLLBACK",
                "BEGIN",
                "INSERT INTO x VALUES (7)",
                "CREATE TEMPORARY TABLE t (id INT)",
                "DROP TEMPORARY TABLE t",
                "ROLLBACK",
                // One that is too large to wait.
                "BEGIN",
                "INSERT INTO x VALUES (8)",
                "INSERT INTO big SELECT seq, REPEAT('x', 500000) FROM seq_1_to_12",
                "INSERT INTO x VALUES (9)",
                "COMMIT",
                "INSERT INTO x VALUES (10) RETURNING id",
            ],
        );
        let small: Vec<String> = drawn(&messages)
            .into_iter()
            .filter(|text| !text.contains(" big "))
            .map(|text| text.replace('"', ""))
            .collect();
        assert_eq!(
            small,
            [
                "Insert m id=1",
                "Insert x id=1",
                "Insert x id=5",
                "Insert m id=2",
                "Insert x id=8",
                "Insert x id=9",
                "Insert x id=10"
            ]
        );
        let order: Vec<&str> = messages.iter().map(|message| message.table.as_str()).collect();
        let first_big = order.iter().position(|table| *table == "big").expect("it came");
        assert_eq!(order.iter().filter(|table| **table == "big").count(), 12);
        assert_eq!(&order[first_big - 1..first_big], ["x"]);
        assert_eq!(order[first_big + 12], "x");
    }
}

/// A transaction that was sent before its end, being too large to wait, and is rolled back all the same.
#[test]
fn a_large_transaction_that_mariadb_has_rolled_back_stops_the_task() {
    let Some((servers, [mariadb, _])) = Servers::with_mariadb() else { return };
    let mut world = World::new("maria_large_undone", &mariadb, &servers.kafka);
    world.mysql.run("CREATE TABLE big (id INT PRIMARY KEY, content LONGTEXT)");
    let task = world.task_of_one_topic("");
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("reading the binlog");
    for statement in [
        "BEGIN",
        "INSERT INTO big SELECT seq, REPEAT('x', 500000) FROM seq_1_to_12",
        "CREATE TEMPORARY TABLE t (id INT)",
        "ROLLBACK",
    ] {
        world.mysql.run(statement);
    }
    let ended = engine.wait();
    for words in ["a transaction with rows of captured tables ends with a rollback", "begin again with a full load"] {
        assert!(ended.output.contains(words), "{words:?} is not in\n{}", ended.output);
    }
}

/// An ALTER TABLE that is logged when it begins and when it ends changes columns at its end, and only if that was a good one.
#[test]
fn an_alter_in_two_phases_counts_at_its_end() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    let private = Private::up(&["mariadb", "mariadb-11"], "--binlog-row-metadata=FULL");
    for url in ["mariadb", "mariadb-11"].map(|server| private.mariadb_named(server)) {
        let mut world = World::new("maria_alter", url, &servers.kafka);
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, a INT)");
        world.mysql.run("INSERT INTO t VALUES (1, 1), (2, 1)");
        world.mysql.run("SET binlog_alter_two_phase = 1");
        let task = world.task_of_one_topic("");
        let mut reader = Reader::new(&world.kafka, vec![world.database.clone()]);
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |_| ());
        world.mysql.run("UPDATE t SET a = 2 WHERE id = 1");
        assert!(world.mysql.try_run("ALTER TABLE t ADD UNIQUE KEY (a), ADD COLUMN a INT, ALGORITHM = COPY").is_err());
        world.mysql.run("UPDATE t SET a = 2 WHERE id = 2");
        // Fails when it has begun.
        assert!(world.mysql.try_run("ALTER TABLE t ADD UNIQUE KEY (a), ALGORITHM = COPY").is_err());
        world.mysql.run("UPDATE t SET a = 3 WHERE id = 1");
        world.mysql.run("ALTER TABLE t ADD COLUMN b INT DEFAULT 7, ALGORITHM = COPY");
        world.mysql.run("UPDATE t SET a = 4 WHERE id = 1");
        let mut messages = Vec::new();
        world.finish(engine, &mut reader, |message| messages.push(message));
        let updates: Vec<String> = drawn(&messages).iter().map(|text| text.replace('"', "")).collect();
        assert_eq!(
            updates,
            ["Update t id=1 a=2", "Update t id=2 a=2", "Update t id=1 a=3", "Update t id=1 a=4 b=7"],
            "{url}"
        );
    }
}

/// Between its begin and its end, rows come that still have the columns from before, and the task may die. The columns have equal types, and metadata
/// names none, so that nothing but the end of the statement tells where they change places.
#[test]
fn rows_between_the_phases_of_an_alter_have_the_columns_from_before() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    let private = Private::up(&["mariadb", "mariadb-11"], "");
    for url in ["mariadb", "mariadb-11"].map(|server| private.mariadb_named(server)) {
        let mut world = World::new("maria_phases", url, &servers.kafka);
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, p INT, q INT)");
        world.mysql.run("INSERT INTO t SELECT seq, 11, 22 FROM seq_1_to_300000");
        let mut task = world.task_of_one_topic("");
        task.tables = format!("[{{table: {0}.t, where: \"id < 1 OR id > 1000000\"}}, {0}.{MARKER}]", world.database);
        let mut reader = Reader::new(&world.kafka, vec![world.database.clone()]);
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |_| ());
        let insert = |id: i32| format!("INSERT INTO t (id, p, q) VALUES ({id}, 11, 22)");
        world.mysql.run(insert(-1));
        let end = world.mysql.binlog_end();
        let mut writer = Mysql::connect(url);
        writer.run(format!("USE {}", world.database));
        let mut altering = Mysql::connect(url);
        altering.run(format!("USE {}", world.database));
        altering.run("SET binlog_alter_two_phase = 1");
        let alter = std::thread::spawn(move || {
            altering.run("ALTER TABLE t MODIFY q INT AFTER id, FORCE, ALGORITHM = INPLACE, LOCK = NONE");
        });
        wait_for("the begin of the statement", || (world.mysql.binlog_end() != end).then_some(()));
        // As long as this is open, the statement cannot end.
        writer.run("BEGIN");
        writer.run(insert(-2));
        world.until_marker(&mut engine, &mut reader, |_| ());
        assert!(!alter.is_finished(), "the statement was over before anything could happen within it");
        engine.kill_9();
        let mut engine = Tidegate::run(&task);
        world.until_marker(&mut engine, &mut reader, |_| ());
        writer.run("COMMIT");
        alter.join().expect("the statement ends");
        world.mysql.run(insert(-3));
        let mut found = Vec::new();
        let ended = world.finish(engine, &mut reader, |message| found.push(message));
        let values = |message: &Message| {
            let [id, p, q] = ["id", "p", "q"].map(|name| message.data.get(name).cloned().unwrap_or_default());
            format!("{id} {p} {q}")
        };
        let found: Vec<String> = found.iter().map(values).collect();
        assert_eq!(found, ["-2 11 22", "-3 11 22"], "{url}\n{}", ended.output);
    }
}

fn prepare(session: &mut Mysql, xid: &str, statements: &[&str]) {
    session.run(format!("XA START {xid}"));
    statements.iter().for_each(|statement| session.run(statement));
    session.run(format!("XA END {xid}"));
    session.run(format!("XA PREPARE {xid}"));
}

/// Rows wait for their outcome over stops and kills; nothing else comes twice because of them.
#[test]
fn xa_transactions_of_mariadb_outlive_restarts() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    // A server of its own: whoever begins while a transaction is prepared would be stopped by its commit.
    for server in ["mariadb", "mariadb-11"] {
        let private = Private::up(&[server], "");
        let url = private.mariadb_named(server);
        let mut world = World::new("maria_xa", url, &servers.kafka);
        world.mysql.run("CREATE TABLE x (id INT PRIMARY KEY)");
        world.mysql.run("CREATE TABLE m (id INT PRIMARY KEY) ENGINE = MyISAM");
        let task = world.task_of_one_topic("");
        let mut reader = Reader::new(&world.kafka, vec![world.database.clone()]);
        let mut messages = Vec::new();
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |_| ());
        let mut session = Mysql::connect(url);
        session.run(format!("USE {}", world.database));
        prepare(&mut session, "'a','\u{e9}',7", &["INSERT INTO x VALUES (1)", "INSERT INTO x VALUES (2)"]);
        world.mysql.run("INSERT INTO x VALUES (10)");
        let mut other = Mysql::connect(url);
        other.run(format!("USE {}", world.database));
        prepare(
            &mut other,
            "'b'",
            &[
                "INSERT INTO x VALUES (3)",
                "SAVEPOINT s",
                "INSERT INTO m VALUES (1)",
                "INSERT INTO x VALUES (4)",
                "ROLLBACK TO s",
            ],
        );
        world.mysql.run("INSERT INTO x VALUES (11)");
        world.until_marker(&mut engine, &mut reader, |message| messages.push(message));
        engine.terminate(libc::SIGTERM);
        world.mysql.run("INSERT INTO x VALUES (12)");
        let mut engine = Tidegate::run(&task);
        world.until_marker(&mut engine, &mut reader, |message| messages.push(message));
        session.run("XA COMMIT 'a','\u{e9}',7");
        other.run("XA ROLLBACK 'b'");
        world.mysql.run("INSERT INTO x VALUES (13)");
        prepare(&mut session, "'a'", &["INSERT INTO x VALUES (5)"]);
        world.until_marker(&mut engine, &mut reader, |message| messages.push(message));
        engine.terminate(libc::SIGTERM);
        let mut engine = Tidegate::run(&task);
        world.until_marker(&mut engine, &mut reader, |message| messages.push(message));
        prepare(&mut other, "'c'", &["INSERT INTO x VALUES (6)", "SAVEPOINT s", "INSERT INTO x VALUES (7)"]);
        other.run("XA COMMIT 'c'");
        session.run("XA COMMIT 'a'");
        world.mysql.run("XA START 'd'");
        world.mysql.run("INSERT INTO x VALUES (8)");
        world.mysql.run("XA END 'd'");
        world.mysql.run("XA COMMIT 'd' ONE PHASE");
        world.finish(engine, &mut reader, |message| messages.push(message));
        let came: Vec<String> = drawn(&messages).iter().map(|text| text.replace('"', "")).collect();
        let expected = [10, -1, 11, 12, 1, 2, 13, 6, 7, 5, 8].map(|id| match id {
            -1 => "Insert m id=1".to_owned(),
            id => format!("Insert x id={id}"),
        });
        assert_eq!(came, expected, "{server}");
    }
}

fn replicate_from(url: &str) -> String {
    let port = url.rsplit(':').next().expect("a URL has a port");
    format!(
        "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = 'admin', MASTER_PASSWORD = 'admin', \
         MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1"
    )
}

fn wait_until_replicated(source: &mut Mysql, replica: &mut Mysql) {
    let last: String = source.query_one("SELECT @@GLOBAL.gtid_binlog_pos");
    let query = format!("SELECT MASTER_GTID_WAIT('{last}', 1)");
    wait_for("the replica has all of it", || (replica.query_one::<i32>(&query) == 0).then_some(()));
}

/// To a replica with other file names and offsets, and back; writers in two domains. First among changes, or in the full load.
#[test]
fn failover_of_mariadb_and_back() {
    failed_over("maria_failover", false);
}

#[test]
fn failover_of_mariadb_in_the_full_load() {
    failed_over("maria_failover_load", true);
}

fn failed_over(test: &str, is_in_load: bool) {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    let mut rng = seeded(test);
    let nodes = ["--gtid-strict-mode=ON", "--gtid-strict-mode=ON --server-id=11 --log-bin=other"]
        .map(|options| Private::up(&["mariadb"], options));
    let mut world = World::new(test, nodes[0].mariadb(), &servers.kafka);
    let targets = fill_all(&mut world, &mut rng, 2000);
    create_held(&mut world.mysql, "z_held");
    let altered = RefCell::new(Altered::create(&mut world.mysql));
    let mut replica = Mysql::connect(nodes[1].mariadb());
    replica.run(replicate_from(nodes[0].mariadb()));
    replica.run("START SLAVE");

    let mut task = world.task();
    task.format = "{canal_json: {profile: dts}}".to_owned();
    let mut reader = world.reader(names().chain(["altered"]));
    let mut state = State::new(tables::ALL);
    let mut order = Order::new(tables::ALL);
    let mut take = |message: &Message| match message.table.as_str() {
        MARKER => {}
        "altered" => altered.borrow_mut().take(message),
        _ => {
            state.apply(message);
            order.check(message);
        }
    };
    let mut held = None;
    if is_in_load {
        task.more = LASTING_LOAD.to_owned();
        held = Some(hold_load(&world, "z_held"));
    }
    let mut engine = Tidegate::run(&task);
    if !is_in_load {
        engine.wait_for_line("full load complete");
    }
    for (old, new) in [(0, 1), (1, 0)] {
        let writers = Writers::start(4, &world.mysql_url, &world.database, &targets, &mut rng);
        writers.allow(2000);
        let mut left = rng.u32(1..2000);
        let mut markers = 0;
        let is_in_load = held.is_some();
        reader.until(&mut engine, "rows", |message| {
            take(&message);
            // Another domain.
            if markers < 20 {
                world.mysql.run("SET gtid_domain_id = 5");
                world.write_marker();
                world.mysql.run("SET gtid_domain_id = 0");
                markers += 1;
            }
            left -= u32::from((message.kind == Kind::Init) == is_in_load);
            left == 0
        });
        engine.kill_9();
        drop(held.take());
        // The engine has read some of this, or none.
        writers.allow(500);
        writers.let_commit(200);
        altered.borrow_mut().alter(&mut world.mysql);
        writers.stop();
        wait_until_replicated(&mut world.mysql, &mut replica);
        replica.run("STOP SLAVE");
        replica.run("RESET SLAVE ALL");
        nodes[old].kill("mariadb");

        world.mysql_url = nodes[new].mariadb().to_owned();
        world.reconnect();
        altered.borrow_mut().alter(&mut world.mysql);
        task.source = mysql_source(&world.mysql_url, "tide", "tide");
        engine = Tidegate::run(&task);
        nodes[old].start("mariadb");
        replica = Mysql::connect(nodes[old].mariadb());
        // What it has written itself counts, too.
        let last: String = replica.query_one("SELECT @@GLOBAL.gtid_binlog_pos");
        replica.run(format!("SET GLOBAL gtid_slave_pos = '{last}'"));
        replica.run(replicate_from(&world.mysql_url));
        replica.run("START SLAVE");
    }
    world.finish(engine, &mut reader, |message| take(&message));
    assert_equals_source(&mut world, &state, Format::Dts);
    order.assert_in_order(2, &world);
    altered.borrow().assert_equals(&mut world.mysql);
}

/// Under a load, the address moves to a replica that lacks what the load began at: it shows no chunk before it has caught up.
#[test]
fn a_load_waits_for_a_replica_of_mariadb_that_lags() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    let test = "maria_lag";
    let mut rng = seeded(test);
    let nodes = ["--gtid-strict-mode=ON", "--gtid-strict-mode=ON --server-id=11 --log-bin=other"]
        .map(|options| Private::up(&["mariadb"], options));
    let mut world = World::new(test, nodes[0].mariadb(), &servers.kafka);
    let targets = fill_all(&mut world, &mut rng, 2000);
    create_held(&mut world.mysql, "z_held");
    let mut replica = Mysql::connect(nodes[1].mariadb());
    replica.run(replicate_from(nodes[0].mariadb()));
    replica.run("START SLAVE");
    wait_until_replicated(&mut world.mysql, &mut replica);
    replica.run("STOP SLAVE SQL_THREAD");
    let writers = Writers::start(4, &world.mysql_url, &world.database, &targets, &mut rng);
    writers.allow(2000);
    writers.let_commit(200);

    let address = Address::of(nodes[0].mariadb());
    let mut task = world.task();
    task.source = mysql_source(address.url(), "tide", "tide");
    task.format = "{canal_json: {profile: dts}}".to_owned();
    task.more = LASTING_LOAD.to_owned();
    let mut reader = world.reader(names());
    let mut state = State::new(tables::ALL);
    let mut order = Order::new(tables::ALL);
    // On the first server, no load comes to its end.
    let held = hold_load(&world, "z_held");
    let mut engine = Tidegate::run(&task);
    let mut left = rng.u32(1..1000);
    reader.until(&mut engine, "some rows", |message| {
        state.apply(&message);
        order.check(&message);
        left -= 1;
        left == 0
    });
    world.until_load_is_locked_out(&mut engine);
    address.leads_to(nodes[1].mariadb());
    engine.wait_for_line("the server is behind the position at which the load began");
    drop(held);
    writers.allow(500);
    writers.let_commit(200);
    writers.stop();
    replica.run("START SLAVE SQL_THREAD");
    wait_until_replicated(&mut world.mysql, &mut replica);
    replica.run("STOP SLAVE");
    replica.run("RESET SLAVE ALL");
    world.mysql_url = nodes[1].mariadb().to_owned();
    world.reconnect();
    world.finish(engine, &mut reader, |message| {
        state.apply(&message);
        order.check(&message);
    });
    assert_equals_source(&mut world, &state, Format::Dts);
    order.assert_in_order(1, &world);
}

/// A history that begins anew, changes that are gone, and numbers that do not grow.
#[test]
fn another_history_of_mariadb_is_noticed() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    let private = Private::up(&["mariadb"], "");
    let mut world = World::new("maria_anew", private.mariadb(), &servers.kafka);
    let mut task = world.task();
    task.more = "retry: {connection: 1s, other: 1s}\nincremental: {heartbeat_s: 1}".to_owned();
    let mut reader = world.reader([]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| {});
    engine.terminate(libc::SIGTERM);
    // What it has read may go, whatever the file was.
    world.purge_binlog();
    let mut engine = Tidegate::run(&task);
    world.until_marker(&mut engine, &mut reader, |_| {});
    engine.terminate(libc::SIGTERM);
    // Something that it has not read goes.
    world.write_marker();
    world.purge_binlog();
    assert_refused(&task, &["the changes after", "are no longer on the server", "begin again with a full load"]);
    let mut engine = run_behind_gap(&task, "load");
    world.until_loaded(&mut engine, &mut reader, |_| {});
    engine.terminate(libc::SIGTERM);

    // Numbers come again.
    let fresh =
        |name: &str, world: &World| TaskFile { state: world.path(name), accept: "non_empty_topics", ..task.clone() };
    let task = fresh("second", &world);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| {});
    engine.terminate(libc::SIGTERM);
    world.mysql.run("RESET MASTER");
    for id in 0..30 {
        world.mysql.run(format!("INSERT INTO marker VALUES ({})", 1000 + id));
    }
    assert_refused(&task, &["no longer the one that this task has read", "begin again with a full load"]);

    // Also under a dump.
    let task = fresh("third", &world);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| {});
    world.mysql.run("RESET MASTER");
    let ended = engine.wait();
    // As the binlog is found: with a new file of the old name, or still shorter than what was read.
    let words = ["no longer the one that this task has read", "which this task has reached"];
    assert!(words.iter().any(|words| ended.output.contains(words)), "{}", ended.output);

    let task = fresh("fourth", &world);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| {});
    world.mysql.run("SET gtid_seq_no = 1000");
    world.write_marker();
    world.mysql.run("SET gtid_seq_no = 999");
    world.write_marker();
    let ended = engine.wait();
    for words in ["comes behind 0-4-1000: numbers of a domain must grow", "gtid_strict_mode"] {
        assert!(ended.output.contains(words), "{words:?} is not in\n{}", ended.output);
    }
}

/// By an index, MariaDB finds no row `a\t` between texts of CHAR where spaces at the end count, on neither side of `a`.
#[test]
fn keys_that_mariadb_does_not_find_between_two_borders_are_not_cut() {
    let Some((servers, mariadb)) = Servers::with_mariadb() else { return };
    for url in mariadb {
        let mut world = World::new("maria_nopad", &url, &servers.kafka);
        world.mysql.run("CREATE TABLE x (id CHAR(9) PRIMARY KEY) CHARSET utf8mb4 COLLATE utf8mb4_general_nopad_ci");
        world.mysql.run("INSERT INTO x SELECT CONCAT('k', seq) FROM seq_1_to_500");
        world.mysql.run("INSERT INTO x SELECT CONCAT('k', seq, '\t') FROM seq_1_to_500");
        world.mysql.run("ANALYZE TABLE x");
        let chunks = "full_load: {chunk_rows: 50}";
        // Nor are they divided when they take too long.
        let pieces = "full_load: {chunk_rows: 500, view_max: 1s}\nlimits: {full_load: {rows_per_second: 300}}";
        for (name, more) in [("chunks", chunks), ("pieces", pieces)] {
            let mut task = TaskFile { more: more.to_owned(), ..world.task() };
            (task.state, task.name) = (world.path(name), format!("{}_{name}", world.database));
            task.sink = kafka_sink(&servers.kafka, &format!(", topic: \"{name}.{{database}}.{{table}}\""));
            let topics = ["x", "marker"].map(|table| format!("{name}.{}", world.topic(table)));
            let mut reader = Reader::new(&world.kafka, topics.to_vec());
            let mut engine = Tidegate::run(&task);
            let mut ids = BTreeSet::new();
            world.until_loaded(&mut engine, &mut reader, |message| ids.extend(message.data.get("id").cloned()));
            engine.terminate(libc::SIGTERM);
            assert_eq!(ids.len(), 1000, "{url}, {name}");
        }
    }
}

/// Values of sequences come as rows of a table that a pattern selects, and are none.
#[test]
fn values_of_sequences_are_no_rows() {
    let Some((servers, mariadb)) = Servers::with_mariadb() else { return };
    for (url, phases) in mariadb.iter().flat_map(|url| [(url, "full_load: true"), (url, "full_load: false")]) {
        let mut world = World::new("sequences", url, &servers.kafka);
        world.mysql.run("CREATE TABLE t (id BIGINT PRIMARY KEY)");
        world.mysql.run("CREATE SEQUENCE old NOCACHE");
        world.mysql.run("CREATE SEQUENCE later START WITH 100 NOCACHE");
        let mut task = world.task();
        task.tables = format!("['{}.*']", world.database);
        task.more = phases.to_owned();
        let mut reader = world.reader(["t", "later"]);
        let mut engine = Tidegate::run(&task);
        engine.wait_for_line("incremental: reading the binlog");
        world.mysql.run("INSERT INTO t VALUES (NEXTVAL(old))");
        world.mysql.run("CREATE SEQUENCE new START WITH 10 NOCACHE");
        world.mysql.run("INSERT INTO t VALUES (NEXTVAL(new))");
        world.mysql.run("RENAME TABLE new TO named");
        world.mysql.run("INSERT INTO t VALUES (NEXTVAL(named))");
        // The name is a table's from here on.
        world.mysql.run("DROP SEQUENCE later");
        world.mysql.run("CREATE TABLE later (id BIGINT PRIMARY KEY)");
        world.mysql.run("INSERT INTO later VALUES (NEXTVAL(named))");
        let mut ids = BTreeMap::<String, BTreeSet<String>>::new();
        let ended = world.finish(engine, &mut reader, |message| {
            ids.entry(message.table.clone()).or_default().extend(message.data.get("id").cloned());
        });
        assert_eq!(format!("{ids:?}"), r#"{"later": {"12"}, "t": {"1", "10", "11"}}"#);
        assert!(!ended.output.contains("nothing is loaded"), "{}", ended.output);

        // While the task is away, tables and sequences take each other's names.
        for statement in [
            "INSERT INTO t VALUES (1000 + NEXTVAL(old))",
            "DROP SEQUENCE old",
            "CREATE TABLE old (id BIGINT PRIMARY KEY)",
            "INSERT INTO old VALUES (1)",
            "RENAME TABLE later TO still_later",
            "CREATE SEQUENCE later START WITH 200 NOCACHE",
            "INSERT INTO still_later VALUES (NEXTVAL(later))",
            "CREATE TABLE IF NOT EXISTS passing (id BIGINT PRIMARY KEY)",
            "INSERT INTO passing VALUES (1)",
            "DROP TABLE passing",
            "CREATE SEQUENCE passing NOCACHE",
            // There is a table of the name.
            "CREATE SEQUENCE IF NOT EXISTS old",
            "INSERT INTO old VALUES (2)",
        ] {
            world.mysql.run(statement);
        }
        let mut reader = world.reader(["t", "old", "later", "still_later", "passing"]);
        reader.read_to_end(|_| ());
        let mut engine = Tidegate::run(&task);
        let mut ids = BTreeMap::<String, BTreeSet<String>>::new();
        let mut take = |message: Message| {
            ids.entry(message.table.clone()).or_default().extend(message.data.get("id").cloned());
        };
        world.until_marker(&mut engine, &mut reader, &mut take);
        // While it runs, one that leaves no trace.
        world.mysql.run("SET SESSION sql_log_bin = 0");
        world.mysql.run("CREATE SEQUENCE hidden NOCACHE");
        world.mysql.run("SET SESSION sql_log_bin = 1");
        if phases == "full_load: true" {
            world.mysql.run("INSERT INTO t VALUES (2000 + NEXTVAL(hidden))");
        }
        world.mysql.run("INSERT INTO t VALUES (3000 + NEXTVAL(passing))");
        world.finish(engine, &mut reader, &mut take);
        // What is gone before anybody looks is not loaded.
        let (hidden, passing) = match phases {
            "full_load: true" => (r#", "2001""#, ""),
            _ => ("", r#" "passing": {"1"},"#),
        };
        assert_eq!(
            format!("{ids:?}"),
            format!(r#"{{"old": {{"1", "2"}},{passing} "still_later": {{"200"}}, "t": {{"1002"{hidden}, "3001"}}}}"#),
            "{url} {phases}"
        );
    }
}
