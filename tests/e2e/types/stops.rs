//! What has no form in the output, or is not understood, stops the task: it says in which table and column, where, and what to
//! do; the checkpoint stays before it. Once the cause is gone, the task goes on and nothing is missing.

use super::super::harness::world::kafka_sink;
use super::super::harness::{Message, Private, Reader, Servers, TaskFile, Tidegate, World};
use super::events::sink_of_large_messages;
use super::proofs::{Path, proofs};

proofs! {
    [1] &[Path::FullLoad, Path::Insert] => impossible_dates_in_computed_columns_stop;
    [14] &[Path::FullLoad] => text_that_is_none_stops_the_full_load;
    [14] &[Path::Insert] => text_that_is_none_stops_the_changes;
    [24] &[Path::Update] => incomplete_row_images_stop;
    [30] &[Path::FullLoad, Path::Insert] => rows_beyond_the_budget_stop;
    [32] &[Path::Insert] => columns_that_nobody_describes_stop;
    [35] &[Path::Insert] => statement_format_stops;
}

/// A table, its task with one topic of one partition, and what has come out so far.
struct Stage {
    world: World,
    task: TaskFile,
    reader: Reader,
    ids: Vec<String>,
}

impl Stage {
    fn new(test: &str, servers: &Servers, columns: &str) -> Stage {
        let mut world = World::new(test, &servers.mysql, &servers.kafka);
        world.mysql.run("SET sql_mode = ''");
        world.mysql.run(format!("CREATE TABLE orders (id INT PRIMARY KEY, {columns})"));
        let mut task = world.task();
        task.sink = kafka_sink(&servers.kafka, ", topic: \"{task}\", partition: zero");
        task.more = "retry: {connection: 2s, other: 1s}".to_owned();
        let reader = Reader::new(&servers.kafka, vec![world.database.clone()]);
        Stage { world, task, reader, ids: Vec::new() }
    }

    /// The table's only, with these columns.
    fn select(&mut self, columns: &str) {
        let database = &self.world.database;
        self.task.tables = format!("\n  - {database}.marker\n  - table: {database}.orders\n    select: [{columns}]");
    }

    /// Without a state, into the same topic.
    fn begin_again(&mut self) {
        self.task.state = self.world.path("again");
        self.task.accept = "non_empty_topics";
    }

    /// Runs until the full load is over.
    fn load(&mut self) -> Tidegate {
        let mut engine = Tidegate::run(&self.task);
        self.world.until_loaded(&mut engine, &mut self.reader, |message| self.ids.push(id(&message)));
        engine
    }

    /// Runs until all changes are there, and ends.
    fn finish(&mut self, engine: Tidegate) {
        self.world.finish(engine, &mut self.reader, |message| self.ids.push(id(&message)));
    }

    /// The running task fails with all of `words`, a place in the binlog and a hint; so does the next run, at that place.
    #[track_caller]
    fn stops_in_the_binlog(&mut self, engine: Tidegate, words: &[&str]) {
        let first = failed(engine, words);
        let again = failed(Tidegate::run(&self.task), words);
        let place = |output: &str| {
            let (_, rest) = output.split_once("error: binlog ").unwrap_or_else(|| panic!("no place in\n{output}"));
            rest.split(": ").next().expect("a split has a first part").to_owned()
        };
        assert_eq!(place(&first), place(&again));
        assert!(place(&first).starts_with("binlog.0"), "{first}");
    }

    /// Everything that was written has come out, the first of each in this order.
    #[track_caller]
    fn assert_ids(&mut self, expected: &[&str]) {
        let mut found: Vec<&str> = Vec::new();
        for id in &self.ids {
            if !found.contains(&id.as_str()) {
                found.push(id);
            }
        }
        assert_eq!(found, expected);
    }
}

fn id(message: &Message) -> String {
    message.data.get("id").expect("never NULL").clone()
}

#[track_caller]
fn failed(engine: Tidegate, words: &[&str]) -> String {
    let ended = engine.wait();
    assert!(ended.status.code() == Some(1), "{}:\n{}", ended.status, ended.output);
    let (_, error) = ended.output.split_once("error: ").unwrap_or_else(|| panic!("no error in\n{}", ended.output));
    for word in words.iter().chain(&["hint:"]) {
        assert!(error.contains(word), "{word:?} is not in\n{error}");
    }
    ended.output
}

/// A surrogate without its other half: ucs2 stores it, and no UTF-8 has it.
const NO_TEXT: &str = "INSERT INTO orders VALUES (2, X'D800')";

