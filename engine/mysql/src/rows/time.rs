//! Dates and times, packed as the server packs them.

use super::{ValueFault, big_endian};
use crate::binlog::event::{Input, Short};
use tidegate_model::SqlType;
use tidegate_model::types::{ZERO_DATETIME, date_from_parts, datetime_from_parts};

/// A big-endian number of units, which are a second's decimal parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hires {
    pub(super) bytes: u8,
    /// Microseconds per unit.
    unit: i64,
}

/// The bytes behind a second, big endian.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fraction {
    pub(super) bytes: u8,
    /// Microseconds per unit.
    unit: u32,
}

pub(super) const DATETIME: ValueFault = ValueFault::Invalid("date and time");

pub(super) const TIME: ValueFault = ValueFault::Invalid("time");

#[inline]
pub(super) fn date(packed: u32) -> i32 {
    date_from_parts(packed >> 9, packed >> 5 & 15, packed & 31)
}

impl Fraction {
    pub(super) fn new(digits: u8) -> Fraction {
        let bytes = digits.div_ceil(2);
        Fraction { bytes, unit: [1_000_000, 10_000, 100, 1][bytes as usize] }
    }

    /// Microseconds; `None` beyond a second.
    #[inline]
    pub(super) fn read(self, input: &mut Input<'_>) -> Result<Option<u32>, Short> {
        Ok(match self.bytes {
            0 => Some(0),
            bytes => {
                let units = big_endian(input.take(bytes as usize)?) as u32;
                units.checked_mul(self.unit).filter(|&microseconds| microseconds < 1_000_000)
            }
        })
    }
}

/// ```text
/// 1 sign (set: not negative) │ 17 year * 13 + month │ 5 day │ 5 hour │ 6 minute │ 6 second │ fraction
/// ```
#[inline]
pub(super) fn datetime(fraction: Fraction, input: &mut Input<'_>) -> Result<i64, ValueFault> {
    let [a, b, c, d, e] = input.array()?;
    let packed = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
    let microsecond = fraction.read(input)?.ok_or(DATETIME)?;
    let months = (packed >> 22) as u32 & 0x1_ffff;
    let day = (packed >> 17) as u32 & 31;
    let (hour, minute, second) = (packed >> 12 & 31, packed >> 6 & 63, packed & 63);
    if packed >> 39 != 1 || hour > 23 || minute > 59 || second > 59 {
        return Err(DATETIME);
    }
    let microsecond_of_day = ((hour * 60 + minute) * 60 + second) * 1_000_000 + microsecond as u64;
    Ok(datetime_from_parts(months / 13, months % 13, day, microsecond_of_day))
}

#[inline]
pub(super) fn timestamp(fraction: Fraction, input: &mut Input<'_>) -> Result<i64, ValueFault> {
    let seconds = u32::from_be_bytes(input.array()?);
    let microsecond = fraction.read(input)?.ok_or(DATETIME)?;
    Ok(match (seconds, microsecond) {
        (0, 0) => ZERO_DATETIME,
        _ => seconds as i64 * 1_000_000 + microsecond as i64,
    })
}

/// ```text
/// 1 sign (set: not negative) │ 1 unused │ 10 hour │ 6 minute │ 6 second │ fraction
/// ```
///
/// The whole is one number above an offset, so that bytes order as times do: a negative time with a fraction is the
/// next lower second plus what is left. −00:00:00.000001 is second −1 and fraction 0xffffff.
#[inline]
pub(super) fn time(fraction: Fraction, input: &mut Input<'_>) -> Result<i64, ValueFault> {
    let [a, b, c] = input.array()?;
    let mut seconds = u32::from_be_bytes([0, a, b, c]) as i64 - 0x80_0000;
    let mut units = 0;
    if fraction.bytes > 0 {
        units = big_endian(input.take(fraction.bytes as usize)?) as i64;
        if seconds < 0 && units != 0 {
            seconds += 1;
            units = (1 << (8 * fraction.bytes)) - units;
        }
    }
    let negative = u32::from_be_bytes([0, a, b, c]) < 0x80_0000;
    let digits = seconds.unsigned_abs();
    let (hour, minute, second) = (digits >> 12, digits >> 6 & 63, digits & 63);
    let microsecond = units * fraction.unit as i64;
    if hour > 838 || minute > 59 || second > 59 || microsecond > 999_999 {
        return Err(TIME);
    }
    let microseconds = ((hour * 60 + minute) * 60 + second) as i64 * 1_000_000 + microsecond;
    Ok(if negative { -microseconds } else { microseconds })
}

