//! What the page must show of a report: its words, written a second time.

use serde_json::{Value, json};

/// Gathers what the page shows, with the report that it shows; null before the first one. Days are left out of times.
pub(crate) const SHOWN: &str = r#"(() => {
  if (typeof last === "undefined" || last === null) return null;
  const element = (id) => document.getElementById(id);
  const words = (text) => text.replace(/\d+\.\d+\.\d{4}, /g, "");
  const list = (id, item) => [...element(id).children].map(item);
  const cells = (row) => [...row.children].map((cell) => {
    const bar = cell.matches("progress") ? cell : cell.querySelector("progress");
    return bar ? Math.round(1e6 * bar.value) : cell.textContent;
  });
  const note = (item) => [...item.childNodes].map((part) => words(part.textContent));
  const ids = ["task", "pace", "says", "pause", "starting-note", "full_load-note", "incremental-note", "delay", "behind", "messages", "rate",
    "bytes", "memory", "memory-of", "limits-now", "more-tables", "program"];
  return {
    report: last,
    shown: {
      ...Object.fromEntries(ids.map((id) => [id, words(element(id).textContent)])),
      title: document.title,
      phase: document.querySelector("[aria-current]").id,
      stages: list("stages", cells),
      tables: list("tables", cells),
      retries: list("retries", note),
      problems: list("problems", note),
      details: list("details", (part) => words(part.textContent)),
      asked: list("asked", (item) => item.firstChild.data),
      hidden: ["pause", "away", "load", "no-problems"].filter((id) => element(id).hidden),
    },
  };
})()"#;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// As `toFixed`: of two that are as near, the larger. The digits of a double are all there behind 60 of them.
fn fixed(number: f64, digits: usize) -> String {
    let exact = format!("{number:.60}");
    let end = exact.find('.').expect("there are digits behind the point") + 1 + digits;
    let cut: u64 = exact[..end].replace('.', "").parse().expect("digits");
    let rounded = cut + u64::from(exact.as_bytes()[end] >= b'5');
    let text = format!("{rounded:0width$}", width = digits + 1);
    let (whole, rest) = text.split_at(text.len() - digits);
    format!("{whole}.{rest}")
}

fn round(number: f64) -> u64 {
    (number + 0.5).floor() as u64
}

pub(crate) fn count(number: f64) -> String {
    match number {
        n if n < 1e4 => round(n).to_string(),
        n if n < 1e6 => format!("{} K", (n / 1e3).floor()),
        n if n < 1e9 => fixed(n / 1e6, 1) + " M",
        n => fixed(n / 1e9, 2) + " G",
    }
}

fn bytes(number: f64) -> String {
    match number {
        n if n < 1e3 => format!("{} B", round(n)),
        n if n < 1e6 => fixed(n / 1e3, 1) + " KB",
        n if n < 1e9 => fixed(n / 1e6, 1) + " MB",
        n => fixed(n / 1e9, 2) + " GB",
    }
}

fn duration(ms: f64) -> String {
    match ms / 1000.0 {
        s if s < 1.0 => format!("{} ms", round(ms)),
        s if s < 10.0 => fixed(s, 1) + " s",
        s if s < 120.0 => format!("{} s", round(s)),
        s if s < 7200.0 => format!("{} min", (s / 60.0).floor()),
        s if s < 172_800.0 => format!("{} h", (s / 3600.0).floor()),
        s => format!("{} days", (s / 86_400.0).floor()),
    }
}

