//! Full loads of real servers: `TIDEGATE_TEST_MYSQL` (GTIDs on) and `TIDEGATE_TEST_MYSQL_NOGTID`, both
//! `mysql://user:password@host:port` with an account that may do everything.

mod altered;
mod one_server;
mod pieces;
mod shared;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use arrow::array::{Array, AsArray};
use arrow::datatypes::*;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::view::text;
use super::*;
use crate::MysqlError;
use crate::catalog::{CatalogError, CatalogTable, LabelDoubt, Selection, find_tables, read_tables};
use crate::check::{Severity, check};
use crate::chunks::KeyValue;
use crate::connection::{self, quote_identifier, quote_text};
use crate::ledger::{ChunkState, TableChunks};
use crate::test_server;
use crate::wire::{TextResult, WireError};
use tidegate_model::state::{Changes, Entries};
use tidegate_model::types::{date_parts, datetime_parts};
use tidegate_model::{ChunkPart, Gtid, GtidSet, Progress, TableParts, pretty};

const GTID: &str = "TIDEGATE_TEST_MYSQL";
const NO_GTID: &str = "TIDEGATE_TEST_MYSQL_NOGTID";
const OLD: &str = "TIDEGATE_TEST_MYSQL_56";
const MARIADB: [&str; 2] = ["TIDEGATE_TEST_MARIADB", "TIDEGATE_TEST_MARIADB_11"];

/// A database of its own on a test server, dropped at the end.
struct Database {
    options: ConnectOptions,
    /// Whom loads log in as.
    reader: ConnectOptions,
    facts: ServerFacts,
    name: String,
}

impl Database {
    fn new(variable: &str, name: &str) -> Option<Database> {
        let options = test_server::options(variable)?;
        let facts = control(&options, async |conn| ServerFacts::read(conn).await.unwrap());
        let name = format!("snapshot_{name}_{}", std::process::id());
        let database = Database { reader: options.clone(), options, facts, name };
        let mut connection = Connection::connect(&database.options).unwrap();
        let create = format!("DROP DATABASE IF EXISTS {0}; CREATE DATABASE {0}", quote_identifier(&database.name));
        connection.query(&create).unwrap();
        Some(database)
    }

    fn connect(&self) -> Connection {
        let mut connection = Connection::connect(&self.options).unwrap();
        let mut settings = "SET NAMES utf8mb4; SET SESSION time_zone = '+00:00', sql_mode = ''".to_owned();
        if self.facts.version.is_mysql_since(8, 0, 3) {
            settings += ", cte_max_recursion_depth = 1000000";
        }
        connection.query(&format!("{settings}; USE {}", quote_identifier(&self.name))).unwrap();
        connection
    }

    fn run(&self, sql: &str) -> Vec<TextResult> {
        self.connect().query(sql).unwrap_or_else(|error| panic!("{error}: {sql}"))
    }

    /// Whether a load is connected from now on: a view lives as long as its connection.
    fn watch(&mut self) -> impl Fn() -> bool + use<> {
        let user = quote_text(&self.name);
        self.run(&format!("CREATE USER {user} IDENTIFIED BY 'reader'; GRANT ALL ON *.* TO {user}"));
        self.reader =
            ConnectOptions { user: self.name.clone(), password: Some("reader".to_owned()), ..self.options.clone() };
        let probe = Mutex::new(self.connect());
        let query = format!("SELECT COUNT(*) FROM {SESSIONS} WHERE USER = {user}");
        let is_connected = move || sessions(&mut lock(&probe), &query).scalar() != Some("0");
        // It would be seen.
        let connection = Connection::connect(&self.reader).unwrap();
        assert!(is_connected());
        drop(connection);
        wait_until_given_up(&is_connected);
        is_connected
    }

    fn catalog(&self, names: &[&str]) -> Vec<CatalogTable> {
        let named: Vec<TableName> = names.iter().map(|name| TableName::new(&self.name, name)).collect();
        let selection = Selection::named(&named);
        control(&self.options, async |conn| read_tables(conn, &selection).await.unwrap())
    }

    fn load_table(&self, name: &str) -> LoadTable {
        let table = Arc::new(self.catalog(&[name]).remove(0).table);
        LoadTable::whole(table)
    }

    /// Loads from the start; panics unless it completes.
    fn load(&self, tables: &[LoadTable], options: &LoadOptions) -> Loaded {
        self.load_beside(tables, options, &|| ())
    }

    /// `beside` is done by whoever emits a window.
    fn load_beside(&self, tables: &[LoadTable], options: &LoadOptions, beside: &(dyn Fn() + Sync)) -> Loaded {
        let ledger = Mutex::new(Ledger::new(start_position(&self.options, &self.facts, true).unwrap().0));
        let windows = Mutex::new(Vec::new());
        let emit = |window| {
            lock(&windows).push(window);
            beside();
            Ok(())
        };
        let end = self.run_load(tables, options, &ledger, &emit, &AtomicBool::new(false)).unwrap();
        assert_eq!(end, LoadEnd::Complete);
        let loaded = Loaded { windows: windows.into_inner().unwrap(), ledger: ledger.into_inner().unwrap() };
        loaded.acknowledged()
    }

    fn run_load(
        &self,
        tables: &[LoadTable],
        options: &LoadOptions,
        ledger: &Mutex<Ledger>,
        emit: &(dyn Fn(Window) -> Result<(), Stopped> + Sync),
        stop: &AtomicBool,
    ) -> Result<LoadEnd, LoadError> {
        let before = lock(ledger).clone();
        Load {
            connect: &self.reader,
            facts: &self.facts,
            tables,
            options,
            ledger: &before,
            record: ledger,
            emit,
            start: before.start(),
            start_is_low: true,
            plan: &|table| Ok(LoadTable::whole(table)),
            stop,
        }
        .run()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Ok(mut connection) = Connection::connect(&self.options) {
            let _ = connection.query(&format!("DROP DATABASE IF EXISTS {}", quote_identifier(&self.name)));
            if self.reader.user == self.name {
                let _ = connection.query(&format!("DROP USER {}", quote_text(&self.name)));
            }
        }
    }
}

fn control<T>(options: &ConnectOptions, ask: impl AsyncFnOnce(&mut mysql_async::Conn) -> T) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let mut conn = connection::connect(options).await.unwrap();
        let answer = ask(&mut conn).await;
        conn.disconnect().await.unwrap();
        answer
    })
}

/// What a window of a full load is of.
fn parts(window: &Window) -> (&TableName, &[ChunkPart]) {
    match &window.progress {
        Some(Progress::Chunks { table, parts }) => (table, parts),
        other => panic!("a full load makes progress by chunks, not {other:?}"),
    }
}

struct Loaded {
    windows: Vec<Window>,
    ledger: Ledger,
}

impl Loaded {
    /// As a pipeline would acknowledge: every window once it is delivered.
    fn acknowledged(mut self) -> Loaded {
        for window in &self.windows {
            let (table, parts) = parts(window);
            let rows: u64 = parts.iter().map(|part| part.rows).sum();
            assert_eq!(window.changes.iter().map(|batch| batch.kinds().len() as u64).sum::<u64>(), rows);
            parts.iter().for_each(|part| self.ledger.chunk_acknowledged(table, part.chunk, part.rows, part.done));
        }
        assert!(self.ledger.all_done());
        self
    }

    /// Every batch with the number of its chunk.
    fn batches(&self) -> impl Iterator<Item = (usize, ChangeBatch)> {
        self.windows.iter().flat_map(|window| {
            let mut begin = 0;
            let parts = parts(window).1.iter().map(move |part| {
                let rows = begin..begin + part.rows as usize;
                begin = rows.end;
                (part.chunk as usize, rows)
            });
            parts.filter(|(_, rows)| !rows.is_empty()).flat_map(|(chunk, rows)| {
                let of_part = |batch: &ChangeBatch| {
                    let keep = (0..batch.kinds().len()).map(|row| rows.contains(&row));
                    batch.clone().retain(&keep.collect::<Vec<_>>().into())
                };
                window.changes.iter().map(|batch| (chunk, of_part(batch))).collect::<Vec<_>>()
            })
        })
    }

    fn chunks(&self) -> &TableChunks {
        &self.ledger.tables()[0]
    }

    /// All values of a column as text, in order.
    fn values(&self, column: &str) -> Vec<String> {
        let mut values: Vec<String> = Vec::new();
        for (_, batch) in self.batches() {
            let index = batch.table().column_index(column).unwrap();
            let array = batch.rows().column(index);
            values.extend((0..array.len()).map(|row| show(array.as_ref(), row)));
        }
        values.sort();
        values
    }
}

