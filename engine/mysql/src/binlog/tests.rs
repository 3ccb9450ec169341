//! A recorded binlog with everything in it (`tests/golden/binlog`), the same mutilated, and a live server as the judge.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use arrow::array::{Array, AsArray};
use arrow::datatypes::*;

use super::super::catalog::{Selection, read_tables};
use super::super::connection;
use super::super::wire::{ConnectOptions, Connection, DumpRequest, DumpStart, Packet};
use super::place::Place;
use super::*;
use crate::binlog_file::BinlogFiles;
use crate::definition::Session;
use crate::history::{RULES, SchemaState, StoredSchema};
use crate::test_server;
use tidegate_model::position::GtidSet;
use tidegate_model::types::{date_parts, datetime_parts};
use tidegate_model::{ChangeBatch, ChangeKind, Column, SqlType, TableName};

// ---- drawing: values as the server prints them ----------------------------------------------------------------------

fn cell(column: &Column, array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return "NULL".to_owned();
    }
    macro_rules! number {
        ($type:ty) => {
            array.as_primitive::<$type>().value(row)
        };
    }
    match &column.sql_type {
        SqlType::Int { bytes: 1, unsigned: false } => number!(Int8Type).to_string(),
        SqlType::Int { bytes: 1, unsigned: true } => number!(UInt8Type).to_string(),
        SqlType::Int { bytes: 2, unsigned: false } => number!(Int16Type).to_string(),
        SqlType::Int { bytes: 2, unsigned: true } => number!(UInt16Type).to_string(),
        SqlType::Int { bytes: 8, unsigned: false } => number!(Int64Type).to_string(),
        SqlType::Int { bytes: 8, unsigned: true } => number!(UInt64Type).to_string(),
        SqlType::Int { unsigned: false, .. } => number!(Int32Type).to_string(),
        SqlType::Int { unsigned: true, .. } => number!(UInt32Type).to_string(),
        SqlType::Float => format!("{:e}", number!(Float32Type) as f64),
        SqlType::Double => format!("{:e}", number!(Float64Type)),
        SqlType::Decimal { precision: ..=38, scale } => point(number!(Decimal128Type).to_string(), *scale as usize),
        SqlType::Decimal { scale, .. } => point(number!(Decimal256Type).to_string(), *scale as usize),
        SqlType::Bit { .. } => number!(UInt64Type).to_string(),
        SqlType::Year => format!("{:04}", number!(UInt16Type)),
        SqlType::Date => date(number!(Date32Type)),
        SqlType::Time { fraction } => {
            let microseconds = number!(DurationMicrosecondType);
            let sign = if microseconds < 0 { "-" } else { "" };
            format!("{sign}{}", time(microseconds.unsigned_abs(), *fraction))
        }
        SqlType::DateTime { fraction } | SqlType::Timestamp { fraction } => {
            let (day, microsecond) = datetime_parts(number!(TimestampMicrosecondType));
            format!("{} {}", date(day), time(microsecond, *fraction))
        }
        SqlType::Char | SqlType::VarChar | SqlType::Text | SqlType::Json => {
            array.as_string::<i32>().value(row).to_owned()
        }
        SqlType::Binary { .. } | SqlType::VarBinary | SqlType::Blob | SqlType::Geometry | SqlType::Vector => {
            array.as_binary::<i32>().value(row).iter().fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02X}").unwrap();
                hex
            })
        }
        SqlType::Enum { .. } => {
            let labels = array.as_dictionary::<UInt16Type>();
            labels.values().as_string::<i32>().value(labels.keys().value(row) as usize).to_owned()
        }
        SqlType::Set { labels } => {
            let bits = number!(UInt64Type);
            let set: Vec<&str> =
                labels.iter().enumerate().filter(|(i, _)| bits & 1 << i != 0).map(|(_, l)| &**l).collect();
            set.join(",")
        }
    }
}

fn point(digits: String, scale: usize) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", &digits[..]), |digits| ("-", digits));
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn date(days: i32) -> String {
    let (year, month, day) = date_parts(days);
    format!("{year:04}-{month:02}-{day:02}")
}

fn time(microseconds: u64, digits: u8) -> String {
    let seconds = microseconds / 1_000_000;
    let mut out = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if digits > 0 {
        let fraction = format!("{:06}", microseconds % 1_000_000);
        write!(out, ".{}", &fraction[..digits as usize]).unwrap();
    }
    out
}

/// The changes of a window in the order of the binlog, one string each: kind, table, values.
pub(super) fn draw(window: &Window) -> Vec<String> {
    let mut changes = BTreeMap::new();
    for batch in &window.changes {
        let table = batch.table();
        let values = |row: usize| {
            let cells: Vec<String> = table
                .columns()
                .iter()
                .zip(batch.rows().columns())
                .map(|(column, array)| cell(column, array, row).escape_debug().to_string())
                .collect();
            cells.join(" | ")
        };
        for change in batch.changes() {
            let name = &table.name().table;
            let text = match change.kind {
                ChangeKind::Initial => unreachable!("not from a binlog"),
                ChangeKind::Insert => format!("+I {name}: {}", values(change.row)),
                ChangeKind::Delete => format!("-D {name}: {}", values(change.row)),
                ChangeKind::Update { before } => {
                    format!("-U {name}: {}\n+U {name}: {}", values(before), values(change.row))
                }
            };
            assert!(changes.insert(batch.sequence()[change.row], text).is_none(), "sequence numbers are unique");
        }
    }
    changes.into_values().collect()
}

