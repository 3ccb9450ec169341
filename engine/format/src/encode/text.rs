//! Values as text: what a cell looks like in a format that writes everything as strings.
//!
//! A column is bound once, then its cells are written one by one into a buffer, without a lookup or an allocation:
//!
//! ```text
//! Decimal128(10, 2)  bind ──► TextColumn ─┬─ write       1234      ─► 12.34
//!                                         └─ write_json  1234      ─► "12.34"
//! ```
//!
//! | MySQL | text |
//! |---|---|
//! | integers, BIT | decimal digits |
//! | DECIMAL(p, s) | plain digits, always s after the point |
//! | FLOAT, DOUBLE | the shortest digits that read back, laid out as Java does: `100.0`, `0.001`, `1.0E-4`, `1.6777216E7` |
//! | DATE, DATETIME(f) | `2024-02-29`, `2024-02-29 23:59:59.123456`: exactly f digits; impossible dates as they are |
//! | TIMESTAMP(f) | as DATETIME, moved to [`TextOptions::time_zone_offset_s`]; zero stays `0000-00-00 00:00:00` |
//! | TIME(f) | `-838:59:59.000000`: exactly f digits |
//! | YEAR | `2024`, `0000` |
//! | CHAR, VARCHAR, TEXT, JSON | as it is |
//! | BINARY, VARBINARY, BLOB, GEOMETRY (with its SRID) | each byte as the character of that number (ISO-8859-1) |
//! | ENUM | the label, or its number |
//! | SET | the labels in the order of the definition, joined by commas, or the bits as a number |
//! | VECTOR | a JSON array of FLOATs: `[1.5,2.0]` |
//!
//! Strings are escaped as fastjson2 escapes them, which is what Canal writes: `"` and `\` by a backslash, control
//! characters below U+0020 as `\b \t \n \f \r` or `\u00XX`, all else as it is.

mod numbers;
mod times;

use arrow::array::{Array, AsArray, BinaryArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;

pub use numbers::write_integer;
use numbers::{write_decimal128, write_decimal256, write_double, write_float, write_vector};
use tidegate_model::SqlType;
use times::{write_date, write_datetime, write_time, write_year};

/// How ENUM values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnumText {
    /// The number of the label, from 1; 0 for an invalid value.
    Index,
    Label,
}

impl EnumText {
    /// As a task file has them.
    pub const WORDS: &[(&str, Self)] = &[("label", EnumText::Label), ("index", EnumText::Index)];
}

/// How SET values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetText {
    /// The members as bits of a number, the first label as the lowest.
    Bits,
    Labels,
}

impl SetText {
    /// As a task file has them.
    pub const WORDS: &[(&str, Self)] = &[("label", SetText::Labels), ("bits", SetText::Bits)];
}

/// What the text of a value depends on besides its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextOptions {
    pub enum_as: EnumText,
    pub set_as: SetText,
    /// Time zone of TIMESTAMP text, in seconds east of UTC.
    pub time_zone_offset_s: i32,
}

/// A column whose cells have no text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    #[error("the column is {sql_type:?} but its values are {data_type}")]
    Type { sql_type: SqlType, data_type: DataType },
    #[error("the column's ENUM labels are not those of its values")]
    Labels,
    #[error("a VECTOR is not a whole number of floats long")]
    Vector,
    #[error("a GEOMETRY is shorter than its SRID")]
    Geometry,
}

/// A column ready to be written, cell by cell.
#[derive(Debug)]
pub struct TextColumn<'a> {
    nulls: Option<&'a NullBuffer>,
    cells: Cells<'a>,
}

