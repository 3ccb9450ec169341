//! CREATE TABLE.

use std::collections::HashSet;
use std::sync::Arc;

use super::collation::{Choice, TextDefault};
use super::column::{ColumnSpec, column};
use super::cursor::{Cursor, Read};
use super::index::{IndexSpec, Period, add, element, is_no_column};
use super::session::Session;
use super::{Definition, Kind, NotUnderstood};
use tidegate_model::Column;
use tidegate_model::names::{fold, is_same};

/// What stands in a new table's parentheses and behind them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Elements {
    pub(super) columns: Vec<ColumnSpec>,
    pub(super) indexes: Vec<IndexSpec>,
    /// Their columns are NOT NULL.
    pub(super) periods: Vec<Period>,
    text: Option<Choice>,
    engine: Option<Arc<str>>,
}

/// Behind CREATE TABLE.
pub(super) fn table(cursor: &mut Cursor<'_>) -> Read<Kind> {
    cursor.if_not_exists();
    cursor.table_name()?;
    if cursor.skip("LIKE") {
        return Ok(Kind::CreateLike(cursor.table_name()?));
    }
    cursor.expect_other('(')?;
    if cursor.skip("LIKE") {
        return Ok(Kind::CreateLike(cursor.table_name()?));
    }
    let mut elements = Elements::default();
    elements.read(cursor)?;
    if elements.columns.is_empty() {
        return Err(cursor.not_understood());
    }
    while let Some(token) = cursor.peek() {
        if cursor.is("PARTITION") {
            cursor.rest_without_query()?;
        } else if ["SELECT", "AS", "VALUES", "TABLE", "IGNORE", "REPLACE"].iter().any(|word| token.is(word)) {
            return Err(NotUnderstood::new("a query whose columns it takes"));
        } else if cursor.are(&["WITH", "SYSTEM"]) {
            return Err(NotUnderstood::new("system versioning"));
        } else if let Some(charset) = cursor.table_charset()? {
            elements.text = Choice::then(elements.text.take(), charset, cursor.session);
        } else if cursor.skip("ENGINE") {
            elements.engine = cursor.engine();
        } else if cursor.is_other('(') {
            cursor.parentheses()?;
        } else {
            cursor.next += 1;
        }
    }
    Ok(Kind::Create(elements))
}

impl Elements {
    /// Up to the closing parenthesis.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>) -> Read<()> {
        loop {
            if is_no_column(cursor) {
                self.indexes.extend(element(cursor)?);
            } else if cursor.are(&["PERIOD", "FOR"]) {
                self.periods.push(period(cursor)?);
            } else {
                self.columns.push(column(cursor, &mut self.indexes)?);
            }
            if !cursor.skip_other(',') {
                return cursor.expect_other(')');
            }
        }
    }

    pub(super) fn definition(&self, database: TextDefault, session: &Session) -> Read<Definition> {
        let text = database.with(self.text.as_ref(), &database, session);
        let mut columns = self.columns.iter().map(|spec| spec.resolve(&text, session)).collect::<Read<Vec<_>>>()?;
        differ(&columns)?;
        let mut indexes = Vec::new();
        let specs: Vec<IndexSpec> = self.indexes.iter().map(|spec| spec.clone().over(&self.periods)).collect();
        add(&mut indexes, &[], &specs, &mut columns, true)?;
        not_null(&mut columns, &self.periods)?;
        Ok(Definition { columns, text, database, indexes, knows_indexes: true, engine: self.engine.clone() })
    }
}

/// Refuses two columns of one name.
pub(super) fn differ<'a>(columns: impl IntoIterator<Item = &'a Column>) -> Read<()> {
    let mut names = HashSet::new();
    match columns.into_iter().find(|column| !names.insert(fold(&column.name))) {
        Some(column) => Err(NotUnderstood::new(&format!("a second column {}", column.name))),
        None => Ok(()),
    }
}

pub(super) fn not_null(columns: &mut [Column], periods: &[Period]) -> Read<()> {
    for name in periods.iter().flat_map(|period| [&period.from, &period.to]) {
        let column = columns.iter_mut().find(|column| is_same(&column.name, name));
        column.ok_or_else(|| NotUnderstood::new(&format!("the column {name} of a period")))?.nullable = false;
    }
    Ok(())
}

/// `PERIOD FOR p (a, b)`. That of MariaDB's system versions changes more.
pub(super) fn period(cursor: &mut Cursor<'_>) -> Read<Period> {
    cursor.skip_all(&["PERIOD", "FOR"]);
    if cursor.is("SYSTEM_TIME") {
        return Err(NotUnderstood::new("system versioning"));
    }
    let name = cursor.name()?;
    cursor.expect_other('(')?;
    let from = cursor.name()?;
    cursor.expect_other(',')?;
    let to = cursor.name()?;
    cursor.expect_other(')')?;
    Ok(Period { name, from, to })
}

impl Cursor<'_> {
    /// Partitions, which are the last of a definition but for a query.
    fn rest_without_query(&mut self) -> Read<()> {
        while let Some(token) = self.peek() {
            if token.is("SELECT") || token.is("AS") {
                return Ok(());
            }
            if self.is_other('(') { self.parentheses()? } else { self.next += 1 }
        }
        Ok(())
    }
}
