//! Stopped after any event, and gone on with at the position that was reported: the changes are those of a decoder that was
//! never stopped.
//!
//! The recording (`tests/golden/binlog/kinds.sql`) holds every way in which a transaction is framed. It is read in every way in
//! which reading goes on: files from a coordinate; the stream of a server without GTIDs, by coordinate; the stream of
//! one with GTIDs, which sends what is missing in the set. Others hold what is done in other ways: by MySQL before 8.0 (`old.sql`, and
//! `old_gtid.sql` with GTIDs), and by MariaDB (`maria.sql`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::tests::{draw, event, event_offsets, rewritten, with_checksum};
use super::*;
use crate::history::{self, RULES, StoredSchema};
use tidegate_model::position::GtidSet;
use tidegate_model::{BinlogFile, Delivered, TableName, Watermark};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Files,
    /// A server without GTIDs.
    Coordinate,
    /// A server with GTIDs.
    Gtids,
    /// MySQL 5.6 without GTIDs.
    Old,
    OldGtids,
    MariadbFiles,
    /// The stream of MariaDB, which sends what is behind the last of each domain.
    Mariadb,
}

impl Way {
    fn has_gtids(self) -> bool {
        matches!(self, Way::Gtids | Way::OldGtids | Way::Mariadb)
    }
}

/// One binlog file.
struct Recorded {
    name: String,
    bytes: Vec<u8>,
}

impl Recorded {
    fn events(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let offsets = event_offsets(&self.bytes);
        let pairs: Vec<(u64, u64)> = offsets.windows(2).map(|pair| (pair[0], pair[1])).collect();
        pairs.into_iter().map(|(start, end)| (start, &self.bytes[start as usize..end as usize]))
    }
}

fn recorded(way: Way) -> Vec<Recorded> {
    let read = |name: &str| {
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/binlog")).join(name);
        let bytes = std::fs::read(path).unwrap();
        let without_gtids = |_: usize, event: &mut Vec<u8>| {
            if matches!(event[4], kind::GTID | kind::GTID_TAGGED) {
                event[4] = kind::ANONYMOUS_GTID;
            }
        };
        let bytes = if way == Way::Coordinate { rewritten(&bytes, true, without_gtids) } else { bytes };
        // The name that the rotation at the end of the file before says.
        Recorded { name: format!("binlog{}", &name[name.len() - ".000001".len()..]), bytes }
    };
    match way {
        Way::Old => vec![read("old.000001"), read("old.000002")],
        Way::OldGtids => vec![read("old_gtid.000001"), read("old_gtid.000002")],
        Way::MariadbFiles | Way::Mariadb => vec![read("maria.000001"), read("maria.000002")],
        _ => vec![read("kinds.000001"), read("kinds.000002")],
    }
}

fn start(way: Way) -> Position {
    let gtids = way.has_gtids().then(GtidSet::default);
    Position::new(Coordinate::new("binlog.000001", 4), gtids).with_beginning(None)
}

enum Step {
    Enter(String, u64),
    Event(Vec<u8>),
}

/// What whoever goes on at `position` reads.
fn steps(way: Way, files: &[Recorded], position: &Position) -> Vec<Step> {
    match way.has_gtids() {
        true => not_in(files, position.gtids.as_ref().unwrap()),
        false => from_coordinate(way, files, &position.coordinate),
    }
}

fn fake_rotate(name: &str, offset: u64) -> Step {
    let body = [&offset.to_le_bytes(), name.as_bytes()].concat();
    Step::Event(with_checksum(event(kind::ROTATE, 0x20, 0, &body)))
}

