//! The dictionary beside a map of the standard library.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;

use super::*;

/// A small generator of numbers, so that a walk of many steps is repeatable.
struct Draws(u64);

impl Draws {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((word ^ word >> 31) as u128 * limit as u128) >> 64) as u64
    }
}

fn key(number: u64) -> Vec<u8> {
    format!("field:{number}").into_bytes()
}

fn members(range: std::ops::Range<u64>) -> Members {
    let mut dict = Members::new(5);
    range.for_each(|number| assert!(!dict.insert(&key(number), b"")));
    dict
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u64, usize),
    InsertMany(u64, usize),
    Remove(u64),
    RemoveMany(u64),
    Deadline(u64, Option<u64>),
    Expire(u64),
    Copy,
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![0usize..20, 0usize..20, 240usize..260, 1015usize..1035, 0usize..6000]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u64..400, length()).prop_map(|(key, len)| Step::Insert(key, len)),
        2 => (0u64..400, length()).prop_map(|(key, len)| Step::InsertMany(key, len)),
        4 => (0u64..400).prop_map(Step::Remove),
        1 => (0u64..400).prop_map(Step::RemoveMany),
        3 => (0u64..400, proptest::option::of(0u64..100)).prop_map(|(key, at)| Step::Deadline(key, at)),
        1 => (0u64..60).prop_map(Step::Expire),
        1 => Just(Step::Copy),
    ]
}

type Model = HashMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

fn insert(dict: &mut Fields, model: &mut Model, number: u64, len: usize) {
    // Every fifth key is itself long.
    let mut key = key(number);
    key.resize(key.len() + if number.is_multiple_of(5) { 250 * (number % 7) as usize } else { 0 }, b'.');
    let value = vec![number as u8 ^ len as u8; len];
    let replaced = dict.insert(&key, &value);
    let deadline = model.get(&key).and_then(|field| field.1);
    assert_eq!(model.insert(key, (value, deadline)).is_some(), replaced);
}

fn keys_near(model: &Model, number: u64) -> Vec<Vec<u8>> {
    let near = key(number);
    model.keys().filter(|key| key.starts_with(&near)).cloned().collect()
}

fn apply(dict: &mut Fields, model: &mut Model, step: Step) {
    match step {
        Step::Insert(number, len) => insert(dict, model, number, len),
        Step::InsertMany(from, len) => {
            (from..from + 150).for_each(|number| insert(dict, model, number, len % 50));
        }
        Step::Remove(number) => {
            assert!(!dict.remove(b"never"));
            for key in keys_near(model, number) {
                assert!(dict.remove(&key));
                model.remove(&key);
            }
        }
        Step::RemoveMany(from) => {
            let keys: Vec<Vec<u8>> = (from..from + 250).flat_map(|n| keys_near(model, n)).collect();
            for key in keys {
                assert_eq!(dict.remove(&key), model.remove(&key).is_some());
            }
        }
        Step::Deadline(number, at) => {
            assert!(!dict.set_deadline(b"never", at));
            for key in keys_near(model, number) {
                assert!(dict.set_deadline(&key, at));
                model.get_mut(&key).expect("listed").1 = at;
            }
        }
        Step::Expire(now) => {
            let mut gone = HashSet::new();
            let removed = dict.expire_due(now, 7, &mut |key, value| {
                assert_eq!(model[key].0, value);
                assert!(model[key].1.is_some_and(|at| at <= now));
                gone.insert(key.to_vec());
            });
            let due = model.values().filter(|field| field.1.is_some_and(|at| at <= now)).count();
            assert_eq!((removed, gone.len()), (due.min(7), due.min(7)));
            model.retain(|key, _| !gone.contains(key));
        }
        Step::Copy => {
            let before = dict.clone();
            insert(dict, model, 7, 30);
            dict.remove(b"field:8");
            model.remove(&b"field:8"[..]);
            let mut after = std::mem::replace(dict, before);
            std::mem::swap(&mut after, dict);
            after.check_invariants();
        }
    }
}

