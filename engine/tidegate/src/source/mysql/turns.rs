//! Tables that take a turn: in the midst of reading the binlog, all their rows are read.
//!
//! *A table that the task has never met* is there at a start, and `tables` has selected it all along: it was made meanwhile. If its
//! CREATE TABLE stands behind the position, reading meets it, and there is nothing to load. Nobody knows before the reader has come
//! to where the binlog ended when the catalogue was read. If it meets a row of the table before its CREATE TABLE, or gets there without
//! having met it ([`Followed::Arrived`](tidegate_mysql::incremental::Followed::Arrived)), the table is loaded then. That no row of it
//! was sent before is certain: what a run that was killed had sent behind its last checkpoint is met again, and in the same order. So
//! its chunks may drop what they have shown, unless its topic holds messages of this task: a table of this name may have been there
//! before, been renamed away, and come back.
//!
//! *A table that is swapped again and again* (RENAME onto its name) while it loads is loaded again for each statement that lies
//! behind the begin of its load: chunks before and behind the statement are of two tables, and changes from before it would
//! follow rows from behind it. After [`RELOADS_AT_ONCE`] loads for statements of the past it is loaded no more for each of them, but
//! once, as one that is asked for ([`Ready`](tidegate_mysql::incremental::Ready)); meanwhile its changes are sent as they come. That ends,
//! however many statements there were. No bound can end it where the table is swapped during every load: each holds rows of two
//! tables then. The task goes on with it, since all other tables depend on it, and says each time how often it was.
//!
//! *A server that is behind the position* has, or has not, what tables were once: whoever looks at one asks on the same connection how far
//! the server has come.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracing::{info, warn};

use super::look::{needs_labels, show_create};
use super::{MysqlSource, patiently};
use crate::checkpoint::journal::{By, What};
use crate::checkpoint::{Checkpoint, LoadState, RememberedTable, is_followed};
use crate::config::Task;
use crate::hints;
use crate::source::{Context, SourceError};
use mysql_async::prelude::Queryable;
use tidegate_model::{Coordinate, GtidSet, Position, Table, TableName, Watermark};
use tidegate_mysql::catalog::{CatalogError, CatalogTable, Presence, Selection};
use tidegate_mysql::check;
use tidegate_mysql::chunks::ChunkKey;
use tidegate_mysql::ddl::UnloggedRows;
use tidegate_mysql::history::{Here, Moved, StoredSchema, Turn};
use tidegate_mysql::ledger::Ledger;
use tidegate_mysql::snapshot::LoadError;
use tidegate_mysql::{MysqlError, catalog, connection, snapshot};

/// How often a table is looked at that comes and goes.
const LOOKS_MAX: u32 = 10;
/// How often a table is loaded again at once, for one statement after the other.
const RELOADS_AT_ONCE: u32 = 3;

impl MysqlSource {
    /// Tables that were there when the task was started, and of which it has neither read nor loaded anything.
    pub(super) fn unseen(&self, context: &Context<'_>) -> Vec<TableName> {
        if context.task.full_load.is_none() || context.task.incremental.is_none() {
            return Vec::new();
        }
        let names = self.tables.iter().map(|table| table.name());
        context.tracker.read(|checkpoint| {
            let key = |name: &TableName| self.look.facts.name_case().key(name);
            let mut known = HashSet::new();
            // The last entry of a table is what is known of it.
            for (name, entries) in checkpoint.source.schemas.iter() {
                match is_followed(Some(entries)) {
                    false => known.remove(&key(name)),
                    true => known.insert(key(name)),
                };
            }
            let is_later = |name: &&TableName| self.later.contains(*name);
            names.filter(|name| !known.contains(&key(name)) && !is_later(name)).cloned().collect()
        })
    }

