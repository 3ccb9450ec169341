//! Where the reader stands: transactions, GTIDs, and the position from which nothing is lost.
//!
//! ```text
//!     │ GTID 7 │ BEGIN │ table map │ rows │ rows │ rows │ XID │ GTID 8 …
//!     ▲                                   ▲                   ▲
//!     start                               a window ends here  after the transaction
//!                                         position: start, events_done 2
//! ```
//!
//! Offsets count the sizes of events in 64 bits; the 32 bits that a header holds are compared, never trusted.

use std::collections::BTreeMap;

use super::error::Fault;
use super::event::Header;
use crate::batch::{Coordinate, Gtid, GtidSet, Position};

/// The transaction being read.
#[derive(Debug)]
pub(super) struct Transaction {
    pub start: Coordinate,
    pub gtid: Option<Gtid>,
    pub thread_id: u32,
    /// BEGIN has been seen: a statement does not end the transaction.
    pub is_open: bool,
    /// Rows events so far, of any table.
    pub row_events: u64,
    /// Rows events that have been delivered before.
    pub skip: u64,
    /// Rows events of captured tables are in a window.
    pub has_captured_rows: bool,
    /// The XA identifier, as the server writes it.
    pub xid: Option<String>,
}

/// Rows of a prepared XA transaction, which wait for its outcome.
#[derive(Debug)]
pub(super) struct Prepared {
    pub start: Coordinate,
    pub gtid: Option<Gtid>,
    pub thread_id: u32,
    /// Table maps and rows events of captured tables; nothing waits for a transaction without.
    pub events: Vec<(Header, Vec<u8>)>,
}

#[derive(Debug)]
pub(super) struct Place {
    /// Where the next event begins.
    pub at: Coordinate,
    pub transaction: Option<Transaction>,
    /// By XA identifier.
    pub prepared: BTreeMap<String, Prepared>,
    /// Every transaction that has ended, except prepared ones with captured rows.
    gtids: Option<GtidSet>,
    /// The position that reading started from, until its transaction has ended.
    resume: Option<(Coordinate, u64)>,
    /// Events follow each other without gaps, and reading goes on by coordinate: true for files. A server leaves out
    /// transactions that the GTID set has, and goes on by that set.
    pub is_gapless: bool,
}

/// A header that is further ahead than this is behind.
const GAP_MAX: u32 = 1 << 31;

impl Place {
    pub(super) fn new(start: Position) -> Place {
        let resume = (start.events_done > 0).then(|| (start.coordinate.clone(), start.events_done));
        Place {
            at: start.coordinate,
            transaction: None,
            prepared: BTreeMap::new(),
            gtids: start.gtids,
            resume,
            is_gapless: false,
        }
    }

    /// Moves behind an event of `header`, and gives the coordinate at which it begins.
    pub(super) fn pass(&mut self, header: &Header) -> Result<Coordinate, Fault> {
        let end = self.at.offset + header.size as u64;
        // What a server makes up for a replica has no place in the file.
        if header.is_artificial() || (header.end_low32 == 0 && end as u32 != 0) {
            return Ok(self.at.clone());
        }
        let gap = header.end_low32.wrapping_sub(end as u32);
        let may_have_gap = !self.is_gapless && self.gtids.is_some() && self.transaction.is_none();
        if gap != 0 && !(may_have_gap && gap < GAP_MAX) {
            return Err(Fault::OutOfPlace { expected: end, found: header.end_low32 });
        }
        self.at.offset += gap as u64;
        let start = self.at.clone();
        self.at.offset += header.size as u64;
        Ok(start)
    }

    /// Goes on in another file, or says again where in this one.
    pub(super) fn enter(&mut self, file: &str, offset: u64) -> Result<(), Fault> {
        if *self.at.file == *file && self.at.offset == offset {
            return Ok(());
        }
        if self.transaction.is_some() {
            return Err(Fault::UnfinishedTransaction);
        }
        self.at = Coordinate::new(file, offset);
        Ok(())
    }

    /// The transaction that `start` belongs to; begins it if there is none.
    pub(super) fn transaction(&mut self, start: &Coordinate) -> &mut Transaction {
        self.transaction.get_or_insert_with(|| {
            let skip = match &self.resume {
                Some((resume, events_done)) if resume == start => *events_done,
                _ => 0,
            };
            Transaction {
                start: start.clone(),
                gtid: None,
                thread_id: 0,
                is_open: false,
                row_events: 0,
                skip,
                has_captured_rows: false,
                xid: None,
            }
        })
    }

    /// The transaction has ended: the position is behind it.
    pub(super) fn end_transaction(&mut self) {
        let Some(transaction) = self.transaction.take() else { return };
        self.executed(transaction.gtid.as_ref());
        if self.resume.as_ref().is_some_and(|(resume, _)| *resume <= transaction.start) {
            self.resume = None;
        }
    }

    /// The transaction is prepared under its XA identifier, with these rows.
    pub(super) fn prepare_transaction(&mut self, events: Vec<(Header, Vec<u8>)>) {
        let Some(transaction) = &self.transaction else { return };
        let (start, gtid, thread_id) = (transaction.start.clone(), transaction.gtid.clone(), transaction.thread_id);
        let xid = transaction.xid.clone();
        if events.is_empty() {
            self.end_transaction();
        } else {
            self.transaction = None;
        }
        self.prepared.insert(xid.unwrap_or_default(), Prepared { start, gtid, thread_id, events });
    }

    pub(super) fn executed(&mut self, gtid: Option<&Gtid>) {
        if let (Some(gtids), Some(gtid)) = (&mut self.gtids, gtid) {
            gtids.insert(gtid);
        }
    }

    /// From here on, nothing has been delivered.
    ///
    /// A prepared XA transaction with captured rows must be read again by whoever starts here. With GTIDs it is missing
    /// in the set, and the server sends it; without, the coordinate stays before it, and what follows is repeated.
    pub(super) fn position(&self) -> Position {
        let (mut coordinate, mut events_done) = match &self.transaction {
            Some(transaction) => (&transaction.start, transaction.row_events),
            None => (&self.at, 0),
        };
        if let Some((resume, done)) = &self.resume
            && coordinate <= resume
        {
            // The transaction that was half delivered is yet to come, or not yet past what was delivered.
            (coordinate, events_done) = (resume, events_done.max(*done));
        }
        let by_coordinate = self.is_gapless || self.gtids.is_none();
        let waiting = self.prepared.values().filter(|prepared| !prepared.events.is_empty());
        match waiting.map(|prepared| &prepared.start).min() {
            Some(oldest) if by_coordinate => {
                Position { coordinate: oldest.clone(), gtids: self.gtids.clone(), events_done: 0 }
            }
            _ => Position { coordinate: coordinate.clone(), gtids: self.gtids.clone(), events_done },
        }
    }
}
