//! `MessageWindow`s to the outside, and when are they durable?

pub mod file;
pub mod kafka;
mod order;

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::message::MessageWindow;

/// Resolves when every message of a window is durable, or with the error after which none of them may be assumed
/// delivered.
pub type Delivery = oneshot::Receiver<Result<(), SinkError>>;

/// Delivers messages and says when they are durable.
///
/// `send` is called from one thread, in order, and owns the window from then on. It blocks while the sink holds as many
/// bytes as it may; that is the engine's back-pressure. Deliveries may complete in any order. A message may be
/// delivered twice after a restart, never lost, and never before an earlier one of its partition.
pub trait Sink: Send {
    fn send(&mut self, window: MessageWindow) -> Result<Delivery, SinkError>;

    /// Number of partitions of a topic, which is created if it is missing and the configuration allows it.
    fn prepare_topic(&mut self, topic: &str) -> Result<u32, SinkError>;

    /// What is known of topics, without changing anything; `None` for one that does not exist.
    fn look(&mut self, topics: &[&str]) -> Result<Vec<Option<TopicLook>>, SinkError>;

    /// Something that any thread may call to end what blocks: a `send` that waits and every outstanding delivery fail with
    /// [`SinkError::Stopped`].
    fn aborter(&self) -> Box<dyn Fn() + Send + Sync>;
}

/// A topic as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicLook {
    pub partitions: u32,
    /// A consumer would find something in it.
    pub holds_messages: bool,
    /// Something has been written to it since it was made, whether that is still there or not.
    pub was_written: bool,
}

/// What went wrong while delivering.
///
/// Can be cloned because one failure is what every window on its way hears.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SinkError {
    #[error("could not reach the brokers {brokers}: {reason}")]
    Unreachable { brokers: String, reason: String },
    #[error("topic {topic} does not exist and create_topics is off")]
    MissingTopic { topic: String },
    #[error("could not create topic {topic}: {reason}")]
    CreateTopic { topic: String, reason: String },
    #[error("topic {topic} refused a message of {bytes} bytes: {reason}")]
    TooLarge { topic: String, bytes: usize, reason: String },
    #[error("topic {topic}, partition {partition}: {reason}")]
    Delivery { topic: String, partition: i32, reason: String },
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
                "check sink.kafka, that the listener's advertised address can be reached from here, and sink.security"
            }
            SinkError::MissingTopic { .. } => "create the topic, or set sink.create_topics",
            SinkError::TooLarge { .. } => {
                "raise max.message.bytes of the topic and sink.options message.max.bytes, or leave the large column out with select"
            }
            _ => return None,
        })
    }

    /// Whether the same thing may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, SinkError::Unreachable { .. })
    }
}

/// Takes everything and keeps nothing: for measuring what comes before.
pub struct NullSink {
    /// Partitions that each topic pretends to have.
    pub partitions: u32,
}

impl Sink for NullSink {
    fn send(&mut self, _: MessageWindow) -> Result<Delivery, SinkError> {
        let (done, delivery) = oneshot::channel();
        done.send(Ok(())).expect("the receiver is alive");
        Ok(delivery)
    }

    fn prepare_topic(&mut self, _: &str) -> Result<u32, SinkError> {
        Ok(self.partitions)
    }

    fn look(&mut self, topics: &[&str]) -> Result<Vec<Option<TopicLook>>, SinkError> {
        Ok(pretended_topics(topics, self.partitions))
    }

    fn aborter(&self) -> Box<dyn Fn() + Send + Sync> {
        Box::new(|| ())
    }
}

/// Topics of a sink that has none: each is there, empty, and nothing has happened to it.
fn pretended_topics(topics: &[&str], partitions: u32) -> Vec<Option<TopicLook>> {
    vec![Some(TopicLook { partitions, holds_messages: false, was_written: true }); topics.len()]
}