impl Hires {
    /// `bytes` by the digits of the fraction.
    pub(super) fn new(sql_type: &SqlType, bytes: [u8; 7]) -> Hires {
        let fraction = match *sql_type {
            SqlType::Time { fraction } | SqlType::DateTime { fraction } | SqlType::Timestamp { fraction } => fraction,
            _ => 0,
        };
        let digits = usize::from(fraction.min(6));
        Hires { bytes: bytes[digits], unit: 10_i64.pow(6 - digits as u32) }
    }

    pub(super) fn read(self, input: &mut Input<'_>) -> Result<i64, Short> {
        Ok(big_endian(input.take(self.bytes as usize)?) as i64)
    }
}

/// Units above the smallest time, which is less than -838:59:59.
pub(super) fn hires_time(hires: Hires, input: &mut Input<'_>) -> Result<i64, ValueFault> {
    const SECONDS: i64 = 839 * 3600;
    let zero = SECONDS * (1_000_000 / hires.unit);
    let microseconds = (hires.read(input)? - zero).checked_mul(hires.unit).ok_or(TIME)?;
    if microseconds.abs() >= SECONDS * 1_000_000 { Err(TIME) } else { Ok(microseconds) }
}

/// ```text
/// (((((year * 13 + month) * 32 + day) * 24 + hour) * 60 + minute) * 60 + second) * units of a second + fraction
/// ```
pub(super) fn hires_datetime(hires: Hires, input: &mut Input<'_>) -> Result<i64, ValueFault> {
    const DAY: i64 = 86_400_000_000;
    let packed = hires.read(input)?.checked_mul(hires.unit).filter(|packed| *packed >= 0).ok_or(DATETIME)?;
    let (days, microsecond) = (packed / DAY, packed % DAY);
    let (months, day) = (days / 32, days % 32);
    let year = u32::try_from(months / 13).ok().filter(|year| *year <= 9999).ok_or(DATETIME)?;
    Ok(datetime_from_parts(year, (months % 13) as u32, day as u32, microsecond as u64))
}

pub(super) fn hires_timestamp(hires: Hires, input: &mut Input<'_>) -> Result<i64, ValueFault> {
    let seconds = u32::from_be_bytes(input.array()?);
    let microseconds = hires.read(input)? * hires.unit;
    Ok(match (seconds, microseconds) {
        (0, 0) => ZERO_DATETIME,
        (_, 1_000_000..) => return Err(DATETIME),
        _ => seconds as i64 * 1_000_000 + microseconds,
    })
}

/// Before MySQL 5.6: the decimal digits hhmmss as a signed number of three bytes.
pub(super) fn old_time(bytes: u32) -> Result<i64, ValueFault> {
    let digits = (bytes << 8) as i32 >> 8;
    let (hour, minute, second) = (digits.abs() / 10_000, digits.abs() / 100 % 100, digits.abs() % 100);
    if hour > 838 || minute > 59 || second > 59 {
        return Err(TIME);
    }
    Ok(((hour * 60 + minute) * 60 + second) as i64 * digits.signum() as i64 * 1_000_000)
}

/// Before MySQL 5.6: the decimal digits YYYYMMDDhhmmss.
pub(super) fn old_datetime(digits: u64) -> Result<i64, ValueFault> {
    let (date, time) = (digits / 1_000_000, digits % 1_000_000);
    let (year, month, day) = (date / 10_000, date / 100 % 100, date % 100);
    let (hour, minute, second) = (time / 10_000, time / 100 % 100, time % 100);
    if year > 9999 || month > 12 || day > 31 || hour > 23 || minute > 59 || second > 59 {
        return Err(DATETIME);
    }
    let microsecond_of_day = ((hour * 60 + minute) * 60 + second) * 1_000_000;
    Ok(datetime_from_parts(year as u32, month as u32, day as u32, microsecond_of_day))
}
