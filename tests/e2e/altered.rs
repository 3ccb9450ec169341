//! Tables that are altered at random moments of load, hand-over and changes, while writers write and the engine is killed: in
//! the end, topic and table are the same, every row with the columns that it had.
//!
//! The server is the judge. What a statement moves without row events is accounted for by hand: rows that went without a word
//! may stay in the topic, those that came so are there if the policy is to load them, and a column that came with a default may be missing in rows that nobody has touched since. Everything
//! else must be equal.

mod statements;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex};

use fastrand::Rng;

use self::statements::{Altered, Extra, ExtraKind, FILL, N_MIN, PARTITIONS};
use super::harness::{
    Ended, Kind, Message, Mysql, Private, Reader, Servers, Tidegate, World, scaled, seeded, wait_for,
};

const KEYS: u64 = 6000;
const STATEMENTS: u64 = 8;

/// Write to the two columns that always are there, as much as they are allowed.
struct Writers {
    allowed: Arc<Allowed>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

struct Allowed {
    /// How much they may still write; none once they are to stop.
    left: Mutex<Option<u64>>,
    changed: Condvar,
}

impl Allowed {
    /// Whether to write once more.
    fn take(&self) -> bool {
        let is_to_wait = |left: &mut Option<u64>| *left == Some(0);
        let mut left = self.changed.wait_while(self.left.lock().unwrap(), is_to_wait).unwrap();
        if let Some(left) = &mut *left {
            *left -= 1;
            self.changed.notify_all();
        }
        left.is_some()
    }
}

impl Writers {
    fn start(url: &str, database: &str, rng: &mut Rng) -> Writers {
        let allowed = Arc::new(Allowed { left: Mutex::new(Some(0)), changed: Condvar::new() });
        let threads = (0..8)
            .map(|_| {
                let (allowed, mut rng) = (allowed.clone(), rng.fork());
                let (url, database) = (url.to_owned(), database.to_owned());
                std::thread::spawn(move || {
                    let mut mysql = Mysql::connect(&url);
                    mysql.run(format!("USE {database}"));
                    while allowed.take() {
                        let (id, other, n) = (rng.u64(..KEYS), rng.u64(..KEYS), rng.i64(N_MIN..1 << 30));
                        let sql = match rng.u8(..8) {
                            0..3 => format!("INSERT INTO t (id, n) VALUES ({id}, {n})"),
                            3..6 => format!("UPDATE t SET n = {n} WHERE id = {id}"),
                            6 => format!("UPDATE t SET id = {other}, n = {n} WHERE id = {id}"),
                            _ => format!("DELETE FROM t WHERE id = {id}"),
                        };
                        // A key that is taken, a table that is away for a moment: the next one.
                        _ = mysql.try_run(&sql);
                    }
                })
            })
            .collect();
        Writers { allowed, threads }
    }

    fn set(&self, left: Option<u64>) {
        *self.allowed.left.lock().unwrap() = left;
        self.allowed.changed.notify_all();
    }

    /// Returns when they are about to write the last that they were allowed.
    fn wait(&self) {
        let is_left = |left: &mut Option<u64>| left.is_some_and(|left| left > 0);
        drop(self.allowed.changed.wait_while(self.allowed.left.lock().unwrap(), is_left).unwrap());
    }

    fn stop(self) {
        self.set(None);
        for thread in self.threads {
            thread.join().expect("a writer has failed");
        }
    }
}

/// The last message of each key.
#[derive(Default)]
struct Topic {
    rows: BTreeMap<String, Columns>,
    /// Messages with a value that none of the names' columns ever had.
    misnamed: Vec<Columns>,
}

type Columns = BTreeMap<String, Option<String>>;

impl Topic {
    fn take(&mut self, table: &Altered, message: &Message) {
        if message.table != "t" {
            return;
        }
        let id = message.data.get("id").expect("a key").clone();
        let columns: Columns = message.data.0.iter().cloned().collect();
        if !table.explains(&columns) {
            self.misnamed.push(columns.clone());
        }
        match message.kind {
            Kind::Delete => _ = self.rows.remove(&id),
            Kind::Init | Kind::Insert | Kind::Update => {
                let old_id = message.old.as_ref().and_then(|old| old.get("id"));
                if let Some(old_id) = old_id {
                    self.rows.remove(old_id);
                }
                self.rows.insert(id, columns);
            }
            other => panic!("{other:?}"),
        }
    }