/// It begins again once the row is right: the binlog has the wrong one as the image before the correction.
#[test]
fn text_that_is_none_stops_the_full_load() {
    let Some(servers) = Servers::from_env() else { return };
    let mut stage = Stage::new("no_text_load", &servers, "name VARCHAR(10) CHARACTER SET ucs2");
    stage.world.mysql.run("INSERT INTO orders VALUES (1, 'one'), (3, 'three')");
    stage.world.mysql.run(NO_TEXT);
    let table = format!("table {}.orders", stage.world.database);
    for _ in 0..2 {
        failed(Tidegate::run(&stage.task), &["full load", &table, "column \"name\"", "UTF-8"]);
    }
    stage.world.mysql.run("UPDATE orders SET name = 'two' WHERE id = 2");
    stage.begin_again();
    let engine = stage.load();
    stage.finish(engine);
    stage.assert_ids(&["1", "2", "3"]);
}

/// The binlog keeps what it has: the task goes on without the table, or begins again with it.
#[test]
fn text_that_is_none_stops_the_changes() {
    let Some(servers) = Servers::from_env() else { return };
    let mut stage = Stage::new("no_text", &servers, "name VARCHAR(10) CHARACTER SET ucs2");
    let engine = stage.load();
    stage.world.mysql.run("INSERT INTO orders VALUES (1, 'one')");
    stage.world.mysql.run(NO_TEXT);
    stage.world.mysql.run("UPDATE orders SET name = 'two' WHERE id = 2");
    let table = format!("table {}.orders", stage.world.database);
    stage.stops_in_the_binlog(engine, &[&table, "column \"name\"", "not valid ucs2"]);
    let mut others = stage.task.clone();
    others.tables = format!("[{}.marker]", stage.world.database);
    others.accept = "tables";
    let engine = Tidegate::run(&others);
    stage.finish(engine);

    stage.begin_again();
    let engine = stage.load();
    stage.finish(engine);
    stage.assert_ids(&["1", "2"]);
}

/// No calendar has such a date, so nothing can be computed from it; as it is, it comes out.
#[test]
fn impossible_dates_in_computed_columns_stop() {
    let Some(servers) = Servers::from_env() else { return };
    let mut stage = Stage::new("dates_computed", &servers, "day DATE, moment DATETIME");
    stage.world.mysql.run("INSERT INTO orders VALUES (1, '2024-02-29', NULL), (2, '2010-00-10', NULL)");
    stage.select("id, year(day) AS y");
    let table = format!("table {}.orders", stage.world.database);
    failed(Tidegate::run(&stage.task), &["full load", &table, "column day", "no calendar"]);
    stage.task.accept = "select";
    stage.select("id, day, year(moment) AS y");
    let engine = stage.load();

    for statement in [
        "INSERT INTO orders VALUES (3, NULL, '2024-02-29 00:00:00')",
        "INSERT INTO orders VALUES (4, NULL, '0000-00-00 00:00:00'), (5, NULL, NULL)",
        "UPDATE orders SET moment = '2024-01-01' WHERE id = 4",
        "DELETE FROM orders WHERE id = 4",
        "INSERT INTO orders VALUES (6, NULL, NULL)",
    ] {
        stage.world.mysql.run(statement);
    }
    stage.stops_in_the_binlog(engine, &[&table, "column moment", "no calendar"]);
    stage.select("id, day, moment");
    let engine = Tidegate::run(&stage.task);
    stage.finish(engine);
    stage.assert_ids(&["1", "2", "3", "4", "5", "6"]);
}

/// An expression that fails on a value says on which row's event; another one goes on from there.
#[test]
fn an_expression_that_fails_stops() {
    let Some(servers) = Servers::from_env() else { return };
    let mut stage = Stage::new("expression", &servers, "name VARCHAR(20)");
    stage.world.mysql.run("INSERT INTO orders VALUES (1, '10')");
    stage.select("id, CAST(name AS SIGNED) AS number");
    let engine = stage.load();
    stage.world.mysql.run("INSERT INTO orders VALUES (2, '20')");
    stage.world.mysql.run("INSERT INTO orders VALUES (3, 'not-a-number')");
    stage.world.mysql.run("INSERT INTO orders VALUES (4, '40')");
    let table = format!("table {}.orders", stage.world.database);
    stage.stops_in_the_binlog(engine, &[&table, "select"]);
    stage.task.accept = "select";
    stage.select("id, TRY_CAST(name AS SIGNED) AS number");
    let engine = Tidegate::run(&stage.task);
    stage.finish(engine);
    stage.assert_ids(&["1", "2", "3", "4"]);
}

