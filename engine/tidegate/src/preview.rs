//! What will come out? Shown before anything moves.
//!
//! [`schema`] tells of each table what its columns become, in every format; [`peek`] makes the first messages of each table
//! and shows them as text. Neither sends anything, makes a topic or writes a checkpoint.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::config::{CanalFormat, Format, Profile, Task};
use crate::error::Error;
use crate::open::{PRETENDED_PARTITIONS, runtime};
use crate::pipeline::route::{
    Routed, Router, encode_window, plan_keys, plan_transform, target_of_table, topic_of_table, with_target,
};
use crate::source;
use tidegate_format::encode::dts_avro::readable::Reader;
use tidegate_format::encode::{canal_json, dts_avro};
use tidegate_format::key::KeyEncoder;
use tidegate_model::Stop;
use tidegate_model::message::MessageBatch;
use tidegate_model::{ChangeBatch, Table, TableName, TableParts, Window};
use tidegate_sink::PretendedTopics;

/// Rows of a table that are read in search of some that its filter lets pass.
const ROWS_SEARCHED: u64 = 100_000;

/// What will come out of each table, as text.
///
/// ```text
/// shop.orders -> topic shop.orders, key id
///   column  mysqlType              Arrow              sqlType   dataTypeNumber
///   id      int unsigned not null  UInt32             4 or -5     3 Integer
///   amount  decimal(10,2)          Decimal128(10, 2)  3         246 Decimal
/// ```
pub fn schema(task: Task) -> Result<String, Error> {
    let task = Arc::new(task);
    let source = source::open(&task, &runtime()?, None)?;
    let mut out = String::new();
    for table in source.tables() {
        let transform = plan_transform(&task.tables, table)?;
        let output = transform.output();
        let names =
            |indexes: &[usize]| -> Vec<&str> { indexes.iter().map(|&i| output.columns()[i].name.as_str()).collect() };
        let key = if output.key().is_empty() { "none".to_owned() } else { names(output.key()).join(", ") };
        let topic = topic_of_table(&task, table.name())?;
        out += &format!("{} -> topic {topic}, key {key}\n", with_target(table.name(), output.name()));
        if let Some(keys) = plan_keys(&task, table, &transform)? {
            out += &format!("  messages have the key {}\n", keys.shape());
        }
        write_columns(&task.format, output, &mut out);
        if let Some(predicate) = transform.mysql_predicate() {
            out += &format!("  the server filters by: {predicate}\n");
        }
    }
    Ok(out)
}

fn write_columns(format: &Format, table: &Table, out: &mut String) {
    let canal = match format {
        Format::CanalJson(options) => options.rows,
        Format::DtsAvro(_) => CanalFormat::of(Profile::Canal).rows,
    };
    let heading = ["column", "mysqlType", "Arrow", "sqlType", "dataTypeNumber"].map(str::to_owned);
    let lines = table.columns().iter().map(|column| {
        let null = if column.nullable { "" } else { " not null" };
        [
            column.name.clone(),
            format!("{}{null}", column.type_text),
            column.sql_type.arrow().to_string(),
            canal_json::sql_type_codes(&column.sql_type, &canal),
            format!("{:3} {:?}", dts_avro::data_type_number(&column.sql_type), dts_avro::Image::of(&column.sql_type)),
        ]
    });
    let lines: Vec<[String; 5]> = std::iter::once(heading).chain(lines).collect();
    let widths: [usize; 5] =
        std::array::from_fn(|index| lines.iter().map(|line| line[index].chars().count()).max().unwrap_or(0).min(40));
    for line in lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        *out += &format!("  {}\n", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// The source's tables as JSON: the file that `source.schema` names.
pub fn schema_json(task: Task) -> Result<String, Error> {
    let source = source::open(&task, &runtime()?, None)?;
    let tables: Vec<TableParts> = source.tables().iter().map(|table| Table::clone(table).into()).collect();
    Ok(serde_json::to_string_pretty(&tables).expect("tables have string keys only"))
}

/// The first `count` messages of each table, as text.
pub fn peek(task: Task, count: usize) -> Result<String, Error> {
    let task = Arc::new(task);
    let source = source::open(&task, &runtime()?, None)?;
    let topics = Arc::new(PretendedTopics(PRETENDED_PARTITIONS));
    let router = Router::new(task.clone(), source.server_version().to_owned(), topics, Stop::default());
    let mut shown: BTreeMap<TableName, Shown> = BTreeMap::new();
    for table in source.tables() {
        shown.insert(table.name().clone(), Shown::default());
    }
    // Of binlog files, nobody knows which tables will come.
    let all_known = !source.tables().is_empty();
    let reader = Reader::new();
    let mut failure = None;
    let mut take = |batch: ChangeBatch| {
        let table = batch.table().clone();
        let messages = router.route(&table).and_then(|route| {
            let window = Window { changes: vec![batch], ..Window::default() };
            encode_window(&router, Routed { window, routes: vec![route], mark_routes: Vec::new(), first_id: 1 })
        });
        let window = match messages {
            Ok(window) => window,
            Err(error) => {
                failure = Some(error);
                return ControlFlow::Break(());
            }
        };
        let shown = shown.entry(table.name().clone()).or_default();
        // It has been planned for the route.
        let keys = plan_transform(&task.tables, &table).ok();
        let keys = keys.and_then(|transform| plan_keys(&task, &table, &transform).ok().flatten());
        for (batch, index) in window.batches.iter().flat_map(|batch| (0..batch.values.len()).map(move |i| (batch, i))) {
            let value = batch.values.get(index);
            if shown.count == count {
                break;
            }
            shown.add_key_and_headers(batch, index, keys.as_ref());
            // A tombstone is no message of its own to whoever counts.
            if value.is_empty() {
                shown.text += "no value: a tombstone\n";
                continue;
            }
            shown.count += 1;
            shown.add(&task.format, &reader, value);
        }
        if all_known && shown.count == count { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    source.sample(&task, ROWS_SEARCHED, &mut take)?;
    if let Some(error) = failure {
        return Err(error.into());
    }
    let mut out = String::new();
    for (name, shown) in &shown {
        let (topic, target) = (topic_of_table(&task, name)?, target_of_table(&task.tables, name)?);
        out += &format!("{} -> topic {topic}\n", with_target(name, &target));
        if shown.count == 0 {
            out +=
                &format!("no message: none of the first {ROWS_SEARCHED} rows passes the filter, or there is no row\n");
        }
        out += &shown.text;
        out.push('\n');
    }
    Ok(out)
}

#[derive(Default)]
struct Shown {
    count: usize,
    text: String,
}

impl Shown {
    fn add_key_and_headers(&mut self, batch: &MessageBatch, index: usize, encoder: Option<&KeyEncoder>) {
        if let Some((keys, encoder)) = batch.keys.as_ref().zip(encoder) {
            self.text += &format!("key {}\n", encoder.readable(keys.get(index)));
        }
        if let Some(headers) = &batch.headers {
            let headers = headers.get(index).map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)));
            self.text += &format!("headers {}\n", headers.collect::<Vec<_>>().join(" "));
        }
    }

    fn add(&mut self, format: &Format, reader: &Reader, value: &[u8]) {
        self.text += &match format {
            Format::CanalJson(_) => String::from_utf8_lossy(value).into_owned(),
            Format::DtsAvro(_) => {
                reader.readable(value).unwrap_or_else(|error| format!("not a datum of the schema: {error}"))
            }
        };
        self.text.push('\n');
    }
}
