//! A small sorted set: one run in which each member is followed by its score, in order.
//!
//! For: `zset.rs`. May touch: the compact run.
//! Always: ascending by score, then by the member's bytes. A score that is a whole number is kept as one, any
//! other as its eight bytes behind a byte that no number begins with.

use std::cmp::Ordering;
use std::ops::Range;

use super::run::Probe;
use crate::value::number::MAX_I64_LEN;
use crate::value::pack::{self, At, Item, Pack, PackRef};

/// Stands before the bytes of a score that is no whole number.
const FRACTION: u8 = 0xff;
/// Whole numbers up to this magnitude are kept as such.
const WHOLE_MAX: f64 = (1i64 << 62) as f64;

/// Number of entries.
#[inline]
pub fn len(pack: PackRef<'_>) -> usize {
    pack.len() / 2
}

/// Where a member stands, and its score.
#[inline]
pub fn find(pack: PackRef<'_>, member: &[u8]) -> Option<(At, f64)> {
    let (_, at) = pack.find(member, 2)?;
    Some((at, score_at(pack, pack.after(at))))
}

/// Number of entries before `probe`. O(N).
pub fn rank(pack: PackRef<'_>, probe: Probe<'_>) -> usize {
    entries(pack).take_while(|&(_, member, score)| is_before(member, score, probe)).count()
}

/// Adds a member that is not there.
pub fn insert(pack: &mut Pack, member: &[u8], score: f64) {
    let run = pack.as_ref();
    let probe = Probe::Entry(score, member);
    let at = entries(run)
        .find(|&(_, member, score)| !is_before(member, score, probe))
        .map_or(run.end(), |(at, ..)| at);
    let behind = pack.insert(at, member);
    with_spelled(score, |spelled| pack.insert(behind, spelled));
}

/// Adds an entry behind all others.
pub fn push(pack: &mut Pack, member: &[u8], score: f64) {
    pack.push_back(member);
    with_spelled(score, |spelled| pack.push_back(spelled));
}

/// Removes the member that stands at `at`.
pub fn remove(pack: &mut Pack, at: At) {
    pack.remove(at, 2);
}

/// Removes the entries of these ranks.
pub fn remove_ranks(pack: &mut Pack, ranks: Range<usize>) {
    let at = pack.as_ref().seek(2 * ranks.start);
    pack.remove(at, 2 * ranks.len());
}

/// All entries in order, each with where it stands.
fn entries(pack: PackRef<'_>) -> impl Iterator<Item = (At, Item<'_>, f64)> {
    let mut items = pack.iter();
    std::iter::from_fn(move || {
        let (at, member) = items.next()?;
        let (_, score) = items.next()?;
        Some((at, member, read(score)))
    })
}

fn score_at(pack: PackRef<'_>, at: At) -> f64 {
    pack.item(at).map_or(0.0, read)
}

#[inline]
fn read(score: Item<'_>) -> f64 {
    match score {
        Item::Int(whole) => whole as f64,
        Item::Bytes(text) => {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&text[1..9]);
            f64::from_le_bytes(bytes)
        }
    }
}

/// Hands a score on as the element that it is kept as.
fn with_spelled<R>(score: f64, keep: impl FnOnce(&[u8]) -> R) -> R {
    if score.abs() <= WHOLE_MAX && score == score.trunc() {
        return keep(itoa::Buffer::new().format(score as i64).as_bytes());
    }
    let mut bytes = [FRACTION; 9];
    bytes[1..].copy_from_slice(&score.to_le_bytes());
    keep(&bytes)
}

fn is_before(member: Item<'_>, score: f64, probe: Probe<'_>) -> bool {
    let compare = |other: &[u8]| member.bytes(&mut [0; MAX_I64_LEN]).cmp(other);
    match probe {
        Probe::Entry(other, name) => score < other || (score == other && compare(name) == Ordering::Less),
        Probe::BeforeScore(other) => score < other,
        Probe::AfterScore(other) => score <= other,
        Probe::BeforeMember(name) => compare(name) == Ordering::Less,
        Probe::AfterMember(name) => compare(name) != Ordering::Greater,
    }
}

/// Entries of consecutive ranks.
#[derive(Clone)]
pub enum Entries<'a> {
    /// Ascending: what follows, and how many of it.
    Ascending(pack::Iter<'a>, usize),
    /// Descending: where those that are left stand, ascending.
    Descending(PackRef<'a>, Vec<At>),
}

impl<'a> Entries<'a> {
    /// The entries of these ranks, ascending or descending.
    pub fn new(pack: PackRef<'a>, ranks: Range<usize>, is_reverse: bool) -> Entries<'a> {
        let first = pack.seek(2 * ranks.start);
        if !is_reverse {
            return Entries::Ascending(pack.iter_from(first), ranks.len());
        }
        let places = pack.iter_from(first).step_by(2).take(ranks.len()).map(|(at, _)| at);
        Entries::Descending(pack, places.collect())
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (Item<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<(Item<'a>, f64)> {
        match self {
            Entries::Ascending(items, left) => {
                *left = left.checked_sub(1)?;
                let (_, member) = items.next()?;
                let (_, score) = items.next()?;
                Some((member, read(score)))
            }
            Entries::Descending(pack, places) => {
                let at = places.pop()?;
                Some((pack.item(at)?, score_at(*pack, pack.after(at))))
            }
        }
    }
}
