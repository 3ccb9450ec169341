//! Dates and decimals as numbers, and the digits that they stand for.
//!
//! A date is days since 1970 of the proleptic Gregorian calendar, and a date-time microseconds. MySQL stores dates that no calendar has,
//! too (`0000-00-00`, `2010-00-10`, `2023-02-31`): these are their own digits, packed, far below every real one, so that both have an order.
//! A decimal is an integer and the place of its point.

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar, or the impossible-date form of its digits.
#[inline]
pub fn date_from_parts(year: u32, month: u32, day: u32) -> i32 {
    if month == 0 || day == 0 || day > days_in_month(year, month) {
        return i32::MIN + (year << 9 | month << 5 | day) as i32;
    }
    days_from_civil(year as i32, month, day)
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
#[inline]
pub fn days_from_civil(year: i32, month: u32, day: u32) -> i32 {
    // Howard Hinnant's: years begin in March, so that the leap day is the last of its year.
    let y = year - (month <= 2) as i32;
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * ((month as i32 + 9) % 12) + 2) / 5 + day as i32 - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of a Date32 value, impossible dates included.
#[inline]
pub fn date_parts(days: i32) -> (u32, u32, u32) {
    if days < IMPOSSIBLE_DATE_END {
        let packed = (days - i32::MIN) as u32;
        return (packed >> 9, packed >> 5 & 15, packed & 31);
    }
    let (year, month, day) = civil_from_days(days);
    (year as u32, month, day)
}

/// Year, month and day of days since 1970-01-01.
#[inline]
pub fn civil_from_days(days: i32) -> (i32, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + (month <= 2) as i32, month as u32, day as u32)
}

/// Every impossible date lies below it, every real date above.
pub const IMPOSSIBLE_DATE_END: i32 = i32::MIN + (1 << 23);
/// Every impossible date-time lies below it, every real one above.
pub const IMPOSSIBLE_DATETIME_END: i64 = i64::MIN + (1 << 60);
/// `0000-00-00 00:00:00`.
pub const ZERO_DATETIME: i64 = i64::MIN;

const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;

/// Microseconds since 1970 of a date-time, or its impossible form.
#[inline]
pub fn datetime_from_parts(year: u32, month: u32, day: u32, microsecond_of_day: u64) -> i64 {
    let date = date_from_parts(year, month, day);
    if date < IMPOSSIBLE_DATE_END {
        let packed = (date - i32::MIN) as i64;
        return i64::MIN + (packed << 37 | microsecond_of_day as i64);
    }
    date as i64 * MICROSECONDS_PER_DAY + microsecond_of_day as i64
}

/// Date32 value (impossible dates included) and microsecond of the day of a Timestamp(µs) value.
#[inline]
pub fn datetime_parts(microseconds: i64) -> (i32, u64) {
    if microseconds < IMPOSSIBLE_DATETIME_END {
        let packed = microseconds.wrapping_sub(i64::MIN);
        return (i32::MIN + (packed >> 37) as i32, (packed & ((1 << 37) - 1)) as u64);
    }
    (microseconds.div_euclid(MICROSECONDS_PER_DAY) as i32, microseconds.rem_euclid(MICROSECONDS_PER_DAY) as u64)
}

/// None in a month that there is not.
pub fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 0,
    }
}

const ZEROS: [u8; 76] = [b'0'; 76];

/// Puts the point before the last `scale` digits.
#[inline]
pub fn write_with_point(digits: &[u8], scale: usize, out: &mut Vec<u8>) {
    if scale == 0 {
        return out.extend_from_slice(digits);
    }
    if let Some(whole) = digits.len().checked_sub(scale).filter(|&whole| whole > 0) {
        out.extend_from_slice(&digits[..whole]);
        out.push(b'.');
        out.extend_from_slice(&digits[whole..]);
    } else {
        out.extend_from_slice(b"0.");
        out.extend_from_slice(&ZEROS[..scale - digits.len()]);
        out.extend_from_slice(digits);
    }
}

/// The text of an unscaled decimal: (-5, 2) is `-0.05`.
pub fn decimal_text(unscaled: &str, scale: usize) -> String {
    let (sign, digits) = unscaled.split_at(usize::from(unscaled.starts_with('-')));
    let mut text = sign.as_bytes().to_vec();
    write_with_point(digits.as_bytes(), scale, &mut text);
    String::from_utf8(text).expect("digits are text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_round_trip_possible_or_not() {
        assert_eq!(date_from_parts(1970, 1, 1), 0);
        assert_eq!(date_from_parts(2000, 3, 1), 11_017);
        assert_eq!(date_from_parts(9999, 12, 31), 2_932_896);
        let mut previous = i32::MIN;
        for year in 0..=9999 {
            for month in 0..=12 {
                for day in 0..=31 {
                    let days = date_from_parts(year, month, day);
                    assert_eq!(date_parts(days), (year, month, day));
                    if month > 0 && day > 0 && day <= days_in_month(year, month) {
                        assert!(days > IMPOSSIBLE_DATE_END && days > previous);
                        previous = days;
                    } else {
                        assert!(days < IMPOSSIBLE_DATE_END);
                    }
                }
            }
        }
    }

    #[test]
    fn date_times_round_trip_possible_or_not() {
        for (y, m, d) in
            [(0, 0, 0), (2010, 0, 10), (9999, 12, 0), (1969, 12, 31), (0, 1, 1), (9999, 12, 31), (2023, 2, 31)]
        {
            for microsecond in [0, 1, 86_399_999_999] {
                let (date, rest) = datetime_parts(datetime_from_parts(y, m, d, microsecond));
                assert_eq!((date_parts(date), rest), ((y, m, d), microsecond));
            }
        }
        assert_eq!(datetime_from_parts(0, 0, 0, 0), ZERO_DATETIME);
        assert_eq!(datetime_from_parts(1970, 1, 2, 5), MICROSECONDS_PER_DAY + 5);
    }

    #[test]
    fn decimals_print_plainly() {
        assert_eq!(decimal_text("-5", 2), "-0.05");
        assert_eq!(decimal_text("12345", 2), "123.45");
        assert_eq!(decimal_text("-123", 3), "-0.123");
        assert_eq!(decimal_text("7", 0), "7");
        assert_eq!(decimal_text("0", 76), format!("0.{}", "0".repeat(76)));
    }
}
