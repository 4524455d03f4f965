//! A hash beside a list that does the same.
//!
//! For: both forms, and how one turns into the other. May touch: hashes.
//! Always: limits are small, so that a few changes reach them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const LIMITS: HashLimits = HashLimits { max_entries: 6, max_value: 8, seed: 7 };

/// A hash as a list, and whether it has become large.
#[derive(Default, Clone, Debug)]
struct Model {
    fields: Vec<(Vec<u8>, Vec<u8>, Option<u64>)>,
    is_large: bool,
}

#[derive(Clone, Debug)]
enum Change {
    Set(Vec<u8>, Vec<u8>, Until),
    Remove(Vec<u8>),
    SetDeadline(Vec<u8>, Option<u64>),
    ExpireDue(u64, usize),
    Expect(usize),
}

impl Model {
    fn at(&mut self, field: &[u8]) -> Option<&mut (Vec<u8>, Vec<u8>, Option<u64>)> {
        self.fields.iter_mut().find(|(name, ..)| name == field)
    }

    fn deadline(&self, field: &[u8]) -> Option<Option<u64>> {
        self.fields.iter().find(|(name, ..)| name == field).map(|&(.., deadline_ms)| deadline_ms)
    }

    fn set(&mut self, field: &[u8], value: &[u8], until: Until) -> bool {
        self.is_large |= field.len() > LIMITS.max_value || value.len() > LIMITS.max_value;
        let deadline_ms = match until {
            Until::Cleared => None,
            Until::Kept => self.deadline(field).flatten(),
            Until::At(deadline_ms) => Some(deadline_ms),
        };
        self.is_large |= matches!(until, Until::At(_));
        let is_new = match self.at(field) {
            Some(entry) => {
                (entry.1, entry.2) = (value.to_vec(), deadline_ms);
                false
            }
            None => {
                self.fields.push((field.to_vec(), value.to_vec(), deadline_ms));
                true
            }
        };
        self.is_large |= self.fields.len() > LIMITS.max_entries;
        is_new
    }

    fn remove(&mut self, field: &[u8]) -> bool {
        let before = self.fields.len();
        self.fields.retain(|(name, ..)| name != field);
        self.fields.len() < before
    }
}

/// Does the same to both and compares what they tell about it.
fn change(hash: &mut Hash, model: &mut Model, change: &Change) {
    match change {
        Change::Set(field, value, until) => {
            assert_eq!(hash.set(field, value, *until, &LIMITS), model.set(field, value, *until));
        }
        Change::Remove(field) => assert_eq!(hash.remove(field), model.remove(field)),
        Change::SetDeadline(field, deadline_ms) => {
            let is_there = model.at(field).map(|entry| entry.2 = *deadline_ms).is_some();
            model.is_large |= is_there && deadline_ms.is_some();
            assert_eq!(hash.set_deadline(field, *deadline_ms, LIMITS.seed), is_there);
        }
        Change::ExpireDue(now_ms, limit) => {
            let mut gone = BTreeSet::new();
            let count = hash.expire_due(*now_ms, *limit, &mut |field| assert!(gone.insert(field.to_vec())));
            let is_due = |entry: &(Vec<u8>, Vec<u8>, Option<u64>)| entry.2.is_some_and(|at| at <= *now_ms);
            let due = model.fields.iter().filter(|entry| is_due(entry)).count();
            assert_eq!((count, gone.len()), (due.min(*limit), due.min(*limit)));
            model.fields.retain(|entry| !is_due(entry) || !gone.remove(&entry.0));
            assert!(gone.is_empty(), "what left was due");
        }
        Change::Expect(fields) => {
            hash.expect(*fields, &LIMITS);
            model.is_large |= *fields > LIMITS.max_entries;
        }
    }
}

fn check(hash: HashRef<'_>, model: &Model) {
    assert_eq!(Hash::encoding(hash), if model.is_large { "hashtable" } else { "listpack" });
    assert_eq!((hash.len(), hash.is_empty()), (model.fields.len(), model.fields.is_empty()));
    assert_eq!(hash.earliest_deadline(), model.fields.iter().filter_map(|entry| entry.2).min());
    let mut all: Vec<_> = hash.iter().map(|(field, value)| (field.to_vec(), value.to_vec())).collect();
    let mut visited = Vec::new();
    Hash::visit(hash, &mut |parts| visited.push((parts[0].to_vec(), parts[1].to_vec())));
    assert_eq!(visited, all);
    let mut expected: Vec<_> = model.fields.iter().map(|(f, v, _)| (f.clone(), v.clone())).collect();
    if model.is_large {
        all.sort();
        expected.sort();
    }
    assert_eq!(all, expected);
    for (field, value, deadline_ms) in &model.fields {
        assert!(hash.contains(field));
        assert_eq!(hash.get(field).map(Item::to_vec).as_ref(), Some(value));
        assert_eq!(hash.deadline(field), Some(*deadline_ms));
    }
    assert!(!hash.contains(b"nothing"));
    assert_eq!((hash.get(b"nothing"), hash.deadline(b"nothing")), (None, None));
}

fn field() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (0..8).prop_map(|n: i32| n.to_string().into_bytes()),
        8 => (0..8).prop_map(|n: i32| format!("f{n}").into_bytes()),
        1 => Just(b"field too long".to_vec()),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => any::<i16>().prop_map(|n| n.to_string().into_bytes()),
        8 => prop::collection::vec(any::<u8>(), 0..=8),
        1 => prop::collection::vec(any::<u8>(), 9..2000),
    ]
}

