//! The columns that expressions read: every type, with the values at which meanings part.

use arrow::datatypes::DataType;
use fastrand::Rng;

/// What an expression is, as far as the generator chooses by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Type {
    Integer,
    Decimal,
    Double,
    Text,
    Bytes,
    Date,
    DateTime,
    Time,
    Json,
    Condition,
    /// Text in another character set than ours.
    Foreign,
}

/// How a column comes to us.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Form {
    Number(DataType),
    Bit,
    Float,
    Double,
    Text,
    Enum(&'static [&'static str]),
    Set(&'static [&'static str]),
    /// ENUM and SET that compare as texts of the round do.
    CollatedEnum(&'static [&'static str]),
    CollatedSet(&'static [&'static str]),
    /// Text in this character set.
    Foreign(&'static str),
    Bytes,
    Date,
    DateTime {
        fraction: u8,
        zone: bool,
    },
    Time {
        fraction: u8,
    },
    Json,
}

#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) definition: &'static str,
    pub(crate) form: Form,
    pub(crate) of: Type,
}

impl Column {
    /// What is selected to see its values exactly.
    pub(crate) fn selected(&self) -> String {
        match self.form {
            // FLOAT prints six digits only.
            Form::Float => format!("{} + 0e0", self.name),
            Form::Bit => format!("{} + 0", self.name),
            Form::Json => format!("CAST({} AS CHAR)", self.name),
            _ => self.name.to_owned(),
        }
    }

    pub(crate) fn is_nullable(&self) -> bool {
        self.name != "id" && !self.definition.contains("NOT NULL")
    }

    /// Whether it gets the collation of the round.
    pub(crate) fn is_collated(&self) -> bool {
        matches!(self.form, Form::Text | Form::CollatedEnum(_) | Form::CollatedSet(_))
    }

    /// What an index of it is on, of columns that a server is asked about first.
    pub(crate) fn indexed(&self) -> Option<String> {
        match self.form {
            _ if self.name == "id" => None,
            Form::Text | Form::Bytes if matches!(self.definition, "TEXT" | "BLOB") => Some(format!("{}(5)", self.name)),
            Form::Text | Form::Bytes | Form::Number(_) | Form::Date | Form::DateTime { .. } => {
                Some(self.name.to_owned())
            }
            _ => None,
        }
    }
}

pub(crate) fn columns(is_mariadb: bool) -> Vec<Column> {
    let number = |name, definition, data_type, of| Column { name, definition, form: Form::Number(data_type), of };
    let column = |name, definition, form, of| Column { name, definition, form, of };
    let mut columns = vec![
        number("id", "INT PRIMARY KEY", DataType::Int32, Type::Integer),
        number("i_tiny", "TINYINT", DataType::Int8, Type::Integer),
        number("i_small", "SMALLINT UNSIGNED", DataType::UInt16, Type::Integer),
        number("i_medium", "MEDIUMINT", DataType::Int32, Type::Integer),
        number("i_int", "INT", DataType::Int32, Type::Integer),
        number("i_big", "BIGINT", DataType::Int64, Type::Integer),
        number("i_ubig", "BIGINT UNSIGNED", DataType::UInt64, Type::Integer),
        number("i_year", "YEAR", DataType::UInt16, Type::Integer),
        column("i_bit", "BIT(10)", Form::Bit, Type::Integer),
        number("n_dec", "DECIMAL(10,2)", DataType::Decimal128(10, 2), Type::Decimal),
        number("n_dec4", "DECIMAL(20,4)", DataType::Decimal128(20, 4), Type::Decimal),
        column("x_double", "DOUBLE", Form::Double, Type::Double),
        column("x_float", "FLOAT", Form::Float, Type::Double),
        column("s_text", "VARCHAR(40)", Form::Text, Type::Text),
        column("s_long", "TEXT", Form::Text, Type::Text),
        column("s_char", "CHAR(10)", Form::Text, Type::Text),
        column("s_number", "VARCHAR(20)", Form::Text, Type::Text),
        column("s_enum", "ENUM('new','paid','Paid','ß')", Form::Enum(&LABELS), Type::Text),
        column("s_set", "SET('new','paid','Paid','ß')", Form::Set(&LABELS), Type::Text),
        column("s_label", "ENUM('new','Paid','sent','ß')", Form::CollatedEnum(&COLLATED_LABELS), Type::Text),
        column("s_labels", "SET('new','Paid','sent','ß')", Form::CollatedSet(&COLLATED_LABELS), Type::Text),
        column("f_latin", "VARCHAR(20) CHARACTER SET latin1", Form::Foreign("latin1"), Type::Foreign),
        column("f_koi8r", "VARCHAR(20) CHARACTER SET koi8r", Form::Foreign("koi8r"), Type::Foreign),
        column("f_utf16", "VARCHAR(20) CHARACTER SET utf16", Form::Foreign("utf16"), Type::Foreign),
        column("b_bytes", "VARBINARY(20)", Form::Bytes, Type::Bytes),
        column("b_fixed", "BINARY(4)", Form::Bytes, Type::Bytes),
        column("b_blob", "BLOB", Form::Bytes, Type::Bytes),
        column("d_date", "DATE", Form::Date, Type::Date),
        column("t_time0", "DATETIME", Form::DateTime { fraction: 0, zone: false }, Type::DateTime),
        column("t_time6", "DATETIME(6)", Form::DateTime { fraction: 6, zone: false }, Type::DateTime),
        column("t_stamp", "TIMESTAMP(3) NULL", Form::DateTime { fraction: 3, zone: true }, Type::DateTime),
        column("d_always", "DATE NOT NULL", Form::Date, Type::Date),
        column("t_always", "DATETIME NOT NULL", Form::DateTime { fraction: 0, zone: false }, Type::DateTime),
        column("c_clock", "TIME(3)", Form::Time { fraction: 3 }, Type::Time),
    ];
    if !is_mariadb {
        // MariaDB 10.11 multiplies long decimals inexactly.
        columns.push(number("n_wide", "DECIMAL(50,10)", DataType::Decimal256(50, 10), Type::Decimal));
        columns.push(number("n_max", "DECIMAL(65,30)", DataType::Decimal256(65, 30), Type::Decimal));
        columns.push(column("j_json", "JSON", Form::Json, Type::Json));
    }
    columns
}

