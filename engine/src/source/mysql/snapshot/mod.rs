//! The full load: every row that is there, while it changes.
//!
//! Several connections read chunks of tables at once, each chunk in a view of its own. Nothing is locked. What makes
//! their union and the incremental changes after them one consistent copy is argued here.
//!
//! # Consistency
//!
//! ```text
//!  binlog   ──●───●──────●────●───●──────●────●──────────────►
//!            P0   a      b    c   d      e    f                 incremental reads from P0
//!                             ▲   ▲
//!  chunk [1, 100)            low view                           shows everything up to low: a b c, perhaps d, never e
//!                    ▲ ▲
//!  chunk [100, …)  low view
//!
//!  of the first chunk's keys, incremental drops a b c and emits d e f
//! ```
//!
//! Before the first chunk, P0 is taken: a position of which the server has made everything visible. A chunk is one
//! consistent read. `low` is such a position too, taken just *before* its view opens; `high` is the server's position
//! after it has opened. Incremental starts at P0. A change whose key belongs to a chunk is dropped if it lies at or
//! before the chunk's `low`, for the chunk's row already shows it, and emitted otherwise. So
//!
//! - nothing is lost: a change at or before P0 is in every view, one at or before `low` is in the chunk's view, and
//!   every other one is emitted;
//! - a change after `high` is emitted exactly once, because no view shows it;
//! - a change between `low` and `high` may be shown and emitted. It carries the whole row and its successors follow in
//!   order, so that the last state is right.
//!
//! Full-load rows of a key reach the sink before any change of that key: incremental output begins when the table is
//! loaded and acknowledged. [`ledger`](super::ledger) decides what is dropped, also for updates that move a row from
//! chunk to chunk, and why a chunk that is read again keeps its first `low`. Ranges and `low` are on disk before the
//! first row of a chunk leaves ([`LoadRecord::begin`]), so that a restart repeats the chunks in flight and no others.
//!
//! # Which position may be a `low`
//!
//! The argument stands on one word: the view *certainly* shows everything up to `low`. MySQL writes a transaction to the
//! binlog before the engine commits it, so the end of the binlog that `SHOW BINARY LOG STATUS` names runs ahead of what
//! a new view shows: with eight writers three views of four missed rows that it seemed to promise. What does hold:
//!
//! | Server | `low` | because |
//! |---|---|---|
//! | GTIDs on | `@@gtid_executed` | a transaction enters the set after the engine has committed it |
//! | GTIDs off | the start of the current binlog file | the server begins a new file only when every prepared transaction is committed |
//! | MariaDB | `binlog_snapshot_file`, `_position` after the view | the server takes both under one lock: also nothing beyond is shown |
//!
//! The file's start lies far back, so that changes since then are repeated. The GTID set is nearly exact: it is read
//! before *and* after the view opens, in one round trip, and if both are equal nothing was committed in between and
//! `low` is `high`. If not, the view is thrown away and opened again, a few times at most; at 5,600 transactions a second
//! half of the views succeed at once and the rest within four tries.
//!
//! A table without a key is one chunk. Its consumer cannot recognise a repeated row, so that how exact its view is
//! matters and is logged.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::error::Error;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use arrow::array::RecordBatch;
use tracing::{info, warn};

use super::chunks::{self, ChunkKey, KeyOrder, KeyRange, KeyValue, ServerProber};
use super::connection::{ServerFacts, quote_table};
use super::ledger::{ChunkState, Ledger};
use super::result_rows::{ColumnChanged, MalformedRow, RowDecoder, select_list};
use super::retry::Retry;
use super::wire::{ConnectOptions, Connection, Interrupter, TextResult, WireError};
use crate::batch::builder::BuildError;
use crate::batch::{
    ChangeBatch, Coordinate, EventMeta, EventRun, GtidSet, Position, Progress, RowKind, RowsBuilder, Table, TableName,
    Watermark, Window, now_s,
};

/// A table to load.
#[derive(Clone, Debug)]
pub struct LoadTable {
    pub table: Arc<Table>,
    /// Cut by this column instead of by the key; useful only if an index begins with it.
    pub chunk_column: Option<String>,
    /// Only rows for which this MySQL expression is true.
    pub condition: Option<String>,
}

#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Connections that read at the same time.
    pub readers: usize,
    /// Rows of a chunk, about.
    pub chunk_rows: u64,
    /// A window is full at this many rows,
    pub window_rows: usize,
    /// or at this many bytes as received.
    pub window_bytes: usize,
    /// How often a view is opened again because something was committed while it opened.
    pub view_tries: u32,
    /// How long a reader tries again after errors that may pass, without any row in between.
    pub retry_for: Duration,
}

