use std::sync::Arc;

use arrow::array::ArrayRef;
use fastrand::Rng;

use super::*;
use tidegate_model::types::{date_from_parts, datetime_from_parts};
use tidegate_model::{Column, ColumnBuilder, Values};

const INDEX: TextOptions = TextOptions { enum_as: EnumText::Index, set_as: SetText::Bits, time_zone_offset_s: 0 };
const LABEL: TextOptions = TextOptions { enum_as: EnumText::Label, set_as: SetText::Labels, time_zone_offset_s: 0 };

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).expect("text is UTF-8")
}

fn column(sql_type: &SqlType, push: impl FnOnce(&mut Values)) -> ArrayRef {
    let column = Column {
        name: "c".into(),
        sql_type: sql_type.clone(),
        type_text: String::new(),
        nullable: true,
        charset: None,
        collation: None,
    };
    let mut builder = ColumnBuilder::new(&column);
    push(&mut builder.values);
    builder.append_valid();
    builder.append_null();
    builder.finish().unwrap()
}

#[track_caller]
fn check_with(options: &TextOptions, sql_type: SqlType, push: impl FnOnce(&mut Values), expected: &str) {
    let array = column(&sql_type, push);
    let column = TextColumn::bind(&array, &sql_type, options).unwrap();
    assert!(!column.is_null(0) && column.is_null(1));
    assert!(column.same(0, 0) && column.same(1, 1) && !column.same(0, 1));
    assert_eq!(text(|out| column.write(0, out)), expected);
    assert!(width(&sql_type, options) + column.text_bytes() + 8 >= expected.len());
    assert_eq!(text(|out| column.write_json(0, out)), serde_json::to_string(expected).unwrap());
}

#[track_caller]
fn check(sql_type: SqlType, push: impl FnOnce(&mut Values), expected: &str) {
    check_with(&LABEL, sql_type, push, expected);
}

/// `push!(I8: -1)`: a closure that appends a value to the builder's buffer of that kind.
macro_rules! push {
    (Bytes: $value:expr) => {
        |values: &mut Values| {
            let Values::Bytes { data, offsets } = values else { panic!("not bytes") };
            tidegate_model::builder::push_bytes(data, offsets, $value.as_ref());
        }
    };
    ($arm:ident: $value:expr) => {
        |values: &mut Values| {
            let Values::$arm(values) = values else { panic!("not {}", stringify!($arm)) };
            values.push($value);
        }
    };
}