fn from_coordinate(way: Way, files: &[Recorded], from: &Coordinate) -> Vec<Step> {
    let mut steps = Vec::new();
    for file in files.iter().filter(|file| Coordinate::new(&*file.name, 4).file_number() >= from.file_number()) {
        let offset = if *file.name == *from.file { from.offset } else { 4 };
        steps.push(match way {
            Way::Files | Way::MariadbFiles => Step::Enter(file.name.clone(), offset),
            _ => fake_rotate(&file.name, offset),
        });
        for (at, event) in file.events().filter(|(at, _)| *at == 4 || *at >= offset) {
            let mut event = event.to_vec();
            if at < offset && !matches!(way, Way::Files | Way::MariadbFiles) {
                event.truncate(event.len() - 4);
                event[13..17].fill(0);
                event = with_checksum(event);
            }
            steps.push(Step::Event(event));
        }
    }
    steps
}

/// As a server does: it begins with the first file that has something, and says by a heartbeat how much it leaves out. MariaDB does not say it.
fn not_in(files: &[Recorded], executed: &GtidSet) -> Vec<Step> {
    let mut steps = Vec::new();
    for file in files {
        let mut sent = vec![fake_rotate(&file.name, 4)];
        let mut left_out = None;
        let (mut is_left_out, mut has_any, mut gtid_is_of_domain) = (false, false, false);
        for (at, bytes) in file.events() {
            let body = &bytes[Header::LENGTH..bytes.len() - 4];
            let gtid = match bytes[4] {
                kind::GTID => Some(parse_gtid(body).unwrap()),
                kind::GTID_TAGGED => Some(parse_tagged_gtid(body).unwrap()),
                kind::MARIADB_GTID => {
                    let server = u32::from_le_bytes(bytes[5..9].try_into().unwrap());
                    Some(super::mariadb::parse_gtid(server, body).unwrap().gtid)
                }
                kind::ROTATE => {
                    is_left_out = false;
                    None
                }
                _ => None,
            };
            if let Some(gtid) = gtid {
                is_left_out = executed.contains(&gtid);
                gtid_is_of_domain = gtid.is_of_domain();
                has_any |= !is_left_out;
            }
            if is_left_out {
                left_out = (!gtid_is_of_domain).then_some(at + bytes.len() as u64);
                continue;
            }
            if let Some(end) = left_out.take() {
                sent.push(Step::Event(with_checksum(event(kind::HEARTBEAT, 0, end as u32, file.name.as_bytes()))));
            }
            sent.push(Step::Event(bytes.to_vec()));
        }
        if has_any || !steps.is_empty() {
            steps.extend(sent);
        }
    }
    steps
}

/// Changes and marks in their order.
fn draw_all(window: &Window) -> Vec<String> {
    let mut sequences: Vec<u32> = window.changes.iter().flat_map(|batch| batch.sequence().to_vec()).collect();
    sequences.sort_unstable();
    sequences.dedup();
    let mut drawn: BTreeMap<u32, String> = sequences.into_iter().zip(draw(window)).collect();
    for mark in &window.marks {
        let text = match &mark.kind {
            MarkKind::Begin => format!("BEGIN {}", mark.meta.transaction),
            MarkKind::Commit => format!("COMMIT {}", mark.meta.transaction),
            MarkKind::Heartbeat => unreachable!("not asked for"),
            MarkKind::Statement(statement) => format!("STATEMENT {}", statement.sql),
        };
        assert!(drawn.insert(mark.sequence, text).is_none());
    }
    drawn.into_values().collect()
}

const fn windows(rows: usize) -> WindowOptions {
    WindowOptions {
        rows,
        bytes: usize::MAX,
        marks: MarkOptions { statements: true, transactions: true, heartbeats: false },
    }
}

/// What a task knows of tables, as its checkpoint keeps it.
type Known = BTreeMap<TableName, Vec<StoredSchema>>;

fn decoder(position: Position, rows: usize) -> BinlogDecoder {
    Run::default().decoder(position, rows)
}

/// Everything that is delivered, and the positions with how much was delivered and what was known by then.
#[derive(Default)]
struct Run {
    drawn: Vec<String>,
    positions: Vec<(usize, Position)>,
    known_at: Vec<Known>,
    known: Arc<Mutex<Known>>,
}

