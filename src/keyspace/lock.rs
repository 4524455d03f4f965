//! Locks: the only way to a shard.
//!
//! For: turns through the gate and, inside a turn, the shards a command has declared. May touch: `gate`,
//! `sync`. The only file of the keyspace's locking with `unsafe`; it knows nothing of what a shard holds.
//!
//! Always:
//! - Rank: gate, then shards in ascending order. The borrow checker keeps it: a [`Turn`] borrows its [`Part`]
//!   and a [`Held`] borrows its turn, both mutably, so a thread cannot enter twice or lock a second set while
//!   it holds one.
//! - A shard is reached under its mutex in a shared turn, or without one in an exclusive turn; an exclusive
//!   turn excludes all shared ones, so the two never meet. A shard's mutex is its own, or the first one's
//!   where that stands for all; this never changes.
//! - A turn that answered `Busy` is over: it reaches nothing until it is dropped or goes exclusive.
//! - Forgetting a guard (`mem::forget`) leaves its lock taken for ever and breaks nothing else.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::keyspace::gate::{Busy, Gate, Patience, Stamp};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{RawLock as _, RawMutex, UnsafeCell, raw_mutex};

/// `count` values of `T`, each behind its own mutex, all behind one gate of some parts.
pub struct Shards<T> {
    gate: Gate,
    cells: Box<[CachePadded<Cell<T>>]>,
    /// A shard's mutex is in the cell at its index with these bits alone: all bits, or none where the first
    /// mutex stands for all.
    own: usize,
    /// Which parts have an owner.
    taken: Box<[AtomicBool]>,
    #[cfg(debug_assertions)]
    rests: Rests,
}

/// Short sleeps before lockings, in debug builds: on few cores threads hardly ever meet between two locks of
/// one command, where there should be none.
#[cfg(debug_assertions)]
#[derive(Default)]
struct Rests {
    /// One in so many lockings; 0: none.
    every: std::sync::atomic::AtomicU32,
    lockings: std::sync::atomic::AtomicU32,
}

#[cfg(debug_assertions)]
const REST: Duration = Duration::from_micros(50);

struct Cell<T> {
    mutex: RawMutex,
    /// Touched only through a [`Held`] that holds this shard.
    value: UnsafeCell<T>,
}

// SAFETY: a value is reached through a `Held` only, which has its mutex or the whole gate to itself, and a
// `Held` is neither `Send` nor `Sync`. So one thread at a time touches a value, with a happens-before edge
// between them: sharing `Shards` moves values between threads but never shares one, for which `T: Send`
// suffices.
unsafe impl<T: Send> Sync for Shards<T> {}

impl<T> Shards<T> {
    /// `count` shards made by `make` from their index, for `parts` threads.
    pub fn new(parts: usize, count: usize, mut make: impl FnMut(usize) -> T) -> Shards<T> {
        assert!(count <= usize::from(u16::MAX), "a shard's index fits 16 bits");
        let mut cell =
            |index| CachePadded::new(Cell { mutex: raw_mutex(), value: UnsafeCell::new(make(index)) });
        Shards {
            gate: Gate::new(parts),
            cells: (0..count).map(&mut cell).collect(),
            own: usize::MAX,
            taken: (0..parts).map(|_| AtomicBool::new(false)).collect(),
            #[cfg(debug_assertions)]
            rests: Rests::default(),
        }
    }

    /// The same behind one mutex, for a thread that does nearly all there is to do: it need not lock and
    /// unlock for each shard; see [`Turn::around`].
    pub fn behind_one(self) -> Shards<T> {
        Shards { own: 0, ..self }
    }

    /// Part `index` of the gate, for the thread that will take turns. Panics when it is taken; dropping it
    /// gives it back.
    pub fn part(self: &Arc<Self>, index: usize) -> Part<T> {
        let taken = self.taken[index].swap(true, Ordering::AcqRel);
        assert!(!taken, "part {index} of the gate is taken already");
        Part { shards: Arc::clone(self), index }
    }

    /// How many shards there are.
    pub fn count(&self) -> usize {
        self.cells.len()
    }

    /// Lets one in `every` lockings be preceded by a short sleep, in debug builds; for tests of what happens
    /// between.
    #[doc(hidden)]
    pub fn rest(&self, every: u32) {
        #[cfg(debug_assertions)]
        self.rests.every.store(every, std::sync::atomic::Ordering::Relaxed);
        let _ = every;
    }

    /// How many lockings have begun since [`Shards::rest`] was first told a number, in debug builds; one
    /// that still waits for its mutex has begun.
    #[doc(hidden)]
    pub fn lockings(&self) -> u32 {
        #[cfg(debug_assertions)]
        return self.rests.lockings.load(std::sync::atomic::Ordering::Relaxed);
        #[cfg(not(debug_assertions))]
        0
    }

