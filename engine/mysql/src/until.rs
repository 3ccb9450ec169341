//! Up to where a binlog is read by somebody who does not follow it for ever, and nothing behind it.
//!
//! ```text
//! ── T1 ── T2 ────── T3 ── T4 ──►        transactions whole: T1 and T2 are sent, T3 is not
//!               ▲ until
//! ```
//!
//! *A place* is the end of the last transaction before it, by the set of all GTIDs up to there where there are some. Where a place lies within a
//! transaction only the file tells, so it is read from its begin once, before anything is sent ([`look_up`]). Of a set that somebody has
//! made up, transactions may stand among others that it lacks: those come in the order of the binlog, and the last one of the set is the
//! end.
//!
//! *A time* is compared with that of each transaction, before it is begun; the first that is later is the end. Where none comes, the server is
//! asked for its clock, and once that is past the time, where its binlog ends: whatever is committed from then on is later, and everything
//! before has been read when reading has come there. That is the order of the questions: since MySQL 8.0 a transaction gets its time and its
//! place while nobody else can, and whoever asks for the end waits for it. Before, and on MariaDB, its time is that of a statement, which
//! may be long before its place, and is what `SET timestamp` says.
//!
//! *A load* shows each chunk as it was when it was read. So reading goes on to where the last of them was, wherever the end is.

use std::time::{Duration, Instant};

use super::binlog::event::is_heartbeat;
use super::binlog::{Beginning, BinlogDecoder, Fault, Schemas, TableMap, WindowOptions};
use super::connection::{ServerFacts, executed_statement, server_name_statement, session_of};
use super::definition::Session;
use super::history::Here;
use super::incremental::binlog_end;
use super::same_history::{binlog_files, size_of};
use super::snapshot;
use super::wire::{ConnectOptions, Connection, Packet, TextResult, WireError};
use crate::MysqlError;
use tidegate_model::{Coordinate, GtidSet, Position, Statement, Table, Watermark};

/// Between two looks at a server's clock.
const CLOCK_INTERVAL: Duration = Duration::from_millis(500);
/// How long a file may keep us waiting for its next event.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where reading ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadingEnd {
    /// Once all of this is read.
    Place(Watermark),
    /// Before the first transaction that was committed in a later second than this one, since 1970.
    Time(u64),
}

/// The end of reading, watched for by a follower.
#[derive(Clone, Debug)]
pub struct EndWatch {
    until: ReadingEnd,
    /// What a load has shown.
    load: Option<Watermark>,
    /// Of a time that is over: where the binlog ended then.
    over: Option<Over>,
    ask_at: Instant,
}

/// Where a server's binlog ended.
#[derive(Clone, Debug)]
struct Over {
    executed: Watermark,
    /// What is not yet executed may stand there. It counts where the same server is read.
    server: String,
    end: Coordinate,
}

impl EndWatch {
    pub fn new(until: ReadingEnd, load: Option<Watermark>) -> EndWatch {
        EndWatch { until, load, over: None, ask_at: Instant::now() }
    }

    /// Whether this transaction, which the decoder has before it, lies behind the end.
    pub(crate) fn is_before(&self, next: &Beginning, decoder: &BinlogDecoder) -> bool {
        // One of the set: it is not all read yet. Sets are long, and compared only where this does not tell.
        let is_read = |place: &Watermark| {
            let is_in = matches!((place, &next.gtid), (Watermark::Gtids(set), Some(gtid)) if set.contains(gtid));
            !is_in && decoder.has_read(place)
        };
        let is_over = match &self.until {
            ReadingEnd::Place(place) => is_read(place),
            ReadingEnd::Time(until_s) => next.committed_s > *until_s,
        };
        is_over && self.load.as_ref().is_none_or(is_read)
    }

    /// Whether all is read that lies before the end, though more may come.
    pub(crate) fn is_read(&self, decoder: &BinlogDecoder) -> bool {
        let is_over = match (&self.until, &self.over) {
            (ReadingEnd::Place(place), _) => decoder.has_read(place),
            (ReadingEnd::Time(_), Some(over)) => over.is_read(decoder),
            (ReadingEnd::Time(_), None) => false,
        };
        is_over && self.load.as_ref().is_none_or(|place| decoder.has_read(place))
    }

    /// As [`EndWatch::is_read`], of somebody who has not begun to read.
    pub(crate) fn is_at(&self, position: &Position) -> bool {
        let ReadingEnd::Place(place) = &self.until else { return false };
        !position.is_half()
            && [Some(place), self.load.as_ref()].into_iter().flatten().all(|place| position.has_come_to(place))
    }

    /// Whether the server should be asked for its clock, of which nothing came for a moment.
    pub(crate) fn is_to_be_asked(&self) -> bool {
        matches!(self.until, ReadingEnd::Time(_)) && self.over.is_none() && Instant::now() >= self.ask_at
    }

