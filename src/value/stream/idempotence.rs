//! What a stream remembers of its producers, so that a message sent twice is added once.
//!
//! For: XADD with IDMP and IDMPAUTO, and XCFGSET. May touch: its own memory.
//! Always: a producer has at most [`Idempotence::max_size`] identifiers, the newest; none counts any longer
//! when its time is over. Whatever is added takes what has expired with it, so that what is forgotten does
//! not pile up and no call pays for many.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use super::id::StreamId;

/// Seconds for which an identifier counts unless XCFGSET says otherwise.
const DURATION_S: u64 = 100;
/// Identifiers of a producer that count unless XCFGSET says otherwise.
const MAX_SIZE: usize = 100;
/// Producers that are looked at for what has expired when something is added.
const SWEPT: usize = 2;
/// Identifiers of one producer that are dropped at once, at most.
const DROPPED: usize = 8;

/// What a stream remembers of its producers.
#[derive(Clone, Debug)]
pub struct Idempotence {
    duration_s: u64,
    max_size: usize,
    producers: BTreeMap<Arc<[u8]>, Arc<Producer>>,
    /// The last producer that was looked at for what has expired.
    swept: Arc<[u8]>,
    added: u64,
    duplicates: u64,
}

/// A producer's identifiers.
#[derive(Clone, Debug, Default)]
struct Producer {
    /// The entry, and when it was added, unix milliseconds.
    entries: BTreeMap<Arc<[u8]>, (StreamId, u64)>,
    /// The same by time, ascending. One that expired and came again before it was dropped stands here twice.
    order: VecDeque<(u64, Arc<[u8]>)>,
}

/// Figures about what a stream remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Seconds for which an identifier counts.
    pub duration_s: u64,
    /// Identifiers of a producer that count.
    pub max_size: usize,
    /// Producers with identifiers that count.
    pub producers: usize,
    /// Identifiers that count.
    pub identifiers: usize,
    /// Entries that were added with an identifier, ever.
    pub added: u64,
    /// Entries that were not added because they were there, ever.
    pub duplicates: u64,
}

impl Default for Idempotence {
    fn default() -> Idempotence {
        let (producers, swept) = (BTreeMap::new(), Arc::default());
        Idempotence { duration_s: DURATION_S, max_size: MAX_SIZE, producers, swept, added: 0, duplicates: 0 }
    }
}

impl Producer {
    /// The first place of `order` whose identifier still counts.
    fn alive_from(&self, dead_ms: Option<u64>) -> usize {
        dead_ms.map_or(0, |dead_ms| self.order.partition_point(|(at, _)| *at <= dead_ms))
    }

    fn drop_oldest(&mut self) {
        if let Some((at_ms, name)) = self.order.pop_front()
            && self.entries.get(&name).is_some_and(|(_, added_ms)| *added_ms == at_ms)
        {
            self.entries.remove(&name);
        }
    }
}

impl Idempotence {
    /// Seconds for which an identifier counts.
    pub fn duration_s(&self) -> u64 {
        self.duration_s
    }

    /// Identifiers of a producer that count.
    pub fn max_size(&self) -> usize {
        self.max_size
    }

    /// Sets both, and forgets all identifiers.
    pub fn configure(&mut self, duration_s: u64, max_size: usize) {
        (self.duration_s, self.max_size) = (duration_s, max_size);
        self.producers.clear();
    }

    /// The last instant whose identifiers no longer count.
    fn dead_ms(&self, now_ms: u64) -> Option<u64> {
        now_ms.checked_sub(self.duration_s * 1000)
    }

    /// The entry that a producer added with the identifier, if that still counts.
    pub fn find(&self, producer: &[u8], name: &[u8], now_ms: u64) -> Option<StreamId> {
        let &(id, added_ms) = self.producers.get(producer)?.entries.get(name)?;
        self.dead_ms(now_ms).is_none_or(|dead_ms| added_ms > dead_ms).then_some(id)
    }

    /// An entry was not added because it was there.
    pub fn count_duplicate(&mut self) {
        self.duplicates += 1;
    }

    /// A producer has added an entry with the identifier, which did not count before.
    pub fn add(&mut self, producer: &[u8], name: &[u8], id: StreamId, now_ms: u64) {
        self.added += 1;
        self.sweep(now_ms);
        let dead_ms = self.dead_ms(now_ms);
        let known = match self.producers.get_mut(producer) {
            Some(known) => known,
            None => self.producers.entry(producer.into()).or_default(),
        };
        let known = Arc::make_mut(known);
        let dead = known.alive_from(dead_ms);
        (0..dead.min(DROPPED)).for_each(|_| known.drop_oldest());
        // The clock of a follower may be behind: the order stays ascending.
        let at_ms = known.order.back().map_or(now_ms, |(last, _)| now_ms.max(*last));
        let name: Arc<[u8]> = name.into();
        known.order.push_back((at_ms, Arc::clone(&name)));
        known.entries.insert(name, (id, at_ms));
        if known.order.len() > self.max_size {
            known.drop_oldest();
        }
    }

