//! DDL in Canal JSON: the same keys as of a row, with nothing about rows in them.
//!
//! ```text
//! {"data":null,"database":"shop","es":1700000000000,"gtid":"","id":7,"isDdl":true,"mysqlType":null,"old":null,
//!  "pkNames":null,"sql":"ALTER TABLE orders ADD note TEXT","sqlType":null,"table":"orders","ts":1700000000123,"type":"ALTER"}
//! ```

use super::write_gtid;
use crate::encode::{MarkEncoder, now_ms, text};
use tidegate_model::message::ByteStrings;
use tidegate_model::{Mark, MarkKind, StatementKind, TableName};

/// What `type` says of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementType {
    /// Canal's word for what it does: `CREATE`, `ALTER`, `ERASE`, …
    Kind,
    /// `DDL`, as DTS writes.
    Ddl,
}

impl StatementType {
    /// As a task file has them.
    pub const WORDS: &[(&str, Self)] = &[("kind", StatementType::Kind), ("ddl", StatementType::Ddl)];
}

/// Encodes statements; Canal JSON has no message for the other marks.
#[derive(Debug)]
pub struct CanalStatements {
    statement_type: StatementType,
    /// Milliseconds since 1970.
    clock: fn() -> u64,
}

impl CanalStatements {
    pub fn new(statement_type: StatementType) -> CanalStatements {
        CanalStatements { statement_type, clock: now_ms }
    }
}

impl MarkEncoder for CanalStatements {
    fn encode(&self, mark: &Mark, table: Option<&TableName>, id: u64, out: &mut ByteStrings) {
        let MarkKind::Statement(statement) = &mark.kind else { return };
        let (database, table) = table.map_or((statement.default_database.as_str(), ""), |t| (&t.database, &t.table));
        let bytes = &mut out.bytes;
        bytes.extend_from_slice(b"{\"data\":null,\"database\":");
        text::write_json_string(database, bytes);
        bytes.extend_from_slice(b",\"es\":");
        text::write_integer(mark.meta.timestamp_s as u64 * 1000, bytes);
        bytes.extend_from_slice(b",\"gtid\":\"");
        if let Some(gtid) = &mark.meta.gtid {
            write_gtid(gtid, bytes);
        }
        bytes.extend_from_slice(b"\",\"id\":");
        text::write_integer(id, bytes);
        bytes.extend_from_slice(b",\"isDdl\":true,\"mysqlType\":null,\"old\":null,\"pkNames\":null,\"sql\":");
        text::write_json_string(&statement.sql, bytes);
        bytes.extend_from_slice(b",\"sqlType\":null,\"table\":");
        text::write_json_string(table, bytes);
        bytes.extend_from_slice(b",\"ts\":");
        text::write_integer((self.clock)(), bytes);
        bytes.extend_from_slice(b",\"type\":\"");
        bytes.extend_from_slice(match (self.statement_type, statement.kind) {
            (StatementType::Ddl, _) => b"DDL",
            (StatementType::Kind, StatementKind::Create) => b"CREATE",
            (StatementType::Kind, StatementKind::Alter) => b"ALTER",
            (StatementType::Kind, StatementKind::CreateIndex) => b"CINDEX",
            (StatementType::Kind, StatementKind::DropIndex) => b"DINDEX",
            (StatementType::Kind, StatementKind::Drop) => b"ERASE",
            (StatementType::Kind, StatementKind::Truncate) => b"TRUNCATE",
            (StatementType::Kind, StatementKind::Rename) => b"RENAME",
            (StatementType::Kind, StatementKind::Other) => b"QUERY".as_slice(),
        });
        bytes.extend_from_slice(b"\"}");
        out.ends.push(out.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::Statement;
    use tidegate_model::pretty::meta;

    #[test]
    fn a_statement_is_these_bytes() {
        let statement = |kind| Statement {
            kind,
            tables: vec![TableName::new("shop", "orders")],
            sql: "ALTER TABLE orders\nADD `a` TEXT".into(),
            default_database: "shop".into(),
        };
        let encode = |statement_type, kind| {
            let mark = Mark { kind: MarkKind::Statement(statement(kind)), sequence: 0, meta: meta() };
            let mut out = ByteStrings::default();
            let encoder = CanalStatements { clock: || 1_700_000_000_123, ..CanalStatements::new(statement_type) };
            encoder.encode(&mark, Some(&TableName::new("shop", "orders")), 7, &mut out);
            String::from_utf8(out.get(0).to_vec()).unwrap()
        };
        let expected = concat!(
            r#"{"data":null,"database":"shop","es":1700000000000,"gtid":"","id":7,"isDdl":true,"mysqlType":null,"#,
            r#""old":null,"pkNames":null,"sql":"ALTER TABLE orders\nADD `a` TEXT","sqlType":null,"table":"orders","#,
            r#""ts":1700000000123,"type":"ALTER"}"#
        );
        assert_eq!(encode(StatementType::Kind, StatementKind::Alter), expected);
        assert!(encode(StatementType::Kind, StatementKind::Drop).ends_with(r#""type":"ERASE"}"#));
        assert!(encode(StatementType::Ddl, StatementKind::Drop).ends_with(r#""type":"DDL"}"#));
    }

    #[test]
    fn other_marks_have_no_message() {
        let mut out = ByteStrings::default();
        let mark = Mark { kind: MarkKind::Begin, sequence: 0, meta: meta() };
        CanalStatements::new(StatementType::Kind).encode(&mark, None, 1, &mut out);
        assert!(out.is_empty());
    }
}
