//! The server is the judge: it carries statements out, and what we make of them is compared with its catalogue.

mod random;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::binlog::{BinlogDecoder, Fault, Flow, MarkOptions, Schemas, TableMap, WindowOptions};
use crate::catalog::{Selection, read_tables};
use crate::connection;
use crate::ddl::{Effect, Words};
use crate::history::Here;
use crate::test_server;
use crate::wire::{ConnectOptions, Connection, DumpRequest, DumpStart, Packet};
use tidegate_model::{Coordinate, Position, Statement};

/// Definitions as statements make them.
#[derive(Default)]
struct Tables {
    by_name: BTreeMap<TableName, Result<Definition, NotUnderstood>>,
    databases: BTreeMap<String, TextDefault>,
}

impl Tables {
    fn apply(&mut self, sql: &str, database: &str, session: &Session) {
        let words = Words::of(sql, database, session);
        let ddl = words.ddl();
        if let Ok(Some((name, text, is_conditional))) = ddl.as_ref().map(Ddl::database)
            && !(is_conditional && self.databases.contains_key(name))
        {
            self.databases.insert(name.to_owned(), text.clone());
            for (_, definition) in self.by_name.iter_mut().filter(|(table, _)| &*table.database == name) {
                if let Ok(definition) = definition {
                    definition.set_database_text(text.clone());
                }
            }
        }
        for effect in words.effects() {
            match effect {
                Effect::Created { table, if_not_exists, .. } => {
                    if if_not_exists && self.by_name.contains_key(&table) {
                        continue;
                    }
                    let text = self.databases.get(&*table.database).cloned().unwrap_or_default();
                    let like = ddl.as_ref().ok().and_then(Ddl::like).and_then(|like| self.by_name.get(like));
                    let like = like.and_then(|like| like.as_ref().ok());
                    let made = ddl.clone().and_then(|ddl| ddl.created(text, like));
                    self.by_name.insert(table, made);
                }
                Effect::Altered { table, .. } | Effect::Indexed { table, .. } => {
                    let before = self.by_name.remove(&table).unwrap_or_else(|| panic!("{sql}"));
                    let after = before.and_then(|before| ddl.clone()?.altered(&before));
                    self.by_name.insert(table, after);
                }
                Effect::Renamed { from, to, .. } => {
                    let mut definition = self.by_name.remove(&from).unwrap_or_else(|| panic!("{sql}"));
                    if let Ok(definition) = &mut definition {
                        definition.set_database_text(self.databases.get(&*to.database).cloned().unwrap_or_default());
                    }
                    self.by_name.insert(to, definition);
                }
                Effect::Dropped(table) => _ = self.by_name.remove(&table),
                Effect::DroppedDatabase(name) => self.by_name.retain(|table, _| *table.database != *name),
                Effect::Sequence { .. } | Effect::Unlogged { .. } | Effect::Rows => {}
                Effect::Unclear => panic!("{sql}"),
            }
        }
    }
}

/// One definition in a line.
fn drawn(definition: &Definition) -> String {
    let charset = |charset: Option<Charset>| charset.map_or("?", Charset::name);
    let columns = definition.columns.iter().map(|column| {
        let null = if column.nullable { "" } else { " not null" };
        let charset = column.charset.as_deref().map_or(String::new(), |charset| format!(" {charset}"));
        // What the text does not show.
        let labels = column.sql_type.labels().filter(|labels| labels.concat().chars().any(|c| c > '\u{ffff}'));
        let labels = labels.map_or(String::new(), |labels| format!(" {labels:?}"));
        format!("{} {}{charset}{null}{labels}", column.name, column.type_text)
    });
    let mut indexes: Vec<String> = definition
        .indexes
        .iter()
        .map(|index| {
            let part = |part: &IndexPart| {
                let name = part.column.as_deref().unwrap_or("expression");
                // Of a place, the catalogue shows a length that nobody has written.
                let is_place =
                    definition.column(name).is_some_and(|at| definition.columns[at].sql_type == SqlType::Geometry);
                let prefix = part.prefix.filter(|_| !is_place).map_or(String::new(), |prefix| format!("({prefix})"));
                format!("{name}{prefix}")
            };
            let parts: Vec<String> = index.parts.iter().map(part).collect();
            format!("{}{}({})", if index.unique { "unique " } else { "" }, index.name, parts.join(","))
        })
        .collect();
    indexes.sort();
    let table = definition.table(TableName::new("d", "t"), 1);
    let keys: Vec<String> = table.unique_keys().iter().map(|key| format!("{}{:?}", key.name, key.columns)).collect();
    format!(
        "{}\n    {}\n    keys {} charset {} of {}",
        columns.collect::<Vec<_>>().join(", "),
        indexes.join(", "),
        keys.join(" "),
        charset(definition.text.charset),
        charset(definition.database.charset)
    )
}

