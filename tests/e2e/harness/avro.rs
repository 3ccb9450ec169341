//! DTS Avro as a consumer sees it, read by `apache-avro` with the schema alone.
//!
//! A record becomes the same [`Message`] as Canal JSON's, so that all tests take both: values as the text that Canal JSON has in
//! its profile `dts`, but for the digits after a second, of which a record doesn't tell how many the column has: those at the
//! end that are zero are left out. `old` has what differs between the images.

use std::sync::LazyLock;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use serde_json::json;

use super::consume::{Kind, Message, Pairs, Row};

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    Schema::parse_str(include_str!("../../../engine/format/src/encode/dts_avro/record.avsc")).expect("a schema")
});

/// The first byte of every datum: version 0.
pub(crate) const FIRST_BYTE: u8 = 0;

pub(crate) fn parse(mut value: &[u8], partition: i32, offset: i64) -> Result<Message, String> {
    if value.len() <= 48 {
        return Err(format!("{} bytes: readers take it for a keep-alive", value.len()));
    }
    let reader = GenericDatumReader::builder(&SCHEMA).build().map_err(|error| error.to_string())?;
    let record = reader.read_value(&mut value).map_err(|error| error.to_string())?;
    if !value.is_empty() {
        return Err(format!("{} bytes behind the datum", value.len()));
    }
    let field = |name| inner(part(&record, name));
    let kind = match text(field("operation")).as_str() {
        "INIT" => Kind::Init,
        "INSERT" => Kind::Insert,
        "UPDATE" => Kind::Update,
        "DELETE" => Kind::Delete,
        "DDL" => Kind::Statement,
        "BEGIN" => Kind::Begin,
        "COMMIT" => Kind::Commit,
        "HEARTBEAT" => Kind::Heartbeat,
        other => return Err(format!("operation {other}")),
    };
    let position = text(field("sourcePosition"));
    let position = position.split_once('@').and_then(|(offset, file)| Some((file.parse().ok()?, offset.parse().ok()?)));
    if matches!(kind, Kind::Statement | Kind::Begin | Kind::Commit | Kind::Heartbeat) {
        let nothing = [field("fields"), field("beforeImages"), field("processTimestamps")];
        let (table, statement) = match (kind, field("objectName"), field("afterImages")) {
            (Kind::Statement, Value::String(database), Value::String(sql)) => {
                (database.clone(), Some(("DDL".to_owned(), sql.clone())))
            }
            (Kind::Begin | Kind::Commit | Kind::Heartbeat, Value::Null, Value::Null) => (String::new(), None),
            (_, name, images) => return Err(format!("objectName {name:?}, afterImages {images:?}")),
        };
        if nothing.iter().any(|value| **value != Value::Null) {
            return Err(format!("{nothing:?} where nothing belongs"));
        }
        return Ok(Message { statement, position, ..Message::without_row(kind, table, partition, offset) });
    }
    let Value::Array(fields) = field("fields") else { return Err("no fields".to_owned()) };
    let columns: Vec<(String, i32)> = fields
        .iter()
        .map(|field| match part(field, "dataTypeNumber") {
            Value::Int(number) => (text(part(field, "name")), *number),
            other => panic!("dataTypeNumber {other:?}"),
        })
        .collect();
    let row = |name| match field(name) {
        Value::Array(images) if images.len() == columns.len() => {
            let cells = columns.iter().zip(images);
            Ok(Some(Pairs(cells.map(|((name, number), image)| (name.clone(), cell(*number, inner(image)))).collect())))
        }
        Value::Null => Ok(None),
        other => Err(format!("{name}: {other:?}")),
    };
    let (before, after): (Option<Row>, Option<Row>) = (row("beforeImages")?, row("afterImages")?);
    let (data, old) = match (kind, before, after) {
        (Kind::Init | Kind::Insert, None, Some(row)) | (Kind::Delete, Some(row), None) => (row, None),
        (Kind::Update, Some(before), Some(after)) => {
            let changed = before.0.into_iter().zip(&after.0).filter(|((_, before), (_, after))| before != after);
            let old = Pairs(changed.map(|(pair, _)| pair).collect());
            (after, Some(old))
        }
        (_, before, after) => return Err(format!("images {before:?}, {after:?}")),
    };
    let Value::Map(tags) = field("tags") else { return Err("no tags".to_owned()) };
    let keys: serde_json::Value = serde_json::from_str(&text(tags.get("pk_uk_info").ok_or("no pk_uk_info")?))
        .map_err(|error| error.to_string())?;
    for column in keys.as_object().into_iter().flat_map(|keys| keys.values()).flat_map(|key| key.as_array()).flatten() {
        if !columns.iter().any(|(name, _)| column == name) {
            return Err(format!("pk_uk_info names {column}, which is not in fields"));
        }
    }
    let primary_key = keys.get("PRIMARY").map(|names| {
        names.as_array().into_iter().flatten().map(|name| name.as_str().expect("a name").to_owned()).collect()
    });
    let name = text(field("objectName"));
    let (database, table) = name.split_once('.').expect("database and table");
    let [database, table] = [database, table].map(|part| part.replace("\\u002E", "."));
    let numbers = |write: &dyn Fn(i32) -> String| {
        Pairs(columns.iter().map(|(name, number)| (name.clone(), write(*number))).collect())
    };
    Ok(Message {
        partition,
        offset,
        kind,
        database,
        table,
        data,
        old,
        primary_key,
        mysql_type: numbers(&|number| number.to_string()),
        sql_type: Pairs(columns.clone()),
        statement: None,
        position,
    })
}

