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
//! at once, and one that does not change has one state to be equal to. A chunk that was read twice has shown two moments, and both count.
//!
//! Messages of a partition are in order. Those of a key that moves from one partition to another are ordered by the time at which they were
//! written; a delete and an insert of the same millisecond are a move.
//!
//! A table without a key is compared as a multiset: how often a row is there must be how often it was told, at some moment in between. The
//! tables that share a name are read one after the other, and of rows in several partitions no order is known: where that is why counts differ,
//! what was told meanwhile may be in the source's count or not.
//!
//! What is said comes in this order: what the topic had before, what the source has, what the topic got later. So nothing of it has to
//! be kept but the last of each partition and whether a row has been met, however often a key is told.

use super::spill::{Size, State, Word};
use super::target::{ALL_COLUMNS, Print};

/// What was said of a key, or of a row of a table without one.
#[derive(Clone, Debug)]
pub(super) enum Words {
    Keyed(Keyed),
    Counted(Counted),
}

impl Words {
    pub(super) fn new(has_key: bool) -> Words {
        if has_key { Words::Keyed(Keyed::default()) } else { Words::Counted(Counted::default()) }
    }

    pub(super) fn add(&mut self, word: Word) {
        match self {
            Words::Keyed(words) => words.add(word),
            Words::Counted(words) => words.add(word),
        }
    }

    /// For the next look: what the topic has now is what it had before, and the source is asked anew.
    pub(super) fn look_again(&mut self) {
        match self {
            Words::Keyed(words) => words.look_again(),
            Words::Counted(words) => words.look_again(),
        }
    }

    /// Whether nothing was told since the first look.
    pub(super) fn is_quiet(&self) -> bool {
        match self {
            Words::Keyed(words) => !words.is_moving,
            Words::Counted(words) => (words.plus, words.minus) == (0, 0),
        }
    }
}

/// What was said of a key.
#[derive(Clone, Debug, Default)]
pub(super) struct Keyed {
    /// Of each partition that has it.
    told: Vec<Told>,
    rows: Vec<Row>,
    is_moving: bool,
    /// The topic has been without it since the first look.
    was_gone: bool,
}

#[derive(Clone, Debug)]
struct Told {
    partition: u32,
    /// The last state at the first look.
    before: Option<(i64, State)>,
    now: (i64, State),
}

/// What the source showed.
#[derive(Clone, Debug)]
struct Row {
    source: u16,
    size: Size,
    prints: Vec<Option<Print>>,
    /// How well it fits what came after the first look.
    fit: Option<Fit>,
}

/// How well a row is what a message says, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    Whole,
    /// By the columns that the message has, and others have values.
    Partly,
    /// But for columns that were cut, because the row is too large.
    Cut,
    /// The same, and the row may have become smaller since.
    CutBefore,
}

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Both have it, and the same.
    Equal(Fit),
    /// Neither has it.
    Gone,
    Missing,
    Extra,
    Different,
    /// Several tables of one name have it, and the topic has one of their rows: nobody can tell whose.
    Shared,
}

impl Row {
    fn fit_to(&self, state: State) -> Option<Fit> {
        let State::Row { shape, hash, cut, .. } = state else { return None };
        let print = |shape: u16, hash| {
            self.prints.get(usize::from(shape)).copied().flatten().filter(|print: &Print| print.hash == hash)
        };
        if let Some(print) = print(shape, hash) {
            return Some(if shape == ALL_COLUMNS || print.is_all { Fit::Whole } else { Fit::Partly });
        }
        let (shape, hash) = cut?;
        print(shape, hash).map(|_| if self.size == Size::Small { Fit::CutBefore } else { Fit::Cut })
    }
}

impl Keyed {
    pub(super) fn add(&mut self, word: Word) {
        let (partition, told, is_later) = match word {
            Word::Row { source, size, prints, .. } => {
                if !self.rows.iter().any(|row| row.source == source && row.prints == prints) {
                    self.rows.reserve_exact(1);
                    self.rows.push(Row { source, size, prints, fit: None });
                }
                return;
            }
            Word::Told { partition, at_ms, is_later, state } => (partition, (at_ms, state), is_later),
        };
        let before = (!is_later).then_some(told);
        match self.told.iter_mut().find(|one| one.partition == partition) {
            Some(one) => (one.before, one.now) = (before.or(one.before), told),
            None => {
                self.told.reserve_exact(1);
                self.told.push(Told { partition, before, now: told });
            }
        }
        if is_later {
            self.is_moving = true;
            self.was_gone |= told.1 == State::Gone;
            for row in &mut self.rows {
                row.fit = better(row.fit, row.fit_to(told.1));
            }
        }
    }

