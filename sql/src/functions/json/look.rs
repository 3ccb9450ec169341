//! What a JSON value is, and where it is.

use std::fmt::Write as _;

use arrow::array::ArrayRef;
use datafusion_common::Result;
use tidegate_collation::{Collation, Pattern};

use super::super::kernel::{Call, Cell, Miss};
use super::value::is_dubious;
use super::{Parts, part, paths, push_quoted, unescape, unquoted};

/// JSON_TYPE. Which type a number has, its text does not say, and a string may be what a date prints as: they fail.
pub(in crate::functions) fn kind(call: &Call<'_>) -> Result<ArrayRef> {
    kinds(call, Err(Miss::Refused))
}

/// JSON_TYPE beside the name of a type that text shows: anything else is none of these.
pub(crate) fn shown_kind(call: &Call<'_>) -> Result<ArrayRef> {
    kinds(call, Ok("another"))
}

fn kinds(call: &Call<'_>, otherwise: Cell<&'static str>) -> Result<ArrayRef> {
    let documents = call.documents(0);
    call.make_parts(|row| {
        let document = documents.get(row)?;
        match document.as_bytes().first().ok_or(Miss::Refused)? {
            b'n' => Ok("NULL"),
            b't' | b'f' => Ok("BOOLEAN"),
            b'[' => Ok("ARRAY"),
            b'{' => Ok("OBJECT"),
            b'"' if !is_dubious(&unquoted(document)?) => Ok("STRING"),
            _ => otherwise,
        }
    })
}

/// Whether [`shown_kind`] tells a type of that name from all others.
pub(crate) fn is_shown(kind: &str) -> bool {
    matches!(kind, "NULL" | "BOOLEAN" | "ARRAY" | "OBJECT")
}

/// JSON_VALUE without RETURNING: the text of what a path finds, NULL for `null`. Longer texts than 512 characters fail.
pub(in crate::functions) fn value(call: &Call<'_>) -> Result<ArrayRef> {
    let documents = call.documents(0);
    let path = Some(paths(call, 1));
    call.make_text(|row, out| {
        let found = part(documents.get(row)?, &path)?;
        if found == "null" {
            return Err(Miss::Null);
        }
        match found.strip_prefix('"').and_then(|found| found.strip_suffix('"')) {
            Some(inside) => unescape(inside, out)?,
            None => out.push_str(found),
        }
        if out.chars().count() > 512 { Err(Miss::Refused) } else { Ok(()) }
    })
}

/// JSON_SEARCH: the paths to strings that are LIKE a pattern, one of them or all.
pub(in crate::functions) fn search(call: &Call<'_>) -> Result<ArrayRef> {
    let (documents, modes, patterns) = (call.documents(0), call.texts(1), call.texts(2));
    // By the collation that text of JSON has.
    let collation = Collation::named("utf8mb4_bin").unwrap_or_else(|| unreachable!("every server has utf8mb4_bin"));
    super::make_documents(call, |row, out| {
        let (document, mode, pattern) = (documents.get(row)?, modes.get(row)?, patterns.get(row)?);
        let one = match mode {
            _ if mode.eq_ignore_ascii_case("one") => true,
            _ if mode.eq_ignore_ascii_case("all") => false,
            _ => return Err(Miss::Refused),
        };
        let pattern = Pattern::new(pattern, Some('\\'));
        let mut found = Vec::new();
        look(document, &mut "$".to_owned(), &|text| pattern.matches(collation, text), one, &mut found)?;
        match found.as_slice() {
            [] => return Err(Miss::Null),
            [path] => push_quoted(path, out),
            paths => {
                out.push('[');
                for (at, path) in paths.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    push_quoted(path, out);
                }
                out.push(']');
            }
        }
        Ok(())
    })
}

/// Adds the paths to strings that fit; `path` is that to `value`.
fn look(value: &str, path: &mut String, fits: &dyn Fn(&str) -> bool, one: bool, found: &mut Vec<String>) -> Cell<()> {
    if one && !found.is_empty() {
        return Ok(());
    }
    let length = path.len();
    if value.starts_with('"') {
        let text = unquoted(value)?;
        if fits(&text) {
            // A date prints as a string, and is none.
            if is_dubious(&text) {
                return Err(Miss::Refused);
            }
            found.push(path.clone());
        }
    } else if let Some(elements) = Parts::of(value, '[') {
        for (at, element) in elements.enumerate() {
            write!(path, "[{at}]").expect("a string takes everything");
            look(element, path, fits, one, found)?;
            path.truncate(length);
        }
    } else if let Some(mut members) = Parts::of(value, '{') {
        while let Some((name, member)) = members.member() {
            let plain = unquoted(name)?;
            path.push('.');
            let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$');
            match plain.chars().all(is_name) && !plain.is_empty() && !plain.starts_with(|c: char| c.is_ascii_digit()) {
                true => path.push_str(&plain),
                // Which other letters need no quotes, is a matter of Unicode's version.
                false if !plain.is_ascii() && has_match(member, fits)? => return Err(Miss::Refused),
                false => push_quoted(&plain, path),
            }
            look(member, path, fits, one, found)?;
            path.truncate(length);
        }
    }
    Ok(())
}

fn has_match(value: &str, fits: &dyn Fn(&str) -> bool) -> Cell<bool> {
    if value.starts_with('"') {
        return Ok(fits(&unquoted(value)?));
    }
    if let Some(mut elements) = Parts::of(value, '[') {
        return elements.try_fold(false, |any, element| Ok(any || has_match(element, fits)?));
    }
    let mut any = false;
    if let Some(mut members) = Parts::of(value, '{') {
        while let Some((_, member)) = members.member() {
            any |= has_match(member, fits)?;
        }
    }
    Ok(any)
}
