//! The timing wheel: which keys have a deadline soon.
//!
//! For: finding the entries of one shard and database whose deadline has come, in the order of their
//! deadlines, without looking at any other. May touch: nothing but itself; it knows no entries, no clock
//! and no locks.
//! Always: an item comes up at its deadline or earlier, never later, and each time it either leaves or is
//! filed once more.
//!
//! An item is the hash of a key, eight bytes, and nothing else. It does not carry its deadline, since the
//! entry has it: when an item comes up, the caller is asked, and a deadline that has been extended
//! meanwhile is filed again then and not before. So extending costs nothing. A deadline that is brought
//! forward, or that is new, must be filed at once; the older item stays until it comes up. Such left-overs
//! are harmless but take room, and when they outnumber what is live the wheel gets a successor: the owner
//! shows it all entries with a deadline, a few at a time ([`Wheel::renew`]), while every new deadline is
//! filed in both; then the successor takes over, and the old pages are freed a few at a time. So neither
//! costs much at once.
//!
//! Time is a number of eleven digits to base 64, in milliseconds. A level is a digit, a slot is a digit's
//! value. An item lies at the highest digit in which its deadline differs from the present tick, in the
//! slot of its deadline's digit there:
//!
//! ```text
//! present tick       ...  12  40  07
//! deadline           ...  12  40  55   level 0, slot 55: fires at that very millisecond
//! deadline           ...  12  51  03   level 1, slot 51: cascades when the tick becomes 12 51 00
//! ```
//!
//! Hence all of a level comes before all of the next, and within a level slots come in rising order; with
//! one bitmap a level, the next thing to do is the lowest bit of the lowest level that has one. A wheel
//! never turns past its slots, and a jump over any stretch of time costs only what lies in it.
//!
//! A slot is a queue of blocks of seven hashes, 64 bytes each, which come in pages of 32: about 9.2 bytes
//! an item in long queues, nothing to copy when it grows, and pages go back to the allocator when empty.

/// Slots of a level: a digit's values.
const SLOTS: usize = 64;
/// Bits of a digit.
const DIGIT_BITS: usize = 6;
/// Digits of a tick: eleven times six bits hold any 64-bit number.
const LEVELS: usize = 11;
/// Items in a block, so that it fills a cache line.
const BLOCK_ITEMS: usize = 7;
/// Blocks in a page: the bits of its bitmap.
const PAGE_BLOCKS: usize = 32;
/// The last tick a wheel advances to; a deadline after it never comes.
const LAST_TICK: u64 = u64::MAX - 1;
/// Items that may be left over before a successor is worth it, however few are live.
const RENEWAL_SLACK: usize = 64;
/// Pages of a wheel that was succeeded which are freed at once.
const PAGES_FREED: usize = 4;

/// The caller's answer about an item that has come up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to wait for: no such entry, or no deadline, or it was due and has been removed just now.
    Gone,
    /// The entry stays, with this deadline (unix ms).
    Due(u64),
}

/// A hierarchical timing wheel of key hashes. A tick is a millisecond of unix time.
#[derive(Debug)]
pub struct Wheel {
    /// The tick up to which everything before has been looked at. Goes back only to where a successor began.
    tick: u64,
    items: usize,
    /// The level above 0 whose slot at the present tick is being cascaded and not yet empty; 0 if none.
    cascading: usize,
    /// Bit `s` of level `l` is set if and only if that slot has items. Level 0 has none below the present
    /// digit, the others none at or below theirs, except the one being cascaded.
    filled: [u64; LEVELS],
    /// Made when a level gets its first item.
    levels: [Option<Box<[Queue; SLOTS]>>; LEVELS],
    blocks: Blocks,
    /// Who takes over when it has everything that is live.
    successor: Option<Box<Successor>>,
    /// Pages of the wheel before this one.
    old_pages: Vec<Page>,
    /// When it began anew, unless it has caught up: what was filed before is only in the owner's entries.
    behind_since_ms: Option<u64>,
}

/// A wheel that is to take over.
#[derive(Debug)]
struct Successor {
    wheel: Wheel,
    /// How far the owner's entries have been shown to it, in the owner's own terms; 0 at the beginning.
    cursor: u64,
}

