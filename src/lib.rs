//! Ochre: a Redis-compatible in-memory server.

pub mod client;
pub mod keyspace;
pub mod sync;
