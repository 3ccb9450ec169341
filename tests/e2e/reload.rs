//! Tables are loaded again between changes, because somebody asks for it.

use std::ffi::OsStr;

use super::harness::order::Order;
use super::harness::source_state::Format;
use super::harness::state::State;
use super::harness::tables;
use super::harness::world::mysql_source;
use super::harness::writers::Writers;
use super::harness::{Kind, Message, Mysql, Private, Reader, Servers, TaskFile, Tidegate, World, seeded, wait_for};
use super::snapshot::{assert_equals_source, fill_all, names};

fn reload<'a>(world: &World, task: &TaskFile, tables: impl IntoIterator<Item = &'a str>) -> Result<String, String> {
    let tables: Vec<String> = tables.into_iter().map(|table| world.topic(table)).collect();
    told(task, "reload", tables.iter().map(String::as_str))
}

pub(super) fn told<'a>(
    task: &'a TaskFile,
    command: &'a str,
    words: impl IntoIterator<Item = &'a str>,
) -> Result<String, String> {
    let arguments = [OsStr::new(command), task.path.as_os_str()].into_iter();
    let ended = Tidegate::spawn(arguments.chain(words.into_iter().map(OsStr::new))).wait();
    if ended.status.success() { Ok(ended.output) } else { Err(ended.output) }
}

pub(super) const ASKED: &str = "tables are asked for";

/// Asks, beside the run or (`between`) when it has ended and the next one has not begun. Returns the run that has heard of it.
pub(super) fn asked(task: &TaskFile, mut engine: Tidegate, between: bool, ask: &dyn Fn() -> String) -> Tidegate {
    let mut asked_before = engine.count_lines(ASKED);
    if between {
        let ended = engine.terminate(libc::SIGTERM);
        assert!(ended.status.success(), "{}", ended.output);
        let said = ask();
        assert!(said.contains("its next run begins with it"), "{said}");
        engine = Tidegate::run(task);
        asked_before = 0;
    } else {
        ask();
    }
    engine.wait_for_lines(ASKED, asked_before + 1);
    engine
}

/// Consumers end with what the source has, whatever is written, deleted and killed meanwhile.
fn loaded_again_under_writers(test: &str, mysql_url: &str, kafka: &str) {
    let mut rng = seeded(test);
    let mut world = World::new(test, mysql_url, kafka);
    let targets = fill_all(&mut world, &mut rng, 10_000);
    let mut task = world.task();
    task.format = "{canal_json: {profile: dts}}".to_owned();
    task.more = "full_load: {parallel: 2, chunk_rows: 1000}".to_owned();
    let writers = Writers::start(8, mysql_url, &world.database, &targets, &mut rng);
    let mut reader = world.reader(names());
    let (mut state, mut order) = (State::new(tables::ALL), Order::new(tables::ALL));
    let mut take = |message: &Message| {
        state.apply(message);
        order.check(message);
    };
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("full load complete");
    let interruptions = ["a kill", "a stop", "a kill", "nothing"];
    for interrupted_by in interruptions {
        writers.allow(2000);
        let mut left = rng.u32(1..8000);
        engine = asked(&task, engine, interrupted_by == "a stop", &|| reload(&world, &task, names()).unwrap());
        // More than one file, if what an earlier load has shown is not passed yet.
        world.until_asked_is_loaded(&task, &mut engine);
        reader.until(&mut engine, "rows that come again", |message| {
            take(&message);
            left = left.saturating_sub(u32::from(message.kind == Kind::Init));
            left == 0
        });
        if interrupted_by == "a kill" {
            engine.kill_9();
            engine = Tidegate::run(&task);
            engine.wait_for_line("going on where the last run ended");
        }
    }
    writers.allow(1000);
    writers.let_commit(500);
    let committed = writers.stop();
    world.finish(engine, &mut reader, |message| take(&message));
    println!("{test}: {} messages, {committed} transactions", reader.count());
    assert_equals_source(&mut world, &state, Format::Dts);
    // Each load is a step back, and so is what a kill repeats.
    let kills = interruptions.iter().filter(|by| **by == "a kill").count();
    order.assert_in_order(interruptions.len() + kills, &world);
}

#[test]
fn tables_are_loaded_again_while_they_change() {
    let Some(servers) = Servers::from_env() else { return };
    loaded_again_under_writers("reload", &servers.mysql, &servers.kafka);
}

#[test]
fn tables_are_loaded_again_without_gtids() {
    let Some(servers) = Servers::from_env() else { return };
    loaded_again_under_writers("reload_nogtid", &servers.mysql_nogtid, &servers.kafka);
}

#[test]
fn tables_of_mariadb_are_loaded_again() {
    let Some((servers, [mariadb, _])) = Servers::with_mariadb() else { return };
    loaded_again_under_writers("reload_mariadb", &mariadb, &servers.kafka);
}

