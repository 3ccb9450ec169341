//! Where the engine ends and the system, the servers or the user begin: whatever happens there, the task ends with what is true,
//! or waits and says so; and what would stop it is found by `check`.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

use super::harness::{Kind, Private, Servers, TaskFile, Tidegate, World, wait_for};

fn orders(test: &str, mysql_url: &str, kafka: &str) -> World {
    let mut world = World::new(test, mysql_url, kafka);
    world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY, amount INT, spare INT)");
    for id in 0..20 {
        world.mysql.run(format!("INSERT INTO orders VALUES ({id}, 0, 0)"));
    }
    world
}

/// More readers than the system has threads for.
#[test]
fn without_threads_the_task_ends() {
    let Some(servers) = Servers::from_env() else { return };
    let world = orders("threads", &servers.mysql, &servers.kafka);
    let mut task = world.task();
    task.more = "threads: 2\nmemory: 2GiB\nfull_load: {parallel: 256}".to_owned();
    let ended = Tidegate::run_with_few_threads(&task, 60).wait();
    assert!(!ended.status.success() && ended.status.code().is_some(), "{}\n{}", ended.status, ended.output);
    for words in ["could not start a thread", "hint: raise the limit of processes and threads"] {
        assert!(ended.output.contains(words), "{words:?} is not in\n{}", ended.output);
    }
    // Nothing is lost by it.
    task.more.clear();
    let mut reader = world.reader(["orders"]);
    let (mut world, engine, mut count) = (world, Tidegate::run(&task), 0);
    world.finish(engine, &mut reader, |_| count += 1);
    assert!(count >= 20, "{count}");
}

/// A task that has begun waits for both of its sides, and ends when it is told to, at once.
#[test]
fn a_task_that_has_begun_waits_for_its_servers_at_the_start() {
    let Some(_) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid", "kafka"], "");
    let mut world = orders("start", private.mysql(), private.kafka());
    let task = world.task();
    let mut reader = world.reader(["orders"]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| ());

    // What cannot be delivered is waited for after the first signal, and not after the second.
    reader.disconnect();
    private.kill("kafka");
    world.mysql.run("INSERT INTO orders VALUES (100, 0, 0)");
    engine.wait_for_line("nothing has been acknowledged for");
    engine.signal(libc::SIGTERM);
    engine.wait_for_line("stopping: what has been read");
    engine.signal(libc::SIGTERM);
    let ended = engine.wait();
    assert_eq!(ended.status.code(), Some(130), "{}\n{}", ended.status, ended.output);

    private.stop("mysql");
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("the task cannot go on yet error=could not connect to");
    let ended = engine.terminate(libc::SIGTERM);
    assert!(ended.output.contains("stopped before anything was read"), "{}", ended.output);

    private.start("mysql");
    world.reconnect();
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("the task cannot go on yet error=could not reach the brokers");
    let ended = engine.terminate(libc::SIGTERM);
    assert!(ended.output.contains("stopped before anything was read"), "{}", ended.output);
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("the task cannot go on yet error=could not reach the brokers");
    private.start("kafka");
    let mut seen = false;
    world.until_marker(&mut engine, &mut reader, |message| {
        seen |= message.data.get("id").is_some_and(|id| id == "100");
    });
    engine.terminate(libc::SIGTERM);
    reader.read_to_end(|message| seen |= message.data.get("id").is_some_and(|id| id == "100"));
    assert!(seen);
}

/// `check` and `run` refuse the same, in the same words.
#[test]
fn what_a_run_refuses_is_found_by_a_check() {
    let Some(servers) = Servers::from_env() else { return };
    let world = orders("checked", &servers.mysql, &servers.kafka);
    let task = world.task();
    let database = &world.database;
    let with =
        |options: &str| TaskFile { tables: format!("[{{table: {database}.orders, {options}}}]"), ..task.clone() };
    let no_topics = format!("{{kafka: \"{}\", create_topics: false}}", servers.kafka);
    let (one, other) = (format!("{database}.eu_orders"), format!("{database}.eu.orders"));
    let collide = format!("[{{table: {database}.orders, topic: {one}}}, {{table: {database}.marker, topic: {other}}}]");
    std::fs::write(world.path("file"), "").expect("a file");
    let letters = format!("{database}_orders");
    let of_letters = format!("{{kafka: \"{}\", too_large: {{dead_letter: {{topic: {letters}}}}}}}", servers.kafka);
    let cases: [(TaskFile, &[&str]); 6] = [
        (with("partition: {columns: [regoin]}"), &["orders", "regoin"]),
        (with("chunk_by: [creatd]"), &["orders", "creatd", "chunk_by"]),
        (TaskFile { sink: no_topics, ..task.clone() }, &["does not exist and create_topics is off"]),
        (TaskFile { tables: collide, ..task.clone() }, &[&one, &other, "cannot be created beside"]),
        (TaskFile { sink: of_letters, ..task.clone() }, &[&letters, "cannot be created beside"]),
        (TaskFile { state: world.path("file").join("state"), ..task.clone() }, &["file/state"]),
    ];
    let refuse = |task: &TaskFile, words: &[&str]| {
        let check = Tidegate::spawn(["check".as_ref(), task.write().as_os_str()]).wait();
        assert_eq!(check.status.code(), Some(2), "{}", check.output);
        let run = Tidegate::fails(task);
        assert!(!run.contains("topic created"), "{run}");
        for words in words {
            for output in [&check.output, &run] {
                assert!(output.contains(words), "{words:?} is not in\n{output}");
            }
        }
    };
    for (task, words) in &cases {
        refuse(task, words);
    }
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("reading the binlog");
    // To `check` that is a fact.
    let check = Tidegate::spawn(["check".as_ref(), task.write().as_os_str()]).wait();
    assert!(
        check.status.success() && check.output.contains("info     other_run: a run of the task"),
        "{}",
        check.output
    );
    assert!(Tidegate::fails(&task).contains("is in use by another run"));
    engine.terminate(libc::SIGTERM);
}

