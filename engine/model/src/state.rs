//! How parts of a task tell what must outlive it: as entries, so that only what has changed is written.
//!
//! ```text
//! key                              value
//! ["position"]                     {"coordinate":{"file":"binlog.000007","offset":4321},…}
//! ["chunk","shop","orders",12]     ["9217","Done",3,3,1000]
//! ```
//!
//! A key is a path of words and numbers, so that all below a path can be removed or read together. Both are JSON: whoever stores
//! entries looks into neither, and people can read them.
//!
//! [`Tracked`] and [`Keyed`] know what of them has changed since it was told last.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What separates key and value. JSON escapes it, and line feeds too, within both.
const SEPARATOR: char = '\t';

/// Entries that were put or removed, in order.
#[derive(Debug, Default)]
pub struct Changes {
    text: String,
}

impl Changes {
    /// `key` is a tuple or slice of words and numbers. Replaces what was there.
    ///
    /// # Panics
    /// If `value` has maps whose keys are no strings.
    pub fn put(&mut self, key: &(impl Serialize + ?Sized), value: &(impl Serialize + ?Sized)) {
        self.text.push_str(&json(key));
        self.text.push(SEPARATOR);
        self.text.push_str(&json(value));
        self.text.push('\n');
    }

    /// Removes the entry of this key, and all below it.
    pub fn remove(&mut self, key: &(impl Serialize + ?Sized)) {
        self.text.push_str(&json(key));
        self.text.push('\n');
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// A line for each: key and value with a tab between, or, removed, the key alone.
    pub fn lines(&self) -> &str {
        &self.text
    }
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("keys and values are made of what JSON has")
}

/// Everything that was put and not removed since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// Texts of keys and values.
    entries: BTreeMap<String, String>,
}

/// An entry is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("entry {key}: {reason}")]
pub struct EntryError {
    pub key: String,
    pub reason: String,
}

impl EntryError {
    pub fn new(key: &(impl Serialize + ?Sized), reason: impl fmt::Display) -> EntryError {
        EntryError { key: json(key), reason: reason.to_string() }
    }
}

impl Entries {
    /// Does what [`Changes::lines`] say, which are complete.
    pub fn apply(&mut self, lines: &str) {
        lines.lines().for_each(|line| self.apply_line(line));
    }

    fn apply_line(&mut self, line: &str) {
        match line.split_once(SEPARATOR) {
            Some((key, value)) => _ = self.entries.insert(key.to_owned(), value.to_owned()),
            None => {
                let keys: Vec<String> = self.below(line).map(|(key, _)| key.to_owned()).collect();
                keys.iter().for_each(|key| _ = self.entries.remove(key));
            }
        }
    }

    /// The entry of a key and all below it, as texts.
    fn below<'a>(&'a self, key: &str) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let path = key.strip_suffix(']').unwrap_or(key).to_owned();
        let rest = self.entries.range(path.clone()..);
        let rest = rest.map(|(key, value)| (key.as_str(), value.as_str()));
        // `["mark",1` is the begin of `["mark",12]` too.
        rest.take_while({
            let path = path.clone();
            move |(key, _)| key.starts_with(&path)
        })
        .filter(move |(key, _)| key[path.len()..].starts_with([',', ']']))
    }

    pub fn get<V: DeserializeOwned>(&self, key: &(impl Serialize + ?Sized)) -> Result<Option<V>, EntryError> {
        let value = self.entries.get(&json(key));
        value.map(|value| serde_json::from_str(value)).transpose().map_err(|error| EntryError::new(key, error))
    }

    /// All below a key, with their whole keys. They come in the order of their texts: numbers are in none.
    pub fn under<K: DeserializeOwned, V: DeserializeOwned>(
        &self,
        key: &(impl Serialize + ?Sized),
    ) -> Result<Vec<(K, V)>, EntryError> {
        let entries = self.below(&json(key)).map(|(key, value)| {
            let entry = serde_json::from_str(key).and_then(|parsed| Ok((parsed, serde_json::from_str(value)?)));
            entry.map_err(|error| EntryError { key: key.to_owned(), reason: error.to_string() })
        });
        entries.collect()
    }

    /// Keys and values as they were put, as JSON.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// A value that knows whether somebody may have changed it.
#[derive(Clone, Debug, Default)]
pub struct Tracked<T> {
    value: T,
    is_changed: bool,
}

impl<T> Tracked<T> {
    pub fn new(value: T) -> Tracked<T> {
        Tracked { value, is_changed: true }
    }

    /// True once for all changes until now.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }
}

impl<T> Deref for Tracked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Tracked<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.is_changed = true;
        &mut self.value
    }
}

impl<T: PartialEq> PartialEq for Tracked<T> {
    fn eq(&self, other: &Tracked<T>) -> bool {
        self.value == other.value
    }
}

/// A map that knows which of its entries somebody may have changed.
#[derive(Clone, Debug)]
pub struct Keyed<K, V> {
    entries: BTreeMap<K, V>,
    changed: BTreeSet<K>,
}

