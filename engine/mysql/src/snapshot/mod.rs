//! The full load: every row that is there, while it changes.
//!
//! Several connections read chunks of tables at once, each in a view of its own or, where they are read in no time, several in one
//! ([`reader`]). No row is locked. What makes their union and the incremental changes after them one consistent copy is argued here.
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
//! # What the argument stands on
//!
//! Each of these was missing once, and rows were lost, changed, repeated or left behind:
//!
//! - *A chunk has the columns that its table has in its view.* The definition is locked before `low` is taken and stays so until
//!   the chunk is read ([`view`]), so that a statement which changes it is either covered by `low` or comes behind the whole
//!   chunk; on MariaDB, where it is locked behind the view, one between the two makes the server refuse the read. What `low` covers is therefore never newer than the chunk's columns, and may be dropped. Statements between chunks are
//!   normal: the next one is read by the new definition. If they change the key by which the table was cut, or the order of
//!   its texts, the chunks mean nothing any more: they are forgotten and the table is cut again, with the `low` of the first of
//!   them for all, because their rows may be out.
//! - *Of the changes of one key, those dropped are the first.* Once one is emitted, all later ones are, or a row would be left in
//!   a state that it has long had no more. So once a change was emitted that no chunk can be named for (a version with another
//!   key, text that only the server can order), its table is left to the smallest `low` for good ([`Unsure`](super::ledger::Unsure)).
//! - *Rows have row events, or the statement by which they came is known.* A table that takes another's name, a partition that is
//!   exchanged, keys that are numbered anew: where chunks were read before and behind such a statement, or changes from before
//!   it were sent behind rows that were read behind it, the table is loaded again when incremental reading meets the statement. One
//!   that is older than the first view of its table is no news to anybody.
//! - *A view contains P0.* Behind the address there may be a replica that lags, or another server: each view is compared with the
//!   start, and without GTIDs with the server's UUID. A table is gone where a server that has come as far does not have it.
//! - *A chunk is read on the server that opened its view.* A proxy that splits transactions sends each SELECT where it likes: each names the
//!   server on which it is no error.
//! - *A view's answer is whole.* `sql_select_limit` would cut it without a word, other variables would change it: a session sets every
//!   variable of the kind to a value of its own ([`ServerFacts::session_settings`]), and each SELECT names a LIMIT, which wins over
//!   the variable.
//! - *What is held is not delivered*: the rows of an XA transaction stand in the binlog before its XA COMMIT, and no view shows them. So a
//!   position lies before the oldest that is held ([`binlog`](super::binlog)), those that were prepared before P0 are waited for
//!   ([`xa`](super::xa)), and an XA COMMIT of another stops the task.
//! - *A transaction is over when its COMMIT record is delivered*, where the task sends such records: a resume inside it marks nothing twice
//!   ([`Delivered`](tidegate_model::Delivered)).
//! - *Rows without a key are judged image by image*, whichever column their table is cut by: an insert and a delete each by the chunk of its
//!   own values, so that what a chunk has shown does not come once more ([`ledger`](super::ledger)).
//! - *Which position may be a `low` is measured, version by version*, and not believed:
//!
//! # Which position may be a `low`
//!
//! The argument stands on one word: the view *certainly* shows everything up to `low`. MySQL writes a transaction to the
//! binlog before the engine commits it, so the end of the binlog that `SHOW BINARY LOG STATUS` names runs ahead of what
//! a new view shows: with eight writers three views of four missed rows that it seemed to promise. What does hold:
//!
//! | Server | `low` | because |
//! |---|---|---|
//! | GTIDs on, MySQL 9.7 | `@@gtid_executed` | a transaction enters the set after the engine has committed it: measured there |
//! | GTIDs on, other versions | the GTIDs of all files before the current one, and those that were purged before | as below. In MySQL 5.6 a transaction enters the set when the binlog is written: 379 of 1,500 views missed rows |
//! | GTIDs off | the start of the current binlog file | the server begins a new file only when all that is in the one before is committed, but for XA COMMITs: see the next line |
//! | the two above, while XA transactions are prepared | also nothing beyond where the load began | an XA COMMIT that waits for the engine keeps no file from being begun (seen on 9.7, held by a replica that does not acknowledge); until its rows are visible, the transaction is listed as prepared. Those that were prepared when the load began were waited for |
//! | MariaDB | the GTIDs at `binlog_snapshot_file`, `_position` after the view | the server takes both under one lock: also nothing beyond is shown. Its `@@gtid_binlog_pos` runs ahead. XA COMMITs are not under that lock: 1 of 50 to 1 of 350 views missed rows of one, while it was still listed as prepared |
//! | MariaDB, while XA transactions are prepared | where the load began | those that were prepared then were waited for |
//!
//! The file's start lies far back, so that changes since then are repeated. The GTID set is nearly exact: it is read
//! before *and* after the view opens, in one round trip, and if both are equal nothing was committed in between and
//! `low` is `high`; but for a transaction that is visible a moment before it enters the set, which no GTID that is owned
//! (`@@gtid_owned`) rules out. If not, the view is thrown away and opened again, a few times at most; at 5,600 transactions a second
//! half of the views succeed at once and the rest within four tries.
//!
//! A table without a key is one chunk, unless the task names a column to cut it by ([`ledger`](super::ledger) says how changes are judged then).
//! Its consumer cannot recognise a repeated row, so that how exact its view is
//! matters and is logged.
//!
//! A view makes the server keep old versions of all rows, so that it is given up where the sink takes nothing for long
//! ([`LoadOptions::view_patience`]); its chunk is read again, as after a lost connection. And where one chunk takes too long, however busy
//! everybody is ([`LoadOptions::view_max`]), it is read again in pieces, each in a view of its own: see [`pieces`].

