//! Runs `tests/slt/*.slt`: expressions over a drawn table, and what must come of them.
//!
//! A file draws its table once, with a `!` after the type of a column that is never NULL:
//!
//! ```text
//! table
//! id int! | amount decimal(10,2) | status enum
//! 1       | 10.50                | paid
//! 2       | NULL                 | open
//! ```
//!
//! A statement ends with `----`, its expectation with an empty line. `where` shows the first column of the rows that stay and what
//! the server would be asked; `select` (items on lines of their own, or separated by `;`) shows columns with their types.
//!
//! `TIDEGATE_COMPLETE=1 cargo test -p tidegate-sql --test slt` writes what comes out into the files. Review it as a diff.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, UInt32Array};
use arrow::compute::{cast, filter_record_batch, take};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use tidegate_sql::{ColumnSource, Filter, InputColumns, Kind, Output, Projection, Pushdown, TextOrder};

#[test]
fn statements_give_what_is_drawn() {
    let complete = std::env::var_os("TIDEGATE_COMPLETE").is_some();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let mut failures = String::new();
    let mut statements = 0;
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let actual = run_file(&text, &mut |statement, expected, actual| {
            statements += 1;
            if !complete && expected.trim_end() != actual.trim_end() {
                write!(failures, "{name}: {statement}\n--- expected\n{expected}\n--- actual\n{actual}\n\n").unwrap();
            }
        });
        if complete {
            std::fs::write(&path, actual).unwrap();
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
    assert!(statements > 0, "no statements in {}", folder.display());
}

/// Runs every statement, reports it, and returns the file as it would be with the actual results.
fn run_file(text: &str, report: &mut dyn FnMut(&str, &str, &str)) -> String {
    let mut out = String::new();
    let mut table: Option<(InputColumns, RecordBatch)> = None;
    for block in text.split("\n\n") {
        let block = block.trim_matches('\n');
        let comment_lines = block.lines().take_while(|line| line.starts_with('#')).count();
        let (comments, statement): (Vec<&str>, Vec<&str>) =
            (block.lines().take(comment_lines).collect(), block.lines().skip(comment_lines).collect());
        let statement = statement.join("\n");
        let result = if let Some(drawing) = statement.strip_prefix("table\n") {
            table = Some(draw(drawing));
            statement
        } else if statement.is_empty() {
            statement
        } else {
            let (query, expected) = statement.split_once("\n----").unwrap_or((&statement, ""));
            let (input, batch) = table.as_ref().expect("a table is drawn first");
            let actual = run_statement(query, input, batch);
            report(query, expected.trim_start_matches('\n'), &actual);
            format!("{query}\n----\n{}", actual.trim_end())
        };
        let parts: Vec<String> = comments.iter().map(|line| line.to_string()).chain([result]).collect();
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        if !parts.is_empty() {
            out.push_str(&parts.join("\n"));
            out.push_str("\n\n");
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn run_statement(query: &str, input: &InputColumns, batch: &RecordBatch) -> String {
    if let Some(text) = query.strip_prefix("where ") {
        run_filter(text, input, batch)
    } else if let Some(items) = query.strip_prefix("select").filter(|rest| rest.starts_with([' ', '\n'])) {
        let items: Vec<String> =
            items.split(['\n', ';']).map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect();
        run_projection(&items, input, batch)
    } else {
        panic!("neither where nor select: {query}");
    }
}

fn run_filter(text: &str, input: &InputColumns, batch: &RecordBatch) -> String {
    let filter = match Filter::compile(text, input) {
        Ok(filter) => filter,
        Err(error) => return format!("refused: {error}"),
    };
    let keep = match filter.evaluate(&batch.project(filter.columns()).unwrap()) {
        Ok(keep) => keep,
        Err(error) => return format!("failed: {error}"),
    };
    assert_eq!(keep.null_count(), 0);
    one_row_at_a_time(batch, |row| {
        let alone = filter.evaluate(&row.project(filter.columns()).unwrap()).unwrap();
        alone.value(0)
    })
    .into_iter()
    .enumerate()
    .for_each(|(row, alone)| assert_eq!(alone, keep.value(row), "row {row} alone differs from the batch: {text}"));
    let kept = filter_record_batch(batch, &keep).unwrap();
    let ids = if kept.num_rows() == 0 { vec!["(no rows)".to_owned()] } else { cells(kept.column(0)) };
    format!("{}\nmysql: {}", ids.join(" "), filter.mysql_predicate().unwrap_or("-"))
}

fn one_row_at_a_time<T>(batch: &RecordBatch, each: impl Fn(RecordBatch) -> T) -> Vec<T> {
    (0..batch.num_rows()).map(|row| each(batch.slice(row, 1))).collect()
}

fn run_projection(items: &[String], input: &InputColumns, batch: &RecordBatch) -> String {
    let projection = match Projection::compile(items, input) {
        Ok(projection) => projection,
        Err(error) => return format!("refused: {error}"),
    };
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let read: Vec<ArrayRef> = projection.columns().iter().map(|index| Arc::clone(batch.column(*index))).collect();
    let schema = Arc::new(batch.schema().project(projection.columns()).unwrap());
    let read = RecordBatch::try_new_with_options(schema, read, &options).unwrap();
    let computed = match projection.evaluate(&read) {
        Ok(computed) => computed,
        Err(error) => return format!("failed: {error}"),
    };
    let columns: Vec<ArrayRef> = projection
        .outputs()
        .iter()
        .map(|output| match output.output {
            Output::Column(index) => Arc::clone(batch.column(index)),
            Output::Computed(index) => Arc::clone(&computed[index]),
        })
        .collect();
    let headers = projection.outputs().iter().zip(&columns).map(|(output, values)| {
        assert_eq!(output.field.data_type(), values.data_type(), "{}", output.field.name());
        let required = if output.field.is_nullable() { "" } else { "!" };
        format!("{} {}{required}", output.field.name(), output.field.data_type())
    });
    let mut drawn: Vec<Vec<String>> = headers.map(|header| vec![header]).collect();
    for (drawn, values) in drawn.iter_mut().zip(&columns) {
        drawn.extend(cells(values));
    }
    let widths: Vec<usize> =
        drawn.iter().map(|column| column.iter().map(|cell| cell.chars().count()).max().unwrap_or(0)).collect();
    let mut out = String::new();
    for row in 0..=batch.num_rows() {
        let line: Vec<String> =
            drawn.iter().zip(&widths).map(|(column, width)| format!("{:width$}", column[row])).collect();
        writeln!(out, "{}", line.join(" | ").trim_end()).unwrap();
    }
    out
}

fn cells(values: &ArrayRef) -> Vec<String> {
    let options = FormatOptions::new().with_null("NULL");
    let formatter = ArrayFormatter::try_new(values.as_ref(), &options).unwrap();
    (0..values.len())
        .map(|row| formatter.value(row).try_to_string().unwrap_or_else(|_| "(no date)".to_owned()))
        .collect()
}

fn draw(drawing: &str) -> (InputColumns, RecordBatch) {
    let mut lines = drawing.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<&str>>());
    let header = lines.next().expect("a header");
    let rows: Vec<Vec<&str>> = lines.collect();
    let mut fields = Vec::new();
    let mut pushdown = Vec::new();
    let mut texts = Vec::new();
    let mut sources = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (at, column) in header.iter().enumerate() {
        let (name, of_type) = column.rsplit_once(' ').expect("name and type");
        let required = of_type.ends_with('!');
        // `text/utf8mb4_bin`: with a collation.
        let (of_type, collation) = match of_type.trim_end_matches('!').split_once('/') {
            Some((of_type, collation)) => (of_type, Some(collation)),
            None => (of_type.trim_end_matches('!'), None),
        };
        let (data_type, exact) = parse_type(of_type);
        sources.push(source_of(of_type));
        let cells = rows.iter().map(|row| Some(row[at]).filter(|cell| *cell != "NULL"));
        arrays.push(column_of(&cells.collect(), &data_type));
        fields.push(Field::new(name, data_type, !required));
        texts.push(collation.map_or(TextOrder::Bytes, |name| TextOrder::of(Some(name).filter(|name| *name != "?"))));
        let exact = exact || collation.is_some();
        pushdown.push(if exact { Pushdown::Exact } else { Pushdown::Never });
    }
    let schema = Arc::new(Schema::new(fields));
    let input = InputColumns { schema: Arc::clone(&schema), pushdown, texts, sources };
    (input, RecordBatch::try_new(schema, arrays).unwrap())
}

/// `0000-00-00` becomes a number far below every date, as the engine has it.
fn column_of(texts: &StringArray, data_type: &DataType) -> ArrayRef {
    let zero = texts.iter().any(|text| text.is_some_and(|text| text.starts_with("0000-00-00")));
    match data_type {
        DataType::Duration(_) => {
            let micros: Int64Array = texts.iter().map(|text| text.map(|text| text.parse::<i64>().unwrap())).collect();
            cast(&micros, data_type).unwrap()
        }
        DataType::Dictionary(..) => {
            // A dictionary as the engine builds it: the labels in the order of the type, one of them unused, keys in between.
            let labels = cast(texts, data_type).unwrap();
            let order: UInt32Array = (0..texts.len() as u32).collect();
            take(&labels, &order, None).unwrap()
        }
        DataType::Date32 if zero => {
            let valid: StringArray = texts.iter().map(|text| text.filter(|text| *text != "0000-00-00")).collect();
            let days = cast(&cast(&valid, &DataType::Date32).unwrap(), &DataType::Int32).unwrap();
            let days = days.as_any().downcast_ref::<arrow::array::Int32Array>().unwrap().clone();
            let days: arrow::array::Date32Array =
                texts.iter().zip(&days).map(|(text, day)| text.map(|_| day.unwrap_or(i32::MIN))).collect();
            Arc::new(days)
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) if zero => {
            let valid: StringArray = texts.iter().map(|text| text.filter(|text| !text.starts_with("0000"))).collect();
            let micros = cast(&cast(&valid, data_type).unwrap(), &DataType::Int64).unwrap();
            let micros = micros.as_any().downcast_ref::<Int64Array>().unwrap().clone();
            let micros: arrow::array::TimestampMicrosecondArray =
                texts.iter().zip(&micros).map(|(text, value)| text.map(|_| value.unwrap_or(i64::MIN))).collect();
            Arc::new(micros.with_timezone_opt(zone.clone()))
        }
        _ => cast(texts, data_type).unwrap(),
    }
}

/// `datetime3` has three digits of a second, `latin1` is text of that character set, `enum(a,b)` knows its labels.
fn source_of(of_type: &str) -> ColumnSource {
    let kind = match of_type {
        "json" => Kind::Json,
        "year" => Kind::Year,
        "bit" => Kind::Bit,
        set if set.starts_with("set(") => Kind::Set,
        _ => Kind::Plain,
    };
    let fraction = ["datetime", "timestamp", "time"].iter().find_map(|name| of_type.strip_prefix(name)?.parse().ok());
    let labels = of_type.split_once('(').filter(|(name, _)| matches!(*name, "enum" | "set"));
    let labels = labels.map(|(_, labels)| labels.trim_end_matches(')').split(',').map(str::to_owned).collect());
    ColumnSource { kind, fraction, charset: (of_type == "latin1").then(|| of_type.to_owned()), labels }
}

fn parse_type(text: &str) -> (DataType, bool) {
    match text.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "latin" | "json" => (DataType::Utf8, false),
        "year" => (DataType::UInt16, false),
        "bit" => (DataType::UInt64, false),
        "bool" => (DataType::Boolean, false),
        "tinyint" => (DataType::Int8, true),
        "int" => (DataType::Int32, true),
        "bigint" => (DataType::Int64, true),
        "ubigint" => (DataType::UInt64, true),
        "float" => (DataType::Float32, false),
        "double" => (DataType::Float64, false),
        "text" => (DataType::Utf8, false),
        "enum" => (DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8)), false),
        "binary" => (DataType::Binary, true),
        labels if labels.starts_with("enum(") => parse_type("enum"),
        labels if labels.starts_with("set(") => (DataType::Utf8, false),
        "date" => (DataType::Date32, true),
        "datetime" => (DataType::Timestamp(TimeUnit::Microsecond, None), true),
        "timestamp" => (DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())), true),
        "time" => (DataType::Duration(TimeUnit::Microsecond), false),
        _ => {
            let digits = text.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')')).expect("a type");
            let (precision, scale) = digits.split_once(',').expect("decimal(precision,scale)");
            let (precision, scale) = (precision.parse().unwrap(), scale.parse().unwrap());
            let wide = precision > 38;
            let data_type =
                if wide { DataType::Decimal256(precision, scale) } else { DataType::Decimal128(precision, scale) };
            (data_type, true)
        }
    }
}
