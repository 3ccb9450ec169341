//! Reads both sides, has each key judged, and those that differ looked at again.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::judge::Words;
use super::message::{Change, Reader, Said, empties};
use super::outcome::{Outcome, Wrong};
use super::spill::{Size, Spill, State, Word};
use super::target::{ALL_COLUMNS, OfLarge, Source, Target, Told, is_one_of, key_rows};
use super::topic::{Message, Topics};
use super::{Report, STILL, VerifyError};
use crate::checkpoint::{self, Checkpoint};
use crate::config::Task;
use crate::pipeline::route::{Routed, Router, encode_window, topic_of_table};
use crate::source::mysql::{MysqlSource, ServerEnd, Wanted};
use crate::status::client;
use crate::status::report::Phase;
use crate::status::words;
use tidegate_model::rate::Rate;
use tidegate_model::status::stages::Busy;
use tidegate_model::{Stop, Stopped, TableName, Window};
use tidegate_mysql::snapshot::LoadEnd;
use tidegate_sink::kafka::MessageLimit;

/// How often keys are looked at that differ.
const LOOKS: usize = 3;
/// Keys that differ and are looked at again, and their bytes; of more, the first look counts.
const AGAIN_MAX: usize = 100_000;
const AGAIN_BYTES: usize = 32 << 20;
/// Up to so many keys of a table, the server is asked for their rows, and else for all rows again.
const ASKED_MAX: usize = 1000;
/// Keys that have moved, of which the server can be asked, and what was told last is not what the source showed: looked at again.
const MOVING_MAX: usize = 500;
/// How often the task's position is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Messages that are counted for a limit at a time.
const MESSAGES_AT_ONCE: u64 = 1000;

/// All that takes part.
pub(super) struct Both {
    pub(super) task: Arc<Task>,
    pub(super) source: MysqlSource,
    pub(super) topics: Topics,
    pub(super) router: Router,
    pub(super) targets: Vec<Target>,
    pub(super) reader: Reader,
    /// What topics take of a message, of those where it matters.
    pub(super) limits: HashMap<String, MessageLimit>,
    pub(super) tallies: Vec<Tally>,
    /// Of each partition, messages that are of neither format.
    pub(super) unreadable: Vec<AtomicU64>,
    pub(super) keys_max: usize,
    /// What differs is to be put right.
    pub(super) repairs: bool,
    /// Of keys that differ.
    pub(super) wrong_bytes: AtomicUsize,
    pub(super) of_rows: Rate,
    pub(super) of_messages: Rate,
    pub(super) counts: Arc<Counts>,
    /// How often reading a table of the source has begun, of those without a key.
    pub(super) attempts: Mutex<HashMap<TableName, u32>>,
    pub(super) runtime: tokio::runtime::Runtime,
    pub(super) stop: Stop,
}

/// What is counted of a target while it is read.
#[derive(Default)]
pub(super) struct Tally {
    /// When a statement was told last by which its rows went.
    pub(super) emptied_ms: Mutex<Option<i64>>,
    /// Messages whose rows have no key, that have other columns where all of them are the key, or that are of the other format.
    pub(super) incomparable: AtomicU64,
    /// Messages in topics that are not its own.
    pub(super) elsewhere: AtomicU64,
}

/// For whoever watches.
#[derive(Default)]
pub(super) struct Counts {
    rows: AtomicU64,
    pub(super) messages: AtomicU64,
    messages_all: AtomicU64,
    phase: Mutex<String>,
}

impl Counts {
    fn begin(&self, phase: impl Into<String>) {
        *self.phase.lock().expect("nobody panics with it") = phase.into();
    }

    pub(super) fn text(&self) -> String {
        let [rows, messages, all] = [&self.rows, &self.messages, &self.messages_all].map(|count| count.load(Relaxed));
        let (messages, all) = (words::count(messages), words::some(all, "message"));
        let phase = self.phase.lock().expect("nobody panics with it");
        format!("verify: {phase}; {messages} of {all} and {} are read", words::some(rows, "row"))
    }
}

/// What was said of a key of a target, while it is judged.
type Put<'a> = dyn Fn(usize, Vec<u8>, Word) -> std::io::Result<()> + Sync + 'a;

/// Keys that differ so far, each with what was said of it.
type Again = HashMap<(usize, Vec<u8>), Words>;

