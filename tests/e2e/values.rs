//! Random tables with random values, judged by the server: what it prints of a row is what every message must say.
//!
//! ```text
//!            INSERT …     INSERT …  UPDATE …  DELETE …
//!   t00   ──────────────┬──────────────────────────────►   binlog
//!             full load │
//!                       └ INSERT INTO t00_copy SELECT …    the same rows by the other path
//! ```
//!
//! After each step the server prints all rows, and a step changes a row at most once. So two prints tell exactly which messages
//! must come between them, with which values before and after: none may be missing, none may be there twice.
//!
//! A value that differs is shown with its column, the SQL that wrote it and the bytes on both sides, and is tried again
//! alone, in a table of one column. The seed makes the same tables again at the same scale, whatever the format.
//!
//! In continuous integration both tests together fill their tables with 4,000 rows before the full load, and with half as many
//! later; with `TIDEGATE_TEST_SCALE=250` with 1,000,000. They come in rounds, so that memory stays bounded. At 50 both tests
//! took 336 s and 1.2 GB beside other work on two cores.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::{self, Write};
use std::rc::Rc;

use fastrand::Rng;

use super::harness::consume::Row;
use super::harness::random::printed::{Image, images, normal};
use super::harness::random::{KeyKind, Nature, RandomTable, Tag, charsets, quote};
use super::harness::source_state::Format;
use super::harness::{Kind, Message, Mysql, Private, Reader, Servers, Tidegate, World, scaled, seeded};

/// A format with its options, and what follows for the messages.
#[derive(Clone, Copy)]
struct Dialect {
    /// As the task has it.
    format: &'static str,
    /// The type of messages of the full load.
    loaded: Kind,
    /// How values look.
    values: Format,
    old: Old,
    /// Of TIMESTAMP values.
    time_zone: &'static str,
}

/// What an update says of the row before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Old {
    Changed,
    All,
}

const CANAL: Dialect = Dialect {
    format: "canal_json",
    loaded: Kind::Insert,
    values: Format::Canal,
    old: Old::Changed,
    time_zone: "+00:00",
};

const DTS: Dialect =
    Dialect { format: "{canal_json: {profile: dts}}", loaded: Kind::Init, values: Format::Dts, ..CANAL };

const DTS_WITH_ALL_IN_OLD: Dialect = Dialect {
    format: "{canal_json: {profile: dts, old: all, time_zone: \"-09:30\"}}",
    old: Old::All,
    time_zone: "-09:30",
    ..DTS
};

const AVRO: Dialect = Dialect { format: "dts_avro", values: Format::Avro, ..DTS };

const DIALECTS: [Dialect; 4] = [CANAL, AVRO, DTS, DTS_WITH_ALL_IN_OLD];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Before the full load.
    Fill,
    Insert,
    Update,
    Delete,
}

/// What is written after the full load, and after the copies.
const STEPS: [Step; 6] = [Step::Insert, Step::Update, Step::Update, Step::Delete, Step::Insert, Step::Update];

/// The statements of a step for a table.
type Statements<'a> = dyn FnMut(Step, &mut RandomTable) -> Vec<String> + 'a;

/// A message that must come.
enum Expected {
    Insert(Image),
    Update {
        before: Image,
        after: Image,
    },
    /// The server may have written a row that it prints as before, such as 1.0 for a 1e0 within JSON: then there is a message,
    /// otherwise none.
    PerhapsUpdate(Image),
    Delete(Image),
}

/// Messages of one key stand in one partition, in order. A row whose key changes has messages under both.
type RowAndKey = (Tag, Vec<Option<String>>);

/// A table, its copy, and what must be said of them.
struct Subject {
    table: RandomTable,
    format: Format,
    copy_name: String,
    /// As the server printed the rows last.
    printed: BTreeMap<Tag, Image>,
    /// As the full load told them.
    loaded: HashMap<Tag, Message>,
    copied: BTreeMap<Tag, Image>,
    expected: HashMap<RowAndKey, VecDeque<Expected>>,
    faults: Vec<Fault>,
}

struct Fault {
    what: String,
    value: Option<WrongValue>,
}

struct WrongValue {
    column: usize,
    tag: Tag,
    printed: Option<String>,
    said: Option<String>,
}

impl Subject {
    fn new(table: RandomTable, format: Format) -> Subject {
        Subject {
            copy_name: format!("{}_copy", table.name),
            table,
            format,
            printed: BTreeMap::new(),
            loaded: HashMap::new(),
            copied: BTreeMap::new(),
            expected: HashMap::new(),
            faults: Vec::new(),
        }
    }

