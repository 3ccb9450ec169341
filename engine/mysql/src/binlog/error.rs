//! Why the binlog cannot be read on.

use std::fmt;
use std::path::PathBuf;

use super::super::history::{HistoryError, Turn};
use super::super::wire::WireError;
use tidegate_model::words::counted;
use tidegate_model::{Coordinate, Gtid, GtidSet, TableName};

/// A fault and the event in which it was found.
#[derive(Debug, thiserror::Error)]
#[error("binlog {at}: {fault}")]
pub struct BinlogError {
    /// Start of the event.
    pub at: Coordinate,
    #[source]
    pub fault: Box<Fault>,
}

impl BinlogError {
    pub fn new(at: &Coordinate, fault: impl Into<Fault>) -> BinlogError {
        BinlogError { at: at.clone(), fault: Box::new(fault.into()) }
    }

    /// The full load's turn, if that is why reading ended, and the statement before which it did.
    pub fn due_turn(&self) -> Option<(TableName, Turn, Coordinate)> {
        match &*self.fault {
            Fault::Schema(HistoryError::Turn { table, turn, .. }) => Some((table.clone(), *turn, self.at.clone())),
            _ => None,
        }
    }

    /// The server's, if it did not answer while a statement was judged.
    pub fn into_wire(self) -> Result<WireError, BinlogError> {
        match *self.fault {
            Fault::Schema(HistoryError::Server(error)) => Ok(error),
            fault => Err(BinlogError { at: self.at, fault: Box::new(fault) }),
        }
    }

    /// The table whose columns are not known, and where its rows stand, if that is why reading ended.
    pub fn unknown_columns(&self) -> Option<(&TableName, &Coordinate, Option<&Gtid>)> {
        match &*self.fault {
            Fault::Schema(HistoryError::Columns { table, at, gtid, .. }) => Some((table, at, gtid.as_ref())),
            _ => None,
        }
    }

    /// Whether only rows are missed by whoever reads on behind the event: see [`FollowOptions::pass`](crate::incremental::FollowOptions).
    pub fn may_be_passed(&self) -> bool {
        matches!(
            &*self.fault,
            Fault::UnreadXa { .. }
                | Fault::PartialImage { .. }
                | Fault::Schema(HistoryError::StatementFormat { .. } | HistoryError::Unclear { .. })
        )
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        self.fault.hint().map(str::to_owned)
    }
}

/// What is wrong. Never holds a value of a row.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("the event is damaged: {0}")]
    Damaged(&'static str),
    #[error("the event is damaged: its checksum is {stored:08x}, that of its bytes {computed:08x}")]
    Checksum { stored: u32, computed: u32 },
    #[error("the event should end at {expected}, but its header says {found} (low 32 bits)")]
    OutOfPlace { expected: u64, found: u32 },
    #[error("event type {0} is not understood, and may carry rows")]
    UnknownEvent(u8),
    #[error("transaction {gtid} comes behind {last}: numbers of a domain must grow")]
    OutOfOrder { gtid: Gtid, last: GtidSet },
    #[error("the server reports an incident: changes may be missing from its binlog ({0})")]
    Incident(String),
    #[error("this is not the file of that name that the task has read: the server has begun its history anew")]
    OtherFile,
    #[error("a transaction is not finished here, where a file ends or begins")]
    UnfinishedTransaction,
    #[error("a transaction with rows of captured tables ends with a rollback")]
    RolledBack,
    #[error("rows of table id {0} come without a table map")]
    NoTableMap(u64),
    #[error("table {table}: a row image lacks column {column:?}")]
    PartialImage { table: TableName, column: String },
    #[error("table {table}: {mismatch}")]
    Columns { table: TableName, mismatch: ColumnMismatch },
    #[error("table {table}: column {column:?}: {reason}")]
    Value { table: TableName, column: String, reason: String },
    #[error("table {table}: {reason}")]
    Batch { table: TableName, reason: String },
    #[error(transparent)]
    Schema(#[from] HistoryError),
    #[error(
        "XA COMMIT of {xid}, which was prepared before the task began: rows that it has stand in the binlog before the start, where they are not read"
    )]
    UnreadXa { xid: String },
    #[error("table {table} keeps its past in itself from here on (SYSTEM VERSIONING): its changes cannot be followed")]
    Versioned { table: TableName },
    #[error("folder {}: rows that wait for an XA COMMIT cannot be written out or read back: {error}", folder.display())]
    Held { folder: PathBuf, error: std::io::Error },
    #[error("the event takes {bytes} bytes, more than the {bytes_max} that the memory allows")]
    EventTooLarge { bytes: usize, bytes_max: usize },
    #[error("an earlier error has ended the reading")]
    Ended,
    #[error("the event before has not been read to its end")]
    NotResumed,
    #[error("{0}")]
    File(FileFault),
}

