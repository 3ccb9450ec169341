//! Brokers of older Kafkas: what they can do is done, what they cannot is done otherwise, or refused with what to do.
//!
//! ```text
//!              idempotence, headers   asked about a topic   settings   zstd   its own defaults   tells topics apart
//!   0.10.2     –                      makes it              –          –      –                  –
//!   0.11       yes                    yes                   yes        –      tells them         –
//!   2.7        yes                    yes                   yes        yes    yes                –
//!   3.9        yes                    yes                   yes        yes    yes                yes
//! ```
//!
//! On each of them a broker dies in the middle, and nothing is lost or out of order. What was on its way then may come twice where
//! there is no idempotence: each partition goes back once at most for each connection that has broken, and never leaves a change out.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;

use super::harness::consume::read_messages;
use super::harness::order::Order;
use super::harness::source_state::{Format, rows_of};
use super::harness::state::State;
use super::harness::tables::{self, Table};
use super::harness::tokens::{self, SECRET, TokenListener, TokenServer};
use super::harness::world::kafka_sink;
use super::harness::writers::{Target, Writers};
use super::harness::{Private, Servers, TaskFile, Tidegate, World, seeded, wait_for};
use super::outages::stop_while_away;
use super::topics::{admin, block_on};

const TABLES: [&Table; 3] = [&tables::INT, &tables::COMPOSITE, &tables::KEYLESS];
const KEYS: u64 = 600;
const SCRAM: &str = ", security: {sasl: scram_sha_256, user: app, password: secret}";

/// Full load and changes, through a broker that dies; what comes is what the source holds, in its order.
fn through_the_death_of_a_broker(name: &str, servers: &Servers, private: &Private, repeats_max: usize) {
    let test = name.replace(['-', '.'], "_");
    let mut rng = seeded(&test);
    let (brokers, scram) = private.kafka_named(name);
    let mut world = World::new(&test, &servers.mysql, brokers);
    let targets: Vec<Target> = TABLES.iter().map(|table| (*table, KEYS)).collect();
    for (table, keys) in &targets {
        table.create(&mut world.mysql);
        table.fill(&mut world.mysql, &mut rng, *keys);
    }
    let mut task = world.task();
    task.sink = kafka_sink(scram, SCRAM);
    task.format = "{canal_json: {profile: dts}}".to_owned();
    let mut reader = world.reader(TABLES.map(|table| table.name));
    let (mut state, mut order) = (State::new(TABLES), Order::new(TABLES));
    let mut engine = Tidegate::run(&task);
    let writers = Writers::start(2, &servers.mysql, &world.database, &targets, &mut rng);
    world.until_loaded(&mut engine, &mut reader, |message| {
        state.apply(&message);
        order.check(&message);
    });
    writers.let_commit(50);
    reader.disconnect();
    private.kill(name);
    writers.let_commit(200);
    private.start(name);
    writers.let_commit(50);
    writers.stop();
    let ended = world.finish(engine, &mut reader, |message| {
        state.apply(&message);
        order.check(&message);
    });
    state.assert_no_violations();
    for table in TABLES {
        state.assert_equals(table, &rows_of(&mut world.mysql, table, Format::Dts));
    }
    order.assert_in_order(repeats_max, &world);
    let is_told = ended.output.contains("may come twice");
    assert_eq!(is_told, repeats_max > 0, "{}", ended.output);
    assert_eq!(partitions(brokers, &world.topic("t_int")), 3);
    println!("{name}: {} messages, {} repeats", reader.count(), order.breaks());
}

fn consumer(brokers: &str) -> BaseConsumer {
    ClientConfig::new().set("bootstrap.servers", brokers).create().expect("a consumer needs no broker yet")
}

/// How many partitions a topic has; 0 if there is none. Without asking for it by name, by which the oldest make it.
fn partitions(brokers: &str, topic: &str) -> usize {
    let consumer = consumer(brokers);
    let metadata = wait_for("a broker answers", || consumer.fetch_metadata(None, Duration::from_secs(10)).ok());
    metadata.topics().iter().find(|found| found.name() == topic).map_or(0, |topic| topic.partitions().len())
}

