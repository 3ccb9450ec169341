//! Would it run? Answered before it runs.
//!
//! Every check is made, whatever the ones before it found, so that one look shows all there is to do. Each finding has an item, what was
//! found, what is wanted, and what to do. What would stop the task is an error; what has a consequence that somebody should know is a
//! warning; what is only worth knowing is an info.
//!
//! ```text
//! this machine   state folder, disk, port            own
//! source         server, account, tables             tidegate_mysql::check
//! sink           topics, rights, sizes               tidegate_sink::kafka::check, sizes
//! the task       is it still the one that began?     remembered
//! the binlog     behind where the task was           rehearsal
//! ```
//!
//! A start refuses by the same code what is an error here, and does not look at the names that are to be ignored: they silence warnings,
//! and an error is no less in the way for being known.

mod own;
mod report;
mod sink;
mod sizes;
mod tables;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use self::report::Report;
use self::report::{Found, TableLine};
use self::sink::look_at_sink;
pub use self::sink::{of_differing, of_old_brokers};
use self::tables::{
    check_excludes, check_keys, check_patterns, check_shards, look_at_named_topics, look_at_tables, place_of_table,
};
use crate::checkpoint::{Checkpoint, SourceIdentity};
use crate::config::{SourceOptions, Task};
use crate::error::Error;
use crate::hints;
use crate::items;
use crate::open;
use crate::pipeline::route::{RouteError, plan_transform, rule_of, topic_of_table};
use crate::rehearsal::{self, Ended};
use crate::remembered::{self, Accept, Difference, TopicLooks};
use crate::source::mysql::{self, MysqlSource};
use crate::source::{self, SourceError};
use own::State;
use tidegate_model::words::counted;
use tidegate_model::{Table, TableName};
use tidegate_mysql::MysqlError;
use tidegate_mysql::catalog::CatalogError;
use tidegate_mysql::check::Severity;
use tidegate_sink::kafka::BrokerInfo;

