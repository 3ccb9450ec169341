//! Images: what a value of each MySQL type becomes.
//!
//! `dataTypeNumber` is MySQL's number of the type, as far as readers know it; the image is a branch of a union.
//!
//! | MySQL | number | image | holds |
//! |---|---|---|---|
//! | TINYINT, SMALLINT, MEDIUMINT, INT, BIGINT | 1, 2, 9, 3, 8 | Integer | `precision`: width in bytes; `value`: digits |
//! | BIT(n) | 16 | Integer | the bits as a number |
//! | DECIMAL | 246 | Decimal | plain digits; `precision` and `scale` of this value, as Java's `BigDecimal` counts them |
//! | FLOAT, DOUBLE | 4, 5 | Float | the exact value as a double; `precision` and `scale` 0 |
//! | DATE | 10 | DateTime | year, month, day, also of [impossible dates](tidegate_model::types#impossible-dates) |
//! | TIME(f) | 11 | DateTime | hour (any number), minute, second, `millis`; all of them negative for a negative span |
//! | DATETIME(f) | 12 | DateTime | all seven, also of impossible dates |
//! | TIMESTAMP(f) | 7 | Timestamp | seconds since 1970 UTC, `millis`; both 0 for `0000-00-00`, which no other TIMESTAMP is |
//! | YEAR | 13 | DateTime | year |
//! | CHAR, VARCHAR, TEXT | 254, 253, 15 | Character | `utf8mb4` and the text in it, whatever the column's character set |
//! | BINARY, VARBINARY | 252 | BinaryObject | `BINARY` |
//! | BLOB | 252 | BinaryObject | `BLOB` |
//! | VECTOR | 252 | BinaryObject | `BLOB`: 32-bit floats, little endian |
//! | ENUM | 247 | TextObject | `ENUM`: the label, or its number |
//! | SET | 248 | TextObject | `SET`: the labels, joined by commas, or the bits as a number |
//! | JSON | 245 | TextObject | `JSON`: the server's own text |
//! | GEOMETRY | 255 | BinaryGeometry | `GEOMETRY`, or `GEOMETRY;SRID=n` where that is not 0; WKB |
//! | NULL | any | null | |
//!
//! What is called `millis` holds microseconds: readers know it so.
//!
//! Text is written in utf8mb4 because that is where every value has exactly one form; readers take the name of the
//! character set from the image. MySQL puts four bytes of SRID before the WKB; readers expect WKB alone, and the string
//! beside it, which they ignore, is where the SRID goes.

use arrow::array::{Array, AsArray, BinaryArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;

use super::{write_bytes, write_long, write_str, write_with_length};
use crate::encode::text::{self, BindError, TextColumn, TextOptions, text_size};
use tidegate_model::SqlType;
use tidegate_model::types::{IMPOSSIBLE_DATETIME_END, date_parts, datetime_parts};

/// MySQL's number of a type, as `fields` names it.
pub fn data_type_number(sql_type: &SqlType) -> i32 {
    match sql_type {
        SqlType::Int { bytes: 1, .. } => 1,
        SqlType::Int { bytes: 2, .. } => 2,
        SqlType::Int { bytes: 3, .. } => 9,
        SqlType::Int { bytes: 8, .. } => 8,
        SqlType::Int { .. } => 3,
        SqlType::Float => 4,
        SqlType::Double => 5,
        SqlType::Decimal { .. } => 246,
        SqlType::Bit { .. } => 16,
        SqlType::Year => 13,
        SqlType::Date => 10,
        SqlType::Time { .. } => 11,
        SqlType::DateTime { .. } => 12,
        SqlType::Timestamp { .. } => 7,
        SqlType::Char => 254,
        SqlType::VarChar => 253,
        SqlType::Text => 15,
        SqlType::Binary { .. } | SqlType::VarBinary | SqlType::Blob | SqlType::Vector => 252,
        SqlType::Enum { .. } => 247,
        SqlType::Set { .. } => 248,
        SqlType::Json => 245,
        SqlType::Geometry => 255,
    }
}

/// The branches of the union of images that are written; their numbers are those of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image {
    Integer = 1,
    Character = 2,
    Decimal = 3,
    Float = 4,
    Timestamp = 5,
    DateTime = 6,
    BinaryGeometry = 8,
    BinaryObject = 10,
    TextObject = 11,
}

