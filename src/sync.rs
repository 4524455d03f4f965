//! The primitives under every protocol between threads.
//!
//! For: the gate, shard mutexes, mailboxes, claims and alarms, which take their atomics, locks and cells from
//! here and from nowhere else. May touch: nothing of the product.
//! Always: only names and shapes that a model checker can also offer, so that `tests/lock_model.rs` runs the
//! very same source files over every interleaving. No protocol leans on a total order of unrelated atomics
//! (`SeqCst`): each hand-over goes through the modification order of one word, by read-modify-write on both
//! sides.

use std::time::Duration;

pub use parking_lot::lock_api::RawMutex as RawLock;
pub use parking_lot::{Mutex, MutexGuard, RawMutex};
pub use std::cell::UnsafeCell;
pub use std::hint::spin_loop;

/// Atomic words and their orderings.
pub mod atomic {
    pub use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
}

/// Looks at a word this often before the thread is parked: about two microseconds, less than parking costs.
pub const SPINS: u32 = 60;

/// An unlocked mutex without data.
pub fn raw_mutex() -> RawMutex {
    <RawMutex as RawLock>::INIT
}

/// A place where one thread waits for another's notice.
///
/// Never wakes without a notice or the end of its patience, so a waiter whose notices all mean "go" waits
/// once.
#[derive(Default)]
pub struct Condvar(parking_lot::Condvar);

impl Condvar {
    /// A place where nobody waits.
    pub fn new() -> Condvar {
        Condvar::default()
    }

    /// Gives the lock up, waits, and takes the lock again. True: patience ended first. `Duration::MAX` waits
    /// for ever.
    pub fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>, patience: Duration) -> (MutexGuard<'a, T>, bool) {
        let timed_out = self.0.wait_for(&mut guard, patience).timed_out();
        (guard, timed_out)
    }

    /// Wakes one waiting thread; without one the notice is lost.
    pub fn notify(&self) {
        self.0.notify_one();
    }
}
