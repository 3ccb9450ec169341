//! The whole way on this machine, without any server.
//!
//! ```text
//! recorded on a real MySQL                 in this process                                 the server's own sums
//! snapshot/*.parquet ──► task 1 ──┐                                                                │
//!                                 ├─► librdkafka's mock cluster ──► consumer ──► state by key ──►  equal?
//! binlog.000002 ───────► task 2 ──┘
//! ```
//!
//! The recordings are part of the program; `datasets/README.md` says how they were made. Both tasks are the real thing, from
//! task file to delivery report. Only the brokers are not: the mock cluster speaks Kafka's protocol on a port of this
//! machine, and keeps what it gets in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::*;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};

use crate::batch::types::date_from_parts;
use crate::batch::{Column, SqlType, Table, TableName, TableParts, UniqueKey};
use crate::config;
use crate::error::Error;
use crate::pipeline::shutdown::Stop;
use crate::source::parquet::TABLE_KEY;
use crate::status::{Status, Summary};
use crate::task::{self, Consent};

/// The recordings, as they are unpacked.
const FILES: &[(&str, &[u8])] = &[
    ("snapshot/shop.customers.parquet", include_bytes!("../../datasets/shop/snapshot/shop.customers.parquet")),
    ("snapshot/shop.orders.parquet", include_bytes!("../../datasets/shop/snapshot/shop.orders.parquet")),
    ("snapshot/shop.items.parquet", include_bytes!("../../datasets/shop/snapshot/shop.items.parquet")),
    ("binlog.000002", include_bytes!("../../datasets/shop/binlog.000002")),
];
const FULL_LOAD: &str = include_str!("../../datasets/shop/full_load.yaml");
const CHANGES: &str = include_str!("../../datasets/shop/changes.yaml");
const EXPECTED: &str = include_str!("../../datasets/shop/expected.json");

/// Enough to show that keys are spread and kept together.
const PARTITIONS: i32 = 3;
/// How long the mock cluster may take to hand out what it holds; it needs a fraction of a second.
const CONSUME_TIMEOUT: Duration = Duration::from_secs(30);
/// Rows of the generated table.
const GENERATED_ROWS: u64 = 1_500_000;
/// The generated table's files, each written by a thread of its own and so the same on every machine.
const GENERATED_FILES: u64 = 4;

