//! The delete of the row that a message is about: the message with four of its members written anew.
//!
//! ```text
//! {"data":[{"id":"7"}],"database":"shop","es":1700000000000,"gtid":"3e11…:23",…,"old":null,…,"ts":1700000000123,"type":"INSERT"}
//!                                           ▲ now                   ▲ ""            ▲ null         ▲ now              ▲ DELETE
//! ```

use std::ops::Range;

/// `now_ms`: milliseconds since 1970. `None` if the message is about no row.
pub fn deleted(message: &[u8], now_ms: u64) -> Option<Vec<u8>> {
    let now = now_ms.to_string();
    let anew = [("es", now.as_str()), ("gtid", "\"\""), ("old", "null"), ("ts", now.as_str()), ("type", "\"DELETE\"")];
    let members = members(message)?;
    let of = |name: &str| members.iter().find(|(known, _)| *known == name.as_bytes()).map(|(_, value)| value.clone());
    if message[of("isDdl")?] != *b"false" || !message[of("data")?].starts_with(b"[{") {
        return None;
    }
    let mut values: Vec<(Range<usize>, &str)> = Vec::with_capacity(anew.len());
    for (name, value) in anew {
        values.push((of(name)?, value));
    }
    values.sort_unstable_by_key(|(range, _)| range.start);
    let mut out = Vec::with_capacity(message.len() + 32);
    let mut from = 0;
    for (range, value) in values {
        out.extend_from_slice(&message[from..range.start]);
        out.extend_from_slice(value.as_bytes());
        from = range.end;
    }
    out.extend_from_slice(&message[from..]);
    Some(out)
}

/// The names of an object, as they are written, and where their values stand.
fn members(object: &[u8]) -> Option<Vec<(&[u8], Range<usize>)>> {
    let (mut members, mut depth, mut begin, mut name) = (Vec::new(), 0, 0, None);
    let mut at = 0;
    while at < object.len() {
        match object[at] {
            b'"' => {
                let text = at + 1;
                at = text;
                while *object.get(at)? != b'"' {
                    at += if object[at] == b'\\' { 2 } else { 1 };
                }
                if depth == 1 && name.is_none() {
                    name = Some(&object[text..at]);
                }
            }
            b':' if depth == 1 => begin = at + 1,
            b',' if depth == 1 => members.push((name.take()?, begin..at)),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    members.push((name.take()?, begin..at));
                }
            }
            _ => {}
        }
        at += 1;
    }
    Some(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_becomes_the_delete_of_its_row() {
        let message = |data: &str, es: &str, gtid: &str, old: &str, kind: &str| {
            format!(
                r#"{{"data":[{data}],"database":"a,b","es":{es},"gtid":"{gtid}","id":41,"isDdl":false,"mysqlType":{{"type":"int"}},"old":{old},"pkNames":["id"],"sql":"","sqlType":{{"old":4}},"table":"t\"}}","ts":{es},"type":"{kind}"}}"#
            )
        };
        let row = r#"{"type":"7","old":"x\\\",\"ts\":1","es":null}"#;
        for (old, kind) in [("null", "INIT"), (r#"[{"old":"}],"}]"#, "UPDATE")] {
            let made = deleted(message(row, "1", "a:1", old, kind).as_bytes(), 55).expect("a row");
            assert_eq!(String::from_utf8(made).unwrap(), message(row, "55", "", "null", "DELETE"));
        }
        let statement = message("", "1", "", "null", "CREATE").replace("\"isDdl\":false", "\"isDdl\":true");
        for other in [statement.as_bytes(), b"{\"data\":[{}]}", b"{\"data", b"", b"x\"y"] {
            assert_eq!(deleted(other, 55), None, "{}", String::from_utf8_lossy(other));
        }
    }
}
