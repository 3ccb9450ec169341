//! What the schema lets through of a value is what the reader takes.

use serde_json::Value;

use super::super::reader::{SIZE_UNITS, TIME_UNITS_MS};
use super::super::schema::json_schema;
use super::*;

/// Each form of a value, by its dotted path.
fn each_form(schema: &Value, path: &str, take: &mut dyn FnMut(&str, &Value)) {
    take(path, schema);
    for form in schema["anyOf"].as_array().into_iter().flatten() {
        each_form(form, path, take);
    }
    if schema["items"].is_object() {
        each_form(&schema["items"], path, take);
    }
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        each_form(value, &path, take);
    }
}

/// A whole file with this value, or why it is refused.
fn read_with(path: &str, value: &str) -> Result<(), String> {
    let (section, keys) = path.split_once('.').unwrap_or((path, ""));
    let inner = keys.rsplit('.').filter(|key| !key.is_empty());
    let text = inner.fold(value.to_owned(), |text, key| format!("{{{key}: {text}}}"));
    let text = match section {
        "source" => text.replacen('{', "{mysql: 'mysql://tide@db', ", 1),
        "sink" => text.replacen('{', "{kafka: b1, ", 1),
        // Which must not be longer than the other.
        "retry" if keys == "other" => text.replacen('{', "{connection: 100000000d, ", 1),
        "tables" => format!("[{}]", text.replacen('{', "{table: shop.orders, ", 1)),
        _ => text,
    };
    // A full load needs a connection more.
    let more = if path == "limits.connections" { "full_load: false\n" } else { "" };
    parse("t.yaml", &with(&format!("{section}: {text}\n{more}"))).map(drop).map_err(|error| error.to_string())
}

#[test]
fn numbers_have_the_bounds_of_the_reader() {
    let mut compared = 0;
    each_form(&json_schema(), "", &mut |path, form| {
        if form["type"] != "integer" {
            return;
        }
        let bound = |name: &str| form[name].as_u64().unwrap_or_else(|| panic!("{path} has no {name}"));
        let (least, most) = (bound("minimum"), bound("maximum"));
        for taken in [least, most] {
            read_with(path, &taken.to_string()).unwrap_or_else(|error| panic!("{error}"));
        }
        for refused in [least.checked_sub(1), Some(most + 1)].into_iter().flatten() {
            assert!(read_with(path, &refused.to_string()).is_err(), "{path}: {refused} is taken");
        }
        compared += 1;
    });
    assert!(compared >= 10, "{compared}");
}

#[test]
fn no_key_takes_whatever_is_written() {
    each_form(&json_schema(), "", &mut |path, form| {
        let says = ["type", "enum", "anyOf", "pattern"].iter().any(|word| !form[word].is_null());
        assert!(says, "{path} may be anything");
    });
}

#[test]
fn amounts_have_the_units_of_the_reader() {
    let mut compared = 0;
    each_form(&json_schema(), "", &mut |path, form| {
        let Some(pattern) = form["pattern"].as_str().filter(|pattern| pattern.starts_with("^[0-9]+(")) else { return };
        let pattern = regex::Regex::new(pattern).unwrap();
        let known = SIZE_UNITS.iter().chain(&TIME_UNITS_MS).map(|(unit, _)| *unit);
        for unit in known.chain(["", "B", "PiB", "w", "mib"]) {
            // Some of them are within the bounds of any key.
            let amounts = [1, 100, 2_000, 100_000, 100_000_000].map(|number| format!("{number}{unit}"));
            let is_read = amounts.iter().any(|amount| read_with(path, amount).is_ok());
            assert_eq!(pattern.is_match(&amounts[0]), is_read, "{path}: {unit:?}");
        }
        compared += 1;
    });
    assert!(compared >= 7, "{compared}");
}

#[test]
fn texts_have_the_form_that_the_reader_wants() {
    for (path, values) in [
        ("task", &["shop", "a-b_9", "Shop", "a b", "sh\u{f6}p", "a.b", ""][..]),
        ("source.mysql", &["mysql://tide@db:3306", "postgres://tide@db", "db:3306"]),
        (
            "format.canal_json.time_zone",
            &["+00:00", "+14:00", "-13:59", "+14:01", "-14:00", "+8:00", "+08:60", "08:00", "Z", "+13:59"],
        ),
    ] {
        let mut patterns = Vec::new();
        each_form(&json_schema(), "", &mut |of, form| {
            patterns
                .extend(form["pattern"].as_str().filter(|_| of == path).map(|text| regex::Regex::new(text).unwrap()));
        });
        for value in values {
            let is_let_through = patterns.iter().any(|pattern| pattern.is_match(value));
            let is_read = match path {
                "source.mysql" => parse("t.yaml", &with(&format!("source: {{mysql: '{value}'}}\n"))).is_ok(),
                _ => read_with(path, &format!("'{value}'")).is_ok(),
            };
            assert_eq!(is_let_through, is_read, "{path}: {value:?}");
        }
    }
}