/// What there is to do next.
#[derive(Clone, Copy)]
struct Next {
    tick: u64,
    level: usize,
    slot: usize,
}

impl Wheel {
    /// An empty wheel whose present tick is `now_ms`.
    pub fn new(now_ms: u64) -> Wheel {
        Wheel {
            tick: now_ms.min(LAST_TICK),
            items: 0,
            cascading: 0,
            filled: [0; LEVELS],
            levels: [const { None }; LEVELS],
            blocks: Blocks::default(),
            successor: None,
            old_pages: Vec::new(),
            behind_since_ms: None,
        }
    }

    /// Files a hash under its entry's deadline (unix ms); one that has passed is due at once. O(1).
    pub fn file(&mut self, deadline_ms: u64, hash: u64) {
        if let Some(successor) = &mut self.successor {
            successor.wheel.file_here(deadline_ms, hash);
        }
        self.file_here(deadline_ms, hash);
    }

    fn file_here(&mut self, deadline_ms: u64, hash: u64) {
        let deadline = deadline_ms.max(self.tick);
        let level = digits(deadline ^ self.tick);
        let slot = digit(deadline, level);
        debug_assert!(level == 0 || slot > digit(self.tick, level));
        let queues = self.levels[level].get_or_insert_with(|| Box::new([Queue::EMPTY; SLOTS]));
        self.blocks.push(&mut queues[slot], hash);
        self.filled[level] |= 1 << slot;
        self.items += 1;
    }

    /// The earliest tick at which [`advance`](Wheel::advance) has something to do: items that may be due
    /// then, or far ones to be filed nearer. At once while it is behind. None when the wheel is empty.
    /// O(levels).
    pub fn next_due_ms(&self) -> Option<u64> {
        if self.is_behind() {
            return self.behind_since_ms;
        }

        self.next().map(|next| next.tick)
    }

    /// Does everything there is to do up to and including `now_ms`, in the order of deadlines, with at most
    /// `budget` looks; answers how many it took. The next call goes on where this one stopped.
    ///
    /// `look(hash, tick)` is asked about each item that comes up. An entry is due if its deadline is at or
    /// before `tick` (not `now_ms`: others may be due in between). An entry that is due but is kept with
    /// `Due` comes up again a tick later.
    pub fn advance(
        &mut self,
        now_ms: u64,
        budget: usize,
        look: &mut dyn FnMut(u64, u64) -> Verdict,
    ) -> usize {
        let now = now_ms.min(LAST_TICK);
        let mut looks = 0;
        while let Some(next) = self.next().filter(|next| next.tick <= now) {
            if looks == budget {
                return looks;
            }
            debug_assert!(next.tick >= self.tick);
            self.tick = next.tick;
            looks += self.empty(next, budget - looks, look);
        }
        self.tick = self.tick.max(now);
        looks
    }

    /// Items filed, left-overs included.
    pub fn len(&self) -> usize {
        self.items
    }

    /// Whether nothing is filed.
    pub fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// Whether, with `live` entries waiting for a deadline, left-overs are so many that the owner should call
    /// [`renew`](Wheel::renew), or goes on with that.
    #[inline]
    pub fn wants_renewal(&self, live: usize) -> bool {
        self.items > live.saturating_mul(2).saturating_add(RENEWAL_SLACK)
            || self.successor.is_some()
            || !self.old_pages.is_empty()
            || self.is_behind()
    }

    /// Whether it began anew and has not been shown all entries since.
    pub fn is_behind(&self) -> bool {
        self.behind_since_ms.is_some()
    }

    /// Does a little of what there is to do about left-overs. `show(cursor, wheel)` files in `wheel` the
    /// owner's entries from `cursor` on, a few of them, and answers where it stopped; 0: at the end. It
    /// begins with 0, and must not miss an entry that is there from beginning to end.
    pub fn renew(&mut self, show: &mut dyn FnMut(u64, &mut Wheel) -> u64) {
        if !self.old_pages.is_empty() {
            self.old_pages.truncate(self.old_pages.len().saturating_sub(PAGES_FREED));
            if self.old_pages.is_empty() {
                self.old_pages = Vec::new();
            }
            return;
        }
        let tick = self.tick;
        let successor =
            self.successor.get_or_insert_with(|| Box::new(Successor { wheel: Wheel::new(tick), cursor: 0 }));
        successor.cursor = show(successor.cursor, &mut successor.wheel);
        if successor.cursor == 0
            && let Some(successor) = self.successor.take()
        {
            let old = std::mem::replace(self, successor.wheel);
            self.old_pages = old.blocks.pages;
        }
    }

