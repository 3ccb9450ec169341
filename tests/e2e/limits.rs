//! How much is read a second: from the task file, and changed in a run.

use std::cell::Cell;
use std::time::Instant;

use super::harness::http::Http;
use super::harness::source_state::Format;
use super::harness::state::State;
use super::harness::tables;
use super::harness::world::mysql_source;
use super::harness::writers::Writers;
use super::harness::{Message, Servers, Tidegate, World, seeded, wait_for};
use super::prechecks::findings;
use super::snapshot::{assert_equals_source, fill_all, names};

const ROWS: u64 = 20_000;

/// `t`, with so many rows.
pub(super) fn create_rows(world: &mut World, rows: u64) {
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))");
    world.mysql.run("SET cte_max_recursion_depth = 100000");
    world.mysql.run(format!(
        "INSERT INTO t WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < {rows}) SELECT n, 'x' FROM n"
    ));
}

#[test]
fn a_limit_holds_a_task_back_until_it_is_lifted() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("limits", &servers.mysql, &servers.kafka);
    create_rows(&mut world, ROWS);
    let mut task = world.task();
    task.more = "limits: {bytes_per_second: 100GiB, full_load: {rows_per_second: 200}}\nhttp: 127.0.0.1:0".to_owned();
    let mut reader = world.reader(["t"]);
    let mut ids = Vec::new();
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    let report = http.until(&mut engine, "it is held back", |report| {
        report["bottleneck"] == "limits" && report["total"]["messages"].as_u64() > Some(0)
    });
    assert!(report["full_load"]["rows"].as_u64() < Some(ROWS / 2), "{report}");
    assert_eq!(report["limits"]["full_load"]["rows_per_second"], 200, "{report}");
    let path = task.write();
    let limit = |words: &[&str]| {
        let arguments = ["limit".as_ref(), path.as_os_str()].into_iter().chain(words.iter().map(AsRef::as_ref));
        Tidegate::spawn(arguments).wait()
    };
    // Told to stop, it sends what it has read, and waits for nothing.
    engine.terminate(libc::SIGTERM);
    task.more = "limits: {rows_per_second: 100}\nhttp: 127.0.0.1:0".to_owned();
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    http.until(&mut engine, "it is held back again", |report| report["bottleneck"] == "limits");
    // It tells of its own moment, in which something else may be in the way.
    wait_for("the command says what holds the task back", || {
        let told = Tidegate::spawn(["status".as_ref(), path.as_os_str()]).wait().output;
        told.contains("limits: 100 rows/s, which hold the task back").then_some(())
    });
    let wrong = limit(&["--rows-per-second", "0"]);
    assert!(
        !wrong.status.success() && wrong.output.contains("must be a number from 1 up, or none"),
        "{}",
        wrong.output
    );
    let intent = [("x-tidegate", "test")];
    for (query, code) in [("rows_per_second=x", 400), ("rows=1", 400), ("full_load.bytes_per_second=1024", 200)] {
        assert_eq!(http.ask("POST", &format!("/limits?{query}"), &intent).0, code, "{query}");
    }
    assert_eq!(http.ask("POST", "/limits?rows_per_second=none", &[]).0, 403);
    assert_eq!(http.status()["limits"]["all"]["rows_per_second"], 100);
    let shown = limit(&[]);
    assert!(shown.output.contains("limits: 100 rows/s; of the full load 1.0 KB/s"), "{}", shown.output);
    assert!(limit(&["--full-load", "--bytes-per-second", "none"]).status.success());
    let lifted = limit(&["--rows-per-second", "none"]);
    assert!(lifted.status.success() && lifted.output.contains("limits: none"), "{}", lifted.output);
    let mut take =
        |message: Message| ids.push(message.data.get("id").expect("a key").parse::<u64>().expect("a number"));
    world.until_loaded(&mut engine, &mut reader, &mut take);

    // Changes, too.
    assert!(limit(&["--rows-per-second", "1"]).status.success());
    // More than pass at once: a window has as many as pass in a second.
    world.mysql.run(format!("INSERT INTO t SELECT id + {ROWS}, 'new' FROM t WHERE id <= 300"));
    let is_held = |report: &serde_json::Value| {
        report["bottleneck"] == "limits" && report["incremental"]["delay_ms"].as_u64() > Some(0)
    };
    http.until(&mut engine, "changes are held back", is_held);
    assert!(limit(&["--rows-per-second", "none"]).status.success());
    world.finish(engine, &mut reader, &mut take);
    ids.sort_unstable();
    // A chunk of which a part had been sent when the first run ended is read again.
    ids.dedup();
    assert_eq!(ids, (1..=ROWS + 300).collect::<Vec<_>>());
}

/// A load that is held back gives up views that are too old, and nothing is lost between two views of one chunk.
#[test]
fn chunks_that_take_too_long_are_read_in_pieces() {
    let Some(servers) = Servers::from_env() else { return };
    for (test, mysql_url) in [("pieces_gtid", &servers.mysql), ("pieces_nogtid", &servers.mysql_nogtid)] {
        let mut rng = seeded(test);
        let mut world = World::new(test, mysql_url, &servers.kafka);
        let targets = fill_all(&mut world, &mut rng, 10_000);
        let mut task = world.task();
        task.format = "{canal_json: {profile: dts}}".to_owned();
        task.more = "full_load: {parallel: 2, view_max: 1s}\nlimits: {full_load: {rows_per_second: 3000}}".to_owned();
        let writers = Writers::start(4, mysql_url, &world.database, &targets, &mut rng);
        writers.let_commit(200);
        let mut reader = world.reader(names());
        let mut state = State::new(tables::ALL);
        let engine = Tidegate::run(&task);
        wait_for("a chunk of which a piece is out", || {
            let stored = task.stored();
            let tables = stored["full_load"]["tables"].as_array()?;
            tables.iter().any(|table| table["in_pieces"] == true && table["done"] == false).then_some(())
        });
        engine.kill_9();
        let mut engine = Tidegate::run(&task);
        engine.wait_for_line("its chunk is read in pieces of about");
        engine.wait_for_line("full load complete");
        writers.let_commit(500);
        writers.stop();
        world.finish(engine, &mut reader, |message| state.apply(&message));
        assert_equals_source(&mut world, &state, Format::Dts);
    }
}

