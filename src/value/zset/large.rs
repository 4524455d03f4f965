//! A large sorted set: the order of its entries, and an index of its members.
//!
//! For: `zset.rs`. May touch: blocks of this folder.
//! Always: the index has exactly the members of the tree, each with the leaf in which it lies.

use std::ops::Range;

use super::index::Index;
use super::run::Probe;
use super::tree::{Entries, Tree};

/// A large sorted set. Cloning copies tables of numbers and shares all blocks.
#[derive(Clone, Debug)]
pub struct Large {
    tree: Tree,
    index: Index,
}

impl Large {
    /// An empty one whose index hashes with `seed`.
    pub fn new(seed: u64) -> Large {
        Large { tree: Tree::default(), index: Index::new(seed) }
    }

    /// Number of members.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "an empty set is never large for long")]
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// The leaf and the index in it of a member.
    #[inline]
    fn find(&self, hash: u32, member: &[u8]) -> Option<(u32, usize)> {
        self.index
            .leaves(hash)
            .find_map(|leaf| self.tree.leaf(leaf).find(tag(hash), member).map(|at| (leaf, at)))
    }

    /// Score of a member.
    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.find(self.index.hash(member), member).map(|(leaf, at)| self.tree.leaf(leaf).score(at))
    }

    /// Number of entries before `probe`. O(log N).
    pub fn rank(&self, probe: Probe<'_>) -> usize {
        self.tree.rank(probe)
    }

    /// The entry of that rank; there is one. O(log N).
    pub fn nth(&self, rank: usize) -> (&[u8], f64) {
        self.tree.nth(rank)
    }

    /// The entries of these ranks, ascending or descending.
    pub fn range(&self, ranks: Range<usize>, is_reverse: bool) -> Entries<'_> {
        self.tree.range(ranks, is_reverse)
    }

    /// Lets `decide` choose a member's new score from the one that it has; `None` leaves it as it is. O(log
    /// N).
    pub fn edit(&mut self, member: &[u8], decide: impl FnOnce(Option<f64>) -> Option<f64>) {
        let hash = self.index.hash(member);
        let found = self.find(hash, member);
        let old = found.map(|(leaf, at)| self.tree.leaf(leaf).score(at));
        let Some(new) = decide(old).filter(|&new| old != Some(new)) else { return };
        if let Some((leaf, at)) = found {
            if self.tree.rescore_in_place(leaf, at, new) {
                return;
            }
            self.remove(member);
        }
        let place = self.tree.locate(new, member);
        self.index.insert(hash, place.leaf);
        self.tree.insert(place, new, tag(hash), member, &mut follow(&mut self.index));
    }

    /// Removes a member; returns the score it had. O(log N).
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let (leaf, at) = self.find(self.index.hash(member), member)?;
        let score = self.tree.leaf(leaf).score(at);
        let place = self.tree.locate(score, member);
        self.tree.remove(place, &mut follow(&mut self.index));
        Some(score)
    }

    /// Removes the entries of these ranks. O(log N + M) for M of them.
    pub fn remove_ranks(&mut self, ranks: Range<usize>) {
        if ranks.len() == self.len() {
            self.tree = Tree::default();
            self.index = self.index.emptied();
            return;
        }
        self.tree.remove_ranks(ranks, &mut follow(&mut self.index));
    }

    /// Shows about `count` members from the cursor on and returns the next cursor, 0 at the end. A member
    /// that is there throughout an iteration is shown.
    pub fn scan(&self, cursor: u64, count: usize, show: &mut dyn FnMut(&[u8], f64)) -> u64 {
        self.index.scan(cursor, count, &mut |hash, leaf| {
            let leaf = self.tree.leaf(leaf);
            let hashed = leaf.tagged(tag(hash)).filter(|&at| self.index.hash(leaf.member(at)) == hash);
            hashed.for_each(|at| show(leaf.member(at), leaf.score(at)));
        })
    }

    /// Memory, about. O(1).
    pub fn heap_bytes(&self) -> usize {
        self.tree.heap_bytes() + self.index.heap_bytes() + size_of::<Large>()
    }
}

/// Keeps the index in step with the tree.
fn follow(index: &mut Index) -> impl FnMut(&[u8], u32, Option<u32>) {
    |member, from, to| {
        let hash = index.hash(member);
        match to {
            Some(to) => index.relocate(hash, from, to),
            None => index.remove(hash, from),
        }
    }
}

/// The bits of a hash that are kept beside the member: the last to be used up by the index.
#[inline]
fn tag(hash: u32) -> u16 {
    hash as u16
}

#[cfg(test)]
impl Large {
    /// One whose hashes have only the bits of `keep`.
    pub fn with_mask(seed: u64, keep: u32) -> Large {
        Large { tree: Tree::default(), index: Index::with_mask(seed, keep) }
    }

    /// Levels of the tree above its leaves.
    pub fn height(&self) -> usize {
        self.tree.height()
    }

    /// How many slots of the index a search passes, on average and at most.
    pub fn index_steps(&self) -> (f64, usize) {
        self.index.steps()
    }

    /// Panics unless tree and index are right and agree.
    pub fn check(&self) {
        self.tree.check();
        self.index.check();
        let mut slots: Vec<(u32, u32)> = Vec::new();
        for id in self.tree.leaf_ids() {
            let leaf = self.tree.leaf(id);
            slots.extend((0..leaf.len()).map(|at| (self.index.hash(leaf.member(at)), id)));
        }
        slots.sort_unstable();
        assert_eq!(slots, self.index.slots());
    }
}
