//! Which chunk does a row belong to? By the values of its key, as far as that can be told here.

use std::cmp::Ordering;

use arrow::array::{Array, AsArray, BinaryArray, RecordBatch, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;

use super::{Chunk, TableChunks};
use crate::chunks::{KeyColumn, KeyOrder, KeyRef, KeyValue};
use crate::collation::AsciiOrder;
use tidegate_model::ChangeBatch;
use tidegate_model::types::{date_parts, datetime_parts};

/// Keys of a batch's rows.
pub(super) struct Keys<'a> {
    /// Key columns, each in the encoding of its order.
    cells: Vec<KeyCells<'a>>,
    /// NULLs of the only column: they lie in the first chunk, before all borders.
    nulls: Option<NullBuffer>,
}

enum KeyCells<'a> {
    Ints(Vec<i128>),
    Bytes(&'a BinaryArray),
    Text(&'a StringArray, &'static AsciiOrder),
}

/// The version of a table that was cut, as the history counts.
const CUT_VERSION: u32 = 1;

/// The keys by which rows find their chunk, or none if only the server could tell: an order by a collation that is not known
/// here, or a column that the table no longer has, or no longer has as it was when the table was cut.
pub(super) fn exact_keys<'a>(table: &TableChunks, batch: &'a ChangeBatch) -> Option<Keys<'a>> {
    let (key, now) = (&table.key, batch.table());
    if key.columns.is_empty() || !key.identifies {
        return None;
    }
    // A key that was added since identifies rows by other columns.
    let mut places = key.columns.iter().map(|column| now.column_index(&column.name));
    if !now.key().is_empty() && !places.any(|place| place.is_some_and(|place| now.key().contains(&place))) {
        return None;
    }
    let cells = key.columns.iter().enumerate().map(|(place, column)| {
        let index = now.column_index(&column.name)?;
        let order = KeyOrder::of(&now.columns()[index].sql_type);
        if order != column.order {
            return None;
        }
        match order {
            KeyOrder::Server => {
                let order = text_order(table, place, column).filter(|_| now.version() == CUT_VERSION)?;
                Some(KeyCells::Text(batch.rows().column(index).as_string_opt::<i32>()?, order))
            }
            order => key_cells(order, batch.rows(), index),
        }
    });
    let cells: Vec<_> = cells.collect::<Option<_>>()?;
    let columns = key.columns.iter().filter_map(|column| now.column_index(&column.name));
    let mut nulls =
        columns.filter_map(|index| batch.rows().column(index).nulls()).filter(|nulls| nulls.null_count() > 0);
    let nulls = nulls.next().cloned();
    (nulls.is_none() || cells.len() == 1).then_some(Keys { cells, nulls })
}

/// The order of a key column of text, if all borders can be compared by it.
fn text_order(table: &TableChunks, place: usize, column: &KeyColumn) -> Option<&'static AsciiOrder> {
    let order = AsciiOrder::of(column.collation.as_deref()?)?;
    let mut borders = table.chunks.iter().filter_map(|chunk| chunk.range.lower.as_ref()?.get(place));
    borders.all(|border| matches!(border, KeyValue::Text(text) if order.covers(text))).then_some(order)
}

fn key_cells(order: KeyOrder, rows: &RecordBatch, column: usize) -> Option<KeyCells<'_>> {
    let array = rows.column(column);
    macro_rules! ints {
        ($type:ty, $convert:expr) => {
            KeyCells::Ints(array.as_primitive_opt::<$type>()?.values().iter().map(|&value| $convert(value)).collect())
        };
    }
    let packed_date = |days: i32| {
        let (year, month, day) = date_parts(days);
        i128::from(year << 9 | month << 5 | day)
    };
    let packed_datetime = |microseconds: i64| {
        let (days, microsecond_of_day) = datetime_parts(microseconds);
        packed_date(days) << 37 | i128::from(microsecond_of_day)
    };
    Some(match order {
        KeyOrder::Integer => match array.data_type() {
            DataType::Int8 => ints!(Int8Type, i128::from),
            DataType::Int16 => ints!(Int16Type, i128::from),
            DataType::Int32 => ints!(Int32Type, i128::from),
            DataType::Int64 => ints!(Int64Type, i128::from),
            DataType::UInt8 => ints!(UInt8Type, i128::from),
            DataType::UInt16 => ints!(UInt16Type, i128::from),
            DataType::UInt32 => ints!(UInt32Type, i128::from),
            DataType::UInt64 => ints!(UInt64Type, i128::from),
            _ => return None,
        },
        KeyOrder::Decimal { .. } => ints!(Decimal128Type, |value| value),
        KeyOrder::Date => ints!(Date32Type, packed_date),
        KeyOrder::DateTime | KeyOrder::Timestamp => ints!(TimestampMicrosecondType, packed_datetime),
        KeyOrder::Time => ints!(DurationMicrosecondType, i128::from),
        KeyOrder::Bytes => KeyCells::Bytes(array.as_binary_opt::<i32>()?),
        KeyOrder::Server => return None,
    })
}

/// The chunk whose range holds the key of a row; none if only the server could tell.
pub(super) fn find_chunk(chunks: &[Chunk], keys: &Keys<'_>, row: usize) -> Option<usize> {
    if keys.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
        return (!chunks.is_empty()).then_some(0);
    }
    // The last chunk that does not begin beyond the key. The first has no lower border.
    let after = match keys.cells.as_slice() {
        [KeyCells::Ints(values)] => {
            let key = values[row];
            chunks.partition_point(|chunk| match chunk.range.lower.as_deref() {
                Some([KeyValue::Int(lower)]) => *lower <= key,
                _ => true,
            })
        }
        cells => {
            let is_covered = |cells: &KeyCells<'_>| match cells {
                KeyCells::Text(array, order) => order.covers(array.value(row)),
                KeyCells::Ints(_) | KeyCells::Bytes(_) => true,
            };
            if !cells.iter().all(is_covered) {
                return None;
            }
            chunks.partition_point(|chunk| {
                chunk.range.lower.as_ref().is_none_or(|lower| compare(cells, row, lower) != Ordering::Less)
            })
        }
    };
    after.checked_sub(1)
}

/// A border that names fewer columns lies before every key that begins like it.
fn compare(keys: &[KeyCells<'_>], row: usize, border: &[KeyValue]) -> Ordering {
    for (cells, border) in keys.iter().zip(border) {
        let key = match cells {
            KeyCells::Ints(values) => KeyRef::Int(values[row]),
            KeyCells::Bytes(array) => KeyRef::Bytes(array.value(row)),
            KeyCells::Text(array, order) => KeyRef::Text(array.value(row), order),
        };
        match key.compare(border) {
            Ordering::Equal => {}
            other => return other,
        }
    }
    Ordering::Equal
}
