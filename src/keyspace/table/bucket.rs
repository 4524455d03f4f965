//! Buckets, the segments they make up, and the memory they lie in.
//!
//! For: the rest of the table. May touch: nothing outside.
//! Always: a slot is occupied exactly if its tag is not 0, and then owns an entry; an entry lies at most
//! `REACH` buckets behind its home; the home's meta byte says how far its entries may have gone and how many
//! did.
//!
//! A bucket is one cache line: a word of seven tags and the meta byte, and seven slots. Everything is stored
//! in atomics because prefetch hints read it without the shard's lock; all orderings are relaxed, so these
//! are plain moves.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::mem::{offset_of, size_of};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed};

use crate::keyspace::entry::Entry;
use crate::keyspace::hash;

/// Slots of a bucket.
pub(super) const SLOTS: usize = 7;

/// How far behind its home an entry may lie, in buckets.
pub(super) const REACH: usize = 14;

/// The reach noted in a home some of whose entries had to leave the segment for the table's spill.
pub(super) const SPILLED: usize = 15;

/// Buckets a segment can have. With 64 bytes for alignment each is a size class of common allocators, so that
/// an aligned allocation wastes nothing; two steps per doubling keep segments at 60 to 90 % most of the time.
pub(super) const SIZES: [usize; 11] = [1, 2, 3, 5, 7, 11, 15, 23, 31, 47, MAX_BUCKETS];

/// Buckets of the largest segment.
pub(super) const MAX_BUCKETS: usize = 63;

const EVERY: u64 = 0x0101_0101_0101_0101;
const LOW_SEVEN: u64 = 0x7f7f_7f7f_7f7f_7f7f;
const TAG_HIGHS: u64 = 0x0080_8080_8080_8080;
const META_SHIFT: u32 = 56;
const STUCK: usize = 15;

/// One cache line of slots.
#[repr(C, align(64))]
pub(super) struct Bucket {
    /// Seven tags from the low end, then the meta byte: reach in its low, number of displaced entries in its
    /// high half.
    word: AtomicU64,
    slots: [AtomicPtr<u8>; SLOTS],
}

/// A set of slots of one bucket; iterates over their indices.
#[derive(Clone, Copy)]
pub(super) struct Slots(u64);

impl Iterator for Slots {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let index = self.0.trailing_zeros() as usize / 8;
        self.0 &= self.0 - 1;
        Some(index)
    }
}

/// The tags and meta byte of a bucket at one moment.
#[derive(Clone, Copy)]
pub(super) struct Word(u64);

impl Word {
    #[inline]
    pub(super) fn matching(self, tag: u8) -> Slots {
        zero_bytes(self.0 ^ (EVERY * tag as u64))
    }

    #[inline]
    pub(super) fn free(self) -> Slots {
        zero_bytes(self.0)
    }

    #[inline]
    pub(super) fn occupied(self) -> Slots {
        Slots(!zero_bytes(self.0).0 & TAG_HIGHS)
    }

    #[cfg(test)]
    pub(super) fn len(self) -> usize {
        self.occupied().0.count_ones() as usize
    }

    #[inline]
    pub(super) fn reach(self) -> usize {
        (self.0 >> META_SHIFT & 15) as usize
    }

    /// How many entries with this home lie elsewhere; 15 means at least that many.
    pub(super) fn displaced(self) -> usize {
        (self.0 >> META_SHIFT >> 4) as usize
    }
}

/// Exact for every byte: a carry into the next one would make a free slot look occupied.
#[inline]
fn zero_bytes(word: u64) -> Slots {
    Slots(!(((word & LOW_SEVEN) + LOW_SEVEN) | word) & TAG_HIGHS)
}

impl Bucket {
    #[inline]
    pub(super) fn word(&self) -> Word {
        Word(self.word.load(Relaxed))
    }

    /// The occupied slots with that tag.
    #[inline]
    pub(super) fn matching(&self, tag: u8) -> impl Iterator<Item = &AtomicPtr<u8>> {
        self.word().matching(tag).map(|index| &self.slots[index])
    }

    #[inline]
    pub(super) fn slot(&self, index: usize) -> &AtomicPtr<u8> {
        &self.slots[index]
    }

