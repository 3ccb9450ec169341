//! Which chunk was read at which position, and what incremental may therefore drop.
//!
//! Incremental starts at a position before the first chunk was read. What it finds may have been shown by a chunk:
//!
//! ```text
//! binlog   ──P0──────●─────────●────────────●───────►
//!                  insert 7   update 7    delete 7
//! chunk [1, 10)             ▲low  ▲view
//!                   dropped │ emitted
//! ```
//!
//! `low` is a position of which the view certainly shows everything; why it does is argued in [`snapshot`](super::snapshot).
//! A change at or before `low` is dropped, everything after it is emitted, perhaps once more than needed. A chunk that
//! is read again keeps the `low` of its *first* attempt: rows of that attempt may be out already, and a delete between
//! the two views must follow them, or a row stays for ever that no longer exists.
//!
//! An update is two questions: does the row's old chunk know that it is gone, and does its new chunk know that it has
//! come? A row that moves from a chunk read early to one read late is deleted only; one that moves the other way is
//! inserted only.
//!
//! For each key there is one point up to which its changes are dropped: else an old change could come out and the newer ones
//! be dropped that the chunk has shown. What is one key, consumers may decide by bytes or as the server does. So a key whose
//! chunk only the server could tell, such as `é` in a key of text, goes by the smallest `low` of all chunks; and because it
//! may be one with keys that do not, all of its table does from then on ([`Unsure`]).
//!
//! The ledger is part of the checkpoint. It knows nothing of how chunks are read.

use std::cmp::Ordering;
use std::sync::atomic::{AtomicBool, Ordering as Memory};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, AsArray, BinaryArray, BooleanArray, RecordBatch, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;
use serde::{Deserialize, Serialize};

use super::chunks::{ChunkKey, KeyColumn, KeyOrder, KeyRange, KeyRef, KeyValue};
use super::collation::AsciiOrder;
use tidegate_model::types::{date_parts, datetime_parts};
use tidegate_model::{ChangeBatch, Coordinate, EventMeta, Gtid, GtidSet, Position, Table, TableName, Watermark};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChunkState {
    /// No row of it can have left.
    Planned,
    /// Rows of it may have left.
    Reading,
    /// All rows of it are delivered.
    Done,
}

/// A piece of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    pub range: KeyRange,
    /// Of the first attempt.
    pub low: Option<Watermark>,
    /// Of the latest attempt: its view shows nothing beyond. Equal to `low` if nothing was committed in between.
    pub high: Option<Watermark>,
    pub state: ChunkState,
    /// Delivered by the latest attempt.
    pub rows: u64,
}

/// The chunks of one table, in the order of its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableChunks {
    pub name: TableName,
    pub key: ChunkKey,
    /// The last chunk found is the last there is.
    pub planned: bool,
    /// The number of the first chunk here. Those before were cut by another key, which the table no longer has.
    #[serde(default)]
    pub first_chunk: u32,
    /// A chunk's number is its place here, from `first_chunk` on.
    pub chunks: Vec<Chunk>,
    /// Stands for the definition under which the table was cut.
    #[serde(default)]
    pub definition: Option<u32>,
    /// Nothing of the table is dropped any more: what chunks have shown of it is of another time or another table.
    #[serde(default)]
    pub replayed: bool,
    /// The table was not there any more at this position: there is nothing to read of it.
    #[serde(default)]
    pub gone: Option<Watermark>,
    /// Where the first view of the table that ever was open had come to: what is older is older than every row that was sent.
    #[serde(default)]
    pub first_high: Option<Watermark>,
    /// The `low` of all chunks, if rows of chunks that are forgotten may be out: that of the first of those.
    #[serde(default)]
    pub floor: Option<Watermark>,
    /// The statement before which it was loaded again: its changes from before are older than its rows, and were sent before them.
    #[serde(default)]
    pub since: Option<Coordinate>,
    #[serde(default)]
    pub unsure: Unsure,
}

/// A change was emitted because only the server could tell whether its chunk had shown it: from then on no change of the
/// table is dropped that is not shown by all chunks.
///
/// All clones share it: who filters holds a clone of the checkpoint's ledger. It is raised before the change is emitted, so
/// that every checkpoint beyond the change has it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "bool", into = "bool")]
pub struct Unsure(Arc<AtomicBool>);

impl Unsure {
    fn raise(&self) {
        self.0.store(true, Memory::Relaxed);
    }

    fn is_raised(&self) -> bool {
        self.0.load(Memory::Relaxed)
    }
}

impl From<bool> for Unsure {
    fn from(raised: bool) -> Unsure {
        Unsure(Arc::new(AtomicBool::new(raised)))
    }
}

impl From<Unsure> for bool {
    fn from(unsure: Unsure) -> bool {
        unsure.is_raised()
    }
}

impl PartialEq for Unsure {
    fn eq(&self, other: &Unsure) -> bool {
        self.is_raised() == other.is_raised()
    }
}

impl Eq for Unsure {}

impl TableChunks {
    fn new(name: TableName, key: ChunkKey, definition: Option<u32>) -> TableChunks {
        TableChunks {
            name,
            key,
            planned: false,
            first_chunk: 0,
            chunks: Vec::new(),
            definition,
            replayed: false,
            gone: None,
            first_high: None,
            floor: None,
            since: None,
            unsure: Unsure::default(),
        }
    }

    pub fn is_done(&self) -> bool {
        self.gone.is_some() || (self.planned && self.chunks.iter().all(|chunk| chunk.state == ChunkState::Done))
    }

    /// Chunks with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (u32, &Chunk)> {
        (self.first_chunk..).zip(&self.chunks)
    }

    pub fn rows(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.rows).sum()
    }

    /// Where cutting goes on: the upper border of the last chunk.
    pub fn cut_until(&self) -> Option<&[KeyValue]> {
        self.chunks.last()?.range.upper.as_deref()
    }
}

/// The state of a full load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ledger {
    start: Position,
    /// Ordered by name.
    tables: Vec<TableChunks>,
    #[serde(skip)]
    horizon: OnceLock<Horizon>,
}

/// Beyond it lies nothing by which changes or statements are judged.
#[derive(Clone, Debug, Default)]
struct Horizon {
    gtids: Option<GtidSet>,
    coordinate: Option<Coordinate>,
}

