//! Statements that do more than write a value, and the messages that must come of them.
//!
//! A scene is a picture: what the full load finds, what happens then, what comes out. Its tables are named after it. Scenes
//! share the tasks of [`run`](super::run) with all others, each with sessions of its own.

use super::super::harness::{Kind, Message};
use super::golden::{MYSQL, Profile, Server};
use super::proofs::{Path, proofs};
use super::run::Run;

pub(super) struct Scene {
    name: &'static str,
    /// Where table maps do not describe their tables, a task stops at a changed one: such scenes are played under `dts`
    /// only, whose server has `binlog_row_metadata=FULL`.
    changes_columns: bool,
    /// On which it is played.
    servers: &'static [Server],
    /// Statements, each ended by a semicolon at the end of its line.
    pub(super) before: &'static str,
    pub(super) after: &'static str,
    /// A line per message, table by table in the order of their names, rows of the full load as INSERT:
    /// `UPDATE table id="1" x="new" (x="old")`.
    expected: &'static str,
    /// What the task's log must say of the scene's tables.
    says: &'static str,
    /// Whether lines begin with the names of the primary key: `[id] INSERT …`.
    shows_keys: bool,
}

/// What a scene is unless it says otherwise.
const PLAIN: Scene = Scene {
    name: "",
    changes_columns: false,
    servers: &[Server::Mysql97],
    before: "",
    after: "",
    expected: "",
    says: "",
    shows_keys: false,
};

/// Where all of it can be said, and the same comes of it.
const EVERYWHERE: &[Server] = &[Server::Mysql97, Server::Mysql56, Server::MariaDb10];
/// MySQL 5.6 has no RENAME COLUMN.
const NOT_ON_THE_OLDEST: &[Server] = &[Server::Mysql97, Server::MariaDb10];

impl Scene {
    pub(super) fn is_played_on(&self, server: Server) -> bool {
        self.servers.contains(&server)
    }

    pub(super) fn is_played_under(&self, profile: Profile) -> bool {
        profile == Profile::Dts || !self.changes_columns
    }