    #[inline]
    fn maybe_rest(&self) {
        #[cfg(debug_assertions)]
        {
            use std::sync::atomic::Ordering::Relaxed;
            let every = self.rests.every.load(Relaxed);
            if every > 0 && self.rests.lockings.fetch_add(1, Relaxed).is_multiple_of(every) {
                std::thread::sleep(REST);
            }
        }
    }

    /// How many parts the gate has.
    pub fn parts(&self) -> usize {
        self.taken.len()
    }

    /// How many turns of `part` have ended.
    pub fn turns(&self, part: usize) -> u64 {
        self.gate.turns(part)
    }

    /// Notes who is inside now, for memory read without a lock; see [`Gate::stamp`].
    pub fn stamp(&self) -> Stamp {
        self.gate.stamp()
    }

    /// Whether every turn that ran when `stamp` was taken has ended.
    pub fn passed(&self, stamp: &Stamp) -> bool {
        self.gate.passed(stamp)
    }
}

/// One thread's part of the gate.
pub struct Part<T> {
    shards: Arc<Shards<T>>,
    index: usize,
}

impl<T> Part<T> {
    /// Begins a shared turn, parking at most for `patience` while an exclusive waits or runs.
    #[inline]
    pub fn enter(&mut self, patience: Duration) -> Result<Turn<'_, T>, Busy> {
        self.shards.gate.enter(self.index, patience)?;
        Ok(Turn { shards: &self.shards, part: self.index, mode: Mode::Shared, here: PhantomData })
    }

    /// As [`Part::enter`], with a patience that is asked again and again.
    #[inline]
    pub fn enter_while(&mut self, patience: Patience<'_>) -> Result<Turn<'_, T>, Busy> {
        self.shards.gate.enter_while(self.index, patience)?;
        Ok(Turn { shards: &self.shards, part: self.index, mode: Mode::Shared, here: PhantomData })
    }

    /// As [`Part::enter`], without waiting at all.
    #[inline]
    pub fn try_enter(&mut self) -> Option<Turn<'_, T>> {
        // Only who is inside has a turn: dropping one leaves.
        let inside = self.shards.gate.try_enter(self.index).then_some(Mode::Shared);
        inside.map(|mode| Turn { shards: &self.shards, part: self.index, mode, here: PhantomData })
    }

    /// The part's index.
    pub fn index(&self) -> usize {
        self.index
    }

    /// What this is a part of.
    pub fn shards(&self) -> &Arc<Shards<T>> {
        &self.shards
    }
}

impl<T> Drop for Part<T> {
    fn drop(&mut self) {
        self.shards.taken[self.index].store(false, Ordering::Release);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Shared,
    Exclusive,
    /// Waiting for the gate has answered `Busy`.
    Outside,
}

/// A turn: the time between entering the gate and leaving it, which dropping it does.
///
/// Bound to its thread. Everything read from shards, plans and hints included, is stale after `go_exclusive`,
/// `go_shared` and `breathe`.
pub struct Turn<'a, T> {
    shards: &'a Shards<T>,
    part: usize,
    mode: Mode,
    here: PhantomData<*const ()>,
}

