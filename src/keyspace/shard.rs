//! One shard: for every database, the keys whose hash says they live here.
//!
//! For: what a shard's mutex protects. May touch: table, wheel.
//! Always: `Tally` agrees with the entries of the table; every entry with a deadline, or with a field that
//! has one, has an item in the wheel that fires no later than that (its `filed` bit says so).

use std::sync::Arc;

use super::ahead::Ahead;
use super::entry::Entry;
use super::hash::KeyHasher;
use super::record::Record;
use super::table::Table;
use super::trackers::{Added, Readers};
use super::waiters::{Line, Waiting, Waits};
use super::watchers::{Interests, Watcher};
use super::wheel::Wheel;

/// Buckets of the table that one step towards a new wheel looks at.
const BUCKETS_PER_STEP: usize = 4;

/// A shard of the keyspace.
pub struct Shard {
    index: usize,
    dbs: Box<[Option<Box<Keys>>]>,
    /// Only the first so many databases have ever had keys here.
    used: usize,
    /// Who waits for keys that live here, watches or tracks them; `None` while nobody does.
    interests: Option<Box<Interests>>,
    ahead: Arc<Ahead>,
}

/// The keys of one database in one shard.
pub struct Keys {
    /// Key to entry.
    pub table: Table,
    /// Deadlines, made on first use.
    pub wheel: Option<Box<Wheel>>,
    /// Counts over the entries.
    pub tally: Tally,
}

/// What is known about all entries of a [`Keys`] without walking them.
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Entries with a deadline.
    pub deadlines: u64,
    /// Sum of these deadlines in unix milliseconds, for the mean time to live.
    pub deadline_sum_ms: u128,
    /// Hashes with fields that have deadlines.
    pub volatile: u64,
    /// The latest instant at which something here was found due and left, unix milliseconds.
    pub expired_ms: u64,
}

impl Shard {
    /// The empty shard of that index; `ahead` is where its tables' hints go.
    pub fn new(index: usize, databases: usize, ahead: Arc<Ahead>) -> Shard {
        Shard { index, dbs: (0..databases).map(|_| None).collect(), used: 0, interests: None, ahead }
    }

    /// The keys of a database, if it ever had any here.
    #[inline]
    pub fn keys(&self, db: usize) -> Option<&Keys> {
        self.dbs[db].as_deref()
    }

    /// The keys of a database, if it ever had any here.
    #[inline]
    pub fn keys_mut(&mut self, db: usize) -> Option<&mut Keys> {
        self.dbs[db].as_deref_mut()
    }

    /// The keys of a database, made if there are none yet.
    #[inline]
    pub fn make_keys(&mut self, db: usize, hasher: &KeyHasher) -> &mut Keys {
        self.make_parts(db, hasher).0
    }

    /// Takes all keys of a database away. Only while the shard is held with every other (`Locks::All`).
    pub fn detach(&mut self, db: usize) -> Option<Box<Keys>> {
        let keys = self.dbs[db].take()?;
        // SAFETY: a database is emptied or swapped by commands that lock everything, so nobody else is in a
        // turn.
        unsafe { self.ahead.withdraw(self.index, db) };
        Some(keys)
    }

    /// Exchanges two databases. Only while the shard is held with every other (`Locks::All`).
    pub fn swap(&mut self, one: usize, other: usize) {
        let (first, second) = (self.detach(one), self.detach(other));
        for (db, keys) in [(one, second), (other, first)] {
            if let Some(keys) = keys {
                self.ahead.publish(self.index, db, keys.table.hint());
                self.dbs[db] = Some(keys);
                self.used = self.used.max(db + 1);
            }
        }
    }

    /// Whether something of a database has left here because of its deadline after that instant: who looks at
    /// several shards at an earlier one would see some keys gone and others, due at the same time, still
    /// there.
    #[inline]
    pub fn has_passed(&self, db: usize, now_ms: u64) -> bool {
        self.keys(db).is_some_and(|keys| keys.tally.expired_ms > now_ms)
    }

    /// As [`Shard::has_passed`], of any database.
    pub fn has_passed_anywhere(&self, now_ms: u64) -> bool {
        self.databases().any(|(_, keys)| keys.tally.expired_ms > now_ms)
    }

    /// Whether anybody waits for a key that lives here.
    #[inline]
    pub fn is_waited(&self) -> bool {
        self.interests.as_ref().is_some_and(|it| !it.waiters.is_empty())
    }

    /// The queue at a key.
    pub fn line(&self, db: usize, key: &[u8]) -> Option<&Line> {
        self.interests.as_ref()?.waiters.line(db, key)
    }

