//! The command line: what the user typed, and which function answers it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::config::{self, ConfigError};
use crate::consent::Consent;
use crate::display::Screen;
use crate::failure::Failure;
use crate::gap::AfterGap;
use crate::items;
use crate::log::{self, LogFormat};
use crate::precheck::Report;
use crate::remembered::Accept;
use crate::status::client::{self, View};
use crate::until::Until;
use crate::verify::{self, Verified};
use crate::{
    apply, bench, confirm, demo, journal, open, precheck, preview, reload, reset, schema_fix, sql, state, task,
};
use tidegate_format::encode::dts_avro::SCHEMA as DTS_AVRO_SCHEMA;
use tidegate_model::Coordinate;
use tidegate_model::stop::INTERRUPTED;

/// Copies the tables of a MySQL-family server into Kafka: first everything that is there, then every change.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Arguments {
    /// How lines of the log are written, on standard error.
    #[arg(long, value_enum, global = true, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    log_format: LogFormat,
    /// What is logged, such as `warn` or `info,tidegate_mysql=debug`. Default: what RUST_LOG says, else `info`.
    #[arg(long, global = true, value_name = "LEVELS")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

/// How the program ends. The numbers are part of what it promises; see [`Outcome`] and [`exit_code`].
const EXIT_CODES: &str = "\
Exit codes:
    0  done: a run has come to its end, or was told to stop and has delivered and stored all that it had read
    1  somebody has to do something: the error and its hint say what
    2  findings: `check` found what would stop the task, `verify` that a topic does not hold what the source holds, or
       `status`, `pause`, `resume`, `limit`, `apply` no run of it
   75  to be tried again as it is: servers, brokers or the disk were away for longer than the task waits
  130  interrupted: a second signal ended it at once; the next run goes on from what is stored";

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
        /// Go on although the server has purged changes that were not read: `load` loads all tables again, names of tables only those,
        /// `leave` none. Rows that were deleted meanwhile stay with consumers. Without such a gap it means nothing.
        #[arg(long, value_name = "load|leave|TABLES")]
        accept_gap: Option<AfterGap>,
        /// End by itself, with exit code 0, once everything that was committed until then is delivered, and send nothing behind it: `now`, a
        /// time with its zone (2026-11-28T10:00:00Z), a place in the binlog (binlog.000042:1897), or a set of GTIDs.
        #[arg(long, value_name = "WHERE")]
        until: Option<Until>,
    },
    /// Checks a task file, the source, the tables and the sink, and prints all findings; also while the task runs.
    Check {
        task: PathBuf,
        /// Print them as JSON.
        #[arg(long)]
        json: bool,
        /// Let warnings of these items count for nothing, besides those of `precheck.ignore`.
        #[arg(long, value_delimiter = ',', value_name = "ITEM", value_parser = items::named)]
        ignore: Vec<&'static str>,
    },
    /// Prints what will come out of each table: topic, key, and what its columns become in each format.
    Schema {
        task: PathBuf,
        /// Print the source's tables as JSON instead: what `source.schema` of a task over binlog files takes.
        #[arg(long)]
        json: bool,
        /// Print the Avro schema of all messages in DTS Avro instead, for those who read them.
        #[arg(long, conflicts_with = "json")]
        avsc: bool,
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
    /// Prints what was done to a task, when and by whom: the last 500 things, also while it runs.
    History {
        task: PathBuf,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Tells the columns of a table where a run has stopped because nobody knew them; the next run goes on from where the task was.
    #[command(group(clap::ArgGroup::new("who").required(true)))]
    SchemaFix {
        task: PathBuf,
        /// The table that the run has named, as database.table.
        table: String,
        /// They are what the server has now: refused if a statement behind that place has altered the table again.
        #[arg(long, group = "who")]
        from_catalogue: bool,
        /// A file with its CREATE TABLE as it was there.
        #[arg(long, group = "who", value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Tells how a task goes that runs on this machine: how far, how late, and what it waits for.
    Status {
        task: PathBuf,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
        /// Again every second, until interrupted or the run ends.
        #[arg(short, long)]
        watch: bool,
    },
    /// Tells a run on this machine to read nothing more, and to deliver what it has; its connections to the source's binlog end.
    Pause { task: PathBuf },
    /// Tells a run that is paused to go on.
    Resume { task: PathBuf },
    /// Tells a run how much it may read a second, until it ends; without a limit, shows those that it has.
    Limit {
        task: PathBuf,
        /// Rows of the full load, and changes; `none` for as many as go.
        #[arg(long, value_name = "ROWS|none", value_parser = rows_or_none)]
        rows_per_second: Option<String>,
        /// Bytes of columns, such as 20MiB; `none` for as many as go.
        #[arg(long, value_name = "SIZE|none", value_parser = bytes_or_none)]
        bytes_per_second: Option<String>,
        /// Of the full load alone.
        #[arg(long)]
        full_load: bool,
    },
    /// Proves that the topics hold what the source holds, while both move; names keys that are missing, extra or different.
    Verify {
        task: PathBuf,
        /// These alone, as database.table, by their names in the source or where they go.
        tables: Vec<String>,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
        /// How many keys of each kind are told of each table.
        #[arg(long, default_value_t = 20)]
        keys: usize,
        /// Of the source, and of topics, at most so many a second; by default, what `limits` says.
        #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
        rows_per_second: Option<u64>,
        /// Keep what was read meanwhile in this folder, and not in the state folder.
        #[arg(long, value_name = "FOLDER")]
        spill: Option<PathBuf>,
        /// Put right what differs, after a question if it is started on a terminal: rows that are missing or different are loaded again, as `reload`
        /// does; rows that are extra stay.
        #[arg(long)]
        repair: bool,
        /// Do not ask.
        #[arg(short, long, requires = "repair")]
        yes: bool,
    },
    /// Loads tables again, or some of their rows, between changes: every row that they have, then what changes. Asks whether that is meant if
    /// it is started on a terminal.
    Reload {
        task: PathBuf,
        /// As the source calls them, or as they are called where they go: database.table.
        #[arg(required = true, value_name = "TABLE")]
        tables: Vec<String>,
        /// Load only the rows for which the server says that this is true: what could stand in the WHERE of a SELECT from each of the tables
        /// alone, such as "id > 5 AND state = 'new'". It is tried on the server first.
        #[arg(long = "where", value_name = "CONDITION", conflicts_with = "cancel", allow_hyphen_values = true)]
        condition: Option<String>,
        /// Take back what was asked for and has not begun, and rows by a condition that are being read: what was sent stays.
        #[arg(long)]
        cancel: bool,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// Has a task that does not run go on from another place in the binlog: back, so that changes are sent again, or on, so that they are left out;
    /// says what follows, and asks whether that is meant if it is started on a terminal.
    Reset {
        task: PathBuf,
        /// A place in the binlog where a transaction ends (binlog.000042:1897), or a set of GTIDs: as `tidegate state` prints it.
        #[arg(long, value_name = "POSITION")]
        to: Until,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// Lets a run take over its task file as it is now, without an end: says what follows from what has changed, and asks whether that is
    /// meant if it is started on a terminal. Tables that were added are loaded.
    Apply {
        task: PathBuf,
        /// The consequences that are meant, by the names that a refusal gives them.
        #[arg(long, value_enum, value_delimiter = ',', value_name = "CONSEQUENCE")]
        accept: Vec<Accept>,
        /// Also where the file says what it did: certificates, say, are read again.
        #[arg(long)]
        anew: bool,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// Measures how fast source, format and brokers go, each by itself and all together, and names what holds the others up; without a task, what
    /// this machine does with a generated table. Asks before it makes a topic if it is started on a terminal.
    Bench {
        task: Option<PathBuf>,
        /// How long each step is measured.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
        seconds: u64,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
        /// Send nothing to the brokers. Else a topic is made for it and deleted, after a question if it is started on a terminal.
        #[arg(long)]
        without_brokers: bool,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// Shows the whole way on this machine, without any server, and checks the result.
    Demo,
    /// Prints every option of a task file with its default and meaning.
    Reference {
        /// Print a JSON Schema (2020-12) of task files instead, for editors.
        #[arg(long)]
        json_schema: bool,
    },
}

/// How a command ended that did not fail.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// `check` found something that would stop the task, `verify` a difference, or `status` no run of it: exit code 2.
    Findings,
}

/// Runs the command; what it has to say goes to standard output, its log to standard error.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let screen = Screen::stderr();
    let levels = match arguments.command {
        // The demo says itself what happens.
        Command::Demo => "warn",
        // Steps that end in the midst of a load.
        Command::Bench { .. } => "warn",
        // What stands in the way is a finding, with what to do about it.
        Command::Check { .. } => "off",
        _ => "info,mysql_async=warn",
    };
    let problems = log::begin(arguments.log_format, arguments.log.as_deref(), levels, screen.clone())?;
    match &arguments.command {
        Command::Run { task, accept, pass, accept_gap, until } => {
            let consent = Consent {
                accept: accept.clone(),
                pass: pass.clone(),
                after_gap: accept_gap.clone(),
                until: until.clone(),
            };
            let summary = task::run(task, &consent, screen, problems)?;
            match arguments.log_format {
                LogFormat::Text => eprintln!("{summary}"),
                LogFormat::Json => tracing::info!("{summary}"),
            }
            Ok(Outcome::Done)
        }
        Command::Check { task, json, ignore } => {
            let task = match config::load(task) {
                Err(ConfigError::Refused { file, problems }) if *json => {
                    say(&format!("{:#}\n", Report::of_file(&file, problems).json()));
                    return Ok(Outcome::Findings);
                }
                Err(error @ ConfigError::Refused { .. }) => {
                    say(&format!("{error}\n"));
                    return Ok(Outcome::Findings);
                }
                task => task?,
            };
            let report = precheck::check(&task, ignore)?;
            say(&match json {
                true => format!("{:#}\n", report.json()),
                false => report.to_string(),
            });
            Ok(if report.has_errors() { Outcome::Findings } else { Outcome::Done })
        }
        Command::Schema { avsc: true, .. } => {
            say(DTS_AVRO_SCHEMA);
            Ok(Outcome::Done)
        }
        Command::Schema { task, json: false, .. } => {
            say(&preview::schema(config::load(task)?)?);
            Ok(Outcome::Done)
        }
        Command::Schema { task, json: true, .. } => {
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
        Command::History { task, json: false } => {
            say(&journal::text(&config::load(task)?)?);
            Ok(Outcome::Done)
        }
        Command::History { task, json: true } => {
            say(&format!("{:#}\n", journal::json(&config::load(task)?)?));
            Ok(Outcome::Done)
        }
        Command::SchemaFix { task, table, from, .. } => {
            let from = from.clone().map_or(schema_fix::From::Catalogue, schema_fix::From::File);
            say(&schema_fix::fix(&config::load(task)?, table, &from)?);
            Ok(Outcome::Done)
        }
        Command::Status { task, json, watch } => {
            let (task, view) = (config::load(task)?, View { json: *json, watch: *watch });
            if open::runtime()?.block_on(client::show(&task, view, &mut std::io::stdout()))? {
                return Ok(Outcome::Done);
            }
            // What is stored, it tells all the same.
            match view.json {
                true => say(&format!("{:#}\n", serde_json::json!({ "running": false, "state": state::json(&task)? }))),
                false => say(&format!("task {} is not running\n{}", task.name, state::text(&task)?)),
            }
            Ok(Outcome::Findings)
        }
        Command::Pause { task } => tell(task, "/pause"),
        Command::Resume { task } => tell(task, "/resume"),
        Command::Limit { task, rows_per_second, bytes_per_second, full_load } => {
            let of = if *full_load { "full_load." } else { "" };
            let rows = rows_per_second.as_ref().map(|rows| format!("{of}rows_per_second={rows}"));
            let bytes = bytes_per_second.as_ref().map(|bytes| format!("{of}bytes_per_second={bytes}"));
            let changes: Vec<String> = rows.into_iter().chain(bytes).collect();
            tell(task, &format!("/limits?{}", changes.join("&")))
        }
        Command::Verify { task, tables, json, keys, rows_per_second, spill, repair, yes } => {
            let options = verify::Options {
                tables: tables.clone(),
                rows_per_second: *rows_per_second,
                folder: spill.clone(),
                keys: *keys,
                repair: *repair,
            };
            let Verified { mut report, plan } = verify::verify(config::load(task)?, &options, &screen)?;
            if !json {
                say(&report.to_string());
            }
            if let Some(plan) = plan {
                // Beside the report, which may be JSON.
                let mut ask = |text: &str| eprint!("{text}");
                if plan.is_empty() || *yes || confirm::is_meant(&format!("{plan}put it right?"), &mut ask) {
                    let done = plan.carry_out();
                    if !json {
                        say(&done.to_string());
                    }
                    report.repair = Some(done);
                }
            }
            if *json {
                say(&(report.json() + "\n"));
            }
            Ok(if report.equal { Outcome::Done } else { Outcome::Findings })
        }
        Command::Reload { task, tables, condition, cancel, yes } => {
            let task = config::load(task)?;
            let mut ask = |text: &str| eprint!("{text}");
            if *yes || *cancel || confirm::is_meant(&reload::question(tables, condition.as_deref()), &mut ask) {
                say(&reload::reload(&task, tables, condition.as_deref(), *cancel)?);
            } else {
                say("nothing was done\n");
            }
            Ok(Outcome::Done)
        }
        Command::Reset { task, to, yes } => {
            reset::reset(&config::load(task)?, to, *yes, &mut say)?;
            Ok(Outcome::Done)
        }
        Command::Apply { task, accept, anew, yes } => {
            let is_there = apply::apply(task, accept, *anew, *yes, &mut std::io::stdout())?;
            Ok(if is_there { Outcome::Done } else { Outcome::Findings })
        }
        Command::Bench { task, seconds, json, without_brokers, yes } => {
            let time = Duration::from_secs(*seconds);
            let bench = match task {
                Some(task) => {
                    let task = config::load(task)?;
                    let mut ask = |text: &str| eprint!("{text}");
                    let is_meant = |topic| {
                        let question = format!("make topic {topic}, send to it for {seconds} s, and delete it?");
                        *yes || confirm::is_meant(&question, &mut ask)
                    };
                    let with_brokers = !without_brokers && bench::topic(&task).is_some_and(is_meant);
                    bench::task(&task, time, with_brokers)?
                }
                None => bench::generated(time)?,
            };
            say(&if *json { bench.json() + "\n" } else { bench.to_string() });
            Ok(Outcome::Done)
        }
        Command::Demo => {
            demo::run(&mut std::io::stdout())?;
            Ok(Outcome::Done)
        }
        Command::Reference { json_schema } => {
            match json_schema {
                true => say(&format!("{:#}\n", config::json_schema())),
                false => say(config::REFERENCE),
            }
            Ok(Outcome::Done)
        }
    }
}

const NONE: &str = "none";

fn rows_or_none(text: &str) -> Result<String, String> {
    let is_number = text.parse::<u64>().is_ok_and(|rows| rows > 0);
    (text == NONE || is_number).then(|| text.to_owned()).ok_or_else(|| "must be a number from 1 up, or none".to_owned())
}

/// In bytes.
fn bytes_or_none(text: &str) -> Result<String, String> {
    let bytes = config::size_of(text).filter(|bytes| *bytes > 0).map(|bytes| bytes.to_string());
    let none = (text == NONE).then(|| NONE.to_owned());
    none.or(bytes).ok_or_else(|| "must be a size with a unit, such as 20MiB, or none".to_owned())
}

fn tell(task: &Path, path: &str) -> Result<Outcome, Failure> {
    let task = config::load(task)?;
    let told = open::runtime()?.block_on(client::tell(&task, path))?;
    match &told {
        Some(answer) => say(&format!("task {}: {}", task.name, String::from_utf8_lossy(answer))),
        None => say(&format!("task {} is not running\n", task.name)),
    }
    Ok(if told.is_some() { Outcome::Done } else { Outcome::Findings })
}

/// Says why it failed, and what to do about it.
pub fn say_error(arguments: &Arguments, error: &Failure) {
    match arguments.log_format {
        LogFormat::Text => {
            eprintln!("error: {error}");
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
        }
        LogFormat::Json => tracing::error!(hint = error.hint(), "{error}"),
    }
}

/// What the program ends with, as [`EXIT_CODES`] tells.
pub fn exit_code(result: &Result<Outcome, Failure>) -> u8 {
    /// EX_TEMPFAIL of sysexits.h, which process managers can be told to start again for.
    const TRY_AGAIN: u8 = 75;
    match result {
        Ok(Outcome::Done) => 0,
        Ok(Outcome::Findings) => 2,
        Err(error) if error.may_pass() => TRY_AGAIN,
        Err(error) if error.is_interrupted() => INTERRUPTED,
        Err(_) => 1,
    }
}

/// To standard output, as far as anybody listens: `tidegate reference | head` is no error. A question has no line end, and is seen all the same.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    /// Words as a shell has them, up to a comment.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut in_quotes) = (Vec::new(), String::new(), false);
        for c in line.chars() {
            match c {
                '"' => in_quotes = !in_quotes,
                '#' if !in_quotes && word.is_empty() => break,
                ' ' if !in_quotes => words.extend((!word.is_empty()).then(|| std::mem::take(&mut word))),
                c => word.push(c),
            }
        }
        words.extend((!word.is_empty()).then_some(word));
        words
    }

    /// Of each page that tells how the program is called: command lines of their own, and those within sentences.
    #[test]
    fn command_lines_of_the_pages_are_understood() {
        let pages = [
            ("README.md", include_str!("../../../README.md")),
            ("operating.md", include_str!("../../../scripts/packaging/operating.md")),
            ("formats.md", include_str!("../../format/formats.md")),
            ("verify.md", include_str!("../verify.md")),
            ("sql/README.md", include_str!("../../../sql/README.md")),
            ("reference.yaml", config::REFERENCE),
        ];
        let (mut whole, mut parts) = (0, 0);
        for (page, text) in pages {
            for line in text.lines().filter(|line| line.starts_with("tidegate ")) {
                if let Err(error) = Arguments::try_parse_from(words(line)) {
                    panic!("{page}: {line}\n{error}");
                }
                whole += 1;
            }
            let quoted = text.split('`').skip(1).step_by(2).filter(|quoted| quoted.starts_with("tidegate "));
            for line in quoted.filter(|line| !line.contains('\n')) {
                // What stands for any name, and what stands for the rest.
                let line = line.replace(['[', ']'], "").replace("TABLE\u{2026}", "TABLE").replace(" \u{2026}", "");
                match Arguments::try_parse_from(words(&line)) {
                    Ok(_) => {}
                    // A sentence may leave out the task file, and a value that it goes on to tell of.
                    Err(error) if matches!(error.kind(), ErrorKind::MissingRequiredArgument) => {}
                    Err(error)
                        if error.kind() == ErrorKind::InvalidValue
                            && error.to_string().contains("a value is required") => {}
                    Err(error) => panic!("{page}: {line}\n{error}"),
                }
                parts += 1;
            }
        }
        assert!(whole >= 25 && parts >= 20, "{whole} lines, {parts} within sentences");
    }
}