/// The record as `tests/oracles/read_avro.py` shows it.
pub(crate) fn as_fastavro_shows(mut value: &[u8]) -> serde_json::Value {
    let reader = GenericDatumReader::builder(&SCHEMA).build().expect("a reader");
    let Value::Record(fields) = reader.read_value(&mut value).expect("a datum") else { panic!("not a record") };
    let shown = fields.iter().map(|(name, value)| {
        let value = match (name.as_str(), inner(value)) {
            ("fields", Value::Array(fields)) => fields
                .iter()
                .map(|field| json!([text(part(field, "name")), number(part(field, "dataTypeNumber"))]))
                .collect(),
            ("beforeImages" | "afterImages", Value::Array(images)) => images.iter().map(image_shown).collect(),
            (_, other) => shown(other),
        };
        (name.clone(), value)
    });
    serde_json::Value::Object(shown.collect())
}

/// Branches of the union of images, in the schema's order.
const BRANCHES: [&str; 13] = [
    "null",
    "Integer",
    "Character",
    "Decimal",
    "Float",
    "Timestamp",
    "DateTime",
    "TimestampWithTimeZone",
    "BinaryGeometry",
    "TextGeometry",
    "BinaryObject",
    "TextObject",
    "EmptyObject",
];

fn image_shown(image: &Value) -> serde_json::Value {
    match image {
        Value::Union(0, _) => serde_json::Value::Null,
        Value::Union(branch, value) => json!([BRANCHES[*branch as usize], shown(value)]),
        other => panic!("not a union: {other:?}"),
    }
}

fn shown(value: &Value) -> serde_json::Value {
    match inner(value) {
        Value::Null => serde_json::Value::Null,
        Value::Int(number) => json!(number),
        Value::Long(number) => json!(number),
        // The reader of the other text may be off by the last bit, and then is so for this one.
        Value::Double(number) => serde_json::from_str(&json!(number).to_string()).expect("a number"),
        Value::String(text) | Value::Enum(_, text) => json!(text),
        Value::Bytes(bytes) => json!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
        Value::Map(entries) => entries.iter().map(|(key, value)| (key.clone(), shown(value))).collect(),
        Value::Array(items) => items.iter().map(shown).collect(),
        Value::Record(fields) => fields.iter().map(|(name, value)| (name.clone(), shown(value))).collect(),
        other => panic!("the schema has no {other:?}"),
    }
}

fn part<'a>(record: &'a Value, name: &str) -> &'a Value {
    let Value::Record(fields) = record else { panic!("not a record: {record:?}") };
    &fields.iter().find(|(field, _)| field == name).unwrap_or_else(|| panic!("no {name}: {record:?}")).1
}

/// What is in a union.
fn inner(value: &Value) -> &Value {
    match value {
        Value::Union(_, value) => value,
        other => other,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) | Value::Enum(_, text) => text.clone(),
        other => panic!("not a text: {other:?}"),
    }
}

fn number(value: &Value) -> i64 {
    match inner(value) {
        Value::Int(number) => i64::from(*number),
        Value::Long(number) => *number,
        other => panic!("not a number: {other:?}"),
    }
}

