//! Literals as MySQL reads them: numbers, dates, times of day and hexadecimal bytes, each to the Arrow value that stands for it.

use arrow::datatypes::{DataType, TimeUnit, i256};
use datafusion_common::ScalarValue;

pub(crate) use tidegate_digits::{IMPOSSIBLE_DATE_END, IMPOSSIBLE_DATETIME_END as IMPOSSIBLE_TIME_END};

pub(crate) const MICROS_PER_SECOND: i64 = 1_000_000;
pub(crate) const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// Days from 1970-01-01 back to 0000-01-01, the first day that is one. What MySQL stores for dates that do not exist
/// ('0000-00-00', '2010-00-10') arrives as numbers far below.
pub(crate) const FIRST_DAY: i32 = -719_528;
/// 9999-12-31, and the last moment of it.
pub(crate) const LAST_DAY: i32 = 2_932_896;
pub(crate) const LAST_MICROSECOND: i64 = (LAST_DAY as i64 + 1) * MICROS_PER_DAY - 1;

/// Year, month and day, those of a date that does not exist included.
pub(crate) fn date_parts(days: i32) -> (i64, i64, i64) {
    let (year, month, day) = match days < IMPOSSIBLE_DATE_END {
        true => tidegate_digits::date_parts(days),
        false => return civil_from_days(days),
    };
    (year.into(), month.into(), day.into())
}

/// Day (or date that does not exist) and microsecond of the day of a date-time.
pub(crate) fn date_time_parts(micros: i64) -> (i32, i64) {
    let (days, micros) = tidegate_digits::datetime_parts(micros);
    (days, micros as i64)
}

/// The date-time that a date begins with, which exists if the date does.
pub(crate) fn midnight(days: i32) -> i64 {
    match days < IMPOSSIBLE_DATE_END {
        true => i64::MIN + ((i64::from(days) - i64::from(i32::MIN)) << 37),
        false => i64::from(days) * MICROS_PER_DAY,
    }
}

/// `1`, `18446744073709551615`, `1.50` and `1e3`, with or without a minus sign: BIGINT, BIGINT UNSIGNED, DECIMAL, DOUBLE.
pub(crate) fn number(text: &str) -> Option<ScalarValue> {
    if let Ok(value) = text.parse::<i64>() {
        return Some(ScalarValue::Int64(Some(value)));
    }
    if let Ok(value) = text.parse::<u64>() {
        return Some(ScalarValue::UInt64(Some(value)));
    }
    if text.contains(['e', 'E']) {
        let value = text.parse::<f64>().ok().filter(|value| value.is_finite())?;
        return Some(ScalarValue::Float64(Some(value)));
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction}");
    let magnitude = digits.trim_start_matches(['-', '+']).trim_start_matches('0');
    if !digits.trim_start_matches(['-', '+']).bytes().all(|byte| byte.is_ascii_digit()) || digits.is_empty() {
        return None;
    }
    let scale = i8::try_from(fraction.len()).ok()?;
    let precision = u8::try_from(magnitude.len().max(fraction.len()).max(1)).ok()?;
    match precision {
        ..=38 => Some(ScalarValue::Decimal128(Some(digits.parse().ok()?), precision, scale)),
        39..=76 => Some(ScalarValue::Decimal256(Some(i256::from_string(&digits)?), precision, scale)),
        77.. => None,
    }
}

