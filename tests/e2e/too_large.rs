//! Messages that are larger than their topic takes: 12 MB rows and topics of 1 MiB, under each policy.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

use super::harness::consume::{RawMessage, count_of, read_messages};
use super::harness::http::Http;
use super::harness::world::kafka_sink;
use super::harness::{Message, Reader, Servers, TaskFile, Tidegate, World, wait_for};

const FORMATS: [&str; 2] = ["canal_json", "dts_avro"];

/// 12 MB that compress to next to nothing, and 12 MB that do not fit into 1 MiB by any codec.
const FLAT: &str = "REPEAT('ä', 6000000)";
const NOISE: &str = "(SELECT n FROM noise)";

/// A table `notes` and what is put into it: so many megabytes of noise. `more` is of the sink's options.
fn world(servers: &Servers, format: &str, more: &str, megabytes: u32) -> (World, TaskFile) {
    let mut world = World::new("large", &servers.mysql, &servers.kafka);
    world.mysql.run("CREATE TABLE notes (id INT PRIMARY KEY, v INT NOT NULL, n LONGTEXT, doc JSON, b LONGBLOB)");
    // Not selected: random bytes as text, from one that is short.
    world.mysql.run("CREATE TABLE noise (n LONGTEXT)");
    world.mysql.run("SET SESSION group_concat_max_len = 64000000, SESSION cte_max_recursion_depth = 100000");
    // 1,364 characters each.
    let pieces = megabytes * 733;
    world.mysql.run(format!(
        "INSERT INTO noise WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {pieces}) \
         SELECT GROUP_CONCAT(REPLACE(TO_BASE64(RANDOM_BYTES(1023)), '\n', '') SEPARATOR '') FROM s"
    ));
    let mut task = world.task();
    task.tables = format!("[\"{0}.*\", \"!{0}.noise*\"]", world.database);
    task.sink = kafka_sink(&world.kafka, &format!(", key: json, tombstones: true{more}"));
    task.format = format.to_owned();
    (world, task)
}

fn put(world: &mut World, id: u32, v: u32, n: &str) {
    world.mysql.run(format!("REPLACE INTO notes VALUES ({id}, {v}, {n}, '{{\"a\": 1}}', NULL)"));
}

/// `update {"id":"1"} 7`: what it is, its key, and `v` of its row.
fn drawn(message: &RawMessage) -> String {
    let key = String::from_utf8_lossy(message.key.as_deref().unwrap_or_default()).into_owned();
    let Some(value) = &message.value else { return format!("tombstone {key}") };
    let row = Message::parse(value, 0, 0).expect("a message");
    format!("{:?} {key} {}", row.kind, row.data.get("v").cloned().unwrap_or_default()).to_lowercase()
}

/// By key, what came of it, where what a crash has repeated stands once.
fn by_key(messages: &[RawMessage]) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for message in messages {
        let key = String::from_utf8_lossy(message.key.as_deref().unwrap_or_default()).into_owned();
        let (all, one) = (found.entry(key).or_default(), drawn(message));
        if !all.contains(&one) {
            all.push(one);
        }
    }
    found
}

/// What a row of a full load is called.
fn kind_of_load(format: &str) -> &'static str {
    if format == "dts_avro" { "init" } else { "insert" }
}

