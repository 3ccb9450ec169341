//! Dates and times, by the calendar that MySQL has: proleptic Gregorian, the years 0 to 9999.
//!
//! A date that does not exist has digits all the same, and functions that only read digits give them: `year('2010-00-10')`
//! is 2010. Those that count days give NULL where a part is zero, as MySQL does, and fail for days that a month has not
//! ('2023-02-31'), of which MySQL makes something else in each function.
//!
//! ```text
//! Date32, Timestamp(µs)  ──►  Moment { year, month, day, microsecond of the day }  ──►  digits
//!                                        └ days(): the number of the day, if there is one
//! ```

mod arithmetic;
mod format;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Int64Type, TimeUnit, TimestampMicrosecondType,
    UInt32Type,
};
use datafusion_common::Result;

pub(crate) use arithmetic::{Unit, date_difference, difference, moved, rounded};
pub(super) use format::{date_format, write_format, write_time};
pub(crate) use format::{format_makes, str_to_date, text};

use super::kernel::{Call, Cell, Kernel, Miss, Numbers};
use crate::literal::{
    FIRST_DAY, IMPOSSIBLE_DATE_END, IMPOSSIBLE_TIME_END, LAST_DAY, MICROS_PER_DAY, MICROS_PER_SECOND, date_parts,
    date_time_parts, days_from_civil, days_in_month,
};

/// 0001-01-01.
const FIRST_COUNTED_DAY: i32 = FIRST_DAY + 366;

/// The longest TIME, 838:59:59.
pub(super) const LONGEST_TIME: i64 = (838 * 3600 + 59 * 60 + 59) * MICROS_PER_SECOND;

/// The last second of which UNIX_TIMESTAMP knows, 3001-01-18 23:59:59.
pub(super) const LAST_UNIX_SECOND: i64 = 32_536_771_199;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// The digits of a date-time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    year: i64,
    month: i64,
    day: i64,
    /// Of the day.
    pub(super) micros: i64,
    /// As it is stored.
    stored: i32,
}

impl Moment {
    fn of_date(days: i32) -> Moment {
        let (year, month, day) = date_parts(days);
        Moment { year, month, day, micros: 0, stored: days }
    }

    /// Days since 1970, if the calendar has it. The year 0 is refused: MySQL counts 365 days in it, and finds 366.
    pub(super) fn days(&self) -> Cell<i32> {
        match self.stored {
            FIRST_COUNTED_DAY.. => Ok(self.stored),
            _ if self.month == 0 || self.day == 0 => Err(Miss::Null),
            _ => Err(Miss::Refused),
        }
    }
}

/// An argument of dates or date-times.
pub(super) enum Moments<'a> {
    Dates(Numbers<'a, Date32Type>),
    Times(Numbers<'a, TimestampMicrosecondType>),
}

impl<'a> Moments<'a> {
    pub(super) fn of(call: &'a Call<'_>, at: usize) -> Moments<'a> {
        match call.data_type(at) {
            DataType::Date32 => Moments::Dates(call.numbers(at)),
            _ => Moments::Times(call.numbers(at)),
        }
    }

    pub(super) fn get(&self, row: usize) -> Cell<Moment> {
        Ok(match self {
            Moments::Dates(values) => Moment::of_date(values.get(row)?),
            Moments::Times(values) => {
                let (days, micros) = date_time_parts(values.get(row)?);
                Moment { micros, ..Moment::of_date(days) }
            }
        })
    }
}

/// An argument of which the time of day counts: TIME, or the time of a date-time.
pub(super) enum Spans<'a> {
    Spans(Numbers<'a, DurationMicrosecondType>),
    Moments(Moments<'a>),
}

impl<'a> Spans<'a> {
    pub(super) fn of(call: &'a Call<'_>, at: usize) -> Spans<'a> {
        match call.data_type(at) {
            DataType::Duration(_) => Spans::Spans(call.numbers(at)),
            _ => Spans::Moments(Moments::of(call, at)),
        }
    }

    pub(super) fn get(&self, row: usize) -> Cell<i64> {
        match self {
            Spans::Spans(values) => values.get(row),
            Spans::Moments(moments) => Ok(moments.get(row)?.micros),
        }
    }
}

fn integers(call: &Call<'_>, of: impl Fn(Moment) -> Cell<i64>) -> Result<ArrayRef> {
    let moments = Moments::of(call, 0);
    call.make_numbers::<Int64Type>(|row| of(moments.get(row)?))
}

