//! LIKE: the pattern of a text, as the server follows it.
//!
//! A pattern goes character by character: a character of the pattern stands for one of the text that has the same weights by itself.
//! So to a collation for which `'ß' = 'ss'`, `'ß' LIKE 'ss'` is false, and spaces at the end count for every collation.
//!
//! Where pattern and text are printable ASCII and the pattern has no `_`, its parts between `%` are looked for as bytes.

use crate::Collation;
use crate::ascii::{self, Ascii};

/// A pattern, taken apart once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    items: Vec<Item>,
    parts: Option<Parts>,
}

/// What stands between the `%` of a pattern: as it is written, and in small letters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Parts {
    written: Vec<Vec<u8>>,
    folded: Vec<Vec<u8>>,
}

impl Parts {
    fn of(items: &[Item]) -> Option<Parts> {
        let mut written = vec![Vec::new()];
        for item in items {
            match item {
                Item::Any => written.push(Vec::new()),
                Item::Character(character @ ' '..='~') => written.last_mut()?.push(*character as u8),
                _ => return None,
            }
        }
        let folded = written.iter().map(|part| part.to_ascii_lowercase()).collect();
        Some(Parts { written, folded })
    }
}

/// Whether a text has these parts, one after the other, the first at its start and the last at its end.
fn has_parts<const FOLD: bool>(text: &[u8], parts: &[Vec<u8>]) -> bool {
    let (start, others) = match parts {
        [] => return text.is_empty(),
        [all] => return ascii::is_same::<FOLD>(text, all),
        [start, others @ ..] => (start, others),
    };
    let Some((end, middles)) = others.split_last() else { return false };
    let Some((found, mut rest)) = text.split_at_checked(start.len()) else { return false };
    if !ascii::is_same::<FOLD>(found, start) {
        return false;
    }
    for middle in middles {
        match ascii::find::<FOLD>(rest, middle) {
            Some(at) => rest = &rest[at + middle.len()..],
            None => return false,
        }
    }
    rest.len().checked_sub(end.len()).is_some_and(|at| ascii::is_same::<FOLD>(&rest[at..], end))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Item {
    Character(char),
    /// `_`
    One,
    /// `%`
    Any,
}

impl Pattern {
    /// Takes a pattern apart. The character after `escape` stands for itself, and so does an escape at the end.
    pub fn new(text: &str, escape: Option<char>) -> Pattern {
        let mut items = Vec::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            items.push(match character {
                _ if Some(character) == escape => Item::Character(characters.next().unwrap_or(character)),
                '_' => Item::One,
                // Several are as good as one.
                '%' if items.last() == Some(&Item::Any) => continue,
                '%' => Item::Any,
                _ => Item::Character(character),
            });
        }
        Pattern { parts: Parts::of(&items), items }
    }

    /// Whether a text is as the pattern says.
    pub fn matches(&self, collation: &Collation, text: &str) -> bool {
        match (&self.parts, collation.ascii()) {
            (Some(parts), kind @ (Ascii::Folded | Ascii::Distinct)) if ascii::all_printable(text.as_bytes()) => {
                match kind {
                    Ascii::Folded => has_parts::<true>(text.as_bytes(), &parts.folded),
                    _ => has_parts::<false>(text.as_bytes(), &parts.written),
                }
            }
            _ => self.matches_by_character(collation, text),
        }
    }

    pub(crate) fn matches_by_character(&self, collation: &Collation, text: &str) -> bool {
        let (mut items, mut rest) = (self.items.as_slice(), text.chars());
        // Where the last `%` was, and what of the text it had not taken when it was tried last.
        let mut again = None;
        loop {
            let fits = match items.split_first() {
                Some((Item::Any, after)) => {
                    if after.is_empty() {
                        return true;
                    }
                    again = Some((after, rest.clone()));
                    items = after;
                    continue;
                }
                None => rest.as_str().is_empty().then_some(items),
                Some((item, after)) => rest
                    .next()
                    .filter(|&character| match item {
                        Item::Character(wanted) => collation.same_character(*wanted, character),
                        _ => true,
                    })
                    .map(|_| after),
            };
            match fits {
                Some([]) if rest.as_str().is_empty() => return true,
                Some(after) => items = after,
                None => {
                    // The last `%` takes a character more.
                    let Some((after, tried)) = &mut again else { return false };
                    if tried.next().is_none() {
                        return false;
                    }
                    (items, rest) = (after, tried.clone());
                }
            }
        }
    }
}
