//! The gate: a reader-writer lock spread over the threads that work on keys.
//!
//! For: letting every worker run turns side by side at the price of one uncontended atomic operation, and
//! letting one of them now and then have the whole keyspace to itself. May touch: `sync`. Knows nothing of
//! shards or time.
//!
//! Every thread owns one *part*, a padded word. Inside a turn the word is odd; each end of a turn adds one
//! more, so the same word counts turns. An exclusive *bars* every part; a barred word is entered only by
//! whoever lifts the bars.
//! ```text
//!   bit 63      bits 62..1        bit 0
//!   barred      ended turns       inside
//! ```
//! Always:
//! - Bars are set and lifted only under the queue's mutex, and they are up exactly while there is a holder
//!   (the one exclusive that waits for the others to leave, or runs). A barred word turns odd only by
//!   admission under the mutex, or by its owner when it is the holder and nobody is inside. So what the
//!   holder has seen empty stays empty.
//! - Fairness: exclusives go in order of arrival. When one leaves, every shared entry parked at that moment
//!   is let in before the next exclusive runs, also before those that already queued. So a parked entry waits
//!   for the end of at most one exclusive, and an exclusive waits for at most one turn of each other part per
//!   exclusive ahead of it.
//! - A thread is notified only when it may go. What else wakes it is the end of a sleep, and then its
//!   patience is asked again: it keeps its place in line as long as the answer is a time, and leaves the line
//!   when it is `None`. So the gate itself needs no clock.

use std::collections::VecDeque;
use std::time::Duration;

use crossbeam_utils::CachePadded;
use smallvec::SmallVec;

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, SPINS, spin_loop};

const INSIDE: u64 = 1;
const TURN: u64 = 2;
const BARRED: u64 = 1 << 63;

/// The gate stayed barred for longer than the caller's patience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// How long to wait at a barred gate: asked before each sleep for its longest time (`Duration::MAX`: for
/// ever); `None` ends the wait in [`Busy`]. Asked under the queue's mutex: it must be quick and lock nothing.
pub type Patience<'p> = &'p mut dyn FnMut() -> Option<Duration>;

/// Patience for one sleep.
fn once(time: Duration) -> impl FnMut() -> Option<Duration> {
    let mut left = Some(time);
    move || if time == Duration::MAX { left } else { left.take() }
}

/// A reader-writer lock in `parts` padded parts; see the room's comment for its rules.
///
/// A part belongs to one thread at a time; the callers see to that.
pub struct Gate {
    parts: Box<[CachePadded<Part>]>,
    /// Exclusives that wait or run. A hint: written under the mutex, read without.
    wanted: CachePadded<AtomicUsize>,
    queue: Mutex<Queue>,
}

struct Part {
    word: AtomicU64,
    /// Where the part's owner waits, for shared or exclusive entry.
    wake: Condvar,
}

struct Queue {
    /// The exclusive the bars are up for, waiting or running. None: no bars.
    holder: Option<usize>,
    /// Exclusives behind the holder, in order of arrival. At most one per part.
    exclusives: VecDeque<usize>,
    /// Shared entries waiting. At most one per part; empty while there is no holder.
    parked: Vec<usize>,
}

/// The parts that were inside when it was taken, each with the turn it was in.
///
/// Answers when memory that turns may still read without a lock can be freed; see [`Gate::stamp`].
pub struct Stamp(SmallVec<[(u32, u64); 6]>);

impl Gate {
    /// A gate nobody has entered. `parts`: one per thread that will.
    pub fn new(parts: usize) -> Gate {
        assert!(parts > 0, "a gate has at least one part");
        let part = |_| CachePadded::new(Part { word: AtomicU64::new(0), wake: Condvar::new() });
        Gate {
            parts: (0..parts).map(part).collect(),
            wanted: CachePadded::new(AtomicUsize::new(0)),
            queue: Mutex::new(Queue {
                holder: None,
                exclusives: VecDeque::with_capacity(parts),
                parked: Vec::with_capacity(parts),
            }),
        }
    }