/// Until it has eleven.
fn add_partitions(kafka: &str, topic: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka).create().expect("a client needs no broker yet");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (more, options) = (NewPartitions::new(topic, 11), AdminOptions::new());
    let added = runtime.block_on(admin.create_partitions([&more], &options)).expect("a broker");
    added[0].as_ref().expect("a topic");
    wait_for("the topic has its partitions", || {
        let metadata = admin.inner().fetch_metadata(Some(topic), Duration::from_secs(5)).ok()?;
        (metadata.topics()[0].partitions().len() == 11).then_some(())
    });
}

/// A key stays where it is for as long as the task runs, also under a new version of its table; a start with another number of
/// partitions is the moment to move it, for whoever has accepted that.
#[test]
fn partitions_that_are_added_move_no_key_in_a_run() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid"], "--binlog-row-metadata=FULL");
    let mut world = orders("partitions", private.mysql(), &servers.kafka);
    let mut task = world.task();
    let mut reader = world.reader(["orders"]);
    let mut engine = Tidegate::run(&task);
    let mut places: BTreeMap<String, i32> = BTreeMap::new();
    world.until_loaded(&mut engine, &mut reader, |message| {
        places.insert(message.data.get("id").expect("a key").clone(), message.partition);
    });
    assert_eq!(places.len(), 20);
    let topic = world.topic("orders");
    add_partitions(&servers.kafka, &topic);

    world.mysql.run("ALTER TABLE orders DROP COLUMN spare");
    world.mysql.run("UPDATE orders SET amount = 1");
    let mut updates = 0;
    let mut take = |message: super::harness::Message| {
        let id = message.data.get("id").expect("a key").clone();
        assert_eq!(places[&id], message.partition, "key {id}");
        updates += 1;
    };
    world.until_marker(&mut engine, &mut reader, &mut take);
    engine.wait_for_line("it has 11 partitions now; the 3 that this run began with are used on");
    engine.terminate(libc::SIGTERM);
    reader.read_to_end(&mut take);
    assert_eq!(updates, 20);

    let output = Tidegate::fails(&task);
    for words in [&format!("topic {topic} had 3 partitions, has 11"), "--accept partitions"] {
        assert!(output.contains(words), "{words:?} is not in\n{output}");
    }
    task.accept = "partitions";
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("reading the binlog");
    engine.terminate(libc::SIGTERM);
    // Once accepted, it is the number that counts.
    task.accept = "";
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("reading the binlog");
    engine.terminate(libc::SIGTERM);
}

/// Of a table that is gone, changes are still to be sent: its keys move as little as those of others.
#[test]
fn partitions_that_are_added_to_a_topic_whose_table_is_gone_move_no_key() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = orders("partitions_gone", &servers.mysql, &servers.kafka);
    let mut task = world.task();
    task.tables = format!("[\"{}.*\"]", world.database);
    let mut reader = world.reader(["orders"]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    engine.terminate(libc::SIGTERM);
    world.mysql.run("UPDATE orders SET amount = 1");
    world.mysql.run("DELETE FROM orders");
    world.mysql.run("DROP TABLE orders");
    let topic = world.topic("orders");
    add_partitions(&servers.kafka, &topic);
    let output = Tidegate::fails(&task);
    for words in [&format!("topic {topic} had 3 partitions, has 11"), "--accept partitions"] {
        assert!(output.contains(words), "{words:?} is not in\n{output}");
    }
    task.accept = "partitions";
    // One that knows all partitions.
    let mut reader = world.reader(["orders"]);
    let mut deleted = 0;
    world.finish(Tidegate::run(&task), &mut reader, |message| deleted += u32::from(message.kind == Kind::Delete));
    assert_eq!(deleted, 20);
    // What is gone with its topic is no reason to ask.
    task.accept = "";
    world.finish(Tidegate::run(&task), &mut reader, |message| panic!("{message:?}"));
}
