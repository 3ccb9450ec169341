//! What a column is, from the words that define it.

mod clauses;
mod labels;

use super::super::binlog::{bytes_per_character, quoted};
use super::super::catalog::{as_the_catalogue_shows, parse_type};
use super::super::charset::Charset;
use super::collation::{Name, TextDefault, binary_of, default_of, full_name, of_table};
use super::cursor::{Cursor, Read};
use super::index::{IndexKind, IndexSpec};
use super::session::Session;
use super::tokens::Token;
use super::{NotUnderstood, charset_name};
use clauses::default_value;
pub(super) use clauses::references;
use labels::{Label, labels};
use tidegate_model::{Column, IndexPart, SqlType};

/// A column as it is written; what it is depends on its table, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColumnSpec {
    pub(super) name: String,
    kind: Kind,
    is_unsigned: bool,
    is_zerofill: bool,
    charset: Option<Charset>,
    /// As it is written.
    collation: Option<String>,
    /// `BINARY` behind a type of text.
    is_binary_order: bool,
    /// `NULL` or `NOT NULL`.
    nullable: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Of so many bytes.
    Integer {
        name: &'static str,
        width: Option<u64>,
    },
    /// FLOAT and DOUBLE, with `(m, d)` or nothing.
    Real {
        name: &'static str,
        digits: Vec<u64>,
    },
    Decimal {
        digits: Vec<u64>,
    },
    Bit {
        width: Option<u64>,
    },
    Year,
    Timed {
        name: &'static str,
        fraction: u64,
    },
    /// CHAR and BINARY.
    Fixed {
        length: u64,
    },
    /// VARCHAR and VARBINARY.
    Variable {
        length: u64,
    },
    /// TEXT and BLOB: a class, or the length that it has to hold.
    Long(Size),
    Labels {
        name: &'static str,
        labels: Vec<Label>,
    },
    /// Nothing more to say.
    Plain(&'static str),
    Vector {
        dimensions: Option<u64>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Class(usize),
    Characters(u64),
}

/// The classes of TEXT and BLOB, by the bytes of the length before a value.
const CLASSES: [(&str, u64); 4] = [("tiny", 255), ("", 65_535), ("medium", 16_777_215), ("long", u32::MAX as u64)];

/// The longest VARCHAR and VARBINARY.
const VARIABLE_BYTES_MAX: u64 = 65_535;

fn class_of(bytes: u64) -> &'static str {
    CLASSES.iter().find(|(_, max)| bytes <= *max).unwrap_or(&CLASSES[3]).0
}

/// A definition: name, type and attributes. Keys of the column's own are added to `indexes`.
pub(super) fn column(cursor: &mut Cursor<'_>, indexes: &mut Vec<IndexSpec>) -> Read<ColumnSpec> {
    let name = cursor.name()?;
    // A name may be qualified by its table.
    if cursor.is_other('.') {
        return Err(cursor.not_understood());
    }
    let is_serial = cursor.is("SERIAL");
    let mut column = of_type(cursor, name)?;
    let mut own = Vec::new();
    if is_serial {
        column.nullable = Some(false);
        own.push(IndexKind::Unique);
    }
    column.attributes(cursor, &mut own)?;
    own.sort();
    own.dedup();
    if cursor.session.server.is_mariadb && own.contains(&IndexKind::Primary) {
        // One key of the column's own is enough there.
        own.retain(|kind| *kind != IndexKind::Unique);
    }
    let part = IndexPart { column: Some(column.name.clone()), prefix: None };
    indexes.extend(own.into_iter().map(|kind| IndexSpec {
        name: None,
        kind,
        parts: vec![part.clone()],
        period: None,
        if_not_exists: false,
    }));
    Ok(column)
}

