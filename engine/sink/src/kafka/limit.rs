//! Is a message larger than its topic takes? Judged as those judge it who would refuse it.
//!
//! ```text
//!   client (message.max.bytes)      key + value + headers
//!   broker (max.message.bytes)      ┌ head of a batch, 61 bytes ┬ records, compressed if that makes them smaller ┐
//!                                   │                           │ length, times, key, value, headers            │
//! ```
//!
//! librdkafka never puts a message beside others that does not fit into `batch.size` with them, so that a large one has a batch of its
//! own. One that fits as it is fits in any case, which costs a comparison; only what lies between is compressed to know, by
//! librdkafka's own codecs ([`Codec`]). A topic with a `compression.type` of its own has brokers compress anew, and judge that too.

use super::FRAMING_BYTES_MAX;
use super::producer::Codec;
use tidegate_model::message::MessageBatch;

/// What a topic takes of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageLimit {
    /// `message.max.bytes` of the client.
    client: usize,
    /// `max.message.bytes` of the topic; none if brokers do not tell.
    topic: Option<usize>,
    /// How messages leave.
    packing: Packing,
    /// How brokers keep them, if not as they come.
    kept: Kept,
}

/// `compression.type` and `compression.level` of the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Packing {
    pub(super) codec: Option<Codec>,
    pub(super) level: i32,
}

/// `compression.type` of a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kept {
    #[default]
    AsItComes,
    Plain,
    Packed(Codec),
}

impl Kept {
    pub(super) fn named(word: &str) -> Kept {
        match Codec::named(word) {
            Some(codec) => Kept::Packed(codec),
            None if word == "uncompressed" => Kept::Plain,
            None => Kept::AsItComes,
        }
    }
}

/// By how much a message is too large, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// What was compared: key, value and headers for the client, the whole batch for a topic.
    pub bytes: usize,
    pub limit: usize,
    /// Whose limit it is.
    pub setting: &'static str,
}

/// Of a batch, before its records.
const BATCH_HEAD_BYTES: usize = 61;
/// Most that a record has besides key, value and headers, where headers are counted as [`Headers`](tidegate_model::message::Headers) do.
const RECORD_FRAMING_BYTES_MAX: usize = 23;

impl MessageLimit {
    pub(super) fn new(message_max_bytes: usize, topic: Option<usize>, packing: Packing, kept: Kept) -> MessageLimit {
        MessageLimit { client: message_max_bytes, topic, packing, kept }
    }

    /// Of a topic that takes so much as it is, whatever it would be compressed: for tests of what comes before a sink.
    pub fn plain(bytes: usize) -> MessageLimit {
        MessageLimit::new(usize::MAX, Some(bytes), Packing::default(), Kept::AsItComes)
    }

    /// Up to here key, value and headers are surely not too large.
    pub fn surely(&self) -> usize {
        let topic = self.topic.unwrap_or(usize::MAX).saturating_sub(BATCH_HEAD_BYTES + RECORD_FRAMING_BYTES_MAX);
        topic.min(self.of_client())
    }

    /// The topic's own, if brokers tell it.
    pub fn of_topic(&self) -> Option<usize> {
        self.topic
    }

    fn of_client(&self) -> usize {
        self.client.saturating_sub(FRAMING_BYTES_MAX)
    }

    /// Whether a message is too large.
    pub fn excess(&self, batch: &MessageBatch, index: usize) -> Option<Excess> {
        let bytes = batch.message_bytes(index);
        if bytes <= self.surely() {
            return None;
        }
        if bytes > self.of_client() {
            return Some(Excess { bytes, limit: self.of_client(), setting: "message.max.bytes" });
        }
        let limit = self.topic?;
        let record = record(batch, index);
        let packed =
            |codec: Codec, level| codec.packed_len(level, &record).map_or(record.len(), |len| len.min(record.len()));
        let sent = self.packing.codec.map_or(record.len(), |codec| packed(codec, self.packing.level));
        let records = match self.kept {
            Kept::Plain => record.len(),
            Kept::Packed(codec) if Some(codec) != self.packing.codec => sent.max(packed(codec, -1)),
            Kept::Packed(_) | Kept::AsItComes => sent,
        };
        let bytes = BATCH_HEAD_BYTES + records;
        (bytes > limit).then_some(Excess { bytes, limit, setting: "max.message.bytes" })
    }
}

