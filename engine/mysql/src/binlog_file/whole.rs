//! Whether a file that another one follows is all that its server has written into it. One that was copied while the server wrote may end
//! between two transactions, and then nothing in it says that the rest is missing.
//!
//! Each file begins with what was executed before it: on MySQL a set of GTIDs, on MariaDB the last one of each server in each domain.
//!
//! ```text
//! file 7   │ list: 0-1-40 │ 0-1-41 │ 0-1-42 │            a copy that lacks 0-1-43
//! file 8   │ list: 0-1-43 │ 0-1-44 …                     says so
//! ```
//!
//! Without GTIDs, MySQL marks the file that it writes as in use, takes the mark away when it leaves the file, and does so behind a crash, too. (MariaDB
//! leaves the mark behind a crash. And `mysqlbinlog --raw` does not copy it: of such a file, only its last event tells.)

use std::collections::BTreeMap;

use crate::binlog::event::{FormatDescription, Header, Input, Short, kind, parse_gtid, parse_tagged_gtid};
use crate::binlog::{Fault, FileFault};
use tidegate_model::GtidSet;

/// Flag of a format description: the server writes to the file.
const IN_USE: u16 = 1;

/// What the files of one reading have told so far.
#[derive(Debug, Default)]
pub(super) struct Whole {
    in_use: bool,
    is_mariadb: bool,
    last: u8,
    /// The last sequence number of each server in each of MariaDB's domains.
    numbers: BTreeMap<(u32, u32), u64>,
    /// A list was read: servers that are not among the numbers had nothing before it.
    has_list: bool,
    /// Of MySQL, what was executed up to here; none before the first set.
    executed: Option<GtidSet>,
}

impl Whole {
    /// Of each event of each file, whole and in its order, also before the place where reading begins.
    pub(super) fn note(&mut self, event: &[u8]) -> Result<(), Fault> {
        let header = Header::parse(event)?;
        let mut body = Input::new(event.get(Header::LENGTH..).ok_or(Short)?);
        self.last = header.kind;
        match header.kind {
            kind::FORMAT_DESCRIPTION => {
                self.in_use = header.flags & IN_USE != 0;
                self.is_mariadb = FormatDescription::parse(&header, event)?.mariadb.is_some();
            }
            kind::MARIADB_GTID => {
                let (number, domain) = (body.u64()?, body.u32()?);
                self.pass(domain, header.server_id, number);
            }
            kind::MARIADB_GTID_LIST => self.list(body)?,
            kind::GTID | kind::GTID_TAGGED => {
                if let Some(executed) = &mut self.executed {
                    executed.insert(&match header.kind {
                        kind::GTID => parse_gtid(body.rest())?,
                        _ => parse_tagged_gtid(body.rest())?,
                    });
                }
            }
            kind::PREVIOUS_GTIDS => {
                let before = GtidSet::decode(body.rest()).ok_or(Fault::Damaged("its set of GTIDs is none"))?;
                if let Some(executed) = &self.executed
                    && !executed.contains_set(&before)
                {
                    return Err(FileFault::Short { until: Some(before.without(executed).in_line()) }.into());
                }
                self.executed = Some(before);
            }
            _ => {}
        }
        Ok(())
    }

    fn pass(&mut self, domain: u32, server: u32, number: u64) {
        let last = self.numbers.entry((domain, server)).or_default();
        *last = number.max(*last);
    }

    /// Count, then of each GTID domain, server and sequence number; several of a domain in which several servers have written.
    fn list(&mut self, mut body: Input<'_>) -> Result<(), Fault> {
        const COUNT: u32 = 0x0fff_ffff;
        let before = self.numbers.clone();
        for _ in 0..body.u32()? & COUNT {
            let (domain, server, number) = (body.u32()?, body.u32()?, body.u64()?);
            let is_missing = match before.get(&(domain, server)) {
                Some(&last) => last < number,
                None => self.has_list,
            };
            if is_missing {
                return Err(FileFault::Short { until: Some(format!("{domain}-{server}-{number}")) }.into());
            }
            self.pass(domain, server, number);
        }
        self.has_list = true;
        Ok(())
    }

