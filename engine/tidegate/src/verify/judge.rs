//! Does a topic hold what the source has of a key? Judged from what was said of it.
//!
//! ```text
//!  topic    ──a────────────┤ends, first look├────b──────────c──┤ends, second look├──►
//!  source                        └── read, chunk by chunk ──┘  └── all delivered ──┘
//!                                          ▲ the row is b
//! ```
//!
//! There is no moment at which both sides stand still. But a topic has the states of a key in the order in which the source had them, so that
//! what the source showed at any moment must be one of those that the topic had from before that moment until everything up to it was
//! delivered: here `a` as it was at the first look, `b`, or `c`. *Gone* is a state as well. So a key that changes all the time is judged
//! at once, and one that does not change has one state to be equal to.
//!
//! Messages of a partition are in order. Those of a key that moves from one partition to another are ordered by the time at which they were
//! written; a delete and an insert of the same millisecond are a move.
//!
//! A table without a key is compared as a multiset: how often a row is there must be how often it was told, at some moment in between.

use std::collections::BTreeMap;

use super::spill::{State, Word};
use super::target::Hash;

/// What was said of a key.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    /// Of each partition the last state at the first look.
    before: BTreeMap<u32, (i64, State)>,
    /// What came after it.
    later: Vec<(u32, i64, State)>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    source: u16,
    attempt: u32,
    is_large: bool,
    hashes: Vec<Option<Hash>>,
}

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Both have it, and the same.
    Equal,
    /// Neither has it.
    Gone,
    Missing,
    Extra,
    Different,
    /// Several tables of one name have it: nobody can tell their rows apart.
    Shared,
}

impl Words {
    pub(super) fn of(words: &mut dyn Iterator<Item = Word>) -> Words {
        let mut all = Words::default();
        words.for_each(|word| all.add(word));
        all
    }

    pub(super) fn add(&mut self, word: Word) {
        match word {
            Word::Row { source, attempt, is_large, hashes } => {
                self.rows.push(Row { source, attempt, is_large, hashes })
            }
            Word::Told { partition, at_ms, is_later: false, state } => {
                _ = self.before.insert(partition, (at_ms, state))
            }
            Word::Told { partition, at_ms, is_later: true, state } => self.later.push((partition, at_ms, state)),
        }
    }

    /// For the next look: what the topic has now is what it had before, and the source is asked anew.
    pub(super) fn look_again(&mut self) {
        for (partition, at_ms, state) in self.later.drain(..) {
            self.before.insert(partition, (at_ms, state));
        }
        self.rows.clear();
    }

    /// Whether nothing was told since the first look.
    pub(super) fn is_quiet(&self) -> bool {
        self.later.is_empty()
    }

    pub(super) fn has_row(&self) -> bool {
        !self.rows.is_empty()
    }

    /// What a consumer has now, and since when.
    fn last(&self) -> (i64, State) {
        let mut last = self.before.clone();
        for &(partition, at_ms, state) in &self.later {
            last.insert(partition, (at_ms, state));
        }
        latest(&last)
    }

    /// Whether a consumer has the row now.
    pub(super) fn is_told(&self) -> bool {
        self.last().1 != State::Gone
    }

    /// When that was told last that a consumer has now.
    pub(super) fn told_ms(&self) -> i64 {
        self.last().0
    }

    /// Whether the size of messages may be why both differ.
    pub(super) fn is_large(&self) -> bool {
        let last = matches!(self.last().1, State::Row { is_large: true, .. });
        last || self.rows.iter().any(|row| row.is_large)
    }

    pub(super) fn judge(&self) -> Verdict {
        if self.rows.iter().any(|row| row.source != self.rows[0].source) {
            return Verdict::Shared;
        }
        let mut states = std::iter::once(latest(&self.before).1).chain(self.later.iter().map(|(.., state)| *state));
        if self.rows.is_empty() {
            return if states.any(|state| state == State::Gone) { Verdict::Gone } else { Verdict::Extra };
        }
        // A chunk that was read twice has shown it twice.
        let is_row = |state: State| match state {
            State::Gone => false,
            State::Row { shape, hash, .. } => {
                self.rows.iter().any(|row| row.hashes.get(usize::from(shape)).is_some_and(|of| *of == Some(hash)))
            }
        };
        match states.any(is_row) {
            true => Verdict::Equal,
            false if self.is_told() => Verdict::Different,
            false => Verdict::Missing,
        }
    }