impl Run {
    /// One that goes on where the run has come to, with what is known by now.
    fn decoder(&self, position: Position, rows: usize) -> BinlogDecoder {
        let captured = |database: &str, _: &str| database == "golden";
        let stored: Vec<StoredSchema> = self.known.lock().unwrap().values().flatten().cloned().collect();
        let known = self.known.clone();
        let record = move |entry: StoredSchema| {
            history::record(known.lock().unwrap().entry(entry.table.clone()).or_default(), entry);
        };
        let history = History::new(&stored, &position, Box::new(captured), RULES, Box::new(record));
        let mut decoder = BinlogDecoder::new(position, Box::new(history), windows(rows));
        decoder.set_server(SERVER);
        // Most groups go to the file.
        decoder.held.set_memory_max(150);
        decoder
    }

    fn take(&mut self, decoder: &mut BinlogDecoder) {
        if let Some(window) = decoder.take_window().unwrap() {
            self.drawn.extend(draw_all(&window));
            match window.progress {
                Some(Progress::Position(position)) => {
                    // As the checkpoint keeps it.
                    let text = serde_json::to_string(&position).unwrap();
                    assert_eq!(serde_json::from_str::<Position>(&text).unwrap(), position);
                    self.positions.push((self.drawn.len(), position));
                    self.known_at.push(self.known.lock().unwrap().clone());
                }
                other => panic!("no position: {other:?}"),
            }
        }
    }

    /// Feeds the first steps, and ends as a task does that is told to stop.
    fn feed(&mut self, decoder: &mut BinlogDecoder, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Enter(name, offset) => decoder.enter_file(name, *offset).unwrap(),
                Step::Event(event) => {
                    let mut flow = decoder.feed(event).unwrap_or_else(|error| panic!("{error}"));
                    while flow == Flow::WindowFull {
                        self.take(decoder);
                        flow = decoder.resume(event).unwrap_or_else(|error| panic!("{error}"));
                    }
                }
            }
        }
        self.take(decoder);
    }

    fn last(&self, way: Way) -> Position {
        self.positions.last().map_or_else(|| start(way), |(_, position)| position.clone())
    }
}

fn whole(way: Way) -> Run {
    let files = recorded(way);
    let mut run = Run::default();
    run.feed(&mut decoder(start(way), usize::MAX), &steps(way, &files, &start(way)));
    run
}

/// A statement that stands in a transaction with rows (CREATE TABLE … SELECT) may come again if the stop lay between.
fn without_repeated_statements(drawn: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for text in drawn {
        if !(text.starts_with("STATEMENT") && kept.last() == Some(&text)) {
            kept.push(text);
        }
    }
    kept
}

const SERVER: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

const WAYS: [Way; 7] =
    [Way::Files, Way::Coordinate, Way::Gtids, Way::Old, Way::OldGtids, Way::MariadbFiles, Way::Mariadb];

