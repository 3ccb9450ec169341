//! Data sets of all kinds, and what becomes of their values.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::*;
use arrow::datatypes::*;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ArrowWriter;
use parquet::data_type::{Int96, Int96Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;
use crate::convert::{DAY_US, LOSSY};
use tidegate_model::types::date_from_parts;
use tidegate_model::{ChunkPart, Column, Progress, SqlType, TableParts};

fn name() -> TableName {
    TableName::new("shop", "orders")
}

fn write(path: &Path, columns: &[(&str, ArrayRef)], definition: Option<&TableParts>, group_rows: usize) {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.iter().map(|(n, a)| (*n, a.clone(), true))).unwrap();
    let definition = definition.map(|parts| KeyValue::new(TABLE_KEY.to_owned(), serde_json::to_string(parts).unwrap()));
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group_rows))
        .set_key_value_metadata(definition.map(|pair| vec![pair]))
        .build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Chunk, rows and whether it is done.
type Step = (u32, u64, bool);

/// All that is read, and the progress of every window.
fn read_all(data_set: &DataSet, done: &[u32]) -> Result<(Vec<RecordBatch>, Vec<Step>), ParquetError> {
    let seen = Mutex::new((Vec::new(), Vec::new()));
    read(std::slice::from_ref(data_set), 1, 1 << 20, &|_, chunk| done.contains(&chunk), &|window| {
        let mut seen = seen.lock().unwrap();
        seen.0.extend(window.changes.iter().map(|batch| batch.rows().clone()));
        let Some(Progress::Chunks { parts, .. }) = &window.progress else { panic!("chunks have progress") };
        let [ChunkPart { chunk, rows, done }] = parts[..] else { panic!("one chunk") };
        seen.1.push((chunk, rows, done));
        ControlFlow::Continue(())
    })?;
    Ok(seen.into_inner().unwrap())
}

/// One column through a file: its MySQL type and its values as text, or the error.
fn column(array: ArrayRef) -> Result<(String, Vec<String>), String> {
    column_as(array, None)
}

fn column_as(array: ArrayRef, definition: Option<Column>) -> Result<(String, Vec<String>), String> {
    let folder = tempfile::tempdir().unwrap();
    let parts = definition.map(|column| TableParts {
        name: name(),
        version: 3,
        columns: vec![column],
        unique_keys: Vec::new(),
    });
    write(&folder.path().join("shop.orders.parquet"), &[("c", array)], parts.as_ref(), 100);
    let short = |error: ParquetError| {
        let text = error.to_string();
        text.split_once("shop.orders.parquet, ").map_or(text.clone(), |(_, rest)| rest.to_owned())
    };
    let data_set = DataSet::open(folder.path(), &name()).map_err(short)?;
    let column = &data_set.table().columns()[0];
    let (batches, _) = read_all(&data_set, &[]).map_err(short)?;
    let options = FormatOptions::default().with_null("NULL");
    let mut values = Vec::new();
    for batch in &batches {
        assert_eq!(batch.column(0).data_type(), &column.sql_type.arrow());
        let format = ArrayFormatter::try_new(batch.column(0), &options).unwrap();
        values.extend((0..batch.num_rows()).map(|row| format.value(row).to_string()));
    }
    Ok((column.type_text.clone(), values))
}

#[track_caller]
fn check(array: impl Array + 'static, type_text: &str, values: &[&str]) {
    let found = column(Arc::new(array)).unwrap();
    assert_eq!((found.0.as_str(), found.1), (type_text, values.iter().map(|&v| v.to_owned()).collect()));
}

#[track_caller]
fn refused(array: impl Array + 'static, reason: &str) {
    assert_eq!(column(Arc::new(array)).unwrap_err(), format!("column c: {reason}"));
}

