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

use std::borrow::Cow;
use std::io::Write;

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

// ---- printing ------------------------------------------------------------------------------------------------------

struct Printer<'o> {
    out: &'o mut Vec<u8>,
    /// Bytes of input not yet printed. In an intact value every byte belongs to one element at most, so that this never
    /// runs out; a damaged one whose containers point at each other could otherwise print 2^100 elements.
    allowance: usize,
}

impl Printer<'_> {
    fn spend(&mut self, size: usize, at: Span) -> Result<(), JsonError> {
        self.allowance = self.allowance.checked_sub(size).ok_or(at.fault(JsonFault::Overlap))?;
        Ok(())
    }

    fn value(&mut self, value: Value, depth: usize) -> Result<(), JsonError> {
        match value {
            Value::Null => self.out.extend_from_slice(b"null"),
            Value::Bool(true) => self.out.extend_from_slice(b"true"),
            Value::Bool(false) => self.out.extend_from_slice(b"false"),
            Value::Int(number) => self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
            Value::Uint(number) => self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
            Value::Double(number) => write_double(number, self.out),
            Value::String(string) => {
                self.spend(value.own_size(), string)?;
                json_escape_simd::escape_into(string.text()?, self.out);
            }
            Value::Opaque { column_type, data } => {
                self.spend(value.own_size(), data)?;
                write_opaque(column_type, data, self.out)?;
            }
            Value::Array(container) => {
                self.open(b'[', value.own_size(), container.body, depth)?;
                for index in 0..container.count {
                    self.separate(index);
                    self.value(container.value(index)?, depth + 1)?;
                }
                self.out.push(b']');
            }
            Value::Object(container) => {
                self.open(b'{', value.own_size(), container.body, depth)?;
                for index in 0..container.count {
                    self.separate(index);
                    let key = container.key(index)?;
                    self.spend(key.bytes.len(), key)?;
                    self.key(key.text()?);
                    self.value(container.value(index)?, depth + 1)?;
                }
                self.out.push(b'}');
            }
        }
        Ok(())
    }

    fn node(&mut self, node: &Node, depth: usize) -> Result<(), JsonError> {
        match node {
            Node::Stored(value) => self.value(*value, depth)?,
            Node::Array(elements, body) => {
                self.open(b'[', 0, *body, depth)?;
                for (index, element) in elements.iter().enumerate() {
                    self.separate(index);
                    self.node(element, depth + 1)?;
                }
                self.out.push(b']');
            }
            Node::Object(members, body) => {
                self.open(b'{', 0, *body, depth)?;
                for (index, (key, member)) in members.iter().enumerate() {
                    self.separate(index);
                    self.key(key);
                    self.node(member, depth + 1)?;
                }
                self.out.push(b'}');
            }
        }
        Ok(())
    }

    fn open(&mut self, bracket: u8, size: usize, at: Span, depth: usize) -> Result<(), JsonError> {
        if depth > DEPTH_MAX {
            return Err(at.fault(JsonFault::TooDeep));
        }
        self.spend(size, at)?;
        self.out.push(bracket);
        Ok(())
    }

    fn separate(&mut self, index: usize) {
        if index > 0 {
            self.out.extend_from_slice(b", ");
        }
    }

    fn key(&mut self, key: &str) {
        json_escape_simd::escape_into(key, self.out);
        self.out.extend_from_slice(b": ");
    }
}

/// The shortest digits that read back as the same number, laid out as the server does: with an exponent below 1e-15, and
/// from 1e15 on unless there are digits behind the point; always with a point or an exponent, so that it stays a double.
fn write_double(number: f64, out: &mut Vec<u8>) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(number);
    let magnitude = number.abs();
    if (1e-4..1e15).contains(&magnitude) || magnitude == 0.0 {
        debug_assert!(text.contains('.') && !text.contains('e'));
        out.extend_from_slice(text.as_bytes());
        return;
    }

    let (text, sign) = match text.strip_prefix('-') {
        Some(text) => (text, "-"),
        None => (text, ""),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().expect("zmij writes a decimal exponent");
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = [whole, fraction].concat();
    let digits = all_digits.trim_start_matches('0');
    // The number is 0.DIGITS × 10^point.
    let point = whole.len() as i32 - (all_digits.len() - digits.len()) as i32 + exponent;
    let digits = digits.trim_end_matches('0');

    out.extend_from_slice(sign.as_bytes());
    if (-14..=0).contains(&point) {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + point.unsigned_abs() as usize, b'0');
        out.extend_from_slice(digits.as_bytes());
    } else if point > 0 && digits.len() > point as usize {
        let (whole, fraction) = digits.split_at(point as usize);
        out.extend_from_slice(whole.as_bytes());
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    } else {
        let (first, others) = digits.split_at(1);
        out.extend_from_slice(first.as_bytes());
        if !others.is_empty() {
            out.push(b'.');
            out.extend_from_slice(others.as_bytes());
        }
        out.push(b'e');
        out.extend_from_slice(itoa::Buffer::new().format(point - 1).as_bytes());
    }
}

