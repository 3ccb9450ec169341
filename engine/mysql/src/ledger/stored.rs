//! The ledger as entries, and as earlier versions stored it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Chunk, ChunkState, Ledger, LedgerMark, TableChunks, Unsure};
use crate::chunks::{ChunkKey, KeyRange, KeyValue};
use tidegate_model::state::{Changes, Entries, EntryError};
use tidegate_model::{Coordinate, GtidSet, Position, TableName, Watermark};

/// Everything of a ledger lies below.
const LOAD: &str = "load";
const TABLE: &str = "table";
const CHUNK: &str = "chunk";
const MARK: &str = "mark";

/// What has changed since it was told last.
#[derive(Clone, Debug, Default)]
pub(super) struct Untold {
    /// Nothing was told yet.
    pub(super) all: bool,
    /// Without their chunks.
    pub(super) tables: BTreeSet<TableName>,
    /// Tables whose chunks of before are forgotten.
    pub(super) cut_anew: BTreeSet<TableName>,
    pub(super) chunks: BTreeSet<(TableName, u32)>,
    pub(super) marks: Vec<LedgerMark>,
}

#[derive(Serialize, Deserialize)]
struct StoredTable {
    key: ChunkKey,
    planned: bool,
    first_chunk: u32,
    definition: Option<u32>,
    replayed: bool,
    gone: Option<u32>,
    #[serde(rename = "first_high")]
    least_high: Option<u32>,
    floor: Option<u32>,
    #[serde(default)]
    shown_before: Option<u32>,
    since: Option<Coordinate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pieces_high: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part: Option<String>,
    unsure: bool,
}

/// Upper border, state, numbers of `low` and `high`, rows. The lower border is the upper one of the chunk before.
#[derive(Serialize, Deserialize)]
struct StoredChunk(Option<Vec<KeyValue>>, ChunkState, Option<u32>, Option<u32>, u64);

/// Executed sets grow with the history of a server. What it has executed since the load began is little.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredMark {
    BeyondStart(GtidSet),
    Watermark(Watermark),
}

fn number(mark: &Option<LedgerMark>) -> Option<u32> {
    mark.as_ref().map(|mark| mark.number)
}

impl Ledger {
    /// Tells all there is, or what has changed since it was told last.
    pub fn tell(&mut self, all: bool, changes: &mut Changes) {
        let mut untold = std::mem::take(&mut self.untold);
        for table in &mut self.tables {
            if table.unsure.take_news() {
                untold.tables.insert(table.name.clone());
            }
        }
        if untold.all || all {
            if !all {
                Ledger::tell_gone(changes);
            }
            changes.put(&(LOAD,), &self.start);
            let marks = self.marks_in_use();
            marks.iter().for_each(|mark| self.tell_mark(mark, changes));
            // Those that nobody has are not told, and get another number should somebody have them again.
            self.marks = marks.into_iter().map(|mark| (mark.watermark, mark.number)).collect();
            for table in &self.tables {
                tell_table(table, changes);
                table.numbered().for_each(|(number, chunk)| tell_chunk(&table.name, number, chunk, changes));
            }
            return;
        }
        untold.marks.iter().for_each(|mark| self.tell_mark(mark, changes));
        for name in &untold.cut_anew {
            changes.remove(&(LOAD, CHUNK, &name.database, &name.table));
        }
        for name in &untold.tables {
            match self.table(name) {
                Some(table) => tell_table(table, changes),
                None => changes.remove(&(LOAD, TABLE, &name.database, &name.table)),
            }
        }
        for (name, number) in &untold.chunks {
            let table = self.table(name).filter(|table| *number >= table.first_chunk);
            if let Some(chunk) = table.and_then(|table| table.chunks.get((number - table.first_chunk) as usize)) {
                tell_chunk(name, *number, chunk, changes);
            }
        }
    }

