//! XA transactions that are prepared at the moment when a task begins.
//!
//! ```text
//!        XA PREPARE a     P0                    XA COMMIT a   began     first view
//! binlog ────●────────────┼───●──────────●───────────●──────────┼──────────┼──────►
//!            rows of a    reading begins  shown by the views     shows a    XA COMMIT of what was prepared before P0
//!                                                                          stops the task if it lies behind `began`
//! ```
//!
//! Their rows stand before P0 and are never read, and no view shows them before their XA COMMIT. Where XA transactions are in
//! use, a few are prepared at any moment, for milliseconds. So the task waits for those, and begins only then: an XA COMMIT
//! between P0 and there is older than the task, and every view shows its rows. One that stays prepared for longer is an
//! operator's case: the task says its name, begins, and stops when it is committed after all.
//!
//! Where what the executed set has is visible ([`snapshot`]), `began` is that set. Elsewhere it, or the end of the binlog, runs
//! ahead of what is visible by what is being committed; that is still prepared, so it is waited for, too.

use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tracing::{info, warn};

use super::connection::{self, ServerFacts};
use super::snapshot;
use super::wire::ConnectOptions;
use crate::MysqlError;
use tidegate_model::Stop;
use tidegate_model::{Coordinate, Watermark};

/// How long prepared transactions are waited for.
pub(super) const WAIT: Duration = Duration::from_secs(5);
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Waits for transactions that are prepared now, and gives the point at or before which an XA COMMIT needs no rows.
/// `None` if it was told to stop. Of those that stay the log tells, unless whoever runs the task knows of them.
pub async fn begin(
    connect: &ConnectOptions,
    facts: &ServerFacts,
    are_known: bool,
    stop: &Stop,
) -> Result<Option<Watermark>, MysqlError> {
    let mut connection = connection::session(connect, facts).await.map_err(MysqlError::Connection)?;
    let until = Instant::now() + WAIT;
    let mut left = wait_for_prepared(&mut connection, until, stop).await.map_err(MysqlError::Query)?;
    let began = match facts.has_gtids() {
        true => connection::executed(&mut connection, facts).await.map(Watermark::Gtids),
        false => binlog_end(&mut connection, facts).await,
    };
    let began = began.map_err(MysqlError::Query)?;
    if !snapshot::shows_executed(facts) && left.as_ref().is_some_and(Vec::is_empty) {
        left = wait_for_prepared(&mut connection, until, stop).await.map_err(MysqlError::Query)?;
    }
    connection.disconnect().await.map_err(MysqlError::Query)?;
    match left.as_deref() {
        Some([]) => {}
        _ if are_known => {}
        Some(left) if !facts.version.logs_xa_prepare() => warn!(
            xids = left.join("; "),
            hint = "XA COMMIT or XA ROLLBACK them and begin again (move the state folder away), if the server has died since they were prepared",
            "XA transactions are prepared: the rows of one that was when the server died are in no binlog of this version, and are not sent when it is committed"
        ),
        Some(left) => warn!(
            xids = left.join("; "),
            hint = "XA ROLLBACK them, or XA COMMIT them and begin again (move the state folder away)",
            "XA transactions have been prepared since before this task: an XA COMMIT of one will stop it, since its rows are not read"
        ),
        None => warn!(
            hint = format!("GRANT XA_RECOVER_ADMIN ON *.* TO {};", facts.account),
            "prepared XA transactions cannot be seen, and not waited for: an XA COMMIT of one will stop the task, since its rows are not read"
        ),
    }
    Ok((!stop.is_stopped()).then_some(began))
}

/// Waits until none is left of those that are prepared now, and gives those that are. `None` if the account may not see them.
async fn wait_for_prepared(
    connection: &mut Conn,
    until: Instant,
    stop: &Stop,
) -> Result<Option<Vec<String>>, mysql_async::Error> {
    let Some(mut left) = connection::prepared_xids(connection).await? else { return Ok(None) };
    if !left.is_empty() {
        info!(count = left.len(), "waiting for prepared XA transactions before the task begins");
    }
    while !left.is_empty() && Instant::now() < until && !stop.is_stopped() {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let now = connection::prepared_xids(connection).await?.unwrap_or_default();
        left.retain(|xid| now.contains(xid));
    }
    Ok(Some(left))
}

async fn binlog_end(connection: &mut Conn, facts: &ServerFacts) -> Result<Watermark, mysql_async::Error> {
    let row: Option<mysql_async::Row> = connection.query_first(facts.version.binlog_status_statement()).await?;
    let end = row.and_then(|row| Some((row.get::<String, _>(0)?, row.get::<u64, _>(1)?)));
    // Without a binlog nothing is read after the full load.
    Ok(Watermark::Coordinate(end.map_or(Coordinate::new("", 0), |(file, offset)| Coordinate::new(file, offset))))
}
