//! The judge: a server that answers in text, and what a task would see of its rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Date32Array, DurationMicrosecondArray, Float32Array, Float64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Row, Value};
use tidegate_sql::{ColumnSource, InputColumns, Kind, Pushdown, TextOrder};
use tokio::runtime::Runtime;

use super::columns::{Column, Form};

pub(crate) struct Server {
    connection: Conn,
    runtime: Runtime,
    pub(crate) is_mariadb: bool,
}

/// What the server answers for one row: bytes, or NULL.
pub(crate) type Answer = Option<Vec<u8>>;

impl Server {
    pub(crate) fn connect(url: &str) -> Server {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let options = OptsBuilder::from_opts(Opts::from_url(url).unwrap()).prefer_socket(false);
        let connection = runtime.block_on(Conn::new(options)).unwrap();
        let mut server = Server { connection, runtime, is_mariadb: false };
        server.is_mariadb = text(&server.ask("SELECT VERSION()").unwrap()[0][0]).contains("MariaDB");
        server.run("SET time_zone = '+00:00', group_concat_max_len = 1024");
        let of_session = if server.is_mariadb { "utf8mb4_uca1400_nopad_ai_ci" } else { "utf8mb4_0900_ai_ci" };
        server.run(&format!("SET NAMES utf8mb4 COLLATE {of_session}"));
        server
    }

    /// The collation of ENUM, whose labels may differ in case alone.
    pub(crate) fn collation(&self) -> &'static str {
        if self.is_mariadb { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" }
    }

    /// Those of columns, one after the other.
    pub(crate) fn collations(&self) -> &'static [&'static str] {
        match self.is_mariadb {
            true => &[
                "utf8mb4_nopad_bin",
                "utf8mb4_general_ci",
                "utf8mb4_uca1400_ai_ci",
                "utf8mb4_unicode_ci",
                "utf8mb4_bin",
                "utf8mb4_general_nopad_ci",
                "utf8mb4_uca1400_as_cs",
                "utf8mb4_unicode_520_ci",
                "latin1_swedish_ci",
                "utf8mb3_general_ci",
            ],
            false => &[
                "utf8mb4_0900_bin",
                "utf8mb4_0900_ai_ci",
                "utf8mb4_general_ci",
                "utf8mb4_0900_as_cs",
                "utf8mb4_unicode_ci",
                "utf8mb4_bin",
                "utf8mb4_0900_as_ci",
                "utf8mb4_unicode_520_ci",
                "latin1_swedish_ci",
                "utf8mb3_general_ci",
            ],
        }
    }

    pub(crate) fn run(&mut self, statement: &str) {
        self.runtime
            .block_on(self.connection.query_drop(statement))
            .unwrap_or_else(|error| panic!("{error}\n{}", &statement[..statement.len().min(2000)]));
    }

    /// Rows of answers.
    pub(crate) fn ask(&mut self, query: &str) -> Result<Vec<Vec<Answer>>, String> {
        let rows: Vec<Row> = self.runtime.block_on(self.connection.query(query)).map_err(|error| error.to_string())?;
        let answer = |value: Value| match value {
            Value::NULL => None,
            Value::Bytes(bytes) => Some(bytes),
            other => panic!("the text protocol has bytes only, not {other:?}"),
        };
        Ok(rows.into_iter().map(|row| row.unwrap().into_iter().map(answer).collect()).collect())
    }

    /// The rows that WHERE keeps; `hint` says by which indexes.
    pub(crate) fn ids(&mut self, condition: &str, hint: &str) -> Result<BTreeSet<usize>, String> {
        let rows = self.ask(&format!("SELECT id FROM t {hint} WHERE {condition}"))?;
        Ok(rows.iter().map(|row| text(&row[0]).parse().unwrap()).collect())
    }

    /// The table as a task sees it.
    pub(crate) fn rows(&mut self, columns: &[Column], collation: &str) -> (InputColumns, RecordBatch) {
        let selected: Vec<String> = columns.iter().map(Column::selected).collect();
        let answers = self.ask(&format!("SELECT {} FROM t ORDER BY id", selected.join(", "))).unwrap();
        let mut fields = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for (at, column) in columns.iter().enumerate() {
            let cells: Vec<&Answer> = answers.iter().map(|row| &row[at]).collect();
            let array = array_of(column, &cells);
            fields.push(Field::new(column.name, array.data_type().clone(), column.is_nullable()));
            arrays.push(array);
        }
        let schema = Arc::new(Schema::new(fields));
        let input = InputColumns {
            schema: Arc::clone(&schema),
            pushdown: columns.iter().map(|column| pushdown(column, collation)).collect(),
            sources: columns.iter().map(|column| source(column, collation)).collect(),
            texts: columns.iter().map(|column| text_order(column, collation)).collect(),
        };
        (input, RecordBatch::try_new(schema, arrays).unwrap())
    }
}

