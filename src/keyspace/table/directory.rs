//! The directory: which segment holds which positions, and the hints that read it without a lock.
//!
//! For: the rest of the table; workers that prefetch. May touch: buckets.
//! Always: the directory has 2^depth words; a segment of depth d fills 2^(depth - d) consecutive ones,
//! beginning at a multiple of that number (its *place*). Memory that was replaced is retired, never freed
//! here.

use std::mem::size_of;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

use super::bucket::{Bucket, MAX_BUCKETS, Memory, Segment, home};
use crate::keyspace::hash;

/// Bits of a packed word that hold the address of 64-byte-aligned memory. Below it lies a depth, above it a
/// count.
const ADDRESS: usize = ((1 << 48) - 1) & !63;
const DEPTH: usize = 63;
const COUNT_SHIFT: u32 = 48;

/// Memory that a table no longer uses but that a hint may still be reading. Dropping it frees it.
#[derive(Debug)]
#[must_use = "dropping frees the memory, which is sound only when no turn that could read it is under way"]
pub struct Retired(#[allow(dead_code, reason = "owned until it is dropped")] pub(super) Memory);

/// Address and depth of the current directory in one word; 0 once the table is gone.
#[derive(Debug)]
struct Root(AtomicUsize);

pub(super) struct Directory {
    words: NonNull<AtomicUsize>,
    depth: u32,
    root: Arc<Root>,
}

// SAFETY: the directory owns its words and segments; what other threads reach through the root they only read
// atomically.
unsafe impl Send for Directory {}

fn pack(start: NonNull<u8>, depth: u32, count: usize) -> usize {
    let address = start.as_ptr().expose_provenance();
    assert!(address & !ADDRESS == 0, "user memory lies below 2^48 and is aligned to 64");
    address | depth as usize | count << COUNT_SHIFT
}

#[inline]
fn address<T>(packed: usize) -> *mut T {
    std::ptr::with_exposed_provenance_mut(packed & ADDRESS)
}

#[inline]
fn depth(packed: usize) -> u32 {
    (packed & DEPTH) as u32
}

/// The directory's index for a hash. Two shifts, as a shift by 64 is none.
#[inline]
fn index(hash: u64, depth: u32) -> usize {
    (hash::position(hash) >> 1 >> (63 - depth)) as usize
}

impl Directory {
    /// One empty segment.
    pub(super) fn new(segment: Memory, buckets: usize) -> Directory {
        let words = Memory::zeroed(size_of::<AtomicUsize>()).into_start();
        let root = Arc::new(Root(AtomicUsize::new(pack(words, 0, 0))));
        let directory = Directory { words: words.cast(), depth: 0, root };
        directory.words()[0].store(pack(segment.into_start(), 0, buckets), Release);
        directory
    }

    fn words(&self) -> &[AtomicUsize] {
        // SAFETY: the directory owns 2^depth initialized words.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.len()) }
    }

    pub(super) fn len(&self) -> usize {
        1 << self.depth
    }

    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    pub(super) fn bytes(&self) -> usize {
        self.len() * size_of::<AtomicUsize>()
    }

    /// The segment that holds a hash.
    #[inline]
    pub(super) fn find(&self, hash: u64) -> Segment<'_> {
        let at = index(hash, self.depth);
        // SAFETY: the index has `depth` bits, and there are 2^depth words.
        let packed = unsafe { self.words.add(at).as_ref().load(Relaxed) };
        self.unpack(packed)
    }

    /// The first index of the segment that holds a hash.
    pub(super) fn place(&self, hash: u64) -> usize {
        self.first(index(hash, self.depth))
    }

    fn first(&self, at: usize) -> usize {
        let width = self.width(self.segment(at).depth);
        at & !(width - 1)
    }

    /// How many words a segment of this depth fills.
    pub(super) fn width(&self, segment_depth: u32) -> usize {
        1 << (self.depth - segment_depth)
    }

    /// The segment at an index.
    pub(super) fn segment(&self, at: usize) -> Segment<'_> {
        self.unpack(self.words()[at].load(Relaxed))
    }

    #[inline]
    fn unpack(&self, packed: usize) -> Segment<'_> {
        // SAFETY: a word holds address, depth and number of buckets of a segment that the directory owns;
        // replacing it takes `&mut self`, and buckets change through atomics only.
        let buckets = unsafe { std::slice::from_raw_parts(address::<Bucket>(packed), packed >> COUNT_SHIFT) };
        Segment { buckets, depth: depth(packed) }
    }

    /// Each segment once, with its place.
    pub(super) fn segments(&self) -> impl Iterator<Item = (usize, Segment<'_>)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let segment = (at < self.len()).then(|| self.segment(at))?;
            let place = at;
            at += self.width(segment.depth);
            Some((place, segment))
        })
    }

    /// Lets words `at..at + width(depth)` name a new segment. The old one's memory must be taken with
    /// `detach` before.
    pub(super) fn attach(&mut self, at: usize, segment: Memory, buckets: usize, depth: u32) {
        debug_assert!(
            at.is_multiple_of(self.width(depth)) && buckets * size_of::<Bucket>() == segment.bytes()
        );
        let packed = pack(segment.into_start(), depth, buckets);
        for word in &self.words()[at..at + self.width(depth)] {
            word.store(packed, Release);
        }
    }

    /// Takes the memory of the segment at `at`, which must be replaced by `attach` before anything else is
    /// done.
    pub(super) fn detach(&mut self, at: usize) -> Retired {
        let packed = self.words()[at].load(Relaxed);
        let start = NonNull::new(address(packed)).expect("every word names a segment");
        let bytes = (packed >> COUNT_SHIFT) * size_of::<Bucket>();
        // SAFETY: the directory owned this memory, of this size, and forgets it in the `attach` that follows.
        Retired(unsafe { Memory::from_start(start, bytes) })
    }

    /// Makes every word two.
    pub(super) fn double(&mut self) -> Retired {
        self.resize(self.depth + 1, |at| at / 2)
    }

    /// Keeps every other word. No segment may be as deep as the directory.
    pub(super) fn halve(&mut self) -> Retired {
        debug_assert!(self.segments().all(|(_, segment)| segment.depth < self.depth));
        self.resize(self.depth - 1, |at| at * 2)
    }

    fn resize(&mut self, depth: u32, source: impl Fn(usize) -> usize) -> Retired {
        let fresh = Memory::zeroed(size_of::<AtomicUsize>() << depth);
        for at in 0..1 << depth {
            let word = self.words()[source(at)].load(Relaxed);
            // SAFETY: the fresh memory has 2^depth words and nobody else knows it yet.
            unsafe { fresh.start().cast::<AtomicUsize>().add(at).write(AtomicUsize::new(word)) };
        }
        let start = fresh.into_start();
        let bytes = self.bytes();
        let old = std::mem::replace(&mut self.words, start.cast());
        self.depth = depth;
        self.root.0.store(pack(start, depth, 0), Release);
        // SAFETY: the old words were owned, of this size, and nothing refers to them any more.
        Retired(unsafe { Memory::from_start(old.cast(), bytes) })
    }

    pub(super) fn hint(&self) -> Hint {
        Hint { root: self.root.clone() }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.root.0.store(0, Release);
        let mut at = 0;
        while at < self.len() {
            let width = self.width(self.segment(at).depth);
            drop(self.detach(at));
            at += width;
        }
        // SAFETY: the words are owned, of this size, and not used again.
        drop(unsafe { Memory::from_start(self.words.cast(), self.bytes()) });
    }
}