// ---- the recorded binlog --------------------------------------------------------------------------------------------

const NAME: &str = "all.000001";

fn golden(file: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/binlog")).join(file)
}

fn recording() -> Vec<u8> {
    std::fs::read(golden("all.binlog")).unwrap()
}

fn history() -> Box<History> {
    let captured = |database: &str, _: &str| database == "golden";
    Box::new(History::new(&[], &beginning(), Box::new(captured), RULES, Box::new(|_| ())))
}

const LARGE: WindowOptions = windows(100_000, 64 << 20);

const fn windows(rows: usize, bytes: usize) -> WindowOptions {
    WindowOptions { rows, bytes, marks: MarkOptions { statements: false, transactions: false, heartbeats: false } }
}

fn beginning() -> Position {
    Position::new(Coordinate::new(NAME, 4), Some(GtidSet::default()))
}

/// The windows of a file with these bytes, and how reading it ended.
fn read(bytes: &[u8], start: Position, options: WindowOptions) -> (Vec<Window>, Result<bool, BinlogError>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    std::fs::write(&path, bytes).unwrap();
    let mut windows = Vec::new();
    let mut decoder = BinlogDecoder::new(start, history(), options);
    let result = BinlogFiles::new(vec![path]).read(&mut decoder, &mut |window| {
        windows.push(window);
        ControlFlow::Continue(())
    });
    (windows, result)
}

fn position(window: &Window) -> &Position {
    match &window.progress {
        Some(Progress::Position(position)) => position,
        other => panic!("no position: {other:?}"),
    }
}

fn drawing(windows: &[Window]) -> Vec<String> {
    windows.iter().flat_map(draw).collect()
}

/// Every change, then every table version, then where it ends.
///
/// `TIDEGATE_UPDATE_GOLDEN=1` writes what is found instead; the difference is for a person to judge.
#[test]
fn a_recorded_binlog_decodes_as_drawn() {
    let (windows, result) = read(&recording(), beginning(), LARGE);
    assert!(result.unwrap());
    let mut found = drawing(&windows).join("\n") + "\n\n";
    let mut tables: Vec<&Arc<Table>> = Vec::new();
    for (number, window) in windows.iter().enumerate() {
        for table in window.changes.iter().map(ChangeBatch::table) {
            let is_it = |other: &&Arc<Table>| Arc::ptr_eq(other, table);
            let is_older =
                |batch: &ChangeBatch| batch.table().name() == table.name() && !Arc::ptr_eq(batch.table(), table);
            assert!(!window.changes.iter().any(is_older), "window {number} has two versions of {}", table.name());
            if !tables.iter().any(is_it) {
                tables.push(table);
            }
        }
    }
    for table in tables {
        let key: Vec<&str> = table.key().iter().map(|&index| &*table.columns()[index].name).collect();
        writeln!(found, "{} version {}, key ({})", table.name(), table.version(), key.join(", ")).unwrap();
        for column in table.columns() {
            let charset = column.charset.as_ref().map_or(String::new(), |charset| format!(" {charset}"));
            let nullable = if column.nullable { "" } else { " not null" };
            writeln!(found, "    {} {}{charset}{nullable}", column.name, column.type_text).unwrap();
        }
    }
    writeln!(found, "\n{}", position(windows.last().unwrap())).unwrap();
    if std::env::var_os("TIDEGATE_UPDATE_GOLDEN").is_some() {
        std::fs::write(golden("all.txt"), &found).unwrap();
    }
    let expected = std::fs::read_to_string(golden("all.txt")).unwrap();
    for (line, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "line {}", line + 1);
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}

#[test]
fn small_windows_say_the_same_and_any_of_them_can_be_the_last() {
    let bytes = recording();
    let (whole, _) = read(&bytes, beginning(), LARGE);
    let expected = drawing(&whole);
    for rows in [1, 2, 7] {
        let (windows, result) = read(&bytes, beginning(), windows(rows, usize::MAX));
        assert!(result.unwrap());
        assert_eq!(drawing(&windows), expected);
        let mut delivered = 0;
        for window in &windows {
            delivered += draw(window).len();
            let (rest, result) = read(&bytes, position(window).clone(), LARGE);
            assert!(result.unwrap());
            let rest = drawing(&rest);
            // A prepared XA transaction holds the coordinate back, and nothing comes again all the same.
            assert_eq!(rest, expected[delivered..], "from {}", position(window));
        }
    }
}

#[test]
fn one_byte_of_columns_fills_a_window_too() {
    let (windows, result) = read(&recording(), beginning(), windows(usize::MAX, 1));
    assert!(result.unwrap());
    // In a compressed transaction as well: three rows events, one window each.
    let from_payload = windows.iter().filter(|window| draw(window).iter().any(|change| change.contains(" 10"))).count();
    assert!(windows.len() > 25 && from_payload >= 3, "{} windows", windows.len());
}

