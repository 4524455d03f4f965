//! Sorted sets beside a naive one.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const LIMITS: ZSetLimits = ZSetLimits { max_packed_entries: 8, max_packed_value: 16, seed: 7 };
/// What a packed set never outgrows in these tests.
const ROOMY: ZSetLimits = ZSetLimits { max_packed_entries: 1 << 20, max_packed_value: 1 << 20, seed: 7 };
/// What is large from the first member on.
const LARGE: ZSetLimits = ZSetLimits { max_packed_entries: 0, max_packed_value: 0, seed: 7 };

/// Members with scores, sorted only when asked.
#[derive(Clone, Default)]
struct Naive(BTreeMap<Vec<u8>, f64>);

impl Naive {
    fn sorted(&self) -> Vec<(Vec<u8>, f64)> {
        let mut entries: Vec<_> = self.0.iter().map(|(member, &score)| (member.clone(), score)).collect();
        entries.sort_by(|a, b| a.1.partial_cmp(&b.1).expect("no NaN").then_with(|| a.0.cmp(&b.0)));
        entries
    }

    fn remove_ranks(&mut self, ranks: Range<usize>) {
        for (member, _) in &self.sorted()[ranks] {
            self.0.remove(member);
        }
    }
}

fn entries<'a>(from: impl Iterator<Item = (Item<'a>, f64)>) -> Vec<(Vec<u8>, f64)> {
    from.map(|(member, score)| (member.to_vec(), score)).collect()
}

fn check(set: &ZSet) {
    if let ZSet::Large(large) = set {
        large.check();
    }
}

/// Compares everything that can be read.
fn compare(set: &ZSet, naive: &Naive) {
    check(set);
    let (view, sorted) = (set.as_ref(), naive.sorted());
    let len = sorted.len();
    assert_eq!(view.len(), len);
    assert_eq!(entries(view.iter()), sorted);
    assert!(entries(view.range(0..len, true)).iter().rev().eq(&sorted));
    for step in [1, 3, 7] {
        for first in (0..len).step_by(step * 5 + len / 16) {
            let last = (first + step).min(len);
            assert_eq!(entries(view.range(first..last, false)), sorted[first..last]);
            assert!(entries(view.range(first..last, true)).iter().rev().eq(&sorted[first..last]));
            let (member, score) = view.nth(first);
            assert_eq!((member.to_vec(), score), sorted[first]);
        }
    }
    for (rank, (member, score)) in sorted.iter().enumerate().step_by(1 + len / 64) {
        assert_eq!(view.rank_of(member), Some((rank, *score)));
        let before = sorted.partition_point(|other| other.1 < *score);
        let behind = sorted.partition_point(|other| other.1 <= *score);
        assert_eq!(view.rank(Probe::BeforeScore(*score)), before);
        assert_eq!(view.rank(Probe::AfterScore(*score)), behind);
    }
    assert_eq!(view.score(b"never a member"), None);
    assert_eq!(view.rank(Probe::BeforeScore(f64::NEG_INFINITY)), 0);
    assert_eq!(view.rank(Probe::AfterScore(f64::INFINITY)), len);
    let (mut cursor, mut seen) = (0, BTreeMap::new());
    loop {
        cursor = view.scan(cursor, 10, &mut |member, score| {
            assert_eq!(seen.insert(member.to_vec(), score), None, "a member came twice");
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen, naive.0);
}

#[derive(Clone, Debug)]
enum Op {
    Set(Vec<u8>, f64),
    Remove(Vec<u8>),
    RemoveRanks(f64, f64),
    CloneAndChange(Vec<u8>),
    Add(u32, u32, u8),
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => (0u32..300).prop_map(|n| format!("m{n}").into_bytes()),
        2 => (-40i64..40).prop_map(|n| n.to_string().into_bytes()),
        1 => (0u8..4, 0usize..700).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-3i32..4).prop_map(f64::from),
        4 => any::<i16>().prop_map(|n| f64::from(n) / 8.0),
        1 => Just(-0.0),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
        1 => any::<f64>().prop_filter("scores are no NaN", |score| !score.is_nan()),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (member(), score()).prop_map(|(member, score)| Op::Set(member, score)),
        4 => member().prop_map(Op::Remove),
        1 => (0.0..1.0, 0.0..0.3).prop_map(|(first, part)| Op::RemoveRanks(first, part)),
        1 => member().prop_map(Op::CloneAndChange),
        1 => (0u32..1000, 1u32..200, 0u8..4).prop_map(|(first, count, how)| Op::Add(first, count, how)),
    ]
}

