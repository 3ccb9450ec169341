//! Tables that come to be: made, restored or renamed into the selection, while the task is stopped or while it runs. All their rows
//! arrive, and with GTIDs none of them twice, unless a kill repeats what was in flight.

use std::collections::BTreeMap;

use super::harness::mysql::in_capitals;
use super::harness::world::kafka_sink;
use super::harness::{
    Kind, Message, Mysql, Private, Reader, Servers, TaskFile, Tidegate, World, scaled, seeded, wait_for,
};

/// What the topics say that the tables hold, by table and `id`, and how many messages said it.
#[derive(Default)]
struct Topics {
    rows: BTreeMap<(String, String), BTreeMap<String, String>>,
    messages: BTreeMap<String, u64>,
}

impl Topics {
    fn take(&mut self, message: Message) {
        *self.messages.entry(message.table.clone()).or_default() += 1;
        let key = |id: Option<&String>| (message.table.clone(), id.cloned().unwrap_or_default());
        let old = message.old.as_ref().and_then(|old| old.get("id"));
        if let Some(old) = old {
            self.rows.remove(&key(Some(old)));
        }
        match message.kind {
            Kind::Delete => _ = self.rows.remove(&key(message.data.get("id"))),
            _ => {
                let values = message.data.0.iter().map(|(name, value)| (name.clone(), format!("{value:?}")));
                self.rows.insert(key(message.data.get("id")), values.collect());
            }
        }
    }

    /// `1 2` for the ids of a table.
    fn ids(&self, table: &str) -> String {
        let ids = self.rows.keys().filter(|(of, _)| of == table).map(|(_, id)| id.as_str());
        ids.collect::<Vec<_>>().join(" ")
    }

    /// The tables hold exactly these rows.
    #[track_caller]
    fn assert_equals(&self, mysql: &mut Mysql, tables: &[&str], context: &str) {
        for table in tables {
            let ids: Vec<String> = mysql.query(&format!("SELECT CAST(id AS CHAR) FROM {table} ORDER BY 1"));
            assert_eq!(self.ids(table), ids.join(" "), "{table}: {context}");
            let columns: Vec<String> = mysql.query(&format!(
                "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = \
                 '{table}' AND COLUMN_NAME <> 'id'"
            ));
            for column in columns {
                let values: Vec<(String, Option<String>)> =
                    mysql.query(&format!("SELECT CAST(id AS CHAR), CAST({column} AS CHAR) FROM {table}"));
                for (id, value) in values {
                    let row = &self.rows[&((*table).to_owned(), id.clone())];
                    assert_eq!(row.get(&column), Some(&format!("{value:?}")), "{table} {id} {column}: {context}");
                }
            }
        }
    }
}

/// A server's ways: with GTIDs and without, whether its binlog describes its tables, and whether it folds their names, which are typed in
/// capitals then.
struct Case<'a> {
    url: &'a str,
    gtids: bool,
    describes: bool,
    folds: bool,
}

impl Case<'_> {
    fn name(&self) -> String {
        let gtids = if self.gtids { "gtids" } else { "no GTIDs" };
        format!(
            "{gtids}, {}{}",
            if self.describes { "FULL" } else { "MINIMAL" },
            if self.folds { ", folded" } else { "" }
        )
    }

    fn typed(&self, statements: &[&str]) -> Vec<String> {
        let names = [&TABLES[..], &["t", "other", "passing", "fleeting", "early", "late"]].concat();
        let typed =
            |statement: &&str| if self.folds { in_capitals(statement, &names) } else { (*statement).to_owned() };
        statements.iter().map(typed).collect()
    }
}

/// A server with GTIDs and one without, which take long to start: the scenes are played on them one after the other. Rows of a
/// transaction that is compressed are met in the middle of an event.
fn servers_with(metadata: &str) -> Private {
    Private::up(&["mysql"], &format!("--binlog-row-metadata={metadata} --binlog-transaction-compression=ON"))
}

