//! One block of a dictionary: entries packed into an arena, found through groups of tags.
//!
//! For: the dictionary, which chooses the segment by the leading bits of a hash. May touch: nothing.
//! Always: an entry lies in the first group from its home on that had room when it was placed, and no group
//! between its home and the one it lies in has a slot that was never used; so a search may stop at such a
//! slot.
//!
//! ```text
//! groups   [ 8 tags | 8 places ] [ 8 tags | 8 places ] ...     a place is an offset into the arena
//! arena    key, value | key, value | hole | key, value ...     a text is a length and its bytes
//! ```
//!
//! A text of over 1,024 bytes lies in an `Arc` of its own, and the arena has its number.

use std::sync::Arc;

use super::Hasher;
use crate::value::steps;

/// Live bytes of an arena above which a segment is split.
pub(super) const ARENA_BYTES: usize = 7 * 1024;
/// Entries above which a segment is split.
pub(super) const SEGMENT_ENTRIES: usize = 448;
/// A longer text lies outside the arena.
const INSIDE_BYTES: usize = 1024;
/// Groups are laid out anew when no more than one in so many slots is unused.
const SLOTS_PER_UNUSED: usize = 10;
/// Slots of a group.
pub(super) const SLOTS: usize = 8;
/// The deadline of an entry that has none.
pub(super) const NEVER: u64 = u64::MAX;

/// A slot that was not used since the groups were laid out.
const UNUSED: u8 = 0;
/// A slot whose entry was removed while the group had no unused slot.
const REMOVED: u8 = 1;

/// The first byte of a text: its length up to here,
const SHORT: u8 = 250;
/// or: two bytes of length follow,
const LONG: u8 = 251;
/// or: two bytes follow that number a text outside.
const OUTSIDE: u8 = 252;

const ONES: u64 = 0x0101_0101_0101_0101;
/// All bits but the top one of every byte.
const LOW_BITS: u64 = 0x7f7f_7f7f_7f7f_7f7f;

/// Marks the top bit of every byte of `word` that is zero. A byte above a zero byte may be marked wrongly.
#[inline]
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & (ONES << 7)
}

#[derive(Clone, Copy)]
struct Group {
    tags: u64,
    places: [u16; SLOTS],
}

impl Group {
    const UNUSED: Group = Group { tags: 0, places: [0; SLOTS] };

    #[inline]
    fn tag(&self, slot: usize) -> u8 {
        (self.tags >> (slot * 8)) as u8
    }

    #[inline]
    fn set_tag(&mut self, slot: usize, tag: u8) {
        self.tags = self.tags & !(0xff << (slot * 8)) | u64::from(tag) << (slot * 8);
    }

    #[inline]
    fn has_unused(&self) -> bool {
        zero_bytes(self.tags) != 0
    }

    /// Marks the top bit of the byte of every taken slot.
    fn taken(&self) -> u64 {
        let above = self.tags & !ONES;
        (((above & LOW_BITS) + LOW_BITS) | above) & !LOW_BITS
    }
}

/// The taken slots of a segment.
#[derive(Clone)]
pub(super) struct Taken<'a> {
    groups: &'a [Group],
    /// Groups looked at; the last of them still has `marks`.
    begun: usize,
    marks: u64,
}

impl Iterator for Taken<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.marks == 0 {
            self.marks = self.groups.get(self.begun)?.taken();
            self.begun += 1;
        }
        let slot = (self.begun - 1) * SLOTS + self.marks.trailing_zeros() as usize / 8;
        self.marks &= self.marks - 1;
        Some(slot)
    }
}

#[derive(Clone)]
pub(super) struct Segment<const VALUED: bool> {
    /// Leading bits of the hash that all entries have in common.
    depth: u32,
    len: usize,
    /// Slots never used.
    unused: usize,
    /// Bytes of the arena that belong to no entry.
    dead: usize,
    groups: Vec<Group>,
    /// Upper halves of the places, by slot; empty as long as the arena is below 64 KB.
    upper: Vec<u16>,
    arena: Vec<u8>,
    /// Texts too long for the arena; `None` where one was removed.
    outside: Vec<Option<Arc<[u8]>>>,
    /// Deadlines by slot; empty if there are none.
    deadlines: Vec<u64>,
    /// The smallest of `deadlines`.
    earliest: u64,
}