/// Lets a worker fetch a table's cache lines before it has the shard's lock.
///
/// # What is read outside the lock, and why it stays valid
///
/// The functions read, with atomic loads, the table's root word (kept alive by the hint itself), one word of
/// the directory the root names, and one or two buckets of the segment that word names. Entries are never
/// read: their addresses go into prefetch instructions, which cannot fault, so a stale one does no harm. A
/// directory or segment that the table replaces meanwhile is not freed but handed out by
/// [`super::Table::take_retired`]. So the caller of these functions must be inside a *turn* such that
///
/// - nothing taken with `take_retired` during or after the turn's beginning is freed before the turn has
///   ended, and
/// - the table itself is dropped only while no turn is under way. (A hint used in later turns finds the root
///   empty.)
///
/// What a hint sees may be out of date, which costs a useless prefetch and nothing else.
#[derive(Clone, Debug)]
pub struct Hint {
    root: Arc<Root>,
}

impl Hint {
    /// The home bucket of a hash: first, the number of buckets in its segment.
    ///
    /// # Safety
    /// The contract in the type's documentation.
    #[inline]
    unsafe fn home(&self, hash: u64) -> Option<(NonNull<Bucket>, usize, usize)> {
        let root = self.root.0.load(Acquire);
        let words = NonNull::new(address::<AtomicUsize>(root))?;
        // SAFETY: the root names 2^depth words, initialized before it was published and not freed during this
        // turn.
        let packed = unsafe { words.add(index(hash, depth(root))).as_ref().load(Acquire) };
        let count = packed >> COUNT_SHIFT;
        Some((NonNull::new(address::<Bucket>(packed))?, home(hash, depth(packed), count), count))
    }

