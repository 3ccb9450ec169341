//! What users of such tools have met and reported: rare inputs at which rows are lost, come under other names, or come from nowhere.

use super::harness::{Kind, Message, Mysql, Private, Reader, Servers, Tidegate, World};

/// Kind, table and values, and what was there before.
fn drawn(message: &Message) -> String {
    let old = message.old.as_ref().map_or(String::new(), |old| format!(" old {old:?}"));
    format!("{:?} {} {:?}{old}", message.kind, message.table, message.data).replace('"', "")
}

/// The address of a server of a private set.
fn url_of<'a>(private: &'a Private, server: &str) -> &'a str {
    match server {
        "mysql-gtid" => private.mysql(),
        "mysql-nogtid" => private.mysql_nogtid(),
        "mysql-5.6" => private.oldest(),
        mariadb => private.mariadb_named(mariadb),
    }
}

/// Its server finds it empty after a start, and logs a statement that empties it when somebody looks at it: `DELETE FROM` before MySQL 8.0, and
/// of MariaDB. Nobody has changed rows in statement format. One of the tables has come while the task was running.
/// A task that reads the statement later goes by what the tables were there: one is gone by then, the other of another engine.
#[test]
fn memory_tables_are_empty_after_their_server_has_started_again() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    let Some(_) = Servers::with_oldest() else { return };
    let all = ["mysql-gtid", "mysql-5.6", "mariadb", "mariadb-11"];
    let private = Private::up(&all, "");
    for server in all {
        let mut world = World::new("in_memory", url_of(&private, server), &servers.kafka);
        world.mysql.run("CREATE TABLE older (id INT PRIMARY KEY) ENGINE = MEMORY");
        world.mysql.run("INSERT INTO older VALUES (1)");
        world.begin_binlog_file();
        let task = world.task_of_one_topic("");
        let mut reader = Reader::new(&world.kafka, vec![world.database.clone()]);
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |_| ());
        world.mysql.run("CREATE TABLE younger (id INT PRIMARY KEY) ENGINE = MEMORY");
        world.mysql.run("INSERT INTO younger VALUES (1)");
        world.until_marker(&mut engine, &mut reader, |_| ());
        let process = if server == "mysql-gtid" { "mysql" } else { server };
        private.stop(process);
        private.start(process);
        world.reconnect();
        for table in ["older", "younger"] {
            assert_eq!(world.mysql.query_one::<u64>(&format!("SELECT COUNT(*) FROM {table}")), 0);
            world.mysql.run(format!("INSERT INTO {table} VALUES (2)"));
        }
        let mut messages = Vec::new();
        let ended = world.finish(engine, &mut reader, |message| messages.push(drawn(&message)));
        assert_eq!(messages, ["Insert older id=2", "Insert younger id=2"], "{server}\n{}", ended.output);
        for table in ["older", "younger"] {
            let told = |line: &&str| {
                line.contains(&format!("table={}.{table} ", world.database))
                    && line.contains("its topic still holds all rows that it had")
            };
            assert_eq!(ended.output.lines().filter(told).count(), 1, "{server} {table}\n{}", ended.output);
        }
        private.stop(process);
        private.start(process);
        world.reconnect();
        for table in ["older", "younger"] {
            assert_eq!(world.mysql.query_one::<u64>(&format!("SELECT COUNT(*) FROM {table}")), 0);
            world.mysql.run(format!("INSERT INTO {table} VALUES (3)"));
        }
        world.mysql.run("DROP TABLE older");
        world.mysql.run("ALTER TABLE younger ENGINE = InnoDB");
        let again = Tidegate::run(&task);
        let mut messages = Vec::new();
        let ended = world.finish(again, &mut reader, |message| messages.push(drawn(&message)));
        assert_eq!(messages, ["Insert older id=3", "Insert younger id=3"], "{server}\n{}", ended.output);
    }
}