    /// The queues at a key in all databases.
    pub fn lines<'s>(&'s self, key: &'s [u8]) -> impl Iterator<Item = (usize, &'s Line)> {
        self.interests.iter().flat_map(|it| it.waiters.lines(key))
    }

    /// Puts a client into the queue at one of its keys.
    pub fn join(&mut self, key: &[u8], who: &Arc<dyn Waits>, counts: &Waiting) {
        self.interests.get_or_insert_default().waiters.join(self.index as u16, key, who, counts);
    }

    /// Takes a client out of the queue at one of its keys.
    pub fn quit(&mut self, key: &[u8], who: &dyn Waits, counts: &Waiting) {
        let Some(interests) = &mut self.interests else { return };
        interests.waiters.quit(self.index as u16, key, who, counts);
        self.forget_interests();
    }

    /// When a key is to be looked at for somebody who waits for it, unix milliseconds; `u64::MAX`: none is.
    pub fn next_look_ms(&self) -> u64 {
        self.interests.as_ref().map_or(u64::MAX, |it| it.waiters.next_look_ms())
    }

    /// Those who wait for keys that are to be looked at by now do so.
    pub fn stir_looks(&mut self, now_ms: u64, record: &mut Record) {
        let Some(interests) = &mut self.interests else { return };
        while let Some((db, key)) = interests.waiters.take_look(now_ms) {
            record.stir(db, &key);
        }
    }

    /// A client watches a key that lives here. `was_due`: the key is there, and its deadline has passed.
    pub fn watch(&mut self, db: usize, key: &[u8], who: &Arc<Watcher>, was_due: bool) {
        self.interests.get_or_insert_default().watchers.join(db, key, who, was_due);
    }

    /// A client watches a key no longer.
    pub fn unwatch(&mut self, db: usize, key: &[u8], who: &Arc<Watcher>) {
        let Some(interests) = &mut self.interests else { return };
        interests.watchers.quit(db, key, who);
        self.forget_interests();
    }

    /// Notes that a client has read a key that lives here. `is_here`: whether the client of that id still
    /// tracks.
    pub fn track(&mut self, key: &[u8], reader: u64, is_here: impl Fn(u64) -> bool) -> Added {
        self.interests.get_or_insert_default().trackers.remember(key, reader, is_here)
    }

    /// Gives up any one tracked key, chosen by `draw`, with its readers.
    pub fn give_up_tracked(&mut self, draw: u64) -> Option<(Arc<[u8]>, Readers)> {
        self.interests.as_mut()?.trackers.give_up(draw)
    }

    /// Forgets who has read keys.
    pub fn forget_readers(&mut self, record: &mut Record) {
        let Some(interests) = &mut self.interests else { return };
        let (keys, items) = interests.trackers.clear();
        record.stale.forgotten.0 += keys;
        record.stale.forgotten.1 += items;
        self.forget_interests();
    }

    /// Whether changes of all keys are to be told of, because somebody tracks by prefix.
    pub fn broadcast(&mut self, on: bool) {
        if on || self.interests.is_some() {
            self.interests.get_or_insert_default().trackers.broadcast(on);
            self.forget_interests();
        }
    }

    /// Spares writes the look for those who want to know of changes, if there is nobody any more.
    pub fn forget_interests(&mut self) {
        if self.interests.as_ref().is_some_and(|it| it.is_empty()) {
            self.interests = None;
        }
    }

    /// A database has been emptied or swapped: every key of it that somebody waits for may have changed.
    pub fn stir(&self, db: usize, record: &mut Record) {
        let keys = self.interests.iter().flat_map(|it| it.waiters.keys(db));
        keys.for_each(|key| record.stir(db, key));
    }

    /// The keys of a database that somebody watches.
    pub fn watched(&self, db: usize) -> impl Iterator<Item = &[u8]> {
        self.interests.iter().flat_map(move |it| it.watchers.keys(db))
    }

    /// Tells those who watch a key of database `db` that it changes, if it is in one of `dbs`: before they
    /// are emptied or swapped.
    pub fn touch_existing(&self, db: usize, dbs: &[usize], hasher: &KeyHasher) {
        let Some(interests) = &self.interests else { return };
        interests.watchers.touch_where(db, |key| {
            let hash = hasher.hash(key);
            dbs.iter().any(|&db| self.keys(db).is_some_and(|keys| keys.table.find(hash, key).is_some()))
        });
    }

    /// The keys of a database, if it ever had any here, with those who want to know of changes.
    #[inline]
    pub fn parts_mut(&mut self, db: usize) -> (Option<&mut Keys>, Option<&mut Interests>) {
        (self.dbs[db].as_deref_mut(), self.interests.as_deref_mut())
    }

    /// The keys of a database, made if there are none yet, with those who want to know of changes.
    #[inline]
    pub fn make_parts(&mut self, db: usize, hasher: &KeyHasher) -> (&mut Keys, Option<&mut Interests>) {
        let keys = &mut self.dbs[db];
        if keys.is_none() {
            *keys = Some(Keys::begun(hasher, &self.ahead, (self.index, db)));
            self.used = self.used.max(db + 1);
        }
        (keys.as_deref_mut().expect("just made"), self.interests.as_deref_mut())
    }

    /// As [`Shard::databases`], to change.
    pub fn databases_mut(&mut self) -> impl Iterator<Item = (usize, &mut Keys)> {
        self.dbs[..self.used].iter_mut().enumerate().filter_map(|(db, keys)| Some((db, keys.as_deref_mut()?)))
    }

    /// Every database that has keys here, with its index.
    pub fn databases(&self) -> impl Iterator<Item = (usize, &Keys)> {
        self.dbs[..self.used].iter().enumerate().filter_map(|(db, keys)| Some((db, keys.as_deref()?)))
    }
}

