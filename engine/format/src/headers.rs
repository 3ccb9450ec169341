//! What stands in the headers of a message, so that a consumer routes it without reading its value?
//!
//! ```text
//! headers: [op, table, gtid]     op     insert
//!                                table  orders
//!                                gtid   3e11fa47-71ca-11e1-9e33-c80aa9429562:23
//! ```
//!
//! Headers have the names by which the task file asks for them, and texts for their values. One that says nothing of a message,
//! such as the GTID of a server without any, is left out.

use tidegate_model::message::Headers;
use tidegate_model::words::word_of;
use tidegate_model::{ChangeBatch, ChangeKind, EventMeta, Mark, MarkKind, TableName};

use crate::encode::canal_json::write_gtid;
use crate::encode::text::write_integer;

/// One of the headers that a task may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderName {
    /// `read` (a row of the full load), `insert`, `update`, `delete`, `ddl`, `begin`, `commit`, `heartbeat`.
    Op,
    /// As the message names it.
    Database,
    Table,
    /// As the source names it: of tables that share a name where they go, which one it is.
    SourceDatabase,
    SourceTable,
    /// The transaction's own.
    Gtid,
    /// Of the event in the binlog, `binlog.000007:1234`; of a row of the full load, where its view was opened.
    Position,
    /// When the statement ran, milliseconds since 1970: `es` of Canal JSON.
    SourceTime,
}

impl HeaderName {
    /// As a task file has them.
    pub const WORDS: &[(&str, Self)] = &[
        ("op", HeaderName::Op),
        ("database", HeaderName::Database),
        ("table", HeaderName::Table),
        ("source_database", HeaderName::SourceDatabase),
        ("source_table", HeaderName::SourceTable),
        ("gtid", HeaderName::Gtid),
        ("position", HeaderName::Position),
        ("source_time", HeaderName::SourceTime),
    ];

    pub fn name(self) -> &'static str {
        word_of(HeaderName::WORDS, self)
    }
}

/// The table that a message is about.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// As it leaves.
    pub target: &'a TableName,
    pub source: &'a TableName,
}

/// The headers of each change of a batch, and, with `tombstones`, those of each delete once more.
pub fn headers_of(wanted: &[HeaderName], table: About<'_>, batch: &ChangeBatch, tombstones: bool) -> Headers {
    let mut headers = Headers::default();
    let mut event_of: Option<&EventMeta> = None;
    // Of the event at hand, by operation.
    let mut sets: [Option<u32>; 4] = [None; 4];
    for change in batch.changes() {
        if !event_of.is_some_and(|meta| std::ptr::eq(meta, change.meta)) {
            (event_of, sets) = (Some(change.meta), [None; 4]);
        }
        let slot = match change.kind {
            ChangeKind::Initial => 0,
            ChangeKind::Insert => 1,
            ChangeKind::Update { .. } => 2,
            ChangeKind::Delete => 3,
        };
        let op = op_of(change.kind);
        let set = *sets[slot].get_or_insert_with(|| make_set(wanted, op, Some(table), change.meta, &mut headers));
        headers.append(set);
        if tombstones && change.kind == ChangeKind::Delete {
            headers.append(set);
        }
    }
    headers
}

/// What a change is called.
pub(crate) fn op_of(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Initial => "read",
        ChangeKind::Insert => "insert",
        ChangeKind::Update { .. } => "update",
        ChangeKind::Delete => "delete",
    }
}

/// Appends the headers of a mark that is about `table`.
pub fn append_mark(wanted: &[HeaderName], mark: &Mark, table: Option<About<'_>>, headers: &mut Headers) {
    let op = match &mark.kind {
        MarkKind::Begin => "begin",
        MarkKind::Commit => "commit",
        MarkKind::Heartbeat => "heartbeat",
        MarkKind::Statement(_) => "ddl",
    };
    let set = make_set(wanted, op, table, &mark.meta, headers);
    headers.append(set);
}

fn make_set(wanted: &[HeaderName], op: &str, table: Option<About<'_>>, meta: &EventMeta, headers: &mut Headers) -> u32 {
    for header in wanted {
        let name = header.name();
        let mut push_name = |part: fn(About<'_>) -> &str| {
            if let Some(table) = table {
                headers.push(name, |out| out.extend_from_slice(part(table).as_bytes()));
            }
        };
        match header {
            HeaderName::Op => headers.push(name, |out| out.extend_from_slice(op.as_bytes())),
            HeaderName::Database => push_name(|table| &table.target.database),
            HeaderName::Table => push_name(|table| &table.target.table),
            HeaderName::SourceDatabase => push_name(|table| &table.source.database),
            HeaderName::SourceTable => push_name(|table| &table.source.table),
            HeaderName::Gtid => {
                let Some(gtid) = &meta.gtid else { continue };
                headers.push(name, |out| write_gtid(gtid, out));
            }
            HeaderName::Position => headers.push(name, |out| {
                out.extend_from_slice(meta.coordinate.file.as_bytes());
                out.push(b':');
                write_integer(meta.coordinate.offset, out);
            }),
            HeaderName::SourceTime => headers.push(name, |out| write_integer(u64::from(meta.timestamp_s) * 1000, out)),
        }
    }
    headers.end_set()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::position::{Gtid, GtidSource};
    use tidegate_model::pretty::{meta, parse};

    fn drawn(headers: &Headers) -> Vec<String> {
        let one = |message| {
            let headers =
                headers.get(message).map(|(name, value)| format!("{name}={}", str::from_utf8(value).unwrap()));
            headers.collect::<Vec<_>>().join(" ")
        };
        (0..headers.len()).map(one).collect()
    }

    #[test]
    fn each_message_has_those_that_are_asked_for() {
        let batch = parse("id:int", "** 1\n+I 2\n-U 2\n+U 3\n-D 3\n+I 4");
        let (target, source) = (batch.table().name().clone(), TableName::new("db_1", "t1"));
        let table = About { target: &target, source: &source };
        let headers = headers_of(&[HeaderName::Op, HeaderName::Table], table, &batch, true);
        let of = |op| format!("op={op} table=t");
        assert_eq!(drawn(&headers), ["read", "insert", "update", "delete", "delete", "insert"].map(of));
        // Those of one event stand once.
        assert_eq!(headers.sets().count(), 4);
        let all: Vec<HeaderName> = HeaderName::WORDS.iter().map(|(_, header)| *header).collect();
        let headers = headers_of(&all, table, &parse("id:int", "+I 1"), false);
        let expected = "op=insert database=db table=t source_database=db_1 source_table=t1 position=binlog.000001:4 \
                        source_time=1700000000000";
        assert_eq!(drawn(&headers), [expected]);
        // Without `=` and blanks.
        assert_eq!(headers.message_bytes(0), 7 * 10 + expected.len() - 13);
    }

    #[test]
    fn words_are_names() {
        assert!(HeaderName::WORDS.iter().all(|(word, header)| header.name() == *word));
    }

    #[test]
    fn a_mark_has_what_it_has() {
        let gtid = Gtid { source: GtidSource::Domain { domain: 0, server: 1 }, number: 23 };
        let meta = EventMeta { gtid: Some(gtid), ..EventMeta::clone(&meta()) };
        let mark = Mark { kind: MarkKind::Begin, sequence: 0, meta: meta.into() };
        let mut headers = Headers::default();
        append_mark(&[HeaderName::Op, HeaderName::Table, HeaderName::Gtid], &mark, None, &mut headers);
        assert_eq!(drawn(&headers), ["op=begin gtid=0-1-23"]);
    }
}
