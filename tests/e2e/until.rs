//! A run that ends by itself: everything up to there, and nothing behind it.

use std::ffi::OsString;

use super::harness::http::Http;
use super::harness::source_state::{Format, rows_of};
use super::harness::state::State;
use super::harness::tables;
use super::harness::writers::Writers;
use super::harness::{Ended, Mysql, Private, Reader, Servers, TaskFile, Tidegate, World, scaled, seeded, wait_for};
use super::snapshot::{fill_all, names};

fn start(task: &TaskFile, until: &str, more: &[&str]) -> Tidegate {
    let words = ["--until", until].into_iter().chain(more.iter().copied());
    Tidegate::spawn(task.run_arguments().into_iter().chain(words.map(OsString::from)))
}

/// Ends by itself, and well.
#[track_caller]
fn run_until(task: &TaskFile, until: &str) -> Ended {
    let ended = start(task, until, &[]).wait();
    assert!(ended.status.success(), "--until {until}: {}:\n{}", ended.status, ended.output);
    assert!(ended.output.contains("everything up to there is read, and nothing behind it"), "{}", ended.output);
    println!("--until {until}:\n{}", ended.output);
    ended
}

#[track_caller]
fn refused(task: &TaskFile, until: &str, words: &str) {
    let ended = start(task, until, &[]).wait();
    assert_eq!(ended.status.code(), Some(1), "--until {until}:\n{}", ended.output);
    assert!(ended.output.contains(words), "{words}:\n{}", ended.output);
}

/// What has come since the last call.
fn ids(reader: &mut Reader) -> Vec<u64> {
    let mut ids = Vec::new();
    reader.read_to_end(|message| {
        if message.table == "t" {
            ids.push(message.data.get("id").expect("a key").parse().expect("a number"));
        }
    });
    ids
}

/// Where the binlog ends: file and offset, and the GTIDs.
struct Here {
    file: String,
    offset: u64,
    gtids: String,
}

impl Here {
    fn of(mysql: &mut Mysql) -> Here {
        let statement = if mysql.is_mariadb() { "SHOW MASTER STATUS" } else { "SHOW BINARY LOG STATUS" };
        let row: mysql_async::Row = mysql.query_one(statement);
        let gtids = match mysql.is_mariadb() {
            true => mysql.query_one("SELECT @@gtid_binlog_pos"),
            false => mysql.query_one::<String>("SELECT @@gtid_executed").replace('\n', ""),
        };
        Here { file: row.get(0).expect("a file"), offset: row.get(1).expect("an offset"), gtids }
    }

    fn place(&self, more: u64) -> String {
        format!("{}:{}", self.file, self.offset + more)
    }
}

/// The server's time, as `--until` takes it.
fn now(mysql: &mut Mysql) -> String {
    mysql.query_one("SELECT DATE_FORMAT(UTC_TIMESTAMP(), '%Y-%m-%dT%H:%i:%sZ')")
}

fn until_later(mysql: &mut Mysql, time: &str) {
    wait_for("the server's next second", || (now(mysql).as_str() > time).then_some(()));
}

/// A test of its name, the URL of the server, the brokers.
type OfServer = fn(&str, &str, &str);

/// On a MySQL of its own, with and without GTIDs.
fn on_mysql(test: &str, ends: OfServer) {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "");
    ends(test, private.mysql(), &servers.kafka);
    ends(&format!("{test}_nogtid"), private.mysql_nogtid(), &servers.kafka);
}

fn on_mariadb(test: &str, ends: OfServer) {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    let private = Private::up(&["mariadb"], "");
    ends(&format!("{test}_mariadb"), private.mariadb(), &servers.kafka);
}

