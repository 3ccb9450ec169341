//! DTS Avro: one bare Avro datum per change, as Alibaba's DTS writes it.
//!
//! `record.avsc` is the schema; a value is a datum of it and nothing else, without container, schema id or length. The
//! same update as in [`canal_json`](super::canal_json), field by field:
//!
//! ```text
//! version              00
//! id                   80 f8 …                       grows from record to record
//! sourceTimestamp      80 c4 9f d5 0c                when the statement ran, seconds
//! sourcePosition       0a "100@1"                    offset @ number of the binlog file
//! safeSourcePosition   08 "40@1"                     where its transaction begins
//! sourceTxid           02 "0"
//! source               00 0a "9.7.4"                 MySQL, version
//! operation            02                            INSERT UPDATE DELETE … INIT: 0 1 2 … 16
//! objectName           02 16 "shop.orders"           02: second branch of the union, a string
//! processTimestamps    00                            null
//! tags                 0a 16 "metaVersion" 08 "…" …  five, then 00
//! fields               04 06  04 "id" 10  …  00      04: an array, 06: of three; name and dataTypeNumber of each
//! beforeImages         04 06  02 10 02 "7"  …  00    null for inserts and rows of the full load
//! afterImages          04 06  02 10 02 "7"  …  00    null for deletes
//! bornTimestamp        80 c4 9f d5 0c                sourceTimestamp again
//! ```
//!
//! All integers are zigzag varints. Which image a value becomes is told in [`image`]. All that does not depend on values
//! is rendered once per table version, and what names the event once per event:
//!
//! ```text
//! version │ id  │ sourceTimestamp … source │ operation │ objectName … fields │ images │ bornTimestamp
//! table     row   event                      row         table and event       row      event
//! ```
//!
//! What readers need beyond the schema, and therefore is so:
//! - All 15 fields are always written: some readers know 14 and ignore the rest, others know 15 and fail without the last.
//! - `pk_uk_info` names only keys whose columns are all in `fields`; a reader looks each of them up.
//! - `metaVersion` changes whenever `fields` or keys do, for readers that cache them by it. It is a checksum of both.
//! - A value is always longer than 48 bytes; a shorter one is taken for a keep-alive and dropped.

pub mod datum;
mod image;
mod marks;
pub mod readable;
#[cfg(test)]
mod tests;

pub use image::{Image, data_type_number};
pub use marks::AvroMarks;

use self::image::ImageColumn;
use super::text::{EnumText, SetText, TextOptions};
use super::{EncodeError, Encoder, now_ms};
use tidegate_model::message::ByteStrings;
use tidegate_model::{ChangeBatch, ChangeKind, Coordinate, EventMeta, Table, TableName};

/// The schema of every record, as DTS publishes it.
pub const SCHEMA: &str = include_str!("record.avsc");

/// What differs between tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvroOptions {
    pub enum_as: EnumText,
    pub set_as: SetText,
}

/// Indexes of the enum `Operation`.
mod operation {
    pub(super) const INSERT: u8 = 0;
    pub(super) const UPDATE: u8 = 1;
    pub(super) const DELETE: u8 = 2;
    pub(super) const DDL: u8 = 3;
    pub(super) const BEGIN: u8 = 4;
    pub(super) const COMMIT: u8 = 5;
    pub(super) const HEARTBEAT: u8 = 8;
    pub(super) const INIT: u8 = 16;
}

/// Branches of the unions `objectName`, `fields` and images.
const NULL: u8 = 0;
const STRING: u8 = 1;
const ARRAY: u8 = 2;

/// Encodes the changes of one table version.
#[derive(Debug)]
pub struct DtsAvro {
    table: Table,
    text: TextOptions,
    /// `sourceTxid` and `source`.
    source: Box<[u8]>,
    /// `objectName`, `processTimestamps`, and of `tags` those that only the table decides.
    object: Box<[u8]>,
    fields: Box<[u8]>,
    /// What stands before the values of each column.
    prefixes: Vec<Box<[u8]>>,
    /// See [`Encoder::row_bytes`].
    row_bytes: usize,
    /// Milliseconds since 1970.
    clock: fn() -> u64,
}

