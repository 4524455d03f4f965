//! What the integration tests share: a blocking client, readable replies, a server to talk to.
//!
//! For: tests/*.rs. May touch: sockets, child processes, the public API of the crate (in `server.rs`,
//! `local.rs`, `node.rs`, `bench.rs` and `spelling.rs` only).
//! Always: the rest knows the wire, never the inside of the server, so such a test can be pointed at any
//! Redis-like server.

// Every test binary compiles this module for itself and uses its own part of it.
#![allow(dead_code, unused_imports)]

pub mod bench;
pub mod client;
pub mod json;
pub mod local;
pub mod node;
pub mod patience;
pub mod program;
pub mod render;
pub mod server;
pub mod spelling;
pub mod transcript;
pub mod words;

pub use client::{Client, Reply};
pub use server::{TestServer, restless_server, server};
