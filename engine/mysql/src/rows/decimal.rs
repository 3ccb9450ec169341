//! Packed decimals.

use arrow::datatypes::i256;

use super::{ValueFault, big_endian};
use crate::binlog::event::Input;

/// Digits of a packed decimal: nine per four bytes, counted from the point; what is left at either end takes fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    head_digits: u8,
    whole_groups: u8,
    fraction_groups: u8,
    tail_digits: u8,
    pub(super) bytes: u8,
}

pub(super) const DECIMAL: ValueFault = ValueFault::Invalid("decimal");

/// Bytes that so many digits take, up to nine.
pub(super) const BYTES_OF_DIGITS: [u8; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

pub(super) const POWERS_OF_TEN: [u32; 10] =
    [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

/// Bytes of a packed decimal.
pub(crate) fn packed_bytes(precision: u8, scale: u8) -> u8 {
    Decimal::new(precision, scale).bytes
}

impl Decimal {
    pub(super) fn new(precision: u8, scale: u8) -> Decimal {
        let whole = precision - scale;
        let (head_digits, whole_groups) = (whole % 9, whole / 9);
        let (fraction_groups, tail_digits) = (scale / 9, scale % 9);
        let ends = BYTES_OF_DIGITS[head_digits as usize] + BYTES_OF_DIGITS[tail_digits as usize];
        Decimal {
            head_digits,
            whole_groups,
            fraction_groups,
            tail_digits,
            bytes: ends + 4 * (whole_groups + fraction_groups),
        }
    }

    /// Calls `push` with the value and the digits of each group, from the highest on; gives whether the decimal is
    /// negative.
    ///
    /// All bits of a negative number are inverted, and then the first bit of any number is.
    #[inline]
    pub(super) fn read(self, bytes: &[u8], mut push: impl FnMut(u32, usize)) -> Result<bool, ValueFault> {
        let mut input = Input::new(bytes);
        let negative = bytes.first().ok_or(ValueFault::Short)? & 0x80 == 0;
        let inverted = if negative { u32::MAX } else { 0 };
        let mut sign = 0x80;
        let mut group = |digits: u8| -> Result<(), ValueFault> {
            let length = BYTES_OF_DIGITS[digits as usize];
            let mut stored = big_endian(input.take(length as usize)?) as u32;
            // The sign stands in the first byte of all.
            stored ^= inverted >> (32 - 8 * length as u32) ^ sign << (8 * (length as u32 - 1));
            sign = 0;
            if stored >= POWERS_OF_TEN[digits as usize] {
                return Err(DECIMAL);
            }
            push(stored, digits as usize);
            Ok(())
        };
        if self.head_digits > 0 {
            group(self.head_digits)?;
        }
        for _ in 0..self.whole_groups + self.fraction_groups {
            group(9)?;
        }
        if self.tail_digits > 0 {
            group(self.tail_digits)?;
        }
        Ok(negative)
    }
}

#[inline]
pub(super) fn decimal64(shape: Decimal, bytes: &[u8]) -> Result<i64, ValueFault> {
    let mut number = 0i64;
    let negative = shape.read(bytes, |group, digits| number = number * POWERS_OF_TEN[digits] as i64 + group as i64)?;
    Ok(if negative { -number } else { number })
}

pub(super) fn decimal128(shape: Decimal, bytes: &[u8]) -> Result<i128, ValueFault> {
    let mut number = 0i128;
    let negative =
        shape.read(bytes, |group, digits| number = number * POWERS_OF_TEN[digits] as i128 + group as i128)?;
    Ok(if negative { -number } else { number })
}

pub(super) fn decimal256(shape: Decimal, bytes: &[u8]) -> Result<i256, ValueFault> {
    let mut number = i256::ZERO;
    let negative = shape.read(bytes, |group, digits| {
        let scaled = number.wrapping_mul(i256::from_i128(POWERS_OF_TEN[digits] as i128));
        number = scaled.wrapping_add(i256::from_i128(group as i128));
    })?;
    Ok(if negative { number.wrapping_neg() } else { number })
}