/// A value so that its exact bytes can be told from it.
fn show(array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return "NULL".to_owned();
    }
    let date = |days| {
        let (year, month, day) = date_parts(days);
        format!("{year:04}-{month:02}-{day:02}")
    };
    match array.data_type() {
        DataType::Date32 => date(array.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(..) => {
            let (days, microseconds) = datetime_parts(array.as_primitive::<TimestampMicrosecondType>().value(row));
            format!("{} {microseconds}", date(days))
        }
        DataType::Duration(_) => array.as_primitive::<DurationMicrosecondType>().value(row).to_string(),
        DataType::Float32 => format!("{:?}", array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => format!("{:?}", array.as_primitive::<Float64Type>().value(row)),
        DataType::Dictionary(..) => {
            let labels = array.as_dictionary::<UInt16Type>();
            let ordinal = labels.keys().value(row);
            format!("{ordinal}:{}", labels.values().as_string::<i32>().value(ordinal as usize))
        }
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        _ => ArrayFormatter::try_new(array, &FormatOptions::new()).unwrap().value(row).to_string(),
    }
}

fn small_chunks(chunk_rows: u64) -> LoadOptions {
    LoadOptions { chunk_rows, window_rows: 64, ..LoadOptions::default() }
}

#[test]
fn four_readers_load_every_row_exactly_once() {
    let Some(database) = Database::new(GTID, "gaps") else { return };
    database.run(
        "CREATE TABLE t (id BIGINT PRIMARY KEY, v INT NOT NULL, filler VARCHAR(20));
         INSERT INTO t WITH RECURSIVE n AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 299999)
         SELECT n * 3 - 100000 + (n DIV 50000) * 10000000000, n, REPEAT('x', n % 20) FROM n;
         ANALYZE TABLE t",
    );
    let options = LoadOptions { chunk_rows: 10_000, ..LoadOptions::default() };
    let loaded = database.load(&[database.load_table("t")], &options);
    let mut seen = HashSet::new();
    for (chunk, batch) in loaded.batches() {
        let id = batch.rows().column(0).as_primitive::<Int64Type>();
        let v = batch.rows().column(1).as_primitive::<Int32Type>();
        for row in 0..id.len() {
            let n = i64::from(v.value(row));
            assert_eq!(id.value(row), n * 3 - 100_000 + (n / 50_000) * 10_000_000_000);
            assert!(seen.insert(n), "row {n} came twice");
        }
        assert!(batch.kinds().iter().all(|&kind| kind == RowKind::Initial));
        assert!(loaded.ledger.chunks_of(&batch).unwrap().iter().all(|&found| found == chunk));
    }
    assert_eq!(seen.len(), 300_000);
    assert_eq!(loaded.chunks().rows(), 300_000);
    let rows: Vec<u64> = loaded.chunks().chunks.iter().map(|chunk| chunk.rows).collect();
    assert!(rows.len() >= 15 && rows.iter().all(|&rows| rows <= 40_000), "{rows:?}");
}

/// Type, value as SQL, and what is expected of it.
const VALUES: &[(&str, &str, &str)] = &[
    ("TINYINT", "-128", "-128"),
    ("TINYINT UNSIGNED", "255", "255"),
    ("BOOLEAN", "TRUE", "1"),
    ("SMALLINT", "-32768", "-32768"),
    ("SMALLINT UNSIGNED", "65535", "65535"),
    ("MEDIUMINT", "-8388608", "-8388608"),
    ("MEDIUMINT UNSIGNED", "16777215", "16777215"),
    ("INT", "-2147483648", "-2147483648"),
    ("INT UNSIGNED ZEROFILL", "4294967295", "4294967295"),
    ("BIGINT", "-9223372036854775808", "-9223372036854775808"),
    ("BIGINT UNSIGNED", "18446744073709551615", "18446744073709551615"),
    ("FLOAT", "1234567.9", "1234567.9"),
    ("FLOAT", "-1e-45", "-1e-45"),
    ("DOUBLE", "-1.7976931348623157e308", "-1.7976931348623157e308"),
    ("DOUBLE", "5e-324", "5e-324"),
    ("DECIMAL(5,0)", "-99999", "-99999"),
    ("DECIMAL(1,1)", "-0.9", "-0.9"),
    ("DECIMAL(18,4)", "99999999999999.9999", "99999999999999.9999"),
    ("DECIMAL(38,30)", "-99999999.999999999999999999999999999999", "-99999999.999999999999999999999999999999"),
    (
        "DECIMAL(65,30)",
        "-99999999999999999999999999999999999.999999999999999999999999999999",
        "-99999999999999999999999999999999999.999999999999999999999999999999",
    ),
    ("DECIMAL(65,0)", "REPEAT('9', 65)", "99999999999999999999999999999999999999999999999999999999999999999"),
    ("BIT(1)", "b'1'", "1"),
    ("BIT(10)", "b'1000000001'", "513"),
    ("BIT(64)", "0xFFFFFFFFFFFFFFFF", "18446744073709551615"),
    ("YEAR", "'0000'", "0"),
    ("YEAR", "2155", "2155"),
    ("DATE", "'0000-00-00'", "0000-00-00"),
    ("DATE", "'2010-00-10'", "2010-00-10"),
    ("DATE", "'9999-12-31'", "9999-12-31"),
    ("DATE", "'1000-01-01'", "1000-01-01"),
    ("TIME", "'-838:59:59'", "-3020399000000"),
    ("TIME(6)", "'-00:00:00.000001'", "-1"),
    ("TIME(6)", "'838:59:58.999999'", "3020398999999"),
    ("TIME(2)", "'00:00:00'", "0"),
    ("DATETIME", "'0000-00-00 00:00:00'", "0000-00-00 0"),
    ("DATETIME(3)", "'2010-00-10 01:00:00.125'", "2010-00-10 3600125000"),
    ("DATETIME(6)", "'9999-12-31 23:59:59.999999'", "9999-12-31 86399999999"),
    ("DATETIME", "'2024-02-29 00:00:00'", "2024-02-29 0"),
    ("TIMESTAMP", "'0000-00-00 00:00:00'", "0000-00-00 0"),
    ("TIMESTAMP(6)", "'2038-01-19 03:14:07.499999'", "2038-01-19 11647499999"),
    ("TIMESTAMP", "'1970-01-01 00:00:01'", "1970-01-01 1000000"),
    ("CHAR(10)", "'a  '", "a"),
    ("CHAR(4) CHARACTER SET gbk", "'中文'", "中文"),
    ("VARCHAR(20) CHARACTER SET latin1", "'Grüße €'", "Grüße €"),
    ("VARCHAR(20) CHARACTER SET utf16", "'𝄞 clef'", "𝄞 clef"),
    ("VARCHAR(20)", "'x  '", "x  "),
    ("TEXT CHARACTER SET sjis", "'かな'", "かな"),
    ("LONGTEXT", "REPEAT('é', 40000)", "é…"),
    ("BINARY(4)", "0x0100", "01000000"),
    ("VARBINARY(4)", "0x0100", "0100"),
    ("BLOB", "0x00FF", "00ff"),
    ("ENUM('x','it''s','a,b','back\\\\slash')", "'it''s'", "2:it's"),
    ("ENUM('x','it''s','a,b','back\\\\slash')", "4", "4:back\\slash"),
    ("ENUM('1','0') CHARACTER SET latin1", "'1'", "1:1"),
    ("ENUM('a','b')", "'no such label'", "0:"),
    ("SET('a','b','c')", "'c,a'", "5"),
    ("SET('a','b')", "''", "0"),
    (
        "JSON",
        "'{\"b\": 1.0, \"a\": [18446744073709551615, null]}'",
        "{\"a\": [18446744073709551615, null], \"b\": 1.0}",
    ),
    ("POINT SRID 4326", "ST_GeomFromText('POINT(10 20)', 4326)", "e6100000010100000000000000000034400000000000002440"),
    ("GEOMETRY", "ST_GeomFromText('GEOMETRYCOLLECTION EMPTY')", "00000000010700000000000000"),
    ("VECTOR(2)", "TO_VECTOR('[1,-2]')", "0000803f000000c0"),
];

