use super::super::binlog::{RowsAction, RowsEvent};
use super::*;
use tidegate_model::types::{date_from_parts, datetime_from_parts};
use tidegate_model::{Column, TableName, TableParts};

/// A table of one column per type given, and the plan for a table map of these types and metadata.
fn plan(columns: &[(SqlType, u8, &[u8])]) -> RowPlan {
    plan_or_fault(columns).unwrap_or_else(|fault| panic!("{fault}"))
}

fn plan_or_fault(columns: &[(SqlType, u8, &[u8])]) -> Result<RowPlan, Fault> {
    let mut map = vec![1, 0, 2];
    map.extend(b"db\0\x01t\0");
    map.push(columns.len() as u8);
    map.extend(columns.iter().map(|(_, code, _)| code));
    let metadata: Vec<u8> = columns.iter().flat_map(|(.., metadata)| metadata.iter().copied()).collect();
    map.push(metadata.len() as u8);
    map.extend(metadata);
    map.extend(vec![0xff; columns.len().div_ceil(8)]);
    let table = Table::from(TableParts {
        name: TableName::new("db", "t"),
        version: 1,
        columns: columns
            .iter()
            .enumerate()
            .map(|(index, (sql_type, ..))| Column {
                name: format!("c{index}"),
                sql_type: sql_type.clone(),
                type_text: format!("{sql_type:?}"),
                nullable: true,
                charset: None,
                collation: None,
            })
            .collect(),
        unique_keys: Vec::new(),
    });
    RowPlan::new(&TableMap::parse(&map)?, Arc::new(table))
}

/// A plan for one column of MariaDB's, which the table calls `type_text`.
fn plan_of(sql_type: SqlType, type_text: &str, charset: Option<&str>, code: u8, metadata: &[u8]) -> RowPlan {
    let head = [&[1, 0, 2][..], b"db\0\x01t\0", &[1, code, metadata.len() as u8], metadata, &[0xff]].concat();
    let column = Column {
        name: "c0".to_owned(),
        sql_type,
        type_text: type_text.to_owned(),
        nullable: true,
        charset: charset.map(str::to_owned),
        collation: None,
    };
    let (name, columns) = (TableName::new("db", "t"), vec![column]);
    let table = Table::from(TableParts { name, version: 1, columns, unique_keys: Vec::new() });
    RowPlan::new(&TableMap::parse(&head).unwrap(), Arc::new(table)).unwrap()
}

fn text_of(plan: &RowPlan, bytes: &[u8]) -> Result<String, String> {
    let mut builder = decode(plan, &[&[0], bytes].concat())?;
    match builder.columns.remove(0).values {
        Values::Bytes { data, .. } => Ok(String::from_utf8(data).unwrap()),
        other => panic!("no text: {other:?}"),
    }
}

/// Bytes as MariaDB 11.8.9 wrote them.
#[test]
fn times_of_mariadb_in_its_old_format_have_a_fraction() {
    let number = |sql_type, code, bytes: &[u8]| integer((sql_type, code, &[]), bytes);
    let time = |fraction, bytes: &[u8]| number(SqlType::Time { fraction }, 11, bytes);
    assert_eq!(time(0, &[0x08, 0x75, 0xfe]), -(10 * 3600 + 11 * 60 + 12) * SECOND);
    assert_eq!(time(1, &[0x01, 0xc7, 0x47, 0xdd]), -((10 * 3600 + 11 * 60 + 12) * SECOND + 300_000));
    assert_eq!(time(3, &[0x00, 0xb6, 0x37, 0x38, 0xd9][..]), (10 * 3600 + 11 * 60 + 12) * SECOND + 345_000);
    assert_eq!(time(6, &[0x02, 0xbf, 0x3d, 0xde, 0x7b, 0xff]), -1);
    let datetime = |fraction, bytes: &[u8]| number(SqlType::DateTime { fraction }, 12, bytes);
    let second = (18_263 * 86_400 + 3 * 3600 + 4 * 60 + 5) * SECOND;
    assert_eq!(datetime(3, &[0; 7]), ZERO_DATETIME as i128);
    assert_eq!(datetime(0, &[0x45, 0xec, 0xe7, 0x33, 0x5f, 0x12, 0, 0]), second);
    let timestamp = |fraction, bytes: &[u8]| number(SqlType::Timestamp { fraction }, 7, bytes);
    assert_eq!(timestamp(0, &[0xa5, 0x5d, 0x0d, 0x5e]), second);
    assert_eq!(timestamp(1, &[0x5e, 0x0d, 0x5d, 0xa5, 6]), second + 600_000);
    assert_eq!(timestamp(6, &[0x5e, 0x0d, 0x5d, 0xa5, 0x0a, 0x5b, 0xf5]), second + 678_901);
    assert_eq!(timestamp(6, &[0; 7]), ZERO_DATETIME as i128);
}

