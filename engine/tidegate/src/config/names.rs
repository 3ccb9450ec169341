//! `database.table` as it is written, with back-ticks around what is no letter of a name.

use std::iter::Peekable;
use std::str::Chars;

/// A name that may hold more than characters.
pub(super) trait NamePart: Default {
    fn push(&mut self, c: char);
    fn is_empty(&self) -> bool;
}

/// Reads both names. `special` reads on behind a character that stands for something else, and tells whether it does; `with_one` is said
/// where there is no dot.
pub(super) fn read_names<Part: NamePart>(
    text: &str,
    with_one: &str,
    mut special: impl FnMut(&mut Part, char, &mut Peekable<Chars<'_>>) -> Result<bool, String>,
) -> Result<[Part; 2], String> {
    const SHAPE: &str = "must be database.table";
    let mut parts = vec![Part::default()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let part = parts.last_mut().expect("begins with one part");
        if special(part, c, &mut chars)? {
            continue;
        }
        match c {
            '.' => parts.push(Part::default()),
            '`' => read_quoted(&mut chars)?.chars().for_each(|c| part.push(c)),
            c if c.is_alphanumeric() || matches!(c, '_' | '$' | '-') => part.push(c),
            c => return Err(format!("{SHAPE}, a name that holds {c:?} goes between back-ticks")),
        }
    }
    if parts.len() > 2 {
        return Err(format!("{SHAPE}, a name that holds a dot goes between back-ticks"));
    }
    let parts = <[Part; 2]>::try_from(parts).map_err(|_| format!("{SHAPE}{with_one}"))?;
    match parts.iter().any(Part::is_empty) {
        true => Err(format!("{SHAPE}, both not empty")),
        false => Ok(parts),
    }
}

/// Reads on behind a back-tick, up to its counterpart; two of them in a row are one.
fn read_quoted(chars: &mut Peekable<Chars<'_>>) -> Result<String, &'static str> {
    let mut name = String::new();
    loop {
        match chars.next() {
            Some('`') if chars.peek() == Some(&'`') => name.extend(chars.next()),
            Some('`') => return Ok(name),
            Some(c) => name.push(c),
            None => return Err("a back-tick must have its counterpart"),
        }
    }
}
