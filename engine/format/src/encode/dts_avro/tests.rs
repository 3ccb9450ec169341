use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;

use super::readable::Reader;
use super::*;
use crate::encode::MarkEncoder;
use crate::encode::samples::{batch_of_every_type, push, table, two_rows};
use tidegate_model::pretty::parse;
use tidegate_model::{Mark, MarkKind, SqlType, Statement, StatementKind, TableParts, UniqueKey};

const LABELS: AvroOptions = AvroOptions { enum_as: EnumText::Label, set_as: SetText::Labels };

fn encode(options: &AvroOptions, batch: &ChangeBatch) -> Vec<Vec<u8>> {
    let encoder = DtsAvro::new(batch.table(), options, "8.0.28").with_clock(|| 1_700_000_000_123);
    let mut out = ByteStrings::default();
    encoder.encode(batch, 3, &mut out).unwrap();
    out.iter().map(<[u8]>::to_vec).collect()
}

fn readable(options: &AvroOptions, batch: &ChangeBatch) -> Vec<String> {
    let reader = Reader::new();
    encode(options, batch).iter().map(|datum| reader.readable(datum).unwrap()).collect()
}

/// What readers of DTS's topics compare: its own programs carry this constant.
#[test]
fn the_schema_has_the_fingerprint_that_dts_has() {
    let schema = Schema::parse_str(SCHEMA).unwrap();
    assert_eq!(schema.canonical_form().len(), 3987);
    assert_eq!(schema.fingerprint::<Rabin>().bytes, [0x78, 0xc4, 0xc4, 0x79, 0x67, 0x16, 0xeb, 0xae]);
}

/// A datum that another encoder wrote and DTS's own readers have read.
#[test]
fn an_insert_is_the_golden_datum() {
    let mut parts = TableParts::from(Table::clone(&tidegate_model::pretty::table("id:int v:text")));
    parts.unique_keys.truncate(1);
    let batch = parse("id:int v:text", "+I 7 a");
    assert_eq!(
        golden(&encode(&LABELS, &batch)[0], 3, &["pk_uk_info"]),
        concat!(
            "000680c49fd50c0a31303040310a31303040310230000c382e302e323800020864622e74000214706b5f756b5f696e666f247b22505249",
            "4d415259223a5b226964225d7d000404046964100276fa030000040402100237040e757466386d623402610080c49fd50c"
        )
    );
}

/// The golden data have fewer tags, one position, and small numbers: as `apache-avro` writes the datum with those.
fn golden(datum: &[u8], id: i64, kept: &[&str]) -> String {
    let mut value = Reader::new().read(datum).unwrap();
    let Value::Record(fields) = &mut value else { panic!("not a record") };
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("id", value) => *value = Value::Long(id),
            ("sourcePosition" | "safeSourcePosition", Value::String(position)) => *position = "100@1".to_owned(),
            ("tags", Value::Map(tags)) => tags.retain(|key, _| kept.contains(&key.as_str())),
            _ => {}
        }
    }
    let schema = Schema::parse_str(SCHEMA).unwrap();
    let mut datum = Vec::new();
    GenericDatumWriter::builder(&schema).build().unwrap().write_value_ref(&mut datum, &value).unwrap();
    datum.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encode_mark(kind: MarkKind, table: Option<&TableName>) -> Vec<u8> {
    let meta = tidegate_model::EventMeta { thread_id: 1, ..(*tidegate_model::pretty::meta()).clone() };
    let mut out = ByteStrings::default();
    AvroMarks::new("8.0.28").encode(&Mark { kind, sequence: 0, meta: meta.into() }, table, 2, &mut out);
    assert!(out.get(0).len() > 48, "readers take it for a keep-alive");
    out.get(0).to_vec()
}