#[test]
fn every_type_is_loaded_exactly() {
    let Some(database) = Database::new(GTID, "types") else { return };
    let many: Vec<String> = (0..64).map(|member| format!("'m{member}'")).collect();
    let wide_set = (format!("SET({})", many.join(",")), "'m63,m0'".to_owned(), ((1u64 << 63) + 1).to_string());
    let cases: Vec<(String, String, String)> = VALUES
        .iter()
        .map(|(sql_type, value, expected)| (sql_type.to_string(), value.to_string(), expected.to_string()))
        .chain([wide_set])
        .filter(|(sql_type, ..)| !sql_type.starts_with("VECTOR") || database.facts.version.is_mysql_since(9, 0, 0))
        .collect();
    let columns: Vec<String> =
        cases.iter().enumerate().map(|(i, (sql_type, ..))| format!("c{i} {sql_type} NULL")).collect();
    // A row of values between rows of NULL: both ways through each column's builder.
    let nulls = vec!["NULL"; cases.len()].join(", ");
    let values: Vec<&str> = cases.iter().map(|(_, value, _)| value.as_str()).collect();
    database.run(&format!("CREATE TABLE t (id INT PRIMARY KEY, {})", columns.join(", ")));
    database.run(&format!("INSERT INTO t VALUES (1, {nulls}), (2, {}), (3, {nulls})", values.join(", ")));

    let loaded = database.load(&[database.load_table("t")], &LoadOptions::default());
    let (_, batch) = loaded.batches().next().unwrap();
    for (index, (sql_type, value, expected)) in cases.iter().enumerate() {
        let array = batch.rows().column(index + 1);
        assert!(array.is_null(0) && array.is_null(2), "{sql_type}");
        let mut found = show(array.as_ref(), 1);
        if sql_type == "LONGTEXT" {
            assert_eq!(found, "é".repeat(40_000));
            found = "é…".into();
        }
        assert_eq!(found, *expected, "{sql_type} {value}");
    }
    let name = TableName::new(&database.name, "t");
    let server_types = database.catalog(&["t"]);
    assert_eq!(server_types[0].table.name(), &name);
    assert_eq!(server_types[0].engine.as_deref(), Some("InnoDB"));
}

/// Key columns, and an expression that makes distinct keys of `n`.
const KEYS: &[(&str, &str, bool)] = &[
    ("k BIGINT UNSIGNED", "18446744073709551615 - n * n * 1000", true),
    ("k INT", "n - 1000", true),
    ("k DECIMAL(12,3)", "(n - 1000) * 1.125", true),
    ("k DATE", "IF(n % 50 = 0, CONCAT(1900 + n DIV 50, '-00-10'), DATE_ADD('1899-12-01', INTERVAL n DAY))", true),
    ("k DATETIME(6)", "DATE_ADD('1999-12-31 23:59:59.5', INTERVAL n * 333333 MICROSECOND)", true),
    ("k TIMESTAMP(3)", "DATE_ADD('2001-01-01', INTERVAL n HOUR)", true),
    ("k TIME(1)", "SEC_TO_TIME((n - 1000) * 2.5)", true),
    ("k BINARY(16)", "UNHEX(SHA2(n, 256))", true),
    ("k VARBINARY(40)", "UNHEX(SHA2(n, 224))", true),
    ("k BIT(20)", "n * 7", true),
    ("k CHAR(36)", "CONCAT('k', SHA2(n, 224))", true),
    ("k CHAR(36) COLLATE utf8mb4_0900_as_cs", "CONCAT(IF(n % 2, 'a-', 'A_'), SHA2(n DIV 2, 224))", true),
    ("k VARCHAR(60) COLLATE utf8mb4_general_ci", "CONCAT('_-. '' +~', SHA2(n, 224))", true),
    ("k VARCHAR(60) COLLATE utf8mb4_unicode_ci", "CONCAT(n % 100, '/', UUID())", true),
    ("k VARCHAR(60) CHARACTER SET latin1", "CONCAT(IF(n % 2, 'Z', 'a'), n)", true),
    ("k VARCHAR(60) CHARACTER SET latin1", "CONCAT(IF(n % 2, 'Ä', 'z'), n, ' ü')", false),
    ("k VARCHAR(60) CHARACTER SET gbk", "CONCAT(IF(n % 2, '中', 'b'), n)", false),
    ("k VARCHAR(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci", "CONCAT(IF(n % 3, 'é', '𝄞'), n)", false),
    ("k VARCHAR(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "CONCAT(n, '\\\\ ''')", true),
    ("k DOUBLE", "n / 7", false),
    ("k FLOAT", "1234567 + n / 8", false),
    ("a INT, b BIGINT UNSIGNED", "n % 7, 18446744073709551615 - n", true),
    ("a BIGINT, b INT", "n, -n", true),
    ("a VARCHAR(20), b INT", "SHA2(n % 10, 224), n", true),
    ("a BINARY(2), b DATE, c DECIMAL(6,2)", "CHAR(n % 3), DATE_ADD('2000-01-01', INTERVAL n % 100 DAY), n", true),
    ("a ENUM('z','y','x'), b SET('q','r'), c INT", "1 + n % 3, n % 4, n", false),
];

#[test]
fn every_kind_of_key_is_cut_and_found_again() {
    let Some(database) = Database::new(GTID, "keys") else { return };
    const ROWS: usize = 2000;
    for (index, (columns, values, exact)) in KEYS.iter().enumerate() {
        let names: Vec<&str> = columns.split(", ").map(|column| column.split(' ').next().unwrap()).collect();
        let table = format!("t{index}");
        database.run(&format!(
            "CREATE TABLE {table} ({columns}, n INT NOT NULL, PRIMARY KEY ({}));
             INSERT INTO {table} WITH RECURSIVE n AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM n WHERE n < {ROWS} - 1)
             SELECT {values}, n FROM n;
             ANALYZE TABLE {table}",
            names.join(", ")
        ));
        let loaded = database.load(&[database.load_table(&table)], &small_chunks(100));
        let numbers: HashSet<String> = loaded.values("n").into_iter().collect();
        let rows: Vec<u64> = loaded.chunks().chunks.iter().map(|chunk| chunk.rows).collect();
        assert_eq!((numbers.len(), loaded.chunks().rows()), (ROWS, ROWS as u64), "{columns}: {rows:?}");
        assert!(rows.len() > 5 && rows.iter().all(|&rows| rows <= 500), "{columns}: {rows:?}");
        for (chunk, batch) in loaded.batches() {
            let found = loaded.ledger.chunks_of(&batch);
            assert_eq!(found.is_some(), *exact, "{columns}");
            assert!(found.iter().flatten().all(|&found| found == chunk), "{columns}: chunk {chunk} is {found:?}");
        }
    }
}

/// Chunks that are left after a restart may have gaps between them: what lies there was read.
#[test]
fn only_chunks_side_by_side_are_read_at_once() {
    let range = |lower: Option<i128>, upper: Option<i128>| {
        let key = |value: Option<i128>| value.map(|value| vec![KeyValue::Int(value)]);
        KeyRange { lower: key(lower), upper: key(upper) }
    };
    let chunks = [
        (0, range(None, Some(1))),
        (1, range(Some(1), Some(2))),
        (4, range(Some(2), Some(3))),
        (5, range(Some(4), Some(5))),
        (6, range(Some(5), None)),
        (7, range(None, Some(9))),
    ];
    let mut left = &chunks[..];
    let mut read = Vec::new();
    while let Some((chunks, range)) = super::reader::adjacent(&mut left, 2) {
        read.push((chunks.iter().map(|(chunk, _)| *chunk).collect::<Vec<_>>(), range));
    }
    let expected = [
        (vec![0, 1], range(None, Some(2))),
        (vec![4], range(Some(2), Some(3))),
        (vec![5, 6], range(Some(4), None)),
        (vec![7], range(None, Some(9))),
    ];
    assert_eq!(read, expected);
}

#[test]
fn tables_without_key_or_rows_are_one_chunk() {
    let Some(database) = Database::new(GTID, "keyless") else { return };
    database.run(
        "CREATE TABLE keyless (v INT); INSERT INTO keyless VALUES (1), (1), (NULL), (2);
         CREATE TABLE no_rows (id INT PRIMARY KEY);
         CREATE TABLE half_key (v VARCHAR(20) NOT NULL, w INT, UNIQUE KEY (v(5)), UNIQUE KEY (w));
         INSERT INTO half_key VALUES ('a', NULL)",
    );
    let tables = ["keyless", "no_rows", "half_key"].map(|name| database.load_table(name));
    assert!(tables[0].table.key().is_empty() && tables[2].table.key().is_empty());
    let loaded = database.load(&tables, &small_chunks(1));
    assert!(loaded.ledger.tables().iter().all(|table| table.chunks.len() == 1));
    assert_eq!(loaded.ledger.tables().iter().map(TableChunks::rows).collect::<Vec<_>>(), [1, 4, 0]);
    assert_eq!(loaded.windows.len(), 3, "an empty table is done by a window without changes");
    let findings = check(&database.facts, &database.catalog(&["keyless", "no_rows", "half_key"]), true);
    let keyless = findings.iter().find(|finding| finding.item == "keys").unwrap();
    assert_eq!(keyless.severity, Severity::Warning);
    assert_eq!(keyless.found, format!("no key tells the rows apart in {0}.half_key, {0}.keyless", database.name));
}

