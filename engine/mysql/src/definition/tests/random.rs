//! Statements that nobody has thought of: each is made from the definitions as they are, and after each the server's catalogue says
//! what they have become.
//!
//! A server refuses some of them, which proves nothing and costs nothing. A difference is shown with the shortest history that has it.

use fastrand::Rng;

use super::*;
use crate::catalog::read_definition;

/// Statements in a run of the tests; `TIDEGATE_TEST_SCALE` multiplies.
const STATEMENTS: u64 = 300;
const TABLES: [&str; 3] = ["t", "u", "v"];

struct Random<'a> {
    /// It gives keys over places a prefix of its own, which is not followed.
    is_mariadb: bool,
    rng: Rng,
    tables: &'a Tables,
    database: &'a str,
}

impl Random<'_> {
    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.usize(..of.len())]
    }

    fn once_in(&mut self, times: u32) -> bool {
        self.rng.u32(..times) == 0
    }

    fn definition(&self, table: &str) -> Option<&Definition> {
        self.tables.by_name.get(&TableName::new(self.database, table))?.as_ref().ok()
    }

    /// In any case, quoted or not.
    fn spelt(&mut self, name: &str) -> String {
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match self.rng.u32(..6) {
            0 if is_plain => name.to_uppercase(),
            1 | 2 if is_plain => name.to_owned(),
            _ => format!("`{}`", name.replace('`', "``")),
        }
    }

    fn new_name(&mut self) -> String {
        let name = self.one(&["a", "b", "c", "d", "e", "f", "G", "x y", "ä", "primary", "key", "a_2"]);
        if self.once_in(3) { format!("{name}{}", self.rng.u32(..30)) } else { name.to_owned() }
    }

    /// One of these, mostly.
    fn known_or_new(&mut self, names: Vec<String>) -> String {
        if names.is_empty() || self.once_in(30) {
            self.new_name()
        } else {
            names[self.rng.usize(..names.len())].clone()
        }
    }

    fn column_of(&mut self, table: &str) -> String {
        let names: Vec<String> = self
            .definition(table)
            .map(|known| known.columns.iter().map(|c| c.name.clone()).collect())
            .unwrap_or_default();
        let name = self.known_or_new(names);
        self.spelt(&name)
    }

    fn index_of(&mut self, table: &str) -> String {
        let names: Vec<String> = self
            .definition(table)
            .map(|known| known.indexes.iter().map(|i| i.name.clone()).collect())
            .unwrap_or_default();
        let name = self.known_or_new(names);
        format!("`{name}`")
    }

    fn charset(&mut self) -> &'static str {
        self.one(&["latin1", "utf8mb4", "utf8mb3", "ascii", "ucs2", "utf16", "gbk", "binary", "cp1251", "sjis"])
    }

    fn column_type(&mut self) -> String {
        let number = self.rng.u32(1..20);
        match self.rng.u32(..26) {
            0 => self.one(&["INT", "BIGINT", "TINYINT", "SMALLINT", "MEDIUMINT", "BOOL", "INT2", "INTEGER"]).to_owned(),
            1 => format!("{}({number})", self.one(&["INT", "BIGINT", "TINYINT", "SMALLINT"])),
            2 => {
                format!("{}({number}) {}", self.one(&["INT", "TINYINT"]), self.one(&["UNSIGNED", "ZEROFILL", "SIGNED"]))
            }
            3 => self.one(&["FLOAT", "DOUBLE", "REAL", "FLOAT(30)", "FLOAT(7,2)", "DOUBLE(9,3) UNSIGNED"]).to_owned(),
            4 => format!("DECIMAL({},{})", number + 5, number.min(5)),
            5 => self.one(&["DECIMAL", "NUMERIC(7)", "FIXED ZEROFILL", "BIT", "BIT(9)", "YEAR"]).to_owned(),
            6 => format!("{}({})", self.one(&["TIME", "DATETIME", "TIMESTAMP"]), number % 7),
            7 if self.is_mariadb => self.one(&["DATE", "DATETIME", "TIME", "TIMESTAMP NULL", "JSON"]).to_owned(),
            7 => self.one(&["DATE", "DATETIME", "TIME", "TIMESTAMP NULL", "JSON", "POINT", "GEOMETRY"]).to_owned(),
            8 => self.one(&["BINARY", "BINARY(9)", "VARBINARY(9)", "BLOB", "TINYBLOB", "BLOB(300)"]).to_owned(),
            9..=13 => format!("VARCHAR({number}){}", self.of_charset()),
            14 | 15 => format!("CHAR({number}){}", self.of_charset()),
            16 | 17 => format!("{}{}", self.one(&["TEXT", "TINYTEXT", "MEDIUMTEXT", "TEXT(100)"]), self.of_charset()),
            18 => self.one(&["NCHAR(4)", "NATIONAL VARCHAR(7)", "NVARCHAR(3)", "LONG VARCHAR"]).to_owned(),
            19..=21 => {
                let labels = ["'a'", "'b '", "'it''s'", "'x,y'", "\"q\"", "0x41", "'é'", "'l\\\\m'"];
                let count = self.rng.usize(1..5);
                let mut chosen: Vec<&str> = (0..count).map(|_| self.one(&labels)).collect();
                chosen.sort();
                chosen.dedup();
                format!("{}({}){}", self.one(&["ENUM", "SET"]), chosen.join(", "), self.of_charset())
            }
            _ => format!("INT{}", self.one(&["", " UNSIGNED"])),
        }
    }

    fn of_charset(&mut self) -> String {
        match self.rng.u32(..8) {
            0 | 1 => format!(" {} {}", self.one(&["CHARACTER SET", "CHARSET"]), self.charset()),
            2 => self.one(&[" BINARY", " ASCII", " UNICODE", " BYTE"]).to_owned(),
            3 => format!(" COLLATE {}", self.one(&["utf8mb4_bin", "latin1_bin", "utf8mb3_general_ci", "ascii_bin"])),
            _ => String::new(),
        }
    }

    fn column(&mut self, name: &str) -> String {
        let mut out = format!("{name} {}", self.column_type());
        if self.once_in(15) {
            out =
                format!("{name} INT {}", self.one(&["AS (1 + 2)", "GENERATED ALWAYS AS (3) STORED", "AS (1) VIRTUAL"]));
        }
        let attributes = [
            "NOT NULL",
            "NOT NULL",
            "NOT NULL",
            "NULL",
            "UNIQUE",
            "COMMENT 'NOT NULL, x'",
            "INVISIBLE",
            "PRIMARY KEY",
            "UNIQUE KEY",
            "CHECK (1 > (0))",
            "COLUMN_FORMAT DYNAMIC",
            "/* UNIQUE */",
            "/*!80000 NOT NULL */",
            "AUTO_INCREMENT UNIQUE",
        ];
        for _ in 0..self.rng.usize(..3) {
            out = format!("{out} {}", self.one(&attributes));
        }
        out
    }

    fn parts(&mut self, table: &str, columns: &[String]) -> String {
        let parts: Vec<String> = (0..self.rng.usize(1..4))
            .map(|_| {
                let column = if columns.is_empty() || self.once_in(5) {
                    self.column_of(table)
                } else {
                    columns[self.rng.usize(..columns.len())].clone()
                };
                match self.rng.u32(..8) {
                    0 | 1 => format!("{column}({})", self.rng.u32(1..12)),
                    2 => format!("{column} DESC"),
                    _ => column,
                }
            })
            .collect();
        if self.once_in(15) { "((1 + 2))".to_owned() } else { format!("({})", parts.join(", ")) }
    }

    fn index(&mut self, table: &str, columns: &[String]) -> String {
        let parts = self.parts(table, columns);
        let name = if self.rng.bool() { String::new() } else { format!("`{}`", self.new_name()) };
        match self.rng.u32(..10) {
            0 | 1 => format!("PRIMARY KEY {parts}"),
            2..=5 => format!("{} {name} {parts}", self.one(&["UNIQUE", "UNIQUE KEY", "UNIQUE INDEX"])),
            6 => format!("CONSTRAINT {name} UNIQUE {parts}"),
            7 => format!("KEY {name} {parts} {}", self.one(&["", "USING BTREE", "COMMENT 'a, b'", "INVISIBLE"])),
            _ => format!("INDEX {name} {parts}"),
        }
    }

    fn create(&mut self, table: &str) -> String {
        if self.once_in(6) {
            let from = self.one(&TABLES);
            return format!("CREATE TABLE {table} LIKE {from}");
        }
        let names: Vec<String> = (0..self.rng.usize(1..7)).map(|_| self.new_name()).collect();
        let names: Vec<String> = names.iter().map(|name| self.spelt(name)).collect();
        let mut elements: Vec<String> = names.iter().map(|name| self.column(name)).collect();
        for _ in 0..self.rng.usize(..4) {
            elements.push(self.index(table, &names));
        }
        let option = match self.rng.u32(..4) {
            0 => format!(" {} {}", self.one(&["CHARSET", "DEFAULT CHARACTER SET =", "CHARACTER SET"]), self.charset()),
            1 => self
                .one(&[" ENGINE=MyISAM", " COMMENT 'CHARSET latin1'", " COLLATE latin1_bin", " ROW_FORMAT=DYNAMIC"])
                .to_owned(),
            _ => String::new(),
        };
        format!("CREATE TABLE {table} ({}){option}", elements.join(", "))
    }

    fn place(&mut self, table: &str) -> String {
        match self.rng.u32(..4) {
            0 => " FIRST".to_owned(),
            1 => format!(" AFTER {}", self.column_of(table)),
            _ => String::new(),
        }
    }

    fn clause(&mut self, table: &str) -> String {
        let fresh = self.new_name();
        let fresh = self.spelt(&fresh);
        let column = self.column_of(table);
        match self.rng.u32(..32) {
            0..=4 => format!("ADD {}{}{}", self.one(&["", "COLUMN "]), self.column(&fresh), self.place(table)),
            5 => {
                let second = self.new_name();
                let second = self.spelt(&second);
                format!(
                    "ADD ({}, {}, {})",
                    self.column(&fresh),
                    self.column(&second),
                    self.index(table, &[fresh, second])
                )
            }
            6..=8 => format!("DROP {}{column}", self.one(&["", "COLUMN "])),
            9..=11 => format!("MODIFY {}{}", self.column(&column), self.place(table)),
            12 | 13 => format!("CHANGE {column} {}{}", self.column(&fresh), self.place(table)),
            14..=16 => format!("RENAME COLUMN {column} TO {fresh}"),
            17 => format!("ALTER {column} SET DEFAULT {}", self.one(&["NULL", "'1'", "(1 + (2))"])),
            18 => self.one(&["DROP PRIMARY KEY", "FORCE", "COMMENT = 'DROP x, ADD y INT'", "ORDER BY 1"]).to_owned(),
            19 | 20 => format!("DROP {} {}", self.one(&["INDEX", "KEY", "CONSTRAINT"]), self.index_of(table)),
            21 => format!("RENAME INDEX {} TO {fresh}", self.index_of(table)),
            22..=26 => format!("ADD {}", self.index(table, &[])),
            27 => format!("CONVERT TO CHARACTER SET {}", self.charset()),
            28 | 29 => format!("DEFAULT CHARSET {}", self.charset()),
            30 => format!("ALTER COLUMN {column} SET {}", self.one(&["INVISIBLE", "VISIBLE"])),
            _ => self.one(&["ENGINE=InnoDB", "ALGORITHM=COPY", "ROW_FORMAT=DYNAMIC CHARSET utf8mb4"]).to_owned(),
        }
    }

    fn statement(&mut self) -> String {
        let table = self.one(&TABLES);
        if self.definition(table).is_none() {
            return self.create(table);
        }
        match self.rng.u32(..40) {
            0 => format!("DROP TABLE {table}"),
            1 => format!("RENAME TABLE {table} TO swap, {} TO {table}, swap TO {}", TABLES[0], TABLES[0]),
            2 => format!("RENAME TABLE {table} TO {}", self.one(&TABLES)),
            3 => format!("CREATE TABLE IF NOT EXISTS {table} (q INT)"),
            4 => format!("CREATE UNIQUE INDEX `{}` ON {table} {}", self.new_name(), self.parts(table, &[])),
            5 => format!("DROP INDEX {} ON {table}", self.index_of(table)),
            6 => {
                let charset = self.charset();
                format!("ALTER DATABASE {} CHARSET {charset}", self.database)
            }
            7 => format!("ALTER TABLE {table} CONVERT TO CHARACTER SET DEFAULT"),
            _ => {
                let clauses: Vec<String> = (0..self.rng.usize(1..5)).map(|_| self.clause(table)).collect();
                format!("ALTER TABLE {table} {}", clauses.join(", "))
            }
        }
    }
}

