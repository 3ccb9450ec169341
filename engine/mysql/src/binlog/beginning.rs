//! Where a transaction begins, before the event is fed: for whoever ends before it.

use super::*;

/// The first event of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    pub gtid: Option<Gtid>,
    /// When it was committed, in seconds since 1970, as far as its first event knows: see [`event::commit_time_us`].
    pub committed_s: u64,
}

impl BinlogDecoder {
    /// What the event begins, if it is fed next and begins a transaction. One that is damaged begins nothing: feeding it says why.
    pub fn beginning(&self, event: &[u8]) -> Option<Beginning> {
        let header = Header::parse(event).ok()?;
        let checksum = if self.format.as_ref().is_some_and(|format| format.checksums) { 4 } else { 0 };
        let body = event.get(Header::LENGTH..event.len().checked_sub(checksum)?)?;
        let gtid = match header.kind {
            kind::GTID => Some(parse_gtid(body).ok()?),
            kind::GTID_TAGGED => Some(parse_tagged_gtid(body).ok()?),
            kind::MARIADB_GTID => Some(mariadb::parse_gtid(header.server_id, body).ok()?.gtid),
            kind::ANONYMOUS_GTID => None,
            // Servers without GTIDs begin with BEGIN, or with the only statement.
            kind::QUERY | kind::EXECUTE_LOAD_QUERY if self.place.transaction.is_none() => None,
            _ => return None,
        };
        Some(Beginning { gtid, committed_s: event::commit_time_us(&header, body) / 1_000_000 })
    }
}
