//! Tables that have one name where they go: the same table of several databases, which nobody behind this program tells apart.
//!
//! ```text
//! shop_0.orders ─┐
//! shop_1.orders ─┼─ as: shop.orders ──► one topic, one name; each message has the columns of its own row
//! shop_2.orders ─┘
//! ```
//!
//! That it is meant, the task file says: by one pattern, or by a name that is written twice. What hardly ever is meant are tables that
//! differ, so the first start refuses those, by name, and so does one whose task file says something else of them. Later they may differ
//! for a while, for a statement that alters all of them reaches one after the other. Then nothing stops: both formats say with each
//! row which columns it has, and the log says which tables differ, and in what.
//!
//! The same key in two of them is one row to whoever keys by it. Which keys there are, nobody knows without reading all of them:
//! `check` and a first start say it of each such name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::checkpoint::{Checkpoint, RememberedTable};
use crate::config::{DdlPolicy, TableRule, Task};
use crate::pipeline::route::{
    Differ, Mismatch, RouteError, enter_kind, plan_keys, plan_transform, policy_text, rule_of, target_of_table,
    topic_of_table,
};
use tidegate_format::transform::Transform;
use tidegate_model::names::is_same;
use tidegate_model::{Table, TableName};
use tidegate_mysql::check::list_names;
use tidegate_mysql::ledger::Ledger;

/// Tables by the name that they share. What cannot be sent is refused elsewhere, and left out here.
fn groups<'a>(task: &Task, tables: &'a [Arc<Table>]) -> BTreeMap<TableName, Vec<&'a Arc<Table>>> {
    let mut groups: BTreeMap<TableName, Vec<&Arc<Table>>> = BTreeMap::new();
    if task.tables.gives_names() {
        for table in tables {
            if let Ok(target) = target_of_table(&task.tables, table.name()) {
                groups.entry(target).or_default().push(table);
            }
        }
    }
    groups.retain(|_, tables| tables.len() > 1);
    groups.values_mut().for_each(|tables| tables.sort_by(|a, b| a.name().cmp(b.name())));
    groups
}

/// What tables differ in from most others that have their name.
pub fn mismatches(task: &Task, tables: &[Arc<Table>]) -> Vec<Mismatch> {
    let mut found = Vec::new();
    for (target, tables) in groups(task, tables) {
        let (mut kinds, mut settings) = (Vec::new(), Vec::new());
        for table in tables {
            let Ok(transform) = plan_transform(&task.tables, table) else { continue };
            enter_kind(&mut kinds, table.name().clone(), transform.output());
            if let Ok(of_table) = settings_of(task, table, &transform) {
                enter_settings(&mut settings, table.name().clone(), of_table);
            }
        }
        kinds.sort_by_key(|(_, tables)| std::cmp::Reverse(tables.len()));
        if let Some(((most, of_most), others)) = kinds.split_first() {
            found.extend(others.iter().filter_map(|(kind, tables)| Mismatch::of([of_most, tables], [most, kind])));
        }
        found.extend(other_settings(&target, settings));
    }
    found
}

/// What decides where a key's messages are found, by the option of the task file.
const SETTINGS: [&str; 3] = ["topic", "partition", "key"];

/// Of messages without a key.
const NO_KEY: &str = "none";

/// What the task file says of tables, and of which.
type Settings = ([String; 3], Vec<TableName>);

fn enter_settings(groups: &mut Vec<Settings>, table: TableName, settings: [String; 3]) {
    match groups.iter_mut().find(|(others, _)| *others == settings) {
        Some((_, tables)) => tables.push(table),
        None => groups.push((settings, vec![table])),
    }
}

/// Tables of one name of which the task file says something else than of most: messages of one key would be in several places.
fn other_settings(target: &TableName, mut groups: Vec<Settings>) -> Vec<Mismatch> {
    groups.sort_by_key(|(_, tables)| std::cmp::Reverse(tables.len()));
    let Some(((most, of_most), others)) = groups.split_first() else { return Vec::new() };
    let other = |(settings, tables): &Settings| {
        let at = (0..SETTINGS.len()).find(|&at| settings[at] != most[at])?;
        let what = format!("`{}` is {}, and {}", SETTINGS[at], most[at], settings[at]);
        Some(Mismatch { tables: [of_most.clone(), tables.clone()], target: target.clone(), what })
    };
    others.iter().filter_map(other).collect()
}

fn settings_of(task: &Task, table: &Arc<Table>, transform: &Transform) -> Result<[String; 3], RouteError> {
    let rule = rule_of(task, table.name());
    let keys = plan_keys(task, table, transform)?;
    let key = keys.map(|keys| keys.shape()).unwrap_or_else(|| NO_KEY.to_owned());
    Ok([topic_of_table(task, table.name())?, policy_text(&rule.partition), key])
}

