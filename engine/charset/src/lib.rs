//! MySQL's character sets to UTF-8, as the server itself converts them, and back where there is one way only.
//!
//! A snapshot sets its names to utf8mb4 and gets converted text, the binlog brings the bytes as stored; both must end as
//! the same text. The tables were therefore asked from a server (`scripts/charsets.py`) and are not those
//! of a standard: MySQL's latin1 is cp1252 with 81, 8d, 8f, 90 and 9d as control characters, for instance.
//!
//! - A well-formed character without a place in Unicode becomes `?` (in tis620 U+FFFD): a column can hold it, and this is
//!   what the server sends.
//! - Malformed bytes are an error. The server refuses to store them, so that neither path meets them in an intact table;
//!   if it holds them all the same, it sends `?` per byte and drops a character that is cut off at the end.
//! - ucs2 can hold lone surrogates. The server sends them as three bytes that are not UTF-8: an error on both paths.
//! - `binary` is taken as UTF-8, like by `CONVERT(… USING utf8mb4)`. Ask [`Charset::is_binary`] before decoding a column.
//!
//! Verified for every code of every set on MySQL 9.7.4, and on MySQL 5.6.24 and MariaDB 10.11.19 for the sets that they have;
//! the collation numbers on MySQL 9.7.4 and MariaDB 10.11.19.

mod encode;

/// A character set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Charset {
    Armscii8,
    Ascii,
    Big5,
    Binary,
    Cp1250,
    Cp1251,
    Cp1256,
    Cp1257,
    Cp850,
    Cp852,
    Cp866,
    Cp932,
    Dec8,
    Eucjpms,
    Euckr,
    Gb18030,
    Gb2312,
    Gbk,
    Geostd8,
    Greek,
    Hebrew,
    Hp8,
    Keybcs2,
    Koi8r,
    Koi8u,
    Latin1,
    Latin2,
    Latin5,
    Latin7,
    Macce,
    Macroman,
    Sjis,
    Swe7,
    Tis620,
    Ucs2,
    Ujis,
    Utf16,
    Utf16le,
    Utf32,
    Utf8mb3,
    Utf8mb4,
}

/// In the order of the enum.
const NAMES: [(Charset, &str); 41] = [
    (Charset::Armscii8, "armscii8"),
    (Charset::Ascii, "ascii"),
    (Charset::Big5, "big5"),
    (Charset::Binary, "binary"),
    (Charset::Cp1250, "cp1250"),
    (Charset::Cp1251, "cp1251"),
    (Charset::Cp1256, "cp1256"),
    (Charset::Cp1257, "cp1257"),
    (Charset::Cp850, "cp850"),
    (Charset::Cp852, "cp852"),
    (Charset::Cp866, "cp866"),
    (Charset::Cp932, "cp932"),
    (Charset::Dec8, "dec8"),
    (Charset::Eucjpms, "eucjpms"),
    (Charset::Euckr, "euckr"),
    (Charset::Gb18030, "gb18030"),
    (Charset::Gb2312, "gb2312"),
    (Charset::Gbk, "gbk"),
    (Charset::Geostd8, "geostd8"),
    (Charset::Greek, "greek"),
    (Charset::Hebrew, "hebrew"),
    (Charset::Hp8, "hp8"),
    (Charset::Keybcs2, "keybcs2"),
    (Charset::Koi8r, "koi8r"),
    (Charset::Koi8u, "koi8u"),
    (Charset::Latin1, "latin1"),
    (Charset::Latin2, "latin2"),
    (Charset::Latin5, "latin5"),
    (Charset::Latin7, "latin7"),
    (Charset::Macce, "macce"),
    (Charset::Macroman, "macroman"),
    (Charset::Sjis, "sjis"),
    (Charset::Swe7, "swe7"),
    (Charset::Tis620, "tis620"),
    (Charset::Ucs2, "ucs2"),
    (Charset::Ujis, "ujis"),
    (Charset::Utf16, "utf16"),
    (Charset::Utf16le, "utf16le"),
    (Charset::Utf32, "utf32"),
    (Charset::Utf8mb3, "utf8mb3"),
    (Charset::Utf8mb4, "utf8mb4"),
];

