//! All tables of all classes through one task: what came out, for the tests to look at.
//!
//! ```text
//!              values: rows 0, 1, … and one of NULLs          scenes: statements before
//! full load    ──────────────────────────────────────────────────────────────────────────
//!              rows 1000, 1001, … inserted
//!              each updated to the next one's values          scenes: statements after
//!              all deleted
//! changes      ──────────────────────────────────────────────────────────────────────────
//! ```
//!
//! A task starts in a second and reads these tables in another; a test of its own for each class would take minutes for
//! the same proof. So the first test that asks runs the task, and all others look at the same messages. It happens twice,
//! so that whatever may differ between servers of one version differs:
//!
//! | | plain | full |
//! |---|---|---|
//! | `binlog_row_metadata` | MINIMAL, the server's default | FULL |
//! | the server's time zone | UTC | one with summer time, half a day of the year elsewhere |
//! | `sql_mode` of others' sessions | the default | pads CHAR |
//! | transactions, JSON updates | as they are | compressed, partial |
//! | profile | canal | dts |
//! | changes are read | as they are made | later, by a task that was stopped meanwhile |
//!
//! A third run, in DTS Avro, has the values and no scenes: what statements do does not depend on the format.
//!
//! Other servers have the same three runs with the scenes that can be played there, with what there may differ between servers of their
//! version:
//!
//! | | plain | full | DTS Avro |
//! |---|---|---|---|
//! | MariaDB | as it is | FULL; temporal columns as MySQL 5.5 stored them; compressed events | such columns |
//! | MySQL 5.6 | GTIDs | none; events as 5.5 wrote them | GTIDs |

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use super::super::harness::world::kafka_sink;
use super::super::harness::{Kind, Message, Private, Reader, Servers, Tidegate, World};
use super::super::oldest::{PLAIN_EVENTS, WITHOUT_GTIDS};
use super::golden::{Profile, Server, Table};
use super::scenes::{SCENES, Scene};
use super::values::CLASSES;

/// What came out of one task.
pub(super) struct Run {
    profile: Profile,
    /// By table, in the order of the binlog.
    messages: BTreeMap<String, Vec<Message>>,
    /// By table: its columns and their types, as the server calls them before any change.
    types: HashMap<String, Vec<(String, String)>>,
    /// What the task said.
    pub(super) output: String,
    /// Types of the events in the server's binlog, if it is nobody else's.
    pub(super) events: BTreeSet<String>,
    server: Server,
    /// What the server is said to refuse, and has taken.
    taken: Vec<String>,
}

/// `None` without servers.
type Shared = LazyLock<Option<Run>>;

static PLAIN: Shared = LazyLock::new(|| {
    Servers::from_env().map(|servers| run("types", Server::Mysql97, &servers.mysql, &servers.kafka, Profile::Canal))
});
static FULL: Shared = LazyLock::new(|| {
    Servers::from_env().map(|servers| {
        let options = "--binlog-row-metadata=FULL --binlog-transaction-compression=ON \
                       --binlog-row-value-options=PARTIAL_JSON";
        let private = of_its_own("mysql-gtid", options);
        run("types_full", Server::Mysql97, private.mysql(), &servers.kafka, Profile::Dts)
    })
});
static AVRO: Shared = LazyLock::new(|| {
    Servers::from_env().map(|servers| run("types_avro", Server::Mysql97, &servers.mysql, &servers.kafka, Profile::Avro))
});

static MARIADB_PLAIN: Shared = LazyLock::new(|| {
    Servers::with_mariadb()
        .map(|(servers, [url, _])| run("types_maria", Server::MariaDb10, &url, &servers.kafka, Profile::Canal))
});
static MARIADB_FULL: Shared = LazyLock::new(|| {
    Servers::with_mariadb().map(|(servers, _)| {
        let options = "--binlog-row-metadata=FULL --mysql56-temporal-format=OFF --log-bin-compress=ON";
        let private = of_its_own("mariadb", options);
        run("types_maria_full", Server::MariaDb10, private.mariadb(), &servers.kafka, Profile::Dts)
    })
});
static MARIADB_AVRO: Shared = LazyLock::new(|| {
    Servers::with_mariadb().map(|(servers, _)| {
        let private = Private::up(&["mariadb"], "--mysql56-temporal-format=OFF");
        run("types_maria_avro", Server::MariaDb10, private.mariadb(), &servers.kafka, Profile::Avro)
    })
});