fn clock(ms: &Value) -> String {
    let s = ms.as_u64().expect("a time") / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

fn delay(incremental: &Value) -> Option<f64> {
    incremental["delay_ms"].as_f64().or_else(|| incremental["delay_by_our_clock_ms"].as_f64())
}

fn says(report: &Value) -> String {
    let retries = items(&report["retries"]);
    match word(&report["phase"]) {
        "starting" => return format!("waiting for {}", word(&report["awaits"])),
        "paused" if items(&report["stages"]).iter().any(|stage| number(&stage["windows"]) > 0.0) => {
            return "what was read is delivered".to_owned();
        }
        "paused" => return "nothing is read; the place is kept".to_owned(),
        "draining" => return "told to stop: what was read is delivered first".to_owned(),
        _ => {}
    }
    if let Some(retry) = retries.first() {
        let words = match word(&retry["of"]) {
            "source" => "the source is away: what it has by now, nobody knows",
            "sink" => "the brokers are away: what is read waits for them",
            other => panic!("{other} cannot be away here"),
        };
        return words.to_owned();
    }
    match (word(&report["pace"]), report["total"]["quiet_ms"].as_f64(), report["bottleneck"].as_str()) {
        ("stuck", ..) => "something is to be delivered, and nothing has been for a while".to_owned(),
        ("idle", Some(quiet), _) => format!("nothing has come for {}", duration(quiet)),
        (.., Some(bottleneck)) => {
            let slow = match bottleneck {
                "read" => "reading the source",
                "encode" => "filtering and encoding",
                "send" => "handing over to the sink",
                "deliver" => "the brokers",
                "limits" => "the limits that were set",
                other => panic!("{other} is no stage"),
            };
            format!("what takes most of the time: {slow}")
        }
        (.., None) => String::new(),
    }
}

fn limits(report: &Value) -> String {
    let one = |limit: &Value| {
        let rows = limit["rows_per_second"].as_f64().map(|rows| count(rows) + " rows/s");
        let volume = limit["bytes_per_second"].as_f64().map(|volume| bytes(volume) + "/s");
        rows.into_iter().chain(volume).collect::<Vec<_>>().join(" and ")
    };
    let (all, load) = (one(&report["limits"]["all"]), one(&report["limits"]["full_load"]));
    let load = if load.is_empty() { load } else { format!("of the full load {load}") };
    let both: Vec<String> = [all, load].into_iter().filter(|words| !words.is_empty()).collect();
    let held = if report["bottleneck"] == "limits" { ", which hold the task back" } else { "" };
    let connections = report["limits"]["connections"].as_f64();
    let connections = connections.map(|most| format!("; {} to the source", some(most, "connection")));
    (if both.is_empty() { "none".to_owned() } else { both.join("; ") }) + held + &connections.unwrap_or_default()
}

fn some(number: f64, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1.0 { "" } else { "s" })
}

fn stage(stage: &Value, bottleneck: &Value) -> Value {
    let name = word(&stage["stage"]);
    let title = match name {
        "read" => "read the source",
        "encode" => "filter and encode",
        "send" => "hand over",
        _ => "brokers acknowledge",
    };
    let percent = |share: &Value| round(100.0 * number(share));
    let bar = |share: &Value| round(1e6 * number(share).min(1.0));
    let mut parts = vec![
        json!(title),
        json!(format!("{}/s, {}/s", count(number(&stage["per_s"])), bytes(number(&stage["bytes_per_s"])))),
        json!(format!("busy {} %", percent(&stage["busy"]))),
        json!(bar(&stage["busy"])),
    ];
    if name != "read" {
        let of = if name == "deliver" { "memory" } else { "queue" };
        parts.extend([json!(format!("{of} {} % full", percent(&stage["fill"]))), json!(bar(&stage["fill"]))]);
    }
    if *bottleneck == name {
        parts.push(json!("the others wait for it"));
    }
    Value::Array(parts)
}

fn table(table: &Value, is_loading: bool) -> Value {
    let (rows, done) = (number(&table["rows"]), table["done"] == true);
    let all = rows.max(number(&table["estimated_rows"])).max(1.0);
    let name = match table["target"].as_str() {
        Some(target) => format!("{} as {target}", word(&table["table"])),
        None => word(&table["table"]).to_owned(),
    };
    let left = table["seconds_left"].as_f64().map_or_else(String::new, |seconds| duration(1000.0 * seconds));
    let part = table["where"].as_str();
    // Of rows that meet a condition nobody knows how many there are.
    let share = if done { Some(1.0) } else { Some(rows / all).filter(|_| part.is_none()) };
    json!([
        name + &part.map_or_else(String::new, |part| format!(" where {part}")),
        share.map_or(json!(""), |share| json!(round(1e6 * share))),
        if done || part.is_some() { count(rows) } else { format!("{} of ~{}", count(rows), count(all)) },
        if is_loading && !done { count(number(&table["rows_per_s"])) } else { String::new() },
        if done { "done".to_owned() } else { left },
    ])
}

fn retry(retry: &Value, now: f64) -> Value {
    let next = number(&retry["next_try_ms"]) - now;
    let next = if next > 0.0 { format!("next try in {}, ", duration(next)) } else { String::new() };
    let mut parts = vec![
        format!("the {}: {}", word(&retry["of"]), word(&retry["reason"])),
        format!(
            "away for {}, {next}{} until the task gives up",
            duration(now - number(&retry["since_ms"])),
            duration(1000.0 * number(&retry["seconds_left"]))
        ),
    ];
    parts.extend(retry["hint"].as_str().map(|hint| format!("What to do: {hint}")));
    json!(parts)
}

