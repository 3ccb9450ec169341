//! The table that a table map describes, and whether it is the one that is known.

use super::error::{ColumnMismatch, Fault};
use super::table_map::{ColumnDetails, Details, TableMap, WireType, has_collation, is_number};
use crate::catalog::as_the_catalogue_shows;
use crate::charset::Charset;
use crate::collation::name_of_id;
use tidegate_model::{Column, SqlType, Table, TableParts, UniqueKey};

/// The table as `binlog_row_metadata=FULL` describes it, or nothing if the map does not say enough. The version is 0.
pub fn table_from_full_metadata(map: &TableMap<'_>) -> Result<Option<TableParts>, Fault> {
    let details = map.details()?;
    described(map, &details, details.visible_count())
}

/// The same with so many columns.
fn described(map: &TableMap<'_>, details: &Details<'_>, visible: usize) -> Result<Option<TableParts>, Fault> {
    let types = map.wire_types()?;
    let mut columns = Vec::with_capacity(types.len());
    for (index, (&wire, details)) in types.iter().zip(&details.columns).take(visible).enumerate() {
        if map.mariadb.is_some_and(|version| may_be_another_type(wire, details, version)) {
            return Ok(None);
        }
        match described_column(wire, details, map.is_nullable(index), map.mariadb.is_some())? {
            Some(column) => columns.push(column),
            None => return Ok(None),
        }
    }
    // A key that the table does not show is none that consumers could know.
    let key = details.primary_key.clone().filter(|key| key.iter().all(|&index| index < visible));
    let unique_keys = key.into_iter().map(|columns| UniqueKey { name: "PRIMARY".to_owned(), columns }).collect();
    Ok(Some(TableParts { name: map.name(), version: 0, columns, unique_keys }))
}

/// Whether MariaDB says this of columns of several types.
fn may_be_another_type(wire: WireType, details: &ColumnDetails<'_>, version: [u32; 3]) -> bool {
    let is_binary = details.collation.and_then(Charset::from_collation_id).is_none_or(Charset::is_binary);
    match wire {
        // INET4, INET6, UUID.
        WireType::Fixed { bytes_max: 4 | 16 } => is_binary,
        WireType::Variable { bytes_max } => is_binary && bytes_max % 4 == 0 && version >= VECTORS_SINCE,
        WireType::OldTime | WireType::OldDateTime | WireType::OldTimestamp => true,
        _ => false,
    }
}

const VECTORS_SINCE: [u32; 3] = [11, 7, 0];

/// Bytes of a value of MariaDB's types that are text everywhere but in the binlog.
fn bytes_of_text_type(type_text: &str) -> Option<u16> {
    match type_text {
        "inet4" => Some(4),
        "inet6" | "uuid" => Some(16),
        _ => None,
    }
}

fn described_column(
    wire: WireType,
    details: &ColumnDetails<'_>,
    nullable: bool,
    is_mariadb: bool,
) -> Result<Option<Column>, Fault> {
    let Some(name) = details.name else { return Ok(None) };
    let charset = match details.collation.map(Charset::from_collation_id) {
        Some(None) => return Err(Fault::Damaged("a collation in it is unknown")),
        Some(charset) => charset,
        None => None,
    };
    let labels = match (&details.labels, charset) {
        (Some(labels), Some(charset)) => Some(decode_labels(labels, charset)?),
        _ => None,
    };
    // Types that need what is not there.
    let lacks = match wire {
        wire if is_number(&wire) && wire != WireType::Year => details.unsigned.is_none(),
        wire if has_collation(&wire) => charset.is_none(),
        WireType::Enum(_) | WireType::Set(_) => labels.is_none(),
        _ => false,
    };
    if lacks {
        return Ok(None);
    }
    let text = charset.filter(|charset| !charset.is_binary());
    let sql_type = sql_type(wire, details.unsigned == Some(true), text.is_some(), labels.unwrap_or_default());
    let type_text = type_text(wire, &sql_type, details, text);
    Ok(Some(Column {
        name: name.to_owned(),
        sql_type,
        type_text,
        nullable,
        charset: text.map(|charset| charset.name().to_owned()),
        collation: text.and(details.collation).map(|id| name_of_id(is_mariadb, id)),
    }))
}

fn decode_labels(labels: &[&[u8]], charset: Charset) -> Result<Vec<String>, Fault> {
    labels
        .iter()
        .map(|label| {
            let mut text = Vec::new();
            let text = charset.decode(label, &mut text).ok().and_then(|()| String::from_utf8(text).ok());
            text.ok_or(Fault::Damaged("a label in it is not text"))
        })
        .collect()
}

