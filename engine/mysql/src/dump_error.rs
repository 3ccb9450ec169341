//! Why a server does not go on with the binlog from where the task stands.
//!
//! A server says nearly all of it under one number, 1236, as the first packet of a dump or later, and tells the reasons apart by
//! text only. The texts stand in its source and are not translated; MySQL up to 8.0.25 says master and slave in them.

use tidegate_model::Coordinate;

use super::wire::WireError;

/// ER_SOURCE_FATAL_ERROR_READING_BINLOG.
const READING_BINLOG: u16 = 1236;
/// EE_FILENOTFOUND: what MariaDB says in the midst of a dump of a file that its index names and that is not there.
const FILE_NOT_FOUND: u16 = 29;

#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    #[error("the changes after {at} are no longer on the server: {reason}")]
    Gone { at: Coordinate, reason: String },
    #[error("another run reads the binlog under server_id {server_id}, and the server ended this one's dump at {at}")]
    ServerIdTaken { at: Coordinate, server_id: u32 },
    #[error("the server's binlog ends before {at}, which this task has reached: {reason}")]
    PastEnd { at: Coordinate, reason: String },
    #[error("the server's history is no longer the one that this task has read until {at}: {reason}")]
    OtherHistory { at: Coordinate, reason: String },
    #[error("the server lacks transactions that this task has read before {at}: {reason}")]
    Behind { at: Coordinate, reason: String },
    /// Behind the address there are several, and they have to be asked about one.
    #[error("position {at} cannot be checked: one connection reaches server {expected}, the next one server {found}")]
    Spread { at: Coordinate, expected: String, found: String },
    #[error("position {at} is one of server {expected}, and this is server {found}")]
    OtherServer { at: Coordinate, expected: String, found: String },
    #[error("the server cannot read its own binlog at {at}: {error}")]
    Unreadable { at: Coordinate, error: WireError },
    /// The server began to write checksums after the dump had begun: the next dump is told so when it begins.
    #[error("the server changed binlog_checksum at {at}: {error}")]
    ChecksumsChanged { at: Coordinate, error: WireError },
    #[error("transactions without GTIDs stand in the server's binlog behind {at}: {reason}")]
    Anonymous { at: Coordinate, reason: String },
    #[error("the server's gtid_mode is not ON any more, and {at} is a position by GTIDs: {reason}")]
    GtidsOff { at: Coordinate, reason: String },
    #[error("the server does not go on with the binlog at {at}: {error}")]
    Refused { at: Coordinate, error: WireError },
}

impl DumpError {
    /// What an error of a dump means that had come to `at`; gives back what is not about the binlog.
    pub fn of(error: WireError, at: &Coordinate, server_id: u32) -> Result<DumpError, WireError> {
        let message = match &error {
            WireError::Server { code: READING_BINLOG, message, .. } => message,
            WireError::Server { code: FILE_NOT_FOUND, message, .. } => {
                return Ok(DumpError::Gone { at: at.clone(), reason: message.clone() });
            }
            _ => return Err(error),
        };
        let text = message.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let (at, reason) = (at.clone(), message.clone());
        Ok(match () {
            // First, because this one also talks of purged binlogs.
            () if says(&["has more gtids than", "is not in the master's binlog", "missing the gtid"]) => {
                DumpError::OtherHistory { at, reason }
            }
            () if says(&["purged", "could not find first log", "could not find next log", "could not open log"]) => {
                DumpError::Gone { at, reason }
            }
            () if says(&["same server_uuid/server_id", "same server_id"]) => DumpError::ServerIdTaken { at, server_id },
            () if says(&["position > file size", "impossible position"]) => DumpError::PastEnd { at, reason },
            () if says(&["cannot replicate anonymous transaction"]) => DumpError::Anonymous { at, reason },
            () if says(&["in auto_position mode: this server has gtid_mode"]) => DumpError::GtidsOff { at, reason },
            () if says(&["can not handle replication events with the checksum"]) => {
                DumpError::ChecksumsChanged { at, error }
            }
            () if says(&[
                "truncated",
                "bogus data",
                "checksum",
                "crc check",
                "corrupt",
                "i/o error",
                "max_allowed_packet",
            ]) =>
            {
                DumpError::Unreadable { at, error }
            }
            () => DumpError::Refused { at, error },
        })
    }

    /// Whether the same request may succeed later without anybody changing anything.
    pub fn may_pass(&self) -> bool {
        matches!(self, DumpError::Behind { .. } | DumpError::Spread { .. } | DumpError::ChecksumsChanged { .. })
    }

