//! What becomes of messages that are larger than their topic takes.
//!
//! ```text
//! encode ──► messages ──► any beyond what surely fits? ──no───────────────────────────────► window
//!                                    │ yes: compressed alone, by the limit as it is now
//!                                    ▼ too large
//!                          fail      the task stops
//!                          skip      left out                                    ──► window: the others
//!                          dead      left out; its parts go to another topic     ──►         and a batch of parts
//!                          truncate  encoded again, with columns cut             ──►         and what is left of it
//! ```
//!
//! It is decided where rows and messages stand side by side, on the core that has encoded them: a row can be encoded again there, and
//! whatever comes of it takes the place of its message in the window, with its place in the order. Nothing is remembered of it: a
//! run that reads the same rows again decides the same, unless somebody has changed a limit. Where nothing is too large that costs a
//! comparison for each message.
//!
//! Tombstones are never too large, and stay: a delete that is left out still takes its row from a topic that is compacted. What follows for
//! an update that is left out is that such a topic, as each consumer, has the row as it was.
//!
//! A message that was judged to fit and is refused all the same, because somebody has lowered a limit meanwhile, stops the task as any
//! refusal does; the next run knows the limit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tracing::warn;

use super::error::RouteError;
use super::names::rule_of;
use super::plan::text_options;
use super::{Route, Router};
use crate::config::{Format, Task, TooLargePolicy};
use tidegate_format::cut::Cut;
use tidegate_format::dead_letter::Letter;
use tidegate_format::headers::About;
use tidegate_format::key::{KeyEncoder, KeyForm, KeyPolicy, key_columns};
use tidegate_format::partition::PartitionPolicy;
use tidegate_format::transform::Transform;
use tidegate_model::message::{ByteStrings, Headers, MessageBatch, MessageWindow, TooLarge};
use tidegate_model::{Change, ChangeBatch, ChangeKind, Progress, Table, TableName};
use tidegate_sink::kafka::{Excess, MessageLimit};

/// The header of a message whose columns were cut: their names, with commas between them.
const TRUNCATED: &str = "truncated";
/// What a message may take where brokers do not tell: less than any of Kafka's defaults.
const UNTOLD_BYTES: usize = 990_000;

/// What is to be done for one table version.
pub(super) struct Plan {
    policy: Policy,
    /// Names of the columns of the row's key.
    key: Vec<String>,
}

enum Policy {
    Fail,
    Skip,
    DeadLetter {
        topic: Arc<str>,
        partitions: u32,
        /// What a letter says of the row's key.
        keys: Option<KeyEncoder>,
        format: &'static str,
    },
    Truncate(Cut),
}

impl Plan {
    /// `letters` is the topic of dead letters, if there are any, and how many partitions it has.
    pub(super) fn new(
        task: &Task,
        table: &Arc<Table>,
        transform: &Transform,
        letters: Option<(&str, u32)>,
    ) -> Result<Plan, RouteError> {
        let policy = match (&rule_of(task, table.name()).too_large, letters) {
            (TooLargePolicy::Skip, _) => Policy::Skip,
            (TooLargePolicy::DeadLetter(_), Some((topic, partitions))) => {
                let key = KeyPolicy { form: KeyForm::Json, columns: None, template: None };
                let output_of = |column| transform.output_of(column);
                // Without the columns of its key, a row has no name to those who get the letter either.
                let keys = KeyEncoder::plan(&key, table, transform.output(), output_of, text_options(&task.format));
                let format = match task.format {
                    Format::CanalJson(_) => "canal_json",
                    Format::DtsAvro(_) => "dts_avro",
                };
                Policy::DeadLetter { topic: topic.into(), partitions, keys: keys.ok().flatten(), format }
            }
            (TooLargePolicy::Truncate(_), _) => Policy::Truncate(plan_cut(task, table, transform)?),
            _ => Policy::Fail,
        };
        let key = table.key().iter().map(|&index| table.columns()[index].name.clone()).collect();
        Ok(Plan { policy, key })
    }

    pub(super) fn is_fail(&self) -> bool {
        matches!(self.policy, Policy::Fail)
    }

    /// Whether a letter tells keys as they are before dates are substituted.
    pub(super) fn tells_keys(&self) -> bool {
        matches!(&self.policy, Policy::DeadLetter { keys: Some(_), .. })
    }
}

