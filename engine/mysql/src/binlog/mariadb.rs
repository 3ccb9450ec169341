//! MariaDB's own events.
//!
//! ```text
//! GTID         number 8 │ domain 4 │ flags 1 │ commit id 8, if flags & 2
//!              │ if flags & 0xc0: XA identifier: format 4, two lengths 1, bytes
//!              │ more flags 1 │ engines 1, if & 1 │ number of the START ALTER 8, if & 0xc │ thread 4, if & 0x10
//! compressed   as the event that it stands for, up to the text or the rows: 0x80 | bytes of the length │ length, big endian │ zlib
//! ```
//!
//! A GTID event begins every group of events. No BEGIN follows: unless the group is a single statement, it lasts until XID, COMMIT,
//! ROLLBACK or XA PREPARE.

use std::fmt::Write;

use flate2::{Decompress, FlushDecompress, Status};

use super::error::Fault;
use super::event::{FormatDescription, Input, RowsEvent, Short, kind};
use tidegate_model::Gtid;
use tidegate_model::position::GtidSource;

/// How a group begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupStart {
    pub gtid: Gtid,
    /// One statement, and no end is marked.
    pub is_standalone: bool,
    /// The group is prepared under this identifier.
    pub prepares: Option<String>,
    /// Its statement has not been carried out: it is an ALTER TABLE that begins (`binlog_alter_two_phase`) or has failed.
    pub is_without_effect: bool,
    pub thread_id: u32,
}

const STANDALONE: u8 = 0x01;
const GROUP_COMMIT_ID: u8 = 0x02;
const PREPARED_XA: u8 = 0x40;
const COMPLETED_XA: u8 = 0x80;

const MULTI_ENGINE: u8 = 0x01;
const START_ALTER: u8 = 0x02;
const COMMIT_ALTER: u8 = 0x04;
const ROLLBACK_ALTER: u8 = 0x08;
const THREAD_ID: u8 = 0x10;

pub(super) fn parse_gtid(server: u32, body: &[u8]) -> Result<GroupStart, Fault> {
    let mut input = Input::new(body);
    let (number, domain, flags) = (input.u64()?, input.u32()?, input.u8()?);
    if number == 0 {
        return Err(Fault::Damaged("its GTID is out of range"));
    }
    if flags & GROUP_COMMIT_ID != 0 {
        input.u64()?;
    }
    let mut xid = None;
    if flags & (PREPARED_XA | COMPLETED_XA) != 0 {
        let format = input.u32()?;
        let (first, second) = (input.u8()?, input.u8()?);
        xid = Some(xid_text(input.take(first as usize)?, input.take(second as usize)?, format));
    }
    // Behind the flags, older servers have zeros or nothing.
    let more = if input.is_empty() { 0 } else { input.u8()? };
    if more & MULTI_ENGINE != 0 {
        input.u8()?;
    }
    if more & (COMMIT_ALTER | ROLLBACK_ALTER) != 0 {
        input.u64()?;
    }
    let thread_id = if more & THREAD_ID != 0 { input.u32()? } else { 0 };
    Ok(GroupStart {
        gtid: Gtid { source: GtidSource::Domain { domain, server }, number },
        is_standalone: flags & STANDALONE != 0,
        prepares: xid.filter(|_| flags & PREPARED_XA != 0),
        is_without_effect: more & (START_ALTER | ROLLBACK_ALTER) != 0,
        thread_id,
    })
}

/// As the server writes it in XA COMMIT.
fn xid_text(first: &[u8], second: &[u8], format: u32) -> String {
    let mut text = String::new();
    for part in [first, second] {
        text.push_str("X'");
        for byte in part {
            write!(text, "{byte:02x}").expect("a String takes everything");
        }
        text.push_str("',");
    }
    write!(text, "{format}").expect("a String takes everything");
    text
}

