//! What a running task tells of itself: by its socket, over HTTP and in its log.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use serde_json::Value;

use super::harness::consume::read_messages;
use super::harness::http::Http;
use super::harness::tokens::TokenListener;
use super::harness::world::mysql_source;
use super::harness::{Ended, Private, Servers, TaskFile, Tidegate, World, wait_for};
use super::journal::history;

const ROWS: u64 = 1000;

/// A task with a table of [`ROWS`] rows that shows itself on any port.
fn world(test: &str, mysql: &str, kafka: &str) -> (World, TaskFile) {
    let mut world = World::new(test, mysql, kafka);
    world.mysql.run("CREATE TABLE rows_ (id INT PRIMARY KEY, text VARCHAR(100))");
    world.mysql.run("SET SESSION cte_max_recursion_depth = 100000");
    world.mysql.run(format!(
        "INSERT INTO rows_ WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) \
         SELECT i, 'a-value-of-a-row' FROM n"
    ));
    let mut task = world.task();
    task.more = "http: 127.0.0.1:0\nincremental: {heartbeat_s: 1}".to_owned();
    (world, task)
}

/// `tidegate status`.
fn status(task: &TaskFile, options: &[&str]) -> Ended {
    let path = task.write();
    Tidegate::spawn(["status".as_ref(), path.as_os_str()].into_iter().chain(options.iter().map(AsRef::as_ref))).wait()
}

fn is_caught_up(report: &Value) -> bool {
    report["phase"] == "incremental" && report["incremental"]["delay_ms"] == 0
}

fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} in\n{text}")).parse().expect("a number")
}

