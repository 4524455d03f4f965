//! Who watches keys for changes.
//!
//! For: WATCH. May touch: nothing.
//! Always: a key's watchers are told under the mutex of its shard, before whoever changed it lets go of that;
//! where nobody watches nothing is allocated.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Db;
use super::db::is_due;
use super::record::Record;
use super::shard::Shard;
use super::trackers::Trackers;
use super::waiters::Waiters;

/// A client that watches keys.
#[derive(Default, Debug)]
pub struct Watcher(AtomicBool);

impl Watcher {
    /// Whether a watched key has changed.
    pub fn is_touched(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Tells it that a key has changed.
    pub fn touch(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// One client's watch over one key.
struct Watch {
    who: Arc<Watcher>,
    /// The key was due already, and only a pause keeps it: that it goes is no change.
    was_due: bool,
}

/// Watched keys, each with those who watch it.
type Watched = HashMap<Box<[u8]>, Vec<Watch>>;

/// The watched keys of one shard.
#[derive(Default)]
pub struct Watchers {
    by_db: BTreeMap<usize, Watched>,
}

impl Watchers {
    /// Adds a client to those who watch a key. `was_due`: its deadline had passed by then.
    pub fn join(&mut self, db: usize, key: &[u8], who: &Arc<Watcher>, was_due: bool) {
        let keys = self.by_db.entry(db).or_default();
        let watch = Watch { who: Arc::clone(who), was_due };
        match keys.get_mut(key) {
            Some(all) => all.push(watch),
            None => drop(keys.insert(key.into(), vec![watch])),
        }
    }

    /// Takes a client out again.
    pub fn quit(&mut self, db: usize, key: &[u8], who: &Arc<Watcher>) {
        let Some(keys) = self.by_db.get_mut(&db) else { return };
        let Some(all) = keys.get_mut(key) else { return };
        all.retain(|other| !Arc::ptr_eq(&other.who, who));
        if all.is_empty() {
            keys.remove(key);
            if keys.is_empty() {
                self.by_db.remove(&db);
            }
        }
    }

    /// Tells those who watch a key that it has changed.
    pub fn touch(&self, db: usize, key: &[u8]) {
        let all = self.by_db.get(&db).and_then(|keys| keys.get(key));
        all.into_iter().flatten().for_each(|watch| watch.who.touch());
    }

    /// Tells those who watch a key, and have seen it alive, that its deadline has passed. `is_gone`: it has
    /// left, so that whatever comes next is a change to all.
    pub fn lapse(&mut self, db: usize, key: &[u8], is_gone: bool) {
        let all = self.by_db.get_mut(&db).and_then(|keys| keys.get_mut(key));
        for watch in all.into_iter().flatten() {
            if !watch.was_due {
                watch.who.touch();
            }
            watch.was_due &= !is_gone;
        }
    }

    /// The keys of a database that somebody watches.
    pub fn keys(&self, db: usize) -> impl Iterator<Item = &[u8]> {
        self.by_db.get(&db).into_iter().flat_map(|keys| keys.keys()).map(AsRef::as_ref)
    }

    /// Tells those who watch a key of a database for which `changed` holds.
    pub fn touch_where(&self, db: usize, mut changed: impl FnMut(&[u8]) -> bool) {
        for (key, all) in self.by_db.get(&db).into_iter().flatten() {
            if changed(key) {
                all.iter().for_each(|watch| watch.who.touch());
            }
        }
    }

    /// Whether nobody watches.
    pub fn is_empty(&self) -> bool {
        self.by_db.is_empty()
    }
}

/// Who wants to know of changes to keys of a shard. Present only while there is somebody.
#[derive(Default)]
pub struct Interests {
    /// Who waits for keys.
    pub waiters: Waiters,
    /// Who watches keys.
    pub watchers: Watchers,
    /// Who has read keys and wants to hear when they change.
    pub trackers: Trackers,
}

impl Interests {
    /// A key has been changed or removed by a client.
    #[cold]
    pub fn changed(&mut self, db: usize, key: &[u8], record: &mut Record) {
        self.watchers.touch(db, key);
        self.trackers.written(key, record);
        self.wake(db, key, record);
    }

    /// A key, or a field of it, has gone because of its deadline.
    #[cold]
    pub fn lapsed(&mut self, db: usize, key: &[u8], record: &mut Record) {
        self.watchers.lapse(db, key, true);
        self.trackers.lapsed(key, record);
        self.wake(db, key, record);
    }

    /// Those who wait for a key are to look at it.
    pub fn wake(&self, db: usize, key: &[u8], record: &mut Record) {
        if self.waiters.line(db, key).is_some() {
            record.stir(db, key);
        }
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty() && self.watchers.is_empty() && self.trackers.is_empty()
    }
}

impl Db<'_> {
    /// Lets a client watch these keys, each with its database; their shards are held.
    pub fn watch(&mut self, keys: &[(usize, Box<[u8]>)], who: &Arc<Watcher>) {
        for (index, key) in keys {
            // One that is due goes now, not as a change; or later, if it is kept.
            let was_due = {
                let mut db = self.lend(*index);
                db.peek(key);
                db.stored(key).is_some_and(|entry| is_due(entry, db.now_ms()))
            };
            let shard = self.space().shard_of(self.space().hasher.hash(key));
            self.at_shard(shard, |shard| shard.watch(*index, key, who, was_due));
        }
    }

    /// Lets it watch these keys, each with its database, no longer.
    pub fn unwatch(&mut self, keys: &BTreeSet<(usize, Box<[u8]>)>, who: &Arc<Watcher>) {
        for (index, key) in keys {
            let shard = self.space().shard_of(self.space().hasher.hash(key));
            self.at_shard(shard, |shard| shard.unwatch(*index, key, who));
        }
    }

    fn at_shard(&mut self, shard: usize, mut f: impl FnMut(&mut Shard)) {
        self.each_shard(shard, |_, shard, _| {
            f(shard);
            false
        });
    }
}
