//! Is the history of the server at hand still the one that a position is a point of?
//!
//! Behind an address there may be another server than yesterday, and the same server may have begun its history anew
//! (`RESET BINARY LOGS AND GTIDS`), been restored, or lost the end of its binlog in a crash. A dump says none of it: the names
//! of files, their offsets and the numbers of GTIDs come again, and whoever reads on reads in another history. So before each
//! dump, and again while one runs (see [`incremental`](super::incremental)), the server is asked:
//!
//! ```text
//!              the file of the position is …       and so
//! any          there, made when ours was           what stands before the position is what was read, if it reaches so far;
//!                                                  else its end is lost
//! no GTIDs     gone, with all that were before     purged
//!              otherwise gone, or another's now    another history
//! GTIDs        gone, or another's now              what was read must have been purged: ∅ ≠ gtid_purged ⊇ ours, else it is
//!                                                  another history
//!
//! GTIDs        ours ⊆ gtid_executed                else, if its own are missing: another history; else it is behind
//!              gtid_purged ⊆ ours                  else what is missing cannot be had here any more
//! no GTIDs     server_uuid is that of the server whose file it is
//! ```
//!
//! *Why a file tells.* A server makes a file once, writes it in one run and never again: each start begins a new one, also
//! after a crash, which can only cut the old one short. So a file of the same server, of the same name, made at the same time,
//! and at least as long as what was read of it, is the same file with the same bytes. That time is the one of its first event,
//! in seconds: two files of one name that a server makes within one second are taken for one.
//!
//! *With GTIDs a file may be gone.* All that was read from a server stands in the file of the position or before it, and a
//! server purges from the oldest file on. So if the file is gone, all that was read is purged; since what is purged must have
//! been read, too, both are the same set. In another history that would be a coincidence, unless somebody has said so by
//! setting `gtid_purged` after a RESET; then it is true. A position that was read from another server says nothing of this
//! one's files: after a failover, and back again, only GTIDs count.
//!
//! *Whose GTIDs are missing.* A server numbers its own transactions, and has them: one that lacks some has lost them, and will
//! give their numbers to others. It is never behind, not even as a replica that is given its own back. Between the binlog and
//! the commit a transaction is not yet executed and has been sent already; then it is in `gtid_owned`. Those of other servers
//! may come by replication.
//!
//! *MariaDB* has no UUIDs, so its `server_id` names a server, as in its GTIDs. It has no set of what is purged: that is what
//! the oldest file says was before it.

use super::connection::{executed_statement, quote_text, server_name_statement, session_of};
use super::dump_error::DumpError;
use super::wire::{ConnectOptions, Connection, TextResult};
use crate::MysqlError;
use tidegate_model::position::file_number;
use tidegate_model::words::time_text;
use tidegate_model::{BinlogFile, Coordinate, GtidSet, Position};

/// A server as it is now.
pub(super) struct Server<'a> {
    connection: &'a mut Connection,
    connect: &'a ConnectOptions,
    pub(super) uuid: String,
    /// For a position with GTIDs.
    gtids: Option<Gtids>,
}

struct Gtids {
    /// In the binlog, and not yet executed.
    owned: GtidSet,
    executed: GtidSet,
}

