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
//! One buffer holds all values of a batch, so that a sink can hand out slices without copying. Nothing here knows tables.

use std::sync::Arc;

use crate::Progress;

/// Values for one topic.
#[derive(Debug, Default)]
pub struct MessageBatch {
    pub topic: Arc<str>,
    pub values: Values,
    /// Kafka partition of each value.
    pub partitions: Vec<i32>,
    /// Order of each value among all values of the window: ascending here, unique across the window's batches
    /// except for the two messages of a split update, which stand side by side in one batch.
    pub sequence: Vec<u32>,
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

    pub fn byte_size(&self) -> usize {
        self.batches.iter().map(|batch| batch.values.bytes.len()).sum()
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
