//! One YAML file per task: from its text to a [`Task`] that can be used as it is.
//!
//! ```text
//! text ──yaml──► tree with places ──reader──► TaskFile ──build──► Task
//!                syntax                       each value alone    values together, defaults
//! ```
//!
//! A file knows those above it in this list, none below:
//!
//! ```text
//! yaml          the text as a tree; places: where each key stands
//! reader        what is asked of the tree, and all that is wrong; secret, certificate: values of more than one section
//! names         database.table as it is written; template: names that are made of it
//! choices       what can be chosen; tables: which tables are selected, and by which rule
//! values, file  each value, and the sections that they stand in
//! brokers       who a task is to brokers; task: all of it, checked
//! build         from the sections to the task
//! ```
//!
//! The schema for editors (`schema`) stands beside them.
//!
//! No step stops at its first error: all that is wrong with a file is told at once, each with `file:line:column`, the
//! dotted path of the key, what was found and what would be right. Keys that do not exist are errors, never ignored.
//!
//! `${NAME}` in a value is the environment's variable of that name, put in before anything is read; `$${NAME}` is the text itself.
//!
//! Relative paths in a task file are relative to the folder in which the program is started, except for `state`, which is
//! relative to the task file's own: a task must find its state again wherever it is started. Whether the values fit the
//! world (hosts answer, files and tables exist) is the precheck's question.

mod brokers;
mod build;
mod certificate;
mod choices;
mod file;
mod names;
mod places;
mod reader;
mod schema;
mod secret;
mod tables;
mod task;
mod template;
mod values;
mod yaml;

#[cfg(test)]
mod tests;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

pub use brokers::{KafkaTlsOptions, OAuthOptions, SaslOptions};
pub(crate) use build::OTHER_CONNECTIONS;
pub use certificate::ClientCertificate;
pub use choices::{
    Consistency, DdlPolicy, Guarantee, NonEmptyTopics, Profile, TooLargePolicy, Truncation, UnchangedUpdates,
};
pub use places::Places;
pub use reader::Problem;
pub(crate) use reader::size_of;
pub use schema::{REFERENCE, json_schema};
pub use secret::{Secret, SecretError};
pub use tables::{Selected, TableRule, TableSelection};
pub use task::{
    AvroFormat, BinlogFilesOptions, CanalFormat, Format, FullLoadOptions, HttpOptions, HttpTls, IncrementalOptions,
    KafkaSinkOptions, LimitOptions, MysqlOptions, MysqlTlsOptions, ParquetOptions, RetryOptions, SinkOptions,
    SourceOptions, Task,
};
pub use template::{NameError, NameTemplate, TopicTemplate};
pub use yaml::Location;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("could not read task file {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// All problems, one a line, in the order of the file.
    #[error("{}", lines(file, problems))]
    Refused { file: String, problems: Vec<Problem> },
}

/// Reads and checks a task file.
pub fn load(path: &Path) -> Result<Task, ConfigError> {
    load_text(path, &read_file(path)?)
}

/// The text of a task file.
pub(crate) fn read_file(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

/// As [`load`], of a file that has this text.
pub(crate) fn load_text(path: &Path, text: &str) -> Result<Task, ConfigError> {
    let mut task = parse(&path.display().to_string(), text)?;
    if let Some(folder) = path.parent() {
        task.state = folder.join(&task.state);
    }
    Ok(task)
}

/// A number for what a text says: another one where a value, a key or their order is another, also by a variable of the environment. Comments
/// and layout say nothing.
pub(crate) fn fingerprint(text: &str) -> Option<u64> {
    let (root, _) = yaml::parse(text, &|name| std::env::var(name).ok()).ok()?;
    let mut hasher = DefaultHasher::new();
    root.hash(&mut hasher);
    Some(hasher.finish())
}

/// Checks the text of a task file. `file` is its name in errors.
pub fn parse(file: &str, text: &str) -> Result<Task, ConfigError> {
    let report = reader::Report::default();
    let task = read(file, text, &report);
    let problems = report.into_problems();
    match task {
        Some(task) if problems.is_empty() => Ok(task),
        _ => Err(ConfigError::Refused { file: file.to_owned(), problems }),
    }
}

fn read(file: &str, text: &str, report: &reader::Report) -> Option<Task> {
    match yaml::parse(text, &|name| std::env::var(name).ok()) {
        Ok((root, unset)) => {
            for yaml::Unset { value_at, at, message } in unset {
                report.add_plain(Problem { at, message });
                report.say_nothing_at(value_at);
            }
            let task = file::TaskFile::read(&root, report)?.validate_and_build(report)?;
            Some(Task { places: Places::of(file, &root), ..task })
        }
        Err(yaml::SyntaxError { at, message }) => {
            report.add_plain(Problem { at, message });
            None
        }
    }
}

fn lines(file: &str, problems: &[Problem]) -> String {
    let lines = problems
        .iter()
        .map(|Problem { at: Location { line, column }, message }| format!("{file}:{line}:{column}: {message}"));
    lines.collect::<Vec<_>>().join("\n")
}
