//! Decodes result rows of the binary protocol into column builders.
//!
//! ```text
//! row        [NULL bits: (columns + 9) / 8, column i at bit i + 2] [values of the columns that are not NULL]
//!
//! integers   1, 2, 4, 8 bytes, little endian; MEDIUMINT takes 4; FLOAT and DOUBLE are their bits, YEAR is a u16
//! DATE       [length 0 | 4]            [year: 2] [month] [day]
//! DATETIME   [length 0 | 4 | 7 | 11]   … [hour] [minute] [second] … [microsecond: 4]
//! TIME       [length 0 | 8 | 12]       [negative] [days: 4] [hour] [minute] [second] … [microsecond: 4]
//! others     [length-encoded] bytes: text, binary, BIT (most significant byte first), DECIMAL as digits
//! ```
//!
//! A length of 0 is the zero date or the time 00:00:00. ENUM and SET would come as text, which is ambiguous; they are
//! asked for as numbers. Everything else is asked for as it is: the binary protocol sends FLOAT exactly where text would
//! be rounded to six digits, and costs the server less.

use arrow::datatypes::i256;
use mysql_common::constants::{ColumnFlags, ColumnType};

use super::connection::quote_identifier;
use super::wire::ColumnInfo;
use tidegate_model::builder::push_bytes;
use tidegate_model::types::{date_from_parts, datetime_from_parts};
use tidegate_model::{ColumnBuilder, SqlType, Table, Values};

/// These columns of a table, by index, as [`RowDecoder`] wants to receive them. Named one by one: `*` would leave out invisible ones.
pub fn select_list(table: &Table, columns: &[usize]) -> String {
    let columns = columns.iter().map(|&index| {
        let column = &table.columns()[index];
        let name = quote_identifier(&column.name);
        match column.sql_type {
            SqlType::Enum { .. } | SqlType::Set { .. } => format!("CAST({name} AS UNSIGNED)"),
            // Under latin2_czech_cs alone, the bytes 80 to 9f are nothing to the server, and it would send `?` for them.
            _ if column.sql_type.is_text() && column.charset.as_deref() == Some("latin2") => {
                format!("{name} COLLATE latin2_general_ci")
            }
            _ => name,
        }
    });
    columns.collect::<Vec<_>>().join(", ")
}

/// The result is not what the table's definition says: the table was altered since it was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column \"{column}\" is {expected} in the definition that was read, the server now sends {found}")]
pub struct ColumnChanged {
    pub column: String,
    pub expected: String,
    pub found: String,
}

/// A row whose bytes are not values of its columns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("value of column number {column} (from 0) is malformed or cut off")]
pub struct MalformedRow {
    pub column: usize,
}

/// How the values of one column are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    I8,
    I16,
    /// Also MEDIUMINT.
    I32,
    I64,
    U8,
    /// Also YEAR.
    U16,
    U32,
    /// Also SET.
    U64,
    F32,
    F64,
    Decimal128 {
        scale: u8,
    },
    Decimal256 {
        scale: u8,
    },
    Bit,
    Date,
    Time,
    DateTime,
    /// A number that fits 16 bits, sent in 64.
    Enum,
    ShortEnum,
    ShortSet,
    Bytes,
}

/// Decodes the rows of one result.
#[derive(Debug)]
pub struct RowDecoder {
    /// Of each column that is sent: which of the table's it is, and how.
    forms: Vec<(usize, Form)>,
    null_bytes: usize,
}

impl RowDecoder {
    /// Resolves how each column is sent, and checks that it is sent so. `received` are the columns of [`select_list`], asked with the
    /// same `columns`.
    pub fn new(table: &Table, columns: &[usize], received: &[ColumnInfo]) -> Result<RowDecoder, ColumnChanged> {
        assert_eq!(columns.len(), received.len(), "every column that was asked for is sent");
        let forms = columns.iter().zip(received).map(|(&index, received)| {
            let column = &table.columns()[index];
            let form = form(&column.sql_type, received).ok_or_else(|| ColumnChanged {
                column: column.name.clone(),
                expected: column.type_text.clone(),
                found: format!("{:?}", received.column_type),
            })?;
            Ok((index, form))
        });
        let forms = forms.collect::<Result<Vec<_>, ColumnChanged>>()?;
        Ok(RowDecoder { null_bytes: (forms.len() + 9) / 8, forms })
    }

