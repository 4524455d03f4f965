//! The order of a large sorted set: a tree of sorted runs.
//!
//! For: `large.rs`. May touch: blocks of this folder.
//! Always: all leaves lie at one depth; an inner node has at least two children, counts the entries below
//! each, and has a separator between each two: greater than all before it, not greater than any behind it. A
//! separator is as short as it can be: no member at all where the scores on both sides differ. Leaves keep
//! their number as long as they live; who remembers in which leaf a member lies is told of every move.

use std::ops::Range;

use smallvec::SmallVec;

use super::run::{Probe, Run};
use super::slab::Slab;
use crate::value::steps;

/// A leaf with more bytes than this is split.
const LEAF_MAX_BYTES: usize = 2048;
/// A leaf with fewer bytes than this is joined with its neighbour, or gets some of its entries.
const LEAF_MIN_BYTES: usize = LEAF_MAX_BYTES / 4;
/// Two leaves with together at most this many bytes become one.
const LEAF_JOINED_BYTES: usize = LEAF_MAX_BYTES / 4 * 3;
/// A member longer than this lies outside its leaf.
const MEMBER_INLINE_MAX: usize = 512;
/// A separator longer than this lies outside its node.
const SEPARATOR_INLINE_MAX: usize = 64;
/// Most children of an inner node. Few in tests, so that small trees have several levels.
const CHILDREN_MAX: usize = if cfg!(test) { 16 } else { 128 };
/// An inner node with fewer is joined with its neighbour, or gets some of its children.
const CHILDREN_MIN: usize = CHILDREN_MAX / 4;
/// Two inner nodes with together at most this many children become one.
const CHILDREN_JOINED: usize = CHILDREN_MAX / 4 * 3;
/// What the last inner node of a level begins with when entries come in ascending order.
const CHILDREN_AT_EDGE: usize = 2;
/// Levels whose steps need no allocation: enough for over 10^9 entries.
const USUAL_HEIGHT: usize = 6;

/// Told of members that have left their leaf: the member, the leaf and the new one, `None` when it was
/// removed.
pub type Moved<'m> = &'m mut dyn FnMut(&[u8], u32, Option<u32>);

/// A node above the leaves.
#[derive(Clone, Default, Debug)]
struct Inner {
    /// Separators; one fewer than children.
    bounds: Run,
    /// Leaves or inner nodes, as the level says.
    children: Vec<u32>,
    /// Entries below each child.
    counts: Vec<usize>,
}

/// An inner node on the way to a leaf and the index of the child that was taken.
#[derive(Clone, Copy, Debug)]
struct Step {
    node: u32,
    child: usize,
}

type Path = SmallVec<[Step; USUAL_HEIGHT]>;

/// Where an entry is or would be. Good until the tree is changed.
#[derive(Debug)]
pub struct Place {
    path: Path,
    /// Number of the leaf.
    pub leaf: u32,
    /// Index within it.
    pub at: usize,
    /// Whether the entry is there.
    pub is_there: bool,
}

/// A node that was split off, on its way into its parent.
struct Split {
    score: f64,
    member: Vec<u8>,
    node: u32,
    count: usize,
}

/// Entries in order of score, then member.
#[derive(Clone, Debug)]
pub struct Tree {
    leaves: Slab<Run>,
    inners: Slab<Inner>,
    /// A leaf when `height` is 0.
    root: u32,
    /// Levels of inner nodes.
    height: usize,
    len: usize,
}

impl Default for Tree {
    fn default() -> Tree {
        let mut leaves = Slab::default();
        let root = leaves.add(Run::default());
        Tree { leaves, inners: Slab::default(), root, height: 0, len: 0 }
    }
}

/// Looking.
impl Tree {
    /// Number of entries.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The leaf with that number.
    #[inline]
    pub fn leaf(&self, leaf: u32) -> &Run {
        self.leaves.get(leaf)
    }

    /// Number of entries before `probe`. O(log N).
    pub fn rank(&self, probe: Probe<'_>) -> usize {
        let (mut node, mut before) = (self.root, 0);
        for _ in 0..self.height {
            let inner = self.inners.get(node);
            let (at, is_there) = inner.bounds.position(probe);
            let child = at + usize::from(is_there);
            steps::take(child);
            before += inner.counts[..child].iter().sum::<usize>();
            node = inner.children[child];
        }
        before + self.leaves.get(node).position(probe).0
    }

