//! The server as judge: random expressions over random rows, evaluated here and by `SELECT`.
//!
//! ```text
//! columns      a table with every type, rows of edge values
//! expression   a random tree   ──► its text ──► ours:    Projection, Filter
//!                                          └──► theirs:  SELECT expr, expr, … FROM t
//! ```
//!
//! An expression may be refused, and a row may fail; nothing may be answered differently, and nothing where the server fails. An
//! expression that can be a filter is asked for in WHERE as well, and so is what the server would be asked of it. What differs is
//! made smaller until no smaller expression differs, and printed with the seed that begins with its rows. `TIDEGATE_TEST_SCALE` multiplies the number of
//! expressions; which ones is chosen by chance for MySQL, and `TIDEGATE_TEST_SEED` chooses the same again.
//!
//! In every other round, the columns of which a server is asked have indexes, and the server has to use them: it must find the same.

mod case;
mod columns;
mod expression;
mod forms;
mod server;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use fastrand::Rng;
use tidegate_sql::{Filter, InputColumns, Output, Projection};

use columns::{Column, columns, value};
use expression::{Generator, Node};
use server::{Answer, Server, agrees, shown, text};

/// Expressions against MySQL in a run of the tests.
const EXPRESSIONS: usize = 5_000;
/// Of one SELECT.
const TOGETHER: usize = 100;
/// SELECTs of the same rows, whose text is of one collation.
const SELECTS: usize = 2;
const ROWS: usize = 40;
/// More refusals than this, and the judge has too little to judge. See `bench/record` for what is usual.
const REFUSED_MAX_PERCENT: usize = 15;
/// The same of rows that fail here and have an answer there.
const FAILED_MAX_PERCENT: usize = 3;
/// Differences after which a run ends.
const DIFFERENCES_MAX: usize = 50;
/// Differences of one function that are printed.
const ALIKE_MAX: usize = 2;

#[test]
fn mysql_answers_the_same() {
    if let Some(url) = tidegate_tests::variable("TIDEGATE_TEST_MYSQL") {
        judge(&url, "judge_sql", EXPRESSIONS);
    }
}

#[test]
fn mariadb_answers_the_same() {
    if let Some(url) = tidegate_tests::variable("TIDEGATE_TEST_MARIADB") {
        judge(&url, "judge_sql", EXPRESSIONS / 5);
    }
}

/// What became of the expressions with one function outermost.
#[derive(Debug, Default)]
struct Count {
    all: usize,
    refused: usize,
    failed: usize,
    server_failed: usize,
    /// Rows, and those that failed here and had an answer there.
    rows: usize,
    unanswered: usize,
    reasons: BTreeMap<String, usize>,
}

impl Count {
    fn add(&mut self, other: &Count) {
        self.all += other.all;
        self.refused += other.refused;
        self.failed += other.failed;
        self.server_failed += other.server_failed;
        self.rows += other.rows;
        self.unanswered += other.unanswered;
        for (reason, times) in &other.reasons {
            *self.reasons.entry(reason.clone()).or_default() += times;
        }
    }
}

struct Judge {
    server: Server,
    columns: Vec<Column>,
    collation: &'static str,
    /// The seed that begins with these rows.
    seed: u64,
    is_indexed: bool,
    input: InputColumns,
    batch: RecordBatch,
}

/// In what an answer of ours is not the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Value,
    /// A value here where the server fails.
    Failure,
    /// WHERE keeps other rows.
    Where,
    /// The server, asked first, would not send a row that is kept here.
    Predicate,
}

struct Difference {
    kind: Kind,
    /// From 0 on.
    row: usize,
    theirs: String,
}

