//! A task that is not what it was: noticed at the start, and refused until somebody accepts what follows.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Debug;
use std::path::Path;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;

use super::failover::{create_held, hold_load};
use super::harness::consume::Reader;
use super::harness::world::kafka_sink;
use super::harness::{Mysql, Private, Servers, TaskFile, Tidegate, World, wait_for};

/// A task over `t` and the marker that has loaded `t` and followed the binlog for a while, and has ended.
fn ran_once(test: &str, servers: &Servers, columns: &str, rows: &str) -> (World, TaskFile, Reader) {
    ran_once_at(test, &servers.mysql, &servers.kafka, columns, rows)
}

/// As [`ran_once`].
fn ran_once_at(test: &str, mysql_url: &str, kafka: &str, columns: &str, rows: &str) -> (World, TaskFile, Reader) {
    let mut world = World::new(test, mysql_url, kafka);
    world.mysql.run(format!("CREATE TABLE t (id INT PRIMARY KEY, {columns})"));
    world.mysql.run(format!("INSERT INTO t VALUES {rows}"));
    let mut task = world.task();
    task.tables = tables(&world, "");
    let mut reader = world.reader(["t"]);
    let engine = Tidegate::run(&task);
    world.finish(engine, &mut reader, |_| {});
    (world, task, reader)
}

/// `t`, with these options, and the marker.
fn tables(world: &World, options: &str) -> String {
    format!("[{0}.marker, {{table: {0}.t{options}}}]", world.database)
}

