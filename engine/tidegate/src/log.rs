//! The log: what is said on standard error, above the bars if there are any, and what is kept for those who look later.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::display::Screen;
use crate::error::Error;
use crate::status::problems::Problems;

/// How lines of the log are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// Begins to log. `levels` wins over `RUST_LOG`, that over `default`. Gives back what keeps the last warnings and errors.
pub fn begin(format: LogFormat, levels: Option<&str>, default: &str, screen: Screen) -> Result<Problems, Error> {
    let filter = filter(levels, std::env::var(EnvFilter::DEFAULT_ENV).ok().as_deref(), default)?;
    let problems = Problems::default();
    let lines = tracing_subscriber::fmt::layer().with_writer(screen);
    let lines = match format {
        LogFormat::Text => lines.with_target(false).with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(problems.clone().with_filter(LevelFilter::WARN))
        .init();
    Ok(problems)
}

fn filter(levels: Option<&str>, variable: Option<&str>, default: &str) -> Result<EnvFilter, Error> {
    let (from, levels) = match (levels, variable) {
        (Some(levels), _) => ("--log", levels),
        (None, Some(levels)) if !levels.is_empty() => (EnvFilter::DEFAULT_ENV, levels),
        (None, _) => ("", default),
    };
    EnvFilter::builder()
        .parse(levels)
        .map_err(|error| Error::Log(format!("{from}={levels:?} names no levels: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_wins_over_the_variable_and_what_is_no_level_is_refused() {
        let chosen =
            |levels, variable| filter(levels, variable, "info,mysql_async=warn").map(|filter| filter.to_string());
        assert_eq!(chosen(None, None).unwrap(), "mysql_async=warn,info");
        assert_eq!(chosen(None, Some("")).unwrap(), "mysql_async=warn,info");
        assert_eq!(chosen(None, Some("debug")).unwrap(), "debug");
        assert_eq!(chosen(Some("warn"), Some("debug")).unwrap(), "warn");
        assert!(chosen(Some("tidegate=loud"), None).unwrap_err().to_string().starts_with("--log=\"tidegate=loud\""));
        assert!(chosen(None, Some("tidegate=loud")).unwrap_err().to_string().starts_with("RUST_LOG="));
    }
}