/// Transactions with and without GTIDs stand beside each other, and a run begins behind each kind.
#[test]
fn transactions_with_and_without_gtids_beside_each_other_all_come() {
    let Some(servers) = Servers::from_env() else { return };
    for mode in ["ON_PERMISSIVE", "OFF_PERMISSIVE"] {
        let private = Private::up(&["mysql-gtid"], "");
        let mut world = World::new("permissive", private.mysql(), &servers.kafka);
        world.mysql.run("SET GLOBAL gtid_mode = ON_PERMISSIVE");
        world.mysql.run(format!("SET GLOBAL gtid_mode = {mode}"));
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY)");
        world.mysql.run("FLUSH BINARY LOGS");
        let task = world.task_of_one_topic("");
        let mut reader = Reader::new(&world.kafka, vec![world.database.clone()]);
        let mut engine = Tidegate::run(&task);
        let mut ids = Vec::new();
        world.until_loaded(&mut engine, &mut reader, |_| ());
        let uuid: String = world.mysql.query_one("SELECT @@server_uuid");
        let mut number = 1_000_000;
        let mut insert = |mysql: &mut Mysql, id: u32, has_gtid: bool| {
            number += 1;
            let next = if has_gtid { format!("{uuid}:{number}") } else { "ANONYMOUS".to_owned() };
            mysql.run(format!("SET gtid_next = '{next}'"));
            mysql.run(format!("INSERT INTO t VALUES ({id})"));
            mysql.run("SET gtid_next = 'AUTOMATIC'");
        };
        let mut expected = Vec::new();
        for (round, has_gtid) in [true, false, true, false, false, true].into_iter().enumerate() {
            let first = round as u32 * 10;
            // While it runs, and while it does not.
            insert(&mut world.mysql, first, has_gtid);
            world.until_marker(&mut engine, &mut reader, |message| ids.push(message.data.get("id").cloned()));
            engine.terminate(libc::SIGTERM);
            insert(&mut world.mysql, first + 1, has_gtid);
            engine = Tidegate::run(&task);
            world.until_marker(&mut engine, &mut reader, |message| ids.push(message.data.get("id").cloned()));
            expected.extend([first, first + 1].map(|id| Some(id.to_string())));
        }
        let ended = world.finish(engine, &mut reader, |message| ids.push(message.data.get("id").cloned()));
        assert_eq!(ids, expected, "{mode}\n{}", ended.output);
    }
}

/// Rows that were there have a document of no bytes in a JSON column that came as NOT NULL: the server shows it as `null`. An update that does
/// not touch it does not say that it did.
#[test]
fn a_document_of_no_bytes_is_null_as_text() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "--binlog-row-metadata=FULL --binlog-row-value-options=PARTIAL_JSON");
    for (url, metadata) in [(&*servers.mysql, "MINIMAL"), (private.mysql(), "FULL"), (private.mysql_nogtid(), "FULL")] {
        let mut world = World::new("json_none", url, &servers.kafka);
        for table in ["before", "behind"] {
            world.mysql.run(format!("CREATE TABLE `{table}` (id INT PRIMARY KEY, n INT)"));
            world.mysql.run(format!("INSERT INTO `{table}` VALUES (1, 1), (2, 2)"));
        }
        world.mysql.run("ALTER TABLE `before` ADD COLUMN j JSON NOT NULL");
        let text: String = world.mysql.query_one("SELECT CAST(j AS CHAR) FROM `before` LIMIT 1");
        assert_eq!(text, "null");
        world.begin_binlog_file();
        let task = world.task_of_one_topic("");
        let mut reader = Reader::new(&world.kafka, vec![world.database.clone()]);
        let mut engine = Tidegate::run(&task);
        let mut loaded = Vec::new();
        world.until_loaded(&mut engine, &mut reader, |message| loaded.push(drawn(&message)));
        loaded.sort();
        let expected = ["before id=1 n=1 j=null", "before id=2 n=2 j=null", "behind id=1 n=1", "behind id=2 n=2"];
        assert_eq!(loaded, expected.map(|row| format!("Insert {row}")), "{metadata}");
        world.mysql.run("ALTER TABLE behind ADD COLUMN j JSON NOT NULL");
        for table in ["before", "behind"] {
            world.mysql.run(format!("UPDATE `{table}` SET n = 10 WHERE id = 1"));
            world.mysql.run(format!("UPDATE `{table}` SET j = '[1]' WHERE id = 1"));
            world.mysql.run(format!("DELETE FROM `{table}` WHERE id = 2"));
        }
        let mut changes = Vec::new();
        world.finish(engine, &mut reader, |message| changes.push(drawn(&message)));
        let of = |table: &str| {
            [
                format!("Update {table} id=1 n=10 j=null old n=1"),
                format!("Update {table} id=1 n=10 j=[1] old j=null"),
                format!("Delete {table} id=2 n=2 j=null"),
            ]
        };
        assert_eq!(changes, [of("before"), of("behind")].concat(), "{metadata}");
    }
}

