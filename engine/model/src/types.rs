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

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar, or the impossible-date form of its digits.
#[inline]
pub fn date_from_parts(year: u32, month: u32, day: u32) -> i32 {
    if month == 0 || day == 0 || day > days_in_month(year, month) {
        return i32::MIN + (year << 9 | month << 5 | day) as i32;
    }
    // Days from civil: years begin in March, so that the leap day is the last of its year.
    let y = year as i32 - (month <= 2) as i32;
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * ((month as i32 + 9) % 12) + 2) / 5 + day as i32 - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of a Date32 value, impossible dates included.
#[inline]
pub fn date_parts(days: i32) -> (u32, u32, u32) {
    if days < IMPOSSIBLE_DATE_END {
        let packed = (days - i32::MIN) as u32;
        return (packed >> 9, packed >> 5 & 15, packed & 31);
    }
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    ((year_of_era + era * 400 + (month <= 2) as i32) as u32, month as u32, day as u32)
}

/// Every impossible date lies below it, every real date above.
pub const IMPOSSIBLE_DATE_END: i32 = i32::MIN + (1 << 23);
/// Every impossible date-time lies below it, every real one above.
pub const IMPOSSIBLE_DATETIME_END: i64 = i64::MIN + (1 << 60);
/// `0000-00-00 00:00:00`.
pub const ZERO_DATETIME: i64 = i64::MIN;

const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;

/// Microseconds since 1970 of a date-time, or its impossible form.
#[inline]
pub fn datetime_from_parts(year: u32, month: u32, day: u32, microsecond_of_day: u64) -> i64 {
    let date = date_from_parts(year, month, day);
    if date < IMPOSSIBLE_DATE_END {
        let packed = (date - i32::MIN) as i64;
        return i64::MIN + (packed << 37 | microsecond_of_day as i64);
    }
    date as i64 * MICROSECONDS_PER_DAY + microsecond_of_day as i64
}

/// Date32 value (impossible dates included) and microsecond of the day of a Timestamp(µs) value.
#[inline]
pub fn datetime_parts(microseconds: i64) -> (i32, u64) {
    if microseconds < IMPOSSIBLE_DATETIME_END {
        let packed = microseconds.wrapping_sub(i64::MIN);
        return (i32::MIN + (packed >> 37) as i32, (packed & ((1 << 37) - 1)) as u64);
    }
    (microseconds.div_euclid(MICROSECONDS_PER_DAY) as i32, microseconds.rem_euclid(MICROSECONDS_PER_DAY) as u64)
}

fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_round_trip_possible_or_not() {
        assert_eq!(date_from_parts(1970, 1, 1), 0);
        assert_eq!(date_from_parts(2000, 3, 1), 11_017);
        assert_eq!(date_from_parts(9999, 12, 31), 2_932_896);
        let mut previous = i32::MIN;
        for year in 0..=9999 {
            for month in 0..=12 {
                for day in 0..=31 {
                    let days = date_from_parts(year, month, day);
                    assert_eq!(date_parts(days), (year, month, day));
                    if month > 0 && day > 0 && day <= days_in_month(year, month) {
                        assert!(days > IMPOSSIBLE_DATE_END && days > previous);
                        previous = days;
                    } else {
                        assert!(days < IMPOSSIBLE_DATE_END);
                    }
                }
            }
        }
    }

    #[test]
    fn date_times_round_trip_possible_or_not() {
        for (y, m, d) in
            [(0, 0, 0), (2010, 0, 10), (9999, 12, 0), (1969, 12, 31), (0, 1, 1), (9999, 12, 31), (2023, 2, 31)]
        {
            for microsecond in [0, 1, 86_399_999_999] {
                let (date, rest) = datetime_parts(datetime_from_parts(y, m, d, microsecond));
                assert_eq!((date_parts(date), rest), ((y, m, d), microsecond));
            }
        }
        assert_eq!(datetime_from_parts(0, 0, 0, 0), ZERO_DATETIME);
        assert_eq!(datetime_from_parts(1970, 1, 2, 5), MICROSECONDS_PER_DAY + 5);
    }
}
