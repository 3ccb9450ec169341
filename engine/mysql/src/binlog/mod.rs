//! The stream of binlog events, turned into windows of changes. Knows no sockets and no files.
//!
//! ```text
//! events   GTID BEGIN table map(17 → shop.orders) rows(17) rows(17) table map(18 → shop.lines) rows(18) XID GTID …
//!                        │                          │
//!                     Schemas: captured? columns?   RowPlan: bytes → builders of shop.orders
//!                                                   │
//! windows  ◄── when full, or when the caller wants one: a batch per table version, and the position reached
//! ```
//!
//! Whatever may carry rows and is not understood is an error. Rows of tables that are not captured are skipped without
//! decoding. Every checksum is verified. After an error no more is read: start again from the last position.
//!
//! *XA.* The rows of an XA transaction stand before its XA PREPARE and become true with the XA COMMIT, which may come any time
//! later, with other transactions in between, or never. They are held back until then, and bear the commit's position.
//!
//! ```text
//! XA START a, rows, XA PREPARE   GTID …   XA COMMIT a
//!              └── held ─────────────────────┴─► windows    in memory, beyond a few megabytes in a file
//! ```
//!
//! What is held is read again after a restart (see `place`). Only a transaction that was prepared before the task began is never
//! read: its XA COMMIT stops the task, unless it ended before that, too. To tell one from a transaction of tables that are not
//! captured, the identifiers of those are part of the position for as long as they are prepared. A person who knows that none of
//! its rows matter names the place of the XA COMMIT, and of no other.
//!
//! *Rolled back and logged.* MariaDB, and MySQL before 8.0, log a transaction that was rolled back, whole or to a savepoint, wherever it
//! has touched what cannot be rolled back (a temporary table is enough), and say so behind its rows. So there the rows of every
//! transaction wait for its end, if they are no more than [`WAIT_BYTES_MAX`]; with GTIDs, which forbid such transactions to MySQL, as
//! well, for a server that dies may have sent the begin of one that it then takes out of its binlog. Those of a larger one are
//! sent as they come, and a rollback behind them stops the task.

mod apply;
mod beginning;
mod described;
pub mod error;
pub mod event;
mod held;
mod mariadb;
mod payload;
mod place;
mod schemas;
pub mod table_map;
mod window;

#[cfg(test)]
mod dated_tests;
#[cfg(test)]
mod stop_tests;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use tracing::{info, warn};

use self::event::{
    Frame, Header, Input, Query, Short, kind, parse_gtid, parse_heartbeat_v2, parse_rotate, parse_tagged_gtid,
};
use self::held::{Group, Held};
use self::payload::Unpacker;
use self::place::{Committing, Done, HeartbeatEnd, Left, Place};
use self::window::{ChangesBuilder, Slot};
use super::definition::{Server, Session};
use super::history::{ColumnsFault, Here, History};
use super::rows::RowPlan;
use tidegate_model::{
    Coordinate, EventMeta, Gtid, MarkKind, Position, Progress, Statement, Table, Watermark, Window, now_s,
};

pub use self::beginning::Beginning;
pub(crate) use self::described::{bytes_per_character, quoted};
pub use self::described::{check_against, table_from_full_metadata, type_text_of_map};
pub use self::error::{BinlogError, Fault, FileFault};
pub use self::event::{FormatDescription, RowsAction, RowsEvent};
pub(super) use self::mariadb::inflate;
pub use self::schemas::Schemas;
pub use self::table_map::TableMap;
pub use self::window::{MarkOptions, RowUse, RowUses, WindowOptions};

/// What to do after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Feed the next event.
    Continue,
    /// Take the window, then [`BinlogDecoder::resume`].
    WindowFull,
}

