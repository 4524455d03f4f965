//! The large form of sets and hashes: members, or fields with values, found by their hash.
//!
//! For: collections too large for a compact run. May touch: nothing of keys, clients or time.
//! Always: a word of the directory holds a segment exactly if it is the first of those whose leading bits the
//! segment covers; an entry lies in the segment that its hash's leading bits choose.
//!
//! The table grows by extendible hashing: the directory has a word for every value of the hash's leading
//! bits, and a segment of depth `d` answers for all words that agree in the first `d`. A full segment is
//! split and no other is touched; two small ones that differ in their last bit are joined. So no change pays
//! for a whole rehash, and a copy of the dictionary shares every segment until one of the two changes it.
//!
//! ```text
//!  63                                  16 15    8 7     0
//! +--------------------------------------+-------+-------+
//! |   position: directory, then group    |       |  tag  |
//! +--------------------------------------+-------+-------+
//! ```
//!
//! Hashes that agree in too many bits to be separated, or would need a directory out of proportion, stay in
//! one segment, which then is larger than others.

mod deadlines;
mod scan;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::hash::Hasher as _;
use std::sync::Arc;

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

use super::steps;
use segment::{ARENA_BYTES, NEVER, SEGMENT_ENTRIES, Segment};

pub use scan::Iter;

/// A dictionary of members alone: sets, and the member index of sorted sets.
pub type Members = Dict<false>;
/// A dictionary of fields and values: hashes.
pub type Fields = Dict<true>;

/// The bits of a hash that place an entry.
const POSITION: u64 = !0xffff;
/// The most leading bits a segment goes by.
const MAX_DEPTH: u32 = 32;
/// Words of the directory that are always allowed; beyond, at most four per segment.
const FREE_WORDS: usize = 64;
const WORDS_PER_SEGMENT: usize = 4;
/// Words of a directory that is halved which one removal brings into their new place, or gives back.
const WORDS_PER_REMOVAL: usize = 16;
/// The directory is not being halved.
const WHOLE: usize = usize::MAX;
/// Segments looked at for an estimate of the memory in use.
const SAMPLED_SEGMENTS: usize = 16;

/// Hashes texts with a secret seed.
#[derive(Clone)]
struct Hasher {
    start: u64,
    shared: SharedSeed,
    /// Bits a test leaves in the hash, to make collisions.
    #[cfg(test)]
    keep: u64,
}

impl Hasher {
    fn new(seed: u64) -> Hasher {
        Hasher {
            start: seed.rotate_left(23) ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            shared: SharedSeed::from_u64(seed),
            #[cfg(test)]
            keep: u64::MAX,
        }
    }

    #[inline]
    fn hash(&self, text: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.start, &self.shared);
        hasher.write(text);
        let hash = hasher.finish();
        #[cfg(test)]
        let hash = hash & self.keep;
        hash
    }
}

/// The first hash whose leading `depth` bits are those of `hash`.
fn start(hash: u64, depth: u32) -> u64 {
    hash & !u64::MAX.unbounded_shr(depth)
}

/// A hash table of byte strings; see [`Members`] and [`Fields`]. Cloning costs a reference per segment.
#[derive(Clone)]
pub struct Dict<const VALUED: bool> {
    hasher: Hasher,
    /// The segments, each at the first of its words. Words beyond those that hashes lead to hold none.
    directory: Vec<Option<Arc<Segment<VALUED>>>>,
    /// Leading bits of a hash by which the directory goes, or is going to once it is halved.
    bits: u32,
    /// While the directory is halved: so many words of its new order are in place. Those that a hash leads to
    /// behind them are still found by one bit more. `WHOLE` otherwise.
    moved: usize,
    /// Slots of the segment that has the most, or more, among those moved and those made meanwhile.
    moved_slots: usize,
    /// Words that were written, for tests.
    #[cfg(test)]
    written: usize,
    /// The depth of the segment that answers for a word.
    depths: Vec<u8>,
    len: usize,
    segments: usize,
    /// Segments of each depth.
    by_depth: [u32; MAX_DEPTH as usize + 1],
    /// Slots of the segment that has the most, or more.
    slots: usize,
    /// Entries with a deadline.
    timed: usize,
    /// Of each segment with deadlines: the earliest, and the segment's first hash.
    due: BTreeSet<(u64, u64)>,
}

