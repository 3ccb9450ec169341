//! Numbers: integers, decimals, floats, bits, years.

use super::super::golden::{Column, MARIADB, Table, column, table, value};

const TINYINT: i32 = -6;
const SMALLINT: i32 = 5;
const INT: i32 = 4;
const BIGINT: i32 = -5;
const DECIMAL: i32 = 3;
const FLOAT: i32 = 7;
const DOUBLE: i32 = 8;
const BIT: i32 = -7;
const VARCHAR: i32 = 12;

/// Values of an unsigned type around the end of the signed one, from which on their code is the next wider one's.
fn unsigned(definition: &str, code: i32, signed: &[&str], above: i32, beyond: &[&str]) -> Column {
    let signed = signed.iter().map(|&number| value(number, number));
    let beyond = beyond.iter().map(|&number| value(number, number).sql_type(above));
    column(definition, code, signed.chain(beyond))
}

pub(super) fn integers() -> Vec<Table> {
    vec![table(
        "integers",
        [
            column("TINYINT", TINYINT, ["-128", "127", "0", "-1"]),
            unsigned("TINYINT UNSIGNED", TINYINT, &["0", "127"], SMALLINT, &["128", "255"]),
            column("SMALLINT", SMALLINT, ["-32768", "32767", "-1"]),
            unsigned("SMALLINT UNSIGNED", SMALLINT, &["0", "32767"], INT, &["32768", "65535"]),
            column("MEDIUMINT", INT, ["-8388608", "8388607", "-1", "0"]),
            column("MEDIUMINT UNSIGNED", INT, ["0", "8388607", "8388608", "16777215"]),
            column("INT", INT, ["-2147483648", "2147483647", "-1"]),
            unsigned("INT UNSIGNED", INT, &["0", "2147483647"], BIGINT, &["2147483648", "4294967295"]),
            // The other order of the words is another word to parsers.
            unsigned("INTEGER UNSIGNED", INT, &["7"], BIGINT, &["4294967295"]),
            column("BIGINT", BIGINT, ["-9223372036854775808", "9223372036854775807", "-1"]),
            unsigned(
                "BIGINT UNSIGNED",
                BIGINT,
                &["0", "9223372036854775807"],
                DECIMAL,
                &["9223372036854775808", "18446744073709551615"],
            ),
        ],
    )]
}

pub(super) fn booleans() -> Vec<Table> {
    vec![table(
        "booleans",
        [
            column("TINYINT(1)", TINYINT, ["0", "1", "2", "-128"]),
            column("BOOLEAN", TINYINT, [("TRUE", "1"), ("FALSE", "0")]),
            unsigned("TINYINT(1) UNSIGNED", TINYINT, &["1"], SMALLINT, &["255"]),
        ],
    )]
}

pub(super) fn zerofill() -> Vec<Table> {
    vec![table(
        "zerofilled",
        [
            column("INT(8) ZEROFILL", INT, ["7"]),
            column("TINYINT ZEROFILL", TINYINT, ["7"]),
            column("SMALLINT(3) UNSIGNED ZEROFILL", SMALLINT, ["7", "12345"]),
            column("MEDIUMINT ZEROFILL", INT, ["7"]),
            column("BIGINT(20) ZEROFILL", BIGINT, ["7"]),
            column("DECIMAL(10,2) ZEROFILL", DECIMAL, [("7.5", "7.50"), ("0", "0.00")]),
            column("DECIMAL(40,2) ZEROFILL", DECIMAL, [("7.5", "7.50")]),
            column("FLOAT ZEROFILL", FLOAT, ["7.5"]),
            column("DOUBLE ZEROFILL", DOUBLE, ["7.5"]),
            column("INT(3)", INT, ["123456"]),
        ],
    )]
}

