//! Dates and times as text, plainly and by a format, and read by one.

use std::fmt::{self, Write as _};

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Date32Type, DurationMicrosecondType, TimeUnit, TimestampMicrosecondType};
use datafusion_common::Result;

use super::super::kernel::{Call, Cell, Kernel, Miss, Run};
use super::{MONTHS, Moment, Moments, WEEKDAYS, Weeks, month_name, weekday_of};
use crate::literal::{MICROS_PER_DAY, MICROS_PER_SECOND, days_from_civil, days_in_month};

pub(in crate::functions) fn date_format(call: &Call<'_>) -> Result<ArrayRef> {
    let (moments, formats) = (Moments::of(call, 0), call.texts(1));
    call.make_text(|row, out| {
        let moment = moments.get(row)?;
        write_format(formats.get(row)?, out, |specifier, out| write_moment(moment, specifier, out))
    })
}

/// Writes a format such as `%Y-%m-%d`: of each `%x` what `write` does, and all else as it is. An empty format is NULL.
pub(in crate::functions) fn write_format(
    format: &str,
    out: &mut String,
    mut write: impl FnMut(char, &mut String) -> Cell<fmt::Result>,
) -> Cell<()> {
    if format.is_empty() {
        return Err(Miss::Null);
    }
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        match character {
            '%' => match characters.next() {
                Some(specifier) => write(specifier, out)?.expect("a string takes everything"),
                None => out.push('%'),
            },
            character => out.push(character),
        }
    }
    Ok(())
}

/// What a format says of a time of day, or of a TIME, by its microseconds. A specifier that says nothing stands for itself.
pub(in crate::functions) fn write_time(micros: i64, specifier: char, out: &mut String) -> fmt::Result {
    let seconds = micros / MICROS_PER_SECOND;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let twelve = (hour % 24 + 11) % 12 + 1;
    let half = if hour % 24 < 12 { "AM" } else { "PM" };
    match specifier {
        'f' => write!(out, "{:06}", micros % MICROS_PER_SECOND),
        'H' => write!(out, "{hour:02}"),
        'h' | 'I' => write!(out, "{twelve:02}"),
        'i' => write!(out, "{minute:02}"),
        'k' => write!(out, "{hour}"),
        'l' => write!(out, "{twelve}"),
        'p' => write!(out, "{half}"),
        'r' => write!(out, "{twelve:02}:{minute:02}:{second:02} {half}"),
        'S' | 's' => write!(out, "{second:02}"),
        'T' => write!(out, "{hour:02}:{minute:02}:{second:02}"),
        other => write!(out, "{other}"),
    }
}

/// What a format says of a date-time.
fn write_moment(moment: Moment, specifier: char, out: &mut String) -> Cell<fmt::Result> {
    Ok(match specifier {
        'a' => write!(out, "{}", &WEEKDAYS[weekday_of(printed_day(moment)?) as usize][..3]),
        'b' => write!(out, "{}", &month_name(moment)?[..3]),
        'c' => write!(out, "{}", moment.month),
        'D' => {
            let suffix = match (moment.day % 10, moment.day / 10) {
                (_, 1) => "th",
                (1, _) => "st",
                (2, _) => "nd",
                (3, _) => "rd",
                _ => "th",
            };
            write!(out, "{}{suffix}", moment.day)
        }
        'd' => write!(out, "{:02}", moment.day),
        'e' => write!(out, "{}", moment.day),
        'j' => write!(out, "{:03}", i64::from(printed_day(moment)? - days_from_civil(moment.year, 1, 1)) + 1),
        'M' => write!(out, "{}", month_name(moment)?),
        'm' => write!(out, "{:02}", moment.month),
        'U' => write!(out, "{:02}", printed_week(Weeks::of(0), moment)?.1),
        'u' => write!(out, "{:02}", printed_week(Weeks::of(1), moment)?.1),
        'V' => write!(out, "{:02}", printed_week(Weeks::of(2), moment)?.1),
        'v' => write!(out, "{:02}", printed_week(Weeks::of(3), moment)?.1),
        'W' => write!(out, "{}", WEEKDAYS[weekday_of(printed_day(moment)?) as usize]),
        'w' => write!(out, "{}", (weekday_of(printed_day(moment)?) + 1) % 7),
        'X' => write!(out, "{:04}", week_year(Weeks::of(2), moment)?),
        'x' => write!(out, "{:04}", week_year(Weeks::of(3), moment)?),
        'Y' => write!(out, "{:04}", moment.year),
        'y' => write!(out, "{:02}", moment.year % 100),
        other => write_time(moment.micros, other, out),
    })
}

