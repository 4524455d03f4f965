//! Keys.
//!
//! For: which keys exist, their values and deadlines, and who may look at them at the same time. May touch:
//! values, the clock; never clients, replies or sockets.
//! Always: a shard is reached only through [`lock::Held`]; a value changes only through [`db::Write`]; no
//! caller ever sees a key whose deadline has passed.

pub mod ahead;
pub mod alarm;
pub mod db;
pub mod entry;
pub mod expiry;
pub mod gate;
pub mod hash;
pub mod kept;
pub mod lfu;
pub mod lock;
pub mod log;
pub mod pause;
pub mod record;
pub mod shard;
pub mod space;
pub mod table;
pub mod trackers;
pub mod typed;
pub mod waiters;
pub mod watchers;
pub mod wheel;

pub use db::{Db, Deadline, Write};
pub use entry::{Entry, Kind, NewValue, ValueRef};
pub use record::{Event, Record};
pub use shard::{Keys, Shard};
pub use space::Space;
pub use waiters::Wait;