#[test]
fn the_recording_holds_what_it_should() {
    let drawn = whole(Way::Files).drawn;
    assert!(drawn.iter().all(|text| !text.contains("lost") && !text.contains("waits")), "{drawn:#?}");
    for (text, count) in [("+I t:", 15), ("+I s:", 5), ("BEGIN", 15), ("COMMIT", 15), ("+U d:", 2), ("-D t:", 2)] {
        assert_eq!(drawn.iter().filter(|drawn| drawn.contains(text)).count(), count, "{text}: {drawn:#?}");
    }
    // 'first' comes when it is committed.
    let at = |text: &str| drawn.iter().position(|drawn| drawn.contains(text)).unwrap();
    assert!(at("+I s: 3 | 5") < at("+I t: 10 | xa") && at("+I t: 11 | xa") < at("+I s: 4 | 5"));
    assert!(at("+I t: 61 | last") > at("+I t: 21 | z"));
    for way in WAYS {
        let mut small = Run::default();
        small.feed(&mut decoder(start(way), 1), &steps(way, &recorded(way), &start(way)));
        assert_eq!(small.drawn, whole(way).drawn, "{way:?}");
    }
    let drawn = whole(Way::Old).drawn;
    let rows = |text: &str| drawn.iter().filter(|drawn| drawn.starts_with(text)).count();
    assert!(drawn.iter().all(|text| !text.contains("lost")), "{drawn:#?}");
    assert_eq!((rows("+I t"), rows("+I m"), rows("+I s"), rows("+I chosen"), rows("BEGIN")), (13, 3, 3, 3, 11));
    assert_eq!(rows("BEGIN"), rows("COMMIT"));
    let of_mariadb = [14, 4, 7, 5, 19];
    for (way, counts) in
        [(Way::OldGtids, [10, 2, 3, 0, 8]), (Way::MariadbFiles, of_mariadb), (Way::Mariadb, of_mariadb)]
    {
        let drawn = whole(way).drawn;
        assert!(drawn.iter().all(|text| !text.contains("lost") && !text.contains("waits")), "{drawn:#?}");
        let rows = |text: &str| drawn.iter().filter(|drawn| drawn.starts_with(text)).count();
        assert_eq!(["+I t", "+I m", "+I s", "+I chosen", "BEGIN"].map(rows), counts, "{way:?}: {drawn:#?}");
        assert_eq!(rows("BEGIN"), rows("COMMIT"));
    }
}

#[test]
fn stopped_after_any_event_nothing_is_lost_and_nothing_repeated() {
    for way in WAYS {
        let files = recorded(way);
        let expected = whole(way).drawn;
        let all = steps(way, &files, &start(way));
        for rows in [usize::MAX, 1] {
            for end in 0..=all.len() {
                let mut run = Run::default();
                run.feed(&mut run.decoder(start(way), rows), &all[..end]);
                let position = run.last(way);
                run.feed(&mut run.decoder(position.clone(), rows), &steps(way, &files, &position));
                let drawn = without_repeated_statements(run.drawn);
                assert_eq!(drawn, expected, "{way:?}: stopped after event {end} at {position}");
            }
        }
    }
}

/// As by kill -9: what came after a window that was delivered counts for nothing, also in the middle of an event.
#[test]
fn killed_after_any_window_nothing_is_lost_and_nothing_repeated() {
    for way in WAYS {
        let files = recorded(way);
        let expected = whole(way).drawn;
        let mut run = Run::default();
        run.feed(&mut run.decoder(start(way), 1), &steps(way, &files, &start(way)));
        let windows_min = if matches!(way, Way::Old | Way::OldGtids) { 25 } else { 40 };
        assert!(run.positions.len() > windows_min, "{way:?}: {} windows", run.positions.len());
        for ((delivered, position), known) in run.positions.into_iter().zip(run.known_at) {
            let mut rest = Run { known: Arc::new(Mutex::new(known)), ..Run::default() };
            rest.feed(&mut rest.decoder(position.clone(), 1), &steps(way, &files, &position));
            let drawn = [&expected[..delivered], &rest.drawn].concat();
            assert_eq!(without_repeated_statements(drawn), expected, "{way:?}: killed at {position}");
        }
    }
}

#[test]
fn stopped_again_and_again_nothing_is_lost_and_nothing_repeated() {
    let seed = 11;
    let mut random = fastrand::Rng::with_seed(seed);
    for way in WAYS {
        let files = recorded(way);
        let expected = whole(way).drawn;
        for round in 0..200 {
            let mut run = Run::default();
            let mut coordinate = start(way).coordinate;
            for _ in 0..random.usize(2..8) {
                let position = run.last(way);
                let next = steps(way, &files, &position);
                let end = random.usize(..=next.len().min(40));
                run.feed(&mut run.decoder(position, random.usize(1..4)), &next[..end]);
                let here = run.last(way).coordinate;
                // By GTID, coordinates never fall. By coordinate they do for what is prepared, and so cannot rise above it.
                assert!(!way.has_gtids() || here >= coordinate, "{here} after {coordinate}, round {round}");
                coordinate = here;
            }
            let position = run.last(way);
            run.feed(&mut run.decoder(position.clone(), 2), &steps(way, &files, &position));
            let drawn = without_repeated_statements(run.drawn);
            assert_eq!(drawn, expected, "{way:?}: round {round}, seed {seed}, last at {position}");
        }
    }
}

