//! A run takes over its task file as it is now, without an end.

use std::ffi::OsStr;

use super::harness::engine::Ended;
use super::harness::http::Http;
use super::harness::order::Order;
use super::harness::source_state::{Format, rows_of};
use super::harness::state::State;
use super::harness::tables;
use super::harness::writers::Writers;
use super::harness::{Kind, Message, Private, Servers, TaskFile, Tidegate, World, seeded, wait_for};
use super::limits::create_rows;
use super::snapshot::{fill_all, names};

const KILLS: usize = 2;

const TAKEN_OVER: &str = "the task file is taken over";

/// Writes the file as it is to be, and has the run take it over.
fn apply(task: &TaskFile, options: &[&str]) -> Ended {
    let path = task.write();
    Tidegate::spawn(["apply".as_ref(), path.as_os_str()].into_iter().chain(options.iter().map(OsStr::new))).wait()
}

fn applied(task: &TaskFile, options: &[&str]) -> String {
    let ended = apply(task, options);
    assert!(ended.status.success() && ended.output.contains("\ntaken over"), "{}", ended.output);
    ended.output
}

/// Exit code and words.
fn refused(task: &TaskFile, options: &[&str]) -> (Option<i32>, String) {
    let ended = apply(task, options);
    assert!(!ended.status.success(), "{}", ended.output);
    (ended.status.code(), ended.output)
}

/// Tables come and go; consumers end with what the source has of all but the one that went.
fn tables_come_and_go(test: &str, mysql_url: &str, kafka: &str) {
    let mut rng = seeded(test);
    let mut world = World::new(test, mysql_url, kafka);
    let targets = fill_all(&mut world, &mut rng, 10_000);
    let listed = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| world.topic(name)).collect();
        format!("[{}, {}]", names.join(", "), world.topic("marker"))
    };
    let (gone, first) = (tables::ALL[0], &tables::ALL[..tables::ALL.len() / 2]);
    let first = listed(&first.iter().map(|table| table.name).collect::<Vec<_>>());
    let all = listed(&names().collect::<Vec<_>>());
    let rest = listed(&names().filter(|name| *name != gone.name).collect::<Vec<_>>());
    let mut task = TaskFile { tables: first, ..world.task() };
    // By which rows of a load are told from inserts.
    task.format = Format::Dts.yaml();
    task.more = "full_load: {parallel: 2, chunk_rows: 1000}".to_owned();
    let writers = Writers::start(8, mysql_url, &world.database, &targets, &mut rng);
    let mut reader = world.reader(names());
    let (mut state, mut order) = (State::new(tables::ALL), Order::new(tables::ALL));
    let mut take = |message: &Message| {
        state.apply(message);
        order.check(message);
    };
    let mut engine = Tidegate::run(&task);
    // Within the load, or behind it.
    let mut left = rng.u32(1..20_000);
    reader.until(&mut engine, "some rows", |message| {
        take(&message);
        left = left.saturating_sub(1);
        left == 0 || !matches!(message.kind, Kind::Init)
    });
    task.tables = all;
    let said = applied(&task, &["--yes"]);
    assert!(said.contains("has been added: it is loaded, and changes wait for it"), "{said}");
    // Where views are not exact, what is added in the midst of changes is loaded with the next file.
    let is_begun =
        |output: &str| ["begins its next binlog file", "it is loaded now, and"].map(|words| output.contains(words));
    wait_for("it is loaded, or waits", || is_begun(&engine.output()).contains(&true).then_some(()));
    world.until_asked_is_loaded(&task, &mut engine);
    for _ in 0..KILLS {
        let mut left = rng.u32(1..8000);
        writers.allow(2000);
        reader.until(&mut engine, "rows of what was added", |message| {
            take(&message);
            left = left.saturating_sub(1);
            left == 0
        });
        engine.kill_9();
        engine = Tidegate::run(&task);
        engine.wait_for_line("reading the binlog");
        world.until_asked_is_loaded(&task, &mut engine);
    }
    task.tables = rest;
    let (code, said) = refused(&task, &[]);
    assert!(code == Some(1) && said.contains("tidegate apply --accept tables"), "{said}");
    applied(&task, &["--accept", "tables"]);
    assert_eq!(engine.count_lines(TAKEN_OVER), 1);
    // What was read of it before is delivered by now.
    reader.read_to_end(|message| {
        if message.table != "marker" {
            take(&message);
        }
    });
    writers.allow(1000);
    writers.let_commit(500);
    let committed = writers.stop();
    world.finish(engine, &mut reader, |message| {
        assert_ne!(message.table, gone.name, "{message:?}");
        take(&message);
    });
    println!("{test}: {} messages, {committed} transactions", reader.count());
    state.assert_no_violations();
    for table in tables::ALL.iter().filter(|table| table.name != gone.name) {
        state.assert_equals(table, &rows_of(&mut world.mysql, table, Format::Dts));
    }
    // What a kill repeats is a step back. What a file is taken over by is none: everything that was read is delivered.
    order.assert_in_order(KILLS, &world);
}