/// Column types whose values have a text of their own inside JSON; all others become base64.
mod column_type {
    pub(super) const TIMESTAMP: u8 = 7;
    pub(super) const DATE: u8 = 10;
    pub(super) const TIME: u8 = 11;
    pub(super) const DATETIME: u8 = 12;
    pub(super) const DECIMAL: u8 = 246;
}

fn write_opaque(column_type: u8, data: Span, out: &mut Vec<u8>) -> Result<(), JsonError> {
    match column_type {
        column_type::DECIMAL => return write_decimal(data, out),
        column_type::DATE | column_type::TIME | column_type::DATETIME | column_type::TIMESTAMP => {
            let packed = data.bytes.try_into().map(i64::from_le_bytes).map_err(|_| data.fault(JsonFault::Opaque))?;
            write_time(column_type, packed, out).ok_or(data.fault(JsonFault::Opaque))?;
        }
        _ => {
            out.extend_from_slice(b"\"base64:type");
            out.extend_from_slice(itoa::Buffer::new().format(column_type).as_bytes());
            out.push(b':');
            write_base64(data.bytes, out);
            out.push(b'"');
        }
    }
    Ok(())
}

/// The server breaks base64 into lines of 76 letters, and its line end is escaped like that of any other JSON string.
fn write_base64(data: &[u8], out: &mut Vec<u8>) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (index, line) in data.chunks(57).enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\\n");
        }
        for group in line.chunks(3) {
            let mut bits = 0u32;
            for index in 0..3 {
                bits = bits << 8 | u32::from(group.get(index).copied().unwrap_or(0));
            }
            for index in 0..4 {
                let letter = LETTERS[(bits >> (18 - 6 * index) & 63) as usize];
                out.push(if index > group.len() { b'=' } else { letter });
            }
        }
    }
}

/// A packed time, lowest bits first: 24 of microseconds, 6 of seconds, 6 of minutes, then for a TIME 10 of hours, otherwise
/// 5 of hours, 5 of the day, and year × 13 + month. Only a TIME may be negative.
fn write_time(column_type: u8, packed: i64, out: &mut Vec<u8>) -> Option<()> {
    let is_time = column_type == column_type::TIME;
    let bits = packed.unsigned_abs();
    let field = |shift: u32, width: u32| bits >> shift & ((1 << width) - 1);
    let (microsecond, second, minute) = (field(0, 24), field(24, 6), field(30, 6));
    if packed < 0 && !is_time || microsecond > 999_999 {
        return None;
    }
    out.push(b'"');
    if is_time {
        let sign = if packed < 0 { "-" } else { "" };
        write!(out, "{sign}{:02}:{minute:02}:{second:02}.{microsecond:06}", field(36, 10)).ok()?;
    } else {
        let (hour, day, months) = (field(36, 5), field(41, 5), bits >> 46);
        write!(out, "{:04}-{:02}-{day:02}", months / 13, months % 13).ok()?;
        if column_type != column_type::DATE {
            write!(out, " {hour:02}:{minute:02}:{second:02}.{microsecond:06}").ok()?;
        }
    }
    out.push(b'"');
    Some(())
}

