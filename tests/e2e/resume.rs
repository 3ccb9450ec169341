//! Stopped anywhere, in whichever way: the next run goes on where the last one was.

use std::collections::BTreeSet;

use super::harness::order::Order;
use super::harness::source_state::Format;
use super::harness::state::State;
use super::harness::tables;
use super::harness::writers::Writers;
use super::harness::{Kind, Message, Private, Servers, Tidegate, World, scaled, seeded, wait_for};
use super::snapshot::{assert_equals_source, fill_all, names};

/// How many kills of each phase.
const IN_FULL_LOAD: usize = 8;
const IN_FULL_LOAD_MIN: usize = 3;
const IN_INCREMENTAL: usize = 14;
const KILLS_MIN: usize = 20;
const KILLS_MAX: usize = 60;
const PARALLEL: u64 = 2;
const CHUNK_ROWS: u64 = 200;

/// What was taken from the topics of a task that is stopped and started.
struct Taken {
    state: State,
    order: Order,
    full_load_rows: u64,
    /// Of them, those of a key that had come before.
    again: u64,
    loaded: BTreeSet<(String, String)>,
    changes: u64,
}

impl Taken {
    fn take(&mut self, message: &Message) {
        self.state.apply(message);
        self.order.check(message);
        match message.kind {
            Kind::Init => {
                self.full_load_rows += 1;
                let key = message.primary_key.iter().flatten().map(|name| message.data.get(name));
                let key: Vec<_> = key.collect();
                // Of others, nothing tells that one has come before.
                self.again +=
                    u64::from(!key.is_empty() && !self.loaded.insert((message.table.clone(), format!("{key:?}"))));
            }
            _ => self.changes += 1,
        }
    }
}

/// Nothing is lost, and order never goes back but for what is repeated after a restart.
fn killed_at_random_moments(test: &str, mysql_url: &str, kafka: &str) {
    killed_at_moments(test, mysql_url, kafka, 1);
}

/// A part of all kills.
pub(crate) fn killed_at_moments(test: &str, mysql_url: &str, kafka: &str, part: usize) {
    killed(test, mysql_url, kafka, part, false);
}

/// `has_xa`: with XA transactions among the others, which a server of its own has.
fn killed(test: &str, mysql_url: &str, kafka: &str, part: usize, has_xa: bool) {
    let (in_full_load_max, in_incremental_max) = (IN_FULL_LOAD / part, IN_INCREMENTAL / part);
    let (in_full_load_min, kills_min) = (IN_FULL_LOAD_MIN / part, KILLS_MIN / part);
    let mut rng = seeded(test);
    let mut world = World::new(test, mysql_url, kafka);
    let targets = fill_all(&mut world, &mut rng, scaled(150_000) / part as u64);
    let mut task = world.task();
    task.format = "{canal_json: {profile: dts}}".to_owned();
    // Small chunks, each of which is on disk before it is read: a load that lasts long enough to be killed in.
    let chunks = format!("full_load: {{parallel: {PARALLEL}, chunk_rows: {CHUNK_ROWS}}}");
    let (mut held_kills, mut only_held) = (0, true);
    let writers = Writers::start(8, mysql_url, &world.database, &targets, &mut rng);
    let mut reader = world.reader(names());
    let mut taken = Taken {
        state: State::new(tables::ALL),
        order: Order::new(tables::ALL),
        full_load_rows: 0,
        again: 0,
        loaded: BTreeSet::new(),
        changes: 0,
    };

    let (mut in_full_load, mut in_incremental, mut at_start) = (0, 0, 0);
    while in_full_load < in_full_load_max || in_incremental < in_incremental_max {
        // What a run is behind grows with each kill: let it find a few thousand transactions, not all that 8 writers can do.
        writers.allow(2000);
        // Held back at first, or it might be over before we look.
        let is_held = in_full_load < in_full_load_min;
        task.more = format!("{chunks}{}", if is_held { "\nlimits: {full_load: {rows_per_second: 2000}}" } else { "" });
        let mut engine = Tidegate::run(&task);
        // After some messages, or (which may be before the first) after some looks at the topics.
        // Looks take their time, in which a load may be over: kills in it come first, and by messages.
        let by_messages = in_full_load < in_full_load_min || rng.bool();
        let first_messages = if in_full_load < in_full_load_min { 600 } else { 6000 };
        let mut messages_left = if by_messages { rng.u64(1..first_messages) } else { u64::MAX };
        let mut looks_left = if messages_left == u64::MAX { rng.u32(1..80) } else { u32::MAX };
        let before = (taken.full_load_rows, taken.changes);
        wait_for("a moment to kill", || {
            let mut in_this_look = 0;
            reader.poll(|message| {
                // The task has begun.
                if has_xa {
                    writers.use_xa();
                }
                taken.take(&message);
                messages_left -= 1;
                in_this_look += 1;
                messages_left > 0 && in_this_look < 500
            });
            looks_left -= 1;
            if messages_left == 0 || looks_left == 0 {
                return Some(());
            }
            engine.assert_running();
            None
        });
        engine.kill_9();
        // What the broker has is there to stay; how far the engine was, only the ends of the topics tell.
        reader.read_to_end(|message| taken.take(&message));
        let (rows, changes) = (taken.full_load_rows - before.0, taken.changes - before.1);
        match (rows, changes) {
            (0, 0) => at_start += 1,
            (_, 0) => in_full_load += 1,
            (_, _) => in_incremental += 1,
        }
        println!("{test}: killed after {rows} rows and {changes} changes; {} rows came again so far", taken.again);
        // Of a load that is not ahead of its deliveries, each kill before has cost what the readers were at, a chunk each. One may have
        // grown by what writers have put into it. Of a load at full speed, all that was on its way is read again.
        if only_held {
            let bound = held_kills * PARALLEL * 2 * CHUNK_ROWS;
            assert!(taken.again <= bound, "{} rows came again by {held_kills} kills", taken.again);
        }
        held_kills += u64::from(is_held);
        only_held &= is_held;
        // The load is over, or neither phase comes to its end.
        let kills = in_full_load + in_incremental + at_start;
        if taken.changes > 0 && in_incremental >= in_incremental_max && kills >= kills_min || kills >= KILLS_MAX / part
        {
            break;
        }
    }
    let kills = in_full_load + in_incremental + at_start;
    assert!(kills >= kills_min, "only {kills} kills");
    assert!(in_full_load >= in_full_load_min, "only {in_full_load} kills in the full load");

    task.more = chunks;
    let engine = Tidegate::run(&task);
    writers.allow(u64::MAX);
    writers.let_commit(1000);
    let committed = writers.stop();
    world.finish(engine, &mut reader, |message| taken.take(&message));
    println!(
        "{test}: {in_full_load} kills in the full load, {in_incremental} in incremental, {at_start} before any message; \
         {} full-load rows, {} of them again, {} changes, {committed} transactions, {} partitions went back",
        taken.full_load_rows,
        taken.again,
        taken.changes,
        taken.order.breaks()
    );
    assert_equals_source(&mut world, &taken.state, Format::Dts);
    taken.order.assert_in_order(kills, &world);
}

