//! From counts to a report: looks once a second, and remembers a quarter of an hour.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::lag::{Counts, Lag};
use super::problems::Problems;
use super::report::{
    FullLoad, Limits, Memory, PARTITIONS_MAX, Pace, Part, Phase, Point, Report, Retry, Stage, TABLES_MAX, Table,
    TooLarge, Topic, Total, VERSION,
};
use crate::apply::task_file::TaskFile;
use crate::checkpoint::{Checkpoint, TaskTracker};
use crate::source::mysql::TryPart;
use tidegate_model::status::source::now_us;
use tidegate_model::status::{self, Retrying, Status, TableProgress, stages};
use tidegate_model::{Position, Stop, TableName};
use tidegate_mysql::snapshot::shown;
use tidegate_sink::Topics;

/// Between two looks.
pub const INTERVAL: Duration = Duration::from_secs(1);
/// What charts show.
const HISTORY: Duration = Duration::from_secs(15 * 60);
/// Rates are those of so many looks: steady enough to be read, and soon true.
const RATE_LOOKS: usize = 5;
/// A reader that waits for more of the time than this is not what the others wait for.
const WAITS: f64 = 0.5;
/// A stage that is busy for more of the time than this cannot do more.
const BUSY: f64 = 0.8;
/// How much a look counts in the rate of a table.
const TABLE_WEIGHT: f64 = 0.2;

/// Looks at a task, and tells.
pub struct Monitor {
    task: String,
    started_ms: u64,
    status: Arc<Status>,
    stop: Stop,
    problems: Problems,
    /// Known once the task has started.
    parts: RwLock<Option<Arc<Parts>>>,
    file: TaskFile,
    seen: Mutex<Seen>,
    /// Counts looks, for those who want to hear of each.
    looks: watch::Sender<u64>,
}

/// What tells of itself when it is asked.
pub struct Parts {
    pub tracker: Arc<TaskTracker>,
    pub topics: Arc<dyn Topics>,
    /// Whether tables can be loaded again between changes.
    pub may_reload: bool,
    /// For what loading them has to wait.
    pub reload_waits_for: Option<&'static str>,
    /// Asks the source whether it takes a condition.
    pub try_part: Option<Arc<TryPart>>,
}

#[derive(Default)]
struct Seen {
    looks: VecDeque<Look>,
    lag: Lag,
    /// Rows and rows per second of the tables that are being loaded.
    tables: HashMap<TableName, TableRate>,
    position: Option<Position>,
}

/// Counts at a moment.
#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    time_ms: u64,
    stages: [Count; 4],
    waiting: Duration,
    idle: Duration,
    held: Duration,
    delay: Option<Duration>,
}

#[derive(Clone, Copy)]
struct Count {
    windows: u64,
    rows: u64,
    bytes: u64,
    busy: Duration,
}

const STAGES: [&str; 4] = ["read", "encode", "send", "deliver"];
/// In place of the first stage, where it waits because it is told to.
pub(super) const LIMITS: &str = "limits";
const READ: usize = 0;
const ENCODE: usize = 1;
const SEND: usize = 2;
const DELIVER: usize = 3;

impl Monitor {
    pub fn new(file: TaskFile, status: Arc<Status>, stop: Stop, problems: Problems) -> Arc<Monitor> {
        let monitor = Monitor {
            task: file.task_name(),
            started_ms: now_us() / 1000,
            status,
            stop,
            problems,
            parts: RwLock::default(),
            file,
            seen: Mutex::default(),
            looks: watch::Sender::new(0),
        };
        monitor.look();
        Arc::new(monitor)
    }

    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// What tells the task to pause.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// What the task has started with, once it has.
    pub fn parts(&self) -> Option<Arc<Parts>> {
        self.parts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The run has ended, and another one is to begin: until then there is nobody to tell anything to.
    pub fn ended(&self) {
        *self.parts.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.status.asked.store(false, Relaxed);
    }

    /// The file that the task is in.
    pub fn file(&self) -> &TaskFile {
        &self.file
    }

    /// The task has started with these.
    pub fn started_with(&self, parts: Parts) {
        *self.parts.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(parts));
    }