/// A database and what we make of it.
struct Judged {
    connection: Connection,
    database: String,
    session: Session,
    tables: Tables,
}

impl Judged {
    fn begin(options: &ConnectOptions, database: &str) -> Judged {
        let mut connection = Connection::connect(options).unwrap();
        connection.query("SET NAMES utf8mb4; SET sql_mode = 'ALLOW_INVALID_DATES'").unwrap();
        connection.query(&format!("DROP DATABASE IF EXISTS {database}")).unwrap();
        connection.query(&format!("CREATE DATABASE {database} CHARSET utf8mb4")).unwrap();
        connection.query(&format!("USE {database}")).unwrap();
        let server_charset = text(&mut connection, "SELECT @@character_set_server", 0);
        let session = Session {
            server: Server::of(&text(&mut connection, "SELECT VERSION()", 0)),
            client_charset: Some(Charset::Utf8mb4),
            connection_charset: Some(Charset::Utf8mb4),
            server_charset: Charset::from_name(&server_charset),
            server_collation: None,
            default_of_utf8mb4: None,
            explicit_timestamps: Some(true),
            sql_mode: 0,
            is_threads_own: false,
        };
        let mut tables = Tables::default();
        let of_database = text(
            &mut connection,
            &format!("SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{database}'"),
            0,
        );
        let of_database = TextDefault { charset: Some(Charset::Utf8mb4), collation: Some(of_database.into()) };
        tables.databases.insert(database.to_owned(), of_database);
        Judged { connection, database: database.to_owned(), session, tables }
    }

