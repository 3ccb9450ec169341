//! UTF-8 back to the bytes of a character set: the tables of reading, turned round when they are first asked.
//!
//! Text that was read need not have one form only. What a set has twice, and the `?` that stands for characters without a place in
//! Unicode, is not written: which bytes are stored, only the server knows.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::{Charset, NAMES};

/// The bytes of a character, as many as say so; none if several forms are read as it.
type Form = Option<([u8; 3], u8)>;

static TABLES: [OnceLock<HashMap<char, Form>>; NAMES.len()] = [const { OnceLock::new() }; NAMES.len()];

impl Charset {
    /// Whether [`Charset::encode`] writes ordinary text: `?` is no other character in this set.
    pub fn encodes(self) -> bool {
        self.encode("?", &mut Vec::new()).is_some()
    }

    /// Whether each character is one byte.
    pub fn is_single_byte(self) -> bool {
        self.has_table()
            && !matches!(self, Charset::Gb18030)
            && (0..=u8::MAX).all(|byte| decoded(self, &[byte]).is_some())
    }

    fn has_table(self) -> bool {
        use Charset as C;
        !matches!(self, C::Ascii | C::Binary | C::Ucs2 | C::Utf16 | C::Utf16le | C::Utf32 | C::Utf8mb3 | C::Utf8mb4)
    }

    /// Appends the bytes that are stored of a text; `None` if a character of it has none, or more than one form.
    pub fn encode(self, text: &str, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Charset::Utf8mb4 | Charset::Binary => out.extend_from_slice(text.as_bytes()),
            Charset::Utf8mb3 if text.bytes().all(|byte| byte < 0xf0) => out.extend_from_slice(text.as_bytes()),
            Charset::Ascii if text.is_ascii() => out.extend_from_slice(text.as_bytes()),
            Charset::Ascii | Charset::Utf8mb3 => return None,
            Charset::Ucs2 => {
                for character in text.chars() {
                    out.extend(u16::try_from(u32::from(character)).ok()?.to_be_bytes());
                }
            }
            Charset::Utf16 => out.extend(text.encode_utf16().flat_map(u16::to_be_bytes)),
            Charset::Utf16le => out.extend(text.encode_utf16().flat_map(u16::to_le_bytes)),
            Charset::Utf32 => out.extend(text.chars().flat_map(|character| u32::from(character).to_be_bytes())),
            Charset::Gb18030 => return None,
            _ => {
                let table = TABLES[self as usize].get_or_init(|| turned_round(self));
                for character in text.chars() {
                    let (bytes, length) = (*table.get(&character)?)?;
                    out.extend_from_slice(&bytes[..usize::from(length)]);
                }
            }
        }
        Some(())
    }
}

/// Every form of the set is read.
fn turned_round(charset: Charset) -> HashMap<char, Form> {
    let mut table = HashMap::new();
    let mut add = |bytes: &[u8]| {
        let Some(text) = decoded(charset, bytes) else { return };
        let mut form = [0; 3];
        form[..bytes.len()].copy_from_slice(bytes);
        let single = text.chars().count() == 1;
        for character in text.chars() {
            let form = single.then_some((form, bytes.len() as u8));
            table.entry(character).and_modify(|known| *known = None).or_insert(form);
        }
    };
    let is_lead = |bytes: &[u8]| decoded(charset, bytes).is_none();
    for first in 0..=u8::MAX {
        if !is_lead(&[first]) {
            add(&[first]);
            continue;
        }
        for second in 0..=u8::MAX {
            if !is_lead(&[first, second]) {
                add(&[first, second]);
            } else if first == 0x8f {
                (0..=u8::MAX).for_each(|third| add(&[first, second, third]));
            }
        }
    }
    table
}

fn decoded(charset: Charset, bytes: &[u8]) -> Option<String> {
    let mut out = Vec::new();
    charset.decode(bytes, &mut out).ok()?;
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_back_to_its_bytes_or_nowhere() {
        let (mut there, mut all) = (0, 0);
        for line in include_str!("tables/golden.txt").lines() {
            let parts: Vec<&str> = line.split('\t').collect();
            let unhex = |digits: &str| -> Vec<u8> {
                (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
            };
            let (charset, stored) = (Charset::from_name(parts[0]).unwrap(), unhex(parts[1]));
            let Some(text) = decoded(charset, &stored).filter(|_| charset != Charset::Ascii) else { continue };
            let mut out = Vec::new();
            if charset.encode(&text, &mut out).is_some() {
                assert_eq!(out, stored, "{line}");
                there += 1;
            }
            all += 1;
        }
        assert!(there > all / 2, "{there} of {all} texts");
    }

    #[test]
    fn sets_without_holes_are_written() {
        for charset in [Charset::Latin1, Charset::Koi8r, Charset::Cp850, Charset::Utf16, Charset::Ucs2, Charset::Utf32]
        {
            assert!(charset.encodes(), "{}", charset.name());
        }
        assert!(Charset::Latin1.is_single_byte() && !Charset::Gbk.is_single_byte() && !Charset::Utf16.is_single_byte());
        for charset in [Charset::Gbk, Charset::Sjis, Charset::Big5, Charset::Cp1250, Charset::Gb18030] {
            assert!(!charset.encodes(), "{}", charset.name());
        }
        let mut out = Vec::new();
        assert_eq!(Charset::Latin1.encode("Straße €", &mut out), Some(()));
        assert_eq!(out, b"Stra\xdfe \x80");
        assert_eq!(Charset::Latin1.encode("日", &mut out), None);
        assert_eq!(Charset::Ucs2.encode("😀", &mut out), None);
    }
}