impl<const VALUED: bool> Segment<VALUED> {
    /// An empty segment with room for `entries` of `bytes` in all.
    pub fn new(depth: u32, entries: usize, bytes: usize) -> Self {
        let groups = groups_for(entries);
        Segment {
            depth,
            len: 0,
            unused: groups * SLOTS,
            dead: 0,
            groups: vec![Group::UNUSED; groups],
            upper: Vec::new(),
            arena: Vec::with_capacity(round_up(bytes)),
            outside: Vec::new(),
            deadlines: Vec::new(),
            earliest: NEVER,
        }
    }

    pub fn depth(&self) -> u32 {
        self.depth
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn slots(&self) -> usize {
        self.groups.len() * SLOTS
    }

    /// Bytes of the arena that belong to entries.
    #[inline]
    pub fn live_bytes(&self) -> usize {
        self.arena.len() - self.dead
    }

    pub fn earliest(&self) -> u64 {
        self.earliest
    }

    /// The slot of `key`.
    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        let tag = tag(hash);
        let wanted = u64::from(tag) * ONES;
        let mut at = self.home(hash);
        for _ in 0..self.groups.len() {
            steps::take(1);
            let group = &self.groups[at];
            let mut marks = zero_bytes(group.tags ^ wanted);
            while marks != 0 {
                let slot = at * SLOTS + marks.trailing_zeros() as usize / 8;
                if group.tag(slot % SLOTS) == tag && self.key(slot) == key {
                    return Some(slot);
                }
                marks &= marks - 1;
            }
            if group.has_unused() {
                return None;
            }
            at = if at + 1 == self.groups.len() { 0 } else { at + 1 };
        }
        None
    }

    pub fn is_taken(&self, slot: usize) -> bool {
        self.groups[slot / SLOTS].tag(slot % SLOTS) > REMOVED
    }

