//! Tables of few rows that share a view, and what they meet there.

use std::sync::mpsc;

use super::altered::{SERVERS, wait_until_locked_out};
use super::*;

struct Shared {
    loaded: Loaded,
    /// Of how many tables each view was.
    sizes: Vec<usize>,
}

impl Shared {
    /// Loads the tables as they were planned; `emitted` is called behind each window.
    fn load(database: &Database, tables: &[LoadTable], readers: usize, emitted: &(dyn Fn(&Window) + Sync)) -> Shared {
        Shared::load_by(database, tables, &LoadOptions { readers, ..small_chunks(500) }, emitted)
    }

    fn load_by(
        database: &Database,
        tables: &[LoadTable],
        options: &LoadOptions,
        emitted: &(dyn Fn(&Window) + Sync),
    ) -> Shared {
        let start = start_position(&database.options, &database.facts, true).unwrap().0;
        let record = Recorded::new(Ledger::new(start));
        let windows = Mutex::new(Vec::new());
        let before = lock(&record.ledger).clone();
        let end = Load {
            connect: &database.options,
            facts: &database.facts,
            tables,
            options,
            ledger: &before,
            record: &record,
            emit: &|window| {
                emitted(&window);
                lock(&windows).push(window);
                Ok(())
            },
            start: before.start(),
            start_is_low: true,
            plan: &|table| Ok(LoadTable::whole(table)),
            stop: &AtomicBool::new(false),
        }
        .run();
        assert_eq!(end.unwrap(), LoadEnd::Complete);
        let loaded = Loaded { windows: windows.into_inner().unwrap(), ledger: record.ledger.into_inner().unwrap() }
            .acknowledged();
        Shared { loaded, sizes: record.views.into_inner().unwrap().iter().map(|view| view.rows.len()).collect() }
    }

    /// Rows of each table as `id a …`, in order.
    fn rows(&self) -> BTreeMap<String, Vec<String>> {
        let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (_, batch) in self.loaded.batches() {
            let columns = batch.rows().columns();
            let row = |row| columns.iter().map(|column| show(column.as_ref(), row)).collect::<Vec<_>>().join(" ");
            let of_table = rows.entry(batch.table().name().table.to_string()).or_default();
            of_table.extend((0..batch.kinds().len()).map(row));
        }
        rows.values_mut().for_each(|rows| rows.sort());
        rows
    }
}

/// Tables as they are now, with their definitions.
fn planned(database: &Database, names: &[String]) -> Vec<LoadTable> {
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    let plan = |table: CatalogTable| {
        let shown = database.run(&format!("SHOW CREATE TABLE {}", quote_table(table.table.name())));
        let definition = text(&shown[0].rows[0], 1).map(definition_text);
        LoadTable { definition, estimated_bytes: table.estimated_bytes, ..LoadTable::whole(Arc::new(table.table)) }
    };
    database.catalog(&names).into_iter().map(plan).collect()
}

/// `t0` and so on, of three rows each.
fn small(database: &Database, count: usize) -> Vec<String> {
    let names: Vec<String> = (0..count).map(|table| format!("t{table}")).collect();
    for name in &names {
        let insert = format!("INSERT INTO {name} VALUES (1, 10), (2, 20), (3, 30)");
        database.run(&format!("CREATE TABLE {name} (id INT PRIMARY KEY, a INT) ENGINE = InnoDB; {insert}"));
    }
    names
}

fn assert_small(rows: &BTreeMap<String, Vec<String>>, names: &[String]) {
    for name in names {
        assert_eq!(rows[name], ["1 10", "2 20", "3 30"], "{name}");
    }
}

#[test]
fn small_tables_share_views_and_others_go_their_own_way() {
    for server in SERVERS {
        let Some(database) = Database::new(server, "shared") else { continue };
        // More than a server joins in one statement.
        let names = small(&database, 70);
        database.run(
            "CREATE TABLE big (id INT PRIMARY KEY, a INT); CREATE TABLE nothing (id INT PRIMARY KEY, a INT);
             CREATE TABLE keyless (a INT); INSERT INTO keyless VALUES (7), (7);
             CREATE TABLE other_engine (id INT PRIMARY KEY, a INT) ENGINE = MyISAM; INSERT INTO other_engine VALUES (5, 5);
             CREATE TABLE t_altered (id INT PRIMARY KEY, a INT); INSERT INTO t_altered VALUES (1, 1)",
        );
        let values: Vec<String> = (0..4000).map(|id| format!("({id}, {id})")).collect();
        database.run(&format!("INSERT INTO big VALUES {}", values.join(",")));
        let others = ["big", "nothing", "keyless", "other_engine", "t_altered"].map(str::to_owned);
        let tables = planned(&database, &[&others[..], &names].concat());
        database.run("ALTER TABLE t_altered ADD COLUMN b INT NOT NULL DEFAULT 3");
        let shared = Shared::load(&database, &tables, 1, &|_| ());
        let rows = shared.rows();
        assert_small(&rows, &names);
        assert_eq!(rows["big"].len(), 4000, "{server}");
        assert_eq!(rows["keyless"], ["7", "7"]);
        assert_eq!(rows["other_engine"], ["5 5"]);
        assert_eq!(rows["t_altered"], ["1 1 3"]);
        assert!(!rows.contains_key("nothing"));
        let of = |name: &str| shared.loaded.ledger.table(&TableName::new(&database.name, name)).unwrap();
        assert!(of("big").chunks.len() >= 5, "{server}: {} chunks", of("big").chunks.len());
        // The seventy and the one without rows.
        assert_eq!(shared.sizes.iter().filter(|size| **size > 1).sum::<usize>(), 71, "{server}: {:?}", shared.sizes);
        let lows: HashSet<String> =
            names.iter().map(|name| of(name).chunks[0].low.as_ref().unwrap().to_string()).collect();
        assert!(lows.len() <= 2, "{server}: they share views: {lows:?}");
    }
}