pub(crate) fn text(answer: &Answer) -> String {
    answer.as_deref().map_or("NULL".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// As the engine has it: what compares by value, and text by a collation. Of CHAR, whose spaces at the end are not stored, only if they
/// do not count.
fn pushdown(column: &Column, collation: &str) -> Pushdown {
    match column.form {
        _ if matches!(column.name, "i_year" | "b_fixed") => Pushdown::Never,
        Form::Text if column.name == "s_char" => match text_order(column, collation) {
            TextOrder::Collation(collation) if collation.pads() => Pushdown::Exact,
            _ => Pushdown::Never,
        },
        Form::Number(_) | Form::Bytes | Form::Date | Form::DateTime { .. } | Form::Text => Pushdown::Exact,
        _ => Pushdown::Never,
    }
}

fn text_order(column: &Column, collation: &str) -> TextOrder {
    if column.is_collated() { TextOrder::of(Some(collation)) } else { TextOrder::Bytes }
}

fn source(column: &Column, collation: &str) -> ColumnSource {
    let (kind, fraction) = match column.form {
        Form::Json => (Kind::Json, None),
        Form::Set(_) | Form::CollatedSet(_) => (Kind::Set, None),
        Form::DateTime { fraction, .. } | Form::Time { fraction } => (Kind::Plain, Some(fraction)),
        Form::Bit => (Kind::Bit, None),
        _ if column.name == "i_year" => (Kind::Year, None),
        _ => (Kind::Plain, None),
    };
    let charset = match column.form {
        _ if column.is_collated() => collation.split('_').next().map(str::to_owned),
        Form::Foreign(charset) => Some(charset.to_owned()),
        _ => None,
    };
    let labels = match &column.form {
        Form::Enum(labels) | Form::Set(labels) | Form::CollatedEnum(labels) | Form::CollatedSet(labels) => {
            Some(labels.iter().map(|label| (*label).to_owned()).collect())
        }
        _ => None,
    };
    ColumnSource { kind, charset, fraction, labels }
}

fn array_of(column: &Column, cells: &[&Answer]) -> ArrayRef {
    let texts = || cells.iter().map(|cell| cell.as_deref().map(|bytes| std::str::from_utf8(bytes).unwrap()));
    match &column.form {
        Form::Number(data_type) => cast(&StringArray::from_iter(texts()), data_type).unwrap(),
        Form::Bit => cast(&StringArray::from_iter(texts()), &DataType::UInt64).unwrap(),
        Form::Float => {
            let doubles = texts().map(|text| text.map(|text| text.parse::<f64>().unwrap() as f32));
            Arc::new(Float32Array::from_iter(doubles))
        }
        Form::Double => Arc::new(Float64Array::from_iter(texts().map(|text| text.map(|text| text.parse().unwrap())))),
        Form::Text | Form::Json | Form::Set(_) | Form::CollatedSet(_) | Form::Foreign(_) => {
            Arc::new(StringArray::from_iter(texts()))
        }
        Form::Enum(_) | Form::CollatedEnum(_) => {
            let labels = DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8));
            cast(&StringArray::from_iter(texts()), &labels).unwrap()
        }
        Form::Bytes => Arc::new(BinaryArray::from_iter(cells.iter().map(|cell| cell.as_deref()))),
        Form::Date => Arc::new(Date32Array::from_iter(texts().map(|text| text.map(date)))),
        Form::DateTime { zone, .. } => {
            let micros = TimestampMicrosecondArray::from_iter(texts().map(|text| text.map(date_time)));
            Arc::new(if *zone { micros.with_timezone("+00:00") } else { micros })
        }
        Form::Time { .. } => Arc::new(DurationMicrosecondArray::from_iter(texts().map(|text| text.map(time)))),
    }
}