/// Why the demo did not come to its end, or to the wrong one.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Task(#[from] Box<Error>),
    #[error("could not {action}: {error}")]
    Io { action: String, error: io::Error },
    #[error("could not write the generated table: {0}")]
    Generate(#[from] parquet::errors::ParquetError),
    #[error("the mock cluster: {0}")]
    Kafka(#[from] KafkaError),
    #[error("the mock cluster handed out {found} messages within {} s where {expected} were delivered", CONSUME_TIMEOUT.as_secs())]
    Lost { found: u64, expected: u64 },
    #[error("a message in topic {topic} is not what it should be: {reason}")]
    Message { topic: String, reason: String },
    #[error("what was consumed is not what the server holds")]
    Different,
    #[error("the demo was interrupted")]
    Interrupted,
}

fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> DemoError {
    let action = action.into();
    |error| DemoError::Io { action, error }
}

/// Runs the demo and says on `out` what happens. An error if anything is not as it should be.
pub fn run(out: &mut dyn Write) -> Result<(), DemoError> {
    let runner = Runner::start()?;
    runner.stop.on_signals(&runner.runtime).map_err(io("wait for signals"))?;
    show(out, &runner, GENERATED_ROWS)
}

fn show(out: &mut dyn Write, runner: &Runner, generated_rows: u64) -> Result<(), DemoError> {
    let started = Instant::now();
    let mut text = Text { out };
    let expected: Expected = serde_json::from_str(EXPECTED).expect("a test reads the recordings");
    let folder = Folder::create()?;
    for (name, bytes) in FILES {
        folder.write(name, bytes)?;
    }

    text.line(format_args!("The whole way on this machine, without any server."))?;
    text.line(format_args!(
        "A shop, recorded on MySQL {}: Parquet files of its tables, and the binlog of {} changes in {} transactions.",
        expected.server,
        grouped(expected.changes),
        grouped(expected.transactions)
    ))?;
    text.line(format_args!("Kafka is librdkafka's mock cluster inside this process."))?;

    let cluster = MockCluster::new(1)?;
    for table in &expected.tables {
        cluster.create_topic(&table.table, PARTITIONS, 1)?;
    }
    let brokers = cluster.bootstrap_servers();

    text.heading("1  What was there: Parquet -> SQL -> Canal JSON -> Kafka")?;
    let task = folder.task(FULL_LOAD, &brokers);
    text.block(without_comments(&task))?;
    let full_load = runner.run(&task)?;
    text.result(&full_load)?;

    text.heading("2  What happened then: binlog -> SQL -> Canal JSON -> Kafka")?;
    let task = folder.task(CHANGES, &brokers);
    text.block(without_comments(&task).take(2).chain(["# tables, sink and format as above"]))?;
    let changes = runner.run(&task)?;
    text.result(&changes)?;

    text.heading("3  What a consumer sees")?;
    let topics = consume(&brokers, &expected, full_load.messages + changes.messages)?;
    text.sample(&topics)?;
    text.counts(&topics)?;

    text.heading("4  Is it right?")?;
    text.line(format_args!(
        "  All messages applied in order, by key, and compared with the server's count and checksums:"
    ))?;
    let mut all_equal = true;
    for (topic, expected) in topics.iter().zip(&expected.tables) {
        let found = topic.state.sums();
        let equal = found == expected.sums() && topic.surprises == 0;
        all_equal &= equal;
        text.line(format_args!(
            "  {:16} {:>6} rows   state equals the server's: {}",
            topic.name,
            grouped(found.rows),
            if equal { "yes" } else { "NO" }
        ))?;
        if topic.surprises > 0 {
            text.line(format_args!("  {} messages did not fit the state before them", grouped(topic.surprises)))?;
        }
        if found != expected.sums() {
            text.line(format_args!(
                "  consumed: {found}\n  server:   {}\n  asked by: {}",
                expected.sums(),
                expected.query
            ))?;
        }
    }
    drop(cluster);
    if !all_equal {
        return Err(DemoError::Different);
    }

    text.heading("5  How fast is it?")?;
    text.line(format_args!(
        "  A table like TPC-H's lineitem, {} rows of 16 columns, generated: Parquet -> Canal JSON -> nowhere",
        grouped(generated_rows)
    ))?;
    if cfg!(debug_assertions) {
        text.line(format_args!("  (this program was built without optimisation: the numbers mean little)"))?;
    }
    generate(&folder.path.join("generated"), generated_rows)?;
    let measured = runner.run(&format!(
        "task: generated\nsource: {{parquet: {}}}\ntables: [tpch.lineitem]\nsink: {{null: {{}}}}\nformat: canal_json\nstate: {}\n",
        quoted(&folder.path.join("generated")),
        quoted(&folder.path.join("state/generated")),
    ))?;
    text.line(format_args!(
        "  {} rows/s, {} rows per CPU-second, {:.0} MB/s of JSON; peak memory of the whole demo {} MiB",
        grouped((measured.rows as f64 / measured.seconds) as u64),
        grouped((measured.rows as f64 / measured.cpu_seconds.max(1e-3)) as u64),
        measured.bytes as f64 / 1e6 / measured.seconds,
        measured.peak_memory_bytes >> 20
    ))?;
    text.line(format_args!("\nDone in {:.1} s, without any server.", started.elapsed().as_secs_f64()))
}

/// Runs tasks one after the other.
struct Runner {
    runtime: tokio::runtime::Runtime,
    stop: Stop,
}

impl Runner {
    fn start() -> Result<Runner, DemoError> {
        let runtime = task::runtime().map_err(Box::new)?;
        Ok(Runner { runtime, stop: Stop::default() })
    }

    /// Runs the task of a task file's text to its end. The CPU-seconds are those of this run alone.
    fn run(&self, text: &str) -> Result<Summary, DemoError> {
        let task = config::parse("demo.yaml", text).map_err(|error| Box::new(Error::from(error)))?;
        let status = Arc::new(Status::default());
        let cpu_seconds_before = status.summary().cpu_seconds;
        let mut summary = task::run_with(Arc::new(task), &Consent::default(), &self.runtime, status, self.stop.clone())
            .map_err(Box::new)?;
        summary.cpu_seconds -= cpu_seconds_before;
        if self.stop.is_stopped() { Err(DemoError::Interrupted) } else { Ok(summary) }
    }
}

/// A folder that goes away with this value.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn create() -> Result<Folder, DemoError> {
        let parent = std::env::temp_dir();
        let mut number = std::process::id();
        loop {
            let path = parent.join(format!("tidegate-demo-{number}"));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Folder { path }),
                // Left by a demo that was killed, under the same process id.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number = number.wrapping_add(1),
                Err(error) => return Err(io(format!("create {}", path.display()))(error)),
            }
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), DemoError> {
        let path = self.path.join(name);
        let write = || {
            std::fs::create_dir_all(path.parent().expect("it lies in the folder"))?;
            std::fs::write(&path, bytes)
        };
        write().map_err(io(format!("write {}", path.display())))
    }

    /// A recorded task file with the places of this run.
    fn task(&self, text: &str, brokers: &str) -> String {
        let mut text = text.replace("localhost:9092", brokers);
        for name in ["snapshot", "binlog.000002"] {
            text = text.replace(&format!("datasets/shop/{name}"), &quoted(&self.path.join(name)));
        }
        let name = text.lines().find_map(|line| line.strip_prefix("task: ")).expect("a task has a name").to_owned();
        format!("{text}state: {}\n", quoted(&self.path.join("state").join(name)))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nobody is left to hear that it failed; it is a temporary folder.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A path for YAML: a JSON string is one of its strings too.
fn quoted(path: &Path) -> String {
    serde_json::to_string(&path.to_string_lossy()).expect("strings are JSON")
}

fn without_comments(task: &str) -> impl Iterator<Item = &str> {
    task.lines().filter(|line| !line.starts_with('#'))
}

/// What the server said of the rows that a consumer must have in the end.
#[derive(Debug, Deserialize)]
struct Expected {
    server: String,
    changes: u64,
    transactions: u64,
    tables: Vec<ExpectedTable>,
}

#[derive(Debug, Deserialize)]
struct ExpectedTable {
    table: String,
    columns: Vec<String>,
    query: String,
    rows: u64,
    crc32_sum: u64,
    crc32_xor: u32,
}

impl ExpectedTable {
    fn sums(&self) -> Sums {
        Sums { rows: self.rows, crc32_sum: self.crc32_sum, crc32_xor: self.crc32_xor }
    }
}

/// Count of rows, sum and exclusive or of their checksums: the same in any order of the rows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    rows: u64,
    crc32_sum: u64,
    crc32_xor: u32,
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, CRC-32 sum {}, exclusive or {}", self.rows, self.crc32_sum, self.crc32_xor)
    }
}

