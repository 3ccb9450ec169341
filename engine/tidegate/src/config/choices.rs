//! What a task file can choose among where no stage has the words itself: a choice that a stage obeys alone is a type of that stage.

use super::template::TopicTemplate;

/// `sink.non_empty_topics`: what becomes of a start without a state, or with a new table, if the topics hold messages
/// already. Default `refuse`: a task that has lost its state looks the same, and would send all rows again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonEmptyTopics {
    Refuse,
    /// Others write to the topics too.
    Accept,
}

impl NonEmptyTopics {
    pub(super) const WORDS: &[(&str, Self)] = &[("refuse", NonEmptyTopics::Refuse), ("accept", NonEmptyTopics::Accept)];
}

/// `too_large`: what becomes of a message that is larger than its topic takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TooLargePolicy {
    /// The task stops. The default: nobody has said that anything may be missing.
    Fail,
    /// It is left out and counted.
    Skip,
    /// `dead_letter.topic`: it goes there, in parts. Default `{task}.dead_letter`.
    DeadLetter(TopicTemplate),
    Truncate(Truncation),
}

/// `too_large.truncate`: columns are cut, and the row is sent with what is left of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncation {
    /// `columns`: as they are called where they go; `None` for all of text and bytes that may be cut.
    pub columns: Option<Vec<String>>,
    /// `bytes`: what is left of a value at most. No default.
    pub bytes: usize,
    /// It stands under `sink`, so that not every table has all of the columns.
    pub of_all_tables: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    Canal,
    Dts,
}

impl Profile {
    pub(crate) const WORDS: &[(&str, Self)] = &[("canal", Profile::Canal), ("dts", Profile::Dts)];
}

/// `full_load.consistency`: how snapshot and changes meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Without any lock. Nothing is lost; changes made while a chunk's view opens may come out twice.
    LockFree,
}

impl Consistency {
    pub(super) const WORDS: &[(&str, Self)] = &[("lock_free", Consistency::LockFree)];
}

/// `incremental.ddl`: what becomes of statements that touch captured tables. Default `ignore`, as in DTS: consumers of rows
/// stop at what they do not expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DdlPolicy {
    /// They are followed, and not sent.
    Ignore,
    /// They are sent as messages of their own.
    Forward,
}

impl DdlPolicy {
    pub(super) const WORDS: &[(&str, Self)] = &[("ignore", DdlPolicy::Ignore), ("forward", DdlPolicy::Forward)];
}

/// `incremental.unchanged_updates`: what becomes of an update of which nothing that leaves has changed. Default `send`, as Canal does:
/// who counts changes finds each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnchangedUpdates {
    Send,
    Skip,
}

impl UnchangedUpdates {
    pub(super) const WORDS: &[(&str, Self)] = &[("send", UnchangedUpdates::Send), ("skip", UnchangedUpdates::Skip)];
}

/// `delivery`: what a crash does to messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// Those since the last checkpoint are repeated, in order; none is lost.
    AtLeastOnce,
}

impl Guarantee {
    pub(super) const WORDS: &[(&str, Self)] = &[("at_least_once", Guarantee::AtLeastOnce)];
}