#[test]
fn every_type_has_its_text() {
    let int = |bytes, unsigned| SqlType::Int { bytes, unsigned };
    check(int(1, false), push!(I8: -128), "-128");
    check(int(1, true), push!(U8: 255), "255");
    check(int(2, false), push!(I16: -32768), "-32768");
    check(int(2, true), push!(U16: 65535), "65535");
    check(int(3, false), push!(I32: -8388608), "-8388608");
    check(int(3, true), push!(U32: 16777215), "16777215");
    check(int(4, false), push!(I32: i32::MIN), "-2147483648");
    check(int(4, true), push!(U32: u32::MAX), "4294967295");
    check(int(8, false), push!(I64: i64::MIN), "-9223372036854775808");
    check(int(8, true), push!(U64: u64::MAX), "18446744073709551615");
    check(SqlType::Float, push!(F32: 1.6777216e7), "1.6777216E7");
    check(SqlType::Double, push!(F64: 100.0), "100.0");
    check(SqlType::Decimal { precision: 10, scale: 2 }, push!(I128: -5), "-0.05");
    check(SqlType::Decimal { precision: 10, scale: 0 }, push!(I128: 0), "0");
    check(
        SqlType::Decimal { precision: 65, scale: 30 },
        push!(I256: i256::from_i128(-15)),
        "-0.000000000000000000000000000015",
    );
    check(SqlType::Bit { width: 64 }, push!(U64: u64::MAX), "18446744073709551615");
    check(SqlType::Year, push!(U16: 0), "0000");
    check(SqlType::Year, push!(U16: 2024), "2024");
    check(SqlType::Date, push!(I32: date_from_parts(2024, 2, 29)), "2024-02-29");
    check(SqlType::Date, push!(I32: date_from_parts(2010, 0, 10)), "2010-00-10");
    check(SqlType::Time { fraction: 0 }, push!(I64: 3_020_399_000_000), "838:59:59");
    check(SqlType::Time { fraction: 6 }, push!(I64: -1), "-00:00:00.000001");
    let leap_second = datetime_from_parts(2024, 2, 29, 86_399_120_000);
    check(SqlType::DateTime { fraction: 3 }, push!(I64: leap_second), "2024-02-29 23:59:59.120");
    check(SqlType::Timestamp { fraction: 0 }, push!(I64: 0), "1970-01-01 00:00:00");
    check(SqlType::Char, push!(Bytes: "a\"\\\n\u{7f}/日"), "a\"\\\n\u{7f}/日");
    check(SqlType::VarChar, push!(Bytes: ""), "");
    check(SqlType::Text, push!(Bytes: "x"), "x");
    check(SqlType::Json, push!(Bytes: r#"{"a": 1}"#), r#"{"a": 1}"#);
    check(SqlType::Binary { length: 2 }, push!(Bytes: [1_u8, 0]), "\u{1}\0");
    check(SqlType::VarBinary, push!(Bytes: [0x80_u8, 0xff, b'"', 0x1f]), "\u{80}\u{ff}\"\u{1f}");
    check(SqlType::Blob, push!(Bytes: b"ascii"), "ascii");
    check(SqlType::Geometry, push!(Bytes: [0xe6_u8, 0x10, 0, 0, 1]), "\u{e6}\u{10}\0\0\u{1}");
    let floats: Vec<u8> = [1.5_f32, 2.0, -1e-4].iter().flat_map(|f| f.to_le_bytes()).collect();
    check(SqlType::Vector, push!(Bytes: floats), "[1.5,2.0,-1.0E-4]");
}

#[test]
fn enum_and_set_are_labels_or_numbers() {
    let labels: Arc<[String]> = Arc::from(["red".to_owned(), "\"blue\"".to_owned(), "x".to_owned()]);
    let (an_enum, a_set) = (SqlType::Enum { labels: labels.clone() }, SqlType::Set { labels });
    check_with(&INDEX, an_enum.clone(), push!(U16: 2), "2");
    check_with(&LABEL, an_enum.clone(), push!(U16: 2), "\"blue\"");
    check_with(&LABEL, an_enum.clone(), push!(U16: 0), "");
    check_with(&INDEX, a_set.clone(), push!(U64: 6), "6");
    check_with(&LABEL, a_set.clone(), push!(U64: 6), "\"blue\",x");
    check_with(&LABEL, a_set, push!(U64: 0), "");
}

#[test]
fn timestamps_move_to_the_time_zone_and_others_do_not() {
    let west = TextOptions { time_zone_offset_s: -5 * 3600, ..LABEL };
    check_with(&west, SqlType::Timestamp { fraction: 1 }, push!(I64: 100_000), "1969-12-31 19:00:00.1");
    check_with(&west, SqlType::Timestamp { fraction: 1 }, push!(I64: i64::MIN), "0000-00-00 00:00:00.0");
    check_with(&west, SqlType::DateTime { fraction: 0 }, push!(I64: 0), "1970-01-01 00:00:00");
    let partial = datetime_from_parts(2023, 2, 31, 1_000_001);
    check_with(&west, SqlType::DateTime { fraction: 6 }, push!(I64: partial), "2023-02-31 00:00:01.000001");
}

#[test]
fn values_without_text_are_refused() {
    let array = column(&SqlType::Float, push!(F32: 1.0));
    assert!(matches!(TextColumn::bind(&array, &SqlType::Double, &LABEL), Err(BindError::Type { .. })));
    let array = column(&SqlType::Vector, push!(Bytes: [0_u8; 5]));
    assert_eq!(TextColumn::bind(&array, &SqlType::Vector, &LABEL).unwrap_err(), BindError::Vector);
    let labels = |labels: &[&str]| SqlType::Enum { labels: labels.iter().map(|&label| label.to_owned()).collect() };
    let array = column(&labels(&["a"]), push!(U16: 1));
    assert_eq!(TextColumn::bind(&array, &labels(&["b", "a"]), &LABEL).unwrap_err(), BindError::Labels);
}

/// Lines of a golden file without comments, split at the first space.
fn golden(file: &str) -> impl Iterator<Item = (&str, &str)> {
    file.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_once(' ').expect("two words"))
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.strip_prefix('x').expect("x, then hexadecimal").as_bytes();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn floats_are_written_as_java_writes_them() {
    for (bits, expected) in golden(include_str!("../../../../../tests/golden/java/doubles.txt")) {
        let value = f64::from_bits(u64::from_str_radix(bits, 16).unwrap());
        assert_eq!(text(|out| write_double(value, out)), expected);
    }
    for (bits, expected) in golden(include_str!("../../../../../tests/golden/java/floats.txt")) {
        let value = f32::from_bits(u32::from_str_radix(bits, 16).unwrap());
        assert_eq!(text(|out| write_float(value, out)), expected);
    }
    for (value, expected) in [(f64::NAN, "NaN"), (f64::INFINITY, "Infinity"), (f64::NEG_INFINITY, "-Infinity")] {
        assert_eq!(text(|out| write_double(value, out)), expected);
        assert_eq!(text(|out| write_float(value as f32, out)), expected);
    }
}

#[test]
fn strings_are_escaped_as_fastjson2_escapes_them() {
    for (value, json) in golden(include_str!("../../../../../tests/golden/java/json_strings.txt")) {
        let (value, json) = (String::from_utf8(unhex(value)).unwrap(), String::from_utf8(unhex(json)).unwrap());
        assert_eq!(text(|out| write_json_string(&value, out)), json);
        let latin1: Option<Vec<u8>> = value.chars().map(|c| u8::try_from(c as u32).ok()).collect();
        if let Some(latin1) = latin1 {
            assert_eq!(text(|out| write_latin1_json(&latin1, out)), json);
            assert_eq!(text(|out| write_latin1(&latin1, out)), value);
        }
    }
}

/// Runs a property on many random inputs; its message names the seed of the one that failed.
fn for_random(property: impl Fn(&mut Rng)) {
    let first: u64 = fastrand::u64(..);
    for seed in (0..20_000).map(|step| first.wrapping_add(step)) {
        let run = std::panic::AssertUnwindSafe(|| property(&mut Rng::with_seed(seed)));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn decimals_equal_their_slow_twin() {
    fn slow(digits: &str, scale: usize) -> String {
        let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
        let digits = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
    }
    for_random(|rng| {
        let value = rng.i128(..) / 10_i128.pow(rng.u32(0..=38));
        let scale = rng.usize(0..=30);
        assert_eq!(text(|out| write_decimal128(value, scale, out)), slow(&value.to_string(), scale));
        let wide =
            i256::from_i128(value).wrapping_mul(i256::from_i128(rng.i128(0..10_i128.pow(37)) >> rng.u32(0..120)));
        assert_eq!(text(|out| write_decimal256(wide, scale, out)), slow(&wide.to_string(), scale));
    });
}

#[test]
fn dates_and_times_equal_their_slow_twin() {
    for_random(|rng| {
        let (year, month, day) = (rng.u32(0..=9999), rng.u32(0..=12), rng.u32(0..=31));
        let date = format!("{year:04}-{month:02}-{day:02}");
        assert_eq!(text(|out| write_date(date_from_parts(year, month, day), out)), date);

        let (hour, minute, second, microsecond) =
            (rng.u64(0..24), rng.u64(0..60), rng.u64(0..60), rng.u64(0..1_000_000));
        let time = format!("{hour:02}:{minute:02}:{second:02}.{microsecond:06}");
        let fraction = rng.usize(0..=6);
        let cut = if fraction == 0 { 7 } else { 6 - fraction };
        let of_day = ((hour * 60 + minute) * 60 + second) * 1_000_000 + microsecond;
        let expected = format!("{date} {}", &time[..time.len() - cut]);
        assert_eq!(
            text(|out| write_datetime(datetime_from_parts(year, month, day, of_day), 0, fraction, out)),
            expected
        );

        let (days, negative) = (rng.u64(0..40), rng.bool());
        let span = (days * 86_400_000_000 + of_day) as i64;
        let hours = days * 24 + hour;
        let sign = if negative && span != 0 { "-" } else { "" };
        let expected = format!("{sign}{hours:02}{}", &time[2..time.len() - cut]);
        assert_eq!(text(|out| write_time(if negative { -span } else { span }, fraction, out)), expected);
    });
}

#[test]
fn years_beyond_four_digits_are_written_in_full() {
    let days = date_from_parts(9999, 12, 31);
    assert_eq!(text(|out| write_date(days + 1, out)), "10000-01-01");
    let days = date_from_parts(0, 1, 1);
    assert_eq!(text(|out| write_date(days - 1, out)), "-1-12-31");
}

#[test]
fn floats_equal_their_slow_twin() {
    /// Java's definition: the fewest digits, at least two, that read back as the value, laid out in its way. `digits`
    /// prints the value with so many digits after the first; formatting with a precision is exact.
    fn slow(digits: impl Fn(usize) -> String, reads_back: impl Fn(&str) -> bool) -> String {
        let shortest = (1..).map(digits).find(|text| reads_back(text)).unwrap();
        let (mantissa, exponent) = shortest.split_once('e').unwrap();
        let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |digits| ("-", digits));
        let digits = mantissa.replace('.', "");
        let digits = match digits.trim_end_matches('0') {
            "" => "0",
            digits => digits,
        };
        let exponent: i32 = exponent.parse().unwrap();
        let point = |at: usize| {
            let digits = format!("{digits:0<width$}", width = at + 1);
            format!("{sign}{}.{}", &digits[..at], &digits[at..])
        };
        match exponent {
            -3..0 => format!("{sign}0.{}{digits}", "0".repeat(-exponent as usize - 1)),
            0..7 => point(exponent as usize + 1),
            _ => format!("{}E{exponent}", point(1)),
        }
    }
    for_random(|rng| {
        let double = match rng.u8(0..4) {
            0 => f64::from_bits(rng.u64(..) >> rng.u32(12..64)),
            1 => f64::from_bits(rng.u64(..)),
            2 => rng.i32(..) as f64 / 10_f64.powi(rng.i32(0..12)),
            _ => (rng.f64() - 0.5) * 10_f64.powi(rng.i32(-8..12)),
        };
        // Below a power of two its neighbours stand closer, and the nearest decimal is not always the one that reads back.
        if double.is_finite() && double.to_bits() << 12 != 0 {
            let expected = slow(|digits| format!("{double:.digits$e}"), |text| text.parse() == Ok(double));
            assert_eq!(text(|out| write_double(double, out)), expected);
        }
        let float = if rng.bool() { f32::from_bits(rng.u32(..)) } else { double as f32 };
        if float.is_finite() && float.to_bits() << 9 != 0 {
            let expected = slow(|digits| format!("{float:.digits$e}"), |text| text.parse() == Ok(float));
            assert_eq!(text(|out| write_float(float, out)), expected);
        }
    });
}

#[test]
fn long_strings_take_no_more_memory_than_they_need() {
    let long = "x".repeat(10_000_000);
    let mut out = Vec::with_capacity(long.len() + 2);
    write_json_string(&long, &mut out);
    assert!(out.len() == long.len() + 2 && out.capacity() == out.len());
}

#[test]
fn escaped_text_equals_its_slow_twin() {
    for_random(|rng| {
        let length = rng.usize(0..150);
        let string: String = (0..length)
            .map(|_| match rng.u8(0..8) {
                0 => rng.char('\0'..' '),
                1 => ['"', '\\', '/', '\u{7f}', '\u{2028}'][rng.usize(0..5)],
                2 => rng.char(..),
                _ => rng.char(' '..'~'),
            })
            .collect();
        let expected = serde_json::to_string(&string).unwrap();
        assert_eq!(text(|out| write_json_string(&string, out)), expected);
        assert_eq!(text(|out| write_long_json_string(&string, out)), expected);
        let bytes: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
        let latin1: String = bytes.iter().map(|&byte| byte as char).collect();
        assert_eq!(text(|out| write_latin1(&bytes, out)), latin1);
        assert_eq!(text(|out| write_latin1_json(&bytes, out)), serde_json::to_string(&latin1).unwrap());
    });
}