/// Loads what is there, makes changes, kills the engine before or behind some of them, and ends the next run when all is delivered. What
/// both have said.
fn run(world: &mut World, task: &TaskFile, before: impl FnOnce(&mut World), behind: impl FnOnce(&mut World)) -> String {
    let mut reader = world.reader([]).keyed();
    let mut engine = Tidegate::run(task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    // A chunk that is read once more counts once more.
    wait_for("the end of the load is stored", || task.stored()["full_load"].is_null().then_some(()));
    before(world);
    let said = engine.output();
    engine.kill_9();
    behind(world);
    let engine = Tidegate::run(task);
    said + &world.finish(engine, &mut reader, |_| ()).output
}

#[test]
fn a_message_that_is_too_large_stops_the_task_unless_it_says_otherwise() {
    let Some(servers) = Servers::from_env() else { return };
    for format in FORMATS {
        let (mut world, mut task) = world(&servers, format, "", 12);
        put(&mut world, 7, 1, NOISE);
        let said = Tidegate::fails(&task);
        let named = format!("table {}.notes, read at ", world.database);
        let topic = format!("for topic {}, and it takes 1048588 (max.message.bytes)", world.topic("notes"));
        for words in [&*named, &topic, "too_large: skip, dead_letter or {truncate: {bytes: 64KiB}}"] {
            assert!(said.contains(words), "{words}:\n{said}");
        }
        // What only fits compressed fits.
        put(&mut world, 7, 2, FLAT);
        task.state = world.path("flat");
        task.accept = "non_empty_topics";
        let mut reader = world.reader([]).keyed();
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |_| ());
        world.finish(engine, &mut reader, |_| ());
        let (messages, _) = read_messages(&world.kafka, &world.topic("notes"));
        assert_eq!(
            messages.iter().map(drawn).collect::<Vec<_>>(),
            [format!("{} {{\"id\":\"7\"}} 2", kind_of_load(format))]
        );
        // By the binlog, too; and behind it, nothing.
        let mut engine = Tidegate::run(&task);
        world.until_marker(&mut engine, &mut reader, |_| ());
        put(&mut world, 8, 3, NOISE);
        put(&mut world, 9, 4, "'a'");
        let ended = engine.wait();
        assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
        let named = format!("table {}.notes, binlog.", world.database);
        assert!(ended.output.contains(&named) && ended.output.contains(&topic), "{}", ended.output);
        assert_eq!(read_messages(&world.kafka, &world.topic("notes")).0.len(), 1);
    }
}

/// Parts among the rows of any table are nothing that a consumer could read: at a start, and where the table comes later.
#[test]
fn parts_do_not_go_among_rows() {
    let Some(servers) = Servers::from_env() else { return };
    let (mut world, mut task) = world(&servers, "canal_json", ", too_large: dead_letter", 1);
    let mut engine = Tidegate::run(&task);
    engine.wait_for_line("reading the binlog");
    world.mysql.run("CREATE TABLE dead_letter (id INT PRIMARY KEY)");
    world.mysql.run("INSERT INTO dead_letter VALUES (1)");
    let ended = engine.wait();
    let words = format!(
        "what is too large for its topic cannot go to topic {0}.dead_letter in parts, among rows",
        world.database
    );
    assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
    assert!(ended.output.contains(&words), "{}", ended.output);
    assert!(Tidegate::fails(&task).contains(&words));
    let path = task.write();
    let checked = Tidegate::spawn(["check".as_ref(), path.as_os_str()]).wait();
    assert!(checked.status.code() == Some(2) && checked.output.contains(&words), "{}", checked.output);
    // With another topic it goes on where it was.
    let letters = format!("too_large: {{dead_letter: {{topic: letters.{}}}}}", world.database);
    task.sink = task.sink.replace("too_large: dead_letter", &letters);
    let mut reader = world.reader(["dead_letter"]).keyed();
    let mut rows = Vec::new();
    world.finish(Tidegate::run(&task), &mut reader, |message| rows.push(format!("{:?}", message.data)));
    assert_eq!(rows, ["id=\"1\""]);
}

#[test]
fn what_is_left_out_is_counted_and_nothing_else_is_missing() {
    let Some(servers) = Servers::from_env() else { return };
    for format in FORMATS {
        let (mut world, task) = world(&servers, format, ", too_large: skip, headers: [op]", 12);
        for (id, n) in [(1, "'a'"), (2, FLAT), (3, NOISE), (4, "'b'")] {
            put(&mut world, id, id, n);
        }
        let before = |world: &mut World| {
            world.mysql.run(format!("UPDATE notes SET v = 10, n = {NOISE} WHERE id = 1"));
            put(world, 5, 5, NOISE);
            put(world, 6, 6, "'c'");
        };
        let behind = |world: &mut World| {
            // The image before is too large, and so is the delete; its tombstone is not.
            world.mysql.run("DELETE FROM notes WHERE id = 3");
            world.mysql.run("UPDATE notes SET v = 40 WHERE id = 4");
            world.mysql.run("UPDATE notes SET id = 8, n = 'd' WHERE id = 5");
        };
        let said = run(&mut world, &task, before, behind);
        let (messages, _) = read_messages(&world.kafka, &world.topic("notes"));
        let read = kind_of_load(format);
        let expected = [
            (1, vec![format!("{read} {{\"id\":\"1\"}} 1")]),
            (2, vec![format!("{read} {{\"id\":\"2\"}} 2")]),
            (3, vec!["tombstone {\"id\":\"3\"}".to_owned()]),
            (4, vec![format!("{read} {{\"id\":\"4\"}} 4"), "update {\"id\":\"4\"} 40".to_owned()]),
            (5, vec!["tombstone {\"id\":\"5\"}".to_owned()]),
            (6, vec!["insert {\"id\":\"6\"} 6".to_owned()]),
            (8, vec!["insert {\"id\":\"8\"} 5".to_owned()]),
        ];
        let expected = expected.map(|(id, all)| (format!("{{\"id\":\"{id}\"}}"), all));
        assert_eq!(by_key(&messages), BTreeMap::from(expected), "{format}");
        // Each of the lines names the place, and none a value.
        let table = format!("table {}.notes, read at ", world.database);
        let warned = said.lines().find(|line| line.contains(&table)).unwrap_or_else(|| panic!("{said}"));
        assert!(
            warned.contains("(chunk ") && warned.contains("whose key is id") && warned.contains("left out"),
            "{warned}"
        );
        assert!(said.lines().all(|line| line.len() < 1000), "{format}");
        let stored = task.stored();
        let skipped = stored["too_large"][0]["counts"]["skipped"].as_u64().unwrap();
        // What was killed is counted once.
        assert_eq!((skipped, &stored["too_large"][0]["table"]["table"]), (5, &"notes".into()), "{stored}");
    }
}

