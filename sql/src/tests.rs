//! What the drawn statements in `tests/slt` cannot show: the edges of the interface.

use arrow::array::{Int64Array, RecordBatchOptions, StringArray};

use super::*;

fn input(columns: &[(&str, DataType, Pushdown)]) -> InputColumns {
    let fields: Vec<Field> =
        columns.iter().map(|(name, of_type, _)| Field::new(*name, of_type.clone(), true)).collect();
    InputColumns {
        schema: Arc::new(Schema::new(fields)),
        pushdown: columns.iter().map(|(_, _, pushdown)| *pushdown).collect(),
        texts: Vec::new(),
        sources: Vec::new(),
    }
}

fn orders() -> InputColumns {
    input(&[
        ("id", DataType::Int64, Pushdown::Exact),
        ("Name", DataType::Utf8, Pushdown::Never),
        ("amount", DataType::Int64, Pushdown::Never),
    ])
}

fn asks_the_server(text: &str, columns: &[(&str, DataType, Pushdown)], expected: Option<&str>) {
    let filter = Filter::compile(text, &input(columns)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(filter.mysql_predicate(), expected, "{text}");
}

#[test]
fn only_the_columns_that_are_read_are_asked_for() {
    let filter = Filter::compile("amount > 1 AND id < 5 AND amount < 9", &orders()).unwrap();
    assert_eq!(filter.columns(), [0, 2]);

    let projection = Projection::compile(&["name".to_owned(), "amount + 1 AS more".to_owned()], &orders()).unwrap();
    assert_eq!(projection.columns(), [2]);
    assert_eq!(projection.outputs()[0].output, Output::Column(1));
    assert_eq!(projection.outputs()[0].field.name(), "Name");
    assert_eq!(projection.outputs()[1].output, Output::Computed(0));
}

#[test]
fn constants_need_no_columns() {
    let projection = Projection::compile(&["'eu' AS region".to_owned()], &orders()).unwrap();
    assert!(projection.columns().is_empty());
    let rows = RecordBatchOptions::new().with_row_count(Some(3));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &rows).unwrap();
    let expected: ArrayRef = Arc::new(StringArray::from(vec!["eu"; 3]));
    assert_eq!(projection.evaluate(&batch).unwrap(), [expected]);
}

#[test]
fn a_batch_without_rows_is_fine() {
    let input = orders();
    for text in ["id > 1", "id DIV amount > 1 AND Name = 'x'", "id > 1 OR CAST(Name AS SIGNED) = 1"] {
        let filter = Filter::compile(text, &input).unwrap();
        let schema = Arc::new(input.schema.project(filter.columns()).unwrap());
        assert_eq!(filter.evaluate(&RecordBatch::new_empty(schema)).unwrap().len(), 0);
    }
}

#[test]
fn a_batch_with_other_columns_is_refused() {
    let filter = Filter::compile("id > 1 AND amount > 1", &orders()).unwrap();
    let batch = RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
    assert_eq!(filter.evaluate(&batch).unwrap_err().message(), "1 columns were given, 2 are read");
}

#[test]
fn errors_never_name_a_value() {
    let names: ArrayRef = Arc::new(StringArray::from(vec!["4711-secret"]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![9_223_372_036_854_774_711]));
    let batch = RecordBatch::try_from_iter([("id", numbers), ("Name", names)]).unwrap();
    let failing = [
        "CAST(Name AS SIGNED) + id > 1",
        "CAST(Name AS DATE) > '2024-01-01' AND id <> 1",
        "id * 2 > 1 AND Name <> ''",
        "CAST(id AS TINYINT) > 1 AND Name <> ''",
        "CAST(id AS DECIMAL(5, 2)) > 1 AND Name <> ''",
        "repeat(Name, id) > '' AND id > 1",
        "convert(unhex(concat('ff', left(Name, 0))) USING utf8mb4) = Name AND id > 1",
    ];
    for text in failing {
        let filter = Filter::compile(text, &orders()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(filter.columns(), [0, 1], "{text}");
        let error = filter.evaluate(&batch).expect_err(text);
        assert!(!error.message().contains("4711") && !error.message().contains("secret"), "{error}");
    }
}

/// Whatever is written of whatever columns: nothing that is refused is so in the words of the library that plans it.
#[test]
fn types_are_called_as_mysql_calls_them() {
    let zone = Some(Arc::from("+00:00"));
    let columns = [
        ("i", DataType::Int32),
        ("u", DataType::UInt64),
        ("f", DataType::Float32),
        ("n", DataType::Decimal128(10, 2)),
        ("s", DataType::Utf8),
        ("j", DataType::LargeUtf8),
        ("b", DataType::Binary),
        ("d", DataType::Date32),
        ("dt", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("ts", DataType::Timestamp(TimeUnit::Microsecond, zone)),
        ("t", DataType::Duration(TimeUnit::Microsecond)),
        ("e", DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8))),
    ];
    let input = input(&columns.clone().map(|(name, of_type)| (name, of_type, Pushdown::Never)));
    let operands = columns.iter().map(|(name, _)| *name).chain(["NULL", "1", "'a'", "i = 1"]);
    let operands: Vec<&str> = operands.collect();
    let mut texts = Vec::new();
    for a in &operands {
        let of_one = ["NOT _", "-_", "_ IS TRUE", "CAST(_ AS CHAR)", "CAST(_ AS BINARY)", "CAST(_ AS TIME)"];
        texts.extend(of_one.map(|text| text.replace('_', a)));
        texts.extend(functions().map(|name| format!("{name}({a})")));
        for b in &operands {
            let operators =
                ["+", "*", "/", "%", "DIV", "=", "<", "<=>", "AND", "OR", "XOR", "&", "<<", "LIKE", "RLIKE", "->"];
            texts.extend(operators.map(|operator| format!("({a}) {operator} ({b})")));
            texts.extend([
                format!("{a} IN ({b}, i)"),
                format!("{a} BETWEEN {b} AND i"),
                format!("CASE WHEN i THEN {a} ELSE {b} END"),
            ]);
            texts.extend(functions().map(|name| format!("{name}({a}, {b})")));
        }
    }
    let mut refused = 0;
    for text in texts {
        let Err(error) = Projection::compile(&[format!("{text} AS x")], &input) else { continue };
        refused += 1;
        let said = format!("{} {}", error.message(), error.hint().unwrap_or_default());
        for word in
            ["Utf8", "Int32", "Int64", "Float", "Decimal128", "Binary", "Date32", "Timestamp", "Duration", "Boolean"]
        {
            assert!(!said.contains(word), "{text}: {said}");
        }
        for word in ["datatype", "coerc", "signature", "datafusion", "arrow"] {
            assert!(!said.to_lowercase().contains(word), "{text}: {said}");
        }
    }
    assert!(refused > 10_000, "{refused}");
}