    /// Tells that there is no ledger any more.
    pub fn tell_gone(changes: &mut Changes) {
        changes.remove(&(LOAD,));
    }

    fn marks_in_use(&self) -> Vec<LedgerMark> {
        let of_table = |table: &TableChunks| {
            [&table.gone, &table.least_high, &table.floor, &table.shown_before, &table.pieces_high].map(Option::clone)
        };
        let of_tables = self.tables.iter().flat_map(of_table);
        let chunks = self.tables.iter().flat_map(|table| &table.chunks);
        let marks = of_tables.chain(chunks.flat_map(|chunk| [chunk.low.clone(), chunk.high.clone()]));
        let mut marks: Vec<LedgerMark> = marks.flatten().collect();
        marks.sort_by_key(|mark| mark.number);
        marks.dedup_by_key(|mark| mark.number);
        marks
    }

    fn tell_mark(&self, mark: &LedgerMark, changes: &mut Changes) {
        let stored = match (&**mark, &self.start.gtids) {
            (Watermark::Gtids(set), Some(start)) if set.contains_set(start) => {
                StoredMark::BeyondStart(set.without(start))
            }
            (watermark, _) => StoredMark::Watermark(watermark.clone()),
        };
        changes.put(&(LOAD, MARK, mark.number), &stored);
    }

    /// The ledger that was told, if there is one.
    pub fn of_entries(entries: &Entries) -> Result<Option<Ledger>, EntryError> {
        let Some(start) = entries.get::<Position>(&(LOAD,))? else { return Ok(None) };
        let mut marks = HashMap::new();
        for ((_, _, number), stored) in entries.under::<(String, String, u32), StoredMark>(&(LOAD, MARK))? {
            let watermark = match (stored, &start.gtids) {
                (StoredMark::Watermark(watermark), _) => watermark,
                (StoredMark::BeyondStart(beyond), Some(start)) => {
                    let mut set = start.clone();
                    set.extend(&beyond);
                    Watermark::Gtids(set)
                }
                (StoredMark::BeyondStart(_), None) => {
                    return Err(EntryError::new(&(LOAD, MARK, number), "the load began without GTIDs"));
                }
            };
            marks.insert(number, LedgerMark { number, watermark: Arc::new(watermark) });
        }
        let mut ledger = Ledger::new(start);
        type TableKey = (String, String, String, String);
        for ((_, _, database, table), stored) in entries.under::<TableKey, StoredTable>(&(LOAD, TABLE))? {
            let name = TableName::new(&database, &table);
            ledger.tables.push(stored.into_table(name, entries, &marks)?);
        }
        ledger.tables.sort_by(|a, b| a.name.cmp(&b.name));
        ledger.next_mark = marks.keys().max().map_or(0, |number| number + 1);
        ledger.marks = marks.into_values().map(|mark| (mark.watermark, mark.number)).collect();
        Ok(Some(ledger))
    }
}

fn tell_table(table: &TableChunks, changes: &mut Changes) {
    changes.put(&(LOAD, TABLE, &table.name.database, &table.name.table), &table.stored());
}

fn tell_chunk(name: &TableName, at: u32, chunk: &Chunk, changes: &mut Changes) {
    let stored =
        StoredChunk(chunk.range.upper.clone(), chunk.state, number(&chunk.low), number(&chunk.high), chunk.rows);
    changes.put(&(LOAD, CHUNK, &name.database, &name.table, at), &stored);
}

impl TableChunks {
    fn stored(&self) -> StoredTable {
        StoredTable {
            key: self.key.clone(),
            planned: self.planned,
            first_chunk: self.first_chunk,
            definition: self.definition,
            replayed: self.replayed,
            gone: number(&self.gone),
            least_high: number(&self.least_high),
            floor: number(&self.floor),
            shown_before: number(&self.shown_before),
            since: self.since.clone(),
            pieces_high: number(&self.pieces_high),
            part: self.part.clone(),
            unsure: self.unsure.is_raised(),
        }
    }
}