#[test]
fn damage_is_an_error_and_never_a_wrong_row() {
    let bytes = recording();
    let (whole, _) = read(&bytes, beginning(), LARGE);
    let expected = drawing(&whole);
    for at in (0..bytes.len()).step_by(37) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let (windows, result) = read(&flipped, beginning(), windows(1, 1));
        let found = drawing(&windows);
        assert_eq!(found, expected[..found.len()], "byte {at}");
        assert!(result.is_err(), "byte {at}");
        let (windows, result) = read(&bytes[..at], beginning(), LARGE);
        let found = drawing(&windows);
        assert_eq!(found, expected[..found.len()], "cut at {at}");
        let at_event = |offset: u64| event_offsets(&bytes).contains(&offset);
        assert!(result.is_err() || at_event(at as u64), "cut at {at}");
    }
    // The one bit that the server itself flips behind the checksum's back.
    let mut in_use = bytes.clone();
    in_use[4 + 17] ^= 1;
    let (windows, result) = read(&in_use, beginning(), LARGE);
    assert!(result.unwrap() && drawing(&windows) == expected);
}

/// Where events begin, and the end.
pub(super) fn event_offsets(bytes: &[u8]) -> Vec<u64> {
    let mut offsets = vec![4];
    while let Some(&at) = offsets.last()
        && at < bytes.len() as u64
    {
        offsets.push(at + Header::parse(&bytes[at as usize..]).unwrap().size as u64);
    }
    offsets
}

/// A file whose events have been changed, with sizes, places and checksums that fit again.
pub(super) fn rewritten(bytes: &[u8], with_checksums: bool, mut change: impl FnMut(usize, &mut Vec<u8>)) -> Vec<u8> {
    let mut out = bytes[..4].to_vec();
    for (number, pair) in event_offsets(bytes).windows(2).enumerate() {
        let mut event = bytes[pair[0] as usize..pair[1] as usize - 4].to_vec();
        change(number, &mut event);
        let is_description = event.get(4) == Some(&kind::FORMAT_DESCRIPTION);
        if is_description {
            *event.last_mut().unwrap() = with_checksums as u8;
        }
        let tail = if with_checksums || is_description { 4 } else { 0 };
        let size = (event.len() + tail) as u32;
        if event.len() >= Header::LENGTH {
            event[9..13].copy_from_slice(&size.to_le_bytes());
            event[13..17].copy_from_slice(&(out.len() as u32 + size).to_le_bytes());
        }
        let checksum = crc32fast::hash(&event).to_le_bytes();
        out.extend(event);
        out.extend(&checksum[..tail]);
    }
    out
}

#[test]
fn files_follow_each_other_by_number() {
    let bytes = recording();
    let expected = drawing(&read(&bytes, beginning(), LARGE).0);
    let folder = tempfile::tempdir().unwrap();
    let files = |names: &[&str], start: Position| {
        let paths: Vec<PathBuf> = names.iter().map(|name| folder.path().join(name)).collect();
        paths.iter().for_each(|path| std::fs::write(path, &bytes).unwrap());
        let mut decoder = BinlogDecoder::new(start, history(), LARGE);
        let mut drawn = Vec::new();
        let result = BinlogFiles::new(paths).read(&mut decoder, &mut |window| {
            drawn.extend(draw(&window));
            ControlFlow::Continue(())
        });
        (drawn, result)
    };
    let (drawn, result) = files(&[NAME, "all.000002"], beginning());
    assert!(result.unwrap());
    assert_eq!(drawn, [&expected[..], &expected[..]].concat());
    let (_, result) = files(&[NAME, "all.000003"], beginning());
    assert!(result.unwrap_err().to_string().contains("the next one given is all.000003"));
    // Where the first file ends is where the second begins, whatever the archive calls it; and the end is the end.
    let at = |file: &str| Position { coordinate: Coordinate::new(file, 4), ..beginning() };
    assert_eq!(files(&[NAME, "all.000002"], at("binlog.000002")).0, expected);
    assert!(matches!(files(&[NAME, "all.000002"], at("binlog.000003")), (drawn, Ok(true)) if drawn.is_empty()));
    assert!(files(&[NAME], at("binlog.000005")).1.unwrap_err().to_string().contains("not among those given"));
}

#[test]
fn a_binlog_without_checksums_says_the_same() {
    let bytes = recording();
    let (windows, result) = read(&rewritten(&bytes, false, |_, _| ()), beginning(), LARGE);
    assert!(result.unwrap());
    assert_eq!(drawing(&windows), drawing(&read(&bytes, beginning(), LARGE).0));
}

#[test]
fn damage_that_no_checksum_shows_does_not_panic() {
    let bytes = recording();
    let event_count = event_offsets(&bytes).len() - 1;
    let seed = 3;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut errors = 0;
    for target in (1..event_count).flat_map(|event| [event; 12]) {
        let damaged = rewritten(&bytes, true, |number, event| {
            if number == target {
                let body = Header::LENGTH.min(event.len() - 1);
                match random.u8(0..4) {
                    0 => event.truncate(random.usize(body..event.len())),
                    1 => {
                        let at = random.usize(body..event.len());
                        event[at] = random.u8(..);
                    }
                    2 => {
                        let at = random.usize(body..event.len());
                        event.insert(at, random.u8(..));
                    }
                    _ => {
                        let at = random.usize(body..event.len());
                        event[at] ^= 1 << random.u8(0..8);
                    }
                }
            }
        });
        let (_, result) = read(&damaged, beginning(), windows(3, usize::MAX));
        errors += usize::from(result.is_err());
    }
    assert!(errors > event_count * 2, "{errors} errors with seed {seed}");
}

