//! What is known of a table, where it is known from, and what a restart makes of it.

use std::sync::{Arc, Mutex};

use super::*;
use crate::definition::Server;
use tidegate_model::{Delivered, Gtid, GtidSet, Index, IndexPart, pretty};

const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

/// As `pretty` draws it; columns are NOT NULL but for those with a `?`.
fn parts(header: &str, version: u32) -> TableParts {
    let mut parts = TableParts::from(Table::clone(&pretty::table(&header.replace('?', ""))));
    parts.version = version;
    for (column, drawn) in parts.columns.iter_mut().zip(header.split_whitespace()) {
        column.nullable = drawn.ends_with('?');
    }
    parts
}

fn session() -> Session {
    Session::of_version(90_704)
}

fn at(offset: u64) -> Coordinate {
    Coordinate::new("binlog.000001", offset)
}

fn name() -> TableName {
    TableName::new("db", "t")
}

fn gtid(number: u64) -> Gtid {
    serde_json::from_str(&format!("\"{UUID}:{number}\"")).unwrap()
}

/// Transactions 1 to `last`.
fn gtids(last: u64) -> GtidSet {
    if last == 0 { GtidSet::default() } else { format!("{UUID}:1-{last}").parse().unwrap() }
}

fn known(parts: TableParts, shown_until: Option<Watermark>) -> SchemaState {
    SchemaState::Known { parts, groundwork: None, shown_until, is_used: false }
}

fn changed(by: &str, last_version: u32) -> SchemaState {
    SchemaState::Changed { by: by.into(), at: None, last_version, kept: None, defined: None }
}

fn unique(name: &str, columns: &[usize]) -> UniqueKey {
    UniqueKey { name: name.into(), columns: columns.to_vec() }
}

fn fits(_: &Table) -> Result<(), String> {
    Ok(())
}

/// The schemas of a checkpoint, a history that moves along and records there, and the place that it has reached.
struct Task {
    schemas: Arc<Mutex<Vec<StoredSchema>>>,
    rules: Rules,
    captured: fn(&str, &str) -> bool,
    history: History,
    position: Position,
}

fn whole_database(database: &str, _: &str) -> bool {
    database == "db"
}

impl Task {
    /// Begins at `position` with what the catalogue shows.
    fn begin(position: Position, catalogue: SchemaState) -> Task {
        Task::with_rules(position, catalogue, RULES)
    }

    fn with_rules(position: Position, catalogue: SchemaState, rules: Rules) -> Task {
        let stored = StoredSchema { table: name(), since: position.coordinate.clone(), gtid: None, state: catalogue };
        let schemas = Arc::new(Mutex::new(vec![stored]));
        let history = Task::history(&schemas, &position, rules, whole_database);
        Task { schemas, rules, captured: whole_database, history, position }
    }

    fn capturing(self, captured: fn(&str, &str) -> bool) -> Task {
        let history = Task::history(&self.schemas, &self.position, self.rules, captured);
        Task { captured, history, ..self }
    }

    fn history(
        schemas: &Arc<Mutex<Vec<StoredSchema>>>,
        position: &Position,
        rules: Rules,
        captured: fn(&str, &str) -> bool,
    ) -> History {
        let recorder = schemas.clone();
        let record = Box::new(move |entry| super::record(&mut recorder.lock().unwrap(), entry));
        History::new(&schemas.lock().unwrap().clone(), position, Box::new(captured), rules, record)
    }

    /// Goes on from another position, by what is in the checkpoint.
    fn restart(&mut self, position: Position) {
        let mut schemas = self.schemas.lock().unwrap();
        // As it comes back from the disk.
        *schemas = serde_json::from_str(&serde_json::to_string(&*schemas).unwrap()).unwrap();
        prune(&mut schemas, &position, |_| false);
        drop(schemas);
        self.history = Task::history(&self.schemas, &position, self.rules, self.captured);
        self.position = position;
    }

    /// The same position, on a connection that begins at the start of this file.
    fn reconnect(&mut self, file: &str) {
        self.restart(Position { coordinate: Coordinate::new(file, 4), ..self.position.clone() });
    }

