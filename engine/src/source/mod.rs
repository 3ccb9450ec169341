//! Where do changes come from, and from which point?

pub mod binlog_file;
pub mod mysql;
pub mod parquet;
