//! Broken things: each gives an error that says what is wrong and what to do, and none loses anything.

use std::collections::BTreeMap;
use std::path::Path;

use super::harness::mysql::error_code;
use super::harness::order::Order;
use super::harness::source_state::Format;
use super::harness::state::State;
use super::harness::tables;
use super::harness::world::{kafka_sink, mysql_source};
use super::harness::writers::Writers;
use super::harness::{Kind, Message, Mysql, Private, Reader, Servers, TaskFile, Tidegate, World, seeded, wait_for};
use super::prechecks::findings;
use super::snapshot::{assert_equals_source, fill_all, names};

/// The words of a task that must fail: all of `words`, whatever their case.
#[track_caller]
fn assert_fails(task: &TaskFile, words: &[&str]) -> String {
    let output = Tidegate::fails(task);
    let lower = output.to_lowercase();
    for word in words {
        assert!(lower.contains(&word.to_lowercase()), "{word:?} is not in\n{output}");
    }
    output
}

fn one_table(test: &str, mysql_url: &str, kafka: &str) -> (World, TaskFile) {
    let mut world = World::new(test, mysql_url, kafka);
    world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY, amount DECIMAL(10,2), name VARCHAR(20))");
    world.mysql.run("INSERT INTO orders VALUES (1, 10, 'one'), (2, 20, 'two')");
    let mut task = world.task();
    task.more = "retry: {connection: 2s, other: 1s}".to_owned();
    (world, task)
}

#[test]
fn wrong_password() {
    let Some(servers) = Servers::from_env() else { return };
    let (_world, mut task) = one_table("password", &servers.mysql, &servers.kafka);
    task.source = mysql_source(&servers.mysql, "tide", "not-the-password");
    let output = assert_fails(&task, &["refused user", "tide", "password", "hint:"]);
    assert!(!output.contains("not-the-password"), "{output}");
    let [found] = findings(&task, &[]).try_into().expect("one");
    assert!(found.starts_with("error source: ") && found.contains("(using password: YES)"), "{found}");
    assert!(!found.contains("not-the-password"), "{found}");
}

#[test]
fn missing_privileges() {
    let Some(servers) = Servers::from_env() else { return };
    let (mut world, mut task) = one_table("rights", &servers.mysql, &servers.kafka);
    let user = format!("u_{:08x}", fastrand::u32(..));
    world.mysql.run(format!("CREATE USER {user} IDENTIFIED BY 'secret'"));
    task.source = mysql_source(&servers.mysql, &user, "secret");
    let database = world.database.clone();
    for (grant, missing) in [
        (format!("SELECT ON {database}.*"), "REPLICATION SLAVE"),
        ("REPLICATION SLAVE ON *.*".to_owned(), "REPLICATION CLIENT"),
    ] {
        world.mysql.run(format!("GRANT {grant} TO {user}"));
        assert_fails(&task, &[missing, "GRANT"]);
    }
    // With both it runs, so nothing else was missing.
    world.mysql.run(format!("GRANT REPLICATION CLIENT ON *.* TO {user}"));
    let mut reader = world.reader(["orders"]);
    let engine = Tidegate::run(&task);
    let mut count = 0;
    world.finish(engine, &mut reader, |_| count += 1);
    assert_eq!(count, 2);
    // SELECT alone is what the full load lacks.
    world.mysql.run(format!("REVOKE SELECT ON {database}.* FROM {user}"));
    world.mysql.run(format!("GRANT SELECT ON {database}.marker TO {user}"));
    let mut other = world.task();
    other.name = format!("{database}-2");
    other.state = world.path("state-2");
    other.source = task.source;
    other.tables = format!("[{database}.orders]");
    assert_fails(&other, &["orders", "SELECT"]);
    world.mysql.run(format!("DROP USER {user}"));
}

