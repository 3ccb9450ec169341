//! The currency of the engine: what a change is.
//!
//! ```text
//! ChangeBatch            table shop.orders, version 3
//!  kind  sequence │ id │ amount │      event
//!   +I          0 │  7 │  20.00 │ ┐    timestamp, position, GTID: one entry for a run of rows
//!   -U          2 │  7 │  20.00 │ │
//!   +U          2 │  7 │   5.00 │ ┘
//!   -D          5 │  8 │   1.00 │ ─    (numbers 1, 3 and 4 belong to other tables of the window)
//! ```
//!
//! The two images of an update stand side by side and are never split. A [`Window`] holds the batches of all tables that
//! changed in a stretch of the binlog, or one piece of one chunk of a full load; the sequence numbers say how its
//! changes interleave. Windows leave a source in order, and a window names what is safe once it and all before it are
//! delivered.

pub mod builder;
pub mod message;
pub mod names;
pub mod position;
pub mod pretty;
pub mod rate;
pub mod retry;
pub mod state;
pub mod status;
pub mod stop;
pub mod table;
pub mod types;
pub mod words;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::{Array, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute;

pub use builder::{ColumnBuilder, RowsBuilder, Values};
pub use names::NameCase;
pub use position::{BinlogFile, Coordinate, Delivered, Gtid, GtidSet, Position, Watermark, XaKnown};
pub use stop::{Stop, Stopped};
pub use table::{Column, Groundwork, Index, IndexPart, Table, TableName, TableParts, UniqueKey};
pub use types::SqlType;

/// What a row of a [`ChangeBatch`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// A row that was there: full load.
    Initial,
    Insert,
    /// Always followed by its [`RowKind::UpdateAfter`].
    UpdateBefore,
    UpdateAfter,
    Delete,
}

/// Where and when rows come from. Shared by all rows of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventMeta {
    /// When the statement ran, seconds since 1970: the event header's time, or the chunk's for a full load.
    pub timestamp_s: u32,
    pub server_id: u32,
    /// Connection that made the change; 0 where unknown.
    pub thread_id: u32,
    /// The event's own place in the binlog; the place where the full load's view was opened for initial rows.
    pub coordinate: Coordinate,
    /// Start of the transaction.
    pub transaction: Coordinate,
    pub gtid: Option<Gtid>,
}

/// Seconds since 1970, for what no event dates.
pub fn now_s() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as u32)
}

/// Rows up to `end` (exclusive, from the end of the run before) share `meta`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRun {
    pub end: usize,
    pub meta: Arc<EventMeta>,
}

/// One change: row indexes of its images, and where it comes from.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub kind: ChangeKind,
    /// Row that holds the only image, or the image after an update.
    pub row: usize,
    pub meta: &'a EventMeta,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Initial,
    Insert,
    /// The image before stands in the row given, the image after in the next.
    Update {
        before: usize,
    },
    Delete,
}

/// Changes of one table at one schema version, in the order of the binlog.
#[derive(Clone, Debug)]
pub struct ChangeBatch {
    table: Arc<Table>,
    rows: RecordBatch,
    kinds: Vec<RowKind>,
    sequence: Vec<u32>,
    events: Vec<EventRun>,
}

impl ChangeBatch {
    /// Every row has a kind and a sequence number, update pairs are whole, runs cover all rows.
    ///
    /// # Panics
    /// If that is not so: a source made a mistake that would lose or invent changes.
    pub fn new(
        table: Arc<Table>,
        rows: RecordBatch,
        kinds: Vec<RowKind>,
        sequence: Vec<u32>,
        events: Vec<EventRun>,
    ) -> ChangeBatch {
        let row_count = rows.num_rows();
        assert_eq!(rows.num_columns(), table.columns().len(), "columns of {}", table.name());
        assert_eq!(kinds.len(), row_count, "one kind per row");
        assert_eq!(sequence.len(), row_count, "one sequence number per row");
        assert_eq!(events.last().map_or(0, |run| run.end), row_count, "runs cover all rows");
        let mut expect_after = false;
        for &kind in &kinds {
            assert_eq!(kind == RowKind::UpdateAfter, expect_after, "update images stand in pairs");
            expect_after = kind == RowKind::UpdateBefore;
        }
        assert!(!expect_after, "update images stand in pairs");
        ChangeBatch { table, rows, kinds, sequence, events }
    }

    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    pub fn kinds(&self) -> &[RowKind] {
        &self.kinds
    }

