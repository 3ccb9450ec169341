//! Stored values as the server prints them.

use std::io::Write;

use super::diff::Node;
use super::{DEPTH_MAX, JsonError, JsonFault, Span, Value};

pub(super) struct Printer<'o> {
    pub(super) out: &'o mut Vec<u8>,
    /// Bytes of input not yet printed. In an intact value every byte belongs to one element at most, so that this never
    /// runs out; a damaged one whose containers point at each other could otherwise print 2^100 elements.
    pub(super) allowance: usize,
}

impl Printer<'_> {
    pub(super) fn spend(&mut self, size: usize, at: Span) -> Result<(), JsonError> {
        self.allowance = self.allowance.checked_sub(size).ok_or(at.fault(JsonFault::Overlap))?;
        Ok(())
    }

    pub(super) fn value(&mut self, value: Value, depth: usize) -> Result<(), JsonError> {
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

    pub(super) fn node(&mut self, node: &Node, depth: usize) -> Result<(), JsonError> {
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

    pub(super) fn open(&mut self, bracket: u8, size: usize, at: Span, depth: usize) -> Result<(), JsonError> {
        if depth > DEPTH_MAX {
            return Err(at.fault(JsonFault::TooDeep));
        }
        self.spend(size, at)?;
        self.out.push(bracket);
        Ok(())
    }

    pub(super) fn separate(&mut self, index: usize) {
        if index > 0 {
            self.out.extend_from_slice(b", ");
        }
    }

    pub(super) fn key(&mut self, key: &str) {
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
