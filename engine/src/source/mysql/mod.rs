//! A MySQL-family server as a source.
