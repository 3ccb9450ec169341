//! What changes under a running task without rows that say so: definitions, names, and whole tables' rows.

use std::ffi::OsStr;

use super::harness::mysql::in_capitals;
use super::harness::world::MARKER;
use super::harness::{Kind, Message, Mysql, Private, Reader, Servers, TaskFile, Tidegate, World};

/// Runs the statements after the full load; the task must stop at the last of them, and again when it is started again.
fn stopped(world: &mut World, task: &TaskFile, statements: &[&str]) -> String {
    let mut reader = Reader::new(&world.kafka, vec![world.database.clone(), world.topic(MARKER)]);
    let mut engine = Tidegate::run(task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    for statement in statements {
        world.mysql.run(*statement);
    }
    let ended = engine.wait();
    assert!(!ended.status.success() && ended.output.contains("hint:"), "{}", ended.output);
    let again = Tidegate::fails(task);
    let reason = |output: &str| output.lines().find(|line| line.starts_with("error:")).map(str::to_owned);
    assert_eq!(reason(&again), reason(&ended.output));
    ended.output
}

fn changed(message: &Message) -> String {
    format!("{} {:?} key {:?}", message.table, message.data, message.primary_key.clone().unwrap_or_default())
}

/// `lower_case_table_names=1`: statements and task files name tables as people type them.
#[test]
fn names_in_any_case_mean_the_same_table() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid"], "--lower-case-table-names=1");
    let mut world = World::new("folded", private.mysql(), &servers.kafka);
    let database = world.database.to_uppercase();
    world.mysql.run(format!("CREATE TABLE {database}.Orders (id INT PRIMARY KEY, a INT, b INT)"));
    world.mysql.run("INSERT INTO orders VALUES (1, 10, 100)");

    // Without names in the binlog, rows behind a statement are read by what it says.
    let mut task = world.task_of_one_topic("");
    task.tables = format!("[{database}.Orders, {database}.Marker]");
    let ended = Tidegate::spawn([OsStr::new("check"), task.write().as_os_str()]).wait();
    assert!(ended.status.success() && ended.output.contains("2 tables"), "{}", ended.output);
    let alter = format!("ALTER TABLE {database}.ORDERS MODIFY b INT FIRST");
    let (messages, _) = world.follow(&task, &[&alter, "INSERT INTO Orders (id, a, b) VALUES (2, 11, 22)"]);
    let changes: Vec<String> = messages.iter().map(changed).collect();
    assert_eq!(changes, [r#"orders b="22" id="2" a="11" key ["id"]"#]);
    task.tables = format!("[{database}.Orders, {}.orders]", world.database);
    task.state = world.path("twice");
    assert!(Tidegate::fails(&task).contains("the same table"));

    // With them, a pattern in another case finds it, and what is changed by other names.
    world.mysql.run("SET GLOBAL binlog_row_metadata = FULL");
    let mut world = World::new("folded_full", private.mysql(), &servers.kafka);
    let database = world.database.to_uppercase();
    world.mysql.run("CREATE TABLE Orders (id INT PRIMARY KEY, a INT, b INT)");
    let mut task = world.task_of_one_topic("");
    task.tables = format!("[\"{database}.*\"]");
    task.more = "incremental: {ddl: forward}".to_owned();
    let alter = format!("ALTER TABLE {database}.oRDERS MODIFY b INT FIRST");
    let statements = [&*alter, "INSERT INTO Orders (id, a, b) VALUES (2, 11, 22)", "TRUNCATE ORDERS"];
    let (messages, output) = world.follow(&task, &statements);
    let [ddl, insert, truncate] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!((&*ddl.table, ddl.statement.as_ref().map(|(_, sql)| sql)), ("orders", Some(&alter)));
    assert_eq!(changed(insert), r#"orders b="22" id="2" a="11" key ["id"]"#);
    assert_eq!((truncate.kind, &*truncate.table), (Kind::Statement, "orders"));
    assert!(output.contains("its topic still holds all rows"), "{output}");
}

/// By which rows of `t` go without row events, what is said of its topic, whether rows came by it, and what makes a `t` again.
const UNLOGGED: &[(&str, &str, bool, &str)] = &[
    ("TRUNCATE t", "its topic still holds all rows that it had", false, ""),
    ("DROP TABLE t", "its topic still holds the rows of the dropped table", false, T),
    ("ALTER TABLE t DROP PARTITION p0", "its topic still holds the rows of the partition", false, ""),
    ("ALTER TABLE t TRUNCATE PARTITION p0", "its topic still holds the rows of the partition", false, ""),
    (
        "ALTER TABLE t EXCHANGE PARTITION p0 WITH TABLE other",
        "its topic still holds the rows that were moved away, and lacks those that were moved here",
        true,
        "",
    ),
];

const T: &str = "CREATE TABLE t (id INT PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 \
                 VALUES LESS THAN MAXVALUE)";

/// TRUNCATE and its like: told by default and passed on where DDL is, a stop before the statement for whoever asks for it, and rows that came so
/// are loaded where they are wanted.
#[test]
fn rows_that_go_without_row_events_are_told_or_stop_the_task() {
    let Some((servers, [mariadb, mariadb_11])) = Servers::with_mariadb() else { return };
    let Some((_, oldest)) = Servers::with_oldest() else { return };
    for url in [&servers.mysql, &servers.mysql_nogtid, &mariadb, &mariadb_11, &oldest] {
        rows_go_without_row_events(url, &servers.kafka, str::to_owned);
    }
}

/// The same where names are folded, and statements are typed in capitals.
#[test]
fn rows_that_go_without_row_events_in_any_case_are_told_or_stop_the_task() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid"], "--lower-case-table-names=1");
    let mut admin = Mysql::connect(private.mysql());
    for metadata in ["MINIMAL", "FULL"] {
        admin.run(format!("SET GLOBAL binlog_row_metadata = {metadata}"));
        rows_go_without_row_events(private.mysql(), &servers.kafka, |sql| in_capitals(sql, &["t", "other"]));
    }
}

/// `typed` is how people type the statements.
fn rows_go_without_row_events(url: &str, kafka: &str, typed: impl Fn(&str) -> String) {
    for &(statement, consequence, rows_came, again) in UNLOGGED {
        let statement = typed(statement);
        let mut world = World::new("unlogged", url, kafka);
        world.mysql.run(T);
        world.mysql.run("INSERT INTO t VALUES (1), (2), (11)");
        world.mysql.run("CREATE TABLE other (id INT PRIMARY KEY)");
        world.mysql.run("INSERT INTO other VALUES (5)");
        world.begin_binlog_file();
        let mut task = world.task_of_one_topic("");
        task.tables = format!("[{0}.t, {0}.marker]", world.database);
        task.more = "incremental: {unlogged_rows: stop}".to_owned();
        let output = stopped(&mut world, &task, &[&statement]);
        let told = format!("moves rows of table {}.t without row events: behind it, {consequence}", world.database);
        for words in [&*told, "unlogged_rows: warn", "binlog"] {
            assert!(output.contains(words), "{words:?} is not in\n{output}");
        }
        // Told to go on, it does, with what came behind.
        let policy = if rows_came { "reload" } else { "warn" };
        task.more = format!("incremental: {{unlogged_rows: {policy}, ddl: forward}}");
        if !again.is_empty() {
            world.mysql.run(typed(again));
        }
        world.mysql.run("INSERT INTO t VALUES (3)");
        let mut reader = Reader::new(&world.kafka, vec![world.database.clone()]);
        let mut messages = Vec::new();
        let mut engine = Tidegate::run(&task);
        if rows_came {
            engine.wait_for_line("rows came without row events");
            world.until_asked_is_loaded(&task, &mut engine);
        }
        let ended = world.finish(engine, &mut reader, |message| messages.push(message));
        assert!(ended.output.contains(consequence), "{statement}\n{}", ended.output);
        let sent = |kind: Kind| messages.iter().filter(move |message| message.table == "t" && message.kind == kind);
        let ids = |kind| sent(kind).filter_map(|message| message.data.get("id").cloned()).collect::<Vec<_>>();
        // Behind a load, what it has shown comes once more.
        let count_of = |id: &str| ids(Kind::Insert).iter().filter(|other| *other == id).count();
        assert_eq!(count_of("3"), 1 + usize::from(rows_came), "{statement}: {messages:?}");
        assert_eq!(count_of("5"), usize::from(rows_came), "{statement}: {messages:?}");
        assert_eq!(ids(Kind::Delete), Vec::<String>::new(), "nobody keeps the rows");
        let passed_on = sent(Kind::Statement).filter(|message| {
            message.statement.as_ref().is_some_and(|(_, sql)| sql.starts_with(statement.trim_end_matches(['t', 'T'])))
        });
        // Whoever carried it out behind the load would move rows that came with it.
        assert_eq!(passed_on.count(), usize::from(!rows_came), "{statement}: {messages:?}");
    }
}

/// Statements that change rows by themselves may reach any table.
#[test]
fn changes_in_statement_format_stop_whatever_they_name() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid", "mysql-5.6", "mariadb"], "--log-bin-trust-function-creators=ON");
    let statements = [
        ("by_view", "UPDATE elsewhere.v SET a = 2", "`UPDATE elsewhere.v SET a`"),
        ("by_trigger", "INSERT INTO elsewhere.log VALUES (1)", "`INSERT INTO elsewhere.log VALUES`"),
        ("by_function", "DO elsewhere.f()", "may have changed rows"),
    ];
    let urls = [private.mysql(), private.oldest(), private.mariadb()];
    for ((test, statement, words), url) in statements.into_iter().flat_map(|case| urls.map(|url| (case, url))) {
        let mut world = World::new(test, url, &servers.kafka);
        if world.mysql.try_run("SET SESSION binlog_format = STATEMENT").is_err() {
            println!("{test}: this server has no other format than ROW");
            continue;
        }
        world.mysql.run("SET SESSION binlog_format = ROW");
        let database = world.database.clone();
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, a INT)");
        world.mysql.run("INSERT INTO t VALUES (1, 1)");
        world.mysql.run("DROP DATABASE IF EXISTS elsewhere");
        world.mysql.run("CREATE DATABASE elsewhere");
        world.mysql.run(format!("CREATE VIEW elsewhere.v AS SELECT * FROM {database}.t"));
        world.mysql.run("CREATE TABLE elsewhere.log (id INT PRIMARY KEY)");
        world.mysql.run(format!(
            "CREATE TRIGGER elsewhere.g AFTER INSERT ON elsewhere.log FOR EACH ROW UPDATE {database}.t SET a = 3"
        ));
        world.mysql.run(format!(
            "CREATE FUNCTION elsewhere.f() RETURNS INT BEGIN UPDATE {database}.t SET a = 4; RETURN 1; END"
        ));
        let task = world.task();
        let output = stopped(&mut world, &task, &["SET SESSION binlog_format = STATEMENT", statement]);
        for words in [words, "in statement format", "binlog_format = ROW"] {
            assert!(output.contains(words), "{test}: {words:?} is not in\n{output}");
        }
    }
}