    /// Appends one row to the builders of the columns that are sent; `columns` are the builders of all. After an error they hold half
    /// a row and are of no use.
    #[inline]
    pub fn decode(&self, row: &[u8], columns: &mut [ColumnBuilder]) -> Result<(), MalformedRow> {
        let Some((nulls, mut rest)) = row.split_at_checked(self.null_bytes) else {
            return Err(MalformedRow { column: 0 });
        };
        for (sent, &(index, form)) in self.forms.iter().enumerate() {
            let column = &mut columns[index];
            let bit = sent + 2;
            if nulls[bit / 8] & (1 << (bit % 8)) != 0 {
                column.append_null();
                continue;
            }
            if append(form, &mut rest, &mut column.values).is_none() {
                return Err(MalformedRow { column: index });
            }
            column.append_valid();
        }
        if rest.is_empty() { Ok(()) } else { Err(MalformedRow { column: columns.len() }) }
    }
}

fn form(sql_type: &SqlType, received: &ColumnInfo) -> Option<Form> {
    use ColumnType::*;
    let sent = received.column_type;
    let sent_unsigned = received.flags.contains(ColumnFlags::UNSIGNED_FLAG);
    let is_string = matches!(
        sent,
        MYSQL_TYPE_STRING
            | MYSQL_TYPE_VAR_STRING
            | MYSQL_TYPE_VARCHAR
            | MYSQL_TYPE_TINY_BLOB
            | MYSQL_TYPE_BLOB
            | MYSQL_TYPE_MEDIUM_BLOB
            | MYSQL_TYPE_LONG_BLOB
            | MYSQL_TYPE_JSON
            | MYSQL_TYPE_GEOMETRY
            | MYSQL_TYPE_VECTOR
    );
    let (form, as_sent) = match *sql_type {
        SqlType::Int { bytes, unsigned } => {
            let (form, expected) = match (bytes, unsigned) {
                (1, false) => (Form::I8, MYSQL_TYPE_TINY),
                (1, true) => (Form::U8, MYSQL_TYPE_TINY),
                (2, false) => (Form::I16, MYSQL_TYPE_SHORT),
                (2, true) => (Form::U16, MYSQL_TYPE_SHORT),
                (3, false) => (Form::I32, MYSQL_TYPE_INT24),
                (3, true) => (Form::U32, MYSQL_TYPE_INT24),
                (4, false) => (Form::I32, MYSQL_TYPE_LONG),
                (4, true) => (Form::U32, MYSQL_TYPE_LONG),
                (_, false) => (Form::I64, MYSQL_TYPE_LONGLONG),
                (_, true) => (Form::U64, MYSQL_TYPE_LONGLONG),
            };
            (form, sent == expected && sent_unsigned == unsigned)
        }
        SqlType::Float => (Form::F32, sent == MYSQL_TYPE_FLOAT),
        SqlType::Double => (Form::F64, sent == MYSQL_TYPE_DOUBLE),
        SqlType::Decimal { precision, scale } => {
            let form = if precision <= 38 { Form::Decimal128 { scale } } else { Form::Decimal256 { scale } };
            (form, sent == MYSQL_TYPE_NEWDECIMAL && received.decimals == scale)
        }
        SqlType::Bit { .. } => (Form::Bit, sent == MYSQL_TYPE_BIT),
        SqlType::Year => (Form::U16, sent == MYSQL_TYPE_YEAR),
        SqlType::Date => (Form::Date, matches!(sent, MYSQL_TYPE_DATE | MYSQL_TYPE_NEWDATE)),
        SqlType::Time { .. } => (Form::Time, matches!(sent, MYSQL_TYPE_TIME | MYSQL_TYPE_TIME2)),
        SqlType::DateTime { .. } => (Form::DateTime, matches!(sent, MYSQL_TYPE_DATETIME | MYSQL_TYPE_DATETIME2)),
        SqlType::Timestamp { .. } => (Form::DateTime, matches!(sent, MYSQL_TYPE_TIMESTAMP | MYSQL_TYPE_TIMESTAMP2)),
        // MariaDB sends what fits as 32 bits.
        SqlType::Enum { .. } if sent == MYSQL_TYPE_LONG => (Form::ShortEnum, true),
        SqlType::Set { .. } if sent == MYSQL_TYPE_LONG => (Form::ShortSet, true),
        SqlType::Enum { .. } => (Form::Enum, sent == MYSQL_TYPE_LONGLONG),
        SqlType::Set { .. } => (Form::U64, sent == MYSQL_TYPE_LONGLONG),
        SqlType::Char
        | SqlType::VarChar
        | SqlType::Text
        | SqlType::Binary { .. }
        | SqlType::VarBinary
        | SqlType::Blob
        | SqlType::Json
        | SqlType::Geometry
        | SqlType::Vector => (Form::Bytes, is_string),
    };
    as_sent.then_some(form)
}