    /// What differs from the table, in words; empty if nothing does.
    ///
    /// Rows that came without row events are there only if they are loaded again.
    fn differences(&self, table: &Altered, is_reloaded: bool, mysql: &mut Mysql) -> Vec<String> {
        let names: Vec<String> = ["id", "n"]
            .into_iter()
            .chain(table.extras.iter().map(Extra::name))
            .map(|name| format!("CAST({name} AS CHAR)"))
            .collect();
        let mut found: Vec<String> = self.misnamed.iter().map(|columns| format!("misnamed: {columns:?}")).collect();
        let mut keys = BTreeSet::new();
        mysql.for_each(&format!("SELECT {} FROM t", names.join(", ")), |row| {
            let value = |index: usize| row.get::<Option<String>, _>(index).expect("a column");
            let id = value(0).expect("a key");
            keys.insert(id.clone());
            if !is_reloaded && table.came.contains(&id) {
                return;
            }
            let Some(seen) = self.rows.get(&id) else { return found.push(format!("{id} is missing")) };
            if seen.get("n") != Some(&value(1)) {
                found.push(format!("{id}: n is {:?} in the topic, {:?} in the table", seen.get("n"), value(1)));
            }
            for (index, extra) in table.extras.iter().enumerate() {
                let expected = value(index + 2);
                let had = extra.names.iter().rev().find_map(|name| seen.get(name));
                let excused = match had {
                    Some(value) => *value == expected,
                    None => extra.kind == ExtraKind::Computed || expected.as_deref() == Some(FILL),
                };
                if !excused {
                    found.push(format!("{id}: {:?} is {had:?} in the topic, {expected:?} in the table", extra.names));
                }
            }
        });
        for (id, row) in self.rows.iter().filter(|(id, _)| !keys.contains(*id)) {
            let n = row.get("n").cloned().flatten().expect("n is NOT NULL");
            if !table.gone.contains(&(id.clone(), n)) {
                found.push(format!("{id} is in the topic only: {row:?}"));
            }
        }
        found
    }
}

/// `unlogged_rows`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Policy {
    Warn,
    Reload,
    Stop,
}

impl Policy {
    /// A load that is held back meets more statements.
    fn options(self, is_held_back: bool) -> String {
        let held_back = if is_held_back { "limits: {full_load: {rows_per_second: 2000}}\n" } else { "" };
        format!(
            "{held_back}full_load: {{parallel: 2, chunk_rows: 40}}\nincremental: {{unlogged_rows: {}}}",
            format!("{self:?}").to_lowercase()
        )
    }
}

/// How a run goes that may end by itself.
enum Course {
    Ended(Ended),
    Goes(Tidegate),
}

impl Course {
    /// Reads until `enough`, or until the engine has ended.
    fn read_until(self, reader: &mut Reader, what: &str, mut enough: impl FnMut(Message) -> bool) -> Course {
        let Course::Goes(mut engine) = self else { return self };
        let mut done = false;
        let has_ended = wait_for(what, || {
            reader.poll(|message| {
                done |= enough(message);
                !done
            });
            let has_ended = engine.has_ended();
            (done || has_ended).then_some(has_ended)
        });
        if has_ended { Course::Ended(engine.wait()) } else { Course::Goes(engine) }
    }
}

/// What a run says that reads on by other columns.
const MET: &str = "altered during its full load";

