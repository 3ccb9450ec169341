//! What `check` finds, each by one thing that is broken, and that it finds nothing where nothing is.

use std::ffi::{OsStr, OsString};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use rdkafka::admin::{AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use serde_json::Value;

use super::harness::world::{kafka_sink, mysql_source};
use super::harness::{Private, Servers, TaskFile, Tidegate, World, wait_for};
use super::topics::{admin, block_on};

/// What `check` prints, and its exit code.
fn check(task: &TaskFile, more: &[&str]) -> (Option<i32>, String) {
    let file = task.write();
    let arguments = [OsStr::new("check"), file.as_os_str()].into_iter().chain(more.iter().map(OsStr::new));
    let ended = Tidegate::spawn(arguments).wait();
    (ended.status.code(), ended.output)
}

/// Level, item and what was found of each finding, in its order. That all of the output is JSON shows that nothing else was said.
#[track_caller]
pub(super) fn findings(task: &TaskFile, more: &[&str]) -> Vec<String> {
    let (code, output) = check(task, &[more, &["--json"]].concat());
    findings_of(code, &output)
}

/// What is to be done about each of them.
#[track_caller]
pub(super) fn to_do(task: &TaskFile, more: &[&str]) -> Vec<String> {
    let (_, output) = check(task, &[more, &["--json"]].concat());
    let report: Value = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"));
    let findings = report["findings"].as_array().expect("a list").iter();
    let counted = findings.filter(|finding| finding["ignored"] == false);
    counted.map(|finding| finding["to_do"].as_str().expect("text").to_owned()).collect()
}

#[track_caller]
fn findings_of(code: Option<i32>, output: &str) -> Vec<String> {
    let report: Value = serde_json::from_str(output).unwrap_or_else(|error| panic!("{error}: {output}"));
    let findings = report["findings"].as_array().expect("a list");
    let is_complete = |finding: &Value| {
        ["item", "level", "found", "wanted", "to_do"]
            .iter()
            .all(|key| finding[key].as_str().is_some_and(|text| !text.is_empty()))
    };
    assert!(findings.iter().all(is_complete), "{output}");
    let has_errors = findings.iter().any(|finding| finding["level"] == "error");
    assert_eq!(code, Some(if has_errors { 2 } else { 0 }), "{output}");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    findings
        .iter()
        .filter(|finding| finding["ignored"] == false)
        .map(|finding| format!("{} {}: {}", text(&finding["level"]), text(&finding["item"]), text(&finding["found"])))
        .collect()
}

/// Where the task file of a test has a value, as findings name it.
fn place(task: &TaskFile, line_and_key: &str) -> String {
    format!("{}:{line_and_key}", task.path.display())
}

#[test]
fn a_server_in_order_and_what_an_account_lacks() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid"], "--binlog-row-metadata=FULL --partial-revokes=ON");
    let mut world = World::new("in_order", private.mysql(), &servers.kafka);
    let database = world.database.clone();
    world.mysql.run("GRANT XA_RECOVER_ADMIN ON *.* TO tide");
    world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY, name VARCHAR(20))");
    world.mysql.run("INSERT INTO orders VALUES (1, 'a'), (2, 'b')");
    world.mysql.run("ANALYZE TABLE orders, marker");
    let mut task = world.task();
    let address = world.mysql_url.rsplit('@').next().expect("a URL has an address").to_owned();
    let version: String = world.mysql.query_one("SELECT VERSION()");
    let (code, output) = check(&task, &[]);
    let wide = |text: &str| format!("{text:width$}", width = database.len() + 7);
    let marker = format!("{database}.marker");
    let expected = format!(
        "\
ok       source: MySQL {version} answers at {address}
ok       tables: 2 tables selected
ok       sink: 1 broker answers as Kafka 4

{}  key  rows     {}  partitions
{}  id   about 0  {}  3, to be made
{database}.orders  id   about 2  {database}.orders  3, to be made

nothing stands in the way
",
        wide("table"),
        wide("topic"),
        wide(&marker),
        wide(&marker),
    );
    assert_eq!((code, output.trim_end()), (Some(0), expected.trim_end()));

    // A role that no session begins with, a grant on a column, a privilege that was taken from a database.
    world.mysql.run(format!(
        "CREATE ROLE readers; GRANT SELECT ON {database}.* TO readers; CREATE USER low IDENTIFIED BY 'low'; GRANT readers TO low; \
         GRANT REPLICATION SLAVE, REPLICATION CLIENT, XA_RECOVER_ADMIN ON *.* TO low; GRANT SELECT (id) ON {database}.orders TO low"
    ));
    task.source = mysql_source(&world.mysql_url, "low", "low");
    task.tables = format!("[{database}.orders]");
    let lacks = format!("error privileges: 'low'@'%' lacks SELECT on {database}.orders");
    assert_eq!(findings(&task, &[]), [format!("{lacks}: it is granted on some of the columns")]);
    let (_, output) = check(&task, &[]);
    assert!(output.contains("SET DEFAULT ROLE ALL TO 'low'@'%';"), "{output}");
    let words = &lacks["error privileges: ".len()..];
    assert!(Tidegate::fails(&task).contains(words));
    world.mysql.run("SET DEFAULT ROLE ALL TO low");
    assert_eq!(findings(&task, &[]), Vec::<String>::new());
    let by_role = TaskFile { sink: kafka_sink(&servers.kafka, ", topic: \"{task}.by_role\""), ..task.clone() };
    let by_role = TaskFile { state: world.path("by_role"), ..by_role };
    let mut engine = Tidegate::run(&by_role);
    engine.wait_for_line("reading the binlog");
    engine.terminate(libc::SIGTERM);
    // A server sees a moment later that nobody reads its binlog any more.
    let dumps = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'";
    wait_for("the end of the dump", || (world.mysql.query_one::<u64>(dumps) == 0).then_some(()));
    // What is taken from the account, no role gives back on the database.
    world.mysql.run(format!("GRANT SELECT ON *.* TO low; REVOKE SELECT ON {database}.* FROM low"));
    assert_eq!(findings(&task, &[]), [format!("{lacks}, by a partial revoke")]);
    assert!(Tidegate::fails(&task).contains(words));
    let [grant] = to_do(&task, &[]).try_into().expect("one");
    let (grant, _) = grant.split_once(';').expect("a statement");
    world.mysql.run(grant);
    assert_eq!(findings(&task, &[]), Vec::<String>::new());
    world.mysql.run("ALTER USER low WITH MAX_USER_CONNECTIONS 3");
    let few = "connections: 'low'@'%' may have 3 connections at a time, and the task makes up to 8";
    assert_eq!(findings(&task, &[]), [format!("error {few}")]);

    // Patterns, which are names here; elsewhere the closest counts alone.
    let pattern = format!("`{}%`", &database[..database.len() - 1]);
    world.mysql.run(format!(
        "CREATE USER pat IDENTIFIED BY 'pat'; GRANT REPLICATION SLAVE, REPLICATION CLIENT, XA_RECOVER_ADMIN ON *.* TO pat; \
         GRANT SELECT ON {pattern}.* TO pat; GRANT INSERT ON {database}.* TO pat"
    ));
    task.source = mysql_source(&world.mysql_url, "pat", "pat");
    let lacks = lacks.replace("low", "pat");
    assert_eq!(findings(&task, &[]), [&*lacks]);
    world.mysql.run("SET GLOBAL partial_revokes = OFF");
    assert_eq!(findings(&task, &[]), [&*lacks]);
    assert!(Tidegate::fails(&task).contains(&lacks["error privileges: ".len()..]));
    world.mysql.run(format!("REVOKE INSERT ON {database}.* FROM pat"));
    assert_eq!(findings(&task, &[]), Vec::<String>::new());

    // Settings of the server, as somebody may change them.
    task.source = mysql_source(&world.mysql_url, "tide", "tide");
    world.mysql.run("SET GLOBAL binlog_expire_logs_seconds = 600");
    let kept = "warning binlog_retention: the server keeps its binlog for 10 min".to_owned();
    assert_eq!(findings(&task, &[]), [kept]);
    assert_eq!(findings(&task, &["--ignore", "binlog_retention"]), Vec::<String>::new());
    world.mysql.run("SET GLOBAL binlog_expire_logs_seconds = 0");
    task.source = task.source.replace('}', ", server_id: 4001}");
    let server_id: u32 = world.mysql.query_one("SELECT @@server_id");
    assert_eq!(findings(&task, &[]), Vec::<String>::new());
    task.source = task.source.replace("4001", &server_id.to_string());
    let own = format!("warning server_id: the task's server_id {server_id} is the server's own");
    assert_eq!(findings(&task, &[]), [own]);
}

