use super::*;
use tidegate_model::pretty::{draw, parse};
use tidegate_model::state::{Changes, Entries};
use tidegate_model::{ChangeBatch, EventMeta, EventRun, Table};

const SERVER: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

fn executed(last: u64) -> Watermark {
    Watermark::Gtids(format!("{SERVER}:1-{last}").parse().unwrap())
}

fn position(gtids: Option<&str>, offset: u64) -> Position {
    Position::new(Coordinate::new("binlog.000001", offset), gtids.map(|text| text.parse().unwrap()))
}

fn name() -> TableName {
    TableName::new("db", "t")
}

fn ints(values: &[i128]) -> Vec<KeyValue> {
    values.iter().copied().map(KeyValue::Int).collect()
}

/// Chunks of table db.t with a border between each two, and the `low` of each.
fn ledger(header: &str, key: &[usize], borders: &[Vec<KeyValue>], lows: Vec<Watermark>) -> Ledger {
    let table = tidegate_model::pretty::table(header);
    let columns = key.iter().map(|&column| ChunkKey::column(&table, column).columns.remove(0)).collect();
    let mut ledger = Ledger::new(position(None, 4));
    ledger.add_table(&name(), ChunkKey { columns, identifies: true }, None);
    let lowers = std::iter::once(None).chain(borders.iter().cloned().map(Some));
    let uppers = borders.iter().cloned().map(Some).chain([None]);
    for ((lower, upper), low) in lowers.zip(uppers).zip(lows) {
        let chunk = ledger.add_chunk(&name(), KeyRange { lower, upper });
        ledger.begin(&name(), &[chunk], low, None);
    }
    ledger
}

#[test]
fn a_table_that_begins_again_forgets_its_chunks_and_keeps_the_first_low() {
    let mut ledger = ledger("id:int v:int", &[0], &[ints(&[10])], vec![executed(5), executed(9)]);
    let drawn = || transactions("id:int v:int", "+I 3 0 @4\n+I 12 0 @8");
    assert!(ledger.filter(drawn()).is_empty());
    let key = ledger.tables()[0].key.clone();
    assert_eq!(ledger.begin_again(&name(), key.clone(), Some(7)), 2);
    // Rows of the first attempt are still on their way.
    ledger.chunk_acknowledged(&name(), 1, 10, true);
    ledger.begin(&name(), &[0], executed(11), None);
    let chunk = ledger.add_chunk(&name(), KeyRange::default());
    assert_eq!((chunk, ledger.tables()[0].rows(), ledger.all_done()), (2, 0, false));
    ledger.begin(&name(), &[chunk], executed(12), Some(executed(12)));
    ledger.chunk_acknowledged(&name(), chunk, 3, true);
    // What the smallest of the old chunks had shown is older than all rows that may be out; a delete behind it must follow.
    assert!(ledger.all_done() && ledger.filter(drawn()).kinds().len() == 1);
    assert_eq!(ledger.filter(transactions("id:int v:int", "-D 3 0 @12")).kinds().len(), 1);
    let numbers: Vec<u32> = ledger.tables()[0].numbered().map(|(number, _)| number).collect();
    assert_eq!(numbers, [2]);

    ledger.load_again(&name(), key, None, &Coordinate::new("binlog.000001", 70));
    assert_eq!(ledger.filter(drawn()).kinds().len(), 2, "nothing is dropped");
    let clean = |offset| ledger.is_clean_before(&name(), None, &Coordinate::new("binlog.000001", offset));
    assert!(clean(70) && !clean(90), "before the statement for which it was loaded, everything was sent before");
}

