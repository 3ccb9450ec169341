//! What was done to a task, as `tidegate history` tells it.

use std::ffi::OsStr;

use serde_json::Value;

use super::harness::http::Http;
use super::harness::world::mysql_source;
use super::harness::{Servers, TaskFile, Tidegate, World, wait_for};

pub(crate) fn history(task: &TaskFile, options: &[&str]) -> String {
    let path = task.write();
    let arguments = ["history".as_ref(), path.as_os_str()].into_iter().chain(options.iter().map(OsStr::new));
    let ended = Tidegate::spawn(arguments).wait();
    assert!(ended.status.success(), "{}", ended.output);
    ended.output
}

fn entries(task: &TaskFile) -> Vec<Value> {
    serde_json::from_str(&history(task, &["--json"])).expect("JSON")
}

/// What and by whom.
fn drawn(entries: &[Value]) -> Vec<String> {
    let word = |value: &Value| value.as_str().expect("a text").to_owned();
    entries.iter().map(|entry| format!("{} {}", word(&entry["what"]), word(&entry["by"]))).collect()
}

fn tell(task: &TaskFile, command: &str, more: &[&str]) {
    let path = task.write();
    let arguments = [OsStr::new(command), path.as_os_str()].into_iter().chain(more.iter().map(OsStr::new));
    let ended = Tidegate::spawn(arguments).wait();
    assert!(ended.status.success(), "{}", ended.output);
}

/// Everything that is done to a task, once: by whom, and over kills.
fn told(test: &str, mysql_url: &str, kafka: &str) {
    let mut world = World::new(test, mysql_url, kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9))");
    world.mysql.run("INSERT INTO t VALUES (1, 'a'), (2, 'b')");
    world.begin_binlog_file();
    let mut task = world.task();
    task.more = "http: 127.0.0.1:0".to_owned();
    assert!(history(&task, &[]).contains("has not begun"));
    assert_eq!(history(&task, &["--json"]).trim(), "[]");

    let mut reader = world.reader(["t"]);
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    tell(&task, "pause", &[]);
    let intent = [("x-tidegate", "test")];
    assert_eq!(http.ask("POST", "/resume", &intent).0, 200);
    tell(&task, "limit", &["--rows-per-second", "5000"]);
    // This only shows them.
    tell(&task, "limit", &[]);
    let table = world.topic("t");
    assert_eq!(http.ask("POST", &format!("/reload?table={table}"), &intent).0, 200);
    engine.wait_for_line("tables are asked for");
    world.begin_binlog_file();
    engine.wait_for_line("it is loaded again, as asked for");
    world.until_loaded(&mut engine, &mut reader, |_| ());
    // Whoever watches sees it at once.
    let seen: Vec<Value> = serde_json::from_str(&http.get("/journal")).expect("JSON");
    assert_eq!(seen.last().expect("entries")["what"], "load_ended", "{seen:?}");
    engine.terminate(libc::SIGTERM);

    // A start that is refused, twice, is one entry.
    let source = std::mem::replace(&mut task.source, mysql_source(mysql_url, "tide", "very-secret"));
    for _ in 0..2 {
        Tidegate::fails(&task);
    }
    task.source = source;
    tell(&task, "reload", &[&table]);
    task.accept = "filter";
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("tables are asked for");
    world.begin_binlog_file();
    engine.wait_for_line("full load complete");
    world.until_marker(&mut engine, &mut reader, |_| ());
    // Half a second later it is on disk.
    wait_for("the end of the load in the state", || {
        (entries(&task).last().expect("entries")["what"] == "load_ended").then_some(())
    });
    engine.kill_9();
    task.accept = "";
    let arguments = task.run_arguments().into_iter().chain(["--until".into(), "now".into()]);
    let ended = Tidegate::spawn(arguments).wait();
    assert!(ended.status.success(), "{}", ended.output);

    let entries = entries(&task);
    assert_eq!(
        drawn(&entries),
        [
            "started run",
            "load_begun run",
            "table_loaded run",
            "table_loaded run",
            "load_ended run",
            "paused socket",
            "resumed http",
            "limits socket",
            "reload_asked http",
            "reload_begun run",
            "load_begun run",
            "table_loaded run",
            "load_ended run",
            "stopped signal",
            "failed run",
            "reload_asked command",
            "started run",
            "reload_begun run",
            "load_begun run",
            "table_loaded run",
            "load_ended run",
            "started run",
            "ended run",
        ],
        "{test}:\n{}",
        history(&task, &[])
    );
    let details = |index: usize| entries[index]["details"].as_str().expect("a text");
    assert!(details(0).contains("for the first time"), "{}", details(0));
    assert!(details(1).contains(&table), "{}", details(1));
    assert_eq!(details(7), "5000 rows/s");
    assert!(details(9).contains(&format!("{table} at ")) && details(9).ends_with("as asked for"), "{}", details(9));
    assert!(details(13).starts_with("at "), "{}", details(13));
    assert!(details(14).contains("denied") && entries[14]["again"][0] == 2, "{:?}", entries[14]);
    assert!(details(16).contains("; --accept filter"), "{}", details(16));
    assert!(details(21).contains("; --until now; the run before has noted no end: it was killed"), "{}", details(21));
    let text = history(&task, &[]);
    assert!(!text.contains("very-secret"), "{text}");
    assert_eq!(text.lines().count(), entries.len(), "{text}");
    let state = Tidegate::spawn(["state".as_ref(), task.path.as_os_str()]).wait().output;
    assert!(state.contains("last of its history: 20") && state.contains(", ended, run, at "), "{state}");
    assert_eq!(task.stored()["journal"]["entries"], entries.len());
}

#[test]
fn what_was_done_to_a_task_is_told() {
    let Some(servers) = Servers::from_env() else { return };
    told("journal", &servers.mysql, &servers.kafka);
    told("journal_nogtid", &servers.mysql_nogtid, &servers.kafka);
}

#[test]
fn what_was_done_to_a_task_of_mariadb_is_told() {
    let Some((servers, [mariadb, _])) = Servers::with_mariadb() else { return };
    told("journal_mariadb", &mariadb, &servers.kafka);
}
