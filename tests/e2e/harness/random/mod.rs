//! Random tables: columns of every type that MySQL has, keys of most of them, and statements that fill and change the rows.
//!
//! Each table has a column `tag` whose number is never given twice and never changes: by it a row is known through all
//! changes, also of its key. A key has one column that makes it unique, by numbers too:
//!
//! ```text
//! my_row_id              tag   c01      c02     c03
//! the server's, where    1     40503x…  …       a generated
//! a table has no key     2     15470x…  …       column
//!                               └─ numbered; c02 may belong to the key as well
//! ```
//!
//! Everything is chosen from the generator of random numbers that is passed in, so that a seed gives the same tables and
//! statements again. What a statement makes of a row, only the server says: see [`printed`].

mod json;
pub(crate) mod printed;
mod text;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use fastrand::Rng;

use super::mysql::{Mysql, error_code};
use text::Charset;
pub(crate) use text::charsets;
pub(crate) use types::Nature;
use types::RandomType;

pub(crate) struct RandomTable {
    pub(crate) name: String,
    /// As a row image has them.
    pub(crate) columns: Vec<RandomColumn>,
    /// Indexes of columns, in the key's order.
    pub(crate) key: Vec<usize>,
    pub(crate) key_kind: KeyKind,
    rows: BTreeSet<Tag>,
    written: BTreeMap<Tag, Literals>,
    next_tag: Tag,
    next_number: u64,
}

pub(crate) type Tag = u64;
/// What was written to a row, for each column: by its insert, then by updates.
type Literals = Vec<Vec<String>>;

pub(crate) struct RandomColumn {
    pub(crate) name: String,
    pub(crate) sql_type: RandomType,
    role: Role,
    nullable: bool,
    invisible: bool,
}

enum Role {
    Tag,
    /// Makes the key unique.
    Numbered,
    Data,
    /// From `tag` or from the column that `of` names.
    Generated {
        expression: String,
        of: Option<String>,
    },
    /// The key that the server adds.
    RowId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Primary,
    Unique,
    None,
    /// The server's own: `my_row_id`.
    Invisible,
}

/// Of a row or an index that is too long.
const TOO_BIG_ROW: u16 = 1118;

impl RandomTable {
    pub(crate) fn random(rng: &mut Rng, name: String, charsets: &[Rc<Charset>]) -> RandomTable {
        let mut columns = vec![RandomColumn::tag()];
        let data = match rng.u8(..8) {
            0..4 => rng.usize(..8),
            4..7 => rng.usize(8..30),
            // Beyond the 64 bits of a word.
            _ => rng.usize(60..75),
        };
        for _ in 0..data {
            let sql_type = RandomType::random(rng, charsets);
            columns.push(RandomColumn::data(rng, sql_type));
        }
        // None of them is made of another one, which would have to stand before it.
        let generated: Vec<_> = (0..rng.usize(..4)).map(|_| RandomColumn::generated(rng, &columns, charsets)).collect();
        columns.extend(generated);
        let key_kind = pick(
            rng,
            &[KeyKind::Primary, KeyKind::Primary, KeyKind::Primary, KeyKind::Unique, KeyKind::None, KeyKind::Invisible],
        );
        let mut key_names = Vec::new();
        if matches!(key_kind, KeyKind::Primary | KeyKind::Unique) {
            if rng.u8(..4) == 0 {
                key_names.push(TAG.to_owned());
            } else {
                let numbered = RandomColumn::numbered(rng, charsets);
                key_names.push(numbered.name.clone());
                columns.push(numbered);
            }
            for column in &mut columns {
                let is_data = matches!(column.role, Role::Data) && column.sql_type.can_be_key();
                if is_data && key_names.len() < 4 && rng.u8(..6) == 0 {
                    column.nullable = false;
                    key_names.push(column.name.clone());
                }
            }
            rng.shuffle(&mut key_names);
        }
        rng.shuffle(&mut columns);
        if key_kind == KeyKind::Invisible {
            columns.insert(0, RandomColumn::row_id());
            key_names.push(ROW_ID.to_owned());
        }
        let mut table = RandomTable {
            name,
            columns,
            key: Vec::new(),
            key_kind,
            rows: BTreeSet::new(),
            written: BTreeMap::new(),
            next_tag: 1,
            next_number: 1,
        };
        table.key = table.indexes(&key_names);
        table
    }

    /// The column of another table alone, beside the tag, which is the key.
    pub(crate) fn of_one(name: &str, column: &RandomColumn) -> RandomTable {
        let column = RandomColumn {
            name: column.name.clone(),
            sql_type: column.sql_type.clone(),
            role: Role::Data,
            nullable: true,
            invisible: false,
        };
        RandomTable {
            name: name.to_owned(),
            columns: vec![RandomColumn::tag(), column],
            key: vec![0],
            key_kind: KeyKind::Primary,
            rows: BTreeSet::new(),
            written: BTreeMap::new(),
            next_tag: 1,
            next_number: 1,
        }
    }