    /// Bytes allocated besides the struct itself.
    pub fn heap_bytes(&self) -> usize {
        let levels = self.levels.iter().flatten().count();
        let successor =
            self.successor.as_ref().map_or(0, |it| size_of::<Successor>() + it.wheel.heap_bytes());
        let old = self.old_pages.len() * size_of::<[Block; PAGE_BLOCKS]>();
        levels * size_of::<[Queue; SLOTS]>() + self.blocks.heap_bytes() + successor + old
    }

    /// Starts again at `now_ms`, to which the clock went back. A successor, which is called for by this, gets
    /// the owner's entries; until it has them, items come up late.
    pub fn begin_anew(&mut self, now_ms: u64) {
        let mut pages = std::mem::take(&mut self.old_pages);
        pages.append(&mut self.blocks.pages);
        if let Some(mut successor) = self.successor.take() {
            pages.append(&mut successor.wheel.blocks.pages);
        }
        self.clear(now_ms);
        (self.old_pages, self.behind_since_ms) = (pages, Some(now_ms));
    }

    /// Takes everything out, gives all memory back, and starts again at `now_ms`.
    pub fn clear(&mut self, now_ms: u64) {
        *self = Wheel::new(now_ms);
    }

    fn next(&self) -> Option<Next> {
        if self.cascading > 0 {
            let level = self.cascading;
            return Some(Next { tick: self.tick, level, slot: digit(self.tick, level) });
        }
        let level = self.filled.iter().position(|&filled| filled != 0)?;
        let slot = self.filled[level].trailing_zeros() as usize;
        let above = u32::try_from(DIGIT_BITS * (level + 1)).ok().and_then(|bits| u64::MAX.checked_shl(bits));
        let tick = (self.tick & above.unwrap_or(0)) | (slot as u64) << (DIGIT_BITS * level);
        Some(Next { tick, level, slot })
    }

    /// Looks at the items of the slot that has come up until it is empty or the budget is spent.
    fn empty(&mut self, next: Next, budget: usize, look: &mut dyn FnMut(u64, u64) -> Verdict) -> usize {
        let Next { tick, level, slot } = next;
        self.cascading = level;
        for looks in 0..budget {
            let queue = self.levels[level].as_mut().map(|queues| &mut queues[slot]);
            let Some(hash) = queue.and_then(|queue| self.blocks.pop(queue)) else {
                self.cascading = 0;
                self.filled[level] &= !(1 << slot);
                return looks;
            };
            self.items -= 1;
            if let Verdict::Due(deadline) = look(hash, tick) {
                // Never back into the slot that is being emptied. A successor that has it has it no later.
                self.file_here(deadline.max(tick + 1), hash);
            }
        }
        let queue = self.levels[level].as_ref().map(|queues| &queues[slot]);
        if queue.is_none_or(Queue::is_empty) {
            self.cascading = 0;
            self.filled[level] &= !(1 << slot);
        }
        budget
    }

    /// Panics if the wheel contradicts itself. Walks everything; for tests.
    #[cfg(test)]
    fn check_invariants(&self) {
        let (mut items, mut blocks) = (0, 0);
        for level in 0..LEVELS {
            let present = digit(self.tick, level);
            for slot in 0..SLOTS {
                let queue = self.levels[level].as_ref().map_or(Queue::EMPTY, |queues| queues[slot]);
                assert_eq!(
                    self.filled[level] >> slot & 1 == 1,
                    !queue.is_empty(),
                    "level {level} slot {slot}"
                );
                if !queue.is_empty() {
                    let open = level == 0 || (self.cascading == level && slot == present);
                    assert!(slot > present || (open && slot == present), "level {level} slot {slot}");
                }
                let (queue_items, queue_blocks) = self.blocks.measure(queue);
                items += queue_items;
                blocks += queue_blocks;
            }
        }
        assert_eq!(items, self.items);
        self.blocks.check_invariants(blocks);
        if let Some(successor) = &self.successor {
            assert!(successor.wheel.successor.is_none() && successor.wheel.old_pages.is_empty());
            successor.wheel.check_invariants();
        }
    }
}

