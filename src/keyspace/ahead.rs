//! Fetching memory ahead of the lock.
//!
//! For: asking for the cache lines of the next commands' keys while the present one runs, and freeing the
//! table memory that such a look may still be reading. May touch: tables' hints; never entries or locks.
//! Always: a hint is looked at only within a turn; a table's hint is withdrawn while everybody is out of
//! every turn, before the table can be freed; what a table retired is freed when every turn that could see it
//! has ended.

use std::collections::VecDeque;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::gate::Stamp;
use super::lock::{Inside, Shards, Turn};
use super::shard::Shard;
use super::table::{Hint, Retired, Sight, Spot};

/// The hints of all tables, by shard and database.
pub struct Ahead {
    /// Null where there is no table; otherwise a boxed hint that this owns.
    slots: Box<[AtomicPtr<Hint>]>,
    databases: usize,
}

impl Ahead {
    /// No hints yet.
    pub fn new(shards: usize, databases: usize) -> Ahead {
        Ahead { slots: (0..shards * databases).map(|_| AtomicPtr::new(ptr::null_mut())).collect(), databases }
    }

    fn slot(&self, shard: usize, db: usize) -> &AtomicPtr<Hint> {
        &self.slots[shard * self.databases + db]
    }

    /// Publishes the hint of a table that has just been made; there was none before. The shard is held.
    pub(super) fn publish(&self, shard: usize, db: usize, hint: Hint) {
        let old = self.slot(shard, db).swap(Box::into_raw(Box::new(hint)), Ordering::AcqRel);
        // A hint that others may be looking at must not be freed; losing it would be a leak, not an error.
        debug_assert!(old.is_null(), "a table replaced another without being withdrawn");
    }

    /// Withdraws the hint of a table that goes away or changes places.
    ///
    /// # Safety
    /// Nobody else is in a turn: the caller has the gate to itself (or is alone with the shards).
    pub(super) unsafe fn withdraw(&self, shard: usize, db: usize) {
        let old = self.slot(shard, db).swap(ptr::null_mut(), Ordering::AcqRel);
        if !old.is_null() {
            // SAFETY: it came from `Box::into_raw` in `publish`, and nobody is in a turn, where alone it is
            // looked at.
            drop(unsafe { Box::from_raw(old) });
        }
    }

    fn hint<'t>(&self, _: Inside<'t>, shard: usize, db: usize) -> Option<&'t Hint> {
        let hint = self.slot(shard, db).load(Ordering::Acquire);
        // SAFETY: a hint is withdrawn only while nobody is in a turn; the caller is in one for 't.
        unsafe { hint.as_ref() }
    }

    /// First stage: asks for the bucket of a hash, and says where it is.
    #[inline(always)]
    pub fn bucket(&self, inside: Inside<'_>, shard: usize, db: usize, hash: u64) -> Option<Seen> {
        // SAFETY: the caller is in a turn. Retired memory is freed by `Graveyard` alone, after the turns that
        // were under way when it was retired; tables are dropped after `withdraw`.
        let spot = unsafe { self.hint(inside, shard, db)?.prefetch_bucket(hash) }?;
        Some(Seen { spot, hash, era: inside.era() })
    }
}

/// What a look into a bucket has led to.
#[derive(Clone, Copy, Debug)]
pub enum Look {
    /// Entries so many buckets behind their home, one of which may be meant, are on their way.
    There(u8),
    /// It may lie in the next buckets, which are on their way.
    Further(Seen),
    /// There is none.
    Nowhere,
    /// Nothing was done: the gate was left since the bucket was seen.
    Stale,
}

/// Asks for the entries of several buckets, wherever they have gone.
pub fn ask(inside: Inside<'_>, seen: &mut [Seen]) {
    let mut left = seen.len();
    while left > 0 {
        let mut kept = 0;
        for at in 0..left {
            if let Look::Further(next) = seen[at].entries(inside) {
                seen[kept] = next;
                kept += 1;
            }
        }
        left = kept;
    }
}

/// A bucket seen in a turn.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    spot: Spot,
    hash: u64,
    /// Of the turn; a raw pointer keeps this value on the thread of that turn's part.
    era: u64,
}

impl Seen {
    /// Second stage, when the bucket has had time to come: asks for the entries that may be meant.
    #[inline(always)]
    pub fn entries(self, inside: Inside<'_>) -> Look {
        if self.era != inside.era() {
            return Look::Stale;
        }
        // SAFETY: the turn in which the hint gave the spot goes on; for the rest see `Ahead::bucket`.
        match unsafe { self.spot.prefetch_entries(self.hash) } {
            Sight::There(distance) => Look::There(distance),
            Sight::Further(spot) => Look::Further(Seen { spot, ..self }),
            Sight::Nowhere => Look::Nowhere,
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        for slot in &mut self.slots {
            let hint = *slot.get_mut();
            if !hint.is_null() {
                // SAFETY: as in `withdraw`; `&mut self` excludes everybody.
                drop(unsafe { Box::from_raw(hint) });
            }
        }
    }
}

/// Table memory that waits for the turns that may still look at it.
#[derive(Default)]
pub struct Graveyard(VecDeque<(Stamp, Vec<Retired>)>);

impl Graveyard {
    /// Takes what was retired up to now, within the turn in which it was.
    pub fn bury(&mut self, turn: &Turn<'_, Shard>, retired: &mut Vec<Retired>) {
        if !retired.is_empty() {
            self.0.push_back((turn.stamp(), std::mem::take(retired)));
        }
    }

    /// Frees what nobody can look at any more.
    pub fn clear(&mut self, shards: &Shards<Shard>) {
        while self.0.front().is_some_and(|(stamp, _)| shards.passed(stamp)) {
            self.0.pop_front();
        }
    }
}
