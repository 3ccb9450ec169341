//! How fast do changes become messages? One core, initial rows of TPC-H's widest table.
//!
//! ```text
//! cargo bench -p tidegate-format --bench encode [rounds]
//! ```
//!
//! The best round counts: on a machine that does other things too, all noise is on one side.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use arrow::array::RecordBatch;
use fastrand::Rng;
use tidegate_format::encode::Encoder;
use tidegate_format::encode::canal_json::{CanalJson, CanalOptions, InitialType, MysqlType, OldColumns};
use tidegate_format::encode::dts_avro::{AvroOptions, DtsAvro, SCHEMA};
use tidegate_format::encode::text::{EnumText, SetText};
use tidegate_format::partition::{PartitionHash, PartitionPolicy, Partitioner};
use tidegate_model::builder::push_bytes;
use tidegate_model::message;
use tidegate_model::types::date_from_parts;
use tidegate_model::{
    ChangeBatch, Column, Coordinate, EventMeta, EventRun, RowKind, RowsBuilder, SqlType, Table, TableName, TableParts,
    UniqueKey, Values,
};

/// Even: pairs of them make updates.
const ROWS: usize = 8192;

fn main() {
    let rounds: usize = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(200);
    let batch = lineitem();
    let options = CanalOptions {
        initial_type: InitialType::Insert,
        enum_as: EnumText::Index,
        set_as: SetText::Bits,
        mysql_type: MysqlType::Full,
        old: OldColumns::Changed,
        time_zone_offset_s: 0,
    };
    measure_encoder("canal_json", &CanalJson::new(batch.table(), &options), rounds, &batch);
    let options = AvroOptions { enum_as: EnumText::Label, set_as: SetText::Labels };
    let dts_avro = DtsAvro::new(batch.table(), &options, "9.7.4");
    measure_encoder("dts_avro", &dts_avro, rounds, &batch);
    measure_apache_avro(&dts_avro, rounds, &batch);

    let by_key =
        Partitioner::new(PartitionPolicy::PrimaryKey, PartitionHash::Dts, batch.table(), batch.table().name(), 12);
    let by_key = by_key.expect("the table has a key");
    let mut partitions = Vec::new();
    measure("partition by primary key", rounds, 0, || {
        partitions.clear();
        by_key.partitions(&batch, &mut partitions).expect("every value has a text");
        black_box(&partitions);
    });
}

fn measure_encoder(name: &str, encoder: &dyn Encoder, rounds: usize, batch: &ChangeBatch) {
    let mut out = message::ByteStrings::default();
    let encode = |batch: &ChangeBatch, out: &mut message::ByteStrings| {
        encoder.encode(batch, 1_700_000_000_000_000, out).expect("every value has a form");
    };
    encode(batch, &mut out);
    println!("{}", String::from_utf8_lossy(out.get(0)));
    let byte_count = out.bytes.len();
    measure(&format!("{name}, buffer used again"), rounds, byte_count, || {
        out.truncate(0);
        encode(batch, &mut out);
        black_box(&out);
    });
    measure(&format!("{name}, new buffer"), rounds, byte_count, || {
        let mut out = message::ByteStrings::default();
        encode(batch, &mut out);
        black_box(&out);
    });
    let updates = updates(batch);
    out.truncate(0);
    encode(&updates, &mut out);
    let byte_count = out.bytes.len();
    measure(&format!("{name}, updates (2 rows each)"), rounds, byte_count, || {
        out.truncate(0);
        encode(&updates, &mut out);
        black_box(&out);
    });
    let single: Vec<ChangeBatch> = (0..ROWS).map(|row| batch_of(batch, batch.rows().slice(row, 1))).collect();
    measure(&format!("{name}, one row per batch"), rounds, byte_count, || {
        out.truncate(0);
        for batch in &single {
            encode(batch, &mut out);
        }
        black_box(&out);
    });
}

/// The peer: the same records by `apache-avro`, from values that stand ready.
fn measure_apache_avro(encoder: &DtsAvro, rounds: usize, batch: &ChangeBatch) {
    let mut out = message::ByteStrings::default();
    encoder.encode(batch, 1, &mut out).expect("every value has a form");
    let schema = apache_avro::Schema::parse_str(SCHEMA).expect("the schema is a constant");
    let reader = GenericDatumReader::builder(&schema).build().expect("a reader");
    let values: Vec<_> = out.iter().map(|mut datum| reader.read_value(&mut datum).expect("a datum")).collect();
    let writer = GenericDatumWriter::builder(&schema).validate(false).build().expect("a writer");
    let mut bytes = Vec::new();
    measure("dts_avro by apache-avro", rounds.min(10), out.bytes.len(), || {
        bytes.clear();
        for value in &values {
            writer.write_value_ref(&mut bytes, value).expect("a value of the schema");
        }
        black_box(&bytes);
    });
    assert_eq!(bytes.len(), out.bytes.len());
}