fn sql_type(wire: WireType, unsigned: bool, is_text: bool, labels: Vec<String>) -> SqlType {
    match wire {
        WireType::Int(bytes) => SqlType::Int { bytes, unsigned },
        WireType::Float => SqlType::Float,
        WireType::Double => SqlType::Double,
        WireType::Decimal { precision, scale } => SqlType::Decimal { precision, scale },
        WireType::Bit(width) => SqlType::Bit { width },
        WireType::Year => SqlType::Year,
        WireType::Date => SqlType::Date,
        WireType::Time(fraction) => SqlType::Time { fraction },
        WireType::DateTime(fraction) => SqlType::DateTime { fraction },
        WireType::Timestamp(fraction) => SqlType::Timestamp { fraction },
        WireType::OldTime => SqlType::Time { fraction: 0 },
        WireType::OldDateTime => SqlType::DateTime { fraction: 0 },
        WireType::OldTimestamp => SqlType::Timestamp { fraction: 0 },
        WireType::Fixed { .. } if is_text => SqlType::Char,
        WireType::Fixed { bytes_max } => SqlType::Binary { length: bytes_max as u32 },
        WireType::Variable { .. } | WireType::CompressedVariable { .. } if is_text => SqlType::VarChar,
        WireType::Variable { .. } | WireType::CompressedVariable { .. } => SqlType::VarBinary,
        WireType::Blob(_) | WireType::CompressedBlob(_) if is_text => SqlType::Text,
        WireType::Blob(_) | WireType::CompressedBlob(_) => SqlType::Blob,
        WireType::Json(_) => SqlType::Json,
        WireType::Geometry(_) => SqlType::Geometry,
        WireType::Vector(_) => SqlType::Vector,
        WireType::Enum(_) => SqlType::Enum { labels: labels.into() },
        WireType::Set(_) => SqlType::Set { labels: labels.into() },
    }
}

/// The type as MySQL 8.0.19 and later write it.
fn type_text(wire: WireType, sql_type: &SqlType, details: &ColumnDetails<'_>, text: Option<Charset>) -> String {
    let unsigned = if details.unsigned == Some(true) { " unsigned" } else { "" };
    let fraction = |digits: u8| if digits == 0 { String::new() } else { format!("({digits})") };
    let characters = |bytes: u16| bytes / text.map_or(1, bytes_per_character);
    match wire {
        WireType::Int(1) => format!("tinyint{unsigned}"),
        WireType::Int(2) => format!("smallint{unsigned}"),
        WireType::Int(3) => format!("mediumint{unsigned}"),
        WireType::Int(4) => format!("int{unsigned}"),
        WireType::Int(_) => format!("bigint{unsigned}"),
        WireType::Float => format!("float{unsigned}"),
        WireType::Double => format!("double{unsigned}"),
        WireType::Decimal { precision, scale } => format!("decimal({precision},{scale}){unsigned}"),
        WireType::Bit(width) => format!("bit({width})"),
        WireType::Year => "year".to_owned(),
        WireType::Date => "date".to_owned(),
        WireType::Time(digits) => format!("time{}", fraction(digits)),
        WireType::DateTime(digits) => format!("datetime{}", fraction(digits)),
        WireType::Timestamp(digits) => format!("timestamp{}", fraction(digits)),
        WireType::OldTime => "time".to_owned(),
        WireType::OldDateTime => "datetime".to_owned(),
        WireType::OldTimestamp => "timestamp".to_owned(),
        WireType::Fixed { bytes_max } if text.is_some() => format!("char({})", characters(bytes_max)),
        WireType::Fixed { bytes_max } => format!("binary({bytes_max})"),
        WireType::Variable { bytes_max } if text.is_some() => format!("varchar({})", characters(bytes_max)),
        WireType::Variable { bytes_max } => format!("varbinary({bytes_max})"),
        WireType::CompressedVariable { bytes_max } => {
            let bytes_max = bytes_max.saturating_sub(1);
            type_text(WireType::Variable { bytes_max }, sql_type, details, text)
        }
        WireType::Blob(length_bytes) | WireType::CompressedBlob(length_bytes) => {
            let size = ["tiny", "", "medium", "long"][length_bytes as usize - 1];
            format!("{size}{}", if text.is_some() { "text" } else { "blob" })
        }
        WireType::Json(_) => "json".to_owned(),
        WireType::Geometry(_) => {
            const NAMES: [&str; 8] = [
                "geometry",
                "point",
                "linestring",
                "polygon",
                "multipoint",
                "multilinestring",
                "multipolygon",
                "geomcollection",
            ];
            let name = details.geometry.and_then(|geometry| NAMES.get(geometry as usize));
            name.unwrap_or(&NAMES[0]).to_string()
        }
        WireType::Vector(_) => details.dimensions.map_or("vector".to_owned(), |count| format!("vector({count})")),
        WireType::Enum(_) | WireType::Set(_) => {
            let (word, labels) = match sql_type {
                SqlType::Enum { labels } => ("enum", labels),
                SqlType::Set { labels } => ("set", labels),
                _ => unreachable!("made from the wire type"),
            };
            let quoted: Vec<String> = labels.iter().map(|label| quoted(&as_the_catalogue_shows(label))).collect();
            format!("{word}({})", quoted.join(","))
        }
    }
}

