//! Text of ASCII, eight bytes at a time.
//!
//! ```text
//! text     D E U T S C H L     fold letters, if the collation does     d e u t s c h l
//! literal  D e u t s c h l     folded once                             d e u t s c h l     equal so far
//! ```
//!
//! A piece that is the literal's own needs no folding and no second look. A piece that differs decides, and so does the end of both: printable ASCII characters have one weight each, and none of them forms a
//! pair with what follows. Which text comes first, the weights of the first characters that differ say. A piece with any other byte in it,
//! or texts of which one is the beginning of the other, are left to the weights of all characters.
//!
//! Of several literals, those remain whose first eight bytes are the text's.

use std::cmp::Ordering;

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
    /// What is compared first, if that can be.
    quick: Option<Quick>,
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
        let quick = match &collation.order {
            Order::Weights { ascii, levels } => Quick::new(text, *ascii, &levels[0]),
            Order::Bytes => None,
        };
        Literal { collation, text: text.to_owned(), quick, trimmed: text.trim_end_matches(' ').len() }
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
        let quick = match (&self.collation.order, &self.quick) {
            (Order::Weights { .. }, Some(quick)) => quick.equals(text.as_bytes()),
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

    /// Whether a text comes before this one, behind it, or is the same to the collation.
    #[inline]
    pub fn compare(&self, text: &str) -> Ordering {
        let quick = self.quick.as_ref().and_then(|quick| quick.compare(text.as_bytes()));
        quick.unwrap_or_else(|| self.slow_order(text))
    }

    #[cold]
    fn slow_order(&self, text: &str) -> Ordering {
        self.collation.compare(text, &self.text)
    }
}

/// A literal of printable ASCII, eight bytes at a time.
#[derive(Debug, Clone)]
struct Quick {
    folds: bool,
    /// With small letters where the collation folds them.
    folded: Vec<u8>,
    /// The last of them ends where the literal does; none of a shorter one.
    pieces: Vec<Piece>,
    /// By the weights of the first level.
    ranks: [u16; 128],
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    from: usize,
    own: u64,
    folded: u64,
}

/// The first characters that are not the same.
enum Difference {
    /// There is none as far as both go.
    None,
    Of {
        text: u8,
        literal: u8,
    },
    /// Something else than printable ASCII comes first, or beside it.
    Unknown,
}

impl Quick {
    fn new(text: &str, ascii: Ascii, weights: &Weights) -> Option<Quick> {
        let folds = match ascii {
            Ascii::Folded => true,
            Ascii::Distinct => false,
            Ascii::Otherwise => return None,
        };
        if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return None;
        }
        let (own, folded) =
            (text.as_bytes(), if folds { text.to_ascii_lowercase() } else { text.to_owned() }.into_bytes());
        let piece = |from: usize| Piece { from, own: load(&own[from..]), folded: load(&folded[from..]) };
        let pieces = match own.len().checked_sub(8) {
            Some(last) => (0..last).step_by(8).chain([last]).map(piece).collect(),
            None => Vec::new(),
        };
        Some(Quick { folds, pieces, folded, ranks: std::array::from_fn(|byte| weights.ascii(byte as u8)) })
    }

    /// None if the weights of all characters have to say it.
    #[inline]
    fn equals(&self, text: &[u8]) -> Option<bool> {
        match self.first_difference(text) {
            Difference::Unknown => None,
            Difference::Of { .. } => Some(false),
            Difference::None => (self.folded.len() == text.len()).then_some(true),
        }
    }

    /// How the text compares with the literal; none if the weights of all characters, or those of other levels, have to say it.
    #[inline]
    fn compare(&self, text: &[u8]) -> Option<Ordering> {
        match self.first_difference(text) {
            Difference::Unknown => None,
            Difference::Of { text, literal } => {
                let rank = |byte: u8| self.ranks[usize::from(byte & 0x7f)];
                Some(rank(text).cmp(&rank(literal))).filter(|order| order.is_ne())
            }
            Difference::None => (self.folded.len() == text.len()).then_some(Ordering::Equal),
        }
    }

    #[inline]
    fn first_difference(&self, text: &[u8]) -> Difference {
        if self.pieces.is_empty() || text.len() < self.folded.len() {
            return self.first_difference_of_short(text);
        }
        for piece in &self.pieces {
            let right = load(&text[piece.from..]);
            // Mostly it is the literal's own, of which nothing more is to be asked.
            if right != piece.own {
                match self.difference(piece.folded, right) {
                    Difference::None => {}
                    found => return found,
                }
            }
        }
        Difference::None
    }

    /// The same where the literal or the text ends within a piece.
    fn first_difference_of_short(&self, text: &[u8]) -> Difference {
        let common = self.folded.len().min(text.len());
        for from in (0..common).step_by(8) {
            let piece = |bytes: &[u8]| load_short(&bytes[from..common.min(from + 8)]);
            match self.difference(piece(&self.folded), piece(text)) {
                Difference::None => {}
                found => return found,
            }
        }
        Difference::None
    }

    #[inline]
    fn difference(&self, folded: u64, right: u64) -> Difference {
        if !is_printable(right) {
            return Difference::Unknown;
        }
        let right = if self.folds { lower(right) } else { right };
        let differ = folded ^ right;
        if differ == 0 {
            return Difference::None;
        }
        let shift = differ.trailing_zeros() & !7;
        // The same letters in the other case do not differ, so that the small one stands for both.
        Difference::Of { text: (right >> shift) as u8, literal: (folded >> shift) as u8 }
    }
}