/// Turns events into windows.
///
/// ```text
/// let mut flow = decoder.feed(event)?;
/// while flow == Flow::WindowFull {
///     deliver(decoder.take_window()?);
///     flow = decoder.resume(event)?;
/// }
/// ```
pub struct BinlogDecoder {
    schemas: Box<dyn Schemas>,
    row_uses: RowUses,
    place: Place,
    window: ChangesBuilder,
    /// What the file's first event said.
    format: Option<Arc<FormatDescription>>,
    tables: Tables,
    /// No event may be larger, compressed ones when they are unpacked.
    event_bytes_max: usize,
    unpacker: Unpacker,
    held: Held,
    /// XA COMMITs at which reading does not stop.
    pass: Vec<Coordinate>,
    /// Rows of the transaction being read that wait for its end.
    group: Group,
    /// What a compressed event holds.
    unpacked: Vec<u8>,
    /// Held rows that are being read back.
    read_back: Option<ReadBack>,
    /// The event before ended its file.
    has_stopped: bool,
    /// A file that has been left since somebody asked.
    left: Option<Left>,
    /// Where the event stands that is half read.
    reading_at: Coordinate,
    /// Heartbeats are passed on from there on: nothing that was sent before lies behind it.
    heartbeats_from: Option<Coordinate>,
    /// The position that the last window named.
    reported: Option<Position>,
    /// Counts statements, each of which may change what a table id stands for.
    statements: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// A schema, a statement or an XA COMMIT stopped the reading before its event. What was gathered until then is whole.
    Stopped,
    Broken,
}

/// What a table id stands for.
struct MappedTable {
    /// The table map behind its id: the same bytes mean the same table,
    map: Vec<u8>,
    /// as long as no statement has come in between.
    statements: u64,
    /// `None` if the table is not captured.
    plan: Option<RowPlan>,
    /// See [`RowUse::bytes`].
    row_bytes: usize,
    slot: Slot,
}

impl MappedTable {
    /// Columns, each of which has a plan and a name, and the table itself.
    fn weight(&self) -> usize {
        10 + self.plan.as_ref().map_or(0, |plan| plan.table().columns().len())
    }
}

/// What table ids stand for. A server hands out ever new ones; those that were used last are remembered.
///
/// A rows event names a table whose map came before it in its transaction, at times thousands of maps before (LOCK TABLES). So nothing is
/// forgotten within a transaction, and between two anything may be: it only has to be read again.
#[derive(Default)]
struct Tables {
    young: HashMap<u64, MappedTable>,
    /// What the young weigh: see [`MappedTable::weight`].
    weight: usize,
    /// The generation before: found here, an id is young again.
    old: HashMap<u64, MappedTable>,
}

impl Tables {
    /// Of a generation, by [`MappedTable::weight`]: a few MiB. There may be two of them in memory.
    const GENERATION: usize = 20_000;

    fn get_mut(&mut self, id: u64) -> Option<&mut MappedTable> {
        if !self.old.is_empty()
            && let Some(mapped) = self.old.remove(&id)
        {
            self.insert(id, mapped);
        }
        self.young.get_mut(&id)
    }

    fn insert(&mut self, id: u64, mapped: MappedTable) {
        self.old.remove(&id);
        self.weight += mapped.weight();
        let before = self.young.insert(id, mapped);
        self.weight -= before.map_or(0, |before| before.weight());
    }

    /// A transaction has ended.
    fn age(&mut self) {
        if self.weight >= Tables::GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
    }

    fn clear(&mut self) {
        *self = Tables::default();
    }
}

/// Held rows on their way into windows.
struct ReadBack {
    reader: held::Reader,
    body: Vec<u8>,
    /// Of the event that commits them.
    header: Header,
    /// Rows events of the transaction, when they began to be read back.
    row_events: u64,
    then: Then,
}

/// What comes behind held rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The transaction's end.
    End,
    /// The event that made an end of the waiting, once more.
    Again,
}

/// Rows of a transaction that may be rolled back wait in memory if they are no more than this.
const WAIT_BYTES_MAX: usize = 4 << 20;

/// An event without its checksum.
#[derive(Clone, Copy)]
struct Event<'a> {
    header: &'a Header,
    body: &'a [u8],
    /// Where it begins; inside a compressed transaction, where that begins.
    at: &'a Coordinate,
}

/// What a server allows at most for an event.
const EVENT_BYTES_MAX: usize = 1 << 30;