/// Bytes that are no text of their character set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("text is not valid {} at byte {offset}", .charset.name())]
pub struct InvalidText {
    pub charset: Charset,
    pub offset: usize,
}

impl Charset {
    /// The character set of a collation number, of MySQL up to 9.7 and of MariaDB.
    pub fn from_collation_id(id: u16) -> Option<Charset> {
        // MariaDB numbers its NO PAD collations 1024 above the padded ones, and its UCA 14 collations by encoding.
        match id {
            1025..2048 => Charset::from_base_collation_id(id - 1024),
            2048..2304 => Some(Charset::Utf8mb3),
            2304..2560 => Some(Charset::Utf8mb4),
            2560..2816 => Some(Charset::Ucs2),
            2816..3072 => Some(Charset::Utf16),
            3072..3328 => Some(Charset::Utf32),
            _ => Charset::from_base_collation_id(id),
        }
    }

    fn from_base_collation_id(id: u16) -> Option<Charset> {
        // Printed by `scripts/charsets.py --collations`, with MariaDB's Croatian, Myanmar and Thai from 576 on.
        Some(match id {
            32 | 64 => Charset::Armscii8,
            11 | 65 => Charset::Ascii,
            1 | 84 => Charset::Big5,
            63 => Charset::Binary,
            26 | 34 | 44 | 66 | 99 => Charset::Cp1250,
            14 | 23 | 50..=52 => Charset::Cp1251,
            57 | 67 => Charset::Cp1256,
            29 | 58..=59 => Charset::Cp1257,
            4 | 80 => Charset::Cp850,
            40 | 81 => Charset::Cp852,
            36 | 68 => Charset::Cp866,
            95..=96 => Charset::Cp932,
            3 | 69 => Charset::Dec8,
            97..=98 => Charset::Eucjpms,
            19 | 85 => Charset::Euckr,
            248..=250 => Charset::Gb18030,
            24 | 86 => Charset::Gb2312,
            28 | 87 => Charset::Gbk,
            92..=93 => Charset::Geostd8,
            25 | 70 => Charset::Greek,
            16 | 71 => Charset::Hebrew,
            6 | 72 => Charset::Hp8,
            37 | 73 => Charset::Keybcs2,
            7 | 74 => Charset::Koi8r,
            22 | 75 => Charset::Koi8u,
            5 | 8 | 15 | 31 | 47..=49 | 94 => Charset::Latin1,
            2 | 9 | 21 | 27 | 77 => Charset::Latin2,
            30 | 78 => Charset::Latin5,
            20 | 41..=42 | 79 => Charset::Latin7,
            38 | 43 => Charset::Macce,
            39 | 53 => Charset::Macroman,
            13 | 88 => Charset::Sjis,
            10 | 82 => Charset::Swe7,
            18 | 89 => Charset::Tis620,
            35 | 90 | 128..=151 | 159 | 640..=642 => Charset::Ucs2,
            12 | 91 => Charset::Ujis,
            54..=55 | 101..=124 | 672..=674 => Charset::Utf16,
            56 | 62 => Charset::Utf16le,
            60..=61 | 160..=183 | 736..=738 => Charset::Utf32,
            33 | 76 | 83 | 192..=215 | 223 | 576..=578 => Charset::Utf8mb3,
            45..=46 | 224..=247 | 255..=323 | 608..=610 => Charset::Utf8mb4,
            _ => return None,
        })
    }