    /// In one transaction.
    fn write(&mut self, mysql: &mut Mysql, step: Step, statements: &mut Statements) {
        mysql.run("BEGIN");
        for statement in statements(step, &mut self.table) {
            mysql.run(statement);
        }
        mysql.run("COMMIT");
    }

    /// What the server prints now, and which messages tell of the way from what it printed before.
    fn print_after(&mut self, mysql: &mut Mysql) {
        let after = images(mysql, &self.table, &self.table.name, self.format);
        let before = std::mem::replace(&mut self.printed, after);
        for (&tag, after) in &self.printed {
            let key = self.key_of(after);
            let Some(before) = before.get(&tag) else {
                expect(&mut self.expected, (tag, key), Expected::Insert(Rc::clone(after)));
                continue;
            };
            let old_key = self.key_of(before);
            let (before, after) = (Rc::clone(before), Rc::clone(after));
            if before == after {
                expect(&mut self.expected, (tag, key), Expected::PerhapsUpdate(after));
            } else if old_key == key {
                expect(&mut self.expected, (tag, key), Expected::Update { before, after });
            } else {
                expect(&mut self.expected, (tag, old_key), Expected::Delete(before));
                expect(&mut self.expected, (tag, key), Expected::Insert(after));
            }
        }
        for (&tag, image) in before.iter().filter(|(tag, _)| !self.printed.contains_key(tag)) {
            let key = self.key_of(image);
            expect(&mut self.expected, (tag, key), Expected::Delete(Rc::clone(image)));
        }
    }

    fn key_of(&self, image: &Image) -> Vec<Option<String>> {
        self.table.key.iter().map(|&index| image[index].clone()).collect()
    }

    fn take_loaded(&mut self, dialect: &Dialect, message: Message) {
        let Some(image) = self.image_of(&message) else { return };
        let tag = self.tag_of(&image);
        if message.kind != dialect.loaded {
            self.fault(format!("the full load sends {message:?}"));
        }
        match self.printed.get(&tag).cloned() {
            Some(printed) => self.compare("full load", tag, &printed, &image),
            None => self.fault(format!("the full load sends a row that was not there: {message:?}")),
        }
        if self.loaded.insert(tag, message).is_some() {
            self.fault(format!("the full load sends row {tag} twice"));
        }
    }

    fn end_of_load(&mut self) {
        for tag in self.printed.keys().copied().filter(|tag| !self.loaded.contains_key(tag)).collect::<Vec<_>>() {
            self.fault(format!("the full load leaves out row {tag}"));
        }
    }

    /// The copy's row, which came by the binlog, is the row of the full load to the byte.
    fn take_copied(&mut self, message: &Message) {
        let Some(image) = self.image_of(message) else { return };
        let tag = self.tag_of(&image);
        let Some(printed) = self.copied.remove(&tag).filter(|_| message.kind == Kind::Insert) else {
            return self.fault(format!("not expected: {message:?}"));
        };
        self.compare("insert of the copy", tag, &printed, &image);
        let Some(loaded) = self.loaded.get(&tag) else { return };
        let same_types = loaded.mysql_type.0 == message.mysql_type.0 && loaded.sql_type.0 == message.sql_type.0;
        let differs = |index: &usize| loaded.data.0.get(*index) != message.data.0.get(*index);
        if let Some(index) = (0..self.table.columns.len()).find(differs) {
            let value = |row: &Row| row.0.get(index).and_then(|(_, value)| value.clone());
            let (loaded, copied) = (value(&loaded.data), value(&message.data));
            self.wrong_value("binlog, against the full load", index, tag, &loaded, &copied);
        }
        if !same_types {
            self.fault(format!("other types by the binlog than by the full load for row {tag}"));
        }
    }

    fn take_changed(&mut self, dialect: &Dialect, message: &Message) {
        let Some(image) = self.image_of(message) else { return };
        let tag = self.tag_of(&image);
        let key = self.key_of(&image);
        let queue = self.expected.get_mut(&(tag, key));
        let expected = queue.and_then(|queue| {
            loop {
                match queue.pop_front()? {
                    Expected::PerhapsUpdate(same) if message.kind != Kind::Update || image != same => {}
                    expected => return Some(expected),
                }
            }
        });
        match (expected, message.kind) {
            (Some(Expected::Insert(after)), Kind::Insert) => self.compare("insert", tag, &after, &image),
            (Some(Expected::Delete(before)), Kind::Delete) => self.compare("delete", tag, &before, &image),
            (Some(Expected::Update { before, after }), Kind::Update) => {
                self.compare("update", tag, &after, &image);
                self.compare_old(dialect, tag, message, &before, &after);
            }
            (Some(Expected::PerhapsUpdate(same)), Kind::Update) => {
                self.compare_old(dialect, tag, message, &same, &same);
            }
            _ => self.fault(format!("not expected: {message:?}")),
        }
    }

