//! Regular expressions: the part of their language that means the same for MySQL (ICU), MariaDB (PCRE) and here.
//!
//! [`translated`] reads a pattern, refuses what it does not know, and writes it for the `regex` crate:
//!
//! ```text
//! .      any character but the ends of lines      [^\n\r\x{85}\x{2028}\x{2029}]
//! $      the end, also before a last line break   only where nothing is replaced or cut out
//! ```

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Int64Type};
use datafusion_common::{DataFusionError, Result};
use regex::Regex;

use super::Regexp;
use super::kernel::{Call, Kernel, Miss};

/// The pattern in the words of the `regex` crate, or why it is refused.
pub(crate) fn translated(pattern: &str, function: Regexp) -> std::result::Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut characters = pattern.chars().peekable();
    if pattern.is_empty() {
        return Err("there is nothing".to_owned());
    }
    while let Some(character) = characters.next() {
        match character {
            '.' => out.push_str(r"[^\n\r\x{85}\x{2028}\x{2029}]"),
            '$' if function == Regexp::Like && characters.peek().is_none() => {
                out.push_str(r"(?:\r\n|[\n\r\x0b\x0c\x{85}\x{2028}\x{2029}])?$");
            }
            '$' => return Err("$ does not stand at the end, or what is found is used".to_owned()),
            '\\' => match characters.next() {
                Some(escaped) if escaped.is_ascii_punctuation() => out.extend(['\\', escaped]),
                Some(escaped) => return Err(format!("\\{escaped} is not supported")),
                None => return Err("nothing follows the last backslash".to_owned()),
            },
            '[' => class(&mut characters, &mut out)?,
            '(' if characters.peek() == Some(&'?') => return Err("(? is not supported".to_owned()),
            '*' | '+' | '?' | '}' if matches!(characters.peek(), Some('+' | '*')) => {
                return Err("two repetitions follow each other".to_owned());
            }
            ']' => return Err("] stands outside of a class".to_owned()),
            '#' | '&' | '~' => out.extend(['\\', character]),
            _ => out.push(character),
        }
    }
    let regex = Regex::new(&out).map_err(|_| "something is not closed, or not supported".to_owned())?;
    // Where something empty matches beside what was just found, engines differ.
    if function == Regexp::Replace && regex.is_match("") {
        return Err("nothing is something that matches".to_owned());
    }
    Ok(out)
}

/// `[a-z0-9_]` and `[^…]`, without anything special in it.
fn class(
    characters: &mut std::iter::Peekable<std::str::Chars<'_>>,
    out: &mut String,
) -> std::result::Result<(), String> {
    out.push('[');
    if characters.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut empty = true;
    loop {
        match characters.next().ok_or("a class is not closed")? {
            ']' if !empty => break,
            ']' => return Err("a class is empty".to_owned()),
            '-' if empty || characters.peek() == Some(&']') => out.push_str(r"\-"),
            '-' => out.push('-'),
            '\\' => match characters.next() {
                Some(escaped) if escaped.is_ascii_punctuation() => out.extend(['\\', escaped]),
                _ => return Err("only punctuation is escaped in a class".to_owned()),
            },
            character @ ('[' | '&' | '~' | '^') => return Err(format!("{character} stands in a class")),
            character => out.push(character),
        }
        empty = false;
    }
    out.push(']');
    Ok(())
}

pub(crate) fn kernel(function: Regexp) -> Kernel {
    match function {
        Regexp::Like => Kernel::new("regexp_like", DataType::Boolean, |call| {
            let (texts, regex) = (call.texts(0), compiled(call)?);
            call.make_conditions(|row| Ok(regex.is_match(texts.get(row)?)))
        })
        .keeps_nulls(),
        Regexp::Replace => Kernel::new("regexp_replace", DataType::Utf8, replace).keeps_nulls(),
        Regexp::Substr => Kernel::new("regexp_substr", DataType::Utf8, |call| {
            let (texts, regex) = (call.texts(0), compiled(call)?);
            call.make_parts(|row| regex.find(texts.get(row)?).map(|found| found.as_str()).ok_or(Miss::Null))
        }),
        Regexp::Instr => Kernel::new("regexp_instr", DataType::Int64, |call| {
            let (texts, regex) = (call.texts(0), compiled(call)?);
            call.make_numbers::<Int64Type>(|row| {
                let text = texts.get(row)?;
                Ok(regex.find(text).map_or(0, |found| text[..found.start()].chars().count() as i64 + 1))
            })
        })
        .keeps_nulls(),
    }
}

fn compiled(call: &Call<'_>) -> Result<Regex> {
    let pattern = call.texts(1).constant().and_then(|pattern| pattern.ok()).unwrap_or_default();
    Regex::new(pattern).map_err(|_| DataFusionError::Execution(String::new()))
}

fn replace(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, regex, replacements) = (call.texts(0), compiled(call)?, call.texts(2));
    call.make_text(|row, out| {
        let (text, replacement) = (texts.get(row)?, replacements.get(row)?);
        let mut copied = 0;
        for found in regex.find_iter(text) {
            out.push_str(&text[copied..found.start()]);
            out.push_str(replacement);
            copied = found.end();
        }
        out.push_str(&text[copied..]);
        Ok(())
    })
}