pub(crate) const TEXTS: [&str; 33] = [
    "",
    " ",
    "a",
    "A",
    "abc",
    "ABC",
    "abc ",
    " abc",
    "aaa",
    "a,b,c",
    "de",
    "DE",
    "Straße",
    "STRASSE",
    "é",
    "É",
    "e",
    "İ",
    "ı",
    "😀",
    "😀a😀",
    "a\u{fffd}",
    "日本",
    "%",
    "_",
    "a_c",
    "a%c",
    "\\",
    "x'y",
    "2024-01-31",
    "b,",
    "hello world hello",
    "ǅ",
];

const NUMBERS_AS_TEXT: [&str; 12] =
    ["0", "1", "-1", "12", "007", "1.5", "-0.25", "1e3", "ff", "7F", "9223372036854775807", "+5"];

const LABELS: [&str; 4] = ["new", "paid", "Paid", "ß"];

/// Labels that no collation takes for one.
const COLLATED_LABELS: [&str; 4] = ["new", "Paid", "sent", "ß"];

const DOCUMENTS: [&str; 15] = [
    "{\"a\": 1, \"b\": [1, 2, {\"c\": \"x\"}], \"name\": \"Straße\"}",
    "[]",
    "{}",
    "[1, \"a\", null, true, 2.5]",
    "\"text\"",
    "7",
    "null",
    "{\"a\": {\"a\": {\"a\": []}}, \"k y\": \"q\\\"uote\\n\"}",
    "{\"b\": -1.5e10, \"a\": \"😀\"}",
    "[[1, 2], [3]]",
    "{\"a\": [{\"b\": 1}, {\"b\": 2}]}",
    "{\"a\": null, \"name\": \"\"}",
    "{\"a\": [], \"b\": {\"c\": null}, \"abc\": \"abc\"}",
    "[1, \"abc\", [\"a\", {\"a\": \"abc\"}]]",
    "[\"2024-01-31\", 1.0, 1e3, 18446744073709551615]",
];

fn pick<'a>(rng: &mut Rng, of: &[&'a str]) -> &'a str {
    of[rng.usize(..of.len())]
}