    /// The next transaction, or on a server without GTIDs the next event, 100 bytes further.
    fn step<T>(&mut self, event: impl FnOnce(&mut History, Here<'_>) -> T) -> T {
        let at = self.position.coordinate.clone();
        let number = self.position.gtids.as_ref().map(|set| (1..).find(|&n| !set.contains(&gtid(n))).unwrap());
        let gtid = number.map(gtid);
        let result = event(&mut self.history, Here { at: &at, gtid: gtid.as_ref() });
        self.position.coordinate = Coordinate::new(at.file.clone(), at.offset + 100);
        if let (Some(set), Some(gtid)) = (&mut self.position.gtids, &gtid) {
            set.insert(gtid);
        }
        result
    }

    fn statement(&mut self, sql: &str) -> Result<Option<Statement>, HistoryError> {
        self.step(|history, here| history.statement("db", sql, &session(), here))
    }

    /// Rows with metadata MINIMAL: the version by which they are read.
    fn rows(&mut self) -> Result<u32, HistoryError> {
        self.step(|history, here| Ok(history.resolve(&name(), None, fits, here)?.expect("captured").version()))
    }

    /// The same: version and columns.
    fn names(&mut self) -> Result<String, HistoryError> {
        let table = self.step(|history, here| history.resolve(&name(), None, fits, here))?.expect("captured");
        let names = table.columns().iter().map(|column| column.name.as_str());
        Ok(format!("{} {}", table.version(), names.collect::<Vec<_>>().join(" ")))
    }

    /// Rows with metadata FULL.
    fn described_rows(&mut self, described: TableParts) -> Arc<Table> {
        let same = described.clone();
        let fits = move |table: &Table| {
            let has_names = table.columns().iter().map(|c| &c.name).eq(same.columns.iter().map(|c| &c.name));
            let primary = same.unique_keys.first().map(|key| key.columns.as_slice());
            let has_key = table.primary_key().is_none_or(|key| primary.is_none_or(|primary| primary == key));
            if has_names && has_key { Ok(()) } else { Err("other names, or another key".to_owned()) }
        };
        self.step(|history, here| history.resolve(&name(), Some(described), fits, here).unwrap().unwrap())
    }

    fn entries(&self) -> usize {
        self.schemas.lock().unwrap().len()
    }
}

fn with_gtids(coordinate: Coordinate, last: u64) -> Position {
    Position::new(coordinate, Some(gtids(last)))
}

fn without_gtids(offset: u64) -> Position {
    Position::new(at(offset), None)
}

fn simple() -> Task {
    Task::begin(without_gtids(4), known(parts("id:int", 1), None))
}

#[test]
fn a_table_that_has_not_changed_keeps_its_version() {
    let mut task = simple();
    assert_eq!(task.rows().unwrap(), 1);
    assert_eq!(task.described_rows(parts("id:int", 0)).version(), 1);
    task.statement("CREATE TABLE IF NOT EXISTS t (x INT)").unwrap();
    assert_eq!(task.rows().unwrap(), 1);
    assert_eq!(task.entries(), 1);
}

#[test]
fn after_a_ddl_names_are_needed() {
    let mut task = simple();
    task.statement("ALTER TABLE t ADD name TEXT").unwrap();
    let error = task.rows().unwrap_err();
    assert_eq!(
        error.to_string(),
        "columns of table db.t are unknown since binlog.000001:4, where `ALTER TABLE t ADD name TEXT` changed them"
    );
    let table = task.described_rows(parts("id:int name:text", 0));
    assert_eq!((table.version(), table.columns().len()), (2, 2));
    assert_eq!(task.entries(), 3);
}

#[test]
fn a_map_that_does_not_fit_stops_unless_it_has_names() {
    let mut task = simple();
    let wider = |table: &Table| (table.columns().len() == 2).then_some(()).ok_or("2 columns, not 1".to_owned());
    let error = task.step(|history, here| history.resolve(&name(), None, wider, here).unwrap_err());
    assert!(matches!(error, HistoryError::Columns { fault: ColumnsFault::Mismatch { .. }, .. }), "{error}");
    let described = Some(parts("id:int name:text", 0));
    let table = task.step(|history, here| history.resolve(&name(), described, wider, here).unwrap().unwrap());
    assert_eq!(table.version(), 2);
}

#[test]
fn tables_that_are_not_captured_are_nobodys_business() {
    let mut task = simple();
    let other = TableName::new("other", "t");
    assert!(task.step(|history, here| history.resolve(&other, None, fits, here).unwrap().is_none()));
    task.step(|history, here| history.statement("other", "ALTER TABLE t ADD x INT", &session(), here).unwrap());
    assert!(task.rows().is_ok());
}

#[test]
fn a_statement_that_the_catalogue_shows_already_changes_nothing_unless_rows_came_before_it() {
    let watermarks = [Watermark::Coordinate(at(204)), Watermark::Gtids(gtids(7))];
    for (start, shown_until) in [without_gtids(4), with_gtids(at(4), 5)].into_iter().zip(watermarks) {
        let begin = || Task::begin(start.clone(), known(parts("id:int", 1), Some(shown_until.clone())));
        let alter = "ALTER TABLE t ADD x INT";

        let mut untouched = begin();
        assert_eq!(untouched.statement(alter).unwrap(), None);
        assert_eq!(untouched.rows().unwrap(), 1);

        let mut later = begin();
        later.statement("ALTER TABLE other.t ADD x INT").unwrap();
        later.statement("ALTER TABLE other.t ADD x INT").unwrap();
        later.statement(alter).unwrap().unwrap();
        assert_eq!(later.rows().unwrap(), 2);

        let mut decoded_before = begin();
        assert_eq!(decoded_before.rows().unwrap(), 1);
        let error = decoded_before.statement(alter).unwrap_err();
        assert!(matches!(error, HistoryError::RowsBefore { .. }), "{error}");

        // What was decoded before a restart counts too; where nothing was, nothing does.
        let mut decoded_before = begin();
        assert_eq!(decoded_before.rows().unwrap(), 1);
        decoded_before.restart(decoded_before.position.clone());
        let error = decoded_before.statement(alter).unwrap_err();
        assert!(matches!(error, HistoryError::RowsBefore { .. }), "{error}");
        let mut begun_in_between = begin();
        begun_in_between.statement("ALTER TABLE other.t ADD x INT").unwrap();
        begun_in_between.restart(begun_in_between.position.clone());
        assert_eq!(begun_in_between.statement(alter).unwrap(), None);
        assert_eq!(begun_in_between.rows().unwrap(), 1);
    }
}

#[test]
fn rows_before_a_statement_that_is_ahead_are_not_read_by_what_the_catalogue_shows() {
    let watermarks = [Watermark::Coordinate(at(404)), Watermark::Gtids(gtids(9))];
    for (start, shown_until) in [without_gtids(4), with_gtids(at(4), 5)].into_iter().zip(watermarks) {
        let begin = || {
            let mut task = Task::begin(start.clone(), known(parts("id:int", 1), Some(shown_until.clone())));
            let ahead = [(at(104), "ALTER TABLE t ADD x INT".to_owned()), (at(204), "ALTER TABLE t DROP x".to_owned())];
            let overtaken = Overtaken::from([(name(), VecDeque::from(ahead))]);
            task.history = task.history.with_overtaken(overtaken);
            task
        };
        let mut task = begin();
        let error = task.rows().unwrap_err().to_string();
        let words = "columns of table db.t are unknown before `ALTER TABLE t ADD x INT` at binlog.000001:104";
        assert!(error.starts_with(words), "{error}");
        assert_eq!(task.statement("ALTER TABLE t ADD x INT").unwrap(), None);
        let error = task.rows().unwrap_err().to_string();
        assert!(error.contains("before `ALTER TABLE t DROP x`"), "{error}");
        assert_eq!(task.statement("ALTER TABLE t DROP x").unwrap(), None);
        assert_eq!(task.rows().unwrap(), 1);
        // Table maps that describe their table need nobody.
        assert_eq!(begin().described_rows(parts("id:int", 0)).version(), 1);
    }
}

/// Behind what the catalogue has shown, an index makes an entry that holds behind its statement, and not before.
#[test]
fn an_index_behind_the_catalogue_is_met_again() {
    let mut parts = parts("id:int", 1);
    parts.unique_keys = vec![unique("uk", &[0])];
    let mut task = Task::begin(without_gtids(4), known(parts, Some(Watermark::Coordinate(at(104)))));
    assert_eq!(task.rows().unwrap(), 1);
    let before = task.position.clone();
    task.statement("DROP INDEX uk ON t").unwrap().unwrap();
    assert!(
        task.schemas
            .lock()
            .unwrap()
            .iter()
            .any(|entry| entry.since == before.coordinate && !entry.is_in_force(&before))
    );
    task.restart(before);
    task.statement("DROP INDEX uk ON t").unwrap().unwrap();
    assert_eq!(task.rows().unwrap(), 2);
}

#[test]
fn statements_before_the_catalogues_moment_had_their_tables_for_themselves() {
    let shown_until = Watermark::Coordinate(at(204));
    let mut task = Task::begin(without_gtids(4), known(parts("id:int", 1), Some(shown_until.clone())));
    let excluded = |history: &History, sql: &str, offset| {
        let here = Here { at: &at(offset), gtid: None };
        history.excluded(&Words::of(sql, "db", &session()), here)
    };
    assert_eq!(task.history.foreseen_until(), [shown_until]);
    assert_eq!(excluded(&task.history, "ALTER TABLE t ADD x INT", 104), [name()]);
    assert_eq!(excluded(&task.history, "DROP DATABASE db", 104), [name()]);
    assert_eq!(excluded(&task.history, "ALTER TABLE t ADD x INT", 204), [], "behind the catalogue");
    assert_eq!(task.rows().unwrap(), 1);
    assert_eq!(excluded(&task.history, "ALTER TABLE t ADD x INT", 104), [], "rows were read by it");
}

/// What a catalogue showed is dated by transactions: a server with other files knows which.
#[test]
fn what_the_catalogue_shows_is_known_after_a_failover() {
    let shown_until = Some(Watermark::Gtids(gtids(6)));
    let mut task =
        Task::begin(with_gtids(Coordinate::new("binlog.000050", 4), 5), known(parts("id:int", 1), shown_until));
    task.reconnect("relay.000900");
    assert_eq!(task.statement("ALTER TABLE t ADD x INT").unwrap(), None);
    assert_eq!(task.rows().unwrap(), 1);
    // This one is news, although the new server's files have lower numbers than the old one's.
    task.reconnect("relay.000002");
    task.statement("ALTER TABLE t ADD y TEXT").unwrap().unwrap();
    assert!(matches!(task.rows(), Err(HistoryError::Columns { fault: ColumnsFault::Changed { .. }, .. })));
}

/// What people say is at one transaction: before it and behind it, statements and table maps have the word.
#[test]
fn columns_that_are_given_hold_where_nobody_else_knows() {
    for start in [without_gtids(4), with_gtids(at(4), 5)] {
        let mut task = Task::begin(start, known(parts("id:int", 1), None));
        assert_eq!(task.rows().unwrap(), 1);
        task.statement("ALTER TABLE t ADD x TEXT").unwrap();
        let stopped = task.position.clone();
        let Err(HistoryError::Columns { table, at, gtid, .. }) = task.rows() else { panic!("the columns are known") };
        let groundwork = Groundwork {
            charset: None,
            database_charset: None,
            collation: None,
            database_collation: None,
            indexes: None,
            engine: None,
        };
        let given = Table::from(parts("id:int x:int", 1)).with_groundwork(groundwork);
        let state = SchemaState::Given { defined: Defined::of(&given).unwrap() };
        // On the server that the task has by then, the same transaction stands in another file; without GTIDs there is no other.
        let since = if gtid.is_some() { Coordinate::new("relay.000900", 1) } else { at };
        record(&mut task.schemas.lock().unwrap(), StoredSchema { table, since, gtid, state });
        for _ in 0..2 {
            task.restart(stopped.clone());
            assert_eq!(task.names().unwrap(), "2 id x");
            task.statement("ALTER TABLE t ADD y INT FIRST").unwrap();
            assert_eq!(task.names().unwrap(), "3 y id x");
        }
        // Behind it, it is needed no more, and says nothing of what comes.
        task.restart(task.position.clone());
        assert_eq!(task.entries(), 1);
        task.statement("ALTER TABLE t ADD z TEXT").unwrap();
        assert!(matches!(task.rows(), Err(HistoryError::Columns { fault: ColumnsFault::Changed { .. }, .. })));
    }
}

#[test]
fn a_restart_between_a_statement_and_the_next_row_remembers_the_statement() {
    for start in [without_gtids(4), with_gtids(at(4), 5)] {
        // Understood, or not: nobody has told the table's character set.
        let mut task = Task::begin(start.clone(), known(parts("id:int", 1), None));
        assert_eq!(task.rows().unwrap(), 1);
        task.statement("ALTER TABLE t ADD x INT FIRST").unwrap();
        task.restart(task.position.clone());
        assert_eq!(task.names().unwrap(), "2 x id");
        task.restart(task.position.clone());
        assert_eq!(task.names().unwrap(), "2 x id");
        assert_eq!(task.entries(), 1);

        let mut task = Task::begin(start, known(parts("id:int", 1), None));
        assert_eq!(task.rows().unwrap(), 1);
        task.statement("ALTER TABLE t ADD x TEXT").unwrap();
        task.restart(task.position.clone());
        assert!(matches!(task.rows(), Err(HistoryError::Columns { fault: ColumnsFault::Changed { .. }, .. })));

        let mut again = task;
        again.restart(again.position.clone());
        assert_eq!(again.described_rows(parts("id:int x:text", 0)).version(), 2);
        again.restart(again.position.clone());
        assert_eq!(again.rows().unwrap(), 2);
        // Only what holds here is left.
        assert_eq!(again.entries(), 1);
    }
}

/// A reconnect by GTIDs begins at the start of a file, where by its coordinate an older version would be in force.
#[test]
fn a_reconnect_at_the_start_of_a_file_keeps_the_version() {
    let mut task = Task::begin(with_gtids(at(4), 5), known(parts("id:int a:int b:int", 1), None));
    assert_eq!(task.rows().unwrap(), 1);
    task.statement("ALTER TABLE t MODIFY b INT FIRST").unwrap();
    task.reconnect("binlog.000001");
    assert_eq!(task.names().unwrap(), "2 b id a", "shifted columns");
    let mut described = parts("b:int id:int a:int", 0);
    described.unique_keys = vec![unique("PRIMARY", &[1])];
    assert_eq!(task.described_rows(described).version(), 2);
    task.reconnect("binlog.000001");
    let table = task.step(|history, here| history.resolve(&name(), None, fits, here).unwrap().unwrap());
    assert_eq!((table.version(), table.columns()[0].name.as_str()), (2, "b"));
}

#[test]
fn a_failover_to_lower_file_numbers_keeps_the_version_and_refuses_nothing() {
    let start = with_gtids(Coordinate::new("binlog.000777", 4), 5);
    let mut task = Task::begin(start, known(parts("id:int", 1), Some(Watermark::Gtids(gtids(5)))));
    assert_eq!(task.rows().unwrap(), 1);
    task.statement("ALTER TABLE t ADD x INT").unwrap();
    assert_eq!(task.described_rows(parts("id:int x:int", 0)).version(), 2);
    task.reconnect("other.000003");
    assert_eq!(task.rows().unwrap(), 2);
    task.statement("ALTER TABLE t ADD y TEXT").unwrap().unwrap();
    assert!(matches!(task.rows(), Err(HistoryError::Columns { fault: ColumnsFault::Changed { .. }, .. })));
    task.reconnect("third.000001");
    assert!(matches!(task.rows(), Err(HistoryError::Columns { fault: ColumnsFault::Changed { .. }, .. })));
    assert_eq!(task.described_rows(parts("id:int x:int y:text", 0)).version(), 3);
    task.reconnect("third.000001");
    assert_eq!(task.rows().unwrap(), 3);
}

/// Whoever reads the same transactions again, also from another server, finds the same versions and adds no entries.
#[test]
fn what_is_read_again_is_the_same() {
    let mut task = Task::begin(with_gtids(at(1000), 5), known(parts("id:int", 1), None));
    let read = |task: &mut Task| {
        assert_eq!(task.described_rows(parts("id:int", 0)).version(), 1);
        task.statement("ALTER TABLE t ADD x INT").unwrap();
        assert_eq!(task.described_rows(parts("id:int x:int", 0)).version(), 2);
        task.entries()
    };
    let start = task.position.clone();
    let entries = read(&mut task);
    task.restart(Position { coordinate: Coordinate::new("other.000001", 4), ..start });
    assert_eq!(read(&mut task), entries);
}

#[test]
fn checkpoints_of_older_versions_still_load() {
    let since = r#""since":{"file":"binlog.000001","offset":4}"#;
    let table = r#""table":{"database":"db","table":"t"}"#;
    let parts = serde_json::to_string(&parts("id:int", 1)).unwrap();
    let shown = r#"{"file":"binlog.000001","offset":300}"#;
    let text = format!(
        r#"[{{{table},{since},"state":{{"known":{{"parts":{parts},"shown_until":{shown}}}}}}},
            {{{table},{since},"state":{{"changed":{{"by":"ALTER TABLE t","last_version":1,"last":{parts}}}}}}}]"#
    );
    let stored: Vec<StoredSchema> = serde_json::from_str(&text).unwrap();
    let expected = Some(Watermark::Coordinate(at(300)));
    assert!(
        matches!(&stored[0].state, SchemaState::Known { shown_until, is_used: true, .. } if *shown_until == expected)
    );
    assert_eq!(stored[1].state, changed("ALTER TABLE t", 1));
    // With GTIDs, a coordinate may be another server's: what may have changed is unknown.
    let position = with_gtids(Coordinate::new("other.000001", 4), 5);
    let history =
        |stored: &[StoredSchema]| History::new(stored, &position, Box::new(|_, _| true), RULES, Box::new(|_| ()));
    let place = at(100);
    let here = Here { at: &place, gtid: Some(&gtid(6)) };
    let error = history(&stored).resolve(&name(), None, fits, here).unwrap_err();
    assert!(matches!(error, HistoryError::Columns { fault: ColumnsFault::Changed { .. }, .. }), "{error}");
    let mut first = history(&stored[..1]);
    assert!(first.statement("db", "ALTER TABLE t ADD x INT", &session(), here).unwrap().is_some());
}

