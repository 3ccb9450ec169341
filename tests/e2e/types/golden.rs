//! The layout of expectations: what is written by SQL, and what each format makes of it.
//!
//! ```text
//! class        column               SQL                 text          sqlType
//! integers     TINYINT UNSIGNED     127                 127           -6
//!                                   128                 128           5
//! zero_dates   DATE                 '2010-00-10'        2010-00-10    91
//! ```
//!
//! There is one expectation for full load, insert, update and delete: no path has a text of its own. Whatever comes later
//! joins as a column of this layout and not as a second copy of it: a [`Server`] that lacks a type or stores another value says
//! so at the [`Column`] or the [`Table`], with the reason that `tests/TYPES.md` gives, and what a format makes of the text is told
//! once, in [`Column::text`] and [`Column::code`]. DTS Avro has the texts of Canal JSON in the profile `dts` inside its images,
//! but for digits behind a second that are zero, of which an image has none, and vectors, which are bytes; its code is
//! `dataTypeNumber`.

use std::borrow::Cow;

/// The floats of `[1.5,-2.0]`, little endian, each byte as the character of its number.
fn bytes_of_vector(text: &str) -> String {
    let list = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).expect("a vector");
    let floats = list.split(',').map(|float| float.parse::<f32>().expect("a float"));
    floats.flat_map(f32::to_le_bytes).map(char::from).collect()
}

/// The servers on which all values are tried. What is expected of the others is told by how they differ from the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    Mysql97,
    Mysql56,
    MariaDb10,
    MariaDb11,
}

/// MySQL of both kinds, which has none of what MariaDB has added.
pub(super) const MYSQL: &[Server] = &[Server::Mysql97, Server::Mysql56];
pub(super) const MYSQL_5_6: &[Server] = &[Server::Mysql56];
pub(super) const MARIADB: &[Server] = &[Server::MariaDb10, Server::MariaDb11];
/// All that have nothing that came with MySQL 5.7 or later.
pub(super) const OTHERS: &[Server] = &[Server::Mysql56, Server::MariaDb10, Server::MariaDb11];

impl Server {
    /// Under which it takes all values, and rounds a fraction of a second as the others do.
    pub(super) fn sql_mode(self) -> &'static str {
        if MARIADB.contains(&self) { "TIME_ROUND_FRACTIONAL" } else { "" }
    }
}

/// What is otherwise on some servers, on purpose.
struct Otherwise<T> {
    servers: &'static [Server],
    why: &'static str,
    /// None if the server refuses to make it.
    what: Option<fn(T) -> T>,
}

/// A type class: tables whose columns are of its types.
pub(super) struct Class {
    pub(super) name: &'static str,
    pub(super) tables: fn() -> Vec<Table>,
}

/// A table of a class: a column `id` of its own, then `c0`, `c1` and so on.
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// Keys, for CREATE TABLE, each with a comma before it; behind the parenthesis, options.
    keys: &'static str,
    options: &'static str,
    otherwise: Vec<Otherwise<Table>>,
}

pub(super) struct Column {
    /// As in CREATE TABLE. May name columns before it, by which it is computed.
    pub(super) definition: String,
    /// The code of `java.sql.Types`, also that of NULL.
    sql_type: i32,
    null_sql_type: i32,
    /// MySQL's number of the type, if the definition does not tell it.
    type_number: Option<i32>,
    pub(super) values: Vec<Value>,
    otherwise: Vec<Otherwise<Column>>,
}

pub(super) struct Value {
    pub(super) sql: String,
    /// `None` is NULL.
    pub(super) canal_json: Option<String>,
    /// The label or labels of an ENUM or SET.
    label: Option<String>,
    sql_type: Option<i32>,
}

/// The format: how it writes what others write differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    /// Rows of the full load as INSERT, ENUM and SET as numbers.
    Canal,
    /// Rows of the full load as INIT, ENUM and SET as labels.
    Dts,
    /// DTS Avro.
    Avro,
}

impl Profile {
    /// For a task file.
    pub(super) fn yaml(self) -> &'static str {
        match self {
            Profile::Canal => "canal_json",
            Profile::Dts => "{canal_json: {profile: dts}}",
            Profile::Avro => "dts_avro",
        }
    }
}

/// The code of labels in the profile `dts`.
const SQL_TYPE_OF_LABELS: i32 = 1;
/// The code of a JSON that is NULL.
const SQL_TYPE_OF_NO_JSON: i32 = 1111;

pub(super) fn table(name: impl Into<String>, columns: impl IntoIterator<Item = Column>) -> Table {
    Table { name: name.into(), columns: columns.into_iter().collect(), keys: "", options: "", otherwise: Vec::new() }
}

pub(super) fn column<V: Into<Value>>(
    definition: impl Into<String>,
    sql_type: i32,
    values: impl IntoIterator<Item = V>,
) -> Column {
    let values = values.into_iter().map(Into::into).collect();
    let definition = definition.into();
    let null_sql_type = if definition.starts_with("JSON") { SQL_TYPE_OF_NO_JSON } else { sql_type };
    Column { definition, sql_type, null_sql_type, type_number: None, values, otherwise: Vec::new() }
}

