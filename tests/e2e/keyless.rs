//! Tables without a key: nobody can tell one of their rows from another, so that as many of each have to arrive as there are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::harness::{Kind, Message, Mysql, Servers, Tidegate, World, scaled, seeded, wait_for};

const WRITERS: usize = 8;

/// How many there are of each row.
type Counts = BTreeMap<(String, String), i64>;

fn count(counts: &mut Counts, message: &Message) {
    let value = |name: &str| message.data.get(name).cloned();
    let change = match message.kind {
        Kind::Init | Kind::Insert => 1,
        Kind::Delete => -1,
        _ => panic!("{message:?}"),
    };
    // What it is cut by may stay at home.
    *counts.entry((value("day").unwrap_or_default(), value("n").expect("never NULL"))).or_default() += change;
}

/// What a load says of a table whose rows it may send twice.
const MAY_REPEAT: &str = "may come twice";

/// Cut by `chunk_by` into many chunks, which are read while rows come and go. What the topic has too many of, and whether the task has said that
/// this may be.
fn cut_under_writers(test: &str, mysql_url: &str, kafka: &str, columns: &str) -> (Counts, bool) {
    let mut rng = seeded(test);
    let mut world = World::new(test, mysql_url, kafka);
    world.mysql.run("CREATE TABLE t (day INT NOT NULL, n INT NOT NULL, KEY by_day (day))");
    let rows = scaled(20_000);
    for _ in 0..rows / 1000 {
        let rows: Vec<String> = (0..1000).map(|_| format!("({}, {})", rng.u32(..2000), rng.u32(..3))).collect();
        world.mysql.run(format!("INSERT INTO t VALUES {}", rows.join(", ")));
    }
    world.mysql.run("ANALYZE TABLE t");
    world.begin_binlog_file();
    let mut task = world.task();
    task.tables = format!("[{{table: {0}.t, chunk_by: [day], columns: [{columns}]}}, {0}.marker]", world.database);
    task.format = "{canal_json: {profile: dts}}".to_owned();
    task.more = "full_load: {parallel: 4, chunk_rows: 200}".to_owned();

    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (stop, done, mut rng) = (stop.clone(), done.clone(), rng.fork());
            let mut mysql = Mysql::connect(mysql_url);
            mysql.run(format!("USE {}", world.database));
            std::thread::spawn(move || {
                while !stop.load(Relaxed) {
                    let (day, n) = (rng.u32(..2000), rng.u32(..3));
                    let statement = match rng.u8(..3) {
                        0 => format!("INSERT INTO t VALUES ({day}, {n})"),
                        1 => format!("INSERT INTO t VALUES ({day}, {n}), ({}, {n}), ({day}, {n})", day / 2),
                        _ => format!("DELETE FROM t WHERE day = {day} LIMIT 2"),
                    };
                    // A deadlock is the next one's business.
                    done.fetch_add(u64::from(mysql.try_run(&statement).is_ok()), Relaxed);
                }
            })
        })
        .collect();
    let let_write = |count: u64| {
        let goal = done.load(Relaxed) + count;
        wait_for("writers go on", || (done.load(Relaxed) >= goal).then_some(()));
    };
    let_write(200);
    let mut reader = world.reader(["t"]);
    // Balances, and how often a row came at all.
    let (mut topic, mut came) = (Counts::new(), Counts::new());
    let mut take = |message: &Message| {
        count(&mut topic, message);
        if message.kind != Kind::Delete {
            count(&mut came, message);
        }
    };
    let mut engine = Tidegate::run(&task);
    let mut changes = 0;
    reader.until(&mut engine, "changes", |message| {
        if message.table == "t" {
            take(&message);
            changes += u32::from(message.kind != Kind::Init);
        }
        changes == 100
    });
    let_write(200);
    stop.store(true, Relaxed);
    for writer in writers {
        writer.join().expect("a writer has failed");
    }
    let ended = world.finish(engine, &mut reader, |message| take(&message));
    println!("{test}: {} changes", done.load(Relaxed));
    let day = if columns.contains("day") { "CAST(day AS CHAR)" } else { "''" };
    let table = world.mysql.query(&format!("SELECT {day} AS d, CAST(n AS CHAR), COUNT(*) FROM t GROUP BY d, n"));
    let table: BTreeMap<(String, String), i64> = table.into_iter().map(|(day, n, count)| ((day, n), count)).collect();
    let mut more = topic;
    for (row, count) in table {
        assert!(
            came.get(&row).is_some_and(|came| *came >= count),
            "{row:?} is there {count} times, and came {:?}",
            came.get(&row)
        );
        *more.entry(row).or_default() -= count;
    }
    more.retain(|_, count| *count != 0);
    let said = ended.output.lines().filter(|line| line.contains(MAY_REPEAT)).count();
    assert!(said <= 1, "said {said} times:\n{}", ended.output);
    (more, said == 1)
}

