//! Where the servers are that tests talk to: each is named by an environment variable. And what Java says of partitions.

use std::io::Write;
use std::process::{Command, Stdio};

/// The values of variables that point to servers. Without them a test is skipped, but never under `CI=true`.
pub fn variables<const N: usize>(names: [&str; N]) -> Option<[String; N]> {
    let values = names.map(|name| std::env::var(name).ok());
    let missing: Vec<&str> =
        names.iter().zip(&values).filter(|(_, value)| value.is_none()).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Some(values.map(|value| value.expect("none is missing")));
    }
    let missing = missing.join(", ");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing} not set: start servers with scripts/servers.sh");
    println!("skipped: {missing} not set, start servers with scripts/servers.sh");
    None
}

/// As [`variables`], of one.
pub fn variable(name: &str) -> Option<String> {
    variables([name]).map(|[value]| value)
}

/// What `oracles/Partitions.java` answers to these questions, a line each, with the classes of Kafka in the folder `jars`.
pub fn java_partitions(jars: &str, questions: &str) -> Vec<i32> {
    let mut java = Command::new("java")
        .args(["-cp", &format!("{jars}/*"), concat!(env!("CARGO_MANIFEST_DIR"), "/oracles/Partitions.java")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a JDK");
    java.stdin.take().expect("a pipe").write_all(questions.as_bytes()).expect("it listens");
    let output = java.wait_with_output().expect("it ends");
    String::from_utf8(output.stdout).expect("digits").lines().map(|line| line.parse().expect("a number")).collect()
}
