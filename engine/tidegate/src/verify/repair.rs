//! What differs is put right: `tidegate verify --repair`.
//!
//! ```text
//! missing, different   the source has the row    ─► its rows are loaded again, as by `tidegate reload --where`
//! extra                the source has it not     ─► a delete behind the key's last message, made of that message
//! ```
//!
//! A load of some rows keeps the order of each key, whoever is at work, and so may take more rows than differ: where keys are too many for a
//! condition, it is one of ranges around them, or the whole table.
//!
//! *A delete is sent only while no run is at work*, by whoever has the state folder and the lock on the source. What is sent beside a run has
//! no order with what the run sends: a row that is inserted just then could be deleted behind its insert, for good. Without a run,
//! what happened behind the task's place is sent by the next one, behind the delete, and has the last word. So a delete is right if the row was not there
//! at that place or at any moment later; it is looked for once more, in views of which it is certain that they show all that was
//! delivered. A key that is extra because its delete is still to be read gets that twice.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::{self, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use rdkafka::message::Headers as _;

use super::both::Both;
use super::message::Said;
use super::outcome::Wrong;
use super::report::{Again, Repair};
use super::target::{Source, Told};
use super::topic::Message;
use super::{VerifyError, without_new_topics};
use crate::checkpoint::Checkpoint;
use crate::config::Format;
use crate::error::Error;
use crate::journal::{self, By, What};
use crate::reload::{self, CONDITION_BYTES_MAX, Wish};
use crate::source::Source as _;
use crate::source::mysql::Wanted;
use crate::task::open_sink;
use tidegate_flow::store::StateFolder;
use tidegate_format::encode::{canal_json, dts_avro::datum};
use tidegate_format::headers::Header;
use tidegate_model::message::{Headers, MessageBatch, MessageWindow, Values};
use tidegate_model::words::counted;
use tidegate_model::{EventMeta, Position, now_s};
use tidegate_mysql::MysqlError;
use tidegate_mysql::connection::{quote_identifier, quote_text};
use tidegate_mysql::run_lock::RunLock;
use tidegate_mysql::snapshot::{shown, shows};
use tidegate_sink::SinkError;

/// Last messages of keys that are kept in memory at a time.
const MESSAGES_BYTES: usize = 64 << 20;
/// Ranges of a condition, if so many fit.
const RANGES_MAX: usize = 64;

/// The state of a task that does not run, which is nobody else's meanwhile.
pub(super) struct Held {
    pub(super) state: StateFolder,
    pub(super) stored: Checkpoint,
}

/// What is to be put right, and has not been yet.
pub struct Plan {
    both: Both,
    folder: PathBuf,
    /// None while a run is at work.
    held: Option<Held>,
    again: Vec<Again>,
    /// Of targets, keys that are extra.
    extra: Vec<(usize, Vec<Vec<u8>>)>,
    left: Vec<String>,
}

impl Plan {
    pub(super) fn new(both: Both, folder: PathBuf, held: Option<Held>, wrong: Vec<Wrong>) -> Plan {
        let mut plan = Plan { both, folder, held, again: Vec::new(), extra: Vec::new(), left: Vec::new() };
        for (index, wrong) in wrong.into_iter().enumerate() {
            plan.add(index, wrong);
        }
        plan
    }

    fn add(&mut self, index: usize, wrong: Wrong) {
        let target = &self.both.targets[index];
        let Wrong { missing, different, extra, others } = wrong;
        let rows = [missing, different].concat();
        let mut leave = |count: u64, why: &str| {
            if count > 0 {
                self.left.push(format!("left as is: {} of {}: {why}", counted(count, "row"), target.name));
            }
        };
        let others_again = others.missing + others.different;
        if !target.has_key() {
            let why = "no key tells them apart; `tidegate reload` sends each row of the table once more";
            leave(others_again + others.extra, why);
            return;
        }
        if rows.len() as u64 + others_again > 0 {
            match reload::is_possible(&self.both.task) {
                false => leave(rows.len() as u64 + others_again, reload::NOT_POSSIBLE),
                true => {
                    let names: Vec<&str> = target.key_names().collect();
                    let again = |source: &Source| {
                        let told = source.told.as_ref().filter(|_| others_again == 0);
                        let condition = told.and_then(|told| condition(told, &names, &rows));
                        Again { table: source.table.name().to_string(), condition }
                    };
                    self.again.extend(target.sources.iter().map(again));
                }
            }
        }
        leave(others.extra, "there are so many: ask again when the others are deleted");
        if extra.is_empty() {
            return;
        }
        match why_not_deleted(self.held.as_ref()) {
            Some(why) => leave(extra.len() as u64, why),
            None => self.extra.push((index, extra)),
        }
    }

