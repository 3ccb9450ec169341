//! A server that goes away is waited for; one that cannot go on, or is another one, is an error that says so.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::failover::{create_held, hold_load};
use super::harness::address::Address;
use super::harness::http::Http;
use super::harness::world::{kafka_sink, mysql_source};
use super::harness::{Ended, Kind, Message, Mysql, Private, Reader, Servers, TaskFile, Tidegate, World, wait_for};
use super::prechecks::findings;
use super::verify::verify;

/// Waits until a record in the file holds `text`. Each line has one, as hexadecimal digits.
fn wait_for_text(engine: &mut Tidegate, file: &Path, text: &str) {
    let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    wait_for(&format!("{text} in the file"), || {
        engine.assert_running();
        let content = std::fs::read_to_string(file).unwrap_or_default();
        content.lines().any(|line| line.rsplit('\t').next().is_some_and(|value| value.contains(&digits))).then_some(())
    });
}

/// However long nothing has happened before, and in whichever way the server ends a dump: the task goes on.
///
/// A file takes the messages: `retry` also bounds how long a broker may take, and here it is very short.
fn ended_dumps(test: &str, private: &Private, server: &str, mysql_url: &str, kafka: &str) {
    let mut world = World::new(test, mysql_url, kafka);
    world.mysql.run("CREATE TABLE words (word VARCHAR(20) PRIMARY KEY)");
    world.begin_binlog_file();
    let mut task = world.task();
    let file = world.path("messages");
    task.sink = format!("{{file: \"{}\", topic: \"{{task}}\", partition: zero}}", file.display());
    task.format = "{dts_avro: {heartbeats: true}}".to_owned();
    let heartbeats = "incremental: {heartbeat_s: 1}";
    task.more = format!("{heartbeats}\nretry: {{connection: 500ms, other: 500ms}}");
    let mut engine = Tidegate::run(&task);
    for kill in ["KILL", "KILL QUERY"] {
        let word = format!("before_{}", kill.replace(' ', "_"));
        world.mysql.run(format!("INSERT INTO words VALUES ('{word}')"));
        wait_for_text(&mut engine, &file, &word);
        // A second in which nothing has happened: longer than the server may be away.
        let size = std::fs::metadata(&file).expect("a file").len();
        wait_for("a heartbeat", || {
            engine.assert_running();
            (std::fs::metadata(&file).expect("a file").len() > size).then_some(())
        });
        // One that was killed before may take a while to go.
        let query = "SELECT ID FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'";
        let dump = wait_for("one dump", || <[u64; 1]>::try_from(world.mysql.query::<u64>(query)).ok());
        world.mysql.run(format!("{kill} {}", dump[0]));
    }
    world.mysql.run("INSERT INTO words VALUES ('after_both')");
    wait_for_text(&mut engine, &file, "after_both");
    engine.terminate(libc::SIGTERM);

    task.more = heartbeats.to_owned();
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("reading the binlog");
    world.mysql.run("INSERT INTO words VALUES ('before_shutdown')");
    wait_for_text(&mut engine, &file, "before_shutdown");
    private.stop(server);
    // A server that waits too long for the thread of a dump cuts its connection: then that is what is said.
    engine.wait_for_line("going on at");
    private.start(server);
    world.reconnect();
    world.mysql.run("INSERT INTO words VALUES ('after_shutdown')");
    wait_for_text(&mut engine, &file, "after_shutdown");
    engine.terminate(libc::SIGTERM);
}

#[test]
fn a_dump_that_the_server_ends_is_an_outage() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "");
    ended_dumps("ended_gtid", &private, "mysql", private.mysql(), &servers.kafka);
    ended_dumps("ended_nogtid", &private, "mysql-nogtid", private.mysql_nogtid(), &servers.kafka);
}

#[test]
fn a_dump_that_the_oldest_ends_is_an_outage() {
    let Some((servers, _)) = Servers::with_oldest() else { return };
    let private = Private::up(&["mysql-5.6"], "");
    ended_dumps("ended_oldest", &private, "mysql-5.6", private.oldest(), &servers.kafka);
}

