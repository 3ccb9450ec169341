//! Upper and lower case of every character, as servers map it.
//!
//! `src/functions/case.txt` has what all collations of both servers map alike, and names the characters of which they differ.
//! `TIDEGATE_COMPLETE=1` writes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use tidegate_sql::{InputColumns, Projection};

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
    let mut answers = [Answers::new(), Answers::new()];
    ask(&mysql, &MYSQL, &mut answers);
    ask(&mariadb, &MARIADB, &mut answers);
    let mut text = String::new();
    for (function, answers) in ["lower", "upper"].into_iter().zip(&answers) {
        write_runs(function, answers, &mut text);
        if std::env::var_os("TIDEGATE_COMPLETE").is_none() {
            compare(function, answers);
        }
    }
    if std::env::var_os("TIDEGATE_COMPLETE").is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/functions/case.txt"), text).unwrap();
    }
}

/// Adds what the server makes of each character in lower and upper case.
fn ask(url: &str, collations: &[&str], answers: &mut [Answers; 2]) {
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
        let cased = |function: &str| format!("{function}(c COLLATE {collation})");
        let query = format!("SELECT code, {}, {} FROM characters ORDER BY code", cased("lower"), cased("upper"));
        for row in server.ask(&query).unwrap() {
            let code = super::text(&row[0]).parse().unwrap();
            for (answers, mapped) in answers.iter_mut().zip(&row[1..]) {
                let (known, mapped): (&mut Vec<String>, _) = (answers.entry(code).or_default(), super::text(mapped));
                if !known.contains(&mapped) {
                    known.push(mapped);
                }
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
    let input =
        InputColumns { schema: Arc::clone(&schema), pushdown: Vec::new(), texts: Vec::new(), sources: Vec::new() };
    let projection = Projection::compile(&[format!("{function}(c) AS x")], &input).unwrap();
    let evaluate = |texts: Vec<String>| {
        let texts: ArrayRef = Arc::new(StringArray::from(texts));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![texts]).unwrap();
        projection.evaluate(&batch).map(|mut arrays| arrays.remove(0))
    };
    let text_of = |code: &u32| char::from_u32(*code).unwrap().to_string();
    let (agreed, others): (Answers, Answers) = answers
        .iter()
        .map(|(code, theirs)| (*code, theirs.clone()))
        .partition(|(_, theirs)| theirs.len() == 1 && theirs[0].chars().count() == 1);
    let ours = evaluate(agreed.keys().map(text_of).collect()).unwrap();
    for ((code, theirs), ours) in agreed.iter().zip(ours.as_string::<i32>()) {
        assert_eq!(ours, Some(theirs[0].as_str()), "{function}(U+{code:04X})");
    }
    for code in others.keys() {
        assert!(evaluate(vec![text_of(code)]).is_err(), "{function}(U+{code:04X}) is not the same everywhere");
    }
}
