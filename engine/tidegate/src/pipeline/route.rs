//! The way of one table's changes from the source's columns to messages, planned once per schema version.

mod error;
mod kinds;
mod names;
mod plan;
mod promise;
mod too_large;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use tracing::warn;

pub use self::error::{Keyless, RouteError, SCATTERED_HINT};
pub use self::kinds::{DIFFER_HINT, Differ, Mismatch, ShardKind, enter_kind};
pub use self::names::{
    check_letters, ddl_topic_of_table, dead_letter_topic_of_table, rule_of, target_of_table, topic_of_table,
    topics_of_table, with_target,
};
pub use self::plan::{check_compacted, plan_encoder, plan_keys, plan_partitioner, plan_transform};
use self::plan::{plan_mark_encoder, plan_zero_dates};
pub use self::promise::policy_text;
use self::too_large::Encoded;
pub use self::too_large::TooLargeError;
use crate::checkpoint::{Checkpoint, LoadState, RememberedTable, TaskTracker};
use crate::config::{Task, UnchangedUpdates};
use tidegate_flow::room::{HEADER_BYTES, HEADERS_BYTES, MESSAGE_BYTES};
use tidegate_flow::tracker::NotSaved;
use tidegate_format::encode::zero_dates::ZeroDates;
use tidegate_format::encode::{EncodeError, Encoder, MarkEncoder};
use tidegate_format::headers::{About, HeaderName, append_mark, headers_of};
use tidegate_format::key::KeyEncoder;
use tidegate_format::partition::{Partitioner, partition_of_statement};
use tidegate_format::transform::Transform;
use tidegate_format::unchanged::without_unchanged;
use tidegate_model::Stop;
use tidegate_model::message::{ByteStrings, Headers, MessageBatch, MessageWindow};
use tidegate_model::{ChangeBatch, ChangeKind, Mark, MarkKind, Table, TableName, Window};
use tidegate_sink::kafka::MessageLimit;
use tidegate_sink::{SinkError, Topics};

/// Filter, partitions, projection, keys and encoding of one table version.
pub struct Route {
    transform: Transform,
    /// Updates of which nothing that leaves has changed are left out.
    skips_unchanged: bool,
    partitioner: Partitioner,
    keys: Option<KeyEncoder>,
    /// Behind each delete.
    tombstones: bool,
    headers: Vec<HeaderName>,
    zero_dates: Option<ZeroDates>,
    encoder: Box<dyn Encoder>,
    topic: Arc<str>,
    /// What the source calls the table.
    source: TableName,
    /// What becomes of messages that are larger than the topic takes.
    too_large: too_large::Plan,
}

/// Where a mark goes, once per topic.
#[derive(Debug)]
pub struct MarkRoute {
    /// Index among the marks of the window.
    mark: usize,
    /// What the table is called that the message is about; none of marks that are about all.
    table: Option<TableName>,
    /// What the source calls it.
    source: Option<TableName>,
    topic: Arc<str>,
    partition: i32,
}

impl Route {
    /// `topic` comes with how many partitions it has, as do `letters`, where messages go that are too large, if they go anywhere.
    fn plan(
        task: &Task,
        server_version: &str,
        table: &Arc<Table>,
        (topic, partitions): (&str, u32),
        letters: Option<(&str, u32)>,
    ) -> Result<Route, RouteError> {
        let transform = plan_transform(&task.tables, table)?;
        let skips =
            task.incremental.as_ref().is_some_and(|options| options.unchanged_updates == UnchangedUpdates::Skip);
        let skips_unchanged = skips && transform.projects();
        let keys = plan_keys(task, table, &transform)?;
        let partitioner = plan_partitioner(task, table, partitions)?;
        let zero_dates = plan_zero_dates(&task.format, transform.output());
        let output = zero_dates.as_ref().map_or(transform.output(), ZeroDates::output);
        let encoder = plan_encoder(&task.format, output, server_version);
        let (tombstones, headers) = (task.tombstones && keys.is_some(), task.headers.clone());
        let too_large = too_large::Plan::new(task, table, &transform, letters)?;
        let (topic, source) = (topic.into(), table.name().clone());
        Ok(Route {
            transform,
            skips_unchanged,
            partitioner,
            keys,
            tombstones,
            headers,
            zero_dates,
            encoder,
            topic,
            source,
            too_large,
        })
    }

    /// Whether the same rows have the same keys.
    fn has_keys_of(&self, other: &Route) -> bool {
        match (&self.keys, &other.keys) {
            (Some(keys), Some(others)) => keys.has_keys_of(others),
            (None, None) => true,
            _ => false,
        }
    }