    /// Asks the server for its clock, and where its binlog ends once that is later than the time.
    pub(crate) fn ask(&mut self, connect: &ConnectOptions, has_gtids: bool) -> Result<(), MysqlError> {
        self.ask_at = Instant::now() + CLOCK_INTERVAL;
        let ReadingEnd::Time(until_s) = self.until else { return Ok(()) };
        let mut connection = session_of(connect)?;
        if clock(&mut connection)? <= until_s {
            return Ok(());
        }
        let is_mariadb = connection.is_mariadb();
        let name = connection.query(server_name_statement(is_mariadb))?;
        let server = name.first().and_then(TextResult::scalar).unwrap_or_default().to_owned();
        let end = binlog_end(&mut connection)?;
        let executed = match has_gtids {
            true => Watermark::Gtids(gtids_of(connection.query(executed_statement(is_mariadb))?)?),
            false => Watermark::Coordinate(end.clone()),
        };
        self.over = Some(Over { executed, server, end });
        Ok(())
    }
}

impl Over {
    fn is_read(&self, decoder: &BinlogDecoder) -> bool {
        let is_there = decoder.server() != Some(&self.server) || *decoder.coordinate() >= self.end;
        is_there && decoder.has_read(&self.executed)
    }
}

/// The server's time, in seconds since 1970.
pub fn clock_of(connect: &ConnectOptions) -> Result<u64, MysqlError> {
    clock(&mut session_of(connect)?)
}

fn clock(connection: &mut Connection) -> Result<u64, MysqlError> {
    let results = connection.query("SELECT UNIX_TIMESTAMP()")?;
    // Some versions have digits behind the second.
    let seconds = results.first().and_then(TextResult::scalar).and_then(|text| text.split('.').next()?.parse().ok());
    Ok(seconds.unwrap_or(0))
}

fn gtids_of(results: Vec<TextResult>) -> Result<GtidSet, MysqlError> {
    results.first().and_then(TextResult::scalar).unwrap_or_default().parse().map_err(MysqlError::Gtids)
}

/// Whether more was sent than what lies before the place, by somebody who has come to `position`.
pub fn is_past(position: &Position, place: &Watermark) -> bool {
    let half = position.delivered.as_ref();
    match (place, position.sent()) {
        (Watermark::Gtids(set), Some(sent)) => {
            // Of a source that the set does not name, anything may stand before its last transaction.
            let begun = half.filter(|half| half.events > 0).and_then(|half| half.gtid.as_ref());
            set.is_exceeded_by(sent) || (begun.is_some_and(|begun| !set.contains(begun)) && sent.contains_set(set))
        }
        (Watermark::Coordinate(place), None) => match half {
            Some(half) => half.until > *place || (half.until == *place && half.events > 0),
            None => position.coordinate > *place,
        },
        _ => false,
    }
}

/// What stands in a file before a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPlace {
    /// The place, or the begin of the transaction that it is in.
    pub at: Coordinate,
    /// Of the last transaction before it in this file, if there is one.
    pub committed_s: Option<u64>,
    /// Those of all transactions before it, if asked for.
    pub gtids: Option<GtidSet>,
}

