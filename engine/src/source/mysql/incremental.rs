//! Follows the binlog of a server: one connection, one thread, one decoder.
//!
//! ```text
//! wire ── event ──► decoder ── window ──► ledger: drop what the full load showed ──► emitter
//!   ▲                                                                               │
//!   └────────────── a lost connection goes on at the end of the last window ◄───────┘
//! ```
//!
//! A window ends when it is full, when nothing has arrived for [`IncrementalOptions::window_ms`], or when it is that old and
//! the next event would have to be waited for; so a busy server fills windows and a quiet one has its changes sent at
//! once. A decoder that is thrown away with its connection forgets only what was not emitted: the next one begins where
//! the last window ended, in the middle of a transaction if need be.

use std::path::Path;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::binlog::{BinlogDecoder, BinlogError, Flow, WindowOptions};
use super::connection::ServerVersion;
use super::history::History;
use super::ledger::Ledger;
use super::retry::Retry;
use super::wire::{BinlogPackets, ConnectOptions, Connection, DumpRequest, DumpStart, Packet, WireError};
use crate::batch::{Coordinate, Position, Progress, TableName, Window};
use crate::config::IncrementalOptions;
use crate::error::Error;
use crate::pipeline::Emitter;
use crate::pipeline::shutdown::Stop;
use crate::source::SourceError;
use crate::status::{Phase, Status};

/// How long a read waits at most before the stop flag is looked at.
const STOP_INTERVAL: Duration = Duration::from_millis(200);

/// What following needs besides the position.
pub struct Follower<'a> {
    pub connect: &'a ConnectOptions,
    pub server_id: u32,
    pub options: &'a IncrementalOptions,
    pub windows: WindowOptions,
    /// Where rows wait in a file that are too many for memory: the task's state folder.
    pub folder: &'a Path,
    /// Chunks whose rows may show what the binlog is about to say again.
    pub ledger: Option<Ledger>,
    /// Told of a table of which nothing is dropped from here on, before what is not dropped leaves.
    pub replayed: &'a dyn Fn(&TableName),
    pub retry: Duration,
    pub emitter: &'a Emitter,
    pub status: &'a Status,
    pub stop: &'a Stop,
}

