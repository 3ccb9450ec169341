//! Which Kafka partition does a change go to?
//!
//! Two families of rules, both built on Java's `String.hashCode`, so that a topic can be taken over from the tool that
//! filled it before:
//!
//! ```text
//!               Canal                                            DTS
//! Zero          0                                                0
//! Table         |hash(table)| mod n                              hash(database "." table) mod n
//! PrimaryKey    |hash(database) ^ hash(value) ^ …| mod n         hash(value "," value …) mod n
//! Columns       the same over the columns named                  the same over the columns named
//! ```
//!
//! NULL counts as the empty string. Canal takes the absolute value once before and once after the remainder, since the
//! absolute value of `i32::MIN` is itself. DTS's documents say no more than "hashCode" and "merged": the separators, the
//! order of values (that of the key, or in which the columns are named) and the sign (mod is never negative) are our
//! choice.
//!
//! Without a primary key, DTS's rule falls back to the first unique key of NOT NULL columns, then to partition 0; Canal's
//! puts all rows of the table where the hash of the database says.
//!
//! A value's text is what [`text`](crate::encode::text) says: for Canal with ENUM and SET as numbers, for DTS with labels,
//! whatever the messages themselves hold. TIMESTAMP is in UTC unless [`Partitioner::with_time_zone`] says otherwise.
//!
//! A change goes where its image after belongs. An update that changes the key would leave the order of the old key to
//! chance; [`Partitioner::key_changed`] finds those, so that they can be split into a delete and an insert.

use arrow::array::RecordBatch;

use crate::encode::EncodeError;
use crate::encode::text::{EnumText, SetText, TextColumn, TextOptions};
use tidegate_model::{ChangeBatch, Table, TableName};

/// What decides about the partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionPolicy {
    /// Everything goes to partition 0.
    Zero,
    /// All rows of a table go to one partition.
    Table,
    /// Rows with the same primary key go to one partition.
    PrimaryKey,
    /// Rows with the same values in these columns go to one partition.
    Columns(Vec<String>),
}

/// Whose rule turns it into a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionHash {
    Dts,
    Canal,
}

impl PartitionHash {
    /// As a task file has them.
    pub const WORDS: &[(&str, Self)] = &[("dts", PartitionHash::Dts), ("canal", PartitionHash::Canal)];
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartitionError {
    #[error("table {table} has no column \"{column}\" to partition by")]
    UnknownColumn { table: TableName, column: String },
    #[error("{count} partitions: must be 1 to 2147483647")]
    Count { count: u32 },
}

/// A policy bound to one table version.
#[derive(Clone, Debug)]
pub struct Partitioner {
    table: Table,
    rule: Rule,
    /// Columns that are hashed, by index.
    columns: Vec<usize>,
    text: TextOptions,
    count: i32,
}

#[derive(Clone, Copy, Debug)]
enum Rule {
    Always(i32),
    /// The values' texts joined by commas.
    Joined,
    /// The values' hashes and this one, combined by XOR.
    Xor(i32),
}

impl Partitioner {
    /// `table` is the table as the source has it: batches are given to [`Partitioner::partitions`] before columns are
    /// dropped or renamed. `target` is what it is called where it goes: what consumers read is what they can hash, and rows of tables
    /// that share a name share its order.
    pub fn new(
        policy: PartitionPolicy,
        hash: PartitionHash,
        table: &Table,
        target: &TableName,
        partition_count: u32,
    ) -> Result<Partitioner, PartitionError> {
        let count = match i32::try_from(partition_count) {
            Ok(count @ 1..) => count,
            _ => return Err(PartitionError::Count { count: partition_count }),
        };
        let name = table.name();
        let key = match (&policy, hash) {
            (PartitionPolicy::Columns(names), _) => {
                let mut columns = Vec::with_capacity(names.len());
                for column in names {
                    let index = table
                        .column_index(column)
                        .ok_or_else(|| PartitionError::UnknownColumn { table: name.clone(), column: column.clone() })?;
                    // Twice the same would cancel out in Canal's rule.
                    if !columns.contains(&index) {
                        columns.push(index);
                    }
                }
                columns
            }
            (PartitionPolicy::PrimaryKey, PartitionHash::Dts) => table.key().to_vec(),
            (PartitionPolicy::PrimaryKey, PartitionHash::Canal) => table.primary_key().unwrap_or_default().to_vec(),
            (PartitionPolicy::Zero | PartitionPolicy::Table, _) => Vec::new(),
        };
        let rule = match (policy, hash) {
            (PartitionPolicy::Zero, _) => Rule::Always(0),
            (PartitionPolicy::Table, _) => Rule::Always(partition_of_table(target, hash, count)),
            (_, PartitionHash::Canal) => Rule::Xor(java_hash(0, target.database.as_bytes())),
            (_, PartitionHash::Dts) if key.is_empty() => Rule::Always(0),
            (_, PartitionHash::Dts) => Rule::Joined,
        };
        let (enum_as, set_as) = match hash {
            PartitionHash::Canal => (EnumText::Index, SetText::Bits),
            PartitionHash::Dts => (EnumText::Label, SetText::Labels),
        };
        let text = TextOptions { enum_as, set_as, time_zone_offset_s: 0 };
        Ok(Partitioner { table: table.clone(), rule, columns: key, text, count })
    }