impl PartialEq for Ledger {
    fn eq(&self, other: &Ledger) -> bool {
        self.start == other.start && self.tables == other.tables
    }
}

impl Ledger {
    /// `start` is where incremental reading begins: everything before it is visible to every view opened later.
    pub fn new(start: Position) -> Ledger {
        Ledger { start, tables: Vec::new(), horizon: OnceLock::new() }
    }

    pub fn start(&self) -> &Position {
        &self.start
    }

    pub fn tables(&self) -> &[TableChunks] {
        &self.tables
    }

    pub fn table(&self, name: &TableName) -> Option<&TableChunks> {
        self.tables.binary_search_by(|table| table.name.cmp(name)).ok().map(|index| &self.tables[index])
    }

    fn table_mut(&mut self, name: &TableName) -> &mut TableChunks {
        self.horizon = OnceLock::new();
        let index = self.tables.binary_search_by(|table| table.name.cmp(name));
        let index = index.unwrap_or_else(|_| panic!("table {name} is not in the ledger"));
        &mut self.tables[index]
    }

    /// None for a chunk that was cut by a key which the table no longer has.
    fn chunk_mut(&mut self, name: &TableName, chunk: u32) -> Option<&mut Chunk> {
        let table = self.table_mut(name);
        let index = chunk.checked_sub(table.first_chunk)? as usize;
        let count = table.chunks.len();
        let chunk = table.chunks.get_mut(index);
        Some(chunk.unwrap_or_else(|| panic!("table {name} has {count} chunks in the ledger")))
    }

    /// Enters a table, unless it is there: then it keeps its chunks.
    pub fn add_table(&mut self, name: &TableName, key: ChunkKey, definition: Option<u32>) {
        if let Err(index) = self.tables.binary_search_by(|table| table.name.cmp(name)) {
            self.tables.insert(index, TableChunks::new(name.clone(), key, definition));
        }
    }

    /// Forgets the chunks of a table, which is cut anew, by another key perhaps. Rows of theirs may be out: what has become of them
    /// since the first was read must follow, so that its `low` is that of all chunks to come. Returns the next chunk's number.
    pub fn begin_again(&mut self, name: &TableName, key: ChunkKey, definition: Option<u32>) -> u32 {
        let table = self.table_mut(name);
        let first_chunk = table.first_chunk + table.chunks.len() as u32;
        // Views are opened one after the other: the chunk that was begun first has the smallest.
        let lows = table.chunks.iter().filter_map(|chunk| chunk.low.as_ref());
        let floor = table.floor.clone().or_else(|| smallest(lows).cloned());
        let (since, first_high, replayed) = (table.since.take(), table.first_high.take(), table.replayed);
        let new = TableChunks::new(name.clone(), key, definition);
        *table = TableChunks { first_chunk, floor, since, first_high, replayed, ..new };
        first_chunk
    }

    /// The table was not there any more at `at`. Its changes are emitted, all of them: should it come back, they are its rows.
    pub fn gone(&mut self, name: &TableName, at: Watermark) {
        let table = self.table_mut(name);
        table.first_chunk += table.chunks.len() as u32;
        table.chunks.clear();
        (table.planned, table.gone, table.replayed) = (false, Some(at), true);
    }

    /// Enters a table, or enters it anew: all its rows are to be read before the statement at `since` is, and none of its changes
    /// from there on is dropped.
    pub fn load_again(&mut self, name: &TableName, key: ChunkKey, definition: Option<u32>, since: &Coordinate) {
        self.add_table(name, key.clone(), definition);
        self.begin_again(name, key, definition);
        let table = self.table_mut(name);
        (table.floor, table.replayed, table.since) = (None, true, Some(since.clone()));
    }

    /// Enters a table of which no row was sent: all its rows are to be read, and changes that its chunks show are dropped. It is
    /// met first at `since`.
    pub fn load_new(&mut self, name: &TableName, key: ChunkKey, definition: Option<u32>, since: &Coordinate) {
        if self.table(name).is_some() {
            // Of an earlier table of this name, rows may have been.
            return self.load_again(name, key, definition, since);
        }
        self.add_table(name, key, definition);
        self.table_mut(name).since = Some(since.clone());
    }

    /// The table, just entered, is not there any more at `at`: what it was until then is as if it had been read as empty.
    pub fn absent(&mut self, name: &TableName, at: Watermark) {
        self.table_mut(name).gone = Some(at);
    }

    /// Whether what is known of a table that was entered while following covers all its changes in this transaction: none of them
    /// leaves, so that nobody need know its columns then.
    pub fn shows_all(&self, name: &TableName, gtid: Option<&Gtid>, transaction: &Coordinate) -> bool {
        let Some(table) = self.table(name).filter(|table| table.since.is_some() && !table.replayed) else {
            return false;
        };
        let covers = |low: &Option<Watermark>| low.as_ref().is_some_and(|low| low.covers(gtid, transaction));
        match &table.gone {
            Some(_) => covers(&table.gone),
            None => table.planned && !table.chunks.is_empty() && table.chunks.iter().all(|chunk| covers(&chunk.low)),
        }
    }

    /// Whether the table is to be loaded and nothing of it has been cut yet.
    pub fn waits(&self, name: &TableName) -> bool {
        self.table(name).is_some_and(|table| table.gone.is_none() && !table.planned && table.chunks.is_empty())
    }

    /// Whether the table was gone behind this transaction.
    pub fn was_gone(&self, name: &TableName, gtid: Option<&Gtid>, transaction: &Coordinate) -> bool {
        let gone = self.table(name).and_then(|table| table.gone.as_ref());
        gone.is_some_and(|gone| gone.covers(gtid, transaction))
    }

    /// Whether no change of the table from before this statement is sent behind rows that chunks read behind it. Where `low` is the
    /// start of a file, it may be: such changes would be of another table, and nothing follows that puts them right.
    pub fn is_clean_before(&self, name: &TableName, gtid: Option<&Gtid>, at: &Coordinate) -> bool {
        let covers = |low: &Option<Watermark>| low.as_ref().is_none_or(|low| low.covers(gtid, at));
        self.table(name).is_none_or(|table| {
            let is_dropped = !table.replayed && table.chunks.iter().all(|chunk| covers(&chunk.low));
            is_dropped || table.since.as_ref() == Some(at)
        })
    }

