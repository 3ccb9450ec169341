//! Brokers that ask who we are.

use super::harness::world::kafka_sink;
use super::harness::{Private, Servers, Tidegate, World};

const SHORT_RETRY: &str = "retry: {connection: 3s, other: 1s}";

fn security(mechanism: &str, password: &str) -> String {
    format!(", security: {{sasl: {mechanism}, user: app, password: {password}}}")
}

#[test]
fn scram_and_plain_open_the_door() {
    let Some(servers) = Servers::from_env() else { return };
    for mechanism in ["scram_sha_256", "scram_sha_512", "plain"] {
        let mut world = World::new("scram", &servers.mysql, &servers.kafka);
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
        world.mysql.run("INSERT INTO t VALUES (1)");
        let mut task = world.task();
        task.sink = kafka_sink(&servers.kafka_sasl, &security(mechanism, "secret"));
        let mut reader = world.reader(["t"]);
        let engine = Tidegate::run(&task);
        let mut rows = Vec::new();
        world.finish(engine, &mut reader, |message| rows.push(message));
        assert_eq!(rows.len(), 1, "{mechanism}: {rows:?}");
    }
}

#[test]
fn wrong_scram_password_is_named() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("noscram", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    let mut task = world.task();
    task.sink = kafka_sink(&servers.kafka_sasl, &security("scram_sha_256", "not-the-secret"));
    task.more = SHORT_RETRY.to_owned();
    let output = Tidegate::fails(&task);
    assert!(output.contains("invalid credentials") && output.contains("sink.security"), "{output}");
    assert!(!output.contains("not-the-secret"), "{output}");
}

/// The brokers get another password, and only then the file of the task does; nobody starts the task again.
#[test]
fn a_password_that_changes_while_the_task_runs_is_read_again() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["kafka"], "");
    let mut world = World::new("renewed", &servers.mysql, private.kafka());
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    let password = world.path("password");
    std::fs::write(&password, "secret\n").expect("the test's folder can be written");
    let mut task = world.task();
    task.sink =
        kafka_sink(private.kafka_sasl(), &security("scram_sha_256", &format!("{{file: {}}}", password.display())));
    let mut reader = world.reader(["t"]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    private.change_scram_password("another-one");
    // Connections that have been let in stay.
    reader.disconnect();
    private.kill("kafka");
    private.start("kafka");
    world.mysql.run("INSERT INTO t VALUES (7)");
    engine.wait_for_line("invalid credentials");
    // At once: while it is written, it is read.
    let written = world.path("password.new");
    std::fs::write(&written, "another-one\n").expect("the test's folder can be written");
    std::fs::rename(&written, &password).expect("the test's folder can be written");
    let mut rows = Vec::new();
    let ended = world.finish(engine, &mut reader, |message| rows.push(message));
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(ended.output.contains("the password has changed where it is read from"), "{}", ended.output);
    assert!(!ended.output.contains("another-one") && !ended.output.contains("secret"), "{}", ended.output);
}
