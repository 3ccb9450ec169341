//! Text, counted in characters as MySQL counts it: positions begin with 1, and what lies outside is empty or NULL.
//!
//! Whatever searches (`instr`, `field`, `replace` …) finds bytes. Case is mapped character by character, one for one:
//! `upper('ß')` is `ß`.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Int64Type, UInt64Type};
use datafusion_common::Result;

use super::kernel::{Call, Cell, Miss, Texts};

/// Results that would be longer fail; `max_allowed_packet` would make them NULL at a place of its own.
const LONGEST: usize = 16 << 20;

/// Where character `index` (from 0) begins; the end if there are fewer.
fn offset(text: &str, index: usize) -> usize {
    if text.is_ascii() {
        return index.min(text.len());
    }
    text.char_indices().nth(index).map_or(text.len(), |(at, _)| at)
}

fn characters(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

/// A count of characters: nothing below zero.
fn count(value: i64) -> usize {
    usize::try_from(value.max(0)).unwrap_or(usize::MAX)
}

fn integer(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn ascii(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.bytes(0);
    call.make_numbers::<Int64Type>(|row| Ok(texts.get(row)?.first().map_or(0, |byte| i64::from(*byte))))
}

/// The bytes of the first character as one number.
pub(super) fn ord(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.texts(0);
    call.make_numbers::<Int64Type>(|row| {
        let text = texts.get(row)?;
        let first = &text.as_bytes()[..offset(text, 1)];
        Ok(first.iter().fold(0, |number, byte| number << 8 | i64::from(*byte)))
    })
}

pub(super) fn char_length(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.texts(0);
    call.make_numbers::<Int64Type>(|row| texts.get(row).map(characters).map(integer))
}

pub(super) fn length(call: &Call<'_>) -> Result<ArrayRef> {
    let bytes = call.bytes(0);
    call.make_numbers::<Int64Type>(|row| Ok(integer(bytes.get(row)?.len())))
}

pub(super) fn bit_length(call: &Call<'_>) -> Result<ArrayRef> {
    let bytes = call.bytes(0);
    call.make_numbers::<Int64Type>(|row| Ok(integer(bytes.get(row)?.len() * 8)))
}

pub(super) fn concat(call: &Call<'_>) -> Result<ArrayRef> {
    let texts: Vec<Texts<'_>> = (0..call.arity()).map(|at| call.texts(at)).collect();
    call.make_text(|row, out| texts.iter().try_for_each(|text| text.get(row).map(|text| out.push_str(text))))
}

/// Arguments that are NULL are left out, a separator that is NULL makes NULL.
pub(super) fn concat_ws(call: &Call<'_>) -> Result<ArrayRef> {
    let separators = call.texts(0);
    let texts: Vec<Texts<'_>> = (1..call.arity()).map(|at| call.texts(at)).collect();
    call.make_text(|row, out| {
        let separator = separators.get(row)?;
        for (at, text) in texts.iter().filter_map(|text| text.get(row).ok()).enumerate() {
            if at > 0 {
                out.push_str(separator);
            }
            out.push_str(text);
        }
        Ok(())
    })
}

pub(super) fn elt(call: &Call<'_>) -> Result<ArrayRef> {
    let indexes = call.numbers::<Int64Type>(0);
    let texts: Vec<Texts<'_>> = (1..call.arity()).map(|at| call.texts(at)).collect();
    call.make_parts(|row| {
        let index = usize::try_from(indexes.get(row)?).map_err(|_| Miss::Null)?;
        let chosen = index.checked_sub(1).and_then(|index| texts.get(index)).ok_or(Miss::Null)?;
        chosen.get(row)
    })
}

/// The place of the first argument among the others, 0 if it is NULL or not there.
pub(crate) fn field(call: &Call<'_>) -> Result<ArrayRef> {
    if *call.data_type(0) == DataType::Int64 {
        let numbers: Vec<_> = (0..call.arity()).map(|at| call.numbers::<Int64Type>(at)).collect();
        return call.make_numbers::<Int64Type>(|row| {
            let Ok(wanted) = numbers[0].get(row) else { return Ok(0) };
            let at = numbers[1..].iter().position(|number| number.get(row) == Ok(wanted));
            Ok(at.map_or(0, |at| integer(at + 1)))
        });
    }
    let texts: Vec<Texts<'_>> = (0..call.arity()).map(|at| call.texts(at)).collect();
    call.make_numbers::<Int64Type>(|row| {
        let Ok(wanted) = texts[0].get(row) else { return Ok(0) };
        let at = texts[1..].iter().position(|text| text.get(row) == Ok(wanted));
        Ok(at.map_or(0, |at| integer(at + 1)))
    })
}

pub(super) fn find_in_set(call: &Call<'_>) -> Result<ArrayRef> {
    let (wanted, lists) = (call.texts(0), call.texts(1));
    call.make_numbers::<Int64Type>(|row| {
        let (wanted, list) = (wanted.get(row)?, lists.get(row)?);
        if list.is_empty() {
            return Ok(0);
        }
        Ok(list.split(',').position(|member| member == wanted).map_or(0, |at| integer(at + 1)))
    })
}

pub(super) fn insert(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, positions) = (call.texts(0), call.numbers::<Int64Type>(1));
    let (lengths, others) = (call.numbers::<Int64Type>(2), call.texts(3));
    call.make_text(|row, out| {
        let (text, position, length, other) =
            (texts.get(row)?, positions.get(row)?, lengths.get(row)?, others.get(row)?);
        let inside = position >= 1 && position <= integer(characters(text));
        if !inside {
            out.push_str(text);
            return Ok(());
        }
        let from = offset(text, count(position - 1));
        let rest = &text[from..];
        let removed = if length < 0 { rest.len() } else { offset(rest, count(length)) };
        out.push_str(&text[..from]);
        out.push_str(other);
        out.push_str(&rest[removed..]);
        Ok(())
    })
}

/// The place of `part` in `text`, at or behind character `from` (counted from 1); 0 if it is not there.
fn place(text: &str, part: &str, from: i64) -> i64 {
    if from < 1 || from > integer(characters(text)) + 1 {
        return 0;
    }
    let start = offset(text, count(from - 1));
    text[start..].find(part).map_or(0, |at| integer(characters(&text[..start + at])) + 1)
}

pub(super) fn instr(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, parts) = (call.texts(0), call.texts(1));
    call.make_numbers::<Int64Type>(|row| Ok(place(texts.get(row)?, parts.get(row)?, 1)))
}