    /// Whether a statement on the table is older than every row of it that was sent.
    pub fn is_before_rows(&self, name: &TableName, gtid: Option<&Gtid>, at: &Coordinate) -> bool {
        let first = self.table(name).and_then(|table| table.first_high.as_ref());
        first.is_some_and(|first| first.covers(gtid, at))
    }

    /// Whether every chunk of the table was read behind a statement of this transaction on it, or the table was gone behind it.
    /// The definition is locked while a view opens, so that `high` tells.
    pub fn has_seen(&self, name: &TableName, gtid: Option<&Gtid>, transaction: &Coordinate) -> bool {
        let covers = |high: &Option<Watermark>| high.as_ref().is_some_and(|high| high.covers(gtid, transaction));
        self.table(name).is_some_and(|table| match &table.gone {
            Some(_) => covers(&table.gone),
            None => table.is_done() && table.chunks.iter().all(|chunk| covers(&chunk.high)),
        })
    }

    /// Whether the load was still going on behind this transaction. That a table was found to be gone is a part of it: the name
    /// that it has now is to be read.
    pub fn ended_behind(&self, gtid: Option<&Gtid>, transaction: &Coordinate) -> bool {
        let highs = self.tables.iter().flat_map(|table| &table.chunks).filter_map(|chunk| chunk.high.as_ref());
        let gone = self.tables.iter().filter_map(|table| table.gone.as_ref());
        highs.chain(gone).any(|seen| seen.covers(gtid, transaction))
    }

    /// Forgets a table that the task no longer has.
    pub fn forget(&mut self, name: &TableName) {
        self.horizon = OnceLock::new();
        self.tables.retain(|table| table.name != *name);
    }

    /// From here on nothing of the table is dropped. True if that is news.
    pub fn replay(&mut self, name: &TableName) -> bool {
        let table = self.tables.iter_mut().find(|table| table.name == *name);
        table.is_some_and(|table| !std::mem::replace(&mut table.replayed, true))
    }

    /// Enters the next chunk of a table, which begins where the one before ends, and returns its number. A range
    /// without upper border is the table's last.
    pub fn add_chunk(&mut self, name: &TableName, range: KeyRange) -> u32 {
        let table = self.table_mut(name);
        assert!(!table.planned, "table {name} has its last chunk");
        assert_eq!(table.cut_until(), range.lower.as_deref(), "chunks of {name} leave no gap");
        table.planned = range.upper.is_none();
        table.chunks.push(Chunk { range, low: None, high: None, state: ChunkState::Planned, rows: 0 });
        table.first_chunk + (table.chunks.len() - 1) as u32
    }

    /// A view of the chunk is open and its rows are about to leave. Must be on disk before the first one does.
    pub fn begin(&mut self, name: &TableName, chunk: u32, low: Watermark, high: Option<Watermark>) {
        let table = self.table_mut(name);
        if let Some(high) = &high {
            table.first_high.get_or_insert_with(|| high.clone());
        }
        let low = table.floor.clone().unwrap_or(low);
        let Some(chunk) = self.chunk_mut(name, chunk) else { return };
        chunk.low.get_or_insert(low);
        chunk.high = high;
        chunk.state = ChunkState::Reading;
        chunk.rows = 0;
    }

    /// Rows of a chunk are delivered; `done` says that they were its last.
    pub fn chunk_acknowledged(&mut self, name: &TableName, chunk: u32, rows: u64, done: bool) {
        let Some(chunk) = self.chunk_mut(name, chunk) else { return };
        chunk.rows += rows;
        if done {
            chunk.state = ChunkState::Done;
        }
    }

    /// Whether every row of every table is delivered.
    pub fn all_done(&self) -> bool {
        self.tables.iter().all(TableChunks::is_done)
    }

    /// Whether incremental reading has passed everything that a chunk may have shown, so that nothing is left to filter.
    pub fn settled(&self, position: &Position) -> bool {
        if !self.all_done() {
            return false;
        }
        let horizon = self.horizon.get_or_init(|| self.find_horizon());
        let gtids_passed = match (&horizon.gtids, &position.gtids) {
            (Some(horizon), Some(executed)) => executed.contains_set(horizon),
            (Some(_), None) => false,
            (None, _) => true,
        };
        gtids_passed && horizon.coordinate.as_ref().is_none_or(|horizon| *horizon <= position.coordinate)
    }

    fn find_horizon(&self) -> Horizon {
        let mut horizon = Horizon::default();
        // Statements are judged by `high`, and by where a table was gone.
        let chunks = self.tables.iter().flat_map(|table| &table.chunks);
        let of_chunks = chunks.flat_map(|chunk| [chunk.low.as_ref(), chunk.high.as_ref()]);
        let of_tables = self.tables.iter().map(|table| table.gone.as_ref());
        for watermark in of_chunks.chain(of_tables).flatten() {
            match watermark {
                Watermark::Gtids(set) => match &mut horizon.gtids {
                    Some(gtids) if gtids.contains_set(set) => {}
                    Some(gtids) => gtids.extend(set),
                    None => horizon.gtids = Some(set.clone()),
                },
                Watermark::Coordinate(coordinate) => {
                    if horizon.coordinate.as_ref().is_none_or(|highest| highest < coordinate) {
                        horizon.coordinate = Some(coordinate.clone());
                    }
                }
            }
        }
        horizon
    }

    /// Whether the rows of `table`, a version met in the binlog, still belong to the chunks by the same columns and are the same
    /// rows by them. A table that is not in the ledger fits.
    pub fn fits(&self, table: &Table) -> bool {
        let Some(TableChunks { key, .. }) = self.table(table.name()) else { return true };
        key.columns.iter().all(|column| {
            let index = table.column_index(&column.name);
            index.is_some_and(|index| {
                KeyOrder::of(&table.columns()[index].sql_type) == column.order
                    && (!key.identifies || table.key().is_empty() || table.key().contains(&index))
            })
        })
    }

