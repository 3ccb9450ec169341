//! What a task must not forget, whatever its source, its format and its sink are.
//!
//! ```text
//! deliveries, in order ─► tracker ─► state, in memory ─► what has changed of it ─► store, on disk
//!                           ▲
//! sources ──────────────────┘  change it, and wait until it is on disk where a crash would lose or repeat rows
//! ```
//!
//! [`tracker`] holds the state of a running task and decides when it is written; [`store`] writes it so that a crash at any moment
//! leaves what had been written before. What stands in the state, neither knows: it is [entries](tidegate_model::state).

pub mod store;
pub mod tracker;
