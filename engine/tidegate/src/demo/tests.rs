//! The demo itself, and what it counts by.

use std::collections::BTreeMap;

use tidegate_model::TableName;

use super::consume::*;
use super::lineitem::*;
use super::*;

fn message(kind: &str, data: &str, old: &str) -> Message {
    let text = format!(r#"{{"data":[{data}],"old":{old},"pkNames":["id"],"type":"{kind}","sqlType":{{"id":4}}}}"#);
    serde_json::from_str(&text).unwrap()
}

#[test]
fn messages_make_a_state_and_its_sums() {
    let mut state = State { columns: vec!["id".to_owned(), "name".to_owned()], rows: BTreeMap::new() };
    assert_eq!(state.apply(&message("INSERT", r#"{"id":"1","name":"a"}"#, "null")), Ok(true));
    assert_eq!(state.apply(&message("INSERT", r#"{"id":"2","name":"b"}"#, "null")), Ok(true));
    assert_eq!(state.apply(&message("UPDATE", r#"{"id":"1","name":null}"#, r#"[{"name":"a"}]"#)), Ok(true));
    assert_eq!(state.apply(&message("DELETE", r#"{"id":"2","name":"b"}"#, "null")), Ok(true));
    let crc32 = crc32fast::hash(b"1\t\\N");
    assert_eq!(state.sums(), Sums { rows: 1, crc32_sum: u64::from(crc32), crc32_xor: crc32 });
}

#[test]
fn messages_that_do_not_fit_are_surprises() {
    let mut state = State { columns: vec!["id".to_owned()], rows: BTreeMap::new() };
    assert_eq!(state.apply(&message("DELETE", r#"{"id":"1"}"#, "null")), Ok(false));
    assert_eq!(state.apply(&message("INSERT", r#"{"id":"1"}"#, "null")), Ok(true));
    assert_eq!(state.apply(&message("INSERT", r#"{"id":"1"}"#, "null")), Ok(false));
    assert_eq!(state.apply(&message("UPDATE", r#"{"id":"1"}"#, r#"[{"id":"7"}]"#)), Ok(false));
    assert!(state.apply(&message("QUERY", r#"{"id":"1"}"#, "null")).is_err());
}

#[test]
fn the_whole_way_ends_as_the_server_did() {
    let mut out = Vec::new();
    show(&mut out, &Runner::start().unwrap(), 10_000).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert_eq!(out.matches("state equals the server's: yes").count(), 3, "{out}");
}

#[test]
fn the_recordings_are_read() {
    let expected: Expected = serde_json::from_str(EXPECTED).unwrap();
    assert_eq!(expected.tables.len(), 3);
    for text in [FULL_LOAD, CHANGES] {
        let folder = Folder { path: PathBuf::from("/nowhere/with \"quotes\"") };
        config::parse("demo.yaml", &folder.task(text, "127.0.0.1:1234")).unwrap();
        assert_eq!(folder.task(text, "x").matches("datasets/").count(), 0);
    }
}

#[test]
fn the_generated_table_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    generate(folder.path(), 1000).unwrap();
    let data_set = tidegate_parquet::DataSet::open(folder.path(), &TableName::new("tpch", "lineitem")).unwrap();
    assert_eq!((data_set.rows(), data_set.table().key()), (1000, [0, 3].as_slice()));
}
