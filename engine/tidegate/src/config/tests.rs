//! A task file in, what it means or all its errors out.

mod bounds;
mod examples;

use tidegate_format::encode::canal_json::CanalOptions;
use tidegate_format::encode::dts_avro::AvroOptions;
use tidegate_format::headers::HeaderName;
use tidegate_format::key::{KeyForm, KeyPolicy};
use tidegate_format::partition::{PartitionHash, PartitionPolicy};
use tidegate_model::TableName;
use tidegate_mysql::history::UnloggedRowsPolicy;
use tidegate_mysql::wire::TlsMode;
use tidegate_sink::kafka::{CreateTopics, PasswordMechanism};

use std::collections::BTreeSet;

use super::reader::Report;
use super::yaml::{Content, Node};
use super::*;

/// A drawn file begins with a line end, so its lines count from two.
#[track_caller]
fn refused(text: &str, expected: &str) {
    let error = parse("t.yaml", text).expect_err("the file was accepted").to_string();
    let expected = expected.trim().lines().map(str::trim).collect::<Vec<_>>().join("\n");
    assert!(error == expected, "\n--- expected\n{expected}\n--- got\n{error}\n---");
}

#[track_caller]
fn accepted(text: &str) -> Task {
    parse("t.yaml", text).unwrap_or_else(|error| panic!("\n{error}"))
}