    /// Where an entry is or would be. O(log N).
    pub fn locate(&self, score: f64, member: &[u8]) -> Place {
        let probe = Probe::Entry(score, member);
        let (mut node, mut path) = (self.root, Path::new());
        for _ in 0..self.height {
            let inner = self.inners.get(node);
            let (at, is_there) = inner.bounds.position(probe);
            let child = at + usize::from(is_there);
            path.push(Step { node, child });
            node = inner.children[child];
        }
        let (at, is_there) = self.leaves.get(node).position(probe);
        Place { path, leaf: node, at, is_there }
    }

    /// Where the entry of that rank is; there is one. O(log N).
    fn locate_rank(&self, mut rank: usize) -> Place {
        debug_assert!(rank < self.len);
        let (mut node, mut path) = (self.root, Path::new());
        for _ in 0..self.height {
            let inner = self.inners.get(node);
            let mut child = 0;
            while rank >= inner.counts[child] {
                rank -= inner.counts[child];
                child += 1;
            }
            path.push(Step { node, child });
            node = inner.children[child];
        }
        Place { path, leaf: node, at: rank, is_there: true }
    }

    /// The entry of that rank; there is one. O(log N).
    pub fn nth(&self, rank: usize) -> (&[u8], f64) {
        let place = self.locate_rank(rank);
        let leaf = self.leaves.get(place.leaf);
        (leaf.member(place.at), leaf.score(place.at))
    }

    /// The entries of these ranks, ascending or descending. O(log N) and then O(1) for each.
    pub fn range(&self, ranks: Range<usize>, is_reverse: bool) -> Entries<'_> {
        let left = ranks.len();
        let first = if is_reverse { ranks.end.wrapping_sub(1) } else { ranks.start };
        if left == 0 {
            let leaf = self.leaves.get(self.first_leaf());
            return Entries { tree: self, path: SmallVec::new(), leaf, at: 0, left, is_reverse };
        }
        let place = self.locate_rank(first);
        let path = place.path.iter().map(|step| (self.inners.get(step.node), step.child)).collect();
        let at = place.at + usize::from(is_reverse);
        Entries { tree: self, path, leaf: self.leaves.get(place.leaf), at, left, is_reverse }
    }

    fn first_leaf(&self) -> u32 {
        (0..self.height).fold(self.root, |node, _| self.inners.get(node).children[0])
    }

    /// Memory, about: from a few blocks of each kind, so that it takes no longer the more there are.
    pub fn heap_bytes(&self) -> usize {
        let leaves = sampled(&self.leaves, Run::heap_bytes);
        let inners = sampled(&self.inners, |inner| {
            inner.bounds.heap_bytes()
                + inner.children.capacity() * size_of::<u32>()
                + inner.counts.capacity() * size_of::<usize>()
        });
        self.leaves.heap_bytes() + self.inners.heap_bytes() + leaves + inners
    }
}

/// The sum of `bytes` over all blocks, judged from some of them.
pub fn sampled<T: Clone>(blocks: &Slab<T>, bytes: impl Fn(&T) -> usize) -> usize {
    const SAMPLES: usize = 32;
    let total: usize = blocks.iter().take(SAMPLES).map(bytes).sum();
    total * blocks.len() / blocks.len().clamp(1, SAMPLES)
}

/// Changing.
impl Tree {
    /// Gives an entry another score, if it keeps its place with it and is not at an end of its leaf.
    pub fn rescore_in_place(&mut self, leaf: u32, at: usize, score: f64) -> bool {
        let stays = self.leaves.get(leaf).stays(at, score);
        if stays {
            self.leaves.get_mut(leaf).set_score(at, score);
        }
        stays
    }