    fn indexes(&self, names: &[String]) -> Vec<usize> {
        let index = |name: &String| {
            self.columns.iter().position(|column| column.name == *name).expect("a column of this table")
        };
        names.iter().map(index).collect()
    }

    pub(crate) fn tag_index(&self) -> usize {
        self.columns.iter().position(|column| matches!(column.role, Role::Tag)).expect("every table has one")
    }

    pub(crate) fn column_names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// Also `like_name`, a table of the same definition without rows.
    pub(crate) fn create(&mut self, mysql: &mut Mysql, like_name: &str) {
        let invisible_key = self.key_kind == KeyKind::Invisible;
        mysql.run(format!("SET sql_generate_invisible_primary_key = {invisible_key}"));
        loop {
            match mysql.try_run(&self.definition()) {
                Ok(()) => break,
                Err(error) if error_code(&error) == Some(TOO_BIG_ROW) => self.shed(),
                Err(error) => panic!("{error}\n{}", self.definition()),
            }
        }
        mysql.run(format!("CREATE TABLE {like_name} LIKE {}", self.name));
    }

    pub(crate) fn definition(&self) -> String {
        let columns = self.columns.iter().filter(|column| !matches!(column.role, Role::RowId));
        let mut parts: Vec<String> = columns.map(RandomColumn::definition).collect();
        let key: Vec<_> = self.key.iter().map(|&index| quote(&self.columns[index].name)).collect();
        match self.key_kind {
            KeyKind::Primary => parts.push(format!("PRIMARY KEY ({})", key.join(", "))),
            KeyKind::Unique => parts.push(format!("UNIQUE KEY ({})", key.join(", "))),
            KeyKind::None | KeyKind::Invisible => {}
        }
        format!("CREATE TABLE {} ({})", self.name, parts.join(", "))
    }

    /// Half of the columns that it can do without.
    fn shed(&mut self) {
        let key_names: Vec<String> = self.key.iter().map(|&index| self.columns[index].name.clone()).collect();
        let mut index = 0;
        self.columns.retain(|column| {
            index += 1;
            index % 2 == 0 || !matches!(column.role, Role::Data) || key_names.contains(&column.name)
        });
        let names: Vec<String> = self.column_names().map(str::to_owned).collect();
        self.columns.retain(|column| match &column.role {
            Role::Generated { of: Some(of), .. } => names.contains(of),
            _ => true,
        });
        self.key = self.indexes(&key_names);
    }

    /// New rows in statements of many rows each.
    pub(crate) fn insert(&mut self, rng: &mut Rng, count: u64) -> Vec<String> {
        const STATEMENT_BYTES: usize = 1 << 20;
        let mut statements = Vec::new();
        let mut values = String::new();
        for row in 0..count {
            let tag = self.next_tag;
            self.next_tag += 1;
            let literals: Literals =
                (0..self.columns.len()).map(|index| self.new_literal(rng, index, tag).into_iter().collect()).collect();
            let values_of_row: Vec<&str> = literals.iter().flatten().map(String::as_str).collect();
            values += if values.is_empty() { "" } else { ", " };
            values += &format!("({})", values_of_row.join(", "));
            self.rows.insert(tag);
            self.written.insert(tag, literals);
            if values.len() > STATEMENT_BYTES || row + 1 == count || rng.u8(..50) == 0 {
                statements.push(format!("{} VALUES {values}", self.insert_into(&self.name)));
                values.clear();
            }
        }
        statements
    }

    /// Of a table of one column: a row with this literal.
    pub(crate) fn insert_one(&mut self, literal: &str) -> String {
        let tag = self.next_tag;
        self.next_tag += 1;
        format!("{} VALUES ({tag}, {literal})", self.insert_into(&self.name))
    }

    /// Of a table of one column: this literal in all rows.
    pub(crate) fn update_all(&self, literal: &str) -> String {
        format!("UPDATE {} SET {} = {literal}", self.name, quote(&self.columns[1].name))
    }

    /// Everything that was written to a value, in order; nothing to one that the server makes.
    pub(crate) fn written(&self, tag: Tag, column: usize) -> &[String] {
        self.written.get(&tag).map_or(&[], |literals| &literals[column])
    }

    fn insert_into(&self, name: &str) -> String {
        format!("INSERT INTO {name} ({})", self.written_columns(false))
    }