    /// Nothing is to be done, or can be; why, carrying it out says.
    pub fn is_empty(&self) -> bool {
        self.again.is_empty() && self.extra.is_empty()
    }

    /// Does it, and says what was done.
    pub fn carry_out(mut self) -> Result<Repair, Error> {
        let held = self.held.take();
        for Again { table, condition } in &self.again {
            let wish = condition.clone().map_or(Wish::Load, Wish::Part);
            let (task, tables) = (&self.both.task, std::slice::from_ref(table));
            match &held {
                Some(held) => reload::leave(task, &held.state, tables, &wish)?,
                None => reload::reload(task, tables, condition.as_deref(), false)?,
            };
        }
        let mut deleted = 0;
        let extra = std::mem::take(&mut self.extra);
        if let (false, Some(held)) = (extra.is_empty(), &held) {
            // Nobody else sends, whatever folder has its state.
            let lock = self.both.source.lock(&self.both.task, Box::new(|| ()))?;
            let counts = self.delete(held, extra, lock.as_ref())?;
            deleted = counts.values().sum();
            let of_tables = counts.iter().filter(|(_, count)| **count > 0);
            let details: Vec<String> =
                of_tables.map(|(name, count)| format!("{} of {name}", counted(*count, "row"))).collect();
            if deleted > 0 {
                let note = |_| (What::RowsDeleted, By::Command, details.join(", "));
                journal::note_behind(&held.state, &self.both.task.name, note);
            }
        }
        Ok(Repair { again: self.again, deleted, left: self.left })
    }

    /// Sends deletes of rows that the source does not have, and gives how many of each target.
    fn delete(
        &mut self,
        held: &Held,
        extra: Vec<(usize, Vec<Vec<u8>>)>,
        lock: Option<&RunLock>,
    ) -> Result<BTreeMap<String, u64>, Error> {
        let both = &self.both;
        let position = held.stored.reads_from().expect("who is not at a place deletes nothing");
        let mut keys: HashSet<(usize, Vec<u8>)> = HashSet::new();
        let mut wanted: Vec<Wanted> = Vec::new();
        for (target, of_target) in extra {
            wanted.extend(both.wanted_of(target, &of_target));
            keys.extend(of_target.into_iter().map(|key| (target, key)));
        }
        let there = Mutex::new(HashSet::new());
        let shows_all = AtomicBool::new(true);
        let put = |target: usize, key: Vec<u8>, _| {
            let key = (target, key);
            if keys.contains(&key) {
                there.lock().expect("nobody panics with it").insert(key);
            }
            Ok(())
        };
        let tell_low = |low: &_| _ = shows_all.fetch_and(shows(low, position), Relaxed);
        both.read_views(&wanted, &self.folder, &put, &tell_low)?;
        let there = there.into_inner().expect("nobody panics with it");
        keys.retain(|key| !there.contains(key));
        let mut leave = |count: usize, why: &str| {
            if count > 0 {
                self.left.push(format!("left as is: {}: {why}", counted(count as u64, "extra row")));
            }
        };
        if !shows_all.into_inner() {
            leave(
                keys.len(),
                "the server does not tell whether its views show all that was delivered; without GTIDs, and by MySQL before 9.7, it does when its next \
                 binlog file has begun, which FLUSH BINARY LOGS makes it do; a replica does when it has caught up",
            );
            return Ok(BTreeMap::new());
        }
        leave(there.len(), "the source has them by now");
        let last = last_messages(both, &keys)?;
        leave(keys.len() - last.len(), "their messages are too large to be held together, or gone: ask again");
        lock.map_or(Ok(()), RunLock::check).map_err(MysqlError::RunLock)?;
        let mut counts = BTreeMap::new();
        for target in last.keys().map(|(target, _)| target) {
            *counts.entry(both.targets[*target].name.to_string()).or_default() += 1;
        }
        send(both, last.into_values().collect(), position)?;
        Ok(counts)
    }
}

