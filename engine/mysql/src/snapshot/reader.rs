//! One thread with one connection: cuts tables and reads chunks.
//!
//! A view and its place on disk cost the same for a chunk of ten rows as for one of a million. So chunks that are read in no time share
//! one: as many as are read within [`VIEW_TIME`], found out by doubling and halving. Once that is over the others get a view of their
//! own: while one is open, the server keeps old versions of rows, and a statement that alters the table waits, with all behind it.
//! Of those in one view, as many as fit into what is left of a window are read by one statement where they lie side by side; their rows
//! are counted as the first one's, and they are done together. Tables of few rows share one likewise: see [`shared`].

mod shared;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::pieces::{InTime, Pieces, ReadJob};
use super::queue::{CutJob, Job, Plan, ReadingSince, Run};
use super::view::{View, ViewRule, code, is_gone, is_of_other_server, on_server};
use super::window::WindowBuilder;
use super::{Failure, LoadError, LoadTable, TableError, ViewRows, may_pass, open_session, rows_meta, select_statement};
use crate::catalog::{self, CatalogError};
use crate::chunks::{self, KeyRange, ServerProber};
use crate::connection::ServerVersion;
use crate::wire::{Connection, WireError};
use tidegate_model::now_s;
use tidegate_model::retry::Retry;

/// How long a view of several chunks is open, and until the chunk at hand is read.
const VIEW_TIME: Duration = Duration::from_millis(100);
/// How often in a row reading may be cut off within a chunk before that is an outage, though rows come each time: whoever ends
/// long queries ends each attempt, and each repeats rows.
const CUT_OFF_MAX: u32 = 20;

/// How often a view is opened again until it is exact, where rows have no key: what it shows and the binlog says again stays twice for good.
const KEYLESS_VIEW_TRIES: u32 = 1000;

pub(super) struct Reader<'a> {
    run: &'a Run<'a>,
    slot: usize,
    chunks_per_view: usize,
    has_view: bool,
    /// When the last view was opened, and how many rows it has shown; none if its chunk is not to be divided.
    shown: Option<(Instant, u64)>,
    in_time: InTime,
    /// Attempts since the last chunk was read to its end.
    cut_off: u32,
    connection: Option<Connection>,
    /// The outage it is in: nothing but errors since its begin.
    outage: Option<Retry>,
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.run.reader_ended();
    }
}

/// A view is open, and the plan is the one that its definition wants.
enum Opened {
    View(View, Arc<Plan>),
    /// The chunks are none any more: the table was cut again, or is gone.
    Nothing,
}

