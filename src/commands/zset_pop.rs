//! Sorted sets: taking members from an end.
//!
//! For: the commands that pop, waiting or not. May touch: what `Cx` carries.
//! Always: what is propagated names the key that was popped from and how many left it.

use std::ops::Range;

use super::blocking::{block, parse_timeout};
use super::zset::{WRITE_FAST, reply_entries};
use crate::command::cursor::int;
use crate::command::{Acl, Command, Cursor, Cx, Flags, Group, KeyFlags, KeySpec, Outcome, Wait, cmd};
use crate::fault::Fault;
use crate::keyspace::Event;
use crate::resp::{Args, Out};
use crate::value::zset::Entries;
use crate::value::{Kind, ZSet};

const POPS: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);

/// The rows of this file.
pub const ROWS: &[Command] = &[
    cmd("BZMPOP", bzmpop)
        .arity(-5)
        .flags(Flags::WRITE.union(Flags::BLOCKING).union(Flags::MOVABLE_KEYS))
        .acl(Acl::SORTEDSET)
        .keys(&[KeySpec::counted(2, POPS)])
        .group(Group::SortedSet)
        .since("7.0.0")
        .cost("O(K + M log N), K keys, M members popped of N.")
        .doc(
            "Removes members from an end of the first sorted set that has any, waiting until one has.",
            "timeout:double numkeys key [key ...] where=<MIN | MAX> [COUNT count]",
        ),
    cmd("BZPOPMAX", bzpopmax)
        .arity(-3)
        .flags(WRITE_FAST.union(Flags::BLOCKING))
        .acl(Acl::SORTEDSET)
        .keys(&[KeySpec::range(1, -2, 1, POPS)])
        .group(Group::SortedSet)
        .since("5.0.0")
        .cost("O(log N), N members.")
        .history(&[("6.0.0", "Takes fractions of a second as timeout.")])
        .doc(
            "Removes the member with the highest score of the first sorted set that has any, waiting until one has.",
            "key [key ...] timeout:double",
        ),
    cmd("BZPOPMIN", bzpopmin)
        .arity(-3)
        .flags(WRITE_FAST.union(Flags::BLOCKING))
        .acl(Acl::SORTEDSET)
        .keys(&[KeySpec::range(1, -2, 1, POPS)])
        .group(Group::SortedSet)
        .since("5.0.0")
        .cost("O(log N), N members.")
        .history(&[("6.0.0", "Takes fractions of a second as timeout.")])
        .doc(
            "Removes the member with the lowest score of the first sorted set that has any, waiting until one has.",
            "key [key ...] timeout:double",
        ),
    cmd("ZMPOP", zmpop)
        .arity(-4)
        .flags(Flags::WRITE.union(Flags::MOVABLE_KEYS))
        .acl(Acl::SORTEDSET)
        .keys(&[KeySpec::counted(1, POPS)])
        .group(Group::SortedSet)
        .since("7.0.0")
        .cost("O(K + M log N), K keys, M members popped of N.")
        .doc(
            "Removes members from an end of the first sorted set that has any, and answers them.",
            "numkeys key [key ...] where=<MIN | MAX> [COUNT count]",
        ),
    cmd("ZPOPMAX", zpopmax)
        .arity(-2)
        .flags(WRITE_FAST)
        .acl(Acl::SORTEDSET)
        .keys(&[KeySpec::one(1, POPS)])
        .group(Group::SortedSet)
        .since("5.0.0")
        .cost("O(M log N), M members popped of N.")
        .doc("Removes the members with the highest scores and answers them.", "key [count]"),
    cmd("ZPOPMIN", zpopmin)
        .arity(-2)
        .flags(WRITE_FAST)
        .acl(Acl::SORTEDSET)
        .keys(&[KeySpec::one(1, POPS)])
        .group(Group::SortedSet)
        .since("5.0.0")
        .cost("O(M log N), M members popped of N.")
        .doc("Removes the members with the lowest scores and answers them.", "key [count]"),
];

/// From which end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

impl End {
    fn event(self) -> Event {
        if self == End::Min { Event::ZPOPMIN } else { Event::ZPOPMAX }
    }

    fn verb(self) -> &'static [u8] {
        if self == End::Min { b"ZPOPMIN" } else { b"ZPOPMAX" }
    }
}

/// How popped members are answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Member and score.
    Flat,
    /// Pairs in RESP3, one behind the other in RESP2.
    Entries,
    /// The key, then pairs.
    KeyAndPairs,
    /// Key, member and score.
    KeyAndFlat,
}

fn bzmpop(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let query = Query::read(args, 2)?;
    let until_ms = parse_timeout(args.get(1), cx.db.now_ms())?;
    let keys = query.first..query.first + query.keys;
    if let Some((at, popped)) = pop_first(cx, args, keys.clone(), query.end, query.count, Shape::KeyAndPairs)?
    {
        propagate(cx, args.get(at), query.end, Some(popped));
        return Ok(Outcome::Done);
    }
    Ok(wait(cx, keys, until_ms))
}

fn bzpopmax(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    pop_or_wait(cx, args, End::Max)
}

fn bzpopmin(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    pop_or_wait(cx, args, End::Min)
}

fn zmpop(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let query = Query::read(args, 1)?;
    let keys = query.first..query.first + query.keys;
    match pop_first(cx, args, keys, query.end, query.count, Shape::KeyAndPairs)? {
        Some((at, popped)) => propagate(cx, args.get(at), query.end, Some(popped)),
        None => cx.out.null_array(),
    }
    Ok(Outcome::Done)
}

