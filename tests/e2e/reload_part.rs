//! Some rows of a table are loaded again, between changes.

use serde_json::{Value, json};

use super::harness::http::Http;
use super::harness::order::Order;
use super::harness::source_state::Format;
use super::harness::state::State;
use super::harness::tables;
use super::harness::world::MARKER;
use super::harness::writers::Writers;
use super::harness::{Kind, Message, Mysql, Reader, Servers, TaskFile, Tidegate, World, seeded, wait_for};
use super::journal::history;
use super::reload::{ASKED, asked, told};
use super::snapshot::{assert_equals_source, fill_all, names};

const BEGUN: &str = "loaded again, as asked for";

fn reload(world: &World, task: &TaskFile, table: &str, condition: &str) -> Result<String, String> {
    told(task, "reload", [world.topic(table).as_str(), "--where", condition])
}

fn cancel(world: &World, task: &TaskFile, table: &str) -> Result<String, String> {
    told(task, "reload", [world.topic(table).as_str(), "--cancel"])
}

/// Waits until so many loads have begun that were asked for, and begins the binlog files that they may take.
fn until_begun(world: &mut World, engine: &mut Tidegate, count: usize) {
    wait_for("what is asked for is loaded", || {
        engine.assert_running();
        world.begin_binlog_file();
        (engine.count_lines(BEGUN) >= count).then_some(())
    });
}

/// `Insert id="1" n="2"`.
fn drawn(message: &Message) -> String {
    format!("{:?} {:?}", message.kind, message.data)
}

/// Whether a row meets one of [`CONDITIONS`], by what its message says.
type Meets = fn(&Message) -> bool;

/// Rows move into the second and out of it with every change.
const CONDITIONS: [(&str, Meets); 3] = [
    ("amount > 0 -- half of them", |message| amount(message) > 0.0),
    ("v % 2 = 0", |message| message.data.get("v").is_some_and(|v| v.ends_with(['0', '2', '4', '6', '8']))),
    ("note IS NULL OR (note LIKE '%潮%')", |message| message.data.get("note").is_none_or(|note| note.contains('潮'))),
];

fn amount(message: &Message) -> f64 {
    message.data.get("amount").map_or(0.0, |amount| amount.parse().expect("a number"))
}

/// Consumers end with what the source has, each key in its order, whatever is written, deleted and killed meanwhile; and what comes again
/// meets the condition.
fn loaded_under_writers(test: &str, mysql_url: &str, kafka: &str, format: Format) {
    let mut rng = seeded(test);
    let mut world = World::new(test, mysql_url, kafka);
    let targets = fill_all(&mut world, &mut rng, 10_000);
    let mut task = world.task();
    task.format = format.yaml();
    task.more = "full_load: {parallel: 2, chunk_rows: 1000, view_max: 2s}".to_owned();
    let writers = Writers::start(4, mysql_url, &world.database, &targets, &mut rng);
    let mut reader = world.reader(names());
    let (mut state, mut order) = (State::new(tables::ALL), Order::new(tables::ALL));
    let mut engine = Tidegate::run(&task);
    let mut take = |message: &Message| {
        state.apply(message);
        order.check(message);
    };
    writers.allow(2000);
    world.until_loaded(&mut engine, &mut reader, |message| take(&message));
    let mut came = 0;
    for (interrupted_by, (condition, meets)) in ["a kill", "a stop", "nothing"].into_iter().zip(CONDITIONS) {
        let mut take = |message: &Message| {
            take(message);
            if message.kind == Kind::Init {
                came += 1;
                assert!(meets(message), "{condition}: {message:?}");
            }
        };
        writers.allow(2000);
        let tables: Vec<String> = names().map(|table| world.topic(table)).collect();
        let words: Vec<&str> = tables.iter().map(String::as_str).chain(["--where", condition]).collect();
        let mut left = rng.u32(1..2000);
        engine = asked(&task, engine, interrupted_by == "a stop", &|| {
            let said = told(&task, "reload", words.iter().copied()).unwrap();
            assert!(said.contains(condition), "{said}");
            said
        });
        world.begin_binlog_file();
        reader.until(&mut engine, "rows that come again", |message| {
            // What a kill repeats.
            if message.table == MARKER {
                return false;
            }
            take(&message);
            left = left.saturating_sub(u32::from(message.kind == Kind::Init));
            left == 0
        });
        if interrupted_by == "a kill" {
            engine.kill_9();
            engine = Tidegate::run(&task);
            engine.wait_for_line("going on where the last run ended");
        }
        // What is left of it comes by the same condition.
        world.until_marker(&mut engine, &mut reader, |message| take(&message));
        world.until_marker(&mut engine, &mut reader, |message| take(&message));
        reader.read_to_end(|message| {
            if message.table != MARKER {
                take(&message)
            }
        });
    }
    writers.allow(1000);
    writers.let_commit(500);
    let committed = writers.stop();
    world.finish(engine, &mut reader, |message| take(&message));
    println!("{test}: {} messages, {came} rows again, {committed} transactions", reader.count());
    assert_equals_source(&mut world, &state, format);
    // Each load is a step back, and so is what a kill repeats.
    order.assert_in_order(CONDITIONS.len() + 1, &world);
}

