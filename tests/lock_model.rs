//! Every interleaving of the protocols between threads, within a bound on preemptions.
//!
//! The product's own source files run here on the primitives of a model checker: this crate has its own
//! `sync`. Each protocol is also run on broken primitives, where its model has to fail; so a model that could
//! not see a lost wake-up or a missing hand-over does not pass for a proof.

#![allow(clippy::arc_with_non_send_sync)] // The checker's threads share what the models watch.

#[allow(dead_code)] // What the models leave out is tested on real threads.
#[path = "../src/client"]
mod client {
    pub mod claim;
    pub mod mailbox;
}
#[allow(dead_code)]
#[allow(clippy::reversed_empty_ranges)] // Nothing spins here.
#[path = "../src/keyspace"]
mod keyspace {
    pub mod alarm;
    pub mod gate;
    pub mod lock;
}

use std::sync::Arc;
use std::time::Duration;

use client::claim::{Claim, Reason};
use client::mailbox::Mailbox;
use keyspace::alarm::{Alarm, Due, NEVER_MS};
use keyspace::gate::{Busy, Gate};
use keyspace::lock::{Part, Shards};
use loom::cell::UnsafeCell;
use loom::thread;
use sync::Fault;
use sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const FOR_EVER: Duration = Duration::MAX;
/// The model's clock has two answers: never, or as soon as the others have had a chance.
const BRIEFLY: Duration = Duration::from_millis(1);

/// The checker's primitives in the shapes of `src/sync.rs`.
mod sync {
    use std::cell::Cell as Plain;
    use std::ops::{Deref, DerefMut};
    use std::time::Duration;

    pub use loom::hint::spin_loop;

    pub const SPINS: u32 = 0;

