//! Where the reader stands: transactions, GTIDs, and the position from which nothing is lost.
//!
//! ```text
//!     │ GTID 7 │ BEGIN │ table map │ rows │ rows │ rows │ XID │ GTID 8 …
//!     ▲                                   ▲                   ▲
//!     start                               a window ends here  after the transaction
//!                                         position: start, 2 events delivered
//! ```
//!
//! Offsets count the sizes of events in 64 bits; the 32 bits that a header holds are compared, never trusted.
//!
//! *What is held is not delivered.* Rows of an XA transaction wait for its outcome in memory or in a file that nobody finds
//! again, so whoever goes on must read them again. With GTIDs their transaction stays missing in the set, and the server sends
//! it; by coordinate, the position goes back to the oldest of them and says how far all else is delivered. A count of events
//! always belongs to one transaction, by its start and its GTID, and never to whichever comes first.
//!
//! *A domain's set cannot lack one transaction and have a later one.* So on MariaDB the position's set goes back to before the oldest
//! of those that are held, as a coordinate does, and the set of what is delivered stands beside it. Numbers of a domain must grow as
//! they are read, or a set would have what nobody has seen: one that does not is an error.
//!
//! *Coordinates do not go back.* A server that is asked by GTID begins at the start of some file, and leaves out what the set
//! has. The position keeps its coordinate until the reader has come further, or until a new transaction has ended before it:
//! then this is another server, with other files.
//!
//! *Which file.* A position says of its file when which server made it, since names come again. A file says so itself, by its
//! first event. Between leaving a file and that event, the place is still the end of the file that was left.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::Fault;
use super::event::Header;
use super::held::Group;
use tidegate_model::position::file_number;
use tidegate_model::{BinlogFile, Coordinate, Delivered, Gtid, GtidSet, Position, Watermark, XaKnown};

/// The transaction being read.
#[derive(Debug)]
pub(super) struct Transaction {
    pub start: Coordinate,
    pub gtid: Option<Gtid>,
    pub thread_id: u32,
    /// BEGIN has been seen: a statement does not end the transaction.
    pub is_open: bool,
    /// Rows events so far, of any table. Of held rows that are read back, their number in the XA transaction.
    pub row_events: u64,
    pub done: Done,
    /// Rows events of captured tables are delivered or in a window.
    pub has_captured_rows: bool,
    /// The XA identifier, as the server writes it, while the transaction's rows are held.
    pub xid: Option<String>,
    /// Its rows are held until its end, because it may be rolled back.
    pub waits: bool,
    /// Its statement has not been carried out.
    pub is_without_effect: bool,
    /// By the server's clock; see [`Window::committed_us`](tidegate_model::Window::committed_us).
    pub committed_us: u64,
}

/// What has been delivered of a transaction before it was read this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// Its first rows events.
    Events(u64),
    All,
}

impl Transaction {
    /// Whether the rows event that was counted last has been delivered before.
    pub(super) fn is_delivered(&self) -> bool {
        match self.done {
            Done::Events(events) => self.row_events <= events,
            Done::All => true,
        }
    }

    /// Whether all its rows have been delivered before, and none of them waits for an XA COMMIT.
    pub(super) fn is_passed(&self) -> bool {
        self.done == Done::All && self.xid.is_none()
    }

    /// Whether what stands behind the rows event that was counted last has certainly been delivered before.
    pub(super) fn is_within_delivered(&self) -> bool {
        match self.done {
            Done::Events(events) => self.row_events < events,
            Done::All => true,
        }
    }

    /// Whether the rows event that was delivered last, before this reading, has been read by now and is none of the first
    /// `events`. Of rows that wait for their end, one that is rolled back never is: it was sent by a version that did not wait.
    pub(super) fn has_delivered_behind(&self, events: u64) -> bool {
        matches!(self.done, Done::Events(done) if events < done && done <= self.row_events)
    }

