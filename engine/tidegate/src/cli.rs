//! The command line: what the user typed, and which function answers it.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config;
use crate::display::Screen;
use crate::error::Error;
use crate::remembered::Accept;
use crate::task::Consent;
use crate::{demo, precheck, preview, sql, state, task};
use tidegate_model::Coordinate;

/// Copies the tables of a MySQL-family server into Kafka: first everything that is there, then every change.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a task: full load, then every change, until it is stopped; goes on where it was.
    Run {
        /// The task file; `tidegate reference` shows every option.
        task: PathBuf,
        /// Start although the task is not what it was: the consequences that a refused start has named, for this start.
        #[arg(long, value_enum, value_delimiter = ',', value_name = "CONSEQUENCE")]
        accept: Vec<Accept>,
        /// Pass over what a run has stopped at, there in the binlog, for this start: a statement, or an XA COMMIT, whose rows are
        /// not sent.
        #[arg(long, value_delimiter = ',', value_name = "FILE:OFFSET")]
        pass: Vec<Coordinate>,
    },
    /// Checks a task file, the source, the tables and the sink, and prints all findings.
    Check { task: PathBuf },
    /// Prints what will come out of each table: topic, key, and what its columns become in each format.
    Schema {
        task: PathBuf,
        /// Print the source's tables as JSON instead: what `source.schema` of a task over binlog files takes.
        #[arg(long)]
        json: bool,
    },
    /// Prints the first messages of each table, readably, without sending anything.
    Peek {
        task: PathBuf,
        /// Messages of each table.
        #[arg(short, default_value_t = 3)]
        n: usize,
    },
    /// Prints the type of an expression, and its values for the first rows of a table.
    Sql {
        task: PathBuf,
        /// A table that the task selects, as database.table.
        table: String,
        /// What could stand in `where` or `select`.
        expression: String,
        /// Rows.
        #[arg(short, default_value_t = 10)]
        n: usize,
        /// Show the server's own answer beside ours.
        #[arg(long)]
        compare: bool,
    },
    /// Prints what is stored of a task, also while it runs: position, progress of the full load, tables and topics.
    State {
        task: PathBuf,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows the whole way on this machine, without any server, and checks the result.
    Demo,
    /// Prints every option of a task file with its default and meaning.
    Reference,
}

/// How a command ended that did not fail.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// `check` found something that would stop the task: exit code 2.
    Findings,
}

/// Runs the command; what it has to say goes to standard output, its log to standard error.
pub fn run(arguments: &Arguments) -> Result<Outcome, Error> {
    let screen = Screen::stderr();
    // The demo says itself what happens.
    let level = if matches!(arguments.command, Command::Demo) { "warn" } else { "info,mysql_async=warn" };
    let filter = EnvFilter::try_from_env("TIDEGATE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(screen.clone())
        .init();
    match &arguments.command {
        Command::Run { task, accept, pass } => {
            let consent = Consent { accept: accept.clone(), pass: pass.clone() };
            let summary = task::run(config::load(task)?, &consent, screen)?;
            eprintln!("{summary}");
            Ok(Outcome::Done)
        }
        Command::Check { task } => {
            let findings = precheck::check(&config::load(task)?)?;
            say(&findings.to_string());
            Ok(if findings.has_errors() { Outcome::Findings } else { Outcome::Done })
        }
        Command::Schema { task, json: false } => {
            say(&preview::schema(config::load(task)?)?);
            Ok(Outcome::Done)
        }
        Command::Schema { task, json: true } => {
            say(&format!("{}\n", preview::schema_json(config::load(task)?)?));
            Ok(Outcome::Done)
        }
        Command::Peek { task, n } => {
            say(&preview::peek(config::load(task)?, *n)?);
            Ok(Outcome::Done)
        }
        Command::Sql { task, table, expression, n, compare } => {
            say(&sql::evaluate(config::load(task)?, table, expression, *n, *compare)?);
            Ok(Outcome::Done)
        }
        Command::State { task, json: false } => {
            say(&state::text(&config::load(task)?)?);
            Ok(Outcome::Done)
        }
        Command::State { task, json: true } => {
            say(&format!("{:#}\n", state::json(&config::load(task)?)?));
            Ok(Outcome::Done)
        }
        Command::Demo => {
            demo::run(&mut std::io::stdout())?;
            Ok(Outcome::Done)
        }
        Command::Reference => {
            say(config::REFERENCE);
            Ok(Outcome::Done)
        }
    }
}

/// To standard output, as far as anybody listens: `tidegate reference | head` is no error.
fn say(text: &str) {
    _ = std::io::stdout().lock().write_all(text.as_bytes());
}
