//! How far does the binlog go, and what time is it there? Asked again and again, on a connection of its own, for whoever wants to know
//! how far behind a task is. The dump tells neither: it sends what there is, and of what it has yet to send, nothing.
//!
//! Nothing depends on the answers but what people see. A server that does not answer is asked again.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::connection::{self, ServerFacts, executed_statement, server_name_statement};
use super::wire::ConnectOptions;
use tidegate_model::Coordinate;
use tidegate_model::status::Status;
use tidegate_model::status::source::{Extent, now_us};

/// How often the server is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often it is asked for all its files, of which there may be thousands.
const FILES_INTERVAL: Duration = Duration::from_secs(15);
/// Whoever has not answered by then is asked on another connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks until it is dropped.
pub struct Watch(JoinHandle<()>);

impl Watch {
    pub fn start(connect: ConnectOptions, facts: &ServerFacts, status: Arc<Status>, runtime: &Handle) -> Watch {
        let asker = Asker {
            connect,
            is_mariadb: facts.version.is_mariadb,
            end_statement: facts.version.binlog_status_statement(),
            has_gtids: facts.has_gtids(),
            retention_s: facts.binlog_retention_s(),
            status,
        };
        Watch(runtime.spawn(async move {
            loop {
                if let Ok(connection) = connection::connect(&asker.connect).await {
                    let error = asker.ask_on(connection).await;
                    debug!(%error, "the source was asked where its binlog ends, and did not say");
                }
                asker.status.following.not_asked();
                sleep(INTERVAL).await;
            }
        }))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Asker {
    connect: ConnectOptions,
    is_mariadb: bool,
    end_statement: &'static str,
    has_gtids: bool,
    retention_s: Option<u64>,
    status: Arc<Status>,
}

impl Asker {
    /// Asks until that fails.
    async fn ask_on(&self, mut connection: Conn) -> mysql_async::Error {
        let late = || mysql_async::Error::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        let mut known = None;
        loop {
            match timeout(PATIENCE, self.ask(&mut connection, &mut known)).await {
                Ok(Ok(extent)) => self.status.following.asked(extent),
                Ok(Err(error)) => return error,
                Err(_) => return late(),
            }
            sleep(INTERVAL).await;
        }
    }

    async fn ask(&self, connection: &mut Conn, known: &mut Option<Known>) -> Result<Extent, mysql_async::Error> {
        let at_us = now_us();
        let end: Option<Row> = connection.query_first(self.end_statement).await?;
        let end = end.and_then(|row| Some(Coordinate::new(row.get_opt::<String, _>(0)?.ok()?, number(&row, 1)?)));
        // Without a binlog nothing is followed.
        let end = end.unwrap_or_else(|| Coordinate::new("", 0));
        let executed: Option<String> = match self.has_gtids {
            true => connection.query_first(executed_statement(self.is_mariadb)).await?,
            false => None,
        };
        let before_us = now_us();
        let clock: Option<Row> =
            connection.query_first("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS UNSIGNED)").await?;
        let ours_us = (before_us + now_us()) / 2;
        let theirs_us = clock.and_then(|row| number(&row, 0)).unwrap_or(ours_us);
        let known = match known.take() {
            Some(found) if found.at.elapsed() < FILES_INTERVAL && found.last == end.file => known.insert(found),
            found => {
                let server = match found {
                    Some(found) => found.server,
                    None => {
                        let name: Option<String> =
                            connection.query_first(server_name_statement(self.is_mariadb)).await?;
                        name.unwrap_or_default().into()
                    }
                };
                let rows: Vec<Row> = connection.query("SHOW BINARY LOGS").await?;
                let file = |row: Row| Some((row.get_opt::<String, _>(0)?.ok()?, number(&row, 1)?));
                let files = rows.into_iter().filter_map(file).collect();
                known.insert(Known { at: Instant::now(), server, last: end.file.clone(), files })
            }
        };
        Ok(Extent {
            at_us,
            clock_ahead_us: theirs_us as i64 - ours_us as i64,
            server: known.server.clone(),
            end,
            executed: executed.and_then(|set| set.parse().ok()).map(Arc::new),
            files: known.files.clone(),
            retention_s: self.retention_s,
        })
    }
}

/// What is asked less often.
struct Known {
    at: Instant,
    server: Arc<str>,
    /// The file in which the binlog ended then: with another one, the list is another.
    last: Arc<str>,
    files: Arc<[(String, u64)]>,
}

fn number(row: &Row, column: usize) -> Option<u64> {
    row.get_opt::<u64, _>(column)?.ok()
}