/// Of a part nobody knows what the other rows are: neither a change nor a statement counts as seen.
#[test]
fn a_part_has_seen_nothing_and_can_be_taken_back() {
    let at = |offset| Coordinate::new("binlog.000001", offset);
    let gtid = |number| only_gtid(&format!("{SERVER}:{number}").parse().unwrap(), number);
    let mut ledger = ledger("id:int v:int", &[0], &[ints(&[10])], vec![executed(5), executed(5)]);
    let key = ledger.tables()[0].key.clone();
    ledger.load_part(&name(), key.clone(), None, &at(70), "id > 5".to_owned());
    assert!(!ledger.waits(&name()) && ledger.tables()[0].is_part_loading());
    let [first, last] = [(None, Some(10)), (Some(10), None)].map(|(lower, upper)| {
        let border = |value: Option<i128>| value.map(|value| ints(&[value]));
        ledger.add_chunk(&name(), KeyRange { lower: border(lower), upper: border(upper) })
    });
    ledger.begin(&name(), &[first, last], executed(9), Some(executed(9)));
    ledger.chunk_acknowledged(&name(), first, 3, true);
    // It is cut anew: the condition stays.
    assert_eq!(ledger.begin_again(&name(), key.clone(), None), last + 1);
    let chunk = ledger.add_chunk(&name(), KeyRange { lower: None, upper: Some(ints(&[7])) });
    ledger.begin(&name(), &[chunk], executed(9), Some(executed(9)));
    assert_eq!(ledger.tables()[0].part.as_deref(), Some("id > 5"));
    assert!(ledger.take_back(&name()) && ledger.all_done() && !ledger.take_back(&name()));
    // What was on its way.
    ledger.chunk_acknowledged(&name(), chunk, 3, false);
    assert!(ledger.all_done());
    assert_eq!(ledger.filter(transactions("id:int v:int", "+I 3 0 @4\n+I 12 0 @8")).kinds().len(), 2);
    let (seen, before) =
        (ledger.has_seen(&name(), gtid(5).as_ref(), &at(4)), ledger.is_before_rows(&name(), gtid(5).as_ref(), &at(4)));
    assert!(!seen && !before);
    // All of it, once more.
    ledger.load_again(&name(), key, None, &at(90));
    assert!(ledger.waits(&name()) && ledger.tables()[0].part.is_none() && !ledger.take_back(&name()));
}

#[test]
fn a_table_that_is_new_while_following_drops_what_its_chunks_show() {
    let at = |offset| Coordinate::new("binlog.000001", offset);
    let gtid = |number| only_gtid(&format!("{SERVER}:{number}").parse().unwrap(), number);
    let shows = |ledger: &Ledger, number| ledger.shows_all(&name(), gtid(number).as_ref(), &at(4));
    let mut ledger = Ledger::new(position(None, 4));
    ledger.load_new(&name(), ChunkKey::default(), None, &at(70));
    assert!(ledger.waits(&name()) && !ledger.all_done() && !shows(&ledger, 5));
    let chunk = ledger.add_chunk(&name(), KeyRange::default());
    ledger.begin(&name(), &[chunk], executed(5), Some(executed(6)));
    assert!(!ledger.waits(&name()) && shows(&ledger, 5) && !shows(&ledger, 6));
    assert!(ledger.is_clean_before(&name(), None, &at(70)));
    // Rows of it are out now: a table of this name that is met once more is another one, or this one again.
    ledger.load_new(&name(), ChunkKey::default(), None, &at(90));
    let chunk = ledger.add_chunk(&name(), KeyRange::default());
    ledger.begin(&name(), &[chunk], executed(9), Some(executed(9)));
    assert!(!shows(&ledger, 9));

    let mut ledger = Ledger::new(position(None, 4));
    ledger.load_new(&name(), ChunkKey::default(), None, &at(70));
    ledger.absent(&name(), executed(7));
    assert!(ledger.all_done() && shows(&ledger, 7) && !shows(&ledger, 8));
    assert!(ledger.was_gone(&name(), gtid(7).as_ref(), &at(4)) && !ledger.was_gone(&name(), gtid(8).as_ref(), &at(4)));
    assert!(!ledger.settled(&position(Some(&format!("{SERVER}:1-6")), 4)));
    assert!(ledger.settled(&position(Some(&format!("{SERVER}:1-7")), 4)));
}

#[test]
fn what_lies_before_a_statement_that_had_the_table_for_itself_is_shown() {
    let at = |offset| Coordinate::new("binlog.000001", offset);
    let coordinate = |offset| Watermark::Coordinate(at(offset));
    let shows = |ledger: &Ledger, offset| ledger.is_shown_before(&name(), None, &at(offset));
    let mut ledger = ledger("id:int v:int", &[0], &[ints(&[10])], vec![coordinate(4), coordinate(4)]);
    ledger.begin(&name(), &[0, 1], coordinate(4), Some(coordinate(90)));
    assert!(!ledger.is_fresh(&name()), "chunks are being read");
    ledger.chunk_acknowledged(&name(), 0, 1, true);
    ledger.chunk_acknowledged(&name(), 1, 1, true);
    assert!(ledger.is_fresh(&name()) && !shows(&ledger, 50) && !ledger.is_clean_before(&name(), None, &at(50)));
    ledger.show_before(&name(), coordinate(70));
    // Once: changes may have left since.
    ledger.show_before(&name(), coordinate(80));
    assert!(shows(&ledger, 69) && !shows(&ledger, 70) && !ledger.is_fresh(&name()));
    assert!(!ledger.shows_all(&name(), None, &at(50)), "that is about tables which came while following");
    assert!(ledger.is_clean_before(&name(), None, &at(50)) && !ledger.is_clean_before(&name(), None, &at(80)));
    assert!(shows(&restored(&mut ledger), 69));
    // Whoever carries out a statement of before wants all changes from it on.
    ledger.replay(&name());
    assert!(!shows(&ledger, 50));
}