#[test]
fn all_views_tell_the_same() {
    let Some(servers) = Servers::from_env() else { return };
    let (mut world, task) = world("status_views", &servers.mysql, &servers.kafka);
    let mut reader = world.reader(["rows_"]);
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    // Whatever it has read by now, it reads no more until it is told to.
    let intent = [("x-tidegate", "test")];
    assert_eq!(http.ask("POST", "/pause", &intent).0, 200);
    http.until(&mut engine, "paused", |report| report["phase"] == "paused");
    assert_eq!(http.ask("POST", "/resume", &intent).0, 200);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    // An update is one change, though it has two images.
    world.mysql.run("UPDATE rows_ SET text = 'another-value' WHERE id <= 10");
    world.mysql.run("DELETE FROM rows_ WHERE id > 995");
    let markers = 2;
    let changes = ROWS + markers + 10 + 5;
    let is_done = |report: &Value| is_caught_up(report) && report["total"]["messages"] == changes;
    let report = http.until(&mut engine, "all is delivered", is_done);
    assert_eq!(
        (&report["version"], &report["task"], &report["phase"]),
        (&1.into(), &world.database.as_str().into(), &"incremental".into())
    );
    assert_eq!(report["total"]["changes"], changes);
    let load = &report["full_load"];
    assert_eq!((load["tables_done"].clone(), load["tables_total"].clone()), (2.into(), 2.into()), "{load}");
    assert!(
        load["tables"].as_array().unwrap().iter().any(|table| table["rows"] == ROWS && table["done"] == true),
        "{load}"
    );
    let position = &report["incremental"]["position"];
    assert!(
        position["gtids"].as_str().unwrap().contains(":1-")
            && position["file"].as_str().unwrap().starts_with("binlog.")
    );
    assert_eq!(report["incremental"]["bytes_behind"], 0);
    assert!(report["incremental"]["clock_ahead_ms"].as_i64().unwrap().abs() < 60_000, "{report}");
    assert_eq!(report["stages"].as_array().unwrap().len(), 4);
    assert!(
        report["memory"]["resident_bytes"].as_u64().unwrap() > 1 << 20 && report["retries"] == Value::Array(vec![])
    );

    // The same by the socket.
    let ended = status(&task, &["--json"]);
    assert!(ended.status.success(), "{}", ended.output);
    let told: Value = serde_json::from_str(&ended.output).expect("JSON");
    for part in ["task", "phase", "process", "started_ms", "full_load"] {
        assert_eq!(told[part], report[part], "{part}");
    }
    assert_eq!(told["total"]["messages"], changes);
    // What other tests write to the server is read, too.
    let text = wait_for("it is told that it has caught up", || {
        Some(status(&task, &[]).output).filter(|text| text.contains("incremental: caught up"))
    });
    assert!(text.contains(&format!("task {}: running for", world.database)), "{text}");
    assert!(text.contains("1017 messages"), "{text}");

    // How far brokers have acknowledged, by topic and partition.
    let rows = world.topic("rows_");
    let (messages, partitions) = read_messages(&servers.kafka, &rows);
    let ends: Vec<usize> =
        (0..partitions).map(|at| messages.iter().filter(|one| one.partition == at).count()).collect();
    let acknowledged = |report: &Value| {
        let topics = report["topics"].as_array().expect("a list");
        topics.iter().find(|topic| topic["topic"] == rows.as_str()).expect("the topic")["acknowledged"].clone()
    };
    assert_eq!(acknowledged(&report), serde_json::json!(ends));
    assert_eq!(acknowledged(&told), serde_json::json!(ends));

    // And as metrics, which never fall.
    let before = http.get("/metrics");
    let of_partition = format!("tidegate_acknowledged_offset{{topic=\"{rows}\",partition=\"1\"}}");
    assert_eq!(metric(&before, &of_partition), ends[1] as f64);
    assert!(before.ends_with("# EOF\n"), "{before}");
    assert_eq!(metric(&before, "tidegate_messages_total"), changes as f64);
    assert_eq!(metric(&before, "tidegate_pace{pace=\"stuck\"}"), 0.0);
    world.mysql.run("INSERT INTO rows_ VALUES (5000, 'one-more')");
    http.until(&mut engine, "one more", |report| report["total"]["messages"] == changes + 1);
    let after = http.get("/metrics");
    for counter in ["tidegate_changes_total", "tidegate_messages_total", "tidegate_message_bytes_total"] {
        assert!(metric(&after, counter) > metric(&before, counter), "{counter}");
    }

    // What a browser and an orchestrator ask for, and what nobody should.
    let (_, kind, page) = http.ask("GET", "/", &[]);
    assert!(kind.starts_with("text/html") && page.contains("<main"), "{page}");
    assert!(http.get("/page.css").contains("prefers-color-scheme") && http.get("/page.js").contains("EventSource"));
    assert!(serde_json::from_str::<Vec<Value>>(&http.get("/history")).is_ok_and(|points| !points.is_empty()));
    assert_eq!((http.get("/health").as_str(), http.get("/ready").as_str()), ("alive\n", "ready\n"));
    assert_eq!(http.ask("HEAD", "/status", &[]).0, 200);
    assert_eq!(http.ask("POST", "/status", &[]).0, 405);
    assert_eq!(http.ask("GET", "/else", &[]).0, 404);
    assert_eq!(http.ask("GET", "/status", &[("host", "elsewhere.example")]).0, 403);

    // Nothing of a row, and no password.
    let told = format!("{report}{text}{before}{}", http.get("/status"));
    for secret in ["a-value-of-a-row", "another-value", "one-more", "tide:", "\"tide\""] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }

    // A client that watches keeps nobody from ending.
    let mut events = http.events();
    assert_eq!(events.next().expect("a report")["task"], world.database.as_str());
    engine.terminate(libc::SIGTERM);
    while events.next().is_some() {}
    let ended = status(&task, &[]);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.output);
    assert!(ended.output.contains("is not running") && ended.output.contains("position: "), "{}", ended.output);
    let ended = status(&task, &["--json"]);
    let told: Value = serde_json::from_str(&ended.output).expect("JSON");
    assert!(told["running"] == false && told["state"]["task"] == world.database.as_str(), "{told}");
    assert!(!task.state.join("status.sock").exists());
}

/// A state folder with a longer path than a socket may have; a run that was killed; a second one.
#[test]
fn the_socket_is_there_while_the_task_runs() {
    let Some(servers) = Servers::from_env() else { return };
    let (world, mut task) = world("status_socket", &servers.mysql, &servers.kafka);
    task.state = world.path(&"long".repeat(40)).join("state");
    let is_told = |task: &TaskFile| status(task, &["--json"]).status.success();
    assert_eq!(status(&task, &[]).status.code(), Some(2));
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    http.until(&mut engine, "caught up", is_caught_up);
    let socket = std::fs::metadata(task.state.join("status.sock")).expect("a socket");
    assert!(socket.file_type().is_socket() && socket.mode() & 0o777 == 0o600, "{:o}", socket.mode());
    // A second run is refused, and takes nothing from the first.
    assert!(Tidegate::fails(&task).contains("in use by another run"));
    assert!(is_told(&task));
    engine.kill_9();
    assert!(task.state.join("status.sock").exists());
    let ended = status(&task, &[]);
    assert!(ended.status.code() == Some(2) && ended.output.contains("is not running"), "{}", ended.output);
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    http.until(&mut engine, "caught up", is_caught_up);
    assert!(is_told(&task));
    engine.terminate(libc::SIGTERM);
}

