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
mod sizes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::{Checkpoint, SourceIdentity};
use crate::config::{Location, NameError, Problem, SourceOptions, TableRule, Task};
use crate::error::Error;
use crate::items;
use crate::pipeline::route::{
    Keyless, RouteError, SCATTERED_HINT, check_compacted, check_table, ddl_topic_of_table, dead_letter_topic_of_table,
    plan_partitioner, plan_transform, rule_of, topic_of_table,
};
use crate::rehearsal::{self, Ended};
use crate::remembered::{self, Accept, Difference};
use crate::shards;
use crate::source::mysql::{self, MysqlSource};
use crate::source::{self, SourceError};
use crate::task;
use own::State;
pub use report::Report;
use report::{Found, TableLine, counted};
use tidegate_format::key::key_columns;
use tidegate_format::transform::TransformError;
use tidegate_model::{Table, TableName};
use tidegate_mysql::MysqlError;
use tidegate_mysql::catalog::CatalogError;
use tidegate_mysql::check::{Finding, Severity, list_names};
use tidegate_mysql::connection::quote_identifier;
use tidegate_sink::kafka::{Ability, BrokerInfo, Lack, OldBrokers};
use tidegate_sink::{Differing, SinkError};

/// Connects to both sides and looks at all that a run would need. Warnings of `ignored` items, and of those that the task file
/// ignores, count for nothing.
pub fn check(task: &Task, ignored: &[&'static str]) -> Result<Report, Error> {
    let mut report = Report::new(task, ignored);
    let runtime = task::runtime()?;
    let state = own::check_state(task, &mut report);
    let is_running = matches!(state, State::Running(_));
    let has_begun = match &state {
        State::Stored(stored) | State::Running(stored) => stored.as_ref().is_some_and(Checkpoint::has_begun),
        State::Unusable => false,
    };
    own::check_http(task, is_running, &mut report);
    let seen = look_at_source(task, &runtime, is_running, has_begun, &mut report);
    let mut topics = look_at_tables(task, &seen, &mut report);

    let stored = match state {
        State::Stored(stored) | State::Running(stored) => stored,
        State::Unusable => None,
    };
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
    let brokers = look_at_sink(task, topics, &seen, &mut report);
    check_keys(task, &seen.tables, brokers.as_ref().and_then(Option::as_ref), &mut report);
    if let (Some(stored), Some(brokers), true) = (&stored, &brokers, seen.identity.is_some()) {
        if let Err(error) = compare(stored, task, &seen.tables, is_running, &mut report) {
            // Of a table or a topic that cannot be used, it says once more what is known.
            let is_of_topic = match &error {
                Error::Sink(error) | Error::Route(RouteError::Sink(error)) => error.of_topic().is_some(),
                error => matches!(error, Error::Route(_)),
            };
            let is_known = |found: &Found| matches!(found.finding.item, "topics" | "tables");
            let is_said = is_of_topic && report.found.iter().any(is_known);
            if !is_said {
                report.fail("sink", task.places.place("sink"), &error);
            }
        }
        look_at_rows(task, &seen, brokers.as_ref(), &mut report);
    }
    // Who reads the binlog under the same number would be hung up on.
    if let Some(stored) = stored.filter(|_| has_state && !is_running && !report.has_errors()) {
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
}

fn look_at_source(
    task: &Task,
    runtime: &tokio::runtime::Runtime,
    is_running: bool,
    has_begun: bool,
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
                    report.fail("source", task.places.place("source"), &error);
                    Seen::default()
                }
            };
        }
    };
    let look = match mysql::look(task, options, runtime, has_begun) {
        Ok(look) => look,
        Err(error) => {
            let item = if matches!(error, Error::Source(SourceError::NamedTwice { .. })) { "tables" } else { "source" };
            let path = match (&error, item) {
                (Error::Secret(_), _) => "source.password",
                (_, "tables") => "tables",
                _ => "source.mysql",
            };
            report.fail(item, task.places.place(path), &error);
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
            CatalogError::UnknownType { table, .. } => Some(table),
            CatalogError::Query(_) => None,
        };
        let place = name.and_then(|name| place_of_table(task, name, "table"));
        report.say(
            Severity::Error,
            "tables",
            place,
            error.to_string(),
            items::wanted("tables"),
            &error.hint().unwrap_or_else(|| items::to_do("tables").to_owned()),
        );
    }
    if !look.catalog_tables().is_empty() {
        report.passed.push(("tables", format!("{} selected", counted(look.catalog_tables().len(), "table"))));
    } else if look.errors().is_empty() {
        report.fail("tables", task.places.place("tables"), &SourceError::NoTables.into());
    }
    check_patterns(task, &look.tables(), report);
    let rows = look.catalog_tables().iter().map(|table| (table.table.name().clone(), table.estimated_rows));
    Seen { tables: look.tables(), rows: rows.collect(), identity: Some(look.identity()) }
}