#[test]
fn marks_are_the_golden_data() {
    assert_eq!(
        golden(&encode_mark(MarkKind::Begin, None), 1, &["thread_id"]),
        concat!(
            "000280c49fd50c0a31303040310a31303040310230000c382e302e32380800000212",
            "7468726561645f696402310000000080c49fd50c"
        )
    );
    let table = TableName::new("db", "t");
    let statement = Statement {
        kind: StatementKind::Alter,
        tables: vec![table.clone()],
        sql: "ALTER TABLE t ADD c INT".into(),
        default_database: "db".into(),
    };
    assert_eq!(
        golden(&encode_mark(MarkKind::Statement(statement), Some(&table)), 2, &[]),
        concat!(
            "000480c49fd50c0a31303040310a31303040310230000c382e302e3238060204646200000000022e414c544552205441424c4520742041444420",
            "6320494e5480c49fd50c"
        )
    );
    for (kind, operation) in [(MarkKind::Commit, "COMMIT"), (MarkKind::Heartbeat, "HEARTBEAT")] {
        let text = Reader::new().readable(&encode_mark(kind, None)).unwrap();
        assert!(text.starts_with(&format!("{operation} null  id 2  at 1700000000")), "{text}");
    }
}

/// Byte by byte what an independent encoder makes of the same value, so that no other form of a datum slips in.
#[test]
fn every_datum_is_what_apache_avro_writes() {
    let schema = Schema::parse_str(SCHEMA).unwrap();
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    let reader = Reader::new();
    let updates = parse("id:int name:text", "** 1 a\n-U 1 a\n+U 1 _\n-D 1 _");
    for batch in [batch_of_every_type(), updates] {
        for datum in encode(&LABELS, &batch) {
            let mut again = Vec::new();
            let value = reader.read(&datum).unwrap();
            writer.write_value_ref(&mut again, &value).unwrap();
            // The order of a map is the writer's choice; all else is one form.
            assert_eq!(again.len(), datum.len());
            assert_eq!(reader.read(&again).unwrap(), value);
        }
    }
}

#[test]
fn changes_and_their_images() {
    let batch = parse("id:int name:text", "** 1 a\n+I 2 _\n-U 2 _\n+U 2 b\n-D 2 b");
    let records = readable(&LABELS, &batch);
    let head = |operation: &str, id: u32| {
        format!("{operation} db.t  id {id}  at 1700000000  position 4@1  safe 4@1  MySQL 8.0.28")
    };
    let tags = r#"  tags metaVersion=2133810220 pk_uk_info={"PRIMARY":["id"]} readerThroughoutTime=1700000000123 server_id=1 thread_id=0"#;
    let expected = [
        (head("INIT", 3), "Integer(8) 1", "Character(utf8mb4) \"a\""),
        (head("INSERT", 5), "Integer(8) 2", "null"),
        (head("UPDATE", 7), "Integer(8) 2  Integer(8) 2", "null          Character(utf8mb4) \"b\""),
        (head("DELETE", 9), "Integer(8) 2", "Character(utf8mb4) \"b\""),
    ];
    for (record, (head, id, name)) in records.iter().zip(expected) {
        assert_eq!(record, &format!("{head}\n{tags}\n  id      8  {id}\n  name  253  {name}"));
    }
}

#[test]
fn every_type_and_its_image() {
    let records = readable(&LABELS, &batch_of_every_type());
    let columns = records[0].split_once("thread_id=0\n").unwrap().1;
    let expected = r#"
  i1    1  Integer(1) -1
  u1    1  Integer(1) 128
  u2    2  Integer(2) 32768
  u3    9  Integer(3) 16777215
  u4    3  Integer(4) 2147483648
  u8    8  Integer(8) 9223372036854775808
  f     4  Float(0,0) 0.5
  d     5  Float(0,0) 1e-5
  n   246  Decimal(1,2) -0.01
  b    16  Integer(2) 511
  y    13  DateTime 0 null null null null null null
  da   10  DateTime 0 0 0 null null null null
  t    11  DateTime null null null -1 -2 -3 -450000
  dt   12  DateTime 2024 1 2 0 0 3 0
  ts    7  Timestamp 0 1500
  c   254  Character(utf8mb4) "日\""
  te   15  Character(utf8mb4) "a\tb"
  bi  252  Binary(BINARY) x00ff
  bl  252  Binary(BLOB) x5c
  e   247  TextObject(ENUM) x,y)
  s   248  TextObject(SET) x,y),z
  j   245  TextObject(JSON) {"k": 1}
  g   255  Binary(GEOMETRY) x0101
  v
  252  Binary(BLOB) x0000c03f"#;
    assert_eq!(columns, expected.trim_start_matches('\n'));
    assert_eq!(records[1].matches("null").count(), batch_of_every_type().table().columns().len());
}

