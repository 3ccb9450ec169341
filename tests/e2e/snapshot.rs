//! Full load and hand-over: what is there comes out, and what changes meanwhile too.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;

use super::harness::order::Order;
use super::harness::source_state::{Format, rows_of};
use super::harness::state::State;
use super::harness::tables::{self, Table};
use super::harness::world::mysql_source;
use super::harness::writers::{Target, Writers};
use super::harness::{Kind, Message, Mysql, Private, Servers, Tidegate, World, scaled, seeded};
use super::limits::create_rows;

const WRITERS: usize = 8;
/// By how many transactions they may be ahead of what has arrived.
const AHEAD: u64 = 2000;

/// Tables of all kinds of keys, half full.
pub(crate) fn fill_all(world: &mut World, rng: &mut Rng, big_rows: u64) -> Vec<Target> {
    let keys = |table: &Table| if table.keys == 0 { big_rows * 2 } else { table.keys };
    let targets: Vec<Target> = tables::ALL.iter().map(|table| (*table, keys(table))).collect();
    for (table, keys) in &targets {
        table.create(&mut world.mysql);
        table.fill(&mut world.mysql, rng, *keys);
    }
    world.begin_binlog_file();
    targets
}

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    tables::ALL.iter().map(|table| table.name)
}

/// Panics unless the state is what the source holds.
pub(crate) fn assert_equals_source(world: &mut World, state: &State, format: Format) {
    state.assert_no_violations();
    for table in tables::ALL {
        state.assert_equals(table, &rows_of(&mut world.mysql, table, format));
    }
}

/// Loads under writers, who go on through the hand-over, with XA transactions among theirs; then topics and source must be equal.
fn loaded_under_writers_equals_source(test: &str, mysql_url: &str, kafka: &str, format: Format) {
    loaded_under_writers(test, mysql_url, kafka, format, scaled(150_000));
}

/// The same with so many rows in the largest table.
pub(crate) fn loaded_under_writers(test: &str, mysql_url: &str, kafka: &str, format: Format, big_rows: u64) {
    loaded_by(4, test, mysql_url, kafka, format, big_rows);
}

/// The same by so many readers.
fn loaded_by(readers: usize, test: &str, mysql_url: &str, kafka: &str, format: Format, big_rows: u64) {
    let mut rng = seeded(test);
    let mut world = World::new(test, mysql_url, kafka);
    let targets = fill_all(&mut world, &mut rng, big_rows);
    let mut task = world.task();
    task.format = format.yaml();
    // Many chunks, so that many of them are read while their keys change.
    task.more = format!("full_load: {{parallel: {readers}, chunk_rows: 5000}}");

    let writers = Writers::start(WRITERS, mysql_url, &world.database, &targets, &mut rng);
    writers.allow(AHEAD);
    writers.let_commit(200);
    let mut reader = world.reader(names());
    let mut state = State::new(tables::ALL);
    let mut order = Order::new(tables::ALL);
    let mut engine = Tidegate::run(&task);
    let mut take = |message: Message| {
        state.apply(&message);
        if format != Format::Canal {
            order.check(&message);
        }
        message
    };

    // A table whose first update has come is handed over.
    let mut waiting: Vec<&str> = names().collect();
    reader.until(&mut engine, "an update of each table", |message| {
        writers.use_xa();
        writers.arrived();
        let message = take(message);
        if message.kind == Kind::Update {
            waiting.retain(|table| *table != message.table);
        }
        waiting.is_empty()
    });
    writers.allow(1000);
    writers.let_commit(1000);
    let committed = writers.stop();
    let ended = world.finish(engine, &mut reader, |message| {
        take(message);
    });

    let repeats: BTreeMap<_, _> =
        tables::ALL.iter().map(|table| (table.name, state.repeats(table))).filter(|(_, count)| *count > 0).collect();
    println!(
        "{test}: {} messages, {} rows, {committed} transactions, repeats {repeats:?}",
        reader.count(),
        state.row_count()
    );
    assert_equals_source(&mut world, &state, format);
    order.assert_in_order(0, &world);
    // A consumer cannot recognise a repeat in a table without a key. The view of such a table is opened until nothing is committed meanwhile,
    // and no GTID is owned, which a transaction is that is visible before it is in the set: then none comes twice.
    let keyless = |line: &&str| line.contains("read as one chunk") && line.contains("exact_view=true");
    if ended.output.lines().any(|line| keyless(&line)) {
        assert_eq!(state.repeats(&tables::KEYLESS), 0, "repeats in the table without a key");
    } else {
        println!("{test}: no exact view of the table without a key");
    }
}

