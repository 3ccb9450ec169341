//! Tables of all shapes, cut.

use std::sync::Arc;

use super::cut::Prober;
use super::sql::{param, parse_key};
use super::*;
use crate::wire::{Param, WireError};
use tidegate_model::Column;
use tidegate_model::{TableName, TableParts, UniqueKey};

/// A table in memory: its keys in order, an estimate as wrong as `error`, and what was asked.
struct Keys {
    keys: Vec<Vec<i128>>,
    /// Estimates are multiplied by numbers up to this, or divided.
    error: u64,
    random: fastrand::Rng,
    estimates: usize,
    /// So many of the first estimates are 10.
    tens: usize,
}

impl Keys {
    fn new(keys: impl IntoIterator<Item = Vec<i128>>) -> Keys {
        let mut keys: Vec<Vec<i128>> = keys.into_iter().collect();
        keys.sort();
        Keys { keys, error: 1, random: fastrand::Rng::with_seed(1), estimates: 0, tens: 0 }
    }

    fn single(keys: impl IntoIterator<Item = i128>) -> Keys {
        Keys::new(keys.into_iter().map(|key| vec![key]))
    }
}

fn is_before(key: &[i128], border: &[KeyValue]) -> bool {
    for (key, border) in key.iter().zip(border) {
        let KeyValue::Int(border) = border else { panic!("keys in memory are integers") };
        match key.cmp(border) {
            Ordering::Equal => {}
            other => return other == Ordering::Less,
        }
    }
    false
}

fn contains(range: &KeyRange, key: &[i128]) -> bool {
    range.lower.as_ref().is_none_or(|lower| !is_before(key, lower))
        && range.upper.as_ref().is_none_or(|upper| is_before(key, upper))
}

impl Prober for Keys {
    fn first_is_unique(&self) -> bool {
        self.keys.windows(2).all(|pair| pair[0][0] != pair[1][0])
    }

    fn bounds(&mut self) -> Result<Option<(i128, i128)>, WireError> {
        Ok(self.keys.first().map(|key| key[0]).zip(self.keys.last().map(|key| key[0])))
    }

    fn estimate(&mut self, low: i128, high: i128) -> Result<Option<u64>, WireError> {
        self.estimates += 1;
        if self.estimates <= self.tens {
            return Ok(Some(10));
        }
        let rows = self.keys.iter().filter(|key| (low..=high).contains(&key[0])).count() as u64;
        let factor = self.random.u64(1..=self.error);
        Ok(Some(if self.random.bool() { rows * factor } else { rows / factor }))
    }

    fn holds_rows(&mut self, range: &KeyRange) -> Result<bool, WireError> {
        Ok(self.keys.iter().any(|key| contains(range, key)))
    }

    fn key_after(&mut self, range: &KeyRange, rows: u64) -> Result<Option<Vec<KeyValue>>, WireError> {
        let border = |key: &[i128]| key.iter().copied().map(KeyValue::Int).collect::<Vec<_>>();
        let beyond = self.keys.iter().filter(|key| contains(range, key));
        let mut beyond = beyond.filter(|key| range.lower.as_ref() != Some(&border(key)));
        Ok(beyond.nth(rows as usize).map(|key| border(key)))
    }
}

fn key_of(orders: &[KeyOrder]) -> ChunkKey {
    let column = |(index, &order)| KeyColumn { name: format!("k{index}"), order, collation: None };
    ChunkKey { columns: orders.iter().enumerate().map(column).collect(), identifies: true }
}

