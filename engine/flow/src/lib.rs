//! How windows get from a source to their deliveries, and what a task must not forget of it, whatever source, format and sink are.
//!
//! ```text
//! source ─► windows ─► pipeline: route, encode on all cores, send in order ─► deliveries, in order
//!   │                                                                              │
//!   │ changes it, and waits until it is on disk where a crash                      ▼
//!   └ would lose or repeat rows ─────────────────────────────────────────► tracker: state ─► store: what has changed of it
//! ```
//!
//! [`pipeline`] joins the stages, within [`room`]; [`tracker`] holds the state of a running task and decides when it is written;
//! [`store`] writes it so that a crash at any moment leaves what had been written before. What stands in the state, none of them
//! knows: it is [entries](tidegate_model::state).

pub mod pipeline;
pub mod room;
pub mod store;
#[cfg(test)]
mod tests;
pub mod tracker;
