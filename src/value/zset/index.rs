//! Which leaf a member of a large sorted set lies in.
//!
//! For: `large.rs`. May touch: blocks of this folder.
//! Always: has one slot for each member: 32 bits of its hash above the number of its leaf. Slots ascend. A
//! segment has all slots whose hash begins with the bits that lead to it, so SCAN walks hashes in order and a
//! cursor is a hash. Members' bytes are not here: who looks one up compares it in the leaf.
//!
//! Hashes are spread evenly, so a slot is found near where its hash lies between those that the segment can
//! have.

use std::hash::Hasher as _;

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

use super::run::{grow, shrink};
use super::slab::Slab;
use super::tree::sampled;
use crate::value::steps;

/// Bits of a hash.
const HASH_BITS: u32 = 32;
/// A segment with more slots than this is split.
const SLOTS_MAX: usize = 128;
/// A segment with fewer slots than this may be joined with its other half.
const SLOTS_MIN: usize = SLOTS_MAX / 4;
/// Two halves with together at most this many slots become one segment.
const SLOTS_JOINED: usize = SLOTS_MAX / 2;
/// The directory is not doubled beyond one word for so many slots.
const SLOTS_PER_WORD: usize = 4;

/// Slots whose hashes begin with the same `depth` bits.
#[derive(Clone, Default, Debug)]
struct Segment {
    depth: u32,
    slots: Vec<u64>,
}

/// Maps hashes of members to leaves.
#[derive(Clone, Debug)]
pub struct Index {
    start: u64,
    shared: SharedSeed,
    /// The directory has a word for each value of so many leading bits.
    depth: u32,
    /// Numbers of segments.
    directory: Vec<u32>,
    segments: Slab<Segment>,
    /// Segments as deep as the directory.
    deepest: usize,
    len: usize,
    /// Bits that a test leaves in the hash, to make collisions.
    #[cfg(test)]
    keep: u32,
}

impl Index {
    /// An empty index that hashes with `seed`.
    pub fn new(seed: u64) -> Index {
        let mut segments = Slab::default();
        let directory = vec![segments.add(Segment::default())];
        Index {
            start: seed ^ seed.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            shared: SharedSeed::from_u64(seed),
            depth: 0,
            directory,
            segments,
            deepest: 1,
            len: 0,
            #[cfg(test)]
            keep: u32::MAX,
        }
    }

    /// An empty index with the same hashes.
    pub fn emptied(&self) -> Index {
        let mut segments = Slab::default();
        let directory = vec![segments.add(Segment::default())];
        Index { shared: self.shared.clone(), depth: 0, directory, segments, deepest: 1, len: 0, ..*self }
    }

    /// The hash of a member.
    #[inline]
    pub fn hash(&self, member: &[u8]) -> u32 {
        let mut hasher = FoldHasher::with_seed(self.start, &self.shared);
        hasher.write(member);
        let hash = (hasher.finish() >> (u64::BITS - HASH_BITS)) as u32;
        #[cfg(test)]
        let hash = hash & self.keep;
        hash
    }

    /// The leaves in which members of that hash lie.
    #[inline]
    pub fn leaves(&self, hash: u32) -> impl Iterator<Item = u32> {
        let segment = self.segments.get(self.directory[self.word(hash)]);
        let first = segment.first(slot(hash, 0));
        segment.slots[first..].iter().take_while(move |&&slot| hash_of(slot) == hash).map(|&slot| slot as u32)
    }

    /// Adds a member's slot.
    pub fn insert(&mut self, hash: u32, leaf: u32) {
        let word = self.word(hash);
        let segment = self.segments.get_mut(self.directory[word]);
        let slot = slot(hash, leaf);
        let at = segment.first(slot);
        steps::take(segment.slots.len() - at);
        grow(&mut segment.slots, 1);
        segment.slots.insert(at, slot);
        self.len += 1;
        if segment.slots.len() > SLOTS_MAX {
            self.split(word);
        }
    }