impl<T> Turn<'_, T> {
    /// Locks one shard; in an exclusive turn takes no mutex and reaches everything.
    #[inline]
    pub fn one(&mut self, shard: usize) -> Held<'_, T> {
        if self.mode != Mode::Shared {
            return self.all();
        }
        self.only(shard)
    }

    /// The proof that this turn goes on. Panics when it is over.
    #[inline]
    pub fn inside(&self) -> Inside<'_> {
        assert!(!self.is_over(), "the turn is over");
        Inside { era: self.shards.gate.turns(self.part), turn: PhantomData }
    }

    /// Locks one shard in a shared turn. Whoever calls this while it holds another one, or this, waits for
    /// ever, or may.
    #[inline]
    pub fn only(&self, shard: usize) -> Held<'_, T> {
        assert!(self.mode == Mode::Shared, "a single shard is locked in a shared turn, not {:?}", self.mode);
        self.lock(shard, Which::Span(shard, shard + 1))
    }

    /// As [`Turn::only`], and reaches the shards behind the same mutex as well.
    #[inline]
    pub fn around(&self, shard: usize) -> Held<'_, T> {
        assert!(self.mode == Mode::Shared, "a mutex is locked in a shared turn, not {:?}", self.mode);
        let first = shard & self.shards.own;
        let end = if self.shards.own == 0 { self.shards.count() } else { shard + 1 };
        self.lock(shard, Which::Span(first, end))
    }

    #[inline]
    fn lock<'h>(&'h self, shard: usize, which: Which<'h>) -> Held<'h, T> {
        self.shards.maybe_rest();
        let mutex = shard & self.shards.own;
        self.shards.cells[mutex].mutex.lock();
        self.held(which, Locked::One(mutex))
    }

    /// Locks `shards`, which are strictly ascending; in an exclusive turn takes no mutex and reaches
    /// everything.
    pub fn set<'h>(&'h mut self, shards: &'h [u16]) -> Held<'h, T> {
        if self.mode != Mode::Shared {
            return self.all();
        }
        // Checked before the first lock: a panic must leave nothing locked.
        assert!(shards.is_sorted_by(|a, b| a < b), "shards to lock are not strictly ascending: {shards:?}");
        assert!(shards.last().is_none_or(|&last| usize::from(last) < self.shards.count()), "no such shard");
        if self.shards.own == 0
            && let Some(&first) = shards.first()
        {
            return self.lock(first.into(), Which::Set(shards));
        }
        self.shards.maybe_rest();
        for &shard in shards {
            self.shards.cells[usize::from(shard)].mutex.lock();
        }
        self.held(Which::Set(shards), Locked::Each)
    }

    /// Reaches every shard. Only in an exclusive turn; takes no mutex.
    #[inline]
    pub fn all(&mut self) -> Held<'_, T> {
        assert!(self.mode == Mode::Exclusive, "all shards need an exclusive turn, not {:?}", self.mode);
        self.held(Which::Span(0, self.shards.count()), Locked::Nothing)
    }

    /// Leaves, and enters with everyone else outside, however long that takes. Nothing when exclusive
    /// already.
    pub fn go_exclusive(&mut self) {
        let entered = self.try_go_exclusive(Duration::MAX);
        entered.expect("patience without end does not run out");
    }

    /// As [`Turn::go_exclusive`], waiting at most for `patience`. After `Busy` the turn is over.
    pub fn try_go_exclusive(&mut self, patience: Duration) -> Result<(), Busy> {
        if self.mode == Mode::Exclusive {
            return Ok(());
        }
        self.leave();
        self.shards.gate.enter_exclusive(self.part, patience)?;
        self.mode = Mode::Exclusive;
        Ok(())
    }

    /// As [`Turn::try_go_exclusive`], with a patience that is asked again and again.
    pub fn go_exclusive_while(&mut self, patience: Patience<'_>) -> Result<(), Busy> {
        if self.mode == Mode::Exclusive {
            return Ok(());
        }
        self.leave();
        self.shards.gate.enter_exclusive_while(self.part, patience)?;
        self.mode = Mode::Exclusive;
        Ok(())
    }

    /// Lets the others in again and stays inside; waits for nobody. Nothing when shared already.
    pub fn go_shared(&mut self) {
        match self.mode {
            Mode::Shared => {}
            Mode::Exclusive => {
                self.shards.gate.downgrade(self.part);
                self.mode = Mode::Shared;
            }
            Mode::Outside => panic!("the turn is over"),
        }
    }

    /// Whether it has ended before its time, by `Busy`: nothing can be reached in it.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.mode == Mode::Outside
    }

    /// Whether this turn has every shard to itself.
    pub fn is_exclusive(&self) -> bool {
        self.mode == Mode::Exclusive
    }

    /// Whether others may have their turns beside this one.
    #[inline]
    pub fn is_shared(&self) -> bool {
        self.mode == Mode::Shared
    }

    /// Whether an exclusive of another part waits: end the turn, or `breathe`, soon.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        if self.is_exclusive() { self.shards.gate.is_contested() } else { self.shards.gate.is_wanted() }
    }

    /// Leaves and enters again in the same mode, so that a waiting exclusive gets in between.
    ///
    /// After `Busy` the turn is over.
    pub fn breathe(&mut self, patience: Patience<'_>) -> Result<(), Busy> {
        let mode = self.mode;
        self.leave();
        match mode {
            Mode::Shared => self.shards.gate.enter_while(self.part, patience)?,
            Mode::Exclusive => self.shards.gate.enter_exclusive_while(self.part, patience)?,
            Mode::Outside => return Err(Busy),
        }
        self.mode = mode;
        Ok(())
    }

    /// Notes who is inside now, this turn included; see [`Gate::stamp`].
    pub fn stamp(&self) -> Stamp {
        self.shards.stamp()
    }

    /// How many shards there are.
    pub fn count(&self) -> usize {
        self.shards.count()
    }

    #[inline]
    fn held<'h>(&'h self, which: Which<'h>, locked: Locked) -> Held<'h, T> {
        Held { cells: &self.shards.cells, which, locked, here: PhantomData }
    }

    #[inline]
    fn leave(&mut self) {
        match self.mode {
            Mode::Shared => self.shards.gate.leave(self.part),
            Mode::Exclusive => self.shards.gate.leave_exclusive(self.part),
            Mode::Outside => {}
        }
        self.mode = Mode::Outside;
    }
}

