//! The page of a task in a real browser: what it shows is what `/status` tells, what it offers works, by keyboard too, and it can be read.

use serde_json::Value;

use super::harness::browser::{Accessible, Browser};
use super::harness::http::Http;
use super::harness::{Private, Servers, TaskFile, Tidegate, World, wait_for};
use super::page_words::{CHARTS, SHOWN, count, expected, expected_charts};

const ROWS: u64 = 20_000;

/// Text whose contrast is too low, with the ratio. Letters in a chart stand on its area, too.
const PALE: &str = r#"(() => {
  const parse = (color) => { const parts = color.match(/[\d.]+/g).map(Number); return [...parts.slice(0, 3), parts[3] ?? 1]; };
  const over = (above, below, share) => below.map((part, index) => part + share * (above[index] - part));
  const light = (color) => color.slice(0, 3)
    .map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const contrast = (one, other) => { const [dark, bright] = [light(one), light(other)].sort((a, b) => a - b); return (bright + 0.05) / (dark + 0.05); };
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const color = parse(getComputedStyle(element).backgroundColor);
      if (color[3] === 1) return color;
    }
    throw new Error("nothing below is painted");
  };
  const pale = [];
  let judged = 0;
  const judge = (text, color, grounds) => grounds.forEach((below) => {
    judged++;
    const ratio = contrast(parse(color), below);
    if (ratio < 4.5) pale.push(`${text}: ${ratio.toFixed(2)}`);
  });
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement, text = node.data.trim();
    if (!text || !element.checkVisibility()) continue;
    const style = getComputedStyle(element), below = ground(element);
    if (element.ownerSVGElement) {
      const area = getComputedStyle(element.ownerSVGElement.querySelector(".area"));
      judge(text, style.fill, [below, over(parse(area.fill), below, Number(area.opacity))]);
    } else judge(text, style.color, [below]);
  }
  for (const input of document.querySelectorAll("input")) {
    judge(input.name, getComputedStyle(input).color, [ground(input)]);
    judge(input.name + " while it is empty", getComputedStyle(input, "::placeholder").color, [ground(input)]);
  }
  if (judged < 50) pale.push(`only ${judged} texts were found`);
  return pale;
})()"#;

/// What a person calls an element, and which of them one must be able to reach.
const KEYS: &str = r##"
  globalThis.nameOf = (element) => element.id || element.name || element.getAttribute("href") || element.getAttribute("aria-labelledby") ||
    element.closest("details").id;
  globalThis.reachable = () => [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")]
    .filter((element) => element.checkVisibility() && !element.disabled).map(nameOf);
"##;

/// Whether the page is as wide as its window, and what is wider than its place.
const WIDE: &str = r#"[
  document.documentElement.scrollWidth <= document.documentElement.clientWidth,
  [...document.querySelectorAll("body *")]
    .filter((element) => element instanceof HTMLElement && element.checkVisibility() && !element.matches(".wide, input"))
    .filter((element) => element.clientWidth > 0 && element.scrollWidth > element.clientWidth + 1)
    .map((element) => element.outerHTML),
]"#;

/// Counts the streams of events that the page opens from now on.
const COUNT_OPENED: &str = r#"{
  const Real = EventSource;
  globalThis.opened = 0;
  globalThis.EventSource = class extends Real {
    constructor(path) { super(path); this.addEventListener("open", () => opened++); }
  };
}"#;

/// What a screen reader speaks of: each has to have a name.
const NAMED: [&str; 12] = [
    "button",
    "combobox",
    "dialog",
    "DisclosureTriangle",
    "heading",
    "image",
    "img",
    "link",
    "progressbar",
    "region",
    "spinbutton",
    "table",
];

/// The page of a task in a browser.
struct Page {
    browser: Browser,
    test: &'static str,
}

impl Page {
    fn open(mut browser: Browser, test: &'static str, http: &Http) -> Page {
        browser.look(1100, "light");
        browser.open(&http.address);
        Page { browser, test }
    }