/// As [`instr`], the other way round, and from a position on.
pub(super) fn locate(call: &Call<'_>) -> Result<ArrayRef> {
    let (parts, texts) = (call.texts(0), call.texts(1));
    let from = (call.arity() > 2).then(|| call.numbers::<Int64Type>(2));
    call.make_numbers::<Int64Type>(|row| {
        let from = from.as_ref().map_or(Ok(1), |from| from.get(row))?;
        Ok(place(texts.get(row)?, parts.get(row)?, from))
    })
}

pub(super) fn left(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, lengths) = (call.texts(0), call.numbers::<Int64Type>(1));
    call.make_parts(|row| {
        let text = texts.get(row)?;
        Ok(&text[..offset(text, count(lengths.get(row)?))])
    })
}

pub(super) fn right(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, lengths) = (call.texts(0), call.numbers::<Int64Type>(1));
    call.make_parts(|row| {
        let text = texts.get(row)?;
        let skipped = characters(text).saturating_sub(count(lengths.get(row)?));
        Ok(&text[offset(text, skipped)..])
    })
}

pub(super) fn substring(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, positions) = (call.texts(0), call.numbers::<Int64Type>(1));
    let lengths = (call.arity() > 2).then(|| call.numbers::<Int64Type>(2));
    call.make_parts(|row| {
        let (text, position) = (texts.get(row)?, positions.get(row)?);
        let length = lengths.as_ref().map_or(Ok(i64::MAX), |lengths| lengths.get(row))?;
        let total = integer(characters(text));
        let first = if position < 0 { total.saturating_add(position) } else { position - 1 };
        if position == 0 || first < 0 || first >= total {
            return Ok("");
        }
        let rest = &text[offset(text, count(first))..];
        Ok(&rest[..offset(rest, count(length))])
    })
}

