//! Whether a file that another one follows is all that its server has written into it. One that was copied while the server wrote may end
//! between two transactions, and then nothing in it says that the rest is missing.
//!
//! MySQL marks the file that it writes as in use, takes the mark away when it leaves the file, and does so behind a crash, too. MariaDB leaves the
//! mark behind a crash, but begins each file with a list of the last GTID of each domain before it:
//!
//! ```text
//! file 7   │ list: 0-1-40 │ 0-1-41 │ 0-1-42 │            a copy that lacks 0-1-43
//! file 8   │ list: 0-1-43 │ 0-1-44 …                     says so
//! ```

use std::collections::BTreeMap;

use crate::binlog::event::{FormatDescription, Header, Input, Short, kind};
use crate::binlog::{Fault, FileFault};

/// Flag of a format description: the server writes to the file.
const IN_USE: u16 = 1;

/// What the files of one reading have told so far.
#[derive(Debug, Default)]
pub(super) struct Whole {
    in_use: bool,
    is_mariadb: bool,
    last: u8,
    /// The last sequence number of each of MariaDB's domains.
    numbers: BTreeMap<u32, u64>,
    /// A list was read: domains that are not among the numbers had nothing before it.
    has_list: bool,
}

impl Whole {
    /// Of each event that is read, whole and in its order.
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
                self.pass(domain, number);
            }
            kind::MARIADB_GTID_LIST => self.list(body)?,
            _ => {}
        }
        Ok(())
    }

    fn pass(&mut self, domain: u32, number: u64) {
        let last = self.numbers.entry(domain).or_default();
        *last = number.max(*last);
    }

    /// Count, then of each GTID domain, server and sequence number; several of a domain in which several servers have written.
    fn list(&mut self, mut body: Input<'_>) -> Result<(), Fault> {
        const COUNT: u32 = 0x0fff_ffff;
        let before = self.numbers.clone();
        for _ in 0..body.u32()? & COUNT {
            let (domain, server, number) = (body.u32()?, body.u32()?, body.u64()?);
            let is_missing = match before.get(&domain) {
                Some(&last) => last < number,
                None => self.has_list,
            };
            if is_missing {
                return Err(FileFault::Short { until: Some(format!("{domain}-{server}-{number}")) }.into());
            }
            self.pass(domain, number);
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
        // Reading has begun in the midst of a file, and has not met the domain.
        assert_eq!(reads(&[gtid(0, 41), list(&[(0, 41), (7, 1)])]), None);
    }
}