/// What a run has found.
#[derive(Default)]
struct Findings {
    values: usize,
    wheres: usize,
    predicates: usize,
    /// Kind, function, and what is printed.
    differences: Vec<(Kind, &'static str, String)>,
}

/// Errors that say nothing of values: about sets of characters and collations, where to us all text is Unicode's, whatever the set of
/// its column; and about operators that stand beside each other here, as `a IS TRUE IS TRUE`.
fn is_not_of_values(error: &str) -> bool {
    let errors = [
        "is not valid for CHARACTER SET",
        "Cannot convert",
        "Illegal mix of collations",
        "You have an error in your SQL syntax",
        // Here such decimals have a sign.
        "DECIMAL UNSIGNED value is out of range",
    ];
    errors.iter().any(|words| error.contains(words))
}

/// Whether only a server may fail over a value that is out of range: in a part that is not evaluated here because another one decides,
/// or because what is chosen among signed and unsigned integers is a decimal here.
fn fails_there_alone(expression: &str, error: &str) -> bool {
    const DECIDE: [&str; 16] = [
        " AND ",
        " OR ",
        " IN ",
        " BETWEEN ",
        "interval(",
        ") = (",
        ") <> (",
        ") < (",
        ") >= (",
        "if(",
        "ifnull(",
        "coalesce(",
        "CASE ",
        "least(",
        "greatest(",
        " DIV ",
    ];
    let is_of_value = ["value is out of range in", "Incorrect string value"].iter().any(|words| error.contains(words));
    is_of_value && DECIDE.iter().any(|word| expression.contains(word))
}

/// Whether the server's own SELECT and WHERE say different things: of times that are computed and longer than a day.
fn differs_from_itself(expression: &str) -> bool {
    ["addtime(", "subtime(", "timediff("].iter().any(|function| expression.contains(function))
}

/// What a filter keeps, and what the server would be asked of it.
struct Kept {
    rows: Vec<bool>,
    predicate: Option<String>,
}

/// What we say of an expression.
enum Ours {
    Refused(String),
    /// A value for each row, or its failure.
    Values(Vec<Result<ArrayRef, String>>),
}

fn judge(url: &str, database: &str, expressions: usize) {
    let variable = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<f64>().ok());
    let expressions = (expressions as f64 * variable("TIDEGATE_TEST_SCALE").unwrap_or(1.0)) as usize;
    let mut server = Server::connect(url);
    let seed = match std::env::var("TIDEGATE_TEST_SEED") {
        Ok(seed) => seed.parse().expect("TIDEGATE_TEST_SEED must be a number"),
        // The same in each run, which proves the tree and not its luck: one difference in a hundred thousand is looked for by many seeds.
        Err(_) => 1,
    };
    println!("judge: TIDEGATE_TEST_SEED={seed}");
    server.run(&format!("DROP DATABASE IF EXISTS {database}"));
    server.run(&format!("CREATE DATABASE {database} CHARACTER SET utf8mb4 COLLATE {}", server.collation()));
    server.run(&format!("USE {database}"));
    let columns = columns(server.is_mariadb);

    let mut counts: BTreeMap<&'static str, Count> = BTreeMap::new();
    let mut by_collation: BTreeMap<&'static str, Count> = BTreeMap::new();
    let mut findings = Findings::default();
    let mut done = 0;
    let mut round = seed;
    while done < expressions && findings.differences.len() < DIFFERENCES_MAX {
        let mut rng = Rng::with_seed(round);
        let collations = server.collations();
        let collation = collations[round as usize % collations.len()];
        // By turns for each collation.
        let is_indexed = (round / collations.len() as u64 + round).is_multiple_of(2);
        fill(&mut server, &columns, collation, is_indexed, &mut rng);
        let (input, batch) = server.rows(&columns, collation);
        let mut judge = Judge { server, columns: columns.clone(), collation, seed: round, is_indexed, input, batch };
        for _ in 0..SELECTS {
            let mut generator = Generator { rng: rng.fork(), columns: &columns, is_mariadb: judge.server.is_mariadb };
            let nodes: Vec<Node> = (0..TOGETHER).map(|_| generator.expression()).collect();
            done += nodes.len();
            let mut of_collation = BTreeMap::new();
            judge.compare(&nodes, &mut of_collation, &mut findings);
            for (name, count) in of_collation {
                by_collation.entry(collation).or_default().add(&count);
                counts.entry(name).or_default().add(&count);
            }
        }
        server = judge.server;
        round += 1;
    }
    let Findings { values, wheres, predicates, mut differences } = findings;
    println!("{done} expressions, {values} values, {wheres} WHERE and {predicates} predicates compared");
    print_counts("function", &counts);
    print_counts("collation", &by_collation);
    differences.sort_by_key(|(kind, ..)| *kind);
    let told: Vec<&str> = differences.iter().map(|(.., difference)| difference.as_str()).collect();
    assert!(told.is_empty(), "{} differences, from seed {seed}:\n{}", told.len(), told.join("\n"));
    let refused: usize = counts.values().map(|count| count.refused).sum();
    assert!(refused * 100 <= done * REFUSED_MAX_PERCENT, "{refused} of {done} expressions are refused");
    let (rows, unanswered) =
        counts.values().fold((0, 0), |(rows, of), count| (rows + count.rows, of + count.unanswered));
    println!("{unanswered} of {rows} rows fail here and have an answer there");
    assert!(unanswered * 100 <= rows * FAILED_MAX_PERCENT, "{unanswered} of {rows} rows fail here alone");
    assert!(values > 10 * done && wheres > 0 && predicates > 0, "too little was compared");
}