impl<'a> Reader<'a> {
    pub(super) fn new(run: &'a Run<'a>, slot: usize) -> Reader<'a> {
        Reader {
            run,
            slot,
            chunks_per_view: 1,
            has_view: false,
            shown: None,
            in_time: InTime::default(),
            cut_off: 0,
            connection: None,
            outage: None,
        }
    }

    pub(super) fn read_all(mut self) {
        while let Some(job) = self.next_job() {
            match job {
                Job::Read(mut job) => {
                    let (table, count, begun) = (job.table, job.chunks.len(), Instant::now());
                    let mut attempt = |reader: &mut Reader<'_>| reader.read_chunks(&mut job);
                    self.retry(table, &mut attempt);
                    self.chunks_per_view = match begun.elapsed() {
                        took if took < VIEW_TIME / 2 && count == self.chunks_per_view => 2 * count,
                        took if took > 2 * VIEW_TIME => count / 2,
                        _ => self.chunks_per_view,
                    };
                    self.chunks_per_view = self.chunks_per_view.clamp(1, self.run.load.options.chunks_per_view);
                }
                Job::Share(jobs) => {
                    self.read_in_one_view(jobs);
                    self.run.end_cutting();
                }
                Job::Cut(mut job) => {
                    let table = job.table;
                    let mut attempt = |reader: &mut Reader<'_>| reader.cut(&mut job);
                    self.retry(table, &mut attempt);
                    self.run.end_cutting();
                }
            }
        }
    }

    /// The view of the job before ends with the begin of the next one. Nothing else is done, and nothing waited for, while it is open.
    fn next_job(&mut self) -> Option<Job> {
        let record = self.run.load.record;
        if record.is_paused() {
            self.end_view();
            record.wait_while_paused();
        }
        match self.run.job(self.chunks_per_view) {
            Some(Job::Read(job)) => Some(Job::Read(job)),
            other => {
                self.end_view();
                other.or_else(|| self.run.wait_for_job(self.chunks_per_view))
            }
        }
    }

    /// Runs a job until it succeeds, or nothing speaks for trying again.
    fn retry(&mut self, table: usize, attempt: &mut dyn FnMut(&mut Self) -> Result<(), Failure>) {
        self.run.set_table(self.slot, Some(table));
        self.retry_until_it_is_over(table, attempt);
        self.run.set_table(self.slot, None);
    }

    fn retry_until_it_is_over(&mut self, table: usize, attempt: &mut dyn FnMut(&mut Self) -> Result<(), Failure>) {
        let name = self.run.plan(table).name().clone();
        // How often in a row the table was another one than its plan says.
        let mut altered = 0;
        loop {
            if self.run.is_taken_back(table) {
                return;
            }
            let failure = match attempt(self) {
                Ok(()) | Err(Failure::Outdated) => return,
                Err(failure) => failure,
            };
            // Rows may be outstanding, or a view open.
            self.disconnect();
            if self.run.is_taken_back(table) && !matches!(failure, Failure::Stopped) {
                return;
            }
            let failure = match failure {
                Failure::Wire(error) if is_altered(&error) && altered < ALTERED_MAX && !self.run.is_stopped() => {
                    match self.look_again(table) {
                        Ok(()) => {
                            altered += 1;
                            continue;
                        }
                        Err(failure) => {
                            self.disconnect();
                            failure
                        }
                    }
                }
                failure => failure,
            };
            match failure {
                Failure::Outdated => return,
                Failure::TooOld => {}
                Failure::Stopped => return self.run.stop(None),
                Failure::Wire(_) if self.run.is_stopped() => return self.run.stop(None),
                Failure::Wire(WireError::Interrupted { .. }) => {
                    warn!(
                        table = %name,
                        "the sink took nothing for so long that the view was given up, for the server's sake; its chunk is \
                         read again"
                    );
                }
                Failure::Wire(error) if may_pass(&error) => {
                    warn!(table = %name, %error, "reading failed, will be tried again");
                    if !self.wait_before_retry(&error) {
                        return self.run.stop(Some(LoadError::Session(error)));
                    }
                }
                Failure::Behind { server, start } => {
                    warn!(table = %name, server, start, "the server is behind the position at which the load began");
                    if !self.wait_before_retry(&"the server is behind the position at which the load began") {
                        return self.run.stop(Some(LoadError::Behind { server, start }));
                    }
                }
                other => return self.give_up(table, other),
            }
        }
    }

    fn give_up(&self, table: usize, failure: Failure) {
        match failure {
            // A condition that somebody has asked for may have the same fault.
            Failure::Wire(error) if is_of_other_server(&error) && self.run.plan(table).table.part.is_none() => {
                self.run.stop(Some(LoadError::ManyServers));
            }
            Failure::Wire(error @ (WireError::Server { .. } | WireError::PacketTooLarge { .. })) => {
                let failure = match &self.run.plan(table).table.part {
                    Some(part) => TableError::Part { part: part.clone(), error },
                    None => TableError::Read(error),
                };
                self.run.fail_table(table, failure);
            }
            Failure::Wire(error) => self.run.stop(Some(LoadError::Session(error))),
            Failure::Table(error) => self.run.fail_table(table, error),
            Failure::Load(error) => self.run.stop(Some(error)),
            Failure::Behind { server, start } => self.run.stop(Some(LoadError::Behind { server, start })),
            Failure::Stopped => self.run.stop(None),
            Failure::Outdated | Failure::TooOld => {}
        }
    }

    /// False if the time for trying again is used up.
    fn wait_before_retry(&mut self, reason: &dyn std::fmt::Display) -> bool {
        let outage = self.outage.get_or_insert_with(|| Retry::new(self.run.load.options.retry_for));
        let Some(pause) = outage.next_pause() else { return false };
        self.run.load.record.retrying(reason.to_string(), pause, outage);
        outage.wait(pause, || self.run.is_stopped());
        true
    }

    fn progressed(&mut self) {
        if self.outage.take().is_some() {
            self.run.load.record.recovered();
        }
    }

    fn disconnect(&mut self) {
        self.connection = None;
        self.has_view = false;
        self.run.set_interrupter(self.slot, None);
    }

    fn connected(&mut self) -> Result<&mut Connection, Failure> {
        if self.connection.as_ref().is_none_or(|connection| !connection.is_usable()) {
            let load = self.run.load;
            let connection = open_session(load.connect, load.facts).map_err(|failure| match failure {
                // Of the session, not of a table.
                Failure::Wire(error @ WireError::Server { .. }) if !may_pass(&error) => {
                    Failure::Load(LoadError::Session(error))
                }
                other => other,
            })?;
            self.run.set_interrupter(self.slot, Some(connection.interrupter()?));
            self.connection = Some(connection);
        }
        Ok(self.connection.as_mut().expect("just connected"))
    }

    /// Opens a view of the table and sees to it that the plan is the one for the table as the view has it.
    fn open_view(&mut self, table: usize, chunk: Option<u32>) -> Result<Opened, Failure> {
        let run = self.run;
        let load = run.load;
        let plan = run.plan(table);
        let is_outdated = |plan: &Plan| chunk.is_some_and(|chunk| chunk < plan.first_chunk);
        if is_outdated(&plan) {
            return Ok(Opened::Nothing);
        }
        self.has_view = true;
        let connection = self.connected()?;
        let has_key = !plan.table.table.key().is_empty();
        let tries = if has_key { load.options.view_tries } else { KEYLESS_VIEW_TRIES };
        let view = View::open(connection, run.rule, load.facts, &[plan.name()], Some(load.start), tries);
        let view = match view {
            Err(Failure::Wire(error)) if is_gone(&error) || is_denied(&error) => {
                let seen = View::open(connection, run.rule, load.facts, &[], Some(load.start), 1)?;
                // Or not yet there, on a server that is behind.
                check_reached(&seen, run)?;
                let is_no_table = match is_gone(&error) {
                    // Gone since before this, unless it is back: another one may have taken its name.
                    true => {
                        let again = View::open(connection, run.rule, load.facts, &[plan.name()], Some(load.start), 1);
                        matches!(again, Err(Failure::Wire(error)) if is_gone(&error))
                    }
                    // What a view says of itself is not for every account.
                    false => {
                        let found = catalog::read_definition(connection, plan.name(), plan.table.table.version())?;
                        matches!(found, Err(CatalogError::NoTable { .. }))
                    }
                };
                if !is_no_table {
                    return Err(Failure::Wire(error));
                }
                run.gone(table, seen.high);
                return Ok(Opened::Nothing);
            }
            other => other?,
        };
        check_reached(&view, run)?;
        let definition = view.definitions.first().cloned().flatten();
        if definition.is_some() && definition == plan.table.definition {
            return Ok(Opened::View(view, plan));
        }
        // Locked since before the view: what the catalogue shows now is what the view has.
        let found = match catalog::read_definition(connection, plan.name(), plan.table.table.version())? {
            // A view has taken its name, say.
            Err(CatalogError::NoTable { .. }) => {
                run.gone(table, view.high);
                return Ok(Opened::Nothing);
            }
            found => found.map_err(|error| Failure::Table(TableError::Definition(error)))?,
        };
        let known = &plan.table.table;
        let load_table = match found.is_defined_as(known) && found.has_collations_of(known) {
            true => LoadTable { definition, ..plan.table.clone() },
            false => {
                info!(table = %plan.name(), at = %view.coordinate, "altered during its full load: read on as it is now");
                let planned = (load.plan)(Arc::new(found)).map_err(|error| Failure::Load(LoadError::Plan(error)))?;
                LoadTable { definition, ..planned }
            }
        };
        let key = load_table.key().map_err(Failure::Table)?;
        let is_ordered = key == plan.key && load_table.is_ordered_as(plan.cut_under);
        let now = Plan::new(load_table, key, plan.first_chunk, plan.cut_under);
        let is_cut_as_ordered = |plan: &Plan| plan.is_cut_as_ordered(&load.facts.version);
        if !is_ordered || (is_cut_as_ordered(&plan) && !is_cut_as_ordered(&now)) {
            run.begin_again(table, &plan, now.table, now.key);
            return Ok(Opened::Nothing);
        }
        let plan = run.replace_plan(table, &plan, now);
        Ok(if is_outdated(&plan) { Opened::Nothing } else { Opened::View(view, plan) })
    }

    /// The table is not as its plan says: finds out how it is.
    fn look_again(&mut self, table: usize) -> Result<(), Failure> {
        self.open_view(table, None)?;
        self.end_view();
        Ok(())
    }

    /// Ends the view, if one is open, so that the server need not keep old versions of rows. If the connection is lost now, what was read is
    /// complete all the same.
    fn end_view(&mut self) {
        if std::mem::take(&mut self.has_view)
            && self.connection.as_mut().is_some_and(|connection| connection.query("COMMIT").is_err())
        {
            self.disconnect();
        }
    }

    fn cut(&mut self, job: &mut CutJob) -> Result<(), Failure> {
        let run = self.run;
        if run.plan(job.table).table.definition.is_none() {
            // What the borders mean is known only with the definition.
            self.look_again(job.table)?;
        }
        let plan = run.plan(job.table);
        if plan.generation != job.generation {
            return Err(Failure::Outdated);
        }
        if !plan.is_cut_as_ordered(&run.load.facts.version) {
            let rest = KeyRange { lower: job.from.clone(), upper: None };
            warn!(table = %plan.name(), "it is read as one chunk: by an index, MariaDB finds other rows between two texts of CHAR than without, where spaces at their end count");
            run.add_chunk(job.table, &plan, rest)?;
            return Ok(());
        }
        let connection = self.connected()?;
        let index = find_index(&plan, connection)?;
        let mut prober = ServerProber::new(connection, &plan.table.table, &plan.key, index);
        let start = job.from.clone();
        chunks::cut(&mut prober, &plan.key, start, run.load.options.chunk_rows, &mut |range| {
            if run.is_stopped() {
                return Err(Failure::Stopped);
            }
            job.from = range.upper.clone();
            run.add_chunk(job.table, &plan, range)
        })?;
        self.progressed();
        Ok(())
    }

    /// Reads chunks, in as many views as it takes.
    fn read_chunks(&mut self, job: &mut ReadJob) -> Result<(), Failure> {
        while !job.chunks.is_empty() {
            if self.run.has_failed(self.run.plan(job.table).name()) || self.run.is_taken_back(job.table) {
                return Ok(());
            }
            self.divide(job)?;
            self.shown = None;
            let read = self.read_view(job);
            self.run.set_reading_since(self.slot, None);
            self.judge_time(job, &read)?;
            read?;
        }
        Ok(())
    }

    /// Divides what comes next, if that would take too long.
    fn divide(&mut self, job: &mut ReadJob) -> Result<(), Failure> {
        let run = self.run;
        let plan = run.plan(job.table);
        let Some((chunk, range, rows)) = job.next(run.load.options.chunk_rows) else { return Ok(()) };
        let Some(rows) = self.in_time.less_than(rows) else { return Ok(()) };
        if chunk < plan.first_chunk {
            return Ok(());
        }
        let range = range.clone();
        self.end_view();
        let connection = self.connected()?;
        let index = find_index(&plan, connection)?;
        if can_be_divided(&plan, index, &run.load.facts.version) {
            let mut prober = ServerProber::new(connection, &plan.table.table, &plan.key, index);
            let border = chunks::border_after(&mut prober, &range, rows)?;
            job.divide(border, rows);
        }
        Ok(())
    }

    /// Whether the view was given up for its age, or how much time it took.
    fn judge_time(&mut self, job: &ReadJob, read: &Result<(), Failure>) -> Result<(), Failure> {
        let options = self.run.load.options;
        let Some((opened, shown)) = self.shown.take() else { return Ok(()) };
        match (read, job.next(options.chunk_rows)) {
            (Err(Failure::Wire(WireError::Interrupted { .. })), Some((_, _, rows @ 2..)))
                if opened.elapsed() >= options.view_max && !self.run.is_stopped() =>
            {
                let plan = self.run.plan(job.table);
                let rows = self.in_time.ran_out(rows, shown, plan.table.is_filtered());
                info!(
                    table = %plan.name(),
                    "a view was open for {} s: its chunk is read in pieces of about {rows} rows, so that the server need not keep old versions \
                     of rows for longer",
                    opened.elapsed().as_secs()
                );
                Err(Failure::TooOld)
            }
            (Ok(()), _) => {
                self.in_time.sufficed(opened.elapsed(), options.view_max, options.chunk_rows);
                Ok(())
            }
            (Err(_), _) => Ok(()),
        }
    }

    /// Opens a view, has its position stored, and reads one chunk after the other in it, as long as it may be open.
    fn read_view(&mut self, job: &mut ReadJob) -> Result<(), Failure> {
        let run = self.run;
        let load = run.load;
        let timestamp_s = now_s();
        // All of them were cut by the same key or, if the table began again since, none by the present one.
        let first = job.chunks.front().map(|(chunk, _)| *chunk);
        let (view, plan) = match self.open_view(job.table, first)? {
            Opened::View(view, plan) => (view, plan),
            Opened::Nothing => {
                job.chunks.clear();
                return Ok(());
            }
        };
        let opened = Instant::now();
        let connection = self.connection.as_mut().expect("a view is open on it");
        let index = find_index(&plan, connection)?;
        if plan.key.columns.is_empty() {
            info!(table = %plan.name(), exact_view = view.is_exact(), "table without a key is read as one chunk");
        }
        let is_dated = run.rule != ViewRule::Undated;
        if plan.table.table.key().is_empty() && is_dated && !view.is_exact() && run.is_first_to_repeat(job.table) {
            warn!(
                table = %plan.name(), low = %view.low,
                hint = if run.rule.goes_by_files() {
                    "what has been read up to FLUSH BINARY LOGS just before its load, and no change of it until its rows are read, leave nothing that comes twice"
                } else {
                    "where nothing is committed while its rows begin to be read, nothing comes twice"
                },
                "it has no key, and the server does not tell exactly which changes a view shows: rows that were changed behind `low` may come twice"
            );
        }
        // Not where the view is: changes from before it follow, and positions never fall.
        let meta = Arc::new(rows_meta(load.start.reached(), load.facts, timestamp_s));
        // A chunk that has to wait for the next view keeps the `low` of this one, so that changes between both come again. Where rows have no
        // key they would stay twice: such chunks have a view each.
        let is_alone = plan.table.table.key().is_empty() || job.pieces.is_some();
        let count = if is_alone { 1 } else { job.chunks.len() };
        let chunks: Vec<u32> = job.chunks.iter().take(count).map(|(chunk, _)| *chunk).collect();
        let rows = match &job.pieces {
            Some(pieces) if pieces.are_begun => ViewRows::Rest(chunks[0]),
            _ => ViewRows::Of(&chunks),
        };
        let stored = run.waiting(self.slot, || load.record.begin(&[(plan.name(), rows)], &view.low, &view.high));
        if stored.map_err(|error| Failure::Load(LoadError::Record(error)))? != [true] {
            run.take_back(job.table);
            return Ok(());
        }
        let mut window = WindowBuilder::new(run, self.slot, &plan, meta);
        let can_be_divided = can_be_divided(&plan, index, &load.facts.version);
        if can_be_divided && job.next(load.options.chunk_rows).is_some_and(|(_, _, rows)| rows > 1) {
            run.set_reading_since(self.slot, Some(ReadingSince { opened, max: load.options.view_max }));
        }
        let on_server = on_server(load.facts, &view.server);
        let mut params = Vec::new();
        let mut read = Ok(());
        let piece = job.pieces.as_ref().map(Pieces::next);
        let is_last_piece = job.pieces.as_ref().is_none_or(Pieces::is_last);
        let mut left = &job.chunks.make_contiguous()[..count];
        while let Some((chunks, range)) = adjacent(&mut left, window.room_for_chunks().max(1)) {
            params.clear();
            let range = piece.as_ref().unwrap_or(&range);
            let sql = select_statement(&plan.table, &plan.key, range, index, &on_server, u64::MAX, &mut params);
            read = window.read(connection, &sql, &params, chunks, is_last_piece);
            let is_over = opened.elapsed() >= VIEW_TIME;
            if read.is_ok() && (is_over || window.room_for_chunks() == 0) {
                read = window.emit_waiting();
                read = read.and_then(|()| if run.is_stopped() { Err(Failure::Stopped) } else { Ok(()) });
            }
            if read.is_err() || is_over {
                break;
            }
        }
        let read = read.and_then(|()| window.emit_waiting());
        // Rows that were read and not emitted are read again.
        let done = window.done;
        self.shown = can_be_divided.then_some((opened, window.shown));
        let has_come_on = if job.pieces.is_some() { read.is_ok() } else { done > 0 };
        self.cut_off = if has_come_on { 0 } else { self.cut_off + 1 };
        if has_come_on || (window.has_emitted && self.cut_off < CUT_OFF_MAX) {
            self.progressed();
        }
        match job.pieces {
            Some(_) if read.is_ok() => job.end_piece(),
            Some(_) => {}
            None => drop(job.chunks.drain(..done)),
        }
        read
    }
}