#[test]
fn a_token_is_asked_for_and_slow_clients_stop_nobody() {
    let Some(servers) = Servers::from_env() else { return };
    let (world, mut task) = world("status_token", &servers.mysql, &servers.kafka);
    let token = world.path("token");
    std::fs::write(&token, "the-token-of-this-task\n").expect("the test's folder can be written");
    task.more = format!("http: {{listen: \"0.0.0.0:0\", token: {{file: \"{}\"}}}}", token.display());
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    let (code, _, body) = http.ask("GET", "/status", &[]);
    assert_eq!(code, 401, "{body}");
    assert_eq!(http.ask("GET", "/", &[("authorization", "Bearer another")]).0, 401);
    let with_token = [("authorization", "Bearer the-token-of-this-task"), ("host", "db.internal")];
    let (code, _, body) = http.ask("GET", "/status", &with_token);
    assert!(code == 200 && !body.contains("the-token-of-this-task"), "{code} {body}");
    assert_eq!(http.ask("GET", "/health", &[]).0, 200);
    // More clients than there are places, none of whom says what it wants.
    let slow: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(&http.address).expect("it connects")).collect();
    assert!(status(&task, &["--json"]).status.success());
    drop(slow);
    assert_eq!(http.ask("GET", "/status", &with_token).0, 200);
    let output = engine.terminate(libc::SIGTERM).output;
    assert!(!output.contains("the-token-of-this-task"), "{output}");
}

/// The page and all else by HTTPS, which nobody reads on the way; who speaks HTTP, or nothing, is not heard and stops nobody.
#[test]
fn over_tls_the_token_is_nobody_elses() {
    let (Some(servers), Some(tokens)) = (Servers::from_env(), TokenListener::from_env()) else { return };
    let (world, mut task) = world("status_tls", &servers.mysql, &servers.kafka);
    let http = |cert: &Path, key: &Path| {
        format!(
            "http: {{listen: \"0.0.0.0:0\", token: the-token-of-this-task, tls: {{cert: \"{}\", key: \"{}\"}}}}",
            cert.display(),
            key.display()
        )
    };
    // What is none is said before anything moves, by `check` as well.
    for (cert, key, words) in [
        (tokens.key(), tokens.key(), "key.pem cannot be used: it holds no certificate"),
        (tokens.certificate(), tokens.certificate(), "cert.pem cannot be used"),
        (world.path("nothing.pem"), tokens.key(), "nothing.pem cannot be used"),
    ] {
        task.more = http(&cert, &key);
        let output = Tidegate::fails(&task);
        assert!(output.contains("http.tls: ") && output.contains(words) && output.contains("hint: "), "{output}");
        let check = Tidegate::spawn(["check".as_ref(), task.write().as_os_str()]).wait();
        assert!(check.status.code() == Some(2) && check.output.contains(words), "{}", check.output);
    }
    task.more = http(&tokens.certificate(), &tokens.key());
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("the task shows itself at https://");
    let output = engine.output();
    let address = output.rsplit_once("shows itself at https://0.0.0.0:").expect("it was waited for").1;
    let address = format!("127.0.0.1:{}", address.split('/').next().expect("a port"));
    // More clients than there are places, none of whom begins to encrypt.
    let slow: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(&address).expect("it connects")).collect();
    assert!(status(&task, &["--json"]).status.success());
    drop(slow);
    let mut plain = TcpStream::connect(&address).expect("it connects");
    plain.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").expect("it is sent");
    let mut answer = Vec::new();
    _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));
    let https = Http::encrypted(&address, &tokens.certificate());
    assert_eq!(https.ask("GET", "/status", &[]).0, 401);
    let with_token =
        [("authorization", "Bearer the-token-of-this-task"), ("host", "db.internal"), ("x-tidegate", "test")];
    let (code, _, body) = https.ask("GET", "/status", &with_token);
    assert!(code == 200 && body.contains(&world.database), "{code} {body}");
    assert_eq!(https.ask("POST", "/pause", &with_token).0, 200);
    assert!(https.ask("GET", "/page.js", &with_token).2.contains("EventSource"));
    // The socket is as it was.
    assert!(status(&task, &["--json"]).status.success());
    let output = engine.terminate(libc::SIGTERM).output;
    assert!(!output.contains("the-token-of-this-task"), "{output}");
}