/// The columns that are cut as the rule of a table says.
///
/// Filter, key and partition are found before, from whole values. But what stands in the message for consumers to find its row by stays
/// whole too.
fn plan_cut(task: &Task, table: &Arc<Table>, transform: &Transform) -> Result<Cut, RouteError> {
    let rule = rule_of(task, table.name());
    let TooLargePolicy::Truncate(truncation) = &rule.too_large else {
        unreachable!("only called for that policy");
    };
    let mut whole = table.key().to_vec();
    if let Some(policy) = &rule.key {
        whole.extend(key_columns(policy, table)?);
    }
    if let PartitionPolicy::Columns(names) = &rule.partition {
        whole.extend(names.iter().filter_map(|name| table.column_index(name)));
    }
    let whole: Vec<usize> = whole.into_iter().filter_map(|column| transform.output_of(column)).collect();
    let output = transform.output();
    let mut columns = truncation.columns.clone();
    if let Some(columns) = columns.as_mut().filter(|_| truncation.of_all_tables) {
        columns.retain(|column| output.column_index(column).is_some());
    }
    Ok(Cut::plan(columns.as_deref(), truncation.bytes, output, table.name(), &whole)?)
}

/// What stands against the rule of a table.
pub(super) fn check(task: &Task, table: &Arc<Table>, transform: &Transform) -> Result<(), RouteError> {
    if let TooLargePolicy::Truncate(_) = rule_of(task, table.name()).too_large {
        plan_cut(task, table, transform)?;
    }
    Ok(())
}

/// Messages of one batch of changes, and the changes.
pub(super) struct Encoded {
    pub(super) messages: MessageBatch,
    pub(super) changes: ChangeBatch,
    /// As they were before dates were substituted, where that matters.
    pub(super) keyed: Option<ChangeBatch>,
}

/// A message that is too large: its place among the messages, its change, and how much too large it is.
struct Found<'a> {
    message: usize,
    change: Change<'a>,
    /// The change is the second of a split update, and its record has the next number.
    is_second: bool,
    excess: Excess,
}

/// What says that messages were too large, seldom enough.
#[derive(Default)]
pub(super) struct Log(Mutex<HashMap<TableName, Said>>);

struct Said {
    at: Instant,
    /// How many have not been said since.
    since: u64,
}

/// Between two lines about one table.
const SAY_INTERVAL: Duration = Duration::from_secs(10);

impl Log {
    /// How many were not said before this one, if this one is to be.
    fn turn(&self, table: &TableName) -> Option<u64> {
        let mut tables = self.0.lock().expect("nobody panics while counting");
        let now = Instant::now();
        match tables.get_mut(table) {
            Some(said) if now - said.at < SAY_INTERVAL => {
                said.since += 1;
                None
            }
            Some(said) => {
                said.at = now;
                Some(std::mem::take(&mut said.since))
            }
            None => {
                tables.insert(table.clone(), Said { at: now, since: 0 });
                Some(0)
            }
        }
    }
}

impl Router {
    /// Adds the messages of a batch to its window: as they are, where they are not too large for their topic.
    pub(super) fn take(
        &self,
        route: &Route,
        encoded: Encoded,
        first_id: u64,
        window: &mut MessageWindow,
    ) -> Result<(), RouteError> {
        let Encoded { mut messages, changes, keyed } = encoded;
        let Some(limit) = self.topics.limit(&route.topic) else {
            window.batches.push(messages);
            return Ok(());
        };
        let large = messages.beyond(limit.surely());
        if large.is_empty() || !large.iter().any(|&index| limit.excess(&messages, index).is_some()) {
            window.batches.push(messages);
            return Ok(());
        }
        // Somebody may have raised it.
        let limit = self.topics.limit_now(&route.topic, &|| self.stop.is_stopped()).unwrap_or(limit);
        let found = route.found(&messages, &changes, &large, &limit);
        let mut counts = TooLarge::default();
        let mut rewritten = Vec::with_capacity(found.len());
        let mut letters = Letters::default();
        for found in &found {
            let what = match &route.too_large.policy {
                Policy::Fail => return Err(route.too_large_error(found, &messages)),
                Policy::Skip => {
                    counts.skipped += 1;
                    rewritten.push((found.message, None));
                    "left out".to_owned()
                }
                Policy::DeadLetter { topic, partitions, keys, format } => {
                    let rows = keyed.as_ref().unwrap_or(&changes);
                    let key = keys.as_ref().map(|keys| key_of(keys, rows, found.change)).transpose()?;
                    let letter = Letter {
                        topic: &route.topic,
                        partition: messages.partitions[found.message],
                        table: route.about(),
                        change: found.change,
                        key: key.as_ref().map(|key| key.get(0)),
                        format,
                        bytes: found.excess.bytes,
                        limit: found.excess.limit,
                        setting: found.excess.setting,
                    };
                    // The client has a limit of its own.
                    let room = match self.topics.limit(topic) {
                        Some(limit) if limit.of_topic().is_some() => limit.surely(),
                        limit => limit.map_or(UNTOLD_BYTES, |limit| limit.surely().min(UNTOLD_BYTES)),
                    };
                    let Some(parts) = letters.add(&letter, &messages, found.message, room, *partitions) else {
                        return Err(route.too_large_error(found, &messages));
                    };
                    counts.dead_letters += 1;
                    rewritten.push((found.message, None));
                    format!("sent to topic {topic} in {parts} parts")
                }
                Policy::Truncate(cut) => {
                    let id = first_id + u64::from(found.is_second);
                    let Some((value, columns)) = route.truncated(cut, &messages, &changes, found, id, &limit)? else {
                        return Err(route.too_large_error(found, &messages));
                    };
                    counts.truncated += 1;
                    let count = messages.values.len();
                    let headers = messages.headers.get_or_insert_with(|| Headers::none(count));
                    headers.add(found.message, TRUNCATED, columns.as_bytes());
                    rewritten.push((found.message, Some(value)));
                    format!("sent with columns cut: {columns}")
                }
            };
            self.say(route, found, &what, window.progress.as_ref());
        }
        messages.rewrite(&rewritten);
        if let Policy::DeadLetter { topic, .. } = &route.too_large.policy {
            window.batches.extend(letters.into_batch(topic));
        }
        if counts != TooLarge::default() {
            window.too_large.push((route.source.clone(), counts));
        }
        window.batches.push(messages);
        Ok(())
    }