/// The days of a date; of one that does not exist, its digits far below.
fn date(text: &str) -> i32 {
    let parts: Vec<i32> = text.split('-').map(|part| part.parse().unwrap()).collect();
    let [year, month, day] = parts[..] else { panic!("{text} is no date") };
    match cast(&StringArray::from(vec![text]), &DataType::Date32) {
        Ok(days) if !arrow::array::Array::is_null(&days, 0) => {
            arrow::array::AsArray::as_primitive::<arrow::datatypes::Date32Type>(&days).value(0)
        }
        _ => i32::MIN + (year << 9 | month << 5 | day),
    }
}

fn date_time(text: &str) -> i64 {
    let days = date(&text[..10]);
    let micros = time(&text[11..]);
    match days < -800_000 {
        true => i64::MIN + ((i64::from(days) - i64::from(i32::MIN)) << 37 | micros),
        false => i64::from(days) * 86_400_000_000 + micros,
    }
}

pub(crate) fn time(text: &str) -> i64 {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds = clock.split(':').fold(0, |seconds, part| seconds * 60 + part.parse::<i64>().unwrap());
    sign * (seconds * 1_000_000 + format!("{fraction:0<6}").parse::<i64>().unwrap())
}

/// A value of ours as the server would print it; doubles are compared as numbers, times without the zeros at their end.
pub(crate) fn agrees(expression: &str, ours: &ArrayRef, row: usize, answer: &Answer) -> bool {
    use arrow::array::AsArray as _;
    if ours.is_null(row) || answer.is_none() {
        return ours.is_null(row) && answer.is_none();
    }
    let bytes = answer.as_deref().unwrap();
    match ours.data_type() {
        DataType::Binary => ours.as_binary::<i32>().value(row) == bytes,
        DataType::Boolean => bytes == if ours.as_boolean().value(row) { b"1" } else { b"0" },
        DataType::Float64 => {
            let ours = ours.as_primitive::<arrow::datatypes::Float64Type>().value(row);
            // FLOAT that is handed through is shown with six digits.
            let tolerance = if expression.contains("x_float") { ours.abs() * 1e-5 } else { 0.0 };
            text(answer).parse::<f64>().is_ok_and(|theirs| (theirs - ours).abs() <= tolerance)
        }
        // CASE and the like show the digits of the branch, and MariaDB has a zero with a sign.
        DataType::Decimal128(..) | DataType::Decimal256(..) => plain(&shown(ours, row)) == plain(&text(answer)),
        DataType::Float32 => {
            let ours = ours.as_primitive::<arrow::datatypes::Float32Type>().value(row);
            // Six digits of it are shown.
            text(answer).parse::<f32>().is_ok_and(|theirs| (theirs - ours).abs() <= ours.abs() * 1e-5)
        }
        DataType::Date32 => {
            let ours = ours.as_primitive::<arrow::datatypes::Date32Type>().value(row);
            bytes.len() == 10 && date(&text(answer)) == ours
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let ours = ours.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().value(row);
            bytes.len() >= 19 && bytes[4] == b'-' && date_time(&text(answer)) == ours
        }
        DataType::Duration(_) => {
            let ours = ours.as_primitive::<arrow::datatypes::DurationMicrosecondType>().value(row);
            bytes.contains(&b':') && time(&text(answer)) == ours
        }
        // A BIT that is handed through is shown as bytes.
        DataType::UInt64 if bytes.len() == 2 && bytes[0] < b' ' => {
            shown(ours, row) == u16::from_be_bytes([bytes[0], bytes[1]]).to_string()
        }
        // A YEAR has four digits.
        data_type if data_type.is_integer() => {
            text(answer).parse::<i128>().is_ok_and(|theirs| theirs.to_string() == shown(ours, row))
        }
        _ => shown(ours, row).as_bytes() == bytes,
    }
}

/// A decimal without the zeros at its end.
fn plain(decimal: &str) -> &str {
    let trimmed = if decimal.contains('.') { decimal.trim_end_matches('0').trim_end_matches('.') } else { decimal };
    // YEAR has four digits.
    if matches!(trimmed, "-0" | "0000") { "0" } else { trimmed }
}

/// For people, and for what prints alike.
pub(crate) fn shown(ours: &ArrayRef, row: usize) -> String {
    if ours.is_null(row) {
        return "NULL".to_owned();
    }
    let options = arrow::util::display::FormatOptions::new();
    let formatter = arrow::util::display::ArrayFormatter::try_new(ours.as_ref(), &options).unwrap();
    formatter.value(row).try_to_string().unwrap_or_else(|_| "(no date)".to_owned())
}
