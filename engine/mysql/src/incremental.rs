//! Follows the binlog of a server: one connection, one thread, one decoder.
//!
//! ```text
//! wire ── event ──► decoder ── window ──► ledger: drop what the full load showed ──► emitter
//!   ▲                                                                               │
//!   └────────────── a lost connection goes on at the end of the last window ◄───────┘
//! ```
//!
//! A window ends when it is full, when nothing has arrived for [`FollowOptions::window`], or when it is that old and
//! the next event would have to be waited for; so a busy server fills windows and a quiet one has its changes sent at
//! once. A decoder that is thrown away with its connection forgets only what was not emitted: the next one begins where
//! the last window ended, in the middle of a transaction if need be.
//!
//! *Outages.* One begins when a connection is lost and is over when the next one has proved useful: when a window has gone
//! out or a heartbeat has come. That a server answers at all proves nothing, since one that ends each dump at once does so
//! too. What a server says of its binlog is an outage only where waiting can help; see [`DumpError`].
//!
//! *The right history.* Each dump begins with questions on its own connection: see [`same_history`](super::same_history). A
//! history may also end under a running dump, which goes on reading the deleted file, then waits, and goes on in the next file
//! of that number, of the new history. So the questions are asked again on a connection of their own:
//!
//! ```text
//! file 1 … │ RESET                    what was read is not there    asked at the first heartbeat behind it
//!          └ file 1 … │ file 2        rows of file 1 are lost       asked whenever a file has been left, before anything
//!                     ▲ dump                                        behind it is read
//! ```
//!
//! Whatever else ends a dump because of files is asked about in the same way, for the true reason.
//!
//! *The end.* Reading may have one ([`until`](super::until)): then no event behind it is fed.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use super::binlog::event::{is_heading, is_heartbeat};
use super::binlog::{BinlogDecoder, BinlogError, Flow, RowUses, Schemas, WindowOptions};
use super::connection::{ServerVersion, XA_RECOVER_REFUSED, session_of, xid};
use super::dump_error::DumpError;
use super::history::{History, Turn};
use super::ledger::{Ledger, TableChunks};
use super::same_history::Server;
use super::snapshot;
use super::until::EndWatch as Until;
use super::wire::{BinlogPackets, ConnectOptions, Connection, DumpRequest, DumpStart, Packet, WireError};
use super::xa;
use crate::MysqlError;
use tidegate_model::retry::Retry;
use tidegate_model::status::source::{End, SeenEnd, now_us};
use tidegate_model::status::{self, Phase, Status};
use tidegate_model::{Coordinate, Position, Progress, TableName, Watermark, Window};
use tidegate_model::{Stop, Stopped};

/// How long a read waits at most before the stop flag is looked at.
pub(crate) const STOP_INTERVAL: Duration = Duration::from_millis(200);
/// Between two looks whether it is [`Ready`], which take a copy of the position, and perhaps a question to the server.
const READY_INTERVAL: Duration = Duration::from_millis(100);

/// Takes tables and what is shown of each, and keeps it.
type Record<'a> = dyn Fn(&[(TableName, Watermark)]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + 'a;

/// How changes are read.
#[derive(Clone, Copy, Debug)]
pub struct FollowOptions {
    /// A window ends after this long without a new event.
    pub window: Duration,
    /// The server is asked for a sign of life after so much quiet, and is lost after three times as much without any.
    pub heartbeat: Duration,
}

