//! Where a run ends by itself, as somebody writes it: `tidegate run --until`.
//!
//! ```text
//! now                                            where the server's binlog ends when the run starts
//! 2026-11-28T10:00:00Z, …+01:00                  a time, to the second
//! binlog.000007:1234                             a place in a file
//! 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-20      a set of GTIDs; MariaDB's: 0-1-23
//! ```
//!
//! What each means to a reader of the binlog, [`tidegate_mysql::until`] says.

use std::fmt;
use std::str::FromStr;

use crate::hints;
use tidegate_model::types::{IMPOSSIBLE_DATE_END, date_from_parts};
use tidegate_model::words::time_text;
use tidegate_model::{Coordinate, GtidSet, Watermark};
use tidegate_mysql::until::LookUpError;

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// What the server had executed when the run started, once that is known: a start within the run does not move it.
    Now(Option<Watermark>),
    /// Seconds since 1970.
    Time(u32),
    Place(Coordinate),
    Gtids(GtidSet),
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Until::Now(_) => f.write_str("now"),
            Until::Time(time_s) => f.write_str(&time_text(*time_s)),
            Until::Place(at) => at.fmt(f),
            Until::Gtids(set) => f.write_str(&set.in_line()),
        }
    }
}

const FORMS: &str =
    "a time with its zone (2026-11-28T10:00:00Z), a place in the binlog (binlog.000042:1897), a set of GTIDs, or now";

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Until, String> {
        let text = text.trim();
        if text == "now" {
            return Ok(Until::Now(None));
        }
        if let Some(date) = text.get(..10).filter(|date| is_date(date)) {
            return time(date, &text[10..]).map(Until::Time);
        }
        if let Some(gtids) = text.parse::<GtidSet>().ok().filter(|gtids| !gtids.is_empty()) {
            return Ok(Until::Gtids(gtids));
        }
        text.parse().map(Until::Place).map_err(|_| format!("must be {FORMS}"))
    }
}

/// `2026-11-28`. A GTID of MariaDB's could look so; nobody has a domain 2026 whose server 11 has come to 28.
fn is_date(text: &str) -> bool {
    let is_digits = |part: &str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = text.split('-').collect();
    matches!(*parts, [year, month, day] if is_digits(year, 4) && is_digits(month, 2) && is_digits(day, 2))
}

/// `rest` is what stands behind the date: `T10:00:00Z`.
fn time(date: &str, rest: &str) -> Result<u32, String> {
    let Some(rest) = rest.strip_prefix(['T', 't', ' ']) else {
        return Err(format!("a time of day is missing: write {date}T00:00:00Z"));
    };
    let (clock, zone) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => rest.split_at(at),
        None => return Err(format!("the zone is missing: write {date}T{rest}Z, or an offset, {date}T{rest}+01:00")),
    };
    let wrong = || {
        format!(
            "no such time: a time is written as 2026-11-28T10:00:00Z or 2026-11-28T11:00:00+01:00, not {date}T{rest}"
        )
    };
    let number = |text: &str| text.parse::<i64>().ok().filter(|_| text.len() == 2 && !text.starts_with('+'));
    let in_day = |text: &str| -> Option<i64> {
        let mut parts = text.split(':').map(number);
        let (hour, minute) = (parts.next()??, parts.next()??);
        let second = parts.next().unwrap_or(Some(0))?;
        (hour < 24 && minute < 60 && second < 60 && parts.next().is_none())
            .then_some(hour * 3600 + minute * 60 + second)
    };
    let offset_s = match zone.split_at(1) {
        ("Z" | "z", "") => Some(0),
        ("+", offset) => in_day(offset),
        ("-", offset) => in_day(offset).map(|seconds| -seconds),
        _ => None,
    };
    let seconds = days(date)
        .zip(in_day(clock))
        .zip(offset_s)
        .map(|((days, clock_s), offset_s)| days * 86_400 + clock_s - offset_s);
    seconds.and_then(|seconds| u32::try_from(seconds).ok()).ok_or_else(wrong)
}