fn is_denied(error: &WireError) -> bool {
    error.server_code() == Some(code::TABLE_ACCESS_DENIED)
}

/// What a server that is behind has, and has not, proves nothing.
fn check_reached(view: &View, run: &Run<'_>) -> Result<(), Failure> {
    let load = run.load;
    match view.contains(run.rule, load.start, load.start_is_low) {
        true => Ok(()),
        false => Err(Failure::Behind { server: view.low.to_string(), start: load.start.to_string() }),
    }
}

/// How often in a row a table may be found altered before its error is the table's: each time, its definition is read again.
const ALTERED_MAX: u32 = 20;

/// The statement does not fit the table as it is now.
fn is_altered(error: &WireError) -> bool {
    let altered = [code::BAD_FIELD, code::KEY_DOES_NOT_EXIST, code::TABLE_DEFINITION_CHANGED, code::NEEDS_REPREPARE];
    is_gone(error) || error.server_code().is_some_and(|code| altered.contains(&code))
}

/// The next chunks that lie side by side, at most so many, and the range that they are.
pub(super) fn adjacent<'a>(
    left: &mut &'a [(u32, KeyRange)],
    count_max: usize,
) -> Option<(&'a [(u32, KeyRange)], KeyRange)> {
    let follows = |pair: &&[(u32, KeyRange)]| pair[0].1.upper.is_some() && pair[0].1.upper == pair[1].1.lower;
    let count = left.windows(2).take(count_max - 1).take_while(follows).count() + 1;
    let (chunks, others) = left.split_at_checked(count)?;
    let ([(_, first), ..], [.., (_, last)]) = (chunks, chunks) else { return None };
    *left = others;
    Some((chunks, KeyRange { lower: first.lower.clone(), upper: last.upper.clone() }))
}

/// Whether another view can go on where one ends.
fn can_be_divided(plan: &Plan, index: Option<&str>, version: &ServerVersion) -> bool {
    !plan.key.columns.is_empty()
        && !plan.table.table.key().is_empty()
        && index.is_some()
        && plan.is_cut_as_ordered(version)
}

fn find_index<'a>(plan: &'a Plan, connection: &mut Connection) -> Result<Option<&'a str>, WireError> {
    if let Some(index) = plan.index.get() {
        return Ok(index.as_deref());
    }
    let index = chunks::find_index(connection, &plan.table.table, &plan.key)?;
    Ok(plan.index.get_or_init(|| index).as_deref())
}