/// A server that neither answers nor ends, as one whose machine hangs: it is missed, and followed again once it comes to itself.
#[test]
fn a_server_that_hangs_is_missed_and_followed_again() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "");
    let named = [("hangs_gtid", "mysql", private.mysql()), ("hangs_nogtid", "mysql-nogtid", private.mysql_nogtid())];
    let mut tasks = named.map(|(test, server, url)| {
        let mut world = World::new(test, url, &servers.kafka);
        world.mysql.run("CREATE TABLE words (word VARCHAR(20) PRIMARY KEY)");
        world.begin_binlog_file();
        let mut task = world.task();
        task.more = "incremental: {heartbeat_s: 3}\nhttp: 127.0.0.1:0".to_owned();
        let mut reader = world.reader(["words"]);
        let mut engine = Tidegate::run(&task);
        let http = Http::of(&mut engine);
        world.until_loaded(&mut engine, &mut reader, |_| ());
        world.mysql.run("INSERT INTO words VALUES ('before')");
        private.signal(server, libc::SIGSTOP);
        (server, world, reader, engine, http)
    });
    for (server, _, _, engine, http) in &mut tasks {
        let is_missed =
            |report: &serde_json::Value| report["retries"].as_array().is_some_and(|retries| !retries.is_empty());
        let report = http.until(engine, "the server is missed", is_missed);
        assert_eq!(report["retries"][0]["of"], "source", "{report}");
        engine.wait_for_line("going on at");
        // Three heartbeats, as the reference says. Time-outs of other things are of a minute.
        let output = engine.output();
        let (_, silence) = output.split_once("neither events nor heartbeats for ").expect("it says for how long");
        let seconds: f64 = silence.split('s').next().and_then(|text| text.parse().ok()).expect("seconds");
        assert!((9.0..60.0).contains(&seconds), "{output}");
        private.signal(server, libc::SIGCONT);
        http.until(engine, "nothing is missed", |report| !is_missed(report));
    }
    for (server, mut world, mut reader, engine, _) in tasks {
        world.mysql.run("INSERT INTO words VALUES ('after')");
        let mut words = Vec::new();
        world.finish(engine, &mut reader, |message| words.push(message.data.get("word").cloned()));
        words.sort();
        assert_eq!(words, [Some("after".to_owned()), Some("before".to_owned())], "{server}");
    }
}

/// What a server that the test does not look at may have.
const KNOWN: &[&str] = &["--ignore", "binlog_row_metadata,prepared_xa"];

/// A task with one table, and a reader of its topic.
fn task_with_reader(test: &str, mysql_url: &str, kafka: &str) -> (World, TaskFile, Reader) {
    let mut world = World::new(test, mysql_url, kafka);
    world.begin_binlog_file();
    let (task, reader) = (world.task(), world.reader([]));
    (world, task, reader)
}

/// Runs the task up to now: its position is behind a change, which the full load's end alone does not see to.
fn run_once(world: &mut World, task: &TaskFile, reader: &mut Reader) {
    let mut engine = Tidegate::run(task);
    world.until_loaded(&mut engine, reader, |_| {});
    engine.terminate(libc::SIGTERM);
}

#[track_caller]
fn assert_fails(task: &TaskFile, words: &[&str]) {
    let output = Tidegate::fails(task);
    for word in words {
        assert!(output.contains(word), "{word:?} is not in\n{output}");
    }
}

/// Changes that are gone, a binlog that is shorter than it was, a history that is another one.
#[test]
fn a_binlog_that_does_not_go_on_is_named() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "");
    for (test, mysql_url) in [("gone_gtid", private.mysql()), ("gone_nogtid", private.mysql_nogtid())] {
        let (mut world, task, mut reader) = task_with_reader(test, mysql_url, &servers.kafka);
        run_once(&mut world, &task, &mut reader);
        world.mysql.run("INSERT INTO marker VALUES (100)");
        world.purge_binlog();
        assert_fails(
            &task,
            &["are no longer on the server", "--accept-gap load", "full load", "binlog_expire_logs_seconds"],
        );

        let (mut world, mut task, mut reader) = task_with_reader(test, mysql_url, &servers.kafka);
        // The first file again, as after the next one.
        world.mysql.run("RESET BINARY LOGS AND GTIDS");
        run_once(&mut world, &task, &mut reader);
        super::histories::begin_anew(&mut world.mysql, "");
        task.more = "retry: {connection: 1s, other: 1s}".to_owned();
        assert_fails(&task, &["the server's history is no longer the one", "binlog.000001", "full load"]);
    }
}

