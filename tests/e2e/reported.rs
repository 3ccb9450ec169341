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