    /// The chunk of each row by its key; none if only the server could tell.
    #[cfg(test)]
    pub(super) fn chunks_of(&self, batch: &ChangeBatch) -> Option<Vec<usize>> {
        let table = self.table(batch.table().name())?;
        let keys = exact_keys(table, batch)?;
        (0..batch.kinds().len()).map(|row| find_chunk(&table.chunks, &keys, row)).collect()
    }

    /// Drops what the chunks of the table have shown already. A table that is not in the ledger passes as it is.
    pub fn filter(&self, batch: ChangeBatch) -> ChangeBatch {
        let judged = |table: &&TableChunks| table.planned && !table.replayed;
        let Some(table) = self.table(batch.table().name()).filter(judged) else { return batch };
        let mut verdicts = Verdicts::new(&table.chunks);
        let mut keep = Vec::with_capacity(batch.kinds().len());
        let (keys, fits) = (exact_keys(table, &batch), self.fits(batch.table()));
        for run in batch.events() {
            verdicts.begin_run(&run.meta);
            for row in keep.len()..run.end {
                let exact = keys.as_ref().filter(|_| fits && !table.unsure.is_raised());
                let shown = match exact.map(|keys| find_chunk(&table.chunks, keys, row)) {
                    Some(Some(chunk)) => verdicts.shown_by(chunk),
                    Some(None) => {
                        let shown = verdicts.shown_by_all();
                        if !shown {
                            table.unsure.raise();
                        }
                        shown
                    }
                    None => {
                        let shown = verdicts.shown_by_all();
                        if !shown {
                            table.unsure.raise();
                        }
                        keep.resize(run.end, !shown);
                        break;
                    }
                };
                keep.push(!shown);
            }
        }
        batch.retain(&BooleanArray::from(keep))
    }
}

/// The smallest of some watermarks of one server, of which each contains another's.
fn smallest<'a>(watermarks: impl Iterator<Item = &'a Watermark>) -> Option<&'a Watermark> {
    watermarks.reduce(|smallest, next| match (smallest, next) {
        (Watermark::Gtids(set), Watermark::Gtids(other)) if !other.contains_set(set) => next,
        (Watermark::Coordinate(at), Watermark::Coordinate(other)) if other < at => next,
        _ => smallest,
    })
}

/// Answers for the transaction at hand, each found once.
struct Verdicts<'a> {
    chunks: &'a [Chunk],
    /// Per chunk: the run for which it was asked last, and the answer.
    answers: Vec<(u32, bool)>,
    run: u32,
    meta: Option<&'a EventMeta>,
}

impl<'a> Verdicts<'a> {
    fn new(chunks: &'a [Chunk]) -> Verdicts<'a> {
        Verdicts { chunks, answers: vec![(0, false); chunks.len()], run: 0, meta: None }
    }

    fn begin_run(&mut self, meta: &'a EventMeta) {
        self.run += 1;
        self.meta = Some(meta);
    }

    /// Whether the chunk's view certainly showed the transaction.
    fn shown_by(&mut self, chunk: usize) -> bool {
        let (run, answer) = &mut self.answers[chunk];
        if *run != self.run {
            let meta = self.meta.expect("a run has begun");
            let low = self.chunks[chunk].low.as_ref();
            *answer = low.is_some_and(|low| low.covers(meta.gtid.as_ref(), &meta.transaction));
            *run = self.run;
        }
        *answer
    }

    /// Whether it lies at or before the smallest `low`. Executed sets of one server contain one another, so that the
    /// smallest covers a transaction exactly if all do; for sets which do not, all must still agree.
    fn shown_by_all(&mut self) -> bool {
        !self.chunks.is_empty() && (0..self.chunks.len()).all(|chunk| self.shown_by(chunk))
    }
}

/// Keys of a batch's rows.
struct Keys<'a> {
    /// Key columns, each in the encoding of its order.
    cells: Vec<KeyCells<'a>>,
    /// NULLs of the only column: they lie in the first chunk, before all borders.
    nulls: Option<NullBuffer>,
}

enum KeyCells<'a> {
    Ints(Vec<i128>),
    Bytes(&'a BinaryArray),
    Text(&'a StringArray, &'static AsciiOrder),
}

/// The version of a table that was cut, as the history counts.
const CUT_VERSION: u32 = 1;

/// The keys by which rows find their chunk, or none if only the server could tell: an order by a collation that is not known
/// here, or a column that the table no longer has, or no longer has as it was when the table was cut.
fn exact_keys<'a>(table: &TableChunks, batch: &'a ChangeBatch) -> Option<Keys<'a>> {
    let (key, now) = (&table.key, batch.table());
    if key.columns.is_empty() || !key.identifies {
        return None;
    }
    // A key that was added since identifies rows by other columns.
    let mut places = key.columns.iter().map(|column| now.column_index(&column.name));
    if !now.key().is_empty() && !places.any(|place| place.is_some_and(|place| now.key().contains(&place))) {
        return None;
    }
    let cells = key.columns.iter().enumerate().map(|(place, column)| {
        let index = now.column_index(&column.name)?;
        let order = KeyOrder::of(&now.columns()[index].sql_type);
        if order != column.order {
            return None;
        }
        match order {
            KeyOrder::Server => {
                let order = text_order(table, place, column).filter(|_| now.version() == CUT_VERSION)?;
                Some(KeyCells::Text(batch.rows().column(index).as_string_opt::<i32>()?, order))
            }
            order => key_cells(order, batch.rows(), index),
        }
    });
    let cells: Vec<_> = cells.collect::<Option<_>>()?;
    let columns = key.columns.iter().filter_map(|column| now.column_index(&column.name));
    let mut nulls =
        columns.filter_map(|index| batch.rows().column(index).nulls()).filter(|nulls| nulls.null_count() > 0);
    let nulls = nulls.next().cloned();
    (nulls.is_none() || cells.len() == 1).then_some(Keys { cells, nulls })
}

/// The order of a key column of text, if all borders can be compared by it.
fn text_order(table: &TableChunks, place: usize, column: &KeyColumn) -> Option<&'static AsciiOrder> {
    let order = AsciiOrder::of(column.collation.as_deref()?)?;
    let mut borders = table.chunks.iter().filter_map(|chunk| chunk.range.lower.as_ref()?.get(place));
    borders.all(|border| matches!(border, KeyValue::Text(text) if order.covers(text))).then_some(order)
}

