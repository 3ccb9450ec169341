//! Random text in every character set that the server has.
//!
//! Which characters a set holds, nobody here needs to know: the server converts all of Unicode's first plane and a part of
//! the others into the set and back, and what comes back as it was belongs to it.

use std::rc::Rc;

use fastrand::Rng;

use super::hex;
use crate::harness::Mysql;

pub(crate) struct Charset {
    pub(crate) name: String,
    collations: Vec<String>,
    /// Of one character.
    pub(crate) bytes_max: usize,
    /// In the order of Unicode, so that neighbours belong to one script.
    characters: Vec<char>,
}

/// All but `binary`, whose columns are no text.
pub(crate) fn charsets(mysql: &mut Mysql) -> Vec<Rc<Charset>> {
    let names: Vec<(String, usize)> = mysql.query(
        "SELECT CHARACTER_SET_NAME, MAXLEN FROM information_schema.CHARACTER_SETS
         WHERE CHARACTER_SET_NAME <> 'binary' ORDER BY CHARACTER_SET_NAME",
    );
    let offered: String = ('\0'..='\u{ffff}')
        .chain('\u{10000}'..='\u{10100}')
        .chain('\u{1f300}'..='\u{1f6ff}')
        .chain('\u{20000}'..='\u{20100}')
        .chain(['\u{10ffff}'])
        .collect();
    let literal = hex(offered.bytes());
    let read = |(name, bytes_max): (String, usize)| {
        let returned: Vec<u8> = mysql.query_one(&format!(
            "SELECT CONVERT(CONVERT(CONVERT({literal} USING utf8mb4) USING {name}) USING utf8mb4)"
        ));
        let returned = String::from_utf8(returned).expect("utf8mb4");
        assert_eq!(returned.chars().count(), offered.chars().count(), "{name}: a character for each");
        let unchanged = offered.chars().zip(returned.chars()).filter(|(offered, returned)| offered == returned);
        let characters = unchanged.map(|(character, _)| character).collect();
        // To this one collation of latin2, the bytes 80 to 9f are nothing, and the server prints `?`. Our messages have the
        // control characters that they are to all others: see the type class of character sets.
        let collations = mysql.query(&format!(
            "SELECT COLLATION_NAME FROM information_schema.COLLATIONS
             WHERE CHARACTER_SET_NAME = '{name}' AND COLLATION_NAME <> 'latin2_czech_cs' ORDER BY COLLATION_NAME"
        ));
        Rc::new(Charset { name, collations, bytes_max, characters })
    };
    names.into_iter().map(read).collect()
}

impl Charset {
    pub(crate) fn collation(&self, rng: &mut Rng) -> &str {
        &self.collations[rng.usize(..self.collations.len())]
    }

    /// A text of so many characters of the set.
    pub(crate) fn text(&self, rng: &mut Rng, length: usize) -> String {
        let mut text = String::new();
        let mut start = 0;
        for index in 0..length {
            if index % 8 == 0 {
                start = rng.usize(..self.characters.len());
            }
            let near = self.characters[(start + rng.usize(..32)) % self.characters.len()];
            text.push(if rng.u8(..4) == 0 { rng.char('!'..='~') } else { near });
        }
        text
    }

    /// An expression that gives text of about `length` characters: of the set, at the edge of what is text, of other
    /// sets, or bytes that no character has.
    pub(super) fn literal(&self, rng: &mut Rng, length: usize) -> String {
        const EDGES: [char; 16] = [
            '\0', '\t', '\n', '\r', '\u{8}', '\u{c}', '\u{1a}', '\u{1f}', '\u{7f}', ' ', '"', '\'', '\\', '/', '<', '?',
        ];
        match rng.u8(..12) {
            0 => quoted(&EDGES.map(|edge| if rng.bool() { edge } else { 'e' }).iter().take(length).collect::<String>()),
            1 => quoted(&format!("{}{}", self.text(rng, length.saturating_sub(3)), "   ")),
            2 => quoted(&(0..length).map(|_| rng.char(..)).collect::<String>()),
            3 if self.bytes_max == 1 && self.name != "ascii" => {
                format!("_{} {}", self.name, hex((0..length).map(|_| rng.u8(..))))
            }
            // Pairs: where they are malformed, the server takes the text as empty.
            3 if self.is_of_pairs() => {
                let mut pairs: Vec<u8> =
                    (0..rng.u8(1..3)).flat_map(|_| [rng.u8(0x81..0xff), rng.u8(0x30..0xff)]).collect();
                // 8ea0 is a character to what stores ujis and eucjpms, and two to what writes a CHAR into the binlog: of a
                // CHAR(1), the server leaves out the second byte there. What is left is no text, and stops a task.
                pairs.iter_mut().filter(|byte| **byte == 0xa0).for_each(|byte| *byte = 0xa1);
                format!("CONVERT({} USING {})", hex(pairs), self.name)
            }
            4 => format!("REPEAT({}, {length})", quoted(&self.text(rng, 1))),
            _ => quoted(&self.text(rng, length)),
        }
    }

    fn is_of_pairs(&self) -> bool {
        self.bytes_max > 1 && !self.name.starts_with("utf") && self.name != "ucs2"
    }
}

/// The text as SQL, readable where it can be.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c == ' ' || c.is_ascii_graphic() && c != '\'' && c != '\\';
    if text.chars().all(is_plain) {
        format!("'{text}'")
    } else {
        format!("CONVERT({} USING utf8mb4)", hex(text.bytes()))
    }
}