    /// What it shows, as soon as it is as wanted. Whatever it shows, it is what its report says.
    fn until(&mut self, engine: &mut Tidegate, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, || {
            engine.assert_running();
            let report = self.report();
            Some(report).filter(|report| !report.is_null() && is(report))
        })
    }

    fn report(&mut self) -> Value {
        let mut shown = self.browser.evaluate(SHOWN);
        if !shown.is_null() {
            let expected = expected(&shown["report"]);
            for (part, words) in expected.as_object().expect("it is one") {
                assert_eq!(shown["shown"][part], *words, "{part} of {}", shown["report"]);
            }
        }
        shown["report"].take()
    }

    /// It shows what `/status` tells just now, in a state that does not change.
    fn equals(&mut self, http: &Http) {
        wait_for("the page shows what /status tells", || {
            let (told, shown) = (without_clocks(http.status()), without_clocks(self.report()));
            (told == shown).then_some(())
        });
    }

    /// Wide and narrow, in light and dark.
    fn can_be_seen(&mut self, state: &str) {
        for (width, colors) in [(1100, "light"), (1100, "dark"), (360, "light"), (360, "dark")] {
            self.browser.look(width, colors);
            let widths = self.browser.evaluate(WIDE);
            assert_eq!(widths, serde_json::json!([true, []]), "{state} at {width}");
            let pale = self.browser.evaluate(PALE);
            assert_eq!(pale, serde_json::json!([]), "{state} in {colors}");
            self.browser.picture(&format!("{}-{state}-{width}-{colors}", self.test));
        }
        self.browser.look(1100, "light");
    }

    /// Also by who hears it.
    fn can_be_read(&mut self, state: &str) {
        self.can_be_seen(state);
        let nodes = self.named(state);
        // Four stages, three with a queue, too; two charts.
        let roles = |role: &[&str]| nodes.iter().filter(|node| role.contains(&node.role.as_str())).count();
        assert!(roles(&["progressbar"]) >= 7 && roles(&["image", "img"]) == 2, "{state}: {nodes:?}");
    }

    /// What a screen reader finds, all of it with names.
    fn named(&mut self, state: &str) -> Vec<Accessible> {
        let nodes = self.browser.accessible();
        let nameless: Vec<_> = nodes
            .iter()
            .filter(|node| NAMED.contains(&node.role.as_str()) || node.is_focusable)
            .filter(|node| node.name.trim().is_empty())
            .collect();
        assert!(nameless.is_empty(), "{state}: {nameless:?}");
        nodes
    }

    fn is_at(&mut self) -> String {
        let at =
            self.browser.evaluate("document.activeElement === document.body ? '' : nameOf(document.activeElement)");
        at.as_str().expect("a text").to_owned()
    }

    /// By Tab; panics with what was met if it is not there.
    fn go_to(&mut self, name: &str) {
        let mut met = Vec::new();
        while self.is_at() != name {
            assert!(met.len() < 100, "{name} is not among {met:?}");
            self.browser.press("Tab");
            met.push(self.is_at());
        }
    }

    /// Every control there is, by Tab, from the first one on.
    fn all_can_be_reached(&mut self) {
        let mut missing: Vec<String> = serde_json::from_value(self.browser.evaluate("reachable()")).expect("names");
        assert!(missing.len() > 8, "{missing:?}");
        for _ in 0..100 {
            self.browser.press("Tab");
            let at = self.is_at();
            missing.retain(|name| *name != at);
            if missing.is_empty() {
                return;
            }
        }
        panic!("Tab does not come to {missing:?}");
    }

    fn says(&mut self, id: &str, words: &str) {
        let expression = format!("document.getElementById('{id}').textContent.includes('{words}')");
        self.browser.until(words, &expression);
    }

    /// Browsers note it, too.
    #[track_caller]
    fn was_refused(&mut self, path: &str) {
        let complaints = self.browser.complaints();
        assert!(
            complaints.len() == 1 && complaints[0].contains("400") && complaints[0].contains(path),
            "{complaints:?}"
        );
    }

    #[track_caller]
    fn has_no_complaints(&mut self) {
        assert_eq!(self.browser.complaints(), [""; 0]);
    }
}

/// What stays as it is while nothing happens.
fn without_clocks(mut report: Value) -> Value {
    for (part, field) in [("total", "quiet_ms"), ("memory", "resident_bytes")] {
        report[part][field].take();
    }
    report["time_ms"].take();
    of_doubles(report)
}

