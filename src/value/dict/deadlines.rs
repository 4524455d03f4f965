//! Deadlines of entries.
//!
//! For: hashes whose fields expire. May touch: nothing; what is due is told by the caller.
//! Always: `due` has every segment with deadlines under its earliest; dictionaries without deadlines pay
//! nothing.

use super::Dict;
use super::segment::NEVER;

impl<const VALUED: bool> Dict<VALUED> {
    /// Entries that have a deadline.
    pub fn timed(&self) -> usize {
        self.timed
    }

    /// The earliest deadline of all, in milliseconds.
    pub fn earliest_deadline(&self) -> Option<u64> {
        self.due.first().map(|&(earliest, _)| earliest)
    }

    /// The deadline of `key` in milliseconds: outer `None` if the key is not there, inner if it has none.
    pub fn deadline(&self, key: &[u8]) -> Option<Option<u64>> {
        let hash = self.hasher.hash(key);
        let segment = self.segment(self.word(hash));
        let deadline_ms = segment.deadline(segment.find(hash, key)?);
        Some((deadline_ms != NEVER).then_some(deadline_ms))
    }

    /// Sets or clears the deadline of `key`; tells whether the key is there. A deadline of `u64::MAX` is
    /// none.
    pub fn set_deadline(&mut self, key: &[u8], deadline_ms: Option<u64>) -> bool {
        let hash = self.hasher.hash(key);
        let word = self.word(hash);
        let deadline_ms = deadline_ms.unwrap_or(NEVER);
        let Some(slot) = self.segment(word).find(hash, key) else { return false };
        if self.segment(word).deadline(slot) == deadline_ms {
            return true;
        }
        let segment = self.segment_mut(word);
        let (before, was_timed) = (segment.earliest(), segment.deadline(slot) != NEVER);
        segment.set_deadline(slot, deadline_ms);
        let after = segment.earliest();
        self.timed = self.timed - usize::from(was_timed) + usize::from(deadline_ms != NEVER);
        self.refile(word, before, after);
        true
    }

    /// Removes up to `limit` entries whose deadline is not after `now_ms` and returns how many. Each is
    /// visited before it goes; the earliest are first within a segment, not over all.
    pub fn expire_due(&mut self, now_ms: u64, limit: usize, visit: &mut dyn FnMut(&[u8], &[u8])) -> usize {
        let mut removed = 0;
        while let Some(&(earliest, first)) = self.due.first() {
            if earliest > now_ms || earliest == NEVER || removed == limit {
                break;
            }
            let word = self.word(first);
            for slot in self.segment(word).due(now_ms.min(NEVER - 1)).into_iter().take(limit - removed) {
                let (key, value) = self.segment(word).entry(slot);
                visit(key, value);
                self.remove_slot(word, slot);
                removed += 1;
            }
            self.settle(word);
        }
        removed
    }

    /// The first hash that the segment at `word` answers for.
    pub(super) fn first_hash(&self, word: usize) -> u64 {
        (word as u64).unbounded_shl(u64::BITS - self.bits_at(word))
    }

    /// Notes that the earliest deadline of the segment at `word` has changed.
    #[inline]
    pub(super) fn refile(&mut self, word: usize, before: u64, after: u64) {
        if before != after {
            let first = self.first_hash(word);
            self.due.remove(&(before, first));
            if after != NEVER {
                self.due.insert((after, first));
            }
        }
    }
}
