//! Where do messages go, and when are they durable?

pub mod file;
pub mod kafka;
mod order;

use std::sync::Arc;

use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::oneshot;

use kafka::MessageLimit;
use kafka::{Lack, OldBrokers};
use tidegate_model::message::{Appetite, MessageWindow};
use tidegate_model::status::Retrying;

/// Resolves when every message of a window is durable, or with the error after which none of them may be assumed
/// delivered.
pub type Receipt = oneshot::Receiver<Result<(), SinkError>>;

/// Delivers messages and says when they are durable.
///
/// `send` is called from one thread, in order, and owns the window from then on. What waits in a sink is bounded by whoever
/// sends: nobody does who has no room for one window more. Deliveries may complete in any order. A message may be delivered
/// twice after a restart, never lost, and never before an earlier one of its partition.
pub trait Sink: Send {
    fn send(&mut self, window: MessageWindow) -> Result<Receipt, SinkError>;

    /// What knows the topics: apart from the sink, so that nobody who sends waits for a question about a topic. It answers as long as
    /// the sink is there; a question behind its end is [`SinkError::Stopped`].
    fn topics(&self) -> Arc<dyn Topics>;

    /// Something that any thread may call to end what waits: every outstanding delivery and every later `send` fail with
    /// [`SinkError::Stopped`].
    fn aborter(&self) -> Box<dyn Fn() + Send + Sync>;
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicLook {
    pub partitions: u32,
    /// A consumer would find something in it.
    pub holds_messages: bool,
    /// Of each partition, the offset that the next message gets; 0 where none has been written since it was made. Nothing where there are no
    /// offsets.
    pub ends: Vec<i64>,
    /// The topic itself, where brokers tell: another one under the same name has another.
    pub identity: Option<TopicIdentity>,
}

impl TopicLook {
    /// Something has been written to it since it was made, whether that is still there or not.
    pub fn was_written(&self) -> bool {
        self.ends.is_empty() || self.ends.iter().any(|&end| end > 0)
    }
}

/// A topic that is there, and something that it has otherwise than the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    pub topic: String,
    pub key: String,
    pub is: String,
    pub wanted: String,
}

/// Another one for each topic that is made, also under an old name.
pub type TopicIdentity = (i64, i64);

/// The topics of a sink. Any thread may ask while another one sends.
pub trait Topics: Send + Sync {
    /// Number of partitions of a topic, which is created if it is missing and the configuration allows it.
    ///
    /// While nobody answers, asks again for as long as the sink itself would wait for brokers, or until `stopped` says
    /// that the task ends. If nobody has ever answered, gives up sooner: then it is the address that is wrong.
    fn prepare(&self, topic: &str, stopped: &dyn Fn() -> bool) -> Result<u32, SinkError>;

    /// Prepares many at once, so that asking about each of them costs nothing.
    fn prepare_all(&self, topics: &[&str], stopped: &dyn Fn() -> bool) -> Result<(), SinkError>;

    /// With the topics that are prepared so far.
    fn appetite(&self) -> Appetite;

    /// What was sent is not acknowledged, and is waited for.
    fn outage(&self) -> Option<Retrying> {
        None
    }

    /// Why nothing can be sent any more, if so: of a sink that has nothing to send, nobody else would hear of it.
    fn failure(&self) -> Option<SinkError> {
        None
    }

    /// The `cleanup.policy` of a topic that is prepared, if it keeps the last message of each key: brokers refuse messages without
    /// one there.
    fn compacted(&self, _topic: &str) -> Option<String> {
        None
    }

    /// Brokers that lack something that can be done without.
    fn old_brokers(&self) -> Option<OldBrokers> {
        None
    }

    /// What a topic that is prepared takes of a message; none where nothing is too large.
    fn limit(&self, _topic: &str) -> Option<MessageLimit> {
        None
    }

    /// The same, asked anew unless it was a moment ago: somebody may have changed it.
    fn limit_now(&self, topic: &str, _stopped: &dyn Fn() -> bool) -> Option<MessageLimit> {
        self.limit(topic)
    }

    /// What topics that are there have otherwise than they would be made.
    fn differing(&self, _topics: &[&str], _stopped: &dyn Fn() -> bool) -> Result<Vec<Differing>, SinkError> {
        Ok(Vec::new())
    }

