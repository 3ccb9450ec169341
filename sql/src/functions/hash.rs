//! Hashes, and addresses of the internet.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Int64Type};
use datafusion_common::Result;
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use super::kernel::{Call, Cell, Kernel, Miss};

pub(super) fn crc32(call: &Call<'_>) -> Result<ArrayRef> {
    let bytes = call.bytes(0);
    call.make_numbers::<Int64Type>(|row| Ok(i64::from(crc32fast::hash(bytes.get(row)?))))
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
    call.make_numbers::<Int64Type>(|row| {
        let text = texts.get(row)?;
        let mut address = 0;
        let mut parts = 0;
        for part in text.split('.') {
            let plain = !part.is_empty() && part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
            let number: i64 = part.parse().ok().filter(|number| plain && *number <= 255).ok_or(Miss::Null)?;
            address = address << 8 | number;
            parts += 1;
        }
        match parts {
            4 => Ok(address),
            1..=3 => Err(Miss::Refused),
            _ => Err(Miss::Null),
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

pub(super) fn inet6_ntoa(call: &Call<'_>) -> Result<ArrayRef> {
    let bytes = call.bytes(0);
    call.make_text(|row, out| {
        let bytes = bytes.get(row)?;
        match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
            (Ok(octets), _) => write!(out, "{}", Ipv4Addr::from(octets)),
            (_, Ok(octets)) => write!(out, "{}", Ipv6Addr::from(octets)),
            _ => return Err(Miss::Null),
        }
        .expect("a string takes everything");
        Ok(())
    })
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