/// Without GTIDs, what answers at the same address after an outage may be a server that knows nothing of the file.
#[test]
fn another_server_at_the_same_address_is_refused() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-nogtid"], "");
    let (mut world, task, mut reader) = task_with_reader("other_server", private.mysql_nogtid(), &servers.kafka);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| {});
    let before: String = world.mysql.query_one("SELECT @@server_uuid");
    private.stop("mysql-nogtid");
    // A server makes itself a new UUID when it has none.
    std::fs::remove_file(private.data("mysql-nogtid").join("auto.cnf")).expect("the server's UUID");
    private.start("mysql-nogtid");
    world.reconnect();
    let now: String = world.mysql.query_one("SELECT @@server_uuid");
    let ended = engine.wait();
    assert!(!ended.status.success());
    let expected = format!("is one of server {before}, and this is server {now}");
    assert!(ended.output.contains(&expected), "{expected:?} is not in\n{}", ended.output);
}

/// The same in the midst of a full load, for who reads on and for who is started again: chunks of another table are none of this one.
#[test]
fn a_load_that_finds_another_server_at_its_address_is_refused() {
    let Some(servers) = Servers::from_env() else { return };
    let nodes = ["", "--server-id=11"].map(|options| Private::up(&["mysql-nogtid"], options));
    let urls = [nodes[0].mysql_nogtid(), nodes[1].mysql_nogtid()];
    for is_killed in [false, true] {
        let mut world = World::new("other_in_load", urls[0], &servers.kafka);
        let mut other = Mysql::connect(urls[1]);
        other.run(format!("CREATE DATABASE {}", world.database));
        other.run(format!("USE {}", world.database));
        other.run("CREATE TABLE marker (id INT PRIMARY KEY)");
        for (mysql, v) in [(&mut world.mysql, 1), (&mut other, 2)] {
            mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
            let rows: Vec<String> = (0..1000).map(|id| format!("({id}, {v})")).collect();
            mysql.run(format!("INSERT INTO t VALUES {}", rows.join(", ")));
            create_held(mysql, "z_held");
            mysql.run("FLUSH BINARY LOGS");
        }
        let address = Address::of(urls[0]);
        let mut task = world.task();
        task.source = mysql_source(address.url(), "tide", "tide");
        task.more = "full_load: {parallel: 1, chunk_rows: 100}".to_owned();
        let mut reader = world.reader(["t"]);
        let held = hold_load(&world, "z_held");
        let mut engine = Tidegate::run(&task);
        world.until_load_is_locked_out(&mut engine);
        let said = if is_killed {
            engine.kill_9();
            address.leads_to(urls[1]);
            Tidegate::fails(&task)
        } else {
            address.leads_to(urls[1]);
            engine.wait().output
        };
        for mysql in [&mut world.mysql, &mut other] {
            let uuid: String = mysql.query_one("SELECT @@server_uuid");
            assert!(said.contains(&uuid), "{uuid} is not in\n{said}");
        }
        // Where it was, it goes on.
        address.leads_to(urls[0]);
        drop(held);
        let mut ids = BTreeSet::new();
        world.finish(Tidegate::run(&task), &mut reader, |message| {
            assert_eq!(message.data.get("v").map(String::as_str), Some("1"), "{message:?}");
            ids.insert(message.data.get("id").cloned());
        });
        assert_eq!(ids.len(), 1000);
        other.run(format!("DROP DATABASE {}", world.database));
    }
}