fn of_type(cursor: &mut Cursor<'_>, name: String) -> Read<ColumnSpec> {
    let mut column = ColumnSpec {
        name,
        kind: Kind::Year,
        is_unsigned: false,
        is_zerofill: false,
        charset: None,
        collation: None,
        is_binary_order: false,
        nullable: None,
    };
    if cursor.session.has_other_types() {
        return Err(NotUnderstood::new("the types of another database, which its sql_mode has"));
    }
    let Some(Token::Word(word)) = cursor.peek() else { return Err(cursor.not_understood()) };
    let word = word.to_ascii_uppercase();
    let at_type = cursor.next;
    cursor.next += 1;
    let one = |numbers: Vec<u64>| numbers.first().copied();
    column.kind = match &*word {
        "TINYINT" | "INT1" => column.integer(cursor, "tinyint")?,
        "SMALLINT" | "INT2" => column.integer(cursor, "smallint")?,
        "MEDIUMINT" | "MIDDLEINT" | "INT3" => column.integer(cursor, "mediumint")?,
        "INT" | "INTEGER" | "INT4" => column.integer(cursor, "int")?,
        "BIGINT" | "INT8" => column.integer(cursor, "bigint")?,
        "BOOL" | "BOOLEAN" => Kind::Integer { name: "tinyint", width: Some(1) },
        "SERIAL" => {
            column.is_unsigned = true;
            Kind::Integer { name: "bigint", width: None }
        }
        "FLOAT" | "FLOAT4" | "FLOAT8" | "DOUBLE" | "REAL" => {
            if word == "DOUBLE" {
                cursor.skip("PRECISION");
            }
            let mut digits = cursor.numbers()?;
            let is_single = match &*word {
                "FLOAT" | "FLOAT4" => digits.len() != 1 || digits[0] <= 24,
                "REAL" => cursor.session.has(Session::REAL_AS_FLOAT),
                _ => false,
            };
            if digits.len() == 1 {
                digits.clear();
            }
            column.number_attributes(cursor);
            Kind::Real { name: if is_single { "float" } else { "double" }, digits }
        }
        "DECIMAL" | "DEC" | "NUMERIC" | "FIXED" => {
            let digits = cursor.numbers()?;
            column.number_attributes(cursor);
            Kind::Decimal { digits }
        }
        "BIT" => Kind::Bit { width: one(cursor.numbers()?) },
        "YEAR" => {
            cursor.numbers()?;
            column.number_attributes(cursor);
            (column.is_unsigned, column.is_zerofill) = (false, false);
            Kind::Year
        }
        "DATE" => Kind::Plain("date"),
        "TIME" => Kind::Timed { name: "time", fraction: one(cursor.numbers()?).unwrap_or(0) },
        "DATETIME" => Kind::Timed { name: "datetime", fraction: one(cursor.numbers()?).unwrap_or(0) },
        "TIMESTAMP" => Kind::Timed { name: "timestamp", fraction: one(cursor.numbers()?).unwrap_or(0) },
        "CHAR" | "CHARACTER" if cursor.skip("VARYING") => column.variable(cursor)?,
        "CHAR" | "CHARACTER" => column.fixed(cursor)?,
        "VARCHAR" | "VARCHARACTER" => column.variable(cursor)?,
        "NATIONAL" | "NCHAR" | "NVARCHAR" => {
            let is_variable = match &*word {
                "NATIONAL" if cursor.skip_any(&["CHAR", "CHARACTER"]) => cursor.skip("VARYING"),
                "NATIONAL" if cursor.skip_any(&["VARCHAR", "VARCHARACTER"]) => true,
                "NATIONAL" => return Err(cursor.not_understood()),
                "NCHAR" => cursor.skip_any(&["VARYING", "VARCHAR", "VARCHARACTER"]),
                _ => true,
            };
            column.charset = Some(Charset::Utf8mb3);
            let length = one(cursor.numbers()?);
            column.is_binary_order = cursor.skip("BINARY");
            match is_variable {
                true => Kind::Variable { length: length.ok_or_else(|| cursor.not_understood())? },
                false => Kind::Fixed { length: length.unwrap_or(1) },
            }
        }
        "BINARY" => {
            column.charset = Some(Charset::Binary);
            Kind::Fixed { length: one(cursor.numbers()?).unwrap_or(1) }
        }
        "VARBINARY" => {
            column.charset = Some(Charset::Binary);
            let length = one(cursor.numbers()?).ok_or_else(|| cursor.not_understood())?;
            Kind::Variable { length }
        }
        "TINYBLOB" | "MEDIUMBLOB" | "LONGBLOB" | "BLOB" => {
            column.charset = Some(Charset::Binary);
            column.long(cursor, word.trim_end_matches("BLOB"))?
        }
        "TINYTEXT" | "MEDIUMTEXT" | "LONGTEXT" | "TEXT" => {
            let kind = column.long(cursor, word.trim_end_matches("TEXT"))?;
            column.text_attributes(cursor)?;
            kind
        }
        "LONG" => {
            if cursor.skip("VARBINARY") {
                column.charset = Some(Charset::Binary);
            } else {
                if cursor.skip_any(&["CHAR", "CHARACTER"]) {
                    cursor.expect("VARYING")?;
                } else {
                    cursor.skip_any(&["VARCHAR", "VARCHARACTER"]);
                }
                column.text_attributes(cursor)?;
            }
            Kind::Long(Size::Class(2))
        }
        "ENUM" | "SET" => {
            let labels = labels(cursor)?;
            column.text_attributes(cursor)?;
            Kind::Labels { name: if word == "ENUM" { "enum" } else { "set" }, labels }
        }
        "JSON" if cursor.session.server.is_mariadb => {
            column.charset = Some(Charset::Utf8mb4);
            column.is_binary_order = true;
            Kind::Long(Size::Class(3))
        }
        "JSON" => Kind::Plain("json"),
        "VECTOR" if cursor.session.server.is_mysql_from(90_000) => Kind::Vector { dimensions: one(cursor.numbers()?) },
        "GEOMETRY" => Kind::Plain("geometry"),
        "POINT" => Kind::Plain("point"),
        "LINESTRING" => Kind::Plain("linestring"),
        "POLYGON" => Kind::Plain("polygon"),
        "MULTIPOINT" => Kind::Plain("multipoint"),
        "MULTILINESTRING" => Kind::Plain("multilinestring"),
        "MULTIPOLYGON" => Kind::Plain("multipolygon"),
        "GEOMETRYCOLLECTION" | "GEOMCOLLECTION" => Kind::Plain("geomcollection"),
        _ => {
            cursor.next = at_type;
            return Err(NotUnderstood::new(&format!("the type {word}")));
        }
    };
    Ok(column)
}