const EVERY_TYPE: &str = "CREATE TABLE every (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, t1 TINYINT(1), t2 TINYINT UNSIGNED, s SMALLINT(5) ZEROFILL,
    m MEDIUMINT, i INT(6) UNSIGNED ZEROFILL NOT NULL DEFAULT 1, f FLOAT(7,3), d DOUBLE(9,2) UNSIGNED,
    de DECIMAL(10,2) UNSIGNED ZEROFILL, bi BIT(9), y YEAR, da DATE NOT NULL DEFAULT '2020-01-01', ti TIME(3), dt DATETIME(6),
    ts TIMESTAMP(2) NULL, c CHAR(10) CHARACTER SET latin1, c4 CHAR(200), v VARCHAR(300) CHARACTER SET utf8mb3,
    vg VARCHAR(20) CHARACTER SET gb18030, vs VARCHAR(20) CHARACTER SET sjis, vb VARBINARY(9), b BINARY(4), tt TINYTEXT,
    te TEXT CHARACTER SET ucs2, mt MEDIUMTEXT, lt LONGTEXT, tb TINYBLOB, bl BLOB, mb MEDIUMBLOB, lb LONGBLOB, j JSON,
    g GEOMETRY, p POINT, gc GEOMETRYCOLLECTION, mp MULTIPOLYGON, e ENUM('a','b''c','é') CHARACTER SET latin1,
    se SET('x','y'), eb ENUM('q') CHARACTER SET binary, em ENUM('😀?', 'ü'), vec VECTOR(3), gen INT AS (i + 1) STORED,
    inv INT INVISIBLE, UNIQUE u (da), KEY (y))";