/// JavaScript writes 0 where we write 0.0.
fn of_doubles(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(items) => items.into_iter().map(of_doubles).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, of_doubles(value))).collect(),
        other => other,
    }
}

fn is_quiet(report: &Value) -> bool {
    let stages = report["stages"].as_array().expect("stages");
    stages.iter().all(|stage| stage["windows"] == 0 && stage["per_s"] == 0.0)
}

fn is_caught_up(report: &Value) -> bool {
    report["phase"] == "incremental" && report["incremental"]["delay_ms"] == 0
}

/// A task with a table of [`ROWS`] rows and an empty one.
fn world(test: &str, mysql: &str, kafka: &str, more: &str) -> (World, TaskFile) {
    let mut world = World::new(test, mysql, kafka);
    world.mysql.run("CREATE TABLE orders (id INT PRIMARY KEY, v VARCHAR(20))");
    world.mysql.run("SET cte_max_recursion_depth = 100000");
    world.mysql.run(format!(
        "INSERT INTO orders WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < {ROWS}) SELECT n, 'x' FROM n"
    ));
    let mut task = world.task();
    task.more = format!("http: 127.0.0.1:0\nincremental: {{heartbeat_s: 1}}\n{more}");
    (world, task)
}

#[test]
fn the_page_shows_a_task_and_tells_it_what_to_do() {
    let Some(servers) = Servers::from_env() else { return };
    let Some(browser) = Browser::start() else { return };
    let limits = "limits: {bytes_per_second: 100GiB, full_load: {rows_per_second: 50}}";
    let (mut world, task) = world("page", &servers.mysql, &servers.kafka, limits);
    let mut reader = world.reader(["orders"]);
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    let mut page = Page::open(browser, "life", &http);
    page.until(&mut engine, "the load is held back", |report| {
        report["bottleneck"] == "limits" && report["total"]["messages"].as_u64() > Some(0)
    });
    page.browser.evaluate(KEYS);
    page.can_be_read("load");

    // Paused, and told to go on, by the same button.
    page.go_to("pause");
    page.browser.press("Enter");
    let report = page.until(&mut engine, "paused", |report| report["phase"] == "paused" && is_quiet(report));
    assert!(report["full_load"]["rows"].as_u64() < Some(ROWS / 2), "{report}");
    page.equals(&http);
    page.can_be_read("paused");
    page.all_can_be_reached();
    page.go_to("pause");
    page.browser.press("Enter");
    page.until(&mut engine, "it goes on", |report| report["phase"] == "full_load");

    // What is written stays while reports come; what is wrong is refused in the task's own words; what is set is shown.
    page.go_to("full_load.rows_per_second");
    let written =
        |page: &mut Page| page.browser.evaluate("document.querySelector('[name=\"full_load.rows_per_second\"]').value");
    assert_eq!(written(&mut page), "50");
    page.browser.write("1e3");
    let time = page.report()["time_ms"].as_u64();
    page.until(&mut engine, "another report", |report| report["time_ms"].as_u64() > time);
    page.browser.press("Enter");
    page.says("limits-answer", "must be a number from 1 up, or none");
    page.was_refused("/limits?full_load.rows_per_second=1e3");
    assert_eq!(
        (written(&mut page), &http.status()["limits"]["full_load"]["rows_per_second"]),
        ("1e3".into(), &50.into())
    );
    page.browser.evaluate("document.activeElement.select()");
    page.browser.press("Delete");
    page.browser.press("Enter");
    page.says("limits-answer", "limits: 107.37 GB/s");
    page.until(&mut engine, "the limit is lifted", |report| report["limits"]["full_load"]["rows_per_second"].is_null());
    // Somebody else's limit comes into a field in which nobody writes.
    let intent = [("x-tidegate", "test")];
    assert_eq!(http.ask("POST", "/limits?rows_per_second=123456", &intent).0, 200);
    page.browser.until("it is in its field", "document.querySelector('[name=rows_per_second]').value === '123456'");

    world.until_loaded(&mut engine, &mut reader, |_| ());
    world.mysql.run("UPDATE orders SET v = 'y' WHERE id <= 10");
    let messages = ROWS + 2 + 10;
    page.until(&mut engine, "all is delivered", |report| {
        is_caught_up(report) && report["total"]["messages"] == messages && is_quiet(report)
    });
    assert_eq!(page.browser.evaluate("document.getElementById('messages').textContent"), count(messages as f64));

    // A table that is not there, none after all, and one.
    page.go_to("reload-table");
    page.browser.write("shop.nothing");
    page.browser.press("Enter");
    page.browser.until("it asks", "document.getElementById('sure').open");
    page.go_to("sure-yes");
    page.browser.press("Enter");
    page.says("reload-answer", "the task has no table shop.nothing");
    page.was_refused("/reload?table=shop.nothing");
    let table = world.topic("orders");
    let known =
        page.browser.evaluate("[...document.getElementById('known').children].map((option) => option.textContent)");
    assert!(known.as_array().expect("names").contains(&table.as_str().into()), "{known}");
    page.go_to("reload-table");
    page.browser.evaluate("document.activeElement.select()");
    page.browser.write(&table);
    page.browser.press("Enter");
    page.says("sure-text", &table);
    page.can_be_seen("sure");
    let nodes = page.named("sure");
    let has = |role: &str, name: &str| nodes.iter().any(|node| node.role == role && node.name == name);
    assert!(has("dialog", "Load again?") && has("button", "Cancel") && has("button", "Load again"), "{nodes:?}");
    assert_eq!(page.is_at(), "sure-no");
    page.browser.press("Enter");
    page.browser.until("it is closed", "!document.getElementById('sure').open");
    assert!(!http.get("/journal").contains("reload_asked"));
    page.go_to("ask");
    page.browser.press("Enter");
    page.go_to("sure-yes");
    page.browser.press("Enter");
    page.says("reload-answer", "loaded again once what was read is delivered");
    engine.wait_for_line("it is loaded again, as asked for");
    world.until_loaded(&mut engine, &mut reader, |_| ());

    // What was done, the newest first, without asking again.
    page.go_to("journal-details");
    page.browser.press("Enter");
    page.browser.until(
        "the end of the reload",
        "document.getElementById('journal').firstElementChild?.textContent.startsWith('load ended, by run ')",
    );
    let shown =
        page.browser.evaluate("[...document.getElementById('journal').children].map((item) => item.firstChild.data)");
    let entries: Vec<Value> = serde_json::from_str(&http.get("/journal")).expect("JSON");
    let word = |value: &Value| value.as_str().expect("a text").replace('_', " ");
    let words = |entry: &Value| {
        let what = match &*word(&entry["what"]) {
            "limits" => "limits changed".to_owned(),
            "reload asked" => "reload asked for".to_owned(),
            what => what.to_owned(),
        };
        Value::from(format!("{what}, by {}", word(&entry["by"])))
    };
    assert_eq!(shown, entries.iter().rev().map(words).collect::<Value>());
    for done in ["paused, by http", "resumed, by http", "limits changed, by http", "reload asked for, by http"] {
        assert!(shown.as_array().expect("a list").contains(&done.into()), "{done}: {shown}");
    }
    page.until(&mut engine, "nothing comes", |report| is_caught_up(report) && is_quiet(report));
    page.equals(&http);
    page.can_be_read("incremental");
    page.has_no_complaints();

    // It has ended: nothing on the page looks as if it were now, and nothing can be told.
    engine.terminate(libc::SIGTERM);
    page.browser.until("the end", "document.getElementById('pace').textContent === 'no answer'");
    assert_eq!(page.browser.evaluate("document.title"), format!("{}: no answer", world.database));
    page.says("says", "it has ended, or cannot be reached");
    let buttons = "[...document.querySelectorAll('button')].filter((button) => button.checkVisibility() && !button.disabled).length";
    assert_eq!(page.browser.evaluate(buttons), 0);
    page.can_be_read("ended");
}