/// Trailing zero bytes are left out, up to all of them.
#[test]
fn addresses_and_uuids_of_mariadb_are_text() {
    let inet4 = plan_of(SqlType::Char, "inet4", Some("ascii"), 254, &[0xfe, 4]);
    assert_eq!(text_of(&inet4, &[4, 1, 2, 3, 4]).unwrap(), "1.2.3.4");
    assert_eq!(text_of(&inet4, &[2, 10, 1]).unwrap(), "10.1.0.0");
    assert_eq!(text_of(&inet4, &[0]).unwrap(), "0.0.0.0");
    assert!(text_of(&inet4, &[5, 1, 2, 3, 4, 5]).is_err());
    let inet6 = plan_of(SqlType::Char, "inet6", Some("ascii"), 254, &[0xfe, 16]);
    let of_words = |words: [u16; 8]| {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        text_of(&inet6, &[&[16][..], &bytes].concat()).unwrap()
    };
    assert_eq!(text_of(&inet6, &[0]).unwrap(), "::");
    for (words, text) in [
        ([0, 0, 0, 0, 0, 0, 0, 1], "::1"),
        ([0, 0, 0, 0, 0, 0, 1, 2], "::0.1.0.2"),
        ([0, 0, 0, 0, 0, 0xffff, 0x0102, 0x0304], "::ffff:1.2.3.4"),
        ([1, 0, 0, 2, 0, 0, 0, 3], "1:0:0:2::3"),
        ([1, 0, 2, 0, 0, 0, 0, 0], "1:0:2::"),
        ([1, 0, 2, 3, 4, 5, 6, 7], "1::2:3:4:5:6:7"),
        ([1, 0, 0, 2, 0, 0, 3, 4], "1::2:0:0:3:4"),
        ([1, 2, 3, 4, 5, 6, 7, 0xabcd], "1:2:3:4:5:6:7:abcd"),
    ] {
        assert_eq!(of_words(words), text);
    }
    let uuid = plan_of(SqlType::Char, "uuid", Some("ascii"), 254, &[0xfe, 16]);
    let bytes = [14, 0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x55, 0x44];
    assert_eq!(text_of(&uuid, &bytes).unwrap(), "123e4567-e89b-12d3-a456-426655440000");
}

/// Bytes as MariaDB wrote them, with and without a zlib header.
#[test]
fn compressed_values_of_mariadb_are_unpacked() {
    let text = plan_of(SqlType::VarChar, "varchar(1000) /*M!100301 COMPRESSED*/", Some("latin1"), 141, &[0xe9, 0x03]);
    let raw = [0x0b, 0, 0x8a, 0x01, 0xf4, 0x4b, 0x4c, 0x1c, 0x05, 0x23, 0x0d, 0, 0];
    assert_eq!(text_of(&text, &raw).unwrap(), "a".repeat(500));
    let wrapped =
        [17, 0, 0x82, 0x01, 0xf4, 0x78, 0x9c, 0x4b, 0x4c, 0x1c, 0x05, 0x23, 0x0d, 0, 0, 0x6e, 0xcd, 0xbd, 0x75];
    assert_eq!(text_of(&text, &wrapped).unwrap(), "a".repeat(500));
    assert_eq!(text_of(&text, &[0, 0]).unwrap(), "");
    assert_eq!(text_of(&text, &[2, 0, 0, 0xe4]).unwrap(), "ä");
    let small =
        plan_of(SqlType::VarChar, "varchar(1000)", Some("latin1"), 141, &[0xe9, 0x03]).with_value_bytes_max(499);
    assert!(text_of(&small, &raw).unwrap_err().contains("memory"));
    for damaged in [[0x0b, 0, 0x9a, 0x01, 0xf4], [0x0b, 0, 0x8a, 0x01, 0xf3], [0x0b, 0, 0x8a, 0x01, 0xf5]] {
        assert!(text_of(&text, &[&damaged[..], &raw[5..]].concat()).is_err(), "{damaged:x?}");
    }
}