#[test]
fn each_type_finds_its_mysql_type() {
    check(BooleanArray::from(vec![Some(true), None, Some(false)]), "tinyint(1)", &["1", "NULL", "0"]);
    check(Int8Array::from(vec![-128]), "tinyint", &["-128"]);
    check(UInt64Array::from(vec![u64::MAX]), "bigint unsigned", &["18446744073709551615"]);
    check(Float32Array::from(vec![1.5]), "float", &["1.5"]);
    let decimal = Decimal128Array::from(vec![-12_345]).with_precision_and_scale(20, 2).unwrap();
    check(decimal, "decimal(20,2)", &["-123.45"]);
    let wide = Decimal256Array::from(vec![i256::from_i128(7)]).with_precision_and_scale(65, 30).unwrap();
    check(wide, "decimal(65,30)", &["0.000000000000000000000000000007"]);
    check(StringArray::from(vec![Some("né"), None]), "longtext", &["né", "NULL"]);
    check(LargeStringArray::from(vec!["a"]), "longtext", &["a"]);
    check(StringViewArray::from(vec!["a string beyond twelve bytes"]), "longtext", &["a string beyond twelve bytes"]);
    check(DictionaryArray::<Int32Type>::from_iter(["b", "a", "b"]), "longtext", &["b", "a", "b"]);
    check(BinaryArray::from(vec![b"\x00\xff".as_ref()]), "longblob", &["00ff"]);
    check(FixedSizeBinaryArray::try_from_iter([[1u8, 2]].iter()).unwrap(), "binary(2)", &["0102"]);
    check(Date32Array::from(vec![-1]), "date", &["1969-12-31"]);
    check(Time32SecondArray::from(vec![3_661]), "time", &["PT3661S"]);
    check(Time64NanosecondArray::from(vec![1_000]), "time(6)", &["PT0.000001S"]);
    check(TimestampMillisecondArray::from(vec![1]), "datetime(3)", &["1970-01-01T00:00:00.001"]);
    check(TimestampNanosecondArray::from(vec![-1_000]), "datetime(6)", &["1969-12-31T23:59:59.999999"]);
    let zoned = TimestampSecondArray::from(vec![0]).with_timezone("+02:00");
    check(zoned, "timestamp", &["1970-01-01T00:00:00Z"]);
    check(NullArray::new(2), "longtext", &["NULL", "NULL"]);
}

#[test]
fn what_would_change_a_value_is_refused() {
    let below = "holds a time with digits below the microsecond, which MySQL has not";
    refused(TimestampNanosecondArray::from(vec![1_001]), below);
    refused(Time64NanosecondArray::from(vec![1]), below);
    refused(
        TimestampMicrosecondArray::from(vec![i64::MIN]),
        "holds a time beyond the years 0 to 9999, which MySQL has not",
    );
    refused(Date32Array::from(vec![i32::MIN + 5]), "holds a date beyond the years 0 to 9999, which MySQL has not");
    refused(TimestampMillisecondArray::from(vec![i64::MAX]), LOSSY);
    refused(
        Decimal128Array::from(vec![1]).with_precision_and_scale(38, 31).unwrap(),
        "has the type decimal(38, 31); MySQL's DECIMAL has at most 65 digits, 0 to 30 of them after the point",
    );
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]);
    let text = column(Arc::new(list)).unwrap_err();
    assert!(text.starts_with("column c: has the type List(") && text.ends_with("which no column of MySQL can hold"));
}

fn defined(sql_type: SqlType, type_text: &str) -> Option<Column> {
    Some(Column {
        name: "c".into(),
        sql_type,
        type_text: type_text.into(),
        nullable: false,
        charset: None,
        collation: None,
    })
}

