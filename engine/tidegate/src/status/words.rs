//! A report in words: a line of the log, or a page of a terminal.
//!
//! ```text
//! task shop, process 4711: incremental, behind since 3 min
//!   34.2 s late, 12.4 MB of binlog to go; position binlog.000007:4321
//! ```

use std::fmt::Write;

use super::monitor::LIMITS;
use super::report::{Incremental, Limits, Pace, Phase, Report, Retry, TooLarge};
use tidegate_model::message::TooLarge as Counts;
use tidegate_model::rate::Limit;
use tidegate_model::status::{self, bytes_text};
use tidegate_model::words::{counted, duration, plural, rows_and_changes};

/// What happens, in one line, and who is away.
pub fn line(report: &Report) -> String {
    let away = report.retries.iter().map(|retry| format!("; {}", retrying(retry, report.time_ms)));
    happens(report) + &away.collect::<String>()
}

fn happens(report: &Report) -> String {
    let total = &report.total;
    match report.phase {
        Phase::Starting => format!("starting: waiting for {}", report.awaits.as_deref().unwrap_or("the source")),
        Phase::FullLoad => {
            let load = report.full_load.as_ref();
            let tables = load.map_or((0, 0), |load| (load.tables_done, load.tables_total));
            let left = load.and_then(|load| load.seconds_left);
            format!(
                "full load: {} of {}, {}, {} rows/s, {}/s{}{}",
                tables.0,
                counted(tables.1 as u64, "table"),
                some(load.map_or(0, |load| load.rows), "row"),
                count(total.messages_per_s as u64),
                bytes_text(total.bytes_per_s),
                left.map_or(String::new(), |left| format!(", about {} left", duration(left))),
                if report.pace == Pace::Stuck { ", stuck: nothing has been delivered for a while" } else { "" },
            )
        }
        Phase::Incremental => format!(
            "incremental: {}, {}, {} messages/s, {}/s",
            pace(report),
            match report.full_load {
                Some(_) => format!("{} {}", count(total.changes), rows_and_changes(total.changes)),
                None => some(total.changes, "change"),
            },
            count(total.messages_per_s as u64),
            bytes_text(total.bytes_per_s),
        ),
        Phase::Paused => {
            let left: u64 = report.stages.iter().map(|stage| stage.windows).sum();
            match left {
                0 => format!(
                    "paused: {} delivered, nothing is read until `tidegate resume`",
                    some(total.messages, "message")
                ),
                _ => "pausing: what was read is delivered".to_owned(),
            }
        }
        Phase::Draining => {
            format!("draining: {} delivered, {}/s", some(total.messages, "message"), bytes_text(total.bytes_per_s))
        }
    }
}

/// How far behind, in words that do not take a quiet source for a slow task.
fn pace(report: &Report) -> String {
    let incremental = report.incremental.as_ref();
    let delay = incremental.and_then(|incremental| incremental.delay_ms.or(incremental.delay_by_our_clock_ms));
    let late = delay.map_or(String::new(), |delay| format!("{} late", millis(delay)));
    if report.retries.iter().any(|retry| retry.of == status::SOURCE) {
        // What it has by now, nobody knows.
        return delay.map_or("nothing is read".to_owned(), |delay| format!("complete up to {} ago", millis(delay)));
    }
    let rest = incremental.and_then(|incremental| incremental.bytes_behind).filter(|bytes| *bytes > 0);
    let rest = rest.map_or(String::new(), |bytes| format!(" ({} of binlog to go)", bytes_text(bytes as f64)));
    match report.pace {
        Pace::Idle => match report.total.quiet_ms {
            Some(quiet) => format!("caught up, and idle for {}", duration(quiet / 1000)),
            None => "caught up, and idle".to_owned(),
        },
        Pace::Current if delay == Some(0) => "caught up".to_owned(),
        Pace::Current => format!("up to date, {late}"),
        Pace::Behind => format!("behind, {late}{rest}"),
        Pace::Stuck if late.is_empty() => "stuck: nothing has been delivered for a while".to_owned(),
        Pace::Stuck => format!("stuck, {late}{rest}"),
        Pace::Loading | Pace::Starting | Pace::Paused => "reading".to_owned(),
    }
}