fn compare(dict: &Fields, model: &Model) {
    dict.check_invariants();
    assert_eq!(dict.len(), model.len());
    assert_eq!(dict.timed(), model.values().filter(|field| field.1.is_some()).count());
    assert_eq!(dict.earliest_deadline(), model.values().filter_map(|field| field.1).min());
    for (key, (value, deadline)) in model {
        assert_eq!(dict.get(key), Some(&value[..]));
        assert_eq!(dict.deadline(key), Some(*deadline));
    }
    let listed: HashMap<&[u8], &[u8]> = dict.iter().collect();
    assert_eq!(listed.len(), model.len());
    assert!(listed.iter().all(|(&key, &value)| model[key].0 == value));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_a_map_with_deadlines(
        steps in proptest::collection::vec(step(), 1..60),
        keep in prop_oneof![4 => Just(u64::MAX), 1 => Just(0u64), 1 => Just(0xff), 1 => Just(7 << 61)],
    ) {
        let mut dict = Fields::with_mask(11, keep);
        let mut model = Model::new();
        for step in steps {
            apply(&mut dict, &mut model, step);
            if model.len() < 50 {
                compare(&dict, &model);
            }
        }
        compare(&dict, &model);
    }
}

#[test]
fn a_copy_keeps_its_entries_whatever_happens_to_the_original() {
    let mut dict = members(0..3000);
    let copy = dict.clone();
    (0..3000).for_each(|number| assert!(dict.remove(&key(number))));
    (3000..4000).for_each(|number| assert!(!dict.insert(&key(number), b"")));
    copy.check_invariants();
    dict.check_invariants();
    assert!((0..3000).all(|number| copy.contains(&key(number)) && !dict.contains(&key(number))));
}

#[test]
fn every_member_that_stays_is_scanned_while_others_come_and_go() {
    for round in 0..6u64 {
        let grows = round % 2 == 0;
        let mut dict = members(if grows { 0..200 } else { 0..30_000 });
        let mut seen: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        let (mut cursor, mut calls) = (0, 0);
        loop {
            cursor = dict.scan(cursor, 1 + 20 * round as usize, &mut |member, _| {
                *seen.entry(member.to_vec()).or_default() += 1;
            });
            if cursor == 0 {
                break;
            }
            calls += 1;
            let changed = 1000 + calls * 300..1000 + (calls + 1) * 300;
            for number in changed.filter(|number| *number < 30_000) {
                if grows {
                    dict.insert(&key(number), b"");
                } else {
                    dict.remove(&key(number));
                }
            }
        }
        assert!(calls > 2);
        let stayed = if grows { 0..200 } else { 0..1000 };
        assert!(stayed.into_iter().all(|number| seen.get(&key(number)) == Some(&1)), "round {round}");
        assert!(seen.values().all(|&times| times == 1));
        dict.check_invariants();
    }
}

#[test]
fn any_number_is_a_cursor() {
    let dict = members(0..5000);
    let mut draws = Draws(3);
    for _ in 0..2000 {
        let cursor = draws.below(u64::MAX);
        let next = dict.scan(cursor, 10, &mut |_, _| {});
        assert!(next == 0 || next > cursor & ((1 << 48) - 1));
    }
}

#[test]
fn a_step_visits_about_as_many_as_asked() {
    let dict = members(0..20_000);
    let mut visited = 0;
    dict.scan(0, 10, &mut |_, _| visited += 1);
    assert!((10..60).contains(&visited), "{visited}");
}

#[test]
fn random_members_are_equally_likely() {
    let mut dict = members(0..600);
    (0..100).for_each(|number| assert!(dict.remove(&key(number))));
    let mut draws = Draws(1);
    let mut seen: HashMap<Vec<u8>, u32> = HashMap::new();
    for _ in 0..50_000 {
        let (member, _) = dict.random(&mut |limit| draws.below(limit)).expect("not empty");
        *seen.entry(member.to_vec()).or_default() += 1;
    }
    let chi: f64 = seen.values().map(|&n| (f64::from(n) - 100.0).powi(2) / 100.0).sum();
    assert_eq!(seen.len(), 500);
    assert!(chi < 499.0 + 6.0 * 31.6, "{chi}");
}

#[test]
fn a_source_that_misses_always_still_yields_an_entry() {
    let dict = members(0..3);
    let free = (0..8).find(|&slot| !dict.segment(0).is_taken(slot)).expect("three of eight") as u64;
    let drawn = dict.random(&mut |limit| if limit == 3 { 1 } else { free });
    assert!(drawn.is_some_and(|(member, _)| dict.contains(member)));
    assert_eq!(Members::new(1).random(&mut |_| 0), None);
}

