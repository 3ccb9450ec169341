//! What the readers of one load share: which tables are to be cut, which chunks to be read, and how each table is read now.
//!
//! ```text
//! table ──► cut ──► chunk ──► read ──► windows
//!            ▲        │
//!            └────────┘  its key is another one: its chunks are forgotten, it is cut again
//! ```

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::pieces::ReadJob;
use super::view::ViewRule;
use super::{Failure, Load, LoadEnd, LoadError, LoadTable, TableError, TableFailure, lock};
use crate::chunks::{ChunkKey, KeyRange, KeyValue};
use crate::connection::ServerVersion;
use crate::ledger::ChunkState;
use crate::wire::Interrupter;
use tidegate_collation::Collation;
use tidegate_model::{Column, SqlType, Table, TableName, Watermark};

/// How soon a raised stop flag is noticed.
pub(super) const STOP_CHECK: Duration = Duration::from_millis(20);

/// How many tables share a view at most: as long as it is open, a statement that alters one of them waits.
const TABLES_PER_VIEW: usize = 64;

/// How many bytes its tables have at most, all together, by what the server knows of them. So many tables fit of one page each, also where pages are
/// the largest that there are; and a line of 10 Mbit/s brings it before the view has to end.
const BYTES_PER_VIEW: u64 = 4 << 20;

/// How a table is read, as long as its definition stays as it is.
pub(super) struct Plan {
    pub(super) table: LoadTable,
    pub(super) key: ChunkKey,
    /// The index by which the table is cut and read, once looked up.
    pub(super) index: OnceLock<Option<String>>,
    /// The first chunk that was cut by this key.
    pub(super) first_chunk: u32,
    /// The definition under which it was cut.
    pub(super) cut_under: Option<u32>,
    /// How often the table has begun again: what was cut or queued before is of no use.
    pub(super) generation: u32,
}

impl Plan {
    pub(super) fn new(table: LoadTable, key: ChunkKey, first_chunk: u32, cut_under: Option<u32>) -> Plan {
        let cut_under = cut_under.or(table.fingerprint());
        Plan { table, key, index: OnceLock::new(), first_chunk, cut_under, generation: 0 }
    }

    pub(super) fn name(&self) -> &TableName {
        self.table.table.name()
    }

    pub(super) fn is_cut_as_ordered(&self, version: &ServerVersion) -> bool {
        is_key_ordered(version, &self.table.table, &self.key)
    }
}

/// Whether the table may be read in a view that another one opens: InnoDB's rows are of the moment at which the view opens, others' of that at
/// which they are read; how exact a view is matters for rows without a key; and a condition that somebody asks for may have a fault of its own.
/// Many bytes would keep the others locked.
fn may_share(table: &LoadTable) -> bool {
    // In its names and texts, no line ends like this.
    let is_innodb = |definition: &String| definition.contains("\n) ENGINE=InnoDB");
    let is_small = table.estimated_bytes <= BYTES_PER_VIEW;
    is_small
        && !table.table.key().is_empty()
        && table.part.is_none()
        && table.definition.as_ref().is_some_and(is_innodb)
}

fn is_key_ordered(version: &ServerVersion, table: &Table, key: &ChunkKey) -> bool {
    let columns = key.columns.iter().filter_map(|key| Some(&table.columns()[table.column_index(&key.name)?]));
    is_cut_as_ordered(version, columns)
}

/// Whether the server finds each row in one of two ranges of a key that meet.
///
/// MariaDB does not for CHAR by a NO PAD collation: by an index, `'a\t'` is neither `<= 'a'` nor `> 'a'`.
pub(crate) fn is_cut_as_ordered<'a>(version: &ServerVersion, key: impl IntoIterator<Item = &'a Column>) -> bool {
    let is_unpadded = |collation: &str| Collation::named(collation).is_none_or(|collation| !collation.pads());
    let is_char =
        |column: &Column| column.sql_type == SqlType::Char && column.collation.as_deref().is_none_or(is_unpadded);
    !version.is_mariadb || !key.into_iter().any(is_char)
}

