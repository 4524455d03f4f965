//! Lists.
//!
//! For: elements in order, with both ends near. May touch: bytes only.
//! Always: a short list is one compact run; a longer one is nodes of up to `list-max-listpack-size`. What
//! OBJECT ENCODING calls `listpack` is either the run or a single node; when a list becomes `quicklist` and
//! when it stops being one depends on exactly what the original depends on.

mod large;
mod limit;
mod node;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use smallvec::SmallVec;

pub use large::Large;
pub use limit::ListLimits;
pub use node::Side;

use super::number::MAX_I64_LEN;
use super::pack::{self, Pack, PackRef, listpack_size, size_at};
use super::{Collection, Compact, Item};

/// The compact run gets no longer than this; a single node takes over.
const PACK_BYTES: usize = 1024;
/// A single node that has got this short becomes a compact run.
const SMALL_BYTES: usize = PACK_BYTES / 2;

/// A list.
#[derive(Clone)]
pub enum List {
    /// A short one.
    Packed(Pack),
    /// A longer one.
    Large(Large),
}

impl Default for List {
    fn default() -> List {
        List::Packed(Pack::new())
    }
}

/// An element to be stored, as a client gave it.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// Its bytes.
    pub text: &'a [u8],
    /// The same in an allocation of its own, if it was received into one.
    pub shared: Option<&'a Arc<Vec<u8>>>,
}

impl<'a> From<&'a [u8]> for Given<'a> {
    fn from(text: &'a [u8]) -> Given<'a> {
        Given { text, shared: None }
    }
}

impl Given<'_> {
    fn into_shared(self) -> Arc<Vec<u8>> {
        self.shared.map_or_else(|| Arc::new(self.text.to_vec()), Arc::clone)
    }
}

/// An element as a reader sees it.
#[derive(Clone, Copy, Debug)]
pub enum Element<'a> {
    /// Bytes within a node, or an integer.
    Item(Item<'a>),
    /// A long element.
    Shared(&'a Arc<Vec<u8>>),
}

impl<'a> Element<'a> {
    /// Its bytes or its integer.
    #[inline]
    pub fn item(self) -> Item<'a> {
        match self {
            Element::Item(item) => item,
            Element::Shared(bytes) => Item::Bytes(bytes),
        }
    }

    /// A copy to keep while the list changes; a long element is shared.
    pub fn to_owned(self) -> OwnedElement {
        match self {
            Element::Item(Item::Int(value)) => OwnedElement::Int(value),
            Element::Item(Item::Bytes(bytes)) => OwnedElement::Bytes(SmallVec::from_slice(bytes)),
            Element::Shared(bytes) => OwnedElement::Shared(Arc::clone(bytes)),
        }
    }
}

/// An element taken from one list for another.
#[derive(Clone, Debug)]
pub enum OwnedElement {
    /// An integer.
    Int(i64),
    /// Any other text.
    Bytes(SmallVec<[u8; 64]>),
    /// A long text.
    Shared(Arc<Vec<u8>>),
}

impl OwnedElement {
    /// As a reader sees it.
    pub fn as_element(&self) -> Element<'_> {
        match self {
            OwnedElement::Int(value) => Element::Item(Item::Int(*value)),
            OwnedElement::Bytes(bytes) => Element::Item(Item::Bytes(bytes)),
            OwnedElement::Shared(bytes) => Element::Shared(bytes),
        }
    }
}

/// Some neighbours in a list.
#[derive(Clone)]
pub enum Stretch<'a> {
    /// Those that lie in one run of bytes.
    Short(Items<'a>),
    /// A long element.
    Long(&'a Arc<Vec<u8>>),
}

/// Elements one after another in a run of bytes.
#[derive(Clone)]
pub struct Items<'a> {
    /// From the next element on.
    bytes: &'a [u8],
    left: usize,
    /// Bytes behind a short element: its length in a node, nothing in a compact run.
    behind: usize,
}