/// For what a task may stop where nothing describes tables but statements.
const STOPS: &[&str] = &[
    // By a statement that is not understood, or that gives it the name of a table that nobody has followed.
    "are unknown since ",
    // The catalogue was asked behind a statement that is ahead.
    "are unknown before `",
    "the catalogue did not have it when this task began",
    "stand in the binlog before `",
];

/// How a run went.
struct Outcome {
    /// Whether the load has met a statement, as far as is known.
    has_met: bool,
    /// Or else stopped for good.
    is_equal: bool,
}

/// A seed with this bit has statements that come in the middle of a load that is held back.
const MEETS: u64 = 2;

/// Statements call the table by `name`, whoever else knows it as `t`.
fn altered_at_random(mysql_url: &str, kafka: &str, name: &'static str, may_stop: bool, seed: u64) -> Outcome {
    let rng = &mut Rng::with_seed(seed);
    let meets = seed & MEETS != 0;
    let mut world = World::new("altered", mysql_url, kafka);
    world.mysql.run("SET SESSION group_concat_max_len = 100000");
    let partitions = if rng.u8(..3) == 0 { PARTITIONS } else { "" };
    world.mysql.run(format!("CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT NOT NULL) {partitions}"));
    let rows = format!("WITH RECURSIVE s AS (SELECT 0 AS s UNION ALL SELECT s + 1 FROM s WHERE s < {})", KEYS / 2 - 1);
    let depth = if world.mysql.is_mariadb() { "max_recursive_iterations" } else { "cte_max_recursion_depth" };
    world.mysql.run(format!("SET SESSION {depth} = {KEYS}"));
    world.mysql.run(format!("INSERT INTO t {rows} SELECT s * 2, s + {N_MIN} FROM s"));
    world.mysql.run("ANALYZE TABLE t");
    world.begin_binlog_file();
    let mut task = world.task();
    task.tables = format!("[{0}.t, {0}.marker]", world.database);
    task.sink = format!("{{kafka: \"{kafka}\", create_topics: {{partitions: 1, replication: 1}}}}");
    task.format = "{canal_json: {profile: dts, enum: label}}".to_owned();
    let mut policy = rng.choice([Policy::Warn, Policy::Reload, Policy::Reload, Policy::Stop]).expect("one of four");
    let is_held_back = rng.u8(..4) > 0 || meets;
    task.more = policy.options(is_held_back);

    let writers = Writers::start(mysql_url, &world.database, rng);
    let mut table = Altered::new(name);
    table.log.push(format!("({policy:?} {partitions})"));
    let mut reader = world.reader(["t"]);
    let mut topic = Topic::default();
    let mut course = Course::Goes(Tidegate::run(&task));
    // One of few statements may be one that every server explains.
    let statement_count = if may_stop { rng.u64(1..=STATEMENTS) } else { STATEMENTS };
    // Half of the runs begin to alter at once, the others when rows arrive.
    if rng.bool() || meets {
        course = course.read_until(&mut reader, "the first row", |message| {
            topic.take(&table, &message);
            true
        });
    }
    for _ in 0..statement_count {
        let statements = loop {
            if let Some(statements) = table.statement(rng, &mut world.mysql) {
                break statements;
            }
        };
        writers.set(Some(rng.u64(..800)));
        statements.into_iter().for_each(|statement| table.run(&mut world.mysql, statement));
        course = match course {
            Course::Goes(engine) if rng.u8(..5) == 0 => {
                engine.kill_9();
                table.log.push("(killed)".to_owned());
                Course::Goes(Tidegate::run(&task))
            }
            course => course,
        };
        writers.wait();
    }
    writers.stop();
    let mut take = |message: Message| topic.take(&table, &message);
    let mut stops = 0;
    let mut moved = None;
    let log = &table.log;
    let ended = loop {
        // Two markers, as in `World::finish`.
        for _ in 0..2 {
            let id = world.write_marker();
            course = course.read_until(&mut reader, &format!("marker {id}"), |message| {
                let seen = message.table == "marker" && message.data.get("id") == Some(&id);
                take(message);
                seen
            });
        }
        let ended = match course {
            // A table that was swapped again and again is loaded with the next file.
            Course::Goes(engine) if task.stored().to_string().contains("is_asked_for") => {
                world.begin_binlog_file();
                course = Course::Goes(engine);
                continue;
            }
            Course::Goes(engine) => break Some(engine.terminate(libc::SIGTERM)),
            Course::Ended(ended) => ended,
        };
        // It looked for the table between two renames, before it had begun.
        if ended.output.contains(".t does not exist") {
            course = Course::Goes(Tidegate::run(&task));
            continue;
        }
        // Each time it is started, until it may go on.
        let reason = |line: &&str| line.starts_with("error: ");
        if policy == Policy::Stop && ended.output.contains("without row events: behind it, ") {
            let reason = ended.output.lines().find(reason).map(str::to_owned);
            assert!(ended.status.code() == Some(1) && reason.is_some(), "{}", ended.output);
            if moved.is_none() {
                moved = reason;
            } else {
                assert_eq!(reason, moved, "{}", ended.output);
                policy = rng.choice([Policy::Warn, Policy::Reload]).expect("one of two");
                println!("altered: {moved:?}, then {policy:?}");
                task.more = policy.options(is_held_back);
            }
            course = Course::Goes(Tidegate::run(&task));
            continue;
        }
        assert!(may_stop && ended.status.code() == Some(1), "{}\n{log:#?}\n{}", ended.status, ended.output);
        assert!(ended.output.contains("error: ") && ended.output.contains("hint: "), "{}", ended.output);
        let reason = ended.output.lines().find(reason).expect("it says why");
        assert!(STOPS.iter().any(|known| reason.contains(known)), "{reason}\n{log:#?}\n{}", ended.output);
        println!("altered: {reason:?} after {log:#?}\n{}", ended.output);
        stops += 1;
        if stops == 2 {
            break None;
        }
        course = Course::Goes(Tidegate::run(&task));
    };
    reader.read_to_end(take);
    let differences = match &ended {
        Some(_) => topic.differences(&table, policy == Policy::Reload, &mut world.mysql),
        // Nothing can be said of what is missing.
        None => topic.misnamed.iter().map(|columns| format!("misnamed: {columns:?}")).collect(),
    };
    let is_equal = ended.is_some();
    println!("altered: {}", if is_equal { "equal in the end" } else { "stopped for good" });
    let output = ended.map_or(String::new(), |ended| ended.output);
    assert!(
        differences.is_empty(),
        "{} differences, the first: {:#?}\n{log:#?}\n{output}",
        differences.len(),
        &differences[..differences.len().min(5)],
    );
    Outcome { has_met: output.contains(MET), is_equal }
}

