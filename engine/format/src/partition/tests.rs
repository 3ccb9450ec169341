//! Rows in, partitions out; Java says the same.

use super::*;
use tidegate_model::pretty::{draw, parse};
use tidegate_model::{Column, SqlType, TableParts, UniqueKey};

#[test]
fn hashes_equal_javas() {
    for line in include_str!("../../../../tests/golden/java/string_hashes.txt").lines().filter(|l| !l.starts_with('#'))
    {
        let (hash, hex) = line.split_once(" x").unwrap();
        let pairs = hex.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
        let text: Vec<u8> = pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        assert_eq!(java_hash(0, &text).to_string(), hash);
    }
}

#[test]
fn hashes_equal_their_slow_twin() {
    for length in 0..100 {
        let text: String = (0..length).map(|_| fastrand::char(..)).collect();
        let ascii: String = (0..length).map(|_| fastrand::char(' '..'~')).collect();
        for text in [text, ascii] {
            let slow = |start: i32| {
                text.encode_utf16().fold(start, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit as i32))
            };
            assert_eq!(java_hash(0, text.as_bytes()), slow(0));
            assert_eq!(java_hash(77, text.as_bytes()), slow(77));
        }
    }
}

fn named(batch: ChangeBatch, database: &str, table: &str) -> ChangeBatch {
    let mut parts = TableParts::from(Table::clone(batch.table()));
    parts.name = TableName::new(database, table);
    let rows = batch.rows().clone();
    batch.with_rows(Table::from(parts).into(), rows)
}

fn partitions(policy: PartitionPolicy, hash: PartitionHash, batch: &ChangeBatch, count: u32) -> Vec<i32> {
    let mut out = Vec::new();
    Partitioner::new(policy, hash, batch.table(), batch.table().name(), count)
        .unwrap()
        .partitions(batch, &mut out)
        .unwrap();
    out
}

#[test]
fn canals_rule_gives_canals_partitions() {
    let golden = include_str!("../../../../tests/golden/java/canal_partitions.txt");
    for line in golden.lines().filter(|line| !line.starts_with('#')) {
        let [count, database, table, key, by_table, by_key] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("six fields: {line}")
        };
        let values: Vec<&str> = key.split(' ').map(|value| if value == "." { "_" } else { value }).collect();
        let names: Vec<String> = (0..values.len()).map(|index| format!("c{index}")).collect();
        let header: Vec<String> = names.iter().map(|name| format!("{name}:text")).collect();
        let batch = named(parse(&header.join(" "), &format!("+I {}", values.join(" "))), database, table);
        let count = count.parse().unwrap();
        let check = |policy, expected: &str| {
            assert_eq!(
                partitions(policy, PartitionHash::Canal, &batch, count),
                [expected.parse::<i32>().unwrap()],
                "{line}"
            );
        };
        check(PartitionPolicy::Table, by_table);
        check(PartitionPolicy::Columns(names), by_key);
    }
}

fn check(policy: PartitionPolicy, hash: PartitionHash, drawing: &str, expected: &[i32]) {
    let batch = named(parse("id:int name:text", drawing), "shop", "orders");
    assert_eq!(partitions(policy, hash, &batch, 12), expected);
}

#[test]
fn dts_rule_hashes_the_key() {
    let key = |names: &[&str]| PartitionPolicy::Columns(names.iter().map(|&name| name.to_owned()).collect());
    let drawing = "
        ** 1 a
        -U 1 a
        +U 1 b
        -U 1 _
        +U 2 b
        -D 10 _";
    let hash = |text: &str| java_hash(0, text.as_bytes()).rem_euclid(12);
    check(PartitionPolicy::PrimaryKey, PartitionHash::Dts, drawing, &["1", "1", "2", "10"].map(hash));
    check(key(&["NAME", "id"]), PartitionHash::Dts, drawing, &["a,1", "b,1", "b,2", ",10"].map(hash));
    check(PartitionPolicy::Table, PartitionHash::Dts, drawing, &["shop.orders"; 4].map(hash));
    check(PartitionPolicy::Zero, PartitionHash::Dts, drawing, &[0; 4]);
    assert!((1..1000).all(|n| (0..12).contains(&hash(&"x".repeat(n)))));
}