/// What is stored, but for the journal, which tells of starts that are refused.
fn entries(task: &TaskFile) -> BTreeMap<String, String> {
    let stored = std::fs::read_to_string(task.checkpoint()).unwrap_or_default();
    let entries = stored.lines().filter_map(|line| line.split_once('\t'));
    let entries = entries.filter(|(key, _)| !key.starts_with("[\"journal\""));
    entries.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The task is refused with all of `words`, and `check` shows the same without changing anything.
#[track_caller]
fn assert_refused(task: &TaskFile, words: &[&str]) {
    let before = entries(task);
    let refused = Tidegate::fails(task);
    let checked = check(task);
    for word in words {
        assert!(refused.contains(word), "{word:?} is not in\n{refused}");
        assert!(checked.contains(word), "{word:?} is not in\n{checked}");
    }
    assert_eq!(entries(task), before, "it was changed");
}

/// What `check` says of a task with errors.
#[track_caller]
fn check(task: &TaskFile) -> String {
    let ended = Tidegate::spawn([OsStr::new("check"), task.write().as_os_str()]).wait();
    assert_eq!(ended.status.code(), Some(2), "{}", ended.output);
    ended.output
}

/// The task goes on, and what is given to `take` are the changes of `t`.
fn goes_on(world: &mut World, task: &TaskFile, reader: &mut Reader) -> Vec<String> {
    let mut messages = Vec::new();
    let engine = Tidegate::run(task);
    world.finish(engine, reader, |message| messages.push(format!("{:?} {:?}", message.kind, message.data)));
    // Partitions have no order between them.
    messages.sort();
    messages
}

/// Rows that passed the old filter are with the consumers, whom nobody tells that the filter is another.
#[test]
fn another_filter_select_or_format() {
    let Some(servers) = Servers::from_env() else { return };
    let (mut world, mut task, mut reader) =
        ran_once("changed", &servers, "c CHAR(2), n INT", "(1, 'DE', 0), (2, 'AT', 0), (3, 'CH', 0)");
    task.tables = format!(
        "\n  - {0}.marker\n  - table: {0}.t\n    where: c IN ('DE', 'AT')\n    select: [id, c]",
        world.database
    );
    task.format = "{canal_json: {time_zone: \"+08:00\"}}".to_owned();
    let of = |option: &str| format!("{option} of {}.t was not set, is ", world.database);
    let all = [
        &format!("{}c IN ('DE', 'AT')", of("where")),
        &format!("{}[id, c]", of("select")),
        "format.canal_json.time_zone was +00:00, is +08:00",
        "rows that pass no longer stay with the consumers",
        "--accept",
    ];
    assert_refused(&task, &all);
    task.accept = "filter,format";
    let output = Tidegate::fails(&task);
    assert!(output.contains("select of") && !output.contains("where of"), "{output}");
    assert!(output.contains("tidegate run --accept filter,select,format"), "{output}");

    // What was accepted is what the task is from now on.
    for accept in ["select,filter,format", ""] {
        task.accept = accept;
        world.mysql.run("UPDATE t SET n = n + 1");
        let messages = goes_on(&mut world, &task, &mut reader);
        assert_eq!(messages, ["Update id=\"1\" c=\"DE\"", "Update id=\"2\" c=\"AT\""]);
    }
    task.tables = task.tables.replace("'AT'", "'CH'");
    assert_refused(&task, &["was c IN ('DE', 'AT'), is c IN ('DE', 'CH')", "--accept filter"]);

    // Where rows go and how many partitions share them is as much of a promise.
    task.tables = task.tables.replace("'CH'", "'AT'");
    task.sink = kafka_sink(&world.kafka, ", topic: \"{task}.{table}\", partition: table, partition_hash: canal");
    let topic = |prefix: &str| format!("{prefix}{}.t", world.database);
    assert_refused(
        &task,
        &[
            &format!("partition of {0}.marker, {0}.t was primary_key, is table", world.database),
            "sink.partition_hash was dts, is canal",
            "--accept partitions",
        ],
    );
    task.sink = kafka_sink(&world.kafka, ", topic: \"other.{database}.{table}\"");
    assert_refused(&task, &[&format!("topic of {} was {}, is {}", topic(""), topic(""), topic("other."))]);
}

/// A column that filter and partition name is renamed while the task is stopped: rows before it are sent by the file that was, rows behind it
/// by one that names the new column, and each file says where it ends.
#[test]
fn a_column_that_the_task_names_has_another_name() {
    let Some(servers) = Servers::from_env() else { return };
    let (mut world, mut task, mut reader) = ran_once("renamed_column", &servers, "a INT", "(1, 1)");
    let names = |column: &str| tables(&world, &format!(", where: {column} > 0, partition: {{columns: [{column}]}}"));
    let (before, behind) = (names("a"), names("b"));
    world.mysql.run("INSERT INTO t VALUES (2, 2), (3, -3)");
    world.mysql.run("ALTER TABLE t RENAME COLUMN a TO b");
    world.mysql.run("INSERT INTO t VALUES (4, 4), (5, -5)");
    task.accept = "filter,partitions";
    for (tables, column) in [(&behind, "b"), (&before, "a")] {
        task.tables.clone_from(tables);
        let output = Tidegate::fails(&task);
        for words in ["error: binlog ", &format!("no column \"{column}\" in this table"), "rows before it are sent"] {
            assert!(output.contains(words), "{words:?} is not in\n{output}");
        }
    }
    task.tables = behind;
    let messages = goes_on(&mut world, &task, &mut reader);
    assert_eq!(messages, ["Insert id=\"2\" a=\"2\"", "Insert id=\"4\" b=\"4\""]);
}

/// A topic that is deleted takes its rows along, and a new one would get changes only.
#[test]
fn deleted_topics_and_added_partitions() {
    let Some(servers) = Servers::from_env() else { return };
    let (mut world, mut task, _) = ran_once("topics", &servers, "n INT", "(1, 0), (2, 0)");
    let topics = Topics::of(&servers.kafka);
    let topic = world.topic("t");
    topics.delete(&topic);
    assert_refused(&task, &[&format!("topic {topic} does not exist any more"), "--accept deleted_topics"]);
    topics.create(&topic, 5);
    assert_refused(
        &task,
        &[
            &format!("topic {topic} was deleted and made again"),
            &format!("topic {topic} had 3 partitions, has 5"),
            "deleted_topics",
        ],
    );
    let mut reader = Reader::new(&servers.kafka, vec![topic.clone(), world.topic("marker")]);
    for (accept, n) in [("deleted_topics,partitions", 1), ("", 2)] {
        task.accept = accept;
        world.mysql.run("UPDATE t SET n = n + 1 WHERE id = 1");
        let messages = goes_on(&mut world, &task, &mut reader);
        assert_eq!(messages.iter().filter(|message| message.contains("n=")).count(), 1, "{n}: {messages:?}");
    }
    topics.add_partitions(&topic, 6);
    assert_refused(&task, &[&format!("topic {topic} had 5 partitions, has 6"), "--accept partitions"]);
}

/// Tables that are added after the full load, left out, or made while the task does not run.
#[test]
fn added_and_removed_tables() {
    let Some(servers) = Servers::from_env() else { return };
    added_and_removed("added", &servers.mysql, &servers.kafka);
    // Where row events describe their tables, nothing else would tell of one that is not loaded.
    let private = Private::up(&["mysql-gtid"], "--binlog-row-metadata=FULL");
    added_and_removed("added_full", private.mysql(), &servers.kafka);
}

fn added_and_removed(test: &str, mysql_url: &str, kafka: &str) {
    let (mut world, mut task, _) = ran_once_at(test, mysql_url, kafka, "n INT", "(1, 0)");
    let database = world.database.clone();
    world.mysql.run("CREATE TABLE u (id INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO u VALUES (1)");
    let both = tables(&world, "");
    // Rows that were there are loaded, and then changes go on; also those from before it was added.
    task.tables = both.replace(']', &format!(", {database}.u]"));
    world.mysql.run("UPDATE t SET n = 1");
    let mut reader = world.reader(["u"]);
    assert_eq!(goes_on(&mut world, &task, &mut reader), ["Insert id=\"1\""]);
    world.mysql.run("INSERT INTO u VALUES (2)");
    assert_eq!(goes_on(&mut world, &task, &mut reader), ["Insert id=\"2\""]);
    task.tables = both.clone();
    assert_refused(&task, &[&format!("table {database}.u is no longer selected"), "--accept tables"]);
    task.accept = "tables";
    let ended = world.finish(Tidegate::run(&task), &mut reader, |_| ());
    let said = format!("table {database}.u is no longer selected: its rows stay with the consumers as they are");
    assert!(ended.output.contains(&said), "{said:?} is not in\n{}", ended.output);
    // What was known of it has not moved with it, and counts no more.
    world.mysql.run("ALTER TABLE u ADD COLUMN x INT FIRST");
    world.mysql.run("UPDATE u SET x = 10 + id");
    task.tables = both.replace(']', &format!(", {database}.u]"));
    task.accept = "non_empty_topics";
    assert_eq!(goes_on(&mut world, &task, &mut reader), ["Insert x=\"11\" id=\"1\"", "Insert x=\"12\" id=\"2\""]);
    task.accept = "";
    world.mysql.run("INSERT INTO u VALUES (13, 3)");
    assert_eq!(goes_on(&mut world, &task, &mut reader), ["Insert x=\"13\" id=\"3\""]);
    task.tables = both.clone();
    task.accept = "tables";
    goes_on(&mut world, &task, &mut reader);
    task.accept = "";
    task.tables = format!("[{database}.marker]");
    assert_refused(&task, &[&format!("table {database}.t is no longer selected"), "--accept tables"]);

    // Left out and taken up again, it is one that was added.
    task.accept = "tables";
    let mut reader = world.reader([]);
    assert_eq!(goes_on(&mut world, &task, &mut reader), [""; 0]);
    task.accept = "";
    task.tables = both;
    assert_refused(&task, &[&format!("topic {database}.t holds messages"), "--accept non_empty_topics"]);
}

/// What was left to be read of it is read no more.
#[test]
fn a_table_that_is_left_out_amid_its_load_is_forgotten() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("left_out", &servers.mysql, &servers.kafka);
    create_held(&mut world.mysql, "z_held");
    let mut task = world.task();
    task.more = "full_load: {parallel: 1}".to_owned();
    let held = hold_load(&world, "z_held");
    let mut engine = Tidegate::run(&task);
    world.until_load_is_locked_out(&mut engine);
    engine.kill_9();
    drop(held);
    let database = &world.database;
    task.tables = format!("[{database}.marker]");
    task.accept = "tables";
    let said = format!("no longer a table of the task: its full load is forgotten table={database}.z_held");
    let mut reader = world.reader([]);
    let ended = world.finish(Tidegate::run(&task), &mut reader, |message| panic!("{message:?}"));
    assert!(ended.output.contains(&said), "{said:?} is not in\n{}", ended.output);
}

