//! What was found, as text and as JSON.
//!
//! ```text
//! ok       source: MySQL 9.7.4 answers at db.internal:3306
//!
//! table        key  rows      topic        partitions
//! shop.orders  id   about 12  shop.orders  3
//!
//! error    binlog_format: binlog_format is MIXED
//!          wanted: ROW
//!          to do:  SET GLOBAL binlog_format = 'ROW'; …
//! warning  tables: pattern shop.tmp_* selects no table
//!          place:  shop.yaml:5:5 (tables[1])
//!          …
//!
//! 1 error, 1 warning: the task would not run
//! ```

use std::fmt::{self, Write};

use serde_json::{Value, json};

use crate::config::{Location, Problem, Task};
use crate::error::Error;
use crate::items;
use tidegate_model::words::counted;
use tidegate_mysql::check::{Finding, Severity};

/// Tables that text lists before it counts the rest.
const TABLES_LISTED_MAX: usize = 100;

/// What the checks found, the worst first.
#[derive(Debug)]
pub struct Report {
    /// None of a task file that is refused.
    pub(super) task: Option<String>,
    pub(super) found: Vec<Found>,
    /// Items that were looked at and found in order, with what was seen.
    pub(super) passed: Vec<(&'static str, String)>,
    pub(super) tables: Vec<TableLine>,
    /// Items whose warnings count for nothing.
    pub(super) ignored: Vec<&'static str>,
}

#[derive(Debug)]
pub(super) struct Found {
    pub(super) finding: Finding,
    /// In the task file.
    pub(super) place: Option<String>,
}

/// A table, and what becomes of it.
#[derive(Debug)]
pub(super) struct TableLine {
    pub(super) table: String,
    /// Of its rows as they leave.
    pub(super) key: Vec<String>,
    /// The server's guess; none of a source that makes none.
    pub(super) rows: Option<u64>,
    pub(super) topic: String,
    /// None if nobody tells.
    pub(super) partitions: Option<u32>,
    pub(super) topic_exists: bool,
}

impl Report {
    pub(super) fn new(task: &Task, ignored: &[&'static str]) -> Report {
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

    pub(super) fn say(
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
    pub(super) fn fail(&mut self, item: &'static str, place: Option<String>, error: &Error) {
        let to_do = error.hint().unwrap_or_else(|| items::to_do(item).to_owned());
        self.say(Severity::Error, item, place, error.to_string(), items::wanted(item), &to_do);
    }

    /// Errors cannot be ignored: a run would stop at them.
    fn is_ignored(&self, finding: &Finding) -> bool {
        finding.severity != Severity::Error && self.ignored.contains(&finding.item)
    }

    fn count(&self, severity: Severity) -> usize {
        self.found.iter().filter(|found| found.finding.severity == severity && !self.is_ignored(&found.finding)).count()
    }

    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Whether something stands in the way whose item is one of these.
    pub(super) fn has_error_of(&self, is_one: impl Fn(&str) -> bool) -> bool {
        self.found.iter().any(|Found { finding, .. }| finding.severity == Severity::Error && is_one(finding.item))
    }

    pub fn json(&self) -> Value {
        let findings = self.found.iter().map(|Found { finding, place }| {
            json!({
                "item": finding.item,
                "level": level(finding.severity),
                "ignored": self.is_ignored(finding),
                "found": finding.found,
                "wanted": finding.wanted,
                "to_do": finding.hint,
                "place": place,
            })
        });
        let tables = self.tables.iter().map(|line| {
            json!({
                "table": line.table,
                "key": line.key,
                "rows_estimated": line.rows,
                "topic": line.topic,
                "partitions": line.partitions,
                "topic_exists": line.topic_exists,
            })
        });
        let items = items::all().map(|(name, wanted)| {
            let worst =
                self.found.iter().filter(|found| found.finding.item == name).map(|found| found.finding.severity);
            json!({ "item": name, "wanted": wanted, "level": worst.max().map(level) })
        });
        json!({
            "version": 1,
            "task": self.task,
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "findings": findings.collect::<Vec<_>>(),
            "passed": self.passed.iter().map(|(item, text)| json!({ "item": item, "found": text })).collect::<Vec<_>>(),
            "tables": tables.collect::<Vec<_>>(),
            "items": items.collect::<Vec<_>>(),
        })
    }

    fn write_tables(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tables.is_empty() {
            return Ok(());
        }
        let heading = ["table", "key", "rows", "topic", "partitions"].map(str::to_owned);
        let lines = self.tables.iter().take(TABLES_LISTED_MAX).map(|line| {
            let partitions = match (line.partitions, line.topic_exists) {
                (Some(count), true) => count.to_string(),
                (Some(count), false) => format!("{count}, to be made"),
                (None, true) => "not known".to_owned(),
                (None, false) => "to be made".to_owned(),
            };
            let key = if line.key.is_empty() { "none".to_owned() } else { line.key.join(", ") };
            let rows = line.rows.map_or_else(|| "not known".to_owned(), |rows| format!("about {rows}"));
            [line.table.clone(), key, rows, line.topic.clone(), partitions]
        });
        let lines: Vec<[String; 5]> = std::iter::once(heading).chain(lines).collect();
        let widths: [usize; 5] =
            std::array::from_fn(|index| lines.iter().map(|line| line[index].chars().count()).max().unwrap_or(0));
        f.write_char('\n')?;
        for line in lines {
            let cells: Vec<String> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        match self.tables.len().saturating_sub(TABLES_LISTED_MAX) {
            0 => Ok(()),
            more => writeln!(f, "and {more} more, which --json lists"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (item, passed) in &self.passed {
            writeln!(f, "ok       {item}: {passed}")?;
        }
        self.write_tables(f)?;
        f.write_char('\n')?;
        for Found { finding, place } in &self.found {
            if self.is_ignored(finding) {
                writeln!(f, "ignored  {}: {}", finding.item, indented(&finding.found))?;
                continue;
            }
            writeln!(f, "{:8} {}: {}", level(finding.severity), finding.item, indented(&finding.found))?;
            if let Some(place) = place {
                writeln!(f, "         place:  {place}")?;
            }
            writeln!(f, "         wanted: {}", indented(&finding.wanted))?;
            writeln!(f, "         to do:  {}", indented(&finding.hint))?;
        }
        let counts = match (self.count(Severity::Error), self.count(Severity::Warning)) {
            (0, 0) => return writeln!(f, "nothing stands in the way"),
            (0, warnings) => format!("{}: the task would run", counted(warnings as u64, "warning")),
            (errors, 0) => format!("{}: the task would not run", counted(errors as u64, "error")),
            (errors, warnings) => {
                format!(
                    "{}, {}: the task would not run",
                    counted(errors as u64, "error"),
                    counted(warnings as u64, "warning")
                )
            }
        };
        if !self.found.is_empty() {
            f.write_char('\n')?;
        }
        writeln!(f, "{counts}")
    }
}

/// Text of several lines, under its first.
fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n         ")
}

pub(super) fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let finding = |severity, item, found: &str| Finding {
            severity,
            item,
            found: found.to_owned(),
            wanted: "ROW".to_owned(),
            hint: "SET it".to_owned(),
        };
        let place = Some("t.yaml:5:5 (tables[0].select)".to_owned());
        Report {
            task: Some("shop".to_owned()),
            found: vec![
                Found { finding: finding(Severity::Error, "tables", "no column w\n | w\n | ^\n"), place },
                Found { finding: finding(Severity::Warning, "foreign_keys", "there are some"), place: None },
                Found { finding: finding(Severity::Warning, "keys", "there is none"), place: None },
            ],
            passed: vec![("source", "it answers".to_owned())],
            tables: vec![TableLine {
                table: "shop.orders".to_owned(),
                key: vec!["id".to_owned()],
                rows: Some(12),
                topic: "orders".to_owned(),
                partitions: Some(3),
                topic_exists: false,
            }],
            ignored: vec!["keys", "tables"],
        }
    }

    #[test]
    fn text_has_item_found_wanted_and_what_to_do() {
        let expected = "\
ok       source: it answers

table        key  rows      topic   partitions
shop.orders  id   about 12  orders  3, to be made

error    tables: no column w
          | w
          | ^
         place:  t.yaml:5:5 (tables[0].select)
         wanted: ROW
         to do:  SET it
warning  foreign_keys: there are some
         wanted: ROW
         to do:  SET it
ignored  keys: there is none

1 error, 1 warning: the task would not run
";
        assert_eq!(report().to_string(), expected);
    }

    #[test]
    fn json_says_the_same_and_errors_are_never_ignored() {
        let report = report();
        let json = report.json();
        assert!(report.has_errors());
        assert_eq!((json["errors"].as_u64(), json["warnings"].as_u64()), (Some(1), Some(1)));
        let ignored: Vec<_> = json["findings"].as_array().unwrap().iter().map(|finding| &finding["ignored"]).collect();
        assert_eq!(ignored, [&json!(false), &json!(false), &json!(true)]);
        assert_eq!(json["findings"][0]["place"], "t.yaml:5:5 (tables[0].select)");
        let item = |name: &str| json["items"].as_array().unwrap().iter().find(|item| item["item"] == name).cloned();
        assert_eq!(item("foreign_keys").unwrap()["level"], "warning");
        assert_eq!(item("log_bin").unwrap()["level"], Value::Null);
    }
}
