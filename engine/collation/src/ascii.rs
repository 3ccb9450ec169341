//! Text of ASCII, eight bytes at a time.
//!
//! ```text
//! text     D e u t s c h l     fold letters, if the collation does     d e u t s c h l
//! literal  d e u t s c h l     folded once                             d e u t s c h l     equal so far
//! ```
//!
//! A piece that differs decides, and so does the end of both: printable ASCII characters have one weight each, and none of them forms a
//! pair with what follows. A piece with any other byte in it, or texts of which one is the beginning of the other, are left to the weights.

use crate::weights::Weights;
use crate::{Collation, Order};

/// What printable ASCII characters are equal to among themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ascii {
    /// Only to themselves.
    Distinct,
    /// To the same letter in the other case.
    Folded,
    /// To something else: nothing is to be gained here.
    Otherwise,
}

impl Ascii {
    pub(crate) fn of(levels: &[Weights]) -> Ascii {
        let weights = |byte: u8| levels.iter().map(move |level| level.ascii(byte));
        let printable = || b' '..=b'~';
        if printable().any(|byte| weights(byte).any(|weight| weight == Weights::OTHER)) {
            return Ascii::Otherwise;
        }
        let equal = |a: u8, b: u8| weights(a).eq(weights(b));
        let all = |wanted: fn(u8, u8) -> bool| printable().all(|a| printable().all(|b| equal(a, b) == wanted(a, b)));
        if all(|a, b| a == b) {
            Ascii::Distinct
        } else if all(|a, b| a.eq_ignore_ascii_case(&b)) {
            Ascii::Folded
        } else {
            Ascii::Otherwise
        }
    }
}

/// A text that many others are compared with.
#[derive(Debug, Clone)]
pub struct Literal {
    collation: &'static Collation,
    text: String,
    /// The text as [`quick`] compares it, if it can.
    folded: Option<Vec<u8>>,
    /// How long the text is without spaces at its end.
    trimmed: usize,
}

impl PartialEq for Literal {
    fn eq(&self, other: &Literal) -> bool {
        std::ptr::eq(self.collation, other.collation) && self.text == other.text
    }
}

impl Eq for Literal {}

impl Literal {
    pub fn new(collation: &'static Collation, text: &str) -> Literal {
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let folded = match &collation.order {
            Order::Weights { ascii: Ascii::Folded, .. } if printable => Some(text.to_ascii_lowercase().into_bytes()),
            Order::Weights { ascii: Ascii::Distinct, .. } if printable => Some(text.as_bytes().to_vec()),
            _ => None,
        };
        Literal { collation, text: text.to_owned(), folded, trimmed: text.trim_end_matches(' ').len() }
    }

    pub fn collation(&self) -> &'static Collation {
        self.collation
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a text is the same to the collation.
    #[inline]
    pub fn equals(&self, text: &str) -> bool {
        let quick = match (&self.collation.order, &self.folded) {
            (Order::Weights { ascii: Ascii::Folded, .. }, Some(folded)) => quick::<true>(folded, text.as_bytes()),
            (Order::Weights { .. }, Some(folded)) => quick::<false>(folded, text.as_bytes()),
            (Order::Bytes, _) if !self.collation.pad || self.text.len() == text.len() => Some(self.text == text),
            (Order::Bytes, _) => match text.as_bytes().split_at_checked(self.trimmed) {
                Some((start, rest)) => {
                    Some(start == &self.text.as_bytes()[..self.trimmed] && rest.iter().all(|&byte| byte == b' '))
                }
                None => Some(false),
            },
            _ => None,
        };
        quick.unwrap_or_else(|| self.slow(text))
    }

    #[cold]
    fn slow(&self, text: &str) -> bool {
        self.collation.equal(&self.text, text)
    }
}

/// Whether the bytes are equal, if that can be said.
#[inline]
fn quick<const FOLD: bool>(folded: &[u8], text: &[u8]) -> Option<bool> {
    let common = folded.len().min(text.len());
    let mut at = 0;
    while at + 8 <= common {
        if let Some(differs) = piece::<FOLD>(load(&folded[at..]), load(&text[at..])) {
            return differs;
        }
        at += 8;
    }
    if at < common {
        // The last eight bytes once more, or what there is and spaces.
        let (left, right) = match common.checked_sub(8) {
            Some(start) => (load(&folded[start..]), load(&text[start..])),
            None => (load_short(&folded[..common]), load_short(&text[..common])),
        };
        if let Some(differs) = piece::<FOLD>(left, right) {
            return differs;
        }
    }
    (folded.len() == text.len()).then_some(true)
}

/// None if the pieces are equal; else whether that can be said here: never equal, or unknown.
#[inline]
fn piece<const FOLD: bool>(folded: u64, text: u64) -> Option<Option<bool>> {
    let same = if FOLD { lower(text) } else { text };
    let printable = is_printable(text);
    match (same == folded, printable) {
        (true, true) => None,
        (false, true) => Some(Some(false)),
        (_, false) => Some(None),
    }
}

/// So many bytes at the start are printable ASCII and the same, if not a few more.
#[inline]
pub(crate) fn common_start(a: &[u8], b: &[u8]) -> usize {
    let common = a.len().min(b.len());
    let mut at = 0;
    while at + 8 <= common {
        let piece = load(&a[at..]);
        if piece != load(&b[at..]) || !is_printable(piece) {
            break;
        }
        at += 8;
    }
    at
}

/// Whether two printable characters are the same; none if they are not both printable, or the collation has its own mind.
#[inline]
pub(crate) fn same(kind: Ascii, a: char, b: char) -> Option<bool> {
    if !((' '..='~').contains(&a) && (' '..='~').contains(&b)) {
        return None;
    }
    match kind {
        Ascii::Distinct => Some(a == b),
        Ascii::Folded => Some(a.eq_ignore_ascii_case(&b)),
        Ascii::Otherwise => None,
    }
}

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = ONES << 7;

/// All bytes are from 20 to 7e.
#[inline]
fn is_printable(bytes: u64) -> bool {
    // With all high bits clear no addition carries into the next byte.
    let above_1f = (bytes & !HIGH) + ONES * (0x80 - 0x20);
    let above_7e = (bytes & !HIGH) + ONES;
    (bytes | !above_1f | above_7e) & HIGH == 0
}

/// ASCII letters in lower case; nothing is promised of bytes from 80 on.
#[inline]
fn lower(bytes: u64) -> u64 {
    let low = bytes & !HIGH;
    let from_a = low + ONES * (0x80 - b'A' as u64);
    let above_z = low + ONES * (0x80 - b'Z' as u64 - 1);
    bytes | ((from_a & !above_z & HIGH) >> 2)
}

#[inline]
fn load(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap_or_else(|_| unreachable!("eight bytes were taken")))
}

fn load_short(bytes: &[u8]) -> u64 {
    let mut padded = [b' '; 8];
    padded[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(padded)
}
