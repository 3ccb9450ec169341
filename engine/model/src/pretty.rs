//! A [`ChangeBatch`] from and to a drawn table, for tests.
//!
//! ```text
//! parse("id:int name:text", "
//!     ** 1 a        full load
//!     +I 2 b        insert
//!     -U 2 b
//!     +U 2 c        update
//!     -D 1 _        delete; _ is NULL")
//! ```
//!
//! The first column is the key. Types: `int` (BIGINT), `uint`, `text`, `double`.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::builder::push_bytes;
use super::*;

/// The table that a header such as `id:int name:text` describes.
pub fn table(header: &str) -> Arc<Table> {
    let columns = header
        .split_whitespace()
        .map(|part| {
            let (name, kind) = part.split_once(':').expect("name:type");
            let (sql_type, type_text) = match kind {
                "int" => (SqlType::Int { bytes: 8, unsigned: false }, "bigint"),
                "uint" => (SqlType::Int { bytes: 8, unsigned: true }, "bigint unsigned"),
                "double" => (SqlType::Double, "double"),
                "text" => (SqlType::VarChar, "varchar(20)"),
                other => panic!("no such type in drawings: {other}"),
            };
            let collation = sql_type.is_text().then(|| "binary".into());
            Column {
                name: name.into(),
                sql_type,
                type_text: type_text.into(),
                nullable: true,
                charset: None,
                collation,
            }
        })
        .collect();
    Arc::new(Table::from(TableParts {
        name: TableName::new("db", "t"),
        version: 1,
        columns,
        unique_keys: vec![UniqueKey { name: "PRIMARY".into(), columns: vec![0] }],
    }))
}

/// Metadata for tests: second 1,700,000,000, coordinate `binlog.000001:4`.
pub fn meta() -> Arc<EventMeta> {
    let coordinate = Coordinate::new("binlog.000001", 4);
    Arc::new(EventMeta {
        timestamp_s: 1_700_000_000,
        server_id: 1,
        thread_id: 0,
        transaction: coordinate.clone(),
        coordinate,
        gtid: None,
    })
}

pub fn parse(header: &str, drawing: &str) -> ChangeBatch {
    let table = table(header);
    let mut builder = RowsBuilder::new(&table);
    let (mut kinds, mut sequence, mut changes) = (Vec::new(), Vec::new(), 0);
    for line in drawing.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut cells = line.split_whitespace();
        let kind = match cells.next().expect("a line is not empty") {
            "**" => RowKind::Initial,
            "+I" => RowKind::Insert,
            "-U" => RowKind::UpdateBefore,
            "+U" => RowKind::UpdateAfter,
            "-D" => RowKind::Delete,
            other => panic!("no such kind in drawings: {other}"),
        };
        changes += u32::from(kind != RowKind::UpdateAfter);
        kinds.push(kind);
        sequence.push(changes - 1);
        for column in &mut builder.columns {
            let cell = cells.next().expect("a cell per column");
            if cell == "_" {
                column.append_null();
                continue;
            }
            match &mut column.values {
                Values::I64(v) => v.push(cell.parse().expect("a number")),
                Values::U64(v) => v.push(cell.parse().expect("a number")),
                Values::F64(v) => v.push(cell.parse().expect("a number")),
                Values::Bytes { data, offsets } => push_bytes(data, offsets, cell.as_bytes()),
                other => panic!("no such column in drawings: {other:?}"),
            }
            column.append_valid();
        }
    }
    let rows = RecordBatch::try_new(table.schema().clone(), builder.finish().expect("drawn values are valid"))
        .expect("columns match the table");
    let events = if kinds.is_empty() { Vec::new() } else { vec![EventRun { end: kinds.len(), meta: meta() }] };
    ChangeBatch::new(table, rows, kinds, sequence, events)
}

pub fn draw(batch: &ChangeBatch) -> String {
    let options = FormatOptions::new().with_null("_");
    let columns: Vec<ArrayFormatter> = batch
        .rows()
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).expect("columns can be drawn"))
        .collect();
    let mut out = String::new();
    for (row, kind) in batch.kinds().iter().enumerate() {
        out += match kind {
            RowKind::Initial => "**",
            RowKind::Insert => "+I",
            RowKind::UpdateBefore => "-U",
            RowKind::UpdateAfter => "+U",
            RowKind::Delete => "-D",
        };
        for column in &columns {
            out += &format!(" {}", column.value(row));
        }
        out.push('\n');
    }
    out
}
