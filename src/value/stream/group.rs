//! Consumer groups.
//!
//! For: who was given which entry and has not acknowledged it. May touch: its own memory.
//! Always: a pending entry belongs to one consumer of the group and is among that consumer's, or, when it was
//! released, to nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use slab::Slab;

use super::chunks::Chunks;
use super::extrapolated;
use super::id::StreamId;

/// Consumers that are looked at to tell what all of them occupy.
const CONSUMER_SAMPLE: usize = 16;

/// Names a consumer within its group; valid until the consumer is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerKey(NonZeroU32);

impl ConsumerKey {
    /// Of the consumer at a place of the slab.
    fn of(at: usize) -> ConsumerKey {
        let number = u32::try_from(at + 1).ok().and_then(NonZeroU32::new);
        ConsumerKey(number.expect("so many names do not fit into memory"))
    }

    fn at(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// To whom; `None`: it was released, and waits for a consumer that claims it.
    pub consumer: Option<ConsumerKey>,
    /// Which release of the group gave it back, if nobody has it.
    turn: u32,
    /// When for the last time, unix milliseconds; 0 if nobody has it.
    pub delivered_ms: u64,
    /// How often.
    pub deliveries: u64,
}

impl Pending {
    /// Of an entry that a consumer has been given.
    pub fn of(consumer: ConsumerKey, delivered_ms: u64, deliveries: u64) -> Pending {
        Pending { consumer: Some(consumer), turn: 0, delivered_ms, deliveries }
    }

    /// Whether it may be claimed by who claims what has been idle for so long.
    pub fn is_idle(&self, idle_ms: u64, now_ms: u64) -> bool {
        self.consumer.is_none() || now_ms.saturating_sub(self.delivered_ms) >= idle_ms
    }

    /// How long ago it was delivered, in milliseconds; -1 if nobody has it.
    pub fn idle_ms(&self, now_ms: u64) -> i64 {
        self.consumer.map_or(-1, |_| now_ms.saturating_sub(self.delivered_ms) as i64)
    }

    /// By what it is put in the order of claims: released entries first, in the order of their releases.
    pub fn rank(&self) -> (u64, u32) {
        (self.delivered_ms, self.turn)
    }
}

/// A consumer of a group.
#[derive(Clone, Debug)]
pub struct Consumer {
    name: Arc<[u8]>,
    /// When it last asked for anything, unix milliseconds.
    pub seen_ms: u64,
    /// When it was last given anything; `None`: never.
    pub active_ms: Option<u64>,
    pending: Chunks<()>,
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Number of its pending entries.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// Its pending entries from `from` on.
    pub fn pending_from(&self, from: StreamId) -> impl Iterator<Item = StreamId> {
        self.pending.iter_from(from).map(|(id, ())| id)
    }
}

/// A consumer group.
#[derive(Clone, Debug)]
pub struct Group {
    /// The last entry that was delivered to any consumer.
    pub last_id: StreamId,
    /// Entries of the stream up to `last_id`, deleted ones included; `None`: unknown.
    pub entries_read: Option<i64>,
    /// Number of releases so far; starts again after four billions.
    releases: u32,
    pending: Chunks<Pending>,
    /// The same by rank, from when that is asked for until nothing is pending.
    by_rank: Option<BTreeSet<Ranked>>,
    consumers: Slab<Consumer>,
    names: BTreeMap<Arc<[u8]>, ConsumerKey>,
}

/// A pending entry's rank and identifier.
type Ranked = ((u64, u32), StreamId);

impl Group {
    /// A group without consumers that goes on behind `last_id`.
    pub fn new(last_id: StreamId, entries_read: Option<i64>) -> Group {
        let (pending, by_rank, consumers, names) = Default::default();
        Group { last_id, entries_read, releases: 0, pending, by_rank, consumers, names }
    }

    /// The consumer of that name.
    pub fn find_consumer(&self, name: &[u8]) -> Option<ConsumerKey> {
        self.names.get(name).copied()
    }

    /// A consumer.
    pub fn consumer(&self, key: ConsumerKey) -> &Consumer {
        &self.consumers[key.at()]
    }

    /// The name of who has a pending entry; empty if nobody has.
    pub fn holder(&self, pending: &Pending) -> &[u8] {
        pending.consumer.map_or(&[], |key| self.consumer(key).name())
    }

    /// A consumer, to be changed.
    pub fn consumer_mut(&mut self, key: ConsumerKey) -> &mut Consumer {
        &mut self.consumers[key.at()]
    }

    /// Number of consumers.
    pub fn consumers_len(&self) -> usize {
        self.names.len()
    }

    /// Consumers in the order of their names.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = (ConsumerKey, &Consumer)> {
        self.names.values().map(|&key| (key, self.consumer(key)))
    }

    /// Adds a consumer; `None` when there is one of that name.
    pub fn add_consumer(&mut self, name: &[u8], seen_ms: u64) -> Option<ConsumerKey> {
        if self.names.contains_key(name) {
            return None;
        }
        let name: Arc<[u8]> = name.into();
        let pending = Chunks::default();
        let at = self.consumers.insert(Consumer { name: name.clone(), seen_ms, active_ms: None, pending });
        let key = ConsumerKey::of(at);
        self.names.insert(name, key);
        Some(key)
    }