/// One look tells all of it.
#[test]
fn what_a_start_would_refuse_is_found() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("refused", &servers.mysql, &servers.kafka);
    let database = world.database.clone();
    world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY, name VARCHAR(20))");
    world.mysql.run("CREATE TABLE notes (a INT, doc JSON)");
    world.mysql.run("CREATE TABLE both_parts (id INT PRIMARY KEY) ENGINE = MERGE");
    world.mysql.run("CREATE VIEW v AS SELECT 1 AS one");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("it is bound").port();
    let ignored = ["--ignore", "prepared_xa,binlog_row_metadata"];
    let task = TaskFile {
        tables: format!(
            "\n  - {{table: {database}.orders, select: [name]}}\n  - {{table: {database}.notes, where: dok = 1}}\n  - {database}.v\n  \
             - {database}.ordesr\n  - {database}.both_parts\n  - \"{database}.none_*\""
        ),
        sink: format!("{{kafka: \"{}\", create_topics: {{replication: 3}}}}", servers.kafka),
        more: format!("http: {{listen: \"127.0.0.1:{port}\", token: {{env: TIDEGATE_TEST_NOT_SET}}}}"),
        state: PathBuf::from("/proc/none"),
        ..world.task()
    };
    let found = findings(&task, &ignored);
    let in_file = |line: &str| place(&task, line);
    let expected = [
        "error state: could not create /proc/none: No such file or directory (os error 2)".to_owned(),
        format!("error http: could not listen on 127.0.0.1:{port}: Address already in use (os error 98)"),
        "error http: environment variable TIDEGATE_TEST_NOT_SET is not set: http.token in line 13, column ".to_owned(),
        format!("error storage_engine: the storage engine is MRG_MYISAM in {database}.both_parts"),
        format!("error tables: table {database}.ordesr does not exist, or the account has no right on it"),
        format!("error tables: {database}.v is a view and no table"),
        format!("error tables: table {database}.notes, where: no column \"dok\" in this table"),
        format!(
            "error topics: topics {database}.both_parts, {database}.notes, {database}.orders could not be created: Unable to replicate the \
             partition 3 time(s)"
        ),
        format!("warning keys: no key tells the rows apart in {database}.notes"),
        format!("warning transactions: the storage engine knows no transactions in {database}.both_parts"),
        format!("warning tables: the pattern {database}.none_* selects no table"),
        format!("warning key_left_out: `select` leaves out columns of the key of {database}.orders, which is id"),
    ];
    for expected in &expected {
        assert!(found.iter().any(|found| found.starts_with(expected)), "{expected:?} is not in\n{}", found.join("\n"));
    }
    assert_eq!(found.len(), expected.len(), "{}", found.join("\n"));
    let (_, output) = check(&task, &ignored);
    for place in
        [in_file("4:"), in_file("5:"), in_file("6:5 (tables[2])"), in_file("9:"), in_file("10:"), in_file("12:")]
    {
        assert!(output.contains(&place), "{place:?} is not in\n{output}");
    }
    assert!(output.contains(&format!("the account sees {database}.both_parts, {database}.marker")), "{output}");
    assert!(output.ends_with("8 errors, 4 warnings: the task would not run"), "{output}");

    // Names of topics over all tables at once.
    world.mysql.run("CREATE TABLE `a.b` (id INT PRIMARY KEY); CREATE TABLE `a_b` (id INT PRIMARY KEY)");
    world.mysql.run("CREATE TABLE `ä` (id INT PRIMARY KEY)");
    let task = TaskFile { tables: format!("[\"{database}.a*\", \"{database}.ä\"]"), ..world.task() };
    let found = findings(&task, &ignored);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with(&format!("error topics: table {database}.ä: topic name ")), "{found:?}");
    assert!(found[1].contains("cannot be created beside topic"), "{found:?}");
    let (_, output) = check(&task, &ignored);
    assert!(output.contains(&format!("{{table: \"{database}.a_b\", topic: {database}-a_b}}")), "{output}");
    assert!(output.contains(&format!("{{table: \"{database}.ä\", topic: {database}.-}}")), "{output}");
    let long = "x".repeat(243);
    let tables = format!("[{{table: {database}.orders, topic: \"{{table}}.{long}\"}}]");
    let too_long = TaskFile { tables, ..world.task() };
    let words = format!("table {database}.orders: topic name \"orders.{long}\" has 250 characters, Kafka allows 249");
    assert_eq!(findings(&too_long, &ignored), [format!("error topics: {words}")]);
    assert!(Tidegate::fails(&too_long).contains(&words));

    // What excludes nothing: a name that is written wrong, and a pattern that may wait for tables.
    let excluded = ["ordesr", "tmp_*", "notes", "both_parts", "a*", "ä"].map(|name| format!("\"!{database}.{name}\""));
    let tables = format!("[\"{database}.*\", {}]", excluded.join(", "));
    let task = TaskFile { tables: tables.clone(), ..world.task() };
    let needless = [
        format!("warning tables: !{database}.ordesr excludes no table"),
        format!("info tables: !{database}.tmp_* excludes no table"),
    ];
    assert_eq!(findings(&task, &ignored), needless);
    // One that is named is selected whatever excludes it.
    let task = TaskFile { tables: tables.replacen('[', &format!("[{database}.a_b, "), 1), ..task };
    assert_eq!(findings(&task, &ignored), needless);
    let task = TaskFile { tables: tables.replacen('[', &format!("[{database}.notes, "), 1), ..task };
    let (code, output) = check(&task, &ignored);
    assert!(code == Some(2) && output.contains("is named twice"), "{output}");

    // What nothing selects, and who does not answer.
    let task = TaskFile { tables: "[\"none_*.*\"]".to_owned(), ..world.task() };
    assert_eq!(
        findings(&task, &ignored),
        ["error tables: no table is selected: nothing on the server matches `tables`"]
    );
    let task = TaskFile { sink: kafka_sink("127.0.0.1:1", ""), ..world.task() };
    let task = TaskFile { tables: format!("[{database}.orders]"), ..task };
    assert_eq!(
        findings(&task, &ignored),
        [
            "error sink: could not reach the brokers 127.0.0.1:1: 127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection \
          refused"
        ]
    );
    let task = TaskFile { sink: format!("{{kafka: \"{}\", create_topics: false}}", servers.kafka), ..task };
    let missing = format!("error topics: topic {database}.orders does not exist and create_topics is off");
    assert_eq!(findings(&task, &ignored), [missing]);

    // Names of items, in both places.
    let (code, output) = check(&task, &["--ignore", "foreign_key"]);
    assert!(code == Some(1) && output.contains("did you mean `foreign_keys`?"), "{output}");
    let task = TaskFile { more: "precheck: {ignore: [prepard_xa]}".to_owned(), ..world.task() };
    let (code, output) = check(&task, &[]);
    assert!(code == Some(2) && output.contains("did you mean `prepared_xa`?"), "{output}");
    let words = "precheck.ignore[0] = prepard_xa: no such item of `tidegate check`, did you mean `prepared_xa`?";
    assert_eq!(findings(&task, &[]), [format!("error task_file: {words}")]);
    let task = TaskFile { tables: format!("[{database}.notes]"), ..world.task() };
    let task = TaskFile {
        more: "precheck: {ignore: [prepared_xa, binlog_row_metadata, keys, message_size]}".to_owned(),
        ..task
    };
    assert_eq!(findings(&task, &[]), Vec::<String>::new());
}