#[test]
fn an_unknown_event_is_skipped_only_if_it_allows_it() {
    let bytes = recording();
    let replaced = |flags: u8| {
        // The second event lists the GTIDs of earlier files.
        rewritten(&bytes, true, |number, event| {
            if number == 1 {
                event[4] = 77;
                event[17] = flags;
            }
        })
    };
    let (windows, result) = read(&replaced(0x80), beginning(), LARGE);
    assert!(result.unwrap());
    assert_eq!(drawing(&windows), drawing(&read(&bytes, beginning(), LARGE).0));
    let (_, result) = read(&replaced(0), beginning(), LARGE);
    assert!(result.unwrap_err().to_string().contains("event type 77 is not understood"));
}

// ---- the stream of a server -----------------------------------------------------------------------------------------

/// An event made by hand, without checksum.
pub(super) fn event(kind: u8, flags: u16, end: u32, body: &[u8]) -> Vec<u8> {
    let mut event = vec![0; 4];
    event.push(kind);
    event.extend([1, 0, 0, 0]);
    event.extend((Header::LENGTH as u32 + body.len() as u32).to_le_bytes());
    event.extend(end.to_le_bytes());
    event.extend(flags.to_le_bytes());
    event.extend(body);
    event
}

pub(super) fn with_checksum(mut event: Vec<u8>) -> Vec<u8> {
    let size = event.len() as u32 + 4;
    event[9..13].copy_from_slice(&size.to_le_bytes());
    let checksum = crc32fast::hash(&event);
    event.extend(checksum.to_le_bytes());
    event
}

/// What a server sends first: where its stream begins, with a file name, and the format.
fn greeting(offset: u64) -> [Vec<u8>; 2] {
    let rotate = with_checksum(event(kind::ROTATE, 0x20, 0, &[&offset.to_le_bytes(), NAME.as_bytes()].concat()));
    let bytes = recording();
    let mut description = bytes[4..event_offsets(&bytes)[1] as usize - 4].to_vec();
    if offset > 4 {
        description[13..17].fill(0);
    }
    [rotate, with_checksum(description)]
}

#[test]
fn a_stream_that_leaves_out_executed_transactions_keeps_its_place() {
    let bytes = recording();
    let offsets = event_offsets(&bytes);
    let mut decoder = BinlogDecoder::new(beginning(), history(), LARGE);
    for event in greeting(4) {
        assert_eq!(decoder.feed(&event).unwrap(), Flow::Continue);
    }
    // The first transactions are missing, as a heartbeat says.
    let begins: Vec<usize> = (0..offsets.len() - 1).filter(|&i| bytes[offsets[i] as usize + 4] == kind::GTID).collect();
    let first = begins[4];
    decoder.feed(&with_checksum(event(kind::HEARTBEAT, 0, offsets[first] as u32, NAME.as_bytes()))).unwrap();
    for pair in offsets[first..].windows(2) {
        decoder.feed(&bytes[pair[0] as usize..pair[1] as usize]).unwrap();
    }
    let window = decoder.take_window().unwrap().unwrap();
    let (whole, _) = read(&bytes, beginning(), LARGE);
    assert!(drawing(&whole).ends_with(&draw(&window)));
    assert_eq!(position(&window).coordinate, position(whole.last().unwrap()).coordinate);
    // Without GTIDs nothing may be missing.
    let start = Position { gtids: None, ..beginning() };
    let mut decoder = BinlogDecoder::new(start, history(), LARGE);
    greeting(4).iter().for_each(|event| _ = decoder.feed(event).unwrap());
    let error = decoder.feed(&bytes[offsets[first] as usize..offsets[first + 1] as usize]).unwrap_err();
    assert!(matches!(*error.fault, Fault::OutOfPlace { .. }), "{error}");
}

#[test]
fn a_stream_from_the_middle_of_a_file_counts_from_there() {
    let bytes = recording();
    let offsets = event_offsets(&bytes);
    let start = offsets[(0..offsets.len() - 1).rfind(|&i| bytes[offsets[i] as usize + 4] == kind::GTID).unwrap()];
    let position_there = Position::new(Coordinate::new(NAME, start), None);
    let mut decoder = BinlogDecoder::new(position_there, history(), LARGE);
    greeting(start).iter().for_each(|event| _ = decoder.feed(event).unwrap());
    for pair in offsets.iter().filter(|&&at| at >= start).collect::<Vec<_>>().windows(2) {
        decoder.feed(&bytes[*pair[0] as usize..*pair[1] as usize]).unwrap();
    }
    let window = decoder.take_window().unwrap().unwrap();
    assert_eq!(draw(&window), ["+I eight: 500 | NULL | NULL | NULL | NULL | NULL | NULL | NULL"]);
    // The last event rotates to the next file.
    assert_eq!(position(&window).coordinate, Coordinate::new("binlog.000002", 4));
    assert!(decoder.take_window().unwrap().is_none());
}