/// A load that goes on at a server which is behind, or a chunk that is read again there.
#[test]
fn what_is_older_than_all_rows_is_what_every_view_had_come_to() {
    let mut ledger = ledger("id:int v:int", &[0], &[ints(&[10])], vec![executed(3), executed(3)]);
    let is_before = |ledger: &Ledger, number| {
        ledger.is_before_rows(
            &name(),
            only_gtid(&format!("{SERVER}:{number}").parse().unwrap(), number).as_ref(),
            &Coordinate::new("b.1", 4),
        )
    };
    ledger.begin(&name(), &[0], executed(3), Some(executed(9)));
    assert!(is_before(&ledger, 9));
    ledger.begin(&name(), &[1], executed(3), Some(executed(6)));
    ledger.begin(&name(), &[1], executed(3), Some(executed(12)));
    assert!(is_before(&ledger, 6) && !is_before(&ledger, 7));
    ledger.begin(&name(), &[1], executed(3), Some(Watermark::Coordinate(Coordinate::new("b.1", 90))));
    assert!(!is_before(&ledger, 1), "of another kind");
}

/// Whatever way its changes come: those of XA transactions are decoded.
#[test]
fn changes_from_before_the_statement_are_dropped() {
    let mut ledger = ledger("id:int v:int", &[0], &[], vec![executed(3)]);
    let drawn = || transactions("id:int v:int", "+I 3 0 @5\n-D 3 0 @8");
    assert_eq!(ledger.filter(drawn()).kinds().len(), 2);
    ledger.begin(&name(), &[0], executed(3), Some(executed(9)));
    ledger.chunk_acknowledged(&name(), 0, 1, true);
    ledger.show_before(&name(), executed(6));
    assert_eq!(ledger.filter(drawn()).kinds().len(), 1);
}

#[test]
fn the_ledger_lives_until_statements_need_it_no_more() {
    let mut ledger = ledger("id:int v:int", &[0], &[], vec![executed(5)]);
    let at = |last: u64| position(Some(&format!("{SERVER}:1-{last}")), 4);
    ledger.begin(&name(), &[0], executed(5), Some(executed(8)));
    ledger.chunk_acknowledged(&name(), 0, 1, true);
    assert!(!ledger.settled(&at(6)) && ledger.settled(&at(8)));
    ledger.gone(&name(), executed(11));
    assert!(!ledger.settled(&at(8)) && ledger.settled(&at(11)));
}

#[test]
fn a_version_with_other_keys_does_not_fit() {
    let mut ledger = ledger("id:int v:int", &[0], &[], vec![executed(5)]);
    let fits = |ledger: &Ledger, header: &str, key: &[usize]| {
        let mut parts = tidegate_model::TableParts::from(Table::clone(&tidegate_model::pretty::table(header)));
        parts.unique_keys[0].columns = key.to_vec();
        ledger.fits(&Table::from(parts))
    };
    assert!(fits(&ledger, "id:int v:int", &[0]) && fits(&ledger, "v:int id:int w:int", &[1]));
    assert!(!fits(&ledger, "key:int v:int", &[0]), "renamed");
    assert!(!fits(&ledger, "id:int v:int", &[1]), "another key");
    assert!(!fits(&ledger, "id:text v:int", &[0]), "another order");
    assert!(ledger.replay(&name()) && !ledger.replay(&name()));
    // Of text, a version does not tell the collation: that is for who judges.
    let ledger = cut_by_text("utf8mb4_0900_ai_ci", &["m"], vec![executed(5), executed(8)]);
    assert!(fits(&ledger, "id:text v:int", &[0]));
    // Rows without a key are cut by a column of the user's choice.
    let keyless = |header| {
        let mut parts = tidegate_model::TableParts::from(Table::clone(&tidegate_model::pretty::table(header)));
        parts.unique_keys.clear();
        ledger.fits(&Table::from(parts))
    };
    assert!(keyless("id:text v:int") && !keyless("key:text v:int"));
}

