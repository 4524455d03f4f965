//! One node of a large list.
//!
//! For: elements one after another in a buffer with room at both ends, or one long element that is shared.
//! May touch: bytes only.
//! Always: an element is encoded as in `pack.rs`, and its length follows it so that it can be found from
//! behind; so the elements take as many bytes as in the original's listpack. Removing at an end moves
//! nothing and does not touch the buffer, so it needs no copy of a shared one.

use std::sync::Arc;

use super::limit::LISTPACK_FRAME;
use crate::value::pack::{self, Encoded, Item};
use crate::value::steps;

/// An end of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The head.
    Left,
    /// The tail.
    Right,
}

impl Side {
    /// The other end.
    pub fn other(self) -> Side {
        match self {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }
}

/// More bytes than this are never in one node: what would lead to more is put into a node beside it.
pub(super) const MOST_BYTES: usize = 1 << 30;

/// Elements side by side, or one long element. Cloning it shares the buffer.
#[derive(Clone)]
pub(super) struct Node {
    /// The elements lie in `start..end`; a long element is all of it.
    bytes: Arc<Vec<u8>>,
    start: u32,
    end: u32,
    count: u32,
    is_plain: bool,
}

impl Node {
    /// A node without elements, with room for `room` bytes, which will be filled from `side`.
    pub(super) fn with_room(side: Side, room: usize) -> Node {
        let start = if side == Side::Left { room as u32 } else { 0 };
        Node { bytes: Arc::new(vec![0; room]), start, end: start, count: 0, is_plain: false }
    }

    /// A node of one long element.
    pub(super) fn plain(data: Arc<Vec<u8>>) -> Node {
        Node { bytes: data, start: 0, end: 0, count: 1, is_plain: true }
    }

    /// Number of elements.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    /// The long element, if it is one.
    #[inline]
    pub(super) fn long(&self) -> Option<&Arc<Vec<u8>>> {
        self.is_plain.then_some(&self.bytes)
    }

    /// Whether it holds one long element.
    pub(super) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// The elements' bytes; empty for a long element.
    #[inline]
    pub(super) fn body(&self) -> &[u8] {
        &self.bytes[self.start as usize..self.end as usize]
    }

