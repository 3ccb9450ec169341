//! What people copy is read by what reads their files.

use super::*;

/// A line for each key that stands there twice: an example of two ways.
fn examples_in(block: &str) -> Vec<String> {
    let keys: Vec<&str> = block.lines().filter(|line| !line.starts_with([' ', '#'])).collect();
    let keys: Vec<&str> = keys.iter().filter_map(|line| Some(line.split_once(':')?.0)).collect();
    let is_twice = (1..keys.len()).any(|index| keys[..index].contains(&keys[index]));
    match is_twice {
        true => block.lines().map(|line| format!("{line}\n")).collect(),
        false => vec![block.to_owned()],
    }
}

#[test]
fn each_example_of_the_readme_is_a_task_file_or_a_part_of_one() {
    let readme = include_str!("../../../../../README.md");
    let blocks = readme.split("```yaml\n").skip(1).map(|rest| rest.split_once("```").expect("a block ends").0);
    let examples: Vec<String> = blocks.flat_map(examples_in).collect();
    assert!(examples.len() >= 9, "{examples:?}");
    for example in examples {
        accepted(&with(&example));
    }
}

#[test]
fn the_smallest_file_that_the_reference_shows_is_one() {
    let (_, rest) = REFERENCE.split_once("The smallest task file is five lines:\n#\n").expect("it is shown");
    let lines: Vec<&str> = rest.lines().map_while(|line| line.strip_prefix("#   ")).collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    accepted(&lines.join("\n"));
}

/// Whether it is read at the top of a file, or in one of the places where keys of that name are.
fn is_read_somewhere(snippet: &str) -> bool {
    let places = [
        snippet.to_owned(),
        format!("sink: {{kafka: b1, {snippet}}}"),
        format!("sink: {{kafka: b1, key: json, {snippet}}}"),
        format!("format: {{canal_json: {{{snippet}}}}}"),
        format!("format: {{dts_avro: {{{snippet}}}}}\nsink: {{kafka: b1, topic: all, partition: zero}}"),
    ];
    places.iter().any(|text| parse("t.yaml", &with(&format!("{text}\n"))).is_ok())
}

#[test]
fn what_sentences_show_of_a_task_file_is_read() {
    /// What messages hold.
    const OTHERS: [&str; 1] = ["old: [{}]"];
    let key = regex::Regex::new("^[a-z_]+: ").unwrap();
    let mut count = 0;
    for page in [include_str!("../../../../../README.md"), include_str!("../../../../format/formats.md"), REFERENCE] {
        for snippet in page.lines().flat_map(|line| line.split('`').skip(1).step_by(2)) {
            if key.is_match(snippet) && !snippet.contains("...") && !OTHERS.contains(&snippet) {
                assert!(is_read_somewhere(snippet), "{snippet}");
                count += 1;
            }
        }
    }
    assert!(count >= 20, "{count}");
}

/// What stands behind a hash and spaces there is no option, but may be an example of one: up to what is said of it.
#[test]
fn examples_within_the_comments_of_the_reference_are_read() {
    let example = regex::Regex::new(r#"^ *#   ([\[{"].*?[\]}"]|shop\.\S+|/\S+/)( {2,}.*)?$"#).unwrap();
    let mut count = 0;
    for line in REFERENCE.lines() {
        let Some(shown) = example.captures(line).map(|found| found[1].to_owned()) else { continue };
        let tables = match shown.chars().next() {
            Some('[') => format!("[{{table: shop.orders, columns: {shown}}}]"),
            Some('{') if shown.starts_with("{columns") => format!("[{{table: shop.orders, partition: {shown}}}]"),
            // Which excludes, of what another entry selects.
            Some('"') => format!("[\"shop.*\", {shown}]"),
            _ => format!("[{shown}]"),
        };
        accepted(&with(&format!("tables: {tables}\n")));
        count += 1;
    }
    assert!(count >= 12, "{count}");
}
