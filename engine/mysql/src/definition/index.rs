//! Indexes: how they are written, what they are called if nobody says, and what a new definition of their columns makes of them.

use super::super::binlog::bytes_per_character;
use super::NotUnderstood;
use super::column::{prefix_max, references};
use super::cursor::{Cursor, Read};
use super::session::Server;
use super::tokens::Token;
use crate::charset::Charset;
use crate::rows::packed_bytes;
use tidegate_model::names::is_same;
use tidegate_model::{Column, Index, IndexPart, SqlType};

pub(super) const PRIMARY: &str = "PRIMARY";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum IndexKind {
    Primary,
    Unique,
    Plain,
    /// That the server makes for a foreign key if there is none.
    ForForeignKey,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IndexSpec {
    pub(super) name: Option<String>,
    pub(super) kind: IndexKind,
    pub(super) parts: Vec<IndexPart>,
    /// `p WITHOUT OVERLAPS` behind the parts: the period, whose columns are parts, too.
    pub(super) period: Option<String>,
    pub(super) if_not_exists: bool,
}

/// `PERIOD FOR name (from, to)` of MariaDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) name: String,
    pub(super) from: String,
    pub(super) to: String,
}

impl IndexSpec {
    /// With the columns of its period, the end first, as the server keeps them.
    pub(super) fn over(mut self, periods: &[Period]) -> IndexSpec {
        let is_its = |period: &&Period| self.period.as_ref().is_some_and(|name| is_same(name, &period.name));
        if let Some(period) = periods.iter().find(is_its) {
            let part = |name: &String| IndexPart { column: Some(name.clone()), prefix: None };
            self.parts.extend([part(&period.to), part(&period.from)]);
            self.period = None;
        }
        self
    }
}

/// First words of what is no column in a table's definition.
pub(super) fn is_no_column(cursor: &Cursor<'_>) -> bool {
    const WORDS: [&str; 9] =
        ["PRIMARY", "UNIQUE", "INDEX", "KEY", "FULLTEXT", "SPATIAL", "FOREIGN", "CHECK", "CONSTRAINT"];
    WORDS.iter().any(|word| cursor.is(word))
}

/// An index or a constraint in a table's definition, and whatever follows it up to the next comma. None of a CHECK.
pub(super) fn element(cursor: &mut Cursor<'_>) -> Read<Option<IndexSpec>> {
    let mut constraint = None;
    if cursor.skip("CONSTRAINT") {
        cursor.if_not_exists();
        if !["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"].iter().any(|word| cursor.is(word)) {
            constraint = Some(cursor.name()?);
        }
    }
    let spec = if cursor.skip("CHECK") {
        cursor.parentheses()?;
        None
    } else if cursor.skip_all(&["PRIMARY", "KEY"]) {
        index_type(cursor)?;
        // A name is allowed, and of no account.
        if !cursor.is_other('(') {
            cursor.name()?;
            index_type(cursor)?;
        }
        let (parts, period) = parts_and_period(cursor)?;
        let name = Some(PRIMARY.to_owned());
        Some(IndexSpec { name, kind: IndexKind::Primary, parts, period, if_not_exists: false })
    } else if cursor.skip_all(&["FOREIGN", "KEY"]) {
        let if_not_exists = cursor.if_not_exists();
        let name = if cursor.is_other('(') { None } else { Some(cursor.name()?) };
        let parts = parts(cursor)?;
        cursor.expect("REFERENCES")?;
        references(cursor)?;
        let name = constraint.or(name);
        Some(IndexSpec { name, kind: IndexKind::ForForeignKey, parts, period: None, if_not_exists })
    } else {
        let kind = if cursor.skip("UNIQUE") { IndexKind::Unique } else { IndexKind::Plain };
        let has_kind = kind == IndexKind::Unique || cursor.skip_any(&["FULLTEXT", "SPATIAL"]);
        if !cursor.skip_any(&["INDEX", "KEY"]) && !has_kind {
            return Err(cursor.not_understood());
        }
        let if_not_exists = cursor.if_not_exists();
        let mut name = constraint;
        if !cursor.is_other('(') && !cursor.is("USING") && !cursor.is("TYPE") {
            name = Some(cursor.name()?);
        }
        index_type(cursor)?;
        let (parts, period) = parts_and_period(cursor)?;
        Some(IndexSpec { name, kind, parts, period, if_not_exists })
    };
    cursor.rest_of_part()?;
    Ok(spec)
}

/// `USING BTREE`, or nothing.
pub(super) fn index_type(cursor: &mut Cursor<'_>) -> Read<()> {
    if cursor.skip_any(&["USING", "TYPE"]) {
        cursor.name()?;
    }
    Ok(())
}