/// Takes one value off the row. `None` if it is malformed.
#[inline(always)]
fn append(form: Form, rest: &mut &[u8], values: &mut Values) -> Option<()> {
    match (form, values) {
        (Form::I8, Values::I8(out)) => out.push(i8::from_le_bytes(take(rest)?)),
        (Form::I16, Values::I16(out)) => out.push(i16::from_le_bytes(take(rest)?)),
        (Form::I32, Values::I32(out)) => out.push(i32::from_le_bytes(take(rest)?)),
        (Form::I64, Values::I64(out)) => out.push(i64::from_le_bytes(take(rest)?)),
        (Form::U8, Values::U8(out)) => out.push(u8::from_le_bytes(take(rest)?)),
        (Form::U16, Values::U16(out)) => out.push(u16::from_le_bytes(take(rest)?)),
        (Form::U32, Values::U32(out)) => out.push(u32::from_le_bytes(take(rest)?)),
        (Form::U64, Values::U64(out)) => out.push(u64::from_le_bytes(take(rest)?)),
        (Form::F32, Values::F32(out)) => out.push(f32::from_le_bytes(take(rest)?)),
        (Form::F64, Values::F64(out)) => out.push(f64::from_le_bytes(take(rest)?)),
        (Form::Decimal128 { scale }, Values::I128(out)) => out.push(parse_decimal128(take_bytes(rest)?, scale)?),
        (Form::Decimal256 { scale }, Values::I256(out)) => out.push(parse_decimal256(take_bytes(rest)?, scale)?),
        (Form::Bit, Values::U64(out)) => out.push(parse_bits(take_bytes(rest)?)?),
        (Form::Date, Values::I32(out)) => out.push(parse_date(take_packed(rest)?)?),
        (Form::Time, Values::I64(out)) => out.push(parse_time(take_packed(rest)?)?),
        (Form::DateTime, Values::I64(out)) => out.push(parse_datetime(take_packed(rest)?)?),
        (Form::Enum, Values::U16(out)) => out.push(u64::from_le_bytes(take(rest)?).try_into().ok()?),
        (Form::ShortEnum, Values::U16(out)) => out.push(u32::from_le_bytes(take(rest)?).try_into().ok()?),
        (Form::ShortSet, Values::U64(out)) => out.push(u32::from_le_bytes(take(rest)?).into()),
        (Form::Bytes, Values::Bytes { data, offsets }) => push_bytes(data, offsets, take_bytes(rest)?),
        _ => unreachable!("form and builder are made from the same column"),
    }
    Some(())
}

#[inline(always)]
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (value, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*value)
}

/// A length-encoded value.
#[inline(always)]
pub(super) fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let [first] = take(rest)?;
    let length = match first {
        0..0xfb => first as usize,
        0xfc => u16::from_le_bytes(take(rest)?) as usize,
        0xfd => {
            let [a, b, c] = take(rest)?;
            u32::from_le_bytes([a, b, c, 0]) as usize
        }
        0xfe => u64::from_le_bytes(take(rest)?) as usize,
        // NULL has its bit, and an error is not a row.
        0xfb | 0xff => return None,
    };
    let (value, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(value)
}

/// A date or time: one byte of length, then its parts.
#[inline(always)]
fn take_packed<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let [length] = take(rest)?;
    let (value, after) = rest.split_at_checked(length as usize)?;
    *rest = after;
    Some(value)
}

