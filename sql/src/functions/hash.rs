//! Hashes, addresses of the internet, and UUIDs.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Int64Type, UInt32Type};
use datafusion_common::Result;
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use super::kernel::{Call, Cell, Kernel, Miss};

pub(super) fn crc32(call: &Call<'_>) -> Result<ArrayRef> {
    let bytes = call.bytes(0);
    call.make_numbers::<UInt32Type>(|row| Ok(crc32fast::hash(bytes.get(row)?)))
}

pub(super) fn md5(call: &Call<'_>) -> Result<ArrayRef> {
    digests::<16>(call, |bytes| Md5::digest(bytes).into())
}

pub(super) fn sha1(call: &Call<'_>) -> Result<ArrayRef> {
    digests::<20>(call, |bytes| <Sha1 as sha1::Digest>::digest(bytes).into())
}

/// `sha2(x, bits)`; `None` if there is none with so many bits, for which MySQL has NULL.
pub(crate) fn sha2(bits: i64) -> Option<Kernel> {
    let kernel = match bits {
        224 => Kernel::new("sha224", DataType::Utf8, |call| digests::<28>(call, |bytes| Sha224::digest(bytes).into())),
        0 | 256 => {
            Kernel::new("sha256", DataType::Utf8, |call| digests::<32>(call, |bytes| Sha256::digest(bytes).into()))
        }
        384 => Kernel::new("sha384", DataType::Utf8, |call| digests::<48>(call, |bytes| Sha384::digest(bytes).into())),
        512 => Kernel::new("sha512", DataType::Utf8, |call| digests::<64>(call, |bytes| Sha512::digest(bytes).into())),
        _ => return None,
    };
    Some(kernel.keeps_nulls())
}

/// In hexadecimal digits, lower case.
fn digests<const BYTES: usize>(call: &Call<'_>, digest: fn(&[u8]) -> [u8; BYTES]) -> Result<ArrayRef> {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let bytes = call.bytes(0);
    call.make_text(|row, out| {
        for byte in digest(bytes.get(row)?) {
            out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        Ok(())
    })
}

/// Four numbers with dots between, of at most three digits each.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        let plain = (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        *octet = part.parse().ok().filter(|_| plain)?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

/// Refused where the last digits are those of a version 4 address, which servers read in ways of their own.
fn ipv6(text: &str) -> Cell<Option<Ipv6Addr>> {
    match text.contains(':') && text.contains('.') {
        true => Err(Miss::Refused),
        false => Ok(text.parse().ok()),
    }
}

/// Four numbers with dots between; MySQL also takes fewer, which nobody writes on purpose: they fail.
pub(super) fn inet_aton(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.texts(0);
    call.make_numbers::<UInt32Type>(|row| {
        let text = texts.get(row)?;
        let (mut address, mut parts) = (0_u32, 0);
        for part in text.split('.') {
            let mut number = 0;
            for byte in part.bytes() {
                number = 10 * number + u32::from(byte).wrapping_sub(u32::from(b'0'));
                if !byte.is_ascii_digit() || number > 255 {
                    return Err(Miss::Null);
                }
            }
            address = address << 8 | number;
            parts += 1;
        }
        match parts {
            // A part that is not there is 0, unless it is the last one.
            _ if text.is_empty() || text.ends_with('.') => Err(Miss::Null),
            4 => Ok(address),
            _ => Err(Miss::Refused),
        }
    })
}

pub(super) fn inet_ntoa(call: &Call<'_>) -> Result<ArrayRef> {
    let numbers = call.numbers::<Int64Type>(0);
    call.make_text(|row, out| {
        let address = u32::try_from(numbers.get(row)?).map_err(|_| Miss::Null)?;
        write!(out, "{}", Ipv4Addr::from(address)).expect("a string takes everything");
        Ok(())
    })
}

pub(super) fn inet6_aton(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.texts(0);
    call.make_bytes(|row, out| {
        let text = texts.get(row)?;
        match ipv4(text) {
            Some(address) => out.extend(address.octets()),
            None => out.extend(ipv6(text)?.ok_or(Miss::Null)?.octets()),
        }
        Ok(())
    })
}

/// NULL of text, which has a character set.
pub(super) fn inet6_ntoa(call: &Call<'_>) -> Result<ArrayRef> {
    let is_text = *call.data_type(0) == DataType::Utf8;
    let bytes = call.bytes(0);
    call.make_text(|row, out| {
        let bytes = bytes.get(row)?;
        if is_text {
            return Err(Miss::Null);
        }
        match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
            (Ok(octets), _) => write!(out, "{}", Ipv4Addr::from(octets)),
            (_, Ok(octets)) => match octets {
                [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] if (a, b) != (0, 0) => {
                    write!(out, "::{a}.{b}.{c}.{d}")
                }
                _ => write!(out, "{}", in_groups(Ipv6Addr::from(octets))),
            },
            _ => return Err(Miss::Null),
        }
        .expect("a string takes everything");
        Ok(())
    })
}