/// A database goes and comes again with tables of the same names, in which the same types stand in another order; and a column gets a name that
/// differs from its old one by case alone. By what statements say, as metadata names no columns.
#[test]
fn a_database_that_comes_again_and_a_name_in_another_case_are_followed() {
    let Some((servers, [mariadb, mariadb_11])) = Servers::with_mariadb() else { return };
    for url in [&servers.mysql, &servers.mysql_nogtid, &mariadb, &mariadb_11] {
        let mut world = World::new("again", url, &servers.kafka);
        let other = format!("{}_other", world.database);
        world.mysql.run(format!("CREATE DATABASE {other}"));
        world.mysql.run(format!("CREATE TABLE {other}.t (id INT PRIMARY KEY, p INT, q INT, s VARCHAR(9))"));
        world.mysql.run("CREATE TABLE c (id INT PRIMARY KEY, name INT, n INT)");
        world.begin_binlog_file();
        let mut task = world.task_of_one_topic("");
        task.tables = format!("[\"{}.*\", \"{other}.*\"]", world.database);
        task.format = "canal_json".to_owned();
        let (messages, output) = world.follow(
            &task,
            &[
                &format!("INSERT INTO {other}.t (id, p, q, s) VALUES (1, 11, 22, 'x')"),
                &format!("DROP DATABASE {other}"),
                &format!("CREATE DATABASE {other} CHARACTER SET latin1"),
                &format!("CREATE TABLE {other}.t (id INT PRIMARY KEY, q INT, p INT, s VARCHAR(9))"),
                &format!("INSERT INTO {other}.t (id, p, q, s) VALUES (1, 11, 22, 'ü')"),
                &format!("UPDATE {other}.t SET q = 23"),
                "INSERT INTO c VALUES (1, 1, 2)",
                "ALTER TABLE c CHANGE name Name INT",
                "INSERT INTO c VALUES (2, 1, 2)",
                "ALTER TABLE c RENAME COLUMN Name TO NAME, RENAME COLUMN n TO N",
                "UPDATE c SET N = 3 WHERE id = 2",
                "ALTER TABLE c MODIFY N INT AFTER id",
                "INSERT INTO c (id, NAME, N) VALUES (3, 1, 2)",
            ],
        );
        let found: Vec<String> = messages.iter().map(drawn).collect();
        let expected = [
            "Insert t id=1 p=11 q=22 s=x",
            "Insert t id=1 q=22 p=11 s=ü",
            "Update t id=1 q=23 p=11 s=ü old q=22",
            "Insert c id=1 name=1 n=2",
            "Insert c id=2 Name=1 n=2",
            "Update c id=2 NAME=1 N=3 old N=2",
            "Insert c id=3 N=2 NAME=1",
        ];
        assert_eq!(found, expected, "{url}\n{output}");
        world.mysql.run(format!("DROP DATABASE {other}"));
    }
}