    fn delivered_events(&self) -> u64 {
        match self.done {
            // Rows that are held are not delivered.
            Done::Events(events) if self.xid.is_some() || self.waits => events,
            Done::Events(events) => events.max(self.row_events),
            // Then the position says it of the transaction as a whole.
            Done::All => 0,
        }
    }
}

/// A prepared XA transaction with rows of captured tables, which wait for its outcome.
#[derive(Debug)]
pub(super) struct Prepared {
    pub start: Coordinate,
    pub gtid: Option<Gtid>,
    /// What was executed before it, if its GTID is of a domain.
    pub before: Option<GtidSet>,
    pub thread_id: u32,
    pub rows: Group,
}

#[derive(Debug)]
pub(super) struct Place {
    /// Where the next event begins.
    pub at: Coordinate,
    pub transaction: Option<Transaction>,
    /// By XA identifier.
    pub prepared: BTreeMap<String, Prepared>,
    /// The prepared transaction whose rows are being read back.
    pub committing: Option<Committing>,
    /// Every transaction that has ended, except prepared ones with captured rows; of domains, those, too.
    gtids: Option<GtidSet>,
    /// What was delivered before this reading began, until it has passed that.
    resume: Option<Delivered>,
    /// See above: by GTID, the coordinate that positions do not fall below.
    reached: Coordinate,
    reached_file: Option<BinlogFile>,
    /// The server that is read, by its UUID; `None` of files.
    server: Option<Arc<str>>,
    /// Those that positions may lie in, by name.
    files: Vec<(Arc<str>, BinlogFile)>,
    /// The file before, until this one has said what it is.
    left: Option<Left>,
    pub xa: Option<XaKnown>,
    /// Of the transaction that ended last.
    pub committed_us: u64,
    /// Events follow each other without gaps, and reading goes on by coordinate: true for files. A server leaves out
    /// transactions that the GTID set has, and goes on by that set.
    pub is_gapless: bool,
}

/// The end of a file that was left for the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub end: Coordinate,
    pub file: Option<BinlogFile>,
    /// The file itself said that it ends there, and does not only stop.
    pub is_announced: bool,
}

/// A prepared transaction without its rows.
#[derive(Debug)]
pub(super) struct Committing {
    pub start: Coordinate,
    pub gtid: Option<Gtid>,
    pub before: Option<GtidSet>,
}

/// A place that is less than this before the one reached is behind it, and not nearly 4 GiB ahead.
const BEHIND_MAX: u32 = 1 << 28;

/// How far `low32` is ahead of `offset`.
fn ahead(offset: u64, low32: u32) -> Option<u32> {
    Some(low32.wrapping_sub(offset as u32)).filter(|&ahead| ahead <= u32::MAX - BEHIND_MAX)
}

impl Place {
    pub(super) fn new(start: Position) -> Place {
        Place {
            reached: start.coordinate.clone(),
            reached_file: start.file.clone(),
            server: None,
            files: start.file.map(|file| (start.coordinate.file.clone(), file)).into_iter().collect(),
            left: None,
            at: start.coordinate,
            transaction: None,
            prepared: BTreeMap::new(),
            committing: None,
            gtids: start.gtids,
            resume: start.delivered,
            xa: start.xa,
            committed_us: 0,
            is_gapless: false,
        }
    }

    /// Whether reading goes on by coordinate, in the order of the files, and not by what is missing in the GTID set.
    fn is_by_coordinate(&self) -> bool {
        self.is_gapless || self.gtids.is_none()
    }

    /// Moves behind an event of `header`, and gives the coordinate at which it begins.
    pub(super) fn pass(&mut self, header: &Header) -> Result<Coordinate, Fault> {
        let end = self.at.offset + header.size as u64;
        // What a server makes up for a replica has no place in the file. MariaDB 11 leaves out the place of what it has gathered of a
        // transaction; that of the event which ends it tells whether all of it was there.
        let is_gathered = self.transaction.is_some() && header.end_low32 == 0;
        if header.is_artificial() || (header.end_low32 == 0 && end as u32 != 0 && !is_gathered) {
            return Ok(self.at.clone());
        }
        let may_have_gap = !self.is_by_coordinate() && self.transaction.is_none();
        match ahead(end, header.end_low32) {
            _ if is_gathered => {}
            Some(gap) if gap == 0 || may_have_gap => self.at.offset += gap as u64,
            _ => return Err(Fault::OutOfPlace { expected: end, found: header.end_low32 }),
        }
        let start = self.at.clone();
        self.at.offset += header.size as u64;
        Ok(start)
    }