/// Connects to both sides and looks at all that a run would need. Warnings of `ignored` items, and of those that the task file
/// ignores, count for nothing.
pub fn check(task: &Task, ignored: &[&'static str]) -> Result<Report, Error> {
    let mut report = Report::new(task, ignored);
    let runtime = open::runtime()?;
    let state = own::check_state(task, &mut report);
    let is_running = matches!(state, State::Running(_));
    let stored = match state {
        State::Stored(stored) | State::Running(stored) => stored,
        State::Unusable => None,
    };
    own::check_http(task, is_running, &mut report);
    own::check_threads(task, &mut report);
    let seen = look_at_source(task, &runtime, is_running, stored.as_ref(), &mut report);
    let mut topics = look_at_tables(task, &seen, stored.as_ref(), &mut report);

    let has_state = stored.is_some();
    let stored = match (stored, &seen.identity) {
        (Some(stored), Some(identity)) => stored.of_source(identity, &task.state).map(Some),
        (stored, _) => Ok(stored),
    };
    // Of a task without a state, no comparison reads the source.
    let stored = match stored {
        Ok(stored) => Some(stored.unwrap_or_else(|| Checkpoint::new(&task.name, SourceIdentity::GtidDomain))),
        Err(error) => {
            report.fail("state", task.places.place("source"), &error.into());
            None
        }
    };
    if let Some(stored) = &stored {
        // What this refuses has been said above, or is about a table that is not there now.
        topics.extend(remembered::topics_in_use(stored, task, &seen.tables).unwrap_or_default());
        check_shards(task, &seen.tables, stored, &mut report);
    }
    if seen.identity.is_none() {
        topics.extend(look_at_named_topics(task, &mut report));
    }
    // A side that does not answer hides nothing of the other one.
    let sink = look_at_sink(task, topics, &seen, &mut report);
    let brokers = sink.as_ref().and_then(Option::as_ref);
    check_keys(task, &seen.tables, brokers, &mut report);
    if let Some(stored) = &stored {
        let topics = topics_of(task, stored, &seen, sink.is_some(), &mut report);
        if let Err(error) = compare(stored, task, &seen, &topics, is_running, &mut report) {
            say_unless_known(task, &error, &mut report);
        }
    }
    look_at_rows(task, &seen, brokers, &mut report);
    // Who reads the binlog under the same number would be hung up on.
    let is_readable = !report.has_error_of(|item| !items::is_of_sink(item));
    if let Some(stored) = stored.filter(|_| has_state && !is_running && is_readable) {
        read_on(task, &stored, &runtime, &mut report);
    }
    report.found.sort_by_key(|found| std::cmp::Reverse(found.finding.severity));
    Ok(report)
}

/// What the source shows.
#[derive(Default)]
struct Seen {
    tables: Vec<Arc<Table>>,
    /// By table.
    rows: BTreeMap<TableName, u64>,
    /// None if it could not be looked at.
    identity: Option<SourceIdentity>,
    /// The zone of the server's clock.
    zone: String,
    otherwise: Option<Otherwise>,
}

/// Which servers they are that answer some expressions otherwise than is done here, and what of an expression they do.
type Otherwise = (&'static str, fn(&str) -> Vec<(&'static str, &'static str)>);

fn look_at_source(
    task: &Task,
    runtime: &tokio::runtime::Runtime,
    is_running: bool,
    stored: Option<&Checkpoint>,
    report: &mut Report,
) -> Seen {
    let options = match &task.source {
        SourceOptions::Mysql(options) => options,
        SourceOptions::BinlogFiles(_) | SourceOptions::Parquet(_) => {
            return match source::open(task, runtime, None) {
                Ok(source) => {
                    report.passed.push(("source", "the files can be read".to_owned()));
                    let (tables, identity) = (source.tables().to_vec(), Some(source.identity()));
                    Seen { tables, identity, ..Seen::default() }
                }
                Err(error) => {
                    report.fail("source", task.places.place("source"), &error.into());
                    Seen::default()
                }
            };
        }
    };
    let look = match mysql::look(task, options, runtime, stored) {
        Ok(look) => look,
        Err(error) => {
            let item = if matches!(error, SourceError::NamedTwice { .. }) { "tables" } else { "source" };
            let path = match (&error, item) {
                (SourceError::Secret(_), _) => "source.password",
                (_, "tables") => "tables",
                _ => "source.mysql",
            };
            report.fail(item, task.places.place(path), &error.into());
            return Seen::default();
        }
    };
    report.passed.push(("source", format!("{} answers at {}:{}", look.server(), options.host, options.port)));
    for finding in look.findings().into_iter().chain(look.unseen()) {
        // What is of the task's making has a place in its file.
        let place = match finding.item {
            "server_id" if finding.found.starts_with("the task") => task.places.place("source.server_id"),
            "connections" => task.places.place("full_load.parallel"),
            _ => None,
        };
        report.found.push(Found { finding, place });
    }
    // A run that has the state folder has the lock as well.
    if let Some(error) = look.other_run(task).filter(|_| !is_running) {
        report.fail("other_run", task.places.place("task"), &MysqlError::RunLock(error).into());
    }
    for error in look.errors() {
        let name = match error {
            CatalogError::Missing { name, .. } | CatalogError::NoTable { name, .. } => Some(name),
            CatalogError::UnknownType { table, .. } | CatalogError::Labels { table, .. } => Some(table),
            CatalogError::Query(_) => None,
        };
        let place = name.and_then(|name| place_of_table(task, name, "table"));
        report.say(
            Severity::Error,
            "tables",
            place,
            error.to_string(),
            items::wanted("tables"),
            &hints::of_catalog(error).unwrap_or_else(|| items::to_do("tables").to_owned()),
        );
    }
    if !look.catalog_tables().is_empty() {
        report.passed.push(("tables", format!("{} selected", counted(look.catalog_tables().len() as u64, "table"))));
    } else if look.errors().is_empty() && !stored.is_some_and(Checkpoint::has_begun) {
        report.fail("tables", task.places.place("tables"), &SourceError::NoTables.into());
    }
    check_patterns(task, &look.tables(), report);
    check_excludes(task, look.needless(), report);
    let rows = look.catalog_tables().iter().map(|table| (table.table.name().clone(), table.estimated_rows));
    Seen {
        tables: look.tables(),
        rows: rows.collect(),
        identity: Some(look.identity()),
        zone: look.time_zone().to_owned(),
        otherwise: match (look.is_mariadb(), look.is_mysql_since_9()) {
            (true, _) => Some(("on MariaDB", tidegate_sql::on_mariadb)),
            (false, false) => Some(("before MySQL 9", tidegate_sql::before_mysql_9)),
            (false, true) => None,
        },
    }
}

/// The topics of the task as they are; none if they cannot be had, which is said.
fn topics_of(task: &Task, stored: &Checkpoint, seen: &Seen, sink_answers: bool, report: &mut Report) -> TopicLooks {
    if !sink_answers {
        return TopicLooks::new();
    }
    match open::topics_as_they_are(stored, task, &seen.tables) {
        Ok(topics) => topics,
        Err(error) => {
            say_unless_known(task, &error, report);
            TopicLooks::new()
        }
    }
}

/// Of a table or a topic that cannot be used, the same has been said where it was looked at.
fn say_unless_known(task: &Task, error: &Error, report: &mut Report) {
    let is_of_topic = match error {
        Error::Sink(error) | Error::Route(RouteError::Sink(error)) => error.of_topic().is_some(),
        error => matches!(error, Error::Route(_)),
    };
    let is_known = |found: &Found| matches!(found.finding.item, "topics" | "tables");
    if !(is_of_topic && report.found.iter().any(is_known)) {
        report.fail("sink", task.places.place("sink"), error);
    }
}

/// What the task would be refused for that has left this state.
fn compare(
    stored: &Checkpoint,
    task: &Task,
    seen: &Seen,
    topics: &TopicLooks,
    is_running: bool,
    report: &mut Report,
) -> Result<(), Error> {
    for Difference { accept, what, means } in remembered::compare(stored, task, &seen.tables, topics)? {
        // Which names mean the same table, only the server tells.
        if accept == Some(Accept::Tables) && seen.identity.is_none() {
            continue;
        }
        // A run that is at work may not have saved yet what it has written to.
        if is_running && accept == Some(Accept::NonEmptyTopics) {
            continue;
        }
        let item = if accept == Some(Accept::NonEmptyTopics) { "non_empty_topics" } else { "changed_task" };
        report.say(
            if accept.is_some() { Severity::Error } else { Severity::Info },
            item,
            None,
            what,
            items::wanted(item),
            &match accept {
                Some(name) => {
                    let command = if is_running { "apply" } else { "run" };
                    format!(
                        "{}; or go on with `tidegate {command} --accept {}`, and then: {means}",
                        items::to_do(item),
                        name.name()
                    )
                }
                None => format!("nothing: {means}"),
            },
        );
    }
    Ok(())
}

/// Lists tables with their topics, and looks whether their rows get through.
fn look_at_rows(task: &Task, seen: &Seen, brokers: Option<&BrokerInfo>, report: &mut Report) {
    let mut outputs = Vec::new();
    for table in &seen.tables {
        let (Ok(transform), Ok(topic)) = (plan_transform(&task.tables, table), topic_of_table(task, table.name()))
        else {
            continue;
        };
        let output = transform.output().clone();
        let facts = brokers.and_then(|brokers| brokers.topics.iter().find(|facts| facts.name == topic));
        report.tables.push(TableLine {
            table: table.name().to_string(),
            key: output.key().iter().map(|&index| output.columns()[index].name.clone()).collect(),
            rows: seen.rows.get(table.name()).copied(),
            partitions: facts.and_then(|facts| facts.partitions),
            topic_exists: brokers.is_none() || facts.is_some_and(|facts| facts.exists),
            topic: topic.clone(),
        });
        outputs.push((output, topic, &rule_of(task, table.name()).too_large));
    }
    if let Some(brokers) = brokers {
        let sent = outputs.iter().map(|(output, topic, too_large)| sizes::Sent { output, topic, too_large });
        let sent: Vec<sizes::Sent<'_>> = sent.collect();
        sizes::check(task, &sent, brokers, report);
    }
}

fn read_on(task: &Task, stored: &Checkpoint, runtime: &tokio::runtime::Runtime, report: &mut Report) {
    /// What is found later than that, the run finds.
    const TIME: Duration = Duration::from_secs(5);
    let SourceOptions::Mysql(options) = &task.source else { return };
    let ended = MysqlSource::open(task, options, runtime, Some(stored))
        .map_err(Error::from)
        .and_then(|source| rehearsal::read_on(&source, task, stored, runtime, Some(TIME)));
    match ended.map(|(ended, _)| ended) {
        Ok(Ended::NotTried) => {}
        Ok(Ended::At(place)) => {
            report.passed.push(("history", format!("the binlog can be read on, which was tried up to {place}")));
        }
        Ok(Ended::Turn(place, table)) => {
            let passed = format!(
                "the binlog can be read on, which was tried up to {place}, where table {table} is loaded first, if the account may see it"
            );
            report.passed.push(("history", passed));
        }
        Ok(Ended::Stopped(place, error)) => report.say(
            Severity::Error,
            "history",
            None,
            format!("the task would stop when it reads on from {place}: {error}"),
            items::wanted("history"),
            &error.hint().unwrap_or_else(|| items::to_do("history").to_owned()),
        ),
        Err(error) => report.fail("history", None, &error),
    }
}
