//! Expressions as MySQL means them, where they meet rows: by the full load, which asks the server to judge first, and by the
//! binlog, which has nobody to ask; and `tidegate sql`, which shows both answers.

use std::ffi::OsStr;

use super::harness::{Reader, Servers, TaskFile, Tidegate, World};

const TABLE: &str = "
    CREATE TABLE orders (
        id INT PRIMARY KEY, qty INT, total DECIMAL(10,2), ratio DOUBLE, day DATE, name VARCHAR(20), doc JSON
    )";

/// Rows at which meanings part: no quantity, infinity, a date without a month, NULL.
fn rows(from: u32) -> String {
    let values = [
        "0, 20, 1, '2009-12-31', 'none', '{\"a\": 1}'",
        "3, 40, 0, '2010-00-10', 'third', '{\"a\": \"x\"}'",
        "2, 40, 2, '2010-05-31', 'twenty', NULL",
        "2, 40, NULL, '2010-06-01', 'late', '[]'",
        "NULL, 40, 1, NULL, 'unknown', '{}'",
    ];
    let rows: Vec<String> = (from..).zip(values).map(|(id, values)| format!("({id}, {values})")).collect();
    format!("INSERT INTO orders VALUES {}", rows.join(", "))
}

#[test]
fn both_paths_keep_the_rows_that_the_server_would() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("expressions", &servers.mysql, &servers.kafka);
    world.mysql.run("SET SESSION sql_mode = ''");
    world.mysql.run(TABLE);
    world.mysql.run(rows(1));
    let condition = "total / qty > 10 AND day < '2010-06-01' OR (total / ratio) > 30";
    let kept = format!("SELECT id FROM orders WHERE {condition} ORDER BY id");
    let expected: Vec<u32> = world.mysql.query(&kept);
    assert_eq!(expected, [2, 3, 5]);

    let mut task = world.task_of_one_topic("");
    let database = &world.database;
    task.tables = format!(
        "\n  - {database}.marker\n  - table: {database}.orders
    where: \"{condition}\"
    select: [id, total / qty AS each, \"ifnull(doc->>'$.a', name) AS a\", \"lpad(qty, 3, '0') AS padded\"]"
    );
    let mut reader = Reader::new(&servers.kafka, vec![world.database.clone()]);
    let mut engine = Tidegate::run(&task);
    let mut loaded = Vec::new();
    world.until_loaded(&mut engine, &mut reader, |message| loaded.push(message));
    world.mysql.run(rows(11));
    let mut changed = Vec::new();
    world.until_marker(&mut engine, &mut reader, |message| changed.push(message));

    let ids = |messages: &[super::harness::Message]| -> Vec<u32> {
        let mut ids: Vec<u32> =
            messages.iter().map(|message| message.data.get("id").unwrap().parse().unwrap()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&loaded), expected);
    assert_eq!(ids(&changed), expected.iter().map(|id| id + 10).collect::<Vec<_>>());
    let third = changed.iter().find(|message| message.data.get("id") == Some(&"12".into())).unwrap();
    assert_eq!(third.data.get("each"), Some(&"13.333333".into()));
    assert_eq!(third.data.get("a"), Some(&"x".into()));
    assert_eq!(third.data.get("padded"), Some(&"003".into()));
}

/// What the command prints, its log left out, and whether it succeeded.
fn sql(task: &TaskFile, table: &str, expression: &str) -> (bool, String) {
    let path = task.write();
    let words = ["sql", path.to_str().unwrap(), table, expression, "--compare"].map(OsStr::new);
    let ended = Tidegate::spawn(words).wait();
    let is_log = |line: &&str| [" INFO ", " WARN "].iter().any(|level| line.contains(level));
    let said = ended.output.lines().filter(|line| !is_log(line)).collect::<Vec<_>>().join("\n");
    (ended.status.success(), said)
}

#[test]
fn an_expression_is_shown_beside_the_servers_answer() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("sql_command", &servers.mysql, &servers.kafka);
    world.mysql.run("SET SESSION sql_mode = ''");
    world.mysql.run(TABLE);
    world.mysql.run(rows(1));
    let mut task = world.task();
    task.tables = format!("[{}.orders]", world.database);
    let table = format!("{}.orders", world.database);

    let (done, said) = sql(&task, &table, "total / qty");
    assert!(done, "{said}");
    let lines: Vec<String> = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines,
        [
            &format!("{table}: total / qty is decimal(14,6)"),
            "id here server",
            "1 NULL NULL",
            "2 13.333333 13.333333",
            "3 20.000000 20.000000",
            "4 20.000000 20.000000",
            "5 NULL NULL",
        ]
    );

    let (done, said) = sql(&task, &table, "uncompress(doc)");
    assert!(!done && said.contains("uncompress() is not supported") && said.contains("^^^^^^^^^"), "{said}");
    let (done, said) = sql(&task, "no.such", "1");
    assert!(!done && said.contains("the task selects no table no.such"), "{said}");
    assert!(!task.state.exists());
}
