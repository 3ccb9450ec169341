//! Would it run? Answered before it runs.
//!
//! Every check is made, whatever the ones before it found, so that one look shows all there is to do. What would stop the
//! task is an error; what has a consequence that somebody should know is a warning.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::checkpoint::{self, Checkpoint, SourceIdentity};
use crate::config::{SinkOptions, SourceOptions, Task};
use crate::error::Error;
use crate::pipeline::route::{
    Keyless, RouteError, SCATTERED_HINT, check_compacted, check_table, ddl_topic_of_table, plan_partitioner,
    topic_of_table,
};
use crate::remembered::{self, Accept, Difference};
use crate::shards;
use crate::source::{Source, mysql};
use crate::task::{self, PRETENDED_PARTITIONS};
use tidegate_format::key::key_columns;
use tidegate_model::Table;
use tidegate_mysql::MysqlError;
use tidegate_mysql::check::{Finding, Severity};
use tidegate_sink::PretendedTopics;

/// What the checks found, the worst first.
#[derive(Debug)]
pub struct Findings {
    findings: Vec<Finding>,
    /// What was looked at and found in order.
    passed: Vec<String>,
    /// What could not be looked at, and whom that concerns.
    unseen: Vec<&'static str>,
}

impl Findings {
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for passed in &self.passed {
            writeln!(f, "ok       {passed}")?;
        }
        for unseen in &self.unseen {
            writeln!(f, "unseen   {unseen}")?;
        }
        for finding in &self.findings {
            let severity = match finding.severity {
                Severity::Error => "error  ",
                Severity::Warning => "warning",
            };
            writeln!(f, "{severity}  {finding}")?;
            writeln!(f, "         {}", finding.hint)?;
        }
        Ok(())
    }
}

/// Connects to both sides and looks at server, privileges, tables, filters and topics.
pub fn check(task: &Task) -> Result<Findings, Error> {
    let mut found = Findings { findings: Vec::new(), passed: Vec::new(), unseen: Vec::new() };
    let runtime = task::runtime()?;
    let (tables, identity) = match &task.source {
        SourceOptions::Mysql(options) => match mysql::look(task, options, &runtime) {
            Ok(look) => {
                found.passed.push(format!(
                    "source: {} answers, {} tables selected",
                    look.server(),
                    look.tables().len()
                ));
                found.findings.extend(look.findings());
                found.unseen.extend(look.unseen());
                if let Some(error) = look.other_run(task) {
                    found.fail("task", &MysqlError::RunLock(error).into());
                }
                (look.tables(), Some(look.identity()))
            }
            Err(error) => {
                found.fail("source", &error);
                (Vec::new(), None)
            }
        },
        SourceOptions::BinlogFiles(_) | SourceOptions::Parquet(_) => {
            match Source::open(&Arc::new(task.clone()), &runtime, None) {
                Ok(source) => {
                    found.passed.push("source: the files can be read".to_owned());
                    (source.tables().to_vec(), Some(source.identity()))
                }
                Err(error) => {
                    found.fail("source", &error);
                    (Vec::new(), None)
                }
            }
        }
    };
    let mut topics = BTreeSet::new();
    for table in &tables {
        match check_table(task, table) {
            Err(error) => found.fail("tables", &error.into()),
            Ok(()) => found.findings.extend(key_findings(task, table)),
        }
        let row_topic = topic_of_table(task, table.name()).map(Some);
        for topic in [row_topic, ddl_topic_of_table(task, table.name())] {
            match topic {
                Ok(topic) => topics.extend(topic),
                Err(error) => found.fail("tables", &error.into()),
            }
        }
    }
    let stored = checkpoint::look(&task.state, &task.name).and_then(|stored| match (stored, &identity) {
        (Some(stored), Some(identity)) => stored.of_source(identity, &task.state).map(Some),
        (stored, _) => Ok(stored),
    });
    // Of a task without a state, no comparison reads the source.
    let stored = stored.map(|stored| stored.unwrap_or_else(|| Checkpoint::new(&task.name, SourceIdentity::GtidDomain)));
    if let Ok(stored) = &stored {
        // What this refuses has been said above, or is about a table that is not there now.
        topics.extend(remembered::topics_in_use(stored, task, &tables).unwrap_or_default());
    }
    if let Ok(stored) = &stored {
        for mismatch in shards::mismatches(task, &tables) {
            let is_refused = shards::is_refused(&mismatch, task, stored);
            found.findings.push(Finding {
                severity: if is_refused { Severity::Error } else { Severity::Warning },
                check: "tables",
                found: format!("not of one kind: {mismatch}"),
                expected: "the same columns and keys under one name".to_owned(),
                hint: shards::HINT.to_owned(),
            });
        }
    }
    for shared in shards::shared_names(task, &tables) {
        found.findings.push(Finding {
            severity: Severity::Warning,
            check: "tables",
            found: format!("under one name: {shared}"),
            expected: "a name for each".to_owned(),
            hint: shards::meaning(task),
        });
    }
    let sink_answers = match task::check_sink(task, &Vec::from_iter(topics)) {
        Ok(Some((brokers, problems))) => {
            found.passed.push(format!("sink: {} brokers answer", brokers.brokers.len()));
            problems.into_iter().for_each(|problem| found.fail("topics", &problem.into()));
            found.check_compacted(task, &tables, &brokers.compacted);
            true
        }
        Ok(None) => true,
        Err(error) => {
            found.fail("sink", &error);
            false
        }
    };
    match stored {
        Ok(stored) if sink_answers && identity.is_some() => {
            if let Err(error) = found.compare(&stored, task, &tables) {
                found.fail("sink", &error);
            }
        }
        Ok(_) => {}
        Err(error) => found.fail("state", &error.into()),
    }
    // A name that cannot be made is in the way of rows, topic and statements alike.
    found.findings.dedup();
    found.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(found)
}