impl<const VALUED: bool> Dict<VALUED> {
    /// An empty dictionary. With a `seed` that clients cannot know they cannot choose keys that collide.
    pub fn new(seed: u64) -> Self {
        let first = Segment::new(0, 1, 0);
        let mut by_depth = [0; MAX_DEPTH as usize + 1];
        by_depth[0] = 1;
        Dict {
            hasher: Hasher::new(seed),
            slots: first.slots(),
            directory: vec![Some(Arc::new(first))],
            bits: 0,
            moved: WHOLE,
            moved_slots: 0,
            #[cfg(test)]
            written: 0,
            depths: vec![0],
            len: 0,
            segments: 1,
            by_depth,
            timed: 0,
            due: BTreeSet::new(),
        }
    }

    /// A dictionary whose hashes are zero outside the bits `keep`.
    #[cfg(test)]
    fn with_mask(seed: u64, keep: u64) -> Self {
        let mut dict = Dict::new(seed);
        dict.hasher.keep = keep;
        dict
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `key` is there.
    #[inline]
    pub fn contains(&self, key: &[u8]) -> bool {
        let hash = self.hasher.hash(key);
        self.segment(self.word(hash)).find(hash, key).is_some()
    }

    /// The value of `key`: empty in a dictionary of members.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let hash = self.hasher.hash(key);
        let segment = self.segment(self.word(hash));
        segment.find(hash, key).map(|slot| segment.entry(slot).1)
    }

    /// Adds `key` with `value`, or replaces its value; tells whether the key was there. A deadline that it
    /// had stays. Members have no values: theirs is ignored.
    pub fn insert(&mut self, key: &[u8], value: &[u8]) -> bool {
        let hash = self.hasher.hash(key);
        let bytes = segment::entry_bytes::<VALUED>(key, value);
        let mut word = self.word(hash);
        match self.segment(word).find(hash, key) {
            None => {
                self.len += 1;
                let segment = self.segment_mut(word);
                if segment.has_room(bytes) {
                    segment.add(hash, key, value);
                } else {
                    self.add_with_room(hash, bytes, key, value);
                }
                return false;
            }
            Some(slot) if VALUED && self.segment(word).fits(slot, value) => {
                self.segment_mut(word).replace(slot, value);
            }
            Some(_) if VALUED => {
                word = self.reserve(hash, bytes);
                let segment = self.segment_mut(word);
                let slot = segment.find(hash, key).expect("making room keeps all entries");
                segment.replace(slot, value);
            }
            Some(_) => {}
        }
        true
    }

    #[cold]
    fn add_with_room(&mut self, hash: u64, bytes: usize, key: &[u8], value: &[u8]) {
        let word = self.reserve(hash, bytes);
        self.segment_mut(word).add(hash, key, value);
    }

