//! Delay is the truth: with clocks that differ, on an idle server, within a large transaction.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::harness::http::Http;
use super::harness::{Private, Servers, TaskFile, Tidegate, World, scaled, wait_for};
use super::memory::{create_digits, insert};

const HOUR_MS: i64 = 3_600_000;
/// For what a look and an answer take on a busy machine.
const LEEWAY: Duration = Duration::from_secs(20);

/// What a program takes for the time of day is off by so many seconds; what it waits by is not.
fn clock_off_by(world: &World, seconds: i64) -> PathBuf {
    let (source, library) = (world.path("clock.c"), world.path("clock.so"));
    let text = format!(
        "#define _GNU_SOURCE\n#include <sys/syscall.h>\n#include <sys/time.h>\n#include <time.h>\n#include <unistd.h>\n\
         int clock_gettime(clockid_t id, struct timespec *at) {{\n\
           int result = syscall(SYS_clock_gettime, id, at);\n\
           if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) at->tv_sec += {seconds};\n\
           return result;\n}}\n"
    );
    std::fs::write(&source, text).expect("the test's folder can be written");
    let made = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).output();
    let made = made.expect("the C compiler that the build needs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    library
}

fn world(test: &str, mysql: &str, kafka: &str, more: &str) -> (World, TaskFile) {
    let mut world = World::new(test, mysql, kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
    world.begin_binlog_file();
    let mut task = world.task();
    task.more = format!("http: 127.0.0.1:0\nincremental: {{heartbeat_s: 1}}{more}");
    (world, task)
}

fn delay_ms(report: &Value) -> Option<u64> {
    report["incremental"]["delay_ms"].as_u64()
}

fn is_caught_up(report: &Value) -> bool {
    report["phase"] == "incremental" && delay_ms(report) == Some(0)
}

/// A test on each of these servers, all at the same time: most of it is waiting.
fn on_each<T: Copy + Sync>(servers: &[(&str, &str, T)], test: impl Fn(&str, &str, T) + Sync) {
    std::thread::scope(|scope| {
        for (name, url, more) in servers {
            scope.spawn(|| test(name, url, *more));
        }
    });
}

fn is_told(report: &Value) -> impl Fn(&str) -> u64 {
    let incremental = report["incremental"].clone();
    move |field| incremental[field].as_u64().unwrap_or_else(|| panic!("{field} is no number: {incremental}"))
}

/// Bytes of binlog from the position that is told to where the server's ends, as the server says.
fn bytes_behind(world: &mut World, report: &Value) -> u64 {
    let position = &report["incremental"]["position"];
    let place = position["file"].as_str().zip(position["offset"].as_u64());
    let (file, offset) = place.unwrap_or_else(|| panic!("no place: {report}"));
    world.mysql.binlog_bytes_behind(file, offset)
}

/// Ahead and behind: what is committed is as old as it is, and an idle task is idle.
fn a_clock_is_off(test: &str, mysql: &str, kafka: &str, source_is_ahead_ms: i64) {
    let (mut world, task) = world(test, mysql, kafka, "");
    let library = clock_off_by(&world, -source_is_ahead_ms / 1000);
    let mut engine = Tidegate::run_behind(&task, &library);
    let http = Http::of(&mut engine);
    let report = http.until(&mut engine, "caught up", is_caught_up);
    let ahead_ms = report["incremental"]["clock_ahead_ms"].as_i64().expect("it is known");
    is_told(&report)("bytes_behind");
    assert!((ahead_ms - source_is_ahead_ms).abs() < 60_000, "{report}");
    // While something is not delivered, which is while the task is paused, its age is what has gone by.
    let intent = [("x-tidegate", "test")];
    assert_eq!(http.ask("POST", "/pause", &intent).0, 200);
    http.until(&mut engine, "paused", |report| report["phase"] == "paused");
    let before = Instant::now();
    world.mysql.run("INSERT INTO t VALUES (1, 1)");
    let after = Instant::now();
    let report = http.until(&mut engine, "the delay grows", |report| delay_ms(report) > Some(2000));
    let delay = Duration::from_millis(delay_ms(&report).expect("it has grown"));
    assert!(delay < before.elapsed() + LEEWAY && delay + LEEWAY > after.elapsed(), "{report}");
    assert_eq!(http.ask("POST", "/resume", &intent).0, 200);
    let messages = |report: &Value| report["total"]["messages"].as_u64();
    http.until(&mut engine, "it is delivered", |report| is_caught_up(report) && messages(report) > Some(0));
    // A session may say any time.
    for timestamp in ["@@timestamp + 7200", "@@timestamp - 7200"] {
        world.mysql.run(format!("SET timestamp = {timestamp}"));
        world.mysql.run("UPDATE t SET v = v + 1");
        http.until(&mut engine, "the first is delivered", is_caught_up);
        let before = messages(&http.status());
        world.mysql.run("UPDATE t SET v = v + 1");
        world.mysql.run("SET timestamp = DEFAULT");
        http.until(&mut engine, "it is delivered", |report| {
            let delay = delay_ms(report).map(Duration::from_millis);
            assert!(delay.is_none_or(|delay| delay < LEEWAY), "{report}");
            is_caught_up(report) && messages(report) > before
        });
        let told = delay_ms(&http.status()).expect("it is known");
        assert!(Duration::from_millis(told) < LEEWAY, "{told}");
    }
    // Other tests write to the server, and nothing to this task's tables.
    let report = http.until(&mut engine, "it is idle", |report| report["pace"] == "idle");
    assert!(delay_ms(&report).is_some_and(|delay| delay < 1000), "{report}");
    engine.terminate(libc::SIGTERM);
}

#[test]
fn clocks_that_differ_by_an_hour_make_no_delay() {
    let (Some((servers, [mariadb, _])), Some((_, oldest))) = (Servers::with_mariadb(), Servers::with_oldest()) else {
        return;
    };
    on_each(
        &[
            ("delay_ahead", &servers.mysql, HOUR_MS),
            ("delay_nogtid_behind", &servers.mysql_nogtid, -HOUR_MS),
            ("delay_mariadb_ahead", &mariadb, HOUR_MS),
            ("delay_mariadb_behind", &mariadb, -HOUR_MS),
            ("delay_oldest_ahead", &oldest, HOUR_MS),
            ("delay_oldest_behind", &oldest, -HOUR_MS),
        ],
        |test, mysql, ahead_ms| a_clock_is_off(test, mysql, &servers.kafka, ahead_ms),
    );
}

/// All of a transaction is as old as its commit until its end is delivered, and as many bytes behind as the server says.
fn a_transaction_is_large(test: &str, mysql: &str, kafka: &str) {
    let rows = scaled(100_000);
    // So that it is behind for some seconds.
    let limit = format!("\nlimits: {{rows_per_second: {}}}", rows / 15);
    let (mut world, task) = world(test, mysql, kafka, &limit);
    create_digits(&mut world);
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    let report = http.until(&mut engine, "caught up", is_caught_up);
    let messages = |report: &Value| report["total"]["messages"].as_u64().expect("a number");
    let before = messages(&report);
    let asked = Instant::now();
    world.mysql.run(insert("t", "n, n", 0, rows));
    let committed = Instant::now();
    let mut words = BTreeSet::new();
    wait_for("all of it is delivered", || {
        engine.assert_running();
        let (told_after, report) = (committed.elapsed(), http.status());
        let came = messages(&report) - before;
        if came >= rows {
            return Some(());
        }
        let delay = Duration::from_millis(delay_ms(&report).expect("it is known"));
        // A look is a second old at most, and what the source has is asked for once in as long.
        if told_after > Duration::from_secs(4) {
            assert!(delay + Duration::from_secs(4) > told_after, "{told_after:?}: {report}");
            // The same moment has the word for it.
            let expected = if delay > Duration::from_secs(10) { "behind" } else { "current" };
            assert!(report["pace"] == expected, "{report}");
            words.insert(expected);
            let behind = is_told(&report)("bytes_behind");
            // Nobody else writes to this server.
            assert_eq!(behind, bytes_behind(&mut world, &report), "{report}");
            assert!(behind > 8 * rows, "{report}");
        }
        assert!(delay < asked.elapsed() + LEEWAY, "{report}");
        None
    });
    assert!(words.contains("behind"), "it came in {:?}", committed.elapsed());
    let is_at_the_end = |report: &Value| is_caught_up(report) && is_told(report)("bytes_behind") == 0;
    let report = http.until(&mut engine, "caught up again", is_at_the_end);
    assert_eq!(bytes_behind(&mut world, &report), 0, "{report}");

    // In the file before the last but one.
    let intent = [("x-tidegate", "test")];
    assert_eq!(http.ask("POST", "/pause", &intent).0, 200);
    http.until(&mut engine, "paused", |report| report["phase"] == "paused");
    for _ in 0..2 {
        world.mysql.run("UPDATE t SET v = v + 1 WHERE id < 1000");
        world.mysql.run("FLUSH BINARY LOGS");
    }
    world.mysql.run("UPDATE t SET v = v + 1 WHERE id < 1000");
    // MariaDB writes a little more some time after a file has begun.
    wait_for("it is as far behind as the server says", || {
        engine.assert_running();
        let report = http.status();
        let behind = is_told(&report)("bytes_behind");
        (behind > 3 * 8 * 1000 && behind == bytes_behind(&mut world, &report)).then_some(())
    });
    http.until(&mut engine, "it is late", |report| delay_ms(report) > Some(0));
    // What may go without harm is what stands before the position.
    let report = http.status();
    let kept = world.mysql.binlog_bytes_before(&report["incremental"]["position"]);
    assert_eq!(report["incremental"]["purge"]["bytes"], kept, "{report}");
    if let Some(retention_s) = world.mysql.binlog_retention_s() {
        let seconds = report["incremental"]["purge"]["seconds"].as_u64().unwrap_or_else(|| panic!("{report}"));
        // The file in which it is has ended a moment ago.
        assert!(seconds <= retention_s && seconds + 600 > retention_s, "{retention_s}: {report}");
    }
    assert_eq!(http.ask("POST", "/resume", &intent).0, 200);
    let report = http.until(&mut engine, "caught up once more", is_at_the_end);
    assert_eq!(bytes_behind(&mut world, &report), 0, "{report}");
    engine.terminate(libc::SIGTERM);
}

#[test]
fn a_large_transaction_is_late_until_its_end() {
    let (Some((servers, _)), Some(_)) = (Servers::with_mariadb(), Servers::with_oldest()) else { return };
    let private = Private::up(&["mysql", "mariadb", "mysql-5.6"], "");
    on_each(
        &[
            ("delay_large", private.mysql(), ()),
            ("delay_large_nogtid", private.mysql_nogtid(), ()),
            ("delay_large_mariadb", private.mariadb(), ()),
            ("delay_large_oldest", private.oldest(), ()),
        ],
        |test, mysql, ()| a_transaction_is_large(test, mysql, &servers.kafka),
    );
}

/// What has to be delivered and is not, for half a minute, is stuck and no more: an idle task is not, and one whose brokers are back is neither.
#[test]
fn what_nobody_takes_is_stuck() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["kafka"], "");
    let (mut world, task) = world("delay_stuck", &servers.mysql, private.kafka(), "");
    let json = ["--log-format", "json"].map(OsString::from);
    let mut engine = Tidegate::spawn(task.run_arguments().into_iter().chain(json));
    let http = Http::of(&mut engine);
    world.mysql.run("INSERT INTO t VALUES (1, 1)");
    http.until(&mut engine, "the row is delivered", |report| report["total"]["messages"] == 1 && is_caught_up(report));
    private.signal("kafka", libc::SIGSTOP);
    world.mysql.run("INSERT INTO t VALUES (2, 2)");
    let report = http.until(&mut engine, "stuck", |report| report["pace"] == "stuck");
    assert!(delay_ms(&report) > Some(0), "{report}");
    assert_eq!(report["total"]["messages"], 1, "{report}");
    // The lines of progress are of the log, too.
    engine.wait_for_line("incremental: stuck, ");
    private.signal("kafka", libc::SIGCONT);
    http.until(&mut engine, "not any more", |report| report["pace"] == "current" && is_caught_up(report));
    http.until(&mut engine, "idle", |report| report["pace"] == "idle");
    assert_eq!(http.status()["total"]["messages"], 2);
    let ended = engine.terminate(libc::SIGTERM);
    let lines = ended.output.lines().map(|line| serde_json::from_str(line).expect(line));
    let messages: Vec<String> = lines.map(|line: Value| line["message"].as_str().expect("text").to_owned()).collect();
    assert!(
        messages.iter().any(|message| message.starts_with("incremental: stuck, ") && message.contains(" late")),
        "{messages:#?}"
    );
}