#[test]
fn dead_letters_hold_what_was_too_large() {
    let Some(servers) = Servers::from_env() else { return };
    for format in FORMATS {
        let more = ", too_large: {dead_letter: {topic: \"{task}.letters\"}}, headers: [op, table]";
        let (mut world, task) = world(&servers, format, more, 12);
        for (id, n) in [(1, "'a'"), (2, FLAT), (3, NOISE)] {
            put(&mut world, id, id, n);
        }
        let noise: String = world.mysql.query_one(NOISE);
        let before = |world: &mut World| {
            put(world, 4, 4, "'b'");
            world.mysql.run(format!("UPDATE notes SET v = 40, n = {NOISE} WHERE id = 4"));
            // As small as it gets for brokers, and too large for the client, which compares what is plain: both images.
            world.mysql.run("UPDATE notes SET v = 20, n = REPEAT('u', 12000000) WHERE id = 2");
        };
        let behind = |world: &mut World| world.mysql.run("DELETE FROM notes WHERE id = 3");
        run(&mut world, &task, before, behind);
        let (messages, _) = read_messages(&world.kafka, &world.topic("notes"));
        let read = kind_of_load(format);
        let expected = [
            (1, vec![format!("{read} {{\"id\":\"1\"}} 1")]),
            (2, vec![format!("{read} {{\"id\":\"2\"}} 2")]),
            (3, vec!["tombstone {\"id\":\"3\"}".to_owned()]),
            (4, vec!["insert {\"id\":\"4\"} 4".to_owned()]),
        ];
        let expected = expected.map(|(id, all)| (format!("{{\"id\":\"{id}\"}}"), all));
        assert_eq!(by_key(&messages), BTreeMap::from(expected), "{format}");

        let (parts, _) = read_messages(&world.kafka, &format!("{}.letters", world.database));
        let letters = joined(&parts);
        let shown = |value: &[u8]| Message::parse(value, 0, 0).expect("the message that was too large");
        let mut seen = BTreeMap::new();
        for Letter { said, value, key, headers, partition } in &letters {
            let row = shown(value);
            let op = said["op"].as_str().unwrap();
            let id = said["key"]["id"].as_str().unwrap();
            assert_eq!(*key, format!("{{\"id\":\"{id}\"}}"));
            assert_eq!(*headers, format!("op={op} table=notes"));
            assert_eq!(*partition, said["partition"].as_i64().unwrap() as i32, "as many partitions as the other topic");
            assert_eq!((&said["database"], &said["table"]), (&world.database.as_str().into(), &"notes".into()));
            assert_eq!(said["topic"], world.topic("notes").as_str());
            assert_eq!(said["format"], format);
            let limit =
                if id == "2" { ("message.max.bytes", (16 << 20) - 512) } else { ("max.message.bytes", 1_048_588) };
            assert_eq!((said["limit_of"].as_str(), said["limit"].as_u64()), (Some(limit.0), Some(limit.1)));
            assert!(said["bytes"].as_u64() > said["limit"].as_u64(), "{said}");
            assert_eq!(said["gtid"].is_null(), op == "read", "{said}");
            assert!(said["position"].as_str().unwrap().contains(':') && said["reason"] == "too_large");
            assert!(id == "2" || row.data.get("n") == Some(&noise), "{op} {id}");
            seen.insert(format!("{op} {id}"), row.data.get("v").cloned().unwrap());
        }
        let expected = [("read 3", "3"), ("update 4", "40"), ("update 2", "20"), ("delete 3", "3")];
        let expected = expected.map(|(what, v)| (what.to_owned(), v.to_owned()));
        assert_eq!(seen, BTreeMap::from(expected), "{format}");
        assert!(task.stored()["too_large"][0]["counts"]["dead_letters"].as_u64() == Some(4), "{}", task.stored());
    }
}

