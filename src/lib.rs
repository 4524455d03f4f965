//! Ochre: a Redis-compatible in-memory server.

pub mod keyspace;