/// What stands before the `n`-th delimiter, or behind the `-n`-th from the end.
pub(super) fn substring_index(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, delimiters, counts) = (call.texts(0), call.texts(1), call.numbers::<Int64Type>(2));
    call.make_parts(|row| {
        let (text, delimiter, number) = (texts.get(row)?, delimiters.get(row)?, counts.get(row)?);
        if text.is_empty() || delimiter.is_empty() || number == 0 {
            return Ok("");
        }
        let nth = count(number.unsigned_abs().min(i64::MAX as u64) as i64) - 1;
        if number > 0 {
            return Ok(text.match_indices(delimiter).nth(nth).map_or(text, |(at, _)| &text[..at]));
        }
        Ok(text.rmatch_indices(delimiter).nth(nth).map_or(text, |(at, _)| &text[at + delimiter.len()..]))
    })
}

pub(super) fn lpad(call: &Call<'_>) -> Result<ArrayRef> {
    pad(call, |out, text, padding| {
        out.push_str(padding);
        out.push_str(text);
    })
}

pub(super) fn rpad(call: &Call<'_>) -> Result<ArrayRef> {
    pad(call, |out, text, padding| {
        out.push_str(text);
        out.push_str(padding);
    })
}

fn pad(call: &Call<'_>, join: fn(&mut String, &str, &str)) -> Result<ArrayRef> {
    let (texts, lengths, pads) = (call.texts(0), call.numbers::<Int64Type>(1), call.texts(2));
    let mut padding = String::new();
    call.make_text(|row, out| {
        let (text, length, pad) = (texts.get(row)?, lengths.get(row)?, pads.get(row)?);
        if length < 0 {
            return Err(Miss::Null);
        }
        let missing = count(length).saturating_sub(characters(text));
        if missing == 0 {
            out.push_str(&text[..offset(text, count(length))]);
            return Ok(());
        }
        // The text itself in MySQL, NULL in MariaDB.
        if pad.is_empty() {
            return Err(Miss::Refused);
        }
        if missing > LONGEST {
            return Err(Miss::OutOfRange);
        }
        padding.clear();
        padding.extend(pad.chars().cycle().take(missing));
        join(out, text, &padding);
        Ok(())
    })
}

pub(super) fn repeat(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, counts) = (call.texts(0), call.numbers::<Int64Type>(1));
    call.make_text(|row, out| {
        let (text, times) = (texts.get(row)?, count(counts.get(row)?));
        if text.is_empty() {
            return Ok(());
        }
        if text.len().saturating_mul(times) > LONGEST {
            return Err(Miss::OutOfRange);
        }
        (0..times).for_each(|_| out.push_str(text));
        Ok(())
    })
}

pub(super) fn space(call: &Call<'_>) -> Result<ArrayRef> {
    let counts = call.numbers::<Int64Type>(0);
    call.make_text(|row, out| {
        let times = count(counts.get(row)?);
        if times > LONGEST {
            return Err(Miss::OutOfRange);
        }
        out.extend(std::iter::repeat_n(' ', times));
        Ok(())
    })
}

pub(super) fn replace(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, from, to) = (call.texts(0), call.texts(1), call.texts(2));
    call.make_text(|row, out| {
        let (text, from, to) = (texts.get(row)?, from.get(row)?, to.get(row)?);
        if from.is_empty() {
            out.push_str(text);
            return Ok(());
        }
        let mut rest = text;
        while let Some(at) = rest.find(from) {
            out.push_str(&rest[..at]);
            out.push_str(to);
            rest = &rest[at + from.len()..];
            if out.len() > LONGEST {
                return Err(Miss::OutOfRange);
            }
        }
        out.push_str(rest);
        Ok(())
    })
}

pub(super) fn reverse(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.texts(0);
    call.make_text(|row, out| {
        out.extend(texts.get(row)?.chars().rev());
        Ok(())
    })
}

