//! The tables that writers write to: one for each kind of key.
//!
//! All of them have the columns
//!
//! ```text
//!   key columns …   v       note          amount         further columns …
//!                   BIGINT  VARCHAR(200)  DECIMAL(10,2)
//!                     └─ version: grows with every change of the row, and a new row under an old key begins higher.
//! ```
//!
//! The version is what order is judged by. An update adds one; an insert, and an update which moves a row to another key,
//! take the server's clock in microseconds, which no number of updates catches up with.

use fastrand::Rng;

use super::mysql::Mysql;

/// How a column's value looks in a message, for the server to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As the server's own text.
    Text,
    /// Bytes as ISO-8859-1.
    Bytes,
    /// ENUM and SET: number or label, as the format says.
    Label,
    /// With digits after the second.
    Time,
}

pub(crate) struct Column {
    pub(crate) name: &'static str,
    ddl: &'static str,
    pub(crate) form: Form,
}

const fn text(name: &'static str, ddl: &'static str) -> Column {
    Column { name, ddl, form: Form::Text }
}

pub(crate) struct Table {
    pub(crate) name: &'static str,
    kind: KeyKind,
    /// What identifies a row: the key or, in a table that has none, a random number that is never given twice.
    pub(crate) key: &'static [Column],
    more: &'static [Column],
    constraint: &'static str,
    /// Names of the primary key, as `pkNames` has them.
    pub(crate) primary_key: Option<&'static [&'static str]>,
    /// Keys are made from 0..keys.
    pub(crate) keys: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyKind {
    Int,
    BigintUnsigned,
    Text,
    Composite,
    Binary,
    Decimal,
    Datetime,
    Unique,
    Keyless,
    Plain,
    Big,
}

const COMMON: [Column; 3] =
    [text("v", "BIGINT NOT NULL"), text("note", "VARCHAR(200)"), text("amount", "DECIMAL(10,2)")];

/// Gaps, negative numbers.
pub(crate) const INT: Table = Table {
    name: "t_int",
    kind: KeyKind::Int,
    key: &[text("id", "INT")],
    more: &[],
    constraint: "PRIMARY KEY (id)",
    primary_key: Some(&["id"]),
    keys: 4000,
};

/// Both sides of 2^63.
pub(crate) const BIGINT_UNSIGNED: Table = Table {
    name: "t_bigint_unsigned",
    kind: KeyKind::BigintUnsigned,
    key: &[text("id", "BIGINT UNSIGNED")],
    more: &[Column { name: "at", ddl: "DATETIME(3)", form: Form::Time }],
    constraint: "PRIMARY KEY (id)",
    primary_key: Some(&["id"]),
    keys: 2000,
};

/// Its collation takes different texts for the same key.
pub(crate) const TEXT: Table = Table {
    name: "t_text",
    kind: KeyKind::Text,
    key: &[text("code", "VARCHAR(40) COLLATE utf8mb4_0900_ai_ci")],
    more: &[],
    constraint: "PRIMARY KEY (code)",
    primary_key: Some(&["code"]),
    keys: 2000,
};

pub(crate) const COMPOSITE: Table = Table {
    name: "t_composite",
    kind: KeyKind::Composite,
    key: &[text("shop", "INT"), text("sku", "VARCHAR(20) COLLATE utf8mb4_bin")],
    more: &[],
    constraint: "PRIMARY KEY (shop, sku)",
    primary_key: Some(&["shop", "sku"]),
    keys: 2000,
};

/// Some keys end in zero bytes, which the binlog leaves out.
pub(crate) const BINARY: Table = Table {
    name: "t_binary",
    kind: KeyKind::Binary,
    key: &[Column { name: "id", ddl: "BINARY(16)", form: Form::Bytes }],
    more: &[Column { name: "content", ddl: "VARBINARY(60)", form: Form::Bytes }],
    constraint: "PRIMARY KEY (id)",
    primary_key: Some(&["id"]),
    keys: 2000,
};

pub(crate) const DECIMAL: Table = Table {
    name: "t_decimal",
    kind: KeyKind::Decimal,
    key: &[text("id", "DECIMAL(14,3)")],
    more: &[],
    constraint: "PRIMARY KEY (id)",
    primary_key: Some(&["id"]),
    keys: 2000,
};

pub(crate) const DATETIME: Table = Table {
    name: "t_datetime",
    kind: KeyKind::Datetime,
    key: &[Column { name: "at", ddl: "DATETIME(6)", form: Form::Time }],
    more: &[],
    constraint: "PRIMARY KEY (at)",
    primary_key: Some(&["at"]),
    keys: 2000,
};

/// No primary key, but a unique one that serves.
pub(crate) const UNIQUE: Table = Table {
    name: "t_unique",
    kind: KeyKind::Unique,
    key: &[text("code", "CHAR(12) CHARACTER SET latin1 NOT NULL")],
    more: &[],
    constraint: "UNIQUE KEY by_code (code)",
    primary_key: None,
    keys: 2000,
};

