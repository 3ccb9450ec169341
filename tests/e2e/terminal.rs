//! What somebody sees and answers at a terminal.

use std::ffi::OsStr;

use super::harness::terminal::{INTERRUPT, Terminal};
use super::harness::{Servers, TaskFile, Tidegate, World, wait_for};
use super::journal::history;
use super::limits::create_rows;
use super::verify::{loaded, unlogged};

const ROWS: u64 = 3000;

fn world(test: &str, servers: &Servers) -> (World, TaskFile) {
    let mut world = World::new(test, &servers.mysql, &servers.kafka);
    create_rows(&mut world, ROWS);
    let task = world.task();
    (world, task)
}

fn on_terminal(command: &str, task: &TaskFile, words: &[&str]) -> Terminal {
    let path = task.write();
    Terminal::run([OsStr::new(command), path.as_os_str()].into_iter().chain(words.iter().map(OsStr::new)))
}

/// Bars in place, the log above them, and in the end neither: until somebody presses Ctrl-C.
#[test]
fn a_load_is_seen_as_bars() {
    let Some(servers) = Servers::from_env() else { return };
    let (world, mut task) = world("bars", &servers);
    let more = "full_load: {parallel: 1, chunk_rows: 100}";
    task.more = format!("{more}\nlimits: {{full_load: {{rows_per_second: 200}}}}");
    let mut terminal = on_terminal("run", &task, &[]);
    let table = world.topic("t");
    let bar = |shown: &str| -> Option<(String, u64)> {
        // What was drawn last of it: `bars_1234.t   ███░░░  1,200 / 3,000 rows`.
        let (_, drawn) = shown.rsplit_once(&table)?;
        let (drawn, _) = drawn.split_once(" rows")?;
        let (full, numbers) = drawn.rsplit_once('░')?;
        let (done, _) = numbers.split_once(" / ")?;
        Some((full.to_owned(), done.trim().replace(',', "").parse().ok()?))
    };
    terminal.until("a bar in the midst", |shown| {
        bar(shown).is_some_and(|(full, done)| full.contains('█') && (100..ROWS).contains(&done))
    });
    let done = bar(&terminal.shown()).expect("it was there").1;
    terminal.until("the bar has grown", |shown| bar(shown).is_some_and(|(_, now)| now > done));
    // In the place of what was there before: the cursor has gone up.
    terminal.until("a line of all tables", |shown| {
        shown.contains("full load: ") && shown.contains(" rows/s") && shown.contains("\x1b[1A")
    });
    terminal.press(INTERRUPT);
    let (code, shown) = terminal.wait();
    assert_eq!(code, Some(0), "{shown}");
    let (_, rest) = shown.rsplit_once('░').expect("there were bars");
    // All that is drawn is cleared before the end is told.
    let end = rest.rsplit_once("\x1b[2K").expect("a line is cleared").1;
    assert!(end.contains("rows and changes") && !end.contains("full load: "), "{shown}");

    // What is left comes by a run that nobody watches.
    task.more = more.to_owned();
    let engine = Tidegate::run(&task);
    let mut world = world;
    let mut reader = world.reader(["t"]);
    let mut ids = std::collections::BTreeSet::new();
    world.finish(engine, &mut reader, |message| _ = ids.insert(message.data.get("id").cloned()));
    assert_eq!(ids.len() as u64, ROWS);
}

