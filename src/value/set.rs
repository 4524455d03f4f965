//! Sets.
//! For: the members of a key, in the smallest of three forms that holds them. May touch: its forms.
//! Always: a form gives way to a larger one when its threshold is passed, and comes back only in a new set.

use std::collections::BTreeSet;

use super::collection::{Collection, Compact};
use super::dict::{self, Members};
use super::intset::{IntSet, IntSetRef, Ints};
use super::number::{MAX_I64_LEN, parse_i64};
use super::pack::{self, Item, Pack, PackRef};

/// Most integers of a sorted run, whatever the settings say.
const MAX_INTS: usize = 1 << 30;
/// Of members to take out, the number that have to stay for each that goes before it is quicker to pick those
/// that stay: above this ratio, members are drawn one by one.
const STAY_PER_GONE: usize = 5;
/// A sample of more than one in this many members is taken by walking over all.
const WALK_ONE_IN: usize = 3;

/// When a set changes its form.
#[derive(Clone, Copy, Debug)]
pub struct SetLimits {
    /// `set-max-intset-entries`.
    pub max_intset_entries: usize,
    /// `set-max-listpack-entries`.
    pub max_listpack_entries: usize,
    /// `set-max-listpack-value`, in bytes.
    pub max_listpack_value: usize,
    /// Seed of the hash of large sets.
    pub seed: u64,
}

impl SetLimits {
    fn intset_entries(&self) -> usize {
        self.max_intset_entries.min(MAX_INTS)
    }
}

/// Draws a number below its argument, each equally likely.
pub type Draw<'d> = &'d mut dyn FnMut(u64) -> u64;

/// A set.
#[derive(Clone)]
pub enum Set {
    /// Integers only.
    Ints(IntSet),
    /// Few and short members, in the order in which they came.
    Packed(Pack),
    /// Any members.
    Large(Box<Members>),
}

impl Default for Set {
    fn default() -> Set {
        Set::Packed(Pack::new())
    }
}