    /// Adds an entry where [`Tree::locate`] said. It lies in the leaf of the place, until `moved` says
    /// otherwise.
    pub fn insert(&mut self, place: Place, score: f64, tag: u16, member: &[u8], moved: Moved<'_>) {
        let Place { path, leaf, at, is_there } = place;
        debug_assert!(!is_there);
        let run = self.leaves.get_mut(leaf);
        run.insert(at, score, tag, member, MEMBER_INLINE_MAX);
        self.len += 1;
        let (is_full, is_last) = (run.bytes() > LEAF_MAX_BYTES && run.len() > 1, at + 1 == run.len());
        for step in &path {
            self.inners.get_mut(step.node).counts[step.child] += 1;
        }
        if is_full {
            self.split_leaf(path, leaf, is_last, moved);
        }
    }

    /// Splits a leaf in the middle; the last one, after an entry was added at its end, before that entry:
    /// then entries that come in order leave full leaves behind.
    fn split_leaf(&mut self, path: Path, leaf: u32, is_last: bool, moved: Moved<'_>) {
        let is_edge =
            path.iter().all(|step| step.child + 1 == self.inners.get(step.node).children.len()) && is_last;
        let run = self.leaves.get_mut(leaf);
        let at = if is_edge { run.len() - 1 } else { middle(run) };
        let right = run.split_off(at);
        let (score, member) = separator(run, &right);
        let count = right.len();
        let node = self.leaves.add(right);
        let right = self.leaves.get(node);
        (0..count).for_each(|at| moved(right.member(at), leaf, Some(node)));
        self.add_child(path, Split { score, member, node, count }, is_edge);
    }

    /// Puts a new node behind the one that `path` leads to, and splits what becomes too large by that.
    fn add_child(&mut self, mut path: Path, mut split: Split, is_edge: bool) {
        while let Some(Step { node, child }) = path.pop() {
            let inner = self.inners.get_mut(node);
            inner.bounds.insert(child, split.score, 0, &split.member, SEPARATOR_INLINE_MAX);
            inner.children.insert(child + 1, split.node);
            inner.counts[child] -= split.count;
            inner.counts.insert(child + 1, split.count);
            let len = inner.children.len();
            if len <= CHILDREN_MAX {
                return;
            }
            let (right, score, member) =
                inner.split_off(if is_edge { len - CHILDREN_AT_EDGE } else { len / 2 });
            let count = right.counts.iter().sum();
            split = Split { score, member, node: self.inners.add(right), count };
        }
        let mut root = Inner {
            bounds: Run::default(),
            children: vec![self.root, split.node],
            counts: vec![self.len - split.count, split.count],
        };
        root.bounds.insert(0, split.score, 0, &split.member, SEPARATOR_INLINE_MAX);
        self.root = self.inners.add(root);
        self.height += 1;
    }

    /// Removes the entry at a place where there is one.
    pub fn remove(&mut self, place: Place, moved: Moved<'_>) {
        let Place { path, leaf, at, is_there } = place;
        debug_assert!(is_there);
        self.cut(path, leaf, at..at + 1, moved);
    }

    /// Removes the entries of these ranks. O(log N) for each leaf that it passes.
    pub fn remove_ranks(&mut self, ranks: Range<usize>, moved: Moved<'_>) {
        let mut left = ranks.len();
        while left > 0 {
            let Place { path, leaf, at, .. } = self.locate_rank(ranks.start);
            let end = self.leaves.get(leaf).len().min(at + left);
            left -= end - at;
            self.cut(path, leaf, at..end, moved);
        }
    }

    /// Removes entries of one leaf and restores the balance.
    fn cut(&mut self, path: Path, leaf: u32, range: Range<usize>, moved: Moved<'_>) {
        self.len -= range.len();
        for step in &path {
            self.inners.get_mut(step.node).counts[step.child] -= range.len();
        }
        let run = self.leaves.get_mut(leaf);
        range.clone().for_each(|at| moved(run.member(at), leaf, None));
        run.remove(range);
        if run.bytes() < LEAF_MIN_BYTES {
            self.balance(path, moved);
        }
    }

    /// Joins or evens out what has become too small on the way to a leaf that has.
    fn balance(&mut self, mut path: Path, moved: Moved<'_>) {
        let Some(parent) = path.last() else { return };
        self.balance_leaves(parent.node, parent.child.saturating_sub(1), moved);
        while let Some(Step { node, .. }) = path.pop() {
            let children = &self.inners.get(node).children;
            let Some(parent) = path.last() else {
                if let [child] = children[..] {
                    self.inners.remove(node);
                    self.root = child;
                    self.height -= 1;
                }
                return;
            };
            if children.len() >= CHILDREN_MIN {
                return;
            }
            self.balance_inners(parent.node, parent.child.saturating_sub(1));
        }
    }

