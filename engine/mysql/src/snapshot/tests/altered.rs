//! Tables that are altered while chunks of them are read: each chunk has the columns that the table has in its view.

use std::sync::mpsc;

use super::*;

const ROWS: i64 = 2000;

/// How views are dated, locks are shown and statements are done differs between them.
pub(super) const SERVERS: [&str; 5] = [GTID, NO_GTID, OLD, MARIADB[0], MARIADB[1]];

/// What came out of a load in the middle of which a statement was run.
struct Altered {
    loaded: Loaded,
    /// Rows of the table at the end, as the server shows them: columns by name.
    truth: Vec<BTreeMap<String, String>>,
}

/// As [`interrupted`], for statements that leave the table where it is: no view opens between them.
fn altered(server: &str, name: &str, create: &str, sql: &str) -> Option<Altered> {
    interrupted(server, name, create, &format!("LOCK TABLES t WRITE; {sql}; UNLOCK TABLES"))
}

/// Loads table `t` by chunks of 100 rows with one reader, and runs `sql` behind the third chunk: it is waiting for the chunk's
/// lock when the chunk's first window leaves, and the next chunk's view waits for it.
fn interrupted(server: &str, name: &str, create: &str, sql: &str) -> Option<Altered> {
    let database = Database::new(server, name)?;
    database.run(create);
    let tables = [database.load_table("t")];
    let options = LoadOptions { readers: 1, chunks_per_view: 1, ..small_chunks(100) };
    let ledger = Mutex::new(Ledger::new(start_position(&database.options, &database.facts, true).unwrap().0));
    let windows = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let (begin, begun) = mpsc::channel();
        let (begin, database) = (Mutex::new(Some(begin)), &database);
        scope.spawn(move || {
            if begun.recv().is_ok() {
                database.run(sql);
            }
        });
        let emit = |window: Window| {
            let chunk = parts(&window).1[0].chunk;
            lock(&windows).push(window);
            if chunk == 2
                && let Some(begin) = lock(&begin).take()
            {
                begin.send(()).unwrap();
                wait_until_locked_out(database);
            }
            Ok(())
        };
        let end = database.run_load(&tables, &options, &ledger, &emit, &AtomicBool::new(false)).unwrap();
        assert_eq!(end, LoadEnd::Complete);
        assert!(lock(&begin).is_none(), "the third chunk was read");
    });
    let loaded = Loaded { windows: windows.into_inner().unwrap(), ledger: ledger.into_inner().unwrap() }.acknowledged();
    let shown = database.connect().query("SELECT * FROM t").unwrap_or_default();
    let truth = shown.first().map_or(Vec::new(), |result| {
        let row = |row: &Vec<Option<Vec<u8>>>| {
            let names = result.columns.iter().map(|column| column.name.clone());
            let values = row.iter().map(|value| match value {
                Some(bytes) => String::from_utf8(bytes.clone()).unwrap(),
                None => "NULL".to_owned(),
            });
            names.zip(values).collect()
        };
        result.rows.iter().map(row).collect()
    });
    Some(Altered { loaded, truth })
}

/// Until a statement waits for the lock that the chunk being read has on its table.
pub(super) fn wait_until_locked_out(database: &Database) {
    let waiting = format!(
        "SELECT COUNT(*) FROM {SESSIONS} WHERE DB = '{}' AND STATE LIKE 'Waiting for table metadata lock%'",
        database.name
    );
    let mut connection = database.connect();
    while sessions(&mut connection, &waiting).scalar() == Some("0") {
        std::thread::yield_now();
    }
}

impl Altered {
    /// Rows of the load, with the number of columns that each has.
    fn rows(&self) -> Vec<(usize, BTreeMap<String, String>)> {
        let mut rows = Vec::new();
        for (_, batch) in self.loaded.batches() {
            let columns = batch.table().columns();
            for row in 0..batch.kinds().len() {
                let values = batch.rows().columns().iter().map(|array| show(array.as_ref(), row));
                let names = columns.iter().map(|column| column.name.clone());
                rows.push((columns.len(), names.zip(values).collect()));
            }
        }
        rows
    }