/// The place of the highest digit that is not zero; 0 for zero.
fn digits(x: u64) -> usize {
    (63 - (x | 1).leading_zeros() as usize) / DIGIT_BITS
}

fn digit(x: u64, level: usize) -> usize {
    (x >> (DIGIT_BITS * level)) as usize % SLOTS
}

/// A slot's items, first filed first out: a chain of blocks.
#[derive(Clone, Copy, Debug)]
struct Queue {
    first: u32,
    /// Meaningless while the queue is empty.
    last: u32,
}

impl Queue {
    const EMPTY: Queue = Queue { first: NONE, last: NONE };

    fn is_empty(&self) -> bool {
        self.first == NONE
    }
}

/// No block. More than four billion blocks (240 GB) in one wheel are out of reach.
const NONE: u32 = u32::MAX;

/// Some hashes of a queue. One in a queue has at least one.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Block {
    hashes: [u64; BLOCK_ITEMS],
    /// The next block of the queue, or `NONE`.
    next: u32,
    /// The hashes of `start..end` are waiting; only a queue's first block starts above 0, only its last
    /// ends early.
    start: u8,
    end: u8,
}

impl Block {
    const EMPTY: Block = Block { hashes: [0; BLOCK_ITEMS], next: NONE, start: 0, end: 0 };
}

/// All blocks of a wheel. A block's number is its page's number times `PAGE_BLOCKS` plus its place there.
#[derive(Debug, Default)]
struct Blocks {
    pages: Vec<Page>,
    /// The numbers of the pages that have a free block, each once.
    roomy: Vec<u32>,
}

#[derive(Debug)]
struct Page {
    /// None while all its blocks are free.
    blocks: Option<Box<[Block; PAGE_BLOCKS]>>,
    /// Bit `b` is set if block `b` is free.
    free: u32,
}

impl Blocks {
    fn push(&mut self, queue: &mut Queue, hash: u64) {
        if queue.is_empty() {
            let number = self.allocate();
            *queue = Queue { first: number, last: number };
        } else if usize::from(self.at(queue.last).end) == BLOCK_ITEMS {
            let number = self.allocate();
            self.at(queue.last).next = number;
            queue.last = number;
        }
        let block = self.at(queue.last);
        block.hashes[usize::from(block.end)] = hash;
        block.end += 1;
    }

    fn pop(&mut self, queue: &mut Queue) -> Option<u64> {
        if queue.is_empty() {
            return None;
        }
        let block = self.at(queue.first);
        debug_assert!(block.start < block.end);
        let hash = block.hashes[usize::from(block.start)];
        block.start += 1;
        if block.start == block.end {
            let next = block.next;
            self.release(queue.first);
            queue.first = next;
        }
        Some(hash)
    }

    fn at(&mut self, number: u32) -> &mut Block {
        let (page, place) = position(number);
        let blocks =
            self.pages[page].blocks.as_mut().expect("a block in a queue lies in a page that is there");
        &mut blocks[place]
    }

    /// Takes a free block and answers its number; it is empty.
    fn allocate(&mut self) -> u32 {
        let number = match self.roomy.last() {
            Some(&number) => number,
            None => {
                let number = self.pages.len() as u32;
                self.pages.push(Page { blocks: None, free: u32::MAX });
                self.roomy.push(number);
                number
            }
        };
        let page = &mut self.pages[number as usize];
        let place = page.free.trailing_zeros();
        page.free &= page.free - 1;
        let blocks = page.blocks.get_or_insert_with(|| Box::new([Block::EMPTY; PAGE_BLOCKS]));
        blocks[place as usize] = Block::EMPTY;
        if page.free == 0 {
            self.roomy.pop();
        }
        number * PAGE_BLOCKS as u32 + place
    }

