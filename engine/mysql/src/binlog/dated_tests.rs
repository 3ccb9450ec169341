//! Streams of MySQL 5.7 and 8.0, byte by byte as their layouts are documented: what differs from the recordings of other versions.

use super::tests::{draw, event, with_checksum};
use super::*;
use crate::definition::Session;
use tidegate_model::{TableName, TableParts};

/// One table `d.t` of a BIGINT, whatever happens.
struct OneTable(Arc<Table>);

impl Schemas for OneTable {
    fn table(&mut self, _: &TableMap<'_>, _: Here<'_>) -> Result<Option<Arc<Table>>, Fault> {
        Ok(Some(self.0.clone()))
    }

    fn statement(&mut self, _: &str, _: &str, _: &Session, _: Here<'_>) -> Result<Option<Statement>, Fault> {
        Ok(None)
    }
}

/// What a server says of itself, and how long its events' heads are.
#[derive(Clone, Copy, Debug)]
struct Dated {
    version: &'static str,
    /// By type, from type 1 on.
    lengths: &'static [u8],
    /// Of the body of an anonymous GTID event, behind flags, zeros and its two numbers in the group.
    gtid_tail: &'static [u8],
    checksums: bool,
}

const OF_5_7: &[u8] = &[
    56, 13, 0, 8, 0, 18, 0, 4, 4, 4, 4, 18, 0, 0, 95, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0, 0, 0, 10, 10, 10, 42, 42, 0,
    18, 52, 0,
];
const OF_8_0: &[u8] = &[
    0, 13, 0, 8, 0, 0, 0, 0, 4, 0, 4, 0, 0, 0, 98, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0, 0, 0, 10, 10, 10, 42, 42, 0,
    18, 52, 0, 10, 40, 0,
];

const DATED: [Dated; 4] = [
    Dated { version: "5.7.44-log", lengths: OF_5_7, gtid_tail: &[], checksums: true },
    Dated { version: "5.7.8-rc", lengths: OF_5_7, gtid_tail: &[], checksums: false },
    // The time of the commit in microseconds, the length of the transaction, and the server's version.
    Dated {
        version: "8.0.36",
        lengths: OF_8_0,
        gtid_tail: &[0x40, 0x42, 0x0f, 0, 0, 0, 0, 0xfc, 0x2c, 0x01, 0x84, 0x38, 0x01, 0],
        checksums: true,
    },
    Dated { version: "8.0.11", lengths: OF_8_0, gtid_tail: &[0x40, 0x42, 0x0f, 0, 0, 0, 0, 200], checksums: false },
];

struct Stream {
    of: Dated,
    decoder: BinlogDecoder,
    end: u32,
}

impl Stream {
    fn begin(of: Dated) -> Stream {
        let table = tidegate_model::pretty::parse("id:int", "+I 1").table().clone();
        let table = Arc::new(Table::from(TableParts { name: TableName::new("d", "t"), ..Table::clone(&table).into() }));
        let options = WindowOptions {
            rows: 100_000,
            bytes: 64 << 20,
            marks: MarkOptions { statements: false, transactions: false, heartbeats: false },
        };
        let start = Position::new(Coordinate::new("b.000001", 4), None);
        let mut decoder = BinlogDecoder::new(start, Box::new(OneTable(table)), options);
        let rotate = [&4_u64.to_le_bytes()[..], b"b.000001"].concat();
        decoder.feed(&event(kind::ROTATE, 0x20, 0, &rotate)).unwrap();
        let mut stream = Stream { of, decoder, end: 4 };
        let mut version = of.version.as_bytes().to_vec();
        version.resize(50, 0);
        let algorithm = [u8::from(of.checksums)];
        let mut body = [&4_u16.to_le_bytes()[..], &version, &[0; 4], &[19], of.lengths, &algorithm].concat();
        // The format description has a checksum, or four bytes in its place, in any case.
        if !of.checksums {
            body.extend([0; 4]);
        }
        stream.feed(kind::FORMAT_DESCRIPTION, &body).unwrap();
        stream.feed(kind::PREVIOUS_GTIDS, &0_u64.to_le_bytes()).unwrap();
        stream
    }

    fn feed(&mut self, kind: u8, body: &[u8]) -> Result<Flow, BinlogError> {
        let tail = if self.of.checksums { 4 } else { 0 };
        self.end += (Header::LENGTH + body.len() + tail) as u32;
        let event = event(kind, 0, self.end, body);
        self.decoder.feed(&if self.of.checksums { with_checksum(event) } else { event })
    }

    /// The begin of a transaction that has no GTID.
    fn anonymous(&mut self) {
        let numbers = [&[1][..], &[0; 16], &[0; 8], &[2], &7_u64.to_le_bytes(), &8_u64.to_le_bytes()].concat();
        self.feed(kind::ANONYMOUS_GTID, &[&numbers, self.of.gtid_tail].concat()).unwrap();
    }