    /// Says what of the order of messages an ALTER TABLE ends, behind which they go by `now`.
    fn tell_of_change(&self, now: &Route) {
        let list = |names: Vec<&str>| match names.as_slice() {
            [] => "none".to_owned(),
            names => format!("({})", names.join(", ")),
        };
        if !now.has_keys_of(self) {
            let names = |route: &Route| list(route.keys.iter().flat_map(KeyEncoder::names).collect());
            warn!(
                "messages of {} have other keys from here on ({} before, {} now): rows that were sent stay under the old ones",
                self.source,
                names(self),
                names(now)
            );
        }
        if !now.partitioner.places_as(&self.partitioner) {
            let names = |route: &Route| list(route.partitioner.hashed_names().collect());
            let by = match (names(self), names(now)) {
                (before, now) if before == now => format!("by other texts of {now} from here on"),
                (before, now) => format!("by other columns from here on ({before} before, {now} now)"),
            };
            warn!(
                "rows of {} go to partitions {by}: changes of a row may be in another partition than those before, and consumers that read \
                 both at once may see them in another order",
                self.source
            );
        }
    }

    /// Messages for changes of this version, in order; `first_id` as for [`Encoder::encode`].
    fn messages(&self, batch: ChangeBatch, first_id: u64) -> Result<Encoded, RouteError> {
        let key_changed = self.partitioner.key_changed();
        let batch = batch.split_updates(|rows: &RecordBatch, row| key_changed(rows, row));
        let mut batch = self.transform.filter(batch)?;
        if self.skips_unchanged
            && let Some(keep) = without_unchanged(&self.transform.project(batch.clone())?)
        {
            batch = batch.retain(&keep);
        }
        let mut partitions = Vec::with_capacity(batch.kinds().len());
        self.partitioner.partitions(&batch, &mut partitions)?;
        let mut sequence = batch.changes().map(|change| batch.sequence()[change.row]).collect();
        let mut batch = self.transform.project(batch)?;
        let keys = self.keys.as_ref().map(|keys| {
            let mut out = ByteStrings::default();
            keys.encode(&batch, self.tombstones, &mut out).map(|()| out)
        });
        let keys = keys.transpose()?;
        let keyed = (self.zero_dates.is_some() && self.too_large.tells_keys()).then(|| batch.clone());
        if let Some(zero_dates) = &self.zero_dates {
            batch = zero_dates.apply(batch);
        }
        let mut values = ByteStrings::default();
        // Of a table that has another name there, the one by which it can be found.
        let named = |error: EncodeError| EncodeError { table: self.source.clone(), ..error };
        self.encoder.encode(&batch, first_id, &mut values).map_err(named)?;
        let table = About { target: self.transform.output().name(), source: &self.source };
        let headers = match self.headers.as_slice() {
            [] => None,
            wanted => Some(headers_of(wanted, table, &batch, self.tombstones)),
        };
        if self.tombstones && batch.changes().any(|change| change.kind == ChangeKind::Delete) {
            // Where a value ends once more, an empty one does.
            repeat_deletes(&batch, &mut values.ends);
            repeat_deletes(&batch, &mut sequence);
            repeat_deletes(&batch, &mut partitions);
        }
        if let Some(keys) = keys.as_ref().filter(|_| self.partitioner.hashes_keys()) {
            self.partitioner.partitions_of_keys(keys, &mut partitions);
        }
        let messages = MessageBatch { topic: self.topic.clone(), values, keys, headers, partitions, sequence };
        Ok(Encoded { messages, changes: batch, keyed })
    }
}

/// What is told of each change, with that of each delete once more.
fn repeat_deletes<T: Copy>(batch: &ChangeBatch, of_changes: &mut Vec<T>) {
    let once_or_twice = |change: tidegate_model::Change| if change.kind == ChangeKind::Delete { 2 } else { 1 };
    let repeated = batch.changes().zip(&*of_changes);
    *of_changes = repeated.flat_map(|(change, &item)| std::iter::repeat_n(item, once_or_twice(change))).collect();
}

/// What stands against sending a table, whatever its topic is like.
pub fn check_table(task: &Task, table: &Arc<Table>) -> Result<(), RouteError> {
    let rule = rule_of(task, table.name());
    let transform = plan_transform(&task.tables, table)?;
    plan_keys(task, table, &transform)?;
    plan_partitioner(task, table, 1)?;
    too_large::check(task, table, &transform)?;
    match rule.chunk_by.iter().find(|column| table.column_index(column).is_none()) {
        Some(column) => Err(RouteError::ChunkBy { table: table.name().clone(), column: column.clone() }),
        None => Ok(()),
    }
}