/// Of few rows, as all of them, but of many bytes as far as the server knows.
#[test]
fn a_view_is_of_no_more_bytes_than_it_can_read_in_its_time() {
    let Some(database) = Database::new(GTID, "shared_bytes") else { return };
    let names = small(&database, 6);
    let mut tables = planned(&database, &names);
    // t4 shares with none, and t5 is left over.
    for (table, bytes) in tables.iter_mut().zip([1536 << 10, 1536 << 10, 4 << 20, 0, 5 << 20, 16 << 10]) {
        table.estimated_bytes = bytes;
    }
    let options = LoadOptions { readers: 1, ..small_chunks(500) };
    for (tables_share_views, expected) in [(true, vec![2, 2]), (false, Vec::new())] {
        let options = LoadOptions { tables_share_views, ..options.clone() };
        let shared = Shared::load_by(&database, &tables, &options, &|_| ());
        assert_small(&shared.rows(), &names);
        let sizes: Vec<usize> = shared.sizes.into_iter().filter(|size| *size > 1).collect();
        assert_eq!(sizes, expected, "{tables_share_views}");
    }
}

/// The first of them is of another engine by now, so that its rows would not fix the moment of the others'.
#[test]
fn a_view_is_not_shared_that_its_first_table_no_longer_opens() {
    for server in SERVERS {
        let Some(database) = Database::new(server, "shared_engine") else { continue };
        let names = small(&database, 10);
        database.run("CREATE TABLE a_first (id INT PRIMARY KEY, a INT); INSERT INTO a_first VALUES (1, 1)");
        let tables = planned(&database, &[&["a_first".to_owned()], &names[..]].concat());
        assert_eq!(&*tables[0].table.name().table, "a_first");
        database.run("ALTER TABLE a_first ENGINE = MyISAM");
        let shared = Shared::load(&database, &tables, 1, &|_| ());
        let rows = shared.rows();
        assert_small(&rows, &names);
        assert_eq!(rows["a_first"], ["1 1"]);
        assert_eq!(shared.sizes, [1; 11], "{server}");
    }
}

#[test]
fn one_that_is_gone_or_locked_does_not_keep_the_others_away() {
    for server in SERVERS {
        let Some(database) = Database::new(server, "shared_locked") else { continue };
        let mut names = small(&database, 20);
        let tables = planned(&database, &names);
        database.run("DROP TABLE t3");
        names.remove(3);
        let mut holder = database.connect();
        holder.query("LOCK TABLES t7 WRITE").unwrap();
        let (holder, read) = (Mutex::new(holder), Mutex::new(HashSet::new()));
        let emitted = |window: &Window| {
            let mut read = lock(&read);
            read.insert(parts(window).0.table.to_string());
            // All but the one that is locked and the one that is gone.
            if read.len() == 18 {
                lock(&holder).query("UNLOCK TABLES").unwrap();
            }
        };
        let shared = Shared::load(&database, &tables, 2, &emitted);
        assert_small(&shared.rows(), &names);
        let gone = shared.loaded.ledger.table(&TableName::new(&database.name, "t3")).unwrap();
        assert!(gone.gone.is_some(), "{server}");
    }
}

/// The last table of a view is altered behind the first one's rows: the statement waits until the view is read.
#[test]
fn a_statement_waits_for_the_view_that_its_table_shares() {
    for server in SERVERS {
        let Some(database) = Database::new(server, "shared_altered") else { continue };
        let names = small(&database, 20);
        let tables = planned(&database, &names);
        std::thread::scope(|scope| {
            let (begin, begun) = mpsc::channel();
            let (begin, database) = (Mutex::new(Some(begin)), &database);
            let statement = scope.spawn(move || {
                begun.recv().unwrap();
                database.run("ALTER TABLE t19 ADD COLUMN b INT NOT NULL DEFAULT 3 FIRST")
            });
            let emitted = |_: &Window| {
                if let Some(begin) = lock(&begin).take() {
                    begin.send(()).unwrap();
                    wait_until_locked_out(database);
                }
            };
            let shared = Shared::load(database, &tables, 1, &emitted);
            let size = shared.sizes[0];
            assert_eq!(size, 20, "{server}: {:?}", shared.sizes);
            let rows = shared.rows();
            assert_small(&rows, &names[..19]);
            statement.join().unwrap();
            // Where the first window took too long, the others are read in later views, the last one behind the statement.
            match shared.sizes.len() {
                1 => assert_eq!(rows["t19"], ["1 10", "2 20", "3 30"], "{server}"),
                _ => assert_eq!(rows["t19"], ["3 1 10", "3 2 20", "3 3 30"], "{server}"),
            }
        });
    }
}