/// Characters of Big5 that Unicode does not have are all sent as the same `?`.
#[test]
fn keys_that_cannot_be_sent_are_loaded_once() {
    let Some(database) = Database::new(GTID, "unsendable") else { return };
    database.run(
        "CREATE TABLE t (k VARCHAR(60) CHARACTER SET big5 PRIMARY KEY, n INT NOT NULL);
         INSERT INTO t WITH RECURSIVE n AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 1999)
         SELECT CONCAT(CONVERT(UNHEX(HEX(CONV('F9DF', 16, 10) + n % 30)) USING big5), n), n FROM n;
         ANALYZE TABLE t",
    );
    let loaded = database.load(&[database.load_table("t")], &small_chunks(100));
    let numbers: HashSet<String> = loaded.values("n").into_iter().collect();
    assert_eq!((numbers.len(), loaded.chunks().rows()), (2000, 2000));
}

#[test]
fn a_keyless_table_is_cut_by_a_named_column() {
    let Some(database) = Database::new(GTID, "named") else { return };
    database.run(
        "CREATE TABLE t (v INT, word VARCHAR(20), plain INT, KEY (v), KEY (word));
         INSERT INTO t WITH RECURSIVE n AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 1999)
         SELECT IF(n % 10 = 0, NULL, n DIV 5), IF(n % 2, 'Same', CONCAT('w', n)), n FROM n;
         ANALYZE TABLE t",
    );
    for (column, chunks_min) in [("v", 5), ("word", 5), ("plain", 1)] {
        let table = LoadTable { chunk_column: Some(column.into()), ..database.load_table("t") };
        let loaded = database.load(&[table], &small_chunks(100));
        let chunks = loaded.chunks();
        assert_eq!((loaded.values("plain").len(), chunks.rows()), (2000, 2000), "{column}");
        assert!(chunks.chunks.len() >= chunks_min && chunks.key.identifies, "{column}");
    }
    let table = LoadTable { chunk_column: Some("no".into()), ..database.load_table("t") };
    let ledger = Mutex::new(Ledger::new(start_position(&database.options, &database.facts, true).unwrap().0));
    let error = database.run_load(&[table], &small_chunks(9), &ledger, &|_| Ok(()), &AtomicBool::new(false));
    assert!(
        matches!(&error, Err(LoadError::Tables(failures)) if matches!(failures[0].error, TableError::NoSuchColumn(_)))
    );
}

#[test]
fn all_columns_of_the_row_image_are_loaded() {
    let Some(database) = Database::new(GTID, "columns") else { return };
    database.run(
        "SET SESSION sql_generate_invisible_primary_key = ON;
         CREATE TABLE t (a INT, hidden INT INVISIBLE, `virt``ual` INT AS (a + 1) VIRTUAL, stored_ INT AS (a * 2) STORED);
         INSERT INTO t (a, hidden) VALUES (1, 7), (2, 8);
         CREATE VIEW v AS SELECT a FROM t",
    );
    let table = database.load_table("t");
    let names: Vec<&str> = table.table.columns().iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["my_row_id", "a", "hidden", "virt`ual", "stored_"]);
    assert_eq!(table.table.primary_key(), Some(&[0][..]));
    let loaded = database.load(&[table], &small_chunks(1));
    for (column, expected) in
        [("my_row_id", ["1", "2"]), ("hidden", ["7", "8"]), ("virt`ual", ["2", "3"]), ("stored_", ["2", "4"])]
    {
        assert_eq!(loaded.values(column), expected);
    }
    let of_database = |database_name: &str, _: &str| database_name == database.name;
    let selection = Selection { matches: Some(&of_database), ..Selection::named(&[]) };
    let tables = control(&database.options, async |conn| read_tables(conn, &selection).await.unwrap());
    assert_eq!(tables.len(), 1, "a view is no table");
    let named = [TableName::new(&database.name, "v")];
    let selection = Selection::named(&named);
    let view = control(&database.options, async |conn| read_tables(conn, &selection).await);
    assert!(matches!(view, Err(CatalogError::NoTable { .. })));
    let named = [TableName::new("mysql", "user")];
    let selection = Selection { matches: Some(&|database, _| database == "mysql"), ..Selection::named(&named) };
    let tables = control(&database.options, async |conn| read_tables(conn, &selection).await.unwrap());
    assert_eq!(tables.len(), 1, "a system table is selected by its exact name only");
}

/// More of them than a server counts in one go; MySQL 5.6 has no way of telling.
#[test]
fn labels_that_the_catalogue_does_not_show_are_told_however_many_there_are() {
    for server in altered::SERVERS {
        let Some(database) = Database::new(server, "labels") else { continue };
        let label = |n: usize| if n % 700 == 5 || n == 1999 { format!("🌊{n}") } else { format!("l{n}") };
        let labels: Vec<String> = (0..2000).map(label).collect();
        let quoted: Vec<String> = labels.iter().map(|label| quote_text(label)).collect();
        database.run(&format!(
            "CREATE TABLE t (id INT PRIMARY KEY, e ENUM({}) CHARACTER SET utf8mb4, s SET('?', '🌊', 'x') CHARACTER SET utf8mb4)",
            quoted.join(",")
        ));
        let found = database.catalog(&["t"]).remove(0);
        let of = |column: usize| found.table.columns()[column].sql_type.labels().unwrap().to_vec();
        if server == OLD {
            assert_eq!(found.label_doubt, Some(LabelDoubt::Untold));
            assert_eq!((of(1)[5].as_str(), of(2)), ("?5", ["?", "?", "x"].map(str::to_owned).to_vec()));
        } else {
            assert_eq!(found.label_doubt, None, "{server}");
            assert_eq!(of(1), labels, "{server}");
            assert_eq!(of(2), ["?", "🌊", "x"], "{server}");
        }
    }
}

#[test]
fn a_table_that_is_not_to_be_asked_for_its_labels_is_in_doubt_alone() {
    for server in altered::SERVERS.into_iter().filter(|server| *server != OLD) {
        let Some(database) = Database::new(server, "labels_locked") else { continue };
        database.run(
            "CREATE TABLE t (id INT PRIMARY KEY, e ENUM('🌊', 'x') CHARACTER SET utf8mb4); CREATE TABLE other (id INT PRIMARY KEY)",
        );
        let named = ["t", "other"].map(|name| TableName::new(&database.name, name));
        let find = |is_needed: bool| {
            let needs_labels = |_: &Table| is_needed;
            let selection = Selection { needs_labels: Some(&needs_labels), ..Selection::named(&named) };
            control(&database.options, async |conn| find_tables(conn, &selection).await.unwrap())
        };
        let mut holder = database.connect();
        holder.query("LOCK TABLES t WRITE").unwrap();
        let began = Instant::now();
        let found = find(false);
        assert!(found.errors.is_empty() && found.tables.len() == 2, "{server}: {found:?}");
        let doubt = &found.tables[1].label_doubt;
        assert!(matches!(doubt, Some(LabelDoubt::Unasked { may_pass: true, .. })), "{server}: {doubt:?}");
        let mut found = find(true);
        assert!(began.elapsed() < Duration::from_secs(40), "it does not wait for the lock");
        assert_eq!(found.tables.len(), 1, "{server}");
        let error = MysqlError::Catalog(found.errors.remove(0));
        assert!(error.is_transient(), "{server}: {error}");
        let error = error.to_string();
        assert!(error.contains(&format!("{}.t could not be asked for", database.name)), "{server}: {error}");
        assert!(error.contains("(error 1205)"), "{server}: {error}");
        holder.query("UNLOCK TABLES").unwrap();
        let found = find(true);
        assert!(found.errors.is_empty() && found.tables[1].label_doubt.is_none(), "{server}: {found:?}");
        assert_eq!(found.tables[1].table.columns()[1].sql_type.labels().unwrap()[0], "🌊", "{server}");
    }
}

#[test]
fn a_condition_is_evaluated_by_the_server() {
    let Some(database) = Database::new(GTID, "condition") else { return };
    database.run(
        "CREATE TABLE t (id INT PRIMARY KEY, v INT);
         INSERT INTO t WITH RECURSIVE n AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 999) SELECT n, n % 7 FROM n",
    );
    let table = LoadTable { condition: Some("v = 1 OR v = 2 -- comment".into()), ..database.load_table("t") };
    let loaded = database.load(&[table], &small_chunks(100));
    assert_eq!(loaded.chunks().rows(), 286);
    assert!(loaded.values("v").iter().all(|v| v == "1" || v == "2"));
}