    /// Whether a server says so that has begun its history anew.
    pub fn is_about_files(&self) -> bool {
        use DumpError::{Anonymous, Gone, PastEnd, Refused, Unreadable};
        matches!(self, Gone { .. } | PastEnd { .. } | Unreadable { .. } | Anonymous { .. } | Refused { .. })
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            DumpError::Gone { .. } => {
                "begin again with a full load (move the state folder away), and let the server keep its binlog longer \
                 (binlog_expire_logs_seconds, before 8.0 expire_logs_days)"
            }
            DumpError::ServerIdTaken { .. } => {
                "end one of the two runs if both are of this task, since both send every change; otherwise give one of them a \
                 server_id of its own"
            }
            DumpError::PastEnd { .. } => {
                "the binlog was reset, or its end was lost in a crash (sync_binlog = 1 prevents that); what the task has sent \
                 may differ from what the server has now: begin again with a full load (move the state folder away and \
                 delete the topics)"
            }
            DumpError::OtherHistory { .. } => {
                "RESET BINARY LOGS AND GTIDS (RESET MASTER), a restored backup, or a crash that took the end of the binlog \
                 (sync_binlog = 1 prevents that) begin another history, of which changes may be missing that nothing tells: \
                 begin again with a full load (move the state folder away and delete the topics); with GTIDs, the task can \
                 also go on at another server that has what it has read"
            }
            DumpError::Behind { .. } => {
                "if this is a replica that will catch up, start the task again then, or let it wait \
                 longer; if it will never have them, what the task has sent differs from what the server has: begin \
                 again with a full load (move the state folder away and delete the topics)"
            }
            DumpError::Spread { .. } => "connect to one server, or to a proxy that keeps a client's connections on one",
            DumpError::OtherServer { .. } => {
                "without GTIDs a binlog file and an offset mean something on one server only: connect to that one, or begin \
                 again with a full load (move the state folder away)"
            }
            DumpError::Unreadable { error, .. } if error.to_string().contains("max_allowed_packet") => {
                "raise max_allowed_packet on the server"
            }
            DumpError::Unreadable { .. } => {
                "look at the file with mysqlbinlog --verify-binlog-checksum, and at the server's log and disk; if it cannot be \
                 restored, begin again with a full load (move the state folder away)"
            }
            DumpError::ChecksumsChanged { .. } => "start the task again",
            DumpError::Anonymous { .. } => {
                "gtid_mode was not ON for a time, and by GTIDs a server does not send what was written then: begin again with a full load \
                 (move the state folder away), or go on at a server that has no such transactions behind the position"
            }
            DumpError::GtidsOff { .. } => {
                "set gtid_mode back to ON: the task goes on from there, if no transactions without GTIDs stand behind it; otherwise begin \
                 again with a full load (move the state folder away)"
            }
            DumpError::Refused { .. } => {
                "look into the server's log; the task goes on from there when it is started again"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: u16, message: &str) -> Result<DumpError, WireError> {
        let error = WireError::Server { code, state: "HY000".to_owned(), message: message.to_owned() };
        DumpError::of(error, &Coordinate::new("binlog.000007", 1234), 4001)
    }

    /// Words of MySQL 5.7, 9.7 and MariaDB.
    #[test]
    fn a_reason_is_told_apart_by_its_text() {
        for (message, means) in [
            (
                "Cannot replicate because the source purged required binary logs. Replicate the missing transactions …",
                "are no longer on the server",
            ),
            (
                "The slave is connecting using CHANGE MASTER TO MASTER_AUTO_POSITION = 1, but the master has purged binary \
                 logs containing GTIDs that the slave requires.",
                "are no longer on the server",
            ),
            ("Could not find first log file name in binary log index file", "are no longer on the server"),
            ("could not find next log; the first event 'binlog.000001' at 4, …", "are no longer on the server"),
            (
                "A replica with the same server_uuid/server_id as this replica has connected to the source; the first event \
                 '' at 4, …",
                "under server_id 4001, and the server ended this one's dump",
            ),
            (
                "A slave with the same server_uuid/server_id as this slave has connected to the master",
                "under server_id 4001",
            ),
            ("Client requested source to start replication from position > file size", "ends before"),
            ("Client requested master to start replication from impossible position", "ends before"),
            (
                "Replica has more GTIDs than the source has, using the source's SERVER_UUID. This may indicate that the the \
                 last binary log file was truncated or lost, e.g., after a power failure when sync_binlog != 1. …",
                "history is no longer the one",
            ),
            (
                "Error: connecting slave requested to start from GTID 0-4-100, which is not in the master's binlog. Since the \
                 master's binlog contains GTIDs with higher sequence numbers, it probably means that the slave has diverged …",
                "history is no longer the one",
            ),
            (
                "The binlog on the master is missing the GTID 0-4-7 requested by the slave (even though both a prior and a \
                 subsequent sequence number does exist), and GTID strict mode is enabled.",
                "history is no longer the one",
            ),
            (
                "Could not find GTID state requested by slave in any binlog files. Probably the slave state is too old and \
                 required binlog files have been purged.",
                "are no longer on the server",
            ),
            (
                "binlog truncated in the middle of event; consider out of disk space on source; the first event …",
                "cannot read its own",
            ),
            ("bogus data in log event; the first event 'binlog.000001' at 50, …", "cannot read its own"),
            ("event read from binlog did not pass crc check; the first event …", "cannot read its own"),
            (
                "log event entry exceeded max_allowed_packet; Increase max_allowed_packet on source",
                "cannot read its own",
            ),
            (
                "Replica can not handle replication events with the checksum that source is configured to log; …",
                "changed binlog_checksum",
            ),
            (
                "Cannot replicate anonymous transaction when AUTO_POSITION = 1, at file ./binlog.000003, position 4711.; the first \
                 event '' at 4, …",
                "transactions without GTIDs stand in the server's binlog behind",
            ),
            (
                "The replication sender thread cannot start in AUTO_POSITION mode: this server has GTID_MODE = OFF instead of ON.",
                "gtid_mode is not ON any more",
            ),
            ("Misconfigured source - server_id was not set", "does not go on with the binlog"),
        ] {
            let error = of(READING_BINLOG, message).unwrap().to_string();
            assert!(error.contains(means) && error.contains("binlog.000007:1234"), "{message}\n{error}");
        }
        let lost =
            of(FILE_NOT_FOUND, "File './binlog.000002' not found (Errcode: 2 \"No such file or directory\")").unwrap();
        assert!(lost.to_string().contains("are no longer on the server"), "{lost}");
        assert!(matches!(of(1053, "Server shutdown in progress"), Err(WireError::Server { .. })));
        let anonymous = of(READING_BINLOG, "Cannot replicate anonymous transaction when AUTO_POSITION = 1").unwrap();
        assert!(!anonymous.may_pass() && !anonymous.hint().contains("started again"), "{}", anonymous.hint());
    }
}
