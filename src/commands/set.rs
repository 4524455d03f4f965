//! Sets: members one by one.
//!
//! For: adding, removing, moving, drawing and listing members. May touch: what `Cx` carries.
//! Always: what is drawn at random is propagated as the removal of what was drawn.

use crate::clock::Chance;
use crate::command::cursor::{Cursor, int};
use crate::command::row::{Acl, Command, Flags, Group, cmd};
use crate::command::{Cx, KeyFlags, KeySpec, Outcome};
use crate::config::Directive;
use crate::fault::Fault;
use crate::keyspace::Event;
use crate::resp::Args;
use crate::value::glob;
use crate::value::number::{MAX_I64_LEN, parse_u64};
use crate::value::pack::Item;
use crate::value::set::{Set, SetLimits, SetRef};

/// The rows of this family.
pub const ROWS: &[Command] = &[
    cmd("SADD", sadd)
        .arity(-3)
        .flags(Flags::WRITE.union(Flags::DENY_OOM).union(Flags::FAST))
        .acl(Acl::SET)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))])
        .group(Group::Set)
        .since("1.0.0")
        .cost("O(N) for N members.")
        .history(&[("2.4.0", "Takes more than one member.")])
        .doc("Adds members to a set and creates it if there is none.", "key member [member ...]"),
    cmd("SCARD", scard)
        .arity(2)
        .flags(READ.union(Flags::FAST))
        .acl(Acl::SET)
        .keys(&[KeySpec::one(1, KeyFlags::RO)])
        .group(Group::Set)
        .since("1.0.0")
        .cost("O(1)")
        .doc("Tells how many members a set has.", "key"),
    cmd("SISMEMBER", sismember)
        .arity(3)
        .flags(READ.union(Flags::FAST))
        .acl(Acl::SET)
        .keys(&[KeySpec::one(1, KeyFlags::RO)])
        .group(Group::Set)
        .since("1.0.0")
        .cost("O(1)")
        .doc("Tells whether a set has a member.", "key member"),
    cmd("SMEMBERS", smembers)
        .arity(2)
        .flags(READ)
        .acl(Acl::SET)
        .keys(&[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))])
        .group(Group::Set)
        .since("1.0.0")
        .cost("O(N) for a set of N members.")
        .doc("Lists the members of a set.", "key")
        .tips(&["nondeterministic_output_order"]),
    cmd("SMISMEMBER", smismember)
        .arity(-3)
        .flags(READ.union(Flags::FAST))
        .acl(Acl::SET)
        .keys(&[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))])
        .group(Group::Set)
        .since("6.2.0")
        .cost("O(N) for N members asked for.")
        .doc("Tells of several members whether a set has them.", "key member [member ...]"),
    cmd("SMOVE", smove)
        .arity(4)
        .flags(Flags::WRITE.union(Flags::FAST))
        .acl(Acl::SET)
        .keys(&[KeySpec::one(1, TAKES), KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT))])
        .group(Group::Set)
        .since("1.0.0")
        .cost("O(1)")
        .doc("Moves a member from one set to another.", "source destination member"),
    cmd("SPOP", spop)
        .args_since(&[("3.2.0", "count")])
        .arity(-2)
        .flags(Flags::WRITE.union(Flags::FAST))
        .acl(Acl::SET)
        .keys(&[KeySpec::one(1, TAKES)])
        .group(Group::Set)
        .since("1.0.0")
        .cost("O(1) for one member, O(N) for a count of N.")
        .history(&[("3.2.0", "Takes a count.")])
        .doc("Removes random members from a set and returns them.", "key [count]")
        .tips(&["nondeterministic_output"]),
    cmd("SRANDMEMBER", srandmember)
        .args_since(&[("2.6.0", "count")])
        .arity(-2)
        .flags(READ)
        .acl(Acl::SET)
        .keys(&[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))])
        .group(Group::Set)
        .since("1.0.0")
        .cost("O(1) for one member, O(N) for a count of N or -N.")
        .history(&[("2.6.0", "Takes a count.")])
        .doc("Returns random members of a set.", "key [count]")
        .tips(&["nondeterministic_output"]),
    cmd("SREM", srem)
        .arity(-3)
        .flags(Flags::WRITE.union(Flags::FAST))
        .acl(Acl::SET)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))])
        .group(Group::Set)
        .since("1.0.0")
        .cost("O(N) for N members.")
        .history(&[("2.4.0", "Takes more than one member.")])
        .doc("Removes members from a set, and the set with its last member.", "key member [member ...]"),
    cmd("SSCAN", sscan)
        .arity(-3)
        .flags(READ)
        .acl(Acl::SET)
        .keys(&[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))])
        .group(Group::Set)
        .since("2.8.0")
        .cost("O(1) for a call, O(N) for all calls that visit N members.")
        .doc("Visits the members of a set some at a time.", "key cursor [MATCH pattern] [COUNT count]")
        .tips(&["nondeterministic_output"]),
];

const READ: Flags = Flags::READONLY;
const TAKES: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);