    /// The rows that were read before the statement and those behind it, told apart by `is_new`; both there, and together
    /// every key once.
    fn halves(&self, is_new: impl Fn(&BTreeMap<String, String>) -> bool) -> [Vec<BTreeMap<String, String>>; 2] {
        let (new, old): (Vec<_>, Vec<_>) = self.rows().into_iter().map(|(_, row)| row).partition(is_new);
        assert_eq!((old.len() + new.len()) as i64, ROWS);
        assert!(old.len() >= 100 && new.len() >= 1000, "{} before, {} behind", old.len(), new.len());
        [old, new]
    }

    /// Every one of these rows stands in the table like that at the end.
    fn assert_true(&self, rows: &[BTreeMap<String, String>]) {
        let truth: HashMap<&str, &BTreeMap<String, String>> = self.truth.iter().map(|row| (&*row["id"], row)).collect();
        for row in rows {
            assert_eq!(Some(&row), truth.get(&*row["id"]));
        }
    }
}

/// `id` and `n`, with the same number, from 0 on; more columns, with their values.
fn create(columns: &str, values: &str) -> String {
    format!(
        "CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL{columns});
         INSERT INTO t SELECT n, n{values} FROM {}; ANALYZE TABLE t",
        numbers()
    )
}

/// A table `n` of the numbers below [`ROWS`] in a column `n`, in words that the oldest server knows.
fn numbers() -> String {
    let digits = "(SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 \
                  UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)";
    format!(
        "(SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n AS n FROM {digits} AS a, {digits} AS b, {digits} AS c, \
         {digits} AS d HAVING n < {ROWS}) AS n"
    )
}

#[test]
fn later_chunks_have_the_column_that_came() {
    for server in SERVERS {
        let instant = if server == OLD { "" } else { ", ALGORITHM=INSTANT" };
        let sql = &format!("ALTER TABLE t ADD b INT{instant}; UPDATE t SET b = id * 2");
        let Some(altered) = altered(server, "came", &create("", ""), sql) else { continue };
        let [old, new] = altered.halves(|row| row.contains_key("b"));
        // A view of MariaDB outlives such a statement: the one that waited for it shows what was before the UPDATE, which is behind its `low`.
        let (waited, new): (Vec<_>, Vec<_>) = new.into_iter().partition(|row| row["b"] == "NULL");
        assert!(waited.len() <= if MARIADB.contains(&server) { 100 } else { 0 }, "{server}: {}", waited.len());
        altered.assert_true(&new);
        assert!(old.iter().all(|row| row.len() == 2));
        assert!(!altered.loaded.chunks().replayed);
    }
}

#[test]
fn later_chunks_lack_the_column_that_went() {
    for server in SERVERS {
        let Some(altered) = altered(server, "went", &create(", gone INT", ", 7"), "ALTER TABLE t DROP COLUMN gone")
        else {
            continue;
        };
        let [_, new] = altered.halves(|row| !row.contains_key("gone"));
        altered.assert_true(&new);
    }
}

#[test]
fn later_chunks_have_the_new_type_sign_charset_and_place() {
    for server in SERVERS {
        for (name, columns, values, sql) in [
            ("type", ", v INT", ", n * 1000", "ALTER TABLE t MODIFY v BIGINT; UPDATE t SET v = v * 10000000"),
            ("sign", ", v INT", ", n", "ALTER TABLE t MODIFY v INT UNSIGNED; UPDATE t SET v = 4294967295 - n"),
            (
                "charset",
                ", v VARCHAR(10) CHARACTER SET latin1",
                ", 'a'",
                "ALTER TABLE t MODIFY v VARCHAR(10) CHARACTER SET utf8mb4; UPDATE t SET v = CONCAT('é漢', n)",
            ),
            ("place", ", v INT", ", n + 5", "ALTER TABLE t MODIFY v INT FIRST; UPDATE t SET v = v * -1"),
            ("text", ", v INT", ", n", "ALTER TABLE t MODIFY v VARCHAR(20); UPDATE t SET v = CONCAT('x', n)"),
        ] {
            let Some(altered) = altered(server, name, &create(columns, values), sql) else { continue };
            let truth: HashMap<_, _> = altered.truth.iter().map(|row| (row["id"].clone(), row["v"].clone())).collect();
            let [_, new] = altered.halves(|row| truth[&row["id"]] == row["v"]);
            altered.assert_true(&new);
        }
    }
}

