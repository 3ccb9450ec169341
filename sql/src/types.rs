//! The Arrow types of columns: their names for people, and the few that a computed column may have.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};

/// The type of the values, without a dictionary around them.
pub(crate) fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        other => other.clone(),
    }
}

pub(crate) fn is_text(data_type: &DataType) -> bool {
    matches!(plain(data_type), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// The one type in which values of `data_type` leave a projection; `None` if they cannot.
///
/// The set is closed, so that whoever encodes computed columns can know them all: conditions, integers, floats, decimals,
/// text, bytes, dates, times, and date-times in microseconds with or without the zone `+00:00`.
pub(crate) fn canonical(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Decimal256(..=65, _)
        | DataType::Utf8
        | DataType::Binary
        | DataType::Date32
        | DataType::Duration(TimeUnit::Microsecond) => data_type.clone(),
        // What is computed may have more digits than a column.
        DataType::Decimal256(precision @ 66.., scale) => DataType::Decimal256((*precision).min(65), *scale),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        // JSON becomes the text that it prints as.
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Timestamp(_, zone) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.as_ref().map(|_| Arc::from("+00:00")))
        }
        DataType::Dictionary(_, values) => return canonical(values),
        _ => return None,
    })
}

/// What MySQL calls a column of such values.
pub(crate) fn mysql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "a condition".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::UInt8 => "TINYINT UNSIGNED".to_owned(),
        DataType::UInt16 => "SMALLINT UNSIGNED".to_owned(),
        DataType::UInt32 => "INT UNSIGNED".to_owned(),
        DataType::UInt64 => "BIGINT UNSIGNED".to_owned(),
        DataType::Float32 => "FLOAT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("DECIMAL({precision}, {scale})")
        }
        DataType::LargeUtf8 => "JSON".to_owned(),
        DataType::Utf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "VARBINARY".to_owned()
        }
        DataType::Date32 => "DATE".to_owned(),
        DataType::Timestamp(_, None) => "DATETIME".to_owned(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP".to_owned(),
        DataType::Duration(_) => "TIME".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "a time of day".to_owned(),
        DataType::Interval(_) => "an INTERVAL".to_owned(),
        DataType::Null => "NULL".to_owned(),
        DataType::Dictionary(_, values) => mysql_name(values),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => "a list".to_owned(),
        DataType::Struct(_) => "a structure".to_owned(),
        other => other.to_string(),
    }
}

/// Whether every value of `from` is the same number in `to`.
pub(crate) fn widens(from: &DataType, to: &DataType) -> bool {
    let whole_digits = match from {
        DataType::Int8 | DataType::UInt8 => 3,
        DataType::Int16 | DataType::UInt16 => 5,
        DataType::Int32 | DataType::UInt32 => 10,
        DataType::Int64 => 19,
        DataType::UInt64 => 20,
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            i16::from(*precision) - i16::from(*scale)
        }
        _ => return false,
    };
    let fraction_digits = match from {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    };
    match to {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            i16::from(*precision) - i16::from(*scale) >= whole_digits && *scale >= fraction_digits
        }
        _ => false,
    }
}