fn retrying(retry: &Retry, now_ms: u64) -> String {
    let next = retry.next_try_ms.saturating_sub(now_ms).div_ceil(1000);
    format!(
        "the {} is away for {}, next try in {} s, {} until the task gives up: {}",
        retry.of,
        duration(now_ms.saturating_sub(retry.since_ms) / 1000),
        next,
        duration(retry.seconds_left),
        retry.reason
    )
}

/// All that there is to tell, for a terminal.
pub fn page(report: &Report) -> String {
    let mut out = format!(
        "task {}: running for {} (process {})\n{}\n",
        report.task,
        duration(report.time_ms.saturating_sub(report.started_ms) / 1000),
        report.process,
        happens(report)
    );
    if let Some(incremental) = &report.incremental {
        position(&mut out, incremental);
    }
    let total = &report.total;
    _ = writeln!(
        out,
        "this run: {} {} read, {} and {} delivered",
        count(total.changes),
        rows_and_changes(total.changes),
        some(total.messages, "message"),
        bytes_text(total.bytes as f64)
    );
    for TooLarge { table, counts } in &report.too_large {
        _ = writeln!(out, "too large for their topic, of {table}: {}", too_large(counts));
    }
    if !report.asked_for.is_empty() {
        let part = |table: &String| report.parts.iter().find(|part| !part.begun && part.table == *table);
        let named = |table: &String| match part(table) {
            Some(part) => format!("{table} where {}", part.condition),
            None => table.clone(),
        };
        let tables = report.asked_for.iter().map(named).collect::<Vec<_>>().join(", ");
        _ = writeln!(
            out,
            "to be loaded again as soon as that can begin: {tables}; `tidegate reload --cancel` takes it back"
        );
    }
    if report.phase == Phase::FullLoad
        && let Some(load) = &report.full_load
    {
        let loading: Vec<_> = load.tables.iter().filter(|table| !table.done).collect();
        let name = |table: &super::report::Table| match &table.target {
            Some(target) => format!("{} as {target}", table.table),
            None => table.table.clone(),
        };
        let (parts, whole): (Vec<_>, Vec<_>) = loading.iter().copied().partition(|table| table.part.is_some());
        for table in &parts {
            let (part, rate) = (table.part.as_deref().unwrap_or_default(), count(table.rows_per_s as u64));
            let rows = some(table.rows, "row");
            _ = writeln!(
                out,
                "  {} where {part}: {rows} so far, {rate} rows/s; `tidegate reload --cancel` ends it",
                name(table)
            );
        }
        let width = whole.iter().map(|table| name(table).chars().count()).max().unwrap_or(0);
        for table in &whole {
            let share = table.rows as f64 / table.estimated_rows.max(table.rows).max(1) as f64;
            let left = table.seconds_left.map_or(String::new(), |left| format!(", about {} left", duration(left)));
            _ = writeln!(
                out,
                "  {:width$}  {}  {} of about {}, {} rows/s{left}",
                name(table),
                bar(share, 20),
                count(table.rows),
                some(table.estimated_rows.max(table.rows), "row"),
                count(table.rows_per_s as u64)
            );
        }
        let unlisted = load.tables_total - load.tables_done;
        if unlisted > loading.len() {
            let more = (unlisted - loading.len()) as u64;
            _ = writeln!(out, "  and {more} more {}", plural(more, "table"));
        }
    }
    if report.phase != Phase::Starting {
        _ = writeln!(out, "  stage      per second     busy   fill");
        for stage in &report.stages {
            _ = writeln!(
                out,
                "  {:8}  {:>8} {:>12}   {:3.0} %  {}{}",
                stage.stage,
                count(stage.per_s as u64),
                bytes_text(stage.bytes_per_s) + "/s",
                stage.busy * 100.0,
                bar(stage.fill, 10),
                if report.bottleneck.as_ref() == Some(&stage.stage) { "  the others wait for it" } else { "" }
            );
        }
        let memory = &report.memory;
        _ = writeln!(
            out,
            "memory: {} under way, of {} at most; the process has {}",
            bytes_text(memory.used_bytes as f64),
            bytes_text(memory.budget_bytes as f64),
            bytes_text(memory.resident_bytes as f64)
        );
    }
    let held = if report.bottleneck.as_deref() == Some(LIMITS) { ", which hold the task back" } else { "" };
    let rates = rates_text(&report.limits).map(|rates| rates + held);
    let limits: Vec<String> = rates.into_iter().chain(connections_text(&report.limits)).collect();
    if !limits.is_empty() {
        _ = writeln!(out, "limits: {}", limits.join("; "));
    }
    for retry in &report.retries {
        _ = writeln!(out, "{}", retrying(retry, report.time_ms));
        if let Some(hint) = &retry.hint {
            _ = writeln!(out, "  hint: {hint}");
        }
    }
    for problem in report.problems.iter().rev().take(5).rev() {
        let ago = duration(report.time_ms.saturating_sub(problem.time_ms) / 1000);
        let times = if problem.count > 1 { format!(", {} times", problem.count) } else { String::new() };
        _ = writeln!(out, "{} {ago} ago{times}: {}", problem.level, problem.message);
        if let Some(hint) = &problem.hint {
            _ = writeln!(out, "  hint: {hint}");
        }
    }
    out
}

