//! Lua.
//!
//! For: scripts: their states, what they see, and how they call commands. May touch: what `Cx` carries,
//! rows, and what follows from a command (`exec`).
//! Always: a script runs with everything held, from its first instruction to the last byte of its reply;
//! what its commands change reaches the commit log as one unit; nothing of a script is left in the state
//! when it ends, but what it has compiled to; of functions, what their libraries keep, in a state of their
//! own; no error, of memory or of depth, passes the border of a state but as an error reply.

mod bit;
mod bridge;
mod bytecode;
mod call;
mod catalogue;
mod cjson;
mod cmsgpack;
mod engine;
pub mod functions;
mod library;
mod raw;
mod reply;
mod result;
mod shebang;
mod stack;
mod structs;

pub use catalogue::{Collision, Library};
pub use engine::{Given, How, Named, load, run};
pub use shebang::{FLAGS, flags_of};