impl Default for LoadOptions {
    fn default() -> LoadOptions {
        LoadOptions {
            readers: 4,
            // Some seconds of reading: little is repeated after a lost connection, and the ledger stays small.
            chunk_rows: 200_000,
            window_rows: 8192,
            window_bytes: 1 << 20,
            view_tries: 10,
            retry_for: Duration::from_secs(300),
        }
    }
}

/// Whoever receives windows wants no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// Where the load writes down what a restart must know: the caller's [`Ledger`].
pub trait LoadRecord: Sync {
    fn add_table(&self, table: &TableName, key: &ChunkKey);

    /// Returns the chunk's number. Need not be on disk before [`begin`](Self::begin).
    fn add_chunk(&self, table: &TableName, range: KeyRange) -> u32;

    /// Called before the first row of a chunk leaves. Returns when the ledger is on disk.
    fn begin(
        &self,
        table: &TableName,
        chunk: u32,
        low: Watermark,
        high: Watermark,
    ) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// A ledger in memory, for loads that are not continued after a restart.
impl LoadRecord for Mutex<Ledger> {
    fn add_table(&self, table: &TableName, key: &ChunkKey) {
        lock(self).add_table(table, key.clone());
    }

    fn add_chunk(&self, table: &TableName, range: KeyRange) -> u32 {
        lock(self).add_chunk(table, range)
    }