    /// A heartbeat says how far the server has come: what it left out until there, the GTID set has.
    pub(super) fn pass_left_out(&mut self, file: &str, end: HeartbeatEnd) {
        if self.is_by_coordinate() || self.transaction.is_some() || *self.at.file != *file {
            return;
        }
        let offset = match end {
            HeartbeatEnd::Low32(low32) => self.at.offset + u64::from(ahead(self.at.offset, low32).unwrap_or(0)),
            HeartbeatEnd::Whole(offset) => offset,
        };
        self.at.offset = self.at.offset.max(offset);
    }

    /// The events are those of this server.
    pub(super) fn set_server(&mut self, uuid: &str) {
        self.server = Some(uuid.into());
    }

    pub(super) fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// Goes on in another file, or says again where in this one. `is_announced` if the file that is left has said so itself.
    pub(super) fn enter(&mut self, file: &str, offset: u64, is_announced: bool) -> Result<(), Fault> {
        if *self.at.file == *file && self.at.offset == offset {
            return Ok(());
        }
        if self.transaction.is_some() {
            return Err(Fault::UnfinishedTransaction);
        }
        let end = std::mem::replace(&mut self.at, Coordinate::new(file, offset));
        if self.server.is_some() && end.file != self.at.file {
            match &mut self.left {
                None => self.left = Some(Left { file: self.file(&end.file).cloned(), end, is_announced }),
                Some(left) => left.is_announced = false,
            }
        }
        Ok(())
    }

    /// The file at hand was made then. Gives back where the one before was left.
    ///
    /// By coordinate, the place is in the very file that was read before. By GTID, that one may be gone, with all that was read.
    pub(super) fn file_made(&mut self, made_s: u32) -> Result<Option<Left>, Fault> {
        let Some(server) = self.server.clone() else { return Ok(None) };
        if self.is_by_coordinate() && self.file(&self.at.file).is_some_and(|known| known.made_s != made_s) {
            return Err(Fault::OtherFile);
        }
        // What waits for an XA COMMIT keeps its file in mind, and positions with it.
        let oldest = self.position().coordinate.file_number();
        let name = self.at.file.clone();
        self.files.retain(|(known, _)| *known != name && file_number(known) >= oldest);
        self.files.push((name, BinlogFile { server, made_s }));
        Ok(self.left.take())
    }

    fn file(&self, name: &str) -> Option<&BinlogFile> {
        self.files.iter().rev().find(|(known, _)| **known == *name).map(|(_, file)| file)
    }

    /// The start of the transaction, or the end of the one before it.
    fn here(&self) -> &Coordinate {
        match (&self.transaction, &self.left) {
            (Some(transaction), _) => &transaction.start,
            (None, Some(left)) => &left.end,
            (None, None) => &self.at,
        }
    }

