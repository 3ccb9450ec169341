//! Rows of XA transactions wait for their outcome, whatever happens to the task meanwhile.
//!
//! On servers of the tests' own: a task that begins while a transaction is prepared would be stopped by its commit.

use std::collections::BTreeMap;

use super::harness::world::mysql_source;
use super::harness::{Message, Mysql, Private, Servers, Tidegate, World};

/// More than what waits in memory, and more than what once was the most that could wait.
const ROWS: usize = 4500;
const ROW_BYTES: usize = 20_000;
const BUDGET_KIB: u64 = 512 << 10;

/// Prepared in a session of its own, since in MariaDB it keeps the session for itself. It is ended there, too: in the moment in which that
/// session goes away, MariaDB loses rows of whom another ends.
pub(super) struct Prepared {
    session: Mysql,
    xid: String,
}

impl Prepared {
    pub(super) fn new(world: &World, xid: &str, statements: &[String]) -> Prepared {
        let mut session = session(world);
        session.run(format!("XA START '{xid}'"));
        for statement in statements {
            session.run(statement);
        }
        session.run(format!("XA END '{xid}'"));
        session.run(format!("XA PREPARE '{xid}'"));
        Prepared { session, xid: xid.to_owned() }
    }

    pub(super) fn end(mut self, outcome: &str) {
        self.session.run(format!("XA {outcome} '{}'", self.xid));
    }
}

fn session(world: &World) -> Mysql {
    let mut session = Mysql::connect(&world.mysql_url);
    session.run(format!("USE {}", world.database));
    let depth = if session.is_mariadb() { "max_recursive_iterations" } else { "cte_max_recursion_depth" };
    session.run(format!("SET SESSION {depth} = 1000000"));
    session
}

/// The servers of a test, each with a name.
pub(super) fn servers_of(private: &Private) -> [(&'static str, &str); 3] {
    [("gtid", private.mysql()), ("nogtid", private.mysql_nogtid()), ("maria", private.mariadb())]
}

fn insert(table: &str, ids: std::ops::RangeInclusive<usize>) -> String {
    let (first, last) = (ids.start(), ids.end());
    format!(
        "INSERT INTO {table} WITH RECURSIVE n (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM n WHERE n < {last}) \
         SELECT n, REPEAT('x', {ROW_BYTES}) FROM n"
    )
}

/// How often each id came.
#[derive(Default)]
struct Ids(BTreeMap<usize, usize>);

impl Ids {
    fn take(&mut self, message: &Message) {
        let id = message.data.get("id").expect("never NULL").parse().expect("a number");
        *self.0.entry(id).or_default() += 1;
    }

    #[track_caller]
    fn assert_each_once(&self, expected: impl IntoIterator<Item = usize>) {
        let expected: BTreeMap<usize, usize> = expected.into_iter().map(|id| (id, 1)).collect();
        let lost = expected.keys().filter(|id| !self.0.contains_key(id)).count();
        assert_eq!(lost, 0, "{lost} of {} rows are lost", expected.len());
        let other: Vec<_> = self.0.iter().filter(|&(id, count)| expected.get(id) != Some(count)).take(10).collect();
        assert!(other.is_empty(), "repeated or never true: {other:?}");
    }
}

/// Stopped while its rows are being read, or wait: they all come, once, and take no more memory than there is.
#[test]
fn a_large_xa_transaction_is_cut_by_a_stop() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql", "mariadb"], "");
    for (server, mysql_url) in servers_of(&private) {
        let test = &format!("xa_cut_{server}");
        let mut world = World::new(test, mysql_url, &servers.kafka);
        world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY, content TEXT)");
        world.begin_binlog_file();
        let mut task = world.task();
        task.more = "memory: 512MiB".to_owned();
        let mut reader = world.reader(["orders"]);
        let mut ids = Ids::default();
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |message| ids.take(&message));
        let large = Prepared::new(&world, "large", &[insert("orders", 1..=ROWS)]);
        // Wherever it is by now.
        let first = engine.terminate(libc::SIGTERM);
        let mut engine = Tidegate::run(&task);
        world.until_marker(&mut engine, &mut reader, |message| ids.take(&message));
        assert!(ids.0.is_empty(), "nothing is true yet");
        large.end("COMMIT");
        // Somewhere among the rows.
        let mut count = 0;
        reader.until(&mut engine, "some rows", |message| {
            if message.table == "orders" {
                ids.take(&message);
                count += 1;
            }
            count == 100
        });
        let second = engine.terminate(libc::SIGTERM);
        world.mysql.run(insert("orders", ROWS + 1..=ROWS + 1));
        let third = world.finish(Tidegate::run(&task), &mut reader, |message| ids.take(&message));
        ids.assert_each_once(1..=ROWS + 1);
        let peaks = [first, second, third].map(|ended| ended.peak_kib);
        println!("{test}: peaks {peaks:?} KiB");
        assert!(peaks.iter().all(|peak| *peak <= BUDGET_KIB), "peaks {peaks:?} KiB");
    }
}

