//! The weights of characters on one level, read in place from what `scripts/weights.py` has written.
//!
//! ```text
//! code point 0x1f600: 0001 1111 0110 0000 0000     row 1f of the top -> middle row; 18 in it -> leaf; 00 in the leaf
//!
//! leaf    15fb    one weight
//!         8123    where in the pool the weights are: how many, and which
//!         ffff    a rule: the weights are made from the code point
//! ```

use std::cmp::Ordering;
use std::str::Chars;

use crate::ascii;

/// Files of tables that have leaves in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum File {
    General,
    Uca0400,
    Uca0520,
    Uca0900,
    Uca1400,
    Bytes,
}

impl File {
    fn bytes(self) -> &'static [u8] {
        match self {
            File::General => include_bytes!("tables/general.bin"),
            File::Uca0400 => include_bytes!("tables/uca0400.bin"),
            File::Uca0520 => include_bytes!("tables/uca0520.bin"),
            File::Uca0900 => include_bytes!("tables/uca0900.bin"),
            File::Uca1400 => include_bytes!("tables/uca1400.bin"),
            File::Bytes => include_bytes!("tables/bytes.bin"),
        }
    }
}

/// Numbers of 16 bits, little end first.
#[derive(Debug, Clone, Copy)]
struct Numbers(&'static [u8]);

impl Numbers {
    fn get(self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[2 * at], self.0[2 * at + 1]])
    }

    fn long(self, at: usize) -> u32 {
        u32::from(self.get(at)) << 16 | u32::from(self.get(at + 1))
    }

    fn split(self, at: usize) -> (Numbers, Numbers) {
        let (left, right) = self.0.split_at(2 * at);
        (Numbers(left), Numbers(right))
    }

    fn len(self) -> usize {
        self.0.len() / 2
    }
}

const POOLED: u16 = 0x8000;

/// How many times 256 code points there are.
const PAGES: usize = 0x1100;

// Rules. Which characters have no weights of their own is the business of Unicode's version; the numbers of a rule are not.
const UNASSIGNED: u16 = 0xffff;
const HAN_EXTENSIONS: u16 = 0xfffe;
const HAN: u16 = 0xfffd;
const TANGUT: u16 = 0xfffc;
const NUSHU: u16 = 0xfffb;
const KHITAN: u16 = 0xfffa;
/// A syllable has the weights of its letters.
const HANGUL: u16 = 0xfff9;
/// The code point is the weight.
const ITSELF: u16 = 0xfff8;
/// Not a character of the set.
const NONE: u16 = 0xfff7;

/// A level.
#[derive(Debug)]
pub(crate) struct Weights {
    top: Numbers,
    middles: Numbers,
    leaves: Numbers,
    pool: Numbers,
    pairs: Pairs,
    always_pads: bool,
    /// Of each 256 code points, whether the server keeps no table of them on this level: see [`Weights::same`].
    alone: [u64; PAGES.div_ceil(64)],
    /// Of each ASCII character that has exactly one weight; else [`Weights::OTHER`].
    ascii: [u16; 128],
}

/// Pairs of characters that have weights of their own.
#[derive(Debug)]
struct Pairs {
    /// Sorted; both code points, then a number for each level.
    entries: Numbers,
    levels: usize,
    level: usize,
    /// The smallest and the largest first character.
    firsts: (u32, u32),
}

impl Pairs {
    fn len(&self) -> usize {
        self.entries.len() / (4 + self.levels)
    }

    fn key(&self, index: usize) -> (u32, u32) {
        let at = index * (4 + self.levels);
        (self.entries.long(at), self.entries.long(at + 2))
    }

    /// What a leaf would hold for these two.
    fn find(&self, first: char, second: char) -> Option<u16> {
        let wanted = (u32::from(first), u32::from(second));
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.key(middle).cmp(&wanted) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => {
                    return Some(self.entries.get(middle * (4 + self.levels) + 4 + self.level));
                }
            }
        }
        None
    }

    fn may_begin_with(&self, first: char) -> bool {
        (self.firsts.0..=self.firsts.1).contains(&u32::from(first))
    }
}

impl Weights {
    /// Not one weight: none or several.
    pub(crate) const OTHER: u16 = 0xffff;

