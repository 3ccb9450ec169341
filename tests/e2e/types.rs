//! All types, on both paths: what the full load says of a value, a change says byte for byte.

use super::harness::{Kind, Message, Private, Servers, Tidegate, World};

/// A column's type, and values with the text that Canal JSON gives them. NULL is tried for each.
struct Case {
    sql_type: &'static str,
    values: &'static [(&'static str, &'static str)],
}

const fn case(sql_type: &'static str, values: &'static [(&'static str, &'static str)]) -> Case {
    Case { sql_type, values }
}

const CASES: &[Case] = &[
    case("TINYINT", &[("-128", "-128"), ("127", "127"), ("0", "0")]),
    case("TINYINT UNSIGNED", &[("255", "255"), ("128", "128"), ("127", "127")]),
    case("TINYINT(1)", &[("1", "1"), ("2", "2"), ("0", "0")]),
    case("SMALLINT", &[("-32768", "-32768"), ("32767", "32767")]),
    case("SMALLINT UNSIGNED", &[("65535", "65535"), ("32768", "32768")]),
    case("MEDIUMINT", &[("-8388608", "-8388608"), ("8388607", "8388607"), ("-1", "-1")]),
    case("MEDIUMINT UNSIGNED", &[("16777215", "16777215"), ("8388608", "8388608")]),
    case("INT", &[("-2147483648", "-2147483648"), ("2147483647", "2147483647")]),
    case("INT UNSIGNED", &[("4294967295", "4294967295"), ("2147483648", "2147483648")]),
    case("INT UNSIGNED ZEROFILL", &[("7", "7")]),
    case("BIGINT", &[("-9223372036854775808", "-9223372036854775808"), ("9223372036854775807", "9223372036854775807")]),
    case(
        "BIGINT UNSIGNED",
        &[("18446744073709551615", "18446744073709551615"), ("9223372036854775808", "9223372036854775808")],
    ),
    case("DECIMAL(10,2)", &[("-99999999.99", "-99999999.99"), ("0", "0.00"), ("-0.01", "-0.01")]),
    case(
        "DECIMAL(65,30)",
        &[
            (
                "99999999999999999999999999999999999.999999999999999999999999999999",
                "99999999999999999999999999999999999.999999999999999999999999999999",
            ),
            ("-0.000000000000000000000000000001", "-0.000000000000000000000000000001"),
        ],
    ),
    case("DECIMAL(1,1)", &[("0.9", "0.9"), ("-0.9", "-0.9")]),
    case("DECIMAL(20,0)", &[("18446744073709551615", "18446744073709551615")]),
    case(
        "FLOAT",
        &[
            ("1234567.9", "1234567.9"),
            ("-0.5", "-0.5"),
            ("1e-4", "1.0E-4"),
            ("16777216", "1.6777216E7"),
            ("3.4028235e38", "3.4028235E38"),
            ("1.4e-45", "1.4E-45"),
        ],
    ),
    case(
        "DOUBLE",
        &[
            ("100", "100.0"),
            ("1.7976931348623157e308", "1.7976931348623157E308"),
            ("-1e-3", "-0.001"),
            ("123456789.125", "1.23456789125E8"),
            ("0.1", "0.1"),
        ],
    ),
    case("BIT(1)", &[("b'1'", "1"), ("b'0'", "0")]),
    case("BIT(12)", &[("b'101010101010'", "2730")]),
    case("BIT(64)", &[("18446744073709551615", "18446744073709551615"), ("1", "1")]),
    case(
        "DATE",
        &[
            ("'1000-01-01'", "1000-01-01"),
            ("'9999-12-31'", "9999-12-31"),
            ("'0000-00-00'", "0000-00-00"),
            ("'2010-00-10'", "2010-00-10"),
        ],
    ),
    case(
        "DATETIME",
        &[
            ("'1000-01-01 00:00:00'", "1000-01-01 00:00:00"),
            ("'9999-12-31 23:59:59'", "9999-12-31 23:59:59"),
            ("'0000-00-00'", "0000-00-00 00:00:00"),
            ("'2010-00-10 01:02:03'", "2010-00-10 01:02:03"),
        ],
    ),
    case(
        "DATETIME(3)",
        &[("'2024-02-29 23:59:59.999'", "2024-02-29 23:59:59.999"), ("'2024-02-29'", "2024-02-29 00:00:00.000")],
    ),
    case(
        "DATETIME(6)",
        &[
            ("'2024-02-29 00:00:00.000001'", "2024-02-29 00:00:00.000001"),
            ("'0000-00-00'", "0000-00-00 00:00:00.000000"),
        ],
    ),
    case(
        "TIMESTAMP NULL",
        &[
            ("'1970-01-01 00:00:01'", "1970-01-01 00:00:01"),
            ("'2038-01-19 03:14:07'", "2038-01-19 03:14:07"),
            ("'0000-00-00'", "0000-00-00 00:00:00"),
        ],
    ),
    case("TIMESTAMP(3) NULL", &[("'2024-03-31 02:30:00.500'", "2024-03-31 02:30:00.500")]),
    case("TIMESTAMP(6) NULL", &[("'2024-10-27 02:30:00.000001'", "2024-10-27 02:30:00.000001")]),
    case(
        "TIME",
        &[
            ("'-838:59:59'", "-838:59:59"),
            ("'838:59:59'", "838:59:59"),
            ("'00:00:00'", "00:00:00"),
            ("'-00:00:01'", "-00:00:01"),
        ],
    ),
    case("TIME(2)", &[("'-00:00:00.25'", "-00:00:00.25"), ("'100:00:00.5'", "100:00:00.50")]),
    case("TIME(6)", &[("'-00:00:00.000001'", "-00:00:00.000001"), ("'-838:59:58.999999'", "-838:59:58.999999")]),
    case("YEAR", &[("1901", "1901"), ("2155", "2155"), ("'0000'", "0000")]),
    // Before text in other character sets: the binlog counts it among the strings.
    case("VECTOR(3)", &[("TO_VECTOR('[1.5,-2,1e10]')", "[1.5,-2.0,1.0E10]"), ("TO_VECTOR('[0.1]')", "[0.1]")]),
    case("CHAR(10)", &[("'trailing  '", "trailing"), ("''", ""), ("'é潮🌊'", "é潮🌊")]),
    case("CHAR(200) CHARACTER SET utf8mb4", &[("'long'", "long")]),
    case(
        "VARCHAR(300)",
        &[
            ("'trailing  '", "trailing  "),
            ("CONCAT(CHAR(0), CHAR(31), CHAR(127), '\"\\\\/<')", "\u{0}\u{1f}\u{7f}\"\\/<"),
        ],
    ),
    case("VARCHAR(20) CHARACTER SET latin1", &[("'é€'", "é€"), ("CONVERT(X'81' USING latin1)", "\u{81}")]),
    case("VARCHAR(20) CHARACTER SET gbk", &[("'中文'", "中文")]),
    case("VARCHAR(20) CHARACTER SET utf16", &[("'🌊a'", "🌊a")]),
    case("VARCHAR(20) CHARACTER SET utf32", &[("'🌊a'", "🌊a")]),
    case("VARCHAR(20) CHARACTER SET ucs2", &[("'潮a'", "潮a")]),
    case("VARCHAR(20) CHARACTER SET big5", &[("'中文'", "中文")]),
    case("VARCHAR(20) CHARACTER SET sjis", &[("'ｱ日本'", "ｱ日本")]),
    case("VARCHAR(20) CHARACTER SET koi8r", &[("'Привет'", "Привет")]),
    case("TINYTEXT", &[("'t'", "t")]),
    case("TEXT", &[("REPEAT('é', 30000)", REPEATED), ("''", "")]),
    case("MEDIUMTEXT CHARACTER SET latin1", &[("'ü'", "ü")]),
    case("LONGTEXT", &[("'l'", "l")]),
    case(
        "BINARY(4)",
        &[
            ("X'0100'", "\u{1}\u{0}\u{0}\u{0}"),
            ("X'00000000'", "\u{0}\u{0}\u{0}\u{0}"),
            ("X'ff80'", "\u{ff}\u{80}\u{0}\u{0}"),
        ],
    ),
    case("VARBINARY(300)", &[("X'0100'", "\u{1}\u{0}"), ("X''", "")]),
    case("TINYBLOB", &[("X'00ff'", "\u{0}\u{ff}")]),
    case("BLOB", &[("X'e9'", "\u{e9}")]),
    case("MEDIUMBLOB", &[("X'22'", "\"")]),
    case("LONGBLOB", &[("X'5c'", "\\")]),
    case("ENUM('a','it''s','c,d')", &[("'a'", "1"), ("3", "3"), ("0", "0")]),
    case("SET('a','b','c')", &[("'a,c'", "5"), ("''", "0"), ("7", "7")]),
    case(
        "JSON",
        &[
            (
                r#"'{"b": 1.0, "a": [null, true, -1, 18446744073709551615, 1e100]}'"#,
                r#"{"a": [null, true, -1, 18446744073709551615, 1e100], "b": 1.0}"#,
            ),
            (r#"'"text \\u00e9 \\" \\n"'"#, "\"text é \\\" \\n\""),
            (
                r#"JSON_OBJECT('d', CAST('1.50' AS DECIMAL(5,2)), 't', CAST('12:00:00' AS TIME), 'x', CAST('2024-01-02' AS DATE))"#,
                r#"{"d": 1.50, "t": "12:00:00.000000", "x": "2024-01-02"}"#,
            ),
            ("'[]'", "[]"),
        ],
    ),
    case(
        "POINT",
        &[(
            "ST_GeomFromText('POINT(1 2)')",
            "\u{0}\u{0}\u{0}\u{0}\u{1}\u{1}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{f0}?\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}@",
        )],
    ),
    case("INT GENERATED ALWAYS AS (id * 2) VIRTUAL", &[]),
    case("INT GENERATED ALWAYS AS (id % 3) STORED", &[]),
    case("INT INVISIBLE", &[("5", "5")]),
];

/// What `REPEAT('é', 30000)` is; compared by its length.
const REPEATED: &str = "(30000 times é)";

fn column(index: usize) -> String {
    format!("c{index:02}")
}

fn is_generated(case: &Case) -> bool {
    case.sql_type.contains("GENERATED")
}

/// One row per value, the other columns at another case's values, and one row of NULLs.
fn insert(world: &mut World, first_id: u64) -> u64 {
    let rows = CASES.iter().map(|case| case.values.len()).max().expect("cases") + 1;
    let columns: Vec<_> = (0..CASES.len()).filter(|index| !is_generated(&CASES[*index])).map(column).collect();
    for row in 0..rows {
        let values: Vec<_> = CASES
            .iter()
            .filter(|case| !is_generated(case))
            .map(|case| if row + 1 == rows { "NULL" } else { case.values[row % case.values.len()].0 })
            .collect();
        let id = first_id + row as u64;
        // A statement for each row, or a value of one row is another's type to the server.
        world.mysql.run(format!("INSERT INTO types (id, {}) VALUES ({id}, {})", columns.join(", "), values.join(", ")));
    }
    rows as u64
}

fn check_row(message: &Message, row: usize, is_null: bool) {
    for (index, case) in CASES.iter().enumerate() {
        if is_generated(case) {
            continue;
        }
        let found = message.data.find(&column(index)).unwrap_or_else(|| panic!("no {}: {message:?}", column(index)));
        let expected = if is_null { None } else { Some(case.values[row % case.values.len()].1) };
        let found = match found.as_deref() {
            Some(text) if text.len() == 60_000 && text.chars().all(|c| c == 'é') => Some(REPEATED),
            found => found,
        };
        assert_eq!(found, expected, "{} of row {row}", case.sql_type);
    }
}

fn all_types_by_both_paths(test: &str, mysql_url: &str, kafka: &str) {
    let mut world = World::new(test, mysql_url, kafka);
    world.mysql.run("SET sql_mode = ''");
    let columns: Vec<_> =
        CASES.iter().enumerate().map(|(index, case)| format!("{} {}", column(index), case.sql_type)).collect();
    world.mysql.run(format!("CREATE TABLE types (id INT PRIMARY KEY, {}) CHARACTER SET utf8mb4", columns.join(", ")));
    const SECOND: u64 = 3000;
    let rows = insert(&mut world, 0);
    let task = world.task();
    let mut reader = world.reader(["types"]);
    let mut engine = Tidegate::run(&task);
    let mut loaded = Vec::new();
    world.until_loaded(&mut engine, &mut reader, |message| loaded.push(message));
    assert_eq!(insert(&mut world, SECOND), rows);
    let mut changed = Vec::new();
    reader.until(&mut engine, "the changes", |message| {
        changed.extend((message.table == "types").then_some(message));
        changed.len() as u64 == rows
    });
    // Both images of updates and the image of deletes hold the same text once more.
    world.mysql.run(format!("UPDATE types SET id = id + {SECOND} WHERE id >= {SECOND} ORDER BY id DESC"));
    world.mysql.run(format!("DELETE FROM types WHERE id >= {SECOND}"));
    let mut later = Vec::new();
    world.finish(engine, &mut reader, |message| later.push(message));

    let id = |message: &Message| message.data.get("id").expect("never NULL").parse::<u64>().expect("a number");
    loaded.sort_by_key(id);
    changed.sort_by_key(id);
    assert_eq!((loaded.len() as u64, changed.len() as u64), (rows, rows));
    for (row, (by_load, by_change)) in loaded.iter().zip(&changed).enumerate() {
        assert_eq!(by_load.kind, Kind::Insert);
        assert_eq!(by_change.kind, Kind::Insert);
        // The two generated columns follow the id, of which 3000 is a multiple of all that matters but two.
        for (index, case) in CASES.iter().enumerate() {
            let name = column(index);
            let twice = case.sql_type.contains("id * 2");
            if !twice {
                assert_eq!(by_load.data.find(&name), by_change.data.find(&name), "{} of row {row}", case.sql_type);
            }
            assert_eq!(by_load.mysql_type.find(&name), by_change.mysql_type.find(&name), "{}", case.sql_type);
            assert_eq!(by_load.sql_type.find(&name), by_change.sql_type.find(&name), "{} of row {row}", case.sql_type);
        }
        assert_eq!(by_load.data.names(), by_change.data.names());
        check_row(by_load, row, row as u64 + 1 == rows);
    }
    assert!(!later.is_empty());
    for message in &later {
        let row = (id(message) % SECOND) as usize;
        check_row(message, row, row as u64 + 1 == rows);
    }
}

#[test]
fn types_with_minimal_metadata() {
    let Some(servers) = Servers::from_env() else { return };
    all_types_by_both_paths("types", &servers.mysql, &servers.kafka);
}

#[test]
fn types_with_full_metadata_and_other_time_zones() {
    let Some(servers) = Servers::from_env() else { return };
    let options = "--binlog-row-metadata=FULL --default-time-zone=+05:30 --binlog-transaction-compression=ON --binlog-row-value-options=PARTIAL_JSON";
    let private = Private::up(&["mysql-gtid"], options);
    all_types_by_both_paths("types_full", private.mysql(), &servers.kafka);
}
