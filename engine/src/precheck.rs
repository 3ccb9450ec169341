//! Would it run? Answered before it runs.
//!
//! Every check is made, whatever the ones before it found, so that one look shows all there is to do. What would stop the
//! task is an error; what has a consequence that somebody should know is a warning.

use std::collections::BTreeSet;
use std::fmt;

use crate::config::{SourceOptions, Task};
use crate::error::Error;
use crate::pipeline::route::plan_transform;
use crate::source::mysql::connection::{Finding, Severity};
use crate::source::{Source, mysql};
use crate::task;

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
    let tables = match &task.source {
        SourceOptions::Mysql(options) => match mysql::look(task, options, &runtime) {
            Ok(look) => {
                found.passed.push(format!(
                    "source: {} answers, {} tables selected",
                    look.server(),
                    look.tables().len()
                ));
                found.findings.extend(look.findings());
                found.unseen.extend(look.unseen());
                look.tables()
            }
            Err(error) => {
                found.fail("source", &error);
                Vec::new()
            }
        },
        SourceOptions::BinlogFiles(_) | SourceOptions::Parquet(_) => {
            match Source::open(&std::sync::Arc::new(task.clone()), &runtime, None) {
                Ok(source) => {
                    found.passed.push("source: the files can be read".to_owned());
                    source.tables().to_vec()
                }
                Err(error) => {
                    found.fail("source", &error);
                    Vec::new()
                }
            }
        }
    };
    let mut topics = BTreeSet::new();
    for table in &tables {
        match plan_transform(&task.tables, table) {
            Ok(_) => {}
            Err(error) => found.fail("tables", &crate::pipeline::route::RouteError::from(error).into()),
        }
        let name = table.name();
        let rule = task.tables.matches(&name.database, &name.table).expect("the source has captured tables only");
        for template in [Some(&rule.topic), task.ddl_topic.as_ref()].into_iter().flatten() {
            match template.render(&name.database, &name.table) {
                Ok(topic) => {
                    topics.insert(topic);
                }
                Err(error) => {
                    let error = crate::pipeline::route::RouteError::Topic { table: name.clone(), error };
                    found.fail("tables", &error.into());
                }
            }
        }
    }
    match task::check_sink(task, &Vec::from_iter(topics)) {
        Ok(Some((brokers, problems))) => {
            found.passed.push(format!("sink: {} brokers answer", brokers.brokers.len()));
            problems.into_iter().for_each(|problem| found.fail("topics", &problem.into()));
        }
        Ok(None) => {}
        Err(error) => found.fail("sink", &error),
    }
    found.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(found)
}

impl Findings {
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