/// A Canal JSON message, as far as a consumer needs it.
#[derive(Debug, Deserialize)]
struct Message {
    data: Vec<Row>,
    old: Option<Vec<Row>>,
    #[serde(rename = "pkNames")]
    key: Option<Vec<String>>,
    #[serde(rename = "type")]
    kind: String,
}

/// Names and values in the order of the message.
#[derive(Debug, Default)]
struct Row(Vec<(String, Option<String>)>);

impl Row {
    fn get(&self, name: &str) -> Option<&Option<String>> {
        self.0.iter().find(|(column, _)| column == name).map(|(_, value)| value)
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Row, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("columns and their values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
                let mut row = Row::default();
                while let Some(entry) = map.next_entry()? {
                    row.0.push(entry);
                }
                Ok(row)
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "  " };
            write!(f, "{separator}{name}={}", value.as_deref().unwrap_or("NULL"))?;
        }
        Ok(())
    }
}

/// A table as its consumer knows it: the values of the expected columns by key.
struct State {
    columns: Vec<String>,
    rows: BTreeMap<Vec<Option<String>>, Vec<Option<String>>>,
}

impl State {
    /// Applies a message; false if it does not fit what was there.
    fn apply(&mut self, message: &Message) -> Result<bool, String> {
        let [row] = message.data.as_slice() else { return Err(format!("{} rows", message.data.len())) };
        let key_columns = message.key.as_ref().ok_or("no key")?;
        let pick = |columns: &[String], row: &Row| {
            let value = |name: &String| row.get(name).cloned().ok_or(format!("no column {name}"));
            columns.iter().map(value).collect::<Result<Vec<_>, _>>()
        };
        let key = pick(key_columns, row)?;
        Ok(match message.kind.as_str() {
            "INSERT" => self.rows.insert(key, pick(&self.columns, row)?).is_none(),
            "UPDATE" => {
                let old = message.old.as_deref().and_then(<[Row]>::first).ok_or("an update without old")?;
                let keeps_key = key_columns.iter().all(|column| old.get(column).is_none());
                self.rows.insert(key, pick(&self.columns, row)?).is_some() && keeps_key
            }
            "DELETE" => self.rows.remove(&key).is_some(),
            other => return Err(format!("type {other}")),
        })
    }

