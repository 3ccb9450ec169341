//! Words for people, and those of task files.

use crate::types::date_parts;

/// The word by which a task file calls a value. `words` has one for each.
pub fn word_of<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    let found = words.iter().find(|(_, meaning)| *meaning == value);
    found.map(|(word, _)| *word).expect("every value has its word")
}

/// As much of a time as says something: `90 s`, `3 h`, `12 days`.
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `2026-11-27 12:05:54 UTC`.
pub fn time_text(unix_s: u32) -> String {
    const DAY_S: u32 = 86_400;
    let (year, month, day) = date_parts((unix_s / DAY_S) as i32);
    let second = unix_s % DAY_S;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", second / 3600, second / 60 % 60, second % 60)
}

/// 1234567 as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `row`, or `rows` of more or less than one.
pub fn plural(count: u64, what: &str) -> String {
    format!("{what}{}", if count == 1 { "" } else { "s" })
}

/// `1 table`, `1,200 tables`.
pub fn counted(count: u64, what: &str) -> String {
    format!("{} {}", grouped(count), plural(count, what))
}

/// What a task reads, of so many.
pub fn rows_and_changes(count: u64) -> &'static str {
    if count == 1 { "row or change" } else { "rows and changes" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn one_is_not_several() {
        assert_eq!([0, 1, 1200].map(|count| counted(count, "table")), ["0 tables", "1 table", "1,200 tables"]);
    }

    #[test]
    fn a_time_is_shown_as_people_write_it() {
        assert_eq!(time_text(1_795_781_154), "2026-11-27 12:05:54 UTC");
    }
}