#[test]
fn without_a_primary_key_there_is_a_fallback() {
    let batch = named(parse("id:int name:text", "+I 1 a\n+I 2 b"), "shop", "orders");
    let mut parts = TableParts::from(Table::clone(batch.table()));
    parts.unique_keys[0].name = "by_id".into();
    let rows = batch.rows().clone();
    let unique = batch.clone().with_rows(Table::from(parts.clone()).into(), rows.clone());
    parts.unique_keys.clear();
    let none = batch.with_rows(Table::from(parts).into(), rows);

    let hash = |text: &str| java_hash(0, text.as_bytes()).rem_euclid(12);
    let database = canal_remainder(java_hash(0, b"shop"), 12);
    let by_key = |hash, batch| partitions(PartitionPolicy::PrimaryKey, hash, batch, 12);
    assert_eq!(by_key(PartitionHash::Dts, &unique), ["1", "2"].map(hash));
    assert_eq!(by_key(PartitionHash::Dts, &none), [0, 0]);
    assert_eq!(by_key(PartitionHash::Canal, &unique), [database; 2]);
    assert_eq!(by_key(PartitionHash::Canal, &none), [database; 2]);
}

#[test]
fn an_update_of_the_key_or_of_a_hashed_column_is_split() {
    let batch = parse(
        "id:int name:text note:text",
        "
        -U 1 a x
        +U 2 a x
        -U 1 a x
        +U 1 _ x
        -U 1 a x
        +U 1 a y",
    );
    let by_name = PartitionPolicy::Columns(vec!["name".into()]);
    let by_name = Partitioner::new(by_name, PartitionHash::Dts, batch.table(), batch.table().name(), 4).unwrap();
    let split = batch.clone().split_updates(by_name.key_changed());
    assert_eq!(draw(&split), "-D 1 a x\n+I 2 a x\n-D 1 a x\n+I 1 _ x\n-U 1 a x\n+U 1 a y\n");
    let by_table =
        Partitioner::new(PartitionPolicy::Table, PartitionHash::Dts, batch.table(), batch.table().name(), 4).unwrap();
    let split = batch.split_updates(by_table.key_changed());
    assert_eq!(draw(&split), "-D 1 a x\n+I 2 a x\n-U 1 a x\n+U 1 _ x\n-U 1 a x\n+U 1 a y\n");
}

/// What `org.apache.kafka.common.utils.Utils` says; many more are asked for by `tests/e2e/keyed.rs`.
#[test]
fn keys_are_hashed_as_by_javas_producer() {
    for (key, hash) in [
        ("21", -973932308_i32),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ] {
        assert_eq!(murmur2(key.as_bytes()), hash & 0x7fff_ffff, "{key}");
    }
    let batch = named(parse("id:int name:text", "+I 1 a\n-U 1 a\n+U 1 b"), "shop", "orders");
    let by_key =
        Partitioner::new(PartitionPolicy::PrimaryKey, PartitionHash::Murmur2, batch.table(), batch.table().name(), 7)
            .unwrap();
    // Without a key in the message.
    assert_eq!(
        (by_key.hashes_keys(), partitions(PartitionPolicy::PrimaryKey, PartitionHash::Murmur2, &batch, 7)),
        (false, vec![0, 0])
    );
    let by_key = by_key.with_key(vec![1]);
    let keys = ByteStrings { bytes: b"21foobar".to_vec(), ends: vec![2, 8] };
    let mut out = Vec::new();
    by_key.partitions(&batch, &mut out).unwrap();
    by_key.partitions_of_keys(&keys, &mut out);
    assert_eq!(out, [(-973932308 & i32::MAX) % 7, (-790332482 & i32::MAX) % 7]);
    // Whatever is in the key moves the row.
    assert_eq!(draw(&batch.split_updates(by_key.key_changed())), "+I 1 a\n-D 1 a\n+I 1 b\n");
}