/// Two runs under one server id: the older one ends, instead of both sending every change, or each ending the other for ever.
#[test]
fn of_two_runs_under_one_server_id_the_older_ends() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("same_id", &servers.mysql, &servers.kafka);
    let server_id = fastrand::u32(1..1 << 31);
    let mut first = world.task();
    let source = mysql_source(&servers.mysql, "tide", "tide");
    first.source = format!("{}, server_id: {server_id}}}", source.trim_end_matches('}'));
    let second = TaskFile {
        name: format!("{}_2", first.name),
        state: world.path("state-2"),
        path: world.path("task-2.yaml"),
        sink: kafka_sink(&servers.kafka, ", non_empty_topics: accept"),
        ..first.clone()
    };
    let mut reader = world.reader([]);
    let mut first = Tidegate::run(&first);
    // It reads the binlog: the one that comes second ends the other.
    world.until_loaded(&mut first, &mut reader, |_| {});
    let taken = "is one under which the binlog is read, perhaps by another task";
    assert_eq!(findings(&second, KNOWN), [format!("warning server_id: the task's server_id {server_id} {taken}")]);
    let mut second = Tidegate::run(&second);
    let ended = first.wait();
    assert!(!ended.status.success());
    let expected = format!("another run reads the binlog under server_id {server_id}");
    assert!(ended.output.contains(&expected), "{expected:?} is not in\n{}", ended.output);
    world.until_marker(&mut second, &mut reader, |_| {});
    second.terminate(libc::SIGTERM);
}

/// A server whose binlog is not whole, in every way that a running server can show: each alone, and all of them at once.
#[test]
fn check_names_what_the_binlog_leaves_out() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let options = "--innodb-native-foreign-keys=ON --binlog-ignore-db=unlogged --log-replica-updates=OFF \
                           --binlog-row-metadata=FULL --skip-replica-start";
            let private = Private::up(&["mysql-nogtid"], options);
            let replicate = "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = 1";
            left_out(private.mysql_nogtid(), &servers, replicate, "log_replica_updates");
        });
        scope.spawn(|| {
            let options =
                "--binlog-ignore-db=unlogged --log-slave-updates=OFF --binlog-row-metadata=FULL --gtid-strict-mode=ON";
            let private = Private::up(&["mariadb"], options);
            left_out(private.mariadb(), &servers, CHANGE_MASTER, "log_slave_updates");
        });
    });
}

const CHANGE_MASTER: &str = "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 1";

/// The same of the oldest server, whose binlog does not describe tables: there a filter is an error for any of them.
#[test]
fn check_names_what_an_old_binlog_leaves_out() {
    let Some((servers, _)) = Servers::with_oldest() else { return };
    let options = "--binlog-ignore-db=unlogged --log-slave-updates=OFF --gtid-mode=OFF --enforce-gtid-consistency=OFF";
    let private = Private::up(&["mysql-5.6"], options);
    left_out(private.oldest(), &servers, CHANGE_MASTER, "log_slave_updates");
}

/// Of a server that has foreign keys by themselves, leaves out a database, and does not log what `replicate` lets it replicate.
fn left_out(url: &str, servers: &Servers, replicate: &str, setting: &str) {
    let mut world = World::new("gaps", url, &servers.kafka);
    world.mysql.run("CREATE TABLE parent (id INT PRIMARY KEY)");
    world.mysql.run(
        "CREATE TABLE child (id INT PRIMARY KEY, parent INT, CONSTRAINT p FOREIGN KEY (parent) REFERENCES parent (id) \
         ON DELETE CASCADE)",
    );
    world.mysql.run("CREATE DATABASE unlogged");
    world.mysql.run("CREATE TABLE unlogged.t (id INT PRIMARY KEY)");
    let (is_mariadb, is_oldest) = (world.mysql.is_mariadb(), world.mysql.is_oldest());
    let database = world.database.clone();
    let task = world.task();
    let of = |tables: &str| TaskFile { tables: tables.replace("DB", &database), ..task.clone() };
    let known = ["--ignore", "binlog_row_metadata,gtid_mode,prepared_xa,binlog_databases"];
    // Where the binlog describes its tables, a filter that leaves out none of them is a warning.
    let filtered = is_oldest.then(|| "error binlog_databases: binlog_ignore_db is unlogged".to_owned());
    let foreign_keys = format!(
        "warning foreign_keys: a foreign key has ON DELETE or ON UPDATE with CASCADE or SET NULL in {database}.child"
    );
    let unlogged = "error binlog_databases: binlog_ignore_db is unlogged, which leaves out unlogged.t".to_owned();
    let replica = format!("error log_replica_updates: {setting} is OFF on a replica");
    let with_filter = |found: &String| filtered.iter().chain([found]).cloned().collect::<Vec<String>>();

    if is_mariadb {
        let hidden = "is OFF, and the account may not see whether this is a replica";
        let hidden = format!("warning log_replica_updates: {setting} {hidden}");
        assert_eq!(findings(&of("[DB.parent]"), &known), [hidden]);
        world.mysql.run("GRANT SLAVE MONITOR ON *.* TO tide");
    }
    assert_eq!(findings(&of("[DB.parent]"), &known), Vec::from_iter(filtered.clone()));
    assert_eq!(findings(&of("[DB.parent, DB.child]"), &known), with_filter(&foreign_keys));
    assert_eq!(findings(&of("[DB.parent, unlogged.t]"), &known), [unlogged.as_str()]);
    world.mysql.run(replicate);
    assert_eq!(findings(&of("[DB.parent]"), &known), with_filter(&replica));

    let mut task = of("[DB.child, DB.parent, unlogged.t]");
    assert_eq!(findings(&task, &known), [unlogged, replica, foreign_keys]);
    let output = Tidegate::spawn([Path::new("check"), &task.write()]).wait().output;
    let drop = format!("ALTER TABLE `{database}`.`child` DROP FOREIGN KEY `p`;");
    assert!(output.contains(&drop), "{drop:?} is not in\n{output}");
    assert_fails(&task, &["unlogged.t", setting]);

    // Who does not read the binlog need not care.
    task.more = "incremental: false".to_owned();
    assert_eq!(findings(&task, &known), Vec::<String>::new());
    Tidegate::finishes(&task);
}

