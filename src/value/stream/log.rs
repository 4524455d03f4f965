//! The entries of a stream.
//!
//! For: appending, deleting, trimming and looking up by identifier. May touch: blocks.
//! Always: blocks ascend without overlapping and are keyed by their first identifier; the last one, `tail`,
//! is the only one that grows; `length` counts the entries that are not deleted, and `first_id` is the lowest
//! of them, or [`StreamId::MIN`].

use std::collections::BTreeMap;
use std::iter::once;
use std::sync::Arc;

use super::block::{Block, NODE_MAX_BYTES, NodeLimits};
use super::entries::{Blocks, Downwards, Entry, Upwards};
use super::extrapolated;
use super::group::Group;
use super::id::StreamId;

/// Blocks whose keys are looked at to tell the size of a radix tree; beyond them it is extrapolated.
const RADIX_SAMPLE: usize = 20_000;
/// Blocks that are looked at to tell what all of them occupy.
const BLOCK_SAMPLE: usize = 16;

/// What XTRIM removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trim {
    /// All but that many of the newest entries.
    MaxLen(u64),
    /// All entries below an identifier.
    MinId(StreamId),
}

/// The fields and values of an entry are larger than a block may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// Entries in the order of their identifiers.
#[derive(Clone, Debug, Default)]
pub struct Log {
    sealed: BTreeMap<StreamId, Arc<Block>>,
    tail: Option<Arc<Block>>,
    length: u64,
    first_id: StreamId,
    /// At least the identifier of every entry that ever was.
    last_id: StreamId,
    max_deleted_id: StreamId,
    entries_added: u64,
}

impl Log {
    /// Number of entries.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Identifier of the first entry, [`StreamId::MIN`] when there is none.
    pub fn first_id(&self) -> StreamId {
        self.first_id
    }

    /// The highest identifier given so far.
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// The highest identifier of an entry that was deleted alone (not by trimming).
    pub fn max_deleted_id(&self) -> StreamId {
        self.max_deleted_id
    }

    /// Entries that were ever added.
    pub fn entries_added(&self) -> u64 {
        self.entries_added
    }

    /// Sets the counters that XSETID and RESTORE set.
    pub fn set_ids(&mut self, last_id: StreamId, max_deleted_id: StreamId, entries_added: u64) {
        self.last_id = last_id;
        self.max_deleted_id = max_deleted_id;
        self.entries_added = entries_added;
    }

