//! What do statements say that are ahead of the position, and in what the catalogue has shown already?
//!
//! Without names in table maps, rows are read by what the catalogue showed when the task began, and reading begins before that: where
//! no better place is certain, at the start of a file ([`snapshot`](super::snapshot)). A statement in between has changed columns, or may have:
//!
//! ```text
//! binlog  ──P0─── rows ─── ALTER TABLE t ─── rows ───┬────────────────────►
//!                  │             │               catalogue, views
//!                  │             └ the catalogue shows what it has left
//!                  └ by columns that nobody has seen
//! ```
//!
//! *Rows that cannot be understood.* If one of those rows is to leave, reading stops before it: columns that are right by chance are not told
//! from wrong ones ([`History::with_overtaken`]).
//!
//! *Rows that need not be understood.* What the full load has read behind the statement leaves nothing behind that is not in the load. Such
//! a statement takes the table for itself: it begins when every transaction
//! that has changed the table is over, in the engine too, and a session has its change in the binlog before it lets go of the table. So what
//! stands before it in the binlog was committed when it took effect; and a view that was opened behind it shows all of it. If *every* view
//! was, also those of attempts that failed and of another server, the statement is a `low` for the whole table: no change from before it
//! leaves, and nobody asks what its columns were.
//!
//! *Which statements.* Not every one that is logged has waited: one that changes nothing need not ([`excludes`](super::ddl::Words::excludes)). A wrong
//! one loses rows: those that are in the binlog and not yet in the engine while the load's views open.
//!
//! *When.* For each key there is one point up to which its changes are dropped. So this is decided once, for good, before the first change
//! behind the load leaves: the binlog is read for its statements alone, from there to where the catalogue has been, and what is found is on disk
//! before reading begins; also that there was nothing. An XA transaction counts where it is committed. That its rows were read by columns of
//! a later time stops reading at the statement all the same.
//!
//! That is at most as much as the catalogue is ahead of the position, a file at most where a load begins. Rows whose table maps have names need
//! nobody; whether those do that are ahead, no variable tells.
//! What cannot be understood is found anew on each connection. Where statements are forwarded nothing is passed over: whoever carries out one from before has no use for rows that were read behind it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};

use tracing::info;

use super::binlog::{BinlogDecoder, Fault, Flow, MarkOptions, Schemas, TableMap, WindowOptions};
use super::connection::session_of;
use super::ddl::Words;
use super::definition::Session;
use super::history::{Here, History, Overtaken};
use super::incremental::{Follower, STOP_INTERVAL, binlog_end};
use super::ledger::Ledger;
use super::wire::Packet;
use crate::MysqlError;
use tidegate_model::{Coordinate, Gtid, Position, Statement, Table, TableName, Watermark};

/// Between two looks at whether reading ahead has come far enough: sets of GTIDs are compared.
const EVENTS_PER_LOOK: u64 = 256;

/// By table, a statement and what lies before it.
type LastStatements = HashMap<TableName, (Coordinate, Watermark)>;

#[derive(Default)]
struct Found {
    /// The last statement that each of the tables was had for by itself, in front of all its rows.
    excluded: LastStatements,
    overtaken: Overtaken,
}