    /// Names table, place, columns of the key and sizes, and no value.
    fn say(&self, route: &Route, found: &Found<'_>, what: &str, progress: Option<&Progress>) {
        let Some(before) = self.too_large_log.turn(&route.source) else { return };
        let chunks = match progress {
            Some(Progress::Chunks { parts, .. }) => {
                let chunks: Vec<String> = parts.iter().map(|part| part.chunk.to_string()).collect();
                format!(" (chunk {})", chunks.join(", "))
            }
            _ => String::new(),
        };
        let key = match route.too_large.key.as_slice() {
            [] => "without a key".to_owned(),
            columns => format!("whose key is {}", columns.join(", ")),
        };
        let more = match before {
            0 => String::new(),
            before => format!("; {before} more of this table since the last line about it"),
        };
        let Excess { bytes, limit, setting } = found.excess;
        warn!(
            "table {}, {}{chunks}: the message of a row {key} has {bytes} bytes, topic {} takes {limit} ({setting}): {what}{more}",
            route.source,
            place(found.change),
            route.topic
        );
    }
}

/// Where a change comes from.
fn place(change: Change<'_>) -> String {
    let read = if change.kind == ChangeKind::Initial { "read at " } else { "" };
    let gtid = change.meta.gtid.as_ref().map_or_else(String::new, |gtid| format!(" ({gtid})"));
    format!("{read}{}:{}{gtid}", change.meta.coordinate.file, change.meta.coordinate.offset)
}

/// `change` of a batch, or of one that has other columns only.
fn key_of(keys: &KeyEncoder, batch: &ChangeBatch, change: Change<'_>) -> Result<ByteStrings, RouteError> {
    let mut key = ByteStrings::default();
    keys.encode(&batch.only(change), false, &mut key)?;
    Ok(key)
}

impl Route {
    fn about(&self) -> About<'_> {
        About { target: self.transform.output().name(), source: &self.source }
    }

    /// Of the messages in question, those that are too large.
    fn found<'a>(
        &self,
        messages: &MessageBatch,
        changes: &'a ChangeBatch,
        large: &[usize],
        limit: &MessageLimit,
    ) -> Vec<Found<'a>> {
        let mut large = large.iter().copied().peekable();
        let mut found = Vec::new();
        let (mut message, mut sequence_before) = (0, None);
        for change in changes.changes() {
            let sequence = changes.sequence()[change.row];
            let is_second = sequence_before.replace(sequence) == Some(sequence);
            if large.next_if_eq(&message).is_some()
                && let Some(excess) = limit.excess(messages, message)
            {
                found.push(Found { message, change, is_second, excess });
            }
            message += 1;
            if self.tombstones && change.kind == ChangeKind::Delete {
                // A key that is too large has been found with its delete.
                large.next_if_eq(&message);
                message += 1;
            }
        }
        found
    }

    fn too_large_error(&self, found: &Found<'_>, messages: &MessageBatch) -> RouteError {
        RouteError::TooLarge(Box::new(TooLargeError {
            table: self.source.clone(),
            place: place(found.change),
            topic: self.topic.to_string(),
            message_bytes: messages.message_bytes(found.message),
            excess: found.excess,
            why: match self.too_large.policy {
                Policy::Truncate(_) => Why::Cut,
                Policy::DeadLetter { .. } => Why::Letter,
                Policy::Fail | Policy::Skip => Why::Policy,
            },
        }))
    }

    /// The value of a message with columns cut, and their names; `None` if it is still too large.
    fn truncated(
        &self,
        cut: &Cut,
        messages: &MessageBatch,
        changes: &ChangeBatch,
        found: &Found<'_>,
        first_id: u64,
        limit: &MessageLimit,
    ) -> Result<Option<(Vec<u8>, String)>, RouteError> {
        let (change, columns) = cut.apply(changes.only(found.change));
        if columns.is_empty() {
            return Ok(None);
        }
        let mut values = ByteStrings::default();
        self.encoder.encode(&change, first_id, &mut values)?;
        let columns = columns.join(",");
        let mut headers = Headers::none(1);
        if let Some(all) = &messages.headers {
            all.get(found.message).for_each(|(name, value)| headers.add(0, name, value));
        }
        headers.add(0, TRUNCATED, columns.as_bytes());
        let keys = messages.keys.as_ref().map(|keys| {
            let key = keys.get(found.message).to_vec();
            ByteStrings { ends: vec![key.len()], bytes: key }
        });
        let alone = MessageBatch { values, keys, headers: Some(headers), ..MessageBatch::default() };
        let fits = limit.excess(&alone, 0).is_none();
        Ok(fits.then_some((alone.values.bytes, columns)))
    }
}