    /// All rows into the table that [`RandomTable::create`] has made beside it.
    pub(crate) fn copy(&self, like_name: &str) -> String {
        // The server's own key too: the rows shall be equal.
        let columns = self.written_columns(true);
        format!("INSERT INTO {like_name} ({columns}) SELECT {columns} FROM {}", self.name)
    }

    fn written_columns(&self, with_row_id: bool) -> String {
        let columns = self.columns.iter().filter(|column| match column.role {
            Role::Tag | Role::Numbered | Role::Data => true,
            Role::Generated { .. } => false,
            Role::RowId => with_row_id,
        });
        columns.map(|column| quote(&column.name)).collect::<Vec<_>>().join(", ")
    }

    /// `None` for a column that is not written.
    fn new_literal(&mut self, rng: &mut Rng, index: usize, tag: Tag) -> Option<String> {
        let column = &self.columns[index];
        match column.role {
            Role::Tag => Some(tag.to_string()),
            Role::Numbered => {
                let number = self.next_number;
                self.next_number += 1;
                Some(column.sql_type.numbered(rng, number))
            }
            Role::Data if column.nullable && rng.u8(..8) == 0 => Some("NULL".to_owned()),
            Role::Data => Some(column.sql_type.literal(rng)),
            Role::Generated { .. } | Role::RowId => None,
        }
    }

    /// Changes of some rows, each of which is changed once: by an update of a few or of many columns, perhaps of the key.
    pub(crate) fn update(&mut self, rng: &mut Rng) -> Vec<String> {
        let mut statements = Vec::new();
        for tags in self.some_rows(rng) {
            let writable: Vec<usize> = (0..self.columns.len())
                .filter(|&index| matches!(self.columns[index].role, Role::Data | Role::Numbered))
                .collect();
            let count = match rng.u8(..4) {
                0 => writable.len(),
                _ => rng.usize(..=writable.len().min(3)),
            };
            let mut assignments = Vec::new();
            for &index in &rng.choose_multiple(writable, count) {
                let name = quote(&self.columns[index].name);
                // The same number for several rows would be a duplicate.
                if matches!(self.columns[index].role, Role::Numbered) && tags.len() > 1 {
                    continue;
                }
                let literal = match self.columns[index].sql_type.nature {
                    Nature::Json if rng.bool() => json::change(rng, &name),
                    _ => self.new_literal(rng, index, 0).expect("writable"),
                };
                assignments.push(format!("{name} = {literal}"));
                for tag in &tags {
                    self.written.get_mut(tag).expect("a row of this table")[index].push(literal.clone());
                }
            }
            if !assignments.is_empty() {
                statements.push(format!("UPDATE {} SET {} WHERE {}", self.name, assignments.join(", "), among(&tags)));
            }
        }
        statements
    }

    pub(crate) fn delete(&mut self, rng: &mut Rng) -> Vec<String> {
        let mut statements = Vec::new();
        for tags in self.some_rows(rng) {
            for tag in &tags {
                self.rows.remove(tag);
            }
            statements.push(format!("DELETE FROM {} WHERE {}", self.name, among(&tags)));
        }
        statements
    }

    /// About half of the rows, in groups without a common row.
    fn some_rows(&self, rng: &mut Rng) -> Vec<Vec<Tag>> {
        let mut tags: Vec<Tag> = self.rows.iter().copied().filter(|_| rng.bool()).collect();
        rng.shuffle(&mut tags);
        let mut groups = Vec::new();
        while !tags.is_empty() {
            let count = if rng.bool() { 1 } else { rng.usize(1..20) };
            groups.push(tags.split_off(tags.len().saturating_sub(count)));
        }
        groups
    }
}

const TAG: &str = "tag";
const ROW_ID: &str = "my_row_id";

impl RandomColumn {
    fn tag() -> RandomColumn {
        let sql_type = RandomType::new("BIGINT", Nature::Int { bits: 64 });
        RandomColumn { name: TAG.to_owned(), sql_type, role: Role::Tag, nullable: false, invisible: false }
    }

    fn row_id() -> RandomColumn {
        let sql_type = RandomType::new("BIGINT UNSIGNED", Nature::Int { bits: 64 });
        RandomColumn { name: ROW_ID.to_owned(), sql_type, role: Role::RowId, nullable: false, invisible: false }
    }

    fn data(rng: &mut Rng, sql_type: RandomType) -> RandomColumn {
        let (nullable, invisible) = (rng.u8(..4) > 0, rng.u8(..12) == 0);
        RandomColumn { name: name(rng), sql_type, role: Role::Data, nullable, invisible }
    }

    fn numbered(rng: &mut Rng, charsets: &[Rc<Charset>]) -> RandomColumn {
        let sql_type = loop {
            let sql_type = RandomType::random(rng, charsets);
            if sql_type.can_be_numbered() {
                break sql_type;
            }
        };
        RandomColumn { name: name(rng), sql_type, role: Role::Numbered, nullable: false, invisible: false }
    }

