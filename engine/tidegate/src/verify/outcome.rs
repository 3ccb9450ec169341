//! What comes of a target: keys that differ, why some may, and what could not be compared.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::both::Both;
use super::judge::{Count, Fit, Keyed, Verdict, Words};
use super::report::{self, Explained, Keys, Report, Rows, TableReport, VERSION};
use super::spill::Size;
use super::target::OfLarge;
use super::topic::Extent;
use tidegate_model::words::counted;

/// So many bytes of keys that differ are kept, of all targets.
const WRONG_BYTES: usize = 32 << 20;

/// What came out of a target.
#[derive(Default)]
pub(super) struct Outcome {
    rows: Rows,
    explained: Explained,
    keys: Keys,
    pub(super) judged_once: u64,
    /// Rows that are equal by the columns that were sent, while others have values.
    partly: u64,
    /// Rows that differ because of their size, or for another reason: nobody can tell.
    may_be_too_large: u64,
    /// The same of statements.
    may_be_gone: u64,
    wrong: Wrong,
}

/// Keys of a target that differ, for whoever puts that right.
#[derive(Default)]
pub(super) struct Wrong {
    pub(super) missing: Vec<Vec<u8>>,
    pub(super) different: Vec<Vec<u8>>,
    /// More of these than are kept, rows that no key tells apart, and all that are extra.
    pub(super) others: Rows,
}

impl Outcome {
    fn count_key(&mut self, words: &Keyed) {
        self.rows.source += u64::from(words.has_row());
        self.rows.topic += u64::from(words.is_told());
    }

    fn count_rows(&mut self, count: Count) {
        self.rows.source += count.rows.unsigned_abs();
        self.rows.topic += count.told.max(0).unsigned_abs();
    }
}

/// Why rows differ.
enum Reason {
    None,
    Size,
    /// That, or something is wrong.
    SizeMaybe,
    Statement,
    StatementMaybe,
}

impl Both {
    /// Counts a key that does not differ. False if it does. `is_last` if it is not looked at again.
    pub(super) fn settle(&self, outcome: &mut Outcome, target: usize, words: &Words, is_last: bool) -> bool {
        let words = match words {
            Words::Keyed(words) => words,
            Words::Counted(words) => {
                let count = words.count(&|source| self.begun(target, source), is_last);
                if (count.missing, count.extra) != (0, 0) {
                    return false;
                }
                outcome.count_rows(count);
                return true;
            }
        };
        match words.judge() {
            Verdict::Equal(Fit::Whole) | Verdict::Gone => {}
            Verdict::Equal(Fit::Partly) => outcome.partly += 1,
            Verdict::Equal(Fit::Cut) => outcome.explained.too_large += 1,
            Verdict::Equal(Fit::CutBefore) => {
                outcome.explained.too_large += 1;
                outcome.may_be_too_large += 1;
            }
            Verdict::Shared => outcome.explained.shared_key += 1,
            Verdict::Missing | Verdict::Extra | Verdict::Different => return false,
        }
        outcome.count_key(words);
        true
    }

    /// How often reading a source of a target has begun.
    fn begun(&self, target: usize, source: u16) -> u32 {
        self.attempt(self.targets[target].sources[usize::from(source)].table.name())
    }