/// Neither side hides what is wrong with the other, nor with the task, because it does not answer itself.
#[test]
fn a_side_that_does_not_answer_hides_nothing() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("hides", &servers.mysql, &servers.kafka);
    let database = world.database.clone();
    world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY, name VARCHAR(20))");
    world.mysql.run("CREATE TABLE notes (a INT)");
    let ignored = ["--ignore", "prepared_xa,binlog_row_metadata"];
    let away = "error sink: could not reach the brokers 127.0.0.1:1: ";
    let tables = format!("[{database}.notes, {{table: {database}.orders, where: nam = 'x'}}, {database}.ordesr]");
    let task = TaskFile { tables, sink: kafka_sink("127.0.0.1:1", ""), ..world.task() };
    let found = findings(&task, &ignored);
    for expected in [
        away,
        &format!("error tables: table {database}.ordesr does not exist"),
        &format!("error tables: table {database}.orders, where: no column \"nam\" in this table"),
        &format!("warning keys: no key tells the rows apart in {database}.notes"),
    ] {
        assert!(found.iter().any(|found| found.starts_with(expected)), "{expected:?} is not in\n{}", found.join("\n"));
    }
    assert_eq!(found.len(), 4, "{}", found.join("\n"));
    let (_, output) = check(&task, &ignored);
    let lists = |output: &str, table: &str, words: &str| {
        output.lines().any(|line| line.starts_with(&format!("{database}.{table} ")) && line.ends_with(words))
    };
    assert!(lists(&output, "notes", "not known"), "{output}");

    // A task that has begun: what has changed of it, and whether the binlog can be read on.
    let begun = TaskFile { tables: format!("[{database}.orders, {database}.marker]"), ..world.task() };
    let mut reader = world.reader([]);
    let mut engine = Tidegate::run(&begun);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    engine.terminate(libc::SIGTERM);
    let sink = kafka_sink("127.0.0.1:1", "");
    let unreachable = TaskFile { sink: sink.clone(), ..begun.clone() };
    let found = findings(&unreachable, &ignored);
    assert!(found.len() == 1 && found[0].starts_with(away), "{found:?}");
    let (_, output) = check(&unreachable, &ignored);
    assert!(output.contains("ok       history: the binlog can be read on"), "{output}");
    assert!(lists(&output, "orders", "not known"), "{output}");
    let tables = format!("[{{table: {database}.orders, where: id > 0}}, {database}.marker]");
    let changed = TaskFile { tables: tables.clone(), sink, ..begun.clone() };
    let found = findings(&changed, &ignored);
    assert!(
        found.len() == 2 && found.iter().any(|found| found.starts_with("error changed_task: where of ")),
        "{found:?}"
    );

    // And the other way round: topics of tables that are named one by one.
    let source = "{mysql: \"mysql://tide@127.0.0.1:1\", password: tide}".to_owned();
    let sink = format!("{{kafka: \"{}\", create_topics: {{replication: 3}}}}", servers.kafka);
    let tables = format!("[{{table: {database}.orders, where: id > 0}}, {database}.notes]");
    let sourceless = TaskFile { tables, sink, source, ..begun };
    let found = findings(&sourceless, &ignored);
    let expected = [
        "error source: could not connect to 127.0.0.1:1",
        &format!(
            "error topics: topic {database}.notes could not be created: Unable to replicate the partition 3 time(s)"
        ),
        "error changed_task: where of ",
        &format!("warning existing_topics: topic {database}.orders: "),
    ];
    for expected in expected {
        assert!(found.iter().any(|found| found.starts_with(expected)), "{expected:?} is not in\n{}", found.join("\n"));
    }
    assert_eq!(found.len(), expected.len(), "{}", found.join("\n"));
}

