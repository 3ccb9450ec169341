//! Which Kafka partition does a change go to?
//!
//! Two families of rules built on Java's `String.hashCode`, so that a topic can be taken over from the tool that filled it
//! before, and Kafka's own:
//!
//! ```text
//!               Canal                                     DTS                             murmur2
//! Zero          0                                         0                               0
//! Table         |hash(table)| mod n                       hash(database "." table) mod n
//! PrimaryKey    |hash(database) ^ hash(value) ^ …| mod n  hash(value "," value …) mod n   murmur2(key of the message) mod n
//! Row           as PrimaryKey; without a key, the same over the whole row
//! Columns       the same over the columns named           the same over the columns named
//! ```
//!
//! NULL counts as the empty string. Canal takes the absolute value once before and once after the remainder, since the
//! absolute value of `i32::MIN` is itself. DTS's documents say no more than "hashCode" and "merged": the separators, the
//! order of values (that of the key, or in which the columns are named) and the sign (mod is never negative) are our
//! choice.
//!
//! Without a primary key, DTS's rule falls back to the first unique key of NOT NULL columns, then to partition 0; Canal's
//! puts all rows of the table where the hash of the database says. murmur2 is what Java's producer does with a key: where a message
//! has none, `PrimaryKey` is partition 0, and `Row` hashes the values' texts joined by commas.
//!
//! Rows of a table without any key, spread by `Row`, are their values: an update that changes one is a delete and an insert, and
//! rows that are equal keep their order.
//!
//! A value's text is what [`text`](crate::encode::text) says: for Canal with ENUM and SET as numbers, for DTS with labels,
//! whatever the messages themselves hold. TIMESTAMP is in UTC unless [`Partitioner::with_time_zone`] says otherwise.
//!
//! To a server, texts may be equal whose bytes are not (`a` and `A`). [`PartitionText::Collation`] hashes in their place, as hexadecimal
//! digits, weights that are the same for all of them: an update that changes only the bytes of a key stays in its partition.
//!
//! A change goes where its image after belongs. An update that changes the key would leave the order of the old key to
//! chance; [`Partitioner::key_changed`] finds those, so that they can be split into a delete and an insert.

mod hash;
#[cfg(test)]
mod tests;

use arrow::array::RecordBatch;

use self::hash::{canal_remainder, java_hash, murmur2};
use crate::encode::EncodeError;
use crate::encode::text::{EnumText, SetText, TextColumn, TextOptions};
use crate::key::has_texts_of;
use crate::transform::text_order;
use tidegate_model::message::ByteStrings;
use tidegate_model::{ChangeBatch, Column, SqlType, Table, TableName};
use tidegate_sql::TextOrder;

/// What decides about the partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionPolicy {
    /// Everything goes to partition 0.
    Zero,
    /// All rows of a table go to one partition.
    Table,
    /// Rows with the same primary key go to one partition.
    PrimaryKey,
    /// Rows with the same key go to one partition; of a table without any, rows that are equal.
    Row,
    /// Rows with the same values in these columns go to one partition.
    Columns(Vec<String>),
}

/// Whose rule turns it into a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionHash {
    Dts,
    Canal,
    /// Of the key of the message, as Java's producer does it.
    Murmur2,
}

impl PartitionHash {
    /// As a task file has them.
    pub const WORDS: &[(&str, Self)] =
        &[("dts", PartitionHash::Dts), ("canal", PartitionHash::Canal), ("murmur2", PartitionHash::Murmur2)];
}

/// What of text is hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartitionText {
    #[default]
    Bytes,
    /// The weights that its column's collation gives it.
    Collation,
}

impl PartitionText {
    /// As a task file has them.
    pub const WORDS: &[(&str, Self)] = &[("bytes", PartitionText::Bytes), ("collation", PartitionText::Collation)];
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartitionError {
    #[error(
        "\"{column}\" of table {table} decides about the partition, and how {collation} compares it is not known here"
    )]
    UnknownCollation { table: TableName, column: String, collation: String },
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
    /// Those that make the key of the message.
    key: Vec<usize>,
    hash: PartitionHash,
    /// Where the message has a key, that is hashed.
    by_key: bool,
    text: TextOptions,
    /// How each of the columns compares where that is hashed, in their order; empty where bytes are.
    orders: Vec<TextOrder>,
    count: i32,
}