/// Charts show what `/history` tells, and some rows of a table that are loaded again are told from all of them.
#[test]
fn charts_are_the_history_and_parts_are_named() {
    let Some(servers) = Servers::from_env() else { return };
    let Some(browser) = Browser::start() else { return };
    let (mut world, task) = world("page_charts", &servers.mysql, &servers.kafka, "full_load: {chunk_rows: 500}");
    let mut reader = world.reader(["orders"]);
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    let mut page = Page::open(browser, "charts", &http);
    world.until_loaded(&mut engine, &mut reader, |_| ());

    // Asked for while nothing is read, all of one table and some of another.
    let intent = [("x-tidegate", "test")];
    let tell = |path: &str| assert_eq!(http.ask("POST", path, &intent).0, 200, "{path}");
    tell("/pause");
    page.until(&mut engine, "paused", |report| report["phase"] == "paused");
    // What waits is late.
    world.mysql.run("UPDATE orders SET v = 'y' WHERE id <= 300");
    page.until(&mut engine, "it is late", |report| report["incremental"]["delay_ms"].as_u64() > Some(1000));
    let [orders, marker] = ["orders", "marker"].map(|table| world.topic(table));
    tell(&format!("/reload?table={orders}&where=id%20%3E%2010000"));
    tell(&format!("/reload?table={marker}"));
    let report = page.until(&mut engine, "they are asked for", |report| {
        report["asked_for"].as_array().is_some_and(|tables| tables.len() == 2) && report["parts"][0]["begun"] == false
    });
    assert_eq!(report["parts"][0]["where"], "id > 10000", "{report}");
    tell("/limits?full_load.rows_per_second=500");
    tell("/resume");
    let is_part = |table: &Value| table["where"] == "id > 10000";
    let part = |report: &Value| report["full_load"]["tables"].as_array()?.iter().find(|table| is_part(table)).cloned();
    let report = page.until(&mut engine, "some of them have come", |report| {
        part(report).is_some_and(|part| part["rows"].as_u64() > Some(0) && part["done"] == false)
    });
    assert_eq!((&report["asked_for"], report["parts"][0]["begun"].as_bool()), (&serde_json::json!([]), Some(true)));
    tell("/limits?full_load.rows_per_second=none");
    page.until(&mut engine, "all of them have come", |report| is_caught_up(report) && is_quiet(report));

    // Opened anew, the charts are what the task has kept.
    let kept: Vec<Value> = serde_json::from_str(&http.get("/history")).expect("JSON");
    let is_late = |point: &Value| point["delay_ms"].as_u64() > Some(1000);
    assert!(kept.iter().any(is_late) && kept.iter().any(|point| point["messages_per_s"].as_f64() > Some(0.0)));
    page.browser.open(&http.address);
    let last = kept.last().expect("points")["time_ms"].clone();
    // A page begins without any, and follows before it has the history.
    let has_all = format!(
        "typeof points !== 'undefined' && points.some((point) => point.time_ms === {last}) && points.length >= {}",
        kept.len()
    );
    page.browser.until("the history", &has_all);
    let mut shown = page.browser.evaluate(CHARTS);
    let points = shown["points"].as_array().expect("a list");
    let fields =
        |point: &Value| of_doubles(serde_json::json!([point["time_ms"], point["delay_ms"], point["messages_per_s"]]));
    let begin = points.iter().map(&fields).collect::<Vec<_>>();
    assert_eq!(begin[..kept.len()], kept.iter().map(&fields).collect::<Vec<_>>());
    let expected = expected_charts(points);
    assert_eq!(shown["charts"].take(), expected);
    page.has_no_complaints();
    engine.terminate(libc::SIGTERM);
}

