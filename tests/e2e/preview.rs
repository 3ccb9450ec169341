//! What `schema` and `peek` show, and that neither leaves anything behind.

use std::ffi::OsStr;
use std::path::Path;

use super::harness::{Servers, TaskFile, Tidegate, World};

/// What a command prints, its log left out.
fn said(command: &str, task: &TaskFile) -> String {
    let path = task.write();
    let ended = Tidegate::spawn([OsStr::new(command), path.as_os_str()]).wait();
    assert!(ended.status.success(), "{}", ended.output);
    let is_log = |line: &&str| [" INFO ", " WARN "].iter().any(|level| line.contains(level));
    ended.output.lines().filter(|line| !is_log(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn schema_and_peek_show_what_will_come_out() {
    let Some(servers) = Servers::from_env() else { return };
    let mut world = World::new("preview", &servers.mysql, &servers.kafka);
    world.mysql.run(
        "CREATE TABLE orders (
            id INT UNSIGNED PRIMARY KEY, amount DECIMAL(10,2), name VARCHAR(20) NOT NULL, state ENUM('new', 'paid'), note JSON
        )",
    );
    world.mysql.run("INSERT INTO orders VALUES (1, 5, 'small', 'new', NULL)");
    world.mysql.run(
        "INSERT INTO orders VALUES (2, 20.5, 'é', 'paid', '[1]'), (3, 30, 'z', NULL, NULL), (4, 40, 'y', NULL, NULL)",
    );
    let mut task = world.task();
    let database = world.database.clone();
    task.tables =
        format!("[{{table: {database}.orders, where: amount > 10, select: [id, amount, name, state, note]}}]");

    let avsc = Tidegate::spawn(["schema".as_ref(), task.path.as_os_str(), "--avsc".as_ref()]).wait();
    let avsc: serde_json::Value =
        serde_json::from_str(&avsc.output).unwrap_or_else(|error| panic!("{error}: {}", avsc.output));
    assert_eq!((&avsc["type"], &avsc["name"]), (&"record".into(), &"Record".into()));

    let schema = said("schema", &task);
    let lines: Vec<String> = schema.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines,
        [
            &format!("{database}.orders -> topic {database}.orders, key id"),
            "column mysqlType Arrow sqlType dataTypeNumber",
            "id int unsigned not null UInt32 4 or -5 3 Integer",
            "amount decimal(10,2) Decimal128(10, 2) 3 246 Decimal",
            "name varchar(20) not null Utf8 12 253 Character",
            "state enum('new','paid') Dictionary(UInt16, Utf8) 4 247 TextObject",
            "note json Utf8 12 or 1111 245 TextObject",
            "the server filters by: `amount` > 10.00",
        ]
    );

    let peek = said("peek", &task);
    assert!(peek.contains(r#"{"data":[{"id":"2","amount":"20.50","name":"é","state":"2","note":"[1]"}]"#), "{peek}");
    assert!(!peek.contains("small") && peek.matches("\"type\":\"INSERT\"").count() == 3, "{peek}");
    task.format = "dts_avro".to_owned();
    let peek = said("peek", &task);
    for part in [
        &format!("INIT {database}.orders  id "),
        r#"pk_uk_info={"PRIMARY":["id"]}"#,
        "  amount  246  Decimal(4,2) 20.50\n",
        "  name    253  Character(utf8mb4) \"é\"\n",
        "  state   247  TextObject(ENUM) paid\n",
        "  note    245  TextObject(JSON) [1]\n",
        "  state   247  null\n",
    ] {
        assert!(peek.contains(part), "{part:?} is not in\n{peek}");
    }
    assert!(!peek.contains("small"), "{peek}");

    // No state, no topic.
    assert!(!task.state.exists());
    task.tables = format!("[{database}.orders]");
    task.sink = format!("{{kafka: \"{}\", create_topics: false}}", world.kafka);
    let output = Tidegate::fails(&task);
    assert!(output.contains("does not exist"), "{output}");
}

/// Sources without a server: what is recorded in `datasets`.
#[test]
fn peek_reads_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/shop");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let peek = |source: &str| {
        let path = folder.path().join("task.yaml");
        let text =
            format!("task: files\nsource: {source}\ntables: [shop.orders]\nsink: {{null: {{}}}}\nformat: dts_avro\n");
        std::fs::write(&path, text).expect("a file");
        let ended = Tidegate::spawn([OsStr::new("peek"), path.as_os_str(), OsStr::new("-n"), OsStr::new("2")]).wait();
        assert!(ended.status.success(), "{}", ended.output);
        ended.output
    };
    let loaded = peek(&format!("{{parquet: {}}}", root.join("snapshot").display()));
    assert_eq!(loaded.matches("INIT shop.orders  id ").count(), 2, "{loaded}");
    assert!(loaded.contains("MySQL unknown"), "{loaded}");
    let changed = peek(&format!("{{binlog_files: [{}]}}", root.join("binlog.000002").display()));
    assert!(changed.contains(" shop.orders  id ") && changed.contains("MySQL 9."), "{changed}");
}
