//! Transactions by name, and sets of them: MySQL's intervals of each server, MariaDB's last of each domain.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Servers of MariaDB have no UUID: they are named by this and a number.
pub const SERVER_ID: &str = "server_id ";

/// Who numbers transactions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GtidSource {
    /// A server's UUID and, since MySQL 8.3, a tag, empty where there is none.
    Server { uuid: [u8; 16], tag: Arc<str> },
    /// Of MariaDB: all servers of a domain number together.
    Domain { domain: u32, server: u32 },
}

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gtid {
    pub source: GtidSource,
    pub number: u64,
}

impl fmt::Display for GtidSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GtidSource::Domain { domain, server } => write!(f, "{domain}-{server}"),
            GtidSource::Server { uuid, tag } => {
                for (index, byte) in uuid.iter().enumerate() {
                    if matches!(index, 4 | 6 | 8 | 10) {
                        f.write_str("-")?;
                    }
                    write!(f, "{byte:02x}")?;
                }
                if !tag.is_empty() {
                    write!(f, ":{tag}")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.is_of_domain() { '-' } else { ':' };
        write!(f, "{}{separator}{}", self.source, self.number)
    }
}

impl Gtid {
    /// MariaDB's: a set that has it has all before it in its domain.
    pub fn is_of_domain(&self) -> bool {
        matches!(self.source, GtidSource::Domain { .. })
    }
}

/// A set of transactions: intervals per source, and the last of each domain.
///
/// Invariant: the intervals of a source are half open, not empty, ascending and do not touch; no source is a domain's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct GtidSet {
    intervals: BTreeMap<GtidSource, Vec<(u64, u64)>>,
    domains: BTreeMap<u32, Last>,
}

/// The last transaction of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Last {
    server: u32,
    number: u64,
}

impl Last {
    /// Of two histories that part, one number may stand for two transactions.
    fn covers(self, other: Last) -> bool {
        self.number > other.number || self == other
    }
}

impl GtidSet {
    pub fn is_empty(&self) -> bool {
        self.intervals.is_empty() && self.domains.is_empty()
    }

    pub fn contains(&self, gtid: &Gtid) -> bool {
        if let GtidSource::Domain { domain, .. } = gtid.source {
            return self.domains.get(&domain).is_some_and(|last| gtid.number <= last.number);
        }
        let Some(intervals) = self.intervals.get(&gtid.source) else { return false };
        let after = intervals.partition_point(|&(start, _)| start <= gtid.number);
        after > 0 && gtid.number < intervals[after - 1].1
    }

    /// Of a domain, with all before it.
    pub fn insert(&mut self, gtid: &Gtid) {
        match gtid.source {
            GtidSource::Server { .. } => self.insert_interval(&gtid.source, gtid.number, gtid.number + 1),
            GtidSource::Domain { domain, server } => self.insert_last(domain, Last { server, number: gtid.number }),
        }
    }