static OLDEST_PLAIN: Shared = LazyLock::new(|| {
    Servers::with_oldest().map(|(servers, url)| run("types_old", Server::Mysql56, &url, &servers.kafka, Profile::Canal))
});
static OLDEST_FULL: Shared = LazyLock::new(|| {
    Servers::with_oldest().map(|(servers, _)| {
        let private = of_its_own("mysql-5.6", &format!("{WITHOUT_GTIDS} {PLAIN_EVENTS}"));
        run("types_old_full", Server::Mysql56, private.oldest(), &servers.kafka, Profile::Dts)
    })
});
static OLDEST_AVRO: Shared = LazyLock::new(|| {
    Servers::with_oldest()
        .map(|(servers, url)| run("types_old_avro", Server::Mysql56, &url, &servers.kafka, Profile::Avro))
});

/// In a zone with summer time, where a session that does not ask otherwise sees CHAR with its spaces.
fn of_its_own(server: &str, options: &str) -> Private {
    let options = format!("{options} --sql-mode=PAD_CHAR_TO_FULL_LENGTH");
    Private::up_in_zone(&[server], &options, "CET-1CEST,M3.5.0,M10.5.0/3")
}

/// Inserted rows have ids from here on.
pub(super) const INSERTED: usize = 1000;

pub(super) fn run(test: &str, server: Server, mysql_url: &str, kafka: &str, profile: Profile) -> Run {
    let mut world = World::new(test, mysql_url, kafka);
    let tables = || CLASSES.iter().flat_map(|class| (class.tables)());
    let refused: Vec<String> = tables().flat_map(|table| table.refused(server)).collect();
    let tables: Vec<Table> = tables().filter_map(|table| table.on(server)).collect();
    let has_scenes = profile != Profile::Avro;
    let played = |scene: &&Scene| has_scenes && scene.is_played_on(server) && scene.is_played_under(profile);
    let scenes: Vec<&Scene> = SCENES.iter().filter(played).collect();
    set_mode(&mut world, server);
    let taken = refused.into_iter().filter(|statement| world.mysql.try_run(statement).is_ok()).collect();
    for table in &tables {
        world.mysql.run(table.create());
        for (id, row) in table.rows().enumerate() {
            world.mysql.run(table.insert(id, row));
        }
    }
    for scene in &scenes {
        play(&mut world, scene.before);
    }
    let types = column_types(&mut world);
    world.begin_binlog_file();

    let mut task = world.task();
    task.sink = kafka_sink(kafka, ", topic: \"{task}\", partition: zero");
    task.format = profile.yaml().to_owned();
    let mut reader = Reader::new(kafka, vec![world.database.clone()]);
    let mut messages: BTreeMap<String, Vec<Message>> = BTreeMap::new();
    let mut take = |message: Message| messages.entry(message.table.clone()).or_default().push(message);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, &mut take);
    let mut output = String::new();
    if profile == Profile::Dts {
        // What it reads now was made while it was away, by statements of which the last have changed the tables again.
        output = engine.terminate(libc::SIGTERM).output;
        change(&mut world, server, &tables, &scenes);
        engine = Tidegate::run(&task);
    } else {
        change(&mut world, server, &tables, &scenes);
    }
    output += &world.finish(engine, &mut reader, &mut take).output;
    let is_its_own = server == Server::Mysql97 && profile == Profile::Dts;
    let events = if is_its_own { event_types(&mut world) } else { BTreeSet::new() };
    Run { profile, messages, types, output, events, server, taken }
}

fn set_mode(world: &mut World, server: Server) {
    world.mysql.run(format!("SET sql_mode = '{}'", server.sql_mode()));
}

