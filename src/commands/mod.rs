//! The command families: one file each, its rows first, then their handlers.
//!
//! For: deciding what a command means. May touch: what `Cx` carries.
//! Always: a handler parses everything before it touches the keyspace, and ends every write with its event.

use crate::command::Command;

/// The rows of every family.
pub const FAMILIES: &[&[Command]] = &[];