#[test]
fn parts_are_loaded_again_while_they_change() {
    let Some(servers) = Servers::from_env() else { return };
    loaded_under_writers("part", &servers.mysql, &servers.kafka, Format::Dts);
}

#[test]
fn parts_are_loaded_again_without_gtids() {
    let Some(servers) = Servers::from_env() else { return };
    loaded_under_writers("part_nogtid", &servers.mysql_nogtid, &servers.kafka, Format::Dts);
}

#[test]
fn parts_of_mariadb_are_loaded_again() {
    let Some((servers, [mariadb, _])) = Servers::with_mariadb() else { return };
    loaded_under_writers("part_mariadb", &mariadb, &servers.kafka, Format::Avro);
}

/// A task of one topic that has loaded table `t`, with these rows of `(id, n, name)`.
fn loaded(test: &str, url: &str, kafka: &str, of_table: &str, more: &str) -> (World, TaskFile, Reader, Tidegate) {
    let mut world = World::new(test, url, kafka);
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, n INT, name VARCHAR(40) CHARACTER SET latin1, KEY (n))");
    world
        .mysql
        .run("INSERT INTO t VALUES (1, 10, 'it''s'), (2, 20, '50%'), (3, 30, 'Zoë'), (4, 40, 'a\\\\b'), (5, 50, NULL)");
    world.begin_binlog_file();
    let mut task = world.task_of_one_topic("");
    let database = world.database.clone();
    task.tables = format!("[{{table: {database}.t{of_table}}}, {database}.marker]");
    task.more = more.to_owned();
    let mut reader = Reader::new(kafka, vec![database]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    (world, task, reader, engine)
}

/// What comes until a marker does.
fn until_marker(world: &mut World, engine: &mut Tidegate, reader: &mut Reader) -> Vec<String> {
    let mut came = Vec::new();
    world.until_marker(engine, reader, |message| came.push(drawn(&message)));
    came
}

/// The keys of rows that come.
fn ids(came: &[String]) -> Vec<&str> {
    let id = |message: &str| message.find("id=\"").map_or(0, |at| at + 4);
    let mut ids: Vec<&str> = came.iter().map(|message| &message[id(message)..=id(message)]).collect();
    ids.sort_unstable();
    ids
}

/// Asks, waits for it, and gives the keys of rows that came.
fn rows_where(
    world: &mut World,
    task: &TaskFile,
    engine: &mut Tidegate,
    reader: &mut Reader,
    condition: &str,
) -> String {
    let before = engine.count_lines(BEGUN);
    reload(world, task, "t", condition).unwrap_or_else(|refused| panic!("{condition}: {refused}"));
    until_begun(world, engine, before + 1);
    let came = until_marker(world, engine, reader);
    ids(&came).concat()
}

/// Waits until the condition of a reader keeps the server from going on.
fn until_the_server_waits(world: &World, engine: &mut Tidegate, state: &str) {
    let mut mysql = Mysql::connect(&world.mysql_url);
    let waiting = format!(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = '{state}' AND INFO LIKE '%{}%'",
        world.database
    );
    wait_for("the server waits", || {
        engine.assert_running();
        (mysql.try_query::<u64>(&waiting).ok()?.pop()? > 0).then_some(())
    });
}