/// A set for reading.
#[derive(Clone, Copy)]
pub enum SetRef<'a> {
    /// See [`Set::Ints`].
    Ints(IntSetRef<'a>),
    /// See [`Set::Packed`].
    Packed(PackRef<'a>),
    /// See [`Set::Large`].
    Large(&'a Members),
}

/// The members of a set: ascending, as they came, or in no particular order.
#[derive(Clone)]
pub enum Iter<'a> {
    /// Of [`Set::Ints`].
    Ints(Ints<'a>),
    /// Of [`Set::Packed`].
    Packed(pack::Iter<'a>),
    /// Of [`Set::Large`].
    Large(dict::Iter<'a, false>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        match self {
            Iter::Ints(ints) => ints.next().map(Item::Int),
            Iter::Packed(pack) => pack.next().map(|(_, item)| item),
            Iter::Large(members) => members.next().map(|(member, _)| Item::Bytes(member)),
        }
    }
}

impl<'a> SetRef<'a> {
    /// Number of members.
    #[inline]
    pub fn len(self) -> usize {
        match self {
            SetRef::Ints(ints) => ints.len(),
            SetRef::Packed(pack) => pack.len(),
            SetRef::Large(members) => members.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether `member` is there.
    pub fn contains(self, member: &[u8]) -> bool {
        match self {
            SetRef::Ints(ints) => parse_i64(member).is_some_and(|value| ints.contains(value)),
            SetRef::Packed(pack) => pack.find(member, 1).is_some(),
            SetRef::Large(members) => members.contains(member),
        }
    }

    /// Whether a member of another set is in this one, too.
    pub fn contains_item(self, member: Item<'_>) -> bool {
        match (self, member) {
            (SetRef::Ints(ints), Item::Int(value)) => ints.contains(value),
            (_, member) => self.contains(member.bytes(&mut [0; MAX_I64_LEN])),
        }
    }

    /// All members.
    pub fn iter(self) -> Iter<'a> {
        match self {
            SetRef::Ints(ints) => Iter::Ints(ints.iter()),
            SetRef::Packed(pack) => Iter::Packed(pack.iter()),
            SetRef::Large(members) => Iter::Large(members.iter()),
        }
    }

    /// A member, each as likely as any other. `None` if there is none.
    pub fn random(self, draw: Draw<'_>) -> Option<Item<'a>> {
        match self {
            SetRef::Large(members) => members.random(draw).map(|(member, _)| Item::Bytes(member)),
            _ if self.is_empty() => None,
            SetRef::Ints(ints) => ints.get(draw(ints.len() as u64) as usize).map(Item::Int),
            SetRef::Packed(pack) => pack.get(draw(pack.len() as u64) as usize).map(|(_, item)| item),
        }
    }

    /// Visits `count` different members, or all if there are no more; each choice of that many is as likely
    /// as any other.
    pub fn sample(self, count: usize, draw: Draw<'_>, visit: &mut dyn FnMut(Item<'a>)) {
        match self {
            SetRef::Large(members) if count <= members.len() / WALK_ONE_IN => {
                let mut seen = BTreeSet::new();
                while seen.len() < count {
                    let Some((member, _)) = members.random(draw) else { return };
                    if seen.insert(member) {
                        visit(Item::Bytes(member));
                    }
                }
            }
            _ => choose(self, count, draw, &mut |member, is_chosen| {
                if is_chosen {
                    visit(member);
                }
            }),
        }
    }

    /// Visits about `count` members from `cursor` on and returns the next cursor; 0 begins, and 0 is returned
    /// at the end. Compact forms are visited as a whole.
    pub fn scan(self, cursor: u64, count: usize, visit: &mut dyn FnMut(Item<'a>)) -> u64 {
        match self {
            SetRef::Large(members) => {
                members.scan(cursor, count, &mut |member, _| visit(Item::Bytes(member)))
            }
            _ => {
                self.iter().for_each(visit);
                0
            }
        }
    }

    /// What OBJECT ENCODING says.
    pub fn encoding(self) -> &'static str {
        match self {
            SetRef::Ints(_) => "intset",
            SetRef::Packed(_) => "listpack",
            SetRef::Large(_) => "hashtable",
        }
    }

    /// Bytes on the heap, about.
    pub fn heap_bytes(self) -> usize {
        match self {
            SetRef::Ints(ints) => ints.as_bytes().len(),
            SetRef::Packed(pack) => pack.byte_len(),
            SetRef::Large(members) => size_of::<Members>() + members.heap_bytes(),
        }
    }
}

/// Walks over all members and chooses `count` of them, each choice of that many equally likely.
fn choose<'a>(set: SetRef<'a>, count: usize, draw: Draw<'_>, visit: &mut dyn FnMut(Item<'a>, bool)) {
    let mut wanted = count.min(set.len());
    for (member, left) in set.iter().zip((1..=set.len()).rev()) {
        let is_chosen = wanted == left || wanted > 0 && draw(left as u64) < wanted as u64;
        wanted -= usize::from(is_chosen);
        visit(member, is_chosen);
    }
}

impl Set {
    /// An empty set in the form that suits `count` members, of which `first` is one.
    pub fn create(first: &[u8], count: usize, limits: &SetLimits) -> Set {
        if count <= limits.intset_entries() && parse_i64(first).is_some() {
            Set::Ints(IntSet::new())
        } else if count <= limits.max_listpack_entries {
            Set::default()
        } else {
            Set::Large(Box::new(Members::new(limits.seed)))
        }
    }

    /// Gets ready for `count` more members, of which `first` is one.
    pub fn prepare(&mut self, first: &[u8], count: usize, limits: &SetLimits) {
        let is_many = match self {
            _ if self.as_ref().is_empty() => {
                *self = Set::create(first, count, limits);
                false
            }
            Set::Ints(_) => count > limits.intset_entries(),
            Set::Packed(_) => count > limits.max_listpack_entries,
            Set::Large(_) => false,
        };
        if is_many {
            self.enlarge(limits);
        }
    }

    /// The set for reading.
    #[inline]
    pub fn as_ref(&self) -> SetRef<'_> {
        match self {
            Set::Ints(ints) => SetRef::Ints(ints.as_ref()),
            Set::Packed(pack) => SetRef::Packed(pack.as_ref()),
            Set::Large(members) => SetRef::Large(members),
        }
    }

    /// Adds `member`; tells whether it is new.
    pub fn add(&mut self, member: &[u8], limits: &SetLimits) -> bool {
        match self {
            Set::Ints(ints) => match parse_i64(member) {
                Some(value) => {
                    let is_new = ints.add(value);
                    if is_new && ints.as_ref().len() > limits.intset_entries() {
                        self.enlarge(limits);
                    }
                    is_new
                }
                None => {
                    self.leave_ints(member, limits);
                    self.add(member, limits)
                }
            },
            Set::Packed(pack) => {
                if pack.as_ref().find(member, 1).is_some() {
                    return false;
                }
                if !fits(pack.as_ref().len(), pack.as_ref().byte_len(), member.len(), limits) {
                    self.enlarge(limits);
                    return self.add(member, limits);
                }
                pack.push_back(member);
                true
            }
            Set::Large(members) => !members.insert(member, &[]),
        }
    }

    /// Adds a member of another set; tells whether it is new.
    pub fn add_item(&mut self, member: Item<'_>, limits: &SetLimits) -> bool {
        self.add(member.bytes(&mut [0; MAX_I64_LEN]), limits)
    }

    /// Removes `member`; tells whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            Set::Ints(ints) => parse_i64(member).is_some_and(|value| ints.remove(value)),
            Set::Packed(pack) => match pack.as_ref().find(member, 1) {
                Some((_, at)) => {
                    pack.remove(at, 1);
                    true
                }
                None => false,
            },
            Set::Large(members) => members.remove(member),
        }
    }

    /// Removes a member of another set; tells whether it was there.
    pub fn remove_item(&mut self, member: Item<'_>) -> bool {
        self.remove(member.bytes(&mut [0; MAX_I64_LEN]))
    }

    /// Takes one member out, each as likely as any other; `gone` sees it before. False if there is none.
    pub fn pop(&mut self, draw: Draw<'_>, gone: &mut dyn FnMut(Item<'_>)) -> bool {
        match self {
            Set::Large(members) => members.pop(draw, &mut |member, _| gone(Item::Bytes(member))),
            _ if self.as_ref().is_empty() => false,
            Set::Ints(ints) => {
                let index = draw(ints.as_ref().len() as u64) as usize;
                let Some(value) = ints.as_ref().get(index) else { return false };
                gone(Item::Int(value));
                ints.remove(value)
            }
            Set::Packed(pack) => {
                let index = draw(pack.as_ref().len() as u64) as usize;
                let Some((at, item)) = pack.as_ref().get(index) else { return false };
                gone(item);
                pack.remove(at, 1);
                true
            }
        }
    }

    /// Takes `count` members out, fewer than there are, each choice of that many as likely as any other;
    /// `gone` sees each. When only few stay of many, they stay as a new set, in the form that suits them.
    pub fn pop_many(
        &mut self,
        count: usize,
        limits: &SetLimits,
        draw: Draw<'_>,
        gone: &mut dyn FnMut(Item<'_>),
    ) {
        let len = self.as_ref().len();
        debug_assert!(count < len, "somebody stays");
        if let Set::Large(members) = self
            && (len - count) * STAY_PER_GONE <= count
        {
            let mut stay = Set::default();
            for _ in count..len {
                members.pop(draw, &mut |member, _| _ = stay.add(member, limits));
            }
            members.iter().for_each(|(member, _)| gone(Item::Bytes(member)));
            *self = stay;
        } else if let Set::Large(_) = self {
            for _ in 0..count {
                self.pop(draw, gone);
            }
        } else {
            let mut stay =
                if matches!(self, Set::Ints(_)) { Set::Ints(IntSet::new()) } else { Set::default() };
            choose(self.as_ref(), count, draw, &mut |member, is_chosen| {
                if is_chosen {
                    gone(member);
                } else {
                    stay.add_item(member, limits);
                }
            });
            *self = stay;
        }
    }

    /// Puts the set into sorted integers, where it has no other members and not too many.
    pub fn compact_ints(&mut self, limits: &SetLimits) {
        if matches!(self, Set::Ints(_)) || self.as_ref().len() > limits.intset_entries() {
            return;
        }
        let value_of = |member| match member {
            Item::Int(value) => Some(value),
            Item::Bytes(text) => parse_i64(text),
        };
        let Some(mut values) = self.as_ref().iter().map(value_of).collect::<Option<Vec<i64>>>() else {
            return;
        };
        values.sort_unstable();
        let mut ints = IntSet::new();
        for value in values {
            ints.add(value);
        }
        *self = Set::Ints(ints);
    }

    /// Leaves the form of integers because of `member`.
    fn leave_ints(&mut self, member: &[u8], limits: &SetLimits) {
        let Set::Ints(ints) = self else { return };
        let ints = ints.as_ref();
        let ends = [ints.get(0), ints.len().checked_sub(1).and_then(|last| ints.get(last))];
        let longest = ends.into_iter().flatten().map(|value| Item::Int(value).len()).max().unwrap_or(0);
        let longest = longest.max(member.len());
        if fits(ints.len(), ints.len() * MAX_I64_LEN, longest, limits) {
            let mut pack = Pack::new();
            ints.iter().for_each(|value| pack.push_item(Item::Int(value)));
            *self = Set::Packed(pack);
        } else {
            self.enlarge(limits);
        }
    }

    fn enlarge(&mut self, limits: &SetLimits) {
        let mut members = Members::new(limits.seed);
        for member in self.as_ref().iter() {
            members.insert(member.bytes(&mut [0; MAX_I64_LEN]), &[]);
        }
        *self = Set::Large(Box::new(members));
    }
}