    fn end_of_changes(&mut self) {
        for tag in std::mem::take(&mut self.copied).into_keys() {
            self.fault(format!("no message of the copy of row {tag}"));
        }
        for ((tag, _), queue) in std::mem::take(&mut self.expected) {
            let missing = queue.iter().filter(|expected| !matches!(expected, Expected::PerhapsUpdate(_))).count();
            if missing > 0 {
                self.fault(format!("{missing} messages of row {tag} are missing"));
            }
        }
    }

    /// The row of a message, comparable with what the server prints.
    fn image_of(&mut self, message: &Message) -> Option<Image> {
        let table = &self.table;
        if !message.data.0.iter().map(|(name, _)| name.as_str()).eq(table.column_names()) {
            self.fault(format!("other columns: {:?}", message.data.names()));
            return None;
        }
        let mut key = table.key.clone();
        // Canal lists the columns of a key as they stand in the table; DTS as they stand in the key.
        if self.format != Format::Avro {
            key.sort_unstable();
        }
        let primary_key = match table.key_kind {
            KeyKind::Primary | KeyKind::Invisible => {
                Some(key.into_iter().map(|index| table.columns[index].name.clone()).collect())
            }
            KeyKind::Unique | KeyKind::None => None,
        };
        if message.primary_key != primary_key {
            self.fault(format!("pkNames {:?}", message.primary_key));
        }
        let values = message.data.0.iter().zip(&self.table.columns);
        Some(values.map(|((_, value), column)| Some(normal(&column.sql_type.nature, value.as_ref()?))).collect())
    }

    fn tag_of(&self, image: &Image) -> Tag {
        image[self.table.tag_index()].as_ref().and_then(|tag| tag.parse().ok()).expect("a tag is never NULL")
    }

    fn compare(&mut self, what: &str, tag: Tag, printed: &Image, said: &Image) {
        for column in (0..printed.len()).filter(|&column| printed[column] != said[column]) {
            self.wrong_value(what, column, tag, &printed[column], &said[column]);
        }
    }

    fn compare_old(&mut self, dialect: &Dialect, tag: Tag, message: &Message, before: &Image, after: &Image) {
        let old = message.old.as_ref().expect("checked when parsed");
        for column in 0..before.len() {
            let definition = &self.table.columns[column];
            let said = old
                .find(&definition.name)
                .map(|value| value.as_ref().map(|value| normal(&definition.sql_type.nature, value)));
            let may_be_missing = dialect.old == Old::Changed && before[column] == after[column];
            // An invalid value and the label '' are two values of an ENUM, though both print nothing.
            let must_be_missing = may_be_missing
                && !(matches!(definition.sql_type.nature, Nature::Enum { .. })
                    && dialect.values != Format::Canal
                    && before[column].as_deref() == Some(""));
            match said {
                None if may_be_missing => {}
                Some(said) if said == before[column] && !must_be_missing => {}
                None => self.fault(format!("old leaves out {} of row {tag}", quote(&self.table.columns[column].name))),
                Some(_) if must_be_missing => {
                    self.fault(format!("old has {}, which did not change: {message:?}", quote(&definition.name)));
                }
                Some(said) => self.wrong_value("old", column, tag, &before[column], &said),
            }
        }
        let known: Vec<&str> = self.table.column_names().filter(|name| old.find(name).is_some()).collect();
        if old.names() != known {
            self.fault(format!("old of row {tag} has the columns {:?}", old.names()));
        }
    }

    fn wrong_value(&mut self, what: &str, column: usize, tag: Tag, printed: &Option<String>, said: &Option<String>) {
        let value = WrongValue { column, tag, printed: printed.clone(), said: said.clone() };
        self.faults.push(Fault { what: what.to_owned(), value: Some(value) });
    }

    fn fault(&mut self, what: String) {
        self.faults.push(Fault { what, value: None });
    }
}

fn expect(expected: &mut HashMap<RowAndKey, VecDeque<Expected>>, of: RowAndKey, message: Expected) {
    expected.entry(of).or_default().push_back(message);
}