/// What is wrong with a binlog file as a whole.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    #[error("the file cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("the file is encrypted")]
    Encrypted,
    #[error("the file is not a binlog: it does not begin with fe 62 69 6e")]
    NotABinlog,
    #[error("the file ends in the middle of an event")]
    CutOff,
    #[error("the file that follows here is missing (the next one given is {next})")]
    Missing { next: String },
    #[error("the file is not among those given")]
    NotGiven,
    #[error("the file before is not whole: {}", match until {
        Some(gtid) => format!("this one comes behind {gtid}, which it does not have"),
        None => "it was copied while the server wrote to it, and another follows".to_owned(),
    })]
    Short { until: Option<String> },
}

impl From<FileFault> for Fault {
    fn from(fault: FileFault) -> Fault {
        Fault::File(fault)
    }
}

impl Fault {
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Fault::PartialImage { .. } => {
                "SET GLOBAL binlog_row_image = FULL, and reconnect the sessions that write; of a generated column, MariaDB 11 logs no value but that of an insert: leave the table out"
            }
            Fault::Columns { .. } => {
                "SET GLOBAL binlog_row_metadata = FULL makes the binlog describe its tables from then on; for what is already written, begin again with a full load (move the state folder away)"
            }
            Fault::Schema(error) => return Some(error.hint()),
            Fault::OutOfOrder { .. } => {
                "SET GLOBAL gtid_strict_mode = ON refuses such transactions; several servers that write at the same time need a gtid_domain_id each; then begin again with a full load (move the state folder away)"
            }
            Fault::Versioned { .. } => "leave the table out, or copy it by a full load alone",
            Fault::RolledBack => {
                "it was sent as it came, being too large to wait for its end: begin again with a full load (move the state folder away)"
            }
            Fault::OtherFile => {
                "changes may be missing: begin again with a full load (move the state folder away and delete the topics)"
            }
            Fault::Incident(_) => {
                "look into the server's error log, then begin again with a full load (move the state folder away)"
            }
            Fault::UnreadXa { .. } => {
                "begin again with a full load, which shows its rows (move the state folder away); a task waits some seconds for prepared transactions before it begins if its account may see them: GRANT XA_RECOVER_ADMIN; of binlog files, give earlier ones too"
            }
            Fault::Held { .. } => "make room there, or mend the folder, and start again: nothing is lost",
            Fault::EventTooLarge { .. } => {
                "allow larger events; the server keeps them small by binlog_row_event_max_size, except for single rows"
            }
            Fault::Checksum { .. } | Fault::Damaged(_) | Fault::OutOfPlace { .. } => {
                "`mysqlbinlog --verify-binlog-checksum` on the server tells whether the file itself is damaged"
            }
            Fault::File(FileFault::Encrypted) => {
                "copy it with `mysqlbinlog --read-from-remote-server --raw`, which decrypts"
            }
            Fault::File(FileFault::CutOff | FileFault::Short { .. }) | Fault::UnfinishedTransaction => {
                "copy the file again, after the server has begun the next one (FLUSH BINARY LOGS)"
            }
            Fault::Value { reason, .. } if reason.contains("text is not valid") => {
                "the stored bytes do not fit the column's character set; correct them on the server and begin again with a full load (move the state folder away), or leave the table out"
            }
            _ => return None,
        })
    }
}

/// How the columns of a table map differ from those of the table as it is known.
#[derive(Debug)]
pub struct ColumnMismatch {
    /// The first column that differs, unless only the counts or the keys do.
    pub first: Option<String>,
    /// Only the keys do.
    pub keys_differ: bool,
    pub in_binlog: Vec<String>,
    pub known: Vec<String>,
}

impl fmt::Display for ColumnMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.keys_differ {
            return f.write_str("its keys are others in the binlog");
        }
        match &self.first {
            Some(column) => write!(f, "column {column:?} has another definition in the binlog")?,
            None => {
                let columns = counted(self.in_binlog.len() as u64, "column");
                write!(f, "the binlog has {columns}, known are {}", self.known.len())?;
            }
        }
        write!(f, "; binlog: {}; known: {}", List(&self.in_binlog), List(&self.known))
    }
}

impl std::error::Error for ColumnMismatch {}

/// At most so many columns are named in a message.
const LISTED_MAX: usize = 100;

struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (index, item) in self.0.iter().take(LISTED_MAX).enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            f.write_str(item)?;
        }
        if self.0.len() > LISTED_MAX {
            write!(f, ", and {} more", self.0.len() - LISTED_MAX)?;
        }
        f.write_str(")")
    }
}