/// The names that RDS and PolarDB give to a key that they add and do not show. A column of that name which comes without a statement
/// stands for it here: the task does not know it, and images have it.
#[test]
fn a_hidden_key_of_a_cloud_server_does_not_leave() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql-gtid"], "");
    for name in ["__#alibaba_rds_row_id#__", "_drds_implicit_id_"] {
        for metadata in ["FULL", "MINIMAL"] {
            let mut world = World::new("hidden_key", private.mysql(), &servers.kafka);
            world.mysql.run(format!("SET GLOBAL binlog_row_metadata = {metadata}"));
            world.mysql.run("SET GLOBAL binlog_row_value_options = PARTIAL_JSON");
            world.reconnect();
            world.mysql.run("CREATE TABLE t (a INT NOT NULL, b VARCHAR(9), j JSON)");
            world.mysql.run("INSERT INTO t (a, b) VALUES (1, 'x')");
            let task = world.task_of_one_topic("");
            let mut reader = Reader::new(&world.kafka, vec![world.database.clone()]);
            let mut engine = Tidegate::run(&task);
            world.until_loaded(&mut engine, &mut reader, |_| ());
            world.mysql.run("SET sql_log_bin = 0");
            world.mysql.run(format!("ALTER TABLE t ADD COLUMN `{name}` BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY"));
            world.mysql.run("SET sql_log_bin = 1");
            world.mysql.run("INSERT INTO t (a, b, j) VALUES (2, 'y', '{\"k\": 1}'), (3, NULL, '{\"k\": 2}')");
            if metadata == "MINIMAL" {
                // Nothing tells the column from one that somebody has added.
                let ended = engine.wait();
                for words in [
                    "the binlog has 4 columns, known are 3; binlog: (int, varchar(9) utf8mb4, json, bigint)",
                    "known: (a int, b varchar(9), j json)",
                    "binlog_row_metadata = FULL",
                ] {
                    assert!(ended.output.contains(words), "{words:?} is not in\n{}", ended.output);
                }
                reader.read_to_end(|message| assert!(message.table != "t", "{message:?}"));
                continue;
            }
            world.mysql.run("UPDATE t SET b = 'z' WHERE a = 2");
            // Of which the binlog has the changes alone.
            world.mysql.run("UPDATE t SET j = JSON_SET(j, '$.k', 5)");
            world.mysql.run("DELETE FROM t WHERE a = 3");
            let mut changes = Vec::new();
            let ended = world.finish(engine, &mut reader, |message| {
                assert_eq!(message.primary_key, None, "{message:?}");
                changes.push(drawn(&message));
            });
            let expected = [
                "Insert t a=2 b=y j={\\k\\: 1}",
                "Insert t a=3 b=NULL j={\\k\\: 2}",
                "Update t a=2 b=z j={\\k\\: 1} old b=y",
                "Update t a=2 b=z j={\\k\\: 5} old j={\\k\\: 1}",
                "Update t a=3 b=NULL j={\\k\\: 5} old j={\\k\\: 2}",
                "Delete t a=3 b=NULL j={\\k\\: 5}",
            ];
            assert_eq!(changes, expected, "{name}\n{}", ended.output);
        }
    }
}