/// A task that has lost its state looks like one that has never run, but for its topics.
#[test]
fn a_lost_state_is_noticed_by_the_topics() {
    let Some(servers) = Servers::from_env() else { return };
    let (mut world, mut task, mut reader) = ran_once("lost", &servers, "n INT", "(1, 0)");
    std::fs::remove_dir_all(&task.state).expect("the state folder");
    let topic = world.topic("t");
    assert_refused(&task, &[&format!("{topic} holds messages"), "--accept non_empty_topics"]);
    // A task that shares its topics says so in its file.
    task.sink = kafka_sink(&world.kafka, ", non_empty_topics: accept");
    let messages = goes_on(&mut world, &task, &mut reader);
    assert_eq!(messages, ["Insert id=\"1\" n=\"0\""]);
}

/// The state is found beside the task file, wherever the program is started.
#[test]
fn the_state_does_not_depend_on_the_working_folder() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("folder", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO t VALUES (1)");
    let task = world.task();
    let file = task.write();
    let text = std::fs::read_to_string(&file).expect("a task file");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("state: ")).collect();
    std::fs::write(&file, lines.join("\n")).expect("a file");
    let (folder, name) = (file.parent().expect("a folder"), file.file_name().expect("a name"));
    let other = world.path("elsewhere");
    std::fs::create_dir(&other).expect("a folder");

    let mut reader = world.reader(["t"]);
    let mut count = 0;
    for (working, file) in [(folder, Path::new(name)), (&other, &file)] {
        let engine = Tidegate::spawn_in(working, [OsStr::new("run"), file.as_os_str()]);
        world.finish(engine, &mut reader, |_| count += 1);
    }
    assert_eq!(count, 1, "it was loaded again");
    assert!(folder.join("state").join(&world.database).join("checkpoint").exists());
    assert!(std::fs::read_dir(&other).expect("a folder").next().is_none());
}

