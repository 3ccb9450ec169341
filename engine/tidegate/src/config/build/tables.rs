//! `tables`: each entry with what the sink says where it says nothing, and all of them as a selection.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::sink::{BuiltSink, too_large_policy, topic_template};
use crate::config::choices::TooLargePolicy;
use crate::config::file::{Listed, TableFile};
use crate::config::reader::{Field, Report, parsed};
use crate::config::tables::{ExactName, TablePattern, TableRule, TableSelection, Tables};
use crate::config::task::{SinkOptions, SourceOptions};
use crate::config::template::NameTemplate;

/// `None` if an entry was refused, or if the sink, whose topic, key and partition are the defaults, was.
pub(super) fn table_selection(
    entries: Listed<TableFile>,
    sink: Option<&BuiltSink>,
    source: Option<&SourceOptions>,
    task: &str,
    report: &Report,
) -> Option<TableSelection> {
    let mut rules: Vec<(Tables, TableRule)> = Vec::new();
    let mut excludes = Vec::new();
    // The line in which each exact name stands first, selected or excluded.
    let mut first_seen: HashMap<ExactName, usize> = HashMap::new();
    let mut selects_any = false;
    let mut written = Vec::with_capacity(entries.len());
    let first_place = entries[0].1.clone();

    for (entry, place) in entries {
        let TableFile { table, target, filter, select, columns, topic, key, partition, too_large, chunk_by } = entry;
        let table_place = table.as_given().map(|(_, place)| place.clone());
        let (Some(name), Some(table_place)) = (table.required(report, "an entry must name its tables"), table_place)
        else {
            // Unread, but it may have selected something: no complaint about that.
            selects_any = true;
            continue;
        };
        written.push(name.text.clone());
        if let Tables::Exact(exact) = &name.matcher.tables {
            match first_seen.entry(exact.clone()) {
                Entry::Vacant(entry) => {
                    entry.insert(table_place.at.line);
                }
                Entry::Occupied(line) => {
                    let constraint = format_args!("is named twice, first in line {}", line.get());
                    report.add_value(&table_place, &name.text, constraint);
                }
            }
        }
        if name.matcher.exclude {
            const WHY: &str = "has no meaning for tables that are excluded";
            target.refuse(report, WHY);
            filter.refuse(report, WHY);
            select.refuse(report, WHY);
            columns.refuse(report, WHY);
            topic.refuse(report, WHY);
            key.refuse(report, WHY);
            partition.refuse(report, WHY);
            too_large.refuse(report, WHY);
            chunk_by.refuse(report, WHY);
            excludes.push(name.matcher.tables.into_pattern());
            continue;
        }
        selects_any = true;
        if matches!(source, Some(SourceOptions::BinlogFiles(_) | SourceOptions::Parquet(_))) {
            chunk_by.refuse(report, "has no meaning without source.mysql, nothing else is cut into chunks");
        }
        if sink.is_some_and(|sink| !matches!(sink.options, SinkOptions::Kafka(_))) {
            too_large.refuse(report, "has no meaning without sink.kafka");
        }
        if !select.is_absent() {
            columns.refuse(report, "has no meaning beside `select`, which says all columns");
        }
        let captures = name.matcher.tables.captures();
        let target = parsed(target, report, |text| NameTemplate::parse(text, task, &captures));
        let topic = match topic {
            Field::Absent(_) => sink.map(|sink| sink.topic.clone()),
            field => topic_template(field, task, &captures, report),
        };
        let partition = partition.given().or_else(|| sink.map(|sink| sink.partition.clone()));
        let too_large = too_large_policy(too_large, task, &captures, report)
            .or_else(|| sink.map(|sink| sink.too_large.clone()))
            .unwrap_or(TooLargePolicy::Fail);
        let key = key.given().unwrap_or_else(|| sink.and_then(|sink| sink.key.clone()));
        let (Some(topic), Some(partition)) = (topic, partition) else { continue };
        let joins_tables = target.as_ref().is_some_and(|target| !name.matcher.tables.are_told_apart_by(target));
        let rule = TableRule {
            name: name.text,
            at: place.at,
            target,
            joins_tables,
            given_beside: Vec::new(),
            filter: filter.given(),
            columns: columns.given(),
            select: select.given().map(|items| items.into_iter().map(|(item, _)| item).collect()),
            topic,
            key,
            partition,
            too_large,
            chunk_by: chunk_by.given().unwrap_or_default(),
        };
        rules.push((name.matcher.tables, rule));
    }
    let beside: Vec<_> = (0..rules.len()).map(|index| given_beside(index, &rules)).collect();
    let (mut exact, mut patterns): (Vec<_>, Vec<(TablePattern, TableRule)>) = (Vec::new(), Vec::new());
    for ((tables, mut rule), beside) in rules.into_iter().zip(beside) {
        rule.given_beside = beside;
        match tables {
            Tables::Exact(name) => exact.push((name, rule)),
            Tables::Pattern(pattern) => patterns.push((pattern, rule)),
        }
    }
    if !selects_any {
        report.add(&first_place, "all entries exclude, at least one must select");
    }
    Some(TableSelection::new(exact, patterns, excludes, written))
}

/// The names that other rules give, which a table of this one, or one that comes later, may have, too.
fn given_beside(index: usize, rules: &[(Tables, TableRule)]) -> Vec<[Option<String>; 2]> {
    let is_pattern = |(tables, _): &(Tables, TableRule)| matches!(tables, Tables::Pattern(_));
    let one = &rules[index];
    let others = rules.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, other)| other);
    let may_meet = |other: &&(Tables, TableRule)| {
        let gives_names = one.1.target.is_some() || other.1.target.is_some();
        gives_names && (is_pattern(one) || is_pattern(other))
    };
    let names = |(tables, rule): &(Tables, TableRule)| {
        let fixed = rule.target.as_ref().map_or_else(|| tables.fixed(), |target| target.fixed());
        fixed.map(|name| name.map(str::to_owned))
    };
    others.filter(may_meet).map(names).collect()
}
