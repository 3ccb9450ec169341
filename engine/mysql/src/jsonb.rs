//! MySQL's binary JSON, as row images hold it, to the text that the server itself prints.
//!
//! A snapshot gets JSON as the server's text, the binlog brings the stored bytes; both must end as the same text, so this
//! file follows the server's printer to the byte: `{"a": 1, "b": [1, 2.0]}`, keys in stored order, no other white space.
//!
//! ```text
//! 00 0100 0c00 0b00 0100 05 0100 61       {"a": 1}
//! │  │    │    │    │    │  │    └ key 0
//! │  │    │    │    │    │  └ value 0, held in its entry because it fits (otherwise the offset of the value)
//! │  │    │    │    │    └ type of value 0: 05 is int16
//! │  │    │    │    └ length of key 0
//! │  │    │    └ offset of key 0, counted from the element count
//! │  │    └ bytes of this object from the element count on
//! │  └ element count
//! └ type of the document: 00 is a small object
//! ```
//!
//! Large objects and arrays are the same with four bytes for counts, sizes and offsets, and they also hold 32-bit integers
//! in the entry. Arrays have no key entries. Values out of SQL types that JSON does not have are *opaque*: the column type,
//! a length, and the bytes of a decimal, a packed date and time, or anything else, which the server prints as base64.
//!
//! An empty value is JSON `null`: that is what the server stores when a statement that ignores errors puts NULL into a
//! `NOT NULL` column, and what it prints for it.
//!
//! A partial update ([`apply_diffs`]) brings the document before and a list of changes:
//!
//! ```text
//! 00 03 242e61 03 050700                  replace $.a by 7
//! │  │  │      │  └ value, as a document of its own
//! │  │  │      └ length of the value; value and length are absent when removing
//! │  │  └ path, in MySQL's syntax
//! │  └ length of the path
//! └ 00 replace, 01 insert, 02 remove
//! ```
//!
//! Verified on MySQL 9.7.4; `scripts/jsonb_golden.py` captures what the tests compare with.

mod diff;
mod print;
#[cfg(test)]
mod tests;

use diff::{Diff, Node};
use print::Printer;

/// Depth of the deepest document that the server accepts; the outermost value is at depth 1.
const DEPTH_MAX: usize = 100;

