//! A blocking connection to the source, for one thread.

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Error, Opts, OptsBuilder, Row};
use tokio::runtime::Runtime;

pub(crate) struct Mysql {
    /// Declared first, dropped first: it needs the runtime.
    connection: Option<Conn>,
    runtime: Runtime,
}

impl Mysql {
    pub(crate) fn connect(url: &str) -> Mysql {
        Mysql::try_connect(url).unwrap_or_else(|error| panic!("could not connect to {url}: {error}"))
    }

    pub(crate) fn try_connect(url: &str) -> Result<Mysql, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let options = OptsBuilder::from_opts(Opts::from_url(url)?)
            .prefer_socket(false)
            .setup(vec!["SET NAMES utf8mb4, time_zone = '+00:00', innodb_lock_wait_timeout = 5"]);
        let connection = runtime.block_on(Conn::new(options))?;
        Ok(Mysql { connection: Some(connection), runtime })
    }

    pub(crate) fn is_mariadb(&mut self) -> bool {
        self.query_one::<String>("SELECT VERSION()").contains("MariaDB")
    }

    /// MySQL 5.6: without JSON, generated columns and the collations of today.
    pub(crate) fn is_oldest(&mut self) -> bool {
        self.query_one::<String>("SELECT VERSION()").starts_with("5.6")
    }

    /// Where the binlog ends: a file and an offset in it.
    pub(crate) fn binlog_end(&mut self) -> (String, u64) {
        let is_old = self.is_mariadb() || self.is_oldest();
        let row: Row = self.query_one(if is_old { "SHOW MASTER STATUS" } else { "SHOW BINARY LOG STATUS" });
        (row.get(0).expect("a file"), row.get(1).expect("an offset"))
    }

    /// Bytes of binlog from a place in it to where it ends.
    pub(crate) fn binlog_bytes_behind(&mut self, file: &str, offset: u64) -> u64 {
        let (last, end) = self.binlog_end();
        let files = self.query::<Row>("SHOW BINARY LOGS").into_iter();
        let files = files.map(|row| (row.get::<String, _>(0).expect("a file"), row.get::<u64, _>(1).expect("a size")));
        let between = files.filter(|(name, _)| (file..&*last).contains(&&**name));
        between.map(|(_, size)| size).sum::<u64>() + end - offset
    }

    /// Bytes of binlog before a position, as a status tells it.
    pub(crate) fn binlog_bytes_before(&mut self, position: &serde_json::Value) -> u64 {
        let (file, offset) =
            (position["file"].as_str().expect("a file"), position["offset"].as_u64().expect("an offset"));
        let files = self.query::<Row>("SHOW BINARY LOGS").into_iter();
        let files = files.map(|row| (row.get::<String, _>(0).expect("a file"), row.get::<u64, _>(1).expect("a size")));
        files.filter(|(name, _)| **name < *file).map(|(_, size)| size).sum::<u64>() + offset
    }

    /// For how long a file of the binlog is kept; none if for ever.
    pub(crate) fn binlog_retention_s(&mut self) -> Option<u64> {
        let kept = ["SELECT @@GLOBAL.binlog_expire_logs_seconds", "SELECT @@GLOBAL.expire_logs_days * 86400"]
            .iter()
            .find_map(|query| self.try_query::<u64>(query).ok())?;
        kept.first().copied().filter(|seconds| *seconds > 0)
    }

    pub(crate) fn run(&mut self, statement: impl AsRef<str>) {
        let statement = statement.as_ref();
        self.try_run(statement).unwrap_or_else(|error| panic!("{error}\n{}", shortened(statement)));
    }

    pub(crate) fn try_run(&mut self, statement: &str) -> Result<(), Error> {
        let connection = self.connection.as_mut().expect("taken by drop only");
        self.runtime.block_on(connection.query_drop(statement))
    }

    pub(crate) fn query<T: FromRow + Send + 'static>(&mut self, query: &str) -> Vec<T> {
        self.try_query(query).unwrap_or_else(|error| panic!("{error}\n{query}"))
    }

    pub(crate) fn try_query<T: FromRow + Send + 'static>(&mut self, query: &str) -> Result<Vec<T>, Error> {
        /// The server cannot show its sessions while one runs a statement with bytes that are no text, as other tests' do.
        const CANNOT_CONVERT_STRING: u16 = 3854;
        let connection = self.connection.as_mut().expect("taken by drop only");
        loop {
            match self.runtime.block_on(connection.query(query)) {
                Err(error) if error_code(&error) == Some(CANNOT_CONVERT_STRING) => std::thread::yield_now(),
                result => return result,
            }
        }
    }

    pub(crate) fn query_one<T: FromRow + Send + 'static>(&mut self, query: &str) -> T {
        self.query(query).pop().unwrap_or_else(|| panic!("no row: {query}"))
    }

    /// Hands out rows as they come, for tables that should not be held twice.
    pub(crate) fn for_each(&mut self, query: &str, take: impl FnMut(Row)) {
        let connection = self.connection.as_mut().expect("taken by drop only");
        let done = self.runtime.block_on(async { connection.query_iter(query).await?.for_each_and_drop(take).await });
        done.unwrap_or_else(|error| panic!("{error}\n{query}"));
    }
}

impl Drop for Mysql {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // The server may be gone; then there is nothing to say goodbye to.
            let _ = self.runtime.block_on(connection.disconnect());
        }
    }
}

/// The number of a server's error, if it is one.
pub(crate) fn error_code(error: &Error) -> Option<u16> {
    match error {
        Error::Server(error) => Some(error.code),
        _ => None,
    }
}

fn shortened(statement: &str) -> String {
    statement.chars().take(400).collect()
}

/// A statement with these of its words as somebody types them who likes capitals.
pub(crate) fn in_capitals(statement: &str, words: &[&str]) -> String {
    let mut out = String::with_capacity(statement.len());
    for part in statement.split_inclusive(|c: char| !(c.is_alphanumeric() || c == '_')) {
        let word = part.trim_end_matches(|c: char| !(c.is_alphanumeric() || c == '_'));
        let is_meant = words.contains(&word);
        out += &if is_meant { part.to_uppercase() } else { part.to_owned() };
    }
    out
}