pub(super) struct Run<'a> {
    pub(super) load: &'a Load<'a>,
    pub(super) rule: ViewRule,
    plans: Vec<Mutex<Arc<Plan>>>,
    queue: Mutex<Queue>,
    changed: Condvar,
    readers: Vec<Slot>,
    /// Tables of which it was said that rows may come twice.
    may_repeat: Mutex<HashSet<usize>>,
}

/// Since when a view is open, or what is locked for it, that is given up for its age, and at what age.
#[derive(Clone, Copy)]
pub(super) struct ReadingSince {
    pub(super) opened: Instant,
    pub(super) max: Duration,
}

/// What the run knows of a reader.
#[derive(Default)]
struct Slot {
    interrupter: Mutex<Option<Interrupter>>,
    /// Since when it waits for the sink, with a view open.
    waiting_since: Mutex<Option<Instant>>,
    /// Since when it reads in a view for which another one could go on.
    reading_since: Mutex<Option<ReadingSince>>,
    /// The table for which it does something.
    table: Mutex<Option<usize>>,
}

#[derive(Default)]
struct Queue {
    /// Cut and waiting to be read.
    chunks: VecDeque<CutChunk>,
    uncut: VecDeque<CutJob>,
    /// Likewise, those that may share a view with others if they have few rows; and how many bytes each has, about.
    sharing: VecDeque<(CutJob, u64)>,
    cutting: usize,
    readers: usize,
    stopped: bool,
    /// Tables of which nothing more is wanted.
    taken_back: HashSet<usize>,
    failed: Vec<TableFailure>,
    error: Option<LoadError>,
}

/// A chunk of a table, cut.
struct CutChunk {
    table: usize,
    chunk: u32,
    range: KeyRange,
}

/// A table to cut, and from which key.
pub(super) struct CutJob {
    pub(super) table: usize,
    pub(super) from: Option<Vec<KeyValue>>,
    pub(super) generation: u32,
}

impl CutJob {
    fn of(table: usize, generation: u32) -> CutJob {
        CutJob { table, from: None, generation }
    }
}

pub(super) enum Job {
    Cut(CutJob),
    /// Tables that may all have few rows.
    Share(Vec<CutJob>),
    Read(ReadJob),
}

impl Queue {
    fn job(&mut self, chunks_max: usize) -> Option<Job> {
        if self.stopped {
            return None;
        }
        if let Some(CutChunk { table, chunk, range }) = self.chunks.pop_front() {
            let mut chunks = VecDeque::from([(chunk, range)]);
            // Something is left for the other readers.
            let chunks_max = chunks_max.min(self.chunks.len() / self.readers);
            while chunks.len() < chunks_max
                && let Some(next) = self.chunks.pop_front_if(|next| next.table == table)
            {
                chunks.push_back((next.chunk, next.range));
            }
            return Some(Job::Read(ReadJob { table, chunks, pieces: None }));
        }
        // Something is left for the other readers.
        let tables_max = TABLES_PER_VIEW.min(self.sharing.len().div_ceil(self.readers));
        let mut bytes = 0;
        let fits = |(_, more): &&(CutJob, u64)| {
            bytes += more;
            bytes <= BYTES_PER_VIEW
        };
        let job = match self.sharing.iter().take(tables_max).take_while(fits).count() {
            tables @ 2.. => Job::Share(self.sharing.drain(..tables).map(|(job, _)| job).collect()),
            _ => Job::Cut(self.sharing.pop_front().map(|(job, _)| job).or_else(|| self.uncut.pop_front())?),
        };
        self.cutting += 1;
        Some(job)
    }

    /// `shares`: how many bytes it has, about, if it may share a view.
    fn add_uncut(&mut self, job: CutJob, shares: Option<u64>) {
        match shares {
            Some(bytes) => self.sharing.push_back((job, bytes)),
            None => self.uncut.push_back(job),
        }
    }