#[test]
fn load_under_writers_with_gtids() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid"], "");
    loaded_under_writers_equals_source("load_gtid", private.mysql(), &servers.kafka, Format::Dts);
}

#[test]
fn load_under_writers_without_gtids() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-nogtid"], "");
    loaded_under_writers_equals_source("load_nogtid", private.mysql_nogtid(), &servers.kafka, Format::Canal);
}

#[test]
fn load_under_writers_with_full_metadata() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "--binlog-row-metadata=FULL");
    loaded_under_writers_equals_source("load_full_gtid", private.mysql(), &servers.kafka, Format::Avro);
    loaded_under_writers_equals_source("load_full_nogtid", private.mysql_nogtid(), &servers.kafka, Format::Dts);
}

/// One reader takes all tables of few rows in one view.
#[test]
fn load_under_writers_by_one_reader() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "");
    let rows = scaled(10_000);
    loaded_by(1, "load_one_gtid", private.mysql(), &servers.kafka, Format::Dts, rows);
    loaded_by(1, "load_one_nogtid", private.mysql_nogtid(), &servers.kafka, Format::Canal, rows);
}

/// What a busy server of today may be told to save: changes of documents instead of them, and transactions compressed; in files that end behind
/// nearly each of them.
#[test]
fn load_under_writers_with_small_events_in_small_files() {
    let Some(servers) = Servers::from_env() else { return };
    let options = "--binlog-row-value-options=PARTIAL_JSON --binlog-transaction-compression=ON --max-binlog-size=4096";
    let private = Private::up(&["mysql-gtid"], options);
    loaded_under_writers("load_small", private.mysql(), &servers.kafka, Format::Dts, scaled(8000));
    let mut mysql = Mysql::connect(private.mysql());
    let files = mysql.query::<mysql_async::Row>("SHOW BINARY LOGS").len();
    assert!(files > 200, "only {files} files");
}

/// Without faults and without writers during the load, nothing is repeated: as many messages as rows, then as many as
/// changes, also of rows that nothing tells apart.
#[test]
fn quiet_source_gives_each_row_and_each_change_once() {
    let Some(servers) = Servers::from_env() else { return };
    for (test, mysql_url) in [("quiet_gtid", &servers.mysql), ("quiet_nogtid", &servers.mysql_nogtid)] {
        let mut world = World::new(test, mysql_url, &servers.kafka);
        world.mysql.run("CREATE TABLE keyed (id INT PRIMARY KEY, n INT)");
        world.mysql.run("CREATE TABLE twins (n INT, text VARCHAR(10))");
        let rows = scaled(20_000);
        for from in (0..rows).step_by(1000) {
            let keyed: Vec<_> = (from..from + 1000).map(|id| format!("({}, {id})", id * 7)).collect();
            let twins: Vec<_> = (from..from + 1000).map(|id| format!("({}, 'twin')", id % 3)).collect();
            world.mysql.run(format!("INSERT INTO keyed VALUES {}", keyed.join(",")));
            world.mysql.run(format!("INSERT INTO twins VALUES {}", twins.join(",")));
        }
        world.begin_binlog_file();
        let mut task = world.task();
        task.format = "{canal_json: {profile: dts}}".to_owned();
        task.more = "full_load: {chunk_rows: 3000}".to_owned();
        let mut reader = world.reader(["keyed", "twins"]);
        let mut engine = Tidegate::run(&task);

        let mut loaded: BTreeMap<(String, String), u64> = BTreeMap::new();
        world.until_loaded(&mut engine, &mut reader, |message| {
            assert_eq!(message.kind, Kind::Init, "{message:?}");
            *loaded.entry((message.table.clone(), format!("{:?}", message.data))).or_default() += 1;
        });
        world.mysql.run("INSERT INTO keyed VALUES (-1, 1), (-2, 2), (-3, 3)");
        world.mysql.run("UPDATE keyed SET n = n + 1 WHERE id < 700");
        world.mysql.run("UPDATE keyed SET n = n WHERE id < 700");
        world.mysql.run("DELETE FROM keyed WHERE id BETWEEN 70 AND 139");
        world.mysql.run("INSERT INTO twins VALUES (1, 'twin'), (1, 'twin'), (9, NULL)");
        world.mysql.run("UPDATE twins SET text = 'one' WHERE n = 1 LIMIT 5");
        world.mysql.run("DELETE FROM twins WHERE n = 0 LIMIT 4");
        let mut changes: BTreeMap<(String, String), u64> = BTreeMap::new();
        world.finish(engine, &mut reader, |message| {
            if message.kind == Kind::Init {
                *loaded.entry((message.table.clone(), format!("{:?}", message.data))).or_default() += 1;
            } else {
                *changes.entry((message.table.clone(), format!("{:?}", message.kind))).or_default() += 1;
            }
        });

        let mut expected = BTreeMap::new();
        for id in 0..rows.div_ceil(1000) * 1000 {
            expected.insert(("keyed".to_owned(), format!("id=\"{}\" n=\"{id}\"", id * 7)), 1);
            *expected.entry(("twins".to_owned(), format!("n=\"{}\" text=\"twin\"", id % 3))).or_default() += 1;
        }
        assert!(loaded == expected, "{test}: {} different rows loaded, {} expected", loaded.len(), expected.len());
        let counts: Vec<_> =
            changes.iter().map(|((table, kind), count)| (table.as_str(), kind.as_str(), *count)).collect();
        assert_eq!(
            counts,
            [
                ("keyed", "Delete", 10),
                ("keyed", "Insert", 3),
                ("keyed", "Update", 103),
                ("twins", "Delete", 4),
                ("twins", "Insert", 3),
                ("twins", "Update", 5)
            ],
            "{test}"
        );
    }
}