/// A database with one table, and a task for it.
fn one_table(test: &str, servers: &Servers, brokers: &str, sink: &str) -> (World, TaskFile) {
    let mut world = World::new(test, &servers.mysql, brokers);
    world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY, name VARCHAR(20))");
    world.mysql.run("INSERT INTO orders VALUES (1, 'one'), (2, 'two')");
    let mut task = world.task();
    task.tables = format!("[{}.orders]", world.database);
    task.sink = format!("{{kafka: \"{brokers}\"{sink}}}");
    task.more = "incremental: false".to_owned();
    (world, task)
}

/// Level, item and what was found of each finding about brokers and topics; what the first one that stands in the way has to be done.
fn findings(task: &TaskFile) -> (Vec<String>, String) {
    let ended = Tidegate::spawn(["check".as_ref(), task.write().as_os_str(), "--json".as_ref()]).wait();
    let report: Value = serde_json::from_str(&ended.output).unwrap_or_else(|error| panic!("{error}: {}", ended.output));
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let passed = report["passed"].as_array().expect("a list").iter();
    let passed =
        passed.filter(|passed| passed["item"] == "sink").map(|passed| format!("ok {}", text(&passed["found"])));
    let of_brokers = |finding: &&Value| {
        let items = ["broker_version", "idempotence", "topic_settings", "topic_identity", "topics", "sink"];
        items.iter().any(|item| finding["item"] == *item)
    };
    let found: Vec<&Value> = report["findings"].as_array().expect("a list").iter().filter(of_brokers).collect();
    let to_do = found.first().map_or_else(String::new, |finding| text(&finding["to_do"]));
    let findings = found
        .iter()
        .map(|finding| format!("{} {}: {}", text(&finding["level"]), text(&finding["item"]), text(&finding["found"])));
    (passed.chain(findings).collect(), to_do)
}

const NO_IDEMPOTENCE: &str = "warning idempotence: the brokers speak as Kafka 0.10.2 and know no idempotence: messages stay in order \
                              and none is lost, but those on their way when a connection breaks may come twice";
const NO_SETTINGS: &str = "info topic_settings: the brokers do not tell the settings of topics";
const NO_IDENTITY: &str = "info topic_identity: the brokers do not tell a topic from another one that has its name";
const COUNTS: &str = ", create_topics: {partitions: 3, replication: 1}";

/// `check` says what is lacked, and a start refuses what it says stands in the way.
#[track_caller]
fn assert_refused(task: &TaskFile, found: &str, to_do: &str) {
    let (findings, first) = findings(task);
    assert!(findings.iter().any(|finding| finding == found), "{found:?} is not in {findings:#?}");
    assert!(first.contains(to_do), "{to_do:?} is not in {first:?}");
    let (_, words) = found.split_once(": ").expect("an item");
    let said = words.rsplit_once(": ").map_or(words, |(_, what)| what);
    let output = Tidegate::fails(task);
    assert!(output.contains(said) && output.contains(to_do), "{said:?} or {to_do:?} is not in\n{output}");
}

/// Of brokers that know none, or of which this listener wants others.
fn tokens_are_refused(name: &str, servers: &Servers, private: &Private) {
    let Some(listener) = TokenListener::from_env() else { return };
    let (server, (brokers, sasl)) = (TokenServer::start(&listener, 3600), private.kafka_named(name));
    let security = tokens::security(&server.url, &format!("\"{SECRET}\""), "");
    let (_world, mut task) = one_table("tokens", servers, brokers, "");
    task.sink = format!("{{kafka: \"{sasl}\"{security}}}");
    let output = Tidegate::fails(&task);
    assert!(output.contains("refused the task") && output.contains("Unsupported SASL mechanism"), "{name}: {output}");
    assert!(output.contains("broker's supported mechanisms: ") && output.contains("PLAIN"), "{name}: {output}");
}

/// A full load to brokers that want some.
fn tokens_are_taken(name: &str, servers: &Servers, private: &Private) {
    let listener = private.tokens_of(name);
    let server = TokenServer::start(&listener, 3600);
    let (world, mut task) = one_table("tokens", servers, private.kafka_named(name).0, "");
    task.sink = listener.sink(&server, "");
    Tidegate::finishes(&task);
    assert_eq!(read_messages(private.kafka_named(name).0, &world.topic("orders")).0.len(), 2);
}