    fn size(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Bytes of the listpack that this node is in the original.
    pub(super) fn listpack_bytes(&self) -> usize {
        self.size() + LISTPACK_FRAME
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Vec<u8>>() + 2 * size_of::<usize>() + self.bytes.capacity()
    }

    /// Adds an element at an end. `full` is the size the buffer grows to and, if possible, not beyond.
    #[inline]
    pub(super) fn push(&mut self, side: Side, element: &Encoded<'_>, full: usize) {
        let size = pack::listpack_size(element.size());
        self.count += 1;
        if side == Side::Right {
            let at = self.end as usize;
            if let Some(buffer) = Arc::get_mut(&mut self.bytes)
                && let Some(place) = buffer.get_mut(at..at + size)
            {
                self.end += size as u32;
                return write(element, place);
            }
        } else if let Some(at) = (self.start as usize).checked_sub(size)
            && let Some(buffer) = Arc::get_mut(&mut self.bytes)
        {
            self.start = at as u32;
            return write(element, &mut buffer[at..at + size]);
        }
        self.push_with_room(side, element, full);
    }

    #[cold]
    fn push_with_room(&mut self, side: Side, element: &Encoded<'_>, full: usize) {
        let size = pack::listpack_size(element.size());
        self.make_room(side, size, full);
        let at = match side {
            Side::Left => self.start as usize - size,
            Side::Right => self.end as usize,
        };
        match side {
            Side::Left => self.start = at as u32,
            Side::Right => self.end += size as u32,
        }
        let buffer = Arc::get_mut(&mut self.bytes).expect("room was made in a buffer of its own");
        write(element, &mut buffer[at..at + size]);
    }

    /// Gets `need` free bytes at an end, in a buffer that is not shared. What it copies is a small multiple
    /// of what has been pushed since the last time.
    fn make_room(&mut self, side: Side, need: usize, full: usize) {
        let (size, capacity) = (self.size(), self.bytes.len());
        let free = capacity - size;
        let (start, end) = (self.start as usize, self.end as usize);
        if free >= need && free >= size / 4 {
            let half = (free - need) / 2;
            let front = if side == Side::Left { need + half } else { half };
            if let Some(buffer) = Arc::get_mut(&mut self.bytes) {
                buffer.copy_within(start..end, front);
                (self.start, self.end) = (front as u32, (front + size) as u32);
                return;
            }
        }
        let wanted = size + need;
        let grown = if wanted <= full && capacity < full {
            (wanted + wanted / 2).min(full)
        } else {
            wanted + wanted / 4
        };
        let behind = if side == Side::Left { capacity - end } else { start };
        let behind = behind.min(size / 4);
        let ahead = grown - size;
        match side {
            Side::Left => self.move_to_fresh(ahead, behind),
            Side::Right => self.move_to_fresh(behind, ahead),
        }
    }

    /// Copies the elements into a buffer of their own with room before and behind them.
    fn move_to_fresh(&mut self, front: usize, back: usize) {
        let size = self.size();
        let mut fresh = Vec::with_capacity(front + size + back);
        fresh.resize(front, 0);
        fresh.extend_from_slice(self.body());
        fresh.resize(front + size + back, 0);
        self.bytes = Arc::new(fresh);
        (self.start, self.end) = (front as u32, (front + size) as u32);
    }

    /// Gives back room that is much beside the elements; for nodes that are not likely to grow any more.
    pub(super) fn trim(&mut self) {
        if !self.is_plain && self.bytes.len() - self.size() > self.bytes.len() / 8 {
            self.move_to_fresh(0, 0);
        }
    }

    /// The element that begins at byte `at` of the body, and where the next one begins.
    #[inline]
    pub(super) fn element(body: &[u8], at: usize) -> (Item<'_>, usize) {
        let (item, end) = pack::decode(body, at);
        (item, end + trailer(end - at))
    }

    /// The element at an end; there is one, and it is not a long one.
    #[inline]
    pub(super) fn end(&self, side: Side) -> Item<'_> {
        let body = self.body();
        let at = if side == Side::Left { 0 } else { Node::before(body, body.len()) };
        pack::decode(body, at).0
    }

    /// Where the element behind the one at `at` begins.
    #[inline]
    pub(super) fn after(body: &[u8], at: usize) -> usize {
        at + pack::listpack_size(pack::size_at(body, at))
    }

    /// Where the element before `at` begins; `at` is not 0.
    #[inline]
    pub(super) fn before(body: &[u8], at: usize) -> usize {
        let mut last = at - 1;
        let mut size = usize::from(body[last] & 0x7f);
        let mut shift = 7;
        while body[last] & 0x80 != 0 {
            last -= 1;
            size |= usize::from(body[last] & 0x7f) << shift;
            shift += 7;
        }
        last - size
    }

    /// Where element number `index` begins in the body; the end when there are `index` elements. Walks from
    /// the nearer end.
    pub(super) fn seek(&self, index: usize) -> usize {
        let body = self.body();
        steps::take(index.min(self.len() - index));
        if index <= self.len() / 2 {
            return (0..index).fold(0, |at, _| Node::after(body, at));
        }
        (index..self.len()).fold(body.len(), |at, _| Node::before(body, at))
    }

    /// Removes `count` elements, of which there are at least so many, at an end.
    pub(super) fn drop(&mut self, side: Side, count: usize) {
        debug_assert!(count <= self.len());
        let at = match side {
            Side::Left if count == 1 => Node::after(self.body(), 0),
            Side::Right if count == 1 => Node::before(self.body(), self.size()),
            Side::Left => self.seek(count),
            Side::Right => self.seek(self.len() - count),
        };
        match side {
            Side::Left => self.start += at as u32,
            Side::Right => self.end = self.start + at as u32,
        }
        self.count -= count as u32;
    }