#[test]
fn a_restart_begins_with_the_version_of_its_position() {
    let entry = |offset, state| StoredSchema { table: name(), since: at(offset), gtid: None, state };
    let mut stored = vec![
        entry(4, known(parts("id:int", 1), None)),
        entry(300, changed("ALTER TABLE t", 1)),
        entry(400, known(parts("id:int name:text", 2), None)),
    ];
    let version = |stored: &[StoredSchema], offset| {
        let position = without_gtids(offset);
        let mut history = History::new(stored, &position, Box::new(|_, _| true), RULES, Box::new(|_| ()));
        let here = Here { at: &position.coordinate, gtid: None };
        history.resolve(&name(), None, fits, here).ok().flatten().map(|table| table.version())
    };
    assert_eq!(version(&stored, 200), Some(1));
    assert_eq!(version(&stored, 350), None);
    // The map stands there, and tells it again.
    assert_eq!(version(&stored, 400), None);
    assert_eq!(version(&stored, 450), Some(2));
    prune(&mut stored, &without_gtids(350), |_| false);
    assert_eq!(stored.len(), 2);
    prune(&mut stored, &without_gtids(500), |_| false);
    assert_eq!(stored.len(), 1);
}

// ---- statements that nobody sees through ----------------------------------------------------------------------------

#[test]
fn what_may_change_rows_by_itself_stops() {
    let mut task = simple();
    for (sql, words) in [
        (
            "DELETE FROM t WHERE id = 7",
            "`DELETE FROM t WHERE id` may have changed rows of table db.t in statement format",
        ),
        ("UPDATE v SET x = 1", "`UPDATE v SET x` may have changed rows of captured tables in statement format"),
        ("SELECT `other`.`f`(1)", "`SELECT other.f` may have changed rows of captured tables"),
        ("DO f()", "`DO f` may have changed"),
        ("CREATE TABLE other.b SELECT * FROM t", "may have changed rows of table db.t"),
    ] {
        let error = task.statement(sql).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.hint().contains("binlog_format = ROW"));
    }
    for sql in ["GRANT SELECT ON db.* TO u", "FLUSH PRIVILEGES", "DROP TEMPORARY TABLE t", "DELETE FROM `other`.`m`"] {
        assert_eq!(task.statement(sql).unwrap(), None, "{sql}");
    }
    // The signs of life that servers of RDS write into tables of their own, in statement format.
    for sql in [
        "/* rds internal mark */ CREATE TABLE IF NOT EXISTS mysql.ha_health_check (id BIGINT DEFAULT 0, type CHAR(1) DEFAULT '0', PRIMARY KEY (type)) ENGINE = InnoDB",
        "INSERT INTO mysql.ha_health_check(id, type) VALUES (1618, '0') ON DUPLICATE KEY UPDATE id = 1618",
        "/* rds internal mark */ UPDATE mysql.ha_health_check SET id='1618' WHERE type='1'",
        "REPLACE INTO mysql.ha_health_check(id, type) VALUES ('1618', 'a')",
        "DELETE FROM `mysql`.`ha_health_check` WHERE type = 'x'",
        "INSERT INTO mysql.rds_heartbeat2(id, value) values (1,1618000000000) ON DUPLICATE KEY UPDATE value = 1618000000000",
    ] {
        assert_eq!(task.statement(sql).unwrap(), None, "{sql}");
    }
    assert!(task.rows().is_ok());
}

/// The views of a full load show what happened before; if rows came before it, they would be sent behind the load.
#[test]
fn what_the_catalogue_has_shown_may_have_changed_rows() {
    let begin = || Task::begin(without_gtids(4), known(parts("id:int", 1), Some(Watermark::Coordinate(at(500)))));
    let mut task = begin();
    assert_eq!(task.statement("UPDATE t SET id = 1").unwrap(), None);
    let mut task = begin();
    task.rows().unwrap();
    assert!(matches!(task.statement("UPDATE t SET id = 1"), Err(HistoryError::StatementFormat { .. })));
}

/// Somebody who knows better names one place, and the next statement stops all the same. What the statement does besides is
/// done.
#[test]
fn a_statement_in_statement_format_is_passed_over_by_its_place() {
    let mut task = Task::begin(without_gtids(4), known(parts("id:int", 1), None));
    task.history = task.history.passing(&[at(4), at(204)]);
    assert_eq!(task.statement("UPDATE t SET id = 1").unwrap(), None);
    assert!(matches!(task.statement("UPDATE t SET id = 1"), Err(HistoryError::StatementFormat { .. })));
    assert_eq!(task.statement("CREATE TABLE t SELECT 1 AS id").unwrap().unwrap().tables, [name()]);
    // Read again because rows before it wait for an XA COMMIT, it was passed over before.
    let delivered = Delivered { until: at(104), gtid: None, events: 0, gtids: None };
    let mut task =
        Task::begin(Position { delivered: Some(delivered), ..without_gtids(4) }, known(parts("id:int", 1), None));
    assert_eq!(task.statement("UPDATE t SET id = 1").unwrap(), None);
    assert!(matches!(task.statement("UPDATE t SET id = 1"), Err(HistoryError::StatementFormat { .. })));
}