/// The day, where MySQL does not print nonsense.
fn printed_day(moment: Moment) -> Cell<i32> {
    moment.days().map_err(|_| Miss::Refused)
}

/// Year and week, where MySQL does not print nonsense: of dates with a part that is zero it does.
fn printed_week(weeks: Weeks, moment: Moment) -> Cell<(i64, i64)> {
    weeks.week(moment).map_err(|_| Miss::Refused)
}

fn week_year(weeks: Weeks, moment: Moment) -> Cell<i64> {
    Ok(printed_week(weeks, moment)?.0)
}

/// What STR_TO_DATE makes by a format: a date, or a date-time. `None` for formats that leave out a part of the date, whose
/// results depend on the SQL mode, for those that count weeks or days of the year, for AM and PM beside hours up to 23 and for `%%`, by which servers
/// read nothing, and for `%T` and `%r`, by which they read parts of a time.
pub(crate) fn format_makes(format: &str) -> Option<DataType> {
    let mut specifiers = Vec::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character == '%' {
            specifiers.push(characters.next()?);
        }
    }
    let has = |any: &str| specifiers.iter().any(|specifier| any.contains(*specifier));
    let known = specifiers.iter().all(|specifier| "YymcMbdDeHkhIlisSfp".contains(*specifier));
    if !known || !has("Yy") || !has("mcMb") || !has("dDe") || (has("p") && has("Hk")) {
        return None;
    }
    Some(match has("HkhIlisSfp") {
        true => DataType::Timestamp(TimeUnit::Microsecond, None),
        false => DataType::Date32,
    })
}

/// STR_TO_DATE, by a format that [`format_makes`] knows.
pub(crate) fn str_to_date(returns: DataType) -> Kernel {
    Kernel::new("str_to_date", returns, |call| {
        let (texts, formats) = (call.texts(0), call.texts(1));
        match call.returns {
            DataType::Date32 => {
                call.make_numbers::<Date32Type>(|row| Ok(read_by(texts.get(row)?, formats.get(row)?)?.0))
            }
            _ => call.make_numbers::<TimestampMicrosecondType>(|row| {
                let (days, micros) = read_by(texts.get(row)?, formats.get(row)?)?;
                Ok(i64::from(days) * MICROS_PER_DAY + micros)
            }),
        }
    })
}

/// What is read of a text, from its front.
struct Reader<'a>(&'a str);

impl Reader<'_> {
    /// At most so many digits, at least one.
    fn number(&mut self, width: usize) -> Cell<i64> {
        let length = self.0.bytes().take(width).take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        digits.parse().map_err(|_| Miss::Null)
    }

    fn spaces(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
    }

    /// One of these names, of which the first `least` letters are enough.
    fn name(&mut self, names: &[&str], least: Option<usize>) -> Cell<i64> {
        for (at, name) in names.iter().enumerate() {
            let name = least.map_or(*name, |least| &name[..least]);
            if self.0.len() >= name.len()
                && self.0.is_char_boundary(name.len())
                && self.0[..name.len()].eq_ignore_ascii_case(name)
            {
                self.0 = &self.0[name.len()..];
                return Ok(at as i64);
            }
        }
        Err(Miss::Null)
    }

    fn literal(&mut self, character: char) -> Cell<()> {
        self.0 = self.0.strip_prefix(character).ok_or(Miss::Null)?;
        Ok(())
    }
}