fn change(world: &mut World, server: Server, tables: &[Table], scenes: &[&Scene]) {
    set_mode(world, server);
    for table in tables {
        let ids = INSERTED..;
        for (id, row) in ids.clone().zip(table.rows()) {
            world.mysql.run(table.insert(id, row));
        }
        for (id, row) in ids.zip(next_rows(table)) {
            world.mysql.run(table.update(id, row));
        }
        world.mysql.run(format!("DELETE FROM {} WHERE id >= {INSERTED}", table.name));
    }
    for scene in scenes {
        play(world, scene.after);
    }
}

/// For each row the one after it, for the last the first.
fn next_rows(table: &Table) -> impl Iterator<Item = Option<usize>> + use<> {
    let rows = table.rows();
    rows.clone().skip(1).chain(rows.take(1))
}

/// Statements in a session of their own, which they may set up as they like.
fn play(world: &mut World, statements: &str) {
    world.reconnect();
    for statement in statements.split(";\n").filter(|statement| !statement.trim().is_empty()) {
        world.mysql.run(statement);
    }
}

fn column_types(world: &mut World) -> HashMap<String, Vec<(String, String)>> {
    let columns: Vec<(String, String, String)> = world.mysql.query(&format!(
        "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = '{}'
         ORDER BY TABLE_NAME, ORDINAL_POSITION",
        world.database
    ));
    let mut types: HashMap<String, Vec<(String, String)>> = HashMap::new();
    for (table, column, column_type) in columns {
        types.entry(table).or_default().push((column, column_type));
    }
    types
}

fn event_types(world: &mut World) -> BTreeSet<String> {
    let files: Vec<(String, u64, String)> = world.mysql.query("SHOW BINARY LOGS");
    let mut types = BTreeSet::new();
    for (file, ..) in files {
        let events: Vec<(String, u64, String, u32, u64, String)> =
            world.mysql.query(&format!("SHOW BINLOG EVENTS IN '{file}'"));
        types.extend(events.into_iter().map(|(_, _, event_type, ..)| event_type));
    }
    types
}

