//! Dates and times as text, those that no calendar has as they are.

use super::numbers::write_integer;
use tidegate_model::types::{IMPOSSIBLE_DATETIME_END, date_parts, datetime_parts};

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut value = 0;
    while value < 100 {
        pairs[value] = [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8];
        value += 1;
    }
    pairs
};

#[inline]
pub(super) fn write_year(year: i32, out: &mut Vec<u8>) {
    match u32::try_from(year) {
        Ok(year @ 0..=9999) => {
            out.extend_from_slice(&PAIRS[year as usize / 100]);
            out.extend_from_slice(&PAIRS[year as usize % 100]);
        }
        // MySQL stores no such year, but a computed column may hold one.
        _ => write_integer(year, out),
    }
}

/// `2024-02-29` in the first ten bytes; the year must have four digits.
#[inline]
fn put_date(year: u32, month: u32, day: u32, out: &mut [u8; 10]) {
    out[0..2].copy_from_slice(&PAIRS[year as usize / 100]);
    out[2..4].copy_from_slice(&PAIRS[year as usize % 100]);
    out[4] = b'-';
    out[5..7].copy_from_slice(&PAIRS[month as usize]);
    out[7] = b'-';
    out[8..10].copy_from_slice(&PAIRS[day as usize]);
}

#[inline]
pub(super) fn write_date(days: i32, out: &mut Vec<u8>) {
    let (year, month, day) = date_parts(days);
    if year > 9999 {
        write_year(year as i32, out);
        out.push(b'-');
        out.extend_from_slice(&PAIRS[month as usize]);
        out.push(b'-');
        out.extend_from_slice(&PAIRS[day as usize]);
        return;
    }
    let mut text = [0; 10];
    put_date(year, month, day, &mut text);
    out.extend_from_slice(&text);
}

#[inline]
pub(super) fn write_datetime(microseconds: i64, offset_us: i64, fraction: usize, out: &mut Vec<u8>) {
    let local = if microseconds < IMPOSSIBLE_DATETIME_END { microseconds } else { microseconds + offset_us };
    let (date, microsecond) = datetime_parts(local);
    write_date(date, out);
    let second = (microsecond / 1_000_000) as u32;
    // " hh:mm:ss.ffffff"
    let mut text = *b" 00:00:00.000000";
    text[1..3].copy_from_slice(&PAIRS[second as usize / 3600]);
    put_rest_of_time(second, (microsecond % 1_000_000) as u32, (&mut text[3..]).try_into().expect("16 bytes less 3"));
    out.extend_from_slice(&text[..time_length(10, fraction) - 1]);
}

#[inline]
pub(super) fn write_time(microseconds: i64, fraction: usize, out: &mut Vec<u8>) {
    if microseconds < 0 {
        out.push(b'-');
    }
    let magnitude = microseconds.unsigned_abs();
    let second = magnitude / 1_000_000;
    match PAIRS.get(second as usize / 3600) {
        Some(hour) => out.extend_from_slice(hour),
        None => write_integer(second / 3600, out),
    }
    let mut text = *b":00:00.000000";
    put_rest_of_time((second % 3600) as u32, (magnitude % 1_000_000) as u32, &mut text);
    out.extend_from_slice(&text[..time_length(6, fraction)]);
}

/// `:mm:ss.ffffff`
#[inline]
fn put_rest_of_time(second: u32, microsecond: u32, out: &mut [u8; 13]) {
    out[1..3].copy_from_slice(&PAIRS[second as usize / 60 % 60]);
    out[4..6].copy_from_slice(&PAIRS[second as usize % 60]);
    if microsecond != 0 {
        out[7..9].copy_from_slice(&PAIRS[microsecond as usize / 10_000]);
        out[9..11].copy_from_slice(&PAIRS[microsecond as usize / 100 % 100]);
        out[11..13].copy_from_slice(&PAIRS[microsecond as usize % 100]);
    }
}

/// Length of a time whose seconds end at `seconds_end`, with its point and digits.
#[inline]
fn time_length(seconds_end: usize, fraction: usize) -> usize {
    if fraction == 0 { seconds_end } else { seconds_end + 1 + fraction }
}
