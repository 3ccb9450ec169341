//! Where the servers are that tests talk to: each is named by an environment variable.

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