/// Both rows of a table, and nothing else.
#[track_caller]
fn assert_comes_again(mut world: World, mut engine: Tidegate, mut reader: Reader) {
    engine.wait_for_line("it is loaded again, as asked for");
    let mut rows = Vec::new();
    world.finish(engine, &mut reader, |message| rows.push(format!("{:?} {:?}", message.kind, message.data)));
    rows.sort();
    assert_eq!(rows, [r#"Insert id="1""#, r#"Insert id="2""#]);
}

/// Without GTIDs a reload waits for the begin of a file. One that began when nobody read is none the worse.
#[test]
fn a_file_that_has_begun_before_will_do() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("reload_files", &servers.mysql_nogtid, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO t VALUES (1), (2)");
    world.begin_binlog_file();
    let task = world.task();
    let mut reader = world.reader(["t"]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    let tell = |command: &str| {
        let ended = Tidegate::spawn([OsStr::new(command), task.path.as_os_str()]).wait();
        assert!(ended.status.success(), "{}", ended.output);
    };
    tell("pause");
    engine.wait_for_line("paused");
    world.begin_binlog_file();
    reload(&world, &task, ["t"]).unwrap();
    tell("resume");
    assert_comes_again(world, engine, reader);
}

/// So is one that begins behind all that there is, of which nothing tells before the next change.
#[test]
fn a_file_that_begins_while_nothing_changes_will_do() {
    let Some(servers) = Servers::from_env() else { return };
    // Of its own: on a shared one, other tests begin files.
    let private = Private::up(&["mysql-nogtid"], "");
    let mut world = World::new("reload_idle", private.mysql_nogtid(), &servers.kafka);
    for name in ["t", "u"] {
        world.mysql.run(format!("CREATE TABLE {name} (id INT PRIMARY KEY)"));
        world.mysql.run(format!("INSERT INTO {name} VALUES (1), (2)"));
    }
    let task = world.task();
    let mut reader = world.reader(["t", "u"]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    let [t, u] = ["t", "u"].map(|name| world.topic(name));
    // What is not wanted after all, alone and among others.
    reload(&world, &task, ["u"]).unwrap();
    engine.wait_for_line(ASKED);
    told(&task, "reload", [u.as_str(), "--cancel"]).unwrap();
    world.begin_binlog_file();
    world.until_marker(&mut engine, &mut reader, |message| panic!("{message:?}"));
    let said = reload(&world, &task, ["u", "t"]).unwrap();
    assert!(said.contains("it comes when the server begins its next binlog file"), "{said}");
    engine.wait_for_lines(ASKED, 2);
    let status = told(&task, "status", []).unwrap();
    assert!(status.contains(&format!("as soon as that can begin: {t}, {u}; ")), "{status}");
    told(&task, "reload", [u.as_str(), "--cancel"]).unwrap();
    let again = told(&task, "reload", [u.as_str(), "--cancel"]).unwrap_err();
    assert!(again.contains("is not asked for"), "{again}");
    world.until_marker(&mut engine, &mut reader, |message| panic!("{message:?}"));
    world.begin_binlog_file();
    assert_comes_again(world, engine, reader);
}

/// A change that everybody reads in the binlog and no view shows: as on a source that waits for replicas between the two.
fn no_older_row_comes_last(test: &str, url: &str, kafka: &str, [before, change]: [&str; 2]) {
    let mut world = World::new(test, url, kafka);
    let is_mariadb = world.mysql.is_mariadb();
    let is_xa = change.starts_with("XA COMMIT");
    let has_gtids = !is_mariadb && world.mysql.query_one::<String>("SELECT @@gtid_mode") == "ON";
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, n INT)");
    world.mysql.run("INSERT INTO t VALUES (1, 1)");
    let task = world.task();
    let mut reader = world.reader(["t"]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    let of = if is_mariadb { "master" } else { "source" };
    if !is_mariadb {
        world.mysql.run("INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'");
        world.mysql.run("GRANT XA_RECOVER_ADMIN ON *.* TO tide");
    }
    world.mysql.run(format!("SET GLOBAL rpl_semi_sync_{of}_wait_point = AFTER_SYNC"));
    world.mysql.run(format!("SET GLOBAL rpl_semi_sync_{of}_timeout = 3600000"));
    let mut other = Mysql::connect(url);
    other.run(format!("USE {}", world.database));
    for statement in before.split("; ").filter(|statement| !statement.is_empty()) {
        other.run(statement);
    }
    // What is prepared belongs to its session for as long as that lives.
    drop(other);
    let mut other = Mysql::connect(url);
    world.mysql.run(format!("SET GLOBAL rpl_semi_sync_{of}_enabled = ON"));
    let mut writer = Mysql::connect(url);
    writer.run(format!("USE {}", world.database));
    std::thread::scope(|scope| {
        let committing = scope.spawn(move || {
            wait_for("the session that prepared it is gone", || writer.try_run(change).ok());
        });
        reader.until(&mut engine, "the change", |message| message.data.get("n").is_some_and(|n| n == "2"));
        assert_eq!(other.query_one::<u32>(&format!("SELECT n FROM {}.t", world.database)), 1);
        reload(&world, &task, ["t"]).unwrap();
        engine.wait_for_line(ASKED);
        if is_xa && has_gtids {
            // What is not executed is in no `low`: a view is opened until it is.
            let executed: String = other.query_one("SELECT @@GLOBAL.gtid_executed");
            let owned: String = other.query_one("SELECT @@GLOBAL.gtid_owned");
            let gtid = owned.split('#').next().expect("a text");
            let is_executed = format!("SELECT GTID_SUBSET('{gtid}', '{executed}')");
            assert!(!gtid.is_empty() && !other.query_one::<bool>(&is_executed), "{owned} of {executed}");
            engine.wait_for_line("the server has only");
        } else if is_xa {
            if !is_mariadb {
                // A file ends though its XA COMMIT is not done.
                world.begin_binlog_file();
                assert_eq!(other.query_one::<u32>(&format!("SELECT n FROM {}.t", world.database)), 1);
            }
            engine.wait_for_line("wait for XA transactions that are prepared");
        }
        other.run(format!("SET GLOBAL rpl_semi_sync_{of}_enabled = OFF"));
        committing.join().expect("the change is committed");
    });
    world.begin_binlog_file();
    engine.wait_for_line("it is loaded again, as asked for");
    let mut last = String::new();
    world.finish(engine, &mut reader, |message| last = format!("{:?} {:?}", message.kind, message.data));
    assert_eq!(last, r#"Insert id="1" n="2""#);
}

#[test]
fn a_change_that_no_view_shows_yet_is_waited_for() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "");
    let change = ["", "UPDATE t SET n = 2"];
    no_older_row_comes_last("reload_limbo", private.mysql(), &servers.kafka, change);
    no_older_row_comes_last("reload_limbo_nogtid", private.mysql_nogtid(), &servers.kafka, change);
}

#[test]
fn an_xa_commit_that_no_view_shows_yet_is_waited_for() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    let private = Private::up(&["mariadb", "mysql"], "");
    let prepared = "XA START 'a'; UPDATE t SET n = 2; XA END 'a'; XA PREPARE 'a'";
    no_older_row_comes_last("reload_limbo_xa", private.mariadb(), &servers.kafka, [prepared, "XA COMMIT 'a'"]);
    no_older_row_comes_last("reload_limbo_xa", private.mysql_nogtid(), &servers.kafka, [prepared, "XA COMMIT 'a'"]);
    no_older_row_comes_last("reload_limbo_xa", private.mysql(), &servers.kafka, [prepared, "XA COMMIT 'a'"]);
}

/// A consumer that keeps positions never goes back: through load, changes, heartbeats, stops and reloads.
#[test]
fn positions_never_fall() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    // Other tests' changes would keep shared servers from being quiet.
    let private = Private::up(&["mysql", "mariadb"], "");
    for (test, url) in [
        ("positions", private.mysql()),
        ("positions_nogtid", private.mysql_nogtid()),
        ("positions_mariadb", private.mariadb()),
    ] {
        let mut world = World::new(test, url, &servers.kafka);
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, n INT)");
        world.mysql.run("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)");
        world.begin_binlog_file();
        world.mysql.run("UPDATE t SET n = n + 10");
        let mut task = world.task_of_one_topic("");
        task.format = "{dts_avro: {heartbeats: true, transactions: true}}".to_owned();
        task.more = "incremental: {heartbeat_s: 1}".to_owned();
        let mut reader = Reader::new(&world.kafka, vec![world.database.clone()]);
        let mut last = (0, 0);
        let mut counts = [0; 3];
        let mut take = |message: &Message| {
            let position = message.position.unwrap_or_else(|| panic!("{message:?} has no position"));
            assert!(position >= last, "{test}: {position:?} behind {last:?}: {message:?}");
            last = position;
            counts[match message.kind {
                Kind::Init => 0,
                Kind::Heartbeat => 1,
                _ => 2,
            }] += 1;
        };
        for round in 0..3 {
            let mut engine = Tidegate::run(&task);
            if round > 0 {
                engine.wait_for_line("incremental: reading the binlog");
                reload(&world, &task, ["t"]).unwrap();
                engine.wait_for_line(ASKED);
                world.begin_binlog_file();
            }
            let mut left = 3;
            reader.until(&mut engine, "the rows of a load", |message| {
                take(&message);
                left -= u32::from(message.kind == Kind::Init && message.table == "t");
                left == 0
            });
            for _ in 0..2 {
                world.until_marker(&mut engine, &mut reader, |message| take(&message));
                reader.until(&mut engine, "a heartbeat", |message| {
                    take(&message);
                    message.kind == Kind::Heartbeat
                });
                world.mysql.run("UPDATE t SET n = n + 1");
            }
            world.finish(engine, &mut reader, |message| take(&message));
        }
        assert!(counts[0] >= 9 && counts[1] >= 6 && counts[2] >= 18, "{counts:?}");
    }
}

