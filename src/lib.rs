//! Ochre: a Redis-compatible in-memory server.

pub mod clock;
pub mod keyspace;
pub mod value;
