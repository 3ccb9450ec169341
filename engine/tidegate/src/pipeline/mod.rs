//! What a task makes of the [pipeline](tidegate_flow::pipeline): the way of each table's changes, and the memory that they have on it.

pub mod route;

use crate::config::Task;
use tidegate_flow::pipeline;
use tidegate_flow::room::Shares;

pub use tidegate_flow::pipeline::Emitter;

/// How a task's memory is divided.
pub fn shares(task: &Task) -> Shares {
    let readers = task.full_load.as_ref().map_or(1, |options| options.parallel.get());
    pipeline::shares(task.memory_bytes, readers, task.threads.get())
}