/// What the columns of a new table are, its CREATE TABLE says, or the catalogue where it is not in the binlog.
#[test]
fn new_tables_that_the_binlog_does_not_describe() {
    let Some(servers) = Servers::from_env() else { return };
    let private = servers_with("MINIMAL");
    let gtids = Case { url: private.mysql(), gtids: true, describes: false, folds: false };
    let none = Case { url: private.mysql_nogtid(), gtids: false, describes: false, folds: false };
    made_while_the_task_is_stopped(&gtids, &servers);
    made_while_the_task_is_stopped(&none, &servers);
    made_while_the_task_runs(&none, &servers);
    made_between_kills(&gtids, &servers);
    made_without_a_full_load(&gtids, &servers);
    for is_met_away in [false, true] {
        away_and_back(&gtids, &servers, is_met_away);
        away_and_back(&none, &servers, is_met_away);
    }
}

#[test]
fn new_tables_that_the_binlog_describes() {
    let Some(servers) = Servers::from_env() else { return };
    let private = servers_with("FULL");
    let gtids = Case { url: private.mysql(), gtids: true, describes: true, folds: false };
    let none = Case { url: private.mysql_nogtid(), gtids: false, describes: true, folds: false };
    made_while_the_task_is_stopped(&gtids, &servers);
    made_while_the_task_is_stopped(&none, &servers);
    made_while_the_task_runs(&gtids, &servers);
    made_between_kills(&none, &servers);
    made_without_a_full_load(&none, &servers);
}

/// Where names are folded, a pattern selects what is made under whichever of them.
#[test]
fn new_tables_in_capitals() {
    let Some(servers) = Servers::from_env() else { return };
    let private = Private::up(&["mysql"], "--lower-case-table-names=1 --binlog-transaction-compression=ON");
    for describes in [false, true] {
        let gtids = Case { url: private.mysql(), gtids: true, describes, folds: true };
        let none = Case { url: private.mysql_nogtid(), gtids: false, ..gtids };
        let metadata = if describes { "FULL" } else { "MINIMAL" };
        for case in [&gtids, &none] {
            Mysql::connect(case.url).run(format!("SET GLOBAL binlog_row_metadata = {metadata}"));
        }
        made_while_the_task_is_stopped(&none, &servers);
        made_while_the_task_runs(&gtids, &servers);
    }
}

#[test]
fn tables_that_come_and_go() {
    let Some(servers) = Servers::from_env() else { return };
    let private = servers_with("FULL");
    let gtids = Case { url: private.mysql(), gtids: true, describes: true, folds: false };
    let none = Case { url: private.mysql_nogtid(), gtids: false, describes: true, folds: false };
    dropped_and_forgotten(&gtids, &servers);
    dropped_and_forgotten(&none, &servers);
    swapped_again_and_again(&gtids, &servers, true);
    swapped_again_and_again(&none, &servers, false);
}

/// What of it stands in the binlog, and what does not.
const NEWCOMERS: &[&str] = &[
    // All of it.
    "CREATE TABLE made (id INT PRIMARY KEY, n INT)",
    "INSERT INTO made VALUES (1, 1), (2, 2), (3, 3)",
    "UPDATE made SET n = 7 WHERE id = 1",
    "DELETE FROM made WHERE id = 2",
    // Nothing. Each is there with its rows at once: who has looked at a table without them cannot know that some came.
    "SET sql_log_bin = 0",
    "CREATE TABLE restored (id INT PRIMARY KEY, n INT) SELECT 1 AS id, 1 AS n UNION ALL SELECT 2, 2",
    "CREATE TABLE written (id INT PRIMARY KEY, n INT) SELECT 1 AS id, 1 AS n UNION ALL SELECT 2, 2 UNION ALL SELECT 3, 3",
    "CREATE TABLE asked_for (id INT PRIMARY KEY, n INT) SELECT 1 AS id, 1 AS n",
    "CREATE TABLE altered (id INT PRIMARY KEY) SELECT 1 AS id",
    "CREATE TABLE other.renamed LIKE restored",
    "INSERT INTO other.renamed VALUES (1, 1)",
    "SET sql_log_bin = 1",
    // A part.
    "BEGIN",
    "INSERT INTO t VALUES (2, 2)",
    "INSERT INTO written VALUES (4, 4)",
    "INSERT INTO t VALUES (3, 3)",
    "COMMIT",
    "DELETE FROM written WHERE id = 2",
    "UPDATE written SET id = 9 WHERE id = 3",
    "CREATE TABLE IF NOT EXISTS asked_for (id INT PRIMARY KEY, n INT)",
    "INSERT INTO asked_for VALUES (2, 2)",
    "ALTER TABLE altered ADD COLUMN n INT DEFAULT 5",
    "INSERT INTO altered VALUES (2, 2)",
    "RENAME TABLE other.renamed TO passing, passing TO renamed",
    "INSERT INTO renamed VALUES (2, 2)",
    // Gone before anybody looks.
    "CREATE TABLE fleeting (id INT PRIMARY KEY, n INT)",
    "INSERT INTO fleeting VALUES (1, 1)",
    "DROP TABLE fleeting",
    "CREATE TABLE early (id INT PRIMARY KEY, n INT)",
    "INSERT INTO early VALUES (1, 1)",
    "RENAME TABLE early TO late",
];
const TABLES: [&str; 6] = ["made", "restored", "written", "asked_for", "altered", "renamed"];

