//! From keys to locks.
//!
//! For: the one place that chooses which shards a command holds. May touch: rows and the hash of keys.

use smallvec::SmallVec;

use crate::command::table::Entry;
use crate::keyspace::ahead::{self, Seen};
use crate::keyspace::db::Reach;
use crate::keyspace::lock::{Held, Turn};
use crate::keyspace::{Shard, Space};
use crate::resp::Args;

/// Shards to lock, ascending, each once.
pub type Shards = SmallVec<[u16; 16]>;

/// Keys of one command whose memory is asked for before it runs.
const FETCHED: usize = 32;

/// Keys looked at for those who are served when others are; with more, everything is locked.
const MOST_FOLLOWED: usize = 256;

/// The shards of a command's keys. Memory for the first of them is asked for on the way, all buckets first,
/// so that the command does not wait for one after the other.
pub fn shards_of(turn: &Turn<'_, Shard>, space: &Space, entry: &Entry, args: &Args<'_>, db: usize) -> Shards {
    let mut shards = Shards::new();
    let mut seen: SmallVec<[Seen; FETCHED]> = SmallVec::new();
    let inside = turn.inside();
    // Arguments that contradict the specification are the handler's to refuse; it does so before it touches a
    // key.
    entry.visit_keys(args, |at, _| {
        let hash = space.hasher.hash(args.get(at));
        let shard = space.shard_of(hash);
        shards.push(shard as u16);
        if seen.len() < FETCHED {
            seen.extend(space.ahead.bucket(inside, shard, db, hash));
        }
    });
    ahead::ask(inside, &mut seen);
    shards.sort_unstable();
    shards.dedup();
    shards
}

/// The shards that a write of these keys may touch when it serves those who wait for them, if not all of them
/// are held.
#[inline]
pub fn shortage(space: &Space, reach: &Reach<'_>, entry: &Entry, args: &Args<'_>) -> Option<Shards> {
    let Reach::Held(held) = reach else { return None };
    if held.any(Shard::is_waited) { missing(space, held, entry, args) } else { None }
}

#[cold]
fn missing(space: &Space, held: &Held<'_, Shard>, entry: &Entry, args: &Args<'_>) -> Option<Shards> {
    let mut needed: Shards = SmallVec::new();
    // Served clients write further keys, for which others may wait. `None`: a key in any database.
    let mut keys: Vec<(Option<usize>, &[u8])> = Vec::new();
    entry.visit_keys(args, |at, _| keys.push((None, args.get(at))));
    let declared = keys.len();
    let mut next = 0;
    while let Some(&(db, key)) = keys.get(next) {
        next += 1;
        let shard = space.shard_of(space.hasher.hash(key));
        needed.push(shard as u16);
        if !held.holds(shard) {
            // It was declared by a client that waits; the next try sees who waits for it.
            continue;
        }
        for (at, line) in held.get(shard).lines(key).filter(|(at, _)| db.is_none_or(|db| db == *at)) {
            needed.extend(line.shards());
            for target in line.targets() {
                if !keys[declared..].contains(&(Some(at), target)) {
                    keys.push((Some(at), target));
                }
            }
        }
        if keys.len() > declared + MOST_FOLLOWED {
            needed = (0..space.shard_count() as u16).collect();
            break;
        }
    }
    needed.sort_unstable();
    needed.dedup();
    let is_short = needed.iter().any(|&shard| !held.holds(usize::from(shard)));
    is_short.then_some(needed)
}
