//! Whether SCAN keeps its promise while others change what it walks over.
//!
//! For: iterations by several clients beside others that insert and delete. May touch: sockets.
//! Always: a key that is there from the beginning of an iteration to its end is returned; one that never was
//! is not; an iteration ends.

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use support::local::{Local, ask, ask_all, ask_int, bytes, words};
use support::{Client, Reply};

/// Keys that stay.
const STAYING: u64 = 5_000;
/// Keys that come and go, by client.
const PASSING: u64 = 25_000;
/// Clients that change the keys.
const CHANGERS: u64 = 4;
/// Commands sent at once.
const BATCH: u64 = 500;

/// One call: the next cursor, and what was returned.
fn call(client: &mut Client, cursor: u64, options: &str) -> (u64, Vec<Vec<u8>>) {
    let line = format!("SCAN {cursor} {options}");
    match ask(client, line.trim_end()) {
        Reply::Array(parts) => {
            let next = parts[0].text().and_then(|it| it.parse().ok()).expect("a cursor is a number");
            (next, parts[1].members().expect("keys are an array").iter().map(bytes).collect())
        }
        other => panic!("{other:?}"),
    }
}

/// A whole iteration: what it returned, and how many calls it took. Cursors must grow, which ends it.
fn iterate(client: &mut Client, options: &str) -> (BTreeSet<Vec<u8>>, u64) {
    let (mut cursor, mut calls, mut all) = (0, 0, BTreeSet::new());
    loop {
        let (next, keys) = call(client, cursor, options);
        all.extend(keys);
        calls += 1;
        if next == 0 {
            return (all, calls);
        }
        assert!(next > cursor, "a cursor went from {cursor} to {next}");
        cursor = next;
    }
}

fn staying() -> BTreeSet<Vec<u8>> {
    (0..STAYING).map(|n| format!("stay:{n}").into_bytes()).collect()
}

fn set_staying(client: &mut Client) {
    let lines: Vec<String> = (0..STAYING).map(|n| format!("SET stay:{n} v")).collect();
    ask_all(client, &lines);
}

#[test]
fn keys_that_stay_are_returned_while_a_hundred_thousand_others_come_and_go() {
    let local = Local::start();
    set_staying(&mut local.client());
    let (done, iterations) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for id in 0..CHANGERS {
            let (mut client, done) = (local.client(), &done);
            scope.spawn(move || {
                for (command, value) in [("SET", " v"), ("DEL", ""), ("SET", " v"), ("DEL", "")] {
                    for first in (0..PASSING).step_by(BATCH as usize) {
                        let line = |n: u64| format!("{command} pass:{id}:{n}{value}");
                        ask_all(&mut client, &(first..first + BATCH).map(line).collect::<Vec<_>>());
                    }
                }
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        for options in ["", "COUNT 100", "COUNT 7", "MATCH stay:* COUNT 1000", "TYPE string COUNT 50"] {
            let (mut client, done, iterations) = (local.client(), &done, &iterations);
            scope.spawn(move || {
                let expected = staying();
                loop {
                    let over = done.load(Ordering::SeqCst) == CHANGERS;
                    let (all, calls) = iterate(&mut client, options);
                    let missed: Vec<_> = expected.difference(&all).map(|key| key.escape_ascii()).collect();
                    assert!(missed.is_empty(), "SCAN {options}: {} missed, as {}", missed.len(), missed[0]);
                    let strange =
                        all.iter().find(|key| !key.starts_with(b"stay:") && !key.starts_with(b"pass:"));
                    assert_eq!(strange, None);
                    let most = (STAYING + CHANGERS * PASSING) * 2;
                    assert!(calls <= most, "SCAN {options} took {calls} calls");
                    iterations.fetch_add(1, Ordering::SeqCst);
                    if over {
                        assert_eq!(all, expected, "nothing else is left");
                        return;
                    }
                }
            });
        }
    });
    println!("{} iterations", iterations.load(Ordering::SeqCst));
}

#[test]
fn keys_that_stay_are_returned_while_others_are_renamed_moved_and_expire() {
    let local = Local::start();
    set_staying(&mut local.client());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for id in 0..CHANGERS {
            let (mut client, stop) = (local.client(), &stop);
            scope.spawn(move || {
                for round in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let lines = (0..100).flat_map(|n| {
                        let (key, other) = (format!("pass:{id}:{n}"), format!("pass:{id}:{n}:{round}"));
                        [
                            format!("SET {key} v PX 3"),
                            format!("RENAME {key} {other}"),
                            format!("SET {key} v"),
                            format!("MOVE {key} 1"),
                            "SELECT 1".to_owned(),
                            format!("DEL {key}"),
                            "SELECT 0".to_owned(),
                        ]
                    });
                    ask_all(&mut client, &lines.collect::<Vec<_>>());
                }
            });
        }
        let mut client = local.client();
        let expected = staying();
        for options in ["", "COUNT 100", "COUNT 1000", "MATCH stay:*"].repeat(3) {
            let (all, _) = iterate(&mut client, options);
            if !expected.is_subset(&all) {
                stop.store(true, Ordering::SeqCst);
                panic!("SCAN {options} missed {}", expected.difference(&all).count());
            }
        }
        stop.store(true, Ordering::SeqCst);
    });
}

