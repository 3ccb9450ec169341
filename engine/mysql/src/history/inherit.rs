//! What a table map leaves open, from what is known of the table.

use std::sync::Arc;

use super::PRIMARY;
use crate::binlog::type_text_of_map;
use tidegate_collation::Collation;
use tidegate_model::{Table, TableParts, UniqueKey};

/// The table by the collations and labels that a table map names, if they are others. Of a collation that is known by its number alone, one
/// that is not known here either may be the name; a label that differs is one that the catalogue could not show.
pub(super) fn completed(table: &Table, described: &TableParts) -> Option<Table> {
    let is_known = |name: &Arc<str>| Collation::named(name).is_some();
    let mut parts = TableParts::from(table.clone());
    let mut is_other = false;
    for (column, described) in parts.columns.iter_mut().zip(&described.columns) {
        if column.sql_type != described.sql_type && column.sql_type.labels().is_some() {
            column.sql_type = described.sql_type.clone();
            is_other = true;
        }
        let Some(name) = &described.collation else { continue };
        if column.collation.as_ref() != Some(name) && (is_known(name) || column.collation.as_ref().is_none_or(is_known))
        {
            column.collation = Some(name.clone());
            is_other = true;
        }
    }
    let other = Table::from(parts);
    is_other.then(|| match table.groundwork() {
        Some(groundwork) => other.with_groundwork(groundwork.clone()),
        None => other,
    })
}

/// Fills in what a table map does not say from what is kept of the version before: the exact text of a column's type (display
/// width) where the map says nothing against it, and unique keys other than the primary one, as long as all their columns
/// are there and NOT NULL.
///
/// Of a table without a primary key, a table map calls the first unique key of NOT NULL columns so. If the version before
/// has a key of these columns and no primary one, it is that key: the catalogue knows the difference.
pub(super) fn inherit(parts: &mut TableParts, kept: &Table) {
    for column in &mut parts.columns {
        let same = kept.columns().iter().find(|old| {
            old.name == column.name
                && old.sql_type == column.sql_type
                && type_text_of_map(&old.type_text) == type_text_of_map(&column.type_text)
        });
        if let Some(old) = same {
            column.type_text.clone_from(&old.type_text);
        }
    }
    let mut inherited: Vec<UniqueKey> = kept
        .unique_keys()
        .iter()
        .filter(|key| key.name != PRIMARY)
        .filter_map(|key| {
            let new_index = |old: &usize| {
                let name = &kept.columns()[*old].name;
                parts.columns.iter().position(|column| column.name == *name && !column.nullable)
            };
            let columns = key.columns.iter().map(new_index).collect::<Option<Vec<_>>>()?;
            Some(UniqueKey { name: key.name.clone(), columns })
        })
        .collect();
    inherited.sort_by(|a, b| a.name.cmp(&b.name));
    if kept.primary_key().is_none() {
        let is_inherited = |key: &UniqueKey| inherited.iter().any(|other| other.columns == key.columns);
        parts.unique_keys.retain(|key| !is_inherited(key));
    }
    parts.unique_keys.extend(inherited);
}
