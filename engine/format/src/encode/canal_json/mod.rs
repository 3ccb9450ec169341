//! Canal JSON: one message per change, every value a string.
//!
//! An update of column `amount` in a table with three columns, as it stands in the topic but for the line breaks:
//!
//! ```text
//! {"data":[{"id":"7","amount":"5.00","note":null}],          the row after (before, for a delete)
//!  "database":"shop",
//!  "es":1700000000000,                                       when the statement ran, ms
//!  "gtid":"3e11fa47-71ca-11e1-9e33-c80aa9429562:23",
//!  "id":41,                                                  the same for all messages of one batch
//!  "isDdl":false,
//!  "mysqlType":{"id":"int(11)","amount":"decimal(10,2)","note":"text"},
//!  "old":[{"amount":"20.00"}],                               what it was; null unless an update
//!  "pkNames":["id"],
//!  "sql":"",
//!  "sqlType":{"id":4,"amount":3,"note":2005},                java.sql.Types
//!  "table":"orders",
//!  "ts":1700000000123,                                       when the message was made, ms
//!  "type":"UPDATE"}
//! ```
//!
//! Keys stand in alphabetical order and none is ever left out; within `data`, `old` and the types, columns stand in the
//! order of the table. How values look is told in [`text`], which types there are in `types.rs`.
//!
//! All that lies between the values is rendered once per table version, and the part that names event and time once per
//! event, so that a row costs its values and a few copies:
//!
//! ```text
//! {"data":[{ │ "id": │ "7" │ ,"amount": │ "5.00" │ }],…,"gtid":"…","old": │ [{…}] │ ,"pkNames":…,"type":" │ UPDATE"}
//!   table      table   row    table        row      event                   row      batch                 table
//! ```
//!
//! What differs from Canal itself, by intent:
//! - `gtid` is the transaction's own, where Canal writes the set of all transactions up to it.
//! - One row per message. Canal puts all rows of an event into one, and readers then mistake which columns of `old`
//!   belong to which row.
//! - `id` counts the batches of this encoder; Canal's counts the batches of its server. Neither is unique.

mod statements;
mod types;

use std::sync::atomic::{AtomicU64, Ordering};

use super::text::{self, EnumText, SetText, TextColumn, TextOptions};
use super::{EncodeError, Encoder, now_ms};
pub use statements::{CanalStatements, StatementType};
use tidegate_model::message::ByteStrings;
use tidegate_model::position::GtidSource;
use tidegate_model::{ChangeBatch, ChangeKind, EventMeta, Gtid, SqlType, Table};
use types::SqlTypeCode;

/// The `type` of rows that a full load reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialType {
    /// `INSERT`: what readers of Canal's own messages know.
    Insert,
    /// `INIT`: what DTS writes.
    Init,
}

/// How `mysqlType` names a column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MysqlType {
    /// As the server does: `decimal(10,2) unsigned`.
    Full,
    /// Without parameters: `decimal unsigned`.
    Base,
}

impl MysqlType {
    /// As a task file has them.
    pub const WORDS: &[(&str, Self)] = &[("full", MysqlType::Full), ("base", MysqlType::Base)];
}

/// Which columns of the row before stand in `old`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldColumns {
    /// Those that changed.
    Changed,
    All,
}