    /// Appends an entry, whose `id` is above [`Log::last_id`]; `pairs` are field, value, field, ...
    ///
    /// # Errors
    /// [`TooLarge`] with more than 1 GiB of fields and values.
    pub fn append<'p>(
        &mut self,
        id: StreamId,
        pairs: impl ExactSizeIterator<Item = &'p [u8]> + Clone,
        limits: NodeLimits,
    ) -> Result<(), TooLarge> {
        debug_assert!(id > self.last_id);
        let pair_bytes: usize = pairs.clone().map(<[u8]>::len).sum();
        if pair_bytes > NODE_MAX_BYTES {
            return Err(TooLarge);
        }
        match &mut self.tail {
            Some(tail) if !tail.is_full(pair_bytes, limits) => Arc::make_mut(tail).push(id, pairs),
            _ => {
                let mut block = Block::new(id, pairs.clone());
                block.push(id, pairs);
                self.seal_tail();
                self.tail = Some(Arc::new(block));
            }
        }
        if self.length == 0 {
            self.first_id = id;
        }
        self.length += 1;
        self.entries_added += 1;
        self.last_id = id;
        Ok(())
    }

    fn seal_tail(&mut self) {
        if let Some(mut tail) = self.tail.take() {
            if let Some(block) = Arc::get_mut(&mut tail) {
                block.seal();
            }
            self.sealed.insert(tail.first(), tail);
        }
    }

    /// The block in which `id` would be.
    fn block_of(&self, id: StreamId) -> Option<&Block> {
        match &self.tail {
            Some(tail) if tail.first() <= id => Some(tail),
            _ => self.sealed.range(..=id).next_back().map(|(_, block)| &**block),
        }
    }

    /// Whether there is an entry of that identifier.
    pub fn has(&self, id: StreamId) -> bool {
        self.block_of(id).is_some_and(|block| block.has(id))
    }

    /// The entry of that identifier.
    pub fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        self.up(id, id).next()
    }

    /// Whether there is an entry above that identifier.
    pub fn has_above(&self, id: StreamId) -> bool {
        id < self.last_id && id.successor().is_some_and(|next| self.up(next, StreamId::MAX).next().is_some())
    }

    /// Removes an entry; false when there is none of that identifier.
    pub fn delete(&mut self, id: StreamId) -> bool {
        if !self.has(id) {
            return false;
        }
        let is_in_tail = self.tail.as_ref().is_some_and(|tail| tail.first() <= id);
        let block = if is_in_tail { self.tail.as_mut() } else { self.sealed_mut(id) };
        let Some(block) = block else { return false };
        if block.live() > 1 {
            Arc::make_mut(block).delete(id);
        } else {
            let first = block.first();
            self.drop_block(first);
        }
        self.length -= 1;
        self.max_deleted_id = self.max_deleted_id.max(id);
        if id == self.first_id {
            self.find_first();
        }
        true
    }

    fn sealed_mut(&mut self, id: StreamId) -> Option<&mut Arc<Block>> {
        self.sealed.range_mut(..=id).next_back().map(|(_, block)| block)
    }

    fn drop_block(&mut self, first: StreamId) {
        if self.sealed.remove(&first).is_none() {
            self.tail = self.sealed.pop_last().map(|(_, block)| block);
        }
    }

    fn find_first(&mut self) {
        self.first_id = self.up(StreamId::MIN, StreamId::MAX).next().map_or(StreamId::MIN, |entry| entry.id);
    }

    /// Removes the oldest entries; answers how many. Approximately: only whole blocks, and at most
    /// `limit` entries (0: any number).
    pub fn trim(&mut self, trim: Trim, is_approximate: bool, limit: u64) -> u64 {
        let before = self.length;
        while let Some(block) = self.sealed.first_key_value().map(|(_, block)| block).or(self.tail.as_ref()) {
            let live = block.live();
            let is_done = matches!(trim, Trim::MaxLen(max) if self.length <= max);
            if is_done || (limit != 0 && before - self.length + live > limit) {
                break;
            }
            let goes_whole = match trim {
                Trim::MaxLen(max) => self.length - live >= max,
                Trim::MinId(min) => block.last() < min,
            };
            let first = block.first();
            if goes_whole {
                self.drop_block(first);
                self.length -= live;
                continue;
            }
            if !is_approximate {
                self.trim_within(first, trim);
            }
            break;
        }
        if self.length != before {
            self.find_first();
        }
        before - self.length
    }

    /// Marks entries of the first block as deleted.
    fn trim_within(&mut self, first: StreamId, trim: Trim) {
        let mut left = self.length;
        let Some(block) = self.sealed.get_mut(&first).or(self.tail.as_mut()) else { return };
        self.length -= Arc::make_mut(block).delete_while(|id| {
            let goes = match trim {
                Trim::MaxLen(max) => left > max,
                Trim::MinId(min) => id < min,
            };
            left -= u64::from(goes);
            goes
        });
    }

    /// Entries from `start` to `end`, both included.
    pub fn up(&self, start: StreamId, end: StreamId) -> Upwards<'_> {
        Upwards { blocks: self.blocks(start), block: None, at: 0, start, end }
    }

    /// The same, downwards.
    pub fn down(&self, start: StreamId, end: StreamId) -> Downwards<'_> {
        let tail = self.tail.as_ref().filter(|tail| tail.first() <= end).map(|tail| (tail.key(), tail));
        let blocks = self.sealed.range(..=end).chain(tail);
        Downwards { blocks, block: None, left: Vec::new(), start, end }
    }

    /// Blocks from that of `start` on.
    fn blocks(&self, start: StreamId) -> Blocks<'_> {
        let tail = self.tail.as_ref().map(|tail| (tail.key(), tail));
        let from = match tail {
            Some((&first, _)) if first <= start => first,
            _ => self.sealed.range(..=start).next_back().map_or(start, |(&first, _)| first),
        };
        self.sealed.range(from..).chain(tail)
    }

    /// How many entries had been added when `id` was the last, as far as that can be told.
    pub fn entries_until(&self, id: StreamId) -> Option<u64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        if self.length == 0 && id <= self.last_id {
            return Some(self.entries_added);
        }
        if id != StreamId::MIN && id < self.max_deleted_id {
            return None;
        }
        if id >= self.last_id {
            return (id == self.last_id).then_some(self.entries_added);
        }
        if self.max_deleted_id == StreamId::MIN || self.max_deleted_id < self.first_id {
            let before = self.entries_added.wrapping_sub(self.length);
            if id < self.first_id {
                return Some(before);
            }
            if id == self.first_id {
                return Some(before.wrapping_add(1));
            }
        }
        None
    }

    /// Whether an entry above `from` may have been deleted.
    pub fn has_gaps_from(&self, from: StreamId) -> bool {
        self.length != 0 && self.max_deleted_id != StreamId::MIN && from <= self.max_deleted_id
    }

    /// Moves a group on to `id`, which was just delivered and is above its last one, and counts it if it can.
    pub fn advance(&self, group: &mut Group, id: StreamId) {
        if id <= group.last_id {
            return;
        }
        group.entries_read = match group.entries_read {
            Some(read) if group.last_id >= self.first_id && !self.has_gaps_from(group.last_id) => {
                Some(read.wrapping_add(1))
            }
            _ if self.entries_added != 0 => self.entries_until(id).map(|read| read as i64),
            read => read,
        };
        group.last_id = id;
    }

    /// Number of blocks, which are Redis's nodes.
    pub fn block_count(&self) -> usize {
        self.sealed.len() + usize::from(self.tail.is_some())
    }

    /// How many nodes a radix tree over the blocks' identifiers has.
    pub fn radix_nodes(&self) -> u64 {
        let count = self.block_count();
        let keys = self.sealed.keys().copied().chain(self.tail.as_ref().map(|tail| tail.first()));
        let keys: Vec<[u8; 16]> = keys.take(RADIX_SAMPLE).map(StreamId::to_bytes).collect();
        let nodes = radix_nodes(&keys);
        if count <= RADIX_SAMPLE { nodes } else { nodes * count as u64 / RADIX_SAMPLE as u64 }
    }

    /// Bytes it occupies, about: a sample of its blocks stands for the others.
    pub fn heap_bytes(&self) -> usize {
        let index = size_of::<(StreamId, Arc<Block>)>() * 3 / 2 + 2 * size_of::<usize>();
        let seen = self.sealed.len().min(BLOCK_SAMPLE);
        let sealed: usize = self.sealed.values().take(seen).map(|block| block.heap_bytes() + index).sum();
        let tail = self.tail.as_ref().map_or(0, |block| block.heap_bytes());
        extrapolated(sealed, seen, self.sealed.len()) + tail
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        let mut above: Option<StreamId> = None;
        let (mut length, mut first_id) = (0, None);
        for (key, block) in self.blocks(StreamId::MIN) {
            assert_eq!(*key, block.first());
            assert!(above.is_none_or(|above| above < *key));
            let (mut at, mut live) = (block.start(), 0);
            while let Some(raw) = block.entry(&mut at) {
                assert!(above.is_none_or(|above| above < raw.id));
                above = Some(raw.id);
                if !raw.is_deleted() {
                    live += 1;
                    first_id.get_or_insert(raw.id);
                }
            }
            assert_eq!((live, above), (block.live(), Some(block.last())));
            length += live;
        }
        assert_eq!((length, first_id.unwrap_or_default()), (self.length, self.first_id));
        assert!(above.is_none_or(|above| above <= self.last_id));
    }
}

