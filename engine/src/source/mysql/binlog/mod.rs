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

pub mod error;
pub mod event;
mod payload;
mod place;
pub mod table_map;
mod window;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use tracing::{info, warn};

use self::event::{Frame, Header, Input, Query, Short, kind, parse_gtid, parse_rotate, parse_tagged_gtid};
use self::payload::Unpacker;
use self::place::{Place, Prepared};
use self::window::{Slot, WindowBuilder};
use super::history::{Here, History, HistoryError};
use super::rows::RowPlan;
use crate::batch::{Coordinate, EventMeta, MarkKind, Position, Progress, Statement, Table, Window, now_s};

pub use self::error::{BinlogError, Fault, FileFault};
pub use self::event::{FormatDescription, RowsAction, RowsEvent};
pub use self::table_map::{TableMap, check_against, table_from_full_metadata, type_text_of_map};
pub use self::window::{MarkOptions, WindowOptions};

/// What the decoder asks about tables.
pub trait Schemas: Send {
    /// The table's schema at this point of the binlog, `None` if the table is not captured.
    ///
    /// Asked once per table map that differs from the one before under the same table id, and again after a statement.
    fn table(&mut self, map: &TableMap<'_>, here: Here<'_>) -> Result<Option<Arc<Table>>, Fault>;

    /// A statement that does not frame a transaction: DDL, or DML in statement format. May change schemas, or stop. Gives
    /// back what it does to captured tables.
    fn statement(&mut self, default_database: &str, sql: &str, here: Here<'_>) -> Result<Option<Statement>, Fault>;
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

    fn statement(&mut self, default_database: &str, sql: &str, here: Here<'_>) -> Result<Option<Statement>, Fault> {
        Ok(History::statement(self, default_database, sql, here)?)
    }
}

/// What to do after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Feed the next event.
    Continue,
    /// Take the window, then [`BinlogDecoder::resume`].
    WindowFull,
}

/// Bytes of rows that prepared XA transactions may hold together.
const PREPARED_BYTES_MAX: usize = 64 << 20;

/// Turns events into windows.
///
/// ```text
/// let mut flow = decoder.feed(event)?;
/// while flow == Flow::WindowFull {
///     deliver(decoder.take_window()?);
///     flow = decoder.resume()?;
/// }
/// ```
pub struct BinlogDecoder {
    schemas: Box<dyn Schemas>,
    place: Place,
    window: WindowBuilder,
    /// What the file's first event said.
    format: Option<Arc<FormatDescription>>,
    tables: HashMap<u64, MappedTable>,
    unpacker: Unpacker,
    /// Where the compressed transaction stands that is half unpacked.
    unpacking_at: Coordinate,
    /// Events of the XA transaction being read.
    held: Vec<(Header, Vec<u8>)>,
    held_bytes: usize,
    /// The position that the last window named.
    reported: Option<Position>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// A schema or a statement stopped the reading before its event. What was gathered until then is whole.
    Stopped,
    Broken,
}

/// What a table id stands for.
struct MappedTable {
    /// The table map behind its id: the same bytes mean the same table.
    map: Vec<u8>,
    /// `None` if the table is not captured.
    plan: Option<RowPlan>,
    slot: Slot,
}

/// An event without its checksum.
#[derive(Clone, Copy)]
struct Event<'a> {
    header: &'a Header,
    body: &'a [u8],
    /// Where it begins; inside a compressed transaction, where that begins.
    at: &'a Coordinate,
}

/// Table ids are few; a server that hands out ever new ones must not fill the memory.
const TABLES_MAX: usize = 10_000;

impl BinlogDecoder {
    pub fn new(start: Position, schemas: Box<dyn Schemas>, options: WindowOptions) -> BinlogDecoder {
        BinlogDecoder {
            schemas,
            unpacking_at: start.coordinate.clone(),
            place: Place::new(start),
            window: WindowBuilder::new(options),
            format: None,
            tables: HashMap::new(),
            unpacker: Unpacker::default(),
            held: Vec::new(),
            held_bytes: 0,
            reported: None,
            state: State::Reading,
        }
    }