#[test]
fn the_server_is_known() {
    for (variable, gtid) in [(GTID, true), (NO_GTID, false)] {
        let Some(database) = Database::new(variable, "facts") else { continue };
        let facts = &database.facts;
        assert_eq!((facts.gtid_mode_on(), facts.log_bin(), facts.version.is_mariadb), (gtid, true, false));
        assert_eq!(facts.server_uuid().len(), 36);
        assert!(facts.server_id() > 0 && facts.max_allowed_packet() > 0 && !facts.time_zone().is_empty());
        let errors = check(facts, &[], true).into_iter().filter(|finding| finding.severity == Severity::Error);
        assert_eq!(errors.collect::<Vec<_>>(), []);
        let position = start_position(&database.options, facts, true).unwrap().0;
        assert_eq!((position.coordinate.offset, position.gtids.is_some()), (BINLOG_START, gtid));
    }
}

#[test]
fn missing_privileges_come_with_the_statement_that_grants_them() {
    let Some(database) = Database::new(GTID, "grants") else { return };
    let user = format!("snap_{}", std::process::id());
    database.run(&format!(
        "CREATE TABLE seen (id INT PRIMARY KEY); CREATE TABLE unseen (id INT PRIMARY KEY);
         DROP USER IF EXISTS {user}; CREATE USER {user} IDENTIFIED BY 'x'; GRANT SELECT ON {}.seen TO {user}",
        database.name
    ));
    let tables = database.catalog(&["seen", "unseen"]);
    let options = ConnectOptions { user: user.clone(), password: Some("x".into()), ..database.options.clone() };
    let facts = control(&options, async |conn| ServerFacts::read(conn).await.unwrap());
    let hints: Vec<String> = check(&facts, &tables, true)
        .into_iter()
        .filter(|finding| finding.item == "privileges")
        .map(|finding| finding.hint)
        .collect();
    database.run(&hints.join(" "));
    let facts = control(&options, async |conn| ServerFacts::read(conn).await.unwrap());
    let left = check(&facts, &tables, true).into_iter().filter(|finding| finding.item == "privileges").count();
    database.run(&format!("DROP USER {user}"));
    assert_eq!((hints.len(), left), (2, 0));
    assert_eq!(hints[1], format!("GRANT SELECT ON `{}`.`unseen` TO '{user}'@'%';", database.name));
}

#[test]
fn one_broken_table_does_not_stop_the_others() {
    let Some(database) = Database::new(GTID, "broken") else { return };
    database.run(
        "CREATE TABLE a (id INT PRIMARY KEY); CREATE TABLE b (id INT PRIMARY KEY, v INT); CREATE TABLE c (id INT PRIMARY KEY);
         CREATE TABLE d (id INT PRIMARY KEY, v INT);
         INSERT INTO a VALUES (1); INSERT INTO b VALUES (1, 1); INSERT INTO c VALUES (1), (2); INSERT INTO d VALUES (1, 1)",
    );
    let mut tables = ["a", "b", "c", "d"].map(|name| database.load_table(name));
    tables[1].condition = Some("no_such_column = 1".into());
    // One that goes is no failure.
    database.run("DROP TABLE d");
    let ledger = Mutex::new(Ledger::new(start_position(&database.options, &database.facts, true).unwrap().0));
    let rows = AtomicUsize::new(0);
    let emit = |window: Window| {
        rows.fetch_add(window.changes.iter().map(|batch| batch.kinds().len()).sum(), Ordering::Relaxed);
        Ok(())
    };
    let error = database.run_load(&tables, &small_chunks(10), &ledger, &emit, &AtomicBool::new(false)).unwrap_err();
    assert_eq!(rows.into_inner(), 3);
    let LoadError::Tables(failures) = &error else { panic!("{error}") };
    let mut failed: Vec<&str> = failures.iter().map(|failure| &*failure.table.table).collect();
    failed.sort();
    assert_eq!(failed, ["b"]);
    assert!(error.to_string().contains("no_such_column"), "{error}");
    assert!(lock(&ledger).table(tables[3].table.name()).is_some_and(|table| table.gone.is_some()));
}

/// A ledger, and what it was told of views.
struct Recorded {
    ledger: Mutex<Ledger>,
    views: Mutex<Vec<BegunView>>,
}

struct BegunView {
    /// Chunks of each table.
    rows: Vec<(TableName, Vec<u32>)>,
    low: Watermark,
}

impl Recorded {
    fn new(ledger: Ledger) -> Recorded {
        Recorded { ledger: Mutex::new(ledger), views: Mutex::default() }
    }
}