#[test]
fn offsets_go_beyond_32_bits() {
    let header = |size: u32, end: u64| Header {
        timestamp_s: 0,
        kind: kind::XID,
        server_id: 1,
        size,
        end_low32: end as u32,
        flags: 0,
    };
    let start = |gtids| Position::new(Coordinate::new("b.1", (1 << 32) - 100), gtids);
    let mut place = Place::new(start(None));
    assert_eq!(place.pass(&header(100, 1 << 32)).unwrap().offset, (1 << 32) - 100);
    assert_eq!(place.pass(&header(50, (1 << 32) + 50)).unwrap().offset, 1 << 32);
    assert!(place.pass(&header(50, (1 << 32) + 101)).is_err());
    let mut place = Place::new(start(Some(GtidSet::default())));
    assert_eq!(place.pass(&header(50, (1 << 32) + 1000)).unwrap().offset, (1 << 32) + 950);
    assert!(place.pass(&header(50, (1 << 32) + 10)).is_err());
    // What is left out may be long.
    assert_eq!(place.pass(&header(50, (1 << 32) + (3 << 30))).unwrap().offset, (1 << 32) + (3 << 30) - 50);
}

#[test]
fn heartbeats_say_how_far_the_server_has_come() {
    let start = |gtids| Position::new(Coordinate::new("b.000001", 1000), gtids);
    let moved = |place: &mut Place, file: &str, end: HeartbeatEnd| {
        place.pass_left_out(file, end);
        place.at.offset
    };
    let mut place = Place::new(start(Some(GtidSet::default())));
    assert_eq!(moved(&mut place, "b.000002", HeartbeatEnd::Low32(5000)), 1000, "of another file");
    assert_eq!(moved(&mut place, "b.000001", HeartbeatEnd::Low32(900)), 1000, "behind");
    assert_eq!(moved(&mut place, "b.000001", HeartbeatEnd::Low32(3 << 30)), 3 << 30);
    assert_eq!(moved(&mut place, "b.000001", HeartbeatEnd::Low32(5000)), (1 << 32) + 5000);
    assert_eq!(moved(&mut place, "b.000001", HeartbeatEnd::Whole(20 << 32)), 20 << 32);
    // Whoever reads by coordinate is sent everything.
    let mut place = Place::new(start(None));
    assert_eq!(moved(&mut place, "b.000001", HeartbeatEnd::Low32(5000)), 1000);
    let body = [&b"\x01\x08b.000001"[..], &[2, 9, 254, 1, 0, 0, 0, 1, 0, 0, 0, 0]].concat();
    assert_eq!(parse_heartbeat_v2(&body).unwrap(), ("b.000001".to_owned(), (1 << 32) + 1));
}

/// A server may leave out more than 2 GiB of one file, and hands out any number of table ids.
#[test]
fn a_long_way_is_left_out() {
    let bytes = recording();
    let offsets = event_offsets(&bytes);
    let last = (0..offsets.len() - 1).rfind(|&i| bytes[offsets[i] as usize + 4] == kind::GTID).unwrap();
    let mut decoder = BinlogDecoder::new(beginning(), history(), LARGE);
    greeting(4).iter().for_each(|event| _ = decoder.feed(event).unwrap());
    let far = 3 << 30;
    decoder.feed(&with_checksum(event(kind::HEARTBEAT, 0, offsets[last] as u32 + far, NAME.as_bytes()))).unwrap();
    for pair in offsets[last..offsets.len() - 1].windows(2) {
        let mut event = bytes[pair[0] as usize..pair[1] as usize - 4].to_vec();
        event[13..17].copy_from_slice(&(pair[1] as u32 + far).to_le_bytes());
        decoder.feed(&with_checksum(event)).unwrap();
    }
    let window = decoder.take_window().unwrap().unwrap();
    assert_eq!(draw(&window).len(), 1);
    assert_eq!(position(&window).coordinate.offset, offsets[offsets.len() - 2] + u64::from(far));
}

#[test]
fn the_table_ids_used_last_are_remembered() {
    let mut tables = Tables::default();
    let mapped = || MappedTable { map: Vec::new(), statements: 0, plan: None, row_bytes: 0, slot: Slot::default() };
    for id in 0..50_000 {
        tables.insert(id, mapped());
        tables.age();
        assert!(tables.young.len() + tables.old.len() <= 2 * Tables::GENERATION / 10);
        assert!(tables.get_mut(id).is_some() && tables.get_mut(id.saturating_sub(600)).is_some(), "{id}");
        // One that is used again and again stays.
        assert!(tables.get_mut(7).is_some() || id < 7);
    }
    assert!(tables.get_mut(8).is_none());
    // One transaction needs all that it has named.
    (0..50_000).for_each(|id| tables.insert(id, mapped()));
    assert!((0..50_000).all(|id| tables.get_mut(id).is_some()));
}

/// Captures everything in `golden`; stops at TRUNCATE.
struct StopsAtTruncate(Box<History>);

impl Schemas for StopsAtTruncate {
    fn table(&mut self, map: &TableMap<'_>, here: Here<'_>) -> Result<Option<Arc<Table>>, Fault> {
        self.0.table(map, here)
    }

    fn statement(&mut self, _: &str, sql: &str, _: &Session, here: Here<'_>) -> Result<Option<Statement>, Fault> {
        match sql.starts_with("TRUNCATE") {
            true => Err(here.columns(TableName::new("golden", "simple"), ColumnsFault::Unknown).into()),
            false => Ok(None),
        }
    }
}