    /// The character set of this name, in any case; `utf8` is utf8mb3.
    pub fn from_name(name: &str) -> Option<Charset> {
        if name.eq_ignore_ascii_case("utf8") {
            return Some(Charset::Utf8mb3);
        }
        NAMES.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(charset, _)| *charset)
    }

    /// MySQL's name.
    pub fn name(self) -> &'static str {
        NAMES[self as usize].1
    }

    pub fn is_binary(self) -> bool {
        self == Charset::Binary
    }

    /// Appends `bytes` as UTF-8. On error `out` is as it was.
    pub fn decode(self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidText> {
        let start = out.len();
        let decoded = match self {
            Charset::Utf8mb4 | Charset::Binary => decode_utf8(bytes, out),
            Charset::Utf8mb3 => decode_utf8mb3(bytes, out),
            Charset::Ascii => {
                decode_ascii(bytes, out);
                Ok(())
            }
            Charset::Ucs2 => decode_units(bytes, out, |unit: [u8; 2], _| Some((u16::from_be_bytes(unit).into(), 0))),
            Charset::Utf16 => decode_units(bytes, out, |unit, rest| utf16(unit, rest, u16::from_be_bytes)),
            Charset::Utf16le => decode_units(bytes, out, |unit, rest| utf16(unit, rest, u16::from_le_bytes)),
            Charset::Utf32 => decode_units(bytes, out, |unit: [u8; 4], _| Some((u32::from_be_bytes(unit), 0))),

            Charset::Armscii8 => decode_single(bytes, out, &single::ARMSCII8),
            Charset::Cp1250 => decode_single(bytes, out, &single::CP1250),
            Charset::Cp1251 => decode_single(bytes, out, &single::CP1251),
            Charset::Cp1256 => decode_single(bytes, out, &single::CP1256),
            Charset::Cp1257 => decode_single(bytes, out, &single::CP1257),
            Charset::Cp850 => decode_single(bytes, out, &single::CP850),
            Charset::Cp852 => decode_single(bytes, out, &single::CP852),
            Charset::Cp866 => decode_single(bytes, out, &single::CP866),
            Charset::Dec8 => decode_single(bytes, out, &single::DEC8),
            Charset::Geostd8 => decode_single(bytes, out, &single::GEOSTD8),
            Charset::Greek => decode_single(bytes, out, &single::GREEK),
            Charset::Hebrew => decode_single(bytes, out, &single::HEBREW),
            Charset::Hp8 => decode_single(bytes, out, &single::HP8),
            Charset::Keybcs2 => decode_single(bytes, out, &single::KEYBCS2),
            Charset::Koi8r => decode_single(bytes, out, &single::KOI8R),
            Charset::Koi8u => decode_single(bytes, out, &single::KOI8U),
            Charset::Latin1 => decode_single(bytes, out, &single::LATIN1),
            Charset::Latin2 => decode_single(bytes, out, &single::LATIN2),
            Charset::Latin5 => decode_single(bytes, out, &single::LATIN5),
            Charset::Latin7 => decode_single(bytes, out, &single::LATIN7),
            Charset::Macce => decode_single(bytes, out, &single::MACCE),
            Charset::Macroman => decode_single(bytes, out, &single::MACROMAN),
            Charset::Swe7 => decode_single(bytes, out, &single::SWE7),
            Charset::Tis620 => decode_single(bytes, out, &single::TIS620),

            Charset::Big5 => decode_multi(bytes, out, |rest| multi::BIG5.two_bytes(rest)),
            Charset::Cp932 => decode_multi(bytes, out, |rest| multi::CP932.two_bytes(rest)),
            Charset::Euckr => decode_multi(bytes, out, |rest| multi::EUCKR.two_bytes(rest)),
            Charset::Gb2312 => decode_multi(bytes, out, |rest| multi::GB2312.two_bytes(rest)),
            Charset::Gbk => decode_multi(bytes, out, |rest| multi::GBK.two_bytes(rest)),
            Charset::Sjis => decode_multi(bytes, out, |rest| multi::SJIS.two_bytes(rest)),
            Charset::Eucjpms => decode_multi(bytes, out, |rest| multi::EUCJPMS.three_bytes(rest)),
            Charset::Ujis => decode_multi(bytes, out, |rest| multi::UJIS.three_bytes(rest)),
            Charset::Gb18030 => decode_multi(bytes, out, |rest| multi::GB18030.four_bytes(rest)),
        };
        decoded.map_err(|offset| {
            out.truncate(start);
            InvalidText { charset: self, offset }
        })
    }
}