/// A column's type as the catalogue writes it, less what a table map does not say: display widths and ZEROFILL.
pub fn type_text_of_map(text: &str) -> String {
    let text = text.split(" /*").next().unwrap_or(text);
    let text = text.strip_suffix(" zerofill").unwrap_or(text);
    let name_end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    match &text[..name_end] {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "float" | "double" | "year" => {
            let rest = &text[name_end..];
            let rest = rest.split_once(')').map_or(rest, |(_, attributes)| attributes);
            format!("{}{rest}", &text[..name_end])
        }
        "geometrycollection" => "geomcollection".to_owned(),
        _ => text.to_owned(),
    }
}

/// A label as the server writes it in a column's type.
pub(crate) fn quoted(label: &str) -> String {
    let mut out = String::from("'");
    for character in label.chars() {
        match character {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            other => out.push(other),
        }
    }
    out.push('\'');
    out
}

/// By how many bytes per character the server reckons a column's length.
pub(crate) fn bytes_per_character(charset: Charset) -> u16 {
    match charset {
        Charset::Utf8mb4 | Charset::Utf16 | Charset::Utf16le | Charset::Utf32 | Charset::Gb18030 => 4,
        Charset::Utf8mb3 | Charset::Ujis | Charset::Eucjpms => 3,
        Charset::Ucs2
        | Charset::Gbk
        | Charset::Gb2312
        | Charset::Big5
        | Charset::Sjis
        | Charset::Cp932
        | Charset::Euckr => 2,
        _ => 1,
    }
}

/// Whether a table map fits a table: as many columns, and each of the type that its values need. One with full metadata
/// must say the same in everything that it says.
pub fn check_against(map: &TableMap<'_>, table: &Table) -> Result<(), Fault> {
    let types = map.wire_types()?;
    let details = map.details()?;
    // A column that the table is known to have is not hidden, whatever its name.
    let visible = if types.len() == table.columns().len() { types.len() } else { details.visible_count() };
    let hides_key = details.primary_key.as_ref().is_some_and(|key| key.iter().any(|&index| index >= visible));
    let described = described(map, &details, visible)?;
    let differs = |index: &usize| {
        let column = &table.columns()[*index];
        let differs = |described: &TableParts| !is_described_by(column, &described.columns[*index]);
        !fits(types[*index], &details.columns[*index], column)
            || map.is_nullable(*index) != column.nullable
            || described.as_ref().is_some_and(differs)
    };
    let are_numbers = types[visible..].iter().all(|wire| *wire == WireType::Int(8));
    let (first, keys_differ) = if visible != table.columns().len() || !are_numbers {
        (None, false)
    } else if let Some(index) = (0..visible).find(differs) {
        (Some(table.columns()[index].name.clone()), false)
    } else if described
        .is_some_and(|described| !is_key_described_by(table, &described, details.has_prefix_key || hides_key))
    {
        (None, true)
    } else {
        return Ok(());
    };
    let describe = |(wire, details): (&WireType, &ColumnDetails<'_>)| {
        let charset = details.collation.and_then(Charset::from_collation_id).filter(|charset| !charset.is_binary());
        let labels = vec![String::new(); details.labels.as_ref().map_or(0, Vec::len)];
        let sql_type = sql_type(*wire, details.unsigned == Some(true), charset.is_some(), labels);
        let text = match wire {
            WireType::Enum(bytes) => format!("enum of {bytes} bytes"),
            WireType::Set(bytes) => format!("set of {bytes} bytes"),
            wire => type_text(*wire, &sql_type, details, charset),
        };
        match (details.name, charset) {
            (Some(name), _) => format!("{name} {text}"),
            (None, Some(charset)) => format!("{text} {}", charset.name()),
            (None, None) => text,
        }
    };
    let mismatch = ColumnMismatch {
        first,
        keys_differ,
        in_binlog: types.iter().zip(&details.columns).map(describe).collect(),
        known: table.columns().iter().map(|column| format!("{} {}", column.name, column.type_text)).collect(),
    };
    Err(Fault::Columns { table: map.name(), mismatch })
}