fn world_of(test: &str, case: &Case<'_>, servers: &Servers) -> (World, TaskFile, Reader) {
    let mut world = World::new(test, case.url, &servers.kafka);
    world.mysql.run("DROP DATABASE IF EXISTS other");
    world.mysql.run("CREATE DATABASE other");
    world.mysql.run("CREATE TABLE t (id INT PRIMARY KEY, n INT)");
    world.mysql.run("INSERT INTO t VALUES (1, 1)");
    world.begin_binlog_file();
    let mut task = world.task();
    task.sink = kafka_sink(&servers.kafka, ", partition: table");
    let reader = world.reader(TABLES.into_iter().chain(["t", "early", "late"]));
    (world, task, reader)
}

fn run(world: &mut World, statements: &[impl AsRef<str>]) {
    statements.iter().for_each(|statement| world.mysql.run(statement));
}

/// Tables that are new while the task is stopped, under a pattern that has selected them all along.
fn made_while_the_task_is_stopped(case: &Case<'_>, servers: &Servers) {
    let (mut world, task, mut reader) = world_of("stopped", case, servers);
    let mut topics = Topics::default();
    let engine = Tidegate::run(&task);
    world.finish(engine, &mut reader, |message| topics.take(message));
    run(&mut world, &case.typed(NEWCOMERS));
    let engine = Tidegate::run(&task);
    let ended = world.finish(engine, &mut reader, |message| topics.take(message));
    topics.assert_equals(&mut world.mysql, &TABLES, &format!("{}\n{}", case.name(), ended.output));
    // Its columns are known, by its table maps or by its CREATE TABLE: it is sent under its first name, and the task says what
    // consumers lack.
    assert_eq!(topics.ids("early"), "1", "{}", ended.output);
    assert_eq!(topics.messages["t"], 3, "what a transaction had before a load took its turn is not sent again");
    if case.gtids {
        // Rows that a load has shown are not sent again.
        let counts: Vec<u64> = TABLES.iter().map(|table| topics.messages[*table]).collect();
        assert_eq!(counts, [5, 2, 3, 2, 2, 2], "{}", ended.output);
    }
    // The next start finds nothing new.
    world.mysql.run("INSERT INTO made VALUES (30, 30)");
    let mut again = Vec::new();
    let engine = Tidegate::run(&task);
    world.finish(engine, &mut reader, |message| again.push(message));
    assert_eq!(again.len(), 1, "{}: {again:?}", case.name());
}

/// The same while it runs. What has no trace in the binlog is found at the next start.
fn made_while_the_task_runs(case: &Case<'_>, servers: &Servers) {
    let (mut world, task, mut reader) = world_of("running", case, servers);
    let mut topics = Topics::default();
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |message| topics.take(message));
    run(&mut world, &case.typed(NEWCOMERS));
    let ended = world.finish(engine, &mut reader, |message| topics.take(message));
    let context = format!("{}\n{}", case.name(), ended.output);
    topics.assert_equals(&mut world.mysql, &["made", "written", "asked_for", "altered", "renamed"], &context);
    assert_eq!(topics.ids("restored"), "", "{context}");
    let engine = Tidegate::run(&task);
    let ended = world.finish(engine, &mut reader, |message| topics.take(message));
    topics.assert_equals(&mut world.mysql, &TABLES, &format!("{}\n{}", case.name(), ended.output));
}