mod error;
mod pieces;
mod place;
mod queue;
mod reader;
#[cfg(test)]
mod tests;
mod view;
mod window;

use std::error::Error;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arrow::array::RecordBatch;

use self::error::{Failure, may_pass};
pub use self::error::{LoadError, TableError, TableFailure, shown};
pub use self::place::{end, now, start_position, starts_at_present};
pub(crate) use self::place::{gtids_at, gtids_before_file, heading_end, shows_executed};
use self::queue::Run;
pub(crate) use self::queue::is_cut_as_ordered;
use self::reader::Reader;
pub use self::view::definition_text;
pub(crate) use self::view::{BINLOG_START, code};
use self::view::{View, ViewRule};
use super::chunks::{self, ChunkKey, KeyColumn, KeyOrder, KeyRange};
use super::connection::{ServerFacts, quote_table, session_of};
use super::ledger::Ledger;
use super::result_rows::{RowDecoder, select_list};
use super::wire::{ConnectOptions, Connection};
use tidegate_model::retry::Retry;
use tidegate_model::{
    ChangeBatch, Coordinate, EventMeta, EventRun, Position, RowKind, RowsBuilder, Stopped, Table, TableName, Watermark,
    Window, now_s,
};

/// A table to load.
#[derive(Clone, Debug)]
pub struct LoadTable {
    pub table: Arc<Table>,
    /// Cut by this column instead of by the key; useful only if an index begins with it.
    pub chunk_column: Option<String>,
    /// Not cut at all: all rows are read in one view.
    pub is_whole: bool,
    /// Only rows for which this MySQL expression is true.
    pub condition: Option<String>,
    /// And of those the ones for which this one is that somebody has asked for: what is wrong with it is no fault of the table's.
    pub part: Option<String>,
    /// The columns that are read, by index. The others stay on the server; values in their places mean nothing.
    pub columns: Vec<usize>,
    /// `SHOW CREATE TABLE`, of which `table` was read; none if that is to be asked of the server.
    pub definition: Option<String>,
    /// What a row takes until it is delivered, besides [`ROW_COPIES`](tidegate_model::ROW_COPIES) of its own bytes.
    pub row_bytes: usize,
    /// What its rows take on the server, as far as it knows: tables of many bytes share no view.
    pub estimated_bytes: u64,
}

