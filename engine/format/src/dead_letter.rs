//! A message that is larger than its topic takes, as messages of another topic.
//!
//! ```text
//! value  ─────────────────────────────────►  {"reason":"too_large",…,"part":1,"parts":3,"value":"eyJk…"}
//! 2.4 MB of Canal JSON or DTS Avro           {"reason":"too_large",…,"part":2,"parts":3,"value":"aWQi…"}
//!                                            {"reason":"too_large",…,"part":3,"parts":3,"value":"In19"}
//! ```
//!
//! Each part is a JSON object that says all there is to say, so that whoever meets one alone knows which row it is about. The bytes of the
//! value stand in it as Base64: they are the same for text and Avro, their size is known before they are written, no character is
//! cut in two, and what reads JSON needs nothing else. Raw bytes with headers beside them would be a third smaller; but many tools that
//! show and move dead letters know values only.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tidegate_model::Change;
use tidegate_model::message::ByteStrings;

use crate::encode::canal_json::write_gtid;
use crate::encode::text::{write_integer, write_json_string};
use crate::headers::{About, op_of};

/// What is told of a message beside its value.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// Where it would have gone.
    pub topic: &'a str,
    pub partition: i32,
    pub table: About<'a>,
    pub change: Change<'a>,
    /// The row's key as a JSON object, if it has one.
    pub key: Option<&'a [u8]>,
    /// What the value is: `canal_json` or `dts_avro`.
    pub format: &'a str,
    /// What was compared with the limit.
    pub bytes: usize,
    pub limit: usize,
    /// Whose limit it is.
    pub setting: &'a str,
}

/// Digits of a part's number.
const DIGITS_MAX: usize = 10;
/// A part that holds less of the value is not worth its envelope.
const PART_BYTES_MIN: usize = 256;

