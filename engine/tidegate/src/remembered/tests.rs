//! A task that is not what it was is noticed, and one that is goes on.

use super::*;
use crate::checkpoint::SourceIdentity;
use crate::config;
use tidegate_model::state::Keyed;
use tidegate_model::{Column, Coordinate, Position, TableParts, UniqueKey};
use tidegate_mysql::catalog::parse_type;
use tidegate_sink::TopicLook;

fn task(rest: &str) -> Task {
    let source = "source: {mysql: mysql://tide@db}";
    let format = if rest.contains("format:") { "" } else { "format: canal_json" };
    let sink = if rest.contains("sink:") { "" } else { "sink: {kafka: b}" };
    config::parse("t.yaml", &format!("task: shop\n{source}\n{sink}\n{format}\n{rest}\n")).unwrap()
}

fn table(name: &str) -> Arc<Table> {
    let name = TableName::new("shop", name);
    Arc::new(Table::from(TableParts { name, version: 1, columns: Vec::new(), unique_keys: Vec::new() }))
}

/// All topics in use, as one that has messages of the task.
fn topics(stored: &Checkpoint, task: &Task, tables: &[Arc<Table>], look: Option<TopicLook>) -> TopicLooks {
    topics_in_use(stored, task, tables).unwrap().into_iter().map(|topic| (topic, look.clone())).collect()
}

fn written() -> TopicLook {
    TopicLook { partitions: 3, holds_messages: true, ends: vec![9, 0, 4], identity: Some((7, 1)) }
}

/// What such a task leaves after its full load.
fn checkpoint(task: &Task, names: &[&str]) -> Checkpoint {
    let tables: Vec<_> = names.iter().map(|name| table(name)).collect();
    let mut checkpoint = Checkpoint::new(&task.name, SourceIdentity::GtidDomain);
    let topics = topics(&checkpoint, task, &tables, None);
    take_up_all(&mut checkpoint, task, &tables, &topics).unwrap();
    for topic in topics.keys() {
        checkpoint.topic_spread(topic, 3, Some((7, 1)));
        checkpoint.topic_written(topic);
    }
    for name in names {
        checkpoint.table_loaded(&TableName::new("shop", name));
    }
    let coordinate = Coordinate::new("binlog.000001", 4);
    checkpoint.source.position = Some(Position::new(coordinate, None));
    checkpoint
}

/// `filter: where of shop.a was …` for each difference.
fn differences(stored: &Checkpoint, task: &Task, names: &[&str], look: Option<TopicLook>) -> Vec<String> {
    let tables: Vec<_> = names.iter().map(|name| table(name)).collect();
    let topics = topics(stored, task, &tables, look);
    let found = compare(stored, task, &tables, &topics).unwrap();
    let name = |accept: Option<Accept>| accept.map_or("harmless".to_owned(), Accept::name);
    found.into_iter().map(|found| format!("{}: {}", name(found.accept), found.what)).collect()
}

const TABLES: &str = "tables: [shop.a, shop.b]";

#[test]
fn the_same_task_is_the_same() {
    let text = "tables: [{table: 'shop.*', where: c > 1, select: [a, upper(b) AS b], partition: {columns: [a]}}]
sink: {kafka: b, topic: x, ddl_topic: y}
incremental: {ddl: forward}
format: {dts_avro: {enum: index}}";
    let stored = checkpoint(&task(text), &["a", "b"]);
    assert_eq!(differences(&stored, &task(text), &["a", "b"], Some(written())), [""; 0]);
    // Nor does a table differ that was dropped meanwhile, or anything that does not concern rows.
    let text = format!("{text}\nmemory: 100MiB\nretry: {{connection: 5s}}\n");
    assert_eq!(differences(&stored, &task(&text), &["a"], Some(written())), [""; 0]);
}

