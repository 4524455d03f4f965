//! How much memory is in use.
//!
//! For: counting what the process has allocated, at the allocator, for INFO, MEMORY and the memory limit. May
//! touch: the allocator; nothing of a server.
//! Always: the sum of all cells is exactly what was allocated and not yet freed; a thread stores into its own
//! cell alone, so counting costs a load and a store. These figures belong to the process, not to a server:
//! they are the one thing that servers of one process share.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};

use crossbeam_utils::CachePadded;
use mimalloc::MiMalloc;

/// Threads with a cell of their own. Later ones share one cell more.
const OWN_CELLS: usize = 255;
/// A thread tells the rough sum when its own has moved this far.
const ROUGH_BYTES: isize = 64 * 1024;
/// Memory that gains less from one look to the next does not grow.
const GROWS_BYTES: usize = 256 * 1024;
/// When memory has come to rest, it has to grow by this much until huge pages are allowed again.
const HUGE_AGAIN_BYTES: usize = 2 * 1024 * 1024;
/// Small blocks lie in pages of this size.
pub const PAGE_BYTES: usize = 64 * 1024;
/// A thread that has not counted yet.
const NO_CELL: usize = usize::MAX;

/// The allocator of the process: mimalloc, counted.
///
/// ```ignore
/// #[global_allocator]
/// static ALLOCATOR: ochre::memory::Counting = ochre::memory::Counting;
/// ```
pub struct Counting;

/// What one thread has allocated less what it has freed; negative where it frees what others allocated.
struct Count {
    bytes: AtomicIsize,
    /// Of these, how many the rough sum has been told.
    told: AtomicIsize,
}

static CELLS: [CachePadded<Count>; OWN_CELLS + 1] =
    [const { CachePadded::new(Count { bytes: AtomicIsize::new(0), told: AtomicIsize::new(0) }) };
        OWN_CELLS + 1];
static NEXT_CELL: AtomicUsize = AtomicUsize::new(0);
static ROUGH: AtomicIsize = AtomicIsize::new(0);
/// The rough sum from which on huge pages are allowed; `usize::MAX`: they are what they are.
static HUGE_FROM: AtomicUsize = AtomicUsize::new(usize::MAX);
/// The least that this may become; `usize::MAX`: nobody has asked for it.
static HUGE_LEAST: AtomicUsize = AtomicUsize::new(usize::MAX);
/// The rough sum when it was last looked whether it grows.
static ROUGH_BEFORE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Index of the thread's cell. Has no destructor, so it can be read as long as the thread allocates.
    static CELL: Cell<usize> = const { Cell::new(NO_CELL) };
}

/// The thread's cell, and whether it is its own.
#[inline]
fn cell() -> (&'static Count, bool) {
    let index = CELL.with(|cell| match cell.get() {
        NO_CELL => {
            let index = NEXT_CELL.fetch_add(1, Relaxed).min(OWN_CELLS);
            cell.set(index);
            index
        }
        index => index,
    });
    (&CELLS[index], index < OWN_CELLS)
}

#[inline]
fn count(by: isize) {
    let (cell, is_own) = cell();
    let now = if is_own {
        let now = cell.bytes.load(Relaxed).wrapping_add(by);
        cell.bytes.store(now, Relaxed);
        now
    } else {
        cell.bytes.fetch_add(by, Relaxed).wrapping_add(by)
    };
    if now.wrapping_sub(cell.told.load(Relaxed)).unsigned_abs() >= ROUGH_BYTES as usize {
        tell(cell, now);
    }
}

#[cold]
fn tell(cell: &Count, now: isize) {
    let moved = now.wrapping_sub(cell.told.swap(now, Relaxed));
    let rough = ROUGH.fetch_add(moved, Relaxed).wrapping_add(moved).max(0).cast_unsigned();
    PEAK.fetch_max(rough, Relaxed);
    if rough >= HUGE_FROM.load(Relaxed) {
        HUGE_FROM.store(usize::MAX, Relaxed);
        // Without them everything works, only slower.
        let _ = rustix::thread::disable_transparent_huge_pages(false);
    }
}

