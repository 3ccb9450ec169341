//! Runs a task, stops it after so many messages, and prints what it cost: one line of a record.
//!
//! ```text
//! tidegate-bench --name load-null --messages 1500000 task.yaml
//! name,rows,messages,megabytes,seconds,rows_per_second,cpu_seconds,rows_per_cpu_second,peak_mib
//! ```
//!
//! The task runs in this process, through the same code as `tidegate run`; CPU-seconds are this process's own, user and
//! system. `scripts/bench.sh` starts servers, makes the data, and keeps the lines in `bench/record`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use mimalloc::MiMalloc;
use tidegate::config;
use tidegate::consent::Consent;
use tidegate::open;
use tidegate::task;
use tidegate_model::Stop;
use tidegate_model::status::{Status, Summary};

/// The program's own allocator, so that the numbers are the program's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How often the count of messages is looked at; what is delivered in between counts too.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

#[derive(Parser)]
struct Arguments {
    /// First field of the line.
    #[arg(long)]
    name: String,
    /// Stop when so many messages are delivered; without it the task must end by itself.
    #[arg(long)]
    messages: Option<u64>,
    task: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let task = Arc::new(config::load(&arguments.task)?);
    let status = Arc::new(Status::default());
    let stop = Stop::default();
    let watcher = arguments.messages.map(|messages| {
        let (status, stop) = (status.clone(), stop.clone());
        std::thread::spawn(move || {
            while status.messages() < messages && !stop.is_stopped() {
                std::thread::sleep(POLL_INTERVAL);
            }
            let reached = status.summary();
            stop.stop();
            reached
        })
    });
    let summary =
        task::run_with(task, &Consent::default(), &open::runtime()?, status, stop.clone()).map_err(|error| {
            anyhow::anyhow!("{error}{}", error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default())
        })?;
    stop.stop();
    // Draining and closing are not throughput: the line is of the moment at which the count was reached.
    let summary = match watcher {
        Some(watcher) => watcher.join().ok().context("the watching thread panicked")?,
        None => summary,
    };
    println!("{}", line(&arguments.name, &summary));
    Ok(())
}

fn line(name: &str, summary: &Summary) -> String {
    let rows = summary.rows as f64;
    format!(
        "{name},{},{},{:.0},{:.2},{:.0},{:.2},{:.0},{:.0}",
        summary.rows,
        summary.messages,
        summary.bytes as f64 / 1e6,
        summary.seconds,
        rows / summary.seconds,
        summary.cpu_seconds,
        rows / summary.cpu_seconds,
        summary.peak_memory_bytes as f64 / f64::from(1 << 20),
    )
}