/// A decimal: precision, scale, then the digits in groups of nine as four big-endian bytes. The groups count from the
/// point outwards, the outermost one may be shorter; the highest bit says *not negative*, and a negative number has all bits
/// turned over.
fn write_decimal(data: Span, out: &mut Vec<u8>) -> Result<(), JsonError> {
    const GROUP_SIZES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
    let fault = data.fault(JsonFault::Opaque);

    let &[precision, scale, ref stored @ ..] = data.bytes else { return Err(fault) };
    let (precision, scale) = (usize::from(precision), usize::from(scale));
    if scale > precision || precision > 81 {
        return Err(fault);
    }
    let whole = precision - scale;
    let size = whole / 9 * 4 + GROUP_SIZES[whole % 9] + scale / 9 * 4 + GROUP_SIZES[scale % 9];
    if stored.len() != size || size == 0 {
        return Err(fault);
    }

    let is_negative = stored[0] & 0x80 == 0;
    let flip = if is_negative { 0xff } else { 0 };
    let mut digits = Vec::with_capacity(precision);
    let mut position = 0;
    let widths = [whole % 9].into_iter().chain([9].repeat(whole / 9 + scale / 9)).chain([scale % 9]);
    for width in widths.filter(|width| *width > 0) {
        let mut group = 0u32;
        for _ in 0..GROUP_SIZES[width] {
            let sign_bit = if position == 0 { 0x80 } else { 0 };
            group = group << 8 | u32::from(stored[position] ^ flip ^ sign_bit);
            position += 1;
        }
        let start = digits.len();
        write!(digits, "{group:0width$}").map_err(|_| fault)?;
        if digits.len() - start != width {
            return Err(fault);
        }
    }

    let (whole, fraction) = digits.split_at(whole);
    if is_negative {
        out.push(b'-');
    }
    match whole.iter().position(|digit| *digit != b'0') {
        Some(first) => out.extend_from_slice(&whole[first..]),
        None => out.push(b'0'),
    }
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
    Ok(())
}

// ---- partial updates -----------------------------------------------------------------------------------------------

/// A document under change: stored values as they are, taken apart only along the paths of the changes.
enum Node<'a> {
    Stored(Value<'a>),
    Array(Vec<Node<'a>>, Span<'a>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>, Span<'a>),
}

struct Diff<'a> {
    change: Change<'a>,
    path: Vec<Leg<'a>>,
    at: Span<'a>,
}