#[test]
fn a_definition_in_the_file_restores_the_exact_type() {
    let labels: Arc<[String]> = Arc::from(["new".to_owned(), "paid".to_owned()]);
    let column = || defined(SqlType::Enum { labels: labels.clone() }, "enum('new','paid')");
    let (type_text, values) = column_as(Arc::new(StringArray::from(vec!["paid", "new", ""])), column()).unwrap();
    assert_eq!((type_text.as_str(), values), ("enum('new','paid')", vec!["paid".into(), "new".into(), String::new()]));
    let error = column_as(Arc::new(StringArray::from(vec!["gone"])), column()).unwrap_err();
    assert_eq!(error, "column c: holds a label that its ENUM does not have");
    let error = column_as(Arc::new(StringArray::from(vec![None::<&str>])), column()).unwrap_err();
    assert_eq!(error, "column c: holds NULL, but the table's definition says NOT NULL");

    let small = || defined(SqlType::Int { bytes: 1, unsigned: true }, "tinyint unsigned");
    assert_eq!(column_as(Arc::new(Int64Array::from(vec![255])), small()).unwrap().1, ["255"]);
    assert_eq!(column_as(Arc::new(Int64Array::from(vec![256])), small()).unwrap_err(), format!("column c: {LOSSY}"));
    let money = || defined(SqlType::Decimal { precision: 10, scale: 1 }, "decimal(10,1)");
    let decimal = |value| Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(12, 2).unwrap());
    assert_eq!(column_as(decimal(120), money()).unwrap().1, ["1.2"]);
    assert_eq!(column_as(decimal(125), money()).unwrap_err(), format!("column c: {LOSSY}"));
    assert_eq!(
        column_as(Arc::new(StringArray::from(vec!["1"])), money()).unwrap_err(),
        "column c: has the type Utf8 here, which is not what decimal(10,1) holds"
    );
}

#[test]
fn row_groups_of_all_files_are_chunks_and_done_ones_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("shop.orders");
    std::fs::create_dir(&files).unwrap();
    let ids = |range: std::ops::Range<i64>| -> ArrayRef { Arc::new(Int64Array::from_iter_values(range)) };
    let text = |count: usize| -> ArrayRef { Arc::new(StringArray::from(vec!["x"; count])) };
    write(&files.join("b.parquet"), &[("note", text(5)), ("id", ids(20..25))], None, 3);
    write(&files.join("a.parquet"), &[("id", ids(0..20)), ("note", text(20))], None, 10);
    std::fs::write(files.join("_SUCCESS"), "").unwrap();
    assert_eq!(list_tables(folder.path()).unwrap(), [name()]);

    let mut data_set = DataSet::open(folder.path(), &name()).unwrap();
    assert_eq!((data_set.chunks(), data_set.rows()), (4, 25));
    let (batches, progress) = read_all(&data_set, &[1]).unwrap();
    assert_eq!(progress, [(0, 10, true), (2, 3, true), (3, 2, true)]);
    let ids: Vec<i64> =
        batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    assert_eq!(ids, (0..10).chain(20..25).collect::<Vec<_>>());

    let fingerprint = data_set.fingerprint();
    data_set.keep_columns(|index| index == 1);
    assert_eq!(data_set.fingerprint(), fingerprint);
    let (batches, _) = read_all(&data_set, &[]).unwrap();
    assert_eq!(batches[0].num_columns(), 1);
    assert_eq!(batches[2].column(0).as_string::<i32>().value(0), "x");
}

#[test]
fn files_that_do_not_fit_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("shop.orders");
    std::fs::create_dir(&files).unwrap();
    let open = || DataSet::open(folder.path(), &name()).unwrap_err().to_string();
    assert!(open().ends_with("shop.orders holds no file that ends in .parquet"), "{}", open());
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    write(&files.join("a.parquet"), &[("id", ids.clone())], None, 10);
    write(&files.join("b.parquet"), &[("id", ids.clone()), ("note", ids.clone())], None, 10);
    assert!(
        open().ends_with("column note: is in this file, but neither in the table's definition nor in its first file")
    );
    write(&files.join("b.parquet"), &[("id", Arc::new(StringArray::from(vec!["1"])))], None, 10);
    assert!(open().ends_with("b.parquet, column id: has the type Utf8 here, which is not what bigint holds"));
    std::fs::create_dir(files.join("day=1")).unwrap();
    assert!(open().contains("holds the folder day=1"));
    write(&folder.path().join("shop.orders.parquet"), &[("id", ids)], None, 10);
    assert!(open().starts_with("there are both a file"));
    std::fs::write(folder.path().join("shop.orders.parquet"), "PAR1 not really").unwrap();
    std::fs::remove_dir_all(&files).unwrap();
    assert!(open().starts_with("could not read "));
    assert!(DataSet::open(folder.path(), &TableName::new("shop", "none")).unwrap_err().hint().is_some());
}

