//! Which partition a row is in, read from Kafka and compared with what Java says of the values of each message: by every policy and hash,
//! of rows that are loaded and of changes.

use super::harness::consume::{RawMessage, read_messages};
use super::harness::{Kind, Message, Servers, Tidegate, World};
use super::prechecks::findings;

const COUNT: i32 = 7;

/// How a table's rows find their partition.
enum By {
    /// These columns' values.
    Values(&'static [&'static str]),
    /// These, which are a unique key and not the primary one, or none: DTS's rule takes them, Canal's the database alone.
    NoPrimaryKey(&'static [&'static str]),
    /// The key of the message.
    Key,
    Table,
    Zero,
}

struct Case {
    table: &'static str,
    columns: &'static str,
    /// `partition` of the table.
    policy: &'static str,
    by: By,
}

const fn case(table: &'static str, columns: &'static str, policy: &'static str, by: By) -> Case {
    Case { table, columns, policy, by }
}

const VALUES: &str =
    "id BIGINT NOT NULL, s VARCHAR(40) COLLATE utf8mb4_bin NOT NULL, t VARCHAR(40) COLLATE utf8mb4_bin, d DATE";

/// By values, as DTS's rule and Canal's have it.
const BY_VALUES: [Case; 11] = [
    case("pk", "PRIMARY KEY (id)", "primary_key", By::Values(&["id"])),
    case("composite", "PRIMARY KEY (s, id)", "primary_key", By::Values(&["s", "id"])),
    case("unique_key", "UNIQUE KEY (s, id)", "primary_key", By::NoPrimaryKey(&["s", "id"])),
    case("keyless", "", "primary_key", By::NoPrimaryKey(&[])),
    case("by_unique_key", "UNIQUE KEY (s, id)", "row", By::Values(&["s", "id"])),
    case("by_row_keyed", "PRIMARY KEY (id)", "row", By::Values(&["id"])),
    case("by_row", "", "row", By::Values(&["id", "s", "t", "d"])),
    case("by_columns", "PRIMARY KEY (id)", "{columns: [t, d]}", By::Values(&["t", "d"])),
    case("by_one", "PRIMARY KEY (id)", "{columns: [s]}", By::Values(&["s"])),
    case("by_table", "PRIMARY KEY (id)", "table", By::Table),
    case("all_in_one", "PRIMARY KEY (id)", "zero", By::Zero),
];

/// By the key of the message, as Java's producer has it; without one, by the row.
const BY_KEY: [Case; 5] = [
    case("pk", "PRIMARY KEY (id)", "primary_key", By::Key),
    case("composite", "PRIMARY KEY (s, id)", "primary_key", By::Key),
    case("unique_key", "UNIQUE KEY (s, id)", "row", By::Key),
    case("keyless", "", "primary_key", By::Zero),
    case("by_row", "", "row", By::Values(&["id", "s", "t", "d"])),
];

/// The hash codes of the first three are Integer.MIN_VALUE, those of the next two the same.
const NASTY: [&str; 11] =
    ["polygenelubricants", "GydZG_", "DESIGNING WORKHOUSES", "Aa", "BB", "", ",", "0", "-1", "😀 é", "a,b"];