enum Change<'a> {
    Replace(Node<'a>),
    Insert(Node<'a>),
    Remove,
}

enum Leg<'a> {
    Member(Cow<'a, str>),
    Cell(usize),
    /// A cell counted from the end; 0 is the last one.
    CellFromEnd(usize),
}

impl<'a> Node<'a> {
    fn document(document: Span<'a>) -> Result<Node<'a>, JsonError> {
        Value::document(document).map(Node::Stored)
    }

    fn apply(&mut self, diff: Diff<'a>) -> Result<(), JsonError> {
        let not_found = diff.at.fault(JsonFault::PathNotFound);
        let Some((last, parents)) = diff.path.split_last() else {
            let Change::Replace(value) = diff.change else { return Err(not_found) };
            *self = value;
            return Ok(());
        };
        let mut parent = self;
        for leg in parents {
            parent = parent.child(leg)?.ok_or(not_found)?;
        }
        match diff.change {
            Change::Replace(value) => *parent.child(last)?.ok_or(not_found)? = value,
            Change::Insert(value) => parent.insert(last, value)?.ok_or(not_found)?,
            Change::Remove => parent.remove(last)?.ok_or(not_found)?,
        }
        Ok(())
    }

    /// Replaces a stored container by its elements.
    fn take_apart(&mut self) -> Result<(), JsonError> {
        match *self {
            Node::Stored(Value::Array(container)) => {
                let element = |index| container.value(index).map(Node::Stored);
                *self = Node::Array((0..container.count).map(element).collect::<Result<_, _>>()?, container.body);
            }
            Node::Stored(Value::Object(container)) => {
                let member =
                    |index| Ok((Cow::Borrowed(container.key(index)?.text()?), Node::Stored(container.value(index)?)));
                *self = Node::Object((0..container.count).map(member).collect::<Result<_, _>>()?, container.body);
            }
            _ => {}
        }
        Ok(())
    }

    fn child(&mut self, leg: &Leg) -> Result<Option<&mut Node<'a>>, JsonError> {
        self.take_apart()?;
        Ok(match (self, leg) {
            (Node::Object(members, _), Leg::Member(key)) => {
                find_member(members, key).ok().map(|index| &mut members[index].1)
            }
            (Node::Array(elements, _), leg) => leg.cell(elements.len()).and_then(|index| elements.get_mut(index)),
            // A value that is no array is its own first and last cell.
            (node, Leg::Cell(0) | Leg::CellFromEnd(0)) => Some(node),
            _ => None,
        })
    }

    fn insert(&mut self, leg: &Leg<'a>, value: Node<'a>) -> Result<Option<()>, JsonError> {
        self.take_apart()?;
        match (self, leg) {
            (Node::Object(members, _), Leg::Member(key)) => {
                let Err(index) = find_member(members, key) else { return Ok(None) };
                members.insert(index, (key.clone(), value));
            }
            (Node::Array(elements, _), Leg::Cell(index)) => elements.insert((*index).min(elements.len()), value),
            (Node::Array(elements, _), leg) => elements.insert(leg.cell(elements.len()).unwrap_or(0), value),
            _ => return Ok(None),
        }
        Ok(Some(()))
    }

    fn remove(&mut self, leg: &Leg) -> Result<Option<()>, JsonError> {
        self.take_apart()?;
        match self {
            Node::Object(members, _) => {
                let Leg::Member(key) = leg else { return Ok(None) };
                let Ok(index) = find_member(members, key) else { return Ok(None) };
                members.remove(index);
            }
            Node::Array(elements, _) => match leg.cell(elements.len()) {
                Some(index) if index < elements.len() => drop(elements.remove(index)),
                _ => return Ok(None),
            },
            Node::Stored(_) => return Ok(None),
        }
        Ok(Some(()))
    }
}

/// Finds a key, or the place where the server would put it: shorter keys first, then by bytes.
fn find_member(members: &[(Cow<str>, Node)], key: &str) -> Result<usize, usize> {
    members
        .binary_search_by(|(other, _)| other.len().cmp(&key.len()).then_with(|| other.as_bytes().cmp(key.as_bytes())))
}

impl<'a> Diff<'a> {
    fn take(rest: &mut Span<'a>) -> Result<Diff<'a>, JsonError> {
        let at = *rest;
        let operation = at.u8(0)?;
        *rest = rest.from(1)?;
        let path = take_counted(rest)?;
        let change = match operation {
            0 => Change::Replace(Node::document(take_counted(rest)?)?),
            1 => Change::Insert(Node::document(take_counted(rest)?)?),
            2 => Change::Remove,
            other => return Err(at.fault(JsonFault::Operation(other))),
        };
        Ok(Diff { change, path: parse_path(path)?, at })
    }
}

/// Takes the bytes behind a length as the client protocol writes it: one byte, or fc, fd, fe and two, three, eight bytes.
fn take_counted<'a>(rest: &mut Span<'a>) -> Result<Span<'a>, JsonError> {
    let (width, length) = match rest.u8(0)? {
        length @ 0..=250 => (1, u64::from(length)),
        0xfc => (3, u64::from(rest.u16(1)?)),
        0xfd => (4, u64::from(rest.u16(1)?) | u64::from(rest.u8(3)?) << 16),
        0xfe => (9, u64::from_le_bytes(rest.array(1)?)),
        _ => return Err(rest.fault(JsonFault::Truncated)),
    };
    let counted = rest.part(width, usize::try_from(length).unwrap_or(usize::MAX))?;
    *rest = rest.from(width + counted.bytes.len())?;
    Ok(counted)
}

impl Leg<'_> {
    fn cell(&self, length: usize) -> Option<usize> {
        match self {
            Leg::Cell(index) => Some(*index),
            Leg::CellFromEnd(index) => length.checked_sub(index + 1),
            Leg::Member(_) => None,
        }
    }
}

/// Splits `$.name."quoted name"[3][last-1]` into its legs.
fn parse_path(span: Span) -> Result<Vec<Leg>, JsonError> {
    let invalid = span.fault(JsonFault::Path);
    let mut rest = span.text()?.strip_prefix('$').ok_or(invalid)?;
    let mut legs = Vec::new();
    while !rest.is_empty() {
        if legs.len() == DEPTH_MAX {
            return Err(span.fault(JsonFault::TooDeep));
        }
        let leg = if let Some(cell) = rest.strip_prefix('[') {
            let (index, after) = cell.split_once(']').ok_or(invalid)?;
            rest = after;
            parse_cell(index)
        } else if let Some(quoted) = rest.strip_prefix(".\"") {
            let (name, after) = unquote(quoted).ok_or(invalid)?;
            rest = after;
            Some(Leg::Member(name))
        } else {
            let name = rest.strip_prefix('.').ok_or(invalid)?;
            let (name, after) = name.split_at(name.find(['.', '[']).unwrap_or(name.len()));
            rest = after;
            Some(Leg::Member(Cow::Borrowed(name))).filter(|_| !name.is_empty())
        };
        legs.push(leg.ok_or(invalid)?);
    }
    Ok(legs)
}