/// The same of a table of a task that goes on. What stands only against rows as they are now, while rows are to come that are older, is
/// given back: the task stops where those end, and not before they are sent.
pub fn check_table_of(task: &Task, table: &Arc<Table>, stored: &Checkpoint) -> Result<Option<RouteError>, RouteError> {
    let Err(error) = check_table(task, table) else { return Ok(None) };
    let is_older = |version: &Table| version.columns() != table.columns();
    match stored
        .source
        .versions(table.name())
        .filter(is_older)
        .any(|version| check_table(task, &Arc::new(version)).is_ok())
    {
        true => Ok(Some(error)),
        false => Err(error),
    }
}

/// The columns of a table, by index, that decide about the messages of its rows: all others can stay where they are.
///
/// Those of the message's key are among the columns that come out; the table's own key is a row's name in every place where one is
/// looked for.
pub fn columns_read(task: &Task, table: &Arc<Table>, transform: &Transform) -> Vec<usize> {
    // A table that cannot be sent ends the task elsewhere.
    let Ok(partitioner) = plan_partitioner(task, table, 1) else { return (0..table.columns().len()).collect() };
    let mut columns = transform.columns_read();
    columns.extend(partitioner.columns());
    columns.extend(table.key());
    // A row without any column cannot be asked for.
    if columns.is_empty() {
        columns.insert(0);
    }
    columns.into_iter().collect()
}

/// What a row of a table takes until it is delivered, besides [`ROW_COPIES`](tidegate_model::ROW_COPIES) of its own bytes.
pub fn row_bytes(task: &Task, table: &Arc<Table>, transform: &Transform, server_version: &str) -> usize {
    let zero_dates = plan_zero_dates(&task.format, transform.output());
    let output = zero_dates.as_ref().map_or(transform.output(), ZeroDates::output);
    // A NULL has no bytes of its own and takes a column's width all the same; buffers grow by doubling.
    let columns = table.columns().iter().map(|column| 2 * column.sql_type.arrow().primitive_width().unwrap_or(4));
    // librdkafka copies keys and headers.
    let keys = plan_keys(task, table, transform).ok().flatten().map_or(0, |keys| 2 * keys.row_bytes());
    let headers = match task.headers.len() {
        0 => 0,
        headers => HEADERS_BYTES + headers * (HEADER_BYTES + HEADER_TEXT_BYTES),
    };
    plan_encoder(&task.format, output, server_version).row_bytes()
        + columns.sum::<usize>()
        + keys
        + headers
        + MESSAGE_BYTES
}

/// A guess for name and text of a header.
const HEADER_TEXT_BYTES: usize = 40;

/// Definitions of a table, each with its route, the latest first.
type KnownRoutes = VecDeque<(Arc<Table>, Arc<Route>)>;

/// Routes by table version, planned when first needed.
pub struct Router {
    task: Arc<Task>,
    server_version: String,
    /// Prepared when a route is planned.
    topics: Arc<dyn Topics>,
    stop: Stop,
    marks: Box<dyn MarkEncoder>,
    /// By table, the definitions met last. Full load and binlog may find the same one apart, and versions number what the
    /// binlog shows, so that a definition is known by what it says.
    routes: Mutex<HashMap<TableName, KnownRoutes>>,
    /// When there are so many, those of tables that are gone are forgotten.
    routes_max: AtomicUsize,
    /// Partitions of the topics in use. Asked for once: a number that grew under a running task would move keys.
    partitions: Mutex<HashMap<String, u32>>,
    /// Where tables that the task takes up are remembered.
    memory: Option<Arc<TaskTracker>>,
    /// A topic was remembered, which may not be on the disk yet.
    has_new_topic: AtomicBool,
    /// By the name that tables have where they go, what comes out of each of them.
    shards: Mutex<HashMap<TableName, Vec<ShardKind>>>,
    too_large_log: too_large::Log,
    used: Mutex<Used>,
}

/// Topics of tables for which a route was planned.
#[derive(Default)]
struct Used {
    of_rows: HashSet<String>,
    of_letters: HashSet<String>,
}

/// Tables whose routes are kept, whether they are still there or not.
const ROUTES_MAX: usize = 1000;

