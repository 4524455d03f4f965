//! What the server knows about itself.
//!
//! For: counters by worker and command, error counts, the slow log, latency events. May touch: time that is
//! handed in.
//! Always: a worker writes only its own lane, with plain relaxed stores; readers add the lanes up.

pub mod histogram;
pub mod latency;
pub mod oom;
pub mod process;
pub mod slowlog;
pub mod stats;

pub use stats::{Lane, Observe};