fn fill(server: &mut Server, columns: &[Column], collation: &str, is_indexed: bool, rng: &mut Rng) {
    server.run("SET @mode = @@sql_mode, sql_mode = ''");
    server.run("DROP TABLE IF EXISTS t");
    let definitions = columns.iter().map(|Column { name, definition, .. }| format!("{name} {definition}"));
    let indexes = columns
        .iter()
        .filter(|_| is_indexed)
        .filter_map(|column| Some(format!("INDEX {} ({})", column.name, column.indexed()?)));
    let definitions: Vec<String> = definitions.chain(indexes).collect();
    server.run(&format!("CREATE TABLE t ({})", definitions.join(", ")));
    let texts = columns.iter().filter(|column| column.is_collated());
    let collated = texts.map(|text| format!("MODIFY {} {} COLLATE {collation}", text.name, text.definition));
    server.run(&format!("ALTER TABLE t {}", collated.collect::<Vec<_>>().join(", ")));
    let rows: Vec<String> = (1..=ROWS)
        .map(|id| {
            let values: Vec<String> = columns.iter().map(|column| value(rng, column)).collect();
            format!("({id}, {})", values[1..].join(", "))
        })
        .collect();
    server.run(&format!("INSERT INTO t VALUES {}", rows.join(", ")));
    server.run("SET sql_mode = @mode");
}

impl Judge {
    fn compare(&mut self, nodes: &[Node], counts: &mut BTreeMap<&'static str, Count>, findings: &mut Findings) {
        let mut asked: Vec<(&Node, Vec<Result<ArrayRef, String>>)> = Vec::new();
        for node in nodes {
            let count = counts.entry(node.name).or_default();
            count.all += 1;
            match self.ours(&node.text()) {
                Ours::Refused(reason) => {
                    count.refused += 1;
                    *count.reasons.entry(reason).or_default() += 1;
                }
                Ours::Values(values) => asked.push((node, values)),
            }
        }
        let texts: Vec<String> = asked.iter().map(|(node, _)| node.text()).collect();
        let answers = self.ask_together(&texts);
        for ((node, values), answers) in asked.iter().zip(answers) {
            let (count, text) = (counts.entry(node.name).or_default(), node.text());
            count.failed += usize::from(values.iter().any(Result::is_err));
            count.server_failed += usize::from(answers.is_err());
            let answers = self.by_row(&text, values, answers);
            count.rows += values.len();
            count.unanswered +=
                values.iter().zip(&answers).filter(|(ours, theirs)| ours.is_err() && theirs.is_ok()).count();
            findings.values +=
                values.iter().zip(&answers).filter(|(ours, theirs)| ours.is_ok() && theirs.is_ok()).count();
            let mut differences = Vec::from_iter(different(&text, values, &answers));
            if let Some(kept) = self.kept(&text) {
                findings.wheres += 1;
                findings.predicates += usize::from(kept.predicate.is_some());
                differences.extend(self.of_filter(&text, &kept));
            }
            for Difference { kind, .. } in differences {
                let node = self.shrink(node, kind);
                let known = findings.differences.iter().filter(|known| (known.0, known.1) == (kind, node.name)).count();
                if known < ALIKE_MAX {
                    findings.differences.push((kind, node.name, self.described(&node, kind)));
                }
                if findings.differences.len() >= DIFFERENCES_MAX {
                    return;
                }
            }
        }
    }

    /// The answers row by row: an expression that fails in one has values in others.
    fn by_row(
        &mut self,
        text: &str,
        values: &[Result<ArrayRef, String>],
        answers: Result<Vec<Answer>, String>,
    ) -> Vec<Result<Answer, String>> {
        let error = match answers {
            Ok(answers) => return answers.into_iter().map(Ok).collect(),
            Err(error) => error,
        };
        let ask = |(row, value): (usize, &Result<ArrayRef, String>)| match value {
            Ok(_) if !is_not_of_values(&error) => {
                let answers = self.server.ask(&format!("SELECT {text} FROM t WHERE id = {}", row + 1))?;
                Ok(answers[0][0].clone())
            }
            // There is nothing to compare.
            _ => Err(error.clone()),
        };
        values.iter().enumerate().map(ask).collect()
    }

    fn kept(&self, text: &str) -> Option<Kept> {
        let filter = Filter::compile(text, &self.input).ok()?;
        let rows = filter.evaluate(&self.batch.project(filter.columns()).unwrap()).ok()?;
        Some(Kept { rows: rows.values().iter().collect(), predicate: filter.mysql_predicate().map(str::to_owned) })
    }