/// Limits of a topic that is there, of one that is to be made, of the client and of the brokers, against a row that is wider; and tables
/// whose rows are not told apart in one topic.
#[test]
fn what_topics_do_not_take_is_found() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["kafka"], "");
    let mut world = World::new("sizes", &servers.mysql, private.kafka());
    let database = world.database.clone();
    world.mysql.run("CREATE TABLE wide (id INT PRIMARY KEY, note VARCHAR(12000))");
    world.mysql.run("CREATE TABLE narrow (id INT PRIMARY KEY)");
    let ignored = ["--ignore", "prepared_xa,binlog_row_metadata"];
    let task = |table: &str, create: &str, more: &str| TaskFile {
        tables: format!("[{database}.{table}]"),
        sink: format!(
            "{{kafka: \"{}\", create_topics: {{partitions: 1, replication: 1{create}}}{more}}}",
            private.kafka()
        ),
        ..world.task()
    };
    let with_limit = |limit: &str| format!(", config: {{max.message.bytes: \"{limit}\"}}");
    // As text, of an update: both images.
    let wide = |takes: &str| {
        format!(
            "warning message_size: rows can be larger than a message may be, before it is compressed: {database}.wide (up to 94 KiB, and \
             {database}.wide takes {takes})"
        )
    };
    let together = |limit: &str| {
        format!(
            "warning message_size: the client puts messages together up to 1000000 bytes, before they are compressed, which may be more than \
             these topics take: {database}.wide ({limit} bytes)"
        )
    };
    assert_eq!(findings(&task("wide", "", ""), &ignored), Vec::<String>::new());
    // To be made, with a limit of its own; and what the client takes.
    assert_eq!(findings(&task("wide", &with_limit("50000"), ""), &ignored), [wide("48 KiB")]);
    let client = ", options: {message.max.bytes: 20000, batch.size: 10000}";
    assert_eq!(findings(&task("wide", "", client), &ignored), [wide("19 KiB")]);
    // The brokers' own.
    let brokers = AlterConfig::new(ResourceSpecifier::Broker(1)).set("message.max.bytes", "60000");
    block_on(admin(private.kafka()).alter_configs([&brokers], &AdminOptions::new())).expect("a broker")[0]
        .as_ref()
        .expect("a broker that takes it");
    wait_for("the brokers know their limit", || {
        (findings(&task("wide", "", ""), &ignored) == [together("60000"), wide("58 KiB")]).then_some(())
    });
    // One that is there.
    let topic = format!("{database}.wide");
    let new = NewTopic::new(&topic, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "30000");
    block_on(admin(private.kafka()).create_topics([&new], &AdminOptions::new())).expect("a broker")[0]
        .as_ref()
        .expect("a new topic");
    wait_for("the brokers know the topic", || {
        (findings(&task("wide", "", ""), &ignored) == [together("30000"), wide("29 KiB")]).then_some(())
    });
    assert_eq!(findings(&task("narrow", "", ", options: {batch.size: 10000}"), &ignored), Vec::<String>::new());

    let both = TaskFile {
        tables: format!("[{database}.narrow, {database}.marker]"),
        ..task("narrow", "", ", key: json, topic: all, options: {batch.size: 10000}")
    };
    let shared =
        format!("warning shared_topics: topic all has keys of the same form from {database}.marker, {database}.narrow");
    assert_eq!(findings(&both, &ignored), [shared]);
}

