//! Labels of ENUM and SET, as they are written and as a column has them.

use super::super::NotUnderstood;
use super::super::cursor::{Cursor, Read};
use super::super::session::Session;
use super::super::tokens::{Literal, Token};
use crate::charset::Charset;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Text(String),
    /// `x'41'`: in the column's own character set.
    Bytes(Vec<u8>),
}

pub(super) fn labels(cursor: &mut Cursor<'_>) -> Read<Vec<Label>> {
    cursor.expect_other('(')?;
    let mut out = Vec::new();
    loop {
        out.push(match cursor.peek() {
            Some(Token::Text(Literal { prefix: None, text })) => Label::Text(text.clone()),
            Some(Token::Text(Literal { prefix: Some(prefix), text })) => {
                let digits = match &*prefix.to_ascii_lowercase() {
                    "x" => bytes_of(text, 16),
                    "b" => bytes_of(text, 2),
                    _ => None,
                };
                Label::Bytes(digits.ok_or_else(|| cursor.not_understood())?)
            }
            Some(Token::Number(number)) => {
                let digits = match number.split_at_checked(2) {
                    Some(("0x", digits)) => bytes_of(digits, 16),
                    Some(("0b", digits)) => bytes_of(digits, 2),
                    _ => None,
                };
                Label::Bytes(digits.ok_or_else(|| cursor.not_understood())?)
            }
            _ => return Err(cursor.not_understood()),
        });
        cursor.next += 1;
        if !cursor.skip_other(',') {
            cursor.expect_other(')')?;
            return Ok(out);
        }
    }
}

/// The bytes that hexadecimal or binary digits stand for, with zeros before them.
fn bytes_of(digits: &str, radix: u32) -> Option<Vec<u8>> {
    let per_byte = if radix == 16 { 2 } else { 8 };
    let padded = format!("{}{digits}", "0".repeat((per_byte - digits.len() % per_byte) % per_byte));
    let bytes = (0..padded.len()).step_by(per_byte).map(|at| padded.get(at..at + per_byte));
    bytes.map(|digits| u8::from_str_radix(digits?, radix).ok()).collect()
}

impl Label {
    /// As the column has it: without spaces at its end.
    pub(super) fn in_charset(&self, charset: Charset, session: &Session) -> Read<String> {
        let text = match self {
            // Nothing is converted then: the bytes are taken for the column's.
            Label::Text(text) if session.connection_charset == Some(Charset::Binary) && !text.is_ascii() => {
                if text.contains(char::REPLACEMENT_CHARACTER) {
                    return Err(NotUnderstood::new("a label in bytes that are no text"));
                }
                Label::Bytes(text.clone().into_bytes()).in_charset(charset, session)?
            }
            Label::Text(text) => {
                if let Some(connection) = session.connection_charset {
                    holds(connection, text)?;
                }
                holds(charset, text)?;
                text.clone()
            }
            Label::Bytes(bytes) => {
                let mut text = Vec::new();
                let decoded = charset.decode(bytes, &mut text).ok().and_then(|()| String::from_utf8(text).ok());
                decoded.ok_or_else(|| NotUnderstood::new("a label that is no text in its character set"))?
            }
        };
        Ok(if charset.is_binary() { text } else { text.trim_end_matches(' ').to_owned() })
    }
}

/// Whether the text can be written in the character set: what cannot becomes something else.
fn holds(charset: Charset, text: &str) -> Read<()> {
    let has_all = match charset {
        Charset::Utf8mb4 | Charset::Binary | Charset::Utf16 | Charset::Utf16le | Charset::Utf32 | Charset::Gb18030 => {
            true
        }
        Charset::Utf8mb3 | Charset::Ucs2 => text.chars().all(|c| c <= '\u{ffff}'),
        _ => text.chars().all(|c| c.is_ascii() || has_character(charset, c)),
    };
    has_all.then_some(()).ok_or_else(|| {
        NotUnderstood::new(&format!(
            "a label with characters of which it is not certain that {} has them",
            charset.name()
        ))
    })
}

/// Whether a character has a code of one or two bytes.
fn has_character(charset: Charset, wanted: char) -> bool {
    let mut out = Vec::new();
    let mut is_it = |bytes: &[u8]| {
        out.clear();
        charset.decode(bytes, &mut out).is_ok() && std::str::from_utf8(&out).is_ok_and(|text| text.chars().eq([wanted]))
    };
    (0x80..=0xff).any(|byte| is_it(&[byte]))
        || (0x80..=0xff).any(|lead| (0x40..=0xff).any(|trail| is_it(&[lead, trail])))
}
