//! Numbers as text: decimals with their digits, floats as Java lays them out.

use arrow::datatypes::i256;

use tidegate_digits::write_with_point;

#[inline]
pub fn write_integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[inline]
pub(super) fn write_decimal128(value: i128, scale: usize, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let magnitude = value.unsigned_abs();
    let mut buffer = itoa::Buffer::new();
    // Nearly all decimals fit, and 64 bits are several times faster than 128.
    let digits = match u64::try_from(magnitude) {
        Ok(magnitude) => buffer.format(magnitude),
        Err(_) => buffer.format(magnitude),
    };
    write_with_point(digits.as_bytes(), scale, out);
}

pub(super) fn write_decimal256(value: i256, scale: usize, out: &mut Vec<u8>) {
    let half = i256::from_i128(10_i128.pow(38));
    if let Some(value) = value.to_i128() {
        return write_decimal128(value, scale, out);
    }
    if value.is_negative() {
        out.push(b'-');
    }
    let magnitude = value.wrapping_abs();
    let high = magnitude.wrapping_div(half).as_i128();
    let low = magnitude.wrapping_rem(half).as_i128();
    let mut digits = [b'0'; 78];
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(low).as_bytes();
    digits[78 - text.len()..].copy_from_slice(text);
    let text = buffer.format(high).as_bytes();
    let start = 40 - text.len();
    digits[start..40].copy_from_slice(text);
    write_with_point(&digits[start..], scale, out);
}

// Java's Float.toString and Double.toString (from JDK 19, which always finds the shortest digits): plain from 10⁻³ to
// below 10⁷, else scientific; at least one digit after the point. zmij finds the same digits and lays them out alike in
// the plain range. One more rule of Java shows in subnormal numbers only: two digits are as good as one, so that the
// smallest double is 4.9E-324 and not 5.0E-324.

#[inline]
pub(super) fn write_float(value: f32, out: &mut Vec<u8>) {
    let mut buffer = zmij::Buffer::new();
    if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
        out.extend_from_slice(buffer.format_finite(value).as_bytes());
    } else if !value.is_finite() {
        write_not_finite(value.into(), out);
    } else {
        let two_digits = if value.is_subnormal() { format!("{value:.1e}") } else { String::new() };
        let exact = two_digits.parse() == Ok(value);
        write_scientific(if exact { &two_digits } else { buffer.format_finite(value) }, out);
    }
}

#[inline]
pub(super) fn write_double(value: f64, out: &mut Vec<u8>) {
    let mut buffer = zmij::Buffer::new();
    if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
        out.extend_from_slice(buffer.format_finite(value).as_bytes());
    } else if !value.is_finite() {
        write_not_finite(value, out);
    } else {
        let two_digits = if value.is_subnormal() { format!("{value:.1e}") } else { String::new() };
        let exact = two_digits.parse() == Ok(value);
        write_scientific(if exact { &two_digits } else { buffer.format_finite(value) }, out);
    }
}

/// MySQL stores no such value, but a computed column may hold one.
#[cold]
fn write_not_finite(value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(match value {
        f64::INFINITY => b"Infinity",
        f64::NEG_INFINITY => b"-Infinity",
        _ => b"NaN",
    });
}

/// `0.0001`, `12345678.9` and `1e23` become `1.0E-4`, `1.23456789E7` and `1.0E23`. The number is finite and not zero.
fn write_scientific(number: &str, out: &mut Vec<u8>) {
    let (sign, number) = match number.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", number),
    };
    let (mantissa, exponent) = match number.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse().expect("an exponent is a number")),
        None => (number, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // Seventeen digits and the zeros of numbers that the shortest form still writes plainly.
    let mut digits = [0; 40];
    digits[..whole.len()].copy_from_slice(whole.as_bytes());
    digits[whole.len()..whole.len() + fraction.len()].copy_from_slice(fraction.as_bytes());
    let digits = &digits[..whole.len() + fraction.len()];
    let first = digits.iter().position(|&digit| digit != b'0').expect("not zero");
    let last = digits.iter().rposition(|&digit| digit != b'0').expect("not zero");

    out.extend_from_slice(sign.as_bytes());
    out.push(digits[first]);
    out.push(b'.');
    out.extend_from_slice(if first == last { b"0" } else { &digits[first + 1..=last] });
    out.push(b'E');
    write_integer(exponent + whole.len() as i32 - 1 - first as i32, out);
}

pub(super) fn write_vector(floats: &[u8], out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, float) in floats.as_chunks::<4>().0.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_float(f32::from_le_bytes(*float), out);
    }
    out.push(b']');
}
