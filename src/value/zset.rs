//! Sorted sets.
//!
//! For: members with scores, in order. May touch: bytes only.
//! Always: ascending by score, then by the members' bytes; each member once; no score is NaN. A small set is
//! one run of bytes (`packed.rs`). A large one is a tree of sorted runs with an index of its members
//! (`large.rs`):
//!
//! ```text
//!  index: hash -> leaf                tree: score, member -> rank
//!  +--------+--------+                       +-----------+
//!  |segment |segment | ...                   |   node    |  separators, children, counts
//!  +---|----+--------+                       +--/-----\--+
//!      |                                 +-----+ ... +-----+
//!      +-------------------------------> |leaf |     |leaf |  scores and members' bytes, in order
//!                                        +-----+     +-----+
//! ```
//!
//! A member's bytes are in its leaf and nowhere else. Leaves, nodes and segments are numbered blocks behind
//! `Arc`s, of 2 KB or less: a clone shares them and copies those it changes. Every range of scores, members
//! or ranks is turned into a range of ranks first, which takes O(log N), and then walked leaf by leaf.

use std::ops::Range;

use super::collection::{Collection, Compact};
use super::pack::{self, Item, Pack, PackRef, listpack_bytes};

mod index;
mod large;
mod packed;
mod run;
mod slab;
mod tree;

pub use large::Large;
pub use run::Probe;

/// What decides about the form of a sorted set.
#[derive(Clone, Copy, Debug)]
pub struct ZSetLimits {
    /// `zset-max-listpack-entries`
    pub max_packed_entries: usize,
    /// `zset-max-listpack-value`, in bytes of a member.
    pub max_packed_value: usize,
    /// Secret of the hash of members in a set that becomes large.
    pub seed: u64,
}

/// A sorted set.
#[derive(Clone)]
pub enum ZSet {
    /// One run: member, score, member, score, ...
    Packed(Pack),
    /// Tree and index. Never becomes packed again by itself.
    Large(Box<Large>),
}

impl Default for ZSet {
    fn default() -> ZSet {
        ZSet::Packed(Pack::new())
    }
}

/// A sorted set to look at.
#[derive(Clone, Copy)]
pub enum ZSetRef<'a> {
    /// See [`ZSet::Packed`].
    Packed(PackRef<'a>),
    /// See [`ZSet::Large`].
    Large(&'a Large),
}

/// Looking.
impl<'a> ZSetRef<'a> {
    /// Number of members. O(1).
    #[inline]
    pub fn len(self) -> usize {
        match self {
            ZSetRef::Packed(pack) => packed::len(pack),
            ZSetRef::Large(large) => large.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Score of a member. O(1) when large.
    #[inline]
    pub fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            ZSetRef::Packed(pack) => packed::find(pack, member).map(|(_, score)| score),
            ZSetRef::Large(large) => large.score(member),
        }
    }

    /// Number of entries before `probe`: with it, every range of scores or members is a range of ranks.
    /// O(log N) when large.
    pub fn rank(self, probe: Probe<'_>) -> usize {
        match self {
            ZSetRef::Packed(pack) => packed::rank(pack, probe),
            ZSetRef::Large(large) => large.rank(probe),
        }
    }

    /// Rank and score of a member. O(log N) when large.
    pub fn rank_of(self, member: &[u8]) -> Option<(usize, f64)> {
        let score = self.score(member)?;
        Some((self.rank(Probe::Entry(score, member)), score))
    }

    /// The entries of these ranks, which are there, ascending or (`is_reverse`) descending.
    pub fn range(self, ranks: Range<usize>, is_reverse: bool) -> Entries<'a> {
        debug_assert!(ranks.start <= ranks.end && ranks.end <= self.len());
        match self {
            ZSetRef::Packed(pack) => Entries::Packed(packed::Entries::new(pack, ranks, is_reverse)),
            ZSetRef::Large(large) => Entries::Large(large.range(ranks, is_reverse)),
        }
    }

    /// All entries in order.
    pub fn iter(self) -> Entries<'a> {
        self.range(0..self.len(), false)
    }

    /// The entry of that rank, which is there. O(log N) when large.
    pub fn nth(self, rank: usize) -> (Item<'a>, f64) {
        match self {
            ZSetRef::Packed(_) => self.range(rank..rank + 1, false).next().expect("the rank is there"),
            ZSetRef::Large(large) => {
                let (member, score) = large.nth(rank);
                (Item::Bytes(member), score)
            }
        }
    }

    /// Shows about `count` entries from the cursor on and returns the next cursor, 0 at the end. A packed set
    /// is shown as a whole. A member that is there throughout an iteration is shown.
    pub fn scan(self, cursor: u64, count: usize, show: &mut dyn FnMut(Item<'_>, f64)) -> u64 {
        match self {
            ZSetRef::Packed(_) => {
                self.iter().for_each(|(member, score)| show(member, score));
                0
            }
            ZSetRef::Large(large) => {
                large.scan(cursor, count, &mut |member, score| show(Item::Bytes(member), score))
            }
        }
    }

    /// What OBJECT ENCODING says.
    pub fn encoding(self) -> &'static str {
        match self {
            ZSetRef::Packed(_) => "listpack",
            ZSetRef::Large(_) => "skiplist",
        }
    }

    /// Bytes on the heap, about. O(1).
    pub fn heap_bytes(self) -> usize {
        match self {
            ZSetRef::Packed(pack) => pack.byte_len(),
            ZSetRef::Large(large) => large.heap_bytes(),
        }
    }
}

/// Changing.
impl ZSet {
    /// An empty one for that many entries whose longest member has `longest` bytes.
    pub fn sized(entries: usize, longest: usize, limits: ZSetLimits) -> ZSet {
        let mut set = ZSet::default();
        set.expect(entries, longest, limits);
        set
    }