/// What the check says of MySQL from 9.6 on, held against it: the server logs what a foreign key's action does.
#[test]
fn rows_that_a_foreign_key_deletes_are_sent() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("cascade", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE parent (id INT PRIMARY KEY)");
    world.mysql.run(
        "CREATE TABLE child (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE)",
    );
    world.mysql.run("INSERT INTO parent VALUES (1)");
    world.mysql.run("INSERT INTO child VALUES (7, 1), (8, 1)");
    let mut reader = world.reader(["parent", "child"]);
    let mut engine = Tidegate::run(&world.task());
    world.until_loaded(&mut engine, &mut reader, |_| {});
    world.mysql.run("DELETE FROM parent");
    let mut deleted = Vec::new();
    world.finish(engine, &mut reader, |message| {
        assert_eq!(message.kind, Kind::Delete);
        deleted.push(format!("{}.{}", message.table, message.data.get("id").expect("never NULL")));
    });
    deleted.sort();
    assert_eq!(deleted, ["child.7", "child.8", "parent.1"]);
}

/// What a check would have found comes later: it is said then, once of each key, if the table still has it when the statement is read.
#[test]
fn a_foreign_key_that_comes_while_the_task_runs_is_told_of() {
    let Some((servers, [mariadb, _])) = Servers::with_mariadb() else { return };
    let Some((_, oldest)) = Servers::with_oldest() else { return };
    for (url, logs_them) in [(&mariadb, false), (&oldest, false), (&servers.mysql, true)] {
        let mut world = World::new("new_cascade", url, &servers.kafka);
        world.mysql.run("CREATE TABLE parent (id INT PRIMARY KEY)");
        let child = |name: &str, key: &str| format!("CREATE TABLE {name} (id INT PRIMARY KEY, parent INT{key})");
        let key =
            |name: &str| format!("CONSTRAINT {name} FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE");
        world.mysql.run(child("first", &format!(", {}", key("known"))));
        world.mysql.run(child("second", ""));
        world.begin_binlog_file();
        let mut reader = world.reader([]);
        let task = world.task();
        let mut engine = Tidegate::run(&task);
        world.until_marker(&mut engine, &mut reader, |_| {});
        let word = "a foreign key has ON DELETE or ON UPDATE with CASCADE or SET NULL";
        assert_eq!(engine.count_lines(word), usize::from(!logs_them), "{}", engine.output());
        for _ in 0..2 {
            world.mysql.run(format!("ALTER TABLE second ADD {}", key("added")));
            if !logs_them {
                engine.wait_for_line("key=added");
            }
            world.mysql.run("ALTER TABLE second DROP FOREIGN KEY added");
        }
        world.mysql.run(child("third", ", FOREIGN KEY (parent) REFERENCES parent (id) ON UPDATE SET NULL"));
        world.mysql.run(child("fourth", ", FOREIGN KEY (parent) REFERENCES parent (id)"));
        // One that the catalogue alone has.
        world.mysql.run("SET SESSION sql_log_bin = 0");
        world.mysql.run(child("hidden", &format!(", {}", key("unlogged"))));
        world.mysql.run("SET SESSION sql_log_bin = 1");
        world.mysql.run("INSERT INTO hidden VALUES (1, NULL)");
        engine.wait_for_line("it has rows that were never sent: it is loaded");
        world.until_asked_is_loaded(&task, &mut engine);
        world.until_marker(&mut engine, &mut reader, |_| {});
        let ran = engine.terminate(libc::SIGTERM);
        // While it is stopped.
        world.mysql.run(format!("ALTER TABLE second ADD {}", key("meanwhile")));
        let again = Tidegate::run(&task);
        let ran_again = world.finish(again, &mut reader, |_| {});
        let told = |ended: &Ended| -> Vec<String> {
            let lines = ended.output.lines().filter_map(|line| Some(line.split_once(word)?.1.to_owned()));
            lines.collect()
        };
        if logs_them {
            assert_eq!((told(&ran), told(&ran_again)), (Vec::new(), Vec::new()));
            continue;
        }
        let database = &world.database;
        let [of_first, of_second, of_third, of_hidden] = &told(&ran)[..] else { panic!("{}", ran.output) };
        assert!(of_first.contains(&format!(" in {database}.first; ")), "{of_first}");
        for (line, table, key) in [
            (of_second, "second", "added"),
            (of_third, "third", "third_ibfk_1"),
            (of_hidden, "hidden", "unlogged"),
            (&told(&ran_again)[0], "second", "meanwhile"),
        ] {
            let words =
                [format!(" in {database}.{table}; "), format!("table={database}.{table}"), format!("key={key}")];
            assert!(words.iter().all(|word| line.contains(word)), "{words:?} are not in {line}");
        }
        assert_eq!(told(&ran_again).len(), 1, "{}", ran_again.output);
    }
}

