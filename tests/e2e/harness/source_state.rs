//! What the source holds, as its consumer should know it. The server itself writes the texts.

use super::mysql::Mysql;
use super::state::{Rows, Values};
use super::tables::{Column, Form, Table};

/// The format in use, as far as values look different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Canal JSON: ENUM and SET as numbers.
    Canal,
    /// Canal JSON as DTS writes it: ENUM and SET as labels.
    Dts,
    /// DTS Avro: as before, and no digits after a second that say nothing.
    Avro,
}

impl Format {
    /// For a task file.
    pub(crate) fn yaml(self) -> String {
        match self {
            Format::Canal => "canal_json",
            Format::Dts => "{canal_json: {profile: dts}}",
            Format::Avro => "dts_avro",
        }
        .to_owned()
    }
}

pub(crate) fn rows_of(mysql: &mut Mysql, table: &Table, format: Format) -> Rows {
    let expressions: Vec<_> = table.columns().map(|column| expression(column, format)).collect();
    let query = format!("SELECT {} FROM {}", expressions.join(", "), table.name);
    let mut rows = Rows::new();
    mysql.for_each(&query, |row| {
        let mut values: Values = row.unwrap().into_iter().map(mysql_async::from_value).collect();
        for (value, column) in values.iter_mut().zip(table.columns()) {
            if let (Form::Bytes, Some(text)) = (column.form, value.as_mut()) {
                *text = latin1(text);
            }
        }
        let key = values[..table.key.len()].iter().map(|value| value.clone().unwrap_or_default()).collect();
        let before = rows.insert(key, values);
        assert!(before.is_none(), "{} has two rows of one key", table.name);
    });
    rows
}

fn expression(Column { name, form, .. }: &Column, format: Format) -> String {
    match (form, format) {
        (Form::Label, Format::Canal) => format!("CAST({name} + 0 AS CHAR)"),
        (Form::Time, Format::Avro) => {
            format!("TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM CAST({name} AS CHAR)))")
        }
        (Form::Text | Form::Label | Form::Time, _) => format!("CAST({name} AS CHAR)"),
        (Form::Bytes, _) => format!("HEX({name})"),
    }
}

/// Each byte as the character of the same number.
fn latin1(hex: &str) -> String {
    bytes_of_hex(hex).into_iter().map(char::from).collect()
}

pub(crate) fn bytes_of_hex(hex: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal");
    hex.as_bytes().chunks(2).map(byte).collect()
}