    /// Of a table without a key, where this is one row: how often it is in the source, told, and how many are missing or extra.
    /// `attempts` says of each source how often reading it has begun: what was read before the last begin does not count.
    pub(super) fn count(&self, attempts: &dyn Fn(u16) -> u32) -> Counted {
        let rows = self.rows.iter().filter(|row| row.attempt == attempts(row.source)).count() as i64;
        let step = |state: State| if state == State::Gone { -1 } else { 1 };
        let (told, least, most) = self.later.iter().fold(
            (self.told_before(), self.told_before(), self.told_before()),
            |(told, least, most), (.., state)| {
                let told = told + step(*state);
                (told, least.min(told), most.max(told))
            },
        );
        Counted { rows, told, missing: (rows - most).max(0), extra: (least - rows).max(0) }
    }

    /// How often the row was told at the first look.
    fn told_before(&self) -> i64 {
        // Without keys, a state of `before` is a count.
        self.before.values().map(|(count, _)| *count).sum()
    }

    /// Of a table without a key: each message counts.
    pub(super) fn add_counted(&mut self, word: Word) {
        match word {
            Word::Told { partition, is_later: false, state, .. } => {
                let count = &mut self.before.entry(partition).or_insert((0, State::Gone)).0;
                *count += if state == State::Gone { -1 } else { 1 };
            }
            word => self.add(word),
        }
    }

    /// As [`Words::look_again`].
    pub(super) fn look_again_counted(&mut self) {
        for (partition, at_ms, state) in std::mem::take(&mut self.later) {
            self.add_counted(Word::Told { partition, at_ms, is_later: false, state });
        }
        self.rows.clear();
    }
}

/// How often a row is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) rows: i64,
    pub(super) told: i64,
    pub(super) missing: i64,
    pub(super) extra: i64,
}