/// Why a place cannot be looked up.
#[derive(Debug, thiserror::Error)]
pub enum LookUpError {
    #[error("the server has no {file}: its binlog files are {files}")]
    NoFile { file: String, files: String },
    #[error("{file} ends at {size} on the server")]
    NotThere { file: String, size: u64 },
    #[error(transparent)]
    Server(#[from] MysqlError),
}

impl From<WireError> for LookUpError {
    fn from(error: WireError) -> LookUpError {
        LookUpError::Server(error.into())
    }
}

/// Reads the file of `at` up to there.
pub fn look_up(
    connect: &ConnectOptions,
    facts: &ServerFacts,
    at: &Coordinate,
    with_gtids: bool,
) -> Result<FoundPlace, LookUpError> {
    let mut connection = session_of(connect)?;
    let files = binlog_files(&connection.query("SHOW BINARY LOGS")?);
    let Some(size) = size_of(&files, &at.file) else {
        let ends = files.first().zip(files.last()).map(|((first, _), (last, _))| format!("{first} to {last}"));
        return Err(LookUpError::NoFile {
            file: at.file.to_string(),
            files: ends.unwrap_or_else(|| "none".to_owned()),
        });
    };
    if size < at.offset {
        return Err(LookUpError::NotThere { file: at.file.to_string(), size });
    }
    let is_mariadb = facts.version.is_mariadb;
    let mut gtids = match with_gtids && !is_mariadb {
        true => Some(snapshot::gtids_before_file(&mut connection, at).map_err(MysqlError::Load)?),
        false => None,
    };
    let begin = Coordinate::new(at.file.clone(), snapshot::BINLOG_START);
    let windows = WindowOptions { rows: usize::MAX, bytes: usize::MAX, marks: Default::default() };
    // Nobody asks for rows here: those of an XA transaction that was prepared before are not missed.
    let start = Position::new(begin.clone(), None).with_beginning(Some(Watermark::Coordinate(at.clone())));
    let mut decoder = BinlogDecoder::new(start, Box::new(Nothing), windows);
    let mut packets = Connection::connect(connect)?.binlog_file(&at.file)?;
    let (mut last, mut committed_s, mut begun) = (begin, None, None);
    while decoder.coordinate() < at {
        let event = match packets.next(PATIENCE)? {
            Packet::Event(event) => event,
            Packet::Idle | Packet::End => break,
        };
        if is_heartbeat(event) {
            continue;
        }
        begun = decoder.beginning(event).or(begun);
        decoder.feed(event).map_err(MysqlError::from)?;
        let is_there = decoder.coordinate().file == at.file && decoder.coordinate() <= at;
        if is_there && !decoder.is_in_transaction() {
            last = decoder.coordinate().clone();
            if let Some(begun) = begun.take() {
                committed_s = Some(begun.committed_s);
                gtids.as_mut().zip(begun.gtid.as_ref()).into_iter().for_each(|(gtids, gtid)| gtids.insert(gtid));
            }
        }
    }
    if with_gtids && is_mariadb {
        gtids = Some(snapshot::gtids_at(&mut connection, &last).map_err(MysqlError::Load)?);
    }
    Ok(FoundPlace { at: last, committed_s, gtids })
}

/// The begin of the last file in which, or behind which, all is that a set lacks.
pub fn file_of(connect: &ConnectOptions, facts: &ServerFacts, set: &GtidSet) -> Result<Coordinate, LookUpError> {
    let mut connection = session_of(connect)?;
    let files = binlog_files(&connection.query("SHOW BINARY LOGS")?);
    let mut begins = files.iter().map(|(file, _)| Coordinate::new(file.as_str(), snapshot::BINLOG_START)).rev();
    let first = begins.next_back();
    for begin in begins {
        let before = match facts.version.is_mariadb {
            true => snapshot::gtids_at(&mut connection, &begin),
            false => snapshot::gtids_before_file(&mut connection, &begin),
        };
        if set.contains_set(&before.map_err(MysqlError::Load)?) {
            return Ok(begin);
        }
    }
    first.ok_or_else(|| LookUpError::NoFile { file: String::new(), files: "none".to_owned() })
}

/// No table is of interest.
struct Nothing;

impl Schemas for Nothing {
    fn table(&mut self, _: &TableMap<'_>, _: Here<'_>) -> Result<Option<std::sync::Arc<Table>>, Fault> {
        Ok(None)
    }

    fn statement(&mut self, _: &str, _: &str, _: &Session, _: Here<'_>) -> Result<Option<Statement>, Fault> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::Delivered;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn set(text: &str) -> GtidSet {
        text.replace('A', A).parse().unwrap()
    }

    /// With so many events of the transaction that begins there.
    fn position(offset: u64, gtids: Option<&str>, half: Option<(&str, u64)>) -> Position {
        let until = Coordinate::new("b.000002", offset);
        let delivered = half.map(|(gtid, events)| Delivered {
            until: until.clone(),
            gtid: (!gtid.is_empty()).then(|| serde_json::from_str(&format!("\"{}\"", gtid.replace('A', A))).unwrap()),
            events,
            gtids: None,
        });
        Position { delivered, ..Position::new(until, gtids.map(set)) }
    }

    #[test]
    fn an_end_is_passed_by_what_was_sent_behind_it() {
        let place = |offset| Watermark::Coordinate(Coordinate::new("b.000002", offset));
        assert!(!is_past(&position(100, None, None), &place(100)));
        assert!(is_past(&position(101, None, None), &place(100)));
        assert!(is_past(&position(100, None, Some(("", 2))), &place(100)));
        assert!(!is_past(&position(100, None, Some(("", 0))), &place(100)));

        let gtids = |text| Watermark::Gtids(set(text));
        assert!(!is_past(&position(4, Some("A:1-5"), None), &gtids("A:1-5")));
        assert!(is_past(&position(4, Some("A:1-6"), None), &gtids("A:1-5")));
        assert!(!is_past(&position(4, Some("A:1-3"), Some(("A:4", 1))), &gtids("A:1-5")));
        assert!(!is_past(&position(4, Some("A:1-3"), Some(("A:6", 1))), &gtids("A:1-5")));
        assert!(is_past(&position(4, Some("A:1-5"), Some(("A:6", 1))), &gtids("A:1-5")));
        assert!(is_past(&position(4, Some("0-1-6"), None), &gtids("0-1-5")));
        assert!(!is_past(&position(4, Some("0-1-5,7-1-9"), None), &gtids("0-1-5")));
    }

    #[test]
    fn whoever_has_come_to_the_end_need_not_read() {
        let end = |load| EndWatch::new(ReadingEnd::Place(Watermark::Gtids(set("A:1-5"))), load);
        assert!(end(None).is_at(&position(4, Some("A:1-5"), None)));
        assert!(!end(None).is_at(&position(4, Some("A:1-4"), None)));
        // A load has shown more.
        assert!(!end(Some(Watermark::Gtids(set("A:1-7")))).is_at(&position(4, Some("A:1-5"), None)));
        // Of a time only reading tells.
        assert!(!EndWatch::new(ReadingEnd::Time(7), None).is_at(&position(4, Some("A:1-5"), None)));
    }
}
