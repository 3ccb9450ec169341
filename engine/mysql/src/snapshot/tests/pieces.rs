//! Chunks that take too long.

use super::*;
use crate::snapshot::pieces::{InTime, ReadJob};
use crate::snapshot::queue::STOP_CHECK;

/// So wide that what is on its way in sockets is a part of the table.
pub(super) const WIDE: &str = "filler VARCHAR(4000) NOT NULL DEFAULT (REPEAT('x', 4000))";

/// Loads in one chunk, whose first view is kept until it is given up for its age.
pub(super) fn load_in_pieces(
    database: &Database,
    tables: &[LoadTable],
    is_connected: &(dyn Fn() -> bool + Sync),
) -> Loaded {
    let options = LoadOptions { readers: 1, view_max: Duration::from_millis(300), ..small_chunks(1_000_000) };
    let windows = AtomicUsize::new(0);
    let loaded = database.load_beside(tables, &options, &|| {
        if windows.fetch_add(1, Ordering::Relaxed) == 1 {
            wait_until_given_up(is_connected);
        }
    });
    assert!(loaded.chunks().pieces_high.is_some());
    loaded
}

#[test]
fn a_chunk_that_takes_too_long_is_read_in_pieces() {
    for (name, key) in [("pieces_int", "INT"), ("pieces_text", "VARCHAR(20)")] {
        let Some(mut database) = Database::new(GTID, name) else { return };
        let is_connected = database.watch();
        database.run(&format!(
            "CREATE TABLE t (id {key} PRIMARY KEY, n INT NOT NULL, {WIDE});
             INSERT INTO t (id, n) WITH RECURSIVE n AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 1999) SELECT n, n FROM n;
             ANALYZE TABLE t"
        ));
        let loaded = load_in_pieces(&database, &[database.load_table("t")], &is_connected);
        let mut numbers: Vec<u32> = loaded.values("n").iter().map(|n| n.parse().unwrap()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert!(numbers.iter().copied().eq(0..2000), "{} of 2000 rows", numbers.len());
        let [chunk] = &*loaded.chunks().chunks else { panic!("it was cut: {:?}", loaded.chunks().chunks) };
        assert!(chunk.rows >= 2000 && chunk.state == ChunkState::Done);
        let done: Vec<bool> = loaded.windows.iter().flat_map(|window| parts(window).1).map(|part| part.done).collect();
        assert!(done.iter().filter(|&&done| done).count() == 1 && done.ends_with(&[true]));
    }
}

/// What two views show of a row without a key would stay twice.
#[test]
fn a_table_without_a_key_is_read_in_one_view() {
    let Some(database) = Database::new(GTID, "pieces_keyless") else { return };
    database.run(&format!(
        "CREATE TABLE t (n INT NOT NULL, {WIDE}, KEY (n));
         INSERT INTO t (n) WITH RECURSIVE n AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 1999) SELECT n FROM n"
    ));
    let options = LoadOptions { readers: 1, view_max: STOP_CHECK, ..small_chunks(1_000_000) };
    for chunk_column in [None, Some("n".to_owned())] {
        let table = LoadTable { chunk_column, ..database.load_table("t") };
        let windows = AtomicUsize::new(0);
        let loaded = database.load_beside(&[table], &options, &|| {
            if windows.fetch_add(1, Ordering::Relaxed) == 1 {
                // Whoever looks for views that are too old has looked ten times.
                let held = Instant::now();
                while held.elapsed() < 10 * STOP_CHECK {
                    std::thread::yield_now();
                }
            }
        });
        assert!(windows.into_inner() > 2);
        assert_eq!(loaded.values("n").len(), 2000);
        assert!(loaded.chunks().pieces_high.is_none());
    }
}

#[test]
fn ranges_are_divided_until_the_time_suffices() {
    let key = |value| Some(vec![KeyValue::Int(value)]);
    let range = |lower, upper| KeyRange { lower: key(lower), upper: key(upper) };
    let mut job = ReadJob { table: 0, chunks: [(7, range(0, 90)), (8, range(90, 99))].into(), pieces: None };
    let mut in_time = InTime::default();
    assert_eq!((in_time.less_than(90), in_time.ran_out(90, 61), in_time.less_than(90)), (None, 30, Some(30)));
    let piece = |job: &ReadJob| job.pieces.as_ref().map(|pieces| (pieces.next(), pieces.is_last(), pieces.are_begun));
    job.divide(key(30), 30);
    assert_eq!(job.next(90), Some((7, &range(0, 90), 30)));
    assert_eq!(piece(&job), Some((range(0, 30), false, false)));
    // It takes too long again.
    assert_eq!(in_time.ran_out(30, 999), 15);
    job.divide(key(15), 15);
    assert_eq!(piece(&job), Some((range(0, 15), false, false)));
    job.end_piece();
    // Of what is left, it is not known how much that is.
    assert_eq!(job.next(90), Some((7, &range(15, 90), 90)));
    job.divide(key(50), 60);
    assert_eq!((job.next(90), piece(&job)), (Some((7, &range(15, 90), 60)), Some((range(15, 50), false, true))));
    job.end_piece();
    job.divide(None, 60);
    assert_eq!(piece(&job), Some((range(50, 90), true, true)));
    job.end_piece();
    assert_eq!((job.next(90), job.chunks.len()), (Some((8, &range(90, 99), 90)), 1));
    assert_eq!(in_time.ran_out(800, 0), 100, "none that passes the filter has come");
    assert_eq!(in_time.ran_out(2, 0), 1, "one row at least");
    let max = Duration::from_secs(8);
    in_time.sufficed(Duration::from_secs(3), max, 4);
    assert_eq!(in_time.less_than(4), Some(1));
    in_time.sufficed(Duration::from_secs(1), max, 4);
    assert_eq!(in_time.less_than(4), Some(2));
    in_time.sufficed(Duration::from_secs(1), max, 4);
    assert_eq!(in_time.less_than(4), None);
}
