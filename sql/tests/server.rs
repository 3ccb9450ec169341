//! Random conditions on text, evaluated here and by the servers: both select the same rows, or the condition is refused.
//!
//! ```text
//! a LIKE 'e_' OR NOT concat(g, 'x') IN ('Sx', 'ßX')        here: rows 3, 17, 40        SELECT … WHERE: rows 3, 17, 40
//! ```
//!
//! What the server would be asked of a condition must keep at least these rows. `TIDEGATE_TEST_SCALE` is how many times as many conditions are
//! tried, `TIDEGATE_TEST_SEED` repeats them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use tidegate_mysql::wire::{ConnectOptions, Connection, TlsOptions};
use tidegate_sql::{Filter, InputColumns, Pushdown, TextOrder};

/// Name, character set, and collation on MySQL and on MariaDB.
const COLUMNS: [(&str, &str, &str, &str); 9] = [
    ("a", "utf8mb4", "utf8mb4_0900_ai_ci", "utf8mb4_uca1400_nopad_ai_ci"),
    ("b", "utf8mb4", "utf8mb4_0900_ai_ci", "utf8mb4_uca1400_nopad_ai_ci"),
    ("s", "utf8mb4", "utf8mb4_0900_as_cs", "utf8mb4_uca1400_as_cs"),
    ("i", "utf8mb4", "utf8mb4_0900_as_ci", "utf8mb4_uca1400_ai_ci"),
    ("g", "utf8mb4", "utf8mb4_general_ci", "utf8mb4_general_ci"),
    ("u", "utf8mb3", "utf8mb3_unicode_ci", "utf8mb3_unicode_ci"),
    ("l", "latin1", "latin1_swedish_ci", "latin1_swedish_ci"),
    ("m", "utf8mb4", "utf8mb4_bin", "utf8mb4_bin"),
    ("n", "utf8mb4", "utf8mb4_0900_bin", "utf8mb4_unicode_520_ci"),
];

/// In all sets, in utf8mb3, and beyond.
const ALPHABETS: [&str; 3] = ["aAbBsSeE éÉßäÄ_%zZ", "ıİłŁ\u{301}\u{200d}\u{fffd}Дд한가Σς", "😀😁𝐀"];

struct Table {
    input: InputColumns,
    batch: RecordBatch,
    literals: Vec<String>,
}

fn text(random: &mut fastrand::Rng, alphabets: &[&str]) -> String {
    let characters: Vec<char> = alphabets[random.usize(..alphabets.len())].chars().collect();
    let some: Vec<char> = (0..3).map(|_| characters[random.usize(..characters.len())]).chain(['a', ' ']).collect();
    (0..random.usize(0..4)).map(|_| some[random.usize(..some.len())]).collect()
}

fn table(connection: &mut Connection, is_mariadb: bool, random: &mut fastrand::Rng) -> Table {
    let mut fields = vec![Field::new("id", DataType::Int64, false)];
    let mut texts = vec![TextOrder::Bytes];
    let mut definitions = vec!["id BIGINT PRIMARY KEY".to_owned()];
    for (name, charset, mysql, mariadb) in COLUMNS {
        let collation = if is_mariadb { mariadb } else { mysql };
        fields.push(Field::new(name, DataType::Utf8, true));
        texts.push(TextOrder::of(Some(collation)));
        definitions.push(format!("{name} VARCHAR(20) CHARACTER SET {charset} COLLATE {collation}"));
    }
    // What a full load would ask may be answered by an index.
    definitions.extend(["a", "s", "i", "n"].map(|name| format!("INDEX ({name})")));
    connection.query("CREATE DATABASE IF NOT EXISTS tidegate_sql; USE tidegate_sql").unwrap();
    connection.query(&format!("CREATE TEMPORARY TABLE t ({})", definitions.join(", "))).unwrap();
    let mut literals = Vec::new();
    let mut columns: Vec<Vec<Option<String>>> = vec![Vec::new(); COLUMNS.len()];
    let mut rows = Vec::new();
    for id in 0..200 {
        let mut cells = vec![id.to_string()];
        for ((_, charset, ..), column) in COLUMNS.iter().zip(&mut columns) {
            let alphabets = match *charset {
                "latin1" => &ALPHABETS[..1],
                "utf8mb3" => &ALPHABETS[..2],
                _ => &ALPHABETS[..],
            };
            let value = (random.u8(..10) > 0).then(|| text(random, alphabets));
            cells.push(value.as_ref().map_or("NULL".to_owned(), |value| format!("'{value}'")));
            literals.extend(value.clone());
            column.push(value);
        }
        rows.push(format!("({})", cells.join(", ")));
    }
    connection.query(&format!("INSERT INTO t VALUES {}", rows.join(", "))).unwrap();
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..200));
    let arrays = columns.into_iter().map(|column| Arc::new(StringArray::from(column)) as ArrayRef);
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), std::iter::once(ids).chain(arrays).collect()).unwrap();
    let input = InputColumns { schema, pushdown: vec![Pushdown::Exact; COLUMNS.len() + 1], texts, sources: Vec::new() };
    Table { input, batch, literals }
}