    fn insert_last(&mut self, domain: u32, last: Last) {
        let known = self.domains.entry(domain).or_insert(last);
        if last.number > known.number {
            *known = last;
        }
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
        let has = |(domain, theirs): (&u32, &Last)| self.domains.get(domain).is_some_and(|ours| ours.covers(*theirs));
        let has_domains = other.domains.iter().all(has);
        has_domains
            && other.intervals.iter().all(|(source, theirs)| {
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
        let is_left =
            |(domain, ours): &(&u32, &Last)| other.domains.get(domain).is_none_or(|last| !last.covers(**ours));
        rest.domains = self.domains.iter().filter(is_left).map(|(domain, last)| (*domain, *last)).collect();
        rest
    }

    /// Those that are in both.
    pub fn common(&self, other: &GtidSet) -> GtidSet {
        let mut common = self.without(&self.without(other));
        common.domains = self
            .domains
            .iter()
            .filter_map(|(domain, &ours)| {
                let theirs = *other.domains.get(domain)?;
                // Of two histories that part here, nothing is certain.
                let less = if ours.covers(theirs) { theirs } else { Some(ours).filter(|&ours| theirs.covers(ours))? };
                Some((*domain, less))
            })
            .collect();
        common
    }

    /// Whether another set has, of a source or domain of this one, more than this one.
    pub fn is_exceeded_by(&self, other: &GtidSet) -> bool {
        let more = other.without(self);
        more.intervals.keys().any(|source| self.intervals.contains_key(source))
            || more.domains.keys().any(|domain| self.domains.contains_key(domain))
    }

    /// Adds what another set has of each source of this one, up to the last that this one has.
    pub fn fill_up_from(&mut self, other: &GtidSet) {
        for (source, intervals) in &other.intervals {
            let Some(&(_, last)) = self.intervals.get(source).and_then(|ours| ours.last()) else { continue };
            for &(start, end) in intervals.iter().take_while(|&&(start, _)| start < last) {
                self.insert_interval(source, start, end.min(last));
            }
        }
    }

    /// Whether all of it are MariaDB's.
    pub fn is_of_domains(&self) -> bool {
        self.intervals.is_empty()
    }

    /// Those that the server of this name has numbered: a UUID, or a [`SERVER_ID`] of MariaDB.
    pub fn numbered_by(&self, server: &str) -> GtidSet {
        let mut theirs = self.clone();
        let parsed = parse_uuid(server);
        theirs.intervals.retain(|source, _| matches!(source, GtidSource::Server { uuid, .. } if Some(*uuid) == parsed));
        let id = server.strip_prefix(SERVER_ID).and_then(|id| id.parse::<u32>().ok());
        theirs.domains.retain(|_, last| Some(last.server) == id);
        theirs
    }

    pub fn extend(&mut self, other: &GtidSet) {
        for (source, intervals) in &other.intervals {
            for &(start, end) in intervals {
                self.insert_interval(source, start, end);
            }
        }
        other.domains.iter().for_each(|(domain, last)| self.insert_last(*domain, *last));
    }

    /// As much of the set as stands in a line for people.
    pub fn in_line(&self) -> String {
        self.shortened(300)
    }

    /// The beginning of a set that may be long.
    pub fn shortened(&self, characters_max: usize) -> String {
        let text = self.to_string();
        match text.char_indices().nth(characters_max) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }

    /// The set in the binary form that `COM_BINLOG_DUMP_GTID` and `PREVIOUS_GTIDS_LOG_EVENT` carry.
    ///
    /// ```text
    /// u64 sources   (with tags: byte 0 = 1, bytes 1..7 = sources, byte 7 = 1)
    /// per source:   16 bytes uuid, (with tags: varlen tag length, tag,) u64 intervals, then per interval u64 start, u64 end
    /// ```
    pub fn encode(&self) -> Vec<u8> {
        let has_tag = |source: &GtidSource| matches!(source, GtidSource::Server { tag, .. } if !tag.is_empty());
        let tagged = self.intervals.keys().any(has_tag);
        let sources = self.intervals.len() as u64;
        let mut out = Vec::with_capacity(8 + 40 * self.intervals.len());
        let header = if tagged { (1 << 56) | (sources << 8) | 1 } else { sources };
        out.extend_from_slice(&header.to_le_bytes());
        for (source, intervals) in &self.intervals {
            let GtidSource::Server { uuid, tag } = source else { unreachable!("sources of intervals are servers") };
            out.extend_from_slice(uuid);
            if tagged {
                // A tag has at most 32 characters, so its length fits the one-byte form of the server's varlen integer.
                out.push((tag.len() as u8) << 1);
                out.extend_from_slice(tag.as_bytes());
            }
            out.extend_from_slice(&(intervals.len() as u64).to_le_bytes());
            for (start, end) in intervals {
                out.extend_from_slice(&start.to_le_bytes());
                out.extend_from_slice(&end.to_le_bytes());
            }
        }
        out
    }

    /// The set of which this is the binary form, whatever follows it; see [`encode`](Self::encode). None if it is none.
    pub fn decode(bytes: &[u8]) -> Option<GtidSet> {
        let mut rest = bytes;
        let header = take_u64(&mut rest)?;
        let is_tagged = header >> 56 == 1;
        let sources = if is_tagged { (header << 8) >> 16 } else { header };
        let mut set = GtidSet::default();
        for _ in 0..sources {
            let (uuid, behind) = rest.split_first_chunk::<16>()?;
            rest = behind;
            let mut tag = "";
            if is_tagged {
                let (&length, behind) = rest.split_first()?;
                let (text, behind) = behind.split_at_checked(usize::from(length >> 1))?;
                (tag, rest) = (std::str::from_utf8(text).ok()?, behind);
            }
            let source = GtidSource::Server { uuid: *uuid, tag: tag.into() };
            for _ in 0..take_u64(&mut rest)? {
                let (start, end) = (take_u64(&mut rest)?, take_u64(&mut rest)?);
                if start == 0 || start >= end {
                    return None;
                }
                set.insert_interval(&source, start, end);
            }
        }
        Some(set)
    }
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    let (value, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*value))
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
        for (index, (domain, Last { server, number })) in self.domains.iter().enumerate() {
            if index > 0 || !self.intervals.is_empty() {
                f.write_str(",")?;
            }
            write!(f, "{domain}-{server}-{number}")?;
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
            if let Some((domain, last)) = parse_last(part) {
                set.insert_last(domain, last);
                continue;
            }
            let mut fields = part.split(':').map(str::trim);
            let uuid = parse_uuid(fields.next().unwrap_or_default()).ok_or_else(|| invalid("a UUID is malformed"))?;
            let mut source = GtidSource::Server { uuid, tag: Arc::from("") };
            for field in fields {
                if field.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                    source = GtidSource::Server { uuid, tag: Arc::from(field.to_ascii_lowercase()) };
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

/// `0-1-23`.
fn parse_last(text: &str) -> Option<(u32, Last)> {
    let mut fields = text.split('-');
    let mut next = || fields.next();
    let (domain, server) = (next()?.parse().ok()?, next()?.parse().ok()?);
    let number = next()?.parse().ok()?;
    next().is_none().then_some((domain, Last { server, number }))
}

pub(super) fn parse_uuid(text: &str) -> Option<[u8; 16]> {
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
        let mut domains = set.domains.iter();
        match (single.next(), single.next(), domains.next(), domains.next()) {
            (Some((source, &[(number, end)])), None, None, None) if end == number + 1 => {
                Ok(Gtid { source: source.clone(), number })
            }
            (None, None, Some((&domain, &Last { server, number })), None) => {
                Ok(Gtid { source: GtidSource::Domain { domain, server }, number })
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