    /// Nothing is to be done for the table.
    fn forget(&mut self, table: usize) {
        self.chunks.retain(|job| job.table != table);
        self.uncut.retain(|job| job.table != table);
        self.sharing.retain(|(job, _)| job.table != table);
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(load: &'a Load<'a>) -> Run<'a> {
        let readers = load.options.readers.max(1);
        let mut queue = Queue { readers, ..Queue::default() };
        let mut plans = Vec::with_capacity(load.tables.len());
        let shares =
            |table: &LoadTable| (load.options.tables_share_views && may_share(table)).then_some(table.estimated_bytes);
        for (index, table) in load.tables.iter().enumerate() {
            let name = table.table.name();
            let key = match table.key() {
                Ok(key) => key,
                Err(error) => {
                    queue.failed.push(TableFailure { table: name.clone(), error });
                    plans.push(Mutex::new(Arc::new(Plan::new(table.clone(), ChunkKey::default(), 0, None))));
                    continue;
                }
            };
            let (mut first_chunk, mut cut_under) = (0, None);
            match load.ledger.table(name) {
                None => {
                    load.record.add_table(name, &key, table.fingerprint());
                    queue.add_uncut(CutJob::of(index, 0), shares(table));
                }
                Some(known) if known.is_done() => {}
                Some(known)
                    if known.key != key
                        || !table.is_ordered_as(known.definition)
                        || (known.chunks.len() > 1 && !is_key_ordered(&load.facts.version, &table.table, &key)) =>
                {
                    info!(table = %name, "its key is not the one by which it was cut: it is loaded from its begin");
                    if let Some(first) = load.record.begin_again(name, &key, table.fingerprint()) {
                        first_chunk = first;
                        queue.add_uncut(CutJob::of(index, 0), None);
                    }
                }
                Some(known) => {
                    (first_chunk, cut_under) = (known.first_chunk, known.definition);
                    let left = known.numbered().filter(|(_, chunk)| chunk.state != ChunkState::Done);
                    queue.chunks.extend(left.map(|(chunk, known)| CutChunk {
                        table: index,
                        chunk,
                        range: known.range.clone(),
                    }));
                    if !known.planned {
                        let from = known.cut_until().map(<[KeyValue]>::to_vec);
                        let shares = shares(table).filter(|_| known.chunks.is_empty());
                        queue.add_uncut(CutJob { from, ..CutJob::of(index, 0) }, shares);
                    }
                }
            }
            plans.push(Mutex::new(Arc::new(Plan::new(table.clone(), key, first_chunk, cut_under))));
        }
        let rule = match load.start.coordinate.file.is_empty() && !load.options.is_followed {
            // The load began where the account might not ask for a place: there is nothing to compare a view with.
            true => ViewRule::Undated,
            false => ViewRule::of_load(load.facts, load.options.is_followed),
        };
        Run {
            load,
            rule,
            plans,
            queue: Mutex::new(queue),
            changed: Condvar::new(),
            readers: (0..readers).map(|_| Slot::default()).collect(),
            may_repeat: Mutex::default(),
        }
    }

    /// The first time of a table.
    pub(super) fn is_first_to_repeat(&self, table: usize) -> bool {
        lock(&self.may_repeat).insert(table)
    }

    pub(super) fn slots(&self) -> usize {
        self.readers.len()
    }

    /// How the table is read now.
    pub(super) fn plan(&self, table: usize) -> Arc<Plan> {
        lock(&self.plans[table]).clone()
    }

    /// The table is read by another plan from now on, with the same chunks; unless that was found by another reader already.
    pub(super) fn replace_plan(&self, table: usize, before: &Arc<Plan>, plan: Plan) -> Arc<Plan> {
        let mut current = lock(&self.plans[table]);
        if Arc::ptr_eq(&current, before) {
            *current = Arc::new(Plan { generation: before.generation, ..plan });
        }
        current.clone()
    }