/// By how many seeds that stop everywhere those may be outnumbered that end well. One of twelve stops.
const STOPS_MORE: u64 = 3;

/// Runs seeds, of which so many have to end well, on a server with GTIDs, on one without, and on MariaDB, in short runs only the first. Half of the seeds are for servers that fold the names of tables, where
/// statements type them in capitals. A seed by name is for one that failed.
fn run_altered(metadata: &str, runs: u64, may_stop: bool) {
    let Some(servers) = Servers::from_env() else { return };
    let mut rng = seeded("altered");
    let named = std::env::var("TIDEGATE_TEST_ALTERED").ok().map(|seed| seed.parse::<u64>().expect("a number"));
    let folds = named.unwrap_or_else(|| rng.u64(..)) & 1;
    let options = format!("--binlog-row-metadata={metadata} --lower-case-table-names={folds}");
    let is_whole = scaled(1) > 1;
    let private = Private::up(&["mysql", "mariadb"], &options);
    let urls = [private.mysql(), private.mysql_nogtid(), private.mariadb()];
    let name = if folds == 1 { "T" } else { "t" };
    let (mut loads, mut met) = (0, 0);
    let (mut equal, mut stopped) = (0, 0);
    while equal < runs && (named.is_none() || equal + stopped == 0) {
        // A few runs, each left to chance, may all have missed their loads.
        let first_meets = if equal + stopped == 0 { MEETS } else { 0 };
        let seed = named.unwrap_or_else(|| rng.u64(..) & !1 | folds | first_meets);
        println!("altered: {metadata}, run {}, TIDEGATE_TEST_ALTERED={seed}", equal + stopped);
        let servers_of_run = if is_whole || named.is_some() || equal + stopped == 0 { &urls[..] } else { &urls[..2] };
        let run = |url: &&str| altered_at_random(url, &servers.kafka, name, may_stop, seed);
        let outcomes: Vec<Outcome> = servers_of_run.iter().map(run).collect();
        loads += outcomes.len();
        met += outcomes.iter().filter(|outcome| outcome.has_met).count();
        match outcomes.iter().any(|outcome| outcome.is_equal) {
            true => equal += 1,
            false => stopped += 1,
        }
        assert!(named.is_some() || stopped <= equal + STOPS_MORE, "{stopped} seeds stop, and {equal} go on");
    }
    println!("altered: {met} of {loads} full loads have met a statement; {equal} seeds ended well, {stopped} stopped");
    assert!(may_stop || named.is_some() || met > 0);
}

