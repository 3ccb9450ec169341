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

/// of MariaDB. Nobody has changed rows in statement format. One of the tables has come while the task was running.
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
    }
}

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