// ---- decoding; an error is the offset of the first byte that is no character -----------------------------------------

fn decode_utf8(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), usize> {
    std::str::from_utf8(bytes).map_err(|error| error.valid_up_to())?;
    out.extend_from_slice(bytes);
    Ok(())
}

fn decode_utf8mb3(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), usize> {
    let first_of_four_bytes = bytes.iter().position(|byte| *byte >= 0xf0).unwrap_or(bytes.len());
    decode_utf8(&bytes[..first_of_four_bytes], out)?;
    if first_of_four_bytes < bytes.len() { Err(first_of_four_bytes) } else { Ok(()) }
}

/// MySQL 5.6 and MariaDB store any byte as ascii, newer MySQL refuses what is not.
fn decode_ascii(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(bytes.iter().map(|byte| if byte.is_ascii() { *byte } else { b'?' }));
}

/// Decodes units of `N` bytes; `character` gives a character's code, and how many bytes of the rest belong to it as well.
fn decode_units<const N: usize>(
    bytes: &[u8],
    out: &mut Vec<u8>,
    character: impl Fn([u8; N], &[u8]) -> Option<(u32, usize)>,
) -> Result<(), usize> {
    out.reserve(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        let offset = bytes.len() - rest.len();
        let (unit, after) = rest.split_first_chunk().ok_or(offset)?;
        let (code, more) = character(*unit, after).ok_or(offset)?;
        push_utf8(code, out).ok_or(offset)?;
        rest = &after[more..];
    }
    Ok(())
}

fn utf16(unit: [u8; 2], rest: &[u8], number: impl Fn([u8; 2]) -> u16) -> Option<(u32, usize)> {
    let high = u32::from(number(unit));
    if !(0xd800..0xdc00).contains(&high) {
        return Some((high, 0));
    }
    let low = u32::from(number(*rest.first_chunk()?)).checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    Some((0x10000 + (high - 0xd800) * 0x400 + low, 2))
}

fn decode_single(bytes: &[u8], out: &mut Vec<u8>, table: &SingleByte) -> Result<(), usize> {
    out.reserve(bytes.len());
    let mut rest = bytes;
    loop {
        if table.holds_ascii {
            let (run, after) = rest.split_at(ascii_run(rest));
            out.extend_from_slice(run);
            rest = after;
        }
        let Some((byte, after)) = rest.split_first() else { return Ok(()) };
        let (utf8, length) = table.utf8[usize::from(*byte)];
        out.extend_from_slice(&utf8[..usize::from(length)]);
        rest = after;
    }
}

/// Decodes a set whose bytes below 80 are ASCII, apart from those that follow a lead byte. `character` reads one other
/// character from the rest.
fn decode_multi(
    bytes: &[u8],
    out: &mut Vec<u8>,
    character: impl Fn(&[u8]) -> Option<(Decoded, usize)>,
) -> Result<(), usize> {
    out.reserve(bytes.len() + bytes.len() / 2);
    let mut rest = bytes;
    loop {
        let (run, after) = rest.split_at(ascii_run(rest));
        out.extend_from_slice(run);
        rest = after;
        if rest.is_empty() {
            return Ok(());
        }
        let offset = bytes.len() - rest.len();
        let (decoded, length) = character(rest).ok_or(offset)?;
        match decoded {
            Decoded::Code(code) => push_utf8(code, out).ok_or(offset)?,
            Decoded::Broken => out.extend_from_slice(b"??"),
        }
        rest = &rest[length..];
    }
}