fn insert<'a>(present: &'a [u8], column_count: usize, rows: &'a [u8]) -> RowsEvent<'a> {
    RowsEvent { action: RowsAction::Insert, table_id: 1, column_count, present, present_after: present, rows }
}

fn decode(plan: &RowPlan, rows: &[u8]) -> Result<RowsBuilder, String> {
    let mut builder = RowsBuilder::new(plan.table());
    let present = [0xff; 2];
    let event = insert(&present, plan.column_count, rows);
    plan.decode(&event, 0, &mut builder, &mut Vec::new(), &mut Vec::new()).map_err(|fault| fault.to_string())?;
    Ok(builder)
}

/// The single value of a single column.
fn value(column: (SqlType, u8, &[u8]), bytes: &[u8]) -> Values {
    let rows: Vec<u8> = [&[0], bytes].concat();
    let mut builder = decode(&plan(&[column]), &rows).unwrap_or_else(|fault| panic!("{fault}"));
    builder.columns.remove(0).values
}

fn integer(column: (SqlType, u8, &[u8]), bytes: &[u8]) -> i128 {
    match value(column, bytes) {
        Values::I8(v) => v[0] as i128,
        Values::I16(v) => v[0] as i128,
        Values::I32(v) => v[0] as i128,
        Values::I64(v) => v[0] as i128,
        Values::U8(v) => v[0] as i128,
        Values::U16(v) => v[0] as i128,
        Values::U32(v) => v[0] as i128,
        Values::U64(v) => v[0] as i128,
        Values::I128(v) => v[0],
        other => panic!("no integer: {other:?}"),
    }
}

fn int(bytes: u8, unsigned: bool) -> SqlType {
    SqlType::Int { bytes, unsigned }
}

#[test]
fn integers_are_little_endian_and_three_bytes_have_a_sign_too() {
    assert_eq!(integer((int(1, false), 1, &[]), &[0x80]), -128);
    assert_eq!(integer((int(1, true), 1, &[]), &[0x80]), 128);
    assert_eq!(integer((int(3, false), 9, &[]), &[0xff, 0xff, 0xff]), -1);
    assert_eq!(integer((int(3, false), 9, &[]), &[0, 0, 0x80]), -8_388_608);
    assert_eq!(integer((int(3, true), 9, &[]), &[0, 0, 0x80]), 8_388_608);
    assert_eq!(integer((int(8, true), 8, &[]), &[0xff; 8]), u64::MAX as i128);
}

const SECOND: i128 = 1_000_000;

#[test]
fn a_negative_time_borrows_its_fraction_from_the_second() {
    // Bytes as MySQL 9.7.4 writes them.
    let time = |digits, bytes: &[u8]| integer((SqlType::Time { fraction: digits }, 19, &[digits]), bytes);
    assert_eq!(time(0, &[0x80, 0, 0]), 0);
    assert_eq!(time(0, &[0x7f, 0xff, 0xff]), -SECOND);
    assert_eq!(time(6, &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff]), -1);
    assert_eq!(time(2, &[0x7f, 0xff, 0xff, 0xe7]), -250_000); // −00:00:00.25
    assert_eq!(time(2, &[0x7f, 0xff, 0xff, 0]), -SECOND);
    assert_eq!(time(1, &[0x7f, 0xff, 0xfe, 0xce]), -1_500_000);
    assert_eq!(time(3, &[0x7f, 0xff, 0xff, 0xff, 0xf6]), -1_000);
    let longest = (838 * 3600 + 59 * 60 + 59) * SECOND;
    assert_eq!(time(0, &[0xb4, 0x6e, 0xfb]), longest);
    assert_eq!(time(0, &[0x4b, 0x91, 0x05]), -longest);
}