/// The text of an image.
fn cell(type_number: i32, image: &Value) -> Option<String> {
    let Value::Record(fields) = image else {
        assert_eq!(*image, Value::Null, "an image");
        return None;
    };
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    Some(match (type_number, names.as_slice()) {
        (1 | 2 | 3 | 8 | 9 | 16, ["precision", "value"]) => text(part(image, "value")),
        (246, ["value", "precision", "scale"]) => text(part(image, "value")),
        (4 | 5, ["value", "precision", "scale"]) => {
            let Value::Double(value) = part(image, "value") else { panic!("{image:?}") };
            if type_number == 4 {
                let float = *value as f32;
                java_float(&format!("{float:e}"), &format!("{float:.1e}"))
            } else {
                java_float(&format!("{value:e}"), &format!("{value:.1e}"))
            }
        }
        (7, ["timestamp", "millis"]) => timestamp(number(part(image, "timestamp")), number(part(image, "millis"))),
        (10..=13, ["year", "month", "day", "hour", "minute", "second", "millis"]) => date_time(type_number, fields),
        (15 | 253 | 254, ["charset", "value"]) => {
            assert_eq!(text(part(image, "charset")), "utf8mb4");
            let Value::Bytes(bytes) = part(image, "value") else { panic!("{image:?}") };
            String::from_utf8(bytes.clone()).expect("utf8mb4")
        }
        (252, ["type", "value"]) => {
            let Value::Bytes(bytes) = part(image, "value") else { panic!("{image:?}") };
            bytes.iter().map(|&byte| char::from(byte)).collect()
        }
        (255, ["type", "value"]) => geometry(image),
        (245 | 247 | 248, ["type", "value"]) => text(part(image, "value")),
        _ => panic!("type {type_number} with {image:?}"),
    })
}

/// With the four bytes of its SRID before it, as MySQL and Canal have it.
fn geometry(image: &Value) -> String {
    let Value::Bytes(wkb) = part(image, "value") else { panic!("{image:?}") };
    let kind = text(part(image, "type"));
    let srid: u32 = match kind.strip_prefix("GEOMETRY") {
        Some("") => 0,
        Some(rest) => rest.strip_prefix(";SRID=").and_then(|srid| srid.parse().ok()).expect("an SRID"),
        None => panic!("{kind}"),
    };
    srid.to_le_bytes().iter().chain(wkb).map(|&byte| char::from(byte)).collect()
}

fn date_time(type_number: i32, fields: &[(String, Value)]) -> String {
    let parts: Vec<Option<i64>> =
        fields.iter().map(|(_, value)| if *inner(value) == Value::Null { None } else { Some(number(value)) }).collect();
    match (type_number, parts.as_slice()) {
        (13, [Some(year), None, None, None, None, None, None]) => format!("{year:04}"),
        (10, [Some(year), Some(month), Some(day), None, None, None, None]) => format!("{year:04}-{month:02}-{day:02}"),
        (11, [None, None, None, Some(hour), Some(minute), Some(second), Some(rest)]) => {
            let parts = [*hour, *minute, *second, *rest];
            assert!(parts.iter().all(|part| *part >= 0) || parts.iter().all(|part| *part <= 0), "{parts:?}");
            let sign = if parts.iter().any(|part| *part < 0) { "-" } else { "" };
            let [hour, minute, second, rest] = parts.map(i64::abs);
            format!("{sign}{hour:02}:{minute:02}:{second:02}{}", fraction(rest))
        }
        (12, [Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second), Some(rest)]) => {
            format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{}", fraction(*rest))
        }
        _ => panic!("type {type_number} with {parts:?}"),
    }
}

/// `.5`, or nothing.
fn fraction(microseconds: i64) -> String {
    let digits = format!(".{microseconds:06}");
    digits.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// In UTC; second 0, which no TIMESTAMP is, stands for the zero one.
fn timestamp(second: i64, microseconds: i64) -> String {
    if (second, microseconds) == (0, 0) {
        return "0000-00-00 00:00:00".to_owned();
    }
    let (mut days, clock) = (second.div_euclid(86_400), second.rem_euclid(86_400));
    let mut year = 1970;
    let length = |year: i64| if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) { 366 } else { 365 };
    while days >= length(year) {
        days -= length(year);
        year += 1;
    }
    let mut month = 1;
    for days_of_month in [31, length(year) - 337, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < days_of_month {
            break;
        }
        days -= days_of_month;
        month += 1;
    }
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    format!("{year:04}-{month:02}-{:02} {hour:02}:{minute:02}:{second:02}{}", days + 1, fraction(microseconds))
}

/// From `1.25e-5` to `1.25E-5`, and without an exponent from 0.001 to below 10,000,000. Java has two digits at least, and where
/// one were enough it has the best two.
fn java_float(shortest: &str, two_digits: &str) -> String {
    let scientific = if shortest.contains('.') { shortest } else { two_digits };
    let (mantissa, exponent) = scientific.split_once('e').expect("an exponent");
    let exponent: i32 = exponent.parse().expect("a number");
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let mut digits = mantissa.replace('.', "");
    if digits.len() == 2 && digits.ends_with('0') {
        digits.pop();
    }
    if digits == "0" {
        return format!("{sign}0.0");
    }
    if !(-3..7).contains(&exponent) {
        let rest = if digits.len() > 1 { &digits[1..] } else { "0" };
        return format!("{sign}{}.{rest}E{exponent}", &digits[..1]);
    }
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize - 1));
    }
    let whole = exponent as usize + 1;
    let padded = format!("{digits:0<width$}", width = whole + 1);
    format!("{sign}{}.{}", &padded[..whole], &padded[whole..])
}