#[test]
fn labels_may_be_numbers() {
    let numbers = AvroOptions { enum_as: EnumText::Index, set_as: SetText::Bits };
    let record = &readable(&numbers, &batch_of_every_type())[0];
    assert!(record.contains("TextObject(ENUM) 1") && record.contains("TextObject(SET) 3"), "{record}");
}

fn images(sql_type: SqlType, push: &dyn Fn(&mut tidegate_model::Values)) -> String {
    let record = &readable(&LABELS, &two_rows(table(&[("c", sql_type, "")], Vec::new()), &[push]))[0];
    record.rsplit_once("  ").unwrap().1.to_owned()
}

#[test]
fn decimals_count_their_digits_as_java_does() {
    let decimal = |unscaled: i128, scale| images(SqlType::Decimal { precision: 38, scale }, push!(I128: unscaled));
    assert_eq!(decimal(34_800, 2), "Decimal(5,2) 348.00");
    assert_eq!(decimal(111, 2), "Decimal(3,2) 1.11");
    assert_eq!(decimal(11, 0), "Decimal(2,0) 11");
    assert_eq!(decimal(5, 2), "Decimal(1,2) 0.05");
    assert_eq!(decimal(0, 2), "Decimal(1,2) 0.00");
    assert_eq!(decimal(-1050, 2), "Decimal(4,2) -10.50");
}

#[test]
fn values_at_their_ends() {
    let digits = "9".repeat(65);
    assert_eq!(
        images(
            SqlType::Decimal { precision: 65, scale: 30 },
            push!(I256: digits.parse::<arrow::datatypes::i256>().unwrap())
        ),
        format!("Decimal(65,30) {}.{}", &digits[..35], &digits[35..])
    );
    assert_eq!(
        images(SqlType::Time { fraction: 6 }, push!(I64: -3_020_398_999_999)),
        "DateTime null null null -838 -59 -58 -999999"
    );
    assert_eq!(images(SqlType::Time { fraction: 6 }, push!(I64: -1)), "DateTime null null null 0 0 0 -1");
    assert_eq!(
        images(SqlType::Timestamp { fraction: 0 }, push!(I64: tidegate_model::types::ZERO_DATETIME)),
        "Timestamp 0 0"
    );
    assert_eq!(images(SqlType::Float, push!(F32: 1_234_567.9)), "Float(0,0) 1234567.875");
    let mut point = 4326_u32.to_le_bytes().to_vec();
    point.extend([1, 1]);
    assert_eq!(images(SqlType::Geometry, push!(Bytes: point)), "Binary(GEOMETRY;SRID=4326) x0101");
    let long = "é".repeat(10_000);
    assert_eq!(images(SqlType::Text, push!(Bytes: long)), format!("Character(utf8mb4) {long:?}"));
}