pub(super) fn lower(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.texts(0);
    call.make_text(|row, out| map_case(texts.get(row)?, out, str::make_ascii_lowercase, super::case::lower))
}

pub(super) fn upper(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.texts(0);
    call.make_text(|row, out| map_case(texts.get(row)?, out, str::make_ascii_uppercase, super::case::upper))
}

fn map_case(text: &str, out: &mut String, ascii: fn(&mut str), map: fn(char) -> Option<char>) -> Cell<()> {
    if text.is_ascii() {
        out.push_str(text);
        ascii(out);
        return Ok(());
    }
    for character in text.chars() {
        out.push(map(character).ok_or(Miss::Refused)?);
    }
    Ok(())
}

/// Which ends a TRIM looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Left,
    Right,
    Both,
}

pub(super) fn trim(call: &Call<'_>) -> Result<ArrayRef> {
    trimmed(call, Ends::Both)
}

pub(super) fn ltrim(call: &Call<'_>) -> Result<ArrayRef> {
    trimmed(call, Ends::Left)
}

pub(super) fn rtrim(call: &Call<'_>) -> Result<ArrayRef> {
    trimmed(call, Ends::Right)
}

/// Without what is removed, a space unless it is said, as often as it stands there.
fn trimmed(call: &Call<'_>, ends: Ends) -> Result<ArrayRef> {
    let texts = call.texts(0);
    let what = (call.arity() > 1).then(|| call.texts(1));
    call.make_parts(|row| {
        let mut text = texts.get(row)?;
        let what = what.as_ref().map_or(Ok(" "), |what| what.get(row))?;
        if what.is_empty() {
            return Ok(text);
        }
        if ends != Ends::Right {
            text = text.trim_start_matches(what);
        }
        if ends != Ends::Left {
            text = text.trim_end_matches(what);
        }
        Ok(text)
    })
}

pub(super) fn strcmp(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (call.texts(0), call.texts(1));
    call.make_numbers::<Int64Type>(|row| Ok(left.get(row)?.cmp(right.get(row)?) as i64))
}

/// As a literal, NULL as the word.
pub(super) fn quote(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.texts(0);
    call.make_text(|row, out| {
        let Ok(text) = texts.get(row) else {
            out.push_str("NULL");
            return Ok(());
        };
        out.push('\'');
        for character in text.chars() {
            match character {
                '\0' => out.push_str("\\0"),
                '\u{1a}' => out.push_str("\\Z"),
                '\\' | '\'' => out.extend(['\\', character]),
                _ => out.push(character),
            }
        }
        out.push('\'');
        Ok(())
    })
}

const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];

