//! What a command is.
//!
//! For: the row type, key specifications, the argument cursor, and `Cx`, which is all a handler may touch.
//! May touch: every room above it (values, resp, keyspace, client); never sockets or locks.
//! Always: the row is the only place that says something about a command; everything else reads it.

pub mod cursor;
pub mod cx;
pub mod docs;
pub mod keys;
pub mod row;
pub mod scripts;
pub mod table;

pub use crate::keyspace::Wait;
pub use cursor::{Cursor, int, reply_value, string_value, value_bytes, value_len};
pub use cx::{Cx, Host, Meanwhile, Outcome};
pub use keys::{Find, KeyFlags, KeySpec};
pub use row::{Acl, Command, Flags, Group, Handler, Locks, cmd, container};
pub use table::{Entry, Table};