/// As far as it can be compared. MariaDB cuts an index over what becomes text at the longest that it can have; none of these tells rows
/// apart.
fn drawn_of(definition: &Definition, is_mariadb: bool) -> String {
    let mut definition = definition.clone();
    let cut = definition.indexes.iter_mut().filter(|index| is_mariadb && !index.unique);
    cut.flat_map(|index| &mut index.parts).for_each(|part| part.prefix = None);
    drawn(&definition)
}

/// A collation that is another on the server; what nobody has told is none.
fn wrong_collation(ours: &Definition, theirs: &Definition) -> Option<String> {
    let columns = ours.columns.iter().zip(&theirs.columns);
    let mut told = columns.filter_map(|(ours, theirs)| Some((&ours.name, ours.collation.as_ref()?, &theirs.collation)));
    // Older servers call utf8mb3 otherwise.
    let today = |name: &str| name.strip_prefix("utf8_").map_or(name.to_owned(), |rest| format!("utf8mb3_{rest}"));
    let wrong = told.find(|(_, ours, theirs)| theirs.as_deref().map(today) != Some(today(ours)));
    wrong.map(|(column, ours, theirs)| format!("{column} has {theirs:?} on the server, {ours} here"))
}

/// An engine that is another on the server; of a table whose statement names none, nobody has told.
fn wrong_engine(ours: &Definition, theirs: &Definition) -> Option<String> {
    let (ours, theirs) = (ours.engine.as_deref()?, theirs.engine.as_deref());
    let is_same = theirs.is_some_and(|theirs| theirs.eq_ignore_ascii_case(ours));
    (!is_same).then(|| format!("it has the engine {theirs:?} on the server, {ours} here"))
}

/// What the server's catalogue says of all tables of these databases.
fn catalogue(options: &ConnectOptions, is_ours: &(dyn Fn(&str) -> bool + Sync)) -> BTreeMap<TableName, Definition> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut control = connection::connect(options).await.unwrap();
        let matches = |database: &str, _: &str| is_ours(database);
        let tables =
            read_tables(&mut control, &Selection { matches: Some(&matches), ..Selection::named(&[]) }).await.unwrap();
        tables.iter().map(|found| (found.table.name().clone(), Definition::of(&found.table))).collect()
    })
}

/// Follows the statements of a binlog.
#[derive(Clone)]
struct Follower {
    tables: Arc<Mutex<Tables>>,
    /// Of the names of its databases: others change theirs at the same time.
    prefix: String,
    /// For servers that do not write it.
    explicit_timestamps: bool,
}

impl Schemas for Follower {
    fn table(&mut self, _: &TableMap<'_>, _: Here<'_>) -> Result<Option<Arc<Table>>, Fault> {
        Ok(None)
    }

    fn statement(
        &mut self,
        database: &str,
        sql: &str,
        session: &Session,
        _: Here<'_>,
    ) -> Result<Option<Statement>, Fault> {
        if database.starts_with(&self.prefix) || sql.contains(&self.prefix) {
            let explicit_timestamps = session.explicit_timestamps.or(Some(self.explicit_timestamps));
            let session = Session { explicit_timestamps, ..session.clone() };
            self.tables.lock().unwrap().apply(sql, database, &session);
        }
        Ok(None)
    }
}

fn text(connection: &mut Connection, sql: &str, column: usize) -> String {
    let results = connection.query(sql).unwrap();
    String::from_utf8(results[0].rows[0][column].clone().unwrap()).unwrap()
}

fn position(connection: &mut Connection) -> Position {
    let sql = ["SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"].into_iter().find(|sql| connection.query(sql).is_ok());
    let sql = sql.unwrap();
    let coordinate = Coordinate::new(text(connection, sql, 0), text(connection, sql, 1).parse().unwrap());
    let gtids = match connection.is_mariadb() {
        true => text(connection, "SELECT @@gtid_binlog_pos", 0),
        false => text(connection, sql, 4),
    };
    Position::new(coordinate, Some(gtids.parse().unwrap()))
}