/// Killed again and again, from the start on: nothing is lost, and no row stays that is gone.
fn made_between_kills(case: &Case<'_>, servers: &Servers) {
    let mut rng = seeded("new_tables");
    let (mut world, mut task, mut reader) = world_of("killed", case, servers);
    task.more = "full_load: {chunk_rows: 1}\nincremental: {window_rows: 1}".to_owned();
    let mut topics = Topics::default();
    let engine = Tidegate::run(&task);
    world.finish(engine, &mut reader, |message| topics.take(message));
    // One that is loaded before it is altered lacks the column that its rows have got without row events.
    let is_meant = |statement: &&&str| !statement.contains("altered");
    let statements: Vec<&str> = NEWCOMERS.iter().filter(is_meant).copied().collect();
    let mut statements = statements.into_iter();
    loop {
        // Some are made while it is away, others while it runs.
        let mut some = |world: &mut World, count: usize| {
            statements.by_ref().take(count).for_each(|statement| world.mysql.run(statement));
            // A session that leaves something out must not end so.
            statements.len()
        };
        some(&mut world, rng.usize(..6));
        let mut engine = Tidegate::run(&task);
        let left = some(&mut world, rng.usize(..6));
        let mut looks = rng.u32(1..60);
        wait_for("a moment to kill", || {
            reader.poll(|message| {
                topics.take(message);
                true
            });
            engine.assert_running();
            looks -= 1;
            (looks == 0).then_some(())
        });
        engine.kill_9();
        reader.read_to_end(|message| topics.take(message));
        if left == 0 {
            break;
        }
    }
    let mut engine = Tidegate::run(&task);
    world.until_marker(&mut engine, &mut reader, |message| topics.take(message));
    let ended = world.finish(engine, &mut reader, |message| topics.take(message));
    let tables = ["made", "restored", "written", "asked_for", "renamed"];
    topics.assert_equals(&mut world.mysql, &tables, &format!("{}\n{}", case.name(), ended.output));
}

/// Without a full load, only changes are asked for: they come where their columns are known, and the task stops where not.
fn made_without_a_full_load(case: &Case<'_>, servers: &Servers) {
    let (mut world, mut task, mut reader) = world_of("changes", case, servers);
    task.more = "full_load: false".to_owned();
    let mut topics = Topics::default();
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("reading the binlog");
    world.finish(engine, &mut reader, |message| topics.take(message));
    run(&mut world, &case.typed(NEWCOMERS));
    if !case.describes {
        // Of the first that has no CREATE TABLE in the binlog nobody says what its columns are.
        let output = Tidegate::fails(&task);
        for word in [".written is in the binlog", "binlog_row_metadata = FULL"] {
            assert!(output.contains(word), "{word:?} is not in\n{output}");
        }
        reader.read_to_end(|message| topics.take(message));
        topics.assert_equals(&mut world.mysql, &["made"], &case.name());
        return;
    }
    let engine = Tidegate::run(&task);
    let ended = world.finish(engine, &mut reader, |message| topics.take(message));
    topics.assert_equals(&mut world.mysql, &["made"], &case.name());
    let ids: Vec<String> = TABLES[1..].iter().map(|table| topics.ids(table)).collect();
    assert_eq!(ids, ["", "4 9", "2", "2", "2"], "{}", case.name());
    assert!(ended.output.contains("its topic lacks the rows that had another table's name"), "{}", ended.output);
}

/// How many versions of tables, and how many tables, the state holds.
fn entries(task: &TaskFile) -> [usize; 2] {
    let stored = task.stored();
    // What statements make of databases is known of those of other tests, too.
    let is_of_table = |entry: &&serde_json::Value| entry["state"]["database"].is_null();
    ["schemas", "tables"]
        .map(|key| stored[key].as_array().map_or(0, |entries| entries.iter().filter(is_of_table).count()))
}

/// Tools that alter tables make ones with new names every night; what was dropped leaves nothing behind.
fn dropped_and_forgotten(case: &Case<'_>, servers: &Servers) {
    let (mut world, ..) = world_of("dropped", case, servers);
    let task = world.task_of_one_topic("");
    let mut reader = Reader::new(&servers.kafka, vec![world.database.clone()]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| {});
    for batch in 0..scaled(3) {
        let names: Vec<String> = (0..100).map(|number| format!("night_{batch}_{number}")).collect();
        for name in &names {
            world.mysql.run(format!("CREATE TABLE {name} (id INT PRIMARY KEY)"));
        }
        for name in names.iter().step_by(5) {
            world.mysql.run(format!("INSERT INTO {name} VALUES (1)"));
        }
        world.mysql.run(format!("DROP TABLE {}", names.join(",")));
        world.mysql.run("CREATE TABLE _t_gho LIKE t");
        world.mysql.run("INSERT INTO _t_gho SELECT * FROM t");
        world.mysql.run(format!("RENAME TABLE t TO _t_{batch}_del, _t_gho TO t"));
        world.mysql.run(format!("DROP TABLE _t_{batch}_del"));
        world.mysql.run("UPDATE t SET n = n + 1");
    }
    let mut topics = Topics::default();
    world.finish(engine, &mut reader, |message| topics.take(message));
    topics.assert_equals(&mut world.mysql, &["t"], &case.name());
    assert_eq!(entries(&task), [2, 2], "{}", case.name());
}