/// Definitions of a table whose routes are kept: what chunks and changes in flight may have.
const DEFINITIONS_MAX: usize = 8;

impl Router {
    /// `server_version` is what the source calls itself.
    pub fn new(task: Arc<Task>, server_version: String, topics: Arc<dyn Topics>, stop: Stop) -> Router {
        let marks = plan_mark_encoder(&task.format, &server_version);
        let (routes, partitions, routes_max) = (Mutex::default(), Mutex::default(), AtomicUsize::new(ROUTES_MAX));
        let has_new_topic = AtomicBool::new(false);
        Router {
            task,
            server_version,
            topics,
            stop,
            marks,
            routes,
            routes_max,
            partitions,
            memory: None,
            has_new_topic,
            shards: Mutex::default(),
            too_large_log: too_large::Log::default(),
            used: Mutex::default(),
        }
    }

    /// Remembers every table for which a route is planned, and its topic.
    pub fn remembering(self, tracker: Arc<TaskTracker>) -> Router {
        Router { memory: Some(tracker), ..self }
    }

    /// The route of a table version; prepares its topic if it is new.
    pub fn route(&self, table: &Arc<Table>) -> Result<Arc<Route>, RouteError> {
        let mut routes = self.routes.lock().expect("planning does not panic");
        if routes.len() >= self.routes_max.load(Relaxed)
            && let Some(tracker) = &self.memory
        {
            // Of tables that were dropped, the memory has forgotten most.
            tracker.read(|memory| routes.retain(|name, _| memory.remembered_table(name).is_some()));
            self.routes_max.store(ROUTES_MAX.max(2 * routes.len()), Relaxed);
        }
        let known = routes.entry(table.name().clone()).or_default();
        let collations =
            |table: &Table| table.columns().iter().map(|column| column.collation.clone()).collect::<Vec<_>>();
        let is_same = |(other, _): &&(Arc<Table>, Arc<Route>)| {
            Arc::ptr_eq(other, table) || other.is_defined_as(table) && collations(other) == collations(table)
        };
        if let Some((_, route)) = known.iter().find(is_same) {
            // Dropped, forgotten, and made again.
            let is_forgotten = |memory: &Checkpoint| memory.remembered_table(table.name()).is_none();
            if self.memory.as_ref().is_some_and(|tracker| tracker.read(is_forgotten)) {
                self.take_up(table)?;
            }
            return Ok(route.clone());
        }
        let topic = topic_of_table(&self.task, table.name())?;
        let letters = dead_letter_topic_of_table(&self.task, table.name())?;
        self.uses(table.name(), &topic, letters.as_deref())?;
        let partitions = self.prepare_topic(&topic)?;
        if let Some(policy) = self.topics.compacted(&topic) {
            check_compacted(&self.task, table, &topic, &policy)?;
        }
        let letters = letters.map(|topic| {
            self.topics.keep_whole(&topic);
            self.prepare_topic(&topic).map(|partitions| (topic, partitions))
        });
        let letters = letters.transpose()?;
        let letters = letters.as_ref().map(|(topic, partitions)| (topic.as_str(), *partitions));
        let route = Route::plan(&self.task, &self.server_version, table, (&topic, partitions), letters)?;
        let is_told = |limit: MessageLimit| limit.of_topic().is_some();
        if !route.too_large.is_fail() && self.topics.limit(&topic).is_some_and(|limit| !is_told(limit)) {
            warn!(
                "brokers do not tell how large a message of topic {topic} may be: one of {} that they refuse stops the task, whatever \
                 `too_large` says",
                table.name()
            );
        }
        let route = Arc::new(route);
        // What the catalogue shows is planned first, and may be of later than rows that come then.
        let version = |(table, _): &&(Arc<Table>, Arc<Route>)| table.version();
        match known.iter().filter(|one| version(one) < table.version()).max_by_key(version) {
            Some((_, before)) => before.tell_of_change(&route),
            // Nothing of it has been sent by this run.
            None if known.is_empty() => {
                let is_it = |version: &Table| version.is_defined_as(table);
                let before = |memory: &Checkpoint| {
                    let versions: Vec<Table> = memory.source.versions(table.name()).collect();
                    // What the catalogue shows may not have been met yet.
                    let older = versions.iter().position(is_it).map_or(&versions[..], |index| &versions[..index]);
                    older.last().cloned()
                };
                let older = self.memory.as_ref().and_then(|tracker| tracker.read(before)).map(Arc::new);
                let plan = |older| Route::plan(&self.task, &self.server_version, &older, (&topic, partitions), letters);
                // One that could not be sent was not.
                if let Some(Ok(before)) = older.map(plan) {
                    before.tell_of_change(&route);
                }
            }
            None => {}
        }
        if let Some((_, behind)) = known.iter().filter(|one| version(one) > table.version()).min_by_key(version) {
            route.tell_of_change(behind);
        }
        self.take_up(table)?;
        self.compare_shards(table.name(), route.transform.output());
        known.truncate(DEFINITIONS_MAX - 1);
        known.push_front((table.clone(), route.clone()));
        Ok(route)
    }