    /// Whether `more` bytes may be added.
    pub(super) fn can_grow(&self, more: usize) -> bool {
        self.size() + more <= MOST_BYTES
    }

    /// Puts an element before the one at byte `at`, or behind the last.
    pub(super) fn insert(&mut self, at: usize, element: &Encoded<'_>) {
        self.replace_bytes(at, at, element);
        self.count += 1;
    }

    /// Puts an element in the place of the one at byte `at`.
    pub(super) fn replace(&mut self, at: usize, element: &Encoded<'_>) {
        let end = Node::after(self.body(), at);
        self.replace_bytes(at, end, element);
    }

    fn replace_bytes(&mut self, from: usize, to: usize, element: &Encoded<'_>) {
        let new = pack::listpack_size(element.size());
        let size = self.size();
        let more = new.saturating_sub(to - from);
        if self.bytes.len() - (self.end as usize) < more || Arc::get_mut(&mut self.bytes).is_none() {
            let front = (self.start as usize).min(size / 4);
            self.move_to_fresh(front, more);
        }
        let start = self.start as usize;
        let buffer = Arc::get_mut(&mut self.bytes).expect("it was copied if it was shared");
        buffer.copy_within(start + to..start + size, start + from + new);
        write(element, &mut buffer[start + from..start + from + new]);
        self.end = (start + size - (to - from) + new) as u32;
    }

    /// Removes the elements that begin at these bytes of the body, which ascend.
    pub(super) fn remove(&mut self, places: &[usize]) {
        let Some(first) = places.first() else { return };
        if Arc::get_mut(&mut self.bytes).is_none() {
            self.move_to_fresh(0, 0);
        }
        let (start, end) = (self.start as usize, self.end as usize);
        let buffer = Arc::get_mut(&mut self.bytes).expect("it was copied if it was shared");
        let body = &mut buffer[start..end];
        let mut kept = *first;
        for (number, at) in places.iter().enumerate() {
            let behind = Node::after(body, *at);
            let until = places.get(number + 1).copied().unwrap_or(body.len());
            body.copy_within(behind..until, kept);
            kept += until - behind;
        }
        self.end = self.start + kept as u32;
        self.count -= places.len() as u32;
    }

    /// Takes the elements from number `index` on into a node of their own.
    pub(super) fn split_off(&mut self, index: usize) -> Node {
        let mut rest = self.clone();
        rest.drop(Side::Left, index);
        self.drop(Side::Right, self.len() - index);
        rest.trim();
        self.trim();
        rest
    }

    /// Adds the elements of another node behind those of this one.
    pub(super) fn join(&mut self, next: &Node) {
        let more = next.size();
        if self.bytes.len() - (self.end as usize) < more || Arc::get_mut(&mut self.bytes).is_none() {
            self.move_to_fresh(0, more);
        }
        let at = self.end as usize;
        let buffer = Arc::get_mut(&mut self.bytes).expect("it was copied if it was shared");
        buffer[at..at + more].copy_from_slice(next.body());
        self.end += more as u32;
        self.count += next.count;
    }
}

/// Bytes of the length behind an element that takes `size` bytes.
#[inline]
pub(super) fn trailer(size: usize) -> usize {
    if size < 128 { 1 } else { pack::listpack_size(size) - size }
}

/// Writes an element and, behind it, its length: seven bits a byte, the lowest in the last, each byte but the
/// first marked as having one before it.
#[inline]
fn write(element: &Encoded<'_>, place: &mut [u8]) {
    let (own, trailer) = place.split_at_mut(element.size());
    match trailer {
        [last] => *last = own.len() as u8,
        trailer => write_trailer(own.len(), trailer),
    }
    element.write(own);
}

#[cold]
fn write_trailer(size: usize, trailer: &mut [u8]) {
    let mut rest = size;
    for byte in trailer.iter_mut().rev() {
        *byte = (rest & 0x7f) as u8;
        rest >>= 7;
    }
    for byte in &mut trailer[1..] {
        *byte |= 0x80;
    }
}