impl ColumnSpec {
    fn integer(&mut self, cursor: &mut Cursor<'_>, name: &'static str) -> Read<Kind> {
        let width = cursor.numbers()?.first().copied();
        self.number_attributes(cursor);
        Ok(Kind::Integer { name, width })
    }

    fn number_attributes(&mut self, cursor: &mut Cursor<'_>) {
        loop {
            if cursor.skip("UNSIGNED") {
                self.is_unsigned = true;
            } else if cursor.skip("ZEROFILL") {
                (self.is_unsigned, self.is_zerofill) = (true, true);
            } else if !cursor.skip("SIGNED") {
                return;
            }
        }
    }

    fn fixed(&mut self, cursor: &mut Cursor<'_>) -> Read<Kind> {
        let length = cursor.numbers()?.first().copied().unwrap_or(1);
        self.text_attributes(cursor)?;
        Ok(Kind::Fixed { length })
    }

    fn variable(&mut self, cursor: &mut Cursor<'_>) -> Read<Kind> {
        let length = cursor.numbers()?.first().copied().ok_or_else(|| cursor.not_understood())?;
        self.text_attributes(cursor)?;
        Ok(Kind::Variable { length })
    }

    fn long(&mut self, cursor: &mut Cursor<'_>, size: &str) -> Read<Kind> {
        let size = match (size, cursor.is_other('(')) {
            ("", true) => Size::Characters(cursor.numbers()?[0]),
            ("TINY", _) => Size::Class(0),
            ("MEDIUM", _) => Size::Class(2),
            ("LONG", _) => Size::Class(3),
            _ => Size::Class(1),
        };
        Ok(Kind::Long(size))
    }

    /// A character set, which may stand before or behind BINARY.
    fn text_attributes(&mut self, cursor: &mut Cursor<'_>) -> Read<()> {
        loop {
            if cursor.skip_charset_words() {
                self.charset = Some(cursor.charset_name()?);
            } else if cursor.skip("ASCII") {
                self.charset = Some(Charset::Latin1);
            } else if cursor.skip("UNICODE") {
                self.charset = Some(Charset::Ucs2);
            } else if cursor.skip("BYTE") {
                self.charset = Some(Charset::Binary);
            } else if cursor.session.server.is_mariadb && cursor.skip("COMPRESSED") {
                if cursor.skip_other('=') {
                    cursor.name()?;
                }
            } else if cursor.skip("BINARY") {
                self.is_binary_order = true;
            } else {
                return Ok(());
            }
        }
    }