#[test]
fn a_statement_is_seen_by_chunks_that_were_read_behind_it() {
    let mut ledger = ledger("id:int v:int", &[0], &[ints(&[10])], vec![executed(5), executed(9)]);
    let gtid = |number| only_gtid(&format!("{SERVER}:{number}").parse().unwrap(), number);
    let at = Coordinate::new("binlog.000001", 4);
    for (chunk, high) in [(0, 6), (1, 9)] {
        ledger.begin(&name(), &[chunk], executed(high), Some(executed(high)));
        ledger.chunk_acknowledged(&name(), chunk, 1, true);
    }
    let of = |number| {
        (ledger.has_seen(&name(), gtid(number).as_ref(), &at), ledger.ended_behind(gtid(number).as_ref(), &at))
    };
    assert_eq!([of(6), of(7), of(9), of(10)], [(true, true), (false, true), (false, true), (false, false)]);
}

/// One that is read in several views shows what the first one's `low` says, and is read behind a statement if all of them are.
#[test]
fn pieces_of_a_chunk_are_judged_together() {
    let gtid = |number| only_gtid(&format!("{SERVER}:{number}").parse().unwrap(), number);
    let at = Coordinate::new("binlog.000001", 4);
    let mut ledger = ledger("id:int v:int", &[0], &[], vec![executed(5)]);
    ledger.begin(&name(), &[0], executed(5), Some(executed(6)));
    ledger.chunk_acknowledged(&name(), 0, 3, false);
    ledger.go_on(&name(), 0, executed(8), Some(executed(9)));
    ledger.chunk_acknowledged(&name(), 0, 4, false);
    assert_eq!((ledger.tables()[0].rows(), ledger.all_done()), (7, false));
    ledger.chunk_acknowledged(&name(), 0, 1, true);
    for ledger in [&ledger, &restored(&mut ledger.clone())] {
        let changes = transactions("id:int v:int", "+I 1 0 @5\n+I 2 0 @6\n+I 900 0 @8");
        assert_eq!(ledger.filter(changes).kinds().len(), 2);
        let seen = |number| ledger.has_seen(&name(), gtid(number).as_ref(), &at);
        let ended_behind = |number| ledger.ended_behind(gtid(number).as_ref(), &at);
        assert_eq!([seen(6), seen(7), seen(9)], [true, false, false]);
        assert_eq!([ended_behind(9), ended_behind(10)], [true, false]);
    }
    // Read once more from its begin: that is all of it.
    ledger.begin(&name(), &[0], executed(11), Some(executed(12)));
    assert_eq!(ledger.tables()[0].rows(), 0);
}

/// The drawn changes, one transaction per line pair or line, numbered by `@n` at the end of the line.
fn transactions(header: &str, drawing: &str) -> ChangeBatch {
    let lines: Vec<&str> = drawing.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let without: Vec<&str> = lines.iter().map(|line| line.split('@').next().unwrap()).collect();
    let batch = parse(header, &without.join("\n"));
    let runs = lines.iter().enumerate().map(|(row, line)| {
        let number: u64 = line.split('@').nth(1).expect("a transaction").trim().parse().unwrap();
        let set: GtidSet = format!("{SERVER}:{number}").parse().unwrap();
        let transaction = Coordinate::new("binlog.000001", 100 * number);
        let meta = EventMeta {
            timestamp_s: 0,
            server_id: 1,
            thread_id: 0,
            coordinate: transaction.clone(),
            transaction,
            gtid: only_gtid(&set, number),
        };
        EventRun { end: row + 1, meta: Arc::new(meta) }
    });
    let runs = runs.collect();
    ChangeBatch::new(
        batch.table().clone(),
        batch.rows().clone(),
        batch.kinds().to_vec(),
        batch.sequence().to_vec(),
        runs,
    )
}

fn only_gtid(set: &GtidSet, number: u64) -> Option<Gtid> {
    let uuid: Vec<u8> = set.encode()[8..24].to_vec();
    let source = tidegate_model::position::GtidSource::Server { uuid: uuid.try_into().unwrap(), tag: Arc::from("") };
    Some(Gtid { source, number }).filter(|gtid| set.contains(gtid))
}

