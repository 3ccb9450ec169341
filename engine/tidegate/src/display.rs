//! Progress for whoever watches: bars on a terminal, a line now and then elsewhere.
//!
//! ```text
//! shop.orders     ████████████████████░░░░░░░░░░  1.2 M / 1.8 M rows
//! shop.items      ███░░░░░░░░░░░░░░░░░░░░░░░░░░░  180 K / 2.1 M rows
//! full load: 2 of 12 tables, 1.4 M rows, 410 K rows/s, 480.0 MB/s, about 6 s left
//! ```

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tracing::info;
use tracing_subscriber::fmt::MakeWriter;

use crate::status::monitor::Monitor;
use crate::status::report::{Pace, Phase};
use crate::status::words;

const BAR_INTERVAL: Duration = Duration::from_millis(200);
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// More bars than this would scroll; the tables that are being read have them.
const BARS_MAX: usize = 8;

/// Where bars are drawn and log lines go, so that neither overwrites the other.
#[derive(Clone)]
pub struct Screen {
    bars: Option<MultiProgress>,
}

impl Screen {
    /// Standard error: bars if it is a terminal.
    pub fn stderr() -> Screen {
        Screen { bars: std::io::stderr().is_terminal().then(MultiProgress::new) }
    }
}

impl<'a> MakeWriter<'a> for Screen {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter(self)
    }
}

/// Writes log lines above the bars.
pub struct LineWriter<'a>(&'a Screen);

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        match &self.0.bars {
            Some(bars) => bars.suspend(|| std::io::stderr().write(line)),
            None => std::io::stderr().write(line),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Draws until it is dropped.
pub struct Display {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Display {
    pub fn start(monitor: Arc<Monitor>, screen: Screen) -> Display {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = ended.clone();
        let thread = std::thread::Builder::new()
            .name("display".to_owned())
            .spawn(move || match &screen.bars {
                Some(bars) => draw_bars(&monitor, bars, &seen),
                None => write_lines(&monitor, &seen),
            })
            .ok();
        Display { ended, thread }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // Nothing depends on the drawing; a panic in it has been printed.
            let _ = thread.join();
        }
    }
}

/// One line about what is under way, drawn anew until it is dropped.
pub struct Line {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Line {
    pub fn start(screen: Screen, text: impl Fn() -> String + Send + 'static) -> Line {
        let ended = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("display".to_owned());
        let ending = ended.clone();
        let draw = move || match screen.bars {
            None => {
                while wait(LINE_INTERVAL, &ending) {
                    info!("{}", text());
                }
            }
            Some(bars) => {
                let style = ProgressStyle::with_template("{msg}").expect("the template is valid");
                let bar = bars.add(ProgressBar::new_spinner().with_style(style));
                while wait(BAR_INTERVAL, &ending) {
                    bar.set_message(text());
                }
                bar.finish_and_clear();
            }
        };
        // Without a thread it goes on unseen.
        Line { ended, thread: thread.spawn(draw).ok() }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // Nothing depends on the drawing; a panic in it has been printed.
            let _ = thread.join();
        }
    }
}

/// Waits for the next moment to draw; whether the run goes on.
fn wait(interval: Duration, ended: &AtomicBool) -> bool {
    let until = Instant::now() + interval;
    while !ended.load(Ordering::Relaxed) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::park_timeout(left);
    }
    false
}

fn write_lines(monitor: &Monitor, ended: &AtomicBool) {
    /// An hour's.
    const LINES_IDLE: u32 = 360;
    let mut idle: u32 = 0;
    while wait(LINE_INTERVAL, ended) {
        let report = monitor.report();
        idle = if report.pace == Pace::Idle { idle.saturating_add(1) } else { 0 };
        // Of a task that stays idle ever fewer: after twice the time each, and once an hour.
        if idle < LINES_IDLE && (idle == 0 || idle.is_power_of_two()) || idle > 0 && idle.is_multiple_of(LINES_IDLE) {
            info!("{}", words::line(&report));
        }
    }
}

fn draw_bars(monitor: &Monitor, bars: &MultiProgress, ended: &AtomicBool) {
    let table_style = ProgressStyle::with_template("{prefix:28!} {bar:30} {human_pos} / {human_len} rows")
        .expect("the template is valid")
        .progress_chars("██░");
    let overall_style = ProgressStyle::with_template("{msg}").expect("the template is valid");
    let overall_bar = bars.add(ProgressBar::new_spinner().with_style(overall_style));
    let mut table_bars: Vec<(String, ProgressBar)> = Vec::new();
    while wait(BAR_INTERVAL, ended) {
        let report = monitor.report();
        let line = words::line(&report);
        let load = report.full_load.filter(|_| report.phase == Phase::FullLoad);
        let tables = load.map_or(Vec::new(), |load| load.tables);
        table_bars.retain(|(name, bar)| {
            let shown = tables.iter().any(|table| !table.done && table.table == *name);
            if !shown {
                bar.finish_and_clear();
                bars.remove(bar);
            }
            shown
        });
        // Of a part nobody knows how much is left.
        for table in tables.iter().filter(|table| table.rows > 0 && !table.done && table.part.is_none()) {
            let name = table.table.clone();
            let place = table_bars.iter().position(|(shown, _)| *shown == name);
            let bar = match place {
                Some(index) => &table_bars[index].1,
                None if table_bars.len() < BARS_MAX => {
                    let bar = bars.insert_before(&overall_bar, ProgressBar::new(1).with_style(table_style.clone()));
                    bar.set_prefix(name.clone());
                    table_bars.push((name, bar));
                    &table_bars.last().expect("a bar was just added").1
                }
                None => continue,
            };
            bar.set_length(table.estimated_rows.max(table.rows));
            bar.set_position(table.rows);
        }
        overall_bar.set_message(line);
    }
    for (_, bar) in &table_bars {
        bar.finish_and_clear();
    }
    overall_bar.finish_and_clear();
}