    /// False if the server has refused it.
    fn run(&mut self, statement: &str) -> bool {
        let is_done = self.connection.query(statement).is_ok();
        if is_done {
            self.tables.apply(statement, &self.database, &self.session);
        }
        is_done
    }

    /// What differs from the server. What is not understood is taken from there.
    fn difference(&mut self, not_understood: &mut u64, untold: &mut usize) -> Option<String> {
        let shown = self.connection.query("SHOW TABLES").unwrap();
        let mut found = None;
        for row in &shown[0].rows {
            let name = TableName::new(&self.database, std::str::from_utf8(row[0].as_ref().unwrap()).unwrap());
            // The server itself cannot show some labels that it has converted.
            let Ok(expected) = read_definition(&mut self.connection, &name, 1).unwrap() else {
                self.connection.query(&format!("DROP TABLE {}", name.table)).unwrap();
                assert!(matches!(self.tables.by_name.remove(&name), Some(Err(_))), "{name}");
                *not_understood += 1;
                continue;
            };
            let drawn = |definition: &Definition| drawn_of(definition, self.session.server.is_mariadb);
            let expected = Definition::of(&expected);
            match self.tables.by_name.get(&name) {
                Some(Ok(definition)) if drawn(definition) == drawn(&expected) => {
                    found = found.or(wrong_collation(definition, &expected)).or(wrong_engine(definition, &expected));
                    *untold += definition
                        .columns
                        .iter()
                        .filter(|column| column.charset.is_some() && column.collation.is_none())
                        .count();
                }
                Some(Ok(definition)) => {
                    found = Some(format!("{name}\n  server {}\n  we     {}", drawn(&expected), drawn(definition)));
                }
                Some(Err(_)) => {
                    *not_understood += 1;
                    self.tables.by_name.insert(name, Ok(expected));
                }
                None => found = Some(format!("{name} is missing")),
            }
        }
        let left = self.connection.query("SHOW TABLES").unwrap()[0].rows.len();
        if found.is_none() && left != self.tables.by_name.len() {
            found = Some("a table that is not there".to_owned());
        }
        found
    }
}