/// One that was dropped and forgotten, and is made again, is new: its topic is still the task's own.
#[test]
fn a_dropped_table_may_come_again() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("again", &servers.mysql, &servers.kafka);
    let task = world.task();
    let mut reader = world.reader(["v"]);
    let mut came = Vec::new();
    let mut take = |message: Message| came.push(format!("{:?}", message.data));
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, &mut take);
    world.mysql.run("CREATE TABLE v (id INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO v VALUES (1)");
    world.until_marker(&mut engine, &mut reader, &mut take);
    world.mysql.run("DROP TABLE v");
    world.finish(engine, &mut reader, &mut take);
    assert_eq!(entries(&task), [1, 1], "{}", task.stored());
    world.mysql.run("CREATE TABLE v (a INT, id INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO v VALUES (7, 2)");
    let mut engine = Tidegate::run(&task);
    world.until_marker(&mut engine, &mut reader, &mut take);
    world.mysql.run("INSERT INTO v VALUES (7, 3)");
    engine.kill_9();
    let engine = Tidegate::run(&task);
    world.finish(engine, &mut reader, &mut take);
    came.sort();
    came.dedup();
    assert_eq!(came, ["a=\"7\" id=\"2\"", "a=\"7\" id=\"3\"", "id=\"1\""]);
}

/// A table that gives its name away and gets it back before it is altered: what was written between the two has the columns of then,
/// not those that the load finds. A run that meets it away goes on without it.
fn away_and_back(case: &Case<'_>, servers: &Servers, is_met_away: bool) {
    let (mut world, mut task, mut reader) = world_of("back", case, servers);
    task.tables = format!("[{0}.t, {0}.marker]", world.database);
    let mut topics = Topics::default();
    world.finish(Tidegate::run(&task), &mut reader, |message| topics.take(message));
    run(&mut world, &["RENAME TABLE t TO away", "INSERT INTO away VALUES (2, 2)"]);
    if is_met_away {
        world.finish(Tidegate::run(&task), &mut reader, |message| topics.take(message));
        let words = format!("{}.t is not there any more, or the account has no right on it", world.database);
        let checked = Tidegate::spawn(["check".as_ref(), task.write().as_os_str()]).wait().output;
        assert!(checked.contains(&words) && !checked.contains("error"), "{checked}");
        let ended = world.finish(Tidegate::run(&task), &mut reader, |message| topics.take(message));
        assert!(ended.output.contains(&words), "{}", ended.output);
    }
    let statements = [
        "RENAME TABLE away TO t",
        "INSERT INTO t VALUES (3, 3)",
        "DELETE FROM t WHERE id = 1",
        "ALTER TABLE t ADD c INT FIRST",
        "INSERT INTO t VALUES (7, 4, 4)",
        "ALTER TABLE t DROP COLUMN n, ADD m INT AFTER c",
        "INSERT INTO t VALUES (8, 9, 5)",
        "UPDATE t SET m = id",
    ];
    run(&mut world, &statements);
    let ended = world.finish(Tidegate::run(&task), &mut reader, |message| topics.take(message));
    topics.assert_equals(&mut world.mysql, &["t"], &format!("{}\n{}", case.name(), ended.output));
    assert_eq!(topics.ids("t"), "2 3 4 5", "{}", ended.output);
}