impl<T> Drop for Turn<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.leave();
    }
}

/// Proof that a turn goes on for `'t`, for what turns read without a lock.
#[derive(Clone, Copy)]
pub struct Inside<'t> {
    era: u64,
    turn: PhantomData<(&'t (), *const ())>,
}

impl Inside<'_> {
    /// Changes whenever the turn's part leaves the gate: what was read under another era may be stale.
    #[inline]
    pub fn era(self) -> u64 {
        self.era
    }
}

/// Shards that may be read and written; dropping it unlocks them.
pub struct Held<'a, T> {
    cells: &'a [CachePadded<Cell<T>>],
    /// In bounds of `cells`.
    which: Which<'a>,
    locked: Locked,
    here: PhantomData<*const ()>,
}

/// What is unlocked when a [`Held`] is dropped.
#[derive(Clone, Copy)]
enum Locked {
    /// In an exclusive turn no mutex was locked; or another `Held`, borrowed by this one, unlocks.
    Nothing,
    /// The mutex of this cell.
    One(usize),
    /// Those of the cells of all that is held.
    Each,
}

#[derive(Clone, Copy)]
enum Which<'a> {
    /// From one index to another, excluded.
    Span(usize, usize),
    /// Strictly ascending.
    Set(&'a [u16]),
}

impl<T> Held<'_, T> {
    /// The value of `shard`. Panics when it is not held.
    #[inline]
    pub fn get(&self, shard: usize) -> &T {
        self.assert_holds(shard);
        // SAFETY: the shard is held: this thread has its mutex, or the gate to itself, until `self` is
        // dropped, and only `self` gives out references to it. `&self` excludes those of `get_mut`.
        unsafe { &*self.cells[shard].value.get() }
    }

    /// The value of `shard`, to change. Panics when it is not held.
    #[inline]
    pub fn get_mut(&mut self, shard: usize) -> &mut T {
        self.assert_holds(shard);
        // SAFETY: as in `get`; `&mut self` excludes every other reference.
        unsafe { &mut *self.cells[shard].value.get() }
    }

    /// The values of two different shards, to change together. Panics when one is not held or they are the
    /// same.
    pub fn get_two_mut(&mut self, one: usize, other: usize) -> (&mut T, &mut T) {
        self.assert_holds(one);
        self.assert_holds(other);
        assert!(one != other, "shard {one} twice");
        // SAFETY: as in `get_mut`; different shards are different values.
        unsafe { (&mut *self.cells[one].value.get(), &mut *self.cells[other].value.get()) }
    }

    /// The same shards, for as long as this is borrowed.
    pub fn lend(&mut self) -> Held<'_, T> {
        Held { cells: self.cells, which: self.which, locked: Locked::Nothing, here: PhantomData }
    }

    /// Whether `is_so` of any held shard.
    #[inline]
    pub fn any(&self, is_so: impl Fn(&T) -> bool) -> bool {
        match &self.which {
            Which::Span(start, end) => (*start..*end).any(|shard| is_so(self.get(shard))),
            Which::Set(set) => set.iter().any(|&shard| is_so(self.get(usize::from(shard)))),
        }
    }

    /// Whether `shard` is held.
    #[inline]
    pub fn holds(&self, shard: usize) -> bool {
        match &self.which {
            Which::Span(start, end) => (*start..*end).contains(&shard),
            Which::Set(set) => set.iter().any(|&held| usize::from(held) == shard),
        }
    }

    /// The indices of the held shards, ascending.
    pub fn shards(&self) -> impl Iterator<Item = usize> + '_ {
        let (span, set) = match &self.which {
            Which::Span(start, end) => (*start..*end, &[][..]),
            Which::Set(set) => (0..0, *set),
        };
        span.chain(set.iter().map(|&shard| usize::from(shard)))
    }

    #[inline]
    fn assert_holds(&self, shard: usize) {
        assert!(self.holds(shard), "shard {shard} is not held");
    }
}

impl<T> Drop for Held<'_, T> {
    #[inline]
    fn drop(&mut self) {
        match self.locked {
            Locked::Nothing => {}
            // SAFETY: the turn locked this mutex when it made `self`, and nobody has unlocked it since.
            Locked::One(cell) => unsafe { self.cells[cell].mutex.unlock() },
            Locked::Each => {
                for shard in self.shards() {
                    // SAFETY: the turn locked the mutexes of `which` when it made `self`, each once.
                    unsafe { self.cells[shard].mutex.unlock() };
                }
            }
        }
    }
}
