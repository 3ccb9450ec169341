//! What the tree promises about itself: who may see whom, that every file says what it is for, and that nothing unfinished
//! stands on the way of the data.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Folders with our code. The borders between crates are the compiler's business.
const CODE: [&str; 4] = ["engine", "sql", "bench", "tests"];

/// The libraries: what they say is for whoever uses them, who need not be our program.
const LIBRARIES: [&str; 10] = [
    "engine/charset/src",
    "engine/collation/src",
    "engine/digits/src",
    "engine/flow/src",
    "engine/format/src",
    "engine/model/src",
    "engine/mysql/src",
    "engine/parquet/src",
    "engine/sink/src",
    "sql/src",
];

/// The files of the program's configuration: each may name those before it.
const CONFIG: [&str; 14] = [
    "yaml",
    "places",
    "reader",
    "secret",
    "certificate",
    "names",
    "template",
    "choices",
    "tables",
    "values",
    "file",
    "brokers",
    "task",
    "build",
];

/// Folder, and what it must not name.
const BLIND: &[(&str, &[&str])] = &[
    ("engine/sink/src", &["tidegate_model::Table", "ChangeBatch"]),
    ("engine/tidegate/src/config", &["crate::source", "crate::checkpoint", "crate::pipeline"]),
    ("engine/tidegate/src/source", &["MessageBatch", "MessageWindow", "tidegate_format::encode", "tidegate_sink"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace holds this crate").to_owned()
}

/// All Rust files at or below `path`.
fn rust_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut files: Vec<PathBuf> = entries
        .flat_map(|entry| {
            let path = entry.expect("a folder can be listed").path();
            if path.is_dir() || path.extension().is_some_and(|ext| ext == "rs") {
                rust_files(&path)
            } else {
                Vec::new()
            }
        })
        .collect();
    files.sort();
    files
}

fn is_test(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "tests.rs" || name == "rows_tests.rs")
}

/// As [`is_test`], with what only tests use.
fn is_for_tests(path: &Path) -> bool {
    let is_named = |part: &std::ffi::OsStr| {
        ["tests.rs", "tests", "rows_tests.rs", "stop_tests.rs", "test_server.rs", "samples.rs", "manual.rs"]
            .iter()
            .any(|name| part == *name)
    };
    path.strip_prefix(root()).expect("a file of the tree").iter().any(is_named)
}

