//! What stands against sending to topics, and what is there of them: everything that is asked before a task begins, and nothing is changed.

use rdkafka::types::RDKafkaErrorCode;

use super::creation::collision;
use super::{ANSWER_TIMEOUT, KafkaTopics, Prepared, STOP_CHECK, TOPICS_PER_QUESTION, TopicState, compacts};
use crate::kafka::abilities::Lack;
use crate::kafka::{KafkaOptions, KafkaSink, OldBrokers, hint_of};
use crate::{Differing, SinkError, Topics};
use std::time::Instant;

/// What is there of a topic, or would be if it were made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFacts {
    pub name: String,
    pub exists: bool,
    /// None if nobody tells.
    pub partitions: Option<u32>,
    /// Of a request, compressed; none if nobody tells.
    pub request_bytes_max: Option<u64>,
    /// Its `cleanup.policy` if it is compacted, where messages may have keys.
    pub compacted: Option<String>,
}

/// What answers at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerInfo {
    /// `host:port` of all brokers, as they advertise themselves.
    pub brokers: Vec<String>,
    /// Since Kafka 0.10.1.
    pub cluster_id: Option<String>,
    /// Topics that we may see.
    pub topic_count: usize,
    /// Those that were asked about and can be told of.
    pub topics: Vec<TopicFacts>,
    /// What those that are there have otherwise than the configuration.
    pub differing: Vec<Differing>,
    /// What this client lets through, uncompressed.
    pub message_bytes_max: usize,
    /// Up to here it puts messages together (`batch.size`), uncompressed.
    pub request_bytes: usize,
    pub old: Option<OldBrokers>,
    /// As which release of Kafka the oldest of them speaks.
    pub release: Option<&'static str>,
}

/// Reaches the brokers, proves who we are and lists what is there; changes nothing. Also tells what stands against sending
/// to `topics`, of which all messages of `whole` are to stay.
pub fn check(
    options: KafkaOptions,
    topics: &[String],
    whole: &[String],
) -> Result<(BrokerInfo, Vec<SinkError>), SinkError> {
    let (sink, lacks) = KafkaSink::meet(options)?;
    if sink.rounds.is_none() && lacks.is_empty() {
        sink.topics.wait_for_number()?;
    }
    whole.iter().for_each(|topic| sink.topics.keep_whole(topic));
    let metadata = sink.topics.metadata(None, &|| false)?;
    let mut info = BrokerInfo {
        brokers: metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port())).collect(),
        cluster_id: sink.producer.cluster_id(ANSWER_TIMEOUT),
        topic_count: metadata.topics().len(),
        topics: Vec::new(),
        differing: Vec::new(),
        message_bytes_max: sink.message_bytes_max,
        old: sink.topics.old_brokers(),
        release: sink.topics.abilities.release(),
        request_bytes: sink.topics.request_bytes,
    };
    let mut problems = Vec::new();
    if !lacks.is_empty() {
        let is_all = lacks.contains(&Lack::Offsets);
        problems.push(sink.topics.lacking(lacks));
        if is_all {
            return Ok((info, problems));
        }
    }
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let existing: Vec<&str> = metadata.topics().iter().map(|topic| topic.name()).collect();
    // What was found before an answer that does not come is told with it.
    if let Err(error) = sink.topics.look_at_all(&names, &existing, &mut info, &mut problems) {
        problems.push(error);
    }
    Ok((info, problems))
}

impl KafkaTopics {
    /// Tells what stands against sending to `names`, beside topics that exist, and what is there of them.
    fn look_at_all(
        &self,
        names: &[&str],
        existing: &[&str],
        info: &mut BrokerInfo,
        problems: &mut Vec<SinkError>,
    ) -> Result<(), SinkError> {
        let never = || false;
        let (mut missing, mut there) = (Vec::new(), Vec::new());
        for (&topic, state) in names.iter().zip(self.describe_with(names, true, &never)?) {
            match state {
                Ok(TopicState::Missing) => missing.push(topic),
                Ok(TopicState::Complete(Prepared { may_write: Some(false), .. })) => {
                    let code = RDKafkaErrorCode::TopicAuthorizationFailed;
                    problems.push(SinkError::Topic {
                        topic: topic.into(),
                        reason: "the user may not write to it".into(),
                        hint: hint_of(code),
                    });
                }
                Ok(TopicState::Complete(prepared)) => there.push((topic, Some(prepared.partitions))),
                Ok(TopicState::Incomplete) => there.push((topic, None)),
                Err(error) => problems.push(error),
            }
        }
        let mut creatable = Vec::new();
        for (index, topic) in missing.iter().enumerate() {
            let creation = self.check_creation(topic).err();
            match creation.or_else(|| collision(topic, existing.iter().chain(&missing[..index]))) {
                Some(error) => problems.push(error),
                None => creatable.push(*topic),
            }
        }
        for topics in creatable.chunks(TOPICS_PER_QUESTION) {
            problems.extend(self.try_creation(topics, &never)?);
        }
        info.topics = self.facts(&there, &missing, problems, &never)?;
        let there: Vec<&str> = there.iter().map(|(topic, _)| *topic).collect();
        info.differing = self.look_for_differing(&there, &never)?;
        Ok(())
    }

    /// Waits until brokers have let the client be idempotent, or have refused it; where they do neither, that shows later.
    fn wait_for_number(&self) -> Result<(), SinkError> {
        let started = Instant::now();
        while !self.abilities.wait_for_number(STOP_CHECK) && started.elapsed() < ANSWER_TIMEOUT {
            if let Some(failure) = self.producer.outstanding.failure() {
                return Err(failure);
            }
        }
        Ok(())
    }

    /// What is known of topics that are there, with their partitions, and of those that are not. What stands against those that
    /// are there is added to `problems`.
    fn facts(
        &self,
        there: &[(&str, Option<u32>)],
        missing: &[&str],
        problems: &mut Vec<SinkError>,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Vec<TopicFacts>, SinkError> {
        let mut facts = Vec::with_capacity(there.len() + missing.len());
        let names: Vec<&str> = there.iter().map(|(topic, _)| *topic).collect();
        let mut partitions = there.iter().map(|(_, partitions)| *partitions);
        problems.extend(self.check_settings(&names, stopped, |topic, request_bytes_max| {
            let (name, compacted) = (topic.to_owned(), self.compacted(topic));
            let partitions = partitions.next().flatten();
            facts.push(TopicFacts { name, exists: true, partitions, request_bytes_max, compacted });
        })?);
        let Some(create) = self.create.as_ref().filter(|_| !missing.is_empty()) else { return Ok(facts) };
        let event = self.answer(&self.producer.broker_settings(ANSWER_TIMEOUT), stopped)?;
        let default = |name| event.settings(name).into_values().next().and_then(|value| value.parse::<u64>().ok());
        let partitions = create.partitions.or(default(c"num.partitions").and_then(|count| u32::try_from(count).ok()));
        let written = create.config.get("max.message.bytes").and_then(|size| size.parse().ok());
        let request_bytes_max = written.or(default(c"message.max.bytes"));
        let compacted = compacts(&create.config).filter(|_| self.has_keys);
        facts.extend(missing.iter().map(|topic| TopicFacts {
            name: (*topic).into(),
            exists: false,
            partitions,
            request_bytes_max,
            compacted: compacted.filter(|_| !self.is_kept_whole(topic)).map(str::to_owned),
        }));
        Ok(facts)
    }
}