/// A server in another time zone goes away: the task says so, and how late it is, at its start too. And it is told to pause.
#[test]
fn a_task_that_waits_says_for_what() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up_in_zone(&["mysql-gtid"], "", "Asia/Tokyo");
    let (mut world, mut task) = world("status_away", private.mysql(), &servers.kafka);
    task.source = mysql_source(private.mysql(), "tide", "tide");
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    let report = http.until(&mut engine, "caught up", is_caught_up);
    // A time zone is no skew.
    assert!(report["incremental"]["clock_ahead_ms"].as_i64().unwrap().abs() < 60_000, "{report}");
    private.kill("mysql");
    let report = http.until(&mut engine, "the source is away", |report| {
        report["retries"][0]["of"] == "source" && report["incremental"]["delay_ms"].as_u64() > Some(0)
    });
    let retry = &report["retries"][0];
    assert!(!retry["reason"].as_str().unwrap().is_empty() && retry["seconds_left"].as_u64() > Some(40_000), "{retry}");
    assert!(report["problems"].as_array().unwrap().iter().any(|problem| problem["level"] == "warn"), "{report}");
    assert_eq!(http.ask("GET", "/ready", &[]).0, 503);
    assert_eq!(metric(&http.get("/metrics"), "tidegate_retrying{of=\"source\"}"), 1.0);
    private.start("mysql");
    world.reconnect();
    http.until(&mut engine, "it is back", |report| is_caught_up(report) && report["retries"] == Value::Array(vec![]));

    // Paused, it has no connection to the binlog, and keeps its place.
    let path = task.write();
    let tell = |word: &str| Tidegate::spawn([word.as_ref(), path.as_os_str()]).wait();
    let ended = tell("pause");
    assert!(ended.status.success(), "{}", ended.output);
    let is_quiet = |report: &Value| {
        report["phase"] == "paused" && report["stages"].as_array().unwrap().iter().all(|stage| stage["windows"] == 0)
    };
    let messages = http.until(&mut engine, "paused", is_quiet)["total"]["messages"].as_u64().unwrap();
    let dumps = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'";
    wait_for("the dump has ended", || (world.mysql.query_one::<u64>(dumps) == 0).then_some(()));
    world.mysql.run("INSERT INTO rows_ VALUES (6000, 'while it is paused')");
    // By the clock of those who watch: the source has more, and it does not come.
    http.until(&mut engine, "the delay grows", |report| report["incremental"]["delay_ms"].as_u64() > Some(0));
    assert_eq!(http.status()["total"]["messages"], messages);
    assert!(status(&task, &[]).output.contains("paused: "));
    assert_eq!(http.ask("GET", "/ready", &[]).0, 503);
    assert_eq!(http.ask("POST", "/resume", &[]).0, 403);
    assert_eq!(http.ask("POST", "/resume", &[("x-tidegate", "test")]).0, 200);
    http.until(&mut engine, "all is delivered", |report| {
        is_caught_up(report) && report["total"]["messages"] == messages + 1
    });
    // A pause ends with the run: by a kill, and by a signal, which it hears.
    assert!(tell("pause").status.success());
    http.until(&mut engine, "paused again", is_quiet);
    // And with it all that was delivered before.
    wait_for("the second pause is stored", || (history(&task, &[]).matches("paused ").count() == 2).then_some(()));
    engine.kill_9();
    world.mysql.run("INSERT INTO rows_ VALUES (6001, 'after the kill')");
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    http.until(&mut engine, "it reads", |report| is_caught_up(report) && report["total"]["messages"] == 1);
    assert!(tell("pause").status.success());
    http.until(&mut engine, "paused for the last time", is_quiet);
    engine.terminate(libc::SIGTERM);
    assert_eq!(tell("resume").status.code(), Some(2));

    // Going on, it waits for the server before anything else, and says so.
    private.kill("mysql");
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    let report = http.until(&mut engine, "the start waits", |report| report["retries"][0]["of"] == "source");
    assert_eq!((&report["phase"], &report["awaits"]), (&"starting".into(), &"the source".into()));
    assert!(status(&task, &[]).output.contains("starting: waiting for the source"));
    private.start("mysql");
    world.reconnect();
    let report = http.until(&mut engine, "caught up again", is_caught_up);
    assert!(report["retries"] == Value::Array(vec![]), "{report}");
    engine.terminate(libc::SIGTERM);
}

