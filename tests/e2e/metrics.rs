//! `/metrics` as a scraper has it that never stops asking: by Prometheus' own parser, through a load, changes and a kill.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

use super::harness::http::Http;
use super::harness::{Servers, Tidegate, World, wait_for};
use super::limits::create_rows;
use super::oracles::lines_of;

/// Asks as fast as it is answered, until the task is gone.
struct Scraper {
    texts: Arc<Mutex<Vec<String>>>,
    is_done: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// One answer, if it comes whole.
fn scrape(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("application/openmetrics-text"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("an answer has a length");
    (body.len().to_string() == length).then(|| body.to_owned())
}

impl Scraper {
    fn start(http: &Http) -> Scraper {
        let (texts, is_done) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (address, all, done) = (http.address.clone(), texts.clone(), is_done.clone());
        let thread = std::thread::spawn(move || {
            while !done.load(Relaxed) {
                let Some(text) = scrape(&address) else { return };
                let mut texts = all.lock().expect("no panic");
                // Of a second there is one report.
                if texts.last() != Some(&text) {
                    texts.push(text);
                }
            }
        });
        Scraper { texts, is_done, thread }
    }

    /// Waits until it has seen what has happened by now.
    fn see(&self) {
        let seen = || self.texts.lock().expect("no panic").len();
        let before = seen();
        wait_for("the scraper has seen it", || (seen() > before).then_some(()));
    }

    fn stop(self) -> Vec<String> {
        self.is_done.store(true, Relaxed);
        self.thread.join().expect("a scraper does not panic");
        std::mem::take(&mut self.texts.lock().expect("no panic"))
    }
}

#[test]
fn counters_never_fall_while_the_process_lives() {
    const ROWS: u64 = 3000;
    let Some(servers) = Servers::with_oracles() else { return };
    let mut world = World::new("metrics", &servers.mysql, &servers.kafka);
    create_rows(&mut world, ROWS);
    let mut task = world.task();
    let more = "http: 127.0.0.1:0\nincremental: {heartbeat_s: 1}\nfull_load: {parallel: 1, chunk_rows: 100}";
    task.more = format!("{more}\nlimits: {{full_load: {{rows_per_second: 1500}}}}");
    let mut reader = world.reader(["t"]);
    let mut processes = Vec::new();
    for process in 0..2 {
        let mut engine = Tidegate::run(&task);
        let http = Http::of(&mut engine);
        let scraper = Scraper::start(&http);
        // Of the first one, in the midst of its load.
        scraper.see();
        world.until_loaded(&mut engine, &mut reader, |_| ());
        for round in 0..3 {
            world.mysql.run("UPDATE t SET v = CONCAT(v, 'y') WHERE id <= 100");
            scraper.see();
            // What may count anew: the task goes on by another file, and after a pause, within one process.
            if round == 0 {
                task.more = format!("{more}\nlimits: {{rows_per_second: {}}}", 1_000_000 + process);
                let path = task.write();
                let ended = Tidegate::spawn(["apply".as_ref(), path.as_os_str()]).wait();
                assert!(ended.status.success() && ended.output.contains("taken over"), "{}", ended.output);
            } else {
                let intent = [("x-tidegate", "test")];
                assert_eq!(http.ask("POST", "/pause", &intent).0, 200);
                http.until(&mut engine, "paused", |report| report["phase"] == "paused");
                assert_eq!(http.ask("POST", "/resume", &intent).0, 200);
            }
            world.until_marker(&mut engine, &mut reader, |_| ());
        }
        scraper.see();
        scraper.see();
        match process {
            0 => engine.kill_9(),
            _ => _ = engine.terminate(libc::SIGTERM),
        }
        processes.push(scraper.stop());
    }

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/oracles/check_metrics.py");
    let mut python = Command::new(std::env::var("TIDEGATE_TEST_PYTHON").expect("see Servers::with_oracles"));
    python.arg(script);
    let lines = lines_of(python, serde_json::to_string(&processes).expect("texts").as_bytes());
    let told: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    println!("{} and {} texts", processes[0].len(), processes[1].len());
    for told in &told {
        assert_eq!(told["fell"], Value::Array(vec![]), "{told:#}");
    }
    let counter = |process: usize, name: &str, end: usize| {
        let value = told[process]["counters"][format!("tidegate_{name}_total")][end].as_f64();
        value.unwrap_or_else(|| panic!("no {name}: {:#}", told[process]))
    };
    let (first, last) = (0, 1);
    for process in 0..2 {
        for name in ["changes", "messages", "message_bytes"] {
            assert!(counter(process, name, last) > counter(process, name, first), "{name}: {:#}", told[process]);
        }
        // Three hundred updates in each.
        assert!(counter(process, "messages", last) - counter(process, "messages", first) >= 300.0, "{told:#?}");
    }
    assert!(counter(0, "messages", first) < ROWS as f64 && counter(0, "messages", last) > ROWS as f64, "{told:#?}");
    // What was killed is not counted on: a scraper sees by `start_time` and by the fall that it is another process.
    assert!(counter(1, "messages", first) < counter(0, "messages", last), "{told:#?}");
    assert!(told[1]["start"].as_f64() > told[0]["start"].as_f64(), "{told:#?}");
}