/// Nodes of a radix tree that joins what does not branch, over ascending keys of one length: each key ends in
/// a leaf; the root and every branching is a node; and so is what lies between two of them, unless it is only
/// the byte by which they branch.
fn radix_nodes(keys: &[[u8; 16]]) -> u64 {
    let shared = |pair: &[[u8; 16]]| pair[0].iter().zip(&pair[1]).take_while(|(a, b)| a == b).count();
    let mut nodes = 1;
    // Depths of the branchings on the way to the present key.
    let mut open: Vec<usize> = Vec::new();
    let mut before = None;
    for depth in keys.windows(2).map(shared).map(Some).chain(once(None)) {
        if keys.is_empty() {
            break;
        }
        // The leaf, and the run of bytes before it.
        let parent: Option<usize> = before.max(depth);
        let run = 16 - parent.map_or(0, |parent| parent + 1);
        nodes += 1 + u64::from(run > 0);
        let close = depth.map_or(0, |depth| depth + 1);
        while let Some(top) = open.pop_if(|top| *top >= close) {
            let parent = depth.max(open.last().copied());
            nodes += 1 + u64::from(top > parent.map_or(0, |parent| parent + 1));
        }
        if let Some(depth) = depth
            && open.last().is_none_or(|top| *top < depth)
        {
            open.push(depth);
        }
        before = depth;
    }
    // The root is the topmost of them.
    nodes - u64::from(!keys.is_empty())
}
