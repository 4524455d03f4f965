//! Keys, their shards and their deadlines.
//! For: finding, changing and expiring entries. May touch: values and the clock; never clients.
//! Always: an entry is touched under its shard's lock only.

pub mod wheel;