    /// Hashes TIMESTAMP text in this time zone, in seconds east of UTC. Canal takes that of its own machine.
    pub fn with_time_zone(mut self, offset_s: i32) -> Partitioner {
        self.text.time_zone_offset_s = offset_s;
        self
    }

    /// Appends one partition per change of `batch`, in the order of [`ChangeBatch::changes`].
    pub fn partitions(&self, batch: &ChangeBatch, out: &mut Vec<i32>) -> Result<(), EncodeError> {
        if let Rule::Always(partition) = self.rule {
            out.extend(batch.changes().map(|_| partition));
            return Ok(());
        }
        let columns = self.bind(batch.rows())?;
        out.reserve(batch.kinds().len());
        let mut text = Vec::new();
        for change in batch.changes() {
            out.push(match self.rule {
                Rule::Always(partition) => partition,
                Rule::Joined => {
                    text.clear();
                    for (index, column) in columns.iter().enumerate() {
                        if index > 0 {
                            text.push(b',');
                        }
                        write_value(column, change.row, &mut text);
                    }
                    java_hash(0, &text).rem_euclid(self.count)
                }
                Rule::Xor(start) => {
                    let mut hash = start;
                    for column in &columns {
                        text.clear();
                        write_value(column, change.row, &mut text);
                        hash ^= java_hash(0, &text);
                    }
                    canal_remainder(hash, self.count)
                }
            });
        }
        Ok(())
    }

    fn bind<'a>(&'a self, rows: &'a RecordBatch) -> Result<Vec<TextColumn<'a>>, EncodeError> {
        let bind = |&index: &usize| {
            let column = &self.table.columns()[index];
            TextColumn::bind(rows.column(index), &column.sql_type, &self.text).map_err(|error| EncodeError {
                table: self.table.name().clone(),
                column: column.name.clone(),
                reason: error.to_string(),
            })
        };
        self.columns.iter().map(bind).collect()
    }