    fn of_filter(&mut self, text: &str, kept: &Kept) -> Vec<Difference> {
        if !self.is_indexed {
            return self.of_filter_by(text, kept, "");
        }
        let indexed = |column: &Column| column.indexed().map(|_| column.name);
        let indexes = self.columns.iter().filter_map(indexed).collect::<Vec<&str>>().join(", ");
        let mut differences = self.of_filter_by(text, kept, &format!("IGNORE INDEX ({indexes})"));
        differences.extend(self.of_filter_by(text, kept, &format!("FORCE INDEX ({indexes})")));
        differences
    }

    fn of_filter_by(&mut self, text: &str, kept: &Kept, hint: &str) -> Vec<Difference> {
        let mut differences = Vec::new();
        match self.server.ids(text, hint) {
            Ok(_) if differs_from_itself(text) => {}
            // Some of what is LIKE a prefix no index finds.
            Ok(_) if hint.starts_with("FORCE") && text.contains(" LIKE ") => {}
            Ok(ids) => {
                // By an index, servers also find what a literal with more digits rounds to.
                let differs = |row: &usize| match hint.starts_with("FORCE") {
                    true => kept.rows[*row] && !ids.contains(&(row + 1)),
                    false => kept.rows[*row] != ids.contains(&(row + 1)),
                };
                let row = (0..kept.rows.len()).find(differs);
                let theirs = |row| Difference { kind: Kind::Where, row, theirs: format!("WHERE keeps {ids:?}") };
                differences.extend(row.map(theirs));
            }
            Err(error) if is_not_of_values(&error) || fails_there_alone(text, &error) => {}
            Err(error) => differences.push(Difference { kind: Kind::Where, row: 0, theirs: error }),
        }
        let Some(predicate) = &kept.predicate else { return differences };
        // As a full load asks.
        self.server.run("SET @mode = @@sql_mode, sql_mode = ''");
        let sent = self.server.ids(predicate, hint);
        self.server.run("SET sql_mode = @mode");
        match sent {
            Ok(ids) => {
                let row = (0..kept.rows.len()).find(|row| kept.rows[*row] && !ids.contains(&(row + 1)));
                let theirs =
                    |row| Difference { kind: Kind::Predicate, row, theirs: format!("{predicate} keeps {ids:?}") };
                differences.extend(row.map(theirs));
            }
            Err(error) => {
                differences.push(Difference { kind: Kind::Predicate, row: 0, theirs: format!("{predicate}: {error}") });
            }
        }
        differences
    }

    /// One column of answers for each expression, or the server's error.
    fn ask_together(&mut self, texts: &[String]) -> Vec<Result<Vec<Answer>, String>> {
        if texts.is_empty() {
            return Vec::new();
        }
        match self.server.ask(&format!("SELECT {} FROM t ORDER BY id", texts.join(", "))) {
            Ok(rows) => (0..texts.len()).map(|at| Ok(rows.iter().map(|row| row[at].clone()).collect())).collect(),
            Err(error) if texts.len() == 1 => vec![Err(error)],
            Err(_) => {
                let (left, right) = texts.split_at(texts.len() / 2);
                let mut answers = self.ask_together(left);
                answers.extend(self.ask_together(right));
                answers
            }
        }
    }

    fn ours(&self, text: &str) -> Ours {
        let projection = match Projection::compile(&[format!("{text} AS x")], &self.input) {
            Ok(projection) => projection,
            Err(error) => return Ours::Refused(error.message().to_owned()),
        };
        let rows = self.batch.num_rows();
        let values: Vec<Result<ArrayRef, String>> = match self.evaluate(&projection, &self.batch) {
            Ok(all) => (0..rows).map(|row| Ok(all.slice(row, 1))).collect(),
            // One row after the other: the others have values.
            Err(_) => (0..rows).map(|row| self.evaluate(&projection, &self.batch.slice(row, 1))).collect(),
        };
        self.check_filter(text, &values);
        Ours::Values(values)
    }

