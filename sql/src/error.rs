//! Why an expression was refused or could not be evaluated, drawn under its text.
//!
//! ```text
//! no column "amont" in this table
//!   | amont > 10
//!   | ^^^^^
//! hint: Did you mean "amount"?
//! ```
//!
//! An error says what the user wrote and what is wrong with it. It never says what a row contains: the messages of the
//! kernels name the value that overflowed or did not convert, so they are replaced by the kind of failure.

use std::fmt;
use std::ops::Range;

use arrow::error::ArrowError;
use datafusion_common::DataFusionError;
use sqlparser::tokenizer::{Location, Span};

/// An expression that was refused, or that failed on some row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SqlError {
    message: String,
    hint: Option<String>,
    text: String,
    at: Option<Range<usize>>,
}

impl SqlError {
    /// What is wrong, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of [`SqlError::text`] that are meant, where that is known.
    pub fn position(&self) -> Option<Range<usize>> {
        self.at.clone()
    }

    /// Line and column, both from 1, columns counted in characters.
    pub fn line_and_column(&self) -> Option<(usize, usize)> {
        let before = &self.text[..self.at.as_ref()?.start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
    }

    /// A failure on some row of a batch.
    pub(crate) fn evaluation(text: &str, error: &DataFusionError) -> SqlError {
        SqlError { message: without_values(error), hint: None, text: text.to_owned(), at: None }
    }

    pub(crate) fn with_hint(mut self, hint: &str) -> SqlError {
        self.hint = Some(hint.to_owned());
        self
    }

    pub(crate) fn general(text: &str, message: impl Into<String>) -> SqlError {
        SqlError { message: message.into(), hint: None, text: text.to_owned(), at: None }
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let at = self.at.clone().unwrap_or(0..0);
        let line_start = self.text[..at.start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = self.text[at.start..].find('\n').map_or(self.text.len(), |newline| at.start + newline);
        write!(f, "\n  | {}", &self.text[line_start..line_end])?;
        if self.at.is_some() {
            // Tabs are repeated, so that the caret stands under its character whatever their width is.
            let indent: String =
                self.text[line_start..at.start].chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            let width = self.text[at.start..at.end.clamp(at.start, line_end)].chars().count().max(1);
            write!(f, "\n  | {indent}{}", "^".repeat(width))?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

/// An error on its way up: it knows where in the text it belongs, not yet the text.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) span: Span,
}

impl Refusal {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Refusal {
        Refusal { message: message.into(), hint: None, span }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Refusal {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the place of an error that has none.
    pub(crate) fn or_at(mut self, span: Span) -> Refusal {
        if self.span == Span::empty() {
            self.span = span;
        }
        self
    }

    pub(crate) fn into_error(self, text: &str) -> SqlError {
        let at = byte_offset(text, self.span.start).map(|start| {
            let end = byte_offset(text, self.span.end).unwrap_or(start).max(start);
            start..end
        });
        SqlError { message: self.message, hint: self.hint, text: text.to_owned(), at }
    }
}

/// Errors of planning name types as DataFusion calls them, which nobody knows who writes SQL for MySQL: what they mean is said, and the
/// place shows of what.
impl From<DataFusionError> for Refusal {
    fn from(error: DataFusionError) -> Refusal {
        match error.find_root() {
            DataFusionError::Plan(_) | DataFusionError::NotImplemented(_) => {
                Refusal::new(Span::empty(), "values of these types do not go together here")
                    .hint("CAST(x AS type) makes one of another.")
            }
            other => Refusal::new(Span::empty(), without_values(other)),
        }
    }
}

/// The kind of a failure, without the value that caused it.
fn without_values(error: &DataFusionError) -> String {
    let arrow_error = match error.find_root() {
        DataFusionError::ArrowError(error, _) => error,
        DataFusionError::Execution(_) => return "a function refused a value".to_owned(),
        DataFusionError::NotImplemented(_) => {
            return "an operation is not supported for values of these types".to_owned();
        }
        DataFusionError::ResourcesExhausted(_) => return "out of memory".to_owned(),
        _ => return "evaluation failed".to_owned(),
    };
    match arrow_error.as_ref() {
        ArrowError::DivideByZero => "division by zero",
        ArrowError::ArithmeticOverflow(_) => "a result is out of the range of its type",
        ArrowError::CastError(_) | ArrowError::ParseError(_) | ArrowError::InvalidArgumentError(_) => {
            "a value does not convert to the required type"
        }
        ArrowError::ComputeError(_) => "a value is out of the range of a function",
        _ => "evaluation failed",
    }
    .to_owned()
}

/// An error of the SQL parser ends in the place it means: `… at Line: 1, Column: 9`.
pub(crate) fn from_parser(message: &str, text: &str) -> SqlError {
    let (message, location) = match message.rsplit_once(" at Line: ") {
        Some((message, place)) => (message, parse_location(place)),
        None => (message, None),
    };
    let start = location.and_then(|location| byte_offset(text, location)).unwrap_or(text.len());
    let message = lower_first(message.trim_start_matches("sql parser error: "));
    let message = message.replace(", found: EOF", ", found the end");
    SqlError { message, hint: None, text: text.to_owned(), at: Some(start..start) }
}

fn parse_location(place: &str) -> Option<Location> {
    let (line, column) = place.split_once(", Column: ")?;
    Some(Location { line: line.parse().ok()?, column: column.trim().parse().ok()? })
}

fn byte_offset(text: &str, location: Location) -> Option<usize> {
    let line_index = usize::try_from(location.line.checked_sub(1)?).ok()?;
    let column_index = usize::try_from(location.column.checked_sub(1)?).ok()?;
    let line = text.split('\n').nth(line_index)?;
    let line_start: usize = text.split('\n').take(line_index).map(|line| line.len() + 1).sum();
    let in_line = line.char_indices().nth(column_index).map_or(line.len(), |(at, _)| at);
    Some(line_start + in_line)
}

fn lower_first(message: &str) -> String {
    // Not of a type's name.
    if message.chars().nth(1).is_some_and(char::is_uppercase) {
        return message.to_owned();
    }
    let mut chars = message.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// The candidate that is written most similarly, unless none is similar: for "did you mean".
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let allowed = (name.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (edit_distance(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many characters to insert, delete, change or swap with their neighbour to come from `a` to `b`.
pub fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            if i == 0 || j == 0 {
                rows[i][j] = i + j;
                continue;
            }
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_similar_or_none() {
        let names = ["amount", "status", "created_at"];
        assert_eq!(nearest("amont", names.into_iter()), Some("amount"));
        assert_eq!(nearest("STAUTS", names.into_iter()), Some("status"));
        assert_eq!(nearest("price", names.into_iter()), None);
    }

    #[test]
    fn the_caret_stands_under_its_character() {
        let span = Span::new(Location { line: 2, column: 3 }, Location { line: 2, column: 6 });
        let error = Refusal::new(span, "no").hint("Do.").into_error("a >\n\tü xyz");
        assert_eq!(error.line_and_column(), Some((2, 3)));
        assert_eq!(error.to_string(), "no\n  | \tü xyz\n  | \t ^^^\nhint: Do.");
    }
}
