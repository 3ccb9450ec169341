//! Random statements that alter a table, and what they leave to be excused.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;

use super::super::harness::Mysql;
use super::super::harness::mysql::error_code;
use super::{Columns, KEYS};

const DUPLICATE_KEY: u16 = 1062;
const LOCK_WAIT_TIMEOUT: u16 = 1205;
const DEADLOCK: u16 = 1213;
/// A default that no writer writes.
pub(super) const FILL: &str = "424242";
const OTHER_FILL: &str = "7";
/// No `n` is less and no key is as large, so that values show their column.
pub(super) const N_MIN: i64 = 10_000_000;

/// A column that came and may go.
#[derive(Clone, Debug)]
pub(super) struct Extra {
    /// The names that it has had, the present one last.
    pub(super) names: Vec<String>,
    /// Types that hold all its values, one after the other.
    pub(super) kind: ExtraKind,
    /// Its values are those of no other: see [`Altered::explains`].
    number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ExtraKind {
    Number,
    Text,
    Label,
    /// Of the row's other values: rows that were there have one that no event tells.
    Computed,
}

impl Extra {
    pub(super) fn name(&self) -> &str {
        self.names.last().expect("a column has a name")
    }

    /// An expression for values that are written to it.
    fn values(&self) -> String {
        match self.kind {
            ExtraKind::Label => "'a'".to_owned(),
            _ => format!("{} + id % 1000", self.number * 1000),
        }
    }
}

/// One table as the statements have made it, and what is excused.
pub(super) struct Altered {
    name: &'static str,
    pub(super) extras: Vec<Extra>,
    /// Of every name that an extra column ever had, with the column's number.
    kinds: BTreeMap<String, (ExtraKind, u64)>,
    /// `id` and `n` of rows that went without row events, as they were then.
    pub(super) gone: BTreeSet<(String, String)>,
    /// Keys of rows that came without, perhaps in the place of others.
    pub(super) came: BTreeSet<String>,
    indexes: Vec<String>,
    has_long_key: bool,
    counter: u64,
    /// Statements so far.
    pub(super) log: Vec<String>,
}

impl Altered {
    pub(super) fn new(name: &'static str) -> Altered {
        Altered {
            name,
            extras: Vec::new(),
            kinds: BTreeMap::new(),
            gone: BTreeSet::new(),
            came: BTreeSet::new(),
            indexes: Vec::new(),
            has_long_key: false,
            counter: 0,
            log: Vec::new(),
        }
    }

    fn fresh(&mut self, prefix: &str) -> String {
        self.counter += 1;
        format!("{prefix}{}", self.counter)
    }

    fn add(&mut self, kind: ExtraKind) -> (String, String) {
        let name = self.fresh("c");
        let definition = match kind {
            ExtraKind::Number => format!("{name} INT DEFAULT {FILL}"),
            ExtraKind::Text => format!("{name} VARCHAR(20) DEFAULT '{FILL}'"),
            ExtraKind::Label => format!("{name} ENUM('a', 'b', '{FILL}') DEFAULT '{FILL}'"),
            ExtraKind::Computed => format!("{name} BIGINT AS (n + 1) STORED"),
        };
        self.kinds.insert(name.clone(), (kind, self.counter));
        self.extras.push(Extra { names: vec![name.clone()], kind, number: self.counter });
        (name, definition)
    }

    /// The old name and a new one.
    fn rename(&mut self, index: usize) -> (String, String) {
        let (old, new) = (self.extras[index].name().to_owned(), self.fresh("r"));
        self.kinds.insert(new.clone(), (self.extras[index].kind, self.extras[index].number));
        self.extras[index].names.push(new.clone());
        (old, new)
    }