/// What the server says of a MEMORY table that it has found empty is a user's statement where the table is none.
#[test]
fn a_delete_of_all_rows_is_the_servers_own_of_memory_tables_alone() {
    for (is_in_memory, sql, stops) in [
        (true, "DELETE FROM `db`.`t`", false),
        (false, "DELETE FROM `db`.`t`", true),
        (false, "TRUNCATE TABLE `db`.`t`", false),
        (false, "DELETE FROM `other`.`m`", false),
    ] {
        let mut task = Task::begin(with_gtids(at(4), 5), whole());
        task.history = task.history.with_tables_that_empty_themselves(move |_| Ok(is_in_memory));
        let result = task.statement(sql);
        assert_eq!(matches!(result, Err(HistoryError::StatementFormat { .. })), stops, "{sql}: {result:?}");
        // Nobody knows what it was there.
        let hint = result.err().map(|error| error.hint()).unwrap_or_default();
        assert_eq!(hint.contains("of the engine MEMORY there"), stops, "{hint}");
    }
}

/// The present catalogue has another table, or none, by the time that the statement is read.
#[test]
fn whether_a_table_is_of_memory_is_known_where_its_statements_tell() {
    let is_known: serde_json::Result<Groundwork> =
        serde_json::from_str(r#"{"charset":null,"database_charset":null,"indexes":null}"#);
    assert_eq!(is_known.unwrap().is_in_memory(), None);
    for (statements, stops) in [
        (&["ALTER TABLE t ENGINE = MEMORY"][..], false),
        (&["ALTER TABLE t ROW_FORMAT = FIXED ENGINE HEAP, ADD z INT"], false),
        (&["ALTER TABLE t ADD z INT, ENGINE 'memory'", "ALTER TABLE t DROP z"], false),
        (&["ALTER TABLE t ENGINE = MEMORY", "ALTER TABLE t ENGINE = InnoDB"], true),
        (&["ALTER TABLE t ENGINE = MEMORY", "RENAME TABLE t TO other.t", "RENAME TABLE other.t TO t"], false),
        (&["ALTER TABLE t ENGINE = MEMORY", "CREATE TABLE u LIKE t", "DROP TABLE t", "RENAME TABLE u TO t"], false),
        (&["DROP TABLE t", "CREATE TABLE t (id INT PRIMARY KEY) COMMENT = 'ENGINE = InnoDB' ENGINE = MEMORY"], false),
        (&["DROP TABLE t", "CREATE TABLE t (id INT PRIMARY KEY) ENGINE=InnoDB COMMENT='ENGINE=MEMORY'"], true),
    ] {
        let mut task = Task::begin(with_gtids(at(4), 5), whole());
        for statement in statements {
            task.statement(statement).unwrap();
            task.restart(task.position.clone());
        }
        task.history = task.history.with_tables_that_empty_themselves(|table| panic!("{table} is known"));
        let result = task.statement("DELETE FROM `db`.`t`");
        assert_eq!(matches!(result, Err(HistoryError::StatementFormat { .. })), stops, "{statements:?}: {result:?}");
        let hint = result.err().map(|error| error.hint()).unwrap_or_default();
        assert!(!hint.contains("MEMORY"), "{hint}");
    }
}

/// Without GTIDs, nothing need stand between a position and a statement, and entries are stored before the position is: it comes again.
#[test]
fn a_position_right_before_a_statement_is_before_it() {
    for position in [without_gtids(4), with_gtids(at(4), 5)] {
        let mut task = Task::begin(position.clone(), whole());
        for _ in 0..3 {
            task.restart(position.clone());
            task.statement("ALTER TABLE t CHANGE x y TEXT, CHANGE y x INT").unwrap();
        }
        assert_eq!(task.names().unwrap(), "2 id y x");
    }
}

// ---- rows without row events ----------------------------------------------------------------------------------------

#[test]
fn rows_that_move_without_row_events_stop_a_task_that_wants_it() {
    let stop = Rules { unlogged_rows: UnloggedRowsPolicy::Stop, ..RULES };
    for (sql, consequence) in [
        ("TRUNCATE t", Some("all rows that it had")),
        ("DELETE FROM `db`.`t`", Some("all rows that it had")),
        ("DROP TABLE other.t, t", Some("rows of the dropped table")),
        ("DROP DATABASE db", Some("rows of the dropped table")),
        ("CREATE OR REPLACE TABLE t (x INT)", Some("table that was replaced")),
        ("ALTER TABLE t DROP PARTITION p", Some("rows of the partition")),
        ("ALTER TABLE other.t EXCHANGE PARTITION p WITH TABLE db.t", Some("lacks those that were moved here")),
        ("ALTER TABLE t DISCARD TABLESPACE", Some("discarded tablespace")),
        ("ALTER TABLE t IMPORT TABLESPACE", Some("lacks the rows of the imported tablespace")),
        ("ALTER IGNORE TABLE t ADD UNIQUE (x)", Some("dropped as duplicates")),
        ("RENAME TABLE t TO other.t", Some("have another table's name now")),
        ("RENAME TABLE other.t TO new", Some("had another table's name until now")),
        ("ALTER TABLE other.t RENAME db.new", Some("had another table's name until now")),
        ("TRUNCATE other.t", None),
        ("DROP TABLE IF EXISTS never_seen", None),
        ("CREATE TABLE new (x INT)", None),
        ("ALTER TABLE t ADD PARTITION (PARTITION p VALUES LESS THAN (3))", None),
        ("DROP TRIGGER t", None),
    ] {
        let catalogue = known(parts("id:int", 1), None);
        let mut task = Task::with_rules(with_gtids(at(4), 5), catalogue.clone(), stop);
        let before = task.position.clone();
        match (task.statement(sql), consequence) {
            (Err(error @ HistoryError::UnloggedRows { .. }), Some(words)) => {
                assert!(error.to_string().contains(words), "{sql}: {error}");
                assert!(error.hint().contains("full load"));
            }
            (Ok(_), None) => continue,
            (result, _) => panic!("{sql}: {result:?}"),
        }
        // Nothing of it has happened: the next start stops there too.
        assert_eq!(task.entries(), 1, "{sql}");
        task.restart(before.clone());
        assert!(matches!(task.statement(sql), Err(HistoryError::UnloggedRows { .. })), "{sql}");
        // Whoever is told to go on does.
        task.rules = RULES;
        task.restart(before);
        assert!(task.statement(sql).unwrap().is_some(), "{sql}");
    }
}

#[test]
fn rows_that_went_before_the_catalogue_was_read_are_no_news() {
    let stop = Rules { unlogged_rows: UnloggedRowsPolicy::Stop, ..RULES };
    let shown = known(parts("id:int", 1), Some(Watermark::Gtids(gtids(9))));
    let mut task = Task::with_rules(with_gtids(at(4), 5), shown.clone(), stop);
    assert_eq!(task.statement("TRUNCATE t").unwrap(), None);
    let mut task = Task::with_rules(with_gtids(at(4), 5), shown, stop);
    task.rows().unwrap();
    assert!(task.statement("TRUNCATE t").is_err());
}

// ---- names ----------------------------------------------------------------------------------------------------------

#[test]
fn names_are_compared_as_the_server_does() {
    let rules = |names| Rules { names, ..RULES };
    let alter = "ALTER TABLE DB.T MODIFY id INT FIRST";
    let catalogue = known(parts("id:int", 1), None);
    let begin = |names| Task::with_rules(without_gtids(4), catalogue.clone(), rules(names));

    let mut exact = begin(NameCase::Exact);
    assert_eq!(exact.statement(alter).unwrap(), None);
    assert!(exact.rows().is_ok());

    for names in [NameCase::Folded, NameCase::Unknown] {
        let mut folded = begin(names);
        let statement = folded.statement(alter).unwrap().unwrap();
        assert_eq!(statement.tables, [name()], "{names:?}");
        assert_eq!(folded.rows().unwrap(), 2, "{names:?}");
        assert!(folded.statement("RENAME TABLE T TO U").unwrap().unwrap().tables.contains(&name()), "{names:?}");
        let mut folded = begin(names);
        assert_eq!(folded.statement("DROP DATABASE Db").unwrap().unwrap().tables, [name()], "{names:?}");
    }
    // A new table has the name that the server gives it.
    let mut folded = begin(NameCase::Folded);
    let statement = folded.statement("CREATE TABLE New (id INT)").unwrap().unwrap();
    assert_eq!(statement.tables, [TableName::new("db", "new")]);

    // The catalogue has the name as it was written, table maps have it folded.
    let stored =
        [StoredSchema { table: TableName::new("db", "Orders"), since: at(4), gtid: None, state: catalogue.clone() }];
    let captured = |_: &str, table: &str| table == "Orders";
    let position = without_gtids(4);
    let mut history = History::new(&stored, &position, Box::new(captured), rules(NameCase::Folded), Box::new(|_| ()));
    let here = Here { at: &position.coordinate, gtid: None };
    assert!(history.resolve(&TableName::new("db", "orders"), None, fits, here).unwrap().is_some());
    let statement = history.statement("db", "TRUNCATE ORDERS", &session(), here).unwrap().unwrap();
    assert_eq!(statement.tables, [TableName::new("db", "Orders")]);
}

// ---- what no table map says -----------------------------------------------------------------------------------------

/// What is inherited after `statement` by a table with a unique key and a display width, also by a restart behind it.
fn after(
    statement: &str,
    before: &[UniqueKey],
    described: &str,
    primary: Option<&[usize]>,
) -> (Vec<UniqueKey>, String) {
    let mut first = parts("id:int x:int y:int", 1);
    first.columns[0].type_text = "int(6) unsigned zerofill".into();
    first.unique_keys = before.to_vec();
    let mut described = parts(described, 0);
    described.columns[0].type_text = "int unsigned".into();
    described.unique_keys = primary.map(|columns| unique("PRIMARY", columns)).into_iter().collect();
    let [found, restarted] = [false, true].map(|restarts| {
        let mut task = Task::begin(with_gtids(at(4), 5), known(first.clone(), None));
        task.history.pass.push(at(4));
        task.statement(statement).unwrap();
        if restarts {
            task.restart(task.position.clone());
        }
        let table = task.described_rows(described.clone());
        (table.unique_keys().to_vec(), table.columns()[0].type_text.clone())
    });
    assert_eq!(found, restarted, "{statement}");
    found
}

#[test]
fn what_a_statement_leaves_alone_is_inherited() {
    let (primary, by_x) = (unique("PRIMARY", &[0]), unique("by_x", &[1]));
    let width = "int(6) unsigned zerofill".to_owned();
    let keys = [primary.clone(), by_x.clone()];
    let whole = "id:int x:int y:int";
    let (found, text) = after("ALTER TABLE t ADD z INT", &keys, "id:int x:int y:int z:int", Some(&[0]));
    assert_eq!((found, text), (keys.to_vec(), width.clone()));
    // The first of the described columns is another one.
    let (found, _) = after("ALTER TABLE t ADD z INT FIRST", &keys, "z:int id:int x:int y:int", Some(&[1]));
    assert_eq!(found, [unique("PRIMARY", &[1]), unique("by_x", &[2])]);
    for (statement, text) in [
        ("ALTER TABLE t DROP INDEX by_x", &*width),
        ("ALTER TABLE t DROP COLUMN x, ADD x INT AFTER id", &width),
        ("ALTER TABLE t SOMETHING NEW", "int unsigned"),
        ("DROP TABLE t", "int unsigned"),
        ("CREATE TABLE t (id INT)", "int unsigned"),
        ("RENAME TABLE t TO other.s, other.t TO t", "int unsigned"),
    ] {
        let (found, found_text) = after(statement, &keys, whole, Some(&[0]));
        assert_eq!((found, &*found_text), (vec![primary.clone()], text), "{statement}");
    }
    let (found, text) = after("ALTER TABLE t MODIFY id INT UNSIGNED NOT NULL", &keys, whole, Some(&[0]));
    assert_eq!((found, &*text), (keys.to_vec(), "int unsigned"));
    // NULL is in no key.
    let (found, _) = after("ALTER TABLE t MODIFY x INT NULL", &keys, "id:int x:int? y:int", Some(&[0]));
    assert_eq!(found, vec![primary]);
    let (found, _) =
        after("ALTER TABLE t RENAME COLUMN x TO y, RENAME COLUMN y TO x", &keys, "id:int y:int x:int", Some(&[0]));
    assert_eq!(found, keys);
}

#[test]
fn a_unique_key_does_not_become_the_primary_one() {
    let whole = "id:int x:int y:int";
    let (primary, by_x) = (unique("PRIMARY", &[0]), unique("by_x", &[1]));
    let only_x = vec![by_x.clone()];
    let keys_after =
        |statement, before: &[UniqueKey], primary: &[usize]| after(statement, before, whole, Some(primary)).0;
    assert_eq!(keys_after("ALTER TABLE t COMMENT 'c'", &only_x, &[1]), only_x);
    assert_eq!(keys_after("ALTER TABLE t ADD PRIMARY KEY (id)", &only_x, &[0]), [primary.clone(), by_x.clone()]);
    assert_eq!(keys_after("ALTER TABLE t ADD PRIMARY KEY (x)", &only_x, &[1]), [unique("PRIMARY", &[1]), by_x.clone()]);
    // Not understood, what the map calls primary is so, even if another unique key is on the same columns.
    let unknown = "ALTER TABLE t ADD PRIMARY KEY (x), ALTER x SET DEFAULT 1, ENGINE_ATTRIBUTE='}', SOMETHING NEW";
    assert_eq!(keys_after(unknown, &only_x, &[1]), [unique("PRIMARY", &[1])]);
    assert_eq!(keys_after("ALTER TABLE t DROP PRIMARY KEY", &[primary.clone(), by_x], &[1]), only_x);
    assert_eq!(keys_after("ALTER TABLE t COMMENT 'c'", &[primary], &[1]), [unique("PRIMARY", &[1])]);
}

/// DROP INDEX changes no column, so that rows go on; but the key is gone, with any metadata and over restarts.
#[test]
fn an_index_that_is_dropped_is_no_key_any_more() {
    let mut first = parts("id:int x:int", 1);
    first.unique_keys = vec![unique("by_x", &[1])];
    let mut task = Task::begin(with_gtids(at(4), 5), known(first, None));
    task.statement("CREATE INDEX other ON t (id)").unwrap().unwrap();
    assert_eq!(task.rows().unwrap(), 1);
    task.statement("DROP INDEX `BY_X` ON t").unwrap().unwrap();
    for _ in 0..2 {
        let table = task.step(|history, here| history.resolve(&name(), None, fits, here).unwrap().unwrap());
        assert_eq!((table.version(), table.unique_keys()), (2, &[][..]));
        task.restart(task.position.clone());
    }
    task.statement("ALTER TABLE t COMMENT 'c'").unwrap();
    task.statement("DROP INDEX by_x ON t").unwrap().unwrap();
    assert_eq!(task.names().unwrap(), "3 id x");
}

/// A table that gets another's rows by its name gets its keys with them.
#[test]
fn a_renamed_table_keeps_what_is_known_of_it() {
    let mut first = parts("id:int x:int", 3);
    first.unique_keys = vec![unique("PRIMARY", &[0]), unique("by_x", &[1])];
    let mut task = Task::begin(with_gtids(at(4), 5), known(first, None));
    task.statement("ALTER TABLE t DROP INDEX by_x, RENAME TO u, ADD z INT").unwrap();
    let mut described = parts("id:int x:int z:int", 0);
    described.unique_keys = vec![unique("PRIMARY", &[0])];
    let u = TableName::new("db", "u");
    let table = task.step(|history, here| history.resolve(&u, Some(described), fits, here).unwrap().unwrap());
    assert_eq!((table.name(), table.version(), table.unique_keys()), (&u, 1, &[unique("PRIMARY", &[0])][..]));
}

/// Nobody knows what an unseen statement touched.
#[test]
fn a_definition_that_changed_without_a_statement_inherits_nothing() {
    let mut first = parts("id:int x:int", 1);
    first.columns[0].type_text = "int(6) zerofill".into();
    first.unique_keys = vec![unique("PRIMARY", &[0]), unique("by_x", &[1])];
    let mut task = Task::begin(with_gtids(at(4), 5), known(first, None));
    let mut described = parts("id:int y:int", 0);
    described.columns[0].type_text = "int".into();
    described.unique_keys = vec![unique("PRIMARY", &[0])];
    let table = task.described_rows(described);
    assert_eq!((table.version(), table.unique_keys()), (2, &[unique("PRIMARY", &[0])][..]));
    assert_eq!(table.columns()[0].type_text, "int");
}

// ---- tables that come and go ----------------------------------------------------------------------------------------

/// What statements on tables of which nothing is known ask of the load.
#[test]
fn rows_that_nobody_has_seen_are_asked_for() {
    let begin = || {
        let captured: Captured = Box::new(|database, _| database == "db");
        let history = History::new(&[], &without_gtids(4), captured, RULES, Box::new(|_| ()));
        let judge: Judge = Box::new(|_, rows, _| match rows {
            UnloggedRows::Unseen => Moved::Turn(Turn::Load),
            _ => Moved::NotLoaded,
        });
        history.with_judge(judge)
    };
    let place = at(100);
    let here = Here { at: &place, gtid: None };
    let asked = |history: &mut History, sql: &str| match history.statement("db", sql, &session(), here) {
        Err(HistoryError::Turn { table, turn: Turn::Load, .. }) => Some(table.table.to_string()),
        other => other.map(|_| None).unwrap(),
    };
    for (sql, table) in [
        ("ALTER TABLE t ADD x INT", Some("t")),
        ("TRUNCATE t", Some("t")),
        ("ALTER TABLE t IMPORT TABLESPACE", Some("t")),
        ("RENAME TABLE other.t TO t", Some("t")),
        ("RENAME TABLE other.t TO db.u, u TO t", Some("u")),
        ("CREATE TABLE IF NOT EXISTS t (id INT)", None),
        ("CREATE TABLE t (id INT)", None),
        ("CREATE TABLE t LIKE u", None),
        ("DROP TABLE t", None),
        ("RENAME TABLE t TO other.t", None),
    ] {
        assert_eq!(asked(&mut begin(), sql).as_deref(), table, "{sql}");
    }
    // Rows of a table whose CREATE TABLE was seen are all there; but somebody has to say what its columns are.
    let described = || Some(parts("id:int", 1));
    let rows = |history: &mut History, described| match history.resolve(&name(), described, fits, here) {
        Err(HistoryError::Turn { turn: Turn::Load | Turn::LoadMade, .. }) => true,
        other => other.map(|_| false).unwrap(),
    };
    assert!(rows(&mut begin(), described()) && rows(&mut begin(), None));
    let mut may_have_been = begin();
    assert_eq!(asked(&mut may_have_been, "CREATE TABLE IF NOT EXISTS t (id INT)"), None);
    assert!(rows(&mut may_have_been, described()));
    let mut made = begin();
    assert_eq!(asked(&mut made, "CREATE TABLE t (id INT)"), None);
    assert!(!rows(&mut made, None), "its columns are those of the statement");
    let mut made = begin();
    assert_eq!(asked(&mut made, "CREATE TABLE t (id TEXT)"), None);
    assert!(rows(&mut made, None) && !rows(&mut made, described()) && !rows(&mut made, None));
    // A table that takes the name of a known one, or gives it: the task says what then.
    assert_eq!(asked(&mut made, "RENAME TABLE t TO u"), None);
    assert_eq!(asked(&mut made, "RENAME TABLE u TO other.y, other.x TO u"), None);
    // Once it is gone, its name is anybody's.
    assert!(rows(&mut made, described()));
    assert_eq!(asked(&mut made, "RENAME TABLE other.x TO t").as_deref(), Some("t"));
}

/// A table that is gone leaves nothing behind once its end is passed, unless the load still has it.
#[test]
fn a_table_that_is_gone_is_forgotten() {
    for position in [without_gtids(4), with_gtids(at(4), 0)] {
        let before = position.clone();
        let mut task = Task::begin(position, known(parts("id:int", 1), None));
        task.rows().unwrap();
        task.statement("DROP TABLE t").unwrap().unwrap();
        let mut stored = task.schemas.lock().unwrap().clone();
        assert!(prune(&mut stored, &before, |_| false).is_empty());
        assert_eq!(stored.len(), 2, "the rows before it are still to come");
        assert!(prune(&mut stored.clone(), &task.position, |_| true).is_empty());
        assert_eq!(prune(&mut stored, &task.position, |_| false), [name()]);
        assert!(stored.is_empty());
        // Made again before anybody looks, it stays.
        task.statement("CREATE TABLE t (id INT)").unwrap().unwrap();
        let mut stored = task.schemas.lock().unwrap().clone();
        assert!(prune(&mut stored, &task.position, |_| false).is_empty());
        assert_eq!(stored.len(), 1);
        assert_eq!(task.names().unwrap(), "1 id");
        // Statements on what was never there are no news that a checkpoint needs.
        let entries = task.entries();
        task.statement("DROP TABLE IF EXISTS u").unwrap();
        assert_eq!(task.entries(), entries);
    }
}

// ---- what statements say --------------------------------------------------------------------------------------------

/// A table of which everything is known.
fn whole() -> SchemaState {
    let mut parts = parts("id:int x:text y:int?", 1);
    parts.unique_keys = vec![unique("PRIMARY", &[0])];
    let index = |name: &str, unique, column: &str| Index {
        name: name.to_owned(),
        unique,
        parts: vec![IndexPart { column: Some(column.to_owned()), prefix: None }],
        for_foreign_key: Some(false),
    };
    let groundwork = Groundwork {
        charset: Some("latin1".to_owned()),
        database_charset: Some("utf8mb4".to_owned()),
        collation: None,
        database_collation: None,
        indexes: Some(vec![index("PRIMARY", true, "id"), index("by_y", true, "y")]),
        engine: None,
    };
    SchemaState::known(&Table::from(parts).with_groundwork(groundwork), None, false)
}

/// What a table is after these statements, with a restart behind each: name and type of each column, then the keys.
fn stated(statements: &[&str]) -> String {
    stated_of(Task::begin(with_gtids(at(4), 5), whole()), statements)
}

fn stated_of(mut task: Task, statements: &[&str]) -> String {
    for statement in statements {
        task.statement(statement).unwrap();
        task.restart(task.position.clone());
    }
    let resolved = task.step(|history, here| history.resolve(&name(), None, fits, here));
    let table = match resolved {
        Ok(table) => table.unwrap(),
        Err(error) => return error.to_string(),
    };
    let columns = table.columns().iter().map(|column| {
        let charset = column.charset.as_deref().map_or(String::new(), |charset| format!(" {charset}"));
        format!("{} {}{charset}", column.name, column.type_text)
    });
    let keys = table.unique_keys().iter().map(|key| format!("{}{:?}", key.name, key.columns));
    columns.chain(keys).collect::<Vec<_>>().join(", ")
}

#[test]
fn what_a_statement_makes_of_a_table_is_known_without_names_in_the_binlog() {
    for (statements, expected) in [
        (&["ALTER TABLE t DROP x, ADD z CHAR(3) FIRST"][..], "z char(3) latin1, id bigint, y bigint, PRIMARY[1]"),
        (&["ALTER TABLE t DROP x, MODIFY y BIGINT NOT NULL"], "id bigint, y bigint, PRIMARY[0], by_y[1]"),
        (
            &["ALTER TABLE t DROP x", "ALTER TABLE t RENAME COLUMN y TO z", "ALTER TABLE t FORCE"],
            "id bigint, z bigint, PRIMARY[0]",
        ),
        (
            &["ALTER TABLE t DROP x", "CREATE UNIQUE INDEX z ON t (id)", "DROP INDEX `PRIMARY` ON t"],
            "id bigint, y bigint, z[0]",
        ),
        (&["CREATE UNIQUE INDEX z ON t (id)", "ALTER TABLE t DROP x"], "id bigint, y bigint, PRIMARY[0], z[0]"),
        (&["RENAME TABLE t TO u", "ALTER TABLE u DROP x, RENAME TO t"], "id bigint, y bigint, PRIMARY[0]"),
        (&["RENAME TABLE t TO other.s, other.s TO t", "ALTER TABLE t DROP x"], "id bigint, y bigint, PRIMARY[0]"),
        (
            &["CREATE TABLE u LIKE t", "DROP TABLE t", "RENAME TABLE u TO t", "ALTER TABLE t DROP x"],
            "id bigint, y bigint, PRIMARY[0]",
        ),
        (&["DROP TABLE t", "CREATE TABLE t (a INT, b TEXT CHARSET gbk)"], "a int, b text gbk"),
        (&["CREATE TABLE u (a CHAR(3))", "DROP TABLE t", "RENAME TABLE u TO t"], "a char(3) utf8mb4"),
        (
            &["ALTER DATABASE db CHARSET gbk", "CREATE TABLE u (a CHAR(3))", "DROP TABLE t", "RENAME TABLE u TO t"],
            "a char(3) gbk",
        ),
        (
            &["ALTER TABLE t ADD PERIOD FOR SYSTEM_TIME (x, y)", "ALTER TABLE t DROP x"],
            "columns of table db.t are unknown since binlog.000001:4, where `ALTER TABLE t ADD PERIOD FOR SYSTEM_TIME` changed them",
        ),
    ] {
        assert_eq!(stated(statements), expected, "{statements:?}");
    }
}

#[test]
fn a_table_that_is_not_selected_may_take_the_place_of_one_that_is() {
    let unknown = "columns of table db.t are unknown since binlog.000001:4, where `RENAME TABLE";
    for (statements, expected) in [
        (
            &[
                "CREATE /* gh-ost */ TABLE `db`.`_t_gho` LIKE `db`.`t`",
                "ALTER /* gh-ost */ TABLE `db`.`_t_gho` DROP x, ADD z CHAR(3) FIRST",
                "RENAME /* gh-ost */ TABLE `db`.`t` TO `db`.`_t_del`, `db`.`_t_gho` TO `db`.`t`",
            ][..],
            "z char(3) latin1, id bigint, y bigint, PRIMARY[1]",
        ),
        (
            &[
                "CREATE TABLE `db`.`_t_new` (id BIGINT NOT NULL PRIMARY KEY, y BIGINT) DEFAULT CHARSET=latin1",
                "ALTER TABLE `db`.`_t_new` ADD UNIQUE u (id)",
                "CREATE INDEX i ON _t_new (y)",
                "RENAME TABLE `db`.`t` TO `db`.`_t_old`, `db`.`_t_new` TO `db`.`t`",
                "DROP TABLE IF EXISTS _t_old",
            ],
            "id bigint, y bigint, PRIMARY[0], u[0]",
        ),
        (
            &["RENAME TABLE t TO u", "ALTER TABLE u DROP x, RENAME TO other.v", "RENAME TABLE other.v TO t"],
            "id bigint, y bigint, PRIMARY[0]",
        ),
        // What is not certain is not known.
        (&["CREATE TABLE IF NOT EXISTS u LIKE t", "RENAME TABLE t TO v, u TO t"], unknown),
        (&["CREATE TABLE u LIKE w", "RENAME TABLE t TO v, u TO t"], unknown),
        (&["CREATE TABLE other.u LIKE t", "RENAME TABLE t TO v, other.u TO t"], unknown),
        (&["CREATE TABLE u LIKE t", "ALTER TABLE u SOMETHING NEW", "RENAME TABLE t TO v, u TO t"], unknown),
        (&["CREATE TABLE u LIKE t", "DROP TABLE u", "RENAME TABLE t TO v, u TO t"], unknown),
        (&["CREATE TABLE u LIKE t", "RENAME TABLE u TO w", "RENAME TABLE t TO v, u TO t"], unknown),
        (&["CREATE TABLE u LIKE t", "ALTER DATABASE db CHARSET gbk", "RENAME TABLE t TO v, u TO t"], unknown),
        (&["CREATE TABLE other.u LIKE t", "DROP DATABASE other", "RENAME TABLE t TO v, other.u TO t"], unknown),
    ] {
        let task =
            Task::begin(with_gtids(at(4), 5), whole()).capturing(|database, table| (database, table) == ("db", "t"));
        let stated = stated_of(task, statements);
        assert!(
            stated == expected || expected == unknown && stated.starts_with("columns of table db.t are unknown"),
            "{stated} {statements:?}"
        );
    }
    // A restart before the statement that made it meets it again; a task that has come to select it knows nothing of it.
    let mut task = Task::begin(with_gtids(at(4), 5), whole()).capturing(|_, table| table == "t");
    let before = task.position.clone();
    task.statement("CREATE TABLE u LIKE t").unwrap();
    assert!(task.history.bystanders.get(&TableName::new("db", "u")).is_some());
    task.restart(before);
    assert!(task.history.bystanders.get(&TableName::new("db", "u")).is_none());
    task.statement("CREATE TABLE u LIKE t").unwrap();
    let made = task.position.clone();
    task.statement("ALTER TABLE u DROP x").unwrap();
    task.restart(made);
    let columns = |task: &Task| {
        task.history.bystanders.get(&TableName::new("db", "u")).map(|known| known.table(name(), 1).columns().len())
    };
    assert_eq!(columns(&task), Some(3), "as it was between the two");
    let mut task = task.capturing(whole_database);
    let of_u = |history: &mut History, here: Here<'_>| history.resolve(&TableName::new("db", "u"), None, fits, here);
    assert!(matches!(task.step(of_u), Err(HistoryError::Columns { fault: ColumnsFault::Unknown, .. })));
}

#[test]
fn so_many_tables_are_followed_beside_those_that_are_selected() {
    let mut task = Task::begin(with_gtids(at(4), 5), whole()).capturing(|_, table| table == "t");
    for number in 0..bystanders::COUNT_MAX + 1 {
        task.statement(&format!("CREATE TABLE u{number} LIKE t")).unwrap();
    }
    let is_known = |number: usize| task.history.bystanders.get(&TableName::new("db", &format!("u{number}"))).is_some();
    assert!(!is_known(0) && is_known(1) && is_known(bystanders::COUNT_MAX));
}

/// What the catalogue shows of a later time is not what a statement before it was carried out on.
#[test]
fn what_a_table_will_be_is_no_source_of_another() {
    let SchemaState::Known { parts, groundwork, .. } = whole() else { unreachable!() };
    for statement in ["CREATE TABLE u LIKE t", "RENAME TABLE t TO u"] {
        let shown_until = Some(Watermark::Coordinate(at(1000)));
        let state =
            SchemaState::Known { parts: parts.clone(), groundwork: groundwork.clone(), shown_until, is_used: false };
        let mut task = Task::begin(without_gtids(4), state);
        task.statement(statement).unwrap();
        let of_u =
            |history: &mut History, here: Here<'_>| history.resolve(&TableName::new("db", "u"), None, fits, here);
        assert!(
            matches!(task.step(of_u), Err(HistoryError::Columns { fault: ColumnsFault::Changed { .. }, .. })),
            "{statement}"
        );
        assert_eq!(task.names().unwrap(), "1 id x y");
    }
}

#[test]
fn a_database_that_was_dropped_is_made_anew() {
    let expected = "a char(3) latin2";
    for statements in [
        &["DROP DATABASE db", "CREATE DATABASE IF NOT EXISTS db CHARSET latin2", "CREATE TABLE t (a CHAR(3))"][..],
        &["CREATE DATABASE IF NOT EXISTS db CHARSET latin2", "DROP TABLE t", "CREATE TABLE t (a CHAR(3))"],
    ] {
        let is_dropped = statements[0].starts_with("DROP");
        assert_eq!(stated(statements) == expected, is_dropped, "{statements:?}");
    }
}

/// A statement that is not understood stops where it names a table that may have been changed. Whoever passes over it says nothing of columns.
#[test]
fn what_is_unclear_stops_and_leaves_columns_unknown() {
    for sql in [
        "ALTER TABLE t SOMETHING NEW",
        "RENAME TABLE t TO u SOMETHING NEW",
        "SOMETHING NEW t",
        "ALTER TABLE t COMMENT 'x",
    ] {
        let mut task = Task::begin(with_gtids(at(4), 5), whole());
        let error = task.statement(sql).unwrap_err();
        assert!(matches!(error, HistoryError::Unclear { .. }), "{sql}: {error}");
        assert!(error.to_string().contains("it may have changed columns and rows of table db.t"), "{error}");
        let mut task = Task::begin(with_gtids(at(4), 5), whole());
        task.history.pass.push(at(4));
        task.statement(sql).unwrap();
        assert!(matches!(task.rows(), Err(HistoryError::Columns { fault: ColumnsFault::Changed { .. }, .. })), "{sql}");
        let described = task.described_rows(parts("id:int z:int", 0));
        assert_eq!(described.version(), 2, "{sql}");
    }
    let mut task = simple();
    assert_eq!(task.statement("ALTER TABLE other.t SOMETHING NEW").unwrap(), None);
}

/// MariaDB logs a RENAME of a temporary table, and one with IF EXISTS that had nothing to rename.
#[test]
fn a_rename_onto_a_table_that_is_there_is_none_of_it() {
    let begin = || Task::begin(with_gtids(at(4), 5), whole());
    let mut mariadb = session();
    mariadb.server.is_mariadb = true;
    let rename =
        |history: &mut History, here: Here<'_>| history.statement("db", "RENAME TABLE other.u TO t", &mariadb, here);
    let mut task = begin();
    task.rows().unwrap();
    assert!(matches!(task.step(rename), Err(HistoryError::Unclear { .. })));
    // What is known may come from further on, where a run was killed.
    assert!(begin().step(rename).is_ok());
    for sql in ["RENAME TABLE IF EXISTS u TO t", "RENAME TABLE IF EXISTS other.u TO t"] {
        let mut task = begin();
        assert_eq!(task.statement(sql).unwrap(), None, "{sql}");
        assert_eq!(task.names().unwrap(), "1 id x y");
    }
    let mut task = begin();
    task.statement("RENAME TABLE IF EXISTS t TO other.u, other.v TO u, u TO t").unwrap();
    assert!(matches!(task.names(), Err(HistoryError::Columns { fault: ColumnsFault::Changed { .. }, .. })));
}

/// Who has the names behind it, nobody knows: of what a temporary table went through before, nothing is logged.
#[test]
fn what_mariadb_renames_beside_is_not_known_behind_it() {
    let mut mariadb = session();
    mariadb.server.is_mariadb = true;
    for (statements, is_known) in [
        (
            &["CREATE TABLE u LIKE t", "ALTER TABLE u DROP x", "CREATE TABLE w (a INT)", "RENAME TABLE t TO v, u TO t"]
                [..],
            true,
        ),
        (&["CREATE TABLE u LIKE t", "RENAME TABLE u TO w", "RENAME TABLE t TO v, w TO t"], false),
        (&["CREATE TABLE u LIKE t", "RENAME TABLE w TO u", "RENAME TABLE t TO v, u TO t"], false),
    ] {
        let mut task = Task::begin(with_gtids(at(4), 5), whole()).capturing(|_, table| table == "t");
        for sql in statements {
            task.step(|history, here| history.statement("db", sql, &mariadb, here)).unwrap();
        }
        let resolved = task.step(|history, here| history.resolve(&name(), None, fits, here));
        assert_eq!(resolved.is_ok(), is_known, "{statements:?}");
    }
}

/// A temporary table hides the one of its name from its thread, and changes nothing of it.
#[test]
fn a_statement_on_a_temporary_table_is_none_of_the_one_it_hides() {
    for sql in ["ALTER TABLE t RENAME COLUMN x TO y, RENAME COLUMN y TO x", "TRUNCATE t", "RENAME TABLE t TO u"] {
        let mut task = Task::begin(with_gtids(at(4), 5), whole());
        let session = Session { is_threads_own: true, ..session() };
        assert_eq!(task.step(|history, here| history.statement("db", sql, &session, here)).unwrap(), None);
        assert_eq!(task.names().unwrap(), "1 id x y", "{sql}");
    }
}

/// A table map has the last word, as far as it says anything.
#[test]
fn a_map_that_says_something_else_than_the_statement_stops_or_describes() {
    let differs = |table: &Table| (table.columns().len() == 2).then_some(()).ok_or("3 columns, not 2".to_owned());
    let mut task = Task::begin(with_gtids(at(4), 5), whole());
    task.statement("ALTER TABLE t COMMENT 'c'").unwrap();
    let error = task.step(|history, here| history.resolve(&name(), None, differs, here).unwrap_err());
    assert_eq!(
        error.to_string(),
        "table db.t: since `ALTER TABLE t COMMENT` at binlog.000001:4, by which we take it for other columns: 3 columns, not 2"
    );
    let described = Some(parts("id:int z:int", 0));
    let table = task.step(|history, here| history.resolve(&name(), described, differs, here).unwrap().unwrap());
    assert_eq!((table.version(), table.columns()[1].name.as_str()), (2, "z"));
}

/// Older servers do not log whether such a column may be NULL: the table map says it.
#[test]
fn a_timestamp_may_be_null_as_the_map_says() {
    for nullable in [true, false] {
        let fits = |table: &Table| {
            let added = table.column_index("c").map(|index| table.columns()[index].nullable);
            (added.is_none_or(|found| found == nullable)).then_some(()).ok_or_else(|| "another column".to_owned())
        };
        let mut task = Task::begin(with_gtids(at(4), 5), whole());
        task.statement("ALTER TABLE t ADD c TIMESTAMP, ADD UNIQUE by_c (c)").unwrap();
        let table = task.step(|history, here| history.resolve(&name(), None, fits, here).unwrap().unwrap());
        assert_eq!(table.unique_keys().len(), if nullable { 1 } else { 2 });
    }
}

/// Older checkpoints have it as one that changed, of which nothing was ever forgotten.
#[test]
fn a_table_that_an_older_version_saw_dropped_is_gone() {
    for (by, is_gone) in [("DROP TABLE IF EXISTS t", true), ("DROP DATABASE db", true), ("ALTER TABLE t DROP x", false)]
    {
        let entry = StoredSchema { table: name(), since: at(4), gtid: None, state: changed(by, 3) };
        let stored: StoredSchema = serde_json::from_str(&serde_json::to_string(&entry).unwrap()).unwrap();
        assert_eq!(matches!(stored.state, SchemaState::Gone { last_version: 3 }), is_gone, "{by}");
    }
}

/// Where another table was loaded under this name, and nobody says what the new one's columns are, the load finds them.
#[test]
fn a_table_in_the_place_of_another_is_loaded_if_nobody_says_what_it_is() {
    for (statements, policy, turn) in [
        (
            &["DROP TABLE t", "CREATE TABLE t (a INT) SOMETHING (NEW), AS SELECT 1"][..],
            UnloggedRowsPolicy::Warn,
            Some(Turn::LoadMade),
        ),
        (
            &["DROP TABLE t", "CREATE TABLE t LIKE other.u", "ALTER TABLE t ADD z INT"],
            UnloggedRowsPolicy::Warn,
            Some(Turn::LoadMade),
        ),
        (&["RENAME TABLE t TO other.s, other.t TO t"], UnloggedRowsPolicy::Reload, Some(Turn::Load)),
        (
            &["RENAME TABLE t TO other.s, other.t TO t", "ALTER TABLE t ADD z INT", "ALTER TABLE t FORCE"],
            UnloggedRowsPolicy::Reload,
            Some(Turn::Load),
        ),
        (&["RENAME TABLE t TO other.s, other.t TO t"], UnloggedRowsPolicy::Warn, None),
        (&["ALTER TABLE t ADD PERIOD FOR SYSTEM_TIME (x, y)"], UnloggedRowsPolicy::Reload, None),
    ] {
        let mut task = Task::with_rules(with_gtids(at(4), 5), whole(), Rules { unlogged_rows: policy, ..RULES });
        task.history.pass.extend((0..9).map(|number| at(4 + 100 * number)));
        task.history.judge = Box::new(|_, rows, _| match rows {
            UnloggedRows::Unseen => Moved::Turn(Turn::Load),
            _ => Moved::Covered,
        });
        for statement in statements {
            task.statement(statement).unwrap();
        }
        match (task.rows(), turn) {
            (Err(HistoryError::Turn { turn: found, .. }), Some(turn)) => assert_eq!(found, turn, "{statements:?}"),
            (Err(HistoryError::Columns { fault: ColumnsFault::Changed { .. }, .. }), None) => {}
            (other, _) => panic!("{statements:?}: {other:?}"),
        }
    }
}

/// What a name is, table or sequence, goes by the statements that are read.
#[test]
fn sequences_and_tables_take_each_others_names() {
    let mariadb = Session { server: Server { version: 101_118, is_mariadb: true }, ..Session::default() };
    let captured = |task: &mut Task, name: &str| {
        let name = TableName::new("db", name);
        task.step(|history, here| !matches!(history.resolve(&name, None, fits, here), Ok(None)))
    };
    for start in [without_gtids(4), with_gtids(at(4), 5)] {
        let mut task = Task::begin(start.clone(), known(parts("id:int", 1), None));
        let told = StoredSchema::sequence(&TableName::new("db", "s"), &start.coordinate, true);
        record(&mut task.schemas.lock().unwrap(), told);
        task.restart(start.clone());
        for (statement, tables) in [
            ("CREATE TABLE other.x (id INT)", "t"),
            ("CREATE SEQUENCE IF NOT EXISTS t", "t"),
            ("CREATE SEQUENCE r", "t"),
            ("RENAME TABLE t TO u, s TO t", "u"),
            ("RENAME TABLE u TO s", "s"),
            ("CREATE TABLE IF NOT EXISTS r (id INT)", "s"),
            ("DROP SEQUENCE r", "s"),
            ("CREATE TABLE r (id INT)", "r s"),
            ("CREATE OR REPLACE TABLE t (id INT)", "r s t"),
        ] {
            // It may be met again.
            let before = task.position.clone();
            for _ in 0..2 {
                task.restart(before.clone());
                task.step(|history, here| history.statement("db", statement, &mariadb, here)).unwrap();
            }
            task.restart(task.position.clone());
            let is_table = |name: &&str| captured(&mut task, name) && task.history.knows(&TableName::new("db", name));
            let found: Vec<&str> = ["r", "s", "t", "u"].into_iter().filter(is_table).collect();
            assert_eq!(found.join(" "), tables, "{statement}");
        }
    }
    // Of one that the catalogue shows of a later time, a table may have been there before.
    let mut task = simple();
    let told = StoredSchema::sequence(&TableName::new("db", "s"), &task.position.coordinate, false);
    record(&mut task.schemas.lock().unwrap(), told);
    task.restart(task.position.clone());
    assert!(!captured(&mut task, "s"));
    let before = task.position.clone();
    for statement in ["CREATE TABLE IF NOT EXISTS s (id INT)", "RENAME TABLE other.x TO s", "RENAME TABLE s TO x"] {
        task.restart(before.clone());
        assert!(!captured(&mut task, "s"));
        task.step(|history, here| history.statement("db", statement, &mariadb, here)).unwrap();
        assert!(captured(&mut task, if statement.ends_with('x') { "x" } else { "s" }), "{statement}");
    }
}

#[test]
fn tables_to_which_foreign_keys_may_have_come_are_looked_at() {
    let mut task = Task::begin(with_gtids(at(4), 5), whole()).capturing(|_, table| matches!(table, "t" | "n"));
    let told = Arc::new(Mutex::new(Vec::new()));
    let teller = told.clone();
    let look = move |table: &TableName, _: Here<'_>| teller.lock().unwrap().push(table.to_string());
    let other = Task::begin(with_gtids(at(4), 5), whole()).history;
    task.history = std::mem::replace(&mut task.history, other).looking_for_cascades(look);
    for (statement, expected) in [
        ("ALTER TABLE t ADD CONSTRAINT a FOREIGN KEY (x) REFERENCES p (id) ON DELETE CASCADE", "db.t"),
        ("ALTER TABLE t ADD z INT COMMENT 'REFERENCES', ADD `references` INT", ""),
        ("ALTER TABLE t DROP FOREIGN KEY a", ""),
        ("CREATE TABLE n (id INT PRIMARY KEY, x INT REFERENCES p (id))", "db.n"),
        ("CREATE TABLE IF NOT EXISTS n (id INT PRIMARY KEY, x INT REFERENCES p (id))", "db.n"),
        // Of a table beside them, when it takes the place of one.
        ("CREATE TABLE _t (id INT PRIMARY KEY, x INT, FOREIGN KEY (x) REFERENCES p (id) ON DELETE SET NULL)", ""),
        ("RENAME TABLE t TO t_old, _t TO t", "db.t"),
        ("ALTER TABLE t_old ADD FOREIGN KEY (x) REFERENCES p (id)", ""),
        ("ALTER TABLE n RENAME TO n_old", ""),
        ("RENAME TABLE t TO swap, t_old TO t, swap TO n", "db.t, db.n"),
    ] {
        task.statement(statement).unwrap();
        assert_eq!(std::mem::take(&mut *told.lock().unwrap()).join(", "), expected, "{statement}");
    }
}
