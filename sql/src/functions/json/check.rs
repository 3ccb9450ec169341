//! Whether text is JSON.

use arrow::array::ArrayRef;
use datafusion_common::Result;

use super::super::kernel::{Call, Cell, Miss};
use super::DEPTH_MAX;

pub(in crate::functions) fn valid(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.texts(0);
    call.make_conditions(|row| match check(texts.get(row)?) {
        Ok(()) => Ok(true),
        Err(Miss::Null) => Ok(false),
        Err(miss) => Err(miss),
    })
}

/// `Miss::Null` if the text is not JSON, `Miss::Refused` if it nests too deep for MySQL.
pub(super) fn check(text: &str) -> Cell<()> {
    let mut checker = Checker { bytes: text.as_bytes(), at: 0, depth: 0 };
    checker.value()?;
    checker.space();
    if checker.at == text.len() { Ok(()) } else { Err(Miss::Null) }
}

struct Checker<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl Checker<'_> {
    fn space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let is = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(is);
        is
    }

    fn need(&mut self, byte: u8) -> Cell<()> {
        if self.take(byte) { Ok(()) } else { Err(Miss::Null) }
    }

    fn value(&mut self) -> Cell<()> {
        self.space();
        match self.bytes.get(self.at).ok_or(Miss::Null)? {
            b'{' => self.nested(b'}', |checker| {
                checker.space();
                checker.string()?;
                checker.space();
                checker.need(b':')?;
                checker.value()
            }),
            b'[' => self.nested(b']', Checker::value),
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            _ => {
                let word = ["true", "false", "null"]
                    .into_iter()
                    .find(|word| self.bytes[self.at..].starts_with(word.as_bytes()));
                self.at += word.ok_or(Miss::Null)?.len();
                Ok(())
            }
        }
    }

    fn nested(&mut self, close: u8, part: fn(&mut Self) -> Cell<()>) -> Cell<()> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Miss::Refused);
        }
        self.space();
        if !self.take(close) {
            loop {
                part(self)?;
                self.space();
                if self.take(close) {
                    break;
                }
                self.need(b',')?;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn string(&mut self) -> Cell<()> {
        self.need(b'"')?;
        loop {
            let byte = *self.bytes.get(self.at).ok_or(Miss::Null)?;
            self.at += 1;
            match byte {
                b'"' => return Ok(()),
                b'\\' => self.escape()?,
                0..=0x1f => return Err(Miss::Null),
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Cell<()> {
        let byte = *self.bytes.get(self.at).ok_or(Miss::Null)?;
        self.at += 1;
        match byte {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => match self.unit()? {
                0xd800..0xdc00 => {
                    self.need(b'\\')?;
                    self.need(b'u')?;
                    if (0xdc00..0xe000).contains(&self.unit()?) { Ok(()) } else { Err(Miss::Null) }
                }
                0xdc00..0xe000 => Err(Miss::Null),
                _ => Ok(()),
            },
            _ => Err(Miss::Null),
        }
    }

    fn unit(&mut self) -> Cell<u32> {
        let digits = self.bytes.get(self.at..self.at + 4).ok_or(Miss::Null)?;
        self.at += 4;
        digits.iter().try_fold(0, |unit, digit| Ok(unit << 4 | char::from(*digit).to_digit(16).ok_or(Miss::Null)?))
    }

    fn digits(&mut self) -> Cell<()> {
        let count = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count > 0 { Ok(()) } else { Err(Miss::Null) }
    }

    fn number(&mut self) -> Cell<()> {
        let from = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        // A number that no double holds is not JSON for MySQL.
        let text = std::str::from_utf8(&self.bytes[from..self.at]).map_err(|_| Miss::Null)?;
        if text.parse::<f64>().is_ok_and(f64::is_finite) { Ok(()) } else { Err(Miss::Null) }
    }
}