    fn owns(&self, table: &str) -> bool {
        table.strip_prefix(self.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    }
}

/// From one list: the scenes, their tests and what those prove.
macro_rules! scenes {
    ($($(#[$doc:meta])* $([$class:literal])+ $paths:expr => $name:ident { $($field:tt)* })*) => {
        pub(super) const SCENES: &[Scene] = &[$(Scene { name: stringify!($name), $($field)* ..PLAIN }),*];

        proofs! { $([$($class),+] $paths => $name;)* }

        $(
            $(#[$doc])*
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*
    };
}

scenes! {
    /// Column values of a JSON document that change in part: the same texts as from whole documents.
    [20] Path::CHANGES => partial_json {
        before: r#"
            CREATE TABLE partial_json (id INT PRIMARY KEY, a JSON, n INT, b JSON);
            INSERT INTO partial_json VALUES
                (1, '{"k": 1, "l": [1, 2, 3], "m": {"x": "y"}}', 1, '["long enough to be worth a part", 2]'),
                (2, NULL, 1, '{"k": "long enough to be worth a part"}'),
                (3, '"a scalar"', 1, 'null');
        "#,
        after: r#"
            SET SESSION binlog_row_value_options = 'PARTIAL_JSON';
            UPDATE partial_json SET a = JSON_SET(a, '$.k', 2) WHERE id = 1;
            UPDATE partial_json SET a = JSON_REPLACE(a, '$.l[last]', 33, '$.m.x', NULL, '$.none', 1) WHERE id = 1;
            UPDATE partial_json SET a = JSON_SET(JSON_REMOVE(a, '$.l[0]'), '$.m.new', 1.0, '$.aa', CAST('1.50' AS DECIMAL(5,2))),
                n = 2, b = JSON_SET(b, '$[1]', JSON_OBJECT('deep', JSON_ARRAY()), '$[7]', 'appended') WHERE id = 1;
            UPDATE partial_json SET a = JSON_SET(a, '$."quoted \\" é"', JSON_ARRAY(1), '$.l[1]', 'other type') WHERE id = 1;
            UPDATE partial_json SET b = JSON_REMOVE(b, '$[0]', '$[0].deep') WHERE id = 1;
            UPDATE partial_json SET a = JSON_SET(a, '$.k', id * 100), b = JSON_SET(b, '$.k', id);
            UPDATE partial_json SET a = '{"whole": "document"}' WHERE id IN (2, 3);
            UPDATE partial_json SET a = NULL, b = JSON_SET(b, '$.n', NULL) WHERE id = 2;
            UPDATE partial_json SET n = 3 WHERE id = 2;
            UPDATE partial_json SET a = JSON_SET(a, '$', JSON_ARRAY('root')) WHERE id = 3;
            DELETE FROM partial_json WHERE id = 1;
        "#,
        expected: r#"
            INSERT partial_json id="1" a="{\"k\": 1, \"l\": [1, 2, 3], \"m\": {\"x\": \"y\"}}" n="1" b="[\"long enough to be worth a part\", 2]"
            INSERT partial_json id="2" a=NULL n="1" b="{\"k\": \"long enough to be worth a part\"}"
            INSERT partial_json id="3" a="\"a scalar\"" n="1" b="null"
            UPDATE partial_json id="1" a="{\"k\": 2, \"l\": [1, 2, 3], \"m\": {\"x\": \"y\"}}" n="1" b="[\"long enough to be worth a part\", 2]" (a="{\"k\": 1, \"l\": [1, 2, 3], \"m\": {\"x\": \"y\"}}")
            UPDATE partial_json id="1" a="{\"k\": 2, \"l\": [1, 2, 33], \"m\": {\"x\": null}}" n="1" b="[\"long enough to be worth a part\", 2]" (a="{\"k\": 2, \"l\": [1, 2, 3], \"m\": {\"x\": \"y\"}}")
            UPDATE partial_json id="1" a="{\"k\": 2, \"l\": [2, 33], \"m\": {\"x\": null, \"new\": 1.0}, \"aa\": 1.50}" n="2" b="[\"long enough to be worth a part\", {\"deep\": []}, \"appended\"]" (a="{\"k\": 2, \"l\": [1, 2, 33], \"m\": {\"x\": null}}" n="1" b="[\"long enough to be worth a part\", 2]")
            UPDATE partial_json id="1" a="{\"k\": 2, \"l\": [2, \"other type\"], \"m\": {\"x\": null, \"new\": 1.0}, \"aa\": 1.50, \"quoted \\\" é\": [1]}" n="2" b="[\"long enough to be worth a part\", {\"deep\": []}, \"appended\"]" (a="{\"k\": 2, \"l\": [2, 33], \"m\": {\"x\": null, \"new\": 1.0}, \"aa\": 1.50}")
            UPDATE partial_json id="1" a="{\"k\": 2, \"l\": [2, \"other type\"], \"m\": {\"x\": null, \"new\": 1.0}, \"aa\": 1.50, \"quoted \\\" é\": [1]}" n="2" b="[{}, \"appended\"]" (b="[\"long enough to be worth a part\", {\"deep\": []}, \"appended\"]")
            UPDATE partial_json id="1" a="{\"k\": 100, \"l\": [2, \"other type\"], \"m\": {\"x\": null, \"new\": 1.0}, \"aa\": 1.50, \"quoted \\\" é\": [1]}" n="2" b="[{}, \"appended\"]" (a="{\"k\": 2, \"l\": [2, \"other type\"], \"m\": {\"x\": null, \"new\": 1.0}, \"aa\": 1.50, \"quoted \\\" é\": [1]}")
            UPDATE partial_json id="2" a=NULL n="1" b="{\"k\": 2}" (b="{\"k\": \"long enough to be worth a part\"}")
            UPDATE partial_json id="2" a="{\"whole\": \"document\"}" n="1" b="{\"k\": 2}" (a=NULL)
            UPDATE partial_json id="3" a="{\"whole\": \"document\"}" n="1" b="null" (a="\"a scalar\"")
            UPDATE partial_json id="2" a=NULL n="1" b="{\"k\": 2, \"n\": null}" (a="{\"whole\": \"document\"}" b="{\"k\": 2}")
            UPDATE partial_json id="2" a=NULL n="3" b="{\"k\": 2, \"n\": null}" (n="1")
            UPDATE partial_json id="3" a="[\"root\"]" n="1" b="null" (a="{\"whole\": \"document\"}")
            DELETE partial_json id="1" a="{\"k\": 100, \"l\": [2, \"other type\"], \"m\": {\"x\": null, \"new\": 1.0}, \"aa\": 1.50, \"quoted \\\" é\": [1]}" n="2" b="[{}, \"appended\"]"
        "#,
    }

    /// The key that the server adds by itself is a column like any other.
    [23] Path::ALL => generated_keys {
        before: "
            SET SESSION sql_generate_invisible_primary_key = ON;
            CREATE TABLE generated_keys (name VARCHAR(20), hidden INT INVISIBLE);
            INSERT INTO generated_keys (name, hidden) VALUES ('a', 1), ('b', NULL);
        ",
        after: "
            INSERT INTO generated_keys VALUES ('c');
            UPDATE generated_keys SET name = 'x', hidden = 2 WHERE name = 'a';
            DELETE FROM generated_keys WHERE name = 'b';
        ",
        expected: r#"
            INSERT generated_keys my_row_id="1" name="a" hidden="1"
            INSERT generated_keys my_row_id="2" name="b" hidden=NULL
            INSERT generated_keys my_row_id="3" name="c" hidden=NULL
            UPDATE generated_keys my_row_id="1" name="x" hidden="2" (name="a" hidden="1")
            DELETE generated_keys my_row_id="2" name="b" hidden=NULL
        "#,
    }

    /// What a column is when nobody says so makes no difference to what is read.
    [26] Path::ALL => defaults {
        before: "
            CREATE TABLE defaults (
                id INT PRIMARY KEY, t VARCHAR(40) DEFAULT 'it''s (a), \\\\ \"default\"', b BIT(8) DEFAULT b'101', x BINARY(2) DEFAULT 0x41,
                c CHAR(3) CHARACTER SET latin1 DEFAULT _utf8mb4'é', e INT DEFAULT (1 + 2 * ABS(-3)), j JSON DEFAULT (JSON_ARRAY('a', 1)),
                u DECIMAL(5,2) DEFAULT -1.5 COMMENT 'not a DEFAULT, (really)', d DATE DEFAULT '2024-02-29',
                m TIMESTAMP(3) NULL DEFAULT '2024-01-01 00:00:00' ON UPDATE CURRENT_TIMESTAMP(3), n SET('a','b') DEFAULT NULL
            );
            INSERT INTO defaults (id) VALUES (1);
        ",
        after: "
            SET timestamp = 1700000000;
            INSERT INTO defaults (id) VALUES (2);
            UPDATE defaults SET u = DEFAULT(u) - 1, t = 'new' WHERE id = 2;
            DELETE FROM defaults WHERE id = 1;
        ",
        expected: r#"
            INSERT defaults id="1" t="it's (a), \\ \"default\"" b="5" x="A\0" c="é" e="7" j="[\"a\", 1]" u="-1.50" d="2024-02-29" m="2024-01-01 00:00:00.000" n=NULL
            INSERT defaults id="2" t="it's (a), \\ \"default\"" b="5" x="A\0" c="é" e="7" j="[\"a\", 1]" u="-1.50" d="2024-02-29" m="2024-01-01 00:00:00.000" n=NULL
            UPDATE defaults id="2" t="new" b="5" x="A\0" c="é" e="7" j="[\"a\", 1]" u="-2.50" d="2024-02-29" m="2023-11-14 22:13:20.000" n=NULL (t="it's (a), \\ \"default\"" u="-1.50" m="2024-01-01 00:00:00.000")
            DELETE defaults id="1" t="it's (a), \\ \"default\"" b="5" x="A\0" c="é" e="7" j="[\"a\", 1]" u="-1.50" d="2024-02-29" m="2024-01-01 00:00:00.000" n=NULL
        "#,
    }

    /// Their changes end with the text COMMIT, and a full load reads them without a view.
    [27] Path::ALL => engines {
        servers: MYSQL,
        before: "
            CREATE TABLE engines_myisam (id INT PRIMARY KEY, t TEXT) ENGINE = MyISAM;
            CREATE TABLE engines_memory (id INT PRIMARY KEY, t VARCHAR(20)) ENGINE = MEMORY;
            CREATE TABLE engines_archive (id INT, t TEXT) ENGINE = ARCHIVE;
            CREATE TABLE engines_csv (id INT NOT NULL, t VARCHAR(20) NOT NULL) ENGINE = CSV;
            INSERT INTO engines_myisam VALUES (1, 'a'), (2, NULL);
            INSERT INTO engines_memory VALUES (1, 'a'), (2, NULL);
            INSERT INTO engines_archive VALUES (1, 'a'), (2, NULL);
            INSERT INTO engines_csv VALUES (1, 'a'), (2, '');
        ",
        after: "
            BEGIN;
            INSERT INTO engines_myisam VALUES (3, 'c');
            UPDATE engines_myisam SET t = 'x' WHERE id = 1;
            ROLLBACK;
            DELETE FROM engines_myisam WHERE id = 2;
            INSERT INTO engines_memory VALUES (3, 'c');
            UPDATE engines_memory SET t = 'x' WHERE id = 1;
            DELETE FROM engines_memory WHERE id = 2;
            INSERT INTO engines_archive VALUES (3, 'c');
            INSERT INTO engines_csv VALUES (3, 'c');
            UPDATE engines_csv SET t = 'x' WHERE id = 1;
            DELETE FROM engines_csv WHERE id = 2;
        ",
        expected: r#"
            INSERT engines_archive id="1" t="a"
            INSERT engines_archive id="2" t=NULL
            INSERT engines_archive id="3" t="c"
            INSERT engines_csv id="1" t="a"
            INSERT engines_csv id="2" t=""
            INSERT engines_csv id="3" t="c"
            UPDATE engines_csv id="1" t="x" (t="a")
            DELETE engines_csv id="2" t=""
            INSERT engines_memory id="1" t="a"
            INSERT engines_memory id="2" t=NULL
            INSERT engines_memory id="3" t="c"
            UPDATE engines_memory id="1" t="x" (t="a")
            DELETE engines_memory id="2" t=NULL
            INSERT engines_myisam id="1" t="a"
            INSERT engines_myisam id="2" t=NULL
            INSERT engines_myisam id="3" t="c"
            UPDATE engines_myisam id="1" t="x" (t="a")
            DELETE engines_myisam id="2" t=NULL
        "#,
    }

    /// Several tables and statements in one event that holds the others.
    [28] Path::CHANGES => compressed {
        before: "
            CREATE TABLE compressed_a (id INT PRIMARY KEY, t TEXT);
            CREATE TABLE compressed_b (id INT PRIMARY KEY, t TEXT);
        ",
        after: "
            SET SESSION binlog_transaction_compression = ON;
            BEGIN;
            INSERT INTO compressed_a VALUES (1, 'a'), (2, 'b');
            INSERT INTO compressed_b SELECT id + 10, t FROM compressed_a;
            UPDATE compressed_a, compressed_b SET compressed_a.t = 'x', compressed_b.t = 'y' WHERE compressed_b.id = compressed_a.id + 10 AND compressed_a.id = 1;
            DELETE FROM compressed_a WHERE id = 2;
            COMMIT;
            SET SESSION binlog_transaction_compression = OFF;
            INSERT INTO compressed_a VALUES (3, 'c');
        ",
        expected: r#"
            INSERT compressed_a id="1" t="a"
            INSERT compressed_a id="2" t="b"
            UPDATE compressed_a id="1" t="x" (t="a")
            DELETE compressed_a id="2" t="b"
            INSERT compressed_a id="3" t="c"
            INSERT compressed_b id="11" t="a"
            INSERT compressed_b id="12" t="b"
            UPDATE compressed_b id="11" t="y" (t="a")
        "#,
    }

    /// What was rolled back was never there.
    [34] Path::CHANGES => savepoints {
        servers: EVERYWHERE,
        before: "
            CREATE TABLE savepoints (id INT PRIMARY KEY);
            INSERT INTO savepoints VALUES (1);
        ",
        after: "
            BEGIN;
            INSERT INTO savepoints VALUES (2);
            SAVEPOINT a;
            INSERT INTO savepoints VALUES (3);
            ROLLBACK TO SAVEPOINT a;
            DELETE FROM savepoints WHERE id = 1;
            RELEASE SAVEPOINT a;
            COMMIT;
            BEGIN;
            INSERT INTO savepoints VALUES (4);
            ROLLBACK;
        ",
        expected: r#"
            INSERT savepoints id="1"
            INSERT savepoints id="2"
            DELETE savepoints id="1"
        "#,
    }

    /// The text of a statement in front of its rows is no statement.
    [35] Path::CHANGES => statement_texts {
        before: "CREATE TABLE statement_texts (id INT PRIMARY KEY, t VARCHAR(99))",
        after: "
            SET SESSION binlog_rows_query_log_events = ON;
            INSERT INTO statement_texts VALUES (1, 'DELETE FROM statement_texts');
            UPDATE statement_texts SET t = 'DROP TABLE statement_texts; -- /*' /* INSERT INTO statement_texts */;
            DELETE FROM statement_texts;
        ",
        expected: r#"
            INSERT statement_texts id="1" t="DELETE FROM statement_texts"
            UPDATE statement_texts id="1" t="DROP TABLE statement_texts; -- /*" (t="DELETE FROM statement_texts")
            DELETE statement_texts id="1" t="DROP TABLE statement_texts; -- /*"
        "#,
    }

    /// A temporary table is nobody else's, even if it has the name of one that is copied.
    [35] Path::CHANGES => temporary_tables {
        servers: EVERYWHERE,
        before: "CREATE TABLE temporary_tables (id INT PRIMARY KEY)",
        after: "
            CREATE TEMPORARY TABLE temporary_tables (other VARCHAR(20), columns INT);
            INSERT INTO temporary_tables VALUES ('x', 1);
            ALTER TABLE temporary_tables ADD COLUMN more INT;
            UPDATE temporary_tables SET other = 'y';
            DROP TEMPORARY TABLE temporary_tables;
            INSERT INTO temporary_tables VALUES (1);
        ",
        expected: r#"
            INSERT temporary_tables id="1"
        "#,
    }

    /// What a foreign key changes by itself stands in the binlog before what made it do so.
    [35] Path::ALL => cascades {
        before: "
            CREATE TABLE cascades_parent (id INT PRIMARY KEY);
            CREATE TABLE cascades (id INT PRIMARY KEY, parent INT,
                FOREIGN KEY (parent) REFERENCES cascades_parent (id) ON DELETE CASCADE ON UPDATE CASCADE);
            INSERT INTO cascades_parent VALUES (1), (2);
            INSERT INTO cascades VALUES (10, 1), (20, 2);
        ",
        after: "
            INSERT INTO cascades VALUES (11, 1);
            DELETE FROM cascades_parent WHERE id = 1;
            UPDATE cascades_parent SET id = 3 WHERE id = 2;
        ",
        expected: r#"
            INSERT cascades id="10" parent="1"
            INSERT cascades id="20" parent="2"
            INSERT cascades id="11" parent="1"
            DELETE cascades id="10" parent="1"
            DELETE cascades id="11" parent="1"
            UPDATE cascades id="20" parent="3" (parent="2")
            INSERT cascades_parent id="1"
            INSERT cascades_parent id="2"
            DELETE cascades_parent id="1"
            DELETE cascades_parent id="2"
            INSERT cascades_parent id="3"
        "#,
    }

    /// There are no row events of the rows that go: the task says so.
    [36] &[Path::FullLoad, Path::Insert] => truncate {
        servers: EVERYWHERE,
        before: "
            CREATE TABLE truncate (id INT PRIMARY KEY);
            INSERT INTO truncate VALUES (1), (2);
        ",
        after: "
            TRUNCATE truncate;
            INSERT INTO truncate VALUES (1);
        ",
        expected: r#"
            INSERT truncate id="1"
            INSERT truncate id="2"
            INSERT truncate id="1"
        "#,
        says: "rows moved without row events",
    }

    /// Nor are there of partitions.
    [36] &[Path::FullLoad, Path::Insert] => partitions {
        servers: EVERYWHERE,
        before: "
            CREATE TABLE partitions (id INT PRIMARY KEY) PARTITION BY RANGE (id)
                (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20), PARTITION p2 VALUES LESS THAN (30));
            CREATE TABLE partitions_other (id INT PRIMARY KEY);
            INSERT INTO partitions VALUES (1), (11), (21);
        ",
        after: "
            ALTER TABLE partitions DROP PARTITION p0;
            ALTER TABLE partitions TRUNCATE PARTITION p1;
            ALTER TABLE partitions EXCHANGE PARTITION p2 WITH TABLE partitions_other;
            INSERT INTO partitions VALUES (12);
            INSERT INTO partitions_other VALUES (22);
        ",
        expected: r#"
            INSERT partitions id="1"
            INSERT partitions id="11"
            INSERT partitions id="21"
            INSERT partitions id="12"
            INSERT partitions_other id="22"
        "#,
        says: "rows moved without row events",
    }

    /// Names that need quotes, of a table and of columns.
    [32] Path::ALL => quoted_names {
        servers: EVERYWHERE,
        before: r#"
            CREATE TABLE `quoted_names_é, "x" ``y` (`a``b` INT PRIMARY KEY, `c,"d"\e` INT, `select` INT);
            INSERT INTO `quoted_names_é, "x" ``y` VALUES (1, 2, 3);
        "#,
        after: r#"
            INSERT INTO `quoted_names_é, "x" ``y` VALUES (2, 3, 4);
            UPDATE `quoted_names_é, "x" ``y` SET `c,"d"\e` = 5 WHERE `a``b` = 1;
            DELETE FROM `quoted_names_é, "x" ``y` WHERE `a``b` = 2;
        "#,
        expected: r#"
            INSERT quoted_names_é, "x" `y a`b="1" c,"d"\e="2" select="3"
            INSERT quoted_names_é, "x" `y a`b="2" c,"d"\e="3" select="4"
            UPDATE quoted_names_é, "x" `y a`b="1" c,"d"\e="5" select="3" (c,"d"\e="2")
            DELETE quoted_names_é, "x" `y a`b="2" c,"d"\e="3" select="4"
        "#,
    }

    /// The server writes it into the binlog although it changes nothing.
    [32] &[Path::FullLoad, Path::Insert] => create_if_not_exists {
        servers: EVERYWHERE,
        before: "
            CREATE TABLE create_if_not_exists (id INT PRIMARY KEY, x INT);
            INSERT INTO create_if_not_exists VALUES (1, 2);
        ",
        after: "
            CREATE TABLE IF NOT EXISTS create_if_not_exists (other VARCHAR(20), x TEXT, id DATE);
            INSERT INTO create_if_not_exists VALUES (2, 3);
        ",
        expected: r#"
            INSERT create_if_not_exists id="1" x="2"
            INSERT create_if_not_exists id="2" x="3"
        "#,
    }

    /// Each name has the columns of the table that bears it at that moment.
    [32] Path::ALL => renames {
        servers: EVERYWHERE,
        changes_columns: true,
        before: "
            CREATE TABLE renames_a (id INT PRIMARY KEY, of_a INT);
            CREATE TABLE renames_c (of_c VARCHAR(9), id INT PRIMARY KEY);
            INSERT INTO renames_a VALUES (1, 1);
            INSERT INTO renames_c VALUES ('one', 1);
        ",
        after: "
            INSERT INTO renames_a VALUES (2, 2);
            RENAME TABLE renames_a TO renames_b, renames_c TO renames_a;
            INSERT INTO renames_a VALUES ('two', 2);
            UPDATE renames_b SET of_a = 3 WHERE id = 1;
            DELETE FROM renames_a WHERE id = 1;
            ALTER TABLE renames_b RENAME TO renames_d, ADD COLUMN more INT DEFAULT 7;
            UPDATE renames_d SET of_a = 4 WHERE id = 1;
        ",
        expected: r#"
            INSERT renames_a id="1" of_a="1"
            INSERT renames_a id="2" of_a="2"
            INSERT renames_a of_c="two" id="2"
            DELETE renames_a of_c="one" id="1"
            UPDATE renames_b id="1" of_a="3" (of_a="1")
            INSERT renames_c of_c="one" id="1"
            UPDATE renames_d id="1" of_a="4" more="7" (of_a="3")
        "#,
    }

    /// One statement, which the server splits by engine; the names come back with other columns.
    [32] &[Path::FullLoad, Path::Insert] => drops {
        servers: EVERYWHERE,
        changes_columns: true,
        before: "
            CREATE TABLE drops_a (id INT PRIMARY KEY, x INT);
            CREATE TABLE drops_b (id INT PRIMARY KEY, x INT) ENGINE = MyISAM;
            INSERT INTO drops_a VALUES (1, 1);
            INSERT INTO drops_b VALUES (1, 1);
        ",
        after: "
            DROP TABLE drops_a, drops_b;
            CREATE TABLE drops_a (x VARCHAR(9), y INT, id INT PRIMARY KEY);
            CREATE TABLE drops_b (x DATE, id INT PRIMARY KEY);
            INSERT INTO drops_a VALUES ('a', 2, 1);
            INSERT INTO drops_b VALUES ('2024-02-29', 1);
        ",
        expected: r#"
            INSERT drops_a id="1" x="1"
            INSERT drops_a x="a" y="2" id="1"
            INSERT drops_b id="1" x="1"
            INSERT drops_b x="2024-02-29" id="1"
        "#,
    }

    /// Read after the fact, when the catalogue knows nothing of the column that came and went.
    [32] Path::ALL => columns_come_and_go {
        servers: NOT_ON_THE_OLDEST,
        changes_columns: true,
        before: "
            CREATE TABLE columns_come_and_go (id INT PRIMARY KEY, x INT);
            INSERT INTO columns_come_and_go VALUES (1, 1);
        ",
        after: "
            ALTER TABLE columns_come_and_go ADD COLUMN z INT FIRST;
            INSERT INTO columns_come_and_go VALUES (33, 3, 4);
            ALTER TABLE columns_come_and_go DROP COLUMN z;
            UPDATE columns_come_and_go SET x = 5 WHERE id = 3;
            ALTER TABLE columns_come_and_go MODIFY x VARCHAR(20) FIRST, RENAME COLUMN id TO number;
            DELETE FROM columns_come_and_go WHERE number = 1;
        ",
        expected: r#"
            INSERT columns_come_and_go id="1" x="1"
            INSERT columns_come_and_go z="33" id="3" x="4"
            UPDATE columns_come_and_go id="3" x="5" (x="4")
            DELETE columns_come_and_go x="1" number="1"
        "#,
    }

    /// The same types under other names: nothing but the name tells that a value would stand in the wrong column.
    [32] Path::ALL => names_swap {
        servers: NOT_ON_THE_OLDEST,
        changes_columns: true,
        before: "
            CREATE TABLE names_swap (id INT PRIMARY KEY, a INT, b INT);
            INSERT INTO names_swap VALUES (1, 10, 20);
        ",
        after: "
            INSERT INTO names_swap (id, a, b) VALUES (2, 10, 20);
            ALTER TABLE names_swap RENAME COLUMN a TO b, RENAME COLUMN b TO a;
            UPDATE names_swap SET a = 21 WHERE id = 2;
            ALTER TABLE names_swap MODIFY a INT AFTER id;
            DELETE FROM names_swap WHERE id = 1;
        ",
        expected: r#"
            INSERT names_swap id="1" a="10" b="20"
            INSERT names_swap id="2" a="10" b="20"
            UPDATE names_swap id="2" b="10" a="21" (a="20")
            DELETE names_swap id="1" a="20" b="10"
        "#,
    }

    /// A key of one moment is not that of the next. A table map calls the first unique key of NOT NULL columns a primary one
    /// if there is no other; where the catalogue or a statement has told the difference, it is remembered.
    [37] Path::ALL => keys_change {
        servers: EVERYWHERE,
        changes_columns: true,
        before: "
            CREATE TABLE keys_change (a INT, b INT, c INT, PRIMARY KEY (b, a));
            INSERT INTO keys_change VALUES (1, 10, 100), (2, 20, 200);
            CREATE TABLE keys_change_unique (a INT NOT NULL, b INT NOT NULL, UNIQUE KEY z (a), UNIQUE KEY y (b));
            INSERT INTO keys_change_unique VALUES (1, 10);
        ",
        after: "
            INSERT INTO keys_change VALUES (3, 30, 300);
            ALTER TABLE keys_change DROP PRIMARY KEY, ADD PRIMARY KEY (c);
            UPDATE keys_change SET a = 4 WHERE c = 300;
            UPDATE keys_change SET c = 301 WHERE c = 300;
            ALTER TABLE keys_change DROP PRIMARY KEY, ADD UNIQUE KEY (a);
            DELETE FROM keys_change WHERE a = 1;
            UPDATE keys_change SET c = 201 WHERE a = 2;
            ALTER TABLE keys_change_unique ADD COLUMN c INT DEFAULT 7 FIRST;
            UPDATE keys_change_unique SET c = 8;
            ALTER TABLE keys_change_unique ADD PRIMARY KEY (b, a);
            UPDATE keys_change_unique SET c = 9;
        ",
        expected: r#"
            [a b] INSERT keys_change a="1" b="10" c="100"
            [a b] INSERT keys_change a="2" b="20" c="200"
            [a b] INSERT keys_change a="3" b="30" c="300"
            [c] UPDATE keys_change a="4" b="30" c="300" (a="3")
            [c] DELETE keys_change a="4" b="30" c="300"
            [c] INSERT keys_change a="4" b="30" c="301"
            [] DELETE keys_change a="1" b="10" c="100"
            [] UPDATE keys_change a="2" b="20" c="201" (c="200")
            [] INSERT keys_change_unique a="1" b="10"
            [] UPDATE keys_change_unique c="8" a="1" b="10" (c="7")
            [a b] UPDATE keys_change_unique c="9" a="1" b="10" (c="8")
        "#,
        shows_keys: true,
    }

    /// A number is the label of the moment at which it was written.
    [12] Path::ALL => labels_change {
        servers: EVERYWHERE,
        changes_columns: true,
        before: "
            CREATE TABLE labels_change (id INT PRIMARY KEY, e ENUM('a', 'b'), s SET('x', 'y'));
            INSERT INTO labels_change VALUES (1, 'b', 'y');
        ",
        after: "
            INSERT INTO labels_change VALUES (2, 'b', 'x,y');
            ALTER TABLE labels_change MODIFY e ENUM('new', 'b', 'a'), MODIFY s SET('y', 'x', 'z');
            UPDATE labels_change SET s = 'z,x' WHERE id = 2;
            ALTER TABLE labels_change MODIFY e ENUM('new', 'c', 'a', 'b');
            UPDATE labels_change SET e = 'c' WHERE id = 1;
            DELETE FROM labels_change WHERE id = 2;
        ",
        expected: r#"
            INSERT labels_change id="1" e="b" s="y"
            INSERT labels_change id="2" e="b" s="x,y"
            UPDATE labels_change id="2" e="b" s="x,z" (s="y,x")
            UPDATE labels_change id="1" e="c" s="y" (e="b")
            DELETE labels_change id="2" e="b" s="x,z"
        "#,
    }

    /// The table, its rows and the end stand in one transaction.
    [36] &[Path::Insert] => create_select {
        servers: EVERYWHERE,
        changes_columns: true,
        before: "
            CREATE TABLE create_select_from (id INT PRIMARY KEY, x INT);
            INSERT INTO create_select_from VALUES (1, 1), (2, 2);
        ",
        after: "
            CREATE TABLE create_select (PRIMARY KEY (id)) SELECT id, x * 10 AS tenfold FROM create_select_from;
            CREATE TABLE create_select_like LIKE create_select_from;
            INSERT INTO create_select_like VALUES (3, 3);
            UPDATE create_select SET tenfold = 11 WHERE id = 1;
        ",
        expected: r#"
            INSERT create_select id="1" tenfold="10"
            INSERT create_select id="2" tenfold="20"
            UPDATE create_select id="1" tenfold="11" (tenfold="10")
            INSERT create_select_from id="1" x="1"
            INSERT create_select_from id="2" x="2"
            INSERT create_select_like id="3" x="3"
        "#,
    }
}

/// A scene proves nothing if the server has written other events than it is about.
#[test]
fn events_are_those_that_the_scenes_are_about() {
    for run in Run::canal(Server::Mysql97).filter(|run| run.profile() == Profile::Dts) {
        for event in ["Update_rows_partial", "Transaction_payload", "Rows_query"] {
            assert!(run.events.contains(event), "no {event} among {:?}", run.events);
        }
    }
}

/// `UPDATE table id="1" x="new" (x="old")`
fn drawn(Message { kind, table, data, old, primary_key, .. }: &Message, shows_keys: bool) -> String {
    let kind = match kind {
        Kind::Init | Kind::Insert => "INSERT",
        Kind::Update => "UPDATE",
        Kind::Delete => "DELETE",
        Kind::Statement | Kind::Begin | Kind::Commit | Kind::Heartbeat => unreachable!("nobody asks for them here"),
    };
    let key =
        if shows_keys { format!("[{}] ", primary_key.as_deref().unwrap_or_default().join(" ")) } else { String::new() };
    let old = old.as_ref().map_or(String::new(), |old| format!(" ({old:?})"));
    format!("{key}{kind} {table} {data:?}{old}")
}

/// Compares a scene's messages, table by table.
fn check(name: &str) {
    let scene = SCENES.iter().find(|scene| scene.name == name).expect("a test and its scene stand in one list");
    let expected: Vec<&str> = scene.expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let runs = scene.servers.iter().flat_map(|&server| Run::canal(server));
    for run in runs.filter(|run| scene.is_played_under(run.profile())) {
        let found: Vec<String> = run
            .tables()
            .filter(|table| scene.owns(table))
            .flat_map(|table| run.messages(table))
            .map(|message| drawn(message, scene.shows_keys))
            .collect();
        assert!(
            found == expected,
            "of {:?} in the profile {:?}, found\n  {}\nexpected\n  {}",
            run.server(),
            run.profile(),
            found.join("\n  "),
            expected.join("\n  ")
        );
        let said = run.output.lines().any(|line| line.contains(scene.says) && line.contains(&format!(".{name}")));
        assert!(said || scene.says.is_empty(), "nothing of {name} and {:?} in\n{}", scene.says, run.output);
    }
}
