//! The types that MySQL has, and random values of each, as SQL.
//!
//! Half of the values are edges of their type, and some lie beyond: the server then stores what is nearest to them, which
//! is another edge. What is stored, only the server says.

use std::rc::Rc;

use fastrand::Rng;

use super::json;
use super::text::{Charset, quoted};
use super::{hex, pick};

#[derive(Clone)]
pub(crate) struct RandomType {
    /// As a column's definition has it.
    pub(crate) definition: String,
    pub(crate) nature: Nature,
}

/// The type as far as values depend on it.
#[derive(Clone)]
pub(crate) enum Nature {
    Int { bits: u32 },
    Decimal { precision: u8, scale: u8 },
    Float,
    Double,
    Bit { width: u32 },
    Year,
    Date,
    Time { fraction: usize },
    DateTime { fraction: usize },
    Timestamp { fraction: usize },
    Text { charset: Rc<Charset>, length_max: usize },
    Bytes { length_max: usize },
    Enum { labels: Vec<String> },
    Set { labels: Vec<String> },
    Json,
    Geometry { kind: &'static str, srid: Option<u32> },
    Vector { dimensions: usize },
}

impl RandomType {
    pub(super) fn new(definition: impl Into<String>, nature: Nature) -> RandomType {
        RandomType { definition: definition.into(), nature }
    }

    pub(super) fn random(rng: &mut Rng, charsets: &[Rc<Charset>]) -> RandomType {
        match rng.u8(..26) {
            0..4 => RandomType::int(rng),
            4..6 => RandomType::decimal(rng),
            6 => {
                let definition = pick(rng, &["FLOAT", "FLOAT UNSIGNED", "FLOAT(7,3)", "FLOAT(24)", "FLOAT ZEROFILL"]);
                RandomType::new(definition, Nature::Float)
            }
            7 => {
                let definition = pick(rng, &["DOUBLE", "REAL", "DOUBLE UNSIGNED", "DOUBLE(20,5)", "FLOAT(53)"]);
                RandomType::new(definition, Nature::Double)
            }
            8 => {
                let width = pick(rng, &[1, 2, 7, 8, 9, 16, 17, 33, 56, 63, 64]);
                RandomType::new(format!("BIT({width})"), Nature::Bit { width })
            }
            9 => RandomType::new("YEAR", Nature::Year),
            10 => RandomType::new("DATE", Nature::Date),
            11 => {
                let fraction = rng.usize(..=6);
                RandomType::new(format!("TIME({fraction})"), Nature::Time { fraction })
            }
            12 => {
                let fraction = rng.usize(..=6);
                RandomType::new(format!("DATETIME({fraction})"), Nature::DateTime { fraction })
            }
            13 => {
                let fraction = rng.usize(..=6);
                RandomType::new(format!("TIMESTAMP({fraction})"), Nature::Timestamp { fraction })
            }
            14..18 => RandomType::text(rng, charsets),
            18..20 => RandomType::bytes(rng),
            20 => RandomType::labels(rng, charsets, "ENUM"),
            21 => RandomType::labels(rng, charsets, "SET"),
            22..24 => RandomType::new("JSON", Nature::Json),
            24 => RandomType::geometry(rng),
            _ => {
                let dimensions = pick(rng, &[1, 2, 16, 300]);
                RandomType::new(format!("VECTOR({dimensions})"), Nature::Vector { dimensions })
            }
        }
    }

    fn int(rng: &mut Rng) -> RandomType {
        let (name, bits) = pick(
            rng,
            &[
                ("TINYINT", 8),
                ("TINYINT(1)", 8),
                ("BOOLEAN", 8),
                ("SMALLINT", 16),
                ("MEDIUMINT", 24),
                ("INT", 32),
                ("INT(4)", 32),
                ("BIGINT", 64),
            ],
        );
        let attributes = if name == "BOOLEAN" { "" } else { pick(rng, &["", " UNSIGNED", " ZEROFILL"]) };
        RandomType::new(format!("{name}{attributes}"), Nature::Int { bits })
    }