impl<'a> Server<'a> {
    /// Asks on the connection; others go to `connect`. `server_uuid` is that of the server whose files positions without GTIDs
    /// name, empty if it has none.
    pub(super) fn ask(
        connection: &'a mut Connection,
        connect: &'a ConnectOptions,
        server_uuid: &str,
        position: &Position,
    ) -> Result<Server<'a>, MysqlError> {
        if position.gtids.is_none() {
            let uuid = if server_uuid.is_empty() { String::new() } else { uuid_of(connection)? };
            if uuid != server_uuid {
                let (at, expected) = (position.coordinate.clone(), server_uuid.to_owned());
                return Err(DumpError::OtherServer { at, expected, found: uuid }.into());
            }
            return Ok(Server { connection, connect, uuid, gtids: None });
        }
        // Owned before executed: a transaction goes from one to the other. On MariaDB, what counts is what stands in the binlog.
        let is_mariadb = connection.is_mariadb();
        let owned = if is_mariadb { "SELECT ''" } else { "SELECT @@GLOBAL.gtid_owned" };
        let name = server_name_statement(is_mariadb);
        let executed = executed_statement(is_mariadb);
        // A replica has executed what it was begun with, too; but only what it logs can it send.
        let replicated = match is_mariadb {
            true => "SELECT IF(@@GLOBAL.log_slave_updates, @@GLOBAL.gtid_slave_pos, '')",
            false => "SELECT ''",
        };
        let results = connection.query(&format!("{name}; {owned}; {executed}; {replicated}"))?;
        let mut values = results.iter().map(|result| result.scalar().unwrap_or_default());
        let mut next = || values.next().unwrap_or_default();
        let uuid = next().to_owned();
        let set = |text: &str| text.parse::<GtidSet>().map_err(MysqlError::Gtids);
        let owned = set(&without_threads(next()))?;
        let mut executed = set(next())?;
        executed.extend(&set(next())?);
        let gtids = Gtids { owned, executed };
        Ok(Server { connection, connect, uuid, gtids: Some(gtids) })
    }

    /// Refuses a server on which `position` means nothing, or that cannot go on from there. Gives its UUID.
    pub(super) fn check(mut self, position: &Position) -> Result<String, MysqlError> {
        self.check_files(position)?;
        self.check_gtids(position)?;
        Ok(self.uuid)
    }

    /// Refuses a server whose files are not those that the position was read from.
    pub(super) fn check_files(&mut self, position: &Position) -> Result<(), MysqlError> {
        let file = position.file.as_ref().filter(|file| *file.server == *self.uuid);
        if file.is_none() && self.gtids.is_some() {
            return Ok(());
        }
        let at = &position.coordinate;
        let files = binlog_files(&self.connection.query("SHOW BINARY LOGS")?);
        if size_of(&files, &at.file).is_none() {
            let names = files.first().zip(files.last());
            let range = names.map_or("none".to_owned(), |((first, _), (last, _))| format!("{first} to {last}"));
            let is_behind = |(name, _): &(String, u64)| file_number(name) > at.file_number();
            let is_purged = !files.is_empty() && files.iter().all(is_behind);
            return self.without_file(position, format!("its binlog files are {range}"), is_purged);
        }
        if let Some(file) = file {
            let now = binlog_file(self.connect, &self.uuid, at)?;
            if now.made_s != file.made_s {
                let (was, is) = (time_text(file.made_s), time_text(now.made_s));
                let reason = format!("its {} was made at {is}, and the one that was read at {was}", at.file);
                return self.without_file(position, reason, false);
            }
        }
        match missing_end(&files, position, self.gtids.is_some()) {
            Some(reason) => Err(DumpError::PastEnd { at: at.clone(), reason }.into()),
            None => Ok(()),
        }
    }

    /// What it has purged. Asked for where it counts: behind a look at the files, or one that was purged in between would be
    /// gone and not purged.
    fn purged(&mut self) -> Result<GtidSet, MysqlError> {
        let results = if self.connection.is_mariadb() {
            let files = binlog_files(&self.connection.query("SHOW BINARY LOGS")?);
            let oldest = files.first().map(|(name, _)| quote_text(name)).unwrap_or_default();
            self.connection.query(&format!("SELECT BINLOG_GTID_POS({oldest}, 4)"))?
        } else {
            self.connection.query("SELECT @@GLOBAL.gtid_purged")?
        };
        results.first().and_then(TextResult::scalar).unwrap_or_default().parse().map_err(MysqlError::Gtids)
    }

    /// The server does not have the file of the position any more.
    fn without_file(&mut self, position: &Position, reason: String, is_purged: bool) -> Result<(), MysqlError> {
        let at = position.coordinate.clone();
        let Some(ours) = &position.gtids else {
            return Err(match is_purged {
                true => DumpError::Gone { at, reason },
                false => DumpError::OtherHistory { at, reason },
            }
            .into());
        };
        let purged = self.purged()?;
        let unpurged = ours.without(&purged);
        // Where nothing was read and nothing is purged, what followed the position may have gone with its file.
        if unpurged.is_empty() && !purged.is_empty() {
            return Ok(());
        }
        let reason = match ours.is_empty() {
            true => format!("{reason}; so something must be purged, and nothing is"),
            false => format!("{reason}; so all that was read must be purged, and {} is not", unpurged.in_line()),
        };
        Err(DumpError::OtherHistory { at, reason }.into())
    }

    /// Refuses a server that does not have what was read, or not any more what comes next.
    fn check_gtids(&mut self, position: &Position) -> Result<(), MysqlError> {
        let (Some(ours), Some(gtids)) = (&position.gtids, &self.gtids) else { return Ok(()) };
        let at = position.coordinate.clone();
        let lacking = ours.without(&gtids.executed);
        let lost = lacking.without(&gtids.owned).numbered_by(&self.uuid);
        if !lost.is_empty() {
            let reason = format!("{} does not have {}, which it has numbered itself", self.uuid, lost.in_line());
            return Err(DumpError::OtherHistory { at, reason }.into());
        }
        if !lacking.is_empty() {
            let reason = format!("{} has not executed {}", self.uuid, lacking.in_line());
            return Err(DumpError::Behind { at, reason }.into());
        }
        let purged = self.purged()?.without(ours);
        if !purged.is_empty() {
            let reason = format!("{} has purged {}", self.uuid, purged.in_line());
            return Err(DumpError::Gone { at, reason }.into());
        }
        Ok(())
    }
}

/// Refuses a server on which `position` means nothing, or that cannot go on from there. `server_uuid` as for a dump: that of the server whose
/// files positions without GTIDs name.
pub fn check(connect: &ConnectOptions, server_uuid: &str, position: &Position) -> Result<(), MysqlError> {
    let mut connection = session_of(connect)?;
    Server::ask(&mut connection, connect, server_uuid, position)?.check(position)?;
    Ok(())
}

