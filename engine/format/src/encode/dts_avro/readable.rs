//! A datum as text, for people.
//!
//! ```text
//! UPDATE shop.orders  id 1700000000000000  at 1700000000  position 100@1  safe 40@1  MySQL 9.7.4
//!   tags metaVersion=7 pk_uk_info={"PRIMARY":["id"]} …
//!   id      8  Integer(8) 7  Integer(8) 7
//!   note   15  null          Character(utf8mb4) "a"
//! ```
//!
//! Columns stand with their `dataTypeNumber`, the image before and the image after, as far as there are any. It is
//! `apache-avro` that reads the datum: what is shown here, others can read too.

use apache_avro::types::Value;
use apache_avro::{AvroResult, Schema};

/// Reads datums with the schema alone.
pub struct Reader {
    schema: Schema,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader::new()
    }
}

impl Reader {
    pub fn new() -> Reader {
        Reader { schema: Schema::parse_str(super::SCHEMA).expect("the schema is a constant") }
    }

    /// The text of one message's value.
    pub fn readable(&self, datum: &[u8]) -> AvroResult<String> {
        Ok(draw(&self.read(datum)?))
    }

    pub(super) fn read(&self, mut datum: &[u8]) -> AvroResult<Value> {
        let reader = apache_avro::reader::datum::GenericDatumReader::builder(&self.schema).build()?;
        reader.read_value(&mut datum)
    }
}

fn draw(record: &Value) -> String {
    let field = |name: &str| match record {
        Value::Record(fields) => fields.iter().find(|(field, _)| field == name).map(|(_, value)| unwrap(value)),
        _ => None,
    };
    let text = |name: &str| field(name).map(scalar).unwrap_or_default();
    let mut out = format!("{} {}", text("operation"), text("objectName"));
    let pairs =
        [("id", "id"), ("at", "sourceTimestamp"), ("position", "sourcePosition"), ("safe", "safeSourcePosition")];
    for (label, name) in pairs {
        out += &format!("  {label} {}", text(name));
    }
    if let Some(Value::Record(source)) = field("source") {
        let source: Vec<String> = source.iter().map(|(_, value)| scalar(value)).collect();
        out += &format!("  {}", source.join(" "));
    }
    if let Some(Value::Map(tags)) = field("tags") {
        let mut tags: Vec<_> = tags.iter().map(|(key, value)| format!(" {key}={}", scalar(value))).collect();
        tags.sort();
        out += &format!("\n  tags{}", tags.concat());
    }
    let images = ["beforeImages", "afterImages"].map(|name| match field(name) {
        Some(Value::Array(images)) => Some(images.iter().map(|value| image(unwrap(value))).collect::<Vec<_>>()),
        _ => None,
    });
    if let Some(Value::String(text)) = field("afterImages") {
        out += &format!("\n  {text}");
    }
    if let Some(Value::Array(fields)) = field("fields") {
        let fields: Vec<[String; 2]> = fields
            .iter()
            .filter_map(|field| match field {
                Value::Record(parts) => Some([scalar(&parts.first()?.1), scalar(&parts.get(1)?.1)]),
                _ => None,
            })
            .collect();
        let width =
            |texts: &mut dyn Iterator<Item = &String>| texts.map(|text| text.chars().count()).max().unwrap_or(0);
        let names = width(&mut fields.iter().map(|[name, _]| name));
        let before = width(&mut images[0].iter().flatten()).min(40);
        for (index, [name, number]) in fields.iter().enumerate() {
            out += &format!("\n  {name:names$}  {number:>3}");
            let last = images.iter().rposition(Option::is_some);
            for (side, images) in images.iter().enumerate() {
                let Some(image) = images.as_ref().and_then(|images| images.get(index)) else { continue };
                let width = if Some(side) == last { 0 } else { before };
                out += &format!("  {image:width$}");
            }
        }
    }
    out
}

/// What is in a union.
fn unwrap(value: &Value) -> &Value {
    match value {
        Value::Union(_, value) => value,
        other => other,
    }
}

fn scalar(value: &Value) -> String {
    match unwrap(value) {
        Value::Null => "null".to_owned(),
        Value::String(text) | Value::Enum(_, text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Long(number) => number.to_string(),
        Value::Double(number) => format!("{number:?}"),
        Value::Bytes(bytes) => bytes.iter().fold("x".to_owned(), |mut hex, byte| {
            hex += &format!("{byte:02x}");
            hex
        }),
        other => format!("{other:?}"),
    }
}

/// One branch of the union of images: what it is, and its value.
fn image(value: &Value) -> String {
    let Value::Record(fields) = value else { return scalar(value) };
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    let values: Vec<String> = fields.iter().map(|(_, value)| scalar(value)).collect();
    match (names.as_slice(), values.as_slice()) {
        (["precision", "value"], [precision, value]) => format!("Integer({precision}) {value}"),
        (["charset", "value"], [charset, _]) => {
            let Value::Bytes(bytes) = &fields[1].1 else { return format!("{value:?}") };
            format!("Character({charset}) {:?}", String::from_utf8_lossy(bytes))
        }
        (["value", "precision", "scale"], [text, precision, scale]) => {
            let kind = if matches!(fields[0].1, Value::Double(_)) { "Float" } else { "Decimal" };
            format!("{kind}({precision},{scale}) {text}")
        }
        (["timestamp", "millis"], [seconds, rest]) => format!("Timestamp {seconds} {rest}"),
        (["year", ..], parts) => format!("DateTime {}", parts.join(" ")),
        (["type", "value"], [kind, value]) => match &fields[1].1 {
            Value::Bytes(_) => format!("Binary({kind}) {value}"),
            _ => format!("TextObject({kind}) {value}"),
        },
        _ => format!("{value:?}"),
    }
}