/// On a disk of its own.
#[test]
fn a_disk_without_room_for_the_state_is_found() {
    let Some(servers) = Servers::from_env() else { return };
    let world = World::new("disk", &servers.mysql, &servers.kafka);
    let disk = world.path("disk");
    std::fs::create_dir(&disk).expect("the test's folder can be written");
    let task = TaskFile { state: disk.join("state"), ..world.task() };
    let file = task.write();
    let look = |mebibytes: u32| {
        let arguments = ["check".as_ref(), file.as_os_str(), "--json".as_ref(), "--ignore".as_ref()];
        let ignored = [OsStr::new("prepared_xa,binlog_row_metadata")];
        let ended = Tidegate::spawn_beside_disk(&disk, mebibytes, arguments.into_iter().chain(ignored))?.wait();
        Some(findings_of(ended.status.code(), &ended.output))
    };
    let Some(found) = look(64) else { return };
    let state = task.state.display();
    assert_eq!(found, [format!("warning disk_space: the disk of the state folder {state} has 64 MiB left")]);
    assert_eq!(look(300), Some(Vec::new()));
}

/// A task that was stopped, and what has become of its tables meanwhile.
#[test]
fn what_a_task_would_meet_is_found_before_it_goes_on() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid"], "--binlog-row-metadata=FULL");
    let mut world = World::new("ahead", private.mysql(), &servers.kafka);
    world.mysql.run("GRANT XA_RECOVER_ADMIN ON *.* TO tide");
    world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY, name VARCHAR(20))");
    world.mysql.run("INSERT INTO orders VALUES (1, 'a')");
    let mut task = world.task();
    task.tables = format!("[{{table: {}.orders, select: [id, name]}}]", world.database);
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("reading the binlog");
    let [running] = findings(&task, &[]).try_into().expect("one");
    assert!(
        running.starts_with("info other_run: a run of the task is at work, and has the state folder "),
        "{running}"
    );
    assert!(engine.terminate(libc::SIGTERM).status.success());
    let before = std::fs::read(task.checkpoint()).expect("a state");
    assert_eq!(findings(&task, &[]), Vec::<String>::new());

    // The column is there again: only the binlog knows.
    world.mysql.run("ALTER TABLE orders DROP COLUMN name");
    world.mysql.run("INSERT INTO orders VALUES (2)");
    world.mysql.run("ALTER TABLE orders ADD COLUMN name VARCHAR(20)");
    let [stuck] = findings(&task, &[]).try_into().expect("one");
    let start = "error history: the task would stop when it reads on from ";
    let end =
        format!(": table {}.orders, select: no column \"name\" in this table\n  | name\n  | ^^^^", world.database);
    assert!(stuck.starts_with(start) && stuck.trim_end().ends_with(&end), "{stuck}");
    assert!(Tidegate::fails(&task).contains("no column \"name\""));
    // Nothing was kept of the trial.
    assert!(std::fs::read(task.checkpoint()).is_ok_and(|after| !before.is_empty() && !after.is_empty()));

    // Another filter is another task.
    task.tables = format!("[{{table: {}.orders, select: [id, name], where: id > 0}}]", world.database);
    let found = findings(&task, &[]);
    assert!(found[0].starts_with("error changed_task: ") && found[0].contains("where"), "{found:?}");
    // The binlog that the task had not read.
    world.purge_binlog();
    task.tables = format!("[{{table: {}.orders, select: [id, name]}}]", world.database);
    let [purged] = findings(&task, &[]).try_into().expect("one");
    assert!(purged.starts_with(start), "{purged}");
}

