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
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

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
        let of_events = || Delivered { until: stored.coordinate.clone(), gtid: None, events };
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

/// Who numbers transactions: a server's UUID and, since MySQL 8.3, an optional tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GtidSource {
    pub uuid: [u8; 16],
    /// Empty where there is none.
    pub tag: Arc<str>,
}

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gtid {
    pub source: GtidSource,
    pub number: u64,
}

impl fmt::Display for GtidSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.uuid.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        if !self.tag.is_empty() {
            write!(f, ":{}", self.tag)?;
        }
        Ok(())
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source, self.number)
    }
}

/// A set of transactions, as intervals per source.
///
/// Invariant: the intervals of a source are half open, not empty, ascending and do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct GtidSet {
    intervals: BTreeMap<GtidSource, Vec<(u64, u64)>>,
}

impl GtidSet {
    pub fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    pub fn contains(&self, gtid: &Gtid) -> bool {
        let Some(intervals) = self.intervals.get(&gtid.source) else { return false };
        let after = intervals.partition_point(|&(start, _)| start <= gtid.number);
        after > 0 && gtid.number < intervals[after - 1].1
    }

    pub fn insert(&mut self, gtid: &Gtid) {
        self.insert_interval(&gtid.source, gtid.number, gtid.number + 1);
    }

    fn insert_interval(&mut self, source: &GtidSource, start: u64, end: u64) {
        let intervals = match self.intervals.get_mut(source) {
            Some(intervals) => intervals,
            None => self.intervals.entry(source.clone()).or_default(),
        };
        // Almost always the next number of the last interval.
        if let Some(last) = intervals.last_mut()
            && last.1 == start
        {
            last.1 = end;
            return;
        }
        let first = intervals.partition_point(|&(_, e)| e < start);
        let beyond = intervals.partition_point(|&(s, _)| s <= end);
        if first == beyond {
            intervals.insert(first, (start, end));
        } else {
            let merged = (start.min(intervals[first].0), end.max(intervals[beyond - 1].1));
            intervals.splice(first..beyond, [merged]);
        }
    }

    /// Whether every transaction of `other` is in this set.
    pub fn contains_set(&self, other: &GtidSet) -> bool {
        other.intervals.iter().all(|(source, theirs)| {
            let ours = self.intervals.get(source).map(Vec::as_slice).unwrap_or_default();
            theirs.iter().all(|&(start, end)| ours.iter().any(|&(s, e)| s <= start && end <= e))
        })
    }

    /// Those that are not in `other`.
    pub fn without(&self, other: &GtidSet) -> GtidSet {
        let mut rest = GtidSet::default();
        for (source, ours) in &self.intervals {
            let theirs = other.intervals.get(source).map(Vec::as_slice).unwrap_or_default();
            for &(mut start, end) in ours {
                for &(their_start, their_end) in theirs {
                    if start < their_start.min(end) {
                        rest.insert_interval(source, start, their_start.min(end));
                    }
                    start = start.max(their_end);
                }
                if start < end {
                    rest.insert_interval(source, start, end);
                }
            }
        }
        rest
    }

    /// Those that the server with this UUID has numbered.
    pub fn numbered_by(&self, server: &str) -> GtidSet {
        let mut theirs = self.clone();
        let uuid = parse_uuid(server);
        theirs.intervals.retain(|source, _| Some(source.uuid) == uuid);
        theirs
    }

    pub fn extend(&mut self, other: &GtidSet) {
        for (source, intervals) in &other.intervals {
            for &(start, end) in intervals {
                self.insert_interval(source, start, end);
            }
        }
    }

