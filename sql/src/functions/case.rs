//! Upper and lower case of characters beyond ASCII, as MySQL and MariaDB map them: one character for one.
//!
//! Each Unicode version has more pairs, and each collation is of one version. `case.txt` has what all of them map alike, and
//! names the characters of which they differ; those fail. The judge's test asks servers for every character, and writes the
//! file anew with `TIDEGATE_COMPLETE=1`.
//!
//! ```text
//! lower 391 3a1 1 32     from U+0391 to U+03A1, every one, 32 is added
//! upper 101 12f 2 -1     every second one
//! lower 220 220 1 ?      servers differ
//! ```

use std::sync::LazyLock;

/// Characters that are mapped alike, or whose mapping is not known.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: u32,
    last: u32,
    step: u32,
    /// What is added; nothing is known without.
    distance: Option<i32>,
}

/// The character in lower case; `None` if servers differ.
pub(super) fn lower(character: char) -> Option<char> {
    static RUNS: LazyLock<Vec<Run>> = LazyLock::new(|| runs("lower"));
    match character.is_ascii() {
        true => Some(character.to_ascii_lowercase()),
        false => mapped(character, &RUNS),
    }
}

/// The character in upper case; `None` if servers differ.
pub(super) fn upper(character: char) -> Option<char> {
    static RUNS: LazyLock<Vec<Run>> = LazyLock::new(|| runs("upper"));
    match character.is_ascii() {
        true => Some(character.to_ascii_uppercase()),
        false => mapped(character, &RUNS),
    }
}

fn mapped(character: char, runs: &[Run]) -> Option<char> {
    let code = u32::from(character);
    let run = &runs[..runs.partition_point(|run| run.first <= code)];
    // A run of every second character may lie around another one.
    let run = run.iter().rev().take(2).find(|run| code <= run.last && (code - run.first).is_multiple_of(run.step));
    match run {
        Some(run) => char::from_u32(code.checked_add_signed(run.distance?)?),
        None => Some(character),
    }
}

fn runs(of: &str) -> Vec<Run> {
    let parse = |line: &str| {
        let parts: Vec<&str> = line.split(' ').collect();
        let [name, first, last, step, distance] = parts[..] else { unreachable!("a line has five parts") };
        let code = |text| u32::from_str_radix(text, 16).expect("codes are hexadecimal");
        let run = Run {
            first: code(first),
            last: code(last),
            step: step.parse().expect("a step is a number"),
            distance: distance.parse().ok(),
        };
        (name == of).then_some(run)
    };
    include_str!("case.txt").lines().filter_map(parse).collect()
}