fn names(call: &Call<'_>, of: impl Fn(Moment) -> Cell<&'static str>) -> Result<ArrayRef> {
    let moments = Moments::of(call, 0);
    call.make_parts(|row| of(moments.get(row)?))
}

fn spans(call: &Call<'_>, of: impl Fn(i64) -> i64) -> Result<ArrayRef> {
    let spans = Spans::of(call, 0);
    call.make_numbers::<Int64Type>(|row| Ok(of(spans.get(row)?)))
}

pub(super) fn year(call: &Call<'_>) -> Result<ArrayRef> {
    let moments = Moments::of(call, 0);
    call.make_numbers::<UInt32Type>(|row| u32::try_from(moments.get(row)?.year).map_err(|_| Miss::OutOfRange))
}

pub(super) fn quarter(call: &Call<'_>) -> Result<ArrayRef> {
    integers(call, |moment| Ok((moment.month + 2) / 3))
}

pub(super) fn month(call: &Call<'_>) -> Result<ArrayRef> {
    integers(call, |moment| Ok(moment.month))
}

pub(super) fn dayofmonth(call: &Call<'_>) -> Result<ArrayRef> {
    integers(call, |moment| Ok(moment.day))
}

pub(super) fn hour(call: &Call<'_>) -> Result<ArrayRef> {
    spans(call, |micros| micros.abs() / (3600 * MICROS_PER_SECOND))
}

pub(super) fn minute(call: &Call<'_>) -> Result<ArrayRef> {
    spans(call, |micros| micros.abs() / (60 * MICROS_PER_SECOND) % 60)
}

pub(super) fn second(call: &Call<'_>) -> Result<ArrayRef> {
    spans(call, |micros| micros.abs() / MICROS_PER_SECOND % 60)
}

pub(super) fn microsecond(call: &Call<'_>) -> Result<ArrayRef> {
    spans(call, |micros| micros.abs() % MICROS_PER_SECOND)
}

pub(super) fn time_to_sec(call: &Call<'_>) -> Result<ArrayRef> {
    spans(call, |micros| micros / MICROS_PER_SECOND)
}

pub(super) fn time(call: &Call<'_>) -> Result<ArrayRef> {
    let spans = Spans::of(call, 0);
    call.make_numbers::<DurationMicrosecondType>(|row| spans.get(row))
}

/// SEC_TO_TIME of seconds with nine digits behind the point.
pub(crate) fn sec_to_time() -> Kernel {
    Kernel::new("sec_to_time", DataType::Duration(TimeUnit::Microsecond), |call| {
        let nanos = call.numbers::<Decimal128Type>(0);
        // The fraction of the longest TIME stays, as in MySQL.
        const END: i128 = LONGEST_TIME as i128 + MICROS_PER_SECOND as i128;
        call.make_numbers::<DurationMicrosecondType>(|row| {
            let micros = micros_of_nanos(nanos.get(row)?);
            Ok(match micros.abs() < END {
                true => micros as i64,
                false => micros.signum() as i64 * LONGEST_TIME,
            })
        })
    })
    .keeps_nulls()
}

/// Rounded half away from zero.
fn micros_of_nanos(nanos: i128) -> i128 {
    (nanos + nanos.signum() * 500) / 1000
}

/// Monday is 0.
fn weekday_of(days: i32) -> i64 {
    i64::from(days + 3).rem_euclid(7)
}

pub(super) fn weekday(call: &Call<'_>) -> Result<ArrayRef> {
    integers(call, |moment| Ok(weekday_of(moment.days()?)))
}

/// Sunday is 1.
pub(super) fn dayofweek(call: &Call<'_>) -> Result<ArrayRef> {
    integers(call, |moment| Ok((weekday_of(moment.days()?) + 1) % 7 + 1))
}

pub(super) fn dayofyear(call: &Call<'_>) -> Result<ArrayRef> {
    integers(call, day_of_year)
}

fn day_of_year(moment: Moment) -> Cell<i64> {
    Ok(i64::from(moment.days()? - days_from_civil(moment.year, 1, 1)) + 1)
}

pub(super) fn dayname(call: &Call<'_>) -> Result<ArrayRef> {
    names(call, |moment| Ok(WEEKDAYS[weekday_of(moment.days()?) as usize]))
}

pub(super) fn monthname(call: &Call<'_>) -> Result<ArrayRef> {
    names(call, month_name)
}

fn month_name(moment: Moment) -> Cell<&'static str> {
    usize::try_from(moment.month - 1).ok().and_then(|month| MONTHS.get(month).copied()).ok_or(Miss::Null)
}

