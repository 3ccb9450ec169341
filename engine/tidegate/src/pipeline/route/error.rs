//! Why a table cannot be sent, and what to do about it.

use super::kinds::{DIFFER_HINT, Differ};
use super::too_large::TooLargeError;
use crate::config;
use crate::hints;
use tidegate_format::cut::CutError;
use tidegate_format::encode::EncodeError;
use tidegate_format::key::KeyError;
use tidegate_format::partition::PartitionError;
use tidegate_format::transform::TransformError;
use tidegate_model::{ChangeBatch, Coordinate, RowKind, TableName};
use tidegate_sink::SinkError;

/// Why a table cannot be sent, or a batch of it could not.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    #[error(transparent)]
    Transform(#[from] TransformError),
    #[error(transparent)]
    Partition(#[from] PartitionError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(
        "table {table} has no primary key and no unique key of NOT NULL columns: its messages have no key, and `tombstones` needs one"
    )]
    NoTombstones { table: TableName },
    #[error(
        "topic {topic} has cleanup.policy={policy}: brokers refuse messages without a key there, and {what} have none"
    )]
    Compacted { topic: String, policy: String, what: Keyless },
    #[error(
        "table {table}: `partition` goes by column {column}, which is not in the key of its messages: those of one key may be in \
         several partitions, and {why}"
    )]
    Scattered { table: TableName, column: String, why: String },
    #[error(transparent)]
    Cut(#[from] CutError),
    #[error("table {table}: what is too large for its topic cannot go to topic {topic} in parts, among rows")]
    LettersAmongRows { table: TableName, topic: String },
    #[error(transparent)]
    TooLarge(Box<TooLargeError>),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error("table {table} has no column \"{column}\", which its chunk_by names")]
    ChunkBy { table: TableName, column: String },
    #[error(transparent)]
    Shards(#[from] Differ),
    #[error("table {table}: {error}")]
    Name { table: TableName, error: config::NameError },
    /// Rows that stand there are the first that have these columns.
    #[error("binlog {at}: {error}")]
    Met { at: Coordinate, error: Box<RouteError> },
}

/// Messages that have no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keyless {
    /// Its `key` is none.
    NotAsked(TableName),
    /// It has no key.
    Table(TableName),
    /// About statements, transactions or nothing.
    Marks,
}

impl std::fmt::Display for Keyless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Keyless::NotAsked(table) => write!(f, "those of {table}, whose `key` is none,"),
            Keyless::Table(table) => write!(f, "those of {table}, a table without primary key and unique key,"),
            Keyless::Marks => f.write_str("those about statements and transactions"),
        }
    }
}

impl RouteError {
    /// With the place of rows that cannot be sent because of the columns that they have.
    pub(super) fn met_by(self, batch: &ChangeBatch) -> RouteError {
        let is_of_columns = matches!(
            &self,
            RouteError::Transform(_)
                | RouteError::Partition(_)
                | RouteError::Key(_)
                | RouteError::Cut(_)
                | RouteError::NoTombstones { .. }
                | RouteError::Scattered { .. }
        );
        let is_change = batch.kinds().first().is_some_and(|kind| *kind != RowKind::Initial);
        match batch.events().first().filter(|_| is_of_columns && is_change) {
            Some(event) => RouteError::Met { at: event.meta.coordinate.clone(), error: Box::new(self) },
            None => self,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        const ANOTHER: &str = "send them to a topic with cleanup.policy=delete (`topic`)";
        const COLUMNS: &str = "name columns that tell its rows apart, key: {columns: [...]}";
        Some(match self {
            RouteError::Transform(error) => hints::of_transform(error)?.to_owned(),
            RouteError::Sink(error) => hints::of_sink(error)?.to_owned(),
            RouteError::Partition(PartitionError::UnknownCollation { .. }) => {
                "partition the table by other columns (`partition` of its entry in `tables`), or hash bytes: sink.partition_text: bytes, and \
                 `tidegate run --accept partitions` once, with which keys may move to other partitions"
                    .to_owned()
            }
            RouteError::Key(error) => hints::of_key(error).to_owned(),
            RouteError::Cut(_) => hints::CUT.to_owned(),
            RouteError::LettersAmongRows { .. } => "another topic: too_large: {dead_letter: {topic: ...}}".to_owned(),
            RouteError::TooLarge(error) => error.hint().to_owned(),
            RouteError::NoTombstones { .. } => format!("{COLUMNS}, or give the table a key"),
            RouteError::Compacted { what, .. } => match what {
                Keyless::NotAsked(_) => format!("set key: json, or {ANOTHER}"),
                Keyless::Table(_) => format!("{COLUMNS}, or {ANOTHER}"),
                Keyless::Marks => {
                    "send statements to a topic of their own with cleanup.policy=delete (sink.ddl_topic); leave \
                    format.dts_avro.transactions and heartbeats off"
                        .to_owned()
                }
            },
            RouteError::Scattered { .. } => SCATTERED_HINT.to_owned(),
            RouteError::Name { table, .. } => {
                let [database, table] = [&table.database, &table.table].map(|name| name.replace('`', "``"));
                format!(
                    "another `as` or `topic` of its entry in `tables` gives it a name; an entry \"!`{database}`.`{table}`\" leaves it out"
                )
            }
            RouteError::Shards(_) => DIFFER_HINT.to_owned(),
            RouteError::Met { error, .. } => {
                let hint = error.hint().map(|hint| hint + "; ").unwrap_or_default();
                format!(
                    "{hint}write the task file for the columns that the table has there, in an entry of the table's own if others have \
                     other columns by then, and accept what follows (`tidegate run --accept filter,select`, and `key` if the start asks for it); rows before it are sent"
                )
            }
            _ => return None,
        })
    }
}

/// What to do where messages of one key may be in several partitions.
pub const SCATTERED_HINT: &str = "partition by columns of the key, or by the key itself: partition_hash: murmur2";