#[test]
fn what_decides_about_rows_and_bytes_is_compared() {
    let stored = checkpoint(&task(TABLES), &["a", "b"]);
    for (text, expected) in [
        (
            "tables: [{table: shop.a, where: \"c = 'x {}'\"}, shop.b]",
            &["filter: where of shop.a was not set, is c = 'x {}'"][..],
        ),
        ("tables: [{table: 'shop.*', select: [a, b]}]", &["select: select of shop.a, shop.b was not set, is [a, b]"]),
        (
            "tables: [{table: shop.a, topic: x}, {table: shop.b, partition: {columns: [c, d]}}]",
            &[
                "topic: topic of shop.a was shop.a, is x",
                "partitions: partition of shop.b was primary_key, is {columns: [c, d]}",
                "non_empty_topics: topic x holds messages, and there is no state that says who wrote them",
            ],
        ),
        (
            "tables: [{table: shop.a, key: {columns: [c, d], form: text}}, shop.b]",
            &["key: key of shop.a was none, is {columns: [c, d], form: text}"],
        ),
        (
            "tables: [{table: shop.a, as: x.a, topic: shop.a, partition: table}, shop.b]",
            &[
                "partitions: name of shop.a was shop.a, is x.a",
                "as: name of shop.a was shop.a, is x.a",
                "partitions: partition of shop.a was primary_key, is table",
            ],
        ),
        (
            "tables: ['shop.*']\nsink: {kafka: b, key: json, tombstones: true, headers: [op, gtid], partition_hash: murmur2}",
            &[
                "partitions: sink.partition_hash was dts, is murmur2",
                "key: sink.tombstones was false, is true",
                "format: sink.headers was [], is [op, gtid]",
                "partitions: key of shop.a, shop.b was none, is json",
                "key: key of shop.a, shop.b was none, is json",
            ],
        ),
        (
            "tables: [shop.a, shop.b]\nsink: {kafka: b, partition_hash: canal, non_empty_topics: accept}",
            &["partitions: sink.partition_hash was dts, is canal"],
        ),
        (
            "tables: [shop.a, shop.b]\nsink: {kafka: b, partition_text: collation, non_empty_topics: accept}",
            &["partitions: sink.partition_text was bytes, is collation"],
        ),
        (
            "tables: [shop.a, shop.b]\nformat: {canal_json: {profile: dts, enum: index, time_zone: '-03:30'}}",
            &[
                "format: format.canal_json.profile was canal, is dts",
                "format: format.canal_json.time_zone was +00:00, is -03:30",
                "format: format.canal_json.set was bits, is label",
                "format: format.canal_json.ddl_type was kind, is ddl",
            ],
        ),
        ("tables: [shop.a, shop.b]\nformat: dts_avro", &["format: format was canal_json, is dts_avro"]),
    ] {
        assert_eq!(differences(&stored, &task(text), &["a", "b"], Some(written())), expected, "{text}");
    }
}

#[test]
fn names_of_columns_are_in_keys() {
    let with = |more: &str| task(&format!("tables: [{{table: shop.a{more}}}]\nsink: {{kafka: b, key: json}}"));
    let stored = checkpoint(&with(""), &["a"]);
    assert_eq!(
        differences(&stored, &with(", columns: ['*', a AS z]"), &["a"], Some(written())),
        [
            "key: names of columns of shop.a was not set, is [*, a AS z]",
            "select: columns of shop.a was not set, is [*, a AS z]"
        ]
    );
    assert_eq!(
        differences(&stored, &with(", columns: ['!c']"), &["a"], Some(written())),
        ["select: columns of shop.a was not set, is [!c]"]
    );
}

