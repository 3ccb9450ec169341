//! MySQL to Kafka: first everything that is there, then every change.
//!
//! ```text
//!  MySQL ──► source ──────► transform ──► encode ──────► sink ──► Kafka
//!            snapshot         SQL           all cores,      batches
//!            binlog           (tidegate-sql) one buffer     in order
//!               │                            per batch        │
//!               └──────── position, schema ───────────────────┴──► checkpoint
//! ```
//!
//! The stages are crates of their own. Here is what joins them (`pipeline`, `stages`), what a restart needs (`checkpoint`, `remembered`, `gap`),
//! what was done to a task (`journal`), how each kind of source is run (`source`), what is told of it meanwhile (`status`), and the program
//! around it. The modules know each other one way, in layers that a test holds them to.

pub mod apply;
pub mod checkpoint;
pub mod gap;
pub mod journal;
pub mod pipeline;
pub mod rehearsal;
pub mod reload;
pub mod remembered;
pub mod reset;
pub mod schema_fix;
pub mod shards;
pub mod source;
pub mod stages;

pub mod bench;
pub mod cli;
pub mod config;
mod confirm;
pub mod consent;
pub mod demo;
pub mod display;
pub mod error;
pub mod failure;
mod hints;
pub mod items;
pub mod log;
mod nearest;
pub mod open;
pub mod precheck;
pub mod preview;
pub mod sql;
pub mod state;
pub mod status;
pub mod task;
pub mod until;
pub mod verify;
