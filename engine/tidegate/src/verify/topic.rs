//! The topics, read from where they begin, or on from an earlier look, to where they ended at a moment.
//!
//! By consumers that belong to no group and commit nothing: whoever else reads the topics is not concerned. Each thread has some partitions
//! of a topic, each of which is read in its order.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::VerifyError;
use tidegate_model::Stop;
use tidegate_sink::kafka::{Consumers, KafkaConsumer, KafkaOptions};

/// For what is asked of brokers.
const ANSWER: Duration = Duration::from_secs(30);
/// Brokers that give nothing for so long are away.
const SILENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);
/// Of librdkafka.
const SETTINGS: &[(&str, &str)] = &[
    // Without a group, it has no queue to poll; it is never joined.
    ("group.id", "tidegate-verify"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    ("auto.offset.reset", "earliest"),
    ("allow.auto.create.topics", "false"),
    // What a thread's consumer fetches ahead.
    ("queued.max.messages.kbytes", "8192"),
    // Who waits for the end of a partition waits no longer than that for it.
    ("fetch.wait.max.ms", "20"),
    ("fetch.error.backoff.ms", "20"),
    ("fetch.queue.backoff.ms", "20"),
];
/// The header of a message that is not the whole row.
const TRUNCATED: &str = "truncated";

/// A message, as far as it matters.
pub(super) struct Message<'a> {
    pub(super) value: &'a [u8],
    /// When it was written, in milliseconds since 1970.
    pub(super) at_ms: i64,
    /// Names of the columns of it that were cut, with commas between them.
    pub(super) cut: Option<&'a str>,
}

/// Partitions of topics, one after the other.
pub(super) struct Topics {
    consumers: Consumers,
    threads: usize,
    partitions: Vec<Partition>,
    /// Those that are not at work: it takes one some time to get to know the brokers.
    idle: Mutex<Vec<KafkaConsumer>>,
}

pub(super) struct Partition {
    pub(super) topic: String,
    number: i32,
}

/// The first offset of a partition, and the one behind the last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) begin: i64,
    pub(super) end: i64,
}

impl Topics {
    /// Asks which partitions there are.
    pub(super) fn open(sink: &KafkaOptions, names: &BTreeSet<String>, threads: usize) -> Result<Topics, VerifyError> {
        let consumers = Consumers::new(sink, SETTINGS)?;
        let consumer = consumers.consumer()?;
        let failed = |name: &str, error: &KafkaError| failed(&consumers, name, error);
        let mut partitions = Vec::new();
        for name in names {
            let metadata = consumer.fetch_metadata(Some(name), ANSWER).map_err(|error| failed(name, &error))?;
            let found = metadata.topics().iter().find(|topic| topic.name() == name);
            let found = found.filter(|topic| topic.error().is_none() && !topic.partitions().is_empty());
            let found = found.ok_or_else(|| VerifyError::Kafka {
                topic: name.clone(),
                reason: "brokers do not tell its partitions".to_owned(),
            })?;
            let numbers = found.partitions().iter().map(|partition| partition.id());
            partitions.extend(numbers.map(|number| Partition { topic: name.clone(), number }));
        }
        Ok(Topics { threads, partitions, idle: Mutex::new(vec![consumer]), consumers })
    }

    pub(super) fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// Of each partition.
    pub(super) fn extents(&self) -> Result<Vec<Extent>, VerifyError> {
        let consumer = self.consumer()?;
        let extent = |partition: &Partition| {
            let extent = consumer.fetch_watermarks(&partition.topic, partition.number, ANSWER);
            extent.map(|(begin, end)| Extent { begin, end }).map_err(|error| self.failed(&partition.topic, &error))
        };
        let extents = self.partitions.iter().map(extent).collect();
        self.give_back(consumer);
        extents
    }

    fn consumer(&self) -> Result<KafkaConsumer, VerifyError> {
        let idle = self.idle.lock().expect("nobody panics with it").pop();
        idle.map_or_else(|| Ok(self.consumers.consumer()?), Ok)
    }

    fn give_back(&self, consumer: KafkaConsumer) {
        self.idle.lock().expect("nobody panics with it").push(consumer);
    }

    fn failed(&self, topic: &str, error: &KafkaError) -> VerifyError {
        failed(&self.consumers, topic, error)
    }