/// A valid file around the lines under test.
fn with(lines: &str) -> String {
    let mut text = lines.to_owned();
    for (key, line) in [
        ("task", "task: shop"),
        ("source", "source: {mysql: mysql://tide@db}"),
        ("tables", "tables: [shop.orders]"),
        ("sink", "sink: {kafka: b1}"),
        ("format", "format: canal_json"),
    ] {
        if !lines.lines().any(|written| written.starts_with(&format!("{key}:"))) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

fn mysql(task: Task) -> MysqlOptions {
    match task.source {
        SourceOptions::Mysql(options) => options,
        other => panic!("{other:?}"),
    }
}

fn kafka(task: Task) -> KafkaSinkOptions {
    match task.sink {
        SinkOptions::Kafka(options) => options,
        other => panic!("{other:?}"),
    }
}

fn canal(task: Task) -> CanalFormat {
    match task.format {
        Format::CanalJson(options) => options,
        other => panic!("{other:?}"),
    }
}

#[test]
fn five_lines_are_a_task() {
    let task = accepted(
        "task: shop
source: {mysql: mysql://tide@db.internal:3306, password: {env: SHOP_DB_PASSWORD}}
tables: [shop.orders]
sink: {kafka: \"broker1:9092\"}
format: canal_json",
    );
    assert_eq!(task.name, "shop");
    assert_eq!(task.state, PathBuf::from("state/shop"));
    assert_eq!(task.memory_bytes, 512 * 1024 * 1024);
    assert!(task.full_load.is_some() && task.incremental.is_some());
    let rule = task.tables.matches("shop", "orders").unwrap();
    assert_eq!(rule.topic.render(&TableName::new("shop", "orders")).unwrap(), "shop.orders");
    assert_eq!(rule.partition, PartitionPolicy::PrimaryKey);
    let source = mysql(task);
    assert_eq!((source.user.as_str(), source.host.as_str(), source.port), ("tide", "db.internal", 3306));
    assert!(source.server_id >= 1 << 31);
}

#[test]
fn a_long_file_says_what_it_means() {
    let task = accepted(
        r#"
task: shop                                  # names the state folder and the producer
source:
  mysql: mysql://tide@db.internal:3306
  password: {env: SHOP_DB_PASSWORD}
  tls: {mode: required, ca: ca.pem}
tables:
  - shop.orders
  - table: shop.customers
    where: country IN ('DE', 'AT') AND deleted_at IS NULL
    select: [id, name, upper(city) AS city]
    topic: crm.customers
  - shop.log_*
sink:
  kafka: broker1:9092,broker2:9092
  security: {sasl: scram_sha_256, user: app, password: {env: KAFKA_PASSWORD}, tls: {ca: ca.pem}}
  topic: "{database}.{table}"
  partition: primary_key
  create_topics: {partitions: 12, replication: 3}
  options: {compression.type: zstd}
format: canal_json
full_load: {parallel: 4, consistency: lock_free}
delivery: at_least_once
memory: 512MiB
state: state/shop
"#,
    );
    let customers = task.tables.matches("shop", "customers").unwrap();
    assert_eq!(customers.filter.as_deref(), Some("country IN ('DE', 'AT') AND deleted_at IS NULL"));
    assert_eq!(customers.select.as_deref().unwrap(), ["id", "name", "upper(city) AS city"]);
    assert_eq!(customers.topic.constant().as_deref(), Some("crm.customers"));
    assert_eq!(customers.at, Location { line: 9, column: 5 });
    let tls = mysql(task.clone()).tls;
    assert_eq!((tls.mode, tls.ca), (TlsMode::VerifyCa, Some(PathBuf::from("ca.pem"))));
    let kafka = kafka(task);
    assert_eq!(kafka.brokers, ["broker1:9092", "broker2:9092"]);
    let Some(SaslOptions::Password { mechanism, user, .. }) = kafka.sasl else { panic!("{:?}", kafka.sasl) };
    assert_eq!((mechanism, &*user), (PasswordMechanism::ScramSha256, "app"));
    assert_eq!(kafka.tls.unwrap().ca, Some(PathBuf::from("ca.pem")));
    assert_eq!(kafka.options["compression.type"], "zstd");
    let topics = CreateTopics { partitions: Some(12), replication: Some(3), ..CreateTopics::default() };
    assert_eq!(kafka.create_topics, Some(topics));
}

/// `#key: value` is an option that is not set, `# words` is prose.
fn reference_with_all_options() -> String {
    let hash = regex::Regex::new(r"(?m)^( *)#([^ \n#])").unwrap();
    hash.replace_all(REFERENCE, "$1$2").into_owned()
}

#[test]
fn the_reference_shows_the_defaults() {
    let least = accepted(
        "
task: shop
source: {mysql: mysql://tide@db.internal:3306, password: {env: SHOP_DB_PASSWORD}}
tables: [shop.orders, shop.customers]
sink: {kafka: 'broker1:9092,broker2:9092'}
format: canal_json
",
    );
    let places = regex::Regex::new(r"Location \{[^}]*\}").unwrap();
    // Maps of rules have no order.
    let shown = |task: &Task| {
        let rules = ["orders", "customers"].map(|table| task.tables.matches("shop", table).cloned().unwrap());
        let keys = (task.tombstones, &task.headers);
        let rest = (&task.name, &task.source, &task.sink, keys, task.partition_hash, &task.format, &task.full_load);
        let last = (
            &task.incremental,
            task.delivery,
            task.memory_bytes,
            task.threads,
            &task.state,
            &task.retry,
            task.non_empty_topics,
            &task.http,
        );
        places.replace_all(&format!("{rules:#?}{rest:#?}{last:#?}"), "").into_owned()
    };
    assert_eq!(shown(&accepted(REFERENCE)), shown(&least));
}

#[test]
fn the_reference_has_every_option() {
    let text = reference_with_all_options();
    let report = Report::default();
    let (root, _) = yaml::parse(&text, &|_| None).unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    file::TaskFile::read(&root, &report).unwrap();
    let mut shown = BTreeSet::new();
    collect_paths(&root, "", &mut shown);
    // The forms of a secret exclude each other, as those of a key do, so each shows one of them.
    let secret = regex::Regex::new(r"(password|token|secret)\.(env|file)$|key\.template$").unwrap();
    let index = regex::Regex::new(r"\[\d+\]").unwrap();
    let asked: BTreeSet<String> =
        report.asked.borrow().iter().map(|path| index.replace_all(path, "").into_owned()).collect();
    let missing: Vec<_> = asked.difference(&shown).filter(|path| !secret.is_match(path)).collect();
    assert!(missing.is_empty(), "options without an entry in reference.yaml: {missing:?}");
    assert!(asked.len() > 60 && asked.contains("source.password.file"), "{asked:?}");
    let problems = report.into_problems();
    assert!(problems.is_empty(), "{problems:?}");
}

fn collect_paths(node: &Node, path: &str, paths: &mut BTreeSet<String>) {
    match &node.content {
        Content::Scalar { .. } => {}
        Content::List(items) => items.iter().for_each(|item| collect_paths(item, path, paths)),
        Content::Map(entries) => {
            for entry in entries {
                let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                collect_paths(&entry.value, &path, paths);
                paths.insert(path);
            }
        }
    }
}

#[test]
fn variables_of_the_environment_are_put_into_values() {
    let variables = |name: &str| match name {
        "HOST" => Some("db.internal".to_owned()),
        "N" => Some("8".to_owned()),
        _ => None,
    };
    let text = "a: ${HOST}:3306
b: ${N}
${N}: '$${HOST} ${ HOST} $HOST ${'
c: [x, \"é ${NOPE} ${N}\"]
d: |
  one ${N}
  ${ALSO}
";
    let (root, unset) = yaml::parse(text, &variables).unwrap();
    let Content::Map(entries) = &root.content else { panic!() };
    let texts: Vec<(&str, &str)> = entries
        .iter()
        .filter_map(|entry| match &entry.value.content {
            Content::Scalar { text, .. } => Some((&*entry.key, &**text)),
            _ => None,
        })
        .collect();
    assert_eq!(
        texts,
        [("a", "db.internal:3306"), ("b", "8"), ("${N}", "${HOST} ${ HOST} $HOST ${"), ("d", "one 8\n${ALSO}\n")]
    );
    let unset: Vec<_> = unset.iter().map(|error| (error.at.line, error.at.column, &*error.message)).collect();
    let message = |name: &str| {
        format!(
            "environment variable {name} is not set, which this value names (a text ${{{name}}} is written $${{{name}}})"
        )
    };
    assert_eq!(unset, [(4, 11, &*message("NOPE")), (7, 3, &*message("ALSO"))]);

    // All that is wrong comes at once.
    refused(
        &with("\nmemory: ${TIDEGATE_TEST_NOT_SET}\nthreads: no\n"),
        "t.yaml:2:9: environment variable TIDEGATE_TEST_NOT_SET is not set, which this value names (a text ${TIDEGATE_TEST_NOT_SET} is \
         written $${TIDEGATE_TEST_NOT_SET})
t.yaml:3:10: threads = no: must be auto or a whole number from 1 to 1024",
    );
}

#[test]
fn what_is_ignored_has_a_name() {
    let task = accepted(&with("\nprecheck: {ignore: [foreign_keys, labels]}\n"));
    assert_eq!(task.ignored_items, ["foreign_keys", "labels"]);
    refused(
        &with("\nprecheck: {ignore: [foreign_keyes]}\n"),
        "t.yaml:2:21: precheck.ignore[0] = foreign_keyes: no such item of `tidegate check`, did you mean `foreign_keys`?",
    );
}

#[test]
fn places_of_keys_are_known_afterwards() {
    let task = accepted(&with("\ntables:\n  - shop.orders\n  - table: shop.customers\n    where: id > 1\n"));
    let rule = task.tables.matches("shop", "customers").unwrap();
    assert_eq!(task.places.place_in_entry(rule.at, "where").unwrap(), "t.yaml:5:5 (tables[1].where)");
    assert_eq!(task.places.place_in_entry(rule.at, "select").unwrap(), "t.yaml:4:5 (tables[1])");
    assert_eq!(task.places.place("sink.create_topics.replication").unwrap(), "t.yaml:8:1 (sink)");
    assert_eq!(task.places.place("http.token"), None);
}

#[test]
fn secrets_that_cannot_be_read_say_where_they_stand() {
    let task = accepted(&with("\nhttp: {listen: '127.0.0.1:1', token: {env: TIDEGATE_TEST_NOT_SET}}\n"));
    let error = task.http.unwrap().token.unwrap().resolve_some().unwrap_err();
    assert_eq!(
        error.to_string(),
        "environment variable TIDEGATE_TEST_NOT_SET is not set: http.token in line 2, column 38"
    );
    refused(
        &with("\nhttp: {listen: '127.0.0.1:1', token: ''}\n"),
        "t.yaml:2:38: http.token: is empty: nobody could log in; write {env: NAME} or {file: path}, or leave the key out",
    );
}

#[test]
fn all_errors_come_at_once_and_in_order() {
    refused(
        "
task: My Shop
source:
  mysql: mysql://tide@db
  pasword: {env: X}
tables:
  - table: shop.orders
    selct: [id]
sink:
  kafka: b1:9092
  partition: random
memory: 512
retrys: 5
",
        "
t.yaml:2:1: format: is missing, must be canal_json or dts_avro
t.yaml:2:7: task = My Shop: must be made of a-z, 0-9, _ and -, because it names a folder and a Kafka client
t.yaml:5:3: source.pasword: no such key, did you mean `password`?
t.yaml:8:5: tables[0].selct: no such key, did you mean `select`?
t.yaml:11:14: sink.partition = random: must be zero, table, primary_key, row or {columns: [...]}
t.yaml:12:9: memory = 512: must be a size with a unit, such as 512MiB, 1.5GiB or 800MB
t.yaml:13:1: retrys: no such key, did you mean `retry`?
",
    );
}

#[test]
fn bad_yaml_has_line_and_column() {
    refused("", "t.yaml:1:1: the file is empty");
    refused(
        "task: shop\nsource: {mysql: x\nsink: 5\n",
        "t.yaml:3:5: not YAML: while parsing a flow mapping, did not find expected ',' or '}'",
    );
    refused("task: shop\n\ttables: 5\n", "t.yaml:1:7: not YAML: lines begin with spaces, not with tabs");
    refused(
        "where: name = 'a: b' AND c: d\n",
        "t.yaml:1:17: not YAML: no key can stand here: check the indentation, or put a text that holds a colon and a space between quotes",
    );
    refused("tables:\n  - *.orders\n", "t.yaml:2:5: not YAML: a text that begins with * goes between quotes");
    refused("tables:\n  - `shop`.orders\n", "t.yaml:2:5: not YAML: a text that begins with ` goes between quotes");
    refused("task: a\n---\ntask: b\n", "t.yaml:2:1: a second document begins here, a task file has one");
    refused(
        "sink: !!map {kafka: b1}\n",
        "t.yaml:1:7: to YAML this is a tag: a text that begins with ! goes between quotes",
    );
    refused("[task, shop]: 5\n", "t.yaml:1:1: a key must be a word");
    refused("- task\n", "t.yaml:1:1: task file: is a list, must be a map of keys and values");
    refused("shop\n", "t.yaml:1:1: task file = shop: must be a map of keys and values");
    refused("a: &a [*a]\n", "t.yaml:1:8: this alias stands inside the value that it names");
    refused("tables: [\"täb\", ü: x\n", "t.yaml:1:9: not YAML: unclosed bracket '['");
}

#[test]
fn a_key_is_written_once() {
    refused("task: a\nsource: {mysql: x, mysql: y}\n", "t.yaml:2:20: `mysql` is written twice, first in line 2");
    refused("task: a\nsink: 5\ntask: b\n", "t.yaml:3:1: `task` is written twice, first in line 1");
}

#[test]
fn a_typing_error_is_answered_with_the_nearest_key() {
    refused(&with("Full-Load: true\n"), "t.yaml:1:1: Full-Load: no such key, did you mean `full_load`?");
    refused(&with("sink: {kafka: b1, create_topic: false, bucket: 5}\n"), "
t.yaml:1:19: sink.create_topic: no such key, did you mean `create_topics`?
t.yaml:1:40: sink.bucket: no such key, there are kafka, file, null, security, topic, ddl_topic, key, tombstones, headers, partition, partition_hash, partition_text, too_large, create_topics, non_empty_topics, options
");
    refused(&with("sink: {null: {rows: 5}}\n"), "t.yaml:1:15: sink.null.rows: no such key, there is none");
    refused(
        &with("format: {canal_json: {profil: dts, zone: 5}}\n"),
        "
t.yaml:1:23: format.canal_json.profil: no such key, did you mean `profile`?
t.yaml:1:36: format.canal_json.zone: no such key, there are profile, time_zone, enum, set, mysql_type, old, ddl_type, zero_date
",
    );
    refused(
        &with("source: {mysql: mysql://a@b, password: {envv: X}}\n"),
        "t.yaml:1:40: source.password: must be {env: NAME}, {file: path} or the text itself; a text with { [ or , in it has to stand between single quotes",
    );
}

#[test]
fn keys_and_what_needs_them() {
    let key = |task: &Task, table: &str| task.tables.matches("shop", table).unwrap().key.clone();
    let of = |form, columns: Option<&[&str]>| {
        let columns = columns.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        Some(KeyPolicy { form, columns, template: None })
    };
    assert_eq!(key(&accepted(&with("")), "orders"), None);
    let task = accepted(&with(
        "tables: [shop.a, {table: shop.b, key: none}, {table: shop.c, key: {columns: [x, y]}}, {table: shop.d, key: {form: text, columns: [x]}}]
sink: {kafka: b, key: avro, headers: [source_time, op]}\n",
    ));
    let keys = ["a", "b", "c", "d"].map(|table| key(&task, table));
    let expected =
        [of(KeyForm::Avro, None), None, of(KeyForm::Json, Some(&["x", "y"])), of(KeyForm::Text, Some(&["x"]))];
    assert_eq!(keys, expected);
    assert_eq!(task.headers, [HeaderName::SourceTime, HeaderName::Op]);
    let task =
        accepted(&with("sink: {kafka: b, key: json, tombstones: true, partition: row, partition_hash: murmur2}\n"));
    assert!(task.tombstones && task.partition_hash == PartitionHash::Murmur2);
    // Where the task has keys, a table may say that it has none.
    accepted(&with(
        "tables: [{table: shop.a, key: none}, shop.b]\nsink: {kafka: b, key: json, tombstones: true, partition_hash: murmur2}\n",
    ));

    refused(
        &with("sink: {kafka: b, key: jason, headers: [op, op, ip], tombstones: 1}\n"),
        "
t.yaml:1:23: sink.key = jason: must be none, json, text, avro, {columns: [...], form: json} or {template: \"{table}:{id}\"}
t.yaml:1:44: sink.headers[1] = op: must be named once
t.yaml:1:48: sink.headers[2] = ip: must be one of op, database, table, source_database, source_table, gtid, position, source_time
t.yaml:1:65: sink.tombstones = 1: must be true or false
",
    );
    refused(
        &with("sink: {kafka: b, key: {form: text}}\n"),
        "t.yaml:1:23: sink.key: must name columns, have a template, or be a word alone: json, text or avro",
    );
    let task = accepted(&with("tables: [{table: shop.a, key: {template: \"{table}:{id}-{n}\"}}]\n"));
    let templated = key(&task, "a").expect("a key");
    assert_eq!((templated.form, templated.columns), (KeyForm::Text, Some(vec!["id".to_owned(), "n".to_owned()])));
    assert_eq!(templated.template.expect("a template").to_string(), "{table}:{id}-{n}");
    refused(
        &with(
            "sink: {kafka: b, key: {template: \"{table}\"}}\ntables: [{table: shop.a, key: {template: \"{id}\", form: json}}]\n",
        ),
        "
t.yaml:1:34: sink.key.template = {table}: must name a column, such as {id}
t.yaml:2:31: tables[0].key: must have a template alone, which names columns and is a text
",
    );
    refused(
        &with("sink: {kafka: b, key: json, partition_hash: murmur2, partition_text: collation}\n"),
        "t.yaml:1:70: sink.partition_text: must not be collation with partition_hash: murmur2, which hashes the bytes of keys",
    );
    refused(
        &with("tables: [{table: shop.a, key: json}, shop.b]\nsink: {kafka: b, tombstones: true, partition_hash: murmur2}\n"),
        "
t.yaml:2:30: sink.tombstones: has no meaning without keys, and shop.b has key: none: set sink.key to json
t.yaml:2:52: sink.partition_hash: must not be murmur2 without keys, which it hashes, and shop.b has key: none: set sink.key to json
",
    );
    refused(
        &with(
            "tables: [{table: shop.a, partition: {columns: [x]}}]\nsink: {kafka: b, key: json, partition_hash: murmur2}\n",
        ),
        "t.yaml:2:45: sink.partition_hash: must not be murmur2 where something else than the key decides, as `partition` of shop.a \
         says: choose the key's columns with `key` instead",
    );
}

#[test]
fn missing_sections_are_named() {
    refused(
        "task: shop\n",
        "
t.yaml:1:1: format: is missing, must be canal_json or dts_avro
t.yaml:1:1: sink: is missing, must hold one of kafka, file and null
t.yaml:1:1: source: is missing, must hold one of mysql, binlog_files and parquet
t.yaml:1:1: tables: is missing, must list at least one database.table
",
    );
    refused(
        &with("source: {}\nsink:\ntables: []\n"),
        "
t.yaml:1:9: source: must hold one of mysql, binlog_files, parquet
t.yaml:2:1: sink: is empty, must be a map of keys and values
t.yaml:3:9: tables: must not be empty
",
    );
}

#[test]
fn a_source_is_one_of_three() {
    refused(
        &with("source: {mysql: mysql://a@b, parquet: p}\n"),
        "t.yaml:1:9: source: holds mysql, parquet, must hold exactly one of mysql, binlog_files, parquet",
    );
    refused(
        &with("source: {parquet: p, password: x, server_id: 7, tls: {mode: required}, schema: s.json}\n"),
        "
t.yaml:1:32: source.password: has no meaning without source.mysql
t.yaml:1:46: source.server_id: has no meaning without source.mysql
t.yaml:1:54: source.tls: has no meaning without source.mysql
t.yaml:1:80: source.schema: has no meaning without source.binlog_files
",
    );
    refused(
        &with("source: {binlog_files: [], schema: s.json}\n"),
        "t.yaml:1:24: source.binlog_files: must not be empty",
    );
    refused(&with("source: {binlog_files: a.000001}\n"), "t.yaml:1:24: source.binlog_files = a.000001: must be a list");
}

#[test]
fn the_url_of_the_source() {
    let url = |url: &str| with(&format!("source: {{mysql: '{url}'}}\n"));
    let address = |text: &str| {
        let options = mysql(accepted(&url(text)));
        format!("{} {} {}", options.user, options.host, options.port)
    };
    assert_eq!(address("mysql://tide@db"), "tide db 3306");
    assert_eq!(address("mysql://tide@db:3307/"), "tide db 3307");
    assert_eq!(address("mysql://tide@[::1]:3307"), "tide ::1 3307");
    assert_eq!(address("mysql://ti%40de@10.0.0.1"), "ti@de 10.0.0.1 3306");
    refused(
        &url("mysql://tide:hunter2@db"),
        "t.yaml:1:17: source.mysql: holds a password: put it under source.password, best as {env: NAME}",
    );
    refused(&url("mysql://db:3306"), "t.yaml:1:17: source.mysql: must be mysql://user@host:port, the user is missing");
    refused(&url("tide:hunter2@db"), "t.yaml:1:17: source.mysql: must be mysql://user@host:port");
    refused(&url("mysql://tide@db:hunter2"), "t.yaml:1:17: source.mysql: must be mysql://user@host:port");
    refused(
        &url("mysql://tide@db/shop"),
        "t.yaml:1:17: source.mysql: must be mysql://user@host:port and nothing more, databases are named under `tables`",
    );
    refused(&url("mysql://tide@"), "t.yaml:1:17: source.mysql: must be mysql://user@host:port");
}

#[test]
fn tls_of_the_source() {
    let tls = |tls: &str| with(&format!("source: {{mysql: mysql://a@b, tls: {tls}}}\n"));
    let mode = |text: &str| mysql(accepted(&tls(text))).tls.mode;
    assert_eq!(mysql(accepted(&with(""))).tls.mode, TlsMode::Preferred);
    assert_eq!(mode("{}"), TlsMode::Required);
    assert_eq!(mode("{ca: ca.pem}"), TlsMode::VerifyCa);
    assert_eq!(mode("{ca: ca.pem, mode: verify_identity}"), TlsMode::VerifyIdentity);
    refused(
        &tls("{mode: prefered}"),
        "t.yaml:1:42: source.tls.mode = prefered: must be one of disabled, preferred, required, verify_ca, verify_identity",
    );
    refused(
        &tls("{mode: preferred, ca: ca.pem, cert: c.pem}"),
        "
t.yaml:1:57: source.tls.ca: is not asked with source.tls.mode = preferred, use verify_ca
t.yaml:1:71: source.tls.cert: has no meaning without its `key`
",
    );
    refused(
        &tls("{mode: disabled, ca: ca.pem, key: k.pem}"),
        "
t.yaml:1:56: source.tls.ca: has no meaning with source.tls.mode = disabled
t.yaml:1:69: source.tls.key: has no meaning with source.tls.mode = disabled
t.yaml:1:69: source.tls.key: has no meaning without its `cert`
",
    );
}

#[test]
fn a_password_is_never_shown() {
    let task = accepted(&with("source: {mysql: mysql://a@b, password: hunter2}\n"));
    assert!(!format!("{task:?}").contains("hunter2"));
    assert_eq!(mysql(task).password.unwrap().resolve().unwrap(), "hunter2");
    refused(
        &with("source: {mysql: mysql://a@b, password: [hunter2]}\n"),
        "t.yaml:1:40: source.password: is a list, must be {env: NAME}, {file: path} or the text itself",
    );
    refused(
        &with("source: {mysql: mysql://a@b, password: {env: A, file: b}}\n"),
        "t.yaml:1:40: source.password: must be {env: NAME}, {file: path} or the text itself",
    );
    refused(
        &with("source: {mysql: mysql://a@b, password:}\n"),
        "t.yaml:1:30: source.password: is empty, must be {env: NAME}, {file: path} or the text itself",
    );
    refused(
        &with("source: {mysql: mysql://a@b, password: {env: }}\n"),
        "t.yaml:1:41: source.password.env: is empty, must be a text",
    );
}

#[test]
fn secrets_of_which_yaml_leaves_something_out_are_refused() {
    let http = |token: &str| with(&format!("http:\n  listen: 127.0.0.1:1\n  token: {token}\n"));
    let refused_as = |token: &str, words: &str| refused(&http(token), &format!("t.yaml:3:{words}"));
    let comment = "to YAML a comment begins with the #: put the whole value between single quotes (a quote within it twice), or a space \
                   behind the # of a comment";
    refused_as("abc #d", &format!("10: http.token: {comment}"));
    refused_as("#x", &format!("3: http.token: {comment}"));
    refused_as(
        "abc  ",
        "10: http.token: to YAML the spaces at the end of the line are not part of it: put the value between single quotes if they are, else \
         remove them",
    );
    refused_as(
        "&@%",
        "3: http.token: to YAML a text that begins with & is an anchor: put the value between single quotes",
    );
    // What YAML makes keys of is part of a secret, and is not said again.
    let forms = "must be {env: NAME}, {file: path} or the text itself; a text with { [ or , in it has to stand between single quotes";
    refused_as("{s3cret}", &format!("10: http.token: {forms}"));
    refused_as("{s3: cret}", &format!("10: http.token: {forms}"));
    for torn in [
        "http: {listen: 127.0.0.1:1, token: Tr0ub4,dor}",
        "http: {listen: 127.0.0.1:1, tokne: Tr0ub4,dor}",
        "source: {mysql: mysql://root:Tr0ub4,dor@db:3306}",
        "source: {mysql: mysql://root@db, password: Tr0ub4,dor: x}",
    ] {
        let errors = parse("t.yaml", &with(&format!("{torn}\n"))).expect_err("it is torn").to_string();
        assert!(errors.contains("t.yaml:1:") && errors.contains("has to stand between single quotes"), "{errors}");
        assert!(!errors.contains("dor") && !errors.contains("Tr0ub4"), "{errors}");
    }
    for (token, text) in [("token # ours", "token"), ("'abc #d '", "abc #d "), ("a#b", "a#b"), ("\"#\"", "#")] {
        assert_eq!(accepted(&http(token)).http.unwrap().token.unwrap().resolve().unwrap(), text);
    }
}

#[test]
fn secrets_are_read_when_asked_for() {
    let folder = std::env::temp_dir().join(format!("tidegate-secret-{}", std::process::id()));
    std::fs::write(&folder, "hunter2\r\n").unwrap();
    assert_eq!(Secret::from_file(folder.clone()).resolve().unwrap(), "hunter2");
    std::fs::remove_file(&folder).unwrap();
    let missing = Secret::from_file(PathBuf::from("no/such.secret")).resolve().unwrap_err().to_string();
    assert!(missing.starts_with("could not read the secret in file no/such.secret: "), "{missing}");
    let unset = Secret::from_variable("TIDEGATE_TEST_NO_SUCH_VARIABLE".into()).resolve().unwrap_err();
    assert_eq!(unset.to_string(), "environment variable TIDEGATE_TEST_NO_SUCH_VARIABLE is not set");
}

#[test]
fn a_port_that_others_can_reach_needs_a_token() {
    let http = |text: &str| accepted(&with(&format!("http: {text}\n"))).http.unwrap();
    assert_eq!(http("127.0.0.1:8083").address.to_string(), "127.0.0.1:8083");
    assert_eq!(http("'[::1]:8083'").address.to_string(), "[::1]:8083");
    let open = http("{listen: '0.0.0.0:8083', token: {env: TOKEN}}");
    assert!(open.address.ip().is_unspecified() && open.token.is_some());
    assert!(accepted(&with("")).http.is_none());
    refused(
        &with("http: 0.0.0.0:8083\n"),
        "t.yaml:1:7: http: can be reached from other machines at 0.0.0.0:8083: set http.token, or listen on 127.0.0.1",
    );
    refused(
        &with("http: {listen: '10.0.0.7:1'}\n"),
        "t.yaml:1:16: http.listen: can be reached from other machines at 10.0.0.7:1: set http.token, or listen on 127.0.0.1",
    );
    refused(
        &with("http: 8083\n"),
        "t.yaml:1:7: http = 8083: must be an address with a port, such as 127.0.0.1:8083 or [::1]:8083",
    );
    refused(
        &with("http: {token: x}\n"),
        "t.yaml:1:7: http.listen: is missing, must be an address with a port, such as 127.0.0.1:8083",
    );
}

/// The entry that selects each table of the list, `-` if none does.
fn selected(entries: &str, tables: &str) -> String {
    let selection = accepted(&with(&format!("tables: {entries}\n"))).tables;
    let names = tables.split(' ').map(|table| {
        let (database, table) = table.split_once('.').unwrap();
        selection.matches(database, table).map_or("-", |rule| rule.name.as_str()).to_owned()
    });
    names.collect::<Vec<_>>().join(" ")
}

#[test]
fn exact_names_win_over_patterns_and_the_first_pattern_over_others() {
    assert_eq!(selected("[shop.*, shop.log_*, shop.log_1]", "shop.log_1 shop.log_2 crm.log_2"), "shop.log_1 shop.* -");
    assert_eq!(selected("['*.orders', shop.*]", "shop.orders crm.orders crm.x"), "*.orders *.orders -");
    assert_eq!(selected("[s*p.a*b*c]", "shop.abc shop.axbxc shop.ab shop.abcx p.abc"), "s*p.a*b*c s*p.a*b*c - - -");
    assert_eq!(selected("[shop.a*a]", "shop.a shop.aa"), "- shop.a*a");
}

#[test]
fn excludes_take_back_what_patterns_select() {
    let entries = "['!shop.log_*', shop.*, shop.log_keep, !shop.tmp, '!/.*_old/']";
    assert_eq!(selected(entries, "shop.a shop.log_1 shop.log_keep shop.tmp shop.a_old"), "shop.* - shop.log_keep - -");
}

#[test]
fn regular_expressions_match_whole_names() {
    assert_eq!(selected(r"['/shop\.(a|b)/']", "shop.a shop.b shop.ab xshop.a"), r"/shop\.(a|b)/ /shop\.(a|b)/ - -");
    refused(
        &with("tables: ['/shop.(a/', '/a', '//', '/a)|(b/']\n"),
        "
t.yaml:1:10: tables[0] = /shop.(a/: must be a regular expression on database.table: unclosed group
t.yaml:1:23: tables[1] = /a: a regular expression must stand between two slashes
t.yaml:1:29: tables[2] = //: a regular expression must stand between two slashes
t.yaml:1:35: tables[3] = /a)|(b/: must be a regular expression on database.table: unopened group
",
    );
}

#[test]
fn names_between_back_ticks_may_hold_anything() {
    let tables = accepted(&with("tables: ['`my db`.`a.``*`', \"`my db`.x*`*`\"]\n")).tables;
    assert_eq!(tables.matches("my db", "a.`*").unwrap().name, "`my db`.`a.``*`");
    assert_eq!(tables.matches("my db", "xy*").unwrap().name, "`my db`.x*`*`");
    assert!(tables.matches("my db", "xy").is_none() && tables.matches("my db", "a.`b").is_none());
}

#[test]
fn a_server_that_folds_names_has_the_names_of_a_task_folded() {
    let entries = r"[Shop.Orders, 'Shop.Log_*', '/SHOP\.(A|Ä)/', '!shop.LOG_tmp*', shop.plain]";
    let selection = accepted(&with(&format!("tables: {entries}\n"))).tables;
    let clone = selection.clone();
    let entry = |table: &str| clone.matches("shop", table).map_or("-", |rule| rule.name.as_str()).to_owned();
    let entries = || ["orders", "log_1", "log_tmp1", "ä", "plain"].map(entry).join(" ");
    assert_eq!(entries(), "- - - - shop.plain");
    // Whoever has a clone is told too, and who asks again hears the same.
    selection.fold_names().unwrap();
    selection.fold_names().unwrap();
    assert_eq!(entries(), r"Shop.Orders Shop.Log_* - /SHOP\.(A|Ä)/ shop.plain");
    assert!(clone.matches("SHOP", "ORDERS").is_some());
    // The same of names alone, by which a later start knows what was selected.
    let names = TableSelection::of_entries(selection.entries());
    names.fold_names().unwrap();
    for table in ["Orders", "LOG_1", "log_TMP1", "Ä", "plain", "other"] {
        assert_eq!(names.matches("Shop", table).is_some(), clone.matches("Shop", table).is_some(), "{table}");
    }
    let twice = accepted(&with("tables: [shop.orders, Shop.Orders]\n")).tables;
    assert_eq!(twice.fold_names().unwrap_err(), ["Shop.Orders", "shop.orders"]);
}

#[test]
fn patterns_leave_the_servers_own_databases_alone() {
    assert_eq!(selected("['*.*', '/.*/']", "mysql.user SYS.x shop.a"), "- - *.*");
    // The catalogue does not list them, so that nothing of them would be loaded.
    assert_eq!(selected("[mysql.u*, mysql.db]", "mysql.user mysql.db"), "- mysql.db");
}

#[test]
fn databases_are_known_if_all_entries_name_theirs() {
    let hint = |entries: &str| {
        let tables = accepted(&with(&format!("tables: {entries}\n"))).tables;
        tables.databases_hint().map(|databases| databases.into_iter().collect::<Vec<_>>().join(" "))
    };
    assert_eq!(hint("[shop.a, shop.b, crm.*, '!*.tmp']").as_deref(), Some("crm shop"));
    assert_eq!(hint("[shop.a, '*.b']"), None);
    assert_eq!(hint("[shop.a, '/b.b/']"), None);
}

#[test]
fn names_of_tables_that_cannot_be() {
    refused(
        &with("tables: [orders, shop., shop.a.b, 'shop.a b', '`shop.a', 'a.b,c.d', [a.b], ]\n"),
        "
t.yaml:1:10: tables[0] = orders: must be database.table
t.yaml:1:18: tables[1] = shop.: must be database.table, both not empty
t.yaml:1:25: tables[2] = shop.a.b: must be database.table, a name that holds a dot goes between back-ticks
t.yaml:1:35: tables[3] = shop.a b: must be database.table, a name that holds ' ' goes between back-ticks
t.yaml:1:47: tables[4] = `shop.a: a back-tick must have its counterpart
t.yaml:1:58: tables[5] = a.b,c.d: must be database.table, a name that holds ',' goes between back-ticks
t.yaml:1:69: tables[6]: is a list, must be database.table, or a map with the key `table`
",
    );
    refused(
        &with("tables:\n- where: a > 1\n- table:\n- {}\n"),
        "
t.yaml:2:3: tables[0].table: is missing, an entry must name its tables
t.yaml:3:3: tables[1].table: is empty, must be database.table
t.yaml:4:3: tables[2].table: is missing, an entry must name its tables
",
    );
    refused(
        &with("tables: ['!shop.a', '!shop.*']\n"),
        "t.yaml:1:10: tables[0]: all entries exclude, at least one must select",
    );
    refused(
        &with("tables:\n- shop.a\n- {table: '`shop`.a', where: b > 1}\n- '!shop.a'\n"),
        "
t.yaml:3:11: tables[1].table = `shop`.a: is named twice, first in line 2
t.yaml:4:3: tables[2] = !shop.a: is named twice, first in line 2
",
    );
    refused(
        &with("tables:\n- shop.*\n- {table: '!shop.a', where: b > 1, select: [c], topic: t}\n"),
        "
t.yaml:3:29: tables[1].where: has no meaning for tables that are excluded
t.yaml:3:44: tables[1].select: has no meaning for tables that are excluded
t.yaml:3:56: tables[1].topic: has no meaning for tables that are excluded
",
    );
}

#[test]
fn select_and_columns() {
    let text =
        "tables: [{table: a.b, select: [id, 'concat(a, b) AS c'], partition: {columns: [id]}, chunk_by: [d, e]}]\n";
    let task = accepted(&with(text));
    let rule = task.tables.matches("a", "b").unwrap();
    assert_eq!(rule.select.as_deref().unwrap(), ["id", "concat(a, b) AS c"]);
    assert_eq!(rule.partition, PartitionPolicy::Columns(vec!["id".into()]));
    assert_eq!(rule.chunk_by, ["d", "e"]);
    refused(&with("tables: [{table: a.b, select: [id, concat(a, b) AS c]}]\n"), "
t.yaml:1:36: tables[0].select[1] = concat(a: must be a whole column or expression, put one that holds a comma between double quotes
t.yaml:1:46: tables[0].select[2] = b) AS c: must be a whole column or expression, put one that holds a comma between double quotes
");
    refused(
        &with("tables: [{table: a.b, select: [], partition: {columns: [a, A]}, chunk_by: a}]\n"),
        "
t.yaml:1:31: tables[0].select: must not be empty
t.yaml:1:60: tables[0].partition.columns[1] = A: must be named once
t.yaml:1:75: tables[0].chunk_by = a: must be a list
",
    );
    refused(
        &with("tables: [{table: a.b, partition: {column: a}}]\n"),
        "t.yaml:1:35: tables[0].partition.column: no such key, did you mean `columns`?",
    );
    refused(
        &with("source: {parquet: p}\ntables: [{table: a.b, chunk_by: [a]}]\n"),
        "t.yaml:2:33: tables[0].chunk_by: has no meaning without source.mysql, nothing else is cut into chunks",
    );
}

#[test]
fn a_sink_is_one_of_three() {
    for null in ["null: {}", "\"null\": {}", "null:"] {
        assert!(matches!(accepted(&with(&format!("sink: {{{null}}}\n"))).sink, SinkOptions::Null));
    }
    assert!(matches!(accepted(&with("sink: {file: out}\n")).sink, SinkOptions::File(_)));
    refused(
        &with("sink: {kafka: b1, file: out}\n"),
        "t.yaml:1:7: sink: holds kafka, file, must hold exactly one of kafka, file, null",
    );
    refused(&with("sink: {topic: x}\n"), "t.yaml:1:7: sink: must hold one of kafka, file, null");
    refused(&with("sink: {null: 5}\n"), "t.yaml:1:14: sink.null = 5: must be an empty map, {}");
    refused(
        &with("sink: {file: f, security: {}, create_topics: false, options: {a: b}}\n"),
        "
t.yaml:1:27: sink.security: has no meaning without sink.kafka
t.yaml:1:46: sink.create_topics: has no meaning without sink.kafka
t.yaml:1:62: sink.options: has no meaning without sink.kafka
",
    );
}

#[test]
fn brokers_have_ports() {
    let brokers = kafka(accepted(&with("sink: {kafka: 'b1, b2:19092,[::1]:9094'}\n"))).brokers;
    assert_eq!(brokers, ["b1:9092", "b2:19092", "[::1]:9094"]);
    refused(
        &with("sink: {kafka: 'SSL://b1:9092'}\n"),
        "t.yaml:1:15: sink.kafka = SSL://b1:9092: must be brokers as host:port with commas between them",
    );
    refused(
        &with("sink: {kafka: 'b1:9092,'}\n"),
        "t.yaml:1:15: sink.kafka = b1:9092,: must be brokers as host:port with commas between them",
    );
    refused(
        &with("sink: {kafka: [b1, b2]}\n"),
        "t.yaml:1:15: sink.kafka: is a list, must be brokers with commas between them, such as b1:9092,b2:9092",
    );
}

#[test]
fn security_of_the_sink() {
    let security = |text: &str| with(&format!("sink: {{kafka: b1, security: {text}}}\n"));
    for tls in ["{tls: true}", "{tls: {}}"] {
        let options = kafka(accepted(&security(tls)));
        assert!(options.sasl.is_none() && options.tls.unwrap().verify, "{tls}");
    }
    assert!(kafka(accepted(&security("{tls: false}"))).tls.is_none());
    assert!(!kafka(accepted(&security("{tls: {verify: false}}"))).tls.unwrap().verify);
    refused(
        &security("{sasl: scram_sha_256}"),
        "
t.yaml:1:29: sink.security.password: is missing, sink.security.sasl needs it
t.yaml:1:29: sink.security.user: is missing, sink.security.sasl needs it
",
    );
    refused(
        &security("{sasl: SCRAM-SHA-256, user: a, password: b}"),
        "t.yaml:1:36: sink.security.sasl = SCRAM-SHA-256: must be one of plain, scram_sha_256, scram_sha_512, oauthbearer",
    );
    refused(
        &security("{user: a, password: b}"),
        "
t.yaml:1:36: sink.security.user: has no meaning without sink.security.sasl
t.yaml:1:49: sink.security.password: has no meaning without sink.security.sasl
",
    );
    for word in ["gssapi", "GSSAPI", "kerberos"] {
        refused(
            &security(&format!("{{sasl: {word}, user: a, password: b}}")),
            &format!(
                "t.yaml:1:36: sink.security.sasl = {word}: is Kerberos, which this build does not have: write oauthbearer, scram_sha_512, \
                 scram_sha_256 or plain for sink.security.sasl, or show the brokers a certificate (sink.security.tls.cert)"
            ),
        );
    }
    refused(
        &security("{tls: {cert: c.pem, key_password: hunter2, verify: yes}}"),
        "
t.yaml:1:42: sink.security.tls.cert: has no meaning without its `key`
t.yaml:1:63: sink.security.tls.key_password: has no meaning without its `key`
t.yaml:1:80: sink.security.tls.verify = yes: must be true or false
",
    );
    refused(
        &security("{tls: required}"),
        "t.yaml:1:35: sink.security.tls = required: must be true, false or a map of keys and values",
    );
}

#[test]
fn tokens_for_the_brokers() {
    let security = |text: &str| with(&format!("sink: {{kafka: b1, security: {text}}}\n"));
    let sasl = kafka(accepted(&security(
        "{sasl: oauthbearer, oauth: {token_url: 'https://login.internal/token', client_id: tide, client_secret: {env: TIDEGATE_NO_SECRET}, \
         scope: 'a b', extensions: {logicalCluster: lkc-1}, ca: ca.pem}}",
    )));
    let Some(SaslOptions::OAuthBearer(oauth)) = sasl.sasl else { panic!("{:?}", sasl.sasl) };
    assert_eq!(oauth.token_url.to_string(), "https://login.internal/token");
    assert_eq!((&*oauth.client_id, oauth.scope.as_deref()), ("tide", Some("a b")));
    let error = oauth.client_secret.resolve().unwrap_err().to_string();
    assert!(error.starts_with("environment variable TIDEGATE_NO_SECRET is not set"), "{error}");
    assert_eq!((&*oauth.extensions["logicalCluster"], oauth.ca), ("lkc-1", Some(PathBuf::from("ca.pem"))));
    refused(
        &security("{sasl: oauthbearer, user: a, password: b}"),
        "
t.yaml:1:29: sink.security.oauth: is missing, sasl: oauthbearer needs it, as {token_url: https://…, client_id: …, client_secret: …}
t.yaml:1:55: sink.security.user: has no meaning with sasl: oauthbearer, which takes client_id and client_secret in sink.security.oauth
t.yaml:1:68: sink.security.password: has no meaning with sasl: oauthbearer, which takes client_id and client_secret in sink.security.oauth
",
    );
    let oauth = |text: &str| security(&format!("{{sasl: oauthbearer, oauth: {text}}}"));
    refused(
        &oauth("{}"),
        "
t.yaml:1:56: sink.security.oauth.client_id: is missing, sasl: oauthbearer needs it
t.yaml:1:56: sink.security.oauth.client_secret: is missing, sasl: oauthbearer needs it
t.yaml:1:56: sink.security.oauth.token_url: is missing, sasl: oauthbearer needs it
",
    );
    refused(
        &oauth(
            "{token_url: 'http://b1/token', client_id: a, client_secret: b, ca: ca.pem, extensions: {auth: x, a-b: y, ok: ä}}",
        ),
        "
t.yaml:1:123: sink.security.oauth.ca: has no meaning without https:// in token_url
t.yaml:1:144: sink.security.oauth.extensions.auth: must not be called auth, which is the token's own
t.yaml:1:153: sink.security.oauth.extensions.a-b: must have a name of letters alone, such as logicalCluster
t.yaml:1:161: sink.security.oauth.extensions.ok: must be text of ASCII characters
",
    );
    // Neither repeats what may be a password.
    refused(
        &oauth("{token_url: 'https://a:hunter2@b1/token', client_id: a, client_secret: b}"),
        "t.yaml:1:68: sink.security.oauth.token_url: must not hold a user or password: they are client_id and client_secret",
    );
    refused(
        &oauth("{token_url: b1/token, client_id: a, client_secret: b}"),
        "t.yaml:1:68: sink.security.oauth.token_url: must be the address of a token endpoint, such as https://login.example.com/oauth2/token",
    );
    let section = "oauth: {token_url: 'https://b1/token', client_id: a, client_secret: b}";
    refused(
        &security(&format!("{{sasl: plain, user: a, password: b, {section}}}")),
        "t.yaml:1:72: sink.security.oauth: has no meaning without sasl: oauthbearer; the mechanism here takes user and password",
    );
    refused(
        &security(&format!("{{{section}}}")),
        "t.yaml:1:37: sink.security.oauth: has no meaning without sasl: oauthbearer, write that beside it",
    );
}

#[test]
fn librdkafka_s_own_options_for_logins_are_refused_with_how_to_write_them() {
    let options = "sink:
  kafka: b1
  options:
    sasl.mechanism: OAUTHBEARER
    sasl.mechanisms: GSSAPI
    sasl.oauthbearer.method: oidc
    sasl.oauthbearer.client.id: a
    sasl.oauthbearer.client.secret: hunter2
    sasl.oauthbearer.token.endpoint.url: https://b1/token
    sasl.oauthbearer.scope: a
    sasl.oauthbearer.extensions: a=b
    sasl.kerberos.principal: a
    https.ca.location: ca.pem
    enable.sasl.oauthbearer.unsecure.jwt: true
";
    refused(
        &with(options),
        "
t.yaml:4:5: sink.options.sasl.mechanism: is decided by sink.security, write `sasl: oauthbearer` there
t.yaml:5:5: sink.options.sasl.mechanisms: is Kerberos, which this build does not have: write oauthbearer, scram_sha_512, scram_sha_256 or plain for sink.security.sasl, or show the brokers a certificate (sink.security.tls.cert)
t.yaml:6:5: sink.options.sasl.oauthbearer.method: is decided by sink.security.oauth, remove it here
t.yaml:7:5: sink.options.sasl.oauthbearer.client.id: is decided by sink.security.oauth.client_id, remove it here
t.yaml:8:5: sink.options.sasl.oauthbearer.client.secret: is decided by sink.security.oauth.client_secret, remove it here
t.yaml:9:5: sink.options.sasl.oauthbearer.token.endpoint.url: is decided by sink.security.oauth.token_url, remove it here
t.yaml:10:5: sink.options.sasl.oauthbearer.scope: is decided by sink.security.oauth.scope, remove it here
t.yaml:11:5: sink.options.sasl.oauthbearer.extensions: is decided by sink.security.oauth.extensions, remove it here
t.yaml:12:5: sink.options.sasl.kerberos.principal: is Kerberos, which this build does not have: write oauthbearer, scram_sha_512, scram_sha_256 or plain for sink.security.sasl, or show the brokers a certificate (sink.security.tls.cert)
t.yaml:13:5: sink.options.https.ca.location: is decided by sink.security.oauth.ca, remove it here
t.yaml:14:5: sink.options.enable.sasl.oauthbearer.unsecure.jwt: is decided by sink.security, remove it here
",
    );
}

#[test]
fn topics_are_templates() {
    let render = |template: &str, database: &str, table: &str| {
        let task = accepted(&with(&format!("sink: {{kafka: b1, topic: '{template}'}}\ntables: ['*.*']\n")));
        let selected = task.tables.selected(&TableName::new(database, table)).unwrap();
        selected.topic().map_err(|error| error.to_string())
    };
    assert_eq!(render("{task}.{database}-{table}_x", "crm", "t").unwrap(), "shop.crm-t_x");
    assert_eq!(render("all", "crm", "t").unwrap(), "all");
    assert_eq!(
        render("{table}", "crm", "täble").unwrap_err(),
        "topic name \"täble\" holds 'ä', Kafka allows letters, digits, dot, underscore and hyphen"
    );
    assert_eq!(render("{table}", "crm", "..").unwrap_err(), "topic name \"..\" is not possible in Kafka");
    assert!(
        render("{table}{table}", "crm", &"t".repeat(125))
            .unwrap_err()
            .ends_with("has 250 characters, Kafka allows 249")
    );
    refused(
        &with(
            "sink: {kafka: b1, topic: 'crm/{table}'}\ntables: [{table: a.b, topic: '{schema}'}, {table: a.c, topic: 'a{b'}]\n",
        ),
        "
t.yaml:1:26: sink.topic = crm/{table}: must not hold '/', Kafka allows letters, digits, dot, underscore and hyphen
t.yaml:2:30: tables[0].topic = {schema}: must name no other places than {database}, {table} and {task}
t.yaml:2:63: tables[1].topic = a{b: must have a } for each {
",
    );
}

/// `crm.orders in topic`, of a task with these entries.
#[track_caller]
fn sent_as(entries: &str, database: &str, table: &str) -> String {
    let tables = accepted(&with(&format!("tables: {entries}\n"))).tables;
    let selected = tables.selected(&TableName::new(database, table)).unwrap();
    match (selected.target(), selected.topic()) {
        (Ok(target), Ok(topic)) => format!("{target} in {topic}"),
        (Ok(target), Err(error)) => format!("{target}: {error}"),
        (Err(error), _) => error.to_string(),
    }
}

#[test]
fn tables_get_other_names() {
    for (entries, database, table, expected) in [
        ("[shop.orders]", "shop", "orders", "shop.orders in shop.orders"),
        ("[{table: shop.orders, as: crm.sales}]", "shop", "orders", "crm.sales in crm.sales"),
        ("[{table: shop.orders, as: '{database}.sales'}]", "shop", "orders", "shop.sales in shop.sales"),
        ("[{table: 'shop.*', as: 'crm.{table}'}]", "shop", "orders", "crm.orders in crm.orders"),
        ("[{table: '*.*', as: 'crm.{database}_{table}_{task}'}]", "a", "b", "crm.a_b_shop in crm.a_b_shop"),
        // What a pattern captures, by number and by name.
        (r"[{table: '/shop_(\d+)\.(.*)/', as: 'shop.{2}'}]", "shop_07", "orders", "shop.orders in shop.orders"),
        (r"[{table: '/(?<at>\w+)\.u/', as: crm.u, topic: 'u.{at}'}]", "eu", "u", "crm.u in u.eu"),
        (r"[{table: '/(?<at>\w+)\.u/', as: 'crm.{1}'}]", "eu", "u", "crm.eu in crm.eu"),
        // Topics have the new name, and may have the old one by its captures.
        ("[{table: 'shop_*.log_*', as: 'shop.{2}', topic: 'log.{1}.{table}'}]", "shop_7", "log_x", "shop.x in log.7.x"),
        // A star takes as little as it can, the last one the rest; what is empty is nothing.
        ("[{table: 's.*_*', as: '{1}.{2}'}]", "s", "a_b_c", "a.b_c in a.b_c"),
        ("[{table: 's.a*b*', as: 's.x{1}y{2}'}]", "s", "ab", "s.xy in s.xy"),
        (r"[{table: '/shop(_\d+)?\.(a)/', as: 'x{1}.a'}]", "shop", "a", "x.a in x.a"),
        // Names that must be quoted, there and here.
        ("[{table: '`a.b`.`c d`', as: '`x.y`.`{table}`{table}', topic: t}]", "a.b", "c d", "x.y.{table}c d in t"),
        ("[{table: shop.orders, as: 'shop.`a``b`', topic: t}]", "shop", "orders", "shop.a`b in t"),
        ("[{table: 'shop.*', as: 'crm.$-{table}', topic: t}]", "shop", "ä\u{1f600}", "crm.$-ä\u{1f600} in t"),
        (
            "[{table: 'shop.*', as: 'crm.ä{table}'}]",
            "shop",
            "a",
            "crm.äa: topic name \"crm.äa\" holds 'ä', Kafka allows letters, digits, dot, underscore and hyphen",
        ),
        (r"[{table: '/shop(_\d+)?\.a/', as: '{1}.a'}]", "shop", "a", "`as` leaves the name of its database empty"),
        ("[{table: 'shop.a*', as: 'shop.{1}'}]", "shop", "a", "`as` leaves the name of its table empty"),
    ] {
        assert_eq!(sent_as(entries, database, table), expected, "{entries}");
    }
}

/// Whatever tables there are now: one that comes later may get the name of another.
#[test]
fn an_entry_may_give_several_tables_one_name() {
    for (pattern, target, joins) in [
        ("shop.orders", "crm.sales", false),
        ("shop.*", "crm.{table}", false),
        ("shop.*", "crm.all", true),
        ("shop_*.orders", "shop.orders", true),
        ("shop_*.orders", "shop.orders_{1}", false),
        ("shop_*.log_*", "shop.log_{2}", true),
        ("shop_*.log_*", "shop_{1}.log_{2}", false),
        ("shop_*.*", "{database}.{2}", false),
        (r"/shop_(\d+)\.orders/", "shop.orders_{1}", true),
        (r"/shop_(\d+)\.orders/", "{database}.{table}", false),
    ] {
        let tables = format!("tables: [{{table: '{pattern}', as: '{target}'}}]");
        let text =
            format!("task: t\nsource: {{mysql: mysql://a@b}}\nsink: {{null: {{}}}}\nformat: canal_json\n{tables}");
        let task = parse("t.yaml", &text).unwrap();
        assert_eq!(task.tables.rules().next().unwrap().joins_tables, joins, "{tables}");
    }
}

#[test]
fn names_that_tables_cannot_get() {
    refused(
        &with(
            r"tables:
- {table: a.b, as: c}
- {table: a.c, as: 'c.{1}'}
- {table: '/(x)(?<y>.)\.d/', as: 'c.{3}', topic: 't{z}'}
- {table: 'a.*', as: 'c.{2'}
- {table: 'b.*', as: 'c.a b'}
- {table: 'c.*', as: a.b.c}
- {table: 'd.*', as: '.x'}
- {table: '!e.*', as: c.d, columns: [x]}
",
        ),
        r#"
t.yaml:2:20: tables[0].as = c: must be database.table; "{database}.name" and "name.{table}" change one of both
t.yaml:3:20: tables[1].as = c.{1}: must name no other places than {database}, {table} and {task}
t.yaml:4:34: tables[2].as = c.{3}: must name no other places than {database}, {table}, {task}, {1} and {y}
t.yaml:4:50: tables[2].topic = t{z}: must name no other places than {database}, {table}, {task}, {1} and {y}
t.yaml:5:22: tables[3].as = c.{2: must have a } for each {
t.yaml:6:22: tables[4].as = c.a b: must be database.table, a name that holds ' ' goes between back-ticks
t.yaml:7:22: tables[5].as = a.b.c: must be database.table, a name that holds a dot goes between back-ticks
t.yaml:8:22: tables[6].as = .x: must be database.table, both not empty
t.yaml:9:23: tables[7].as: has no meaning for tables that are excluded
t.yaml:9:37: tables[7].columns: has no meaning for tables that are excluded
"#,
    );
    refused(
        &with("tables: [{table: '*.*', as: 'x.{1}'}]\nsink: {kafka: b, topic: 't.{1}'}\n"),
        "t.yaml:2:25: sink.topic = t.{1}: must name no other places than {database}, {table} and {task}",
    );
}

/// On a server that folds names, captures are folded as the names are; what a task file writes is not.
#[test]
fn captures_of_folded_names() {
    let entries = r"[{table: '/SHOP_(.*)\.ORDERS/', as: 'Shop.{1}'}, {table: 'Log_*.T', as: 'log.x_{1}'}]";
    let tables = accepted(&with(&format!("tables: {entries}\n"))).tables;
    tables.fold_names().unwrap();
    let target = |database: &str, table: &str| {
        tables.selected(&TableName::new(database, table)).unwrap().target().unwrap().to_string()
    };
    assert_eq!(target("shop_a", "orders"), "Shop.a");
    assert_eq!(target("Shop_A", "Orders"), "Shop.a");
    assert_eq!(target("log_ÄB", "t"), "log.x_äb");
}

#[test]
fn columns_are_a_list_of_names() {
    let columns = |items: &str| with(&format!("tables: [{{table: a.b, columns: {items}}}]\n"));
    let shown = |items: &str| {
        let task = accepted(&columns(items));
        task.tables.matches("a", "b").unwrap().columns.as_ref().unwrap().to_string()
    };
    assert_eq!(shown("[id, name as customer]"), "[id, name AS customer]");
    assert_eq!(shown("['!password', '*']"), "[*, !password]");
    refused(
        &columns("[id, '!name', ID, '`x', [a]]"),
        "
t.yaml:1:32: tables[0].columns: names id, and all others by !: must hold the columns that stay, or those that do not
t.yaml:1:46: tables[0].columns[2] = ID: must be named once
t.yaml:1:50: tables[0].columns[3] = `x: a back-tick must have its counterpart
t.yaml:1:56: tables[0].columns[4]: is a list, must be one of: name; name AS other; !name; *; with back-ticks around a name that holds blanks, !, * or `
",
    );
    refused(
        &columns("[id, '!name']"),
        "t.yaml:1:32: tables[0].columns: names id, and all others by !: must hold the columns that stay, or those that do not",
    );
    refused(&columns("[]"), "t.yaml:1:32: tables[0].columns: must not be empty");
    refused(
        &with("tables: [{table: a.b, select: [id], columns: [id]}]\n"),
        "t.yaml:1:46: tables[0].columns: has no meaning beside `select`, which says all columns",
    );
}

#[test]
fn options_that_other_keys_decide_are_refused_with_both_names() {
    let options = "sink:
  kafka: b1
  options:
    bootstrap.servers: b2
    ssl.ca.location: ca.pem
    sasl.password: hunter2
    acks: 1
    linger.ms: 50
    partitioner: random
    transactional.id: x
    message.timeout.ms: 5
    compression.type:
    queue.buffering.max.ms: [5]
";
    refused(
        &with(options),
        "
t.yaml:4:5: sink.options.bootstrap.servers: is decided by sink.kafka, remove it here
t.yaml:5:5: sink.options.ssl.ca.location: is decided by sink.security.tls, remove it here
t.yaml:6:5: sink.options.sasl.password: is decided by sink.security.password, remove it here
t.yaml:7:5: sink.options.acks: is decided by delivery, remove it here
t.yaml:9:5: sink.options.partitioner: is decided by sink.partition, remove it here
t.yaml:10:5: sink.options.transactional.id: is decided by delivery, remove it here
t.yaml:11:5: sink.options.message.timeout.ms: is decided by retry, remove it here
t.yaml:12:5: sink.options.compression.type: is empty, must be a text
t.yaml:13:5: sink.options.queue.buffering.max.ms: is a list, must be a text
",
    );
    let options =
        kafka(accepted(&with("sink: {kafka: b1, options: {linger.ms: 50, socket.keepalive.enable: true}}\n"))).options;
    assert_eq!(format!("{options:?}"), r#"{"linger.ms": "50", "socket.keepalive.enable": "true"}"#);
}

#[test]
fn topics_are_created_or_not() {
    let topics = |text: &str| with(&format!("sink: {{kafka: b1, create_topics: {text}}}\n"));
    assert_eq!(kafka(accepted(&topics("false"))).create_topics, None);
    assert_eq!(kafka(accepted(&topics("true"))).create_topics, Some(CreateTopics::default()));
    let created = kafka(accepted(&topics("{partitions: 3, config: {retention.ms: -1}}"))).create_topics.unwrap();
    assert_eq!((created.partitions, created.replication), (Some(3), None));
    assert_eq!(created.config["retention.ms"], "-1");
    refused(
        &topics("{partitions: 0, replication: many}"),
        "
t.yaml:1:47: sink.create_topics.partitions = 0: must be broker_default or a whole number from 1 to 100000
t.yaml:1:63: sink.create_topics.replication = many: must be broker_default or a whole number from 1 to 100
",
    );
}

#[test]
fn profiles_decide_what_is_not_written() {
    let options = |text: &str| {
        let canal = canal(accepted(&with(&format!("format: {text}\n"))));
        let CanalFormat { profile, rows, ddl_type, zero_date } = canal;
        let CanalOptions { initial_type, enum_as, set_as, mysql_type, old, time_zone_offset_s } = rows;
        format!(
            "{profile:?} {initial_type:?} {time_zone_offset_s} {enum_as:?} {set_as:?} {mysql_type:?} {old:?} {ddl_type:?} {zero_date:?}"
        )
    };
    assert_eq!(options("canal_json"), "Canal Insert 0 Index Bits Full Changed Kind None");
    assert_eq!(options("{canal_json: {profile: dts}}"), "Dts Init 0 Label Labels Full Changed Ddl None");
    assert_eq!(
        options(
            "{canal_json: {profile: dts, set: bits, mysql_type: base, old: all, time_zone: -05:30, zero_date: null}}"
        ),
        "Dts Init -19800 Label Bits Base All Ddl Some(Null)"
    );
    refused(
        &with("format: avro\n"),
        "t.yaml:1:9: format = avro: must be canal_json or dts_avro, alone or as the key of a map with its options",
    );
    refused(&with("format: {canal: {}}\n"), "t.yaml:1:10: format.canal: no such key, there are canal_json, dts_avro");
    refused(
        &with("format: {canal_json: {}, dts_avro: {}}\n"),
        "t.yaml:1:9: format: holds canal_json, dts_avro, must hold exactly one of canal_json, dts_avro",
    );
    refused(
        &with("format: {canal_json: {enum: bits, time_zone: Europe/Berlin}}\n"),
        "
t.yaml:1:29: format.canal_json.enum = bits: must be one of label, index
t.yaml:1:46: format.canal_json.time_zone = Europe/Berlin: must be an offset from UTC such as +00:00, +08:00 or -05:30
",
    );
    refused(
        &with("format: {canal_json: {time_zone: '+14:01'}}\n"),
        "t.yaml:1:34: format.canal_json.time_zone = +14:01: must be an offset from UTC such as +00:00, +08:00 or -05:30",
    );
}

#[test]
fn dts_avro_has_labels_unless_told_otherwise() {
    let options = |text: &str| match accepted(&with(&format!("format: {text}\n"))).format {
        Format::DtsAvro(AvroFormat { rows: AvroOptions { enum_as, set_as }, zero_date, .. }) => {
            format!("{enum_as:?} {set_as:?} {zero_date:?}")
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(options("dts_avro"), "Label Labels None");
    assert_eq!(options("{dts_avro: {enum: index, set: bits, zero_date: epoch}}"), "Index Bits Some(Epoch)");
    refused(
        &with("format: {dts_avro: {zero_date: none}}\n"),
        "t.yaml:1:32: format.dts_avro.zero_date = none: must be one of text, null, epoch",
    );
}

#[test]
fn marks_need_one_order() {
    let one =
        "sink: {kafka: b, topic: all, partition: zero}\nformat: {dts_avro: {transactions: true, heartbeats: true}}\n";
    let task = accepted(&with(one));
    assert!(matches!(task.format, Format::DtsAvro(AvroFormat { transactions: true, heartbeats: true, .. })));
    refused(
        &with("format: {dts_avro: {transactions: true, heartbeats: false}}\n"),
        "t.yaml:1:35: format.dts_avro.transactions: needs sink.partition = zero and one topic for all tables: elsewhere there is no order of transactions",
    );
}

#[test]
fn statements_are_ignored_unless_they_are_to_be_forwarded() {
    assert_eq!(accepted(&with("")).incremental.unwrap().ddl, DdlPolicy::Ignore);
    let task = accepted(&with("incremental: {ddl: forward}\nsink: {kafka: b, ddl_topic: \"{task}.ddl\"}\n"));
    assert_eq!(task.incremental.unwrap().ddl, DdlPolicy::Forward);
    assert_eq!(task.ddl_topic.unwrap().render(&TableName::new("shop", "orders")).unwrap(), "shop.ddl");
    refused(
        &with("sink: {kafka: b, ddl_topic: ddl}\n"),
        "t.yaml:1:29: sink.ddl_topic: has no meaning without incremental.ddl = forward",
    );
}

#[test]
fn rows_that_move_without_row_events_are_warned_of_unless_they_are_to_stop_the_task() {
    let policy = |text: &str| accepted(&with(text)).incremental.unwrap().unlogged_rows;
    assert_eq!(policy(""), UnloggedRowsPolicy::Warn);
    assert_eq!(policy("incremental: {ddl: forward}\n"), UnloggedRowsPolicy::Warn);
    assert_eq!(policy("incremental: {unlogged_rows: stop}\n"), UnloggedRowsPolicy::Stop);
}

#[test]
fn phases_can_be_switched_off() {
    let phases = |text: &str| {
        let task = accepted(&with(text));
        (task.full_load.is_some(), task.incremental.is_some())
    };
    assert_eq!(phases(""), (true, true));
    assert_eq!(phases("full_load: false\n"), (false, true));
    assert_eq!(phases("incremental: false\nfull_load: {parallel: 8}\n"), (true, false));
    assert_eq!(phases("source: {binlog_files: [a.000001]}\n"), (false, true));
    assert_eq!(phases("source: {parquet: p}\n"), (true, false));
    refused(
        &with("full_load: false\nincremental: false\n"),
        "t.yaml:1:12: full_load: leaves nothing to do, neither a full load nor changes",
    );
    refused(
        &with("source: {parquet: p}\nincremental: true\n"),
        "t.yaml:2:14: incremental: is not possible with source.parquet, which holds no changes",
    );
    refused(
        &with("source: {parquet: p}\nfull_load: false\n"),
        "t.yaml:2:12: full_load: leaves nothing to do, neither a full load nor changes",
    );
    refused(
        &with("source: {binlog_files: [a]}\nfull_load: {}\n"),
        "t.yaml:2:12: full_load: is not possible with source.binlog_files, which holds changes only",
    );
    refused(
        &with(
            "full_load: {parallel: 0, consistency: single_point, chunk_rows: 1e6, view_max: 10ms}\nincremental: on\n",
        ),
        "
t.yaml:1:23: full_load.parallel = 0: must be a whole number from 1 to 256
t.yaml:1:39: full_load.consistency = single_point: must be lock_free, there is no other yet
t.yaml:1:65: full_load.chunk_rows = 1e6: must be a whole number from 1 to 100000000
t.yaml:1:80: full_load.view_max = 10ms: must be at least 1s
t.yaml:2:14: incremental = on: must be true, false or a map of keys and values
",
    );
}

#[test]
fn sizes_times_and_numbers_have_units_and_bounds() {
    let task = accepted(&with("memory: 1.5GiB\nretry: {connection: 5m}\nthreads: 3\n"));
    assert_eq!(task.memory_bytes, 3 << 29);
    assert_eq!(task.threads.get(), 3);
    assert_eq!((task.retry.connection.as_secs(), task.retry.other.as_secs()), (300, 300));
    assert_eq!(accepted(&with("memory: 800MB\n")).memory_bytes, 800_000_000);
    assert_eq!(accepted(&with("retry: {other: 2h}\n")).retry.other.as_secs(), 7200);
    let parallel = |lines: &str| accepted(&with(lines)).full_load.map(|load| load.parallel.get());
    assert_eq!(parallel("limits: {connections: 6}\nfull_load: {parallel: 16}\n"), Some(2));
    assert_eq!(parallel("limits: {connections: 100}\n"), Some(4));
    assert_eq!(parallel("limits: {connections: 4}\nfull_load: false\n"), None);
    assert_eq!(parallel("memory: 64MiB\nfull_load: {parallel: 16}\n"), Some(8));
    assert_eq!(accepted(&with("memory: 100MiB\nthreads: 16\n")).threads.get(), 12);
    for lines in ["limits: {connections: 4}\n", "limits: {connections: 3}\nfull_load: false\n"] {
        let error = parse("t.yaml", &with(lines)).expect_err("too few").to_string();
        assert!(error.contains("limits.connections: must be at least 5, of which one reads tables"), "{error}");
    }
    let limits = accepted(&with("limits: {rows_per_second: 5, full_load: {bytes_per_second: 20MiB}}\n")).limits;
    assert_eq!((limits.all.rows_per_second, limits.all.bytes_per_second), (Some(5), None));
    assert_eq!((limits.full_load.rows_per_second, limits.full_load.bytes_per_second), (None, Some(20 << 20)));
    refused(
        &with("limits: {rows_per_second: 0, bytes_per_second: 1000, full_load: {bytes_per_second: 0.1KiB}}\n"),
        "
t.yaml:1:27: limits.rows_per_second = 0: must be a whole number from 1 to 1000000000000
t.yaml:1:48: limits.bytes_per_second = 1000: must be a size with a unit, such as 512MiB, 1.5GiB or 800MB
t.yaml:1:84: limits.full_load.bytes_per_second = 0.1KiB: must be at least 1KiB
",
    );
    refused(
        &with("memory: 32MiB\nthreads: many\nretry: {connection: 10, other: -5m}\ndelivery: exactly_once\n"),
        "
t.yaml:1:9: memory = 32MiB: must be at least 64MiB
t.yaml:2:10: threads = many: must be auto or a whole number from 1 to 1024
t.yaml:3:21: retry.connection = 10: must be a time with a unit, such as 30s, 720m, 12h or 2d
t.yaml:3:32: retry.other = -5m: must be a time with a unit, such as 30s, 720m, 12h or 2d
t.yaml:4:11: delivery = exactly_once: must be at_least_once, there is no other yet
",
    );
    refused(
        &with("memory: 99999999999999GiB\nthreads: 0\nretry: {connection: 5m, other: 6m}\nstate: ''\n"),
        "
t.yaml:1:9: memory = 99999999999999GiB: must be a size with a unit, such as 512MiB, 1.5GiB or 800MB
t.yaml:2:10: threads = 0: must be a whole number from 1 to 1024
t.yaml:3:32: retry.other: must not be longer than retry.connection, which is 5m
t.yaml:4:8: state: is empty, must be a text
",
    );
}

#[test]
fn files_from_windows_are_read() {
    let text = format!("\u{feff}{}", with("threads: 3\nmemory: 1GiB\n").replace('\n', "\r\n"));
    assert_eq!(accepted(&text).threads.get(), 3);
}

#[test]
fn anchors_and_aliases_work() {
    let task = accepted(&with("tables: [{table: a.b, select: &columns [id, name]}, {table: a.c, select: *columns}]\n"));
    assert_eq!(task.tables.matches("a", "c").unwrap().select.as_deref().unwrap(), ["id", "name"]);
}

/// A task finds its state wherever it is started.
#[test]
fn state_is_relative_to_the_task_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.yaml");
    for (state, expected) in [
        ("", folder.path().join("state/shop")),
        ("state: here", folder.path().join("here")),
        ("state: /abs", PathBuf::from("/abs")),
    ] {
        std::fs::write(&path, with(&format!("{state}\n"))).unwrap();
        assert_eq!(load(&path).unwrap().state, expected);
    }
    refused(
        &with("sink: {null: {}, non_empty_topics: accept}\n"),
        "t.yaml:1:36: sink.non_empty_topics: has no meaning without sink.kafka",
    );
    let task = accepted(&with("sink: {kafka: b, non_empty_topics: accept}\n"));
    assert_eq!(task.non_empty_topics, NonEmptyTopics::Accept);
}

#[test]
fn what_is_too_large_has_one_policy_and_a_table_its_own() {
    let policies = |sink: &str, table: &str| {
        let task = accepted(&format!(
            "task: t\nsource: {{mysql: 'mysql://u@h'}}\ntables: [shop.a, {{table: shop.b{table}}}]\nsink: {{kafka: b{sink}}}\nformat: canal_json\n"
        ));
        ["a", "b"].map(|table| format!("{:?}", task.tables.matches("shop", table).unwrap().too_large))
    };
    assert_eq!(policies("", ""), ["Fail", "Fail"]);
    assert_eq!(policies(", too_large: skip", ", too_large: fail"), ["Skip", "Fail"]);
    let letters = |[_, of_b]: [String; 2]| of_b.contains("t.dead_letter");
    assert!(
        letters(policies("", ", too_large: dead_letter")) && letters(policies("", ", too_large: {dead_letter: {}}"))
    );
    assert!(policies("", ", too_large: {dead_letter: {topic: x}}")[1].contains("\"x\""));
    let cut = |columns: &str, of_all: bool| {
        format!("Truncate(Truncation {{ columns: {columns}, bytes: 2048, of_all_tables: {of_all} }})")
    };
    assert_eq!(policies("", ", too_large: {truncate: {bytes: 2KiB}}")[1], cut("None", false));
    assert_eq!(policies(", too_large: {truncate: {columns: [n], bytes: 2KiB}}", "")[1], cut("Some([\"n\"])", true));
    let policy = "must be fail, skip, dead_letter, {dead_letter: {topic: ...}} or {truncate: {bytes: ...}}";
    for (written, at, said) in [
        ("kafka: b, too_large: drop", 29, format!("sink.too_large = drop: {policy}")),
        (
            "kafka: b, too_large: {dead_letter: {}, truncate: {bytes: 1KiB}}",
            29,
            "sink.too_large: holds dead_letter, truncate, must hold exactly one of dead_letter, truncate".to_owned(),
        ),
        (
            "kafka: b, too_large: {truncate: {}}",
            40,
            "sink.too_large.truncate.bytes: is missing, must say how much of a value is left, such as 64KiB".to_owned(),
        ),
        ("file: x, too_large: skip", 28, "sink.too_large: has no meaning without sink.kafka".to_owned()),
    ] {
        refused(&with(&format!("sink: {{{written}}}\n")), &format!("t.yaml:1:{at}: {said}"));
    }
}