impl Follower<'_> {
    /// Reads on for statements alone, to where the catalogue has been, and gives back a history that knows of them; before the first change
    /// behind a load leaves, what they say of the load enters the ledger. None if that was given up for a pause or a stop.
    pub(crate) fn look_ahead(
        &mut self,
        position: &Position,
        history: &impl Fn(&Position) -> History,
    ) -> Result<Option<History>, MysqlError> {
        let tables =
            self.ledger.iter().flat_map(|ledger| ledger.tables().iter().map(move |table| (ledger, &table.name)));
        let fresh: BTreeSet<TableName> =
            tables.filter(|(ledger, name)| ledger.is_fresh(name)).map(|(_, name)| name.clone()).collect();
        let of_rows = history(position);
        let until = of_rows.foreseen_until();
        let found = match until.is_empty() {
            true => Found::default(),
            false => match self.find_ahead(position, history(position), &until, &fresh)? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        if !fresh.is_empty() {
            self.enter_shown(position, fresh, found.excluded)?;
        }
        Ok(Some(of_rows.with_overtaken(found.overtaken)))
    }

    /// Enters what these statements say of a load.
    fn enter_shown(
        &mut self,
        position: &Position,
        fresh: BTreeSet<TableName>,
        mut found: LastStatements,
    ) -> Result<(), MysqlError> {
        for (table, (statement, until)) in &found {
            info!(table = %table, statement = %statement, until = %until, "what lies before it is in the full load, whatever the columns were then");
        }
        // Also that there is nothing: what has been found must not be another thing once changes have left.
        let start = match &position.gtids {
            Some(gtids) => Watermark::Gtids(gtids.clone()),
            None => Watermark::Coordinate(position.coordinate.clone()),
        };
        let until = |table: TableName| {
            let until = found.remove(&table).map_or_else(|| start.clone(), |(_, until)| until);
            (table, until)
        };
        let shown: Vec<(TableName, Watermark)> = fresh.into_iter().map(until).collect();
        (self.shown)(&shown).map_err(MysqlError::Record)?;
        if let Some(ledger) = &mut self.ledger {
            shown.into_iter().for_each(|(table, until)| ledger.show_before(&table, until));
        }
        Ok(())
    }

    /// Reads on up to `until`; of `fresh` tables, also for what the load lies behind. None if it was given up.
    fn find_ahead(
        &self,
        position: &Position,
        history: History,
        until: &[Watermark],
        fresh: &BTreeSet<TableName>,
    ) -> Result<Option<Found>, MysqlError> {
        let mut found = Found::default();
        info!(position = %position.place(), "looking ahead for statements that the catalogue has shown already");
        let (found_in, statements) = mpsc::channel();
        let windows = WindowOptions { marks: MarkOptions::default(), ..self.windows };
        let mut decoder = self.decoder(position, LookAhead { history, found: found_in }, windows);
        let mut packets = self.connect(position, &mut decoder)?;
        let end = binlog_end(&mut session_of(self.connect)?)?;
        let mut events_read = 0_u64;
        loop {
            if self.stop.is_stopped() || self.stop.is_paused() {
                return Ok(None);
            }
            let packet = packets.next(STOP_INTERVAL).map_err(|error| self.dump_error(error, decoder.coordinate()))?;
            let mut is_due = true;
            if let Packet::Event(event) = packet {
                let mut fed = decoder.feed(event);
                while let Ok(Flow::WindowFull) = fed {
                    fed = decoder.take_window().and_then(|_| decoder.resume(event));
                }
                // Whoever reads this for its rows stops here, and says why.
                if fed.is_err() {
                    break;
                }
                for Ahead { statement, at, gtid, overtaken, excluded } in statements.try_iter() {
                    for key in overtaken {
                        found.overtaken.entry(key).or_default().push_back((at.clone(), statement.clone()));
                    }
                    for table in excluded {
                        let is_before = |ledger: &Ledger| ledger.is_before_rows(&table, gtid.as_ref(), &at);
                        if self.passes_over && fresh.contains(&table) && self.ledger.as_ref().is_some_and(is_before) {
                            let until = behind(&decoder, gtid.as_ref());
                            found.excluded.insert(table, (at.clone(), until));
                        }
                    }
                }
                events_read += 1;
                is_due = events_read.is_multiple_of(EVENTS_PER_LOOK);
            }
            // At the end nothing more is there: also where the catalogue was asked on another server.
            if is_due && (until.iter().all(|until| decoder.has_read(until)) || *decoder.coordinate() >= end) {
                break;
            }
        }
        Ok(Some(found))
    }
}

/// Everything before what the decoder has just read, and that.
fn behind(decoder: &BinlogDecoder, gtid: Option<&Gtid>) -> Watermark {
    match decoder.position().gtids {
        Some(mut gtids) => {
            gtid.into_iter().for_each(|gtid| gtids.insert(gtid));
            Watermark::Gtids(gtids)
        }
        None => Watermark::Coordinate(decoder.coordinate().clone()),
    }
}

/// A statement that is ahead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ahead {
    /// Its first words.
    pub(crate) statement: String,
    pub(crate) at: Coordinate,
    pub(crate) gtid: Option<Gtid>,
    /// The captured tables that it may have given other columns, by [`NameCase::key`](tidegate_model::NameCase::key).
    pub(crate) overtaken: Vec<TableName>,
    /// Those that it has had for itself.
    pub(crate) excluded: Vec<TableName>,
}

/// Has a decoder pass over all rows, and tells of statements.
pub(crate) struct LookAhead {
    pub(crate) history: History,
    pub(crate) found: Sender<Ahead>,
}

impl Schemas for LookAhead {
    fn table(&mut self, _: &TableMap<'_>, _: Here<'_>) -> Result<Option<Arc<Table>>, Fault> {
        Ok(None)
    }

    fn statement(
        &mut self,
        default_database: &str,
        sql: &str,
        session: &Session,
        here: Here<'_>,
    ) -> Result<Option<Statement>, Fault> {
        let words = Words::of(sql, default_database, session);
        let (overtaken, excluded) = (self.history.overtaken_by(&words, here), self.history.excluded(&words, here));
        if !overtaken.is_empty() || !excluded.is_empty() {
            let (at, gtid) = (here.at.clone(), here.gtid.cloned());
            // Nobody may want to hear of it any more.
            _ = self.found.send(Ahead { statement: words.first(), at, gtid, overtaken, excluded });
        }
        Ok(None)
    }
}