    fn begin(
        &self,
        table: &TableName,
        chunk: u32,
        low: Watermark,
        high: Watermark,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        lock(self).begin(table, chunk, low, Some(high));
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panics while it holds a lock brings the whole load down; there is nothing to recover here.
    mutex.lock().expect("no holder of the lock panicked")
}

/// How a load ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadEnd {
    /// Every chunk is emitted; acknowledgements may be outstanding.
    Complete,
    Stopped,
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Tried again for as long as was allowed, or pointless to try again.
    #[error("full load: {0}")]
    Session(#[source] WireError),
    /// The other tables are loaded.
    #[error("full load: {}", list_failures(.0))]
    Tables(Vec<TableFailure>),
    #[error("full load: the position of a chunk could not be stored: {0}")]
    Record(#[source] Box<dyn Error + Send + Sync>),
    #[error("full load: server answered {statement} with something else: {reason}")]
    Answer { statement: &'static str, reason: String },
}

impl LoadError {
    pub fn hint(&self) -> Option<String> {
        match self {
            LoadError::Session(error) => error.hint().map(str::to_owned),
            LoadError::Tables(failures) => failures.iter().find_map(|failure| failure.error.hint()),
            LoadError::Record(_) | LoadError::Answer { .. } => None,
        }
    }
}

fn list_failures(failures: &[TableFailure]) -> String {
    failures.iter().map(|failure| format!("table {}: {}", failure.table, failure.error)).collect::<Vec<_>>().join("; ")
}

#[derive(Debug)]
pub struct TableFailure {
    pub table: TableName,
    pub error: TableError,
}

/// Why a table cannot be read, however often one tries.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("{0}")]
    Read(#[source] WireError),
    #[error("{0}")]
    Changed(#[source] ColumnChanged),
    #[error("{0}")]
    Row(#[source] MalformedRow),
    #[error("column \"{column}\": {source}")]
    Value { column: String, source: BuildError },
    #[error("its rows do not fit its definition: {0}")]
    Batch(#[source] arrow::error::ArrowError),
    #[error("column \"{0}\", by which it is to be cut, does not exist")]
    NoSuchColumn(String),
    #[error("its key is not the one by which the load began to cut it")]
    KeyChanged,
}

impl TableError {
    pub fn hint(&self) -> Option<String> {
        match self {
            TableError::Read(error) => error.hint().map(str::to_owned),
            TableError::Changed(_) | TableError::KeyChanged => {
                Some("The table was altered during its full load: load it again from the start.".into())
            }
            TableError::NoSuchColumn(_) => Some("Name a column of the table, or none.".into()),
            TableError::Value { source: BuildError::Utf8, .. } => Some(
                "The stored bytes do not fit the column's character set: correct them on the server, then begin again with a \
                 full load (move the state folder away)."
                    .into(),
            ),
            TableError::Row(_) | TableError::Value { .. } | TableError::Batch(_) => None,
        }
    }
}

/// Rows of a batch that [`sample`] reads.
const SAMPLE_BATCH_ROWS: usize = 1000;

/// Reads the first rows of a table, in whatever order the server has them, until `take` has enough or `rows_max` are read.
pub fn sample(
    connect: &ConnectOptions,
    facts: &ServerFacts,
    table: &LoadTable,
    rows_max: u64,
    take: &mut dyn FnMut(ChangeBatch) -> ControlFlow<()>,
) -> Result<(), LoadError> {
    read_sample(connect, facts, table, rows_max, take).map_err(|failure| match failure {
        Failure::Wire(error) => LoadError::Session(error),
        Failure::Load(error) => error,
        Failure::Table(error) => LoadError::Tables(vec![TableFailure { table: table.table.name().clone(), error }]),
        Failure::Stopped => unreachable!("nobody can stop it"),
    })
}

fn read_sample(
    connect: &ConnectOptions,
    facts: &ServerFacts,
    load_table: &LoadTable,
    rows_max: u64,
    take: &mut dyn FnMut(ChangeBatch) -> ControlFlow<()>,
) -> Result<(), Failure> {
    let table = &load_table.table;
    let mut connection = open_session(connect, facts)?;
    let view = View::open(&mut connection, ViewRule::of(facts), facts, 1)?;
    let meta = Arc::new(view_meta(&view, facts, now_s()));
    let all = KeyRange { lower: None, upper: None };
    let select = select_statement(load_table, &ChunkKey::default(), &all, None, &mut Vec::new());
    let mut rows = connection.execute(&format!("{select} LIMIT {rows_max}"), &[])?;
    let decoder =
        RowDecoder::new(table, rows.columns()).map_err(|changed| Failure::Table(TableError::Changed(changed)))?;
    let mut builder = RowsBuilder::new(table);
    let mut count = 0;
    loop {
        let row = rows.next()?;
        if let Some(row) = row {
            let decoded = decoder.decode(row, &mut builder.columns);
            decoded.map_err(|malformed| Failure::Table(TableError::Row(malformed)))?;
            count += 1;
            if count < SAMPLE_BATCH_ROWS {
                continue;
            }
        }
        let is_last = count < SAMPLE_BATCH_ROWS;
        let batch = finish_batch(table, &mut builder, std::mem::take(&mut count), &meta)?;
        if take(batch).is_break() || is_last {
            return Ok(());
        }
    }
}

/// What the rows of a view say of where they come from.
fn view_meta(view: &View, facts: &ServerFacts, timestamp_s: u32) -> EventMeta {
    EventMeta {
        timestamp_s,
        server_id: facts.server_id(),
        thread_id: 0,
        coordinate: view.coordinate.clone(),
        transaction: view.coordinate.clone(),
        gtid: None,
    }
}

/// Where incremental reading starts, and where the binlog ended at that moment. Taken before the first chunk.
pub fn start_position(connect: &ConnectOptions, facts: &ServerFacts) -> Result<(Position, Coordinate), LoadError> {
    let rule = ViewRule::of(facts);
    let mut connection = open_session(connect, facts).map_err(LoadError::Session)?;
    let view = View::open(&mut connection, rule, facts, 1).map_err(|failure| match failure {
        Failure::Wire(error) => LoadError::Session(error),
        Failure::Load(error) => error,
        Failure::Table(_) | Failure::Stopped => unreachable!("no table is read here, and nobody can stop it"),
    })?;
    let end = view.coordinate.clone();
    let (coordinate, gtids) = match view.low {
        // Every transaction that is not in the set stands in this file or a later one.
        Watermark::Gtids(gtids) => (Coordinate::new(view.coordinate.file, BINLOG_START), Some(gtids)),
        Watermark::Coordinate(coordinate) => (coordinate, None),
    };
    Ok((Position::new(coordinate, gtids), end))
}

/// Offset of the first event of a binlog file, after its magic number.
const BINLOG_START: u64 = 4;

/// By what a view is dated: see [the table above](self#which-position-may-be-a-low).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ViewRule {
    Gtids,
    FileStart,
    MariadbSnapshot,
}

impl ViewRule {
    fn of(facts: &ServerFacts) -> ViewRule {
        match () {
            () if facts.version.is_mariadb => ViewRule::MariadbSnapshot,
            () if facts.gtid_mode_on() => ViewRule::Gtids,
            () => ViewRule::FileStart,
        }
    }
}

/// An open view of the session's transaction.
struct View {
    low: Watermark,
    high: Watermark,
    /// Where the binlog stood, about. For people: it dates nothing.
    coordinate: Coordinate,
}

impl View {
    /// Opens a view, again and again while something is committed in between, and takes the last as it is.
    fn open(connection: &mut Connection, rule: ViewRule, facts: &ServerFacts, tries: u32) -> Result<View, Failure> {
        let mut view = View::open_once(connection, rule, facts)?;
        for _ in 1..tries {
            // A file's start never equals where the file ends.
            if view.is_exact() || rule == ViewRule::FileStart {
                break;
            }
            view = View::open_once(connection, rule, facts)?;
        }
        Ok(view)
    }

    fn is_exact(&self) -> bool {
        self.low == self.high
    }

    /// All statements go in one round trip: what is committed between them is what makes a view inexact. The statement
    /// that opens a view ends the one before.
    fn open_once(connection: &mut Connection, rule: ViewRule, facts: &ServerFacts) -> Result<View, Failure> {
        let status = facts.version.binlog_status_statement();
        match rule {
            ViewRule::Gtids => {
                let results = connection.query(&format!(
                    "{status}; SELECT @@GLOBAL.gtid_executed; \
                     START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY; SELECT @@GLOBAL.gtid_executed"
                ))?;
                let [ended, before, _, after] = four(&results)?;
                let low = parse_gtids(before)?;
                let high = if before == after { low.clone() } else { parse_gtids(after)? };
                Ok(View {
                    low: Watermark::Gtids(low),
                    high: Watermark::Gtids(high),
                    coordinate: parse_status(status, ended)?,
                })
            }
            ViewRule::FileStart => {
                let results = connection.query(&format!(
                    "{status}; START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY; {status}; SELECT 1"
                ))?;
                let [ended, _, after, _] = four(&results)?;
                let coordinate = parse_status(status, ended)?;
                Ok(View {
                    low: Watermark::Coordinate(Coordinate::new(coordinate.file.clone(), BINLOG_START)),
                    high: Watermark::Coordinate(parse_status(status, after)?),
                    coordinate,
                })
            }
            ViewRule::MariadbSnapshot => {
                const STATEMENT: &str = "SHOW STATUS LIKE 'binlog_snapshot_%'";
                let results = connection.query(&format!("START TRANSACTION WITH CONSISTENT SNAPSHOT; {STATEMENT}"))?;
                let rows = results.last().map(|result| result.rows.as_slice()).unwrap_or_default();
                let value = |name: &str| {
                    let row = rows.iter().find(|row| text(row, 0).is_some_and(|n| n.eq_ignore_ascii_case(name)))?;
                    text(row, 1)
                };
                let offset = value("binlog_snapshot_position").and_then(|offset| offset.parse().ok());
                let coordinate = value("binlog_snapshot_file").zip(offset);
                let coordinate = match coordinate {
                    Some((file, offset)) => Coordinate::new(file, offset),
                    None => {
                        let reason = "no file and position".to_owned();
                        return Err(Failure::Load(LoadError::Answer { statement: STATEMENT, reason }));
                    }
                };
                let at = Watermark::Coordinate(coordinate.clone());
                Ok(View { low: at.clone(), high: at, coordinate })
            }
        }
    }
}

fn text(row: &[Option<Vec<u8>>], column: usize) -> Option<&str> {
    std::str::from_utf8(row.get(column)?.as_deref()?).ok()
}

fn four(results: &[TextResult]) -> Result<&[TextResult; 4], Failure> {
    results.try_into().map_err(|_| {
        let reason = format!("{} results instead of 4", results.len());
        Failure::Load(LoadError::Answer { statement: "START TRANSACTION", reason })
    })
}

fn parse_gtids(result: &TextResult) -> Result<GtidSet, Failure> {
    result.scalar().unwrap_or_default().parse().map_err(|error: crate::batch::position::InvalidGtidSet| {
        let reason = error.to_string();
        Failure::Load(LoadError::Answer { statement: "SELECT @@GLOBAL.gtid_executed", reason })
    })
}

/// File and offset, the first two columns. A server without binlog has no row: then there is nothing to follow either.
fn parse_status(statement: &'static str, result: &TextResult) -> Result<Coordinate, Failure> {
    let Some(row) = result.rows.first() else { return Ok(Coordinate::new("", 0)) };
    match text(row, 0).zip(text(row, 1).and_then(|offset| offset.parse().ok())) {
        Some((file, offset)) => Ok(Coordinate::new(file, offset)),
        None => Err(Failure::Load(LoadError::Answer { statement, reason: "no file and position".to_owned() })),
    }
}

/// A year: the longest that the server accepts. A reader that waits for a slow sink must not be hung up on.
const SERVER_PATIENCE_S: u32 = 31_536_000;

fn open_session(connect: &ConnectOptions, facts: &ServerFacts) -> Result<Connection, WireError> {
    let mut connection = Connection::connect(connect)?;
    let mut settings = format!(
        "SET NAMES utf8mb4; \
         SET SESSION time_zone = '+00:00', sql_mode = '', autocommit = 1, sql_select_limit = DEFAULT, \
         net_write_timeout = {SERVER_PATIENCE_S}, wait_timeout = {SERVER_PATIENCE_S}; \
         SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"
    );
    if facts.version.is_mariadb {
        settings += "; SET SESSION max_statement_time = 0";
    }
    if facts.version.is_mysql_since(5, 7, 8) {
        settings += "; SET SESSION max_execution_time = 0";
    }
    if facts.version.is_mysql_since(8, 0, 0) {
        // The only key of a table may be an invisible index.
        settings += "; SET SESSION optimizer_switch = 'use_invisible_indexes=on'";
    }
    connection.query(&settings)?;
    Ok(connection)
}

/// A full load, ready to run.
pub struct Load<'a> {
    pub connect: &'a ConnectOptions,
    pub facts: &'a ServerFacts,
    pub tables: &'a [LoadTable],
    pub options: &'a LoadOptions,
    /// As an earlier run left it, or new: chunks that are done are not read again.
    pub ledger: &'a Ledger,
    pub record: &'a dyn LoadRecord,
    /// May block: that is how the sink slows the readers down.
    pub emit: &'a (dyn Fn(Window) -> Result<(), Stopped> + Sync),
    pub stop: &'a AtomicBool,
}

/// How soon a raised stop flag is noticed.
const STOP_CHECK: Duration = Duration::from_millis(20);

impl Load<'_> {
    /// Reads until every chunk is emitted, or the flag is raised. A table that cannot be read does not stop the others.
    pub fn run(&self) -> Result<LoadEnd, LoadError> {
        let run = Run::new(self);
        std::thread::scope(|scope| {
            for slot in 0..run.interrupters.len() {
                let run = &run;
                let reader = move || Reader::new(run, slot).read_all();
                let name = format!("snapshot-{slot}");
                std::thread::Builder::new().name(name).spawn_scoped(scope, reader).expect("a thread can be started");
            }
            run.wait_for_readers();
        });
        run.end()
    }
}

/// What the readers of one load share.
struct Run<'a> {
    load: &'a Load<'a>,
    rule: ViewRule,
    keys: Vec<ChunkKey>,
    /// The index by which each table is cut, once looked up.
    indexes: Vec<OnceLock<Option<String>>>,
    queue: Mutex<Queue>,
    changed: Condvar,
    interrupters: Vec<Mutex<Option<Interrupter>>>,
}

#[derive(Default)]
struct Queue {
    /// Cut and waiting to be read.
    chunks: VecDeque<ChunkJob>,
    /// Tables to cut, and from which key.
    uncut: VecDeque<(usize, Option<Vec<KeyValue>>)>,
    cutting: usize,
    readers: usize,
    stopped: bool,
    failed: Vec<TableFailure>,
    error: Option<LoadError>,
}

#[derive(Clone)]
struct ChunkJob {
    table: usize,
    chunk: u32,
    range: KeyRange,
}

enum Job {
    Cut { table: usize, from: Option<Vec<KeyValue>> },
    Read(ChunkJob),
}

impl<'a> Run<'a> {
    fn new(load: &'a Load<'a>) -> Run<'a> {
        let readers = load.options.readers.max(1);
        let mut queue = Queue { readers, ..Queue::default() };
        let mut keys = Vec::with_capacity(load.tables.len());
        for (index, table) in load.tables.iter().enumerate() {
            let name = table.table.name();
            keys.push(ChunkKey::default());
            match table.cut_by(load.ledger) {
                Ok(key) => keys[index] = key,
                Err(error) => {
                    queue.failed.push(TableFailure { table: name.clone(), error });
                    continue;
                }
            }
            let Some(known) = load.ledger.table(name) else {
                load.record.add_table(name, &keys[index]);
                queue.uncut.push_back((index, None));
                continue;
            };
            for (chunk, known) in known.chunks.iter().enumerate().filter(|(_, chunk)| chunk.state != ChunkState::Done) {
                queue.chunks.push_back(ChunkJob { table: index, chunk: chunk as u32, range: known.range.clone() });
            }
            if !known.planned {
                queue.uncut.push_back((index, known.cut_until().map(<[KeyValue]>::to_vec)));
            }
        }
        Run {
            load,
            rule: ViewRule::of(load.facts),
            keys,
            indexes: load.tables.iter().map(|_| OnceLock::new()).collect(),
            queue: Mutex::new(queue),
            changed: Condvar::new(),
            interrupters: (0..readers).map(|_| Mutex::new(None)).collect(),
        }
    }

    /// Returns when all readers have ended; passes a raised stop flag on to those that wait for the server.
    fn wait_for_readers(&self) {
        let mut queue = lock(&self.queue);
        while queue.readers > 0 {
            queue = self.changed.wait_timeout(queue, STOP_CHECK).expect("no holder of the lock panicked").0;
            if self.load.stop.load(Ordering::Relaxed) && !queue.stopped {
                queue.stopped = true;
                self.changed.notify_all();
            }
            if queue.stopped {
                for interrupter in &self.interrupters {
                    if let Some(interrupter) = &*lock(interrupter) {
                        interrupter.interrupt();
                    }
                }
            }
        }
    }

    fn end(self) -> Result<LoadEnd, LoadError> {
        let queue = self.queue.into_inner().expect("no holder of the lock panicked");
        match (queue.error, queue.failed.is_empty()) {
            (Some(error), _) => Err(error),
            (None, false) => Err(LoadError::Tables(queue.failed)),
            (None, true) if queue.stopped => Ok(LoadEnd::Stopped),
            (None, true) => Ok(LoadEnd::Complete),
        }
    }

    fn is_stopped(&self) -> bool {
        self.load.stop.load(Ordering::Relaxed) || lock(&self.queue).stopped
    }

    fn stop(&self, error: Option<LoadError>) {
        let mut queue = lock(&self.queue);
        queue.stopped = true;
        queue.error = queue.error.take().or(error);
        self.changed.notify_all();
    }

    fn fail_table(&self, table: usize, error: TableError) {
        let name = self.load.tables[table].table.name();
        let mut queue = lock(&self.queue);
        queue.chunks.retain(|job| job.table != table);
        // Other readers may fail on other chunks of it.
        if queue.failed.iter().all(|failure| failure.table != *name) {
            queue.failed.push(TableFailure { table: name.clone(), error });
        }
    }

    fn has_failed(&self, table: usize) -> bool {
        let name = self.load.tables[table].table.name();
        lock(&self.queue).failed.iter().any(|failure| failure.table == *name)
    }

    /// The next chunk, else the next table to cut. Waits while another reader may still find chunks.
    fn next_job(&self) -> Option<Job> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.stopped {
                return None;
            }
            if let Some(job) = queue.chunks.pop_front() {
                return Some(Job::Read(job));
            }
            if let Some((table, from)) = queue.uncut.pop_front() {
                queue.cutting += 1;
                return Some(Job::Cut { table, from });
            }
            if queue.cutting == 0 {
                return None;
            }
            queue = self.changed.wait(queue).expect("no holder of the lock panicked");
        }
    }