#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Connections that read at the same time.
    pub readers: usize,
    /// Rows of a chunk, about.
    pub chunk_rows: u64,
    /// A window is full at this many rows,
    pub window_rows: usize,
    /// or when its rows take this many bytes until they are delivered.
    pub window_bytes: usize,
    /// How many chunks that are read in no time may share a view.
    pub chunks_per_view: usize,
    /// Whether tables of few rows may share one. Not where a limit makes rows wait: a statement that alters one of the tables would wait as well.
    pub tables_share_views: bool,
    /// How often a view is opened again because something was committed while it opened.
    pub view_tries: u32,
    /// How long a reader tries again after errors that may pass, without any row in between.
    pub retry_for: Duration,
    /// How long a view may stay open while the sink takes nothing: it makes the server keep old versions of all rows.
    pub view_patience: Duration,
    /// How long it may stay open at all, where the rest of its chunk can be read in another one.
    pub view_max: Duration,
    /// Whether changes are read behind the load, so that each view must have a place in the binlog.
    pub is_followed: bool,
}

impl Default for LoadOptions {
    fn default() -> LoadOptions {
        LoadOptions {
            readers: 4,
            // Some seconds of reading: little is repeated after a lost connection, and the ledger stays small.
            chunk_rows: 200_000,
            window_rows: 8192,
            window_bytes: 1 << 20,
            chunks_per_view: 256,
            tables_share_views: true,
            view_tries: 10,
            retry_for: Duration::from_secs(300),
            view_patience: Duration::from_secs(600),
            view_max: Duration::from_secs(600),
            is_followed: true,
        }
    }
}

/// Where the load writes down what a restart must know: the caller's [`Ledger`]. A part of a table may be taken back while it is read: from
/// then on nothing of it is written down, and who asks for that is told so.
pub trait LoadRecord: Sync {
    /// `definition` stands for the definition under which it is cut.
    fn add_table(&self, table: &TableName, key: &ChunkKey, definition: Option<u32>);

    /// Returns the chunk's number; none if the table is taken back. Need not be on disk before [`begin`](Self::begin).
    fn add_chunk(&self, table: &TableName, range: KeyRange) -> Option<u32>;

    /// Called before the first of these rows, which one view shows, leaves. Returns when the ledger is on disk, and of each table false if
    /// it is taken back.
    fn begin(
        &self,
        rows: &[(&TableName, ViewRows<'_>)],
        low: &Watermark,
        high: &Watermark,
    ) -> Result<Vec<bool>, Box<dyn Error + Send + Sync>>;

    /// The table has another key: its chunks are forgotten. Returns the number that its next chunk will have; none if it is taken back.
    fn begin_again(&self, table: &TableName, key: &ChunkKey, definition: Option<u32>) -> Option<u32>;

    /// The table was not there any more at `at`.
    fn gone(&self, table: &TableName, at: Watermark);

    /// Tables that were taken back since this was asked last.
    fn taken_back(&self) -> Vec<TableName> {
        Vec::new()
    }

    /// The server is away, and is tried again after `pause`. For whoever watches.
    fn retrying(&self, _reason: String, _pause: Duration, _retry: &Retry) {}

    /// It is there again.
    fn recovered(&self) {}

    /// Whether readers wait because they are told to, and not for the sink.
    fn is_held(&self) -> bool {
        false
    }

    /// Whether no further chunk is to be read for now.
    fn is_paused(&self) -> bool {
        false
    }

    /// Returns when that is over.
    fn wait_while_paused(&self) {}
}

/// What is read in a view.
#[derive(Clone, Copy, Debug)]
pub enum ViewRows<'a> {
    /// All of these chunks.
    Of(&'a [u32]),
    /// What is left of a chunk whose first rows were read in an earlier view.
    Rest(u32),
}

impl ViewRows<'_> {
    /// Enters them in the ledger.
    pub fn begin(self, ledger: &mut Ledger, table: &TableName, low: Watermark, high: Watermark) {
        match self {
            ViewRows::Of(chunks) => ledger.begin(table, chunks, low, Some(high)),
            ViewRows::Rest(chunk) => ledger.go_on(table, chunk, low, Some(high)),
        }
    }
}

/// A ledger in memory, for loads that are not continued after a restart.
impl LoadRecord for Mutex<Ledger> {
    fn add_table(&self, table: &TableName, key: &ChunkKey, definition: Option<u32>) {
        lock(self).add_table(table, key.clone(), definition);
    }