    /// Forgets how the table was cut: it has another key now. Chunks that were read count no longer.
    pub(super) fn begin_again(&self, table: usize, before: &Arc<Plan>, load_table: LoadTable, key: ChunkKey) {
        let mut current = lock(&self.plans[table]);
        if !Arc::ptr_eq(&current, before) {
            return;
        }
        let name = current.name();
        warn!(table = %name, "its key was altered during the full load: it is loaded from its begin once more");
        let Some(first_chunk) = self.load.record.begin_again(name, &key, load_table.fingerprint()) else {
            return self.take_back(table);
        };
        let generation = current.generation + 1;
        *current = Arc::new(Plan { generation, ..Plan::new(load_table, key, first_chunk, None) });
        let mut queue = self.queue();
        queue.forget(table);
        queue.uncut.push_back(CutJob::of(table, generation));
        self.changed.notify_all();
    }

    /// The table is not there any more: nothing is left to be read of it. `at` is where that was seen.
    pub(super) fn gone(&self, table: usize, at: Watermark) {
        let mut current = lock(&self.plans[table]);
        warn!(table = %current.name(), "it was dropped or renamed during its full load, which ends without it");
        self.load.record.gone(current.name(), at);
        // No chunk has a number so high.
        let (generation, plan) =
            (current.generation + 1, Plan::new(current.table.clone(), ChunkKey::default(), u32::MAX, None));
        *current = Arc::new(Plan { generation, ..plan });
        self.queue().forget(table);
        self.changed.notify_all();
    }

    /// Returns when all readers have ended; passes a raised stop flag on to those that wait for the server, and ends views
    /// that a sink which takes nothing keeps open, or that are too old.
    pub(super) fn wait_for_readers(&self) {
        let options = self.load.options;
        let is_over = |since: &Mutex<Option<Instant>>, max| lock(since).is_some_and(|at| at.elapsed() >= max);
        let mut queue = self.queue();
        while queue.readers > 0 {
            queue = self.changed.wait_timeout(queue, STOP_CHECK).expect("no holder of the lock panicked").0;
            drop(queue);
            self.take_back_what_is_not_wanted();
            queue = self.queue();
            if self.load.stop.load(Ordering::Relaxed) && !queue.stopped {
                queue.stopped = true;
                self.changed.notify_all();
            }
            for slot in &self.readers {
                let waiting = is_over(&slot.waiting_since, options.view_patience) && !self.load.record.is_held();
                let is_old = lock(&slot.reading_since).is_some_and(|since| since.opened.elapsed() >= since.max);
                if (queue.stopped || waiting || is_old)
                    && let Some(interrupter) = &*lock(&slot.interrupter)
                {
                    interrupter.interrupt();
                }
            }
        }
    }

    /// Ends what is read of tables that were taken back, however long the server would take for it.
    fn take_back_what_is_not_wanted(&self) {
        for name in self.load.record.taken_back() {
            let Some(table) = self.load.tables.iter().position(|table| *table.table.name() == name) else { continue };
            self.take_back(table);
            for slot in &self.readers {
                // It goes on to no other table meanwhile.
                let reads = lock(&slot.table);
                if *reads == Some(table)
                    && let Some(interrupter) = &*lock(&slot.interrupter)
                {
                    interrupter.interrupt();
                }
            }
        }
    }

    /// Nothing more of the table is wanted.
    pub(super) fn take_back(&self, table: usize) {
        let mut queue = self.queue();
        queue.forget(table);
        queue.taken_back.insert(table);
    }

    pub(super) fn is_taken_back(&self, table: usize) -> bool {
        self.queue().taken_back.contains(&table)
    }

    /// What a reader does something for now.
    pub(super) fn set_table(&self, slot: usize, table: Option<usize>) {
        *lock(&self.readers[slot].table) = table;
    }