#[test]
fn killed_at_random_moments_with_gtids() {
    let Some(servers) = Servers::from_env() else { return };
    killed_at_random_moments("kill_gtid", &servers.mysql, &servers.kafka);
}

#[test]
fn killed_at_random_moments_without_gtids() {
    let Some(servers) = Servers::from_env() else { return };
    killed_at_random_moments("kill_nogtid", &servers.mysql_nogtid, &servers.kafka);
}

/// XA transactions are prepared, and committed or rolled back, by whoever it be, while the engine is dead or alive.
#[test]
fn killed_at_random_moments_amid_xa_transactions() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "");
    killed("kill_xa", private.mysql(), &servers.kafka, 2, true);
    killed("kill_xa_nogtid", private.mysql_nogtid(), &servers.kafka, 2, true);
}

/// Asked to end, the engine delivers and stores what it has begun: the next run repeats nothing.
#[test]
fn asked_to_end_it_repeats_nothing() {
    let Some(servers) = Servers::from_env() else { return };
    for (test, mysql_url) in [("stop_gtid", &servers.mysql), ("stop_nogtid", &servers.mysql_nogtid)] {
        let mut world = World::new(test, mysql_url, &servers.kafka);
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, n INT)");
        world.mysql.run("INSERT INTO t VALUES (1, 0), (2, 0), (3, 0)");
        world.begin_binlog_file();
        let task = world.task();
        let mut reader = world.reader(["t"]);
        let (mut expected, mut count) = (3, 0);
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGTERM] {
            let mut engine = Tidegate::run(&task);
            world.until_loaded(&mut engine, &mut reader, |_| count += 1);
            world.mysql.run("UPDATE t SET n = n + 1");
            expected += 3;
            world.until_marker(&mut engine, &mut reader, |_| count += 1);
            engine.terminate(signal);
            reader.read_to_end(|message| count += i32::from(message.table == "t"));
            assert_eq!(count, expected, "{test}: messages");
        }
        // A run that finds nothing new says nothing.
        let engine = Tidegate::run(&task);
        world.finish(engine, &mut reader, |message| panic!("repeated: {message:?}"));
    }
}

