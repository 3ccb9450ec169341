//! Dates that are moved, compared by their distance, and rounded.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimestampMicrosecondType};
use datafusion_common::Result;

use super::super::kernel::{Call, Cell, Kernel, Miss};
use super::{Moment, Moments, day};
use crate::literal::{MICROS_PER_DAY, MICROS_PER_SECOND, days_from_civil, days_in_month};

/// What an interval counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Months(i64),
    Days(i64),
    Micros(i64),
}

impl Unit {
    /// By its name in lower case.
    pub(crate) fn named(name: &str) -> Option<Unit> {
        Some(match name.strip_prefix("sql_tsi_").unwrap_or(name) {
            "microsecond" => Unit::Micros(1),
            "second" => Unit::Micros(MICROS_PER_SECOND),
            "minute" => Unit::Micros(60 * MICROS_PER_SECOND),
            "hour" => Unit::Micros(3600 * MICROS_PER_SECOND),
            "day" => Unit::Days(1),
            "week" => Unit::Days(7),
            "month" => Unit::Months(1),
            "quarter" => Unit::Months(3),
            "year" => Unit::Months(12),
            _ => return None,
        })
    }
}

/// A date or date-time, moved by as many months, days and microseconds as the other arguments say; NULL where the calendar
/// ends. Three kernels, so that each has one unit.
pub(crate) fn moved(unit: Unit, data_type: &DataType) -> Kernel {
    match unit {
        Unit::Months(_) => Kernel::new("plus_months", data_type.clone(), |call| {
            move_by(call, |moment, amount| {
                let months = (moment.year * 12 + moment.month - 1).checked_add(amount).ok_or(Miss::Null)?;
                let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
                if !(0..=9999).contains(&year) {
                    return Err(Miss::Null);
                }
                let day = moment.day.min(days_in_month(year, month));
                Ok((i64::from(days_from_civil(year, month, day)), moment.micros))
            })
        }),
        Unit::Days(_) => Kernel::new("plus_days", data_type.clone(), |call| {
            move_by(call, |moment, amount| {
                Ok((i64::from(moment.stored).checked_add(amount).ok_or(Miss::Null)?, moment.micros))
            })
        }),
        Unit::Micros(_) => Kernel::new("plus_microseconds", data_type.clone(), |call| {
            move_by(call, |moment, amount| {
                let micros = (i64::from(moment.stored) * MICROS_PER_DAY + moment.micros).checked_add(amount);
                let micros = micros.ok_or(Miss::Null)?;
                Ok((micros.div_euclid(MICROS_PER_DAY), micros.rem_euclid(MICROS_PER_DAY)))
            })
        }),
    }
}

fn move_by(call: &Call<'_>, to: impl Fn(Moment, i64) -> Cell<(i64, i64)>) -> Result<ArrayRef> {
    let (moments, amounts) = (Moments::of(call, 0), call.numbers::<Int64Type>(1));
    let moved = |row: usize| {
        let moment = moments.get(row)?;
        moment.days()?;
        let (days, micros) = to(moment, amounts.get(row)?)?;
        Ok((day(days)?, micros))
    };
    match call.returns {
        DataType::Date32 => call.make_numbers::<Date32Type>(|row| Ok(moved(row)?.0)),
        _ => call.make_numbers::<TimestampMicrosecondType>(|row| {
            let (days, micros) = moved(row)?;
            Ok(i64::from(days) * MICROS_PER_DAY + micros)
        }),
    }
}

/// Days between two dates.
pub(crate) fn date_difference() -> Kernel {
    Kernel::new("datediff", DataType::Int64, |call| {
        let (left, right) = (Moments::of(call, 0), Moments::of(call, 1));
        call.make_numbers::<Int64Type>(|row| Ok(i64::from(left.get(row)?.days()?) - i64::from(right.get(row)?.days()?)))
    })
}

/// TIMESTAMPDIFF: whole units from the first date-time to the second; the size of the unit is the third argument.
pub(crate) fn difference(unit: Unit) -> Kernel {
    match unit {
        Unit::Months(_) => Kernel::new("months_between", DataType::Int64, |call| {
            let (from, to, size) = (Moments::of(call, 0), Moments::of(call, 1), call.numbers::<Int64Type>(2));
            call.make_numbers::<Int64Type>(|row| {
                let (from, to) = (from.get(row)?, to.get(row)?);
                let (from_days, to_days) = (from.days()?, to.days()?);
                let backwards = (to_days, to.micros) < (from_days, from.micros);
                let (early, late) = if backwards { (to, from) } else { (from, to) };
                let whole = (late.day, late.micros) >= (early.day, early.micros);
                let months = (late.year * 12 + late.month) - (early.year * 12 + early.month) - i64::from(!whole);
                let units = months / size.get(row)?;
                Ok(if backwards { -units } else { units })
            })
        }),
        Unit::Days(_) | Unit::Micros(_) => Kernel::new("time_between", DataType::Int64, |call| {
            let (from, to, size) = (Moments::of(call, 0), Moments::of(call, 1), call.numbers::<Int64Type>(2));
            let micros = |moment: Moment| Ok(i64::from(moment.days()?) * MICROS_PER_DAY + moment.micros);
            call.make_numbers::<Int64Type>(|row| Ok((micros(to.get(row)?)? - micros(from.get(row)?)?) / size.get(row)?))
        }),
    }
}

/// A date-time rounded to so many digits of a second, as CAST does; the number of microseconds is the second argument.
pub(crate) fn rounded(data_type: &DataType) -> Kernel {
    Kernel::new("round_seconds", data_type.clone(), |call| {
        let unit = call.numbers::<Int64Type>(1);
        let moments = Moments::of(call, 0);
        call.make_numbers::<TimestampMicrosecondType>(|row| {
            let moment = moments.get(row)?;
            let unit = unit.get(row)?;
            let micros = i64::from(moment.days()?) * MICROS_PER_DAY + moment.micros;
            let rounded = (micros + unit / 2).div_euclid(unit) * unit;
            if rounded > crate::literal::LAST_MICROSECOND { Err(Miss::Null) } else { Ok(rounded) }
        })
    })
}
