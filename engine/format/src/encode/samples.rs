//! Batches that the tests of every format encode.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::i256;

use tidegate_model::pretty::meta;
use tidegate_model::types::{date_from_parts, datetime_from_parts};
use tidegate_model::{
    ChangeBatch, Column, EventRun, RowKind, RowsBuilder, SqlType, Table, TableName, TableParts, UniqueKey,
    Values as Cells,
};

/// Of a database and a table whose names need care, with columns that may all be NULL.
pub(super) fn table(columns: &[(&str, SqlType, &str)], unique_keys: Vec<UniqueKey>) -> Arc<Table> {
    let columns = columns
        .iter()
        .map(|(name, sql_type, type_text)| Column {
            name: (*name).into(),
            sql_type: sql_type.clone(),
            type_text: (*type_text).into(),
            nullable: true,
            charset: None,
            collation: None,
        })
        .collect();
    Arc::new(Table::from(TableParts { name: TableName::new("a\"b", "c\\d"), version: 1, columns, unique_keys }))
}

/// One row of values and one of NULLs.
pub(super) fn two_rows(table: Arc<Table>, push: &[&dyn Fn(&mut Cells)]) -> ChangeBatch {
    let mut builder = RowsBuilder::new(&table);
    for (column, push) in builder.columns.iter_mut().zip(push) {
        push(&mut column.values);
        column.append_valid();
        column.append_null();
    }
    let rows = RecordBatch::try_new(table.schema().clone(), builder.finish().unwrap()).unwrap();
    let events = vec![EventRun { end: 2, meta: meta() }];
    ChangeBatch::new(table, rows, vec![RowKind::Insert; 2], vec![0, 1], events)
}

/// Appends a value to the builder's arm of that name.
macro_rules! push {
    (Bytes: $value:expr) => {
        &|cells| {
            let tidegate_model::Values::Bytes { data, offsets } = cells else { panic!("not bytes") };
            tidegate_model::builder::push_bytes(data, offsets, $value.as_ref());
        }
    };
    ($arm:ident: $value:expr) => {
        &|cells| {
            let tidegate_model::Values::$arm(values) = cells else { panic!("not {}", stringify!($arm)) };
            values.push($value);
        }
    };
}
pub(super) use push;

/// A row with a value of each type, and one of NULLs.
pub(super) fn batch_of_every_type() -> ChangeBatch {
    let int = |bytes, unsigned| SqlType::Int { bytes, unsigned };
    let labels: Arc<[String]> = Arc::from(["x,y)".to_owned(), "z".to_owned()]);
    let table = table(
        &[
            ("i1", int(1, false), "tinyint(1)"),
            ("u1", int(1, true), "tinyint(3) unsigned"),
            ("u2", int(2, true), "smallint unsigned"),
            ("u3", int(3, true), "mediumint unsigned"),
            ("u4", int(4, true), "int unsigned"),
            ("u8", int(8, true), "bigint(20) unsigned zerofill"),
            ("f", SqlType::Float, "float"),
            ("d", SqlType::Double, "double"),
            ("n", SqlType::Decimal { precision: 65, scale: 2 }, "decimal(65,2)"),
            ("b", SqlType::Bit { width: 9 }, "bit(9)"),
            ("y", SqlType::Year, "year"),
            ("da", SqlType::Date, "date"),
            ("t", SqlType::Time { fraction: 2 }, "time(2)"),
            ("dt", SqlType::DateTime { fraction: 0 }, "datetime"),
            ("ts", SqlType::Timestamp { fraction: 3 }, "timestamp(3)"),
            ("c", SqlType::Char, "char(3)"),
            ("te", SqlType::Text, "text"),
            ("bi", SqlType::Binary { length: 2 }, "binary(2)"),
            ("bl", SqlType::Blob, "blob"),
            ("e", SqlType::Enum { labels: labels.clone() }, "enum('x,y)','z')"),
            ("s", SqlType::Set { labels }, "set('x,y)','z')"),
            ("j", SqlType::Json, "json"),
            ("g", SqlType::Geometry, "point"),
            ("v\n", SqlType::Vector, "vector(1)"),
        ],
        Vec::new(),
    );
    two_rows(
        table,
        &[
            push!(I8: -1),
            push!(U8: 128),
            push!(U16: 32768),
            push!(U32: 16777215),
            push!(U32: 1 << 31),
            push!(U64: 1 << 63),
            push!(F32: 0.5),
            push!(F64: 1e-5),
            push!(I256: i256::from_i128(-1)),
            push!(U64: 511),
            push!(U16: 0),
            push!(I32: date_from_parts(0, 0, 0)),
            push!(I64: -3_723_450_000),
            push!(I64: datetime_from_parts(2024, 1, 2, 3_000_000)),
            push!(I64: 1_500),
            push!(Bytes: "日\""),
            push!(Bytes: "a\tb"),
            push!(Bytes: [0_u8, 0xff]),
            push!(Bytes: b"\\"),
            push!(U16: 1),
            push!(U64: 3),
            push!(Bytes: r#"{"k": 1}"#),
            push!(Bytes: [0_u8, 0, 0, 0, 1, 1]),
            push!(Bytes: 1.5_f32.to_le_bytes()),
        ],
    )
}
