//! Which topics has this task sent to, in this run or an earlier one?
//!
//! ```text
//! shop.orders <tab> 5170396201173502410 <tab> -7129284170921375105      identity, where brokers tell one (since 2.8)
//! shop.items <tab> 0 <tab> 0
//! ```
//!
//! A topic that is in this file and missing is not created again: whoever reads it would miss what was in the first one. The
//! file only grows; it goes with the state folder. A line is not synchronised to the disk: after the machine has failed a
//! topic may be missing here, which only loses the caution.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::producer::TopicId;
use crate::sink::SinkError;

pub(super) struct KnownTopics {
    /// None: only this run counts.
    path: Option<PathBuf>,
    ids: Mutex<HashMap<String, Option<TopicId>>>,
}

impl KnownTopics {
    pub(super) fn read(path: Option<PathBuf>) -> Result<KnownTopics, SinkError> {
        let text = match path.as_deref().map(std::fs::read_to_string) {
            None => String::new(),
            Some(Ok(text)) => text,
            Some(Err(error)) if error.kind() == ErrorKind::NotFound => String::new(),
            Some(Err(error)) => return Err(failed(path.as_deref(), error)),
        };
        let ids = text.lines().filter_map(parse).collect();
        Ok(KnownTopics { path, ids: Mutex::new(ids) })
    }

    pub(super) fn contains(&self, topic: &str) -> bool {
        self.lock().contains_key(topic)
    }

    pub(super) fn ids(&self) -> HashMap<String, TopicId> {
        self.lock().iter().filter_map(|(topic, id)| Some((topic.clone(), (*id)?))).collect()
    }

    /// Before the first message is sent.
    pub(super) fn add(&self, topic: &str, id: Option<TopicId>) -> Result<(), SinkError> {
        if let Some(path) = &self.path {
            let (high, low) = id.unwrap_or_default();
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.and_then(|mut file| file.write_all(format!("{topic}\t{high}\t{low}\n").as_bytes()))
                .map_err(|error| failed(Some(path), error))?;
        }
        self.lock().insert(topic.to_owned(), id);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Option<TopicId>>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// None for a line that was not written to its end: nothing was sent to its topic.
fn parse(line: &str) -> Option<(String, Option<TopicId>)> {
    let mut fields = line.split('\t');
    let (topic, high, low) = (fields.next()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((topic.to_owned(), Some((high, low)).filter(|&id| id != (0, 0))))
}

fn failed(path: Option<&Path>, error: std::io::Error) -> SinkError {
    SinkError::Io { path: path.unwrap_or(Path::new("")).display().to_string(), error: Arc::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_known_to_later_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = Some(folder.path().join("topics"));
        let known = KnownTopics::read(path.clone()).unwrap();
        assert!(!known.contains("shop.orders"));
        known.add("shop.orders", Some((-5, 7))).unwrap();
        known.add("shop.items", None).unwrap();
        std::fs::OpenOptions::new()
            .append(true)
            .open(path.as_ref().unwrap())
            .unwrap()
            .write_all(b"shop.cut\t3")
            .unwrap();
        let known = KnownTopics::read(path).unwrap();
        assert!(known.contains("shop.orders") && known.contains("shop.items") && !known.contains("shop.cut"));
        assert_eq!(known.ids(), HashMap::from([("shop.orders".to_owned(), (-5, 7))]));
    }
}