#[test]
fn long_chains_fit_the_stack_or_are_refused() {
    let chain = |length: usize| vec!["amount + id <> 1"; length].join(" OR ");
    Filter::compile(&chain(100), &orders()).unwrap();
    for length in [200, 100_000] {
        let error = Filter::compile(&chain(length), &orders()).unwrap_err();
        assert_eq!(error.message(), "more than 128 operators in a row");
    }
    let sum = vec!["id"; 100].join(" + ");
    Filter::compile(&format!("{sum} > 1"), &orders()).unwrap();
    let list: Vec<String> = (0..10_000).map(|id| id.to_string()).collect();
    Filter::compile(&format!("id IN ({})", list.join(", ")), &orders()).unwrap();
}

#[test]
fn an_error_knows_its_place() {
    let error = Filter::compile("id > 1\n  AND amuont < 5", &orders()).unwrap_err();
    assert_eq!(error.line_and_column(), Some((2, 7)));
    assert_eq!(&error.text()[error.position().unwrap()], "amuont");
    assert_eq!(error.hint(), Some("Did you mean \"amount\"?"));
}

#[test]
fn names_are_quoted_for_the_server() {
    asks_the_server("`a``b` > 1", &[("a`b", DataType::Int64, Pushdown::Exact)], Some("`a``b` > 1"));
    asks_the_server(
        "Größe > 1",
        &[("GRÖSSE", DataType::Int64, Pushdown::Exact), ("größe", DataType::Int64, Pushdown::Exact)],
        Some("`größe` > 1"),
    );
}

#[test]
fn the_server_is_not_asked_what_it_may_see_otherwise() {
    let date = [("d", DataType::Date32, Pushdown::Exact)];
    asks_the_server("d > '0999-12-31'", &date, None);
    asks_the_server("d < '2024-01-01'", &date, Some("`d` < '2024-01-01'"));
    asks_the_server("NOT d > '2024-01-01'", &date, Some("`d` <= '2024-01-01'"));
    asks_the_server("NOT d < '2024-01-01'", &date, Some("`d` >= '2024-01-01'"));
    asks_the_server("d > '2024-01-01' OR d < '2000-01-01'", &date, Some("(`d` > '2024-01-01' OR `d` < '2000-01-01')"));
    asks_the_server("year(d) = 2024 AND d <> '2024-01-01'", &date, Some("`d` <> '2024-01-01'"));

    let float = [("f", DataType::Float64, Pushdown::Exact)];
    asks_the_server("f > 1", &float, None);
    let never = [("y", DataType::UInt16, Pushdown::Never)];
    asks_the_server("y = 70", &never, None);
    let text = [("s", DataType::Utf8, Pushdown::Exact)];
    asks_the_server("s = 'x'", &text, None);
    let number = [("n", DataType::Int32, Pushdown::Exact)];
    asks_the_server("CAST(n AS TINYINT) > 1", &number, None);
    asks_the_server("CAST(n AS CHAR) = '1'", &number, None);
    asks_the_server("n + 1 > 5", &number, None);
    asks_the_server("n > 1.5", &number, Some("`n` > 1.5"));
    asks_the_server("(n > 1 AND n + 1 > 2) OR n = 0", &number, Some("(`n` > 1 OR `n` = 0)"));
    asks_the_server("n <=> 1", &number, None);
}

#[test]
fn compiled_expressions_cross_threads() {
    fn crosses<T: Send + Sync + Clone>() {}
    crosses::<Filter>();
    crosses::<Projection>();
}
