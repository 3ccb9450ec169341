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
//! the two views must follow them, or a row stays for ever that no longer exists. Should the second view show less, because it was opened on
//! another server, which is behind, `low` is what both show: its older rows stand behind the newer ones. It is the same with one that is
//! read in pieces, each in a view of its own: all of them show what the first one's `low` says, and what lies beyond is emitted.
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
//! Of a table of which only a part is read, the rows that meet a condition, chunks show nothing of the others: of such a table no change is
//! dropped, and no statement counts as seen ([`TableChunks::part`]).
//!
//! The ledger is part of the checkpoint, as [entries](tidegate_model::state) of which only those are told that have changed:
//!
//! ```text
//! ["load"]                              where incremental reading begins
//! ["load","table","shop","orders"]      key, definition, what became of the table; watermarks by number
//! ["load","chunk","shop","orders",12]   upper border, state, `low`, `high`, rows delivered
//! ["load","mark",3]                     a watermark, once however many chunks have it; of GTIDs, those beyond the begin
//! ```
//!
//! It knows nothing of how chunks are read.

mod filter;
mod keys;
mod mark;
mod stored;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::chunks::{ChunkKey, KeyRange, KeyValue};
pub use filter::Unsure;
pub use mark::LedgerMark;
use mark::both_cover;
use stored::{OldLedger, Untold};
use tidegate_model::{Coordinate, Gtid, GtidSet, Position, TableName, Watermark};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub range: KeyRange,
    /// Of the first attempt, less what a later one did not show.
    pub low: Option<LedgerMark>,
    /// Of the latest view: it shows nothing beyond. Equal to `low` if nothing was committed in between.
    pub high: Option<LedgerMark>,
    pub state: ChunkState,
    /// Delivered by the latest attempt.
    pub rows: u64,
}

/// The chunks of one table, in the order of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableChunks {
    pub name: TableName,
    pub key: ChunkKey,
    /// The last chunk found is the last there is.
    pub planned: bool,
    /// The number of the first chunk here. Those before were cut by another key, which the table no longer has.
    pub first_chunk: u32,
    /// A chunk's number is its place here, from `first_chunk` on.
    pub chunks: Vec<Chunk>,
    /// Stands for the definition under which the table was cut.
    pub definition: Option<u32>,
    /// Nothing of the table is dropped any more: what chunks have shown of it is of another time or another table.
    pub replayed: bool,
    /// The table was not there any more at this position: there is nothing to read of it.
    pub gone: Option<LedgerMark>,
    /// What every view of the table that ever was open had come to: what is older is older than every row that was sent.
    pub least_high: Option<LedgerMark>,
    /// The `low` of all chunks, if rows of chunks that are forgotten may be out: what all of those show.
    pub floor: Option<LedgerMark>,
    /// Everything of the table from before it is shown by all chunks, whatever their `low`: no transaction was half done when the
    /// statement that stands there took effect, and every view was opened behind it.
    pub shown_before: Option<LedgerMark>,
    /// The statement before which it was loaded again: its changes from before are older than its rows, and were sent before them.
    pub since: Option<Coordinate>,
    /// What all views of chunks that were read in several had come to; their `high` is that of the last view. None if there is no such chunk.
    pub pieces_high: Option<LedgerMark>,
    /// Only rows for which the server says that this is true are read.
    pub part: Option<String>,
    pub unsure: Unsure,
    /// Chunks that are not [`ChunkState::Done`].
    left: usize,
}

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
            least_high: None,
            floor: None,
            shown_before: None,
            since: None,
            pieces_high: None,
            part: None,
            unsure: Unsure::default(),
            left: 0,
        }
    }

    pub fn is_done(&self) -> bool {
        self.gone.is_some() || (self.planned && self.left == 0)
    }

    /// Whether rows that meet a condition are to be read, and not all of them are delivered.
    pub fn is_part_loading(&self) -> bool {
        self.part.is_some() && !self.is_done()
    }

    /// Chunks with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (u32, &Chunk)> {
        (self.first_chunk..).zip(&self.chunks)
    }

    /// Entered by [`Ledger::take_as_read`]; one that was loaded as empty looks alike, and is.
    pub fn is_taken_as_read(&self) -> bool {
        self.since.is_some() && !self.replayed && self.chunks.len() == 1 && self.is_done() && self.rows() == 0
    }

    /// Whether the table was entered when the task began, or was added to it, and no row of it is known to have come yet.
    pub fn is_untouched(&self) -> bool {
        let is_first = self.since.is_none() && !self.replayed && self.first_chunk == 0;
        is_first && !self.is_done() && self.rows() == 0
    }

    fn is_shown_before(&self, gtid: Option<&Gtid>, transaction: &Coordinate) -> bool {
        !self.replayed && self.shown_before.as_ref().is_some_and(|until| until.covers(gtid, transaction))
    }

    pub fn rows(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.rows).sum()
    }

    /// Rows that were delivered of chunks that are not done: they are read from their begin again.
    pub fn rows_of_unfinished(&self) -> u64 {
        let unfinished = self.chunks.iter().filter(|chunk| chunk.state != ChunkState::Done);
        unfinished.map(|chunk| chunk.rows).sum()
    }

    /// Where cutting goes on: the upper border of the last chunk.
    pub fn cut_until(&self) -> Option<&[KeyValue]> {
        self.chunks.last()?.range.upper.as_deref()
    }
}