#[test]
fn the_servers_own_conditions_are_taken_as_they_are() {
    let Some(servers) = Servers::from_env() else { return };
    for (test, url) in [("part_words", &servers.mysql), ("part_words_nogtid", &servers.mysql_nogtid)] {
        // The task's own filter holds, and the table is cut by another column than its key.
        let of_table = ", where: \"id <> 2\", chunk_by: [n]";
        let (mut world, task, mut reader, mut engine) = loaded(test, url, &servers.kafka, of_table, "");
        for (condition, expected) in [
            ("id > 3", "45"),
            ("id > 0", "1345"),
            ("  n IN (SELECT MAX(n) FROM t AS other) ", ""),
            ("name = 'it''s'", "1"),
            ("name LIKE '%it\\'%' OR name = \"Zoë\"", "13"),
            ("name LIKE '50\\%'", ""),
            ("name = 'Zoë'", "3"),
            ("name = 'a\\\\b'", "4"),
            ("name IS NULL -- and nothing else", "5"),
            ("t.n BETWEEN 30 AND 40 /* both */", "34"),
            ("name <> '?;' AND id = 1", "1"),
            ("id = 1 OR id = 5", "15"),
            ("FALSE", ""),
        ] {
            let condition = condition.replace("FROM t AS", &format!("FROM {}.t AS", world.database));
            let expected = if condition.contains("MAX(n)") { "5" } else { expected };
            assert_eq!(rows_where(&mut world, &task, &mut engine, &mut reader, &condition), expected, "{condition}");
        }
        world.mysql.run("UPDATE t SET n = 41 WHERE id = 4");
        assert_eq!(until_marker(&mut world, &mut engine, &mut reader).len(), 1);
        engine.terminate(libc::SIGTERM);
    }
}

#[test]
fn what_is_no_condition_is_refused_and_nothing_is_stored() {
    let Some(servers) = Servers::from_env() else { return };
    let (mut world, task, mut reader, mut engine) =
        loaded("part_refused", &servers.mysql, &servers.kafka, "", "http: 127.0.0.1:0");
    let http = Http::of(&mut engine);
    let long = format!("id IN ({})", vec!["1"; 4000].join(","));
    let check = |world: &World, is_running: bool| {
        for (condition, words) in [
            ("id >", "the server"),
            ("nothing = 1", "Unknown column 'nothing'"),
            ("1) OR (1", "syntax"),
            ("id = 1; DROP TABLE t", "syntax"),
            ("id = 1); DROP TABLE t; SELECT (1", "syntax"),
            ("id = 1;", "syntax"),
            ("id = 1 /*", ""),
            ("id = 'x", ""),
            ("id = 1 ORDER BY id", "syntax"),
            ("id = 1 UNION SELECT 2", "syntax"),
            ("id = ?", "a ? outside of quotes"),
            ("SUM(id) > 1", "Invalid use of group function"),
            ("id = 1\nOR id = 2", "must be one line"),
            ("", "is empty"),
            (long.as_str(), "at most 4096"),
        ] {
            let refused = reload(world, &task, "t", condition).expect_err(condition);
            let words = if words == "the server" { "syntax" } else { words };
            assert!(refused.contains(words), "{is_running} {condition}: {refused}");
        }
        let both = told(&task, "reload", [world.topic("t").as_str(), "--where", "id = 1", "--cancel"]).unwrap_err();
        assert!(both.contains("cannot be used with"), "{both}");
        // One of two tables does not take it: none is loaded.
        let two = [world.topic("t"), world.topic("marker")];
        let refused = told(&task, "reload", [two[0].as_str(), &two[1], "--where", "n > 1"]).unwrap_err();
        assert!(refused.contains("marker cannot be read where n > 1") && refused.contains("'n'"), "{refused}");
    };
    check(&world, true);
    let intent = [("x-tidegate", "test")];
    let t = world.topic("t");
    for (body, words) in [
        (json!({"tables": [t], "where": "nothing = 1"}).to_string(), "Unknown column"),
        (json!({"tables": [t], "where": "id = 1", "cancel": true}).to_string(), "has no meaning"),
        (json!({"tables": [t], "were": "id = 1"}).to_string(), "unknown field"),
        (json!({"tables": []}).to_string(), "no table is named"),
        ("{".to_owned(), "the body is none of"),
    ] {
        let (code, _, said) = http.send_body("/reload", &intent, &body);
        assert!(code == 400 && said.contains(words), "{body}: {code} {said}");
    }
    let (code, _, said) = http.send_body(&format!("/reload?table={t}"), &intent, "{}");
    assert!(code == 400 && said.contains("not in both"), "{said}");
    assert_eq!(http.send_body("/reload", &[], &json!({"tables": [t]}).to_string()).0, 403);
    assert!(!task.stored().to_string().contains("is_asked_for") && !history(&task, &[]).contains("reload"));

    // As a body, and in the query.
    let (code, _, said) = http.send_body("/reload", &intent, &json!({"tables": [t], "where": "id = 3"}).to_string());
    assert!(code == 200 && said.contains("rows where id = 3"), "{said}");
    until_begun(&mut world, &mut engine, 1);
    assert_eq!(ids(&until_marker(&mut world, &mut engine, &mut reader)), ["3"]);
    assert_eq!(http.ask("POST", &format!("/reload?table={t}&where=id%20%3D%204"), &intent).0, 200);
    until_begun(&mut world, &mut engine, 2);
    assert_eq!(ids(&until_marker(&mut world, &mut engine, &mut reader)), ["4"]);
    engine.terminate(libc::SIGTERM);
    check(&world, false);
    assert!(!task.stored().to_string().contains("is_asked_for"));
    assert_eq!(world.mysql.query_one::<u32>("SELECT COUNT(*) FROM t"), 5);
}