    /// The sums that the server was asked for: each row's values joined by tabs, NULL as `\N`.
    fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for row in self.rows.values() {
            let values: Vec<&str> = row.iter().map(|value| value.as_deref().unwrap_or("\\N")).collect();
            let crc32 = crc32fast::hash(values.join("\t").as_bytes());
            sums.rows += 1;
            sums.crc32_sum += u64::from(crc32);
            sums.crc32_xor ^= crc32;
        }
        sums
    }
}

/// What was consumed from one topic.
struct Topic {
    name: String,
    state: State,
    /// Messages by type.
    counts: BTreeMap<String, u64>,
    /// Messages that did not fit the state before them: an insert of a row that was there, a change of one that was not.
    surprises: u64,
    /// The first message of each type in full, with its partition.
    first: BTreeMap<String, (i32, String, Message)>,
}

/// Reads all topics from their beginnings until `message_count` messages have come.
fn consume(brokers: &str, expected: &Expected, message_count: u64) -> Result<Vec<Topic>, DemoError> {
    let topic = |table: &ExpectedTable| Topic {
        name: table.table.clone(),
        state: State { columns: table.columns.clone(), rows: BTreeMap::new() },
        counts: BTreeMap::new(),
        surprises: 0,
        first: BTreeMap::new(),
    };
    let mut topics: Vec<Topic> = expected.tables.iter().map(topic).collect();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "tidegate-demo")
        .set("enable.auto.commit", "false")
        .create()?;
    let mut partitions = TopicPartitionList::new();
    for topic in &topics {
        for partition in 0..PARTITIONS {
            partitions.add_partition_offset(&topic.name, partition, Offset::Beginning)?;
        }
    }
    consumer.assign(&partitions)?;
    let deadline = Instant::now() + CONSUME_TIMEOUT;
    let mut found = 0;
    while found < message_count {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            if Instant::now() >= deadline {
                return Err(DemoError::Lost { found, expected: message_count });
            }
            continue;
        };
        let message = message?;
        let topic =
            topics.iter_mut().find(|topic| topic.name == message.topic()).expect("one of those that were asked for");
        let wrong = |reason: String| DemoError::Message { topic: message.topic().to_owned(), reason };
        let bytes = message.payload().ok_or_else(|| wrong("it is empty".to_owned()))?;
        let parsed: Message = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        if !topic.state.apply(&parsed).map_err(wrong)? {
            topic.surprises += 1;
        }
        found += 1;
        *topic.counts.entry(parsed.kind.clone()).or_default() += 1;
        if !topic.first.contains_key(&parsed.kind) {
            let text = String::from_utf8_lossy(bytes).into_owned();
            topic.first.insert(parsed.kind.clone(), (message.partition(), text, parsed));
        }
    }
    Ok(topics)
}

