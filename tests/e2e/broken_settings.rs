//! What `check` says of a server on which one thing is broken: that, and nothing else. What is an error there, a run is refused for.

use std::net::TcpListener;

use super::harness::world::kafka_sink;
use super::harness::{Message, Private, Servers, TaskFile, Tidegate, World};
use super::prechecks::{findings, to_do};

/// What breaks it, what is found, and what mends it. `DB` stands for the database.
type Case = (&'static str, &'static str, &'static str);

/// What mends it is the statement that the finding says.
const AS_IT_SAYS: &str = "";

const OF_MYSQL: &[Case] = &[
    (
        "SET GLOBAL binlog_format = 'MIXED'",
        "error binlog_format: binlog_format is MIXED",
        "SET GLOBAL binlog_format = 'ROW'",
    ),
    (
        "SET GLOBAL binlog_row_image = 'NOBLOB'",
        "error binlog_row_image: binlog_row_image is NOBLOB",
        "SET GLOBAL binlog_row_image = 'FULL'",
    ),
    (
        "SET GLOBAL binlog_row_metadata = 'MINIMAL'",
        "warning binlog_row_metadata: binlog_row_metadata is MINIMAL",
        "SET GLOBAL binlog_row_metadata = 'FULL'",
    ),
    (
        "SET GLOBAL binlog_row_value_options = 'PARTIAL_JSON'",
        "warning binlog_row_value_options: binlog_row_value_options is PARTIAL_JSON",
        "SET GLOBAL binlog_row_value_options = ''",
    ),
    (
        "SET GLOBAL binlog_transaction_compression = ON",
        "info binlog_compression: binlog_transaction_compression is ON",
        "SET GLOBAL binlog_transaction_compression = OFF",
    ),
    (
        "SET GLOBAL gtid_mode = ON_PERMISSIVE",
        "warning gtid_mode: gtid_mode is ON_PERMISSIVE: some transactions have GTIDs, and others may have none",
        "SET GLOBAL gtid_mode = ON",
    ),
    ("SET GLOBAL server_id = 0", "error server_id: server_id of the server is 0", "SET GLOBAL server_id = 1"),
    (
        "SET GLOBAL binlog_expire_logs_seconds = 3600",
        "warning binlog_retention: the server keeps its binlog for 60 min",
        "SET GLOBAL binlog_expire_logs_seconds = 2592000",
    ),
    // As many rows as only statistics can have.
    (
        "CREATE TABLE DB.x (id INT PRIMARY KEY); UPDATE mysql.innodb_table_stats SET n_rows = 100000000000 WHERE database_name = 'DB' AND \
         table_name = 'x'; FLUSH TABLE DB.x",
        "warning binlog_retention: the server keeps its binlog for 30 days, and a full load of about 100,000,000,000 rows may take 23 days, \
         at 50,000 rows a second",
        "DROP TABLE DB.x",
    ),
    ("REVOKE REPLICATION SLAVE ON *.* FROM tide", "error privileges: 'tide'@'%' lacks REPLICATION SLAVE", AS_IT_SAYS),
    ("REVOKE REPLICATION CLIENT ON *.* FROM tide", "error privileges: 'tide'@'%' lacks REPLICATION CLIENT", AS_IT_SAYS),
    (
        "REVOKE XA_RECOVER_ADMIN ON *.* FROM tide",
        "info prepared_xa: 'tide'@'%' may not see XA transactions that are prepared",
        AS_IT_SAYS,
    ),
    (
        "XA START 'a'; XA END 'a'; XA PREPARE 'a'",
        "warning prepared_xa: XA transactions are prepared: X'61',X'',1",
        "XA ROLLBACK 'a'",
    ),
    (
        "ALTER USER tide WITH MAX_USER_CONNECTIONS 7",
        "error connections: 'tide'@'%' may have 7 connections at a time, and the task makes up to 8",
        "ALTER USER tide WITH MAX_USER_CONNECTIONS 0",
    ),
    ("CREATE TABLE DB.x (id INT)", "warning keys: no key tells the rows apart in DB.x", "DROP TABLE DB.x"),
    (
        "CREATE TABLE DB.x (id INT PRIMARY KEY) ENGINE = MyISAM",
        "warning transactions: the storage engine knows no transactions in DB.x",
        "DROP TABLE DB.x",
    ),
    (
        "CREATE TRIGGER DB.t BEFORE INSERT ON DB.orders FOR EACH ROW SET NEW.name = UPPER(NEW.name)",
        "info triggers: there are triggers on DB.orders",
        "DROP TRIGGER DB.t",
    ),
];

const OF_MARIADB: &[Case] = &[
    (
        "SET GLOBAL binlog_format = 'STATEMENT'",
        "error binlog_format: binlog_format is STATEMENT",
        "SET GLOBAL binlog_format = 'ROW'",
    ),
    (
        "SET GLOBAL binlog_row_metadata = 'NO_LOG'",
        "warning binlog_row_metadata: binlog_row_metadata is NO_LOG",
        "SET GLOBAL binlog_row_metadata = 'FULL'",
    ),
    (
        "SET GLOBAL gtid_strict_mode = OFF",
        "warning gtid_strict_mode: gtid_strict_mode is OFF",
        "SET GLOBAL gtid_strict_mode = ON",
    ),
    (
        "SET GLOBAL log_bin_compress = ON",
        "info binlog_compression: log_bin_compress is ON",
        "SET GLOBAL log_bin_compress = OFF",
    ),
    (
        "SET GLOBAL binlog_expire_logs_seconds = 3600",
        "warning binlog_retention: the server keeps its binlog for 60 min",
        "SET GLOBAL binlog_expire_logs_seconds = 0",
    ),
    ("REVOKE BINLOG MONITOR ON *.* FROM tide", "error privileges: 'tide'@'%' lacks BINLOG MONITOR", AS_IT_SAYS),
    (
        "CREATE TABLE DB.x (id INT PRIMARY KEY) WITH SYSTEM VERSIONING",
        "error versioned_tables: these tables keep a history of their rows: DB.x",
        "DROP TABLE DB.x",
    ),
];

fn world(test: &str, url: &str, kafka: &str) -> (World, TaskFile) {
    let mut world = World::new(test, url, kafka);
    world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY, name VARCHAR(20))");
    let task = world.task();
    (world, task)
}

