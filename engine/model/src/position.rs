//! Where in the source's history something stands.
//!
//! MySQL names a point of its history in two ways. A *coordinate* is a binlog file and the offset in it; it orders
//! the events of one server and says nothing about any other. A *GTID set* is the set of transactions that a server
//! has executed; it survives a failover, and a server answers "send me what is not in this set".
//!
//! ```text
//! coordinate   binlog.000042:1897
//! GTID         3e11fa47-71ca-11e1-9e33-c80aa9429562:23            (tagged: …9562:nightly:23)
//! GTID set     3e11fa47-71ca-11e1-9e33-c80aa9429562:1-20:23,…     intervals, inclusive in text, half open in memory
//! MariaDB      GTID 0-1-23, set 0-1-23,5-2-7                      the last of each domain, and so all before it
//! ```
//!
//! *MariaDB's domains.* A GTID is a domain, the server that wrote it, and a number that grows within the domain, whichever
//! server writes. A set is the last one of each domain: it has what bears a number up to that, so that whoever reads must
//! see to it that numbers grow. It cannot lack a transaction and have a later one of the same domain.

mod gtid;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::gtid::{Gtid, GtidSet, GtidSource, InvalidGtidSet, SERVER_ID};

/// A point in the binlog of one server: just before the byte at `offset` of `file`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Coordinate {
    pub file: Arc<str>,
    /// 64 bits: a transaction larger than 4 GiB makes a file whose 32-bit offsets in event headers wrap around.
    pub offset: u64,
}

impl Coordinate {
    pub fn new(file: impl Into<Arc<str>>, offset: u64) -> Coordinate {
        Coordinate { file: file.into(), offset }
    }

    /// Number of the file: the digits after the last dot of its name.
    pub fn file_number(&self) -> u64 {
        file_number(&self.file)
    }
}

impl FromStr for Coordinate {
    type Err = &'static str;

    /// Reads what is shown of it: `binlog.000042:1897`.
    fn from_str(text: &str) -> Result<Coordinate, &'static str> {
        let parts = text.rsplit_once(':').filter(|(file, _)| !file.is_empty());
        let place = parts.and_then(|(file, offset)| Some(Coordinate::new(file, offset.parse().ok()?)));
        place.ok_or("not a place in a binlog, such as binlog.000042:1897")
    }
}

/// Number of a binlog file: the digits after the last dot. Base names do not matter: one server has one sequence.
pub fn file_number(file: &str) -> u64 {
    file.rsplit('.').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

impl PartialOrd for Coordinate {
    fn partial_cmp(&self, other: &Coordinate) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Coordinate {
    fn cmp(&self, other: &Coordinate) -> std::cmp::Ordering {
        (self.file_number(), self.offset).cmp(&(other.file_number(), other.offset))
    }
}

impl fmt::Display for Coordinate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}

/// Where the incremental reader goes on.
///
/// ```text
///  XA 'a' prepared      c1   c2        half of a large transaction
/// ───●────────────────●────●────────▓▓▓▓░░░░─────►
///    ▲ coordinate                   ▲ delivered.until, 4 events
/// ```
///
/// Everything before `coordinate` is delivered. With GTIDs and a server, `gtids` says what else is, whatever the order: rows that
/// wait for an XA COMMIT are missing in it, and are sent again. Read by coordinate, `coordinate` lies before the oldest of them, and
/// everything before `delivered.until` is delivered except them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredPosition")]
pub struct Position {
    /// The start of a transaction, or the end of the one before it.
    pub coordinate: Coordinate,
    /// The transactions that are delivered, where the server keeps GTIDs.
    pub gtids: Option<GtidSet>,
    /// What lies behind the coordinate and is delivered all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered: Option<Delivered>,
    /// `None` in positions that an earlier version has stored: nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xa: Option<XaKnown>,
    /// Which file of that name the coordinate is in. `None` of binlog files, and in positions that an earlier version has
    /// stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<BinlogFile>,
}

/// A binlog file of a server, apart from any other that has had its name: a server that begins its binlog anew begins with
/// the same names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinlogFile {
    /// The server's UUID; empty if it has none.
    pub server: Arc<str>,
    /// When the server made the file, in seconds since 1970: the time of the event with which it begins.
    pub made_s: u32,
}