fn problem(problem: &Value) -> Value {
    let times = match number(&problem["count"]) {
        count if count > 1.0 => format!(", {count} times"),
        _ => String::new(),
    };
    let mut parts = vec![
        word(&problem["message"]).to_owned(),
        format!("{}, {}{times}", word(&problem["level"]), clock(&problem["time_ms"])),
    ];
    parts.extend(problem["hint"].as_str().map(|hint| format!("What to do: {hint}")));
    json!(parts)
}

fn details(report: &Value) -> Value {
    let incremental = &report["incremental"];
    let mut list = vec![
        ("Started", clock(&report["started_ms"])),
        ("Memory of the process", bytes(number(&report["memory"]["resident_bytes"]))),
    ];
    let position = &incremental["position"];
    if position.is_object() {
        list.push(("Position", format!("{}:{}", word(&position["file"]), position["offset"])));
    }
    list.extend(position["gtids"].as_str().map(|gtids| ("Executed GTIDs", gtids.to_owned())));
    let purge = &incremental["purge"];
    list.extend(purge["bytes"].as_f64().map(|kept| ("Binlog kept before it", bytes(kept))));
    let seconds = purge["seconds"].as_f64();
    list.extend(seconds.map(|seconds| ("What comes next may be purged in", duration(1000.0 * seconds))));
    list.extend(incremental["clock_ahead_ms"].as_f64().map(|ahead| {
        let side = if ahead > 0.0 { "ahead of" } else { "behind" };
        let is_ours = ahead.abs() < 1000.0;
        let words = if is_ours { "as ours".to_owned() } else { format!("{} {side} ours", duration(ahead.abs())) };
        ("The source's clock", words)
    }));
    list.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
}

/// Gathers what the charts show, with the points of which they are made.
pub(crate) const CHARTS: &str = r#"({
  points,
  charts: Object.fromEntries(["delay", "rate"].map((name) => {
    const svg = document.getElementById("chart-" + name);
    return [name, {
      now: document.getElementById(`chart-${name}-now`).textContent,
      label: svg.getAttribute("aria-label"),
      curve: svg.querySelector(".curve").getAttribute("d"),
      steps: [...svg.querySelectorAll("text")].map((text) => text.textContent),
    }];
  })),
})"#;

/// The same as `charts` of [`CHARTS`], of these points: a quarter of an hour is 600 wide, and the highest step 110 high.
pub(crate) fn expected_charts(points: &[Value]) -> Value {
    let delay = |ms: f64| if ms == 0.0 { "none".to_owned() } else { duration(ms) };
    json!({
        "delay": chart("Delay", points, "delay_ms", &delay, 1000.0),
        "rate": chart("Messages per second", points, "messages_per_s", &count, 10.0),
    })
}

fn chart(title: &str, points: &[Value], field: &str, unit: &dyn Fn(f64) -> String, least: f64) -> Value {
    let end = number(&points.last().expect("there are points")["time_ms"]);
    let values: Vec<Option<f64>> = points.iter().map(|point| point[field].as_f64()).collect();
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    // The next of 1, 2, 5, 10, 20 and so on.
    let steps = (0..).flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(power)));
    let top = steps.into_iter().find(|step| *step >= most.max(least)).expect("one is high enough");
    let mut curve = String::new();
    let mut is_broken = true;
    for (point, value) in points.iter().zip(&values) {
        if let Some(value) = value {
            let x = 600.0 * (1.0 - (end - number(&point["time_ms"])) / 900_000.0);
            let y = 122.0 - 110.0 * (value / top);
            curve += &format!("{}{} {}", if is_broken { "M" } else { "L" }, fixed(x, 1), fixed(y, 1));
        }
        is_broken = value.is_none();
    }
    let now = values.last().copied().flatten().map_or("–".to_owned(), unit);
    let most = if values.iter().any(Option::is_some) { unit(most) } else { "nothing yet".to_owned() };
    json!({
        "label": format!("{title}, last 15 minutes: now {now}, at most {most}"),
        "now": now,
        "curve": curve,
        "steps": ["0", unit(top / 2.0), unit(top), "15 min ago", "now"],
    })
}