    /// Refuses parts of messages among rows, whichever of both comes first.
    fn uses(&self, table: &TableName, topic: &str, letters: Option<&str>) -> Result<(), RouteError> {
        let mut used = self.used.lock().expect("nobody panics while comparing");
        used.of_rows.insert(topic.to_owned());
        used.of_letters.extend(letters.map(str::to_owned));
        let is_both = |topic: &&str| used.of_rows.contains(*topic) && used.of_letters.contains(*topic);
        let both = [Some(topic), letters].into_iter().flatten().find(is_both);
        let refused = |topic: &str| RouteError::LettersAmongRows { table: table.clone(), topic: topic.to_owned() };
        both.map_or(Ok(()), |topic| Err(refused(topic)))
    }

    /// What was there at the start has been taken up with its load: this one came to be in the binlog.
    fn take_up(&self, table: &Table) -> Result<(), RouteError> {
        let Some(tracker) = &self.memory else { return Ok(()) };
        let remembered = RememberedTable::of(&self.task, table.name(), LoadState::NotWanted)?;
        tracker.update(|memory| memory.take_up(remembered));
        Ok(())
    }

    /// Says in what a table differs from others that have its name where they go.
    fn compare_shards(&self, table: &TableName, output: &Arc<Table>) {
        if !self.task.tables.gives_names() {
            return;
        }
        let mut shards = self.shards.lock().expect("nobody panics while comparing");
        let kinds = shards.entry(output.name().clone()).or_default();
        kinds.iter_mut().for_each(|(_, tables)| tables.retain(|name| name != table));
        let is_there = |name: &&TableName| {
            self.memory.as_ref().is_none_or(|tracker| tracker.read(|memory| memory.remembered_table(name).is_some()))
        };
        let differs = |(kind, tables): &ShardKind| {
            let other = tables.iter().find(is_there)?.clone();
            Mismatch::of([&[other], std::slice::from_ref(table)], [kind, output])
        };
        if let Some(mismatch) = kinds.iter().find_map(differs) {
            warn!("{mismatch}; each message has the columns of its own row");
            if let Some(tracker) = &self.memory {
                tracker.update(|memory| memory.is_apart(output.name()));
            }
        }
        kinds.retain(|(_, tables)| !tables.is_empty());
        enter_kind(kinds, table.clone(), output);
    }

    /// Where a window's marks go, in their order.
    pub fn mark_routes(&self, window: &Window) -> Result<Vec<MarkRoute>, RouteError> {
        let mut routes: Vec<MarkRoute> = Vec::new();
        // Where transactions are marked, all tables have the same topic, and that one partition is used.
        let mut topic_of_all: Option<Arc<str>> = None;
        for (mark, Mark { kind, .. }) in window.marks.iter().enumerate() {
            let MarkKind::Statement(statement) = kind else {
                let topic = match &topic_of_all {
                    Some(topic) => topic.clone(),
                    None => {
                        let topic = self.task.tables.rules().find_map(|rule| rule.topic.constant());
                        let topic: Arc<str> = topic.expect("checked with the task file").into();
                        self.prepare_topic(&topic)?;
                        topic_of_all.insert(topic).clone()
                    }
                };
                routes.push(MarkRoute { mark, table: None, source: None, topic, partition: 0 });
                continue;
            };
            for table in &statement.tables {
                let rule = rule_of(&self.task, table);
                let topic = match ddl_topic_of_table(&self.task, table)? {
                    Some(topic) => topic,
                    None => topic_of_table(&self.task, table)?,
                };
                let partitions = self.prepare_topic(&topic)?;
                if let Some(policy) = self.topics.compacted(&topic) {
                    return Err(RouteError::Compacted { topic, policy, what: Keyless::Marks });
                }
                let target = target_of_table(&self.task.tables, table)?;
                let partition = match self.task.ddl_topic {
                    Some(_) => 0,
                    None => partition_of_statement(&rule.partition, self.task.partition_hash, &target, partitions),
                };
                // Once where rows of its tables are.
                let is_there = |route: &MarkRoute| *route.topic == topic && route.partition == partition;
                if routes.iter().rev().take_while(|route| route.mark == mark).any(is_there) {
                    continue;
                }
                let source = Some(table.clone());
                routes.push(MarkRoute { mark, table: Some(target), source, topic: topic.into(), partition });
            }
        }
        Ok(routes)
    }

