//! How does it go? One [report](report::Report), several views.
//!
//! ```text
//! stages, source, sink ──counts──► Status ──┐                        ┌──► terminal: bars, lines of the log     (display)
//! tracker ──position──────────────────────── ├─► Monitor ──► Report ──┼──► <state>/status.sock ◄── tidegate status
//! log ──warnings, errors──────────────────── ┘   once a second        └──► http: /, /status, /events, /metrics, /health, /ready
//! ```
//!
//! Stages count windows, never rows ([`tidegate_model::status`]), and nobody who counts waits for anybody who looks. [`monitor`] makes
//! rates of counts; [`lag`] says how late the task is; [`report`] is what is told, and [`words`] how that reads. [`server`] speaks HTTP on
//! the socket and, where the task says so, on a port; [`client`] is the other end of the socket,
//! and [`error`] what it meets there.

pub mod client;
pub mod error;
pub(crate) mod lag;
pub mod metrics;
pub mod monitor;
pub mod problems;
pub mod report;
pub mod server;
mod socket;
pub mod words;