    fn look_again(&mut self) {
        self.told.iter_mut().for_each(|told| told.before = Some(told.now));
        self.rows.clear();
        (self.is_moving, self.was_gone) = (false, false);
    }

    pub(super) fn has_row(&self) -> bool {
        !self.rows.is_empty()
    }

    /// What a consumer has now, and since when.
    fn last(&self) -> (i64, State) {
        latest(self.told.iter().map(|told| told.now))
    }

    /// Whether what was told last is what the source showed last: if not, nobody knows yet that it is not wrong.
    pub(super) fn is_settled(&self) -> bool {
        match self.rows.last() {
            None => !self.is_told(),
            Some(row) => row.fit_to(self.last().1).is_some(),
        }
    }

    /// Whether a consumer has the row now.
    pub(super) fn is_told(&self) -> bool {
        self.last().1 != State::Gone
    }

    /// When that was told last that a consumer has now.
    pub(super) fn told_ms(&self) -> i64 {
        self.last().0
    }

    /// The size of the row's messages: of the larger, if both sides have one.
    pub(super) fn size(&self) -> Size {
        let told = match self.last().1 {
            State::Row { is_large: true, .. } => Size::Large,
            _ => Size::Small,
        };
        self.rows.iter().map(|row| row.size).fold(told, Size::max)
    }

    pub(super) fn judge(&self) -> Verdict {
        let (_, before) = latest(self.told.iter().filter_map(|told| told.before));
        let Some(first) = self.rows.first() else {
            return if before == State::Gone || self.was_gone { Verdict::Gone } else { Verdict::Extra };
        };
        let fits = self.rows.iter().map(|row| better(row.fit_to(before), row.fit));
        let is_shared = self.rows.iter().any(|row| row.source != first.source);
        let verdict = match is_shared {
            true => fits.flatten().next().map(|_| Verdict::Shared),
            // Each moment that was shown counts.
            false => fits.collect::<Option<Vec<Fit>>>().and_then(|fits| fits.into_iter().max()).map(Verdict::Equal),
        };
        verdict.unwrap_or(if self.is_told() { Verdict::Different } else { Verdict::Missing })
    }
}

fn better(one: Option<Fit>, other: Option<Fit>) -> Option<Fit> {
    one.into_iter().chain(other).min()
}

/// The last of several partitions' states, and its time; gone at no time if there is none.
fn latest(states: impl Iterator<Item = (i64, State)>) -> (i64, State) {
    states.max_by_key(|(at_ms, state)| (*at_ms, *state != State::Gone)).unwrap_or((i64::MIN, State::Gone))
}

/// What was said of a row of a table without a key: each message counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    /// How often it was told at the first look, and now.
    before: i64,
    told: i64,
    /// The least and the most in between,
    least: i64,
    most: i64,
    /// and how often it came and went.
    plus: i64,
    minus: i64,
    /// Of each source how often reading it had begun, and how often the row was there.
    rows: Vec<(u16, u32, i64)>,
    size: Size,
}

/// How often a row is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) rows: i64,
    pub(super) told: i64,
    pub(super) missing: i64,
    pub(super) extra: i64,
}

impl Counted {
    fn add(&mut self, word: Word) {
        let (is_later, state) = match word {
            Word::Row { source, attempt, size, .. } => {
                self.size = self.size.max(size);
                match self.rows.iter_mut().find(|(of, ..)| *of == source) {
                    // What was read before the connection was lost does not count.
                    Some((_, begun, count)) if *begun < attempt => (*begun, *count) = (attempt, 1),
                    Some((_, begun, count)) => *count += i64::from(*begun == attempt),
                    None => self.rows.push((source, attempt, 1)),
                }
                return;
            }
            Word::Told { is_later, state, .. } => (is_later, state),
        };
        if let State::Row { is_large: true, .. } = state {
            self.size = self.size.max(Size::Large);
        }
        let is_row = state != State::Gone;
        self.told += if is_row { 1 } else { -1 };
        if is_later {
            (self.plus, self.minus) = (self.plus + i64::from(is_row), self.minus + i64::from(!is_row));
            (self.least, self.most) = (self.least.min(self.told), self.most.max(self.told));
        } else {
            (self.before, self.least, self.most) = (self.told, self.told, self.told);
        }
    }

    fn look_again(&mut self) {
        *self = Counted {
            before: self.told,
            told: self.told,
            least: self.told,
            most: self.told,
            size: self.size,
            ..Counted::default()
        };
    }