pub(super) fn to_days(call: &Call<'_>) -> Result<ArrayRef> {
    integers(call, |moment| Ok(day_number(moment.days()?)))
}

/// MySQL's number of a day: 366 is 0001-01-01.
fn day_number(days: i32) -> i64 {
    i64::from(days) - i64::from(FIRST_DAY)
}

pub(super) fn to_seconds(call: &Call<'_>) -> Result<ArrayRef> {
    integers(call, |moment| Ok(day_number(moment.days()?) * 86_400 + moment.micros / MICROS_PER_SECOND))
}

/// A day of which the calendar knows, by its distance to 1970.
pub(super) fn day(days: i64) -> Cell<i32> {
    let days = i32::try_from(days).map_err(|_| Miss::Null)?;
    match days {
        FIRST_COUNTED_DAY..=LAST_DAY => Ok(days),
        FIRST_DAY..FIRST_COUNTED_DAY => Err(Miss::Refused),
        _ => Err(Miss::Null),
    }
}

/// Dates before the year 1 are refused: MySQL answers '0000-00-00' there.
pub(super) fn from_days(call: &Call<'_>) -> Result<ArrayRef> {
    let numbers = call.numbers::<Int64Type>(0);
    call.make_numbers::<Date32Type>(|row| match numbers.get(row)? {
        ..=365 => Err(Miss::Refused),
        number => day(number.saturating_add(i64::from(FIRST_DAY))).map_err(|_| Miss::Refused),
    })
}

pub(super) fn makedate(call: &Call<'_>) -> Result<ArrayRef> {
    let (years, numbers) = (call.numbers::<Int64Type>(0), call.numbers::<Int64Type>(1));
    call.make_numbers::<Date32Type>(|row| {
        let year = match years.get(row)? {
            year @ 0..=69 => year + 2000,
            year @ 70..=99 => year + 1900,
            year => year,
        };
        let number = numbers.get(row)?;
        if !(0..=9999).contains(&year) || !(1..=4_000_000).contains(&number) {
            return Err(Miss::Null);
        }
        day(i64::from(days_from_civil(year, 1, 1)) + number - 1)
    })
}

pub(super) fn last_day(call: &Call<'_>) -> Result<ArrayRef> {
    let moments = Moments::of(call, 0);
    call.make_numbers::<Date32Type>(|row| {
        let moment = moments.get(row)?;
        if moment.month == 0 {
            return Err(Miss::Null);
        }
        if moment.stored < IMPOSSIBLE_DATE_END {
            return Err(Miss::Refused);
        }
        Ok(days_from_civil(moment.year, moment.month, days_in_month(moment.year, moment.month)))
    })
}

/// The date of a date-time; as MySQL's default SQL mode has it, one with a part that is zero is NULL.
pub(super) fn date(call: &Call<'_>) -> Result<ArrayRef> {
    let moments = Moments::of(call, 0);
    call.make_numbers::<Date32Type>(|row| match moments.get(row)? {
        Moment { month: 0, .. } | Moment { day: 0, .. } => Err(Miss::Null),
        Moment { stored: ..IMPOSSIBLE_DATE_END, .. } => Err(Miss::Refused),
        moment => Ok(moment.stored),
    })
}

/// How weeks are counted: the bits of WEEK's second argument.
#[derive(Debug, Clone, Copy)]
struct Weeks {
    monday_first: bool,
    /// Days before week 1 belong to the last week of the year before, not to week 0.
    by_year: bool,
    /// Week 1 begins with the first Sunday (or Monday); else it is the one that has four days in the year.
    whole_first: bool,
}

impl Weeks {
    fn of(mode: i64) -> Weeks {
        let monday_first = mode & 1 == 1;
        Weeks { monday_first, by_year: mode & 2 == 2, whole_first: (mode & 4 == 4) == monday_first }
    }

    /// Year and week.
    fn week(self, moment: Moment) -> Cell<(i64, i64)> {
        let days = moment.days()?;
        let begins = self.first_week(moment.year);
        if days < begins {
            if !self.by_year {
                return Ok((moment.year, 0));
            }
            let year = moment.year - 1;
            if year < 1 {
                return Err(Miss::Refused);
            }
            return Ok((year, i64::from(days - self.first_week(year)) / 7 + 1));
        }
        if self.by_year && days >= self.first_week(moment.year + 1) {
            return Ok((moment.year + 1, 1));
        }
        Ok((moment.year, i64::from(days - begins) / 7 + 1))
    }