/// The event type that a compressed one stands for.
pub(super) fn unpacked_kind(kind: u8) -> Option<u8> {
    Some(match kind {
        kind::MARIADB_QUERY_COMPRESSED => kind::QUERY,
        kind::MARIADB_WRITE_ROWS_COMPRESSED_V1 => kind::WRITE_ROWS_V1,
        kind::MARIADB_UPDATE_ROWS_COMPRESSED_V1 => kind::UPDATE_ROWS_V1,
        kind::MARIADB_DELETE_ROWS_COMPRESSED_V1 => kind::DELETE_ROWS_V1,
        kind::MARIADB_WRITE_ROWS_COMPRESSED => kind::WRITE_ROWS,
        kind::MARIADB_UPDATE_ROWS_COMPRESSED => kind::UPDATE_ROWS,
        kind::MARIADB_DELETE_ROWS_COMPRESSED => kind::DELETE_ROWS,
        _ => return None,
    })
}

/// Unpacks the body of an event, which is one of `kind` then. No more than `bytes_max` are made of it.
pub(super) fn unpack(
    format: &FormatDescription,
    kind: u8,
    body: &[u8],
    bytes_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let packed_at = match kind {
        kind::QUERY => text_at(body)?,
        _ => body.len() - RowsEvent::parse(format, kind, body)?.rows.len(),
    };
    let (head, packed) = body.split_at(packed_at);
    out.clear();
    out.extend_from_slice(head);
    let limit = bytes_max.saturating_sub(head.len());
    unpack_text(packed, out, limit).map_err(|bytes| match bytes {
        Some(bytes) => Fault::EventTooLarge { bytes: head.len() + bytes, bytes_max },
        None => Fault::Damaged("its compressed content does not unpack"),
    })
}

/// Where the text of a statement begins.
fn text_at(body: &[u8]) -> Result<usize, Short> {
    let mut input = Input::new(body);
    input.take(8)?;
    let database = input.u8()? as usize;
    input.u16()?;
    let status = input.u16()? as usize;
    input.take(status + database + 1)?;
    Ok(body.len() - input.rest().len())
}

/// Appends what is packed behind its length. The error is the length, if it is too much.
pub(super) fn unpack_text(packed: &[u8], out: &mut Vec<u8>, bytes_max: usize) -> Result<(), Option<usize>> {
    let (&head, rest) = packed.split_first().ok_or(None)?;
    // Seven bits: 1, three of the algorithm (0 is zlib), one unused, three of the bytes of the length.
    let length_bytes = (head & 0x07) as usize;
    if head & 0xf0 != 0x80 || !(1..=4).contains(&length_bytes) {
        return Err(None);
    }
    let (length, zlib) = rest.split_at_checked(length_bytes).ok_or(None)?;
    let length = length.iter().fold(0, |length, &byte| length << 8 | byte as usize);
    if length > bytes_max {
        return Err(Some(length));
    }
    inflate(zlib, length, true, out).ok_or(None)
}

/// Appends exactly `length` bytes.
pub(in super::super) fn inflate(packed: &[u8], length: usize, has_header: bool, out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    out.resize(start + length, 0);
    let mut inflate = Decompress::new(has_header);
    let status = inflate.decompress(packed, &mut out[start..], FlushDecompress::Finish).ok()?;
    let is_whole = inflate.total_out() == length as u64 && inflate.total_in() == packed.len() as u64;
    (is_whole && status == Status::StreamEnd).then_some(())
}