impl DtsAvro {
    /// `server_version` is what the source calls itself, such as `9.7.4`.
    pub fn new(table: &Table, options: &AvroOptions, server_version: &str) -> DtsAvro {
        let mut fields = Vec::new();
        write_branch(ARRAY, &mut fields);
        write_long(table.columns().len() as i64, &mut fields);
        for column in table.columns() {
            write_str(&column.name, &mut fields);
            write_long(data_type_number(&column.sql_type).into(), &mut fields);
        }
        write_long(0, &mut fields);

        let keys = keys_json(table);
        let mut described = fields.clone();
        described.extend_from_slice(keys.as_bytes());
        let meta_version = crc32fast::hash(&described).max(1);

        let mut object = Vec::new();
        write_branch(STRING, &mut object);
        write_str(&object_name(table.name()), &mut object);
        write_branch(NULL, &mut object);
        write_long(5, &mut object);
        write_tag("metaVersion", &meta_version.to_string(), &mut object);
        write_tag("pk_uk_info", &keys, &mut object);

        let text = TextOptions { enum_as: options.enum_as, set_as: options.set_as, time_zone_offset_s: 0 };
        let prefixes: Vec<Box<[u8]>> = table.columns().iter().map(|column| image::prefix(&column.sql_type)).collect();
        let values = prefixes
            .iter()
            .zip(table.columns())
            .map(|(prefix, column)| prefix.len() + image::width(&column.sql_type, &text));
        let row_bytes = object.len() + fields.len() + EVENT_BYTES + values.sum::<usize>();

        DtsAvro {
            table: table.clone(),
            text,
            source: source(server_version),
            object: object.into(),
            fields: fields.into(),
            prefixes,
            row_bytes,
            clock: now_ms,
        }
    }

    /// Takes the tag `readerThroughoutTime` from another clock: milliseconds since 1970.
    pub fn with_clock(self, clock: fn() -> u64) -> DtsAvro {
        DtsAvro { clock, ..self }
    }

    fn bind<'a>(&'a self, batch: &'a ChangeBatch) -> Result<Vec<ImageColumn<'a>>, EncodeError> {
        let columns = self.table.columns().iter().zip(&self.prefixes).zip(batch.rows().columns());
        columns
            .map(|((column, prefix), array)| {
                ImageColumn::bind(array, &column.sql_type, prefix, &self.text).map_err(|error| EncodeError {
                    table: self.table.name().clone(),
                    column: column.name.clone(),
                    reason: error.to_string(),
                })
            })
            .collect()
    }

    /// From `objectName` to `fields`.
    fn write_object(&self, meta: &EventMeta, read_at_ms: &str, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(&self.object);
        write_tag("readerThroughoutTime", read_at_ms, out);
        write_tag("server_id", digits.format(meta.server_id), out);
        write_tag("thread_id", digits.format(meta.thread_id), out);
        write_long(0, out);
        out.extend_from_slice(&self.fields);
    }
}

impl Encoder for DtsAvro {
    fn encode(&self, batch: &ChangeBatch, first_id: u64, out: &mut ByteStrings) -> Result<(), EncodeError> {
        // Nothing fails from here on, so that `out` holds all messages or none.
        let columns = self.bind(batch)?;
        let mut digits = itoa::Buffer::new();
        let read_at_ms = digits.format((self.clock)());

        // Seldom too small.
        let texts: usize = columns.iter().map(ImageColumn::text_bytes).sum();
        out.bytes.reserve(batch.kinds().len() * self.row_bytes + texts);
        out.ends.reserve(batch.kinds().len());
        let bytes = &mut out.bytes;
        let (mut event, mut object) = (Vec::new(), Vec::new());
        let mut event_of: Option<&EventMeta> = None;
        let mut last_sequence = None;
        for change in batch.changes() {
            if !event_of.is_some_and(|meta| std::ptr::eq(meta, change.meta)) {
                event.clear();
                write_event(change.meta, &self.source, &mut event);
                object.clear();
                self.write_object(change.meta, read_at_ms, &mut object);
                event_of = Some(change.meta);
            }
            // Each change has two numbers: one that is sent as a delete and an insert needs both.
            let sequence = batch.sequence()[change.row];
            let second = last_sequence.replace(sequence) == Some(sequence);
            write_long(0, bytes); // version
            write_long((first_id + 2 * u64::from(sequence) + u64::from(second)) as i64, bytes);
            bytes.extend_from_slice(&event);
            let (operation, before, after) = match change.kind {
                ChangeKind::Initial => (operation::INIT, None, Some(change.row)),
                ChangeKind::Insert => (operation::INSERT, None, Some(change.row)),
                ChangeKind::Update { before } => (operation::UPDATE, Some(before), Some(change.row)),
                ChangeKind::Delete => (operation::DELETE, Some(change.row), None),
            };
            write_enum(operation, bytes);
            bytes.extend_from_slice(&object);
            write_images(&columns, before, bytes);
            write_images(&columns, after, bytes);
            write_long(change.meta.timestamp_s.into(), bytes);
            out.ends.push(bytes.len());
        }
        Ok(())
    }

