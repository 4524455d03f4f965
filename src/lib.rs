//! Ochre: a Redis-compatible in-memory server.

pub mod client;
pub mod clock;
pub mod command;
pub mod commands;
pub mod config;
pub mod exec;
pub mod fault;
pub mod keyspace;
pub mod log;
pub mod memory;
pub mod net;
pub mod observe;
pub mod reclaim;
pub mod resp;
pub mod server;
pub mod sync;
pub mod value;

pub use server::{Builder, Server};

/// Ochre's own version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The version of Redis whose features clients may expect.
pub const REDIS_VERSION: &str = "7.4.0";
