//! JSON, over the text that the server prints.
//!
//! That text is canonical (members sorted, one space behind `,` and `:`), so what a path finds is a piece of it, handed on
//! as it stands: nothing is parsed into a tree but what JSON_CONTAINS compares.
//!
//! ```text
//! {"id": 7, "tags": ["a", "b"]}      $.tags[0]
//!                    ^^^
//! ```
//!
//! The text does not say which type MySQL stores: 1.5 may be DECIMAL or DOUBLE, "2024-01-01" a string or a DATE. What depends
//! on that is refused: JSON_TYPE, and comparisons of JSON itself.

pub(crate) mod change;
mod check;
pub(crate) mod look;
mod value;

use std::borrow::Cow;
use std::fmt::Write as _;

use arrow::array::{ArrayRef, LargeStringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion_common::Result;

use super::kernel::{Call, Cell, Kernel, Miss, value_or_null};
pub(super) use check::valid;
pub(super) use value::{contains, overlaps};
pub(crate) use value::{is_candidate, member_of};

/// Nested deeper, MySQL refuses a document.
const DEPTH_MAX: usize = 100;

/// The name of [`document`].
pub(crate) const DOCUMENT: &str = "json";

/// A JSON column's text as JSON: what is JSON is told from text by its Arrow type.
pub(crate) fn document() -> Kernel {
    Kernel::new(DOCUMENT, DataType::LargeUtf8, |call| Ok(cast(call.array(0), &DataType::LargeUtf8)?)).keeps_nulls()
}

/// JSON as the text that it prints as.
pub(crate) fn text() -> Kernel {
    Kernel::new("json_text", DataType::Utf8, |call| {
        let documents = call.documents(0);
        call.make_parts(|row| documents.get(row))
    })
    .keeps_nulls()
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Leg {
    Member(String),
    Element(usize),
    /// Counted from the last one, which is 0.
    FromLast(usize),
}

/// A path without wildcards. `None` if it is no path, or one that can find more than one value.
fn path(text: &str) -> Option<Vec<Leg>> {
    let mut rest = text.trim_ascii().strip_prefix('$')?.trim_ascii_start();
    let mut legs = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (inside, after) = after.split_once(']')?;
            let inside = inside.trim_ascii();
            legs.push(match inside.strip_prefix("last") {
                Some("") => Leg::FromLast(0),
                Some(back) => Leg::FromLast(index(back.trim_ascii().strip_prefix('-')?.trim_ascii())?),
                None => Leg::Element(index(inside)?),
            });
            rest = after.trim_ascii_start();
            continue;
        }
        let after = rest.strip_prefix('.')?.trim_ascii_start();
        let length = if after.starts_with('"') {
            string_end(after, 0)?
        } else {
            after.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(after.len())
        };
        let (name, after) = after.split_at(length);
        let name = match name.strip_prefix('"') {
            Some(_) => unquoted(name).ok()?.into_owned(),
            None if name.is_empty() || name.starts_with(|c: char| c.is_numeric()) => return None,
            None => name.to_owned(),
        };
        legs.push(Leg::Member(name));
        rest = after.trim_ascii_start();
    }
    Some(legs)
}

fn index(text: &str) -> Option<usize> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse::<u32>().ok())
        .flatten()
        .map(|index| index as usize)
}

/// Whether a literal is a path that [`path`] understands.
pub(crate) fn is_path(text: &str) -> bool {
    path(text).is_some()
}

