//! Brokers that ask who we are.

use super::harness::world::kafka_sink;
use super::harness::{Servers, Tidegate, World};

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
