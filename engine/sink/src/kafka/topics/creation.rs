//! Making topics that are not there.

use rdkafka::types::RDKafkaErrorCode;

use super::{ANSWER_TIMEOUT, KafkaTopics, is_no_answer};
use crate::SinkError;
use crate::kafka::abilities::Ability;
use crate::kafka::{CreateTopics, hint_of, to_do};

impl KafkaTopics {
    pub(super) fn create(&self, topics: &[&str], stopped: &dyn Fn() -> bool) -> Result<(), SinkError> {
        let mut errors = self.ask_to_create(topics, false, stopped)?.into_iter();
        errors.next().map_or(Ok(()), Err)
    }

    /// What brokers would say if these were created, which they are not.
    pub(super) fn try_creation(
        &self,
        topics: &[&str],
        stopped: &dyn Fn() -> bool,
    ) -> Result<Vec<SinkError>, SinkError> {
        self.ask_to_create(topics, true, stopped)
    }

    /// What brokers say about each topic that cannot be created.
    fn ask_to_create(
        &self,
        topics: &[&str],
        trial: bool,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Vec<SinkError>, SinkError> {
        let (whole, others): (Vec<&str>, Vec<&str>) = topics.iter().partition(|topic| self.is_kept_whole(topic));
        if !whole.is_empty() && !others.is_empty() {
            let mut errors = self.ask_to_create(&others, trial, stopped)?;
            errors.append(&mut self.ask_to_create(&whole, trial, stopped)?);
            return Ok(errors);
        }
        if trial && !self.abilities.can(Ability::Trial) {
            return Ok(Vec::new());
        }
        let create = self.check_creation(topics[0])?;
        let (partitions, replication) = match self.counts(create, stopped)? {
            Some(counts) => counts,
            None => {
                let release = self.abilities.release().unwrap_or_default();
                let error = |topic: &&str| SinkError::CreateTopic {
                    topic: (*topic).into(),
                    reason: format!(
                        "brokers of Kafka {release} do not tell how many partitions and replicas they give a topic"
                    ),
                    hint: Some(to_do::COUNTS),
                };
                return Ok(topics.iter().map(error).collect());
            }
        };
        let mut config = create.config.clone();
        if !whole.is_empty() {
            config.insert("cleanup.policy".to_owned(), "delete".to_owned());
        }
        let failed = |topic: &str, (code, reason): (RDKafkaErrorCode, String)| match is_no_answer(code) {
            true => self.unreachable(&reason),
            false => SinkError::CreateTopic { topic: topic.into(), reason, hint: hint_of(code) },
        };
        let request = self.producer.create_topics(topics, partitions, replication, &config, ANSWER_TIMEOUT, trial);
        let request = request.map_err(|error| failed(topics[0], error))?;
        let answers = match self.answer(&request, stopped)?.created_topics() {
            Err((RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion, _)) if trial => {
                return Ok(Vec::new());
            }
            answers => answers.map_err(|error| failed(topics[0], error))?,
        };
        let mut errors = Vec::new();
        for (topic, answer) in answers {
            match answer {
                Ok(()) if trial => {}
                Ok(()) => tracing::info!(topic, "topic created"),
                // Somebody was quicker.
                Err((RDKafkaErrorCode::TopicAlreadyExists, _)) => {}
                Err(error) => errors.push(failed(&topic, error)),
            }
        }
        Ok(errors)
    }

    /// How many partitions and replicas new topics get, where -1 leaves it to the brokers. None if nobody knows.
    fn counts(&self, create: &CreateTopics, stopped: &dyn Fn() -> bool) -> Result<Option<(i32, i32)>, SinkError> {
        let partitions = create.partitions.map(|count| i32::try_from(count).unwrap_or(i32::MAX));
        let replication = create.replication.map(i32::from);
        if self.abilities.can(Ability::DefaultCounts) || (partitions.is_some() && replication.is_some()) {
            return Ok(Some((partitions.unwrap_or(-1), replication.unwrap_or(-1))));
        }
        if !self.abilities.can(Ability::Settings) {
            return Ok(None);
        }
        let settings = self.answer(&self.producer.broker_settings(ANSWER_TIMEOUT), stopped)?;
        let default = |name| settings.settings(name).into_values().next().and_then(|value| value.parse().ok());
        let partitions = partitions.or_else(|| default(c"num.partitions"));
        Ok(partitions.zip(replication.or_else(|| default(c"default.replication.factor"))))
    }

    /// How a topic that is missing would be created, if that would do.
    pub(super) fn check_creation(&self, topic: &str) -> Result<&CreateTopics, SinkError> {
        let create = self.create.as_ref().ok_or_else(|| SinkError::MissingTopic { topic: topic.into() })?;
        if !self.is_kept_whole(topic) {
            self.check_policy(topic, create.config.get("cleanup.policy").map(String::as_str))?;
        }
        Ok(create)
    }
}

/// Of a topic that has the same name as another one to Kafka's metrics.
pub(super) fn collision<'a>(topic: &str, others: impl IntoIterator<Item = &'a &'a str>) -> Option<SinkError> {
    let in_metrics = |name: &str| name.replace('.', "_");
    let other = others.into_iter().find(|other| **other != topic && in_metrics(other) == in_metrics(topic))?;
    Some(SinkError::Collision { topic: topic.into(), other: (*other).into() })
}