    /// # Safety
    /// The slot must be occupied and stay so for the lifetime of the result, and its pointer must not be
    /// stored to.
    #[inline]
    pub(super) unsafe fn entry(&self, index: usize) -> &Entry {
        // SAFETY: as above; see `entry_in`.
        unsafe { entry_in(&self.slots[index]) }
    }

    fn fill(&self, index: usize, tag: u8, block: NonNull<u8>) {
        debug_assert!(self.word().free().any(|free| free == index));
        self.slots[index].store(block.as_ptr(), Relaxed);
        self.word.store(self.word.load(Relaxed) | (tag as u64) << (8 * index), Relaxed);
    }

    /// Empties an occupied slot; what it owned is the caller's.
    pub(super) fn clear(&self, index: usize) -> NonNull<u8> {
        let block = NonNull::new(self.slots[index].load(Relaxed)).expect("an occupied slot holds a block");
        self.word.store(self.word.load(Relaxed) & !(0xff << (8 * index)), Relaxed);
        block
    }

    fn set_meta(&self, reach: usize, displaced: usize) {
        let meta = (reach | displaced << 4) as u64;
        let tags = self.word.load(Relaxed) << 8 >> 8;
        self.word.store(tags | meta << META_SHIFT, Relaxed);
    }

    /// Notes in the home bucket that one of its entries lies `distance` buckets on, or was spilled.
    pub(super) fn note_displaced(&self, distance: usize) {
        let word = self.word();
        self.set_meta(word.reach().max(distance), (word.displaced() + 1).min(STUCK));
    }

    /// Notes that a displaced entry of this home is gone. A counter that ran full stays so until the segment
    /// is rebuilt.
    pub(super) fn forget_displaced(&self) {
        let word = self.word();
        debug_assert!(word.displaced() > 0);
        match word.displaced() {
            STUCK => {}
            0 | 1 => self.set_meta(0, 0),
            displaced => self.set_meta(word.reach(), displaced - 1),
        }
    }
}

/// The entry that an occupied slot owns.
///
/// # Safety
/// The slot must own an entry, and must not be stored to while the result lives. (Others may read it
/// meanwhile.)
#[inline]
pub(super) unsafe fn entry_in(slot: &AtomicPtr<u8>) -> &Entry {
    // SAFETY: `Entry` is a transparent non-null pointer, as wide and aligned as an `AtomicPtr`, and the slot
    // holds one.
    unsafe { &*std::ptr::from_ref(slot).cast::<Entry>() }
}

/// A run of buckets that share the leading `depth` bits of their positions.
#[derive(Clone, Copy)]
pub(super) struct Segment<'a> {
    pub(super) buckets: &'a [Bucket],
    pub(super) depth: u32,
}

impl<'a> Segment<'a> {
    /// The bucket that an entry with this hash belongs in.
    #[inline]
    pub(super) fn home(self, hash: u64) -> usize {
        home(hash, self.depth, self.buckets.len())
    }

    /// The bucket `distance` behind `home`, around the end.
    #[inline]
    pub(super) fn behind(self, home: usize, distance: usize) -> usize {
        let at = home + distance;
        if at < self.buckets.len() { at } else { at - self.buckets.len() }
    }

    /// How many buckets an entry may lie in, its home included.
    pub(super) fn range(self) -> usize {
        self.buckets.len().min(REACH + 1)
    }

    pub(super) fn slots(self) -> usize {
        self.buckets.len() * SLOTS
    }

    /// The entries at which the segment is rebuilt larger. Beyond nine tenths misses have to look into
    /// several buckets.
    pub(super) fn limit(self) -> usize {
        if self.buckets.len() <= 3 { self.slots() } else { self.slots() * 9 / 10 }
    }

    /// Bucket and index of a slot, if it is one of this segment's.
    pub(super) fn number(self, slot: *const AtomicPtr<u8>) -> Option<(usize, usize)> {
        let distance = slot.addr().checked_sub(self.buckets.as_ptr().addr())?;
        let (bucket, within) = (distance / size_of::<Bucket>(), distance % size_of::<Bucket>());
        (bucket < self.buckets.len())
            .then(|| (bucket, (within - offset_of!(Bucket, slots)) / size_of::<AtomicPtr<u8>>()))
    }

