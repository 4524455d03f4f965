//! Sets: intersection, union, difference.
//!
//! For: combining several sets. May touch: what `Cx` carries.
//! Always: all keys are looked up, and found to be sets, before anything is combined; a target is replaced as
//! a whole, deadline included.

use std::ops::Range;

use smallvec::SmallVec;

use super::set::limits;
use crate::command::cursor::{Cursor, int};
use crate::command::row::{Acl, Command, Flags, Group, cmd};
use crate::command::{Cx, KeyFlags, KeySpec, Outcome};
use crate::fault::Fault;
use crate::keyspace::db::Deadline;
use crate::keyspace::{Db, Event};
use crate::resp::{Args, Out};
use crate::value::dict::Members;
use crate::value::hll;
use crate::value::intset::IntSet;
use crate::value::pack::Item;
use crate::value::set::{Set, SetLimits, SetRef};

/// The rows of this family.
pub const ROWS: &[Command] = &[
    cmd("SDIFF", sdiff)
        .arity(-2)
        .flags(Flags::READONLY)
        .acl(Acl::SET)
        .keys(&[KeySpec::range(1, -1, 1, SOURCES)])
        .group(Group::Set)
        .since("1.0.0")
        .cost("O(N) for N members in all sets.")
        .doc("Lists the members of a set that no other set has.", "key [key ...]")
        .tips(&["nondeterministic_output_order"]),
    cmd("SDIFFCARD", sdiffcard)
        .arity(-3)
        .flags(Flags::READONLY.union(Flags::MOVABLE_KEYS))
        .acl(Acl::SET)
        .keys(&[KeySpec::counted(1, SOURCES)])
        .group(Group::Set)
        .since("8.10.0")
        .cost("O(N) for N members in all sets.")
        .doc(
            "Counts the members of a set that no other set has.",
            "numkeys key [key ...] [LIMIT limit:integer]",
        ),
    cmd("SDIFFSTORE", sdiffstore)
        .arity(-3)
        .flags(STORES)
        .acl(Acl::SET)
        .keys(STORE_KEYS)
        .group(Group::Set)
        .since("1.0.0")
        .cost("O(N) for N members in all sets.")
        .doc("Stores the members of a set that no other set has.", "destination key [key ...]"),
    cmd("SINTER", sinter)
        .arity(-2)
        .flags(Flags::READONLY)
        .acl(Acl::SET)
        .keys(&[KeySpec::range(1, -1, 1, SOURCES)])
        .group(Group::Set)
        .since("1.0.0")
        .cost("O(N*M) at worst, for M sets of which the smallest has N members.")
        .doc("Lists the members that all sets have.", "key [key ...]")
        .tips(&["nondeterministic_output_order"]),
    cmd("SINTERCARD", sintercard)
        .arity(-3)
        .flags(Flags::READONLY.union(Flags::MOVABLE_KEYS))
        .acl(Acl::SET)
        .keys(&[KeySpec::counted(1, SOURCES)])
        .group(Group::Set)
        .since("7.0.0")
        .cost("O(N*M) at worst, for M sets of which the smallest has N members.")
        .doc("Counts the members that all sets have.", "numkeys key [key ...] [LIMIT limit:integer]"),
    cmd("SINTERSTORE", sinterstore)
        .arity(-3)
        .flags(STORES)
        .acl(Acl::SET)
        .keys(STORE_KEYS)
        .group(Group::Set)
        .since("1.0.0")
        .cost("O(N*M) at worst, for M sets of which the smallest has N members.")
        .doc("Stores the members that all sets have.", "destination key [key ...]"),
    cmd("SUNION", sunion)
        .arity(-2)
        .flags(Flags::READONLY)
        .acl(Acl::SET)
        .keys(&[KeySpec::range(1, -1, 1, SOURCES)])
        .group(Group::Set)
        .since("1.0.0")
        .cost("O(N) for N members in all sets.")
        .doc("Lists the members that any of the sets has.", "key [key ...]")
        .tips(&["nondeterministic_output_order"]),
    cmd("SUNIONCARD", sunioncard)
        .arity(-3)
        .flags(Flags::READONLY.union(Flags::MOVABLE_KEYS))
        .acl(Acl::SET)
        .keys(&[KeySpec::counted(1, SOURCES)])
        .group(Group::Set)
        .since("8.10.0")
        .cost("O(N) for N members in all sets.")
        .doc(
            "Counts the members that any of the sets has, or estimates their number.",
            "numkeys key [key ...] [APPROX] [LIMIT limit:integer]",
        ),
    cmd("SUNIONSTORE", sunionstore)
        .arity(-3)
        .flags(STORES)
        .acl(Acl::SET)
        .keys(STORE_KEYS)
        .group(Group::Set)
        .since("1.0.0")
        .cost("O(N) for N members in all sets.")
        .doc("Stores the members that any of the sets has.", "destination key [key ...]"),
];

const SOURCES: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const STORES: Flags = Flags::WRITE.union(Flags::DENY_OOM);
const STORE_KEYS: &[KeySpec] =
    &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)), KeySpec::range(2, -1, 1, SOURCES)];

