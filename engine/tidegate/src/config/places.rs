//! Where the keys of a task file stand, for whoever finds later that a value does not fit the world.

use std::collections::BTreeMap;

use super::yaml::{Content, Location, Node};

/// Dotted paths, such as `sink.kafka` and `tables[1].where`, and their places.
#[derive(Clone, Debug, Default)]
pub struct Places {
    file: String,
    by_path: BTreeMap<String, Location>,
}

/// A file can name the same node many times by aliases: places beyond this many are of no task file.
const PLACES_MAX: usize = 100_000;

impl Places {
    pub(super) fn of(file: &str, root: &Node) -> Places {
        let mut places = Places { file: file.to_owned(), by_path: BTreeMap::new() };
        places.add(root, "");
        places
    }

    fn add(&mut self, node: &Node, path: &str) {
        if self.by_path.len() >= PLACES_MAX {
            return;
        }
        match &node.content {
            Content::Scalar { .. } => {}
            Content::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.by_path.insert(path.clone(), item.at);
                    self.add(item, &path);
                }
            }
            Content::Map(entries) => {
                for entry in entries {
                    let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                    self.by_path.insert(path.clone(), entry.key_at);
                    self.add(&entry.value, &path);
                }
            }
        }
    }

    /// `shop.yaml:4:3 (sink.topic)`: of the key, or of the section that is written and would hold it. None if there is none.
    pub fn place(&self, path: &str) -> Option<String> {
        let mut path = path;
        loop {
            if let Some(Location { line, column }) = self.by_path.get(path) {
                return Some(format!("{}:{line}:{column} ({path})", self.file));
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// The same of a key in the entry of `tables` that stands at a place.
    pub fn place_in_entry(&self, entry: Location, key: &str) -> Option<String> {
        let is_it =
            |(path, at): &(&String, &Location)| **at == entry && path.starts_with("tables[") && path.ends_with(']');
        let (path, _) = self.by_path.iter().find(is_it)?;
        self.place(&format!("{path}.{key}"))
    }
}