/// What is only held is not counted, and a count is that of one transaction.
#[test]
fn a_count_of_events_belongs_to_one_transaction() {
    let files = recorded(Way::Coordinate);
    let all = steps(Way::Coordinate, &files, &start(Way::Coordinate));
    let mut run = Run::default();
    run.feed(&mut decoder(start(Way::Coordinate), 1), &all);
    let halves: Vec<&Position> = run
        .positions
        .iter()
        .map(|(_, position)| position)
        .filter(|position| position.delivered.as_ref().is_some_and(|delivered| delivered.events > 0))
        .collect();
    // Behind a prepared transaction as well: it holds the coordinate back, and has no part in the count.
    assert!(halves.iter().any(|position| position.delivered.as_ref().unwrap().until > position.coordinate));
    for position in halves {
        let mut other = position.clone();
        let delivered = other.delivered.as_mut().unwrap();
        delivered.gtid = serde_json::from_str("\"aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:9\"").unwrap();
        let mut rest = Run::default();
        rest.feed(&mut decoder(other, 1), &steps(Way::Coordinate, &files, position));
        let mut exact = Run::default();
        exact.feed(&mut decoder(position.clone(), 1), &steps(Way::Coordinate, &files, position));
        assert!(rest.drawn.ends_with(&exact.drawn) && rest.drawn.len() > exact.drawn.len(), "{position}");
    }
}

/// Each position names the file that it is in, also between two files; and a file that is left has said so, or not.
#[test]
fn positions_know_their_files() {
    for way in [Way::Coordinate, Way::Gtids] {
        let files = recorded(way);
        let made_s = |name: &str| {
            let file = files.iter().find(|file| file.name == name).unwrap();
            u32::from_le_bytes(file.bytes[4..8].try_into().unwrap())
        };
        let check = |position: &Position| {
            let made_s = made_s(&position.coordinate.file);
            assert_eq!(position.file, Some(BinlogFile { server: SERVER.into(), made_s }), "{way:?} {position}");
        };
        for has_rotation in [true, false] {
            let mut decoder = decoder(start(way), usize::MAX);
            let mut left = Vec::new();
            for step in steps(way, &files, &start(way)) {
                let Step::Event(event) = step else { unreachable!("of files") };
                let header = Header::parse(&event).unwrap();
                if header.kind == kind::ROTATE && !header.is_artificial() && !has_rotation {
                    continue;
                }
                let mut flow = decoder.feed(&event).unwrap_or_else(|error| panic!("{error}"));
                while flow == Flow::WindowFull {
                    decoder.take_window().unwrap();
                    flow = decoder.resume(&event).unwrap_or_else(|error| panic!("{error}"));
                }
                // The first event names a file of which nothing is known yet.
                if decoder.position().coordinate != start(way).coordinate {
                    check(&decoder.position());
                }
                left.extend(decoder.take_left());
            }
            let [(position, is_announced)] = &left[..] else { panic!("{left:?}") };
            check(position);
            assert_eq!((&*position.coordinate.file, *is_announced), ("binlog.000001", has_rotation), "{way:?}");
            let rotation = files[0].events().last().unwrap();
            let end = rotation.0 + if has_rotation { rotation.1.len() as u64 } else { 0 };
            assert_eq!(position.coordinate.offset, end);
        }
    }
}

