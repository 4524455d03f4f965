//! Turns, shards, mailboxes and claims under real threads, on the product's own primitives.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ochre::client::claim::{Claim, Reason};
use ochre::client::mailbox::Mailbox;
use ochre::keyspace::alarm::{Alarm, Due, NEVER_MS};
use ochre::keyspace::gate::{Busy, Gate};
use ochre::keyspace::lock::{Part, Shards};

const FOR_EVER: Duration = Duration::MAX;
const BRIEFLY: Duration = Duration::from_millis(5);
const SHARDS: usize = 8;

/// A small generator (xorshift); a thread's seed is its part.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// One turn in ten exclusive: counts everything. The others move one from shard to shard.
fn move_and_count(mut part: Part<i64>, turns: usize) -> u64 {
    let mut chance = Chance(part.index() as u64 * 7919 + 1);
    let mut exclusives = 0;
    for _ in 0..turns {
        let mut turn = part.enter(FOR_EVER).unwrap();
        if chance.below(10) == 0 {
            turn.go_exclusive();
            exclusives += 1;
            let held = turn.all();
            assert_eq!(held.shards().map(|shard| *held.get(shard)).sum::<i64>(), 0);
            drop(held);
            if chance.below(2) == 0 {
                turn.go_shared();
            }
        }
        let (from, by) = (chance.below(SHARDS), 1 + chance.below(SHARDS - 1));
        let to = (from + by) % SHARDS;
        let both = [from.min(to) as u16, from.max(to) as u16];
        let mut held = turn.set(&both);
        let (from, to) = held.get_two_mut(from, to);
        *from -= 1;
        *to += 1;
        drop(held);
        if chance.below(4) == 0 {
            turn.breathe(&mut || Some(FOR_EVER)).unwrap();
        }
        *turn.one(0).get_mut(0) += 0;
    }
    exclusives
}

#[test]
fn four_threads_move_between_shards_and_every_exclusive_sees_a_sum_of_zero() {
    let shards = Arc::new(Shards::new(4, SHARDS, |_| 0_i64));
    let threads: Vec<_> = (0..4)
        .map(|index| shards.part(index))
        .map(|part| thread::spawn(move || move_and_count(part, 5_000)))
        .collect();
    let exclusives: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(exclusives > 1_000);
    let mut part = shards.part(0);
    let mut turn = part.enter(Duration::ZERO).unwrap();
    assert!(!turn.is_wanted());
    let mut held = turn.set(&[0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!((0..SHARDS).map(|shard| *held.get_mut(shard)).sum::<i64>(), 0);
}

#[test]
fn two_that_are_always_exclusive_do_not_starve_shared_turns_nor_the_other_way_round() {
    let gate = Arc::new(Gate::new(4));
    let done = Arc::new(AtomicBool::new(false));
    let spin = |part: usize, is_exclusive: bool| {
        let (gate, done) = (Arc::clone(&gate), Arc::clone(&done));
        thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                if is_exclusive {
                    gate.enter_exclusive(part, FOR_EVER).unwrap();
                    gate.leave_exclusive(part);
                } else {
                    gate.enter(part, FOR_EVER).unwrap();
                    gate.leave(part);
                }
            }
        })
    };
    let others = [spin(2, true), spin(3, false), spin(1, true)];
    for _ in 0..500 {
        gate.enter(0, FOR_EVER).unwrap();
        gate.leave(0);
        gate.enter_exclusive(0, FOR_EVER).unwrap();
        gate.leave_exclusive(0);
    }
    done.store(true, Ordering::Relaxed);
    others.into_iter().for_each(|other| other.join().unwrap());
    assert_eq!(gate.turns(0), 1_000);
    assert!(!gate.is_wanted());
}

#[test]
fn patience_ends_in_busy_for_shared_and_exclusive_turns() {
    let shards = Arc::new(Shards::new(2, 1, |_| ()));
    let (mut one, mut other) = (shards.part(0), shards.part(1));
    let mut turn = one.enter(FOR_EVER).unwrap();
    let mut waiting = other.enter(BRIEFLY).unwrap();
    assert_eq!(waiting.try_go_exclusive(BRIEFLY), Err(Busy));
    assert!(!turn.is_wanted());
    drop(waiting);
    turn.go_exclusive();
    assert!(!turn.is_wanted());
    assert!(other.enter(BRIEFLY).is_err());
    assert!(other.enter(Duration::ZERO).is_err());
    let mut asked = 0;
    let mut patience = || {
        asked += 1;
        (asked < 4).then_some(BRIEFLY)
    };
    assert!(other.enter_while(&mut patience).is_err());
    assert_eq!(asked, 4);
    turn.go_shared();
    let mut waiting = other.enter(BRIEFLY).unwrap();
    drop(turn);
    waiting.go_exclusive();
    assert!(one.enter(BRIEFLY).is_err());
    drop(waiting);
    one.enter(BRIEFLY).unwrap().breathe(&mut || Some(BRIEFLY)).unwrap();
}