/// Of bytes, or of an integer.
pub(crate) fn hex(call: &Call<'_>) -> Result<ArrayRef> {
    if matches!(call.data_type(0), DataType::Int64 | DataType::UInt64) {
        return in_base(call, 16);
    }
    let bytes = call.bytes(0);
    call.make_text(|row, out| {
        for byte in bytes.get(row)? {
            out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        Ok(())
    })
}

pub(super) fn bin(call: &Call<'_>) -> Result<ArrayRef> {
    in_base(call, 2)
}

pub(super) fn oct(call: &Call<'_>) -> Result<ArrayRef> {
    in_base(call, 8)
}

/// Negative numbers as the 64 bits that they are.
fn in_base(call: &Call<'_>, base: u64) -> Result<ArrayRef> {
    let write = |value: u64, out: &mut String| {
        push_in_base(value, base, out);
        Ok(())
    };
    match call.data_type(0) {
        DataType::UInt64 => {
            let values = call.numbers::<UInt64Type>(0);
            call.make_text(|row, out| write(values.get(row)?, out))
        }
        _ => {
            let values = call.numbers::<Int64Type>(0);
            call.make_text(|row, out| write(values.get(row)? as u64, out))
        }
    }
}

fn push_in_base(mut value: u64, base: u64, out: &mut String) {
    let mut digits = [0u8; 64];
    let mut at = digits.len();
    loop {
        at -= 1;
        let digit = (value % base) as u8;
        digits[at] = if digit < 10 { b'0' + digit } else { b'A' + digit - 10 };
        value /= base;
        if value == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

/// A number written in one base, in another. A negative base means that numbers have a sign.
pub(super) fn conv(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, from, to) = (call.texts(0), call.numbers::<Int64Type>(1), call.numbers::<Int64Type>(2));
    call.make_text(|row, out| {
        let (text, from, to) = (texts.get(row)?, from.get(row)?, to.get(row)?);
        let in_range = |base: i64| (2..=36).contains(&base.unsigned_abs());
        if !in_range(from) || !in_range(to) || text.is_empty() {
            return Err(Miss::Null);
        }
        let text = text.trim_start_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
        let (negative, digits) = match text.as_bytes() {
            [b'-', ..] => (true, &text[1..]),
            [b'+', ..] => (false, &text[1..]),
            _ => (false, text),
        };
        let base = from.unsigned_abs();
        let digits = digits.chars().map_while(|digit| digit.to_digit(base as u32));
        let magnitude = digits.fold(0u128, |value, digit| (value * u128::from(base) + u128::from(digit)).min(1 << 70));
        let value = match (from < 0, negative) {
            (true, true) => (-(magnitude.min(1 << 63) as i128)) as i64 as u64,
            (true, false) => magnitude.min(i64::MAX as u128) as u64,
            (false, _) if magnitude > u128::from(u64::MAX) => u64::MAX,
            (false, true) => (magnitude as u64).wrapping_neg(),
            (false, false) => magnitude as u64,
        };
        if to < 0 && (value as i64) < 0 {
            out.push('-');
            push_in_base((value as i64).unsigned_abs(), to.unsigned_abs(), out);
        } else {
            push_in_base(value, to.unsigned_abs(), out);
        }
        Ok(())
    })
}

pub(super) fn unhex(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.texts(0);
    call.make_bytes(|row, out| {
        let text = texts.get(row)?.as_bytes();
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8).ok_or(Miss::Null);
        let (odd, pairs) = text.split_at(text.len() % 2);
        if let [first] = odd {
            out.push(digit(*first)?);
        }
        for pair in pairs.chunks_exact(2) {
            out.push(digit(pair[0])? << 4 | digit(pair[1])?);
        }
        Ok(())
    })
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// With padding, in lines of 76 characters.
pub(super) fn to_base64(call: &Call<'_>) -> Result<ArrayRef> {
    let bytes = call.bytes(0);
    call.make_text(|row, out| {
        for (at, group) in bytes.get(row)?.chunks(3).enumerate() {
            if at > 0 && at % 19 == 0 {
                out.push('\n');
            }
            let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
            for place in 0..4 {
                let digit = BASE64[(bits >> (18 - 6 * place) & 63) as usize];
                out.push(if place <= group.len() { char::from(digit) } else { '=' });
            }
        }
        Ok(())
    })
}

/// NULL if it is none; white space between is fine.
pub(super) fn from_base64(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.texts(0);
    call.make_bytes(|row, out| {
        let text = texts.get(row)?;
        let mut digits = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).peekable();
        while digits.peek().is_some() {
            let mut bits = 0u32;
            let mut padding = 0;
            for _ in 0..4 {
                let value = match digits.next().ok_or(Miss::Null)? {
                    b'=' => {
                        padding += 1;
                        0
                    }
                    _ if padding > 0 => return Err(Miss::Null),
                    byte => BASE64.iter().position(|digit| *digit == byte).ok_or(Miss::Null)? as u32,
                };
                bits = bits << 6 | value;
            }
            if padding > 2 || (padding > 0 && digits.peek().is_some()) {
                return Err(Miss::Null);
            }
            out.extend(&bits.to_be_bytes()[1..4 - padding]);
        }
        Ok(())
    })
}

/// The members whose bits are set, with commas between; NULL members are left out.
pub(super) fn make_set(call: &Call<'_>) -> Result<ArrayRef> {
    let bits = call.numbers::<Int64Type>(0);
    let texts: Vec<Texts<'_>> = (1..call.arity()).map(|at| call.texts(at)).collect();
    call.make_text(|row, out| {
        let bits = bits.get(row)? as u64;
        let mut first = true;
        for (at, text) in texts.iter().take(64).enumerate() {
            if bits >> at & 1 == 1
                && let Ok(text) = text.get(row)
            {
                if !first {
                    out.push(',');
                }
                out.push_str(text);
                first = false;
            }
        }
        Ok(())
    })
}

/// A number's text with commas between thousands: the number is text with the right digits already.
pub(crate) fn format(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.texts(0);
    call.make_text(|row, out| {
        let text = texts.get(row)?;
        let (sign, digits) = text.split_at(usize::from(text.starts_with('-')));
        let whole = digits.find('.').unwrap_or(digits.len());
        out.push_str(sign);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && at < whole && (whole - at) % 3 == 0 {
                out.push(',');
            }
            out.push(digit);
        }
        Ok(())
    })
}

