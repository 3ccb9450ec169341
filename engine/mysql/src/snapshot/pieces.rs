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

use crate::chunks::KeyRange;

/// What is left of a chunk.
pub(super) struct Pieces {
    pub(super) left: VecDeque<KeyRange>,
    /// About how many rows each has.
    rows: u64,
    /// Others were read before.
    pub(super) are_begun: bool,
}

/// Chunks of one table to be read in one view. Those that have been read leave it.
pub(super) struct ReadJob {
    pub(super) table: usize,
    pub(super) chunks: VecDeque<(u32, KeyRange)>,
    /// Of the first of them.
    pub(super) pieces: Option<Pieces>,
}

impl ReadJob {
    /// The next range, and about how many rows it has if chunks have `chunk_rows`.
    pub(super) fn next(&self, chunk_rows: u64) -> Option<(u32, &KeyRange, u64)> {
        let (chunk, range) = self.chunks.front()?;
        match &self.pieces {
            Some(pieces) => Some((*chunk, pieces.left.front()?, pieces.rows)),
            None => Some((*chunk, range, chunk_rows)),
        }
    }

    /// The next range is these, of about so many rows.
    pub(super) fn divide(&mut self, into: Vec<KeyRange>, rows: u64) {
        let pieces = self.pieces.get_or_insert_with(|| Pieces { left: VecDeque::new(), rows, are_begun: false });
        pieces.left.pop_front();
        into.into_iter().rev().for_each(|piece| pieces.left.push_front(piece));
        pieces.rows = rows;
    }

    /// A piece is read. It was the chunk's last one if none is left.
    pub(super) fn end_piece(&mut self) {
        let Some(pieces) = &mut self.pieces else { return };
        pieces.left.pop_front();
        pieces.are_begun = true;
        if pieces.left.is_empty() {
            self.pieces = None;
            self.chunks.pop_front();
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

    /// A view that was to show so many was given up when it had shown `read`.
    pub(super) fn ran_out(&mut self, of: u64, read: u64) -> u64 {
        *self.0.insert((read.min(of) / 2).max(1))
    }

    /// A view was open for `took`. A chunk as a whole has about `chunk_rows`.
    pub(super) fn sufficed(&mut self, took: Duration, of: Duration, chunk_rows: u64) {
        if took < of / 4 {
            self.0 = self.0.map(|rows| rows.saturating_mul(2)).filter(|&rows| rows < chunk_rows);
        }
    }
}