    fn release(&mut self, number: u32) {
        let (page_number, place) = position(number);
        let page = &mut self.pages[page_number];
        debug_assert!(page.free >> place & 1 == 0);
        if page.free == 0 {
            self.roomy.push(page_number as u32);
        }
        page.free |= 1 << place;
        if page.free == u32::MAX {
            page.blocks = None;
        }
    }

    fn heap_bytes(&self) -> usize {
        let there = self.pages.iter().filter(|page| page.blocks.is_some()).count();
        there * size_of::<[Block; PAGE_BLOCKS]>()
            + self.pages.capacity() * size_of::<Page>()
            + self.roomy.capacity() * size_of::<u32>()
    }

    /// Items and blocks of a queue, its blocks checked.
    #[cfg(test)]
    fn measure(&self, queue: Queue) -> (usize, usize) {
        let (mut items, mut blocks, mut number) = (0, 0, queue.first);
        while number != NONE {
            let (page, place) = position(number);
            assert_eq!(self.pages[page].free >> place & 1, 0);
            let block = self.pages[page].blocks.as_ref().expect("a page in use is there")[place];
            assert!(block.start < block.end);
            assert!(block.start == 0 || number == queue.first);
            assert_eq!(block.next == NONE, number == queue.last);
            assert!(usize::from(block.end) == BLOCK_ITEMS || number == queue.last);
            items += usize::from(block.end - block.start);
            blocks += 1;
            number = block.next;
        }
        (items, blocks)
    }

    #[cfg(test)]
    fn check_invariants(&self, blocks_in_queues: usize) {
        let used: usize = self.pages.iter().map(|page| page.free.count_zeros() as usize).sum();
        assert_eq!(used, blocks_in_queues);
        let mut roomy = self.roomy.clone();
        roomy.sort_unstable();
        let expected = (0..self.pages.len() as u32).filter(|&number| self.pages[number as usize].free != 0);
        assert!(roomy.into_iter().eq(expected));
        assert!(self.pages.iter().all(|page| page.blocks.is_none() == (page.free == u32::MAX)));
    }
}