/// What writes values otherwise writes them so in keys, and hashes them so.
#[test]
fn values_that_are_written_otherwise_make_other_keys() {
    let keyed = |type_text: &str| {
        let column = Column {
            name: "k".to_owned(),
            sql_type: parse_type(type_text).unwrap(),
            type_text: type_text.to_owned(),
            nullable: false,
            charset: None,
            collation: None,
        };
        let unique_keys = vec![UniqueKey { name: "PRIMARY".to_owned(), columns: vec![0] }];
        let name = TableName::new("shop", "a");
        Arc::new(Table::from(TableParts { name, version: 1, columns: vec![column], unique_keys }))
    };
    let key = "key: key of shop.a has values that the format writes otherwise now";
    let partition = "partitions: partition of shop.a goes by values that the format writes otherwise now";
    for (type_text, options, sink, expected) in [
        ("timestamp", "time_zone: '+08:00'", "key: json", &[key, partition][..]),
        ("timestamp", "time_zone: '+08:00'", "key: json, partition: zero", &[key]),
        ("timestamp", "time_zone: '+08:00'", "partition_hash: dts", &[partition]),
        ("timestamp", "enum: label", "key: json", &[]),
        ("datetime", "time_zone: '+08:00'", "key: json", &[]),
        ("enum('a')", "enum: label", "key: json", &[key]),
        ("enum('a')", "enum: label", "key: json, partition_hash: murmur2", &[key, partition]),
        ("set('a')", "set: label", "key: text", &[key]),
    ] {
        let with = |options: &str| {
            task(&format!("tables: [shop.a]\nsink: {{kafka: b, {sink}}}\nformat: {{canal_json: {{{options}}}}}"))
        };
        let stored = checkpoint(&with("profile: canal"), &["a"]);
        let is = with(options);
        let tables = [keyed(type_text)];
        let topics = topics(&stored, &is, &tables, Some(written()));
        let found = compare(&stored, &is, &tables, &topics).unwrap();
        let found: Vec<String> = found
            .into_iter()
            .filter(|found| found.accept != Some(Accept::Format))
            .map(|found| format!("{}: {}", found.accept.unwrap().name(), found.what))
            .collect();
        assert_eq!(found, expected, "{type_text}, {options}, {sink}");
    }
}

/// One that was written before there were keys.
#[test]
fn an_old_checkpoint_had_no_keys() {
    let table: RememberedTable = serde_json::from_str(
        r#"{"name": {"database": "shop", "table": "a"}, "load": "done", "filter": null, "select": null,
                "topic": "shop.a", "partition": "primary_key"}"#,
    )
    .unwrap();
    assert_eq!(table.key, "none");
}

/// A name is compared as it comes out, however the task file makes it.
#[test]
fn names_where_tables_go_are_compared() {
    let named = task("tables: [{table: 'shop.*', as: 'crm.{table}', columns: ['!x']}]");
    let stored = checkpoint(&named, &["a", "b"]);
    let same = "tables: [{table: shop.a, as: crm.a, columns: ['!x']}, {table: shop.b, as: crm.b, columns: ['!x']}]";
    assert_eq!(differences(&stored, &task(same), &["a", "b"], Some(written())), [""; 0]);
    let sink = "sink: {kafka: b, topic: 'crm.{table}', non_empty_topics: accept}";
    for (text, expected) in [
        (
            "tables: [{table: 'shop.*', columns: ['!x']}]",
            &["as: name of shop.a was crm.a, is shop.a", "as: name of shop.b was crm.b, is shop.b"][..],
        ),
        (
            "tables: [{table: 'shop.*', as: 'crm.{table}', columns: ['!x', '!y']}]",
            &["select: columns of shop.a, shop.b was [!x], is [!x, !y]"],
        ),
    ] {
        let found = differences(&stored, &task(&format!("{text}\n{sink}")), &["a", "b"], Some(written()));
        assert_eq!(found, expected, "{text}");
    }
    // What an earlier version has left had the source's names.
    let mut old = checkpoint(&task(TABLES), &["a", "b"]);
    let json = serde_json::to_value(old.remembered_table(&TableName::new("shop", "a"))).unwrap();
    assert!(json.get("target").is_none() && json.get("columns").is_none(), "{json}");
    // Once accepted, the new one is what counts.
    let is = task(&format!("tables: [{{table: 'shop.*', as: 'crm.{{table}}'}}]\n{sink}"));
    let tables = [table("a"), table("b")];
    let topics = topics(&old, &is, &tables, Some(written()));
    take_up_all(&mut old, &is, &tables, &topics).unwrap();
    topics.keys().for_each(|topic| old.topic_spread(topic, 3, Some((7, 1))));
    assert_eq!(differences(&old, &is, &["a", "b"], Some(written())), [""; 0]);
}