/// A message whose parts are all there.
struct Letter {
    said: serde_json::Value,
    value: Vec<u8>,
    key: String,
    headers: String,
    partition: i32,
}

/// As the page for consumers says: a part 1 begins anew, and what a crash has cut off is followed by the whole.
fn joined(parts: &[RawMessage]) -> Vec<Letter> {
    let mut letters = Vec::new();
    let mut value = Vec::new();
    let mut next = 1;
    for part in parts {
        let mut said: serde_json::Value = serde_json::from_slice(part.value.as_ref().unwrap()).expect("JSON");
        assert!(part.value.as_ref().unwrap().len() < 1_048_588);
        let (number, count) = (said["part"].as_u64().unwrap(), said["parts"].as_u64().unwrap());
        if number == 1 {
            (value, next) = (Vec::new(), 1);
        }
        assert_eq!(number, next, "{count} parts");
        next += 1;
        value.extend(STANDARD.decode(said["value"].take().as_str().unwrap()).unwrap());
        if number == count {
            assert_eq!(said["value_bytes"].as_u64(), Some(value.len() as u64));
            let key = String::from_utf8(part.key.clone().unwrap_or_default()).unwrap();
            let (headers, partition) = (part.headers.clone(), part.partition);
            letters.push(Letter { said, value: std::mem::take(&mut value), key, headers, partition });
        }
    }
    letters
}

/// Text, bytes, both images of an update, and a delete.
#[test]
fn what_is_cut_is_sent_with_the_names_of_its_columns() {
    let Some(servers) = Servers::from_env() else { return };
    for format in FORMATS {
        let more = ", too_large: {truncate: {bytes: 1kB}}, headers: [op]";
        let (mut world, mut task) = world(&servers, format, more, 12);
        put(&mut world, 1, 1, "'a'");
        put(&mut world, 2, 2, FLAT);
        // The last character would be half.
        let umlauts = format!("CONCAT('u', REPEAT('ä', 1000), {NOISE})");
        world
            .mysql
            .run(format!("INSERT INTO notes VALUES (3, 3, {umlauts}, '[2]', CONCAT(REPEAT('x', 3000), {NOISE}))"));
        let before = |world: &mut World| {
            world.mysql.run(format!("UPDATE notes SET v = 30, b = NULL, n = CONCAT('b', {NOISE}) WHERE id = 3"));
            world.mysql.run("UPDATE notes SET n = 'c' WHERE id = 3");
        };
        let behind = |world: &mut World| {
            put(world, 4, 4, NOISE);
            world.mysql.run("DELETE FROM notes WHERE id = 4");
        };
        run(&mut world, &task, before, behind);
        let (messages, _) = read_messages(&world.kafka, &world.topic("notes"));
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for message in &messages {
            let key = String::from_utf8_lossy(message.key.as_ref().unwrap()).into_owned();
            let mut text = format!("{} [{}]", drawn(message), message.headers);
            let row = message.value.as_ref().map(|value| Message::parse(value, 0, 0).expect("a message"));
            let columns = row.iter().flat_map(|row| [Some(&row.data), row.old.as_ref()]).flatten();
            for (name, value) in
                columns.flat_map(|row| &row.0).filter(|(name, _)| ["n", "b", "doc"].contains(&name.as_str()))
            {
                let value = value.as_deref().unwrap_or("NULL");
                text += &format!(" {name}:{}*{}", value.chars().next().unwrap(), value.chars().count());
            }
            let all = found.entry(key).or_default();
            if !all.contains(&text) {
                all.push(text);
            }
        }
        let noise: String = world.mysql.query_one(NOISE);
        let first = noise.chars().next().unwrap();
        let read = kind_of_load(format);
        let rest = |n: &str, doc: &str| format!("n:{n} doc:{doc} b:N*4");
        let expected = [
            (1, vec![format!("{read} {{\"id\":\"1\"}} 1 [op=read] {}", rest("a*1", "{*8"))]),
            (2, vec![format!("{read} {{\"id\":\"2\"}} 2 [op=read] {}", rest("ä*6000000", "{*8"))]),
            (
                3,
                vec![
                    format!("{read} {{\"id\":\"3\"}} 3 [op=read truncated=n,b] n:u*500 doc:[*3 b:x*1000"),
                    format!(
                        "update {{\"id\":\"3\"}} 30 [op=update truncated=n,b] {} n:u*500 b:x*1000",
                        rest("b*1000", "[*3")
                    ),
                    format!("update {{\"id\":\"3\"}} 30 [op=update truncated=n] {} n:b*1000", rest("c*1", "[*3")),
                ],
            ),
            (
                4,
                vec![
                    format!(
                        "insert {{\"id\":\"4\"}} 4 [op=insert truncated=n] {}",
                        rest(&format!("{first}*1000"), "{*8")
                    ),
                    format!(
                        "delete {{\"id\":\"4\"}} 4 [op=delete truncated=n] {}",
                        rest(&format!("{first}*1000"), "{*8")
                    ),
                    "tombstone {\"id\":\"4\"} [op=delete]".to_owned(),
                ],
            ),
        ];
        let expected = expected.map(|(id, all)| (format!("{{\"id\":\"{id}\"}}"), all));
        assert_eq!(found, BTreeMap::from(expected), "{format}");
        assert!(task.stored()["too_large"][0]["counts"]["truncated"].as_u64() == Some(5), "{}", task.stored());

        // A document is not cut.
        let mut engine = Tidegate::run(&task);
        world.until_marker(&mut engine, &mut world.reader([]).keyed(), |_| ());
        world.mysql.run(format!("UPDATE notes SET doc = JSON_ARRAY({NOISE}) WHERE id = 1"));
        let ended = engine.wait();
        assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
        assert!(
            ended.output.contains("with its columns cut it is still too large, or there are none to cut"),
            "{}",
            ended.output
        );
        task.sink = task.sink.replace("{truncate: {", "{truncate: {columns: [doc], ");
        let said = Tidegate::fails(&task);
        assert!(said.contains("column doc cannot be cut: half a JSON document is none"), "{said}");
        let checked = Tidegate::spawn(["check".as_ref(), task.write().as_os_str()]).wait().output;
        assert!(checked.contains("column doc cannot be cut"), "{checked}");
    }
}

