//! Where a run ends by itself on a server: what `--until` says, as the binlog has it.

use tracing::{info, warn};

use super::{MysqlSource, patiently};
use crate::checkpoint::Checkpoint;
use crate::config::Task;
use crate::source::{Context, SourceError};
use crate::until::{Until, UntilError};
use tidegate_model::words::time_text;
use tidegate_model::{GtidSet, Position, Watermark};
use tidegate_mysql::connection::ServerFacts;
use tidegate_mysql::until::{self, EndWatch, LookUpError};
use tidegate_mysql::{MysqlError, snapshot};

/// What was asked for, and what that is on this server.
pub(super) struct Ending {
    asked: Until,
    until: until::ReadingEnd,
    /// When the server was asked for its clock, it was past the time, or had more than the place has.
    is_over: bool,
}

impl Ending {
    fn is_now(&self) -> bool {
        matches!(self.asked, Until::Now(_))
    }

    /// The same for a later start of this run.
    pub(super) fn until(&self) -> Until {
        match (&self.asked, &self.until) {
            (Until::Now(_), until::ReadingEnd::Place(place)) => Until::Now(Some(place.clone())),
            (asked, _) => asked.clone(),
        }
    }
}

impl MysqlSource {
    /// Finds out where the run is to end.
    pub(super) fn find_ending(&self, task: &Task, asked: &Until, stored: &Checkpoint) -> Result<Ending, SourceError> {
        if task.incremental.is_none() {
            return Err(UntilError::NoChanges(asked.clone()).into());
        }
        let facts = &self.look.facts;
        let has_gtids = stored.reads_from().map_or(facts.has_gtids(), |position| position.gtids.is_some());
        let (executed, end) = snapshot::end(&self.look.connect, facts).map_err(MysqlError::Load)?;
        let now = if has_gtids { executed } else { Watermark::Coordinate(end) };
        let place = match asked {
            Until::Now(known) => known.clone().unwrap_or_else(|| now.clone()),
            Until::Time(time_s) => {
                let is_over = until::clock_of(&self.look.connect)? > u64::from(*time_s);
                return Ok(Ending {
                    asked: asked.clone(),
                    until: until::ReadingEnd::Time(u64::from(*time_s)),
                    is_over,
                });
            }
            Until::Gtids(set) => {
                if let Some(kept) = kept_otherwise(has_gtids, facts, set) {
                    return Err(UntilError::OtherGtids { until: asked.clone(), kept }.into());
                }
                // All up to the last one of each source.
                let mut set = set.clone();
                let sent = stored.reads_from().and_then(Position::sent);
                sent.into_iter().for_each(|sent| set.fill_up_from(sent));
                if let Watermark::Gtids(executed) = &now {
                    set.fill_up_from(executed);
                }
                Watermark::Gtids(set)
            }
            Until::Place(at) => {
                let found = until::look_up(&self.look.connect, facts, at, has_gtids);
                let found = found.map_err(|error| UntilError::Place { until: asked.clone(), error })?;
                if found.at != *at {
                    info!(asked = %at, end = %found.at, "--until: no transaction ends there; the last one that ends before it is the last one sent");
                }
                found.gtids.map_or(Watermark::Coordinate(found.at), Watermark::Gtids)
            }
        };
        let is_over = !matches!(asked, Until::Now(_)) && is_within(&place, &now);
        Ok(Ending { asked: asked.clone(), until: until::ReadingEnd::Place(place), is_over })
    }

    /// Refuses an end that the task has gone past. While there is a load, it ends where that is consistent.
    pub(super) fn refuse_passed(
        &self,
        context: &Context<'_>,
        position: &Position,
        is_new: bool,
    ) -> Result<(), SourceError> {
        let Some(ending) = &self.ending else { return Ok(()) };
        info!(until = %ending.asked, "the task ends there by itself");
        if let Some(ledger) = context.tracker.read(|checkpoint| checkpoint.source.ledger.clone()) {
            if ending.is_over && !ledger.all_done() {
                warn!(until = %ending.asked, "--until lies before what the full load will show: the task ends when its load is done, and is consistent");
            }
            return Ok(());
        }
        // A place in a file has all that stands before it; a set may leave out whole sources.
        let is_place = matches!(ending.asked, Until::Place(_));
        let passed = |at: String| Err(UntilError::Passed { until: ending.asked.to_string(), at }.into());
        match &ending.until {
            until::ReadingEnd::Place(place)
                if !ending.is_now()
                    && (until::is_past(position, place) || (is_place && !holds_sent(position, place))) =>
            {
                passed(position.place().to_string())
            }
            until::ReadingEnd::Time(_) if is_new && ending.is_over => passed("the present, where it begins".to_owned()),
            until::ReadingEnd::Time(time_s) if !is_new => match self.last_commit(context, position)? {
                Some(last_s) if last_s > *time_s => passed(time_text(last_s as u32)),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// When the last transaction was committed that the task has sent, as far as its file tells.
    fn last_commit(&self, context: &Context<'_>, position: &Position) -> Result<Option<u64>, SourceError> {
        let facts = &self.look.facts;
        if position.file.as_ref().is_some_and(|file| *file.server != *facts.server_uuid()) {
            return Ok(None);
        }
        patiently(context, || match until::look_up(&self.look.connect, facts, &position.coordinate, false) {
            Ok(found) => Ok(found.committed_s),
            Err(LookUpError::Server(error)) => Err(error.into()),
            // It is purged, with all that was read.
            Err(_) => Ok(None),
        })
    }

    /// The end for a follower that begins now.
    pub(super) fn reading_end(&self, context: &Context<'_>) -> Option<EndWatch> {
        let ending = self.ending.as_ref()?;
        let load = context.tracker.read(|checkpoint| checkpoint.source.ledger.as_ref()?.end());
        if let (until::ReadingEnd::Place(place), Some(load)) = (&ending.until, &load)
            && !is_within(load, place)
        {
            info!(until = %ending.asked, "what was loaded shows changes behind --until: the task ends at {load}, where it is consistent");
        }
        Some(EndWatch::new(ending.until.clone(), load))
    }

    /// Up to where everything is to be read, if that is the present.
    pub(super) fn present(&self) -> Option<Watermark> {
        let ending = self.ending.as_ref().filter(|ending| ending.is_now())?;
        match &ending.until {
            until::ReadingEnd::Place(place) => Some(place.clone()),
            until::ReadingEnd::Time(_) => None,
        }
    }
}

fn holds_sent(position: &Position, place: &Watermark) -> bool {
    match (place, position.sent()) {
        (Watermark::Gtids(set), Some(sent)) => set.contains_set(sent),
        _ => true,
    }
}

/// Whether one watermark lies at or before the other.
fn is_within(one: &Watermark, other: &Watermark) -> bool {
    match (one, other) {
        (Watermark::Gtids(one), Watermark::Gtids(other)) => other.contains_set(one),
        (Watermark::Coordinate(one), Watermark::Coordinate(other)) => one <= other,
        _ => true,
    }
}

/// By what a task keeps its place, if not by such a set.
pub(super) fn kept_otherwise(has_gtids: bool, facts: &ServerFacts, set: &GtidSet) -> Option<&'static str> {
    match (has_gtids, facts.version.is_mariadb) {
        (false, _) => Some("files and offsets: the server has no GTIDs, or had none when the task began"),
        (true, true) if !set.is_of_domains() => Some("GTIDs of MariaDB (0-1-23)"),
        (true, false) if set.is_of_domains() => Some("GTIDs of MySQL (3e11fa47-71ca-11e1-9e33-c80aa9429562:1-20)"),
        _ => None,
    }
}
