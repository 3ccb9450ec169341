//! Reading the binlog, with what the ledger knows of rows that the load has shown.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::MysqlSource;
use super::turns::{JudgeRules, judge};
use crate::checkpoint::{Checkpoint, RememberedTable};
use crate::config::{self, Task};
use crate::pipeline::route::{columns_read, plan_transform, row_bytes};
use crate::source::{Context, SourceError};
use crate::{hints, pipeline, shards};
use tidegate_model::{Coordinate, Gtid, Position, TableName, Watermark};
use tidegate_mysql::binlog::{MarkOptions, RowUse, RowUses, WindowOptions};
use tidegate_mysql::catalog::{self, CatalogTable};
use tidegate_mysql::ddl::UnloggedRows;
use tidegate_mysql::dump_error::DumpError;
use tidegate_mysql::history::{History, Moved, Rules, StoredSchema, UnloggedRowsPolicy};
use tidegate_mysql::incremental::{FollowOptions, Followed, Follower, Ready};
use tidegate_mysql::ledger::Ledger;
use tidegate_mysql::{MysqlError, history};

/// Smaller windows and chunks than these cost more than the pauses between them are worth.
pub(super) const MIN_ROWS_HELD: u64 = 100;

impl MysqlSource {
    pub(super) fn follow(
        &self,
        context: &Context<'_>,
        options: &config::IncrementalOptions,
        position: Position,
        until: Option<Watermark>,
        ready: Option<&Ready>,
    ) -> Result<Followed, SourceError> {
        let begun = position.clone();
        let names: Vec<&TableName> = self.tables.iter().map(|table| table.name()).collect();
        context.tracker.update(|checkpoint| match &mut checkpoint.source.ledger {
            Some(ledger) => shards::drop_nothing_of_other_keys(context.task, &names, ledger),
            None => Ok(()),
        })?;
        context.tracker.update(|checkpoint| {
            let is_known = |name: &&TableName| checkpoint.source.schemas.get(name).is_some() || names.contains(name);
            let unknown: Vec<&TableName> = self.look.sequences.iter().filter(|name| !is_known(name)).collect();
            let entries = unknown.into_iter().map(|name| StoredSchema::sequence(name, &position.coordinate, false));
            entries.for_each(|entry| checkpoint.source.record_schema(entry));
        });
        let selection = context.task.tables.clone();
        let tracker = context.tracker.clone();
        let rules = JudgeRules {
            may_load: context.task.full_load.is_some(),
            reloads: options.unlogged_rows == UnloggedRowsPolicy::Reload,
            forwards: options.ddl == config::DdlPolicy::Forward,
        };
        let judge = || -> history::Judge {
            let tracker = context.tracker.clone();
            Box::new(move |table, rows, here| {
                let is_asked_for = |checkpoint: &Checkpoint| {
                    checkpoint.remembered_table(table).is_some_and(RememberedTable::is_asked_for_whole)
                };
                if rules.may_load && rows != UnloggedRows::Unseen && tracker.read(is_asked_for) {
                    // All of its rows come behind the statement.
                    tracker.update(|checkpoint| checkpoint.need(table));
                    return Moved::Covered;
                }
                tracker.read(|checkpoint| judge(checkpoint.source.ledger.as_ref(), rules, table, rows, here))
            })
        };
        let asking = |of_ledger: fn(&Ledger, &TableName, Option<&Gtid>, &Coordinate) -> bool| -> history::Shows {
            let tracker = context.tracker.clone();
            Box::new(move |table, here| {
                let shows = |ledger: &Ledger| of_ledger(ledger, table, here.gtid, here.at);
                tracker.read(|checkpoint| checkpoint.source.ledger.as_ref().is_some_and(shows))
            })
        };
        let names = self.look.facts.name_case();
        let hidden: Vec<TableName> = context.tracker.read(|checkpoint| checkpoint.hidden().cloned().collect());
        let passed_over = self.later.iter().chain(&hidden).map(|name| names.key(name));
        let passed_over: Arc<BTreeSet<TableName>> = Arc::new(passed_over.collect());
        let is_in_memory = |table: &&CatalogTable| table.engine.as_deref() == Some("MEMORY");
        let in_memory = self.look.tables.iter().filter(is_in_memory).map(|table| table.table.name().clone());
        let in_memory: Arc<BTreeSet<TableName>> = Arc::new(in_memory.collect());
        let history = |position: &Position| {
            let (selection, passed_over) = (selection.clone(), passed_over.clone());
            let is_passed_over = move |database: &str, table: &str| {
                !passed_over.is_empty() && passed_over.contains(&names.key(&TableName::new(database, table)))
            };
            let recorder = tracker.clone();
            History::new(
                &tracker.read(|checkpoint| checkpoint.source.schemas()),
                position,
                Box::new(move |database, table| {
                    selection.matches(database, table).is_some() && !is_passed_over(database, table)
                }),
                Rules { names, unlogged_rows: options.unlogged_rows },
                Box::new(move |entry| recorder.update(|checkpoint| checkpoint.source.record_schema(entry))),
            )
            .passing(context.pass)
            .with_judge(judge())
            .with_shows(asking(Ledger::shows_all))
            .with_shows_before(asking(Ledger::is_shown_before))
            .with_gone(asking(Ledger::was_gone), asking(Ledger::was_entered_gone))
            .with_replays(asking(|ledger, name, _, _| ledger.replays(name)))
            .with_tables_that_empty_themselves({
                let (in_memory, connect) = (in_memory.clone(), self.look.connect.clone());
                // One that has come since, or that has gone since the first look.
                move |table| Ok(in_memory.contains(table) || catalog::is_in_memory(&connect, table)?)
            })
            .looking_for_cascades({
                let cascades = self.cascades.clone();
                move |table, here| cascades.look(table, &here.at.to_string())
            })
        };
        let replayed = |table: &TableName| {
            context.tracker.update(|checkpoint| checkpoint.source.ledger.as_mut().map(|ledger| ledger.replay(table)));
        };
        let shown = |tables: &[(TableName, Watermark)]| {
            let show = |checkpoint: &mut Checkpoint| {
                let Some(ledger) = &mut checkpoint.source.ledger else { return };
                tables.iter().for_each(|(table, until)| ledger.show_before(table, until.clone()));
            };
            context.tracker.update_durably(show).map_err(Into::into)
        };
        let mut follower = Follower {
            connect: &self.look.connect,
            server_id: self.server_id,
            server_uuid: self.look.facts.server_uuid(),
            options: FollowOptions {
                window: Duration::from_millis(options.window_ms),
                heartbeat: Duration::from_secs(options.heartbeat_s),
            },
            windows: window_options(
                context.task,
                held_window(options.window_rows as usize, context.task.limits.all.rows_per_second),
            ),
            pass: context.pass,
            row_uses: row_uses(context.task, &self.look.facts.version.text),
            folder: &context.task.state,
            ledger: context.tracker.read(|checkpoint| checkpoint.source.ledger.clone()),
            until,
            end: self.reading_end(context),
            asked: &context.status.asked,
            ready,
            replayed: &replayed,
            // Who carries out statements from before has no use for a load behind them alone.
            passes_over: !self.look.facts.describes_tables() && !rules.forwards && !self.look.facts.version.is_mariadb,
            shown: &shown,
            retry: context.task.retry.connection,
            hint: &hints::of_server,
            emit: &|window| context.emitter.emit(window),
            status: context.status,
            stop: context.stop,
        };
        follower.run(position, history).map_err(|error| match error {
            MysqlError::Dump(error @ DumpError::Gone { .. }) => {
                let position = context.tracker.read(|checkpoint| checkpoint.source.position.clone());
                self.refused_dump(context.task, error, &position.unwrap_or(begun), None, context.after_gap.is_some())
            }
            error => error.into(),
        })
    }
}