/// The key that a server adds to a table without one is a column of its rows on both paths, also where the server is told not to show it.
#[test]
fn a_generated_key_that_is_not_shown_is_loaded_and_followed() {
    let Some(servers) = Servers::from_env() else { return };
    let options = "--sql-generate-invisible-primary-key=ON --show-gipk-in-create-table-and-information-schema=OFF";
    for metadata in ["MINIMAL", "FULL"] {
        let private = Private::up(&["mysql"], &format!("{options} --binlog-row-metadata={metadata}"));
        for url in [private.mysql(), private.mysql_nogtid()] {
            let mut world = World::new("gipk", url, &servers.kafka);
            world.mysql.run("CREATE TABLE t (a INT, b VARCHAR(9))");
            world.mysql.run("INSERT INTO t VALUES (5, 'x'), (6, 'y')");
            world.begin_binlog_file();
            let mut task = world.task_of_one_topic("");
            task.more = "full_load: {chunk_rows: 1}".to_owned();
            let mut reader = Reader::new(&world.kafka, vec![world.database.clone()]);
            let mut engine = Tidegate::run(&task);
            let mut found = Vec::new();
            world.until_loaded(&mut engine, &mut reader, |message| found.push(drawn(&message)));
            found.sort();
            assert_eq!(found, ["Insert t my_row_id=1 a=5 b=x", "Insert t my_row_id=2 a=6 b=y"], "{metadata}");
            found.clear();
            world.mysql.run("UPDATE t SET b = 'z' WHERE a = 5");
            world.mysql.run("CREATE TABLE later (a INT)");
            world.mysql.run("INSERT INTO later VALUES (7)");
            world.mysql.run("ALTER TABLE t ADD COLUMN c INT");
            world.mysql.run("DELETE FROM t WHERE a = 6");
            world.finish(engine, &mut reader, |message| {
                assert_eq!(message.primary_key.as_deref(), Some(&["my_row_id".to_owned()][..]), "{message:?}");
                found.push(drawn(&message));
            });
            let [update, later, delete] = &found[..] else { panic!("{found:?}") };
            assert_eq!(update, "Update t my_row_id=1 a=5 b=z old b=x");
            assert_eq!(later, "Insert later my_row_id=1 a=7");
            assert_eq!(delete, "Delete t my_row_id=2 a=6 b=y c=NULL");
        }
    }
}

/// Rows that hold for a time, in a key whose times do not overlap: a change of a part of a row's time makes rows of the rest.
#[test]
fn rows_of_a_key_without_overlaps_are_loaded_and_followed() {
    let Some((servers, mariadb)) = Servers::with_mariadb() else { return };
    for url in mariadb {
        let mut world = World::new("periods", &url, &servers.kafka);
        world.mysql.run(
            "CREATE TABLE booked (room INT, since DATE, till DATE, n INT, PERIOD FOR stay(since, till), \
             PRIMARY KEY (room, stay WITHOUT OVERLAPS))",
        );
        world.mysql.run(
            "INSERT INTO booked SELECT seq DIV 10, DATE('2024-01-01') + INTERVAL seq % 10 MONTH, \
             DATE('2024-01-01') + INTERVAL seq % 10 + 1 MONTH, seq FROM seq_1_to_300",
        );
        let mut task = world.task_of_one_topic("");
        task.more = "full_load: {parallel: 2, chunk_rows: 40}".to_owned();
        let mut reader = Reader::new(&world.kafka, vec![world.database.clone()]);
        let mut engine = Tidegate::run(&task);
        let row = |data: &super::harness::consume::Row| -> Vec<String> {
            ["room", "since", "till", "n"].map(|name| data.get(name).cloned().unwrap_or_default()).into()
        };
        let mut rows = std::collections::BTreeMap::new();
        let mut updates = 0;
        let mut take = |message: Message| {
            let after = row(&message.data);
            let key = |row: &[String]| row[..3].to_vec();
            match message.kind {
                Kind::Insert => assert_eq!(rows.insert(key(&after), after.clone()), None, "{message:?}"),
                Kind::Delete => assert!(rows.remove(&key(&after)).is_some(), "{message:?}"),
                Kind::Update => {
                    let old = message.old.as_ref().expect("an update has the old values");
                    let before: Vec<String> = ["room", "since", "till", "n"]
                        .iter()
                        .zip(&after)
                        .map(|(name, after)| old.get(name).unwrap_or(after).clone())
                        .collect();
                    assert_eq!(rows.remove(&key(&before)), Some(before), "{message:?}");
                    rows.insert(key(&after), after);
                    updates += 1;
                }
                kind => panic!("{kind:?}"),
            }
        };
        world.until_loaded(&mut engine, &mut reader, &mut take);
        for statement in [
            "UPDATE booked FOR PORTION OF stay FROM '2024-03-10' TO '2024-05-20' SET n = -n",
            "DELETE FROM booked FOR PORTION OF stay FROM '2024-06-05' TO '2024-06-06'",
            "UPDATE booked SET till = till - INTERVAL 1 DAY WHERE room = 7",
            "DELETE FROM booked WHERE room = 9",
        ] {
            world.mysql.run(statement);
        }
        world.finish(engine, &mut reader, &mut take);
        let source: Vec<(String, String, String, String)> = world
            .mysql
            .query("SELECT CAST(room AS CHAR), CAST(since AS CHAR), CAST(till AS CHAR), CAST(n AS CHAR) FROM booked");
        let source: std::collections::BTreeSet<Vec<String>> =
            source.into_iter().map(|(room, since, till, n)| vec![room, since, till, n]).collect();
        assert!(updates >= 30 && source.len() > 350, "{updates} updates, {} rows", source.len());
        assert_eq!(rows.into_values().collect::<std::collections::BTreeSet<_>>(), source, "{url}");
    }
}