/// `2024-02-29` or `2024-02-29 23:59:59.123456` (a `T` between is fine): days, and microseconds of the day.
pub(crate) fn date_time(text: &str) -> Option<(i32, i64)> {
    let text = text.trim();
    let (date, time) = match text.split_once([' ', 'T']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 || !(1..=2).contains(&month.len()) || !(1..=2).contains(&day.len()) {
        return None;
    }
    let (year, month, day) = (unsigned(year)?, unsigned(month)?, unsigned(day)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    let micros = match time {
        Some(time) => time_of_day(time).filter(|micros| (0..MICROS_PER_DAY).contains(micros))?,
        None => 0,
    };
    Some((days_from_civil(year, month, day), micros))
}

/// `-838:59:59.000000` to `838:59:59.000000`, seconds and their fraction may be left out: microseconds.
pub(crate) fn time_of_day(text: &str) -> Option<i64> {
    let (negative, text) = match text.trim().strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text.trim()),
    };
    let (text, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = text.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next().unwrap_or("0"));
    if parts.next().is_some() || fraction.len() > 6 {
        return None;
    }
    let micros = if fraction.is_empty() { 0 } else { unsigned(&format!("{fraction:0<6}"))? };
    let (hours, minutes, seconds) = (unsigned(hours)?, unsigned(minutes)?, unsigned(seconds)?);
    if hours > 838 || minutes > 59 || seconds > 59 {
        return None;
    }
    let total = ((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND + micros;
    Some(if negative { -total } else { total })
}

pub(crate) fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    if !digits.is_ascii() || !digits.len().is_multiple_of(2) {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

/// A point in time as a literal of `data_type`, which is a Timestamp.
pub(crate) fn timestamp(days: i32, micros: i64, data_type: &DataType) -> ScalarValue {
    let zone = match data_type {
        DataType::Timestamp(TimeUnit::Microsecond, zone) => zone.clone(),
        _ => None,
    };
    ScalarValue::TimestampMicrosecond(Some(i64::from(days) * MICROS_PER_DAY + micros), zone)
}

/// `2024-02-29`, or nothing outside of the years that MySQL's documentation promises to compare correctly.
pub(crate) fn date_text(days: i32) -> Option<String> {
    let (year, month, day) = civil_from_days(days);
    (1000..=9999).contains(&year).then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// `2024-02-29 23:59:59.123456`, or nothing outside of the years 1000 to 9999.
pub(crate) fn timestamp_text(micros: i64) -> Option<String> {
    let date = date_text(i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok()?)?;
    let micros = micros.rem_euclid(MICROS_PER_DAY);
    let (seconds, micros) = (micros / MICROS_PER_SECOND, micros % MICROS_PER_SECOND);
    Some(format!("{date} {:02}:{:02}:{:02}.{micros:06}", seconds / 3600, seconds / 60 % 60, seconds % 60))
}

/// Digits with the point where `scale` puts it: (-5, 2) is `-0.05`.
pub(crate) fn decimal_text(unscaled: &str, scale: i8) -> String {
    match usize::try_from(scale) {
        Ok(scale) => tidegate_digits::decimal_text(unscaled, scale),
        Err(_) => format!("{unscaled}{}", "0".repeat(usize::from(scale.unsigned_abs()))),
    }
}

fn unsigned(digits: &str) -> Option<i64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

pub(crate) fn days_in_month(year: i64, month: i64) -> i64 {
    tidegate_digits::days_in_month(year as u32, month as u32).into()
}

pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i32 {
    let year = i32::try_from(year).expect("a year has four digits");
    tidegate_digits::days_from_civil(year, month as u32, day as u32)
}

fn civil_from_days(days: i32) -> (i64, i64, i64) {
    let (year, month, day) = tidegate_digits::civil_from_days(days);
    (year.into(), month.into(), day.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_every_digit() {
        assert_eq!(number("-9223372036854775808"), Some(ScalarValue::Int64(Some(i64::MIN))));
        assert_eq!(number("18446744073709551615"), Some(ScalarValue::UInt64(Some(u64::MAX))));
        assert_eq!(number("18446744073709551616"), Some(ScalarValue::Decimal128(Some(1 << 64), 20, 0)));
        assert_eq!(number("-0.050"), Some(ScalarValue::Decimal128(Some(-50), 3, 3)));
        assert_eq!(number("1e3"), Some(ScalarValue::Float64(Some(1000.0))));
        assert_eq!(number("1x"), None);
        assert_eq!(number("1e999"), None);
    }

    #[test]
    fn dates_go_there_and_back() {
        assert_eq!(date_time("0000-01-01"), Some((FIRST_DAY, 0)));
        assert_eq!(date_time("1970-01-02 00:00:01.5"), Some((1, 1_500_000)));
        for invalid in ["0000-00-00", "2023-02-29", "2024-1", "24-01-01", "2024-01-01 24:00:00", "20240101", ""] {
            assert_eq!(date_time(invalid), None, "{invalid}");
        }
        for days in (date_time("1000-01-01").unwrap().0..date_time("9999-12-31").unwrap().0).step_by(13) {
            let text = date_text(days).unwrap();
            assert_eq!(date_time(&text), Some((days, 0)), "{text}");
        }
        assert_eq!(timestamp_text(-1).as_deref(), Some("1969-12-31 23:59:59.999999"));
        assert_eq!(date_text(FIRST_DAY), None);
        assert_eq!(timestamp_text(LAST_MICROSECOND).as_deref(), Some("9999-12-31 23:59:59.999999"));
    }

    #[test]
    fn times_of_day_are_signed_and_long() {
        assert_eq!(time_of_day("-838:59:59.000001"), Some(-3_020_399_000_001));
        assert_eq!(time_of_day("10:30"), Some(37_800_000_000));
        assert_eq!(time_of_day("839:00:00"), None);
    }

    #[test]
    fn decimals_print_plainly() {
        assert_eq!(decimal_text("-5", 2), "-0.05");
        assert_eq!(decimal_text("12345", 2), "123.45");
        assert_eq!(decimal_text("7", 0), "7");
        assert_eq!(decimal_text("7", -2), "700");
    }
}
