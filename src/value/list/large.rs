//! A list of nodes.
//!
//! For: lists that are too long for one compact run. May touch: their nodes.
//! Always: no node is empty, except for the only one of a list that counts as one listpack; nodes are
//! split, filled and joined exactly when the original does so, because OBJECT ENCODING shows it: a list
//! goes back to one listpack only when a single node is left.

use std::collections::VecDeque;

use super::limit::{Fill, ListLimits};
use super::node::{Node, Side};
use super::{Element, Given, Items, Nodes, Stretch};
use crate::value::number::MAX_I64_LEN;
use crate::value::pack::{Encoded, PackRef};
use crate::value::steps;

/// Bytes up to which the buffer of a single listpack grows by halves.
const LISTPACK_BYTES: usize = 8 * 1024;
/// Nodes whose size is looked at to estimate that of all.
const SAMPLED_NODES: usize = 8;

/// A list of nodes. Cloning it shares them.
#[derive(Clone, Default)]
pub struct Large {
    nodes: VecDeque<Node>,
    len: usize,
    /// What fits into a node. `None`: the list counts as one listpack, and is one node.
    fill: Option<Fill>,
}

/// Where an element is: its node, its number there, its first byte there.
#[derive(Clone, Copy)]
struct Spot {
    node: usize,
    index: usize,
    at: usize,
}

/// Reading.
impl Large {
    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether all is in one node, if that.
    #[inline]
    pub(super) fn is_one_node(&self) -> bool {
        self.nodes.len() <= 1
    }

    /// Whether it counts as one listpack.
    #[inline]
    pub(super) fn is_listpack(&self) -> bool {
        self.fill.is_none()
    }

    /// What it consists of, unless it counts as one listpack.
    pub(super) fn nodes(&self) -> Option<Nodes> {
        let bytes =
            self.nodes.iter().map(|node| node.long().map_or(node.listpack_bytes(), |long| long.len()));
        let (count, elements) = (self.nodes.len(), self.len);
        self.fill.map(|fill| Nodes { count, elements, fill: fill.setting(), bytes: bytes.sum() })
    }

    /// Bytes of the listpack that the first node is in the original.
    pub(super) fn listpack_bytes(&self) -> usize {
        self.nodes.front().map_or(super::limit::LISTPACK_FRAME, Node::listpack_bytes)
    }

    /// Bytes on the heap, estimated from a few nodes.
    pub(super) fn heap_bytes(&self) -> usize {
        let index = self.nodes.capacity() * size_of::<Node>();
        let sampled = self.nodes.len().min(SAMPLED_NODES);
        let bytes: usize = self.nodes.iter().take(sampled).map(Node::heap_bytes).sum();
        index + (bytes * self.nodes.len()).checked_div(sampled).unwrap_or(0)
    }

    /// The node of element `index`, and its number there. Walks from the nearer end.
    fn locate(&self, index: usize) -> Option<(usize, usize)> {
        if index >= self.len {
            return None;
        }
        if index < self.len / 2 {
            let mut before = 0;
            for (number, node) in self.nodes.iter().enumerate() {
                steps::take(1);
                if index < before + node.len() {
                    return Some((number, index - before));
                }
                before += node.len();
            }
        }
        let mut before = self.len;
        for (number, node) in self.nodes.iter().enumerate().rev() {
            steps::take(1);
            before -= node.len();
            if index >= before {
                return Some((number, index - before));
            }
        }
        None
    }