    /// All taken slots.
    pub fn taken(&self) -> Taken<'_> {
        Taken { groups: &self.groups, begun: 0, marks: 0 }
    }

    pub fn key(&self, slot: usize) -> &[u8] {
        self.text(self.place(slot)).0
    }

    /// Key and value of a taken slot; the value is empty where there are none.
    pub fn entry(&self, slot: usize) -> (&[u8], &[u8]) {
        let (key, at) = self.text(self.place(slot));
        (key, if VALUED { self.text(at).0 } else { &[] })
    }

    /// The slots of entries whose home is the group of `hash`, and of others that lie between.
    pub fn reach(&self, hash: u64) -> impl Iterator<Item = usize> {
        let home = self.home(hash);
        let around = (home..self.groups.len()).chain(0..home);
        let mut is_last = false;
        let groups =
            around.take_while(move |&at| !std::mem::replace(&mut is_last, self.groups[at].has_unused()));
        groups.flat_map(|at| at * SLOTS..(at + 1) * SLOTS).filter(|&slot| self.is_taken(slot))
    }

    /// The first hash behind those whose home is the group of `hash`.
    pub fn end_of_home(&self, hash: u64) -> u128 {
        let next = self.home(hash) as u64 + 1;
        let fraction = (next << 32).div_ceil(self.groups.len() as u64);
        u128::from(super::start(hash, self.depth)) + (u128::from(fraction) << (32 - self.depth))
    }

    /// Whether an entry of `bytes` more is too much for one segment.
    #[inline]
    pub fn is_full(&self, bytes: usize) -> bool {
        self.len >= SEGMENT_ENTRIES || self.live_bytes() + bytes > ARENA_BYTES
    }

    /// Whether the groups have to be laid out anew before one more entry. One unused slot has to be left, or
    /// a search would find no end.
    #[inline]
    fn is_crowded(&self) -> bool {
        self.unused == 1 || self.unused * SLOTS_PER_UNUSED <= self.slots()
    }

    /// Whether an entry of `bytes` more may be added as things are.
    #[inline]
    pub fn has_room(&self, bytes: usize) -> bool {
        self.arena.capacity() - self.arena.len() >= bytes && !self.is_full(bytes) && !self.is_crowded()
    }

    /// Makes room for one more entry of `bytes`.
    pub fn reserve(&mut self, bytes: usize, hasher: &Hasher) {
        if self.is_crowded() {
            self.regroup(groups_for(self.len + 1), hasher);
        }
        let needed = self.arena.len() + bytes;
        if needed > self.arena.capacity() {
            if self.dead * 8 >= self.arena.len() && self.dead > 0 {
                self.compact(bytes);
            } else {
                self.arena.reserve_exact(round_up(needed) - self.arena.len());
            }
        }
    }

    /// Adds an entry whose key is not there. The caller has made room.
    pub fn add(&mut self, hash: u64, key: &[u8], value: &[u8]) {
        let at = self.arena.len();
        self.write(key);
        if VALUED {
            self.write(value);
        }
        self.occupy(hash, at);
    }

    /// Replaces the value of `slot`. The caller has made room for the whole entry.
    pub fn replace(&mut self, slot: usize, value: &[u8]) {
        debug_assert!(VALUED);
        let start = self.place(slot);
        let at = skip(&self.arena, start);
        let end = skip(&self.arena, at);
        let bytes = text_bytes(value);
        if let Some(number) = self.outside_number(at) {
            if value.len() > INSIDE_BYTES {
                self.outside[number] = Some(Arc::from(value));
                return;
            }
            self.outside[number] = None;
        }
        if at + bytes <= end {
            // Written behind the last entry, then moved into its place.
            let written = self.arena.len();
            self.write(value);
            self.arena.copy_within(written.., at);
            self.arena.truncate(written);
            self.dead += end - at - bytes;
            return;
        }
        self.dead += end - start;
        let moved = self.arena.len();
        self.arena.extend_from_within(start..at);
        self.write(value);
        self.set_place(slot, moved);
    }

    /// Whether `value` is as long as the value of `slot` or shorter, so that replacing it needs no more room.
    pub fn fits(&self, slot: usize, value: &[u8]) -> bool {
        let at = skip(&self.arena, self.place(slot));
        at + text_bytes(value) <= skip(&self.arena, at)
    }

    /// Removes the entry of `slot`. No other entry changes its slot.
    pub fn remove(&mut self, slot: usize) {
        self.set_deadline(slot, NEVER);
        let at = self.place(slot);
        let value = skip(&self.arena, at);
        let end = self.entry_end(at);
        self.drop_outside(at);
        if VALUED {
            self.drop_outside(value);
        }
        if end == self.arena.len() {
            self.arena.truncate(at);
        } else {
            self.dead += end - at;
        }
        let group = &mut self.groups[slot / SLOTS];
        let has_unused = group.has_unused();
        group.set_tag(slot % SLOTS, if has_unused { UNUSED } else { REMOVED });
        self.unused += usize::from(has_unused);
        self.len -= 1;
    }

    /// Whether so much was removed that the segment should give memory back.
    pub fn is_sparse(&self) -> bool {
        self.len == 0 || self.arena.capacity() > 2 * round_up(self.live_bytes())
    }

    /// Gives back what the segment does not need.
    pub fn shrink(&mut self, hasher: &Hasher) {
        self.compact(0);
        if 2 * groups_for(self.len) <= self.groups.len() {
            self.regroup(groups_for(self.len), hasher);
        }
    }

    /// Two segments, one bit deeper.
    pub fn split(&self, hasher: &Hasher) -> [Self; 2] {
        // Slots for as many entries as there are here: then most halves are split before their groups would
        // have to be laid out anew.
        let (entries, bytes) = (self.len * 3 / 4, self.live_bytes() / 2 + self.live_bytes() / 16);
        steps::take(self.len);
        let mut halves = [0; 2].map(|_| Segment::new(self.depth + 1, entries, bytes));
        for slot in self.taken() {
            let hash = hasher.hash(self.key(slot));
            let half = hash >> (63 - self.depth) & 1;
            halves[half as usize].copy_from(self, slot, hash, hasher);
        }
        halves
    }

    /// One segment of two that differ in the last of their common bits.
    pub fn join(&self, other: &Self, hasher: &Hasher) -> Self {
        let bytes = self.live_bytes() + other.live_bytes();
        let mut joined = Segment::new(self.depth - 1, self.len + other.len, bytes);
        for from in [self, other] {
            for slot in from.taken() {
                joined.copy_from(from, slot, hasher.hash(from.key(slot)), hasher);
            }
        }
        joined
    }

    pub fn deadline(&self, slot: usize) -> u64 {
        self.deadlines.get(slot).copied().unwrap_or(NEVER)
    }

    pub fn set_deadline(&mut self, slot: usize, deadline_ms: u64) {
        let before = self.deadline(slot);
        if before == deadline_ms {
            return;
        }
        if self.deadlines.is_empty() {
            self.deadlines = vec![NEVER; self.slots()];
        }
        self.deadlines[slot] = deadline_ms;
        if deadline_ms < self.earliest {
            self.earliest = deadline_ms;
        } else if before == self.earliest {
            self.earliest = self.deadlines.iter().copied().min().unwrap_or(NEVER);
            if self.earliest == NEVER {
                self.deadlines = Vec::new();
            }
        }
    }

    #[cfg(test)]
    pub fn timed(&self) -> usize {
        self.deadlines.iter().filter(|&&deadline| deadline != NEVER).count()
    }

    /// The slots whose deadline is not after `now_ms`, earliest first.
    pub fn due(&self, now_ms: u64) -> Vec<usize> {
        let mut due: Vec<usize> =
            (0..self.deadlines.len()).filter(|&s| self.deadlines[s] <= now_ms).collect();
        due.sort_by_key(|&slot| self.deadlines[slot]);
        due
    }

    pub fn heap_bytes(&self) -> usize {
        let outside = self.outside.iter().flatten().map(|text| text.len() + 16).sum::<usize>();
        size_of::<Self>()
            + 16
            + self.groups.capacity() * size_of::<Group>()
            + self.upper.capacity() * 2
            + self.arena.capacity()
            + self.outside.capacity() * size_of::<Option<Arc<[u8]>>>()
            + outside
            + self.deadlines.capacity() * 8
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        let fraction = ((hash & super::POSITION) << self.depth) >> 32;
        ((fraction * self.groups.len() as u64) >> 32) as usize
    }

    #[inline]
    fn place(&self, slot: usize) -> usize {
        let lower = usize::from(self.groups[slot / SLOTS].places[slot % SLOTS]);
        self.upper.get(slot).map_or(lower, |&upper| lower | usize::from(upper) << 16)
    }

    #[inline]
    fn set_place(&mut self, slot: usize, at: usize) {
        self.groups[slot / SLOTS].places[slot % SLOTS] = at as u16;
        if at > usize::from(u16::MAX) || !self.upper.is_empty() {
            self.set_upper(slot, at);
        }
    }

    #[cold]
    fn set_upper(&mut self, slot: usize, at: usize) {
        if self.upper.is_empty() {
            self.upper = vec![0; self.slots()];
        }
        self.upper[slot] = u16::try_from(at >> 16).expect("entries that cannot be separated stay below 4 GB");
    }

    /// Puts the entry at `at` of the arena into the first free slot behind its home.
    #[inline]
    fn occupy(&mut self, hash: u64, at: usize) -> usize {
        let mut number = self.home(hash);
        let mut group = &mut self.groups[number];
        let mut free = zero_bytes(group.tags & !ONES);
        while free == 0 {
            number = if number + 1 == self.groups.len() { 0 } else { number + 1 };
            group = &mut self.groups[number];
            free = zero_bytes(group.tags & !ONES);
        }
        let inner = free.trailing_zeros() as usize / 8;
        self.unused -= usize::from(group.tag(inner) == UNUSED);
        group.set_tag(inner, tag(hash));
        group.places[inner] = at as u16;
        let slot = number * SLOTS + inner;
        if at > usize::from(u16::MAX) || !self.upper.is_empty() {
            self.set_upper(slot, at);
        }
        self.len += 1;
        slot
    }

    /// The text at `at` of the arena, and where it ends.
    #[inline]
    fn text(&self, at: usize) -> (&[u8], usize) {
        let head = self.arena[at];
        if head <= SHORT {
            let end = at + 1 + usize::from(head);
            return (&self.arena[at + 1..end], end);
        }
        if let Some(number) = self.outside_number(at) {
            let text = self.outside[number].as_deref().expect("an entry's text is kept until it is removed");
            return (text, at + 3);
        }
        let end = at + 3 + self.number(at);
        (&self.arena[at + 3..end], end)
    }

    fn number(&self, at: usize) -> usize {
        usize::from(u16::from_le_bytes([self.arena[at + 1], self.arena[at + 2]]))
    }

    fn outside_number(&self, at: usize) -> Option<usize> {
        (self.arena[at] == OUTSIDE).then(|| self.number(at))
    }

    fn drop_outside(&mut self, at: usize) {
        if let Some(number) = self.outside_number(at) {
            self.outside[number] = None;
        }
    }

    /// Appends a text to the arena.
    #[inline]
    fn write(&mut self, text: &[u8]) {
        if text.len() <= INSIDE_BYTES {
            match u8::try_from(text.len()) {
                Ok(len) if len <= SHORT => self.arena.push(len),
                _ => {
                    let [low, high] = (text.len() as u16).to_le_bytes();
                    self.arena.extend_from_slice(&[LONG, low, high]);
                }
            }
            self.arena.extend_from_slice(text);
        } else {
            self.write_outside(Arc::from(text));
        }
    }

    fn write_outside(&mut self, text: Arc<[u8]>) {
        let number = match self.outside.len() {
            // Many texts that were removed: their numbers serve again.
            len if len > SEGMENT_ENTRIES => self.outside.iter().position(Option::is_none).unwrap_or(len),
            len => len,
        };
        if number == self.outside.len() {
            self.outside.push(None);
        }
        self.outside[number] = Some(text);
        let number = u16::try_from(number).expect("entries that cannot be separated stay below 65,536");
        self.arena.push(OUTSIDE);
        self.arena.extend_from_slice(&number.to_le_bytes());
    }

    /// Appends the text at `at` of another arena to this one; returns where it ends there.
    fn copy_text(&mut self, from: &Self, at: usize) -> usize {
        let (text, end) = from.text(at);
        match from.outside_number(at).and_then(|number| from.outside[number].clone()) {
            Some(text) => self.write_outside(text),
            None => self.write(text),
        }
        end
    }

    fn copy_from(&mut self, from: &Self, slot: usize, hash: u64, hasher: &Hasher) {
        let start = from.place(slot);
        let end = from.entry_end(start);
        self.reserve(end - start, hasher);
        let at = self.arena.len();
        if from.outside.is_empty() {
            self.arena.extend_from_slice(&from.arena[start..end]);
        } else {
            let value = self.copy_text(from, start);
            if VALUED {
                self.copy_text(from, value);
            }
        }
        let taken = self.occupy(hash, at);
        if from.earliest != NEVER {
            self.set_deadline(taken, from.deadline(slot));
        }
    }

    #[inline]
    fn entry_end(&self, at: usize) -> usize {
        let end = skip(&self.arena, at);
        if VALUED { skip(&self.arena, end) } else { end }
    }

    /// Closes all holes of the arena and leaves room for `bytes` more.
    fn compact(&mut self, bytes: usize) {
        let fresh = Vec::with_capacity(round_up(self.live_bytes() + bytes));
        let arena = std::mem::replace(&mut self.arena, fresh);
        let slots: Vec<usize> = self.taken().collect();
        for slot in slots {
            let start = self.place(slot);
            let key = skip(&arena, start);
            let end = if VALUED { skip(&arena, key) } else { key };
            let at = self.arena.len();
            self.arena.extend_from_slice(&arena[start..end]);
            self.set_place(slot, at);
        }
        if self.arena.len() <= usize::from(u16::MAX) {
            self.upper = Vec::new();
        }
        if self.outside.iter().all(Option::is_none) {
            self.outside = Vec::new();
        }
        self.dead = 0;
    }

    /// Lays out the groups anew.
    fn regroup(&mut self, groups: usize, hasher: &Hasher) {
        let old = Segment {
            groups: std::mem::replace(&mut self.groups, vec![Group::UNUSED; groups]),
            upper: std::mem::take(&mut self.upper),
            arena: std::mem::take(&mut self.arena),
            outside: std::mem::take(&mut self.outside),
            deadlines: std::mem::take(&mut self.deadlines),
            ..*self
        };
        (self.len, self.unused, self.earliest) = (0, self.slots(), NEVER);
        for slot in old.taken() {
            let taken = self.occupy(hasher.hash(old.key(slot)), old.place(slot));
            if old.earliest != NEVER {
                self.set_deadline(taken, old.deadline(slot));
            }
        }
        (self.arena, self.outside) = (old.arena, old.outside);
    }

    /// Panics if the segment contradicts itself.
    #[cfg(test)]
    pub fn check_invariants(&self, hasher: &Hasher) {
        let mut live = 0;
        for slot in self.taken() {
            let (key, hash) = (self.key(slot), hasher.hash(self.key(slot)));
            assert_eq!(self.find(hash, key), Some(slot));
            assert!(self.reach(hash).any(|reached| reached == slot));
            let at = self.place(slot);
            live += self.entry_end(at) - at;
        }
        assert_eq!(self.taken().count(), self.len);
        assert_eq!(live, self.live_bytes());
        let unused = (0..self.slots()).filter(|s| self.groups[s / SLOTS].tag(s % SLOTS) == UNUSED).count();
        assert_eq!(unused, self.unused);
        assert!(self.unused > 0);
        assert!(self.deadlines.is_empty() || self.deadlines.len() == self.slots());
        assert!(self.upper.is_empty() || self.upper.len() == self.slots());
        assert_eq!(self.deadlines.iter().copied().min().unwrap_or(NEVER), self.earliest);
        let timed = (0..self.slots()).filter(|&slot| self.deadline(slot) != NEVER);
        assert!(timed.into_iter().all(|slot| self.is_taken(slot)));
    }
}