#[test]
fn every_time_comes_back_from_its_packed_form() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..20_000 {
        let digits = random.u8(0..=6);
        let unit = 10i64.pow(6 - digits as u32);
        let (hour, minute, second) = (random.i64(0..=837), random.i64(0..60), random.i64(0..60));
        let micro = if digits == 0 { 0 } else { random.i64(0..1_000_000) / unit * unit };
        let micro = if random.u8(0..4) == 0 { 0 } else { micro };
        let sign = if random.bool() { -1 } else { 1 };
        // The server packs hours, minutes and seconds above 24 bits of microseconds and negates the whole.
        let packed = sign * ((hour << 12 | minute << 6 | second) << 24 | micro);
        let high = (packed >> 24) + 0x80_0000;
        let low = match digits.div_ceil(2) {
            0 => vec![],
            1 => vec![(packed % (1 << 24) / 10_000) as u8],
            2 => ((packed % (1 << 24) / 100) as u16).to_be_bytes().to_vec(),
            _ => (packed as u32 & 0xff_ffff).to_be_bytes()[1..].to_vec(),
        };
        let bytes = [&(high as u32).to_be_bytes()[1..], &low].concat();
        let expected = sign * (((hour * 60 + minute) * 60 + second) * 1_000_000 + micro);
        let found = integer((SqlType::Time { fraction: digits }, 19, &[digits]), &bytes);
        assert_eq!(found, expected as i128, "{hour}:{minute}:{second} {micro} {digits} {sign}");
    }
}

#[test]
fn dates_and_times_of_every_age() {
    let date = |bytes: &[u8]| integer((SqlType::Date, 10, &[]), bytes) as i32;
    assert_eq!(date(&[0x5d, 0xd0, 0x0f]), date_from_parts(2024, 2, 29));
    assert_eq!(date(&[0, 0, 0]), date_from_parts(0, 0, 0));
    let datetime = |bytes: &[u8]| integer((SqlType::DateTime { fraction: 0 }, 18, &[0]), bytes) as i64;
    assert_eq!(datetime(&[0x80, 0, 0, 0, 0]), ZERO_DATETIME);
    assert_eq!(datetime(&[0x99, 0xb2, 0xba, 0xc8, 0xb8]), datetime_from_parts(2024, 2, 29, 45_296_000_000));
    let old = |bytes: &[u8]| integer((SqlType::DateTime { fraction: 0 }, 12, &[]), bytes) as i64;
    assert_eq!(old(&20240229123456u64.to_le_bytes()), datetime_from_parts(2024, 2, 29, 45_296_000_000));
    assert_eq!(old(&[0; 8]), ZERO_DATETIME);
    let old = |digits: i32| integer((SqlType::Time { fraction: 0 }, 11, &[]), &digits.to_le_bytes()[..3]);
    assert_eq!(old(-8385959), -(838 * 3600 + 59 * 60 + 59) * SECOND);
    assert_eq!(old(-1), -SECOND);
    let old = |seconds: u32| integer((SqlType::Timestamp { fraction: 0 }, 7, &[]), &seconds.to_le_bytes()) as i64;
    assert_eq!((old(0), old(1)), (ZERO_DATETIME, 1_000_000));
    let timestamp = |bytes: &[u8]| integer((SqlType::Timestamp { fraction: 3 }, 17, &[3]), bytes) as i64;
    assert_eq!(timestamp(&[0; 6]), ZERO_DATETIME);
    // Beyond 2038, as MariaDB 11.5 stores it.
    assert_eq!(timestamp(&[0xff, 0xff, 0xff, 0xff, 0x27, 0x0f]), 4_294_967_295_999_900);
    assert_eq!(integer((SqlType::Year, 13, &[]), &[0]), 0);
    assert_eq!(integer((SqlType::Year, 13, &[]), &[255]), 2155);
}

/// The same by text: slow, and plainly what the manual says.
fn decimal_text(precision: usize, scale: usize, bytes: &[u8]) -> String {
    let negative = bytes[0] & 0x80 == 0;
    let mut bytes: Vec<u8> = bytes.iter().map(|&byte| if negative { !byte } else { byte }).collect();
    bytes[0] ^= 0x80;
    let mut rest = &bytes[..];
    let mut take = |digits: usize| {
        let (group, tail) = rest.split_at([0, 1, 1, 2, 2, 3, 3, 4, 4, 4][digits]);
        rest = tail;
        let value = group.iter().fold(0u64, |value, &byte| value * 256 + byte as u64);
        if digits == 0 { String::new() } else { format!("{value:0digits$}") }
    };
    let whole = precision - scale;
    let mut text = take(whole % 9);
    for _ in 0..whole / 9 + scale / 9 {
        text += &take(9);
    }
    text += &take(scale % 9);
    let digits = text.trim_start_matches('0');
    match digits {
        "" => "0".to_owned(),
        digits if negative => format!("-{digits}"),
        digits => digits.to_owned(),
    }
}