/// Several texts that many others are looked for among.
#[derive(Debug, Clone)]
pub struct Literals {
    literals: Vec<Literal>,
    /// The first eight bytes of each, if all of them can be compared so.
    starts: Option<(Ascii, Vec<u64>)>,
}

impl Literals {
    pub fn new(collation: &'static Collation, texts: &[&str]) -> Literals {
        let literals: Vec<Literal> = texts.iter().map(|text| Literal::new(collation, text)).collect();
        let starts = literals
            .iter()
            .map(|literal| literal.quick.as_ref().map(|quick| start(&quick.folded)))
            .collect::<Option<Vec<u64>>>();
        let starts = match &collation.order {
            Order::Weights { ascii, .. } => starts.map(|starts| (*ascii, starts)),
            Order::Bytes => None,
        };
        Literals { literals, starts }
    }

    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.literals.iter().map(Literal::text)
    }

    /// Whether one of them is the same as a text to the collation.
    #[inline]
    pub fn have(&self, text: &str) -> bool {
        if let Some((kind, starts)) = &self.starts {
            let piece = start(text.as_bytes());
            if is_printable(piece) {
                let piece = if *kind == Ascii::Folded { lower(piece) } else { piece };
                let mut candidates = starts.iter().zip(&self.literals).filter(|(start, _)| **start == piece);
                return candidates.any(|(_, literal)| literal.equals(text));
            }
        }
        self.literals.iter().any(|literal| literal.equals(text))
    }
}

/// Whether all of a text is printable ASCII.
#[inline]
pub(crate) fn all_printable(text: &[u8]) -> bool {
    match text.len().checked_sub(8) {
        Some(last) => (0..last).step_by(8).chain([last]).all(|at| is_printable(load(&text[at..]))),
        None => is_printable(load_short(text)),
    }
}

/// Where a part begins in a text, both of them printable; letters of the part are small if they are folded.
#[inline]
pub(crate) fn find<const FOLD: bool>(text: &[u8], part: &[u8]) -> Option<usize> {
    let Some((&first, rest)) = part.split_first() else { return Some(0) };
    let last = text.len().checked_sub(part.len())?;
    let is_here = |at: usize| is_same::<FOLD>(&text[at + 1..at + part.len()], rest);
    let Some(last_piece) = text.len().checked_sub(8) else {
        return (0..=last).find(|&at| is_same::<FOLD>(&text[at..=at], &[first]) && is_here(at));
    };
    let mut at = 0;
    while at <= last {
        let from = at.min(last_piece);
        let piece = load(&text[from..]);
        let piece = if FOLD { lower(piece) } else { piece };
        let differ = piece ^ (ONES * u64::from(first));
        // The high bits of bytes that do not differ, without those that have been looked at.
        let mut found = !(((differ & !HIGH) + !HIGH) | differ) & HIGH & u64::MAX << (8 * (at - from));
        while found != 0 {
            let here = from + found.trailing_zeros() as usize / 8;
            if here > last {
                return None;
            }
            if is_here(here) {
                return Some(here);
            }
            found &= found - 1;
        }
        at = from + 8;
    }
    None
}

/// Whether a text is a part, see [`find`].
#[inline]
pub(crate) fn is_same<const FOLD: bool>(text: &[u8], part: &[u8]) -> bool {
    let fold = |byte: u8| if FOLD { byte.to_ascii_lowercase() } else { byte };
    text.len() == part.len() && text.iter().zip(part).all(|(a, b)| fold(*a) == *b)
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

/// The first eight bytes, with spaces for those that are not there.
#[inline]
fn start(bytes: &[u8]) -> u64 {
    if bytes.len() < 8 { load_short(bytes) } else { load(bytes) }
}

fn load_short(bytes: &[u8]) -> u64 {
    let mut padded = [b' '; 8];
    padded[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(padded)
}