/// Labels of ENUM and SET with characters that the catalogue shows as `?`: on both paths as they are, by metadata, by statements, and by what the
/// server tells.
#[test]
fn labels_that_the_catalogue_cannot_show_come_as_they_are() {
    let Some((servers, [mariadb, mariadb_11])) = Servers::with_mariadb() else { return };
    let private = Private::up(&["mysql-gtid", "mariadb"], "--binlog-row-metadata=FULL");
    for url in [&servers.mysql, private.mysql(), &mariadb, &mariadb_11, private.mariadb()] {
        let mut world = World::new("labels", url, &servers.kafka);
        let columns = "id INT PRIMARY KEY, e ENUM('a?', 'a😀', 'b🌊', 'c') NOT NULL, s SET('?', '😀', 'x')";
        world.mysql.run(format!("CREATE TABLE t ({columns}) CHARACTER SET utf8mb4"));
        world.mysql.run("INSERT INTO t VALUES (1, 'a😀', '😀'), (2, 'a?', '?,😀'), (3, 'c', NULL)");
        // Of which the server can be asked alone, while no row has them.
        world.mysql.run(format!("CREATE TABLE bare ({columns}) CHARACTER SET utf8mb4"));
        let mut task = world.task_of_one_topic("");
        task.format = "{canal_json: {profile: dts}}".to_owned();
        let mut reader = Reader::new(&world.kafka, vec![world.database.clone()]);
        let mut engine = Tidegate::run(&task);
        let mut found = Vec::new();
        world.until_loaded(&mut engine, &mut reader, |message| found.push(drawn(&message)));
        let expected = ["Init t id=1 e=a😀 s=😀", "Init t id=2 e=a? s=?,😀", "Init t id=3 e=c s=NULL"];
        assert_eq!(found, expected, "{url}");
        found.clear();
        world.mysql.run("UPDATE t SET e = 'b🌊', s = 'x' WHERE id = 1");
        world.mysql.run("INSERT INTO bare VALUES (1, 'b🌊', '😀,x'), (2, 'a?', '?')");
        world.until_marker(&mut engine, &mut reader, |message| found.push(drawn(&message)));
        engine.terminate(libc::SIGTERM);
        engine = Tidegate::run(&task);
        world.mysql.run("ALTER TABLE t MODIFY e ENUM('c', '🎈', 'a😀', 'b🌊', 'a?'), ADD COLUMN f ENUM('🌊') FIRST");
        world.mysql.run("UPDATE t SET f = '🌊' WHERE id = 1");
        world.mysql.run("UPDATE t SET e = '🎈' WHERE id = 3");
        world.mysql.run("DELETE FROM t WHERE id = 2");
        let ended = world.finish(engine, &mut reader, |message| found.push(drawn(&message)));
        let expected = [
            "Update t id=1 e=b🌊 s=x old e=a😀 s=😀",
            "Insert bare id=1 e=b🌊 s=😀,x",
            "Insert bare id=2 e=a? s=?",
            "Update t f=🌊 id=1 e=b🌊 s=x old f=NULL",
            "Update t f=NULL id=3 e=🎈 s=NULL old e=c",
            "Delete t f=NULL id=2 e=a? s=?,😀",
        ];
        assert_eq!(found, expected, "{url}\n{}", ended.output);
        // What is known needs no doubt.
        let doubts = Tidegate::spawn(["check".as_ref(), task.write().as_os_str()]).wait();
        assert!(!doubts.output.contains("has a ? in it"), "{}", doubts.output);
    }
}