/// Those that are named, whatever others hold.
#[test]
fn only_columns_that_are_named_are_cut() {
    let Some(servers) = Servers::from_env() else { return };
    for format in FORMATS {
        let more = ", too_large: {truncate: {columns: [n], bytes: 1kB}}, headers: [op]";
        let (mut world, task) = world(&servers, format, more, 3);
        world.mysql.run(format!("INSERT INTO notes VALUES (1, 1, {NOISE}, NULL, REPEAT('x', 3000))"));
        let mut reader = world.reader([]).keyed();
        let mut engine = Tidegate::run(&task);
        world.until_loaded(&mut engine, &mut reader, |_| ());
        let (messages, _) = read_messages(&world.kafka, &world.topic("notes"));
        let [message] = messages.try_into().ok().expect("one");
        let row = Message::parse(message.value.as_ref().expect("a value"), 0, 0).expect("a message");
        let characters = |name: &str| row.data.get(name).map(|text| text.chars().count());
        assert_eq!(
            (&*message.headers, characters("n"), characters("b")),
            ("op=read truncated=n", Some(1000), Some(3000))
        );
        world.mysql.run(format!("UPDATE notes SET n = 'a', b = {NOISE}"));
        let ended = engine.wait();
        assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
        assert!(ended.output.contains("with its columns cut it is still too large"), "{}", ended.output);
    }
}