impl Both {
    /// Gives the report, and of each target the keys that differ.
    pub(super) fn run(&self, folder: &Path, begun: Instant) -> Result<(Report, Vec<Wrong>), VerifyError> {
        let first = self.topics.extents()?;
        let begin: Vec<i64> = first.iter().map(|extent| extent.begin).collect();
        let mut seen: Vec<i64> = first.iter().map(|extent| extent.end).collect();
        let disk = |error: std::io::Error| VerifyError::Disk { folder: folder.to_owned(), error };
        let spill = Spill::new(folder).map_err(disk)?;
        let put = |target: usize, key: Vec<u8>, word: Word| spill.add(target as u32, &key, &word);
        self.counts.begin("reading topics");
        self.read_topics(&begin, &seen, false, folder, &put)?;
        self.counts.begin("reading the source");
        let all = self.targets.iter().flat_map(|target| {
            let wanted = |source: &Source| target.wanted(source, None);
            target.sources.iter().map(wanted).collect::<Vec<_>>()
        });
        let all: Vec<Wanted> = all.collect();
        self.read_source(&all, folder, &put)?;
        let mut delivered = self.wait_until_delivered()?;
        seen = self.read_on(&seen, folder, &put)?;

        self.counts.begin("comparing");
        let mut outcomes: Vec<Outcome> = self.targets.iter().map(|_| Outcome::default()).collect();
        let mut again = Again::new();
        let (mut again_bytes, mut moving) = (0, 0);
        spill.each_key(
            |target| Words::new(self.targets[target as usize].has_key()),
            Words::add,
            disk,
            |target, key, words| -> Result<(), VerifyError> {
                let target = target as usize;
                if self.stop.is_stopped() {
                    return Err(VerifyError::Interrupted);
                }
                if moving < MOVING_MAX && self.is_worth_another_look(target, &words) {
                    moving += 1;
                    again.insert((target, key.to_vec()), words);
                    return Ok(());
                }
                if self.settle(&mut outcomes[target], target, &words, false) {
                    return Ok(());
                }
                if again.len() < AGAIN_MAX && again_bytes < AGAIN_BYTES {
                    again_bytes += key.len();
                    again.insert((target, key.to_vec()), words);
                } else if !self.settle(&mut outcomes[target], target, &words, true) {
                    outcomes[target].judged_once += 1;
                    self.differs(&mut outcomes[target], target, key, &words);
                }
                Ok(())
            },
        )?;
        tracing::debug!(bytes = spill.bytes(), again = again.len(), "all keys are compared once");
        drop(spill);
        for look in 2..=LOOKS {
            if again.is_empty() {
                break;
            }
            self.counts.begin(format!("looking at {} again", words::some(again.len() as u64, "key")));
            delivered = self.look_again(&mut again, &mut seen, folder)?;
            let keys = std::mem::take(&mut again);
            for ((target, key), words) in keys {
                let is_last = look == LOOKS || words.is_quiet();
                if self.settle(&mut outcomes[target], target, &words, is_last) {
                    continue;
                }
                match is_last {
                    true => self.differs(&mut outcomes[target], target, &key, &words),
                    false => _ = again.insert((target, key), words),
                }
            }
        }
        let lost = self.lost(&begin, &self.topics.extents()?);
        Ok(self.report(outcomes, &lost, delivered, begun))
    }

    /// A key that has moved is what it should have been, and not yet known to be what it should be.
    fn is_worth_another_look(&self, target: usize, words: &Words) -> bool {
        let Words::Keyed(keyed) = words else { return false };
        let can_be_asked = || self.targets[target].sources.iter().all(|source| source.integers().is_some());
        !words.is_quiet() && !keyed.is_settled() && can_be_asked()
    }

    /// Reads what the topics have got since.
    fn read_on(&self, seen: &[i64], folder: &Path, put: &Put<'_>) -> Result<Vec<i64>, VerifyError> {
        let ends: Vec<i64> = self.topics.extents()?.iter().map(|extent| extent.end).collect();
        self.counts.begin("reading topics on");
        self.read_topics(seen, &ends, true, folder, put)?;
        Ok(ends)
    }