fn run(mut set: ZSet, limits: ZSetLimits, ops: Vec<Op>) {
    let mut naive = Naive::default();
    let mut clones = Vec::new();
    for op in ops {
        match op {
            Op::Set(member, score) => {
                assert_eq!(set.set(&member, score, limits), naive.0.get(&member).copied());
                let kept = naive.0.entry(member).or_insert(score);
                if *kept != score {
                    *kept = score;
                }
            }
            Op::Remove(member) => assert_eq!(set.remove(&member), naive.0.remove(&member)),
            Op::RemoveRanks(first, part) => {
                let len = naive.0.len();
                let first = (len as f64 * first) as usize;
                let last = (first + (len as f64 * part) as usize).min(len);
                set.remove_ranks(first..last);
                naive.remove_ranks(first..last);
            }
            Op::CloneAndChange(member) => {
                clones.truncate(2);
                clones.push((set.clone(), naive.clone()));
                assert_eq!(set.remove(&member), naive.0.remove(&member));
            }
            Op::Add(first, count, how) => {
                for n in first..first + count {
                    let score = match how {
                        0 => f64::from(n),
                        1 => -f64::from(n),
                        2 => 1.0,
                        _ => f64::from(n.wrapping_mul(0x9e37_79b9) >> 8),
                    };
                    let member = format!("added:{n:06}:{}", "x".repeat(n as usize % 90)).into_bytes();
                    set.set(&member, score, limits);
                    naive.0.insert(member, score);
                }
            }
        }
    }
    compare(&set, &naive);
    for (set, naive) in clones {
        compare(&set, &naive);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_set_that_grows_large_agrees_with_a_naive_one(ops in prop::collection::vec(op(), 0..120)) {
        run(ZSet::default(), LIMITS, ops);
    }

    #[test]
    fn a_packed_set_agrees_with_a_naive_one(ops in prop::collection::vec(op(), 0..40)) {
        run(ZSet::default(), ROOMY, ops);
    }

    #[test]
    fn hashes_that_collide_change_nothing(
        ops in prop::collection::vec(op(), 0..80),
        keep in prop_oneof![Just(0), Just(0x8000_0000), Just(0xf000_0000u32), Just(0x00ff_0003)],
    ) {
        run(ZSet::Large(Box::new(Large::with_mask(7, keep))), LARGE, ops);
    }
}

/// The numbers below `count` in an order that looks random; `count` is a power of two.
fn shuffled(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(move |n| n.wrapping_mul(0x9e37_79b1).wrapping_add(12345) & (count - 1))
}

fn name(n: u32) -> Vec<u8> {
    format!("member:{n:08}").into_bytes()
}

#[test]
fn trees_of_several_levels_grow_and_shrink() {
    const COUNT: u32 = 1 << 14;
    // Long members make leaves with few entries, so that the tree has several levels with few of them.
    let long = |n: u32| [name(n), vec![b'x'; 480]].concat();
    for order in 0..4 {
        let (mut set, mut naive) = (ZSet::default(), Naive::default());
        for n in shuffled(COUNT) {
            let (n, score) = match order {
                0 => (n, f64::from(n / 3)),
                1 => (n, 0.0),
                2 => (n, f64::from(n)),
                _ => (n, -f64::from(n)),
            };
            set.set(&long(n), score, LARGE);
            naive.0.insert(long(n), score);
        }
        let ZSet::Large(large) = &set else { panic!("it is large") };
        assert!(large.height() >= 3, "{}", large.height());
        compare(&set, &naive);
        let shared = set.clone();
        let before = naive.clone();
        for n in shuffled(COUNT).filter(|n| n % 16 != 5) {
            assert_eq!(set.remove(&long(n)), naive.0.remove(&long(n)));
        }
        compare(&set, &naive);
        set.remove_ranks(10..500);
        naive.remove_ranks(10..500);
        compare(&set, &naive);
        set.remove_ranks(0..set.as_ref().len() - 1);
        naive.remove_ranks(0..naive.0.len() - 1);
        compare(&set, &naive);
        set.remove_ranks(0..1);
        assert!(set.as_ref().is_empty());
        check(&set);
        compare(&shared, &before);
    }
}

/// What a change or a search touches does not grow with the set, but for the levels of the tree.
#[test]
fn steps_grow_with_the_logarithm_of_the_size() {
    for (bits, height) in [(10, 2), (13, 3), (17, 5)] {
        let mut set = ZSet::default();
        for n in shuffled(1 << bits) {
            set.set(&name(n), f64::from(n.wrapping_mul(0x9e37_79b9)), LARGE);
        }
        let ZSet::Large(large) = &set else { panic!("it is large") };
        assert!(large.height() <= height, "{bits}: {}", large.height());
        let (mean, most) = large.index_steps();
        assert!(mean < 6.0 && most < 64, "{bits}: {mean} {most}");
    }
}

#[test]
fn entries_in_order_leave_full_leaves() {
    let mut set = ZSet::default();
    (0..20_000).for_each(|n| _ = set.set(&name(n), f64::from(n), LARGE));
    check(&set);
    let per_member = set.as_ref().heap_bytes() / 20_000;
    assert!(per_member < 55, "{per_member}");
}

#[test]
fn lexical_bounds_select_by_member() {
    for limits in [ROOMY, LARGE] {
        let mut set = ZSet::default();
        (0..3000).for_each(|n| _ = set.set(&name(2 * n), 1.5, limits));
        let view = set.as_ref();
        for n in (0..6000).step_by(77) {
            let before = (n as usize).div_ceil(2);
            assert_eq!(view.rank(Probe::BeforeMember(&name(n))), before);
            assert_eq!(view.rank(Probe::AfterMember(&name(n))), before + usize::from(n % 2 == 0));
        }
        assert_eq!(view.rank(Probe::BeforeMember(b"")), 0);
        assert_eq!(view.rank(Probe::AfterMember(b"n")), 3000);
    }
}

#[test]
fn scores_survive_the_packed_form() {
    let digits = f64::from_le_bytes(*b"12345678");
    let scores = [0.5, -0.5, digits, 1e300, 4.6e18, -4.6e18, f64::MAX, f64::MIN_POSITIVE, 5e-324, 1e15, -3.0];
    let mut set = ZSet::default();
    for (n, score) in scores.iter().enumerate() {
        set.set(&name(n as u32), *score, ROOMY);
    }
    for (n, score) in scores.iter().enumerate() {
        assert_eq!(set.as_ref().score(&name(n as u32)), Some(*score));
    }
    assert_eq!(set.as_ref().encoding(), "listpack");
}

#[test]
fn the_form_follows_the_limits() {
    let mut set = ZSet::default();
    (0..8).for_each(|n| _ = set.set(&name(n)[..8], 1.0, LIMITS));
    (0..8).for_each(|n| _ = set.set(&name(n), 1.0, LIMITS));
    assert_eq!((set.as_ref().encoding(), set.as_ref().len()), ("skiplist", 9));
    let mut set = ZSet::default();
    set.set(&[b'x'; 16], 1.0, LIMITS);
    assert_eq!(set.as_ref().encoding(), "listpack");
    set.set(&[b'y'; 17], 1.0, LIMITS);
    assert_eq!(set.as_ref().encoding(), "skiplist");
    assert_eq!(ZSet::sized(8, 16, LIMITS).as_ref().encoding(), "listpack");
    assert_eq!(ZSet::sized(9, 16, LIMITS).as_ref().encoding(), "skiplist");
    let sorted: Vec<_> = (0..100).map(name).collect();
    let entries = sorted.iter().map(|member| (&member[..], 2.0));
    assert_eq!(ZSet::of_sorted(entries.clone().take(8), LIMITS).as_ref().encoding(), "listpack");
    let large = ZSet::of_sorted(entries, LIMITS);
    check(&large);
    assert_eq!((large.as_ref().encoding(), large.as_ref().len()), ("skiplist", 100));
}

/// Whatever comes and goes between the steps, and however scores change, members that stay are shown.
#[test]
fn a_scan_shows_every_member_that_stays() {
    let mut set = ZSet::default();
    (0..5000).for_each(|n| _ = set.set(&name(n), 0.0, LARGE));
    let (mut cursor, mut seen, mut round) = (0, std::collections::BTreeSet::new(), 0u32);
    loop {
        cursor = set.as_ref().scan(cursor, 50, &mut |member, _| {
            seen.insert(member.to_vec());
        });
        if cursor == 0 {
            break;
        }
        round += 1;
        for n in 0..5000 / 7 {
            set.set(&name(n * 7 % 5000), f64::from(round * n % 31), LARGE);
        }
        let others = (0..500).map(|n| name(1_000_000 + n));
        if round % 2 == 0 {
            others.for_each(|member| _ = set.remove(&member));
        } else {
            others.for_each(|member| _ = set.set(&member, 3.0, LARGE));
        }
    }
    assert!((0..5000).all(|n| seen.contains(&name(n))));
    assert!(round > 20);
    assert_eq!(set.as_ref().scan(1 << 32, 10, &mut |_, _| panic!("nothing is there")), 0);
}