    fn generated(rng: &mut Rng, columns: &[RandomColumn], charsets: &[Rc<Charset>]) -> RandomColumn {
        let of = rng.choice(columns).expect("at least the tag");
        let quoted = quote(&of.name);
        let (sql_type, expression, of) = match &of.sql_type.nature {
            Nature::Text { charset, .. } if rng.bool() => {
                let nature = Nature::Text { charset: Rc::clone(charset), length_max: 3 };
                let definition = format!("VARCHAR(3) CHARACTER SET {}", charset.name);
                (RandomType::new(definition, nature), format!("LEFT({quoted}, 3)"), Some(of.name.clone()))
            }
            Nature::Text { .. } | Nature::Bytes { .. } => {
                let sql_type = RandomType::new("INT UNSIGNED", Nature::Int { bits: 32 });
                (sql_type, format!("LENGTH({quoted})"), Some(of.name.clone()))
            }
            Nature::Json => {
                let expression = format!("JSON_EXTRACT({quoted}, '$.a')");
                (RandomType::new("JSON", Nature::Json), expression, Some(of.name.clone()))
            }
            _ => {
                let (sql_type, expression) = RandomColumn::generated_from_tag(rng, charsets);
                (sql_type, expression.to_owned(), None)
            }
        };
        let stored = pick(rng, &["VIRTUAL", "STORED"]);
        let expression = format!("({expression}) {stored}");
        let role = Role::Generated { expression, of };
        RandomColumn { name: name(rng), sql_type, role, nullable: true, invisible: rng.u8(..4) == 0 }
    }

    fn generated_from_tag(rng: &mut Rng, charsets: &[Rc<Charset>]) -> (RandomType, &'static str) {
        let charset = &charsets[rng.usize(..charsets.len())];
        let (definition, nature, expression) = match rng.u8(..10) {
            0 => ("SMALLINT", Nature::Int { bits: 16 }, "tag % 7 - 3"),
            1 => ("DOUBLE", Nature::Double, "tag / 7e0"),
            2 => ("DECIMAL(30,4)", Nature::Decimal { precision: 30, scale: 4 }, "tag * -1.25"),
            3 => ("DATE", Nature::Date, "DATE_ADD('2000-01-01', INTERVAL (tag % 9000) DAY)"),
            4 => ("JSON", Nature::Json, "JSON_OBJECT('tag', tag, 'list', JSON_ARRAY(tag / 4, NULL, 1e0))"),
            5 => ("VARBINARY(8)", Nature::Bytes { length_max: 8 }, "UNHEX(RPAD(HEX(tag), 16, '0'))"),
            6 => ("POINT", Nature::Geometry { kind: "POINT", srid: None }, "POINT(tag, -tag)"),
            7 => ("BIT(8)", Nature::Bit { width: 8 }, "tag & 255"),
            8 => {
                let labels = ["a", "b", "c"].map(str::to_owned).to_vec();
                ("ENUM('a','b','c')", Nature::Enum { labels }, "ELT(tag % 3 + 1, 'a', 'b', 'c')")
            }
            _ => {
                let nature = Nature::Text { charset: Rc::clone(charset), length_max: 30 };
                let definition = format!("VARCHAR(30) CHARACTER SET {}", charset.name);
                return (RandomType::new(definition, nature), "CONCAT('n', tag)");
            }
        };
        (RandomType::new(definition, nature), expression)
    }

    fn definition(&self) -> String {
        let mut definition = format!("{} {}", quote(&self.name), self.sql_type.definition);
        if let Role::Generated { expression, .. } = &self.role {
            definition += &format!(" GENERATED ALWAYS AS {expression}");
        }
        definition += if self.nullable { " NULL" } else { " NOT NULL" };
        definition += if self.invisible { " INVISIBLE" } else { "" };
        definition
    }
}

/// Never one that was given before, and now and then one that needs its quotes.
fn name(rng: &mut Rng) -> String {
    let number = rng.u32(..);
    let kind = pick(rng, &["c", "c", "c", "C", "a b ", "q\"uo'te", "back`tick", "back\\slash", "\u{5217}", "$.a,"]);
    format!("{kind}{number:08x}")
}

pub(crate) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn among(tags: &[Tag]) -> String {
    let tags: Vec<_> = tags.iter().map(Tag::to_string).collect();
    format!("tag IN ({})", tags.join(", "))
}

fn pick<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())]
}

fn hex(bytes: impl IntoIterator<Item = u8>) -> String {
    let digits: String = bytes.into_iter().map(|byte| format!("{byte:02x}")).collect();
    format!("X'{digits}'")
}