/// What following needs besides the position.
pub struct Follower<'a> {
    pub connect: &'a ConnectOptions,
    pub server_id: u32,
    /// Of the server whose files positions without GTIDs name; empty if it has none.
    pub server_uuid: &'a str,
    pub options: FollowOptions,
    pub windows: WindowOptions,
    /// Places of statements and XA COMMITs at which reading does not stop, though rows of theirs are not to be had.
    pub pass: &'a [Coordinate],
    /// Besides, the ledger reads what tables were cut by.
    pub row_uses: RowUses,
    /// Where rows wait in a file that are too many for memory: the task's state folder.
    pub folder: &'a Path,
    /// Chunks whose rows may show what the binlog is about to say again.
    pub ledger: Option<Ledger>,
    /// Reading ends once it has come there, whatever waits for an XA COMMIT: the load has something to do that had to wait for it.
    pub until: Option<Watermark>,
    /// Reading ends there, by itself.
    pub end: Option<Until>,
    /// Reading ends at the next end of a transaction: somebody has asked for something.
    pub asked: &'a AtomicBool,
    /// Reading ends where rows that somebody has asked for can be read.
    pub ready: Option<&'a Ready>,
    /// Told of a table of which nothing is dropped from here on, before what is not dropped leaves.
    pub replayed: &'a dyn Fn(&TableName),
    /// Whether statements may show what of the load need not be read: see [`look_ahead`](super::look_ahead).
    pub passes_over: bool,
    /// Told of tables and of what is shown of each before a watermark. Must be on disk before the first change leaves.
    pub shown: &'a Record<'a>,
    pub retry: Duration,
    /// What to do about an error after which the server is tried again, for whoever watches.
    pub hint: &'a dyn Fn(&MysqlError) -> Option<String>,
    pub emit: &'a dyn Fn(Window) -> Result<(), Stopped>,
    pub status: &'a Status,
    pub stop: &'a Stop,
}

/// Where all rows of a table can be read once more: what was delivered before is certain to be in them, or an old row could follow a new
/// one for good; and what a load before has shown has been passed.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Behind all of it, XA transactions that were prepared before it included.
    pub until: Watermark,
    /// Where everything that was delivered is in files before the one that the server writes. Servers whose views have no place of their own
    /// begin a file when all that is in the one before is committed; of what else is in the binlog, the engine may know nothing yet.
    pub at_file: bool,
}

/// How following ended.
pub enum Followed {
    Stopped,
    /// Before an event that shows that rows of the table have to be read. `position` is where reading goes on.
    Due {
        table: TableName,
        turn: Turn,
        /// The event.
        at: Coordinate,
        position: Position,
    },
    /// At [`Follower::until`], or behind it.
    Arrived(Position),
    /// By [`Follower::asked`].
    Asked(Position),
    /// At [`Follower::ready`].
    Ready(Position),
    /// At [`Follower::end`].
    Ended(Position),
}

/// What of the delivered views are certain to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    All,
    /// All but rows of XA transactions that are prepared still, though their XA COMMIT was read.
    NotPrepared,
    /// What stands in files before the one that is written.
    FilesBefore,
}

/// Why reading ended other than by a stop.
enum Break {
    /// Something has to be done before reading goes on.
    Due(TableName, Turn, Coordinate),
    Paused,
    Arrived,
    Asked,
    Ready,
    Ended,
}