    /// Removes a member's slot, which is there.
    pub fn remove(&mut self, hash: u32, leaf: u32) {
        let word = self.word(hash);
        let segment = self.segments.get_mut(self.directory[word]);
        let at = segment.first(slot(hash, leaf));
        debug_assert_eq!(segment.slots[at], slot(hash, leaf));
        segment.slots.remove(at);
        self.len -= 1;
        if segment.slots.len() < SLOTS_MIN && segment.depth > 0 {
            self.join(word);
        }
    }

    /// Notes that a member went from one leaf to another.
    pub fn relocate(&mut self, hash: u32, from: u32, to: u32) {
        let word = self.word(hash);
        let slots = &mut self.segments.get_mut(self.directory[word]);
        let mut at = slots.first(slot(hash, from));
        let (slots, new) = (&mut slots.slots, slot(hash, to));
        debug_assert_eq!(slots[at], slot(hash, from));
        // Only slots of the same hash can stand between the old and the new place.
        while at + 1 < slots.len() && slots[at + 1] < new {
            slots[at] = slots[at + 1];
            at += 1;
        }
        while at > 0 && slots[at - 1] > new {
            slots[at] = slots[at - 1];
            at -= 1;
        }
        slots[at] = new;
    }

    /// Shows the slots from the hash `cursor` on, equal ones once, until at least `count` were shown and the
    /// next has another hash. Returns that hash, 0 at the end.
    pub fn scan(&self, cursor: u64, count: usize, show: &mut dyn FnMut(u32, u32)) -> u64 {
        let Ok(mut hash) = u32::try_from(cursor) else { return 0 };
        let (mut shown, mut last) = (0, None);
        loop {
            let segment = self.segments.get(self.directory[self.word(hash)]);
            for &slot in &segment.slots[segment.first(slot(hash, 0))..] {
                if shown >= count && last.is_some_and(|last| hash_of(last) != hash_of(slot)) {
                    return u64::from(hash_of(slot));
                }
                if last.replace(slot) != Some(slot) {
                    show(hash_of(slot), slot as u32);
                }
                shown += 1;
            }
            let width = u64::from(HASH_BITS - segment.depth);
            let next = ((u64::from(hash) >> width) + 1) << width;
            match u32::try_from(next) {
                Ok(next) => hash = next,
                Err(_) => return 0,
            }
        }
    }

    /// Memory, about.
    pub fn heap_bytes(&self) -> usize {
        let slots = sampled(&self.segments, |segment| segment.slots.capacity() * size_of::<u64>());
        self.directory.capacity() * size_of::<u32>() + self.segments.heap_bytes() + slots
    }

    /// Index into the directory.
    #[inline]
    fn word(&self, hash: u32) -> usize {
        (u64::from(hash) >> (HASH_BITS - self.depth)) as usize
    }

    /// Words of the directory that lead to the same segment as `word`.
    fn words(&self, word: usize, depth: u32) -> std::ops::Range<usize> {
        let width = self.depth - depth;
        let first = word >> width << width;
        first..first + (1 << width)
    }

    /// Splits the segment behind `word`, unless the directory would become too large for that.
    fn split(&mut self, mut word: usize) {
        let id = self.directory[word];
        if self.segments.get(id).depth == self.depth {
            if self.directory.len() * 2 * SLOTS_PER_WORD > self.len {
                return;
            }
            self.directory = self.directory.iter().flat_map(|&id| [id, id]).collect();
            self.depth += 1;
            self.deepest = 0;
            word *= 2;
        }
        let segment = self.segments.get_mut(id);
        segment.depth += 1;
        let depth = segment.depth;
        let words = self.words(word, depth - 1);
        let middle = words.start + words.len() / 2;
        let bound = (middle as u64) << (HASH_BITS - self.depth + HASH_BITS);
        let segment = self.segments.get_mut(id);
        let at = segment.slots.partition_point(|&slot| slot < bound);
        let slots = segment.slots[at..].to_vec();
        segment.slots.truncate(at);
        shrink(&mut segment.slots);
        let right = self.segments.add(Segment { depth, slots });
        self.directory[middle..words.end].fill(right);
        if depth == self.depth {
            self.deepest += 2;
        }
    }