impl Image {
    pub fn of(sql_type: &SqlType) -> Image {
        match sql_type {
            SqlType::Int { .. } | SqlType::Bit { .. } => Image::Integer,
            SqlType::Decimal { .. } => Image::Decimal,
            SqlType::Float | SqlType::Double => Image::Float,
            SqlType::Timestamp { .. } => Image::Timestamp,
            SqlType::Year | SqlType::Date | SqlType::Time { .. } | SqlType::DateTime { .. } => Image::DateTime,
            SqlType::Char | SqlType::VarChar | SqlType::Text => Image::Character,
            SqlType::Binary { .. } | SqlType::VarBinary | SqlType::Blob | SqlType::Vector => Image::BinaryObject,
            SqlType::Enum { .. } | SqlType::Set { .. } | SqlType::Json => Image::TextObject,
            SqlType::Geometry => Image::BinaryGeometry,
        }
    }
}

/// What stands before every value of a column: the branch, and the fields of the image that the type decides.
pub(super) fn prefix(sql_type: &SqlType) -> Box<[u8]> {
    let mut out = vec![(Image::of(sql_type) as u8) << 1];
    match sql_type {
        SqlType::Int { bytes, .. } => write_long((*bytes).into(), &mut out),
        SqlType::Bit { width } => write_long(width.div_ceil(8).into(), &mut out),
        SqlType::Char | SqlType::VarChar | SqlType::Text => write_str("utf8mb4", &mut out),
        SqlType::Binary { .. } | SqlType::VarBinary => write_str("BINARY", &mut out),
        SqlType::Blob | SqlType::Vector => write_str("BLOB", &mut out),
        SqlType::Json => write_str("JSON", &mut out),
        SqlType::Enum { .. } => write_str("ENUM", &mut out),
        SqlType::Set { .. } => write_str("SET", &mut out),
        SqlType::Float
        | SqlType::Double
        | SqlType::Decimal { .. }
        | SqlType::Year
        | SqlType::Date
        | SqlType::Time { .. }
        | SqlType::DateTime { .. }
        | SqlType::Timestamp { .. }
        | SqlType::Geometry => {}
    }
    out.into()
}

/// A column ready to be written, cell by cell.
#[derive(Debug)]
pub(super) struct ImageColumn<'a> {
    nulls: Option<&'a NullBuffer>,
    /// From [`prefix`].
    prefix: &'a [u8],
    cells: Cells<'a>,
}