/// Two servers, of which the second lacks what the first has, until it is let replicate.
#[test]
fn a_server_that_lacks_transactions_is_waited_for() {
    let Some(servers) = Servers::from_env() else { return };
    let first = Private::up(&["mysql-gtid"], "");
    let second = Private::up(&["mysql-gtid"], "--server-id=11 --log-bin=other --log-replica-updates=ON");
    let mut world = World::new("behind", first.mysql(), &servers.kafka);
    let mut replica = Mysql::connect(second.mysql());
    replica.run(super::failover::replicate_from(first.mysql()));
    replica.run("START REPLICA");
    let mut task = world.task();
    let mut reader = world.reader([]);
    run_once(&mut world, &task, &mut reader);
    // With the tables and without what came last.
    super::failover::wait_until_replicated(&mut world.mysql, &mut replica);
    let own = task.source.clone();
    task.source = own.replace('}', ", server_id: 11}");
    let taken = "warning server_id: the task's server_id 11 is that of a replica that reads the binlog";
    assert_eq!(findings(&task, KNOWN), [taken]);
    task.source = own;
    replica.run("STOP REPLICA");
    run_once(&mut world, &task, &mut reader);

    task.source = mysql_source(second.mysql(), "tide", "tide");
    task.more = "retry: {connection: 1s, other: 1s}".to_owned();
    assert_fails(&task, &["lacks transactions", "has not executed", "binlog.000001", "a replica that will catch up"]);
    task.more = String::new();
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("lacks transactions");
    replica.run("START REPLICA");
    world.finish(engine, &mut reader, |message| panic!("sent twice: {message:?}"));
}

/// What orchestrators leave a program to end in, unless somebody tells them otherwise.
const GRACE: Duration = Duration::from_secs(30);

/// Whoever stops a task whose brokers are away gets it back before orchestrators kill, and the next run sends what was not taken.
#[test]
fn a_stop_does_not_wait_for_brokers_that_are_away() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["kafka"], "");
    stop_while_away("kafka", &servers, &private);
}