fn each(world: &mut World, task: &TaskFile, cases: &[Case]) {
    let database = world.database.clone();
    let of_database = |text: &str| text.replace("DB", &database);
    assert_eq!(findings(task, &[]), Vec::<String>::new());
    for (breaks, found, mends) in cases {
        world.mysql.run(of_database(breaks));
        let found = of_database(found);
        assert_eq!(findings(task, &[]), [found.as_str()], "{breaks}");
        if let Some((_, words)) = found.strip_prefix("error ").and_then(|error| error.split_once(": ")) {
            let refused = Tidegate::fails(task);
            assert!(refused.contains(words), "{words:?} is not in\n{refused}");
        }
        match *mends {
            AS_IT_SAYS => {
                let [said] = to_do(task, &[]).try_into().expect("one");
                let (statement, _) = said.split_once(';').expect("a statement");
                assert!(statement.starts_with("GRANT "), "{said}");
                world.mysql.run(statement);
            }
            mends => world.mysql.run(of_database(mends)),
        }
    }
    assert_eq!(findings(task, &[]), Vec::<String>::new());
}

/// What a server has to be started with.
fn with_options(test: &str, server: &str, options: &str, kafka: &str) -> (Private, World, TaskFile) {
    let private = Private::up(&[server], options);
    let url = match server {
        "mysql-gtid" => private.mysql(),
        "mysql-nogtid" => private.mysql_nogtid(),
        _ => private.mariadb_named(server),
    };
    let url = url.to_owned();
    let (mut world, task) = world(test, &url, kafka);
    if server.starts_with("mysql") {
        world.mysql.run("GRANT XA_RECOVER_ADMIN ON *.* TO tide");
    }
    (private, world, task)
}

