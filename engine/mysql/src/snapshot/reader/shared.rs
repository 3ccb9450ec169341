//! Many tables of few rows, in one view.
//!
//! ```text
//! START TRANSACTION …; (SELECT 1 FROM t1 LIMIT 0) UNION ALL (SELECT 1 FROM t2 LIMIT 0) …; low; SELECT 1 FROM t1 LIMIT 1; high; SHOW CREATE …
//! SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM t1 LIMIT 1001)), the same of t2, …
//!                      │ more than a thousand rows, or not as planned: cut and read for itself
//!                      ▼
//! one place on disk, then SELECT … FROM t1, SELECT … FROM t2 …
//! ```
//!
//! What a view costs, 9 statements and a place on disk, is more than what two rows do. The argument of a view is the same for several tables:
//! the definition of each is locked before `low`, and the view is of all tables from the moment that the first one opens it.
//!
//! Only what goes well is done here. Whatever fails or is otherwise than planned, for a table or for all of them, is left to the way that
//! each table can go for itself. Which have few rows the server tells, and not its statistics. Of bytes it has those alone: who shares at all goes by
//! them, and one of which they are wrong costs the time after which the view ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::info;

use super::super::queue::{CutJob, Plan, ReadingSince};
use super::super::view::{View, on_server, text};
use super::super::window::WindowBuilder;
use super::super::{Failure, LoadError, ViewRows, rows_meta, select_statement};
use super::{Reader, check_reached};
use crate::chunks::KeyRange;
use crate::connection::{LOCK_WAIT_TIMEOUT_S, quote_table};
use tidegate_model::now_s;

/// Tables of so many rows are small, unless chunks are smaller.
const ROWS_MAX: u64 = 1000;

/// How long a view is open, and until the table at hand is read: what is left has a view for each then, which is much dearer, and on a busy
/// machine 64 small tables take tenths of a second.
const SHARED_TIME: Duration = Duration::from_secs(1);

/// How long the tables may be locked against statements that alter them, all together, from before the first of them is. Rows that the sink does
/// not take hold none of them: they are read by then.
const SHARED_MAX: Duration = Duration::from_secs(5);

/// One of the tables that are to share a view.
struct Member {
    job: CutJob,
    plan: Arc<Plan>,
    /// All of it, once that is entered as a chunk.
    chunk: Option<u32>,
}

impl Reader<'_> {
    /// Reads tables in one view. What is left then is to be read for itself.
    pub(super) fn read_in_one_view(&mut self, jobs: Vec<CutJob>) {
        let run = self.run;
        // What has no server waits for it, as for any table.
        if let Some(first) = jobs.first() {
            self.retry(first.table, &mut |reader| reader.connected().map(drop));
        }
        if run.is_stopped() {
            return run.stop(None);
        }
        let member = |job: CutJob| Member { plan: run.plan(job.table), job, chunk: None };
        let mut members = jobs.into_iter().map(member).collect();
        let read = self.try_to_read(&mut members);
        run.set_table(self.slot, None);
        run.set_reading_since(self.slot, None);
        if let Err(failure) = read {
            let reason = match &failure {
                Failure::Wire(error) => error.to_string(),
                other => format!("{other:?}"),
            };
            info!(reason, "tables that were to share a view are read for themselves");
            // Rows may be outstanding, or a view open.
            self.disconnect();
            if matches!(failure, Failure::Stopped) {
                return run.stop(None);
            }
        }
        members.into_iter().for_each(|member| run.read_alone(member.job, member.chunk));
    }

    /// Those that are read, are not wanted any more or go their own way leave `members`.
    fn try_to_read(&mut self, members: &mut VecDeque<Member>) -> Result<(), Failure> {
        let (run, load, slot) = (self.run, self.run.load, self.slot);
        let timestamp_s = now_s();
        self.has_view = true;
        let connection = self.connected()?;
        // While one of them is waited for, those before it are locked.
        connection.query("SET SESSION lock_wait_timeout = 1")?;
        let names: Vec<_> = members.iter().map(|member| member.plan.name()).collect();
        let locked = ReadingSince { opened: Instant::now(), max: load.options.view_max.min(SHARED_MAX) };
        run.set_reading_since(slot, Some(locked));
        let view = View::open(connection, run.rule, load.facts, &names, Some(load.start), load.options.view_tries)?;
        let opened = Instant::now();
        check_reached(&view, run)?;
        let is_planned = |(member, definition): (&Member, &Option<String>)| {
            definition.is_some() && *definition == member.plan.table.definition
        };
        let is_planned: Vec<bool> = members.iter().zip(&view.definitions).map(is_planned).collect();
        // What is of another engine now opens no view of the others.
        if is_planned.first() != Some(&true) {
            return Err(Failure::Outdated);
        }
        let rows_max = ROWS_MAX.min(load.options.chunk_rows);
        let count = |(member, is_planned): (&Member, &bool)| match is_planned {
            true => {
                let name = quote_table(member.plan.name());
                format!("(SELECT COUNT(*) FROM (SELECT 1 FROM {name} LIMIT {}) AS few)", rows_max + 1)
            }
            false => "NULL".to_owned(),
        };
        let counts: Vec<String> = members.iter().zip(&is_planned).map(count).collect();
        let counts = format!("SELECT {}; SET SESSION lock_wait_timeout = {LOCK_WAIT_TIMEOUT_S}", counts.join(", "));
        let counts = connection.query(&counts)?;
        let counts = counts.iter().flat_map(|result| &result.rows).next();
        let is_small = |index| text(counts?, index)?.parse().ok().map(|rows: u64| rows <= rows_max);
        for (index, member) in std::mem::take(members).into_iter().enumerate() {
            if is_small(index) != Some(true) {
                run.read_alone(member.job, None);
            } else if let Some(chunk) = run.add_whole(member.job.table, &member.plan) {
                members.push_back(Member { chunk: Some(chunk), ..member });
            }
        }
        if members.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> =
            members.iter().map(|member| (member.plan.name(), ViewRows::Of(member.chunk.as_slice()))).collect();
        let stored = run.waiting(slot, || load.record.begin(&rows, &view.low, &view.high));
        let mut is_wanted = stored.map_err(|error| Failure::Load(LoadError::Record(error)))?.into_iter();
        members.retain(|member| {
            let is_wanted = is_wanted.next() == Some(true);
            if !is_wanted {
                run.take_back(member.job.table);
            }
            is_wanted
        });
        let meta = Arc::new(rows_meta(load.start.reached(), load.facts, timestamp_s));
        let on_server = on_server(load.facts, &view.server);
        while let Some(Member { job, plan, chunk: Some(chunk) }) = members.front() {
            run.set_table(slot, Some(job.table));
            if run.is_stopped() {
                return Err(Failure::Stopped);
            }
            if !run.is_taken_back(job.table) {
                let whole = (*chunk, KeyRange::default());
                let mut window = WindowBuilder::new(run, slot, plan, meta.clone());
                let mut params = Vec::new();
                let sql = select_statement(&plan.table, &plan.key, &whole.1, None, &on_server, u64::MAX, &mut params);
                let connection = self.connection.as_mut().expect("a view is open on it");
                window.read(connection, &sql, &params, &[whole], true)?;
                window.emit_waiting()?;
                self.progressed();
            }
            members.pop_front();
            if opened.elapsed() >= SHARED_TIME {
                break;
            }
        }
        Ok(())
    }
}