/// What changes data asks first, and does nothing unless the answer is yes.
#[test]
fn what_changes_data_asks_first() {
    let Some(servers) = Servers::from_env() else { return };
    let (mut world, mut task) = world("asks", &servers);
    let engine = loaded(&mut world, &task);
    unlogged(&mut world, &["INSERT INTO t VALUES (100000, 'unsaid')"]);
    let table = world.topic("t");
    let asked = |task: &TaskFile, what: &str| history(task, &[]).contains(what);
    let said_no = ["n\n", "\n", "yess\n", "\x04"];

    // What is extra, missing or different is told in any case.
    for answer in &said_no[..2] {
        let mut terminal = on_terminal("verify", &task, &[&table, "--repair"]);
        terminal.until("it asks", |shown| {
            shown.contains("to be loaded again: rows of ") && shown.contains("put it right? [y/N]")
        });
        terminal.press(answer);
        let (code, shown) = terminal.wait();
        assert!(code == Some(2) && shown.contains("DIFFERENT"), "{code:?} {shown}");
        assert!(!asked(&task, "reload asked for"), "{shown}");
    }
    let mut terminal = on_terminal("verify", &task, &[&table, "--repair"]);
    terminal.until("it asks", |shown| shown.contains("put it right? [y/N]"));
    terminal.press("y\n");
    let (code, shown) = terminal.wait();
    assert_eq!(code, Some(2), "{shown}");
    wait_for("it is put right", || {
        let told = history(&task, &[]);
        (told.contains("reload asked for") && told.matches("load ended").count() == 2).then_some(())
    });

    // Rows that come once more.
    let before = history(&task, &[]).matches("reload asked for").count();
    for (answer, words) in said_no.iter().map(|no| (*no, "nothing was done")).chain([("y\n", "loaded again once")]) {
        let mut terminal = on_terminal("reload", &task, &[&table, "--where", "id = 1"]);
        terminal.until("it asks", |shown| {
            shown.contains("send rows where id = 1 of") && shown.contains("once more? [y/N]")
        });
        assert_eq!(history(&task, &[]).matches("reload asked for").count(), before);
        terminal.press(answer);
        let (code, shown) = terminal.wait();
        assert!(code == Some(0) && shown.contains(words), "{answer:?}: {code:?} {shown}");
    }
    assert_eq!(history(&task, &[]).matches("reload asked for").count(), before + 1);

    // A topic that is made and deleted again.
    let mut terminal = on_terminal("bench", &task, &["--seconds", "1"]);
    terminal.until("it asks", |shown| shown.contains("make topic") && shown.contains("and delete it? [y/N]"));
    terminal.press("n\n");
    let (code, shown) = terminal.wait();
    assert!(code == Some(0) && shown.contains("together") && !shown.contains("brokers  "), "{code:?} {shown}");

    // Another task file.
    task.more = "limits: {rows_per_second: 1000000}".to_owned();
    for (answer, words) in said_no.iter().map(|no| (*no, "nothing was done")).chain([("yes\n", "taken over")]) {
        let mut terminal = on_terminal("apply", &task, &[]);
        terminal.until("it asks", |shown| shown.contains("take the file over? [y/N]"));
        assert!(!asked(&task, "file applied"));
        terminal.press(answer);
        let (code, shown) = terminal.wait();
        assert!(code == Some(0) && shown.contains(words), "{answer:?}: {code:?} {shown}");
    }
    assert!(asked(&task, "file applied"));
    engine.terminate(libc::SIGTERM);

    // Another place.
    let before = task.stored()["position"].clone();
    world.mysql.run("UPDATE t SET v = 'y' WHERE id = 1");
    let (mut reader, engine) = (world.reader(["t"]), Tidegate::run(&task));
    world.finish(engine, &mut reader, |_| ());
    let after = task.stored()["position"].clone();
    assert_ne!(before, after);
    let to = before["gtids"].as_str().expect("a set");
    for (answer, words) in
        said_no.iter().map(|no| (*no, "nothing was done")).chain([("Y\n", "the next run goes on from")])
    {
        let mut terminal = on_terminal("reset", &task, &["--to", to]);
        terminal.until("it asks", |shown| shown.contains("is that meant? [y/N]"));
        assert_eq!(task.stored()["position"], after);
        terminal.press(answer);
        let (code, shown) = terminal.wait();
        assert!(code == Some(0) && shown.contains(words), "{answer:?}: {code:?} {shown}");
    }
    assert_eq!(task.stored()["position"]["gtids"], before["gtids"]);
}

/// As lines for who reads on, in place on a terminal, and until the run ends.
#[test]
fn a_status_that_is_watched_goes_on() {
    let Some(servers) = Servers::from_env() else { return };
    let (mut world, task) = world("watch", &servers);
    // There is nothing to be watched.
    let path = task.write();
    let watch = |options: &[&str]| {
        let arguments = ["status".as_ref(), path.as_os_str(), "--watch".as_ref()].into_iter();
        Tidegate::spawn(arguments.chain(options.iter().map(OsStr::new)))
    };
    assert_eq!(watch(&[]).wait().status.code(), Some(2));
    let engine = loaded(&mut world, &task);
    let (mut text, mut json) = (watch(&[]), watch(&["--json"]));
    let mut terminal = on_terminal("status", &task, &["-w"]);
    let title = format!("task {}: running for", world.database);
    text.wait_for_lines(&title, 2);
    let messages = format!("{} messages", ROWS + 2);
    text.wait_for_line(&messages);
    world.mysql.run("UPDATE t SET v = 'y' WHERE id = 1");
    let messages = format!("{} messages", ROWS + 3);
    text.wait_for_line(&messages);
    json.wait_for_lines("\"version\"", 2);
    let in_place = format!("\x1b[H\x1b[2J{title}");
    terminal.until("it is shown in place", |shown| shown.matches(&in_place).count() > 1 && shown.contains(&messages));
    terminal.press(INTERRUPT);
    assert_eq!(terminal.wait().0, Some(130));
    engine.terminate(libc::SIGTERM);
    for watcher in [text, json] {
        let ended = watcher.wait();
        assert!(ended.status.success(), "{}", ended.output);
    }
}