/// Whether a column is what a table map says of it.
fn is_described_by(column: &Column, described: &Column) -> bool {
    let charset =
        |column: &Column| column.charset.as_deref().and_then(Charset::from_name).filter(|charset| !charset.is_binary());
    let same_type = match (&column.sql_type, &described.sql_type) {
        (SqlType::Enum { labels }, SqlType::Enum { labels: others })
        | (SqlType::Set { labels }, SqlType::Set { labels: others }) => are_labels_of(labels, others),
        _ => {
            column.sql_type == described.sql_type
                && type_text_of_map(&column.type_text) == type_text_of_map(&described.type_text)
        }
    };
    same_type && column.name == described.name && charset(column) == charset(described)
}

/// Whether labels are those that a table map has, as far as the catalogue that told them could show them.
pub(crate) fn are_labels_of(known: &[String], described: &[String]) -> bool {
    let is_it = |(known, described): (&String, &String)| {
        known == described || (known.contains('?') && *known == as_the_catalogue_shows(described))
    };
    known.len() == described.len() && known.iter().zip(described).all(is_it)
}

/// Whether a table's keys can be what a table map says of them: that of a table without a primary key names another.
fn is_key_described_by(table: &Table, described: &TableParts, has_other_key: bool) -> bool {
    let key = described.unique_keys.first().map(|key| key.columns.as_slice());
    match (table.primary_key(), key) {
        (Some(primary), key) => key == Some(primary),
        (None, Some(key)) => table.unique_keys().iter().any(|known| known.columns == key),
        (None, None) => has_other_key || table.unique_keys().is_empty(),
    }
}

fn fits(wire: WireType, details: &ColumnDetails<'_>, column: &Column) -> bool {
    let charset = details.collation.and_then(Charset::from_collation_id);
    let text = || match (charset, column.charset.as_deref().and_then(Charset::from_name)) {
        (Some(in_binlog), Some(known)) => in_binlog == known,
        (Some(in_binlog), None) => !in_binlog.is_binary(),
        (None, _) => true,
    };
    let binary = || charset.is_none_or(Charset::is_binary);
    match (wire, &column.sql_type) {
        (WireType::Int(wire), SqlType::Int { bytes, unsigned }) => {
            wire == *bytes && details.unsigned.is_none_or(|in_binlog| in_binlog == *unsigned)
        }
        (WireType::Float, SqlType::Float)
        | (WireType::Double, SqlType::Double)
        | (WireType::Year, SqlType::Year)
        | (WireType::Date, SqlType::Date)
        | (WireType::OldTime, SqlType::Time { .. })
        | (WireType::OldDateTime, SqlType::DateTime { .. })
        | (WireType::OldTimestamp, SqlType::Timestamp { .. })
        | (WireType::Json(_), SqlType::Json)
        | (WireType::Geometry(_), SqlType::Geometry)
        | (WireType::Vector(_), SqlType::Vector) => true,
        (WireType::Decimal { precision: p, scale: s }, SqlType::Decimal { precision, scale }) => {
            p == *precision && s == *scale
        }
        (WireType::Bit(wire), SqlType::Bit { width }) => wire == *width,
        (WireType::Time(wire), SqlType::Time { fraction })
        | (WireType::DateTime(wire), SqlType::DateTime { fraction })
        | (WireType::Timestamp(wire), SqlType::Timestamp { fraction }) => wire == *fraction,
        (WireType::Fixed { bytes_max }, SqlType::Char) => match bytes_of_text_type(&column.type_text) {
            Some(bytes) => bytes_max == bytes && binary(),
            None => text(),
        },
        (WireType::Variable { .. } | WireType::CompressedVariable { .. }, SqlType::VarChar)
        | (WireType::Blob(_) | WireType::CompressedBlob(_), SqlType::Text) => text(),
        (WireType::Variable { .. }, SqlType::Vector) => binary(),
        (WireType::Fixed { bytes_max }, SqlType::Binary { length }) => bytes_max as u32 == *length && binary(),
        (WireType::Variable { .. } | WireType::CompressedVariable { .. }, SqlType::VarBinary)
        | (WireType::Blob(_) | WireType::CompressedBlob(_), SqlType::Blob) => binary(),
        (WireType::Enum(bytes), SqlType::Enum { labels }) => {
            bytes == if labels.len() < 256 { 1 } else { 2 } && same_count(details, labels)
        }
        (WireType::Set(bytes), SqlType::Set { labels }) => {
            let needed = labels.len().div_ceil(8).max(1);
            bytes as usize == if needed > 4 { 8 } else { needed } && same_count(details, labels)
        }
        _ => false,
    }
}