/// What is asked for before it begins is one load; what is asked for during it, or during the first one, comes behind it.
#[test]
fn wishes_are_joined_until_they_begin_and_others_come_behind() {
    let Some(servers) = Servers::from_env() else { return };
    let (mut world, task, mut reader, mut engine) = loaded("part_joined", &servers.mysql, &servers.kafka, "", "");
    told(&task, "pause", []).unwrap();
    engine.wait_for_line("paused");
    for condition in ["id = 1 -- the first", "id = 3", "id = 3"] {
        reload(&world, &task, "t", condition).unwrap();
    }
    let t = world.topic("t");
    let status = told(&task, "status", []).unwrap();
    assert!(status.contains(&format!("{t} where (id = 1 -- the first) OR (id = 3)")), "{status}");
    told(&task, "resume", []).unwrap();
    until_begun(&mut world, &mut engine, 1);
    assert_eq!(ids(&until_marker(&mut world, &mut engine, &mut reader)).concat(), "13");

    // A wish for all rows is more than that, whichever was first.
    told(&task, "pause", []).unwrap();
    engine.wait_for_lines("paused", 2);
    reload(&world, &task, "t", "id = 1").unwrap();
    told(&task, "reload", [t.as_str()]).unwrap();
    let said = reload(&world, &task, "t", "id = 2").unwrap();
    assert!(said.contains("all rows are asked for already"), "{said}");
    told(&task, "resume", []).unwrap();
    until_begun(&mut world, &mut engine, 2);
    assert_eq!(ids(&until_marker(&mut world, &mut engine, &mut reader)).concat(), "12345");

    // A part is being read, and others are asked for.
    let mut other = Mysql::connect(&servers.mysql);
    let name = world.database.clone();
    for (is_whole, expected, begun) in [(false, "2", 4), (true, "12345", 6)] {
        assert_eq!(other.query_one::<u32>(&format!("SELECT GET_LOCK('{name}1', 0)")), 1);
        reload(&world, &task, "t", &format!("id = 1 AND GET_LOCK(CONCAT('{name}', id), 3600)")).unwrap();
        until_the_server_waits(&world, &mut engine, "User lock");
        match is_whole {
            true => told(&task, "reload", [t.as_str()]).unwrap(),
            false => reload(&world, &task, "t", "id = 2").unwrap(),
        };
        assert_eq!(other.query_one::<u32>(&format!("SELECT RELEASE_LOCK('{name}1')")), 1);
        until_begun(&mut world, &mut engine, begun);
        let came = until_marker(&mut world, &mut engine, &mut reader);
        assert!(came.first().is_some_and(|first| first.contains("id=\"1\"")), "{came:?}");
        assert_eq!(ids(&came[1..]).concat(), expected);
    }
    engine.terminate(libc::SIGTERM);

    // Behind the first load, which another table holds up.
    let (state, name) = (world.path("again"), format!("{name}_again"));
    let task = TaskFile { state, name: name.clone(), ..task };
    let mut reader = Reader::new(&servers.kafka, vec![name]);
    other.run(format!("LOCK TABLES {}.marker WRITE", world.database));
    let mut engine = Tidegate::run(&task);
    world.until_load_is_locked_out(&mut engine);
    reload(&world, &task, "t", "id = 2").unwrap();
    cancel(&world, &task, "t").unwrap();
    reload(&world, &task, "t", "id = 4").unwrap();
    other.run("UNLOCK TABLES");
    until_begun(&mut world, &mut engine, 1);
    let mut came = Vec::new();
    world.finish(engine, &mut reader, |message| came.push(drawn(&message)));
    assert_eq!(ids(&came).concat(), "123445", "{came:?}");
}