impl BinlogDecoder {
    pub fn new(start: Position, schemas: Box<dyn Schemas>, options: WindowOptions) -> BinlogDecoder {
        BinlogDecoder {
            schemas,
            row_uses: Arc::new(|table| RowUse::whole(table)),
            reading_at: start.coordinate.clone(),
            place: Place::new(start),
            window: ChangesBuilder::new(options),
            format: None,
            tables: Tables::default(),
            event_bytes_max: EVENT_BYTES_MAX,
            unpacker: Unpacker::default(),
            held: Held::new(std::env::temp_dir()),
            pass: Vec::new(),
            group: Group::default(),
            unpacked: Vec::new(),
            read_back: None,
            has_stopped: false,
            left: None,
            heartbeats_from: None,
            statements: 0,
            reported: None,
            state: State::Reading,
        }
    }

    /// Rows that wait for an XA COMMIT, and are many, wait in a file in this folder.
    pub fn with_folder(mut self, folder: PathBuf) -> BinlogDecoder {
        self.held = Held::new(folder);
        self
    }

    /// Passes over the XA COMMITs at these places, whatever rows they had that were never read.
    pub fn passing(mut self, pass: &[Coordinate]) -> BinlogDecoder {
        self.pass = pass.to_vec();
        self
    }

    /// No event may be larger, compressed ones when they are unpacked.
    pub fn with_event_bytes_max(mut self, bytes: usize) -> BinlogDecoder {
        self.event_bytes_max = bytes;
        self
    }

    /// Windows are bounded by what becomes of their rows, which somebody else knows; values that nobody reads are not decoded.
    pub fn with_row_uses(mut self, row_uses: RowUses) -> BinlogDecoder {
        self.row_uses = row_uses;
        self
    }

    pub fn event_bytes_max(&self) -> usize {
        self.event_bytes_max
    }

    /// The events come from this server, whose files positions then name.
    pub fn set_server(&mut self, uuid: &str) {
        self.place.set_server(uuid);
    }

    /// Where the binlog ends now. Heartbeats are passed on once that has been reached, so that their positions lie behind
    /// those of all that was sent before, rows of a full load too.
    pub fn set_heartbeats_from(&mut self, end: Coordinate) {
        self.heartbeats_from = Some(end);
    }

    /// Feeds one event as it stands in the stream or file, checksum included.
    ///
    /// If it fills a window, [`resume`](BinlogDecoder::resume) must be called until it says [`Flow::Continue`] before the
    /// next event is fed: a compressed transaction may fill many.
    pub fn feed(&mut self, event: &[u8]) -> Result<Flow, BinlogError> {
        let at = self.place.at.clone();
        if self.is_half_read() {
            return Err(BinlogError::new(&at, Fault::NotResumed));
        }
        self.guarded(&at, |decoder| decoder.outer_event(event))
    }

    /// Goes on with the event that filled a window. [`Flow::Continue`] if nothing of it is left.
    pub fn resume(&mut self, event: &[u8]) -> Result<Flow, BinlogError> {
        if !self.is_half_read() {
            return Ok(Flow::Continue);
        }
        let at = self.reading_at.clone();
        self.guarded(&at, |decoder| decoder.go_on(event))
    }

    fn is_half_read(&self) -> bool {
        self.read_back.is_some() || self.unpacker.is_active()
    }

    /// The changes gathered so far and the position that they reach; only the position if it has moved without changes.
    ///
    /// After a fault that says nothing against what came before, such as [`Fault::Schema`] or [`Fault::Incident`], it gives that, which is
    /// worth delivering; after any other error it fails.
    pub fn take_window(&mut self) -> Result<Option<Window>, BinlogError> {
        if self.state == State::Broken {
            return Err(BinlogError::new(&self.place.at, Fault::Ended));
        }
        let bytes = self.window.bytes();
        let changes = self.window.finish().inspect_err(|_| self.state = State::Broken)?;
        let marks = self.window.take_marks();
        let position = self.place.position();
        if changes.is_empty() && marks.is_empty() && self.reported.as_ref() == Some(&position) {
            return Ok(None);
        }
        self.reported = Some(position.clone());
        let committed_us = self.place.committed_us;
        Ok(Some(Window { changes, marks, progress: Some(Progress::Position(position)), bytes, committed_us }))
    }