#[test]
fn what_came_before_a_stop_can_be_delivered() {
    let bytes = recording();
    let mut decoder = BinlogDecoder::new(beginning(), Box::new(StopsAtTruncate(history())), LARGE);
    decoder.enter_file(NAME, 4).unwrap();
    let mut pairs = event_offsets(&bytes);
    pairs.dedup();
    let error =
        pairs.windows(2).find_map(|pair| decoder.feed(&bytes[pair[0] as usize..pair[1] as usize]).err()).unwrap();
    assert!(error.hint().is_some() && error.to_string().starts_with("binlog all.000001:"), "{error}");
    let window = decoder.take_window().unwrap().unwrap();
    let drawn = draw(&window);
    assert_eq!(drawn.last().unwrap(), "+I simple: 2 | two");
    let (rest, _) = read(&bytes, position(&window).clone(), LARGE);
    assert_eq!([drawn, drawing(&rest)].concat(), drawing(&read(&bytes, beginning(), LARGE).0));
    assert!(matches!(*decoder.feed(&bytes[4..127]).unwrap_err().fault, Fault::Ended));
}

#[test]
fn frames_are_told_from_statements() {
    assert_eq!(Frame::of("BEGIN"), Some(Frame::Begin));
    assert_eq!(Frame::of("SAVEPOINT `a`"), Some(Frame::Savepoint("`a`")));
    assert_eq!(Frame::of("RELEASE SAVEPOINT `a`"), Some(Frame::ReleaseSavepoint));
    assert_eq!(Frame::of("ROLLBACK TO `a`"), Some(Frame::RollbackTo("`a`")));
    assert_eq!(Frame::of("XA COMMIT X'66',X'',1"), Some(Frame::XaCommit("X'66',X'',1")));
    assert_eq!(Frame::of("XA ROLLBACK X'66',X'',1"), Some(Frame::XaRollback("X'66',X'',1")));
    for statement in ["BEGINNING", "COMMITTED", "CREATE TABLE t (a INT)", "ROLLBACKS", "XA", "", "é"] {
        assert_eq!(Frame::of(statement), None, "{statement}");
    }
}

// ---- MariaDB --------------------------------------------------------------------------------------------------------

/// One table, whatever happens.
struct OneTable(Arc<Table>);

impl Schemas for OneTable {
    fn table(&mut self, _: &TableMap<'_>, _: Here<'_>) -> Result<Option<Arc<Table>>, Fault> {
        Ok(Some(self.0.clone()))
    }

    fn statement(&mut self, _: &str, _: &str, _: &Session, _: Here<'_>) -> Result<Option<Statement>, Fault> {
        Ok(None)
    }
}

/// Events of MariaDB made by hand, one behind the other, and the decoder that reads them.
struct Mariadb {
    decoder: BinlogDecoder,
    end: u32,
}

impl Mariadb {
    fn new(start: Position) -> Mariadb {
        let table = tidegate_model::pretty::parse("id:int", "+I 1").table().clone();
        let parts = tidegate_model::TableParts { name: TableName::new("d", "t"), ..Table::clone(&table).into() };
        let table = Arc::new(Table::from(parts));
        let mut mariadb = Mariadb { decoder: BinlogDecoder::new(start, Box::new(OneTable(table)), LARGE), end: 0 };
        mariadb.begin_file("b.000001");
        mariadb
    }

    fn begin_file(&mut self, name: &str) {
        let rotate = [&4_u64.to_le_bytes()[..], name.as_bytes()].concat();
        // Without a checksum, as nobody knows yet whether there are any.
        self.decoder.feed(&event(kind::ROTATE, 0x20, 0, &rotate)).unwrap();
        self.end = 4;
        let mut version = b"11.8.9-MariaDB-log".to_vec();
        version.resize(50, 0);
        let lengths = [0; 171];
        self.feed(
            kind::FORMAT_DESCRIPTION,
            &[&4_u16.to_le_bytes()[..], &version, &[0; 4], &[19], &lengths, &[0; 5]].concat(),
        )
        .unwrap();
    }

    fn feed(&mut self, kind: u8, body: &[u8]) -> Result<Flow, BinlogError> {
        self.end += (Header::LENGTH + body.len()) as u32;
        // As 11.8 leaves them out of what it has gathered.
        let is_gathered = matches!(kind, kind::TABLE_MAP | kind::WRITE_ROWS_V1 | kind::QUERY);
        self.decoder.feed(&event(kind, 0, if is_gathered { 0 } else { self.end }, body))
    }

    fn gtid(&mut self, number: u64, flags: u8) -> Result<Flow, BinlogError> {
        self.feed(kind::MARIADB_GTID, &[&number.to_le_bytes()[..], &[0; 4], &[flags], &[0; 6]].concat())
    }

    fn insert(&mut self, id: i64) {
        self.feed(kind::TABLE_MAP, &[&[7, 0, 0, 0, 0, 0, 0, 0][..], b"\x01d\0\x01t\0", &[1, 8, 0, 1]].concat())
            .unwrap();
        let row = [&[7, 0, 0, 0, 0, 0, 1, 0, 1, 1, 0][..], &id.to_le_bytes()].concat();
        self.feed(kind::WRITE_ROWS_V1, &row).unwrap();
    }