#[test]
fn the_log_is_text_or_json_and_exit_codes_tell_how_it_ended() {
    let Some(servers) = Servers::from_env() else { return };
    let (world, mut task) = world("status_log", &servers.mysql, &servers.kafka);
    task.more = "incremental: false".to_owned();
    let run = |task: &TaskFile, options: &[&str]| -> Ended {
        let arguments = task.run_arguments();
        Tidegate::spawn(arguments.iter().map(AsRef::as_ref).chain(options.iter().map(AsRef::<std::ffi::OsStr>::as_ref)))
            .wait()
    };
    let ended = run(&task, &["--log-format", "json"]);
    assert!(ended.status.success(), "{}", ended.output);
    let lines: Vec<Value> = ended.output.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["message"].is_string()), "{}", ended.output);
    assert!(
        lines.iter().any(|line| line["message"].as_str().unwrap().contains("rows and changes")),
        "{}",
        ended.output
    );
    let ended = run(&task, &["--log", "error"]);
    assert!(ended.status.success() && ended.output.lines().count() == 1, "{}", ended.output);
    assert_eq!(run(&task, &["--log", "x=loud"]).status.code(), Some(1));

    // Of each part of the program as somebody wants it, by the variable or the option.
    let targets = |name: &str, variable: &str, options: &[&str]| {
        let mut task = task.clone();
        task.state = world.path(name);
        task.sink = "{null: {}}".to_owned();
        let arguments = task.run_arguments().into_iter().chain(["--log-format", "json"].map(Into::into));
        let arguments = arguments.chain(options.iter().map(Into::into));
        let ended = Tidegate::spawn_with(&[("RUST_LOG", variable)], arguments).wait();
        assert!(ended.status.success(), "{}", ended.output);
        let lines = ended.output.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
        lines.map(|line| line["target"].as_str().expect("a target").to_owned()).collect::<BTreeSet<_>>()
    };
    let all = targets("all", "", &[]);
    let [source, task_itself] = ["tidegate::source", "tidegate::task"];
    let of = |part: &str| all.iter().filter(|target| target.starts_with(part)).cloned().collect::<BTreeSet<_>>();
    assert!(!of(source).is_empty() && !of(task_itself).is_empty(), "{all:?}");
    assert_eq!(targets("of_source", "off,tidegate::source=info", &[]), of(source));
    assert_eq!(targets("of_run", "off,tidegate::source=info", &["--log", "off,tidegate::task=info"]), of(task_itself));
    assert_eq!(targets("others", "info,tidegate::source=off", &[]), &all - &of(source));

    // 1: somebody has to do something. 2: findings. 75: try again.
    assert_eq!(run(&task, &["--no-such-option"]).status.code(), Some(1));
    task.source = mysql_source(&world.mysql_url, "tide", "wrong");
    let ended = run(&task, &["--log-format", "json"]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
    let last: Value = serde_json::from_str(ended.output.lines().last().expect("it says why")).expect("JSON");
    assert!(last["level"] == "ERROR" && last["message"].as_str().unwrap().contains("denied"), "{last}");
    task.source = "{mysql: \"mysql://tide@127.0.0.1:1\"}".to_owned();
    task.more = "retry: {connection: 0s}".to_owned();
    assert_eq!(run(&task, &[]).status.code(), Some(75));
    task.format = "xml".to_owned();
    assert_eq!(run(&task, &[]).status.code(), Some(1));
    let check = Tidegate::spawn(["check".as_ref(), task.write().as_os_str()]).wait();
    assert_eq!(check.status.code(), Some(2), "{}", check.output);
}