#[test]
fn a_key_is_in_one_partition_if_it_decides() {
    let table = tidegate_model::pretty::table("id:int name:text");
    let scatters = |policy, hash, key: &[usize]| {
        let partitioner = Partitioner::new(policy, hash, &table, table.name(), 3).unwrap().with_key(key.to_vec());
        partitioner.scatters_keys().map(str::to_owned)
    };
    let by_name = || PartitionPolicy::Columns(vec!["name".into()]);
    for hash in [PartitionHash::Dts, PartitionHash::Canal] {
        assert_eq!(scatters(PartitionPolicy::PrimaryKey, hash, &[0]), None);
        assert_eq!(scatters(PartitionPolicy::Zero, hash, &[1]), None);
        assert_eq!(scatters(PartitionPolicy::Table, hash, &[1]), None);
        assert_eq!(scatters(PartitionPolicy::PrimaryKey, hash, &[1]), Some("id".to_owned()));
        assert_eq!(scatters(by_name(), hash, &[0]), Some("name".to_owned()));
        assert_eq!(scatters(by_name(), hash, &[0, 1]), None);
        assert_eq!(scatters(by_name(), hash, &[]), None);
    }
    assert_eq!(scatters(PartitionPolicy::PrimaryKey, PartitionHash::Murmur2, &[1]), None);
}

#[test]
fn rows_without_a_key_are_spread_by_their_values() {
    let batch = named(parse("id:int name:text", "+I 1 a\n+I 1 a\n-U 1 a\n+U 2 _"), "shop", "log");
    let keyed = partitions(PartitionPolicy::Row, PartitionHash::Dts, &batch, 12);
    assert_eq!(keyed, partitions(PartitionPolicy::PrimaryKey, PartitionHash::Dts, &batch, 12));
    let mut parts = TableParts::from(Table::clone(batch.table()));
    parts.unique_keys.clear();
    let rows = batch.rows().clone();
    let batch = batch.with_rows(Table::from(parts).into(), rows);
    let dts = |text: &str| java_hash(0, text.as_bytes()).rem_euclid(12);
    assert_eq!(partitions(PartitionPolicy::Row, PartitionHash::Dts, &batch, 12), ["1,a", "1,a", "2,"].map(dts));
    let kafka = |text: &str| murmur2(text.as_bytes()) % 12;
    assert_eq!(partitions(PartitionPolicy::Row, PartitionHash::Murmur2, &batch, 12), ["1,a", "1,a", "2,"].map(kafka));
    let hash = |text: &str| java_hash(0, text.as_bytes());
    let canal = [hash("1") ^ hash("a"), hash("1") ^ hash("a"), hash("2")];
    let canal = canal.map(|values| canal_remainder(hash("shop") ^ values, 12));
    assert_eq!(partitions(PartitionPolicy::Row, PartitionHash::Canal, &batch, 12), canal);
    let by_row =
        Partitioner::new(PartitionPolicy::Row, PartitionHash::Dts, batch.table(), batch.table().name(), 12).unwrap();
    assert_eq!(draw(&batch.split_updates(by_row.key_changed())), "+I 1 a\n+I 1 a\n-D 1 a\n+I 2 _\n");
}

#[test]
fn the_name_where_rows_go_is_hashed() {
    let batch = parse("id:int name:text", "+I 7 a");
    let partitions = |policy: &PartitionPolicy, hash, source: &str| {
        let (batch, target) = (named(batch.clone(), source, "orders"), TableName::new("crm", "sales"));
        let partitioner = Partitioner::new(policy.clone(), hash, batch.table(), &target, 1000).unwrap();
        let mut out = vec![partition_of_statement(policy, hash, &target, 1000)];
        partitioner.partitions(&batch, &mut out).unwrap();
        out
    };
    for hash in [PartitionHash::Dts, PartitionHash::Canal] {
        for policy in [PartitionPolicy::Table, PartitionPolicy::Columns(vec!["name".into()])] {
            assert_eq!(partitions(&policy, hash, "shop_0"), partitions(&policy, hash, "shop_1"), "{policy:?} {hash:?}");
        }
        let of_table = partitions(&PartitionPolicy::Table, hash, "shop_0");
        assert_eq!(of_table, [partition_of_table(&TableName::new("crm", "sales"), hash, 1000); 2]);
    }
}