/// Members of one SREM that SPOP is propagated as.
const SREM_BATCH: usize = 1024;
/// Most members that SRANDMEMBER draws with repetition, so that no reply grows without bound.
const MAX_REPEATED: u64 = 1 << 26;
/// COUNT of SSCAN, where none is given.
const DEFAULT_COUNT: usize = 10;

/// When sets change their form.
pub(super) fn limits(cx: &Cx<'_>) -> SetLimits {
    let limit = |directive| usize::try_from(cx.settings.int(directive)).unwrap_or(usize::MAX);
    SetLimits {
        max_intset_entries: limit(Directive::SetMaxIntsetEntries),
        max_listpack_entries: limit(Directive::SetMaxListpackEntries),
        max_listpack_value: limit(Directive::SetMaxListpackValue),
        seed: cx.host.identity.seed,
    }
}

/// A source of chance of its own, so that the database can be borrowed beside it.
fn chance(cx: &mut Cx<'_>) -> Chance {
    Chance::new(cx.db.record.chance.next_u64())
}

fn sadd(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let limits = limits(cx);
    let members = args.from(2);
    let mut w = cx.db.open(args.get(1));
    w.view::<Set>()?;
    let added = w.update(|set: &mut Set| {
        set.prepare(members.get(0), members.len(), &limits);
        members.iter().filter(|member| set.add(member, &limits)).count()
    });
    if added > 0 {
        w.commit_counting(Event::SADD, added as u64);
    } else {
        w.abandon_unchanged();
    }
    cx.out.int(added as i64);
    Ok(Outcome::Done)
}

fn scard(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let len = cx.db.read_as::<Set>(args.get(1))?.map_or(0, SetRef::len);
    cx.out.int(len as i64);
    Ok(Outcome::Done)
}

fn sismember(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let is_there = cx.db.read_as::<Set>(args.get(1))?.is_some_and(|set| set.contains(args.get(2)));
    cx.out.int(i64::from(is_there));
    Ok(Outcome::Done)
}

fn smembers(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    match cx.db.read_as::<Set>(args.get(1))? {
        Some(set) => {
            cx.out.set(set.len());
            set.iter().for_each(|member| cx.out.item(member));
        }
        None => cx.out.set(0),
    }
    Ok(Outcome::Done)
}

fn smismember(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let set = cx.db.read_as::<Set>(args.get(1))?;
    let members = args.from(2);
    cx.out.array(members.len());
    for member in members.iter() {
        cx.out.int(i64::from(set.is_some_and(|set| set.contains(member))));
    }
    Ok(Outcome::Done)
}

fn smove(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (source, target, member) = (args.get(1), args.get(2), args.get(3));
    let limits = limits(cx);
    let mut is_there = false;
    if let Some(set) = cx.db.peek_as::<Set>(source)? {
        is_there = set.contains(member);
        cx.db.peek_as::<Set>(target)?;
    }
    if is_there && source != target {
        let mut w = cx.db.open(source);
        w.update(|set: &mut Set| set.remove(member));
        w.commit(Event::SREM);
        let mut w = cx.db.open(target);
        let is_new = w.update(|set: &mut Set| {
            if set.as_ref().is_empty() {
                set.prepare(member, 1, &limits);
            }
            set.add(member, &limits)
        });
        if is_new {
            w.commit(Event::SADD);
        } else {
            w.abandon_unchanged();
        }
    }
    cx.out.int(i64::from(is_there));
    Ok(Outcome::Done)
}

fn spop(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    match args.len() {
        2 => spop_one(cx, args.get(1)),
        3 => {
            let count = int(args.get(2)).ok().and_then(|count| usize::try_from(count).ok());
            spop_many(cx, args.get(1), count.ok_or(Fault::NOT_POSITIVE)?)
        }
        _ => Err(Fault::SYNTAX),
    }
}

fn spop_one(cx: &mut Cx<'_>, key: &[u8]) -> Result<Outcome, Fault> {
    let mut chance = chance(cx);
    let mut w = cx.db.open(key);
    if w.view::<Set>()?.is_none() {
        cx.out.null();
        return Ok(Outcome::Done);
    }
    let mut popped = Vec::new();
    w.update(|set: &mut Set| {
        set.pop(&mut |limit| chance.below(limit), &mut |member| {
            cx.out.item(member);
            member.append_to(&mut popped);
        })
    });
    w.commit(Event::SPOP);
    if cx.db.logs() {
        cx.db.propagate(&[b"SREM", key, &popped]);
    }
    Ok(Outcome::Done)
}