#[test]
fn an_iteration_takes_about_as_many_calls_as_count_says() {
    let local = Local::start();
    let mut client = local.client();
    let lines: Vec<String> = (0..50_000).map(|n| format!("SET key:{n} v")).collect();
    ask_all(&mut client, &lines);
    for (count, most) in [(10, 5_001), (100, 501), (1_000, 51), (50_000, 2), (10_000_000, 1)] {
        let (all, calls) = iterate(&mut client, &format!("COUNT {count}"));
        assert_eq!(all.len(), 50_000);
        assert!((1..=most).contains(&calls), "COUNT {count}: {calls} calls");
        // One bucket more than asked for, with what overflowed of it.
        let (_, keys) = call(&mut client, 0, &format!("COUNT {count}"));
        assert!(keys.len() < count + 100, "COUNT {count} returned {}", keys.len());
    }
    // A pattern that nothing matches costs no fewer and no more calls.
    let (all, calls) = iterate(&mut client, "MATCH nothing* COUNT 100");
    assert!(all.is_empty() && (100..=501).contains(&calls), "{calls} calls");
    // Nor do the holes that deleted keys leave make it endless.
    let lines: Vec<String> = (0..50_000).filter(|n| n % 100 > 0).map(|n| format!("DEL key:{n}")).collect();
    ask_all(&mut client, &lines);
    assert_eq!(ask_int(&mut client, "DBSIZE"), 500);
    let (all, calls) = iterate(&mut client, "");
    assert!(all.len() == 500 && calls <= 600, "{} keys in {calls} calls", all.len());
}

#[test]
fn what_is_filtered_out_is_not_returned() {
    let local = Local::start();
    let mut client = local.client();
    ask_all(&mut client, &(0..1_000).map(|n| format!("SET key:{n} v")).collect::<Vec<_>>());
    ask(&mut client, "SET other v");
    let count = |client: &mut Client, options: &str| iterate(client, options).0.len();
    assert_eq!(count(&mut client, "MATCH key:*7"), 100);
    assert_eq!(count(&mut client, "match KEY:* count 3"), 0);
    assert_eq!(count(&mut client, "MATCH [^k]*"), 1);
    assert_eq!(count(&mut client, "TYPE STRING MATCH key:1??"), 100);
    assert_eq!(count(&mut client, "TYPE list COUNT 100"), 0);
    ask(&mut client, "SELECT 1");
    assert_eq!(call(&mut client, 0, ""), (0, vec![]));
    for line in ["SCAN x", "SCAN 0 COUNT 0", "SCAN 0 MATCH", "SCAN -1"] {
        assert!(client.call(&words(line)).expect("SCAN is answered").is_error(), "{line}");
    }
}
