//! Data types and their compact forms.
//!
//! For: what a value is, apart from any key. May touch: nothing of keys, clients, time or locks.
//! Always: every function here is a pure function of its arguments or of the value it is called on.

pub mod bits;
pub mod collection;
pub mod dict;
pub mod geo;
pub mod glob;
pub mod hash;
pub mod hll;
pub mod intset;
pub mod lcs;
pub mod list;
pub mod long_double;
pub mod lzf;
pub mod number;
pub mod pack;
pub mod payload;
pub mod set;
pub mod sha1;
pub mod short;
pub mod steps;
pub mod stream;
pub mod zset;

pub use collection::{Collection, Compact, Kind, Value};
pub use hash::{Hash, HashLimits, HashRef};
pub use list::List;
pub use pack::Item;
pub use set::Set;
pub use stream::Stream;
pub use zset::ZSet;