/// Patterns that select nothing, beside others that do.
fn check_patterns(task: &Task, tables: &[Arc<Table>], report: &mut Report) {
    if tables.is_empty() {
        return;
    }
    let used: Vec<&TableRule> = tables.iter().map(|table| rule_of(task, table.name())).collect();
    let exact: BTreeSet<String> = task
        .tables
        .exact_names()
        .filter_map(|(database, table)| task.tables.matches(database, table))
        .map(|rule| rule.name.clone())
        .collect();
    for rule in task.tables.rules().filter(|rule| !exact.contains(&rule.name)) {
        if !used.iter().any(|used| std::ptr::eq(*used, rule)) {
            report.say(
                Severity::Warning,
                "tables",
                task.places.place_in_entry(rule.at, "table"),
                format!("the pattern {} selects no table", rule.name),
                "a table that it selects, now or later",
                "correct the pattern: an entry before it, or one that excludes, may have taken all of them; a table that is made later \
                 and matches is taken up",
            );
        }
    }
}

fn place_of_table(task: &Task, table: &TableName, key: &str) -> Option<String> {
    task.places.place_in_entry(task.tables.matches(&table.database, &table.table)?.at, key)
}

/// Whether each table can be sent, and the topics that they go to.
fn look_at_tables(task: &Task, seen: &Seen, report: &mut Report) -> BTreeSet<String> {
    let mut topics = BTreeSet::new();
    for table in &seen.tables {
        let name = table.name();
        if let Err(error) = check_table(task, table) {
            let key = match &error {
                RouteError::Transform(TransformError::Sql { clause: "where", .. }) => "where",
                RouteError::Transform(TransformError::Columns(_)) => "columns",
                RouteError::Transform(_) => "select",
                RouteError::Partition(_) | RouteError::Scattered { .. } => "partition",
                RouteError::Key(_) | RouteError::NoTombstones { .. } => "key",
                RouteError::Name { .. } => "as",
                RouteError::ChunkBy { .. } => "chunk_by",
                RouteError::Cut(_) | RouteError::LettersAmongRows { .. } => "too_large",
                _ => "table",
            };
            report.fail("tables", place_of_table(task, name, key), &error.into());
        }
        let mut take = |topic: Result<Option<String>, RouteError>, place: Option<String>, to_do: &str| match topic {
            Ok(topic) => topics.extend(topic),
            // Without a name there is no topic, which has been said.
            Err(RouteError::Name { error: NameError::Empty(_), .. }) => {}
            Err(error) => {
                let wanted = "a name of at most 249 letters, digits, dots, underscores and hyphens";
                report.say(Severity::Error, "topics", place, error.to_string(), wanted, to_do);
            }
        };
        let to_do = format!("write a topic for the table: {}", entry_with_topic(name, '.'));
        take(topic_of_table(task, name).map(Some), place_of_table(task, name, "topic"), &to_do);
        let place = place_of_table(task, name, "too_large");
        take(
            dead_letter_topic_of_table(task, name),
            place,
            "write another topic: too_large: {dead_letter: {topic: ...}}",
        );
        take(ddl_topic_of_table(task, name), task.places.place("sink.ddl_topic"), "write another sink.ddl_topic");
    }
    topics
}

/// The entry of a table with a topic that Kafka takes.
fn entry_with_topic(table: &TableName, between: char) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let name = format!("{}{between}{}", table.database, table.table);
    let topic: String = name.chars().map(allowed).take(200).collect();
    let quoted = |name: &str| match name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '-')) {
        true => name.to_owned(),
        false => quote_identifier(name),
    };
    format!("{{table: \"{}.{}\", topic: {topic}}}", quoted(&table.database), quoted(&table.table))
}

/// Tables that have one name where they go.
fn check_shards(task: &Task, tables: &[Arc<Table>], stored: &Checkpoint, report: &mut Report) {
    let place = || task.places.place("tables");
    for mismatch in shards::mismatches(task, tables) {
        let is_refused = shards::is_refused(&mismatch, task, stored);
        let severity = if is_refused { Severity::Error } else { Severity::Warning };
        report.say(severity, "shards", place(), mismatch.to_string(), items::wanted("shards"), shards::HINT);
    }
    for shared in shards::shared_names(task, tables) {
        let to_do = shards::meaning(task);
        report.say(Severity::Warning, "shared_names", place(), shared, items::wanted("shared_names"), &to_do);
    }
    for shared in shards::shared_topics(task, tables) {
        let (wanted, to_do) = (items::wanted("shared_topics"), items::to_do("shared_topics"));
        report.say(Severity::Warning, "shared_topics", place(), shared, wanted, to_do);
    }
}

