//! Topics that are not what a task needs, from the start or from some moment on: the task ends with the topic's name and what
//! to do, and sends nothing to a topic that only has the name of the one before.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

use super::harness::{Servers, Tidegate, World, wait_for};
use super::prechecks::findings;

pub(super) fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", brokers).create().expect("a client needs no broker yet")
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(future)
}

pub(super) fn delete_topic(brokers: &str, topic: &str) {
    let results = block_on(admin(brokers).delete_topics(&[topic], &AdminOptions::new())).expect("a broker");
    results[0].as_ref().expect("it was there");
}

fn world(test: &str, servers: &Servers) -> World {
    let mut world = World::new(test, &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO orders VALUES (1), (2)");
    world
}

#[test]
fn compacted_topics_are_refused_before_anything_is_sent() {
    let Some(servers) = Servers::from_env() else { return };
    let world = world("compacted", &servers);
    let topic = world.topic("orders");
    let compacted = NewTopic::new(&topic, 1, TopicReplication::Fixed(1)).set("cleanup.policy", "compact");
    let admin = admin(&servers.kafka);
    let results = block_on(admin.create_topics([&compacted], &AdminOptions::new())).expect("a broker");
    results[0].as_ref().expect("a new topic");
    // Made is not yet known to who asks for it.
    wait_for("the broker knows the topic", || {
        let metadata = admin.inner().fetch_metadata(Some(topic.as_str()), std::time::Duration::from_secs(5)).ok()?;
        (!metadata.topics()[0].partitions().is_empty()).then_some(())
    });
    let task = world.task();
    let file = task.write();
    for command in ["check", "run"] {
        let ended = Tidegate::spawn([command.as_ref(), file.as_os_str()]).wait();
        assert!(!ended.status.success(), "{}", ended.output);
        for words in [topic.as_str(), "cleanup.policy=compact", "cleanup.policy=delete"] {
            assert!(ended.output.contains(words), "{words:?} is not in\n{}", ended.output);
        }
    }
}

#[test]
fn a_topic_that_is_deleted_ends_the_task() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = world("deleted", &servers);
    let task = world.task();
    let mut engine = Tidegate::run(&task);
    let mut reader = world.reader(["orders"]);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    let topic = world.topic("orders");
    delete_topic(&servers.kafka, &topic);
    world.mysql.run("INSERT INTO orders VALUES (3)");
    let ended = engine.wait();
    assert!(!ended.status.success(), "{}", ended.output);
    let words = format!("topic {topic} was deleted after the task had begun to send to it");
    assert!(ended.output.contains(&words), "{words:?} is not in\n{}", ended.output);
    assert!(ended.output.contains("--accept deleted_topics"), "{}", ended.output);
    // Whatever starts it again does not get it to go on into an empty topic.
    let output = Tidegate::fails(&task);
    let words = format!("topic {topic} does not exist any more");
    assert!(output.contains(&words), "{words:?} is not in\n{output}");
}

/// Topics that are there are left as they are; what they have otherwise is told when a task begins, and by each check.
#[test]
fn topics_that_are_not_as_the_task_would_make_them_are_named() {
    let Some(servers) = Servers::from_env() else { return };
    let world = world("otherwise", &servers);
    let topic = world.topic("orders");
    let other = NewTopic::new(&topic, 1, TopicReplication::Fixed(1)).set("retention.ms", "86400000");
    let made = block_on(admin(&servers.kafka).create_topics([&other], &AdminOptions::new())).expect("a broker");
    made[0].as_ref().expect("a new topic");
    let mut task = world.task();
    let create = |create: &str| format!("{{kafka: \"{}\", create_topics: {{{create}}}}}", servers.kafka);
    task.sink = create("partitions: 3, replication: 2, config: {retention.ms: 3600000, cleanup.policy: delete}");
    task.tables = format!("[{}.orders]", world.database);
    task.more = "incremental: false".to_owned();
    let known = ["--ignore", "binlog_row_metadata,prepared_xa"];
    let expected = [
        format!("topic {topic}: partitions is 1, and 3 in the task file"),
        format!("topic {topic}: replication is 1, and 2 in the task file"),
        format!("topic {topic}: retention.ms is 86400000, and 3600000 in the task file"),
    ];
    assert_eq!(findings(&task, &known), expected.each_ref().map(|found| format!("warning existing_topics: {found}")));
    let begun = Tidegate::finishes(&task).output;
    assert!(expected.iter().all(|found| begun.contains(found)), "{begun}");
    let later = Tidegate::finishes(&task).output;
    assert!(!expected.iter().any(|found| later.contains(found)), "{later}");
    assert_eq!(findings(&task, &["--ignore", &format!("{},existing_topics", known[1])]), Vec::<String>::new());
    // Who leaves it to the brokers wants nothing else.
    task.sink = create("partitions: broker_default, config: {retention.ms: 8.64e7}");
    assert_eq!(findings(&task, &known), Vec::<String>::new());
}