/// Cuts, checks that every key lies in exactly one range, and returns how many keys each range holds.
fn cut_all(keys: &mut Keys, key: &ChunkKey, chunk_rows: u64) -> Vec<usize> {
    let mut ranges: Vec<KeyRange> = Vec::new();
    cut::<WireError>(keys, key, None, chunk_rows, &mut |range| {
        ranges.push(range);
        Ok(())
    })
    .unwrap();
    assert_eq!(ranges[0].lower, None);
    assert_eq!(ranges[ranges.len() - 1].upper, None);
    assert!(ranges.windows(2).all(|pair| pair[0].upper == pair[1].lower && pair[0].upper.is_some()));
    let counts: Vec<usize> =
        ranges.iter().map(|range| keys.keys.iter().filter(|key| contains(range, key)).count()).collect();
    assert_eq!(counts.iter().sum::<usize>(), keys.keys.len());
    counts
}

fn cut_integers(keys: &mut Keys, chunk_rows: u64) -> Vec<usize> {
    cut_all(keys, &key_of(&[KeyOrder::Integer]), chunk_rows)
}

#[test]
fn an_empty_or_small_table_is_one_chunk() {
    assert_eq!(cut_integers(&mut Keys::single([]), 10), [0]);
    assert_eq!(cut_integers(&mut Keys::single([5]), 10), [1]);
    assert_eq!(cut_integers(&mut Keys::single([i128::from(u64::MAX)]), 1), [1]);
    assert_eq!(cut_integers(&mut Keys::single(0..15), 10), [15]);
    assert_eq!(cut_all(&mut Keys::new([vec![], vec![]]), &key_of(&[]), 1), [2]);
}

#[test]
fn dense_keys_are_cut_evenly_with_few_questions() {
    let mut keys = Keys::single(1..=10_000);
    let counts = cut_integers(&mut keys, 100);
    assert!(counts.iter().all(|&count| (50..=150).contains(&count)), "{counts:?}");
    assert!(keys.estimates < 2 * counts.len(), "{} estimates", keys.estimates);
}

/// What MySQL answers where rows come and go while it counts.
#[test]
fn a_table_is_cut_although_the_server_has_not_counted_it() {
    for step in [1, 3, 1_000_000_000_007] {
        for tens in 1..4 {
            let mut keys = Keys { tens, ..Keys::single((0..10_000).map(|key| key * step)) };
            let counts = cut_integers(&mut keys, 100);
            assert!(counts.iter().all(|&count| count <= 160), "{step} {tens} {counts:?}");
            assert!(keys.estimates < 10 * counts.len(), "{step} {tens} {} estimates", keys.estimates);
        }
    }
}

#[test]
fn a_few_values_far_out_cost_little() {
    let far = [i128::from(i64::MIN), i128::from(u64::MAX) - 1, i128::from(u64::MAX)];
    let mut keys = Keys::single((1..=1000).chain(far));
    let counts = cut_integers(&mut keys, 100);
    assert!(counts.iter().all(|&count| count <= 150), "{counts:?}");
    assert!(counts.len() < 20 && keys.estimates < 400, "{} chunks, {} estimates", counts.len(), keys.estimates);
}

#[test]
fn gaps_and_clusters_make_even_chunks() {
    let mut random = fastrand::Rng::with_seed(3);
    let clusters = (0..20).map(|_| random.i64(i64::MIN / 2..i64::MAX / 2)).collect::<Vec<_>>();
    let mut all = std::collections::BTreeSet::new();
    for cluster in clusters {
        all.extend((0..random.i64(1..500)).map(|offset| i128::from(cluster + offset * random.i64(1..4))));
    }
    let mut keys = Keys::single(all);
    let counts = cut_integers(&mut keys, 100);
    assert!(counts.iter().all(|&count| count <= 200), "{counts:?}");
    assert!(counts.len() <= keys.keys.len() / 40, "{} chunks of {} keys", counts.len(), keys.keys.len());
}

#[test]
fn wrong_estimates_lose_nothing() {
    for (error, chunks_min) in [(2, 25), (5, 10), (1000, 1)] {
        let mut keys = Keys::single((0..5000).map(|key| key * key));
        keys.error = error;
        let counts = cut_integers(&mut keys, 100);
        assert!(counts.len() >= chunks_min, "{counts:?}");
    }
}

