//! A JSON Schema (2020-12) of the task file, for editors and for those who generate task files.
//!
//! Keys, descriptions and defaults are those of `reference.yaml`, words those that the reader takes. What a value may be beyond that
//! stands in [`form_of`]; of a key that has no entry there, anything is let through. The schema lets more pass than the program, which
//! also knows what keys mean together.
//!
//! ```text
//! # Copies what is there.            "full_load": {"description": "Copies what is there.",
//! full_load:                           "anyOf": [{"type": "boolean"},
//!   # Connections that read …                     {"type": "object", "additionalProperties": false,
//!   parallel: 4                                    "properties": {"parallel": {"default": 4, …}}}]}
//! ```

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::build::OTHER_CONNECTIONS;
use super::choices::{Consistency, DdlPolicy, Guarantee, NonEmptyTopics, Profile, UnchangedUpdates};
use super::reader::{SIZE_UNITS, TIME_UNITS_MS};
use super::yaml::{self, Content, Node};
use crate::items;
use tidegate_format::encode::canal_json::{MysqlType, OldColumns, StatementType};
use tidegate_format::encode::text::{EnumText, SetText};
use tidegate_format::encode::zero_dates::Substitute;
use tidegate_format::headers::HeaderName;
use tidegate_format::key::KeyForm;
use tidegate_format::partition::{PartitionHash, PartitionText};
use tidegate_mysql::history::UnloggedRowsPolicy;
use tidegate_mysql::wire::TlsMode;
use tidegate_sink::kafka::SaslMechanism;

/// Every option with its default and meaning, for `tidegate` to print.
pub const REFERENCE: &str = include_str!("../../reference.yaml");

/// The schema.
pub fn json_schema() -> Value {
    let reference = Reference::read();
    let mut root = reference.schema("", &reference.root);
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("Tidegate task file");
    root["required"] = json!(["task", "source", "tables", "sink", "format"]);
    root
}

/// `reference.yaml`, with the options that it shows in comments, and what it says of each line.
struct Reference {
    root: std::rc::Rc<Node>,
    /// By the line of a key.
    descriptions: HashMap<usize, String>,
    /// Lines whose values are defaults.
    defaults: std::collections::HashSet<usize>,
}

impl Reference {
    fn read() -> Reference {
        let (mut text, mut descriptions, mut said) = (String::new(), HashMap::new(), Vec::new());
        let mut defaults = std::collections::HashSet::new();
        for (line, number) in REFERENCE.lines().zip(1..) {
            let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
            match rest.strip_prefix('#') {
                None if rest.is_empty() => said.clear(),
                Some("") => said.push(""),
                Some(prose) if prose.starts_with([' ', '#']) => said.push(prose.trim()),
                // An option, in a comment if it is not set by default.
                option => {
                    if !said.is_empty() {
                        descriptions.insert(number, said.join(" ").trim().to_owned());
                        said.clear();
                    }
                    if option.is_none() {
                        defaults.insert(number);
                    }
                    text += indent;
                    text += option.unwrap_or(rest);
                }
            }
            text.push('\n');
        }
        let (root, _) = yaml::parse(&text, &|_| None).expect("a test reads the reference");
        Reference { root, descriptions, defaults }
    }

    /// Of a value that the reference shows.
    fn schema(&self, path: &str, node: &Node) -> Value {
        let shown = self.shown(path, node);
        form_of(path, &shown).unwrap_or(shown)
    }

    /// What the reference alone tells: keys, and of a list the keys of its entries.
    fn shown(&self, path: &str, node: &Node) -> Value {
        match &node.content {
            Content::Map(entries) if !is_open(path) => {
                let mut properties = Map::new();
                for entry in entries {
                    let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                    let mut schema = self.schema(&path, &entry.value);
                    let line = entry.key_at.line;
                    if let Some(description) = self.descriptions.get(&line) {
                        schema["description"] = json!(description);
                    }
                    if let Content::Scalar { text, plain } = &entry.value.content
                        && self.defaults.contains(&line)
                        && !HAVE_NO_DEFAULT.contains(&path.as_str())
                    {
                        schema["default"] = default(text, *plain);
                    }
                    properties.insert(entry.key.clone(), schema);
                }
                json!({ "type": "object", "properties": properties, "additionalProperties": false })
            }
            // Of tables, the entry that shows all keys.
            Content::List(items) => {
                let shown = items.iter().find(|item| matches!(item.content, Content::Map(_)));
                shown.map_or_else(|| json!({}), |item| self.shown(path, item))
            }
            _ => json!({}),
        }
    }
}