enum Decoded {
    Code(u32),
    /// Two bytes that MySQL stores as one character and reads back as two without a place in Unicode; MariaDB refuses them.
    Broken,
}

/// How many bytes at the beginning are ASCII.
fn ascii_run(bytes: &[u8]) -> usize {
    let whole = bytes.chunks_exact(16).take_while(|chunk| chunk.is_ascii()).count() * 16;
    whole + bytes[whole..].iter().take_while(|byte| byte.is_ascii()).count()
}

fn push_utf8(code: u32, out: &mut Vec<u8>) -> Option<()> {
    let character = char::from_u32(code)?;
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Some(())
}

// ---- tables; `scripts/charsets.py` writes them and describes the files -------------------------------------------------

/// The UTF-8 of each byte, and its length.
struct SingleByte {
    utf8: [([u8; 3], u8); 256],
    /// False for swe7, which has Swedish letters in place of brackets.
    holds_ascii: bool,
}

impl SingleByte {
    const fn new(file: &[u8; 512]) -> SingleByte {
        let mut utf8 = [([0; 3], 0); 256];
        let mut holds_ascii = true;
        let mut byte = 0;
        while byte < 256 {
            let code = u16_at(file, byte);
            let (high, middle, low) = ((code >> 12) as u8, (code >> 6 & 63) as u8, (code & 63) as u8);
            utf8[byte] = match code {
                0..0x80 => ([code as u8, 0, 0], 1),
                0x80..0x800 => ([0xc0 | (code >> 6) as u8, 0x80 | low, 0], 2),
                _ => ([0xe0 | high, 0x80 | middle, 0x80 | low], 3),
            };
            holds_ascii &= byte >= 0x80 || code as usize == byte;
            byte += 1;
        }
        SingleByte { utf8, holds_ascii }
    }
}

struct MultiByte {
    /// The codes of characters of one byte; 0 for lead bytes and for what is no character.
    singles: &'static [u8],
    two_bytes: Plane,
    /// Codes of three bytes, the first of them 8f, in ujis and eucjpms.
    after_8f: Option<Plane>,
    /// Codes of four bytes in gb18030, as pairs of u16.
    four_bytes: &'static [u8],
}

/// The codes of a lead byte and a trail byte.
struct Plane {
    rows: &'static [u8],
    first_trail: u8,
    width: u8,
    codes: &'static [u8],
}

impl MultiByte {
    const fn new(file: &'static [u8], planes: usize) -> MultiByte {
        let (singles, rest) = file.split_at(512);
        let (two_bytes, rest) = Plane::take(rest);
        let (after_8f, four_bytes) = if planes == 2 {
            let (plane, rest) = Plane::take(rest);
            (Some(plane), rest)
        } else {
            (None, rest)
        };
        MultiByte { singles, two_bytes, after_8f, four_bytes }
    }

    /// Reads the character at the beginning of `bytes`, which are not empty; gives its code and its length.
    fn two_bytes(&self, bytes: &[u8]) -> Option<(Decoded, usize)> {
        match u16_at(self.singles, usize::from(bytes[0])) {
            0 => Some((Decoded::Code(self.two_bytes.code(bytes[0], *bytes.get(1)?)?), 2)),
            single => Some((Decoded::Code(single.into()), 1)),
        }
    }

    fn three_bytes(&self, bytes: &[u8]) -> Option<(Decoded, usize)> {
        match (bytes, &self.after_8f) {
            ([0x8f, lead, trail, ..], Some(plane)) => Some((Decoded::Code(plane.code(*lead, *trail)?), 3)),
            ([0x8f, ..], _) => None,
            ([0x8e, 0xa0, ..], _) => Some((Decoded::Broken, 2)),
            _ => self.two_bytes(bytes),
        }
    }