/// What the demo says, and how it looks.
struct Text<'a> {
    out: &'a mut dyn Write,
}

/// Types of messages in the order of a row's life.
const KINDS: [&str; 3] = ["INSERT", "UPDATE", "DELETE"];

impl Text<'_> {
    fn line(&mut self, line: fmt::Arguments<'_>) -> Result<(), DemoError> {
        writeln!(self.out, "{line}").and_then(|()| self.out.flush()).map_err(io("write to standard output"))
    }

    fn heading(&mut self, heading: &str) -> Result<(), DemoError> {
        self.line(format_args!("\n{heading}"))
    }

    fn block<'a>(&mut self, lines: impl Iterator<Item = &'a str>) -> Result<(), DemoError> {
        for line in lines {
            self.line(format_args!("  | {line}"))?;
        }
        Ok(())
    }

    fn result(&mut self, summary: &Summary) -> Result<(), DemoError> {
        self.line(format_args!(
            "  {} row images read, {} messages delivered in {:.2} s",
            grouped(summary.rows),
            grouped(summary.messages),
            summary.seconds
        ))
    }

    /// One message in full, and the rows of the first of each type.
    fn sample(&mut self, topics: &[Topic]) -> Result<(), DemoError> {
        if let Some((partition, text, _)) = topics.iter().find_map(|topic| topic.first.get("UPDATE")) {
            self.line(format_args!("  One message in full (partition {partition}):\n  {text}"))?;
        }
        self.line(format_args!("  The first of each type:"))?;
        for topic in topics {
            for kind in KINDS {
                let Some((_, _, message)) = topic.first.get(kind) else { continue };
                let row = &message.data[0];
                self.line(format_args!("  {:14} {kind}  {row}", topic.name))?;
                if let Some(old) = message.old.as_ref().and_then(|rows| rows.first()) {
                    self.line(format_args!("  {:14}    old  {old}", ""))?;
                }
            }
        }
        Ok(())
    }

    fn counts(&mut self, topics: &[Topic]) -> Result<(), DemoError> {
        self.line(format_args!("  {:16} {:>8} {:>8} {:>8}", "topic", KINDS[0], KINDS[1], KINDS[2]))?;
        for topic in topics {
            let count = |kind: &str| grouped(topic.counts.get(kind).copied().unwrap_or(0));
            let (inserts, updates, deletes) = (count(KINDS[0]), count(KINDS[1]), count(KINDS[2]));
            self.line(format_args!("  {:16} {inserts:>8} {updates:>8} {deletes:>8}", topic.name))?;
        }
        Ok(())
    }
}

/// 1234567 as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a table like lineitem as `tpch.lineitem/part-*.parquet`: the same rows every time.
fn generate(folder: &Path, rows: u64) -> Result<(), DemoError> {
    let folder = folder.join("tpch.lineitem");
    std::fs::create_dir_all(&folder).map_err(io(format!("create {}", folder.display())))?;
    let table = lineitem();
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..GENERATED_FILES)
            .map(|part| {
                let (folder, table) = (&folder, &table);
                let range = part * rows / GENERATED_FILES..(part + 1) * rows / GENERATED_FILES;
                scope.spawn(move || generate_part(&folder.join(format!("part-{part}.parquet")), table, range))
            })
            .collect();
        parts.into_iter().try_for_each(|part| part.join().expect("generating does not panic"))
    })
}