#[test]
fn a_turn_that_was_told_busy_reaches_nothing() {
    let shards = Arc::new(Shards::new(2, 2, |_| ()));
    let (mut one, mut other) = (shards.part(0), shards.part(1));
    let _inside = one.enter(FOR_EVER).unwrap();
    let mut turn = other.enter(FOR_EVER).unwrap();
    assert_eq!(turn.try_go_exclusive(Duration::ZERO), Err(Busy));
    assert_eq!(turn.breathe(&mut || Some(FOR_EVER)), Err(Busy));
    assert!(turn.is_over());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(turn.one(0)))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(turn.set(&[0, 1])))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(turn.all()))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| turn.go_shared())).is_err());
    drop(turn);
    other.enter(Duration::ZERO).unwrap().one(1).get(1);
}

#[test]
fn only_held_shards_are_reached() {
    let shards = Arc::new(Shards::new(1, 40, |index| index));
    let mut part = shards.part(0);
    let mut turn = part.enter(FOR_EVER).unwrap();
    let held = turn.one(3);
    assert_eq!((*held.get(3), held.holds(2), held.holds(4)), (3, false, false));
    assert_eq!(held.shards().collect::<Vec<_>>(), [3]);
    assert!(catch_unwind(AssertUnwindSafe(|| *held.get(4))).is_err());
    drop(held);
    let many: Vec<u16> = (0..40).step_by(2).collect();
    let held = turn.set(&many);
    assert!(held.shards().eq((0..40).step_by(2)));
    assert!(held.holds(38) && !held.holds(39) && !held.holds(40));
    assert!(catch_unwind(AssertUnwindSafe(|| *held.get(1))).is_err());
    drop(held);
    let mut held = turn.set(&[3, 5]);
    assert!(catch_unwind(AssertUnwindSafe(|| *held.get_two_mut(3, 3).0)).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| *held.get_two_mut(3, 4).0)).is_err());
    drop(held);
    assert_eq!(turn.set(&[]).shards().count(), 0);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(turn.all()))).is_err());
    turn.go_exclusive();
    assert_eq!(turn.one(7).shards().count(), 40);
    assert_eq!(turn.set(&[1, 2]).shards().count(), 40);
    assert!(turn.all().shards().eq(0..40));
}

#[test]
fn around_a_shard_are_those_behind_its_mutex() {
    let shards = || Shards::new(1, 40, |index| index);
    for (shards, around) in [(shards(), 7..8), (shards().behind_one(), 0..40)] {
        let mut part = Arc::new(shards).part(0);
        let mut turn = part.enter(FOR_EVER).unwrap();
        let held = turn.around(7);
        assert!(held.shards().eq(around));
        assert_eq!(*held.get(7), 7);
        drop(held);
        // What a command declares is all that it reaches, whatever else is behind the mutex.
        assert!(turn.one(3).shards().eq(3..4));
        assert!(turn.set(&[3, 5]).shards().eq([3, 5]));
        drop(turn.set(&[3, 5]));
        turn.go_exclusive();
        assert!(catch_unwind(AssertUnwindSafe(|| drop(turn.around(7)))).is_err());
    }
}

#[test]
fn a_set_out_of_order_locks_nothing() {
    let shards = Arc::new(Shards::new(1, 4, |_| ()));
    let mut part = shards.part(0);
    let mut turn = part.enter(FOR_EVER).unwrap();
    for wrong in [&[1, 0][..], &[2, 2], &[0, 1, 3, 2], &[0, 4]] {
        assert!(catch_unwind(AssertUnwindSafe(|| drop(turn.set(wrong)))).is_err(), "{wrong:?}");
    }
    drop(turn.set(&[0, 1, 2, 3]));
}

#[test]
fn a_turn_that_is_over_proves_nothing() {
    let shards = Arc::new(Shards::<()>::new(2, 1, |_| ()));
    let (mut one, mut other) = (shards.part(0), shards.part(1));
    let _inside = one.enter(FOR_EVER).unwrap();
    let mut turn = other.enter(FOR_EVER).unwrap();
    assert_eq!(turn.try_go_exclusive(Duration::ZERO), Err(Busy));
    assert!(catch_unwind(AssertUnwindSafe(|| turn.inside().era())).is_err());
}

#[test]
fn a_part_has_one_owner_and_comes_back() {
    let shards = Arc::new(Shards::new(2, 1, |_| ()));
    let part = shards.part(1);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(shards.part(1)))).is_err());
    drop(part);
    drop(shards.part(1));
}

#[test]
fn a_forgotten_turn_cannot_be_entered_again() {
    let shards = Arc::new(Shards::new(2, 1, |_| ()));
    let mut part = shards.part(0);
    std::mem::forget(part.enter(FOR_EVER).unwrap());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(part.enter(FOR_EVER)))).is_err());
    drop(part);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(shards.part(0).enter(FOR_EVER)))).is_err());
    let mut other = shards.part(1);
    assert_eq!(other.enter(FOR_EVER).unwrap().try_go_exclusive(Duration::ZERO), Err(Busy));
}

