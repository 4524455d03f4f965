//! What the integration tests share: a blocking client, readable replies, a server to talk to.
//!
//! For: tests/*.rs. May touch: sockets, child processes, the public API of the crate (in `server.rs` and `local.rs`
//! only).
//! Always: knows the wire, never the inside of the server, so every test can be pointed at any Redis-like
//! server.

// Every test binary compiles this module for itself and uses its own part of it.
#![allow(dead_code, unused_imports)]

pub mod client;
pub mod json;
pub mod local;
pub mod render;
pub mod server;
pub mod transcript;
pub mod words;

pub use client::{Client, Reply};
pub use server::{TestServer, restless_server, server};