    fn add_chunk(&self, table: usize, range: KeyRange) {
        let chunk = self.load.record.add_chunk(self.load.tables[table].table.name(), range.clone());
        lock(&self.queue).chunks.push_back(ChunkJob { table, chunk, range });
        self.changed.notify_one();
    }
}

impl LoadTable {
    /// The columns by which the table is cut: as the ledger says if it was cut before.
    fn cut_by(&self, ledger: &Ledger) -> Result<ChunkKey, TableError> {
        if let Some(known) = ledger.table(self.table.name()) {
            let is_same = known.key.columns.iter().all(|column| {
                let index = self.table.column_index(&column.name);
                index.is_some_and(|index| KeyOrder::of(&self.table.columns()[index].sql_type) == column.order)
            });
            return if is_same { Ok(known.key.clone()) } else { Err(TableError::KeyChanged) };
        }
        match &self.chunk_column {
            None => Ok(ChunkKey::of(&self.table)),
            Some(name) => match self.table.column_index(name) {
                Some(column) => Ok(ChunkKey::column(&self.table, column)),
                None => Err(TableError::NoSuchColumn(name.clone())),
            },
        }
    }
}

/// Why an attempt at a job ended early.
enum Failure {
    Wire(WireError),
    Table(TableError),
    Load(LoadError),
    Stopped,
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Failure {
        Failure::Wire(error)
    }
}