    /// Element `index`.
    pub(super) fn get(&self, index: usize) -> Option<Element<'_>> {
        let (node, index) = self.locate(index)?;
        let node = &self.nodes[node];
        Some(match node.long() {
            Some(shared) => Element::Shared(shared),
            None => Element::Item(Node::element(node.body(), node.seek(index)).0),
        })
    }

    /// The element at an end.
    #[inline]
    pub(super) fn end(&self, side: Side) -> Option<Element<'_>> {
        let node = if side == Side::Left { self.nodes.front() } else { self.nodes.back() };
        let node = node.filter(|node| node.len() > 0)?;
        Some(node.long().map_or_else(|| Element::Item(node.end(side)), Element::Shared))
    }

    /// Hands `count` elements from number `start` on to `each`, those of a node together; there are so many.
    #[inline(always)]
    pub(super) fn stretches<'a>(&'a self, start: usize, count: usize, mut each: impl FnMut(Stretch<'a>)) {
        let Some((first, mut index)) = self.locate(start) else { return };
        let mut left = count;
        for node in self.nodes.range(first..) {
            if left == 0 {
                return;
            }
            let here = left.min(node.len() - index);
            each(match node.long() {
                Some(shared) => Stretch::Long(shared),
                None => Stretch::Short(Items::of_node(node.body(), node.seek(index), here)),
            });
            left -= here;
            index = 0;
        }
    }

    /// Hands the last `count` elements to `each`, the last one first; there are so many.
    pub(super) fn each_back<'a>(&'a self, count: usize, mut each: impl FnMut(Element<'a>)) {
        let mut left = count;
        for node in self.nodes.iter().rev() {
            if left == 0 {
                return;
            }
            if let Some(shared) = node.long() {
                each(Element::Shared(shared));
                left -= 1;
                continue;
            }
            let body = node.body();
            let mut at = body.len();
            let here = left.min(node.len());
            for _ in 0..here {
                at = Node::before(body, at);
                each(Element::Item(Node::element(body, at).0));
            }
            left -= here;
        }
    }

    /// Looks for elements that are `wanted`, from an end on and among `most` elements at most, and hands
    /// their numbers to `each` until it says false.
    pub(super) fn each_match(
        &self,
        wanted: &[u8],
        from: Side,
        most: usize,
        mut each: impl FnMut(usize) -> bool,
    ) {
        let mut seen = 0;
        let mut look = |node: &Node| {
            let here = node.len().min(most - seen);
            let go_on = search(node, wanted, from, here, |index, _| {
                let distance = if from == Side::Left { index } else { node.len() - 1 - index };
                each(match from {
                    Side::Left => seen + distance,
                    Side::Right => self.len - 1 - (seen + distance),
                })
            });
            seen += here;
            go_on && seen < most
        };
        match from {
            Side::Left => self.nodes.iter().all(&mut look),
            Side::Right => self.nodes.iter().rev().all(&mut look),
        };
    }

    /// The first element that is `wanted`.
    fn find(&self, wanted: &[u8]) -> Option<Spot> {
        let mut found = None;
        for (number, node) in self.nodes.iter().enumerate() {
            search(node, wanted, Side::Left, node.len(), |index, at| {
                found = Some(Spot { node: number, index, at });
                false
            });
            if found.is_some() {
                break;
            }
        }
        found
    }
}

/// Looks for `wanted` among the `most` elements of a node that are nearest to an end; hands number and
/// place of each match to `each`. False: `each` said so.
fn search(
    node: &Node,
    wanted: &[u8],
    from: Side,
    most: usize,
    mut each: impl FnMut(usize, usize) -> bool,
) -> bool {
    if let Some(shared) = node.long() {
        return most == 0 || ***shared != *wanted || each(0, 0);
    }
    let body = node.body();
    if wanted.len() > body.len().max(MAX_I64_LEN) {
        return true;
    }
    let wanted = Encoded::of(wanted);
    match from {
        Side::Left => {
            let mut at = 0;
            for index in 0..most {
                if wanted.is_at(&body[at..]) && !each(index, at) {
                    return false;
                }
                at = Node::after(body, at);
            }
        }
        Side::Right => {
            let mut at = body.len();
            for index in (node.len() - most..node.len()).rev() {
                at = Node::before(body, at);
                if wanted.is_at(&body[at..]) && !each(index, at) {
                    return false;
                }
            }
        }
    }
    true
}

/// Making one.
impl Large {
    /// One listpack of the elements of a compact run.
    pub(super) fn from_pack(run: PackRef<'_>, side: Side) -> Large {
        let mut node = Node::with_room(Side::Right, run.byte_len() + run.len());
        for (_, item) in run.iter() {
            node.push(Side::Right, &Encoded::item(item), LISTPACK_BYTES);
        }
        let (len, mut nodes) = (node.len(), VecDeque::with_capacity(1));
        if len == 0 {
            node = Node::with_room(side, 0);
        }
        nodes.push_back(node);
        Large { nodes, len, fill: None }
    }