/// One that says that it is older than what is followed: that it can be loaded is said, and true.
#[test]
fn a_server_that_is_too_old_is_found() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    let options = "--version=10.4.34-MariaDB --binlog-row-metadata=FULL --gtid-strict-mode=ON";
    let (_private, _world, task) = with_options("too_old", "mariadb", options, &servers.kafka);
    let found = "the server is MariaDB 10.4.34-MariaDB, whose binlog is not read";
    assert_eq!(findings(&task, &[]), [format!("error server_version: {found}")]);
    assert!(Tidegate::fails(&task).contains(found));
    let loaded = TaskFile { more: "incremental: false".to_owned(), ..task };
    assert_eq!(findings(&loaded, &[]), Vec::<String>::new());
    Tidegate::finishes(&loaded);
}

/// Filters of the binlog: by which a table is left out, or only statements may be.
#[test]
fn databases_that_the_binlog_leaves_out_are_found() {
    let Some(servers) = Servers::from_env() else { return };
    let options = "--binlog-do-db=logged --binlog-row-metadata=FULL";
    let (_private, mut world, task) = with_options("do_db", "mysql-gtid", options, &servers.kafka);
    let database = world.database.clone();
    let left_out = format!(
        "error binlog_databases: binlog_do_db is logged, which leaves out {database}.marker, {database}.orders"
    );
    assert_eq!(findings(&task, &[]), [left_out]);
    assert!(Tidegate::fails(&task).contains("which leaves out"));
    world.mysql.run("CREATE DATABASE logged; CREATE TABLE logged.t (id INT PRIMARY KEY)");
    let task = TaskFile { tables: "[logged.t]".to_owned(), ..task };
    assert_eq!(findings(&task, &[]), ["warning binlog_databases: binlog_do_db is logged"]);
    world.mysql.run("SET GLOBAL binlog_row_metadata = 'MINIMAL'");
    let known = ["--ignore", "binlog_row_metadata"];
    assert_eq!(findings(&task, &known), ["error binlog_databases: binlog_do_db is logged"]);
}

/// On its disk alone: the server sends what it has decrypted, and the task follows it.
#[test]
fn a_binlog_that_is_encrypted_is_told_and_read() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let keys = folder.path().join("keys");
    std::fs::write(&keys, "1;770A8A65DA156D24EE2A093277530142\n").expect("written");
    let of_mariadb = format!(
        "--binlog-row-metadata=FULL --gtid-strict-mode=ON --plugin-load-add=file_key_management \
         --file-key-management-filename={} --encrypt-binlog=ON",
        keys.display()
    );
    let of_mysql = "--binlog-row-metadata=FULL --binlog-encryption=ON";
    for (server, options, setting) in
        [("mariadb", &*of_mariadb, "encrypt_binlog"), ("mysql-gtid", of_mysql, "binlog_encryption")]
    {
        let (private, mut world, task) = with_options("encrypted", server, options, &servers.kafka);
        assert_eq!(findings(&task, &[]), [format!("info binlog_encryption: {setting} is ON")]);
        world.mysql.run("INSERT INTO orders VALUES (1, 'a')");
        let mut reader = world.reader(["orders"]);
        let mut rows = Vec::new();
        let mut take = |message: Message| rows.push(format!("{:?}", message.data));
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, &mut take);
        world.mysql.run("INSERT INTO orders VALUES (2, 'not-to-be-read')");
        world.finish(engine, &mut reader, &mut take);
        assert_eq!(rows, [r#"id="1" name="a""#, r#"id="2" name="not-to-be-read""#], "{server}");
        let data = private.data(if server == "mysql-gtid" { "mysql" } else { server });
        let files = std::fs::read_dir(data).expect("a data folder").map(|file| file.expect("a file").path());
        let binlogs = files
            .filter(|path| path.file_stem().is_some_and(|name| name == "binlog") && !path.ends_with("binlog.index"));
        let mut count = 0;
        for binlog in binlogs {
            let bytes = std::fs::read(&binlog).expect("a file");
            assert!(!bytes.windows(14).any(|text| text == b"not-to-be-read"), "{}", binlog.display());
            count += 1;
        }
        assert!(count > 0, "{server}");
    }
}