/// The task ends where the condition has no meaning any more, each time, until it is taken back.
#[test]
fn a_condition_that_has_lost_its_column_can_be_taken_back() {
    let Some(servers) = Servers::from_env() else { return };
    let (mut world, task, mut reader, mut engine) = loaded("part_altered", &servers.mysql, &servers.kafka, "", "");
    told(&task, "pause", []).unwrap();
    engine.wait_for_line("paused");
    reload(&world, &task, "t", "n > 20").unwrap();
    world.mysql.run("ALTER TABLE t DROP COLUMN n");
    told(&task, "resume", []).unwrap();
    let ended = engine.wait();
    assert!(!ended.status.success(), "{}", ended.output);
    let again = Tidegate::fails(&task);
    for output in [&ended.output, &again] {
        for words in ["its rows where n > 20 could not be read", "Unknown column", "--cancel` takes back"] {
            assert!(output.contains(words), "{words}: {output}");
        }
    }
    let state = told(&task, "state", []).unwrap();
    assert!(state.contains(&format!("being loaded: rows of {} where n > 20", world.topic("t"))), "{state}");
    cancel(&world, &task, "t").unwrap();
    let again = cancel(&world, &task, "t").unwrap_err();
    assert!(again.contains("is not asked for"), "{again}");
    world.mysql.run("DELETE FROM t WHERE id = 5");
    let mut engine = Tidegate::run(&task);
    let came = until_marker(&mut world, &mut engine, &mut reader);
    assert!(came.len() == 1 && came[0].starts_with("Delete id=\"5\""), "{came:?}");
    // It can be asked for by another one.
    assert_eq!(rows_where(&mut world, &task, &mut engine, &mut reader, "id = 4"), "4");
    engine.terminate(libc::SIGTERM);
    let history = history(&task, &[]);
    for words in ["reload asked for", "reload cancelled", "rows where n > 20", "where id = 4"] {
        assert!(history.contains(words), "{words}: {history}");
    }
}

/// Killed before it begins, and while it is read: the same rows come, and no others.
#[test]
fn a_kill_does_not_make_more_of_it() {
    let Some(servers) = Servers::from_env() else { return };
    for (test, url) in [("part_killed", &servers.mysql), ("part_killed_nogtid", &servers.mysql_nogtid)] {
        let (mut world, task, mut reader, mut engine) = loaded(test, url, &servers.kafka, "", "");
        told(&task, "pause", []).unwrap();
        engine.wait_for_line("paused");
        reload(&world, &task, "t", "id IN (2, 3)").unwrap();
        let stored = |path: fn(&Value) -> String, expected: &str| {
            wait_for("the condition in the state", || path(&task.stored()).contains(expected).then_some(()));
        };
        stored(|state| state["tables"].to_string(), "id IN (2, 3)");
        engine.kill_9();
        let mut other = Mysql::connect(url);
        other.run(format!("LOCK TABLES {}.t WRITE", world.database));
        let mut engine = Tidegate::run(&task);
        engine.wait_for_line(ASKED);
        world.begin_binlog_file();
        world.until_load_is_locked_out(&mut engine);
        stored(|state| state["full_load"].to_string(), "id IN (2, 3)");
        assert!(!task.stored()["tables"].to_string().contains("id IN"));
        let status = told(&task, "status", []).unwrap();
        assert!(status.contains("t where id IN (2, 3): 0 rows so far"), "{status}");
        let json: Value = serde_json::from_str(&told(&task, "status", ["--json"]).unwrap()).expect("JSON");
        assert_eq!(json["parts"], json!([{"table": world.topic("t"), "where": "id IN (2, 3)", "begun": true}]));
        let table = &json["full_load"]["tables"][0];
        assert_eq!((&table["where"], &table["estimated_rows"]), (&json!("id IN (2, 3)"), &json!(0)), "{json}");
        engine.kill_9();
        other.run("UNLOCK TABLES");
        let mut engine = Tidegate::run(&task);
        let came = until_marker(&mut world, &mut engine, &mut reader);
        assert_eq!(ids(&came).concat(), "23", "{came:?}");
        assert!(came.iter().all(|message| message.starts_with("Insert")));
        engine.terminate(libc::SIGTERM);
    }
}