/// What the statements in the binlog make of tables, from there to its end.
fn followed(options: &ConnectOptions, start: &Position, databases: &[(String, Charset)]) -> Tables {
    let mut packets = Connection::connect(options).unwrap();
    let explicit_timestamps = text(&mut packets, "SELECT @@explicit_defaults_for_timestamp", 0) == "1";
    let prefix = databases[0].0.clone();
    let follower = Follower { tables: Arc::default(), prefix, explicit_timestamps };
    follower.tables.lock().unwrap().databases.extend(
        databases
            .iter()
            .map(|(name, charset)| (name.clone(), TextDefault { charset: Some(*charset), collation: None })),
    );
    let windows = WindowOptions { rows: 1000, bytes: 1 << 20, marks: MarkOptions::default() };
    let mut decoder = BinlogDecoder::new(start.clone(), Box::new(follower.clone()), windows);
    let gtids = start.gtids.as_ref().unwrap();
    let request = DumpRequest {
        server_id: 910_000_000 + std::process::id() % 1_000_000,
        start: match packets.is_mariadb() {
            true => DumpStart::Domains(gtids.to_string()),
            false => DumpStart::Gtids(gtids.encode()),
        },
        heartbeat: Duration::from_secs(5),
        non_blocking: true,
    };
    let mut packets = packets.binlog_dump(&request).unwrap();
    loop {
        match packets.next(Duration::from_secs(30)).unwrap() {
            Packet::Event(event) => {
                let mut flow = decoder.feed(event).unwrap_or_else(|error| panic!("{error}"));
                while flow == Flow::WindowFull {
                    decoder.take_window().unwrap();
                    flow = decoder.resume(event).unwrap();
                }
            }
            Packet::Idle => panic!("the server has gone quiet"),
            Packet::End => break,
        }
    }
    drop(decoder);
    Arc::into_inner(follower.tables).unwrap().into_inner().unwrap()
}

const CORPUS: &str = include_str!("corpus.txt");
const SESSIONS: usize = 4;

/// What one of the sessions runs, with the lines in which it stands.
fn statements(session: usize, server: &Server, is_old: bool, database: &str, other: &str) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    let mut base = None;
    for (number, line) in (1..).zip(CORPUS.lines()) {
        let is_of_mysql_5 = is_old && !server.is_mariadb;
        let is_for_others = (is_old && line.starts_with("9 "))
            || (!server.is_mariadb && line.starts_with("M "))
            || (!is_of_mysql_5 && line.starts_with("5 "));
        if line.is_empty() || line.starts_with('#') || is_for_others {
            continue;
        }
        if let Some(statement) = line.strip_prefix("! ") {
            out.push((number, statement.to_owned()));
        } else if let Some(statement) = line.strip_prefix('=') {
            base = Some(statement.trim()).filter(|statement| !statement.is_empty());
        } else if number % SESSIONS == session {
            let statements = ["? ", "9 ", "M ", "5 "].iter().fold(line, |line, mark| line.trim_start_matches(mark));
            for statement in base.into_iter().chain(statements.split(" ;; ")) {
                let statement = statement
                    .replace("%t", &format!("c{number}"))
                    .replace("%u", &format!("o{number}"))
                    .replace("%d", database)
                    .replace("%e", other)
                    .replace('¶', "\n");
                out.push((number, statement));
            }
        }
    }
    out
}

