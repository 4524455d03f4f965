//! The keys of one database in one shard.
//!
//! For: the read and write guards of the keyspace, SCAN, expiry, eviction and snapshots.
//! May touch: entries and the hash's bit map; never locks, time or clients.
//! Always: a key is in the table at most once; no operation rebuilds more than one segment (or joins two
//! small ones); memory that prefetch hints may be reading is retired, not freed.
//!
//! # Layout
//!
//! A bucket is a cache line of seven slots with one tag byte each. Up to 63 buckets make a segment, and a
//! directory indexed by the leading bits of a key's position (see `hash`) finds the segment. Inside it the
//! following bits, scaled to the number of buckets, choose the *home* bucket, so buckets taken in order hold
//! positions in order: that is what a scan cursor relies on, whatever is split or joined between two steps.
//!
//! An entry that finds its home full goes to the next bucket with room, up to 14 on. The home's meta byte
//! notes how far its entries went and how many left, so a miss usually costs one cache line. A segment nine
//! tenths full becomes larger in steps of 4/3 to 3/2 and at 63 buckets is split in two; what was moved was
//! read anyway, and a table between two doublings is seldom emptier than 60 %. Segments shrink at 35 % and
//! join with their neighbour when both together would fill half of one.
//!
//! Keys of one hash cannot be told apart by any split. When the 15 buckets they may use are full they go to
//! the table's *spill*, a plain list, marked in their home bucket. With seeded hashes it stays empty.

mod bucket;
mod directory;
mod grow;
mod scan;
mod slot;

use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use bucket::{Memory, SPILLED, entry_in};
use directory::{Directory, prefetch, prefetch_matching};

pub use directory::{Hint, Retired, Sight, Spot};
pub use scan::TableStats;
pub use slot::{EntryMut, Slot};

use super::entry::Entry;
use super::hash::{self, KeyHasher};

/// Entries by key. Every function that takes a hash wants the one its hasher gives for the key.
pub struct Table {
    hasher: KeyHasher,
    directory: Directory,
    /// Entries in the buckets of the segment whose place this is; 0 at indices that are no place.
    counts: Vec<u16>,
    /// Number of segments of each depth.
    depths: Vec<u32>,
    /// All entries, the spilled included.
    len: usize,
    spill: Vec<Spilled>,
    /// Grows by at most three pieces per operation until `take_retired` is called.
    retired: Vec<Retired>,
}

/// An entry that found no room near its home. The slot always owns an entry.
struct Spilled {
    hash: u64,
    slot: AtomicPtr<u8>,
}

impl Table {
    /// An empty table: one bucket.
    pub fn new(hasher: KeyHasher) -> Table {
        Table {
            hasher,
            directory: Directory::new(Memory::buckets(1), 1),
            counts: vec![0],
            depths: vec![1],
            len: 0,
            spill: Vec::new(),
            retired: Vec::new(),
        }
    }

    /// Number of entries.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The hasher whose hashes this table takes.
    pub fn hasher(&self) -> &KeyHasher {
        &self.hasher
    }

    /// The entry of `key`.
    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<&Entry> {
        // SAFETY: the slot owns an entry, and the table is borrowed for the result's lifetime.
        self.cell_of(hash, key, 0).map(|cell| unsafe { entry_in(cell) })
    }

