//! Progress for whoever watches: bars on a terminal, a line now and then elsewhere.
//!
//! ```text
//! shop.orders     ████████████████████░░░░░░░░░░  1.2 M / 1.8 M rows
//! shop.items      ███░░░░░░░░░░░░░░░░░░░░░░░░░░░  180 K / 2.1 M rows
//! full load: 2 of 12 tables, 1.4 M messages, 410 K messages/s, 480.0 MB/s, about 6 s left
//! ```

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tracing_subscriber::fmt::MakeWriter;

use tidegate_model::status::{Phase, Status, TableProgress};

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
    pub fn start(status: Arc<Status>, screen: Screen) -> Display {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = ended.clone();
        let thread = std::thread::Builder::new()
            .name("display".to_owned())
            .spawn(move || match &screen.bars {
                Some(bars) => draw_bars(&status, bars, &seen),
                None => write_lines(&status, &seen),
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

fn write_lines(status: &Status, ended: &AtomicBool) {
    let mut rates = Rates::new(status);
    while wait(LINE_INTERVAL, ended) {
        eprintln!("{}", overall(status, &mut rates));
    }
}

fn draw_bars(status: &Status, bars: &MultiProgress, ended: &AtomicBool) {
    let table_style = ProgressStyle::with_template("{prefix:28!} {bar:30} {human_pos} / {human_len} rows")
        .expect("the template is valid")
        .progress_chars("██░");
    let overall_style = ProgressStyle::with_template("{msg}").expect("the template is valid");
    let overall_bar = bars.add(ProgressBar::new_spinner().with_style(overall_style));
    let mut table_bars: Vec<(String, ProgressBar)> = Vec::new();
    let mut rates = Rates::new(status);
    while wait(BAR_INTERVAL, ended) {
        let tables = if status.phase() == Phase::FullLoad { status.tables() } else { Vec::new() };
        table_bars.retain(|(name, bar)| {
            let shown = tables.iter().any(|table| !table.done && table.table.to_string() == *name);
            if !shown {
                bar.finish_and_clear();
                bars.remove(bar);
            }
            shown
        });
        for table in tables.iter().filter(|table| table.rows > 0 && !table.done) {
            let name = table.table.to_string();
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
        overall_bar.set_message(overall(status, &mut rates));
    }
    for (_, bar) in &table_bars {
        bar.finish_and_clear();
    }
    overall_bar.finish_and_clear();
}

/// Rows and bytes per second, since the last look.
struct Rates {
    at: Instant,
    messages: u64,
    bytes: u64,
    /// Smoothed, per second.
    message_rate: f64,
    byte_rate: f64,
}

impl Rates {
    fn new(status: &Status) -> Rates {
        Rates {
            at: Instant::now(),
            messages: status.messages.load(Ordering::Relaxed),
            bytes: status.message_bytes.load(Ordering::Relaxed),
            message_rate: 0.0,
            byte_rate: 0.0,
        }
    }

    fn update(&mut self, status: &Status) {
        let seconds = self.at.elapsed().as_secs_f64().max(1e-3);
        let messages = status.messages.load(Ordering::Relaxed);
        let bytes = status.message_bytes.load(Ordering::Relaxed);
        // A second's worth of memory, whatever the interval.
        let weight = seconds.min(1.0);
        self.message_rate += weight * ((messages - self.messages) as f64 / seconds - self.message_rate);
        self.byte_rate += weight * ((bytes - self.bytes) as f64 / seconds - self.byte_rate);
        (self.at, self.messages, self.bytes) = (Instant::now(), messages, bytes);
    }
}

fn overall(status: &Status, rates: &mut Rates) -> String {
    rates.update(status);
    let speed = format!("{} messages/s, {:.1} MB/s", human(rates.message_rate as u64), rates.byte_rate / 1e6);
    let messages = human(rates.messages);
    match status.phase() {
        Phase::Starting => "starting".to_owned(),
        Phase::FullLoad => {
            let tables = status.tables();
            let done = tables.iter().filter(|table| table.done).count();
            format!(
                "full load: {done} of {} tables, {messages} messages, {speed}{}",
                tables.len(),
                time_left(&tables, rates)
            )
        }
        Phase::Incremental => {
            let event_time_s = status.event_time_s.load(Ordering::Relaxed);
            let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
            let newest = match event_time_s {
                0 => String::new(),
                time => format!(", newest change {} s ago", now_s.saturating_sub(time)),
            };
            format!("incremental: {messages} messages, {speed}{newest}")
        }
        Phase::Retrying { reason } => format!("retrying: {reason}"),
        Phase::Draining => format!("draining: {messages} messages, {speed}"),
    }
}

fn time_left(tables: &[TableProgress], rates: &Rates) -> String {
    let left: u64 =
        tables.iter().filter(|table| !table.done).map(|table| table.estimated_rows.saturating_sub(table.rows)).sum();
    if rates.message_rate < 1.0 || left == 0 {
        return String::new();
    }
    let seconds = (left as f64 / rates.message_rate) as u64;
    match seconds {
        0..120 => format!(", about {seconds} s left"),
        120..7200 => format!(", about {} min left", seconds / 60),
        _ => format!(", about {} h left", seconds / 3600),
    }
}

/// `1234567` as `1.2 M`.
fn human(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{} K", count / 1000),
        1_000_000..1_000_000_000 => format!("{:.1} M", count as f64 / 1e6),
        _ => format!("{:.2} G", count as f64 / 1e9),
    }
}
