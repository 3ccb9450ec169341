//! Readers and a writer that know nothing of us: the real Canal beside us on the same binlog, Flink's `canal-json` and
//! fastavro behind us.
//!
//! ```text
//!             ┌──► CanalReader ──────────────────────────► messages ┐
//!  MySQL ──binlog                                                     must be equal, byte for byte
//!             └──► tidegate, canal_json ──► Kafka ──────► messages ┴──► FlinkReader ──► must be the same changes
//!             └──► tidegate, dts_avro ────► Kafka ──────► messages ───► fastavro    ──► must be what apache-avro reads
//! ```
//!
//! `scripts/servers.sh up` fetches them. Each statement changes one row, so that Canal, too, has one row in a message.
//! What we keep different from Canal on purpose stands in [`DIFFERENCES`], with both texts, and in `engine/format/formats.md`.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use fastrand::Rng;

use super::harness::consume::{Pairs, Row, read_values};
use super::harness::source_state::bytes_of_hex;
use super::harness::world::{MARKER, kafka_sink};
use super::harness::{Kind, Message, Private, Reader, Servers, Tidegate, World, avro, scaled, seeded};

/// A column's type, and one of its values as SQL.
struct Column {
    definition: &'static str,
    literal: fn(&mut Rng) -> String,
}

impl Column {
    fn value(&self, rng: &mut Rng) -> String {
        if rng.u8(..8) == 0 { "NULL".to_owned() } else { (self.literal)(rng) }
    }
}

const fn column(definition: &'static str, literal: fn(&mut Rng) -> String) -> Column {
    Column { definition, literal }
}