/// In the middle of the full load too: each row comes once, whether before or after the stop.
#[test]
fn asked_to_end_in_the_full_load_it_repeats_nothing() {
    let Some(servers) = Servers::from_env() else { return };
    let test = "stop_load";
    let mut rng = seeded(test);
    let mut world = World::new(test, &servers.mysql, &servers.kafka);
    let rows = scaled(150_000);
    tables::BIG.create(&mut world.mysql);
    tables::BIG.fill(&mut world.mysql, &mut rng, rows * 2);
    let mut task = world.task();
    // Each chunk is a window: one of which a part was sent when the task was told to end is read again.
    task.more = "full_load: {parallel: 2, chunk_rows: 250}".to_owned();
    let mut reader = world.reader([tables::BIG.name]);
    let mut state = State::new([&tables::BIG]);
    for _ in 0..3 {
        let mut engine = Tidegate::run(&task);
        // Before it hears signals, one ends it like any other program.
        engine.wait_for_line("connected");
        let mut left = rng.u64(1..2000);
        reader.until(&mut engine, "some rows", |message| {
            if message.table == tables::BIG.name {
                state.apply(&message);
                left -= 1;
            }
            // The load may be over before we are.
            left == 0 || state.row_count() as u64 == rows
        });
        engine.terminate(libc::SIGTERM);
    }
    let engine = Tidegate::run(&task);
    world.finish(engine, &mut reader, |message| state.apply(&message));
    state.assert_no_violations();
    assert_eq!((state.row_count() as u64, state.repeats(&tables::BIG)), (rows, 0));
}

/// Two runs of one task would both write, and both move the checkpoint.
#[test]
fn second_run_of_a_task_is_refused() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("twice", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO t VALUES (1)");
    let task = world.task();
    let mut reader = world.reader(["t"]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| {});

    let output = Tidegate::fails(&task);
    assert!(output.contains("is in use by another run of this task"), "{output}");

    // The first one is none the worse for it.
    world.mysql.run("INSERT INTO t VALUES (2)");
    let mut rows = Vec::new();
    world.finish(engine, &mut reader, |message| rows.push(message.data));
    assert_eq!(rows.last().and_then(|row| row.get("id")).map(String::as_str), Some("2"));
}

/// A checkpoint that cannot be read exactly is refused: the only other thing to do would be to begin from nowhere.
#[test]
fn damaged_checkpoint_is_refused() {
    let Some(servers) = Servers::from_env() else { return };
    let test = "damaged";
    let mut rng = seeded(test);
    let mut world = World::new(test, &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO t VALUES (1)");
    let task = world.task();
    let mut reader = world.reader(["t"]);
    let mut rows = Vec::new();
    let mut engine = Tidegate::run(&task);
    world.until_marker(&mut engine, &mut reader, |message| rows.push(message));
    engine.terminate(libc::SIGTERM);
    world.mysql.run("INSERT INTO t VALUES (2)");

    let checkpoint = task.checkpoint();
    let whole = std::fs::read(&checkpoint).expect("a checkpoint");
    // What a crash can leave of the last save is no damage; the first one was there before the file had its name.
    let lines: Vec<&[u8]> = whole.split_inclusive(|&byte| byte == b'\n').collect();
    let body: usize = std::str::from_utf8(&lines[1][..10]).expect("digits").parse().expect("the first save's length");
    let first = lines[0].len() + lines[1].len() + body;
    for _ in 0..5 {
        let mut flipped = whole.clone();
        // Another first line is another version's.
        let at = rng.usize(lines[0].len()..whole.len());
        flipped[at] ^= 1 << rng.u8(..8);
        let cut = whole[..rng.usize(..first)].to_vec();
        for damaged in [flipped, cut] {
            std::fs::write(&checkpoint, &damaged).expect("a file");
            let output = Tidegate::fails(&task);
            assert!(output.contains("is damaged") && output.contains("checkpoint"), "{output}");
            assert!(output.contains("full load"), "no way out: {output}");
            assert_eq!(std::fs::read(&checkpoint).expect("a file"), damaged, "it was written over");
        }
    }

    // Another task's is whole, and still not ours.
    let mut other = task.clone();
    other.name = format!("{}-other", task.name);
    std::fs::write(&checkpoint, &whole).expect("a file");
    let output = Tidegate::fails(&other);
    assert!(output.contains("belongs to task"), "{output}");

    // With the file back in place, nothing is lost and nothing repeated.
    let engine = Tidegate::run(&task);
    world.finish(engine, &mut reader, |message| rows.push(message));
    // Each has a partition of its own, of which either may be read first.
    let mut ids: Vec<_> = rows.iter().map(|message| message.data.get("id").map(String::as_str)).collect();
    ids.sort();
    assert_eq!(ids, [Some("1"), Some("2")]);
}