    fn attributes(&mut self, cursor: &mut Cursor<'_>, keys: &mut Vec<IndexKind>) -> Read<()> {
        loop {
            if cursor.skip("NULL") {
                self.nullable = Some(true);
            } else if cursor.skip_all(&["NOT", "NULL"]) {
                self.nullable = Some(false);
            } else if cursor.skip_all(&["NOT", "SECONDARY"]) {
            } else if cursor.skip_all(&["ON", "UPDATE"]) {
                cursor.name()?;
                if cursor.is_other('(') {
                    cursor.parentheses()?;
                }
            } else if cursor.skip("DEFAULT") {
                default_value(cursor)?;
            } else if cursor.skip("AUTO_INCREMENT") {
                self.nullable = Some(false);
            } else if cursor.skip_all(&["SERIAL", "DEFAULT", "VALUE"]) {
                self.nullable = Some(false);
                keys.push(IndexKind::Unique);
            } else if cursor.skip_all(&["PRIMARY", "KEY"]) || cursor.skip("KEY") || cursor.skip("PRIMARY") {
                keys.push(IndexKind::Primary);
            } else if cursor.skip("UNIQUE") {
                cursor.skip("KEY");
                keys.push(IndexKind::Unique);
            } else if cursor.skip("COMMENT") {
                cursor.text()?;
            } else if cursor.skip("COLLATE") {
                let (charset, name) = cursor.collation()?;
                self.collation = Some(name.to_owned());
                if self.charset.is_none() {
                    self.charset = charset;
                }
            } else if cursor.skip_any(&["COLUMN_FORMAT", "STORAGE"]) {
                cursor.name()?;
            } else if cursor.skip_any(&["SRID", "REF_SYSTEM_ID"]) {
                cursor.skip_other('=');
                cursor.next += 1;
            } else if cursor.skip_any(&["ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE"]) {
                cursor.skip_other('=');
                cursor.text()?;
            } else if cursor.skip_any(&["VISIBLE", "INVISIBLE", "VIRTUAL", "STORED", "PERSISTENT"]) {
            } else if cursor.skip("CONSTRAINT") {
                if !cursor.is("CHECK") {
                    cursor.name()?;
                }
                if !cursor.is("CHECK") {
                    return Err(cursor.not_understood());
                }
            } else if cursor.skip("CHECK") {
                cursor.parentheses()?;
                cursor.skip_all(&["NOT", "ENFORCED"]);
                cursor.skip("ENFORCED");
            } else if cursor.skip_all(&["GENERATED", "ALWAYS"]) || cursor.is("AS") {
                cursor.expect("AS")?;
                cursor.parentheses()?;
            } else if cursor.skip("REFERENCES") {
                references(cursor)?;
                let is_enforced = match cursor.session.server.is_mariadb {
                    true => cursor.session.server.version >= 100_500,
                    false => cursor.session.server.version >= 90_000,
                };
                if is_enforced {
                    keys.push(IndexKind::ForForeignKey);
                }
            } else {
                return Ok(());
            }
        }
    }

    /// Whether MariaDB takes it for text to come, and not for one that CONVERT TO changes: one that is `BINARY`, and any where
    /// text to come is bytes.
    pub(super) fn is_to_come(&self, to_come: &TextDefault) -> bool {
        self.charset.is_none() && (self.is_binary_order || to_come.charset == Some(Charset::Binary))
    }

    /// The same in a statement that converts all columns.
    pub(super) fn resolve_converted(&self, to: Charset, text: &TextDefault, session: &Session) -> Read<Column> {
        match self.charset {
            Some(Charset::Binary) => self.resolve(&TextDefault::default(), session),
            // The server takes bytes for characters here, or does not, by its version.
            _ if matches!(self.kind, Kind::Long(_)) && session.server.is_mysql_from(50_700) => {
                Err(NotUnderstood::new(&format!("a definition of text column {} that is converted at once", self.name)))
            }
            None => self.resolve(text, session),
            // Which collation it keeps of its own set, nobody has told.
            Some(_) => {
                let column =
                    ColumnSpec { charset: Some(to), ..self.clone() }.resolve(&TextDefault::default(), session)?;
                Ok(Column { collation: None, ..column })
            }
        }
    }

