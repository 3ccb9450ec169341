//! MySQL column types and the Arrow columns that hold them.
//!
//! | MySQL | Arrow | holds |
//! |---|---|---|
//! | TINYINT … BIGINT, UNSIGNED | Int8 … Int64, UInt8 … UInt64 (MEDIUMINT: 32 bits) | the number |
//! | FLOAT, DOUBLE | Float32, Float64 | the exact bits |
//! | DECIMAL(p, s) | Decimal128(p, s), Decimal256(p, s) above 38 digits | the exact number |
//! | BIT(n) | UInt64 | the bits, most significant first |
//! | YEAR | UInt16 | 0 or 1901 … 2155 |
//! | DATE | Date32 | days since 1970, or an [impossible date](#impossible-dates) |
//! | TIME(f) | Duration(µs) | −838:59:59 … 838:59:59: a span, not a time of day |
//! | DATETIME(f) | Timestamp(µs) | no time zone, or an impossible date |
//! | TIMESTAMP(f) | Timestamp(µs, "+00:00") | UTC, or the zero timestamp |
//! | CHAR, VARCHAR, TEXT | Utf8 | decoded from the column's character set |
//! | BINARY, VARBINARY, BLOB | Binary | BINARY(n) padded to n |
//! | ENUM | Dictionary(UInt16, Utf8) | the key is MySQL's ordinal, value 0 is `''` |
//! | SET | UInt64 | bit i is member i |
//! | JSON | Utf8 | the server's own text |
//! | GEOMETRY | Binary | 4 bytes SRID, then WKB |
//! | VECTOR | Binary | 32-bit floats, little endian |
//!
//! # Impossible dates
//!
//! MySQL stores dates that no calendar has: `0000-00-00`, `2010-00-10`, `2023-02-31`. Arrow's dates are day numbers and
//! cannot hold them, and turning them into NULL would change data. They lie below every real date instead, with
//! their digits packed into the value, so that every encoder can print them back exactly. Among themselves they order as
//! in MySQL; against real dates only `0000-00-00` does (MySQL puts 2010-00-10 after 2009-12-31):
//!
//! ```text
//! Date32              i32::MIN +  (year << 9 | month << 5 | day)
//! Timestamp(µs)       i64::MIN + ((year << 9 | month << 5 | day) << 37 | microseconds of the day)
//! ```

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use serde::{Deserialize, Serialize};

pub use tidegate_digits::{
    IMPOSSIBLE_DATE_END, IMPOSSIBLE_DATETIME_END, ZERO_DATETIME, date_from_parts, date_parts, datetime_from_parts,
    datetime_parts,
};

/// The type of a column as far as its values' bytes depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SqlType {
    /// `bytes` is 1, 2, 3, 4 or 8.
    Int {
        bytes: u8,
        unsigned: bool,
    },
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    /// `width` in bits, 1 to 64.
    Bit {
        width: u8,
    },
    Year,
    Date,
    /// `fraction`: digits after the second, 0 to 6; so for the two below.
    Time {
        fraction: u8,
    },
    DateTime {
        fraction: u8,
    },
    Timestamp {
        fraction: u8,
    },
    Char,
    VarChar,
    /// TINYTEXT to LONGTEXT.
    Text,
    /// `length` in bytes: the binlog drops trailing zero bytes, which are put back.
    Binary {
        length: u32,
    },
    VarBinary,
    /// TINYBLOB to LONGBLOB.
    Blob,
    Enum {
        labels: Arc<[String]>,
    },
    Set {
        labels: Arc<[String]>,
    },
    Json,
    Geometry,
    Vector,
}

impl SqlType {
    /// Of ENUM and SET.
    pub fn labels(&self) -> Option<&Arc<[String]>> {
        match self {
            SqlType::Enum { labels } | SqlType::Set { labels } => Some(labels),
            _ => None,
        }
    }

    /// The same with other labels, where it has some.
    pub fn with_labels(&self, labels: Arc<[String]>) -> SqlType {
        match self {
            SqlType::Enum { .. } => SqlType::Enum { labels },
            SqlType::Set { .. } => SqlType::Set { labels },
            other => other.clone(),
        }
    }

    pub fn arrow(&self) -> DataType {
        match *self {
            SqlType::Int { bytes: 1, unsigned: false } => DataType::Int8,
            SqlType::Int { bytes: 1, unsigned: true } => DataType::UInt8,
            SqlType::Int { bytes: 2, unsigned: false } => DataType::Int16,
            SqlType::Int { bytes: 2, unsigned: true } => DataType::UInt16,
            SqlType::Int { bytes: 8, unsigned: false } => DataType::Int64,
            SqlType::Int { bytes: 8, unsigned: true } => DataType::UInt64,
            SqlType::Int { unsigned: false, .. } => DataType::Int32,
            SqlType::Int { unsigned: true, .. } => DataType::UInt32,
            SqlType::Float => DataType::Float32,
            SqlType::Double => DataType::Float64,
            SqlType::Decimal { precision, scale } if precision <= 38 => DataType::Decimal128(precision, scale as i8),
            SqlType::Decimal { precision, scale } => DataType::Decimal256(precision, scale as i8),
            SqlType::Bit { .. } | SqlType::Set { .. } => DataType::UInt64,
            SqlType::Year => DataType::UInt16,
            SqlType::Date => DataType::Date32,
            SqlType::Time { .. } => DataType::Duration(TimeUnit::Microsecond),
            SqlType::DateTime { .. } => DataType::Timestamp(TimeUnit::Microsecond, None),
            SqlType::Timestamp { .. } => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
            SqlType::Char | SqlType::VarChar | SqlType::Text | SqlType::Json => DataType::Utf8,
            SqlType::Binary { .. } | SqlType::VarBinary | SqlType::Blob | SqlType::Geometry | SqlType::Vector => {
                DataType::Binary
            }
            SqlType::Enum { .. } => DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8)),
        }
    }

    /// Whether values are text in the column's character set.
    pub fn is_text(&self) -> bool {
        matches!(self, SqlType::Char | SqlType::VarChar | SqlType::Text)
    }
}
