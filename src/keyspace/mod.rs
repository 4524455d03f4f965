//! The keyspace: where keys and their values live.

pub mod entry;
pub mod hash;
pub mod table;