    /// The event `at`, before which reading stopped, shows that all rows that the table has are to be read; or `is_wish`, and nothing is if
    /// that has been taken back. False if the task is told to stop.
    ///
    /// What was read before is delivered first. Otherwise a crash would send changes from before it behind the rows that are read
    /// now.
    pub(super) fn begin_again(
        &mut self,
        context: &Context<'_>,
        name: &TableName,
        turn: Turn,
        is_wish: bool,
        at: &Coordinate,
        position: &Position,
    ) -> Result<bool, SourceError> {
        if !self.is_delivered(context, position) {
            return Ok(false);
        }
        let is_taken_back = |checkpoint: &Checkpoint| {
            is_wish && checkpoint.remembered_table(name).is_none_or(|table| !table.is_asked_for)
        };
        if context.tracker.read(is_taken_back) {
            return Ok(true);
        }
        let is_new = matches!(turn, Turn::Load | Turn::LoadMade);
        let remembered = |checkpoint: &Checkpoint| checkpoint.remembered_table(name).cloned();
        let is_asked_for = context.tracker.read(remembered).is_some_and(|table| table.is_asked_for);
        // What was asked for without being known is an added table.
        let is_added = self.later.contains(name);
        // Of a wish, more may be asked for until it begins.
        let asked_part = |checkpoint: &Checkpoint| {
            let table = checkpoint.remembered_table(name).filter(|_| is_wish && !is_added);
            table.and_then(RememberedTable::asked_part)
        };
        let (what, why) = match is_new {
            _ if is_asked_for && !is_added => match context.tracker.read(asked_part) {
                Some(_) => ("rows of it are loaded again, as asked for", "as asked for"),
                None => ("it is loaded again, as asked for", "as asked for"),
            },
            true => ("it has rows that were never sent: it is loaded", "it has rows that were never sent"),
            false => ("rows came without row events: it is loaded from its begin", "rows came without row events"),
        };
        let now = self.now(context)?;
        // A wish that nobody needs is given up; rows that come by nothing else are not.
        let is_needed = !is_wish || context.tracker.read(remembered).is_some_and(|table| table.is_needed);
        let is_known = context.tracker.read(remembered).is_some();
        let is_named = context.task.tables.exact_rule(&name.database, &name.table).is_some();
        let missing = match () {
            () if !is_needed => Missing::IsGone,
            () if is_new && !is_known && !is_named => Missing::MayBeHidden,
            () => Missing::IsRefused,
        };
        let Looked { found, is_hidden, is_sequence, definition, executed } =
            patiently(context, || self.runtime.block_on(self.read_definition(context.task, name, position, missing)))?;
        if is_hidden {
            warn!(
                table = %name,
                hint = "GRANT SELECT on it, and the next start loads it; or exclude it in `tables`",
                "a pattern selects it, and the account may not see it: nothing of it is sent"
            );
            context.tracker.update_durably(|checkpoint| checkpoint.hide(name))?;
            return Ok(true);
        }
        let planned = match found {
            Some(found) => {
                let mut findings = Vec::new();
                check::check_versioned(std::slice::from_ref(&found), &mut findings);
                if !findings.is_empty() {
                    let findings = findings.into_iter().map(hints::of_finding).collect();
                    return Err(SourceError::Findings(findings));
                }
                info!(table = %name, "{what}, and changes wait for it");
                let table = Arc::new(found.table.clone());
                self.look.tables.retain(|table| table.table.name() != name);
                self.look.tables.push(found);
                self.tables.retain(|table| table.name() != name);
                self.tables.push(table.clone());
                self.definitions.remove(name);
                if let Some(definition) = definition {
                    self.tell_cascades(name, &definition);
                    self.definitions.insert(name.clone(), definition);
                }
                Some((self.load_table(context.task, &table)?, table))
            }
            None => {
                warn!(table = %name, "it is not there any more, or may not be seen: nothing is loaded");
                None
            }
        };
        let gone = if planned.is_none() { ", but it is not there any more" } else { "" };
        let remembered = RememberedTable::of(context.task, name, LoadState::Wanted)?;
        context.tracker.update_durably(|checkpoint| {
            if is_taken_back(checkpoint) {
                return;
            }
            // Where rows of an earlier table of this name may be, a row that has gone must go there, too.
            let was_written = checkpoint.remembered_topic(&remembered.topic).is_some_and(|topic| topic.written);
            let follows = turn == Turn::Load && was_written;
            let part = asked_part(checkpoint);
            let rows = part.as_ref().map_or(String::new(), |part| format!(", rows where {}", snapshot::shown(part)));
            checkpoint.journal.note(What::ReloadBegun, By::Run, format!("{name} at {at}: {why}{rows}{gone}"));
            if is_added {
                // It knows from where on XA transactions are waited for.
                checkpoint.source.position = Some(position.clone());
            }
            checkpoint.source.position.get_or_insert_with(|| position.clone());
            let ledger = checkpoint.source.ledger.get_or_insert_with(|| Ledger::new(position.clone()));
            let (key, definition) = match &planned {
                Some((planned, _)) => (planned.key().unwrap_or_default(), planned.fingerprint()),
                None => (ChunkKey::default(), None),
            };
            match turn {
                Turn::Load if follows => ledger.load_again(name, key, definition, at),
                Turn::Load | Turn::LoadMade => ledger.load_new(name, key, definition, at),
                Turn::LoadAgain | Turn::Replay => match part {
                    Some(part) => ledger.load_part(name, key, definition, at, part),
                    None => ledger.load_again(name, key, definition, at),
                },
            }
            match (&planned, is_new) {
                // Consumers may have rows from when it was here before.
                (Some((_, table)), _) if is_added && !table.key().is_empty() => {
                    ledger.follow_from(name, executed.clone().map_or(now.clone(), Watermark::Gtids));
                }
                (Some(_), _) => {}
                (None, true) if !follows => ledger.absent(name, now.clone()),
                (None, _) => ledger.gone(name, now.clone()),
            }
            if planned.is_some() {
                checkpoint.take_up(remembered);
                checkpoint.load_wanted(name);
                checkpoint.unheard_of(name, turn == Turn::Load);
            }
            match &planned {
                Some((_, table)) if is_new => {
                    // What is known of it begins here, though the catalogue shows it as it is now: see `begin_added`.
                    let shown_until = executed.clone().map_or(now.clone(), Watermark::Gtids);
                    checkpoint.source.begin_schema(StoredSchema::shown(table, &position.coordinate, shown_until));
                }
                Some(_) => {}
                None => {
                    checkpoint.table_loaded(name);
                    checkpoint.ask_for(name, false);
                    // Of a table that is known, a statement that is ahead tells what became of its name.
                    if is_sequence && !is_followed(checkpoint.source.schemas.get(name)) {
                        checkpoint.source.record_schema(StoredSchema::sequence(name, &position.coordinate, false));
                    }
                }
            }
        })?;
        self.later.remove(name);
        Ok(true)
    }