/// Appends the server's text of a stored JSON value. On error `out` is as it was.
///
/// The text is at most a small multiple of the input, also for damaged input: a value whose parts overlap is refused.
pub fn write_text(binary: &[u8], out: &mut Vec<u8>) -> Result<(), JsonError> {
    let start = out.len();
    let written = Value::document(Span { bytes: binary, at: 0 })
        .and_then(|value| Printer { out, allowance: binary.len() }.value(value, 1));
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Appends the server's text of the value `before` with the `diffs` of a partial update applied. On error `out` is as it was.
///
/// `diffs` is the column's content in the after image of a PARTIAL_UPDATE_ROWS_EVENT, without its four bytes of length.
/// Offsets in an error count through `before`, then through `diffs`.
pub fn apply_diffs(before: &[u8], diffs: &[u8], out: &mut Vec<u8>) -> Result<(), JsonError> {
    let start = out.len();
    let written = Node::document(Span { bytes: before, at: 0 }).and_then(|mut document| {
        let mut rest = Span { bytes: diffs, at: before.len() };
        while !rest.bytes.is_empty() {
            document.apply(Diff::take(&mut rest)?)?;
        }
        Printer { out, allowance: before.len() + diffs.len() }.node(&document, 1)
    });
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Binary JSON that is not what a server writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("binary JSON is damaged at byte {offset}: {fault}")]
pub struct JsonError {
    pub offset: usize,
    pub fault: JsonFault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    #[error("the value ends before its content")]
    Truncated,
    #[error("{0:#04x} is no value type")]
    Type(u8),
    #[error("{0:#04x} is no literal")]
    Literal(u8),
    #[error("the number is infinite or not a number")]
    NotFinite,
    #[error("the decimal, date or time has no valid form")]
    Opaque,
    #[error("the string is not UTF-8")]
    NotUtf8,
    #[error("values share bytes")]
    Overlap,
    #[error("values are nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    #[error("{0:#04x} is no operation of a partial update")]
    Operation(u8),
    #[error("the path of a partial update is not valid")]
    Path,
    #[error("a partial update changes what the value before does not have")]
    PathNotFound,
}

/// Bytes that know where in the input they begin, for errors.
#[derive(Clone, Copy)]
struct Span<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Span<'a> {
    fn fault(self, fault: JsonFault) -> JsonError {
        JsonError { offset: self.at, fault }
    }

    fn from(self, from: usize) -> Result<Span<'a>, JsonError> {
        match self.bytes.get(from..) {
            Some(bytes) => Ok(Span { bytes, at: self.at + from }),
            None => Err(self.fault(JsonFault::Truncated)),
        }
    }

    fn part(self, from: usize, length: usize) -> Result<Span<'a>, JsonError> {
        let tail = self.from(from)?;
        match tail.bytes.get(..length) {
            Some(bytes) => Ok(Span { bytes, at: tail.at }),
            None => Err(tail.fault(JsonFault::Truncated)),
        }
    }

    fn array<const N: usize>(self, from: usize) -> Result<[u8; N], JsonError> {
        let tail = self.from(from)?;
        tail.bytes.first_chunk().copied().ok_or(tail.fault(JsonFault::Truncated))
    }

    fn u8(self, from: usize) -> Result<u8, JsonError> {
        Ok(self.array::<1>(from)?[0])
    }

    fn u16(self, from: usize) -> Result<u16, JsonError> {
        self.array(from).map(u16::from_le_bytes)
    }

    fn u32(self, from: usize) -> Result<u32, JsonError> {
        self.array(from).map(u32::from_le_bytes)
    }

    /// A count or an offset: four bytes in large values, two in small ones.
    fn size(self, from: usize, is_large: bool) -> Result<usize, JsonError> {
        if is_large { self.u32(from).map(|size| size as usize) } else { self.u16(from).map(usize::from) }
    }

    /// The bytes behind a length of one to five bytes, seven bits in each, lowest first.
    fn prefixed(self, from: usize) -> Result<Span<'a>, JsonError> {
        let mut length = 0u64;
        for index in 0..5 {
            let byte = self.u8(from + index)?;
            length |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return self.part(from + index + 1, usize::try_from(length).unwrap_or(usize::MAX));
            }
        }
        Err(self.from(from)?.fault(JsonFault::Truncated))
    }

    fn text(self) -> Result<&'a str, JsonError> {
        std::str::from_utf8(self.bytes).map_err(|_| self.fault(JsonFault::NotUtf8))
    }
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Span<'a>),
    Opaque { column_type: u8, data: Span<'a> },
    Array(Container<'a>),
    Object(Container<'a>),
}

impl<'a> Value<'a> {
    fn document(document: Span<'a>) -> Result<Value<'a>, JsonError> {
        match document.bytes.first() {
            Some(&value_type) => Value::new(value_type, document.from(1)?),
            None => Ok(Value::Null),
        }
    }

    /// The value of this type that begins where `data` begins.
    fn new(value_type: u8, data: Span<'a>) -> Result<Value<'a>, JsonError> {
        Ok(match value_type {
            0x00 => Value::Object(Container::new(data, false, true)?),
            0x01 => Value::Object(Container::new(data, true, true)?),
            0x02 => Value::Array(Container::new(data, false, false)?),
            0x03 => Value::Array(Container::new(data, true, false)?),
            0x04 => match data.u8(0)? {
                0 => Value::Null,
                1 => Value::Bool(true),
                2 => Value::Bool(false),
                other => return Err(data.fault(JsonFault::Literal(other))),
            },
            0x05 => Value::Int(data.u16(0)? as i16 as i64),
            0x06 => Value::Uint(data.u16(0)?.into()),
            0x07 => Value::Int(data.u32(0)? as i32 as i64),
            0x08 => Value::Uint(data.u32(0)?.into()),
            0x09 => Value::Int(i64::from_le_bytes(data.array(0)?)),
            0x0a => Value::Uint(u64::from_le_bytes(data.array(0)?)),
            0x0b => match f64::from_le_bytes(data.array(0)?) {
                double if double.is_finite() => Value::Double(double),
                _ => return Err(data.fault(JsonFault::NotFinite)),
            },
            0x0c => Value::String(data.prefixed(0)?),
            0x0f => Value::Opaque { column_type: data.u8(0)?, data: data.prefixed(1)? },
            other => return Err(data.fault(JsonFault::Type(other))),
        })
    }

    /// Bytes that belong to this value alone, besides its entry in the container.
    fn own_size(self) -> usize {
        match self {
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Uint(_) => 0,
            Value::Double(_) => 8,
            Value::String(span) | Value::Opaque { data: span, .. } => 1 + span.bytes.len(),
            Value::Array(container) | Value::Object(container) => container.header_size(),
        }
    }
}

/// An object or an array; its constructor has checked that all entries are inside.
#[derive(Clone, Copy)]
struct Container<'a> {
    body: Span<'a>,
    count: usize,
    is_large: bool,
    is_object: bool,
}

impl<'a> Container<'a> {
    fn new(data: Span<'a>, is_large: bool, is_object: bool) -> Result<Container<'a>, JsonError> {
        let number_size = if is_large { 4 } else { 2 };
        let count = data.size(0, is_large)?;
        let body = data.part(0, data.size(number_size, is_large)?)?;
        let container = Container { body, count, is_large, is_object };
        match count.checked_mul(container.entry_size()) {
            Some(entries) if entries <= body.bytes.len().saturating_sub(2 * number_size) => Ok(container),
            _ => Err(data.fault(JsonFault::Truncated)),
        }
    }

    fn number_size(self) -> usize {
        if self.is_large { 4 } else { 2 }
    }

    fn key_entry_size(self) -> usize {
        if self.is_object { self.number_size() + 2 } else { 0 }
    }

    fn entry_size(self) -> usize {
        self.key_entry_size() + 1 + self.number_size()
    }

    fn header_size(self) -> usize {
        2 * self.number_size() + self.count * self.entry_size()
    }

    fn key(self, index: usize) -> Result<Span<'a>, JsonError> {
        let entry = 2 * self.number_size() + index * self.key_entry_size();
        let length = self.body.u16(entry + self.number_size())?;
        self.body.part(self.body.size(entry, self.is_large)?, length.into())
    }

    fn value(self, index: usize) -> Result<Value<'a>, JsonError> {
        let entry = 2 * self.number_size() + self.count * self.key_entry_size() + index * (1 + self.number_size());
        let value_type = self.body.u8(entry)?;
        let is_in_entry = match value_type {
            0x04..=0x06 => true,
            0x07 | 0x08 => self.is_large,
            _ => false,
        };
        let offset = if is_in_entry { entry + 1 } else { self.body.size(entry + 1, self.is_large)? };
        Value::new(value_type, self.body.from(offset)?)
    }
}
