//! What topics that are there have otherwise than topics that the task would make.

use std::ffi::CString;

use super::{ANSWER_TIMEOUT, KafkaTopics, TOPICS_PER_QUESTION};
use crate::{Differing, SinkError};

impl KafkaTopics {
    /// Of those of the topics that are there and may be seen.
    pub(super) fn look_for_differing(
        &self,
        topics: &[&str],
        stopped: &dyn Fn() -> bool,
    ) -> Result<Vec<Differing>, SinkError> {
        let Some(create) = self.create.as_ref().filter(|_| !topics.is_empty()) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        let mut differs = |topic: &str, key: &str, is: &str, wanted: &str| {
            let [topic, key, is, wanted] = [topic, key, is, wanted].map(str::to_owned);
            found.push(Differing { topic, key, is, wanted })
        };
        let metadata = self.metadata(None, stopped)?;
        let there = |topic: &&str| {
            metadata.topics().iter().find(|found| found.name() == *topic && !found.partitions().is_empty())
        };
        for topic in topics.iter().filter_map(there) {
            let partitions = topic.partitions();
            let fewest = partitions.iter().map(|partition| partition.replicas().len()).min().unwrap_or(0);
            let counts = [
                ("partitions", partitions.len(), create.partitions.map(|count| count as usize)),
                ("replication", fewest, create.replication.map(usize::from)),
            ];
            for (key, is, wanted) in counts {
                if let Some(wanted) = wanted.filter(|&wanted| wanted != is) {
                    differs(topic.name(), key, &is.to_string(), &wanted.to_string());
                }
            }
        }
        let there: Vec<&str> = topics.iter().copied().filter(|topic| there(topic).is_some()).collect();
        let questions = there.chunks(TOPICS_PER_QUESTION).filter(|_| !create.config.is_empty());
        for topics in questions {
            let event = self.answer(&self.producer.topic_settings(topics, ANSWER_TIMEOUT), stopped)?;
            for (key, wanted) in &create.config {
                let Ok(name) = CString::new(key.as_str()) else { continue };
                let settings = event.settings(&name);
                for &topic in topics {
                    // What holds parts of messages is never made to keep one of a key.
                    if key == "cleanup.policy" && self.is_kept_whole(topic) {
                        continue;
                    }
                    if let Some(is) = settings.get(topic).filter(|is| !is_same(is, wanted)) {
                        differs(topic, key, is, wanted);
                    }
                }
            }
        }
        Ok(found)
    }
}

/// Whether brokers take both for the same: a list in any order, a number in any form.
fn is_same(one: &str, other: &str) -> bool {
    let parts = |text: &str| {
        let mut parts: Vec<String> = text.split(',').map(|part| part.trim().to_owned()).collect();
        parts.sort();
        parts
    };
    match (one.trim().parse::<f64>(), other.trim().parse::<f64>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => parts(one) == parts(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_compared_by_what_they_mean() {
        assert!(
            is_same("compact,delete", "delete, compact") && is_same("0.5", "0.50") && is_same("604800000", "604800000")
        );
        assert!(!is_same("compact", "compact,delete") && !is_same("1", "-1") && !is_same("lz4", "producer"));
    }
}
