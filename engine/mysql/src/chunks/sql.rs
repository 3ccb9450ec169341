//! Keys and ranges of keys as the server is told of them, and as it tells them.

use super::{ChunkKey, KeyColumn, KeyOrder, KeyRange, KeyValue};
use crate::connection::{quote_identifier, quote_text};
use crate::result_rows::parse_decimal128;
use crate::wire::{Connection, Param, WireError};
use tidegate_model::{Column, SqlType, Table};

/// Indexes of the key's columns in the table. They are there: the ledger and the table are compared before reading.
pub(super) fn key_columns(table: &Table, key: &ChunkKey) -> Vec<usize> {
    let index = |column: &KeyColumn| table.column_index(&column.name).expect("key columns are columns of the table");
    key.columns.iter().map(index).collect()
}

/// Name of the index that holds the key in order, quoted; none if there is no such index.
pub(crate) fn find_index(
    connection: &mut Connection,
    table: &Table,
    key: &ChunkKey,
) -> Result<Option<String>, WireError> {
    let columns = key_columns(table, key);
    let Some(&first) = columns.first() else { return Ok(None) };
    if let Some(key) = table.unique_keys().iter().find(|key| key.columns == columns) {
        return Ok(Some(quote_identifier(&key.name)));
    }
    let name = table.name();
    let sql = format!(
        "SELECT INDEX_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} \
         AND COLUMN_NAME = {} AND SEQ_IN_INDEX = 1 AND SUB_PART IS NULL AND INDEX_TYPE = 'BTREE' \
         ORDER BY INDEX_NAME <> 'PRIMARY', INDEX_NAME LIMIT 1",
        quote_text(&name.database),
        quote_text(&name.table),
        quote_text(&table.columns()[first].name),
    );
    let results = connection.query(&sql)?;
    Ok(results.first().and_then(|result| result.scalar()).map(quote_identifier))
}

/// Makes the server read a range by the index. Left to itself, the optimizer would read the whole table for a range
/// that is a large part of it, and for as many chunks as there are.
pub(crate) fn force_index(index: Option<&str>) -> String {
    index.map(|index| format!("FORCE INDEX ({index})")).unwrap_or_default()
}

impl KeyRange {
    /// The rows of the range as a condition; empty if the range has no border.
    ///
    /// Composite keys are compared column by column, `(a > ?) OR (a = ? AND b >= ?)`: the optimizer finds the range of
    /// the index in that, and not in `(a, b) >= (?, ?)`.
    pub(crate) fn condition(&self, table: &Table, key: &ChunkKey, params: &mut Vec<Param>) -> String {
        let columns: Vec<_> = key_columns(table, key).into_iter().map(|index| &table.columns()[index]).collect();
        let mut conditions = Vec::new();
        if let Some(lower) = &self.lower {
            conditions.push(at_or_after(&columns, lower, false, params));
        }
        if let Some(upper) = &self.upper {
            let condition = before(&columns, upper, params);
            conditions.push(match (&self.lower, columns.first()) {
                (None, Some(column)) if column.nullable => {
                    format!("({condition} OR {} IS NULL)", quote_identifier(&column.name))
                }
                _ => condition,
            });
        }
        conditions.join(" AND ")
    }
}

pub(super) fn at_or_after(columns: &[&Column], border: &[KeyValue], strict: bool, params: &mut Vec<Param>) -> String {
    compare(columns, border, ">", if strict { ">" } else { ">=" }, params)
}

pub(super) fn before(columns: &[&Column], border: &[KeyValue], params: &mut Vec<Param>) -> String {
    compare(columns, border, "<", "<", params)
}

/// `(a > ?) OR (a = ? AND b > ?) OR (a = ? AND b = ? AND c >= ?)`
pub(super) fn compare(
    columns: &[&Column],
    border: &[KeyValue],
    inner: &str,
    last: &str,
    params: &mut Vec<Param>,
) -> String {
    let mut alternatives = Vec::with_capacity(border.len());
    for length in 1..=border.len() {
        let conditions = (0..length).map(|index| {
            let operator = match index + 1 {
                end if end == border.len() => last,
                end if end == length => inner,
                _ => "=",
            };
            params.push(param(&columns[index].sql_type, &border[index]));
            format!("{} {operator} ?", quote_identifier(&columns[index].name))
        });
        alternatives.push(format!("({})", conditions.collect::<Vec<_>>().join(" AND ")));
    }
    if let [only] = alternatives.as_mut_slice() {
        std::mem::take(only)
    } else {
        format!("({})", alternatives.join(" OR "))
    }
}

