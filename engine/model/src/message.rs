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

use serde::{Deserialize, Serialize};

use crate::{Progress, TableName};

/// Values for one topic.
#[derive(Clone, Debug, Default)]
pub struct MessageBatch {
    pub topic: Arc<str>,
    /// An empty one is Kafka's null, which no format writes: a tombstone, behind the delete of its key.
    pub values: ByteStrings,
    /// Key of each value; none where messages have none.
    pub keys: Option<ByteStrings>,
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

impl MessageBatch {
    /// The messages that take more than so many bytes: where none does, for a comparison a message, or one for all.
    pub fn beyond(&self, bytes: usize) -> Vec<usize> {
        let beside = match &self.headers {
            Some(headers) => headers.sets().map(Headers::set_bytes).max().unwrap_or(0),
            None => 0,
        };
        let keys = self.keys.as_ref().map_or(0, |keys| keys.bytes.len());
        if self.values.bytes.len() + keys + beside <= bytes {
            return Vec::new();
        }
        // No value has more beside it than the longest key and the most headers.
        let longest_key = self.keys.as_ref().map_or(0, ByteStrings::longest);
        if self.values.longest() + longest_key + beside <= bytes {
            return Vec::new();
        }
        (0..self.values.len()).filter(|&index| self.message_bytes(index) > bytes).collect()
    }

    /// Gives some messages, named in ascending order, another value, which is not longer, or leaves them out.
    pub fn rewrite(&mut self, changed: &[(usize, Option<Vec<u8>>)]) {
        let is_left_out = |index: usize| {
            let found = changed.binary_search_by_key(&index, |(index, _)| *index);
            found.is_ok_and(|found| changed[found].1.is_none())
        };
        self.values.rewrite(changed);
        let left_out: Vec<_> = changed.iter().filter(|(_, value)| value.is_none()).cloned().collect();
        if left_out.is_empty() {
            return;
        }
        if let Some(keys) = &mut self.keys {
            keys.rewrite(&left_out);
        }
        if let Some(headers) = &mut self.headers {
            retain(&mut headers.of, is_left_out);
        }
        retain(&mut self.partitions, is_left_out);
        retain(&mut self.sequence, is_left_out);
    }
}

fn retain<T>(items: &mut Vec<T>, is_left_out: impl Fn(usize) -> bool) {
    let mut index = 0;
    items.retain(|_| {
        index += 1;
        !is_left_out(index - 1)
    });
}

/// Byte strings in one buffer.
#[derive(Clone, Debug, Default)]
pub struct ByteStrings {
    pub bytes: Vec<u8>,
    /// End of each value in `bytes`; the first begins at 0, each other where the one before ends.
    pub ends: Vec<usize>,
}

impl ByteStrings {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of the longest.
    pub fn longest(&self) -> usize {
        let mut start = 0;
        let lengths = self.ends.iter().map(|&end| end - std::mem::replace(&mut start, end));
        lengths.max().unwrap_or(0)
    }

