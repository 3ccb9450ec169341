//! Names that are made of a table's own: what it is called where it goes, and its topic.
//!
//! ```text
//! table: /shop_(\d+)\.orders/     as: shop.orders              four databases, one name
//! table: "shop_*.log_*"           as: "shop.log_{2}_{1}"       each star is a capture, counted from one
//! table: /(?<at>\w+)\.users/      as: "crm.users"    topic: "users.{at}"
//! ```
//!
//! In `as`, `{database}` and `{table}` are the source's; in a topic they are what `as` has made of them, because that is what
//! consumers read in the messages. What a pattern captures is the same in both: so a topic can still tell the source's names.

use std::iter::Peekable;
use std::str::Chars;

use tidegate_model::TableName;

use super::names::{NamePart, read_names};

/// What the groups or stars of an entry's pattern are called, in their order; most have a number only.
pub(super) type CaptureNames = Vec<Option<String>>;

/// What they stand for in one table's name. A group that took no part stands for nothing.
pub(super) type Captures = Vec<String>;

/// Text with places in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Database,
    Table,
    /// Counted from zero.
    Capture(usize),
}

/// Why a table's name cannot be what its rule makes of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("topic name {0:?} holds {1:?}, Kafka allows letters, digits, dot, underscore and hyphen")]
    Character(String, char),
    #[error("topic name {0:?} has {len} characters, Kafka allows 249", len = .0.len())]
    Length(String),
    #[error("topic name {0:?} is not possible in Kafka")]
    Dots(String),
    #[error("`as` leaves the name of its {0} empty")]
    Empty(&'static str),
}

impl NamePart for Template {
    fn push(&mut self, c: char) {
        match self.0.last_mut() {
            Some(Part::Literal(text)) => text.push(c),
            _ => self.0.push(Part::Literal(c.to_string())),
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Template {
    /// Reads on behind a `{`. An error is the constraint that is broken.
    fn push_place(
        &mut self,
        chars: &mut Peekable<Chars<'_>>,
        task: &str,
        captures: &CaptureNames,
    ) -> Result<(), String> {
        let mut name = String::new();
        loop {
            match chars.next() {
                Some('}') => break,
                Some(c) => name.push(c),
                None => return Err("must have a } for each {".into()),
            }
        }
        let by_number = || name.parse().ok().and_then(|number: usize| number.checked_sub(1));
        let by_name = || captures.iter().position(|capture| capture.as_deref() == Some(&name));
        self.0.push(match name.as_str() {
            "database" => Part::Database,
            "table" => Part::Table,
            "task" => Part::Literal(task.to_owned()),
            _ => match by_name().or_else(by_number).filter(|index| *index < captures.len()) {
                Some(index) => Part::Capture(index),
                None => return Err(format!("must name no other places than {}", places(captures))),
            },
        });
        Ok(())
    }

    /// The text, if it is the same for all tables.
    fn constant(&self) -> Option<String> {
        let literal = |part: &Part| match part {
            Part::Literal(text) => Some(text.clone()),
            Part::Database | Part::Table | Part::Capture(_) => None,
        };
        self.0.iter().map(literal).collect()
    }

    fn render(&self, name: &TableName, captures: &Captures) -> String {
        let text = |part: &Part| match part {
            Part::Literal(text) => text.clone(),
            Part::Database => name.database.to_string(),
            Part::Table => name.table.to_string(),
            Part::Capture(index) => captures.get(*index).cloned().unwrap_or_default(),
        };
        self.0.iter().map(text).collect()
    }
}

/// `{database}, {table}, {task} and {1}`.
fn places(captures: &CaptureNames) -> String {
    let captures = captures.iter().enumerate().map(|(index, name)| match name {
        Some(name) => format!("{{{name}}}"),
        None => format!("{{{}}}", index + 1),
    });
    let mut places: Vec<String> = ["{database}", "{table}", "{task}"].map(str::to_owned).into_iter().collect();
    places.extend(captures);
    let last = places.pop().expect("there are three at least");
    format!("{} and {last}", places.join(", "))
}

/// `as`: database and table, each with places in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameTemplate {
    database: Template,
    table: Template,
}

impl NameTemplate {
    /// An error is the constraint that is broken.
    pub(super) fn parse(text: &str, task: &str, captures: &CaptureNames) -> Result<Self, String> {
        const WITH_ONE: &str = "; \"{database}.name\" and \"name.{table}\" change one of both";
        let [database, table] = read_names(text, WITH_ONE, |part: &mut Template, c, chars| match c {
            '{' => part.push_place(chars, task, captures).map(|()| true),
            _ => Ok(false),
        })?;
        Ok(NameTemplate { database, table })
    }

    pub(super) fn has_database(&self) -> bool {
        self.has(&Part::Database)
    }

    pub(super) fn has_table(&self) -> bool {
        self.has(&Part::Table)
    }

    pub(super) fn has_capture(&self, index: usize) -> bool {
        self.has(&Part::Capture(index))
    }

    /// Database and table, where they are the same for every table.
    pub(super) fn fixed(&self) -> [Option<&str>; 2] {
        [&self.database, &self.table].map(|template| match template.0.as_slice() {
            [Part::Literal(name)] => Some(name.as_str()),
            _ => None,
        })
    }

    fn has(&self, part: &Part) -> bool {
        [&self.database, &self.table].into_iter().any(|template| template.0.contains(part))
    }

    /// What a table is called where it goes.
    pub(super) fn render(&self, source: &TableName, captures: &Captures) -> Result<TableName, NameError> {
        let [database, table] = [&self.database, &self.table].map(|part| part.render(source, captures));
        match (database.is_empty(), table.is_empty()) {
            (true, _) => Err(NameError::Empty("database")),
            (_, true) => Err(NameError::Empty("table")),
            _ => Ok(TableName::new(&database, &table)),
        }
    }
}

/// `topic`: the default is `{database}.{table}`, which is never ambiguous for names without dots and groups by database when sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicTemplate(Template);

impl TopicTemplate {
    pub(super) const DEFAULT: &str = "{database}.{table}";

    /// An error is the constraint that is broken.
    pub(super) fn parse(text: &str, task: &str, captures: &CaptureNames) -> Result<Self, String> {
        let mut template = Template::default();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '{' => template.push_place(&mut chars, task, captures)?,
                c if allowed_in_topic(c) => template.push(c),
                c => {
                    return Err(format!(
                        "must not hold {c:?}, Kafka allows letters, digits, dot, underscore and hyphen"
                    ));
                }
            }
        }
        Ok(TopicTemplate(template))
    }

    /// The topic, if it is the same for all tables.
    pub fn constant(&self) -> Option<String> {
        self.0.constant()
    }

    /// The topic of one table, by what it is called where it goes.
    pub fn render(&self, target: &TableName) -> Result<String, NameError> {
        self.render_with(target, &Captures::new())
    }

    pub(super) fn render_with(&self, target: &TableName, captures: &Captures) -> Result<String, NameError> {
        let name = self.0.render(target, captures);
        if let Some(c) = name.chars().find(|c| !allowed_in_topic(*c)) {
            return Err(NameError::Character(name, c));
        }
        match name.as_str() {
            "" | "." | ".." => Err(NameError::Dots(name)),
            _ if name.len() > 249 => Err(NameError::Length(name)),
            _ => Ok(name),
        }
    }
}

fn allowed_in_topic(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}