/// A table whose key is a text of this collation.
fn keyed_by_text(collation: &str) -> Table {
    let mut parts = TableParts::from(Table::clone(&tidegate_model::pretty::table("name:text id:int")));
    parts.columns[0].sql_type = SqlType::VarChar;
    parts.columns[0].collation = Some(collation.into());
    parts.unique_keys = vec![UniqueKey { name: "PRIMARY".into(), columns: vec![0] }];
    Table::from(parts)
}

#[test]
fn texts_that_are_equal_to_the_server_are_in_one_partition() {
    let rows = parse("name:text id:int", "+I street 1\n+I STREET 2\n+I strêet 3\n+I other 4");
    let of = |collation: &str, hash, text| {
        let table = keyed_by_text(collation);
        let partitioner = Partitioner::new(PartitionPolicy::PrimaryKey, hash, &table, table.name(), 1_000_003)
            .unwrap()
            .with_text(text)
            .unwrap();
        let batch = rows.clone().with_rows(table.clone().into(), rows.rows().clone());
        let mut out = Vec::new();
        partitioner.partitions(&batch, &mut out).unwrap();
        (out, partitioner.scatters_texts().is_some())
    };
    for hash in [PartitionHash::Dts, PartitionHash::Canal] {
        let (bytes, scatters) = of("utf8mb4_0900_ai_ci", hash, PartitionText::Bytes);
        assert!(scatters && bytes[0] != bytes[1] && bytes[0] != bytes[2]);
        let (weights, scatters) = of("utf8mb4_0900_ai_ci", hash, PartitionText::Collation);
        assert!(!scatters && weights[0] == weights[1] && weights[0] == weights[2] && weights[0] != weights[3]);
        let (accents, _) = of("utf8mb4_0900_as_ci", hash, PartitionText::Collation);
        assert!(accents[0] == accents[1] && accents[0] != accents[2]);
        // Where only the bytes count, they are hashed.
        let (binary, scatters) = of("utf8mb4_0900_bin", hash, PartitionText::Bytes);
        assert_eq!((binary, false), of("utf8mb4_0900_bin", hash, PartitionText::Collation));
        assert!(!scatters);
    }
    let table = keyed_by_text("utf8mb4_tr_0900_ai_ci");
    let partitioner =
        Partitioner::new(PartitionPolicy::PrimaryKey, PartitionHash::Dts, &table, table.name(), 7).unwrap();
    let error = partitioner.with_text(PartitionText::Collation).unwrap_err().to_string();
    assert!(error.contains("utf8mb4_tr_0900_ai_ci") && error.contains("\"name\""), "{error}");
    // Another collation moves the keys.
    let of = |collation: &str| {
        let table = keyed_by_text(collation);
        let partitioner =
            Partitioner::new(PartitionPolicy::PrimaryKey, PartitionHash::Dts, &table, table.name(), 7).unwrap();
        partitioner.with_text(PartitionText::Collation).unwrap()
    };
    assert!(of("utf8mb4_0900_ai_ci").places_as(&of("utf8mb4_0900_ai_ci")));
    assert!(!of("utf8mb4_0900_ai_ci").places_as(&of("utf8mb4_0900_as_ci")));
}

#[test]
fn a_wrong_setting_is_refused() {
    let table = tidegate_model::pretty::table("id:int");
    let unknown = PartitionPolicy::Columns(vec!["nmae".into()]);
    let error = Partitioner::new(unknown, PartitionHash::Canal, &table, table.name(), 1).unwrap_err();
    assert_eq!(error.to_string(), "table db.t has no column \"nmae\" to partition by");
    for count in [0, 1 << 31] {
        let error =
            Partitioner::new(PartitionPolicy::Zero, PartitionHash::Dts, &table, table.name(), count).unwrap_err();
        assert_eq!(error, PartitionError::Count { count });
    }
}