fn spop_many(cx: &mut Cx<'_>, key: &[u8], count: usize) -> Result<Outcome, Fault> {
    let (limits, mut chance, logs) = (limits(cx), chance(cx), cx.db.logs());
    let mut w = cx.db.open(key);
    let len = w.view::<Set>()?.map_or(0, SetRef::len);
    if len == 0 || count == 0 {
        cx.out.set(0);
        return Ok(Outcome::Done);
    }
    if count >= len {
        drop(w);
        return spop_all(cx, key);
    }
    let mut popped: Vec<Box<[u8]>> = Vec::new();
    cx.out.set(count);
    w.update(|set: &mut Set| {
        set.pop_many(count, &limits, &mut |limit| chance.below(limit), &mut |member| {
            cx.out.item(member);
            if logs {
                popped.push(member.to_vec().into());
            }
        });
    });
    w.commit_counting(Event::SPOP, count as u64);
    for batch in popped.chunks(SREM_BATCH) {
        let argv: Vec<&[u8]> = [&b"SREM"[..], key].into_iter().chain(batch.iter().map(|it| &**it)).collect();
        cx.db.propagate(&argv);
    }
    Ok(Outcome::Done)
}

fn spop_all(cx: &mut Cx<'_>, key: &[u8]) -> Result<Outcome, Fault> {
    let mut w = cx.db.open(key);
    w.count_lookup();
    let Some(set) = w.view::<Set>()? else { return Ok(Outcome::Done) };
    let len = set.len();
    cx.out.set(len);
    set.iter().for_each(|member| cx.out.item(member));
    w.also(Event::SPOP);
    w.remove();
    w.commit_counting(Event::DEL, len as u64);
    let verb: &[u8] = if cx.settings.bool(Directive::LazyfreeLazyServerDel) { b"UNLINK" } else { b"DEL" };
    if cx.db.logs() {
        cx.db.propagate(&[verb, key]);
    }
    Ok(Outcome::Done)
}

fn srandmember(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let count = match args.len() {
        2 => None,
        3 => match int(args.get(2))? {
            i64::MIN => return Err(Fault::COUNT_RANGE),
            count if count < 0 && count.unsigned_abs() > MAX_REPEATED => return Err(Fault::COUNT_RANGE),
            count => Some(count),
        },
        _ => return Err(Fault::SYNTAX),
    };
    let mut chance = chance(cx);
    let draw = &mut |limit| chance.below(limit);
    match (cx.db.read_as::<Set>(args.get(1))?, count) {
        (None, None) => cx.out.null(),
        (None, Some(_)) => cx.out.array(0),
        (Some(set), None) => set.random(draw).into_iter().for_each(|member| cx.out.item(member)),
        (Some(set), Some(count)) if count < 0 => {
            cx.out.array(count.unsigned_abs() as usize);
            for _ in 0..count.unsigned_abs() {
                set.random(draw).into_iter().for_each(|member| cx.out.item(member));
            }
        }
        (Some(set), Some(count)) => {
            let count = set.len().min(count as usize);
            cx.out.array(count);
            set.sample(count, draw, &mut |member| cx.out.item(member));
        }
    }
    Ok(Outcome::Done)
}

fn srem(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let mut w = cx.db.open(args.get(1));
    if w.view::<Set>()?.is_none() {
        cx.out.int(0);
        return Ok(Outcome::Done);
    }
    let members = args.from(2);
    let removed = w.update(|set: &mut Set| members.iter().filter(|member| set.remove(member)).count());
    if removed > 0 {
        w.commit_counting(Event::SREM, removed as u64);
    } else {
        w.abandon_unchanged();
    }
    cx.out.int(removed as i64);
    Ok(Outcome::Done)
}

fn sscan(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let cursor = parse_u64(args.get(2)).ok_or(Fault::BAD_CURSOR)?;
    let Some(set) = cx.db.read_as::<Set>(args.get(1))? else {
        // The options of a set that is not there are not looked at.
        cx.out.array(2);
        cx.out.bulk_int(0);
        cx.out.array(0);
        return Ok(Outcome::Done);
    };
    let (pattern, count) = scan_options(Cursor::new(args, 3))?;
    let mut found = Vec::new();
    let next = set.scan(cursor, count, &mut |member: Item<'_>| {
        if pattern.is_none_or(|it| glob::matches(it, member.bytes(&mut [0; MAX_I64_LEN]), false)) {
            found.push(member);
        }
    });
    cx.out.array(2);
    cx.out.bulk_int(next as i64);
    cx.out.array(found.len());
    found.into_iter().for_each(|member| cx.out.item(member));
    Ok(Outcome::Done)
}

/// MATCH and COUNT of SSCAN.
fn scan_options(mut options: Cursor<'_>) -> Result<(Option<&[u8]>, usize), Fault> {
    let (mut pattern, mut count) = (None, DEFAULT_COUNT);
    while !options.is_end() {
        // A word that needs an argument and has none is as good as unknown.
        let has_argument = options.left() > 1;
        if has_argument && options.word("COUNT") {
            let wanted = usize::try_from(options.int()?).ok();
            count = wanted.filter(|&count| count > 0).ok_or(Fault::SYNTAX)?;
        } else if has_argument && options.word("MATCH") {
            pattern = Some(options.need()?).filter(|pattern| !glob::is_all(pattern));
        } else if options.word("NOVALUES") {
            return Err(Fault::NO_VALUES_ELSEWHERE);
        } else if options.word("NOSCORES") {
            return Err(Fault::NO_SCORES_ELSEWHERE);
        } else {
            return Err(Fault::SYNTAX);
        }
    }
    Ok((pattern, count))
}