#[test]
fn members_take_little_more_than_their_bytes() {
    for (numbers, bytes) in [(40_000, 12), (55_000, 40), (20_000, 200)] {
        let mut dict = Members::new(2);
        let text = |number: u64| format!("{number:0width$}", width = bytes).into_bytes();
        (0..numbers).for_each(|number| assert!(!dict.insert(&text(number), b"")));
        let limit = numbers as usize * (bytes * 13 / 10 + 5);
        assert!(dict.heap_bytes() < limit, "{} of {limit}", dict.heap_bytes());
    }
}

#[test]
fn removing_most_members_gives_the_memory_back() {
    let mut dict = members(0..60_000);
    let full = dict.heap_bytes();
    (300..60_000).for_each(|number| assert!(dict.remove(&key(number))));
    dict.check_invariants();
    assert!(dict.heap_bytes() < full / 50, "{} of {full}", dict.heap_bytes());
    assert!(dict.segments < 8);
}

#[test]
fn replacing_values_over_and_over_does_not_grow_the_dictionary() {
    let mut dict = Fields::new(1);
    for round in 0..400usize {
        for number in 0..100 {
            dict.insert(&key(number), &vec![b'v'; (round * 37 + number as usize * 11) % 900]);
        }
    }
    dict.check_invariants();
    assert!(dict.heap_bytes() < 100 * 900 * 2);
}

#[test]
fn no_segment_outgrows_its_block_unless_hashes_cannot_be_separated() {
    let dict = members(0..50_000);
    let sizes = || dict.directory.iter().flatten().map(|segment| segment.heap_bytes());
    assert!(sizes().all(|bytes| bytes < 11 * 1024), "{:?}", sizes().max());
    let mut dict = Members::with_mask(1, 0);
    (0..2000).for_each(|number| assert!(!dict.insert(&key(number), b"")));
    let mut long = [b'x'; 1000];
    for number in 0..90u8 {
        long[0] = number;
        dict.insert(&long, b"");
    }
    dict.check_invariants();
    assert!(dict.directory.len() <= FREE_WORDS);
    assert!((0..2000).all(|number| dict.contains(&key(number))));
}

/// Removals, some insertions among them; no single one pays for a directory that becomes smaller.
#[test]
fn a_directory_shrinks_by_a_few_words_at_a_time() {
    for count in [1_000u64, 10_000, 100_000] {
        let mut dict = members(0..count);
        let words = dict.directory.len();
        let mut most = 0;
        for number in 0..count {
            let before = dict.written;
            assert!(dict.remove(&key(number)));
            most = most.max(dict.written - before);
            if number % 5 == 0 {
                assert!(!dict.insert(&key(count + number), b""));
            }
            if number % (count / 50) == 0 {
                dict.check_invariants();
                let near = number + 1..count.min(number + 500);
                assert!(near.into_iter().all(|number| dict.contains(&key(number))));
            }
        }
        for number in (0..count).step_by(5) {
            let before = dict.written;
            assert!(dict.remove(&key(count + number)));
            most = most.max(dict.written - before);
        }
        dict.check_invariants();
        assert!(most <= 4 * WORDS_PER_REMOVAL, "{count}: {most} words of {words}");
        assert!(dict.is_empty() && dict.directory.len() <= 4, "{count}: {} words", dict.directory.len());
    }
}

/// SPOP takes as many draws from a large set as from a small one, and HSET finds its field in a segment that
/// is never larger than others.
#[test]
fn steps_do_not_grow_with_the_size() {
    for count in [1_000u64, 10_000, 100_000] {
        let mut dict = members(0..count);
        assert!(dict.directory.iter().flatten().all(|segment| segment.len() <= SEGMENT_ENTRIES));
        let (mut draws, mut drawn) = (Draws(count), 0);
        for _ in 0..count / 2 {
            assert!(dict.pop(
                &mut |limit| {
                    drawn += 1;
                    draws.below(limit)
                },
                &mut |_, _| {}
            ));
        }
        let mean = drawn as f64 / (count / 2) as f64;
        assert!(mean < 16.0, "{count}: {mean} draws");
    }
}
