//! A position behind which the server has purged changes: it is refused, or the task begins anew behind the gap, as the user says.

use std::sync::Arc;
use std::time::SystemTime;

use tracing::{info, warn};

use super::{MysqlSource, patiently};
use crate::checkpoint::journal::{By, What};
use crate::checkpoint::{Checkpoint, Gap, LoadState, is_followed};
use crate::config::Task;
use crate::gap::AfterGap;
use crate::source::{Context, SourceError};
use tidegate_model::{Position, Table, TableName, Watermark, now_s};
use tidegate_mysql::check::list_names;
use tidegate_mysql::dump_error::DumpError;
use tidegate_mysql::ledger::Ledger;
use tidegate_mysql::{MysqlError, ledger, same_history, snapshot};

impl MysqlSource {
    /// Refuses a position behind which changes are gone, unless the user has said how to go on.
    pub(super) fn refuse_gap(
        &self,
        task: &Task,
        stored: &Checkpoint,
        after_gap: Option<&AfterGap>,
    ) -> Result<(), SourceError> {
        if let Some(after_gap) = after_gap {
            if task.full_load.is_none() && !matches!(after_gap, AfterGap::Leave) {
                return Err(SourceError::NoLoad);
            }
            let after_gap = after_gap.clone().on_server_of(task);
            if let Some(name) = after_gap.without_table(self.tables.iter().map(|table| table.name())) {
                return Err(SourceError::NotSelected { name: name.to_owned() });
            }
        }
        let Some(position) = stored.reads_from() else { return Ok(()) };
        match self.lost(task, position)? {
            Some(DumpError::Gone { .. }) if after_gap.is_some() => Ok(()),
            Some(error) => Err(self.refused_dump(task, error, position, self.stored_at, false)),
            None => Ok(()),
        }
    }

    /// Why reading cannot go on at the position, if that is for good; for a server that is behind, reading waits.
    fn lost(&self, task: &Task, position: &Position) -> Result<Option<DumpError>, MysqlError> {
        if task.incremental.is_none() {
            return Ok(None);
        }
        match same_history::check(&self.look.connect, self.look.facts.server_uuid(), position) {
            Ok(()) => Ok(None),
            Err(MysqlError::Dump(error)) => Ok(Some(error).filter(|error| !error.may_pass())),
            Err(error) => Err(error),
        }
    }

    /// Why changes behind the position cannot be had any more, if so and the user has agreed to it.
    pub(super) fn purged(&self, context: &Context<'_>, position: &Position) -> Result<Option<String>, SourceError> {
        if context.after_gap.is_none() {
            return Ok(None);
        }
        match patiently(context, || Ok(self.lost(context.task, position)?))? {
            Some(DumpError::Gone { reason, .. }) => Ok(Some(reason)),
            Some(_) => Ok(None),
            None => {
                info!("--accept-gap: the server still has every change behind the task's position, so there is no gap");
                Ok(None)
            }
        }
    }

    /// The error, told with what the task knows. `accepted`: the next start goes on as it is.
    pub(super) fn refused_dump(
        &self,
        task: &Task,
        error: DumpError,
        position: &Position,
        stored_at: Option<SystemTime>,
        accepted: bool,
    ) -> SourceError {
        match error {
            DumpError::Gone { reason, .. } => SourceError::Purged {
                at: position.place().to_string(),
                reason,
                kept_s: self.look.facts.binlog_retention_s(),
                away_s: stored_at.and_then(|at| at.elapsed().ok()).map(|away| away.as_secs()),
                loads: task.full_load.is_some(),
                accepted,
            },
            error => MysqlError::Dump(error).into(),
        }
    }