fn world_of_t(test: &str, mysql_url: &str, kafka: &str) -> (World, TaskFile, Reader) {
    let mut world = World::new(test, mysql_url, kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO t VALUES (1), (2), (3)");
    world.begin_binlog_file();
    let task = world.task_of_one_topic("");
    let reader = Reader::new(&world.kafka, vec![world.database.clone()]);
    (world, task, reader)
}

fn ends_at_places(test: &str, mysql_url: &str, kafka: &str, has_gtids: bool) {
    let (mut world, task, mut reader) = world_of_t(test, mysql_url, kafka);
    run_until(&task, "now");
    let mut loaded = ids(&mut reader);
    loaded.sort();
    assert_eq!(loaded, [1, 2, 3], "{test}");
    let begin = Here::of(&mut world.mysql);
    world.mysql.run("INSERT INTO t VALUES (4), (5)");
    let first = Here::of(&mut world.mysql);
    world.mysql.run("BEGIN");
    world.mysql.run("INSERT INTO t VALUES (6)");
    world.mysql.run("INSERT INTO t VALUES (7)");
    world.mysql.run("COMMIT");
    let second = Here::of(&mut world.mysql);
    world.mysql.run("FLUSH BINARY LOGS");
    world.mysql.run("INSERT INTO t VALUES (8)");
    let third = Here::of(&mut world.mysql);
    world.mysql.run("FLUSH BINARY LOGS");
    world.mysql.run("INSERT INTO t VALUES (9)");

    run_until(&task, &first.place(0));
    assert_eq!(ids(&mut reader), [4, 5], "{test}");
    // What is done is done; a transaction of which only the begin lies before the place is not sent.
    run_until(&task, &first.place(0));
    let ended = run_until(&task, &first.place(10));
    assert!(ended.output.contains("no transaction ends there"), "{}", ended.output);
    assert_eq!(ids(&mut reader), [0; 0], "{test}");
    refused(&task, &begin.place(0), "the task has gone past it");
    if has_gtids {
        run_until(&task, &second.gtids);
        assert_eq!(ids(&mut reader), [6, 7], "{test}");
        run_until(&task, &second.gtids);
        refused(&task, &first.gtids, "the task has gone past it");
    } else {
        refused(&task, "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-20", "the server has no GTIDs");
        run_until(&task, &second.place(0));
        assert_eq!(ids(&mut reader), [6, 7], "{test}");
    }
    run_until(&task, &third.place(0));
    assert_eq!(ids(&mut reader), [8], "{test}");
    refused(&task, "nowhere.000001:4", "the server has no nowhere.000001");
    refused(&task, &format!("{}:4294967295", third.file), "on the server");
    // Nothing is lost, and nothing comes again.
    let engine = Tidegate::run(&task);
    let mut rest = Vec::new();
    world.finish(engine, &mut reader, |message| rest.push(message.data.get("id").cloned().expect("a key")));
    assert_eq!(rest, ["9"], "{test}");
    run_until(&task, "now");
    assert_eq!(ids(&mut reader), [0; 0], "{test}");
}

#[test]
fn a_run_ends_at_a_place() {
    let Some(servers) = Servers::from_env() else { return };
    ends_at_places("until_gtid", &servers.mysql, &servers.kafka, true);
    ends_at_places("until_nogtid", &servers.mysql_nogtid, &servers.kafka, false);
}

#[test]
fn a_run_ends_at_a_place_of_mariadb() {
    let Some((servers, mariadb)) = Servers::with_mariadb() else { return };
    for url in mariadb {
        ends_at_places("until_mariadb", &url, &servers.kafka, true);
    }
}

/// By the clock of the server: at the first transaction that is later, or once it has passed and nothing is left.
fn ends_at_times(test: &str, mysql_url: &str, kafka: &str) {
    let (mut world, task, mut reader) = world_of_t(test, mysql_url, kafka);
    // Older than the task: its load shows more, and is the end.
    let before = now(&mut world.mysql);
    until_later(&mut world.mysql, &before);
    let ended = run_until(&task, &before);
    assert!(ended.output.contains("lies before what the full load will show"), "{}", ended.output);
    assert_eq!(ids(&mut reader).len(), 3, "{test}");
    world.mysql.run("INSERT INTO t VALUES (4)");
    let time = now(&mut world.mysql);
    until_later(&mut world.mysql, &time);
    world.mysql.run("INSERT INTO t VALUES (5)");
    run_until(&task, &time);
    assert_eq!(ids(&mut reader), [4], "{test}");
    run_until(&task, &time.replace('Z', "+00:00"));
    assert_eq!(ids(&mut reader), [0; 0], "{test}");
    // A time that is to come, on a server where nothing happens.
    let later: String =
        world.mysql.query_one("SELECT DATE_FORMAT(UTC_TIMESTAMP() + INTERVAL 2 SECOND, '%Y-%m-%dT%H:%i:%sZ')");
    run_until(&task, &later);
    assert_eq!(ids(&mut reader), [5], "{test}");
    assert!(now(&mut world.mysql) > later, "{test}");
    refused(&task, &time, "the task has gone past it");
    refused(&task, "2026-11-28T10:00:00", "the zone is missing: write 2026-11-28T10:00:00Z");
}

#[test]
fn a_run_ends_at_a_time() {
    on_mysql("until_time", ends_at_times);
}

#[test]
fn a_run_ends_at_a_time_of_mariadb() {
    on_mariadb("until_time", ends_at_times);
}

/// A load, then places in the midst of what writers do: topics hold what the source held there, whatever was killed on the way.
fn ends_amid_writers(test: &str, mysql_url: &str, kafka: &str) {
    let mut rng = seeded(test);
    let mut world = World::new(test, mysql_url, kafka);
    let targets = fill_all(&mut world, &mut rng, scaled(20_000));
    let mut task = world.task();
    task.format = "{canal_json: {profile: dts}}".to_owned();
    task.more = "full_load: {parallel: 2, chunk_rows: 500}\nincremental: {window_rows: 100}".to_owned();
    let writers = Writers::start(4, mysql_url, &world.database, &targets, &mut rng);
    writers.allow(3000);
    let mut reader = world.reader(names());
    let mut state = State::new(tables::ALL);
    // In the midst of the load, and behind it.
    for messages in [rng.u32(1..5000), rng.u32(5000..15_000)] {
        let mut engine = start(&task, "now", &[]);
        let mut left = messages;
        wait_for("a moment to kill", || {
            reader.poll(|message| {
                state.apply(&message);
                left -= 1;
                left > 0
            });
            (left == 0 || engine.has_ended()).then_some(())
        });
        engine.kill_9();
    }
    run_until(&task, "now");
    for round in 0..3 {
        writers.allow(1000);
        writers.let_commit(500);
        if round < 2 {
            run_until(&task, "now");
        }
    }
    writers.stop();
    let place = Here::of(&mut world.mysql);
    let there: Vec<_> =
        tables::ALL.iter().map(|table| (*table, rows_of(&mut world.mysql, table, Format::Dts))).collect();
    let writers = Writers::start(4, mysql_url, &world.database, &targets, &mut rng);
    writers.let_commit(300);
    let mut engine = start(&task, &place.place(0), &[]);
    let mut left = rng.u32(1..300);
    wait_for("another moment", || {
        reader.poll(|message| {
            state.apply(&message);
            left -= 1;
            left > 0
        });
        (left == 0 || engine.has_ended()).then_some(())
    });
    engine.kill_9();
    run_until(&task, &place.place(0));
    writers.stop();
    reader.read_to_end(|message| state.apply(&message));
    state.assert_no_violations();
    for (table, rows) in &there {
        state.assert_equals(table, rows);
    }
    run_until(&task, "now");
    reader.read_to_end(|message| state.apply(&message));
    super::snapshot::assert_equals_source(&mut world, &state, Format::Dts);
    println!("{test}: {} messages", reader.count());
}

#[test]
fn a_run_ends_amid_writers_with_gtids() {
    let Some(servers) = Servers::from_env() else { return };
    ends_amid_writers("until_writers", &servers.mysql, &servers.kafka);
}

#[test]
fn a_run_ends_amid_writers_without_gtids() {
    let Some(servers) = Servers::from_env() else { return };
    ends_amid_writers("until_writers_nogtid", &servers.mysql_nogtid, &servers.kafka);
}

#[test]
fn a_run_ends_amid_writers_on_mariadb() {
    let Some((servers, [mariadb, _])) = Servers::with_mariadb() else { return };
    ends_amid_writers("until_writers_mariadb", &mariadb, &servers.kafka);
}

/// What is prepared is not sent, and not lost; it keeps no run from its end.
fn ends_beside_xa(test: &str, mysql_url: &str, kafka: &str) {
    let (mut world, task, mut reader) = world_of_t(test, mysql_url, kafka);
    run_until(&task, "now");
    assert_eq!(ids(&mut reader).len(), 3, "{test}");
    let mut sql = Mysql::connect(mysql_url);
    sql.run(format!("USE {}", world.database));
    for statement in ["XA START 'x'", "INSERT INTO t VALUES (4)", "XA END 'x'", "XA PREPARE 'x'"] {
        sql.run(statement);
    }
    world.mysql.run("INSERT INTO t VALUES (5)");
    let place = Here::of(&mut world.mysql);
    sql.run("XA COMMIT 'x'");
    run_until(&task, &place.place(0));
    assert_eq!(ids(&mut reader), [5], "{test}");
    run_until(&task, &place.place(0));
    assert_eq!(ids(&mut reader), [0; 0], "{test}");
    run_until(&task, "now");
    assert_eq!(ids(&mut reader), [4], "{test}");
}

#[test]
fn a_run_ends_beside_prepared_transactions() {
    on_mysql("until_xa", ends_beside_xa);
}

#[test]
fn a_run_ends_beside_prepared_transactions_of_mariadb() {
    on_mariadb("until_xa", ends_beside_xa);
}

/// An end that is to come is waited for, over a pause and a dump that is killed.
#[test]
fn an_end_that_is_to_come_is_waited_for() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid"], "");
    let (mut world, mut task, mut reader) = world_of_t("until_later", private.mysql(), &servers.kafka);
    task.more = "http: 127.0.0.1:0\nincremental: {window_rows: 1}\nlimits: {rows_per_second: 1000}".to_owned();
    run_until(&task, "now");
    assert_eq!(ids(&mut reader).len(), 3);
    let (source, last) = {
        let gtids = Here::of(&mut world.mysql).gtids;
        let (source, numbers) = gtids.rsplit_once(':').expect("one source");
        (source.to_owned(), numbers.rsplit('-').next().expect("a number").parse::<u64>().expect("a number"))
    };
    let mut engine = start(&task, &format!("{source}:1-{}", last + 3), &[]);
    let http = Http::of(&mut engine);
    engine.wait_for_line("reading the binlog");
    world.mysql.run("INSERT INTO t VALUES (4)");
    let mut came = Vec::new();
    reader.until(&mut engine, "the first of them", |message| {
        came.push(message.data.get("id").cloned().expect("a key"));
        true
    });
    // That of the run before may take a while to go.
    let query = "SELECT ID FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'";
    let dump = wait_for("one dump", || <[u64; 1]>::try_from(world.mysql.query::<u64>(query)).ok());
    world.mysql.run(format!("KILL {}", dump[0]));
    assert_eq!(http.ask("POST", "/pause", &[("x-tidegate", "test")]).0, 200);
    http.until(&mut engine, "paused", |report| report["phase"] == "paused");
    for id in 5..9 {
        world.mysql.run(format!("INSERT INTO t VALUES ({id})"));
    }
    assert_eq!(http.ask("POST", "/resume", &[("x-tidegate", "test")]).0, 200);
    let ended = engine.wait();
    assert!(ended.status.success(), "{}", ended.output);
    assert_eq!(ids(&mut reader), [5, 6]);
    // Told to stop before, it goes on later.
    let mut engine = start(&task, &format!("{source}:1-{}", last + 6), &[]);
    engine.wait_for_line("reading the binlog");
    engine.terminate(libc::SIGTERM);
    world.mysql.run("INSERT INTO t VALUES (9), (10)");
    world.mysql.run("INSERT INTO t VALUES (11)");
    run_until(&task, &format!("{source}:1-{}", last + 6));
    assert_eq!(ids(&mut reader), [7, 8, 9, 10]);
}

