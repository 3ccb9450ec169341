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
    // Each chunk would read the whole table, whatever the index.
    if let SqlType::Set { labels } = &table.columns()[first].sql_type
        && labels.len() > MEMBERS_MAX
    {
        return Ok(None);
    }
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
        let condition = self.of_columns(&columns, false, params);
        match (&self.lower, &self.upper, columns.first()) {
            (None, Some(_), Some(column)) if column.nullable => {
                format!("({condition} OR {} IS NULL)", quote_identifier(&column.name))
            }
            _ => condition,
        }
    }

    /// The rows of the range whose keys are not NULL; without those at the lower border if that `is_strict`.
    pub(super) fn of_columns(&self, columns: &[&Column], is_strict: bool, params: &mut Vec<Param>) -> String {
        let (lower, upper) = (self.lower.as_deref().unwrap_or_default(), self.upper.as_deref().unwrap_or_default());
        between(columns, lower, upper, is_strict, params)
    }
}

/// The rows between two borders, each of which is open if it has no values.
fn between(
    columns: &[&Column],
    lower: &[KeyValue],
    upper: &[KeyValue],
    is_strict: bool,
    params: &mut Vec<Param>,
) -> String {
    let is_bounded = !(lower.is_empty() && upper.is_empty());
    if let Some(numbers) = columns.first().and_then(|first| numbers_of(&first.sql_type)).filter(|_| is_bounded) {
        return between_numbers(columns, numbers, lower, upper, is_strict, params);
    }
    let at_or_after =
        (!lower.is_empty()).then(|| compare(columns, lower, ">", if is_strict { ">" } else { ">=" }, params));
    let before = (!upper.is_empty()).then(|| compare(columns, upper, "<", "<", params));
    at_or_after.into_iter().chain(before).collect::<Vec<_>>().join(" AND ")
}

/// The numbers of an ENUM or SET one by one: the optimizer finds a range of the index in `e IN (3, 4)`, and reads the whole table for
/// `e > 2`.
///
/// ```text
/// [(2, 50), (5, 7))    e = 2 AND id >= 50   OR   e IN (3, 4)   OR   e = 5 AND id < 7
/// ```
fn between_numbers(
    columns: &[&Column],
    numbers: u32,
    lower: &[KeyValue],
    upper: &[KeyValue],
    is_strict: bool,
    params: &mut Vec<Param>,
) -> String {
    let number_of = |border: &[KeyValue]| match border {
        [KeyValue::Int(number), ..] => Some(*number),
        _ => None,
    };
    let (first, last) = (number_of(lower), number_of(upper));
    // What of the borders is about the columns behind.
    let (behind_first, behind_last) = (lower.get(1..).unwrap_or_default(), upper.get(1..).unwrap_or_default());
    let name = quote_identifier(&columns[0].name);
    let mut alternatives = Vec::new();
    let mut at = |number: i128, lower: &[KeyValue], upper: &[KeyValue]| {
        let rest = between(&columns[1..], lower, upper, is_strict, params);
        let rest = if rest.is_empty() { rest } else { format!(" AND {rest}") };
        alternatives.push(format!("({name} = {number}{rest})"));
    };
    let mut within = 0..i128::from(numbers);
    if let Some(first) = first {
        within.start = first + 1;
        let behind = if last == Some(first) { behind_last } else { &[] };
        let is_reached = last.is_none_or(|last| last > first || !behind.is_empty());
        if is_reached && (!behind_first.is_empty() || !is_strict) {
            at(first, behind_first, behind);
        }
    }
    if let Some(last) = last {
        within.end = last;
        if !behind_last.is_empty() && last >= within.start {
            at(last, &[], behind_last);
        }
    }
    if !within.is_empty() {
        let numbers: Vec<String> = within.map(|number| number.to_string()).collect();
        alternatives.push(format!("{name} IN ({})", numbers.join(", ")));
    }
    match alternatives.as_slice() {
        [] => "FALSE".to_owned(),
        _ => format!("({})", alternatives.join(" OR ")),
    }
}

/// How many numbers an ENUM or a SET has, 0 of the empty text among them; none if it is neither, or if they are too many to be written into
/// a statement.
fn numbers_of(sql_type: &SqlType) -> Option<u32> {
    match sql_type {
        SqlType::Enum { labels } => u32::try_from(labels.len() + 1).ok(),
        SqlType::Set { labels } if labels.len() <= MEMBERS_MAX => Some(1 << labels.len()),
        _ => None,
    }
}

/// Members of a SET by which a table is still cut.
const MEMBERS_MAX: usize = 14;

/// `(a > ?) OR (a = ? AND b > ?) OR (a = ? AND b = ? AND c >= ?)`
fn compare(columns: &[&Column], border: &[KeyValue], inner: &str, last: &str, params: &mut Vec<Param>) -> String {
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
    tidegate_digits::decimal_text(&unscaled.to_string(), scale.into())
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