/// Whether a compact run of so many members and bytes may get one more of `len` bytes.
fn fits(members: usize, bytes: usize, len: usize, limits: &SetLimits) -> bool {
    members < limits.max_listpack_entries
        && len <= limits.max_listpack_value
        && bytes.saturating_add(len) < pack::MAX_BYTES / 2
}

impl Collection for Set {
    crate::value::collection::boxed_as!(Set);
    const ORDERED: bool = false;
    type Ref<'a> = SetRef<'a>;

    fn view(form: Compact, bytes: &[u8]) -> SetRef<'_> {
        match form {
            Compact::Ints => SetRef::Ints(IntSetRef::new(bytes)),
            Compact::Pack => SetRef::Packed(PackRef::new(bytes)),
        }
    }

    fn as_ref(&self) -> SetRef<'_> {
        self.as_ref()
    }

    fn from_compact(form: Compact, bytes: Vec<u8>) -> Set {
        match form {
            Compact::Ints => Set::Ints(IntSet::from_vec(bytes)),
            Compact::Pack => Set::Packed(Pack::from_vec(bytes)),
        }
    }

    fn into_compact(self) -> Result<(Compact, Vec<u8>), Set> {
        match self {
            Set::Ints(ints) => Ok((Compact::Ints, ints.into_vec())),
            Set::Packed(pack) => Ok((Compact::Pack, pack.into_vec())),
            Set::Large(_) => Err(self),
        }
    }

    fn len(this: SetRef<'_>) -> usize {
        this.len()
    }

    fn encoding(this: SetRef<'_>) -> &'static str {
        this.encoding()
    }

    fn heap_bytes(this: SetRef<'_>) -> usize {
        this.heap_bytes()
    }

    fn visit(this: SetRef<'_>, each: &mut dyn FnMut(&[&[u8]])) {
        for member in this.iter() {
            each(&[member.bytes(&mut [0; MAX_I64_LEN])]);
        }
    }
}

#[cfg(test)]
mod tests;