/// A reload that was asked for is a part of the run, and so is what a gap asks for.
#[test]
fn a_run_ends_behind_its_loads() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "");
    for (test, url) in [("until_loads", private.mysql()), ("until_loads_nogtid", private.mysql_nogtid())] {
        let (mut world, task, mut reader) = world_of_t(test, url, &servers.kafka);
        run_until(&task, "now");
        assert_eq!(ids(&mut reader).len(), 3, "{test}");
        // Something of the file is delivered then.
        world.write_marker();
        run_until(&task, "now");
        let asked =
            Tidegate::spawn(["reload".into(), task.path.clone().into_os_string(), world.topic("t").into()]).wait();
        assert!(asked.status.success(), "{}", asked.output);
        let ended = run_until(&task, "now");
        let mut came = ids(&mut reader);
        came.sort();
        if test == "until_loads" {
            assert_eq!(came, [1, 2, 3], "{test}");
        } else {
            // Which lies behind the end, where the next file begins.
            assert_eq!(came, [0; 0], "{test}");
            assert!(ended.output.contains("are not loaded by this run"), "{}", ended.output);
            let mut engine = Tidegate::run(&task);
            engine.wait_for_line("tables are asked for");
            world.begin_binlog_file();
            engine.wait_for_line("full load complete");
            let ended = engine.terminate(libc::SIGTERM);
            assert!(ended.status.success(), "{}", ended.output);
            came = ids(&mut reader);
            came.sort();
            assert_eq!(came, [1, 2, 3], "{test}");
        }
        // Made without a trace in the binlog.
        for statement in [
            "SET sql_log_bin = 0",
            "CREATE TABLE u (id INT PRIMARY KEY)",
            "INSERT INTO u VALUES (1)",
            "SET sql_log_bin = 1",
        ] {
            world.mysql.run(statement);
        }
        let ended = run_until(&task, "now");
        assert!(ended.output.contains("it has rows that were never sent"), "{}", ended.output);
        for (after, expected) in [("leave", 0), ("load", 4)] {
            ids(&mut reader);
            world.mysql.run("DELETE FROM t WHERE id > 3");
            world.mysql.run("INSERT INTO t VALUES (4)");
            world.purge_binlog();
            let ended = start(&task, "now", &["--accept-gap", after]).wait();
            assert!(ended.status.success(), "{}", ended.output);
            assert_eq!(ids(&mut reader).len(), expected, "{test} {after}:\n{}", ended.output);
        }
        run_until(&task, "now");
        assert_eq!(ids(&mut reader), [0; 0], "{test}");
    }
}