#[inline]
fn parse_date(parts: &[u8]) -> Option<i32> {
    match *parts {
        [] => Some(date_from_parts(0, 0, 0)),
        [y0, y1, month, day, ..] => {
            Some(date_from_parts(u16::from_le_bytes([y0, y1]).into(), month.into(), day.into()))
        }
        _ => None,
    }
}

#[inline]
fn parse_datetime(parts: &[u8]) -> Option<i64> {
    let (date, time) = match *parts {
        [] => return Some(datetime_from_parts(0, 0, 0, 0)),
        [y0, y1, month, day, ref time @ ..] => ((u16::from_le_bytes([y0, y1]), month, day), time),
        _ => return None,
    };
    let microseconds = match time {
        [] => 0,
        [hour, minute, second, fraction @ ..] => {
            (u64::from(*hour) * 3600 + u64::from(*minute) * 60 + u64::from(*second)) * 1_000_000
                + parse_fraction(fraction)?
        }
        _ => return None,
    };
    Some(datetime_from_parts(date.0.into(), date.1.into(), date.2.into(), microseconds))
}

#[inline]
fn parse_time(parts: &[u8]) -> Option<i64> {
    let (negative, days, clock, fraction) = match *parts {
        [] => return Some(0),
        [negative, d0, d1, d2, d3, hour, minute, second, ref fraction @ ..] => {
            (negative != 0, u32::from_le_bytes([d0, d1, d2, d3]), (hour, minute, second), fraction)
        }
        _ => return None,
    };
    let hours = i64::from(days) * 24 + i64::from(clock.0);
    let seconds = hours * 3600 + i64::from(clock.1) * 60 + i64::from(clock.2);
    let microseconds = seconds * 1_000_000 + parse_fraction(fraction)? as i64;
    Some(if negative { -microseconds } else { microseconds })
}

#[inline]
fn parse_fraction(bytes: &[u8]) -> Option<u64> {
    match bytes {
        [] => Some(0),
        _ => Some(u32::from_le_bytes(*bytes.first_chunk()?).into()),
    }
}

/// The last 8 bytes, most significant first.
#[inline]
fn parse_bits(bytes: &[u8]) -> Option<u64> {
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, |bits, &byte| bits << 8 | u64::from(byte)))
}

/// The unscaled number of `-12.50`, whose digits after the point must be as many as the scale says.
#[inline]
pub(super) fn parse_decimal128(text: &[u8], scale: u8) -> Option<i128> {
    let (negative, whole, fraction) = split_decimal(text, scale)?;
    let magnitude = if whole.len() + fraction.len() <= 18 {
        i128::from(fold_u64(fold_u64(0, whole)?, fraction)?)
    } else {
        fold_i128(fold_i128(0, whole)?, fraction)?
    };
    Some(if negative { -magnitude } else { magnitude })
}

fn parse_decimal256(text: &[u8], scale: u8) -> Option<i256> {
    let (negative, whole, fraction) = split_decimal(text, scale)?;
    let mut magnitude = i256::ZERO;
    for digits in whole.chunks(18).chain(fraction.chunks(18)) {
        let shifted = magnitude.checked_mul(i256::from_i128(10_i128.pow(digits.len() as u32)))?;
        magnitude = shifted.checked_add(i256::from_i128(fold_u64(0, digits)?.into()))?;
    }
    Some(if negative { magnitude.wrapping_neg() } else { magnitude })
}

#[inline]
fn split_decimal(text: &[u8], scale: u8) -> Option<(bool, &[u8], &[u8])> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if scale == 0 {
        return (!digits.is_empty()).then_some((negative, digits, &[]));
    }
    let (whole, fraction) = digits.split_at_checked(digits.len().checked_sub(scale as usize + 1)?)?;
    match fraction {
        [b'.', fraction @ ..] => Some((negative, whole, fraction)),
        _ => None,
    }
}

#[inline]
fn fold_u64(start: u64, digits: &[u8]) -> Option<u64> {
    let mut value = start;
    let mut damaged = 0;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        damaged |= u8::from(digit > 9);
        value = value.wrapping_mul(10).wrapping_add(digit.into());
    }
    (damaged == 0).then_some(value)
}