    /// Puts an entry into the first bucket from its home on that has room; answers its slot.
    pub(super) fn place(self, hash: u64, block: NonNull<u8>) -> Option<&'a AtomicPtr<u8>> {
        let home = self.home(hash);
        for distance in 0..self.range() {
            let at = self.behind(home, distance);
            if let Some(index) = self.buckets[at].word().free().next() {
                self.buckets[at].fill(index, hash::tag(hash), block);
                if distance > 0 {
                    self.buckets[home].note_displaced(distance);
                }
                return Some(self.buckets[at].slot(index));
            }
        }
        None
    }

    /// All occupied slots.
    pub(super) fn occupied(self) -> impl Iterator<Item = (&'a Bucket, usize)> + Clone {
        self.buckets.iter().flat_map(|bucket| bucket.word().occupied().map(move |index| (bucket, index)))
    }

    /// All entries.
    ///
    /// # Safety
    /// The table must be borrowed for `'a`, so that no slot changes.
    pub(super) unsafe fn entries(self) -> impl Iterator<Item = &'a Entry> {
        // SAFETY: the slot is occupied, and stays so as nobody can change the table.
        self.occupied().map(|(bucket, index)| unsafe { bucket.entry(index) })
    }
}

/// The home bucket of a hash in a segment of the given depth and number of buckets.
#[inline]
pub(super) fn home(hash: u64, depth: u32, buckets: usize) -> usize {
    let fraction = (hash::position(hash) << depth) >> 32;
    (fraction as usize * buckets) >> 32
}

/// The smallest segment that `entries` fill to at most three quarters, or the largest.
pub(super) fn buckets_for(entries: usize) -> usize {
    SIZES.into_iter().find(|buckets| buckets * SLOTS * 3 / 4 >= entries).unwrap_or(MAX_BUCKETS)
}

/// Zeroed memory, aligned to cache lines, that is freed when this is dropped. Owns none of the entries in it.
#[derive(Debug)]
pub(super) struct Memory {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a `Memory` is plain bytes with one owner.
unsafe impl Send for Memory {}

impl Memory {
    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, 64).expect("directories and segments are far below isize::MAX")
    }

    /// `bytes` must not be 0.
    pub(super) fn zeroed(bytes: usize) -> Memory {
        assert!(bytes > 0);
        let layout = Self::layout(bytes);
        // SAFETY: the size is not 0.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        Memory { start, layout }
    }

    /// Memory for a segment.
    pub(super) fn buckets(buckets: usize) -> Memory {
        Memory::zeroed(buckets * size_of::<Bucket>())
    }

    /// Takes back what `into_start` gave away.
    ///
    /// # Safety
    /// `start` must come from `into_start` of a memory of `bytes` bytes, and ownership must pass with it.
    pub(super) unsafe fn from_start(start: NonNull<u8>, bytes: usize) -> Memory {
        Memory { start, layout: Self::layout(bytes) }
    }

    pub(super) fn into_start(self) -> NonNull<u8> {
        std::mem::ManuallyDrop::new(self).start
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(super) fn bytes(&self) -> usize {
        self.layout.size()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and owned.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_sets_are_exact_whatever_lies_beside() {
        for seed in 0..20_000u64 {
            let mut bytes = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
            bytes.iter_mut().for_each(|b| *b &= 0x83);
            let word = Word(u64::from_le_bytes(bytes));
            for tag in [1, 2, 0x80, 0x81, 0x82] {
                let expected: Vec<usize> = (0..SLOTS).filter(|&i| bytes[i] == tag).collect();
                assert_eq!(word.matching(tag).collect::<Vec<_>>(), expected);
            }
            let free: Vec<usize> = (0..SLOTS).filter(|&i| bytes[i] == 0).collect();
            assert_eq!(word.free().collect::<Vec<_>>(), free);
            assert_eq!(word.len(), SLOTS - free.len());
        }
    }

    #[test]
    fn every_size_has_room_for_one_more_after_growing() {
        for pair in SIZES.windows(2) {
            let memory = Memory::buckets(pair[0]);
            // SAFETY: the memory is zeroed and holds this many buckets.
            let buckets = unsafe { std::slice::from_raw_parts(memory.start().cast().as_ptr(), pair[0]) };
            let full = Segment { buckets, depth: 0 }.limit();
            assert_eq!(buckets_for(full + 1), pair[1]);
        }
    }
}