fn same_count(details: &ColumnDetails<'_>, labels: &[String]) -> bool {
    details.labels.as_ref().is_none_or(|in_binlog| in_binlog.len() == labels.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_does_not_say_widths() {
        for (text, expected) in [
            ("int(10) unsigned zerofill", "int unsigned"),
            ("bigint(20)", "bigint"),
            ("int", "int"),
            ("decimal(10,2) unsigned zerofill", "decimal(10,2) unsigned"),
            ("double(10,2)", "double"),
            ("float unsigned", "float unsigned"),
            ("year(4)", "year"),
            ("datetime(3) /* mariadb-5.3 */", "datetime(3)"),
            ("varchar(20)", "varchar(20)"),
            ("geometrycollection", "geomcollection"),
            ("enum('int(3) zerofill')", "enum('int(3) zerofill')"),
        ] {
            assert_eq!(type_text_of_map(text), expected);
        }
    }

    /// `(v VECTOR(2), a VARCHAR(10) CHARACTER SET latin1, j JSON, b VARCHAR(10))`, b in utf8mb4.
    #[test]
    fn a_vector_has_a_collation_and_json_has_none() {
        let collations = [2, 7, 0xfc, 0xff, 0, 0, 63, 1, 8];
        let mut body = b"\0\0\x01d\0\x01t\0\x04\xf2\x0f\xf5\x0f\x06\x04\x0a\0\x04\x28\0\x0f".to_vec();
        body.extend_from_slice(&collations);
        let details = TableMap::parse(&body).unwrap().details().unwrap();
        let collations: Vec<_> = details.columns.iter().map(|column| column.collation).collect();
        assert_eq!(collations, [Some(63), Some(8), None, Some(255)]);
    }

    /// `(a INT)`, and the primary key that its server has made for it.
    #[test]
    fn a_key_that_the_server_has_added_is_none_of_the_table() {
        for name in ["__#alibaba_rds_row_id#__", "_drds_implicit_id_"] {
            key_that_is_not_shown(name);
        }
    }

    fn key_that_is_not_shown(name: &str) {
        let mut body = b"\0\0\x01d\0\x01t\0\x02\x03\x08\0\0\x01\x01\0".to_vec();
        body.extend_from_slice(&[4, 3 + name.len() as u8, 1, b'a', name.len() as u8]);
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&[8, 1, 1]);
        let map = TableMap::parse(&body).unwrap();
        let described = table_from_full_metadata(&map).unwrap().unwrap();
        let names: Vec<&str> = described.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["a"]);
        assert_eq!(described.unique_keys, []);
        check_against(&map, &Table::from(described.clone())).unwrap();
        // Beside a key that cannot be a primary one there.
        let mut unique = described.clone();
        unique.unique_keys = vec![UniqueKey { name: "a".to_owned(), columns: vec![0] }];
        check_against(&map, &Table::from(unique)).unwrap();
        // A server that shows it in its catalogue.
        let key = Column { name: name.to_owned(), nullable: false, ..described.columns[0].clone() };
        let mut shown = described.clone();
        shown.columns.push(Column {
            sql_type: SqlType::Int { bytes: 8, unsigned: false },
            type_text: "bigint".to_owned(),
            ..key
        });
        assert!(check_against(&map, &Table::from(shown.clone())).is_err(), "the map says that it has a key");
        shown.unique_keys = vec![UniqueKey { name: "PRIMARY".to_owned(), columns: vec![1] }];
        check_against(&map, &Table::from(shown)).unwrap();
        // One of another type is no such key.
        let at = body.iter().position(|byte| *byte == 8).expect("its type");
        body[at] = 3;
        assert!(check_against(&TableMap::parse(&body).unwrap(), &Table::from(described)).is_err());
    }
}