/// Bytes an entry takes in an arena.
pub(super) fn entry_bytes<const VALUED: bool>(key: &[u8], value: &[u8]) -> usize {
    text_bytes(key) + if VALUED { text_bytes(value) } else { 0 }
}

#[inline]
fn text_bytes(text: &[u8]) -> usize {
    match text.len() {
        len if len <= usize::from(SHORT) => 1 + len,
        len if len <= INSIDE_BYTES => 3 + len,
        _ => 3,
    }
}

/// Where the text at `at` ends.
#[inline]
fn skip(arena: &[u8], at: usize) -> usize {
    match arena[at] {
        LONG => at + 3 + usize::from(u16::from_le_bytes([arena[at + 1], arena[at + 2]])),
        OUTSIDE => at + 3,
        len => at + 1 + usize::from(len),
    }
}

/// The byte kept beside a taken slot.
fn tag(hash: u64) -> u8 {
    (hash as u8).max(REMOVED + 1)
}

/// Groups that `entries` fill by two thirds.
fn groups_for(entries: usize) -> usize {
    (entries * 3 / 2).div_ceil(SLOTS).max(1)
}

/// The next size that allocators have a class for.
fn round_up(bytes: usize) -> usize {
    let bytes = bytes.max(32);
    bytes.next_multiple_of(bytes.next_power_of_two() / 8)
}