impl LoadRecord for Recorded {
    fn add_table(&self, table: &TableName, key: &ChunkKey, definition: Option<u32>) {
        self.ledger.add_table(table, key, definition);
    }
    fn begin_again(&self, table: &TableName, key: &ChunkKey, definition: Option<u32>) -> Option<u32> {
        self.ledger.begin_again(table, key, definition)
    }
    fn gone(&self, table: &TableName, at: Watermark) {
        self.ledger.gone(table, at);
    }
    fn add_chunk(&self, table: &TableName, range: KeyRange) -> Option<u32> {
        self.ledger.add_chunk(table, range)
    }
    fn begin(
        &self,
        rows: &[(&TableName, ViewRows<'_>)],
        low: &Watermark,
        high: &Watermark,
    ) -> Result<Vec<bool>, Box<dyn Error + Send + Sync>> {
        let chunks = |(table, rows): &(&TableName, ViewRows<'_>)| {
            let ViewRows::Of(chunks) = rows else { panic!("a chunk has time: {rows:?}") };
            (TableName::clone(table), chunks.to_vec())
        };
        lock(&self.views).push(BegunView { rows: rows.iter().map(chunks).collect(), low: low.clone() });
        self.ledger.begin(rows, low, high)
    }
}

/// Kills connections of the load while it runs; then every row is still there, and the first `low` of every chunk.
#[test]
fn a_lost_connection_is_replaced_and_the_first_low_kept() {
    let Some(database) = Database::new(GTID, "killed") else { return };
    database.run(
        "CREATE TABLE t (id INT PRIMARY KEY, filler VARCHAR(1000));
         INSERT INTO t WITH RECURSIVE n AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 39999)
         SELECT n, REPEAT('x', 1000) FROM n;
         ANALYZE TABLE t; CREATE TABLE other (id INT AUTO_INCREMENT PRIMARY KEY)",
    );
    let start = start_position(&database.options, &database.facts, true).unwrap().0;
    let record = Recorded::new(Ledger::new(start));
    let tables = [database.load_table("t")];
    let (seen, windows) = (Mutex::new(HashSet::new()), AtomicUsize::new(0));
    // One for both: a session looks for statements that name the database, as its own do, so that a second one would be taken
    // for a reader. And opened before: a server that kills sessions may write their last words into a new one, which has
    // got the same descriptor.
    let killer = Mutex::new(database.connect());
    let emit = |window: Window| {
        for batch in &window.changes {
            lock(&seen).extend(batch.rows().column(0).as_primitive::<Int32Type>().values().iter().copied());
        }
        // Transactions between the attempts, so that a later `low` would be another.
        if [20, 60].contains(&windows.fetch_add(1, Ordering::Relaxed)) {
            let mut connection = lock(&killer);
            connection.query("INSERT INTO other VALUES ()").unwrap();
            let ids = sessions(
                &mut connection,
                &format!("SELECT ID FROM {SESSIONS} WHERE INFO LIKE '%{}%' AND ID <> CONNECTION_ID()", database.name),
            );
            for id in ids.rows.iter().filter_map(|row| text(row, 0)) {
                // It may be gone already.
                let _ = connection.query(&format!("KILL {id}"));
            }
        }
        Ok(())
    };
    let before = lock(&record.ledger).clone();
    let end = Load {
        connect: &database.options,
        facts: &database.facts,
        tables: &tables,
        options: &LoadOptions { chunk_rows: 10_000, window_rows: 256, ..LoadOptions::default() },
        ledger: &before,
        record: &record,
        emit: &emit,
        start: before.start(),
        start_is_low: true,
        plan: &|table| Ok(LoadTable::whole(table)),
        stop: &AtomicBool::new(false),
    }
    .run();
    assert_eq!(end.unwrap(), LoadEnd::Complete);
    assert_eq!(lock(&seen).len(), 40_000);
    let mut lows: HashMap<u32, Vec<Watermark>> = HashMap::new();
    for BegunView { rows, low } in &*lock(&record.views) {
        let chunks = rows.iter().flat_map(|(_, chunks)| chunks);
        chunks.for_each(|chunk| lows.entry(*chunk).or_default().push(low.clone()));
    }
    assert!(lows.values().any(|attempts| attempts.len() > 1 && attempts[0] != attempts[1]), "nothing was read again");
    for (chunk, attempts) in &lows {
        assert_eq!(lock(&record.ledger).tables()[0].chunks[*chunk as usize].low.as_deref(), attempts.first());
    }
}

#[test]
fn a_stopped_load_ends_soon_and_goes_on_with_what_is_left() {
    let Some(database) = Database::new(GTID, "resume") else { return };
    database.run(
        "CREATE TABLE t (id VARCHAR(20) PRIMARY KEY, filler CHAR(200));
         INSERT INTO t WITH RECURSIVE n AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 49999) SELECT n, 'x' FROM n;
         ANALYZE TABLE t",
    );
    let tables = [database.load_table("t")];
    let options = LoadOptions { chunk_rows: 2000, window_rows: 256, readers: 2, ..LoadOptions::default() };
    let ledger = Mutex::new(Ledger::new(start_position(&database.options, &database.facts, true).unwrap().0));
    let stop = AtomicBool::new(false);
    let seen = Mutex::new(HashMap::<String, usize>::new());
    let take = |window: &Window| {
        for batch in &window.changes {
            let ids = batch.rows().column(0).as_string::<i32>();
            for id in ids.iter().flatten() {
                *lock(&seen).entry(id.to_owned()).or_default() += 1;
            }
        }
        let (table, parts) = parts(window);
        let mut ledger = lock(&ledger);
        parts.iter().for_each(|part| ledger.chunk_acknowledged(table, part.chunk, part.rows, part.done));
    };
    let windows = AtomicUsize::new(0);
    let emit = |window: Window| {
        take(&window);
        if windows.fetch_add(1, Ordering::Relaxed) == 60 {
            stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    };
    assert_eq!(database.run_load(&tables, &options, &ledger, &emit, &stop).unwrap(), LoadEnd::Stopped);
    // Each reader sees it behind a window, at the latest behind its chunk, of some 200 windows in all.
    let emitted = windows.into_inner();
    assert!(emitted <= 61 + 2 * 2000_usize.div_ceil(256), "{emitted} windows");
    let mut changes = Changes::default();
    lock(&ledger).tell(true, &mut changes);
    let mut entries = Entries::default();
    entries.apply(changes.lines());
    *lock(&ledger) = Ledger::of_entries(&entries).unwrap().unwrap();
    let done_before = lock(&ledger).tables()[0].chunks.iter().filter(|chunk| chunk.state == ChunkState::Done).count();
    assert!(done_before > 0);
    let lows: Vec<_> = lock(&ledger).tables()[0].chunks.iter().map(|chunk| chunk.low.clone()).collect();
    let twice_at_most = lock(&seen).len();

    let emit = |window: Window| {
        take(&window);
        Ok(())
    };
    let end = database.run_load(&tables, &options, &ledger, &emit, &AtomicBool::new(false)).unwrap();
    assert_eq!(end, LoadEnd::Complete);
    let seen = lock(&seen);
    assert_eq!(seen.len(), 50_000);
    let repeated = seen.values().filter(|&&times| times > 1).count();
    assert!(repeated <= 2 * 2000 + 2 * 256 && repeated < twice_at_most, "{repeated} rows came again");
    let ledger = lock(&ledger);
    assert!(ledger.all_done());
    for (chunk, low) in ledger.tables()[0].chunks.iter().zip(lows).filter(|(_, low)| low.is_some()) {
        assert_eq!(chunk.low, low);
    }
    let Err(error) = database.run_load(
        &[LoadTable { condition: Some("no_such_column = 1".into()), ..tables[0].clone() }],
        &options,
        &Mutex::new(Ledger::new(ledger.start().clone())),
        &emit,
        &AtomicBool::new(false),
    ) else {
        panic!("a condition that is wrong fails")
    };
    assert!(error.to_string().contains("no_such_column"), "{error}");
}

/// Who stops between windows repeats nothing as long as each chunk fits into one. Rows that get larger, and gaps that a stop has left,
/// make the chunks that are read at once more or fewer.
#[test]
fn a_chunk_that_fits_into_a_window_is_not_torn() {
    let Some(database) = Database::new(GTID, "whole") else { return };
    database.run(
        "CREATE TABLE t (id INT PRIMARY KEY, filler VARCHAR(400));
         INSERT INTO t WITH RECURSIVE n AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 49999)
         SELECT n, REPEAT('x', n % 13 * IF(n > 25000, 30, 1)) FROM n;
         ANALYZE TABLE t",
    );
    let tables = [database.load_table("t")];
    let options = LoadOptions { chunk_rows: 20, window_rows: 700, window_bytes: 300_000, ..LoadOptions::default() };
    let ledger = Mutex::new(Ledger::new(start_position(&database.options, &database.facts, true).unwrap().0));
    // Of what the first run read, some never arrives: that is read in pieces again.
    for share in [3, 1] {
        let (windows, several) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let emit = |window: Window| {
            let (table, parts) = parts(&window);
            assert!(parts.iter().all(|part| part.done), "{parts:?}");
            several.fetch_add(usize::from(parts.len() > 10), Ordering::Relaxed);
            let arrives = |part: &&ChunkPart| share == 1 || (part.chunk / 7).is_multiple_of(share);
            if windows.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) || share == 1 {
                let mut ledger = lock(&ledger);
                parts
                    .iter()
                    .filter(arrives)
                    .for_each(|part| ledger.chunk_acknowledged(table, part.chunk, part.rows, true));
            }
            Ok(())
        };
        database.run_load(&tables, &options, &ledger, &emit, &AtomicBool::new(false)).unwrap();
        assert!(several.into_inner() > 20, "chunks share windows");
    }
    assert!(lock(&ledger).all_done());
}

/// A statement with its transaction, as the binlog tells it.
struct Logged {
    statement: String,
    gtid: Option<Gtid>,
    transaction: Coordinate,
}

/// Statements on the tables of a database, read from the binlog by means of their text (`binlog_rows_query_log_events`):
/// another way than the one under test.
fn logged(database: &Database, from: &Coordinate) -> Vec<Logged> {
    let mut connection = database.connect();
    // Of a file that is being written, the server may see half an event: read what is closed.
    let files = connection.query("FLUSH BINARY LOGS; SHOW BINARY LOGS").unwrap();
    let (_, closed) = files[1].rows.split_last().unwrap();
    let files = closed.iter().filter_map(|row| text(row, 0)).filter(|file| *file >= &*from.file);
    let mut statements = Vec::new();
    for file in files {
        let (mut gtid, mut transaction) = (None, Coordinate::new(file, 0));
        let start = if *file == *from.file { from.offset.max(BINLOG_START) } else { BINLOG_START };
        let events = connection.query(&format!("SHOW BINLOG EVENTS IN '{file}' FROM {start}")).unwrap();
        for row in &events[0].rows {
            let field = |column| text(row, column).unwrap_or_default();
            match field(2) {
                "Gtid" | "Anonymous_Gtid" => {
                    transaction = Coordinate::new(file, field(1).parse().unwrap());
                    // MariaDB: BEGIN GTID 0-4-23
                    gtid = match field(5).split_once("GTID ").filter(|_| database.facts.version.is_mariadb) {
                        Some((_, gtid)) => {
                            serde_json::from_str(&format!("\"{}\"", gtid.split(' ').next().unwrap())).ok()
                        }
                        None => field(5).split('\'').nth(1).and_then(parse_gtid),
                    };
                }
                "Rows_query" | "Annotate_rows" if field(5).contains(&database.name) => statements.push(Logged {
                    statement: field(5).to_owned(),
                    gtid: gtid.clone(),
                    transaction: transaction.clone(),
                }),
                "Query" => {
                    let xid = field(5).strip_prefix("XA COMMIT X'").and_then(|rest| rest.split('\'').next());
                    let of_digits = |at| u8::from_str_radix(xid?.get(at..at + 2)?, 16).ok();
                    let bytes = (0..).step_by(2).map_while(of_digits).collect();
                    let statement = String::from_utf8(bytes).unwrap();
                    if statement.contains(&database.name) {
                        statements.push(Logged { statement, gtid: gtid.clone(), transaction: transaction.clone() });
                    }
                }
                _ => {}
            }
        }
    }
    statements
}

const SESSIONS: &str = "information_schema.PROCESSLIST";