    /// The column in a table whose other columns have this character set and collation.
    pub(super) fn resolve(&self, table: &TextDefault, session: &Session) -> Read<Column> {
        let charset = || {
            self.charset.or(table.charset).ok_or_else(|| {
                NotUnderstood::new(&format!("the character set of column {}, which nobody has told", self.name))
            })
        };
        let mut exact_labels = None;
        let mut text_charset = None;
        let unsigned = if self.is_unsigned { " unsigned" } else { "" };
        let zerofill = if self.is_zerofill { " zerofill" } else { "" };
        let server = &session.server;
        let shows_widths = !server.is_mysql_from(80_019);
        let type_text = match &self.kind {
            Kind::Integer { name, width } => {
                let width = width.filter(|width| *width > 0);
                let shown = match width {
                    _ if shows_widths || self.is_zerofill => {
                        Some(width.unwrap_or(default_width(name, self.is_unsigned)))
                    }
                    Some(1) if *name == "tinyint" && !self.is_unsigned => Some(1),
                    _ => None,
                };
                let width = shown.map_or(String::new(), |width| format!("({width})"));
                format!("{name}{width}{unsigned}{zerofill}")
            }
            Kind::Real { name, digits } => format!("{name}{}{unsigned}{zerofill}", in_parentheses(digits)),
            Kind::Decimal { digits } => {
                let precision = digits.first().copied().filter(|precision| *precision > 0).unwrap_or(10);
                let scale = digits.get(1).copied().unwrap_or(0);
                // Zero digits are ten, unless there are some behind the point.
                let precision = if digits.first() == Some(&0) { scale.max(10) } else { precision };
                format!("decimal({precision},{scale}){unsigned}{zerofill}")
            }
            Kind::Bit { width } => format!("bit({})", width.filter(|width| *width > 0).unwrap_or(1)),
            Kind::Year => if shows_widths { "year(4)" } else { "year" }.to_owned(),
            Kind::Timed { name, fraction: 0 } => (*name).to_owned(),
            Kind::Timed { name, fraction } => format!("{name}({fraction})"),
            Kind::Fixed { length } => {
                let charset = charset()?;
                text_charset = Some(charset);
                format!("{}({length})", if charset.is_binary() { "binary" } else { "char" })
            }
            Kind::Variable { length } => {
                let charset = charset()?;
                text_charset = Some(charset);
                let bytes = length.saturating_mul(u64::from(bytes_per_character(charset)));
                match (charset.is_binary(), bytes > VARIABLE_BYTES_MAX) {
                    // Only where the session is not strict.
                    (true, true) => format!("{}blob", class_of(bytes)),
                    (false, true) => format!("{}text", class_of(bytes)),
                    (true, false) => format!("varbinary({length})"),
                    (false, false) => format!("varchar({length})"),
                }
            }
            Kind::Long(size) => {
                let charset = charset()?;
                text_charset = Some(charset);
                let class = match size {
                    Size::Class(class) => CLASSES[*class].0,
                    Size::Characters(0) if !server.is_mysql_from(80_000) => CLASSES[1].0,
                    Size::Characters(count) => class_of(count.saturating_mul(u64::from(bytes_per_character(charset)))),
                };
                format!("{class}{}", if charset.is_binary() { "blob" } else { "text" })
            }
            Kind::Labels { name, labels } => {
                let charset = charset()?;
                text_charset = Some(charset);
                let labels = labels.iter().map(|label| label.in_charset(charset, session));
                let labels = labels.collect::<Read<Vec<_>>>()?;
                let shown = labels.iter().map(|label| quoted(&as_the_catalogue_shows(label)));
                let text = format!("{name}({})", shown.collect::<Vec<_>>().join(","));
                // Else it would not be what the catalogue tells of the same column.
                exact_labels = server.tells_labels().then_some(labels);
                text
            }
            Kind::Plain("geomcollection") if !server.is_mysql_from(80_011) => "geometrycollection".to_owned(),
            Kind::Plain(name) => (*name).to_owned(),
            Kind::Vector { dimensions } => format!("vector({})", dimensions.unwrap_or(2048)),
        };
        let sql_type =
            parse_type(&type_text).ok_or_else(|| NotUnderstood::new(&format!("the type of column {}", self.name)))?;
        let sql_type = match exact_labels {
            Some(labels) => sql_type.with_labels(labels.into()),
            None => sql_type,
        };
        let is_timestamp = matches!(sql_type, SqlType::Timestamp { .. });
        let nullable = self.nullable.unwrap_or(!is_timestamp || session.has_nullable_timestamps());
        // Older catalogues have it so.
        let shows_binary = matches!(self.kind, Kind::Labels { .. }) && !server.is_mysql_from(80_000);
        let charset = text_charset.filter(|charset| !charset.is_binary() || shows_binary);
        Ok(Column {
            name: self.name.clone(),
            sql_type,
            type_text,
            nullable,
            charset: charset.map(|charset| charset_name(charset, server).to_owned()),
            collation: text_charset.filter(|charset| !charset.is_binary()).and_then(|charset| {
                match (&self.collation, self.charset) {
                    (Some(written), _) => full_name(written, Some(charset), session),
                    (None, _) if self.is_binary_order => binary_of(charset),
                    (None, Some(_)) => default_of(charset, session),
                    (None, None) => of_table(&table.collation, charset),
                }
            }),
        })
    }
}