impl OldColumns {
    /// As a task file has them.
    pub const WORDS: &[(&str, Self)] = &[("changed", OldColumns::Changed), ("all", OldColumns::All)];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanalOptions {
    pub initial_type: InitialType,
    pub enum_as: EnumText,
    pub set_as: SetText,
    pub mysql_type: MysqlType,
    pub old: OldColumns,
    /// Time zone of TIMESTAMP text, in seconds east of UTC.
    pub time_zone_offset_s: i32,
}

/// The codes of `java.sql.Types` that values of a type have: `4`, or `4 or -5` where it depends on the value.
pub fn sql_type_codes(sql_type: &SqlType, options: &CanalOptions) -> String {
    match SqlTypeCode::of(sql_type, options) {
        SqlTypeCode::Always(code) => code.to_owned(),
        SqlTypeCode::Unsigned { small: code, above: other, .. }
        | SqlTypeCode::Nullable { value: code, null: other } => format!("{code} or {other}"),
    }
}

/// Encodes the changes of one table version.
#[derive(Debug)]
pub struct CanalJson {
    table: Table,
    text: TextOptions,
    initial_type: &'static [u8],
    old: OldColumns,
    /// `,"name":` of each column.
    keys: Vec<Box<[u8]>>,
    /// `}],"database":"…","es":`
    after_data: Box<[u8]>,
    /// `,"isDdl":false,"mysqlType":{…},"old":`
    before_old: Box<[u8]>,
    /// Columns whose code depends on the value, each with what stands between `old`, or the code before, and its code.
    value_codes: Vec<ValueCode>,
    /// From there to `"ts":`.
    after_codes: Box<[u8]>,
    /// See [`Encoder::row_bytes`].
    row_bytes: usize,
    last_id: AtomicU64,
    /// Milliseconds since 1970.
    clock: fn() -> u64,
}

#[derive(Debug)]
struct ValueCode {
    before: Box<[u8]>,
    column: usize,
    code: SqlTypeCode,
}

impl CanalJson {
    pub fn new(table: &Table, options: &CanalOptions) -> CanalJson {
        let name = table.name();
        let names: Vec<Vec<u8>> = table.columns().iter().map(|column| json_string(&column.name)).collect();

        let mut after_data = b"}],\"database\":".to_vec();
        text::write_json_string(&name.database, &mut after_data);
        after_data.extend_from_slice(b",\"es\":");

        let mut before_old = b",\"isDdl\":false,\"mysqlType\":".to_vec();
        write_list(b'{', names.iter().zip(table.columns()), b'}', &mut before_old, |(name, column), out| {
            out.extend_from_slice(name);
            out.push(b':');
            text::write_json_string(&types::mysql_type(column, options.mysql_type), out);
        });
        before_old.extend_from_slice(b",\"old\":");

        let mut between = b",\"pkNames\":".to_vec();
        match table.primary_key() {
            Some(columns) => {
                // Canal lists them as they stand in the table, not in the key.
                let mut columns = columns.to_vec();
                columns.sort_unstable();
                write_list(b'[', columns, b']', &mut between, |column, out| out.extend_from_slice(&names[column]));
            }
            None => between.extend_from_slice(b"null"),
        }
        between.extend_from_slice(b",\"sql\":\"\",\"sqlType\":{");
        let mut value_codes = Vec::new();
        for (index, column) in table.columns().iter().enumerate() {
            if index > 0 {
                between.push(b',');
            }
            between.extend_from_slice(&names[index]);
            between.push(b':');
            match SqlTypeCode::of(&column.sql_type, options) {
                SqlTypeCode::Always(code) => between.extend_from_slice(code.as_bytes()),
                code => {
                    let before = std::mem::take(&mut between).into();
                    value_codes.push(ValueCode { before, column: index, code });
                }
            }
        }
        between.extend_from_slice(b"},\"table\":");
        text::write_json_string(&name.table, &mut between);
        between.extend_from_slice(b",\"ts\":");

        let text = TextOptions {
            enum_as: options.enum_as,
            set_as: options.set_as,
            time_zone_offset_s: options.time_zone_offset_s,
        };
        let keys: Vec<Box<[u8]>> = names.iter().map(|name| [b",", name.as_slice(), b":"].concat().into()).collect();
        let codes: usize = value_codes.iter().map(|value_code: &ValueCode| value_code.before.len() + 4).sum();
        let values = keys.iter().zip(table.columns()).map(|(key, column)| {
            // In quotes, or `null`.
            key.len() + (text::width(&column.sql_type, &text) + 2).max(4)
        });
        let constant = after_data.len() + before_old.len() + codes + between.len() + EVENT_BYTES;
        let row_bytes = constant + values.sum::<usize>();

        CanalJson {
            table: table.clone(),
            text,
            initial_type: match options.initial_type {
                InitialType::Insert => b"INSERT\"}",
                InitialType::Init => b"INIT\"}",
            },
            old: options.old,
            keys,
            after_data: after_data.into(),
            before_old: before_old.into(),
            value_codes,
            after_codes: between.into(),
            row_bytes,
            last_id: AtomicU64::new(0),
            clock: now_ms,
        }
    }

    /// Takes `ts` from another clock: milliseconds since 1970.
    pub fn with_clock(self, clock: fn() -> u64) -> CanalJson {
        CanalJson { clock, ..self }
    }

    fn bind<'a>(&'a self, batch: &'a ChangeBatch) -> Result<Vec<TextColumn<'a>>, EncodeError> {
        let columns = self.table.columns().iter().zip(batch.rows().columns());
        columns
            .map(|(column, array)| {
                TextColumn::bind(array, &column.sql_type, &self.text).map_err(|error| EncodeError {
                    table: self.table.name().clone(),
                    column: column.name.clone(),
                    reason: error.to_string(),
                })
            })
            .collect()
    }