    /// Gives what stands in each partition between two offsets to `take`, with the index of the partition.
    pub(super) fn read(
        &self,
        from: &[i64],
        to: &[i64],
        stop: &Stop,
        take: &(dyn Fn(u32, Message<'_>) -> Result<(), VerifyError> + Sync),
    ) -> Result<(), VerifyError> {
        let wanted: Vec<usize> = (0..self.partitions.len()).filter(|&index| from[index] < to[index]).collect();
        let mut jobs: VecDeque<Vec<usize>> = VecDeque::new();
        for of_topic in wanted.chunk_by(|&one, &other| self.partitions[one].topic == self.partitions[other].topic) {
            jobs.extend(of_topic.chunks(of_topic.len().div_ceil(self.threads)).map(<[usize]>::to_vec));
        }
        let threads = self.threads.min(jobs.len());
        let jobs = Mutex::new(jobs);
        let next = || jobs.lock().expect("nobody panics with it").pop_front();
        let work = || -> Result<(), VerifyError> {
            let consumer = self.consumer()?;
            while let Some(job) = next() {
                self.read_some(&consumer, &job, from, to, stop, take)?;
            }
            self.give_back(consumer);
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let results = workers.into_iter().map(|worker| worker.join().expect("a reader of topics does not panic"));
            // All of them, so that the first error is not one that another has caused.
            results.collect::<Vec<_>>().into_iter().collect()
        })
    }

    /// Some partitions of one topic.
    fn read_some(
        &self,
        consumer: &KafkaConsumer,
        job: &[usize],
        from: &[i64],
        to: &[i64],
        stop: &Stop,
        take: &(dyn Fn(u32, Message<'_>) -> Result<(), VerifyError> + Sync),
    ) -> Result<(), VerifyError> {
        let topic = &self.partitions[job[0]].topic;
        let failed = |error: KafkaError| self.failed(topic, &error);
        let mut assigned = TopicPartitionList::new();
        for &index in job {
            let partition = &self.partitions[index];
            assigned.add_partition_offset(topic, partition.number, Offset::Offset(from[index])).map_err(failed)?;
        }
        consumer.assign(&assigned).map_err(failed)?;
        let index_of = |number: i32| job.iter().copied().find(|&index| self.partitions[index].number == number);
        let mut left: BTreeSet<usize> = job.iter().copied().collect();
        let mut heard = Instant::now();
        let mut last_error = None;
        while !left.is_empty() {
            if stop.is_stopped() {
                return Err(VerifyError::Interrupted);
            }
            // What comes of other partitions says nothing of those that are waited for.
            if heard.elapsed() > SILENCE {
                let reason = last_error.unwrap_or_else(|| format!("nothing came for {} s", SILENCE.as_secs()));
                let silent = || VerifyError::Kafka { topic: topic.clone(), reason };
                return Err(self.consumers.lacking().map_or_else(silent, VerifyError::from));
            }
            let done = match consumer.poll(POLL) {
                None => continue,
                // What was there before the end has come, compacted or not.
                Some(Err(KafkaError::PartitionEOF(number))) => {
                    match index_of(number).filter(|index| left.contains(index)) {
                        None => continue,
                        index => index,
                    }
                }
                Some(Err(error)) => match error.rdkafka_error_code() {
                    // It tries again by itself.
                    Some(code) if may_pass(code) => {
                        last_error = Some(error.to_string());
                        continue;
                    }
                    _ => return Err(failed(error)),
                },
                Some(Ok(message)) => {
                    let index = index_of(message.partition()).filter(|index| left.contains(index));
                    let Some(index) = index else { continue };
                    // Where a log has lost its end, brokers begin anew with what was read before.
                    if (from[index]..to[index]).contains(&message.offset()) {
                        let headers = message.headers();
                        let header = headers.and_then(|headers| headers.iter().find(|header| header.key == TRUNCATED));
                        let cut = header.map(|header| {
                            header.value.and_then(|names| std::str::from_utf8(names).ok()).unwrap_or_default()
                        });
                        let at_ms = message.timestamp().to_millis().unwrap_or(0);
                        // One without a value is a tombstone, behind the delete that says the same.
                        if let Some(value) = message.payload() {
                            take(index as u32, Message { value, at_ms, cut })?;
                        }
                    }
                    Some(index).filter(|&index| message.offset() + 1 >= to[index])
                }
            };
            heard = Instant::now();
            // What comes of a partition behind its end is passed over: there is little of it.
            if let Some(index) = done {
                left.remove(&index);
            }
        }
        consumer.unassign().map_err(failed)?;
        Ok(())
    }
}

fn may_pass(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::*;
    matches!(
        code,
        BrokerTransportFailure
            | AllBrokersDown
            | Resolve
            | OperationTimedOut
            | NotLeaderForPartition
            | LeaderNotAvailable
            | NotCoordinator
            | CoordinatorNotAvailable
            | CoordinatorLoadInProgress
            | GroupAuthorizationFailed
    )
}

/// For want of a token, brokers say nothing that would tell why.
fn failed(consumers: &Consumers, topic: &str, error: &KafkaError) -> VerifyError {
    match consumers.lacking() {
        Some(lacking) => lacking.into(),
        None => VerifyError::Kafka { topic: topic.to_owned(), reason: error.to_string() },
    }
}
