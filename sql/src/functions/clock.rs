//! Times of day and spans of time: what is added to them, what lies between them, what makes and prints them; and the months
//! and zones that MySQL writes as numbers and distances.

use arrow::array::ArrayRef;
use arrow::datatypes::{
    DataType, Decimal128Type, DurationMicrosecondType, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use datafusion_common::Result;

use super::date::{LAST_UNIX_SECOND, LONGEST_TIME, Moments, Spans, day, write_format, write_time};
use super::kernel::{Call, Cell, Kernel, Miss};
use crate::literal::{MICROS_PER_DAY, MICROS_PER_SECOND};

/// A TIME, if it is short enough to be one.
fn span(micros: i64) -> Cell<i64> {
    if micros.abs() <= LONGEST_TIME { Ok(micros) } else { Err(Miss::Null) }
}

/// ADDTIME and SUBTIME: a TIME or DATETIME, and the TIME that moves it.
pub(crate) fn added(data_type: &DataType, forwards: bool) -> Kernel {
    let kernel: super::kernel::Run = match forwards {
        true => |call| add(call, 1),
        false => |call| add(call, -1),
    };
    Kernel::new(if forwards { "addtime" } else { "subtime" }, data_type.clone(), kernel)
}

fn add(call: &Call<'_>, sign: i64) -> Result<ArrayRef> {
    let by = call.numbers::<DurationMicrosecondType>(1);
    if matches!(call.returns, DataType::Duration(_)) {
        let spans = call.numbers::<DurationMicrosecondType>(0);
        return call.make_numbers::<DurationMicrosecondType>(|row| span(spans.get(row)? + sign * by.get(row)?));
    }
    let moments = Moments::of(call, 0);
    call.make_numbers::<TimestampMicrosecondType>(|row| {
        let (moment, by) = (moments.get(row)?, by.get(row)?);
        let micros = i64::from(moment.days()?) * MICROS_PER_DAY + moment.micros + sign * by;
        let days = day(micros.div_euclid(MICROS_PER_DAY))?;
        Ok(i64::from(days) * MICROS_PER_DAY + micros.rem_euclid(MICROS_PER_DAY))
    })
}

/// TIMEDIFF of two TIMEs, or of two DATETIMEs: at most the longest TIME.
pub(crate) fn between() -> Kernel {
    Kernel::new("timediff", DataType::Duration(TimeUnit::Microsecond), |call| {
        if matches!(call.data_type(0), DataType::Duration(_)) {
            let (left, right) =
                (call.numbers::<DurationMicrosecondType>(0), call.numbers::<DurationMicrosecondType>(1));
            return call.make_numbers::<DurationMicrosecondType>(|row| {
                Ok((left.get(row)? - right.get(row)?).clamp(-LONGEST_TIME, LONGEST_TIME))
            });
        }
        let (left, right) = (Moments::of(call, 0), Moments::of(call, 1));
        let micros = |moments: &Moments<'_>, row: usize| {
            let moment = moments.get(row)?;
            // Of a date with a part that is zero, MySQL counts the days all the same.
            let days = moment.days().map_err(|_| Miss::Refused)?;
            Ok(i64::from(days) * MICROS_PER_DAY + moment.micros)
        };
        call.make_numbers::<DurationMicrosecondType>(|row| {
            Ok((micros(&left, row)? - micros(&right, row)?).clamp(-LONGEST_TIME, LONGEST_TIME))
        })
    })
}

/// MAKETIME of hours, minutes, and seconds with six digits behind the point.
pub(crate) fn made() -> Kernel {
    Kernel::new("maketime", DataType::Duration(TimeUnit::Microsecond), |call| {
        let (hours, minutes) = (call.numbers::<Int64Type>(0), call.numbers::<Int64Type>(1));
        let micros = call.numbers::<Decimal128Type>(2);
        call.make_numbers::<DurationMicrosecondType>(|row| {
            let (hours, minutes, micros) = (hours.get(row)?, minutes.get(row)?, micros.get(row)?);
            let inside = (0..60).contains(&minutes) && (0..60 * i128::from(MICROS_PER_SECOND)).contains(&micros);
            if !inside {
                return Err(Miss::Null);
            }
            let of_hours = hours.unsigned_abs().min(839) as i64 * 3600 * MICROS_PER_SECOND;
            let time = of_hours + minutes * 60 * MICROS_PER_SECOND + micros as i64;
            // In the longest TIME's hour, MySQL takes any fraction for too long.
            let is_whole = micros % i128::from(MICROS_PER_SECOND) == 0;
            let time = if hours.unsigned_abs() >= 838 && !is_whole { LONGEST_TIME } else { time.min(LONGEST_TIME) };
            Ok(if hours < 0 { -time } else { time })
        })
    })
}