/// What stands against deletes, if anything does.
fn why_not_deleted(held: Option<&Held>) -> Option<&'static str> {
    let Some(Held { stored, .. }) = held else {
        return Some(
            "deletes have no order with what a run sends: stop the run, and `tidegate verify --repair` sends them",
        );
    };
    match stored.position.as_ref() {
        _ if stored.ledger.is_some() => Some("the task has not come past its load: let it run until it has"),
        None => Some("the task follows no changes"),
        Some(position) if position.is_half() => {
            Some("the task was stopped in the midst of a transaction: let it run to its end")
        }
        Some(_) => None,
    }
}

/// What a plan is, for people.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for again in &self.again {
            writeln!(f, "to be loaded again: {again}")?;
        }
        for (target, keys) in &self.extra {
            let (name, rows) = (&self.both.targets[*target].name, counted(keys.len() as u64, "extra row"));
            writeln!(f, "to be deleted from topics: {rows} of {name}")?;
        }
        if self.held.is_some() && !self.is_empty() {
            writeln!(
                f,
                "what has changed since the task was at work is among them, and comes by its next run as well"
            )?;
        }
        self.left.iter().try_for_each(|left| writeln!(f, "{left}"))
    }
}

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.condition {
            Some(condition) => write!(f, "rows of {} where {}", self.table, shown(condition)),
            None => write!(f, "all rows of {}", self.table),
        }
    }
}

/// By which the server finds the rows of some keys, and maybe others: `` (`a`, `b`) IN ((1, 'x')) ``, or ranges of the first column around
/// them if they are too many. None if neither can be said.
fn condition(columns: &[(String, Told)], names: &[&str], keys: &[Vec<u8>]) -> Option<String> {
    let row = |key: &Vec<u8>| -> Option<Vec<String>> {
        let values: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(key).ok()?;
        let value = |(name, (_, told)): (&&str, &(String, Told))| {
            let text = values.get(*name)?.as_str()?;
            match told {
                Told::Integer => text.parse::<i128>().ok().map(|number| number.to_string()),
                Told::Text => (!text.contains(char::is_control)).then(|| quote_text(text)),
            }
        };
        names.iter().zip(columns).map(value).collect()
    };
    let rows = keys.iter().map(row).collect::<Option<Vec<Vec<String>>>>()?;
    let quoted: Vec<String> = columns.iter().map(|(name, _)| quote_identifier(name)).collect();
    let list = |values: &[String]| match values {
        [one] => one.clone(),
        several => format!("({})", several.join(", ")),
    };
    let each = format!("{} IN ({})", list(&quoted), rows.iter().map(|row| list(row)).collect::<Vec<_>>().join(", "));
    if each.len() <= CONDITION_BYTES_MAX {
        return Some(each);
    }
    let first: Vec<i128> =
        (columns[0].1 == Told::Integer).then(|| rows.iter().flat_map(|row| row[0].parse()).collect())?;
    let mut count = RANGES_MAX;
    loop {
        let text = ranges(&quoted[0], first.clone(), count);
        if text.len() <= CONDITION_BYTES_MAX {
            return Some(text);
        }
        count /= 2;
    }
}

/// So many ranges in which all numbers are, with the widest gaps between them.
fn ranges(column: &str, mut numbers: Vec<i128>, count: usize) -> String {
    numbers.sort_unstable();
    numbers.dedup();
    let mut gaps: Vec<usize> = (1..numbers.len()).collect();
    gaps.sort_by_key(|&at| numbers[at - 1] - numbers[at]);
    gaps.truncate(count.max(1) - 1);
    gaps.sort_unstable();
    gaps.push(numbers.len());
    let (mut text, mut from) = (String::new(), 0);
    for to in gaps {
        let or = if from == 0 { "" } else { " OR " };
        _ = write!(text, "{or}{column} BETWEEN {} AND {}", numbers[from], numbers[to - 1]);
        from = to;
    }
    text
}