/// Rows with each of them, from this id on.
fn rows(from: i64) -> String {
    let row = |(index, text): (usize, &&str)| {
        let id = from + index as i64;
        let id = if index % 3 == 0 { -id } else { id };
        let t = if index % 4 == 1 { "NULL".to_owned() } else { format!("'{}'", NASTY[(index * 5 + 3) % NASTY.len()]) };
        let d = if index % 2 == 0 { "NULL".to_owned() } else { format!("'2024-02-{:02}'", index + 1) };
        format!("({id}, '{text}', {t}, {d})")
    };
    NASTY.iter().enumerate().map(row).collect::<Vec<_>>().join(", ")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What `Partitions.java` is asked about a message; none where there is nothing to be asked.
fn question(hash: &str, case: &Case, raw: &RawMessage, row: &Message) -> Option<String> {
    let (rule, values) = match case.by {
        By::Zero => return None,
        By::Table => (format!("{hash} table"), vec![String::new()]),
        By::Key => ("murmur2".to_owned(), vec![hex(raw.key.as_ref().expect("a key"))]),
        By::NoPrimaryKey([]) if hash == "dts" => return None,
        By::NoPrimaryKey(_) if hash == "canal" => (hash.to_owned(), vec![String::new()]),
        By::Values(columns) | By::NoPrimaryKey(columns) => {
            let value = |column: &&str| row.data.get(column).map_or(".".to_owned(), |text| hex(text.as_bytes()));
            let rule = if hash == "murmur2" { "murmur2 row" } else { hash };
            (rule.to_owned(), columns.iter().map(value).collect())
        }
    };
    let (database, table) = (hex(row.database.as_bytes()), hex(row.table.as_bytes()));
    Some(format!("{rule}\t{COUNT}\t{database}\t{table}\t{}\n", values.join("\t")))
}

#[test]
fn rows_are_where_java_would_put_them() {
    let Some(servers) = Servers::from_env() else { return };
    let (mut questions, mut found) = (String::new(), Vec::new());
    for (hash, format, cases) in [
        ("dts", "dts_avro", &BY_VALUES[..]),
        ("canal", "canal_json", &BY_VALUES[..]),
        ("murmur2", "canal_json", &BY_KEY[..]),
    ] {
        let mut world = World::new("partitions", &servers.mysql, &servers.kafka);
        let comma = |columns: &str| if columns.is_empty() { String::new() } else { format!(", {columns}") };
        for case in cases {
            world.mysql.run(format!("CREATE TABLE {} ({VALUES}{})", case.table, comma(case.columns)));
            world.mysql.run(format!("INSERT INTO {} VALUES {}", case.table, rows(1)));
        }
        let mut task = world.task();
        let entry = |case: &Case| format!("{{table: {}.{}, partition: {}}}", world.database, case.table, case.policy);
        let entries: Vec<String> = cases.iter().map(entry).collect();
        task.tables = format!("[{}, {}.marker]", entries.join(", "), world.database);
        let key = if hash == "murmur2" { ", key: text" } else { "" };
        task.sink = format!(
            "{{kafka: \"{}\", create_topics: {{partitions: {COUNT}, replication: 1}}, partition_hash: {hash}{key}}}",
            world.kafka
        );
        task.format = format.to_owned();
        // Statements have no key, which this reader could not take.
        let with_statements = key.is_empty();
        if with_statements {
            task.more = "incremental: {ddl: forward}".to_owned();
        }
        let reader = world.reader([]);
        let mut reader = if key.is_empty() { reader } else { reader.keyed() };
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |_| ());
        for Case { table, .. } in cases {
            world.mysql.run(format!("INSERT INTO {table} VALUES {}", rows(101)));
            // What is hashed changes, or does not; and goes.
            world.mysql.run(format!("UPDATE {table} SET s = CONCAT(s, 'x'), t = s, d = '2025-01-01' WHERE id > 104"));
            world.mysql.run(format!("UPDATE {table} SET id = id + 1000 WHERE id BETWEEN 1 AND 99"));
            world.mysql.run(format!("DELETE FROM {table} WHERE id < 0"));
            world.mysql.run(format!("ALTER TABLE {table} COMMENT 'altered'"));
        }
        world.finish(engine, &mut reader, |_| ());
        for case in cases {
            let (messages, partitions) = read_messages(&world.kafka, &world.topic(case.table));
            assert_eq!(partitions, COUNT);
            assert!(messages.len() > 3 * NASTY.len(), "{hash} {}: {}", case.table, messages.len());
            let mut used = [false; COUNT as usize];
            let mut statements = 0;
            for raw in &messages {
                let row = Message::parse(raw.value.as_ref().expect("a value"), 0, 0).expect("a message");
                if row.kind == Kind::Statement {
                    statements += 1;
                    // With the rows of its table where those are in one partition.
                    if let By::Table = case.by {
                        let (database, table) = (hex(world.database.as_bytes()), hex(case.table.as_bytes()));
                        questions += &format!("{hash} table\t{COUNT}\t{database}\t{table}\t\n");
                        found.push((raw.partition, format!("{hash} {}: {row:?}", case.table)));
                    } else {
                        assert_eq!(raw.partition, 0, "{hash} {}: {row:?}", case.table);
                    }
                    continue;
                }
                used[raw.partition as usize] = true;
                match question(hash, case, raw, &row) {
                    Some(asked) => {
                        questions += &asked;
                        found.push((raw.partition, format!("{hash} {}: {row:?}", case.table)));
                    }
                    None => assert_eq!(raw.partition, 0, "{hash} {}: {row:?}", case.table),
                }
            }
            // The one that made it, and the one that altered it.
            assert_eq!(statements, if with_statements { 2 } else { 0 }, "{hash} {}", case.table);
            // Else any rule would do.
            let spreads = match case.by {
                By::Values(_) | By::Key => true,
                By::NoPrimaryKey(columns) => hash == "dts" && !columns.is_empty(),
                By::Table | By::Zero => false,
            };
            assert_eq!(used.iter().filter(|used| **used).count() > 3, spreads, "{hash} {}", case.table);
        }
    }
    let jars = tidegate_tests::variable("TIDEGATE_TEST_KAFKA_JARS").expect("servers.sh has fetched Kafka");
    let answers = tidegate_tests::java_partitions(&jars, &questions);
    assert_eq!(answers.len(), found.len());
    for ((partition, row), answer) in found.iter().zip(answers) {
        assert_eq!(*partition, answer, "{row}");
    }
}