    /// A random statement; some are several. None if it does not fit the table as it is.
    pub(super) fn statement(&mut self, rng: &mut Rng, mysql: &mut Mysql) -> Option<Vec<String>> {
        let t = self.name;
        let is_mariadb = mysql.is_mariadb();
        let pick = |rng: &mut Rng, extras: &[Extra], kind: ExtraKind| {
            let of_kind: Vec<usize> = (0..extras.len()).filter(|&index| extras[index].kind == kind).collect();
            rng.choice(of_kind)
        };
        let simple = [ExtraKind::Number, ExtraKind::Text, ExtraKind::Label];
        let one = |sql: String| Some(vec![sql]);
        match rng.u32(..59) {
            0 | 1 => one(format!("ALTER TABLE {t} ADD COLUMN {}, ALGORITHM=INSTANT", self.add(rng.choice(simple)?).1)),
            2 => one(format!("ALTER TABLE {t} ADD COLUMN {} FIRST", self.add(rng.choice(simple)?).1)),
            3 => one(format!("ALTER TABLE {t} ADD COLUMN {} AFTER id", self.add(rng.choice(simple)?).1)),
            4 => {
                let (a, b) = (self.add(ExtraKind::Number).1, self.add(ExtraKind::Text).1);
                one(format!("ALTER TABLE {t} ADD COLUMN {a}, ADD COLUMN {b}"))
            }
            5 => one(format!("ALTER TABLE {t} ADD COLUMN {}", self.add(ExtraKind::Computed).1)),
            6 | 7 => {
                let (name, definition) = self.add(rng.choice(simple)?);
                let value = self.extras.last()?.values();
                Some(vec![
                    format!("ALTER TABLE {t} ADD COLUMN {definition}"),
                    format!("UPDATE {t} SET {name} = {value}"),
                ])
            }
            8 | 9 if !self.extras.is_empty() => {
                let extra = self.extras.remove(rng.usize(..self.extras.len()));
                one(format!("ALTER TABLE {t} DROP COLUMN {}", extra.name()))
            }
            10 if self.extras.len() > 1 => {
                let (a, b) = (self.extras.remove(0), self.extras.remove(0));
                one(format!("ALTER TABLE {t} DROP COLUMN {}, DROP COLUMN {}", a.name(), b.name()))
            }
            11 => {
                let index = pick(rng, &self.extras, ExtraKind::Number)?;
                one(format!("ALTER TABLE {t} MODIFY {} BIGINT DEFAULT {FILL}", self.extras[index].name()))
            }
            12 => {
                let index = pick(rng, &self.extras, ExtraKind::Number)?;
                one(format!("ALTER TABLE {t} MODIFY {} INT UNSIGNED DEFAULT {FILL}", self.extras[index].name()))
            }
            13 => {
                let index = pick(rng, &self.extras, ExtraKind::Text)?;
                let width = rng.choice([20, 60, 300])?;
                one(format!("ALTER TABLE {t} MODIFY {} VARCHAR({width}) DEFAULT '{FILL}'", self.extras[index].name()))
            }
            14 => {
                let index = pick(rng, &self.extras, ExtraKind::Text)?;
                let charset = rng.choice(["latin1", "utf8mb4", "ascii", "utf8mb3"])?;
                let name = self.extras[index].name();
                one(format!("ALTER TABLE {t} MODIFY {name} VARCHAR(60) CHARACTER SET {charset} DEFAULT '{FILL}'"))
            }
            15 => {
                let index = pick(rng, &self.extras, ExtraKind::Text)?;
                let place = rng.choice(["FIRST", "AFTER n", "AFTER id"])?;
                one(format!(
                    "ALTER TABLE {t} MODIFY {} VARCHAR(300) DEFAULT '{FILL}' {place}",
                    self.extras[index].name()
                ))
            }
            16 => {
                let index = pick(rng, &self.extras, ExtraKind::Number)?;
                let place = rng.choice(["FIRST", "AFTER n", "AFTER id"])?;
                one(format!("ALTER TABLE {t} MODIFY {} BIGINT DEFAULT {FILL} {place}", self.extras[index].name()))
            }
            17 => {
                let place = rng.choice(["FIRST", "AFTER id"])?;
                one(format!("ALTER TABLE {t} MODIFY n BIGINT NOT NULL {place}"))
            }
            18 | 19 => {
                let index = pick(rng, &self.extras, ExtraKind::Label)?;
                let labels = rng.choice([
                    format!("'z', 'a', 'b', '{FILL}'"),
                    format!("'{FILL}', 'b', 'a'"),
                    format!("'a', 'b', '{FILL}', 'c'"),
                    format!("'b', 'q', '{FILL}', 'a'"),
                ])?;
                one(format!("ALTER TABLE {t} MODIFY {} ENUM({labels}) DEFAULT '{FILL}'", self.extras[index].name()))
            }
            20 | 21 if !self.extras.is_empty() => {
                let index = rng.usize(..self.extras.len());
                let (old, new) = self.rename(index);
                one(format!("ALTER TABLE {t} RENAME COLUMN {old} TO {new}"))
            }
            22 => {
                let index = pick(rng, &self.extras, ExtraKind::Number)?;
                let (old, new) = self.rename(index);
                one(format!("ALTER TABLE {t} CHANGE {old} {new} BIGINT DEFAULT {FILL}"))
            }
            23 => {
                let name = self.fresh("i");
                self.indexes.push(name.clone());
                one(format!("ALTER TABLE {t} ADD INDEX {name} (n)"))
            }
            24 => {
                let name = self.fresh("i");
                self.indexes.push(name.clone());
                one(format!("CREATE UNIQUE INDEX {name} ON {t} (id, n)"))
            }
            25 if !self.indexes.is_empty() => {
                let name = self.indexes.swap_remove(rng.usize(..self.indexes.len()));
                one(format!("DROP INDEX {name} ON {t}"))
            }
            26 | 27 => {
                // The consumer here knows rows by `id`, which stays unique.
                self.has_long_key = !self.has_long_key;
                one(match self.has_long_key {
                    true => format!(
                        "ALTER TABLE {t} DROP PRIMARY KEY, ADD PRIMARY KEY (id, n), ADD UNIQUE KEY only_id (id)"
                    ),
                    false => format!("ALTER TABLE {t} DROP PRIMARY KEY, ADD PRIMARY KEY (id), DROP INDEX only_id"),
                })
            }
            28 => one(format!("ALTER TABLE {t} MODIFY id BIGINT NOT NULL")),
            29 => one(format!("ALTER TABLE {t} MODIFY id INT NOT NULL")),
            30 => one(format!("ALTER TABLE {t} ENGINE=InnoDB")),
            31 => one(format!("ALTER TABLE {t} FORCE, ALGORITHM=COPY")),
            32 => one(format!("OPTIMIZE TABLE {t}")),
            33 => one(format!("ALTER TABLE {t} COMMENT 'a; b'")),
            34 => one(format!("ALTER TABLE {t} CONVERT TO CHARACTER SET {}", rng.choice(["latin1", "utf8mb4"])?)),
            35 => one(format!("ALTER TABLE {t} DEFAULT CHARACTER SET {}", rng.choice(["latin1", "utf8mb4"])?)),
            36 => {
                let index = pick(rng, &self.extras, ExtraKind::Number)?;
                one(format!("ALTER TABLE {t} ALTER COLUMN {} SET DEFAULT {OTHER_FILL}", self.extras[index].name()))
            }
            37 if !self.extras.is_empty() && !is_mariadb => {
                let name = self.extras[rng.usize(..self.extras.len())].name().to_owned();
                let visible = rng.choice(["INVISIBLE", "VISIBLE"])?;
                one(format!("ALTER TABLE {t} ALTER COLUMN {name} SET {visible}"))
            }
            38 => {
                let index = pick(rng, &self.extras, ExtraKind::Number)?;
                one(format!("UPDATE {t} SET {} = {}", self.extras[index].name(), self.extras[index].values()))
            }
            39 => one(format!("UPDATE {t} SET n = n + 1000000 WHERE id % 7 = {}", rng.u32(..7))),
            40 => {
                self.rows_go(mysql, "");
                self.run(mysql, format!("TRUNCATE TABLE {t}"));
                one("UNLOCK TABLES".to_owned())
            }
            41 => {
                let name = self.fresh("gone");
                Some(vec![format!("RENAME TABLE {t} TO {name}"), format!("RENAME TABLE {name} TO {t}")])
            }
            // MariaDB renames no table that is locked.
            42 | 43 if is_mariadb => None,
            42 => {
                // As gh-ost does it, for what writers leave alone in the meantime.
                let (ghost, old) = self.beside(mysql, "_ghost");
                let columns = self.columns_before(mysql);
                self.run(mysql, format!("LOCK TABLES {t} WRITE, {ghost} WRITE"));
                self.run(mysql, format!("INSERT INTO {ghost} ({columns}) SELECT {columns} FROM {t}"));
                self.run(mysql, format!("RENAME TABLE {t} TO {old}, {ghost} TO {t}"));
                self.run(mysql, "UNLOCK TABLES".to_owned());
                one(format!("DROP TABLE {old}"))
            }
            43 => {
                // Another table takes its place, with other rows.
                let (other, old) = (self.fresh("_other"), self.fresh("_old"));
                self.run(mysql, format!("CREATE TABLE {other} LIKE {t}"));
                self.run(mysql, format!("INSERT IGNORE INTO {other} (id, n) {}", some_rows(900, 7)));
                self.rows_go(mysql, &format!(", {other} WRITE"));
                self.rows_come(mysql, &other);
                self.run(mysql, format!("RENAME TABLE {t} TO {old}, {other} TO {t}"));
                self.run(mysql, "UNLOCK TABLES".to_owned());
                one(format!("DROP TABLE {old}"))
            }
            44 | 45 => {
                // As pt-online-schema-change does it: triggers write to the new table what writers write to the old one.
                let (new, old) = self.beside(mysql, "_new");
                let columns = self.columns_before(mysql);
                let values = columns.split(',').map(|column| format!("NEW.{column}")).collect::<Vec<_>>().join(", ");
                let replace = format!("REPLACE INTO {new} ({columns}) VALUES ({values})");
                let delete = format!("DELETE IGNORE FROM {new} WHERE {new}.id <=> OLD.id");
                for (event, action) in [
                    ("DELETE", delete.clone()),
                    ("UPDATE", format!("BEGIN {delete} AND NOT OLD.id <=> NEW.id; {replace}; END")),
                    ("INSERT", replace),
                ] {
                    self.run(mysql, format!("CREATE TRIGGER {new}_{event} AFTER {event} ON {t} FOR EACH ROW {action}"));
                }
                for from in (0..2 * KEYS).step_by(1000) {
                    let range = format!("id BETWEEN {from} AND {}", from + 999);
                    self.run(
                        mysql,
                        format!(
                            "INSERT IGNORE INTO {new} ({columns}) SELECT {columns} FROM {t} WHERE {range} LOCK IN SHARE MODE"
                        ),
                    );
                }
                Some(vec![format!("RENAME TABLE {t} TO {old}, {new} TO {t}"), format!("DROP TABLE {old}")])
            }
            46 | 47 => {
                // Dropped and made again: as it was, or with nothing of what was added.
                let (_, definition): (String, String) = mysql.query_one(&format!("SHOW CREATE TABLE {t}"));
                self.rows_go(mysql, "");
                self.run(mysql, format!("DROP TABLE {t}"));
                self.run(mysql, "UNLOCK TABLES".to_owned());
                let definition = if rng.bool() {
                    definition
                } else {
                    (self.extras, self.indexes, self.has_long_key) = (Vec::new(), Vec::new(), false);
                    let (_, extra) = self.add(rng.choice(simple)?);
                    format!("CREATE TABLE {t} (n BIGINT NOT NULL, {extra}, id BIGINT PRIMARY KEY)")
                };
                Some(vec![definition, format!("INSERT IGNORE INTO {t} (id, n) {}", some_rows(400, 11))])
            }
            48 => one(format!("ALTER TABLE {t} {PARTITIONS}")),
            49 => {
                partitions(mysql, t).first()?;
                one(format!("ALTER TABLE {t} REMOVE PARTITIONING"))
            }
            50 => {
                let partitions = partitions(mysql, t);
                let [.., before_last, last] = &partitions[..] else { return None };
                let name = self.fresh("p");
                one(format!(
                    "ALTER TABLE {t} REORGANIZE PARTITION {before_last}, {last} INTO (PARTITION {name} VALUES LESS THAN MAXVALUE)"
                ))
            }
            kind @ 51..59 => {
                let partitions = partitions(mysql, t);
                let partition = rng.choice(&partitions)?;
                let action = match kind {
                    51..53 => "DROP",
                    53..55 => "TRUNCATE",
                    _ => return self.exchange(mysql, partition),
                };
                if action == "DROP" && partitions.len() == 1 {
                    return None;
                }
                self.rows_of_partition_go(mysql, partition, "");
                self.run(mysql, format!("ALTER TABLE {t} {action} PARTITION {partition}"));
                one("UNLOCK TABLES".to_owned())
            }
            _ => None,
        }
    }

