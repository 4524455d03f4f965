//! What a turn, a lock and a contended gate cost. `cargo bench --bench gate`.

#![allow(clippy::disallowed_methods)] // A benchmark reads the real time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use divan::{Bencher, black_box};
use ochre::keyspace::gate::Gate;
use ochre::keyspace::lock::Shards;

const FOR_EVER: Duration = Duration::MAX;
const CONTENDED_TURNS: u32 = 1_000_000;

fn main() {
    divan::main();
    contended();
}

#[divan::bench]
fn enter_and_leave(bencher: Bencher) {
    let gate = Gate::new(6);
    bencher.bench_local(|| {
        let entered = gate.enter(black_box(0), FOR_EVER);
        gate.leave(black_box(0));
        entered
    });
}

#[divan::bench]
fn turn(bencher: Bencher) {
    let shards = Arc::new(Shards::new(6, 64, |_| 0_u64));
    let mut part = shards.part(0);
    bencher.bench_local(|| part.enter(FOR_EVER).is_ok());
}

#[divan::bench]
fn one(bencher: Bencher) {
    let shards = Arc::new(Shards::new(6, 64, |_| 0_u64));
    let mut part = shards.part(0);
    let mut turn = part.enter(FOR_EVER).unwrap();
    bencher.bench_local(|| *turn.one(black_box(7)).get_mut(black_box(7)) += 1);
}

#[divan::bench]
fn one_parking_lot_mutex(bencher: Bencher) {
    let mutexes: Vec<_> = (0..64).map(|_| parking_lot::Mutex::new(0_u64)).collect();
    bencher.bench_local(|| *mutexes[black_box(7)].lock() += 1);
}

#[divan::bench]
fn set_of_three(bencher: Bencher) {
    let shards = Arc::new(Shards::new(6, 64, |_| 0_u64));
    let mut part = shards.part(0);
    let mut turn = part.enter(FOR_EVER).unwrap();
    bencher.bench_local(|| *turn.set(black_box(&[3, 7, 40])).get_mut(black_box(7)) += 1);
}

#[divan::bench]
fn exclusive_of_two_parts(bencher: Bencher) {
    let shards = Arc::new(Shards::new(2, 64, |_| 0_u64));
    let mut part = shards.part(0);
    let mut turn = part.enter(FOR_EVER).unwrap();
    bencher.bench_local(|| {
        turn.go_exclusive();
        *turn.all().get_mut(black_box(7)) += 1;
        turn.go_shared();
    });
}

#[divan::bench]
fn stamp_of_six_parts(bencher: Bencher) {
    let gate = Gate::new(6);
    bencher.bench_local(|| gate.passed(&gate.stamp()));
}

/// Two threads take turns as fast as they can while a third is exclusive every millisecond.
fn contended() {
    let gate = Arc::new(Gate::new(3));
    let done = Arc::new(AtomicBool::new(false));
    let workers = [0, 1].map(|part| {
        let gate = Arc::clone(&gate);
        thread::spawn(move || {
            let (mut longest, mut slow, mut waited) = (Duration::ZERO, 0_u32, Duration::ZERO);
            let begin = Instant::now();
            for _ in 0..CONTENDED_TURNS {
                let asked = Instant::now();
                let entered = gate.enter(part, FOR_EVER);
                let wait = asked.elapsed();
                longest = longest.max(wait);
                if wait > Duration::from_micros(1) {
                    slow += 1;
                    waited += wait;
                }
                black_box(entered).unwrap();
                gate.leave(part);
            }
            (begin.elapsed() / CONTENDED_TURNS, slow, waited / slow.max(1), longest)
        })
    });
    let (its_gate, its_done) = (Arc::clone(&gate), Arc::clone(&done));
    let exclusive = thread::spawn(move || {
        let (mut count, mut waited, mut longest) = (0_u32, Duration::ZERO, Duration::ZERO);
        while !its_done.load(Ordering::Relaxed) {
            let asked = Instant::now();
            its_gate.enter_exclusive(2, FOR_EVER).unwrap();
            let wait = asked.elapsed();
            its_gate.leave_exclusive(2);
            (count, waited, longest) = (count + 1, waited + wait, longest.max(wait));
            thread::sleep(Duration::from_millis(1));
        }
        (count, waited / count.max(1), longest)
    });
    for worker in workers {
        let (mean, slow, wait, longest) = worker.join().unwrap();
        println!(
            "shared: {mean:?} a turn; {slow} waited over 1 us, {wait:?} on average, {longest:?} at most"
        );
    }
    done.store(true, Ordering::Relaxed);
    let (count, wait, longest) = exclusive.join().unwrap();
    println!("exclusive: {count} times, waited {wait:?} on average, {longest:?} at most");
}