/// However long the server would take for it: reading goes on, and what was sent stays.
#[test]
fn a_part_that_is_read_can_be_taken_back() {
    let Some(servers) = Servers::from_env() else { return };
    for (test, url) in [("part_cancelled", &servers.mysql), ("part_cancelled_nogtid", &servers.mysql_nogtid)] {
        let more = "full_load: {parallel: 2, chunk_rows: 2}";
        let (mut world, task, mut reader, mut engine) = loaded(test, url, &servers.kafka, "", more);
        let t = world.topic("t");
        // The chunk of the first rows is read.
        let hangs = "id = 1 OR (id > 3 AND SLEEP(3600) = 0)";
        reload(&world, &task, "t", hangs).unwrap();
        engine.wait_for_line(ASKED);
        world.begin_binlog_file();
        until_the_server_waits(&world, &mut engine, "User sleep");
        world.mysql.run("UPDATE t SET n = 21 WHERE id = 2");
        let said = cancel(&world, &task, "t").unwrap();
        assert!(said.contains(&format!("not loaded again: {t}")), "{said}");
        let came = until_marker(&mut world, &mut engine, &mut reader);
        let changed = "Update id=\"2\" n=\"21\"";
        assert!(came.last().is_some_and(|last| last.starts_with(changed)), "{came:?}");
        assert!(came[..came.len() - 1].iter().all(|message| message.starts_with("Insert id=\"1\"")), "{came:?}");
        engine.assert_running();

        // The same while nobody reads.
        reload(&world, &task, "t", hangs).unwrap();
        engine.wait_for_lines(ASKED, 2);
        world.begin_binlog_file();
        // The statement of before may still be there: a server that sends nothing notices late that nobody listens.
        wait_for("it is being loaded, as the state has it", || {
            let stored = task.stored();
            let tables = stored["full_load"]["tables"].as_array()?;
            tables.iter().any(|table| table["done"] == false && table["where"] == hangs).then_some(())
        });
        engine.kill_9();
        cancel(&world, &task, "t").unwrap();
        world.mysql.run("UPDATE t SET n = 22 WHERE id = 2");
        let mut engine = Tidegate::run(&task);
        let came = until_marker(&mut world, &mut engine, &mut reader);
        // What was not stored before the kill comes again.
        let is_ours =
            |message: &String| message.starts_with("Insert id=\"1\"") || message.starts_with("Update id=\"2\"");
        assert!(came.iter().all(is_ours) && came.last().is_some_and(|last| last.contains("n=\"22\"")), "{came:?}");
        // Nothing is left of it.
        assert_eq!(rows_where(&mut world, &task, &mut engine, &mut reader, "id = 5"), "5");
        let ended = engine.terminate(libc::SIGTERM);
        assert!(!ended.output.contains("panicked"), "{}", ended.output);
        assert!(!task.stored().to_string().contains("SLEEP") || task.stored()["full_load"].is_null());
    }
}

/// Before it begins, alone.
#[test]
fn a_part_that_has_not_begun_can_be_taken_back() {
    let Some(servers) = Servers::from_env() else { return };
    let (mut world, task, mut reader, mut engine) = loaded("part_unwished", &servers.mysql, &servers.kafka, "", "");
    told(&task, "pause", []).unwrap();
    engine.wait_for_line("paused");
    reload(&world, &task, "t", "id = 1").unwrap();
    cancel(&world, &task, "t").unwrap();
    told(&task, "resume", []).unwrap();
    assert_eq!(until_marker(&mut world, &mut engine, &mut reader), [""; 0]);
    assert_eq!(until_marker(&mut world, &mut engine, &mut reader), [""; 0]);
    engine.terminate(libc::SIGTERM);
    reload(&world, &task, "t", "id = 1").unwrap();
    cancel(&world, &task, "t").unwrap();
    let engine = Tidegate::run(&task);
    world.finish(engine, &mut reader, |message| panic!("{message:?}"));
}

