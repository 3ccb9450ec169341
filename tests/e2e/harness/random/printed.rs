//! The oracle: rows as the server itself prints them, in the terms of a message.
//!
//! | | asked for as | then |
//! |---|---|---|
//! | integers, DECIMAL | `c + 0`, which drops the zeros of ZEROFILL | |
//! | FLOAT, DOUBLE | `c * 1e0`: a DOUBLE, which the server prints with all its digits; `+ 0e0` would lose -0 | compared by bits |
//! | BIT, ENUM, SET | `c \| 0` (`c + 0` makes a SET signed); or the labels | |
//! | BINARY, BLOB, GEOMETRY | bytes | as ISO-8859-1 |
//! | VECTOR | bytes | floats, compared by bits |
//! | all others | `CONVERT(c USING utf8mb4)` | |
//!
//! A message's own text of a number that is compared by bits is brought into the same form by [`normal`].

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Nature, RandomTable, Tag, quote};
use crate::harness::mysql::Mysql;
use crate::harness::source_state::Format;

/// A row, column by column.
pub(crate) type Image = Rc<[Option<String>]>;

/// The rows of the table, or of another one with the same columns, in the session's time zone.
pub(crate) fn images(mysql: &mut Mysql, table: &RandomTable, name: &str, format: Format) -> BTreeMap<Tag, Image> {
    let expressions: Vec<_> =
        table.columns.iter().map(|column| expression(&column.sql_type.nature, &quote(&column.name), format)).collect();
    let tag_index = table.tag_index();
    let mut images = BTreeMap::new();
    mysql.for_each(&format!("SELECT {} FROM {name}", expressions.join(", ")), |row| {
        let values: Vec<Option<Vec<u8>>> = row.unwrap().into_iter().map(mysql_async::from_value).collect();
        let texts = values.into_iter().zip(&table.columns);
        let image: Image = texts.map(|(value, column)| Some(text(&column.sql_type.nature, value?, format))).collect();
        let tag = image[tag_index].as_ref().expect("never NULL").parse().expect("a number");
        assert!(images.insert(tag, image).is_none(), "{name} has two rows of one tag");
    });
    images
}

fn expression(nature: &Nature, name: &str, format: Format) -> String {
    match (nature, format) {
        (Nature::Int { .. } | Nature::Decimal { .. }, _) => format!("{name} + 0"),
        (Nature::Float | Nature::Double, _) => format!("{name} * 1e0"),
        (Nature::Bit { .. }, _) | (Nature::Enum { .. } | Nature::Set { .. }, Format::Canal) => format!("{name} | 0"),
        (Nature::Bytes { .. } | Nature::Geometry { .. } | Nature::Vector { .. }, _) => name.to_owned(),
        _ => format!("CONVERT({name} USING utf8mb4)"),
    }
}

fn text(nature: &Nature, value: Vec<u8>, format: Format) -> String {
    match nature {
        Nature::Bytes { .. } | Nature::Geometry { .. } => value.into_iter().map(char::from).collect(),
        Nature::Vector { .. } => floats(&value),
        _ => {
            let text = normal(nature, &String::from_utf8(value).expect("utf8mb4"));
            match nature {
                // Of a value without its column, nobody knows how many digits behind the second it has.
                Nature::Time { .. } | Nature::DateTime { .. } | Nature::Timestamp { .. }
                    if format == Format::Avro && text.contains('.') =>
                {
                    text.trim_end_matches('0').trim_end_matches('.').to_owned()
                }
                _ => text,
            }
        }
    }
}

fn floats(bytes: &[u8]) -> String {
    let floats: Vec<f32> = bytes.as_chunks().0.iter().map(|float| f32::from_le_bytes(*float)).collect();
    format!("{floats:?}")
}

/// The text, or, of floats, the one text for each number. What is no number stays and differs from all.
pub(crate) fn normal(nature: &Nature, text: &str) -> String {
    let normal = match nature {
        // A FLOAT's own text has few digits and the DOUBLE that the server makes of it many: the same number all the same.
        Nature::Float => text.parse::<f32>().ok().map(|float| format!("{float:?}")),
        Nature::Double => text.parse::<f64>().ok().map(|double| format!("{double:?}")),
        // A list of numbers, or the bytes.
        Nature::Vector { .. } => {
            let list = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
            let listed = list.and_then(|list| list.split(',').map(str::parse).collect::<Result<Vec<f32>, _>>().ok());
            let bytes = || text.chars().map(|byte| u8::try_from(byte).ok()).collect::<Option<Vec<u8>>>();
            listed.map(|floats| format!("{floats:?}")).or_else(|| bytes().map(|bytes| floats(&bytes)))
        }
        _ => None,
    };
    normal.unwrap_or_else(|| text.to_owned())
}