/// Where the tables are, and what reads them.
struct Setting<'a> {
    test: &'a str,
    mysql_url: &'a str,
    kafka: &'a str,
    dialect: Dialect,
    /// Of the session that writes.
    writer_zone: &'a str,
    chunk_rows: u32,
}

impl Setting<'_> {
    /// Runs a task over the tables from its full load to the last change.
    fn run(&self, tables: Vec<RandomTable>, statements: &mut Statements) -> Vec<Subject> {
        let dialect = &self.dialect;
        let mut world = World::new(self.test, self.mysql_url, self.kafka);
        world.mysql.run("SET sql_mode = 'ALLOW_INVALID_DATES'");
        let mut subjects: Vec<Subject> = tables.into_iter().map(|table| Subject::new(table, dialect.values)).collect();
        for subject in &mut subjects {
            subject.table.create(&mut world.mysql, &subject.copy_name);
        }
        self.step(&mut world, &mut subjects, Step::Fill, statements);
        // What is there before the full load, the full load tells.
        subjects.iter_mut().for_each(|subject| subject.expected.clear());
        world.begin_binlog_file();

        let mut task = world.task();
        task.format = dialect.format.to_owned();
        task.sink = format!(
            "{{kafka: \"{}\", topic: \"{{task}}\", create_topics: {{partitions: 3, replication: 1, config: {{max.message.bytes: 16777216}}}}}}",
            self.kafka
        );
        task.more = format!("full_load: {{chunk_rows: {}}}", self.chunk_rows);
        let mut reader = Reader::new(self.kafka, vec![world.database.clone()]);
        let mut engine = Tidegate::run(&task);
        let names = subjects.iter().enumerate().flat_map(|(index, subject)| {
            [(subject.table.name.clone(), (index, false)), (subject.copy_name.clone(), (index, true))]
        });
        let names: HashMap<String, (usize, bool)> = names.collect();
        world.until_loaded(&mut engine, &mut reader, |message| match names.get(&message.table) {
            Some(&(index, false)) => subjects[index].take_loaded(dialect, message),
            _ => panic!("a foreign table in the full load: {message:?}"),
        });
        subjects.iter_mut().for_each(Subject::end_of_load);

        for subject in &mut subjects {
            world.mysql.run(subject.table.copy(&subject.copy_name));
            subject.copied = images(&mut world.mysql, &subject.table, &subject.copy_name, dialect.values);
        }
        for step in STEPS {
            self.step(&mut world, &mut subjects, step, statements);
        }
        world.finish(engine, &mut reader, |message| match names.get(&message.table) {
            Some(&(index, false)) => subjects[index].take_changed(dialect, &message),
            Some(&(index, true)) => subjects[index].take_copied(&message),
            None => panic!("a foreign table: {message:?}"),
        });
        subjects.iter_mut().for_each(Subject::end_of_changes);
        subjects
    }

    fn step(&self, world: &mut World, subjects: &mut [Subject], step: Step, statements: &mut Statements) {
        world.mysql.run(format!("SET time_zone = '{}'", self.writer_zone));
        for subject in &mut *subjects {
            subject.write(&mut world.mysql, step, statements);
        }
        world.mysql.run(format!("SET time_zone = '{}'", self.dialect.time_zone));
        for subject in subjects {
            subject.print_after(&mut world.mysql);
        }
    }

    /// Panics with the first faults, each tried again alone.
    fn report(&self, subjects: Vec<Subject>) {
        const SHOWN: usize = 10;
        let count: usize = subjects.iter().map(|subject| subject.faults.len()).sum();
        let mut text = format!("{count} faults, format {}\n", self.dialect.format);
        let mut shown = 0;
        for subject in &subjects {
            // One value of each column is enough.
            let mut columns = Vec::new();
            for fault in &subject.faults {
                let column = fault.value.as_ref().map(|value| value.column);
                if shown == SHOWN || columns.contains(&column) {
                    continue;
                }
                shown += 1;
                columns.push(column);
                writeln!(text, "\n{}", Shown(subject, fault)).expect("a string");
                if let Some(value) = &fault.value {
                    let alone = self.alone(&subject.table, value);
                    writeln!(text, "  alone      {alone}").expect("a string");
                }
            }
            if !columns.is_empty() {
                writeln!(text, "\n{}", subject.table.definition()).expect("a string");
            }
        }
        assert!(count == 0, "{text}");
    }

    /// The value by all paths in a table that has nothing else.
    fn alone(&self, table: &RandomTable, value: &WrongValue) -> String {
        let Some((first, updates)) = table.written(value.tag, value.column).split_first() else {
            return "not tried, the server makes the values of this column".to_owned();
        };
        let mut updates = updates.iter();
        let mut statements = |step, table: &mut RandomTable| match step {
            Step::Fill | Step::Insert => vec![table.insert_one(first)],
            Step::Update => updates.next().map(|literal| table.update_all(literal)).into_iter().collect(),
            Step::Delete => Vec::new(),
        };
        let column = &table.columns[value.column];
        let subjects = self.run(vec![RandomTable::of_one("alone", column)], &mut statements);
        let shown = subjects[0].faults.iter().map(|fault| match &fault.value {
            Some(value) => format!("{}: {}", fault.what, hex(&value.said)),
            None => fault.what.clone(),
        });
        let shown: Vec<String> = shown.collect();
        if shown.is_empty() { "right".to_owned() } else { shown.join("\n             ") }
    }
}