    fn read_topics(
        &self,
        from: &[i64],
        to: &[i64],
        is_later: bool,
        folder: &Path,
        put: &Put<'_>,
    ) -> Result<(), VerifyError> {
        let all: i64 = from.iter().zip(to).map(|(from, to)| (to - from).max(0)).sum();
        self.counts.messages_all.fetch_add(all as u64, Relaxed);
        let bytes = AtomicU64::new(0);
        self.topics.read(from, to, &self.stop, &|partition, message| {
            let read = self.counts.messages.fetch_add(1, Relaxed) + 1;
            bytes.fetch_add(message.value.len() as u64, Relaxed);
            if read.is_multiple_of(MESSAGES_AT_ONCE) {
                self.of_messages.pass(MESSAGES_AT_ONCE, bytes.swap(0, Relaxed), &self.stop, &Busy::default());
            }
            let disk = |error| VerifyError::Disk { folder: folder.to_owned(), error };
            self.take_message(partition, &message, is_later, put).map_err(disk)?;
            Ok(())
        })
    }

    fn take_message(
        &self,
        partition: u32,
        message: &Message<'_>,
        is_later: bool,
        put: &Put<'_>,
    ) -> std::io::Result<()> {
        let topic = &self.topics.partitions()[partition as usize].topic;
        let is_its = |target: usize| self.targets[target].topics.contains(topic);
        let count = |count: &AtomicU64| _ = count.fetch_add(1, Relaxed);
        match self.reader.read(&self.targets, message.value) {
            None => count(&self.unreadable[partition as usize]),
            Some(Said::Nothing) => {}
            Some(Said::Statement(about, text)) => {
                for target in about.into_iter().filter(|target| is_its(*target) && empties(&text)) {
                    let mut emptied = self.tallies[target].emptied_ms.lock().expect("nobody panics with it");
                    *emptied = Some(emptied.map_or(message.at_ms, |before| before.max(message.at_ms)));
                }
            }
            Some(Said::Rows(target, _) | Said::Otherwise(target)) if !is_its(target) => {
                count(&self.tallies[target].elsewhere);
            }
            Some(Said::Otherwise(target)) => count(&self.tallies[target].incomparable),
            Some(Said::Rows(target, changes)) => {
                let of_large = self.targets[target].of_large;
                let is_large = of_large == OfLarge::LeavesOut && self.size(topic, message.value.len()) > Size::Small;
                let tell = |key: Vec<u8>, state| {
                    put(target, key, Word::Told { partition, at_ms: message.at_ms, is_later, state })
                };
                for change in changes {
                    let is_told = match self.targets[target].has_key() {
                        true => self.tell_change(target, &change, message, is_large, &tell)?,
                        false => self.tell_rows(target, &change, message, is_large, &tell)?,
                    };
                    if !is_told {
                        count(&self.tallies[target].incomparable);
                    }
                }
            }
        }
        Ok(())
    }

    /// What a change makes of keys. False if not all of it can be told.
    fn tell_change(
        &self,
        target: usize,
        change: &Change,
        message: &Message<'_>,
        is_large: bool,
        tell: &dyn Fn(Vec<u8>, State) -> std::io::Result<()>,
    ) -> std::io::Result<bool> {
        let of = &self.targets[target];
        let key_before = change.before.as_ref().map(|image| image.key.clone());
        let after = change.after.as_ref().map(|image| of.shape_of(image).zip(image.key.clone()));
        let is_whole = !matches!(key_before, Some(None)) && !matches!(after, Some(None));
        let (key_before, after) = (key_before.flatten(), after.flatten());
        let is_same = key_before.as_ref().zip(after.as_ref()).is_some_and(|(one, (_, other))| one == other);
        if let Some(key) = key_before.filter(|_| !is_same) {
            tell(key, State::Gone)?;
        }
        if let Some(((shape, hash), key)) = after {
            let image = change.after.as_ref().zip(message.cut);
            let cut = image.and_then(|(image, cut)| of.shape_of(&of.without(image, cut)));
            tell(key, State::Row { shape, hash, is_large, cut })?;
        }
        Ok(is_whole)
    }

