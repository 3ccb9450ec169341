//! A server whose history has begun anew, or has lost its end, is noticed, whatever numbers come again.
//!
//! ```text
//!   binlog.000001 ──● task ──► … never read again          RESET BINARY LOGS AND GTIDS
//!   binlog.000001 ─────● same file, same offset, same GTIDs, other rows
//! ```

use super::failover::{replicate_from, wait_until_replicated};
use super::harness::world::mysql_source;
use super::harness::{Mysql, Private, Reader, Servers, TaskFile, Tidegate, World, wait_for};

const OTHER_HISTORY: &str = "the server's history is no longer the one that this task has read until binlog.000001:";

/// Begins the history anew. A file tells when it was made by the second, so this is not the second of the one before.
pub(crate) fn begin_anew(mysql: &mut Mysql, to: &str) {
    let now: i64 = mysql.query_one("SELECT UNIX_TIMESTAMP()");
    wait_for("the next second", || (mysql.query_one::<i64>("SELECT UNIX_TIMESTAMP()") > now).then_some(()));
    mysql.run(format!("RESET BINARY LOGS AND GTIDS {to}"));
}

/// So many that each number of ours comes again, in each file of two.
fn catch_up(world: &mut World, from: u32) {
    for id in 0..60 {
        world.mysql.run(format!("INSERT INTO marker VALUES ({})", from + id));
    }
    world.mysql.run("FLUSH BINARY LOGS");
}

/// By a start, and before it by `check`.
#[track_caller]
pub(crate) fn assert_refused(task: &TaskFile, words: &[&str]) {
    let checked = Tidegate::spawn(["check".as_ref(), task.write().as_os_str()]).wait();
    assert_eq!(checked.status.code(), Some(2), "{}", checked.output);
    assert_said(&checked.output, words);
    assert_said(&Tidegate::fails(task), words);
}

#[track_caller]
fn assert_said(output: &str, words: &[&str]) {
    for word in words.iter().chain(&["begin again with a full load"]) {
        assert!(output.contains(word), "{word:?} is not in\n{output}");
    }
}

/// A task whose position is in `binlog.000001`.
fn world_in_first_file(test: &str, mysql_url: &str, kafka: &str) -> (World, TaskFile, Reader) {
    let mut world = World::new(test, mysql_url, kafka);
    begin_anew(&mut world.mysql, "");
    let (mut task, reader) = (world.task(), world.reader([]));
    task.more = "retry: {connection: 1s, other: 1s}".to_owned();
    (world, task, reader)
}

#[test]
fn a_history_that_begins_anew_is_noticed() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "");
    a_stopped_task_notices_it(&private, &servers);
    a_running_task_notices_it(&private, &servers);
}

fn a_stopped_task_notices_it(private: &Private, servers: &Servers) {
    for (test, mysql_url) in [("anew_gtid", private.mysql()), ("anew_nogtid", private.mysql_nogtid())] {
        let has_gtids = test == "anew_gtid";
        let (mut world, task, mut reader) = world_in_first_file(test, mysql_url, &servers.kafka);
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |_| {});
        engine.terminate(libc::SIGTERM);
        let executed: String = world.mysql.query_one("SELECT @@GLOBAL.gtid_executed");

        begin_anew(&mut world.mysql, "");
        assert_refused(&task, &[OTHER_HISTORY, "its binlog.000001 was made at", "RESET BINARY LOGS AND GTIDS"]);
        catch_up(&mut world, 100);
        assert_refused(&task, &[OTHER_HISTORY, "its binlog.000001 was made at"]);
        // As if our file had been purged.
        world.purge_binlog();
        let gone = "are no longer on the server";
        assert_refused(&task, &[gone]);
        begin_anew(&mut world.mysql, "TO 7");
        let first_word = if has_gtids { OTHER_HISTORY } else { gone };
        assert_refused(&task, &[first_word, "its binlog files are binlog.000007 to binlog.000007"]);
        // A task that has read nothing has no GTID that could be missing.
        begin_anew(&mut world.mysql, "");
        let more = "full_load: false".to_owned();
        let fresh = TaskFile { state: world.path("fresh"), more, accept: "non_empty_topics", ..task.clone() };
        let mut engine = Tidegate::run(&fresh);
        engine.wait_for_line("reading the binlog");
        engine.terminate(libc::SIGTERM);
        world.mysql.run("INSERT INTO marker VALUES (200)");
        begin_anew(&mut world.mysql, "");
        world.mysql.run("INSERT INTO marker VALUES (201)");
        assert_refused(&fresh, &[OTHER_HISTORY, "its binlog.000001 was made at"]);
        begin_anew(&mut world.mysql, "TO 7");
        // Somebody says that nothing is missing.
        if has_gtids {
            world.mysql.run(format!("SET GLOBAL gtid_purged = '{}'", executed.replace('\n', "")));
            world.finish(Tidegate::run(&task), &mut reader, |_| {});
        }
    }
}