/// Rows come by a swap of tables while a part is read, and before: they are not taken for loaded.
#[test]
fn rows_without_row_events_are_not_shown_by_a_part() {
    let Some(servers) = Servers::from_env() else { return };
    let more = "incremental: {unlogged_rows: reload}";
    let (mut world, task, mut reader, mut engine) = loaded("part_swapped", &servers.mysql, &servers.kafka, "", more);
    let (database, aside) = (world.database.clone(), format!("{}_aside", world.database));
    let make = |world: &mut World, row: &str| {
        world.mysql.run(format!("CREATE TABLE {aside}.t LIKE t"));
        world.mysql.run(format!("INSERT INTO {aside}.t VALUES {row}"));
    };
    let swap = |old: &str| format!("RENAME TABLE {database}.t TO {aside}.{old}, {aside}.t TO {database}.t");
    let until_row = |reader: &mut Reader, engine: &mut Tidegate, id: &str| {
        reader
            .until(engine, "the row that was swapped in", |message| message.data.get("id").is_some_and(|it| it == id));
    };
    world.mysql.run(format!("CREATE DATABASE {aside}"));
    told(&task, "pause", []).unwrap();
    engine.wait_for_line("paused");
    reload(&world, &task, "t", "id = 1").unwrap();
    make(&mut world, "(7, 70, 'swapped')");
    world.mysql.run(swap("old_1"));
    told(&task, "resume", []).unwrap();
    until_row(&mut reader, &mut engine, "7");
    until_marker(&mut world, &mut engine, &mut reader);

    // In the midst: behind the place where reading has stopped, and before the view of the part.
    make(&mut world, "(8, 80, 'in the midst')");
    told(&task, "pause", []).unwrap();
    engine.wait_for_lines("paused", 2);
    reload(&world, &task, "t", "id = 1").unwrap();
    let mut other = Mysql::connect(&servers.mysql);
    other.run(format!("LOCK TABLES {database}.t WRITE, {aside}.t WRITE"));
    told(&task, "resume", []).unwrap();
    world.until_load_is_locked_out(&mut engine);
    other.run(swap("old_2"));
    other.run("UNLOCK TABLES");
    until_row(&mut reader, &mut engine, "8");
    until_marker(&mut world, &mut engine, &mut reader);
    engine.terminate(libc::SIGTERM);
    assert!(history(&task, &[]).contains("rows came without row events"));
    world.mysql.run(format!("DROP DATABASE {aside}"));
}

/// In the very moment in which the run takes over another file: what is accepted comes, and what is refused says to ask again.
#[test]
fn what_is_asked_for_while_a_file_is_taken_over_is_not_forgotten() {
    const ROUNDS: usize = 12;
    let Some(servers) = Servers::from_env() else { return };
    let (mut world, mut task, mut reader, mut engine) =
        loaded("part_applied", &servers.mysql, &servers.kafka, "", "http: 127.0.0.1:0");
    let http = Http::of(&mut engine);
    let t = world.topic("t");
    let mut rng = seeded("part_applied");
    for round in 1..=ROUNDS {
        world.mysql.run(format!("INSERT INTO t VALUES ({}, 1, 'new')", 100 + round));
        task.more = format!("http: 127.0.0.1:0\nmemory: {}MiB", 300 + round);
        let path = task.write();
        // Some ask before it, most in the midst of it.
        let mut asks_left = rng.u32(0..6);
        let applied = Tidegate::spawn(["apply".as_ref(), path.as_os_str()]);
        let body = format!("{{\"tables\": [\"{t}\"], \"where\": \"id = {}\"}}", 100 + round);
        wait_for("it is accepted", || {
            if asks_left > 0 {
                asks_left -= 1;
                http.status();
                return None;
            }
            let (code, _, said) = http.send_body("/reload", &[("x-tidegate", "test")], &body);
            assert!(code == 200 || code == 400 && said.contains("ask again"), "{code}: {said}");
            (code == 200).then_some(())
        });
        let ended = applied.wait();
        assert!(ended.status.success() && ended.output.contains("taken over"), "{}", ended.output);
    }
    let mut came = until_marker(&mut world, &mut engine, &mut reader);
    let wanted = |came: &[String]| {
        let twice = |round: &usize| {
            came.iter().filter(|message| message.starts_with(&format!("Insert id=\"{}\"", 100 + round))).count() >= 2
        };
        (1..=ROUNDS).all(|round| twice(&round))
    };
    wait_for("all of it comes", || {
        if !wanted(&came) {
            came.extend(until_marker(&mut world, &mut engine, &mut reader));
        }
        wanted(&came).then_some(())
    });
    engine.terminate(libc::SIGTERM);
}
