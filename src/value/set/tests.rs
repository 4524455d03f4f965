//! Sets beside a set of the standard library.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const LIMITS: SetLimits =
    SetLimits { max_intset_entries: 16, max_listpack_entries: 8, max_listpack_value: 10, seed: 4 };

/// Numbers that look random, the same every time.
fn draws(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |limit| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        ((u128::from(state ^ state >> 29) * u128::from(limit)) >> 64) as u64
    }
}

fn texts(set: SetRef<'_>) -> Vec<Vec<u8>> {
    set.iter().map(Item::to_vec).collect()
}

fn set_of(members: impl IntoIterator<Item = String>) -> Set {
    let mut set = Set::default();
    for member in members {
        if set.as_ref().is_empty() {
            set.prepare(member.as_bytes(), 1, &LIMITS);
        }
        set.add(member.as_bytes(), &LIMITS);
    }
    set
}

fn ints(count: i64) -> Set {
    set_of((0..count).map(|n| n.to_string()))
}

fn names(count: usize) -> Set {
    set_of((0..count).map(|n| format!("m{n}")))
}

#[derive(Clone, Debug)]
enum Step {
    Add(Vec<String>),
    Remove(String),
    Pop(usize),
    Store,
}

fn member() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (-30i64..30).prop_map(|n| n.to_string()),
        1 => any::<i64>().prop_map(|n| n.to_string()),
        3 => "[a-f]",
        1 => Just("01".to_owned()),
        1 => Just(String::new()),
        1 => "[x-z]{9,12}",
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(member(), 1..20).prop_map(Step::Add),
        4 => member().prop_map(Step::Remove),
        1 => (0usize..30).prop_map(Step::Pop),
        1 => Just(Step::Store),
    ]
}

fn apply(set: &mut Set, model: &mut HashSet<Vec<u8>>, step: &Step, draw: Draw<'_>) {
    match step {
        Step::Add(members) => {
            set.prepare(members[0].as_bytes(), members.len(), &LIMITS);
            for member in members {
                assert_eq!(set.add(member.as_bytes(), &LIMITS), model.insert(member.clone().into_bytes()));
            }
        }
        Step::Remove(member) => {
            assert_eq!(set.remove(member.as_bytes()), model.remove(member.as_bytes()));
        }
        Step::Pop(count) if *count < model.len() => {
            let mut gone = Vec::new();
            set.pop_many(*count, &LIMITS, draw, &mut |item| gone.push(item.to_vec()));
            assert_eq!(gone.len(), *count);
            assert!(gone.iter().all(|member| model.remove(member)));
        }
        Step::Pop(_) => {
            let mut gone = Vec::new();
            assert_eq!(set.pop(draw, &mut |item| gone.push(item.to_vec())), !model.is_empty());
            assert!(gone.iter().all(|member| model.remove(member)));
        }
        Step::Store => set.compact_ints(&LIMITS),
    }
}

proptest! {
    #[test]
    fn behaves_like_a_set(steps in prop::collection::vec(step(), 0..40), seed in any::<u64>()) {
        let (mut set, mut model, mut draw) = (Set::default(), HashSet::new(), draws(seed));
        for step in &steps {
            apply(&mut set, &mut model, step, &mut draw);
            set = match set.into_compact() {
                Ok((form, bytes)) => Set::from_compact(form, bytes),
                Err(large) => large,
            };
            let view = set.as_ref();
            prop_assert_eq!(view.len(), model.len());
            let listed = texts(view);
            prop_assert!(listed.iter().all(|member| model.contains(member) && view.contains(member)));
            prop_assert_eq!(listed.into_iter().collect::<HashSet<_>>().len(), model.len());
            let within = match view {
                SetRef::Ints(ints) => ints.len() <= LIMITS.max_intset_entries,
                SetRef::Packed(pack) => {
                    pack.len() <= LIMITS.max_listpack_entries && pack.iter().all(|(_, item)| item.len() <= 20)
                }
                SetRef::Large(_) => true,
            };
            prop_assert!(within);
        }
    }

    #[test]
    fn a_sample_has_as_many_different_members_as_asked(size in 0usize..60, count in 0usize..70) {
        for set in [names(size), ints(size as i64)] {
            let mut seen = HashSet::new();
            set.as_ref().sample(count, &mut draws(9), &mut |item| assert!(seen.insert(item.to_vec())));
            prop_assert_eq!(seen.len(), count.min(size));
            prop_assert!(seen.iter().all(|member| set.as_ref().contains(member)));
        }
    }
}