    /// Joins the leaves `child` and `child + 1` of a node, or makes them about equally large.
    fn balance_leaves(&mut self, node: u32, child: usize, moved: Moved<'_>) {
        let inner = self.inners.get(node);
        let (left_id, right_id) = (inner.children[child], inner.children[child + 1]);
        let right = std::mem::take(self.leaves.get_mut(right_id));
        let left = self.leaves.get_mut(left_id);
        let left_len = left.len();
        left.append(&right);
        if left.bytes() <= LEAF_JOINED_BYTES {
            (left_len..left.len()).for_each(|at| moved(left.member(at), right_id, Some(left_id)));
            self.leaves.remove(right_id);
            self.inners.get_mut(node).forget_child(child + 1);
            return;
        }
        let at = middle(left);
        (left_len..at).for_each(|at| moved(left.member(at), right_id, Some(left_id)));
        (at..left_len).for_each(|at| moved(left.member(at), left_id, Some(right_id)));
        let right = left.split_off(at);
        let (score, member) = separator(left, &right);
        self.inners.get_mut(node).even_out(child, [left.len(), right.len()], score, &member);
        *self.leaves.get_mut(right_id) = right;
    }

    /// Joins the inner nodes `child` and `child + 1` of a node, or makes them about equally large.
    fn balance_inners(&mut self, node: u32, child: usize) {
        let parent = self.inners.get(node);
        let (left_id, right_id) = (parent.children[child], parent.children[child + 1]);
        let (score, member) = (parent.bounds.score(child), parent.bounds.member(child).to_vec());
        let right = std::mem::take(self.inners.get_mut(right_id));
        let left = self.inners.get_mut(left_id);
        left.bounds.insert(left.bounds.len(), score, 0, &member, SEPARATOR_INLINE_MAX);
        left.bounds.append(&right.bounds);
        left.children.extend(right.children);
        left.counts.extend(right.counts);
        if left.children.len() <= CHILDREN_JOINED {
            self.inners.remove(right_id);
            self.inners.get_mut(node).forget_child(child + 1);
            return;
        }
        let (right, score, member) = left.split_off(left.children.len() / 2);
        let counts = [left.counts.iter().sum(), right.counts.iter().sum()];
        *self.inners.get_mut(right_id) = right;
        self.inners.get_mut(node).even_out(child, counts, score, &member);
    }
}

impl Inner {
    /// Cuts the children from `at` on off. Returns them and the separator that stood before them.
    fn split_off(&mut self, at: usize) -> (Inner, f64, Vec<u8>) {
        let mut bounds = self.bounds.split_off(at - 1);
        let (score, member) = (bounds.score(0), bounds.member(0).to_vec());
        bounds.remove(0..1);
        let children = self.children.split_off(at);
        let counts = self.counts.split_off(at);
        (Inner { bounds, children, counts }, score, member)
    }

    /// Removes a child whose entries have gone to the one before it.
    fn forget_child(&mut self, child: usize) {
        self.bounds.remove(child - 1..child);
        self.children.remove(child);
        self.counts[child - 1] += self.counts.remove(child);
    }

    /// Notes that entries have moved between `child` and the next.
    fn even_out(&mut self, child: usize, counts: [usize; 2], score: f64, member: &[u8]) {
        self.counts[child..child + 2].copy_from_slice(&counts);
        self.bounds.remove(child..child + 1);
        self.bounds.insert(child, score, 0, member, SEPARATOR_INLINE_MAX);
    }
}

/// Where to split a run of at least two entries so that both parts have about as many bytes.
fn middle(run: &Run) -> usize {
    let half = run.bytes() / 2;
    let (mut low, mut high) = (1, run.len() - 1);
    while low < high {
        let at = low.midpoint(high);
        if run.bytes_of(0..at) < half {
            low = at + 1;
        } else {
            high = at;
        }
    }
    low
}