/// What keys do not do for tables that can be sent, the worst of each.
fn check_keys(task: &Task, tables: &[Arc<Table>], brokers: Option<&BrokerInfo>, report: &mut Report) {
    let facts = brokers.iter().flat_map(|brokers| &brokers.topics);
    let compacted: BTreeMap<&str, &str> =
        facts.filter_map(|facts| Some((&*facts.name, facts.compacted.as_deref()?))).collect();
    // What is wrong with a topic is so for each table that goes there.
    let mut refused: BTreeMap<String, (Option<String>, RouteError)> = BTreeMap::new();
    let mut ddl_topics = BTreeSet::new();
    for table in tables.iter().filter(|table| check_table(task, table).is_ok()) {
        let name = table.name();
        ddl_topics.extend(ddl_topic_of_table(task, name).ok().flatten());
        let Ok(topic) = topic_of_table(task, name) else { continue };
        let policy = compacted.get(&*topic);
        match policy.map_or(Ok(()), |policy| check_compacted(task, table, &topic, policy)) {
            Ok(()) => check_key(task, table, report),
            Err(error) => {
                let place = match &error {
                    RouteError::Scattered { .. } => place_of_table(task, name, "partition"),
                    RouteError::Compacted { what: Keyless::Marks, .. } => task.places.place("incremental.ddl"),
                    _ => place_of_table(task, name, "key"),
                };
                refused.insert(error.to_string(), (place, error));
            }
        }
    }
    for topic in ddl_topics {
        if let Some(policy) = compacted.get(&*topic) {
            let error = RouteError::Compacted { policy: (*policy).to_owned(), topic, what: Keyless::Marks };
            refused.insert(error.to_string(), (task.places.place("sink.ddl_topic"), error));
        }
    }
    for (place, error) in refused.into_values() {
        report.fail("topics", place, &error.into());
    }
}

/// What the key of a table's messages does not do, or the key in them.
fn check_key(task: &Task, table: &Arc<Table>, report: &mut Report) {
    let (name, rule) = (table.name(), rule_of(task, table.name()));
    let Some(policy) = &rule.key else { return check_key_inside(task, table, rule, report) };
    // Both have been planned.
    let (Ok(columns), Ok(partitioner)) = (key_columns(policy, table), plan_partitioner(task, table, 1)) else { return };
    let is_of_rows = || table.unique_keys().iter().any(|key| key.columns.iter().all(|column| columns.contains(column)));
    let (key, found, to_do) = if columns.is_empty() {
        // Of a server's tables, that is an item of its own.
        if matches!(task.source, SourceOptions::Mysql(_)) {
            return;
        }
        let found =
            format!("table {name} has no primary key and no unique key of NOT NULL columns: its messages have no key");
        ("key", found, "name columns that tell its rows apart, key: {columns: [...]}")
    } else if policy.columns.is_some() && !is_of_rows() {
        let found = format!(
            "table {name}: rows may share the key of their messages, which holds no primary key and no unique key"
        );
        let to_do = "a topic that is compacted keeps one of them, and a tombstone takes all; name all columns of a key of the table";
        ("key", found, to_do)
    } else if let Some(column) = partitioner.scatters_keys() {
        let found = format!(
            "table {name}: `partition` goes by column {column}, which is not in the key of its messages: those of one key may be in \
             several partitions"
        );
        ("partition", found, SCATTERED_HINT)
    } else {
        return;
    };
    let place = place_of_table(task, name, key);
    report.say(Severity::Warning, "message_keys", place, found, items::wanted("message_keys"), to_do);
}

/// A table whose messages have no key of their own, and lose the one that the table has.
fn check_key_inside(task: &Task, table: &Arc<Table>, rule: &TableRule, report: &mut Report) {
    let Ok(transform) = plan_transform(&task.tables, table) else { return };
    if table.key().is_empty() || !transform.output().key().is_empty() {
        return;
    }
    let names: Vec<&str> = table.key().iter().map(|&index| &*table.columns()[index].name).collect();
    let list = if rule.columns.is_some() { "columns" } else { "select" };
    report.say(
        Severity::Warning,
        "key_left_out",
        place_of_table(task, table.name(), list),
        format!("`{list}` leaves out columns of the key of {}, which is {}", table.name(), names.join(", ")),
        items::wanted("key_left_out"),
        &format!(
            "add them to `{list}`: messages do not name a key without, and a consumer cannot tell which row has changed"
        ),
    );
}