/// With full metadata every table map describes its table: nothing stops but what was told to, and everything is equal in the end.
#[test]
fn a_table_altered_at_random_is_equal_in_the_end() {
    run_altered("FULL", scaled(5).max(1), false);
}

/// With minimal metadata, statements say what they make of the table. The task may stop all the same: of a table that is renamed from a
/// name that it does not select, and of rows before the catalogue's moment, nobody says what columns they have. What it has sent by
/// then has the right names, and where it goes on, nothing is missing.
#[test]
fn a_table_altered_at_random_is_equal_or_stops_the_task() {
    run_altered("MINIMAL", scaled(2).max(1), true);
}

/// What statements did to a table between the start of a task and its first look at the table: the load shows how it ended, and
/// nothing that came before follows it, also where it has no row events to put it right.
#[test]
fn statements_older_than_the_first_view_are_no_news() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid"], "--binlog-row-metadata=FULL");
    for (more, statements, expected) in [
        (
            "{ddl: forward}",
            &["TRUNCATE TABLE t", "INSERT INTO t VALUES (7, 7)", "TRUNCATE TABLE t"][..],
            "id=\"2\" n=\"2\"",
        ),
        (
            "{unlogged_rows: stop}",
            &["UPDATE t SET n = 5", "TRUNCATE TABLE t", "ALTER TABLE t FORCE"][..],
            "id=\"2\" n=\"2\"",
        ),
    ] {
        let mut world = World::new("older", private.mysql(), &servers.kafka);
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL)");
        world.mysql.run("INSERT INTO t VALUES (1, 1)");
        let mut locked = Mysql::connect(private.mysql());
        locked.run(format!("USE {}", world.database));
        locked.run("LOCK TABLES t WRITE");
        let mut task = world.task();
        task.more = format!("incremental: {more}");
        let mut reader = world.reader(["t"]);
        let mut engine = Tidegate::run(&task);
        world.until_load_is_locked_out(&mut engine);
        for statement in statements {
            locked.run(statement);
        }
        locked.run("INSERT INTO t VALUES (2, 2)");
        locked.run("UNLOCK TABLES");
        let mut messages = Vec::new();
        // The statement that makes the table is as old.
        world.finish(engine, &mut reader, |message| {
            if message.kind != Kind::Statement
                || !message.statement.as_ref().is_some_and(|(_, sql)| sql.starts_with("CREATE"))
            {
                messages.push(message);
            }
        });
        let words: Vec<String> =
            messages.iter().map(|message| format!("{:?} {:?}", message.kind, message.data)).collect();
        assert_eq!(words, [format!("Insert {expected}")], "{more}");
    }
}

