//! The command families: one file each, its rows first, then their handlers.
//!
//! For: deciding what a command means. May touch: what `Cx` carries.
//! Always: a handler parses everything before it touches the keyspace, and ends every write with its event.

pub mod bitfield;
pub mod bitmap;
pub mod blocking;
pub mod client;
mod client_filter;
mod client_kill;
mod client_list;
pub(crate) mod client_tracking;
pub mod clock;
pub mod command;
mod command_docs;
mod command_keys;
pub mod config;
pub mod connection;
pub mod debug;
mod debug_value;
pub mod expire;
pub mod flush;
pub mod function;
pub mod generic;
pub mod geo;
pub mod geo_search;
pub mod hash;
pub mod hash_expire;
pub mod hash_fields;
pub mod hash_import;
pub mod hash_scan;
mod help;
pub mod hyperloglog;
pub mod info;
mod info_data;
mod info_memory;
mod info_server;
mod info_stats;
pub mod latency;
mod latency_report;
pub mod list;
pub mod list_blocking;
pub mod list_bulk;
pub mod list_move;
pub mod lolwut;
pub mod memory;
pub mod monitor;
pub mod object;
pub mod pubsub;
pub mod scan;
pub mod script;
pub mod server;
pub mod set;
pub mod set_algebra;
pub mod slowlog;
pub mod sort;
pub mod stream;
pub mod stream_add;
pub mod stream_claim;
pub mod stream_deliver;
pub mod stream_group;
pub mod stream_idempotence;
pub mod stream_info;
pub mod stream_nack;
pub mod stream_pending;
pub mod stream_read;
pub mod stream_refs;
pub mod string;
pub mod string_lcs;
pub mod string_number;
pub mod string_set;
pub mod transaction;
#[cfg(test)]
mod trial;
pub mod zset;
pub mod zset_algebra;
pub mod zset_pop;
pub mod zset_range;

use crate::command::Command;

/// The rows of every family.
pub const FAMILIES: &[&[Command]] = &[
    bitfield::ROWS,
    bitmap::ROWS,
    client::ROWS,
    clock::ROWS,
    config::ROWS,
    command::ROWS,
    connection::ROWS,
    debug::ROWS,
    expire::ROWS,
    flush::ROWS,
    function::ROWS,
    generic::ROWS,
    geo::ROWS,
    geo_search::ROWS,
    hash::ROWS,
    hash_expire::ROWS,
    hash_fields::ROWS,
    hash_import::ROWS,
    hash_scan::ROWS,
    hyperloglog::ROWS,
    info::ROWS,
    memory::ROWS,
    monitor::ROWS,
    object::ROWS,
    pubsub::ROWS,
    scan::ROWS,
    script::ROWS,
    transaction::ROWS,
    server::ROWS,
    latency::ROWS,
    list::ROWS,
    list_blocking::ROWS,
    list_bulk::ROWS,
    list_move::ROWS,
    lolwut::ROWS,
    set::ROWS,
    set_algebra::ROWS,
    slowlog::ROWS,
    stream::ROWS,
    stream_add::ROWS,
    stream_claim::ROWS,
    stream_deliver::ROWS,
    stream_group::ROWS,
    stream_idempotence::ROWS,
    stream_info::ROWS,
    stream_nack::ROWS,
    stream_pending::ROWS,
    stream_read::ROWS,
    stream_refs::ROWS,
    sort::ROWS,
    string::ROWS,
    string_lcs::ROWS,
    string_number::ROWS,
    string_set::ROWS,
    zset::ROWS,
    zset_algebra::ROWS,
    zset_pop::ROWS,
    zset_range::ROWS,
];