/// Who takes away the right to read tables of a pattern does not end what is sent of them: both `check` and the run say so. One that was
/// dropped needs no word.
#[test]
fn tables_that_may_not_be_seen_any_more_are_told_of() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid"], "");
    let mut world = World::new("hidden", private.mysql(), &servers.kafka);
    let database = world.database.clone();
    for statement in [
        "CREATE TABLE orders (id INT PRIMARY KEY)",
        "CREATE TABLE dropped (id INT PRIMARY KEY)",
        "CREATE USER low IDENTIFIED BY 'low'",
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO low",
        &format!("GRANT SELECT ON {database}.orders TO low"),
        &format!("GRANT SELECT ON {database}.dropped TO low"),
        &format!("GRANT SELECT ON {database}.marker TO low"),
    ] {
        world.mysql.run(statement);
    }
    let mut task = world.task();
    task.source = mysql_source(private.mysql(), "low", "low");
    task.tables = format!("[\"{database}.*\"]");
    let mut reader = world.reader(["orders"]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    engine.terminate(libc::SIGTERM);
    world.mysql.run("DROP TABLE dropped");
    world.mysql.run(format!("REVOKE SELECT ON {database}.orders FROM low"));
    world.mysql.run("INSERT INTO orders VALUES (7)");
    let told = format!("{database}.orders is not there any more, or the account has no right on it");
    let found = findings(&task, &["--ignore", "binlog_row_metadata,prepared_xa,topic_identity"]);
    assert_eq!(found, [format!("warning tables: {told}")]);
    let mut ids = Vec::new();
    let ended = world.finish(Tidegate::run(&task), &mut reader, |message| ids.extend(message.data.get("id").cloned()));
    assert!(ended.output.contains(&told), "{}", ended.output);
    assert_eq!(ids, ["7"]);
}