    /// Joins the segment behind `word` with its other half, if both are small.
    fn join(&mut self, word: usize) {
        let depth = self.segments.get(self.directory[word]).depth;
        let words = self.words(word, depth - 1);
        let (left, right) = (self.directory[words.start], self.directory[words.end - 1]);
        let (one, two) = (self.segments.get(left), self.segments.get(right));
        if one.depth != two.depth || one.slots.len() + two.slots.len() > SLOTS_JOINED {
            return;
        }
        let tail = self.segments.remove(right);
        let segment = self.segments.get_mut(left);
        segment.depth -= 1;
        segment.slots.extend(tail.slots);
        shrink(&mut segment.slots);
        self.directory[words].fill(left);
        if depth == self.depth {
            self.deepest -= 2;
        }
        while self.deepest == 0 && self.depth > 0 {
            self.directory = self.directory.iter().copied().step_by(2).collect();
            self.depth -= 1;
            let depth = self.depth;
            self.deepest = self.segments.iter().filter(|segment| segment.depth == depth).count();
        }
    }
}

impl Segment {
    /// About where `slot` is, if the others are spread evenly.
    #[inline]
    fn guess(&self, slot: u64) -> usize {
        let part = u64::from(hash_of(slot)) << self.depth & u64::from(u32::MAX);
        ((part * self.slots.len() as u64) >> HASH_BITS) as usize
    }

    /// Index of the first slot that is not less than `slot`.
    #[inline]
    fn first(&self, slot: u64) -> usize {
        let slots = &self.slots[..];
        let mut at = self.guess(slot);
        while at < slots.len() && slots[at] < slot {
            at += 1;
        }
        while at > 0 && slots[at - 1] >= slot {
            at -= 1;
        }
        steps::take(at.abs_diff(self.guess(slot)));
        at
    }
}

fn slot(hash: u32, leaf: u32) -> u64 {
    u64::from(hash) << HASH_BITS | u64::from(leaf)
}

fn hash_of(slot: u64) -> u32 {
    (slot >> HASH_BITS) as u32
}

#[cfg(test)]
impl Index {
    /// An index that clears all bits of a hash outside `keep`.
    pub fn with_mask(seed: u64, keep: u32) -> Index {
        Index { keep, ..Index::new(seed) }
    }

    /// How many slots a search for each slot passes, on average and at most.
    pub fn steps(&self) -> (f64, usize) {
        let passed = |segment: &Segment| {
            let at = |slot: u64| segment.first(slot).abs_diff(segment.guess(slot));
            segment.slots.iter().map(|&slot| at(slot)).collect::<Vec<_>>()
        };
        let steps: Vec<usize> = self.segments.iter().flat_map(passed).collect();
        (steps.iter().sum::<usize>() as f64 / steps.len() as f64, steps.into_iter().max().unwrap_or(0))
    }

    /// All slots in order.
    pub fn slots(&self) -> Vec<(u32, u32)> {
        let mut slots: Vec<u64> = self.segments.iter().flat_map(|segment| segment.slots.clone()).collect();
        slots.sort_unstable();
        slots.into_iter().map(|slot| (hash_of(slot), slot as u32)).collect()
    }

    /// Panics unless every segment is where it belongs.
    pub fn check(&self) {
        assert_eq!(self.directory.len(), 1 << self.depth);
        let (mut word, mut len, mut deepest, mut segments) = (0, 0, 0, 0);
        while word < self.directory.len() {
            let segment = self.segments.get(self.directory[word]);
            let words = self.words(word, segment.depth);
            assert_eq!(words.start, word);
            assert!(self.directory[words.clone()].iter().all(|&id| id == self.directory[word]));
            assert!(segment.slots.is_sorted());
            assert!(segment.slots.iter().all(|&slot| words.contains(&self.word(hash_of(slot)))));
            len += segment.slots.len();
            deepest += usize::from(segment.depth == self.depth);
            segments += 1;
            word = words.end;
        }
        assert_eq!((len, deepest, segments), (self.len, self.deepest, self.segments.len()));
    }
}