fn check(ledger: &Ledger, header: &str, changes: &str, kept: &str) {
    let batch = transactions(header, changes);
    // By the columns by which the table is cut.
    let mut parts = tidegate_model::TableParts::from(Table::clone(batch.table()));
    let columns = &ledger.tables()[0].key.columns;
    let key: Option<Vec<usize>> = columns.iter().map(|column| batch.table().column_index(&column.name)).collect();
    if let Some(key) = key {
        parts.unique_keys.iter_mut().for_each(|unique| unique.columns.clone_from(&key));
    }
    let table = Arc::new(Table::from(parts));
    let (rows, kinds, sequence) = (batch.rows().clone(), batch.kinds().to_vec(), batch.sequence().to_vec());
    let batch = ledger.filter(ChangeBatch::new(table, rows, kinds, sequence, batch.events().to_vec()));
    assert_eq!(draw(&batch), draw(&parse(header, kept)));
}

/// Chunk 0 below 10 read at transaction 5, chunk 1 from 10 read at transaction 8.
fn two_chunks() -> Ledger {
    ledger("id:int v:text", &[0], &[ints(&[10])], vec![executed(5), executed(8)])
}

#[test]
fn a_change_is_dropped_if_its_chunk_has_shown_it() {
    check(
        &two_chunks(),
        "id:int v:text",
        "
        +I  1 a @5
        +I  2 b @6
        +I  9 c @8
        +I 10 d @8
        -D 11 e @9",
        "
        +I  2 b
        +I  9 c
        -D 11 e",
    );
}

#[test]
fn an_update_within_a_chunk_is_kept_or_dropped_whole() {
    check(
        &two_chunks(),
        "id:int v:text",
        "
        -U  1 a @5
        +U  1 b @5
        -U  1 b @6
        +U  1 c @6
        -U 10 a @8
        +U 10 b @8",
        "
        -U  1 b
        +U  1 c",
    );
}

#[test]
fn a_row_that_moves_to_a_chunk_read_later_is_deleted_only() {
    check(
        &two_chunks(),
        "id:int v:text",
        "
        -U  1 a @7
        +U 20 a @7",
        "
        -D  1 a",
    );
}

#[test]
fn a_row_that_moves_to_a_chunk_read_earlier_is_inserted_only() {
    check(
        &two_chunks(),
        "id:int v:text",
        "
        -U 20 a @7
        +U  1 a @7",
        "
        +I  1 a",
    );
}

#[test]
fn text_keys_go_by_the_smallest_low() {
    let borders = [vec![KeyValue::Text("m".into())]];
    let ledger = ledger("id:text v:int", &[0], &borders, vec![executed(5), executed(8)]);
    check(
        &ledger,
        "id:text v:int",
        "
        +I a 1 @5
        +I z 1 @5
        -U z 1 @6
        +U b 1 @6
        +I z 3 @8",
        "
        -U z 1
        +U b 1
        +I z 3",
    );
}

#[test]
fn composite_keys_compare_column_by_column_and_prefixes_come_first() {
    let borders = [ints(&[3]), ints(&[3, 50]), ints(&[4])];
    let lows = vec![executed(1), executed(2), executed(3), executed(4)];
    let ledger = ledger("a:int b:int", &[0, 1], &borders, lows);
    check(
        &ledger,
        "a:int b:int",
        "
        +I 2 99 @2
        +I 3 -1 @2
        +I 3 49 @3
        +I 3 50 @3
        +I 3 99 @4
        +I 4  0 @4
        +I 4  0 @5",
        "
        +I 2 99
        +I 3 49
        +I 3 99
        +I 4  0",
    );
}

#[test]
fn unsigned_keys_beyond_the_signed_range_find_their_chunk() {
    let border = i128::from(u64::MAX) - 1;
    let ledger = ledger("id:uint", &[0], &[ints(&[border])], vec![executed(1), executed(2)]);
    check(
        &ledger,
        "id:uint",
        "
        +I 18446744073709551613 @2
        +I 18446744073709551614 @2
        +I 18446744073709551615 @2
        +I                    0 @1",
        "
        +I 18446744073709551613",
    );
}

#[test]
fn a_file_watermark_covers_what_begins_before_it() {
    let low = |offset| Watermark::Coordinate(Coordinate::new("binlog.000001", offset));
    let ledger = ledger("id:int v:text", &[0], &[ints(&[10])], vec![low(500), low(801)]);
    check(
        &ledger,
        "id:int v:text",
        "
        +I  1 a @4
        +I  1 a @5
        +I 10 d @8
        +I 10 d @9",
        "
        +I  1 a
        +I 10 d",
    );
}