    fn row_bytes(&self) -> usize {
        self.row_bytes
    }
}

/// `sourceTxid` and `source`.
fn source(server_version: &str) -> Box<[u8]> {
    let mut out = Vec::new();
    write_str("0", &mut out);
    write_enum(0, &mut out); // MySQL
    write_str(server_version, &mut out);
    out.into()
}

/// A guess for `id`, the event, and its three tags.
const EVENT_BYTES: usize = 160;

/// From `sourceTimestamp` to `source`.
fn write_event(meta: &EventMeta, source: &[u8], out: &mut Vec<u8>) {
    write_long(meta.timestamp_s.into(), out);
    write_position(&meta.coordinate, out);
    write_position(&meta.transaction, out);
    out.extend_from_slice(source);
}

fn write_images(columns: &[ImageColumn], row: Option<usize>, out: &mut Vec<u8>) {
    let Some(row) = row else { return write_branch(NULL, out) };
    write_branch(ARRAY, out);
    write_long(columns.len() as i64, out);
    for column in columns {
        column.write(row, out);
    }
    write_long(0, out);
}

/// `offset@number`, where the number is that of the file: `72469@78` stands in `binlog.000078`.
fn write_position(at: &Coordinate, out: &mut Vec<u8>) {
    write_with_length(out, |out| {
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(digits.format(at.offset).as_bytes());
        out.push(b'@');
        out.extend_from_slice(digits.format(at.file_number()).as_bytes());
    });
}

/// Dots part database and table; those within a name are written as an escape.
pub fn object_name(name: &TableName) -> String {
    [&name.database, &name.table].map(|part| part.replace('.', "\\u002E")).join(".")
}

/// `{"PRIMARY":["id"],"by_name":["last","first"]}`
fn keys_json(table: &Table) -> String {
    let keys = table.unique_keys().iter().map(|key| {
        let columns = key.columns.iter().map(|&column| table.columns()[column].name.as_str().into()).collect();
        (key.name.clone(), serde_json::Value::Array(columns))
    });
    serde_json::Value::Object(keys.collect()).to_string()
}

fn write_tag(key: &str, value: &str, out: &mut Vec<u8>) {
    write_str(key, out);
    write_str(value, out);
}

/// A zigzag varint: Avro's int and long.
#[inline]
pub(crate) fn write_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = (value << 1 ^ value >> 63) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// The number of a union's branch, always a small one.
#[inline]
fn write_branch(branch: u8, out: &mut Vec<u8>) {
    out.push(branch << 1);
}

/// The index of an enum's symbol, always a small one.
#[inline]
fn write_enum(symbol: u8, out: &mut Vec<u8>) {
    out.push(symbol << 1);
}

/// Avro's string and bytes.
#[inline]
pub(crate) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

fn write_str(text: &str, out: &mut Vec<u8>) {
    write_bytes(text.as_bytes(), out);
}

/// A string whose length is known once it is written. Below 64 bytes its length takes one byte.
#[inline]
pub(crate) fn write_with_length(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.push(0);
    write(out);
    let length = out.len() - at - 1;
    if length < 64 {
        out[at] = (length as u8) << 1;
    } else {
        let mut prefix = Vec::with_capacity(5);
        write_long(length as i64, &mut prefix);
        out.splice(at..=at, prefix);
    }
}