/// Nothing that the engine could take for a key.
pub(crate) const KEYLESS: Table = Table {
    name: "t_keyless",
    kind: KeyKind::Keyless,
    key: &[text("tag", "BIGINT")],
    more: &[],
    constraint: "KEY by_tag (tag)",
    primary_key: None,
    keys: 2000,
};

/// ENUM, SET and JSON.
pub(crate) const LABELS: Table = Table {
    name: "t_labels",
    kind: KeyKind::Plain,
    key: &[text("id", "INT")],
    more: &[
        Column { name: "state", ddl: "ENUM('new', 'paid', 'it''s, done')", form: Form::Label },
        Column { name: "colours", ddl: "SET('red', 'green', 'blue')", form: Form::Label },
        text("document", "JSON"),
    ],
    constraint: "PRIMARY KEY (id)",
    primary_key: Some(&["id"]),
    keys: 2000,
};

/// The one with many rows; each test says how many.
pub(crate) const BIG: Table = Table {
    name: "t_big",
    kind: KeyKind::Big,
    key: &[text("id", "BIGINT")],
    more: &[],
    constraint: "PRIMARY KEY (id)",
    primary_key: Some(&["id"]),
    keys: 0,
};

pub(crate) const ALL: [&Table; 11] =
    [&INT, &BIGINT_UNSIGNED, &TEXT, &COMPOSITE, &BINARY, &DECIMAL, &DATETIME, &UNIQUE, &KEYLESS, &LABELS, &BIG];

impl Table {
    pub(crate) fn columns(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().chain(&COMMON).chain(self.more)
    }