struct Writer<'a> {
    random: &'a mut fastrand::Rng,
    literals: &'a [String],
}

impl Writer<'_> {
    fn one<'b>(&mut self, of: &[&'b str]) -> &'b str {
        of[self.random.usize(..of.len())]
    }

    fn literal(&mut self) -> String {
        let text = &self.literals[self.random.usize(..self.literals.len())];
        let text = match self.random.u8(..4) {
            0 => text.to_uppercase(),
            1 => text.to_lowercase(),
            2 => format!("{text}{}", ["", " ", "a", "\u{301}"][self.random.usize(..4)]),
            _ => text.clone(),
        };
        format!("'{text}'")
    }

    /// Text of a column, mostly of the same.
    fn value(&mut self, column: &str) -> String {
        let column = if self.random.u8(..20) == 0 { self.one(&["a", "g", "m"]) } else { column };
        match self.random.u8(..12) {
            0 => format!("concat({column}, {})", self.literal()),
            1 => format!("coalesce({column}, {})", self.literal()),
            2 => format!("trim({column})"),
            3 => format!("left({column}, 2)"),
            4 => format!("CASE WHEN id > 100 THEN {column} ELSE {} END", self.literal()),
            5 => format!("nullif({column}, {})", self.literal()),
            6 => format!(
                "{column} COLLATE {}",
                self.one(&["utf8mb4_bin", "utf8mb4_general_ci", "utf8mb4_unicode_520_ci"])
            ),
            _ => column.to_owned(),
        }
    }

    fn operand(&mut self, column: &str) -> String {
        if self.random.u8(..4) > 0 { self.literal() } else { self.value(column) }
    }

    fn condition(&mut self, depth: usize) -> String {
        let column = COLUMNS[self.random.usize(..COLUMNS.len())].0;
        // b is of the same collation.
        let other = if column == "a" { "b" } else { column };
        let not = self.one(&["", "", "NOT "]);
        match self.random.u8(..if depth == 0 { 8 } else { 11 }) {
            0..=2 => {
                let op = self.one(&["=", "<>", "<", ">", "<=", ">=", "<=>"]);
                format!("{} {op} {}", self.value(column), self.operand(other))
            }
            3 if self.random.bool() => {
                // As borders of a range.
                let prefix = self.one(&["a", "B", "s", "ss", "Z", "as", "aS", "zz"]);
                format!("{} {not}LIKE '{prefix}%'", self.value(column))
            }
            3 => format!("{} {not}LIKE {}", self.value(column), self.literal()),
            4 => format!("{} {not}BETWEEN {} AND {}", self.value(column), self.operand(other), self.operand(other)),
            5 => {
                let items: Vec<String> = (0..self.random.usize(1..12)).map(|_| self.literal()).collect();
                format!("{} {not}IN ({})", self.value(column), items.join(", "))
            }
            6 => {
                // MariaDB finds nothing that has more bytes than the set.
                let part = self.one(&["a", "A", "e", "S", "é", "ß", "", "ss"]);
                format!("find_in_set('{part}', concat({column}, ',', {}, ',xyz')) > 0", self.literal())
            }
            7 => format!(
                "CASE {} WHEN {} THEN 1 WHEN {} THEN 2 ELSE 0 END > 0",
                self.value(column),
                self.literal(),
                self.literal()
            ),
            8 => format!("NOT ({})", self.condition(depth - 1)),
            _ => {
                let op = self.one(&["AND", "OR"]);
                format!("({}) {op} ({})", self.condition(depth - 1), self.condition(depth - 1))
            }
        }
    }
}