    /// Removes `key`; tells whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let hash = self.hasher.hash(key);
        let word = self.word(hash);
        let Some(slot) = self.segment(word).find(hash, key) else { return false };
        self.remove_slot(word, slot);
        self.settle(word);
        true
    }

    /// Places for entries in all segments.
    pub fn capacity(&self) -> usize {
        let words = self.directory.iter().flatten();
        words.map(|segment| segment.slots()).sum()
    }

    /// Heap bytes of the directory and all segments, those shared with a copy included: exact for few
    /// segments, an estimate from some of them for many.
    pub fn heap_bytes(&self) -> usize {
        let sample = self.directory.iter().flatten().take(SAMPLED_SEGMENTS);
        let (count, bytes) = sample.fold((0, 0), |(n, bytes), segment| (n + 1, bytes + segment.heap_bytes()));
        let segments = bytes * self.segments / count;
        segments + self.directory.capacity() * 8 + self.depths.capacity() + self.due.len() * 24
    }

    /// The first word of the segment for `hash`.
    #[inline]
    fn word(&self, hash: u64) -> usize {
        let (mut word, mut bits) = (hash.unbounded_shr(u64::BITS - self.bits) as usize, self.bits);
        if word >= self.moved {
            bits += 1;
            word = hash.unbounded_shr(u64::BITS - bits) as usize;
        }
        word & !((1 << (bits - u32::from(self.depths[word]))) - 1)
    }

    /// Leading bits by which the directory goes where `word` lies.
    #[inline]
    fn bits_at(&self, word: usize) -> u32 {
        self.bits + u32::from(self.moved != WHOLE && word >= self.moved)
    }

    /// Words that a segment of `depth` at `word` answers for.
    #[inline]
    fn width(&self, word: usize, depth: u32) -> usize {
        1 << (self.bits_at(word) - depth)
    }

    #[inline]
    fn segment(&self, word: usize) -> &Segment<VALUED> {
        self.directory[word].as_ref().expect("a segment lies at its first word")
    }

    #[inline]
    fn segment_mut(&mut self, word: usize) -> &mut Segment<VALUED> {
        Arc::make_mut(self.directory[word].as_mut().expect("a segment lies at its first word"))
    }

    /// Makes room for one more entry of `bytes`; returns the first word of its segment.
    fn reserve(&mut self, hash: u64, bytes: usize) -> usize {
        let mut word = self.word(hash);
        while self.segment(word).is_full(bytes) && self.split(word) {
            word = self.word(hash);
        }
        let Dict { directory, hasher, .. } = self;
        let segment = Arc::make_mut(directory[word].as_mut().expect("a segment lies at its first word"));
        segment.reserve(bytes, hasher);
        self.note_slots(self.segment(word).slots());
        word
    }

    /// Splits the segment at `word`, unless the directory would grow too large for that.
    fn split(&mut self, mut word: usize) -> bool {
        let depth = self.segment(word).depth();
        if depth == self.bits {
            let words = 2 << self.bits;
            if depth == MAX_DEPTH || words > FREE_WORDS.max((self.segments + 1) * WORDS_PER_SEGMENT) {
                return false;
            }
            let first = self.first_hash(word);
            while self.is_shrinking() {
                self.shrink_directory(usize::MAX);
            }
            if depth == self.bits {
                self.double();
            }
            word = self.word(first);
        }
        let segment = self.take(word);
        let halves = segment.split(&self.hasher);
        let width = self.width(word, depth + 1);
        for (half, word) in halves.into_iter().zip([word, word + width]) {
            self.put(word, half);
        }
        true
    }

    /// Takes the segment at `word` out of the directory.
    fn take(&mut self, word: usize) -> Arc<Segment<VALUED>> {
        let segment = self.directory[word].take().expect("a segment lies at its first word");
        self.segments -= 1;
        self.by_depth[segment.depth() as usize] -= 1;
        self.refile(word, segment.earliest(), NEVER);
        segment
    }

    /// Makes `segment` answer for the words from `word` on.
    fn put(&mut self, word: usize, segment: Segment<VALUED>) {
        let width = self.width(word, segment.depth());
        self.depths[word..word + width].fill(segment.depth() as u8);
        steps::take(width);
        #[cfg(test)]
        {
            self.written += width;
        }
        self.segments += 1;
        self.by_depth[segment.depth() as usize] += 1;
        self.note_slots(segment.slots());
        self.refile(word, NEVER, segment.earliest());
        self.directory[word] = Some(Arc::new(segment));
    }

    fn note_slots(&mut self, slots: usize) {
        self.slots = self.slots.max(slots);
        self.moved_slots = self.moved_slots.max(slots);
    }

    /// Gives every word a second one; the directory is not being made smaller.
    fn double(&mut self) {
        debug_assert!(!self.is_shrinking());
        self.bits += 1;
        steps::take(self.directory.len());
        let mut directory = Vec::with_capacity(self.directory.len() * 2);
        for segment in self.directory.drain(..) {
            directory.extend([segment, None]);
        }
        self.directory = directory;
        self.depths = self.depths.iter().flat_map(|&depth| [depth; 2]).collect();
    }

    /// Removes one entry; `settle` has to follow.
    fn remove_slot(&mut self, word: usize, slot: usize) {
        let segment = self.segment_mut(word);
        let (before, timed) = (segment.earliest(), segment.deadline(slot) != NEVER);
        segment.remove(slot);
        let after = segment.earliest();
        self.len -= 1;
        self.timed -= usize::from(timed);
        self.refile(word, before, after);
    }

    /// Gives memory back after removals from the segment at `word`.
    fn settle(&mut self, word: usize) {
        let first = self.first_hash(word);
        if self.is_shrinking() {
            self.shrink_directory(WORDS_PER_REMOVAL);
        }
        let mut word = self.word(first);
        if !self.segment(word).is_sparse() {
            return;
        }
        let mut joined = false;
        while let Some((left, right)) = self.pair(word) {
            let segment = self.take(left).join(&self.take(right), &self.hasher);
            word = left;
            self.put(left, segment);
            joined = true;
        }
        if joined {
            self.halve();
        } else {
            let Dict { directory, hasher, .. } = self;
            if let Some(segment) = &mut directory[word] {
                Arc::make_mut(segment).shrink(hasher);
            }
        }
    }

    /// The words of two segments that should be joined, of which the one at `word` is one.
    fn pair(&mut self, word: usize) -> Option<(usize, usize)> {
        let depth = self.segment(word).depth();
        if depth == 0 {
            return None;
        }
        let first = self.first_hash(word);
        let mut hashes = [first, first ^ 1 << (u64::BITS - depth)];
        let other = self.segment(self.word(hashes[1]));
        let segment = self.segment(word);
        let is_small = other.depth() == depth
            && (segment.len() + other.len()) * 2 <= SEGMENT_ENTRIES
            && (segment.live_bytes() + other.live_bytes()) * 2 <= ARENA_BYTES;
        if !is_small {
            return None;
        }
        hashes.sort_unstable();
        // Only one of them has been moved: then the other is the next to be.
        if self.bits_at(self.word(hashes[0])) != self.bits_at(self.word(hashes[1])) {
            self.move_segment();
        }
        Some((self.word(hashes[0]), self.word(hashes[1])))
    }

    /// Begins to halve the directory when it is four times as large as its segments need.
    fn halve(&mut self) {
        let deepest = self.by_depth.iter().rposition(|&segments| segments > 0).unwrap_or(0);
        let wanted = if deepest == 0 { 0 } else { deepest as u32 + 1 };
        if self.moved == WHOLE && self.bits > wanted {
            self.bits -= 1;
            (self.moved, self.moved_slots) = (0, 0);
        }
    }

    /// Whether the directory is being halved, or has words to give back.
    #[inline]
    fn is_shrinking(&self) -> bool {
        self.moved != WHOLE || self.directory.len() > 1 << self.bits
    }

    /// Goes on making the directory smaller, by about so many words.
    fn shrink_directory(&mut self, mut words: usize) {
        let wanted = 1 << self.bits;
        while self.moved < wanted {
            if words == 0 {
                return;
            }
            words = words.saturating_sub(self.move_segment());
        }
        if self.moved != WHOLE {
            (self.moved, self.slots) = (WHOLE, self.moved_slots);
            self.halve();
            return;
        }
        let len = self.directory.len() - words.min(self.directory.len() - wanted);
        #[cfg(test)]
        {
            self.written += self.directory.len() - len;
        }
        self.directory.truncate(len);
        self.depths.truncate(len);
        if len == wanted {
            self.directory.shrink_to_fit();
            self.depths.shrink_to_fit();
        }
    }

    /// Brings the next segment into its place in the halved directory; answers how many words it takes there.
    fn move_segment(&mut self) -> usize {
        let from = self.moved * 2;
        let segment = self.directory[from].take().expect("what was moved ends where a segment begins");
        let width = 1 << (self.bits - segment.depth());
        self.depths[self.moved..self.moved + width].fill(segment.depth() as u8);
        self.moved_slots = self.moved_slots.max(segment.slots());
        self.directory[self.moved] = Some(segment);
        self.moved += width;
        #[cfg(test)]
        {
            self.written += width;
        }
        width
    }

    /// Panics if the dictionary contradicts itself.
    #[cfg(test)]
    fn check_invariants(&self) {
        let (mut hash, mut len, mut segments, mut timed) = (0u64, 0, 0, 0);
        let (mut due, mut by_depth) = (BTreeSet::new(), [0; MAX_DEPTH as usize + 1]);
        loop {
            let word = self.word(hash);
            let segment = self.segment(word);
            segment.check_invariants(&self.hasher);
            assert_eq!(self.first_hash(word), hash);
            let width = self.width(word, segment.depth());
            assert!(self.depths[word..word + width].iter().all(|&d| u32::from(d) == segment.depth()));
            assert!(self.directory[word + 1..word + width].iter().all(Option::is_none));
            assert!(segment.slots() <= self.slots && segment.depth() <= self.bits);
            for slot in segment.taken() {
                assert_eq!(self.word(self.hasher.hash(segment.key(slot))), word);
            }
            if segment.earliest() != NEVER {
                due.insert((segment.earliest(), hash));
            }
            by_depth[segment.depth() as usize] += 1;
            (len, segments, timed) = (len + segment.len(), segments + 1, timed + segment.timed());
            match 1u64.checked_shl(u64::BITS - segment.depth()).and_then(|range| hash.checked_add(range)) {
                Some(next) => hash = next,
                None => break,
            }
        }
        assert_eq!((len, segments, timed), (self.len, self.segments, self.timed));
        assert_eq!((due, by_depth), (self.due.clone(), self.by_depth));
        assert_eq!(self.directory.iter().flatten().count(), segments);
        assert_eq!(self.directory.len(), self.depths.len());
        let words = 1 << self.bits_at(usize::MAX - 1);
        assert!(self.directory.len() >= words && (self.moved == WHOLE || self.moved <= words / 2));
    }
}