/// What the account may not read any more is not asked for in vain.
#[test]
fn a_table_that_may_not_be_read_is_refused() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("reload_denied", &servers.mysql, &servers.kafka);
    let (database, user) = (world.database.clone(), world.database.clone());
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    world.mysql.run(format!("CREATE USER {user} IDENTIFIED BY 'denied'"));
    world.mysql.run(format!("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}"));
    world
        .mysql
        .run(format!("GRANT SELECT ON {database}.marker TO {user}; GRANT SELECT, INSERT ON {database}.t TO {user}"));
    let mut task = world.task();
    task.source = mysql_source(&servers.mysql, &user, "denied");
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("reading the binlog");
    world.mysql.run(format!("REVOKE SELECT ON {database}.t FROM {user}"));
    for more in [&[][..], &["--where", "id > 0"]] {
        let words =
            [world.topic("t")].into_iter().chain(more.iter().map(|word| (*word).to_owned())).collect::<Vec<_>>();
        let refused = told(&task, "reload", words.iter().map(String::as_str)).unwrap_err();
        assert!(refused.contains("may not be read: ") && refused.contains("SELECT command denied"), "{refused}");
    }
    assert!(!task.stored().to_string().contains("is_asked_for"));
    engine.terminate(libc::SIGTERM);
    world.mysql.run(format!("DROP USER {user}"));
}

