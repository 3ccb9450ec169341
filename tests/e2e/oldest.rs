//! MySQL 5.6 as the source, the oldest that is read: with and without GTIDs, and what its binlog says in other ways than that of today.
//!
//! Its types are in [`types`](super::types).

use super::failover::{LASTING_LOAD, create_held, hold_load, wait_until_replicated};
use super::faults::survives;
use super::harness::order::Order;
use super::harness::source_state::Format;
use super::harness::state::State;
use super::harness::tables;
use super::harness::world::mysql_source;
use super::harness::writers::Writers;
use super::harness::{Kind, Message, Mysql, Private, Reader, Servers, Tidegate, World, scaled, seeded};
use super::resume::killed_at_moments;
use super::snapshot::{assert_equals_source, fill_all, loaded_under_writers, names};

/// Of the largest table.
const ROWS: u64 = 8000;

/// For a server of a test's own.
pub(crate) const WITHOUT_GTIDS: &str = "--gtid-mode=OFF --skip-enforce-gtid-consistency";
/// What replicas of its time asked for: no checksums, and rows as 5.5 wrote them. With the statements that made them.
pub(crate) const PLAIN_EVENTS: &str =
    "--binlog-checksum=NONE --log-bin-use-v1-row-events=ON --binlog-rows-query-log-events=ON";

#[test]
fn load_under_writers_of_the_oldest_with_gtids() {
    let Some((servers, oldest)) = Servers::with_oldest() else { return };
    loaded_under_writers("old_load_gtid", &oldest, &servers.kafka, Format::Dts, scaled(ROWS));
}

#[test]
fn load_under_writers_of_the_oldest_without_gtids() {
    let Some((servers, _)) = Servers::with_oldest() else { return };
    let private = Private::up(&["mysql-5.6"], WITHOUT_GTIDS);
    loaded_under_writers("old_load_nogtid", private.oldest(), &servers.kafka, Format::Canal, scaled(ROWS));
}

#[test]
fn load_under_writers_of_the_oldest_with_plain_events() {
    let Some((servers, _)) = Servers::with_oldest() else { return };
    for (test, gtids) in [("old_plain_gtid", ""), ("old_plain_nogtid", WITHOUT_GTIDS)] {
        let private = Private::up(&["mysql-5.6"], &format!("{gtids} {PLAIN_EVENTS}"));
        loaded_under_writers(test, private.oldest(), &servers.kafka, Format::Avro, scaled(ROWS));
    }
}

#[test]
fn the_oldest_killed_at_random_moments_with_gtids() {
    let Some((servers, oldest)) = Servers::with_oldest() else { return };
    killed_at_moments("old_kill_gtid", &oldest, &servers.kafka, 3);
}

#[test]
fn the_oldest_killed_at_random_moments_without_gtids() {
    let Some((servers, _)) = Servers::with_oldest() else { return };
    let private = Private::up(&["mysql-5.6"], WITHOUT_GTIDS);
    killed_at_moments("old_kill_nogtid", private.oldest(), &servers.kafka, 3);
}

/// A server that dies in the middle of a transaction may have sent the begin of it, and takes it out of its binlog when it comes back.
#[test]
fn the_oldest_is_killed_and_comes_back() {
    let Some((servers, _)) = Servers::with_oldest() else { return };
    for (test, options) in [("old_killed_gtid", ""), ("old_killed_nogtid", WITHOUT_GTIDS)] {
        let private = Private::up(&["mysql-5.6"], options);
        survives(test, private.oldest(), &servers.kafka, |_| {
            private.kill("mysql-5.6");
            private.start("mysql-5.6");
        });
    }
}

