//! What conditions cost. On text, by collation: rows of 20 characters, of which half differ from the literal in the last four, half in the
//! first. Then paths into JSON of 100 characters, and hashes of the same texts.
//!
//!     cargo bench -p tidegate-bench --bench expressions

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use tidegate_sql::{ColumnSource, Filter, InputColumns, Kind, Pushdown, TextOrder};

const ROWS: usize = 8_192;
const ROUNDS: usize = 300;

const CONDITIONS: [&str; 5] = [
    "s = 'Customer#00000001234'",
    "s < 'Customer#00000001234'",
    "s IN ('Customer#00000001234', 'x', 'Customer#00000004321')",
    "s LIKE 'Customer#%12__'",
    "s LIKE '%12%'",
];

const COLLATIONS: [&str; 6] =
    ["bytes", "utf8mb4_bin", "utf8mb4_0900_ai_ci", "utf8mb4_0900_as_cs", "utf8mb4_general_ci", "latin1_swedish_ci"];

const OTHERS: [(&str, Kind); 10] = [
    ("char_length(s) > 19", Kind::Plain),
    ("crc32(s) > 0", Kind::Plain),
    ("md5(s) <> ''", Kind::Plain),
    ("sha1(s) <> ''", Kind::Plain),
    ("sha2(s, 256) <> ''", Kind::Plain),
    ("s->>'$.id' = '7'", Kind::Json),
    ("s->>'$.address.city' = 'Zug'", Kind::Json),
    ("s->>'$.tags[last]' = 'c'", Kind::Json),
    ("json_contains(s, '\"b\"', '$.tags')", Kind::Json),
    ("json_length(json_set(s, '$.tags[1]', 'x')) > 0", Kind::Json),
];

fn main() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut letters = |count| (0..count).map(|_| random.alphanumeric()).collect::<String>();
    let texts: Vec<String> = (0..ROWS)
        .map(|row| if row.is_multiple_of(2) { format!("Customer#0000000{}", letters(4)) } else { letters(20) })
        .collect();
    let accented: Vec<String> = texts.iter().map(|text| text.replace('e', "é")).collect();
    println!("{:82} {:>14} {:>16}", "ns per row", "ASCII", "e is é");
    for condition in CONDITIONS {
        let mut bytes = None;
        for collation in COLLATIONS {
            let order = if collation == "bytes" { TextOrder::Bytes } else { TextOrder::of(Some(collation)) };
            let of = |texts| ns_per_row(condition, order.clone(), Kind::Plain, texts);
            let [ascii, other] = [of(&texts), of(&accented)];
            let times = ascii / *bytes.get_or_insert(ascii);
            println!("{condition:62} {collation:20} {ascii:6.2} ({times:4.1} times) {other:8.2}");
        }
    }
    let documents: Vec<String> = texts.iter().enumerate().map(|(at, text)| document(at, text)).collect();
    for (condition, kind) in OTHERS {
        let texts = if kind == Kind::Json { &documents } else { &texts };
        println!("{condition:83} {:6.2}", ns_per_row(condition, TextOrder::Bytes, kind, texts));
    }
}

/// As a server prints it.
fn document(at: usize, text: &str) -> String {
    let city = if at.is_multiple_of(3) { "Zug" } else { "Basel" };
    format!(
        "{{\"id\": {}, \"name\": \"{text}\", \"tags\": [\"a\", \"b\", \"c\"], \"address\": {{\"zip\": \"6300\", \"city\": \"{city}\"}}}}",
        at % 10
    )
}

fn ns_per_row(condition: &str, order: TextOrder, kind: Kind, texts: &[String]) -> f64 {
    let schema = Arc::new(Schema::new(vec![Field::new("s", DataType::Utf8, false)]));
    let array: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![array]).expect("one column");
    let input = InputColumns {
        schema,
        pushdown: vec![Pushdown::Never],
        texts: vec![order],
        sources: vec![ColumnSource { kind, ..ColumnSource::default() }],
    };
    let filter = Filter::compile(condition, &input).unwrap_or_else(|error| panic!("{error}"));
    // The best of several, because others share the machine.
    let rounds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        black_box(filter.evaluate(black_box(&batch)).expect("a comparison does not fail"));
        start.elapsed().as_nanos()
    });
    rounds.min().unwrap_or(0) as f64 / ROWS as f64
}
