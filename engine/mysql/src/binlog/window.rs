//! A window under construction: rows gathered by table version.
//!
//! Heavily interleaved traffic still makes large batches this way; the sequence numbers keep the order.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::super::rows::RowPlan;
use super::error::{BinlogError, Fault};
use super::event::RowsEvent;
use tidegate_model::{ChangeBatch, EventMeta, EventRun, Mark, MarkKind, ROW_COPIES, RowKind, RowsBuilder, Table};

/// When a window is full: as soon as one of these is reached at the end of a rows event, and before rows of another version of a table.
#[derive(Clone, Copy, Debug)]
pub struct WindowOptions {
    /// Changes; an update is one.
    pub rows: usize,
    /// Bytes that the changes take until they are delivered.
    pub bytes: usize,
    pub marks: MarkOptions,
}

/// Which marks are gathered besides changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MarkOptions {
    pub statements: bool,
    /// Where transactions begin and end.
    pub transactions: bool,
    pub heartbeats: bool,
}

/// Who reads the binlog tells what becomes of the rows of a table version.
pub type RowUses = Arc<dyn Fn(&Arc<Table>) -> RowUse + Send + Sync>;

/// What becomes of the rows of a table version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowUse {
    /// What a row takes until it is delivered, besides [`ROW_COPIES`] of its columns.
    pub bytes: usize,
    /// Columns, by index, of which anybody reads the values.
    pub columns: Vec<usize>,
}

impl RowUse {
    /// All columns are read.
    pub fn whole(table: &Table) -> RowUse {
        RowUse { bytes: 0, columns: (0..table.columns().len()).collect() }
    }
}

pub(super) struct ChangesBuilder {
    options: WindowOptions,
    groups: Vec<Group>,
    marks: Vec<Mark>,
    /// Group of each table version, by the table's address; the group keeps the table alive.
    by_table: HashMap<usize, usize>,
    /// Counts windows, so that a [`Slot`] of an earlier one is known as such.
    number: u64,
    /// Changes and marks so far: the next one's sequence number.
    changes: u32,
    bytes: usize,
    /// Another version of a table comes that has rows here.
    is_closed: bool,
}

/// The rows of one table version.
struct Group {
    table: Arc<Table>,
    rows: RowsBuilder,
    kinds: Vec<RowKind>,
    sequence: Vec<u32>,
    events: Vec<EventRun>,
    bytes: usize,
}

/// Remembers where the rows of a table go in the current window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    window: u64,
    group: usize,
}

/// What a window costs besides its columns, per rows event.
const EVENT_BYTES: usize = 200;
/// The same per row.
const ROW_BYTES: usize = size_of::<RowKind>() + size_of::<u32>();

impl ChangesBuilder {
    pub(super) fn new(options: WindowOptions) -> ChangesBuilder {
        ChangesBuilder {
            options,
            groups: Vec::new(),
            marks: Vec::new(),
            by_table: HashMap::new(),
            number: 1,
            changes: 0,
            bytes: 0,
            is_closed: false,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_closed || self.changes as usize >= self.options.rows || self.bytes >= self.options.bytes
    }

    /// Rows of this version come. A window ends before a table is another: what cannot be sent any more has all before it delivered.
    pub(super) fn begin_version(&mut self, table: &Arc<Table>) {
        let is_older = |group: &Group| {
            !group.kinds.is_empty() && group.table.name() == table.name() && !Arc::ptr_eq(&group.table, table)
        };
        self.is_closed |= self.groups.iter().any(is_older);
    }

    /// What the window takes until it is delivered.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn mark_options(&self) -> MarkOptions {
        self.options.marks
    }

    pub(super) fn mark(&mut self, kind: MarkKind, meta: EventMeta) {
        if let MarkKind::Statement(statement) = &kind {
            self.bytes += ROW_COPIES * statement.sql.len();
        }
        self.bytes += EVENT_BYTES;
        self.marks.push(Mark { kind, sequence: self.changes, meta: Arc::new(meta) });
        self.changes += 1;
    }