/// Runs the corpus; how many of its statements were carried out, and refused.
///
/// `is_old` leaves out what the catalogue of an old server does not show as it is, and allows for what is not understood of it.
fn judged_by(options: &ConnectOptions, is_old: bool) -> (u32, Vec<String>) {
    let id = std::process::id();
    let (database, other) = (format!("ddl_{id}"), format!("ddl_{id}_other"));
    let mut connection = Connection::connect(options).unwrap();
    let start = position(&mut connection);
    let server = Server::of(&text(&mut connection, "SELECT VERSION()", 0));
    println!("{server:?}");
    connection.query(&format!("CREATE DATABASE {database} CHARSET utf8mb4")).unwrap();
    connection.query(&format!("CREATE DATABASE {other} CHARSET latin1")).unwrap();
    // Several sessions: each runs all that is for the session, and its part of the cases.
    let outcome = Mutex::new((0, Vec::new()));
    std::thread::scope(|scope| {
        for session in 0..SESSIONS {
            let (database, other, server, outcome) = (&database, &other, &server, &outcome);
            scope.spawn(move || {
                let mut connection = Connection::connect(options).unwrap();
                connection.query("SET NAMES utf8mb4").unwrap();
                connection.query(&format!("USE {database}")).unwrap();
                for (number, statement) in statements(session, server, is_old, database, other) {
                    match connection.query(&statement) {
                        Ok(_) => outcome.lock().unwrap().0 += 1,
                        Err(error) => outcome.lock().unwrap().1.push(format!("{number}: {error}: {statement}")),
                    }
                }
            });
        }
    });
    let (done, refused) = outcome.into_inner().unwrap();
    let case_of = |number: &str| {
        let number: usize = number.parse().unwrap_or(0);
        CORPUS.lines().nth(number.saturating_sub(1)).unwrap_or_default()
    };
    let databases = [(database.clone(), Charset::Utf8mb4), (other, Charset::Latin1)];
    let tables = followed(options, &start, &databases);
    let expected = catalogue(options, &|name| name.starts_with(&database));
    let mut wrong = Vec::new();
    let mut not_understood = 0;
    let drawn = |definition: &Definition| drawn_of(definition, server.is_mariadb);
    for (name, expected) in &expected {
        if let Some(Ok(definition)) = tables.by_name.get(name)
            && drawn(definition) == drawn(expected)
            && let Some(difference) =
                wrong_collation(definition, expected).or_else(|| wrong_engine(definition, expected))
        {
            wrong.push(format!("{name}: {difference}"));
        }
        let expected = drawn(expected);
        if is_old && expected.contains("('','')") {
            // Labels of UCS-2 and the like.
            continue;
        }
        let found = match tables.by_name.get(name) {
            Some(Ok(definition)) => drawn(definition),
            Some(Err(error)) => error.to_string(),
            None => "nothing".to_owned(),
        };
        if found != expected {
            let number = name.table.trim_start_matches(|c: char| !c.is_ascii_digit());
            let number = number.split('_').next().unwrap();
            let case = case_of(number);
            if matches!(tables.by_name.get(name), Some(Err(_))) && (is_old || case.starts_with("? ")) {
                not_understood += 1;
                continue;
            }
            wrong.push(format!("{name}: {case}\n  server {expected}\n  we     {found}"));
        }
    }
    for database in connection.query(&format!("SHOW DATABASES LIKE '{database}%'")).unwrap()[0].rows.iter() {
        let name = String::from_utf8(database[0].clone().unwrap()).unwrap();
        connection.query(&format!("DROP DATABASE `{name}`")).unwrap();
    }
    assert!(wrong.is_empty(), "{} of {} tables are others\n{}", wrong.len(), expected.len(), wrong.join("\n"));
    println!(
        "{done} statements, {} tables, {} refused, {not_understood} not understood",
        expected.len(),
        refused.len()
    );
    assert!(not_understood <= 18, "{not_understood}");
    (done, refused)
}

#[test]
fn definitions_are_those_of_the_server() {
    let Some(options) = test_server::options("TIDEGATE_TEST_MYSQL") else { return };
    let (done, refused) = judged_by(&options, false);
    assert!(done >= 1300 && refused.len() <= 40, "{done} done, {} refused:\n{}", refused.len(), refused.join("\n"));
}

#[test]
fn definitions_are_those_of_mariadb() {
    for name in ["TIDEGATE_TEST_MARIADB", "TIDEGATE_TEST_MARIADB_11"] {
        let Some(options) = test_server::options(name) else { return };
        let (done, refused) = judged_by(&options, true);
        assert!(done >= 800, "{done} done, {} refused:\n{}", refused.len(), refused.join("\n"));
    }
}

/// As far as it knows them.
#[test]
fn definitions_are_those_of_the_oldest_server() {
    let Some(options) = test_server::options("TIDEGATE_TEST_MYSQL_56") else { return };
    let (done, refused) = judged_by(&options, true);
    assert!(done >= 800, "{done} done, {} refused:\n{}", refused.len(), refused.join("\n"));
}
