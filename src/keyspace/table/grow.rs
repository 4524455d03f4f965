//! Growing, splitting, shrinking and joining segments.
//!
//! For: insertion and removal. May touch: the directory, counts, spill and retired memory.
//! Always: one call rebuilds one segment, or joins two that together fill half of one.

use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;

use super::Table;
use super::bucket::{MAX_BUCKETS, Memory, SLOTS, buckets_for};
use super::directory::prefetch;
use crate::keyspace::entry::Entry;
use crate::keyspace::hash;

/// A segment below this share of its slots is rebuilt smaller.
const SHRINK_PERCENT: usize = 35;

/// Two neighbours with at most this many entries together become one.
const JOIN_ENTRIES: usize = MAX_BUCKETS * SLOTS / 2;

/// The directory has at most this many words per segment, so that keys of nearly equal hash cannot blow it
/// up.
const DIRECTORY_SLACK: usize = 16;

/// How many entries ahead their blocks are asked for while a segment is read.
const AHEAD: usize = 12;

/// An entry on its way from one segment to another.
struct Moving {
    hash: u64,
    block: NonNull<u8>,
}

impl Table {
    /// Makes the segment of `hash` larger or splits it. False if that would not help or must not be: what
    /// finds no room in a segment far from full shares too many leading bits with its neighbours.
    #[cold]
    pub(super) fn grow(&mut self, hash: u64) -> bool {
        let at = self.directory.place(hash);
        let segment = self.directory.segment(at);
        let (count, buckets, depth) = (self.counts[at] as usize, segment.buckets.len(), segment.depth);
        if count < segment.slots() * 3 / 4 {
            return false;
        }
        if buckets < MAX_BUCKETS {
            self.rebuild(at, buckets_for(count + 1));
            return true;
        }
        if depth == self.directory.depth() {
            if self.directory.len() * 2 > self.segments() * DIRECTORY_SLACK
                || depth >= hash::POSITION_BITS - 16
            {
                return false;
            }
            self.double();
        }
        self.split(self.directory.place(hash));
        true
    }

    /// Looks, after a removal, whether the segment of `hash` has become too empty.
    pub(super) fn shrink(&mut self, hash: u64) {
        let at = self.directory.place(hash);
        let segment = self.directory.segment(at);
        let count = self.counts[at] as usize;
        if segment.depth > 0 {
            let other = at ^ self.directory.width(segment.depth);
            let both = count + self.counts[other] as usize;
            if both <= JOIN_ENTRIES && self.directory.segment(other).depth == segment.depth {
                self.join(at.min(other), both);
                return;
            }
        }
        let buckets = buckets_for(count);
        if count * 100 < segment.slots() * SHRINK_PERCENT && buckets < segment.buckets.len() {
            self.rebuild(at, buckets);
        }
    }

    /// Number of segments.
    pub(super) fn segments(&self) -> usize {
        self.depths.iter().sum::<u32>() as usize
    }

    fn rebuild(&mut self, at: usize, buckets: usize) {
        let depth = self.directory.segment(at).depth;
        let moving = self.gather(at);
        let old = self.directory.detach(at);
        self.retired.push(old);
        self.directory.attach(at, Memory::buckets(buckets), buckets, depth);
        self.settle(moving);
    }

    fn split(&mut self, at: usize) {
        let depth = self.directory.segment(at).depth + 1;
        let moving = self.gather(at);
        let half = self.directory.width(depth);
        let upper = moving.iter().filter(|moving| self.is_upper(moving.hash, depth)).count();
        let old = self.directory.detach(at);
        self.retired.push(old);
        for (at, entries) in [(at, moving.len() - upper), (at + half, upper)] {
            let buckets = buckets_for(entries);
            self.directory.attach(at, Memory::buckets(buckets), buckets, depth);
        }
        self.note_depth(depth, 2);
        self.depths[depth as usize - 1] -= 1;
        self.settle(moving);
    }

    fn is_upper(&self, hash: u64, depth: u32) -> bool {
        hash::position(hash) << (depth - 1) >> 63 == 1
    }

    /// Joins the segment at `at` with the one behind it, its equal in depth.
    fn join(&mut self, at: usize, entries: usize) {
        let depth = self.directory.segment(at).depth;
        let behind = at + self.directory.width(depth);
        let mut moving = self.gather(at);
        moving.extend(self.gather(behind));
        for at in [at, behind] {
            let old = self.directory.detach(at);
            self.retired.push(old);
        }
        let buckets = buckets_for(entries);
        self.directory.attach(at, Memory::buckets(buckets), buckets, depth - 1);
        self.depths[depth as usize] -= 2;
        self.note_depth(depth - 1, 1);
        self.settle(moving);
        // One level is left in hand, so that a table at the edge does not double and halve by turns.
        let deepest = self.depths.iter().rposition(|&n| n > 0).expect("there is a segment") as u32;
        if deepest + 2 <= self.directory.depth() {
            self.retired.push(self.directory.halve());
            self.counts = self.counts.iter().copied().step_by(2).collect();
        }
    }

    fn double(&mut self) {
        self.retired.push(self.directory.double());
        self.counts = self.counts.iter().flat_map(|&count| [count, 0]).collect();
    }

    fn note_depth(&mut self, depth: u32, segments: u32) {
        if self.depths.len() <= depth as usize {
            self.depths.resize(depth as usize + 1, 0);
        }
        self.depths[depth as usize] += segments;
    }

    /// The entries that belong in the segment at `at`, spilled ones too. They stay where they are but count
    /// no more; the caller must replace the segment and `settle` them.
    fn gather(&mut self, at: usize) -> Vec<Moving> {
        let segment = self.directory.segment(at);
        let depth = segment.depth;
        let blocks = segment.occupied().map(|(bucket, slot)| bucket.slot(slot).load(Relaxed));
        let mut ahead = blocks.clone();
        ahead.by_ref().take(AHEAD).for_each(|block| prefetch(block));
        let mut moving = Vec::with_capacity(self.counts[at] as usize);
        for block in blocks {
            if let Some(next) = ahead.next() {
                prefetch(next);
            }
            let block = NonNull::new(block).expect("an occupied slot holds a block");
            // SAFETY: the slot owns this entry, which is only read through this second handle and not dropped
            // by it.
            let entry = ManuallyDrop::new(unsafe { Entry::from_raw(block) });
            let hash = self.hasher.hash(entry.key());
            moving.push(Moving { hash, block });
        }
        self.counts[at] = 0;
        let first = at >> (self.directory.depth() - depth);
        let belongs = |hash: u64| (hash::position(hash) >> 1 >> (63 - depth)) as usize == first;
        for spilled in self.spill.extract_if(.., |spilled| belongs(spilled.hash)) {
            let block = NonNull::new(spilled.slot.into_inner()).expect("a spilled slot owns an entry");
            moving.push(Moving { hash: spilled.hash, block });
        }
        moving
    }

    /// Puts gathered entries into the segments that are now theirs.
    fn settle(&mut self, moving: Vec<Moving>) {
        for Moving { hash, block } in moving {
            if self.place(hash, block).is_none() {
                self.spill(hash, block);
            }
        }
    }
}