/// A message as the only record of a batch.
fn record(batch: &MessageBatch, index: usize) -> Vec<u8> {
    let write = |bytes: &[u8], out: &mut Vec<u8>| {
        write_varint(bytes.len() as i64, out);
        out.extend_from_slice(bytes);
    };
    let value = batch.values.get(index);
    // Attributes, and how much later and further it is than the first of the batch.
    let mut before = vec![0, 0, 0];
    match &batch.keys {
        Some(keys) => write(keys.get(index), &mut before),
        None => write_varint(-1, &mut before),
    }
    // An empty value is Kafka's null.
    write_varint(if value.is_empty() { -1 } else { value.len() as i64 }, &mut before);
    let mut behind = Vec::new();
    let headers: Vec<_> = batch.headers.iter().flat_map(|headers| headers.get(index)).collect();
    write_varint(headers.len() as i64, &mut behind);
    for (name, value) in headers {
        write(name.as_bytes(), &mut behind);
        write(value, &mut behind);
    }
    let len = before.len() + value.len() + behind.len();
    let mut record = Vec::with_capacity(len + 5);
    write_varint(len as i64, &mut record);
    record.extend_from_slice(&before);
    record.extend_from_slice(value);
    record.extend_from_slice(&behind);
    record
}

/// Numbers as Protocol Buffers' `sint64` has them.
fn write_varint(number: i64, out: &mut Vec<u8>) {
    let mut left = ((number << 1) ^ (number >> 63)) as u64;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::message::{ByteStrings, Headers};

    fn message(value: usize, key: Option<&[u8]>, header: Option<&str>) -> MessageBatch {
        let one = |bytes: Vec<u8>| ByteStrings { ends: vec![bytes.len()], bytes };
        let headers = header.map(|text| {
            let mut headers = Headers::default();
            headers.push("op", |out| out.extend_from_slice(text.as_bytes()));
            let set = headers.end_set();
            headers.append(set);
            headers
        });
        MessageBatch {
            values: one(vec![7; value]),
            keys: key.map(|key| one(key.to_vec())),
            headers,
            partitions: vec![0],
            sequence: vec![0],
            ..MessageBatch::default()
        }
    }

    #[test]
    fn what_surely_fits_fits() {
        for (key, header) in [(None, None), (Some(&b""[..]), None), (Some(b"key"), Some("insert"))] {
            for value in [1, 63, 64, 8191, 8192, 1_048_575, 1_048_576] {
                let batch = message(value, key, header);
                let all = BATCH_HEAD_BYTES + record(&batch, 0).len();
                assert!(all <= batch.message_bytes(0) + BATCH_HEAD_BYTES + RECORD_FRAMING_BYTES_MAX, "{value}");
                assert_eq!(MessageLimit::plain(all).excess(&batch, 0), None);
                let excess = Excess { bytes: all, limit: all - 1, setting: "max.message.bytes" };
                assert_eq!(MessageLimit::plain(all - 1).excess(&batch, 0), Some(excess));
            }
        }
    }

    #[test]
    fn the_client_counts_what_is_plain_and_brokers_what_they_keep() {
        let batch = message(3_000_000, None, None);
        let lz4 = Packing { codec: Codec::named("lz4"), level: -1 };
        let of = |client, topic, packing, kept| MessageLimit::new(client, topic, packing, kept).excess(&batch, 0);
        let large = 16 << 20;
        assert_eq!(of(large, Some(1_000_000), lz4, Kept::AsItComes), None);
        assert_eq!(of(large, None, Packing::default(), Kept::AsItComes), None);
        assert_eq!(of(large, Some(1_000_000), lz4, Kept::named("zstd")), None);
        assert_eq!(of(large, Some(1_000_000), lz4, Kept::named("producer")), None);
        let setting = |excess: Option<Excess>| excess.map(|excess| excess.setting);
        assert_eq!(setting(of(large, Some(1_000_000), lz4, Kept::named("uncompressed"))), Some("max.message.bytes"));
        assert_eq!(setting(of(large, Some(1_000_000), Packing::default(), Kept::AsItComes)), Some("max.message.bytes"));
        assert_eq!(setting(of(1_000_000, Some(1_000_000), lz4, Kept::AsItComes)), Some("message.max.bytes"));
    }
}
