//! What leaves the engine: values, each with its topic, partition and place in the order.
//!
//! ```text
//! MessageWindow ── MessageBatch  topic shop.orders      values  {"data":…}{"data":…}{"data":…}
//!              │                                        ends              │         │         │
//!              │                                        partitions        2         0         2
//!              │                                        sequence          0         2         5
//!              ├─ MessageBatch  topic shop.items        …
//!              └─ progress: what is safe once all of them are delivered
//! ```
//!
//! One buffer holds all values of a batch, so that a sink can hand out slices without copying. Keys and headers stand beside it,
//! where a task has them. Nothing here knows tables.

use std::sync::Arc;

use crate::Progress;

/// Values for one topic.
#[derive(Debug, Default)]
pub struct MessageBatch {
    pub topic: Arc<str>,
    /// An empty one is Kafka's null, which no format writes: a tombstone, behind the delete of its key.
    pub values: Values,
    /// Key of each value; none where messages have none.
    pub keys: Option<Values>,
    /// Of each value, where the task asks for some.
    pub headers: Option<Headers>,
    /// Kafka partition of each value.
    pub partitions: Vec<i32>,
    /// Order of each value among all values of the window: ascending here, unique across the window's batches
    /// except for the messages of a split update and tombstones, which stand side by side in one batch.
    pub sequence: Vec<u32>,
}

impl MessageBatch {
    /// What a message takes in Kafka, but for what frames it.
    pub fn message_bytes(&self, index: usize) -> usize {
        let key = self.keys.as_ref().map_or(0, |keys| keys.get(index).len());
        let headers = self.headers.as_ref().map_or(0, |headers| headers.message_bytes(index));
        self.values.get(index).len() + key + headers
    }
}

/// Byte strings in one buffer.
#[derive(Debug, Default)]
pub struct Values {
    pub bytes: Vec<u8>,
    /// End of each value in `bytes`; the first begins at 0, each other where the one before ends.
    pub ends: Vec<usize>,
}

impl Values {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Drops everything after the first `len` values: what an encoder does when it fails half way.
    pub fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }
}

/// Names and texts beside each message of a batch. Those of one event and one operation are the same, and stand once:
///
/// ```text
/// of      0 0 0 1 …          message ► set
/// sets    3 6                set ► end of its headers
/// names   op table gtid  op table gtid
/// values  insert shop.orders 3e11…:23  delete …
/// ```
#[derive(Debug, Default)]
pub struct Headers {
    of: Vec<u32>,
    /// Ends in `names` and `values`; the first set begins at 0, each other where the one before ends.
    sets: Vec<usize>,
    names: Vec<&'static str>,
    values: Values,
}

/// What Kafka writes about a header besides its name and value.
const HEADER_BYTES: usize = 10;

impl Headers {
    /// Adds one to the set that is being made.
    pub fn push(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        self.names.push(name);
        write(&mut self.values.bytes);
        self.values.ends.push(self.values.bytes.len());
    }

    /// Ends the set, and tells its number.
    pub fn end_set(&mut self) -> u32 {
        self.sets.push(self.names.len());
        u32::try_from(self.sets.len() - 1).expect("a batch has fewer messages than that")
    }

    /// The next message has this set.
    pub fn append(&mut self, set: u32) {
        self.of.push(set);
    }

    /// Of messages.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    pub fn set_of(&self, message: usize) -> usize {
        self.of[message] as usize
    }

    /// The sets, each as names and values.
    pub fn sets(&self) -> impl Iterator<Item = impl Iterator<Item = (&'static str, &[u8])>> {
        (0..self.sets.len()).map(|set| self.set(set))
    }

    /// The headers of a message.
    pub fn get(&self, message: usize) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.set(self.set_of(message))
    }

    /// What the headers of a message take.
    pub fn message_bytes(&self, message: usize) -> usize {
        Headers::set_bytes(self.get(message))
    }

    /// What the headers of a set take in a message.
    pub fn set_bytes<'a>(set: impl Iterator<Item = (&'static str, &'a [u8])>) -> usize {
        set.map(|(name, value)| HEADER_BYTES + name.len() + value.len()).sum()
    }

    fn set(&self, set: usize) -> impl Iterator<Item = (&'static str, &[u8])> {
        let start = if set == 0 { 0 } else { self.sets[set - 1] };
        (start..self.sets[set]).map(|index| (self.names[index], self.values.get(index)))
    }
}

/// Messages that travel together, and what their delivery makes safe.
#[derive(Debug, Default)]
pub struct MessageWindow {
    pub batches: Vec<MessageBatch>,
    pub progress: Option<Progress>,
}

impl MessageWindow {
    pub fn message_count(&self) -> usize {
        self.batches.iter().map(|batch| batch.values.len()).sum()
    }

    /// Of values and keys.
    pub fn byte_size(&self) -> usize {
        let keys = |batch: &MessageBatch| batch.keys.as_ref().map_or(0, |keys| keys.bytes.len());
        self.batches.iter().map(|batch| batch.values.bytes.len() + keys(batch)).sum()
    }
}

/// What a sink can make use of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appetite {
    /// Bytes of messages on their way, beyond which nothing gets faster.
    pub messages: usize,
    /// Bytes that its client takes besides them at most. Never more than twice as much as there are messages.
    pub copies: usize,
}
