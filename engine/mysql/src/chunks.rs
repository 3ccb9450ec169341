//! Cuts a table by key into chunks that several connections read at once.
//!
//! ```text
//! key        … 3 7 8 9 │ 20 21 22 │ 950 951 999 …
//!                      ▲          ▲
//! chunk          0     │    1     │     2              [lower, upper): the first has no lower border, the last no upper
//! ```
//!
//! How borders are found depends on the first column of the key.
//!
//! *Integers* are cut by arithmetic, without reading rows. The span from the smallest to the largest is divided evenly,
//! and the server estimates each part from its index (`EXPLAIN`, which costs a few page reads whatever the size): a part
//! that holds too much is divided again, neighbours that hold little are joined. A span of which more than half is there is cut
//! without further questions, where the column is unique: a part holds no more rows than it is wide. A single value far out costs some
//! divisions of nothing. The other columns of a composite key are looked at only
//! where one value of the first has too many rows.
//!
//! *Other keys* have no arithmetic: the server walks the index and names every n-th key.
//!
//! ```text
//! span       3 ──────────────────────────────────── 999
//! divided    3 ─────── 252 ─────── 501 ─────── 750 ──── 999
//! estimated       7           0           0         3       joined: [3, 750) [750, …)
//! ```
//!
//! Estimates decide only how even the chunks are. Together they always hold every key there is or ever will be, because
//! each begins where the one before it ends.

mod cut;
mod prober;
mod sql;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::collation::AsciiOrder;
use tidegate_model::{SqlType, Table};

pub(crate) use cut::{border_after, cut};
pub(crate) use prober::ServerProber;
pub(crate) use sql::{find_index, force_index};

/// How the server orders the values of a key column, as far as it can be repeated here.
///
/// Two columns of the same order have comparable [`KeyValue`]s; a changed column has perhaps another order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyOrder {
    /// Integers of all widths, BIT and YEAR.
    Integer,
    /// Unscaled, so that `12.50` is 1250.
    Decimal { scale: u8 },
    /// The digits packed as `year << 9 | month << 5 | day`: orders impossible dates as the server does.
    Date,
    /// Packed date `<< 37`, plus the microsecond of the day.
    DateTime,
    /// As [`KeyOrder::DateTime`], in UTC.
    Timestamp,
    /// Microseconds.
    Time,
    /// Byte by byte.
    Bytes,
    /// By a collation, or otherwise not known here: only the server can compare.
    Server,
}

impl KeyOrder {
    pub fn of(sql_type: &SqlType) -> KeyOrder {
        match *sql_type {
            SqlType::Int { .. } | SqlType::Bit { .. } | SqlType::Year => KeyOrder::Integer,
            SqlType::Decimal { precision, scale } if precision <= 38 => KeyOrder::Decimal { scale },
            SqlType::Date => KeyOrder::Date,
            SqlType::DateTime { .. } => KeyOrder::DateTime,
            SqlType::Timestamp { .. } => KeyOrder::Timestamp,
            SqlType::Time { .. } => KeyOrder::Time,
            SqlType::Binary { .. } | SqlType::VarBinary | SqlType::Blob => KeyOrder::Bytes,
            // ENUM and SET are ordered by number, but a change of the definition may number their members anew.
            _ => KeyOrder::Server,
        }
    }
}

/// The value of a key column at the border of two chunks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyValue {
    /// For every [`KeyOrder`] but the last two, in its encoding; ENUM and SET by number.
    Int(i128),
    #[serde(with = "hex")]
    Bytes(Vec<u8>),
    /// As the server prints it. The derived order of two texts means nothing.
    Text(String),
}

/// The key of one row, borrowed from its column.
#[derive(Clone, Copy, Debug)]
pub enum KeyRef<'a> {
    Int(i128),
    Bytes(&'a [u8]),
    Text(&'a str, &'a AsciiOrder),
}

impl KeyRef<'_> {
    /// Order against a border of the same column.
    pub fn compare(self, border: &KeyValue) -> Ordering {
        match (self, border) {
            (KeyRef::Int(key), KeyValue::Int(border)) => key.cmp(border),
            (KeyRef::Bytes(key), KeyValue::Bytes(border)) => key.cmp(border.as_slice()),
            (KeyRef::Text(key, order), KeyValue::Text(border)) => order.compare(key, border),
            (_, border) => panic!("the key of a row has no order against a border {}", border.kind()),
        }
    }
}

impl KeyValue {
    fn kind(&self) -> &'static str {
        match self {
            KeyValue::Int(_) => "of integers",
            KeyValue::Bytes(_) => "of bytes",
            KeyValue::Text(_) => "of text",
        }
    }
}

/// The rows whose key lies in `[lower, upper)`; `None` is open.
///
/// A border may name fewer columns than the key has: `[5]` lies before every key that begins with 5. The range without
/// a lower border also holds NULL keys, which MySQL orders first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRange {
    pub lower: Option<Vec<KeyValue>>,
    pub upper: Option<Vec<KeyValue>>,
}

/// A column by which a table is cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyColumn {
    pub name: String,
    pub order: KeyOrder,
    /// By which the server orders a column of text, while it is as it was when the table was cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation: Option<String>,
}

/// Columns by which a table is cut. Empty for a table without a key, which is one chunk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkKey {
    pub columns: Vec<KeyColumn>,
    /// The columns belong to the key that identifies a row, so that no row moves to another chunk and keeps its
    /// identity; or nothing identifies a row, so that it has no identity to keep. Only then may an update be judged image
    /// by image.
    pub identifies: bool,
}

impl ChunkKey {
    /// The key of the table.
    pub fn of(table: &Table) -> ChunkKey {
        ChunkKey::over(table, table.key().iter().copied(), true)
    }

    /// A column that the user names.
    pub fn column(table: &Table, column: usize) -> ChunkKey {
        ChunkKey::over(table, [column], table.key().contains(&column) || table.key().is_empty())
    }

    fn over(table: &Table, columns: impl IntoIterator<Item = usize>, identifies: bool) -> ChunkKey {
        let column = |index: usize| {
            let column = &table.columns()[index];
            let is_text = matches!(column.sql_type, SqlType::Char | SqlType::VarChar | SqlType::Text);
            let collation = table.collation(index).filter(|_| is_text).map(str::to_owned);
            KeyColumn { name: column.name.clone(), order: KeyOrder::of(&column.sql_type), collation }
        };
        ChunkKey { columns: columns.into_iter().map(column).collect(), identifies }
    }
}

/// Bytes as text that any format of a checkpoint can carry.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}", Hex(bytes)))
    }

    struct Hex<'a>(&'a [u8]);

    impl std::fmt::Display for Hex<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
        match digits {
            Some(digits) if digits.len() % 2 == 0 => Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()),
            _ => Err(D::Error::custom("a key border is not written in hexadecimal digits")),
        }
    }
}