    /// All messages of this topic must stay, also those of one key: it is made so when it is prepared, and refused if it is
    /// compacted.
    fn keep_whole(&self, _topic: &str) {}

    /// Of a topic that is prepared, where brokers tell.
    fn identity(&self, topic: &str) -> Option<TopicIdentity>;

    /// By partition, the offset behind the last message that was there when this run began, or that it was told of as written; 0, or
    /// nothing, where none was.
    fn acknowledged(&self, _topic: &str) -> Vec<i64> {
        Vec::new()
    }

    /// What is known of topics, without changing anything; `None` for one that does not exist. Asks once.
    fn look(&self, topics: &[&str], stopped: &dyn Fn() -> bool) -> Result<Vec<Option<TopicLook>>, SinkError>;
}

/// Topics that exist in name only, with as many partitions as one likes.
pub struct PretendedTopics(pub u32);

impl Topics for PretendedTopics {
    fn prepare(&self, _: &str, _: &dyn Fn() -> bool) -> Result<u32, SinkError> {
        Ok(self.0)
    }

    fn prepare_all(&self, _: &[&str], _: &dyn Fn() -> bool) -> Result<(), SinkError> {
        Ok(())
    }

    /// What is sent is gone at once.
    fn appetite(&self) -> Appetite {
        Appetite::default()
    }

    fn identity(&self, _: &str) -> Option<TopicIdentity> {
        None
    }

    /// Each is there, empty, and what was written to it is gone, which is as it should be.
    fn look(&self, topics: &[&str], _: &dyn Fn() -> bool) -> Result<Vec<Option<TopicLook>>, SinkError> {
        let look = TopicLook { partitions: self.0, holds_messages: false, ends: Vec::new(), identity: None };
        Ok(vec![Some(look); topics.len()])
    }
}

/// What went wrong while delivering.
///
/// Can be cloned because one failure is what every window on its way hears.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SinkError {
    #[error("could not reach the brokers {brokers}: {reason}")]
    Unreachable { brokers: String, reason: String },
    /// Waiting does not mend that.
    #[error("the brokers {brokers} refused the task: {reason}")]
    Refused { brokers: String, reason: String },
    /// Nobody who gives tokens for the brokers answers.
    #[error("could not get a token for the brokers from {url}: {reason}")]
    NoToken { url: String, reason: String },
    /// Waiting does not mend that either.
    #[error("{url} gives the task no token for the brokers: {reason}")]
    TokenRefused { url: String, reason: String },
    #[error("the brokers {brokers} speak as Kafka {release}: they {}", lacks.iter().map(Lack::to_string).collect::<Vec<_>>().join("; they "))]
    Lacking { brokers: String, release: &'static str, lacks: Vec<Lack> },
    #[error("the brokers do not let the user be an idempotent producer: {reason}")]
    NotIdempotent { reason: String },
    #[error("topic {topic} does not exist and create_topics is off")]
    MissingTopic { topic: String },
    #[error("could not create topic {topic}: {reason}")]
    CreateTopic { topic: String, reason: String, hint: Option<&'static str> },
    #[error(
        "topic {topic} cannot be created beside topic {other}: Kafka takes '.' and '_' for the same in names of metrics, and \
         refuses a topic whose name differs from another's in nothing else"
    )]
    Collision { topic: String, other: String },
    #[error("topic {topic} refused a message of {bytes} bytes: {reason}")]
    TooLarge { topic: String, bytes: usize, reason: String },
    /// With one line of what to do, where the broker's code tells more than its words.
    #[error("topic {topic}, partition {partition}: {reason}")]
    Delivery { topic: String, partition: i32, reason: String, hint: Option<&'static str> },
    #[error("topic {topic} {what} after the task had begun to send to it: what it held is gone")]
    TopicGone { topic: String, what: &'static str },
    /// `end` was the offset of the next message there.
    #[error(
        "topic {topic}, partition {partition}: a message was written at offset {now} though the one at {} had been acknowledged before: \
         the topic was deleted and created anew, or its brokers have lost what they had acknowledged",
        end - 1
    )]
    Fallen { topic: String, partition: i32, end: i64, now: i64 },
    #[error(
        "topic {topic} has cleanup.policy={policy}: brokers refuse messages without a key there, and these have none"
    )]
    Compacted { topic: String, policy: String },
    #[error(
        "topic {topic} has cleanup.policy={policy}: of the parts of a message, which share its key, it would keep one"
    )]
    KeepsOne { topic: String, policy: String },
    #[error("topic {topic}: {reason}")]
    Topic { topic: String, reason: String, hint: Option<&'static str> },
    #[error("Kafka client: {0}")]
    Client(String),
    #[error("could not write {path}: {error}")]
    Io { path: String, error: Arc<std::io::Error> },
    #[error("the sink has stopped")]
    Stopped,
}