    fn prepare_topic(&self, topic: &str) -> Result<u32, SinkError> {
        let known = self.partitions.lock().expect("its holders do not panic").get(topic).copied();
        if let Some(partitions) = known {
            return Ok(partitions);
        }
        let partitions = self.topics.prepare(topic, &|| self.stop.is_stopped())?;
        self.partitions.lock().expect("its holders do not panic").insert(topic.to_owned(), partitions);
        if let Some(tracker) = &self.memory {
            let identity = self.topics.identity(topic);
            tracker.update(|memory| memory.topic_spread(topic, partitions, identity));
            self.has_new_topic.store(true, Relaxed);
        }
        Ok(partitions)
    }

    /// Remembers how far the topics were written: an offset before that is one of another topic.
    pub fn remember_ends(&self) {
        let Some(tracker) = &self.memory else { return };
        let partitions = self.partitions.lock().expect("its holders do not panic");
        let ends: Vec<_> = partitions.keys().map(|topic| (topic, self.topics.acknowledged(topic))).collect();
        tracker.update(|memory| ends.iter().for_each(|(topic, ends)| memory.topic_ends(topic, ends)));
    }

    /// Returns once the topics that were prepared are known on the disk: one with messages of which nobody knows would not be
    /// taken for the task's own.
    pub fn save_topics(&self) -> Result<(), NotSaved> {
        match &self.memory {
            Some(tracker) if self.has_new_topic.swap(false, Relaxed) => tracker.update_durably(|_| ()),
            _ => Ok(()),
        }
    }

    /// Messages of a window's marks: a batch for each topic.
    fn mark_messages(&self, marks: &[Mark], routes: &[MarkRoute], first_id: u64) -> Vec<MessageBatch> {
        let mut batches: Vec<MessageBatch> = Vec::new();
        for route in routes {
            let index = batches.iter().position(|batch| batch.topic == route.topic).unwrap_or_else(|| {
                let headers = (!self.task.headers.is_empty()).then(Headers::default);
                batches.push(MessageBatch { topic: route.topic.clone(), headers, ..MessageBatch::default() });
                batches.len() - 1
            });
            let (mark, batch) = (&marks[route.mark], &mut batches[index]);
            let id = first_id + 2 * u64::from(mark.sequence);
            self.marks.encode(mark, route.table.as_ref(), id, &mut batch.values);
            // A mark for which the format has no message adds none.
            if let Some(headers) = batch.headers.as_mut().filter(|_| batch.values.len() > batch.partitions.len()) {
                let table = route.table.as_ref().zip(route.source.as_ref());
                let table = table.map(|(target, source)| About { target, source });
                append_mark(&self.task.headers, mark, table, headers);
            }
            batch.partitions.resize(batch.values.len(), route.partition);
            batch.sequence.resize(batch.values.len(), mark.sequence);
        }
        batches.retain(|batch| !batch.values.is_empty());
        batches
    }

    /// The routes of a window's batches, in their order.
    pub fn routes(&self, window: &Window) -> Result<Vec<Arc<Route>>, RouteError> {
        let route = |batch: &ChangeBatch| self.route(batch.table()).map_err(|error| error.met_by(batch));
        window.changes.iter().map(route).collect()
    }
}

/// A window and the ways of all that is in it.
pub struct Routed {
    pub window: Window,
    pub routes: Vec<Arc<Route>>,
    pub mark_routes: Vec<MarkRoute>,
    /// As for [`Encoder::encode`].
    pub first_id: u64,
}

/// Messages of a whole window: one core's work.
pub fn encode_window(router: &Router, routed: Routed) -> Result<MessageWindow, RouteError> {
    let Routed { window, routes, mark_routes, first_id } = routed;
    let marks = router.mark_messages(&window.marks, &mark_routes, first_id);
    let mut messages = MessageWindow { progress: window.progress, ..MessageWindow::default() };
    for (batch, route) in window.changes.into_iter().zip(&routes) {
        router.take(route, route.messages(batch, first_id)?, first_id, &mut messages)?;
    }
    messages.batches.extend(marks);
    Ok(messages)
}