    pub(super) fn end(self) -> Result<LoadEnd, LoadError> {
        let queue = self.queue.into_inner().expect("no holder of the lock panicked");
        match (queue.error, queue.failed.is_empty()) {
            (Some(error), _) => Err(error),
            (None, false) => Err(LoadError::Tables(queue.failed)),
            (None, true) if queue.stopped => Ok(LoadEnd::Stopped),
            (None, true) => Ok(LoadEnd::Complete),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.load.stop.load(Ordering::Relaxed) || self.queue().stopped
    }

    pub(super) fn stop(&self, error: Option<LoadError>) {
        let mut queue = self.queue();
        queue.stopped = true;
        queue.error = queue.error.take().or(error);
        self.changed.notify_all();
    }

    pub(super) fn fail_table(&self, table: usize, error: TableError) {
        let name = lock(&self.plans[table]).name().clone();
        let mut queue = self.queue();
        queue.chunks.retain(|job| job.table != table);
        // Other readers may fail on other chunks of it.
        if queue.failed.iter().all(|failure| failure.table != name) {
            queue.failed.push(TableFailure { table: name, error });
        }
    }

    pub(super) fn has_failed(&self, name: &TableName) -> bool {
        self.queue().failed.iter().any(|failure| failure.table == *name)
    }

    /// The next chunks, at most so many, else the next table to cut; none if there is nothing at the moment.
    pub(super) fn job(&self, chunks_max: usize) -> Option<Job> {
        self.queue().job(chunks_max)
    }

    /// The next job. Waits while another reader may still find chunks.
    pub(super) fn wait_for_job(&self, chunks_max: usize) -> Option<Job> {
        let mut queue = self.queue();
        loop {
            let job = queue.job(chunks_max);
            if job.is_some() || queue.stopped || queue.cutting == 0 {
                return job;
            }
            queue = self.changed.wait(queue).expect("no holder of the lock panicked");
        }
    }

    pub(super) fn end_cutting(&self) {
        self.queue().cutting -= 1;
        self.changed.notify_all();
    }

    /// Enters a chunk that was cut by `plan`'s key, unless the table has begun again, for whoever reads next.
    pub(super) fn add_chunk(&self, table: usize, plan: &Plan, range: KeyRange) -> Result<(), Failure> {
        let current = lock(&self.plans[table]);
        let chunk = self.enter_chunk(table, &current, plan, range.clone()).ok_or(Failure::Outdated)?;
        self.queue().chunks.push_back(CutChunk { table, chunk, range });
        self.changed.notify_one();
        Ok(())
    }

    /// Enters all of the table as one chunk, for the caller to read, and returns its number; none if the table has begun again or is taken back.
    pub(super) fn add_whole(&self, table: usize, plan: &Plan) -> Option<u32> {
        self.enter_chunk(table, &lock(&self.plans[table]), plan, KeyRange::default())
    }

    fn enter_chunk(&self, table: usize, current: &Plan, plan: &Plan, range: KeyRange) -> Option<u32> {
        if current.generation != plan.generation {
            return None;
        }
        let chunk = self.load.record.add_chunk(plan.name(), range);
        if chunk.is_none() {
            self.take_back(table);
        }
        chunk
    }

    /// What was to be read with other tables is read for itself: cut first, unless all of it was entered as this chunk.
    pub(super) fn read_alone(&self, job: CutJob, chunk: Option<u32>) {
        let mut queue = self.queue();
        if queue.taken_back.contains(&job.table) {
            return;
        }
        match chunk {
            Some(chunk) => queue.chunks.push_back(CutChunk { table: job.table, chunk, range: KeyRange::default() }),
            None => queue.uncut.push_back(job),
        }
        self.changed.notify_one();
    }

    pub(super) fn set_interrupter(&self, slot: usize, interrupter: Option<Interrupter>) {
        *lock(&self.readers[slot].interrupter) = interrupter;
    }

    /// Since when a view is open that may be given up for its age; none if there is none.
    pub(super) fn set_reading_since(&self, slot: usize, since: Option<ReadingSince>) {
        *lock(&self.readers[slot].reading_since) = since;
    }

    /// Runs `emit`, which may wait for the sink; a view that is open meanwhile is ended when that takes too long.
    pub(super) fn waiting<T>(&self, slot: usize, emit: impl FnOnce() -> T) -> T {
        *lock(&self.readers[slot].waiting_since) = Some(Instant::now());
        let result = emit();
        *lock(&self.readers[slot].waiting_since) = None;
        result
    }

    /// Keeps the count of readers correct even if one panics: the scope then ends and passes the panic on.
    pub(super) fn reader_ended(&self) {
        let mut queue = self.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        queue.readers -= 1;
        queue.stopped |= std::thread::panicking();
        self.changed.notify_all();
    }
}