/// The table was altered after the view was opened: a new view shows it as it is now.
const TABLE_DEFINITION_CHANGED: u16 = 1412;
const NEEDS_REPREPARE: u16 = 1615;

fn may_pass(error: &WireError) -> bool {
    error.is_transient() || matches!(error.server_code(), Some(TABLE_DEFINITION_CHANGED | NEEDS_REPREPARE))
}

/// One thread with one connection.
struct Reader<'a> {
    run: &'a Run<'a>,
    slot: usize,
    connection: Option<Connection>,
    /// The outage it is in: nothing but errors since its begin.
    outage: Option<Retry>,
}

/// Leaves the run's count of readers correct even if the reader panics: the scope then ends and passes the panic on.
impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut queue = self.run.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        queue.readers -= 1;
        queue.stopped |= std::thread::panicking();
        self.run.changed.notify_all();
    }
}

impl<'a> Reader<'a> {
    fn new(run: &'a Run<'a>, slot: usize) -> Reader<'a> {
        Reader { run, slot, connection: None, outage: None }
    }

    fn read_all(mut self) {
        while let Some(job) = self.run.next_job() {
            match job {
                Job::Read(job) => {
                    let mut attempt = |reader: &mut Reader<'_>| reader.read_chunk(&job);
                    self.retry(job.table, &mut attempt);
                }
                Job::Cut { table, mut from } => {
                    let mut attempt = |reader: &mut Reader<'_>| reader.cut(table, &mut from);
                    self.retry(table, &mut attempt);
                    lock(&self.run.queue).cutting -= 1;
                    self.run.changed.notify_all();
                }
            }
        }
    }

    /// Runs a job until it succeeds, or nothing speaks for trying again.
    fn retry(&mut self, table: usize, attempt: &mut dyn FnMut(&mut Self) -> Result<(), Failure>) {
        let name = self.run.load.tables[table].table.name();
        loop {
            let failure = match attempt(self) {
                Ok(()) => return,
                Err(failure) => failure,
            };
            // Rows may be outstanding, or a view open.
            self.disconnect();
            match failure {
                Failure::Stopped => return self.run.stop(None),
                Failure::Wire(_) if self.run.is_stopped() => return self.run.stop(None),
                Failure::Wire(error) if may_pass(&error) => {
                    warn!(table = %name, %error, "reading failed, will be tried again");
                    if !self.wait_before_retry() {
                        return self.run.stop(Some(LoadError::Session(error)));
                    }
                }
                Failure::Wire(error @ (WireError::Server { .. } | WireError::PacketTooLarge { .. })) => {
                    return self.run.fail_table(table, TableError::Read(error));
                }
                Failure::Wire(error) => return self.run.stop(Some(LoadError::Session(error))),
                Failure::Table(error) => return self.run.fail_table(table, error),
                Failure::Load(error) => return self.run.stop(Some(error)),
            }
        }
    }

    /// False if the time for trying again is used up.
    fn wait_before_retry(&mut self) -> bool {
        let outage = self.outage.get_or_insert_with(|| Retry::new(self.run.load.options.retry_for));
        let Some(pause) = outage.next_pause() else { return false };
        outage.wait(pause, || self.run.is_stopped());
        true
    }

    fn progressed(&mut self) {
        self.outage = None;
    }

    fn disconnect(&mut self) {
        self.connection = None;
        *lock(&self.run.interrupters[self.slot]) = None;
    }

    fn connected(&mut self) -> Result<&mut Connection, Failure> {
        if self.connection.as_ref().is_none_or(|connection| !connection.is_usable()) {
            let load = self.run.load;
            let connection = open_session(load.connect, load.facts).map_err(|error| match error {
                // Of the session, not of a table.
                error @ WireError::Server { .. } if !may_pass(&error) => Failure::Load(LoadError::Session(error)),
                error => Failure::Wire(error),
            })?;
            *lock(&self.run.interrupters[self.slot]) = Some(connection.interrupter()?);
            self.connection = Some(connection);
        }
        Ok(self.connection.as_mut().expect("just connected"))
    }

    fn cut(&mut self, table: usize, from: &mut Option<Vec<KeyValue>>) -> Result<(), Failure> {
        let run = self.run;
        let load_table = &run.load.tables[table];
        let key = &run.keys[table];
        let connection = self.connected()?;
        let index = find_index(run, connection, table)?;
        let mut prober = ServerProber::new(connection, &load_table.table, key, index);
        let start = from.clone();
        chunks::cut(&mut prober, key, start, run.load.options.chunk_rows, &mut |range| {
            if run.is_stopped() {
                return Err(Failure::Stopped);
            }
            *from = range.upper.clone();
            run.add_chunk(table, range);
            Ok(())
        })?;
        self.progressed();
        Ok(())
    }

    /// Opens a view, has its position stored, and emits the rows of the chunk window by window.
    fn read_chunk(&mut self, job: &ChunkJob) -> Result<(), Failure> {
        let run = self.run;
        if run.has_failed(job.table) {
            return Ok(());
        }
        let load = run.load;
        let table = &load.tables[job.table].table;
        let timestamp_s = now_s();
        let connection = self.connected()?;
        let index = find_index(run, connection, job.table)?;
        let view = View::open(connection, run.rule, load.facts, load.options.view_tries)?;
        if run.keys[job.table].columns.is_empty() {
            info!(table = %table.name(), exact_view = view.is_exact(), "table without a key is read as one chunk");
        }
        let meta = view_meta(&view, load.facts, timestamp_s);
        let stored = load.record.begin(table.name(), job.chunk, view.low, view.high);
        stored.map_err(|error| Failure::Load(LoadError::Record(error)))?;

        let mut params = Vec::new();
        let sql = select_statement(&load.tables[job.table], &run.keys[job.table], &job.range, index, &mut params);
        let mut rows = connection.execute(&sql, &params)?;
        let decoder =
            RowDecoder::new(table, rows.columns()).map_err(|changed| Failure::Table(TableError::Changed(changed)))?;
        let mut window = WindowBuilder {
            load,
            table,
            chunk: job.chunk,
            meta: Arc::new(meta),
            builder: RowsBuilder::new(table),
            rows: 0,
            bytes: 0,
            has_emitted: false,
        };
        let read = loop {
            let Some(row) = (match rows.next() {
                Ok(row) => row,
                Err(error) => break Err(Failure::Wire(error)),
            }) else {
                break window.emit(true);
            };
            if let Err(malformed) = decoder.decode(row, &mut window.builder.columns) {
                break Err(Failure::Table(TableError::Row(malformed)));
            }
            window.rows += 1;
            window.bytes += row.len();
            if window.rows == load.options.window_rows || window.bytes >= load.options.window_bytes {
                if let Err(failure) = window.emit(false) {
                    break Err(failure);
                }
                if run.is_stopped() {
                    break Err(Failure::Stopped);
                }
            }
        };
        let has_emitted = window.has_emitted;
        drop(rows);
        match read {
            Ok(()) => {
                // Ends the view, so that the server need not keep old versions of rows. If the connection is lost now,
                // the chunk is complete all the same.
                if connection.query("COMMIT").is_err() {
                    self.disconnect();
                }
                self.progressed();
                Ok(())
            }
            Err(failure) => {
                if has_emitted {
                    self.progressed();
                }
                Err(failure)
            }
        }
    }
}