    /// The file has ended, and another follows.
    pub(super) fn left(&self) -> Result<(), FileFault> {
        match self.in_use && !self.is_mariadb && !matches!(self.last, kind::ROTATE | kind::STOP) {
            true => Err(FileFault::Short { until: None }),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u8, flags: u16, body: &[u8]) -> Vec<u8> {
        let mut event = vec![0; Header::LENGTH];
        event[4] = kind;
        event[5] = 1; // server id
        event[17..].copy_from_slice(&flags.to_le_bytes());
        event.extend_from_slice(body);
        event
    }

    fn description(version: &str, flags: u16) -> Vec<u8> {
        let mut body = vec![4, 0];
        body.extend_from_slice(version.as_bytes());
        body.resize(2 + 50 + 4, 0);
        body.push(Header::LENGTH as u8);
        // Lengths of no event type; no checksums, and the place of one.
        body.extend_from_slice(&[0; 5]);
        event(kind::FORMAT_DESCRIPTION, flags, &body)
    }

    fn gtid(domain: u32, number: u64) -> Vec<u8> {
        event(kind::MARIADB_GTID, 0, &[&number.to_le_bytes()[..], &domain.to_le_bytes()].concat())
    }

    fn list(entries: &[(u32, u64)]) -> Vec<u8> {
        let mut body = (entries.len() as u32 | 1 << 28).to_le_bytes().to_vec();
        for (domain, number) in entries {
            body.extend_from_slice(&domain.to_le_bytes());
            body.extend_from_slice(&1u32.to_le_bytes());
            body.extend_from_slice(&number.to_le_bytes());
        }
        // Of a checksum.
        body.extend_from_slice(&[0; 4]);
        event(kind::MARIADB_GTID_LIST, 0, &body)
    }

    #[test]
    fn mysql_marks_the_file_that_it_writes() {
        for (flags, last, is_whole) in
            [(1, kind::XID, false), (1, kind::ROTATE, true), (1, kind::STOP, true), (0, kind::XID, true)]
        {
            let mut whole = Whole::default();
            whole.note(&description("8.4.6", flags)).unwrap();
            whole.note(&event(last, 0, &[])).unwrap();
            assert_eq!(whole.left().is_ok(), is_whole, "{flags} {last}");
        }
    }

    #[test]
    fn mariadb_lists_what_came_before() {
        let reads = |events: &[Vec<u8>]| {
            let mut whole = Whole::default();
            whole.note(&description("10.11.6-MariaDB-log", 1)).unwrap();
            let short = events.iter().find_map(|event| whole.note(event).err());
            whole.left().unwrap();
            short.map(|fault| fault.to_string())
        };
        assert_eq!(reads(&[list(&[(0, 40)]), gtid(0, 41), list(&[(0, 41)]), gtid(0, 42)]), None);
        let short = reads(&[list(&[(0, 40)]), gtid(0, 41), list(&[(0, 42)])]);
        assert!(short.is_some_and(|fault| fault.contains("0-1-42")));
        assert!(reads(&[list(&[(0, 40)]), gtid(0, 41), list(&[(0, 41), (7, 1)])]).is_some());
        // Without a list before it, nothing is known of a domain that was not met.
        assert_eq!(reads(&[gtid(0, 41), list(&[(0, 41), (7, 1)])]), None);
        // Without `gtid_strict_mode`, another server's numbers may be greater.
        let mut other = gtid(0, 90);
        other[5] = 2;
        let short = reads(&[list(&[(0, 40)]), gtid(0, 41), other, list(&[(0, 42)])]);
        assert!(short.is_some_and(|fault| fault.contains("0-1-42")));
    }

    #[test]
    fn mysql_says_what_was_executed_before() {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let before = |set: &str| event(kind::PREVIOUS_GTIDS, 0, &set.parse::<GtidSet>().unwrap().encode());
        let gtid = |number: u64| {
            let set: GtidSet = format!("{uuid}:1").parse().unwrap();
            event(kind::GTID, 0, &[&[1][..], &set.encode()[8..24], &number.to_le_bytes()].concat())
        };
        let short = |events: &[Vec<u8>]| {
            let mut whole = Whole::default();
            // As `mysqlbinlog --raw` writes it: without the mark.
            whole.note(&description("8.4.6", 0)).unwrap();
            events.iter().find_map(|event| whole.note(event).err()).map(|fault| fault.to_string())
        };
        let to = |last: u64| before(&format!("{uuid}:1-{last}"));
        assert_eq!(short(&[to(40), gtid(41), gtid(42), to(42), gtid(43), to(43)]), None);
        assert_eq!(short(&[before(""), gtid(1), to(1)]), None);
        let missing = short(&[to(40), gtid(41), to(43)]).expect("it lacks two");
        assert!(missing.contains(&format!("{uuid}:42-43")), "{missing}");
    }
}