/// Packs random digits as the server does.
fn random_decimal(random: &mut fastrand::Rng, precision: usize, scale: usize) -> Vec<u8> {
    let whole = precision - scale;
    let mut groups = vec![whole % 9];
    groups.extend(vec![9; whole / 9 + scale / 9]);
    groups.push(scale % 9);
    let mut bytes: Vec<u8> = Vec::new();
    let mode = random.u8(0..4);
    for digits in groups {
        let length = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4][digits];
        let max = 10u32.pow(digits as u32) - 1;
        let value = match mode {
            0 => max,
            1 => 0,
            _ => random.u32(0..=max),
        };
        bytes.extend(&value.to_be_bytes()[4 - length..]);
    }
    bytes[0] ^= 0x80;
    if random.bool() {
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
    }
    bytes
}

#[test]
fn decimals_equal_their_slow_twin() {
    let mut random = fastrand::Rng::with_seed(5);
    for precision in 1..=65u8 {
        for scale in 0..=precision.min(30) {
            let plan = plan(&[(SqlType::Decimal { precision, scale }, 246, &[precision, scale])]);
            for _ in 0..20 {
                let bytes = random_decimal(&mut random, precision as usize, scale as usize);
                let builder = decode(&plan, &[&[0], &bytes[..]].concat()).unwrap();
                let found = match &builder.columns[0].values {
                    Values::I128(v) => v[0].to_string(),
                    Values::I256(v) => v[0].to_string(),
                    other => panic!("no decimal: {other:?}"),
                };
                assert_eq!(
                    found,
                    decimal_text(precision as usize, scale as usize, &bytes),
                    "({precision},{scale}) {bytes:x?}"
                );
            }
        }
    }
}

#[test]
fn known_decimals() {
    // The manual's example, 1234567890.1234 and its negative.
    let bytes = [0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2];
    let column = || (SqlType::Decimal { precision: 14, scale: 4 }, 246, &[14u8, 4][..]);
    assert_eq!(integer(column(), &bytes), 12_345_678_901_234);
    assert_eq!(integer(column(), &bytes.map(|byte| !byte)), -12_345_678_901_234);
    // A group above its digits is no decimal.
    let fault = decode(&plan(&[column()]), &[0, 0x8a, 0, 0, 0, 0, 0, 0]).unwrap_err();
    assert_eq!(fault, "table db.t: column \"c0\": the decimal is not one that a server stores");
}

fn bytes(column: (SqlType, u8, &[u8]), stored: &[u8]) -> Vec<u8> {
    match value(column, stored) {
        Values::Bytes { data, offsets } => {
            assert_eq!(offsets, [0, data.len() as i32]);
            data
        }
        other => panic!("no bytes: {other:?}"),
    }
}

#[test]
fn binary_gets_its_zero_bytes_back() {
    let binary = |stored: &[u8]| bytes((SqlType::Binary { length: 4 }, 254, &[254, 4]), stored);
    assert_eq!(binary(&[1, 1]), [1, 0, 0, 0]);
    assert_eq!(binary(&[0]), [0; 4]);
    assert_eq!(binary(b"\x04abcd"), b"abcd");
    let fault = decode(&plan(&[(SqlType::Binary { length: 4 }, 254, &[254, 4])]), b"\0\x05abcde").unwrap_err();
    assert!(fault.contains("the binary string is not one"), "{fault}");
}

#[test]
fn lengths_above_255_are_announced_by_two_bytes() {
    assert_eq!(bytes((SqlType::VarChar, 15, &[0xff, 0]), b"\x03abc"), b"abc");
    assert_eq!(bytes((SqlType::VarChar, 15, &[0x00, 1]), b"\x03\0abc"), b"abc");
    // CHAR(255) of four bytes per character: 1020 is 3fc, whose high bits hide in the type.
    assert_eq!(bytes((SqlType::Char, 254, &[0xce, 0xfc]), b"\x03\0abc"), b"abc");
    assert_eq!(bytes((SqlType::Text, 252, &[3]), b"\x03\0\0abc"), b"abc");
    assert_eq!(bytes((SqlType::Vector, 242, &[4]), b"\x03\0\0\0abc"), b"abc");
}

