//! Brokers that want tokens, and the server that gives them: tokens end while a task runs, and the server is away, or refuses.
//!
//! Brokers ask for another token every four seconds, and when one ends.

use serde_json::Value;

use super::harness::http::Http;
use super::harness::tokens::{SECRET, TokenListener, TokenServer, security};
use super::harness::world::kafka_sink;
use super::harness::{Ended, Reader, Servers, TaskFile, Tidegate, World, wait_for};

/// Of tokens that end while a test looks.
const SHORT: u64 = 3;
/// And such that a new one comes while the last one has more than a second left: brokers take no token sooner after another.
const MEDIUM: u64 = 12;
const LONG: u64 = 3600;

/// A table with a row, and a task whose tokens live for so long.
fn world(test: &str, life_s: u64) -> Option<(World, TaskFile, TokenServer, TokenListener)> {
    let (servers, listener) = (Servers::from_env()?, TokenListener::from_env()?);
    let server = TokenServer::start(&listener, life_s);
    let mut world = World::new(test, &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO t VALUES (1)");
    let mut task = world.task();
    task.sink = listener.sink(&server, "");
    Some((world, task, server, listener))
}

fn loaded(world: &mut World, task: &TaskFile) -> (Tidegate, Reader) {
    let mut reader = world.reader(["t"]);
    let mut engine = Tidegate::run(task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    (engine, reader)
}

/// Ends it when a second row has come.
fn finish(world: &mut World, engine: Tidegate, reader: &mut Reader) -> Ended {
    let mut rows = 0;
    let ended = world.finish(engine, reader, |_| rows += 1);
    assert_eq!(rows, 1, "{}", ended.output);
    ended
}

fn check(task: &TaskFile) -> (Option<i32>, String) {
    let ended = Tidegate::spawn(["check".as_ref(), task.write().as_os_str()]).wait();
    (ended.status.code(), ended.output)
}

#[test]
fn tokens_are_renewed_while_a_task_runs() {
    let Some((mut world, mut task, server, listener)) = world("tokens", MEDIUM) else { return };
    task.sink = listener.sink(&server, ", scope: read write, extensions: {traceId: \"4711\"}");
    assert_eq!(check(&task).0, Some(0), "{}", check(&task).1);
    let mut reader = world.reader(["t"]);
    let mut arguments = vec!["--log".into(), "debug".into()];
    arguments.extend(task.run_arguments());
    let mut engine = Tidegate::spawn(arguments);
    let mut rows = 0;
    world.until_loaded(&mut engine, &mut reader, |_| rows += 1);
    let before = server.issued().len();
    // Longer than a token lives, and than a connection is believed.
    wait_for("two more tokens", || {
        world.until_marker(&mut engine, &mut reader, |_| rows += 1);
        (server.issued().len() >= before + 2).then_some(())
    });
    world.mysql.run("INSERT INTO t VALUES (2)");
    let ended = world.finish(engine, &mut reader, |_| rows += 1);
    assert_eq!(rows, 2, "{}", ended.output);
    // Connections are asked for the new ones, and stay.
    assert!(!ended.output.contains("Kafka connection"), "{}", ended.output);
    server.assert_unsaid(&ended.output);
}

#[test]
fn verify_and_check_log_in_by_tokens_too() {
    let Some((mut world, task, server, _)) = world("tokens_verify", SHORT) else { return };
    world.mysql.run("INSERT INTO t SELECT 10 + ROW_NUMBER() OVER () FROM information_schema.COLUMNS LIMIT 1000");
    let (engine, _reader) = loaded(&mut world, &task);
    wait_for("the end of the load is stored", || task.stored()["full_load"].is_null().then_some(()));
    let ended = Tidegate::spawn(["verify".as_ref(), task.write().as_os_str(), "--json".as_ref()]).wait();
    assert!(ended.status.success(), "{}", ended.output);
    server.assert_unsaid(&ended.output);
    let (code, output) = check(&task);
    assert!(code == Some(0) && output.contains("1 broker answers"), "{output}");
    server.change(|manner| manner.is_away = true);
    let ended = Tidegate::spawn(["verify".as_ref(), task.write().as_os_str()]).wait();
    assert!(ended.output.contains("could not get a token for the brokers from http://"), "{}", ended.output);
    server.change(|manner| manner.is_away = false);
    engine.terminate(libc::SIGTERM);
}

#[test]
fn a_secret_that_is_refused_ends_the_start_with_the_server_s_words() {
    let Some((_world, mut task, server, listener)) = world("tokens_refused", LONG) else { return };
    server.change(|manner| manner.secret = "another one");
    let words = format!(
        "{} gives the task no token for the brokers: 401 Unauthorized: invalid_client: Invalid client or secret",
        server.url
    );
    let assert_said = |output: &str| {
        assert!(
            output.contains(&words) && output.contains("check sink.security.oauth: token_url, client_id"),
            "{output}"
        );
        server.assert_unsaid(output);
    };
    assert_said(&Tidegate::fails(&task));
    let (code, output) = check(&task);
    assert_eq!(code, Some(2), "{output}");
    assert_said(&output);
    // The broker believes those alone that are for it, and signed.
    for (audience, is_forged) in [("others", false), ("kafka", true)] {
        server.change(|manner| {
            manner.secret = SECRET;
            manner.audience = audience;
            manner.is_forged = is_forged;
        });
        let output = Tidegate::fails(&task);
        assert!(output.contains("refused the task") && output.contains("invalid_token"), "{output}");
        server.assert_unsaid(&output);
    }
    // One who knows no tokens at all.
    let servers = Servers::from_env().expect("they were there");
    task.sink = kafka_sink(&servers.kafka_sasl, &security(&server.url, &format!("\"{SECRET}\""), ""));
    let output = Tidegate::fails(&task);
    assert!(output.contains("mechanism handshake failed"), "{output}");
    // Nobody is there at all.
    task.sink = kafka_sink(&listener.address, &security("http://127.0.0.1:1/token", "a", ""));
    let output = Tidegate::fails(&task);
    assert!(
        output.contains("could not get a token for the brokers from http://127.0.0.1:1/token: Connection refused"),
        "{output}"
    );
    assert!(output.contains("check sink.security.oauth.token_url"), "{output}");
}

#[test]
fn a_server_of_tokens_that_is_away_is_waited_for() {
    let Some((mut world, mut task, server, _)) = world("tokens_away", SHORT) else { return };
    server.change(|manner| manner.is_away = true);
    // Nobody waits for what may be a wrong address.
    assert!(Tidegate::fails(&task).contains("could not get a token for the brokers"));
    server.change(|manner| manner.is_away = false);
    task.more = "http: 127.0.0.1:0".to_owned();
    let (mut engine, mut reader) = loaded(&mut world, &task);

    // In a run, only when the token has ended.
    server.change(|manner| manner.is_away = true);
    engine.wait_for_line("no new token for the brokers, asking again");
    let http = Http::of(&mut engine);
    let is_said = |status: &Value| {
        let sink = status["retries"].as_array().into_iter().flatten().find(|retry| retry["of"] == "sink");
        sink.is_some_and(|retry| {
            retry["reason"].as_str().is_some_and(|reason| reason.contains("could not get a token for the brokers"))
        })
    };
    engine.wait_for_line("Kafka connection");
    world.mysql.run("INSERT INTO t VALUES (2)");
    http.until(&mut engine, "the status says what the task waits for", is_said);
    server.change(|manner| manner.is_away = false);
    let ended = finish(&mut world, engine, &mut reader);
    assert!(ended.output.contains("there are tokens again"), "{}", ended.output);

    // At the start of a task that has begun.
    server.change(|manner| manner.is_away = true);
    world.mysql.run("INSERT INTO t VALUES (3)");
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("the task cannot go on yet");
    engine.wait_for_line("could not get a token for the brokers");
    server.change(|manner| manner.is_away = false);
    finish(&mut world, engine, &mut reader);

    // And not for ever.
    task.more = "retry: {connection: 3s, other: 1s}".to_owned();
    let mut engine = Tidegate::run(&task);
    world.until_marker(&mut engine, &mut reader, |_| ());
    server.change(|manner| manner.is_away = true);
    engine.wait_for_line("no new token for the brokers, asking again");
    engine.wait_for_line("Kafka connection");
    world.mysql.run("INSERT INTO t VALUES (4)");
    let ended = engine.wait();
    assert!(!ended.status.success(), "{}", ended.output);
    let last = ended.output.lines().rev().find(|line| line.contains("could not get a token")).unwrap_or_default();
    assert!(last.contains(&server.url), "{}", ended.output);
}

/// The server knows another secret, and only then the file of the task has it; nobody starts the task again.
#[test]
fn a_secret_that_changes_while_the_task_runs_is_read_again() {
    let Some((mut world, mut task, server, listener)) = world("tokens_renewed", SHORT) else { return };
    let secret = world.path("secret");
    let write = |text: &str| std::fs::write(&secret, format!("{text}\n")).expect("the test's folder can be written");
    write(SECRET);
    task.sink = listener.sink_with(&server, &format!("{{file: {}}}", secret.display()), "");
    let (mut engine, mut reader) = loaded(&mut world, &task);
    server.change(|manner| manner.secret = "another-one");
    engine.wait_for_line("401 Unauthorized: invalid_client");
    world.mysql.run("INSERT INTO t VALUES (2)");
    write("another-one");
    engine.wait_for_line("there are tokens again");
    let ended = finish(&mut world, engine, &mut reader);
    assert!(!ended.output.contains("another-one"), "{}", ended.output);
    server.assert_unsaid(&ended.output);
}

/// As one that was revoked, or signed by a key that is no longer good.
#[test]
fn a_token_that_brokers_refuse_before_its_time_is_replaced() {
    let Some((mut world, task, server, _)) = world("tokens_early", SHORT) else { return };
    let (mut engine, mut reader) = loaded(&mut world, &task);
    server.change(|manner| (manner.is_forged, manner.life_s) = (true, LONG));
    engine.wait_for_line("invalid_token");
    server.change(|manner| manner.is_forged = false);
    world.mysql.run("INSERT INTO t VALUES (2)");
    let ended = finish(&mut world, engine, &mut reader);
    server.assert_unsaid(&ended.output);
}

#[test]
fn a_server_of_tokens_is_known_by_its_certificate() {
    let Some((_world, mut task, _, listener)) = world("tokens_tls", LONG) else { return };
    let server = TokenServer::start_encrypted(&listener, LONG);
    task.sink = listener.sink(&server, "");
    let output = Tidegate::fails(&task);
    assert!(
        output.contains("could not get a token for the brokers from https://") && output.contains("certificate"),
        "{output}"
    );
    task.sink = listener.sink(&server, ", ca: nowhere.pem");
    let output = Tidegate::fails(&task);
    assert!(output.contains("nowhere.pem: No such file"), "{output}");
    task.more = "incremental: false".to_owned();
    task.sink = listener.sink(&server, &format!(", ca: {}", listener.certificate().display()));
    server.assert_unsaid(&Tidegate::finishes(&task).output);
}