#[test]
fn settings_of_the_source_that_lose_changes() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-nogtid"], "");
    let (mut world, task) = one_table("settings", private.mysql_nogtid(), &servers.kafka);
    for (setting, wrong, right) in [("binlog_format", "STATEMENT", "ROW"), ("binlog_row_image", "MINIMAL", "FULL")] {
        if let Err(error) = world.mysql.try_run(&format!("SET GLOBAL {setting} = {wrong}")) {
            println!("settings: this server has no {setting} any more ({error})");
            continue;
        }
        assert_fails(&task, &[setting, wrong, right, "SET GLOBAL"]);
        world.mysql.run(format!("SET GLOBAL {setting} = {right}"));
    }
    drop(world);

    let private = Private::up(&["mysql-nogtid"], "--skip-log-bin");
    let (_world, task) = one_table("nolog", private.mysql_nogtid(), &servers.kafka);
    assert_fails(&task, &["log_bin"]);
}

#[test]
fn unknown_tables_and_columns() {
    let Some(servers) = Servers::from_env() else { return };
    let (world, task) = one_table("unknown", &servers.mysql, &servers.kafka);
    let database = &world.database;
    let with = |tables: String| TaskFile { tables, ..task.clone() };
    assert_fails(&with(format!("[{database}.orders, {database}.oders]")), &["oders"]);
    assert_fails(&with("[no_such_database.orders]".to_owned()), &["no_such_database"]);
    assert_fails(&with("['no_such_*.orders']".to_owned()), &["no table is selected"]);

    // A place in a text is shown by a caret under it.
    for (options, words) in [
        ("where: amont > 5", ["amont", "amount"]),
        ("where: amount > 5 AND nme = 'x'", ["nme", "name"]),
        ("where: 1 = 1", ["where", "reads no column"]),
        ("where: amount > 5 5", ["where", "5"]),
        ("where: \"amount >\"", ["where", "end"]),
        ("select: [id, amont]", ["amont", "amount"]),
        ("select: [id, upper(nam) AS n]", ["nam", "name"]),
    ] {
        let output = assert_fails(&with(format!("[{{table: {database}.orders, {options}}}]")), &words);
        assert!(
            output.lines().any(|line| line.trim_start_matches([' ', '|']).starts_with('^')),
            "no caret in\n{output}"
        );
        assert!(output.contains("orders"), "{output}");
    }
}

#[test]
fn unreachable_servers() {
    let Some(servers) = Servers::from_env() else { return };
    let (_world, mut task) = one_table("unreachable", &servers.mysql, &servers.kafka);
    let source = std::mem::replace(&mut task.source, "{mysql: \"mysql://tide@127.0.0.1:1\"}".to_owned());
    assert_fails(&task, &["could not connect to 127.0.0.1:1", "refused"]);
    // Nobody knows whether the address is right: that is no outage to be waited for.
    assert_eq!(Tidegate::run(&task).wait().status.code(), Some(1));
    task.source = source;
    task.sink = "{kafka: \"127.0.0.1:1\"}".to_owned();
    let output = assert_fails(&task, &["could not reach the brokers", "127.0.0.1:1", "hint:"]);
    assert!(output.lines().count() < 10, "one thing is said once:\n{output}");
    task.sink = format!("{{kafka: \"{}\", create_topics: false}}", servers.kafka);
    assert_fails(&task, &["does not exist", "create_topics"]);
}

#[test]
fn errors_of_a_task_file_come_at_once_with_places() {
    if Servers::from_env().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("task.yaml");
    let text = "task: My Shop
source:
  mysql: mysql://tide@db
  pasword: {env: X}
tables:
  - table: shop.orders
    selct: [id]
sink:
  kafka: b1:9092
  partition: random
memory: 512
retrys: 5
";
    std::fs::write(&path, text).expect("a file");
    let ended = Tidegate::spawn([Path::new("run"), &path]).wait();
    assert!(!ended.status.success());
    for line in [
        "task.yaml:1:7: task = My Shop: must be made of",
        "task.yaml:4:3: source.pasword: no such key, did you mean `password`?",
        "task.yaml:7:5: tables[0].selct: no such key, did you mean `select`?",
        "task.yaml:10:14: sink.partition = random: must be",
        "task.yaml:11:9: memory = 512: must be a size with a unit",
        "task.yaml:12:1: retrys: no such key, did you mean `retry`?",
        "format: is missing",
    ] {
        assert!(ended.output.contains(line), "{line:?} is not in\n{}", ended.output);
    }

    std::fs::write(&path, "task: shop\nsource: {mysql: x\nsink: 5\n").expect("a file");
    let ended = Tidegate::spawn([Path::new("run"), &path]).wait();
    assert!(!ended.status.success());
    assert!(ended.output.contains("task.yaml:3:5: not YAML"), "{}", ended.output);

    let ended = Tidegate::spawn([Path::new("run"), &folder.path().join("none.yaml")]).wait();
    assert!(!ended.status.success());
    assert!(ended.output.contains("none.yaml") && ended.output.contains("could not read"), "{}", ended.output);
}

