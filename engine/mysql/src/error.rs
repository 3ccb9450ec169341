//! Why a server cannot be read, or not any further.

use tidegate_model::{Coordinate, Stopped};

use crate::binlog::BinlogError;
use crate::catalog::CatalogError;
use crate::connection::{ConnectionError, driver_text};
use crate::dump_error::DumpError;
use crate::run_lock::RunLockError;
use crate::snapshot::LoadError;
use crate::wire::WireError;

#[derive(Debug, thiserror::Error)]
pub enum MysqlError {
    #[error(transparent)]
    Connection(ConnectionError),
    #[error("could not read the server's state: {}", driver_text(.0))]
    Query(mysql_async::Error),
    #[error(transparent)]
    Catalog(CatalogError),
    #[error(transparent)]
    RunLock(RunLockError),
    #[error(transparent)]
    Load(LoadError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Binlog(#[from] BinlogError),
    #[error("binlog {at}: {error}")]
    EventTooLarge { at: Coordinate, error: WireError },
    #[error(transparent)]
    Dump(#[from] DumpError),
    #[error("the server's set of GTIDs cannot be read: {0}")]
    Gtids(tidegate_model::position::InvalidGtidSet),
    #[error("binlog position {at} lies beyond 4 GiB, where a dump without GTIDs cannot begin")]
    OffsetBeyondProtocol { at: Coordinate },
    /// Whoever keeps the state could not.
    #[error("{0}")]
    Record(Box<dyn std::error::Error + Send + Sync>),
    /// Whoever takes windows wants no more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl MysqlError {
    /// Whether the same thing may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            MysqlError::Connection(error) => is_lost(error.cause()),
            MysqlError::Query(error) | MysqlError::Catalog(CatalogError::Query(error)) => is_lost(error),
            // A table that is locked is let go of.
            MysqlError::Catalog(CatalogError::Labels { may_pass, .. }) => *may_pass,
            // Who has just logged in for the first look is not refused: the server has gone since.
            MysqlError::RunLock(error) => matches!(error, RunLockError::Failed { .. }),
            MysqlError::Load(LoadError::Session(error)) | MysqlError::Wire(error) => error.is_transient(),
            MysqlError::Dump(error) => error.may_pass(),
            _ => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            MysqlError::Load(error) => error.hint(),
            MysqlError::Catalog(error) => error.hint(),
            MysqlError::RunLock(error) => error.hint().map(str::to_owned),
            MysqlError::Wire(error) | MysqlError::EventTooLarge { error, .. } => error.hint().map(str::to_owned),
            MysqlError::Binlog(error) => error.hint(),
            MysqlError::Dump(error) => Some(error.hint().to_owned()),
            MysqlError::OffsetBeyondProtocol { .. } => {
                Some("turn GTIDs on at the server, or begin again with a full load".to_owned())
            }
            _ => None,
        }
    }
}

/// Whether a session of the control plane is lost, or not to be had at the moment.
fn is_lost(error: &mysql_async::Error) -> bool {
    match error {
        mysql_async::Error::Io(mysql_async::IoError::Io(_))
        | mysql_async::Error::Driver(mysql_async::DriverError::ConnectionClosed) => true,
        mysql_async::Error::Server(mysql_async::ServerError { code, state, message }) => {
            let (code, state, message) = (*code, state.clone(), message.clone());
            WireError::Server { code, state, message }.is_transient()
        }
        _ => false,
    }
}