    /// The first entry that `accept` takes among those which may have this hash: all that have it are
    /// offered, and a few others.
    #[inline]
    pub fn find_by_hash(&mut self, hash: u64, accept: impl FnMut(&Entry) -> bool) -> Slot<'_> {
        let cell = self.probe(hash, accept).map(NonNull::from);
        Slot::new(self, cell)
    }

    /// Asks for the memory of a few entries that are about to be looked for. What asking costs the processor
    /// overlaps, where one search after the other would wait for each.
    pub fn fetch(&self, hashes: &[u64]) {
        let home = |hash: u64| {
            let segment = self.directory.find(hash);
            &segment.buckets[segment.home(hash)]
        };
        hashes.iter().for_each(|&hash| prefetch(home(hash)));
        for &hash in hashes {
            prefetch_matching(home(hash), hash);
        }
    }

    /// The entry of `key`, or the place to put one: a single search for reading, changing and inserting.
    #[inline(always)]
    pub fn slot(&mut self, hash: u64, key: &[u8]) -> Slot<'_> {
        self.slot_near(hash, key, 0)
    }

    /// [`Table::slot`] for an entry that was seen so many buckets behind its home; it may have moved.
    #[inline(always)]
    pub fn slot_near(&mut self, hash: u64, key: &[u8], distance: u8) -> Slot<'_> {
        let cell = self.cell_of(hash, key, distance).map(NonNull::from);
        Slot::new(self, cell)
    }

    /// Takes the entry of `key` out.
    pub fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Entry> {
        self.slot(hash, key).take(hash)
    }

    /// A handle for fetching cache lines ahead, without the shard's lock.
    pub fn hint(&self) -> Hint {
        self.directory.hint()
    }

    /// Whether `take_retired` would return something.
    #[inline]
    pub fn has_retired(&self) -> bool {
        !self.retired.is_empty()
    }

    /// Memory replaced since the last call. It must be kept until every turn that had begun before this call,
    /// and might use a [`Hint`] of this table, has ended; then it may be dropped.
    pub fn take_retired(&mut self) -> Vec<Retired> {
        std::mem::take(&mut self.retired)
    }

    /// The slot that owns the entry of `key`. Nearly every key has a few bytes and is so many buckets behind
    /// its home as it was seen before, the only one there with its tag.
    #[inline(always)]
    fn cell_of(&self, hash: u64, key: &[u8], distance: u8) -> Option<&AtomicPtr<u8>> {
        let segment = self.directory.find(hash);
        let at = segment.behind(segment.home(hash), distance.into());
        // What was seen may have been another segment.
        let bucket = &segment.buckets[if at < segment.buckets.len() { at } else { 0 }];
        match bucket.matching(hash::tag(hash)).next() {
            // SAFETY: a slot with a tag is occupied, and the table is borrowed.
            Some(cell) if unsafe { entry_in(cell) }.has_short_key(key) => Some(cell),
            None if distance == 0 && bucket.word().reach() == 0 => None,
            _ => self.search(hash, key),
        }
    }

    #[inline(never)]
    fn search(&self, hash: u64, key: &[u8]) -> Option<&AtomicPtr<u8>> {
        self.probe(hash, |entry| entry.key() == key)
    }

    /// The slot of the first entry with the tag of `hash` within the range of its home bucket that `same`
    /// accepts.
    #[inline(always)]
    fn probe(&self, hash: u64, mut same: impl FnMut(&Entry) -> bool) -> Option<&AtomicPtr<u8>> {
        let segment = self.directory.find(hash);
        let tag = hash::tag(hash);
        let home = segment.home(hash);
        let bucket = &segment.buckets[home];
        // SAFETY: a slot with a tag is occupied, and the table is borrowed.
        let mut is_it = |cell: &&AtomicPtr<u8>| same(unsafe { entry_in(cell) });
        if let Some(cell) = bucket.matching(tag).find(&mut is_it) {
            return Some(cell);
        }
        let reach = bucket.word().reach();
        if reach == 0 {
            return None;
        }
        for distance in 1..=reach.min(segment.range() - 1) {
            let behind = &segment.buckets[segment.behind(home, distance)];
            if let Some(cell) = behind.matching(tag).find(&mut is_it) {
                return Some(cell);
            }
        }
        if reach == SPILLED { self.probe_spill(hash, same) } else { None }
    }

    #[cold]
    fn probe_spill(&self, hash: u64, mut same: impl FnMut(&Entry) -> bool) -> Option<&AtomicPtr<u8>> {
        let found = self.spill.iter().find(|spilled| spilled.hash == hash && same(spilled.entry()))?;
        Some(&found.slot)
    }

    /// Adds an entry whose key is not in the table, making room if need be; answers the slot that owns it.
    fn insert(&mut self, hash: u64, entry: Entry) -> NonNull<AtomicPtr<u8>> {
        debug_assert_eq!(hash, self.hasher.hash(entry.key()), "the hash must be the key's");
        let block = entry.into_raw();
        self.len += 1;
        let full = self.counts[self.directory.place(hash)] as usize >= self.directory.find(hash).limit();
        if !full && let Some(cell) = self.place(hash, block) {
            return cell;
        }
        if (self.grow(hash) || full)
            && let Some(cell) = self.place(hash, block)
        {
            return cell;
        }
        self.spill(hash, block)
    }

    /// Puts a block into its segment if there is room in reach.
    fn place(&mut self, hash: u64, block: NonNull<u8>) -> Option<NonNull<AtomicPtr<u8>>> {
        let cell = NonNull::from(self.directory.find(hash).place(hash, block)?);
        self.counts[self.directory.place(hash)] += 1;
        Some(cell)
    }

    fn spill(&mut self, hash: u64, block: NonNull<u8>) -> NonNull<AtomicPtr<u8>> {
        let segment = self.directory.find(hash);
        segment.buckets[segment.home(hash)].note_displaced(SPILLED);
        self.spill.push(Spilled { hash, slot: AtomicPtr::new(block.as_ptr()) });
        NonNull::from(&self.spill[self.spill.len() - 1].slot)
    }

    /// Takes out what a slot owns in which a search for this hash has ended, and makes the segment smaller
    /// when it has become empty enough.
    fn take(&mut self, hash: u64, cell: NonNull<AtomicPtr<u8>>) -> Entry {
        let segment = self.directory.find(hash);
        let home = segment.home(hash);
        let block = match segment.number(cell.as_ptr()) {
            Some((bucket, slot)) => {
                if bucket != home {
                    segment.buckets[home].forget_displaced();
                }
                let at = self.directory.place(hash);
                self.counts[at] -= 1;
                segment.buckets[bucket].clear(slot)
            }
            None => {
                segment.buckets[home].forget_displaced();
                let mut spilled = self.spill.iter();
                let at = spilled.position(|spilled| std::ptr::eq(&spilled.slot, cell.as_ptr()));
                let spilled = self.spill.swap_remove(at.expect("a slot of no bucket is a spilled one"));
                NonNull::new(spilled.slot.into_inner()).expect("a spilled slot owns an entry")
            }
        };
        self.len -= 1;
        self.shrink(hash);
        // SAFETY: the block came from an entry that was inserted, and its slot has just given it up.
        unsafe { Entry::from_raw(block) }
    }
}

impl Spilled {
    fn entry(&self) -> &Entry {
        // SAFETY: a spilled slot owns an entry, and to store to it the table must be borrowed exclusively.
        unsafe { entry_in(&self.slot) }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let slots = self.directory.segments().flat_map(|(_, segment)| segment.occupied());
        let blocks = slots.map(|(bucket, slot)| bucket.slot(slot).load(Relaxed));
        for block in blocks.chain(self.spill.iter().map(|spilled| spilled.slot.load(Relaxed))) {
            let block = NonNull::new(block).expect("an occupied slot holds a block");
            // SAFETY: each slot owns its entry; the directory frees buckets without looking at them after
            // this.
            drop(unsafe { Entry::from_raw(block) });
        }
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
