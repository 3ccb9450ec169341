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
//! *MariaDB* logs a transaction that was rolled back, whole or to a savepoint, wherever it has touched what cannot be rolled back (a
//! temporary table is enough), and says so behind its rows. So there the rows of every transaction wait for its end, if they
//! are no more than [`WAIT_BYTES_MAX`]. Those of a larger one are sent as they come, and a rollback behind them stops the task.

pub mod error;
pub mod event;
mod held;
mod mariadb;
mod payload;
mod place;
pub mod table_map;
mod window;

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
use self::window::{Slot, WindowBuilder};
use super::definition::{Server, Session};
use super::history::{Here, History, HistoryError};
use super::rows::RowPlan;
use tidegate_model::{
    Coordinate, EventMeta, Gtid, MarkKind, Position, Progress, Statement, Table, Watermark, Window, now_s,
};

pub use self::error::{BinlogError, Fault, FileFault};
pub use self::event::{FormatDescription, RowsAction, RowsEvent};
pub(super) use self::mariadb::inflate;
pub use self::table_map::{TableMap, check_against, table_from_full_metadata, type_text_of_map};
pub use self::window::{MarkOptions, RowBytes, WindowOptions};

/// What the decoder asks about tables.
pub trait Schemas: Send {
    /// The table's schema at this point of the binlog, `None` if the table is not captured.
    ///
    /// Asked once per table map that differs from the one before under the same table id, and again after a statement.
    fn table(&mut self, map: &TableMap<'_>, here: Here<'_>) -> Result<Option<Arc<Table>>, Fault>;

    /// Whether no change of the table in this transaction is wanted, though those of later ones may be: their columns may be
    /// others than those that are known. Not asked of rows that wait for an XA COMMIT.
    fn is_shown(&self, _map: &TableMap<'_>, _here: Here<'_>) -> bool {
        false
    }

    /// A statement that does not frame a transaction: DDL, or DML in statement format. May change schemas, or stop. Gives
    /// back what it does to captured tables.
    fn statement(
        &mut self,
        default_database: &str,
        sql: &str,
        session: &Session,
        here: Here<'_>,
    ) -> Result<Option<Statement>, Fault>;
}

impl Schemas for History {
    fn table(&mut self, map: &TableMap<'_>, here: Here<'_>) -> Result<Option<Arc<Table>>, Fault> {
        let name = map.name();
        let (described, fault) = match table_from_full_metadata(map) {
            Ok(described) => (described, None),
            Err(fault) => (None, Some(fault)),
        };
        let fits = |table: &Table| {
            check_against(map, table).map_err(|fault| match fault {
                Fault::Columns { mismatch, .. } => mismatch.to_string(),
                other => other.to_string(),
            })
        };
        // What cannot be read matters only for captured tables.
        match (self.resolve(&name, described, fits, here), fault) {
            (Ok(None), _) => Ok(None),
            (_, Some(fault)) => Err(HistoryError::Mismatch { table: name, reason: fault.to_string() }.into()),
            (resolved, None) => Ok(resolved?),
        }
    }

    fn is_shown(&self, map: &TableMap<'_>, here: Here<'_>) -> bool {
        History::is_shown(self, &map.name(), here)
    }

    fn statement(
        &mut self,
        default_database: &str,
        sql: &str,
        session: &Session,
        here: Here<'_>,
    ) -> Result<Option<Statement>, Fault> {
        let statement = History::statement(self, default_database, sql, session, here)?;
        match statement.as_ref().and_then(|statement| statement.tables.first()) {
            Some(table) if begins_versioning(sql) => Err(Fault::Versioned { table: table.clone() }),
            _ => Ok(statement),
        }
    }
}

/// Whether a statement of MariaDB's makes a table keep rows that are no more.
fn begins_versioning(sql: &str) -> bool {
    let words: Vec<&str> = sql.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.windows(3).any(|words| match words {
        [first, second, third] => {
            (first.eq_ignore_ascii_case("with") || first.eq_ignore_ascii_case("add"))
                && second.eq_ignore_ascii_case("system")
                && third.eq_ignore_ascii_case("versioning")
        }
        _ => false,
    })
}

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
    row_bytes: RowBytes,
    place: Place,
    window: WindowBuilder,
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
    /// See [`RowBytes`].
    row_bytes: usize,
    slot: Slot,
}