/// What a consumer has of a key.
struct Last {
    partition: u32,
    value: Vec<u8>,
    key: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
}

/// When a key was told last in a partition, and by which message if that says that the row is there.
type ToldIn = HashMap<u32, (i64, Option<Last>)>;

/// The last message of each key, of those that topics have a row of.
fn last_messages(both: &Both, keys: &HashSet<(usize, Vec<u8>)>) -> Result<HashMap<(usize, Vec<u8>), Last>, Error> {
    let extents = both.topics.extents()?;
    let begin: Vec<i64> = extents.iter().map(|extent| extent.begin).collect();
    let end: Vec<i64> = extents.iter().map(|extent| extent.end).collect();
    let found: Mutex<HashMap<(usize, Vec<u8>), ToldIn>> = Mutex::default();
    let bytes = AtomicUsize::new(0);
    let take = |partition: u32, message: Message<'_>| {
        let Some(Said::Rows(target, changes)) = both.reader.read(&both.targets, message.value) else { return Ok(()) };
        if !both.targets[target].topics.contains(&both.topics.partitions()[partition as usize].topic) {
            return Ok(());
        }
        for change in changes {
            for (image, is_there) in [(change.before, false), (change.after, true)] {
                let key = image.and_then(|image| image.key).map(|key| (target, key));
                let Some(key) = key.filter(|key| keys.contains(key)) else { continue };
                let headers = message.headers.into_iter().flat_map(|headers| headers.iter());
                let headers = headers.map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()));
                let last = is_there.then(|| Last {
                    partition,
                    value: message.value.to_vec(),
                    key: message.key.map(<[u8]>::to_vec),
                    headers: headers.collect(),
                });
                let mut found = found.lock().expect("nobody panics with it");
                let before = found.entry(key).or_default().insert(partition, (message.at_ms, last));
                bytes.fetch_add(message.value.len(), Relaxed);
                bytes.fetch_sub(before.and_then(|(_, last)| last).map_or(0, |last| last.value.len()), Relaxed);
            }
        }
        Ok(())
    };
    both.topics.read(&begin, &end, &both.stop, &take)?;
    let found = found.into_inner().expect("nobody panics with it");
    let mut room = MESSAGES_BYTES;
    let last = found.into_iter().filter_map(|(key, told)| {
        // As it is judged: of one moment, that it came.
        let (_, last) = told.into_values().max_by_key(|(at_ms, last)| (*at_ms, last.is_some()))?;
        let last = last?;
        room = room.checked_sub(last.value.len())?;
        Some((key, last))
    });
    Ok(last.collect())
}