/// To the server, `street7` and `STREET7` are one key, which an UPDATE only writes in another way.
#[test]
fn equal_keys_are_in_one_partition_where_the_task_says_so() {
    let Some(servers) = Servers::from_env() else { return };
    const KEYS: usize = 20;
    for text in ["bytes", "collation"] {
        let mut world = World::new("equal_keys", &servers.mysql, &servers.kafka);
        world.mysql.run("CREATE TABLE names (k VARCHAR(20) COLLATE utf8mb4_0900_ai_ci PRIMARY KEY, n INT)");
        let rows: Vec<String> = (0..KEYS).map(|n| format!("('street{n}', {n})")).collect();
        world.mysql.run(format!("INSERT INTO names VALUES {}", rows.join(", ")));
        let mut task = world.task();
        task.sink = format!(
            "{{kafka: \"{}\", create_topics: {{partitions: {COUNT}, replication: 1}}, partition_text: {text}}}",
            world.kafka
        );
        let said = findings(&task, &[]).into_iter().any(|finding| finding.starts_with("info equal_keys: k of "));
        assert_eq!(said, text == "bytes");
        let mut reader = world.reader(["names"]);
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |_| ());
        world.mysql.run("UPDATE names SET k = CONCAT('STREET', n)");
        world.mysql.run("UPDATE names SET k = CONCAT('Strêet', n)");
        world.finish(engine, &mut reader, |_| ());
        let (messages, partitions) = read_messages(&world.kafka, &world.topic("names"));
        assert_eq!((messages.len(), partitions), (5 * KEYS, COUNT));
        let mut by_key = vec![Vec::new(); KEYS];
        for raw in &messages {
            let row = Message::parse(raw.value.as_ref().expect("a value"), 0, 0).expect("a message");
            let n: usize = row.data.get("n").expect("a number").parse().expect("a number");
            by_key[n].push((raw.partition, format!("{:?} {}", row.kind, row.data.get("k").expect("a key"))));
        }
        let are_together = |of: &Vec<(i32, String)>| of.iter().all(|(partition, _)| *partition == of[0].0);
        assert_eq!(by_key.iter().all(are_together), text == "collation", "{by_key:?}");
        // Of the letters alone, the keys spread.
        assert!(by_key.iter().any(|of| of[0].0 != by_key[0][0].0));
        for (n, of) in by_key.iter().enumerate().filter(|_| text == "collation") {
            let order: Vec<&str> = of.iter().map(|(_, what)| what.as_str()).collect();
            let expected = [
                format!("Init street{n}"),
                format!("Delete street{n}"),
                format!("Insert STREET{n}"),
                format!("Delete STREET{n}"),
                format!("Insert Strêet{n}"),
            ];
            assert_eq!(order[1..], expected[1..], "{order:?}");
        }
    }
}