fn key_cells(order: KeyOrder, rows: &RecordBatch, column: usize) -> Option<KeyCells<'_>> {
    let array = rows.column(column);
    macro_rules! ints {
        ($type:ty, $convert:expr) => {
            KeyCells::Ints(array.as_primitive_opt::<$type>()?.values().iter().map(|&value| $convert(value)).collect())
        };
    }
    let packed_date = |days: i32| {
        let (year, month, day) = date_parts(days);
        i128::from(year << 9 | month << 5 | day)
    };
    let packed_datetime = |microseconds: i64| {
        let (days, microsecond_of_day) = datetime_parts(microseconds);
        packed_date(days) << 37 | i128::from(microsecond_of_day)
    };
    Some(match order {
        KeyOrder::Integer => match array.data_type() {
            DataType::Int8 => ints!(Int8Type, i128::from),
            DataType::Int16 => ints!(Int16Type, i128::from),
            DataType::Int32 => ints!(Int32Type, i128::from),
            DataType::Int64 => ints!(Int64Type, i128::from),
            DataType::UInt8 => ints!(UInt8Type, i128::from),
            DataType::UInt16 => ints!(UInt16Type, i128::from),
            DataType::UInt32 => ints!(UInt32Type, i128::from),
            DataType::UInt64 => ints!(UInt64Type, i128::from),
            _ => return None,
        },
        KeyOrder::Decimal { .. } => ints!(Decimal128Type, |value| value),
        KeyOrder::Date => ints!(Date32Type, packed_date),
        KeyOrder::DateTime | KeyOrder::Timestamp => ints!(TimestampMicrosecondType, packed_datetime),
        KeyOrder::Time => ints!(DurationMicrosecondType, i128::from),
        KeyOrder::Bytes => KeyCells::Bytes(array.as_binary_opt::<i32>()?),
        KeyOrder::Server => return None,
    })
}

/// The chunk whose range holds the key of a row; none if only the server could tell.
fn find_chunk(chunks: &[Chunk], keys: &Keys<'_>, row: usize) -> Option<usize> {
    if keys.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
        return (!chunks.is_empty()).then_some(0);
    }
    // The last chunk that does not begin beyond the key. The first has no lower border.
    let after = match keys.cells.as_slice() {
        [KeyCells::Ints(values)] => {
            let key = values[row];
            chunks.partition_point(|chunk| match chunk.range.lower.as_deref() {
                Some([KeyValue::Int(lower)]) => *lower <= key,
                _ => true,
            })
        }
        cells => {
            let is_covered = |cells: &KeyCells<'_>| match cells {
                KeyCells::Text(array, order) => order.covers(array.value(row)),
                KeyCells::Ints(_) | KeyCells::Bytes(_) => true,
            };
            if !cells.iter().all(is_covered) {
                return None;
            }
            chunks.partition_point(|chunk| {
                chunk.range.lower.as_ref().is_none_or(|lower| compare(cells, row, lower) != Ordering::Less)
            })
        }
    };
    after.checked_sub(1)
}

