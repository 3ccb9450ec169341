//! `tidegate bench` measures, and leaves nothing behind.

use std::ffi::OsStr;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;

use super::harness::source_state::Format;
use super::harness::{Servers, Tidegate, World, scaled, wait_for};
use super::verify::numbers;

fn bench(arguments: &[&OsStr]) -> Value {
    let fixed = ["--log", "error", "bench", "--json", "--seconds", "1"].map(OsStr::new);
    let ended = Tidegate::spawn(fixed.iter().chain(arguments)).wait();
    assert!(ended.status.success(), "{}", ended.output);
    serde_json::from_str(&ended.output).unwrap_or_else(|error| panic!("{error}: {}", ended.output))
}

fn steps(bench: &Value) -> Vec<&str> {
    let steps = bench["steps"].as_array().expect("a list");
    steps.iter().map(|step| step["step"].as_str().expect("a name")).collect()
}

/// The topics of a cluster whose names hold this.
fn topics(brokers: &str, name: &str) -> Vec<String> {
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", brokers).create().expect("a consumer");
    let metadata = wait_for("a broker answers", || consumer.fetch_metadata(None, Duration::from_secs(5)).ok());
    let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
    names.filter(|topic| topic.contains(name)).collect()
}

#[test]
fn each_step_is_measured_and_nothing_is_left() {
    let Some(servers) = Servers::from_env() else { return };
    for format in [Format::Canal, Format::Avro] {
        let mut world = World::new("bench", &servers.mysql, &servers.kafka);
        world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(50), d DECIMAL(10,2))");
        let rows = scaled(50_000);
        let numbers = numbers(&mut world, rows);
        world.mysql.run(format!("INSERT INTO t {numbers} SELECT n, CONCAT('row ', n), n / 7 FROM n"));
        let mut task = world.task();
        task.format = format.yaml();
        task.tables = format!("[{{table: {}.t, where: id % 2 = 0}}]", world.database);
        let path = task.write();
        let told = bench(&[path.as_os_str()]);
        assert_eq!(steps(&told), ["source", "format", "brokers", "together"], "{told:#}");
        for step in told["steps"].as_array().expect("a list") {
            let number = |name: &str| step[name].as_f64().expect("a number");
            assert!(number("rows") > 0.0 && number("rows_per_s") > 0.0, "{told:#}");
            assert!(number("seconds") < 10.0 && number("cpu_seconds") > 0.0, "{told:#}");
            let has_messages = step["step"] != "source";
            assert_eq!(number("messages") > 0.0, has_messages, "{told:#}");
            // Behind the filter; of what is under way at the end, rows are counted and messages are not.
            assert!(number("messages") <= number("rows") / 2.0 + 1.0, "{told:#}");
            match step["step"].as_str() {
                Some("source" | "together") => assert!(number("rows") <= rows as f64, "{told:#}"),
                // The sample comes over and over.
                _ => assert!(number("rows") > rows as f64, "{told:#}"),
            }
        }
        let is_whole = told["steps"][0]["is_whole"] == true;
        let named = told["bottleneck"].as_str();
        assert!(named.map_or(is_whole, |named| named != "together" && steps(&told).contains(&named)), "{told:#}");
        wait_for("no topic is left", || topics(&servers.kafka, &world.database).is_empty().then_some(()));
        assert!(!task.state.exists());
        // What a run of the task does is as if nobody had measured.
        task.more = "incremental: false".to_owned();
        let ended = Tidegate::finishes(&task);
        assert!(ended.output.contains("rows and changes"), "{}", ended.output);
        let without = bench(&[path.as_os_str(), OsStr::new("--without-brokers")]);
        assert_eq!(steps(&without), ["source", "format", "together"]);
        assert_eq!(topics(&servers.kafka, &world.database), [world.topic("t")]);
    }
}

/// Beside a run of the task, held to its limits; and what is interrupted leaves no topic either.
#[test]
fn nobody_is_in_its_way() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("bench_beside", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(50))");
    const ROWS: u64 = 200_000;
    let numbers = numbers(&mut world, ROWS);
    world.mysql.run(format!("INSERT INTO t {numbers} SELECT n, 'row' FROM n"));
    let mut task = world.task();
    task.more = "limits: {full_load: {rows_per_second: 500}}".to_owned();
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("connected");
    wait_for("it has begun", || task.state.join("checkpoint").exists().then_some(()));
    let path = task.write();
    let told = bench(&[path.as_os_str()]);
    for step in told["steps"].as_array().expect("a list") {
        // What passes first is owed.
        if ["source", "together"].contains(&step["step"].as_str().expect("a name")) {
            assert!(step["is_whole"] == false && step["rows"].as_u64() < Some(ROWS), "{told:#}");
        }
    }
    engine.assert_running();
    let words = ["bench", "--seconds", "4"].map(OsStr::new);
    let interrupted = Tidegate::spawn(words.into_iter().chain([path.as_os_str()]));
    let of_bench = || topics(&servers.kafka, &format!("{}.tidegate-bench", world.database));
    wait_for("its topic is there", || (!of_bench().is_empty()).then_some(()));
    interrupted.signal(libc::SIGINT);
    let ended = interrupted.wait();
    assert_eq!(ended.status.code(), Some(130), "{}", ended.output);
    wait_for("no topic is left", || of_bench().is_empty().then_some(()));
    engine.terminate(libc::SIGTERM);
}

#[test]
fn without_a_task_a_generated_table_is_read() {
    let told = bench(&[]);
    assert_eq!(steps(&told), ["source", "canal_json", "dts_avro"], "{told:#}");
    assert!(told["task"].is_null() && told["bottleneck"].is_null(), "{told:#}");
    let rates = told["steps"].as_array().expect("a list").iter().map(|step| step["rows_per_s"].as_f64().unwrap());
    assert!(rates.into_iter().all(|rate| rate > 0.0), "{told:#}");
}