fn batch_of(batch: &ChangeBatch, rows: RecordBatch) -> ChangeBatch {
    let row_count = rows.num_rows();
    let events = vec![EventRun { end: row_count, meta: batch.events()[0].meta.clone() }];
    let kinds = vec![RowKind::Initial; row_count];
    ChangeBatch::new(batch.table().clone(), rows, kinds, (0..row_count as u32).collect(), events)
}

/// Each pair of rows as the two images of an update.
fn updates(batch: &ChangeBatch) -> ChangeBatch {
    let kinds = [RowKind::UpdateBefore, RowKind::UpdateAfter].repeat(ROWS / 2);
    let sequence = batch.sequence().iter().map(|number| number / 2).collect();
    ChangeBatch::new(batch.table().clone(), batch.rows().clone(), kinds, sequence, batch.events().to_vec())
}

fn measure(name: &str, rounds: usize, byte_count: usize, mut run: impl FnMut()) {
    let best = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    println!(
        "{name:32} {:6.2} M rows/s  {:7.1} MB/s  {:5.0} ns/row",
        ROWS as f64 / best / 1e6,
        byte_count as f64 / best / 1e6,
        best / ROWS as f64 * 1e9
    );
}

fn lineitem() -> ChangeBatch {
    let int = || SqlType::Int { bytes: 4, unsigned: false };
    let bigint = || SqlType::Int { bytes: 8, unsigned: false };
    let decimal = || SqlType::Decimal { precision: 15, scale: 2 };
    let columns = [
        ("l_orderkey", bigint(), "bigint"),
        ("l_partkey", bigint(), "bigint"),
        ("l_suppkey", int(), "int"),
        ("l_linenumber", int(), "int"),
        ("l_quantity", decimal(), "decimal(15,2)"),
        ("l_extendedprice", decimal(), "decimal(15,2)"),
        ("l_discount", decimal(), "decimal(15,2)"),
        ("l_tax", decimal(), "decimal(15,2)"),
        ("l_returnflag", SqlType::Char, "char(1)"),
        ("l_linestatus", SqlType::Char, "char(1)"),
        ("l_shipdate", SqlType::Date, "date"),
        ("l_commitdate", SqlType::Date, "date"),
        ("l_receiptdate", SqlType::Date, "date"),
        ("l_shipinstruct", SqlType::Char, "char(25)"),
        ("l_shipmode", SqlType::Char, "char(10)"),
        ("l_comment", SqlType::VarChar, "varchar(44)"),
    ];
    let columns = columns.map(|(name, sql_type, type_text)| Column {
        name: name.into(),
        sql_type,
        type_text: type_text.into(),
        nullable: false,
        charset: None,
        collation: None,
    });
    let table = Arc::new(Table::from(TableParts {
        name: TableName::new("tpch", "lineitem"),
        version: 1,
        columns: columns.to_vec(),
        unique_keys: vec![UniqueKey { name: "PRIMARY".into(), columns: vec![0, 3] }],
    }));

    let mut rng = Rng::with_seed(1);
    let mut builder = RowsBuilder::new(&table);
    for row in 0..ROWS {
        for (index, column) in builder.columns.iter_mut().enumerate() {
            match &mut column.values {
                Values::I64(values) if index == 0 => values.push(6_000_000 + row as i64 / 4),
                Values::I64(values) => values.push(rng.i64(1..200_000)),
                Values::I32(values) if index == 2 => values.push(rng.i32(1..10_000)),
                Values::I32(values) if index == 3 => values.push(row as i32 % 4 + 1),
                Values::I32(values) => {
                    values.push(date_from_parts(rng.u32(1992..1999), rng.u32(1..13), rng.u32(1..29)))
                }
                Values::I128(values) => values.push(match index {
                    4 => rng.i128(1..51) * 100,
                    5 => rng.i128(90_000..10_500_000),
                    _ => rng.i128(0..10),
                }),
                Values::Bytes { data, offsets } => {
                    let text = match index {
                        8 => ["R", "A", "N"][rng.usize(0..3)],
                        9 => ["O", "F"][rng.usize(0..2)],
                        13 => ["DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN"][rng.usize(0..4)],
                        14 => ["REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB"][rng.usize(0..7)],
                        _ => &"egular courts above the furiously even packages"[..rng.usize(10..44)],
                    };
                    push_bytes(data, offsets, text.as_bytes());
                }
                other => unreachable!("no such column: {other:?}"),
            }
            column.append_valid();
        }
    }
    let columns = builder.finish().expect("the values are valid");
    let rows = RecordBatch::try_new(table.schema().clone(), columns).expect("columns match the table");
    let coordinate = Coordinate::new("binlog.000001", 4);
    let meta = Arc::new(EventMeta {
        timestamp_s: 1_700_000_000,
        server_id: 1,
        thread_id: 0,
        transaction: coordinate.clone(),
        coordinate,
        gtid: None,
    });
    let sequence = (0..ROWS as u32).collect();
    ChangeBatch::new(table, rows, vec![RowKind::Initial; ROWS], sequence, vec![EventRun { end: ROWS, meta }])
}