#[test]
fn a_column_without_index_is_not_cut() {
    struct Unindexed;
    impl Prober for Unindexed {
        fn first_is_unique(&self) -> bool {
            false
        }
        fn bounds(&mut self) -> Result<Option<(i128, i128)>, WireError> {
            Ok(Some((0, 1_000_000)))
        }
        fn estimate(&mut self, _: i128, _: i128) -> Result<Option<u64>, WireError> {
            Ok(None)
        }
        fn holds_rows(&mut self, _: &KeyRange) -> Result<bool, WireError> {
            Ok(true)
        }
        fn key_after(&mut self, _: &KeyRange, _: u64) -> Result<Option<Vec<KeyValue>>, WireError> {
            Ok(None)
        }
    }
    let mut ranges = Vec::new();
    let mut emit = |range| {
        ranges.push(range);
        Ok::<(), WireError>(())
    };
    cut(&mut Unindexed, &key_of(&[KeyOrder::Integer]), None, 10, &mut emit).unwrap();
    assert_eq!(ranges, [KeyRange::default()]);
}

#[test]
fn other_keys_are_cut_at_every_nth_key() {
    let mut keys = Keys::single((0..1000).map(|key| key * 7));
    let counts = cut_all(&mut keys, &key_of(&[KeyOrder::Server]), 100);
    assert!(counts[..counts.len() - 1].iter().all(|&count| (100..=101).contains(&count)), "{counts:?}");
}

#[test]
fn borders_of_text_that_do_not_grow_are_not_used() {
    /// A column of a set whose characters the server can only send as `?`, which lies before all of them.
    struct Unsendable;
    impl Prober for Unsendable {
        fn first_is_unique(&self) -> bool {
            true
        }
        fn bounds(&mut self) -> Result<Option<(i128, i128)>, WireError> {
            Ok(None)
        }
        fn estimate(&mut self, _: i128, _: i128) -> Result<Option<u64>, WireError> {
            Ok(None)
        }
        fn holds_rows(&mut self, range: &KeyRange) -> Result<bool, WireError> {
            Ok(range.upper != Some(vec![KeyValue::Text("?b".into())]))
        }
        fn key_after(&mut self, range: &KeyRange, _: u64) -> Result<Option<Vec<KeyValue>>, WireError> {
            // For ever.
            let sent = match range.lower.as_deref() {
                None => "m",
                Some([KeyValue::Text(lower)]) if lower == "m" => "x",
                Some([KeyValue::Text(lower)]) if lower == "x" => "?b",
                _ => "x",
            };
            Ok(Some(vec![KeyValue::Text(sent.into())]))
        }
    }
    let mut uppers = Vec::new();
    cut::<WireError>(&mut Unsendable, &key_of(&[KeyOrder::Server]), None, 10, &mut |range| {
        uppers.push(range.upper);
        Ok(())
    })
    .unwrap();
    let border = |text: &str| Some(vec![KeyValue::Text(text.into())]);
    assert_eq!(uppers, [border("m"), border("x"), None]);
}

#[test]
fn a_composite_key_is_cut_within_a_value_that_has_many_rows() {
    let many = (0..1000).map(|second| vec![5, second]);
    let few = (0..100).flat_map(|first| (0..3).map(move |second| vec![first * 10, second]));
    let mut keys = Keys::new(many.chain(few));
    let counts = cut_all(&mut keys, &key_of(&[KeyOrder::Integer, KeyOrder::Integer]), 100);
    assert!(counts.iter().all(|&count| count <= 201), "{counts:?}");
    assert!(counts.len() < 25, "{counts:?}");
}

#[test]
fn duplicates_of_a_named_column_stay_together() {
    let mut keys =
        Keys::single((0..1000).flat_map(|key| std::iter::repeat_n(key / 3, 1 + (key == 500) as usize * 300)));
    let counts = cut_integers(&mut keys, 100);
    assert!(counts.iter().all(|&count| count <= 303 + 150) && counts.len() >= 8, "{counts:?}");
}

