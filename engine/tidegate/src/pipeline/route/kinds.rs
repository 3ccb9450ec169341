//! Tables that have one name where they go, and whether what comes out of them is of one kind.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use tidegate_model::{Column, Table, TableName};

/// What to do about tables that differ.
pub const DIFFER_HINT: &str = "`columns` or `select` can make them the same, another `as` keeps them apart, and an ALTER TABLE mends the table that is wrong";

/// Tables of two kinds that have one name where they go. Of each kind, the first speaks for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    pub(crate) tables: [Vec<TableName>; 2],
    pub(crate) target: TableName,
    pub(crate) what: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, other] = &self.tables;
        write!(f, "tables {} and {} are both sent as {}, and differ: {}", one[0], other[0], self.target, self.what)?;
        match other.len() {
            1 => Ok(()),
            count => write!(f, "; and {} more like {}", count - 1, other[0]),
        }
    }
}

/// What comes out of tables of one kind, and which those are.
pub type ShardKind = (Arc<Table>, Vec<TableName>);

/// Enters a table with those of its kind.
pub fn enter_kind(kinds: &mut Vec<ShardKind>, table: TableName, output: &Arc<Table>) {
    match kinds.iter_mut().find(|(kind, _)| kind.is_defined_as(output)) {
        Some((_, tables)) => tables.push(table),
        None => kinds.push((output.clone(), vec![table])),
    }
}

/// Tables that the task file gives one name, and that are not of one kind.
#[derive(Debug, thiserror::Error)]
#[error("tables that are sent under one name must have the same columns and keys:{}", list(.0))]
pub struct Differ(pub(crate) Vec<Mismatch>);

fn list(mismatches: &[Mismatch]) -> String {
    mismatches.iter().map(|mismatch| format!("\n  {mismatch}")).collect()
}

impl Mismatch {
    /// The first difference that a consumer sees of what comes out of two tables.
    ///
    /// Not the order of columns, which have names in each message; nor what keys are called, nor NOT NULL, which no message says.
    pub fn of(tables: [&[TableName]; 2], outputs: [&Table; 2]) -> Option<Mismatch> {
        let ([a, b], names) = (outputs, tables.map(|tables| &tables[0]));
        let missing = |of: usize, from: usize| {
            let known = |column: &Column| outputs[from].columns().iter().any(|other| other.name == column.name);
            let column = outputs[of].columns().iter().find(|column| !known(column))?;
            Some(format!("{} has no column {}", names[from], column.name))
        };
        let another_type = || {
            a.columns().iter().find_map(|column| {
                let other = b.columns().iter().find(|other| other.name == column.name)?;
                let is_same = (&column.type_text, &column.sql_type) == (&other.type_text, &other.sql_type);
                (!is_same).then(|| format!("column {} is {}, and {}", column.name, column.type_text, other.type_text))
            })
        };
        let another_key = || {
            let primary = outputs.map(|table| table.primary_key().map(|key| key_text(table, key)));
            if primary[0] != primary[1] {
                let [a, b] = primary.map(|key| key.unwrap_or_else(|| "none".to_owned()));
                return Some(format!("the primary key is {a}, and {b}"));
            }
            let unique = outputs.map(|table| -> BTreeSet<String> {
                table.unique_keys().iter().map(|key| key_text(table, &key.columns)).collect()
            });
            let only = unique[0].symmetric_difference(&unique[1]).next()?;
            Some(format!("only {} has a unique key {only}", names[usize::from(unique[1].contains(only))]))
        };
        let what = missing(0, 1).or_else(|| missing(1, 0)).or_else(another_type).or_else(another_key)?;
        Some(Mismatch { tables: tables.map(<[TableName]>::to_vec), target: a.name().clone(), what })
    }
}

/// `(id, at)`
fn key_text(table: &Table, key: &[usize]) -> String {
    let names: Vec<&str> = key.iter().map(|&column| table.columns()[column].name.as_str()).collect();
    format!("({})", names.join(", "))
}