    /// Order of each row among all rows of the window. Both images of an update have the same number.
    pub fn sequence(&self) -> &[u32] {
        &self.sequence
    }

    pub fn events(&self) -> &[EventRun] {
        &self.events
    }

    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// The changes in order; an update is one of them.
    pub fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        let mut runs = self.events.iter();
        let mut run = runs.next();
        let mut row = 0;
        std::iter::from_fn(move || {
            let kind = *self.kinds.get(row)?;
            while run.is_some_and(|run| run.end <= row) {
                run = runs.next();
            }
            let meta = &*run.expect("runs cover all rows").meta;
            let change = match kind {
                RowKind::Initial => Change { kind: ChangeKind::Initial, row, meta },
                RowKind::Insert => Change { kind: ChangeKind::Insert, row, meta },
                RowKind::Delete => Change { kind: ChangeKind::Delete, row, meta },
                RowKind::UpdateBefore => Change { kind: ChangeKind::Update { before: row }, row: row + 1, meta },
                RowKind::UpdateAfter => unreachable!("checked by the constructor"),
            };
            row = change.row + 1;
            Some(change)
        })
    }

    /// Keeps the rows for which `keep` is true; NULL counts as false.
    ///
    /// A change is not a row: an update of which only the image after is kept becomes an insert, one of which only
    /// the image before is kept becomes a delete.
    pub fn retain(self, keep: &BooleanArray) -> ChangeBatch {
        assert_eq!(keep.len(), self.kinds.len(), "one verdict per row");
        let keeps = |row: usize| keep.is_valid(row) && keep.value(row);
        let kept_count = (0..keep.len()).filter(|&row| keeps(row)).count();
        if kept_count == keep.len() {
            return self;
        }
        let mut kept_rows = Vec::with_capacity(kept_count);
        let mut kinds = Vec::with_capacity(kept_count);
        let mut sequence = Vec::with_capacity(kept_count);
        let mut events: Vec<EventRun> = Vec::with_capacity(self.events.len());
        let mut start = 0;
        for run in &self.events {
            for row in start..run.end {
                if !keeps(row) {
                    continue;
                }
                kept_rows.push(row as u32);
                sequence.push(self.sequence[row]);
                kinds.push(match self.kinds[row] {
                    RowKind::UpdateBefore if !keeps(row + 1) => RowKind::Delete,
                    RowKind::UpdateAfter if !keeps(row - 1) => RowKind::Insert,
                    kind => kind,
                });
            }
            start = run.end;
            if events.last().map_or(0, |run| run.end) < kinds.len() {
                events.push(EventRun { end: kinds.len(), meta: run.meta.clone() });
            }
        }
        let rows = if kept_rows.is_empty() {
            // The kernel would give an ENUM a dictionary without labels.
            self.rows.slice(0, 0)
        } else {
            compute::take_record_batch(&self.rows, &UInt32Array::from(kept_rows)).expect("rows lie in the batch")
        };
        ChangeBatch::new(self.table, rows, kinds, sequence, events)
    }

    /// Turns updates for which `split` is true (by the row of the image before) into a delete and an insert.
    pub fn split_updates(mut self, split: impl Fn(&RecordBatch, usize) -> bool) -> ChangeBatch {
        for row in 0..self.kinds.len() {
            if self.kinds[row] == RowKind::UpdateBefore && split(&self.rows, row) {
                self.kinds[row] = RowKind::Delete;
                self.kinds[row + 1] = RowKind::Insert;
            }
        }
        self
    }

    /// One of the changes alone.
    pub fn only(&self, change: Change<'_>) -> ChangeBatch {
        let first = match change.kind {
            ChangeKind::Update { before } => before,
            ChangeKind::Initial | ChangeKind::Insert | ChangeKind::Delete => change.row,
        };
        let rows = first..change.row + 1;
        let meta = Arc::new(change.meta.clone());
        ChangeBatch::new(
            self.table.clone(),
            self.rows.slice(first, rows.len()),
            self.kinds[rows.clone()].to_vec(),
            self.sequence[rows.clone()].to_vec(),
            vec![EventRun { end: rows.len(), meta }],
        )
    }

    /// The same changes of a derived table: other columns, same rows.
    pub fn with_rows(self, table: Arc<Table>, rows: RecordBatch) -> ChangeBatch {
        ChangeBatch::new(table, rows, self.kinds, self.sequence, self.events)
    }
}

