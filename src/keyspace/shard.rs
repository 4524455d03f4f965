//! One shard: for every database, the keys whose hash says they live here.
//!
//! For: what a shard's mutex protects. May touch: table, wheel.
//! Always: `Tally` agrees with the entries of the table; every entry with a deadline has an item in the wheel that
//! fires no later than that deadline (its `filed` bit says so).

use super::hash::KeyHasher;
use super::table::Table;
use super::wheel::Wheel;

/// A shard of the keyspace.
pub struct Shard {
    /// By database index; a database's keys are made when it gets its first key here.
    pub dbs: Box<[Option<Box<Keys>>]>,
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
}

impl Shard {
    /// An empty shard of that many databases.
    pub fn new(databases: usize) -> Shard {
        Shard { dbs: (0..databases).map(|_| None).collect() }
    }

    /// The keys of a database, made if there are none yet.
    pub fn keys_mut(&mut self, db: usize, hasher: &KeyHasher) -> &mut Keys {
        self.dbs[db].get_or_insert_with(|| Box::new(Keys::new(hasher)))
    }
}

impl Keys {
    fn new(hasher: &KeyHasher) -> Keys {
        Keys { table: Table::new(hasher.clone()), wheel: None, tally: Tally::default() }
    }

    /// Makes the wheel anew when items of keys that are gone outnumber the others, so that rewriting a few keys with
    /// ever new deadlines does not grow it without bound.
    #[inline]
    pub fn tidy(&mut self, now_ms: u64, hasher: &KeyHasher) {
        let live = self.tally.deadlines as usize;
        if self.wheel.as_ref().is_some_and(|w| w.should_rebuild(live)) {
            self.rebuild_wheel(now_ms, hasher);
        }
    }

    #[cold]
    fn rebuild_wheel(&mut self, now_ms: u64, hasher: &KeyHasher) {
        let mut wheel = Box::new(Wheel::new(now_ms));
        for entry in self.table.iter() {
            if let Some(at) = entry.deadline_ms() {
                wheel.file(at, hasher.hash(entry.key()));
            }
        }
        self.wheel = Some(wheel);
    }
}

impl Tally {
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