/// How far delivery has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// The start of one transaction, or the end of the one before it.
    pub until: Coordinate,
    /// That of the transaction. Both must be met for `events` to be its: another server has other coordinates, and may have
    /// cut the same transaction into other events.
    pub gtid: Option<Gtid>,
    /// Row events of it that are delivered: a restart in the middle of a large transaction skips them.
    pub events: u64,
    /// The transactions that are delivered, besides the one above and those that wait for an XA COMMIT. Where a set cannot lack
    /// these, that of the position lies before the oldest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtids: Option<Box<GtidSet>>,
}

/// What must be known of XA transactions whose XA PREPARE is not read again, when their XA COMMIT comes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct XaKnown {
    /// Prepared since the task began, without rows of captured tables; by their identifiers as the server writes them.
    pub without_rows: BTreeSet<String>,
    /// Where the task began: what ended at or before it is older than the task, and every view of its full load shows it.
    pub began: Option<Arc<Watermark>>,
}

/// A position as any version has written it.
#[derive(Deserialize)]
struct StoredPosition {
    coordinate: Coordinate,
    gtids: Option<GtidSet>,
    delivered: Option<Delivered>,
    /// Before there was `delivered`: its events.
    #[serde(default)]
    events_done: u64,
    xa: Option<XaKnown>,
    file: Option<BinlogFile>,
}

impl From<StoredPosition> for Position {
    fn from(stored: StoredPosition) -> Position {
        let events = stored.events_done;
        let of_events = || Delivered { until: stored.coordinate.clone(), gtid: None, events, gtids: None };
        let delivered = stored.delivered.or_else(|| (events > 0).then(of_events));
        Position { coordinate: stored.coordinate, gtids: stored.gtids, delivered, xa: stored.xa, file: stored.file }
    }
}

impl Position {
    /// Nothing from there on is delivered, and nothing is known of XA transactions that were prepared before.
    pub fn new(coordinate: Coordinate, gtids: Option<GtidSet>) -> Position {
        Position { coordinate, gtids, delivered: None, xa: None, file: None }
    }

    /// The same, for a task that begins there: an XA COMMIT of what was prepared before it, and ends behind `began`, is
    /// noticed.
    pub fn with_beginning(self, began: Option<Watermark>) -> Position {
        Position { xa: Some(XaKnown { without_rows: BTreeSet::new(), began: began.map(Arc::new) }), ..self }
    }

    /// Whether as much is delivered at both, whatever is known of XA transactions.
    pub fn is_at(&self, other: &Position) -> bool {
        (&self.coordinate, &self.gtids, &self.delivered) == (&other.coordinate, &other.gtids, &other.delivered)
    }

    /// Whether it is in the midst of a transaction, of which row events are delivered.
    pub fn is_half(&self) -> bool {
        self.delivered.as_ref().is_some_and(|half| half.events > 0)
    }

    /// Up to where all is delivered, whatever waits for an XA COMMIT.
    pub fn reached(&self) -> &Coordinate {
        self.delivered.as_ref().map_or(&self.coordinate, |delivered| &delivered.until)
    }

    /// The transactions that are delivered as a whole, also those behind one that waits for an XA COMMIT.
    pub fn sent(&self) -> Option<&GtidSet> {
        let beside = self.delivered.as_ref().and_then(|delivered| delivered.gtids.as_deref());
        self.gtids.as_ref().map(|gtids| beside.unwrap_or(gtids))
    }

    /// Whether everything up to the watermark has been read.
    pub fn has_come_to(&self, watermark: &Watermark) -> bool {
        match (watermark, &self.gtids) {
            (Watermark::Gtids(set), Some(gtids)) => gtids.contains_set(set),
            (Watermark::Coordinate(coordinate), None) => *coordinate <= self.coordinate,
            // Of another kind: from a checkpoint that kept coordinates only.
            _ => true,
        }
    }
}

/// A position as people know it.
pub struct Place<'p>(&'p Position);