    pub(super) fn take_marks(&mut self) -> Vec<Mark> {
        std::mem::take(&mut self.marks)
    }

    /// `row_bytes` is what a row takes until it is delivered, besides [`ROW_COPIES`] of its columns.
    pub(super) fn append(
        &mut self,
        plan: &RowPlan,
        row_bytes: usize,
        slot: &mut Slot,
        event: &RowsEvent<'_>,
        meta: impl FnOnce() -> EventMeta,
    ) -> Result<(), Fault> {
        if slot.window != self.number {
            *slot = Slot { window: self.number, group: self.group(plan.table()) };
        }
        let group = &mut self.groups[slot.group];
        let changes = plan.decode(event, self.changes, &mut group.rows, &mut group.kinds, &mut group.sequence)?;
        if changes == self.changes {
            return Ok(());
        }
        self.changes = changes;
        group.events.push(EventRun { end: group.kinds.len(), meta: Arc::new(meta()) });
        let columns = group.rows.byte_size();
        let bytes =
            ROW_COPIES * columns + group.kinds.len() * (ROW_BYTES + row_bytes) + group.events.len() * EVENT_BYTES;
        self.bytes += bytes - group.bytes;
        group.bytes = bytes;
        // Arrow's text and binary columns end at 2 GiB.
        if columns > i32::MAX as usize {
            return Err(Fault::Batch {
                table: plan.table().name().clone(),
                reason: "the rows of one event take over 2 GiB".to_owned(),
            });
        }
        Ok(())
    }

    fn group(&mut self, table: &Arc<Table>) -> usize {
        *self.by_table.entry(Arc::as_ptr(table).addr()).or_insert_with(|| {
            self.groups.push(Group {
                table: table.clone(),
                rows: RowsBuilder::new(table),
                kinds: Vec::new(),
                sequence: Vec::new(),
                events: Vec::new(),
                bytes: 0,
            });
            self.groups.len() - 1
        })
    }

    /// The changes so far; the builder is empty again, and keeps buffers only for the tables of this window.
    pub(super) fn finish(&mut self) -> Result<Vec<ChangeBatch>, BinlogError> {
        self.number += 1;
        (self.changes, self.bytes, self.is_closed) = (0, 0, false);
        self.groups.retain(|group| !group.kinds.is_empty());
        self.by_table.clear();
        let mut batches = Vec::with_capacity(self.groups.len());
        for (index, group) in self.groups.iter_mut().enumerate() {
            self.by_table.insert(Arc::as_ptr(&group.table).addr(), index);
            batches.push(group.finish()?);
        }
        Ok(batches)
    }

    /// Forgets what was gathered.
    pub(super) fn clear(&mut self) {
        self.groups.clear();
        self.marks.clear();
        self.by_table.clear();
        self.number += 1;
        (self.changes, self.bytes, self.is_closed) = (0, 0, false);
    }
}

impl Group {
    fn finish(&mut self) -> Result<ChangeBatch, BinlogError> {
        let table = &self.table;
        let events = std::mem::take(&mut self.events);
        // Which event it was is no longer known: one of this table from the first in the window on.
        let failed = |fault: Fault| BinlogError::new(&events[0].meta.coordinate, fault);
        let columns = self.rows.finish().map_err(|(index, error)| {
            failed(Fault::Value {
                table: table.name().clone(),
                column: table.columns()[index].name.clone(),
                reason: error.to_string(),
            })
        })?;
        let rows = RecordBatch::try_new(table.schema().clone(), columns)
            .map_err(|error| failed(Fault::Batch { table: table.name().clone(), reason: error.to_string() }))?;
        let capacity = self.kinds.len();
        let kinds = std::mem::replace(&mut self.kinds, Vec::with_capacity(capacity));
        let sequence = std::mem::replace(&mut self.sequence, Vec::with_capacity(capacity));
        self.bytes = 0;
        Ok(ChangeBatch::new(table.clone(), rows, kinds, sequence, events))
    }
}