fn fold_i128(start: i128, digits: &[u8]) -> Option<i128> {
    digits.iter().try_fold(start, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(i128::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_unscaled_exactly() {
        for (text, scale, expected) in [
            ("0.00", 2, 0),
            ("-0.01", 2, -1),
            ("12.50", 2, 1250),
            ("123", 0, 123),
            ("-99999999999999999999999999999999999999", 0, -(10_i128.pow(38) - 1)),
            ("0.99999999999999999999999999999999999999", 38, 10_i128.pow(38) - 1),
            ("1234567890123456.78", 2, 123456789012345678),
            ("12345678901234567.89", 2, 1234567890123456789),
        ] {
            assert_eq!(parse_decimal128(text.as_bytes(), scale), Some(expected), "{text}");
            assert_eq!(parse_decimal256(text.as_bytes(), scale), Some(i256::from_i128(expected)), "{text}");
        }
        let longest = format!("-{}.{}", "9".repeat(35), "9".repeat(30));
        let expected = i256::from_string(&format!("-{}", "9".repeat(65)));
        assert_eq!(parse_decimal256(longest.as_bytes(), 30), expected);
        for text in ["", "-", "1.2.3", "1.234", "x.00", "1,00", ".1"] {
            assert_eq!(parse_decimal128(text.as_bytes(), 2), None, "{text}");
        }
        assert_eq!(parse_decimal128(b"", 0), None);
    }

    #[test]
    fn dates_and_times_may_be_zero_partial_or_long() {
        assert_eq!(parse_date(&[]), Some(date_from_parts(0, 0, 0)));
        assert_eq!(parse_date(&[0xda, 0x07, 0, 10]), Some(date_from_parts(2010, 0, 10)));
        assert_eq!(parse_date(&[0xda, 0x07]), None);
        assert_eq!(parse_datetime(&[0xb2, 0x07, 1, 2]), Some(86_400_000_000));
        assert_eq!(parse_datetime(&[0xb2, 0x07, 1, 1, 1, 1, 1, 5, 0, 0, 0]), Some(3_661_000_005));
        assert_eq!(parse_datetime(&[0, 0, 0, 0, 1, 0, 0]), Some(datetime_from_parts(0, 0, 0, 3_600_000_000)));
        assert_eq!(parse_datetime(&[0xb2, 0x07, 1, 1, 1]), None);
        assert_eq!(parse_time(&[]), Some(0));
        let longest = [1, 34, 0, 0, 0, 22, 59, 59, 0x3f, 0x42, 0x0f, 0];
        assert_eq!(parse_time(&longest), Some(-(838 * 3600 + 59 * 60 + 59) * 1_000_000 - 999_999));
    }

    #[test]
    fn lengths_take_one_to_nine_bytes() {
        for (length, prefix) in [
            (250, vec![250]),
            (251, vec![0xfc, 251, 0]),
            (65_536, vec![0xfd, 0, 0, 1]),
            (16_777_216, vec![0xfe, 0, 0, 0, 1, 0, 0, 0, 0]),
        ] {
            let row: Vec<u8> = prefix.into_iter().chain(std::iter::repeat_n(7, length)).chain([1, 2]).collect();
            let mut rest = row.as_slice();
            assert_eq!(take_bytes(&mut rest).map(<[u8]>::len), Some(length));
            assert_eq!(rest, [1, 2]);
        }
        assert_eq!(take_bytes(&mut [3u8, 1, 2].as_slice()), None);
        assert_eq!(take_bytes(&mut [0xfbu8].as_slice()), None);
    }

    #[test]
    fn a_row_that_is_cut_off_is_refused() {
        let table = tidegate_model::pretty::table("id:int name:text");
        let decoder = RowDecoder { forms: vec![(0, Form::I64), (1, Form::Bytes)], null_bytes: 1 };
        let row = [0u8, 7, 0, 0, 0, 0, 0, 0, 0, 2, b'a', b'b'];
        let decode = |row: &[u8]| {
            let mut builder = tidegate_model::RowsBuilder::new(&table);
            decoder.decode(row, &mut builder.columns)
        };
        assert_eq!(decode(&row), Ok(()));
        assert_eq!(decode(&[0b1100]), Ok(()));
        for end in 0..row.len() {
            assert!(decode(&row[..end]).is_err());
        }
        assert_eq!(decode(&[&row[..], &[0]].concat()), Err(MalformedRow { column: 2 }));
    }
}