/// The shortest separator of two runs.
fn separator(left: &Run, right: &Run) -> (f64, Vec<u8>) {
    let (last, score) = (left.len() - 1, right.score(0));
    if left.score(last) < score {
        return (score, Vec::new());
    }
    let (before, behind) = (left.member(last), right.member(0));
    let common = before.iter().zip(behind).take_while(|(a, b)| a == b).count();
    (score, behind[..common + 1].to_vec())
}

/// Entries of consecutive ranks. Goes from leaf to leaf.
#[derive(Clone)]
pub struct Entries<'a> {
    tree: &'a Tree,
    path: SmallVec<[(&'a Inner, usize); USUAL_HEIGHT]>,
    leaf: &'a Run,
    /// The next entry when ascending; behind the next one when descending.
    at: usize,
    left: usize,
    is_reverse: bool,
}

impl<'a> Entries<'a> {
    /// Goes to the next leaf; there is one.
    fn step(&mut self) {
        let is_reverse = self.is_reverse;
        let mut levels = 0;
        let mut node = loop {
            let (inner, child) = self.path.last_mut().expect("entries are left, so there is a leaf");
            levels += 1;
            let next = if is_reverse { child.checked_sub(1) } else { Some(*child + 1) };
            if let Some(next) = next.filter(|&next| next < inner.children.len()) {
                *child = next;
                break inner.children[next];
            }
            self.path.pop();
        };
        for _ in 1..levels {
            let inner = self.tree.inners.get(node);
            let child = if is_reverse { inner.children.len() - 1 } else { 0 };
            self.path.push((inner, child));
            node = inner.children[child];
        }
        self.leaf = self.tree.leaves.get(node);
        self.at = if is_reverse { self.leaf.len() } else { 0 };
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], f64);

    #[inline]
    fn next(&mut self) -> Option<(&'a [u8], f64)> {
        self.left = self.left.checked_sub(1)?;
        let at = if self.is_reverse {
            if self.at == 0 {
                self.step();
            }
            self.at -= 1;
            self.at
        } else {
            if self.at == self.leaf.len() {
                self.step();
            }
            self.at += 1;
            self.at - 1
        };
        Some((self.leaf.member(at), self.leaf.score(at)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Entries<'_> {}

#[cfg(test)]
impl Tree {
    /// Levels of inner nodes.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Every leaf's number, in order.
    pub fn leaf_ids(&self) -> Vec<u32> {
        let mut level = vec![self.root];
        for _ in 0..self.height {
            level = level.iter().flat_map(|&node| self.inners.get(node).children.clone()).collect();
        }
        level
    }

    /// Panics unless the shape, the counts and the order are right.
    pub fn check(&self) {
        let mut level = vec![(self.root, self.len, None, None)];
        for _ in 0..self.height {
            let mut below = Vec::new();
            for (node, count, low, high) in level {
                let inner = self.inners.get(node);
                inner.bounds.check();
                assert!((2..=CHILDREN_MAX).contains(&inner.children.len()));
                assert_eq!(inner.bounds.len() + 1, inner.children.len());
                assert_eq!(inner.counts.len(), inner.children.len());
                assert_eq!(inner.counts.iter().sum::<usize>(), count);
                for (at, &child) in inner.children.iter().enumerate() {
                    let bound = |at: usize| Some((inner.bounds.score(at), inner.bounds.member(at)));
                    let low = if at == 0 { low } else { bound(at - 1) };
                    let high = if at + 1 == inner.children.len() { high } else { bound(at) };
                    below.push((child, inner.counts[at], low, high));
                }
            }
            level = below;
        }
        assert_eq!(level.len(), self.leaves.len());
        for (leaf, count, low, high) in level {
            let run = self.leaves.get(leaf);
            run.check();
            assert_eq!(run.len(), count);
            assert!(self.height == 0 || !run.is_empty());
            assert!(run.bytes() <= LEAF_MAX_BYTES);
            let probe = |(score, member)| run.position(Probe::Entry(score, member)).0;
            assert!(low.is_none_or(|low| probe(low) == 0));
            assert!(high.is_none_or(|high| probe(high) == run.len()));
        }
    }
}
