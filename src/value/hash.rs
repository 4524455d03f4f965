//! Hashes: fields with values, of which each may have a deadline.
//!
//! For: the hash commands and the keyspace. May touch: the compact run and the dictionary.
//! Always: a packed hash has no deadlines and keeps its fields in the order in which they came; one that
//! became large stays large.
//!
//! The packed form is a run of field, value, field, value, ... The large one is a dictionary, which a hash
//! turns into when it gets too many fields, a text that is too long, or its first deadline.

use std::collections::HashSet;

use super::collection::{Collection, Compact};
use super::dict::{self, Fields};
use super::number::MAX_I64_LEN;
use super::pack::{self, Item, MAX_BYTES, Pack, PackRef};

/// Bytes that a text takes in a run beside its own, at most.
const HEAD_BYTES: usize = 9;
/// A sample of a large hash is drawn one by one when the hash has more than this many times as many fields.
const DRAWN_SHARE: usize = 3;
/// Draws for each field of such a sample, at most, before the rest is taken in the order of the fields.
const DRAWS_PER_FIELD: usize = 10;

/// When a hash becomes large.
#[derive(Clone, Copy, Debug)]
pub struct HashLimits {
    /// It has more fields than this,
    pub max_entries: usize,
    /// or a field or value of more bytes than this.
    pub max_value: usize,
    /// Seed of the dictionary.
    pub seed: u64,
}

/// What becomes of the deadline of a field whose value is set. A new field has none in both of the first
/// cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The field stays for ever.
    Cleared,
    /// It has the deadline that it had.
    Kept,
    /// Unix time in milliseconds; below `u64::MAX`.
    At(u64),
}

/// A hash.
#[derive(Clone)]
pub enum Hash {
    /// Field, value, field, value, ...
    Packed(Pack),
    /// Found by their hash; with deadlines.
    Large(Box<Fields>),
}

/// A hash for reading.
#[derive(Clone, Copy)]
pub enum HashRef<'a> {
    /// See [`Hash::Packed`].
    Packed(PackRef<'a>),
    /// See [`Hash::Large`].
    Large(&'a Fields),
}

impl Default for Hash {
    fn default() -> Hash {
        Hash::Packed(Pack::new())
    }
}

impl<'a> HashRef<'a> {
    /// Number of fields.
    #[inline]
    pub fn len(self) -> usize {
        match self {
            HashRef::Packed(pack) => pack.len() / 2,
            HashRef::Large(dict) => dict.len(),
        }
    }

    /// Whether there are no fields.
    pub fn is_empty(self) -> bool {
        match self {
            HashRef::Packed(pack) => pack.is_empty(),
            HashRef::Large(dict) => dict.is_empty(),
        }
    }

    /// The value of a field.
    #[inline]
    pub fn get(self, field: &[u8]) -> Option<Item<'a>> {
        match self {
            HashRef::Packed(pack) => {
                let (_, at) = pack.find(field, 2)?;
                pack.item(pack.after(at))
            }
            HashRef::Large(dict) => dict.get(field).map(Item::Bytes),
        }
    }

    /// Whether the field is there.
    #[inline]
    pub fn contains(self, field: &[u8]) -> bool {
        match self {
            HashRef::Packed(pack) => pack.find(field, 2).is_some(),
            HashRef::Large(dict) => dict.contains(field),
        }
    }

    /// The deadline of a field, Unix time in milliseconds: outer `None` if it is not there, inner if it has
    /// none.
    pub fn deadline(self, field: &[u8]) -> Option<Option<u64>> {
        match self {
            HashRef::Packed(_) => self.contains(field).then_some(None),
            HashRef::Large(dict) => dict.deadline(field),
        }
    }

    /// The earliest deadline of all fields, Unix time in milliseconds.
    #[inline]
    pub fn earliest_deadline(self) -> Option<u64> {
        match self {
            HashRef::Packed(_) => None,
            HashRef::Large(dict) => dict.earliest_deadline(),
        }
    }

    /// All fields with their values.
    #[inline]
    pub fn iter(self) -> Iter<'a> {
        match self {
            HashRef::Packed(pack) => Iter::Packed(pack.iter()),
            HashRef::Large(dict) => Iter::Large(dict.iter()),
        }
    }

    /// Visits about `count` fields from `cursor` on and returns the next cursor, 0 at the end. A packed hash
    /// is visited as a whole.
    pub fn scan(self, cursor: u64, count: usize, visit: &mut dyn FnMut(Item<'_>, Item<'_>)) -> u64 {
        match self {
            HashRef::Packed(_) => {
                self.iter().for_each(|(field, value)| visit(field, value));
                0
            }
            HashRef::Large(dict) => dict.scan(cursor, count, &mut |field, value| {
                visit(Item::Bytes(field), Item::Bytes(value));
            }),
        }
    }

    /// A field with its value, each as likely as any other, given numbers uniform below the argument.
    pub fn random(self, draw: &mut dyn FnMut(u64) -> u64) -> Option<(Item<'a>, Item<'a>)> {
        match self {
            HashRef::Packed(_) if self.is_empty() => None,
            HashRef::Packed(pack) => {
                let at = pack.seek(2 * draw(self.len() as u64) as usize);
                Iter::Packed(pack.iter_from(at)).next()
            }
            HashRef::Large(dict) => {
                dict.random(draw).map(|(field, value)| (Item::Bytes(field), Item::Bytes(value)))
            }
        }
    }

    /// Draws a field, each as likely as any other, again and again, until `visit` says false. O(N) once for a
    /// packed hash, then O(1) a draw.
    pub fn draw_repeatedly(
        self,
        draw: &mut dyn FnMut(u64) -> u64,
        visit: &mut dyn FnMut(Item<'_>, Item<'_>) -> bool,
    ) {
        let all: Vec<_> = match self {
            HashRef::Packed(_) => self.iter().collect(),
            HashRef::Large(_) => Vec::new(),
        };
        loop {
            let drawn = match self {
                HashRef::Packed(_) if all.is_empty() => None,
                HashRef::Packed(_) => Some(all[draw(all.len() as u64) as usize]),
                HashRef::Large(_) => self.random(draw),
            };
            match drawn {
                Some((field, value)) if visit(field, value) => {}
                _ => return,
            }
        }
    }

    /// Visits `count` different fields, or all if there are no more, any choice as likely as any other.
    pub fn sample(
        self,
        count: usize,
        draw: &mut dyn FnMut(u64) -> u64,
        visit: &mut dyn FnMut(Item<'_>, Item<'_>),
    ) {
        let len = self.len();
        let mut wanted = count.min(len);
        let mut drawn: HashSet<&[u8]> = HashSet::new();
        if let HashRef::Large(dict) = self
            && count.saturating_mul(DRAWN_SHARE) < len
        {
            for _ in 0..wanted * DRAWS_PER_FIELD {
                if wanted == 0 {
                    return;
                }
                let Some((field, value)) = dict.random(draw) else { return };
                if drawn.insert(field) {
                    visit(Item::Bytes(field), Item::Bytes(value));
                    wanted -= 1;
                }
            }
        }
        let mut left = len - drawn.len();
        for (field, value) in self.iter() {
            if matches!(field, Item::Bytes(text) if drawn.contains(text)) {
                continue;
            }
            if draw(left as u64) < wanted as u64 {
                visit(field, value);
                wanted -= 1;
            }
            left -= 1;
            if wanted == 0 {
                return;
            }
        }
    }
}