    fn add_chunk(&self, table: &TableName, range: KeyRange) -> Option<u32> {
        Some(lock(self).add_chunk(table, range))
    }

    fn begin(
        &self,
        rows: &[(&TableName, ViewRows<'_>)],
        low: &Watermark,
        high: &Watermark,
    ) -> Result<Vec<bool>, Box<dyn Error + Send + Sync>> {
        let mut ledger = lock(self);
        rows.iter().for_each(|(table, rows)| rows.begin(&mut ledger, table, low.clone(), high.clone()));
        Ok(vec![true; rows.len()])
    }

    fn begin_again(&self, table: &TableName, key: &ChunkKey, definition: Option<u32>) -> Option<u32> {
        Some(lock(self).begin_again(table, key.clone(), definition))
    }

    fn gone(&self, table: &TableName, at: Watermark) {
        lock(self).gone(table, at);
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
    read_sample(connect, facts, table, rows_max, take).map_err(|failure| failure.of_table(table.table.name()))
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
    let view = View::open(&mut connection, ViewRule::Undated, facts, &[], None, 1)?;
    let meta = Arc::new(rows_meta(&view.coordinate, facts, now_s()));
    let all = KeyRange { lower: None, upper: None };
    let on_server = view::on_server(facts, &view.server);
    let select = select_statement(load_table, &ChunkKey::default(), &all, None, &on_server, rows_max, &mut Vec::new());
    let mut rows = connection.execute(&select, &[])?;
    let decoder = RowDecoder::new(table, &load_table.columns, rows.columns())
        .map_err(|changed| Failure::Table(TableError::Changed(changed)))?;
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

/// What rows of the load say of where they come from.
fn rows_meta(at: &Coordinate, facts: &ServerFacts, timestamp_s: u32) -> EventMeta {
    EventMeta {
        timestamp_s,
        server_id: facts.server_id(),
        thread_id: 0,
        coordinate: at.clone(),
        transaction: at.clone(),
        gtid: None,
    }
}

/// A session whose variables are as the load needs them. Which server it is on, a view tells.
fn open_session(connect: &ConnectOptions, facts: &ServerFacts) -> Result<Connection, Failure> {
    let mut connection = session_of(connect)?;
    connection.query(facts.session_settings())?;
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
    /// Where incremental reading goes on: what a view must contain.
    pub start: &'a Position,
    /// Whether that is where the task begins, by [`start_position`], and nothing was read behind it.
    pub start_is_low: bool,
    /// How a table is to be read that turns out to be another one than in `tables`.
    pub plan: &'a PlanTable<'a>,
    pub stop: &'a AtomicBool,
}

/// What to read of a table, now that it is defined like this.
pub type PlanTable<'a> = dyn Fn(Arc<Table>) -> Result<LoadTable, Box<dyn Error + Send + Sync>> + Sync + 'a;

impl Load<'_> {
    /// Reads until every chunk is emitted, or the flag is raised. A table that cannot be read does not stop the others.
    pub fn run(&self) -> Result<LoadEnd, LoadError> {
        let run = Run::new(self);
        // Nobody begins before all are there: else it is chance whether a system has enough threads.
        let all_are_there = &Mutex::new(());
        std::thread::scope(|scope| {
            let starting = lock(all_are_there);
            for slot in 0..run.slots() {
                // One that gets no thread counts as ended with its value.
                let reader = Reader::new(&run, slot);
                let thread = std::thread::Builder::new().name(format!("snapshot-{slot}"));
                let read = move || {
                    drop(lock(all_are_there));
                    reader.read_all();
                };
                if let Err(error) = thread.spawn_scoped(scope, read) {
                    run.stop(Some(LoadError::Thread(error)));
                }
            }
            drop(starting);
            run.wait_for_readers();
        });
        run.end()
    }
}

impl LoadTable {
    /// All rows and columns of the table, by its key.
    pub fn whole(table: Arc<Table>) -> LoadTable {
        let columns = (0..table.columns().len()).collect();
        LoadTable {
            table,
            chunk_column: None,
            is_whole: false,
            condition: None,
            part: None,
            columns,
            definition: None,
            row_bytes: 0,
            estimated_bytes: 0,
        }
    }

    /// The columns by which the table is cut.
    pub fn key(&self) -> Result<ChunkKey, TableError> {
        match &self.chunk_column {
            _ if self.is_whole => Ok(ChunkKey::default()),
            None => Ok(ChunkKey::of(&self.table)),
            Some(name) => match self.table.column_index(name) {
                Some(column) => Ok(ChunkKey::column(&self.table, column)),
                None => Err(TableError::NoSuchColumn(name.clone())),
            },
        }
    }

    /// Whether the server leaves out rows.
    fn is_filtered(&self) -> bool {
        self.condition.is_some() || self.part.is_some()
    }

    /// A number for the definition, by which another one is recognised.
    pub fn fingerprint(&self) -> Option<u32> {
        self.definition.as_ref().map(|definition| crc32fast::hash(definition.as_bytes()))
    }

    /// Whether borders of an equal key that were found under the definition `cut_under` still lie in the same order. Of text
    /// its collation tells; an order that only the server knows the definition may say differently now.
    fn is_ordered_as(&self, cut_under: Option<u32>) -> bool {
        let is_by_server = |column: &KeyColumn| column.order == KeyOrder::Server && column.collation.is_none();
        let by_server = |key: ChunkKey| key.columns.iter().any(is_by_server);
        match (cut_under, self.fingerprint()) {
            (Some(before), Some(now)) => before == now || !self.key().is_ok_and(by_server),
            _ => true,
        }
    }
}

fn select_statement(
    table: &LoadTable,
    key: &ChunkKey,
    range: &KeyRange,
    index: Option<&str>,
    on_server: &str,
    rows_max: u64,
    params: &mut Vec<super::wire::Param>,
) -> String {
    let range = range.condition(&table.table, key, params);
    let mut sql =
        format!("SELECT {} FROM {}", select_list(&table.table, &table.columns), quote_table(table.table.name()));
    if !range.is_empty() {
        sql += &format!(" {}", chunks::force_index(index));
    }
    let [condition, part] =
        [&table.condition, &table.part].map(|text| text.as_deref().map(enclosed).unwrap_or_default());
    let conditions = [range, condition, part, on_server.to_owned()];
    let conditions: Vec<String> = conditions.into_iter().filter(|text| !text.is_empty()).collect();
    sql += &format!(" WHERE {}", conditions.join(" AND "));
    // A limit of its own wins over `sql_select_limit`, whatever that is and whoever set it.
    sql + &format!(" LIMIT {rows_max}")
}

/// A condition beside others. A comment at its end goes no further.
pub fn enclosed(condition: &str) -> String {
    format!("({condition}\n)")
}

/// Whether the server takes this for a condition on the table's rows, under the settings of a load's session. It is asked twice: in
/// parentheses, and alone, so that it has none which close those. A statement that is prepared is one statement.
pub fn try_part(
    connect: &ConnectOptions,
    facts: &ServerFacts,
    table: &TableName,
    condition: &str,
) -> Result<(), LoadError> {
    let ask = || -> Result<(), Failure> {
        let mut connection = open_session(connect, facts)?;
        for condition in [enclosed(condition), format!("{condition}\n")] {
            let select = format!("SELECT 1 FROM {} WHERE {condition} LIMIT 0", quote_table(table));
            let mut rows = connection.execute(&select, &[])?;
            while rows.next()?.is_some() {}
        }
        Ok(())
    };
    ask().map_err(Failure::of_session)
}

fn finish_batch(
    table: &Arc<Table>,
    builder: &mut RowsBuilder,
    rows: usize,
    meta: &Arc<EventMeta>,
) -> Result<ChangeBatch, Failure> {
    // Those that were not asked for have no values yet.
    builder.columns.iter_mut().for_each(|column| column.fill(rows));
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