    fn query(&mut self, sql: &str) {
        let head = [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        self.feed(kind::QUERY, &[&head[..], b"d\0", sql.as_bytes()].concat()).unwrap();
    }

    fn insert(&mut self, id: i64) {
        self.feed(kind::ROWS_QUERY, b"\x16INSERT INTO t VALUES (").unwrap();
        self.feed(kind::TABLE_MAP, &[&[7, 0, 0, 0, 0, 0, 1, 0][..], b"\x01d\0\x01t\0", &[1, 8, 0, 1]].concat())
            .unwrap();
        let head = [7, 0, 0, 0, 0, 0, 1, 0, 2, 0, 1, 1, 0];
        self.feed(kind::WRITE_ROWS, &[&head[..], &id.to_le_bytes()].concat()).unwrap();
    }

    fn xa_prepare(&mut self, is_one_phase: bool) {
        let body = [&[u8::from(is_one_phase)][..], &[1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], b"a"].concat();
        self.feed(kind::XA_PREPARE, &body).unwrap();
    }

    fn rows(&mut self) -> Vec<String> {
        self.decoder.take_window().unwrap().iter().flat_map(draw).collect()
    }
}

#[test]
fn anonymous_transactions_of_5_7_and_8_0_are_read() {
    for of in DATED {
        let mut stream = Stream::begin(of);
        for id in 1..4 {
            stream.anonymous();
            stream.query("BEGIN");
            stream.insert(id);
            stream.feed(kind::XID, &[9, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        }
        assert_eq!(stream.rows(), ["+I t: 1", "+I t: 2", "+I t: 3"], "{of:?}");
        let position = stream.decoder.position();
        assert_eq!((position.coordinate.offset, &position.delivered), (u64::from(stream.end), &None), "{of:?}");
    }
}

/// Rows stand before the XA PREPARE, and are true with the XA COMMIT; of one phase, with the event itself.
#[test]
fn xa_transactions_of_5_7_and_8_0_wait_for_their_outcome() {
    for of in DATED {
        let mut stream = Stream::begin(of);
        let prepare = |stream: &mut Stream, id, is_one_phase| {
            stream.anonymous();
            stream.query("XA START X'61',X'',1");
            stream.insert(id);
            stream.query("XA END X'61',X'',1");
            stream.xa_prepare(is_one_phase);
        };
        prepare(&mut stream, 1, false);
        stream.anonymous();
        stream.query("BEGIN");
        stream.insert(2);
        stream.feed(kind::XID, &[9, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        assert_eq!(stream.rows(), ["+I t: 2"], "{of:?}");
        stream.anonymous();
        stream.query("XA COMMIT X'61',X'',1");
        assert_eq!(stream.rows(), ["+I t: 1"], "{of:?}");
        prepare(&mut stream, 3, false);
        stream.anonymous();
        stream.query("XA ROLLBACK X'61',X'',1");
        prepare(&mut stream, 4, true);
        assert_eq!(stream.rows(), ["+I t: 4"], "{of:?}");
    }
}

/// 5.7 logs what was rolled back beside a temporary table.
#[test]
fn what_5_7_has_rolled_back_does_not_come() {
    for of in DATED.into_iter().filter(|of| of.version.starts_with("5.7")) {
        let mut stream = Stream::begin(of);
        stream.anonymous();
        stream.query("BEGIN");
        stream.insert(1);
        stream.query("ROLLBACK");
        stream.anonymous();
        stream.query("BEGIN");
        stream.insert(2);
        stream.query("COMMIT");
        assert_eq!(stream.rows(), ["+I t: 2"], "{of:?}");
    }
}

/// The server says that changes are missing from here on.
#[test]
fn an_incident_stops_reading_with_the_servers_words() {
    for of in DATED {
        let mut stream = Stream::begin(of);
        stream.anonymous();
        stream.query("BEGIN");
        stream.insert(1);
        stream.feed(kind::XID, &[9, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        let at = stream.end;
        let body = [&1_u16.to_le_bytes()[..], &[11], b"LOST_EVENTS"].concat();
        let error = stream.feed(kind::INCIDENT, &body).unwrap_err();
        assert!(error.to_string().contains("incident 1: LOST_EVENTS"), "{error}");
        assert_eq!(error.at, Coordinate::new("b.000001", u64::from(at)));
        let hint = error.hint().unwrap();
        assert!(hint.contains("error log") && hint.ends_with("full load (move the state folder away)"), "{hint}");
        // What came before it is delivered, and it is met again.
        assert_eq!(stream.rows(), ["+I t: 1"], "{of:?}");
        assert_eq!(stream.decoder.position().coordinate.offset, u64::from(at), "{of:?}");
    }
}