/// Without GTIDs a task reads from the start of the current binlog file; the statement that made a table may stand in it.
#[test]
fn new_table_is_loaded_without_gtids() {
    let Some(servers) = Servers::from_env() else { return };
    // Of its own: tests that begin a new file would take the statement out of the current one.
    let private = Private::up(&["mysql-nogtid"], "");
    let mut world = World::new("new_table", private.mysql_nogtid(), &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO t VALUES (1)");
    let task = world.task();
    let mut reader = world.reader(["t"]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| {});
    world.mysql.run("INSERT INTO t VALUES (2)");
    let mut rows = Vec::new();
    world.finish(engine, &mut reader, |message| rows.push(message.data));
    assert_eq!(rows.last().and_then(|row| row.get("id")).map(String::as_str), Some("2"));
}

/// A known gap. With `binlog_row_metadata=MINIMAL` the columns of rows before an ALTER in this file are not known, and where statements are
/// forwarded, none is passed over: the task stops there, and a new file is the way out.
#[test]
fn rows_before_a_change_of_their_columns_are_refused_where_statements_are_forwarded() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-nogtid"], "");
    let mut world = World::new("moved_columns", private.mysql_nogtid(), &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, a INT)");
    world.mysql.run("INSERT INTO t VALUES (1, 5)");
    // As many columns of the same types: only the statement tells that 5 was not `b`.
    world.mysql.run("ALTER TABLE t DROP COLUMN a");
    world.mysql.run("ALTER TABLE t ADD COLUMN b INT");
    let mut task = world.task();
    task.more = "incremental: {ddl: forward}".to_owned();
    let output = Tidegate::fails(&task);
    for word in ["are unknown before `ALTER TABLE t DROP COLUMN a`", "tidegate schema-fix", "FLUSH BINARY LOGS"] {
        assert!(output.contains(word), "{word:?} is not in\n{output}");
    }

    world.mysql.run("FLUSH BINARY LOGS");
    std::fs::remove_dir_all(&task.state).expect("the state folder");
    task.accept = "non_empty_topics";
    let mut reader = world.reader(["t"]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| {});
    world.mysql.run("INSERT INTO t VALUES (2, 6)");
    let mut rows = Vec::new();
    world.finish(engine, &mut reader, |message| rows.push(message.data));
    assert_eq!(rows.last().and_then(|row| row.get("b")).map(String::as_str), Some("6"));
}

