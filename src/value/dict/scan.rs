//! Walks over a dictionary: all entries, the steps of SSCAN and HSCAN, random entries.
//!
//! For: reading. May touch: nothing but the dictionary.
//! Always: a cursor is a position. A step visits exactly the entries with positions from its cursor up to the
//! one it returns, so an entry that is there throughout an iteration is visited once, whatever was split or
//! joined in between.

use std::sync::Arc;

use super::segment::{Segment, Taken};
use super::{Dict, POSITION};
use crate::value::steps;

/// Bits of a cursor.
const CURSOR_BITS: u32 = POSITION.count_ones();
/// Groups a step looks at for each entry it is asked for.
const GROUPS_PER_ENTRY: usize = 10;
/// Draws before `random` counts entries off instead.
const RANDOM_TRIES: usize = 64;

impl<const VALUED: bool> Dict<VALUED> {
    /// All entries with their values, in no particular order.
    pub fn iter(&self) -> Iter<'_, VALUED> {
        Iter { segments: self.directory.iter(), current: None }
    }

    /// Visits about `count` entries from `cursor` on and returns the next cursor, of 48 bits. 0 begins, and 0
    /// is returned when the end is reached. Any number is a valid cursor.
    pub fn scan<'a>(&'a self, cursor: u64, count: usize, visit: &mut dyn FnMut(&'a [u8], &'a [u8])) -> u64 {
        let mut cursor = cursor << (u64::BITS - CURSOR_BITS) >> (u64::BITS - CURSOR_BITS);
        let mut visited = 0;
        for _ in 0..count.saturating_mul(GROUPS_PER_ENTRY).max(1) {
            let hash = cursor << (u64::BITS - CURSOR_BITS);
            let segment = self.segment(self.word(hash));
            let end = segment.end_of_home(hash).div_ceil(1 << (u64::BITS - CURSOR_BITS)) as u64;
            for slot in segment.reach(hash) {
                let (key, value) = segment.entry(slot);
                let position = self.hasher.hash(key) >> (u64::BITS - CURSOR_BITS);
                if (cursor..end).contains(&position) {
                    visit(key, value);
                    visited += 1;
                }
            }
            if end >> CURSOR_BITS != 0 {
                return 0;
            }
            cursor = end;
            if visited >= count {
                break;
            }
        }
        cursor
    }

    /// An entry, each as likely as any other, given numbers uniform below the argument. `None` if there is
    /// none.
    pub fn random(&self, draw: &mut dyn FnMut(u64) -> u64) -> Option<(&[u8], &[u8])> {
        self.random_slot(draw).map(|(word, slot)| self.segment(word).entry(slot))
    }

    /// Removes a random entry, visiting it before. False if there is none.
    pub fn pop(&mut self, draw: &mut dyn FnMut(u64) -> u64, visit: &mut dyn FnMut(&[u8], &[u8])) -> bool {
        let Some((word, slot)) = self.random_slot(draw) else { return false };
        let (key, value) = self.segment(word).entry(slot);
        visit(key, value);
        self.remove_slot(word, slot);
        self.settle(word);
        true
    }

    fn random_slot(&self, draw: &mut dyn FnMut(u64) -> u64) -> Option<(usize, usize)> {
        if self.len == 0 {
            return None;
        }
        // Each slot of each word is as likely as any other; those that do not exist, are free, or belong to a
        // word that repeats a segment are drawn again.
        for _ in 0..RANDOM_TRIES {
            steps::take(1);
            let drawn = draw((self.directory.len() * self.slots) as u64) as usize;
            let (word, slot) = (drawn / self.slots, drawn % self.slots);
            if let Some(segment) = &self.directory[word]
                && slot < segment.slots()
                && segment.is_taken(slot)
            {
                return Some((word, slot));
            }
        }
        let mut nth = draw(self.len as u64) as usize;
        for (word, segment) in self.directory.iter().enumerate() {
            steps::take(1);
            let Some(segment) = segment else { continue };
            if nth < segment.len() {
                return segment.taken().nth(nth).map(|slot| (word, slot));
            }
            nth -= segment.len();
        }
        None
    }
}

/// The entries of a dictionary with their values; members have an empty one.
#[derive(Clone)]
pub struct Iter<'a, const VALUED: bool> {
    segments: std::slice::Iter<'a, Option<Arc<Segment<VALUED>>>>,
    current: Option<(&'a Segment<VALUED>, Taken<'a>)>,
}

impl<'a, const VALUED: bool> Iterator for Iter<'a, VALUED> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((segment, taken)) = &mut self.current
                && let Some(slot) = taken.next()
            {
                return Some(segment.entry(slot));
            }
            let segment = self.segments.find_map(Option::as_deref)?;
            self.current = Some((segment, segment.taken()));
        }
    }
}