#[test]
fn rows_go_on_where_they_went_or_not() {
    let int = || SqlType::Int { bytes: 4, unsigned: false };
    let typed = |columns: &[(&str, SqlType)], key: Vec<usize>, count| {
        let columns = columns.iter().map(|(name, sql_type)| Column {
            name: (*name).into(),
            sql_type: sql_type.clone(),
            type_text: String::new(),
            nullable: false,
            charset: None,
            collation: None,
        });
        let table = Table::from(TableParts {
            name: TableName::new("d", "t"),
            version: 1,
            columns: columns.collect(),
            unique_keys: vec![UniqueKey { name: "PRIMARY".into(), columns: key }],
        });
        Partitioner::new(PartitionPolicy::PrimaryKey, PartitionHash::Dts, &table, table.name(), count).unwrap()
    };
    let partitioner = |columns: &[&str], key, count| {
        typed(&columns.iter().map(|&name| (name, int())).collect::<Vec<_>>(), key, count)
    };
    let before = partitioner(&["a", "b"], vec![0], 3);
    for (columns, key, is_same) in [
        (&["a", "b"][..], vec![0], true),
        (&["new", "a", "b"], vec![1], true),
        (&["renamed", "b"], vec![0], true),
        (&["a", "b"], vec![1], false),
        (&["a", "new"], vec![1], false),
        (&["b", "new"], vec![0], false),
        (&["a", "b"], vec![0, 1], false),
    ] {
        assert_eq!(partitioner(columns, key.clone(), 3).places_as(&before), is_same, "{columns:?} {key:?}");
    }
    assert!(partitioner(&["a", "b"], vec![1], 1).places_as(&partitioner(&["a", "b"], vec![0], 1)));
    // What is hashed is the text of a value.
    let of_type = |sql_type: SqlType| typed(&[("a", sql_type)], vec![0], 3);
    let labels = |labels: &[&str]| SqlType::Enum { labels: labels.iter().map(|&label| label.to_owned()).collect() };
    for (before, now, is_same) in [
        (int(), SqlType::Int { bytes: 8, unsigned: true }, true),
        (SqlType::Char, SqlType::VarChar, true),
        (SqlType::DateTime { fraction: 0 }, SqlType::DateTime { fraction: 3 }, false),
        (SqlType::Decimal { precision: 10, scale: 2 }, SqlType::Decimal { precision: 12, scale: 4 }, false),
        (labels(&["a"]), labels(&["a", "b"]), true),
        (labels(&["a"]), labels(&["b", "a"]), false),
    ] {
        assert_eq!(of_type(now.clone()).places_as(&of_type(before.clone())), is_same, "{before:?} {now:?}");
    }
}

#[test]
fn enum_values_hash_as_numbers_for_canal_and_as_labels_for_dts() {
    let labels: std::sync::Arc<[String]> = std::sync::Arc::from(["red".to_owned(), "blue".to_owned()]);
    let mut parts = TableParts::from(Table::clone(&tidegate_model::pretty::table("id:int")));
    parts.columns[0].sql_type = SqlType::Enum { labels };
    let table = std::sync::Arc::new(Table::from(parts));
    let mut builder = tidegate_model::RowsBuilder::new(&table);
    let tidegate_model::Values::U16(values) = &mut builder.columns[0].values else { panic!("ENUM is stored as u16") };
    values.push(2);
    builder.columns[0].append_valid();
    let rows = RecordBatch::try_new(table.schema().clone(), builder.finish().unwrap()).unwrap();
    let batch = parse("id:int", "+I 1").with_rows(table, rows);
    let by_key = |hash| partitions(PartitionPolicy::PrimaryKey, hash, &batch, 1000);
    assert_eq!(by_key(PartitionHash::Dts), [java_hash(0, b"blue").rem_euclid(1000)]);
    assert_eq!(by_key(PartitionHash::Canal), [canal_remainder(java_hash(0, b"db") ^ java_hash(0, b"2"), 1000)]);
}