fn lineitem() -> Table {
    let int = |bytes| SqlType::Int { bytes, unsigned: false };
    let money = SqlType::Decimal { precision: 15, scale: 2 };
    let columns: Vec<(&str, SqlType, &str)> = vec![
        ("l_orderkey", int(8), "bigint"),
        ("l_partkey", int(4), "int"),
        ("l_suppkey", int(4), "int"),
        ("l_linenumber", int(4), "int"),
        ("l_quantity", money.clone(), "decimal(15,2)"),
        ("l_extendedprice", money.clone(), "decimal(15,2)"),
        ("l_discount", money.clone(), "decimal(15,2)"),
        ("l_tax", money, "decimal(15,2)"),
        ("l_returnflag", SqlType::Char, "char(1)"),
        ("l_linestatus", SqlType::Char, "char(1)"),
        ("l_shipdate", SqlType::Date, "date"),
        ("l_commitdate", SqlType::Date, "date"),
        ("l_receiptdate", SqlType::Date, "date"),
        ("l_shipinstruct", SqlType::Char, "char(25)"),
        ("l_shipmode", SqlType::Char, "char(10)"),
        ("l_comment", SqlType::VarChar, "varchar(44)"),
    ];
    let column = |(name, sql_type, type_text): (&str, SqlType, &str)| Column {
        name: name.to_owned(),
        charset: sql_type.is_text().then(|| "utf8mb4".to_owned()),
        sql_type,
        type_text: type_text.to_owned(),
        nullable: false,
    };
    Table::from(TableParts {
        name: TableName::new("tpch", "lineitem"),
        version: 1,
        columns: columns.into_iter().map(column).collect(),
        unique_keys: vec![UniqueKey { name: "PRIMARY".to_owned(), columns: vec![0, 3] }],
    })
}

fn generate_part(path: &Path, table: &Table, rows: std::ops::Range<u64>) -> Result<(), DemoError> {
    const BATCH: u64 = 16_384;
    let definition = serde_json::to_string(&TableParts::from(table.clone())).expect("tables are JSON");
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(65_536))
        .set_key_value_metadata(Some(vec![KeyValue::new(TABLE_KEY.to_owned(), definition)]))
        .build();
    let file = File::create(path).map_err(io(format!("create {}", path.display())))?;
    let mut writer = ArrowWriter::try_new(file, table.schema().clone(), Some(properties))?;
    let mut random = Random(rows.start);
    for start in rows.clone().step_by(BATCH as usize) {
        let columns = lineitem_columns(start..(start + BATCH).min(rows.end), &mut random);
        let batch = RecordBatch::try_new(table.schema().clone(), columns).expect("columns are those of the table");
        writer.write(&batch)?;
    }
    writer.close()?;
    Ok(())
}

fn lineitem_columns(rows: std::ops::Range<u64>, random: &mut Random) -> Vec<ArrayRef> {
    const WORDS: &str = "carefully final deposits sleep quickly above the furiously regular accounts, blithely ironic packages nag \
        across the slyly bold requests; express theodolites wake along the quiet ideas, pending foxes haggle even asymptotes";
    let count = (rows.end - rows.start) as usize;
    let money = |values: Vec<i128>| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(15, 2).expect("15 digits are fewer than 38"))
    };
    let mut ints = |below: u64| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values((0..count).map(|_| random.below(below) as i32 + 1)))
    };
    let (parts, suppliers) = (ints(200_000), ints(10_000));
    let quantities: Vec<i128> = (0..count).map(|_| i128::from(random.below(50)) + 1).collect();
    let prices = quantities.iter().map(|quantity| quantity * (90_000 + i128::from(random.below(120_000)))).collect();
    let discounts = (0..count).map(|_| i128::from(random.below(11))).collect();
    let taxes = (0..count).map(|_| i128::from(random.below(9))).collect();
    let mut one_of = |words: &[&str]| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..count).map(|_| words[random.below(words.len() as u64) as usize])))
    };
    let (flags, states) = (one_of(&["A", "N", "R"]), one_of(&["F", "O"]));
    let instructions = one_of(&["COLLECT COD", "DELIVER IN PERSON", "NONE", "TAKE BACK RETURN"]);
    let modes = one_of(&["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"]);
    let first_day = date_from_parts(1992, 1, 2);
    let shipped: Vec<i32> = (0..count).map(|_| first_day + random.below(2_500) as i32).collect();
    let mut later = |days: u64| -> ArrayRef {
        Arc::new(Date32Array::from_iter_values(shipped.iter().map(|day| day + random.below(days) as i32)))
    };
    let (committed, received) = (later(60), later(30));
    let comments = StringArray::from_iter_values((0..count).map(|_| {
        let length = 10 + random.below(34) as usize;
        let start = random.below((WORDS.len() - length) as u64) as usize;
        &WORDS[start..start + length]
    }));
    vec![
        // Four lines per order, and gaps between orders as in the original.
        Arc::new(Int64Array::from_iter_values(rows.clone().map(|row| {
            let order = row / 4;
            (order / 8 * 32 + order % 8 + 1) as i64
        }))),
        parts,
        suppliers,
        Arc::new(Int32Array::from_iter_values(rows.map(|row| (row % 4) as i32 + 1))),
        money(quantities.iter().map(|quantity| quantity * 100).collect()),
        money(prices),
        money(discounts),
        money(taxes),
        flags,
        states,
        Arc::new(Date32Array::from(shipped)),
        committed,
        received,
        instructions,
        modes,
        Arc::new(comments),
    ]
}

