//! Random JSON: as text, and built by the server from values that JSON's own text has no form for.

use fastrand::Rng;

use super::text::quoted;
use super::types::{date, finite_f64, time_of_day};
use super::{hex, pick};

/// An expression that gives a document.
pub(super) fn document(rng: &mut Rng) -> String {
    match rng.u16(..400) {
        // Above 64 KiB the binary form has other widths.
        0 => "CONCAT('[\"', REPEAT('long ', 14000), '\"]')".to_owned(),
        1 => "CONCAT('{\"a\": [', REPEAT('1234567, ', 9000), 'null]}')".to_owned(),
        2 => quoted(&object(rng, 3000, 0)),
        3..10 => {
            let depth = rng.u8(50..=100);
            format!("CONCAT(REPEAT('[', {depth}), REPEAT(']', {depth}))")
        }
        10..120 => {
            let values = [scalar(rng), scalar(rng), scalar(rng)];
            let [a, b, c] = values;
            format!("JSON_OBJECT('a', {a}, 'list', JSON_ARRAY({b}, {c}), 'b', JSON_OBJECT('a', {}))", scalar(rng))
        }
        120..140 => format!("JSON_EXTRACT(JSON_ARRAY({}), '$[0]')", scalar(rng)),
        _ => quoted(&value(rng, 4)),
    }
}

/// One that changes a part of the document in `column`, so that the server may log only that part.
pub(super) fn change(rng: &mut Rng, column: &str) -> String {
    match rng.u8(..6) {
        0 => format!("JSON_REMOVE({column}, '$.a')"),
        1 => format!("JSON_REPLACE({column}, '$[0]', {})", scalar(rng)),
        2 => format!("JSON_REPLACE({column}, '$.list[1]', {}, '$.b.a', 'replaced')", scalar(rng)),
        3 => format!("JSON_SET({column}, '$.new', {})", scalar(rng)),
        _ => format!("JSON_SET({column}, '$.a', {})", scalar(rng)),
    }
}

/// A value of SQL.
fn scalar(rng: &mut Rng) -> String {
    match rng.u8(..16) {
        0 => format!("CAST('{}.{}' AS DECIMAL(65,30))", rng.i64(..), rng.u64(..)),
        1 => format!("CAST('{}' AS DECIMAL(5,2))", pick(rng, &["1.50", "-0.01", "0", "999.99"])),
        2 => format!("CAST('{}' AS DATE)", date(rng)),
        3 => format!("CAST('{} {}' AS DATETIME(6))", date(rng), time_of_day(rng, 6)),
        4 => format!("CAST('{}{}' AS TIME(6))", pick(rng, &["", "-"]), time_of_day(rng, 6)),
        5 => hex((0..rng.usize(..40)).map(|_| rng.u8(..))),
        6 => pick(rng, &["b'101'", "CAST('2024' AS YEAR)", "ST_GeomFromText('POINT(1 2)')", "CAST('x' AS BINARY(3))"])
            .to_owned(),
        7 => format!("{:e}", finite_f64(rng)),
        8 => pick(rng, &["NULL", "TRUE", "FALSE", "''", "0", "-1", "1.0", "-0e0", "CAST(1.5 AS FLOAT)"]).to_owned(),
        9 => pick(rng, &["18446744073709551615", "9223372036854775808", "-9223372036854775808", "32768", "-32769"])
            .to_owned(),
        10 => format!("TIMESTAMP'{} {}'", pick(rng, &["2024-02-29", "1970-01-01"]), time_of_day(rng, 3)),
        11 => rng.i64(..).to_string(),
        _ => quoted(&characters(rng)),
    }
}

/// Text of JSON.
fn value(rng: &mut Rng, depth: u8) -> String {
    match rng.u8(..14) {
        0 => pick(rng, &["null", "true", "false"]).to_owned(),
        1 => pick(rng, &["0", "-0", "1", "-1", "32767", "32768", "-32768", "-32769", "65535", "65536"]).to_owned(),
        2 => pick(
            rng,
            &[
                "2147483647",
                "2147483648",
                "4294967296",
                "9223372036854775807",
                "9223372036854775808",
                "-9223372036854775808",
                "18446744073709551615",
                "18446744073709551616",
            ],
        )
        .to_owned(),
        3 => pick(rng, &["1.0", "-0.0", "1E5", "1e-5", "0.10", "1e100", "123456789012345678901234567890", "5e-324"])
            .to_owned(),
        4 => format!("{:e}", finite_f64(rng)),
        5 => rng.i64(..).to_string(),
        6 | 7 => string(&characters(rng)),
        8..11 if depth > 0 => {
            let count = rng.usize(..6);
            object(rng, count, depth - 1)
        }
        11.. if depth > 0 => {
            let values: Vec<_> = (0..rng.usize(..6)).map(|_| value(rng, depth - 1)).collect();
            format!("[{}]", values.join(", "))
        }
        _ => string(""),
    }
}

fn object(rng: &mut Rng, count: usize, depth: u8) -> String {
    let members: Vec<_> = (0..count)
        .map(|_| {
            let key = if rng.bool() { pick(rng, &["a", "b", "list", ""]).to_owned() } else { characters(rng) };
            format!("{}:{}", string(&key), value(rng, depth))
        })
        .collect();
    format!("{{{}}}", members.join(" ,"))
}

/// Of lengths whose own length takes one byte or two.
fn characters(rng: &mut Rng) -> String {
    const CHARACTERS: [char; 20] = [
        'a',
        'b',
        'z',
        'Z',
        '0',
        ' ',
        '"',
        '\\',
        '/',
        '\0',
        '\u{8}',
        '\t',
        '\n',
        '\u{1f}',
        '\u{7f}',
        '\u{e9}',
        '\u{2028}',
        '\u{6f6e}',
        '\u{ffff}',
        '\u{1f30a}',
    ];
    let length = match rng.u8(..32) {
        0 => rng.usize(120..140),
        1 => rng.usize(..400),
        _ => rng.usize(..8),
    };
    (0..length).map(|_| pick(rng, &CHARACTERS)).collect()
}

fn string(text: &str) -> String {
    serde_json::to_string(text).expect("a string")
}