/// Generated columns, which MariaDB 11 leaves out of its binlog, and keys by which it cannot be asked for a part of a table.
#[test]
fn what_mariadb_11_cannot_show_is_found() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    let options = "--binlog-row-metadata=FULL --gtid-strict-mode=ON";
    let (_private, mut world, task) = with_options("maria_11", "mariadb-11", options, &servers.kafka);
    let cases: &[Case] = &[
        (
            "CREATE TABLE DB.x (id INT PRIMARY KEY, twice INT AS (2 * id) STORED)",
            "error generated_columns: there are generated columns in DB.x",
            "DROP TABLE DB.x",
        ),
        (
            "CREATE TABLE DB.x (id CHAR(20) COLLATE utf8mb4_nopad_bin PRIMARY KEY) SELECT CONCAT(seq) AS id FROM seq_1_to_150000; \
             ANALYZE TABLE DB.x PERSISTENT FOR ALL",
            "warning chunks: the key has a CHAR column by a NO PAD collation in DB.x",
            "DROP TABLE DB.x",
        ),
    ];
    each(&mut world, &task, cases);
}

/// A clock that goes wrong, for whom the server asks to: every session of the account begins an hour ago.
#[test]
fn a_clock_that_goes_wrong_is_found() {
    let Some(servers) = Servers::from_env() else { return };
    let (_private, mut world, task) = with_options("clock", "mysql-gtid", "--binlog-row-metadata=FULL", &servers.kafka);
    for (shift, words) in [("- 36000", "behind"), ("+ 36000", "ahead of")] {
        world.mysql.run(format!("SET GLOBAL init_connect = 'SET timestamp = UNIX_TIMESTAMP() {shift}'"));
        let [found] = findings(&task, &[]).try_into().expect("one");
        // A moment passes until it is asked.
        let seconds =
            found.strip_prefix("warning clock: the server's clock is ").and_then(|rest| rest.split_once(" s "));
        let (seconds, rest) = seconds.unwrap_or_else(|| panic!("{found}"));
        assert!((35_900..36_100).contains(&seconds.parse::<u64>().expect("a number")), "{found}");
        assert_eq!(rest, format!("{words} this machine's"));
    }
    world.mysql.run("SET GLOBAL init_connect = ''");
    assert_eq!(findings(&task, &[]), Vec::<String>::new());
}