/// By another's validator: each example passes, and a key that is none does not.
#[test]
fn the_schema_takes_every_example() {
    let Some(_) = Servers::with_oracles() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let printed = |arguments: &[&str]| Tidegate::spawn(arguments).wait().output;
    let schema = folder.path().join("schema.json");
    std::fs::write(&schema, printed(&["reference", "--json-schema"])).expect("written");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = std::fs::read_to_string(root.join("README.md")).expect("the README");
    let mut examples = vec![printed(&["reference"])];
    for block in readme.split("```yaml\n").skip(1) {
        let (block, _) = block.split_once("```").expect("a block ends");
        examples.extend(whole_files(block));
    }
    assert!(examples.len() >= 5, "{examples:?}");
    examples
        .push(whole_files("threads: ${N}\nmemory: ${M}\ndelivery: ${D}\nfull_load: {parallel: \"${P}\"}\n").remove(0));
    let good = examples.len();
    for wrong in [
        "tabels: [shop.orders]",
        "full_load: {paralel: 4}",
        "full_load: {parallel: 400}",
        "delivery: exactly_once",
        "precheck: {ignore: [foreign_key]}",
        "sink: {kafka: b1, file: x}",
        "sink: {kafka: b1, too_large: {truncate: {columns: [a]}}}",
        "retry: {connection: 5}",
    ] {
        examples.push(whole_files(&format!("{wrong}\n")).remove(0));
    }
    let paths: Vec<OsString> = (0..examples.len())
        .map(|index| {
            let path = folder.path().join(format!("{index}.yaml"));
            std::fs::write(&path, &examples[index]).expect("written");
            path.into_os_string()
        })
        .collect();
    let mut python = Command::new(std::env::var("TIDEGATE_TEST_PYTHON").expect("see Servers::with_oracles"));
    python.arg(root.join("tests/oracles/check_schema.py")).arg(&schema).args(paths);
    let output = python.output().expect("Python runs");
    let lines = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), examples.len(), "{}", String::from_utf8_lossy(&output.stderr));
    for (line, example) in lines.iter().zip(&examples).take(good) {
        assert_eq!(*line, "ok", "{example}");
    }
    let wrong = &lines[good..];
    assert!(wrong.iter().all(|line| *line != "ok"), "{wrong:?}");
    assert!(wrong[0].contains("tabels") && wrong[1].contains("paralel"), "{wrong:?}");
}