pub(super) fn value(sql: impl Into<String>, canal_json: impl Into<String>) -> Value {
    Value { sql: sql.into(), canal_json: Some(canal_json.into()), label: None, sql_type: None }
}

pub(super) fn null() -> Value {
    Value { sql: "NULL".to_owned(), canal_json: None, label: None, sql_type: None }
}

impl<S: Into<String>, T: Into<String>> From<(S, T)> for Value {
    fn from((sql, canal_json): (S, T)) -> Value {
        value(sql, canal_json)
    }
}

/// A value that SQL and text write alike.
impl From<&str> for Value {
    fn from(both: &str) -> Value {
        value(both, both)
    }
}

impl Value {
    /// The value has another code than its column.
    pub(super) fn sql_type(self, code: i32) -> Value {
        Value { sql_type: Some(code), ..self }
    }

    pub(super) fn label(self, label: impl Into<String>) -> Value {
        Value { label: Some(label.into()), ..self }
    }
}

impl Column {
    /// These servers refuse such a column.
    pub(super) fn lacking(mut self, servers: &'static [Server], why: &'static str) -> Column {
        self.otherwise.push(Otherwise { servers, why, what: None });
        self
    }

    /// On these servers it is another.
    pub(super) fn differing(
        mut self,
        servers: &'static [Server],
        why: &'static str,
        what: fn(Column) -> Column,
    ) -> Column {
        self.otherwise.push(Otherwise { servers, why, what: Some(what) });
        self
    }

    /// The text of what this SQL writes.
    pub(super) fn with_text(mut self, sql: &str, text: &str) -> Column {
        let value = self.values.iter_mut().find(|value| value.sql == sql).expect("a value of the column");
        value.canal_json = Some(text.to_owned());
        self
    }

    /// The label of a number is shown otherwise.
    pub(super) fn with_label(mut self, sql: &str, label: &str) -> Column {
        let value = self.values.iter_mut().find(|value| value.sql == sql).expect("a value of the column");
        value.label = Some(label.to_owned());
        self
    }

    /// A JSON of a server that stores none but as LONGTEXT.
    pub(super) fn stored_as_text(self) -> Column {
        const CLOB: i32 = 2005;
        Column { sql_type: CLOB, null_sql_type: CLOB, type_number: Some(15), ..self }
    }

    /// Of this server; none if it has no such column.
    fn on(mut self, server: Server) -> Option<Column> {
        let mut ways = std::mem::take(&mut self.otherwise).into_iter().filter(|way| way.servers.contains(&server));
        ways.try_fold(self, |column, way| way.what.map(|change| change(column)))
    }

    pub(super) fn null_sql_type(self, code: i32) -> Column {
        Column { null_sql_type: code, ..self }
    }

    pub(super) fn is_generated(&self) -> bool {
        self.definition.contains("GENERATED")
    }

    /// The value in a row: the columns' values are repeated until all have been seen. `None` in the row of NULLs.
    pub(super) fn value(&self, row: Option<usize>) -> Option<&Value> {
        row.map(|row| &self.values[row % self.values.len()])
    }

    pub(super) fn sql(&self, row: Option<usize>) -> &str {
        self.value(row).map_or("NULL", |value| &value.sql)
    }

    pub(super) fn text(&self, row: Option<usize>, profile: Profile) -> Option<Cow<'_, str>> {
        let value = self.value(row)?;
        let text = match (profile, &value.label) {
            (Profile::Dts | Profile::Avro, Some(label)) => label,
            _ => value.canal_json.as_ref()?,
        };
        Some(match (profile, self.type_name()) {
            (Profile::Avro, "TIME" | "DATETIME" | "TIMESTAMP") if text.contains('.') => {
                Cow::Borrowed(text.trim_end_matches('0').trim_end_matches('.'))
            }
            (Profile::Avro, "VECTOR") => Cow::Owned(bytes_of_vector(text)),
            _ => Cow::Borrowed(text),
        })
    }

    /// `TINYINT` of `TINYINT(1) UNSIGNED`.
    fn type_name(&self) -> &str {
        self.definition.split(['(', ' ']).next().expect("a split has a first part")
    }

    /// MySQL's number of the type, as DTS Avro names it.
    fn number(&self) -> i32 {
        if let Some(number) = self.type_number {
            return number;
        }
        match self.type_name() {
            "CHAR" | "VARCHAR" | "TEXT" if self.definition.contains("CHARACTER SET binary") => 252,
            "TINYINT" | "BOOLEAN" | "BOOL" => 1,
            "SMALLINT" => 2,
            "MEDIUMINT" => 9,
            "INT" | "INTEGER" => 3,
            "BIGINT" => 8,
            "FLOAT" if self.definition.starts_with("FLOAT(53)") => 5,
            "FLOAT" => 4,
            "DOUBLE" | "REAL" => 5,
            "DECIMAL" | "NUMERIC" => 246,
            "BIT" => 16,
            "YEAR" => 13,
            "DATE" => 10,
            "TIME" => 11,
            "DATETIME" => 12,
            "TIMESTAMP" => 7,
            "CHAR" | "INET4" | "INET6" | "UUID" => 254,
            "VARCHAR" => 253,
            "TINYTEXT" | "TEXT" | "MEDIUMTEXT" | "LONGTEXT" => 15,
            "BINARY" | "VARBINARY" | "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB" | "VECTOR" => 252,
            "ENUM" => 247,
            "SET" => 248,
            "JSON" => 245,
            "GEOMETRY" | "POINT" | "LINESTRING" | "POLYGON" | "MULTIPOINT" | "MULTILINESTRING" | "MULTIPOLYGON"
            | "GEOMETRYCOLLECTION" => 255,
            other => panic!("no number is known of {other}"),
        }
    }

    pub(super) fn code(&self, row: Option<usize>, profile: Profile) -> i32 {
        if profile == Profile::Avro {
            return self.number();
        }
        let has_labels = self.values.iter().any(|value| value.label.is_some());
        match self.value(row) {
            _ if has_labels && profile == Profile::Dts => SQL_TYPE_OF_LABELS,
            Some(value) if value.canal_json.is_some() => value.sql_type.unwrap_or(self.sql_type),
            _ => self.null_sql_type,
        }
    }
}