/// Several at once, committed and rolled back in another order, over stops and kills; one without rows of captured tables is
/// nobody's business.
#[test]
fn several_xa_transactions_outlive_restarts() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql", "mariadb"], "");
    for (server, mysql_url) in servers_of(&private) {
        let test = &format!("xa_several_{server}");
        let mut world = World::new(test, mysql_url, &servers.kafka);
        world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY, content TEXT)");
        world.mysql.run("CREATE TABLE unseen (id INT PRIMARY KEY, content TEXT)");
        world.begin_binlog_file();
        let mut task = world.task();
        task.tables = format!("[{0}.orders, {0}.marker]", world.database);
        let mut reader = world.reader(["orders"]);
        let mut ids = Ids::default();
        let mut take = |message: Message| ids.take(&message);
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, &mut take);
        let mut sql = session(&world);
        let [a, b, without] = [
            ("a", &[insert("orders", 1..=3), insert("unseen", 1..=1), insert("orders", 4..=5)][..]),
            ("b", &[insert("orders", 11..=12)]),
            ("without", &[insert("unseen", 2..=3)]),
        ]
        .map(|(xid, statements)| Prepared::new(&world, xid, statements));
        world.until_marker(&mut engine, &mut reader, &mut take);
        engine.terminate(libc::SIGTERM);

        let c = Prepared::new(&world, "c", &[insert("orders", 21..=22)]);
        sql.run(insert("orders", 31..=31));
        sql.run("FLUSH BINARY LOGS");
        b.end("COMMIT");
        let mut engine = Tidegate::run(&task);
        world.until_marker(&mut engine, &mut reader, &mut take);
        engine.terminate(libc::SIGTERM);

        without.end("COMMIT");
        a.end("ROLLBACK");
        // The identifier is used again.
        let a = Prepared::new(&world, "a", &[insert("orders", 41..=42)]);
        let mut engine = Tidegate::run(&task);
        world.until_marker(&mut engine, &mut reader, &mut take);
        engine.terminate(libc::SIGTERM);

        a.end("COMMIT");
        c.end("COMMIT");
        // Of the first that is prepared under its identifier, no outcome is logged. MariaDB keeps the session from that.
        let mut d = Prepared::new(&world, "d", &[insert("orders", 51..=51)]);
        if server != "maria" {
            d.session.run("SET sql_log_bin = 0");
        }
        d.end("ROLLBACK");
        Prepared::new(&world, "d", &[insert("unseen", 4..=4)]).end("COMMIT");
        let engine = Tidegate::run(&task);
        world.finish(engine, &mut reader, &mut take);
        ids.assert_each_once([11, 12, 21, 22, 31, 41, 42]);
    }
}

/// A table that came without a trace is loaded where reading has come to the end. It does not wait for an XA COMMIT that may never come.
#[test]
fn a_table_is_taken_up_beside_a_prepared_transaction() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql", "mariadb"], "");
    for (server, mysql_url) in servers_of(&private) {
        let test = &format!("xa_taken_up_{server}");
        let mut world = World::new(test, mysql_url, &servers.kafka);
        world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY, content TEXT)");
        world.begin_binlog_file();
        let task = world.task();
        let mut reader = world.reader(["orders", "restored"]);
        let mut ids = Ids::default();
        let mut take = |message: Message| ids.take(&message);
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, &mut take);
        engine.terminate(libc::SIGTERM);
        let mut sql = session(&world);
        let a = Prepared::new(&world, "a", &[insert("orders", 1..=3)]);
        sql.run("SET sql_log_bin = 0");
        sql.run("CREATE TABLE restored (id INT PRIMARY KEY, content TEXT) SELECT 11 AS id, 'x' AS content");
        sql.run("SET sql_log_bin = 1");
        let mut engine = Tidegate::run(&task);
        engine.wait_for_line("it has rows that were never sent");
        world.until_marker(&mut engine, &mut reader, &mut take);
        sql.run("INSERT INTO restored VALUES (12, 'y')");
        a.end("COMMIT");
        world.finish(engine, &mut reader, &mut take);
        ids.assert_each_once([1, 2, 3, 11, 12]);
    }
}