#[test]
fn tables_come_and_go_while_they_change() {
    let Some(servers) = Servers::from_env() else { return };
    tables_come_and_go("apply", &servers.mysql, &servers.kafka);
}

#[test]
fn tables_come_and_go_without_gtids() {
    let Some(servers) = Servers::from_env() else { return };
    tables_come_and_go("apply_nogtid", &servers.mysql_nogtid, &servers.kafka);
}

#[test]
fn tables_of_mariadb_come_and_go() {
    let Some((servers, [mariadb, _])) = Servers::with_mariadb() else { return };
    tables_come_and_go("apply_mariadb", &mariadb, &servers.kafka);
}

/// A load that is under way goes on by the new file. Of the chunk that was being read, rows may come twice.
#[test]
fn a_load_goes_on_by_the_new_file() {
    const ROWS: u64 = 20_000;
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("apply_load", &servers.mysql, &servers.kafka);
    create_rows(&mut world, ROWS);
    let mut task = world.task();
    let load = "full_load: {parallel: 1, chunk_rows: 500}\nhttp: 127.0.0.1:0";
    task.more = format!("{load}\nlimits: {{full_load: {{rows_per_second: 200}}}}");
    let mut reader = world.reader(["t"]);
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    http.until(&mut engine, "it is held back", |report| {
        report["bottleneck"] == "limits" && report["total"]["messages"].as_u64() > Some(0)
    });
    task.more = format!("{load}\nlimits: {{full_load: {{rows_per_second: 300}}}}");
    applied(&task, &[]);
    let report = http.status();
    assert_eq!(report["limits"]["full_load"]["rows_per_second"], 300, "{report}");
    assert!(report["full_load"]["rows"].as_u64() < Some(ROWS / 2), "{report}");
    // Who has paused it wants it so, whatever the file says.
    let intent = [("x-tidegate", "test")];
    assert_eq!(http.ask("POST", "/pause", &intent).0, 200);
    task.more = load.to_owned();
    applied(&task, &[]);
    http.until(&mut engine, "it is paused", |report| report["phase"] == "paused");
    assert_eq!(http.ask("POST", "/resume", &intent).0, 200);
    let mut ids = Vec::new();
    let mut take =
        |message: Message| ids.push(message.data.get("id").expect("a key").parse::<u64>().expect("a number"));
    world.until_loaded(&mut engine, &mut reader, &mut take);
    http.until(&mut engine, "all is delivered", |report| report["incremental"]["delay_ms"] == 0);
    world.finish(engine, &mut reader, &mut take);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids, (1..=ROWS).collect::<Vec<_>>());
    let told = Tidegate::spawn(["history".as_ref(), task.path.as_os_str()]).wait().output;
    assert_eq!(told.matches("file applied      socket").count(), 2, "{told}");
}