#[derive(Debug)]
enum Cells<'a> {
    /// Behind its length.
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    /// Numbers and labels.
    Rendered(TextColumn<'a>),
    Decimal {
        digits: TextColumn<'a>,
        scale: u8,
    },
    Float(&'a [f32]),
    Double(&'a [f64]),
    Timestamp(&'a [i64]),
    DateTime(&'a [i64]),
    Date(&'a [i32]),
    Time(&'a [i64]),
    Year(&'a [u16]),
    Geometry(&'a BinaryArray),
}

impl<'a> ImageColumn<'a> {
    pub(super) fn bind(
        array: &'a dyn Array,
        sql_type: &'a SqlType,
        prefix: &'a [u8],
        options: &TextOptions,
    ) -> Result<ImageColumn<'a>, BindError> {
        // It knows which arrays hold which type, and refuses all others.
        let rendered = TextColumn::bind(array, sql_type, options)?;
        let cells = match sql_type {
            SqlType::Int { .. } | SqlType::Bit { .. } | SqlType::Enum { .. } | SqlType::Set { .. } => {
                Cells::Rendered(rendered)
            }
            SqlType::Decimal { scale, .. } => Cells::Decimal { digits: rendered, scale: *scale },
            SqlType::Float => Cells::Float(array.as_primitive::<Float32Type>().values()),
            SqlType::Double => Cells::Double(array.as_primitive::<Float64Type>().values()),
            SqlType::Timestamp { .. } => Cells::Timestamp(array.as_primitive::<TimestampMicrosecondType>().values()),
            SqlType::DateTime { .. } => Cells::DateTime(array.as_primitive::<TimestampMicrosecondType>().values()),
            SqlType::Date => Cells::Date(array.as_primitive::<Date32Type>().values()),
            SqlType::Time { .. } => Cells::Time(array.as_primitive::<DurationMicrosecondType>().values()),
            SqlType::Year => Cells::Year(array.as_primitive::<UInt16Type>().values()),
            SqlType::Char | SqlType::VarChar | SqlType::Text | SqlType::Json => Cells::Text(array.as_string()),
            SqlType::Binary { .. } | SqlType::VarBinary | SqlType::Blob | SqlType::Vector => {
                Cells::Bytes(array.as_binary())
            }
            SqlType::Geometry => {
                let array: &BinaryArray = array.as_binary();
                let lengths = array.offsets().lengths().enumerate();
                if lengths.into_iter().any(|(row, length)| array.is_valid(row) && length < SRID_BYTES) {
                    return Err(BindError::Geometry);
                }
                Cells::Geometry(array)
            }
        };
        Ok(ImageColumn { nulls: array.nulls().filter(|nulls| nulls.null_count() > 0), prefix, cells })
    }

    #[inline]
    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return out.push(0);
        }
        out.extend_from_slice(self.prefix);
        match &self.cells {
            Cells::Text(array) => write_bytes(array.value(row).as_bytes(), out),
            Cells::Bytes(array) => write_bytes(array.value(row), out),
            Cells::Rendered(column) => write_with_length(out, |out| column.write(row, out)),
            Cells::Decimal { digits, scale } => {
                let at = out.len();
                let mut precision = 0;
                write_with_length(out, |out| {
                    digits.write(row, out);
                    precision = significant_digits(&out[at + 1..]);
                });
                write_long(precision as i64, out);
                write_long((*scale).into(), out);
            }
            Cells::Float(values) => write_float(values[row].into(), out),
            Cells::Double(values) => write_float(values[row], out),
            Cells::Timestamp(values) => {
                let microseconds = values[row];
                let (second, rest) = if microseconds < IMPOSSIBLE_DATETIME_END {
                    (0, 0)
                } else {
                    (microseconds.div_euclid(1_000_000), microseconds.rem_euclid(1_000_000))
                };
                write_long(second, out);
                write_long(rest, out);
            }
            Cells::DateTime(values) => {
                let (date, microsecond_of_day) = datetime_parts(values[row]);
                let (year, month, day) = date_parts(date);
                let [hour, minute, second, rest] = clock_parts(microsecond_of_day as i64);
                for part in [year.into(), month.into(), day.into(), hour, minute, second, rest] {
                    write_part(part, out);
                }
            }
            Cells::Date(values) => {
                let (year, month, day) = date_parts(values[row]);
                for part in [year, month, day] {
                    write_part(part.into(), out);
                }
                out.extend_from_slice(&[0; 4]);
            }
            Cells::Time(values) => {
                out.extend_from_slice(&[0; 3]);
                for part in clock_parts(values[row]) {
                    write_part(part, out);
                }
            }
            Cells::Year(values) => {
                write_part(values[row].into(), out);
                out.extend_from_slice(&[0; 6]);
            }
            Cells::Geometry(array) => {
                let (srid, wkb) = array.value(row).split_first_chunk::<SRID_BYTES>().expect("checked when bound");
                match u32::from_le_bytes(*srid) {
                    0 => write_str("GEOMETRY", out),
                    srid => write_str(&format!("GEOMETRY;SRID={srid}"), out),
                }
                write_bytes(wkb, out);
            }
        }
    }

    /// How many bytes the cells take beyond [`width`].
    pub(super) fn text_bytes(&self) -> usize {
        match &self.cells {
            Cells::Text(array) => text_size(array.value_offsets()),
            Cells::Bytes(array) | Cells::Geometry(array) => text_size(array.value_offsets()),
            _ => 0,
        }
    }
}

/// The most that a value takes by its type, behind its [`prefix`]; of texts and byte strings, what stands beside them.
pub(super) fn width(sql_type: &SqlType, options: &TextOptions) -> usize {
    match sql_type {
        SqlType::Int { .. } | SqlType::Bit { .. } => text::width(sql_type, options) + 1,
        SqlType::Enum { .. } | SqlType::Set { .. } => text::width(sql_type, options) + 2,
        // Length, precision and scale.
        SqlType::Decimal { .. } => text::width(sql_type, options) + 4,
        SqlType::Float | SqlType::Double => 10,
        SqlType::Timestamp { .. } => 9,
        SqlType::DateTime { .. } => 18,
        SqlType::Date => 11,
        SqlType::Time { .. } => 14,
        SqlType::Year => 9,
        // The length, and before it GEOMETRY;SRID=….
        SqlType::Geometry => 30,
        SqlType::Char
        | SqlType::VarChar
        | SqlType::Text
        | SqlType::Binary { .. }
        | SqlType::VarBinary
        | SqlType::Blob
        | SqlType::Json
        | SqlType::Vector => 5,
    }
}

/// The SRID before a geometry's WKB.
const SRID_BYTES: usize = 4;

fn write_float(value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
}

/// A field of DateTime that is not null.
fn write_part(value: i64, out: &mut Vec<u8>) {
    out.push(2);
    write_long(value, out);
}

/// Hours, minutes, seconds and microseconds, all with the sign of the span.
fn clock_parts(microseconds: i64) -> [i64; 4] {
    let seconds = microseconds / 1_000_000;
    [seconds / 3600, seconds / 60 % 60, seconds % 60, microseconds % 1_000_000]
}

/// Digits without leading zeros, of which a zero has one.
fn significant_digits(text: &[u8]) -> usize {
    let digits = text.iter().filter(|byte| byte.is_ascii_digit());
    digits.skip_while(|&&byte| byte == b'0').count().max(1)
}
