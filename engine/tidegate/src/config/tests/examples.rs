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
