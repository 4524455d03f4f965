//! Sockets.
//!
//! For: accepting connections, and moving bytes between them and the executor. May touch: every room above;
//! it knows no command by name.
//! Always: a connection belongs to one worker; a worker is one thread, which owns all its connections and
//! works in turns.

mod batch;
pub mod conn;
mod fetch;
mod hall;
mod held_up;
pub mod listen;
mod pace;
mod parked;
pub mod poll;
mod rooms;
pub mod transport;
pub mod turn;
pub mod wake;
pub mod worker;
