//! The steps of a route, each as the task file says of the table.

use std::sync::Arc;

use super::error::{Keyless, RouteError};
use super::names::{name_error, rule_of, selected, target_of_table};
use crate::config::{self, Format, TableSelection, Task};
use tidegate_format::encode::canal_json::{CanalJson, CanalOptions, CanalStatements};
use tidegate_format::encode::dts_avro::{AvroMarks, AvroOptions, DtsAvro};
use tidegate_format::encode::text::TextOptions;
use tidegate_format::encode::zero_dates::ZeroDates;
use tidegate_format::encode::{Encoder, MarkEncoder};
use tidegate_format::key::{KeyEncoder, key_columns};
use tidegate_format::partition::Partitioner;
use tidegate_format::transform::Transform;
use tidegate_model::Table;

/// The keys of a table's messages as its rule says; none if it says none, or if the table has none.
pub fn plan_keys(task: &Task, table: &Arc<Table>, transform: &Transform) -> Result<Option<KeyEncoder>, RouteError> {
    let Some(policy) = &rule_of(task, table.name()).key else { return Ok(None) };
    let output_of = |column| transform.output_of(column);
    let keys = KeyEncoder::plan(policy, table, transform.output(), output_of, text_options(&task.format))?;
    match keys {
        None if task.tombstones => Err(RouteError::NoTombstones { table: table.name().clone() }),
        keys => Ok(keys),
    }
}

/// How a table's messages are spread over the partitions of a topic.
pub fn plan_partitioner(task: &Task, table: &Arc<Table>, partitions: u32) -> Result<Partitioner, RouteError> {
    let rule = rule_of(task, table.name());
    let key = rule.key.as_ref().map(|policy| key_columns(policy, table)).transpose()?.unwrap_or_default();
    let target = target_of_table(&task.tables, table.name())?;
    let partitioner = Partitioner::new(rule.partition.clone(), task.partition_hash, table, &target, partitions)?
        .with_text(task.partition_text)?
        .with_time_zone(text_options(&task.format).time_zone_offset_s)
        .with_key(key);
    match partitioner.scatters_keys().filter(|_| task.tombstones) {
        Some(column) => {
            let (table, column) = (table.name().clone(), column.to_owned());
            Err(RouteError::Scattered { table, column, why: "a tombstone takes what is in its own".to_owned() })
        }
        None => Ok(partitioner),
    }
}

/// Whether all messages of a table, and those that go where its rows go, may be in a topic that is compacted.
pub fn check_compacted(task: &Task, table: &Arc<Table>, topic: &str, policy: &str) -> Result<(), RouteError> {
    let refused = |what| Err(RouteError::Compacted { topic: topic.to_owned(), policy: policy.to_owned(), what });
    if rule_of(task, table.name()).key.is_none() {
        return refused(Keyless::NotAsked(table.name().clone()));
    }
    if plan_keys(task, table, &plan_transform(&task.tables, table)?)?.is_none() {
        return refused(Keyless::Table(table.name().clone()));
    }
    if let Some(column) = plan_partitioner(task, table, 1)?.scatters_keys() {
        let why = format!("topic {topic} with cleanup.policy={policy} keeps one of each");
        return Err(RouteError::Scattered { table: table.name().clone(), column: column.to_owned(), why });
    }
    let forwards = task.incremental.as_ref().is_some_and(|options| options.ddl == config::DdlPolicy::Forward);
    let marks = match &task.format {
        Format::DtsAvro(options) => options.transactions || options.heartbeats,
        Format::CanalJson(_) => false,
    };
    if marks || forwards && task.ddl_topic.is_none() {
        return refused(Keyless::Marks);
    }
    Ok(())
}

/// Filter, projection and name of a table as its rule says.
pub fn plan_transform(selection: &TableSelection, table: &Arc<Table>) -> Result<Transform, RouteError> {
    let selected = selected(selection, table.name());
    let rule = selected.rule;
    let target = selected.target().map_err(name_error(table.name()))?;
    let transform = Transform::compile(table, rule.filter.as_deref(), rule.select.as_deref(), target)?;
    Ok(match &rule.columns {
        Some(columns) => transform.with_columns(table, columns)?,
        None => transform,
    })
}

/// The encoder of a table as the task's format says.
pub fn plan_encoder(format: &Format, output: &Table, server_version: &str) -> Box<dyn Encoder> {
    match format {
        Format::CanalJson(options) => Box::new(CanalJson::new(output, &options.rows)),
        Format::DtsAvro(options) => Box::new(DtsAvro::new(output, &options.rows, server_version)),
    }
}

/// The encoder of what stands between changes.
pub(super) fn plan_mark_encoder(format: &Format, server_version: &str) -> Box<dyn MarkEncoder> {
    match format {
        Format::CanalJson(options) => Box::new(CanalStatements::new(options.ddl_type)),
        Format::DtsAvro(_) => Box::new(AvroMarks::new(server_version)),
    }
}

pub(super) fn plan_zero_dates(format: &Format, output: &Arc<Table>) -> Option<ZeroDates> {
    format.zero_date().and_then(|substitute| ZeroDates::plan(output, substitute))
}

/// How values look as text, in keys too.
pub(super) fn text_options(format: &Format) -> TextOptions {
    match format {
        Format::CanalJson(options) => {
            let CanalOptions { enum_as, set_as, time_zone_offset_s, .. } = options.rows;
            TextOptions { enum_as, set_as, time_zone_offset_s }
        }
        Format::DtsAvro(options) => {
            let AvroOptions { enum_as, set_as } = options.rows;
            TextOptions { enum_as, set_as, time_zone_offset_s: 0 }
        }
    }
}