impl<'a> Items<'a> {
    /// `count` elements of a node's bytes, of which the first begins at `at`.
    #[inline]
    fn of_node(bytes: &'a [u8], at: usize, count: usize) -> Items<'a> {
        Items { bytes: &bytes[at..], left: count, behind: 1 }
    }

    /// `count` elements of a compact run from number `start` on.
    #[inline]
    fn of_run(run: PackRef<'a>, start: usize, count: usize) -> Items<'a> {
        let from = run.seek(start).byte();
        Items { bytes: run.as_bytes().get(from..).unwrap_or_default(), left: count, behind: 0 }
    }

    /// The first element of these bytes, which is no short text, and what is behind it.
    #[inline(never)]
    fn split_other(bytes: &'a [u8], behind: usize) -> (Item<'a>, &'a [u8]) {
        let (item, end) = pack::decode(bytes, 0);
        let behind = if behind > 0 { node::trailer(end) } else { 0 };
        (item, &bytes[end + behind..])
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<Item<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (item, rest) = match pack::short_text_end(self.bytes) {
            Some(end) => (Item::Bytes(&self.bytes[1..end]), &self.bytes[end + self.behind..]),
            None => Items::split_other(self.bytes, self.behind),
        };
        self.bytes = rest;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// A list for reading.
#[derive(Clone, Copy)]
pub enum ListRef<'a> {
    /// A short one.
    Packed(PackRef<'a>),
    /// A longer one.
    Large(&'a Large),
}

/// What a quicklist consists of.
pub struct Nodes {
    /// Number of nodes.
    pub count: usize,
    /// Number of elements.
    pub elements: usize,
    /// What was given for `list-max-listpack-size` when it was made.
    pub fill: i16,
    /// Bytes of all nodes, as the original packs them.
    pub bytes: usize,
}

impl<'a> ListRef<'a> {
    /// Number of elements.
    #[inline]
    pub fn len(self) -> usize {
        match self {
            ListRef::Packed(run) => run.len(),
            ListRef::Large(large) => large.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// What OBJECT ENCODING says.
    pub fn encoding(self) -> &'static str {
        match self {
            ListRef::Large(large) if !large.is_listpack() => "quicklist",
            _ => "listpack",
        }
    }

    /// The nodes that DEBUG OBJECT tells of; `None` for a listpack. O(nodes).
    pub fn nodes(self) -> Option<Nodes> {
        match self {
            ListRef::Packed(_) => None,
            ListRef::Large(large) => large.nodes(),
        }
    }

    /// Bytes on the heap, about.
    pub fn heap_bytes(self) -> usize {
        match self {
            ListRef::Packed(run) => run.byte_len(),
            ListRef::Large(large) => large.heap_bytes(),
        }
    }

    /// Element number `index`. O(1) near the ends, O(nodes) in between.
    pub fn get(self, index: usize) -> Option<Element<'a>> {
        match self {
            ListRef::Packed(run) => run.get(index).map(|(_, item)| Element::Item(item)),
            ListRef::Large(large) => large.get(index),
        }
    }

    /// The element at an end.
    #[inline(always)]
    pub fn end(self, side: Side) -> Option<Element<'a>> {
        match (self, side) {
            (ListRef::Large(large), _) => large.end(side),
            (_, Side::Left) => self.get(0),
            (_, Side::Right) => self.get(self.len().checked_sub(1)?),
        }
    }

    /// Hands `count` elements from number `start` on to `each`; there are so many.
    #[inline]
    pub fn each(self, start: usize, count: usize, mut each: impl FnMut(Element<'a>)) {
        self.stretches(start, count, |stretch| match stretch {
            Stretch::Short(items) => items.for_each(|item| each(Element::Item(item))),
            Stretch::Long(shared) => each(Element::Shared(shared)),
        });
    }

    /// As [`ListRef::each`], several elements at a time.
    #[inline(always)]
    pub fn stretches(self, start: usize, count: usize, mut each: impl FnMut(Stretch<'a>)) {
        match self {
            ListRef::Packed(run) => each(Stretch::Short(Items::of_run(run, start, count))),
            ListRef::Large(large) => large.stretches(start, count, each),
        }
    }

    /// Hands the last `count` elements to `each`, the last one first; there are so many.
    pub fn each_back(self, count: usize, mut each: impl FnMut(Element<'a>)) {
        match self {
            ListRef::Packed(run) => {
                let elements = run.iter_from(run.seek(run.len() - count)).map(|(_, item)| item);
                let elements: SmallVec<[Item<'a>; 32]> = elements.collect();
                elements.iter().rev().for_each(|item| each(Element::Item(*item)));
            }
            ListRef::Large(large) => large.each_back(count, each),
        }
    }

    /// Hands `count` elements to `each`, beginning at an end.
    #[inline]
    pub fn each_from(self, side: Side, count: usize, each: impl FnMut(Element<'a>)) {
        match side {
            Side::Left => self.each(0, count, each),
            Side::Right => self.each_back(count, each),
        }
    }

    /// Looks for elements that are `wanted`, from an end on and among `most` elements at most, and hands
    /// their numbers (counted from the head) to `each` until it says false.
    pub fn each_match(self, wanted: &[u8], from: Side, most: usize, mut each: impl FnMut(usize) -> bool) {
        match self {
            ListRef::Large(large) => large.each_match(wanted, from, most, each),
            ListRef::Packed(run) => {
                let len = run.len();
                let (mut at, mut next, mut found) = (run.start(), 0, SmallVec::<[usize; 32]>::new());
                while let Some((ahead, place)) = run.find_from(at, wanted, 1) {
                    found.push(next + ahead);
                    (at, next) = (run.after(place), next + ahead + 1);
                }
                match from {
                    Side::Left => found.iter().take_while(|at| **at < most).all(|at| each(*at)),
                    Side::Right => found.iter().rev().take_while(|at| len - **at <= most).all(|at| each(*at)),
                };
            }
        }
    }
}

/// Every change tells the list how large it may become. Those that add something do so before, those that
/// remove something afterwards, even if nothing was added or removed in between.
impl List {
    /// A list of these elements, as one that is made at once.
    pub fn of<'a>(elements: impl IntoIterator<Item = Given<'a>>, limits: ListLimits) -> List {
        let mut large = Large::default();
        large.become_quicklist(limits);
        elements.into_iter().for_each(|given| large.push(Side::Right, given, limits));
        large.settle(limits, false);
        let mut list = List::Large(large);
        list.pack();
        list
    }

    /// Adds elements at an end, one after another, so that the last of them will be the outermost.
    pub fn push<'a, G>(&mut self, side: Side, elements: G, limits: ListLimits)
    where
        G: Iterator<Item = Given<'a>> + Clone,
    {
        if !matches!(self, List::Large(large) if !large.is_listpack()) {
            let (bytes, count) =
                elements.clone().fold((0, 0), |(bytes, count), given| (bytes + given.text.len(), count + 1));
            self.grow(side, bytes, count, limits);
        }
        match self {
            List::Large(large) => {
                for given in elements {
                    large.push(side, given, limits);
                }
            }
            List::Packed(pack) if side == Side::Right => {
                elements.for_each(|given| pack.push_back(given.text))
            }
            List::Packed(pack) => elements.for_each(|given| pack.push_front(given.text)),
        }
    }

    /// Adds an element taken from another list. An integer counts nothing towards the limit, as in the
    /// original.
    pub fn push_moved(&mut self, side: Side, element: &OwnedElement, limits: ListLimits) {
        let mut digits = [0; MAX_I64_LEN];
        let text = element.as_element().item().bytes(&mut digits);
        let bytes = if matches!(element, OwnedElement::Int(_)) { 0 } else { text.len() };
        self.grow(side, bytes, 1, limits);
        let shared = if let OwnedElement::Shared(shared) = element { Some(shared) } else { None };
        match self {
            List::Large(large) => large.push(side, Given { text, shared }, limits),
            List::Packed(pack) if side == Side::Right => pack.push_back(text),
            List::Packed(pack) => pack.push_front(text),
        }
    }

    /// Takes the element at one end, which is `element`, and puts it at an end, which may be the same.
    pub fn rotate(&mut self, from: Side, to: Side, element: &OwnedElement, limits: ListLimits) {
        self.drop_only(from, 1);
        self.push_moved(to, element, limits);
        self.settle(limits);
    }

    /// Prepares the list for so many more elements of so many bytes.
    fn grow(&mut self, side: Side, bytes: usize, count: usize, limits: ListLimits) {
        match self {
            List::Packed(pack) => {
                let run = pack.as_ref();
                let is_quicklist = has_to_be_nodes(run, bytes, count, limits);
                if is_quicklist || run.byte_len() + bytes + 2 * count > PACK_BYTES {
                    let mut large = Large::from_pack(run, side);
                    if is_quicklist {
                        large.become_quicklist(limits);
                    }
                    *self = List::Large(large);
                }
            }
            List::Large(large) => {
                if large.is_listpack() && limits.exceeds(large.listpack_bytes() + bytes, large.len() + count)
                {
                    large.become_quicklist(limits);
                }
            }
        }
    }

    /// After something was removed: a listpack again if what is left is small enough.
    fn settle(&mut self, limits: ListLimits) {
        if let List::Large(large) = self
            && large.is_one_node()
        {
            large.settle(limits, true);
            self.pack();
        }
    }

    /// Turns a single short node into a compact run.
    fn pack(&mut self) {
        if let List::Large(large) = self
            && large.is_listpack()
            && large.listpack_bytes() <= SMALL_BYTES
        {
            let mut pack = Pack::new();
            pack.reserve(large.listpack_bytes());
            ListRef::Large(large).each(0, large.len(), |element| pack.push_item(element.item()));
            *self = List::Packed(pack);
        }
    }

    /// Removes the outermost `count` elements at an end; there are so many.
    pub fn drop(&mut self, side: Side, count: usize, limits: ListLimits) {
        self.drop_only(side, count);
        self.settle(limits);
    }

    fn drop_only(&mut self, side: Side, count: usize) {
        match self {
            List::Large(large) => large.drop(side, count),
            List::Packed(pack) => {
                let run = pack.as_ref();
                let from = match side {
                    Side::Left => run.start(),
                    Side::Right => run.seek(run.len() - count),
                };
                pack.remove(from, count);
            }
        }
    }

    /// Removes `left` elements at the head and `right` at the tail; there are so many.
    pub fn trim(&mut self, left: usize, right: usize, limits: ListLimits) {
        self.drop_only(Side::Left, left);
        self.drop_only(Side::Right, right);
        self.settle(limits);
    }

    /// Puts another element in the place of number `index`. False: there is none.
    pub fn set(&mut self, index: usize, given: Given<'_>, limits: ListLimits) -> bool {
        self.grow(Side::Right, given.text.len(), 1, limits);
        let is_set = match self {
            List::Large(large) => large.set(index, given, limits),
            List::Packed(pack) => {
                let at = pack.as_ref().seek(index);
                let is_there = at < pack.as_ref().end();
                if is_there {
                    pack.replace(at, given.text);
                }
                is_there
            }
        };
        if is_set {
            self.settle(limits);
        }
        is_set
    }

    /// Puts an element beside the first that is `pivot`, on its left or on its right. False: there is none.
    pub fn insert(&mut self, pivot: &[u8], side: Side, given: Given<'_>, limits: ListLimits) -> bool {
        self.grow(Side::Right, given.text.len(), 1, limits);
        match self {
            List::Large(large) => large.insert_beside(pivot, side, given, limits),
            List::Packed(pack) => {
                let Some((_, at)) = pack.as_ref().find(pivot, 1) else { return false };
                let at = if side == Side::Left { at } else { pack.as_ref().after(at) };
                pack.insert(at, given.text);
                true
            }
        }
    }

    /// Removes the first `most` elements that are `wanted`, counted from an end. Says how many.
    pub fn remove(&mut self, wanted: &[u8], from: Side, most: usize, limits: ListLimits) -> usize {
        let removed = match self {
            List::Large(large) => large.remove(wanted, from, most),
            List::Packed(pack) => {
                let mut places = SmallVec::<[usize; 32]>::new();
                ListRef::Packed(pack.as_ref()).each_match(wanted, from, usize::MAX, |index| {
                    places.push(index);
                    places.len() < most
                });
                places.sort_unstable();
                // From behind, so that the numbers of the others stay.
                places.iter().rev().for_each(|index| pack.remove(pack.as_ref().seek(*index), 1));
                places.len()
            }
        };
        if removed > 0 {
            self.settle(limits);
        }
        removed
    }
}

/// Whether a list that is a compact run has to be nodes to take so much more.
fn has_to_be_nodes(run: PackRef<'_>, bytes: usize, count: usize, limits: ListLimits) -> bool {
    let len = run.len();
    // Most runs are so far from the limit that a bound decides.
    let bound = run.byte_len() + limit::LISTPACK_FRAME + 2 * len;
    limits.exceeds(bound + bytes, len + count) && {
        let body = run.as_bytes();
        let sizes = run.iter().map(|(at, _)| listpack_size(size_at(body, at.byte())));
        limits.exceeds(limit::LISTPACK_FRAME + sizes.sum::<usize>() + bytes, len + count)
    }
}

impl Collection for List {
    crate::value::collection::boxed_as!(List);
    const ORDERED: bool = true;
    type Ref<'a> = ListRef<'a>;

    #[inline]
    fn view(_: Compact, bytes: &[u8]) -> ListRef<'_> {
        ListRef::Packed(PackRef::new(bytes))
    }

    #[inline]
    fn as_ref(&self) -> ListRef<'_> {
        match self {
            List::Packed(pack) => ListRef::Packed(pack.as_ref()),
            List::Large(large) => ListRef::Large(large),
        }
    }

    fn from_compact(_: Compact, bytes: Vec<u8>) -> List {
        List::Packed(Pack::from_vec(bytes))
    }

    fn into_compact(self) -> Result<(Compact, Vec<u8>), List> {
        match self {
            List::Packed(pack) => Ok((Compact::Pack, pack.into_vec())),
            large => Err(large),
        }
    }

    fn len(this: ListRef<'_>) -> usize {
        this.len()
    }

    fn encoding(this: ListRef<'_>) -> &'static str {
        this.encoding()
    }

    fn heap_bytes(this: ListRef<'_>) -> usize {
        this.heap_bytes()
    }

    fn visit(this: ListRef<'_>, each: &mut dyn FnMut(&[&[u8]])) {
        this.each(0, this.len(), |element| {
            let mut digits = [0; MAX_I64_LEN];
            each(&[element.item().bytes(&mut digits)]);
        });
    }
}