/// What ends by itself has no other end.
#[test]
fn an_end_needs_changes_that_are_followed() {
    let Some(servers) = Servers::from_env() else { return };
    let (world, mut task, _) = world_of_t("until_none", &servers.mysql, &servers.kafka);
    task.more = "incremental: false".to_owned();
    refused(&task, "now", "the task follows no changes");
    task.more = "full_load: false".to_owned();
    task.state = world.path("changes");
    refused(&task, "2026-01-01T00:00:00Z", "the task has gone past it");
    run_until(&task, "now");
}

/// A server that was made from a dump has executed what was never in a file of its own: it lies before each place.
#[test]
fn a_place_lies_behind_what_a_server_was_made_from() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid"], "");
    let mut world = World::new("until_purged", private.mysql(), &servers.kafka);
    world.mysql.run("SET GLOBAL gtid_purged = '+3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5'");
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO t VALUES (1)");
    let task = world.task();
    let mut reader = world.reader(["t"]);
    run_until(&task, "now");
    world.mysql.run("INSERT INTO t VALUES (2)");
    let place = Here::of(&mut world.mysql).place(0);
    world.mysql.run("INSERT INTO t VALUES (3)");
    run_until(&task, &place);
    let mut came = ids(&mut reader);
    came.sort();
    assert_eq!(came, [1, 2]);
    // Before the first transaction of a file lies what was purged, and no more.
    let first = format!("{}:4", Here::of(&mut world.mysql).file);
    refused(&task, &first, "the task has gone past it");
    // A set that names a transaction alone means all before it as well.
    let gtids = Here::of(&mut world.mysql).gtids;
    let uuid: String = world.mysql.query_one("SELECT @@server_uuid");
    let (_, last) = gtids.split_once(&format!("{uuid}:1-")).expect("its own transactions");
    let last: u64 = last.split(',').next().and_then(|last| last.parse().ok()).expect("a number");
    run_until(&task, &format!("{uuid}:{last}"));
    assert_eq!(ids(&mut reader), [3]);
    refused(&task, &format!("{uuid}:{}", last - 1), "the task has gone past it");
}