    /// Takes the large form at once if that many entries in all, or one of `longest` bytes, would need it.
    pub fn expect(&mut self, entries: usize, longest: usize, limits: ZSetLimits) {
        if entries > limits.max_packed_entries || longest > limits.max_packed_value {
            self.enlarge(limits.seed);
        }
    }

    /// One of entries that come in order, in the form that fits them.
    pub fn of_sorted<'e>(entries: impl Iterator<Item = (&'e [u8], f64)> + Clone, limits: ZSetLimits) -> ZSet {
        let (count, longest) = entries
            .clone()
            .fold((0, 0), |(count, longest), (member, _)| (count + 1, member.len().max(longest)));
        let mut set = ZSet::sized(count, longest, limits);
        for (member, score) in entries {
            match &mut set {
                ZSet::Packed(pack) => packed::push(pack, member, score),
                ZSet::Large(large) => large.edit(member, |_| Some(score)),
            }
        }
        set
    }

    /// Lets `decide` choose a member's new score from the one it has; `None` leaves everything as it is.
    pub fn edit(
        &mut self,
        member: &[u8],
        limits: ZSetLimits,
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) {
        let pack = match self {
            ZSet::Large(large) => return large.edit(member, decide),
            ZSet::Packed(pack) => pack,
        };
        let found = packed::find(pack.as_ref(), member);
        let old = found.map(|(_, score)| score);
        let Some(new) = decide(old).filter(|&new| old != Some(new)) else { return };
        if let Some((at, _)) = found {
            packed::remove(pack, at);
        } else if packed::len(pack.as_ref()) >= limits.max_packed_entries
            || member.len() > limits.max_packed_value
            || pack.as_ref().byte_len() + listpack_bytes(member) >= pack::MAX_BYTES - SCORE_BYTES_MAX
        {
            return self.enlarge(limits.seed).edit(member, |_| Some(new));
        }
        packed::insert(pack, member, new);
    }

    /// Gives a member a score; returns the one it had.
    pub fn set(&mut self, member: &[u8], score: f64, limits: ZSetLimits) -> Option<f64> {
        let mut had = None;
        self.edit(member, limits, |old| {
            had = old;
            Some(score)
        });
        had
    }

    /// Removes a member; returns the score it had.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match self {
            ZSet::Packed(pack) => {
                let (at, score) = packed::find(pack.as_ref(), member)?;
                packed::remove(pack, at);
                Some(score)
            }
            ZSet::Large(large) => large.remove(member),
        }
    }

    /// Removes the entries of these ranks, which are there.
    pub fn remove_ranks(&mut self, ranks: Range<usize>) {
        debug_assert!(ranks.start <= ranks.end && ranks.end <= self.as_ref().len());
        match self {
            ZSet::Packed(pack) => packed::remove_ranks(pack, ranks),
            ZSet::Large(large) => large.remove_ranks(ranks),
        }
    }

    /// Takes the large form.
    fn enlarge(&mut self, seed: u64) -> &mut Large {
        if let ZSet::Packed(_) = self {
            let mut large = Box::new(Large::new(seed));
            let mut text = Vec::new();
            for (member, score) in self.as_ref().iter() {
                text.clear();
                member.append_to(&mut text);
                large.edit(&text, |_| Some(score));
            }
            *self = ZSet::Large(large);
        }
        match self {
            ZSet::Large(large) => large,
            ZSet::Packed(_) => unreachable!("it was made large"),
        }
    }
}

/// More than a score takes in a run.
const SCORE_BYTES_MAX: usize = 16;

impl Collection for ZSet {
    crate::value::collection::boxed_as!(ZSet);
    const ORDERED: bool = true;
    type Ref<'a> = ZSetRef<'a>;

    fn view(_: Compact, bytes: &[u8]) -> ZSetRef<'_> {
        ZSetRef::Packed(PackRef::new(bytes))
    }

    #[inline]
    fn as_ref(&self) -> ZSetRef<'_> {
        match self {
            ZSet::Packed(pack) => ZSetRef::Packed(pack.as_ref()),
            ZSet::Large(large) => ZSetRef::Large(large),
        }
    }

    fn from_compact(_: Compact, bytes: Vec<u8>) -> ZSet {
        ZSet::Packed(Pack::from_vec(bytes))
    }

    fn into_compact(self) -> Result<(Compact, Vec<u8>), ZSet> {
        match self {
            ZSet::Packed(pack) => Ok((Compact::Pack, pack.into_vec())),
            large => Err(large),
        }
    }

    fn len(this: ZSetRef<'_>) -> usize {
        this.len()
    }

    fn encoding(this: ZSetRef<'_>) -> &'static str {
        this.encoding()
    }

    fn heap_bytes(this: ZSetRef<'_>) -> usize {
        this.heap_bytes()
    }

    fn visit(this: ZSetRef<'_>, each: &mut dyn FnMut(&[&[u8]])) {
        let mut text = Vec::new();
        for (member, score) in this.iter() {
            text.clear();
            member.append_to(&mut text);
            each(&[&text, &score.to_bits().to_be_bytes()]);
        }
    }
}

/// Entries of consecutive ranks.
#[derive(Clone)]
pub enum Entries<'a> {
    /// Of a packed set.
    Packed(packed::Entries<'a>),
    /// Of a large set.
    Large(tree::Entries<'a>),
}

impl<'a> Iterator for Entries<'a> {
    type Item = (Item<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<(Item<'a>, f64)> {
        match self {
            Entries::Packed(entries) => entries.next(),
            Entries::Large(entries) => entries.next().map(|(member, score)| (Item::Bytes(member), score)),
        }
    }
}

#[cfg(test)]
mod tests;