impl Run {
    /// The run in DTS Avro; none without servers.
    pub(super) fn avro(server: Server) -> impl Iterator<Item = &'static Run> {
        let run = match server {
            Server::Mysql97 => &AVRO,
            Server::Mysql56 => &OLDEST_AVRO,
            Server::MariaDb10 => &MARIADB_AVRO,
            Server::MariaDb11 => panic!("its runs are not shared"),
        };
        run.iter()
    }

    /// The two runs in Canal JSON; none without servers.
    pub(super) fn canal(server: Server) -> impl Iterator<Item = &'static Run> {
        let runs: [&'static Shared; 2] = match server {
            Server::Mysql97 => [&PLAIN, &FULL],
            Server::Mysql56 => [&OLDEST_PLAIN, &OLDEST_FULL],
            Server::MariaDb10 => [&MARIADB_PLAIN, &MARIADB_FULL],
            Server::MariaDb11 => panic!("its runs are not shared"),
        };
        runs.into_iter().filter_map(|run| run.as_ref())
    }

    pub(super) fn server(&self) -> Server {
        self.server
    }

    pub(super) fn profile(&self) -> Profile {
        self.profile
    }

    /// The tables of which there are messages.
    pub(super) fn tables(&self) -> impl Iterator<Item = &str> {
        self.messages.keys().map(String::as_str)
    }

    pub(super) fn messages(&self, table: &str) -> &[Message] {
        self.messages.get(table).map_or(&[], Vec::as_slice)
    }

    /// Panics with the first differences between a table's messages and its expectations, or if the server has what it is said to
    /// lack of it.
    pub(super) fn check_table(&self, table: Table) {
        let taken: Vec<String> =
            table.refused(self.server).into_iter().filter(|refused| self.taken.contains(refused)).collect();
        assert!(taken.is_empty(), "{:?} takes {}", self.server, shortened(&taken.join("\n")));
        if let Some(table) = table.on(self.server) {
            self.check_messages(&table);
        }
    }

    fn check_messages(&self, table: &Table) {
        let loaded = (0..).zip(table.rows()).map(|(id, row)| (Step::FullLoad, id, row));
        let inserted = (INSERTED..).zip(table.rows()).map(|(id, row)| (Step::Insert, id, row));
        let updated = (INSERTED..).zip(table.rows().zip(next_rows(table)));
        let updated = updated.map(|(id, (before, after))| (Step::Update { before }, id, after));
        let deleted = (INSERTED..).zip(next_rows(table)).map(|(id, row)| (Step::Delete, id, row));
        let expected: Vec<_> = loaded.chain(inserted).chain(updated).chain(deleted).collect();

        let messages = self.messages(&table.name);
        let mut faults = Vec::new();
        for (message, (step, id, row)) in messages.iter().zip(&expected) {
            let mut fault = |what: String| faults.push(format!("{step}, row {id}: {what}"));
            if message.kind != step.kind(self.profile) || message.data.get("id") != Some(&id.to_string()) {
                fault(format!("found {:?} of row {:?}", message.kind, message.data.get("id")));
                continue;
            }
            self.check_message(table, message, *step, *row, &mut fault);
        }
        if messages.len() != expected.len() {
            faults.push(format!("{} messages instead of {}", messages.len(), expected.len()));
        }
        faults.truncate(FAULTS_SHOWN);
        let (server, profile) = (self.server, self.profile);
        assert!(faults.is_empty(), "{} of {server:?} in the profile {profile:?}:\n{}", table.name, faults.join("\n"));
    }

    fn check_message(
        &self,
        table: &Table,
        message: &Message,
        step: Step,
        row: Option<usize>,
        fault: &mut impl FnMut(String),
    ) {
        let names: Vec<&str> = self.types[&table.name].iter().map(|(name, _)| name.as_str()).collect();
        if message.data.names() != names {
            fault(format!("columns {:?}", message.data.names()));
        }
        for (name, column_type) in &self.types[&table.name] {
            // DTS Avro has a number of the type alone.
            if self.profile != Profile::Avro && message.mysql_type.find(name) != Some(column_type) {
                fault(format!("{name} is a {:?} and not a {column_type}", message.mysql_type.find(name)));
            }
        }
        for (index, column) in table.columns.iter().enumerate() {
            let name = format!("c{index}");
            let mut wrong = |what: &str, found: &str, expected: &str| {
                let definition = shortened(&column.definition);
                fault(format!("{definition}: {what} is {}, expected {}", shortened(found), shortened(expected)));
            };
            let after = column.text(row, self.profile);
            let found = message.data.find(&name).map(Option::as_deref);
            if found != Some(after.as_deref()) {
                wrong("the value", &format!("{found:?}"), &format!("{after:?}"));
            }
            let (code, expected) = (message.sql_type.find(&name), column.code(row, self.profile));
            if code != Some(&expected) {
                wrong("sqlType", &format!("{code:?}"), &expected.to_string());
            }
            if let Step::Update { before } = step {
                // Only what has changed.
                let before = Some(column.text(before, self.profile)).filter(|before| *before != after);
                let found = message.old.as_ref().and_then(|old| old.find(&name)).map(Option::as_deref);
                if found != before.as_ref().map(Option::as_deref) {
                    wrong("the value before", &format!("{found:?}"), &format!("{before:?}"));
                }
            }
        }
    }
}

/// A wrong column is wrong in every row.
const FAULTS_SHOWN: usize = 20;

/// What happens to a row.
#[derive(Clone, Copy)]
enum Step {
    FullLoad,
    Insert,
    Update { before: Option<usize> },
    Delete,
}

impl Step {
    fn kind(self, profile: Profile) -> Kind {
        match (self, profile) {
            (Step::FullLoad, Profile::Dts | Profile::Avro) => Kind::Init,
            (Step::FullLoad, Profile::Canal) | (Step::Insert, _) => Kind::Insert,
            (Step::Update { .. }, _) => Kind::Update,
            (Step::Delete, _) => Kind::Delete,
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Step::FullLoad => "full load",
            Step::Insert => "insert",
            Step::Update { .. } => "update",
            Step::Delete => "delete",
        })
    }
}

/// Long values by their ends.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 150;
    let count = text.chars().count();
    if count <= 2 * SHOWN {
        return text.to_owned();
    }
    let (start, end) = (text.chars().take(SHOWN), text.chars().skip(count - SHOWN));
    format!("{} … {} ({count} characters)", start.collect::<String>(), end.collect::<String>())
}