impl Follower<'_> {
    /// Follows from `position` until told to stop, or until a table has to be loaded again before reading goes on. `history`
    /// makes a history that begins there.
    pub fn run(
        &mut self,
        mut position: Position,
        history: impl Fn(&Position) -> History,
    ) -> Result<Followed, MysqlError> {
        let mut outage = None;
        loop {
            if self.until.as_ref().is_some_and(|until| position.has_come_to(until)) {
                return Ok(Followed::Arrived(position));
            }
            // A file that the position is in already has begun, which no dump tells.
            let holds = |xid: &str| position.xa.as_ref().is_some_and(|known| known.without_rows.contains(xid));
            let is_all_shown = || self.what_is_shown(&position, holds) == Some(Shown::All);
            if self.is_ready(&position) && !self.stop.is_stopped() && is_all_shown() {
                return Ok(Followed::Ready(position));
            }
            let is_asked = self.asked.load(Ordering::Relaxed);
            if !is_asked && self.end.as_ref().is_some_and(|end| end.is_at(&position)) {
                // Behind a load, that is told: it is passed.
                let progress = Some(Progress::Position(position.clone()));
                (self.emit)(Window { progress, ..Window::default() })?;
                return Ok(Followed::Ended(position));
            }
            if self.stop.is_paused() {
                self.status.set_phase(Phase::Paused);
                info!(position = %position.place(), "paused");
                self.stop.wait_while_paused();
                // The time for trying again does not run while nobody tries.
                self.is_over(&mut outage);
                if self.stop.is_stopped() {
                    return Ok(Followed::Stopped);
                }
            }
            info!(position = %position.place(), "incremental: reading the binlog");
            let ended = match self.look_ahead(&position, &history) {
                Ok(Some(history)) => {
                    let mut decoder = self.decoder(&position, history, self.windows);
                    self.follow(&mut decoder, &mut position, &mut outage)
                }
                Ok(None) if self.stop.is_stopped() => Ok(None),
                Ok(None) => Ok(Some(Break::Paused)),
                Err(error) => Err(error),
            };
            let error = match ended {
                Ok(None) => return Ok(Followed::Stopped),
                Ok(Some(Break::Paused)) => continue,
                Ok(Some(Break::Arrived)) => return Ok(Followed::Arrived(position)),
                Ok(Some(Break::Asked)) => return Ok(Followed::Asked(position)),
                Ok(Some(Break::Ready)) => return Ok(Followed::Ready(position)),
                Ok(Some(Break::Ended)) => return Ok(Followed::Ended(position)),
                Ok(Some(Break::Due(table, Turn::Replay, _))) => {
                    self.replay(&table);
                    continue;
                }
                Ok(Some(Break::Due(table, turn, at))) => return Ok(Followed::Due { table, turn, at, position }),
                Err(error) if may_pass(&error) => error,
                Err(MysqlError::Dump(error)) => return Err(self.reason(error, &position).into()),
                Err(error) => return Err(error),
            };
            let retry = outage.get_or_insert_with(|| Retry::new(self.retry));
            let Some(pause) = retry.next_pause() else { return Err(error) };
            let what = if let MysqlError::Dump(_) = error { "waiting for the source" } else { "lost the source" };
            warn!(%error, retry_in_ms = pause.as_millis() as u64, "{what}; going on at {}", position.place());
            self.status.retrying(status::SOURCE, error.to_string(), (self.hint)(&error), pause, retry);
            if retry.wait(pause, || self.stop.is_stopped()) {
                return Ok(Followed::Stopped);
            }
        }
    }

    pub(crate) fn decoder(
        &self,
        position: &Position,
        schemas: impl Schemas + 'static,
        windows: WindowOptions,
    ) -> BinlogDecoder {
        BinlogDecoder::new(position.clone(), Box::new(schemas), windows)
            .passing(self.pass)
            .with_folder(self.folder.to_owned())
            .with_event_bytes_max(self.connect.max_packet_bytes)
            .with_row_uses(self.row_uses())
    }

    /// The ledger finds the chunk of a row by the columns that its table was cut by, whether they leave or not.
    fn row_uses(&self) -> RowUses {
        let tables = self.ledger.iter().flat_map(|ledger| ledger.tables());
        let cut_by = |table: &TableChunks| table.key.columns.iter().map(|column| column.name.clone()).collect();
        let cut_by: HashMap<TableName, Vec<String>> = tables.map(|table| (table.name.clone(), cut_by(table))).collect();
        let row_uses = self.row_uses.clone();
        Arc::new(move |table| {
            let mut row_use = row_uses(table);
            let names = cut_by.get(table.name()).into_iter().flatten();
            row_use.columns.extend(names.filter_map(|name| table.column_index(name)));
            row_use
        })
    }

    /// One connection's worth. `position` is the end of the last window emitted, `outage` the one that this connection ends
    /// if it is of use. Gives back why it ended other than by a stop.
    fn follow(
        &mut self,
        decoder: &mut BinlogDecoder,
        position: &mut Position,
        outage: &mut Option<Retry>,
    ) -> Result<Option<Break>, MysqlError> {
        let mut packets = self.connect(position, decoder)?;
        self.status.set_phase(Phase::Incremental);
        let window_time = self.options.window;
        let mut opened: Option<Instant> = None;
        // When the server said that it has no more.
        let mut at_end_us: Option<u64> = None;
        // By GTIDs, a server that has passed over what is known says so by a heartbeat before it sends the rest.
        let mut has_begun = position.gtids.is_none();
        // Nothing of the file has been read but what stands at its begin.
        let mut is_file_begin = false;
        let mut look_at = Instant::now();
        let mut has_told = false;
        while !self.stop.is_stopped() {
            // What has been read is sent first, so that it is not read again. The connection ends here.
            if self.stop.is_paused() {
                self.emit(decoder, position)?;
                return Ok(Some(Break::Paused));
            }
            // Between transactions, so that none has rows of the load within it.
            let is_between = || !decoder.is_in_transaction() && !position.is_half();
            if self.asked.load(Ordering::Relaxed) && is_between() {
                self.emit(decoder, position)?;
                return Ok(Some(Break::Asked));
            }
            if self.ready.is_some_and(|ready| is_file_begin || (!ready.at_file && look_at.elapsed() >= READY_INTERVAL))
                && is_between()
            {
                look_at = Instant::now();
                // Not what was emitted last: on a busy server a window is always open.
                if self.is_ready(&decoder.position()) {
                    self.emit(decoder, position)?;
                    opened = None;
                    let shown = self.what_is_shown(position, |xid| decoder.holds(xid));
                    is_file_begin &= shown.is_none();
                    match shown {
                        Some(Shown::All) => return Ok(Some(Break::Ready)),
                        Some(Shown::NotPrepared) if !has_told => {
                            has_told = true;
                            info!(
                                "the tables that are asked for wait for XA transactions that are prepared: their rows may be in the binlog \
                                 and not visible yet; XA RECOVER lists them"
                            );
                        }
                        Some(Shown::NotPrepared | Shown::FilesBefore) | None => {}
                    }
                }
            }
            let wait = if opened.is_some() { window_time } else { STOP_INTERVAL };
            // One that is there already is not waited for.
            let idle = (!packets.buffered()).then(|| self.status.stages.idle.begin());
            let next = packets.next(wait);
            drop(idle);
            let packet = next.map_err(|error| match error {
                WireError::PacketTooLarge { .. } => {
                    MysqlError::EventTooLarge { at: decoder.coordinate().clone(), error }
                }
                error => self.dump_error(error, decoder.coordinate()),
            })?;
            let ends = match packet {
                Packet::Event(event) if self.ends_before(event, decoder) => {
                    self.emit(decoder, position)?;
                    return Ok(Some(Break::Ended));
                }
                Packet::Event(event) => {
                    let is_heartbeat = is_heartbeat(event) && has_begun;
                    has_begun |= !is_heading(event);
                    is_file_begin &= is_heading(event);
                    if is_heartbeat {
                        self.is_over(outage);
                        at_end_us = Some(now_us());
                    }
                    let mut fed = decoder.feed(event);
                    if fed.is_ok() {
                        if let Some((left, is_announced)) = decoder.take_left() {
                            self.check_left(&left, is_announced)?;
                            is_file_begin = true;
                        }
                        if is_heartbeat {
                            self.check_end(decoder)?;
                        }
                    }
                    let opened_at = *opened.get_or_insert_with(Instant::now);
                    loop {
                        match fed {
                            Ok(Flow::Continue) => break,
                            Ok(Flow::WindowFull) => {}
                            Err(error) => return self.end(decoder, position, error),
                        }
                        self.emit(decoder, position)?;
                        self.is_over(outage);
                        // One event may hold gigabytes; the rest of it is read again by the next run.
                        if self.stop.is_stopped() {
                            return Ok(None);
                        }
                        fed = decoder.resume(event);
                        // What is left of the event stands in a window of its own.
                        opened = Some(Instant::now());
                    }
                    opened.is_some() && !packets.buffered() && opened_at.elapsed() >= window_time
                }
                Packet::Idle => opened.is_some(),
                Packet::End => unreachable!("a dump that waits ends with an error"),
            };
            if ends {
                opened = None;
                if self.emit(decoder, position)? {
                    self.is_over(outage);
                }
            }
            if opened.is_none()
                && let Some(at_us) = at_end_us.take()
            {
                let end = End::Windows(self.status.stages.read.windows());
                self.status.following.mark(SeenEnd { at_us, end });
            }
            // Just emitted: nothing is between the position and what has been read but rows that wait for an XA COMMIT.
            if opened.is_none() && self.until.as_ref().is_some_and(|until| decoder.has_read(until)) {
                return Ok(Some(Break::Arrived));
            }
            if opened.is_none() && self.has_come_to_end(decoder) {
                return Ok(Some(Break::Ended));
            }
        }
        // What has been decoded is complete up to an event; the rest is read again by the next run.
        self.emit(decoder, position)?;
        Ok(None)
    }

    /// Whether views are certain to show all that is delivered, as far as the server has to be asked for that: see [`Ready::at_file`]. An XA
    /// COMMIT stands in the binlog before its rows are visible, on MySQL also in a file before the one that is written; until they are, the
    /// transaction is listed as prepared. `holds` tells those that are, as far as they have been read. None if the server does not answer,
    /// of which the dump tells more.
    fn what_is_shown(&self, position: &Position, holds: impl Fn(&str) -> bool) -> Option<Shown> {
        let ask = || -> Result<Shown, MysqlError> {
            let mut connection = session_of(self.connect)?;
            let is_at_file = self.ready.is_some_and(|ready| ready.at_file);
            if is_at_file {
                let end = binlog_end(&mut connection)?;
                let is_in_files_before = match position.sent() {
                    Some(sent) => {
                        let before = snapshot::gtids_before_file(&mut connection, &end).map_err(MysqlError::Load)?;
                        before.contains_set(sent)
                    }
                    None => {
                        let begin = snapshot::heading_end(&mut connection, &end).map_err(MysqlError::Load)?;
                        *position.reached() <= begin
                    }
                };
                if !is_in_files_before {
                    return Ok(Shown::FilesBefore);
                }
            }
            if !(connection.is_mariadb() || is_at_file) {
                return Ok(Shown::All);
            }
            // Of a file there is one begin: those that are listed there are waited for. One that comes to be prepared later has no XA COMMIT that
            // was read.
            let until = Instant::now() + if is_at_file { xa::WAIT } else { Duration::ZERO };
            let mut waited_for: Option<HashSet<String>> = None;
            loop {
                let prepared = match connection.query("XA RECOVER") {
                    // What it may not see is not waited for, as at the start.
                    Err(WireError::Server { code: XA_RECOVER_REFUSED, .. }) => return Ok(Shown::All),
                    prepared => prepared?,
                };
                let listed =
                    prepared.iter().flat_map(|listed| &listed.rows).map(|row| listed_xid(row).unwrap_or_default());
                let mut listed: HashSet<String> = listed.filter(|xid| !holds(xid)).collect();
                if let Some(before) = &waited_for {
                    listed.retain(|xid| before.contains(xid));
                }
                if listed.is_empty() {
                    return Ok(Shown::All);
                }
                if Instant::now() >= until || self.stop.is_stopped() || self.stop.is_paused() {
                    return Ok(Shown::NotPrepared);
                }
                waited_for = Some(listed);
                std::thread::sleep(xa::LOOK_INTERVAL);
            }
        };
        ask().inspect_err(|error| debug!(%error, "the source was asked what its views show, and did not say")).ok()
    }

    /// Whether it is [`Ready`], as to everything but what views show.
    fn is_ready(&self, position: &Position) -> bool {
        let is_settled = self.ledger.as_ref().is_none_or(|ledger| ledger.settled(position));
        let is_there = self.ready.is_some_and(|ready| position.has_come_to(&ready.until));
        !position.is_half() && is_settled && is_there
    }

    /// Whether the event begins a transaction that lies behind the end.
    fn ends_before(&self, event: &[u8], decoder: &BinlogDecoder) -> bool {
        let Some(end) = &self.end else { return false };
        decoder.beginning(event).is_some_and(|next| end.is_before(&next, decoder))
    }

    /// Whether nothing is left to be read before the end. Just emitted.
    fn has_come_to_end(&mut self, decoder: &BinlogDecoder) -> bool {
        let Some(end) = &mut self.end else { return false };
        if end.is_to_be_asked()
            && let Err(error) = end.ask(self.connect, decoder.position().gtids.is_some())
        {
            // Whether the server is away, the dump tells.
            debug!(%error, "the source was asked for its clock, and did not say");
        }
        end.is_read(decoder)
    }

    fn is_over(&self, outage: &mut Option<Retry>) {
        if outage.take().is_some() {
            self.status.recovered(status::SOURCE);
        }
    }

    /// Ends before an event. What came before it is out first, if it is whole: the load takes its turn behind it, and whoever
    /// passes over the event need not pass over another again.
    fn end(
        &mut self,
        decoder: &mut BinlogDecoder,
        position: &mut Position,
        error: BinlogError,
    ) -> Result<Option<Break>, MysqlError> {
        let emitted = self.emit(decoder, position);
        match error.due_turn() {
            Some((table, turn, at)) => emitted.map(|_| Some(Break::Due(table, turn, at))),
            None => Err(error.into_wire().map_or_else(MysqlError::from, MysqlError::from)),
        }
    }

    /// From here on, nothing of the table is dropped.
    fn replay(&mut self, table: &TableName) {
        if self.ledger.as_mut().is_some_and(|ledger| ledger.replay(table)) {
            (self.replayed)(table);
        }
    }

    /// Whether it has come further.
    fn emit(&mut self, decoder: &mut BinlogDecoder, position: &mut Position) -> Result<bool, MysqlError> {
        let Some(mut window) = decoder.take_window()? else { return Ok(false) };
        let end = match &window.progress {
            Some(Progress::Position(end)) => end.clone(),
            _ => position.clone(),
        };
        self.drop_what_was_shown(&mut window);
        (self.emit)(window)?;
        if self.ledger.as_ref().is_some_and(|ledger| ledger.settled(&end)) {
            info!(position = %end.coordinate, "incremental has passed the full load");
            self.ledger = None;
        }
        // With GTIDs a dump names the place in its file anew, which is no progress.
        let is_further = match &end.gtids {
            Some(gtids) => position.gtids.as_ref() != Some(gtids) || position.delivered != end.delivered,
            None => position.coordinate != end.coordinate || position.delivered != end.delivered,
        };
        *position = end;
        Ok(is_further)
    }

    fn drop_what_was_shown(&mut self, window: &mut Window) {
        for batch in std::mem::take(&mut window.changes) {
            let batch = match &self.ledger {
                Some(ledger) => ledger.filter(batch),
                None => batch,
            };
            if !batch.is_empty() {
                window.changes.push(batch);
            }
        }
    }

    pub(crate) fn connect(
        &self,
        position: &Position,
        decoder: &mut BinlogDecoder,
    ) -> Result<BinlogPackets, MysqlError> {
        let mut connection = session_of(self.connect)?;
        let uuid = self.check_server(position, &mut connection)?;
        decoder.set_server(&uuid);
        if self.windows.marks.heartbeats {
            decoder.set_heartbeats_from(binlog_end(&mut connection)?);
        }
        let start = match &position.gtids {
            Some(gtids) if connection.is_mariadb() => DumpStart::Domains(gtids.to_string()),
            Some(gtids) => DumpStart::Gtids(gtids.encode()),
            None => DumpStart::File {
                file: position.coordinate.file.as_bytes().to_vec(),
                position: u32::try_from(position.coordinate.offset)
                    .map_err(|_| MysqlError::OffsetBeyondProtocol { at: position.coordinate.clone() })?,
            },
        };
        let request =
            DumpRequest { server_id: self.server_id, start, heartbeat: self.options.heartbeat, non_blocking: false };
        connection.binlog_dump(&request).map_err(|error| self.dump_error(error, &position.coordinate))
    }

    /// Refuses a server on which `position` means nothing, or that cannot go on from there. Gives its UUID.
    fn check_server(&self, position: &Position, connection: &mut Connection) -> Result<String, MysqlError> {
        Server::ask(connection, self.connect, self.server_uuid, position)?.check(position)
    }

    /// Whether the file that was left at `position` is still the server's, and what follows is what follows it.
    fn check_left(&self, position: &Position, is_announced: bool) -> Result<(), MysqlError> {
        let mut connection = session_of(self.connect)?;
        let mut server = Server::ask(&mut connection, self.connect, self.server_uuid, position)?;
        match server.check_files(position) {
            // It has named its successor, and that is what is read.
            Err(MysqlError::Dump(DumpError::Gone { .. })) if is_announced => Ok(()),
            result => result,
        }
    }

    /// Whether the server still has what it has sent: a dump does not hear of the end of its history, and waits on.
    fn check_end(&self, decoder: &BinlogDecoder) -> Result<(), MysqlError> {
        // Who cannot connect now asks at the next heartbeat.
        let Ok(mut connection) = session_of(self.connect) else { return Ok(()) };
        let end = binlog_end(&mut connection)?;
        if end.file.is_empty() || end >= *decoder.coordinate() {
            return Ok(());
        }
        let position = decoder.position();
        Server::ask(&mut connection, self.connect, self.server_uuid, &position)?.check_files(&position)
    }

    /// Why the dump that came to `position` cannot go on: files that a server does not find, or cannot read, may be those of
    /// a history that it no longer has.
    fn reason(&self, error: DumpError, position: &Position) -> DumpError {
        if !error.is_about_files() {
            return error;
        }
        let checked = session_of(self.connect).map_err(MysqlError::from);
        match checked.and_then(|mut connection| self.check_server(position, &mut connection)) {
            Err(MysqlError::Dump(reason)) if !reason.may_pass() => reason,
            _ => error,
        }
    }

    pub(crate) fn dump_error(&self, error: WireError, at: &Coordinate) -> MysqlError {
        match DumpError::of(error, at, self.server_id) {
            Ok(error) => MysqlError::Dump(error),
            Err(error) => MysqlError::Wire(error),
        }
    }
}