impl StoredTable {
    fn into_table(
        self,
        name: TableName,
        entries: &Entries,
        marks: &HashMap<u32, LedgerMark>,
    ) -> Result<TableChunks, EntryError> {
        let key = (LOAD, TABLE, &name.database, &name.table);
        let mark = |number: Option<u32>| match number {
            Some(number) => {
                let mark = marks.get(&number).cloned();
                mark.map(Some).ok_or_else(|| EntryError::new(&key, format!("there is no mark {number}")))
            }
            None => Ok(None),
        };
        type ChunkKey = (String, String, String, String, u32);
        let mut chunks = entries.under::<ChunkKey, StoredChunk>(&(LOAD, CHUNK, &name.database, &name.table))?;
        chunks.sort_by_key(|((.., number), _)| *number);
        if !chunks.iter().map(|((.., number), _)| *number).eq((self.first_chunk..).take(chunks.len())) {
            return Err(EntryError::new(&key, "some of its chunks are missing"));
        }
        let mut table = TableChunks::new(name.clone(), self.key, self.definition);
        for (_, StoredChunk(upper, state, low, high, rows)) in chunks {
            let lower = table.cut_until().map(<[KeyValue]>::to_vec);
            table.left += usize::from(state != ChunkState::Done);
            let range = KeyRange { lower, upper };
            table.chunks.push(Chunk { range, low: mark(low)?, high: mark(high)?, state, rows });
        }
        Ok(TableChunks {
            planned: self.planned,
            first_chunk: self.first_chunk,
            replayed: self.replayed,
            gone: mark(self.gone)?,
            least_high: mark(self.least_high)?,
            floor: mark(self.floor)?,
            shown_before: mark(self.shown_before)?,
            since: self.since,
            pieces_high: mark(self.pieces_high)?,
            part: self.part,
            unsure: Unsure::new(self.unsure),
            ..table
        })
    }
}

/// The ledger as the first versions stored it, in one piece.
#[derive(Deserialize)]
pub(super) struct OldLedger {
    start: Position,
    tables: Vec<OldTable>,
}

#[derive(Deserialize)]
struct OldTable {
    name: TableName,
    key: ChunkKey,
    planned: bool,
    #[serde(default)]
    first_chunk: u32,
    chunks: Vec<OldChunk>,
    #[serde(default)]
    definition: Option<u32>,
    #[serde(default)]
    replayed: bool,
    #[serde(default)]
    gone: Option<Watermark>,
    #[serde(default)]
    #[serde(rename = "first_high")]
    least_high: Option<Watermark>,
    #[serde(default)]
    floor: Option<Watermark>,
    #[serde(default)]
    since: Option<Coordinate>,
    #[serde(default)]
    unsure: bool,
}

#[derive(Deserialize)]
struct OldChunk {
    range: KeyRange,
    low: Option<Watermark>,
    high: Option<Watermark>,
    state: ChunkState,
    rows: u64,
}

impl From<OldLedger> for Ledger {
    fn from(old: OldLedger) -> Ledger {
        let mut ledger = Ledger::new(old.start);
        for old in old.tables {
            let mut mark = |watermark: Option<Watermark>| watermark.map(|watermark| ledger.mark(watermark));
            let mut table = TableChunks {
                planned: old.planned,
                first_chunk: old.first_chunk,
                replayed: old.replayed,
                gone: mark(old.gone),
                least_high: mark(old.least_high),
                floor: mark(old.floor),
                since: old.since,
                unsure: Unsure::new(old.unsure),
                ..TableChunks::new(old.name, old.key, old.definition)
            };
            for OldChunk { range, low, high, state, rows } in old.chunks {
                table.left += usize::from(state != ChunkState::Done);
                table.chunks.push(Chunk { range, low: mark(low), high: mark(high), state, rows });
            }
            ledger.tables.push(table);
        }
        ledger
    }
}