    /// Whether a row can have been of this table at some time: each value under a name of its column.
    pub(super) fn explains(&self, columns: &Columns) -> bool {
        let number = |name: &str| columns.get(name)?.as_ref()?.parse::<i64>().ok();
        let (Some(id), Some(n)) = (number("id"), number("n")) else { return false };
        let mut extras = columns.iter().filter(|(name, _)| *name != "id" && *name != "n");
        let is_extra = |(name, value): (&String, &Option<String>)| {
            let (Some((kind, column)), Some(value)) = (self.kinds.get(name), value) else { return false };
            let is_of_column = || value.parse().is_ok_and(|value: u64| value / 1000 == *column);
            match kind {
                ExtraKind::Number => is_of_column() || value == FILL || value == OTHER_FILL,
                ExtraKind::Text => is_of_column() || value == FILL,
                ExtraKind::Label => matches!(&**value, "a" | "b" | "c" | "q" | "z" | FILL),
                ExtraKind::Computed => number(name) == Some(n + 1),
            }
        };
        id < N_MIN && n >= N_MIN && extras.all(is_extra)
    }

    /// Another table becomes a partition, and the partition that table.
    fn exchange(&mut self, mysql: &mut Mysql, partition: &str) -> Option<Vec<String>> {
        let (t, other) = (self.name, self.fresh("_other"));
        // Columns that were added in an instant, no other table has.
        self.run(mysql, format!("ALTER TABLE {t} FORCE"));
        self.run(mysql, format!("CREATE TABLE {other} LIKE {t}"));
        self.run(mysql, format!("ALTER TABLE {other} REMOVE PARTITIONING"));
        self.run(mysql, format!("INSERT INTO {other} (id, n) {}", some_rows(400, 13)));
        // What does not belong there.
        self.run(mysql, format!("CREATE TABLE {other}_all LIKE {t}"));
        let columns = self.columns_before(mysql);
        self.run(mysql, format!("INSERT IGNORE INTO {other}_all ({columns}) SELECT {columns} FROM {other}"));
        self.run(
            mysql,
            format!("DELETE FROM {other} WHERE id NOT IN (SELECT id FROM {other}_all PARTITION ({partition}))"),
        );
        self.run(mysql, format!("DROP TABLE {other}_all"));
        self.rows_of_partition_go(mysql, partition, &format!(", {other} WRITE"));
        self.rows_come(mysql, &other);
        self.run(mysql, format!("ALTER TABLE {t} EXCHANGE PARTITION {partition} WITH TABLE {other}"));
        Some(vec!["UNLOCK TABLES".to_owned(), format!("DROP TABLE {other}")])
    }