    pub fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// As [`MessageBatch::rewrite`].
    fn rewrite(&mut self, changed: &[(usize, Option<Vec<u8>>)]) {
        let mut changed = changed.iter().peekable();
        let (mut from, mut to, mut kept) = (0, 0, 0);
        for index in 0..self.ends.len() {
            let value = from..self.ends[index];
            from = value.end;
            match changed.next_if(|(other, _)| *other == index) {
                Some((_, None)) => continue,
                Some((_, Some(other))) => {
                    assert!(to + other.len() <= value.end, "a longer value would be written over those behind it");
                    self.bytes[to..to + other.len()].copy_from_slice(other);
                    to += other.len();
                }
                None => {
                    let len = value.len();
                    self.bytes.copy_within(value, to);
                    to += len;
                }
            }
            self.ends[kept] = to;
            kept += 1;
        }
        self.ends.truncate(kept);
        self.bytes.truncate(to);
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
#[derive(Clone, Debug, Default)]
pub struct Headers {
    of: Vec<u32>,
    /// Ends in `names` and `values`; the first set begins at 0, each other where the one before ends.
    sets: Vec<usize>,
    names: Vec<&'static str>,
    values: ByteStrings,
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

    /// Gives a message the headers that it has and one more, of which no other message knows.
    pub fn add(&mut self, message: usize, name: &'static str, value: &[u8]) {
        let had: Vec<(&'static str, Vec<u8>)> = self.get(message).map(|(name, value)| (name, value.to_vec())).collect();
        for (name, value) in had {
            self.push(name, |out| out.extend_from_slice(&value));
        }
        self.push(name, |out| out.extend_from_slice(value));
        self.of[message] = self.end_set();
    }

    /// Of messages that have none.
    pub fn none(messages: usize) -> Headers {
        Headers { of: vec![0; messages], sets: vec![0], ..Headers::default() }
    }

    fn set(&self, set: usize) -> impl Iterator<Item = (&'static str, &[u8])> {
        let start = if set == 0 { 0 } else { self.sets[set - 1] };
        (start..self.sets[set]).map(|index| (self.names[index], self.values.get(index)))
    }
}

/// How many messages of a table were larger than their topic takes, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TooLarge {
    /// Left out.
    pub skipped: u64,
    /// Sent to another topic, in parts.
    pub dead_letters: u64,
    /// Sent with columns cut.
    pub truncated: u64,
}

impl std::ops::AddAssign for TooLarge {
    fn add_assign(&mut self, more: TooLarge) {
        self.skipped += more.skipped;
        self.dead_letters += more.dead_letters;
        self.truncated += more.truncated;
    }
}

/// Messages that travel together, and what their delivery makes safe.
#[derive(Debug, Default)]
pub struct MessageWindow {
    pub batches: Vec<MessageBatch>,
    pub progress: Option<Progress>,
    /// By the source's name of their table, those that are not here as they were made.
    pub too_large: Vec<(TableName, TooLarge)>,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn values(texts: &[&str]) -> ByteStrings {
        let mut values = ByteStrings::default();
        for text in texts {
            values.bytes.extend_from_slice(text.as_bytes());
            values.ends.push(values.bytes.len());
        }
        values
    }

    fn texts(values: &ByteStrings) -> Vec<&str> {
        values.iter().map(|value| str::from_utf8(value).unwrap()).collect()
    }

    #[test]
    fn the_largest_are_found() {
        let mut batch = MessageBatch { values: values(&["zero", "one", "", "three"]), ..MessageBatch::default() };
        let found = |batch: &MessageBatch| [16, 12, 11, 5, 4, 3].map(|bytes| batch.beyond(bytes));
        assert_eq!(found(&batch), [vec![], vec![], vec![], vec![], vec![3], vec![0, 3]]);
        batch.keys = Some(values(&["12345678", "", "", ""]));
        assert_eq!(found(&batch), [vec![], vec![], vec![0], vec![0], vec![0, 3], vec![0, 3]]);
        let mut headers = Headers::none(4);
        headers.add(1, "a", b"");
        batch.headers = Some(headers);
        assert_eq!(found(&batch), [vec![], vec![1], vec![0, 1], vec![0, 1], vec![0, 1, 3], vec![0, 1, 3]]);
    }

    #[test]
    fn messages_are_left_out_or_get_another_value() {
        let mut batch = MessageBatch {
            values: values(&["zero", "one", "two", "", "four"]),
            keys: Some(values(&["0", "1", "2", "2", "4"])),
            headers: Some(Headers::none(5)),
            partitions: vec![0, 1, 2, 2, 4],
            sequence: vec![10, 11, 12, 12, 14],
            ..MessageBatch::default()
        };
        batch.headers.as_mut().unwrap().add(4, "truncated", b"a");
        batch.rewrite(&[(0, Some(b"0".to_vec())), (2, None), (4, Some(b"IV".to_vec()))]);
        assert_eq!(texts(&batch.values), ["0", "one", "", "IV"]);
        assert_eq!(texts(batch.keys.as_ref().unwrap()), ["0", "1", "2", "4"]);
        assert_eq!((&*batch.partitions, &*batch.sequence), (&[0, 1, 2, 4][..], &[10, 11, 12, 14][..]));
        let headers = batch.headers.as_ref().unwrap();
        assert_eq!((headers.len(), headers.get(0).count()), (4, 0));
        assert_eq!(headers.get(3).collect::<Vec<_>>(), [("truncated", &b"a"[..])]);
        batch.rewrite(&[(0, None), (1, None), (2, None), (3, None)]);
        assert!(batch.values.is_empty() && batch.values.bytes.is_empty() && batch.partitions.is_empty());
    }
}