    /// The set in the binary form that `COM_BINLOG_DUMP_GTID` and `PREVIOUS_GTIDS_LOG_EVENT` carry.
    ///
    /// ```text
    /// u64 sources   (with tags: byte 0 = 1, bytes 1..7 = sources, byte 7 = 1)
    /// per source:   16 bytes uuid, (with tags: varlen tag length, tag,) u64 intervals, then per interval u64 start, u64 end
    /// ```
    pub fn encode(&self) -> Vec<u8> {
        let tagged = self.intervals.keys().any(|source| !source.tag.is_empty());
        let sources = self.intervals.len() as u64;
        let mut out = Vec::with_capacity(8 + 40 * self.intervals.len());
        let header = if tagged { (1 << 56) | (sources << 8) | 1 } else { sources };
        out.extend_from_slice(&header.to_le_bytes());
        for (source, intervals) in &self.intervals {
            out.extend_from_slice(&source.uuid);
            if tagged {
                // A tag has at most 32 characters, so its length fits the one-byte form of the server's varlen integer.
                out.push((source.tag.len() as u8) << 1);
                out.extend_from_slice(source.tag.as_bytes());
            }
            out.extend_from_slice(&(intervals.len() as u64).to_le_bytes());
            for (start, end) in intervals {
                out.extend_from_slice(&start.to_le_bytes());
                out.extend_from_slice(&end.to_le_bytes());
            }
        }
        out
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (source, intervals)) in self.intervals.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{source}")?;
            for &(start, end) in intervals {
                match end - start {
                    1 => write!(f, ":{start}")?,
                    _ => write!(f, ":{start}-{}", end - 1)?,
                }
            }
        }
        Ok(())
    }
}

/// Text that is not a GTID set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a GTID set: {reason}")]
pub struct InvalidGtidSet {
    text: String,
    reason: &'static str,
}

impl FromStr for GtidSet {
    type Err = InvalidGtidSet;

    /// Reads what the server prints: sources separated by commas (and line feeds), intervals and tags by colons.
    fn from_str(text: &str) -> Result<GtidSet, InvalidGtidSet> {
        let invalid = |reason| InvalidGtidSet { text: text.to_owned(), reason };
        let mut set = GtidSet::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let mut fields = part.split(':').map(str::trim);
            let uuid = parse_uuid(fields.next().unwrap_or_default()).ok_or_else(|| invalid("a UUID is malformed"))?;
            let mut source = GtidSource { uuid, tag: Arc::from("") };
            for field in fields {
                if field.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                    source.tag = Arc::from(field.to_ascii_lowercase());
                    continue;
                }
                let (first, last) = field.split_once('-').unwrap_or((field, field));
                let number = |digits: &str| digits.trim().parse::<u64>().ok().filter(|&n| n > 0 && n < u64::MAX);
                match (number(first), number(last)) {
                    (Some(first), Some(last)) if first <= last => set.insert_interval(&source, first, last + 1),
                    _ => return Err(invalid("an interval is malformed")),
                }
            }
        }
        Ok(set)
    }
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|&b| b != b'-')
        .map(|b| (b as char).to_digit(16).map(|d| d as u8))
        .collect::<Option<_>>()?;
    let pairs: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    (digits.len() == 32).then(|| pairs.try_into().ok()).flatten()
}

impl Serialize for Gtid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Gtid {
    /// A set of one.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Gtid, D::Error> {
        let set = GtidSet::deserialize(deserializer)?;
        let mut single = set.intervals.iter().map(|(source, intervals)| (source, intervals.as_slice()));
        match (single.next(), single.next()) {
            (Some((source, &[(number, end)])), None) if end == number + 1 => {
                Ok(Gtid { source: source.clone(), number })
            }
            _ => Err(serde::de::Error::custom("not one GTID")),
        }
    }
}

impl Serialize for GtidSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GtidSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<GtidSet, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
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
        Gtid { source: GtidSource { uuid: parse_uuid(uuid).unwrap(), tag: Arc::from(tag) }, number }
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
        for gtid in [gtid(A, "", 7), gtid(B, "nightly", 1)] {
            let text = serde_json::to_string(&gtid).unwrap();
            assert_eq!(text, format!("\"{gtid}\""));
            assert_eq!(serde_json::from_str::<Gtid>(&text).unwrap(), gtid);
        }
        for text in ["\"\"".to_owned(), format!("\"{A}:1-2\""), format!("\"{A}:1,{B}:1\"")] {
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
    fn positions_of_every_version_are_read() {
        let read = |text: &str| serde_json::from_str::<Position>(text).unwrap();
        let old = r#"{"coordinate":{"file":"b.7","offset":9},"gtids":null,"events_done":3}"#;
        let at = Coordinate::new("b.7", 9);
        let delivered = Delivered { until: at.clone(), gtid: None, events: 3 };
        assert_eq!(read(old), Position { delivered: Some(delivered), ..Position::new(at.clone(), None) });
        assert_eq!(read(&old.replace('3', "0")), Position::new(at.clone(), None));
        let delivered =
            Delivered { until: Coordinate::new("b.8", 4), gtid: Some(gtid(A, "nightly", 7)), events: u64::MAX };
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