/// The fields of a hash with their values.
#[derive(Clone)]
pub enum Iter<'a> {
    /// In the order in which they came.
    Packed(pack::Iter<'a>),
    /// In no particular order.
    Large(dict::Iter<'a, true>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Item<'a>, Item<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Iter::Packed(items) => {
                let (_, field) = items.next()?;
                items.next().map(|(_, value)| (field, value))
            }
            Iter::Large(entries) => {
                entries.next().map(|(field, value)| (Item::Bytes(field), Item::Bytes(value)))
            }
        }
    }
}

impl Hash {
    /// The hash for reading.
    #[inline]
    pub fn as_ref(&self) -> HashRef<'_> {
        match self {
            Hash::Packed(pack) => HashRef::Packed(pack.as_ref()),
            Hash::Large(dict) => HashRef::Large(dict),
        }
    }

    /// Tells that so many fields are about to be set at once, whether they are new or not: too many for a
    /// packed hash make it large.
    #[inline]
    pub fn expect(&mut self, fields: usize, limits: &HashLimits) {
        if fields > limits.max_entries {
            self.enlarge(limits.seed);
        }
    }

    /// Sets the value of a field; tells whether the field is new. A value of a packed hash whose code has the
    /// same length is written in its place, and nothing else is moved.
    pub fn set(&mut self, field: &[u8], value: &[u8], until: Until, limits: &HashLimits) -> bool {
        if let Hash::Packed(pack) = self
            && (matches!(until, Until::At(_)) || !fits(pack.as_ref(), field, value, limits))
        {
            self.enlarge(limits.seed);
        }
        match self {
            Hash::Packed(pack) => {
                let run = pack.as_ref();
                let found = run.find(field, 2).map(|(_, at)| run.after(at));
                match found {
                    Some(at) => {
                        pack.replace(at, value);
                    }
                    None => {
                        pack.push_back(field);
                        pack.push_back(value);
                    }
                }
                if self.as_ref().len() > limits.max_entries {
                    self.enlarge(limits.seed);
                }
                found.is_none()
            }
            Hash::Large(dict) => {
                let is_new = !dict.insert(field, value);
                match until {
                    Until::Kept => {}
                    Until::Cleared if is_new || dict.timed() == 0 => {}
                    Until::Cleared => {
                        dict.set_deadline(field, None);
                    }
                    Until::At(deadline_ms) => {
                        dict.set_deadline(field, Some(deadline_ms));
                    }
                }
                is_new
            }
        }
    }

    /// Sets the value of a field in the run of a packed hash, if that does not change the length of the run.
    /// False: nothing was changed; [`Hash::set`] has to do it.
    pub fn overwrite(run: &mut [u8], field: &[u8], value: &[u8], limits: &HashLimits) -> bool {
        let pack = PackRef::new(run);
        if !fits(pack, field, value, limits) || pack.len() / 2 > limits.max_entries {
            return false;
        }
        let found = pack.find(field, 2).map(|(_, at)| pack.after(at));
        found.is_some_and(|at| pack::overwrite(run, at, value))
    }

    /// Removes a field; tells whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        match self {
            Hash::Packed(pack) => {
                let found = pack.as_ref().find(field, 2);
                if let Some((_, at)) = found {
                    pack.remove(at, 2);
                }
                found.is_some()
            }
            Hash::Large(dict) => dict.remove(field),
        }
    }

    /// Sets the deadline of a field (Unix time in milliseconds, below `u64::MAX`) or takes it away; tells
    /// whether the field is there. The first deadline makes the hash large.
    pub fn set_deadline(&mut self, field: &[u8], deadline_ms: Option<u64>, seed: u64) -> bool {
        if matches!(self, Hash::Packed(_)) {
            let is_there = self.as_ref().contains(field);
            if !is_there || deadline_ms.is_none() {
                return is_there;
            }
            self.enlarge(seed);
        }
        match self {
            Hash::Large(dict) => dict.set_deadline(field, deadline_ms),
            Hash::Packed(_) => unreachable!("it was made large"),
        }
    }

    /// Makes the hash large.
    fn enlarge(&mut self, seed: u64) {
        let Hash::Packed(pack) = self else { return };
        let mut dict = Box::new(Fields::new(seed));
        let (mut field_digits, mut value_digits) = ([0; MAX_I64_LEN], [0; MAX_I64_LEN]);
        for (field, value) in HashRef::Packed(pack.as_ref()).iter() {
            dict.insert(field.bytes(&mut field_digits), value.bytes(&mut value_digits));
        }
        *self = Hash::Large(dict);
    }
}

