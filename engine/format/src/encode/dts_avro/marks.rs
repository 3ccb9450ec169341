//! Records that are not about a row: DDL, BEGIN, COMMIT and HEARTBEAT.
//!
//! | | objectName | tags | images |
//! |---|---|---|---|
//! | DDL | database | `GTID`, `commitTimestamp`, `readerThroughoutTime`, `server_id`, `thread_id` | `afterImages`: the statement |
//! | BEGIN, COMMIT | null | `GTID`, `readerThroughoutTime`, `server_id`, `thread_id` | |
//! | HEARTBEAT | null | `readerThroughoutTime`, `server_id` | |
//!
//! `fields` is null in all of them: an empty array is one that readers stumble over. `GTID` is there if the transaction has one. The
//! tags also make every record longer than the 48 bytes below which readers take it for a keep-alive.

use super::*;
use crate::encode::MarkEncoder;
use tidegate_model::{Mark, MarkKind};

/// Encodes marks.
#[derive(Debug)]
pub struct AvroMarks {
    source: Box<[u8]>,
}

impl AvroMarks {
    /// As for [`DtsAvro::new`].
    pub fn new(server_version: &str) -> AvroMarks {
        AvroMarks { source: source(server_version) }
    }
}

impl MarkEncoder for AvroMarks {
    fn encode(&self, mark: &Mark, table: Option<&TableName>, id: u64, out: &mut ByteStrings) {
        let meta = &mark.meta;
        let statement = match &mark.kind {
            MarkKind::Statement(statement) => Some(statement),
            MarkKind::Begin | MarkKind::Commit | MarkKind::Heartbeat => None,
        };
        let mut tags = vec![("readerThroughoutTime", now_ms().to_string()), ("server_id", meta.server_id.to_string())];
        if mark.kind != MarkKind::Heartbeat {
            tags.push(("thread_id", meta.thread_id.to_string()));
            tags.extend(meta.gtid.as_ref().map(|gtid| ("GTID", gtid.to_string())));
        }
        if statement.is_some() {
            tags.push(("commitTimestamp", meta.timestamp_s.to_string()));
        }

        let bytes = &mut out.bytes;
        write_long(0, bytes); // version
        write_long(id as i64, bytes);
        write_event(meta, &self.source, bytes);
        write_enum(
            match mark.kind {
                MarkKind::Begin => operation::BEGIN,
                MarkKind::Commit => operation::COMMIT,
                MarkKind::Heartbeat => operation::HEARTBEAT,
                MarkKind::Statement(_) => operation::DDL,
            },
            bytes,
        );
        match statement {
            Some(statement) => {
                let database = table.map_or(statement.default_database.as_str(), |table| &table.database);
                write_branch(STRING, bytes);
                write_str(&database.replace('.', "\\u002E"), bytes);
            }
            None => write_branch(NULL, bytes),
        }
        write_branch(NULL, bytes); // processTimestamps
        write_long(tags.len() as i64, bytes);
        for (key, value) in &tags {
            write_tag(key, value, bytes);
        }
        write_long(0, bytes);
        write_branch(NULL, bytes); // fields
        write_branch(NULL, bytes); // beforeImages
        match statement {
            Some(statement) => {
                write_branch(STRING, bytes);
                write_str(&statement.sql, bytes);
            }
            None => write_branch(NULL, bytes),
        }
        write_long(meta.timestamp_s.into(), bytes);
        out.ends.push(out.bytes.len());
    }
}