/// Parts of messages for one topic, as they come.
#[derive(Default)]
struct Letters(MessageBatch);

impl Letters {
    /// Adds the parts of a message, each with its key and headers, and tells how many they are. `None` if those leave no room for its
    /// value.
    fn add(
        &mut self,
        letter: &Letter<'_>,
        messages: &MessageBatch,
        index: usize,
        room: usize,
        partitions: u32,
    ) -> Option<usize> {
        let value = messages.values.get(index);
        let batch = &mut self.0;
        let beside = messages.message_bytes(index) - value.len();
        let parts = letter.write_parts(value, room.checked_sub(beside)?, &mut batch.values)?;
        // Those of one key are in one partition of their topic, and so in one of this.
        let partition = letter.partition.unsigned_abs() % partitions;
        batch.partitions.resize(batch.values.len(), i32::try_from(partition).unwrap_or(0));
        batch.sequence.resize(batch.values.len(), messages.sequence[index]);
        if let Some(keys) = &messages.keys {
            let all = batch.keys.get_or_insert_default();
            for _ in 0..parts {
                all.bytes.extend_from_slice(keys.get(index));
                all.ends.push(all.bytes.len());
            }
        }
        if let Some(headers) = &messages.headers {
            let all = batch.headers.get_or_insert_default();
            headers.get(index).for_each(|(name, value)| all.push(name, |out| out.extend_from_slice(value)));
            let set = all.end_set();
            (0..parts).for_each(|_| all.append(set));
        }
        Some(parts)
    }

    fn into_batch(self, topic: &Arc<str>) -> Option<MessageBatch> {
        let batch = MessageBatch { topic: topic.clone(), ..self.0 };
        (!batch.values.is_empty()).then_some(batch)
    }
}

/// A message that is larger than its topic takes, and stops the task.
#[derive(Debug, thiserror::Error)]
#[error(
    "table {table}, {place}: the message of a row has {message_bytes} bytes, which make {} for topic {topic}, and it takes {} ({}){}",
    excess.bytes, excess.limit, excess.setting, why.words()
)]
pub struct TooLargeError {
    table: TableName,
    place: String,
    topic: String,
    message_bytes: usize,
    excess: Excess,
    why: Why,
}

/// Why nothing else becomes of it.
#[derive(Clone, Copy, Debug)]
enum Why {
    Policy,
    Cut,
    Letter,
}

impl Why {
    fn words(self) -> &'static str {
        match self {
            Why::Policy => "",
            Why::Cut => "; with its columns cut it is still too large, or there are none to cut",
            Why::Letter => "; its key and headers leave no room for it in the topic of dead letters",
        }
    }
}

impl TooLargeError {
    pub(super) fn hint(&self) -> &'static str {
        match self.why {
            Why::Policy => {
                "raise max.message.bytes of the topic and sink.options message.max.bytes, leave the large column out with `select`, or say \
                 what becomes of such messages with too_large: skip, dead_letter or {truncate: {bytes: 64KiB}}"
            }
            Why::Cut => {
                "leave less of each value (too_large: {truncate: {bytes: ...}}), cut more columns, raise max.message.bytes of the topic and \
                 sink.options message.max.bytes, or take too_large: dead_letter or skip"
            }
            Why::Letter => "raise max.message.bytes of the topic of dead letters, or take too_large: skip",
        }
    }
}