/// Behind the closing quote of the string that begins at `at`.
fn string_end(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = at + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Behind the value that begins at `at`.
fn value_end(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = at;
    let mut depth = 0usize;
    loop {
        match bytes.get(at)? {
            b'"' => at = string_end(text, at)?,
            b'[' | b'{' => {
                depth += 1;
                at += 1;
            }
            b']' | b'}' => {
                depth -= 1;
                at += 1;
            }
            b',' | b':' | b' ' => at += 1,
            _ => at += bytes[at..].iter().take_while(|byte| !b",]} ".contains(byte)).count(),
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// The parts of an array or object, between commas: values, or members with their names.
struct Parts<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parts<'a> {
    /// Of a text that begins with `open`; `None` if it does not.
    fn of(value: &'a str, open: char) -> Option<Parts<'a>> {
        value.starts_with(open).then_some(Parts { text: value, at: 1 })
    }

    fn skip_separator(&mut self) {
        while matches!(self.text.as_bytes().get(self.at), Some(b',' | b' ' | b':')) {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Option<&'a str> {
        self.skip_separator();
        if matches!(self.text.as_bytes().get(self.at)?, b']' | b'}') {
            return None;
        }
        let end = value_end(self.text, self.at)?;
        let value = &self.text[self.at..end];
        self.at = end;
        Some(value)
    }

    /// Name (in quotes) and value.
    fn member(&mut self) -> Option<(&'a str, &'a str)> {
        Some((self.value()?, self.value()?))
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.value()
    }
}

/// What a path finds.
fn find<'a>(mut value: &'a str, path: &[Leg]) -> Option<&'a str> {
    for leg in path {
        value = match leg {
            Leg::Member(name) => {
                let mut members = Parts::of(value, '{')?;
                loop {
                    let (key, member) = members.member()?;
                    if key[1..key.len() - 1] == **name
                        || (key.contains('\\') && unquoted(key).is_ok_and(|key| key == **name))
                    {
                        break member;
                    }
                }
            }
            Leg::Element(index) => match Parts::of(value, '[') {
                Some(mut elements) => elements.nth(*index)?,
                // A value that is no array is its own first element.
                None if *index == 0 => value,
                None => return None,
            },
            Leg::FromLast(back) => match Parts::of(value, '[') {
                Some(elements) => {
                    let length = elements.count();
                    Parts::of(value, '[')?.nth(length.checked_sub(back + 1)?)?
                }
                None if *back == 0 => value,
                None => return None,
            },
        };
    }
    Some(value)
}

/// The text of a JSON string.
fn unquoted(string: &str) -> Cell<Cow<'_, str>> {
    let inside = &string[1..string.len() - 1];
    if !inside.contains('\\') {
        return Ok(Cow::Borrowed(inside));
    }
    let mut out = String::with_capacity(inside.len());
    unescape(inside, &mut out)?;
    Ok(Cow::Owned(out))
}

fn unescape(inside: &str, out: &mut String) -> Cell<()> {
    let mut characters = inside.chars();
    let unit = |characters: &mut std::str::Chars<'_>| -> Cell<u32> {
        let digits = characters.as_str().get(..4).ok_or(Miss::Refused)?;
        *characters = characters.as_str()[4..].chars();
        u32::from_str_radix(digits, 16).map_err(|_| Miss::Refused)
    };
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        out.push(match characters.next().ok_or(Miss::Refused)? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let mut code = unit(&mut characters)?;
                if (0xd800..0xdc00).contains(&code) {
                    let low = characters.as_str().strip_prefix("\\u").ok_or(Miss::Refused)?;
                    characters = low.chars();
                    let low = unit(&mut characters)?;
                    code = 0x10000 + ((code - 0xd800) << 10) + low.checked_sub(0xdc00).ok_or(Miss::Refused)?;
                }
                char::from_u32(code).ok_or(Miss::Refused)?
            }
            other => other,
        });
    }
    Ok(())
}

/// A constant path, or one of each row.
fn paths(call: &Call<'_>, at: usize) -> Cell<Vec<Leg>> {
    let texts = call.texts(at);
    path(texts.constant().ok_or(Miss::Refused)??).ok_or(Miss::Refused)
}

fn make_documents(call: &Call<'_>, mut each: impl FnMut(usize, &mut String) -> Cell<()>) -> Result<ArrayRef> {
    let mut out = LargeStringBuilder::with_capacity(call.rows(), call.rows() * 16);
    let mut value = String::new();
    for row in 0..call.rows() {
        value.clear();
        out.append_option(value_or_null(each(row, &mut value))?.map(|()| &value));
    }
    Ok(std::sync::Arc::new(out.finish()))
}