/// Which file `at` is in, on the server of this UUID.
pub fn binlog_file(connect: &ConnectOptions, uuid: &str, at: &Coordinate) -> Result<BinlogFile, MysqlError> {
    let mut connection = session_of(connect)?;
    let found = if uuid.is_empty() { String::new() } else { uuid_of(&mut connection)? };
    if found != uuid {
        return Err(DumpError::Spread { at: at.clone(), expected: uuid.to_owned(), found }.into());
    }
    // Under no server id.
    let made_s = connection.binlog_file_made_s(&at.file).map_err(|error| match DumpError::of(error, at, 0) {
        Ok(error) => MysqlError::Dump(error),
        Err(error) => MysqlError::Wire(error),
    })?;
    Ok(BinlogFile { server: uuid.into(), made_s })
}

fn uuid_of(connection: &mut Connection) -> Result<String, MysqlError> {
    let results = connection.query(server_name_statement(connection.is_mariadb()))?;
    Ok(results.first().and_then(TextResult::scalar).unwrap_or_default().to_owned())
}

/// Name and size of each, as the server lists them.
pub(crate) fn binlog_files(results: &[TextResult]) -> Vec<(String, u64)> {
    let text = |value: Option<&Option<Vec<u8>>>| String::from_utf8(value?.clone()?).ok();
    let rows = results.iter().flat_map(|result| &result.rows);
    rows.filter_map(|row| Some((text(row.first())?, text(row.get(1))?.parse().ok()?))).collect()
}

pub(crate) fn size_of(files: &[(String, u64)], name: &str) -> Option<u64> {
    files.iter().find(|(known, _)| known == name).map(|(_, size)| *size)
}

/// What of the binlog has been read and is not there, if the file of the position is.
fn missing_end(files: &[(String, u64)], position: &Position, has_gtids: bool) -> Option<String> {
    let at = &position.coordinate;
    let delivered = position.delivered.as_ref();
    // With GTIDs, a place further on may be one of another server.
    let delivered = delivered.filter(|delivered| !has_gtids || delivered.until == *at);
    let until = delivered.map(|delivered| (&delivered.until, delivered.events > 0));
    [Some((at, false)), until].into_iter().flatten().find_map(|(place, is_further)| {
        match size_of(files, &place.file) {
            None => Some(format!("there is no {}", place.file)),
            // Row events behind the place have been read.
            Some(size) if size < place.offset || (is_further && size == place.offset) => {
                Some(format!("{} has {size} bytes", place.file))
            }
            Some(_) => None,
        }
    })
}

/// `uuid:23#7:24#8,…` names the threads that own the transactions.
fn without_threads(owned: &str) -> String {
    let mut is_thread = false;
    let keep = |c: &char| {
        is_thread = *c == '#' || (is_thread && c.is_ascii_digit());
        !is_thread
    };
    owned.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::Delivered;

    #[test]
    fn owned_transactions_are_read_without_their_threads() {
        assert_eq!(without_threads(""), "");
        let owned =
            "3e11fa47-71ca-11e1-9e33-c80aa9429562:23#7:24#18,\n4e11fa47-71ca-11e1-9e33-c80aa9429562:nightly:1#9";
        let set: GtidSet = without_threads(owned).parse().unwrap();
        let expected = "3e11fa47-71ca-11e1-9e33-c80aa9429562:23-24,4e11fa47-71ca-11e1-9e33-c80aa9429562:nightly:1";
        assert_eq!(set.to_string(), expected);
    }

    /// Files 2 and 3, of 1000 and 500 bytes.
    #[test]
    fn what_was_read_must_still_be_there() {
        let files = [("b.000002".to_owned(), 1000), ("b.000003".to_owned(), 500)];
        let missing = |offset, until: Option<(&str, u64, u64)>, has_gtids| {
            let until = until.map(|(file, offset, events)| Delivered {
                until: Coordinate::new(file, offset),
                gtid: None,
                events,
                gtids: None,
            });
            let position = Position::new(Coordinate::new("b.000002", offset), None);
            missing_end(&files, &Position { delivered: until, ..position }, has_gtids)
        };
        assert_eq!(missing(1000, None, false), None);
        assert_eq!(missing(1001, None, false).unwrap(), "b.000002 has 1000 bytes");
        // In the middle of a transaction that is not there any more.
        assert_eq!(missing(1000, Some(("b.000002", 1000, 0)), true), None);
        assert_eq!(missing(1000, Some(("b.000002", 1000, 3)), true).unwrap(), "b.000002 has 1000 bytes");
        // Behind rows that wait for an XA COMMIT.
        assert_eq!(missing(4, Some(("b.000003", 500, 0)), false), None);
        assert_eq!(missing(4, Some(("b.000003", 501, 0)), false).unwrap(), "b.000003 has 500 bytes");
        assert_eq!(missing(4, Some(("b.000004", 4, 0)), false).unwrap(), "there is no b.000004");
        // The other server's.
        assert_eq!(missing(4, Some(("other.000009", 4, 2)), true), None);
    }
}