/// A query of [`SESSIONS`]. The server cannot show them while one runs a statement with bytes that are no text, as other tests'
/// do; then it is asked again.
fn sessions(connection: &mut Connection, query: &str) -> TextResult {
    const CANNOT_CONVERT_STRING: u16 = 3854;
    loop {
        match connection.query(query) {
            Ok(mut results) => return results.remove(0),
            Err(WireError::Server { code: CANNOT_CONVERT_STRING, .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}: {query}"),
        }
    }
}

fn parse_gtid(text: &str) -> Option<Gtid> {
    let (uuid, number) = text.split_once(':')?;
    let bytes = format!("{uuid}:1").parse::<GtidSet>().ok()?.encode()[8..24].try_into().ok()?;
    let source = tidegate_model::position::GtidSource::Server { uuid: bytes, tag: Arc::from("") };
    Some(Gtid { source, number: number.parse().ok()? })
}

/// Whoever emits a window waits until its view has ended on the server.
fn wait_until_given_up(is_connected: &dyn Fn() -> bool) {
    let begun = Instant::now();
    while is_connected() {
        assert!(begun.elapsed() < Duration::from_secs(300), "the server keeps the view");
        std::thread::yield_now();
    }
}

/// Until writers have run so many statements.
fn wait_for_writers(written: &AtomicUsize, statements: usize) {
    while written.load(Ordering::Relaxed) < statements {
        std::thread::yield_now();
    }
}

/// What eight writers have committed when a view opens, and what the view shows. Returns how many views missed a
/// transaction at or before `low`, how many missed one before the end of the binlog as the server names it, and how many showed
/// one beyond `high`.
fn views_that_miss_something(database: &Database, rule: ViewRule, view_count: usize) -> (usize, usize, usize) {
    const WRITERS: usize = 8;
    database.run(
        "DROP TABLE IF EXISTS w, opens; CREATE TABLE w (writer INT, n INT, PRIMARY KEY (writer, n));
         CREATE TABLE opens (id INT PRIMARY KEY)",
    );
    let [table, opens] = ["w", "opens"].map(|name| TableName::new(&database.name, name));
    let start = start_position(&database.options, &database.facts, true).unwrap().0;
    let version = &database.facts.version;
    let has_xa = version.is_mariadb || version.is_mysql_since(8, 0, 0);
    // Else all views have the `low` of the start.
    let is_by_files = rule.goes_by_files();
    let (stop, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut views: Vec<(View, [u64; WRITERS])> = Vec::new();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (database, stop, written) = (&*database, &stop, &written);
            scope.spawn(move || {
                let mut connection = database.connect();
                if !database.facts.version.is_mariadb {
                    connection.query("SET SESSION binlog_rows_query_log_events = ON").unwrap();
                }
                for n in 1.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let name = &database.name;
                    let insert = format!("INSERT INTO {name}.w VALUES ({writer}, {n})");
                    // Half of them in two phases: the row is committed by its XA COMMIT.
                    let sql = match writer % 2 == 0 && has_xa {
                        true => {
                            let xid = format!("'{name} VALUES ({writer}, {n})'");
                            format!("XA START {xid}; {insert}; XA END {xid}; XA PREPARE {xid}; XA COMMIT {xid}")
                        }
                        false => format!("BEGIN; {insert}; COMMIT"),
                    };
                    connection.query(&sql).unwrap();
                    if is_by_files && n % 8 == writer as u64 {
                        connection.query("FLUSH BINARY LOGS").unwrap();
                    }
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let Ok(mut connection) = open_session(&database.options, &database.facts) else { panic!("a session opens") };
        wait_for_writers(&written, WRITERS);
        for number in 0..view_count {
            // Also where the view is opened by another table, which it is to show as well.
            let tables = if number % 2 == 0 { vec![&table] } else { vec![&opens, &table] };
            // One try: what matters is that `low` is right also if it is not `high`.
            // On one of the two MariaDBs, views are opened again until they are at the end; by files, until no XA transaction is in between.
            let is_newer_mariadb = database.facts.version.is_mariadb && database.facts.version.number >= (11, 0, 0);
            let is_tried = is_newer_mariadb || is_by_files;
            let tries = if is_tried { 10 } else { 1 };
            let view = View::open(&mut connection, rule, &database.facts, &tables, Some(&start), tries);
            let Ok(view) = view else { panic!("a view opens") };
            let sql = format!("SELECT writer, MAX(n) FROM {}.w GROUP BY writer", database.name);
            let shown = connection.query(&sql).unwrap();
            let mut last = [0; WRITERS];
            for row in &shown[0].rows {
                let number = |column| text(row, column).unwrap().parse::<u64>().unwrap();
                last[number(0) as usize] = number(1);
            }
            views.push((view, last));
        }
        wait_for_writers(&written, view_count + 1);
        stop.store(true, Ordering::Relaxed);
    });
    let mut committed = HashMap::new();
    for logged in logged(database, &start.coordinate) {
        if let Some(values) = logged.statement.split("VALUES (").nth(1).and_then(|rest| rest.split(')').next()) {
            let mut values = values.split(", ").map(|value| value.parse::<u64>().unwrap());
            committed.insert((values.next().unwrap() as usize, values.next().unwrap()), logged);
        }
    }
    // A writer commits one after the other: if a view misses anything of it, it misses the one after the last shown.
    let missed = |covers: &dyn Fn(&View, &Logged) -> bool| {
        let misses = |(view, last): &&(View, [u64; WRITERS])| {
            (0..WRITERS).any(|writer| committed.get(&(writer, last[writer] + 1)).is_some_and(|next| covers(view, next)))
        };
        views.iter().filter(misses).count()
    };
    let by_low = missed(&|view, next| view.low.covers(next.gtid.as_ref(), &next.transaction));
    let covers_some = |(view, _): &&(View, [u64; WRITERS])| {
        committed.values().any(|logged| view.low.covers(logged.gtid.as_ref(), &logged.transaction))
    };
    let covering = views.iter().filter(covers_some).count();
    assert!(covering > 0, "no view is dated behind anything that was written");
    let by_end_of_binlog = missed(&|view, next| next.transaction < view.coordinate);
    let shows_more = |(view, last): &&(View, [u64; WRITERS])| {
        let is_beyond = |shown: &Logged| !view.high.covers(shown.gtid.as_ref(), &shown.transaction);
        (0..WRITERS).any(|writer| committed.get(&(writer, last[writer])).is_some_and(is_beyond))
    };
    let beyond_high = views.iter().filter(shows_more).count();
    assert!(committed.len() > view_count, "only {} transactions", committed.len());
    println!(
        "{view_count} views, {covering} of them behind the first of {} transactions: {by_low} missed something by our rule, \
         {by_end_of_binlog} by the end of the binlog; {beyond_high} showed more",
        committed.len()
    );
    (by_low, by_end_of_binlog, beyond_high)
}

#[test]
fn a_view_shows_all_that_its_low_promises() {
    for (variable, rule) in [(GTID, ViewRule::Gtids), (GTID, ViewRule::GtidsOfFiles), (NO_GTID, ViewRule::FileStart)] {
        let Some(database) = Database::new(variable, "low") else { continue };
        let (ours, mut control, _) = views_that_miss_something(&database, rule, 500);
        assert_eq!(ours, 0, "{variable} {rule:?}");
        // The rule that loses: shown so that the test above is known to be able to fail.
        for _ in 0..10 {
            if control > 0 {
                break;
            }
            control = views_that_miss_something(&database, rule, 500).1;
        }
        assert!(control > 0, "{variable}: the end of the binlog was never ahead of a view");
    }
}

/// Each view is exactly at its position, whether that is looked up or it was opened at the end of the binlog, on a server on which the binlog's own GTIDs run ahead of views.
#[test]
fn a_view_of_mariadb_shows_all_that_its_low_promises_and_no_more() {
    for variable in MARIADB {
        let Some(database) = Database::new(variable, "low") else { continue };
        let rule = ViewRule::of(&database.facts);
        assert_eq!(rule, ViewRule::MariadbSnapshot);
        let (missed, _, beyond) = views_that_miss_something(&database, rule, 200);
        assert_eq!((missed, beyond), (0, 0), "{variable}");
    }
}

/// The set of executed GTIDs runs ahead of views there, and a task does not go by it.
#[test]
fn a_view_of_the_oldest_server_shows_all_that_its_low_promises() {
    let Some(database) = Database::new(OLD, "low") else { return };
    let rule = ViewRule::of(&database.facts);
    assert_eq!(rule, ViewRule::GtidsOfFiles);
    assert_eq!(views_that_miss_something(&database, rule, 500).0, 0);
    assert!(
        (0..10).any(|_| views_that_miss_something(&database, ViewRule::Gtids, 500).0 > 0),
        "no view missed anything of the set of executed GTIDs"
    );
}

/// Loads a table while it is changed, applies the changes since P0 that the ledger lets through, and compares with the
/// table: nothing lost, nothing left behind.
fn load_under_changes(variable: &str, key: &str) {
    let Some(mut database) = Database::new(variable, "changes") else { return };
    let is_connected = database.watch();
    const KEYS: u64 = 3000;
    // Before and behind a load; about half of them find what they want to change.
    const STATEMENTS: usize = 100;
    use pieces::WIDE;
    /// The round in which a chunk takes too long.
    const PIECES: u64 = 4;
    database.run(&format!(
        "CREATE TABLE t (id {key} PRIMARY KEY, v BIGINT NOT NULL, {WIDE});
         INSERT INTO t (id, v) WITH RECURSIVE n AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM n WHERE n < {KEYS} - 1)
         SELECT n * 2, 0 FROM n; ANALYZE TABLE t"
    ));
    let header = if key.starts_with("BIGINT") { "id:int v:int" } else { "id:text v:int" };
    let table = database.load_table("t");
    let stop = AtomicBool::new(false);
    let mut moved = 0;
    for round in 0..5 {
        let mut kept = 0;
        let mut loaded = None;
        let written = AtomicUsize::new(0);
        stop.store(false, Ordering::Relaxed);
        std::thread::scope(|scope| {
            for writer in 0..6 {
                let (database, stop, written) = (&database, &stop, &written);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(round * 10 + writer);
                    let mut connection = database.connect();
                    connection.query("SET SESSION binlog_rows_query_log_events = ON").unwrap();
                    while !stop.load(Ordering::Relaxed) {
                        if !database.facts.gtid_mode_on() && random.u8(..) == 0 {
                            // Else every `low` is the start of the file in which the load began.
                            connection.query("FLUSH BINARY LOGS").unwrap();
                        }
                        let (a, b, v) = (random.u64(0..2 * KEYS), random.u64(0..2 * KEYS), random.u32(..));
                        let name = &database.name;
                        // The comments say again what is done, for the reader of the binlog.
                        let sql = match random.u8(0..4) {
                            0 => format!("INSERT INTO {name}.t (id, v) VALUES ({a}, {v}) /* +I {a} {v} */"),
                            1 => format!("DELETE FROM {name}.t WHERE id = '{a}' /* -D {a} 0 */"),
                            2 => format!("UPDATE {name}.t SET v = {v} WHERE id = '{a}' /* -U {a} 0 +U {a} {v} */"),
                            _ => format!(
                                "UPDATE {name}.t SET id = {b}, v = {v} WHERE id = '{a}' /* -U {a} 0 +U {b} {v} */"
                            ),
                        };
                        // A key that is taken is as good as any other refusal.
                        let _ = connection.query(&sql);
                        written.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            wait_for_writers(&written, STATEMENTS);
            // Windows smaller than a chunk, and such that take several.
            let window_rows = if round % 2 == 0 { 64 } else { 1024 };
            let options = LoadOptions { window_rows, ..small_chunks(150) };
            let tables = std::slice::from_ref(&table);
            loaded = Some(match round {
                PIECES => pieces::load_in_pieces(&database, tables, &is_connected),
                _ => database.load(tables, &options),
            });
            wait_for_writers(&written, written.load(Ordering::Relaxed) + STATEMENTS);
            stop.store(true, Ordering::Relaxed);
        });
        let loaded = loaded.unwrap();
        let mut state = BTreeMap::new();
        for (_, batch) in loaded.batches() {
            let (ids, values) = (batch.rows().column(0), batch.rows().column(1));
            for row in 0..batch.kinds().len() {
                // A row that moved may be in the views of two chunks.
                state.insert(show(ids.as_ref(), row), show(values.as_ref(), row));
            }
        }
        let changes = logged(&database, &loaded.ledger.start().coordinate);
        let after_start = |change: &&Logged| match &loaded.ledger.start().gtids {
            Some(executed) => !change.gtid.as_ref().is_some_and(|gtid| executed.contains(gtid)),
            None => change.transaction >= loaded.ledger.start().coordinate,
        };
        let mut total = 0;
        for change in changes.iter().filter(after_start) {
            let Some(drawing) = change.statement.split("/* ").nth(1).and_then(|rest| rest.split(" */").next()) else {
                continue;
            };
            total += 1;
            let drawn = pretty::parse(header, &drawing.replace(" +U", "\n+U"));
            let parts = TableParts {
                name: table.table.name().clone(),
                version: 1,
                columns: drawn.table().columns().to_vec(),
                unique_keys: drawn.table().unique_keys().to_vec(),
            };
            let meta = EventMeta {
                timestamp_s: 0,
                server_id: 1,
                thread_id: 0,
                coordinate: change.transaction.clone(),
                transaction: change.transaction.clone(),
                gtid: change.gtid.clone(),
            };
            let events = vec![EventRun { end: drawn.kinds().len(), meta: Arc::new(meta) }];
            let batch = ChangeBatch::new(
                Arc::new(Table::from(parts)),
                drawn.rows().clone(),
                drawn.kinds().to_vec(),
                drawn.sequence().to_vec(),
                events,
            );
            let was = batch.kinds().to_vec();
            let batch = loaded.ledger.filter(batch);
            kept += usize::from(!batch.is_empty());
            moved += usize::from(!batch.is_empty() && batch.kinds().len() < was.len());
            let (ids, values) = (batch.rows().column(0), batch.rows().column(1));
            for (row, kind) in batch.kinds().iter().enumerate() {
                let id = show(ids.as_ref(), row);
                match kind {
                    RowKind::Delete | RowKind::UpdateBefore => drop(state.remove(&id)),
                    _ => drop(state.insert(id, show(values.as_ref(), row))),
                }
            }
        }
        let table = database.run(&format!("SELECT id, v FROM {}.t", database.name));
        let truth: BTreeMap<String, String> = table[0]
            .rows
            .iter()
            .map(|row| (text(row, 0).unwrap().to_owned(), text(row, 1).unwrap().to_owned()))
            .collect();
        let wrong: Vec<_> = truth.iter().filter(|(id, v)| state.get(*id) != Some(v)).take(5).collect();
        let ghosts: Vec<_> = state.keys().filter(|id| !truth.contains_key(*id)).take(5).collect();
        println!("{variable} {key}: {total} changes, {kept} kept after the ledger, {} rows", truth.len());
        assert!(wrong.is_empty() && ghosts.is_empty(), "lost {wrong:?}, left behind {ghosts:?}");
        assert!(kept > 0 && total > 0);
    }
    println!("{variable} {key}: {moved} updates between chunks became an insert or a delete");
}

#[test]
fn a_load_under_changes_ends_with_the_table_as_it_is() {
    load_under_changes(GTID, "BIGINT");
    load_under_changes(GTID, "VARCHAR(20)");
    load_under_changes(NO_GTID, "BIGINT");
}

/// `cargo test --release -p tidegate-mysql --lib -- --ignored --nocapture throughput`, with TPC-H's `lineitem` in database
/// `tpch`: rows per second and per second of our own CPU, into nothing.
#[test]
#[ignore = "a measurement, not a check"]
fn throughput_of_lineitem() {
    let Some(database) = Database::new(GTID, "throughput") else { return };
    let named = [TableName::new("tpch", "lineitem")];
    let selection = Selection::named(&named);
    let tables = control(&database.options, async |conn| read_tables(conn, &selection).await.unwrap());
    let tables = [LoadTable::whole(Arc::new(tables[0].table.clone()))];
    for round in 0..5 {
        let options = LoadOptions { readers: 2, ..LoadOptions::default() };
        let ledger = Mutex::new(Ledger::new(start_position(&database.options, &database.facts, true).unwrap().0));
        let (rows, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let emit = |window: Window| {
            for batch in &window.changes {
                rows.fetch_add(batch.kinds().len(), Ordering::Relaxed);
                bytes.fetch_add(batch.rows().get_array_memory_size(), Ordering::Relaxed);
            }
            Ok(())
        };
        let (began, cpu) = (Instant::now(), cpu_seconds());
        database.run_load(&tables, &options, &ledger, &emit, &AtomicBool::new(false)).unwrap();
        let (wall, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        let rows = rows.into_inner() as f64;
        println!(
            "round {round}: {rows} rows in {wall:.2} s = {:.2} M rows/s; {cpu:.2} s of CPU = {:.2} M rows per CPU-second; {} chunks",
            rows / wall / 1e6,
            rows / cpu / 1e6,
            lock(&ledger).tables()[0].chunks.len()
        );
    }
}

fn cpu_seconds() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a whole `rusage`, which the call fills; all zeroes are a valid one as well.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