    /// The first day of week 1.
    fn first_week(self, year: i64) -> i32 {
        let new_year = days_from_civil(year, 1, 1);
        let into_week = (weekday_of(new_year) + i64::from(!self.monday_first)) % 7;
        let back = into_week as i32;
        let belongs = if self.whole_first { back == 0 } else { back < 4 };
        if belongs { new_year - back } else { new_year - back + 7 }
    }
}

pub(super) fn week(call: &Call<'_>) -> Result<ArrayRef> {
    let moments = Moments::of(call, 0);
    let modes = (call.arity() > 1).then(|| call.numbers::<Int64Type>(1));
    call.make_numbers::<Int64Type>(|row| {
        let moment = moments.get(row)?;
        let mode = modes.as_ref().map_or(Ok(0), |modes| modes.get(row))?;
        Ok(Weeks::of(mode).week(moment)?.1)
    })
}

pub(super) fn weekofyear(call: &Call<'_>) -> Result<ArrayRef> {
    integers(call, |moment| Ok(Weeks::of(3).week(moment)?.1))
}

pub(super) fn yearweek(call: &Call<'_>) -> Result<ArrayRef> {
    let moments = Moments::of(call, 0);
    let modes = (call.arity() > 1).then(|| call.numbers::<Int64Type>(1));
    call.make_numbers::<Int64Type>(|row| {
        let moment = moments.get(row)?;
        let mode = modes.as_ref().map_or(Ok(0), |modes| modes.get(row))?;
        let (year, week) = Weeks::of(mode | 2).week(moment)?;
        Ok(year * 100 + week)
    })
}

pub(crate) fn from_unixtime() -> Kernel {
    Kernel::new("from_unixtime", DataType::Timestamp(TimeUnit::Microsecond, None), |call| {
        let nanos = call.numbers::<Decimal128Type>(0);
        call.make_numbers::<TimestampMicrosecondType>(|row| {
            let nanos = nanos.get(row)?;
            let micros = micros_of_nanos(nanos);
            let end = (i128::from(LAST_UNIX_SECOND) + 1) * i128::from(MICROS_PER_SECOND);
            if nanos < 0 || micros >= end { Err(Miss::Null) } else { Ok(micros as i64) }
        })
    })
}

/// UNIX_TIMESTAMP with so many digits of a second: BIGINT, or DECIMAL. Outside of what it knows, servers differ.
pub(crate) fn unix_timestamp(fraction: u8) -> Kernel {
    match fraction {
        0 => Kernel::new("unix_timestamp", DataType::Int64, |call| {
            let moments = Moments::of(call, 0);
            call.make_numbers::<Int64Type>(|row| Ok(unix_micros(&moments, row)? / MICROS_PER_SECOND))
        }),
        _ => {
            let returns = DataType::Decimal128(11 + fraction, fraction as i8);
            Kernel::new("unix_timestamp", returns, |call| {
                let moments = Moments::of(call, 0);
                let unit = match call.returns {
                    DataType::Decimal128(_, scale) => 10i64.pow(6 - u32::from(scale.unsigned_abs())),
                    _ => 1,
                };
                call.make_numbers::<Decimal128Type>(|row| Ok(i128::from(unix_micros(&moments, row)? / unit)))
            })
        }
    }
}

fn unix_micros(moments: &Moments<'_>, row: usize) -> Cell<i64> {
    let moment = moments.get(row)?;
    if moment.month == 0 || moment.day == 0 {
        return Ok(0);
    }
    let micros = i64::from(moment.days()?) * MICROS_PER_DAY + moment.micros;
    match micros {
        // What lies before the first second is 0.
        0..MICROS_PER_SECOND => Ok(0),
        0.. if micros / MICROS_PER_SECOND <= LAST_UNIX_SECOND => Ok(micros),
        _ => Err(Miss::Refused),
    }
}

/// Text that is written as a date or date-time, `2024-02-29 23:59:59.123456`; other forms that MySQL reads fail.
pub(crate) fn read(to: &DataType, or_null: bool) -> Kernel {
    let run: super::kernel::Run = match or_null {
        true => |call| read_texts(call, Miss::Null),
        false => |call| read_texts(call, Miss::Refused),
    };
    Kernel::new(if or_null { "try_date" } else { "read_date" }, to.clone(), run)
}

fn read_texts(call: &Call<'_>, otherwise: Miss) -> Result<ArrayRef> {
    let texts = call.texts(0);
    let read = |row: usize| crate::literal::date_time(texts.get(row)?).ok_or(otherwise);
    match call.returns {
        DataType::Date32 => call.make_numbers::<Date32Type>(|row| Ok(read(row)?.0)),
        _ => call.make_numbers::<TimestampMicrosecondType>(|row| {
            let (days, micros) = read(row)?;
            Ok(i64::from(days) * MICROS_PER_DAY + micros)
        }),
    }
}