    /// Removes a consumer with its pending entries; answers how many they were.
    pub fn remove_consumer(&mut self, key: ConsumerKey) -> usize {
        let consumer = self.consumers.remove(key.at());
        self.names.remove(&consumer.name);
        for (id, ()) in consumer.pending.iter() {
            let pending = self.pending.remove(id);
            self.rerank(id, pending, None);
        }
        consumer.pending.len()
    }

    /// Number of pending entries.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// Whether a consumer ever gave an entry back.
    pub fn has_released(&self) -> bool {
        self.releases > 0
    }

    /// Number of pending entries that nobody has.
    pub fn released_len(&self) -> usize {
        self.pending_len() - self.consumers().map(|(_, consumer)| consumer.pending_len()).sum::<usize>()
    }

    /// The pending entry of that identifier.
    pub fn pending(&self, id: StreamId) -> Option<&Pending> {
        self.pending.get(id)
    }

    /// Pending entries from `from` on.
    pub fn pending_from(&self, from: StreamId) -> impl Iterator<Item = (StreamId, &Pending)> {
        self.pending.iter_from(from)
    }

    /// Pending entries by rank. The first call takes time for all of them, further ones for those they pass.
    pub fn pending_by_rank(&mut self) -> impl Iterator<Item = (StreamId, &Pending)> {
        let Group { pending, by_rank, .. } = self;
        let ranked = || pending.iter().map(|(id, pending)| (pending.rank(), id)).collect();
        let by_rank = by_rank.get_or_insert_with(ranked);
        by_rank.iter().filter_map(|&(_, id)| Some((id, pending.get(id)?)))
    }

    /// Keeps the order by rank after an entry's state has changed, or it is no longer pending.
    fn rerank(&mut self, id: StreamId, before: Option<Pending>, now: Option<Pending>) {
        let Some(by_rank) = &mut self.by_rank else { return };
        if let Some(before) = before {
            by_rank.remove(&(before.rank(), id));
        }
        match now {
            Some(now) => drop(by_rank.insert((now.rank(), id))),
            None if by_rank.is_empty() => self.by_rank = None,
            None => {}
        }
    }

    /// The lowest and the highest identifier of a pending entry.
    pub fn pending_bounds(&self) -> Option<(StreamId, StreamId)> {
        Some((self.pending.first()?, self.pending.last()?))
    }

    /// Makes an entry pending as said, whoever it was delivered to before.
    pub fn deliver(&mut self, id: StreamId, pending: Pending) {
        let before = self.pending.insert(id, pending);
        self.rerank(id, before, Some(pending));
        let before = before.and_then(|before| before.consumer);
        if before == pending.consumer {
            return;
        }
        if let Some(before) = before {
            self.consumer_mut(before).pending.remove(id);
        }
        if let Some(consumer) = pending.consumer {
            self.consumer_mut(consumer).pending.insert(id, ());
        }
    }

    /// Makes an entry pending that nobody has, behind those that were released before.
    pub fn release(&mut self, id: StreamId, deliveries: u64) {
        self.releases = self.releases.wrapping_add(1);
        self.deliver(id, Pending { consumer: None, turn: self.releases, delivered_ms: 0, deliveries });
    }

    /// Changes when and how often a pending entry was delivered.
    pub fn redeliver(&mut self, id: StreamId, change: impl FnOnce(&mut Pending)) {
        if let Some(pending) = self.pending.get_mut(id) {
            let before = *pending;
            change(pending);
            let now = *pending;
            debug_assert_eq!(now.consumer, before.consumer);
            self.rerank(id, Some(before), Some(now));
        }
    }

    /// Takes an entry off the pending ones; answers what was known of it.
    pub fn acknowledge(&mut self, id: StreamId) -> Option<Pending> {
        let pending = self.pending.remove(id)?;
        self.rerank(id, Some(pending), None);
        if let Some(consumer) = pending.consumer {
            self.consumer_mut(consumer).pending.remove(id);
        }
        Some(pending)
    }

    /// Bytes it occupies, about: a sample of its consumers stands for the others.
    pub fn heap_bytes(&self) -> usize {
        let one = |consumer: &Consumer| {
            size_of::<Consumer>()
                + 3 * size_of::<usize>()
                + size_of::<(Arc<[u8]>, ConsumerKey)>()
                + consumer.name.len()
                + consumer.pending.heap_bytes()
        };
        let seen = self.consumers.len().min(CONSUMER_SAMPLE);
        let consumers = self.consumers.iter().take(seen).map(|(_, consumer)| one(consumer)).sum();
        let consumers = extrapolated(consumers, seen, self.consumers.len());
        let ranked = self.by_rank.as_ref().map_or(0, |by_rank| by_rank.len() * size_of::<Ranked>() * 3 / 2);
        size_of::<Group>() + self.pending.heap_bytes() + ranked + consumers
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        let mut owned = 0;
        for (key, consumer) in self.consumers() {
            owned += consumer.pending_len();
            for id in consumer.pending_from(StreamId::MIN) {
                assert_eq!(self.pending(id).and_then(|pending| pending.consumer), Some(key));
            }
        }
        let released = self.pending.iter().filter(|(_, pending)| pending.consumer.is_none());
        let released = released.inspect(|(_, pending)| assert_eq!(pending.delivered_ms, 0)).count();
        assert_eq!(owned + released, self.pending_len());
        if let Some(by_rank) = &self.by_rank {
            assert_eq!(*by_rank, self.pending.iter().map(|(id, pending)| (pending.rank(), id)).collect());
        }
        assert_eq!(self.consumers.len(), self.names.len());
    }
}