impl Position {
    /// With GTIDs these (of a very long set the beginning): the coordinate may be one that only names a file to look in.
    pub fn place(&self) -> Place<'_> {
        Place(self)
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.gtids {
            None => write!(f, "{}", self.0.coordinate),
            Some(gtids) if gtids.is_empty() => f.write_str("the first transaction"),
            Some(gtids) => f.write_str(&gtids.in_line()),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.coordinate)?;
        if let Some(delivered) = &self.delivered {
            if delivered.until != self.coordinate {
                write!(f, " (delivered until {})", delivered.until)?;
            }
            if delivered.events > 0 {
                write!(f, "+{} row events", delivered.events)?;
            }
        }
        if let Some(gtids) = &self.gtids {
            write!(f, " (executed {gtids})")?;
        }
        Ok(())
    }
}

/// A point that a read view has certainly reached, or has certainly not passed.
///
/// Used to ask one question of each change in the binlog: did the view already show it?
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Watermark {
    /// The executed transactions.
    Gtids(GtidSet),
    /// Every transaction before this coordinate.
    Coordinate(Coordinate),
}

impl Watermark {
    /// Whether the transaction lies at or before the watermark.
    pub fn covers(&self, gtid: Option<&Gtid>, start: &Coordinate) -> bool {
        match (self, gtid) {
            (Watermark::Gtids(set), Some(gtid)) => set.contains(gtid),
            // An anonymous transaction on a server whose views are dated by GTID: repeat it rather than lose it.
            (Watermark::Gtids(_), None) => false,
            (Watermark::Coordinate(low), _) => start < low,
        }
    }
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Watermark::Gtids(set) => write!(f, "{set}"),
            Watermark::Coordinate(coordinate) => write!(f, "{coordinate}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn set(text: &str) -> GtidSet {
        text.parse().unwrap()
    }

    fn gtid(uuid: &str, tag: &str, number: u64) -> Gtid {
        Gtid { source: GtidSource::Server { uuid: gtid::parse_uuid(uuid).unwrap(), tag: Arc::from(tag) }, number }
    }

    fn of_domain(domain: u32, server: u32, number: u64) -> Gtid {
        Gtid { source: GtidSource::Domain { domain, server }, number }
    }