/// The bytes of text; those of binary values must be UTF-8.
pub(crate) fn text_of_bytes(call: &Call<'_>) -> Result<ArrayRef> {
    let bytes = call.binaries(0);
    call.make_parts(|row| std::str::from_utf8(bytes.get(row)?).map_err(|_| Miss::Refused))
}

/// `mask_inner(text, left, right, by)`: all but so many characters at both ends.
pub(super) fn mask_inner(call: &Call<'_>) -> Result<ArrayRef> {
    mask(call, |at, total, left, right| at >= left && at < total.saturating_sub(right))
}

/// `mask_outer(text, left, right, by)`: so many characters at both ends.
pub(super) fn mask_outer(call: &Call<'_>) -> Result<ArrayRef> {
    mask(call, |at, total, left, right| at < left || at >= total.saturating_sub(right))
}

fn mask(call: &Call<'_>, hides: fn(usize, usize, usize, usize) -> bool) -> Result<ArrayRef> {
    let (texts, left, right) = (call.texts(0), call.numbers::<Int64Type>(1), call.numbers::<Int64Type>(2));
    let by = (call.arity() > 3).then(|| call.texts(3));
    call.make_text(|row, out| {
        let text = texts.get(row)?;
        let (left, right) = (left.get(row)?, right.get(row)?);
        if left < 0 || right < 0 {
            return Err(Miss::Refused);
        }
        let by = by.as_ref().map_or(Ok("X"), |by| by.get(row))?;
        let mut masks = by.chars();
        let (Some(mask), None) = (masks.next(), masks.next()) else { return Err(Miss::Refused) };
        let total = characters(text);
        for (at, character) in text.chars().enumerate() {
            out.push(if hides(at, total, count(left), count(right)) { mask } else { character });
        }
        Ok(())
    })
}

/// A card number with its last four digits.
pub(super) fn mask_pan(call: &Call<'_>) -> Result<ArrayRef> {
    digits_masked(call, |digits| (12..=19).contains(&digits), |at, total| at + 4 < total)
}

/// A card number with its first six and last four digits.
pub(super) fn mask_pan_relaxed(call: &Call<'_>) -> Result<ArrayRef> {
    digits_masked(call, |digits| (12..=19).contains(&digits), |at, total| at >= 6 && at + 4 < total)
}

/// All characters are masked that `hides` names, if there are as many as there should be.
fn digits_masked(call: &Call<'_>, fits: fn(usize) -> bool, hides: fn(usize, usize) -> bool) -> Result<ArrayRef> {
    let texts = call.texts(0);
    call.make_text(|row, out| {
        let text = texts.get(row)?;
        let total = characters(text);
        if !fits(total) {
            return Err(Miss::Refused);
        }
        out.extend(text.chars().enumerate().map(|(at, digit)| if hides(at, total) { 'X' } else { digit }));
        Ok(())
    })
}

/// `***-**-1234`, of a number with its dashes or without.
pub(super) fn mask_ssn(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.texts(0);
    call.make_text(|row, out| {
        let text = texts.get(row)?;
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        if digits != 9 || !matches!(text.len(), 9 | 11) || !text.is_ascii() {
            return Err(Miss::Refused);
        }
        out.push_str("***-**-");
        out.push_str(&text[text.len() - 4..]);
        Ok(())
    })
}
