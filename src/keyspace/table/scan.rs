//! Walks over a table: SCAN's steps, random entries, all entries; and its figures.
//!
//! For: SCAN, RANDOMKEY, eviction, snapshots, DEBUG HTSTATS. May touch: nothing but the table, and only reads
//! it.
//! Always: a cursor is a position. A step visits exactly the entries with positions from its cursor up to the
//! one it returns, so a key that is there throughout an iteration is visited once, whatever was rebuilt in
//! between.

use std::sync::atomic::Ordering::Relaxed;

use super::Table;
use super::bucket::{MAX_BUCKETS, SLOTS, SPILLED, Segment};
use super::directory::prefetch;
use crate::keyspace::entry::Entry;
use crate::keyspace::hash::POSITION_BITS;

/// Draws before `random` counts entries off instead.
const RANDOM_TRIES: usize = 64;

/// Figures of a table, for DEBUG HTSTATS and INFO.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TableStats {
    /// Entries.
    pub entries: usize,
    /// Words of the directory.
    pub directory: usize,
    /// Segments.
    pub segments: usize,
    /// Buckets of all segments.
    pub buckets: usize,
    /// Slots of all buckets; entries over slots is the load.
    pub slots: usize,
    /// Entries outside their home bucket. Counted per home up to 15.
    pub displaced: usize,
    /// Entries that found no room in reach.
    pub spilled: usize,
}

impl Table {
    /// Visits the entries of one bucket's range from `cursor` on and returns the next cursor, of 48 bits. 0
    /// begins, and 0 is returned when the end is reached. Any number is a valid cursor.
    pub fn scan(&self, cursor: u64, visit: &mut dyn FnMut(&Entry)) -> u64 {
        let cursor = cursor & POSITION_MASK;
        let segment = self.directory.find(cursor);
        let home = segment.home(cursor);
        let end = end_of(cursor, segment, home);
        let in_range =
            |entry: &&Entry| (cursor..end).contains(&(self.hasher.hash(entry.key()) & POSITION_MASK));
        let reach = segment.buckets[home].word().reach();
        let range = (0..=reach.min(segment.range() - 1)).map(|distance| segment.behind(home, distance));
        let slots = range.flat_map(|at| {
            let bucket = &segment.buckets[at];
            bucket.word().occupied().map(move |slot| (bucket, slot))
        });
        for (bucket, slot) in slots.clone().take(2 * SLOTS) {
            prefetch(bucket.slot(slot).load(Relaxed));
        }
        // SAFETY: the slots are occupied, and the table is borrowed while its entries are visited.
        slots.map(|(bucket, slot)| unsafe { bucket.entry(slot) }).filter(in_range).for_each(&mut *visit);
        if reach == SPILLED {
            self.spill.iter().map(|spilled| spilled.entry()).filter(in_range).for_each(visit);
        }
        if end > POSITION_MASK { 0 } else { end }
    }

    /// An entry, each as likely as any other, given a source of uniform words. `None` if there is none.
    pub fn random(&self, draw: &mut dyn FnMut() -> u64) -> Option<&Entry> {
        if self.is_empty() {
            return None;
        }
        let nth = below(draw(), self.len);
        if let Some(spilled) = self.spill.get(nth) {
            return Some(spilled.entry());
        }
        // Each slot of the directory's words is as likely as any other; those that do not exist, are free, or
        // belong to a word that repeats a segment are drawn again.
        let buckets =
            if self.segments() == 1 { self.directory.segment(0).buckets.len() } else { MAX_BUCKETS };
        for _ in 0..RANDOM_TRIES {
            let drawn = below(draw(), self.directory.len() * buckets * SLOTS);
            let (at, bucket, slot) = (drawn / SLOTS / buckets, drawn / SLOTS % buckets, drawn % SLOTS);
            let segment = self.directory.segment(at);
            if at % self.directory.width(segment.depth) != 0 || bucket >= segment.buckets.len() {
                continue;
            }
            let bucket = &segment.buckets[bucket];
            if bucket.word().occupied().any(|occupied| occupied == slot) {
                // SAFETY: the slot is occupied, and the table is borrowed for the result's lifetime.
                return Some(unsafe { bucket.entry(slot) });
            }
        }
        self.nth_in_buckets(nth - self.spill.len())
    }

    /// Counts off segments, then slots.
    pub(super) fn nth_in_buckets(&self, mut nth: usize) -> Option<&Entry> {
        for (at, segment) in self.directory.segments() {
            let count = self.counts[at] as usize;
            if nth < count {
                // SAFETY: the table is borrowed for the result's lifetime.
                return unsafe { segment.entries() }.nth(nth);
            }
            nth -= count;
        }
        None
    }