/// Examples in the reference, not defaults.
const HAVE_NO_DEFAULT: [&str; 3] = ["task", "source.mysql", "sink.kafka"];

fn default(text: &str, is_plain: bool) -> Value {
    match (text.parse::<u64>(), text) {
        (Ok(number), _) if is_plain => json!(number),
        (_, "true" | "false") if is_plain => json!(text == "true"),
        _ => json!(text),
    }
}

/// Maps whose keys are not ours.
fn is_open(path: &str) -> bool {
    matches!(path, "sink.options" | "sink.create_topics.config" | "sink.security.oauth.extensions")
}

/// What a value may be; `section` is the schema of the map that the reference shows there. None of a key of which only the reference
/// tells.
fn form_of(path: &str, section: &Value) -> Option<Value> {
    let key = path.rsplit('.').next().unwrap_or(path);
    let text = || json!({ "type": "string", "minLength": 1 });
    let columns = || json!({ "type": "array", "items": text(), "minItems": 1 });
    Some(match path {
        "task" => json!({ "type": "string", "pattern": "^([a-z0-9_-]|\\$\\{[A-Za-z_][A-Za-z0-9_]*\\})+$" }),
        "source" | "sink" => {
            let alternatives: &[&str] =
                if path == "source" { &["mysql", "binlog_files", "parquet"] } else { &["kafka", "file", "null"] };
            let mut section = section.clone();
            section["oneOf"] = alternatives.iter().map(|key| json!({ "required": [key] })).collect();
            section
        }
        "sink.security.oauth" => {
            let mut section = section.clone();
            section["required"] = json!(["token_url", "client_id", "client_secret"]);
            section
        }
        "sink.security.oauth.token_url" => json!({ "type": "string", "pattern": "^(https?://|\\$\\{)" }),
        "http.tls" => {
            let mut section = section.clone();
            section["required"] = json!(["cert", "key"]);
            section
        }
        "source.mysql" => json!({ "type": "string", "pattern": "^(mysql://|\\$\\{)" }),
        "source.password"
        | "sink.security.password"
        | "sink.security.oauth.client_secret"
        | "sink.security.tls.key_password"
        | "http.token" => {
            let place = |key: &str| json!({ "type": "object", "properties": { key: text() }, "required": [key], "additionalProperties": false });
            json!({ "anyOf": [{ "type": ["string", "number", "boolean"] }, place("env"), place("file")] })
        }
        "source.tls.mode" => words(TlsMode::WORDS),
        "source.server_id" => integer(1, u64::from(u32::MAX)),
        "source.binlog_files" => columns(),
        "tables" => {
            let mut entry = section.clone();
            entry["required"] = json!(["table"]);
            json!({ "type": "array", "minItems": 1, "items": { "anyOf": [text(), entry] } })
        }
        "tables.select" | "tables.columns" | "tables.chunk_by" => columns(),
        "tables.key" | "sink.key" => {
            let forms: Vec<(&'static str, ())> = std::iter::once("none")
                .chain(KeyForm::WORDS.iter().map(|(word, _)| *word))
                .map(|word| (word, ()))
                .collect();
            json!({ "anyOf": [
                words(&forms),
                {
                    "type": "object",
                    "properties": { "columns": columns(), "form": words(KeyForm::WORDS) },
                    "required": ["columns"],
                    "additionalProperties": false,
                },
                {
                    "type": "object",
                    "properties": { "template": text() },
                    "required": ["template"],
                    "additionalProperties": false,
                },
            ] })
        }
        "sink.headers" => {
            json!({ "type": "array", "minItems": 1, "uniqueItems": true, "items": words(HeaderName::WORDS) })
        }
        "tables.partition" | "sink.partition" => json!({ "anyOf": [
            words(&[("zero", ()), ("table", ()), ("primary_key", ()), ("row", ())]),
            { "type": "object", "properties": { "columns": columns() }, "required": ["columns"], "additionalProperties": false },
        ] }),
        "tables.too_large" | "sink.too_large" => {
            let map = |key: &str, properties: Value, required: Value| {
                let section = json!({
                    "type": "object",
                    "properties": properties,
                    "required": required,
                    "additionalProperties": false,
                });
                json!({ "type": "object", "properties": { key: section }, "required": [key], "additionalProperties": false })
            };
            json!({ "anyOf": [
                words(&[("fail", ()), ("skip", ()), ("dead_letter", ())]),
                map("dead_letter", json!({ "topic": text() }), json!([])),
                map("truncate", json!({ "columns": columns(), "bytes": amount(&SIZE_UNITS) }), json!(["bytes"])),
            ] })
        }
        "sink.null" => json!({ "type": ["object", "null"], "additionalProperties": false }),
        "sink.security.sasl" => words(SaslMechanism::WORDS),
        "sink.partition_hash" => words(PartitionHash::WORDS),
        "sink.partition_text" => words(PartitionText::WORDS),
        "sink.non_empty_topics" => words(NonEmptyTopics::WORDS),
        "sink.create_topics.partitions" => json!({ "anyOf": [words(&[("broker_default", ())]), integer(1, 100_000)] }),
        "sink.create_topics.replication" => json!({ "anyOf": [words(&[("broker_default", ())]), integer(1, 100)] }),
        "sink.options" | "sink.create_topics.config" | "sink.security.oauth.extensions" => {
            json!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } })
        }
        "sink.create_topics" | "sink.security.tls" | "full_load" | "incremental" => {
            json!({ "anyOf": [{ "type": "boolean" }, section] })
        }
        "format" => {
            let mut section = section.clone();
            section["minProperties"] = json!(1);
            section["maxProperties"] = json!(1);
            json!({ "anyOf": [words(&[("canal_json", ()), ("dts_avro", ())]), section] })
        }
        "format.canal_json.profile" => words(Profile::WORDS),
        "format.canal_json.mysql_type" => words(MysqlType::WORDS),
        "format.canal_json.old" => words(OldColumns::WORDS),
        // As far from UTC as MySQL goes.
        "format.canal_json.time_zone" => json!({ "anyOf": [
            { "type": "string", "pattern": "^([+-](0[0-9]|1[0-3]):[0-5][0-9]|[+]14:00)$" },
            variable(),
        ] }),
        "format.canal_json.ddl_type" => words(StatementType::WORDS),
        "full_load.parallel" => integer(1, 256),
        "full_load.consistency" => words(Consistency::WORDS),
        "full_load.chunk_rows" => integer(1, 100_000_000),
        "incremental.window_ms" => integer(0, 10_000),
        "incremental.window_rows" => integer(1, 10_000_000),
        "incremental.heartbeat_s" => integer(1, 3_600),
        "incremental.ddl" => words(DdlPolicy::WORDS),
        "incremental.unlogged_rows" => words(UnloggedRowsPolicy::WORDS),
        "incremental.unchanged_updates" => words(UnchangedUpdates::WORDS),
        "delivery" => words(Guarantee::WORDS),
        "limits.rows_per_second" | "limits.full_load.rows_per_second" => integer(1, 1_000_000_000_000),
        "limits.bytes_per_second" | "limits.full_load.bytes_per_second" => amount(&SIZE_UNITS),
        "limits.connections" => integer(OTHER_CONNECTIONS, 100_000),
        "memory" => amount(&SIZE_UNITS),
        "threads" => json!({ "anyOf": [words(&[("auto", ())]), integer(1, 1024)] }),
        "http" => json!({ "anyOf": [text(), section] }),
        "full_load.view_max" | "retry.connection" | "retry.other" => amount(&TIME_UNITS_MS),
        "precheck.ignore" => {
            let items: Vec<(&'static str, ())> = items::all().map(|(name, _)| (name, ())).collect();
            json!({ "type": "array", "minItems": 1, "items": words(&items) })
        }
        _ if path.starts_with("format.") && key == "enum" => words(EnumText::WORDS),
        _ if path.starts_with("format.") && key == "set" => words(SetText::WORDS),
        _ if path.starts_with("format.") && key == "zero_date" => {
            let mut zero_date = words(Substitute::WORDS);
            // To YAML the word is nothing.
            zero_date["anyOf"].as_array_mut().expect("words have two forms").push(json!({ "type": "null" }));
            zero_date
        }
        "format.dts_avro.transactions"
        | "format.dts_avro.heartbeats"
        | "sink.security.tls.verify"
        | "sink.tombstones" => {
            json!({ "anyOf": [{ "type": "boolean" }, variable()] })
        }
        "source.parquet"
        | "source.schema"
        | "source.tls.ca"
        | "source.tls.cert"
        | "source.tls.key"
        | "sink.kafka"
        | "sink.file"
        | "sink.topic"
        | "sink.ddl_topic"
        | "sink.security.user"
        | "sink.security.oauth.client_id"
        | "sink.security.oauth.scope"
        | "sink.security.oauth.ca"
        | "sink.security.tls.ca"
        | "sink.security.tls.cert"
        | "sink.security.tls.key"
        | "tables.table"
        | "tables.as"
        | "tables.where"
        | "tables.topic"
        | "state"
        | "http.listen"
        | "http.tls.cert"
        | "http.tls.key" => text(),
        _ => return None,
    })
}