/// `incremental: false` ends by itself once everything is delivered.
#[test]
fn full_load_alone_ends() {
    let Some(servers) = Servers::from_env() else { return };
    let test = "load_alone";
    let mut rng = seeded(test);
    let mut world = World::new(test, &servers.mysql, &servers.kafka);
    fill_all(&mut world, &mut rng, 10_000);
    let mut task = world.task();
    task.more = "incremental: false".to_owned();
    Tidegate::finishes(&task);
    let mut reader = world.reader(names());
    let mut state = State::new(tables::ALL);
    reader.read_to_end(|message| {
        assert_eq!(message.kind, Kind::Insert, "{message:?}");
        state.apply(&message);
    });
    assert_equals_source(&mut world, &state, Format::Canal);
    for table in tables::ALL {
        assert_eq!(state.repeats(table), 0, "{}", table.name);
    }

    // Done is done.
    let count = reader.count();
    Tidegate::finishes(&task);
    reader.read_to_end(|_| {});
    assert_eq!(reader.count(), count);
}

/// Who may not see the binlog can load, and cannot go on from there.
#[test]
fn full_load_alone_needs_select_alone() {
    let Some((servers, [mariadb, _])) = Servers::with_mariadb() else { return };
    for (test, url) in [
        ("select_alone", &servers.mysql),
        ("select_alone_nogtid", &servers.mysql_nogtid),
        ("select_alone_mariadb", &mariadb),
    ] {
        let mut world = World::new(test, url, &servers.kafka);
        let user = format!("u_{:08x}", fastrand::u32(..));
        world.mysql.run(format!("CREATE USER {user} IDENTIFIED BY 'secret'"));
        world.mysql.run(format!("GRANT SELECT ON {}.* TO {user}", world.database));
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9))");
        world.mysql.run("INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, 'three')");
        let mut task = world.task();
        task.source = mysql_source(url, &user, "secret");
        task.more = "full_load: {chunk_rows: 1}\nincremental: false".to_owned();
        let checked = Tidegate::spawn(["check".as_ref(), task.write().as_os_str()]).wait();
        assert!(checked.status.success(), "{test}: {}", checked.output);
        Tidegate::finishes(&task);
        let mut ids = Vec::new();
        world.reader(["t"]).read_to_end(|message| ids.push(message.data.get("id").cloned().expect("a key")));
        ids.sort_unstable();
        assert_eq!(ids, ["1", "2", "3"], "{test}");
        world.mysql.run(format!("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}"));
        task.more = String::new();
        let refused = Tidegate::fails(&task);
        assert!(refused.contains("the account could not see the binlog"), "{test}: {refused}");
        world.mysql.run(format!("DROP USER {user}"));
    }
}

/// What the account may not ask for when a load begins, it may ask for when it goes on.
#[test]
fn a_load_that_began_without_a_place_goes_on_without_one() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("undated", &servers.mysql, &servers.kafka);
    let user = format!("u_{:08x}", fastrand::u32(..));
    world.mysql.run(format!("CREATE USER {user} IDENTIFIED BY 'secret'"));
    world.mysql.run(format!("GRANT SELECT ON {}.* TO {user}", world.database));
    create_rows(&mut world, 5_000);
    let mut task = world.task();
    task.source = mysql_source(&servers.mysql, &user, "secret");
    task.more =
        "full_load: {chunk_rows: 10, parallel: 1}\nincremental: false\nlimits: {rows_per_second: 100}".to_owned();
    let mut reader = world.reader(["t"]);
    let mut ids = BTreeSet::new();
    let mut take = |message: Message| ids.insert(message.data.get("id").cloned().expect("a key"));
    let mut engine = Tidegate::run(&task);
    reader.until(&mut engine, "some rows", &mut take);
    engine.kill_9();
    world.mysql.run(format!("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}"));
    task.more = "full_load: {chunk_rows: 10, parallel: 1}\nincremental: false".to_owned();
    Tidegate::finishes(&task);
    reader.read_to_end(|message| _ = take(message));
    assert_eq!(ids.len(), 5_000);
    world.mysql.run(format!("DROP USER {user}"));
}