/// And what was too large is told of while the task runs.
#[test]
fn a_limit_that_is_raised_is_noticed_and_one_that_is_lowered_by_the_next_run() {
    let Some(servers) = Servers::from_env() else { return };
    let (mut world, mut task) = world(&servers, "canal_json", ", too_large: skip", 3);
    task.more = "http: 127.0.0.1:0".to_owned();
    let mut reader = world.reader([]).keyed();
    let mut engine = Tidegate::run(&task);
    let http = Http::of(&mut engine);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    put(&mut world, 1, 1, NOISE);
    let table = format!("{}.notes", world.database);
    let counted = http.until(&mut engine, "a message is left out", |status| status["too_large"][0]["skipped"] == 1);
    assert_eq!(counted["too_large"][0]["table"], table.as_str());
    let metrics = http.get("/metrics");
    assert!(metrics.contains("tidegate_too_large_messages_total{outcome=\"skipped\"} 1"), "{metrics}");
    let status = Tidegate::spawn(["status".as_ref(), task.write().as_os_str()]).wait().output;
    assert!(status.contains(&format!("too large for their topic, of {table}: 1 left out")), "{status}");

    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &world.kafka).create().expect("a client needs no broker yet");
    let topic = world.topic("notes");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let set_limit = |bytes: &str| {
        let changed = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("max.message.bytes", bytes);
        let results = runtime.block_on(admin.alter_configs([&changed], &AdminOptions::new())).expect("a broker");
        results[0].as_ref().expect("a topic");
    };
    set_limit("16000000");
    let mut id = 1;
    wait_for("a message passes", || {
        id += 1;
        put(&mut world, id, id, NOISE);
        // The marker's topic does not tell how far this one is.
        let passes = wait_for("what becomes of the message", || {
            engine.assert_running();
            let passes = count_of(&world.kafka, &topic) > 0;
            (passes || http.status()["too_large"][0]["skipped"] == id).then_some(passes)
        });
        passes.then_some(())
    });
    // One that is lowered is not: the task stops at what brokers refuse, and the next run knows.
    set_limit("1048588");
    wait_for("a message is refused", || {
        put(&mut world, 1000, 1, NOISE);
        engine.has_ended().then_some(())
    });
    let ended = engine.wait();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
    assert!(ended.output.contains(&format!("topic {topic} refused a message of ")), "{}", ended.output);
    let engine = Tidegate::run(&task);
    world.finish(engine, &mut reader, |_| ());
    let (messages, _) = read_messages(&world.kafka, &topic);
    let passed: Vec<String> = messages.iter().map(drawn).collect();
    assert_eq!(passed[0], format!("insert {{\"id\":\"{id}\"}} {id}"));
    let stored = task.stored();
    assert!(stored["too_large"][0]["counts"]["skipped"].as_u64() > Some(u64::from(id) - 1), "{stored}");
}

/// Tables that are called otherwise where they go, transactions with their marks, and one order of all.
#[test]
fn names_marks_and_the_order_of_all_stay() {
    let Some(servers) = Servers::from_env() else { return };
    let more = ", too_large: {dead_letter: {topic: \"{database}.{table}.letters\"}}";
    let (mut world, mut task) = world(&servers, "{dts_avro: {transactions: true}}", "", 3);
    let database = world.database.clone();
    task.sink = kafka_sink(&world.kafka, &format!(", topic: \"{{task}}\", partition: zero{more}"));
    task.tables =
        format!("[{database}.marker, {{table: {database}.notes, as: {database}.memos, columns: [\"*\", id AS no]}}]");
    let mut reader = Reader::new(&world.kafka, vec![database.clone()]);
    let mut engine = Tidegate::run(&task);
    world.until_loaded(&mut engine, &mut reader, |_| ());
    let transaction = [
        "BEGIN",
        "INSERT INTO notes (id, v) VALUES (1, 1)",
        &format!("INSERT INTO notes (id, v, n) VALUES (2, 2, {NOISE})"),
        "UPDATE notes SET v = 10 WHERE id = 1",
        // A delete that is too large, and an insert that is not.
        "UPDATE notes SET id = 3, n = NULL WHERE id = 2",
        "COMMIT",
    ];
    transaction.iter().for_each(|statement| world.mysql.run(statement));
    let mut seen = Vec::new();
    world.finish(engine, &mut reader, |message| {
        seen.push(format!("{:?} {}", message.kind, message.data.get("no").cloned().unwrap_or_default()));
    });
    let first = seen.iter().position(|message| message == "Insert 1").expect("the first row");
    assert_eq!(seen[first - 1..first + 4], ["Begin ", "Insert 1", "Update 1", "Insert 3", "Commit "], "{seen:?}");
    let (parts, _) = read_messages(&world.kafka, &format!("{database}.memos.letters"));
    let letters = joined(&parts);
    let told = letters.iter().map(|letter| {
        let said = &letter.said;
        let names = ["database", "table", "source_table", "op"].map(|name| said[name].as_str().unwrap());
        assert!(letter.partition == 0 && said["gtid"] == letters[0].said["gtid"] && letter.key.is_empty());
        format!("{} {}", names.join(" "), said["key"])
    });
    let expected = ["insert", "delete"].map(|op| format!("{database} memos notes {op} {{\"no\":\"2\"}}"));
    assert_eq!(told.collect::<Vec<_>>(), expected);
}