    /// Begins at the present, behind changes that were purged. Tables are loaded again of which the user says so, or of which not
    /// every row had been sent.
    pub(super) fn begin_behind_gap(
        &mut self,
        context: &Context<'_>,
        from: &Position,
        reason: String,
    ) -> Result<Position, SourceError> {
        let task = context.task;
        let after_gap = context.after_gap.cloned().expect("it was accepted").on_server_of(task);
        let (start, schemas) = patiently(context, || self.begin_here(context))?;
        // XA transactions that were waited for are in the gap, too.
        let end = self.now(context)?;
        let stored = context.tracker.read(Checkpoint::clone);
        let is_sent = |name: &TableName| {
            // Until reading has passed its load, changes from within that are to come.
            let in_ledger = stored.source.ledger.as_ref().and_then(|ledger| ledger.table(name));
            let is_passed = in_ledger.is_none_or(ledger::TableChunks::is_taken_as_read);
            match stored.remembered_table(name).map(|table| table.load) {
                // It may have been made in the gap: then its rows are as unknown as those of others.
                Some(LoadState::NotWanted) => is_passed && is_followed(stored.source.schemas.get(name)),
                Some(LoadState::Done) => is_passed,
                Some(LoadState::Wanted) | None => false,
            }
        };
        let is_loaded =
            |table: &&Arc<Table>| task.full_load.is_some() && (after_gap.loads(table.name()) || !is_sent(table.name()));
        let (loaded, left): (Vec<_>, Vec<_>) = self.tables.iter().partition(is_loaded);
        let has_names = self.look.facts.describes_tables();
        let is_readable = has_names || snapshot::starts_at_present(&self.look.facts);
        let mut ledger = Ledger::new(start.clone());
        for table in &loaded {
            let planned = self.load_table(task, table)?;
            let (key, definition) = (planned.key().unwrap_or_default(), planned.fingerprint());
            match stored.remembered_table(table.name()).filter(|_| is_followed(stored.source.schemas.get(table.name())))
            {
                // Nothing of it was ever sent.
                None => ledger.add_table(table.name(), key, definition),
                // Consumers have rows of it: nothing that becomes of them may be taken for shown.
                Some(_) if is_readable => ledger.load_again(table.name(), key, definition, &start.coordinate),
                // What the file has from before the gap's end, nobody can read: its columns are not known. It is shown by the load.
                Some(_) => {
                    ledger.load_new(table.name(), key, definition, &start.coordinate);
                    ledger.follow_from(table.name(), end.clone());
                }
            }
        }
        for table in &left {
            let planned = self.load_table(task, table)?;
            ledger.take_as_read(table.name(), planned.key().unwrap_or_default(), planned.fingerprint(), &end);
        }
        let names = |tables: &[&Arc<Table>]| tables.iter().map(|table| table.name().clone()).collect::<Vec<_>>();
        let has = |name: &TableName| self.tables.iter().any(|table| table.name() == name);
        let gap = Gap {
            from: from.place().to_string(),
            to: match &end {
                Watermark::Gtids(set) => set.in_line().to_string(),
                Watermark::Coordinate(coordinate) => coordinate.to_string(),
            },
            accepted_s: now_s(),
            left: names(&left),
            loaded: names(&loaded),
            gone: stored.tables.iter().map(|(name, _)| name).filter(|name| !has(name)).cloned().collect(),
        };
        warn!(
            from = gap.from,
            to = gap.to,
            loaded_again = list_names(&gap.loaded),
            left = list_names(&gap.left),
            gone = list_names(&gap.gone),
            "changes between both are left out, since the server has purged some of them: {reason}"
        );
        context.tracker.update_durably(|checkpoint| {
            checkpoint.source.begin_anew();
            schemas.into_iter().for_each(|schema| checkpoint.source.begin_schema(schema));
            gap.loaded.iter().for_each(|name| checkpoint.load_wanted(name));
            // What comes under its name is another table.
            gap.gone.iter().for_each(|name| checkpoint.tables.remove(name));
            checkpoint.source.ledger = Some(ledger);
            checkpoint.source.position = Some(start.clone());
            checkpoint.journal.note(
                What::GapAccepted,
                By::Run,
                format!("changes from {} to {} are left out", gap.from, gap.to),
            );
            checkpoint.add_gap(gap);
        })?;
        Ok(start)
    }
}