/// `(a, b(10) DESC, (a + 1))`
pub(super) fn parts(cursor: &mut Cursor<'_>) -> Read<Vec<IndexPart>> {
    match parts_and_period(cursor)? {
        (parts, None) => Ok(parts),
        (_, Some(period)) => Err(NotUnderstood::new(&format!("an index over the period {period}"))),
    }
}

/// `(a, b, p WITHOUT OVERLAPS)`
fn parts_and_period(cursor: &mut Cursor<'_>) -> Read<(Vec<IndexPart>, Option<String>)> {
    cursor.expect_other('(')?;
    let (mut out, mut period) = (Vec::new(), None);
    loop {
        if cursor.is_other('(') {
            cursor.parentheses()?;
            out.push(IndexPart { column: None, prefix: None });
        } else {
            let name = cursor.name()?;
            if cursor.skip_all(&["WITHOUT", "OVERLAPS"]) {
                period = Some(name);
                break;
            }
            let prefix = cursor.numbers()?.first().copied();
            out.push(IndexPart { column: Some(name), prefix });
        }
        if !cursor.skip("ASC") {
            cursor.skip("DESC");
        }
        if !cursor.skip_other(',') {
            break;
        }
    }
    match cursor.peek() {
        Some(Token::Other(')')) => cursor.next += 1,
        _ => return Err(cursor.not_understood()),
    }
    Ok((out, period))
}

/// Adds indexes to those that are left of the ones `before`, in the order in which they are written. `knows_all` if none is there besides.
pub(super) fn add(
    indexes: &mut Vec<Index>,
    before: &[Index],
    specs: &[IndexSpec],
    columns: &mut [Column],
    knows_all: bool,
) -> Result<(), NotUnderstood> {
    let mut added = Vec::with_capacity(specs.len());
    for spec in specs {
        if spec.if_not_exists {
            // One that the statement itself drops or renames is there.
            match spec.name.as_deref().map(|name| has(before, name)) {
                Some(true) => continue,
                Some(false) if knows_all => {}
                _ => return Err(NotUnderstood::new("whether an index exists, which nobody has told,")),
            }
        }
        added.push(New { name: spec.name.clone(), kind: spec.kind, parts: resolved(spec, columns)? });
    }
    // What is there for a foreign key only goes if another serves, before anything gets a name.
    indexes.retain(|index| {
        index.for_foreign_key != Some(true)
            || !added.iter().any(|new| !new.is_generated() && serves(&new.parts, &index.parts))
    });
    let is_served = |at: usize, new: &New| {
        let others = added.iter().enumerate().filter(|(other, _)| *other != at);
        // Of two that serve each other, the first is made.
        let by_new = |(other, another): (usize, &New)| {
            serves(&another.parts, &new.parts)
                && (!another.is_generated() || another.parts.len() > new.parts.len() || other < at)
        };
        indexes.iter().any(|index| serves(&index.parts, &new.parts)) || others.into_iter().any(by_new)
    };
    let needed: Vec<bool> =
        added.iter().enumerate().map(|(at, new)| !new.is_generated() || !is_served(at, new)).collect();
    for new in added.into_iter().zip(needed).filter_map(|(new, needed)| needed.then_some(new)) {
        let name = match (&new.name, new.kind) {
            (_, IndexKind::Primary) => PRIMARY.to_owned(),
            (Some(name), _) => name.clone(),
            (None, _) => free_name(indexes, &new.parts, knows_all)?,
        };
        if has(indexes, &name) {
            return Err(NotUnderstood::new(&format!("a second index {name}")));
        }
        let unique = matches!(new.kind, IndexKind::Primary | IndexKind::Unique);
        let for_foreign_key = Some(new.is_generated());
        indexes.push(Index { name, unique, parts: new.parts, for_foreign_key });
    }
    Ok(())
}

/// An index that a statement adds, with its columns found.
struct New {
    name: Option<String>,
    kind: IndexKind,
    parts: Vec<IndexPart>,
}

impl New {
    fn is_generated(&self) -> bool {
        self.kind == IndexKind::ForForeignKey
    }
}

fn resolved(spec: &IndexSpec, columns: &mut [Column]) -> Result<Vec<IndexPart>, NotUnderstood> {
    if let Some(period) = &spec.period {
        return Err(NotUnderstood::new(&format!("the period {period} of an index")));
    }
    let mut parts = spec.parts.clone();
    for part in &mut parts {
        let Some(name) = &mut part.column else { continue };
        let column = columns.iter_mut().find(|column| is_same(&column.name, name));
        let column = column.ok_or_else(|| NotUnderstood::new(&format!("the column {name} of an index")))?;
        name.clone_from(&column.name);
        // As long as the column: no prefix. Of a column that has none, the server takes its length for one.
        let is_whole = |prefix: &u64| !is_long(column) && prefix_max(column).is_none_or(|max| max == *prefix);
        part.prefix = part.prefix.filter(|prefix| !is_whole(prefix));
        if spec.kind == IndexKind::Primary {
            column.nullable = false;
        }
    }
    Ok(parts)
}

