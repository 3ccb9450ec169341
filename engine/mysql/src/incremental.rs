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
//! *The right server.* Behind an address there may be another server than yesterday, and a dump does not say so: without
//! GTIDs any server gives what stands at that offset of its own file. So each dump begins with questions on its own
//! connection:
//!
//! ```text
//! GTIDs      ours ⊆ gtid_executed   else the server is behind, or has another history: waited for, then an error
//!            gtid_purged ⊆ ours     else what is missing cannot be had here any more: an error
//! no GTIDs   server_uuid is that of the server whose file it is, else an error
//! ```

use std::path::Path;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::binlog::event::kind;
use super::binlog::{BinlogDecoder, Flow, RowBytes, WindowOptions};
use super::connection::ServerVersion;
use super::dump_error::DumpError;
use super::history::{History, Turn};
use super::ledger::Ledger;
use super::retry::Retry;
use super::wire::{BinlogPackets, ConnectOptions, Connection, DumpRequest, DumpStart, Packet, WireError};
use crate::MysqlError;
use tidegate_model::status::{Phase, Status};
use tidegate_model::{Coordinate, GtidSet, Position, Progress, TableName, Window};
use tidegate_model::{Stop, Stopped};

/// How long a read waits at most before the stop flag is looked at.
const STOP_INTERVAL: Duration = Duration::from_millis(200);

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
    pub row_bytes: RowBytes,
    /// Where rows wait in a file that are too many for memory: the task's state folder.
    pub folder: &'a Path,
    /// Chunks whose rows may show what the binlog is about to say again.
    pub ledger: Option<Ledger>,
    /// Told of a table of which nothing is dropped from here on, before what is not dropped leaves.
    pub replayed: &'a dyn Fn(&TableName),
    pub retry: Duration,
    pub emit: &'a dyn Fn(Window) -> Result<(), Stopped>,
    pub status: &'a Status,
    pub stop: &'a Stop,
}

/// How following ended.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Followed {
    Stopped,
    /// Before a statement by which rows of the table came without row events. `position` is where reading goes on.
    LoadAgain {
        table: TableName,
        /// The statement.
        at: Coordinate,
        position: Position,
    },
}