impl SinkError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            SinkError::Unreachable { .. } => {
                "check that the listener's advertised address can be reached from here, and how the connection is protected"
            }
            SinkError::Refused { .. } => "check user and password, and that the brokers know the user",
            SinkError::NoToken { .. } => "check the address, and that it can be reached from here",
            SinkError::TokenRefused { .. } => "check address, client and scope, as the authorization server knows them",
            SinkError::Lacking { lacks, .. } => return lacks.first().map(|lack| lack.hint()),
            SinkError::NotIdempotent { .. } => return kafka::hint_of(RDKafkaErrorCode::ClusterAuthorizationFailed),
            SinkError::Collision { .. } => {
                "give one of the two another name; brokers that allow both take the topic if it is made by hand"
            }
            SinkError::MissingTopic { .. } => "create the topic, or have missing ones made",
            SinkError::CreateTopic { hint, .. } => hint.unwrap_or("ask for another topic, or create it by hand"),
            SinkError::TopicGone { .. } | SinkError::Fallen { .. } => {
                "begin again with a full load into an empty topic (move the state folder away)"
            }
            SinkError::Compacted { .. } => {
                "give messages a key, set cleanup.policy=delete for the topic, or choose another one"
            }
            SinkError::KeepsOne { .. } => "set cleanup.policy=delete for the topic, or choose another one",
            SinkError::Delivery { hint, .. } | SinkError::Topic { hint, .. } => return *hint,
            SinkError::TooLarge { .. } => {
                "raise max.message.bytes of the topic and message.max.bytes of the client; if the message is smaller than what its topic \
                 takes, it was refused with others: set batch.size to no more than that"
            }
            _ => return None,
        })
    }

    /// The topic that cannot be used, and what is wrong with it, which may be wrong with others in the same words: it goes on behind
    /// their names.
    pub fn of_topic(&self) -> Option<(&str, String)> {
        match self {
            SinkError::MissingTopic { topic } => Some((topic, " does not exist and create_topics is off".to_owned())),
            SinkError::CreateTopic { topic, reason, .. } => Some((topic, format!(" could not be created: {reason}"))),
            SinkError::Compacted { topic, policy } => Some((
                topic,
                format!(
                    " has cleanup.policy={policy}: brokers refuse messages without a key there, and these have none"
                ),
            )),
            SinkError::KeepsOne { topic, policy } => Some((
                topic,
                format!(
                    " has cleanup.policy={policy}: of the parts of a message, which share its key, it would keep one"
                ),
            )),
            SinkError::Topic { topic, reason, .. } => Some((topic, format!(": {reason}"))),
            _ => None,
        }
    }

    /// Whether the same thing may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, SinkError::Unreachable { .. } | SinkError::NoToken { .. })
    }
}

/// Takes everything and keeps nothing: for measuring what comes before.
pub struct NullSink {
    /// Partitions that each topic pretends to have.
    pub partitions: u32,
}

impl Sink for NullSink {
    fn send(&mut self, _: MessageWindow) -> Result<Receipt, SinkError> {
        let (done, delivery) = oneshot::channel();
        done.send(Ok(())).expect("the receiver is alive");
        Ok(delivery)
    }

    fn topics(&self) -> Arc<dyn Topics> {
        Arc::new(PretendedTopics(self.partitions))
    }

    fn aborter(&self) -> Box<dyn Fn() + Send + Sync> {
        Box::new(|| ())
    }
}