    fn four_bytes(&self, bytes: &[u8]) -> Option<(Decoded, usize)> {
        // Counted in the order of the codes; the astral planes begin at 90308130 and have no table.
        const FIRST_UNUSED: u32 = 39_420;
        const FIRST_ASTRAL: u32 = 189_000;

        let &[first @ 0x81..=0xfe, second @ 0x30..=0x39, ..] = bytes else { return self.two_bytes(bytes) };
        let &[_, _, third @ 0x81..=0xfe, fourth @ 0x30..=0x39, ..] = bytes else { return None };
        let digit = |byte: u8, base: u8| u32::from(byte - base);
        let count =
            ((digit(first, 0x81) * 10 + digit(second, 0x30)) * 126 + digit(third, 0x81)) * 10 + digit(fourth, 0x30);
        let code = match count {
            0..FIRST_UNUSED => self.code_of_count(count as u16),
            FIRST_UNUSED..FIRST_ASTRAL => b'?'.into(),
            _ => Some(count - FIRST_ASTRAL + 0x10000).filter(|code| *code <= 0x10ffff).unwrap_or(b'?'.into()),
        };
        Some((Decoded::Code(code), 4))
    }

    fn code_of_count(&self, count: u16) -> u32 {
        let (mut low, mut high) = (0, self.four_bytes.len() / 4);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if u16_at(self.four_bytes, 2 * middle) <= count { low = middle } else { high = middle }
        }
        let (first, code) = (u16_at(self.four_bytes, 2 * low), u16_at(self.four_bytes, 2 * low + 1));
        if code == u16::from(b'?') { code.into() } else { u32::from(code) + u32::from(count - first) }
    }
}

impl Plane {
    /// Takes a plane from the beginning of `file`.
    const fn take(file: &'static [u8]) -> (Plane, &'static [u8]) {
        let (rows, rest) = file.split_at(256);
        let mut row_count = 0;
        let mut lead = 0;
        while lead < 256 {
            row_count += (rows[lead] != 0xff) as usize;
            lead += 1;
        }
        let (first_trail, width) = (rest[0], rest[1]);
        let (codes, rest) = rest.split_at(2).1.split_at(row_count * width as usize * 2);
        (Plane { rows, first_trail, width, codes }, rest)
    }

    fn code(&self, lead: u8, trail: u8) -> Option<u32> {
        let row = self.rows[usize::from(lead)];
        let column = trail.checked_sub(self.first_trail)?;
        if row == 0xff || column >= self.width {
            return None;
        }
        let code = u16_at(self.codes, usize::from(row) * usize::from(self.width) + usize::from(column));
        if code == 0 { None } else { Some(code.into()) }
    }
}

const fn u16_at(bytes: &[u8], index: usize) -> u16 {
    u16::from_le_bytes([bytes[2 * index], bytes[2 * index + 1]])
}

mod single {
    use super::SingleByte;

