//! From keys to locks.
//!
//! For: the one place that chooses which shards a command holds. May touch: rows and the hash of keys.

use smallvec::SmallVec;

use crate::command::table::Entry;
use crate::keyspace::ahead::Seen;
use crate::keyspace::lock::Turn;
use crate::keyspace::{Shard, Space};
use crate::resp::Args;

/// Shards to lock, ascending, each once.
pub type Shards = SmallVec<[u16; 16]>;

/// Keys of one command whose memory is asked for before it runs.
const FETCHED: usize = 32;

/// The shards of a command's keys. Memory for the first of them is asked for on the way, all buckets first,
/// so that the command does not wait for one after the other.
pub fn shards_of(turn: &Turn<'_, Shard>, space: &Space, entry: &Entry, args: &Args<'_>, db: usize) -> Shards {
    let mut shards = Shards::new();
    let mut seen: SmallVec<[Seen; FETCHED]> = SmallVec::new();
    // Arguments that contradict the specification are the handler's to refuse; it does so before it touches a
    // key.
    entry.visit_keys(args, |at, _| {
        let hash = space.hasher.hash(args.get(at));
        let shard = space.shard_of(hash);
        shards.push(shard as u16);
        if seen.len() < FETCHED {
            seen.extend(space.ahead.bucket(turn, shard, db, hash));
        }
    });
    seen.iter().for_each(|seen| seen.entries(turn));
    shards.sort_unstable();
    shards.dedup();
    shards
}