/// Tables as the README calls them: its examples fit them, and so do its expressions.
#[test]
fn the_examples_of_the_readme_are_planned() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid"], "--binlog-row-metadata=FULL");
    let mut world = World::new("readme", private.mysql(), &servers.kafka);
    for database in ["shop", "shop_0", "shop_1"] {
        world.mysql.run(format!("CREATE DATABASE {database}; CREATE TABLE {database}.items (id INT PRIMARY KEY)"));
        world.mysql.run(format!("CREATE TABLE {database}.orders (id INT PRIMARY KEY, total DECIMAL(9, 2), qty INT)"));
    }
    for table in [
        "customers (id INT PRIMARY KEY, name VARCHAR(20), city VARCHAR(20), country CHAR(2), email VARCHAR(20), password VARCHAR(20), \
         deleted_at DATETIME, phone VARCHAR(20), mobile VARCHAR(20), notes TEXT, created_at DATETIME NOT NULL DEFAULT NOW())",
        "rates (currency CHAR(3), day DATE, rate DECIMAL(9, 5), PRIMARY KEY (currency, day))",
        "audit_log (line TEXT)",
        "notes (id INT PRIMARY KEY, note TEXT)",
        "pictures (id INT PRIMARY KEY, picture LONGBLOB)",
    ] {
        world.mysql.run(format!("CREATE TABLE shop.{table}"));
    }
    world.mysql.run("INSERT INTO shop.customers (id, email) VALUES (1, 'a@b.example'), (2, NULL)");
    world.mysql.run("INSERT INTO shop.orders VALUES (1, 10, 4), (2, 10, 0)");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = std::fs::read_to_string(root.join("README.md")).expect("the README");
    let path = world.path("shop.yaml");
    // The account is the one that the README makes, for the databases of all its examples.
    let (_, account) = readme.split_once("```sql\nCREATE USER ").expect("it makes an account");
    let (account, _) = account.split_once("```").expect("a block ends");
    let account = format!("CREATE USER {account}").replace("tide", "reader").replace('…', "reader");
    for line in account.lines() {
        let statement = line.split("--").next().unwrap_or_default().trim().trim_end_matches(';');
        assert!(statement.contains("reader"), "{line}");
        world.mysql.run(statement);
        if statement.contains("shop.*") {
            for of in ["shop_0", "shop_1"] {
                world.mysql.run(statement.replace("shop.*", &format!("{of}.*")));
            }
        }
    }
    let source = format!("source: {}\n", mysql_source(private.mysql(), "reader", "reader"));
    let brokers = |text: String| {
        ["broker1:9092,broker2:9092", "broker1:9092", "b1"].iter().fold(text, |text, written| {
            text.replace(&format!("kafka: \"{written}\""), &format!("kafka: \"{}\"", servers.kafka))
                .replace(&format!("kafka: {written}\n"), &format!("kafka: \"{}\"\n", servers.kafka))
                .replace(&format!("kafka: {written}}}"), &format!("kafka: \"{}\"}}", servers.kafka))
        })
    };
    let mut planned = 0;
    for block in readme.split("```yaml\n").skip(1) {
        let (block, _) = block.split_once("```").expect("a block ends");
        for text in whole_files(block) {
            let lines = text.lines().filter(|line| !line.starts_with("source:")).map(|line| format!("{line}\n"));
            let text = brokers(lines.collect::<String>() + &source);
            std::fs::write(&path, &text).expect("written");
            let arguments = ["check".as_ref(), path.as_os_str(), "--json".as_ref()];
            let ended = Tidegate::spawn(arguments).wait();
            // Nobody has these brokers and their authorization server, this address, and this variable.
            let of_others = |found: &&String| {
                found.starts_with("error http: ") || text.contains("oauthbearer") && found.starts_with("error sink: ")
            };
            let found = findings_of(ended.status.code(), &ended.output);
            let wrong: Vec<&String> =
                found.iter().filter(|found| found.starts_with("error ") && !of_others(found)).collect();
            assert!(wrong.is_empty(), "{text}\n{wrong:?}");
            planned += 1;
        }
    }
    assert!(planned >= 9, "{planned}");

    // What the reference shows of a table, each by itself.
    let reference = Tidegate::spawn(["reference"]).wait().output;
    let (_, of_table) = reference.split_once("  - table: shop.customers\n").expect("an entry");
    let (of_table, _) = of_table.split_once("\n\n").expect("an end");
    let (mut shown, mut above) = (0, String::new());
    for line in of_table.lines().filter_map(|line| line.trim_start().strip_prefix('#')) {
        let Some((key, value)) =
            line.split_once(':').filter(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        else {
            continue;
        };
        let option = match (value.trim(), &*above) {
            ("", _) => {
                above = key.to_owned();
                continue;
            }
            (value, "too_large") if ["dead_letter", "truncate"].contains(&key) => {
                format!("too_large: {{{key}: {value}}}")
            }
            (value, _) => format!("{key}: {value}"),
        };
        let more = if key == "key" { "\n    partition: {columns: [country]}" } else { "" };
        let entry = format!("tables:\n  - table: shop.customers\n    {option}{more}\n{source}");
        let text = brokers(whole_files(&entry).remove(0));
        std::fs::write(&path, &text).expect("written");
        let ended = Tidegate::spawn(["check".as_ref(), path.as_os_str(), "--json".as_ref()]).wait();
        let found = findings_of(ended.status.code(), &ended.output);
        assert!(!found.iter().any(|found| found.starts_with("error ")), "{text}\n{found:?}");
        shown += 1;
    }
    assert!(shown >= 9, "{shown}");

    std::fs::write(&path, brokers(whole_files(&format!("{source}tables: [\"shop.*\"]\n")).remove(0))).expect("written");
    let mut asked = 0;
    for line in readme.lines().filter(|line| line.starts_with("tidegate sql ")) {
        let [words, expression, rest] = line.splitn(3, '"').collect::<Vec<_>>().try_into().expect("one expression");
        let (words, rest) = (words.split_whitespace().skip(1), rest.split('#').next().unwrap_or_default());
        let words = words.chain([expression]).chain(rest.split_whitespace());
        let words = words.map(|word| if word == "shop.yaml" { path.as_os_str() } else { word.as_ref() });
        let ended = Tidegate::spawn(words).wait();
        assert!(ended.status.success(), "{line}\n{}", ended.output);
        asked += 1;
    }
    assert!(asked >= 2, "{asked}");
}

/// Files of an example: with what it leaves out, and one for each line where it shows a key twice.
fn whole_files(example: &str) -> Vec<String> {
    const REST: [(&str, &str); 5] = [
        ("task", "task: shop\n"),
        ("source", "source: {mysql: mysql://tide@db}\n"),
        ("tables", "tables: [shop.orders]\n"),
        ("sink", "sink: {kafka: b1}\n"),
        ("format", "format: canal_json\n"),
    ];
    let keys: Vec<&str> = example.lines().filter_map(|line| line.split_once(':')).map(|(key, _)| key).collect();
    let is_twice =
        keys.iter().any(|key| !key.starts_with([' ', '#']) && keys.iter().filter(|other| *other == key).count() > 1);
    let parts: Vec<String> = match is_twice {
        true => example.lines().map(|line| format!("{line}\n")).collect(),
        false => vec![example.to_owned()],
    };
    let rest = |part: &str| -> String {
        let has = |key: &str| part.lines().any(|line| line.starts_with(&format!("{key}:")));
        REST.iter().filter(|(key, _)| !has(key)).map(|(_, line)| *line).collect()
    };
    parts.iter().map(|part| part.clone() + &rest(part)).collect()
}