/// A view that is opened between two equal sets of GTIDs shows nothing beyond them: no row comes twice.
#[test]
fn a_table_without_a_key_is_cut_under_writers() {
    let Some(servers) = Servers::from_env() else { return };
    let (more, _) = cut_under_writers("keyless_cut", &servers.mysql, &servers.kafka, "day, n");
    assert!(more.is_empty(), "{more:?}");
}

/// MariaDB names the place of each view.
#[test]
fn a_table_without_a_key_is_cut_under_writers_on_mariadb() {
    let Some((servers, [mariadb, _])) = Servers::with_mariadb() else { return };
    let (more, is_said) = cut_under_writers("keyless_cut", &mariadb, &servers.kafka, "day, n");
    assert!(more.is_empty() && !is_said, "{more:?}");
}

/// Where a file's begin is all that is known of a view, what was changed behind it comes once more: the task says so, and no row is missing.
#[test]
fn a_table_without_a_key_may_come_twice_without_gtids_and_the_task_says_so() {
    let Some(servers) = Servers::from_env() else { return };
    let (more, is_said) = cut_under_writers("keyless_cut", &servers.mysql_nogtid, &servers.kafka, "day, n");
    assert!(is_said, "not a word of {more:?}");
    // Inserts and deletes that come twice: a consumer that counts has some rows too often, others too rarely.
    println!("{} rows of the topic are there more often or less than in the table", more.len());
}

/// What it is cut by tells which chunk a row belongs to, also where it does not leave.
#[test]
fn a_table_is_cut_by_a_column_that_is_not_sent() {
    let Some(servers) = Servers::from_env() else { return };
    let (more, _) = cut_under_writers("keyless_unsent", &servers.mysql, &servers.kafka, "n");
    assert!(more.is_empty(), "{more:?}");
}

/// Nobody knows which rows of a view another one would show first: a load that is cut reads all of them again, and says so.
#[test]
fn a_load_that_is_cut_begins_again_and_says_so() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("keyless_cut", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (n INT NOT NULL)");
    let rows: Vec<String> = (0..3000).map(|n| format!("({n})")).collect();
    world.mysql.run(format!("INSERT INTO t VALUES {}", rows.join(", ")));
    let mut task = world.task();
    task.more = "limits: {full_load: {rows_per_second: 500}}".to_owned();
    let mut reader = world.reader(["t"]);
    let mut counts = Counts::new();
    let mut engine = Tidegate::run(&task);
    reader.until(&mut engine, "the first row", |message| {
        let is_it = message.table == "t";
        if is_it {
            count(&mut counts, &message);
        }
        is_it
    });
    engine.terminate(libc::SIGTERM);
    task.more = String::new();
    let ended = world.finish(Tidegate::run(&task), &mut reader, |message| count(&mut counts, &message));
    assert!(ended.output.contains("what was sent of it comes once more"), "{}", ended.output);
    let (all, sum) = (counts.len(), counts.values().sum::<i64>());
    assert!(
        all == 3000 && sum > 3000 && counts.values().all(|count| (1..=2).contains(count)),
        "{all} rows, {sum} messages"
    );
}