    /// From now on a list of nodes.
    pub(super) fn become_quicklist(&mut self, limits: ListLimits) {
        self.fill = Some(limits.fill());
        self.nodes.retain(|node| node.len() > 0);
    }

    /// Becomes one listpack again if only one node is left and that is small enough.
    pub(super) fn settle(&mut self, limits: ListLimits, shrinks: bool) {
        if self.fill.is_some()
            && let (1, Some(node)) = (self.nodes.len(), self.nodes.front())
            && !node.is_plain()
            && limits.joins(node.listpack_bytes(), node.len(), shrinks)
        {
            self.fill = None;
        }
    }
}

/// Changing it.
impl Large {
    /// Adds an element at an end.
    #[inline]
    pub(super) fn push(&mut self, side: Side, given: Given<'_>, limits: ListLimits) {
        self.len += 1;
        let fill = self.fill;
        match (self.end_node(side), fill) {
            (Some(node), None) => node.push(side, &Encoded::of(given.text), LISTPACK_BYTES),
            (Some(node), Some(fill)) if admits(fill, node, given, limits) => {
                node.push(side, &Encoded::of(given.text), fill.node_bytes());
            }
            _ => self.push_node(side, given, limits),
        }
    }

    #[cold]
    fn push_node(&mut self, side: Side, given: Given<'_>, limits: ListLimits) {
        let room = match self.fill {
            Some(fill) if !self.nodes.is_empty() => fill.node_bytes() / 4,
            _ => 0,
        };
        let node = self.node_of(given, side, room, limits);
        match side {
            Side::Left => {
                self.nodes.front_mut().into_iter().for_each(Node::trim);
                self.nodes.push_front(node);
            }
            Side::Right => {
                self.nodes.back_mut().into_iter().for_each(Node::trim);
                self.nodes.push_back(node);
            }
        }
    }

    /// A node of one element, which is likely to be filled from `side`.
    fn node_of(&self, given: Given<'_>, side: Side, room: usize, limits: ListLimits) -> Node {
        let full = self.fill.map_or(LISTPACK_BYTES, Fill::node_bytes);
        if self.fill.is_some_and(|fill| limits.is_large(fill, given.text.len())) {
            return Node::plain(given.into_shared());
        }
        let mut node = Node::with_room(side, room);
        node.push(side, &Encoded::of(given.text), full);
        node
    }

    #[inline]
    fn end_node(&mut self, side: Side) -> Option<&mut Node> {
        match side {
            Side::Left => self.nodes.front_mut(),
            Side::Right => self.nodes.back_mut(),
        }
    }

    /// Removes `count` elements at an end; there are so many.
    #[inline]
    pub(super) fn drop(&mut self, side: Side, count: usize) {
        self.len -= count;
        match self.end_node(side) {
            Some(node) if (1..node.len()).contains(&count) => node.drop(side, count),
            _ => self.drop_nodes(side, count),
        }
    }

    #[inline(never)]
    fn drop_nodes(&mut self, side: Side, count: usize) {
        let mut left = count;
        while left > 0 {
            let Some(node) = self.end_node(side) else { return };
            if left < node.len() {
                return node.drop(side, left);
            }
            left -= node.len();
            match side {
                Side::Left => self.nodes.pop_front(),
                Side::Right => self.nodes.pop_back(),
            };
        }
        // After many have gone, the index gives its memory back.
        if self.nodes.len() < self.nodes.capacity() / 4 {
            self.nodes.shrink_to(self.nodes.len() * 2);
        }
    }