/// The dump goes on as if nothing had happened: nothing comes, or rows are left out.
fn a_running_task_notices_it(private: &Private, servers: &Servers) {
    // The next file of that number is another history's; or nothing ever comes again.
    let next_file = &["INSERT INTO marker VALUES (100)", "FLUSH BINARY LOGS", "INSERT INTO marker VALUES (101)"][..];
    for (test, mysql_url, heartbeat_s, statements) in [
        ("under_gtid", private.mysql(), 3600, next_file),
        ("under_nogtid", private.mysql_nogtid(), 3600, next_file),
        ("quiet", private.mysql(), 1, &[]),
    ] {
        let (mut world, mut task, mut reader) = world_in_first_file(test, mysql_url, &servers.kafka);
        task.more = format!("incremental: {{heartbeat_s: {heartbeat_s}}}");
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |_| {});
        begin_anew(&mut world.mysql, "");
        for statement in statements {
            world.mysql.run(*statement);
        }
        let ended = engine.wait();
        assert!(!ended.status.success());
        assert_said(&ended.output, &[OTHER_HISTORY, "its binlog.000001 was made at"]);
        assert_refused(&task, &[OTHER_HISTORY]);
    }
}

/// Files that follow each other are no other history, whether they end well or in a crash; nor are those that are purged. Then
/// a crash takes the end of the binlog, as `sync_binlog = 0` allows; what comes then has the same numbers.
#[test]
fn files_that_follow_each_other_are_one_history_unless_an_end_is_lost() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "");
    for (test, server, mysql_url) in
        [("files_gtid", "mysql", private.mysql()), ("files_nogtid", "mysql-nogtid", private.mysql_nogtid())]
    {
        let (mut world, task, mut reader) = world_in_first_file(test, mysql_url, &servers.kafka);
        let mut task = TaskFile { more: "incremental: {heartbeat_s: 1}".to_owned(), ..task };
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |_| {});
        world.mysql.run("FLUSH BINARY LOGS");
        world.until_marker(&mut engine, &mut reader, |_| {});
        private.kill(server);
        private.start(server);
        world.reconnect();
        world.until_marker(&mut engine, &mut reader, |_| {});
        engine.terminate(libc::SIGTERM);
        // Behind the task's back; and what it has read may go.
        world.mysql.run("FLUSH BINARY LOGS");
        task.more.clear();
        let mut engine = Tidegate::run(&task);
        world.until_marker(&mut engine, &mut reader, |_| {});
        let purge = |world: &mut World| {
            let (file, size, ..): (String, u64, String, String, String) =
                world.mysql.query_one("SHOW BINARY LOG STATUS");
            world.mysql.run(format!("PURGE BINARY LOGS TO '{file}'"));
            (file, size)
        };
        let (mut file, mut size) = purge(&mut world);
        world.finish(engine, &mut reader, |_| {});
        if server == "mysql" {
            world.mysql.run("FLUSH BINARY LOGS");
            (file, size) = purge(&mut world);
            world.finish(Tidegate::run(&task), &mut reader, |_| {});
        }

        private.kill(server);
        let binlog = std::fs::OpenOptions::new().write(true).open(private.data(server).join(&file));
        binlog.expect("the binlog").set_len(size).expect("a shorter binlog");
        private.start(server);
        world.reconnect();
        catch_up(&mut world, 100);
        assert_refused(&task, &[&format!("the server's binlog ends before {file}:"), &format!("has {size} bytes")]);
    }
}

/// After a failover only GTIDs count: those of others are waited for, a server's own are not.
#[test]
fn a_server_that_lacks_its_own_transactions_is_not_waited_for() {
    let Some(servers) = Servers::from_env() else { return };
    let first = Private::up(&["mysql-gtid"], "");
    let second = Private::up(&["mysql-gtid"], "--server-id=11 --log-bin=other --log-replica-updates=ON");
    let mut world = World::new("own", first.mysql(), &servers.kafka);
    let mut replica = Mysql::connect(second.mysql());
    replica.run(replicate_from(first.mysql()));
    replica.run("START REPLICA");
    let (task, mut reader) = (world.task(), world.reader([]));
    let task = TaskFile { more: "retry: {connection: 1s, other: 1s}".to_owned(), ..task };
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| {});
    engine.terminate(libc::SIGTERM);
    wait_until_replicated(&mut world.mysql, &mut replica);
    replica.run("STOP REPLICA");
    let uuids: [String; 2] = [&mut world.mysql, &mut replica].map(|mysql| mysql.query_one("SELECT @@server_uuid"));

    // Here it reads something new.
    world.mysql_url = second.mysql().to_owned();
    world.reconnect();
    let on_second = TaskFile { source: mysql_source(second.mysql(), "tide", "tide"), ..task.clone() };
    let mut engine = Tidegate::run(&on_second);
    world.until_marker(&mut engine, &mut reader, |_| {});
    engine.terminate(libc::SIGTERM);

    // The first one has not got that; it has begun its files anew, and has what it had.
    let mut first = Mysql::connect(first.mysql());
    let executed: String = first.query_one("SELECT @@GLOBAL.gtid_executed");
    begin_anew(&mut first, "");
    first.run(format!("SET GLOBAL gtid_purged = '{executed}'"));
    let output = Tidegate::fails(&task);
    assert_said(&output, &["lacks transactions", &format!("has not executed {}:", uuids[1])]);
    // It has lost one of its own, and would be given it back.
    begin_anew(&mut first, "");
    let (numbers, last) = executed.rsplit_once('-').expect("a range");
    let last: u64 = last.parse().expect("a number");
    first.run(format!("SET GLOBAL gtid_purged = '{numbers}-{}'", last - 1));
    let output = Tidegate::fails(&task);
    let own = format!("{0} does not have {0}:{last}, which it has numbered itself", uuids[0]);
    assert_said(&output, &["the server's history is no longer the one", &own]);
}