/// A text as a literal that means the same on both sides.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A value of the column as the server reads it.
pub(crate) fn value(rng: &mut Rng, column: &Column) -> String {
    if column.is_nullable() && rng.u8(..8) == 0 {
        return "NULL".to_owned();
    }
    match column.name {
        "i_tiny" => pick(rng, &["0", "1", "-1", "127", "-128", "2", "7", "10"]).to_owned(),
        "i_small" => pick(rng, &["0", "1", "65535", "10", "100"]).to_owned(),
        "i_medium" => pick(rng, &["0", "1", "-1", "8388607", "-8388608", "2024"]).to_owned(),
        "i_bit" => pick(rng, &["0", "1", "2", "255", "1023", "512"]).to_owned(),
        "i_int" => match rng.u8(..3) {
            0 => rng.i32(..).to_string(),
            _ => pick(rng, &["0", "1", "-1", "2147483647", "-2147483648", "3", "1000", "1704067200"]).to_owned(),
        },
        "i_big" => match rng.u8(..4) {
            0 => rng.i64(..).to_string(),
            1 => rng.i64(-100..100).to_string(),
            _ => pick(rng, &["0", "1", "-1", "9223372036854775807", "-9223372036854775808", "9007199254740993"])
                .to_owned(),
        },
        "i_ubig" => match rng.u8(..3) {
            0 => rng.u64(..).to_string(),
            _ => pick(rng, &["0", "1", "18446744073709551615", "9223372036854775808", "5"]).to_owned(),
        },
        "i_year" => pick(rng, &["0", "1901", "1970", "2000", "2024", "2155"]).to_owned(),
        "n_dec" => match rng.u8(..3) {
            0 => format!("{}.{:02}", rng.i32(-99_999_999..99_999_999), rng.u8(..100)),
            _ => pick(rng, &["0", "0.01", "-0.01", "0.5", "-0.5", "1.5", "2.5", "99999999.99", "3", "7.25"]).to_owned(),
        },
        "n_dec4" => match rng.u8(..3) {
            0 => format!("{}.{:04}", rng.i64(-9_999_999_999..9_999_999_999), rng.u16(..10_000)),
            _ => pick(rng, &["0", "0.0001", "-3.76", "1.0050", "2.5000", "-2.5", "1", "3"]).to_owned(),
        },
        "n_wide" => {
            pick(rng, &["0", "1", "-1.0000000001", "1234567890123456789012345678901234567890.0123456789", "3.5"])
                .to_owned()
        }
        "n_max" => pick(
            rng,
            &[
                "0",
                "1.5",
                "-2.000000000000000000000000000003",
                "0.333333333333333333333333333335",
                "12345678901234567890123456789012345.123456789012345678901234567891",
                "99999999999999999999999999999999999.999999999999999999999999999999",
                "12345678901.25",
            ],
        )
        .to_owned(),
        "x_double" => match rng.u8(..3) {
            0 => format!("{:e}", (rng.f64() - 0.5) * 10f64.powi(rng.i32(-20..20))),
            _ => pick(
                rng,
                &["0", "1", "-1", "0.5", "1.5", "2.5", "-2.5", "0.1", "1e308", "-1e-300", "9007199254740993", "100"],
            )
            .to_owned(),
        },
        "x_float" => pick(rng, &["0", "0.1", "-1.5", "3.25", "1e30", "16777217"]).to_owned(),
        "s_number" => quoted(pick(rng, &NUMBERS_AS_TEXT)),
        // What is no label becomes the empty text.
        "s_enum" => quoted(if rng.u8(..8) == 0 { "none" } else { pick(rng, &LABELS) }),
        "s_set" => quoted(pick(rng, &["", "new", "new,Paid", "paid,Paid,ß", "ß", "new,paid,Paid,ß"])),
        "s_label" => quoted(if rng.u8(..8) == 0 { "none" } else { pick(rng, &COLLATED_LABELS) }),
        "s_labels" => quoted(pick(rng, &["", "new", "new,Paid", "Paid,ß", "ß", "new,Paid,sent,ß"])),
        "b_bytes" | "b_fixed" | "b_blob" => {
            format!("x'{}'", pick(rng, &["", "00", "61", "ff00", "c3a9", "414243", "7f000001"]))
        }
        "d_date" | "d_always" => format!("'{}'", date(rng)),
        "t_time0" | "t_always" => format!("'{} {}'", date(rng), clock(rng)),
        "t_time6" => format!("'{} {}.{:06}'", date(rng), clock(rng), fraction(rng)),
        "t_stamp" => format!(
            "'{:04}-{:02}-{:02} {}.{:03}'",
            rng.u16(1971..2037),
            rng.u8(1..13),
            rng.u8(1..29),
            clock(rng),
            fraction(rng) / 1000
        ),
        "c_clock" => pick(
            rng,
            &["'00:00:00'", "'-00:00:01.5'", "'838:59:59'", "'-838:59:59'", "'12:34:56.789'", "'23:59:59.999'"],
        )
        .to_owned(),
        "j_json" => quoted(pick(rng, &DOCUMENTS)),
        _ => quoted(pick(rng, &TEXTS)),
    }
}

fn date(rng: &mut Rng) -> String {
    match rng.u8(..3) {
        0 => format!("{:04}-{:02}-{:02}", rng.u16(1..10_000), rng.u8(1..13), rng.u8(1..29)),
        1 => format!("{:04}-{:02}-{:02}", rng.u16(1995..2030), rng.u8(1..13), rng.u8(1..29)),
        _ => pick(
            rng,
            &[
                "0000-00-00",
                "2010-00-10",
                "2010-02-00",
                "0000-01-01",
                "9999-12-31",
                "2024-02-29",
                "2023-02-28",
                "1970-01-01",
                "1969-12-31",
                "2000-12-31",
                "2024-12-30",
                "2021-01-03",
                "2016-01-01",
                "2024-03-31",
            ],
        )
        .to_owned(),
    }
}

fn clock(rng: &mut Rng) -> String {
    match rng.u8(..2) {
        0 => format!("{:02}:{:02}:{:02}", rng.u8(..24), rng.u8(..60), rng.u8(..60)),
        _ => pick(rng, &["00:00:00", "23:59:59", "12:00:00", "01:02:03"]).to_owned(),
    }
}

fn fraction(rng: &mut Rng) -> u32 {
    [0, 1, 500_000, 999_999, 123_456, 500][rng.usize(..6)]
}
