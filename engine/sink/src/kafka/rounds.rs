//! How do messages stay in order where brokers do not number them?
//!
//! A request whose answer does not come is sent again, and without idempotence nobody sees that it was written already, or that a later one
//! was. That librdkafka has one request of a connection in flight at most is not enough: while one that was refused waits to be sent again,
//! the next messages of the partition go out, and when the partition gets another leader, they go there while the request to the old one is
//! still out. So there is nothing behind it: of a partition, what one request holds is handed over, and the next when it is acknowledged.
//!
//! ```text
//! partition 0   ███ ─┐        ██ ─┐          a round: one request of each partition that has something left
//! partition 1   ███ ─┤        ███ ┤
//! partition 2   █ ───┤            │          what is sent again comes twice, side by side in its partition:
//!                    ▼ all        ▼ all      1 2 3 1 2 3 4 5, and never 1 2 4 5 3
//! ```
//!
//! What such brokers find wrong with a message (one without a key in a topic that is compacted), they call invalid, as they do with one that
//! was damaged on its way, and librdkafka sends it again without end and without a word, except in its log.
//!
//! librdkafka makes one request of what it was handed if it finds all of it there. It would not look before `linger.ms`, and is told to
//! when the round is complete.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::outstanding::WindowId;
use super::producer::{HeaderList, Message, Messages, Producer, Topic};
use super::{MESSAGES_PER_CALL, handle};
use crate::{SinkError, order};
use tidegate_model::message::{Headers, MessageBatch};

/// How soon it is seen that everything has failed.
const LOOK: Duration = Duration::from_millis(50);
/// Most that a message takes in a request beside its own bytes, in any format of Kafka,
const FRAMING_BYTES: usize = 100;
/// and the request beside its messages: names of the topic and the client.
const REQUEST_BYTES: usize = 2048;

/// How often messages are found invalid until it is believed.
pub(super) const INVALID_MAX: u32 = 5;

/// Topic and partition, if the line of librdkafka's log tells that messages were found invalid.
pub(super) fn invalid(line: &str) -> Option<(&str, i32)> {
    let (place, what) = line.split_once("]: MessageSet with ")?;
    let (place, partition) = place.rsplit_once(" [")?;
    let (_, topic) = place.rsplit_once(' ')?;
    what.contains("encountered error: Broker: Invalid message ").then_some((topic, partition.parse().ok()?))
}

/// What one request holds.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    pub(super) bytes: usize,
    pub(super) messages: usize,
}

/// The messages of one partition that are left, in order.
struct Lane<'b> {
    topic: &'b Arc<str>,
    partition: i32,
    messages: Vec<(&'b MessageBatch, usize)>,
    done: usize,
}

impl<'b> Lane<'b> {
    /// Takes what fits into one request.
    fn next(&mut self, limit: Limit) -> &[(&'b MessageBatch, usize)] {
        let rest = &self.messages[self.done..];
        let mut bytes = REQUEST_BYTES;
        let fits = |&&(batch, index): &&(&MessageBatch, usize)| {
            bytes += batch.message_bytes(index) + FRAMING_BYTES;
            bytes <= limit.bytes
        };
        // One message is a request of its own, however large it is.
        let count = rest.iter().take(limit.messages.max(1)).take_while(fits).count().max(1).min(rest.len());
        self.done += count;
        &rest[..count]
    }
}

/// Sends a window, and returns when all of it is acknowledged.
///
/// # Safety
/// The window is in `outstanding` and holds the batches.
pub(super) unsafe fn send(
    handles: &mut HashMap<Arc<str>, Topic>,
    producer: &Arc<Producer>,
    window: WindowId,
    batches: &[MessageBatch],
    limit: Limit,
) -> Result<(), SinkError> {
    let mut lanes = lanes(batches);
    let mut left: usize = lanes.iter().map(|lane| lane.messages.len()).sum();
    while left > 0 {
        for lane in lanes.iter_mut().filter(|lane| lane.done < lane.messages.len()) {
            let (topic, partition) = (handle(handles, producer, lane.topic)?, lane.partition);
            let messages = lane.next(limit);
            left -= messages.len();
            // SAFETY: the caller's promise.
            unsafe { hand_over(topic, partition, messages, window) }?;
        }
        loop {
            producer.flush(LOOK);
            if let Some(failure) = producer.outstanding.failure() {
                return Err(failure);
            }
            if producer.outstanding.oldest().is_none_or(|(oldest, missing)| oldest != window || missing <= left) {
                break;
            }
            // The reports are there, and are being counted.
            producer.outstanding.wait_for_change(Duration::from_millis(1));
        }
    }
    Ok(())
}

fn lanes(batches: &[MessageBatch]) -> Vec<Lane<'_>> {
    let mut by_topic: Vec<&MessageBatch> = batches.iter().filter(|batch| !batch.values.is_empty()).collect();
    by_topic.sort_by(|a, b| a.topic.cmp(&b.topic));
    let mut lanes = Vec::new();
    for same_topic in by_topic.chunk_by(|a, b| a.topic == b.topic) {
        let mut of_partition: HashMap<i32, usize> = HashMap::new();
        order::each_run(same_topic, |batch, run| {
            for index in run {
                let partition = batch.partitions[index];
                let lane = *of_partition.entry(partition).or_insert_with(|| {
                    lanes.push(Lane { topic: &same_topic[0].topic, partition, messages: Vec::new(), done: 0 });
                    lanes.len() - 1
                });
                lanes[lane].messages.push((batch, index));
            }
        });
    }
    lanes
}

/// # Safety
/// As for [`send`].
unsafe fn hand_over(
    topic: &Topic,
    partition: i32,
    messages: &[(&MessageBatch, usize)],
    window: WindowId,
) -> Result<(), SinkError> {
    let mut list = Messages::default();
    for &(batch, index) in messages {
        let (value, key) = (batch.values.get(index), batch.keys.as_ref().map(|keys| keys.get(index)));
        let headers = batch.headers.as_ref().map(|headers: &Headers| HeaderList::new(headers.get(index)));
        if let Some(headers) = &headers {
            // SAFETY: the caller's promise.
            unsafe { topic.produce(partition, &mut list) }?;
            let message = Message { partition, value, key, headers: Some(headers) };
            // SAFETY: as above.
            unsafe { topic.produce_one(&message, window) }?;
        } else {
            list.push(value, key, window);
            if list.len() == MESSAGES_PER_CALL {
                // SAFETY: as above.
                unsafe { topic.produce(partition, &mut list) }?;
            }
        }
    }
    // SAFETY: as above.
    unsafe { topic.produce(partition, &mut list) }
}