pub(super) fn decimals() -> Vec<Table> {
    let nines = |whole: usize, fraction: usize| format!("{}.{}", "9".repeat(whole), "9".repeat(fraction));
    let smallest = format!("0.{}1", "0".repeat(29));
    let alike = |text: String| (text.clone(), text);
    vec![table(
        "decimals",
        [
            column("DECIMAL(10,2)", DECIMAL, [("-99999999.99", "-99999999.99"), ("0", "0.00"), ("-0.01", "-0.01")]),
            column("DECIMAL", DECIMAL, ["-9999999999", "0"]),
            column(
                "DECIMAL(65,30)",
                DECIMAL,
                [alike(nines(35, 30)), alike(format!("-{}", nines(35, 30))), alike(format!("-{smallest}"))],
            ),
            column("DECIMAL(65,0)", DECIMAL, [alike("9".repeat(65)), alike(format!("-1{}", "0".repeat(64)))]),
            column("DECIMAL(30,30)", DECIMAL, [alike(format!("-0.{}", "9".repeat(30))), alike(smallest.clone())]),
            column("DECIMAL(1,1)", DECIMAL, ["0.9", "-0.9", "0.0"]),
            column("DECIMAL(1,0)", DECIMAL, ["9", "-9"]),
            // Around the ends of what 64 and 128 bits hold.
            column("DECIMAL(18,9)", DECIMAL, [alike(nines(9, 9)), alike(format!("-{}", nines(9, 9)))]),
            column("DECIMAL(19,9)", DECIMAL, [alike(nines(10, 9)), alike(format!("-{}", nines(10, 9)))]),
            column("DECIMAL(20,0)", DECIMAL, ["18446744073709551615", "-18446744073709551616"]),
            column("DECIMAL(38,10)", DECIMAL, [alike(nines(28, 10)), alike(format!("-{}", nines(28, 10)))]),
            column("DECIMAL(39,10)", DECIMAL, [alike(nines(29, 10)), alike(format!("-{}", nines(29, 10)))]),
            column("DECIMAL(10,2) UNSIGNED", DECIMAL, [("99999999.99", "99999999.99"), ("0.01", "0.01")]),
            column("DECIMAL(5,2)", DECIMAL, [("-0.001", "0.00"), ("0.005", "0.01"), ("-0.005", "-0.01")]),
        ],
    )]
}

const NO_NEGATIVE_ZERO: &str = "zero has no sign";

pub(super) fn floats() -> Vec<Table> {
    vec![table(
        "floats",
        [
            column(
                "FLOAT",
                FLOAT,
                [
                    // The server's own text is 1234570.
                    ("1234567.9", "1234567.9"),
                    ("-0e0", "-0.0"),
                    ("0", "0.0"),
                    ("-0.5", "-0.5"),
                    ("0.1", "0.1"),
                    ("1e-3", "0.001"),
                    ("1e-4", "1.0E-4"),
                    ("9999999", "9999999.0"),
                    ("16777216", "1.6777216E7"),
                    ("3.4028235e38", "3.4028235E38"),
                    ("-3.4028235e38", "-3.4028235E38"),
                    ("1.17549435e-38", "1.1754944E-38"),
                    ("1e-40", "1.0E-40"),
                    ("1.4e-45", "1.4E-45"),
                ],
            )
            .differing(MARIADB, NO_NEGATIVE_ZERO, |column| column.with_text("-0e0", "0.0")),
            column(
                "DOUBLE",
                DOUBLE,
                [
                    ("100", "100.0"),
                    ("-0e0", "-0.0"),
                    ("0.1", "0.1"),
                    ("-1e-3", "-0.001"),
                    ("123456789.125", "1.23456789125E8"),
                    ("1e23", "1.0E23"),
                    ("9007199254740993", "9.007199254740992E15"),
                    ("1.7976931348623157e308", "1.7976931348623157E308"),
                    ("-1.7976931348623157e308", "-1.7976931348623157E308"),
                    ("2.2250738585072014e-308", "2.2250738585072014E-308"),
                    ("2.2250738585072009e-308", "2.225073858507201E-308"),
                    ("5e-324", "4.9E-324"),
                ],
            )
            .differing(MARIADB, NO_NEGATIVE_ZERO, |column| column.with_text("-0e0", "0.0")),
            column("FLOAT(7,3)", FLOAT, [("1.2346", "1.235"), ("9999.999", "9999.999")]),
            column("DOUBLE(10,2)", DOUBLE, [("1.005", "1.0"), ("-12345678.91", "-1.234567891E7")]),
            column("FLOAT(24)", FLOAT, ["0.25"]),
            column("FLOAT(53)", DOUBLE, ["0.1"]),
            column("REAL", DOUBLE, ["-2.5"]),
            column("FLOAT UNSIGNED", FLOAT, ["1.5"]),
            column("DOUBLE UNSIGNED", DOUBLE, ["1.5"]),
        ],
    )]
}

/// All widths, each with its highest bit alone, its lowest alone, all and none.
pub(super) fn bits() -> Vec<Table> {
    let columns = (1..=64).map(|width: u32| {
        let values = [1 << (width - 1), 1, u64::MAX >> (64 - width), 0];
        column(format!("BIT({width})"), BIT, values.map(|number| (number.to_string(), number.to_string())))
    });
    vec![table("bits", columns)]
}

pub(super) fn years() -> Vec<Table> {
    vec![table(
        "years",
        [column(
            "YEAR",
            VARCHAR,
            [("1901", "1901"), ("0", "0000"), ("2155", "2155"), ("'0000'", "0000"), ("1970", "1970")],
        )],
    )]
}
