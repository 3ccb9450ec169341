//! How a table's rows leave, in the words of a task file: what is remembered of it.

use super::error::RouteError;
use super::names::{rule_of, target_of_table, topic_of_table};
use crate::checkpoint::memory::NO_KEY;
use crate::checkpoint::{LoadState, RememberedTable};
use crate::config::Task;
use tidegate_format::key::KeyPolicy;
use tidegate_format::partition::PartitionPolicy;
use tidegate_model::TableName;

impl RememberedTable {
    /// As the task file has it.
    pub fn of(task: &Task, name: &TableName, load: LoadState) -> Result<RememberedTable, RouteError> {
        let rule = rule_of(task, name);
        Ok(RememberedTable {
            name: name.clone(),
            load,
            is_asked_for: false,
            asked_where: Vec::new(),
            is_needed: false,
            is_unheard_of: false,
            target: Some(target_of_table(&task.tables, name)?).filter(|target| target != name),
            filter: rule.filter.clone(),
            select: rule.select.clone(),
            columns: rule.columns.as_ref().map(ToString::to_string),
            topic: topic_of_table(task, name)?,
            partition: policy_text(&rule.partition),
            key: key_text(rule.key.as_ref()),
        })
    }
}

/// `primary_key`, `{columns: [a, b]}`.
pub fn policy_text(policy: &PartitionPolicy) -> String {
    match policy {
        PartitionPolicy::Zero => "zero".to_owned(),
        PartitionPolicy::Table => "table".to_owned(),
        PartitionPolicy::PrimaryKey => "primary_key".to_owned(),
        PartitionPolicy::Row => "row".to_owned(),
        PartitionPolicy::Columns(names) => format!("{{columns: [{}]}}", names.join(", ")),
    }
}

/// `none`, `json`, `{columns: [a, b], form: json}`, `{template: "{table}:{id}"}`.
fn key_text(policy: Option<&KeyPolicy>) -> String {
    match policy {
        None => NO_KEY.to_owned(),
        Some(KeyPolicy { template: Some(template), .. }) => format!("{{template: \"{template}\"}}"),
        Some(KeyPolicy { form, columns: None, .. }) => form.word().to_owned(),
        Some(KeyPolicy { form, columns: Some(names), .. }) => {
            format!("{{columns: [{}], form: {}}}", names.join(", "), form.word())
        }
    }
}