/// What becomes of a source for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outage {
    /// As `kill -9` does.
    Killed,
    ShutDown,
    /// All of the task's connections are, one after the other, and lastly that by which it follows, if it does.
    ConnectionsKilled,
}

/// All three, in random order.
#[derive(Default)]
pub(crate) struct Outages(Vec<Outage>);

impl Outages {
    pub(crate) fn next(&mut self, rng: &mut fastrand::Rng) -> Outage {
        if self.0.is_empty() {
            self.0 = vec![Outage::Killed, Outage::ShutDown, Outage::ConnectionsKilled];
            rng.shuffle(&mut self.0);
        }
        self.0.pop().expect("there are three")
    }
}

impl Outage {
    /// `server` is the name of the one that listens at `url`.
    pub(crate) fn happens_to(self, private: &Private, server: &str, url: &str, rng: &mut fastrand::Rng) {
        println!("{server}: {self:?}");
        match self {
            Outage::Killed => {
                private.kill(server);
                private.start(server);
            }
            Outage::ShutDown => {
                private.stop(server);
                private.start(server);
            }
            Outage::ConnectionsKilled => {
                let mut mysql = Mysql::connect(url);
                let query = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'tide' \
                             ORDER BY COMMAND LIKE 'Binlog Dump%', ID";
                // It may still be about to come back from the outage before.
                let connections = wait_for("the task has connections", || {
                    let connections: Vec<u64> = mysql.query(query);
                    (!connections.is_empty()).then_some(connections)
                });
                for connection in connections {
                    let how = ["KILL", "KILL QUERY"][rng.usize(..2)];
                    match mysql.try_run(&format!("{how} {connection}")) {
                        // The task has ended it.
                        Err(error) if error_code(&error) == Some(NO_SUCH_THREAD) => {}
                        result => result.unwrap_or_else(|error| panic!("{how}: {error}")),
                    }
                }
            }
        }
    }
}

const NO_SUCH_THREAD: u16 = 1094;

/// Runs a task under writers while `interrupt` happens to a server, thrice; nothing may be lost. The source must be the test's own.
pub(crate) fn survives(test: &str, mysql_url: &str, kafka: &str, mut interrupt: impl FnMut(&mut fastrand::Rng)) {
    let mut rng = seeded(test);
    let mut world = World::new(test, mysql_url, kafka);
    let targets = fill_all(&mut world, &mut rng, 30_000);
    let mut task = world.task();
    task.format = "{canal_json: {profile: dts}}".to_owned();
    task.more = "full_load: {parallel: 2, chunk_rows: 1000}\nincremental: {heartbeat_s: 2}".to_owned();
    let writers = Writers::start(8, mysql_url, &world.database, &targets, &mut rng);
    let mut reader = world.reader(names());
    let mut state = State::new(tables::ALL);
    let mut order = Order::new(tables::ALL);
    let mut engine = Tidegate::run(&task);
    for phase in ["full load", "changes", "changes"] {
        if phase == "changes" {
            // Until then the writers may be through with what they are allowed, and the full load would show all of it: none
            // of it would come as a change.
            engine.wait_for_line("full load complete");
        }
        writers.allow(3000);
        let mut left = rng.u32(1..2000);
        reader.until(&mut engine, phase, |message| {
            writers.use_xa();
            state.apply(&message);
            order.check(&message);
            // The first time as soon as anything comes, later among changes.
            if phase == "full load" || message.kind != Kind::Init {
                left = left.saturating_sub(1);
            }
            left == 0
        });
        reader.disconnect();
        interrupt(&mut rng);
        println!("{test}: interrupted in {phase}");
    }
    writers.allow(1000);
    writers.let_commit(500);
    let committed = writers.stop();
    // The administrator's connection may have died, too.
    world.reconnect();
    world.finish(engine, &mut reader, |message| {
        state.apply(&message);
        order.check(&message);
    });
    println!("{test}: {} messages, {committed} transactions, {} partitions went back", reader.count(), order.breaks());
    assert_equals_source(&mut world, &state, Format::Dts);
    order.assert_in_order(3, &world);
}