/// Its server has certificates, and a TLS that is older than all that is spoken here: said at once, with what to do.
#[test]
fn the_tls_of_the_oldest_is_refused_at_once() {
    let Some((servers, _)) = Servers::with_oldest() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let make = "openssl genrsa -traditional -out key.pem 2048 && \
                openssl req -x509 -new -key key.pem -days 3650 -subj /CN=authority -out cert.pem";
    let output = std::process::Command::new("bash").args(["-c", make]).current_dir(folder.path()).output();
    let output = output.expect("bash runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name).display().to_string());
    let private = Private::up(&["mysql-5.6"], &format!("--ssl-ca={cert} --ssl-cert={cert} --ssl-key={key}"));
    let mut world = World::new("old_tls", private.oldest(), &servers.kafka);
    let has_tls: String = world.mysql.query_one("SELECT @@have_ssl");
    assert_eq!(has_tls, "YES");
    let mut task = world.task();
    let output = Tidegate::fails(&task);
    for words in ["TLS handshake with", "MySQL 5.7 and older may speak only TLS 1.0 or 1.1: use tls mode disabled"] {
        assert!(output.contains(words), "{words:?} is not in\n{output}");
    }
    assert!(!output.contains("retry_in_ms"), "{output}");
    task.source = task.source.replace('}', ", tls: {mode: disabled}}");
    world.begin_binlog_file();
    let mut reader = world.reader([]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| {});
    engine.terminate(libc::SIGTERM);
}

/// To a replica whose files have other names, in the load, and back among changes. What its views show, a server tells by whole files alone: one
/// has to begin behind what the task has read before its load goes on there.
#[test]
fn failover_of_the_oldest_and_back() {
    let Some((servers, _)) = Servers::with_oldest() else { return };
    let test = "old_failover";
    let mut rng = seeded(test);
    let nodes = ["", "--server-id=11 --log-bin=other"].map(|options| Private::up(&["mysql-5.6"], options));
    let mut world = World::new(test, nodes[0].oldest(), &servers.kafka);
    let targets = fill_all(&mut world, &mut rng, 2000);
    create_held(&mut world.mysql, "z_held");
    world.begin_binlog_file();
    let replicate_from = |url: &str| {
        let port = url.rsplit(':').next().expect("a URL has a port");
        format!(
            "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = 'admin', MASTER_PASSWORD = 'admin', \
             MASTER_AUTO_POSITION = 1, MASTER_CONNECT_RETRY = 1"
        )
    };
    let mut replica = Mysql::connect(nodes[1].oldest());
    replica.run(replicate_from(nodes[0].oldest()));
    replica.run("START SLAVE");

    let mut task = world.task();
    task.format = "{canal_json: {profile: dts}}".to_owned();
    task.more = LASTING_LOAD.to_owned();
    let mut reader = world.reader(names());
    let mut state = State::new(tables::ALL);
    let mut order = Order::new(tables::ALL);
    let mut take = |message: &Message| {
        state.apply(message);
        order.check(message);
    };
    let mut held = Some(hold_load(&world, "z_held"));
    let mut engine = Tidegate::run(&task);
    for (old, new) in [(0, 1), (1, 0)] {
        let writers = Writers::start(4, &world.mysql_url, &world.database, &targets, &mut rng);
        writers.allow(2000);
        let mut left = rng.u32(1..1000);
        let is_in_load = held.is_some();
        reader.until(&mut engine, "rows", |message| {
            take(&message);
            left -= u32::from((message.kind == Kind::Init) == is_in_load);
            left == 0
        });
        engine.kill_9();
        drop(held.take());
        writers.allow(500);
        writers.let_commit(200);
        writers.stop();
        wait_until_replicated(&mut world.mysql, &mut replica);
        replica.run("STOP SLAVE");
        replica.run("RESET SLAVE ALL");
        nodes[old].kill("mysql-5.6");

        world.mysql_url = nodes[new].oldest().to_owned();
        world.reconnect();
        world.begin_binlog_file();
        task.source = mysql_source(&world.mysql_url, "tide", "tide");
        engine = Tidegate::run(&task);
        nodes[old].start("mysql-5.6");
        replica = Mysql::connect(nodes[old].oldest());
        replica.run(replicate_from(&world.mysql_url));
        replica.run("START SLAVE");
    }
    world.finish(engine, &mut reader, |message| take(&message));
    assert_equals_source(&mut world, &state, Format::Dts);
    order.assert_in_order(2, &world);
}

/// Kind, table and values.
fn drawn(messages: &[Message]) -> Vec<String> {
    let draw = |message: &Message| format!("{:?} {} {:?}", message.kind, message.table, message.data).replace('"', "");
    messages.iter().map(draw).collect()
}

/// Makes the tables of which transactions are rolled back.
fn make_tables(world: &mut World) {
    world.mysql.run("CREATE TABLE i1 (id INT PRIMARY KEY)");
    world.mysql.run("CREATE TABLE m1 (id INT PRIMARY KEY) ENGINE = MyISAM");
    world.mysql.run("CREATE TABLE big (id INT PRIMARY KEY, content LONGTEXT)");
    world.mysql.run("CREATE TABLE twelve (id INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO twelve VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12)");
    world.begin_binlog_file();
}

/// Larger than what waits for its end.
const MANY: &str = "INSERT INTO big SELECT id, REPEAT('x', 500000) FROM twelve";

/// Before 8.0, MySQL logs what it has rolled back where a temporary table was made or dropped. Only what is true comes.
#[test]
fn what_the_oldest_has_rolled_back_does_not_come() {
    let Some((servers, _)) = Servers::with_oldest() else { return };
    for options in [WITHOUT_GTIDS.to_owned(), format!("{WITHOUT_GTIDS} {PLAIN_EVENTS}")] {
        let private = Private::up(&["mysql-5.6"], &options);
        let mut world = World::new("old_undone", private.oldest(), &servers.kafka);
        make_tables(&mut world);
        let task = world.task_of_one_topic("");
        let (messages, _) = world.follow(
            &task,
            &[
                "BEGIN",
                "INSERT INTO i1 VALUES (5)",
                "CREATE TEMPORARY TABLE tt (a INT)",
                "DROP TEMPORARY TABLE tt",
                "ROLLBACK",
                "INSERT INTO i1 VALUES (6)",
                // It leaves this out by itself.
                "BEGIN",
                "INSERT INTO i1 VALUES (11)",
                "SAVEPOINT s",
                "INSERT INTO i1 VALUES (12)",
                "INSERT INTO m1 VALUES (1)",
                "ROLLBACK TO s",
                "INSERT INTO i1 VALUES (13)",
                "COMMIT",
                "BEGIN",
                "INSERT INTO i1 VALUES (14)",
                "INSERT INTO m1 VALUES (2)",
                "ROLLBACK",
                // And not this: a row that no statement tells stands between statements.
                "SET binlog_format = MIXED",
                "BEGIN",
                "INSERT INTO i1 VALUES (21 + LEFT(UUID(), 0))",
                "SAVEPOINT s",
                "INSERT INTO i1 VALUES (22 + LEFT(UUID(), 0))",
                "SAVEPOINT `t u`",
                "CREATE TEMPORARY TABLE tt (a INT)",
                "INSERT INTO i1 VALUES (23 + LEFT(UUID(), 0))",
                "ROLLBACK TO `T U`",
                "INSERT INTO i1 VALUES (24 + LEFT(UUID(), 0))",
                "ROLLBACK TO s",
                "INSERT INTO i1 VALUES (25 + LEFT(UUID(), 0))",
                "DROP TEMPORARY TABLE tt",
                "COMMIT",
                "BEGIN",
                "INSERT INTO i1 VALUES (26 + LEFT(UUID(), 0))",
                "CREATE TEMPORARY TABLE tt SELECT 1 AS a",
                "ROLLBACK",
                "SET binlog_format = ROW",
                // One that is too large to wait.
                "BEGIN",
                "INSERT INTO i1 VALUES (31)",
                MANY,
                "INSERT INTO i1 VALUES (32)",
                "COMMIT",
                "INSERT INTO i1 VALUES (41)",
            ],
        );
        let small: Vec<String> = drawn(&messages).into_iter().filter(|text| !text.contains(" big ")).collect();
        let i1 = |id: i32| format!("Insert i1 id={id}");
        let m1 = |id: i32| format!("Insert m1 id={id}");
        assert_eq!(small, [i1(6), m1(1), i1(11), i1(13), m1(2), i1(21), i1(25), i1(31), i1(32), i1(41)], "{options}");
        let order: Vec<&str> = messages.iter().map(|message| message.table.as_str()).collect();
        let first_big = order.iter().position(|table| *table == "big").expect("it came");
        assert_eq!(order.iter().rposition(|table| *table == "big"), Some(first_big + 11));
        assert_eq!(messages[first_big - 1].data.get("id").map(String::as_str), Some("31"));
    }
}

/// A transaction that was sent before its end, being too large to wait, and is rolled back all the same.
#[test]
fn a_large_transaction_that_the_oldest_has_rolled_back_stops_the_task() {
    let Some((servers, _)) = Servers::with_oldest() else { return };
    let private = Private::up(&["mysql-5.6"], WITHOUT_GTIDS);
    let mut world = World::new("old_large_undone", private.oldest(), &servers.kafka);
    make_tables(&mut world);
    let task = world.task_of_one_topic("");
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("reading the binlog");
    for statement in ["BEGIN", MANY, "CREATE TEMPORARY TABLE tt (a INT)", "DROP TEMPORARY TABLE tt", "ROLLBACK"] {
        world.mysql.run(statement);
    }
    let ended = engine.wait();
    for words in ["a transaction with rows of captured tables ends with a rollback", "begin again with a full load"] {
        assert!(ended.output.contains(words), "{words:?} is not in\n{}", ended.output);
    }
}

/// Before 5.7, an XA transaction is logged with its commit, as any other: whenever it was prepared, its rows come.
#[test]
fn xa_transactions_of_the_oldest_come_with_their_commit() {
    let Some((servers, _)) = Servers::with_oldest() else { return };
    for (test, options) in [("old_xa_gtid", ""), ("old_xa_nogtid", WITHOUT_GTIDS)] {
        let private = Private::up(&["mysql-5.6"], options);
        let mut world = World::new(test, private.oldest(), &servers.kafka);
        make_tables(&mut world);
        let prepare = |xid: &str, id: i32| {
            let mut session = Mysql::connect(private.oldest());
            session.run(format!("USE {}", world.database));
            session.run(format!("XA START '{xid}'"));
            session.run(format!("INSERT INTO i1 VALUES ({id})"));
            session.run(format!("XA END '{xid}'"));
            session.run(format!("XA PREPARE '{xid}'"));
            session
        };
        let task = world.task_of_one_topic("");
        let mut before = prepare("before", 1);
        let mut during = prepare("during", 2);
        let mut undone = prepare("undone", 3);
        let mut reader = Reader::new(&world.kafka, vec![world.database.clone()]);
        let mut messages = Vec::new();
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |message| messages.push(message));
        before.run("XA COMMIT 'before'");
        world.until_marker(&mut engine, &mut reader, |message| messages.push(message));
        let ended = engine.terminate(libc::SIGTERM);
        // Those that are left when the task begins may be of a server that has died, which never logs them.
        assert!(ended.output.contains("one that was when the server died"), "{}", ended.output);
        assert!(!ended.output.contains("will stop it"), "{}", ended.output);
        during.run("XA COMMIT 'during'");
        undone.run("XA ROLLBACK 'undone'");
        let engine = Tidegate::run(&task);
        world.finish(engine, &mut reader, |message| messages.push(message));
        messages.retain(|message| message.table == "i1");
        assert_eq!(drawn(&messages), ["Insert i1 id=1", "Insert i1 id=2"], "{test}");
    }
}
