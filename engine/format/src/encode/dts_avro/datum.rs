//! A datum in place, for whoever compares many of them.
//!
//! ```text
//! bytes   … 02 │ 02 "shop.orders" │ … tags │ 04 2 "id" 3 "amount" 246 0 │ 00 │ 04 2 ▓▓▓▓▓ ▓▓▓▓▓▓▓ 0 │ bornTimestamp
//!         UPDATE                            fields                        before   after: a slice for each value
//! ```
//!
//! A value stays the bytes that it has, branch of the union included, which are the same for the same value: no tree of values is made.
//! [`readable`](super::readable) is for people.

use std::fmt::Write;

/// What a datum is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Insert,
    Update,
    Delete,
    /// Of a full load.
    Init,
    /// A statement.
    Ddl,
    /// What is about no row.
    Other,
}

/// The parts of a datum by which rows are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datum<'a> {
    pub operation: Operation,
    /// Database and table, with a dot between them; dots within a name are an escape (see [`object_name`](super::object_name)).
    pub object: &'a str,
    /// Names of columns.
    pub columns: Vec<&'a str>,
    /// Of each column the bytes of its image.
    pub before: Option<Vec<&'a [u8]>>,
    pub after: Option<Vec<&'a [u8]>>,
    /// Of a DDL.
    pub statement: Option<&'a str>,
}

impl<'a> Datum<'a> {
    /// `None` if it is none of the schema.
    pub fn read(bytes: &'a [u8]) -> Option<Datum<'a>> {
        let mut rest = Cursor(bytes);
        rest.longs(3)?; // version, id, sourceTimestamp
        rest.strings(3)?; // sourcePosition, safeSourcePosition, sourceTxid
        rest.long()?;
        rest.bytes()?; // source
        let operation = match rest.long()? {
            0 => Operation::Insert,
            1 => Operation::Update,
            2 => Operation::Delete,
            3 => Operation::Ddl,
            16 => Operation::Init,
            _ => Operation::Other,
        };
        let object = match rest.long()? {
            0 => "",
            1 => rest.text()?,
            _ => return None,
        };
        match rest.long()? {
            0 => {}
            1 => _ = rest.list(Cursor::long)?,
            _ => return None,
        }
        rest.list(|tag| tag.strings(2))?;
        let columns = match rest.long()? {
            0 => Vec::new(),
            1 => {
                rest.bytes()?;
                Vec::new()
            }
            2 => rest.list(|field| {
                let name = field.text()?;
                field.long()?;
                Some(name)
            })?,
            _ => return None,
        };
        let (before, _) = rest.images()?;
        let (after, statement) = rest.images()?;
        rest.long()?; // bornTimestamp
        let is_whole = |images: &Option<Vec<_>>| images.as_ref().is_none_or(|images| images.len() == columns.len());
        let is_datum = rest.0.is_empty() && is_whole(&before) && is_whole(&after);
        is_datum.then_some(Datum { operation, object, columns, before, after, statement })
    }
}

/// The value of an image without what its type says beside it: a number that has become wider, or a VARBINARY that is a BLOB now, is the
/// same value. Where nothing stands beside it, the image.
pub fn image_value(image: &[u8]) -> &[u8] {
    let mut rest = Cursor(image);
    let is_value_left = match rest.long() {
        Some(1) => rest.long().is_some(),
        Some(2 | 10 | 11) => rest.bytes().is_some(),
        _ => false,
    };
    if is_value_left { rest.0 } else { image }
}

/// The value of an image as text, the same only for what is the same: digits, text as it is, bytes as hexadecimal, the parts of a time with
/// `-`, blanks and colons between them. `None` of NULL.
pub fn image_text(image: &[u8]) -> Option<String> {
    let mut rest = Cursor(image);
    let branch = rest.long()?;
    Some(match branch {
        1 => {
            rest.long()?;
            rest.text()?.to_owned()
        }
        2 => {
            rest.bytes()?;
            rest.text()?.to_owned()
        }
        3 => rest.text()?.to_owned(),
        4 => f64::from_le_bytes(rest.take(8)?.try_into().ok()?).to_string(),
        5 => format!("{}.{:06}", rest.long()?, rest.long()?),
        6 => {
            let mut parts = Vec::with_capacity(7);
            for _ in 0..7 {
                parts.push(if rest.long()? == 0 { None } else { Some(rest.long()?) });
            }
            let date = parts[..3].iter().flatten().map(|part| format!("{part:02}")).collect::<Vec<_>>().join("-");
            let time = parts[3..6].iter().flatten().map(|part| format!("{part:02}")).collect::<Vec<_>>().join(":");
            let rest = parts[6].filter(|rest| *rest != 0).map(|rest| format!(".{rest:06}")).unwrap_or_default();
            [date, time + &rest].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
        }
        8 | 10 => {
            rest.bytes()?;
            hex(rest.bytes()?)
        }
        9 | 11 => {
            rest.bytes()?;
            rest.text()?.to_owned()
        }
        _ => return None,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |mut text, byte| {
        // Into a string, nothing fails.
        _ = write!(text, "{byte:02x}");
        text
    })
}

/// What is left to be read.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn long(&mut self) -> Option<i64> {
        let mut value = 0u64;
        for (index, &byte) in self.0.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.0 = &self.0[index + 1..];
                return Some((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        None
    }

    fn longs(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.long().map(|_| ()))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.long()?;
        self.take(usize::try_from(count).ok()?)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn strings(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.bytes().map(|_| ()))
    }

    /// An array or a map, in as many blocks as it comes in.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        loop {
            let mut count = self.long()?;
            if count == 0 {
                return Some(items);
            }
            if count < 0 {
                // Its length in bytes stands before it.
                count = count.checked_neg()?;
                self.long()?;
            }
            // Each item has a byte at least.
            items.reserve(usize::try_from(count).ok()?.min(self.0.len()));
            for _ in 0..count {
                items.push(item(self)?);
            }
        }
    }

    /// Images, or the text that stands in their place.
    #[allow(clippy::type_complexity, reason = "two results of one field")]
    fn images(&mut self) -> Option<(Option<Vec<&'a [u8]>>, Option<&'a str>)> {
        match self.long()? {
            0 => Some((None, None)),
            1 => Some((None, Some(self.text()?))),
            2 => Some((Some(self.list(Cursor::image)?), None)),
            _ => None,
        }
    }

    fn image(&mut self) -> Option<&'a [u8]> {
        let begin = self.0;
        match self.long()? {
            0 => {}
            1 => {
                self.long()?;
                self.bytes()?;
            }
            2 | 8..=11 => self.strings(2)?,
            3 => {
                self.bytes()?;
                self.longs(2)?;
            }
            4 => {
                self.take(8)?;
                self.longs(2)?;
            }
            5 => self.longs(2)?,
            6 => self.parts()?,
            7 => {
                self.parts()?;
                self.bytes()?;
            }
            12 => self.longs(1)?,
            _ => return None,
        }
        Some(&begin[..begin.len() - self.0.len()])
    }

    /// The seven parts of a DateTime.
    fn parts(&mut self) -> Option<()> {
        (0..7).try_for_each(|_| match self.long()? {
            0 => Some(()),
            1 => self.longs(1),
            _ => None,
        })
    }
}