    fn decimal(rng: &mut Rng) -> RandomType {
        let precision = if rng.bool() { pick(rng, &[1, 9, 10, 18, 19, 38, 39, 65]) } else { rng.u8(1..=65) };
        let scale_max = precision.min(30);
        let scale = if rng.bool() { pick(rng, &[0, scale_max]) } else { rng.u8(..=scale_max) };
        let attributes = pick(rng, &["", "", " UNSIGNED", " ZEROFILL"]);
        RandomType::new(format!("DECIMAL({precision},{scale}){attributes}"), Nature::Decimal { precision, scale })
    }

    fn text(rng: &mut Rng, charsets: &[Rc<Charset>]) -> RandomType {
        let charset = Rc::clone(&charsets[rng.usize(..charsets.len())]);
        let (name, length_max) = match rng.u8(..8) {
            0..2 => ("CHAR", pick(rng, &[0, 1, 10, 63, 64, 100, 255])),
            2..5 => ("VARCHAR", pick(rng, &[0, 1, 20, 63, 64, 85, 127, 128, 255, 256, 300, 1000, 4000])),
            5 => ("TINYTEXT", 255),
            6 => ("TEXT", 65_535),
            _ => (pick(rng, &["MEDIUMTEXT", "LONGTEXT"]), 16_777_215),
        };
        let length = if name.ends_with("CHAR") { format!("({length_max})") } else { String::new() };
        let definition = format!("{name}{length} CHARACTER SET {} COLLATE {}", charset.name, charset.collation(rng));
        RandomType::new(definition, Nature::Text { charset, length_max })
    }

    fn bytes(rng: &mut Rng) -> RandomType {
        let (definition, length_max) = match rng.u8(..8) {
            0..2 => {
                let length = pick(rng, &[0, 1, 4, 16, 255]);
                (format!("BINARY({length})"), length)
            }
            2..4 => {
                let length = pick(rng, &[0, 1, 255, 256, 2000]);
                (format!("VARBINARY({length})"), length)
            }
            4 => ("TINYBLOB".to_owned(), 255),
            5 => ("BLOB".to_owned(), 65_535),
            6 => ("TEXT CHARACTER SET binary".to_owned(), 65_535),
            _ => (pick(rng, &["MEDIUMBLOB", "LONGBLOB"]).to_owned(), 16_777_215),
        };
        RandomType::new(definition, Nature::Bytes { length_max })
    }

    fn labels(rng: &mut Rng, charsets: &[Rc<Charset>], name: &str) -> RandomType {
        let charset = &charsets[rng.usize(..charsets.len())];
        let count = match rng.u8(..8) {
            0 => 64,
            1 if name == "ENUM" => rng.usize(255..400),
            2 => rng.usize(1..=64),
            _ => rng.usize(1..8),
        };
        let mut labels: Vec<String> = (0..count)
            .map(|number| {
                let length = rng.usize(..6);
                let more: String = if rng.bool() {
                    // A known gap: the server's catalogue shows `?` for the others, and so do messages.
                    charset.text(rng, length).chars().filter(|character| *character <= '\u{ffff}').collect()
                } else {
                    "'\"\\,()".chars().take(length).collect()
                };
                // A number, and what ends it, make labels different in every collation.
                format!("{number}n{more}")
            })
            .collect();
        if name == "SET" {
            labels.iter_mut().for_each(|label| *label = label.replace(',', ";"));
        } else if rng.u8(..4) == 0 {
            labels[0].clear();
        }
        let list: Vec<_> = labels.iter().map(|label| label_literal(label)).collect();
        let charset = match rng.u8(..8) {
            0 => "binary".to_owned(),
            _ => format!("{} COLLATE {}", charset.name, charset.collation(rng)),
        };
        let definition = format!("{name}({}) CHARACTER SET {charset}", list.join(","));
        let nature = if name == "ENUM" { Nature::Enum { labels } } else { Nature::Set { labels } };
        RandomType::new(definition, nature)
    }