/// Days and microseconds of the day. What the text has behind the format is left out.
fn read_by(text: &str, format: &str) -> Cell<(i32, i64)> {
    let (mut year, mut month, mut day) = (0, 0, 0);
    let (mut hour, mut minute, mut second, mut micros) = (0, 0, 0, 0);
    let mut half = None;
    let mut twelve = false;
    let mut reader = Reader(text);
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        reader.spaces();
        if reader.0.is_empty() {
            break;
        }
        if character.is_ascii_whitespace() {
            continue;
        }
        if character != '%' {
            reader.literal(character)?;
            continue;
        }
        match characters.next().ok_or(Miss::Null)? {
            'Y' => {
                let before = reader.0.len();
                year = reader.number(4)?;
                if before - reader.0.len() <= 2 {
                    year += if year < 70 { 2000 } else { 1900 };
                }
            }
            'y' => {
                year = reader.number(2)?;
                year += if year < 70 { 2000 } else { 1900 };
            }
            'm' | 'c' => month = reader.number(2)?,
            'M' => month = reader.name(&MONTHS, None)? + 1,
            'b' => month = reader.name(&MONTHS, Some(3))? + 1,
            'd' | 'e' => day = reader.number(2)?,
            'D' => {
                day = reader.number(2)?;
                let rest = reader.0.char_indices().nth(2).map_or(reader.0.len(), |(at, _)| at);
                reader.0 = &reader.0[rest..];
            }
            'H' | 'k' => hour = reader.number(2)?,
            'h' | 'I' | 'l' => {
                hour = reader.number(2)?;
                twelve = true;
            }
            'i' => minute = reader.number(2)?,
            's' | 'S' => second = reader.number(2)?,
            'f' => {
                let before = reader.0.len();
                let digits = reader.number(6)?;
                micros = digits * 10i64.pow(6 - (before - reader.0.len()) as u32);
            }
            'p' => half = Some(reader.name(&["AM", "PM"], None)?),
            character => reader.literal(character)?,
        }
    }
    if twelve || half.is_some() {
        if !(1..=12).contains(&hour) {
            return Err(Miss::Null);
        }
        hour = hour % 12 + half.unwrap_or(0) * 12;
    }
    let fits = year > 0 && (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month);
    if !fits || hour > 23 || minute > 59 || second > 59 {
        return Err(Miss::Null);
    }
    let micros = ((hour * 60 + minute) * 60 + second) * MICROS_PER_SECOND + micros;
    Ok((days_from_civil(year, month, day), micros))
}

/// A date, date-time or time of day as MySQL prints it, with so many digits of a second.
pub(crate) fn text(fraction: u8) -> Kernel {
    let run: Run = match fraction {
        0 => |call| write_text(call, 0),
        1 => |call| write_text(call, 1),
        2 => |call| write_text(call, 2),
        3 => |call| write_text(call, 3),
        4 => |call| write_text(call, 4),
        5 => |call| write_text(call, 5),
        _ => |call| write_text(call, 6),
    };
    Kernel::new("text", DataType::Utf8, run).keeps_nulls().shows(fraction)
}

fn write_text(call: &Call<'_>, fraction: u32) -> Result<ArrayRef> {
    if matches!(call.data_type(0), DataType::Duration(_)) {
        let spans = call.numbers::<DurationMicrosecondType>(0);
        return call.make_text(|row, out| {
            let micros = spans.get(row)?;
            if micros < 0 {
                out.push('-');
            }
            write_clock(micros.abs(), fraction, out);
            Ok(())
        });
    }
    let moments = Moments::of(call, 0);
    let date_only = *call.data_type(0) == DataType::Date32;
    call.make_text(|row, out| {
        let moment = moments.get(row)?;
        write!(out, "{:04}-{:02}-{:02}", moment.year, moment.month, moment.day).expect("a string takes everything");
        if !date_only {
            out.push(' ');
            write_clock(moment.micros, fraction, out);
        }
        Ok(())
    })
}

fn write_clock(micros: i64, fraction: u32, out: &mut String) {
    let seconds = micros / MICROS_PER_SECOND;
    write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
        .expect("a string takes everything");
    if fraction > 0 {
        let digits = micros % MICROS_PER_SECOND / 10i64.pow(6 - fraction);
        write!(out, ".{digits:0width$}", width = fraction as usize).expect("a string takes everything");
    }
}
