//! Brokers that ask for a certificate, and that let a user do some things and not others.

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};

use super::harness::consume::read_messages;
use super::harness::{Private, Servers, TaskFile, Tidegate, World};
use super::prechecks::findings;
use super::topics::{admin, block_on};

/// What a server that the test does not look at may have.
const KNOWN: &[&str] = &["--ignore", "binlog_row_metadata,prepared_xa,topic_identity,non_empty_topics"];

fn world(test: &str, servers: &Servers, kafka: &str) -> (World, TaskFile) {
    let mut world = World::new(test, &servers.mysql, kafka);
    world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO orders VALUES (1), (2)");
    let mut task = world.task();
    task.tables = format!("[{}.orders]", world.database);
    task.more = "incremental: false".to_owned();
    (world, task)
}

#[test]
fn a_certificate_opens_the_door() {
    let Some(servers) = Servers::from_env() else { return };
    let of_tls = ["TIDEGATE_TEST_KAFKA_TLS", "TIDEGATE_TEST_KAFKA_CERTIFICATES"];
    let Some([brokers, folder]) = tidegate_tests::variables(of_tls) else { return };
    let (world, mut task) = world("certificate", &servers, &servers.kafka);
    let mut with = |tls: &str| {
        let tls = tls.replace("IN", &folder);
        task.sink = format!(
            "{{kafka: \"{brokers}\", create_topics: {{partitions: 1, replication: 1}}, non_empty_topics: accept, security: {{tls: {tls}}}}}"
        );
        task.clone()
    };
    let client = "cert: IN/client.pem, key: IN/client-key";
    let locked = format!("{{ca: IN/ca.pem, {client}-locked.pem, key_password: secret}}");
    for tls in [format!("{{ca: IN/ca.pem, {client}.pem}}"), locked, format!("{{verify: false, {client}.pem}}")] {
        let task = with(&tls);
        assert_eq!(findings(&task, KNOWN), Vec::<String>::new(), "{tls}");
        Tidegate::finishes(&task);
        let (messages, _) = read_messages(&servers.kafka, &world.topic("orders"));
        assert_eq!(messages.len(), 2, "{tls}");
        std::fs::remove_dir_all(&task.state).expect("a state");
        let deleted = block_on(admin(&servers.kafka).delete_topics(&[&world.topic("orders")], &AdminOptions::new()));
        deleted.expect("a broker")[0].as_ref().expect("it was there");
    }
    for (tls, words) in [
        ("{ca: IN/ca.pem}", "certificate"),
        (&*format!("{{ca: IN/client.pem, {client}.pem}}"), "certificate verify failed"),
        (&*format!("{{ca: IN/ca.pem, {client}-locked.pem, key_password: wrong}}"), "key"),
    ] {
        let task = with(tls);
        let found = findings(&task, KNOWN);
        assert!(
            found.len() == 1 && found[0].starts_with("error sink: ") && found[0].contains(words),
            "{tls}: {found:?}"
        );
        let refused = Tidegate::fails(&task);
        assert!(refused.contains(words), "{tls}: {refused}");
    }
}

fn make_topics(kafka: &str, names: &[&str]) {
    let topics: Vec<_> = names.iter().map(|name| NewTopic::new(name, 3, TopicReplication::Fixed(1))).collect();
    for made in block_on(admin(kafka).create_topics(&topics, &AdminOptions::new())).expect("a broker") {
        made.expect("a new topic");
    }
}

/// One table, with as many tasks as there are topics that its user may not have.
#[test]
fn what_a_user_may_not_do_is_named() {
    let Some(servers) = Servers::from_env() else { return };
    std::thread::scope(|scope| {
        scope.spawn(|| of_topics(&servers));
        scope.spawn(|| of_the_cluster(&servers));
    });
}

/// The task with another topic, by the user `app`.
fn by_app(world: &World, task: &TaskFile, sasl: &str, topic: &str) -> TaskFile {
    let security = "security: {sasl: scram_sha_256, user: app, password: secret}";
    TaskFile {
        sink: format!(
            "{{kafka: \"{sasl}\", create_topics: {{partitions: 3, replication: 1}}, topic: \"{topic}\", {security}}}"
        ),
        path: world.path(&format!("{topic}.yaml")),
        state: world.path(topic),
        name: format!("{}_{topic}", task.name),
        ..task.clone()
    }
}

fn of_topics(servers: &Servers) {
    let private = Private::up(&["kafka"], "");
    let (world, task) = world("rights", servers, private.kafka());
    make_topics(private.kafka(), &["read_only", "hidden", "free"]);
    let rights = [
        "TOPIC:read_only:DESCRIBE",
        "TOPIC:read_only:DESCRIBE_CONFIGS",
        "TOPIC:hidden:DESCRIBE_CONFIGS",
        "TOPIC:missing:WRITE",
        "CLUSTER:kafka-cluster:DESCRIBE_CONFIGS",
    ];
    private.give_rights("kafka", &rights);
    let may = "grant the user DESCRIBE and WRITE on the topic, and CREATE if the task is to create it";
    for (topic, found) in [
        ("read_only", "topic read_only: the user may not write to it"),
        ("hidden", "topic hidden: Broker: Topic authorization failed"),
        ("missing", "topic missing could not be created: Authorization failed."),
    ] {
        let task = by_app(&world, &task, private.kafka_sasl(), topic);
        assert_eq!(findings(&task, KNOWN), [format!("error topics: {found}")]);
        let refused = Tidegate::fails(&task);
        assert!(refused.contains(topic) && refused.contains(may), "{refused}");
    }
    let task = by_app(&world, &task, private.kafka_sasl(), "free");
    assert_eq!(findings(&task, KNOWN), Vec::<String>::new());
    Tidegate::finishes(&task);
    assert_eq!(read_messages(private.kafka(), "free").0.len(), 2);
}

/// Which wants a right of its own for idempotence before 2.8.
fn of_the_cluster(servers: &Servers) {
    let private = Private::up(&["kafka-2.7"], "");
    let (brokers, sasl) = private.kafka_named("kafka-2.7");
    let (world, task) = world("cluster", servers, brokers);
    make_topics(brokers, &["free"]);
    private.give_rights("kafka-2.7", &["CLUSTER:kafka-cluster:DESCRIBE"]);
    let task = by_app(&world, &task, sasl, "free");
    let found = findings(&task, KNOWN);
    let start = "error sink: the brokers do not let the user be an idempotent producer: ";
    assert!(found.len() == 1 && found[0].starts_with(start), "{found:?}");
    let refused = Tidegate::fails(&task);
    assert!(
        refused.contains("idempotent producer") && refused.contains("grant the user IDEMPOTENT_WRITE"),
        "{refused}"
    );
    private.give_rights("kafka-2.7", &["CLUSTER:kafka-cluster:IDEMPOTENT_WRITE"]);
    assert_eq!(findings(&task, KNOWN), Vec::<String>::new());
    Tidegate::finishes(&task);
    assert_eq!(read_messages(brokers, "free").0.len(), 2);
}
