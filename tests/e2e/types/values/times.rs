//! Dates and times.

use super::super::golden::{Table, column, table};

const DATE: i32 = 91;
const TIME: i32 = 92;
const TIMESTAMP: i32 = 93;

/// The first `digits` of a fraction, with its point.
fn cut(text: &str, digits: usize) -> String {
    let point = text.find('.').expect("a fraction");
    text[..if digits == 0 { point } else { point + 1 + digits }].to_owned()
}

/// Dates that no calendar has, of which some are in the binlog as they were written.
pub(super) fn zero_dates() -> Vec<Table> {
    let mut columns = vec![column(
        "DATE",
        DATE,
        [
            ("'0000-00-00'", "0000-00-00"),
            ("'2010-00-10'", "2010-00-10"),
            ("'2010-10-00'", "2010-10-00"),
            ("'0000-01-01'", "0000-01-01"),
            ("'9999-00-00'", "9999-00-00"),
            ("'1000-01-01'", "1000-01-01"),
            ("'9999-12-31'", "9999-12-31"),
            ("'2024-02-29'", "2024-02-29"),
        ],
    )];
    for digits in 0..=6 {
        let texts = [
            "0000-00-00 00:00:00.000000",
            "2010-00-10 01:02:03.000000",
            "0000-00-00 23:59:59.000000",
            "9999-12-00 23:59:59.000000",
            "0000-01-01 00:00:00.000000",
        ];
        let values = texts.map(|text| (format!("'{text}'"), cut(text, digits)));
        columns.push(column(format!("DATETIME({digits})"), TIMESTAMP, values));
        let zero = cut("0000-00-00 00:00:00.000000", digits);
        columns.push(column(format!("TIMESTAMP({digits}) NULL"), TIMESTAMP, [("0", zero)]));
    }
    vec![table("zero_dates", columns)]
}

/// Spans of both signs, beyond a day, with fractions that a packed negative number borrows from its seconds.
pub(super) fn times() -> Vec<Table> {
    let columns = (0..=6usize).map(|digits| {
        let texts = [
            "-838:59:59.000000",
            "838:59:59.000000",
            "00:00:00.000000",
            "-00:00:01.000000",
            "24:00:00.000000",
            "-100:00:00.000000",
        ];
        let mut values: Vec<_> = texts.map(|text| (format!("'{text}'"), cut(text, digits))).into();
        if digits > 0 {
            // The smallest fraction of both signs, and the last moments before the ends.
            let unit = format!("{}1", "0".repeat(digits - 1));
            let nines = "9".repeat(digits);
            for text in [
                format!("-00:00:00.{unit}"),
                format!("00:00:00.{unit}"),
                format!("-838:59:58.{nines}"),
                format!("838:59:58.{nines}"),
                format!("-00:00:01.{unit}"),
                format!("-23:59:59.{nines}"),
            ] {
                values.push((format!("'{text}'"), text));
            }
        }
        column(format!("TIME({digits})"), TIME, values)
    });
    vec![table("times", columns)]
}

/// The server rounds to the digits of the column; what it keeps comes out, all of it and nothing more.
pub(super) fn date_times() -> Vec<Table> {
    let rounded = [
        "2024-02-29 23:59:59",
        "2024-02-29 23:59:59.1",
        "2024-02-29 23:59:59.12",
        "2024-02-29 23:59:59.123",
        "2024-02-29 23:59:59.1235",
        "2024-02-29 23:59:59.12346",
        "2024-02-29 23:59:59.123456",
    ];
    let mut columns = Vec::new();
    for (digits, rounded) in rounded.into_iter().enumerate() {
        let carried = match digits {
            6 => "1999-12-31 23:59:59.999999".to_owned(),
            _ => cut("2000-01-01 00:00:00.000000", digits),
        };
        let values = [
            ("'2024-02-29 23:59:59.123456'", rounded.to_owned()),
            ("'1999-12-31 23:59:59.999999'", carried),
            ("'2024-01-02'", cut("2024-01-02 00:00:00.000000", digits)),
        ];
        columns.push(column(format!("TIMESTAMP({digits}) NULL"), TIMESTAMP, values.clone()));
        let early = ("'1000-01-01 00:00:00'", cut("1000-01-01 00:00:00.000000", digits));
        let late = ("'9999-12-31 23:59:59'", cut("9999-12-31 23:59:59.000000", digits));
        columns.push(column(format!("DATETIME({digits})"), TIMESTAMP, values.into_iter().chain([early, late])));
    }
    vec![table("date_times", columns)]
}

/// Written and read in UTC, whatever the server's own time zone is: of two moments that it calls 02:30, none is lost.
pub(super) fn timestamps() -> Vec<Table> {
    vec![table(
        "timestamps",
        [
            column(
                "TIMESTAMP NULL",
                TIMESTAMP,
                [
                    ("'1970-01-01 00:00:01'", "1970-01-01 00:00:01"),
                    ("'2038-01-19 03:14:07'", "2038-01-19 03:14:07"),
                    ("0", "0000-00-00 00:00:00"),
                    // Summer time of central Europe ends and begins.
                    ("'2024-10-27 00:30:00'", "2024-10-27 00:30:00"),
                    ("'2024-10-27 01:30:00'", "2024-10-27 01:30:00"),
                    ("'2024-03-31 00:59:59'", "2024-03-31 00:59:59"),
                    ("'2024-03-31 01:00:00'", "2024-03-31 01:00:00"),
                    ("FROM_UNIXTIME(1729989000)", "2024-10-27 00:30:00"),
                ],
            ),
            column(
                "TIMESTAMP(6) NULL",
                TIMESTAMP,
                [
                    ("'1970-01-01 00:00:01.000001'", "1970-01-01 00:00:01.000001"),
                    ("'2038-01-19 03:14:07.999999'", "2038-01-19 03:14:07.999999"),
                ],
            ),
            column("TIMESTAMP(3) NULL", TIMESTAMP, [("'2024-03-31 02:30:00.500'", "2024-03-31 02:30:00.500")]),
            // It has no time zone, so it is never moved.
            column("DATETIME", TIMESTAMP, [("'2024-10-27 02:30:00'", "2024-10-27 02:30:00")]),
        ],
    )]
}
