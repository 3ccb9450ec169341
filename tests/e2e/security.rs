//! Brokers and servers that ask who we are.

use super::harness::world::{kafka_sink, mysql_source};
use super::harness::{Mysql, Private, Servers, Tidegate, World};

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

/// A load and a change by brokers that want both, TLS and a password; and what is said where one of them is wrong.
#[test]
fn scram_and_plain_open_the_door_over_tls() {
    let Some(servers) = Servers::from_env() else { return };
    let of_tls = ["TIDEGATE_TEST_KAFKA_SASL_TLS", "TIDEGATE_TEST_KAFKA_CERTIFICATES"];
    let Some([brokers, folder]) = tidegate_tests::variables(of_tls) else { return };
    let sink = |mechanism: &str, password: &str, ca: &str| {
        let login = format!("sasl: {mechanism}, user: app, password: {password}");
        kafka_sink(&brokers, &format!(", security: {{{login}, tls: {{ca: {folder}/{ca}}}}}"))
    };
    for mechanism in ["scram_sha_256", "scram_sha_512", "plain"] {
        let mut world = World::new("scram_tls", &servers.mysql, &servers.kafka);
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
        world.mysql.run("INSERT INTO t VALUES (1)");
        let mut task = world.task();
        task.sink = sink(mechanism, "secret", "ca.pem");
        let mut reader = world.reader(["t"]);
        let mut rows = Vec::new();
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |message| rows.push(message));
        world.mysql.run("INSERT INTO t VALUES (2)");
        world.finish(engine, &mut reader, |message| rows.push(message));
        let rows: Vec<_> = rows.iter().map(|row| format!("{:?}", row.data)).collect();
        assert_eq!(rows, [r#"id="1""#, r#"id="2""#], "{mechanism}");
        task.more = SHORT_RETRY.to_owned();
        for (password, ca, words) in
            [("not-the-secret", "ca.pem", "sink.security"), ("secret", "client.pem", "certificate verify failed")]
        {
            task.state = world.path(ca);
            task.sink = sink(mechanism, password, ca);
            let output = Tidegate::fails(&task);
            assert!(output.contains(words) && !output.contains("not-the-secret"), "{mechanism}: {output}");
        }
    }
}

/// The certificates that a server has made for itself name no host: its authority can be checked, and its name cannot.
#[test]
fn the_certificates_of_a_server_are_checked_as_asked() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "");
    let ca = private.data("mysql").join("ca.pem");
    let other = private.data("mysql").join("client-cert.pem");
    let mut world = World::new("source_tls", private.mysql(), &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    let mut task = world.task();
    let with = |tls: &str| mysql_source(private.mysql(), "tide", "tide").replace('}', &format!(", tls: {tls}}}"));
    let mut reader = world.reader(["t"]);
    let by_authority = format!("{{mode: verify_ca, ca: {}}}", ca.display());
    let mut rows = Vec::new();
    for (id, tls) in ["{mode: required}", &*by_authority].into_iter().enumerate() {
        task.source = with(tls);
        world.mysql.run(format!("INSERT INTO t VALUES ({id})"));
        let engine = Tidegate::run(&task);
        world.finish(engine, &mut reader, |message| rows.push(message.data.get("id").cloned()));
    }
    assert_eq!(rows, [Some("0".to_owned()), Some("1".to_owned())]);
    for (tls, words) in [
        (format!("{{mode: verify_identity, ca: {}}}", ca.display()), "use tls mode verify_ca"),
        (format!("{{mode: verify_ca, ca: {}}}", other.display()), "not signed by the given authority"),
    ] {
        task.source = with(&tls);
        let said = Tidegate::fails(&task);
        assert!(said.contains(words), "{tls}: {said}");
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

/// Ends all connections of an account, which come back.
fn hang_up(mysql: &mut Mysql, account: &str) {
    let connections = format!("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '{account}'");
    for id in mysql.query::<u64>(&connections) {
        // It may have ended by itself.
        let _ = mysql.try_run(&format!("KILL {id}"));
    }
}

/// The account gets another password after the file of the task does, and before; nobody starts the task again.
#[test]
fn a_password_of_the_source_that_changes_while_the_task_runs_is_read_again() {
    let Some((servers, [_, mariadb])) = Servers::with_mariadb() else { return };
    for (test, url) in [("rotated_mysql", &servers.mysql), ("rotated_maria", &mariadb)] {
        let mut world = World::new(test, url, &servers.kafka);
        let account = world.database.clone();
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
        world.mysql.run(format!("CREATE USER {account} IDENTIFIED BY 'hunter-1'"));
        world.mysql.run(format!("GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {account}"));
        let password = world.path("password");
        let write = |text: &str| std::fs::write(&password, text).expect("the test's folder can be written");
        write("hunter-1\n");
        let address = url.rsplit('@').next().expect("a URL has an address");
        let mut task = world.task();
        task.source = format!("{{mysql: \"mysql://{account}@{address}\", password: {{file: {}}}}}", password.display());
        let mut reader = world.reader(["t"]);
        let mut rows = Vec::new();
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |_| ());

        write("hunter-2\n");
        world.mysql.run(format!("ALTER USER {account} IDENTIFIED BY 'hunter-2'"));
        hang_up(&mut world.mysql, &account);
        world.mysql.run("INSERT INTO t VALUES (1)");
        world.until_marker(&mut engine, &mut reader, |message| rows.push(message.data.get("id").cloned()));
        assert_eq!(engine.count_lines("refuses the password"), 0, "{}", engine.output());

        world.mysql.run(format!("ALTER USER {account} IDENTIFIED BY 'hunter-3'"));
        hang_up(&mut world.mysql, &account);
        world.mysql.run("INSERT INTO t VALUES (2)");
        engine.wait_for_line("refuses the password");
        write("hunter-3\n");
        let ended = world.finish(engine, &mut reader, |message| rows.push(message.data.get("id").cloned()));
        assert_eq!(rows, [Some("1".to_owned()), Some("2".to_owned())], "{}", ended.output);
        let renewals = ended.output.matches("the source's password has changed where it is read from").count();
        assert_eq!(renewals, 2, "{}", ended.output);
        assert!(!ended.output.contains("hunter"), "{}", ended.output);

        // Who was never let in is not waited for.
        write("none\n");
        let refused = Tidegate::fails(&task);
        assert!(refused.contains("refused user") && refused.contains("Check user and password"), "{refused}");
        world.mysql.run(format!("DROP USER {account}"));
    }
}