/// The sets at several keys; `None` where there is none.
type Sets<'a> = SmallVec<[Option<SetRef<'a>>; 8]>;

fn sdiff(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let limits = limits(cx);
    let sets = look(&mut cx.db, args, 1..args.len())?;
    match Difference::of(args.from(1).iter(), &sets) {
        Some(difference) if difference.is_by_lookup => {
            let array = cx.out.deferred_set();
            let count = difference.members().map(|member| cx.out.item(member)).count();
            cx.out.finish(array, count);
        }
        Some(difference) => {
            let start = start_for_reply(difference.others.iter().chain([&difference.first]), &limits);
            reply(cx.out, difference.by_removal(start, &limits).as_ref());
        }
        None => cx.out.set(0),
    }
    Ok(Outcome::Done)
}

fn sdiffcard(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let counting = Counting::parse(args, false)?;
    let limits = limits(cx);
    let sets = look(&mut cx.db, args, counting.keys())?;
    let start = || start_for_reply(sets.iter().flatten(), &limits);
    let count = match Difference::of(args.from(2).iter().take(counting.count), &sets) {
        Some(difference) if difference.is_by_lookup || counting.limit < difference.first.len() => {
            difference.members().take(counting.limit).count()
        }
        Some(difference) => difference.by_removal(start(), &limits).as_ref().len().min(counting.limit),
        None => 0,
    };
    cx.out.int(count as i64);
    Ok(Outcome::Done)
}

fn sdiffstore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let limits = limits(cx);
    let start = Set::Ints(IntSet::new());
    let sets = look(&mut cx.db, args, 2..args.len())?;
    let result = match Difference::of(args.from(2).iter(), &sets) {
        Some(difference) if difference.is_by_lookup => gathered(start, difference.members(), &limits),
        Some(difference) => difference.by_removal(start, &limits),
        None => start,
    };
    drop(sets);
    store(cx, args.get(1), result, Event::SDIFFSTORE)
}

fn sinter(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let sets = smallest_first(&look(&mut cx.db, args, 1..args.len())?);
    let array = cx.out.deferred_set();
    let count = common(&sets).map(|member| cx.out.item(member)).count();
    cx.out.finish(array, count);
    Ok(Outcome::Done)
}

fn sintercard(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let counting = Counting::parse(args, false)?;
    let sets = smallest_first(&look(&mut cx.db, args, counting.keys())?);
    cx.out.int(common(&sets).take(counting.limit).count() as i64);
    Ok(Outcome::Done)
}

fn sinterstore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let limits = limits(cx);
    let sets = smallest_first(&look(&mut cx.db, args, 2..args.len())?);
    let start = match sets.first() {
        Some(SetRef::Ints(_)) => Set::Ints(IntSet::new()),
        _ => Set::default(),
    };
    let mut result = gathered(start, common(&sets), &limits);
    result.compact_ints(&limits);
    drop(sets);
    store(cx, args.get(1), result, Event::SINTERSTORE)
}

fn sunion(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let limits = limits(cx);
    let sets = look(&mut cx.db, args, 1..args.len())?;
    let sets = sets.iter().flatten();
    let start = start_for_reply(sets.clone(), &limits);
    let union = gathered(start, sets.flat_map(|set| set.iter()), &limits);
    reply(cx.out, union.as_ref());
    Ok(Outcome::Done)
}

fn sunioncard(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let counting = Counting::parse(args, true)?;
    let limits = limits(cx);
    let sets = look(&mut cx.db, args, counting.keys())?;
    let sets = sets.iter().flatten();
    let members = sets.clone().flat_map(|set| set.iter());
    let count = if counting.is_approximate {
        hll::estimate(members) as usize
    } else {
        let mut union = start_for_reply(sets, &limits);
        for member in members {
            union.add_item(member, &limits);
            if union.as_ref().len() == counting.limit {
                break;
            }
        }
        union.as_ref().len()
    };
    cx.out.int(count.min(counting.limit) as i64);
    Ok(Outcome::Done)
}

fn sunionstore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let limits = limits(cx);
    let sets = look(&mut cx.db, args, 2..args.len())?;
    let members = sets.iter().flatten().flat_map(|set| set.iter());
    let result = gathered(Set::Ints(IntSet::new()), members, &limits);
    drop(sets);
    store(cx, args.get(1), result, Event::SUNIONSTORE)
}

/// The arguments of the commands that only count.
struct Counting {
    /// How many keys there are, from argument 2 on.
    count: usize,
    /// Where counting ends.
    limit: usize,
    /// Whether an estimate will do.
    is_approximate: bool,
}