    /// Of a table that the task takes up, nothing was said before.
    pub(super) fn tell_cascades(&self, name: &TableName, definition: &str) {
        self.cascades.tell(name, definition, "the catalogue");
    }

    /// The table is to be loaded again, but not at once. Should the task end before, its next run begins with it.
    pub(super) fn load_later(&self, context: &Context<'_>, name: &TableName) -> Result<(), SourceError> {
        let remembered = RememberedTable::of(context.task, name, LoadState::Done)?;
        context.tracker.update_durably(|checkpoint| {
            checkpoint.take_up(remembered);
            checkpoint.ask_for(name, true);
            checkpoint.need(name);
            checkpoint.journal.note(
                What::ReloadAsked,
                By::Run,
                format!("{name}: rows came without row events again and again"),
            );
        })?;
        context.status.asked.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// What is executed on the server that is asked; an error if it is another one than that of a position without GTIDs, or is behind it.
    pub(super) async fn executed_here(
        &self,
        connection: &mut mysql_async::Conn,
        position: Option<&Position>,
    ) -> Result<Option<GtidSet>, SourceError> {
        let executed = self.look.executed(connection).await?;
        let expected = self.look.facts.server_uuid();
        if executed.is_none() && !expected.is_empty() {
            let found: Option<String> =
                connection.query_first("SELECT @@GLOBAL.server_uuid").await.map_err(MysqlError::Query)?;
            let found = found.unwrap_or_default();
            if found != expected {
                return Err(MysqlError::Load(LoadError::OtherServer { found, expected: expected.to_owned() }).into());
            }
        }
        position.map_or(Ok(()), |position| refuse_behind(executed.as_ref(), position))?;
        Ok(executed)
    }

    /// The position, behind which a table is read of which nothing was: a prepared XA transaction without rows of the tables that there were
    /// may have some of it.
    pub(super) fn begun_anew(&self, context: &Context<'_>, position: Position) -> Result<Position, SourceError> {
        let began = || Ok(self.runtime.block_on(self.begin_xa(context))?);
        let began = patiently(context, began)?;
        Ok(position.with_beginning(Some(began.ok_or(SourceError::Stopped)?)))
    }

    /// Looks at one table.
    async fn read_definition(
        &self,
        task: &Task,
        name: &TableName,
        position: &Position,
        missing: Missing,
    ) -> Result<Looked, SourceError> {
        let mut connection =
            connection::session(&self.look.connect, &self.look.facts).await.map_err(MysqlError::Connection)?;
        let definition = show_create(&mut connection, [name]).await?.and_then(|mut shown| shown.remove(name));
        let executed = self.executed_here(&mut connection, Some(position)).await?;
        let named = [name.clone()];
        let needs_labels = |table: &Table| needs_labels(task, table);
        let selection = Selection { needs_labels: Some(&needs_labels), ..Selection::named(&named) };
        let (mut is_sequence, mut is_hidden) = (false, false);
        let mut looks = 0;
        let tables = loop {
            looks += 1;
            break match catalog::read_tables(&mut connection, &selection).await {
                // What has the name may be a view or a sequence by now.
                Err(CatalogError::NoTable { kind, .. }) => {
                    is_sequence = kind == "sequence";
                    Vec::new()
                }
                Err(CatalogError::Missing { .. }) if missing == Missing::IsGone => Vec::new(),
                Err(error @ CatalogError::Missing { .. }) => {
                    match catalog::presence(&mut connection, name).await.map_err(MysqlError::Query)? {
                        Presence::Gone => Vec::new(),
                        // It has come in between.
                        Presence::Seen if looks < LOOKS_MAX => continue,
                        Presence::Refused if missing == Missing::MayBeHidden => {
                            is_hidden = true;
                            Vec::new()
                        }
                        Presence::Seen | Presence::Refused => return Err(MysqlError::Catalog(error).into()),
                    }
                }
                other => other.map_err(MysqlError::Catalog)?,
            };
        };
        connection.disconnect().await.map_err(MysqlError::Query)?;
        Ok(Looked { found: tables.into_iter().next(), is_hidden, is_sequence, definition, executed })
    }
}

/// What becomes of a table that the account does not see.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// Nobody needs its rows.
    IsGone,
    /// If it is there, a pattern has selected what is not the account's.
    MayBeHidden,
    /// If it is there, its rows are needed.
    IsRefused,
}