impl Keys {
    /// The keys of a shard's database that had none; looking ahead learns of them.
    #[cold]
    fn begun(hasher: &KeyHasher, ahead: &Ahead, (shard, db): (usize, usize)) -> Box<Keys> {
        let table = Table::new(hasher.clone());
        ahead.publish(shard, db, table.hint());
        Box::new(Keys { table, wheel: None, tally: Tally::default() })
    }

    /// Works a little at a successor of the wheel when items of keys that are gone outnumber the others, so
    /// that rewriting a few keys with ever new deadlines does not make it grow without bound.
    #[inline]
    pub fn tidy(&mut self, hasher: &KeyHasher) {
        let live = (self.tally.deadlines + self.tally.volatile) as usize;
        if self.wheel.as_ref().is_some_and(|wheel| wheel.wants_renewal(live)) {
            self.renew_wheel(hasher);
        }
    }

    #[cold]
    fn renew_wheel(&mut self, hasher: &KeyHasher) {
        let Keys { table, wheel: Some(wheel), .. } = self else { return };
        wheel.renew(&mut |mut cursor, wheel| {
            for _ in 0..BUCKETS_PER_STEP {
                cursor = table.scan(cursor, &mut |entry| {
                    if let Some(at) = entry.next_due_ms() {
                        wheel.file(at, hasher.hash(entry.key()));
                    }
                });
                if cursor == 0 {
                    break;
                }
            }
            cursor
        });
    }

    /// Has the wheel made anew from the entries' deadlines, a little with each look at it: the clock has gone
    /// back to that instant.
    pub fn refile(&mut self, now_ms: u64) {
        self.tally.expired_ms = self.tally.expired_ms.min(now_ms);
        match &mut self.wheel {
            Some(wheel) if self.tally.deadlines + self.tally.volatile > 0 => wheel.begin_anew(now_ms),
            wheel => *wheel = None,
        }
    }

    /// Panics if table, wheel and counts contradict each other. For tests.
    #[doc(hidden)]
    pub fn check_invariants(&self) {
        self.table.check_invariants();
        let mut tally = Tally::default();
        let mut due = 0;
        tally.expired_ms = self.tally.expired_ms;
        for entry in self.table.iter() {
            tally.add_entry(entry);
            due += u64::from(entry.next_due_ms().is_some());
            assert_eq!(entry.has_field_deadlines(), entry.field_due_ms().is_some(), "{entry:?}");
        }
        assert_eq!(tally, self.tally);
        let (filed, is_behind) = self.wheel.as_ref().map_or((0, false), |it| (it.len(), it.is_behind()));
        assert!(filed as u64 >= due || is_behind, "{filed} items for {tally:?}");
    }
}

impl Tally {
    /// An entry came.
    pub fn add_entry(&mut self, entry: &Entry) {
        if let Some(at) = entry.deadline_ms() {
            self.add(at);
        }
        self.volatile += u64::from(entry.has_field_deadlines());
    }

    /// An entry went.
    pub fn sub_entry(&mut self, entry: &Entry) {
        if let Some(at) = entry.deadline_ms() {
            self.sub(at);
        }
        self.volatile -= u64::from(entry.has_field_deadlines());
    }

    /// An entry got this deadline.
    pub fn add(&mut self, deadline_ms: u64) {
        self.deadlines += 1;
        self.deadline_sum_ms += u128::from(deadline_ms);
    }

    /// An entry with this deadline lost it or went.
    pub fn sub(&mut self, deadline_ms: u64) {
        debug_assert!(self.deadlines > 0);
        self.deadlines -= 1;
        self.deadline_sum_ms -= u128::from(deadline_ms);
    }
}
