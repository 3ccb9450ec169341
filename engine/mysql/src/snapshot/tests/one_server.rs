//! What is read in a view is read on the server that opened it, and shows what the load's start promises.

use super::super::view::{is_of_other_server, on_server};
use super::*;
use crate::grants::Grants;

#[test]
fn what_is_read_on_another_server_is_an_error_also_where_nothing_is_found() {
    for variable in [GTID, NO_GTID, OLD, MARIADB[0], MARIADB[1]] {
        let Some(database) = Database::new(variable, "one_server") else { return };
        database.run("CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)");
        database.run("CREATE TABLE nothing (id INT PRIMARY KEY); CREATE TABLE keyless (id INT) ENGINE = MyISAM");
        let (facts, mut connection) = (&database.facts, database.connect());
        let rule = ViewRule::of(facts);
        let Ok(view) = View::open(&mut connection, rule, facts, &[], None, 1) else { panic!("a view opens") };
        assert!(view.server.contains('/'), "{}", view.server);
        let tables = [
            "t WHERE id > 1 AND id <= 3",
            "t WHERE id > 7",
            "t WHERE id = 7",
            "t WHERE TRUE",
            "nothing WHERE TRUE",
            "keyless WHERE TRUE",
        ];
        for (table, rows) in tables.into_iter().zip([2, 0, 0, 3, 0, 0]) {
            let mut read = |server: &str| -> Result<usize, WireError> {
                let sql = format!("SELECT id FROM {table} AND {} LIMIT 1000", on_server(facts, server));
                let mut found = connection.execute(&sql, &[])?;
                let mut count = 0;
                while found.next()?.is_some() {
                    count += 1;
                }
                Ok(count)
            };
            assert_eq!(read(&view.server).unwrap(), rows, "{variable}: {table}");
            let error = read("another").expect_err(table);
            assert!(is_of_other_server(&error), "{variable}: {table}: {error}");
        }
    }
}

#[test]
fn a_view_dated_by_files_contains_the_start_once_its_low_does() {
    let gtids = |set: &str| set.parse::<GtidSet>().unwrap();
    const SET: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    let view = |low: &str| View {
        server: String::new(),
        low: Watermark::Gtids(gtids(low)),
        high: Watermark::Gtids(gtids(&format!("{SET}:1-20"))),
        is_quiet: true,
        shows_low: true,
        coordinate: Coordinate::new("b.000002", 400),
        definitions: Vec::new(),
    };
    let start = Position::new(Coordinate::new("a.000009", 4), Some(gtids(&format!("{SET}:1-15"))));
    let (behind, level) = (view(&format!("{SET}:1-14")), view(&format!("{SET}:1-15")));
    let rule = ViewRule::GtidsOfFiles;
    assert!(level.contains(rule, &start, true));
    assert!(!behind.contains(rule, &start, true), "executed, and perhaps not visible yet");
    // Within a file, what has executed the statement at the start shows what was before it.
    assert!(behind.contains(rule, &start, false));
    assert!(!behind.contains(ViewRule::Gtids, &start, false));
}

/// What the set of executed GTIDs shows is a fact of a version, and measured of one.
#[test]
fn who_was_not_measured_is_dated_by_files() {
    for (version, rule) in [
        ("5.6.24-log", ViewRule::GtidsOfFiles),
        ("5.7.44", ViewRule::GtidsOfFiles),
        ("8.0.36-28", ViewRule::GtidsOfFiles),
        ("8.4.3", ViewRule::GtidsOfFiles),
        ("9.6.0", ViewRule::GtidsOfFiles),
        ("9.7.4", ViewRule::Gtids),
        ("9.8.0", ViewRule::GtidsOfFiles),
        ("10.11.6-MariaDB", ViewRule::MariadbSnapshot),
    ] {
        let facts = ServerFacts::of_test(version, &[("gtid_mode", "ON")], Grants::default());
        assert_eq!(ViewRule::of(&facts), rule, "{version}");
    }
    let without = ServerFacts::of_test("9.7.4", &[("gtid_mode", "OFF_PERMISSIVE")], Grants::default());
    assert_eq!(ViewRule::of(&without), ViewRule::FileStart);
}