fn find_index<'a>(run: &'a Run<'_>, connection: &mut Connection, table: usize) -> Result<Option<&'a str>, WireError> {
    if let Some(index) = run.indexes[table].get() {
        return Ok(index.as_deref());
    }
    let index = chunks::find_index(connection, &run.load.tables[table].table, &run.keys[table])?;
    Ok(run.indexes[table].get_or_init(|| index).as_deref())
}

fn select_statement(
    table: &LoadTable,
    key: &ChunkKey,
    range: &KeyRange,
    index: Option<&str>,
    params: &mut Vec<super::wire::Param>,
) -> String {
    let range = range.condition(&table.table, key, params);
    let mut sql = format!("SELECT {} FROM {}", select_list(&table.table), quote_table(table.table.name()));
    if !range.is_empty() {
        sql += &format!(" {}", chunks::force_index(index));
    }
    let condition = table.condition.as_ref().map(|condition| format!("({condition}\n)")).unwrap_or_default();
    let conditions: Vec<String> = [range, condition].into_iter().filter(|text| !text.is_empty()).collect();
    if !conditions.is_empty() {
        sql += &format!(" WHERE {}", conditions.join(" AND "));
    }
    sql
}

/// Gathers rows of one chunk and sends them off.
struct WindowBuilder<'a> {
    load: &'a Load<'a>,
    table: &'a Arc<Table>,
    chunk: u32,
    meta: Arc<EventMeta>,
    builder: RowsBuilder,
    rows: usize,
    bytes: usize,
    /// Rows have been sent off.
    has_emitted: bool,
}