#[test]
fn a_column_that_was_changed_goes_by_the_smallest_low() {
    check(
        &two_chunks(),
        "id:text v:text",
        "
        +I 1  a @5
        +I 10 d @8",
        "
        +I 10 d",
    );
    check(&two_chunks(), "number:int v:text", "+I 10 d @8", "+I 10 d");
}

/// As `ledger`, cut by one column of text that is ordered by a collation.
fn cut_by_text(collation: &str, borders: &[&str], lows: Vec<Watermark>) -> Ledger {
    let borders: Vec<_> = borders.iter().map(|&border| vec![KeyValue::Text(border.into())]).collect();
    let mut ledger = ledger("id:text v:int", &[0], &borders, lows);
    ledger.table_mut(&name()).key.columns[0].collation = Some(collation.into());
    ledger
}

#[test]
fn ascii_keys_of_a_known_collation_go_by_their_chunk() {
    let changes = "
        +I apple 1 @5
        +I Apple 2 @6
        +I M 3 @7
        +I z 4 @8
        +I z 5 @9";
    let check = |collation, kept| {
        check(&cut_by_text(collation, &["m"], vec![executed(5), executed(8)]), "id:text v:int", changes, kept);
    };
    check("utf8mb4_0900_ai_ci", "+I Apple 2\n+I z 5");
    check("utf8mb4_general_ci", "+I Apple 2\n+I z 5");
    // Capitals come first.
    check("utf8mb4_bin", "+I Apple 2\n+I M 3\n+I z 5");
    check("utf8mb4_hu_0900_ai_ci", "+I Apple 2\n+I M 3\n+I z 4\n+I z 5");
}

#[test]
fn after_a_key_that_only_the_server_can_place_nothing_is_dropped_that_not_all_have_shown() {
    let ledger = cut_by_text("utf8mb4_0900_ai_ci", &["m"], vec![executed(5), executed(8)]);
    let mut at_once = ledger.clone();
    let check = |changes, kept| check(&ledger, "id:text v:int", changes, kept);
    // Shown by all: of no consequence.
    check("+I zé 1 @5\n+I z 2 @6", "");
    // The server takes both for one key: that the first comes out and the second does not would be wrong for who does, too.
    check("-D zé 1 @7\n+I ze 2 @8\n+I a 3 @5", "-D zé 1\n+I ze 2");
    check("+I z 4 @8", "+I z 4");
    let restored = restored(&mut at_once);
    assert_eq!(restored, ledger);
    assert!(restored.table(&name()).unwrap().unsure.is_raised());
}

#[test]
fn a_border_that_only_the_server_can_place_leaves_the_table_to_the_smallest_low() {
    let ledger = cut_by_text("utf8mb4_0900_ai_ci", &["m", "ü"], vec![executed(5), executed(8), executed(9)]);
    check(&ledger, "id:text v:int", "+I z 1 @5\n+I z 2 @6", "+I z 2");
}

#[test]
fn null_lies_in_the_first_chunk() {
    check(
        &two_chunks(),
        "id:int v:text",
        "
        +I  _ a @5
        +I  _ a @6
        -D 20 b @8
        -U  _ a @7
        +U 20 a @7
        -U 20 c @9
        +U  _ c @9",
        "
        +I  _ a
        -D  _ a
        -U 20 c
        +U  _ c",
    );
}

#[test]
fn rows_that_change_chunk_without_changing_identity_stay_updates() {
    let mut ledger = two_chunks();
    ledger.table_mut(&name()).key.identifies = false;
    check(
        &ledger,
        "id:int v:text",
        "
        -U  1 a @7
        +U 20 a @7
        +I 20 a @5",
        "
        -U  1 a
        +U 20 a",
    );
}

/// Under a load, another server has taken the place of the one that the chunk was read at first.
#[test]
fn a_later_view_of_a_server_that_is_behind_takes_the_low_back() {
    let mut ledger = ledger("id:int v:int", &[0], &[], vec![executed(9)]);
    let drawn = || transactions("id:int v:int", "+I 3 0 @4\n+I 3 1 @7\n-D 3 1 @8");
    assert!(ledger.filter(drawn()).is_empty());
    ledger.begin(&name(), &[0], executed(5), Some(executed(6)));
    assert_eq!(ledger.filter(drawn()).kinds().len(), 2, "what the second view did not show is said again");
    ledger.begin(&name(), &[0], executed(12), Some(executed(12)));
    assert_eq!(ledger.filter(drawn()).kinds().len(), 2, "its rows are out");
}