/// TIME_FORMAT. What a format says of the date, servers print in ways of their own.
pub(super) fn time_format(call: &Call<'_>) -> Result<ArrayRef> {
    let (spans, formats) = (Spans::of(call, 0), call.texts(1));
    call.make_text(|row, out| {
        let (micros, format) = (spans.get(row)?, formats.get(row)?);
        if micros < 0 && !format.is_empty() {
            out.push('-');
        }
        write_format(format, out, |specifier, out| match specifier {
            specifier if "abcDdejMmUuVvWwXxYy".contains(specifier) => Err(Miss::Refused),
            specifier => Ok(write_time(micros.abs(), specifier, out)),
        })
    })
}

/// The months of a period, `YYMM` or `YYYYMM`, since the year 0.
fn months(period: i64) -> Cell<i64> {
    let (year, month) = (period / 100, period % 100);
    if !(1..=9999).contains(&year) && year != 0 || !(1..=12).contains(&month) {
        return Err(Miss::Refused);
    }
    let year = match year {
        ..70 => year + 2000,
        70..100 => year + 1900,
        _ => year,
    };
    Ok(year * 12 + month - 1)
}

pub(super) fn period_add(call: &Call<'_>) -> Result<ArrayRef> {
    let (periods, amounts) = (call.numbers::<Int64Type>(0), call.numbers::<Int64Type>(1));
    call.make_numbers::<Int64Type>(|row| {
        let (period, amount) = (periods.get(row)?, amounts.get(row)?);
        let months = months(period)?.checked_add(amount).ok_or(Miss::Refused)?;
        // Of years of one or two digits, and below, MySQL makes others.
        match (months.div_euclid(12), months.rem_euclid(12)) {
            (year @ 100..=9999, month) => Ok(year * 100 + month + 1),
            _ => Err(Miss::Refused),
        }
    })
}

pub(super) fn period_diff(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (call.numbers::<Int64Type>(0), call.numbers::<Int64Type>(1));
    call.make_numbers::<Int64Type>(|row| {
        let (left, right) = (left.get(row)?, right.get(row)?);
        Ok(months(left)? - months(right)?)
    })
}

/// Microseconds that a zone written as `+05:30` is ahead of UTC.
pub(crate) fn offset(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, minutes) = digits.split_once(':')?;
    let number = |digits: &str, most: usize| {
        let plain = (1..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<i64>().ok().filter(|_| plain)
    };
    let minutes = number(minutes, 2).filter(|minutes| *minutes < 60)?;
    let total = sign * (number(hours, 2)? * 60 + minutes);
    (-14 * 60 + 1..=14 * 60).contains(&total).then_some(total * 60 * MICROS_PER_SECOND)
}

/// CONVERT_TZ between two zones, whose distances from UTC are the other arguments. What is not of the years that TIMESTAMP has stays as
/// it is, as in MySQL.
pub(crate) fn converted() -> Kernel {
    Kernel::new("convert_tz", DataType::Timestamp(TimeUnit::Microsecond, None), |call| {
        let (moments, from, to) = (Moments::of(call, 0), call.numbers::<Int64Type>(1), call.numbers::<Int64Type>(2));
        call.make_numbers::<TimestampMicrosecondType>(|row| {
            let (moment, from, to) = (moments.get(row)?, from.get(row)?, to.get(row)?);
            let micros = i64::from(moment.days()?) * MICROS_PER_DAY + moment.micros;
            let utc = micros - from;
            let in_range = (1..=LAST_UNIX_SECOND).contains(&utc.div_euclid(MICROS_PER_SECOND));
            Ok(if in_range { utc + to } else { micros })
        })
    })
}

/// GET_FORMAT. `None` if there is no such.
pub(crate) fn format_of(kind: &str, place: &str) -> Option<&'static str> {
    Some(match (kind, place.to_ascii_uppercase().as_str()) {
        ("date", "USA") => "%m.%d.%Y",
        ("date", "JIS" | "ISO") => "%Y-%m-%d",
        ("date", "EUR") => "%d.%m.%Y",
        ("date", "INTERNAL") => "%Y%m%d",
        ("datetime" | "timestamp", "USA" | "EUR") => "%Y-%m-%d %H.%i.%s",
        ("datetime" | "timestamp", "JIS" | "ISO") => "%Y-%m-%d %H:%i:%s",
        ("datetime" | "timestamp", "INTERNAL") => "%Y%m%d%H%i%s",
        ("time", "USA") => "%h:%i:%s %p",
        ("time", "JIS" | "ISO") => "%H:%i:%s",
        ("time", "EUR") => "%H.%i.%s",
        ("time", "INTERNAL") => "%H%i%s",
        _ => return None,
    })
}
