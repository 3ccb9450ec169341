//! Where do changes come from, and from which point?

pub mod mysql;
pub mod parquet;