#[test]
fn bits_and_labels() {
    assert_eq!(integer((SqlType::Bit { width: 10 }, 16, &[2, 1]), &[2, 1]), 513);
    assert_eq!(integer((SqlType::Bit { width: 64 }, 16, &[0, 8]), &[0x80, 0, 0, 0, 0, 0, 0, 1]), (1 << 63) + 1);
    let labels = |count: usize| (0..count).map(|label| label.to_string()).collect::<Vec<_>>().into();
    assert_eq!(integer((SqlType::Enum { labels: labels(255) }, 254, &[247, 1]), &[255]), 255);
    assert_eq!(integer((SqlType::Enum { labels: labels(256) }, 254, &[247, 2]), &[0, 1]), 256);
    assert_eq!(integer((SqlType::Set { labels: labels(9) }, 254, &[248, 2]), &[1, 1]), 257);
    assert_eq!(
        integer((SqlType::Set { labels: labels(33) }, 254, &[248, 8]), &[1, 0, 0, 0, 1, 0, 0, 0]),
        (1 << 32) + 1
    );
}

#[test]
fn null_bits_take_whole_bytes() {
    for column_count in [1, 7, 8, 9, 15, 16] {
        let plan = plan(&vec![(int(1, false), 1, &[][..]); column_count]);
        for nulls in [0u16, 0x5555, 0xaaaa, 0xffff, 1 << (column_count - 1)] {
            let mut row = nulls.to_le_bytes()[..column_count.div_ceil(8)].to_vec();
            row.extend((0..column_count).filter(|column| nulls & 1 << column == 0).map(|column| column as u8 + 1));
            let mut builder = decode(&plan, &row.repeat(2)).unwrap();
            for (column, array) in builder.finish().unwrap().iter().enumerate() {
                assert_eq!((array.len(), array.is_null(1)), (2, nulls & 1 << column != 0), "{column_count} {nulls:x}");
            }
        }
    }
}

#[test]
fn an_incomplete_image_is_refused_by_name() {
    let plan = plan(&vec![(int(1, false), 1, &[][..]); 3]);
    let mut builder = RowsBuilder::new(plan.table());
    let event = insert(&[0b101], 3, &[0, 1, 2]);
    let fault = plan.decode(&event, 0, &mut builder, &mut Vec::new(), &mut Vec::new()).unwrap_err();
    assert_eq!(fault.to_string(), "table db.t: a row image lacks column \"c1\"");
    assert!(fault.hint().unwrap().contains("binlog_row_image = FULL"));
}

#[test]
fn a_row_that_is_cut_off_names_its_column() {
    let plan = plan(&[(int(4, false), 3, &[]), (SqlType::VarChar, 15, &[20, 0])]);
    let row = b"\0\x01\0\0\0\x03abc";
    assert!(decode(&plan, row).is_ok());
    for length in 1..row.len() {
        let column = if length < 5 { "c0" } else { "c1" };
        let expected = format!("table db.t: column \"{column}\": the row ends before its content");
        assert_eq!(decode(&plan, &row[..length]).unwrap_err(), expected, "{length}");
    }
}

#[test]
fn a_table_map_of_other_types_is_refused_with_both_lists() {
    let fault = |known: SqlType, code, metadata: &[u8]| {
        plan_or_fault(&[(int(4, false), 3, &[]), (known, code, metadata)]).unwrap_err().to_string()
    };
    assert_eq!(
        fault(SqlType::VarChar, 8, &[]),
        "table db.t: column \"c1\" has another definition in the binlog; binlog: (int, bigint); \
         known: (c0 Int { bytes: 4, unsigned: false }, c1 VarChar)"
    );
    assert!(fault(SqlType::Decimal { precision: 10, scale: 2 }, 246, &[10, 3]).contains("decimal(10,3)"));
    assert!(fault(SqlType::Time { fraction: 3 }, 19, &[2]).contains("time(2)"));
    assert!(fault(SqlType::Binary { length: 3 }, 254, &[254, 4]).contains("binary(4)"));
    assert!(
        fault(SqlType::Enum { labels: vec![String::new(); 256].into() }, 254, &[247, 1]).contains("enum of 1 bytes")
    );
    assert!(fault(SqlType::VarChar, 99, &[]).contains("a column type in it is unknown"));
}