    /// Without a key, all columns are the key.
    fn tell_rows(
        &self,
        target: usize,
        change: &Change,
        message: &Message<'_>,
        is_large: bool,
        tell: &dyn Fn(Vec<u8>, State) -> std::io::Result<()>,
    ) -> std::io::Result<bool> {
        let mut is_whole = true;
        for (image, is_gone) in [(&change.before, true), (&change.after, false)] {
            match image.as_ref().map(|image| self.targets[target].shape_of(image)) {
                None => {}
                Some(Some((ALL_COLUMNS, hash))) if message.cut.is_none() => {
                    let row = State::Row { shape: ALL_COLUMNS, hash, is_large, cut: None };
                    tell(hash.to_be_bytes().to_vec(), if is_gone { State::Gone } else { row })?;
                }
                Some(_) => is_whole = false,
            }
        }
        Ok(is_whole)
    }

    /// By the length of a message's value: that of an update may be twice as long.
    fn size(&self, topic: &str, bytes: usize) -> Size {
        match self.limits.get(topic) {
            Some(limit) if bytes > limit.surely() / 2 => Size::Large,
            _ => Size::Small,
        }
    }

    /// Reads rows of the source, put through the task's route.
    fn read_source(&self, wanted: &[Wanted], folder: &Path, put: &Put<'_>) -> Result<(), VerifyError> {
        let failure: Mutex<Option<VerifyError>> = Mutex::new(None);
        let is_altered: Mutex<Option<TableName>> = Mutex::new(None);
        let attempts = |table: &TableName| {
            *self.attempts.lock().expect("nobody panics with it").entry(table.clone()).or_default() += 1;
        };
        let emit = |window: Window| {
            self.take_window(window, folder, put).map_err(|error| {
                failure.lock().expect("nobody panics with it").get_or_insert(error);
                self.stop.stop();
                Stopped
            })
        };
        let gone = |table: &TableName| _ = is_altered.lock().expect("nobody panics with it").insert(table.clone());
        let end = self.source.read_rows(&self.task, wanted, &attempts, &gone, &self.stop, &emit);
        if let Some(error) = failure.into_inner().expect("nobody panics with it") {
            return Err(error);
        }
        if let Some(table) = is_altered.into_inner().expect("nobody panics with it") {
            return Err(VerifyError::Altered { table });
        }
        match end? {
            LoadEnd::Complete => Ok(()),
            LoadEnd::Stopped => Err(VerifyError::Interrupted),
        }
    }

    fn take_window(&self, window: Window, folder: &Path, put: &Put<'_>) -> Result<(), VerifyError> {
        let Some(batch) = window.changes.first() else { return Ok(()) };
        let table = batch.table().clone();
        let mut places =
            self.targets.iter().enumerate().flat_map(|(index, target)| {
                target.sources.iter().enumerate().map(move |(source, of)| (index, source, of))
            });
        let (index, source, known) = places
            .find(|(.., source)| source.table.name() == table.name())
            .unwrap_or_else(|| unreachable!("only tables of targets are read"));
        if !known.table.is_defined_as(&table) {
            return Err(VerifyError::Altered { table: table.name().clone() });
        }
        let rows = batch.rows().num_rows() as u64;
        let bytes = batch.rows().get_array_memory_size() as u64;
        self.of_rows.pass(rows, bytes, &self.stop, &Busy::default());
        self.counts.rows.fetch_add(rows, Relaxed);
        let attempt = self.attempt(table.name());
        let routes = self.router.routes(&window)?;
        let window = encode_window(&self.router, Routed { window, routes, mark_routes: Vec::new(), first_id: 1 })?;
        let topic = topic_of_table(&self.task, table.name())?;
        let target = &self.targets[index];
        let disk = |error| VerifyError::Disk { folder: folder.to_owned(), error };
        let limit = self.limits.get(&topic);
        for messages in window.batches.iter().filter(|batch| *batch.topic == *topic) {
            for (at, value) in messages.values.iter().enumerate() {
                let Some(Said::Rows(_, changes)) = self.reader.read(&self.targets, value) else {
                    unreachable!("what the task's encoder writes is read");
                };
                let size = match limit {
                    Some(limit) if limit.excess(messages, at).is_some() => Size::TooLarge,
                    _ => self.size(&topic, value.len()),
                };
                for image in changes.into_iter().filter_map(|change| change.after) {
                    let prints = target.prints_of(&image);
                    let key = match prints[usize::from(ALL_COLUMNS)] {
                        Some(print) if !target.has_key() => Some(print.hash.to_be_bytes().to_vec()),
                        _ => image.key,
                    };
                    let key = key.unwrap_or_else(|| unreachable!("a row of the source has all columns of its target"));
                    put(index, key, Word::Row { source: source as u16, attempt, size, prints }).map_err(disk)?;
                }
            }
        }
        Ok(())
    }