    /// Puts another element in the place of number `index`. False: there is none.
    pub(super) fn set(&mut self, index: usize, given: Given<'_>, limits: ListLimits) -> bool {
        let Some((number, index)) = self.locate(index) else { return false };
        let is_large = self.fill.is_some_and(|fill| limits.is_large(fill, given.text.len()));
        let node = &mut self.nodes[number];
        if !node.is_plain() && !is_large && node.can_grow(given.text.len()) {
            let at = node.seek(index);
            node.replace(at, &Encoded::of(given.text));
            return true;
        }
        if node.is_plain() && is_large {
            *node = Node::plain(given.into_shared());
        } else if node.is_plain() {
            self.insert_at(Spot { node: number, index: 0, at: 0 }, Side::Right, given, limits);
            self.nodes.remove(number);
            self.len -= 1;
        } else {
            self.replace_by_node(number, index, given, limits);
        }
        true
    }

    /// Puts a node of its own in the place of one element of a node.
    fn replace_by_node(&mut self, number: usize, index: usize, given: Given<'_>, limits: ListLimits) {
        let fresh = self.node_of(given, Side::Right, 0, limits);
        let node = &mut self.nodes[number];
        let rest = (index + 1 < node.len()).then(|| node.split_off(index + 1));
        node.drop(Side::Right, 1);
        if node.len() == 0 {
            *node = fresh;
            rest.into_iter().for_each(|rest| self.nodes.insert(number + 1, rest));
            return;
        }
        self.nodes.insert(number + 1, fresh);
        rest.into_iter().for_each(|rest| self.nodes.insert(number + 2, rest));
        self.merge_around(number + 1);
    }

    /// Puts an element beside the first that is `pivot`, on its left or on its right. False: there is none.
    pub(super) fn insert_beside(
        &mut self,
        pivot: &[u8],
        side: Side,
        given: Given<'_>,
        limits: ListLimits,
    ) -> bool {
        let Some(spot) = self.find(pivot) else { return false };
        self.insert_at(spot, side, given, limits);
        true
    }

    fn insert_at(&mut self, spot: Spot, side: Side, given: Given<'_>, limits: ListLimits) {
        self.len += 1;
        let element = Encoded::of(given.text);
        let Some(fill) = self.fill else {
            return insert_in(&mut self.nodes[spot.node], spot.at, side, &element);
        };
        let node = &mut self.nodes[spot.node];
        let is_edge = match side {
            Side::Left => spot.index == 0,
            Side::Right => spot.index + 1 == node.len(),
        };
        let beside = if side == Side::Left { spot.node } else { spot.node + 1 };
        if limits.is_large(fill, given.text.len()) {
            let long = Node::plain(given.into_shared());
            if !is_edge {
                let (index, rest) = self.split(spot, side);
                self.nodes.insert(index, rest);
                let between = if side == Side::Left { index + 1 } else { index };
                return self.nodes.insert(between, long);
            }
            return self.nodes.insert(beside, long);
        }
        if admits(fill, node, given, limits) {
            return insert_in(node, spot.at, side, &element);
        }
        if is_edge {
            let neighbour = match side {
                Side::Left => spot.node.checked_sub(1),
                Side::Right => Some(spot.node + 1),
            };
            let neighbour = neighbour.and_then(|number| self.nodes.get_mut(number));
            if let Some(next) = neighbour.filter(|next| admits(fill, next, given, limits)) {
                return next.push(side.other(), &element, fill.node_bytes());
            }
            let fresh = self.node_of(given, side, 0, limits);
            return self.nodes.insert(beside, fresh);
        }
        let (index, mut rest) = self.split(spot, side);
        rest.push(side.other(), &element, fill.node_bytes());
        self.nodes.insert(index, rest);
        self.merge_around(if side == Side::Left { index + 1 } else { index - 1 });
    }

    /// Takes the elements on one side of an element out of its node. Says where a node of them belongs.
    fn split(&mut self, spot: Spot, side: Side) -> (usize, Node) {
        let node = &mut self.nodes[spot.node];
        match side {
            Side::Right => (spot.node + 1, node.split_off(spot.index + 1)),
            Side::Left => {
                let kept = node.split_off(spot.index);
                (spot.node, std::mem::replace(node, kept))
            }
        }
    }

    /// Joins the neighbours of a node with their neighbours, then the node with its neighbours, as far as
    /// they fit.
    fn merge_around(&mut self, center: usize) {
        let mut center = center;
        if center >= 2 && self.join(center - 2) {
            center -= 1;
        }
        self.join(center + 1);
        if center >= 1 && self.join(center - 1) {
            center -= 1;
        }
        self.join(center);
    }