/// What table ids stand for. A server hands out ever new ones; those that were used last are remembered.
///
/// A rows event names a table whose map came a few events before it, so that anything may be forgotten that is a thousand maps
/// old: it only has to be read again.
#[derive(Default)]
struct Tables {
    young: HashMap<u64, MappedTable>,
    /// The generation before: found here, an id is young again.
    old: HashMap<u64, MappedTable>,
}

impl Tables {
    /// Ids of a generation. There may be two of them in memory.
    const GENERATION: usize = 2000;

    fn get_mut(&mut self, id: u64) -> Option<&mut MappedTable> {
        if !self.old.is_empty()
            && let Some(mapped) = self.old.remove(&id)
        {
            self.insert(id, mapped);
        }
        self.young.get_mut(&id)
    }

    fn insert(&mut self, id: u64, mapped: MappedTable) {
        if self.young.len() >= Tables::GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&id);
        self.young.insert(id, mapped);
    }

    fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
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
            row_bytes: Arc::new(|_| 0),
            reading_at: start.coordinate.clone(),
            place: Place::new(start),
            window: WindowBuilder::new(options),
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

    /// Windows are bounded by what becomes of their rows, which somebody else knows.
    pub fn with_row_bytes(mut self, row_bytes: RowBytes) -> BinlogDecoder {
        self.row_bytes = row_bytes;
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
    /// After a [`Fault::Schema`] or [`Fault::UnreadXa`] it gives what came before, which is worth delivering; after any other
    /// error it fails.
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
                if matches!(fault, Fault::Schema(_) | Fault::UnreadXa { .. } | Fault::Versioned { .. })
                    && self.state == State::Reading
                {
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
            None if is_heartbeat(header.kind) => return Ok(()),
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

    fn event(&mut self, event: Event<'_>) -> Result<(), Fault> {
        match event.header.kind {
            kind::GTID => {
                let gtid = parse_gtid(event.body)?;
                self.begin(event, Some(gtid));
            }
            kind::GTID_TAGGED => {
                let gtid = parse_tagged_gtid(event.body)?;
                self.begin(event, Some(gtid));
            }
            kind::ANONYMOUS_GTID => _ = self.begin(event, None),
            kind::QUERY | kind::EXECUTE_LOAD_QUERY => self.query(event)?,
            kind::XID => self.commit(event),
            kind::XA_PREPARE => self.xa_prepare(event)?,
            kind::TABLE_MAP => self.table_map(event)?,
            kind::WRITE_ROWS_V1
            | kind::UPDATE_ROWS_V1
            | kind::DELETE_ROWS_V1
            | kind::WRITE_ROWS
            | kind::UPDATE_ROWS
            | kind::DELETE_ROWS
            | kind::PARTIAL_UPDATE_ROWS => self.rows(event)?,
            kind::INCIDENT => return Err(Fault::Incident(event::parse_incident(event.body)?)),
            // Values for the next statement, the file of a LOAD DATA in statement format: the statement itself is judged.
            kind::INTVAR
            | kind::RAND
            | kind::USER_VAR
            | kind::BEGIN_LOAD_QUERY
            | kind::APPEND_BLOCK
            | kind::DELETE_FILE => {}
            kind::STOP
            | kind::SLAVE
            | kind::IGNORABLE
            | kind::ROWS_QUERY
            | kind::PREVIOUS_GTIDS
            | kind::TRANSACTION_CONTEXT
            | kind::VIEW_CHANGE => {}
            kind::MARIADB_GTID => self.begin_group(event)?,
            kind::MARIADB_ANNOTATE_ROWS | kind::MARIADB_BINLOG_CHECKPOINT | kind::MARIADB_GTID_LIST => {}
            // A server decrypts what it sends. In a file, what follows is not to be read.
            kind::MARIADB_START_ENCRYPTION if self.place.is_gapless => return Err(FileFault::Encrypted.into()),
            kind::MARIADB_START_ENCRYPTION => {}
            kind::MARIADB_QUERY_COMPRESSED..=kind::MARIADB_DELETE_ROWS_COMPRESSED => self.compressed(event)?,
            other if event.header.is_ignorable() => {
                info!(event_type = other, at = %event.at, "event skipped, as its flag allows");
            }
            other => return Err(Fault::UnknownEvent(other)),
        }
        Ok(())
    }

    /// A transaction begins, and the one before has ended if nothing else has said so.
    fn begin(&mut self, event: Event<'_>, gtid: Option<Gtid>) -> &mut place::Transaction {
        self.end_transaction(event);
        let group = std::mem::take(&mut self.group);
        self.held.drop_group(group);
        let transaction = self.place.begin(event.at, gtid);
        transaction.committed_us = event::commit_time_us(event.header, event.body);
        transaction
    }

    /// A group of MariaDB's begins.
    fn begin_group(&mut self, event: Event<'_>) -> Result<(), Fault> {
        let start = mariadb::parse_gtid(event.header.server_id, event.body)?;
        if !self.group.is_empty() {
            return Err(Fault::UnfinishedTransaction);
        }
        self.place.check_order(&start.gtid)?;
        let transaction = self.begin(event, Some(start.gtid));
        transaction.is_open = !start.is_standalone;
        transaction.waits = !start.is_standalone && start.prepares.is_none();
        transaction.xid = start.prepares;
        transaction.is_without_effect = start.is_without_effect;
        transaction.thread_id = start.thread_id;
        Ok(())
    }

    /// An event of MariaDB's that holds another one compressed.
    fn compressed(&mut self, event: Event<'_>) -> Result<(), Fault> {
        let format = self.format.clone().ok_or(Fault::Damaged("it comes before the format description"))?;
        let kind = mariadb::unpacked_kind(event.header.kind).ok_or(Fault::UnknownEvent(event.header.kind))?;
        let mut body = std::mem::take(&mut self.unpacked);
        mariadb::unpack(&format, kind, event.body, self.event_bytes_max, &mut body)?;
        self.event(Event { header: &Header { kind, ..*event.header }, body: &body, at: event.at })?;
        // One very large event must not pin its memory for ever.
        body.clear();
        body.shrink_to(1 << 20);
        self.unpacked = body;
        Ok(())
    }

    /// The transaction is committed: what waits of it is true.
    fn commit(&mut self, event: Event<'_>) {
        if self.group.is_empty() {
            self.end_transaction(event);
        } else {
            let rows = std::mem::take(&mut self.group);
            self.read_back(rows, event, Then::End);
        }
    }

    /// The server has died while it wrote the transaction, which nobody has committed then.
    fn drop_unfinished(&mut self) {
        if self.place.transaction.as_ref().is_some_and(|transaction| transaction.waits) {
            warn!(at = %self.place.at, "a transaction has no end in the binlog: the server has died before it committed it");
            let group = std::mem::take(&mut self.group);
            self.held.drop_group(group);
            self.place.transaction = None;
        }
    }

    /// The transaction ends with this event, or before it.
    fn end_transaction(&mut self, event: Event<'_>) {
        if self.window.mark_options().transactions
            && let Some(transaction) =
                self.place.transaction.as_ref().filter(|transaction| transaction.has_captured_rows)
        {
            self.window.mark(MarkKind::Commit, event_meta(event, transaction));
        }
        self.place.end_transaction();
    }

    fn heartbeat(&mut self, header: &Header, body: &[u8]) -> Result<(), Fault> {
        if header.kind == kind::HEARTBEAT_V2 {
            let (file, offset) = parse_heartbeat_v2(body)?;
            self.place.pass_left_out(&file, HeartbeatEnd::Whole(offset));
        } else {
            self.place.pass_left_out(&String::from_utf8_lossy(body), HeartbeatEnd::Low32(header.end_low32));
        }
        let coordinate = self.place.coordinate().clone();
        if self.window.mark_options().heartbeats
            && self.place.transaction.is_none()
            && self.heartbeats_from.as_ref().is_some_and(|from| *from <= coordinate)
        {
            // Its own time is 0: the server has written it for nobody but us, just now.
            let meta = EventMeta {
                timestamp_s: now_s(),
                server_id: header.server_id,
                thread_id: 0,
                transaction: coordinate.clone(),
                coordinate,
                gtid: None,
            };
            self.window.mark(MarkKind::Heartbeat, meta);
        }
        Ok(())
    }

    fn query(&mut self, event: Event<'_>) -> Result<(), Fault> {
        let query = Query::parse(event.header.kind, event.body)?;
        let frame = Frame::of(&query.sql);
        let transaction = self.place.transaction(event.at);
        match frame {
            Some(Frame::Begin | Frame::XaStart(_)) => {
                // Without GTIDs, this is how a transaction begins.
                let transaction = if transaction.is_open { self.begin(event, None) } else { transaction };
                transaction.is_open = true;
                transaction.thread_id = query.thread_id;
                if let Some(Frame::XaStart(xid)) = frame {
                    transaction.xid = Some(xid.to_owned());
                }
            }
            Some(Frame::Commit) => self.commit(event),
            Some(Frame::Rollback | Frame::RollbackTo(_)) if transaction.has_captured_rows => {
                return Err(Fault::RolledBack);
            }
            Some(Frame::Rollback) => {
                let group = std::mem::take(&mut self.group);
                self.held.drop_group(group);
                self.end_transaction(event);
            }
            Some(Frame::Savepoint(name)) => self.group.set_savepoint(name),
            Some(Frame::RollbackTo(name)) => {
                if !self.held.roll_back_to(&mut self.group, name) && !self.group.is_empty() {
                    return Err(Fault::RolledBack);
                }
            }
            Some(Frame::ReleaseSavepoint | Frame::XaEnd) => {}
            Some(Frame::XaCommit(xid)) => self.xa_commit(xid, event)?,
            Some(Frame::XaRollback(xid)) => {
                if let Some(prepared) = self.place.prepared.remove(xid) {
                    self.held.drop_group(prepared.rows);
                    self.place.executed(prepared.gtid.as_ref());
                }
                self.place.forget_without_rows(xid);
                self.place.end_transaction();
            }
            None if transaction.is_without_effect => self.place.end_transaction(),
            // It stands behind these rows, and may change what they mean.
            None if transaction.waits && !self.group.is_empty() => self.wait_no_more(event),
            None => {
                let is_open = transaction.is_open;
                transaction.thread_id = query.thread_id;
                let meta = event_meta(event, transaction);
                let is_delivered = transaction.is_within_delivered();
                let here = Here { at: event.at, gtid: meta.gtid.as_ref() };
                let server =
                    self.format.as_ref().map_or(Server::default(), |format| Server::of(&format.server_version));
                let session = Session::read(server, query.status);
                if let Some(statement) = self.schemas.statement(&query.database, &query.sql, &session, here)?
                    && self.window.mark_options().statements
                    && !is_delivered
                {
                    self.window.mark(MarkKind::Statement(statement), meta);
                }
                // The statement may have changed what any table id stands for.
                self.statements += 1;
                if !is_open {
                    self.place.end_transaction();
                }
            }
        }
        Ok(())
    }

    fn xa_prepare(&mut self, event: Event<'_>) -> Result<(), Fault> {
        let rows = std::mem::take(&mut self.group);
        if event::parse_xa_prepare(event.body)? {
            // One phase: this is the commit.
            self.place.transaction(event.at).xid = None;
            self.read_back(rows, event, Then::End);
        } else {
            self.place.prepare_transaction((!rows.is_empty()).then_some(rows));
        }
        Ok(())
    }

    fn xa_commit(&mut self, xid: &str, event: Event<'_>) -> Result<(), Fault> {
        if let Some(prepared) = self.place.prepared.remove(xid) {
            self.place.transaction(event.at).thread_id = prepared.thread_id;
            let place::Prepared { start, gtid, before, rows, .. } = prepared;
            self.place.committing = Some(Committing { start, gtid, before });
            self.read_back(rows, event, Then::End);
            return Ok(());
        }
        // What was delivered was judged when it was.
        let is_judged = self.place.transaction(event.at).done == Done::All;
        if !self.place.forget_without_rows(xid) && !is_judged {
            match self.place.is_older_than_task() {
                Some(true) => {}
                Some(false) if self.pass.contains(event.at) => {
                    warn!(xid, at = %event.at, "XA COMMIT passed over, as told: rows that it has of captured tables are not sent");
                }
                Some(false) => return Err(Fault::UnreadXa { xid: xid.to_owned() }),
                None => {
                    warn!(xid, at = %event.at, "XA COMMIT of a transaction that was prepared before the start: if it has rows of captured tables, they are missing");
                }
            }
        }
        self.end_transaction(event);
        Ok(())
    }

    /// From now on, the held rows are read as rows of the transaction that commits them; with [`Then::End`] it ends with the last
    /// of them.
    fn read_back(&mut self, rows: Group, event: Event<'_>, then: Then) {
        let transaction = self.place.transaction(event.at);
        let row_events = std::mem::take(&mut transaction.row_events);
        transaction.waits = false;
        if transaction.done == Done::All && then == Then::End {
            self.held.drop_group(rows);
            self.end_transaction(event);
            return;
        }
        let (reader, header) = (self.held.read(rows), *event.header);
        self.read_back = Some(ReadBack { reader, body: Vec::new(), header, row_events, then });
    }

    /// From now on the transaction's rows are sent as they come, those first that have waited; then the event is read again.
    fn wait_no_more(&mut self, event: Event<'_>) {
        let rows = std::mem::take(&mut self.group);
        self.read_back(rows, event, Then::Again);
    }

    /// An event whose transaction waits for its end: it waits, too, unless there is too much of that.
    fn wait(&mut self, event: Event<'_>) -> Result<(), Fault> {
        if self.group.bytes() + event.body.len() <= WAIT_BYTES_MAX {
            return self.hold(event);
        }
        self.wait_no_more(event);
        Ok(())
    }

    fn table_map(&mut self, event: Event<'_>) -> Result<(), Fault> {
        let format = self.format.as_ref().ok_or(Fault::Damaged("it comes before the format description"))?;
        let mut input = Input::new(event.body);
        let table_id = format.table_id(kind::TABLE_MAP, &mut input)?;
        let map_bytes = input.rest();
        let is_same = |mapped: &MappedTable| mapped.statements == self.statements && mapped.map == map_bytes;
        if !self.tables.get_mut(table_id).is_some_and(|mapped| is_same(mapped)) {
            let map = TableMap::parse(map_bytes)?.of_mariadb(format.mariadb);
            let gtid = self.place.transaction.as_ref().and_then(|transaction| transaction.gtid.as_ref());
            let here = Here { at: event.at, gtid };
            let is_held = self.place.transaction.as_ref().is_some_and(|transaction| transaction.xid.is_some());
            let is_shown = !is_held && self.schemas.is_shown(&map, here);
            let table = if is_shown { None } else { self.schemas.table(&map, here)? };
            let (plan, row_bytes) = match table {
                Some(table) => {
                    let row_bytes = (self.row_bytes)(&table);
                    (Some(RowPlan::new(&map, table)?.with_value_bytes_max(self.event_bytes_max)), row_bytes)
                }
                None => (None, 0),
            };
            // The next transaction asks again.
            let statements = if is_shown { u64::MAX } else { self.statements };
            let (map, slot) = (map_bytes.to_vec(), Slot::default());
            self.tables.insert(table_id, MappedTable { map, statements, plan, row_bytes, slot });
        }
        let is_captured = self.tables.get_mut(table_id).is_some_and(|mapped| mapped.plan.is_some());
        let transaction = self.place.transaction(event.at);
        match is_captured {
            true if transaction.xid.is_some() => self.hold(event),
            true if transaction.waits => self.wait(event),
            _ => Ok(()),
        }
    }

    fn rows(&mut self, event: Event<'_>) -> Result<(), Fault> {
        let format = self.format.as_ref().ok_or(Fault::Damaged("it comes before the format description"))?;
        let transaction = self.place.transaction(event.at);
        transaction.row_events += 1;
        if transaction.done == Done::All && transaction.xid.is_none() {
            return Ok(());
        }
        let table_id = format.table_id(event.header.kind, &mut Input::new(event.body))?;
        let Some(mapped) = self.tables.get_mut(table_id) else {
            // A server ends a statement whose last table needs no rows by an event without any.
            let rows = RowsEvent::parse(format, event.header.kind, event.body)?;
            return if rows.rows.is_empty() { Ok(()) } else { Err(Fault::NoTableMap(table_id)) };
        };
        let Some(plan) = &mapped.plan else { return Ok(()) };
        if transaction.xid.is_some() {
            return self.hold(event);
        }
        if transaction.waits {
            return self.wait(event);
        }
        let is_first = !std::mem::replace(&mut transaction.has_captured_rows, true);
        if transaction.is_delivered() {
            // Its transaction's BEGIN, too.
            return Ok(());
        }
        if is_first && self.window.mark_options().transactions {
            self.window.mark(MarkKind::Begin, event_meta(event, transaction));
        }
        let rows = RowsEvent::parse(format, event.header.kind, event.body)?;
        self.window.append(plan, mapped.row_bytes, &mut mapped.slot, &rows, || event_meta(event, transaction))
    }

    /// Keeps an event of a transaction until its outcome is known.
    fn hold(&mut self, event: Event<'_>) -> Result<(), Fault> {
        let row_events = self.place.transaction(event.at).row_events;
        self.held.push(&mut self.group, event.header, row_events, event.body);
        if self.held.is_over() {
            for prepared in self.place.prepared.values_mut() {
                self.held.write_out(&mut prepared.rows)?;
            }
            self.held.write_out(&mut self.group)?;
        }
        Ok(())
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

fn is_heartbeat(kind: u8) -> bool {
    matches!(kind, kind::HEARTBEAT | kind::HEARTBEAT_V2)
}

/// The first bytes of a binlog file; events begin behind them.
pub const BINLOG_MAGIC: [u8; 4] = [0xfe, b'b', b'i', b'n'];