#[test]
fn later_chunks_have_the_new_labels() {
    for server in SERVERS {
        let columns = ", e ENUM('a', 'b') NOT NULL";
        let sql = "ALTER TABLE t MODIFY e ENUM('x', 'a', 'b') NOT NULL";
        let Some(altered) = altered(server, "labels", &create(columns, ", IF(n % 2, 'a', 'b')"), sql) else { continue };
        // The number of a label tells when it was read.
        let [old, new] = altered.halves(|row| row["e"].starts_with(['2', '3']));
        for (rows, labels) in [(old, ["1:a", "2:b"]), (new, ["2:a", "3:b"])] {
            for row in rows {
                let is_b = row["n"].parse::<i64>().unwrap() % 2 == 0;
                // `2:b` of an old row looks like one of a new row.
                assert!(row["e"] == labels[usize::from(is_b)] || row["e"] == "2:b", "{row:?}");
            }
        }
    }
}

#[test]
fn another_key_begins_the_table_again() {
    for server in SERVERS {
        for (name, key) in [("other_key", "code"), ("longer_key", "id, code")] {
            let sql = format!("ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY ({key}); UPDATE t SET n = -n - 1");
            let create = create(", code INT NOT NULL", &format!(", {ROWS} - n"));
            let Some(altered) = altered(server, name, &create, &sql) else { continue };
            let table = altered.loaded.chunks();
            assert!(table.first_chunk > 0 && table.floor.is_some() && table.is_done());
            // All rows as they are now, in the second attempt.
            let new: Vec<_> =
                altered.rows().into_iter().map(|(_, row)| row).filter(|row| row["n"].starts_with('-')).collect();
            assert_eq!(new.len() as i64, ROWS);
            altered.assert_true(&new);
        }
    }
}

#[test]
fn another_collation_of_the_key_begins_the_table_again() {
    for server in SERVERS {
        let create = format!(
            "CREATE TABLE t (id VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY, n INT NOT NULL);
         INSERT INTO t SELECT CONCAT(CHAR(IF(n % 2, 97, 65) + n % 26 USING ascii), n), n FROM {}; ANALYZE TABLE t",
            numbers()
        );
        let sql = "ALTER TABLE t MODIFY id VARCHAR(20) COLLATE utf8mb4_general_ci NOT NULL; UPDATE t SET n = -n - 1";
        let Some(altered) = altered(server, "collation", &create, sql) else { continue };
        let table = altered.loaded.chunks();
        assert!(table.first_chunk > 0 && table.floor.is_some());
        let new: Vec<_> =
            altered.rows().into_iter().map(|(_, row)| row).filter(|row| row["n"].starts_with('-')).collect();
        assert_eq!(new.len() as i64, ROWS);
        altered.assert_true(&new);
    }
}

#[test]
fn a_key_that_is_renamed_or_an_index_that_is_dropped_stops_nothing() {
    for server in SERVERS {
        let rename = "ALTER TABLE t CHANGE id k INT NOT NULL; ALTER TABLE t CHANGE n id INT NOT NULL";
        let Some(renamed) = altered(server, "renamed_key", &create("", ""), rename) else { continue };
        assert!(renamed.loaded.chunks().floor.is_some());
        let new: Vec<_> = renamed.rows().into_iter().map(|(_, row)| row).filter(|row| row.contains_key("k")).collect();
        assert_eq!(new.len() as i64, ROWS);
        renamed.assert_true(&new);

        let create = create(", u INT NOT NULL", ", n").replace("id INT PRIMARY KEY", "id INT NOT NULL");
        let create = create.replace("n INT NOT NULL,", "n INT NOT NULL, UNIQUE KEY by_u (u),");
        let Some(dropped) = altered(server, "dropped_index", &create, "ALTER TABLE t DROP INDEX by_u") else {
            continue;
        };
        // Without a key it is one chunk.
        let table = dropped.loaded.chunks();
        assert!(table.key.columns.is_empty() && table.chunks.len() == 1 && table.floor.is_some());
        assert_eq!(table.rows() as i64, ROWS);
    }
}