/// The date-time that a date begins with; of a date that does not exist, one that does not exist either.
pub(crate) fn at_midnight() -> Kernel {
    Kernel::new("at_midnight", DataType::Timestamp(TimeUnit::Microsecond, None), |call| {
        let days = call.numbers::<Date32Type>(0);
        call.make_numbers::<TimestampMicrosecondType>(|row| Ok(crate::literal::midnight(days.get(row)?)))
    })
    .keeps_nulls()
    .shows(0)
}

/// DATETIME of a TIMESTAMP.
pub(crate) fn in_utc() -> Kernel {
    Kernel::new("in_utc", DataType::Timestamp(TimeUnit::Microsecond, None), |call| {
        let times = call.array(0).as_primitive::<TimestampMicrosecondType>();
        Ok(std::sync::Arc::new(times.clone().with_timezone_opt(None::<&str>)))
    })
    .keeps_nulls()
}

/// Whether dates that do not exist are among the values.
pub(crate) fn has_impossible(values: &ArrayRef) -> bool {
    match values.data_type() {
        DataType::Date32 => values.as_primitive::<Date32Type>().iter().flatten().any(|days| days < IMPOSSIBLE_DATE_END),
        DataType::Timestamp(TimeUnit::Microsecond, _) => values
            .as_primitive::<TimestampMicrosecondType>()
            .iter()
            .flatten()
            .any(|micros| micros < IMPOSSIBLE_TIME_END),
        _ => false,
    }
}

/// Dates and date-times as numbers that are ordered as MySQL orders their digits: '2010-00-10' lies between 2009-12-31 and
/// 2010-01-01.
///
/// ```text
/// day of the calendar     1024 * days + 512
/// 2010-00-10              1024 * days(2010-01-01) + 10
/// 2010-03-00              1024 * days(2010-03-01) + 40
/// 2010-02-31              1024 * days(2010-03-01) + 31
/// ```
pub(crate) fn in_order(values: &ArrayRef, row: usize) -> Option<(i64, i64)> {
    if values.is_null(row) {
        return None;
    }
    let (stored, micros) = match values.data_type() {
        DataType::Date32 => (values.as_primitive::<Date32Type>().value(row), 0),
        _ => date_time_parts(values.as_primitive::<TimestampMicrosecondType>().value(row)),
    };
    if stored >= IMPOSSIBLE_DATE_END {
        return Some((i64::from(stored) * 1024 + 512, micros));
    }
    let (year, month, day) = date_parts(stored);
    let (begins, within) = match (month, day) {
        (0, _) => (days_from_civil(year, 1, 1), day),
        (_, 0) => (days_from_civil(year, month, 1), 40),
        _ => (days_from_civil(year, month, 1) + days_in_month(year, month) as i32, day),
    };
    Some((i64::from(begins) * 1024 + within, micros))
}

/// A date or date-time with NULL in place of one with a part that is zero, as MySQL's default SQL mode converts it.
pub(crate) fn existing(data_type: &DataType) -> Kernel {
    Kernel::new("existing_date", data_type.clone(), |call| handed_on(call, |moment| moment.days().map(|_| ())))
}

/// A date or date-time that an expression chose among others. What MySQL makes of one that does not exist depends on where it
/// goes: they fail.
pub(crate) fn chosen(data_type: &DataType) -> Kernel {
    Kernel::new("chosen_date", data_type.clone(), |call| {
        handed_on(call, |moment| if moment.stored < IMPOSSIBLE_DATE_END { Err(Miss::Refused) } else { Ok(()) })
    })
    // Else IS NULL of a column that is NOT NULL would be known without a look: to servers such a date is NULL here.
}

fn handed_on(call: &Call<'_>, may: impl Fn(Moment) -> Cell<()>) -> Result<ArrayRef> {
    if !has_impossible(call.array(0)) {
        return Ok(std::sync::Arc::clone(call.array(0)));
    }
    let moments = Moments::of(call, 0);
    match call.returns {
        DataType::Date32 => {
            let dates = call.numbers::<Date32Type>(0);
            call.make_numbers::<Date32Type>(|row| {
                may(moments.get(row)?)?;
                dates.get(row)
            })
        }
        _ => {
            let times = call.numbers::<TimestampMicrosecondType>(0);
            call.make_numbers::<TimestampMicrosecondType>(|row| {
                may(moments.get(row)?)?;
                times.get(row)
            })
        }
    }
}
