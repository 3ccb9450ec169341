//! What bytes does a change become?
//!
//! An [`Encoder`] is planned once per table version, binds to the columns of each batch once, and then runs over the
//! rows without looking anything up:
//!
//! ```text
//! Table ── plan ──► constant byte fragments ─┐
//! ChangeBatch ── bind ──► typed column refs ─┴─ run ──► one buffer, one end per message
//! ```

pub mod canal_json;
pub mod dts_avro;
#[cfg(test)]
mod samples;
pub mod text;
pub mod zero_dates;

use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_model::message::ByteStrings;
use tidegate_model::{ChangeBatch, Mark, TableName};

/// Turns changes of one table version into messages. Built once per version, used from many threads.
pub trait Encoder: Send + Sync {
    /// Appends one message per change to `out`, in order. On error `out` is as it was before the call.
    ///
    /// `first_id` is for formats that number their records: the change of sequence number s may use
    /// `first_id + 2 * s` and, if an update was split, the next one too. It grows from window to window.
    fn encode(&self, batch: &ChangeBatch, first_id: u64, out: &mut ByteStrings) -> Result<(), EncodeError>;

    /// What a message takes besides its texts and byte strings: all that is constant, and the most that a value of any other
    /// type takes. An update has twice as much at most.
    fn row_bytes(&self) -> usize;
}

/// Turns what stands between changes into messages.
pub trait MarkEncoder: Send + Sync {
    /// Appends the message of a mark, or none if the format has none for it. `table` is the one of a statement that the
    /// message is about; `id` as in [`Encoder::encode`].
    fn encode(&self, mark: &Mark, table: Option<&TableName>, id: u64, out: &mut ByteStrings);
}

/// Milliseconds since 1970: when a message is made.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A value that has no form in the format.
#[derive(Debug, thiserror::Error)]
#[error("table {table}, column {column}: {reason}")]
pub struct EncodeError {
    pub table: TableName,
    pub column: String,
    pub reason: String,
}