    /// Feeds one event as it stands in the stream or file, checksum included.
    ///
    /// If it fills a window, [`resume`](BinlogDecoder::resume) must be called until it says [`Flow::Continue`] before the
    /// next event is fed: a compressed transaction may fill many.
    pub fn feed(&mut self, event: &[u8]) -> Result<Flow, BinlogError> {
        let at = self.place.at.clone();
        if self.unpacker.is_active() {
            return Err(BinlogError::new(&at, Fault::NotResumed));
        }
        self.guarded(&at, |decoder| decoder.outer_event(event))
    }

    /// Goes on with an event that filled a window. [`Flow::Continue`] if nothing of it is left.
    pub fn resume(&mut self) -> Result<Flow, BinlogError> {
        if !self.unpacker.is_active() {
            return Ok(Flow::Continue);
        }
        let at = self.unpacking_at.clone();
        self.guarded(&at, |decoder| decoder.unpack(&at))
    }

    /// The changes gathered so far and the position that they reach; only the position if it has moved without changes.
    ///
    /// After a [`Fault::Schema`] it gives what came before, which is worth delivering; after any other error it fails.
    pub fn take_window(&mut self) -> Result<Option<Window>, BinlogError> {
        if self.state == State::Broken {
            return Err(BinlogError::new(&self.place.at, Fault::Ended));
        }
        let changes = self.window.finish().inspect_err(|_| self.state = State::Broken)?;
        let marks = self.window.take_marks();
        let position = self.place.position();
        if changes.is_empty() && marks.is_empty() && self.reported.as_ref() == Some(&position) {
            return Ok(None);
        }
        self.reported = Some(position.clone());
        Ok(Some(Window { changes, marks, progress: Some(Progress::Position(position)) }))
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
    pub(in crate::source) fn enter_file(&mut self, file: &str, offset: u64) -> Result<(), BinlogError> {
        self.place.is_gapless = true;
        let at = self.place.at.clone();
        self.place.enter(file, offset).map_err(|fault| BinlogError::new(&at, fault))
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
                if matches!(fault, Fault::Schema(_)) && self.state == State::Reading {
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
        match header.kind {
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => {
                if self.window.mark_options().heartbeats && self.place.transaction.is_none() {
                    self.heartbeat(&header);
                }
                Ok(())
            }
            kind::ROTATE => {
                let (offset, file) = parse_rotate(body)?;
                self.place.pass(&header)?;
                self.place.enter(file, offset)
            }
            kind::TRANSACTION_PAYLOAD => {
                let at = self.place.pass(&header)?;
                self.unpacker.start(body)?;
                self.unpacking_at = at.clone();
                self.unpack(&at)
            }
            _ => {
                let at = self.place.pass(&header)?;
                self.event(Event { header: &header, body, at: &at })
            }
        }
    }

    fn format_description(&mut self, header: &Header, event: &[u8]) -> Result<(), Fault> {
        self.format = Some(Arc::new(FormatDescription::parse(header, event)?));
        // Table ids are those of one run of the server.
        self.tables.clear();
        if self.place.transaction.is_some() {
            return Err(Fault::UnfinishedTransaction);
        }
        // It stands at the beginning of the file; whoever starts further behind gets it all the same.
        if self.place.at.offset == BINLOG_MAGIC.len() as u64 {
            self.place.pass(header)?;
        }
        Ok(())
    }

    /// Decodes a compressed transaction until its end or until the window is full.
    fn unpack(&mut self, at: &Coordinate) -> Result<(), Fault> {
        let mut unpacker = std::mem::take(&mut self.unpacker);
        let result = loop {
            match unpacker.next() {
                Ok(None) => break Ok(()),
                Ok(Some(event)) => {
                    let result = self.inner_event(event, at);
                    if result.is_err() || self.window.is_full() {
                        break result;
                    }
                }
                Err(fault) => break Err(fault),
            }
        };
        self.unpacker = unpacker;
        result
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
                self.begin(event).gtid = Some(gtid);
            }
            kind::GTID_TAGGED => {
                let gtid = parse_tagged_gtid(event.body)?;
                self.begin(event).gtid = Some(gtid);
            }
            kind::ANONYMOUS_GTID => _ = self.begin(event),
            kind::QUERY | kind::EXECUTE_LOAD_QUERY => self.query(event)?,
            kind::XID => self.end_transaction(event),
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
            // MariaDB's other types (GTIDs, compressed statements and rows, encryption) have their place here.
            kind::MARIADB_ANNOTATE_ROWS | kind::MARIADB_BINLOG_CHECKPOINT | kind::MARIADB_GTID_LIST => {}
            other if event.header.is_ignorable() => {
                info!(event_type = other, at = %event.at, "event skipped, as its flag allows");
            }
            other @ kind::MARIADB_ANNOTATE_ROWS..=kind::MARIADB_LAST => return Err(Fault::MariaDbEvent(other)),
            other => return Err(Fault::UnknownEvent(other)),
        }
        Ok(())
    }