    pub(crate) fn new(file: File, level: usize) -> Weights {
        let (header, rest) = Numbers(file.bytes()).split(6);
        let count = |at| usize::from(header.get(at));
        let (levels, top_length) = (count(0), count(1));
        let (tops, rest) = rest.split(levels * top_length);
        let (middles, rest) = rest.split(64 * count(2));
        let (leaves, rest) = rest.split(64 * count(3));
        let (pool, entries) = rest.split(count(4));
        let top = tops.split(level * top_length).1.split(top_length).0;
        let mut pairs = Pairs { entries, levels, level, firsts: (1, 0) };
        if let Some(last) = pairs.len().checked_sub(1) {
            pairs.firsts = (pairs.key(0).0, pairs.key(last).0);
        }
        let always_pads = file == File::Uca1400 && level > 0;
        let alone = [0; PAGES.div_ceil(64)];
        let mut weights =
            Weights { top, middles, leaves, pool, pairs, always_pads, alone, ascii: [Weights::OTHER; 128] };
        weights.find_alone(file, level);
        for byte in 0..128 {
            let mut buffer = [0; 4];
            let mut units = Units::new(&weights, char::from(byte).encode_utf8(&mut buffer));
            if let (Some(weight), None) = (units.next(), units.next()) {
                weights.ascii[usize::from(byte)] = weight;
            }
        }
        weights
    }

    /// The weight of an ASCII character that has one, or [`Weights::OTHER`].
    #[inline]
    pub(crate) fn ascii(&self, byte: u8) -> u16 {
        self.ascii[usize::from(byte)]
    }

    /// Whether the weights of a space follow on this level also where they do not on the first: so in MariaDB, where `È` and `Ḕ` are equal
    /// by `uca1400_nopad_ai_cs`.
    pub(crate) fn always_pads(&self) -> bool {
        self.always_pads
    }

    fn leaf(&self, character: char) -> u16 {
        let code_point = u32::from(character) as usize;
        // Character sets of one byte have a short top row.
        if code_point >> 12 >= self.top.len() {
            return NONE;
        }
        let middle = usize::from(self.top.get(code_point >> 12));
        let leaf = usize::from(self.middles.get(64 * middle + (code_point >> 6 & 63)));
        self.leaves.get(64 * leaf + (code_point & 63))
    }

    /// Whether the character is one of the set.
    pub(crate) fn has(&self, character: char) -> bool {
        self.leaf(character) != NONE
    }

    /// Whether two different characters are the same to LIKE. Servers keep tables of 256 characters, and none where a rule makes all weights:
    /// each character of such a page is equal to itself alone, whatever weighs the same.
    pub(crate) fn same(&self, a: char, b: char) -> bool {
        let is_alone = |character: char| {
            let page = u32::from(character) as usize >> 8;
            self.alone[page / 64] >> (page % 64) & 1 == 1
        };
        if is_alone(a) || is_alone(b) {
            return false;
        }
        let (left, right) = (self.leaf(a), self.leaf(b));
        if left < POOLED && right < POOLED {
            return left == right;
        }
        let (mut first, mut second) = ([0; 4], [0; 4]);
        Units::new(self, a.encode_utf8(&mut first)).eq(Units::new(self, b.encode_utf8(&mut second)))
    }

    fn find_alone(&mut self, file: File, level: usize) {
        let by_rule = |value: u16| match (file, level) {
            (File::Uca0900, 0) => value >= KHITAN || value == HANGUL,
            (File::Uca0400 | File::Uca0520 | File::Uca1400, 0) => value >= KHITAN,
            // What most characters have on the second and third level.
            (File::Uca1400, 1) => value == 0x20,
            (File::Uca1400, _) => value == 0x02,
            _ => false,
        };
        let leaves: Vec<bool> = (0..self.leaves.len() / 64)
            .map(|leaf| (64 * leaf..64 * (leaf + 1)).all(|at| by_rule(self.leaves.get(at))))
            .collect();
        for page in 0..self.top.len() * 16 {
            let start = 64 * usize::from(self.top.get(page / 16)) + page % 16 * 4;
            // To `unicode_ci`, what is newer than its weights is equal, but not to LIKE.
            let is_newer = file == File::Uca0400 && page >= 0x100;
            if is_newer || (start..start + 4).all(|at| leaves[usize::from(self.middles.get(at))]) {
                self.alone[page / 64] |= 1 << (page % 64);
            }
        }
    }

    pub(crate) fn compare(&self, a: &str, b: &str, pad: bool) -> Ordering {
        // As long as both have one weight per byte, the weights compare byte by byte; and equal bytes need none.
        let (bytes_a, bytes_b) = (a.as_bytes(), b.as_bytes());
        let mut at = ascii::common_start(bytes_a, bytes_b);
        while let (Some(&x), Some(&y)) = (bytes_a.get(at), bytes_b.get(at)) {
            if x | y >= 0x80 {
                break;
            }
            let (left, right) = (self.ascii(x), self.ascii(y));
            if left == Weights::OTHER || right == Weights::OTHER {
                break;
            }
            if left != right {
                return left.cmp(&right);
            }
            at += 1;
        }
        if at == bytes_a.len() && at == bytes_b.len() {
            return Ordering::Equal;
        }
        self.compare_units(Units::new(self, &a[at..]), Units::new(self, &b[at..]), pad)
    }