/// A column that an image leaves out is not NULL. 22 columns, so that bits over all columns and over those present differ.
#[test]
fn incomplete_row_images_stop() {
    let Some(servers) = Servers::from_env() else { return };
    let columns: Vec<_> = (1..22).map(|n| format!("c{n} INT DEFAULT {n}")).collect();
    for image in ["MINIMAL", "NOBLOB"] {
        let test = format!("image_{}", image.to_lowercase());
        let mut stage = Stage::new(&test, &servers, &format!("{}, b BLOB", columns.join(", ")));
        stage.world.mysql.run("INSERT INTO orders (id, b) VALUES (1, 'x'), (2, 'x')");
        let engine = stage.load();
        stage.world.mysql.run("INSERT INTO orders (id) VALUES (3)");
        stage.world.mysql.run(format!("SET SESSION binlog_row_image = {image}"));
        stage.world.mysql.run("UPDATE orders SET c20 = NULL WHERE id = 1");
        stage.world.mysql.run("DELETE FROM orders WHERE id = 2");
        let table = format!("table {}.orders", stage.world.database);
        let missing = if image == "MINIMAL" { "column \"c1\"" } else { "column \"b\"" };
        stage.stops_in_the_binlog(engine, &[&table, missing, "binlog_row_image = FULL"]);

        stage.world.mysql.run("SET SESSION binlog_row_image = FULL");
        stage.begin_again();
        let engine = stage.load();
        stage.finish(engine);
        stage.assert_ids(&["1", "2", "3"]);
        assert_eq!(
            stage.ids.iter().filter(|id| *id == "2").count(),
            1,
            "the second load does not see what was deleted"
        );
    }
}

/// A statement in place of rows: of a table that is copied it stops the task, of others it does not.
#[test]
fn statement_format_stops() {
    let Some(servers) = Servers::from_env() else { return };
    // It stops every task that reads the server's binlog.
    let private = Private::up(&["mysql-gtid"], "");
    let servers = Servers { mysql: private.mysql().to_owned(), ..servers };
    let mut stage = Stage::new("statements", &servers, "name VARCHAR(20)");
    let database = stage.world.database.clone();
    let engine = stage.load();
    stage.world.mysql.run("INSERT INTO orders VALUES (1, 'one')");
    stage.world.mysql.run("SET SESSION binlog_format = STATEMENT");
    stage.world.mysql.run("INSERT INTO orders VALUES (2, 'hidden')");
    stage.world.mysql.run("SET SESSION binlog_format = ROW");
    let table = format!("table {database}.orders");
    stage.stops_in_the_binlog(engine, &[&table, "statement format", "INSERT INTO orders", "binlog_format = ROW"]);

    stage.begin_again();
    let engine = stage.load();
    stage.finish(engine);
    stage.assert_ids(&["1", "2"]);
}

/// With `binlog_row_metadata=MINIMAL` nobody says what a changed table's columns are but the statement, and where that is not understood,
/// nothing is guessed.
#[test]
fn columns_that_nobody_describes_stop() {
    let Some(servers) = Servers::from_env() else { return };
    let mut stage = Stage::new("undescribed", &servers, "a INT, b INT, t TEXT");
    let engine = stage.load();
    stage.world.mysql.run("INSERT INTO orders VALUES (1, 10, 20, 'x')");
    stage.world.mysql.run(
        "ALTER TABLE orders RENAME COLUMN a TO b, RENAME COLUMN b TO a, CONVERT TO CHARACTER SET utf8mb4, \
         MODIFY t TEXT CHARACTER SET latin1",
    );
    stage.world.mysql.run("INSERT INTO orders VALUES (2, 10, 20, 'y')");
    let table = format!("table {}.orders", stage.world.database);
    stage.stops_in_the_binlog(engine, &[&table, "ALTER TABLE orders RENAME COLUMN", "binlog_row_metadata = FULL"]);

    stage.begin_again();
    let engine = stage.load();
    stage.finish(engine);
    stage.assert_ids(&["1", "2"]);
}

/// Half of the budget is the most that one row may take.
#[test]
fn rows_beyond_the_budget_stop() {
    let Some(servers) = Servers::from_env() else { return };
    let mut stage = Stage::new("beyond", &servers, "t LONGTEXT");
    let insert = |id: u32| format!("INSERT INTO orders VALUES ({id}, REPEAT('x', 33 << 20))");
    let retry = stage.task.more.clone();
    let with_memory = |memory: &str| format!("{retry}\nmemory: {memory}");
    let (small, enough) = (with_memory("64MiB"), with_memory("512MiB"));
    stage.task.sink = sink_of_large_messages(&servers.kafka);
    stage.world.mysql.run(insert(1));
    let table = format!("table {}.orders", stage.world.database);
    stage.task.more.clone_from(&small);
    failed(Tidegate::run(&stage.task), &["full load", &table, "Raise `memory`"]);
    stage.task.more.clone_from(&enough);
    stage.load().terminate(libc::SIGTERM);

    stage.world.mysql.run("INSERT INTO orders VALUES (2, 'short')");
    stage.world.mysql.run(insert(3));
    stage.task.more = small;
    let engine = Tidegate::run(&stage.task);
    stage.stops_in_the_binlog(engine, &["packet", "Raise `memory`"]);
    stage.task.more = enough;
    let engine = Tidegate::run(&stage.task);
    stage.finish(engine);
    stage.assert_ids(&["1", "2", "3"]);
}
