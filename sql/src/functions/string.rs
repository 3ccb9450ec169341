//! Text, counted in characters as MySQL counts it: positions begin with 1, and what lies outside is empty or NULL.
//!
//! Whatever searches (`instr`, `field`, `replace` …) finds bytes. Case is mapped character by character, one for one:
//! `upper('ß')` is `ß`.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Int64Type};
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

pub(super) fn characters(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

/// A count of characters: nothing below zero.
pub(super) fn count(value: i64) -> usize {
    usize::try_from(value.max(0)).unwrap_or(usize::MAX)
}

fn integer(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn ascii(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.bytes(0);
    call.make_numbers::<Int64Type>(|row| Ok(texts.get(row)?.first().map_or(0, |byte| i64::from(*byte))))
}

/// The bytes of the first character as one number; of bytes, the first.
pub(super) fn ord(call: &Call<'_>) -> Result<ArrayRef> {
    if *call.data_type(0) == DataType::Binary {
        return ascii(call);
    }
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
        // From the end, servers count the delimiters that stand apart from the begin; of characters of one byte, from the end.
        let from_end = text.rmatch_indices(delimiter).nth(nth).map(|(at, _)| at);
        let from_begin = || text.match_indices(delimiter).map(|(at, _)| at).collect::<Vec<_>>();
        let overlaps = delimiter.len() > 1 && {
            let places = from_begin();
            places.len().checked_sub(nth + 1).map(|at| places[at]) != from_end
        };
        match from_end {
            _ if overlaps => Err(Miss::Refused),
            at => Ok(at.map_or(text, |at| &text[at + delimiter.len()..])),
        }
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

/// Which bits are set, from the lowest on: a text for each that is, another for each that is not.
pub(super) fn export_set(call: &Call<'_>) -> Result<ArrayRef> {
    let (on, off) = (call.texts(1), call.texts(2));
    let separators = (call.arity() > 3).then(|| call.texts(3));
    let counts = (call.arity() > 4).then(|| call.numbers::<Int64Type>(4));
    call.make_text(|row, out| {
        let (bits, on, off) = (call.bits(0, row)?, on.get(row)?, off.get(row)?);
        let separator = separators.as_ref().map_or(Ok(","), |separators| separators.get(row))?;
        // MySQL takes the lower half of the number, as unsigned.
        let count = counts.as_ref().map_or(Ok(64), |counts| counts.get(row))? as u32;
        for at in 0..count.min(64) {
            if at > 0 {
                out.push_str(separator);
            }
            out.push_str(if bits >> at & 1 == 1 { on } else { off });
            if out.len() > LONGEST {
                return Err(Miss::OutOfRange);
            }
        }
        Ok(())
    })
}

/// The bytes of numbers, of each as many as it has; what is NULL is left out.
pub(super) fn char(call: &Call<'_>) -> Result<ArrayRef> {
    call.make_bytes(|row, out| {
        for at in 0..call.arity() {
            let Ok(number) = call.bits(at, row) else { continue };
            let bytes = (number as u32).to_be_bytes();
            let leading = bytes[..3].iter().take_while(|byte| **byte == 0).count();
            out.extend(&bytes[leading..]);
        }
        Ok(())
    })
}

/// How a word sounds in English: its first letter and a digit for each group of consonants, at least four characters. Vowels do not
/// separate groups, and letters beyond ASCII count as vowels.
pub(super) fn soundex(call: &Call<'_>) -> Result<ArrayRef> {
    const GROUPS: &[u8; 26] = b"01230120022455012623010202";
    let group = |letter: char| match letter.to_ascii_uppercase() {
        letter @ 'A'..='Z' => char::from(GROUPS[letter as usize - 'A' as usize]),
        _ => '0',
    };
    let is_letter = |character: &char| character.is_ascii_alphabetic() || *character >= '\u{c0}';
    let texts = call.texts(0);
    call.make_text(|row, out| {
        let mut letters = texts.get(row)?.chars().filter(is_letter);
        let Some(first) = letters.next() else { return Ok(()) };
        out.push(first.to_ascii_uppercase());
        let mut last = group(first);
        let mut written = 1;
        for letter in letters {
            let next = group(letter);
            if next != '0' && next != last {
                out.push(next);
                last = next;
                written += 1;
            }
        }
        out.extend(std::iter::repeat_n('0', 4usize.saturating_sub(written)));
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
