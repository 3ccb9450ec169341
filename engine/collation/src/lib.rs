//! How do servers of the MySQL family compare text?
//!
//! ```text
//!                            weights                        'A' = 'a'   'e' = 'é'   'a' = 'a '   'ss' = 'ß'
//! utf8mb4_0900_ai_ci         1c47 …                         yes         yes         no           yes
//! utf8mb4_0900_as_cs         1c47 … | 0020 … | 0002 …       no          no          no           no
//! utf8mb4_general_ci         0041 …                         yes         yes         yes          no ('s' = 'ß')
//! latin1_swedish_ci          41 …                           yes         yes         yes          no
//! utf8mb4_bin                the bytes                      no          no          yes          no
//! ```
//!
//! Text is UTF-8 here whatever the character set of its column is, as everywhere in the program. A [`Collation`] gives each
//! character weights on one to three levels; two texts compare as their weights of the first level do, then, if these are equal, of
//! the next. Some characters have no weight (they are nothing to the collation), some have several (`ß` is two `s`), and
//! in MariaDB's newest collations some pairs of characters have weights of their own. To a PAD SPACE collation, a text that has ended goes on with spaces for ever.
//!
//! The weights are the server's own: `scripts/weights.py` asks for those of every character and writes `tables/`, which holds what is the same
//! for many characters once. What is not in `tables/collations.txt` is not known here, and nobody guesses: collations of a
//! language, sets of several bytes a character other than utf8, and sets with codes that are no characters.
//!
//! MariaDB takes MySQL's `utf8mb4_0900_*` for names of its own weights; so a collation is asked for by [`Family`] as well.
//!
//! # Speed
//!
//! Nearly all text is ASCII or begins so. There one table of 128 weights is enough, and whether text equals a literal is seen
//! eight bytes at a time ([`Literal`], [`Literals`], [`Pattern`]); both leave for the tables of all characters at the first byte that asks for
//! it, and neither allocates.

mod ascii;
mod like;
mod list;
mod weights;

use std::cmp::Ordering;

use ascii::Ascii;
use weights::Weights;

pub use ascii::{Literal, Literals};
pub use like::Pattern;

/// Who has a collation of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    MySql,
    MariaDb,
}

/// One collation of one server.
#[derive(Debug)]
pub struct Collation {
    name: &'static str,
    charset: &'static str,
    /// Whether the shorter of two texts is compared as if spaces followed.
    pad: bool,
    order: Order,
}

#[derive(Debug)]
enum Order {
    /// The bytes themselves.
    Bytes,
    /// As the weights of characters say, level by level.
    Weights { levels: Vec<Weights>, ascii: Ascii },
}

impl Collation {
    /// The collation of that name on that server; none if it is not known here.
    pub fn of(server: Family, name: &str) -> Option<&'static Collation> {
        list::by_name(server, name)
    }

    /// The collation of that name on whichever server has it; where both have one, MySQL's.
    pub fn named(name: &str) -> Option<&'static Collation> {
        Collation::of(Family::MySql, name).or_else(|| Collation::of(Family::MariaDb, name))
    }

    /// The collation of that number, as the binlog names it.
    pub fn of_id(server: Family, id: u16) -> Option<&'static Collation> {
        list::by_id(server, id)
    }

    /// Those that are known here.
    pub fn all(server: Family) -> impl Iterator<Item = &'static Collation> {
        list::all(server)
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The name of its character set.
    pub fn charset(&self) -> &'static str {
        self.charset
    }

    /// Whether it compares bytes, if only up to spaces at the end.
    pub fn is_binary(&self) -> bool {
        matches!(self.order, Order::Bytes)
    }

    /// Whether spaces at the end do not count.
    pub fn pads(&self) -> bool {
        self.pad
    }

    /// Whether equal texts are the same bytes.
    pub fn is_identity(&self) -> bool {
        self.is_binary() && !self.pad
    }

    /// Whether all characters are of its character set. Of text that is not, its comparisons say nothing.
    pub fn covers(&self, text: &str) -> bool {
        match (&self.order, self.charset) {
            (_, "utf8mb3") => text.chars().all(|c| u32::from(c) < 0x1_0000),
            (Order::Weights { levels, .. }, _) => text.chars().all(|c| levels[0].has(c)),
            (Order::Bytes, _) => true,
        }
    }

    /// Which of two texts comes first.
    pub fn compare(&self, a: &str, b: &str) -> Ordering {
        self.compare_padding(a, b, self.pad)
    }

    fn compare_padding(&self, a: &str, b: &str, pad: bool) -> Ordering {
        match &self.order {
            Order::Bytes if pad => compare_padded(a.as_bytes(), b.as_bytes()),
            Order::Bytes => a.cmp(b),
            Order::Weights { levels, .. } => levels
                .iter()
                .map(|level| level.compare(a, b, pad || level.always_pads()))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal),
        }
    }

    /// Whether two texts are the same to it. Many texts with one: [`Literal`].
    pub fn equal(&self, a: &str, b: &str) -> bool {
        a == b || self.compare(a, b).is_eq()
    }

    /// The same where spaces at the end count whatever the collation says: for FIND_IN_SET.
    pub fn equal_without_padding(&self, a: &str, b: &str) -> bool {
        a == b || self.compare_padding(a, b, false).is_eq()
    }

    /// Appends bytes that are the same for texts that are equal, and for no others. Their order means nothing.
    pub fn key(&self, text: &str, out: &mut Vec<u8>) {
        self.each_of_key(text, |bytes| out.extend_from_slice(bytes));
    }

    /// The bytes of [`Collation::key`], a few at a time.
    pub fn each_of_key(&self, text: &str, mut take: impl FnMut(&[u8])) {
        match &self.order {
            Order::Bytes if self.pad => take(text.trim_end_matches(' ').as_bytes()),
            Order::Bytes => take(text.as_bytes()),
            Order::Weights { levels, .. } => {
                for level in levels {
                    level.each(text, self.pad || level.always_pads(), |weight| take(&weight.to_be_bytes()));
                }
            }
        }
    }

    /// What printable ASCII characters are equal to.
    fn ascii(&self) -> Ascii {
        match &self.order {
            Order::Bytes => Ascii::Distinct,
            Order::Weights { ascii, .. } => *ascii,
        }
    }

    /// Whether two characters are the same to LIKE, which looks at each by itself.
    #[inline]
    fn same_character(&self, a: char, b: char) -> bool {
        a == b
            || match &self.order {
                Order::Bytes => false,
                Order::Weights { levels, ascii } => {
                    ascii::same(*ascii, a, b).unwrap_or_else(|| levels.iter().all(|level| level.same(a, b)))
                }
            }
    }
}

/// The longer text against spaces, once the shorter has ended.
fn compare_padded(a: &[u8], b: &[u8]) -> Ordering {
    let common = a.len().min(b.len());
    let rest = |longer: &[u8]| longer[common..].iter().find(|&&byte| byte != b' ').map(|byte| byte.cmp(&b' '));
    a[..common]
        .cmp(&b[..common])
        .then_with(|| rest(a).or_else(|| rest(b).map(Ordering::reverse)).unwrap_or(Ordering::Equal))
}

#[cfg(test)]
mod tests;