fn zpopmax(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    pop_one_key(cx, args, End::Max)
}

fn zpopmin(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    pop_one_key(cx, args, End::Min)
}

fn pop_one_key(cx: &mut Cx<'_>, args: Args<'_>, end: End) -> Result<Outcome, Fault> {
    if args.len() > 3 {
        return Err(Fault::SYNTAX);
    }
    let (count, shape) = match args.opt(2) {
        None => (1, Shape::Flat),
        Some(count) => {
            let count = int(count).ok().and_then(|count| usize::try_from(count).ok());
            (count.ok_or(Fault::NOT_POSITIVE)?, Shape::Entries)
        }
    };
    if pop(cx, args.get(1), end, count, shape)?.is_none() {
        cx.out.array(0);
    }
    Ok(Outcome::Done)
}

fn pop_or_wait(cx: &mut Cx<'_>, args: Args<'_>, end: End) -> Result<Outcome, Fault> {
    let last = args.len() - 1;
    let until_ms = parse_timeout(args.get(last), cx.db.now_ms())?;
    if let Some((at, _)) = pop_first(cx, args, 1..last, end, 1, Shape::KeyAndFlat)? {
        propagate(cx, args.get(at), end, None);
        return Ok(Outcome::Done);
    }
    Ok(wait(cx, 1..last, until_ms))
}

/// Pops from the first of these keys that has anything; of a client that waited, from the one that is ready.
/// Returns the key's position and how many were popped.
fn pop_first(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    keys: Range<usize>,
    end: End,
    count: usize,
    shape: Shape,
) -> Result<Option<(usize, usize)>, Fault> {
    for at in cx.served.map_or(keys, |at| at..at + 1) {
        if let Some(popped) = pop(cx, args.get(at), end, count, shape)? {
            return Ok(Some((at, popped)));
        }
    }
    Ok(None)
}

fn wait(cx: &mut Cx<'_>, keys: Range<usize>, until_ms: Option<u64>) -> Outcome {
    let wait = Wait { until_ms, ..Wait::new(keys, Kind::ZSet) };
    block(cx, wait, |cx| cx.out.null_array())
}

/// What ZMPOP is asked for.
struct Query {
    /// Argument of the first key.
    first: usize,
    keys: usize,
    end: End,
    count: usize,
}

impl Query {
    /// Reads the number of keys at argument `at`, the keys and what follows them.
    fn read(args: Args<'_>, at: usize) -> Result<Query, Fault> {
        let above_zero = |arg: &[u8], name: &str| {
            let value = int(arg).ok().filter(|&value| value > 0);
            value.ok_or_else(|| Fault::not_above_zero(name))
        };
        let keys = usize::try_from(above_zero(args.get(at), "numkeys")?).unwrap_or(usize::MAX);
        let first = at + 1;
        if keys >= args.len() - first {
            return Err(Fault::SYNTAX);
        }
        let mut cursor = Cursor::new(args, first + keys);
        let end = if cursor.word("MIN") {
            End::Min
        } else if cursor.word("MAX") {
            End::Max
        } else {
            return Err(Fault::SYNTAX);
        };
        let mut count = 1;
        if !cursor.is_end() {
            if cursor.left() < 2 || !cursor.word("COUNT") {
                return Err(Fault::SYNTAX);
            }
            count = above_zero(cursor.need()?, "count")?;
            cursor.end()?;
        }
        Ok(Query { first, keys, end, count: usize::try_from(count).unwrap_or(usize::MAX) })
    }
}

/// Takes up to `count` members from an end and answers them. Returns how many; `None`, with nothing written,
/// when there is none or none is wanted.
fn pop(cx: &mut Cx<'_>, key: &[u8], end: End, count: usize, shape: Shape) -> Result<Option<usize>, Fault> {
    let mut w = cx.db.open(key);
    let Some(set) = w.view::<ZSet>()? else { return Ok(None) };
    let len = set.len();
    let count = count.min(len);
    if count == 0 {
        return Ok(None);
    }
    let ranks = if end == End::Min { 0..count } else { len - count..len };
    reply_popped(cx.out, key, set.range(ranks.clone(), end == End::Max), count, shape);
    w.update(|set: &mut ZSet| set.remove_ranks(ranks));
    w.commit_counting(end.event(), count as u64);
    Ok(Some(count))
}

fn reply_popped(out: &mut Out, key: &[u8], mut entries: Entries<'_>, count: usize, shape: Shape) {
    match shape {
        Shape::Entries => reply_entries(out, entries, count, true),
        Shape::KeyAndPairs => {
            out.array(2);
            out.bulk(key);
            out.array(count);
            for (member, score) in entries {
                out.array(2);
                out.item(member);
                out.double(score);
            }
        }
        Shape::Flat | Shape::KeyAndFlat => {
            let (member, score) = entries.next().expect("at least one is popped");
            if shape == Shape::Flat {
                out.array(2);
            } else {
                out.array(3);
                out.bulk(key);
            }
            out.item(member);
            out.double(score);
        }
    }
}

/// Propagates what was popped, in place of the command that had to look for it.
fn propagate(cx: &mut Cx<'_>, key: &[u8], end: End, count: Option<usize>) {
    if !cx.db.logs() {
        return;
    }
    match count {
        Some(count) => cx.db.propagate(&[end.verb(), key, count.to_string().as_bytes()]),
        None => cx.db.propagate(&[end.verb(), key]),
    }
}