#[test]
fn wide_rows_come_in_small_windows_from_several_threads() {
    let folder = tempfile::tempdir().unwrap();
    // One distinct value of 100 kB: the file is tiny, the decoded column is not.
    let wide: ArrayRef = Arc::new(StringArray::from(vec!["y".repeat(100_000); 400]));
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..400));
    write(&folder.path().join("shop.orders.parquet"), &[("id", ids), ("c", wide)], None, 100);
    let data_set = DataSet::open(folder.path(), &name()).unwrap();
    let seen = Mutex::new((Vec::new(), 0));
    read(&[data_set], 3, 1 << 20, &|_, _| false, &|window| {
        let mut seen = seen.lock().unwrap();
        let rows = window.changes[0].rows();
        assert!(rows.num_rows() <= 32, "{}", rows.num_rows());
        seen.0.extend_from_slice(rows.column(0).as_primitive::<Int64Type>().values());
        seen.1 += usize::from(matches!(&window.progress, Some(Progress::Chunks { parts, .. }) if parts[0].done));
        ControlFlow::Continue(())
    })
    .unwrap();
    let (mut ids, done) = seen.into_inner().unwrap();
    ids.sort_unstable();
    assert_eq!((ids, done), ((0..400).collect(), 4));
}

#[test]
fn the_recorded_shop_has_its_keys_and_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/shop/snapshot");
    let mut rows = Vec::new();
    for name in list_tables(&folder).unwrap() {
        let data_set = DataSet::open(&folder, &name).unwrap();
        assert!(data_set.table().primary_key().is_some() && data_set.chunks() >= 4);
        let (batches, _) = read_all(&data_set, &[]).unwrap();
        rows.push((name.to_string(), batches.iter().map(RecordBatch::num_rows).sum::<usize>()));
        assert_eq!(rows.last().unwrap().1 as u64, data_set.rows());
    }
    let names: Vec<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["shop.customers", "shop.items", "shop.orders"]);
    assert_eq!((rows[0].1, rows[2].1), (500, 2000));
}

#[test]
fn reading_ends_when_nobody_takes_more() {
    let folder = tempfile::tempdir().unwrap();
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
    write(&folder.path().join("shop.orders.parquet"), &[("id", ids)], None, 10);
    let data_set = DataSet::open(folder.path(), &name()).unwrap();
    let windows = AtomicUsize::new(0);
    read(&[data_set], 1, 1 << 20, &|_, _| false, &|_| {
        windows.fetch_add(1, Ordering::Relaxed);
        ControlFlow::Break(())
    })
    .unwrap();
    assert_eq!(windows.into_inner(), 1);
}

#[test]
fn int96_has_every_year_and_no_hidden_digits() {
    let check = |day: u32, nanosecond: u64| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.orders.parquet");
        let schema = Arc::new(parse_message_type("message m { optional int96 t; }").unwrap());
        let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let mut value = Int96::new();
        value.set_data(nanosecond as u32, (nanosecond >> 32) as u32, day);
        column.typed::<Int96Type>().write_batch(&[value], Some(&[0, 1]), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        let data_set = DataSet::open(folder.path(), &name()).unwrap();
        let (batches, _) = read_all(&data_set, &[]).map_err(|error| error.to_string())?;
        Ok::<_, String>(batches[0].column(0).as_primitive::<TimestampMicrosecondType>().value(1))
    };
    // Julian day 2,440,588 is 1970-01-01; nanoseconds since then overflow 64 bits from the year 2262 on.
    assert_eq!(check(2_440_588, 86_399_999_999_000), Ok(86_399_999_999));
    let days_to_9999 = i64::from(date_from_parts(9999, 12, 31));
    assert_eq!(check(2_440_588 + days_to_9999 as u32, 5_000), Ok(days_to_9999 * DAY_US as i64 + 5));
    assert!(
        check(2_440_588, 5_001)
            .unwrap_err()
            .ends_with("column t: holds a time with digits below the microsecond, which MySQL has not")
    );
}
