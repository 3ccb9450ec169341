//! Are the topics still there, and still the same ones?
//!
//! librdkafka repeats a message whose topic is unknown to the broker without end and without a word, for the broker may only
//! have not heard of it yet; and a topic that was deleted and created anew gets the rest of the messages as if it held the
//! others. Partitions that are added are not used before the next start, and that is worth a word. So the sink asks by itself: rarely while messages get through, often while they do not.
//!
//! The questions take no thread: they are sent, and their answers are fetched at one of the next looks. While no broker can be
//! reached none is out: librdkafka would look after it at each attempt to connect, and each look makes the next attempt at once
//! (`rd_kafka_broker_find_by_nodeid0` in 2.12): thousands a second, half a core.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;

use super::producer::{Request, TopicAnswer};
use super::topics::KafkaTopics;
use crate::{SinkError, TopicIdentity};

/// Between two questions while messages get through,
const INTERVAL: Duration = Duration::from_secs(30);
/// and while they do not.
const INTERVAL_IN_TROUBLE: Duration = Duration::from_secs(2);
/// How long a question may be out.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A topic that brokers do not know for so long is gone. One that has just started may not know all at once.
const GONE_AFTER: Duration = Duration::from_secs(10);

pub(super) struct Watch {
    topics: Arc<KafkaTopics>,
    found: Found,
    asked: Option<Instant>,
    request: Option<Request>,
}

impl Watch {
    pub(super) fn new(topics: Arc<KafkaTopics>) -> Watch {
        Watch { topics, found: Found::default(), asked: None, request: None }
    }

    #[cfg(test)]
    pub(super) fn is_asking(&self) -> bool {
        self.request.is_some()
    }

    /// Asks, or judges an answer, if it is time. `in_trouble`: messages do not get through.
    pub(super) fn look(&mut self, in_trouble: bool, now: Instant) -> Option<SinkError> {
        if let Some(request) = &self.request {
            let answers = request.topics()?;
            self.request = None;
            for (topic, identity) in self.topics.identities() {
                self.found.identities.entry(topic).or_insert(identity);
            }
            for (topic, used, now) in self.found.grown(&answers, |topic| self.topics.partitions_of(topic)) {
                tracing::warn!(
                    topic,
                    "it has {now} partitions now; the {used} that this run began with are used on, so that no key moves. {}",
                    self.topics.take_up_partitions
                );
            }
            return self.found.judge(answers, now);
        }
        let interval = match in_trouble || !self.found.missing.is_empty() {
            true => INTERVAL_IN_TROUBLE,
            false => INTERVAL,
        };
        if self.asked.is_none_or(|asked| now - asked >= interval) {
            let names = self.topics.names();
            if let Some(first) = names.first() {
                self.asked = Some(now);
                if self.topics.producer.is_connected(first) {
                    self.request = Some(self.topics.producer.ask_about(&names, ANSWER_TIMEOUT));
                }
            }
        }
        None
    }
}

/// What answers have told.
#[derive(Default)]
struct Found {
    identities: HashMap<String, TopicIdentity>,
    /// Since when a topic is not known.
    missing: HashMap<String, Instant>,
    /// Partitions of which it has been said that they are new.
    said: HashMap<String, u32>,
}

impl Found {
    /// Topics that have more partitions than are `used`, each with both numbers, once.
    fn grown(&mut self, answers: &[TopicAnswer], used: impl Fn(&str) -> Option<u32>) -> Vec<(String, u32, u32)> {
        let mut grown = Vec::new();
        for (topic, answer) in answers {
            if let (Ok(found), Some(used)) = (answer, used(topic))
                && found.partitions > *self.said.get(topic).unwrap_or(&used)
            {
                self.said.insert(topic.clone(), found.partitions);
                grown.push((topic.clone(), used, found.partitions));
            }
        }
        grown
    }

    fn judge(&mut self, answers: Vec<TopicAnswer>, now: Instant) -> Option<SinkError> {
        let gone = |topic, what| Some(SinkError::TopicGone { topic, what });
        for (topic, state) in answers {
            match state {
                Ok(found) => {
                    self.missing.remove(&topic);
                    let Some(identity) = found.identity else { continue };
                    if *self.identities.entry(topic.clone()).or_insert(identity) != identity {
                        return gone(topic, "was deleted and created anew");
                    }
                }
                Err(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                    let since = *self.missing.entry(topic.clone()).or_insert(now);
                    if now - since >= GONE_AFTER {
                        return gone(topic, "was deleted");
                    }
                }
                // We may not ask, or nobody knows at the moment.
                Err(_) => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::producer::Description;
    use super::*;

    type Answer = Result<Option<TopicIdentity>, RDKafkaErrorCode>;

    const UNKNOWN: Answer = Err(RDKafkaErrorCode::UnknownTopicOrPartition);

    /// The topic of which something is said, by seconds and answers.
    fn judge(answers: &[(u64, Answer)]) -> Option<String> {
        let (mut found, start) = (Found::default(), Instant::now());
        let judge = |&(second, state): &(u64, Answer)| {
            let state =
                state.map(|identity| Description { identity, partitions: 1, is_complete: true, may_write: None });
            found.judge(vec![("shop".to_owned(), state)], start + Duration::from_secs(second))
        };
        answers.iter().find_map(judge).map(|error| error.to_string())
    }

    #[test]
    fn a_topic_is_gone_when_brokers_have_not_known_it_for_a_while() {
        assert_eq!(judge(&[(0, Ok(Some((1, 2)))), (2, UNKNOWN), (4, UNKNOWN), (11, UNKNOWN)]), None);
        assert_eq!(judge(&[(2, UNKNOWN), (4, Ok(Some((1, 2)))), (13, UNKNOWN), (22, UNKNOWN)]), None);
        let gone = judge(&[(2, UNKNOWN), (4, Err(RDKafkaErrorCode::TopicAuthorizationFailed)), (12, UNKNOWN)]);
        assert_eq!(
            gone.unwrap(),
            "topic shop was deleted after the task had begun to send to it: what it held is gone"
        );
    }

    #[test]
    fn a_topic_that_was_created_anew_is_another_one() {
        assert_eq!(judge(&[(0, Ok(None)), (1, Ok(Some((1, 2)))), (2, Ok(None)), (3, Ok(Some((1, 2))))]), None);
        let gone = judge(&[(0, Ok(Some((1, 2)))), (1, UNKNOWN), (2, Ok(Some((1, 3))))]);
        assert!(gone.unwrap().contains("created anew"));
    }

    #[test]
    fn partitions_that_are_added_are_told_once() {
        let mut found = Found::default();
        let mut told = |partitions| {
            let description = Description { identity: None, partitions, is_complete: true, may_write: None };
            let answers = [("shop".to_owned(), Ok(description)), ("gone".to_owned(), Err(RDKafkaErrorCode::Fail))];
            found.grown(&answers, |topic| (topic == "shop").then_some(3))
        };
        assert_eq!(told(3), []);
        assert_eq!(told(5), [("shop".to_owned(), 3, 5)]);
        assert_eq!(told(5), []);
        assert_eq!(told(6), [("shop".to_owned(), 3, 6)]);
    }
}