/// Between the question and the dump, a server may begin its history anew. By GTID, an older file may be gone rightly.
#[test]
fn a_file_of_the_same_name_is_not_the_same() {
    for way in [Way::Coordinate, Way::Gtids] {
        let file = Some(BinlogFile { server: SERVER.into(), made_s: 7 });
        let mut decoder = decoder(Position { file, ..start(way) }, usize::MAX);
        let result = steps(way, &recorded(way), &start(way)).iter().take(2).try_for_each(|step| match step {
            Step::Event(event) => decoder.feed(event).map(|_| ()),
            Step::Enter(..) => unreachable!("of files"),
        });
        let is_refused = result.is_err_and(|error| matches!(*error.fault, Fault::OtherFile));
        assert_eq!(is_refused, way == Way::Coordinate);
    }
}

/// On another server, a position stays the old one until something new has come.
#[test]
fn after_a_failover_a_position_keeps_its_file() {
    let files = recorded(Way::Gtids);
    let executed = whole(Way::Gtids).last(Way::Gtids).gtids;
    let file = Some(BinlogFile { server: "another".into(), made_s: 7 });
    let position = Position { file: file.clone(), ..Position::new(Coordinate::new("other.000009", 900), executed) };
    let mut decoder = decoder(position.clone(), usize::MAX);
    Run::default().feed(&mut decoder, &steps(Way::Gtids, &files, &start(Way::Gtids))[..2]);
    assert_eq!(decoder.position(), position);
}

// ---- XA transactions that are not read ------------------------------------------------------------------------------

/// Reads the second file alone.
fn second_file(xa: Option<Position>) -> (Vec<String>, Option<BinlogError>) {
    second_file_passing(xa, &[])
}

fn second_file_passing(xa: Option<Position>, pass: &[Coordinate]) -> (Vec<String>, Option<BinlogError>) {
    let files = recorded(Way::Gtids);
    let position = xa.unwrap_or_else(|| start(Way::Files));
    let mut decoder =
        decoder(Position { coordinate: Coordinate::new("binlog.000002", 4), ..position }, usize::MAX).passing(pass);
    let mut error = None;
    for step in from_coordinate(Way::Files, &files[1..], &Coordinate::new("binlog.000002", 4)) {
        let fed = match &step {
            Step::Enter(name, offset) => decoder.enter_file(name, *offset),
            Step::Event(event) => decoder.feed(event).map(|_| ()),
        };
        if let Err(stopped) = fed {
            error = Some(stopped);
            break;
        }
    }
    (decoder.take_window().unwrap().map_or(Vec::new(), |window| draw_all(&window)), error)
}

#[test]
fn an_xa_commit_of_what_was_prepared_before_the_start_stops() {
    let (drawn, error) = second_file(None);
    let error = error.unwrap();
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(error.to_string().contains(&format!("XA COMMIT of X'{}'", hex("without"))), "{error}");
    assert!(error.to_string().starts_with("binlog binlog.000002:") && error.hint().is_some(), "{error}");
    // The rollback before it needs no rows; what came before the stop is worth delivering.
    assert!(drawn.len() == 3 && drawn[1] == "+I s: 5 | 5", "{drawn:?}");

    // One that is known to have had no rows passes; the next stops.
    let mut position = start(Way::Files);
    position.xa.as_mut().unwrap().without_rows.insert(format!("X'{}',X'',1", hex("without")));
    let error = second_file(Some(position)).1.unwrap();
    assert!(error.to_string().contains(&hex("packed")), "{error}");

    // What ended before the task began needs no rows, by GTID and by coordinate.
    let (all, executed) = (whole(Way::Files).drawn, whole(Way::Gtids).last(Way::Gtids).gtids.unwrap());
    let end = Watermark::Coordinate(Coordinate::new("binlog.000009", 4));
    for began in [Watermark::Gtids(executed), end] {
        let (drawn, error) = second_file(Some(start(Way::Files).with_beginning(Some(began))));
        assert!(error.is_none() && drawn.last() == all.last(), "{error:?} {drawn:?}");
    }

    // Each is passed over by its place, and no other.
    let (mut pass, mut stops) = (Vec::new(), 0);
    let (drawn, error) = loop {
        let (drawn, error) = second_file_passing(None, &pass);
        let Some(stopped) = error else { break (drawn, error) };
        assert!(stopped.may_be_passed(), "{stopped}");
        pass.push(stopped.at.clone());
        stops += 1;
    };
    assert!(stops >= 2 && error.is_none() && drawn.last() == all.last(), "{stops} {drawn:?}");

    // A position of an earlier version knows nothing, and only warns.
    let unknown = Position { xa: None, ..start(Way::Files) };
    assert!(second_file(Some(unknown)).1.is_none());
}