/// The part of a file before its unit tests, without comments.
fn code(text: &str) -> String {
    let text = text.split("\n#[cfg(test)]\nmod tests {").next().expect("a split has a first part");
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn stages_know_only_what_crosses_their_borders() {
    let mut faults = Vec::new();
    for (place, hidden) in BLIND {
        for file in rust_files(&root().join(place)).iter().filter(|file| !is_test(file)) {
            let code = code(&fs::read_to_string(file).expect("a source file is text"));
            for name in hidden.iter().filter(|name| code.contains(**name)) {
                faults.push(format!("{} names {name}", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The texts in Rust code, without what is escaped in them.
fn texts(code: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(['"', '\'']) {
        let (before, from) = rest.split_at(at);
        let hashes = before.len() - before.trim_end_matches('#').len();
        let is_raw = before[..before.len() - hashes].ends_with('r');
        rest = &from[1..];
        if from.starts_with('\'') {
            // A character, or the name of a lifetime.
            let end = rest.char_indices().nth(1).map_or(rest.len(), |(end, _)| end);
            rest = match (rest.strip_prefix('\\'), rest[end..].strip_prefix('\'')) {
                (Some(escaped), _) => {
                    escaped.get(1..).and_then(|more| more.split_once('\'')).map_or("", |(_, more)| more)
                }
                (None, Some(more)) => more,
                (None, None) => rest,
            };
            continue;
        }
        let mut text = String::new();
        if is_raw {
            let (raw, more) = rest.split_once(&format!("\"{}", "#".repeat(hashes))).unwrap_or((rest, ""));
            (text, rest) = (raw.to_owned(), more);
        } else {
            let mut chars = rest.char_indices();
            while let Some((at, c)) = chars.next() {
                match c {
                    '\\' => _ = chars.next(),
                    '"' => {
                        rest = &rest[at + 1..];
                        break;
                    }
                    c => text.push(c),
                }
            }
        }
        texts.push(text);
    }
    texts
}

/// What a library says names no program, none of its flags, no file of its tasks and no key in it: the program knows the way out, and adds
/// it (`hints`).
#[test]
fn libraries_do_not_know_who_uses_them() {
    let reference = fs::read_to_string(root().join("engine/tidegate/reference.yaml")).expect("the reference is text");
    let key = |line: &str| {
        let line = line.trim_start_matches(['#', ' ', '-']);
        let (key, _) = line.split_once(':')?;
        (key.len() > 2 && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')).then(|| key.to_owned())
    };
    let keys: BTreeSet<String> = reference.lines().filter_map(key).collect();
    assert!(
        ["memory", "tables", "create_topics", "chunk_by", "where"].iter().all(|key| keys.contains(*key)),
        "{keys:?}"
    );
    let sections = ["source", "sink", "format", "full_load", "incremental", "retry", "limits", "http"];
    let names_key = |text: &str| {
        let quoted = text.split('`').skip(1).step_by(2).find(|word| keys.contains(*word));
        let dotted = text.split(|c: char| !c.is_ascii_lowercase() && c != '_' && c != '.').find(|word| {
            word.split_once('.').is_some_and(|(section, key)| {
                sections.contains(&section) && keys.contains(key.split('.').next().unwrap_or_default())
            })
        });
        quoted.or(dotted).map(str::to_owned)
    };
    let mut faults = Vec::new();
    let mut count = 0;
    for file in LIBRARIES.iter().flat_map(|place| rust_files(&root().join(place))).filter(|file| !is_for_tests(file)) {
        for text in texts(&code(&fs::read_to_string(&file).expect("a source file is text"))) {
            count += 1;
            let words =
                ["tidegate ", "task file", " --accept", " --pass", "incremental: false", "key: {", "too_large: "];
            let named = words.iter().find(|word| text.contains(**word)).map(|word| (*word).to_owned());
            if let Some(named) = named.or_else(|| names_key(&text)) {
                faults.push(format!("{} names {named}: {text}", file.display()));
            }
        }
    }
    assert!(count > 3000, "{count}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A name that means two things is read as the other one sooner or later. What is in a `report.rs` has the words of what it tells of.
#[test]
fn public_types_have_names_of_their_own() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in ["engine", "sql"].iter().flat_map(|folder| rust_files(&root().join(folder))) {
        if is_test(&file) || file.ends_with("report.rs") {
            continue;
        }
        for line in code(&fs::read_to_string(&file).expect("a source file is text")).lines() {
            let Some(item) = line.trim_start().strip_prefix("pub ") else { continue };
            let mut words = item.split(|c: char| !c.is_alphanumeric() && c != '_');
            if ["struct", "enum", "trait", "type"].contains(&words.next().unwrap_or_default()) {
                let name = words.next().unwrap_or_default().to_owned();
                places.entry(name).or_default().push(file.display().to_string());
            }
        }
    }
    assert!(places.len() > 300, "{}", places.len());
    let twice: Vec<_> = places.iter().filter(|(_, files)| files.len() > 1).collect();
    assert!(twice.is_empty(), "{twice:#?}");
}

#[test]
fn the_files_of_the_configuration_know_each_other_one_way() {
    let mut faults = Vec::new();
    let folder = root().join("engine/tidegate/src/config");
    for (index, file) in CONFIG.iter().enumerate() {
        let code = code(&fs::read_to_string(folder.join(format!("{file}.rs"))).expect("a source file is text"));
        for other in &CONFIG[index + 1..] {
            if code.contains(&format!("super::{other}::")) || code.contains(&format!("config::{other}::")) {
                faults.push(format!("{file} names {other}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut faults = Vec::new();
    for folder in CODE {
        for file in rust_files(&root().join(folder)).iter().filter(|file| !is_test(file)) {
            if !fs::read_to_string(file).expect("a source file is text").starts_with("//! ") {
                faults.push(file.display().to_string());
            }
        }
    }
    assert!(faults.is_empty(), "without a module doc:\n{}", faults.join("\n"));
}

fn assert_nowhere(words: &[&str]) {
    let mut faults = Vec::new();
    for folder in CODE {
        for file in rust_files(&root().join(folder)) {
            let text = fs::read_to_string(&file).expect("a source file is text");
            for word in words.iter().filter(|word| text.contains(**word)) {
                faults.push(format!("{} holds {word:?}", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What a person reads says what is wanted, and a hint says something.
#[test]
fn sentences_can_be_read() {
    // In pieces, so that this file does not find itself.
    let words = [concat!("expected one ", "that is"), concat!("hint: \"", "\""), concat!("hint(\"", "\")")];
    assert_nowhere(&words);
}

#[test]
fn nothing_is_left_unfinished() {
    // In pieces, so that this file does not find itself.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X "), concat!("println!(\"DE", "BUG")];
    assert_nowhere(&words);
}

/// What is told of errors is what they say: each phrase of the page for operators stands in the code.
#[test]
fn operators_are_told_of_errors_that_there_are() {
    let page = fs::read_to_string(root().join("scripts/packaging/operating.md")).expect("the page is text");
    let (_, errors) = page.split_once("## Errors with code 1").expect("a heading");
    let (errors, _) = errors.split_once("\n## ").expect("another one behind it");
    let mut code = String::new();
    for file in rust_files(&root().join("engine")).into_iter().chain(rust_files(&root().join("sql"))) {
        code += &fs::read_to_string(&file).expect("a source file is text");
    }
    // A text may go on in the next line.
    let mut joined = String::new();
    for part in code.split("\\\n") {
        joined += part.trim_start();
    }
    let mut phrases = 0;
    for line in errors.lines().filter_map(|line| line.strip_prefix("| ")) {
        let cell = line.split(" | ").next().unwrap_or_default();
        for quoted in cell.split('`').skip(1).step_by(2) {
            for phrase in
                quoted.split('…').map(|part| part.trim_matches([' ', ',', ':', '"'])).filter(|part| part.len() > 5)
            {
                // A noun that has more of them, or names in it.
                let found = joined.contains(phrase) || joined.contains(&phrase.replace("column \"", "column "));
                assert!(found, "no error says {phrase:?}: {line}");
                phrases += 1;
            }
        }
    }
    assert!(phrases > 12, "{phrases}");
}