/// SplitMix64: numbers that look random and are the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * u128::from(limit)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &str, data: &str, old: &str) -> Message {
        let text = format!(r#"{{"data":[{data}],"old":{old},"pkNames":["id"],"type":"{kind}","sqlType":{{"id":4}}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn messages_make_a_state_and_its_sums() {
        let mut state = State { columns: vec!["id".to_owned(), "name".to_owned()], rows: BTreeMap::new() };
        assert_eq!(state.apply(&message("INSERT", r#"{"id":"1","name":"a"}"#, "null")), Ok(true));
        assert_eq!(state.apply(&message("INSERT", r#"{"id":"2","name":"b"}"#, "null")), Ok(true));
        assert_eq!(state.apply(&message("UPDATE", r#"{"id":"1","name":null}"#, r#"[{"name":"a"}]"#)), Ok(true));
        assert_eq!(state.apply(&message("DELETE", r#"{"id":"2","name":"b"}"#, "null")), Ok(true));
        let crc32 = crc32fast::hash(b"1\t\\N");
        assert_eq!(state.sums(), Sums { rows: 1, crc32_sum: u64::from(crc32), crc32_xor: crc32 });
    }

    #[test]
    fn messages_that_do_not_fit_are_surprises() {
        let mut state = State { columns: vec!["id".to_owned()], rows: BTreeMap::new() };
        assert_eq!(state.apply(&message("DELETE", r#"{"id":"1"}"#, "null")), Ok(false));
        assert_eq!(state.apply(&message("INSERT", r#"{"id":"1"}"#, "null")), Ok(true));
        assert_eq!(state.apply(&message("INSERT", r#"{"id":"1"}"#, "null")), Ok(false));
        assert_eq!(state.apply(&message("UPDATE", r#"{"id":"1"}"#, r#"[{"id":"7"}]"#)), Ok(false));
        assert!(state.apply(&message("QUERY", r#"{"id":"1"}"#, "null")).is_err());
    }

    #[test]
    fn the_whole_way_ends_as_the_server_did() {
        let mut out = Vec::new();
        show(&mut out, &Runner::start().unwrap(), 10_000).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.matches("state equals the server's: yes").count(), 3, "{out}");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn the_recordings_are_read() {
        let expected: Expected = serde_json::from_str(EXPECTED).unwrap();
        assert_eq!(expected.tables.len(), 3);
        for text in [FULL_LOAD, CHANGES] {
            let folder = Folder { path: PathBuf::from("/nowhere/with \"quotes\"") };
            config::parse("demo.yaml", &folder.task(text, "127.0.0.1:1234")).unwrap();
            assert_eq!(folder.task(text, "x").matches("datasets/").count(), 0);
        }
    }

    #[test]
    fn the_generated_table_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        generate(folder.path(), 1000).unwrap();
        let data_set =
            crate::source::parquet::DataSet::open(folder.path(), &TableName::new("tpch", "lineitem")).unwrap();
        assert_eq!((data_set.rows(), data_set.table().key()), (1000, [0, 3].as_slice()));
    }
}