    /// A transaction begins, and the one before has ended if nothing else has said so.
    fn begin(&mut self, event: Event<'_>) -> &mut place::Transaction {
        self.end_transaction(event);
        self.held_bytes -= held_bytes(&self.held);
        self.held.clear();
        self.place.transaction(event.at)
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

    fn heartbeat(&mut self, header: &Header) {
        // Its own time is 0: the server has written it for nobody but us, just now.
        let meta = EventMeta {
            timestamp_s: now_s(),
            server_id: header.server_id,
            thread_id: 0,
            coordinate: self.place.at.clone(),
            transaction: self.place.at.clone(),
            gtid: None,
        };
        self.window.mark(MarkKind::Heartbeat, meta);
    }

    fn query(&mut self, event: Event<'_>) -> Result<(), Fault> {
        let query = Query::parse(event.header.kind, event.body)?;
        let frame = Frame::of(&query.sql);
        let transaction = self.place.transaction(event.at);
        match frame {
            Some(Frame::Begin | Frame::XaStart(_)) => {
                // Without GTIDs, this is how a transaction begins.
                let transaction = if transaction.is_open { self.begin(event) } else { transaction };
                transaction.is_open = true;
                transaction.thread_id = query.thread_id;
                if let Some(Frame::XaStart(xid)) = frame {
                    transaction.xid = Some(xid.to_owned());
                }
            }
            Some(Frame::Commit) => self.end_transaction(event),
            Some(Frame::Rollback | Frame::RollbackTo) if transaction.has_captured_rows => {
                return Err(Fault::RolledBack);
            }
            Some(Frame::Rollback) => self.end_transaction(event),
            Some(Frame::RollbackTo | Frame::Savepoint | Frame::XaEnd) => {}
            Some(Frame::XaCommit(xid)) => {
                let prepared = self.place.prepared.remove(xid);
                match prepared {
                    Some(prepared) => self.commit_prepared(prepared, event.at)?,
                    None => {
                        warn!(xid, at = %event.at, "XA COMMIT of a transaction that was prepared before the start: its rows are not read")
                    }
                }
                self.end_transaction(event);
            }
            Some(Frame::XaRollback(xid)) => {
                if let Some(prepared) = self.place.prepared.remove(xid) {
                    self.held_bytes -= held_bytes(&prepared.events);
                    self.place.executed(prepared.gtid.as_ref());
                }
                self.place.end_transaction();
            }
            None => {
                let is_open = transaction.is_open;
                transaction.thread_id = query.thread_id;
                let meta = event_meta(event, transaction);
                let here = Here { at: event.at, gtid: meta.gtid.as_ref() };
                if let Some(statement) = self.schemas.statement(&query.database, &query.sql, here)?
                    && self.window.mark_options().statements
                {
                    self.window.mark(MarkKind::Statement(statement), meta);
                }
                // The statement may have changed what any table id stands for.
                for mapped in self.tables.values_mut() {
                    mapped.map.clear();
                }
                if !is_open {
                    self.place.end_transaction();
                }
            }
        }
        Ok(())
    }

    fn xa_prepare(&mut self, event: Event<'_>) -> Result<(), Fault> {
        let held = std::mem::take(&mut self.held);
        if event::parse_xa_prepare(event.body)? {
            // One phase: this is the commit.
            let transaction = self.place.transaction(event.at);
            let (gtid, thread_id) = (transaction.gtid.clone(), transaction.thread_id);
            transaction.xid = None;
            let prepared = Prepared { start: event.at.clone(), gtid, thread_id, events: held };
            self.commit_prepared(prepared, event.at)?;
            self.end_transaction(event);
        } else {
            self.place.prepare_transaction(held);
        }
        Ok(())
    }

    /// Reads the held rows as rows of the transaction that commits them. They are not split over windows.
    fn commit_prepared(&mut self, prepared: Prepared, at: &Coordinate) -> Result<(), Fault> {
        self.held_bytes -= held_bytes(&prepared.events);
        self.place.transaction(at).thread_id = prepared.thread_id;
        for (header, body) in &prepared.events {
            // In the middle of these rows there is no position to go on from.
            self.event(Event { header, body, at }).inspect_err(|_| self.state = State::Broken)?;
        }
        self.place.executed(prepared.gtid.as_ref());
        Ok(())
    }

    fn table_map(&mut self, event: Event<'_>) -> Result<(), Fault> {
        let format = self.format.as_ref().ok_or(Fault::Damaged("it comes before the format description"))?;
        let mut input = Input::new(event.body);
        let table_id = format.table_id(kind::TABLE_MAP, &mut input)?;
        let map_bytes = input.rest();
        if self.tables.get(&table_id).is_none_or(|mapped| mapped.map != map_bytes) {
            let map = TableMap::parse(map_bytes)?;
            let gtid = self.place.transaction.as_ref().and_then(|transaction| transaction.gtid.as_ref());
            let plan = match self.schemas.table(&map, Here { at: event.at, gtid })? {
                Some(table) => Some(RowPlan::new(&map, table)?),
                None => None,
            };
            if self.tables.len() >= TABLES_MAX {
                // Maps stand before the rows of each statement, but several of them may belong to one.
                warn!(at = %event.at, "over {TABLES_MAX} table ids in one binlog file");
                self.tables.retain(|_, mapped| mapped.plan.is_some());
            }
            self.tables.insert(table_id, MappedTable { map: map_bytes.to_vec(), plan, slot: Slot::default() });
        }
        let is_captured = self.tables.get(&table_id).is_some_and(|mapped| mapped.plan.is_some());
        if is_captured && self.place.transaction(event.at).xid.is_some() {
            self.hold(event)?;
        }
        Ok(())
    }

    fn rows(&mut self, event: Event<'_>) -> Result<(), Fault> {
        let format = self.format.as_ref().ok_or(Fault::Damaged("it comes before the format description"))?;
        let transaction = self.place.transaction(event.at);
        transaction.row_events += 1;
        if transaction.row_events <= transaction.skip {
            return Ok(());
        }
        let table_id = format.table_id(event.header.kind, &mut Input::new(event.body))?;
        let Some(mapped) = self.tables.get_mut(&table_id) else {
            // A server ends a statement whose last table needs no rows by an event without any.
            let rows = RowsEvent::parse(format, event.header.kind, event.body)?;
            return if rows.rows.is_empty() { Ok(()) } else { Err(Fault::NoTableMap(table_id)) };
        };
        let Some(plan) = &mapped.plan else { return Ok(()) };
        if transaction.xid.is_some() {
            return self.hold(event);
        }
        let is_first = !std::mem::replace(&mut transaction.has_captured_rows, true);
        if is_first && self.window.mark_options().transactions {
            self.window.mark(MarkKind::Begin, event_meta(event, transaction));
        }
        let rows = RowsEvent::parse(format, event.header.kind, event.body)?;
        self.window.append(plan, &mut mapped.slot, &rows, || event_meta(event, transaction))
    }

    /// Keeps an event of an XA transaction until its outcome is known.
    fn hold(&mut self, event: Event<'_>) -> Result<(), Fault> {
        self.held_bytes += event.body.len();
        if self.held_bytes > PREPARED_BYTES_MAX {
            return Err(Fault::PreparedTooLarge { bytes_max: PREPARED_BYTES_MAX });
        }
        self.held.push((*event.header, event.body.to_vec()));
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

fn held_bytes(events: &[(Header, Vec<u8>)]) -> usize {
    events.iter().map(|(_, body)| body.len()).sum()
}

fn is_heartbeat(kind: u8) -> bool {
    matches!(kind, kind::HEARTBEAT | kind::HEARTBEAT_V2)
}

/// The first bytes of a binlog file; events begin behind them.
pub const BINLOG_MAGIC: [u8; 4] = [0xfe, b'b', b'i', b'n'];
