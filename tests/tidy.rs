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

/// The modules of the program, from the ground up: each may name those of the lines before its own. A module belongs to the longest name
/// that fits; what is within a name is its own business.
const LAYERS: &[&[&str]] = &[
    &["nearest", "confirm", "hints", "status::error"],
    &["checkpoint::told", "checkpoint::memory", "checkpoint::gap", "checkpoint::journal"],
    &["items", "until", "checkpoint::source_state"],
    &["config", "checkpoint"],
    &["gap", "journal", "pipeline"],
    &["remembered", "shards"],
    &["consent", "source"],
    &["error"],
    &["open", "stages"],
    &["apply::task_file", "reload::asked", "rehearsal"],
    &["status"],
    &["status::client", "display", "precheck"],
    &["apply", "reload", "task", "log", "state", "sql", "preview"],
    &["demo", "verify", "reset", "schema_fix"],
    &["bench"],
    &["failure"],
    &["cli"],
];

/// Arrows that go up all the same: from, to, and why.
const UPWARD: &[(&str, &str, &str)] = &[];

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

/// The paths within the crate that the code of a module names: those of `use`, out of their trees, those that are written where they are
/// needed, and those that begin with what `use` or `mod` has brought. Whether a path ends at a module or at something in it, it does not tell.
fn paths(code: &str, module: &[String]) -> BTreeSet<Vec<String>> {
    let child = |line: &str| {
        let item =
            line.trim().strip_prefix("pub").map_or(line.trim(), |rest| rest.trim_start_matches("(crate)").trim());
        let name = item.strip_prefix("mod ")?.strip_suffix(';')?;
        Some((name.to_owned(), [module, &[name.to_owned()]].concat()))
    };
    let parent = &module[..module.len().saturating_sub(1)];
    let roots = [("crate", &[][..]), ("self", module), ("super", parent)];
    let mut known: BTreeMap<String, Vec<String>> = roots
        .iter()
        .map(|(name, path)| ((*name).to_owned(), path.to_vec()))
        .chain(code.lines().filter_map(child))
        .collect();
    let mut found = paths_from(code, &known);
    let roots: BTreeSet<String> = known.keys().cloned().collect();
    known = found.iter().filter_map(|path| Some((path.last()?.clone(), path.clone()))).collect();
    known.retain(|name, _| !roots.contains(name));
    found.extend(paths_from(code, &known));
    found.into_iter().collect()
}

/// Those that begin with one of these names, each of which stands for a path.
fn paths_from(code: &str, known: &BTreeMap<String, Vec<String>>) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = code[at..].find("::") {
        let end = at + next;
        let word = code[..end].trim_end_matches(|c: char| c.is_alphanumeric() || c == '_').len();
        at = end + 2;
        // What has something before it was met with that.
        if !code[..word].ends_with("::")
            && let Some(base) = known.get(&code[word..end])
        {
            add_tree(&code[at..], base.clone(), &mut found);
        }
    }
    found
}

/// Adds what stands behind a `::`: `a::b`, or `{a, b::{c, d}}`. Gives what is left behind that.
fn add_tree<'a>(text: &'a str, mut path: Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = add_tree(rest, path.clone(), found).trim_start();
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*').unwrap_or(text.len());
    match &text[..end] {
        "" => return text,
        "super" => _ = path.pop(),
        "self" => {}
        name => path.push(name.to_owned()),
    }
    let rest = text[end..]
        .split_once(" as ")
        .filter(|(before, _)| before.is_empty())
        .map_or(&text[end..], |(_, name)| name.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'));
    match rest.strip_prefix("::") {
        Some(more) => add_tree(more, path, found),
        None => {
            found.push(path);
            rest
        }
    }
}

#[test]
fn paths_are_read_as_they_are_written() {
    let of = |code: &str| -> Vec<String> {
        let module = ["source".to_owned(), "mysql".to_owned()];
        paths(code, &module).iter().map(|path| path.join("::")).collect()
    };
    assert_eq!(of("use crate::task::Consent;"), ["task::Consent"]);
    assert_eq!(
        of("use super::{Context, files::{self, Rows}};"),
        ["source::Context", "source::files", "source::files::Rows"]
    );
    assert_eq!(of("pub(crate) use super::super::{gap};"), ["gap"]);
    assert_eq!(
        of("use crate::{\n    pipeline::{self, route as way},\n    shards,\n};"),
        ["pipeline", "pipeline::route", "shards"]
    );
    assert_eq!(of("fn f(task: &crate::config::Task) -> Vec<super::Take> {}"), ["config::Task", "source::Take"]);
    assert_eq!(of("mod look;\nuse look::Look;\nuse tidegate_mysql::look::Other;"), ["source::mysql::look::Look"]);
    assert_eq!(of("use self::look::*;"), ["source::mysql::look::*"]);
    assert_eq!(of("use crate::status;\nfn f() { status::client::ask() }"), ["status", "status::client::ask"]);
}

/// The entry of the list to which a path belongs, the longest one: its row, and its name.
fn layer_of(path: &[String]) -> Option<(usize, &'static str)> {
    let rows = LAYERS.iter().enumerate().flat_map(|(row, names)| names.iter().map(move |name| (row, *name)));
    let is_it = |name: &str| {
        name.split("::").count() <= path.len() && name.split("::").zip(path).all(|(one, other)| one == other)
    };
    rows.filter(|(_, name)| is_it(name)).max_by_key(|(_, name)| name.split("::").count())
}

/// What is at the bottom can be read, tried and changed without what is above it. A circle is read as a whole or not at all.
#[test]
fn the_modules_of_the_program_know_each_other_one_way() {
    let folder = root().join("engine/tidegate/src");
    let (mut faults, mut met, mut arrows) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for file in rust_files(&folder).iter().filter(|file| !is_for_tests(file)) {
        let path = file.strip_prefix(&folder).expect("a file in the folder").with_extension("");
        let mut module: Vec<String> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if module.last().is_some_and(|last| last == "mod") {
            module.pop();
        }
        if ["lib", "main"].contains(&module[0].as_str()) {
            continue;
        }
        let Some((row, from)) = layer_of(&module) else {
            faults.push(format!("{} is in no layer", file.display()));
            continue;
        };
        met.insert(from);
        for path in paths(&code(&fs::read_to_string(file).expect("a source file is text")), &module) {
            if let Some((other, to)) = layer_of(&path).filter(|(_, to)| *to != from)
                && other >= row
            {
                arrows.insert((from, to));
                if !UPWARD.iter().any(|(one, other, _)| (*one, *other) == (from, to)) {
                    faults.push(format!("{} is of {from}, and names {}", file.display(), path.join("::")));
                }
            }
        }
    }
    faults.extend(
        LAYERS
            .iter()
            .flat_map(|row| row.iter())
            .filter(|name| !met.contains(*name))
            .map(|name| format!("{name} is no module")),
    );
    let unmet = UPWARD.iter().filter(|(from, to, _)| !arrows.contains(&(*from, *to)));
    faults.extend(unmet.map(|(from, to, _)| format!("{from} names nothing of {to}")));
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
