//! Ochre: a Redis-compatible in-memory server, as a library.
//!
//! # Embedding
//!
//! A server is a value. It listens on a real socket, so every client works with it; several live in one
//! process and do not notice each other (memory figures excepted: they are the process's). Dropping it ends
//! it.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::TcpStream;
//!
//! # fn main() -> std::io::Result<()> {
//! // Port 0: a free one.
//! let server = ochre::Server::builder().config("port", "0").config("io-threads", "1").seed(7).start()?;
//! let mut stream = TcpStream::connect(server.addr())?;
//! stream.write_all(b"SET greeting hello\r\nGET greeting\r\n")?;
//! let mut reply = [0; 16];
//! stream.read_exact(&mut reply)?;
//! assert_eq!(&reply, b"+OK\r\n$5\r\nhello\r\n");
//! server.shutdown();
//! # Ok(())
//! # }
//! ```
//!
//! [`Builder::config`] takes every directive of redis.conf. Log lines are events of `tracing`; the program
//! that embeds a server has its own subscriber. Only [`Server`], [`Builder`] and [`memory::Counting`] are
//! meant for other programs. The rooms are public so that tests and benchmarks can reach them; they change
//! freely.
//!
//! # The rooms
//!
//! A room uses only rooms above it in this table, and the leaves; `tests/tidy.rs` checks it. ARCHITECTURE.md
//! has the way of a command through them and what is always true.
//!
//! | room | for |
//! |---|---|
//! | [`value`] | algorithms on values, apart from any key |
//! | [`clock`], [`fault`], [`config`] | time and chance; every error a client can see; every directive |
//! | [`resp`] | requests in, replies out |
//! | [`keyspace`] | keys, their deadlines, locks and guards |
//! | [`pubsub`] | channels and who listens to them |
//! | [`client`] | who is connected, and how threads talk to workers |
//! | [`observe`] | counters, slow log, latency |
//! | [`command`] | the row of a command, its arguments, and what a handler may touch |
//! | [`exec`] | one command from request to reply |
//! | [`script`] | Lua |
//! | [`commands`] | the families: what each command means |
//! | [`net`] | sockets, workers, turns |
//! | [`server`] | wiring, start, ordered end |
//!
//! Leaves, which use no room: [`reclaim`], [`sync`], [`memory`], [`log`], [`supervise`].

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
pub mod pubsub;
pub mod reclaim;
pub mod resp;
pub mod script;
pub mod server;
pub mod supervise;
pub mod sync;
pub mod value;

pub use server::{Builder, Server};

/// Ochre's own version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The version of Redis whose features clients may expect.
pub const REDIS_VERSION: &str = "7.4.0";

/// The examples of README.md, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