/// What is asked for is taken back where it stands, before it begins and while a part of a table is read; the task file is taken over, or why not.
#[test]
fn what_is_asked_for_is_taken_back_and_the_file_is_taken_over() {
    let Some(servers) = Servers::from_env() else { return };
    let Some(browser) = Browser::start() else { return };
    let slow = "full_load: {parallel: 1, chunk_rows: 100}\nlimits: {full_load: {rows_per_second: 50}}";
    let (world, mut task) = world("page_steer", &servers.mysql, &servers.kafka, slow);
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    let mut page = Page::open(browser, "steer", &http);
    page.browser.evaluate(KEYS);
    let table = world.topic("orders");
    let intent = [("x-tidegate", "test")];
    let take_back = |page: &mut Page| {
        page.go_to(&format!("take-back-{table}"));
        page.browser.press("Enter");
        page.says("reload-answer", "not loaded again: ");
    };
    let asked = |report: &Value, begun: bool| {
        let parts = report["parts"].as_array().expect("a list");
        parts.iter().any(|part| part["begun"] == begun) && (begun || report["asked_for"][0] == table.as_str())
    };

    page.until(&mut engine, "it is held back", |report| report["bottleneck"] == "limits");
    assert_eq!(http.ask("POST", &format!("/reload?table={table}&where=id%3E5"), &intent).0, 200);
    page.until(&mut engine, "a part is asked for", |report| asked(report, false));
    page.can_be_seen("asked");
    take_back(&mut page);
    page.until(&mut engine, "nothing is asked for", |report| report["parts"] == Value::Array(vec![]));

    let limit = |rows: &str| {
        assert_eq!(http.ask("POST", &format!("/limits?full_load.rows_per_second={rows}"), &intent).0, 200);
    };
    limit("none");
    page.until(&mut engine, "all is loaded", is_caught_up);
    limit("50");
    assert_eq!(http.ask("POST", &format!("/reload?table={table}&where=id%3E5"), &intent).0, 200);
    page.until(&mut engine, "a part is being loaded", |report| asked(report, true));
    take_back(&mut page);
    page.until(&mut engine, "it is followed again", is_caught_up);

    let take_over = |page: &mut Page| {
        page.go_to("apply");
        page.browser.press("Enter");
        page.browser.until("it asks", "document.getElementById('sure').open");
        let nodes = page.named("take over");
        assert!(nodes.iter().any(|node| node.role == "dialog" && node.name == "Take over?"), "{nodes:?}");
        page.go_to("sure-yes");
        page.browser.press("Enter");
    };
    take_over(&mut page);
    page.says("apply-answer", "the run works by it already: nothing was done");
    task.more += "\nsink_error_that_is_none: 1";
    task.write();
    take_over(&mut page);
    page.says("apply-answer", "sink_error_that_is_none");
    page.was_refused("/apply");
    task.more = task.more.replace("\nsink_error_that_is_none: 1", "\nmemory: 300MiB");
    task.write();
    take_over(&mut page);
    page.says("apply-answer", "taken over");
    page.until(&mut engine, "it goes on by it", |report| {
        is_caught_up(report) && report["memory"]["budget_bytes"] == 300u64 << 20
    });
    // What has consequences is not taken over without a name for them.
    let tables = format!("[{}]", world.topic("marker"));
    let all = std::mem::replace(&mut task.tables, tables);
    task.write();
    take_over(&mut page);
    page.says("apply-answer", "not taken over, the run goes on by the file before: ");
    page.says("apply-answer", "--accept tables");
    page.can_be_seen("refused");
    page.until(&mut engine, "it follows", is_caught_up);
    task.tables = all;
    page.has_no_complaints();
    page.equals(&http);
    engine.terminate(libc::SIGTERM);
}