    pub(super) static ARMSCII8: SingleByte = SingleByte::new(include_bytes!("tables/armscii8.bin"));
    pub(super) static CP1250: SingleByte = SingleByte::new(include_bytes!("tables/cp1250.bin"));
    pub(super) static CP1251: SingleByte = SingleByte::new(include_bytes!("tables/cp1251.bin"));
    pub(super) static CP1256: SingleByte = SingleByte::new(include_bytes!("tables/cp1256.bin"));
    pub(super) static CP1257: SingleByte = SingleByte::new(include_bytes!("tables/cp1257.bin"));
    pub(super) static CP850: SingleByte = SingleByte::new(include_bytes!("tables/cp850.bin"));
    pub(super) static CP852: SingleByte = SingleByte::new(include_bytes!("tables/cp852.bin"));
    pub(super) static CP866: SingleByte = SingleByte::new(include_bytes!("tables/cp866.bin"));
    pub(super) static DEC8: SingleByte = SingleByte::new(include_bytes!("tables/dec8.bin"));
    pub(super) static GEOSTD8: SingleByte = SingleByte::new(include_bytes!("tables/geostd8.bin"));
    pub(super) static GREEK: SingleByte = SingleByte::new(include_bytes!("tables/greek.bin"));
    pub(super) static HEBREW: SingleByte = SingleByte::new(include_bytes!("tables/hebrew.bin"));
    pub(super) static HP8: SingleByte = SingleByte::new(include_bytes!("tables/hp8.bin"));
    pub(super) static KEYBCS2: SingleByte = SingleByte::new(include_bytes!("tables/keybcs2.bin"));
    pub(super) static KOI8R: SingleByte = SingleByte::new(include_bytes!("tables/koi8r.bin"));
    pub(super) static KOI8U: SingleByte = SingleByte::new(include_bytes!("tables/koi8u.bin"));
    pub(super) static LATIN1: SingleByte = SingleByte::new(include_bytes!("tables/latin1.bin"));
    pub(super) static LATIN2: SingleByte = SingleByte::new(include_bytes!("tables/latin2.bin"));
    pub(super) static LATIN5: SingleByte = SingleByte::new(include_bytes!("tables/latin5.bin"));
    pub(super) static LATIN7: SingleByte = SingleByte::new(include_bytes!("tables/latin7.bin"));
    pub(super) static MACCE: SingleByte = SingleByte::new(include_bytes!("tables/macce.bin"));
    pub(super) static MACROMAN: SingleByte = SingleByte::new(include_bytes!("tables/macroman.bin"));
    pub(super) static SWE7: SingleByte = SingleByte::new(include_bytes!("tables/swe7.bin"));
    pub(super) static TIS620: SingleByte = SingleByte::new(include_bytes!("tables/tis620.bin"));
}

mod multi {
    use super::MultiByte;

    pub(super) static BIG5: MultiByte = MultiByte::new(include_bytes!("tables/big5.bin"), 1);
    pub(super) static CP932: MultiByte = MultiByte::new(include_bytes!("tables/cp932.bin"), 1);
    pub(super) static EUCJPMS: MultiByte = MultiByte::new(include_bytes!("tables/eucjpms.bin"), 2);
    pub(super) static EUCKR: MultiByte = MultiByte::new(include_bytes!("tables/euckr.bin"), 1);
    pub(super) static GB18030: MultiByte = MultiByte::new(include_bytes!("tables/gb18030.bin"), 1);
    pub(super) static GB2312: MultiByte = MultiByte::new(include_bytes!("tables/gb2312.bin"), 1);
    pub(super) static GBK: MultiByte = MultiByte::new(include_bytes!("tables/gbk.bin"), 1);
    pub(super) static SJIS: MultiByte = MultiByte::new(include_bytes!("tables/sjis.bin"), 1);
    pub(super) static UJIS: MultiByte = MultiByte::new(include_bytes!("tables/ujis.bin"), 2);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_the_server_sends() {
        check_all(include_str!("tables/golden.txt"));
    }

    /// The same check on every code of every set, for a run by hand after `scripts/charsets.py --all`.
    #[test]
    fn text_is_what_the_server_sends_on_a_capture_of_your_own() {
        let Ok(path) = std::env::var("TIDEGATE_CHARSET_GOLDEN") else { return };
        check_all(&std::fs::read_to_string(path).expect("the file that the variable names is readable"));
    }

    #[test]
    fn every_set_is_found_by_its_name() {
        for (charset, name) in NAMES {
            assert_eq!(charset.name(), name);
            assert_eq!(Charset::from_name(name), Some(charset));
            assert_eq!(Charset::from_name(&name.to_uppercase()), Some(charset));
        }
        assert_eq!(Charset::from_name("utf8"), Some(Charset::Utf8mb3));
        assert_eq!(Charset::from_name("klingon"), None);
    }

