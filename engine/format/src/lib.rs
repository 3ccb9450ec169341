//! What leaves for Kafka: which changes, as which bytes, into which partition.
//!
//! ```text
//! ChangeBatch ──► transform ──► encode ─────► MessageBatch
//!                 filter,       Canal JSON,   value, key, headers,
//!                 projection    DTS Avro      partition,
//!                               key, headers  sequence number
//!                               partition
//! ```
//!
//! Everything here is planned once per table version and bound once per batch. Nothing here knows where changes come from, or
//! how messages are sent.

pub mod columns;
pub mod cut;
pub mod dead_letter;
pub mod encode;
pub mod headers;
pub mod key;
pub mod partition;
pub mod transform;
pub mod unchanged;