/// What the environment puts in.
fn variable() -> Value {
    json!({ "type": "string", "pattern": "\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}" })
}

fn words<T>(words: &[(&'static str, T)]) -> Value {
    let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    json!({ "anyOf": [{ "enum": words }, variable()] })
}

fn integer(least: u64, most: u64) -> Value {
    json!({ "anyOf": [{ "type": "integer", "minimum": least, "maximum": most }, variable()] })
}

fn amount(units: &[(&str, u64)]) -> Value {
    let units = units.iter().map(|(unit, _)| *unit).collect::<Vec<_>>().join("|");
    json!({ "anyOf": [{ "type": "string", "pattern": format!("^[0-9]+(\\.[0-9]+)? *({units})$") }, variable()] })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schema of a dotted path, whatever forms stand around it.
    fn at<'s>(schema: &'s Value, path: &str) -> Option<&'s Value> {
        path.split('.').try_fold(schema, |schema, key| {
            let forms = schema["anyOf"].as_array().map_or_else(|| vec![schema], |forms| forms.iter().collect());
            let items = schema["items"]["anyOf"].as_array().into_iter().flatten();
            forms.into_iter().chain(items).find_map(|form| form["properties"].get(key))
        })
    }

    #[test]
    fn the_schema_has_what_the_reference_has() {
        let schema = json_schema();
        assert_eq!(schema["additionalProperties"], json!(false));
        let parallel = at(&schema, "full_load.parallel").expect("a key");
        assert_eq!(parallel["default"], json!(4));
        assert!(parallel["description"].as_str().expect("prose").starts_with("Connections that read at the same time"));
        assert_eq!(at(&schema, "delivery").expect("a key")["anyOf"][0]["enum"], json!(["at_least_once"]));
        assert_eq!(at(&schema, "tables.where").expect("a key")["type"], json!("string"));
        assert!(at(&schema, "tables.were").is_none() && at(&schema, "task").expect("a key").get("default").is_none());
        let reference = Reference::read();
        let mut keys = 0;
        each_key(&reference.root, "", &mut |path| {
            keys += 1;
            let is_in_a_form = [
                "sink.options.",
                "sink.create_topics.config.",
                "sink.security.oauth.extensions.",
                ".env",
                ".file",
                ".columns",
                ".key.form",
            ];
            assert!(at(&schema, path).is_some() || is_in_a_form.iter().any(|form| path.contains(form)), "{path}");
        });
        assert!(keys > 60, "{keys}");
    }

    fn each_key(node: &Node, path: &str, take: &mut dyn FnMut(&str)) {
        match &node.content {
            Content::Scalar { .. } => {}
            Content::List(items) => items.iter().for_each(|item| each_key(item, path, take)),
            Content::Map(entries) => {
                for entry in entries {
                    let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                    take(&path);
                    each_key(&entry.value, &path, take);
                }
            }
        }
    }
}