    /// Whether a transaction of a domain may come now.
    pub(super) fn check_order(&self, gtid: &Gtid) -> Result<(), Fault> {
        match &self.gtids {
            Some(gtids) if gtid.is_of_domain() && gtids.contains(gtid) => {
                Err(Fault::OutOfOrder { gtid: gtid.clone(), last: gtids.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Begins a transaction.
    pub(super) fn begin(&mut self, start: &Coordinate, gtid: Option<Gtid>) -> &mut Transaction {
        let is_delivered = |delivered: &Delivered| {
            let gtids = delivered.gtids.as_ref().zip(gtid.as_ref());
            gtids.is_some_and(|(gtids, gtid)| gtids.contains(gtid))
        };
        let done = match &self.resume {
            Some(delivered) if delivered.until == *start && (delivered.gtid.is_none() || delivered.gtid == gtid) => {
                Done::Events(delivered.events)
            }
            Some(delivered) if self.is_by_coordinate() && *start < delivered.until => Done::All,
            Some(delivered) if is_delivered(delivered) => Done::All,
            _ => Done::Events(0),
        };
        self.transaction.insert(Transaction {
            start: start.clone(),
            gtid,
            thread_id: 0,
            is_open: false,
            row_events: 0,
            done,
            has_captured_rows: false,
            xid: None,
            waits: false,
            is_without_effect: false,
            committed_us: 0,
        })
    }

    /// The transaction that `start` belongs to; begins it if there is none.
    pub(super) fn transaction(&mut self, start: &Coordinate) -> &mut Transaction {
        if self.transaction.is_none() {
            self.begin(start, None);
        }
        self.transaction.as_mut().unwrap_or_else(|| unreachable!("it was begun just now"))
    }

    /// The transaction has ended: the position is behind it.
    pub(super) fn end_transaction(&mut self) {
        let Some(transaction) = self.transaction.take() else { return };
        if transaction.committed_us > 0 {
            self.committed_us = transaction.committed_us;
        }
        self.executed(transaction.gtid.as_ref());
        if let Some(committing) = self.committing.take() {
            self.executed(committing.gtid.as_ref());
        }
        self.reached = self.at.clone();
        self.reached_file = self.file(&self.at.file).cloned();
        let is_passed = |delivered: &Delivered| match (&delivered.gtid, &delivered.gtids, &self.gtids) {
            (gtid, Some(done), Some(gtids)) => {
                gtids.contains_set(done) && gtid.as_ref().is_none_or(|gtid| gtids.contains(gtid))
            }
            (Some(gtid), _, Some(gtids)) if !self.is_by_coordinate() => gtids.contains(gtid),
            _ => delivered.until <= transaction.start,
        };
        if self.resume.as_ref().is_some_and(is_passed) {
            self.resume = None;
        }
    }

    /// The transaction is prepared under its XA identifier. It has ended, unless it has `rows`, which wait.
    ///
    /// Of an earlier one that was prepared under it, the outcome has not been logged, and cannot be any more: nobody will ask for its rows,
    /// which are given back.
    pub(super) fn prepare_transaction(&mut self, rows: Option<Group>) -> Option<Group> {
        let xid = self.transaction.as_ref()?.xid.clone().unwrap_or_default();
        let outdated = self.prepared.remove(&xid).map(|before| {
            self.executed(before.gtid.as_ref());
            before.rows
        });
        match rows {
            None => {
                if let Some(known) = &mut self.xa {
                    known.without_rows.insert(xid);
                }
                self.end_transaction();
            }
            Some(rows) => {
                let transaction = self.transaction.as_ref()?;
                let (start, gtid, thread_id) =
                    (transaction.start.clone(), transaction.gtid.clone(), transaction.thread_id);
                self.forget_without_rows(&xid);
                let is_of_domain = gtid.as_ref().is_some_and(Gtid::is_of_domain);
                let before = self.gtids.clone().filter(|_| is_of_domain);
                if is_of_domain {
                    self.executed(gtid.as_ref());
                }
                self.prepared.insert(xid, Prepared { start, gtid, before, thread_id, rows });
                self.transaction = None;
            }
        }
        outdated
    }

    /// Whether the XA transaction is known to have had no captured rows; its outcome has come, and the identifier may be
    /// used again.
    pub(super) fn forget_without_rows(&mut self, xid: &str) -> bool {
        self.xa.as_mut().is_some_and(|known| known.without_rows.remove(xid))
    }

    /// Whether nothing is missing if the current transaction is the XA COMMIT of one that was prepared before the task began:
    /// it ended before that, too. `None` if nobody knows.
    pub(super) fn is_older_than_task(&self) -> Option<bool> {
        let (known, transaction) = (self.xa.as_ref()?, self.transaction.as_ref()?);
        let began = known.began.as_ref();
        Some(began.is_some_and(|began| began.covers(transaction.gtid.as_ref(), &transaction.start)))
    }

    pub(super) fn executed(&mut self, gtid: Option<&Gtid>) {
        if let (Some(gtids), Some(gtid)) = (&mut self.gtids, gtid) {
            gtids.insert(gtid);
        }
    }

    /// By GTID, where the reader stands for others: not before what it has reported.
    pub(super) fn coordinate(&self) -> &Coordinate {
        let here = self.here();
        if self.is_by_coordinate() { here } else { here.max(&self.reached) }
    }

    /// Whether everything up to the watermark has been read, though it may wait for an XA COMMIT.
    pub(super) fn has_read(&self, until: &Watermark) -> bool {
        match (until, &self.gtids) {
            (Watermark::Gtids(until), Some(gtids)) => {
                let mut read = gtids.clone();
                let held = self.prepared.values().map(|prepared| &prepared.gtid);
                let held = held.chain(self.committing.as_ref().map(|committing| &committing.gtid));
                held.flatten().for_each(|gtid| read.insert(gtid));
                read.contains_set(until)
            }
            (Watermark::Coordinate(until), None) => until <= self.here(),
            // Of another kind than the position: nothing can be told, and nothing is waited for.
            _ => true,
        }
    }

    /// What was executed before the oldest transaction that is held, if it is of a domain.
    fn before_held(&self) -> Option<&GtidSet> {
        let held = self.prepared.values().map(|prepared| (&prepared.start, &prepared.before));
        let committing = self.committing.as_ref().map(|committing| (&committing.start, &committing.before));
        held.chain(committing).min_by_key(|(start, _)| *start).and_then(|(_, before)| before.as_ref())
    }

    /// From here on, nothing has been delivered but what the position says.
    pub(super) fn position(&self) -> Position {
        let here = self.here();
        let half = Delivered {
            until: here.clone(),
            gtid: self.transaction.as_ref().and_then(|transaction| transaction.gtid.clone()),
            events: self.transaction.as_ref().map_or(0, Transaction::delivered_events),
            gtids: None,
        };
        let mut gtids = self.gtids.clone();
        let (coordinate, delivered) = if self.is_by_coordinate() {
            let is_yet_to_come = |before: &Delivered| match self.transaction {
                Some(_) => *here < before.until,
                None => *here <= before.until,
            };
            let delivered = self.resume.clone().filter(is_yet_to_come).unwrap_or(half);
            let held = self.prepared.values().map(|prepared| &prepared.start);
            let oldest = held.chain(self.committing.as_ref().map(|committing| &committing.start)).min();
            let coordinate = oldest.map_or(here, |oldest| oldest.min(here));
            let says_more = delivered.events > 0 || delivered.until != *coordinate;
            (coordinate, says_more.then_some(delivered))
        } else if let Some((before, executed)) = self.before_held().zip(gtids.as_mut()) {
            let mut delivered = std::mem::replace(executed, before.clone());
            let half = match (&self.resume, half.events) {
                (Some(resume), 0) => {
                    resume.gtids.iter().for_each(|gtids| delivered.extend(gtids));
                    resume.clone()
                }
                _ => half,
            };
            (self.coordinate(), Some(Delivered { gtids: Some(Box::new(delivered)), ..half }))
        } else if half.events > 0 {
            (self.coordinate(), Some(half))
        } else {
            (self.coordinate(), self.resume.clone())
        };
        // By GTID, what was reached may be in a file of another server.
        let is_reached = !self.is_by_coordinate() && *coordinate == self.reached;
        let file = if is_reached { self.reached_file.as_ref() } else { self.file(&coordinate.file) };
        Position { coordinate: coordinate.clone(), gtids, delivered, xa: self.xa.clone(), file: file.cloned() }
    }
}

/// Where a heartbeat says that the server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeartbeatEnd {
    Low32(u32),
    Whole(u64),
}