impl Counting {
    fn parse(args: Args<'_>, may_estimate: bool) -> Result<Counting, Fault> {
        let count = int(args.get(1)).ok().and_then(|count| usize::try_from(count).ok());
        let count = count.filter(|&count| count > 0).ok_or_else(|| Fault::not_above_zero("numkeys"))?;
        if count > args.len() - 2 {
            return Err(Fault::TOO_FEW_KEYS);
        }
        let mut counting = Counting { count, limit: usize::MAX, is_approximate: false };
        let mut options = Cursor::new(args, 2 + count);
        while !options.is_end() {
            if may_estimate && options.word("APPROX") {
                counting.is_approximate = true;
                continue;
            }
            if options.left() < 2 || !options.word("LIMIT") {
                return Err(Fault::SYNTAX);
            }
            let wanted = int(options.need()?).ok().and_then(|limit| usize::try_from(limit).ok());
            counting.limit = match wanted.ok_or(Fault::NEGATIVE_LIMIT)? {
                0 => usize::MAX,
                limit => limit,
            };
        }
        Ok(counting)
    }

    fn keys(&self) -> Range<usize> {
        2..2 + self.count
    }
}

/// Reads the keys at some arguments, all of them, and then holds what is there.
fn look<'d>(db: &'d mut Db<'_>, args: Args<'_>, at: Range<usize>) -> Result<Sets<'d>, Fault> {
    for at in at.clone() {
        db.read_as::<Set>(args.get(at))?;
    }
    let db = &*db;
    at.map(|at| db.look_as::<Set>(args.get(at))).collect()
}

/// The sets by their size; none at all if one of them is missing, because then nothing is common to all.
fn smallest_first<'a>(sets: &Sets<'a>) -> SmallVec<[SetRef<'a>; 8]> {
    let mut sets: SmallVec<[SetRef<'a>; 8]> = sets.iter().copied().collect::<Option<_>>().unwrap_or_default();
    sets.sort_by_key(|set| set.len());
    sets
}

/// The members of the first set that all others have.
fn common<'s, 'a>(sets: &'s [SetRef<'a>]) -> impl Iterator<Item = Item<'a>> + use<'s, 'a> {
    let others = sets.get(1..).unwrap_or_default();
    let first = sets.first().into_iter().flat_map(|set| set.iter());
    first.filter(|&member| others.iter().all(|set| set.contains_item(member)))
}

/// A set to be subtracted from, and what is subtracted.
struct Difference<'a> {
    first: SetRef<'a>,
    /// Largest first.
    others: SmallVec<[SetRef<'a>; 8]>,
    /// Whether it is less work to look each member of the first set up in the others than to remove the
    /// members of all others from a copy of it.
    is_by_lookup: bool,
}

impl<'a> Difference<'a> {
    /// `None` if it is empty for certain.
    fn of<'k>(mut keys: impl Iterator<Item = &'k [u8]>, sets: &Sets<'a>) -> Option<Difference<'a>> {
        let first = sets[0]?;
        let own = keys.next();
        if keys.any(|key| Some(key) == own) {
            return None;
        }
        let mut others: SmallVec<[SetRef<'a>; 8]> = sets[1..].iter().copied().flatten().collect();
        let by_lookup = first.len() * (others.len() + 1);
        let by_removal = first.len() + others.iter().map(|set| set.len()).sum::<usize>();
        others.sort_by_key(|set| std::cmp::Reverse(set.len()));
        // A lookup ends with the first set that has the member, so it gets an advantage.
        Some(Difference { first, others, is_by_lookup: by_lookup / 2 <= by_removal })
    }

    fn members(&self) -> impl Iterator<Item = Item<'a>> {
        self.first.iter().filter(|&member| !self.others.iter().any(|set| set.contains_item(member)))
    }

    fn by_removal(&self, start: Set, limits: &SetLimits) -> Set {
        let mut left = gathered(start, self.first.iter(), limits);
        for set in &self.others {
            for member in set.iter() {
                left.remove_item(member);
            }
            if left.as_ref().is_empty() {
                break;
            }
        }
        left
    }
}

/// Adds members to a set, one after another.
fn gathered<'a>(mut set: Set, members: impl Iterator<Item = Item<'a>>, limits: &SetLimits) -> Set {
    for member in members {
        set.add_item(member, limits);
    }
    set
}

/// What a result begins with that is only sent: integers stay sorted, others are found quickest by their
/// hash.
fn start_for_reply<'s, 'a: 's>(mut sets: impl Iterator<Item = &'s SetRef<'a>>, limits: &SetLimits) -> Set {
    if sets.all(|set| matches!(set, SetRef::Ints(_))) {
        Set::Ints(IntSet::new())
    } else {
        Set::Large(Box::new(Members::new(limits.seed)))
    }
}

fn reply(out: &mut Out, set: SetRef<'_>) {
    out.set(set.len());
    set.iter().for_each(|member| out.item(member));
}

/// Replaces what is at the target; an empty result removes it.
fn store(cx: &mut Cx<'_>, target: &[u8], result: Set, event: Event) -> Result<Outcome, Fault> {
    let len = result.as_ref().len();
    let mut w = cx.db.open(target);
    if len > 0 {
        w.put_value(result, Deadline::Clear);
        w.commit(event);
    } else if w.exists() {
        w.remove();
        w.commit(Event::DEL);
    }
    cx.out.int(len as i64);
    Ok(Outcome::Done)
}
