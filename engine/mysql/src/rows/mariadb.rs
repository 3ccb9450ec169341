//! Values that only MariaDB has, or packs.

use std::io::Write;

use super::{ValueFault, big_endian};
use crate::binlog::event::Input;
use crate::binlog::inflate;

/// Bytes behind their length, with the zeros that the binlog leaves out.
pub(super) fn padded<const N: usize>(input: &mut Input<'_>) -> Result<[u8; N], ValueFault> {
    let length = input.u8()? as usize;
    let stored = input.take(length)?;
    let mut bytes = [0; N];
    bytes.get_mut(..length).ok_or(ValueFault::Invalid("address or UUID"))?.copy_from_slice(stored);
    Ok(bytes)
}

/// As the server writes it: the longest run of zeros is left out, also one of one word; an IPv4 address at the end is written as such.
pub(super) fn write_inet6(bytes: [u8; 16], out: &mut Vec<u8>) {
    let words: [u16; 8] = std::array::from_fn(|i| u16::from_be_bytes([bytes[2 * i], bytes[2 * i + 1]]));
    let (mut gap, mut run) = (0..0, 0..0);
    for (index, &word) in words.iter().enumerate() {
        run = if word != 0 { index + 1..index + 1 } else { run.start..index + 1 };
        // The first of those that are equally long.
        if run.len() > gap.len() {
            gap = run.clone();
        }
    }
    let is_ipv4 = gap.start == 0 && (gap.len() == 6 || (gap.len() == 5 && words[5] == 0xffff));
    let mut index = 0;
    while index < words.len() {
        if index == gap.start && !gap.is_empty() {
            out.extend_from_slice(if index == 0 { b"::" } else { b":" });
            index = gap.end;
        } else if index == 6 && is_ipv4 {
            let [.., a, b, c, d] = bytes;
            let _ = write!(out, "{a}.{b}.{c}.{d}");
            return;
        } else {
            let _ = write!(out, "{:x}", words[index]);
            index += 1;
            if index < words.len() {
                out.push(b':');
            }
        }
    }
}

/// A value that MariaDB has packed.
///
/// ```text
/// nothing                                               the empty value
/// 00 │ value
/// 80 | 08 without a zlib header | bytes of the length │ length, big endian │ zlib
/// ```
pub(super) fn unpack_value(packed: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> Result<(), ValueFault> {
    const PACKED: ValueFault = ValueFault::Invalid("compressed value");
    match packed.split_first() {
        None => Ok(()),
        Some((0, value)) => {
            out.extend_from_slice(value);
            Ok(())
        }
        Some((&head, rest)) => {
            let length_bytes = (head & 0x07) as usize;
            if head & 0xf0 != 0x80 || !(1..=4).contains(&length_bytes) {
                return Err(PACKED);
            }
            let (length, zlib) = rest.split_at_checked(length_bytes).ok_or(ValueFault::Short)?;
            let length = big_endian(length) as usize;
            if length > bytes_max {
                return Err(ValueFault::TooLarge);
            }
            inflate(zlib, length, head & 0x08 == 0, out).ok_or(PACKED)
        }
    }
}