/// A chunk of the cut before was read on a server that was behind; what it lacked is to come, whatever the floor was until then.
#[test]
fn what_is_cut_again_has_the_low_that_all_before_show() {
    let mut ledger = ledger("id:int v:int", &[0], &[], vec![executed(9)]);
    let drawn = || transactions("id:int v:int", "+I 3 0 @4\n+I 3 1 @7\n-D 3 1 @8");
    let cut_again = |ledger: &mut Ledger| {
        let TableChunks { key, definition, .. } = ledger.table(&name()).unwrap().clone();
        ledger.begin_again(&name(), key, definition);
        ledger.add_chunk(&name(), KeyRange::default())
    };
    let chunk = cut_again(&mut ledger);
    ledger.begin(&name(), &[chunk], executed(5), Some(executed(6)));
    ledger.chunk_acknowledged(&name(), chunk, 1, true);
    let chunk = cut_again(&mut ledger);
    ledger.begin(&name(), &[chunk], executed(12), Some(executed(12)));
    ledger.chunk_acknowledged(&name(), chunk, 1, true);
    assert_eq!(ledger.filter(drawn()).kinds().len(), 2, "what one of the views did not show is said again");
}

#[test]
fn the_first_low_is_kept() {
    let mut ledger = two_chunks();
    ledger.begin(&name(), &[0], executed(100), Some(executed(100)));
    let chunk = &ledger.table(&name()).unwrap().chunks[0];
    let marks = (chunk.low.as_deref(), chunk.high.as_deref());
    assert_eq!(marks, (Some(&executed(5)), Some(&executed(100))));
    check(&ledger, "id:int v:text", "-D 1 a @6", "-D 1 a");
}

#[test]
fn nothing_is_dropped_while_chunks_are_missing() {
    let mut ledger = two_chunks();
    ledger.table_mut(&name()).planned = false;
    check(&ledger, "id:int v:text", "+I 1 a @1", "+I 1 a");
    let mut ledger = two_chunks();
    ledger.change_chunk(&name(), 0, |chunk| chunk.low = None);
    check(&ledger, "id:int v:text", "+I 1 a @1\n+I 10 a @1", "+I 1 a");
}

#[test]
fn the_ledger_settles_when_incremental_has_passed_every_low() {
    let mut ledger = two_chunks();
    let at = |last: u64| position(Some(&format!("{SERVER}:1-{last}")), 4);
    assert!(!ledger.settled(&at(100)), "chunks are still read");
    ledger.chunk_acknowledged(&name(), 0, 3, true);
    assert!(!ledger.all_done());
    ledger.chunk_acknowledged(&name(), 1, 3, false);
    assert!(!ledger.all_done());
    ledger.chunk_acknowledged(&name(), 1, 4, true);
    assert!(ledger.all_done());
    assert_eq!(ledger.table(&name()).unwrap().rows(), 10);
    assert!(!ledger.settled(&at(7)) && ledger.settled(&at(8)));
    ledger.begin(&name(), &[1], executed(1), None);
    assert!(!ledger.settled(&at(8)), "a chunk is read again");
}

#[test]
fn the_ledger_survives_a_checkpoint() {
    let borders = [
        vec![KeyValue::Int(i128::from(u64::MAX)), KeyValue::Bytes(vec![0, 255]), KeyValue::Text("ä".into())],
        ints(&[i128::from(i64::MIN)]),
    ];
    let lows = vec![executed(1), Watermark::Coordinate(Coordinate::new("b.1", 4)), executed(2)];
    let mut ledger = ledger("a:int b:int c:text", &[0, 1, 2], &borders, lows);
    assert_eq!(restored(&mut ledger), ledger);
}

/// What is read back of everything that a ledger tells.
fn restored(ledger: &mut Ledger) -> Ledger {
    let mut changes = Changes::default();
    ledger.tell(true, &mut changes);
    let mut entries = Entries::default();
    entries.apply(changes.lines());
    Ledger::of_entries(&entries).unwrap().unwrap()
}

