//! A table like TPC-H's lineitem, generated as a Parquet data set.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::*;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::{DemoError, io};
use tidegate_model::types::date_from_parts;
use tidegate_model::{Column, SqlType, Table, TableName, TableParts, UniqueKey};
use tidegate_parquet::TABLE_KEY;

/// The generated table's files, each written by a thread of its own and so the same on every machine.
pub(super) const GENERATED_FILES: u64 = 4;

/// Writes a table like lineitem as `tpch.lineitem/part-*.parquet`: the same rows every time.
pub(crate) fn generate(folder: &Path, rows: u64) -> Result<(), DemoError> {
    let folder = folder.join("tpch.lineitem");
    std::fs::create_dir_all(&folder).map_err(io(format!("create {}", folder.display())))?;
    let table = lineitem();
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..GENERATED_FILES)
            .map(|part| {
                let (folder, table) = (&folder, &table);
                let range = part * rows / GENERATED_FILES..(part + 1) * rows / GENERATED_FILES;
                scope.spawn(move || generate_part(&folder.join(format!("part-{part}.parquet")), table, range))
            })
            .collect();
        parts.into_iter().try_for_each(|part| part.join().expect("generating does not panic"))
    })
}

pub(super) fn lineitem() -> Table {
    let int = |bytes| SqlType::Int { bytes, unsigned: false };
    let money = SqlType::Decimal { precision: 15, scale: 2 };
    let columns: Vec<(&str, SqlType, &str)> = vec![
        ("l_orderkey", int(8), "bigint"),
        ("l_partkey", int(4), "int"),
        ("l_suppkey", int(4), "int"),
        ("l_linenumber", int(4), "int"),
        ("l_quantity", money.clone(), "decimal(15,2)"),
        ("l_extendedprice", money.clone(), "decimal(15,2)"),
        ("l_discount", money.clone(), "decimal(15,2)"),
        ("l_tax", money, "decimal(15,2)"),
        ("l_returnflag", SqlType::Char, "char(1)"),
        ("l_linestatus", SqlType::Char, "char(1)"),
        ("l_shipdate", SqlType::Date, "date"),
        ("l_commitdate", SqlType::Date, "date"),
        ("l_receiptdate", SqlType::Date, "date"),
        ("l_shipinstruct", SqlType::Char, "char(25)"),
        ("l_shipmode", SqlType::Char, "char(10)"),
        ("l_comment", SqlType::VarChar, "varchar(44)"),
    ];
    let column = |(name, sql_type, type_text): (&str, SqlType, &str)| Column {
        name: name.to_owned(),
        charset: sql_type.is_text().then(|| "utf8mb4".to_owned()),
        collation: sql_type.is_text().then(|| "binary".into()),
        sql_type,
        type_text: type_text.to_owned(),
        nullable: false,
    };
    Table::from(TableParts {
        name: TableName::new("tpch", "lineitem"),
        version: 1,
        columns: columns.into_iter().map(column).collect(),
        unique_keys: vec![UniqueKey { name: "PRIMARY".to_owned(), columns: vec![0, 3] }],
    })
}

pub(super) fn generate_part(path: &Path, table: &Table, rows: std::ops::Range<u64>) -> Result<(), DemoError> {
    const BATCH: u64 = 16_384;
    let definition = serde_json::to_string(&TableParts::from(table.clone())).expect("tables are JSON");
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(65_536))
        .set_key_value_metadata(Some(vec![KeyValue::new(TABLE_KEY.to_owned(), definition)]))
        .build();
    let file = File::create(path).map_err(io(format!("create {}", path.display())))?;
    let mut writer = ArrowWriter::try_new(file, table.schema().clone(), Some(properties))?;
    let mut random = Random(rows.start);
    for start in rows.clone().step_by(BATCH as usize) {
        let columns = lineitem_columns(start..(start + BATCH).min(rows.end), &mut random);
        let batch = RecordBatch::try_new(table.schema().clone(), columns).expect("columns are those of the table");
        writer.write(&batch)?;
    }
    writer.close()?;
    Ok(())
}

pub(super) fn lineitem_columns(rows: std::ops::Range<u64>, random: &mut Random) -> Vec<ArrayRef> {
    const WORDS: &str = "carefully final deposits sleep quickly above the furiously regular accounts, blithely ironic packages nag \
        across the slyly bold requests; express theodolites wake along the quiet ideas, pending foxes haggle even asymptotes";
    let count = (rows.end - rows.start) as usize;
    let money = |values: Vec<i128>| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(15, 2).expect("15 digits are fewer than 38"))
    };
    let mut ints = |below: u64| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values((0..count).map(|_| random.below(below) as i32 + 1)))
    };
    let (parts, suppliers) = (ints(200_000), ints(10_000));
    let quantities: Vec<i128> = (0..count).map(|_| i128::from(random.below(50)) + 1).collect();
    let prices = quantities.iter().map(|quantity| quantity * (90_000 + i128::from(random.below(120_000)))).collect();
    let discounts = (0..count).map(|_| i128::from(random.below(11))).collect();
    let taxes = (0..count).map(|_| i128::from(random.below(9))).collect();
    let mut one_of = |words: &[&str]| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..count).map(|_| words[random.below(words.len() as u64) as usize])))
    };
    let (flags, states) = (one_of(&["A", "N", "R"]), one_of(&["F", "O"]));
    let instructions = one_of(&["COLLECT COD", "DELIVER IN PERSON", "NONE", "TAKE BACK RETURN"]);
    let modes = one_of(&["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"]);
    let first_day = date_from_parts(1992, 1, 2);
    let shipped: Vec<i32> = (0..count).map(|_| first_day + random.below(2_500) as i32).collect();
    let mut later = |days: u64| -> ArrayRef {
        Arc::new(Date32Array::from_iter_values(shipped.iter().map(|day| day + random.below(days) as i32)))
    };
    let (committed, received) = (later(60), later(30));
    let comments = StringArray::from_iter_values((0..count).map(|_| {
        let length = 10 + random.below(34) as usize;
        let start = random.below((WORDS.len() - length) as u64) as usize;
        &WORDS[start..start + length]
    }));
    vec![
        // Four lines per order, and gaps between orders as in the original.
        Arc::new(Int64Array::from_iter_values(rows.clone().map(|row| {
            let order = row / 4;
            (order / 8 * 32 + order % 8 + 1) as i64
        }))),
        parts,
        suppliers,
        Arc::new(Int32Array::from_iter_values(rows.map(|row| (row % 4) as i32 + 1))),
        money(quantities.iter().map(|quantity| quantity * 100).collect()),
        money(prices),
        money(discounts),
        money(taxes),
        flags,
        states,
        Arc::new(Date32Array::from(shipped)),
        committed,
        received,
        instructions,
        modes,
        Arc::new(comments),
    ]
}

/// SplitMix64: numbers that look random and are the same every time.
pub(super) struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * u128::from(limit)) >> 64) as u64
    }
}