impl<K, V> Default for Keyed<K, V> {
    fn default() -> Keyed<K, V> {
        Keyed { entries: BTreeMap::new(), changed: BTreeSet::new() }
    }
}

impl<K: Ord + Clone, V> Keyed<K, V> {
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key)
    }

    /// The value, which counts as changed if there is one.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let value = self.entries.get_mut(key)?;
        self.changed.insert(key.clone());
        Some(value)
    }

    pub fn get_or_insert_with(&mut self, key: &K, value: impl FnOnce() -> V) -> &mut V {
        self.changed.insert(key.clone());
        self.entries.entry(key.clone()).or_insert_with(value)
    }

    pub fn insert(&mut self, key: K, value: V) {
        self.changed.insert(key.clone());
        self.entries.insert(key, value);
    }

    pub fn remove(&mut self, key: &K) {
        if self.entries.remove(key).is_some() {
            self.changed.insert(key.clone());
        }
    }

    pub fn retain(&mut self, keep: impl Fn(&K, &V) -> bool) {
        let Keyed { entries, changed } = self;
        entries.retain(|key, value| {
            let is_kept = keep(key, value);
            if !is_kept {
                changed.insert(key.clone());
            }
            is_kept
        });
    }

    /// In the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter()
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.values()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Tells all entries, or those that have changed since they were told last, to `tell`; one that was removed has no value.
    pub fn take_changed(&mut self, all: bool, mut tell: impl FnMut(&K, Option<&V>)) {
        let changed = std::mem::take(&mut self.changed);
        match all {
            true => self.entries.iter().for_each(|(key, value)| tell(key, Some(value))),
            false => changed.iter().for_each(|key| tell(key, self.entries.get(key))),
        }
    }
}

impl<K: Ord + Clone, V: PartialEq> PartialEq for Keyed<K, V> {
    fn eq(&self, other: &Keyed<K, V>) -> bool {
        self.entries == other.entries
    }
}

impl<K: Ord + Clone, V> FromIterator<(K, V)> for Keyed<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Keyed<K, V> {
        let entries: BTreeMap<K, V> = entries.into_iter().collect();
        let changed = entries.keys().cloned().collect();
        Keyed { entries, changed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(changes: &[&Changes]) -> Entries {
        let mut entries = Entries::default();
        changes.iter().for_each(|changes| entries.apply(changes.lines()));
        entries
    }

    #[test]
    fn entries_are_what_was_put_and_not_removed() {
        let mut changes = Changes::default();
        changes.put(&("position",), &"binlog.000001:4");
        for mark in [1, 2, 12] {
            changes.put(&("mark", mark), &mark);
        }
        // Names may hold anything.
        for table in ["orders", "orders\"", "orders\",1", "a\tb\nc", "orders]"] {
            changes.put(&("chunk", "shop", table, 3), &(table, 3));
        }
        let found = entries(&[&changes]);
        assert_eq!(found.get::<String>(&("position",)).unwrap().as_deref(), Some("binlog.000001:4"));
        assert_eq!(found.get::<String>(&("mark",)).unwrap(), None);
        assert!(found.get::<u32>(&("position",)).is_err());
        let names = |entries: &Entries| -> Vec<String> {
            let of = entries.under::<(String, String, String, u32), (String, u32)>(&("chunk", "shop")).unwrap();
            of.into_iter().map(|(_, (name, _))| name).collect()
        };
        assert_eq!(names(&found).len(), 5);

        let mut more = Changes::default();
        more.remove(&("chunk", "shop", "orders"));
        more.remove(&("mark", 1));
        more.put(&("mark", 2), &"two");
        let found = entries(&[&changes, &more]);
        assert!(!names(&found).contains(&"orders".to_owned()) && names(&found).len() == 4);
        let marks = |key| found.get::<serde_json::Value>(&("mark", key)).unwrap();
        assert_eq!((marks(1), marks(2), marks(12)), (None, Some("two".into()), Some(12.into())));
    }

    #[test]
    fn only_what_has_changed_is_told() {
        let mut keyed: Keyed<&str, u32> = [("a", 1), ("b", 2)].into_iter().collect();
        let told = |keyed: &mut Keyed<&'static str, u32>, all| {
            let mut told = Vec::new();
            keyed.take_changed(all, |key, value| told.push((*key, value.copied())));
            told
        };
        assert_eq!(told(&mut keyed, false), [("a", Some(1)), ("b", Some(2))]);
        assert_eq!(told(&mut keyed, false), []);
        *keyed.get_mut(&"b").unwrap() = 3;
        keyed.remove(&"a");
        keyed.remove(&"c");
        keyed.retain(|_, _| true);
        assert_eq!(told(&mut keyed, false), [("a", None), ("b", Some(3))]);
        assert_eq!(told(&mut keyed, true), [("b", Some(3))]);

        let mut tracked = Tracked::new(1);
        assert!(tracked.take_changed() && !tracked.take_changed());
        *tracked += 1;
        assert!(tracked.take_changed());
    }
}