/// A broker, then the source; then the source until the task gives up.
#[test]
fn the_page_shows_what_is_away_and_what_to_do() {
    if Servers::from_env().is_none() {
        return;
    }
    let Some(browser) = Browser::start() else { return };
    let private = Private::up(&["mysql-gtid", "kafka"], "");
    let (mut world, mut task) = world("page_away", private.mysql(), private.kafka(), "");
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    let mut page = Page::open(browser, "away", &http);
    page.until(&mut engine, "caught up", is_caught_up);
    let is_away =
        |report: &Value, of: &str| report["retries"].as_array().expect("a list").iter().any(|retry| retry["of"] == of);
    private.kill("kafka");
    world.mysql.run("INSERT INTO marker VALUES (1), (2), (3)");
    page.until(&mut engine, "the broker is away", |report| {
        is_away(report, "sink") && report["incremental"]["delay_ms"].as_u64() > Some(0)
    });
    // Whatever room there is yet: that is who the others wait for.
    page.until(&mut engine, "the brokers are named", |report| report["bottleneck"] == "deliver");
    page.can_be_read("sink");
    private.start("kafka");
    page.until(&mut engine, "the broker is back", |report| is_caught_up(report) && !is_away(report, "sink"));
    private.kill("mysql");
    let report = page.until(&mut engine, "the source is away", |report| is_away(report, "source"));
    assert!(!report["problems"].as_array().expect("a list").is_empty(), "{report}");
    page.can_be_read("source");
    private.start("mysql");
    world.reconnect();
    page.until(&mut engine, "the source is back", |report| {
        is_caught_up(report) && report["retries"] == Value::Array(vec![])
    });
    page.has_no_complaints();
    engine.terminate(libc::SIGTERM);

    task.more += "\nretry: {connection: 3s, other: 3s}";
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    page.browser.open(&http.address);
    page.until(&mut engine, "caught up again", is_caught_up);
    page.browser.complaints();
    private.kill("mysql");
    let ended = engine.wait();
    assert_eq!(ended.status.code(), Some(75), "{}", ended.output);
    page.browser.until("the end", "document.getElementById('pace').textContent === 'no answer'");
    // What it said last is still there.
    let shown = page.browser.evaluate("document.getElementById('retries').textContent");
    assert!(shown.as_str().expect("a text").starts_with("the source: "), "{shown}");
    page.can_be_read("failed");
    // World's own connection is to a server that is gone.
    private.start("mysql");
    world.reconnect();
}