#[test]
fn cutting_goes_on_where_it_was_stopped() {
    let key = key_of(&[KeyOrder::Integer, KeyOrder::Integer]);
    let many = (0..500).map(|second| vec![5, second]);
    let mut keys = Keys::new(many.chain((6..500).map(|first| vec![first, 0])));
    for stop_after in 1..9 {
        let mut ranges: Vec<KeyRange> = Vec::new();
        let mut emit = |range: KeyRange| {
            ranges.push(range);
            if ranges.len() == stop_after {
                return Err(WireError::Parameters { expected: 0, given: 0 });
            }
            Ok(())
        };
        let stopped = cut(&mut keys, &key, None, 100, &mut emit).is_err();
        if stopped {
            let from = ranges[ranges.len() - 1].upper.clone();
            cut::<WireError>(&mut keys, &key, from, 100, &mut |range| {
                ranges.push(range);
                Ok(())
            })
            .unwrap();
        }
        assert!(ranges.windows(2).all(|pair| pair[0].upper == pair[1].lower));
        let counts: Vec<usize> =
            ranges.iter().map(|range| keys.keys.iter().filter(|key| contains(range, key)).count()).collect();
        assert_eq!(counts.iter().sum::<usize>(), keys.keys.len());
        assert!(counts.iter().all(|&count| count <= 201), "{counts:?}");
    }
}

fn column(name: &str, sql_type: SqlType, nullable: bool) -> Column {
    Column { name: name.into(), sql_type, type_text: String::new(), nullable, charset: None, collation: None }
}

#[test]
fn composite_borders_are_written_out_column_by_column() {
    let int = SqlType::Int { bytes: 4, unsigned: false };
    let columns = vec![column("a", int.clone(), false), column("b`", SqlType::VarChar, false), column("c", int, true)];
    let table = Table::from(TableParts {
        name: TableName::new("d", "t"),
        version: 1,
        columns,
        unique_keys: vec![UniqueKey { name: "PRIMARY".into(), columns: vec![0, 1] }],
    });
    let range = KeyRange {
        lower: Some(vec![KeyValue::Int(1), KeyValue::Text("x".into())]),
        upper: Some(vec![KeyValue::Int(2)]),
    };
    let mut params = Vec::new();
    assert_eq!(
        range.condition(&table, &ChunkKey::of(&table), &mut params),
        "((`a` > ?) OR (`a` = ? AND `b``` >= ?)) AND (`a` < ?)"
    );
    assert_eq!(params, [Param::I64(1), Param::I64(1), Param::Text("x".into()), Param::I64(2)]);
    let mut params = Vec::new();
    let range = KeyRange { lower: None, upper: Some(vec![KeyValue::Int(7)]) };
    let named = ChunkKey::column(&table, 2);
    assert!(!named.identifies);
    assert!(
        ChunkKey::column(&Table::from(TableParts { unique_keys: Vec::new(), ..table.clone().into() }), 2).identifies
    );
    assert_eq!(range.condition(&table, &named, &mut params), "((`c` < ?) OR `c` IS NULL)");
    assert_eq!(KeyRange::default().condition(&table, &named, &mut params), "");
}