    pub(super) fn size(&self) -> Size {
        self.size
    }

    /// `attempts` says of each source how often reading it has begun. `is_loose` if no order is known of what was told meanwhile.
    pub(super) fn count(&self, attempts: &dyn Fn(u16) -> u32, is_loose: bool) -> Count {
        let rows = self.rows.iter().filter(|(source, attempt, _)| *attempt == attempts(*source));
        let rows: i64 = rows.map(|(.., count)| count).sum();
        let (least, most) = match is_loose {
            true => (self.before - self.minus, self.before + self.plus),
            false => (self.least, self.most),
        };
        Count { rows, told: self.told, missing: (rows - most).max(0), extra: (least - rows).max(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::target::Hash;

    const A: State = State::Row { shape: 0, hash: 1, is_large: false, cut: None };
    const B: State = State::Row { shape: 0, hash: 2, is_large: false, cut: None };
    const GONE: State = State::Gone;
    const EQUAL: Verdict = Verdict::Equal(Fit::Whole);

    fn prints(hashes: &[Option<(Hash, bool)>]) -> Vec<Option<Print>> {
        hashes.iter().map(|print| print.map(|(hash, is_all)| Print { hash, is_all })).collect()
    }

    fn row(hash: Hash) -> Word {
        Word::Row { source: 0, attempt: 1, size: Size::Small, prints: prints(&[Some((hash, true))]) }
    }

    fn told(partition: u32, at_ms: i64, is_later: bool, state: State) -> Word {
        Word::Told { partition, at_ms, is_later, state }
    }

    fn keyed(words: impl IntoIterator<Item = Word>) -> Keyed {
        let mut all = Keyed::default();
        words.into_iter().for_each(|word| all.add(word));
        all
    }

    /// In the order in which they are said.
    fn judge(words: impl IntoIterator<Item = Word>) -> Verdict {
        let mut words: Vec<Word> = words.into_iter().collect();
        words.sort_by_key(|word| match word {
            Word::Told { is_later, .. } => u8::from(*is_later) * 2,
            Word::Row { .. } => 1,
        });
        keyed(words).judge()
    }

    #[test]
    fn a_key_that_stands_still_has_one_state() {
        assert_eq!(judge([told(0, 1, false, B), told(0, 2, false, A), row(1)]), EQUAL);
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
        assert_eq!([with(&[row(1)]), with(&[row(2)]), with(&[])], [EQUAL, EQUAL, Verdict::Gone]);
        assert_eq!(with(&[row(3)]), Verdict::Missing);
        // Inserted meanwhile, and not seen yet.
        assert_eq!(judge([told(0, 2, true, A)]), Verdict::Gone);
        // Both moments at which it was shown.
        assert_eq!([with(&[row(1), row(2)]), with(&[row(1), row(3)])], [EQUAL, Verdict::Missing]);
        assert_eq!(judge([told(0, 1, false, A), row(1), row(2)]), Verdict::Different);
        // The last state counts at the next look.
        for (words, is_settled) in [
            (vec![told(0, 1, false, A), row(1), told(0, 2, true, B)], false),
            (vec![told(0, 1, false, A), row(2), told(0, 2, true, B)], true),
            (vec![told(0, 2, true, A)], false),
            (vec![told(0, 1, false, A), told(0, 2, true, GONE)], true),
        ] {
            assert_eq!(keyed(words.clone()).is_settled(), is_settled, "{words:?}");
        }
    }

    #[test]
    fn a_key_in_two_partitions_is_where_it_came_to_last() {
        let moved = |later| [told(0, 1, false, A), told(0, 5, later, GONE), told(1, 5, later, B)];
        assert_eq!(judge(moved(false).into_iter().chain([row(2)])), EQUAL);
        assert_eq!(judge(moved(false).into_iter().chain([row(1)])), Verdict::Different);
        assert_eq!(judge(moved(true).into_iter().chain([row(1)])), EQUAL);
        // More partitions than before: the delete is not where the row was.
        assert_eq!(judge([told(0, 1, false, A), told(2, 9, false, GONE)]), Verdict::Gone);
    }

    #[test]
    fn rows_are_compared_by_the_columns_that_were_sent() {
        let sent = State::Row { shape: 1, hash: 9, is_large: false, cut: None };
        let of =
            |less| Word::Row { source: 0, attempt: 1, size: Size::Small, prints: prints(&[Some((1, true)), less]) };
        let with = |less| judge([told(0, 1, false, sent), of(less)]);
        assert_eq!(with(Some((9, false))), Verdict::Equal(Fit::Partly));
        assert_eq!(with(Some((9, true))), EQUAL);
        assert_eq!(with(Some((1, true))), Verdict::Different);
        assert_eq!(with(None), Verdict::Different);
    }

    #[test]
    fn what_was_cut_is_compared_by_the_rest() {
        let sent = |rest| State::Row { shape: 0, hash: 5, is_large: true, cut: Some((1, rest)) };
        let of = |size| Word::Row { source: 0, attempt: 1, size, prints: prints(&[Some((1, true)), Some((9, false))]) };
        let with = |rest, size| judge([told(0, 1, false, sent(rest)), of(size)]);
        assert_eq!(with(9, Size::TooLarge), Verdict::Equal(Fit::Cut));
        assert_eq!(with(9, Size::Small), Verdict::Equal(Fit::CutBefore));
        assert_eq!(with(8, Size::TooLarge), Verdict::Different);
    }

    #[test]
    fn a_key_of_two_tables_is_nobodys() {
        let other = |hash| match row(hash) {
            Word::Row { attempt, size, prints, .. } => Word::Row { source: 1, attempt, size, prints },
            told => told,
        };
        assert_eq!(judge([told(0, 1, false, A), row(1), other(2)]), Verdict::Shared);
        assert_eq!(judge([told(0, 1, false, A), row(2), other(1)]), Verdict::Shared);
        assert_eq!(judge([told(0, 1, false, A), row(2), other(3)]), Verdict::Different);
        assert_eq!(judge([row(2), other(2)]), Verdict::Missing);
    }

    #[test]
    fn the_next_look_begins_where_this_one_ended() {
        let mut words = Words::Keyed(keyed([told(0, 1, false, A), row(3), told(0, 2, true, B)]));
        let judge = |words: &Words| match words {
            Words::Keyed(keyed) => keyed.judge(),
            Words::Counted(_) => unreachable!("it has a key"),
        };
        assert_eq!((judge(&words), words.is_quiet()), (Verdict::Different, false));
        words.look_again();
        words.add(row(1));
        assert_eq!((judge(&words), words.is_quiet()), (Verdict::Different, true));
        words.look_again();
        words.add(row(2));
        assert_eq!(judge(&words), EQUAL);
    }

    #[test]
    fn however_often_a_key_is_told_no_more_is_kept_of_it() {
        let states = (0..100_000).map(|hash| State::Row { shape: 0, hash, is_large: false, cut: None });
        let told = states.enumerate().map(|(at, state)| told(at as u32 % 2, at as i64, at >= 50_000, state));
        let words = keyed(std::iter::once(row(70_000)).chain(told));
        assert_eq!((words.judge(), words.told.len(), words.rows.len()), (EQUAL, 2, 1));
    }

    #[test]
    fn without_keys_rows_are_counted() {
        let counted = |words: &[Word]| {
            let mut all = Counted::default();
            words.iter().for_each(|word| all.add(word.clone()));
            all
        };
        let count = |words: &[Word], is_loose| {
            let Count { rows, told, missing, extra } = counted(words).count(&|_| 1, is_loose);
            [rows, told, missing, extra]
        };
        let plus = |later| told(0, 1, later, A);
        let minus = |later| told(0, 1, later, GONE);
        assert_eq!(count(&[plus(false), plus(false), minus(false), plus(false), row(1), row(1)], false), [2, 2, 0, 0]);
        assert_eq!(count(&[plus(false), row(1), row(1), row(1)], true), [3, 1, 2, 0]);
        assert_eq!(count(&[plus(false), plus(false), row(1)], true), [1, 2, 0, 1]);
        // Any count that there was meanwhile; or that there may have been, in whatever order.
        let words = [plus(false), plus(false), minus(true), plus(true), plus(true)];
        for (rows, missing) in [(1, 0), (2, 0), (3, 0), (4, 1)] {
            let words = [&words[..2], &vec![row(1); rows], &words[2..]].concat();
            assert_eq!(count(&words, false), [rows as i64, 3, missing, 0]);
            assert_eq!(count(&words, true), [rows as i64, 3, 0, 0]);
        }
        // What was read before the connection was lost does not count.
        let again = |attempt| Word::Row { source: 0, attempt, size: Size::Small, prints: Vec::new() };
        assert_eq!(count(&[plus(false), again(0), row(1), again(0)], false), [1, 1, 0, 0]);
        let mut words = counted(&[plus(false), row(1), plus(true)]);
        words.look_again();
        words.add(row(1));
        let Count { rows, told, missing, extra } = words.count(&|_| 1, true);
        assert_eq!([rows, told, missing, extra], [1, 2, 0, 1]);
    }
}