impl Follower<'_> {
    /// Follows from `position` until told to stop. `history` makes a history that begins there.
    pub fn run(&mut self, mut position: Position, history: impl Fn(&Position) -> History) -> Result<(), Error> {
        let mut retry = Retry::new(self.retry);
        loop {
            info!(position = %position.coordinate, "incremental: reading the binlog");
            let mut decoder = BinlogDecoder::new(position.clone(), Box::new(history(&position)), self.windows)
                .with_folder(self.folder.to_owned())
                .with_event_bytes_max(self.connect.max_packet_bytes);
            let before = position.clone();
            let error = match self.follow(&mut decoder, &mut position) {
                Ok(()) => return Ok(()),
                Err(Error::Source(SourceError::Wire(error))) if error.is_transient() => error,
                Err(error) => return Err(error),
            };
            if position != before {
                // It worked in between: this is a new outage.
                retry = Retry::new(self.retry);
            }
            let Some(pause) = retry.next_pause() else { return Err(SourceError::Wire(error).into()) };
            warn!(%error, retry_in_ms = pause.as_millis() as u64, "lost the source; going on at {}", position.coordinate);
            self.status.set_phase(Phase::Retrying { reason: error.to_string() });
            if retry.wait(pause, || self.stop.is_stopped()) {
                return Ok(());
            }
        }
    }

    /// One connection's worth. `position` is the end of the last window emitted.
    fn follow(&mut self, decoder: &mut BinlogDecoder, position: &mut Position) -> Result<(), Error> {
        let mut packets = self.connect(position, decoder)?;
        self.status.set_phase(Phase::Incremental);
        let window_time = Duration::from_millis(self.options.window_ms);
        let mut opened: Option<Instant> = None;
        while !self.stop.is_stopped() {
            let wait = if opened.is_some() { window_time } else { STOP_INTERVAL };
            let packet = packets.next(wait).map_err(|error| match error {
                WireError::PacketTooLarge { .. } => {
                    SourceError::EventTooLarge { at: decoder.coordinate().clone(), error }
                }
                error => SourceError::Wire(error),
            })?;
            let ends = match packet {
                Packet::Event(event) => {
                    let mut flow = decoder.feed(event).map_err(SourceError::Binlog)?;
                    let opened_at = *opened.get_or_insert_with(Instant::now);
                    while flow == Flow::WindowFull {
                        opened = None;
                        self.emit(decoder, position)?;
                        // One event may hold gigabytes; the rest of it is read again by the next run.
                        if self.stop.is_stopped() {
                            return Ok(());
                        }
                        flow = decoder.resume(event).map_err(SourceError::Binlog)?;
                    }
                    opened.is_some() && !packets.buffered() && opened_at.elapsed() >= window_time
                }
                Packet::Idle => opened.is_some(),
                Packet::End => return Err(SourceError::BinlogEnded.into()),
            };
            if ends {
                opened = None;
                self.emit(decoder, position)?;
            }
        }
        // What has been decoded is complete up to an event; the rest is read again by the next run.
        self.emit(decoder, position)
    }

    fn emit(&mut self, decoder: &mut BinlogDecoder, position: &mut Position) -> Result<(), Error> {
        let Some(mut window) = decoder.take_window().map_err(SourceError::Binlog)? else { return Ok(()) };
        let end = match &window.progress {
            Some(Progress::Position(end)) => end.clone(),
            _ => position.clone(),
        };
        self.drop_what_was_shown(&mut window);
        self.emitter.emit(window).map_err(|_| Error::Stopped)?;
        if self.ledger.as_ref().is_some_and(|ledger| ledger.settled(&end)) {
            info!(position = %end.coordinate, "incremental has passed the full load");
            self.ledger = None;
        }
        *position = end;
        Ok(())
    }

    fn drop_what_was_shown(&mut self, window: &mut Window) {
        let Some(ledger) = &mut self.ledger else { return };
        let changes = std::mem::take(&mut window.changes);
        let judged = changes.into_iter().map(|batch| {
            let table = batch.table();
            // Rows of this version do not find their chunks, but those of a later one might. Of one key, nothing may be dropped
            // that comes after something that was not.
            if !ledger.fits(table) && ledger.replay(table.name()) {
                (self.replayed)(table.name());
            }
            ledger.filter(batch)
        });
        window.changes = judged.filter(|batch| !batch.is_empty()).collect();
    }

    fn connect(&self, position: &Position, decoder: &mut BinlogDecoder) -> Result<BinlogPackets, SourceError> {
        let mut connection = Connection::connect(self.connect)?;
        if self.windows.marks.heartbeats {
            decoder.set_heartbeats_from(binlog_end(&mut connection)?);
        }
        let start = match &position.gtids {
            Some(gtids) => DumpStart::Gtids(gtids.encode()),
            None => DumpStart::File {
                file: position.coordinate.file.as_bytes().to_vec(),
                position: u32::try_from(position.coordinate.offset)
                    .map_err(|_| SourceError::OffsetBeyondProtocol { at: position.coordinate.clone() })?,
            },
        };
        let request = DumpRequest {
            server_id: self.server_id,
            start,
            heartbeat: Duration::from_secs(self.options.heartbeat_s),
            non_blocking: false,
        };
        connection.binlog_dump(&request).map_err(|error| match error.server_code() {
            Some(1236) => SourceError::BinlogGone { at: position.coordinate.clone(), error },
            _ => SourceError::Wire(error),
        })
    }
}

/// Where the server's binlog ends.
fn binlog_end(connection: &mut Connection) -> Result<Coordinate, SourceError> {
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

impl From<WireError> for SourceError {
    fn from(error: WireError) -> SourceError {
        SourceError::Wire(error)
    }
}

impl From<BinlogError> for SourceError {
    fn from(error: BinlogError) -> SourceError {
        SourceError::Binlog(error)
    }
}