    pub(crate) fn column_names(&self) -> Vec<&'static str> {
        self.columns().map(|column| column.name).collect()
    }

    pub(crate) fn create(&self, mysql: &mut Mysql) {
        // MariaDB has other collations of the kind, and the oldest server neither them nor documents.
        let is_oldest = mysql.is_oldest();
        let collation = if is_oldest || mysql.is_mariadb() { "utf8mb4_unicode_ci" } else { "utf8mb4_0900_ai_ci" };
        let document = if is_oldest { "LONGTEXT" } else { "JSON" };
        let ddl = |column: &Column| column.ddl.replace("utf8mb4_0900_ai_ci", collation).replace("JSON", document);
        let columns: Vec<_> = self.columns().map(|column| format!("{} {}", column.name, ddl(column))).collect();
        mysql.run(format!("CREATE TABLE {} ({}, {})", self.name, columns.join(", "), self.constraint));
    }

    /// Every second key, of `keys`.
    pub(crate) fn fill(&self, mysql: &mut Mysql, rng: &mut Rng, keys: u64) {
        let numbers: Vec<u64> = (0..keys).step_by(2).collect();
        for numbers in numbers.chunks(1000) {
            let rows: Vec<_> = numbers.iter().map(|&number| self.values(rng, number)).collect();
            mysql.run(format!("INSERT INTO {} VALUES {}", self.name, rows.join(", ")));
        }
    }

    /// `(key, version, …)` as SQL.
    fn values(&self, rng: &mut Rng, number: u64) -> String {
        let mut values = self.key_literals(rng, number);
        values.push(NEW_VERSION.to_owned());
        values.push(note(rng));
        values.push(amount(rng));
        values.extend(self.more.iter().map(|column| self.more_literal(rng, column)));
        format!("({})", values.join(", "))
    }

    fn more_literal(&self, rng: &mut Rng, column: &Column) -> String {
        if rng.u8(..8) == 0 {
            return "NULL".to_owned();
        }
        match column.name {
            "at" => format!(
                "TIMESTAMPADD(MICROSECOND, {}, TIMESTAMP'1970-01-01 00:00:00')",
                rng.u64(..4_000_000_000_000) * 1000
            ),
            "content" => hex((0..rng.usize(..60)).map(|_| rng.u8(..))),
            "state" => rng.u8(1..4).to_string(),
            "colours" => rng.u8(..8).to_string(),
            "document" => format!(
                r#"'{{"b": {}, "a": [1.5, null, true, "text é"], "long key": "{}"}}'"#,
                rng.i64(..),
                "x".repeat(rng.usize(..30))
            ),
            other => unreachable!("column {other}"),
        }
    }

    fn key_literals(&self, rng: &mut Rng, number: u64) -> Vec<String> {
        // An odd factor of 2^32 or less visits each number once: gaps of all sizes, in no order.
        let scattered = number.wrapping_mul(2_654_435_761) & 0xffff_ffff;
        vec![match self.kind {
            KeyKind::Int => format!("{}", scattered as u32 as i32),
            KeyKind::BigintUnsigned => format!("{}", (1_u64 << 63) - 1_000_000_007_000 + number * 1_000_000_007),
            KeyKind::Text => {
                // The same key to the collation, whichever way it is written.
                let word = ["key", "Key", "KEY", "k\u{e9}y"][rng.usize(..4)];
                format!("'{word}-{number}'")
            }
            KeyKind::Composite => return vec![format!("{}", number % 40), format!("'sku-{}'", number / 40)],
            KeyKind::Binary => {
                let mut bytes = [0; 16];
                bytes[..4].copy_from_slice(&(scattered as u32).to_be_bytes());
                if !number.is_multiple_of(3) {
                    bytes[12..].copy_from_slice(&(scattered as u32).to_le_bytes());
                }
                hex(bytes)
            }
            KeyKind::Decimal => format!("{}.{:03}", scattered as u32 as i32, number % 1000),
            KeyKind::Datetime => {
                format!("TIMESTAMPADD(MICROSECOND, {}, TIMESTAMP'2001-01-01 00:00:00')", number * 12_345_678_901)
            }
            KeyKind::Unique => format!("'c-{number}'"),
            KeyKind::Keyless => format!("{}", rng.u64(..1 << 62)),
            KeyKind::Plain | KeyKind::Big => format!("{}", number * 3),
        }]
    }

    fn condition(&self, rng: &mut Rng, number: u64) -> String {
        if self.kind == KeyKind::Keyless {
            // Any row: nobody knows the tags.
            return format!("tag >= {} ORDER BY tag LIMIT 1", rng.u64(..1 << 62));
        }
        let literals = self.key_literals(rng, number);
        let equal: Vec<_> =
            self.key.iter().zip(literals).map(|(key, literal)| format!("{} = {literal}", key.name)).collect();
        equal.join(" AND ")
    }

    /// One statement of a random transaction. It may find no row, or fail because the key is taken.
    pub(crate) fn random_statement(&self, rng: &mut Rng, keys: u64) -> String {
        let table = self.name;
        let number = rng.u64(..keys);
        match rng.u8(..20) {
            0..5 => format!("INSERT INTO {table} VALUES {}", self.values(rng, number)),
            5 => {
                let rows: Vec<_> = (0..rng.u64(2..20)).map(|n| self.values(rng, (number + n) % keys)).collect();
                format!("INSERT IGNORE INTO {table} VALUES {}", rows.join(", "))
            }
            // No REPLACE: it takes its version before it waits for the row's lock.
            6 => format!(
                "INSERT INTO {table} VALUES {} ON DUPLICATE KEY UPDATE v = v + 1, note = {}",
                self.values(rng, number),
                note(rng)
            ),
            7..10 => {
                // Away from here to another key, or to the same key written in another way.
                let to = if rng.bool() { number } else { rng.u64(..keys) };
                let to = self.key_literals(rng, to);
                let set: Vec<_> =
                    self.key.iter().zip(to).map(|(key, literal)| format!("{} = {literal}", key.name)).collect();
                format!(
                    "UPDATE {table} SET {}, v = {NEW_VERSION} WHERE {}",
                    set.join(", "),
                    self.condition(rng, number)
                )
            }
            10..13 => format!("DELETE FROM {table} WHERE {}", self.condition(rng, number)),
            13 => format!("UPDATE {table} SET v = v + 1, amount = {} WHERE {}", amount(rng), self.range(number)),
            _ => {
                let mut set = format!("v = v + 1, note = {}", note(rng));
                if let Some(column) = rng.choice(self.more) {
                    let value = match column.name {
                        // Of MySQL alone that has documents: one part of it, which is what the binlog may have then.
                        "document" if rng.bool() => {
                            format!("/*!50708 JSON_SET( */ document /*!50708 , '$.b', {}) */", rng.i64(..))
                        }
                        _ => self.more_literal(rng, column),
                    };
                    set = format!("{set}, {} = {value}", column.name);
                }
                format!("UPDATE {table} SET {set} WHERE {}", self.condition(rng, number))
            }
        }
    }

    /// A few neighbours.
    fn range(&self, number: u64) -> String {
        match self.kind {
            KeyKind::Plain | KeyKind::Big => format!("id BETWEEN {} AND {}", number * 3, number * 3 + 60),
            KeyKind::Composite => format!("shop = {} AND sku < 'sku-2'", number % 40),
            _ => {
                let mut rng = Rng::with_seed(number);
                self.condition(&mut rng, number)
            }
        }
    }
}

const NEW_VERSION: &str = "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)";

fn note(rng: &mut Rng) -> String {
    const WORDS: [&str; 8] = ["tide", "gate\t", "\"quoted\"", "back\\slash", "naïve", "潮", "🌊", "line\nend"];
    if rng.u8(..6) == 0 {
        return "NULL".to_owned();
    }
    let text: Vec<&str> = (0..rng.usize(..6)).map(|_| WORDS[rng.usize(..WORDS.len())]).collect();
    format!("CONVERT({} USING utf8mb4)", hex(text.join(" ").into_bytes()))
}

fn amount(rng: &mut Rng) -> String {
    format!("{}.{:02}", rng.i32(-99_999..99_999), rng.u8(..100))
}

fn hex(bytes: impl IntoIterator<Item = u8>) -> String {
    let digits: String = bytes.into_iter().map(|byte| format!("{byte:02x}")).collect();
    format!("X'{digits}'")
}