/// Too many look, or a proxy fails: it goes on by asking, and follows again as soon as it may.
#[test]
fn a_page_that_gets_no_events_asks_and_follows_again() {
    let Some(servers) = Servers::from_env() else { return };
    let Some(browser) = Browser::start() else { return };
    let (_world, task) = world("page_refused", &servers.mysql, &servers.kafka, "");
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    http.until(&mut engine, "caught up", is_caught_up);
    let mut followers: Vec<_> = std::iter::from_fn(|| http.events_if_there_is_room()).collect();
    assert_eq!(followers.len(), 16);
    let mut page = Page::open(browser, "refused", &http);
    let time = page.until(&mut engine, "it shows the task", |_| true)["time_ms"].as_u64();
    // What other tests write to the server is read, too.
    page.until(&mut engine, "it goes on", |report| report["time_ms"].as_u64() > time && is_caught_up(report));
    let complaints = page.browser.complaints();
    assert!(!complaints.is_empty() && complaints.iter().all(|text| text.contains("503")), "{complaints:?}");
    // The place that becomes free is the page's.
    page.browser.evaluate(COUNT_OPENED);
    followers.pop();
    http.status();
    page.browser.until("the page follows", "opened > 0");
    assert!(http.events_if_there_is_room().is_none());
    drop(followers);

    // Without what was before, it shows what is.
    page.browser.call("Network.setBlockedURLs", serde_json::json!({"urls": ["*/history"]}));
    page.browser.open(&http.address);
    page.until(&mut engine, "it shows the task without its history", is_caught_up);
    assert_eq!(page.browser.evaluate("fetch('/history').then(() => 'an answer', () => 'none')"), "none");
    page.browser.until("the charts begin", "points.length > 0");
    engine.terminate(libc::SIGTERM);
}

/// Whoever gives the token, as the password that a browser asks for, may look and act, and the page is not told it.
#[test]
fn a_browser_asks_for_the_token() {
    let Some(servers) = Servers::from_env() else { return };
    let Some(mut browser) = Browser::start() else { return };
    let (world, mut task) = world("page_token", &servers.mysql, &servers.kafka, "");
    let token = world.path("token");
    std::fs::write(&token, "the-token-of-this-task").expect("the test's folder can be written");
    task.more = format!("http: {{listen: \"0.0.0.0:0\", token: {{file: \"{}\"}}}}", token.display());
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    browser.give_password("the-token-of-this-task");
    let mut page = Page::open(browser, "token", &http);
    page.until(&mut engine, "caught up", is_caught_up);
    page.browser.evaluate(KEYS);
    page.go_to("pause");
    page.browser.press("Enter");
    page.until(&mut engine, "paused", |report| report["phase"] == "paused");
    page.go_to("journal-details");
    page.browser.press("Enter");
    page.browser.until(
        "the pause in the journal",
        "document.getElementById('journal').textContent.includes('paused, by http')",
    );
    let text = page.browser.evaluate("document.documentElement.outerHTML + JSON.stringify(last)");
    assert!(!text.as_str().expect("a text").contains("the-token"), "{text}");
    page.has_no_complaints();
    engine.terminate(libc::SIGTERM);
}