    /// The end of the file that was left last, once after each, and whether that file has said so itself. Behind such an end
    /// comes the next file of the server, if its history is still the same.
    pub fn take_left(&mut self) -> Option<(Position, bool)> {
        let left = self.left.take()?;
        let position = self.place.position();
        Some((Position { coordinate: left.end, delivered: None, file: left.file, ..position }, left.is_announced))
    }

    /// Where reading is, whatever has been taken.
    pub fn position(&self) -> Position {
        self.place.position()
    }

    /// Whether everything up to the watermark has been read, though it may wait for an XA COMMIT.
    pub fn has_read(&self, until: &Watermark) -> bool {
        self.place.has_read(until)
    }

    /// Whether this XA transaction is prepared, and neither committed nor rolled back, as far as has been read.
    pub(crate) fn holds(&self, xid: &str) -> bool {
        let without_rows = self.place.xa.as_ref().is_some_and(|known| known.without_rows.contains(xid));
        without_rows || self.place.prepared.contains_key(xid)
    }

    /// The server whose events these are, if somebody has said so.
    pub(crate) fn server(&self) -> Option<&str> {
        self.place.server()
    }

    /// Where the next event begins.
    pub fn coordinate(&self) -> &Coordinate {
        &self.place.at
    }

    /// Whether a transaction has begun and not ended.
    pub fn is_in_transaction(&self) -> bool {
        self.place.transaction.is_some()
    }

    /// The events that follow come from this place of this file, without gaps.
    pub(crate) fn enter_file(&mut self, file: &str, offset: u64) -> Result<(), BinlogError> {
        self.place.is_gapless = true;
        let at = self.place.at.clone();
        self.place.enter(file, offset, true).map_err(|fault| BinlogError::new(&at, fault))
    }

    /// Runs one step; an error ends everything.
    fn guarded(
        &mut self,
        at: &Coordinate,
        step: impl FnOnce(&mut BinlogDecoder) -> Result<(), Fault>,
    ) -> Result<Flow, BinlogError> {
        if self.state != State::Reading {
            return Err(BinlogError::new(at, Fault::Ended));
        }
        match step(self) {
            Ok(()) if self.window.is_full() => Ok(Flow::WindowFull),
            Ok(()) => Ok(Flow::Continue),
            Err(fault) => {
                let is_about_event_alone = matches!(
                    fault,
                    Fault::Schema(_)
                        | Fault::UnreadXa { .. }
                        | Fault::Versioned { .. }
                        | Fault::Incident(_)
                        | Fault::UnknownEvent(_)
                );
                if is_about_event_alone && self.state == State::Reading {
                    self.state = State::Stopped;
                    self.place.at = at.clone();
                } else {
                    self.state = State::Broken;
                    self.window.clear();
                }
                Err(BinlogError::new(at, fault))
            }
        }
    }

    fn outer_event(&mut self, event: &[u8]) -> Result<(), Fault> {
        let header = Header::parse(event)?;
        if header.size as usize != event.len() {
            return Err(Fault::Damaged("its size is not that in its header"));
        }
        if header.kind == kind::FORMAT_DESCRIPTION {
            return self.format_description(&header, event);
        }
        let checksums = match &self.format {
            Some(format) => format.checksums,
            // The server's first word is a rotation, made with or without checksum.
            None if header.kind == kind::ROTATE => event::verify_checksum(&header, event).is_ok(),
            None if event::is_heartbeat_kind(header.kind) => return Ok(()),
            None => return Err(Fault::Damaged("it comes before the format description")),
        };
        let content = if checksums { event::verify_checksum(&header, event)? } else { event };
        let body = content.get(Header::LENGTH..).ok_or(Short)?;
        let has_stopped = std::mem::replace(&mut self.has_stopped, header.kind == kind::STOP);
        match header.kind {
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => self.heartbeat(&header, body),
            kind::ROTATE => {
                let (offset, file) = parse_rotate(body)?;
                self.place.pass(&header)?;
                if header.is_artificial() {
                    self.drop_unfinished();
                }
                self.place.enter(file, offset, has_stopped || !header.is_artificial())
            }
            kind::TRANSACTION_PAYLOAD => {
                self.reading_at = self.place.pass(&header)?;
                self.unpacker.start(Header::LENGTH, body)?;
                self.go_on(event)
            }
            _ => {
                let at = self.place.pass(&header)?;
                self.event(Event { header: &header, body, at: &at })?;
                if self.is_half_read() {
                    self.reading_at = at;
                    self.go_on(event)?;
                }
                Ok(())
            }
        }
    }