/// Forbids the process huge pages until that many bytes are in use. They save a large keyspace a quarter of
/// its time in address translation, and would cost an empty server three times its memory. Memory that was
/// touched before stays in small pages, so they are allowed by the allocation that passes the limit.
pub fn huge_pages_from(bytes: usize) {
    // A kernel without huge pages refuses, and that is as well.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    HUGE_FROM.store(bytes, Relaxed);
    HUGE_LEAST.store(bytes, Relaxed);
}

/// Forbids huge pages again when memory has stopped growing: those that are there stay, but the kernel would
/// also fill up, page by page, what the allocator has given back in between. Called a few times a second;
/// nothing where [`huge_pages_from`] was not.
pub fn settle_huge_pages() {
    let (least, rough) = (HUGE_LEAST.load(Relaxed), used_roughly());
    let before = ROUGH_BEFORE.swap(rough, Relaxed);
    if least == usize::MAX || HUGE_FROM.load(Relaxed) != usize::MAX || rough >= before + GROWS_BYTES {
        return;
    }
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    // After it: whoever passes the limit allows them again.
    HUGE_FROM.store(least.max(rough + HUGE_AGAIN_BYTES), Relaxed);
}

/// Bytes in use, exactly; 0 where [`Counting`] is not the process's allocator.
pub fn used() -> usize {
    let sum = CELLS.iter().fold(0isize, |sum, cell| sum.wrapping_add(cell.bytes.load(Relaxed)));
    let used = sum.max(0).cast_unsigned();
    PEAK.fetch_max(used, Relaxed);
    used
}

/// Bytes in use but for at most 64 KiB of each thread: one load, for deciding about every command.
#[inline]
pub fn used_roughly() -> usize {
    ROUGH.load(Relaxed).max(0).cast_unsigned()
}

/// The most bytes that were ever in use, as exact as [`used_roughly`].
pub fn peak() -> usize {
    PEAK.load(Relaxed)
}

/// Name of the allocator.
pub fn allocator() -> &'static str {
    if used() > 0 { "mimalloc" } else { "unknown" }
}

// SAFETY: every request goes to mimalloc unchanged, and what it answers is returned unchanged; counting
// neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, which is mimalloc's; every block of
        // it is aligned to a word.
        let block = unsafe {
            if is_natural(layout, layout.size()) {
                mi_malloc(layout.size()).cast()
            } else {
                MiMalloc.alloc(layout)
            }
        };
        if !block.is_null() {
            count(layout.size().cast_signed());
        }
        block
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        let block = unsafe {
            if is_natural(layout, layout.size()) {
                mi_zalloc(layout.size()).cast()
            } else {
                MiMalloc.alloc_zeroed(layout)
            }
        };
        if !block.is_null() {
            count(layout.size().cast_signed());
        }
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the block came from `alloc` or `realloc` above with this layout, so from mimalloc.
        unsafe { MiMalloc.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the block came from `alloc` or `realloc` above with this layout, so from mimalloc, and
        // needs no other alignment than before.
        let moved = unsafe {
            if is_natural(layout, size) {
                mi_realloc(block.cast(), size).cast()
            } else {
                MiMalloc.realloc(block, layout, size)
            }
        };
        if !moved.is_null() {
            count(size.cast_signed() - layout.size().cast_signed());
        }
        moved
    }
}

type Print = extern "C" fn(text: *const c_char, report: *mut c_void);

/// Alignment that every block has.
const WORD: usize = 8;
/// Alignment that every block of at least so many bytes has, as C promises of `malloc`.
const WIDE: usize = 16;

/// Whether a block of that size is aligned as asked in any case. The allocator's own function for aligned
/// blocks asks for more room than is needed unless the size is a power of two: every other block would be of
/// the next larger class.
#[inline]
fn is_natural(layout: Layout, size: usize) -> bool {
    layout.align() <= WORD || layout.align() <= WIDE && size >= WIDE
}