/// Rows of a window: no more than may pass in a second, so that something passes each second.
pub(super) fn held_window(rows: usize, limited: Option<u64>) -> usize {
    limited.map_or(rows, |limit| rows.min(limit.max(MIN_ROWS_HELD) as usize))
}

/// Windows of changes, with the marks that the task passes on.
pub(crate) fn window_options(task: &Task, rows: usize) -> WindowOptions {
    let statements = task.incremental.as_ref().is_some_and(|options| options.ddl == config::DdlPolicy::Forward);
    let (transactions, heartbeats) = match &task.format {
        config::Format::DtsAvro(options) => (options.transactions, options.heartbeats),
        config::Format::CanalJson(_) => (false, false),
    };
    WindowOptions {
        rows,
        bytes: pipeline::shares(task).window,
        marks: MarkOptions { statements, transactions, heartbeats },
    }
}

/// Tells a reader of binlogs what becomes of a table's rows.
pub(crate) fn row_uses(task: &Task, server_version: &str) -> RowUses {
    let (task, server_version) = (task.clone(), server_version.to_owned());
    Arc::new(move |table| match plan_transform(&task.tables, table) {
        Ok(transform) => RowUse {
            bytes: row_bytes(&task, table, &transform, &server_version),
            columns: columns_read(&task, table, &transform),
        },
        // A table that cannot be sent ends the task elsewhere.
        Err(_) => RowUse::whole(table),
    })
}

/// A row larger than half of the budget could not be encoded within it.
pub(crate) fn event_bytes_max(task: &Task) -> usize {
    usize::try_from(task.memory_bytes / 2).unwrap_or(usize::MAX)
}