#[test]
fn a_table_that_goes_in_the_middle_ends_its_load() {
    for server in SERVERS {
        for (name, sql) in [
            ("dropped", "DROP TABLE t"),
            ("renamed", "RENAME TABLE t TO elsewhere"),
            ("dropped_database", "DROP DATABASE IF EXISTS nowhere; ALTER TABLE t RENAME TO elsewhere"),
        ] {
            let Some(altered) = interrupted(server, name, &create("", ""), sql) else { continue };
            let table = altered.loaded.chunks();
            assert!(table.gone.is_some() && table.is_done() && table.replayed);
            assert!(altered.rows().len() >= 300);
        }
    }
}

#[test]
fn a_table_that_takes_its_place_is_read_as_it_is() {
    for server in SERVERS {
        let create = create("", "")
            + "; CREATE TABLE other (id INT PRIMARY KEY, v VARCHAR(9));
             INSERT INTO other VALUES (-5, 'a'), (1500, 'b'), (9999, 'c')";
        let Some(altered) = interrupted(server, "swapped", &create, "RENAME TABLE t TO old, other TO t") else {
            continue;
        };
        let new: Vec<_> = altered.rows().into_iter().map(|(_, row)| row).filter(|row| row.contains_key("v")).collect();
        // Its row before the border lies in a chunk that was read: whoever follows the binlog meets the statement.
        assert_eq!(new.iter().map(|row| &*row["id"]).collect::<Vec<_>>(), ["1500", "9999"]);
    }
}

#[test]
fn a_table_that_is_emptied_is_read_as_it_is() {
    for server in SERVERS {
        let sql = "TRUNCATE TABLE t; INSERT INTO t VALUES (1, -1), (1999, -1)";
        let Some(altered) = altered(server, "emptied", &create("", ""), sql) else { continue };
        let new: Vec<_> = altered.rows().into_iter().filter(|(_, row)| row["n"] == "-1").collect();
        assert!(new.len() == 1 && new[0].1["id"] == "1999");
        assert!(altered.rows().len() < 500);
    }
}

/// A view is not kept open for a sink that takes nothing: the server could not remove old versions of rows.
#[test]
fn a_blocked_sink_does_not_keep_a_view_open() {
    for server in [GTID, NO_GTID, MARIADB[0], MARIADB[1]] {
        let Some(mut database) = Database::new(server, "blocked") else { continue };
        database.run(&create("", ""));
        let tables = [database.load_table("t")];
        let is_connected = database.watch();
        let options = LoadOptions { readers: 1, view_patience: Duration::ZERO, ..small_chunks(1_000_000) };
        let ledger = Mutex::new(Ledger::new(start_position(&database.options, &database.facts, true).unwrap().0));
        let (seen, blocked) = (Mutex::new(HashSet::new()), AtomicBool::new(false));
        let emit = |window: Window| {
            for batch in &window.changes {
                lock(&seen).extend(batch.rows().column(0).as_primitive::<Int32Type>().values().iter().copied());
            }
            if !blocked.swap(true, Ordering::Relaxed) {
                wait_until_given_up(&is_connected);
            }
            Ok(())
        };
        let end = database.run_load(&tables, &options, &ledger, &emit, &AtomicBool::new(false)).unwrap();
        assert_eq!(end, LoadEnd::Complete);
        assert_eq!(lock(&seen).len() as i64, ROWS);
    }
}