/// All types that Canal knows, with values of which it makes the same text.
const COLUMNS: &[Column] = &[
    column("TINYINT", |rng| rng.i8(..).to_string()),
    column("TINYINT(1)", |rng| rng.u8(..3).to_string()),
    column("TINYINT UNSIGNED", |rng| pick(rng, &["0", "127", "128", "255"])),
    column("SMALLINT", |rng| rng.i16(..).to_string()),
    column("SMALLINT UNSIGNED", |rng| pick(rng, &["0", "32767", "32768", "65535"])),
    column("MEDIUMINT", |rng| rng.i32(-8_388_608..8_388_608).to_string()),
    column("MEDIUMINT UNSIGNED", |rng| pick(rng, &["0", "8388607", "8388608", "16777215"])),
    column("INT", |rng| rng.i32(..).to_string()),
    column("INT(6) UNSIGNED ZEROFILL", |rng| pick(rng, &["42", "2147483647", "2147483648", "4294967295"])),
    column("BIGINT", |rng| rng.i64(..).to_string()),
    column("BIGINT UNSIGNED", |rng| {
        pick(rng, &["0", "9223372036854775807", "9223372036854775808", "18446744073709551615"])
    }),
    // Of other scales Canal drops zeros at the end.
    column("DECIMAL(20,0)", |rng| rng.i64(..).to_string()),
    column("DECIMAL(30,9)", |rng| format!("{}.{}", rng.i32(..), rng.u32(..1_000_000_000))),
    column("DECIMAL(65,27)", |rng| format!("{}.{}", rng.i64(..), rng.u64(..))),
    // Of few digits: of some others Java 17 does not find the shortest.
    column("FLOAT", |rng| format!("{}e-2", rng.i32(-99_999..100_000))),
    column("DOUBLE", |rng| format!("{}e-3", rng.i32(..))),
    column("BIT(1)", |rng| pick(rng, &["0", "1"])),
    column("BIT(10)", |rng| rng.u16(..1024).to_string()),
    column("BIT(64)", |rng| rng.u64(..).to_string()),
    column("DATE", |rng| {
        let day = format!("'{:04}-{:02}-{:02}'", rng.u16(1..10_000), rng.u8(1..13), rng.u8(1..29));
        let choices = ["'0000-00-00'", "'2010-00-10'", "'9999-12-31'", "'0001-01-01'", &day, &day];
        pick(rng, &choices)
    }),
    column("DATETIME", |rng| pick(rng, &["'0000-00-00'", "'2024-02-29 23:59:59'", "'2010-00-10 01:02:03'"])),
    column("DATETIME(3)", |rng| format!("'2024-02-29 23:59:59' + INTERVAL {} MICROSECOND", rng.u32(..) / 1000 * 1000)),
    column("DATETIME(6)", |rng| format!("'1000-01-01' + INTERVAL {} MICROSECOND", rng.u64(..1 << 50))),
    column("TIMESTAMP NULL", |rng| pick(rng, &["'0000-00-00'", "'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'"])),
    column("TIMESTAMP(2) NULL", |rng| format!("'1971-01-01' + INTERVAL {} SECOND", rng.u32(..1 << 30))),
    column("TIMESTAMP(6) NULL", |rng| format!("'1971-01-01' + INTERVAL {} MICROSECOND", rng.u64(..1 << 50))),
    column("TIME", |rng| pick(rng, &["'-838:59:59'", "'838:59:59'", "'00:00:00'", "'-00:00:01'", "'100:00:00'"])),
    column("TIME(3)", |rng| pick(rng, &["'-00:00:00.001'", "'-01:02:03.004'", "'838:59:58.999'", "'00:00:00'"])),
    column("TIME(6)", |rng| pick(rng, &["'-00:00:00.000001'", "'-838:59:58.999999'", "'12:34:56.789'"])),
    column("YEAR", |rng| pick(rng, &["1901", "2155", "'0000'", "2024"])),
    column("CHAR(10)", text),
    column("VARCHAR(40)", text),
    column("VARCHAR(300)", text),
    column("VARCHAR(20) CHARACTER SET utf8mb3", |rng| pick(rng, &["'潮é'", "''", "'a\"b'"])),
    column("TINYTEXT", text),
    column("TEXT", |rng| format!("REPEAT({}, {})", text(rng), rng.u16(..500))),
    column("LONGTEXT", text),
    // Its last byte is not zero: Canal does not pad.
    column("BINARY(4)", |rng| format!("X'{:06x}{:02x}'", rng.u32(..1 << 24), rng.u8(1..))),
    column("VARBINARY(20)", |rng| format!("X'{:016x}'", rng.u64(..))),
    column("TINYBLOB", |rng| format!("X'{:04x}'", rng.u16(..))),
    column("BLOB", |rng| format!("REPEAT(X'{:08x}', {})", rng.u32(..), rng.u8(..))),
    column("LONGBLOB", |rng| pick(rng, &["X''", "X'225c0a00ff7f80'"])),
    column("ENUM('a','it''s','c,d')", |rng| rng.u8(0..4).to_string()),
    column("SET('a','b','c')", |rng| rng.u8(0..8).to_string()),
    column("JSON", |rng| match rng.u8(..4) {
        0 => "'null'".to_owned(),
        1 => format!(r#"'[{}, true, false, null, "潮 \\" \\\\ / \\n"]'"#, rng.i64(..)),
        2 => format!(r#"'{{"b": {{"a": [], "aa": {{}}}}, "a": {}}}'"#, rng.u64(..)),
        _ => format!("JSON_ARRAY(REPEAT('x', {}), {})", rng.u32(..70_000), rng.i16(..)),
    }),
    column("POINT", |rng| format!("ST_GeomFromText('POINT({} {})')", rng.i16(..), rng.i8(..))),
    column("GEOMETRY", |rng| {
        pick(rng, &["ST_GeomFromText('LINESTRING(0 0,1 2)', 4326)", "ST_GeomFromText('GEOMETRYCOLLECTION EMPTY')"])
    }),
];

fn pick(rng: &mut Rng, choices: &[&str]) -> String {
    choices[rng.usize(..choices.len())].to_owned()
}

fn text(rng: &mut Rng) -> String {
    pick(
        rng,
        &["''", "'a'", "'trailing  '", "'é潮🌊'", r#"'q"uo''te\\'"#, "CONCAT('t', CHAR(9,10,13,31,127))", "'</a>'"],
    )
}

const CREATED_AT_ONCE: usize = 6;

/// Random columns behind a number that is never given twice.
struct Table {
    name: String,
    columns: Vec<&'static Column>,
    key: &'static str,
    next: u64,
    alive: Vec<u64>,
}

impl Table {
    fn random(rng: &mut Rng, index: usize) -> Table {
        let mut columns: Vec<&Column> = COLUMNS.iter().filter(|_| rng.bool()).collect();
        rng.shuffle(&mut columns);
        const KEYS: [&str; 4] = [", PRIMARY KEY (n)", ", PRIMARY KEY (k, n)", ", UNIQUE KEY (n)", ""];
        Table { name: format!("t{index}"), columns, key: KEYS[index % 4], next: 1, alive: Vec::new() }
    }

    fn definition(&self) -> String {
        let columns: Vec<_> =
            self.columns.iter().enumerate().map(|(index, column)| format!("c{index} {}", column.definition)).collect();
        let separator = if columns.is_empty() { "" } else { ", " };
        format!(
            "CREATE TABLE {} ({}{separator}n BIGINT NOT NULL, m INT, k CHAR(3) NOT NULL{})",
            self.name,
            columns.join(", "),
            self.key
        )
    }

    /// A statement that changes one row.
    fn statement(&mut self, rng: &mut Rng) -> String {
        if self.alive.len() < 3 || rng.u8(..3) == 0 {
            let mut values: Vec<String> = self.columns.iter().map(|column| column.value(rng)).collect();
            values.extend([self.next.to_string(), "NULL".to_owned(), "'k'".to_owned()]);
            self.alive.push(self.next);
            self.next += 1;
            return format!("INSERT INTO {} VALUES ({})", self.name, values.join(", "));
        }
        let index = rng.usize(..self.alive.len());
        if rng.u8(..4) == 0 {
            return format!("DELETE FROM {} WHERE n = {}", self.name, self.alive.swap_remove(index));
        }
        let n = self.alive[index];
        // An update that changes nothing is no event. One of the key would be two messages of ours.
        let mut assignments = vec!["m = IFNULL(m, 0) + 1".to_owned()];
        for (index, column) in self.columns.iter().enumerate() {
            if rng.u8(..4) == 0 {
                assignments.push(format!("c{index} = {}", column.value(rng)));
            }
        }
        format!("UPDATE {} SET {} WHERE n = {n}", self.name, assignments.join(", "))
    }
}

/// All of it in one order: one topic, one partition, changes only.
fn changes_only(world: &World, name: &str, format: &str) -> super::harness::TaskFile {
    let mut task = world.task();
    task.path = world.path(&format!("{name}.yaml"));
    task.state = world.path(name);
    task.name = format!("{}_{name}", world.database);
    task.sink = kafka_sink(&world.kafka, ", topic: \"{task}\", partition: zero");
    task.format = format.to_owned();
    task.more = "full_load: false".to_owned();
    task
}

/// What the task makes of the binlog up to the marker, as bytes.
fn our_values(world: &mut World, name: &str, format: &str) -> Vec<Vec<u8>> {
    let task = changes_only(world, name, format);
    let mut reader = Reader::new(&world.kafka, vec![task.name.clone()]);
    let engine = Tidegate::run(&task);
    world.finish(engine, &mut reader, |_| ());
    read_values(&world.kafka, &task.name, 0)
}

/// What Canal makes of the binlog from this file's start to the marker: messages about rows.
fn canal_lines(world: &World, file: &str) -> Vec<String> {
    let address = world.mysql_url.rsplit('@').next().expect("a URL has an address");
    let (host, port) = address.split_once(':').expect("an address has a port");
    let filter = format!("{}\\..*", world.database);
    let marker = format!("{}.{MARKER}", world.database);
    let output = java("TIDEGATE_TEST_CANAL", "CanalReader")
        .args([host, port, "tide", "tide", file, "4", &filter, &marker])
        .output()
        .expect("java runs");
    assert!(output.status.success(), "CanalReader: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("messages are UTF-8");
    lines.lines().filter(|line| line.contains("\"isDdl\":false") && is_of_ours(line)).map(str::to_owned).collect()
}

fn is_of_ours(message: &str) -> bool {
    !message.contains(&format!("\"table\":\"{MARKER}\""))
}

fn java(class_path: &str, class: &str) -> Command {
    let class_path = std::env::var(class_path).expect("a class path; see Servers::with_oracles");
    let mut command = Command::new("java");
    command.args(["-Duser.timezone=UTC", "-Dfile.encoding=UTF-8", "-cp", &class_path, class]);
    command
}

/// Without the two numbers that are each program's own.
fn masked(message: &str) -> String {
    let mut out = message.to_owned();
    for (key, next) in [("\"id\":", ",\"isDdl\":"), ("\"ts\":", ",\"type\":\"")] {
        let end = out.rfind(next).unwrap_or_else(|| panic!("no {next} in {message}"));
        let start = out[..end].rfind(key).unwrap_or_else(|| panic!("no {key} in {message}")) + key.len();
        out.replace_range(start..end, "*");
    }
    out
}

/// Feeds a program and gives its lines.
pub(super) fn lines_of(mut command: Command, input: &[u8]) -> Vec<String> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    let output = std::thread::scope(|scope| {
        // It may answer before it has read all.
        scope.spawn(move || stdin.write_all(input).expect("the program reads its input"));
        child.wait_with_output().expect("the program ends")
    });
    assert!(output.status.success(), "{command:?}: {}", output.status);
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

#[test]
fn canal_writes_the_same_bytes_and_others_read_them() {
    let Some(servers) = Servers::with_oracles() else { return };
    let test = "oracles";
    let mut rng = seeded(test);
    // Canal stops at every VECTOR on its server, and fills `gtid` where there are GTIDs only if it starts behind some.
    let private = Private::up(&["mysql-nogtid"], "");
    let mut world = World::new(test, private.mysql_nogtid(), &servers.kafka);
    world.mysql.run("SET sql_mode = ''");
    world.mysql.run("SET time_zone = '+00:00'");
    let mut tables: Vec<Table> = (0..CREATED_AT_ONCE).map(|index| Table::random(&mut rng, index)).collect();
    for table in &tables {
        world.mysql.run(table.definition());
    }
    world.begin_binlog_file();
    let (file, ..): (String, u64, String, String, String) = world.mysql.query_one("SHOW BINARY LOG STATUS");
    let mut written = 0;
    let changes = scaled(1000);
    while written < changes {
        world.mysql.run("BEGIN");
        for _ in 0..rng.u64(1..30) {
            let table = rng.usize(..tables.len());
            let statement = tables[table].statement(&mut rng);
            world.mysql.run(statement);
            written += 1;
        }
        world.mysql.run("COMMIT");
    }

    let values = our_values(&mut world, "canal", "canal_json");
    let ours: Vec<String> = values.into_iter().map(|value| String::from_utf8(value).expect("JSON is UTF-8")).collect();
    let ours: Vec<String> = ours.into_iter().filter(|message| is_of_ours(message)).collect();
    let theirs = canal_lines(&world, &file);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let (ours, theirs) = (masked(ours), masked(theirs));
        assert!(ours == theirs, "{}\nours  {ours}\nCanal {theirs}", first_difference(&ours, &theirs));
    }
    assert_eq!(ours.len(), theirs.len());
    println!("{test}: {} messages equal to Canal's", ours.len());
    for table in &tables {
        flink_reads_the_same_changes(&ours, &table.name);
    }
    fastavro_reads_what_apache_avro_reads(&mut world);
}

fn first_difference(a: &str, b: &str) -> String {
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    format!("differ at byte {same}: {:?} and {:?}", around(a, same), around(b, same))
}

fn around(text: &str, at: usize) -> String {
    let bytes = &text.as_bytes()[at.saturating_sub(40)..text.len().min(at + 40)];
    String::from_utf8_lossy(bytes).into_owned()
}

/// All columns as STRING: what Flink's own types cannot hold is its known limit, not ours.
fn flink_reads_the_same_changes(messages: &[String], table: &str) {
    let of_table: Vec<&String> =
        messages.iter().filter(|message| message.contains(&format!("\"table\":\"{table}\""))).collect();
    let parsed: Vec<Message> =
        of_table.iter().map(|message| Message::parse(message.as_bytes(), 0, 0).expect("a message")).collect();
    let Some(first) = parsed.first() else { return };
    let columns: Vec<_> = first.data.names().into_iter().map(|name| serde_json::json!([name, "STRING"])).collect();
    let mut input = serde_json::json!({ "columns": columns }).to_string();
    for message in &of_table {
        input += "\n";
        input += message;
    }
    let lines = lines_of(java("TIDEGATE_TEST_FLINK", "FlinkReader"), input.as_bytes());
    assert_eq!(lines.len(), parsed.len());
    for (line, message) in lines.iter().zip(&parsed) {
        let after = |kind| (kind, message.data.clone());
        let expected = match message.kind {
            Kind::Insert => vec![after("+I")],
            Kind::Delete => vec![after("-D")],
            Kind::Update => vec![("-U", before(message)), after("+U")],
            _ => panic!("{message:?}"),
        };
        let rows: Vec<_> = expected
            .into_iter()
            .map(|(kind, row)| serde_json::json!({ "kind": kind, "row": row.0.into_iter().map(|(_, v)| v).collect::<Vec<_>>() }))
            .collect();
        let found: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(found, serde_json::Value::Array(rows), "{message:?}");
    }
    println!("oracles: Flink reads {} messages of {table}", parsed.len());
}

/// The row before an update: what `old` has, and the rest as it is after.
fn before(message: &Message) -> Row {
    let old = message.old.as_ref().expect("an update has it");
    let value = |name: &String, value: &Option<String>| old.find(name).unwrap_or(value).clone();
    Pairs(message.data.0.iter().map(|(name, after)| (name.clone(), value(name, after))).collect())
}

fn fastavro_reads_what_apache_avro_reads(world: &mut World) {
    let values = our_values(world, "avro", "{dts_avro: {transactions: true}}");
    let records = fastavro_reads(&values);
    assert_eq!(records.len(), values.len());
    for (found, value) in records.iter().zip(&values) {
        let expected = avro::as_fastavro_shows(value);
        for (field, expected) in expected.as_object().expect("a record") {
            assert_eq!(found.get(field), Some(expected), "{field} of {found}");
        }
        assert_eq!(found.as_object().map(|fields| fields.len()), Some(15));
    }
    println!("oracles: fastavro reads {} records", values.len());
}

/// With the schema alone.
fn fastavro_reads(values: &[Vec<u8>]) -> Vec<serde_json::Value> {
    let mut input = Vec::new();
    for value in values {
        input.extend((value.len() as u32).to_le_bytes());
        input.extend(value);
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut python = Command::new(std::env::var("TIDEGATE_TEST_PYTHON").expect("see Servers::with_oracles"));
    python.arg(root.join("oracles/read_avro.py")).arg(root.join("../engine/format/src/encode/dts_avro/record.avsc"));
    let lines = lines_of(python, &input);
    lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Full load and changes, filter, projection and three partitions: what fastavro reads, applied partition by partition, is what
/// the server holds.
#[test]
fn the_whole_way_as_fastavro_reads_it() {
    let Some(servers) = Servers::with_oracles() else { return };
    let test = "whole_way";
    let mut rng = seeded(test);
    let mut world = World::new(test, &servers.mysql, &servers.kafka);
    world.mysql.run(
        "CREATE TABLE orders (
            id INT PRIMARY KEY, country CHAR(2), amount DECIMAL(10,2), name VARCHAR(50), state ENUM('new', 'paid')
        )",
    );
    let row = |rng: &mut Rng, id: u32| {
        let (amount, country) = (rng.u32(..2000), pick(rng, &["'de'", "'at'", "'fr'", "NULL"]));
        format!("({id}, {country}, {amount}e-2, 'é潮{}', {})", rng.u16(..), rng.u8(1..3))
    };
    let rows: Vec<String> = (0..300).map(|id| row(&mut rng, id)).collect();
    world.mysql.run(format!("INSERT INTO orders VALUES {}", rows.join(",")));
    let mut task = world.task();
    task.format = "dts_avro".to_owned();
    task.tables = format!(
        "
  - {0}.marker
  - table: {0}.orders
    where: amount > 10 AND country IN ('de', 'at')
    select: [id, name AS customer, amount, \"upper(country) AS land\", state]",
        world.database
    );
    let mut reader = world.reader(["orders"]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    for id in 0..300 {
        let id = rng.u32(..300).max(id / 2);
        world.mysql.run(match rng.u8(..5) {
            0 => format!("REPLACE INTO orders VALUES {}", row(&mut rng, 300 + id)),
            1 => format!("DELETE FROM orders WHERE id = {id}"),
            2 => format!("UPDATE IGNORE orders SET id = id + 1000 WHERE id = {id}"),
            3 => format!("UPDATE orders SET country = 'de', name = 'x{id}' WHERE id = {id}"),
            _ => format!("UPDATE orders SET amount = {}e-2 WHERE id = {id}", rng.u32(..2000)),
        });
    }
    world.finish(engine, &mut reader, |_| ());

    let mut state = BTreeMap::new();
    let mut operations = BTreeMap::<String, u64>::new();
    for partition in 0..3 {
        let values = read_values(&world.kafka, &world.topic("orders"), partition);
        assert!(!values.is_empty(), "the keys fall into all partitions");
        for record in fastavro_reads(&values) {
            let operation = record["operation"].as_str().expect("a symbol").to_owned();
            let [before, after] = ["beforeImages", "afterImages"].map(|field| shown_row(&record[field]));
            let key = |row: &Vec<Option<String>>| (partition, row[0].clone());
            // Nothing comes twice: a row that is put was not there, one that is changed or taken was there as it says.
            assert_eq!(before.as_ref().and_then(|row| state.remove(&key(row))), before, "{record}");
            if let Some(row) = after {
                assert_eq!(state.insert(key(&row), row), None, "{record}");
            }
            *operations.entry(operation).or_default() += 1;
        }
    }
    println!("{test}: {operations:?}");
    assert_eq!(operations.keys().collect::<Vec<_>>(), ["DELETE", "INIT", "INSERT", "UPDATE"]);
    let source: Vec<(String, String, String, String, String)> = world.mysql.query(
        "SELECT CAST(id AS CHAR), name, CAST(amount AS CHAR), UPPER(country), CAST(state AS CHAR) FROM orders
         WHERE amount > 10 AND country IN ('de', 'at')",
    );
    let mut source: Vec<Vec<Option<String>>> =
        source.into_iter().map(|(a, b, c, d, e)| [a, b, c, d, e].map(Some).to_vec()).collect();
    let mut found: Vec<Vec<Option<String>>> = state.into_values().collect();
    source.sort();
    found.sort();
    assert_eq!(found, source);
}

/// The values of a row's images; none where there are no images.
fn shown_row(images: &serde_json::Value) -> Option<Vec<Option<String>>> {
    let cell = |image: &serde_json::Value| {
        let value = image.get(1)?.get("value")?.as_str()?;
        Some(if image[0] == "Character" {
            String::from_utf8(bytes_of_hex(value)).expect("utf8mb4")
        } else {
            value.to_owned()
        })
    };
    Some(images.as_array()?.iter().map(cell).collect())
}

/// A type, a value, Canal's text and ours.
const DIFFERENCES: &[(&str, &str, &str, &str)] = &[
    ("DECIMAL(10,2)", "99", "99.0", "99.00"),
    ("DECIMAL(20,6)", "0", "0.0", "0.000000"),
    ("BINARY(4)", "X'0100'", "\u{1}", "\u{1}\u{0}\u{0}\u{0}"),
    ("DOUBLE", "1e23", "9.999999999999999E22", "1.0E23"),
    ("VARCHAR(5) CHARACTER SET latin1", "'é'", "\u{fffd}", "é"),
    ("VARCHAR(5) CHARACTER SET gbk", "'中'", "\u{fffd}\u{fffd}", "中"),
    ("JSON", "'[2.5e30, 0.00001]'", "[2.5E30, 1.0E-5]", "[2.5e30, 0.00001]"),
    ("JSON", "JSON_ARRAY(CAST('2024-02-29' AS DATE))", "[\"2024-02-29 00:00:00.000000\"]", "[\"2024-02-29\"]"),
    ("JSON", "JSON_ARRAY(CAST(1.5 AS DECIMAL(30,20)))", "[1.500000000000000000]", "[1.50000000000000000000]"),
    ("JSON", r#"'["a\\u0000b"]'"#, r#"["a"]"#, r#"["a\u0000b"]"#),
];

/// Each still is one, and users can read of it.
#[test]
fn differences_from_canal_are_those_that_are_documented() {
    let Some(servers) = Servers::with_oracles() else { return };
    let private = Private::up(&["mysql-nogtid"], "");
    let mut world = World::new("differences", private.mysql_nogtid(), &servers.kafka);
    let columns: Vec<_> =
        DIFFERENCES.iter().enumerate().map(|(index, (definition, ..))| format!("c{index} {definition}")).collect();
    world.mysql.run(format!("CREATE TABLE t ({})", columns.join(", ")));
    world.begin_binlog_file();
    let (file, ..): (String, u64, String, String, String) = world.mysql.query_one("SHOW BINARY LOG STATUS");
    let values: Vec<&str> = DIFFERENCES.iter().map(|(_, literal, ..)| *literal).collect();
    world.mysql.run(format!("INSERT INTO t VALUES ({})", values.join(", ")));

    let ours = our_values(&mut world, "canal", "canal_json");
    let theirs = canal_lines(&world, &file);
    let row = |value: &[u8]| Message::parse(value, 0, 0).expect("a message").data;
    let (ours, theirs) = (row(&ours[0]), row(theirs[0].as_bytes()));
    let documented = include_str!("../../engine/format/formats.md");
    let (_, documented) = documented.split_once("Where we differ from Canal").expect("the table of differences");
    let (documented, _) = documented.split_once("\nKnown limits").expect("what stands behind the table");
    for (index, (definition, literal, canal, we)) in DIFFERENCES.iter().enumerate() {
        let name = format!("c{index}");
        let said = (theirs.get(&name).map(String::as_str), ours.get(&name).map(String::as_str));
        assert_eq!(said, (Some(*canal), Some(*we)), "{definition} {literal}");
        let family = definition.split(['(', ' ']).next().expect("a split has a first part");
        let names =
            |line: &str| line.strip_prefix("| ").is_some_and(|line| line.split('|').next().unwrap().contains(family));
        assert!(documented.lines().any(names), "{definition}");
    }
}