// ---- marks ----------------------------------------------------------------------------------------------------------

/// A rollback of what was delivered before the restart is no less of an error.
#[test]
fn a_rollback_after_the_restart_is_noticed() {
    let files = recorded(Way::Files);
    let mut xids = 0;
    let rolled_back = rewritten(&files[0].bytes, true, |_, event| {
        if event[4] == kind::XID {
            xids += 1;
            if xids == 1 {
                event[4] = kind::QUERY;
                event.truncate(Header::LENGTH);
                event.extend([0; 13]);
                event.extend(b"\0ROLLBACK");
            }
        }
    });
    let files = [Recorded { name: "binlog.000001".to_owned(), bytes: rolled_back }];
    let steps_from = |position: &Position| steps(Way::Files, &files, position);
    let fails = |decoder: &mut BinlogDecoder, steps: Vec<Step>, run: &mut Run| {
        for step in steps {
            let mut flow = match &step {
                Step::Enter(name, offset) => decoder.enter_file(name, *offset).map(|()| Flow::Continue),
                Step::Event(event) => decoder.feed(event),
            };
            while matches!(flow, Ok(Flow::WindowFull)) {
                run.take(decoder);
                let Step::Event(event) = &step else { unreachable!("a file fills no window") };
                flow = decoder.resume(event);
            }
            if let Err(error) = flow {
                return error.to_string();
            }
        }
        panic!("no error")
    };
    let mut run = Run::default();
    let error = fails(&mut decoder(start(Way::Files), 1), steps_from(&start(Way::Files)), &mut run);
    assert!(error.contains("ends with a rollback"), "{error}");
    let half = run.last(Way::Files);
    assert_eq!(half.delivered.as_ref().unwrap().events, 4);
    let error = fails(&mut decoder(half.clone(), 1), steps_from(&half), &mut Run::default());
    assert!(error.contains("ends with a rollback"), "{error}");
}

/// Earlier versions sent rows of MySQL 5.6 before they knew how their transaction ends. Where such a one has stopped behind rows that
/// were rolled back, the next one does not go on as if nothing were wrong; elsewhere it does.
#[test]
fn a_rollback_of_what_an_earlier_version_has_sent_is_noticed() {
    let files = recorded(Way::Old);
    let stops = |begin: u64, events: u64| {
        let until = Coordinate::new("binlog.000001", begin);
        let delivered = Some(Delivered { until, gtid: None, events, gtids: None });
        let position = Position { delivered, ..start(Way::Old) };
        let mut decoder = decoder(position.clone(), usize::MAX);
        let error = steps(Way::Old, &files, &position).iter().find_map(|step| match step {
            Step::Event(event) => decoder.feed(event).err(),
            Step::Enter(..) => unreachable!("a stream"),
        });
        error.is_some_and(|error| matches!(*error.fault, Fault::RolledBack))
    };
    // Rolled back as a whole.
    assert!((1..=4).all(|events| stops(1833, events)));
    // Of seven events, what is behind the first and before the last two.
    let stopping: Vec<u64> = (0..=7).filter(|&events| stops(3689, events)).collect();
    assert_eq!(stopping, [2, 3, 4, 5]);
}

