//! Values of a file as values of a table, unchanged or not at all.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, UInt16Array};
use arrow::compute::{self, CastOptions};
use arrow::datatypes::*;

use tidegate_model::SqlType;
use tidegate_model::builder::enum_dictionary;
use tidegate_model::types::{date_from_parts, datetime_from_parts};

/// How values of a file's column become values of a table's column, without changing any.
#[derive(Debug)]
pub(crate) enum Conversion {
    /// By Arrow's cast, which leaves a column alone that has the type already.
    Cast { to: DataType, check: Check },
    /// By way of microseconds in 64 bits.
    Time,
    /// Labels to their ordinals.
    Enum { ordinals: HashMap<String, u16>, labels: ArrayRef },
}

/// What has to be looked at after a cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// The cast fails by itself where a value does not fit.
    Nothing,
    /// Casting back must give the same.
    Exact,
    /// Years 0 to 9999.
    Date,
    DateTime,
}

pub(crate) const LOSSY: &str = "holds a value that its MySQL type cannot hold exactly";

impl Conversion {
    /// `None` where the types have nothing to do with each other.
    pub(crate) fn plan(from: &DataType, to: &SqlType) -> Option<Conversion> {
        use DataType as D;
        use SqlType as S;
        let plain = match from {
            D::Dictionary(_, values) => values.as_ref(),
            other => other,
        };
        let check = match (plain, to) {
            (D::Null, _) => Check::Nothing,
            (D::Boolean, S::Int { .. } | S::Bit { .. }) => Check::Nothing,
            (_, S::Int { .. } | S::Bit { .. } | S::Set { .. } | S::Year | S::Decimal { .. }) if plain.is_integer() => {
                Check::Nothing
            }
            (D::Float16 | D::Float32, S::Float | S::Double) | (D::Float64, S::Double) => Check::Nothing,
            (D::Float64, S::Float) => Check::Exact,
            (
                D::Decimal32(_, from_scale)
                | D::Decimal64(_, from_scale)
                | D::Decimal128(_, from_scale)
                | D::Decimal256(_, from_scale),
                S::Decimal { scale, .. },
            ) => {
                if *from_scale <= *scale as i8 {
                    Check::Nothing
                } else {
                    Check::Exact
                }
            }
            // BIGINT UNSIGNED is DECIMAL(20, 0) where unsigned numbers do not exist.
            (D::Decimal32(..) | D::Decimal64(..) | D::Decimal128(..), S::Int { .. } | S::Bit { .. }) => Check::Exact,
            (D::Utf8 | D::LargeUtf8 | D::Utf8View, S::Char | S::VarChar | S::Text | S::Json) => Check::Nothing,
            (D::Utf8 | D::LargeUtf8 | D::Utf8View, S::Enum { labels }) => {
                let ordinals = std::iter::once("").chain(labels.iter().map(String::as_str));
                let ordinals =
                    ordinals.enumerate().map(|(ordinal, label)| (label.to_owned(), ordinal as u16)).collect();
                return Some(Conversion::Enum { ordinals, labels: enum_dictionary(labels) });
            }
            (
                D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_),
                S::Binary { .. } | S::VarBinary | S::Blob | S::Geometry | S::Vector,
            ) => Check::Nothing,
            (D::Date32 | D::Date64, S::Date) => Check::Date,
            (D::Time32(_) | D::Time64(_) | D::Duration(_), S::Time { .. }) => return Some(Conversion::Time),
            (D::Timestamp(_, None), S::DateTime { .. }) | (D::Timestamp(_, Some(_)), S::Timestamp { .. }) => {
                Check::DateTime
            }
            _ => return None,
        };
        Some(Conversion::Cast { to: to.arrow(), check })
    }

    /// The converted values, or what is wrong with them.
    pub(crate) fn apply(&self, array: &ArrayRef) -> Result<ArrayRef, String> {
        let cast = |array: &ArrayRef, to: &DataType| {
            if array.data_type() == to {
                return Ok(array.clone());
            }
            // Not "safe", which is Arrow's word for NULL in place of a value that does not fit. Its messages name values.
            let options = CastOptions { safe: false, ..CastOptions::default() };
            compute::cast_with_options(array, to, &options).map_err(|_| LOSSY.to_owned())
        };
        let exact = |array: &ArrayRef, converted: &ArrayRef| {
            let back = cast(converted, array.data_type())?;
            if *back == **array { Ok(()) } else { Err(LOSSY.to_owned()) }
        };
        match self {
            Conversion::Cast { to, check } => {
                let array = plain(array)?;
                let converted = cast(&array, to)?;
                match check {
                    Check::Nothing => {}
                    Check::Exact => exact(&array, &converted)?,
                    Check::Date => {
                        if *array.data_type() == DataType::Date64 {
                            exact(&array, &converted)?;
                        }
                        let years = date_from_parts(0, 1, 1)..=date_from_parts(9999, 12, 31);
                        in_range::<Date32Type>(&converted, years, "a date beyond the years 0 to 9999")?;
                    }
                    Check::DateTime => {
                        if matches!(array.data_type(), DataType::Timestamp(TimeUnit::Nanosecond, _)) {
                            exact(&array, &converted)
                                .map_err(|_| "holds a time with digits below the microsecond, which MySQL has not")?;
                        }
                        let years = datetime_from_parts(0, 1, 1, 0)..=datetime_from_parts(9999, 12, 31, DAY_US - 1);
                        in_range::<TimestampMicrosecondType>(&converted, years, "a time beyond the years 0 to 9999")?;
                    }
                }
                Ok(converted)
            }
            Conversion::Time => {
                let array = plain(array)?;
                let microseconds = match array.data_type() {
                    DataType::Duration(_) => DataType::Duration(TimeUnit::Microsecond),
                    _ => DataType::Time64(TimeUnit::Microsecond),
                };
                let converted = cast(&array, &microseconds)?;
                if let DataType::Time64(TimeUnit::Nanosecond) | DataType::Duration(TimeUnit::Nanosecond) =
                    array.data_type()
                {
                    exact(&array, &converted)
                        .map_err(|_| "holds a time with digits below the microsecond, which MySQL has not")?;
                }
                let number = cast(&converted, &DataType::Int64)?;
                let converted = cast(&number, &DataType::Duration(TimeUnit::Microsecond))?;
                let limit = (839 * 3600 - 1) * 1_000_000;
                in_range::<DurationMicrosecondType>(&converted, -limit..=limit, "a time beyond 838:59:59")?;
                Ok(converted)
            }
            Conversion::Enum { ordinals, labels } => {
                let text = cast(array, &DataType::Utf8)?;
                let keys = text.as_string::<i32>().iter().map(|label| {
                    label
                        .map(|label| ordinals.get(label).copied().ok_or("holds a label that its ENUM does not have"))
                        .transpose()
                });
                let keys = keys.collect::<Result<UInt16Array, _>>()?;
                let array = DictionaryArray::try_new(keys, labels.clone());
                Ok(Arc::new(array.expect("ordinals are those of the labels")))
            }
        }
    }
}

pub(crate) const DAY_US: u64 = 86_400_000_000;

/// The values of a dictionary, one per row.
fn plain(array: &ArrayRef) -> Result<ArrayRef, String> {
    match array.data_type() {
        DataType::Dictionary(_, values) => compute::cast(array, values).map_err(|error| error.to_string()),
        _ => Ok(array.clone()),
    }
}

fn in_range<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    range: std::ops::RangeInclusive<T::Native>,
    found: &str,
) -> Result<(), String>
where
    T::Native: PartialOrd,
{
    let array = array.as_primitive::<T>();
    let fits = |value: T::Native| range.contains(&value);
    // NULLs hold any value, so they are asked only where there are some.
    let all_fit = match array.nulls() {
        None => array.values().iter().all(|&value| fits(value)),
        Some(_) => array.iter().flatten().all(fits),
    };
    if all_fit { Ok(()) } else { Err(format!("holds {found}, which MySQL has not")) }
}
