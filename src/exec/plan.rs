//! From keys to locks.
//!
//! For: the one place that chooses which shards a command holds. May touch: rows and the hash of keys.

use smallvec::SmallVec;

use crate::command::table::{Entry, Places};
use crate::keyspace::Space;
use crate::resp::Args;

/// Shards to lock, ascending, each once.
pub type Shards = SmallVec<[u16; 16]>;

/// The shards of a command's keys.
pub fn shards_of(space: &Space, entry: &Entry, args: &Args<'_>) -> Shards {
    let mut shards = Shards::new();
    // Arguments that contradict the specification are the handler's to refuse; it does so before it touches a
    // key.
    entry.visit_keys(args, |at, _| shards.push(space.shard_of(space.hasher.hash(args.get(at))) as u16));
    shards.sort_unstable();
    shards.dedup();
    shards
}

/// The hash to prefetch for: that of the first key, for commands that have one at a fixed place.
#[inline]
pub fn first_hash(space: &Space, entry: &Entry, args: &Args<'_>) -> Option<u64> {
    match entry.places {
        Places::None => None,
        Places::First | Places::Specified => {
            let at = entry.row.keys[0].begin as usize;
            Some(space.hasher.hash(args.opt(at)?))
        }
    }
}