pub(super) fn stop_while_away(name: &str, servers: &Servers, private: &Private) {
    let (brokers, _) = private.kafka_named(name);
    let test = format!("drain_{}", name.replace(['-', '.'], "_"));
    let mut world = World::new(&test, &servers.mysql, brokers);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    let mut task = world.task();
    task.more = "http: 127.0.0.1:0".to_owned();
    let mut reader = world.reader(["t"]);
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    reader.disconnect();
    private.kill(name);
    world.mysql.run("INSERT INTO t VALUES (1), (2), (3)");
    let is_missed = |report: &serde_json::Value| {
        let is_read = report["total"]["changes"].as_u64() > report["total"]["messages"].as_u64();
        is_read && report["retries"].as_array().is_some_and(|retries| !retries.is_empty())
    };
    http.until(&mut engine, "the broker is missed, and rows wait for it", is_missed);
    engine.signal(libc::SIGTERM);
    let told = Instant::now();
    let ended = engine.wait();
    let took = told.elapsed();
    assert_eq!(ended.status.code(), Some(75), "{}", ended.output);
    let words = "messages were still undelivered 20 s after the stop; they will be sent again by the next run";
    assert!(ended.output.contains(words), "{}", ended.output);
    // No measurement: whoever is not back by then is killed, by systemd and Kubernetes alike.
    assert!(took < GRACE, "{took:?}");
    private.start(name);
    let mut ids = Vec::new();
    world.finish(Tidegate::run(&task), &mut reader, |message| ids.push(format!("{:?}", message.data)));
    ids.sort();
    // Without idempotence, what was on its way may come twice.
    ids.dedup();
    assert_eq!(ids, [r#"id="1""#, r#"id="2""#, r#"id="3""#]);
}

/// Topics are looked up at the first sight of a table and for a statement that is passed on: there, too, brokers are waited for that are away
/// for longer than an answer may take; and another version of a table goes where the one before did.
#[test]
fn brokers_that_are_away_at_a_look_up_are_waited_for() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["kafka"], "");
    let mut world = World::new("look_up", &servers.mysql, private.kafka());
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    let mut task = world.task();
    task.tables = format!("[\"{}.*\"]", world.database);
    task.more = "incremental: {ddl: forward}".to_owned();
    let mut reader = world.reader(["t", "u"]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    reader.disconnect();
    private.kill("kafka");
    world.mysql.run("CREATE TABLE u (id INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO u VALUES (1)");
    world.mysql.run("ALTER TABLE t ADD COLUMN n INT");
    world.mysql.run("INSERT INTO t VALUES (2, 22)");
    engine.wait_for_line("a question about topics was not answered, will be asked again");
    private.start("kafka");
    let mut messages = BTreeSet::new();
    world.finish(engine, &mut reader, |message| {
        let statement = message.statement.map_or_else(String::new, |(_, sql)| sql);
        // The load has sent how it found its table.
        if !statement.starts_with("CREATE TABLE `t`") {
            messages.insert(format!("{} {:?} {statement}", message.table, message.data));
        }
    });
    let expected = [
        "t  ALTER TABLE t ADD COLUMN n INT",
        "t id=\"2\" n=\"22\" ",
        "u  CREATE TABLE u (id INT PRIMARY KEY)",
        "u id=\"1\" ",
    ];
    assert_eq!(messages, BTreeSet::from(expected.map(str::to_owned)));
}

/// Away for longer than a task waits: it ends with what tells "try again" from "needs a person", and the next run has all of it.
#[test]
fn who_is_away_for_too_long_is_waited_for_by_the_next_run() {
    let Some(_) = Servers::from_env() else { return };
    let private = Private::up(&["kafka", "mysql-gtid"], "");
    let mut world = World::new("too_long", private.mysql(), private.kafka());
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    let mut task = world.task();
    task.more = "retry: {connection: 3s, other: 1s}".to_owned();
    let mut reader = world.reader(["t"]);
    let mut ids = Vec::new();
    for (round, server) in ["kafka", "mysql"].into_iter().enumerate() {
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |message| ids.push(format!("{:?}", message.data)));
        reader.disconnect();
        world.mysql.run(format!("INSERT INTO t VALUES ({round}1), ({round}2)"));
        private.kill(server);
        if server == "kafka" {
            world.mysql.run(format!("INSERT INTO t VALUES ({round}3)"));
        }
        let ended = engine.wait();
        assert_eq!(ended.status.code(), Some(75), "{server}: {}", ended.output);
        // To whoever starts it again at once, nobody is back yet.
        let again = Tidegate::run(&task).wait();
        assert_eq!(again.status.code(), Some(75), "{server}: {}", again.output);
        // Nor to who would compare.
        let (code, output, _) = verify(&task, &[]);
        assert!(code == Some(75) && output.contains("error: "), "{server}: {code:?} {output}");
        private.start(server);
        world.reconnect();
        world.mysql.run(format!("INSERT INTO t VALUES ({round}4)"));
    }
    world.finish(Tidegate::run(&task), &mut reader, |message| ids.push(format!("{:?}", message.data)));
    ids.sort();
    // A task that is cut off may send twice what was on its way.
    ids.dedup();
    let expected = ["1", "2", "3", "4", "11", "12", "14"].map(|id| format!("id=\"{id}\""));
    let mut expected = Vec::from(expected);
    expected.sort();
    assert_eq!(ids, expected);
}