/// Each row once, then what changes; nothing of other tables, and nothing that nobody asked for.
#[test]
fn only_what_is_asked_for_comes_again() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("reload_one", &servers.mysql, &servers.kafka);
    for table in ["one", "other"] {
        world.mysql.run(format!("CREATE TABLE {table} (id INT PRIMARY KEY, v VARCHAR(10))"));
        world.mysql.run(format!("INSERT INTO {table} VALUES (1, 'a'), (2, 'b'), (3, 'c')"));
    }
    let mut task = world.task_of_one_topic("");
    let database = world.database.clone();
    task.tables =
        format!("[{{table: {database}.one, as: shop.first, where: \"id <> 3\"}}, {database}.other, {database}.marker]");
    task.write();
    let refused = reload(&world, &task, ["one"]).unwrap_err();
    assert!(refused.contains("it has not begun"), "{refused}");
    let mut reader = Reader::new(&world.kafka, vec![database.clone()]);
    let mut engine = Tidegate::run(&task);
    let mut messages = Vec::new();
    let shown = |message: &Message| format!("{} {:?} {:?}", message.table, message.kind, message.data).to_lowercase();
    world.until_loaded(&mut engine, &mut reader, |_| ());
    for (tables, words) in [(vec!["one", "nobody"], "the task has no table"), (vec!["on"], "the task has no table")] {
        let refused = reload(&world, &task, tables).unwrap_err();
        assert!(refused.contains(words), "{refused}");
    }
    let refused = told(&task, "reload", ["one"]).unwrap_err();
    assert!(refused.contains(&format!("the task has no table one: is {database}.one meant?")), "{refused}");
    // By the name that it has where it goes.
    let said = told(&task, "reload", ["shop.first"]).unwrap();
    assert!(said.contains("loaded again once what was read is delivered") && said.contains(".one"), "{said}");
    // Changes wait for it.
    engine.wait_for_line("it is loaded again, as asked for");
    world.until_marker(&mut engine, &mut reader, |message| messages.push(shown(&message)));
    world.mysql.run("DELETE FROM one WHERE id = 1");
    world.finish(engine, &mut reader, |message| messages.push(shown(&message)));
    assert_eq!(
        messages,
        [r#"first insert id="1" v="a""#, r#"first insert id="2" v="b""#, r#"first delete id="1" v="a""#,]
    );
    // That was all: the next run has nothing to do.
    let engine = Tidegate::run(&task);
    let ended = world.finish(engine, &mut reader, |message| panic!("{message:?}"));
    assert!(!ended.output.contains("as asked for"), "{}", ended.output);

    task.more = "incremental: false".to_owned();
    task.state = world.path("once");
    task.write();
    let refused = reload(&world, &task, ["one"]).unwrap_err();
    assert!(refused.contains("`full_load`, `incremental`"), "{refused}");
}