/// What keys do not do for a table that can be sent.
fn key_findings(task: &Task, table: &Arc<Table>) -> Option<Finding> {
    let name = table.name();
    let policy = task.tables.matches(&name.database, &name.table)?.key.as_ref()?;
    // It has been planned.
    let columns = key_columns(policy, table).ok()?;
    let partitioner = plan_partitioner(task, table, 1).ok()?;
    let (found, expected, hint) = if columns.is_empty() {
        let found =
            format!("table {name} has no primary key and no unique key of NOT NULL columns: its messages have no key");
        (found, "a key", "name columns that tell its rows apart, key: {columns: [...]}, or give the table a key")
    } else if policy.columns.is_some()
        && !table.unique_keys().iter().any(|key| key.columns.iter().all(|column| columns.contains(column)))
    {
        let found = format!(
            "table {name}: rows may share the key of their messages, which holds no primary key and no unique key"
        );
        let hint = "a topic that is compacted keeps one of them, and a tombstone takes all; name all columns of a key of the table";
        (found, "columns that tell rows apart", hint)
    } else if let Some(column) = partitioner.scatters_keys() {
        let found = format!(
            "table {name}: `partition` goes by column {column}, which is not in the key of its messages: those of one key may be in \
             several partitions"
        );
        (found, "columns of the key", SCATTERED_HINT)
    } else {
        return None;
    };
    let (expected, hint) = (expected.to_owned(), hint.to_owned());
    Some(Finding { severity: Severity::Warning, check: "key", found, expected, hint })
}

impl Findings {
    /// Messages without a key, where brokers would refuse them.
    fn check_compacted(&mut self, task: &Task, tables: &[Arc<Table>], compacted: &BTreeMap<String, String>) {
        for table in tables {
            let Ok(topic) = topic_of_table(task, table.name()) else { continue };
            let Some(policy) = compacted.get(&topic) else { continue };
            if let Err(error) = check_compacted(task, table, &topic, policy) {
                self.fail("topics", &error.into());
            }
        }
        let mut ddl_topics: Vec<String> =
            tables.iter().filter_map(|table| ddl_topic_of_table(task, table.name()).ok().flatten()).collect();
        ddl_topics.sort();
        ddl_topics.dedup();
        for topic in ddl_topics {
            if let Some(policy) = compacted.get(&topic) {
                let error = RouteError::Compacted { topic, policy: policy.clone(), what: Keyless::Marks };
                self.fail("topics", &error.into());
            }
        }
    }

    /// What the task would be refused for that has left this state.
    fn compare(&mut self, stored: &Checkpoint, task: &Task, tables: &[Arc<Table>]) -> Result<(), Error> {
        let topics = match &task.sink {
            SinkOptions::Kafka(_) => {
                task::look_at_topics(stored, task, tables, &*task::open_sink(task)?.topics(), &|| false)?
            }
            // A file would be made.
            SinkOptions::File(_) | SinkOptions::Null => {
                task::look_at_topics(stored, task, tables, &PretendedTopics(PRETENDED_PARTITIONS), &|| false)?
            }
        };
        for Difference { accept, what, means } in remembered::compare(stored, task, tables, &topics)? {
            let (check, found, expected) = match accept {
                Some(Accept::NonEmptyTopics) => ("sink", "not empty", "topics that nobody has written to"),
                _ => ("task", "not what it was", "the one that began"),
            };
            self.findings.push(Finding {
                severity: if accept.is_some() { Severity::Error } else { Severity::Warning },
                check,
                found: format!("{found}: {what}"),
                expected: expected.to_owned(),
                hint: match accept {
                    Some(name) => format!("{means}; `tidegate run --accept {}` goes on nevertheless", name.name()),
                    None => means.to_owned(),
                },
            });
        }
        Ok(())
    }

    fn fail(&mut self, check: &'static str, error: &Error) {
        self.findings.push(Finding {
            severity: Severity::Error,
            check,
            found: format!("not usable: {error}"),
            expected: "one that is".to_owned(),
            hint: error.hint().unwrap_or_default(),
        });
    }
}