    fn query(&mut self, sql: &str) {
        let head = [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        self.feed(kind::QUERY, &[&head[..], b"d\0", sql.as_bytes()].concat()).unwrap();
    }

    /// What has come, and what the position says.
    fn window(&mut self) -> (Vec<String>, String) {
        let window = self.decoder.take_window().unwrap();
        let position = self.decoder.position();
        let delivered = position.delivered.map(|delivered| format!(" +{} events", delivered.events));
        let gtids = position.gtids.unwrap().to_string();
        (window.iter().flat_map(draw).collect(), gtids + &delivered.unwrap_or_default())
    }
}

/// A window that ends meanwhile says nothing of them, and whoever goes on at its position reads them again.
#[test]
fn rows_that_wait_for_the_end_of_their_transaction_are_not_delivered() {
    let start = Position::new(Coordinate::new("b.000001", 4), Some("0-1-4".parse().unwrap()));
    let mut server = Mariadb::new(start);
    server.gtid(5, 0x0c).unwrap();
    server.insert(1);
    server.insert(2);
    assert_eq!(server.window(), (vec![], "0-1-4".to_owned()));
    server.query("SAVEPOINT `s`");
    server.insert(3);
    server.query("ROLLBACK TO `s`");
    assert_eq!(server.window(), (vec![], "0-1-4".to_owned()));
    server.feed(kind::XID, &[0; 8]).unwrap();
    assert_eq!(server.window(), (vec!["+I t: 1".to_owned(), "+I t: 2".to_owned()], "0-1-5".to_owned()));
    // Rolled back.
    server.gtid(6, 0x08).unwrap();
    server.insert(4);
    server.query("ROLLBACK");
    assert_eq!(server.window(), (vec![], "0-1-6".to_owned()));
    // A crash has taken its end.
    server.gtid(7, 0x0c).unwrap();
    server.insert(5);
    server.begin_file("b.000002");
    assert_eq!(server.window(), (vec![], "0-1-6".to_owned()));
    server.gtid(7, 0x0c).unwrap();
    server.insert(6);
    server.query("COMMIT");
    assert_eq!(server.window(), (vec!["+I t: 6".to_owned()], "0-1-7".to_owned()));
    let fault = server.gtid(7, 0x0c).unwrap_err().to_string();
    assert!(fault.contains("transaction 0-1-7 comes behind 0-1-7: numbers of a domain must grow"), "{fault}");
}

// ---- a live server --------------------------------------------------------------------------------------------------

fn server() -> Option<ConnectOptions> {
    test_server::options("TIDEGATE_TEST_MYSQL")
}

/// The script of the recording for another database, up to where schemas change.
fn statements(database: &str) -> Vec<String> {
    let script = std::fs::read_to_string(golden("all.sql")).unwrap();
    let script = script.split("-- Savepoints").next().unwrap();
    let lines: Vec<&str> = script.lines().filter(|line| !line.starts_with("-- ")).collect();
    let script = lines.join("\n").replace("golden", database).replace("CREATE DATABASE other;", "");
    script.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

/// How to ask the server for what [`cell`] draws.
fn expression(column: &Column) -> String {
    let name = connection::quote_identifier(&column.name);
    match column.sql_type {
        SqlType::Float | SqlType::Double => format!("{name} + 0e0"),
        SqlType::Bit { .. } => format!("{name} + 0"),
        SqlType::Binary { .. } | SqlType::VarBinary | SqlType::Blob | SqlType::Geometry | SqlType::Vector => {
            format!("HEX({name})")
        }
        _ => name,
    }
}

/// The stream of a server with `binlog_row_metadata=MINIMAL` and schemas from its catalogue, judged by the server's own text of
/// the rows that are left in the end.
#[test]
fn a_live_stream_ends_in_what_the_server_shows() {
    let Some(options) = server() else { return };
    let database = format!("binlog_test_{}", std::process::id());
    let mut connection = Connection::connect(&options).unwrap();
    let status = connection.query("SHOW BINARY LOG STATUS").unwrap();
    let text = |column: usize| String::from_utf8(status[0].rows[0][column].clone().unwrap()).unwrap();
    let start = Position::new(Coordinate::new(text(0), text(1).parse().unwrap()), Some(text(4).parse().unwrap()));
    for statement in statements(&database) {
        connection.query(&statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let end = connection.query("SHOW BINARY LOG STATUS").unwrap();
    let end = String::from_utf8(end[0].rows[0][4].clone().unwrap()).unwrap().parse::<GtidSet>().unwrap();

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tables = runtime.block_on(async {
        let mut control = connection::connect(&options).await.unwrap();
        let matches = |found: &str, _: &str| found == database;
        let selection = Selection { matches: Some(&matches), ..Selection::named(&[]) };
        read_tables(&mut control, &selection).await.unwrap()
    });
    let stored: Vec<StoredSchema> = tables
        .iter()
        .map(|table| StoredSchema {
            table: table.table.name().clone(),
            since: start.coordinate.clone(),
            gtid: None,
            state: SchemaState::Known {
                parts: table.table.clone().into(),
                groundwork: None,
                shown_until: None,
                is_used: false,
            },
        })
        .collect();
    // The CREATE statements that lead to these tables are in the stream as well.
    let captured = database.clone();
    let history = History::new(&stored, &start, Box::new(move |found, _| found == captured), RULES, Box::new(|_| ()));
    let mut decoder = BinlogDecoder::new(start.clone(), Box::new(KnowsTheEnd(history)), windows(2, 1 << 20));
    let request = DumpRequest {
        server_id: 900_000_000 + std::process::id() % 1_000_000,
        start: DumpStart::Gtids(start.gtids.as_ref().unwrap().encode()),
        heartbeat: Duration::from_secs(5),
        non_blocking: true,
    };
    let mut packets = Connection::connect(&options).unwrap().binlog_dump(&request).unwrap();
    let mut windows = Vec::new();
    loop {
        match packets.next(Duration::from_secs(30)).unwrap() {
            Packet::Event(event) => {
                let mut flow = decoder.feed(event).unwrap_or_else(|error| panic!("{error}"));
                while flow == Flow::WindowFull {
                    windows.extend(decoder.take_window().unwrap());
                    flow = decoder.resume(event).unwrap();
                }
            }
            Packet::Idle => panic!("the server has gone quiet"),
            Packet::End => break,
        }
    }
    windows.extend(decoder.take_window().unwrap());
    assert!(position(windows.last().unwrap()).gtids.as_ref().unwrap().contains_set(&end));

    // Replay: what each table holds in the end, in any order.
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for change in drawing(&windows) {
        for image in change.lines() {
            let (kind, rest) = image.split_at(3);
            let (table, row) = rest.split_once(": ").unwrap();
            let rows = rows.entry(table.to_owned()).or_default();
            match kind {
                "+I " | "+U " => rows.push(row.to_owned()),
                _ => {
                    let found = rows.iter().position(|found| found == row);
                    rows.remove(found.unwrap_or_else(|| panic!("{table} has no row {row}")));
                }
            }
        }
    }
    for table in &tables {
        let table = &table.table;
        let expressions: Vec<String> = table.columns().iter().map(expression).collect();
        let sql = format!("SELECT {} FROM {}", expressions.join(", "), connection::quote_table(table.name()));
        let result = connection.query(&sql).unwrap();
        let mut expected: Vec<String> = result[0].rows.iter().map(|row| server_row(table, row)).collect();
        let mut found = rows.remove(&*table.name().table).unwrap_or_default();
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{}", table.name());
        assert!(!found.is_empty());
    }
    connection.query(&format!("DROP DATABASE {database}")).unwrap();
}

fn server_row(table: &Table, row: &[Option<Vec<u8>>]) -> String {
    let cells = table.columns().iter().zip(row).map(|(column, value)| {
        let Some(value) = value else { return "NULL".to_owned() };
        let text = std::str::from_utf8(value).unwrap();
        match column.sql_type {
            SqlType::Float | SqlType::Double => format!("{:e}", text.parse::<f64>().unwrap()),
            _ => text.escape_debug().to_string(),
        }
    });
    cells.collect::<Vec<_>>().join(" | ")
}

/// The catalogue was read after the statements had run; they change nothing more.
struct KnowsTheEnd(History);

impl Schemas for KnowsTheEnd {
    fn table(&mut self, map: &TableMap<'_>, here: Here<'_>) -> Result<Option<Arc<Table>>, Fault> {
        Schemas::table(&mut self.0, map, here)
    }

    fn statement(&mut self, _: &str, _: &str, _: &Session, _: Here<'_>) -> Result<Option<Statement>, Fault> {
        Ok(None)
    }
}

/// The time of a commit, where each kind of transaction says it.
#[test]
fn a_transaction_says_when_it_was_committed() {
    const TIME: u64 = 1_795_809_600_123_456;
    let header = |kind| Header { timestamp_s: 1_795_809_599, kind, server_id: 1, size: 0, end_low32: 0, flags: 0 };
    let of = |kind, body: &[u8]| event::commit_time_us(&header(kind), body);
    // Flags, UUID, number, type of clock and two of its numbers, then the time. The bit above it: that of the first server follows.
    let mut body = vec![0; 1 + 16 + 8 + 1 + 8 + 8];
    body.extend_from_slice(&(TIME | 1 << 55).to_le_bytes()[..7]);
    assert_eq!(of(kind::GTID, &body), TIME);
    assert_eq!(of(kind::ANONYMOUS_GTID, &body), TIME);
    let whole_seconds = 1_795_809_599_000_000;
    // As servers before 8.0 write it, and MariaDB.
    assert_eq!(of(kind::GTID, &body[..42]), whole_seconds);
    assert_eq!(of(kind::MARIADB_GTID, &body), whole_seconds);
    // Version, size, last field that must be understood; fields by number: flags, UUID, number, tag, clock, clock, time.
    let mut body = vec![2, 0, 0, 0, 0, 2];
    body.extend([0; 16]);
    body.extend([4, 8, 6, 6, b't', b'a', b'g', 8, 0, 10, 0, 12, 0xff]);
    body.extend_from_slice(&TIME.to_le_bytes());
    assert_eq!(of(kind::GTID_TAGGED, &body), TIME);
    assert_eq!(of(kind::GTID_TAGGED, &body[..12]), whole_seconds);
}