/// As many connections as the account may have, and no more.
#[test]
fn a_task_keeps_to_its_connections() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("connections", &servers.mysql, &servers.kafka);
    let account = world.database.clone();
    world.mysql.run(format!("CREATE USER {account} IDENTIFIED BY 'x' WITH MAX_USER_CONNECTIONS 5"));
    world.mysql.run(format!("GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {account}"));
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    world.mysql.run("SET cte_max_recursion_depth = 100000");
    world.mysql.run(format!(
        "INSERT INTO t WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < {ROWS}) SELECT n FROM n"
    ));
    let mut task = world.task();
    task.source = mysql_source(&servers.mysql, &account, "x");
    let with = |most: u32| format!("limits: {{connections: {most}}}\nfull_load: {{parallel: 16, chunk_rows: 500}}");
    let known = ["--ignore", "binlog_row_metadata,prepared_xa"];
    task.more = with(6);
    let few = "may have 5 connections at a time, and the task makes up to 6";
    assert_eq!(findings(&task, &known), [format!("error connections: '{account}'@'%' {few}")]);
    task.more = with(5);
    assert_eq!(findings(&task, &known), Vec::<String>::new());
    let mut reader = world.reader(["t"]);
    let mut rows = 0;
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| rows += 1);
    world.mysql.run("DELETE FROM t WHERE id = 1");
    let ended = world.finish(engine, &mut reader, |_| rows += 1);
    assert_eq!(rows, ROWS + 1);
    assert!(!ended.output.contains("max_user_connections"), "{}", ended.output);
    world.mysql.run(format!("DROP USER {account}"));
}

const ROW_BYTES: u64 = 10_000;
const LOADED: u64 = 2_000;
const CHANGED: u64 = 500;
/// Rows a second under each limit.
const RATE: u64 = 200;
/// A window passes before anything is owed, of as many rows as pass in a second; and then one that is counted before the clock is read.
const WINDOWS: u64 = 2 * RATE;

/// What passes is counted: never more than the rate gives for the time until then, and a window; in a load, and of changes.
#[test]
fn rows_and_bytes_pass_as_fast_as_they_may_and_no_faster() {
    let Some(servers) = Servers::from_env() else { return };
    std::thread::scope(|scope| {
        for (test, limits, holds_changes) in [
            ("held_bytes", "bytes_per_second: 2MB", true),
            ("held_rows", "rows_per_second: 200", true),
            ("held_load_bytes", "full_load: {bytes_per_second: 2MB}", false),
            ("held_load_rows", "full_load: {rows_per_second: 200}", false),
        ] {
            let servers = &servers;
            scope.spawn(move || pass(test, servers, limits, holds_changes));
        }
    });
}

fn pass(test: &str, servers: &Servers, limits: &str, holds_changes: bool) {
    let mut world = World::new(test, &servers.mysql, &servers.kafka);
    world
        .mysql
        .run(format!("CREATE TABLE t (id INT PRIMARY KEY, v CHAR(1), w VARCHAR({ROW_BYTES}) CHARACTER SET ascii)"));
    world.mysql.run("SET cte_max_recursion_depth = 100000");
    world.mysql.run(format!(
        "INSERT INTO t WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < {LOADED}) SELECT n, 'x', REPEAT('x', {ROW_BYTES}) FROM n"
    ));
    let mut task = world.task();
    task.tables = format!("[{}.t]", world.database);
    task.more = format!("memory: 64MiB\nfull_load: {{parallel: 1}}\nlimits: {{{limits}}}\nhttp: 127.0.0.1:0");
    let begun = Instant::now();
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    let passed = Cell::new(0);
    let until_passed = |engine: &mut Tidegate, rows: u64, since: Instant, before: u64| {
        http.until(engine, "all of it has passed", |report| {
            // Read before the clock, so that it may have moved on.
            let changes = report["total"]["changes"].as_u64().expect("a number");
            let may_have = RATE as f64 * since.elapsed().as_secs_f64() + WINDOWS as f64;
            assert!((changes - before) as f64 <= may_have, "{test}: {changes} rows, and {may_have} may pass");
            passed.set(changes);
            report["total"]["messages"].as_u64() >= Some(rows)
        });
    };
    until_passed(&mut engine, LOADED, begun, 0);
    let since = Instant::now();
    world.mysql.run(format!("UPDATE t SET v = 'y' WHERE id <= {CHANGED}"));
    if holds_changes {
        until_passed(&mut engine, LOADED + CHANGED, since, LOADED);
        assert_eq!(passed.get(), LOADED + CHANGED);
    } else {
        http.until(&mut engine, "the changes have passed", |report| {
            report["total"]["messages"].as_u64() >= Some(LOADED + CHANGED)
        });
    }
    engine.terminate(libc::SIGTERM);
}