#[test]
fn the_form_follows_the_members() {
    let after = |mut set: Set, member: &str| {
        set.add(member.as_bytes(), &LIMITS);
        set.as_ref().encoding()
    };
    assert_eq!(ints(16).as_ref().encoding(), "intset");
    assert_eq!(ints(17).as_ref().encoding(), "hashtable");
    assert_eq!(after(ints(7), "a"), "listpack");
    assert_eq!(after(ints(8), "a"), "hashtable");
    assert_eq!(after(ints(3), "abcdefghijk"), "hashtable");
    assert_eq!(names(8).as_ref().encoding(), "listpack");
    assert_eq!(after(names(8), "a"), "hashtable");
    assert_eq!(after(names(8), "m1"), "listpack");
    assert_eq!(after(names(1), "abcdefghij"), "listpack");
    assert_eq!(after(names(1), "abcdefghijk"), "hashtable");
}

#[test]
fn the_number_of_members_announced_decides_the_form() {
    let encoding = |set: Set| set.as_ref().encoding();
    assert_eq!(encoding(Set::create(b"1", 16, &LIMITS)), "intset");
    assert_eq!(encoding(Set::create(b"1", 17, &LIMITS)), "hashtable");
    assert_eq!(encoding(Set::create(b"a", 8, &LIMITS)), "listpack");
    assert_eq!(encoding(Set::create(b"a", 9, &LIMITS)), "hashtable");
    let few_ints = SetLimits { max_intset_entries: 4, ..LIMITS };
    assert_eq!(encoding(Set::create(b"1", 5, &few_ints)), "listpack");
    let mut set = names(1);
    set.prepare(b"m0", 9, &LIMITS);
    assert_eq!(encoding(set), "hashtable");
}

#[test]
fn the_few_that_stay_of_many_are_a_new_set() {
    let encoding = |mut set: Set, count| {
        set.pop_many(count, &LIMITS, &mut draws(1), &mut |_| {});
        set.as_ref().encoding()
    };
    assert_eq!(encoding(names(60), 50), "hashtable");
    assert_eq!(encoding(names(48), 40), "listpack");
    assert_eq!(encoding(names(48), 39), "hashtable");
    assert_eq!(encoding(ints(48), 40), "listpack");
    assert_eq!(encoding(ints(16), 15), "intset");
}

#[test]
fn compact_sets_keep_their_order() {
    let set = set_of(["c", "5", "a", "-3", "b"].map(str::to_owned));
    let listed: Vec<String> =
        texts(set.as_ref()).into_iter().map(|t| String::from_utf8(t).expect("text")).collect();
    assert_eq!(listed, ["c", "5", "a", "-3", "b"]);
    let set = set_of(["7", "-70000", "3"].map(str::to_owned));
    assert!(set.as_ref().iter().eq([-70_000, 3, 7].map(Item::Int)));
}

#[test]
fn every_pair_is_drawn_as_often_as_any_other() {
    for set in [names(5), ints(5), names(12)] {
        let len = set.as_ref().len();
        let (mut draw, mut pairs) = (draws(3), std::collections::HashMap::new());
        let rounds = 200 * len * (len - 1) / 2;
        for _ in 0..rounds {
            let mut pair = Vec::new();
            set.as_ref().sample(2, &mut draw, &mut |item| pair.push(item.to_vec()));
            pair.sort();
            *pairs.entry(pair).or_insert(0u32) += 1;
        }
        assert_eq!(pairs.len(), len * (len - 1) / 2);
        assert!(pairs.values().all(|times| (120..300).contains(times)), "{pairs:?}");
    }
}
