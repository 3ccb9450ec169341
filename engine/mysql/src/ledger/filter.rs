//! What incremental drops of a batch: the changes that chunks have shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Memory};

use arrow::array::BooleanArray;

use super::keys::{exact_keys, find_chunk};
use super::{Chunk, Ledger, TableChunks};
use crate::chunks::KeyOrder;
use tidegate_model::{ChangeBatch, EventMeta, Table};

impl Ledger {
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
    pub(crate) fn chunks_of(&self, batch: &ChangeBatch) -> Option<Vec<usize>> {
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
            if table.is_shown_before(run.meta.gtid.as_ref(), &run.meta.transaction) {
                keep.resize(run.end, false);
                continue;
            }
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

/// A change was emitted because only the server could tell whether its chunk had shown it: from then on no change of the
/// table is dropped that is not shown by all chunks.
///
/// All clones share it: who filters holds a clone of the checkpoint's ledger. It is raised before the change is emitted, so
/// that every checkpoint beyond the change has it.
#[derive(Clone, Debug, Default)]
pub struct Unsure {
    raised: Arc<AtomicBool>,
    /// As it was told last.
    told: bool,
}

impl Unsure {
    pub(super) fn new(is_raised: bool) -> Unsure {
        Unsure { raised: Arc::new(AtomicBool::new(is_raised)), told: false }
    }

    pub(super) fn raise(&self) {
        self.raised.store(true, Memory::Relaxed);
    }

    /// Whether it is another one than was told last.
    pub(super) fn take_news(&mut self) -> bool {
        let is_raised = self.is_raised();
        std::mem::replace(&mut self.told, is_raised) != is_raised
    }

    pub(super) fn is_raised(&self) -> bool {
        self.raised.load(Memory::Relaxed)
    }
}

impl PartialEq for Unsure {
    fn eq(&self, other: &Unsure) -> bool {
        self.is_raised() == other.is_raised()
    }
}

impl Eq for Unsure {}

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
