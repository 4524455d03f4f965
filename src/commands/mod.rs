//! The command families: one file each, its rows first, then their handlers.
//!
//! For: deciding what a command means. May touch: what `Cx` carries.
//! Always: a handler parses everything before it touches the keyspace, and ends every write with its event.

pub mod bitfield;
pub mod bitmap;
pub mod client;
mod client_filter;
mod client_kill;
mod client_list;
pub mod clock;
pub mod command;
mod command_docs;
mod command_keys;
pub mod connection;
pub mod expire;
pub mod flush;
pub mod generic;
mod help;
pub mod latency;
mod latency_report;
pub mod lolwut;
pub mod object;
pub mod scan;
pub mod slowlog;
pub mod string;
pub mod string_lcs;
pub mod string_number;
pub mod string_set;
#[cfg(test)]
mod trial;

use crate::command::Command;

/// The rows of every family.
pub const FAMILIES: &[&[Command]] = &[
    bitfield::ROWS,
    bitmap::ROWS,
    client::ROWS,
    clock::ROWS,
    command::ROWS,
    connection::ROWS,
    expire::ROWS,
    flush::ROWS,
    generic::ROWS,
    latency::ROWS,
    lolwut::ROWS,
    object::ROWS,
    scan::ROWS,
    slowlog::ROWS,
    string::ROWS,
    string_lcs::ROWS,
    string_number::ROWS,
    string_set::ROWS,
];
