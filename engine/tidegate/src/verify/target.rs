//! What is compared: a table as it is called where it goes, the columns of it, and what rows become so that they can be compared.
//!
//! ```text
//! shop_0.orders ─┐                 columns    id      amount   note       key {"id":"7"}
//! shop_1.orders ─┴─► shop.orders   row        7        5.00    NULL
//!                                  hashes     ▓▓▓▓  +  ▓▓▓▓  +  ▓▓▓▓   =  ▓▓▓▓ of all columns, its shape
//! ```
//!
//! A row is the sum of a hash for each of its columns, so that the order of columns means nothing, and so that a row can be compared by some of
//! them: a message that was sent before an ALTER TABLE has other columns than the row has now. Which of today's columns a message has is its
//! *shape*. There are few: one for each definition under which rows were sent. A row of the source has a hash for each shape.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, RwLock};

use tidegate_format::encode::text::write_json_string;
use tidegate_model::{SqlType, Table, TableName};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::config::{Task, TooLargePolicy};
use crate::error::Error;
use crate::pipeline::route::{plan_transform, rule_of, topic_of_table};
use crate::source::mysql::Wanted;
use tidegate_mysql::connection::{quote_identifier, quote_text};

/// Of 128 bits: by chance, not one pair in 100 M rows is the same.
pub(super) type Hash = u128;

/// Columns of a target that a message has. The first has all of them.
pub(super) type Shape = u16;

pub(super) const ALL_COLUMNS: Shape = 0;

/// More than a table has definitions.
const SHAPES_MAX: usize = 1000;

/// What the columns of a shape say of a row of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Print {
    pub(super) hash: Hash,
    /// The other columns are NULL: a message without them says nothing less.
    pub(super) is_all: bool,
}

/// What a task does with messages of a table that are too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OfLarge {
    /// It stops.
    Stops,
    Cuts,
    /// Its topic has nothing of them.
    LeavesOut,
}

impl OfLarge {
    fn of(policy: &TooLargePolicy) -> OfLarge {
        match policy {
            TooLargePolicy::Fail => OfLarge::Stops,
            TooLargePolicy::Truncate(_) => OfLarge::Cuts,
            TooLargePolicy::Skip | TooLargePolicy::DeadLetter(_) => OfLarge::LeavesOut,
        }
    }
}

/// A table as it is called where it goes.
pub(super) struct Target {
    pub(super) name: TableName,
    /// The source's tables that have this name there, each with the columns by which the server can be asked for some of its rows.
    pub(super) sources: Vec<Source>,
    pub(super) topics: BTreeSet<String>,
    /// Those that rows of all sources have.
    pub(super) columns: Vec<String>,
    /// Those that rows of some sources have.
    pub(super) uncommon: BTreeSet<String>,
    /// Indexes of the columns that tell rows apart; none of a table without a key.
    pub(super) key: Vec<usize>,
    pub(super) of_large: OfLarge,
    index: HashMap<String, usize>,
    shapes: RwLock<Vec<Vec<bool>>>,
}

pub(super) struct Source {
    pub(super) table: Arc<Table>,
    /// The columns of the key, each with what its values are, if a text of each says which it is.
    pub(super) told: Option<Vec<(String, Told)>>,
}

impl Source {
    /// The same, if all of them are integers.
    pub(super) fn integers(&self) -> Option<&[(String, Told)]> {
        self.told.as_deref().filter(|columns| columns.iter().all(|(_, told)| *told == Told::Integer))
    }
}

/// What stands for a value of a key in a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Integer,
    Text,
}

/// The values of keys, as a statement has them: a number is digits and a sign, and a text is quoted. `names` are those of the columns in the
/// keys. None if one is not what its column says, or has a control character.
pub(super) fn key_rows(columns: &[(String, Told)], names: &[&str], keys: &[Vec<u8>]) -> Option<Vec<Vec<String>>> {
    let row = |key: &Vec<u8>| -> Option<Vec<String>> {
        let values: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(key).ok()?;
        let value = |(name, (_, told)): (&&str, &(String, Told))| {
            let text = values.get(*name)?.as_str()?;
            match told {
                Told::Integer => text.parse::<i128>().ok().map(|number| number.to_string()),
                Told::Text => (!text.contains(char::is_control)).then(|| quote_text(text)),
            }
        };
        names.iter().zip(columns).map(value).collect()
    };
    keys.iter().map(row).collect()
}