    /// Whether an update, given by the row of its image before, changes a column that is hashed or that identifies the
    /// row. For [`ChangeBatch::split_updates`].
    pub fn key_changed(&self) -> impl Fn(&RecordBatch, usize) -> bool {
        let mut columns = self.columns.clone();
        columns.extend(self.table.key().iter().filter(|column| !self.columns.contains(column)));
        move |rows, row| {
            columns.iter().any(|&index| {
                let column = &self.table.columns()[index];
                match TextColumn::bind(rows.column(index), &column.sql_type, &self.text) {
                    Ok(column) => !column.same(row, row + 1),
                    // Such a column is refused when it is hashed or encoded.
                    Err(_) => true,
                }
            })
        }
    }
}

/// Where a statement about a table goes, by what the table is called there: with its rows if they are all in one partition, else to
/// partition 0.
pub fn partition_of_statement(
    policy: &PartitionPolicy,
    hash: PartitionHash,
    table: &TableName,
    partition_count: u32,
) -> i32 {
    match policy {
        PartitionPolicy::Table => {
            let count = i32::try_from(partition_count).unwrap_or(i32::MAX).max(1);
            partition_of_table(table, hash, count)
        }
        PartitionPolicy::Zero | PartitionPolicy::PrimaryKey | PartitionPolicy::Columns(_) => 0,
    }
}

fn partition_of_table(table: &TableName, hash: PartitionHash, count: i32) -> i32 {
    match hash {
        PartitionHash::Canal => canal_remainder(java_hash(0, table.table.as_bytes()), count),
        PartitionHash::Dts => java_hash(0, table.to_string().as_bytes()).rem_euclid(count),
    }
}

fn write_value(column: &TextColumn, row: usize, out: &mut Vec<u8>) {
    if !column.is_null(row) {
        column.write(row, out);
    }
}

/// Canal's remainder: `abs(abs(hash) % count)` in Java's wrapping arithmetic.
fn canal_remainder(hash: i32, count: i32) -> i32 {
    (hash.wrapping_abs() % count).abs()
}

/// Goes on with Java's `String.hashCode` from the hash of what came before: 31·h + u over the units of UTF-16.
fn java_hash(mut hash: i32, utf8: &[u8]) -> i32 {
    // Eight steps in one: h·31⁸ + u₀·31⁷ + … + u₇. The products do not wait for each other.
    const POWERS: [i32; 9] = {
        let mut powers = [1_i32; 9];
        let mut exponent = 1;
        while exponent < 9 {
            powers[exponent] = powers[exponent - 1].wrapping_mul(31);
            exponent += 1;
        }
        powers
    };
    let step = |hash: i32, unit: u32| hash.wrapping_mul(31).wrapping_add(unit as i32);
    if utf8.is_ascii() {
        let (blocks, rest) = utf8.as_chunks::<8>();
        for block in blocks {
            let mut sum = hash.wrapping_mul(POWERS[8]);
            for (index, &byte) in block.iter().enumerate() {
                sum = sum.wrapping_add((byte as i32).wrapping_mul(POWERS[7 - index]));
            }
            hash = sum;
        }
        return rest.iter().fold(hash, |hash, &byte| step(hash, byte.into()));
    }
    let text = str::from_utf8(utf8).expect("the text of a value is UTF-8");
    text.encode_utf16().fold(hash, |hash, unit| step(hash, unit.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::pretty::{draw, parse};
    use tidegate_model::{SqlType, TableParts};

    #[test]
    fn hashes_equal_javas() {
        for line in include_str!("../../../tests/golden/java/string_hashes.txt").lines().filter(|l| !l.starts_with('#'))
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
        let golden = include_str!("../../../tests/golden/java/canal_partitions.txt");
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
            Partitioner::new(PartitionPolicy::Table, PartitionHash::Dts, batch.table(), batch.table().name(), 4)
                .unwrap();
        let split = batch.split_updates(by_table.key_changed());
        assert_eq!(draw(&split), "-D 1 a x\n+I 2 a x\n-U 1 a x\n+U 1 _ x\n-U 1 a x\n+U 1 a y\n");
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
                assert_eq!(
                    partitions(&policy, hash, "shop_0"),
                    partitions(&policy, hash, "shop_1"),
                    "{policy:?} {hash:?}"
                );
            }
            let of_table = partitions(&PartitionPolicy::Table, hash, "shop_0");
            assert_eq!(of_table, [partition_of_table(&TableName::new("crm", "sales"), hash, 1000); 2]);
        }
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
    fn enum_values_hash_as_numbers_for_canal_and_as_labels_for_dts() {
        let labels: std::sync::Arc<[String]> = std::sync::Arc::from(["red".to_owned(), "blue".to_owned()]);
        let mut parts = TableParts::from(Table::clone(&tidegate_model::pretty::table("id:int")));
        parts.columns[0].sql_type = SqlType::Enum { labels };
        let table = std::sync::Arc::new(Table::from(parts));
        let mut builder = tidegate_model::RowsBuilder::new(&table);
        let tidegate_model::Values::U16(values) = &mut builder.columns[0].values else {
            panic!("ENUM is stored as u16")
        };
        values.push(2);
        builder.columns[0].append_valid();
        let rows = RecordBatch::try_new(table.schema().clone(), builder.finish().unwrap()).unwrap();
        let batch = parse("id:int", "+I 1").with_rows(table, rows);
        let by_key = |hash| partitions(PartitionPolicy::PrimaryKey, hash, &batch, 1000);
        assert_eq!(by_key(PartitionHash::Dts), [java_hash(0, b"blue").rem_euclid(1000)]);
        assert_eq!(by_key(PartitionHash::Canal), [canal_remainder(java_hash(0, b"db") ^ java_hash(0, b"2"), 1000)]);
    }
}
