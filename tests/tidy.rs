//! What the tree promises about itself: who may see whom, that every file says what it is for, and that nothing unfinished
//! stands on the way of the data.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders with our code. The borders between crates are the compiler's business.
const CODE: [&str; 4] = ["engine", "sql", "bench", "tests"];

/// Commands of the program, of which the stages know nothing.
const COMMANDS: &[&str] = &["tidegate run", "tidegate check", "tidegate schema-fix"];

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
    ("engine/model/src", COMMANDS),
    ("engine/flow/src", COMMANDS),
    ("engine/mysql/src", COMMANDS),
    ("engine/parquet/src", COMMANDS),
    ("engine/format/src", COMMANDS),
    ("engine/sink/src", COMMANDS),
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