#[test]
fn tables_come_and_go() {
    let stored = checkpoint(&task(TABLES), &["a", "b"]);
    let with_topics = "sink: {kafka: b, non_empty_topics: accept}";
    let added = task(&format!("tables: [shop.a, shop.b, shop.c]\n{with_topics}"));
    assert_eq!(
        differences(&stored, &added, &["a", "b", "c"], Some(written())),
        ["harmless: table shop.c has been added"]
    );
    let removed = differences(&stored, &task("tables: [shop.a]"), &["a"], Some(written()));
    assert_eq!(removed, ["tables: table shop.b is no longer selected"]);
    // A full load that has not ended takes the new table along.
    let mut loading = stored.clone();
    loading.source.ledger = Some(tidegate_mysql::ledger::Ledger::new(stored.source.position.clone().unwrap()));
    let found = differences(&loading, &added, &["a", "b", "c"], Some(written()));
    assert_eq!(found, ["harmless: table shop.c has been added"]);
    // One that the old patterns select has come to be since.
    let pattern = task(&format!("tables: ['shop.*', '!shop.d']\n{with_topics}"));
    let stored = checkpoint(&pattern, &["a", "b"]);
    let found = differences(&stored, &pattern, &["a", "b", "c"], Some(written()));
    assert_eq!(found, ["harmless: table shop.c has been added"]);
    let without = task(&format!("tables: ['shop.*']\n{with_topics}"));
    let found = differences(&stored, &without, &["a", "b", "c", "d"], Some(written()));
    assert_eq!(found, ["harmless: table shop.c has been added", "harmless: table shop.d has been added"]);
}

#[test]
fn a_full_load_is_not_forgotten() {
    let off = format!("{TABLES}\nfull_load: false");
    let stored = checkpoint(&task(&off), &["a", "b"]);
    let found = differences(&stored, &task(TABLES), &["a", "b"], Some(written()));
    assert_eq!(found, ["harmless: full_load was false, and is switched on"]);
    let mut stored = checkpoint(&task(TABLES), &["a", "b"]);
    assert_eq!(differences(&stored, &task(&off), &["a", "b"], Some(written())), [""; 0]);
    stored.load_wanted(&TableName::new("shop", "a"));
    let found = differences(&stored, &task(&off), &["a", "b"], Some(written()));
    assert_eq!(found, ["full_load: full_load is switched off before the full load has ended"]);
}

#[test]
fn topics_are_what_they_were() {
    let one = task("tables: [shop.a]");
    let stored = checkpoint(&one, &["a"]);
    let found = |look| differences(&stored, &one, &["a"], look);
    assert_eq!(found(None), ["deleted_topics: topic shop.a does not exist any more"]);
    let new = TopicLook { partitions: 4, holds_messages: false, ends: vec![0; 4], identity: None };
    assert_eq!(
        found(Some(new)),
        ["deleted_topics: topic shop.a was deleted and made again", "partitions: topic shop.a had 3 partitions, has 4"]
    );
    // Messages may have expired.
    assert_eq!(found(Some(TopicLook { holds_messages: false, ..written() })), [""; 0]);
    assert_eq!(found(Some(TopicLook { identity: None, ..written() })), [""; 0]);
    let another = TopicLook { identity: Some((7, 2)), ..written() };
    assert_eq!(found(Some(another.clone())), ["deleted_topics: topic shop.a was deleted and made again"]);
    // Offsets only rise, whoever wrote last.
    let mut ended = stored.clone();
    ended.topic_ends("shop.a", &[7, 0, 5]);
    let found = |look| differences(&ended, &one, &["a"], Some(look));
    let lost = "deleted_topics: topic shop.a lost messages: partition 2 ended at offset 5, and ends at 4";
    assert_eq!(found(written()), [lost]);
    assert_eq!(found(TopicLook { ends: vec![7, 1, 5], ..written() }), [""; 0]);
    assert_eq!(found(TopicLook { ends: vec![9, 0], ..written() }), [""; 0]);
    // Once accepted, it is the one that counts.
    let mut accepted = stored.clone();
    let tables = [table("a")];
    take_up_all(&mut accepted, &one, &tables, &TopicLooks::from([("shop.a".to_owned(), Some(another.clone()))]))
        .unwrap();
    assert_eq!(differences(&accepted, &one, &["a"], Some(another)), [""; 0]);
}