/// One path: what it finds. More: an array of all that they find.
pub(super) fn extract(call: &Call<'_>) -> Result<ArrayRef> {
    let documents = call.documents(0);
    let paths: Vec<Cell<Vec<Leg>>> = (1..call.arity()).map(|at| paths(call, at)).collect();
    make_documents(call, |row, out| {
        let document = documents.get(row)?;
        if let [path] = paths.as_slice() {
            out.push_str(find(document, path.as_ref().map_err(|miss| *miss)?).ok_or(Miss::Null)?);
            return Ok(());
        }
        out.push('[');
        for path in &paths {
            if let Some(found) = find(document, path.as_ref().map_err(|miss| *miss)?) {
                if out.len() > 1 {
                    out.push_str(", ");
                }
                out.push_str(found);
            }
        }
        out.push(']');
        if out.len() == 2 { Err(Miss::Null) } else { Ok(()) }
    })
}

/// The text of a string, and anything else as it prints.
pub(super) fn unquote(call: &Call<'_>) -> Result<ArrayRef> {
    let documents = call.documents(0);
    call.make_text(|row, out| {
        let document = documents.get(row)?;
        match document.starts_with('"') {
            true => unescape(&document[1..document.len() - 1], out),
            false => {
                out.push_str(document);
                Ok(())
            }
        }
    })
}

/// The part of a document that the path in argument `at` finds; all of it without one.
fn part<'a>(document: &'a str, path: &Option<Cell<Vec<Leg>>>) -> Cell<&'a str> {
    match path {
        Some(path) => find(document, path.as_ref().map_err(|miss| *miss)?).ok_or(Miss::Null),
        None => Ok(document),
    }
}

pub(super) fn length(call: &Call<'_>) -> Result<ArrayRef> {
    let documents = call.documents(0);
    let path = (call.arity() > 1).then(|| paths(call, 1));
    call.make_numbers::<Int64Type>(|row| {
        let value = part(documents.get(row)?, &path)?;
        Ok(match (Parts::of(value, '['), Parts::of(value, '{')) {
            (Some(elements), _) => elements.count() as i64,
            (_, Some(members)) => (members.count() / 2) as i64,
            _ => 1,
        })
    })
}

pub(super) fn depth(call: &Call<'_>) -> Result<ArrayRef> {
    let documents = call.documents(0);
    call.make_numbers::<Int64Type>(|row| depth_of(documents.get(row)?))
}

fn depth_of(text: &str) -> Cell<i64> {
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut deepest) = (0, 0i64, 0i64);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                deepest = deepest.max(depth + 1);
                at = string_end(text, at).ok_or(Miss::Refused)?;
                continue;
            }
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth -= 1,
            b',' | b' ' | b':' => {}
            _ => deepest = deepest.max(depth + 1),
        }
        at += 1;
    }
    Ok(deepest)
}

/// NULL of what is no object.
pub(super) fn keys(call: &Call<'_>) -> Result<ArrayRef> {
    let documents = call.documents(0);
    let path = (call.arity() > 1).then(|| paths(call, 1));
    make_documents(call, |row, out| {
        let mut members = Parts::of(part(documents.get(row)?, &path)?, '{').ok_or(Miss::Null)?;
        out.push('[');
        while let Some((key, _)) = members.member() {
            if out.len() > 1 {
                out.push_str(", ");
            }
            out.push_str(key);
        }
        out.push(']');
        Ok(())
    })
}

/// `one` or `all` of several paths.
pub(super) fn contains_path(call: &Call<'_>) -> Result<ArrayRef> {
    let (documents, modes) = (call.documents(0), call.texts(1));
    let paths: Vec<Cell<Vec<Leg>>> = (2..call.arity()).map(|at| paths(call, at)).collect();
    call.make_conditions(|row| {
        let document = documents.get(row)?;
        let mode = modes.get(row)?;
        let one = match mode {
            _ if mode.eq_ignore_ascii_case("one") => true,
            _ if mode.eq_ignore_ascii_case("all") => false,
            _ => return Err(Miss::Refused),
        };
        for path in &paths {
            let found = find(document, path.as_ref().map_err(|miss| *miss)?).is_some();
            if found == one {
                return Ok(one);
            }
        }
        Ok(!one)
    })
}

pub(super) fn quote(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.texts(0);
    call.make_text(|row, out| {
        push_quoted(texts.get(row)?, out);
        Ok(())
    })
}

/// A text as a JSON string.
fn push_quoted(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..' ' => write!(out, "\\u{:04x}", u32::from(character)).expect("a string takes everything"),
            _ => out.push(character),
        }
    }
    out.push('"');
}