    /// Joins a node with the next if they fit into one.
    fn join(&mut self, number: usize) -> bool {
        let (Some(fill), Some(one), Some(two)) =
            (self.fill, self.nodes.get(number), self.nodes.get(number + 1))
        else {
            return false;
        };
        let bytes = one.listpack_bytes() + two.listpack_bytes() - super::limit::LISTPACK_FRAME;
        if one.is_plain() || two.is_plain() || !fill.merges(bytes, one.len() + two.len()) {
            return false;
        }
        if let Some(two) = self.nodes.remove(number + 1) {
            self.nodes[number].join(&two);
        }
        true
    }

    /// Removes the first `most` elements that are `wanted`, counted from an end. Says how many.
    pub(super) fn remove(&mut self, wanted: &[u8], from: Side, most: usize) -> usize {
        let mut removed = 0;
        let mut places = Vec::new();
        let mut has_empty = false;
        let mut clean = |node: &mut Node| {
            places.clear();
            search(node, wanted, from, node.len(), |_, at| {
                places.push(at);
                removed + places.len() < most
            });
            removed += places.len();
            if from == Side::Right {
                places.reverse();
            }
            if node.is_plain() && !places.is_empty() {
                *node = Node::with_room(Side::Right, 0);
            } else {
                node.remove(&places);
            }
            has_empty |= node.len() == 0;
            removed < most
        };
        match from {
            Side::Left => self.nodes.iter_mut().all(&mut clean),
            Side::Right => self.nodes.iter_mut().rev().all(&mut clean),
        };
        self.len -= removed;
        if has_empty && self.fill.is_some() {
            self.nodes.retain(|node| node.len() > 0);
        }
        removed
    }
}

/// Whether an element may be added to a node: what fits there is too long only if DEBUG has said so.
#[inline]
fn admits(fill: Fill, node: &Node, given: Given<'_>, limits: ListLimits) -> bool {
    !node.is_plain()
        && limits.packed_threshold.is_none_or(|threshold| given.text.len() < threshold as usize)
        && fill.admits(node.listpack_bytes(), node.len(), given.text.len())
}

fn insert_in(node: &mut Node, at: usize, side: Side, element: &Encoded<'_>) {
    let at = if side == Side::Left { at } else { Node::after(node.body(), at) };
    node.insert(at, element);
}

/// Everything that has to hold between changes; for tests.
#[cfg(test)]
impl Large {
    pub(super) fn check_invariants(&self) {
        assert_eq!(self.len, self.nodes.iter().map(Node::len).sum::<usize>());
        match self.fill {
            None => assert!(self.nodes.len() == 1 && !self.nodes[0].is_plain()),
            Some(_) => assert!(self.nodes.iter().all(|node| node.len() > 0)),
        }
        for node in self.nodes.iter().filter(|node| !node.is_plain()) {
            let mut at = 0;
            for index in 0..node.len() {
                assert_eq!(node.seek(index), at);
                let next = Node::after(node.body(), at);
                assert_eq!(Node::element(node.body(), at).1, next);
                assert_eq!(Node::before(node.body(), next), at);
                at = next;
            }
            assert_eq!(at, node.body().len());
        }
    }

    /// Address of the outermost byte at an end, and the bytes of the node there.
    pub(super) fn edge(&self, side: Side) -> (usize, usize) {
        let node = if side == Side::Left { self.nodes.front() } else { self.nodes.back() };
        let range = node.map_or(&[][..], Node::body).as_ptr_range();
        let (start, end) = (range.start as usize, range.end as usize);
        (if side == Side::Left { start } else { end }, end - start)
    }

    /// Number of nodes whose buffers are shared with nobody else.
    pub(super) fn shared_nodes(&self, other: &Large) -> usize {
        let theirs: Vec<*const u8> = other.nodes.iter().map(|node| node.body().as_ptr()).collect();
        self.nodes.iter().filter(|node| theirs.contains(&node.body().as_ptr())).count()
    }
}