/// Java itself, and Kafka's own classes, over random and over nasty values: `tests/oracles/Partitions.java`.
#[test]
fn java_finds_the_same_partitions() {
    let Some(jars) = tidegate_tests::variable("TIDEGATE_TEST_KAFKA_JARS") else { return };
    // Hash codes of the first three are Integer.MIN_VALUE; the next two have the same.
    let nasty =
        ["polygenelubricants", "GydZG_", "DESIGNING WORKHOUSES", "Aa", "BB", "", ",", "\\", "0", "-1", "\u{0}", "😀 é"];
    let mut rng = fastrand::Rng::new();
    let seed = rng.get_seed();
    println!("seed {seed}");
    let value = |rng: &mut fastrand::Rng| -> Option<String> {
        match rng.u8(..8) {
            0 => None,
            1 | 2 => Some(nasty[rng.usize(..nasty.len())].to_owned()),
            3 => Some(rng.i64(..).to_string()),
            _ => Some(
                (0..rng.usize(..20)).map(|_| if rng.bool() { rng.char('a'..='z') } else { rng.char(..) }).collect(),
            ),
        }
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (mut questions, mut ours, mut row) = (String::new(), Vec::new(), 0);
    for count in [1, 2, 3, 5, 7, 12, 16, 64, 100, 1000, 4096, i32::MAX as u32] {
        for columns in 1..4 {
            let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
            let header = names.iter().map(|name| format!("{name}:text")).collect::<Vec<_>>().join(" ");
            for _ in 0..30 {
                row += 1;
                let name = value(&mut rng).unwrap_or_default();
                let values: Vec<Option<String>> = (0..columns).map(|_| value(&mut rng)).collect();
                let mut parts = TableParts::from(Table::clone(&tidegate_model::pretty::table(&header)));
                parts.name = TableName::new("shop", &name);
                if row % 2 == 0 {
                    parts.unique_keys.clear();
                } else {
                    parts.unique_keys[0].columns = (0..columns).collect();
                }
                let batch = one_row(Table::from(parts), &values);
                let texts: Vec<String> =
                    values.iter().map(|value| value.as_ref().map_or(".".into(), |text| hex(text.as_bytes()))).collect();
                let mut ask = |rule: &str, partition: i32, values: &[String]| {
                    let database = hex(b"shop");
                    questions +=
                        &format!("{rule}\t{count}\t{database}\t{}\t{}\n", hex(name.as_bytes()), values.join("\t"));
                    ours.push(partition);
                };
                for (hash, of_table, of_values) in
                    [(PartitionHash::Dts, "dts table", "dts"), (PartitionHash::Canal, "canal table", "canal")]
                {
                    ask(of_table, partitions(PartitionPolicy::Table, hash, &batch, count)[0], &texts);
                    let columns = PartitionPolicy::Columns(names.clone());
                    ask(of_values, partitions(columns, hash, &batch, count)[0], &texts);
                    ask(of_values, partitions(PartitionPolicy::Row, hash, &batch, count)[0], &texts);
                }
                let kafka = Partitioner::new(
                    PartitionPolicy::Row,
                    PartitionHash::Murmur2,
                    batch.table(),
                    batch.table().name(),
                    count,
                )
                .unwrap();
                if batch.table().key().is_empty() {
                    let mut partition = Vec::new();
                    kafka.partitions(&batch, &mut partition).unwrap();
                    ask("murmur2 row", partition[0], &texts);
                }
                let key = values.iter().flatten().map(String::as_str).collect::<Vec<_>>().concat().into_bytes();
                let keys = ByteStrings { ends: vec![key.len()], bytes: key };
                let mut partition = Vec::new();
                kafka.with_key(vec![0]).partitions_of_keys(&keys, &mut partition);
                ask("murmur2", partition[0], &[hex(keys.get(0))]);
            }
        }
    }
    let answers = tidegate_tests::java_partitions(&jars, &questions);
    assert_eq!(answers.len(), ours.len());
    for ((question, answer), ours) in questions.lines().zip(answers).zip(ours) {
        assert_eq!(ours, answer, "{question}");
    }
}

fn one_row(table: Table, values: &[Option<String>]) -> ChangeBatch {
    let mut builder = tidegate_model::RowsBuilder::new(&table);
    for (column, value) in builder.columns.iter_mut().zip(values) {
        let Some(value) = value else {
            column.append_null();
            continue;
        };
        let tidegate_model::Values::Bytes { data, offsets } = &mut column.values else { panic!("text is bytes") };
        tidegate_model::builder::push_bytes(data, offsets, value.as_bytes());
        column.append_valid();
    }
    let rows = RecordBatch::try_new(table.schema().clone(), builder.finish().unwrap()).unwrap();
    parse("a:text", "+I x").with_rows(table.into(), rows)
}