/// Of each topic in which several tables have keys that look alike: `topic all has alike keys of shop.a and shop.b`. Those that share a
/// name are told of otherwise.
pub fn shared_topics(task: &Task, tables: &[Arc<Table>]) -> Vec<String> {
    let mut topics: BTreeMap<[String; 2], BTreeMap<TableName, TableName>> = BTreeMap::new();
    for table in tables.iter().filter(|table| rule_of(task, table.name()).key.is_some()) {
        // What cannot be sent is refused elsewhere.
        let Ok(transform) = plan_transform(&task.tables, table) else { continue };
        if let Ok([topic, _, key]) = settings_of(task, table, &transform)
            && key != NO_KEY
        {
            let target = transform.output().name().clone();
            topics.entry([topic, key]).or_default().entry(target).or_insert_with(|| table.name().clone());
        }
    }
    let shared = topics.iter().filter(|(_, tables)| tables.len() > 1);
    shared
        .map(|([topic, _], tables)| {
            format!("topic {topic} has keys of the same form from {}", list_names(&tables.values().collect::<Vec<_>>()))
        })
        .collect()
}

/// Whether the task file makes the difference, and no statement: nothing has been sent yet, or one of them was sent otherwise. So a
/// start refuses it. Of tables that have come to differ before, other columns are accepted by their own name.
pub fn is_refused(mismatch: &Mismatch, task: &Task, stored: &Checkpoint) -> bool {
    let was_apart = stored.remembered.as_ref().is_some_and(|task| task.apart.contains(&mismatch.target));
    let was_another = |name: &TableName| {
        let Some(was) = stored.remembered_table(name) else { return false };
        let is = RememberedTable::of(task, name, was.load);
        let texts = |table: &RememberedTable| {
            let columns = (!was_apart).then(|| (table.select.clone(), table.columns.clone()));
            (columns, table.target.clone(), table.topic.clone(), table.partition.clone(), table.key.clone())
        };
        is.is_ok_and(|is| texts(was) != texts(&is))
    };
    !stored.has_begun() || mismatch.tables.iter().flatten().any(was_another)
}

/// Refuses tables that differ by what the task file says of them now. Gives the names that tables have which differ otherwise.
pub fn refuse(task: &Task, tables: &[Arc<Table>], stored: &Checkpoint) -> Result<BTreeSet<TableName>, Differ> {
    let found = mismatches(task, tables);
    let (refused, apart): (Vec<_>, Vec<_>) = found.into_iter().partition(|mismatch| is_refused(mismatch, task, stored));
    if refused.is_empty() {
        Ok(apart.into_iter().map(|mismatch| mismatch.target).collect())
    } else {
        Err(Differ(refused))
    }
}

/// What chunks have shown is dropped by the key of one table, so that of each key there is one point up to which changes are dropped.
/// Where consumers know rows by another key, or find those of several tables under one name, a row may come to a key whose last
/// change of before is not dropped: all changes of such tables are sent.
pub fn drop_nothing_of_other_keys(task: &Task, tables: &[&TableName], ledger: &mut Ledger) -> Result<(), RouteError> {
    let mut names: BTreeSet<&TableName> = tables.iter().copied().collect();
    names.extend(ledger.tables().iter().map(|table| &table.name));
    let mut by_target: BTreeMap<TableName, Vec<(&TableName, &TableRule)>> = BTreeMap::new();
    for name in names {
        // One that the task no longer has is none of its tables.
        let Some(rule) = task.tables.matches(&name.database, &name.table) else { continue };
        by_target.entry(target_of_table(&task.tables, name)?).or_default().push((name, rule));
    }
    let mut shared = Vec::new();
    for (target, tables) in &by_target {
        let may_be = |name: &Option<String>, is: &str| name.as_ref().is_none_or(|name| is_same(name, is));
        let is_given = |[database, table]: &[Option<String>; 2]| {
            may_be(database, &target.database) && may_be(table, &target.table)
        };
        for (name, rule) in tables {
            // Of one that was left behind a gap, none of the changes before its end is wanted.
            let Some(table) = ledger.table(name).filter(|table| !table.is_taken_as_read()) else { continue };
            let key = rule.key.as_ref().and_then(|key| key.columns.as_ref());
            let is_within = |columns: &Vec<String>| {
                table.key.columns.iter().all(|column| columns.iter().any(|name| is_same(name, &column.name)))
            };
            let is_shared = tables.len() > 1 || rule.joins_tables || rule.given_beside.iter().any(is_given);
            if is_shared || key.is_some_and(|columns| !is_within(columns)) {
                shared.push(TableName::clone(name));
            }
        }
    }
    shared.iter().for_each(|name| _ = ledger.replay(name));
    Ok(())
}

/// Of each name that several tables with keys have: `shop.orders is the name of shop_0.orders, shop_1.orders`.
pub fn shared_names(task: &Task, tables: &[Arc<Table>]) -> Vec<String> {
    let groups = groups(task, tables);
    let keyed = groups.iter().filter(|(_, tables)| tables.iter().any(|table| !table.key().is_empty()));
    keyed
        .map(|(target, tables)| {
            let names: Vec<&TableName> = tables.iter().map(|table| table.name()).collect();
            format!("{target} is the name of {}", list_names(&names))
        })
        .collect()
}