#[test]
fn one_thing_is_broken_and_one_is_found() {
    let Some(servers) = Servers::from_env() else { return };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let private = Private::up(&["mysql-gtid"], "--binlog-row-metadata=FULL");
            let (mut world, task) = world("broken", private.mysql(), &servers.kafka);
            world.mysql.run("GRANT XA_RECOVER_ADMIN, TRIGGER ON *.* TO tide");
            each(&mut world, &task, OF_MYSQL);
            // How many are left goes by who has just left.
            world.mysql.run("SET GLOBAL max_connections = 8");
            let [found] = findings(&task, &[]).try_into().expect("one");
            let left = found.strip_prefix("warning connections: the server has ");
            let left =
                left.and_then(|rest| rest.strip_suffix(" of its 8 connections left, and the task makes up to 8"));
            let left: u64 = left.unwrap_or_else(|| panic!("{found}")).parse().expect("a number");
            assert!((1..8).contains(&left), "{found}");
            world.mysql.run("SET GLOBAL max_connections = 151");
            assert_eq!(findings(&task, &[]), Vec::<String>::new());
            // Accounts of other hosts than this one.
            let hosts = |world: &mut World, from: &str, to: &str| {
                world.mysql.run(format!("UPDATE mysql.user SET Host = '{to}' WHERE Host = '{from}'; FLUSH PRIVILEGES"));
            };
            hosts(&mut world, "%", "192.0.2.1");
            let [found] = findings(&task, &[]).try_into().expect("one");
            assert!(found.starts_with("error source: ") && found.contains("(error 1130, state HY000)"), "{found}");
            let [said] = to_do(&task, &[]).try_into().expect("one");
            assert_eq!(said, "Create the account for the host this client connects from ('user'@'%').");
            hosts(&mut world, "192.0.2.1", "%");
            assert_eq!(findings(&task, &[]), Vec::<String>::new());
        });
        scope.spawn(|| {
            let options = "--binlog-row-metadata=FULL --gtid-strict-mode=ON";
            let private = Private::up(&["mariadb"], options);
            let (mut world, task) = world("broken_maria", private.mariadb(), &servers.kafka);
            each(&mut world, &task, OF_MARIADB);
            world.mysql.run("SET GLOBAL binlog_row_metadata = 'MINIMAL'");
            world.mysql.run("CREATE TABLE x (id INT PRIMARY KEY, line TEXT, UNIQUE (line))");
            let hashed = format!("a UNIQUE key covers a long column in {}.x", world.database);
            assert_eq!(findings(&task, &["--ignore", "binlog_row_metadata"]), [format!("error hash_keys: {hashed}")]);
            assert!(Tidegate::fails(&task).contains(&hashed));
            world.mysql.run("SET GLOBAL binlog_row_metadata = 'FULL'");
            assert_eq!(findings(&task, &[]), Vec::<String>::new());
        });
        scope.spawn(|| {
            let private = Private::up(&["mysql-nogtid"], "--skip-log-bin");
            let (mut world, task) = world("no_binlog", private.mysql_nogtid(), &servers.kafka);
            world.mysql.run("GRANT XA_RECOVER_ADMIN ON *.* TO tide");
            let found = findings(&task, &["--ignore", "binlog_row_metadata"]);
            assert_eq!(found, ["error log_bin: log_bin is OFF", "warning gtid_mode: gtid_mode is OFF"]);
            let [log_bin, gtids] = to_do(&task, &["--ignore", "binlog_row_metadata"]).try_into().expect("two");
            assert!(log_bin.contains("PolarDB: loose_polar_log_bin"), "{log_bin}");
            assert!(gtids.contains("step by step: first enforce_gtid_consistency = WARN"), "{gtids}");
            assert!(Tidegate::fails(&task).contains("log_bin is OFF"));
            let loaded = TaskFile { more: "incremental: false".to_owned(), ..task };
            assert_eq!(findings(&loaded, &[]), Vec::<String>::new());
            Tidegate::finishes(&loaded);
        });
    });
}

