use std::sync::Arc;

use super::*;
use crate::encode::samples::{batch_of_every_type, push, table, two_rows};
use tidegate_model::position::{Coordinate, GtidSource};
use tidegate_model::pretty::{meta, parse};
use tidegate_model::{EventRun, SqlType, UniqueKey};

const CANAL: CanalOptions = CanalOptions {
    initial_type: InitialType::Insert,
    enum_as: EnumText::Index,
    set_as: SetText::Bits,
    mysql_type: MysqlType::Full,
    old: OldColumns::Changed,
    time_zone_offset_s: 0,
};

fn encode(options: &CanalOptions, batch: &ChangeBatch) -> Vec<String> {
    let encoder = CanalJson::new(batch.table(), options).with_clock(|| 1_700_000_000_123);
    let mut out = ByteStrings::default();
    encoder.encode(batch, 0, &mut out).unwrap();
    let messages: Vec<String> = out.iter().map(|value| String::from_utf8(value.to_vec()).unwrap()).collect();
    for message in &messages {
        let parsed: serde_json::Value = serde_json::from_str(message).expect("a message is JSON");
        let keys: Vec<&String> = parsed.as_object().unwrap().keys().collect();
        assert!(keys.is_sorted() && keys.len() == 14, "{keys:?}");
    }
    messages
}