/// Without names in table maps and without GTIDs, reading begins at the start of a file, where columns may have been others than those
/// that the catalogue shows: rows that are older than all that was loaded are passed over, and nothing stops.
#[test]
fn rows_older_than_the_load_need_not_be_understood() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-nogtid"], "--binlog-row-metadata=MINIMAL");
    let more = ["INSERT INTO t (id, n, m) VALUES (7, 7, 7)", "UPDATE t SET n = n + 1", "DELETE FROM t WHERE id = 2"];
    for before in [
        // Other columns, then others of the same types under exchanged names.
        &[
            "CREATE TABLE t (id INT PRIMARY KEY, gone VARCHAR(9), n INT NOT NULL, m INT)",
            "INSERT INTO t VALUES (1, 'x', 1, 5), (2, 'y', 2, 5), (3, 'z', 3, 5)",
            "DELETE FROM t WHERE id = 3",
            "ALTER TABLE t DROP gone, ADD late INT FIRST",
            "UPDATE t SET n = n + 10",
            "ALTER TABLE t RENAME COLUMN n TO m, RENAME COLUMN m TO n",
            "UPDATE t SET n = n + 10",
        ][..],
        // Another table comes to the name.
        &[
            "CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL, m INT)",
            "INSERT INTO t VALUES (1, 1, 2), (2, 3, 4)",
            "CREATE TABLE other (id INT PRIMARY KEY, m INT, n INT NOT NULL)",
            "INSERT INTO other SELECT id, m, n FROM t",
            "RENAME TABLE t TO before_that, other TO t",
            "UPDATE t SET n = n + 10",
        ],
        &[
            "CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL, m INT)",
            "INSERT INTO t VALUES (1, 1, 2), (3, 3, 4)",
            "DROP TABLE t",
            "CREATE TABLE t (id INT PRIMARY KEY, m INT, n INT NOT NULL)",
            "INSERT INTO t VALUES (1, 8, 9), (2, 8, 9)",
        ],
        // Those of an XA transaction are decoded, and those of maps with names could be: they are dropped as the others are.
        &[
            "CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL, m INT)",
            "INSERT INTO t VALUES (1, 0, 0), (2, 0, 0), (3, 0, 0)",
            "XA START 'a'",
            "UPDATE t SET n = 1",
            "INSERT INTO t VALUES (4, 0, 0)",
            "XA END 'a'",
            "XA PREPARE 'a'",
            "XA COMMIT 'a'",
            "CREATE TABLE other (id INT PRIMARY KEY)",
            "UPDATE t SET n = 2",
            "DELETE FROM t WHERE id > 2",
            "CREATE INDEX i ON t (n)",
        ],
        &[
            "CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL, m INT)",
            "INSERT INTO t VALUES (1, 0, 0), (2, 0, 0), (3, 0, 0)",
            "SET GLOBAL binlog_row_metadata = 'FULL'",
            "UPDATE t SET n = 1",
            "SET GLOBAL binlog_row_metadata = 'MINIMAL'",
            "UPDATE t SET n = 2",
            "DELETE FROM t WHERE id > 2",
            "CREATE INDEX i ON t (n)",
        ],
    ] {
        let mut world = World::new("older", private.mysql_nogtid(), &servers.kafka);
        world.begin_binlog_file();
        for statement in before {
            world.mysql.run(statement);
        }
        let mut task = world.task();
        task.tables = format!("[{0}.t, {0}.marker]", world.database);
        let mut reader = world.reader(["t"]);
        let mut engine = Tidegate::run(&task);
        let mut rows = BTreeMap::new();
        let names = world.mysql.query::<String>(
            "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 't'",
        );
        let names = BTreeSet::from_iter(names);
        let mut take = |message: Message| {
            assert_eq!(
                message.data.names().into_iter().map(str::to_owned).collect::<BTreeSet<_>>(),
                names,
                "{message:?}"
            );
            let id = message.data.get("id").cloned().expect("a row has its key");
            match message.kind {
                Kind::Delete => drop(rows.remove(&id)),
                _ => drop(rows.insert(id, message.data)),
            }
        };
        // What was passed over is passed over again by the next run.
        world.until_marker(&mut engine, &mut reader, |message| {
            if message.table == "t" {
                take(message);
            }
        });
        engine.kill_9();
        for statement in more {
            world.mysql.run(statement);
        }
        world.finish(Tidegate::run(&task), &mut reader, take);
        let there: Vec<(String, String, Option<String>)> = world.mysql.query("SELECT id, n, m FROM t ORDER BY id");
        let arrived: Vec<(String, String, Option<String>)> = rows
            .into_iter()
            .map(|(id, row)| (id, row.get("n").cloned().expect("n is NOT NULL"), row.get("m").cloned()))
            .collect();
        assert_eq!(arrived, there, "{before:?}");
    }
}

