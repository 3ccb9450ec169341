//! A Parquet data set as a full load.
//!
//! ```text
//! export/
//!   shop.orders.parquet          one file,        row groups 0 1 2            chunks 0 1 2
//!   shop.items/
//!     part-0.parquet             or many in the   row groups 0 1              chunks 0 1
//!     part-1.parquet             order of names              0 1 2                   2 3 4
//! ```
//!
//! A row group is a chunk: threads read several at once, each in batches of about a mebibyte, and a restart leaves out those
//! that have been delivered. Chunk numbers hold as long as the files do; [`DataSet::fingerprint`] tells whether they did.
//!
//! Every column gets the MySQL type that holds all of its values, and its values are cast to that type's Arrow form. A value
//! that would have to be rounded, cut or moved stops the reading and names its column: nothing is changed silently, and
//! nothing becomes NULL. A file's metadata may hold the exact MySQL definition under the key [`TABLE_KEY`]; then ENUM labels,
//! lengths and the primary key survive the way through Parquet. Without it a table has no key.
//!
//! INT96, the timestamp of older Spark, Hive and Impala, has nanoseconds in 96 bits and is read twice, once in microseconds
//! and once in nanoseconds: where both disagree (modulo 2⁶⁴), digits would be lost.
mod convert;
mod data_set;
mod schema;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

use tidegate_model::TableName;

pub use data_set::{DataSet, list_tables, read};

/// Key of a file's metadata under which a table's definition stands: [`TableParts`](tidegate_model::TableParts) as JSON.
pub const TABLE_KEY: &str = "tidegate.table";
/// Why a data set cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ParquetError {
    #[error("could not read {}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("could not read {}: {error}", path.display())]
    Read { path: PathBuf, error: parquet::errors::ParquetError },
    #[error("there is neither a file {table}.parquet nor a folder {table} in {}", folder.display())]
    Missing { folder: PathBuf, table: TableName },
    #[error("there are both a file {table}.parquet and a folder {table} in {}", folder.display())]
    Ambiguous { folder: PathBuf, table: TableName },
    #[error("folder {} holds no file that ends in .parquet", folder.display())]
    Empty { folder: PathBuf },
    #[error("folder {} holds the folder {name}: a data set that is partitioned by folders has columns that its files lack", folder.display())]
    Partitioned { folder: PathBuf, name: String },
    #[error("{}: the metadata under {TABLE_KEY} is no table definition: {reason}", path.display())]
    Definition { path: PathBuf, reason: String },
    #[error("{}, column {column}: {reason}", path.display())]
    Column { path: PathBuf, column: String, reason: String },
    #[error("{}, row group {group}: holds {found} rows where the file's end says {expected}", path.display())]
    RowCount { path: PathBuf, group: usize, found: u64, expected: u64 },
}

impl ParquetError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            ParquetError::Missing { .. } => "check the folder and the names of tables; case matters",
            ParquetError::Ambiguous { .. } => "move one of them away",
            ParquetError::Partitioned { .. } => {
                "write the data set again without partitioning, the column inside the files"
            }
            ParquetError::Column { .. } => "write the column with another type, or leave it out when writing the file",
            ParquetError::RowCount { .. } => "the file is damaged: write it again",
            _ => return None,
        })
    }
}