    fn compare_units(&self, mut a: Units<'_>, mut b: Units<'_>, pad: bool) -> Ordering {
        let space = self.ascii(b' ');
        loop {
            let (left, right) = match (a.next(), b.next()) {
                (None, None) => return Ordering::Equal,
                (Some(left), Some(right)) => (left, right),
                (Some(left), None) if pad => (left, space),
                (None, Some(right)) if pad => (space, right),
                (left, right) => return left.is_some().cmp(&right.is_some()),
            };
            if left != right {
                return left.cmp(&right);
            }
        }
    }

    /// Takes the weights of the text one after the other, without those of spaces at its end if they do not count, and a 0 behind them.
    pub(crate) fn each(&self, text: &str, pad: bool, mut take: impl FnMut(u16)) {
        let space = self.ascii(b' ');
        let mut spaces = 0;
        for weight in Units::new(self, text) {
            if pad && weight == space {
                spaces += 1;
                continue;
            }
            (0..std::mem::take(&mut spaces)).for_each(|_| take(space));
            take(weight);
        }
        // No weight is 0 where there is more than one level.
        take(0);
    }
}

/// The weights of a text, one after the other.
struct Units<'a> {
    weights: &'a Weights,
    characters: Chars<'a>,
    /// What is left of the last character's weights: in the pool,
    pooled: Numbers,
    /// or made by a rule: these, from the index on.
    made: [u16; 3],
    made_at: usize,
}

impl<'a> Units<'a> {
    fn new(weights: &'a Weights, text: &'a str) -> Units<'a> {
        Units { weights, characters: text.chars(), pooled: Numbers(&[]), made: [0; 3], made_at: 3 }
    }

    fn make<const N: usize>(&mut self, made: [u16; N]) {
        self.made_at = 3 - N;
        self.made[self.made_at..].copy_from_slice(&made);
    }

    /// Two weights of a character that has none of its own.
    fn implicit(&mut self, base: u16, code_point: u32) {
        self.make([base + (code_point >> 15) as u16, (code_point & 0x7fff) as u16 | 0x8000]);
    }

    fn follow(&mut self, rule: u16, code_point: u32) {
        match rule {
            UNASSIGNED => self.implicit(0xfbc0, code_point),
            HAN_EXTENSIONS => self.implicit(0xfb80, code_point),
            HAN => self.implicit(0xfb40, code_point),
            TANGUT => self.implicit(0xfb00, code_point - 0x17000),
            NUSHU => self.implicit(0xfb01, code_point - 0x1b170),
            KHITAN => self.implicit(0xfb02, code_point - 0x18b00),
            HANGUL => {
                let syllable = code_point - 0xac00;
                let letter = |code_point| char::from_u32(code_point).map_or(0, |letter| self.weights.leaf(letter));
                let (first, second) = (letter(0x1100 + syllable / 588), letter(0x1161 + syllable % 588 / 28));
                match syllable % 28 {
                    0 => self.make([first, second]),
                    third => self.make([first, second, letter(0x11a7 + third)]),
                }
            }
            ITSELF => self.make([code_point as u16]),
            // Text of a column has none of these, and of literals it is asked before.
            _ => self.make([0]),
        }
    }
}

impl Iterator for Units<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        loop {
            if self.pooled.len() > 0 {
                let (first, rest) = self.pooled.split(1);
                self.pooled = rest;
                return Some(first.get(0));
            }
            if let Some(&weight) = self.made.get(self.made_at) {
                self.made_at += 1;
                return Some(weight);
            }
            let character = self.characters.next()?;
            let mut leaf = None;
            if self.weights.pairs.may_begin_with(character)
                && let Some(second) = self.characters.clone().next()
                && let Some(of_pair) = self.weights.pairs.find(character, second)
            {
                self.characters.next();
                leaf = Some(of_pair);
            }
            match leaf.unwrap_or_else(|| self.weights.leaf(character)) {
                weight @ ..POOLED => return Some(weight),
                rule @ NONE.. => self.follow(rule, u32::from(character)),
                pooled => {
                    let (length, rest) = self.weights.pool.split(usize::from(pooled - POOLED)).1.split(1);
                    self.pooled = rest.split(usize::from(length.get(0))).0;
                }
            }
        }
    }
}