impl WindowBuilder<'_> {
    /// The window at the end of a chunk has `done`, and may be empty.
    fn emit(&mut self, done: bool) -> Result<(), Failure> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let changes = match rows {
            0 => Vec::new(),
            rows => vec![finish_batch(self.table, &mut self.builder, rows, &self.meta)?],
        };
        let table = self.table.name().clone();
        let progress = Progress::Chunk { table, chunk: self.chunk, rows: rows as u64, done };
        let window = Window { changes, progress: Some(progress), ..Window::default() };
        (self.load.emit)(window).map_err(|Stopped| Failure::Stopped)?;
        self.has_emitted |= rows > 0;
        Ok(())
    }
}

fn finish_batch(
    table: &Arc<Table>,
    builder: &mut RowsBuilder,
    rows: usize,
    meta: &Arc<EventMeta>,
) -> Result<ChangeBatch, Failure> {
    let columns = builder.finish().map_err(|(index, source)| {
        let column = table.columns()[index].name.clone();
        Failure::Table(TableError::Value { column, source })
    })?;
    let batch = RecordBatch::try_new(table.schema().clone(), columns)
        .map_err(|error| Failure::Table(TableError::Batch(error)))?;
    let kinds = vec![RowKind::Initial; rows];
    let sequence = (0..rows as u32).collect();
    let events = if rows > 0 { vec![EventRun { end: rows, meta: meta.clone() }] } else { Vec::new() };
    Ok(ChangeBatch::new(table.clone(), batch, kinds, sequence, events))
}