#[test]
fn a_panic_under_locks_leaves_them_free() {
    let shards = Arc::new(Shards::new(2, 2, |_| 0));
    let mut part = shards.part(0);
    for is_exclusive in [false, true] {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let mut turn = part.enter(FOR_EVER).unwrap();
            if is_exclusive {
                turn.go_exclusive();
            }
            let _held = turn.set(&[0, 1]);
            panic!("a command went wrong");
        }));
        assert!(panicked.is_err());
        let mut turn = part.enter(Duration::ZERO).unwrap();
        drop(turn.set(&[0, 1]));
        turn.try_go_exclusive(Duration::ZERO).unwrap();
    }
}

#[test]
fn a_stamp_passes_when_the_turns_it_saw_have_ended() {
    let shards = Arc::new(Shards::new(3, 1, |_| ()));
    let (mut one, mut other) = (shards.part(0), shards.part(1));
    assert!(shards.passed(&shards.stamp()));
    let turn = one.enter(FOR_EVER).unwrap();
    let stamp = turn.stamp();
    let later = other.enter(FOR_EVER).unwrap();
    assert!(!shards.passed(&stamp));
    drop(turn);
    assert!(shards.passed(&stamp));
    drop(later);
    let mut turn = other.enter(FOR_EVER).unwrap();
    let stamp = shards.stamp();
    turn.go_exclusive();
    assert!(shards.passed(&stamp));
    let stamp = shards.stamp();
    assert!(!shards.passed(&stamp));
    turn.go_shared();
    assert!(shards.passed(&stamp));
    drop(turn);
    assert_eq!([0, 1, 2].map(|part| shards.turns(part)), [1, 4, 0]);
}

#[test]
fn messages_of_each_producer_arrive_in_order_and_none_is_slept_over() {
    const EACH: u32 = 20_000;
    let mailbox = Arc::new(Mailbox::new());
    let consumer = thread::current();
    let producers: Vec<_> = (0..3_usize)
        .map(|producer| {
            let (mailbox, consumer) = (Arc::clone(&mailbox), consumer.clone());
            thread::spawn(move || {
                for number in 0..EACH {
                    if mailbox.push((producer, number)) {
                        consumer.unpark();
                    }
                }
            })
        })
        .collect();
    let (mut next, mut messages) = ([0; 3], Vec::new());
    while next != [EACH; 3] {
        mailbox.drain(&mut messages);
        for (producer, number) in messages.drain(..) {
            assert_eq!(number, next[producer]);
            next[producer] += 1;
        }
        if next != [EACH; 3] && mailbox.prepare_sleep() {
            thread::park();
            mailbox.awake();
        }
    }
    producers.into_iter().for_each(|producer| producer.join().unwrap());
}

#[test]
fn a_push_asks_for_one_wake_up_per_sleep() {
    let mailbox = Mailbox::new();
    assert!(!mailbox.push(1));
    assert!(!mailbox.prepare_sleep());
    let mut messages = vec![0];
    mailbox.drain(&mut messages);
    assert_eq!(messages, [0, 1]);
    assert!(mailbox.prepare_sleep());
    assert_eq!([mailbox.push(2), mailbox.push(3)], [true, false]);
    mailbox.awake();
    assert!(!mailbox.prepare_sleep());
    mailbox.drain(&mut messages);
    assert_eq!(messages, [0, 1, 2, 3]);
    assert!(mailbox.prepare_sleep());
    mailbox.awake();
    assert!(!mailbox.push(4));
}

#[test]
fn one_of_many_claims_wins_and_says_why() {
    const REASONS: [Reason; 5] =
        [Reason::Served, Reason::TimedOut, Reason::Unblocked, Reason::Killed, Reason::Gone];
    let claims: Arc<Vec<Claim>> = Arc::new((0..2_000).map(|_| Claim::new()).collect());
    let wins = Arc::new(AtomicU64::new(0));
    let threads = REASONS.map(|reason| {
        let (claims, wins) = (Arc::clone(&claims), Arc::clone(&wins));
        thread::spawn(move || {
            for claim in claims.iter() {
                if claim.try_claim(reason) {
                    assert_eq!(claim.state(), Some(reason));
                    wins.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(wins.load(Ordering::Relaxed), 2_000);
    assert!(claims.iter().all(|claim| !claim.is_parked()));
    assert_eq!(Claim::new().state(), None);
}

#[test]
fn a_sleeping_worker_is_poked_for_earlier_deadlines_only() {
    let (alarm, dues) = (Alarm::new(), [Due::new(), Due::new()]);
    assert!(!alarm.arm(5));
    assert_eq!(alarm.promise(dues.iter()), NEVER_MS);
    dues[0].publish(100);
    assert!(alarm.arm(100));
    assert!(!alarm.arm(100));
    assert!(!alarm.arm(101));
    assert!(alarm.arm(99));
    alarm.awake();
    assert!(!alarm.arm(1));
    dues[1].publish(70);
    assert_eq!(alarm.promise(dues.iter()), 70);
    assert!(!alarm.arm(80));
    assert!(alarm.arm(0));
}
