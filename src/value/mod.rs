//! Data types and their compact forms.
//!
//! For: what a value is, apart from any key. May touch: nothing of keys, clients, time or locks.
//! Always: every function here is a pure function of its arguments or of the value it is called on.

pub mod bits;
pub mod collection;
pub mod geo;
pub mod glob;
pub mod hll;
pub mod lcs;
pub mod list;
pub mod long_double;
pub mod lzf;
pub mod number;
pub mod pack;
// Each type beside its file.
pub mod stub;

pub use list::List;
// A set.
pub use stub::Set;
// A hash.
pub use stub::Hash;
// A sorted set.
pub mod zset;
pub use zset::ZSet;
// A stream.
pub use stub::Stream;
// What they have in common.
pub use collection::{Collection, Compact, Kind, Value};
pub use pack::Item;