fn one_change() -> impl Strategy<Value = Change> {
    let until = prop_oneof![
        12 => Just(Until::Cleared),
        4 => Just(Until::Kept),
        1 => (1..60u64).prop_map(Until::At),
    ];
    prop_oneof![
        8 => (field(), value(), until).prop_map(|(field, value, until)| Change::Set(field, value, until)),
        3 => field().prop_map(Change::Remove),
        1 => (field(), prop::option::of(1..60u64)).prop_map(|(field, at)| Change::SetDeadline(field, at)),
        1 => (0..40u64, 1..12usize).prop_map(|(now_ms, limit)| Change::ExpireDue(now_ms, limit)),
        1 => (0..8usize).prop_map(Change::Expect),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_hash_does_what_a_list_of_fields_would_do(
        changes in prop::collection::vec(one_change(), 1..40),
    ) {
        let (mut hash, mut model) = (Hash::default(), Model::default());
        check(hash.as_ref(), &model);
        for one in &changes {
            let (old, known) = (hash.clone(), model.clone());
            change(&mut hash, &mut model, one);
            check(hash.as_ref(), &model);
            check(old.as_ref(), &known);
            // As the keyspace stores it in between.
            hash = match hash.into_compact() {
                Ok((form, bytes)) => Hash::from_compact(form, bytes),
                Err(large) => large,
            };
            check(hash.as_ref(), &model);
        }
    }

    #[test]
    fn samples_have_different_fields_and_as_many_as_there_are(
        len in 0..40usize,
        count in 0..50usize,
        is_large: bool,
        seed: u64,
    ) {
        let hash = numbered(len, is_large);
        let mut state = seed;
        let mut seen = BTreeMap::new();
        hash.as_ref().sample(count, &mut |below| draw(&mut state, below), &mut |field, value| {
            assert!(seen.insert(field.to_vec(), value.to_vec()).is_none());
        });
        prop_assert_eq!(seen.len(), count.min(len));
        prop_assert!(seen.into_iter().all(|(field, value)| field == value));
    }
}

/// A number below `below` from a small generator.
fn draw(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

/// A hash whose fields are numbers and their own values.
fn numbered(len: usize, is_large: bool) -> Hash {
    let limits = HashLimits { max_entries: 1000, ..LIMITS };
    let mut hash = Hash::default();
    hash.expect(if is_large { 2000 } else { 0 }, &limits);
    for n in 0..len {
        let text = n.to_string();
        assert!(hash.set(text.as_bytes(), text.as_bytes(), Until::Cleared, &limits));
    }
    hash
}

#[test]
fn every_field_is_drawn_about_as_often() {
    for is_large in [false, true] {
        let hash = numbered(20, is_large);
        for way in 0..4 {
            let mut state = 3;
            let mut draw = |below| draw(&mut state, below);
            let mut times: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
            let mut count = |field: Item<'_>| *times.entry(field.to_vec()).or_default() += 1;
            let mut left = 4000;
            match way {
                0 => (0..4000).for_each(|_| count(hash.as_ref().random(&mut draw).unwrap().0)),
                1 => hash.as_ref().draw_repeatedly(&mut draw, &mut |field, _| {
                    count(field);
                    left -= 1;
                    left > 0
                }),
                _ => {
                    let size = if way == 2 { 5 } else { 16 };
                    for _ in 0..4000 / size {
                        hash.as_ref().sample(size, &mut draw, &mut |field, _| count(field));
                    }
                }
            }
            assert_eq!(times.len(), 20, "{is_large} {way}");
            assert!(times.values().all(|times| (140..260).contains(times)), "{is_large} {way} {times:?}");
        }
    }
}

#[test]
fn nothing_is_drawn_from_nothing() {
    for is_large in [false, true] {
        let hash = numbered(0, is_large);
        assert!(hash.as_ref().random(&mut |_| unreachable!("there is no choice")).is_none());
        hash.as_ref().draw_repeatedly(&mut |_| 0, &mut |_, _| panic!("there is none"));
    }
}

#[test]
fn a_generator_that_repeats_itself_still_gives_a_whole_sample() {
    let hash = numbered(100, true);
    let mut seen = BTreeSet::new();
    hash.as_ref().sample(30, &mut |_| 0, &mut |field, _| assert!(seen.insert(field.to_vec())));
    assert_eq!(seen.len(), 30);
}

#[test]
fn a_value_of_the_same_length_moves_no_other_byte() {
    let mut hash = numbered(20, false);
    let bytes = |hash: &Hash| match hash {
        Hash::Packed(pack) => pack.as_ref().as_bytes().to_vec(),
        Hash::Large(_) => unreachable!("it is small"),
    };
    let before = bytes(&hash);
    assert!(!hash.set(b"7", b"77", Until::Cleared, &LIMITS_OF_20));
    let after = bytes(&hash);
    assert_eq!(before.len(), after.len());
    assert_eq!(before.iter().zip(&after).filter(|(one, other)| one != other).count(), 1);
}

const LIMITS_OF_20: HashLimits = HashLimits { max_entries: 20, ..LIMITS };

#[test]
fn a_scan_visits_every_field_once() {
    for is_large in [false, true] {
        let hash = numbered(900, is_large);
        let (mut cursor, mut calls, mut seen) = (0, 0, BTreeSet::new());
        loop {
            cursor = hash.as_ref().scan(cursor, 10, &mut |field, _| assert!(seen.insert(field.to_vec())));
            calls += 1;
            if cursor == 0 {
                break;
            }
        }
        assert_eq!((seen.len(), calls == 1), (900, !is_large));
    }
}