/// So are those of a table that goes before the load comes to it: of other columns than the catalogue showed at the start, and of other names.
#[test]
fn rows_older_than_a_table_that_went_need_not_be_understood() {
    let Some((servers, [mariadb, _])) = Servers::with_mariadb() else { return };
    let private = Private::up(&["mysql-nogtid"], "--binlog-row-metadata=MINIMAL");
    for mysql in [private.mysql_nogtid(), &mariadb] {
        for change in ["ALTER TABLE t ADD late INT", "ALTER TABLE t RENAME COLUMN n TO m, RENAME COLUMN m TO n"] {
            let mut world = World::new("older_gone", mysql, &servers.kafka);
            world.mysql.run("CREATE TABLE other (id INT PRIMARY KEY); INSERT INTO other VALUES (1)");
            world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL, m INT NOT NULL)");
            world.begin_binlog_file();
            world.mysql.run("INSERT INTO t VALUES (1, 1, 2)");
            world.mysql.run(change);
            let mut locked = Mysql::connect(mysql);
            locked.run(format!("USE {}", world.database));
            locked.run("LOCK TABLES other WRITE");
            let mut task = world.task();
            task.tables = format!("[{0}.other, {0}.t, {0}.marker]", world.database);
            task.more = "full_load: {parallel: 1}".to_owned();
            let mut reader = world.reader(["other", "t"]);
            let mut engine = Tidegate::run(&task);
            world.until_load_is_locked_out(&mut engine);
            world.mysql.run("UPDATE t SET m = 3");
            world.mysql.run("DROP TABLE t");
            locked.run("UNLOCK TABLES");
            let mut rows = Vec::new();
            let mut take = |message: Message| {
                if message.table != "marker" {
                    rows.push(format!("{} {:?}", message.table, message.data));
                }
            };
            world.until_loaded(&mut engine, &mut reader, &mut take);
            engine.kill_9();
            world.mysql.run("INSERT INTO other VALUES (2)");
            world.finish(Tidegate::run(&task), &mut reader, &mut take);
            rows.retain(|row| row.starts_with("other"));
            assert_eq!(rows, ["other id=\"1\"", "other id=\"2\""], "{change}");
        }
    }
}