/// The statements without those that do not matter.
fn shortest(options: &ConnectOptions, database: &str, mut history: Vec<String>) -> Vec<String> {
    let differs = |history: &[String]| {
        let mut judged = Judged::begin(options, database);
        history.iter().for_each(|statement| _ = judged.run(statement));
        judged.difference(&mut 0, &mut 0).is_some()
    };
    let mut at = history.len();
    while at > 0 {
        at -= 1;
        let mut without = history.clone();
        without.remove(at);
        if differs(&without) {
            history = without;
        }
    }
    history
}

#[test]
fn definitions_stay_those_of_the_server_by_random_statements() {
    stay_those_of_the_server("TIDEGATE_TEST_MYSQL");
}

#[test]
fn definitions_stay_those_of_mariadb_by_random_statements() {
    stay_those_of_the_server("TIDEGATE_TEST_MARIADB");
    stay_those_of_the_server("TIDEGATE_TEST_MARIADB_11");
}

fn stay_those_of_the_server(name: &str) {
    let Some(options) = test_server::options(name) else { return };
    let variable = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<f64>().ok());
    let seed = std::env::var("TIDEGATE_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        // The same in each run, which proves the tree and not its luck: who looks for more gives other seeds, and more statements.
        .unwrap_or(1);
    println!("TIDEGATE_TEST_SEED={seed}");
    let count = (STATEMENTS as f64 * variable("TIDEGATE_TEST_SCALE").unwrap_or(1.0)) as u64;
    let mut rng = Rng::with_seed(seed);
    let database = format!("random_definitions_{}", std::process::id());
    let mut judged = Judged::begin(&options, &database);
    let (mut history, mut refused, mut not_understood, mut untold) = (Vec::new(), 0_u64, 0, 0);
    let mut done = 0;
    while done < count {
        let statement = {
            let is_mariadb = judged.session.server.is_mariadb;
            Random { rng: rng.fork(), tables: &judged.tables, database: &database, is_mariadb }.statement()
        };
        if !judged.run(&statement) {
            refused += 1;
            continue;
        }
        done += 1;
        history.push(statement);
        if let Some(difference) = judged.difference(&mut not_understood, &mut untold) {
            let shortest = shortest(&options, &database, history);
            panic!("{difference}\nby\n{}", shortest.join(";\n"));
        }
        // What is shown is short, and what is old has been right.
        if history.len() >= 150 {
            history.clear();
            judged = Judged::begin(&options, &database);
        }
    }
    judged.connection.query(&format!("DROP DATABASE {database}")).unwrap();
    println!(
        "{name}: {done} statements, {refused} refused, {not_understood} not understood; {untold} times a collation was untold"
    );
    // One in twenty, in the long run.
    assert!(not_understood * 6 <= done, "{not_understood} of {done} are not understood");
}