/// Whether a run may take that field with that value.
#[inline]
fn fits(run: PackRef<'_>, field: &[u8], value: &[u8], limits: &HashLimits) -> bool {
    field.len() <= limits.max_value
        && value.len() <= limits.max_value
        && run.byte_len() + field.len() + value.len() + 2 * HEAD_BYTES < MAX_BYTES
}

impl Collection for Hash {
    crate::value::collection::boxed_as!(Hash);
    const ORDERED: bool = false;
    type Ref<'a> = HashRef<'a>;

    #[inline]
    fn view(_: Compact, bytes: &[u8]) -> HashRef<'_> {
        HashRef::Packed(PackRef::new(bytes))
    }

    #[inline]
    fn as_ref(&self) -> HashRef<'_> {
        Hash::as_ref(self)
    }

    #[inline]
    fn from_compact(_: Compact, bytes: Vec<u8>) -> Hash {
        Hash::Packed(Pack::from_vec(bytes))
    }

    #[inline]
    fn into_compact(self) -> Result<(Compact, Vec<u8>), Hash> {
        match self {
            Hash::Packed(pack) => Ok((Compact::Pack, pack.into_vec())),
            Hash::Large(_) => Err(self),
        }
    }

    #[inline]
    fn len(this: HashRef<'_>) -> usize {
        this.len()
    }

    fn encoding(this: HashRef<'_>) -> &'static str {
        match this {
            HashRef::Packed(_) => "listpack",
            HashRef::Large(_) => "hashtable",
        }
    }

    fn heap_bytes(this: HashRef<'_>) -> usize {
        match this {
            HashRef::Packed(pack) => pack.byte_len(),
            HashRef::Large(dict) => size_of::<Fields>() + dict.heap_bytes(),
        }
    }

    fn visit(this: HashRef<'_>, each: &mut dyn FnMut(&[&[u8]])) {
        let (mut field_digits, mut value_digits) = ([0; MAX_I64_LEN], [0; MAX_I64_LEN]);
        for (field, value) in this.iter() {
            each(&[field.bytes(&mut field_digits), value.bytes(&mut value_digits)]);
        }
    }

    #[inline]
    fn earliest_deadline(this: HashRef<'_>) -> Option<u64> {
        this.earliest_deadline()
    }

    fn expire_due(&mut self, now_ms: u64, limit: usize, gone: &mut dyn FnMut(&[u8])) -> usize {
        match self {
            Hash::Large(dict) => dict.expire_due(now_ms, limit, &mut |field, _| gone(field)),
            Hash::Packed(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests;