fn parse_cell<'a>(index: &str) -> Option<Leg<'a>> {
    let Some(from_end) = index.strip_prefix("last") else { return index.parse().ok().map(Leg::Cell) };
    match from_end {
        "" => Some(Leg::CellFromEnd(0)),
        _ => from_end.strip_prefix('-')?.parse::<u32>().ok().map(|index| Leg::CellFromEnd(index as usize)),
    }
}

/// Reads a JSON string whose opening quote is gone; returns it with what follows its closing quote.
fn unquote(quoted: &str) -> Option<(Cow<'_, str>, &str)> {
    let plain = quoted.find(['"', '\\'])?;
    if quoted.as_bytes()[plain] == b'"' {
        return Some((Cow::Borrowed(&quoted[..plain]), &quoted[plain + 1..]));
    }
    let mut name = quoted[..plain].to_owned();
    let mut letters = quoted[plain..].chars();
    loop {
        name.push(match letters.next()? {
            '"' => return Some((Cow::Owned(name), letters.as_str())),
            '\\' => match letters.next()? {
                letter @ ('"' | '\\' | '/') => letter,
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let high = take_hex(&mut letters)?;
                    if (0xd800..0xdc00).contains(&high) {
                        letters = letters.as_str().strip_prefix("\\u")?.chars();
                        let low = take_hex(&mut letters)?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                        char::from_u32(0x10000 + (high - 0xd800) * 0x400 + low)?
                    } else {
                        char::from_u32(high)?
                    }
                }
                _ => return None,
            },
            letter => letter,
        });
    }
}

