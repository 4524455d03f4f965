//! Steps of algorithms, counted in tests.
//!
//! For: telling how much the work on a value grows with its size. May touch: nothing; outside of tests a step
//! is nothing.
//! Always: a loop that might become longer with the value counts its rounds.

#[cfg(test)]
thread_local! {
    static TAKEN: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The algorithm takes so many steps.
#[inline(always)]
pub fn take(_count: usize) {
    #[cfg(test)]
    TAKEN.set(TAKEN.get() + _count);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::hash::Until;
    use crate::value::list::{ListLimits, Side};
    use crate::value::set::SetLimits;
    use crate::value::stream::{NodeLimits, StreamId};
    use crate::value::zset::ZSetLimits;
    use crate::value::{Collection, Hash, HashLimits, List, Set, Stream, ZSet};

    /// Sizes at which steps are counted.
    const SIZES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
    /// Operations at each size.
    const SAMPLES: u64 = 500;

    /// A number that looks drawn, a different one for each `n`.
    fn scattered(n: u64) -> u64 {
        let mixed = (n ^ n >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ mixed >> 29
    }

    fn name(n: u64) -> Vec<u8> {
        format!("member:{:016x}", scattered(n)).into_bytes()
    }

    /// Steps that each of some operations takes on average.
    fn mean(mut operate: impl FnMut(u64)) -> usize {
        let before = TAKEN.get();
        (0..SAMPLES).for_each(&mut operate);
        ((TAKEN.get() - before) as u64).div_ceil(SAMPLES) as usize
    }

    /// Lets a value grow to each size in turn, and has operations of some names counted there: a thousand
    /// times as many elements may cost three times as many steps (a logarithm doubles), and no step less than
    /// one, since nothing is found without any.
    #[track_caller]
    fn check<const N: usize>(names: [&str; N], mut grow: impl FnMut(std::ops::Range<u64>) -> [usize; N]) {
        let mut begin = 0;
        let counts = SIZES.map(|size| grow(std::mem::replace(&mut begin, size)..size));
        for (at, name) in names.iter().enumerate() {
            let steps = counts.map(|count| count[at]);
            let least = *steps.iter().min().expect("there are sizes");
            assert!(least > 0, "{name}: {steps:?}");
            assert!(steps.iter().all(|&count| count <= 3 * steps[0] + 8), "{name}: {steps:?}");
        }
    }

    #[test]
    fn zadd_and_zrank_take_logarithmic_steps() {
        let limits = ZSetLimits { max_packed_entries: 0, max_packed_value: 0, seed: 7 };
        let mut set = ZSet::default();
        let add = |set: &mut ZSet, n| {
            set.set(&name(n), scattered(n ^ 77) as f64, limits);
        };
        check(["ZRANK", "ZADD"], |added| {
            let size = added.end;
            added.for_each(|n| add(&mut set, n));
            let ranks = mean(|n| assert!(set.as_ref().rank_of(&name(scattered(n) % size)).is_some()));
            // Those that are added while counting leave again.
            let adds = mean(|n| add(&mut set, u64::MAX - n));
            (0..SAMPLES).for_each(|n| assert!(set.remove(&name(u64::MAX - n)).is_some()));
            [ranks, adds]
        });
    }

    #[test]
    fn lindex_at_the_ends_takes_the_same_steps_in_any_list() {
        let limits = ListLimits { max_listpack_size: -2, packed_threshold: None };
        let mut list = List::default();
        check(["LINDEX at the head", "LINDEX at the tail"], |added| {
            let size = added.end;
            for n in added {
                list.push(Side::Right, std::iter::once((&name(n)[..]).into()), limits);
            }
            let find = |at: u64| assert!(list.as_ref().get(at as usize).is_some());
            [mean(|n| find(n % 8)), mean(|n| find(size - 1 - n % 8))]
        });
    }

    #[test]
    fn xrange_takes_the_same_steps_wherever_it_begins() {
        let limits = NodeLimits { max_bytes: 4096, max_entries: 100 };
        let mut stream = Stream::default();
        check(["XRANGE", "XREVRANGE", "XRANGE -", "XREVRANGE +"], |added| {
            let size = added.end;
            for n in added {
                let pairs = [&b"field"[..], &name(n)[..]].map(<[u8]>::to_vec);
                let id = StreamId::new(1 + n, 0);
                stream.log_mut().append(id, pairs.iter().map(|it| &it[..]), limits).expect("it is small");
            }
            let log = stream.log();
            let at = |n| StreamId::new(1 + scattered(n) % (size - 10), 0);
            let behind = |n| StreamId::new(11 + scattered(n) % (size - 10), 0);
            let (first, last) = (StreamId::MIN, StreamId::MAX);
            [
                mean(|n| assert_eq!(log.up(at(n), last).take(10).count(), 10)),
                mean(|n| assert_eq!(log.down(first, behind(n)).take(10).count(), 10)),
                mean(|_| assert_eq!(log.up(first, last).take(10).count(), 10)),
                mean(|_| assert_eq!(log.down(first, last).take(10).count(), 10)),
            ]
        });
    }

    #[test]
    fn spop_takes_the_same_steps_from_any_set() {
        let limits =
            SetLimits { max_intset_entries: 0, max_listpack_entries: 0, max_listpack_value: 0, seed: 7 };
        let mut set = Set::default();
        let mut drawn = 0;
        check(["SPOP"], |added| {
            added.for_each(|n| assert!(set.add(&name(n), &limits)));
            let mut gone = Vec::new();
            let steps = mean(|_| {
                let mut draw = |limit: u64| {
                    drawn += 1;
                    scattered(drawn) % limit
                };
                assert!(set.pop(&mut draw, &mut |item| gone.push(item.bytes(&mut [0; 20]).to_vec())));
            });
            gone.iter().for_each(|member| assert!(set.add(member, &limits)));
            [steps]
        });
    }

    #[test]
    fn hset_and_hget_take_the_same_steps_in_any_hash() {
        let limits = HashLimits { max_entries: 0, max_value: 0, seed: 7 };
        let mut hash = Hash::default();
        let set = |hash: &mut Hash, n| {
            hash.set(&name(n), b"value", Until::Cleared, &limits);
        };
        check(["HSET", "HSET again", "HGET"], |added| {
            let size = added.end;
            added.for_each(|n| set(&mut hash, n));
            let news = mean(|n| set(&mut hash, u64::MAX - n));
            let again = mean(|n| set(&mut hash, scattered(n) % size));
            let gets = mean(|n| assert!(hash.as_ref().get(&name(scattered(n) % size)).is_some()));
            (0..SAMPLES).for_each(|n| assert!(hash.remove(&name(u64::MAX - n))));
            [news, again, gets]
        });
    }
}