#[test]
fn broker_is_killed_and_comes_back() {
    if Servers::from_env().is_none() {
        return;
    }
    let private = Private::up(&["kafka", "mysql-gtid"], "");
    survives("broker", private.mysql(), private.kafka(), |_| {
        private.kill("kafka");
        private.start("kafka");
    });
}

#[test]
fn source_is_away_for_a_while() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "");
    for (test, server, url) in
        [("source_gtid", "mysql", private.mysql()), ("source_nogtid", "mysql-nogtid", private.mysql_nogtid())]
    {
        let mut outages = Outages::default();
        survives(test, url, &servers.kafka, |rng| outages.next(rng).happens_to(&private, server, url, rng));
    }
}

/// Whether an event of a binlog file begins here.
fn is_border(file: &[u8], at: usize) -> bool {
    // Behind the magic number; the size stands behind a time, a type and a server.
    let mut next = 4;
    while next < at {
        next += u32::from_le_bytes(file[next + 9..next + 13].try_into().expect("four bytes")) as usize;
    }
    next == at
}

/// A binlog file that ends in the middle of an event, or in which a bit is wrong, is an error with the place; with the
/// whole file in its place, the same task goes on and nothing is missing.
#[test]
fn damaged_binlog_files() {
    let Some(servers) = Servers::from_env() else { return };
    let test = "binlog_files";
    let mut rng = seeded(test);
    let private = Private::up(&["mysql-gtid"], "--binlog-row-metadata=FULL");
    let mut world = World::new(test, private.mysql(), &servers.kafka);
    let mut admin = Mysql::connect(private.mysql());
    admin.run("FLUSH BINARY LOGS");
    let (file, ..): (String, u64, String, String, String) = admin.query_one("SHOW BINARY LOG STATUS");
    world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY, name VARCHAR(100))");
    let rows = 2000;
    for id in 0..rows {
        world.mysql.run(format!("INSERT INTO orders VALUES ({id}, REPEAT('x', {}))", id % 90));
    }
    admin.run("FLUSH BINARY LOGS");
    let whole = std::fs::read(private.data("mysql").join(&file)).expect("a binlog file");
    let copy = world.path(&file);

    let mut flipped = whole.clone();
    let middle = whole.len() / 4..whole.len() * 3 / 4;
    flipped[rng.usize(middle.clone())] ^= 1 << rng.u8(..8);
    // Between two transactions it would end well: an event is longer than a byte.
    let at = rng.usize(middle);
    let cut = whole[..at + usize::from(is_border(&whole, at))].to_vec();
    for (damage, bytes, words) in [("flip", &flipped, "checksum"), ("cut", &cut, "ends in the middle")] {
        std::fs::write(&copy, bytes).expect("a file");
        let mut task = world.task();
        task.name = format!("{}_{damage}", world.database);
        task.state = world.path(damage);
        task.source = format!("{{binlog_files: [\"{}\"]}}", copy.display());
        task.tables = format!("[{}.orders]", world.database);
        task.sink = kafka_sink(&servers.kafka, ", topic: \"{task}\"");
        let output = Tidegate::fails(&task);
        // A flipped bit may also make a length that cannot be.
        assert!(output.contains(file.as_str()), "the file is not named:\n{output}");
        assert!(output.contains(words) || damage == "flip", "{words:?} is not in\n{output}");

        let mut reader = Reader::new(&servers.kafka, vec![task.name.clone()]);
        let mut ids = BTreeMap::<String, u32>::new();
        let mut take = |message: Message| {
            *ids.entry(message.data.get("id").expect("never NULL").clone()).or_default() += 1;
        };
        reader.read_to_end(&mut take);
        std::fs::write(&copy, &whole).expect("a file");
        Tidegate::finishes(&task);
        reader.read_to_end(&mut take);
        assert_eq!(ids.len(), rows, "{damage}");
    }
}