/// `` `a` IN (1, 2) ``, `` (`a`, `b`) IN ((1, 'x'), (2, 'y')) ``.
pub(super) fn is_one_of(columns: &[(String, Told)], rows: &[Vec<String>]) -> String {
    let list = |values: &[String]| match values {
        [one] => one.clone(),
        several => format!("({})", several.join(", ")),
    };
    let columns: Vec<String> = columns.iter().map(|(name, _)| quote_identifier(name)).collect();
    let rows: Vec<String> = rows.iter().map(|row| list(row)).collect();
    format!("{} IN ({})", list(&columns), rows.join(", "))
}

impl Target {
    /// All of the task's, by the tables that the source has.
    pub(super) fn all(task: &Task, tables: &[Arc<Table>]) -> Result<Vec<Target>, Error> {
        let mut targets: Vec<Target> = Vec::new();
        for table in tables {
            let transform = plan_transform(&task.tables, table)?;
            let output = transform.output();
            let topic = topic_of_table(task, table.name())?;
            let key_columns = output.key().iter().map(|&column| {
                let source = (0..table.columns().len()).find(|&of| transform.output_of(of) == Some(column))?;
                let source = &table.columns()[source];
                let told = match source.sql_type {
                    SqlType::Int { .. } => Told::Integer,
                    SqlType::Char | SqlType::VarChar | SqlType::Text => Told::Text,
                    _ => return None,
                };
                Some((source.name.clone(), told))
            });
            let told = key_columns.collect::<Option<Vec<_>>>().filter(|columns| !columns.is_empty());
            let source = Source { table: table.clone(), told };
            let of_large = OfLarge::of(&rule_of(task, table.name()).too_large);
            let names: Vec<String> = output.columns().iter().map(|column| column.name.clone()).collect();
            let key_names: Vec<&String> = output.key().iter().map(|&column| &names[column]).collect();
            match targets.iter_mut().find(|target| target.name == *output.name()) {
                Some(target) => {
                    let target_key: Vec<&String> = target.key.iter().map(|&column| &target.columns[column]).collect();
                    let key: Vec<String> = match target_key == key_names {
                        true => key_names.into_iter().cloned().collect(),
                        // What tells the rows of one apart does not tell those of the other.
                        false => Vec::new(),
                    };
                    let both = |name: &&String| target.columns.contains(name) && names.contains(name);
                    let uncommon = target.columns.iter().chain(&names).filter(|name| !both(name)).cloned();
                    let uncommon: Vec<String> = uncommon.collect();
                    target.uncommon.extend(uncommon);
                    target.columns.retain(|column| names.contains(column));
                    target.key = positions(&key, &target.columns);
                    target.sources.push(source);
                    target.topics.insert(topic);
                    target.of_large = target.of_large.max(of_large);
                }
                None => targets.push(Target {
                    name: output.name().clone(),
                    sources: vec![source],
                    topics: BTreeSet::from([topic]),
                    key: output.key().to_vec(),
                    columns: names,
                    uncommon: BTreeSet::new(),
                    of_large,
                    index: HashMap::new(),
                    shapes: RwLock::default(),
                }),
            }
        }
        for target in &mut targets {
            target.index = target.columns.iter().cloned().zip(0..).collect();
            target.shapes = RwLock::new(vec![vec![true; target.columns.len()]]);
        }
        Ok(targets)
    }