    fn geometry(rng: &mut Rng) -> RandomType {
        let kind = pick(
            rng,
            &[
                "GEOMETRY",
                "POINT",
                "LINESTRING",
                "POLYGON",
                "MULTIPOINT",
                "MULTILINESTRING",
                "MULTIPOLYGON",
                "GEOMETRYCOLLECTION",
            ],
        );
        let srid = pick(rng, &[None, Some(0), Some(4326)]);
        let attribute = srid.map_or(String::new(), |srid| format!(" SRID {srid}"));
        RandomType::new(format!("{kind}{attribute}"), Nature::Geometry { kind, srid })
    }

    /// Whether a whole column of it can be part of a key.
    pub(super) fn can_be_key(&self) -> bool {
        match &self.nature {
            Nature::Json | Nature::Geometry { .. } | Nature::Vector { .. } => false,
            // As a label, an invalid value looks like the label ''; but it is another key.
            Nature::Enum { labels } => !labels[0].is_empty(),
            Nature::Text { length_max, .. } | Nature::Bytes { length_max } => (1..=100).contains(length_max),
            _ => true,
        }
    }

    /// Whether each number below 2^16 has a value of its own, see [`RandomType::numbered`].
    pub(super) fn can_be_numbered(&self) -> bool {
        match self.nature {
            Nature::Int { bits } => bits >= 24,
            Nature::Decimal { precision, scale } => precision - scale >= 5,
            Nature::Bit { width } => width >= 16,
            Nature::Double => !self.definition.contains('('),
            Nature::Date | Nature::DateTime { .. } | Nature::Timestamp { .. } => true,
            Nature::Text { length_max, .. } | Nature::Bytes { length_max } => self.can_be_key() && length_max >= 10,
            _ => false,
        }
    }

    /// A value that no other number has, in no order.
    pub(super) fn numbered(&self, rng: &mut Rng, number: u64) -> String {
        let scattered = (number * 40_503) % 65_536;
        match &self.nature {
            Nature::Int { bits: 24 } => format!("{}", scattered * 100),
            Nature::Int { .. } => format!("{}", scattered * 30_000),
            Nature::Decimal { .. } | Nature::Bit { .. } => scattered.to_string(),
            Nature::Double => format!("{scattered}e-3"),
            Nature::Date => format!("'2000-01-01' + INTERVAL {scattered} DAY"),
            Nature::DateTime { .. } | Nature::Timestamp { .. } => {
                format!("'1971-01-01' + INTERVAL {} SECOND", scattered * 30_001)
            }
            Nature::Text { charset, length_max } => {
                quoted(&format!("{scattered:05}x{}", charset.text(rng, length_max - 6).trim_end()))
            }
            Nature::Bytes { .. } => hex(scattered.to_be_bytes()[6..].iter().copied()),
            _ => unreachable!("{} cannot be numbered", self.definition),
        }
    }