/// Sends the delete of each, and waits until all of them are acknowledged.
fn send(both: &Both, rows: Vec<Last>, position: &Position) -> Result<(), Error> {
    let task = &both.task;
    let now_s = now_s();
    let meta = EventMeta {
        timestamp_s: now_s,
        server_id: 0,
        thread_id: 0,
        coordinate: position.reached().clone(),
        transaction: position.reached().clone(),
        gtid: None,
    };
    let now_ms = u64::from(now_s) * 1000;
    let mut id = now_ms * 1000;
    let mut batches: BTreeMap<(String, bool), MessageBatch> = BTreeMap::new();
    for (sequence, row) in rows.into_iter().enumerate() {
        let partition = &both.topics.partitions()[row.partition as usize];
        id += 1;
        let value = match task.format {
            Format::CanalJson(_) => canal_json::deleted(&row.value, now_ms),
            Format::DtsAvro(_) => datum::deleted(&row.value, &meta, id),
        };
        let value = value.unwrap_or_else(|| unreachable!("it was read as a message about a row"));
        let batch = batches.entry((partition.topic.clone(), row.key.is_some())).or_insert_with(|| MessageBatch {
            topic: partition.topic.as_str().into(),
            keys: row.key.is_some().then(Values::default),
            headers: (!task.headers.is_empty()).then(Headers::default),
            ..MessageBatch::default()
        });
        let set = batch.headers.as_mut().map(|headers| {
            for (name, value) in &row.headers {
                let Some((name, header)) = Header::WORDS.iter().find(|(known, _)| known == name) else { continue };
                let value = match header {
                    Header::Op => b"delete".to_vec(),
                    Header::Position => meta.coordinate.to_string().into_bytes(),
                    Header::SourceTime => now_ms.to_string().into_bytes(),
                    // It is of no transaction.
                    Header::Gtid => continue,
                    _ => value.clone(),
                };
                headers.push(name, |out| out.extend_from_slice(&value));
            }
            headers.end_set()
        });
        let tombstone = (task.tombstones && row.key.is_some()).then(Vec::new);
        for value in std::iter::once(value).chain(tombstone) {
            push(&mut batch.values, &value);
            if let (Some(keys), Some(key)) = (&mut batch.keys, &row.key) {
                push(keys, key);
            }
            if let (Some(headers), Some(set)) = (&mut batch.headers, set) {
                headers.append(set);
            }
            batch.partitions.push(partition.number);
            batch.sequence.push(sequence as u32);
        }
    }
    if batches.is_empty() {
        return Ok(());
    }
    let mut sink = open_sink(&without_new_topics(task))?;
    let topics = sink.topics();
    for (topic, _) in batches.keys() {
        topics.prepare(topic, &|| both.stop.is_stopped())?;
    }
    let window = MessageWindow { batches: batches.into_values().collect(), ..MessageWindow::default() };
    let delivery = sink.send(window)?;
    both.runtime.block_on(async {
        let stopped = async {
            while !both.stop.is_stopped() {
                tokio::time::sleep(super::both::LOOK_INTERVAL).await;
            }
        };
        tokio::select! {
            delivered = delivery => delivered.unwrap_or(Err(SinkError::Stopped)).map_err(Error::from),
            () = stopped => Err(VerifyError::Interrupted.into()),
        }
    })
}

fn push(values: &mut Values, value: &[u8]) {
    values.bytes.extend_from_slice(value);
    values.ends.push(values.bytes.len());
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.again.iter().try_for_each(|again| writeln!(f, "asked for: {again}"))?;
        if self.deleted > 0 {
            writeln!(f, "deleted from topics: {}", counted(self.deleted, "extra row"))?;
        }
        self.left.iter().try_for_each(|left| writeln!(f, "{left}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(texts: impl IntoIterator<Item = String>) -> Vec<Vec<u8>> {
        texts.into_iter().map(String::into_bytes).collect()
    }

    #[test]
    fn keys_become_a_condition() {
        let told = |columns: &[(&str, Told)]| {
            columns.iter().map(|(name, told)| ((*name).to_owned(), *told)).collect::<Vec<_>>()
        };
        let id = told(&[("id", Told::Integer)]);
        let both = told(&[("a`", Told::Text), ("id", Told::Integer)]);
        let of = |key: &str| keys([key.to_owned()]);
        assert_eq!(condition(&id, &["k"], &of(r#"{"k":"-7"}"#)).as_deref(), Some("`id` IN (-7)"));
        assert_eq!(condition(&id, &["k"], &of(r#"{"k":"0 OR 1"}"#)), None);
        assert_eq!(
            condition(&both, &["x", "k"], &of(r#"{"x":"it's \\","k":"7"}"#)).as_deref(),
            Some(r"(`a```, `id`) IN (('it''s \\', 7))")
        );
        assert_eq!(condition(&both, &["x", "k"], &of(r#"{"x":"a\nb","k":"7"}"#)), None);
        let many =
            |step: usize| keys((0..4000).map(|n| format!(r#"{{"k":"{}","x":"y"}}"#, n * step + n / 1000 * 1_000_000)));
        assert_eq!(ranges("`id`", vec![5, 1, 2, 2, 900, 7], 2), "`id` BETWEEN 1 AND 7 OR `id` BETWEEN 900 AND 900");
        let found = condition(&id, &["k"], &many(1)).expect("ranges");
        assert!(found.len() <= CONDITION_BYTES_MAX && found.contains("`id` BETWEEN 0 AND "), "{found}");
        let ends = found.rsplit_once(" AND ").expect("a range").1;
        assert_eq!(ends, "3003999");
        assert_eq!(condition(&both, &["x", "k"], &many(1)), None);
    }
}