#[cfg(test)]
mod tests {
    use super::super::event::Query;
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().map(|digit| (digit as char).to_digit(16).unwrap() as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn start(hex: &str) -> GroupStart {
        parse_gtid(4, &bytes(hex)).unwrap()
    }

    /// As MariaDB 10.11.18 wrote them; the last as the source of 11.5 says.
    #[test]
    fn a_gtid_says_how_its_group_is_framed() {
        let ddl = start("05000000000000000000000029000000000000");
        assert_eq!((ddl.gtid.to_string().as_str(), ddl.is_standalone, ddl.prepares), ("0-4-5", true, None));
        let rows = start("0f00000000000000070000000c000000000000");
        assert_eq!(
            (rows.gtid.to_string().as_str(), rows.is_standalone, rows.is_without_effect),
            ("7-4-15", false, false)
        );
        let prepared = start("0700000000000000000000004c070000000101616201ff");
        assert_eq!((prepared.prepares.as_deref(), prepared.is_standalone), (Some("X'61',X'62',7"), false));
        let completed = start("0800000000000000000000008d0700000001016162");
        assert_eq!((completed.prepares, completed.is_standalone), (None, true));
        assert!(start("11000000000000000000000029020000000000").is_without_effect);
        assert!(!start("12000000000000000000000029041100000000000000").is_without_effect);
        assert!(start("12000000000000000000000029081100000000000000").is_without_effect);
        // Committed together with others.
        let together = start("0900000000000000000000000e0100000000000000");
        assert_eq!(together, GroupStart { gtid: start("0900000000000000000000000c000000000000").gtid, ..rows.clone() });
        assert_eq!(start("0900000000000000000000000c102a000000").thread_id, 42);
        assert!(parse_gtid(4, &bytes("00000000000000000000000029000000000000")).is_err());
        assert!(parse_gtid(4, &bytes("0700000000000000000000004c07000000010161")).is_err());
    }

    fn format() -> FormatDescription {
        FormatDescription::for_tests()
    }

    fn unpacked(kind: u8, hex: &str, bytes_max: usize) -> Result<Vec<u8>, Fault> {
        let mut out = vec![1, 2, 3];
        unpack(&format(), unpacked_kind(kind).unwrap(), &bytes(hex), bytes_max, &mut out).map(|()| out)
    }

    /// As MariaDB 10.11.18 wrote them.
    #[test]
    fn compressed_events_hold_what_they_stand_for() {
        let query = "af020000000000000100002300000000000101000020540000000006037374640421002100080081236c520000000000\
                     67008133789c7309f20f50087174f27155f07453708df00c0e095648484e4e50d0d752484fcd4b2d4a2c494d5148aa5428\
                     4e2d2a4b2d52d0d207007eec0f86";
        let body = unpacked(kind::MARIADB_QUERY_COMPRESSED, query, 1000).unwrap();
        let query_event = Query::parse(kind::QUERY, &body).unwrap();
        assert_eq!((&*query_event.database, query_event.thread_id), ("g", 687));
        assert_eq!(query_event.sql, "DROP TABLE IF EXISTS `cc` /* generated by server */");
        let rows = "511c0000000001000203816a789cfbc3cec0c09092480700000d07274c";
        let body = unpacked(kind::MARIADB_WRITE_ROWS_COMPRESSED_V1, rows, 1000).unwrap();
        let event = RowsEvent::parse(&format(), kind::WRITE_ROWS_V1, &body).unwrap();
        assert_eq!((event.table_id, event.column_count, event.rows.len()), (0x1c51, 2, 0x6a));
        assert_eq!(event.rows[..6], [0xfc, 7, 0, 0, 0, 100]);
        let rows = "511c0000000001000203038198789cfbc3cec0c090924807f007649346129100008bfa37c7";
        assert_eq!(unpacked(kind::MARIADB_UPDATE_ROWS_COMPRESSED_V1, rows, 1000).unwrap().len(), 11 + 0x98);
        let rows = "511c0000000001000203812e789cfbc3cec0c0a091442400006f10107c";
        assert_eq!(unpacked(kind::MARIADB_DELETE_ROWS_COMPRESSED_V1, rows, 1000).unwrap().len(), 10 + 0x2e);

        // No more than is allowed, and nothing that is cut off, or longer or shorter than it says.
        let fault = unpacked(kind::MARIADB_DELETE_ROWS_COMPRESSED_V1, rows, 55).unwrap_err();
        assert!(matches!(fault, Fault::EventTooLarge { bytes: 56, bytes_max: 55 }), "{fault}");
        for damaged in [
            &rows[..rows.len() - 2],
            &rows.replace("812e", "812f"),
            &rows.replace("812e", "812d"),
            &rows.replace("812e", "912e"),
            &rows.replace("812e", "8c2e"),
            "511c0000000001000203",
        ] {
            assert!(unpacked(kind::MARIADB_DELETE_ROWS_COMPRESSED_V1, damaged, 1000).is_err(), "{damaged}");
        }
    }
}