unsafe extern "C" {
    fn mi_malloc(size: usize) -> *mut c_void;
    fn mi_zalloc(size: usize) -> *mut c_void;
    fn mi_realloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn mi_collect(force: bool);
    fn mi_stats_print_out(print: Option<Print>, report: *mut c_void);
}

/// Gives memory that the calling thread has freed, and what ended threads left behind, back to the system.
pub fn purge() {
    collect(true);
}

/// Takes back what other threads have freed of the calling thread's blocks. The allocator does so by itself,
/// but seldom, and for each block it costs a look at memory that another core has written last. Besides it
/// takes a look at every page of the thread that has room, of [`PAGE_BYTES`].
pub fn take_back() {
    collect(false);
}

fn collect(force: bool) {
    // SAFETY: may be called at any time from any thread; it frees only what nobody uses.
    unsafe { mi_collect(force) }
}

/// The allocator's own report.
pub fn report() -> Vec<u8> {
    extern "C" fn print(text: *const c_char, report: *mut c_void) {
        // SAFETY: mimalloc calls this before `mi_stats_print_out` returns, with the pointer it was given
        // below and a string that ends with a zero.
        let (text, report) = unsafe { (CStr::from_ptr(text), &mut *report.cast::<Vec<u8>>()) };
        report.extend_from_slice(text.to_bytes());
    }
    let mut report = Vec::new();
    // SAFETY: `report` outlives the call, and nobody else uses it meanwhile.
    unsafe { mi_stats_print_out(Some(print), (&raw mut report).cast()) };
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    // The test binary has another allocator, so what these tests allocate through `Counting` is all that is
    // counted; they share the counters, so there is one test.
    #[test]
    fn the_sum_is_exact_across_threads_and_the_peak_stays() {
        let layout = Layout::from_size_align(100_000, 8).unwrap();
        // SAFETY: each block is used as its layout says, and freed once, with that layout.
        unsafe {
            let first = Counting.alloc(layout).expose_provenance();
            let second = Counting.alloc_zeroed(layout);
            assert!((0..100_000).all(|at| *second.add(at) == 0));
            assert_eq!(used(), 200_000);
            assert_eq!(used_roughly(), 200_000);
            let grown = Counting.realloc(second, layout, 150_000);
            assert_eq!(used(), 250_000);
            let elsewhere = std::thread::spawn(move || {
                Counting.dealloc(std::ptr::with_exposed_provenance_mut(first), layout);
                let small = Layout::from_size_align(10, 1).unwrap();
                Counting.alloc(small).expose_provenance()
            });
            let small = elsewhere.join().unwrap();
            assert_eq!(used(), 150_010);
            Counting.dealloc(grown, Layout::from_size_align(150_000, 8).unwrap());
            let small_layout = Layout::from_size_align(10, 1).unwrap();
            Counting.dealloc(std::ptr::with_exposed_provenance_mut(small), small_layout);
        }
        assert_eq!(used(), 0);
        assert!(used_roughly() < 2 * ROUGH_BYTES as usize);
        assert!((250_000..300_000).contains(&peak()), "{}", peak());
    }

    #[test]
    fn blocks_of_two_words_and_more_are_aligned_to_two_words() {
        let blocks: Vec<usize> = (WIDE..4096)
            // SAFETY: sizes are not zero.
            .map(|size| unsafe { mi_malloc(size) }.expose_provenance())
            .collect();
        for block in blocks {
            assert_eq!(block % WIDE, 0);
            // SAFETY: it came from `mi_malloc` and is freed once.
            unsafe { MiMalloc.dealloc(std::ptr::with_exposed_provenance_mut(block), Layout::new::<u8>()) };
        }
    }

    #[test]
    fn the_allocators_report_has_lines() {
        purge();
        assert!(!report().is_empty());
    }
}