    /// Counts a key that differs for good, and why, if there is a reason for it.
    pub(super) fn differs(&self, outcome: &mut Outcome, target: usize, key: &[u8], words: &Words) {
        let words = match words {
            Words::Keyed(words) => words,
            Words::Counted(words) => {
                let count = words.count(&|source| self.begun(target, source), true);
                outcome.count_rows(count);
                let (missing, extra) = (count.missing.unsigned_abs(), count.extra.unsigned_abs());
                // When it was told of a row that is extra, counts do not say.
                let reason = self.reason(target, words.size(), (extra > 0).then_some(i64::MIN));
                let reason = if let Reason::Statement = reason { Reason::StatementMaybe } else { reason };
                if !outcome.explains(&reason, missing + extra) {
                    outcome.rows.missing += missing;
                    outcome.rows.extra += extra;
                    outcome.wrong.others.missing += missing;
                    outcome.wrong.others.extra += extra;
                }
                return;
            }
        };
        outcome.count_key(words);
        let verdict = words.judge();
        let told_ms = (verdict == Verdict::Extra).then(|| words.told_ms());
        if outcome.explains(&self.reason(target, words.size(), told_ms), 1) {
            return;
        }
        let Outcome { rows, keys, wrong: Wrong { missing, different, others }, .. } = outcome;
        let (count, keys, wrong, other) = match verdict {
            Verdict::Missing => (&mut rows.missing, &mut keys.missing, Some(missing), &mut others.missing),
            Verdict::Extra => (&mut rows.extra, &mut keys.extra, None, &mut others.extra),
            _ => (&mut rows.different, &mut keys.different, Some(different), &mut others.different),
        };
        *count += 1;
        let has_room = || self.wrong_bytes.fetch_add(key.len(), Relaxed) + key.len() <= WRONG_BYTES;
        match wrong.filter(|_| self.repairs && has_room()) {
            Some(wrong) => wrong.push(key.to_vec()),
            None => *other += 1,
        }
        if keys.len() < self.keys_max {
            let key = serde_json::from_slice(key);
            keys.push(key.unwrap_or_else(|_| unreachable!("keys were written as JSON")));
        }
    }

    /// Why a row may differ whose messages are so large; of one that is extra, `told_ms` is when it was told.
    fn reason(&self, target: usize, size: Size, told_ms: Option<i64>) -> Reason {
        let of = &self.targets[target];
        let emptied_ms = *self.tallies[target].emptied_ms.lock().expect("nobody panics with it");
        if told_ms.zip(emptied_ms).is_some_and(|(told, emptied)| told <= emptied) {
            // A statement about one of several tables is one about the name that they share.
            return if of.sources.len() > 1 { Reason::StatementMaybe } else { Reason::Statement };
        }
        match (of.of_large, size) {
            (OfLarge::LeavesOut, Size::TooLarge) => Reason::Size,
            (OfLarge::LeavesOut, Size::Large) => Reason::SizeMaybe,
            // Where columns are cut, something is sent of each row.
            _ => Reason::None,
        }
    }

    /// Topics whose first messages are gone, but for compaction, by now.
    pub(super) fn lost(&self, begin: &[i64], now: &[Extent]) -> Vec<&str> {
        let partitions = self.topics.partitions().iter().zip(begin).zip(now);
        let lost = partitions.filter(|((_, begin), now)| **begin > 0 || now.begin > 0);
        let mut topics: Vec<&str> = lost.map(|((partition, _), _)| partition.topic.as_str()).collect();
        topics.dedup();
        topics
    }