/// `20 K rows/s; 8 connections to the source`; none if nothing is limited.
pub fn limits_text(limits: &Limits) -> Option<String> {
    let all: Vec<String> = rates_text(limits).into_iter().chain(connections_text(limits)).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn connections_text(limits: &Limits) -> Option<String> {
    limits.connections.map(|most| counted(most, "connection") + " to the source")
}

/// `20 K rows/s and 10 MiB/s; of the full load 10 K rows/s`.
fn rates_text(limits: &Limits) -> Option<String> {
    let one = |limit: &Limit| {
        let rows = limit.rows_per_second.map(|rows| format!("{} rows/s", count(rows)));
        let bytes = limit.bytes_per_second.map(|bytes| format!("{}/s", bytes_text(bytes as f64)));
        let both: Vec<String> = rows.into_iter().chain(bytes).collect();
        (!both.is_empty()).then(|| both.join(" and "))
    };
    let full_load = one(&limits.full_load).map(|limit| format!("of the full load {limit}"));
    let all: Vec<String> = one(&limits.all).into_iter().chain(full_load).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// What became of them: `3 left out, 1 cut`.
pub fn too_large(counts: &Counts) -> String {
    let all = [(counts.skipped, "left out"), (counts.dead_letters, "sent as dead letters"), (counts.truncated, "cut")];
    let said: Vec<String> =
        all.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", count(*n))).collect();
    said.join(", ")
}

fn position(out: &mut String, incremental: &Incremental) {
    if let Some(position) = &incremental.position {
        _ = writeln!(out, "position: {}:{}", position.file, position.offset);
        if let Some(gtids) = &position.gtids {
            _ = writeln!(out, "  executed {gtids}");
        }
    }
    if let Some(purge) = &incremental.purge {
        let time = match purge.seconds {
            Some(seconds) => format!("; what comes next may be purged in {}", duration(seconds)),
            None => String::new(),
        };
        _ = writeln!(out, "  the source has {} of binlog from before it{time}", bytes_text(purge.bytes as f64));
    }
    if let Some(ahead) = incremental.clock_ahead_ms.filter(|ahead| ahead.abs() >= 1000) {
        let side = if ahead > 0 { "ahead of" } else { "behind" };
        _ = writeln!(out, "  the source's clock is {} {side} ours", millis(ahead.unsigned_abs()));
    }
}

fn bar(share: f64, width: usize) -> String {
    let full = (share.clamp(0.0, 1.0) * width as f64).round() as usize;
    "█".repeat(full) + &"░".repeat(width - full)
}

/// `1234567` as `1.2 M`.
pub fn count(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{} K", count / 1000),
        1_000_000..1_000_000_000 => format!("{:.1} M", count as f64 / 1e6),
        _ => format!("{:.2} G", count as f64 / 1e9),
    }
}

/// `1 row`, `1.2 M rows`.
pub fn some(number: u64, what: &str) -> String {
    format!("{} {}", count(number), plural(number, what))
}

fn millis(millis: u64) -> String {
    match millis {
        0..1000 => format!("{millis} ms"),
        1000..120_000 => format!("{:.1} s", millis as f64 / 1e3),
        _ => duration(millis / 1000),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::status::report::{
        FullLoad, Limits, Memory, Part, Position, Problem, Purge, Stage, Table, Topic, Total, VERSION,
    };

    /// A task that is idle.
    pub(in super::super) fn report() -> Report {
        let stage = |stage: &str| Stage {
            stage: stage.to_owned(),
            per_s: 0.0,
            bytes_per_s: 0.0,
            busy: 0.0,
            fill: 0.0,
            windows: 0,
        };
        Report {
            version: VERSION,
            task: "shop".to_owned(),
            program: "0.1.0".to_owned(),
            process: 4711,
            time_ms: 1_800_000_600_000,
            started_ms: 1_800_000_000_000,
            phase: Phase::Incremental,
            pace: Pace::Idle,
            awaits: None,
            total: Total {
                changes: 1_234_567,
                messages: 1_200_000,
                bytes: 480,
                quiet_ms: Some(17_400),
                ..Total::default()
            },
            full_load: None,
            incremental: Some(Incremental {
                position: Some(Position { file: "binlog.000007".to_owned(), offset: 4321, gtids: None }),
                delay_ms: Some(0),
                delay_by_our_clock_ms: Some(0),
                clock_ahead_ms: Some(-3_600_000),
                bytes_behind: Some(0),
                purge: Some(Purge { bytes: 12_400_000, seconds: None }),
            }),
            stages: ["read", "encode", "send", "deliver"].map(stage).into(),
            bottleneck: None,
            retries: Vec::new(),
            limits: Limits { connections: Some(8), ..Limits::default() },
            problems: vec![Problem {
                time_ms: 1_800_000_590_000,
                level: "warn".to_owned(),
                message: "lost the source".to_owned(),
                hint: Some("look".to_owned()),
                count: 3,
            }],
            memory: Memory { used_bytes: 480, room_bytes: 1000, budget_bytes: 512 << 20, resident_bytes: 80_000_000 },
            too_large: vec![TooLarge {
                table: "shop.notes".to_owned(),
                counts: Counts { skipped: 3, dead_letters: 0, truncated: 1 },
            }],
            asked_for: vec!["shop.orders".to_owned(), "shop.items".to_owned()],
            parts: Vec::new(),
            topics: vec![Topic { topic: "shop.orders".to_owned(), acknowledged: vec![7, 0] }],
            applied: None,
        }
    }

    fn late(pace: Pace, delay_ms: u64, bytes: u64) -> String {
        let mut report = report();
        report.pace = pace;
        let incremental = report.incremental.as_mut().unwrap();
        (incremental.delay_ms, incremental.bytes_behind) = (Some(delay_ms), Some(bytes));
        line(&report)
    }

    #[test]
    fn a_quiet_source_is_no_lag() {
        let idle = line(&report());
        assert_eq!(idle, "incremental: caught up, and idle for 17 s, 1.2 M changes, 0 messages/s, 0 B/s");
        let current = late(Pace::Current, 0, 0);
        assert!(current.starts_with("incremental: caught up, "), "{current}");
        let current = late(Pace::Current, 340, 90);
        assert!(current.starts_with("incremental: up to date, 340 ms late, "), "{current}");
        let behind = late(Pace::Behind, 34_200, 12_400_000);
        assert!(behind.starts_with("incremental: behind, 34.2 s late (12.4 MB of binlog to go), "), "{behind}");
        let stuck = late(Pace::Stuck, 7_300_000, 480);
        assert!(stuck.starts_with("incremental: stuck, 2 h late (480 B of binlog to go), "), "{stuck}");
    }

    #[test]
    fn a_start_says_what_it_waits_for_and_a_retry_when_it_is_over() {
        let mut report = report();
        report.phase = Phase::Starting;
        report.awaits = Some("the brokers".to_owned());
        report.retries = vec![Retry {
            of: "sink".to_owned(),
            reason: "no answer".to_owned(),
            hint: None,
            attempts: 3,
            since_ms: report.time_ms - 65_000,
            next_try_ms: report.time_ms + 1500,
            seconds_left: 43_000,
        }];
        assert_eq!(
            line(&report),
            "starting: waiting for the brokers; the sink is away for 65 s, next try in 2 s, 11 h until the task gives up: no answer"
        );
        (report.phase, report.pace) = (Phase::Incremental, Pace::Stuck);
        report.retries[0].of = "source".to_owned();
        report.incremental.as_mut().unwrap().delay_ms = Some(66_000);
        let away = line(&report);
        assert!(away.starts_with("incremental: complete up to 66.0 s ago, "), "{away}");
        assert!(away.contains("; the source is away for 65 s, next try in 2 s, "), "{away}");
        let away = page(&report);
        assert!(away.contains("\nincremental: complete up to 66.0 s ago, "), "{away}");
        assert!(away.contains("\nthe source is away for 65 s, next try in 2 s, "), "{away}");
    }

    #[test]
    fn a_pause_is_over_when_all_is_delivered() {
        let mut report = report();
        (report.phase, report.pace) = (Phase::Paused, Pace::Paused);
        assert_eq!(line(&report), "paused: 1.2 M messages delivered, nothing is read until `tidegate resume`");
        report.stages[3].windows = 2;
        assert_eq!(line(&report), "pausing: what was read is delivered");
    }

    #[test]
    fn a_page_has_all_that_there_is() {
        let mut report = report();
        let text = page(&report);
        for part in [
            "task shop: running for 10 min (process 4711)",
            "position: binlog.000007:4321",
            "480 B delivered",
            "too large for their topic, of shop.notes: 3 left out, 1 cut",
            "to be loaded again as soon as that can begin: shop.orders, shop.items; ",
            "the source has 12.4 MB of binlog from before it",
            "the source's clock is 60 min behind ours",
            "warn 10 s ago, 3 times: lost the source\n  hint: look",
            "memory: 480 B under way, of 536.9 MB at most; the process has 80.0 MB",
            "limits: 8 connections to the source\n",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        let table = Table {
            table: "shop.orders".to_owned(),
            target: Some("crm.orders".to_owned()),
            rows: 500,
            estimated_rows: 1000,
            part: None,
            done: false,
            rows_per_s: 50.0,
            seconds_left: Some(10),
        };
        report.phase = Phase::FullLoad;
        report.bottleneck = Some(LIMITS.to_owned());
        report.limits.all.rows_per_second = Some(100);
        let held = page(&report);
        assert!(held.contains("limits: 100 rows/s, which hold the task back; 8 connections to the source\n"), "{held}");
        report.bottleneck = Some("encode".to_owned());
        report.full_load = Some(FullLoad {
            tables_done: 1,
            tables_total: 12,
            rows: 500,
            estimated_rows: 1000,
            seconds_left: Some(10),
            tables: vec![table],
        });
        let text = page(&report);
        for part in [
            "full load: 1 of 12 tables, 500 rows, 0 rows/s, 0 B/s, about 10 s left",
            "shop.orders as crm.orders  ██████████░░░░░░░░░░  500 of about 1000 rows, 50 rows/s, about 10 s left",
            "and 10 more tables",
            "the others wait for it",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        report.parts = vec![Part { table: "shop.items".to_owned(), condition: "id > 5".to_owned(), begun: false }];
        report.full_load.as_mut().expect("a load").tables[0].part = Some("state = 'new'".to_owned());
        let text = page(&report);
        for part in [
            "as soon as that can begin: shop.orders, shop.items where id > 5; ",
            "  shop.orders as crm.orders where state = 'new': 500 rows so far, 50 rows/s; ",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        let load = report.full_load.as_mut().expect("a load");
        (load.tables_done, load.tables_total, load.rows, load.seconds_left) = (0, 1, 1, None);
        let one = line(&report);
        assert!(one.starts_with("full load: 0 of 1 table, 1 row, 0 rows/s"), "{one}");
        (report.total.changes, report.total.messages) = (1, 1);
        assert!(page(&report).contains("this run: 1 row or change read, 1 message and "), "{}", page(&report));
    }
}