#[test]
fn heartbeats_wait_for_the_end_of_the_binlog_and_never_go_back() {
    let files = recorded(Way::Gtids);
    let all = steps(Way::Gtids, &files, &start(Way::Gtids));
    let heartbeat = |end: u64| with_checksum(event(kind::HEARTBEAT, 0, end as u32, b"binlog.000002"));
    let options =
        WindowOptions { marks: MarkOptions { heartbeats: true, ..MarkOptions::default() }, ..windows(99_999) };
    let mut run = Run::default();
    run.feed(&mut decoder(start(Way::Gtids), usize::MAX), &all);
    let position = run.last(Way::Gtids);
    let offsets = event_offsets(&files[1].bytes);
    let end = Coordinate::new("binlog.000002", offsets[offsets.len() - 2]);
    // Everything but what is prepared has been read; the server begins again at the first file.
    let reached = Position { coordinate: Coordinate::new("binlog.000002", end.offset - 10), ..position };
    let history = History::new(&[], &reached, Box::new(|_, _| true), RULES, Box::new(|_| ()));
    let mut decoder = BinlogDecoder::new(reached.clone(), Box::new(history), options);
    decoder.set_heartbeats_from(end.clone());
    let mut fed = 0;
    for step in steps(Way::Gtids, &files, &reached) {
        let Step::Event(event) = step else { unreachable!("a stream") };
        if event == heartbeat(end.offset) {
            break;
        }
        decoder.feed(&event).unwrap();
        fed += 1;
    }
    decoder.feed(&heartbeat(0)).unwrap();
    assert!(fed > 3);
    let window = decoder.take_window().unwrap();
    assert!(window.is_none_or(|window| window.marks.is_empty()), "not before the end");
    decoder.feed(&heartbeat(end.offset)).unwrap();
    let window = decoder.take_window().unwrap().unwrap();
    assert_eq!(window.marks.len(), 1);
    assert_eq!(window.marks[0].meta.coordinate, end);
}

// ---- compressed transactions ----------------------------------------------------------------------------------------

#[test]
fn an_event_that_unpacks_to_more_than_allowed_is_an_error() {
    let files = recorded(Way::Files);
    let mut decoder = decoder(start(Way::Files), usize::MAX).with_event_bytes_max(40);
    let error = from_coordinate(Way::Files, &files, &start(Way::Files).coordinate).iter().find_map(|step| match step {
        Step::Enter(name, offset) => decoder.enter_file(name, *offset).err(),
        Step::Event(event) => decoder.feed(event).err(),
    });
    let error = error.unwrap();
    assert!(matches!(*error.fault, Fault::EventTooLarge { bytes_max: 40, .. }), "{error}");
    assert!(error.hint().unwrap().contains("larger events"), "{error}");
}

/// The server stores what does not get smaller as it is.
#[test]
fn a_payload_that_is_not_compressed_says_the_same() {
    let mut count = 0;
    let files: Vec<Recorded> = recorded(Way::Files)
        .into_iter()
        .map(|file| {
            let bytes = rewritten(&file.bytes, true, |_, event| {
                if event[4] != kind::TRANSACTION_PAYLOAD {
                    return;
                }
                count += 1;
                let mut input = Input::new(&event[Header::LENGTH..]);
                while input.lenenc().unwrap() != 0 {
                    input.lenenc_bytes().unwrap();
                }
                let plain = zstd::stream::decode_all(input.rest()).unwrap();
                event.truncate(Header::LENGTH);
                event.extend([2, 3, 252, 255, 0, 0]);
                event.extend(plain);
            });
            Recorded { bytes, ..file }
        })
        .collect();
    assert_eq!(count, 2);
    for rows in [1, usize::MAX] {
        let mut run = Run::default();
        // The offsets are others, and with them the marks.
        run.feed(&mut decoder(start(Way::Files), rows), &steps(Way::Files, &files, &start(Way::Files)));
        let without_marks = |drawn: Vec<String>| -> Vec<String> {
            drawn.into_iter().filter(|text| !text.starts_with("BEGIN") && !text.starts_with("COMMIT")).collect()
        };
        assert_eq!(without_marks(run.drawn), without_marks(whole(Way::Files).drawn));
    }
}