/// A border that names fewer columns lies before every key that begins like it.
fn compare(keys: &[KeyCells<'_>], row: usize, border: &[KeyValue]) -> Ordering {
    for (cells, border) in keys.iter().zip(border) {
        let key = match cells {
            KeyCells::Ints(values) => KeyRef::Int(values[row]),
            KeyCells::Bytes(array) => KeyRef::Bytes(array.value(row)),
            KeyCells::Text(array, order) => KeyRef::Text(array.value(row), order),
        };
        match key.compare(border) {
            Ordering::Equal => {}
            other => return other,
        }
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::EventRun;
    use tidegate_model::pretty::{draw, parse};

    const SERVER: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn executed(last: u64) -> Watermark {
        Watermark::Gtids(format!("{SERVER}:1-{last}").parse().unwrap())
    }

    fn position(gtids: Option<&str>, offset: u64) -> Position {
        Position::new(Coordinate::new("binlog.000001", offset), gtids.map(|text| text.parse().unwrap()))
    }

    fn name() -> TableName {
        TableName::new("db", "t")
    }

    fn ints(values: &[i128]) -> Vec<KeyValue> {
        values.iter().copied().map(KeyValue::Int).collect()
    }

    /// Chunks of table db.t with a border between each two, and the `low` of each.
    fn ledger(header: &str, key: &[usize], borders: &[Vec<KeyValue>], lows: Vec<Watermark>) -> Ledger {
        let table = tidegate_model::pretty::table(header);
        let columns = key.iter().map(|&column| ChunkKey::column(&table, column).columns.remove(0)).collect();
        let mut ledger = Ledger::new(position(None, 4));
        ledger.add_table(&name(), ChunkKey { columns, identifies: true }, None);
        let lowers = std::iter::once(None).chain(borders.iter().cloned().map(Some));
        let uppers = borders.iter().cloned().map(Some).chain([None]);
        for ((lower, upper), low) in lowers.zip(uppers).zip(lows) {
            let chunk = ledger.add_chunk(&name(), KeyRange { lower, upper });
            ledger.begin(&name(), chunk, low, None);
        }
        ledger
    }

    #[test]
    fn a_table_that_begins_again_forgets_its_chunks_and_keeps_the_first_low() {
        let mut ledger = ledger("id:int v:int", &[0], &[ints(&[10])], vec![executed(5), executed(9)]);
        let drawn = || transactions("id:int v:int", "+I 3 0 @4\n+I 12 0 @8");
        assert!(ledger.filter(drawn()).is_empty());
        let key = ledger.tables()[0].key.clone();
        assert_eq!(ledger.begin_again(&name(), key.clone(), Some(7)), 2);
        // Rows of the first attempt are still on their way.
        ledger.chunk_acknowledged(&name(), 1, 10, true);
        ledger.begin(&name(), 0, executed(11), None);
        let chunk = ledger.add_chunk(&name(), KeyRange::default());
        assert_eq!((chunk, ledger.tables()[0].rows(), ledger.all_done()), (2, 0, false));
        ledger.begin(&name(), chunk, executed(12), Some(executed(12)));
        ledger.chunk_acknowledged(&name(), chunk, 3, true);
        // What the smallest of the old chunks had shown is older than all rows that may be out; a delete behind it must follow.
        assert!(ledger.all_done() && ledger.filter(drawn()).kinds().len() == 1);
        assert_eq!(ledger.filter(transactions("id:int v:int", "-D 3 0 @12")).kinds().len(), 1);
        let numbers: Vec<u32> = ledger.tables()[0].numbered().map(|(number, _)| number).collect();
        assert_eq!(numbers, [2]);

        ledger.load_again(&name(), key, None, &Coordinate::new("binlog.000001", 70));
        assert_eq!(ledger.filter(drawn()).kinds().len(), 2, "nothing is dropped");
        let clean = |offset| ledger.is_clean_before(&name(), None, &Coordinate::new("binlog.000001", offset));
        assert!(clean(70) && !clean(90), "before the statement for which it was loaded, everything was sent before");
    }

    #[test]
    fn a_table_that_is_new_while_following_drops_what_its_chunks_show() {
        let at = |offset| Coordinate::new("binlog.000001", offset);
        let gtid = |number| only_gtid(&format!("{SERVER}:{number}").parse().unwrap(), number);
        let shows = |ledger: &Ledger, number| ledger.shows_all(&name(), gtid(number).as_ref(), &at(4));
        let mut ledger = Ledger::new(position(None, 4));
        ledger.load_new(&name(), ChunkKey::default(), None, &at(70));
        assert!(ledger.waits(&name()) && !ledger.all_done() && !shows(&ledger, 5));
        let chunk = ledger.add_chunk(&name(), KeyRange::default());
        ledger.begin(&name(), chunk, executed(5), Some(executed(6)));
        assert!(!ledger.waits(&name()) && shows(&ledger, 5) && !shows(&ledger, 6));
        assert!(ledger.is_clean_before(&name(), None, &at(70)));
        // Rows of it are out now: a table of this name that is met once more is another one, or this one again.
        ledger.load_new(&name(), ChunkKey::default(), None, &at(90));
        let chunk = ledger.add_chunk(&name(), KeyRange::default());
        ledger.begin(&name(), chunk, executed(9), Some(executed(9)));
        assert!(!shows(&ledger, 9));

        let mut ledger = Ledger::new(position(None, 4));
        ledger.load_new(&name(), ChunkKey::default(), None, &at(70));
        ledger.absent(&name(), executed(7));
        assert!(ledger.all_done() && shows(&ledger, 7) && !shows(&ledger, 8));
        assert!(
            ledger.was_gone(&name(), gtid(7).as_ref(), &at(4)) && !ledger.was_gone(&name(), gtid(8).as_ref(), &at(4))
        );
        assert!(!ledger.settled(&position(Some(&format!("{SERVER}:1-6")), 4)));
        assert!(ledger.settled(&position(Some(&format!("{SERVER}:1-7")), 4)));
    }

    #[test]
    fn the_ledger_lives_until_statements_need_it_no_more() {
        let mut ledger = ledger("id:int v:int", &[0], &[], vec![executed(5)]);
        let at = |last: u64| position(Some(&format!("{SERVER}:1-{last}")), 4);
        ledger.begin(&name(), 0, executed(5), Some(executed(8)));
        ledger.chunk_acknowledged(&name(), 0, 1, true);
        assert!(!ledger.settled(&at(6)) && ledger.settled(&at(8)));
        ledger.gone(&name(), executed(11));
        assert!(!ledger.settled(&at(8)) && ledger.settled(&at(11)));
    }

    #[test]
    fn a_version_with_other_keys_does_not_fit() {
        let mut ledger = ledger("id:int v:int", &[0], &[], vec![executed(5)]);
        let fits = |ledger: &Ledger, header: &str, key: &[usize]| {
            let mut parts = tidegate_model::TableParts::from(Table::clone(&tidegate_model::pretty::table(header)));
            parts.unique_keys[0].columns = key.to_vec();
            ledger.fits(&Table::from(parts))
        };
        assert!(fits(&ledger, "id:int v:int", &[0]) && fits(&ledger, "v:int id:int w:int", &[1]));
        assert!(!fits(&ledger, "key:int v:int", &[0]), "renamed");
        assert!(!fits(&ledger, "id:int v:int", &[1]), "another key");
        assert!(!fits(&ledger, "id:text v:int", &[0]), "another order");
        assert!(ledger.replay(&name()) && !ledger.replay(&name()));
        // Of text, a version does not tell the collation: that is for who judges.
        let ledger = cut_by_text("utf8mb4_0900_ai_ci", &["m"], vec![executed(5), executed(8)]);
        assert!(fits(&ledger, "id:text v:int", &[0]));
        // Rows without a key are cut by a column of the user's choice.
        let keyless = |header| {
            let mut parts = tidegate_model::TableParts::from(Table::clone(&tidegate_model::pretty::table(header)));
            parts.unique_keys.clear();
            ledger.fits(&Table::from(parts))
        };
        assert!(keyless("id:text v:int") && !keyless("key:text v:int"));
    }

    #[test]
    fn a_statement_is_seen_by_chunks_that_were_read_behind_it() {
        let mut ledger = ledger("id:int v:int", &[0], &[ints(&[10])], vec![executed(5), executed(9)]);
        let gtid = |number| only_gtid(&format!("{SERVER}:{number}").parse().unwrap(), number);
        let at = Coordinate::new("binlog.000001", 4);
        for (chunk, high) in [(0, 6), (1, 9)] {
            ledger.begin(&name(), chunk, executed(high), Some(executed(high)));
            ledger.chunk_acknowledged(&name(), chunk, 1, true);
        }
        let of = |number| {
            (ledger.has_seen(&name(), gtid(number).as_ref(), &at), ledger.ended_behind(gtid(number).as_ref(), &at))
        };
        assert_eq!([of(6), of(7), of(9), of(10)], [(true, true), (false, true), (false, true), (false, false)]);
    }

    /// The drawn changes, one transaction per line pair or line, numbered by `@n` at the end of the line.
    fn transactions(header: &str, drawing: &str) -> ChangeBatch {
        let lines: Vec<&str> = drawing.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let without: Vec<&str> = lines.iter().map(|line| line.split('@').next().unwrap()).collect();
        let batch = parse(header, &without.join("\n"));
        let runs = lines.iter().enumerate().map(|(row, line)| {
            let number: u64 = line.split('@').nth(1).expect("a transaction").trim().parse().unwrap();
            let set: GtidSet = format!("{SERVER}:{number}").parse().unwrap();
            let transaction = Coordinate::new("binlog.000001", 100 * number);
            let meta = EventMeta {
                timestamp_s: 0,
                server_id: 1,
                thread_id: 0,
                coordinate: transaction.clone(),
                transaction,
                gtid: only_gtid(&set, number),
            };
            EventRun { end: row + 1, meta: Arc::new(meta) }
        });
        let runs = runs.collect();
        ChangeBatch::new(
            batch.table().clone(),
            batch.rows().clone(),
            batch.kinds().to_vec(),
            batch.sequence().to_vec(),
            runs,
        )
    }

    fn only_gtid(set: &GtidSet, number: u64) -> Option<Gtid> {
        let uuid: Vec<u8> = set.encode()[8..24].to_vec();
        let source =
            tidegate_model::position::GtidSource::Server { uuid: uuid.try_into().unwrap(), tag: Arc::from("") };
        Some(Gtid { source, number }).filter(|gtid| set.contains(gtid))
    }

    fn check(ledger: &Ledger, header: &str, changes: &str, kept: &str) {
        let batch = transactions(header, changes);
        // By the columns by which the table is cut.
        let mut parts = tidegate_model::TableParts::from(Table::clone(batch.table()));
        let columns = &ledger.tables()[0].key.columns;
        let key: Option<Vec<usize>> = columns.iter().map(|column| batch.table().column_index(&column.name)).collect();
        if let Some(key) = key {
            parts.unique_keys.iter_mut().for_each(|unique| unique.columns.clone_from(&key));
        }
        let table = Arc::new(Table::from(parts));
        let (rows, kinds, sequence) = (batch.rows().clone(), batch.kinds().to_vec(), batch.sequence().to_vec());
        let batch = ledger.filter(ChangeBatch::new(table, rows, kinds, sequence, batch.events().to_vec()));
        assert_eq!(draw(&batch), draw(&parse(header, kept)));
    }

    /// Chunk 0 below 10 read at transaction 5, chunk 1 from 10 read at transaction 8.
    fn two_chunks() -> Ledger {
        ledger("id:int v:text", &[0], &[ints(&[10])], vec![executed(5), executed(8)])
    }

    #[test]
    fn a_change_is_dropped_if_its_chunk_has_shown_it() {
        check(
            &two_chunks(),
            "id:int v:text",
            "
            +I  1 a @5
            +I  2 b @6
            +I  9 c @8
            +I 10 d @8
            -D 11 e @9",
            "
            +I  2 b
            +I  9 c
            -D 11 e",
        );
    }

    #[test]
    fn an_update_within_a_chunk_is_kept_or_dropped_whole() {
        check(
            &two_chunks(),
            "id:int v:text",
            "
            -U  1 a @5
            +U  1 b @5
            -U  1 b @6
            +U  1 c @6
            -U 10 a @8
            +U 10 b @8",
            "
            -U  1 b
            +U  1 c",
        );
    }

    #[test]
    fn a_row_that_moves_to_a_chunk_read_later_is_deleted_only() {
        check(
            &two_chunks(),
            "id:int v:text",
            "
            -U  1 a @7
            +U 20 a @7",
            "
            -D  1 a",
        );
    }

    #[test]
    fn a_row_that_moves_to_a_chunk_read_earlier_is_inserted_only() {
        check(
            &two_chunks(),
            "id:int v:text",
            "
            -U 20 a @7
            +U  1 a @7",
            "
            +I  1 a",
        );
    }

    #[test]
    fn text_keys_go_by_the_smallest_low() {
        let borders = [vec![KeyValue::Text("m".into())]];
        let ledger = ledger("id:text v:int", &[0], &borders, vec![executed(5), executed(8)]);
        check(
            &ledger,
            "id:text v:int",
            "
            +I a 1 @5
            +I z 1 @5
            -U z 1 @6
            +U b 1 @6
            +I z 3 @8",
            "
            -U z 1
            +U b 1
            +I z 3",
        );
    }

    #[test]
    fn composite_keys_compare_column_by_column_and_prefixes_come_first() {
        let borders = [ints(&[3]), ints(&[3, 50]), ints(&[4])];
        let lows = vec![executed(1), executed(2), executed(3), executed(4)];
        let ledger = ledger("a:int b:int", &[0, 1], &borders, lows);
        check(
            &ledger,
            "a:int b:int",
            "
            +I 2 99 @2
            +I 3 -1 @2
            +I 3 49 @3
            +I 3 50 @3
            +I 3 99 @4
            +I 4  0 @4
            +I 4  0 @5",
            "
            +I 2 99
            +I 3 49
            +I 3 99
            +I 4  0",
        );
    }

    #[test]
    fn unsigned_keys_beyond_the_signed_range_find_their_chunk() {
        let border = i128::from(u64::MAX) - 1;
        let ledger = ledger("id:uint", &[0], &[ints(&[border])], vec![executed(1), executed(2)]);
        check(
            &ledger,
            "id:uint",
            "
            +I 18446744073709551613 @2
            +I 18446744073709551614 @2
            +I 18446744073709551615 @2
            +I                    0 @1",
            "
            +I 18446744073709551613",
        );
    }

    #[test]
    fn a_file_watermark_covers_what_begins_before_it() {
        let low = |offset| Watermark::Coordinate(Coordinate::new("binlog.000001", offset));
        let ledger = ledger("id:int v:text", &[0], &[ints(&[10])], vec![low(500), low(801)]);
        check(
            &ledger,
            "id:int v:text",
            "
            +I  1 a @4
            +I  1 a @5
            +I 10 d @8
            +I 10 d @9",
            "
            +I  1 a
            +I 10 d",
        );
    }

    #[test]
    fn a_column_that_was_changed_goes_by_the_smallest_low() {
        check(
            &two_chunks(),
            "id:text v:text",
            "
            +I 1  a @5
            +I 10 d @8",
            "
            +I 10 d",
        );
        check(&two_chunks(), "number:int v:text", "+I 10 d @8", "+I 10 d");
    }

    /// As `ledger`, cut by one column of text that is ordered by a collation.
    fn cut_by_text(collation: &str, borders: &[&str], lows: Vec<Watermark>) -> Ledger {
        let borders: Vec<_> = borders.iter().map(|&border| vec![KeyValue::Text(border.into())]).collect();
        let mut ledger = ledger("id:text v:int", &[0], &borders, lows);
        ledger.table_mut(&name()).key.columns[0].collation = Some(collation.into());
        ledger
    }

    #[test]
    fn ascii_keys_of_a_known_collation_go_by_their_chunk() {
        let changes = "
            +I apple 1 @5
            +I Apple 2 @6
            +I M 3 @7
            +I z 4 @8
            +I z 5 @9";
        let check = |collation, kept| {
            check(&cut_by_text(collation, &["m"], vec![executed(5), executed(8)]), "id:text v:int", changes, kept);
        };
        check("utf8mb4_0900_ai_ci", "+I Apple 2\n+I z 5");
        check("utf8mb4_general_ci", "+I Apple 2\n+I z 5");
        // Capitals come first.
        check("utf8mb4_bin", "+I Apple 2\n+I M 3\n+I z 5");
        check("utf8mb4_hu_0900_ai_ci", "+I Apple 2\n+I M 3\n+I z 4\n+I z 5");
    }

    #[test]
    fn after_a_key_that_only_the_server_can_place_nothing_is_dropped_that_not_all_have_shown() {
        let ledger = cut_by_text("utf8mb4_0900_ai_ci", &["m"], vec![executed(5), executed(8)]);
        let at_once = ledger.clone();
        let check = |changes, kept| check(&ledger, "id:text v:int", changes, kept);
        // Shown by all: of no consequence.
        check("+I zé 1 @5\n+I z 2 @6", "");
        // The server takes both for one key: that the first comes out and the second does not would be wrong for who does, too.
        check("-D zé 1 @7\n+I ze 2 @8\n+I a 3 @5", "-D zé 1\n+I ze 2");
        check("+I z 4 @8", "+I z 4");
        let stored = serde_json::to_string(&at_once).unwrap();
        let restored: Ledger = serde_json::from_str(&stored).unwrap();
        assert_eq!(restored, ledger);
        assert!(restored.table(&name()).unwrap().unsure.is_raised());
    }

    #[test]
    fn a_border_that_only_the_server_can_place_leaves_the_table_to_the_smallest_low() {
        let ledger = cut_by_text("utf8mb4_0900_ai_ci", &["m", "ü"], vec![executed(5), executed(8), executed(9)]);
        check(&ledger, "id:text v:int", "+I z 1 @5\n+I z 2 @6", "+I z 2");
    }

    #[test]
    fn null_lies_in_the_first_chunk() {
        check(
            &two_chunks(),
            "id:int v:text",
            "
            +I  _ a @5
            +I  _ a @6
            -D 20 b @8
            -U  _ a @7
            +U 20 a @7
            -U 20 c @9
            +U  _ c @9",
            "
            +I  _ a
            -D  _ a
            -U 20 c
            +U  _ c",
        );
    }

    #[test]
    fn rows_that_change_chunk_without_changing_identity_stay_updates() {
        let mut ledger = two_chunks();
        ledger.table_mut(&name()).key.identifies = false;
        check(
            &ledger,
            "id:int v:text",
            "
            -U  1 a @7
            +U 20 a @7
            +I 20 a @5",
            "
            -U  1 a
            +U 20 a",
        );
    }

    #[test]
    fn the_first_low_is_kept() {
        let mut ledger = two_chunks();
        ledger.begin(&name(), 0, executed(100), Some(executed(100)));
        let chunk = &ledger.table(&name()).unwrap().chunks[0];
        assert_eq!((&chunk.low, &chunk.high), (&Some(executed(5)), &Some(executed(100))));
        check(&ledger, "id:int v:text", "-D 1 a @6", "-D 1 a");
    }

    #[test]
    fn nothing_is_dropped_while_chunks_are_missing() {
        let mut ledger = two_chunks();
        ledger.table_mut(&name()).planned = false;
        check(&ledger, "id:int v:text", "+I 1 a @1", "+I 1 a");
        let mut ledger = two_chunks();
        ledger.chunk_mut(&name(), 0).unwrap().low = None;
        check(&ledger, "id:int v:text", "+I 1 a @1\n+I 10 a @1", "+I 1 a");
    }

    #[test]
    fn the_ledger_settles_when_incremental_has_passed_every_low() {
        let mut ledger = two_chunks();
        let at = |last: u64| position(Some(&format!("{SERVER}:1-{last}")), 4);
        assert!(!ledger.settled(&at(100)), "chunks are still read");
        ledger.chunk_acknowledged(&name(), 0, 3, true);
        assert!(!ledger.all_done());
        ledger.chunk_acknowledged(&name(), 1, 3, false);
        assert!(!ledger.all_done());
        ledger.chunk_acknowledged(&name(), 1, 4, true);
        assert!(ledger.all_done());
        assert_eq!(ledger.table(&name()).unwrap().rows(), 10);
        assert!(!ledger.settled(&at(7)) && ledger.settled(&at(8)));
        ledger.begin(&name(), 1, executed(1), None);
        assert!(!ledger.settled(&at(8)), "a chunk is read again");
    }

    #[test]
    fn the_ledger_survives_a_checkpoint() {
        let borders = [
            vec![KeyValue::Int(i128::from(u64::MAX)), KeyValue::Bytes(vec![0, 255]), KeyValue::Text("ä".into())],
            ints(&[i128::from(i64::MIN)]),
        ];
        let lows = vec![executed(1), Watermark::Coordinate(Coordinate::new("b.1", 4)), executed(2)];
        let ledger = ledger("a:int b:int c:text", &[0, 1, 2], &borders, lows);
        let text = serde_json::to_string(&ledger).unwrap();
        assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
    }
}
