//! Masks, as the component of MySQL Enterprise has them. No server here can judge them: they do what its manual shows, and refuse the texts
//! of which the manual does not say what comes out.

use arrow::array::ArrayRef;
use arrow::datatypes::Int64Type;
use datafusion_common::Result;

use super::kernel::{Call, Cell, Miss, Texts};
use super::string::{characters, count};

/// `mask_inner(text, left, right, by)`: all but so many characters at both ends.
pub(super) fn inner(call: &Call<'_>) -> Result<ArrayRef> {
    at_ends(call, |at, total, left, right| at >= left && at < total.saturating_sub(right))
}

/// `mask_outer(text, left, right, by)`: so many characters at both ends.
pub(super) fn outer(call: &Call<'_>) -> Result<ArrayRef> {
    at_ends(call, |at, total, left, right| at < left || at >= total.saturating_sub(right))
}

fn at_ends(call: &Call<'_>, hides: fn(usize, usize, usize, usize) -> bool) -> Result<ArrayRef> {
    let (texts, left, right) = (call.texts(0), call.numbers::<Int64Type>(1), call.numbers::<Int64Type>(2));
    let masks = (call.arity() > 3).then(|| call.texts(3));
    call.make_text(|row, out| {
        let text = texts.get(row)?;
        let (left, right) = (left.get(row)?, right.get(row)?);
        if left < 0 || right < 0 {
            return Err(Miss::Refused);
        }
        let mask = mask(masks.as_ref(), row, 'X')?;
        let total = characters(text);
        for (at, character) in text.chars().enumerate() {
            out.push(if hides(at, total, count(left), count(right)) { mask } else { character });
        }
        Ok(())
    })
}

/// The character that is shown instead.
fn mask(masks: Option<&Texts<'_>>, row: usize, otherwise: char) -> Cell<char> {
    let Some(masks) = masks else { return Ok(otherwise) };
    let mut characters = masks.get(row)?.chars();
    match (characters.next(), characters.next()) {
        (Some(mask), None) => Ok(mask),
        _ => Err(Miss::Refused),
    }
}

/// A card number with its last four digits.
pub(super) fn pan(call: &Call<'_>) -> Result<ArrayRef> {
    number(call, 'X', is_card, |at, total| at + 4 < total)
}

/// A card number with its first six and last four digits.
pub(super) fn pan_relaxed(call: &Call<'_>) -> Result<ArrayRef> {
    number(call, 'X', is_card, |at, total| at >= 6 && at + 4 < total)
}

fn is_card(text: &str) -> bool {
    (14..=19).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// `***-**-1234`. What comes of nine digits without dashes, the manual does not show.
pub(super) fn ssn(call: &Call<'_>) -> Result<ArrayRef> {
    number(call, '*', |text| is_grouped(text, &[3, 2, 4]), |at, _| at < 5)
}

/// `XXX-XXX-XXX`, with separators or without.
pub(super) fn canada_sin(call: &Call<'_>) -> Result<ArrayRef> {
    number(call, 'X', |text| is_grouped(text, &[3, 3, 3]) || is_grouped(text, &[9]), |_, _| true)
}

/// `IE** **** …`: the country is left.
pub(super) fn iban(call: &Call<'_>) -> Result<ArrayRef> {
    let fits = |text: &str| {
        let groups: Vec<usize> = groups(text);
        let (last, others) = groups.split_last().unwrap_or((&0, &[]));
        (13..=34).contains(&groups.iter().sum::<usize>())
            && others.iter().all(|group| *group == 4)
            && (others.is_empty() || (1..=4).contains(last))
    };
    number(call, '*', fits, |at, _| at >= 2)
}

/// `QQ ** ** ** *`: the first two letters are left.
pub(super) fn uk_nin(call: &Call<'_>) -> Result<ArrayRef> {
    let fits = |text: &str| {
        [&[9][..], &[2, 2, 2, 2, 1], &[2, 6, 1], &[3, 2, 4]].into_iter().any(|groups| is_grouped(text, groups))
    };
    number(call, '*', fits, |at, _| at >= 2)
}

/// `********-****-****-****-************`
pub(super) fn uuid(call: &Call<'_>) -> Result<ArrayRef> {
    number(call, '*', |text| is_grouped(text, &[8, 4, 4, 4, 12]), |_, _| true)
}

/// The lengths of groups of letters and digits, with one character between.
fn groups(text: &str) -> Vec<usize> {
    text.split(|character: char| !character.is_ascii_alphanumeric()).map(str::len).collect()
}

fn is_grouped(text: &str, as_in: &[usize]) -> bool {
    text.is_ascii() && groups(text) == as_in
}

/// Letters and digits are masked that `hides` names by their place and their count, what separates them is left.
fn number(
    call: &Call<'_>,
    otherwise: char,
    fits: impl Fn(&str) -> bool,
    hides: fn(usize, usize) -> bool,
) -> Result<ArrayRef> {
    let texts = call.texts(0);
    let masks = (call.arity() > 1).then(|| call.texts(1));
    call.make_text(|row, out| {
        let text = texts.get(row)?;
        if !text.is_ascii() || !fits(text) {
            return Err(Miss::Refused);
        }
        let mask = mask(masks.as_ref(), row, otherwise)?;
        let total = text.bytes().filter(u8::is_ascii_alphanumeric).count();
        let mut place = 0;
        for character in text.chars() {
            if !character.is_ascii_alphanumeric() {
                out.push(character);
                continue;
            }
            out.push(if hides(place, total) { mask } else { character });
            place += 1;
        }
        Ok(())
    })
}