/// The brokers, if there are any and they answer; `None` if the sink cannot be used.
fn look_at_sink(task: &Task, topics: BTreeSet<String>, seen: &Seen, report: &mut Report) -> Option<Option<BrokerInfo>> {
    own::check_file(task, report);
    let letters = seen.tables.iter().filter_map(|table| dead_letter_topic_of_table(task, table.name()).ok().flatten());
    let letters: BTreeSet<String> = letters.collect();
    match task::check_sink(task, &Vec::from_iter(topics), &Vec::from_iter(letters)) {
        Ok(Some((brokers, problems))) => {
            let verb = if brokers.brokers.len() == 1 { "answers" } else { "answer" };
            let release = brokers.release.map_or_else(String::new, |release| format!(" as Kafka {release}"));
            report.passed.push(("sink", format!("{} {verb}{release}", counted(brokers.brokers.len(), "broker"))));
            for finding in brokers.old.iter().flat_map(of_old_brokers) {
                report.found.push(Found { finding, place: None });
            }
            for finding in of_differing(&brokers.differing) {
                report.found.push(Found { finding, place: task.places.place("sink.create_topics") });
            }
            say_problems(task, problems, seen, report);
            Some(Some(brokers))
        }
        Ok(None) => Some(None),
        Err(error) => {
            let path = match &error {
                Error::Secret(_) | Error::Sink(SinkError::Refused { .. }) => "sink.security",
                Error::Sink(SinkError::NoToken { .. } | SinkError::TokenRefused { .. }) => "sink.security.oauth",
                _ => "sink.kafka",
            };
            report.fail("sink", task.places.place(path), &error);
            None
        }
    }
}

/// What comes of brokers that lack something that a task can do without.
pub fn of_old_brokers(old: &OldBrokers) -> Vec<Finding> {
    let release = old.release;
    let finding = |ability: &Ability| {
        let (severity, item, found) = match ability {
            Ability::Idempotence => (
                Severity::Warning,
                "idempotence",
                format!(
                    "the brokers speak as Kafka {release} and know no idempotence: messages stay in order and none is lost, but those on \
                     their way when a connection breaks may come twice"
                ),
            ),
            Ability::Settings => {
                (Severity::Info, "topic_settings", "the brokers do not tell the settings of topics".to_owned())
            }
            Ability::Identity => (
                Severity::Info,
                "topic_identity",
                "the brokers do not tell a topic from another one that has its name".to_owned(),
            ),
            _ => return None,
        };
        let (wanted, hint) = (items::wanted(item).to_owned(), items::to_do(item).to_owned());
        Some(Finding { severity, item, found, wanted, hint })
    };
    old.lack.iter().filter_map(finding).collect()
}

/// Topics that exist and are not as the task would make them: what many of them have is said once.
pub fn of_differing(differing: &[Differing]) -> Vec<Finding> {
    let mut alike: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Differing { topic, what } in differing {
        alike.entry(what).or_default().push(topic);
    }
    let finding = |(what, topics): (&str, Vec<&str>)| Finding {
        severity: Severity::Warning,
        item: "existing_topics",
        found: format!("topic{} {}: {what}", if topics.len() == 1 { "" } else { "s" }, list_names(&topics)),
        wanted: items::wanted("existing_topics").to_owned(),
        hint: items::to_do("existing_topics").to_owned(),
    };
    alike.into_iter().map(finding).collect()
}