/// What stands in the binlog between changes, for formats and tasks that pass it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub kind: MarkKind,
    /// Its place among the changes of the window.
    pub sequence: u32,
    pub meta: Arc<EventMeta>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// Of a transaction with rows of captured tables, before the first of them.
    Begin,
    /// After the last of them.
    Commit,
    /// The server is there and has nothing to say.
    Heartbeat,
    Statement(Statement),
}

/// A statement that touches the definition of captured tables, or removes rows without row events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub kind: StatementKind,
    /// Captured ones, that which the statement is about first: of a RENAME, the new name.
    pub tables: Vec<TableName>,
    /// As it stands in the binlog. Unqualified names belong to `default_database`.
    pub sql: String,
    pub default_database: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementKind {
    Create,
    Alter,
    CreateIndex,
    DropIndex,
    Drop,
    Truncate,
    Rename,
    Other,
}

/// What is safe to remember once a window, and every window before it, has been delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Rows of chunks of a table.
    Chunks { table: TableName, parts: Vec<ChunkPart> },
    /// Incremental reading goes on from here.
    Position(Position),
}

/// Rows of a chunk; `done` at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkPart {
    pub chunk: u32,
    pub rows: u64,
    pub done: bool,
}

/// What is made of the bytes of a row while it is on its way: columns, whose buffers grow by doubling, and its texts in a message.
pub const ROW_COPIES: usize = 3;

/// Changes and marks that travel together, and what their delivery makes safe.
#[derive(Debug, Default)]
pub struct Window {
    /// At most one batch per table version; sequence numbers are unique across all of them, except within an update.
    pub changes: Vec<ChangeBatch>,
    /// In the order of their sequence numbers, which no change has.
    pub marks: Vec<Mark>,
    pub progress: Option<Progress>,
    /// What it takes until it is delivered, as columns and as messages, as far as its source can tell.
    pub bytes: usize,
    /// When the newest transaction was committed that ends in it or before it, by the source's clock, in microseconds since 1970. 0:
    /// nobody knows.
    pub committed_us: u64,
}

impl Window {
    /// Changes of all batches; an update is one.
    pub fn change_count(&self) -> usize {
        let count = |batch: &ChangeBatch| batch.kinds.iter().filter(|kind| **kind != RowKind::UpdateAfter).count();
        self.changes.iter().map(count).sum()
    }

    /// Larger than every sequence number in the window.
    pub fn sequence_end(&self) -> u32 {
        let changes = self.changes.iter().filter_map(|batch| batch.sequence().last());
        changes.chain(self.marks.last().map(|mark| &mark.sequence)).max().map_or(0, |last| last + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::pretty::{draw, parse};
    use arrow::array::BooleanArray;

    fn check_retain(before: &str, keep: &[Option<bool>], after: &str) {
        let batch = parse("id:int amount:int", before);
        let kept = batch.retain(&BooleanArray::from(keep.to_vec()));
        assert_eq!(draw(&kept), draw(&parse("id:int amount:int", after)));
    }

    #[test]
    fn a_change_alone_is_what_it_was() {
        let batch = parse("id:int amount:int", "+I 1 1\n-U 2 20\n+U 2 5\n-D 3 3");
        let alone: Vec<_> = batch.changes().map(|change| draw(&batch.only(change))).collect();
        let expected = ["+I 1 1", "-U 2 20\n+U 2 5", "-D 3 3"];
        assert_eq!(alone, expected.map(|rows| draw(&parse("id:int amount:int", rows))));
        let update = batch.only(batch.changes().nth(1).unwrap());
        assert_eq!(update.sequence(), &batch.sequence()[1..3]);
    }

    #[test]
    fn an_update_across_the_filter_is_a_delete_or_an_insert() {
        let yes = Some(true);
        check_retain("-U 1 20\n+U 1 5", &[yes, Some(false)], "-D 1 20");
        check_retain("-U 1 20\n+U 1 5", &[Some(false), yes], "+I 1 5");
        check_retain("-U 1 20\n+U 1 5", &[yes, None], "-D 1 20");
        check_retain("-U 1 20\n+U 1 5", &[None, Some(false)], "");
        check_retain("-U 1 20\n+U 1 5", &[yes, yes], "-U 1 20\n+U 1 5");
        check_retain("+I 1 1\n-D 2 2\n** 3 3", &[Some(false), yes, yes], "-D 2 2\n** 3 3");
    }
}