#[test]
fn names_and_keys_are_written_for_those_who_split_them() {
    let key = |name: &str, columns: &[usize]| UniqueKey { name: name.into(), columns: columns.to_vec() };
    let columns = [("a", SqlType::Char, "char(1)"), ("b", SqlType::Char, "char(1)")];
    let keyed = table(&columns, vec![key("PRIMARY", &[1, 0]), key("u", &[1])]);
    let mut parts = TableParts::from(Table::clone(&keyed));
    parts.name = TableName::new("x.y", "z");
    let batch = two_rows(Table::from(parts).into(), &[push!(Bytes: "1"), push!(Bytes: "2")]);
    let record = &readable(&LABELS, &batch)[0];
    assert!(record.starts_with(r"INSERT x\u002Ey.z  id 3  "), "{record}");
    assert!(record.contains(r#" pk_uk_info={"PRIMARY":["b","a"],"u":["b"]} "#), "{record}");
}

#[test]
fn the_version_of_a_table_follows_its_fields_and_keys() {
    let version = |header: &str, drawing: &str| {
        let record = readable(&LABELS, &parse(header, drawing)).remove(0);
        record.split_once("metaVersion=").unwrap().1.split_once(' ').unwrap().0.parse::<u32>().unwrap()
    };
    let first = version("id:int a:text", "+I 1 a");
    assert_eq!(first, version("id:int a:text", "+I 2 _"));
    assert_ne!(first, version("id:int b:text", "+I 1 a"));
    assert_ne!(first, version("id:int a:double", "+I 1 1"));
}

#[test]
fn both_halves_of_a_split_update_have_numbers_of_their_own() {
    let batch = parse("id:int", "+I 1\n-U 1\n+U 2\n+I 3").split_updates(|_, _| true);
    let records = readable(&LABELS, &batch);
    let ids: Vec<&str> = records.iter().map(|record| record.split("  ").nth(1).unwrap()).collect();
    assert_eq!(ids, ["id 3", "id 5", "id 6", "id 7"]);
}

#[test]
fn nothing_that_a_filter_leaves_is_no_record() {
    let none = batch_of_every_type().retain(&arrow::array::BooleanArray::from(vec![false; 2]));
    assert!(encode(&LABELS, &none).is_empty());
}

#[test]
fn a_failed_batch_leaves_the_output_as_it_was() {
    let good = parse("id:int", "+I 1");
    let bad = two_rows(table(&[("g", SqlType::Geometry, "point")], Vec::new()), &[push!(Bytes: b"xyz")]);
    let mut out = ByteStrings::default();
    DtsAvro::new(good.table(), &LABELS, "8").encode(&good, 0, &mut out).unwrap();
    let (bytes, ends) = (out.bytes.clone(), out.ends.clone());
    let error = DtsAvro::new(bad.table(), &LABELS, "8").encode(&bad, 0, &mut out).unwrap_err();
    assert_eq!(error.to_string(), "table a\"b.c\\d, column g: a GEOMETRY is shorter than its SRID");
    assert_eq!((out.bytes, out.ends), (bytes, ends));
}

/// What the reader in place finds is what `apache-avro` finds, for every type, operation and mark; cut anywhere, it is no datum.
#[test]
fn a_datum_is_read_in_place() {
    use super::datum::{Datum, Operation, image_text};
    let batch = batch_of_every_type();
    let data = encode(&LABELS, &batch);
    for datum in &data {
        let read = Datum::read(datum).expect("a datum");
        assert_eq!(read.operation, Operation::Insert);
        assert_eq!(read.object, object_name(batch.table().name()));
        let names: Vec<&str> = batch.table().columns().iter().map(|column| column.name.as_str()).collect();
        assert_eq!(read.columns, names);
        // The images, one behind the other, are what stands in the datum.
        let images = read.after.expect("images").concat();
        assert!(datum.windows(images.len()).any(|window| window == images));
        assert!((0..datum.len()).all(|end| Datum::read(&datum[..end]).is_none()));
    }
    let update = encode(&LABELS, &parse("id:int v:text", "-U 7 a\n+U 7 b\n-D 8 _\n** 9 c"));
    assert_eq!(Datum::read(&update[2]).unwrap().operation, Operation::Init);
    let read = Datum::read(&update[0]).unwrap();
    let texts =
        |images: Option<Vec<&[u8]>>| images.map(|images| images.into_iter().map(image_text).collect::<Vec<_>>());
    let some = |text: &str| Some(text.to_owned());
    assert_eq!((read.operation, texts(read.before)), (Operation::Update, Some(vec![some("7"), some("a")])));
    assert_eq!(texts(read.after), Some(vec![some("7"), some("b")]));
    let read = Datum::read(&update[1]).unwrap();
    assert_eq!(
        (read.operation, texts(read.before), read.after),
        (Operation::Delete, Some(vec![some("8"), None]), None)
    );
}