/// What stands against sending to topics: what is wrong with many of them in the same words is said once.
fn say_problems(task: &Task, problems: Vec<SinkError>, seen: &Seen, report: &mut Report) {
    let mut alike: BTreeMap<String, Vec<SinkError>> = BTreeMap::new();
    for problem in problems {
        match &problem {
            SinkError::Lacking { lacks, release, .. } => {
                for &lack in lacks {
                    let place = match lack {
                        Lack::Headers => "sink.headers",
                        Lack::Zstd => "sink.options",
                        Lack::Offsets | Lack::Idempotence => "sink.kafka",
                    };
                    let found = format!("the brokers speak as Kafka {release}: they {lack}");
                    let (place, wanted) = (task.places.place(place), items::wanted("broker_version"));
                    report.say(Severity::Error, "broker_version", place, found, wanted, lack.hint());
                }
            }
            SinkError::Collision { topic, .. } => {
                let is_it = |table: &&Arc<Table>| topic_of_table(task, table.name()).is_ok_and(|name| name == *topic);
                let table = seen.tables.iter().find(is_it).map(|table| table.name());
                let hint = match table {
                    Some(table) => format!("write another topic for the table: {}", entry_with_topic(table, '-')),
                    None => problem.hint().unwrap_or_default().to_owned(),
                };
                let place = table.and_then(|table| place_of_table(task, table, "topic"));
                report.say(Severity::Error, "topics", place, problem.to_string(), items::wanted("topics"), &hint);
            }
            _ => match problem.of_topic() {
                Some((_, what)) => alike.entry(what).or_default().push(problem),
                None => report.fail("topics", task.places.place("sink"), &problem.into()),
            },
        }
    }
    for (what, problems) in alike {
        let path = match &problems[0] {
            SinkError::MissingTopic { .. } | SinkError::CreateTopic { .. } => "sink.create_topics",
            _ => "sink.topic",
        };
        let names: Vec<&str> = problems.iter().filter_map(|problem| Some(problem.of_topic()?.0)).collect();
        let topics = if names.len() == 1 { "topic" } else { "topics" };
        report.say(
            Severity::Error,
            "topics",
            task.places.place(path),
            format!("{topics} {}{what}", list_names(&names)),
            items::wanted("topics"),
            problems[0].hint().unwrap_or(items::to_do("topics")),
        );
    }
}

/// What the task would be refused for that has left this state.
fn compare(
    stored: &Checkpoint,
    task: &Task,
    tables: &[Arc<Table>],
    is_running: bool,
    report: &mut Report,
) -> Result<(), Error> {
    let topics = task::topics_as_they_are(stored, task, tables)?;
    for Difference { accept, what, means } in remembered::compare(stored, task, tables, &topics)? {
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
                    format!(
                        "{}; or go on with `tidegate run --accept {}`, and then: {means}",
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
        .and_then(|source| rehearsal::read_on(&source, task, stored, runtime, Some(TIME)));
    match ended.map(|(ended, _)| ended) {
        Ok(Ended::NotTried) => {}
        Ok(Ended::At(place)) => {
            report.passed.push(("history", format!("the binlog can be read on, which was tried up to {place}")));
        }
        Ok(Ended::Turn(place, table)) => {
            let passed = format!(
                "the binlog can be read on, which was tried up to {place}, where table {table} is loaded first"
            );
            report.passed.push(("history", passed));
        }
        Ok(Ended::Stopped(place, error)) => report.say(
            Severity::Error,
            "history",
            None,
            format!("the task would stop when it reads on from {place}: {error}"),
            items::wanted("history"),
            &match &error {
                Error::Route(RouteError::Transform(_)) => {
                    "write `where` and `select` so that they fit the table as it was there, and \
                    accept what follows (`tidegate run --accept filter,select`); or begin again with a full load"
                        .to_owned()
                }
                error => error.hint().unwrap_or_else(|| items::to_do("history").to_owned()),
            },
        ),
        Err(error) => report.fail("history", None, &error),
    }
}

impl Report {
    fn new(task: &Task, ignored: &[&'static str]) -> Report {
        let ignored = task.ignored_items.iter().chain(ignored).copied().collect();
        Report { task: Some(task.name.clone()), found: Vec::new(), passed: Vec::new(), tables: Vec::new(), ignored }
    }

    /// Of a task file that is refused, of which nothing else can be said.
    pub fn of_file(file: &str, problems: Vec<Problem>) -> Report {
        let mut report =
            Report { task: None, found: Vec::new(), passed: Vec::new(), tables: Vec::new(), ignored: Vec::new() };
        for Problem { at: Location { line, column }, message } in problems {
            let place = Some(format!("{file}:{line}:{column}"));
            let (wanted, to_do) = (items::wanted("task_file"), items::to_do("task_file"));
            report.say(Severity::Error, "task_file", place, message, wanted, to_do);
        }
        report
    }

    fn say(
        &mut self,
        severity: Severity,
        item: &'static str,
        place: Option<String>,
        found: String,
        wanted: &str,
        to_do: &str,
    ) {
        debug_assert!(items::named(item).is_ok(), "{item} is no item");
        let finding = Finding { severity, item, found, wanted: wanted.to_owned(), hint: to_do.to_owned() };
        self.found.push(Found { finding, place });
    }

    /// What a run would end with.
    fn fail(&mut self, item: &'static str, place: Option<String>, error: &Error) {
        let to_do = error.hint().unwrap_or_else(|| items::to_do(item).to_owned());
        self.say(Severity::Error, item, place, error.to_string(), items::wanted(item), &to_do);
    }
}