/// What the task file and this machine bring about, one by one. `DB` stands for the database.
#[test]
fn one_thing_of_the_task_is_wrong_and_one_is_found() {
    let Some(servers) = Servers::from_env() else { return };
    let (mut world, task) = world("own", &servers.mysql, &servers.kafka);
    let database = world.database.clone();
    world.mysql.run("CREATE TABLE sales (id INT PRIMARY KEY, name VARCHAR(20))");
    world.mysql.run("CREATE TABLE other (id INT PRIMARY KEY)");
    world.mysql.run("CREATE TABLE merged (id INT PRIMARY KEY) ENGINE = MERGE");
    world.mysql.run("CREATE TABLE log (a INT, b INT, KEY (a))");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it is bound");
    let of_database = |text: &str| text.replace("DB", &database);
    let task = TaskFile { tables: of_database("[DB.orders]"), ..task };
    let tables = |tables: &str| TaskFile { tables: of_database(tables), ..task.clone() };
    let known = ["--ignore", "binlog_row_metadata,prepared_xa,transactions,keys"];
    assert_eq!(findings(&task, &known), Vec::<String>::new());
    assert_eq!(findings(&tables("[{table: DB.log, chunk_by: [a]}]"), &known), Vec::<String>::new());

    let topic = of_database("DB.held");
    let held = TaskFile { tables: of_database(&format!("[{{table: DB.sales, topic: {topic}}}]")), ..task.clone() };
    world.mysql.run("INSERT INTO sales VALUES (1, 'a')");
    let before = TaskFile { more: "incremental: false".to_owned(), state: world.path("before"), ..held.clone() };
    Tidegate::finishes(&before);

    let keyed = kafka_sink(&servers.kafka, ", key: {columns: [name]}");
    for (task, found) in [
        (
            TaskFile { state: "/proc/none".into(), ..task.clone() },
            "error state: could not create /proc/none: No such file or directory (os error 2)".to_owned(),
        ),
        (
            TaskFile { more: format!("http: {address}"), ..task.clone() },
            format!("error http: could not listen on {address}: Address already in use (os error 98)"),
        ),
        (
            tables("[{table: DB.orders, select: [name]}]"),
            "warning key_left_out: `select` leaves out columns of the key of DB.orders, which is id".to_owned(),
        ),
        (
            tables("[{table: DB.orders, chunk_by: [name]}]"),
            "warning chunks: `chunk_by` of DB.orders is (name): its key is what it is cut by".to_owned(),
        ),
        (
            tables("[{table: DB.log, chunk_by: [b]}]"),
            "warning chunks: `chunk_by` of DB.log is (b): no index begins with these columns: each chunk reads the whole table".to_owned(),
        ),
        (tables("[DB.merged]"), "error storage_engine: the storage engine is MRG_MYISAM in DB.merged".to_owned()),
        (
            TaskFile { sink: keyed, ..task.clone() },
            "warning message_keys: table DB.orders: rows may share the key of their messages, which holds no primary key and no unique key"
                .to_owned(),
        ),
        (
            tables("[{table: DB.orders, as: DB_crm.t}, {table: DB.sales, as: DB_crm.t}]"),
            "warning shared_names: DB_crm.t is the name of DB.orders, DB.sales".to_owned(),
        ),
        (
            held,
            format!("error non_empty_topics: topic {topic} holds messages, and there is no state that says who wrote them"),
        ),
    ] {
        let found = of_database(&found);
        assert_eq!(findings(&task, &known), [found.as_str()]);
        if let Some((_, words)) = found.strip_prefix("error ").and_then(|error| error.split_once(": ")) {
            let refused = Tidegate::fails(&task);
            assert!(refused.contains(words), "{words:?} is not in\n{refused}");
        }
    }
    // Two of one name that differ have one name as well.
    let differ = tables("[{table: DB.orders, as: DB_crm.t}, {table: DB.other, as: DB_crm.t}]");
    let found =
        of_database("tables DB.orders and DB.other are both sent as DB_crm.t, and differ: DB.other has no column name");
    let known_too = ["--ignore", "binlog_row_metadata,prepared_xa,shared_names"];
    assert_eq!(findings(&differ, &known_too), [format!("error shards: {found}")]);
    assert!(Tidegate::fails(&differ).contains(&found));

    // A run of the task that has another state folder, as one on another machine has.
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("reading the binlog");
    let elsewhere = TaskFile { state: world.path("elsewhere"), path: world.path("elsewhere.yaml"), ..task };
    let [found] = findings(&elsewhere, &known).try_into().expect("one");
    let start = format!("error other_run: another run of task {database} is at work: connection ");
    assert!(found.starts_with(&start), "{found}");
    assert!(Tidegate::fails(&elsewhere).contains(&start["error other_run: ".len()..]));
    engine.terminate(libc::SIGTERM);
}