/// What the catalogue says of a table and what the binlog says of it are the same, so that what differs is a change.
#[test]
fn a_table_that_has_not_changed_is_described_as_it_is_known() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid"], "--binlog-row-metadata=FULL");
    let mut world = World::new("described", private.mysql(), &servers.kafka);
    for table in [
        EVERY_TYPE,
        "CREATE TABLE prefix (n VARCHAR(50) NOT NULL, x INT NOT NULL, PRIMARY KEY (n(10)), UNIQUE (x))",
        "CREATE TABLE two_keys (a INT NOT NULL, b INT NOT NULL, UNIQUE z (a), UNIQUE k (b))",
        "CREATE TABLE half_key (a INT, b INT NOT NULL, UNIQUE (a, b))",
        "CREATE TABLE no_key (a INT)",
        "CREATE TABLE wide_key (a INT NOT NULL, b INT NOT NULL, c INT, PRIMARY KEY (b, a))",
    ] {
        world.mysql.run(table);
    }
    world.mysql.run("SET SESSION sql_generate_invisible_primary_key = ON");
    world.mysql.run("CREATE TABLE invisible_key (a INT)");
    let task = world.task_of_one_topic("");
    let (messages, output) = world.follow(
        &task,
        &[
            "INSERT INTO every () VALUES ()",
            "INSERT INTO prefix VALUES ('a', 1)",
            "INSERT INTO two_keys VALUES (1, 2)",
            "INSERT INTO half_key VALUES (1, 2)",
            "INSERT INTO no_key VALUES (1)",
            "INSERT INTO wide_key VALUES (1, 2, 3)",
            "INSERT INTO invisible_key (a) VALUES (1)",
        ],
    );
    assert_eq!(messages.len(), 7, "{messages:?}");
    assert!(!output.contains("schema changed"), "{output}");
}

