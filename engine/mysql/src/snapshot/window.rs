//! Gathers rows of chunks that are read in one view, and sends them off.

use std::sync::Arc;

use super::queue::{Plan, Run};
use super::{Failure, TableError, finish_batch};
use crate::chunks::KeyRange;
use crate::result_rows::RowDecoder;
use crate::wire::{Connection, Param};
use tidegate_model::{ChunkPart, EventMeta, Progress, ROW_COPIES, RowsBuilder, Stopped, Window};

pub(super) struct WindowBuilder<'a> {
    run: &'a Run<'a>,
    /// Of its reader.
    slot: usize,
    plan: &'a Plan,
    meta: Arc<EventMeta>,
    builder: RowsBuilder,
    rows: usize,
    bytes: usize,
    /// What the rows are of.
    parts: Vec<ChunkPart>,
    /// Of the largest chunk so far, and of its rows; of several that were read at once, each has an equal share. At first as they were cut.
    chunk_rows: usize,
    row_bytes: usize,
    /// The most chunks that were read by one statement so far.
    at_once: usize,
    /// Rows have been sent off.
    pub(super) has_emitted: bool,
    /// Rows that were read.
    pub(super) shown: u64,
    /// Chunks of which all rows have been.
    pub(super) done: usize,
}

impl<'a> WindowBuilder<'a> {
    pub(super) fn new(run: &'a Run<'a>, slot: usize, plan: &'a Plan, meta: Arc<EventMeta>) -> WindowBuilder<'a> {
        WindowBuilder {
            run,
            slot,
            plan,
            meta,
            builder: RowsBuilder::new(&plan.table.table),
            rows: 0,
            bytes: 0,
            parts: Vec::new(),
            chunk_rows: run.load.options.chunk_rows as usize,
            row_bytes: 0,
            at_once: 0,
            has_emitted: false,
            shown: 0,
            done: 0,
        }
    }

    /// Reads chunks by one statement; `is_whole` unless it is not of all that is left of them.
    pub(super) fn read(
        &mut self,
        connection: &mut Connection,
        sql: &str,
        params: &[Param],
        chunks: &[(u32, KeyRange)],
        is_whole: bool,
    ) -> Result<(), Failure> {
        let [(chunk, _), others @ ..] = chunks else { return Ok(()) };
        let begun = ChunkPart { chunk: *chunk, rows: 0, done: false };
        let (mut rows_read, mut bytes_read) = (0, 0);
        let mut rows = connection.execute(sql, params)?;
        let decoder = RowDecoder::new(&self.plan.table.table, &self.plan.table.columns, rows.columns())
            .map_err(|changed| Failure::Table(TableError::Changed(changed)))?;
        self.parts.push(begun);
        while let Some(row) = rows.next()? {
            let decoded = decoder.decode(row, &mut self.builder.columns);
            decoded.map_err(|malformed| Failure::Table(TableError::Row(malformed)))?;
            let bytes = row.len() * ROW_COPIES + self.plan.table.row_bytes;
            (rows_read, bytes_read) = (rows_read + 1, bytes_read + bytes);
            self.shown += 1;
            (self.rows, self.bytes) = (self.rows + 1, self.bytes + bytes);
            if self.rows == self.run.load.options.window_rows || self.bytes >= self.run.load.options.window_bytes {
                self.count_part(false);
                self.emit_waiting()?;
                self.parts.push(begun);
                if self.run.is_stopped() {
                    return Err(Failure::Stopped);
                }
            }
        }
        self.count_part(is_whole);
        self.parts.extend(others.iter().map(|(chunk, _)| ChunkPart { chunk: *chunk, rows: 0, done: true }));
        self.chunk_rows = self.chunk_rows.max(usize::div_ceil(rows_read, chunks.len()));
        self.row_bytes = self.row_bytes.max(usize::div_ceil(bytes_read, rows_read.max(1)));
        self.at_once = self.at_once.max(chunks.len());
        Ok(())
    }

    /// How many chunks like those before will fit into what is left of the window, with a quarter to spare and from few on: who stops
    /// between windows has then no chunk of which a part is out.
    pub(super) fn room_for_chunks(&self) -> usize {
        let options = self.run.load.options;
        let fit = |max: usize, used: usize, each: usize| (max - max / 4).saturating_sub(used) / each.max(1);
        let rows = fit(options.window_rows, self.rows, self.chunk_rows);
        let bytes = fit(options.window_bytes, self.bytes, self.chunk_rows.saturating_mul(self.row_bytes));
        rows.min(bytes).min((4 * self.at_once).max(1))
    }

    /// The rows since the last part are of this one.
    fn count_part(&mut self, done: bool) {
        let before: u64 = self.parts.iter().map(|part| part.rows).sum();
        let part = self.parts.last_mut().expect("a chunk is being read");
        (part.rows, part.done) = (self.rows as u64 - before, done);
    }

    /// As [`emit`](Self::emit); while it waits for the sink, the view may be ended.
    pub(super) fn emit_waiting(&mut self) -> Result<(), Failure> {
        self.run.waiting(self.slot, || self.emit())
    }

    /// The window may be empty: of chunks without rows it says that they are done.
    fn emit(&mut self) -> Result<(), Failure> {
        if self.parts.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        let bytes = std::mem::take(&mut self.bytes);
        let changes = match rows {
            0 => Vec::new(),
            rows => vec![finish_batch(&self.plan.table.table, &mut self.builder, rows, &self.meta)?],
        };
        let parts = std::mem::take(&mut self.parts);
        let done = parts.iter().filter(|part| part.done).count();
        let progress = Progress::Chunks { table: self.plan.name().clone(), parts };
        let window = Window { changes, progress: Some(progress), bytes, ..Window::default() };
        (self.run.load.emit)(window).map_err(|Stopped| Failure::Stopped)?;
        self.has_emitted |= rows > 0;
        self.done += done;
        Ok(())
    }
}