/// As gh-ost and pt-online-schema-change do it: another table is made, altered and filled beside it under a name that is not selected,
/// and takes its place.
#[test]
fn a_table_that_is_altered_beside_itself_is_known_behind_the_swap() {
    let Some((servers, [mariadb, mariadb_11])) = Servers::with_mariadb() else { return };
    let private = Private::up(&["mysql"], "--binlog-row-metadata=MINIMAL");
    for mysql in [private.mysql(), private.mysql_nogtid(), &mariadb, &mariadb_11] {
        for (made, loads) in [
            ("CREATE TABLE _t_gho LIKE t", "full_load: {}"),
            ("CREATE TABLE _t_gho (id INT PRIMARY KEY, n INT NOT NULL) CHARSET latin1", "full_load: false"),
        ] {
            let mut world = World::new("swapped", mysql, &servers.kafka);
            world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL)");
            world.begin_binlog_file();
            let mut task = world.task();
            task.tables = format!("[{0}.t, {0}.marker]", world.database);
            task.more = loads.to_owned();
            let mut reader = world.reader(["t"]);
            let mut arrived = Vec::new();
            let mut take = |message: Message| {
                if message.table == "t" {
                    arrived.push(format!("{:?} {:?}", message.kind, message.data));
                }
            };
            let mut engine = Tidegate::run(&task);
            // Without a load, what is older is not sent.
            engine.wait_for_line("incremental: reading the binlog");
            world.until_marker(&mut engine, &mut reader, &mut take);
            for statement in [
                "INSERT INTO t VALUES (1, 10)",
                made,
                "ALTER TABLE _t_gho ADD m INT NOT NULL DEFAULT 5 AFTER id",
                "INSERT INTO _t_gho (id, n) SELECT id, n FROM t",
            ] {
                world.mysql.run(statement);
            }
            world.until_marker(&mut engine, &mut reader, &mut take);
            engine.terminate(libc::SIGTERM);
            for statement in [
                "RENAME TABLE t TO _t_del, _t_gho TO t",
                "INSERT INTO _t_del VALUES (8, 8)",
                "INSERT INTO t VALUES (2, 21, 20)",
                "DROP TABLE _t_del",
                "UPDATE t SET n = 11 WHERE id = 1",
            ] {
                world.mysql.run(statement);
            }
            let ended = world.finish(Tidegate::run(&task), &mut reader, take);
            // Each key has its own partition.
            arrived.sort();
            assert_eq!(
                arrived,
                ["Insert id=\"1\" n=\"10\"", "Insert id=\"2\" m=\"21\" n=\"20\"", "Update id=\"1\" m=\"5\" n=\"11\"",],
                "{made}, {loads}\n{}",
                ended.output
            );
        }
    }
}

/// A view in the place of a table that is being loaded: its rows are those of the table that has another name now.
#[test]
fn a_view_in_the_place_of_a_table_is_no_table() {
    let Some((servers, [mariadb, _])) = Servers::with_mariadb() else { return };
    for (url, is_killed) in [(&servers.mysql, false), (&servers.mysql_nogtid, true), (&mariadb, true)] {
        let mut world = World::new("view", url, &servers.kafka);
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
        let rows = "WITH RECURSIVE s AS (SELECT 1 AS s UNION ALL SELECT s + 1 FROM s WHERE s < 900)";
        world.mysql.run(format!("INSERT INTO t {rows} SELECT s FROM s"));
        world.begin_binlog_file();
        let mut task = world.task();
        task.more = "full_load: {parallel: 1, chunk_rows: 100}\nlimits: {full_load: {rows_per_second: 300}}".to_owned();
        let mut reader = world.reader(["t", "t_v2"]);
        let mut messages = BTreeMap::<String, Vec<String>>::new();
        let mut take = |message: Message| {
            messages.entry(message.table.clone()).or_default().extend(message.data.get("id").cloned());
        };
        let mut engine = Tidegate::run(&task);
        reader.until(&mut engine, "the first row", |message| {
            let is_it = message.table == "t";
            take(message);
            is_it
        });
        world.mysql.run("RENAME TABLE t TO t_v2");
        world.mysql.run("CREATE VIEW t AS SELECT * FROM t_v2");
        if is_killed {
            engine.kill_9();
            engine = Tidegate::run(&task);
        }
        let ended = world.finish(engine, &mut reader, &mut take);
        let distinct = |table: &str| messages.get(table).map_or(0, |ids| ids.iter().collect::<BTreeSet<_>>().len());
        assert_eq!(distinct("t_v2"), 900, "{}", ended.output);
        assert!(messages["t"].len() < 900, "{} rows of the view\n{}", messages["t"].len(), ended.output);
    }
}