    /// From the end of `data` to the value of `old`.
    fn write_event(&self, meta: &EventMeta, id: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.after_data);
        text::write_integer(meta.timestamp_s as u64 * 1000, out);
        out.extend_from_slice(b",\"gtid\":\"");
        if let Some(gtid) = &meta.gtid {
            write_gtid(gtid, out);
        }
        out.extend_from_slice(b"\",\"id\":");
        text::write_integer(id, out);
        out.extend_from_slice(&self.before_old);
    }

    /// The columns of a row for which `chosen` is true, without the comma before the first.
    #[inline(always)]
    fn write_row(&self, columns: &[TextColumn], row: usize, chosen: impl Fn(&TextColumn) -> bool, out: &mut Vec<u8>) {
        let mut comma = 1;
        for (column, key) in columns.iter().zip(&self.keys) {
            if !chosen(column) {
                continue;
            }
            out.extend_from_slice(&key[comma..]);
            comma = 0;
            if column.is_null(row) {
                out.extend_from_slice(b"null");
            } else {
                column.write_json(row, out);
            }
        }
    }

    fn write_old(&self, columns: &[TextColumn], before: usize, after: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"[{");
        match self.old {
            OldColumns::Changed => self.write_row(columns, before, |column| !column.same(before, after), out),
            OldColumns::All => self.write_row(columns, before, |_| true, out),
        }
        out.extend_from_slice(b"}]");
    }
}

impl Encoder for CanalJson {
    fn encode(&self, batch: &ChangeBatch, _first_id: u64, out: &mut ByteStrings) -> Result<(), EncodeError> {
        // Nothing fails from here on, so that `out` holds all messages or none.
        let columns = self.bind(batch)?;
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let mut close = self.after_codes.to_vec();
        text::write_integer((self.clock)(), &mut close);
        close.extend_from_slice(b",\"type\":\"");

        // Seldom too small.
        let texts: usize = columns.iter().map(TextColumn::text_bytes).sum();
        out.bytes.reserve(batch.kinds().len() * self.row_bytes + texts);
        out.ends.reserve(batch.kinds().len());
        let bytes = &mut out.bytes;
        let mut event = Vec::new();
        let mut event_of: Option<&EventMeta> = None;
        for change in batch.changes() {
            if !event_of.is_some_and(|meta| std::ptr::eq(meta, change.meta)) {
                event.clear();
                self.write_event(change.meta, id, &mut event);
                event_of = Some(change.meta);
            }
            bytes.extend_from_slice(b"{\"data\":[{");
            self.write_row(&columns, change.row, |_| true, bytes);
            bytes.extend_from_slice(&event);
            match change.kind {
                ChangeKind::Update { before } => self.write_old(&columns, before, change.row, bytes),
                _ => bytes.extend_from_slice(b"null"),
            }
            for value_code in &self.value_codes {
                bytes.extend_from_slice(&value_code.before);
                let code = value_code.code.for_value(&columns[value_code.column], change.row);
                bytes.extend_from_slice(code.as_bytes());
            }
            bytes.extend_from_slice(&close);
            bytes.extend_from_slice(match change.kind {
                ChangeKind::Initial => self.initial_type,
                ChangeKind::Insert => b"INSERT\"}",
                ChangeKind::Update { .. } => b"UPDATE\"}",
                ChangeKind::Delete => b"DELETE\"}",
            });
            out.ends.push(bytes.len());
        }
        Ok(())
    }

    fn row_bytes(&self) -> usize {
        self.row_bytes
    }
}

/// The rest of a message: its other keys, times, id and a GTID.
const EVENT_BYTES: usize = 160;

/// As `Gtid` prints itself, without its formatter: small transactions have one per message.
pub(crate) fn write_gtid(gtid: &Gtid, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let (uuid, tag) = match &gtid.source {
        GtidSource::Server { uuid, tag } => (uuid, tag),
        GtidSource::Domain { domain, server } => {
            for number in [*domain, *server] {
                text::write_integer(number, out);
                out.push(b'-');
            }
            text::write_integer(gtid.number, out);
            return;
        }
    };
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend_from_slice(&[HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize]]);
    }
    if !tag.is_empty() {
        out.push(b':');
        out.extend_from_slice(tag.as_bytes());
    }
    out.push(b':');
    text::write_integer(gtid.number, out);
}

fn json_string(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    text::write_json_string(text, &mut out);
    out
}

/// `{a,b}` or `[a,b]`.
fn write_list<T>(
    open: u8,
    items: impl IntoIterator<Item = T>,
    close: u8,
    out: &mut Vec<u8>,
    write: impl Fn(T, &mut Vec<u8>),
) {
    out.push(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(close);
}

#[cfg(test)]
mod tests;