    /// What is wrong with the primitives.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Fault {
        Nothing,
        /// Atomic operations order nothing but their own word.
        Unordered,
        /// A read-modify-write is a load and a store.
        Torn,
        /// Notices get lost.
        Deaf,
    }

    thread_local! {
        /// All threads of a model run on the thread of its test.
        static FAULT: Plain<Fault> = const { Plain::new(Fault::Nothing) };
    }

    pub fn plant(fault: Fault) {
        FAULT.set(fault);
        WAITERS.set(0);
    }

    fn is(fault: Fault) -> bool {
        FAULT.get() == fault
    }

    pub mod atomic {
        use super::{Fault, is};
        use loom::sync::atomic as checked;
        pub use std::sync::atomic::Ordering;

        fn order(order: Ordering) -> Ordering {
            if is(Fault::Unordered) { Ordering::Relaxed } else { order }
        }

        macro_rules! atomic {
            ($name:ident, $int:ty, { $($method:ident = $change:expr;)* }) => {
                pub struct $name(checked::$name);
                #[allow(dead_code)] // Not every word is changed in every way.
                impl $name {
                    pub fn new(value: $int) -> $name {
                        $name(checked::$name::new(value))
                    }
                    pub fn load(&self, by: Ordering) -> $int {
                        self.0.load(order(by))
                    }
                    pub fn store(&self, value: $int, by: Ordering) {
                        self.0.store(value, order(by));
                    }
                    pub fn compare_exchange(
                        &self, from: $int, to: $int, by: Ordering, _: Ordering,
                    ) -> Result<$int, $int> {
                        if is(Fault::Torn) {
                            let seen = self.0.load(Ordering::Acquire);
                            if seen != from {
                                return Err(seen);
                            }
                            self.0.store(to, Ordering::Release);
                            return Ok(seen);
                        }
                        self.0.compare_exchange(from, to, order(by), Ordering::Relaxed)
                    }
                    $(pub fn $method(&self, value: $int, by: Ordering) -> $int {
                        if is(Fault::Torn) {
                            let seen = self.0.load(Ordering::Acquire);
                            let change: fn($int, $int) -> $int = $change;
                            self.0.store(change(seen, value), Ordering::Release);
                            return seen;
                        }
                        self.0.$method(value, order(by))
                    })*
                }
            };
        }
        atomic!(AtomicU64, u64, {
            swap = |_, b| b;
            fetch_add = u64::wrapping_add;
            fetch_or = |a, b| a | b;
            fetch_and = |a, b| a & b;
            fetch_min = Ord::min;
        });
        atomic!(AtomicUsize, usize, {
            fetch_add = usize::wrapping_add;
            fetch_sub = usize::wrapping_sub;
        });
        atomic!(AtomicU8, u8, {});
        atomic!(AtomicBool, bool, {
            swap = |_, b| b;
        });
    }

    pub struct Mutex<T>(loom::sync::Mutex<T>);

    pub struct MutexGuard<'a, T> {
        mutex: &'a Mutex<T>,
        guard: loom::sync::MutexGuard<'a, T>,
    }

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }
        pub fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard { mutex: self, guard: self.0.lock().expect("the checker's locks are not poisoned") }
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            &self.guard
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.guard
        }
    }

    thread_local! {
        static WAITERS: Plain<usize> = const { Plain::new(0) };
    }

    /// How many threads of the model wait in a [`Condvar`], or have been woken and not yet run.
    pub fn waiters() -> usize {
        WAITERS.get()
    }

    #[derive(Default)]
    pub struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub fn new() -> Condvar {
            Condvar(loom::sync::Condvar::new())
        }
        pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>, patience: Duration) -> (MutexGuard<'a, T>, bool) {
            let MutexGuard { mutex, guard } = guard;
            if patience != Duration::MAX {
                // The lock is given up, whoever wants it may take it, and then time is up.
                drop(guard);
                return (mutex.lock(), true);
            }
            WAITERS.set(WAITERS.get() + 1);
            let guard = self.0.wait(guard).expect("the checker's locks are not poisoned");
            WAITERS.set(WAITERS.get() - 1);
            (MutexGuard { mutex, guard }, false)
        }
        pub fn notify(&self) {
            if !is(Fault::Deaf) {
                self.0.notify_one();
            }
        }
    }

    pub struct RawMutex(loom::sync::Mutex<bool>, loom::sync::Condvar);
    pub trait RawLock {
        fn lock(&self);
        unsafe fn unlock(&self);
    }

    pub fn raw_mutex() -> RawMutex {
        RawMutex(loom::sync::Mutex::new(false), loom::sync::Condvar::new())
    }

    impl RawLock for RawMutex {
        fn lock(&self) {
            let mut locked = self.0.lock().expect("the checker's locks are not poisoned");
            while *locked {
                locked = self.1.wait(locked).expect("the checker's locks are not poisoned");
            }
            *locked = true;
        }
        unsafe fn unlock(&self) {
            *self.0.lock().expect("the checker's locks are not poisoned") = false;
            self.1.notify_one();
        }
    }

    /// Reports a touch that no happens-before edge separates from another thread's.
    pub struct UnsafeCell<T>(loom::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub fn new(value: T) -> UnsafeCell<T> {
            UnsafeCell(loom::cell::UnsafeCell::new(value))
        }
        pub fn get(&self) -> *mut T {
            self.0.with_mut(|pointer| pointer)
        }
    }
}