/// The state of a full load.
#[derive(Debug, Deserialize)]
#[serde(from = "OldLedger")]
pub struct Ledger {
    start: Position,
    /// Ordered by name.
    tables: Vec<TableChunks>,
    marks: HashMap<Arc<Watermark>, u32>,
    next_mark: u32,
    horizon: OnceLock<Horizon>,
    untold: Untold,
}

/// Beyond it lies nothing by which changes or statements are judged.
#[derive(Clone, Debug, Default)]
struct Horizon {
    gtids: Option<GtidSet>,
    coordinate: Option<Coordinate>,
}

/// The clone has told nothing yet.
impl Clone for Ledger {
    fn clone(&self) -> Ledger {
        Ledger {
            start: self.start.clone(),
            tables: self.tables.clone(),
            marks: self.marks.clone(),
            next_mark: self.next_mark,
            horizon: self.horizon.clone(),
            untold: Untold { all: true, ..Untold::default() },
        }
    }
}

impl PartialEq for Ledger {
    fn eq(&self, other: &Ledger) -> bool {
        self.start == other.start && self.tables == other.tables
    }
}

impl Ledger {
    /// `start` is where incremental reading begins: everything before it is visible to every view opened later.
    pub fn new(start: Position) -> Ledger {
        Ledger {
            start,
            tables: Vec::new(),
            marks: HashMap::new(),
            next_mark: 0,
            horizon: OnceLock::new(),
            untold: Untold { all: true, ..Untold::default() },
        }
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

    fn find_mut(&mut self, name: &TableName) -> &mut TableChunks {
        self.horizon = OnceLock::new();
        let index = self.tables.binary_search_by(|table| table.name.cmp(name));
        let index = index.unwrap_or_else(|_| panic!("table {name} is not in the ledger"));
        &mut self.tables[index]
    }

    /// For a change of the table itself.
    fn table_mut(&mut self, name: &TableName) -> &mut TableChunks {
        self.untold.tables.insert(name.clone());
        self.find_mut(name)
    }

    /// Changes a chunk, unless it was cut by a key which the table no longer has.
    fn change_chunk(&mut self, name: &TableName, number: u32, change: impl FnOnce(&mut Chunk)) {
        let table = self.find_mut(name);
        let Some(index) = number.checked_sub(table.first_chunk) else { return };
        let count = table.chunks.len();
        let chunk = table.chunks.get_mut(index as usize);
        let chunk = chunk.unwrap_or_else(|| panic!("table {name} has {count} chunks in the ledger"));
        let was_done = chunk.state == ChunkState::Done;
        change(chunk);
        table.left += usize::from(was_done);
        table.left -= usize::from(chunk.state == ChunkState::Done);
        self.untold.chunks.insert((name.clone(), number));
    }

    /// The mark of a watermark, one for all that are equal.
    fn mark(&mut self, watermark: Watermark) -> LedgerMark {
        match self.marks.get_key_value(&watermark) {
            Some((watermark, &number)) => LedgerMark { number, watermark: watermark.clone() },
            None => {
                let (watermark, number) = (Arc::new(watermark), self.next_mark);
                self.next_mark += 1;
                self.marks.insert(watermark.clone(), number);
                self.untold.marks.push(LedgerMark { number, watermark: watermark.clone() });
                LedgerMark { number, watermark }
            }
        }
    }

    /// The first, unless a later view shows less than it does: of what that lacks, older rows were sent behind the newer ones, and it has to be
    /// said again.
    fn least(&mut self, first: LedgerMark, later: &LedgerMark) -> LedgerMark {
        match both_cover(&first, later) {
            Some(both) => self.mark(both),
            None => first,
        }
    }

    fn forget_chunks(&mut self, name: &TableName) {
        self.untold.cut_anew.insert(name.clone());
        self.untold.chunks.retain(|(table, _)| table != name);
    }

    /// Enters a table, unless it is there: then it keeps its chunks.
    pub fn add_table(&mut self, name: &TableName, key: ChunkKey, definition: Option<u32>) {
        if let Err(index) = self.tables.binary_search_by(|table| table.name.cmp(name)) {
            self.tables.insert(index, TableChunks::new(name.clone(), key, definition));
            self.untold.tables.insert(name.clone());
        }
    }

    /// Forgets the chunks of a table, which is cut anew, by another key perhaps. Rows of theirs may be out: what has become of them
    /// since any of them was read must follow, so that what all show is the `low` of all chunks to come. Returns the next chunk's number.
    pub fn begin_again(&mut self, name: &TableName, key: ChunkKey, definition: Option<u32>) -> u32 {
        let table = self.find_mut(name);
        let lows = table.chunks.iter().filter_map(|chunk| chunk.low.as_ref());
        let mut lows = table.floor.iter().chain(lows);
        // What all of them show: one may have been read on a server that was behind the others'.
        let all = lows.next().cloned().map(|first| {
            let less = lows.fold(None, |less, low| both_cover(less.as_ref().unwrap_or(&first), low).or(less));
            (first, less)
        });
        let floor = all.map(|(first, less)| less.map_or(first, |less| self.mark(less)));
        let table = self.table_mut(name);
        let first_chunk = table.first_chunk + table.chunks.len() as u32;
        let (since, least_high, replayed) = (table.since.take(), table.least_high.take(), table.replayed);
        let part = table.part.take();
        let new = TableChunks::new(name.clone(), key, definition);
        *table = TableChunks { first_chunk, floor, since, least_high, replayed, part, ..new };
        self.forget_chunks(name);
        first_chunk
    }

    /// The table was not there any more at `at`. Its changes are emitted, all of them: should it come back, they are its rows.
    pub fn gone(&mut self, name: &TableName, at: Watermark) {
        let at = self.mark(at);
        let table = self.table_mut(name);
        table.first_chunk += table.chunks.len() as u32;
        table.chunks.clear();
        table.left = 0;
        (table.planned, table.gone, table.replayed) = (false, Some(at), true);
        self.forget_chunks(name);
    }

    /// Enters a table, or enters it anew: all its rows are to be read before the statement at `since` is, and none of its changes
    /// from there on is dropped.
    pub fn load_again(&mut self, name: &TableName, key: ChunkKey, definition: Option<u32>, since: &Coordinate) {
        self.add_table(name, key.clone(), definition);
        self.begin_again(name, key, definition);
        let table = self.table_mut(name);
        (table.floor, table.replayed, table.since, table.part) = (None, true, Some(since.clone()), None);
    }

    /// As [`load_again`](Self::load_again), of the rows alone for which the server says that `part` is true.
    pub fn load_part(
        &mut self,
        name: &TableName,
        key: ChunkKey,
        definition: Option<u32>,
        since: &Coordinate,
        part: String,
    ) {
        self.load_again(name, key, definition, since);
        self.table_mut(name).part = Some(part);
    }

    /// The part of which rows are being read is not wanted any more: nothing more is read, and what was sent stays. False if there is none.
    pub fn take_back(&mut self, name: &TableName) -> bool {
        if !self.table(name).is_some_and(TableChunks::is_part_loading) {
            return false;
        }
        let table = self.table_mut(name);
        table.planned = true;
        let numbers: Vec<u32> = table.numbered().map(|(number, _)| number).collect();
        for number in numbers {
            self.change_chunk(name, number, |chunk| chunk.state = ChunkState::Done);
        }
        true
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

    /// Of the table, just entered, consumers may have rows from before `since`: what becomes of them behind that follows, whatever chunks show.
    pub fn follow_from(&mut self, name: &TableName, since: Watermark) {
        let since = self.mark(since);
        self.table_mut(name).floor = Some(since);
    }

    /// Enters a table of which nothing is to be read, as one that has been read at `end`: what is older is shown.
    pub fn take_as_read(&mut self, name: &TableName, key: ChunkKey, definition: Option<u32>, end: &Watermark) {
        let start = self.start.coordinate.clone();
        self.load_new(name, key, definition, &start);
        let chunk = self.add_chunk(name, KeyRange { lower: None, upper: None });
        self.begin(name, &[chunk], end.clone(), Some(end.clone()));
        self.chunk_acknowledged(name, chunk, 0, true);
    }

    /// The table, just entered, is not there any more at `at`: what it was until then is as if it had been read as empty.
    pub fn absent(&mut self, name: &TableName, at: Watermark) {
        let at = self.mark(at);
        self.table_mut(name).gone = Some(at);
    }

    /// Whether no change of the table has left since it was loaded, and none has been judged: [`Ledger::show_before`] may tell which need not.
    pub fn is_fresh(&self, name: &TableName) -> bool {
        let is_fresh = |table: &TableChunks| table.shown_before.is_none() && !table.replayed && table.is_done();
        self.table(name).is_some_and(is_fresh)
    }

    /// All rows of the table that were sent are from behind `until`, and everything of it that lies before is shown. Once, before the first
    /// change leaves: see [`look_ahead`](super::look_ahead).
    pub fn show_before(&mut self, name: &TableName, until: Watermark) {
        if self.is_fresh(name) {
            let until = self.mark(until);
            self.table_mut(name).shown_before = Some(until);
        }
    }

    /// Whether a statement behind this transaction has told that no change of the table in it leaves.
    pub fn is_shown_before(&self, name: &TableName, gtid: Option<&Gtid>, transaction: &Coordinate) -> bool {
        self.table(name).is_some_and(|table| table.is_shown_before(gtid, transaction))
    }

    /// Whether the table was entered while following, and its chunks have shown all its changes in this transaction: none of them
    /// leaves, so that nobody need know its columns then.
    pub fn shows_all(&self, name: &TableName, gtid: Option<&Gtid>, transaction: &Coordinate) -> bool {
        let is_late = |table: &&TableChunks| table.since.is_some() || table.floor.is_some();
        let Some(table) = self.table(name).filter(is_late).filter(|table| !table.replayed) else {
            return false;
        };
        let covers = |low: &Option<LedgerMark>| low.as_ref().is_some_and(|low| low.covers(gtid, transaction));
        match &table.gone {
            Some(_) => covers(&table.gone),
            None => table.planned && !table.chunks.is_empty() && table.chunks.iter().all(|chunk| covers(&chunk.low)),
        }
    }

    /// Whether none of the table's changes is dropped.
    pub fn replays(&self, name: &TableName) -> bool {
        self.table(name).is_some_and(|table| table.replayed)
    }

    /// Whether all rows of the table are to be read and nothing of it has been cut yet.
    pub fn waits(&self, name: &TableName) -> bool {
        let waits = |table: &TableChunks| {
            table.part.is_none() && table.gone.is_none() && !table.planned && table.chunks.is_empty()
        };
        self.table(name).is_some_and(waits)
    }

    /// Whether the table was gone behind this transaction.
    pub fn was_gone(&self, name: &TableName, gtid: Option<&Gtid>, transaction: &Coordinate) -> bool {
        let gone = self.table(name).and_then(|table| table.gone.as_ref());
        gone.is_some_and(|gone| gone.covers(gtid, transaction))
    }

    /// Whether the table was entered while following, and gone by then: no row of it is to be read behind this transaction.
    pub fn was_entered_gone(&self, name: &TableName, gtid: Option<&Gtid>, transaction: &Coordinate) -> bool {
        self.table(name).is_some_and(|table| table.since.is_some()) && self.was_gone(name, gtid, transaction)
    }

    /// Whether no change of the table from before this statement is sent behind rows that chunks read behind it. Where `low` is the
    /// start of a file, it may be: such changes would be of another table, and nothing follows that puts them right.
    pub fn is_clean_before(&self, name: &TableName, gtid: Option<&Gtid>, at: &Coordinate) -> bool {
        let covers = |low: &Option<LedgerMark>| low.as_ref().is_none_or(|low| low.covers(gtid, at));
        self.table(name).is_none_or(|table| {
            let is_dropped = !table.replayed && table.chunks.iter().all(|chunk| covers(&chunk.low));
            is_dropped || table.is_shown_before(gtid, at) || table.since.as_ref() == Some(at)
        })
    }

    /// Whether a statement on the table is older than every row of it that was sent; of a part, rows were from before.
    pub fn is_before_rows(&self, name: &TableName, gtid: Option<&Gtid>, at: &Coordinate) -> bool {
        let whole = self.table(name).filter(|table| table.part.is_none());
        let seen = whole.and_then(|table| table.least_high.as_ref());
        seen.is_some_and(|seen| seen.covers(gtid, at))
    }

    /// Whether every chunk of the table was read behind a statement of this transaction on it, or the table was gone behind it.
    /// The definition is locked while a view opens, so that `high` tells. Chunks of a part have not seen the rows beside it.
    pub fn has_seen(&self, name: &TableName, gtid: Option<&Gtid>, transaction: &Coordinate) -> bool {
        let covers = |high: &Option<LedgerMark>| high.as_ref().is_some_and(|high| high.covers(gtid, transaction));
        self.table(name).is_some_and(|table| match &table.gone {
            Some(_) => covers(&table.gone),
            None if table.part.is_some() => false,
            None => {
                let is_covered = |high: &LedgerMark| high.covers(gtid, transaction);
                table.is_done()
                    && table.pieces_high.as_ref().is_none_or(is_covered)
                    && table.chunks.iter().all(|chunk| covers(&chunk.high))
            }
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
        self.untold.tables.insert(name.clone());
        self.forget_chunks(name);
    }

    /// From here on nothing of the table is dropped. True if that is news.
    pub fn replay(&mut self, name: &TableName) -> bool {
        self.table(name).is_some() && !std::mem::replace(&mut self.table_mut(name).replayed, true)
    }

    /// Enters the next chunk of a table, which begins where the one before ends, and returns its number. A range
    /// without upper border is the table's last.
    pub fn add_chunk(&mut self, name: &TableName, range: KeyRange) -> u32 {
        let is_last = range.upper.is_none();
        let table = if is_last { self.table_mut(name) } else { self.find_mut(name) };
        assert!(!table.planned, "table {name} has its last chunk");
        assert_eq!(table.cut_until(), range.lower.as_deref(), "chunks of {name} leave no gap");
        table.planned = is_last;
        table.chunks.push(Chunk { range, low: None, high: None, state: ChunkState::Planned, rows: 0 });
        table.left += 1;
        let number = table.first_chunk + (table.chunks.len() - 1) as u32;
        self.untold.chunks.insert((name.clone(), number));
        number
    }

    /// A view of these chunks is open and their rows are about to leave. Must be on disk before the first one does.
    pub fn begin(&mut self, name: &TableName, chunks: &[u32], low: Watermark, high: Option<Watermark>) {
        self.open(name, chunks, low, high);
        for &chunk in chunks {
            self.change_chunk(name, chunk, |chunk| chunk.rows = 0);
        }
    }

    /// A view of what is left of this chunk is open, of which earlier views have shown the begin. As [`begin`](Self::begin) otherwise.
    pub fn go_on(&mut self, name: &TableName, chunk: u32, low: Watermark, high: Option<Watermark>) {
        let table = self.find_mut(name);
        let index = chunk.checked_sub(table.first_chunk);
        let of_pieces_before = index.and_then(|index| table.chunks.get(index as usize)?.high.clone());
        let (of_others, of_this) = (table.pieces_high.clone(), high.clone().map(|high| self.mark(high)));
        let mut all = [of_others, of_pieces_before, of_this].into_iter().flatten();
        let first = all.next();
        let least = first.map(|first| all.fold(first, |least, next| self.least(least, &next)));
        self.table_mut(name).pieces_high = least;
        self.open(name, &[chunk], low, high);
    }

    fn open(&mut self, name: &TableName, chunks: &[u32], low: Watermark, high: Option<Watermark>) {
        let (low, high) = (self.mark(low), high.map(|high| self.mark(high)));
        let least = high.as_ref().and_then(|high| match &self.find_mut(name).least_high {
            None => Some(Watermark::clone(high)),
            Some(before) => both_cover(before, high),
        });
        if let Some(least) = least {
            let least = self.mark(least);
            self.table_mut(name).least_high = Some(least);
        }
        let low = match self.find_mut(name).floor.clone() {
            Some(floor) => self.least(floor, &low),
            None => low,
        };
        for &chunk in chunks {
            let first = self.table(name).and_then(|table| {
                let index = chunk.checked_sub(table.first_chunk)?;
                table.chunks.get(index as usize)?.low.clone()
            });
            let low = first.map_or_else(|| low.clone(), |first| self.least(first, &low));
            self.change_chunk(name, chunk, |chunk| {
                chunk.low = Some(low);
                chunk.high = high.clone();
                chunk.state = ChunkState::Reading;
            });
        }
    }

    /// Rows of a chunk are delivered; `done` says that they were its last.
    pub fn chunk_acknowledged(&mut self, name: &TableName, chunk: u32, rows: u64, done: bool) {
        self.change_chunk(name, chunk, |chunk| {
            chunk.rows += rows;
            if done {
                chunk.state = ChunkState::Done;
            }
        });
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

    /// Up to where reading has to come for consumers to have one state of all tables: no chunk shows anything beyond.
    pub fn end(&self) -> Option<Watermark> {
        let Horizon { gtids, coordinate } = self.find_horizon();
        gtids.map(Watermark::Gtids).or_else(|| coordinate.map(Watermark::Coordinate))
    }

    fn find_horizon(&self) -> Horizon {
        let mut horizon = Horizon::default();
        // Statements are judged by `high`, and by where a table was gone.
        let chunks = self.tables.iter().flat_map(|table| &table.chunks);
        let of_chunks = chunks.flat_map(|chunk| [chunk.low.as_ref(), chunk.high.as_ref()]);
        let of_tables = self.tables.iter().map(|table| table.gone.as_ref());
        for watermark in of_chunks.chain(of_tables).flatten() {
            match &**watermark {
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
}