/// What `CONVERT TO CHARACTER SET` makes of a column that was there.
pub(super) fn convert(column: &mut Column, to: Charset, collation: &Name, session: &Session) -> Read<()> {
    let from = column.charset.as_deref().and_then(Charset::from_name).filter(|from| !from.is_binary());
    let Some(from) = from else { return Ok(()) };
    if let SqlType::Enum { labels } | SqlType::Set { labels } = &column.sql_type {
        // Servers take the bytes of labels for what they are in the new set. A `?` may be a character that the catalogue cannot show,
        // and sjis has another backslash. Of several bytes a character, what an earlier conversion left behind is cut off in the
        // catalogue: `é` of latin1 is nothing in gbk, and is there again when it is latin1 again. UTF-8 shows none of it either, unless
        // it was UTF-8 that stood in latin1.
        let keeps_bytes =
            |charset| !matches!(charset, Charset::Ucs2 | Charset::Utf16 | Charset::Utf16le | Charset::Utf32);
        let shows_all = bytes_per_character(from) == 1 || matches!(to, Charset::Utf8mb3 | Charset::Utf8mb4);
        let is_plain = |label: &String| label.is_ascii() && !label.contains(['?', '\\']);
        if !(labels.iter().all(is_plain) && keeps_bytes(from) && keeps_bytes(to) && shows_all) {
            return Err(NotUnderstood::new(&format!("what labels of column {} become", column.name)));
        }
    }
    if let Some(class) = column.type_text.strip_suffix("text") {
        // As many characters as before have to find room.
        let (_, bytes) = CLASSES.iter().find(|(name, _)| *name == class).unwrap_or(&CLASSES[1]);
        let characters = bytes / u64::from(bytes_per_character(from));
        let class = class_of(characters * u64::from(bytes_per_character(to)));
        column.type_text = format!("{class}{}", if to.is_binary() { "blob" } else { "text" });
    } else if to.is_binary() {
        for (text, bytes) in [("char(", "binary("), ("varchar(", "varbinary(")] {
            if let Some(length) = column.type_text.strip_prefix(text) {
                column.type_text = format!("{bytes}{length}");
                break;
            }
        }
    } else if let Some(length) = length_of(&column.type_text).filter(|_| matches!(column.sql_type, SqlType::VarChar)) {
        let bytes = u64::from(length) * u64::from(bytes_per_character(to));
        if bytes > VARIABLE_BYTES_MAX {
            column.type_text = format!("{}text", class_of(bytes));
        }
    }
    column.sql_type =
        parse_type(&column.type_text).ok_or_else(|| NotUnderstood::new("the type of a converted column"))?;
    let shows = !to.is_binary()
        || (matches!(column.sql_type, SqlType::Enum { .. } | SqlType::Set { .. })
            && !session.server.is_mysql_from(80_000));
    column.charset = shows.then(|| charset_name(to, &session.server).to_owned());
    column.collation = collation.clone().filter(|_| !to.is_binary());
    Ok(())
}

/// Of `varchar(10)`.
pub(super) fn length_of(type_text: &str) -> Option<u32> {
    type_text.split_once('(')?.1.split_once(')')?.0.parse().ok()
}

/// How many bytes or characters a key's prefix may have of it at most; none if there are no prefixes of its type.
pub(super) fn prefix_max(column: &Column) -> Option<u64> {
    match &column.sql_type {
        SqlType::Char | SqlType::VarChar | SqlType::Binary { .. } | SqlType::VarBinary => {
            length_of(&column.type_text).map(u64::from)
        }
        SqlType::Text | SqlType::Blob => {
            let class = column.type_text.trim_end_matches("text").trim_end_matches("blob");
            CLASSES.iter().find(|(name, _)| *name == class).map(|(_, bytes)| *bytes)
        }
        _ => None,
    }
}

fn default_width(name: &str, is_unsigned: bool) -> u64 {
    match (name, is_unsigned) {
        ("tinyint", false) => 4,
        ("tinyint", true) => 3,
        ("smallint", false) => 6,
        ("smallint", true) => 5,
        ("mediumint", false) => 9,
        ("mediumint", true) => 8,
        ("int", false) => 11,
        ("int", true) => 10,
        _ => 20,
    }
}

fn in_parentheses(numbers: &[u64]) -> String {
    match numbers {
        [] => String::new(),
        numbers => format!("({})", numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(",")),
    }
}
