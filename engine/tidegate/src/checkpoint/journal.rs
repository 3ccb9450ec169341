//! What was done to a task, and by whom: the last things, as a part of its state.
//!
//! ```text
//! ["journal",41]   {"at_s":1795781154,"what":"started","by":"run","details":"tidegate 0.1.0, from binlog.000007:4321; --accept filter"}
//! ["journal",42]   {"at_s":1795781160,"what":"paused","by":"socket","details":""}
//! ```
//!
//! It is for people, and nothing goes by it. It never grows beyond [`ENTRIES_MAX`] entries of [`DETAILS_MAX`] bytes: the oldest go first, and
//! what happens again and again without anything between is one entry with a count. Like the log it holds neither passwords nor rows.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use tidegate_model::state::{Changes, Entries, EntryError, Keyed};
use tidegate_model::{TableName, now_s};

/// Entries that a task keeps.
pub const ENTRIES_MAX: usize = 500;
/// Of an entry's text.
const DETAILS_MAX: usize = 500;
/// A load of more tables than these is one entry when it begins and one when it ends.
pub const TABLES_MAX: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Started,
    /// Was told to.
    Stopped,
    /// By itself.
    Ended,
    Failed,
    LoadBegun,
    TableLoaded,
    LoadEnded,
    ReloadAsked,
    ReloadCancelled,
    ReloadBegun,
    SchemaFix,
    GapAccepted,
    /// It goes on from another place.
    Reset,
    Paused,
    Resumed,
    Limits,
    /// The run goes on by another task file, or tries to.
    Applied,
    /// It could not, and goes on by the one before.
    NotApplied,
    /// What a later version has noted.
    #[serde(other)]
    Other,
}

impl What {
    fn is_end(self) -> bool {
        matches!(self, What::Stopped | What::Ended | What::Failed | What::Applied | What::NotApplied)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// `tidegate run`, by what it was told or what it has met.
    Run,
    Signal,
    /// Another command, to a run on this machine.
    Socket,
    Http,
    /// Another command, while no run was at work.
    Command,
    #[serde(other)]
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Seconds since 1970; of several times, the first.
    pub at_s: u32,
    pub what: What,
    pub by: By,
    pub details: String,
    /// How often, and the last time, if it was more than once with nothing between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<(u32, u32)>,
}

/// The entries, each by its number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskJournal(Keyed<u64, Entry>);

impl TaskJournal {
    pub fn note(&mut self, what: What, by: By, details: impl Into<String>) {
        let (at_s, details) = (now_s(), cut(details.into()));
        let number = match self.0.iter().last() {
            Some((number, last)) if (last.what, last.by, &last.details) == (what, by, &details) => {
                let number = *number;
                let entry = self.0.get_mut(&number).expect("it is the last");
                entry.again = Some((entry.again.map_or(1, |(times, _)| times) + 1, at_s));
                return;
            }
            last => last.map_or(0, |(number, _)| *number + 1),
        };
        self.0.insert(number, Entry { at_s, what, by, details, again: None });
        let too_many = self.0.iter().count().saturating_sub(ENTRIES_MAX);
        let oldest: Vec<u64> = self.0.iter().take(too_many).map(|(number, _)| *number).collect();
        oldest.iter().for_each(|number| self.0.remove(number));
    }

    /// The oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.0.values()
    }

    pub fn json(&self) -> Value {
        self.entries().map(|entry| json!(entry)).collect()
    }

    /// A run begins. `told` is what it was told on its command line: options and what stood behind them.
    pub fn note_start(&mut self, from: Option<String>, told: &[(&str, String)]) {
        let mut details = format!("tidegate {}, ", env!("CARGO_PKG_VERSION"));
        details += &from.map_or_else(|| "for the first time".to_owned(), |place| format!("from {place}"));
        told.iter().for_each(|(option, value)| details += &format!("; {option} {value}"));
        // What was told to it since is no sign of life.
        let last = self.entries().filter(|entry| entry.what == What::Started || entry.what.is_end()).last();
        if last.is_some_and(|last| !last.what.is_end()) {
            details += "; the run before has noted no end: it was killed";
        }
        self.note(What::Started, By::Run, details);
    }

    pub(super) fn of_entries(entries: &Entries) -> Result<TaskJournal, EntryError> {
        let mut journal = Keyed::default();
        for ((_, number), entry) in entries.under::<(String, u64), Entry>(&("journal",))? {
            journal.insert(number, entry);
        }
        Ok(TaskJournal(journal))
    }

    pub(super) fn tell(&mut self, all: bool, changes: &mut Changes) {
        self.0.take_changed(all, |number, entry| match entry {
            Some(entry) => changes.put(&("journal", number), entry),
            None => changes.remove(&("journal", number)),
        });
    }
}

/// At most so much of a text, up to the end of a character.
fn cut(text: String) -> String {
    if text.len() <= DETAILS_MAX {
        return text;
    }
    let end = (0..=DETAILS_MAX - 3).rfind(|&end| text.is_char_boundary(end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

/// `shop.a, shop.b`, or how many there are.
pub fn tables_text(names: &[TableName]) -> String {
    match names {
        [] => "no table".to_owned(),
        names if names.len() <= TABLES_MAX => names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        names => format!("{} tables", names.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_bounded_and_tells_what_has_changed() {
        let mut journal = TaskJournal::default();
        let mut entries = Entries::default();
        for number in 0..ENTRIES_MAX + 7 {
            journal.note(What::Limits, By::Http, format!("{number} {}", "é".repeat(DETAILS_MAX)));
            let mut changes = Changes::default();
            journal.tell(false, &mut changes);
            entries.apply(changes.lines());
        }
        assert_eq!(journal.entries().count(), ENTRIES_MAX);
        assert!(journal.entries().all(|entry| entry.details.len() <= DETAILS_MAX && entry.details.ends_with('…')));
        assert!(journal.entries().next().unwrap().details.starts_with("7 "));
        assert_eq!(TaskJournal::of_entries(&entries).unwrap(), journal);
        let mut changes = Changes::default();
        journal.tell(false, &mut changes);
        assert!(changes.is_empty());
    }

    /// Nobody goes by it: an entry of a later version is no reason not to run.
    #[test]
    fn what_a_later_version_notes_is_read() {
        let mut entries = Entries::default();
        entries
            .apply("[\"journal\",3]\t{\"at_s\":7,\"what\":\"moved\",\"by\":\"moon\",\"details\":\"x\",\"more\":1}\n");
        let journal = TaskJournal::of_entries(&entries).unwrap();
        assert_eq!(journal.entries().next().unwrap().what, What::Other);
    }
}