#[test]
fn a_bad_document_is_an_error_without_its_content() {
    let plan = plan(&[(SqlType::Json, 245, &[4])]);
    let fault = decode(&plan, b"\0\x02\0\0\0\xeeX").unwrap_err();
    assert_eq!(fault, "table db.t: column \"c0\": binary JSON is damaged at byte 1: 0xee is no value type");
}

/// Of every kind one, whatever else is read.
#[test]
fn values_that_nobody_reads_are_passed_over() {
    let columns: &[(SqlType, u8, &[u8], &[u8])] = &[
        (int(1, false), 1, &[], &[1]),
        (int(2, true), 2, &[], &[2, 0]),
        (int(3, false), 9, &[], &[3, 0, 0]),
        (int(4, false), 3, &[], &[4, 0, 0, 0]),
        (int(8, false), 8, &[], &[5, 0, 0, 0, 0, 0, 0, 0]),
        (SqlType::Float, 4, &[4], &[0, 0, 128, 63]),
        (SqlType::Double, 5, &[8], &[0, 0, 0, 0, 0, 0, 240, 63]),
        (SqlType::Decimal { precision: 5, scale: 2 }, 246, &[5, 2], &[128, 1, 50]),
        (SqlType::Decimal { precision: 30, scale: 0 }, 246, &[30, 0], &[128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]),
        (SqlType::Bit { width: 9 }, 16, &[1, 1], &[1, 2]),
        (SqlType::Year, 13, &[], &[124]),
        (SqlType::Date, 10, &[], &[0x21, 0xd0, 0x0f]),
        (SqlType::Time { fraction: 3 }, 19, &[3], &[0x80, 0, 1, 0, 0]),
        (SqlType::DateTime { fraction: 1 }, 18, &[1], &[0x99, 0xb2, 0x42, 0, 0, 10]),
        (SqlType::Timestamp { fraction: 0 }, 17, &[0], &[1, 2, 3, 4]),
        (SqlType::Binary { length: 3 }, 254, &[254, 3], &[1, 9]),
        (SqlType::VarChar, 15, &[0, 2], &[2, 0, b'a', b'b']),
        (SqlType::Text, 252, &[3], &[1, 0, 0, b'x']),
        (SqlType::Json, 245, &[4], &[2, 0, 0, 0, 4, 1]),
    ];
    let table: Vec<(SqlType, u8, &[u8])> =
        columns.iter().map(|(of, code, meta, _)| (of.clone(), *code, *meta)).collect();
    let present = [0xff; 3];
    let of_row = |null: Option<usize>| {
        let mut row = vec![0_u8; columns.len().div_ceil(8)];
        if let Some(index) = null {
            row[index / 8] |= 1 << (index % 8);
        }
        let values = columns.iter().enumerate().filter(|(index, _)| Some(*index) != null);
        row.extend(values.flat_map(|(_, (.., bytes))| bytes.iter().copied()));
        row
    };
    let rows: Vec<u8> = std::iter::once(None).chain((0..columns.len()).map(Some)).flat_map(of_row).collect();
    let read = |read: &[usize]| {
        let plan = plan(&table).reading(read);
        let mut builder = RowsBuilder::new(plan.table());
        let (mut kinds, mut sequences) = (Vec::new(), Vec::new());
        // Twice, for an event finds rows of others.
        for _ in 0..2 {
            let event = insert(&present, columns.len(), &rows);
            plan.decode(&event, 0, &mut builder, &mut kinds, &mut sequences).unwrap_or_else(|fault| panic!("{fault}"));
        }
        let arrays = builder.finish().unwrap_or_else(|(index, error)| panic!("column {index}: {error}"));
        assert!(arrays.iter().all(|array| array.len() == 2 * (columns.len() + 1)), "{read:?}");
        arrays
    };
    let whole: Vec<usize> = (0..columns.len()).collect();
    let expected = read(&whole);
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..200 {
        let some: Vec<usize> = whole.iter().copied().filter(|_| rng.bool()).collect();
        let found = read(&some);
        for &index in &some {
            assert_eq!(&found[index], &expected[index], "column {index} beside {some:?}");
        }
    }
}