/// Runs `model` in every interleaving with at most `preemptions` of them, on primitives with `fault`.
fn explore(preemptions: usize, fault: Fault, model: impl Fn() + Sync + Send + 'static) {
    sync::plant(fault);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// What a gate is to keep apart: readers in shared turns, a writer in an exclusive one.
struct Guarded {
    gate: Gate,
    sum: UnsafeCell<u32>,
}

impl Guarded {
    fn new(parts: usize) -> Arc<Guarded> {
        Arc::new(Guarded { gate: Gate::new(parts), sum: UnsafeCell::new(0) })
    }

    fn read(&self) -> u32 {
        // SAFETY: the checker watches the cell and reports a race.
        self.sum.with(|sum| unsafe { *sum })
    }

    fn add(&self) {
        // SAFETY: as in `read`.
        self.sum.with_mut(|sum| unsafe { *sum += 1 });
    }

    fn shared(&self, part: usize, patience: Duration) -> bool {
        let entered = self.gate.enter(part, patience).is_ok();
        if entered {
            self.read();
            self.gate.leave(part);
        }
        entered
    }

    fn exclusive(&self, part: usize, patience: Duration) -> bool {
        let entered = self.gate.enter_exclusive(part, patience).is_ok();
        if entered {
            self.add();
            self.gate.leave_exclusive(part);
        }
        entered
    }

    /// Whatever went before, each part can enter both ways, and nothing is left of it.
    fn assert_open(&self, parts: usize, exclusives: u32) {
        assert!(!self.gate.is_wanted());
        for part in 0..parts {
            self.gate.enter(part, Duration::ZERO).expect("nobody bars the gate");
        }
        (0..parts).for_each(|part| self.gate.leave(part));
        self.gate.enter_exclusive(0, Duration::ZERO).expect("nobody is inside");
        assert_eq!(self.read(), exclusives);
        self.gate.leave_exclusive(0);
    }
}

fn shared_turns_and_an_exclusive(fault: Fault) {
    explore(3, fault, || {
        let guarded = Guarded::new(3);
        let [one, two] = [1, 2].map(|part| {
            let guarded = Arc::clone(&guarded);
            thread::spawn(move || assert!(guarded.shared(part, FOR_EVER)))
        });
        assert!(guarded.exclusive(0, FOR_EVER));
        one.join().unwrap();
        two.join().unwrap();
        guarded.assert_open(3, 1);
        assert_eq!([0, 1, 2].map(|part| guarded.gate.turns(part)), [3, 2, 2]);
    });
}

#[test]
fn an_exclusive_turn_excludes_shared_ones() {
    shared_turns_and_an_exclusive(Fault::Nothing);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn an_exclusive_turn_needs_ordered_words() {
    shared_turns_and_an_exclusive(Fault::Unordered);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn an_exclusive_turn_needs_whole_words() {
    shared_turns_and_an_exclusive(Fault::Torn);
}

#[test]
#[should_panic(expected = "deadlock")]
fn an_exclusive_turn_needs_notices() {
    shared_turns_and_an_exclusive(Fault::Deaf);
}

#[test]
fn exclusive_turns_exclude_each_other_and_shared_ones() {
    explore(2, Fault::Nothing, || {
        let guarded = Guarded::new(3);
        let other = Arc::clone(&guarded);
        let exclusive = thread::spawn(move || assert!(other.exclusive(1, FOR_EVER)));
        let other = Arc::clone(&guarded);
        let shared = thread::spawn(move || {
            assert!(other.shared(2, FOR_EVER));
            assert!(other.shared(2, FOR_EVER));
        });
        assert!(guarded.exclusive(0, FOR_EVER));
        exclusive.join().unwrap();
        shared.join().unwrap();
        guarded.assert_open(3, 2);
    });
}

#[test]
fn patience_that_ends_leaves_the_gate_in_order() {
    explore(2, Fault::Nothing, || {
        let guarded = Guarded::new(3);
        let other = Arc::clone(&guarded);
        let shared = thread::spawn(move || other.shared(1, BRIEFLY));
        let other = Arc::clone(&guarded);
        let exclusive = thread::spawn(move || other.exclusive(2, BRIEFLY));
        assert!(guarded.shared(0, FOR_EVER));
        let own = guarded.exclusive(0, BRIEFLY);
        shared.join().unwrap();
        let exclusives = u32::from(own) + u32::from(exclusive.join().unwrap());
        guarded.assert_open(3, exclusives);
    });
}

/// Wakes once by itself, and waits on.
fn asked_twice() -> impl FnMut() -> Option<Duration> {
    let mut times = [BRIEFLY, FOR_EVER].into_iter();
    move || times.next()
}

#[test]
fn who_is_asked_for_patience_again_has_kept_its_place() {
    explore(2, Fault::Nothing, || {
        let guarded = Guarded::new(3);
        let other = Arc::clone(&guarded);
        let shared = thread::spawn(move || {
            other.gate.enter_while(1, &mut asked_twice()).unwrap();
            other.read();
            other.gate.leave(1);
        });
        let other = Arc::clone(&guarded);
        let exclusive = thread::spawn(move || {
            other.gate.enter_exclusive_while(2, &mut asked_twice()).unwrap();
            other.add();
            other.gate.leave_exclusive(2);
        });
        assert!(guarded.exclusive(0, FOR_EVER));
        shared.join().unwrap();
        exclusive.join().unwrap();
        guarded.assert_open(3, 2);
    });
}

#[test]
fn an_exclusive_that_gives_up_lets_the_parked_in() {
    explore(3, Fault::Nothing, || {
        let guarded = Guarded::new(3);
        guarded.gate.enter(0, FOR_EVER).unwrap();
        let other = Arc::clone(&guarded);
        let shared = thread::spawn(move || assert!(other.shared(1, FOR_EVER)));
        let other = Arc::clone(&guarded);
        // Part 0 stays inside until both are done: only giving up can free the parked one.
        let exclusive = thread::spawn(move || assert_eq!(other.gate.enter_exclusive(2, BRIEFLY), Err(Busy)));
        shared.join().unwrap();
        exclusive.join().unwrap();
        guarded.gate.leave(0);
        guarded.assert_open(3, 0);
    });
}

#[test]
fn a_parked_entry_goes_before_the_next_exclusive_even_a_queued_one() {
    let parked_and_queued = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let seen = Arc::clone(&parked_and_queued);
    explore(3, Fault::Nothing, move || {
        let guarded = Guarded::new(3);
        let entered = Arc::new(AtomicBool::new(false));
        let both_wait = Arc::new(AtomicBool::new(false));
        guarded.gate.enter_exclusive(0, FOR_EVER).unwrap();
        let (other, mark) = (Arc::clone(&guarded), Arc::clone(&entered));
        let shared = thread::spawn(move || {
            other.gate.enter(1, FOR_EVER).unwrap();
            mark.store(true, Ordering::Relaxed);
            other.gate.leave(1);
        });
        let (other, mark, both) = (Arc::clone(&guarded), Arc::clone(&entered), Arc::clone(&both_wait));
        let queued = thread::spawn(move || {
            other.gate.enter_exclusive(2, FOR_EVER).unwrap();
            assert!(!both.load(Ordering::Relaxed) || mark.load(Ordering::Relaxed));
            other.gate.leave_exclusive(2);
        });
        thread::yield_now();
        if sync::waiters() == 2 {
            seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            both_wait.store(true, Ordering::Relaxed);
        }
        guarded.gate.leave_exclusive(0);
        guarded.gate.enter_exclusive(0, FOR_EVER).unwrap();
        assert!(!both_wait.load(Ordering::Relaxed) || entered.load(Ordering::Relaxed));
        guarded.gate.leave_exclusive(0);
        shared.join().unwrap();
        queued.join().unwrap();
    });
    assert!(parked_and_queued.load(std::sync::atomic::Ordering::Relaxed) > 0, "the case never came up");
}

#[test]
fn nobody_is_exclusive_while_an_exclusive_turns_shared() {
    explore(3, Fault::Nothing, || {
        let guarded = Guarded::new(2);
        let other = Arc::clone(&guarded);
        let exclusive = thread::spawn(move || assert!(other.exclusive(1, FOR_EVER)));
        guarded.gate.enter_exclusive(0, FOR_EVER).unwrap();
        guarded.add();
        let before = guarded.read();
        guarded.gate.downgrade(0);
        assert_eq!(guarded.read(), before);
        guarded.gate.leave(0);
        exclusive.join().unwrap();
        guarded.assert_open(2, 2);
    });
}

fn memory_is_freed_when_its_readers_have_left(fault: Fault) {
    explore(3, fault, || {
        let gate = Arc::new(Gate::new(2));
        let table = Arc::new(AtomicUsize::new(0));
        let segments = Arc::new([UnsafeCell::new(7_u32), UnsafeCell::new(8_u32)]);
        let (its_gate, its_table, its_segments) =
            (Arc::clone(&gate), Arc::clone(&table), Arc::clone(&segments));
        let reader = thread::spawn(move || {
            for _ in 0..2 {
                its_gate.enter(1, FOR_EVER).unwrap();
                let segment = its_table.load(Ordering::Acquire);
                // SAFETY: the checker watches the cell and reports a race.
                its_segments[segment].with(|value| unsafe { assert_eq!(*value, 7 + segment as u32) });
                its_gate.leave(1);
            }
        });
        gate.enter(0, FOR_EVER).unwrap();
        table.store(1, Ordering::Release);
        gate.leave(0);
        let stamp = gate.stamp();
        if gate.passed(&stamp) {
            // SAFETY: as above; this stands for freeing the segment.
            segments[0].with_mut(|value| unsafe { *value = 0 });
        }
        reader.join().unwrap();
        assert!(gate.passed(&stamp));
    });
}

#[test]
fn a_passed_stamp_means_that_no_turn_reads_the_old_segment() {
    memory_is_freed_when_its_readers_have_left(Fault::Nothing);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_stamp_needs_ordered_words() {
    memory_is_freed_when_its_readers_have_left(Fault::Unordered);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_stamp_needs_to_be_a_read_modify_write() {
    memory_is_freed_when_its_readers_have_left(Fault::Torn);
}

/// A thread that moves one from the first shard to the second.
fn move_one(mut part: Part<i32>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut turn = part.enter(FOR_EVER).unwrap();
        let mut held = turn.set(&[0, 1]);
        let (from, to) = held.get_two_mut(0, 1);
        *from -= 1;
        *to += 1;
    })
}

#[test]
fn shards_move_values_between_turns_without_a_race() {
    explore(2, Fault::Nothing, || {
        let shards = Arc::new(Shards::new(3, 2, |_| 10_i32));
        let pairs = move_one(shards.part(1));
        let mut part = shards.part(2);
        let single = thread::spawn(move || {
            let mut turn = part.enter(FOR_EVER).unwrap();
            assert!((10..=11).contains(turn.one(1).get(1)));
        });
        let mut part = shards.part(0);
        let mut turn = part.enter(FOR_EVER).unwrap();
        turn.go_exclusive();
        let held = turn.all();
        assert_eq!(held.get(0) + held.get(1), 20);
        drop(held);
        turn.go_shared();
        assert!((9..=10).contains(turn.one(0).get(0)));
        drop(turn);
        pairs.join().unwrap();
        single.join().unwrap();
    });
}

#[test]
fn shards_behind_one_mutex_move_values_without_a_race() {
    explore(2, Fault::Nothing, || {
        let shards = Arc::new(Shards::new(3, 2, |_| 10_i32).behind_one());
        let mut part = shards.part(1);
        let single = thread::spawn(move || {
            let mut turn = part.enter(FOR_EVER).unwrap();
            *turn.one(1).get_mut(1) += 1;
        });
        let pairs = move_one(shards.part(2));
        let mut part = shards.part(0);
        let turn = part.enter(FOR_EVER).unwrap();
        let held = turn.around(1);
        assert!((20..=21).contains(&(held.get(0) + held.get(1))));
        drop(held);
        drop(turn);
        pairs.join().unwrap();
        single.join().unwrap();
        let mut turn = part.enter(FOR_EVER).unwrap();
        turn.go_exclusive();
        let held = turn.all();
        assert_eq!((*held.get(0), *held.get(1)), (9, 12));
    });
}

/// A worker's eventfd.
#[derive(Default)]
struct Bell(loom::sync::Mutex<u32>, loom::sync::Condvar);

impl Bell {
    fn ring(&self) {
        *self.0.lock().unwrap() += 1;
        self.1.notify_one();
    }

    fn sleep(&self) -> u32 {
        let mut rung = self.0.lock().unwrap();
        while *rung == 0 {
            rung = self.1.wait(rung).unwrap();
        }
        std::mem::take(&mut *rung)
    }
}

/// `is_careful`: the consumer asks before it sleeps.
fn producers_and_a_consumer_that_sleeps(is_careful: bool) {
    explore(3, Fault::Nothing, move || {
        let shared = Arc::new((Mailbox::new(), Bell::default()));
        let producers = [1, 2].map(|message| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                if shared.0.push(message) {
                    shared.1.ring();
                }
            })
        });
        let (mailbox, bell) = &*shared;
        let (mut seen, mut sleeps, mut rings) = (Vec::new(), 0, 0);
        loop {
            mailbox.drain(&mut seen);
            if seen.len() == 2 {
                break;
            }
            if mailbox.prepare_sleep() || !is_careful {
                sleeps += 1;
                rings += bell.sleep();
                mailbox.awake();
            }
        }
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        assert!(rings <= sleeps, "{rings} wake-ups for {sleeps} sleeps");
        assert_eq!(seen.iter().sum::<i32>(), 3);
    });
}