/// Tables that are to be loaded again, those first of which a part is being loaded.
fn asked(report: &Value) -> Vec<String> {
    let (asked, parts) = (items(&report["asked_for"]), items(&report["parts"]));
    let (begun, waiting): (Vec<_>, Vec<_>) = parts.iter().partition(|part| part["begun"] == true);
    let mut names: Vec<&str> = Vec::new();
    for name in begun.iter().map(|part| word(&part["table"])).chain(asked.iter().map(word)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let of = |name: &str| {
        let rows = |part: &Value| format!("rows where {}", word(&part["where"]));
        let begun = begun.iter().filter(|part| part["table"] == name);
        let mut words: Vec<String> = begun.map(|part| rows(part) + " are being loaded").collect();
        if asked.iter().any(|asked| asked == name) {
            let part = waiting.iter().find(|part| part["table"] == name);
            let rows = part.map_or_else(|| "all rows".to_owned(), |part| rows(part));
            words.push(rows + " as soon as that can begin");
        }
        format!("{name}: {}", words.join("; "))
    };
    names.into_iter().map(of).collect()
}

/// The same as `shown` of [`SHOWN`], of a report.
pub(crate) fn expected(report: &Value) -> Value {
    let (total, memory, load, incremental) =
        (&report["total"], &report["memory"], &report["full_load"], &report["incremental"]);
    let phase = word(&report["phase"]);
    let pace = match word(&report["pace"]) {
        "idle" | "current" if !items(&report["retries"]).is_empty() => "away",
        "idle" => "idle, caught up",
        "current" => "up to date",
        pace => pace,
    };
    let shown_phase = match phase {
        "paused" | "draining" if incremental.is_object() => "incremental",
        "paused" | "draining" => "full_load",
        phase => phase,
    };
    let load_note = if load.is_object() {
        let left = load["seconds_left"].as_f64().filter(|_| shown_phase == "full_load");
        let left = left.map_or_else(String::new, |s| format!(", about {} left", duration(1000.0 * s)));
        let tables = some(number(&load["tables_total"]), "table");
        format!("{} of {tables}, {}{left}", load["tables_done"], some(number(&load["rows"]), "row"))
    } else {
        String::new()
    };
    let position = &incremental["position"];
    let position = match position["file"].as_str() {
        Some(file) => format!("{file}:{}", position["offset"]),
        None => String::new(),
    };
    let delay = match delay(incremental) {
        None => "–".to_owned(),
        Some(0.0) => "none".to_owned(),
        Some(ms) => duration(ms),
    };
    let tables = items(&load["tables"]);
    let more = load["tables_total"].as_u64().unwrap_or(0) - tables.len() as u64;
    let problems = items(&report["problems"]);
    let hidden = [
        ("pause", matches!(phase, "starting" | "draining")),
        ("away", items(&report["retries"]).is_empty()),
        ("load", !load.is_object()),
        ("no-problems", !problems.is_empty()),
    ];
    json!({
        "task": report["task"],
        "title": format!("{}: {pace}", word(&report["task"])),
        "pace": if phase == "draining" { "stopping" } else { pace },
        "says": says(report),
        "pause": if phase == "paused" { "Go on" } else { "Pause" },
        "phase": format!("phase-{shown_phase}"),
        "starting-note": if phase == "starting" { word(&report["awaits"]).to_owned() } else { clock(&report["started_ms"]) },
        "full_load-note": load_note,
        "incremental-note": position,
        "delay": delay,
        "behind": incremental["bytes_behind"].as_f64().map_or("–".to_owned(), bytes),
        "messages": count(number(&total["messages"])),
        "rate": count(number(&total["messages_per_s"])),
        "bytes": bytes(number(&total["bytes_per_s"])),
        "memory": bytes(number(&memory["used_bytes"])),
        "memory-of": format!(", of {}", bytes(number(&memory["budget_bytes"]))),
        "limits-now": limits(report),
        "more-tables": if more > 0 { format!("and {more} more") } else { String::new() },
        "program": format!("tidegate {}, process {}", word(&report["program"]), report["process"]),
        "stages": items(&report["stages"]).iter().map(|of| stage(of, &report["bottleneck"])).collect::<Vec<_>>(),
        "tables": tables.iter().map(|of| table(of, phase == "full_load")).collect::<Vec<_>>(),
        "retries": items(&report["retries"]).iter().map(|of| retry(of, number(&report["time_ms"]))).collect::<Vec<_>>(),
        "problems": problems.iter().rev().map(problem).collect::<Vec<_>>(),
        "details": details(report),
        "asked": asked(report),
        "hidden": hidden.iter().filter(|(_, is_hidden)| *is_hidden).map(|(id, _)| *id).collect::<Vec<_>>(),
    })
}