/// A database that names nothing has the server's collation, here one whose number (2304) is none of MySQL's. Statements that name nothing build
/// on it, and text is read by it.
#[test]
fn a_server_with_a_collation_of_a_high_number_is_followed() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    for metadata in ["NO_LOG", "FULL"] {
        let options = format!(
            "--character-set-server=utf8mb4 --collation-server=utf8mb4_uca1400_ai_ci --binlog-row-metadata={metadata}"
        );
        let private = Private::up(&["mariadb"], &options);
        let mut world = World::new("uca1400", private.mariadb(), &servers.kafka);
        let other = format!("{}_other", world.database);
        world.mysql.run(format!("CREATE DATABASE {other}"));
        world.mysql.run(format!("USE {other}"));
        world.mysql.run("CREATE TABLE t (k VARCHAR(20) PRIMARY KEY, e ENUM('ä', 'b'), c CHAR(3))");
        let collation: u64 = world.mysql.query_one(
            "SELECT ID FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY a, information_schema.TABLES t \
             WHERE a.FULL_COLLATION_NAME = t.TABLE_COLLATION AND t.TABLE_SCHEMA = DATABASE()",
        );
        assert_eq!(collation, 2304);
        world.mysql.run("INSERT INTO t SELECT CONCAT(IF(seq % 2, 'Ä', 'z'), seq), 1 + seq % 2, 'ü' FROM seq_1_to_50");
        let mut task = world.task_of_one_topic("");
        task.tables = format!("[\"{}.*\", \"{other}.*\"]", world.database);
        task.format = "{canal_json: {profile: dts}}".to_owned();
        task.more = "full_load: {parallel: 2, chunk_rows: 7}".to_owned();
        let mut reader = Reader::new(&world.kafka, vec![world.database.clone()]);
        let mut engine = Tidegate::run(&task);
        let mut loaded = std::collections::BTreeSet::new();
        let marked = world.database.clone();
        world.mysql.run(format!("USE {marked}"));
        world.until_loaded(&mut engine, &mut reader, |message| assert!(loaded.insert(drawn(&message)), "{message:?}"));
        assert_eq!(loaded.len(), 50);
        assert!(loaded.contains("Init t k=Ä1 e=b c=ü") && loaded.contains("Init t k=z50 e=ä c=ü"), "{loaded:?}");
        world.mysql.run(format!("USE {other}"));
        world.mysql.run("CREATE TABLE u (id INT PRIMARY KEY, p VARCHAR(5), q VARCHAR(5))");
        world.mysql.run("INSERT INTO u VALUES (1, 'ä', '潮')");
        world.mysql.run("ALTER TABLE u MODIFY q VARCHAR(5) AFTER id, ADD COLUMN e ENUM('é')");
        world.mysql.run("UPDATE u SET e = 'é', p = 'x'");
        world.mysql.run("UPDATE t SET k = 'ä1' WHERE k = 'A1'");
        world.mysql.run(format!("USE {marked}"));
        let mut found = Vec::new();
        let ended = world.finish(engine, &mut reader, |message| found.push(drawn(&message)));
        let expected = [
            "Insert u id=1 p=ä q=潮",
            "Update u id=1 q=潮 p=x e=é old p=ä e=NULL",
            "Delete t k=Ä1 e=b c=ü",
            "Insert t k=ä1 e=b c=ü",
        ];
        assert_eq!(found, expected, "{metadata}\n{}", ended.output);
        world.mysql.run(format!("DROP DATABASE {other}"));
    }
}
