//! Alarms: waking the home worker of a shard for its earliest deadline.
//!
//! For: writers on any worker that give a key a deadline, and the worker that expires the keys of the shard.
//! May touch: `sync`. Reads no clock and wakes nobody: `arm` tells the writer to poke the worker, `promise`
//! tells the worker how long it may sleep. Times are milliseconds of the space's clock.
//! Always: no deadline published by a writer is slept over. Both sides meet in one word by read-modify-write,
//! the writer after publishing, the worker before it looks a last time: whoever comes second sees the other.

use crate::sync::atomic::{AtomicU64, Ordering};

/// No deadline.
pub const NEVER_MS: u64 = u64::MAX;

/// The earliest deadline in one shard. Written under the shard's mutex, read by the home worker without.
pub struct Due(AtomicU64);

impl Due {
    /// A shard without deadlines.
    pub fn new() -> Due {
        Due(AtomicU64::new(NEVER_MS))
    }

    /// The earliest deadline, or [`NEVER_MS`].
    pub fn at_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Lowers it to `deadline_ms`, whatever others do to it at the same time; calls for [`Alarm::arm`]
    /// afterwards. What the caller wrote before is seen by whoever takes it with [`Due::take`].
    pub fn lower(&self, deadline_ms: u64) {
        self.0.fetch_min(deadline_ms, Ordering::AcqRel);
    }

    /// Sets it to [`NEVER_MS`], to be lowered again by a new look at what it sums up.
    pub fn take(&self) -> u64 {
        self.0.swap(NEVER_MS, Ordering::AcqRel)
    }

    /// Sets the earliest deadline. Lowering it calls for [`Alarm::arm`] afterwards; raising it for nothing.
    pub fn publish(&self, deadline_ms: u64) {
        self.0.store(deadline_ms, Ordering::Relaxed);
    }
}

impl Default for Due {
    fn default() -> Self {
        Due::new()
    }
}

/// What one worker has promised to the shards it is home to.
pub struct Alarm {
    /// The worker sleeps until this at most, as far as writers know. [`AWAKE`]: it will look before it
    /// sleeps. Only ever changed by read-modify-write, so each change passes on what came before it.
    at_ms: AtomicU64,
}

/// Earlier than every deadline, so nobody pokes.
const AWAKE: u64 = 0;

impl Alarm {
    /// The alarm of a worker that is awake.
    pub fn new() -> Alarm {
        Alarm { at_ms: AtomicU64::new(AWAKE) }
    }

    /// Writer, after lowering the shard's [`Due`] to `deadline_ms`. True: the home worker sleeps for longer
    /// and the caller has to poke it; later callers need not.
    #[must_use = "a worker that sleeps too long has to be poked"]
    pub fn arm(&self, deadline_ms: u64) -> bool {
        self.at_ms.fetch_min(deadline_ms, Ordering::AcqRel) > deadline_ms
    }

    /// Home worker, before it sleeps: how long it may, given its shards. [`NEVER_MS`]: until it is poked.
    pub fn promise<'a>(&self, dues: impl Iterator<Item = &'a Due> + Clone) -> u64 {
        let earliest_ms = || dues.clone().map(Due::at_ms).min().unwrap_or(NEVER_MS);
        let first_ms = earliest_ms();
        self.at_ms.swap(first_ms, Ordering::AcqRel);
        // Who armed before the swap is seen now; who arms after it compares with a promise no earlier than
        // the sleep.
        earliest_ms().min(first_ms)
    }

    /// Home worker, when it no longer sleeps: nobody has to poke it.
    pub fn awake(&self) {
        self.at_ms.swap(AWAKE, Ordering::AcqRel);
    }
}

impl Default for Alarm {
    fn default() -> Self {
        Alarm::new()
    }
}