/// What has to be done before reading goes on.
type Due = (TableName, Turn, Coordinate);

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
            info!(position = %position.coordinate, "incremental: reading the binlog");
            let mut decoder = BinlogDecoder::new(position.clone(), Box::new(history(&position)), self.windows)
                .with_folder(self.folder.to_owned())
                .with_event_bytes_max(self.connect.max_packet_bytes)
                .with_row_bytes(self.row_bytes.clone());
            let error = match self.follow(&mut decoder, &mut position, &mut outage) {
                Ok(None) => return Ok(Followed::Stopped),
                Ok(Some((table, Turn::LoadAgain, at))) => return Ok(Followed::LoadAgain { table, at, position }),
                Ok(Some((table, Turn::Replay, _))) => {
                    self.replay(&table);
                    continue;
                }
                Err(error) if may_pass(&error) => error,
                Err(error) => return Err(error),
            };
            let retry = outage.get_or_insert_with(|| Retry::new(self.retry));
            let Some(pause) = retry.next_pause() else { return Err(error) };
            let what = if let MysqlError::Dump(_) = error { "waiting for the source" } else { "lost the source" };
            warn!(%error, retry_in_ms = pause.as_millis() as u64, "{what}; going on at {}", position.coordinate);
            self.status.set_phase(Phase::Retrying { reason: error.to_string() });
            if retry.wait(pause, || self.stop.is_stopped()) {
                return Ok(Followed::Stopped);
            }
        }
    }

    /// One connection's worth. `position` is the end of the last window emitted, `outage` the one that this connection ends
    /// if it is of use. Gives back why it ended other than by a stop.
    fn follow(
        &mut self,
        decoder: &mut BinlogDecoder,
        position: &mut Position,
        outage: &mut Option<Retry>,
    ) -> Result<Option<Due>, MysqlError> {
        let mut packets = self.connect(position, decoder)?;
        self.status.set_phase(Phase::Incremental);
        let window_time = self.options.window;
        let mut opened: Option<Instant> = None;
        while !self.stop.is_stopped() {
            let wait = if opened.is_some() { window_time } else { STOP_INTERVAL };
            let packet = packets.next(wait).map_err(|error| match error {
                WireError::PacketTooLarge { .. } => {
                    MysqlError::EventTooLarge { at: decoder.coordinate().clone(), error }
                }
                error => self.dump_error(error, decoder.coordinate()),
            })?;
            let ends = match packet {
                Packet::Event(event) => {
                    if is_heartbeat(event) {
                        *outage = None;
                    }
                    let mut flow = match decoder.feed(event) {
                        Ok(flow) => flow,
                        Err(error) => {
                            let due = error.due_turn().ok_or(MysqlError::Binlog(error))?;
                            // What came before the statement is out before the load takes its turn.
                            self.emit(decoder, position)?;
                            return Ok(Some(due));
                        }
                    };
                    let opened_at = *opened.get_or_insert_with(Instant::now);
                    while flow == Flow::WindowFull {
                        opened = None;
                        self.emit(decoder, position)?;
                        *outage = None;
                        // One event may hold gigabytes; the rest of it is read again by the next run.
                        if self.stop.is_stopped() {
                            return Ok(None);
                        }
                        flow = decoder.resume(event)?;
                    }
                    opened.is_some() && !packets.buffered() && opened_at.elapsed() >= window_time
                }
                Packet::Idle => opened.is_some(),
                Packet::End => unreachable!("a dump that waits ends with an error"),
            };
            if ends {
                opened = None;
                if self.emit(decoder, position)? {
                    *outage = None;
                }
            }
        }
        // What has been decoded is complete up to an event; the rest is read again by the next run.
        self.emit(decoder, position)?;
        Ok(None)
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
            None => *position != end,
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

    fn connect(&self, position: &Position, decoder: &mut BinlogDecoder) -> Result<BinlogPackets, MysqlError> {
        let mut connection = Connection::connect(self.connect)?;
        self.check_server(&mut connection, position)?;
        if self.windows.marks.heartbeats {
            decoder.set_heartbeats_from(binlog_end(&mut connection)?);
        }
        let start = match &position.gtids {
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

    /// Refuses a server on which `position` means nothing, or that cannot go on from there.
    fn check_server(&self, connection: &mut Connection, position: &Position) -> Result<(), MysqlError> {
        let at = || position.coordinate.clone();
        let Some(ours) = &position.gtids else {
            if self.server_uuid.is_empty() {
                return Ok(());
            }
            let results = connection.query("SELECT @@GLOBAL.server_uuid")?;
            let found = results[0].scalar().unwrap_or_default();
            if found != self.server_uuid {
                let (expected, found) = (self.server_uuid.to_owned(), found.to_owned());
                return Err(DumpError::OtherServer { at: at(), expected, found }.into());
            }
            return Ok(());
        };
        let results = connection
            .query("SELECT @@GLOBAL.server_uuid; SELECT @@GLOBAL.gtid_purged; SELECT @@GLOBAL.gtid_executed")?;
        let mut values = results.iter().map(|result| result.scalar().unwrap_or_default());
        let mut next = || values.next().unwrap_or_default();
        let (uuid, purged, executed) = (next(), next(), next());
        let set = |text: &str| text.parse::<GtidSet>().map_err(MysqlError::Gtids);
        let lacking = ours.without(&set(executed)?);
        if !lacking.is_empty() {
            let reason = format!("{uuid} has not executed {}", shortened(&lacking));
            return Err(DumpError::Behind { at: at(), reason }.into());
        }
        let purged = set(purged)?.without(ours);
        if !purged.is_empty() {
            let reason = format!("{uuid} has purged {}", shortened(&purged));
            return Err(DumpError::Gone { at: at(), reason }.into());
        }
        Ok(())
    }

    fn dump_error(&self, error: WireError, at: &Coordinate) -> MysqlError {
        match DumpError::of(error, at, self.server_id) {
            Ok(error) => MysqlError::Dump(error),
            Err(error) => MysqlError::Wire(error),
        }
    }
}

/// Whether the server may be there, and go on, a moment later.
fn may_pass(error: &MysqlError) -> bool {
    match error {
        MysqlError::Wire(error) => error.is_transient(),
        MysqlError::Dump(error) => error.may_pass(),
        _ => false,
    }
}

/// By which a server shows that it has a dump's position and waits there for more.
fn is_heartbeat(event: &[u8]) -> bool {
    const KIND_AT: usize = 4;
    matches!(event.get(KIND_AT), Some(&(kind::HEARTBEAT | kind::HEARTBEAT_V2)))
}

/// The beginning of a set that may be long.
fn shortened(set: &GtidSet) -> String {
    const CHARACTERS_MAX: usize = 300;
    let text = set.to_string();
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Where the server's binlog ends.
fn binlog_end(connection: &mut Connection) -> Result<Coordinate, MysqlError> {
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