/// A block's page and its place there.
fn position(number: u32) -> (usize, usize) {
    (number as usize / PAGE_BLOCKS, number as usize % PAGE_BLOCKS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, HashMap};

    const NOW: u64 = 1_700_000_000_123;
    const HOUR: u64 = 3_600_000;

    /// Advances with a table of deadlines as the owner; answers what fired, as (tick, hash).
    fn fire(
        wheel: &mut Wheel,
        table: &mut HashMap<u64, u64>,
        now: u64,
        budget: usize,
    ) -> (usize, Vec<(u64, u64)>) {
        let mut fired = Vec::new();
        let looks = wheel.advance(now, budget, &mut |hash, tick| match table.get(&hash) {
            None => Verdict::Gone,
            Some(&deadline) if deadline > tick => Verdict::Due(deadline),
            Some(_) => {
                table.remove(&hash);
                fired.push((tick, hash));
                Verdict::Gone
            }
        });
        (looks, fired)
    }

    fn filed(items: &[(u64, u64)]) -> (Wheel, HashMap<u64, u64>) {
        let mut wheel = Wheel::new(NOW);
        items.iter().for_each(|&(deadline, hash)| wheel.file(deadline, hash));
        (wheel, items.iter().map(|&(deadline, hash)| (hash, deadline)).collect())
    }

    #[test]
    fn keys_fire_at_their_millisecond_in_deadline_order() {
        let deadlines = [NOW + 5, NOW + HOUR, NOW, NOW + 5, NOW - 9, NOW + 64, NOW + 90_000, NOW + 1];
        let items: Vec<_> = deadlines.iter().copied().zip(1..).collect();
        let (mut wheel, mut table) = filed(&items);
        assert_eq!(wheel.next_due_ms(), Some(NOW));
        for now in [NOW, NOW + 1, NOW + 4] {
            let fired = fire(&mut wheel, &mut table, now, 100).1;
            assert!(fired.iter().all(|&(tick, _)| tick == now), "{fired:?}");
        }
        assert_eq!(wheel.next_due_ms(), Some(NOW + 5));
        let (_, fired) = fire(&mut wheel, &mut table, NOW + 2 * HOUR, 100);
        assert_eq!(fired, [(NOW + 5, 1), (NOW + 5, 4), (NOW + 64, 6), (NOW + 90_000, 7), (NOW + HOUR, 2)]);
        assert_eq!((wheel.len(), wheel.next_due_ms()), (0, None));
    }

    #[test]
    fn an_extended_deadline_is_filed_again_when_it_comes_up() {
        let (mut wheel, mut table) = filed(&[(NOW + 10, 1)]);
        table.insert(1, NOW + 500);
        assert_eq!(fire(&mut wheel, &mut table, NOW + 499, 100).1, []);
        assert_eq!(wheel.len(), 1);
        assert_eq!(fire(&mut wheel, &mut table, NOW + 500, 100).1, [(NOW + 500, 1)]);
    }

    #[test]
    fn a_spent_budget_is_taken_up_where_it_was_left() {
        let items: Vec<_> = (0..1000).map(|hash| (NOW + 100_000 + hash % 3, hash)).collect();
        let (mut wheel, mut table) = filed(&items);
        let mut fired = Vec::new();
        while wheel.next_due_ms().is_some_and(|due| due <= NOW + HOUR) {
            let (looks, some) = fire(&mut wheel, &mut table, NOW + HOUR, 7);
            assert!((1..=7).contains(&looks));
            fired.extend(some);
            wheel.check_invariants();
        }
        let mut expected: Vec<_> = items.clone();
        expected.sort_by_key(|&(deadline, _)| deadline);
        assert_eq!(fired, expected);
        assert_eq!(fire(&mut wheel, &mut table, NOW + HOUR, 7).0, 0);
    }

    #[test]
    fn jumps_over_any_stretch_cost_only_what_lies_in_it() {
        let far = [NOW + 40 * 365 * 24 * HOUR, 1 << 47, 1 << 53, 1 << 60, u64::MAX - 1];
        let items: Vec<_> = far.iter().copied().zip(1..).collect();
        let (mut wheel, mut table) = filed(&items);
        wheel.file(u64::MAX, 9);
        table.insert(9, u64::MAX);
        let (looks, fired) = fire(&mut wheel, &mut table, u64::MAX, usize::MAX);
        assert_eq!(fired, items);
        assert!(looks < far.len() * LEVELS * 2, "{looks}");
        // What is due at the end of time itself never is.
        assert_eq!((wheel.len(), wheel.next_due_ms()), (1, Some(u64::MAX)));
        wheel.check_invariants();
    }

    #[test]
    fn an_entry_that_is_due_but_kept_comes_up_once_a_tick() {
        let (mut wheel, _) = filed(&[(NOW + 3, 1)]);
        let mut seen = Vec::new();
        wheel.advance(NOW + 70, usize::MAX, &mut |_, tick| {
            seen.push(tick);
            Verdict::Due(NOW + 3)
        });
        seen.retain(|&tick| tick >= NOW + 3);
        assert!(seen.into_iter().eq(NOW + 3..=NOW + 70));
        assert_eq!(wheel.next_due_ms(), Some(NOW + 71));
    }

    #[test]
    fn a_clock_set_back_a_little_does_nothing_until_it_has_caught_up() {
        let (mut wheel, mut table) = filed(&[(NOW + 5, 1)]);
        assert_eq!(fire(&mut wheel, &mut table, NOW - 1000, 10), (0, vec![]));
        wheel.file(NOW - 500, 2);
        table.insert(2, NOW - 500);
        assert_eq!(fire(&mut wheel, &mut table, NOW + 5, 10).1, [(NOW, 2), (NOW + 5, 1)]);
    }

    /// Shows up to `count` keys of the table above the cursor's.
    fn show<'t>(table: &'t BTreeMap<u64, u64>, count: usize) -> impl FnMut(u64, &mut Wheel) -> u64 + use<'t> {
        move |cursor, wheel| {
            let mut rest = table.range(cursor..);
            rest.by_ref().take(count).for_each(|(&hash, &deadline)| wheel.file(deadline, hash));
            rest.next().map_or(0, |(&hash, _)| hash)
        }
    }

    #[test]
    fn left_overs_call_for_a_successor_that_is_built_a_little_at_a_time() {
        let mut wheel = Wheel::new(NOW);
        (0..264).for_each(|hash| wheel.file(NOW + hash, hash));
        assert!(!wheel.wants_renewal(100) && wheel.wants_renewal(99));
        wheel.clear(NOW);
        assert_eq!((wheel.len(), wheel.heap_bytes(), wheel.wants_renewal(0)), (0, 0, false));
        // Each of some keys was given a hundred deadlines.
        let table: BTreeMap<u64, u64> = (1..=1000).map(|hash| (hash, NOW + HOUR - hash)).collect();
        (0..100).for_each(|_| table.iter().for_each(|(&hash, &deadline)| wheel.file(deadline, hash)));
        let before = wheel.heap_bytes();
        let mut calls = 0;
        while wheel.wants_renewal(table.len()) {
            let (pages, filed) =
                (wheel.old_pages.len(), wheel.successor.as_ref().map_or(0, |it| it.wheel.len()));
            wheel.renew(&mut show(&table, 3));
            assert!(wheel.old_pages.len() + PAGES_FREED >= pages);
            assert!(wheel.successor.as_ref().is_none_or(|it| it.wheel.len() <= filed + 3));
            wheel.check_invariants();
            calls += 1;
        }
        assert_eq!(wheel.len(), table.len());
        assert!(calls > 333 && wheel.heap_bytes() < before / 20);
        let (_, fired) =
            fire(&mut wheel, &mut table.iter().map(|(&h, &d)| (h, d)).collect(), NOW + HOUR, 9999);
        assert!(fired.iter().map(|&(tick, hash)| (hash, tick)).eq(table.into_iter().rev()));
    }

    /// Bytes per item with `items` spread evenly over `span_ms` and over `wheels` wheels.
    fn bytes_per_item(items: usize, span_ms: u64, wheels: usize) -> f64 {
        let mut all: Vec<_> = (0..wheels).map(|_| Wheel::new(NOW)).collect();
        for item in 0..items {
            let scattered = (item as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            all[item % wheels].file(NOW + scattered % span_ms, scattered);
        }
        let bytes: usize = all.iter().map(|wheel| wheel.heap_bytes() + size_of::<Wheel>()).sum();
        bytes as f64 / items as f64
    }

    #[test]
    fn an_item_costs_little_more_than_its_eight_bytes() {
        for (span_ms, wheels, limit) in [
            (1, 1, 9.5),
            (1000, 1, 9.5),
            (HOUR, 1, 9.5),
            (30 * 24 * HOUR, 1, 9.5),
            (HOUR, 64, 10.0),
            (1000, 256, 11.0),
            (HOUR, 256, 11.0),
        ] {
            let cost = bytes_per_item(1_000_000, span_ms, wheels);
            assert!(cost <= limit, "{cost} bytes an item over {span_ms} ms in {wheels} wheels");
        }
        let few = bytes_per_item(256 * 4, HOUR, 256) * 4.0;
        assert!(few <= 5000.0, "{few} bytes in a wheel of four items");
    }

    #[test]
    fn memory_goes_back_as_items_leave_and_stays_low_while_they_cascade() {
        let items: Vec<_> = (0..100_000).map(|hash| (NOW + hash * 36, hash)).collect();
        let (mut wheel, mut table) = filed(&items);
        let start = wheel.heap_bytes();
        for now in (NOW..=NOW + HOUR).step_by(100_000) {
            fire(&mut wheel, &mut table, now, usize::MAX);
            let cost = wheel.heap_bytes();
            assert!(cost <= start + start / 10, "{cost} of {start}");
        }
        fire(&mut wheel, &mut table, NOW + HOUR, usize::MAX);
        assert!(wheel.heap_bytes() < start / 20, "{} of {start}", wheel.heap_bytes());
        wheel.check_invariants();
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Gives a key this deadline, relative to now; filed as an owner does.
        Set(u64, i64),
        Delete(u64),
        Advance(u64, usize),
        AdvanceAll(u64),
        /// Works on a successor, whether one is called for or not.
        Renew(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let span =
            || prop_oneof![4 => 0u64..4, 4 => 0u64..200, 3 => 0u64..10_000, 2 => 0..HOUR, 1 => 0u64..1 << 50];
        let deadline =
            (span(), 0..10).prop_map(|(ms, sign)| if sign == 0 { -(ms as i64) } else { ms as i64 });
        let step = prop_oneof![
            6 => (0u64..40, deadline).prop_map(|(key, deadline)| Step::Set(key, deadline)),
            1 => (0u64..40).prop_map(Step::Delete),
            3 => (span(), 0usize..12).prop_map(|(ms, budget)| Step::Advance(ms, budget)),
            1 => span().prop_map(Step::AdvanceAll),
            2 => (1usize..9).prop_map(Step::Renew),
        ];
        prop::collection::vec(step, 1..300)
    }

    /// The owner as the wheel expects it, beside a plain ordered map of the same deadlines.
    struct Owner {
        wheel: Wheel,
        now: u64,
        table: HashMap<u64, u64>,
        model: BTreeMap<(u64, u64), ()>,
        last_fired: u64,
    }

    impl Owner {
        fn set(&mut self, key: u64, given: u64) {
            // One that has passed takes its place at the tick the wheel has come to.
            let deadline = given.max(self.wheel.tick).max(self.last_fired);
            let old = self.table.insert(key, deadline);
            if let Some(old) = old {
                self.model.remove(&(old, key));
            }
            self.model.insert((deadline, key), ());
            // Extending files nothing: the item that is there will come up in time.
            if old.is_none_or(|old| deadline < old) {
                self.wheel.file(given, key);
            }
        }

        fn advance(&mut self, budget: usize) {
            let (looks, fired) = fire(&mut self.wheel, &mut self.table, self.now, budget);
            assert!(looks <= budget);
            for (tick, key) in fired {
                let (&(deadline, _), ()) = self
                    .model
                    .range(..=(tick, u64::MAX))
                    .find(|((_, candidate), ())| *candidate == key)
                    .expect("what fires is due");
                assert!(deadline <= tick && tick <= self.now);
                assert!(deadline >= self.last_fired, "{deadline} after {}", self.last_fired);
                self.last_fired = deadline;
                self.model.remove(&(deadline, key));
            }
            if looks < budget {
                let first = self.model.keys().next();
                assert!(first.is_none_or(|&(deadline, _)| deadline > self.now), "{first:?} left behind");
                assert!(self.wheel.next_due_ms().is_none_or(|due| due > self.now));
            }
            let first = self.model.keys().next();
            assert!(first.is_none_or(|&(deadline, _)| {
                self.wheel.next_due_ms().is_some_and(|due| due <= deadline.max(self.now))
            }));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn every_key_fires_once_in_order_and_none_early(steps in steps()) {
            let mut owner = Owner {
                wheel: Wheel::new(NOW),
                now: NOW,
                table: HashMap::new(),
                model: BTreeMap::new(),
                last_fired: 0,
            };
            for step in steps {
                match step {
                    Step::Set(key, by) => owner.set(key, owner.now.saturating_add_signed(by)),
                    Step::Delete(key) => {
                        if let Some(deadline) = owner.table.remove(&key) {
                            owner.model.remove(&(deadline, key));
                        }
                    }
                    Step::Advance(ms, budget) => {
                        owner.now += ms;
                        owner.advance(budget);
                    }
                    Step::Renew(count) => {
                        let table = owner.table.iter().map(|(&hash, &deadline)| (hash, deadline)).collect();
                        owner.wheel.renew(&mut show(&table, count));
                    }
                    Step::AdvanceAll(ms) => {
                        owner.now += ms;
                        owner.advance(usize::MAX);
                    }
                }
                owner.wheel.check_invariants();
            }
            owner.now = u64::MAX - 1;
            owner.advance(usize::MAX);
            prop_assert!(owner.model.is_empty() && owner.table.is_empty());
            prop_assert_eq!(owner.wheel.len(), 0);
        }
    }
}