    /// A table of the same columns and one more, and a name for the table that it replaces.
    fn beside(&mut self, mysql: &mut Mysql, prefix: &str) -> (String, String) {
        let (t, new, old) = (self.name, self.fresh(prefix), self.fresh("_old"));
        self.run(mysql, format!("CREATE TABLE {new} LIKE {t}"));
        let (_, definition) = self.add(ExtraKind::Number);
        self.run(mysql, format!("ALTER TABLE {new} ADD COLUMN {definition}"));
        (new, old)
    }

    /// All columns that can be written, as a list.
    fn columns_before(&self, mysql: &mut Mysql) -> String {
        mysql.query_one(&format!(
            "SELECT GROUP_CONCAT(CONCAT('`', COLUMN_NAME, '`') ORDER BY ORDINAL_POSITION) FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = DATABASE() AND IFNULL(GENERATION_EXPRESSION, '') = '' AND TABLE_NAME = '{}'",
            self.name
        ))
    }

    /// Runs a statement beside the writers, who may be in its way.
    pub(super) fn run(&mut self, mysql: &mut Mysql, statement: String) {
        while let Err(error) = mysql.try_run(&statement) {
            let is_by_writers = matches!(error_code(&error), Some(DUPLICATE_KEY | LOCK_WAIT_TIMEOUT | DEADLOCK));
            assert!(is_by_writers, "{error}: {statement}\n{:#?}", self.log);
        }
        self.log.push(statement);
    }