/// A fault with all that is known of its value.
struct Shown<'a>(&'a Subject, &'a Fault);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown(Subject { table, .. }, Fault { what, value }) = self;
        let name = &table.name;
        let Some(value) = value else { return write!(f, "{name}: {what}") };
        let column = &table.columns[value.column];
        writeln!(f, "{name}: {what}: {} {}", quote(&column.name), shortened(&column.sql_type.definition))?;
        for literal in table.written(value.tag, value.column) {
            writeln!(f, "  written as {}", shortened(literal))?;
        }
        writeln!(f, "  expected   {}", hex(&value.printed))?;
        write!(f, "  found      {}", hex(&value.said))
    }
}

/// The bytes, and the text as far as it can be read.
fn hex(text: &Option<String>) -> String {
    let Some(text) = text else { return "NULL".to_owned() };
    let hex: String = text.bytes().take(200).map(|byte| format!("{byte:02x}")).collect();
    format!("{hex} {:?}", text.chars().take(100).collect::<String>())
}

fn shortened(sql: &str) -> String {
    sql.chars().take(400).collect()
}

/// `rows` in rounds, each with another format.
fn what_the_server_prints_is_what_messages_say(test: &str, mysql_url: &str, kafka: &str, rows: u64) {
    const ROUND_ROWS_MAX: u64 = 10_000;
    let mut rng = seeded(test);
    let charsets = charsets(&mut Mysql::connect(mysql_url));
    let rounds = (rows / ROUND_ROWS_MAX).max(DIALECTS.len() as u64);
    let table_count = (rows / rounds / 50).clamp(14, 40);
    let table_rows = rows / rounds / table_count;
    for round in 0..rounds {
        let setting = Setting {
            test,
            mysql_url,
            kafka,
            dialect: DIALECTS[round as usize % DIALECTS.len()],
            writer_zone: ["+00:00", "-13:59", "+14:00", "+05:45"][rng.usize(..4)],
            chunk_rows: rng.u32(10..=table_rows.max(10) as u32),
        };
        let names = (0..table_count).map(|index| format!("t{index:02}"));
        let tables = names.map(|name| RandomTable::random(&mut rng, name, &charsets)).collect();
        let mut statements = |step, table: &mut RandomTable| write_randomly(&mut rng, step, table, table_rows);
        let subjects = setting.run(tables, &mut statements);
        let columns: usize = subjects.iter().map(|subject| subject.table.columns.len()).sum();
        println!("{test}: round {round}, {table_count} tables of {table_rows} rows with {columns} columns in all");
        setting.report(subjects);
    }
}

fn write_randomly(rng: &mut Rng, step: Step, table: &mut RandomTable, rows: u64) -> Vec<String> {
    match step {
        Step::Fill => table.insert(rng, rows),
        Step::Insert => table.insert(rng, rows / 4),
        Step::Update => table.update(rng),
        Step::Delete => table.delete(rng),
    }
}

#[test]
fn random_values_with_minimal_metadata() {
    let Some(servers) = Servers::from_env() else { return };
    what_the_server_prints_is_what_messages_say("values", &servers.mysql, &servers.kafka, scaled(2000));
}

#[test]
fn random_values_with_full_metadata_and_partial_json() {
    let Some(servers) = Servers::from_env() else { return };
    let options = "--binlog-row-metadata=FULL --default-time-zone=+05:30 --binlog-transaction-compression=ON --binlog-row-value-options=PARTIAL_JSON";
    let private = Private::up(&["mysql-gtid"], options);
    what_the_server_prints_is_what_messages_say("values_full", private.mysql(), &servers.kafka, scaled(2000));
}