#[test]
fn a_mailbox_loses_no_wake_up_and_sends_one_per_sleep() {
    producers_and_a_consumer_that_sleeps(true);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_consumer_has_to_ask_before_it_sleeps() {
    producers_and_a_consumer_that_sleeps(false);
}

fn three_claim_one_record(fault: Fault) {
    explore(3, fault, || {
        let claim = Arc::new(Claim::new());
        let others = [Reason::TimedOut, Reason::Killed].map(|reason| {
            let claim = Arc::clone(&claim);
            thread::spawn(move || claim.try_claim(reason).then_some(reason))
        });
        let own = claim.try_claim(Reason::Served).then_some(Reason::Served);
        assert!(!claim.is_parked());
        let winners: Vec<_> =
            others.map(|other| other.join().unwrap()).into_iter().chain([own]).flatten().collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(claim.state(), Some(winners[0]));
        assert!(!claim.try_claim(Reason::Gone));
    });
}

#[test]
fn exactly_one_claim_wins() {
    three_claim_one_record(Fault::Nothing);
}

#[test]
#[should_panic(expected = "left == right")]
fn a_claim_needs_whole_words() {
    three_claim_one_record(Fault::Torn);
}

/// The home worker wakes from a sleep until 100 ms, looks at its shards, has nothing more due in the first
/// and sleeps again, while one writer per other shard gives it a deadline of `armed_ms`. `soonest` sums the
/// shards up.
fn deadlines_while_a_worker_goes_to_sleep(armed_ms: &'static [u64], fault: Fault) {
    explore(3, fault, move || {
        let dues: [Due; 3] = std::array::from_fn(|_| Due::new());
        let home = Arc::new((Alarm::new(), dues, loom::sync::atomic::AtomicU32::new(0), Due::new()));
        let (alarm, dues, pokes, soonest) = &*home;
        dues[0].publish(100);
        soonest.lower(100);
        assert_eq!(alarm.promise(std::iter::once(soonest)), 100);
        let writer = |(index, &deadline_ms): (usize, &u64)| {
            let home = Arc::clone(&home);
            thread::spawn(move || {
                home.1[index + 1].publish(deadline_ms);
                home.3.lower(deadline_ms);
                if home.0.arm(deadline_ms) {
                    home.2.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let writers: Vec<_> = armed_ms.iter().enumerate().map(writer).collect();
        pokes.swap(0, Ordering::Relaxed);
        alarm.awake();
        soonest.take();
        dues[0].publish(NEVER_MS);
        dues.iter().for_each(|due| soonest.lower(due.at_ms()));
        let sleeps_until_ms = alarm.promise(std::iter::once(soonest));
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        let due_ms = *armed_ms.iter().min().unwrap();
        let is_poked = pokes.load(Ordering::Relaxed) > 0;
        assert!(is_poked || sleeps_until_ms <= due_ms, "sleeps until {sleeps_until_ms}, due at {due_ms}");
    });
}

#[test]
fn no_deadline_is_slept_over() {
    deadlines_while_a_worker_goes_to_sleep(&[50], Fault::Nothing);
    deadlines_while_a_worker_goes_to_sleep(&[200], Fault::Nothing);
    deadlines_while_a_worker_goes_to_sleep(&[200, 50], Fault::Nothing);
}

#[test]
#[should_panic(expected = "sleeps until")]
fn an_alarm_needs_ordered_words() {
    deadlines_while_a_worker_goes_to_sleep(&[200], Fault::Unordered);
}

#[test]
#[should_panic(expected = "sleeps until")]
fn an_alarm_needs_whole_words() {
    deadlines_while_a_worker_goes_to_sleep(&[50], Fault::Torn);
}
