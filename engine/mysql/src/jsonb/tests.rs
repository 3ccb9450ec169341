//! Documents that a server has stored and printed, changes to them, and damage.

use super::*;

/// Lines captured from a server; see `scripts/jsonb_golden.py` for their form.
const GOLDEN: &str = include_str!("golden.txt");

#[test]
fn text_is_the_servers() {
    check_all(GOLDEN);
}

/// The same check on a capture of any size, for a run by hand after `scripts/jsonb_golden.py --random`.
#[test]
fn text_is_the_servers_on_a_capture_of_your_own() {
    let Ok(path) = std::env::var("TIDEGATE_JSONB_GOLDEN") else { return };
    check_all(&std::fs::read_to_string(path).expect("the file that the variable names is readable"));
}

#[test]
fn an_empty_value_is_null() {
    assert_eq!(text(b"").as_deref(), Ok("null"));
}

#[test]
fn large_containers_hold_32_bit_integers_in_the_entry() {
    // {"k": 100000, "l": [-100000, 4000000000, true]}
    let binary = "01 02000000 37000000 1e000000 0100 1f000000 0100 07 a0860100 03 20000000 6b 6c \
                  03000000 17000000 07 6079feff 08 00286bee 04 01000000 0000";
    assert_eq!(text(&unhex(binary)).as_deref(), Ok(r#"{"k": 100000, "l": [-100000, 4000000000, true]}"#));
}

#[test]
fn depth_is_limited_as_on_the_server() {
    let nested = |depth| {
        let mut document = unhex("02 0000 0400");
        for _ in 1..depth {
            let body = document.len() as u16 - 1;
            let mut outer = vec![2, 1, 0];
            outer.extend((body + 7).to_le_bytes());
            outer.extend([2, 7, 0]);
            outer.extend(&document[1..]);
            document = outer;
        }
        document
    };
    assert_eq!(text(&nested(100)), Ok("[".repeat(100) + &"]".repeat(100)));
    assert_eq!(text(&nested(101)).unwrap_err().fault, JsonFault::TooDeep);
}

#[test]
fn elements_that_share_bytes_are_refused() {
    // Sixty arrays, each with two elements that both are the next array: 2^60 elements if printed.
    let mut document = vec![2];
    for level in 0..60u16 {
        document.extend([2, 0]);
        document.extend(((60 - level) * 10 + 4).to_le_bytes());
        document.extend([2, 10, 0, 2, 10, 0]);
    }
    document.extend([0, 0, 4, 0]);
    assert_eq!(text(&document).unwrap_err().fault, JsonFault::Overlap);
}

#[test]
fn errors_name_the_byte_and_leave_the_output_alone() {
    let mut out = b"kept".to_vec();
    // ["ab", …]: the second element has no type that exists.
    let binary = unhex("02 0200 0d00 0c 0a00 4d 0000 02 6162");
    let error = write_text(&binary, &mut out).unwrap_err();
    assert_eq!(error, JsonError { offset: 1, fault: JsonFault::Type(0x4d) });
    assert_eq!(out, b"kept");
    assert_eq!(error.to_string(), "binary JSON is damaged at byte 1: 0x4d is no value type");
}

#[test]
fn diffs_that_do_not_fit_the_value_before_are_refused() {
    let before = unhex("00 0100 0c00 0b00 0100 05 0100 61"); // {"a": 1}
    for (diffs, fault) in [
        ("00 03 242e62 02 0400", JsonFault::PathNotFound), // replace $.b
        ("01 03 242e61 02 0400", JsonFault::PathNotFound), // insert $.a
        ("02 04 245b315d", JsonFault::PathNotFound),       // remove $[1]
        ("02 01 24", JsonFault::PathNotFound),             // remove $
        ("03 03 242e61", JsonFault::Operation(3)),
        ("02 03 242e", JsonFault::Truncated),
        ("02 02 242e", JsonFault::Path),
        ("02 03 2e6161", JsonFault::Path),
        ("02 04 245b2d31", JsonFault::Path),
    ] {
        let error = apply_diffs(&before, &unhex(diffs), &mut Vec::new()).unwrap_err();
        assert_eq!(error.fault, fault, "{diffs}");
    }
}

#[test]
fn damaged_values_never_panic() {
    let mut random = Random(7);
    for line in GOLDEN.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let mut inputs: Vec<Vec<u8>> = fields[1..fields.len() - 1].iter().map(|hex| unhex(hex)).collect();
        if inputs.iter().any(|input| input.len() > 20_000) {
            continue;
        }
        for round in 0..60 {
            let which = random.below(inputs.len());
            let input = &mut inputs[which];
            let intact = input.clone();
            match round {
                _ if input.is_empty() => {}
                0..20 => input.truncate(random.below(input.len())),
                _ => {
                    for _ in 0..1 + random.below(3) {
                        let place = random.below(input.len());
                        input[place] = random.below(256) as u8;
                    }
                }
            }
            let size: usize = inputs.iter().map(Vec::len).sum();
            let mut out = Vec::new();
            let _ = match &inputs[..] {
                [binary] => write_text(binary, &mut out),
                [before, diffs] => apply_diffs(before, diffs, &mut out),
                _ => unreachable!("golden lines have one or two values"),
            };
            assert!(out.len() <= 32 + 32 * size, "{} bytes of text from {size}", out.len());
            inputs[which] = intact;
        }
    }
}

/// xorshift64*: enough to choose what to damage, the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }
}

fn check_all(lines: &str) {
    for line in lines.lines() {
        let (got, expected) = match line.split('\t').collect::<Vec<_>>()[..] {
            ["document", binary, expected] => (text(&unhex(binary)), expected),
            ["diff", before, diffs, expected] => {
                let mut out = Vec::new();
                let applied = apply_diffs(&unhex(before), &unhex(diffs), &mut out);
                (applied.map(|()| String::from_utf8(out).expect("text is UTF-8")), expected)
            }
            _ => panic!("a line of this form is not known: {line}"),
        };
        assert_eq!(got, Ok(unfold(expected)), "{line}");
    }
}

fn text(binary: &[u8]) -> Result<String, JsonError> {
    let mut out = Vec::new();
    write_text(binary, &mut out)?;
    Ok(String::from_utf8(out).expect("text is UTF-8"))
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = unfold(hex).chars().filter(|letter| *letter != ' ').collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).expect("golden values are hex"))
        .collect()
}

/// Writes `<x*3>` as `xxx`.
fn unfold(folded: &str) -> String {
    let mut unfolded = String::new();
    let mut rest = folded;
    while let Some((before, run, count, after)) = next_run(rest) {
        unfolded += before;
        unfolded += &run.repeat(count);
        rest = after;
    }
    unfolded + rest
}

fn next_run(folded: &str) -> Option<(&str, &str, usize, &str)> {
    let (at, (run, after)) = folded
        .match_indices('<')
        .find_map(|(at, _)| Some((at, folded[at + 1..].split_once('>').filter(|(run, _)| run.contains('*'))?)))?;
    let (run, count) = run.split_once('*')?;
    Some((&folded[..at], run, count.parse().ok()?, after))
}
