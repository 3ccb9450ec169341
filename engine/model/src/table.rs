//! One version of one table: what its columns are called, how they are typed, which of them identify a row.

use std::fmt::{self, Write};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::types::SqlType;

/// A column as the source defines it.
#[derive(Clone, Debug, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub sql_type: SqlType,
    /// The type as the server writes it, e.g. `int(10) unsigned`, `enum('a','b')`.
    pub type_text: String,
    pub nullable: bool,
    /// MySQL's name of the character set of text, ENUM and SET columns.
    pub charset: Option<String>,
    /// MySQL's name of the collation of text, ENUM and SET columns; none also if nobody has told. Not compared: no value is another by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation: Option<Arc<str>>,
}

impl PartialEq for Column {
    fn eq(&self, other: &Column) -> bool {
        self.name == other.name
            && self.sql_type == other.sql_type
            && self.type_text == other.type_text
            && self.nullable == other.nullable
            && self.charset == other.charset
    }
}

/// Database and name, as the server stores them. Compared exactly: [`NameCase`](super::NameCase) knows which others mean the
/// same table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableName {
    pub database: Arc<str>,
    pub table: Arc<str>,
}

impl TableName {
    pub fn new(database: &str, table: &str) -> TableName {
        TableName { database: database.into(), table: table.into() }
    }
}

/// For people: what would make another line of it is escaped.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let characters = self.database.chars().chain(['.']).chain(self.table.chars());
        characters.into_iter().try_for_each(|character| match character.is_control() {
            true => write!(f, "{}", character.escape_default()),
            false => f.write_char(character),
        })
    }
}

/// A unique key: `PRIMARY`, or the index's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UniqueKey {
    pub name: String,
    /// Column indexes, in the key's order.
    pub columns: Vec<usize>,
}

/// A part of an index: a column or the first characters of one; neither is an expression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexPart {
    pub column: Option<String>,
    /// In characters, or bytes if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    pub name: String,
    pub unique: bool,
    pub parts: Vec<IndexPart>,
    /// Made by the server for a foreign key: it goes when another index serves. `None` if nobody has told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_foreign_key: Option<bool>,
}

/// What is known of a table's definition besides: not needed for its rows, but the next statement builds on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groundwork {
    /// MySQL's name of the character set of columns that name none.
    pub charset: Option<String>,
    /// The same of tables of its database that name none.
    pub database_charset: Option<String>,
    /// The collation of columns that name neither, where somebody has told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation: Option<Arc<str>>,
    /// The same of tables of its database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_collation: Option<Arc<str>>,
    /// Every index, also those that identify no row. `None` if only the table's unique keys are known.
    pub indexes: Option<Vec<Index>>,
    /// The storage engine, where somebody has told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Arc<str>>,
}

impl Groundwork {
    /// Whether its rows are gone when the server starts again; `None` if nobody has told the engine.
    pub fn is_in_memory(&self) -> Option<bool> {
        let engine = self.engine.as_deref()?;
        // The second name is an older one.
        Some(["MEMORY", "HEAP"].iter().any(|known| engine.eq_ignore_ascii_case(known)))
    }
}

/// A table at one version of its schema.
#[derive(Debug, Serialize, Deserialize)]
#[serde(from = "TableParts", into = "TableParts")]
pub struct Table {
    parts: TableParts,
    schema: SchemaRef,
    key: Vec<usize>,
    /// Neither compared, nor stored with the rest.
    groundwork: Option<Arc<Groundwork>>,
}

impl PartialEq for Table {
    fn eq(&self, other: &Table) -> bool {
        self.parts == other.parts
    }
}

impl Eq for Table {}

/// What a [`Table`] is made from and stored as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableParts {
    pub name: TableName,
    /// Grows with each change of the schema; 1 is the version first seen, 0 what there is now, whatever that is.
    pub version: u32,
    pub columns: Vec<Column>,
    /// The primary key first, if there is one, then unique keys whose columns are all NOT NULL, by name.
    pub unique_keys: Vec<UniqueKey>,
}

impl From<TableParts> for Table {
    fn from(parts: TableParts) -> Table {
        let fields: Vec<Field> =
            parts.columns.iter().map(|c| Field::new(&c.name, c.sql_type.arrow(), c.nullable)).collect();
        let key = parts.unique_keys.first().map(|key| key.columns.clone()).unwrap_or_default();
        Table { schema: Arc::new(Schema::new(fields)), key, parts, groundwork: None }
    }
}

impl From<Table> for TableParts {
    fn from(table: Table) -> TableParts {
        table.parts
    }
}

impl Clone for Table {
    fn clone(&self) -> Table {
        Table { groundwork: self.groundwork.clone(), ..Table::from(self.parts.clone()) }
    }
}

impl Table {
    /// The same as another version.
    pub fn of_version(mut self, version: u32) -> Table {
        self.parts.version = version;
        self
    }

    pub fn with_groundwork(self, groundwork: Groundwork) -> Table {
        Table { groundwork: Some(Arc::new(groundwork)), ..self }
    }

    pub fn groundwork(&self) -> Option<&Groundwork> {
        self.groundwork.as_deref()
    }

    /// MySQL's name of a column's collation; none if it has none, or if nobody told.
    pub fn collation(&self, column: usize) -> Option<&str> {
        self.parts.columns.get(column)?.collation.as_deref()
    }

    /// Whether no column of both is known to have another collation here than there.
    pub fn has_collations_of(&self, other: &Table) -> bool {
        self.columns().iter().zip(other.columns()).all(|(column, other)| match (&column.collation, &other.collation) {
            (Some(here), Some(there)) => here == there,
            _ => true,
        })
    }

    pub fn name(&self) -> &TableName {
        &self.parts.name
    }

    pub fn version(&self) -> u32 {
        self.parts.version
    }

    pub fn columns(&self) -> &[Column] {
        &self.parts.columns
    }

    /// Arrow's view of the columns, in the same order.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Columns that identify a row: the primary key, else the first unique key of NOT NULL columns, else none.
    pub fn key(&self) -> &[usize] {
        &self.key
    }

    /// All keys that identify a row, the primary key first.
    pub fn unique_keys(&self) -> &[UniqueKey] {
        &self.parts.unique_keys
    }

    /// The columns of `PRIMARY`, if the table has one.
    pub fn primary_key(&self) -> Option<&[usize]> {
        self.parts.unique_keys.iter().find(|key| key.name == "PRIMARY").map(|key| key.columns.as_slice())
    }

    /// Whether both have the same columns and keys, whatever their versions.
    pub fn is_defined_as(&self, other: &Table) -> bool {
        self.columns() == other.columns() && self.unique_keys() == other.unique_keys()
    }

    /// Index of a column by its name, which MySQL compares without regard to case.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns().iter().position(|column| column.name.eq_ignore_ascii_case(name))
    }
}