/// Killed with transactions prepared, at whatever point: what was in flight may come again, and nothing is lost.
#[test]
fn killed_with_xa_transactions_prepared() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql", "mariadb"], "");
    for (server, mysql_url) in servers_of(&private) {
        let test = &format!("xa_kill_{server}");
        let mut world = World::new(test, mysql_url, &servers.kafka);
        world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY, content TEXT)");
        world.begin_binlog_file();
        let mut task = world.task();
        task.more = "incremental: {window_rows: 3}".to_owned();
        let mut reader = world.reader(["orders"]);
        let mut ids = Ids::default();
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |message| ids.take(&message));
        let mut sql = session(&world);
        let mut expected = Vec::new();
        let mut before: Option<Prepared> = None;
        for round in 0..6 {
            let base = 1000 * (round + 1);
            let prepared = Prepared::new(&world, &format!("x{round}"), &[insert("orders", base..=base + 20)]);
            sql.run(insert("orders", base + 100..=base + 120));
            if let Some(before) = before.replace(prepared) {
                // That of the round before, over a kill; every third was not to be.
                let outcome = if round % 3 == 0 { "ROLLBACK" } else { "COMMIT" };
                before.end(outcome);
                if outcome == "COMMIT" {
                    expected.extend(base - 1000..=base - 1000 + 20);
                }
            }
            expected.extend(base + 100..=base + 120);
            let mut left = 10 * round;
            reader.until(&mut engine, "some rows of this round", |message| {
                let is_row = message.table == "orders";
                if is_row {
                    ids.take(&message);
                }
                left = left.saturating_sub(1);
                left == 0 && is_row
            });
            engine.kill_9();
            engine = Tidegate::run(&task);
        }
        before.expect("that of the last round").end("COMMIT");
        expected.extend(6000..=6020);
        world.finish(engine, &mut reader, |message| ids.take(&message));
        let missing: Vec<&usize> = expected.iter().filter(|id| !ids.0.contains_key(id)).collect();
        assert!(missing.is_empty(), "{test}: {} rows are lost: {missing:?}", missing.len());
        assert_eq!(ids.0.len(), expected.len(), "{test}: rows of a rollback");
    }
}

/// Where XA transactions are in use, some are prepared whenever a task begins: it waits for them, and their rows are there.
#[test]
fn a_task_waits_for_what_is_prepared_when_it_begins() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql", "mariadb"], "");
    for (server, mysql_url) in servers_of(&private) {
        let test = &format!("xa_begin_{server}");
        for full_load in ["full_load: {parallel: 4}", "full_load: false"] {
            let mut world = World::new(test, mysql_url, &servers.kafka);
            world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY, content TEXT)");
            world.begin_binlog_file();
            let mut task = world.task();
            task.source = mysql_source(mysql_url, "admin", "admin");
            task.more = full_load.to_owned();
            let mut reader = world.reader(["orders"]);
            let mut ids = Ids::default();
            let early = Prepared::new(&world, "early", &[insert("orders", 1..=3)]);
            // Its file is not the one in which the task begins.
            world.mysql.run("FLUSH BINARY LOGS");
            let mut engine = Tidegate::run(&task);
            engine.wait_for_line("waiting for prepared XA transactions");
            early.end("COMMIT");
            engine.wait_for_line("reading the binlog");
            world.mysql.run(insert("orders", 4..=4));
            let ended = world.finish(engine, &mut reader, |message| ids.take(&message));
            // Older than a task that only follows.
            let expected = if full_load == "full_load: {parallel: 4}" { 1..=4 } else { 4..=4 };
            ids.assert_each_once(expected);
            assert!(!ended.output.contains("will stop it"), "{}", ended.output);
        }
        // One that stays is told of, unless whoever runs the task says that it is known.
        let mut world = World::new(test, mysql_url, &servers.kafka);
        world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY, content TEXT)");
        let stays = Prepared::new(&world, "stays", &[insert("orders", 1..=1)]);
        let mut task = world.task();
        task.source = mysql_source(mysql_url, "admin", "admin");
        for (more, is_told) in [("", true), ("\nprecheck: {ignore: [prepared_xa]}", false)] {
            task.more = format!("full_load: false{more}");
            task.state = world.path(&format!("state-{is_told}"));
            let mut engine = Tidegate::run(&task);
            engine.wait_for_line("reading the binlog");
            let ended = engine.terminate(libc::SIGTERM);
            let told =
                ["XA transactions have been prepared since before", "XA transactions are prepared: the rows of one"];
            assert_eq!(told.iter().any(|told| ended.output.contains(told)), is_told, "{}", ended.output);
        }
        stays.end("ROLLBACK");
    }
}
