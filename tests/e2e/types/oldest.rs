//! The temporal types of before MySQL 5.6, which it keeps in tables that it did not make.

use super::super::harness::{Kind, Message, Mysql, Private, Reader, Servers, Tidegate, World};
use super::super::oldest::WITHOUT_GTIDS;
use super::golden::Profile;
use super::proofs::{Path, proofs};

proofs! {
    [1, 2, 3, 4] Path::ALL => temporal_columns_of_before_5_6_come_as_the_server_shows_them;
}

/// Columns as MySQL 5.5 stored them. No MySQL that is left makes them; MariaDB does if it is told to, and its tables of MyISAM are files
/// that 5.6 opens as well as its own of before.
#[test]
fn temporal_columns_of_before_5_6_come_as_the_server_shows_them() {
    let Some((servers, _)) = Servers::with_oldest() else { return };
    let private = Private::up(&["mysql-5.6"], &format!("{WITHOUT_GTIDS} --show-old-temporals=ON"));
    let made = Private::up(&["mariadb"], "--mysql56-temporal-format=OFF");
    let mut maker = Mysql::connect(made.mariadb());
    maker.run("CREATE DATABASE made");
    maker.run(
        "CREATE TABLE made.old (id INT PRIMARY KEY, t TIME, d DATETIME, ts TIMESTAMP NULL, n INT) ENGINE = MyISAM CHARSET latin1",
    );
    maker.run("FLUSH TABLES made.old");
    for profile in [Profile::Canal, Profile::Avro] {
        let mut world = World::new("old_temporals", private.oldest(), &servers.kafka);
        for end in ["frm", "MYD", "MYI"] {
            let from = made.data("mariadb").join(format!("made/old.{end}"));
            let to = private.data("mysql-5.6").join(&world.database).join(format!("old.{end}"));
            std::fs::copy(from, to).expect("a file of the table");
        }
        world.mysql.run("SET sql_mode = ''");
        let olds = |world: &mut World| {
            let (_, shown): (String, String) = world.mysql.query_one("SHOW CREATE TABLE old");
            shown.matches("/* 5.5 binary format */").count()
        };
        assert_eq!(olds(&mut world), 3);
        let values = [
            "'-838:59:59', '0000-00-00 00:00:00', 0, 1",
            "'838:59:59', '9999-12-31 23:59:59', '2038-01-19 03:14:07', 2",
            "'-00:00:01', '2010-00-10 01:02:03', '1970-01-01 00:00:01', 3",
            "'12:34:56', '1000-01-01 00:00:00', '2024-10-27 00:30:00', NULL",
            "NULL, NULL, NULL, 5",
        ];
        let insert = |mysql: &mut Mysql, first: usize| {
            for (id, values) in (first..).zip(values) {
                mysql.run(format!("INSERT INTO old VALUES ({id}, {values})"));
            }
        };
        insert(&mut world.mysql, 0);
        world.begin_binlog_file();
        let mut task = world.task_of_one_topic("");
        task.format = profile.yaml().to_owned();
        let mut reader = Reader::new(&world.kafka, vec![world.database.clone()]);
        let mut messages = Vec::new();
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |message| messages.push(message));
        insert(&mut world.mysql, 100);
        let shown = ["t", "d", "ts", "n"].map(|column| format!("IFNULL({column}, 'NULL')")).join(", ");
        let expected: Vec<String> =
            world.mysql.query(&format!("SELECT CONCAT_WS(' ', id, {shown}) FROM old ORDER BY id"));
        world.mysql.run("UPDATE old SET n = 7");
        // It keeps the columns as they are, or makes new ones of them.
        world.mysql.run("SET GLOBAL avoid_temporal_upgrade = ON");
        world.mysql.run("ALTER TABLE old ADD COLUMN more INT DEFAULT 1");
        assert_eq!(olds(&mut world), 3);
        world.mysql.run("UPDATE old SET n = 8");
        world.mysql.run("SET GLOBAL avoid_temporal_upgrade = OFF");
        world.mysql.run("ALTER TABLE old ADD COLUMN again INT");
        assert_eq!(olds(&mut world), 0);
        world.mysql.run("UPDATE old SET n = 9");
        world.mysql.run("DELETE FROM old");
        world.finish(engine, &mut reader, |message| messages.push(message));
        let drawn = |message: &Message| {
            let cell = |name| message.data.get(name).map_or("NULL", String::as_str);
            ["id", "t", "d", "ts", "n"].map(cell).join(" ")
        };
        let of = |kind: Kind| messages.iter().filter(move |message| message.kind == kind).map(drawn);
        let found: Vec<String> = of(Kind::Init).chain(of(Kind::Insert)).collect();
        assert_eq!(found, expected, "{profile:?}");
        // Each update has the same but for `n`.
        let unchanged = |text: &String| text.rsplit_once(' ').expect("columns").0.to_owned();
        let updated: Vec<String> = of(Kind::Update).map(|text| unchanged(&text)).collect();
        let expected: Vec<String> = expected.iter().map(unchanged).collect();
        assert_eq!(updated, [&expected[..], &expected, &expected].concat(), "{profile:?}");
        let deleted: Vec<String> = of(Kind::Delete).map(|text| unchanged(&text)).collect();
        assert_eq!(deleted, expected, "{profile:?}");
    }
}
