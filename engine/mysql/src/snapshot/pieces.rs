//! A chunk that takes too long, in pieces.
//!
//! While a view is open the server keeps old versions of all rows, of all tables. How long a chunk takes is known only once it is read: its
//! rows may be wide, the sink slow, the load held back. One that is not read in time is given up and cut where it is, and each piece has a
//! view of its own; so have those that come next, before they begin.
//!
//! ```text
//! chunk 7   [a ──────────────────────────────────── b)
//!            view 1 ─ ─ ─ ─ too old
//!           [a ────── c)[c ────── d)[d ────── b)
//!            view 2      view 3      view 4           one `low`, that of view 1
//! ```
//!
//! To the ledger it stays one chunk: of its `low`, the first, all its views show everything, and what lies beyond is emitted. Rows that the
//! view which was given up has shown come once more.
//!
//! Not where rows have no key: what two views show of one would stay twice for good. Nor where no index leads to a piece.

use std::collections::VecDeque;
use std::time::Duration;

use crate::chunks::{KeyRange, KeyValue};

/// What is left of a chunk, of which the next piece is known alone: how large the others may be, it tells.
pub(super) struct Pieces {
    left: KeyRange,
    /// Where the next piece ends, if not where the chunk does.
    border: Option<Vec<KeyValue>>,
    /// About how many rows it has, if it was cut.
    rows: Option<u64>,
    /// Others were read before.
    pub(super) are_begun: bool,
}

impl Pieces {
    pub(super) fn next(&self) -> KeyRange {
        let upper = self.border.as_ref().or(self.left.upper.as_ref()).cloned();
        KeyRange { lower: self.left.lower.clone(), upper }
    }

    pub(super) fn is_last(&self) -> bool {
        self.border.is_none()
    }
}

/// Chunks of one table to be read in one view. Those that have been read leave it.
pub(super) struct ReadJob {
    pub(super) table: usize,
    pub(super) chunks: VecDeque<(u32, KeyRange)>,
    /// Of the first of them.
    pub(super) pieces: Option<Pieces>,
}

impl ReadJob {
    /// The chunk that is next, what is left of it, and about how many rows are to be read of that at once, if chunks have `chunk_rows`.
    pub(super) fn next(&self, chunk_rows: u64) -> Option<(u32, &KeyRange, u64)> {
        let (chunk, range) = self.chunks.front()?;
        match &self.pieces {
            Some(pieces) => Some((*chunk, &pieces.left, pieces.rows.unwrap_or(chunk_rows))),
            None => Some((*chunk, range, chunk_rows)),
        }
    }

    /// The next piece ends at the border, or where the chunk does, and has about so many rows.
    pub(super) fn divide(&mut self, border: Option<Vec<KeyValue>>, rows: u64) {
        let Some((_, chunk)) = self.chunks.front() else { return };
        let whole = || Pieces { left: chunk.clone(), border: None, rows: None, are_begun: false };
        let pieces = self.pieces.get_or_insert_with(whole);
        (pieces.border, pieces.rows) = (border, Some(rows));
    }

    /// A piece is read, perhaps the chunk's last one.
    pub(super) fn end_piece(&mut self) {
        let Some(pieces) = &mut self.pieces else { return };
        match pieces.border.take() {
            Some(border) => {
                pieces.left.lower = Some(border);
                (pieces.rows, pieces.are_begun) = (None, true);
            }
            None => {
                self.pieces = None;
                self.chunks.pop_front();
            }
        }
    }
}

/// How many rows a view has time for, as far as known.
#[derive(Default)]
pub(super) struct InTime(Option<u64>);

impl InTime {
    /// If a range of about so many rows is too much.
    pub(super) fn less_than(&self, rows: u64) -> Option<u64> {
        self.0.filter(|&in_time| in_time < rows)
    }

    /// A view that was to read so many was given up when it had shown `read`; of those that the server filters, it has shown none.
    pub(super) fn ran_out(&mut self, of: u64, read: u64) -> u64 {
        *self.0.insert((read.min(of) / 2).max(of / 8).max(1))
    }

    /// A view was open for `took`. A chunk as a whole has about `chunk_rows`.
    pub(super) fn sufficed(&mut self, took: Duration, of: Duration, chunk_rows: u64) {
        if took < of / 4 {
            self.0 = self.0.map(|rows| rows.saturating_mul(2)).filter(|&rows| rows < chunk_rows);
        }
    }
}
