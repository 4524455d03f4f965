//! One dataset: its shards, its clock, and what makes its deadlines fire.
//!
//! For: everything that belongs to the data rather than to the server. May touch: every file of this room.
//! Always: which shard a key lives in is decided by [`Space::shard_of`] alone.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crossbeam_utils::CachePadded;

use super::ahead::Ahead;
use super::alarm::{Alarm, Due};
use super::hash::{self, KeyHasher};
use super::lock::Shards;
use super::pause::Pause;
use super::shard::Shard;
use super::waiters::Waiting;
use crate::clock::Clock;

/// Wakes a worker by index; called when a deadline was armed that it would sleep over.
pub type Poke = Box<dyn Fn(usize) + Send + Sync>;

/// A dataset.
pub struct Space {
    /// The shards behind the gate.
    pub shards: Arc<Shards<Shard>>,
    /// Hashes keys, seeded per server.
    pub hasher: KeyHasher,
    /// Wall time, real or virtual.
    pub clock: Clock,
    /// Number of databases.
    pub databases: usize,
    /// When each shard has to be looked at: no later than its earliest deadline.
    pub due: Box<[CachePadded<Due>]>,
    /// By worker: when the first of its shards has to be looked at. May be too early, never too late but
    /// while it looks at them.
    soonest: Box<[CachePadded<Due>]>,
    /// By worker: when it has promised to wake.
    pub alarms: Box<[CachePadded<Alarm>]>,
    /// Whether keys leave on their own (DEBUG SET-ACTIVE-EXPIRE).
    pub active_expiry: AtomicBool,
    /// CLIENT PAUSE.
    pub pause: Arc<Pause>,
    /// Whether anybody wants to hear of events.
    pub listens: AtomicBool,
    /// Who waits for keys.
    pub waiting: Waiting,
    /// Libraries of functions and their state, made by the first command that asks for them; only the script
    /// room knows what it is.
    pub functions: OnceLock<Box<dyn Any + Send + Sync>>,
    /// Hints for fetching ahead.
    pub ahead: Arc<Ahead>,
    poke: Poke,
}

impl Space {
    /// An empty dataset for `workers` workers; `outsiders` threads beyond them may enter its gate.
    pub fn new(
        workers: usize,
        outsiders: usize,
        databases: usize,
        seed: u64,
        clock: Clock,
        poke: Poke,
    ) -> Space {
        // So many that workers seldom meet, and no more: each has its own lines in the cache.
        let count = match workers {
            1 => 16,
            2..=4 => 64,
            _ => 256,
        };
        let ahead = Arc::new(Ahead::new(count, databases));
        let make = |at| Shard::new(at, databases, Arc::clone(&ahead));
        Space {
            shards: Arc::new(Shards::new(workers + outsiders, count, make)),
            hasher: KeyHasher::new(seed),
            clock,
            databases,
            due: (0..count).map(|_| CachePadded::new(Due::new())).collect(),
            soonest: (0..workers).map(|_| CachePadded::new(Due::new())).collect(),
            alarms: (0..workers).map(|_| CachePadded::new(Alarm::new())).collect(),
            active_expiry: AtomicBool::new(true),
            pause: Arc::default(),
            listens: AtomicBool::new(false),
            waiting: Waiting::new(workers),
            functions: OnceLock::new(),
            ahead,
            poke,
        }
    }

    /// The same for one worker that does nearly all there is to do; see [`Shards::behind_one`]. Panics when
    /// somebody else has its shards.
    pub fn of_one(self) -> Space {
        let shards = Arc::into_inner(self.shards).expect("nobody else has them");
        Space { shards: Arc::new(shards.behind_one()), ..self }
    }

    /// The shard of a key with this hash: its top 16 bits, scaled.
    #[inline]
    pub fn shard_of(&self, hash: u64) -> usize {
        hash::shard(hash, self.due.len())
    }

    /// Number of shards.
    pub fn shard_count(&self) -> usize {
        self.due.len()
    }

    /// The worker that expires a shard's keys on time.
    #[inline]
    pub fn home_of(&self, shard: usize) -> usize {
        shard % self.alarms.len()
    }

    /// Whether keys leave on their own at that time.
    pub fn expires_actively(&self, now_ms: u64) -> bool {
        self.active_expiry.load(Ordering::Relaxed) && !self.pause.keeps_keys(now_ms)
    }

    /// A deadline was filed in a shard, which has to be looked at then: its home worker wakes for it. Called
    /// with the shard held.
    pub fn arm(&self, shard: usize, at_ms: u64) {
        if self.due[shard].at_ms() <= at_ms {
            return;
        }
        self.publish_due(shard, at_ms);
        let home = self.home_of(shard);
        if self.alarms[home].arm(at_ms) {
            (self.poke)(home);
        }
    }

    /// A client of that worker waits until then, as [`Waiting::file`] was told by another thread: the worker
    /// wakes for it, though it may have looked in between and found nobody.
    pub fn wake_by(&self, worker: usize, until_ms: u64) {
        if self.alarms.get(worker).is_some_and(|alarm| alarm.arm(until_ms)) {
            (self.poke)(worker);
        }
    }

    /// Says when a shard has to be looked at next. Called with the shard held.
    pub fn publish_due(&self, shard: usize, at_ms: u64) {
        self.due[shard].publish(at_ms);
        self.soonest[self.home_of(shard)].lower(at_ms);
    }

    /// A worker has looked at the shards of another: that one wakes when the next of them is due.
    pub fn rearm(&self, home: usize) {
        if self.alarms[home].arm(self.soonest[home].at_ms()) {
            (self.poke)(home);
        }
    }

    /// Whether one of a worker's shards may have to be looked at by `now_ms`: one load.
    #[inline]
    pub fn is_overdue(&self, worker: usize, now_ms: u64) -> bool {
        self.soonest[worker].at_ms() <= now_ms
    }

    /// The home worker begins a look at its shards. A writer that lowers a shard's due before this is seen by
    /// the look; one that does so after it lowers `soonest` again itself.
    pub fn begin_look(&self, worker: usize) {
        self.soonest[worker].take();
    }

    /// The home worker has looked at its shards.
    pub fn end_look(&self, worker: usize) {
        self.homes(worker).for_each(|shard| self.soonest[worker].lower(self.due[shard].at_ms()));
    }

    /// When a worker has to look at its shards next, unix milliseconds; `u64::MAX`: when it is poked.
    pub fn promise(&self, worker: usize) -> u64 {
        self.alarms[worker].promise(std::iter::once(&*self.soonest[worker]))
    }

    /// The shards whose keys a worker expires.
    pub fn homes(&self, worker: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        (worker..self.due.len()).step_by(self.alarms.len())
    }

    /// Makes every worker compute its sleep anew.
    pub fn poke_all(&self) {
        (0..self.alarms.len()).for_each(|worker| (self.poke)(worker));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn a_worker_is_woken_for_who_it_would_sleep_over() {
        let pokes = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&pokes);
        let poke = Box::new(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let space = Space::new(2, 1, 1, 7, Clock::real(), poke);
        space.wake_by(1, 5);
        assert_eq!(pokes.load(Ordering::Relaxed), 0, "it is awake");
        assert_eq!(space.promise(1), u64::MAX);
        for until_ms in [9, 9, 10] {
            space.wake_by(1, until_ms);
        }
        space.wake_by(2, 3);
        assert_eq!(pokes.load(Ordering::Relaxed), 1);
    }
}