/// Whatever is done to a ledger, changes that are told one after the other make the same ledger.
#[test]
fn what_is_told_piece_by_piece_is_the_whole() {
    let tables: Vec<TableName> = (0..3).map(|number| TableName::new("db", &format!("t{number}"))).collect();
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        // Of MySQL, of MariaDB, or of neither.
        let executed = |time: u64| match seed % 3 {
            0 => format!("0-1-{time},7-1-3"),
            _ => format!("{SERVER}:1-{time}"),
        };
        let start = position((seed % 3 < 2).then_some(&executed(3)), 4);
        let mut entries = Entries::default();
        let mut ledger = Ledger::new(start.clone());
        let mut time = 4;
        for _ in 0..60 {
            time += random.u64(0..2);
            let mut now = || match random.u32(0..4) {
                0 => Watermark::Coordinate(Coordinate::new("binlog.000001", time)),
                _ => Watermark::Gtids(executed(time).parse().unwrap()),
            };
            let (low, high) = (now(), now());
            let name = &tables[random.usize(0..tables.len())];
            let at = Coordinate::new("binlog.000001", time);
            let key = ChunkKey::default();
            let Some(table) = ledger.table(name) else {
                match random.bool() {
                    true => ledger.add_table(name, key, Some(7)),
                    false => ledger.load_new(name, key, None, &at),
                }
                continue;
            };
            let numbers: Vec<u32> = table.numbered().map(|(number, _)| number).collect();
            let chunk = random.choice(&numbers).copied();
            match random.u32(0..13) {
                12 if random.bool() => ledger.load_part(name, key, Some(3), &at, "id > 5".to_owned()),
                12 => _ = ledger.take_back(name),
                0..4 if !table.planned => {
                    let lower = table.cut_until().map(<[KeyValue]>::to_vec);
                    let upper = (random.u32(0..5) > 0).then(|| ints(&[i128::from(time)]));
                    ledger.add_chunk(name, KeyRange { lower, upper });
                }
                0..6 => {
                    chunk.into_iter().for_each(|chunk| ledger.begin(name, &[chunk], low.clone(), Some(high.clone())))
                }
                6 | 7 => chunk.into_iter().for_each(|chunk| ledger.chunk_acknowledged(name, chunk, 5, random.bool())),
                8 if random.bool() => _ = ledger.begin_again(name, key, None),
                8 => ledger.forget(name),
                9 if random.bool() => ledger.gone(name, low),
                9 => ledger.load_again(name, key, Some(3), &at),
                10 if random.bool() => chunk.into_iter().for_each(|chunk| ledger.go_on(name, chunk, low.clone(), None)),
                10 => _ = ledger.replay(name),
                11 if random.bool() => table.unsure.raise(),
                _ => ledger = Ledger::new(start.clone()),
            }
            if random.bool() {
                let mut changes = Changes::default();
                let all = random.u32(0..10) == 0;
                if all {
                    entries = Entries::default();
                }
                ledger.tell(all, &mut changes);
                entries.apply(changes.lines());
                let found = Ledger::of_entries(&entries).unwrap().unwrap();
                assert_eq!(found, ledger, "seed {seed}");
                // Neither remembers more than the other: nothing is left behind of what was forgotten.
                let left =
                    |table: &TableChunks| table.chunks.iter().filter(|chunk| chunk.state != ChunkState::Done).count();
                assert!(ledger.tables().iter().all(|table| table.left == left(table)), "seed {seed}");
                if random.u32(0..5) == 0 {
                    ledger = found;
                }
            }
        }
    }
}

/// A watermark is stored once, however many chunks have it, and of GTIDs only what the load's begin has not.
#[test]
fn chunks_are_small_on_disk() {
    let many = format!("{SERVER}:1-1000000,{}", "4e11fa47-71ca-11e1-9e33-c80aa9429562:1-7:9-20:30,".repeat(20));
    let mut ledger = Ledger::new(position(Some(&many), 4));
    ledger.add_table(&name(), ChunkKey::default(), None);
    for number in 0..1000_u64 {
        let lower = ledger.table(&name()).unwrap().cut_until().map(<[KeyValue]>::to_vec);
        let chunk = ledger.add_chunk(&name(), KeyRange { lower, upper: Some(ints(&[i128::from(number)])) });
        let now = Watermark::Gtids(format!("{many}{SERVER}:1-{}", 1_000_000 + number / 10).parse().unwrap());
        ledger.begin(&name(), &[chunk], now.clone(), Some(now));
    }
    let mut changes = Changes::default();
    ledger.tell(false, &mut changes);
    assert_eq!(changes.lines().matches("\"mark\"").count(), 100);
    assert!(changes.lines().len() < 100_000, "{}", changes.lines().len());
    assert_eq!(restored(&mut ledger), ledger);
}