fn judge(variable: &str, random: &mut fastrand::Rng) {
    let Some(url) = tidegate_tests::variable(variable) else { return };
    let (account, address) = url.strip_prefix("mysql://").and_then(|rest| rest.split_once('@')).expect("a URL");
    let ((user, password), (host, port)) = (account.split_once(':').unwrap(), address.split_once(':').unwrap());
    let mut connection = Connection::connect(&ConnectOptions {
        host: host.to_owned(),
        port: port.trim_end_matches('/').parse().unwrap(),
        user: user.to_owned(),
        password: Some(password.to_owned()),
        password_origin: None,
        tls: TlsOptions::default(),
        connect_timeout: Duration::from_secs(10),
        max_packet_bytes: 1 << 30,
        program_name: "tidegate tests".to_owned(),
    })
    .unwrap();
    let is_mariadb = connection.is_mariadb();
    // The session's collation decides between literals.
    let names = if is_mariadb { "SET NAMES utf8mb4" } else { "SET NAMES utf8mb4 COLLATE utf8mb4_0900_ai_ci" };
    connection.query(names).unwrap();
    let table = table(&mut connection, is_mariadb, random);
    let mut select = |by: &str, condition: &str| -> Result<BTreeSet<i64>, String> {
        let results =
            connection.query(&format!("SELECT id FROM t {by} WHERE {condition}")).map_err(|error| error.to_string())?;
        let id = |row: &Vec<Option<Vec<u8>>>| std::str::from_utf8(row[0].as_ref().unwrap()).unwrap().parse().unwrap();
        Ok(results[0].rows.iter().map(id).collect())
    };
    let scale: f64 = std::env::var("TIDEGATE_TEST_SCALE").map_or(1.0, |scale| scale.parse().unwrap());
    let (mut same, mut asked, mut beyond, mut refused, mut failures) =
        (0, 0, 0, BTreeMap::<String, u64>::new(), Vec::new());
    let tried = (1_500.0 * scale) as u64;
    for _ in 0..tried {
        let condition = Writer { random, literals: &table.literals }.condition(2);
        let filter = match Filter::compile(&condition, &table.input) {
            Ok(filter) => filter,
            Err(error) => {
                *refused.entry(error.message().to_owned()).or_default() += 1;
                continue;
            }
        };
        let keep = filter.evaluate(&table.batch.project(filter.columns()).unwrap()).unwrap();
        let ours: BTreeSet<i64> = (0..200).filter(|&id| keep.value(id as usize)).collect();
        match select("USE INDEX ()", &condition) {
            Ok(theirs) if theirs == ours => same += 1,
            Ok(theirs) => {
                let differ: Vec<_> = theirs.symmetric_difference(&ours).collect();
                failures.push(format!("{variable}: {condition}\n  differ: {differ:?}"));
            }
            // To us all text is Unicode's, whatever the set of its column.
            Err(error)
                if ["is not valid for CHARACTER SET", "Cannot convert", "Illegal mix of collations"]
                    .iter()
                    .any(|refusal| error.contains(refusal)) =>
            {
                beyond += 1
            }
            Err(error) => failures.push(format!("{variable}: {condition}\n  {error}")),
        }
        if let Some(predicate) = filter.mysql_predicate() {
            asked += 1;
            for by in ["USE INDEX ()", "FORCE INDEX (a, s, i, n)"] {
                match select(by, predicate) {
                    Ok(theirs) if ours.is_subset(&theirs) => {}
                    _ => failures.push(format!("{variable}: {condition}\n  asked {by} {predicate}")),
                }
            }
        }
    }
    println!(
        "{variable}: {same} the same, {asked} asked of the server first, {beyond} that only the server refuses; refused here {refused:#?}"
    );
    failures.truncate(20);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(3 * same > tried && asked > 0, "{variable}: of {tried} conditions, too few were compared");
}

#[test]
fn conditions_on_text_select_what_the_servers_select() {
    let seed = std::env::var("TIDEGATE_TEST_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("TIDEGATE_TEST_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for variable in ["TIDEGATE_TEST_MYSQL", "TIDEGATE_TEST_MARIADB", "TIDEGATE_TEST_MARIADB_11"] {
        judge(variable, &mut random);
    }
}