/// Two runs of one task meet at the server, whatever their state folders.
#[test]
fn a_second_run_is_refused_wherever_it_is_started() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("lock", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO t VALUES (1)");
    let task = world.task();
    let mut reader = world.reader(["t"]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| {});

    let mut other = task.clone();
    (other.path, other.state) = (world.path("other.yaml"), world.path("other"));
    assert_refused(&other, &[&format!("another run of task {} is at work", world.database)]);
    // To `check` the run is a fact, and what it would meet elsewhere an error.
    let checked = Tidegate::spawn([OsStr::new("check"), task.write().as_os_str()]).wait();
    assert!(checked.status.success() && checked.output.contains("info     other_run: "), "{}", checked.output);

    // A session that is lost is replaced, and the lock taken again.
    let lock = format!("tidegate.{}", world.database);
    let mut admin = Mysql::connect(&servers.mysql);
    let mut holder = || admin.query_one::<Option<u64>>(&format!("SELECT IS_USED_LOCK('{lock}')"));
    let first = holder().expect("a holder");
    world.mysql.run(format!("KILL {first}"));
    let second = wait_for("the lock is taken again", || holder().filter(|holder| *holder != first));
    world.mysql.run("INSERT INTO t VALUES (2)");
    reader.until(&mut engine, "the row behind the lost lock", |message| {
        message.table == "t" && message.data.get("id").map(String::as_str) == Some("2")
    });

    // Another run that has got it meanwhile ends this one.
    let mut thief = Mysql::connect(&servers.mysql);
    let lock_again = format!("SELECT GET_LOCK('{lock}', 60)");
    let thief = std::thread::spawn(move || (thief.query_one::<Option<u8>>(&lock_again), thief));
    wait_for("another run waits for the lock", || {
        let waiting = "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User lock'
            AND info LIKE '%";
        (world.mysql.query_one::<u64>(&format!("{waiting}{lock}%' AND info NOT LIKE '%processlist%'")) > 0)
            .then_some(())
    });
    world.mysql.run(format!("KILL {second}"));
    let (got, _thief) = thief.join().expect("no panic");
    assert_eq!(got, Some(1));
    let ended = engine.wait();
    assert!(!ended.status.success() && ended.output.contains("another run of task"), "{}", ended.output);
}

struct Topics {
    client: AdminClient<DefaultClientContext>,
    runtime: tokio::runtime::Runtime,
}

impl Topics {
    fn of(brokers: &str) -> Topics {
        let client = ClientConfig::new().set("bootstrap.servers", brokers).create().expect("no broker is needed yet");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Topics { client, runtime }
    }

    fn delete(&self, topic: &str) {
        self.done(self.client.delete_topics(&[topic], &AdminOptions::new()));
        wait_for("the topic is gone", || {
            let metadata = self.client.inner().fetch_metadata(Some(topic), std::time::Duration::from_secs(5)).ok()?;
            metadata.topics()[0].error().map(|_| ())
        });
    }

    /// The name of a topic that was deleted is free after a moment.
    fn create(&self, topic: &str, partitions: i32) {
        wait_for("the topic can be made", || {
            let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
            let result = self.runtime.block_on(self.client.create_topics(&[topic], &AdminOptions::new()));
            match &result.expect("brokers answer")[0] {
                Ok(_) => Some(()),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => None,
                Err(error) => panic!("{error:?}"),
            }
        });
        self.wait_for_partitions(topic, partitions);
    }

    fn add_partitions(&self, topic: &str, partitions: i32) {
        let count = NewPartitions::new(topic, usize::try_from(partitions).expect("a count"));
        self.done(self.client.create_partitions(&[count], &AdminOptions::new()));
        self.wait_for_partitions(topic, partitions);
    }

    fn done<T: Debug, E: Debug>(
        &self,
        request: impl Future<Output = Result<Vec<Result<T, (String, RDKafkaErrorCode)>>, E>>,
    ) {
        let results = self.runtime.block_on(request).expect("brokers answer");
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }

    fn wait_for_partitions(&self, topic: &str, partitions: i32) {
        wait_for("the topic has its partitions", || {
            let metadata = self.client.inner().fetch_metadata(Some(topic), std::time::Duration::from_secs(5)).ok()?;
            let found = metadata.topics()[0].partitions();
            (found.len() as i32 == partitions && found.iter().all(|partition| partition.leader() >= 0)).then_some(())
        });
    }
}