    /// First stage: asks for the bucket where the key belongs, and says which it is. Reads the directory
    /// only.
    ///
    /// # Safety
    /// The caller must be in a turn as described for the type.
    #[inline]
    pub unsafe fn prefetch_bucket(&self, hash: u64) -> Option<Spot> {
        // SAFETY: handed on.
        let (first, home, count) = unsafe { self.home(hash) }?;
        let spot = Spot { first: first.as_ptr(), count: count as u8, at: home as u8, distance: 0, left: 0 };
        prefetch(spot.bucket());
        Some(spot)
    }
}

/// Buckets that a hint has found, to be looked at later in the same turn.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    /// Of the segment; initialized before it was published and not freed in this turn.
    first: *const Bucket,
    /// Buckets of the segment.
    count: u8,
    /// The one to look at, below `count`.
    at: u8,
    /// How far that is behind the entry's home.
    distance: u8,
    /// In how many buckets, from that one on, the entry may lie; of a home that is not known yet.
    left: u8,
}

const _: () = assert!(MAX_BUCKETS <= u8::MAX as usize);

/// Buckets behind a home that are asked for at once: where it is full, its neighbour often is too.
const TOGETHER: u8 = 3;

/// What looking at a [`Spot`] has led to.
#[derive(Clone, Copy, Debug)]
pub enum Sight {
    /// Entries so far behind their home, one of which may be the key's, have been asked for.
    There(u8),
    /// It may lie in the next buckets, which have been asked for.
    Further(Spot),
    /// There is none.
    Nowhere,
}

impl Spot {
    #[inline]
    fn bucket(self) -> *const Bucket {
        self.first.wrapping_add(self.at.into())
    }

    /// Second stage, when the bucket has had time to arrive: asks for the entries in it that carry the key's
    /// tag. If there is none but entries were displaced, asks for the buckets behind it, to be looked at in
    /// the same way.
    ///
    /// # Safety
    /// The caller must be in the turn in which the hint gave the spot.
    #[inline(always)]
    pub unsafe fn prefetch_entries(self, hash: u64) -> Sight {
        if self.distance > 0 {
            // SAFETY: handed on.
            return unsafe { self.prefetch_displaced(hash) };
        }
        // SAFETY: see the fields.
        let bucket = unsafe { &*self.bucket() };
        if prefetch_matching(bucket, hash) {
            return Sight::There(0);
        }
        let left = (bucket.word().reach() as u8).min(self.count - 1);
        if left == 0 { Sight::Nowhere } else { Sight::Further(Spot { left, ..self.next() }.asked()) }
    }

    /// The same for the buckets behind a home.
    ///
    /// # Safety
    /// As for [`Spot::prefetch_entries`].
    #[inline(never)]
    unsafe fn prefetch_displaced(mut self, hash: u64) -> Sight {
        for _ in 0..self.left.min(TOGETHER) {
            // SAFETY: see the fields.
            if prefetch_matching(unsafe { &*self.bucket() }, hash) {
                return Sight::There(self.distance);
            }
            self = Spot { left: self.left - 1, ..self.next() };
        }
        if self.left == 0 { Sight::Nowhere } else { Sight::Further(self.asked()) }
    }

    /// The bucket behind it.
    #[inline]
    fn next(self) -> Spot {
        let at = if self.at + 1 == self.count { 0 } else { self.at + 1 };
        Spot { at, distance: self.distance + 1, ..self }
    }

    /// The same, when the buckets that are to be looked at together have been asked for.
    #[inline]
    fn asked(self) -> Spot {
        let mut spot = self;
        for _ in 0..self.left.min(TOGETHER) {
            prefetch(spot.bucket());
            spot = spot.next();
        }
        self
    }
}

/// Asks for the entries of a bucket that carry the tag of a hash; whether there are any. Of an entry the
/// first 128 bytes are asked for: header, key, and the value or its beginning.
#[inline(always)]
pub(super) fn prefetch_matching(bucket: &Bucket, hash: u64) -> bool {
    let mut is_there = false;
    for slot in bucket.word().matching(hash::tag(hash)) {
        let entry = bucket.slot(slot).load(Relaxed);
        prefetch(entry);
        prefetch(entry.wrapping_add(64));
        prefetch(entry.wrapping_add(127));
        is_there = true;
    }
    is_there
}

/// Asks for the cache line at `at`, which need not be valid.
#[inline(always)]
pub(super) fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86_64, and prefetching an address never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: prefetching an address never faults and changes no register or memory.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = at;
}