/// A table that was swapped many times while another one was loaded is not loaded again for each of them.
fn swapped_again_and_again(case: &Case<'_>, servers: &Servers, killed: bool) {
    let (mut world, task, mut reader) = world_of("swapped", case, servers);
    world.mysql.run("CREATE TABLE z (id INT PRIMARY KEY)");
    let mut locked = Mysql::connect(case.url);
    locked.run(format!("USE {}", world.database));
    locked.run("LOCK TABLES z WRITE");
    let mut topics = Topics::default();
    let mut engine = Tidegate::run(&task);
    reader.until(&mut engine, "the table is loaded", |message| {
        let is_row = message.table == "t";
        topics.take(message);
        is_row
    });
    for number in 0..20 {
        world.mysql.run("CREATE TABLE t_new LIKE t");
        world.mysql.run(format!("INSERT INTO t_new VALUES (1, {number}), ({}, 0)", 100 + number));
        world.mysql.run("RENAME TABLE t TO t_old, t_new TO t");
        world.mysql.run("DROP TABLE t_old");
        world.mysql.run(format!("INSERT INTO t VALUES ({}, 0)", 200 + number));
    }
    locked.run("UNLOCK TABLES");
    let loads = |output: &str| output.matches("it is loaded from its begin, and changes wait").count();
    let mut before = 0;
    if killed {
        // While it waits for its load, with which the next run begins, or has begun it, or is through with it.
        engine.wait_for_line("they are loaded when reading has come");
        before = loads(&engine.output());
        engine.kill_9();
        engine = Tidegate::run(&task);
    }
    world.until_marker(&mut engine, &mut reader, |message| topics.take(message));
    world.until_asked_is_loaded(&task, &mut engine);
    let ended = world.finish(engine, &mut reader, |message| topics.take(message));
    let behind = loads(&ended.output);
    let is_right = before <= 5 && behind <= 5 && before + behind > 0;
    assert!(is_right, "{before} and {behind} loads: {}\n{}", case.name(), ended.output);
    for id in ["1", "119", "219"] {
        let row = topics.rows.get(&("t".to_owned(), id.to_owned())).expect("a row of the last table");
        assert_eq!(row["n"], format!("{:?}", Some(if id == "1" { "19" } else { "0" })), "{}", case.name());
    }
}

/// A table that gets another name in the middle of its load is loaded under that one, whether the task sees it go or finds it gone.
/// One that is known, dropped, and there again without a trace in the binlog, is loaded at the next start.
#[test]
fn what_has_another_name_or_is_there_again_is_loaded() {
    let Some(servers) = Servers::from_env() else { return };
    let private = servers_with("FULL");
    for url in [private.mysql(), private.mysql_nogtid()] {
        for is_killed in [false, true] {
            let mut world = World::new("moved", url, &servers.kafka);
            world.mysql.run("SET SESSION cte_max_recursion_depth = 100000");
            world.mysql.run("CREATE TABLE u (id INT PRIMARY KEY)");
            let rows =
                "WITH RECURSIVE s AS (SELECT 1 AS s UNION ALL SELECT s + 1 FROM s WHERE s < 20000) SELECT s FROM s";
            world.mysql.run(format!("INSERT INTO u {rows}"));
            world.mysql.run("ANALYZE TABLE u");
            let mut task = world.task();
            task.more = "full_load: {parallel: 1, chunk_rows: 1000}".to_owned();
            let mut reader = world.reader(["u", "moved"]);
            let mut topics = Topics::default();
            // Before its first chunk, the load waits for the table.
            world.mysql.run("LOCK TABLES u WRITE");
            let mut engine = Tidegate::run(&task);
            world.until_load_is_locked_out(&mut engine);
            if is_killed {
                engine.kill_9();
                world.mysql.run("RENAME TABLE u TO moved");
                world.mysql.run("UNLOCK TABLES");
                engine = Tidegate::run(&task);
            } else {
                world.mysql.run("RENAME TABLE u TO moved");
                world.mysql.run("UNLOCK TABLES");
            }
            let ended = world.finish(engine, &mut reader, |message| topics.take(message));
            topics.assert_equals(&mut world.mysql, &["moved"], &ended.output);

            world.mysql.run("DROP TABLE moved");
            world.mysql.run("SET sql_log_bin = 0");
            world.mysql.run("CREATE TABLE moved (id INT PRIMARY KEY) SELECT 100001 AS id");
            world.mysql.run("SET sql_log_bin = 1");
            let ended = world.finish(Tidegate::run(&task), &mut reader, |message| topics.take(message));
            assert!(topics.ids("moved").contains("100001"), "{}", ended.output);
        }
    }
}