    fn evaluate(&self, projection: &Projection, batch: &RecordBatch) -> Result<ArrayRef, String> {
        let evaluated = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.evaluate_it(projection, batch)));
        evaluated.unwrap_or_else(|panic| {
            println!("TIDEGATE_TEST_SEED={}: {projection:?}", self.seed);
            std::panic::resume_unwind(panic)
        })
    }

    fn evaluate_it(&self, projection: &Projection, batch: &RecordBatch) -> Result<ArrayRef, String> {
        match projection.outputs()[0].output {
            Output::Column(index) => Ok(batch.column(index).clone()),
            Output::Computed(_) => {
                let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                let columns = projection.columns().iter().map(|index| batch.column(*index).clone()).collect();
                let schema = std::sync::Arc::new(batch.schema().project(projection.columns()).unwrap());
                let read = RecordBatch::try_new_with_options(schema, columns, &options).unwrap();
                projection
                    .evaluate(&read)
                    .map(|mut arrays| arrays.remove(0))
                    .map_err(|error| error.message().to_owned())
            }
        }
    }

    /// A filter keeps the rows for which the projection is true.
    fn check_filter(&self, text: &str, values: &[Result<ArrayRef, String>]) {
        let Some(kept) = self.kept(text) else { return };
        for (row, value) in values.iter().enumerate() {
            if let Ok(value) = value
                && *value.data_type() == arrow::datatypes::DataType::Boolean
            {
                let is_true = value.is_valid(0) && arrow::array::AsArray::as_boolean(value).value(0);
                let row_id = row + 1;
                assert_eq!(
                    kept.rows[row], is_true,
                    "filter and projection differ in row {row_id}, TIDEGATE_TEST_SEED={}: {text}",
                    self.seed
                );
            }
        }
    }

    fn difference(&mut self, text: &str, kind: Kind) -> Option<Difference> {
        if matches!(kind, Kind::Where | Kind::Predicate) {
            let kept = self.kept(text)?;
            return self.of_filter(text, &kept).into_iter().find(|difference| difference.kind == kind);
        }
        let Ours::Values(values) = self.ours(text) else { return None };
        let answers = self.ask_together(&[text.to_owned()]).remove(0);
        let answers = self.by_row(text, &values, answers);
        different(text, &values, &answers).filter(|difference| difference.kind == kind)
    }

    fn shrink(&mut self, node: &Node, kind: Kind) -> Node {
        let mut smallest = node.clone();
        'smaller: loop {
            for candidate in smallest.smaller() {
                let text = candidate.text();
                if text.len() < smallest.text().len() && self.difference(&text, kind).is_some() {
                    smallest = candidate;
                    continue 'smaller;
                }
            }
            return smallest;
        }
    }

    fn described(&mut self, node: &Node, kind: Kind) -> String {
        let text = node.text();
        let Some(Difference { row, theirs, .. }) = self.difference(&text, kind) else { return text };
        let Ours::Values(values) = self.ours(&text) else { return text };
        let ours = match &values[row] {
            Ok(value) => format!("{:?} {}", shown(value, 0), value.data_type()),
            Err(error) => error.clone(),
        };
        let (collation, seed) = (self.collation, self.seed);
        let mut out = format!(
            "{kind:?}: {text}\n    ours {ours}, theirs {theirs}, in row {}, by {collation}, TIDEGATE_TEST_SEED={seed}\n   ",
            row + 1
        );
        for (at, column) in self.columns.iter().enumerate().filter(|(_, column)| text.contains(column.name)) {
            write!(out, " {} = {:?}", column.name, shown(self.batch.column(at), row)).unwrap();
        }
        out
    }
}

/// The first row with two different values, or else the first with a value here and an error there. A row that fails here is neither.
fn different(
    expression: &str,
    values: &[Result<ArrayRef, String>],
    answers: &[Result<Answer, String>],
) -> Option<Difference> {
    let mut failure = None;
    for (row, (ours, theirs)) in values.iter().zip(answers).enumerate() {
        let Ok(ours) = ours else { continue };
        match theirs {
            Ok(theirs) if agrees(expression, ours, 0, theirs) => {}
            Ok(theirs) => {
                return Some(Difference { kind: Kind::Value, row, theirs: format!("{:?}", text(theirs)) });
            }
            Err(error) if failure.is_none() && !is_not_of_values(error) && !fails_there_alone(expression, error) => {
                failure = Some(Difference { kind: Kind::Failure, row, theirs: error.clone() });
            }
            Err(_) => {}
        }
    }
    failure
}

fn print_counts(of: &str, counts: &BTreeMap<&'static str, Count>) {
    let mut out = format!(
        "{of:25} expressions  refused  failed here  failed there  rows failed here alone  most often refused because\n"
    );
    for (name, count) in counts {
        let reason = count.reasons.iter().max_by_key(|(_, times)| **times).map_or("", |(reason, _)| reason);
        writeln!(
            out,
            "{name:26} {:10} {:7}% {:11}% {:12}% {:22}%  {reason}",
            count.all,
            count.refused * 100 / count.all,
            count.failed * 100 / count.all,
            count.server_failed * 100 / count.all,
            count.unanswered * 100 / count.rows.max(1),
        )
        .unwrap();
    }
    println!("{out}");
}