#[derive(Clone, Copy, Debug)]
enum Rule {
    Always(i32),
    /// The values' texts joined by commas.
    Joined,
    /// The values' hashes and this one, combined by XOR.
    Xor(i32),
    /// The key of the message.
    Key,
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
        let by_key =
            hash == PartitionHash::Murmur2 && matches!(policy, PartitionPolicy::PrimaryKey | PartitionPolicy::Row);
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
            (PartitionPolicy::PrimaryKey, PartitionHash::Murmur2) => Vec::new(),
            (PartitionPolicy::Row, _) if table.key().is_empty() => (0..table.columns().len()).collect(),
            (PartitionPolicy::Row, _) => table.key().to_vec(),
            (PartitionPolicy::Zero | PartitionPolicy::Table, _) => Vec::new(),
        };
        let rule = match (policy, hash) {
            (PartitionPolicy::Zero, _) => Rule::Always(0),
            (PartitionPolicy::Table, _) => Rule::Always(partition_of_table(target, hash, count)),
            (_, PartitionHash::Canal) => Rule::Xor(java_hash(0, target.database.as_bytes())),
            (_, PartitionHash::Dts | PartitionHash::Murmur2) if key.is_empty() => Rule::Always(0),
            (_, PartitionHash::Dts | PartitionHash::Murmur2) => Rule::Joined,
        };
        let (enum_as, set_as) = match hash {
            PartitionHash::Canal => (EnumText::Index, SetText::Bits),
            PartitionHash::Dts | PartitionHash::Murmur2 => (EnumText::Label, SetText::Labels),
        };
        let text = TextOptions { enum_as, set_as, time_zone_offset_s: 0 };
        Ok(Partitioner {
            table: table.clone(),
            rule,
            columns: key,
            key: Vec::new(),
            hash,
            by_key,
            text,
            orders: Vec::new(),
            count,
        })
    }

    /// These columns make the key of the message: an update that changes one of them is split.
    pub fn with_key(mut self, columns: Vec<usize>) -> Partitioner {
        if self.by_key && !columns.is_empty() {
            self.rule = Rule::Key;
        }
        self.key = columns;
        self
    }

    /// Hashes of text what this says.
    pub fn with_text(mut self, text: PartitionText) -> Result<Partitioner, PartitionError> {
        if text == PartitionText::Bytes || !matches!(self.rule, Rule::Joined | Rule::Xor(_)) {
            return Ok(self);
        }
        let mut orders = Vec::with_capacity(self.columns.len());
        for column in self.hashed() {
            // Labels of ENUM and SET have one form each.
            let order = match column.sql_type {
                SqlType::Char | SqlType::VarChar | SqlType::Text => text_order(column),
                _ => TextOrder::Bytes,
            };
            if let TextOrder::Unknown(collation) = &order {
                let collation = if collation.is_empty() { "its collation" } else { collation.as_ref() }.to_owned();
                let (table, column) = (self.table.name().clone(), column.name.clone());
                return Err(PartitionError::UnknownCollation { table, column, collation });
            }
            orders.push(order);
        }
        self.orders = orders;
        Ok(self)
    }

    /// A column of which texts that are equal on the server may be in several partitions, and its collation.
    pub fn scatters_texts(&self) -> Option<(String, String)> {
        if self.count == 1 || !self.orders.is_empty() || !matches!(self.rule, Rule::Joined | Rule::Xor(_) | Rule::Key) {
            return None;
        }
        let hashed = if self.hashes_keys() { &self.key } else { &self.columns };
        hashed.iter().map(|&index| &self.table.columns()[index]).find_map(|column| {
            match (&column.sql_type, text_order(column)) {
                (SqlType::Char | SqlType::VarChar | SqlType::Text, TextOrder::Collation(order))
                    if !order.is_identity() =>
                {
                    Some((column.name.clone(), order.name().to_owned()))
                }
                // Nobody says that it compares bytes.
                (SqlType::Char | SqlType::VarChar | SqlType::Text, TextOrder::Unknown(name)) if !name.is_empty() => {
                    Some((column.name.clone(), name.to_string()))
                }
                _ => None,
            }
        })
    }

    /// Hashes TIMESTAMP text in this time zone, in seconds east of UTC. Canal takes that of its own machine.
    pub fn with_time_zone(mut self, offset_s: i32) -> Partitioner {
        self.text.time_zone_offset_s = offset_s;
        self
    }

    /// The columns that decide about the partition of a row, by index.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Whether the same row goes where it went by `before`, of another version of the table, as far as names and types of columns tell: a
    /// column that only has another name is the same.
    pub fn places_as(&self, before: &Partitioner) -> bool {
        let rules = match (self.rule, before.rule) {
            (Rule::Always(partition), Rule::Always(other)) => partition == other,
            (rule, other) => std::mem::discriminant(&rule) == std::mem::discriminant(&other),
        };
        let is_renamed = |new: &str, old: &str| {
            new == old || (self.table.column_index(old).is_none() && before.table.column_index(new).is_none())
        };
        let is_same =
            |new: &Column, old: &Column| is_renamed(&new.name, &old.name) && has_texts_of(&old.sql_type, &new.sql_type);
        let mut pairs = self.hashed().zip(before.hashed());
        self.count == 1
            || (rules
                && self.orders == before.orders
                && self.columns.len() == before.columns.len()
                && pairs.all(|(new, old)| is_same(new, old)))
    }

    /// The columns that decide about the partition of a row.
    pub fn hashed(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().map(|&index| &self.table.columns()[index])
    }

    /// The same by their names.
    pub fn hashed_names(&self) -> impl Iterator<Item = &str> {
        self.hashed().map(|column| column.name.as_str())
    }

    /// Whether keys decide, for [`Partitioner::partitions_of_keys`].
    pub fn hashes_keys(&self) -> bool {
        matches!(self.rule, Rule::Key)
    }

    /// A column that decides about the partition of messages and is not in their key: those of one key may be in several partitions,
    /// where nobody can tell which of them is the last.
    pub fn scatters_keys(&self) -> Option<&str> {
        let beside = self.columns.iter().find(|column| !self.key.contains(column)).filter(|_| !self.key.is_empty())?;
        matches!(self.rule, Rule::Joined | Rule::Xor(_)).then(|| self.table.columns()[*beside].name.as_str())
    }

    /// Appends the partition of each key.
    pub fn partitions_of_keys(&self, keys: &ByteStrings, out: &mut Vec<i32>) {
        out.extend(keys.iter().map(|key| murmur2(key) % self.count));
    }

    /// Appends one partition per change of `batch`, in the order of [`ChangeBatch::changes`]; none where keys decide.
    pub fn partitions(&self, batch: &ChangeBatch, out: &mut Vec<i32>) -> Result<(), EncodeError> {
        match self.rule {
            Rule::Always(partition) => {
                out.extend(batch.changes().map(|_| partition));
                return Ok(());
            }
            Rule::Key => return Ok(()),
            Rule::Joined | Rule::Xor(_) => {}
        }
        let columns = self.bind(batch.rows())?;
        out.reserve(batch.kinds().len());
        let mut text = Vec::new();
        for change in batch.changes() {
            out.push(match (self.rule, self.hash) {
                (Rule::Always(_) | Rule::Key, _) => unreachable!("they read no columns"),
                (Rule::Joined, PartitionHash::Murmur2) => {
                    text.clear();
                    for (index, column) in columns.iter().enumerate() {
                        if index > 0 {
                            text.push(b',');
                        }
                        if !column.is_null(change.row) {
                            column.write(change.row, &mut text);
                        }
                    }
                    murmur2(&text) % self.count
                }
                (Rule::Joined, PartitionHash::Dts | PartitionHash::Canal) => {
                    let mut hash = 0;
                    for (index, column) in columns.iter().enumerate() {
                        if index > 0 {
                            hash = java_hash(hash, b",");
                        }
                        hash = self.hash_value(hash, index, column, change.row, &mut text);
                    }
                    hash.rem_euclid(self.count)
                }
                (Rule::Xor(start), _) => {
                    let mut hash = start;
                    for (index, column) in columns.iter().enumerate() {
                        hash ^= self.hash_value(0, index, column, change.row, &mut text);
                    }
                    canal_remainder(hash, self.count)
                }
            });
        }
        Ok(())
    }

    /// The hash of what came before and of a value, given by its place among the columns: of its text, or of its weights in hexadecimal
    /// digits, which are many more bytes and stand nowhere.
    fn hash_value(&self, hash: i32, index: usize, column: &TextColumn, row: usize, text: &mut Vec<u8>) -> i32 {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        if column.is_null(row) {
            return hash;
        }
        text.clear();
        column.write(row, text);
        match self.orders.get(index) {
            Some(TextOrder::Collation(collation)) if !collation.is_identity() => {
                let text = str::from_utf8(text).expect("the text of a value is UTF-8");
                let mut hash = hash;
                collation.each_of_key(text, |bytes| {
                    for byte in bytes {
                        hash = java_hash(hash, &[byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
                    }
                });
                hash
            }
            _ => java_hash(hash, text),
        }
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

    /// Whether an update, given by the row of its image before, changes a column that is hashed, that identifies the row, or that is
    /// in the key of its message. For [`ChangeBatch::split_updates`].
    pub fn key_changed(&self) -> impl Fn(&RecordBatch, usize) -> bool {
        let mut columns = self.columns.clone();
        for &column in self.table.key().iter().chain(&self.key) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
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
        PartitionPolicy::Zero | PartitionPolicy::PrimaryKey | PartitionPolicy::Row | PartitionPolicy::Columns(_) => 0,
    }
}

fn partition_of_table(table: &TableName, hash: PartitionHash, count: i32) -> i32 {
    // As it is, not as it is shown.
    let name = || format!("{}.{}", table.database, table.table);
    match hash {
        PartitionHash::Canal => canal_remainder(java_hash(0, table.table.as_bytes()), count),
        PartitionHash::Dts => java_hash(0, name().as_bytes()).rem_euclid(count),
        PartitionHash::Murmur2 => murmur2(name().as_bytes()) % count,
    }
}
