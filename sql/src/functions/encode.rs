//! Bytes and numbers as text: hexadecimal, other bases, base64.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Int64Type, UInt64Type};
use datafusion_common::Result;

use tidegate_charset::Charset;

use super::kernel::{Call, Kernel, Miss};

/// The bytes of text in the character set that is the second argument; a row fails whose text has none there, or several.
pub(crate) fn in_charset() -> Kernel {
    Kernel::new("in_charset", DataType::Binary, |call| {
        let (texts, charset) = (call.texts(0), call.texts(1));
        let charset = charset.get(0).ok().and_then(Charset::from_name);
        call.make_bytes(|row, out| {
            let charset = charset.ok_or(Miss::Refused)?;
            charset.encode(texts.get(row)?, out).ok_or(Miss::Refused)
        })
    })
    .keeps_nulls()
}

const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];

/// Of bytes, or of an integer.
pub(crate) fn hex(call: &Call<'_>) -> Result<ArrayRef> {
    if matches!(call.data_type(0), DataType::Int64 | DataType::UInt64) {
        return in_base(call, 16);
    }
    let bytes = call.bytes(0);
    call.make_text(|row, out| {
        for byte in bytes.get(row)? {
            out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        Ok(())
    })
}

pub(super) fn bin(call: &Call<'_>) -> Result<ArrayRef> {
    in_base(call, 2)
}

pub(super) fn oct(call: &Call<'_>) -> Result<ArrayRef> {
    in_base(call, 8)
}

/// Negative numbers as the 64 bits that they are.
fn in_base(call: &Call<'_>, base: u64) -> Result<ArrayRef> {
    let write = |value: u64, out: &mut String| {
        push_in_base(value, base, out);
        Ok(())
    };
    match call.data_type(0) {
        DataType::UInt64 => {
            let values = call.numbers::<UInt64Type>(0);
            call.make_text(|row, out| write(values.get(row)?, out))
        }
        _ => {
            let values = call.numbers::<Int64Type>(0);
            call.make_text(|row, out| write(values.get(row)? as u64, out))
        }
    }
}

fn push_in_base(mut value: u64, base: u64, out: &mut String) {
    let mut digits = [0u8; 64];
    let mut at = digits.len();
    loop {
        at -= 1;
        let digit = (value % base) as u8;
        digits[at] = if digit < 10 { b'0' + digit } else { b'A' + digit - 10 };
        value /= base;
        if value == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

/// A number written in one base, in another. A negative base means that numbers have a sign.
pub(super) fn conv(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, from, to) = (call.texts(0), call.numbers::<Int64Type>(1), call.numbers::<Int64Type>(2));
    call.make_text(|row, out| {
        let (text, from, to) = (texts.get(row)?, from.get(row)?, to.get(row)?);
        let in_range = |base: i64| (2..=36).contains(&base.unsigned_abs());
        if !in_range(from) || !in_range(to) || text.is_empty() {
            return Err(Miss::Null);
        }
        let text = text.trim_start_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
        let (negative, digits) = match text.as_bytes() {
            [b'-', ..] => (true, &text[1..]),
            [b'+', ..] => (false, &text[1..]),
            _ => (false, text),
        };
        let base = from.unsigned_abs();
        let values = digits.chars().map_while(|digit| digit.to_digit(base as u32));
        let magnitude = values.fold(0u128, |value, digit| (value * u128::from(base) + u128::from(digit)).min(1 << 70));
        let value = match (from < 0, negative) {
            (true, true) => (-(magnitude.min(1 << 63) as i128)) as i64 as u64,
            (true, false) => magnitude.min(i64::MAX as u128) as u64,
            // MySQL gives 0 for what reads as a negative number of decimal digits.
            (false, true) if magnitude > u128::from(u64::MAX) && is_decimal_below_zero(digits) => 0,
            (false, _) if magnitude > u128::from(u64::MAX) => u64::MAX,
            (false, true) => (magnitude as u64).wrapping_neg(),
            (false, false) => magnitude as u64,
        };
        if to < 0 && (value as i64) < 0 {
            out.push('-');
            push_in_base((value as i64).unsigned_abs(), to.unsigned_abs(), out);
        } else {
            push_in_base(value, to.unsigned_abs(), out);
        }
        Ok(())
    })
}

/// Whether digits behind a minus begin with those of a decimal number that is not zero.
fn is_decimal_below_zero(digits: &str) -> bool {
    digits.trim_start_matches('0').starts_with(|digit: char| digit.is_ascii_digit())
}

pub(super) fn unhex(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.texts(0);
    call.make_bytes(|row, out| {
        let text = texts.get(row)?.as_bytes();
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8).ok_or(Miss::Null);
        let (odd, pairs) = text.split_at(text.len() % 2);
        if let [first] = odd {
            out.push(digit(*first)?);
        }
        for pair in pairs.chunks_exact(2) {
            out.push(digit(pair[0])? << 4 | digit(pair[1])?);
        }
        Ok(())
    })
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// With padding, in lines of 76 characters.
pub(super) fn to_base64(call: &Call<'_>) -> Result<ArrayRef> {
    let bytes = call.bytes(0);
    call.make_text(|row, out| {
        for (at, group) in bytes.get(row)?.chunks(3).enumerate() {
            if at > 0 && at % 19 == 0 {
                out.push('\n');
            }
            let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
            for place in 0..4 {
                let digit = BASE64[(bits >> (18 - 6 * place) & 63) as usize];
                out.push(if place <= group.len() { char::from(digit) } else { '=' });
            }
        }
        Ok(())
    })
}

/// NULL if it is none; white space between is fine.
pub(super) fn from_base64(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.texts(0);
    call.make_bytes(|row, out| {
        let text = texts.get(row)?;
        let mut digits = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).peekable();
        while digits.peek().is_some() {
            let mut bits = 0u32;
            let mut padding = 0;
            for _ in 0..4 {
                let value = match digits.next().ok_or(Miss::Null)? {
                    b'=' => {
                        padding += 1;
                        0
                    }
                    _ if padding > 0 => return Err(Miss::Null),
                    byte => BASE64.iter().position(|digit| *digit == byte).ok_or(Miss::Null)? as u32,
                };
                bits = bits << 6 | value;
            }
            if padding > 2 || (padding > 0 && digits.peek().is_some()) {
                return Err(Miss::Null);
            }
            out.extend(&bits.to_be_bytes()[1..4 - padding]);
        }
        Ok(())
    })
}