fn kafka_0_10(servers: &Servers) {
    let private = Private::up(&["kafka-0.10"], "");
    let (brokers, _) = private.kafka_named("kafka-0.10");
    let (world, task) = one_table("v010", servers, brokers, COUNTS);
    let topic = world.topic("orders");
    assert_eq!(findings(&task).0, ["ok 1 broker answers as Kafka 0.10.2", NO_IDEMPOTENCE, NO_SETTINGS, NO_IDENTITY]);
    // What is known stays out of the log of a start, and check makes nothing.
    assert_eq!(partitions(brokers, &topic), 0);
    let mut known = task.clone();
    known.more = format!("{}\nprecheck: {{ignore: [idempotence]}}", task.more);
    assert!(!Tidegate::finishes(&known).output.contains("idempotence"));
    assert_eq!(partitions(brokers, &topic), 3);

    let lacks = |what: &str| format!("error broker_version: the brokers speak as Kafka 0.10.2: they {what}");
    let (_headers, task) = one_table("v010_headers", servers, brokers, &format!("{COUNTS}, headers: [op]"));
    assert_refused(&task, &lacks("take no headers, which Kafka has had since 0.11"), "leave out sink.headers");
    let (_zstd, task) =
        one_table("v010_zstd", servers, brokers, &format!("{COUNTS}, options: {{compression.type: zstd}}"));
    assert_refused(&task, &lacks("do not know zstd, which Kafka has had since 2.1"), "lz4, snappy, gzip or none");
    let (world, task) = one_table("v010_counts", servers, brokers, "");
    let topic = world.topic("orders");
    let words = "brokers of Kafka 0.10.2 do not tell how many partitions and replicas they give a topic";
    assert_refused(
        &task,
        &format!("error topics: topic {topic} could not be created: {words}"),
        "set sink.create_topics.partitions and sink.create_topics.replication",
    );
    assert_eq!(partitions(brokers, &topic), 0);
    let (world, task) = one_table("v010_missing", servers, brokers, ", create_topics: false");
    assert_refused(
        &task,
        &format!("error topics: topic {} does not exist and create_topics is off", world.topic("orders")),
        "create the topic, or set sink.create_topics",
    );
    assert_eq!(partitions(brokers, &world.topic("orders")), 0);

    tokens_are_refused("kafka-0.10", servers, &private);
    through_the_death_of_a_broker("kafka-0.10", servers, &private, 1);
    stop_while_away("kafka-0.10", servers, &private);
}

fn kafka_0_11(servers: &Servers) {
    let private = Private::up(&["kafka-0.11"], "");
    let (brokers, _) = private.kafka_named("kafka-0.11");
    // The brokers' own counts, which have to be asked for.
    let (world, task) = one_table("v011", servers, brokers, ", headers: [op]");
    assert_eq!(findings(&task).0, ["ok 1 broker answers as Kafka 0.11", NO_IDENTITY]);
    Tidegate::finishes(&task);
    let (messages, partitions) = read_messages(brokers, &world.topic("orders"));
    assert_eq!((messages.len(), partitions), (2, 2));
    assert!(messages.iter().all(|message| message.headers == "op=read"), "{}", messages[0].headers);

    let lacks =
        "error broker_version: the brokers speak as Kafka 0.11: they do not know zstd, which Kafka has had since 2.1";
    let (_zstd, task) = one_table("v011_zstd", servers, brokers, ", options: {compression.type: zstd}");
    assert_refused(&task, lacks, "lz4, snappy, gzip or none");
    let old_format = ", create_topics: {config: {message.format.version: \"0.10.2\"}}";
    let (_format, task) = one_table("v011_format", servers, brokers, old_format);
    let output = Tidegate::fails(&task);
    assert!(output.contains("message.format.version is one from before 0.11: raise it"), "{output}");

    tokens_are_refused("kafka-0.11", servers, &private);
    through_the_death_of_a_broker("kafka-0.11", servers, &private, 0);
}