/// As MySQL writes it: the first of the longest runs of zeros is left out, also a single one.
fn in_groups(address: Ipv6Addr) -> String {
    let text = address.to_string();
    match (text.strip_prefix("0:"), text.strip_suffix(":0")) {
        _ if text.contains("::") => text,
        (Some(rest), _) => format!("::{rest}"),
        (_, Some(rest)) if !rest.contains(":0:") => format!("{rest}::"),
        _ => text.replacen(":0:", "::", 1),
    }
}

pub(super) fn is_ipv4(call: &Call<'_>) -> Result<ArrayRef> {
    is_address(call, |text| Ok(ipv4(text).is_some()))
}

pub(super) fn is_ipv6(call: &Call<'_>) -> Result<ArrayRef> {
    is_address(call, |text| Ok(ipv6(text)?.is_some()))
}

fn is_address(call: &Call<'_>, is: fn(&str) -> Cell<bool>) -> Result<ArrayRef> {
    let texts = call.texts(0);
    call.make_conditions(|row| is(texts.get(row)?))
}

/// `::1.2.3.4`, of bytes; those of 0 and 1 are no addresses.
pub(super) fn is_ipv4_compat(call: &Call<'_>) -> Result<ArrayRef> {
    is_ipv6_of(call, |address| address[..12] == [0; 12] && address[12..] > [0, 0, 0, 1][..])
}

/// `::ffff:1.2.3.4`, of bytes.
pub(super) fn is_ipv4_mapped(call: &Call<'_>) -> Result<ArrayRef> {
    is_ipv6_of(call, |address| address[..12] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])
}

fn is_ipv6_of(call: &Call<'_>, is: fn(&[u8; 16]) -> bool) -> Result<ArrayRef> {
    // Of text, which has a character set, nothing is an address.
    let is_text = *call.data_type(0) == DataType::Utf8;
    let bytes = call.bytes(0);
    call.make_conditions(|row| {
        let address = <&[u8; 16]>::try_from(bytes.get(row)?);
        Ok(!is_text && address.is_ok_and(is))
    })
}

/// The bytes of a UUID that is written with dashes, with dashes in braces, or as its digits alone.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let inside = match text.len() {
        38 => text.strip_prefix('{')?.strip_suffix('}')?,
        _ => text,
    };
    let digits = match inside.len() {
        32 if text.len() == 32 => inside.to_owned(),
        36 if inside.is_ascii() && [8, 13, 18, 23].iter().all(|at| inside.as_bytes()[*at] == b'-') => {
            [&inside[..8], &inside[9..13], &inside[14..18], &inside[19..23], &inside[24..]].concat()
        }
        _ => return None,
    };
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u128::from_str_radix(&digits, 16).ok().filter(|_| all_digits).map(u128::to_be_bytes)
}

pub(super) fn is_uuid(call: &Call<'_>) -> Result<ArrayRef> {
    is_address(call, |text| Ok(uuid(text).is_some()))
}

/// Whether the parts of the time change their places, so that UUIDs of later times are greater; a flag that is NULL says no.
fn swaps(call: &Call<'_>, row: usize) -> bool {
    call.arity() > 1 && call.bits(1, row).is_ok_and(|flag| flag != 0)
}

pub(super) fn uuid_to_bin(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.texts(0);
    call.make_bytes(|row, out| {
        let bytes = uuid(texts.get(row)?).ok_or(Miss::Refused)?;
        let (low, middle, high) = (&bytes[..4], &bytes[4..6], &bytes[6..8]);
        match swaps(call, row) {
            true => [high, middle, low].into_iter().for_each(|part| out.extend(part)),
            false => out.extend(&bytes[..8]),
        }
        out.extend(&bytes[8..]);
        Ok(())
    })
}

pub(super) fn bin_to_uuid(call: &Call<'_>) -> Result<ArrayRef> {
    let bytes = call.bytes(0);
    call.make_text(|row, out| {
        let bytes = <&[u8; 16]>::try_from(bytes.get(row)?).map_err(|_| Miss::Refused)?;
        let parts: [&[u8]; 5] = match swaps(call, row) {
            true => [&bytes[4..8], &bytes[2..4], &bytes[..2], &bytes[8..10], &bytes[10..]],
            false => [&bytes[..4], &bytes[4..6], &bytes[6..8], &bytes[8..10], &bytes[10..]],
        };
        for (at, part) in parts.into_iter().enumerate() {
            if at > 0 {
                out.push('-');
            }
            part.iter().for_each(|byte| write!(out, "{byte:02x}").expect("a string takes everything"));
        }
        Ok(())
    })
}