    /// Looks once a second for as long as the runtime lives.
    pub fn run(self: &Arc<Monitor>, runtime: &tokio::runtime::Handle) {
        let monitor = self.clone();
        runtime.spawn(async move {
            let mut ticks = tokio::time::interval(INTERVAL);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                monitor.look();
            }
        });
    }

    /// Hears of each look.
    pub fn looks(&self) -> watch::Receiver<u64> {
        self.looks.subscribe()
    }

    fn look(&self) {
        let position =
            self.parts().and_then(|parts| parts.tracker.read(|checkpoint| checkpoint.source.position.clone()));
        let mut seen = self.lock();
        let mut look = self.counts();
        let counts = Counts {
            windows_read: look.stages[READ].windows,
            windows_delivered: look.stages[DELIVER].windows,
            messages: look.stages[DELIVER].rows,
            is_away: self.status.retries().contains_key(status::SOURCE),
        };
        seen.lag.judge(&self.status.following, position.as_ref(), counts);
        seen.position = position;
        look.delay = seen
            .lag
            .delay()
            .filter(|_| matches!(self.status.phase(), status::Phase::Incremental | status::Phase::Paused));
        seen.looks.push_back(look);
        while seen.looks.front().is_some_and(|first| look.at.duration_since(first.at) > HISTORY) {
            seen.looks.pop_front();
        }
        if self.status.phase() == status::Phase::FullLoad {
            seen.tables = rates(&seen.tables, &self.status.tables());
        }
        drop(seen);
        self.looks.send_modify(|looks| *looks += 1);
    }

    fn counts(&self) -> Look {
        let stages = &self.status.stages;
        let count = |stage: &stages::Stage| Count {
            windows: stage.windows(),
            rows: stage.rows(),
            bytes: stage.bytes(),
            busy: stage.busy.total(),
        };
        // From the end on, so that no stage has let out more than has come in.
        let [deliver, send, encode, read] = [&stages.deliver, &stages.send, &stages.encode, &stages.read].map(count);
        Look {
            at: Instant::now(),
            time_ms: now_us() / 1000,
            stages: [read, encode, send, deliver],
            waiting: stages.waiting.total(),
            idle: stages.idle.total(),
            held: self.status.limits.held.total(),
            delay: None,
        }
    }

    /// One point for each look of the last quarter of an hour, the oldest first.
    pub fn history(&self) -> Vec<Point> {
        let seen = self.lock();
        let mut before: Option<&Look> = None;
        let point = |look| {
            let before = before.replace(look)?;
            let seconds = look.at.duration_since(before.at).as_secs_f64().max(1e-3);
            let [now, then] = [look, before].map(|look: &Look| look.stages[DELIVER]);
            Some(Point {
                time_ms: look.time_ms,
                delay_ms: look.delay.map(|delay| delay.as_millis() as u64),
                messages_per_s: (now.rows - then.rows) as f64 / seconds,
                bytes_per_s: (now.bytes - then.bytes) as f64 / seconds,
            })
        };
        seen.looks.iter().filter_map(point).collect()
    }

    pub fn report(&self) -> Report {
        let phase = self.status.phase();
        let tables = self.status.tables();
        let seen = self.lock();
        let total = self.total(&seen);
        let pace = self.pace(phase, &seen.lag);
        let retries = self.retries();
        let is_sink_away = retries.iter().any(|retry| retry.of == status::SINK);
        let (stages, bottleneck) = self.stages(&seen, phase, pace, is_sink_away);
        let is_followed = phase == status::Phase::Incremental || seen.lag.delay().is_some();
        let extent = self.status.following.extent();
        Report {
            version: VERSION,
            task: self.task.clone(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            process: std::process::id(),
            time_ms: now_us() / 1000,
            started_ms: self.started_ms,
            phase: match phase {
                status::Phase::Starting { .. } => Phase::Starting,
                status::Phase::FullLoad => Phase::FullLoad,
                status::Phase::Incremental => Phase::Incremental,
                status::Phase::Paused => Phase::Paused,
                status::Phase::Draining => Phase::Draining,
            },
            pace,
            awaits: match phase {
                status::Phase::Starting { awaits } => Some(awaits.to_owned()),
                _ => None,
            },
            total,
            full_load: (!tables.is_empty()).then(|| full_load(&tables, &seen.tables)),
            incremental: is_followed.then(|| seen.lag.incremental(extent.as_ref(), seen.position.as_ref())),
            stages,
            bottleneck,
            retries,
            problems: self.problems.list(),
            memory: self.memory(),
            limits: self.limits(),
            too_large: self.too_large(),
            applied: self.file.applied(),
            asked_for: self.asked_for(),
            parts: self.load_parts(),
            topics: self.topics(),
        }
    }

    /// What the task is held to.
    pub fn limits(&self) -> Limits {
        Limits::of(&self.status.limits, self.file.connections())
    }

    fn asked_for(&self) -> Vec<String> {
        let asked = self.parts().map(|parts| parts.tracker.read(Checkpoint::asked_for)).unwrap_or_default();
        asked.iter().take(TABLES_MAX).map(ToString::to_string).collect()
    }

    fn load_parts(&self) -> Vec<Part> {
        let parts = self.parts().map(|parts| parts.tracker.read(parts_of)).unwrap_or_default();
        parts.into_iter().take(TABLES_MAX).collect()
    }

    fn topics(&self) -> Vec<Topic> {
        let Some(parts) = self.parts() else { return Vec::new() };
        let names = parts.tracker.read(|state| state.topics.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
        let mut room = PARTITIONS_MAX;
        let topic = |topic: String| {
            let acknowledged = parts.topics.acknowledged(&topic);
            room = room.checked_sub(acknowledged.len())?;
            Some(Topic { topic, acknowledged })
        };
        names.into_iter().map_while(topic).filter(|topic| !topic.acknowledged.is_empty()).collect()
    }

    fn too_large(&self) -> Vec<TooLarge> {
        let tables = self.status.too_large().into_iter().take(TABLES_MAX);
        tables.map(|(table, counts)| TooLarge { table: table.to_string(), counts }).collect()
    }

    fn total(&self, seen: &Seen) -> Total {
        let (read, deliver) = (&self.status.stages.read, &self.status.stages.deliver);
        let (now, then, seconds) = span(&seen.looks);
        let rate = |now: u64, then: u64| (now - then) as f64 / seconds;
        Total {
            changes: read.rows(),
            messages: deliver.rows(),
            bytes: deliver.bytes(),
            changes_per_s: rate(now.stages[READ].rows, then.stages[READ].rows),
            messages_per_s: rate(now.stages[DELIVER].rows, then.stages[DELIVER].rows),
            bytes_per_s: rate(now.stages[DELIVER].bytes, then.stages[DELIVER].bytes),
            quiet_ms: seen.lag.quiet().map(|quiet| quiet.as_millis() as u64),
        }
    }

    fn pace(&self, phase: status::Phase, lag: &Lag) -> Pace {
        // Whoever set a limit wants it so.
        let is_held = self.status.limits.held.is_under_way();
        match phase {
            status::Phase::Starting { .. } => Pace::Starting,
            status::Phase::FullLoad if lag.is_stuck(true) && !is_held => Pace::Stuck,
            status::Phase::FullLoad => Pace::Loading,
            status::Phase::Paused => Pace::Paused,
            status::Phase::Draining if lag.is_stuck(true) => Pace::Stuck,
            status::Phase::Draining => Pace::Current,
            status::Phase::Incremental => match lag.pace() {
                Pace::Stuck if is_held => Pace::Behind,
                pace => pace,
            },
        }
    }

    fn stages(
        &self,
        seen: &Seen,
        phase: status::Phase,
        pace: Pace,
        is_sink_away: bool,
    ) -> (Vec<Stage>, Option<String>) {
        let (now, then, seconds) = span(&seen.looks);
        let counts = &self.status.stages;
        let places =
            |places: &std::sync::atomic::AtomicUsize| places.load(std::sync::atomic::Ordering::Relaxed).max(1) as f64;
        let readers = if phase == status::Phase::FullLoad { places(&counts.readers) } else { 1.0 };
        let share = |now: Duration, then: Duration, threads: f64| {
            (now.saturating_sub(then).as_secs_f64() / (seconds * threads)).clamp(0.0, 1.0)
        };
        let waits = share(now.waiting, then.waiting, readers);
        let idles = share(now.idle, then.idle, 1.0);
        let held = share(now.held, then.held, readers);
        // Of few tables, not all readers have something to read.
        let are_held = share(now.held, then.held, 1.0) > WAITS;
        // Then nobody reads, and nobody waits for one who does.
        let is_away = self.status.retries().contains_key(status::SOURCE);
        let works = phase_reads(phase) && !is_away;
        let memory = self.memory();
        let list: Vec<Stage> = (READ..=DELIVER)
            .map(|stage| {
                let (count, before) = (now.stages[stage], then.stages[stage]);
                let inside =
                    stage.checked_sub(1).map_or(0, |earlier| now.stages[earlier].windows.saturating_sub(count.windows));
                let busy = |threads| share(count.busy, before.busy, threads);
                let (busy, fill) = match stage {
                    READ => ((1.0 - waits - idles - held).max(0.0), 0.0),
                    ENCODE => (busy(places(&counts.encode_threads)), inside as f64 / places(&counts.encode.capacity)),
                    SEND => (busy(1.0), inside as f64 / places(&counts.send.capacity)),
                    _ => (busy(1.0), memory.used_bytes as f64 / memory.room_bytes.max(1) as f64),
                };
                Stage {
                    stage: STAGES[stage].to_owned(),
                    per_s: (count.rows - before.rows) as f64 / seconds,
                    bytes_per_s: (count.bytes - before.bytes) as f64 / seconds,
                    busy: if works || stage != READ { busy } else { 0.0 },
                    fill: fill.clamp(0.0, 1.0),
                    windows: inside,
                }
            })
            .collect();
        let has_work = matches!(pace, Pace::Loading | Pace::Behind | Pace::Stuck);
        let bottleneck = match () {
            // Readers wait only once memory is full, which may be late.
            () if is_sink_away && list[DELIVER].windows > 0 => Some(DELIVER),
            () if !works => None,
            () if waits > WAITS && list[ENCODE].busy > BUSY => Some(ENCODE),
            () if waits > WAITS && list[SEND].busy > BUSY => Some(SEND),
            () if waits > WAITS => Some(DELIVER),
            // Whoever is held back may be up to date, and is later than it could be.
            () if has_work || are_held => Some(READ),
            () => None,
        };
        let named = bottleneck.map(|stage| if stage == READ && are_held { LIMITS } else { STAGES[stage] });
        (list, named.map(str::to_owned))
    }

    fn retries(&self) -> Vec<Retry> {
        let mut retries = self.status.retries();
        if let Some(parts) = self.parts() {
            let Parts { tracker, topics, .. } = &*parts;
            retries.extend(topics.outage().map(|outage| (status::SINK, outage)));
            retries.extend(tracker.outage().map(|outage| (status::STATE, outage)));
        }
        let (now, now_ms) = (Instant::now(), now_us() / 1000);
        let retry = |(of, retrying): (&str, Retrying)| Retry {
            of: of.to_owned(),
            reason: retrying.reason,
            hint: retrying.hint,
            attempts: retrying.attempts,
            since_ms: now_ms.saturating_sub(now.saturating_duration_since(retrying.since).as_millis() as u64),
            next_try_ms: now_ms + retrying.next_try.saturating_duration_since(now).as_millis() as u64,
            seconds_left: retrying.until.saturating_duration_since(now).as_secs(),
        };
        retries.into_iter().map(retry).collect()
    }

    fn memory(&self) -> Memory {
        let memory = &self.status.memory;
        let load = |bytes: &std::sync::atomic::AtomicUsize| bytes.load(std::sync::atomic::Ordering::Relaxed) as u64;
        Memory {
            used_bytes: load(&memory.used),
            room_bytes: load(&memory.room),
            budget_bytes: memory.budget.load(std::sync::atomic::Ordering::Relaxed),
            resident_bytes: resident_bytes(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn phase_reads(phase: status::Phase) -> bool {
    matches!(phase, status::Phase::FullLoad | status::Phase::Incremental)
}

/// The last look, the one that rates are counted from, and the seconds between them.
fn span(looks: &VecDeque<Look>) -> (&Look, &Look, f64) {
    let last = looks.back().expect("a monitor looks when it is made");
    let first = &looks[looks.len().saturating_sub(RATE_LOOKS + 1)];
    (last, first, last.at.duration_since(first.at).as_secs_f64().max(1e-3))
}

/// How fast a table is loaded, averaged over some looks: over as many as there are, at first.
#[derive(Clone, Copy)]
struct TableRate {
    /// At the last look.
    rows: u64,
    /// None at the first look.
    per_s: Option<f64>,
}

fn rates(before: &HashMap<TableName, TableRate>, tables: &[TableProgress]) -> HashMap<TableName, TableRate> {
    let loading = tables.iter().filter(|table| table.rows > 0 && !table.done);
    let rate = |table: &TableProgress| {
        let per_s = before.get(&table.table).map(|before| {
            let now = table.rows.saturating_sub(before.rows) as f64 / INTERVAL.as_secs_f64();
            before.per_s.map_or(now, |rate| rate + TABLE_WEIGHT * (now - rate))
        });
        (table.table.clone(), TableRate { rows: table.rows, per_s })
    };
    loading.map(rate).collect()
}

fn full_load(tables: &[TableProgress], rates: &HashMap<TableName, TableRate>) -> FullLoad {
    let estimated = |table: &TableProgress| match table.part {
        _ if table.done => table.rows,
        Some(_) => table.rows,
        None => table.estimated_rows.max(table.rows),
    };
    let left = |table: &TableProgress| estimated(table) - table.rows;
    let is_known = !tables.iter().any(|table| table.part.is_some() && !table.done);
    let seconds = |rows: u64, rate: f64| (rate >= 1.0 && rows > 0).then(|| (rows as f64 / rate) as u64);
    let rate_of = |table: &TableProgress| {
        rates.get(&table.table).filter(|_| !table.done).and_then(|rate| rate.per_s).unwrap_or(0.0)
    };
    let mut listed: Vec<&TableProgress> = tables.iter().collect();
    listed.sort_by_key(|table| (table.done, table.rows == 0));
    FullLoad {
        tables_done: tables.iter().filter(|table| table.done).count(),
        tables_total: tables.len(),
        rows: tables.iter().map(|table| table.rows).sum(),
        estimated_rows: tables.iter().map(estimated).sum(),
        seconds_left: seconds(tables.iter().map(left).sum(), tables.iter().map(rate_of).sum()).filter(|_| is_known),
        tables: listed
            .into_iter()
            .take(TABLES_MAX)
            .map(|table| Table {
                table: table.table.to_string(),
                target: (table.target != table.table).then(|| table.target.to_string()),
                part: table.part.clone(),
                rows: table.rows,
                estimated_rows: if table.part.is_some() { table.rows } else { table.estimated_rows },
                done: table.done,
                rows_per_s: rate_of(table),
                seconds_left: seconds(left(table), rate_of(table)),
            })
            .collect(),
    }
}

/// Memory of this process that is in use now.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages: u64 = pages.and_then(|text| text.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
    // SAFETY: asks for a number.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages * u64::try_from(page_bytes).unwrap_or(4096)
}

/// What is asked for, or loaded, by conditions.
pub fn parts_of(checkpoint: &Checkpoint) -> Vec<Part> {
    let part = |name: &TableName, condition: String, begun| Part {
        table: name.to_string(),
        condition: shown(&condition),
        begun,
    };
    let asked = checkpoint.tables.values().filter_map(|table| Some(part(&table.name, table.asked_part()?, false)));
    let ledger = checkpoint.source.ledger.iter();
    let tables = ledger.flat_map(|ledger| ledger.tables()).filter(|table| table.is_part_loading());
    tables.filter_map(|table| Some(part(&table.name, table.part.clone()?, true))).chain(asked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn monitor() -> Arc<Monitor> {
        let status = Arc::new(Status::default());
        status.stages.encode_threads.store(2, Relaxed);
        let text = "task: shop\nsource: {mysql: \"mysql://tide@db:3306\"}\ntables: [shop.orders]\nsink: {kafka: \"b:9092\"}\nformat: canal_json";
        let task = crate::config::parse("shop.yaml", text).expect("a task");
        Monitor::new(TaskFile::new(None, Arc::new(task)), status, Stop::default(), Problems::default())
    }

    fn progress(table: &str, rows: u64, estimated_rows: u64, done: bool) -> TableProgress {
        let table = TableName::new("shop", table);
        TableProgress { target: table.clone(), table, rows, estimated_rows, part: None, chunks_left: None, done }
    }

    #[test]
    fn a_report_is_the_same_behind_json() {
        let monitor = monitor();
        monitor.status.set_tables(vec![progress("a", 5, 10, false)]);
        let report = monitor.report();
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
        assert_eq!((report.version, report.phase, report.pace), (1, Phase::Starting, Pace::Starting));
    }

    #[test]
    fn tables_that_are_loaded_come_first_and_all_are_counted() {
        let monitor = monitor();
        monitor.status.set_phase(status::Phase::FullLoad);
        let mut tables =
            vec![progress("done", 7, 5, true), progress("waits", 0, 9, false), progress("loads", 1000, 5000, false)];
        monitor.status.set_tables(tables.clone());
        monitor.look();
        tables[2].rows = 3000;
        monitor.status.set_tables(tables.clone());
        monitor.look();
        let load = monitor.report().full_load.unwrap();
        assert_eq!(
            load.tables.iter().map(|table| table.table.as_str()).collect::<Vec<_>>(),
            ["shop.loads", "shop.waits", "shop.done"]
        );
        assert_eq!((load.tables_done, load.tables_total, load.rows, load.estimated_rows), (1, 3, 3007, 5016));
        // 2,000 in the one interval that was seen, and as many are left.
        assert_eq!(load.tables[0].rows_per_s, 2000.0 / INTERVAL.as_secs_f64());
        assert_eq!(load.tables[0].seconds_left, Some(INTERVAL.as_secs()));
        tables[2].part = Some("id > 5".to_owned());
        monitor.status.set_tables(tables.clone());
        let part = monitor.report().full_load.unwrap();
        assert_eq!((part.seconds_left, part.tables[0].seconds_left, part.tables[0].estimated_rows), (None, None, 3000));
        let many = (0..TABLES_MAX + 9).map(|number| progress(&number.to_string(), 0, 1, false));
        monitor.status.set_tables(many.collect());
        let load = monitor.report().full_load.unwrap();
        assert_eq!((load.tables.len(), load.tables_total), (TABLES_MAX, TABLES_MAX + 9));
    }

    #[test]
    fn the_bottleneck_is_who_is_busy_while_readers_wait() {
        let look = |second: u64, waiting: u64, encode: u64, send: u64| {
            let count = |busy: u64| Count { windows: 1, rows: second, bytes: 0, busy: Duration::from_secs(busy) };
            Look {
                at: Instant::now() + Duration::from_secs(second),
                time_ms: 0,
                stages: [count(0), count(encode), count(send), count(second)],
                waiting: Duration::from_secs(waiting),
                idle: Duration::ZERO,
                held: Duration::ZERO,
                delay: None,
            }
        };
        let monitor = monitor();
        let of = |waiting, encode, send| {
            let seen = Seen { looks: [look(0, 0, 0, 0), look(10, waiting, encode, send)].into(), ..Seen::default() };
            monitor.stages(&seen, status::Phase::FullLoad, Pace::Loading, false).1
        };
        let held = |seconds: u64, pace| {
            monitor.status.stages.readers.store(4, std::sync::atomic::Ordering::Relaxed);
            let last = Look { held: Duration::from_secs(seconds), ..look(10, 0, 1, 1) };
            let seen = Seen { looks: [look(0, 0, 0, 0), last].into(), ..Seen::default() };
            monitor.stages(&seen, status::Phase::FullLoad, pace, false).1
        };
        // One of four readers has a table to read.
        assert_eq!(held(9, Pace::Loading).as_deref(), Some("limits"));
        assert_eq!(held(9, Pace::Current).as_deref(), Some("limits"));
        assert_eq!(held(1, Pace::Loading).as_deref(), Some("read"));
        assert_eq!(held(1, Pace::Current), None);
        monitor.status.stages.readers.store(1, std::sync::atomic::Ordering::Relaxed);
        // Two cores encode: 20 s in 10 s.
        assert_eq!(of(9, 19, 3).as_deref(), Some("encode"));
        assert_eq!(of(9, 5, 9).as_deref(), Some("send"));
        assert_eq!(of(9, 5, 3).as_deref(), Some("deliver"));
        assert_eq!(of(1, 5, 3).as_deref(), Some("read"));
        // Brokers are away, and there is room yet: it is not the source for which all wait, if anything is under way.
        let away = |under_way| {
            let mut last = look(10, 1, 0, 0);
            last.stages[DELIVER].windows -= under_way;
            let seen = Seen { looks: [look(0, 0, 0, 0), last].into(), ..Seen::default() };
            monitor.stages(&seen, status::Phase::FullLoad, Pace::Stuck, true).1
        };
        assert_eq!((away(1).as_deref(), away(0).as_deref()), (Some("deliver"), Some("read")));
    }

    #[test]
    fn stages_are_what_was_counted() {
        let monitor = monitor();
        let count = |windows, rows, bytes, busy_s| Count { windows, rows, bytes, busy: Duration::from_secs(busy_s) };
        let now = Instant::now();
        let look = |second, stages, waiting_s| Look {
            at: now + Duration::from_secs(second),
            time_ms: 0,
            stages,
            waiting: Duration::from_secs(waiting_s),
            idle: Duration::ZERO,
            held: Duration::ZERO,
            delay: None,
        };
        let before =
            [count(100, 1000, 9000, 0), count(99, 900, 8000, 1), count(98, 800, 7000, 2), count(97, 700, 6000, 3)];
        let after = [
            count(120, 3000, 19_000, 0),
            count(112, 1900, 8000, 5),
            count(110, 1800, 17_000, 3),
            count(105, 1700, 6000, 13),
        ];
        let seen = Seen { looks: [look(0, before, 0), look(10, after, 3)].into(), ..Seen::default() };
        let places =
            |places: &std::sync::atomic::AtomicUsize, count| places.store(count, std::sync::atomic::Ordering::Relaxed);
        let stages = &monitor.status.stages;
        for (of, count) in [
            (&stages.readers, 1),
            (&stages.encode_threads, 2),
            (&stages.encode.capacity, 16),
            (&stages.send.capacity, 4),
        ] {
            places(of, count);
        }
        places(&monitor.status.memory.used, 300);
        places(&monitor.status.memory.room, 1200);
        let (stages, _) = monitor.stages(&seen, status::Phase::FullLoad, Pace::Loading, false);
        let shown: Vec<_> = stages
            .iter()
            .map(|of| (of.per_s, of.bytes_per_s, (100.0 * of.busy).round(), of.fill, of.windows))
            .collect();
        assert_eq!(
            shown,
            [
                (200.0, 1000.0, 70.0, 0.0, 0),
                // Two threads; what came and has not gone on.
                (100.0, 0.0, 20.0, 0.5, 8),
                (100.0, 1000.0, 10.0, 0.5, 2),
                // Its queue is the memory of all that is under way.
                (100.0, 0.0, 100.0, 0.25, 5),
            ]
        );
        let memory = monitor.report().memory;
        assert_eq!((memory.used_bytes, memory.room_bytes), (300, 1200));
    }

    #[test]
    fn who_retries_is_named_until_it_has_recovered() {
        let monitor = monitor();
        let mut retry = tidegate_model::retry::Retry::new(Duration::from_secs(60));
        let pause = retry.next_pause().unwrap();
        for _ in 0..2 {
            monitor.status.retrying(status::SOURCE, "gone".into(), Some("look".into()), pause, &retry);
        }
        let [retry] = &monitor.report().retries[..] else { panic!("one is away") };
        assert_eq!((retry.of.as_str(), retry.reason.as_str(), retry.attempts), ("source", "gone", 2));
        assert!((50..=60).contains(&retry.seconds_left) && retry.next_try_ms >= retry.since_ms);
        monitor.status.recovered(status::SOURCE);
        assert!(monitor.report().retries.is_empty());
    }
}