    pub(super) fn report(
        &self,
        outcomes: Vec<Outcome>,
        lost: &[&str],
        delivered: bool,
        begun: Instant,
    ) -> (Report, Vec<Wrong>) {
        let tables = outcomes.into_iter().enumerate().map(|(index, outcome)| self.table_report(index, outcome, lost));
        let (tables, wrong): (Vec<TableReport>, Vec<Wrong>) = tables.unzip();
        let mut notes = Vec::new();
        if self.task.incremental.is_none() {
            notes.push(
                "the task follows no changes (incremental: false): what has changed since its full load differs"
                    .to_owned(),
            );
        } else if !delivered {
            notes.push("the task does not run: what has changed since it was at work differs".to_owned());
        }
        match self.unreadable.iter().map(|count| count.load(Relaxed)).sum::<u64>() {
            0 => {}
            count => {
                let messages = counted(count, "message");
                notes.push(format!("of neither format, and passed over: {messages}"));
            }
        }
        let report = Report {
            version: VERSION,
            task: self.task.name.clone(),
            equal: tables.iter().all(|table| table.verdict == report::Verdict::Equal),
            delivered,
            seconds: (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            messages: self.counts.messages.load(Relaxed),
            notes,
            tables,
            repair: None,
        };
        (report, wrong)
    }

    fn table_report(&self, index: usize, mut outcome: Outcome, lost: &[&str]) -> (TableReport, Wrong) {
        let (target, tally) = (&self.targets[index], &self.tallies[index]);
        let mut notes = Vec::new();
        let missing = outcome.rows.missing;
        let lost: Vec<&str> = lost.iter().copied().filter(|topic| target.topics.contains(*topic)).collect();
        let incomparable = tally.incomparable.load(Relaxed);
        // Whether a row that is in no message was in one before, or is in one that cannot be compared, nobody can say.
        let unknown = if !lost.is_empty() {
            Some(format!(
                "topic {} no longer holds its beginning (retention): in none of the messages that are left: {} of the source",
                lost.join(", "),
                counted(missing, "row")
            ))
        } else if self.task.full_load.is_none() {
            Some(format!(
                "the task has no full load: not changed since it began, or missing: {}",
                counted(missing, "row")
            ))
        } else if incomparable > 0 {
            Some(format!("in none of the messages that could be compared: {} of the source", counted(missing, "row")))
        } else {
            None
        };
        if unknown.is_some() {
            outcome.rows.missing = 0;
            outcome.keys.missing.clear();
            outcome.wrong.missing.clear();
            outcome.wrong.others.missing = 0;
        }
        let mut is_unproven = unknown.is_some();
        notes.extend(unknown);
        let mut note = |count: u64, is_proven: bool, what: &str| {
            if count > 0 {
                is_unproven |= !is_proven;
                notes.push(format!("{count} {what}"));
            }
        };
        note(
            incomparable,
            false,
            "messages were sent when the table had other columns or another key, or are of the other format, and could not be compared",
        );
        let lacking = target.lacking().join(", ");
        note(
            outcome.partly,
            false,
            &format!(
                "rows were sent without some of the columns {lacking}, which have values: their other columns were compared"
            ),
        );
        let uncommon = target.uncommon.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let what = format!("columns are not in all tables of this name, and were not compared: {uncommon}");
        note(target.uncommon.len() as u64, false, &what);
        let Explained { too_large, gone_by_statement, shared_key } = outcome.explained;
        let (may_be_too_large, may_be_gone) = (outcome.may_be_too_large, outcome.may_be_gone);
        note(too_large - may_be_too_large, true, "rows are too large for their topic (too_large)");
        note(may_be_too_large, false, "rows differ and may have been too large for their topic (too_large), or not");
        note(gone_by_statement - may_be_gone, true, "rows went by a TRUNCATE or DROP that was sent");
        note(
            may_be_gone,
            false,
            "rows went by a TRUNCATE or DROP that was sent of one of several tables, or are extra",
        );
        note(
            shared_key,
            false,
            "rows have a key that several tables of this name have, and nobody can tell whose row was sent",
        );
        note(outcome.judged_once, true, "rows were judged once: too many differ to look at all of them again");
        note(
            tally.elsewhere.load(Relaxed),
            true,
            "messages about it are in topics of other tables, and were passed over",
        );
        let Rows { missing, extra, different, .. } = outcome.rows;
        let verdict = match missing + extra + different {
            0 if is_unproven => report::Verdict::Unproven,
            0 => report::Verdict::Equal,
            _ => report::Verdict::Different,
        };
        let report = TableReport {
            table: target.name.to_string(),
            sources: target.sources.iter().map(|source| source.table.name().to_string()).collect(),
            topics: target.topics.iter().cloned().collect(),
            key: target.key_names().map(str::to_owned).collect(),
            verdict,
            rows: outcome.rows,
            explained: outcome.explained,
            keys: outcome.keys,
            notes,
        };
        (report, outcome.wrong)
    }
}

impl Outcome {
    /// Counts rows that differ for a reason. False if there is none.
    fn explains(&mut self, reason: &Reason, rows: u64) -> bool {
        match reason {
            Reason::None => return false,
            Reason::Size | Reason::SizeMaybe => self.explained.too_large += rows,
            Reason::Statement | Reason::StatementMaybe => self.explained.gone_by_statement += rows,
        }
        match reason {
            Reason::SizeMaybe => self.may_be_too_large += rows,
            Reason::StatementMaybe => self.may_be_gone += rows,
            _ => {}
        }
        true
    }
}