/// Keys, labels and signs are those of the moment, also after statements that the binlog does not have.
#[test]
fn keys_and_types_do_not_outlive_what_changed_them() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid"], "--binlog-row-metadata=FULL");
    let mut world = World::new("outlive", private.mysql(), &servers.kafka);
    world.mysql.run("CREATE TABLE d (id INT NOT NULL, x INT NOT NULL, UNIQUE uk (x))");
    world.mysql.run("CREATE TABLE i (id INT NOT NULL, x INT NOT NULL, UNIQUE uk (x))");
    world.mysql.run("CREATE TABLE z (id INT PRIMARY KEY, n INT(5) ZEROFILL, e ENUM('a', 'b'))");
    let mut task = world.task_of_one_topic("");
    task.format = "{canal_json: {profile: dts}}".to_owned();
    let statements = [
        "INSERT INTO d VALUES (1, 1)",
        "ALTER TABLE d DROP INDEX uk",
        "INSERT INTO d VALUES (2, 1)",
        "DROP INDEX uk ON i",
        "INSERT INTO i VALUES (2, 1)",
        "INSERT INTO z VALUES (1, 7, 'b')",
        "ALTER TABLE z MODIFY n INT UNSIGNED",
        "INSERT INTO z VALUES (2, 7, 'b')",
        "SET sql_log_bin = 0",
        "ALTER TABLE z MODIFY e ENUM('b', 'a')",
        "SET sql_log_bin = 1",
        "INSERT INTO z VALUES (3, 7, 'b')",
    ];
    let (messages, output) = world.follow(&task, &statements);
    let expected = [
        r#"d id="1" x="1" key []"#,
        r#"d id="2" x="1" key []"#,
        r#"i id="2" x="1" key []"#,
        r#"z id="1" n="7" e="b" key ["id"]"#,
        r#"z id="2" n="7" e="b" key ["id"]"#,
        r#"z id="3" n="7" e="b" key ["id"]"#,
    ];
    let found: Vec<String> = messages.iter().map(|message| changed(message).replace("\"00007\"", "\"7\"")).collect();
    assert_eq!(found, expected);
    let type_of = |index: usize| messages[index].mysql_type.find("n").cloned().unwrap_or_default();
    assert_eq!([type_of(3), type_of(4)], ["int(5) unsigned zerofill", "int unsigned"]);
    // Canal JSON names primary keys only; of other unique keys, the log tells.
    for words in ["definition changed without a statement", "a unique key is gone"] {
        assert!(output.contains(words), "{words:?} is not in\n{output}");
    }
}