/// A key column as text (binary: as bytes) from which [`parse_key`] makes the exact value again.
pub(super) fn key_expression(sql_type: &SqlType, name: &str) -> String {
    match sql_type {
        SqlType::Bit { .. } | SqlType::Enum { .. } | SqlType::Set { .. } => {
            format!("CAST(CAST({name} AS UNSIGNED) AS CHAR)")
        }
        SqlType::Year => format!("CAST({name} + 0 AS CHAR)"),
        // FLOAT itself is printed with six digits.
        SqlType::Float | SqlType::Double => format!("CAST({name} + 0e0 AS CHAR)"),
        SqlType::Int { .. }
        | SqlType::Decimal { .. }
        | SqlType::Date
        | SqlType::Time { .. }
        | SqlType::DateTime { .. }
        | SqlType::Timestamp { .. } => format!("CAST({name} AS CHAR)"),
        _ => name.to_owned(),
    }
}

/// `None` if the text is none that [`key_expression`] makes.
pub(super) fn parse_key(sql_type: &SqlType, bytes: &[u8]) -> Option<KeyValue> {
    let text = || std::str::from_utf8(bytes).ok();
    let number = || text()?.parse::<i128>().ok();
    Some(match KeyOrder::of(sql_type) {
        KeyOrder::Integer => KeyValue::Int(number()?),
        KeyOrder::Decimal { scale } => KeyValue::Int(parse_decimal128(bytes, scale)?),
        KeyOrder::Date => KeyValue::Int(parse_packed_date(text()?)?),
        KeyOrder::DateTime | KeyOrder::Timestamp => {
            let (date, time) = text()?.split_once(' ')?;
            KeyValue::Int(parse_packed_date(date)? << 37 | parse_clock(time)?)
        }
        KeyOrder::Time => KeyValue::Int(match text()?.strip_prefix('-') {
            Some(time) => -parse_clock(time)?,
            None => parse_clock(text()?)?,
        }),
        KeyOrder::Bytes => KeyValue::Bytes(bytes.to_vec()),
        KeyOrder::Server => match sql_type {
            SqlType::Enum { .. } | SqlType::Set { .. } => KeyValue::Int(number()?),
            _ => KeyValue::Text(text()?.to_owned()),
        },
    })
}

/// `2010-00-10` as `year << 9 | month << 5 | day`.
pub(super) fn parse_packed_date(text: &str) -> Option<i128> {
    let mut parts = text.splitn(3, '-').map(|part| part.parse::<i128>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    Some(year << 9 | month << 5 | day)
}

/// `838:59:59.5` in microseconds.
pub(super) fn parse_clock(text: &str) -> Option<i128> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.splitn(3, ':').map(|part| part.parse::<i128>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let microseconds = format!("{fraction:0<6}").parse::<i128>().ok()?;
    Some((hour * 3600 + minute * 60 + second) * 1_000_000 + microseconds)
}

pub(super) fn print_packed_date(packed: i128) -> String {
    format!("{:04}-{:02}-{:02}", packed >> 9, packed >> 5 & 15, packed & 31)
}

pub(super) fn print_clock(microseconds: i128) -> String {
    let seconds = microseconds / 1_000_000;
    format!("{:02}:{:02}:{:02}.{:06}", seconds / 3600, seconds / 60 % 60, seconds % 60, microseconds % 1_000_000)
}

pub(super) fn print_decimal(unscaled: i128, scale: u8) -> String {
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// A border as the parameter that the server compares the column with, by the column's own order.
pub(super) fn param(sql_type: &SqlType, value: &KeyValue) -> Param {
    match (value, KeyOrder::of(sql_type)) {
        (&KeyValue::Int(number), KeyOrder::Decimal { scale }) => Param::Decimal(print_decimal(number, scale)),
        (&KeyValue::Int(packed), KeyOrder::Date) => Param::Text(print_packed_date(packed)),
        (&KeyValue::Int(packed), KeyOrder::DateTime | KeyOrder::Timestamp) => {
            let clock = print_clock(packed & ((1 << 37) - 1));
            Param::Text(format!("{} {clock}", print_packed_date(packed >> 37)))
        }
        (&KeyValue::Int(time), KeyOrder::Time) => {
            Param::Text(format!("{}{}", if time < 0 { "-" } else { "" }, print_clock(time.abs())))
        }
        (&KeyValue::Int(number), _) => match i64::try_from(number) {
            Ok(number) => Param::I64(number),
            // Beyond u64 lies only the end of a span that ends with the largest key.
            Err(_) => u64::try_from(number).map_or_else(|_| Param::Decimal(number.to_string()), Param::U64),
        },
        (KeyValue::Bytes(bytes), _) => Param::Bytes(bytes.clone()),
        (KeyValue::Text(text), _) => match sql_type {
            SqlType::Decimal { .. } => Param::Decimal(text.clone()),
            SqlType::Float | SqlType::Double => text.parse().map_or_else(|_| Param::Text(text.clone()), Param::F64),
            _ => Param::Text(text.clone()),
        },
    }
}