    #[test]
    fn collations_name_their_set() {
        for (id, charset) in [
            (8, Some(Charset::Latin1)),
            (33, Some(Charset::Utf8mb3)),
            (45, Some(Charset::Utf8mb4)),
            (63, Some(Charset::Binary)),
            (249, Some(Charset::Gb18030)),
            (255, Some(Charset::Utf8mb4)),
            (309, Some(Charset::Utf8mb4)),
            (608, Some(Charset::Utf8mb4)),  // MariaDB: utf8mb4_croatian_ci
            (1032, Some(Charset::Latin1)),  // MariaDB: latin1_swedish_nopad_ci
            (1248, Some(Charset::Utf8mb4)), // MariaDB: utf8mb4_unicode_nopad_ci
            (2304, Some(Charset::Utf8mb4)), // MariaDB: utf8mb4_uca1400_ai_ci
            (3271, Some(Charset::Utf32)),
            (0, None),
            (1024, None),
            (1500, None),
            (4095, None),
            (u16::MAX, None),
        ] {
            assert_eq!(Charset::from_collation_id(id), charset, "{id}");
        }
    }

    #[test]
    fn long_ascii_is_kept_whatever_follows() {
        let text = "the quick brown fox jumps over the lazy dog ".repeat(3);
        for charset in [Charset::Ascii, Charset::Latin1, Charset::Gbk, Charset::Utf8mb3, Charset::Utf8mb4] {
            for length in 0..text.len() {
                assert_eq!(decode(charset, &text.as_bytes()[..length]).as_deref(), Ok(&text[..length]));
            }
        }
        let followed = [text.as_bytes(), b"\xc4\xe3\xba\xc3", text.as_bytes()].concat();
        assert_eq!(decode(Charset::Gbk, &followed), Ok(format!("{text}你好{text}")));
    }

    #[test]
    fn ascii_has_a_question_mark_for_other_bytes() {
        assert_eq!(decode(Charset::Ascii, b"a\x80\xff~").as_deref(), Ok("a??~"));
    }

    #[test]
    fn errors_name_the_byte_and_leave_the_output_alone() {
        for (charset, bytes, offset) in [
            (Charset::Utf8mb4, &b"ab\xff"[..], 2),
            (Charset::Utf8mb3, b"ab\xf0\x9f\x98\x80", 2),
            (Charset::Utf8mb3, b"a\xff\xf0\x9f\x98\x80", 1),
            (Charset::Gbk, b"\xc4\xe3\xba", 2),
            (Charset::Gb18030, b"\xc4\xe3\x81\x30\x81", 2),
            (Charset::Ujis, b"a\x8f\xb0", 1),
            (Charset::Ucs2, b"\0a\xd8\0", 2),
            (Charset::Utf16, b"\0a\xd8\0\0a", 2),
            (Charset::Utf16le, b"a\0b", 2),
            (Charset::Utf32, b"\0\0\0a\0\x11\0\0", 4),
        ] {
            let mut out = b"kept".to_vec();
            let error = charset.decode(bytes, &mut out).unwrap_err();
            assert_eq!(error, InvalidText { charset, offset });
            assert_eq!(out, b"kept");
        }
        let error = InvalidText { charset: Charset::Gbk, offset: 7 };
        assert_eq!(error.to_string(), "text is not valid gbk at byte 7");
    }

    fn check_all(lines: &str) {
        for line in lines.lines() {
            let &[name, stored, sent] = &line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let charset = Charset::from_name(name).expect("golden lines begin with a set");
            match sent {
                "!" => assert!(decode(charset, &unhex(stored)).is_err(), "{line}"),
                sent => assert_eq!(decode(charset, &unhex(stored)).map(String::into_bytes), Ok(unhex(sent)), "{line}"),
            }
        }
    }

    fn decode(charset: Charset, bytes: &[u8]) -> Result<String, InvalidText> {
        let mut out = Vec::new();
        charset.decode(bytes, &mut out)?;
        Ok(String::from_utf8(out).expect("decoded text is UTF-8"))
    }

    fn unhex(hex: &str) -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("golden lines hold hex"))
            .collect()
    }
}