    fn format_description(&mut self, header: &Header, event: &[u8]) -> Result<(), Fault> {
        let is_first = self.format.is_none();
        self.format = Some(Arc::new(FormatDescription::parse(header, event)?));
        // Table ids are those of one run of the server.
        self.tables.clear();
        if self.place.transaction.is_some() {
            return Err(Fault::UnfinishedTransaction);
        }
        let left = self.place.file_made(header.timestamp_s)?;
        // Where a dump begins is nobody's end.
        self.left = left.filter(|_| !is_first);
        // It stands at the beginning of the file; whoever starts further behind gets it all the same.
        if self.place.at.offset == BINLOG_MAGIC.len() as u64 {
            self.place.pass(header)?;
        }
        Ok(())
    }

    /// Reads on in what `outer` has opened, held rows or a compressed transaction, until its end or until the window is full.
    fn go_on(&mut self, outer: &[u8]) -> Result<(), Fault> {
        let at = self.reading_at.clone();
        while !self.window.is_full() {
            if let Some(mut read_back) = self.read_back.take() {
                match read_back.reader.next(&mut self.held, &mut read_back.body)? {
                    None if read_back.then == Then::End => {
                        let ReadBack { header, .. } = read_back;
                        self.end_transaction(Event { header: &header, body: &[], at: &at });
                    }
                    None => {
                        let header = Header::parse(outer)?;
                        // If it is a rows event, it has been counted, and will be again.
                        let counted = u64::from(is_rows(read_back.header.kind));
                        self.place.transaction(&at).row_events = read_back.row_events - counted;
                        let checksum = if self.format.as_ref().is_some_and(|format| format.checksums) { 4 } else { 0 };
                        let body = outer.get(Header::LENGTH..outer.len() - checksum).ok_or(Short)?;
                        self.event(Event { header: &header, body, at: &at })?;
                    }
                    Some(event) => {
                        let row_events = event.row_events;
                        if is_rows(event.header.kind) {
                            // `rows` counts it.
                            self.place.transaction(&at).row_events = row_events - 1;
                        }
                        self.event(Event { header: &event.header, body: &read_back.body, at: &at })?;
                        self.read_back = Some(read_back);
                    }
                }
            } else if self.unpacker.is_active() {
                let mut unpacker = std::mem::take(&mut self.unpacker);
                let result = match unpacker.next(outer, self.event_bytes_max) {
                    Ok(Some(event)) => self.inner_event(event, &at),
                    Ok(None) => Ok(()),
                    Err(fault) => Err(fault),
                };
                self.unpacker = unpacker;
                result?;
            } else {
                break;
            }
        }
        Ok(())
    }

    fn inner_event(&mut self, event: &[u8], at: &Coordinate) -> Result<(), Fault> {
        let header = Header::parse(event)?;
        let body = event.get(Header::LENGTH..).ok_or(Short)?;
        self.event(Event { header: &header, body, at })
    }
}

fn event_meta(event: Event<'_>, transaction: &place::Transaction) -> EventMeta {
    EventMeta {
        timestamp_s: event.header.timestamp_s,
        server_id: event.header.server_id,
        thread_id: transaction.thread_id,
        coordinate: event.at.clone(),
        transaction: transaction.start.clone(),
        gtid: transaction.gtid.clone(),
    }
}

fn is_rows(kind: u8) -> bool {
    matches!(
        kind,
        kind::WRITE_ROWS_V1..=kind::DELETE_ROWS_V1 | kind::WRITE_ROWS..=kind::DELETE_ROWS | kind::PARTIAL_UPDATE_ROWS
    )
}

/// The first bytes of a binlog file; events begin behind them.
pub const BINLOG_MAGIC: [u8; 4] = [0xfe, b'b', b'i', b'n'];