    pub(super) fn literal(&self, rng: &mut Rng) -> String {
        match &self.nature {
            Nature::Int { bits } => int(rng, *bits),
            Nature::Decimal { precision, scale } => decimal(rng, *precision as usize, *scale as usize),
            Nature::Float => float(rng),
            Nature::Double => double(rng),
            Nature::Bit { width } => bits(rng, *width).to_string(),
            Nature::Year => match rng.u8(..3) {
                0 => pick(rng, &["0", "'0000'", "1901", "2155", "69", "70", "'0'"]).to_owned(),
                _ => rng.u16(1901..=2155).to_string(),
            },
            Nature::Date => format!("'{}'", date(rng)),
            Nature::DateTime { fraction } => format!("'{} {}'", date(rng), time_of_day(rng, *fraction)),
            Nature::Timestamp { fraction } => timestamp(rng, *fraction),
            Nature::Time { fraction } => time(rng, *fraction),
            Nature::Text { charset, length_max } => {
                let length = length(rng, *length_max);
                charset.literal(rng, length)
            }
            Nature::Bytes { length_max } => bytes(rng, *length_max),
            Nature::Enum { labels } => match rng.u8(..6) {
                0 => "0".to_owned(),
                1 => labels.len().to_string(),
                2 => quoted(&labels[rng.usize(..labels.len())]),
                _ => rng.usize(1..=labels.len()).to_string(),
            },
            Nature::Set { labels } => match rng.u8(..6) {
                0 => "''".to_owned(),
                1 => bits(rng, 64).to_string(),
                2 => quoted(&labels.iter().filter(|_| rng.bool()).cloned().collect::<Vec<_>>().join(",")),
                _ => bits(rng, labels.len() as u32).to_string(),
            },
            Nature::Json => json::document(rng),
            Nature::Geometry { kind, srid } => {
                let srid = srid.unwrap_or_else(|| pick(rng, &[0, 4326, 3857]));
                format!("ST_GeomFromText('{}', {srid})", geometry(rng, kind, srid))
            }
            Nature::Vector { dimensions } => {
                let some = rng.usize(1..=*dimensions);
                let count = pick(rng, &[1, some, *dimensions]);
                hex((0..count).flat_map(|_| finite_f32(rng).to_le_bytes()))
            }
        }
    }
}

/// A label in a definition, where expressions are not allowed.
fn label_literal(label: &str) -> String {
    format!("'{}'", label.replace('\\', "\\\\").replace('\'', "''").replace('\0', "\\0"))
}

/// Edges, mostly short, and now and then long enough to need another width of length.
fn length(rng: &mut Rng, max: usize) -> usize {
    match rng.u16(..400) {
        0 => max.min(70_000),
        1..40 => 0,
        40..80 => max.min(300),
        80..100 => max.min(301) - max.min(1),
        100..160 => rng.usize(..=max.min(300)),
        _ => rng.usize(..=max.min(16)),
    }
}

fn int(rng: &mut Rng, width: u32) -> String {
    let half = 1_i128 << (width - 1);
    let edges = [0, 1, -1, half - 1, half, -half, -half + 1, 2 * half - 1, 10, 100, 99];
    match rng.u8(..3) {
        0 => pick(rng, &edges).to_string(),
        1 => rng.i128(-half..2 * half).to_string(),
        _ => (rng.i128(-half..2 * half) >> rng.u32(..width)).to_string(),
    }
}

fn decimal(rng: &mut Rng, precision: usize, scale: usize) -> String {
    let whole = precision - scale;
    let sign = pick(rng, &["", "-"]);
    let digits = |rng: &mut Rng, count: usize| (0..count).map(|_| rng.digit(10)).collect::<String>();
    let (whole, fraction) = match rng.u8(..6) {
        0 => ("9".repeat(whole), "9".repeat(scale)),
        1 => (String::new(), format!("{:0>scale$}", if scale > 0 { "1" } else { "" })),
        2 => (String::new(), String::new()),
        3 => (format!("1{}", "0".repeat(whole.saturating_sub(1))), String::new()),
        4 => {
            let length = rng.usize(..=whole);
            (digits(rng, length), digits(rng, scale))
        }
        _ => (digits(rng, whole), digits(rng, scale)),
    };
    format!("{sign}0{whole}.{fraction}0")
}

fn finite_f32(rng: &mut Rng) -> f32 {
    const EDGES: [f32; 18] = [
        0.0,
        -0.0,
        f32::MIN_POSITIVE,
        f32::MAX,
        f32::MIN,
        1.4e-45,
        1.175_494_2e-38,
        16_777_216.0,
        9_999_999.0,
        1e7,
        1e-3,
        9.999_999e-4,
        0.1,
        1_234_567.9,
        8_388_608.5,
        3.3e10,
        1e23,
        -1.5,
    ];
    if rng.bool() {
        return pick(rng, &EDGES);
    }
    loop {
        let value = f32::from_bits(rng.u32(..));
        if value.is_finite() {
            return value;
        }
    }
}

/// With an exponent, or the server would take the number for a decimal, which has no -0.
fn float(rng: &mut Rng) -> String {
    match rng.u8(..3) {
        0 => double(rng),
        _ => format!("{:e}", finite_f32(rng)),
    }
}

fn double(rng: &mut Rng) -> String {
    format!("{:e}", finite_f64(rng))
}

pub(super) fn finite_f64(rng: &mut Rng) -> f64 {
    const EDGES: [f64; 22] = [
        0.0,
        -0.0,
        f64::MIN_POSITIVE,
        f64::MAX,
        f64::MIN,
        5e-324,
        2.225_073_858_507_201e-308,
        9_007_199_254_740_993.0,
        1e7,
        9_999_999.999_999_998,
        1e-3,
        9.999_999_999_999_999e-4,
        1e21,
        1e22,
        1e23,
        9.999_999_999_999_997e22,
        0.1,
        0.3,
        123_456_789.125,
        2e-3,
        100.0,
        -2.5,
    ];
    match rng.u8(..4) {
        0..2 => pick(rng, &EDGES),
        2 => (rng.i64(..) >> rng.u32(..64)) as f64 / 10_f64.powi(rng.i32(0..20)),
        _ => loop {
            let value = f64::from_bits(rng.u64(..));
            if value.is_finite() {
                return value;
            }
        },
    }
}

fn bits(rng: &mut Rng, width: u32) -> u64 {
    let all = u64::MAX >> (64 - width);
    match rng.u8(..6) {
        0 => 0,
        1 => all,
        2 => 1 << (width - 1),
        3 => 1,
        _ => rng.u64(..) & all,
    }
}

pub(super) fn date(rng: &mut Rng) -> String {
    const EDGES: [&str; 16] = [
        "0000-00-00",
        "2010-00-10",
        "2010-01-00",
        "0000-01-01",
        "0000-02-29",
        "0001-01-01",
        "1000-01-01",
        "1582-10-10",
        "1900-02-28",
        "1969-12-31",
        "1970-01-01",
        "2000-02-29",
        "2023-02-31",
        "2023-02-29",
        "9999-12-31",
        "9999-00-00",
    ];
    match rng.u8(..4) {
        0 => pick(rng, &EDGES).to_owned(),
        1 => format!("{:04}-{:02}-{:02}", rng.u16(..=9999), rng.u8(..=12), rng.u8(..=31)),
        _ => format!("{:04}-{:02}-{:02}", rng.u16(1900..2100), rng.u8(1..=12), rng.u8(1..=28)),
    }
}

/// Digits of a second with a point before them: none, as many as the column has, or one more to be rounded.
fn fraction_text(rng: &mut Rng, fraction: usize) -> String {
    let digits = match rng.u8(..4) {
        0 => return String::new(),
        1 => "999999".to_owned(),
        2 => "000001".to_owned(),
        _ => format!("{:06}", rng.u32(..1_000_000)),
    };
    let end = if rng.bool() { fraction } else { (fraction + 1).min(6) };
    if end == 0 { String::new() } else { format!(".{}", &digits[..end]) }
}

pub(super) fn time_of_day(rng: &mut Rng, fraction: usize) -> String {
    let time = match rng.u8(..4) {
        0 => pick(rng, &["00:00:00", "23:59:59", "12:00:00", "00:00:01"]).to_owned(),
        _ => format!("{:02}:{:02}:{:02}", rng.u8(..24), rng.u8(..60), rng.u8(..60)),
    };
    time + &fraction_text(rng, fraction)
}

fn time(rng: &mut Rng, fraction: usize) -> String {
    let sign = pick(rng, &["", "-"]);
    let time = match rng.u8(..4) {
        0 => pick(rng, &["00:00:00", "838:59:59", "838:59:58", "24:00:00", "99:59:59", "100:00:00"]).to_owned(),
        1 => format!("00:00:{:02}", rng.u8(..3)),
        _ => format!("{:02}:{:02}:{:02}", rng.u16(..839), rng.u8(..60), rng.u8(..60)),
    };
    format!("'{sign}{time}{}'", fraction_text(rng, fraction))
}

/// In the time zone of the session that writes.
fn timestamp(rng: &mut Rng, fraction: usize) -> String {
    const EDGES: [&str; 12] = [
        "0000-00-00 00:00:00",
        "1970-01-01 00:00:00",
        "1970-01-01 00:00:01",
        "1970-01-01 14:00:00",
        "2038-01-19 03:14:07",
        "2038-01-18 23:59:59",
        // Hours that one zone or another skips or has twice.
        "2024-03-31 02:30:00",
        "2024-10-27 02:30:00",
        "2024-03-10 02:59:59",
        "2024-11-03 01:00:00",
        "2011-12-30 12:00:00",
        "2001-09-09 01:46:40",
    ];
    match rng.u8(..3) {
        0 => format!("'{}{}'", pick(rng, &EDGES), fraction_text(rng, fraction)),
        _ => format!(
            "'{:04}-{:02}-{:02} {}'",
            rng.u16(1970..=2037),
            rng.u8(1..=12),
            rng.u8(1..=28),
            time_of_day(rng, fraction)
        ),
    }
}

fn bytes(rng: &mut Rng, length_max: usize) -> String {
    let length = length(rng, length_max);
    match rng.u8(..8) {
        0 => format!("REPEAT(X'00', {length})"),
        1 => format!("REPEAT(X'ff', {length})"),
        2 => hex((0..length).map(|index| if index < length / 2 { rng.u8(..) } else { 0 })),
        3 => hex((0..length).map(|_| pick(rng, b"\0 \"\\\x7f\x80\xc3\xa9"))),
        _ => hex((0..length).map(|_| rng.u8(..))),
    }
}

/// Well-known text; the order of its axes is that of the reference system.
fn geometry(rng: &mut Rng, kind: &str, srid: u32) -> String {
    let point = |rng: &mut Rng| {
        let (x, y) = if srid == 4326 {
            (pick(rng, &[0.0, -0.0, 90.0, -90.0, 48.1, 1e-300]), pick(rng, &[0.0, 180.0, -179.999_999, 11.5, 0.1]))
        } else {
            (pick(rng, &[0.0, -0.0, 1.5, -1e300, 5e-324]), f64::from(rng.i32(..)) / 1000.0)
        };
        format!("{x:e} {y:e}")
    };
    let points = |rng: &mut Rng, least: usize| {
        let count = rng.usize(least..least + 6);
        (0..count).map(|_| point(rng)).collect::<Vec<_>>()
    };
    let ring = |rng: &mut Rng| {
        let mut ring = points(rng, 3);
        ring.push(ring[0].clone());
        format!("({})", ring.join(", "))
    };
    match kind {
        "POINT" => format!("POINT({})", point(rng)),
        "LINESTRING" => format!("LINESTRING({})", points(rng, 2).join(", ")),
        "POLYGON" => format!("POLYGON({})", ring(rng)),
        "MULTIPOINT" => format!("MULTIPOINT({})", points(rng, 1).join(", ")),
        "MULTILINESTRING" => format!("MULTILINESTRING(({}))", points(rng, 2).join(", ")),
        "MULTIPOLYGON" => format!("MULTIPOLYGON(({}), ({}))", ring(rng), ring(rng)),
        "GEOMETRYCOLLECTION" if rng.bool() => "GEOMETRYCOLLECTION EMPTY".to_owned(),
        "GEOMETRYCOLLECTION" => {
            format!("GEOMETRYCOLLECTION({}, {})", geometry(rng, "POINT", srid), geometry(rng, "LINESTRING", srid))
        }
        _ => {
            let kind = pick(rng, &["POINT", "POLYGON", "MULTIPOINT", "GEOMETRYCOLLECTION"]);
            geometry(rng, kind, srid)
        }
    }
}