    /// How often reading a table has begun.
    pub(super) fn attempt(&self, table: &TableName) -> u32 {
        self.attempts.lock().expect("nobody panics with it").get(table).copied().unwrap_or(0)
    }

    /// Waits until the task has delivered everything up to where the source is now. False if it does not run, and has not.
    fn wait_until_delivered(&self) -> Result<bool, VerifyError> {
        if self.task.incremental.is_none() {
            return Ok(false);
        }
        let end: ServerEnd = self.source.end()?;
        self.counts.begin(format!("waiting until the task has delivered what the source had at {end}"));
        let (mut last, mut moved) = (None, Instant::now());
        loop {
            if self.stop.is_stopped() {
                return Err(VerifyError::Interrupted);
            }
            // Asked before the position: who ends stores it.
            let running = self.runtime.block_on(client::ask(&self.task))?;
            let position = checkpoint::read(&self.task.state, &self.task.name)?
                .and_then(|stored: Checkpoint| stored.source.position);
            if position.as_ref().is_some_and(|position| end.is_before(position)) {
                return Ok(true);
            }
            let Some(status) = running else { return Ok(false) };
            if client::read(&status)?.phase == Phase::Paused {
                return Err(VerifyError::Paused { at: end.to_string() });
            }
            if position != last {
                (last, moved) = (position, Instant::now());
            }
            if moved.elapsed() > STILL {
                return Err(VerifyError::Behind { at: end.to_string() });
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// What is to be read of a target for the sake of some keys: their rows where the server can be asked for them, else all.
    fn wanted_of(&self, target: usize, keys: &[Vec<u8>]) -> Vec<Wanted> {
        let target = &self.targets[target];
        let names: Vec<&str> = target.key_names().collect();
        let wanted = |source: &Source| {
            let condition = source.integers().and_then(|columns| condition(columns, &names, keys));
            target.wanted(source, condition)
        };
        target.sources.iter().map(wanted).collect()
    }

    /// Reads both sides again, of keys that differ.
    fn look_again(&self, again: &mut Again, seen: &mut Vec<i64>, folder: &Path) -> Result<bool, VerifyError> {
        let mut keys: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
        for ((target, key), words) in &mut *again {
            words.look_again();
            keys.entry(*target).or_default().push(key.clone());
        }
        let wanted: Vec<Wanted> = keys.iter().flat_map(|(&target, keys)| self.wanted_of(target, keys)).collect();
        let all = Mutex::new(std::mem::take(again));
        let put = |target: usize, key: Vec<u8>, word: Word| {
            let mut all = all.lock().expect("nobody panics with it");
            if let Some(words) = all.get_mut(&(target, key)) {
                words.add(word);
            }
            Ok(())
        };
        self.read_source(&wanted, folder, &put)?;
        let delivered = self.wait_until_delivered()?;
        *seen = self.read_on(seen, folder, &put)?;
        *again = all.into_inner().expect("nobody panics with it");
        Ok(delivered)
    }
}

/// By which the server finds rows of some keys. None if there are too many.
fn condition(columns: &[(String, Told)], names: &[&str], keys: &[Vec<u8>]) -> Option<String> {
    let rows = key_rows(columns, names, keys).filter(|rows| rows.len() <= ASKED_MAX)?;
    Some(is_one_of(columns, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_asked_for_rows_by_their_keys() {
        let columns = ["a", "b`"].map(|name| (name.to_owned(), Told::Integer));
        let keys = |keys: &[&str]| keys.iter().map(|key| key.as_bytes().to_vec()).collect::<Vec<_>>();
        let asked = condition(
            &columns,
            &["y", "x"],
            &keys(&[r#"{"y":"1","x":"-2"}"#, r#"{"y":"18446744073709551615","x":"0"}"#]),
        );
        assert_eq!(asked.as_deref(), Some("(`a`, `b```) IN ((1, -2), (18446744073709551615, 0))"));
        assert_eq!(condition(&columns, &["y", "x"], &keys(&[r#"{"x":"1","y":"0 OR 1"}"#])), None);
        assert_eq!(condition(&columns[..1], &["x"], &vec![br#"{"x":"1"}"#.to_vec(); ASKED_MAX + 1]), None);
    }
}