#[derive(Debug)]
enum Cells<'a> {
    I8(&'a [i8]),
    I16(&'a [i16]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    U8(&'a [u8]),
    U16(&'a [u16]),
    U32(&'a [u32]),
    U64(&'a [u64]),
    F32(&'a [f32]),
    F64(&'a [f64]),
    Decimal128 { values: &'a [i128], scale: usize },
    Decimal256 { values: &'a [i256], scale: usize },
    Year(&'a [u16]),
    Date(&'a [i32]),
    Time { values: &'a [i64], fraction: usize },
    DateTime { values: &'a [i64], fraction: usize, offset_us: i64 },
    Text(&'a StringArray),
    Binary(&'a BinaryArray),
    Labels { keys: &'a [u16], labels: &'a StringArray },
    Members { values: &'a [u64], labels: &'a [String] },
    Vector(&'a BinaryArray),
}

impl<'a> TextColumn<'a> {
    pub fn bind(
        array: &'a dyn Array,
        sql_type: &'a SqlType,
        options: &TextOptions,
    ) -> Result<TextColumn<'a>, BindError> {
        if *array.data_type() != sql_type.arrow() {
            return Err(BindError::Type { sql_type: sql_type.clone(), data_type: array.data_type().clone() });
        }
        let cells = match sql_type {
            SqlType::Int { bytes: 1, unsigned: false } => Cells::I8(array.as_primitive::<Int8Type>().values()),
            SqlType::Int { bytes: 1, unsigned: true } => Cells::U8(array.as_primitive::<UInt8Type>().values()),
            SqlType::Int { bytes: 2, unsigned: false } => Cells::I16(array.as_primitive::<Int16Type>().values()),
            SqlType::Int { bytes: 2, unsigned: true } => Cells::U16(array.as_primitive::<UInt16Type>().values()),
            SqlType::Int { bytes: 8, unsigned: false } => Cells::I64(array.as_primitive::<Int64Type>().values()),
            SqlType::Int { bytes: 8, unsigned: true } | SqlType::Bit { .. } => {
                Cells::U64(array.as_primitive::<UInt64Type>().values())
            }
            SqlType::Int { unsigned: false, .. } => Cells::I32(array.as_primitive::<Int32Type>().values()),
            SqlType::Int { unsigned: true, .. } => Cells::U32(array.as_primitive::<UInt32Type>().values()),
            SqlType::Float => Cells::F32(array.as_primitive::<Float32Type>().values()),
            SqlType::Double => Cells::F64(array.as_primitive::<Float64Type>().values()),
            SqlType::Decimal { precision, scale } if *precision <= 38 => {
                Cells::Decimal128 { values: array.as_primitive::<Decimal128Type>().values(), scale: *scale as usize }
            }
            SqlType::Decimal { scale, .. } => {
                Cells::Decimal256 { values: array.as_primitive::<Decimal256Type>().values(), scale: *scale as usize }
            }
            SqlType::Year => Cells::Year(array.as_primitive::<UInt16Type>().values()),
            SqlType::Date => Cells::Date(array.as_primitive::<Date32Type>().values()),
            SqlType::Time { fraction } => Cells::Time {
                values: array.as_primitive::<DurationMicrosecondType>().values(),
                fraction: *fraction as usize,
            },
            SqlType::DateTime { fraction } => Cells::DateTime {
                values: array.as_primitive::<TimestampMicrosecondType>().values(),
                fraction: *fraction as usize,
                offset_us: 0,
            },
            SqlType::Timestamp { fraction } => Cells::DateTime {
                values: array.as_primitive::<TimestampMicrosecondType>().values(),
                fraction: *fraction as usize,
                offset_us: options.time_zone_offset_s as i64 * 1_000_000,
            },
            SqlType::Char | SqlType::VarChar | SqlType::Text | SqlType::Json => Cells::Text(array.as_string()),
            SqlType::Binary { .. } | SqlType::VarBinary | SqlType::Blob | SqlType::Geometry => {
                Cells::Binary(array.as_binary())
            }
            SqlType::Enum { labels } => {
                let array = array.as_dictionary::<UInt16Type>();
                // A kernel that merges dictionaries would have renumbered the values.
                if array.values().len() != labels.len() + 1 {
                    return Err(BindError::Labels);
                }
                let keys = array.keys().values();
                match options.enum_as {
                    EnumText::Index => Cells::U16(keys),
                    EnumText::Label => Cells::Labels { keys, labels: array.values().as_string() },
                }
            }
            SqlType::Set { labels } => {
                let values = array.as_primitive::<UInt64Type>().values();
                match options.set_as {
                    SetText::Bits => Cells::U64(values),
                    SetText::Labels => Cells::Members { values, labels },
                }
            }
            SqlType::Vector => {
                let array: &BinaryArray = array.as_binary();
                if !array.offsets().lengths().all(|length| length.is_multiple_of(4)) {
                    return Err(BindError::Vector);
                }
                Cells::Vector(array)
            }
        };
        Ok(TextColumn { nulls: array.nulls().filter(|nulls| nulls.null_count() > 0), cells })
    }

    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends the text of a cell that is not NULL. It is always UTF-8.
    #[inline]
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        match &self.cells {
            Cells::I8(values) => write_integer(values[row], out),
            Cells::I16(values) => write_integer(values[row], out),
            Cells::I32(values) => write_integer(values[row], out),
            Cells::I64(values) => write_integer(values[row], out),
            Cells::U8(values) => write_integer(values[row], out),
            Cells::U16(values) => write_integer(values[row], out),
            Cells::U32(values) => write_integer(values[row], out),
            Cells::U64(values) => write_integer(values[row], out),
            Cells::F32(values) => write_float(values[row], out),
            Cells::F64(values) => write_double(values[row], out),
            Cells::Decimal128 { values, scale } => write_decimal128(values[row], *scale, out),
            Cells::Decimal256 { values, scale } => write_decimal256(values[row], *scale, out),
            Cells::Year(values) => write_year(values[row] as i32, out),
            Cells::Date(values) => write_date(values[row], out),
            Cells::Time { values, fraction } => write_time(values[row], *fraction, out),
            Cells::DateTime { values, fraction, offset_us } => {
                write_datetime(values[row], *offset_us, *fraction, out);
            }
            Cells::Text(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Cells::Binary(array) => write_latin1(array.value(row), out),
            Cells::Labels { keys, labels } => out.extend_from_slice(labels.value(keys[row] as usize).as_bytes()),
            Cells::Members { values, labels } => {
                let mut separator: &[u8] = b"";
                for label in members(values[row], labels) {
                    out.extend_from_slice(separator);
                    out.extend_from_slice(label.as_bytes());
                    separator = b",";
                }
            }
            Cells::Vector(array) => write_vector(array.value(row), out),
        }
    }

    /// Appends the text of a cell that is not NULL as a JSON string, with its quotes.
    #[inline]
    pub fn write_json(&self, row: usize, out: &mut Vec<u8>) {
        match &self.cells {
            Cells::Text(array) => write_json_string(array.value(row), out),
            Cells::Labels { keys, labels } => write_json_string(labels.value(keys[row] as usize), out),
            Cells::Binary(array) => write_latin1_json(array.value(row), out),
            Cells::Members { values, labels } => {
                let text: Vec<&str> = members(values[row], labels).collect();
                write_json_string(&text.join(","), out);
            }
            // The text of all others has nothing to escape.
            _ => {
                out.push(b'"');
                self.write(row, out);
                out.push(b'"');
            }
        }
    }

    /// Whether two rows hold the same value, bit by bit; NULL is the same as NULL.
    #[inline]
    pub fn same(&self, a: usize, b: usize) -> bool {
        if self.nulls.is_some() {
            match (self.is_null(a), self.is_null(b)) {
                (true, true) => return true,
                (false, false) => {}
                _ => return false,
            }
        }
        match &self.cells {
            Cells::I8(values) => values[a] == values[b],
            Cells::I16(values) => values[a] == values[b],
            Cells::I32(values) | Cells::Date(values) => values[a] == values[b],
            Cells::I64(values) | Cells::Time { values, .. } | Cells::DateTime { values, .. } => values[a] == values[b],
            Cells::U8(values) => values[a] == values[b],
            Cells::U16(values) | Cells::Year(values) | Cells::Labels { keys: values, .. } => values[a] == values[b],
            Cells::U32(values) => values[a] == values[b],
            Cells::U64(values) | Cells::Members { values, .. } => values[a] == values[b],
            Cells::F32(values) => values[a].to_bits() == values[b].to_bits(),
            Cells::F64(values) => values[a].to_bits() == values[b].to_bits(),
            Cells::Decimal128 { values, .. } => values[a] == values[b],
            Cells::Decimal256 { values, .. } => values[a] == values[b],
            Cells::Text(array) => array.value(a) == array.value(b),
            Cells::Binary(array) | Cells::Vector(array) => array.value(a) == array.value(b),
        }
    }

    /// About how many bytes the cells take beyond [`width`], seldom less than they do.
    pub fn text_bytes(&self) -> usize {
        match &self.cells {
            Cells::Text(array) => text_size(array.value_offsets()),
            Cells::Binary(array) => text_size(array.value_offsets()) * 2,
            Cells::Vector(array) => text_size(array.value_offsets()) * 3,
            _ => 0,
        }
    }

    /// The value of an integer that is not NULL.
    ///
    /// # Panics
    /// If the column is none, or one of unsigned BIGINT.
    pub fn integer(&self, row: usize) -> i64 {
        match &self.cells {
            Cells::I8(values) => values[row].into(),
            Cells::I16(values) => values[row].into(),
            Cells::I32(values) => values[row].into(),
            Cells::I64(values) => values[row],
            Cells::U8(values) => values[row].into(),
            Cells::U16(values) => values[row].into(),
            Cells::U32(values) => values[row].into(),
            other => panic!("not a column of integers that an i64 holds: {other:?}"),
        }
    }

    /// The value of an unsigned integer that is not NULL.
    ///
    /// # Panics
    /// If the column is none.
    pub fn unsigned(&self, row: usize) -> u64 {
        match &self.cells {
            Cells::U8(values) => values[row] as u64,
            Cells::U16(values) => values[row] as u64,
            Cells::U32(values) => values[row] as u64,
            Cells::U64(values) => values[row],
            other => panic!("not a column of unsigned integers: {other:?}"),
        }
    }
}

/// Bytes between the first and the last offset: not the whole buffer where the array is a slice.
pub(super) fn text_size(offsets: &[i32]) -> usize {
    (offsets[offsets.len() - 1] - offsets[0]) as usize
}

/// The most that the text of a value takes by its type; 0 for texts and byte strings, of which only the value tells.
///
/// A SET counts as one label: few values have many.
pub fn width(sql_type: &SqlType, options: &TextOptions) -> usize {
    let longest = |labels: &[String]| labels.iter().map(|label| label.len() + 1).max().unwrap_or(0);
    match sql_type {
        SqlType::Int { bytes: 1, .. } => 4,
        SqlType::Int { bytes: 2, .. } => 6,
        SqlType::Int { bytes: 3 | 4, .. } => 11,
        SqlType::Int { .. } | SqlType::Bit { .. } => 20,
        SqlType::Float => 14,
        SqlType::Double => 24,
        // Sign, point and a zero before it.
        SqlType::Decimal { precision, .. } => usize::from(*precision) + 3,
        SqlType::Year => 4,
        SqlType::Date => 10,
        SqlType::Time { .. } => 17,
        SqlType::DateTime { .. } | SqlType::Timestamp { .. } => 26,
        SqlType::Enum { labels } => match options.enum_as {
            EnumText::Index => 5,
            EnumText::Label => longest(labels),
        },
        SqlType::Set { labels } => match options.set_as {
            SetText::Bits => 20,
            SetText::Labels => longest(labels),
        },
        SqlType::Char
        | SqlType::VarChar
        | SqlType::Text
        | SqlType::Binary { .. }
        | SqlType::VarBinary
        | SqlType::Blob
        | SqlType::Json
        | SqlType::Geometry
        | SqlType::Vector => 0,
    }
}

fn members(bits: u64, labels: &[String]) -> impl Iterator<Item = &str> {
    labels.iter().enumerate().filter(move |(index, _)| bits >> index & 1 == 1).map(|(_, label)| label.as_str())
}

/// Appends a JSON string with its quotes.
#[inline]
pub fn write_json_string(text: &str, out: &mut Vec<u8>) {
    // The fast way first makes room for the case that every byte is escaped: six times the text.
    if text.len() <= 1 << 16 {
        json_escape_simd::escape_into(text, out);
    } else {
        write_long_json_string(text, out);
    }
}

fn write_long_json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| needs_escape(byte)) {
        out.extend_from_slice(&rest[..at]);
        write_escaped(rest[at], out);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[inline]
fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn write_escaped(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(match byte {
        b'"' => b"\\\"",
        b'\\' => b"\\\\",
        0x08 => b"\\b",
        b'\t' => b"\\t",
        b'\n' => b"\\n",
        0x0c => b"\\f",
        b'\r' => b"\\r",
        _ => {
            return out.extend_from_slice(&[
                b'\\',
                b'u',
                b'0',
                b'0',
                HEX[(byte >> 4) as usize],
                HEX[byte as usize & 15],
            ]);
        }
    });
}

/// Each byte as the character of that number.
fn write_latin1(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.is_ascii() {
        return out.extend_from_slice(bytes);
    }
    out.reserve(bytes.len() * 2);
    for &byte in bytes {
        if byte < 0x80 {
            out.push(byte);
        } else {
            out.extend_from_slice(&[0xc0 | byte >> 6, 0x80 | byte & 0x3f]);
        }
    }
}

fn write_latin1_json(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() * 2 + 2);
    out.push(b'"');
    for &byte in bytes {
        if byte >= 0x80 {
            out.extend_from_slice(&[0xc0 | byte >> 6, 0x80 | byte & 0x3f]);
        } else if needs_escape(byte) {
            write_escaped(byte, out);
        } else {
            out.push(byte);
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests;