    #[cfg(test)]
    pub(super) fn of(table: Arc<Table>, key: &[usize]) -> Target {
        let columns: Vec<String> = table.columns().iter().map(|column| column.name.clone()).collect();
        Target {
            name: table.name().clone(),
            topics: BTreeSet::from([table.name().to_string()]),
            key: key.to_vec(),
            uncommon: BTreeSet::new(),
            of_large: OfLarge::Stops,
            index: columns.iter().cloned().zip(0..).collect(),
            shapes: RwLock::new(vec![vec![true; columns.len()]]),
            columns,
            sources: vec![Source { table, told: None }],
        }
    }

    pub(super) fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    pub(super) fn key_names(&self) -> impl Iterator<Item = &str> {
        self.key.iter().map(|&column| self.columns[column].as_str())
    }

    /// What is to be read of a source. Without a key rows are counted, of which one that moves from chunk to chunk would be in both, or in none.
    pub(super) fn wanted(&self, source: &Source, condition: Option<String>) -> Wanted {
        Wanted { table: source.table.name().clone(), condition, is_whole: !self.has_key() }
    }

    /// Reads a row: names and values, NULL as none. `value` is what is compared of a value, and `text` makes a text of it.
    pub(super) fn image<'a>(
        &self,
        cells: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>,
        value: fn(&[u8]) -> &[u8],
        text: impl Fn(&[u8]) -> String,
    ) -> Image {
        let mut image = Image { hashes: vec![None; self.columns.len()], key: None };
        let mut keys: Vec<Option<Option<String>>> = vec![None; self.key.len()];
        for (at, (name, cell)) in cells.enumerate() {
            // Mostly, columns stand in a message as they do in the table.
            let column = match self.columns.get(at) {
                Some(column) if column == name => at,
                _ => match self.index.get(name) {
                    Some(&column) => column,
                    None => continue,
                },
            };
            image.hashes[column] = Some(match cell {
                Some(cell) => xxh3_128_with_seed(value(cell), column as u64 * 2),
                None => hash_of_null(column),
            });
            if let Some(of_key) = self.key.iter().position(|&key| key == column) {
                keys[of_key] = Some(cell.map(&text));
            }
        }
        let keys: Option<Vec<Option<String>>> = keys.into_iter().collect();
        image.key = keys.map(|keys| self.key_json(&keys));
        image
    }

    /// `{"region":"de","id":"7"}`
    fn key_json(&self, values: &[Option<String>]) -> Vec<u8> {
        let mut out = vec![b'{'];
        for (name, value) in self.key_names().zip(values) {
            if out.len() > 1 {
                out.push(b',');
            }
            write_json_string(name, &mut out);
            out.push(b':');
            match value {
                Some(value) => write_json_string(value, &mut out),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.push(b'}');
        out
    }

    /// Which columns a message has, and their hash. None if it has ever been another table, with more definitions than one can have.
    pub(super) fn shape_of(&self, image: &Image) -> Option<(Shape, Hash)> {
        let hash = image.hashes.iter().flatten().fold(0, |sum: Hash, hash| sum.wrapping_add(*hash));
        if image.hashes.iter().all(Option::is_some) {
            return Some((ALL_COLUMNS, hash));
        }
        let has: Vec<bool> = image.hashes.iter().map(Option::is_some).collect();
        let known = |shapes: &[Vec<bool>]| shapes.iter().position(|shape| *shape == has);
        let mut shape = known(&self.shapes.read().expect("nobody panics with it"));
        if shape.is_none() {
            let mut shapes = self.shapes.write().expect("nobody panics with it");
            // Another thread may have met it meanwhile.
            shape = known(&shapes);
            if shape.is_none() && shapes.len() < SHAPES_MAX {
                shape = Some(shapes.len());
                shapes.push(has);
            }
        }
        Some((shape?.try_into().ok()?, hash))
    }

    /// What a row says by each shape that is known; none for those of which the row lacks a column.
    pub(super) fn prints_of(&self, image: &Image) -> Vec<Option<Print>> {
        let shapes = self.shapes.read().expect("nobody panics with it");
        let of_shape = |shape: &Vec<bool>| {
            let mut print = Print { hash: 0, is_all: true };
            for (column, (is_wanted, hash)) in shape.iter().zip(&image.hashes).enumerate() {
                match is_wanted {
                    true => print.hash = print.hash.wrapping_add((*hash)?),
                    false => print.is_all &= *hash == Some(hash_of_null(column)),
                }
            }
            Some(print)
        };
        shapes.iter().map(of_shape).collect()
    }

    /// A row without what was cut.
    pub(super) fn without(&self, image: &Image, cut: &str) -> Image {
        let mut image = image.clone();
        cut.split(',').filter_map(|name| self.index.get(name)).for_each(|&column| image.hashes[column] = None);
        image
    }

    /// Today's columns that some messages lack.
    pub(super) fn lacking(&self) -> Vec<&str> {
        let shapes = self.shapes.read().expect("nobody panics with it");
        let lacks = |column: usize| shapes.iter().any(|shape| !shape[column]);
        (0..self.columns.len()).filter(|&column| lacks(column)).map(|column| self.columns[column].as_str()).collect()
    }
}

fn hash_of_null(column: usize) -> Hash {
    xxh3_128_with_seed(&[], column as u64 * 2 + 1)
}

fn positions(names: &[String], columns: &[String]) -> Vec<usize> {
    let found: Option<Vec<usize>> = names.iter().map(|name| columns.iter().position(|column| column == name)).collect();
    found.unwrap_or_default()
}

/// A row, as far as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    /// Of each of the target's columns.
    hashes: Vec<Option<Hash>>,
    /// As JSON; none if a column of the key is missing.
    pub(super) key: Option<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::pretty::table;

    fn image(target: &Target, row: &[(&'static str, Option<&'static str>)]) -> Image {
        let cells = row.iter().map(|(name, value)| (*name, value.map(str::as_bytes)));
        target.image(cells, |value| value, |value| String::from_utf8_lossy(value).into_owned())
    }

    fn prints(target: &Target, image: &Image) -> Vec<Option<(Hash, bool)>> {
        target.prints_of(image).into_iter().map(|print| print.map(|print| (print.hash, print.is_all))).collect()
    }

    #[test]
    fn rows_are_equal_by_the_columns_that_a_message_has() {
        let target = Target::of(table("id:int a:text b:text"), &[0]);
        let now = image(&target, &[("id", Some("7")), ("a", Some("x")), ("b", None)]);
        assert_eq!(now.key.as_deref(), Some(&b"{\"id\":\"7\"}"[..]));
        let (shape, hash) = target.shape_of(&now).unwrap();
        assert_eq!((shape, prints(&target, &now)), (ALL_COLUMNS, vec![Some((hash, true))]));
        // In another order, and with a column that is gone.
        let other = image(&target, &[("b", None), ("gone", Some("1")), ("a", Some("x")), ("id", Some("7"))]);
        assert_eq!((target.shape_of(&other), other.key), (Some((ALL_COLUMNS, hash)), now.key.clone()));
        // Before `b` was added.
        let (before, less) = target.shape_of(&image(&target, &[("id", Some("7")), ("a", Some("x"))])).unwrap();
        assert_eq!((before, prints(&target, &now)), (1, vec![Some((hash, true)), Some((less, true))]));
        let with_value = image(&target, &[("id", Some("7")), ("a", Some("x")), ("b", Some("y"))]);
        assert_eq!(prints(&target, &with_value)[1], Some((less, false)));
        assert_eq!(target.shape_of(&target.without(&with_value, "c,b")), Some((1, less)));
        assert_eq!(target.lacking(), ["b"]);
        for row in [
            [("id", Some("7")), ("a", None), ("b", Some("x"))],
            [("id", Some("7")), ("a", Some("x")), ("b", Some(""))],
            [("id", Some("8")), ("a", Some("x")), ("b", None)],
        ] {
            assert_ne!(target.shape_of(&image(&target, &row)).unwrap(), (ALL_COLUMNS, hash), "{row:?}");
        }
        assert_eq!(image(&target, &[("a", Some("x"))]).key, None);
    }
}