    /// Begins a shared turn of `part`, parking while the gate is barred, at most for `patience`
    /// (`Duration::MAX`: for ever).
    ///
    /// On `Busy` the part is outside. Panics when the part is inside already.
    #[inline]
    pub fn enter(&self, part: usize, patience: Duration) -> Result<(), Busy> {
        if self.try_enter(part) { Ok(()) } else { self.enter_barred(part, &mut once(patience)) }
    }

    /// As [`Gate::enter`], with a patience that is asked again and again.
    #[inline]
    pub fn enter_while(&self, part: usize, patience: Patience<'_>) -> Result<(), Busy> {
        if self.try_enter(part) { Ok(()) } else { self.enter_barred(part, patience) }
    }

    /// Ends the shared turn of `part`.
    #[inline]
    pub fn leave(&self, part: usize) {
        let before = self.parts[part].word.fetch_add(INSIDE, Ordering::Release);
        debug_assert!(before & INSIDE != 0, "part {part} leaves without being inside");
        if before & BARRED != 0 {
            self.left_barred();
        }
    }

    /// Whether an exclusive waits or runs: a shared turn should end soon.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) != 0
    }

    /// Whether an exclusive waits behind the one that runs.
    pub fn is_contested(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) > 1
    }

    /// Begins an exclusive turn of `part`: returns when no other part is inside.
    ///
    /// Waits at most for `patience` (`Duration::MAX`: for ever). On `Busy` the part is outside and no longer
    /// queued. Panics when the part is inside: a shared turn ends first, and what it has read is stale
    /// afterwards.
    pub fn enter_exclusive(&self, part: usize, patience: Duration) -> Result<(), Busy> {
        self.enter_exclusive_while(part, &mut once(patience))
    }

    /// As [`Gate::enter_exclusive`], with a patience that is asked again and again.
    pub fn enter_exclusive_while(&self, part: usize, patience: Patience<'_>) -> Result<(), Busy> {
        self.assert_outside(part);
        let mut queue = self.queue.lock();
        self.wanted.fetch_add(1, Ordering::Relaxed);
        if queue.holder.is_some() {
            queue.exclusives.push_back(part);
        } else {
            queue.holder = Some(part);
            for each in &self.parts {
                each.word.fetch_or(BARRED, Ordering::AcqRel);
            }
            drop(queue);
            self.spin_until_empty();
            queue = self.queue.lock();
        }
        loop {
            if queue.holder == Some(part) && !self.is_anyone_inside() {
                self.parts[part].word.fetch_add(INSIDE, Ordering::AcqRel);
                return Ok(());
            }
            let Some(time) = patience() else {
                self.give_up(queue, part);
                return Err(Busy);
            };
            (queue, _) = self.parts[part].wake.wait(queue, time);
        }
    }

    /// Ends the exclusive turn of `part`.
    pub fn leave_exclusive(&self, part: usize) {
        self.release(part, INSIDE);
    }

    /// Ends the exclusive turn of `part` and begins a shared one with no gap between: nobody else was
    /// exclusive.
    pub fn downgrade(&self, part: usize) {
        self.release(part, TURN);
    }

    /// How many turns of `part` have ended, shared and exclusive.
    pub fn turns(&self, part: usize) -> u64 {
        (self.parts[part].word.load(Ordering::Acquire) & !BARRED) / TURN
    }

    /// Notes who is inside now.
    ///
    /// For memory that turns read without a lock: unlink it, take a stamp, and free it once [`Gate::passed`]
    /// says so. Any turn that could have found the memory before it was unlinked has ended by then. The
    /// taker's own turn counts like the others'. Costs a memory fence per part: one stamp may stand for many
    /// pieces unlinked before it.
    pub fn stamp(&self) -> Stamp {
        let inside = |(index, part): (usize, &CachePadded<Part>)| {
            // A read-modify-write, not a load: a turn that begins after it takes over what this thread
            // unlinked.
            let word = part.word.fetch_add(0, Ordering::AcqRel) & !BARRED;
            (word & INSIDE != 0).then_some((index as u32, word))
        };
        Stamp(self.parts.iter().enumerate().filter_map(inside).collect())
    }

    /// Whether every turn that ran when `stamp` was taken has ended.
    pub fn passed(&self, stamp: &Stamp) -> bool {
        let ended = |&(part, word): &(u32, u64)| {
            self.parts[part as usize].word.load(Ordering::Acquire) & !BARRED != word
        };
        stamp.0.iter().all(ended)
    }

    /// As [`Gate::enter`], without waiting at all: whether the part is inside now.
    #[inline]
    pub fn try_enter(&self, part: usize) -> bool {
        let word = &self.parts[part].word;
        let seen = word.load(Ordering::Relaxed);
        seen & (BARRED | INSIDE) == 0
            && word.compare_exchange(seen, seen + INSIDE, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[cold]
    fn enter_barred(&self, part: usize, patience: Patience<'_>) -> Result<(), Busy> {
        self.assert_outside(part);
        for _ in 0..SPINS {
            spin_loop();
            if self.try_enter(part) {
                return Ok(());
            }
        }
        let own = &self.parts[part];
        let mut queue = self.queue.lock();
        if queue.holder.is_none() {
            own.word.fetch_add(INSIDE, Ordering::Acquire);
            return Ok(());
        }
        queue.parked.push(part);
        loop {
            let Some(time) = patience() else {
                queue.parked.retain(|&other| other != part);
                return Err(Busy);
            };
            (queue, _) = own.wake.wait(queue, time);
            if own.word.load(Ordering::Acquire) & INSIDE != 0 {
                return Ok(());
            }
        }
    }

    /// After a turn that ended under bars: the holder may go if it was the last.
    #[cold]
    fn left_barred(&self) {
        let queue = self.queue.lock();
        self.call_holder(&queue);
    }

    /// Ends an exclusive turn by adding `step` to its word, and lets the next ones in.
    fn release(&self, part: usize, step: u64) {
        let mut queue = self.queue.lock();
        assert!(queue.holder == Some(part), "part {part} does not hold the gate");
        self.parts[part].word.fetch_add(step, Ordering::Release);
        self.pass_on(&mut queue);
    }

    fn give_up(&self, mut queue: MutexGuard<'_, Queue>, part: usize) {
        if queue.holder == Some(part) {
            self.pass_on(&mut queue);
        } else {
            queue.exclusives.retain(|&other| other != part);
            self.wanted.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The holder is done: admits the parked, then hands the bars to the next exclusive or lifts them.
    fn pass_on(&self, queue: &mut Queue) {
        self.wanted.fetch_sub(1, Ordering::Relaxed);
        for part in queue.parked.drain(..) {
            self.parts[part].word.fetch_add(INSIDE, Ordering::AcqRel);
            self.parts[part].wake.notify();
        }
        queue.holder = queue.exclusives.pop_front();
        if queue.holder.is_some() {
            self.call_holder(queue);
        } else {
            for each in &self.parts {
                each.word.fetch_and(!BARRED, Ordering::AcqRel);
            }
        }
    }

    fn call_holder(&self, queue: &Queue) {
        if let Some(part) = queue.holder
            && !self.is_anyone_inside()
        {
            self.parts[part].wake.notify();
        }
    }

    /// Whether any part is inside. Under bars "no" stays true until the holder goes in or lifts them.
    fn is_anyone_inside(&self) -> bool {
        self.parts.iter().any(|part| part.word.load(Ordering::Acquire) & INSIDE != 0)
    }

    fn spin_until_empty(&self) {
        for _ in 0..SPINS {
            if !self.is_anyone_inside() {
                return;
            }
            spin_loop();
        }
    }

    fn assert_outside(&self, part: usize) {
        let word = self.parts[part].word.load(Ordering::Relaxed);
        assert!(word & INSIDE == 0, "part {part} is inside already");
    }
}