fn take_hex(letters: &mut std::str::Chars) -> Option<u32> {
    let digits = letters.as_str().get(..4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    *letters = letters.as_str()[4..].chars();
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines captured from a server; see `scripts/jsonb_golden.py` for their form.
    const GOLDEN: &str = include_str!("jsonb/golden.txt");

    #[test]
    fn text_is_the_servers() {
        check_all(GOLDEN);
    }

    /// The same check on a capture of any size, for a run by hand after `scripts/jsonb_golden.py --random`.
    #[test]
    fn text_is_the_servers_on_a_capture_of_your_own() {
        let Ok(path) = std::env::var("TIDEGATE_JSONB_GOLDEN") else { return };
        check_all(&std::fs::read_to_string(path).expect("the file that the variable names is readable"));
    }

    #[test]
    fn an_empty_value_is_null() {
        assert_eq!(text(b"").as_deref(), Ok("null"));
    }

    #[test]
    fn large_containers_hold_32_bit_integers_in_the_entry() {
        // {"k": 100000, "l": [-100000, 4000000000, true]}
        let binary = "01 02000000 37000000 1e000000 0100 1f000000 0100 07 a0860100 03 20000000 6b 6c \
                      03000000 17000000 07 6079feff 08 00286bee 04 01000000 0000";
        assert_eq!(text(&unhex(binary)).as_deref(), Ok(r#"{"k": 100000, "l": [-100000, 4000000000, true]}"#));
    }

    #[test]
    fn depth_is_limited_as_on_the_server() {
        let nested = |depth| {
            let mut document = unhex("02 0000 0400");
            for _ in 1..depth {
                let body = document.len() as u16 - 1;
                let mut outer = vec![2, 1, 0];
                outer.extend((body + 7).to_le_bytes());
                outer.extend([2, 7, 0]);
                outer.extend(&document[1..]);
                document = outer;
            }
            document
        };
        assert_eq!(text(&nested(100)), Ok("[".repeat(100) + &"]".repeat(100)));
        assert_eq!(text(&nested(101)).unwrap_err().fault, JsonFault::TooDeep);
    }

    #[test]
    fn elements_that_share_bytes_are_refused() {
        // Sixty arrays, each with two elements that both are the next array: 2^60 elements if printed.
        let mut document = vec![2];
        for level in 0..60u16 {
            document.extend([2, 0]);
            document.extend(((60 - level) * 10 + 4).to_le_bytes());
            document.extend([2, 10, 0, 2, 10, 0]);
        }
        document.extend([0, 0, 4, 0]);
        assert_eq!(text(&document).unwrap_err().fault, JsonFault::Overlap);
    }

    #[test]
    fn errors_name_the_byte_and_leave_the_output_alone() {
        let mut out = b"kept".to_vec();
        // ["ab", …]: the second element has no type that exists.
        let binary = unhex("02 0200 0d00 0c 0a00 4d 0000 02 6162");
        let error = write_text(&binary, &mut out).unwrap_err();
        assert_eq!(error, JsonError { offset: 1, fault: JsonFault::Type(0x4d) });
        assert_eq!(out, b"kept");
        assert_eq!(error.to_string(), "binary JSON is damaged at byte 1: 0x4d is no value type");
    }

    #[test]
    fn diffs_that_do_not_fit_the_value_before_are_refused() {
        let before = unhex("00 0100 0c00 0b00 0100 05 0100 61"); // {"a": 1}
        for (diffs, fault) in [
            ("00 03 242e62 02 0400", JsonFault::PathNotFound), // replace $.b
            ("01 03 242e61 02 0400", JsonFault::PathNotFound), // insert $.a
            ("02 04 245b315d", JsonFault::PathNotFound),       // remove $[1]
            ("02 01 24", JsonFault::PathNotFound),             // remove $
            ("03 03 242e61", JsonFault::Operation(3)),
            ("02 03 242e", JsonFault::Truncated),
            ("02 02 242e", JsonFault::Path),
            ("02 03 2e6161", JsonFault::Path),
            ("02 04 245b2d31", JsonFault::Path),
        ] {
            let error = apply_diffs(&before, &unhex(diffs), &mut Vec::new()).unwrap_err();
            assert_eq!(error.fault, fault, "{diffs}");
        }
    }

    #[test]
    fn damaged_values_never_panic() {
        let mut random = Random(7);
        for line in GOLDEN.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let mut inputs: Vec<Vec<u8>> = fields[1..fields.len() - 1].iter().map(|hex| unhex(hex)).collect();
            if inputs.iter().any(|input| input.len() > 20_000) {
                continue;
            }
            for round in 0..60 {
                let which = random.below(inputs.len());
                let input = &mut inputs[which];
                let intact = input.clone();
                match round {
                    _ if input.is_empty() => {}
                    0..20 => input.truncate(random.below(input.len())),
                    _ => {
                        for _ in 0..1 + random.below(3) {
                            let place = random.below(input.len());
                            input[place] = random.below(256) as u8;
                        }
                    }
                }
                let size: usize = inputs.iter().map(Vec::len).sum();
                let mut out = Vec::new();
                let _ = match &inputs[..] {
                    [binary] => write_text(binary, &mut out),
                    [before, diffs] => apply_diffs(before, diffs, &mut out),
                    _ => unreachable!("golden lines have one or two values"),
                };
                assert!(out.len() <= 32 + 32 * size, "{} bytes of text from {size}", out.len());
                inputs[which] = intact;
            }
        }
    }

    /// xorshift64*: enough to choose what to damage, the same on every run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, end: usize) -> usize {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
        }
    }

    fn check_all(lines: &str) {
        for line in lines.lines() {
            let (got, expected) = match line.split('\t').collect::<Vec<_>>()[..] {
                ["document", binary, expected] => (text(&unhex(binary)), expected),
                ["diff", before, diffs, expected] => {
                    let mut out = Vec::new();
                    let applied = apply_diffs(&unhex(before), &unhex(diffs), &mut out);
                    (applied.map(|()| String::from_utf8(out).expect("text is UTF-8")), expected)
                }
                _ => panic!("a line of this form is not known: {line}"),
            };
            assert_eq!(got, Ok(unfold(expected)), "{line}");
        }
    }

    fn text(binary: &[u8]) -> Result<String, JsonError> {
        let mut out = Vec::new();
        write_text(binary, &mut out)?;
        Ok(String::from_utf8(out).expect("text is UTF-8"))
    }

    fn unhex(hex: &str) -> Vec<u8> {
        let digits: Vec<char> = unfold(hex).chars().filter(|letter| *letter != ' ').collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).expect("golden values are hex"))
            .collect()
    }

    /// Writes `<x*3>` as `xxx`.
    fn unfold(folded: &str) -> String {
        let mut unfolded = String::new();
        let mut rest = folded;
        while let Some((before, run, count, after)) = next_run(rest) {
            unfolded += before;
            unfolded += &run.repeat(count);
            rest = after;
        }
        unfolded + rest
    }

    fn next_run(folded: &str) -> Option<(&str, &str, usize, &str)> {
        let (at, (run, after)) = folded
            .match_indices('<')
            .find_map(|(at, _)| Some((at, folded[at + 1..].split_once('>').filter(|(run, _)| run.contains('*'))?)))?;
        let (run, count) = run.split_once('*')?;
        Some((&folded[..at], run, count.parse().ok()?, after))
    }
}