    #[test]
    fn a_domain_has_all_up_to_its_last() {
        let mut ours = set("0-1-5,7-2-9");
        assert_eq!(ours.to_string(), "0-1-5,7-2-9");
        assert!(ours.contains(&of_domain(0, 1, 5)) && ours.contains(&of_domain(0, 3, 4)));
        assert!(!ours.contains(&of_domain(0, 1, 6)) && !ours.contains(&of_domain(1, 1, 1)));
        ours.insert(&of_domain(0, 3, 8));
        ours.insert(&of_domain(0, 1, 6));
        ours.insert(&of_domain(4, 1, 1));
        assert_eq!(ours.to_string(), "0-3-8,4-1-1,7-2-9");
        assert!(ours.contains_set(&set("0-1-7,7-2-9")) && !set("0-1-7").contains_set(&ours));
        // One number twice: two histories.
        assert!(!ours.contains_set(&set("0-1-8")));
        assert_eq!(ours.without(&set("0-3-8,7-1-9")).to_string(), "4-1-1,7-2-9");
        assert_eq!(ours.common(&set("0-1-5,4-1-9,7-1-9,8-1-1")).to_string(), "0-1-5,4-1-1");
        assert_eq!(ours.numbered_by("server_id 3").to_string(), "0-3-8");
        ours.extend(&set("0-2-9,7-2-3,8-1-1"));
        assert_eq!(ours.to_string(), "0-2-9,4-1-1,7-2-9,8-1-1");
        assert_eq!(set("0-2-9,0-1-3").to_string(), "0-2-9");
        assert!(set("").is_empty() && !set("0-1-1").is_empty());
        for text in ["0-1", "0-1-x", "4294967296-1-1", "0-1-2-3"] {
            assert!(text.parse::<GtidSet>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_comes_before_the_last_of_a_source_is_filled_up() {
        let filled = |ours: String, theirs: String| {
            let mut ours = set(&ours);
            ours.fill_up_from(&set(&theirs));
            ours.to_string()
        };
        assert_eq!(filled(format!("{A}:9"), format!("{A}:1-3:5-20,{B}:1-4")), format!("{A}:1-3:5-9"));
        assert_eq!(filled(format!("{A}:2-4"), format!("{A}:7")), format!("{A}:2-4"));
        assert_eq!(filled("0-1-5".to_owned(), "0-1-9".to_owned()), "0-1-5");
    }

    #[test]
    fn text_round_trips_in_canonical_form() {
        assert_eq!(set(&format!("{A}:1-3:5,\n{B}:7")).to_string(), format!("{A}:1-3:5,{B}:7"));
        assert_eq!(set(&format!("{A}:5:1-3:4")).to_string(), format!("{A}:1-5"));
        assert_eq!(set(&format!("{A}:1:nightly:4-6:2")).to_string(), format!("{A}:1,{A}:nightly:2:4-6"));
        assert_eq!(set("").to_string(), "");
    }

    #[test]
    fn a_gtid_is_stored_as_text() {
        for gtid in [gtid(A, "", 7), gtid(B, "nightly", 1), of_domain(3, 1, 9)] {
            let text = serde_json::to_string(&gtid).unwrap();
            assert_eq!(text, format!("\"{gtid}\""));
            assert_eq!(serde_json::from_str::<Gtid>(&text).unwrap(), gtid);
        }
        for text in
            ["\"\"".to_owned(), "\"0-1-1,1-1-1\"".to_owned(), format!("\"{A}:1-2\""), format!("\"{A}:1,{B}:1\"")]
        {
            assert!(serde_json::from_str::<Gtid>(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn malformed_sets_are_refused() {
        for text in ["x:1", A.trim_end_matches('2'), &format!("{A}:5-3"), &format!("{A}:0"), &format!("{A}:1-x")] {
            assert!(text.parse::<GtidSet>().is_err(), "{text}");
        }
    }

    #[test]
    fn insertion_merges_neighbours_like_a_set_of_numbers() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut ours = GtidSet::default();
        let mut slow = std::collections::BTreeSet::new();
        for _ in 0..2000 {
            let number = random.u64(1..300);
            ours.insert(&gtid(A, "", number));
            slow.insert(number);
            let probe = random.u64(1..300);
            assert_eq!(ours.contains(&gtid(A, "", probe)), slow.contains(&probe));
        }
        assert_eq!(ours, set(&ours.to_string()));
    }

    #[test]
    fn tags_number_their_own_transactions() {
        let set = set(&format!("{A}:1-3:nightly:7"));
        assert!(set.contains(&gtid(A, "nightly", 7)) && !set.contains(&gtid(A, "", 7)));
        assert!(set.contains(&gtid(A, "", 3)) && !set.contains(&gtid(B, "", 3)));
    }

    #[test]
    fn inclusion_is_per_interval() {
        assert!(set(&format!("{A}:1-9,{B}:1-2")).contains_set(&set(&format!("{A}:2-3:5"))));
        assert!(!set(&format!("{A}:1-3:5-9")).contains_set(&set(&format!("{A}:2-6"))));
    }

    #[test]
    fn what_another_set_lacks_is_left() {
        let without = |ours: &str, theirs: &str| set(ours).without(&set(theirs)).to_string();
        assert_eq!(without(&format!("{A}:1-9,{B}:1-2"), &format!("{A}:1-3:5:8-20")), format!("{A}:4:6-7,{B}:1-2"));
        assert_eq!(without(&format!("{A}:4-5:8"), &format!("{A}:1-9")), "");
        assert_eq!(without(&format!("{A}:1-3:nightly:4"), &format!("{A}:1-9")), format!("{A}:nightly:4"));
        assert_eq!(without(&format!("{A}:4-5"), &format!("{A}:1-2:9")), format!("{A}:4-5"));
        let common = |ours: &str, theirs: &str| set(ours).common(&set(theirs)).to_string();
        assert_eq!(common(&format!("{A}:1-9,{B}:1-2"), &format!("{A}:1-3:5:8-20")), format!("{A}:1-3:5:8-9"));
    }

    #[test]
    fn a_set_is_exceeded_in_what_it_names() {
        let is_exceeded = |ours: &str, theirs: &str| set(ours).is_exceeded_by(&set(theirs));
        assert!(is_exceeded(&format!("{A}:1-5"), &format!("{A}:1-6,{B}:1")));
        assert!(!is_exceeded(&format!("{A}:1-5"), &format!("{A}:1-5,{B}:1-9")));
        assert!(!is_exceeded(&format!("{A}:1-5"), &format!("{A}:1-3,{A}:nightly:4")));
        assert!(is_exceeded("0-1-5,7-2-9", "0-3-6") && !is_exceeded("0-1-5", "0-1-5,7-1-1"));
    }

    #[test]
    fn a_server_is_found_by_its_uuid_whatever_the_tag() {
        let all = set(&format!("{A}:1-3:nightly:7,{B}:5"));
        assert_eq!(all.numbered_by(A), set(&format!("{A}:1-3:nightly:7")));
        assert_eq!(all.numbered_by("").to_string(), "");
    }

    #[test]
    fn untagged_encoding_is_count_uuid_intervals() {
        let bytes = set(&format!("{A}:1-3")).encode();
        assert_eq!(bytes.len(), 8 + 16 + 8 + 16);
        assert_eq!(&bytes[..8], &1u64.to_le_bytes());
        assert_eq!(&bytes[32..], &[1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for text in ["", &format!("{A}:1-3"), &format!("{A}:1-3:7-9:11,{B}:5"), &format!("{A}:1-3:nightly:7,{B}:5")] {
            let mut bytes = set(text).encode();
            assert_eq!(GtidSet::decode(&bytes), Some(set(text)));
            // Of a checksum.
            bytes.extend_from_slice(&[1, 2, 3, 4]);
            assert_eq!(GtidSet::decode(&bytes), Some(set(text)));
        }
        let bytes = set(&format!("{A}:1-3")).encode();
        assert!((0..bytes.len()).all(|end| GtidSet::decode(&bytes[..end]).is_none()));
    }

    #[test]
    fn positions_of_every_version_are_read() {
        let read = |text: &str| serde_json::from_str::<Position>(text).unwrap();
        let old = r#"{"coordinate":{"file":"b.7","offset":9},"gtids":null,"events_done":3}"#;
        let at = Coordinate::new("b.7", 9);
        let delivered = Delivered { until: at.clone(), gtid: None, events: 3, gtids: None };
        assert_eq!(read(old), Position { delivered: Some(delivered), ..Position::new(at.clone(), None) });
        assert_eq!(read(&old.replace('3', "0")), Position::new(at.clone(), None));
        let delivered = Delivered {
            until: Coordinate::new("b.8", 4),
            gtid: Some(gtid(A, "nightly", 7)),
            events: u64::MAX,
            gtids: None,
        };
        let began = Some(Watermark::Gtids(set(&format!("{A}:1-3"))));
        let mut position = Position { delivered: Some(delivered), ..Position::new(at, Some(GtidSet::default())) }
            .with_beginning(began);
        position.xa.as_mut().unwrap().without_rows.insert("X'61',X'',1".to_owned());
        position.file = Some(BinlogFile { server: A.into(), made_s: 1_795_781_154 });
        assert_eq!(read(&serde_json::to_string(&position).unwrap()), position);
    }

    #[test]
    fn a_coordinate_is_read_as_it_is_shown() {
        let at = Coordinate::new("b:7.000042", 1897);
        assert_eq!(at.to_string().parse(), Ok(at));
        for text in ["", "binlog.000042", ":4", "binlog.000042:", "binlog.000042:-4"] {
            assert!(text.parse::<Coordinate>().is_err(), "{text}");
        }
    }

    #[test]
    fn coordinates_order_by_file_number_not_by_name() {
        assert!(Coordinate::new("binlog.999999", 9) < Coordinate::new("binlog.1000000", 4));
        assert!(Coordinate::new("binlog.000002", 4) < Coordinate::new("binlog.000002", 5));
    }

    #[test]
    fn a_watermark_covers_what_its_view_has_shown() {
        let start = Coordinate::new("b.000002", 200);
        let by_gtid = Watermark::Gtids(set(&format!("{A}:1-5")));
        assert!(by_gtid.covers(Some(&gtid(A, "", 5)), &start) && !by_gtid.covers(Some(&gtid(A, "", 6)), &start));
        assert!(!by_gtid.covers(None, &start));
        assert!(Watermark::Coordinate(Coordinate::new("b.000003", 4)).covers(None, &start));
        assert!(!Watermark::Coordinate(start.clone()).covers(None, &start));
    }
}