/// Since 1970, of a date that there is.
fn days(date: &str) -> Option<i64> {
    let mut parts = date.split('-').map(|part| part.parse::<u32>().ok());
    let days = date_from_parts(parts.next()??, parts.next()??, parts.next()??);
    (days > IMPOSSIBLE_DATE_END).then_some(i64::from(days))
}

/// Why a run cannot end there.
#[derive(Debug, thiserror::Error)]
pub enum UntilError {
    #[error("--until {until}: the task has gone past it: it is at {at}")]
    Passed { until: String, at: String },
    #[error("--until {0}: the task follows no changes, and ends when its full load does")]
    NoChanges(Until),
    #[error("--until {0}: files end by themselves")]
    Files(Until),
    #[error("--until {until}: {error}")]
    Place { until: Until, error: LookUpError },
    #[error("--until {until}: the task's positions are {kept}")]
    OtherGtids { until: Until, kept: &'static str },
}

impl UntilError {
    pub fn is_transient(&self) -> bool {
        matches!(self, UntilError::Place { error: LookUpError::Server(error), .. } if error.is_transient())
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            UntilError::Passed { .. } => {
                "what lies behind it was sent before: name a later end, or run it without --until".to_owned()
            }
            UntilError::NoChanges(_) | UntilError::Files(_) => "run it without --until".to_owned(),
            UntilError::Place { error: LookUpError::Server(error), .. } => return hints::of_server(error),
            UntilError::Place { .. } => {
                "SHOW BINARY LOGS lists what there is; a time, or `now`, needs no file".to_owned()
            }
            UntilError::OtherGtids { .. } => format!("write {FORMS}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time_of(text: &str) -> Result<u32, String> {
        match text.parse::<Until>()? {
            Until::Time(seconds) => Ok(seconds),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_time_has_a_zone() {
        assert_eq!(time_of("2026-11-27T12:05:54Z"), Ok(1_795_781_154));
        assert_eq!(time_of("2026-11-27 12:05:54z"), Ok(1_795_781_154));
        assert_eq!(time_of("2026-11-27T13:05:54+01:00"), Ok(1_795_781_154));
        assert_eq!(time_of("2026-11-27T06:35:54-05:30"), Ok(1_795_781_154));
        assert_eq!(time_of("2026-11-28T00:00+00:00"), Ok(1_795_824_000));
        let error = time_of("2026-11-27T12:05:54").unwrap_err();
        assert!(error.contains("the zone is missing: write 2026-11-27T12:05:54Z"), "{error}");
        let error = time_of("2026-11-27").unwrap_err();
        assert!(error.contains("write 2026-11-27T00:00:00Z"), "{error}");
        for wrong in [
            "2026-02-30T10:00:00Z",
            "2026-11-27T24:00:00Z",
            "2026-11-27T10Z",
            "2026-11-27T10:00:00.5Z",
            "2026-11-27T10:00:00+1",
            "1969-01-01T00:00:00Z",
        ] {
            assert!(time_of(wrong).unwrap_err().contains("no such time"), "{wrong}");
        }
    }

    #[test]
    fn places_are_told_apart() {
        const SET: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-20";
        assert_eq!("now".parse(), Ok(Until::Now(None)));
        assert_eq!("mysql-bin.000007:1234".parse(), Ok(Until::Place(Coordinate::new("mysql-bin.000007", 1234))));
        for set in [SET, "0-1-23", "0-1-23,5-2-7"] {
            assert_eq!(set.parse(), Ok(Until::Gtids(set.parse().unwrap())), "{set}");
        }
        for wrong in ["", "tomorrow", "binlog.000007", "binlog.000007:x", "3e11fa47-71ca-11e1-9e33-c80aa9429562"] {
            assert!(wrong.parse::<Until>().unwrap_err().contains("must be a time with its zone"), "{wrong}");
        }
    }
}