/// What a table's name is now.
struct Looked {
    found: Option<CatalogTable>,
    /// It is there, and the account may not see it.
    is_hidden: bool,
    is_sequence: bool,
    /// Its own words.
    definition: Option<String>,
    /// What had been executed before it was looked at.
    executed: Option<GtidSet>,
}

/// Refuses what a server says of tables that has not executed what the task has read.
fn refuse_behind(executed: Option<&GtidSet>, position: &Position) -> Result<(), SourceError> {
    match (executed, position.sent()) {
        (Some(executed), Some(sent))
            if !(executed.contains_set(sent) && position.gtids.iter().all(|gtids| executed.contains_set(gtids))) =>
        {
            Err(SourceError::Behind { server: executed.in_line().to_string(), position: position.place().to_string() })
        }
        _ => Ok(()),
    }
}

/// Tables that are loaded again for statements by which rows came without row events.
#[derive(Default)]
pub(super) struct Reloads {
    /// How often in one full load.
    counts: HashMap<TableName, u32>,
}

impl Reloads {
    /// Whether the table is loaded again at once. Otherwise later.
    pub(super) fn may_load(&mut self, table: &TableName, context: &Context<'_>) -> bool {
        if context.tracker.read(|checkpoint| checkpoint.source.ledger.is_none()) {
            self.counts.clear();
        }
        let count = self.counts.entry(table.clone()).or_default();
        *count += 1;
        if *count > 1 {
            warn!(table = %table, count, "it was swapped or filled without row events again and again: it is loaded once more");
        }
        *count <= RELOADS_AT_ONCE
    }
}

/// What the load has to do with rows that a statement moves without row events.
///
/// A statement from before the end of the load is part of it: what came by it was to be read. From behind it, the task says
/// whether a table is loaded for it.
#[derive(Clone, Copy)]
pub(super) struct JudgeRules {
    pub(super) may_load: bool,
    /// `unlogged_rows: reload`.
    pub(super) reloads: bool,
    /// `ddl: forward`.
    pub(super) forwards: bool,
}

pub(super) fn judge(
    ledger: Option<&Ledger>,
    rules: JudgeRules,
    table: &TableName,
    rows: UnloggedRows,
    here: Here<'_>,
) -> Moved {
    if ledger.is_some_and(|ledger| ledger.waits(table)) {
        return Moved::Covered;
    }
    let was_gone = ledger.is_some_and(|ledger| ledger.was_gone(table, here.gtid, here.at));
    if rows == UnloggedRows::Unseen {
        return if rules.may_load && !was_gone { Moved::Turn(Turn::Load) } else { Moved::NotLoaded };
    }
    // Nothing is left to be read; what was sent of it is told of.
    if was_gone && (rows.adds() || ledger.and_then(|ledger| ledger.table(table)).is_some_and(|table| !table.replayed)) {
        return Moved::Covered;
    }
    let has_seen = ledger.is_some_and(|ledger| ledger.has_seen(table, here.gtid, here.at));
    let is_in_load = ledger.is_some_and(|ledger| ledger.ended_behind(here.gtid, here.at));
    let is_clean = ledger.is_none_or(|ledger| ledger.is_clean_before(table, here.gtid, here.at));
    let is_asked_for = rules.reloads && rows != UnloggedRows::Rewritten;
    if rules.may_load && rows.adds() && !(has_seen && is_clean) && (is_in_load || is_asked_for) {
        return Moved::Turn(Turn::LoadAgain);
    }
    let Some((ledger, known)) = ledger.and_then(|ledger| Some((ledger, ledger.table(table)?))) else {
        return Moved::NotLoaded;
    };
    if is_clean && ledger.is_before_rows(table, here.gtid, here.at) {
        return Moved::Shown;
    }
    // A consumer that carries the statement out loses rows that chunks have read behind it.
    if rules.forwards && !known.replayed {
        return Moved::Turn(Turn::Replay);
    }
    Moved::Unknown
}