    /// Locks the table: all of its rows will go, without row events.
    fn rows_go(&mut self, mysql: &mut Mysql, and_locks: &str) {
        self.run(mysql, format!("LOCK TABLES {} WRITE{and_locks}", self.name));
        let rows = format!("SELECT CAST(id AS CHAR), CAST(n AS CHAR) FROM {}", self.name);
        self.gone.extend(mysql.query::<(String, String)>(&rows));
    }

    /// The same of a partition's rows.
    fn rows_of_partition_go(&mut self, mysql: &mut Mysql, partition: &str, and_locks: &str) {
        self.run(mysql, format!("LOCK TABLES {} WRITE{and_locks}", self.name));
        let rows = format!("SELECT CAST(id AS CHAR), CAST(n AS CHAR) FROM {} PARTITION ({partition})", self.name);
        self.gone.extend(mysql.query::<(String, String)>(&rows));
    }

    fn rows_come(&mut self, mysql: &mut Mysql, from: &str) {
        self.came.extend(mysql.query::<u64>(&format!("SELECT id FROM {from}")).iter().map(u64::to_string));
    }
}

pub(super) const PARTITIONS: &str = "PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (1500), \
                                     PARTITION b VALUES LESS THAN (4000), PARTITION c VALUES LESS THAN MAXVALUE)";

/// Their names.
fn partitions(mysql: &mut Mysql, table: &str) -> Vec<String> {
    mysql.query(&format!(
        "SELECT PARTITION_NAME FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}' \
         AND PARTITION_NAME IS NOT NULL ORDER BY PARTITION_ORDINAL_POSITION"
    ))
}

/// A query of so many rows, whose keys are so far apart.
fn some_rows(count: u64, step: u64) -> String {
    format!(
        "WITH RECURSIVE s AS (SELECT 1 AS s UNION ALL SELECT s + 1 FROM s WHERE s < {count}) \
         SELECT s * {step}, s + {N_MIN} FROM s"
    )
}
