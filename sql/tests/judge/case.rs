//! Upper and lower case of every character, as servers map it.
//!
//! `src/functions/case.txt` has what all collations of both servers map alike, and names the characters of which they differ.
//! `TIDEGATE_COMPLETE=1` writes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use tidegate_sql::{Input, Projection};

use super::server::Server;

/// One collation of each Unicode version that servers map case by.
const MYSQL: [&str; 3] = ["utf8mb4_0900_ai_ci", "utf8mb4_general_ci", "utf8mb4_unicode_520_ci"];
const MARIADB: [&str; 2] = ["utf8mb4_general_ci", "utf8mb4_unicode_520_ci"];

/// What servers make of a character: one answer if they agree.
type Answers = BTreeMap<u32, Vec<String>>;

#[test]
fn case_is_mapped_as_servers_map_it() {
    let Some([mysql, mariadb]) = tidegate_tests::variables(["TIDEGATE_TEST_MYSQL", "TIDEGATE_TEST_MARIADB"]) else {
        return;
    };
    let mut text = String::new();
    for function in ["lower", "upper"] {
        let mut answers = Answers::new();
        ask(&mysql, &MYSQL, function, &mut answers);
        ask(&mariadb, &MARIADB, function, &mut answers);
        write_runs(function, &answers, &mut text);
        if std::env::var_os("TIDEGATE_COMPLETE").is_none() {
            compare(function, &answers);
        }
    }
    if std::env::var_os("TIDEGATE_COMPLETE").is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/functions/case.txt"), text).unwrap();
    }
}

fn ask(url: &str, collations: &[&str], function: &str, answers: &mut Answers) {
    let mut server = Server::connect(url);
    server.run("CREATE DATABASE IF NOT EXISTS judge_case");
    server.run("USE judge_case");
    server.run("DROP TABLE IF EXISTS characters");
    server.run("CREATE TABLE characters (code INT PRIMARY KEY, c VARCHAR(1) CHARACTER SET utf8mb4)");
    let characters: Vec<char> = ('\u{80}'..'\u{20000}').collect();
    for some in characters.chunks(10_000) {
        let rows: Vec<String> = some.iter().map(|&c| format!("({}, '{c}')", u32::from(c))).collect();
        server.run(&format!("INSERT INTO characters VALUES {}", rows.join(", ")));
    }
    for collation in collations {
        let query = format!("SELECT code, {function}(c COLLATE {collation}) FROM characters ORDER BY code");
        for row in server.ask(&query).unwrap() {
            let code = super::text(&row[0]).parse().unwrap();
            let mapped = super::text(&row[1]);
            let known = answers.entry(code).or_default();
            if !known.contains(&mapped) {
                known.push(mapped);
            }
        }
    }
}

/// The lines of `case.txt`: characters that move by the same distance, next to each other or every second one.
fn write_runs(function: &str, answers: &Answers, out: &mut String) {
    let mut runs: Vec<(u32, u32, u32, Option<i64>)> = Vec::new();
    for (&code, mapped) in answers {
        let distance = match mapped.as_slice() {
            [one] if one.chars().count() == 1 => {
                Some(i64::from(u32::from(one.chars().next().unwrap())) - i64::from(code))
            }
            _ => None,
        };
        if distance == Some(0) {
            continue;
        }
        match runs.last_mut() {
            Some((_, last, step, of)) if *of == distance && code - *last == *step => *last = code,
            Some((first, last, step, of)) if *of == distance && first == last && code - *last == 2 => {
                (*last, *step) = (code, 2);
            }
            _ => runs.push((code, code, 1, distance)),
        }
    }
    for (first, last, step, distance) in runs {
        let distance = distance.map_or("?".to_owned(), |distance| distance.to_string());
        writeln!(out, "{function} {first:x} {last:x} {step} {distance}").unwrap();
    }
}

fn compare(function: &str, answers: &Answers) {
    let schema = Arc::new(Schema::new(vec![Field::new("c", DataType::Utf8, false)]));
    let input = Input { schema: Arc::clone(&schema), pushdown: Vec::new(), texts: Vec::new(), sources: Vec::new() };
    let projection = Projection::compile(&[format!("{function}(c) AS x")], &input).unwrap();
    for (&code, theirs) in answers {
        let text: ArrayRef = Arc::new(StringArray::from(vec![char::from_u32(code).unwrap().to_string()]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![text]).unwrap();
        match projection.evaluate(&batch) {
            Ok(ours) => {
                let ours = ours[0].as_string::<i32>();
                assert!(
                    !ours.is_null(0) && *theirs == [ours.value(0)],
                    "{function}(U+{code:04X}): {ours:?}, {theirs:?}"
                );
            }
            Err(_) => assert!(theirs.len() > 1 || theirs[0].chars().count() != 1, "{function}(U+{code:04X}) fails"),
        }
    }
}