impl Letter<'_> {
    /// Appends the parts of `value`, each of at most `part_bytes`. `None` if what goes beside the value leaves too little of that.
    pub fn write_parts(&self, value: &[u8], part_bytes: usize, out: &mut ByteStrings) -> Option<usize> {
        const BEFORE_PART: &[u8] = b",\"part\":";
        const BEFORE_VALUE: &[u8] = b",\"value\":\"";
        const END: &[u8] = b"\"}";
        let mut beside = Vec::new();
        self.write_beside(value.len(), &mut beside);
        let beside_len = beside.len() + DIGITS_MAX + BEFORE_PART.len() + DIGITS_MAX + BEFORE_VALUE.len() + END.len();
        // Four characters for three bytes.
        let piece = part_bytes.checked_sub(beside_len)? / 4 * 3;
        if piece < PART_BYTES_MIN {
            return None;
        }
        let parts = value.len().div_ceil(piece).max(1);
        write_integer(parts as u64, &mut beside);
        out.bytes.reserve(parts * beside_len + value.len().div_ceil(3) * 4);
        for part in 0..parts {
            let bytes = &value[part * piece..value.len().min((part + 1) * piece)];
            out.bytes.extend_from_slice(&beside);
            out.bytes.extend_from_slice(BEFORE_PART);
            write_integer(part as u64 + 1, &mut out.bytes);
            out.bytes.extend_from_slice(BEFORE_VALUE);
            let start = out.bytes.len();
            out.bytes.resize(start + bytes.len().div_ceil(3) * 4, 0);
            STANDARD.encode_slice(bytes, &mut out.bytes[start..]).expect("there is room for it");
            out.bytes.extend_from_slice(END);
            out.ends.push(out.bytes.len());
        }
        Some(parts)
    }

    /// All but the value, up to the number of parts.
    fn write_beside(&self, value_bytes: usize, out: &mut Vec<u8>) {
        let text = |name: &str, text: &str, out: &mut Vec<u8>| {
            out.extend_from_slice(name.as_bytes());
            write_json_string(text, out);
        };
        let number = |name: &str, number: u64, out: &mut Vec<u8>| {
            out.extend_from_slice(name.as_bytes());
            write_integer(number, out);
        };
        let About { target, source } = self.table;
        let meta = self.change.meta;
        text("{\"reason\":", "too_large", out);
        text(",\"topic\":", self.topic, out);
        number(",\"partition\":", self.partition.unsigned_abs().into(), out);
        text(",\"database\":", &target.database, out);
        text(",\"table\":", &target.table, out);
        text(",\"source_database\":", &source.database, out);
        text(",\"source_table\":", &source.table, out);
        text(",\"op\":", op_of(self.change.kind), out);
        out.extend_from_slice(b",\"key\":");
        out.extend_from_slice(self.key.unwrap_or(b"null"));
        out.extend_from_slice(b",\"gtid\":");
        match &meta.gtid {
            Some(gtid) => {
                let mut gtid_text = Vec::new();
                write_gtid(gtid, &mut gtid_text);
                write_json_string(&String::from_utf8_lossy(&gtid_text), out);
            }
            None => out.extend_from_slice(b"null"),
        }
        text(",\"position\":", &format!("{}:{}", meta.coordinate.file, meta.coordinate.offset), out);
        number(",\"source_time\":", u64::from(meta.timestamp_s) * 1000, out);
        text(",\"format\":", self.format, out);
        number(",\"bytes\":", self.bytes as u64, out);
        number(",\"limit\":", self.limit as u64, out);
        text(",\"limit_of\":", self.setting, out);
        number(",\"value_bytes\":", value_bytes as u64, out);
        out.extend_from_slice(b",\"parts\":");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tidegate_model::TableName;
    use tidegate_model::pretty::parse;

    fn parts(value: &[u8], part_bytes: usize) -> Option<Vec<Value>> {
        let batch = parse("id:int", "-U 7\n+U 7");
        let (target, source) = (TableName::new("shop", "no\"tes"), TableName::new("shop_1", "notes"));
        let letter = Letter {
            topic: "shop.notes",
            partition: 2,
            table: About { target: &target, source: &source },
            change: batch.changes().next().unwrap(),
            key: Some(br#"{"id":"7"}"#),
            format: "canal_json",
            bytes: 3_000_000,
            limit: 1_048_588,
            setting: "max.message.bytes",
        };
        let mut out = ByteStrings::default();
        let count = letter.write_parts(value, part_bytes, &mut out)?;
        assert_eq!(count, out.len());
        assert!(out.iter().all(|part| part.len() <= part_bytes));
        Some(out.iter().map(|part| serde_json::from_slice(part).unwrap()).collect())
    }

    #[test]
    fn parts_say_all_and_make_the_value() {
        for len in [0, 1, 400, 401, 5_000] {
            let value: Vec<u8> = (0..len).map(|byte| byte as u8).collect();
            let parts = parts(&value, 1_000).unwrap();
            let mut joined = Vec::new();
            for (part, number) in parts.iter().zip(1..) {
                let mut part = part.clone();
                joined.extend(STANDARD.decode(part["value"].take().as_str().unwrap()).unwrap());
                let said = json!({
                    "reason": "too_large", "topic": "shop.notes", "partition": 2, "database": "shop", "table": "no\"tes",
                    "source_database": "shop_1", "source_table": "notes", "op": "update", "key": {"id": "7"}, "gtid": null,
                    "position": "binlog.000001:4", "source_time": 1_700_000_000_000_u64, "format": "canal_json", "bytes": 3_000_000,
                    "limit": 1_048_588, "limit_of": "max.message.bytes", "value_bytes": len, "parts": parts.len(), "part": number,
                    "value": null,
                });
                assert_eq!(part, said);
            }
            assert_eq!(joined, value);
        }
    }

    #[test]
    fn a_part_has_room_for_some_of_the_value_or_there_is_none() {
        assert!(parts(b"value", 400).is_none());
        assert!(parts(b"value", 10).is_none());
    }
}
