//! Running commands.
//!
//! For: taking a parsed request from its row to its reply: admission, locks, handler, what follows from it.
//! May touch: the keyspace, clients and counters; never sockets.
//! Always: a command runs to its end on the thread that took it; nothing is awaited between its first lock
//! and the last byte of its reply.

pub mod admit;
pub mod apply;
pub mod block;
pub mod busy;
pub mod call;
mod conclude;
mod meter;
pub mod monitor;
pub mod multi;
mod notes;
pub mod notify;
pub mod plan;
pub mod run;
mod streak;
pub mod tracking;

pub use call::{Call, Ran, find};
pub use run::Executor;
pub use streak::{Plain, Requests};
