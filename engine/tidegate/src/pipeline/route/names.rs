//! What tables are called where they go, and the topics that their messages go to.

use std::collections::HashSet;

use super::error::RouteError;
use crate::config::{self, TableSelection, Task};
use tidegate_model::TableName;

/// What the task file says of a captured table.
pub fn rule_of<'a>(task: &'a Task, table: &TableName) -> &'a config::TableRule {
    selected(&task.tables, table).rule
}

pub(super) fn selected<'a>(selection: &'a TableSelection, table: &TableName) -> config::Selected<'a> {
    selection.selected(table).expect("only captured tables have routes")
}

pub(super) fn name_error(table: &TableName) -> impl Fn(config::NameError) -> RouteError {
    move |error| RouteError::Name { table: table.clone(), error }
}

/// What a table is called where it goes.
pub fn target_of_table(selection: &TableSelection, table: &TableName) -> Result<TableName, RouteError> {
    selected(selection, table).target().map_err(name_error(table))
}

/// `shop_1.orders as shop.orders`, or one name if both are the same.
pub fn with_target(source: &TableName, target: &TableName) -> String {
    if source == target { source.to_string() } else { format!("{source} as {target}") }
}

/// Where a table's rows go.
pub fn topic_of_table(task: &Task, table: &TableName) -> Result<String, RouteError> {
    selected(&task.tables, table).topic().map_err(name_error(table))
}

/// Where statements that touch a table go, if not to its topic.
pub fn ddl_topic_of_table(task: &Task, table: &TableName) -> Result<Option<String>, RouteError> {
    let Some(template) = &task.ddl_topic else { return Ok(None) };
    let target = target_of_table(&task.tables, table)?;
    template.render(&target).map(Some).map_err(name_error(table))
}

/// Where messages of a table go that are too large for its topic, if they go anywhere.
pub fn dead_letter_topic_of_table(task: &Task, table: &TableName) -> Result<Option<String>, RouteError> {
    selected(&task.tables, table).dead_letter_topic().map_err(name_error(table))
}

/// Refuses what is too large of one table in parts among the rows of another.
pub fn check_letters<'a>(task: &Task, tables: impl Iterator<Item = &'a TableName> + Clone) -> Result<(), RouteError> {
    let rows = tables.clone().map(|table| topic_of_table(task, table)).collect::<Result<HashSet<_>, _>>()?;
    for table in tables {
        if let Some(topic) = dead_letter_topic_of_table(task, table)?.filter(|topic| rows.contains(topic)) {
            return Err(RouteError::LettersAmongRows { table: table.clone(), topic });
        }
    }
    Ok(())
}

/// All topics that messages of a table may go to: of its rows, of statements about it, and of what is too large.
pub fn topics_of_table(task: &Task, table: &TableName) -> Result<impl Iterator<Item = String>, RouteError> {
    let rows = topic_of_table(task, table)?;
    let others = [ddl_topic_of_table(task, table)?, dead_letter_topic_of_table(task, table)?];
    Ok([rows].into_iter().chain(others.into_iter().flatten()))
}