/// What follows from [`shared_names`].
pub fn meaning(task: &Task) -> String {
    let keys = "a row of one and a row of another with the same key are one row to consumers, so keys must be unique over all of them";
    match task.incremental.as_ref().map(|options| options.ddl) {
        Some(DdlPolicy::Forward) => format!("{keys}; and a TRUNCATE or DROP of one of them looks like one of all"),
        _ => keys.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::TableParts;
    use tidegate_model::pretty::table;

    fn named(name: &str, header: &str, keys: &[(&str, &[usize])]) -> Table {
        let mut parts = TableParts::from(Table::clone(&table(header)));
        parts.name = TableName::new("shop", name);
        parts.unique_keys = keys
            .iter()
            .map(|(name, columns)| tidegate_model::UniqueKey { name: (*name).to_owned(), columns: columns.to_vec() })
            .collect();
        Table::from(parts)
    }

    #[test]
    fn what_consumers_would_see_is_a_difference() {
        let primary: &[(&str, &[usize])] = &[("PRIMARY", &[0])];
        let one = named("a", "id:int name:text", primary);
        for (header, keys, expected) in [
            ("id:int name:text", primary, None),
            ("name:text id:int", &[("PRIMARY", &[1][..])][..], None),
            ("id:int name:text note:text", primary, Some("shop.a has no column note")),
            ("id:int", primary, Some("shop.b has no column name")),
            ("id:int Name:text", primary, Some("shop.b has no column name")),
            ("id:text name:text", primary, Some("column id is bigint, and varchar(20)")),
            ("id:int name:text", &[], Some("the primary key is (id), and none")),
            ("id:int name:text", &[("PRIMARY", &[0, 1])], Some("the primary key is (id), and (id, name)")),
            ("id:int name:text", &[("PRIMARY", &[0]), ("u", &[1])], Some("only shop.b has a unique key (name)")),
        ] {
            let other = named("b", header, keys);
            let found = Mismatch::of([&[one.name().clone()], &[other.name().clone()]], [&one, &other]);
            assert_eq!(found.as_ref().map(|found| found.what.as_str()), expected, "{header} {keys:?}");
        }
    }

    /// Of many databases, the few that are behind are named.
    #[test]
    fn most_tables_are_right() {
        let task = "task: t\nsource: {mysql: mysql://a@b}\nsink: {null: {}}\nformat: canal_json\ntables: [{table: 'shop.*', as: crm.t}]";
        let task = crate::config::parse("t.yaml", task).unwrap();
        let tables = ["a", "b", "c", "d", "e"].map(|name| {
            let header = if ["a", "d"].contains(&name) { "id:int" } else { "id:int note:text" };
            Arc::new(named(name, header, &[("PRIMARY", &[0])]))
        });
        let found: Vec<String> = mismatches(&task, &tables).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "tables shop.b and shop.a are both sent as crm.t, and differ: shop.a has no column note; and 1 more like shop.a"
            ]
        );
        let fresh = Checkpoint::new("t", crate::checkpoint::SourceIdentity::GtidDomain);
        assert!(refuse(&task, &tables, &fresh).is_err());
        assert_eq!(shared_names(&task, &tables), ["crm.t is the name of shop.a, shop.b, shop.c, shop.d, shop.e"]);
        assert!(refuse(&task, &tables[1..3], &fresh).is_ok());
    }

    /// By names that are written twice, and by a topic that two tables have.
    #[test]
    fn keys_of_one_name_are_found_in_one_place() {
        let task = |tables: &str| {
            let text =
                "task: t\nsource: {mysql: mysql://a@b}\nsink: {null: {}, key: json}\nformat: canal_json\ntables: ";
            crate::config::parse("t.yaml", &format!("{text}{tables}")).unwrap()
        };
        let tables = ["a", "b"].map(|name| Arc::new(named(name, "id:int note:text", &[("PRIMARY", &[0])])));
        for (more, expected) in [
            ("", None),
            (", topic: x", Some("`topic` is crm.t, and x")),
            (", partition: table", Some("`partition` is primary_key, and table")),
            (", key: text", Some("`key` is (id) as json, and (id) as text")),
            (", key: {columns: [note]}", Some("`key` is (id) as json, and (note) as json")),
        ] {
            let task = task(&format!("[{{table: shop.a, as: crm.t}}, {{table: shop.b, as: crm.t{more}}}]"));
            let found = mismatches(&task, &tables);
            assert_eq!(found.first().map(|found| found.what.as_str()), expected, "{more}");
            assert_eq!(shared_topics(&task, &tables), [""; 0], "they share a name");
        }
        let shared = shared_topics(&task("[{table: shop.a, topic: x}, {table: shop.b, topic: x}]"), &tables);
        assert_eq!(shared, ["topic x has keys of the same form from shop.a, shop.b"]);
        let apart = task("[{table: shop.a, topic: x}, {table: shop.b, topic: x, key: {columns: [note]}}]");
        assert_eq!(shared_topics(&apart, &tables), [""; 0]);
    }

    #[test]
    fn what_keys_are_called_is_none() {
        let [one, other] = ["u", "v"].map(|key| named(key, "id:int", &[(key, &[0])]));
        assert_eq!(Mismatch::of([&[one.name().clone()], &[other.name().clone()]], [&one, &other]), None);
    }
}
