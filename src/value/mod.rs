//! Data types and their compact forms.
//!
//! For: what a value is, apart from any key. May touch: nothing of keys, clients, time or locks.
//! Always: every function here is a pure function of its arguments or of the value it is called on.

pub mod bits;
pub mod glob;
pub mod hll;
pub mod lcs;
pub mod long_double;
pub mod lzf;
pub mod number;