#[test]
fn numbers_of_enums_and_sets_are_named_one_by_one() {
    let labels: Arc<[String]> = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
    let int = SqlType::Int { bytes: 4, unsigned: false };
    let table = |first: SqlType| {
        Table::from(TableParts {
            name: TableName::new("d", "t"),
            version: 1,
            columns: vec![column("e", first, false), column("id", int.clone(), false)],
            unique_keys: vec![UniqueKey { name: "PRIMARY".into(), columns: vec![0, 1] }],
        })
    };
    let by_enum = table(SqlType::Enum { labels: labels.clone() });
    let border = |numbers: &[i128]| (!numbers.is_empty()).then(|| numbers.iter().copied().map(KeyValue::Int).collect());
    for (lower, upper, condition, expected) in [
        (
            &[2, 50][..],
            &[5, 7][..],
            "((`e` = 2 AND (`id` >= ?)) OR (`e` = 5 AND (`id` < ?)) OR `e` IN (3, 4))",
            &[50, 7][..],
        ),
        (&[2, 50], &[2, 70], "((`e` = 2 AND (`id` >= ?) AND (`id` < ?)))", &[50, 70]),
        (&[2], &[2, 70], "((`e` = 2 AND (`id` < ?)))", &[70]),
        (&[2], &[3], "((`e` = 2))", &[]),
        (&[2, 50], &[2], "FALSE", &[]),
        (&[4, 1], &[], "((`e` = 4 AND (`id` >= ?)) OR `e` IN (5))", &[1]),
        (&[], &[2], "(`e` IN (0, 1))", &[]),
        (&[], &[0, 9], "((`e` = 0 AND (`id` < ?)))", &[9]),
        (&[], &[], "", &[]),
    ] {
        let range = KeyRange { lower: border(lower), upper: border(upper) };
        let mut params = Vec::new();
        assert_eq!(range.condition(&by_enum, &ChunkKey::of(&by_enum), &mut params), condition);
        assert_eq!(params, expected.iter().copied().map(Param::I64).collect::<Vec<_>>());
    }
    let range = KeyRange { lower: border(&[30, 1]), upper: None };
    let by_set = table(SqlType::Set { labels });
    let mut params = Vec::new();
    let condition = range.condition(&by_set, &ChunkKey::of(&by_set), &mut params);
    assert_eq!(condition, "((`e` = 30 AND (`id` >= ?)) OR `e` IN (31))");
}

#[test]
fn a_border_is_compared_as_the_value_it_was_read_as() {
    let check = |sql_type: SqlType, text: &str, value: KeyValue, expected: Param| {
        assert_eq!(parse_key(&sql_type, text.as_bytes()), Some(value.clone()), "{text}");
        assert_eq!(param(&sql_type, &value), expected, "{text}");
    };
    let text = |text: &str| Param::Text(text.into());
    let bigint = SqlType::Int { bytes: 8, unsigned: true };
    check(bigint, "18446744073709551615", KeyValue::Int(u64::MAX.into()), Param::U64(u64::MAX));
    let decimal = SqlType::Decimal { precision: 10, scale: 2 };
    check(decimal.clone(), "-0.05", KeyValue::Int(-5), Param::Decimal("-0.05".into()));
    check(decimal, "12.50", KeyValue::Int(1250), Param::Decimal("12.50".into()));
    let packed = 2010 << 9 | 10;
    check(SqlType::Date, "2010-00-10", KeyValue::Int(packed), text("2010-00-10"));
    let datetime = SqlType::DateTime { fraction: 3 };
    let value = KeyValue::Int(packed << 37 | 3_661_500_000);
    check(datetime, "2010-00-10 01:01:01.500", value, text("2010-00-10 01:01:01.500000"));
    let time = SqlType::Time { fraction: 1 };
    check(time, "-838:00:00.5", KeyValue::Int(-3_016_800_500_000), text("-838:00:00.500000"));
    check(SqlType::Double, "1.5e300", KeyValue::Text("1.5e300".into()), Param::F64(1.5e300));
    check(SqlType::VarBinary, "ab", KeyValue::Bytes(b"ab".to_vec()), Param::Bytes(b"ab".to_vec()));
    let labels = std::sync::Arc::from(["x".to_owned()]);
    check(SqlType::Enum { labels }, "1", KeyValue::Int(1), Param::I64(1));
    assert_eq!(parse_key(&SqlType::Date, b"2010-01"), None);
}