/// Whatever is wrong with it, the run goes on as it did.
#[test]
fn a_file_that_cannot_be_taken_over_changes_nothing() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("apply_refused", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
    world.mysql.run("INSERT INTO t VALUES (1, 1), (2, 2)");
    let mut task = world.task();
    let database = world.database.clone();
    let listed = |more: &str| format!("\n  - {database}.marker\n  - {{table: {database}.t{more}}}");
    task.tables = listed(", where: v > 1");
    task.more = "http: 127.0.0.1:0".to_owned();
    assert_eq!(
        refused(&task, &[]),
        (Some(2), format!("task {database} is not running: its next run reads the file anew"))
    );
    let mut reader = world.reader(["t"]);
    let mut rows = Vec::new();
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    let mut take = |message: Message| rows.push(format!("{:?} {:?}", message.kind, message.data));
    world.until_loaded(&mut engine, &mut reader, &mut take);
    let before = task.clone();

    task.tables = listed(", where: v >");
    assert_eq!(refused(&task, &[]).0, Some(1));
    task.tables = listed(", where: w > 1");
    assert_eq!(refused(&task, &[]).0, Some(1));
    task.tables = listed(", where: v > 0");
    let (code, said) = refused(&task, &[]);
    assert!(
        code == Some(1) && said.contains("was not changed") && said.contains("tidegate apply --accept filter"),
        "{said}"
    );
    // A run that is asked by somebody who has not looked.
    let intent = [("x-tidegate", "test")];
    assert_eq!(http.ask("POST", "/apply", &[]).0, 403);
    let (code, _, said) = http.ask("POST", "/apply?accept=everything", &intent);
    assert!(code == 400 && said.contains("everything: is no consequence; there is filter, as, select, "), "{said}");
    assert_eq!(http.ask("POST", "/apply", &intent).0, 200);
    let report = http.until(&mut engine, "it is refused", |report| report["applied"]["answered"] == 1);
    assert!(
        report["applied"]["refused"].as_str().is_some_and(|reason| reason.contains("was v > 1, is v > 0")),
        "{report}"
    );
    // A topic that nobody makes.
    let sink = format!("{{kafka: \"{}\", topic: \"{database}_{{table}}\", create_topics: false}}", servers.kafka);
    task = TaskFile { sink, ..before.clone() };
    let (code, said) = refused(&task, &["--accept", "topic"]);
    assert!(code == Some(1) && said.contains("it goes on by the file before") && said.contains("topic"), "{said}");
    task = TaskFile { more: String::new(), ..before.clone() };
    let (code, said) = refused(&task, &[]);
    assert!(code == Some(1) && said.contains("`http` cannot be changed while the task runs"), "{said}");
    task = TaskFile { state: world.path("elsewhere"), ..before.clone() };
    let (code, said) = refused(&task, &[]);
    assert!(
        code == Some(1)
            && said.contains("another run of task")
            && said.contains("`state` cannot be changed while the task runs"),
        "{said}"
    );

    world.mysql.run("UPDATE t SET v = v - 1");
    world.until_marker(&mut engine, &mut reader, &mut take);
    world.until_marker(&mut engine, &mut reader, &mut take);
    task = TaskFile { tables: listed(", where: v > 0"), ..before };
    applied(&task, &["--accept", "filter"]);
    world.mysql.run("UPDATE t SET v = v + 1");
    world.finish(engine, &mut reader, &mut take);
    rows.sort();
    // Rows that pass by the new filter alone come with their next change.
    let expected =
        [r#"Delete id="2" v="2""#, r#"Insert id="1" v="1""#, r#"Insert id="2" v="2""#, r#"Update id="2" v="2""#];
    assert_eq!(rows, expected);
}

/// Between two runs of one process nobody else takes the task, however long he waits for it. And a run takes over its own file.
#[test]
fn nobody_takes_the_task_in_between() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("apply_lock", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    let mut task = world.task();
    let mut reader = world.reader(["t"]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    let other = TaskFile { path: world.path("other.yaml"), state: world.path("other"), ..task.clone() };
    let rival = Tidegate::run(&other);
    wait_for("the other run waits for the lock", || {
        let waits =
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User lock' AND INFO LIKE '%GET_LOCK%'";
        (world.mysql.query_one::<u64>(waits) > 0).then_some(())
    });
    task.more = "limits: {rows_per_second: 1000000}".to_owned();
    applied(&task, &[]);
    let ended = rival.wait();
    assert!(!ended.status.success() && ended.output.contains("another run of task"), "{}", ended.output);
    let another = TaskFile { path: world.path("another.yaml"), more: String::new(), ..task.clone() };
    let (code, said) = refused(&another, &[]);
    assert!(code == Some(1) && said.contains("is not what was planned"), "{said}");
    world.finish(engine, &mut reader, |_| ());
}

/// Nothing is read again, opened again or noted, unless somebody says so.
#[test]
fn a_file_that_says_what_it_said_changes_nothing() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("apply_same", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO t VALUES (1)");
    let mut task = world.task();
    task.more = "http: 127.0.0.1:0\nlimits: {connections: 6}".to_owned();
    let mut reader = world.reader(["t"]);
    let mut ids = Vec::new();
    let mut take = |message: Message| ids.push(message.data.get("id").cloned().expect("a key"));
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    world.until_loaded(&mut engine, &mut reader, &mut take);
    assert_eq!(http.status()["limits"]["connections"], 6);
    let status = Tidegate::spawn(["status".as_ref(), task.path.as_os_str()]).wait().output;
    assert!(status.contains("limits: 6 connections to the source"), "{status}");
    let unchanged = "the run works by it already: nothing was done";
    let ended = apply(&task, &[]);
    assert!(ended.status.success() && ended.output.contains(unchanged), "{}", ended.output);
    task.more = "# A comment.\nlimits: { connections: 6 }\nhttp: 127.0.0.1:0".to_owned();
    let turned = apply(&task, &["--yes"]);
    assert!(turned.output.contains("\ntaken over"), "keys in another order are another file: {}", turned.output);
    task.more = "limits:   # Few.\n  connections: 6\nhttp: 127.0.0.1:0".to_owned();
    let ended = apply(&task, &["--yes"]);
    assert!(ended.status.success() && ended.output.contains(unchanged), "{}", ended.output);
    assert_eq!(http.ask("POST", "/apply", &[("x-tidegate", "test")]).0, 200);
    let report = http.status();
    assert_eq!(
        (&report["applied"]["answered"], &report["applied"]["unchanged"]),
        (&4.into(), &true.into()),
        "{report}"
    );
    assert_eq!(engine.count_lines(TAKEN_OVER), 1);
    applied(&task, &["--anew"]);
    assert_eq!(engine.count_lines(TAKEN_OVER), 2);
    world.mysql.run("INSERT INTO t VALUES (2)");
    world.finish(engine, &mut reader, &mut take);
    assert_eq!(ids, ["1", "2"]);
    let told = Tidegate::spawn(["history".as_ref(), task.path.as_os_str()]).wait().output;
    assert_eq!(told.matches("file applied").count(), 2, "{told}");
}

/// Where it ends is where the server was when the run started, however often reading begins again.
fn now_does_not_move(test: &str, mysql_url: &str, kafka: &str) {
    let mut world = World::new(test, mysql_url, kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    world.begin_binlog_file();
    let mut task = world.task();
    let mut reader = world.reader(["t"]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    engine.terminate(libc::SIGTERM);
    for id in 1..=300 {
        world.mysql.run(format!("INSERT INTO t VALUES ({id})"));
    }
    task.more = "http: 127.0.0.1:0\nlimits: {rows_per_second: 1}".to_owned();
    let mut engine = Tidegate::spawn(task.run_arguments().into_iter().chain(["--until".into(), "now".into()]));
    let http = Http::of(&mut engine);
    http.until(&mut engine, "it is held back", |report| report["bottleneck"] == "limits");
    world.mysql.run("INSERT INTO t VALUES (1000)");
    task.more = "http: 127.0.0.1:0".to_owned();
    let said = apply(&task, &[]).output;
    // It may be at its end before the command has asked.
    assert!(said.contains("taken over") || said.contains("has ended meanwhile"), "{said}");
    let ended = engine.wait();
    assert!(ended.status.success(), "{}", ended.output);
    let mut ids = Vec::new();
    reader.read_to_end(|message| {
        if message.table == "t" {
            ids.push(message.data.get("id").expect("a key").parse::<u32>().expect("a number"));
        }
    });
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids, (1..=300).collect::<Vec<_>>(), "{test}");
}

#[test]
fn the_end_of_a_run_does_not_move() {
    let Some(servers) = Servers::from_env() else { return };
    now_does_not_move("apply_until", &servers.mysql, &servers.kafka);
    now_does_not_move("apply_until_nogtid", &servers.mysql_nogtid, &servers.kafka);
}

/// What was agreed to for the first start holds for that one: changes that are purged since are not passed over.
#[test]
fn a_gap_is_accepted_once() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid"], "");
    let mut world = World::new("apply_gap", private.mysql(), &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    let task = world.task();
    let mut reader = world.reader(["t"]);
    let path = task.write();
    let mut engine = Tidegate::spawn(["run".as_ref(), path.as_os_str(), "--accept-gap".as_ref(), "leave".as_ref()]);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    assert!(Tidegate::spawn(["pause".as_ref(), path.as_os_str()]).wait().status.success());
    engine.wait_for_line("paused");
    world.mysql.run("INSERT INTO t VALUES (1)");
    world.purge_binlog();
    let (code, said) = refused(&task, &["--anew"]);
    assert!(code == Some(2) && said.contains("has ended meanwhile"), "{said}");
    let ended = engine.wait();
    assert!(!ended.status.success() && ended.output.contains("accept-gap"), "{}", ended.output);
}