/// With what all from 2.4 on can.
fn newer(name: &str, release: &str, lacks: &[&str], servers: &Servers) {
    let private = Private::up(&[name], "");
    let (brokers, _) = private.kafka_named(name);
    let test = format!("v{}", name.replace(['-', '.'], "_"));
    let (world, task) = one_table(&test, servers, brokers, ", options: {compression.type: zstd}, headers: [op]");
    let answers = format!("ok 1 broker answers as Kafka {release}");
    assert_eq!(findings(&task).0, [&[answers.as_str()], lacks].concat());
    Tidegate::finishes(&task);
    let (messages, _) = read_messages(brokers, &world.topic("orders"));
    assert_eq!(messages.len(), 2);

    match name {
        "kafka-3" => tokens_are_taken(name, servers, &private),
        _ => tokens_are_refused(name, servers, &private),
    }
    through_the_death_of_a_broker(name, servers, &private, 0);
}

/// A topic that is deleted and made anew, which these brokers do not tell from the one before, in the middle of a run and between runs:
/// offsets tell.
fn topics_that_are_others(servers: &Servers) {
    let private = Private::up(&["kafka-2.7"], "");
    let (brokers, _) = private.kafka_named("kafka-2.7");
    let (mut world, one) = one_table("others", servers, brokers, ", create_topics: {partitions: 1, replication: 1}");
    let mut task = TaskFile { tables: world.task().tables, more: String::new(), ..one };
    let topic = world.topic("orders");
    let mut reader = world.reader(["orders"]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    make_anew(brokers, &topic);
    world.mysql.run("INSERT INTO orders VALUES (3, 'three')");
    let ended = engine.wait();
    assert!(!ended.status.success(), "{}", ended.output);
    let fallen = format!(
        "topic {topic}, partition 0: a message was written at offset 0 though the one at 1 had been acknowledged before: the topic was \
         deleted and created anew, or its brokers have lost what they had acknowledged"
    );
    assert!(ended.output.contains(&fallen), "{fallen:?} is not in\n{}", ended.output);
    // Whatever starts it again does not get it to go on where rows are missing.
    let lost = |was, is| format!("topic {topic} lost messages: partition 0 ended at offset {was}, and ends at {is}");
    let output = Tidegate::fails(&task);
    assert!(output.contains(&lost(2, 1)), "{output}");
    task.accept = "deleted_topics";
    let mut ids = Vec::new();
    let mut reader = world.reader(["orders"]);
    world.finish(Tidegate::run(&task), &mut reader, |message| ids.push(message.data.get("id").cloned()));
    assert_eq!(ids, [Some("3".to_owned()), Some("3".to_owned())]);
    task.accept = "";
    make_anew(brokers, &topic);
    let another: BaseProducer = ClientConfig::new().set("bootstrap.servers", brokers).create().expect("a client");
    another.send(BaseRecord::<(), str>::to(&topic).payload("not empty")).expect("room for a message");
    wait_for("the message is written", || another.flush(Duration::from_secs(1)).ok());
    let output = Tidegate::fails(&task);
    assert!(output.contains(&lost(2, 1)), "{output}");
}

/// Deletes a topic and creates it with one partition.
fn make_anew(brokers: &str, topic: &str) {
    let (admin, options) = (admin(brokers), AdminOptions::new());
    let deleted = block_on(admin.delete_topics(&[topic], &options)).expect("a broker");
    deleted[0].as_ref().expect("it was there");
    let new = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
    wait_for("the topic can be made anew", || {
        let created = block_on(admin.create_topics([&new], &options)).expect("a broker");
        created[0].is_ok().then_some(())
    });
}

#[test]
fn brokers_of_older_kafkas() {
    let Some(servers) = Servers::from_env() else { return };
    std::thread::scope(|scope| {
        scope.spawn(|| kafka_0_10(&servers));
        scope.spawn(|| kafka_0_11(&servers));
        scope.spawn(|| {
            newer("kafka-2.7", "2.4 to 2.7", &[NO_IDENTITY], &servers);
            topics_that_are_others(&servers);
        });
        scope.spawn(|| newer("kafka-3", "3.1 to 3.9", &[], &servers));
    });
}