    /// Looks at the next few producers, and drops what has expired.
    fn sweep(&mut self, now_ms: u64) {
        let Some(dead_ms) = self.dead_ms(now_ms) else { return };
        for _ in 0..SWEPT {
            let behind = (Bound::Excluded(Arc::clone(&self.swept)), Bound::Unbounded);
            let Some((name, producer)) = self.producers.range_mut::<Arc<[u8]>, _>(behind).next() else {
                self.swept = Arc::default();
                return;
            };
            self.swept = Arc::clone(name);
            let dead = producer.alive_from(Some(dead_ms));
            if dead == producer.order.len() && dead <= DROPPED {
                self.producers.remove(&self.swept);
            } else if dead > 0 {
                let producer = Arc::make_mut(producer);
                (0..dead.min(DROPPED)).for_each(|_| producer.drop_oldest());
            }
        }
    }

    /// Figures about it.
    pub fn remembered(&self, now_ms: u64) -> Remembered {
        let dead_ms = self.dead_ms(now_ms);
        let alive = self.producers.values().map(|it| it.order.len() - it.alive_from(dead_ms));
        Remembered {
            duration_s: self.duration_s,
            max_size: self.max_size,
            producers: alive.clone().filter(|&alive| alive > 0).count(),
            identifiers: alive.sum(),
            added: self.added,
            duplicates: self.duplicates,
        }
    }

    /// Bytes it occupies, about.
    pub fn heap_bytes(&self) -> usize {
        let each = 2 * size_of::<(u64, Arc<[u8]>)>() + 2 * size_of::<usize>();
        let held = self.producers.iter().take(super::GROUP_SAMPLE).map(|(name, producer)| {
            let first = producer.order.front().map_or(0, |(_, name)| name.len());
            name.len() + size_of::<Producer>() + producer.order.len() * (each + first)
        });
        let seen = self.producers.len().min(super::GROUP_SAMPLE);
        size_of::<Idempotence>() + super::extrapolated(held.sum(), seen, self.producers.len())
    }

    #[cfg(test)]
    fn check_invariants(&self) {
        for producer in self.producers.values() {
            assert!(producer.entries.len() <= producer.order.len());
            assert!(producer.order.len() <= self.max_size);
            assert!(producer.order.iter().is_sorted_by_key(|(at, _)| at));
            for (name, (_, added_ms)) in &producer.entries {
                assert!(producer.order.contains(&(*added_ms, Arc::clone(name))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_remembers_what_a_plain_list_remembers(
            steps in prop::collection::vec((0..4u8, 0..12u8, 0..700u64), 1..300),
            max_size in 1..6usize,
        ) {
            let mut tested = Idempotence::default();
            tested.configure(1, max_size);
            // Producer, name, when, entry; in the order of adding.
            let mut model: Vec<(u8, u8, u64, StreamId)> = Vec::new();
            let (mut now_ms, mut n) = (0, 0);
            for (producer, name, later_ms) in steps {
                now_ms += later_ms;
                n += 1;
                let counts = |it: &(u8, u8, u64, StreamId)| it.2 + 1000 > now_ms;
                let of_it = model.iter().rev().filter(|it| it.0 == producer).take(max_size);
                let expected = of_it.clone().find(|it| it.1 == name && counts(it)).map(|it| it.3);
                prop_assert_eq!(tested.find(&[producer], &[name], now_ms), expected);
                if expected.is_none() {
                    let id = StreamId::new(1, n);
                    tested.add(&[producer], &[name], id, now_ms);
                    model.push((producer, name, now_ms, id));
                }
                tested.check_invariants();
                let alive = (0..4u8).map(|producer| {
                    let of_it = model.iter().rev().filter(|it| it.0 == producer).take(max_size);
                    of_it.filter(|it| it.2 + 1000 > now_ms).count()
                });
                let found = tested.remembered(now_ms);
                prop_assert_eq!(found.identifiers, alive.clone().sum::<usize>());
                prop_assert_eq!(found.producers, alive.filter(|&alive| alive > 0).count());
                prop_assert_eq!(found.added, model.len() as u64);
            }
        }
    }

    #[test]
    fn producers_that_came_once_do_not_pile_up() {
        let mut tested = Idempotence::default();
        for n in 0..100_000u64 {
            tested.add(&n.to_be_bytes(), b"once", StreamId::new(1, n), n * 1000);
        }
        // Those whose time is not over, and as many that nobody has looked at since.
        assert!(tested.producers.len() <= 3 * DURATION_S as usize, "{}", tested.producers.len());
    }
}
