//! LIKE: the pattern of a text, as the server follows it.
//!
//! A pattern goes character by character: a character of the pattern stands for one of the text that has the same weights by itself.
//! So to a collation for which `'ß' = 'ss'`, `'ß' LIKE 'ss'` is false, and spaces at the end count for every collation.

use crate::Collation;

/// A pattern, taken apart once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    items: Vec<Item>,
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
        Pattern { items }
    }

    /// Whether a text is as the pattern says.
    pub fn matches(&self, collation: &Collation, text: &str) -> bool {
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