fn has(indexes: &[Index], name: &str) -> bool {
    indexes.iter().any(|index| is_same(&index.name, name))
}

/// Whether an index of these parts does the work of one of those.
fn serves(parts: &[IndexPart], those: &[IndexPart]) -> bool {
    parts.starts_with(those)
}

/// That of the first column, with a number if it is taken.
fn free_name(indexes: &[Index], parts: &[IndexPart], knows_all: bool) -> Result<String, NotUnderstood> {
    let unknown = || NotUnderstood::new("the name that the server has given an index");
    let first = parts.first().and_then(|part| part.column.as_deref()).unwrap_or("functional_index");
    // An index that nobody has told of may have the name, and one that is told of may be there for a foreign key only: then it has
    // gone, and left its name.
    let may_have_gone = |index: &Index| {
        is_same(&index.name, first) && index.for_foreign_key.is_none() && !index.unique && serves(parts, &index.parts)
    };
    if !knows_all || indexes.iter().any(may_have_gone) {
        return Err(unknown());
    }
    if !has(indexes, first) && !is_same(first, PRIMARY) {
        return Ok(first.to_owned());
    }
    (2..100).map(|number| format!("{first}_{number}")).find(|name| !has(indexes, name)).ok_or_else(unknown)
}

/// TEXT and BLOB, of which every index has a prefix.
fn is_long(column: &Column) -> bool {
    column.type_text.ends_with("text") || column.type_text.ends_with("blob")
}

/// What a key's part becomes when its column is another than before.
pub(super) fn refit(part: &IndexPart, before: &Column, after: &Column, server: &Server) -> IndexPart {
    let whole = match &before.sql_type {
        // MySQL takes labels for text when they become some; whole is what has as many bytes as text that holds the labels.
        SqlType::Enum { .. } | SqlType::Set { .. } if !server.is_mariadb => {
            let (width, each) = (width(before), bytes_of_character(before));
            let text = characters_of_labels(before).map(|characters| characters * each);
            width.filter(|width| text != Some(*width)).map(|width| width / each)
        }
        _ => None,
    };
    let prefix = part.prefix.filter(|_| prefix_max(before).is_some()).or(whole);
    part_of(after, prefix)
}

/// What a key's part becomes when its column goes and another comes under its name: that one stays in the key, as wide as the one before.
pub(super) fn succeed(part: &IndexPart, before: &Column, after: &Column) -> IndexPart {
    let prefix = part.prefix.or_else(|| match prefix_max(before) {
        Some(characters) => Some(characters),
        None => width(before).map(|bytes| bytes / bytes_of_character(before)),
    });
    part_of(after, prefix)
}

fn part_of(column: &Column, prefix: Option<u64>) -> IndexPart {
    let fits = |prefix: &u64| {
        *prefix > 0 && prefix_max(column).is_some_and(|max| *prefix < max || (is_long(column) && *prefix == max))
    };
    IndexPart { column: Some(column.name.clone()), prefix: prefix.filter(fits) }
}

fn bytes_of_character(column: &Column) -> u64 {
    column.charset.as_deref().and_then(Charset::from_name).map_or(1, |charset| bytes_per_character(charset).into())
}

/// Bytes of a value that is no text, as a key has it.
fn width(column: &Column) -> Option<u64> {
    let of_fraction = |fraction: &u8| u64::from(fraction.div_ceil(2));
    Some(match &column.sql_type {
        SqlType::Int { bytes, .. } => (*bytes).into(),
        SqlType::Float => 4,
        SqlType::Double => 8,
        SqlType::Decimal { precision, scale } => packed_bytes(*precision, *scale).into(),
        SqlType::Bit { width } => width.div_ceil(8).into(),
        SqlType::Year => 1,
        SqlType::Date => 3,
        SqlType::Time { fraction } => 3 + of_fraction(fraction),
        SqlType::DateTime { fraction } => 5 + of_fraction(fraction),
        SqlType::Timestamp { fraction } => 4 + of_fraction(fraction),
        SqlType::Enum { labels } => 1 + u64::from(labels.len() > 255),
        SqlType::Set { labels } => match labels.len().div_ceil(8) as u64 {
            bytes @ 0..=4 => bytes,
            _ => 8,
        },
        _ => return None,
    })
}

/// Of the longest value.
fn characters_of_labels(column: &Column) -> Option<u64> {
    let lengths = |labels: &[String]| labels.iter().map(|label| label.chars().count() as u64).collect::<Vec<_>>();
    match &column.sql_type {
        SqlType::Enum { labels } => lengths(labels).into_iter().max(),
        SqlType::Set { labels } => Some(lengths(labels).iter().sum::<u64>() + (labels.len() as u64).saturating_sub(1)),
        _ => None,
    }
}