/// A disk that is full under the state: the task says so and how long it goes on trying, ends with everything safe, and the next run goes on
/// from what is stored.
#[test]
fn a_disk_that_is_full_is_tried_again_and_nothing_is_lost() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("full_disk", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO t VALUES (1), (2)");
    let disk = world.path("disk");
    std::fs::create_dir(&disk).expect("the test's folder can be written");
    let mut task = world.task();
    task.state = disk.join("state");
    task.more = "retry: {connection: 1m, other: 5s}\nhttp: 127.0.0.1:0".to_owned();
    let Some(mut engine) = Tidegate::spawn_beside_disk(&disk, 4, task.run_arguments()) else { return };
    let http = Http::of(&mut engine);
    let mut reader = world.reader(["t"]);
    let mut ids = Vec::new();
    let id_of = |message: &Message| message.data.get("id").expect("a key").parse::<u32>().expect("a number");
    world.until_loaded(&mut engine, &mut reader, |message| ids.push(id_of(&message)));

    let seen = engine.open_folder(&disk);
    let seen_at = PathBuf::from(format!("/proc/self/fd/{}", seen.as_raw_fd()));
    let mut filler = File::create(seen_at.join("filler")).expect("there is room for its name");
    while filler.write(&[0; 4096]).is_ok() {}
    // What is stored has a little room behind it.
    let mut last = 2;
    let report = wait_for("the disk is tried again", || {
        engine.assert_running();
        last += 1;
        world.mysql.run(format!("INSERT INTO t VALUES ({last})"));
        Some(http.status()).filter(|report| report["retries"][0]["of"] == "state")
    });
    let retry = &report["retries"][0];
    assert!(retry["seconds_left"].as_u64() <= Some(5) && retry["seconds_left"].is_u64(), "{retry}");
    assert!(retry["reason"].as_str().is_some_and(|reason| reason.contains("No space left on device")), "{retry}");
    let ended = engine.wait();
    assert_eq!(ended.status.code(), Some(75), "{}", ended.output);
    for words in ["the checkpoint could not be written", "No space left on device"] {
        assert!(ended.output.contains(words), "{words:?} is not in\n{}", ended.output);
    }

    // What was on that disk is on one that has room.
    std::fs::create_dir(&task.state).expect("the test's folder can be written");
    for file in std::fs::read_dir(seen_at.join("state")).expect("the state").map(|file| file.expect("a file").path()) {
        if file.metadata().is_ok_and(|file| file.is_file()) {
            std::fs::copy(&file, task.state.join(file.file_name().expect("a name"))).expect("there is room");
        }
    }
    last += 1;
    world.mysql.run(format!("INSERT INTO t VALUES ({last})"));
    world.finish(Tidegate::run(&task), &mut reader, |message| ids.push(id_of(&message)));
    ids.sort_unstable();
    // What was delivered and not stored comes twice.
    ids.dedup();
    assert_eq!(ids, Vec::from_iter(1..=last));
}