impl Table {
    pub(super) fn keys(self, keys: &'static str) -> Table {
        Table { keys, ..self }
    }

    pub(super) fn options(self, options: &'static str) -> Table {
        Table { options, ..self }
    }

    /// These servers refuse such a table.
    pub(super) fn lacking(mut self, servers: &'static [Server], why: &'static str) -> Table {
        self.otherwise.push(Otherwise { servers, why, what: None });
        self
    }

    /// As this server has it; none if it has not. Columns that it lacks are left out, and the others named by their place.
    pub(super) fn on(self, server: Server) -> Option<Table> {
        // Its images lack them, and a task refuses the table.
        let is_refused = server == Server::MariaDb11 && self.columns.iter().any(Column::is_generated);
        if is_refused || self.lacks(server) {
            return None;
        }
        let columns: Vec<_> = self.columns.into_iter().filter_map(|column| column.on(server)).collect();
        (!columns.is_empty()).then_some(Table { columns, ..self })
    }

    fn lacks(&self, server: Server) -> bool {
        self.otherwise.iter().any(|way| way.servers.contains(&server))
    }

    /// Statements that this server must refuse: that it lacks something is said of nothing that it has.
    pub(super) fn refused(&self, server: Server) -> Vec<String> {
        if self.lacks(server) {
            return vec![self.create()];
        }
        let is_lacking = |way: &Otherwise<Column>| way.what.is_none() && way.servers.contains(&server);
        let lacking = self.columns.iter().filter(|column| column.otherwise.iter().any(is_lacking));
        lacking.map(|column| format!("CREATE TABLE {} (c {})", self.name, column.definition)).collect()
    }

    /// In which it differs on this server.
    pub(super) fn differences(&self, server: Server) -> Vec<&'static str> {
        let of_columns = self.columns.iter().flat_map(|column| &column.otherwise);
        let of_columns = of_columns.filter(|way| way.servers.contains(&server)).map(|way| way.why);
        let of_table = self.otherwise.iter().filter(|way| way.servers.contains(&server)).map(|way| way.why);
        of_table.chain(of_columns).collect()
    }

    /// Rows until each value has been seen, and one of NULLs.
    pub(super) fn rows(&self) -> impl Iterator<Item = Option<usize>> + Clone + use<> {
        let count = self.columns.iter().map(|column| column.values.len()).max().expect("a table has columns");
        (0..count).map(Some).chain([None])
    }

    pub(super) fn create(&self) -> String {
        let Table { name, columns, keys, options, .. } = self;
        let columns: Vec<_> =
            columns.iter().enumerate().map(|(n, column)| format!("c{n} {}", column.definition)).collect();
        format!("CREATE TABLE {name} (id INT PRIMARY KEY, {}{keys}) {options}", columns.join(", "))
    }

    pub(super) fn insert(&self, id: usize, row: Option<usize>) -> String {
        let (names, values): (Vec<_>, Vec<_>) = self.written(row).unzip();
        format!("INSERT INTO {} (id, {}) VALUES ({id}, {})", self.name, names.join(", "), values.join(", "))
    }

    pub(super) fn update(&self, id: usize, row: Option<usize>) -> String {
        let set: Vec<_> = self.written(row).map(|(name, value)| format!("{name} = {value}")).collect();
        format!("UPDATE {} SET {} WHERE id = {id}", self.name, set.join(", "))
    }

    fn written(&self, row: Option<usize>) -> impl Iterator<Item = (String, &str)> {
        let columns = self.columns.iter().enumerate().filter(|(_, column)| !column.is_generated());
        columns.map(move |(n, column)| (format!("c{n}"), column.sql(row)))
    }
}