    /// All entries, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        // SAFETY: the table is borrowed while the iterator lives.
        let entries = self.directory.segments().flat_map(|(_, segment)| unsafe { segment.entries() });
        entries.chain(self.spill.iter().map(|spilled| spilled.entry()))
    }

    /// Heap bytes of directory and segments, those retired but not yet taken included; entries are not.
    pub fn heap_bytes(&self) -> usize {
        let segments =
            self.directory.segments().map(|(_, segment)| size_of_val(segment.buckets)).sum::<usize>();
        let retired = self.retired.iter().map(|retired| retired.0.bytes()).sum::<usize>();
        let lists =
            size_of_val(&self.counts[..]) + size_of_val(&self.depths[..]) + size_of_val(&self.spill[..]);
        self.directory.bytes() + segments + retired + lists
    }

    /// The table's figures. Looks at every bucket.
    pub fn stats(&self) -> TableStats {
        let mut stats = TableStats {
            entries: self.len,
            directory: self.directory.len(),
            spilled: self.spill.len(),
            ..TableStats::default()
        };
        for (_, segment) in self.directory.segments() {
            stats.segments += 1;
            stats.buckets += segment.buckets.len();
            stats.slots += segment.slots();
            stats.displaced += segment.buckets.iter().map(|bucket| bucket.word().displaced()).sum::<usize>();
        }
        stats
    }

    /// Panics if the table contradicts itself. For tests.
    #[doc(hidden)]
    pub fn check_invariants(&self) {
        use super::bucket::REACH;
        use crate::keyspace::hash;
        let mut total = self.spill.len();
        let mut depths = vec![0; self.depths.len()];
        let mut elsewhere = std::collections::HashMap::new();
        for spilled in &self.spill {
            assert_eq!(spilled.hash, self.hasher.hash(spilled.entry().key()));
            let segment = self.directory.find(spilled.hash);
            let home = std::ptr::from_ref(&segment.buckets[segment.home(spilled.hash)]);
            elsewhere.entry(home).or_insert_with(Vec::new).push(SPILLED);
        }
        for (at, segment) in self.directory.segments() {
            depths[segment.depth as usize] += 1;
            let width = self.directory.width(segment.depth);
            assert_eq!(at % width, 0);
            for same in at..at + width {
                assert!(std::ptr::eq(self.directory.segment(same).buckets, segment.buckets));
                assert!(same == at || self.counts[same] == 0);
            }
            let mut count = 0;
            for (bucket, slot) in segment.occupied() {
                // SAFETY: the slot is occupied and the table borrowed.
                let hash = self.hasher.hash(unsafe { bucket.entry(slot) }.key());
                assert_eq!(self.directory.place(hash), at);
                assert_eq!(bucket.word().matching(hash::tag(hash)).filter(|&s| s == slot).count(), 1);
                let home = segment.home(hash);
                let lies = segment.buckets.iter().position(|b| std::ptr::eq(b, bucket));
                let lies = lies.expect("a bucket lies in its segment");
                let distance = (lies + segment.buckets.len() - home) % segment.buckets.len();
                assert!(distance <= REACH);
                if distance > 0 {
                    elsewhere.entry(&raw const segment.buckets[home]).or_default().push(distance);
                }
                count += 1;
            }
            assert_eq!(count, self.counts[at] as usize);
            total += count;
        }
        for bucket in self.directory.segments().flat_map(|(_, segment)| segment.buckets) {
            let distances = elsewhere.remove(&std::ptr::from_ref(bucket)).unwrap_or_default();
            let word = bucket.word();
            assert!(word.displaced() == distances.len() || word.displaced() == 15);
            assert!(word.reach() >= distances.iter().copied().max().unwrap_or(0));
            assert!(!distances.is_empty() || word.displaced() == 15 || word.reach() == 0);
        }
        assert_eq!(total, self.len);
        assert_eq!(depths, self.depths);
        assert_eq!(self.counts.len(), self.directory.len());
    }
}

const POSITION_MASK: u64 = (1 << POSITION_BITS) - 1;

/// The first position behind those whose home is bucket `home` of the segment that holds `cursor`.
fn end_of(cursor: u64, segment: Segment<'_>, home: usize) -> u64 {
    // `home` takes 32 bits of position behind the segment's own, so the next bucket begins at the first such
    // fraction that scales to it, and that fraction at the first position that yields it.
    let fraction = ((home as u64 + 1) << 32).div_ceil(segment.buckets.len() as u64);
    let width = POSITION_BITS - segment.depth;
    let first = cursor >> width << width;
    let end = if width >= 32 { fraction << (width - 32) } else { fraction.div_ceil(1 << (32 - width)) };
    first + end
}

/// Scales a uniform word to a number below `limit`.
fn below(word: u64, limit: usize) -> usize {
    ((word as u128 * limit as u128) >> 64) as usize
}