#[test]
fn a_task_without_a_state_asks_about_messages() {
    let fresh = Checkpoint::new("shop", SourceIdentity::GtidDomain);
    let found = |text: &str, look| differences(&fresh, &task(text), &["a", "b"], Some(look));
    let expected = |table| {
        format!("non_empty_topics: topic shop.{table} holds messages, and there is no state that says who wrote them")
    };
    assert_eq!(found(TABLES, written()), [expected("a, shop.b")]);
    assert_eq!(found(TABLES, TopicLook { holds_messages: false, ..written() }), [""; 0]);
    let shared = format!("{TABLES}\nsink: {{kafka: b, non_empty_topics: accept}}");
    assert_eq!(found(&shared, written()), [""; 0]);
}

#[test]
fn what_was_accepted_is_what_the_task_is() {
    let was = task(TABLES);
    let mut stored = checkpoint(&was, &["a", "b"]);
    let is = task("tables: [{table: shop.a, where: c > 1}, shop.c]\nformat: dts_avro");
    let tables = [table("a"), table("c")];
    let mut topics = topics(&stored, &is, &tables, Some(written()));
    topics.insert("shop.a".to_owned(), None);
    take_up_all(&mut stored, &is, &tables, &topics).unwrap();
    // As the router does.
    for topic in topics.keys() {
        stored.topic_spread(topic, 3, Some((7, 1)));
    }
    let unwritten = TopicLook { ends: vec![0; 3], ..written() };
    assert_eq!(differences(&stored, &is, &["a", "c"], Some(unwritten)), [""; 0]);
    let names: Vec<String> = stored.tables.values().map(|table| format!("{} {:?}", table.name, table.load)).collect();
    assert_eq!(names, ["shop.a Done", "shop.c Wanted"]);
    assert!(stored.topics.values().all(|topic| !topic.written), "{:?}", stored.topics);
}

/// A checkpoint of a version that remembered nothing: what is now is what is compared with later.
#[test]
fn a_checkpoint_without_memory_is_given_one() {
    let is = task(TABLES);
    let mut stored = checkpoint(&is, &["a", "b"]);
    (stored.tables, stored.topics, stored.remembered) = (Keyed::default(), Keyed::default(), None);
    assert_eq!(differences(&stored, &is, &["a", "b"], Some(written())), [""; 0]);
    let tables = [table("a"), table("b")];
    let topics = topics(&stored, &is, &tables, Some(written()));
    take_up_all(&mut stored, &is, &tables, &topics).unwrap();
    assert!(stored.tables.values().all(|table| table.load == LoadState::Done), "{:?}", stored.tables);
    assert!(stored.topics.values().all(|topic| topic.written), "{:?}", stored.topics);
    for topic in topics.keys() {
        stored.topic_spread(topic, 3, Some((7, 1)));
    }
    let found = differences(&stored, &is, &["a", "b"], None);
    assert_eq!(found, ["deleted_topics: topic shop.a, shop.b does not exist any more"]);
}

#[test]
fn all_is_refused_together_and_accepted_by_name() {
    let difference = |accept, what: &str| Difference { accept, what: what.to_owned(), means: "so" };
    let all = vec![
        difference(Some(Accept::Topic), "one"),
        difference(None, "two"),
        difference(Some(Accept::Filter), "three"),
        difference(Some(Accept::Topic), "four"),
    ];
    let task = task(TABLES);
    let refused = refuse(all.clone(), &task, &[]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "task shop was not started, because of what would follow:\n  one\n    so\n  three\n    so\n  four\n    so"
    );
    assert!(refused.hint().ends_with("tidegate run --accept filter,topic"), "{}", refused.hint());
    assert!(refuse(all.clone(), &task, &[Accept::Filter]).is_err());
    assert!(refuse(all, &task, &[Accept::Filter, Accept::Topic]).is_ok());
}