/// Encodes a drawing; `expected` has a line `type data old` per message, all else being the same in each.
#[track_caller]
fn check(options: &CanalOptions, header: &str, drawing: &str, expected: &[&str]) {
    let messages = encode(options, &parse(header, drawing));
    let found: Vec<String> = messages
        .iter()
        .map(|message| {
            let between = |from: &str, to: &str| {
                let start = message.find(from).expect(from) + from.len();
                let length = message[start..].find(to).expect(to);
                &message[start..start + length]
            };
            format!(
                "{} {} {}",
                between("\"type\":\"", "\"}"),
                between("{\"data\":", ",\"database\""),
                between("\"old\":", ",\"pkNames\"")
            )
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn an_insert_is_these_bytes() {
    let messages = encode(&CANAL, &parse("id:int name:text", "+I 1 a"));
    assert_eq!(
        messages,
        [concat!(
            r#"{"data":[{"id":"1","name":"a"}],"database":"db","es":1700000000000,"gtid":"","id":1,"isDdl":false,"#,
            r#""mysqlType":{"id":"bigint","name":"varchar(20)"},"old":null,"pkNames":["id"],"sql":"","#,
            r#""sqlType":{"id":-5,"name":12},"table":"t","ts":1700000000123,"type":"INSERT"}"#
        )]
    );
}

#[test]
fn an_update_is_these_bytes() {
    let messages = encode(&CANAL, &parse("id:int name:text", "-U 1 a\n+U 1 b"));
    assert_eq!(
        messages,
        [concat!(
            r#"{"data":[{"id":"1","name":"b"}],"database":"db","es":1700000000000,"gtid":"","id":1,"isDdl":false,"#,
            r#""mysqlType":{"id":"bigint","name":"varchar(20)"},"old":[{"name":"a"}],"pkNames":["id"],"sql":"","#,
            r#""sqlType":{"id":-5,"name":12},"table":"t","ts":1700000000123,"type":"UPDATE"}"#
        )]
    );
}

#[test]
fn old_holds_what_changed() {
    check(
        &CANAL,
        "id:int name:text amount:double",
        "
        ** 1 a 1.5
        +I 2 _ _
        -U 2 _ _
        +U 2 b _
        -U 2 b 1
        +U 2 _ 1
        -U 2 _ 1
        +U 2 _ 1
        -U 2 x 0
        +U 3 y -0
        -D 3 y 1e7",
        &[
            r#"INSERT [{"id":"1","name":"a","amount":"1.5"}] null"#,
            r#"INSERT [{"id":"2","name":null,"amount":null}] null"#,
            r#"UPDATE [{"id":"2","name":"b","amount":null}] [{"name":null}]"#,
            r#"UPDATE [{"id":"2","name":null,"amount":"1.0"}] [{"name":"b"}]"#,
            r#"UPDATE [{"id":"2","name":null,"amount":"1.0"}] [{}]"#,
            r#"UPDATE [{"id":"3","name":"y","amount":"-0.0"}] [{"id":"2","name":"x","amount":"0.0"}]"#,
            r#"DELETE [{"id":"3","name":"y","amount":"1.0E7"}] null"#,
        ],
    );
}

#[test]
fn dts_writes_init_and_may_write_all_of_old() {
    let options = CanalOptions { initial_type: InitialType::Init, old: OldColumns::All, ..CANAL };
    check(
        &options,
        "id:int name:text",
        "
        ** 1 a
        -U 1 a
        +U 1 b",
        &[r#"INIT [{"id":"1","name":"a"}] null"#, r#"UPDATE [{"id":"1","name":"b"}] [{"id":"1","name":"a"}]"#],
    );
}

fn sql_types(messages: &[String]) -> Vec<&str> {
    let start = "\"sqlType\":";
    messages.iter().map(|m| &m[m.find(start).unwrap() + start.len()..m.find(",\"table\"").unwrap()]).collect()
}

#[test]
fn the_code_of_an_unsigned_number_follows_its_value() {
    let messages = encode(
        &CANAL,
        &parse(
            "id:uint name:text n:uint",
            "
            +I 9223372036854775807 a _
            +I 9223372036854775808 a 1
            -U 9223372036854775808 a 1
            +U 1 a 18446744073709551615",
        ),
    );
    assert_eq!(
        sql_types(&messages),
        [r#"{"id":-5,"name":12,"n":-5}"#, r#"{"id":3,"name":12,"n":-5}"#, r#"{"id":-5,"name":12,"n":3}"#]
    );
}

#[test]
fn events_tell_their_time_and_transaction() {
    let at = |timestamp_s, number, tag: &str| {
        let source = GtidSource::Server {
            uuid: *b"\x3e\x11\xfa\x47\x71\xca\x11\xe1\x9e\x33\xc8\x0a\xa9\x42\x95\x62",
            tag: tag.into(),
        };
        Arc::new(EventMeta {
            timestamp_s,
            gtid: Some(Gtid { source, number }),
            coordinate: Coordinate::new("binlog.000001", 4),
            ..(*meta()).clone()
        })
    };
    let events =
        vec![EventRun { end: 1, meta: at(1, 23, "") }, EventRun { end: 3, meta: at(u32::MAX, u64::MAX, "nightly") }];
    let drawn = parse("id:int", "+I 1\n+I 2\n+I 3");
    let batch = ChangeBatch::new(
        drawn.table().clone(),
        drawn.rows().clone(),
        drawn.kinds().to_vec(),
        drawn.sequence().to_vec(),
        events,
    );
    let encoder = CanalJson::new(batch.table(), &CANAL);
    let mut out = ByteStrings::default();
    encoder.encode(&batch, 0, &mut out).unwrap();
    encoder.encode(&batch, 0, &mut out).unwrap();
    let found: Vec<String> = out
        .iter()
        .map(|value| {
            let value: serde_json::Value = serde_json::from_slice(value).unwrap();
            assert!(value["ts"].as_u64().unwrap() > 1_700_000_000_000);
            format!("{} {} {}", value["es"], value["gtid"].as_str().unwrap(), value["id"])
        })
        .collect();
    let first = "1000 3e11fa47-71ca-11e1-9e33-c80aa9429562:23";
    let second = "4294967295000 3e11fa47-71ca-11e1-9e33-c80aa9429562:nightly:18446744073709551615";
    let expected: Vec<String> =
        (1..=2).flat_map(|id| [first, second, second].map(|event| format!("{event} {id}"))).collect();
    assert_eq!(found, expected);
}

#[test]
fn every_type_as_canal_writes_it() {
    let east = CanalOptions { time_zone_offset_s: 3600, ..CANAL };
    let messages = encode(&east, &batch_of_every_type());
    let value = concat!(
        r#"{"data":[{"i1":"-1","u1":"128","u2":"32768","u3":"16777215","u4":"2147483648","u8":"9223372036854775808","#,
        r#""f":"0.5","d":"1.0E-5","n":"-0.01","b":"511","y":"0000","da":"0000-00-00","t":"-01:02:03.45","#,
        r#""dt":"2024-01-02 00:00:03","ts":"1970-01-01 01:00:00.001","c":"日\"","te":"a\tb","#,
        "\"bi\":\"\\u0000\u{ff}\",",
        r#""bl":"\\","e":"1","s":"3","j":"{\"k\": 1}","g":"\u0000\u0000\u0000\u0000\u0001\u0001","v\n":"[1.5]"}],"#,
        r#""database":"a\"b","es":1700000000000,"gtid":"","id":1,"isDdl":false,"#,
        r#""mysqlType":{"i1":"tinyint(1)","u1":"tinyint(3) unsigned","u2":"smallint unsigned","#,
        r#""u3":"mediumint unsigned","u4":"int unsigned","u8":"bigint(20) unsigned zerofill","f":"float","d":"double","#,
        r#""n":"decimal(65,2)","b":"bit(9)","y":"year","da":"date","t":"time(2)","dt":"datetime","ts":"timestamp(3)","#,
        r#""c":"char(3)","te":"text","bi":"binary(2)","bl":"blob","e":"enum('x,y)','z')","s":"set('x,y)','z')","#,
        r#""j":"json","g":"point","v\n":"vector(1)"},"old":null,"pkNames":null,"sql":"","#,
        r#""sqlType":{"i1":-6,"u1":5,"u2":4,"u3":4,"u4":-5,"u8":3,"f":7,"d":8,"n":3,"b":-7,"y":12,"da":91,"t":92,"#,
        r#""dt":93,"ts":93,"c":1,"te":2005,"bi":2004,"bl":2004,"e":4,"s":-7,"j":12,"g":2004,"v\n":12},"#,
        r#""table":"c\\d","ts":1700000000123,"type":"INSERT"}"#
    );
    assert_eq!(messages[0], value);
    assert!(messages[1].starts_with(r#"{"data":[{"i1":null,"u1":null,"u2":null,"#), "{}", messages[1]);
    assert_eq!(
        sql_types(&messages)[1],
        concat!(
            r#"{"i1":-6,"u1":-6,"u2":5,"u3":4,"u4":4,"u8":-5,"f":7,"d":8,"n":3,"b":-7,"y":12,"da":91,"t":92,"#,
            r#""dt":93,"ts":93,"c":1,"te":2005,"bi":2004,"bl":2004,"e":4,"s":2004,"j":1111,"g":2004,"v\n":12}"#
        )
    );
}

#[test]
fn labels_and_base_types_by_option() {
    let options =
        CanalOptions { enum_as: EnumText::Label, set_as: SetText::Labels, mysql_type: MysqlType::Base, ..CANAL };
    let messages = encode(&options, &batch_of_every_type());
    assert!(messages[0].contains(r#""e":"x,y)","s":"x,y),z","#), "{}", messages[0]);
    let base = concat!(
        r#"{"i1":"tinyint","u1":"tinyint unsigned","u2":"smallint unsigned","u3":"mediumint unsigned","#,
        r#""u4":"int unsigned","u8":"bigint unsigned zerofill","f":"float","d":"double","n":"decimal","b":"bit","#,
        r#""y":"year","da":"date","t":"time","dt":"datetime","ts":"timestamp","c":"char","te":"text","bi":"binary","#,
        r#""bl":"blob","e":"enum","s":"set","j":"json","g":"point","v\n":"vector"}"#
    );
    assert!(messages[0].contains(base), "{}", messages[0]);
    for types in sql_types(&messages) {
        assert!(types.contains(r#""e":1,"s":1,"#), "{types}");
    }
}

#[test]
fn primary_key_columns_stand_as_in_the_table() {
    let columns = [("a", SqlType::Char, "char(1)"), ("b", SqlType::Char, "char(1)"), ("c", SqlType::Char, "char(1)")];
    let key = |name: &str, columns: &[usize]| UniqueKey { name: name.into(), columns: columns.to_vec() };
    for (keys, expected) in [
        (vec![key("PRIMARY", &[2, 0]), key("u", &[1])], r#""pkNames":["a","c"],"#),
        (vec![key("u", &[1])], r#""pkNames":null,"#),
    ] {
        let batch = two_rows(table(&columns, keys), &[push!(Bytes: "1"), push!(Bytes: "2"), push!(Bytes: "3")]);
        assert!(encode(&CANAL, &batch)[0].contains(expected));
    }
}

#[test]
fn nothing_that_a_filter_leaves_is_no_message() {
    let none = batch_of_every_type().retain(&arrow::array::BooleanArray::from(vec![false; 2]));
    assert!(encode(&CANAL, &none).is_empty());
    let options = CanalOptions { enum_as: EnumText::Label, set_as: SetText::Labels, ..CANAL };
    assert!(encode(&options, &none).is_empty());
}

#[test]
fn a_failed_batch_leaves_the_output_as_it_was() {
    let good = parse("id:int", "+I 1");
    let columns = [("id", SqlType::Vector, "vector(1)")];
    let bad = two_rows(table(&columns, Vec::new()), &[push!(Bytes: b"x")]);
    let mut out = ByteStrings::default();
    CanalJson::new(good.table(), &CANAL).encode(&good, 0, &mut out).unwrap();
    let (bytes, ends) = (out.bytes.clone(), out.ends.clone());
    let error = CanalJson::new(bad.table(), &CANAL).encode(&bad, 0, &mut out).unwrap_err();
    assert_eq!(error.to_string(), "table a\"b.c\\d, column id: a VECTOR is not a whole number of floats long");
    assert_eq!((out.bytes, out.ends), (bytes, ends));
}
