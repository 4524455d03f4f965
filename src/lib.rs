//! Ochre: a Redis-compatible in-memory server.