/// The last state of several partitions, and its time; gone at no time if there is none.
fn latest(partitions: &BTreeMap<u32, (i64, State)>) -> (i64, State) {
    let last = partitions.values().max_by_key(|(at_ms, state)| (*at_ms, *state != State::Gone));
    last.copied().unwrap_or((i64::MIN, State::Gone))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: State = State::Row { shape: 0, hash: 1, is_large: false };
    const B: State = State::Row { shape: 0, hash: 2, is_large: false };
    const GONE: State = State::Gone;

    fn row(hash: Hash) -> Word {
        Word::Row { source: 0, attempt: 1, is_large: false, hashes: vec![Some(hash)] }
    }

    fn told(partition: u32, at_ms: i64, is_later: bool, state: State) -> Word {
        Word::Told { partition, at_ms, is_later, state }
    }

    fn judge(words: impl IntoIterator<Item = Word>) -> Verdict {
        Words::of(&mut words.into_iter()).judge()
    }

    #[test]
    fn a_key_that_stands_still_has_one_state() {
        assert_eq!(judge([told(0, 1, false, B), told(0, 2, false, A), row(1)]), Verdict::Equal);
        assert_eq!(judge([told(0, 1, false, A), told(0, 2, false, B), row(1)]), Verdict::Different);
        assert_eq!(judge([row(1)]), Verdict::Missing);
        assert_eq!(judge([told(0, 1, false, A), told(0, 2, false, GONE), row(1)]), Verdict::Missing);
        assert_eq!(judge([told(0, 1, false, A)]), Verdict::Extra);
        assert_eq!(judge([told(0, 1, false, A), told(0, 2, false, GONE)]), Verdict::Gone);
    }

    #[test]
    fn a_key_that_moves_has_been_what_the_source_showed() {
        let moving = [told(0, 1, false, A), told(0, 2, true, B), told(0, 3, true, GONE)];
        let with = |words: &[Word]| judge(moving.iter().cloned().chain(words.iter().cloned()));
        assert_eq!([with(&[row(1)]), with(&[row(2)]), with(&[])], [Verdict::Equal, Verdict::Equal, Verdict::Gone]);
        assert_eq!(with(&[row(3)]), Verdict::Missing);
        // Inserted meanwhile, and not seen yet.
        assert_eq!(judge([told(0, 2, true, A)]), Verdict::Gone);
    }

    #[test]
    fn a_key_in_two_partitions_is_where_it_came_to_last() {
        let moved = |later| [told(0, 1, false, A), told(0, 5, later, GONE), told(1, 5, later, B)];
        assert_eq!(judge(moved(false).into_iter().chain([row(2)])), Verdict::Equal);
        assert_eq!(judge(moved(false).into_iter().chain([row(1)])), Verdict::Different);
        assert_eq!(judge(moved(true).into_iter().chain([row(1)])), Verdict::Equal);
        // More partitions than before: the delete is not where the row was.
        assert_eq!(judge([told(0, 1, false, A), told(2, 9, false, GONE)]), Verdict::Gone);
    }

    #[test]
    fn rows_are_compared_by_the_columns_that_were_sent() {
        let sent = State::Row { shape: 1, hash: 9, is_large: false };
        let of = |less| Word::Row { source: 0, attempt: 1, is_large: false, hashes: vec![Some(1), less] };
        assert_eq!(judge([told(0, 1, false, sent), of(Some(9))]), Verdict::Equal);
        assert_eq!(judge([told(0, 1, false, sent), of(Some(1))]), Verdict::Different);
        assert_eq!(judge([told(0, 1, false, sent), of(None)]), Verdict::Different);
    }

    #[test]
    fn a_key_of_two_tables_is_nobodys() {
        let other = Word::Row { source: 1, attempt: 1, is_large: false, hashes: vec![Some(1)] };
        assert_eq!(judge([told(0, 1, false, A), row(1), other]), Verdict::Shared);
    }

    #[test]
    fn the_next_look_begins_where_this_one_ended() {
        let mut words = Words::of(&mut [told(0, 1, false, A), told(0, 2, true, B), row(3)].into_iter());
        assert_eq!((words.judge(), words.is_quiet()), (Verdict::Different, false));
        words.look_again();
        words.add(row(1));
        assert_eq!((words.judge(), words.is_quiet()), (Verdict::Different, true));
        words.add(row(2));
        assert_eq!(words.judge(), Verdict::Equal);
    }

    #[test]
    fn without_keys_rows_are_counted() {
        let count = |words: &[Word]| {
            let mut all = Words::default();
            words.iter().for_each(|word| all.add_counted(word.clone()));
            let Counted { rows, told, missing, extra } = all.count(&|_| 1);
            [rows, told, missing, extra]
        };
        let plus = |later| told(0, 1, later, A);
        let minus = |later| told(0, 1, later, GONE);
        assert_eq!(count(&[plus(false), plus(false), minus(false), plus(false), row(1), row(1)]), [2, 2, 0, 0]);
        assert_eq!(count(&[plus(false), row(1), row(1), row(1)]), [3, 1, 2, 0]);
        assert_eq!(count(&[plus(false), plus(false), row(1)]), [1, 2, 0, 1]);
        // Any count that there was meanwhile.
        for rows in [1, 2, 3] {
            let words = [plus(false), plus(false), minus(true), plus(true), plus(true)];
            assert_eq!(count(&[&words[..], &vec![row(1); rows]].concat()), [rows as i64, 3, 0, 0]);
        }
        // What was read before the connection was lost does not count.
        let again = Word::Row { source: 0, attempt: 0, is_large: false, hashes: Vec::new() };
        assert_eq!(count(&[plus(false), row(1), again]), [1, 1, 0, 0]);
    }
}