/// The identifier of a transaction that `XA RECOVER` lists, as the binlog has it.
fn listed_xid(row: &[Option<Vec<u8>>]) -> Option<String> {
    let number = |column: usize| std::str::from_utf8(row.get(column)?.as_deref()?).ok()?.parse::<u32>().ok();
    Some(xid(number(0)?, number(1)? as usize, row.get(3)?.as_deref()?))
}

/// Whether the server may be there, and go on, a moment later.
fn may_pass(error: &MysqlError) -> bool {
    match error {
        MysqlError::Wire(error) => error.is_transient(),
        MysqlError::Dump(error) => error.may_pass(),
        _ => false,
    }
}

/// Where the server's binlog ends.
pub(crate) fn binlog_end(connection: &mut Connection) -> Result<Coordinate, MysqlError> {
    let statement = ServerVersion::parse(connection.server_version()).binlog_status_statement();
    let results = connection.query(statement)?;
    let text = |column: usize| {
        let row = results.first()?.rows.first()?;
        std::str::from_utf8(row.get(column)?.as_deref()?).ok()
    };
    let end = text(0).zip(text(1).and_then(|offset| offset.parse().ok()));
    // Without a binlog there is no dump, and the server says so better.
    Ok(end.map_or(Coordinate::new("", 0), |(file, offset)| Coordinate::new(file, offset)))
}
