//! Lists that clients wait for.
//!
//! For: the commands of group `list` that wait until there is an element. May touch: what `Cx` carries.
//! Always: a command runs as its relative that does not wait; only when that finds nothing it waits, and
//! then it runs once more for the key that is ready. What is propagated is the relative.

use std::ops::Range;

use super::blocking::{block, parse_timeout};
use super::list::{GROW, limits, pop_event, row, take, write_element};
use super::list_move::{MOVES, Several, move_element, side, take_of_first};
use crate::command::{Command, Cx, Flags, KeyFlags, KeySpec, Outcome, Wait};
use crate::fault::Fault;
use crate::keyspace::Kind;
use crate::resp::Args;
use crate::value::List;
use crate::value::list::Side;

const TAKE: Flags = Flags::WRITE.union(Flags::BLOCKING);
const MOVE: Flags = GROW.union(Flags::BLOCKING);
const TAKEN: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row("BLMOVE", blmove)
        .arity(6)
        .flags(MOVE)
        .keys(MOVES)
        .since("6.2.0")
        .doc(
            "Takes an element from an end of a list, puts it at an end of another and answers it; waits until \
             there is one.",
            "source destination wherefrom=<LEFT | RIGHT> whereto=<LEFT | RIGHT> timeout:double",
        ),
    row("BLMPOP", blmpop)
        .arity(-5)
        .flags(TAKE.union(Flags::MOVABLE_KEYS))
        .keys(&[KeySpec::counted(2, TAKEN)])
        .since("7.0.0")
        .cost("O(N+M), N keys given, M elements answered.")
        .doc(
            "Takes elements from the first of several lists that has any and answers them; waits until one has.",
            "timeout:double numkeys key [key ...] where=<LEFT | RIGHT> [COUNT count]",
        ),
    row("BLPOP", blpop)
        .arity(-3)
        .flags(TAKE)
        .keys(&[KeySpec::range(1, -2, 1, TAKEN)])
        .since("2.0.0")
        .cost("O(N), N keys given.")
        .history(&[("6.0.0", "Takes fractions of a second as timeout.")])
        .doc(
            "Takes the first element of the first of several lists that has any; waits until one has.",
            "key [key ...] timeout:double",
        ),
    row("BRPOP", brpop)
        .arity(-3)
        .flags(TAKE)
        .keys(&[KeySpec::range(1, -2, 1, TAKEN)])
        .since("2.0.0")
        .cost("O(N), N keys given.")
        .history(&[("6.0.0", "Takes fractions of a second as timeout.")])
        .doc(
            "Takes the last element of the first of several lists that has any; waits until one has.",
            "key [key ...] timeout:double",
        ),
    row("BRPOPLPUSH", brpoplpush)
        .arity(4)
        .flags(MOVE)
        .keys(MOVES)
        .since("2.2.0")
        .history(&[("6.0.0", "Takes fractions of a second as timeout.")])
        .doc(
            "Takes the last element of a list, puts it in front of another and answers it; waits until there is \
             one.",
            "source destination timeout:double",
        ),
];

fn blmove(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (from, to) = (side(args.get(3))?, side(args.get(4))?);
    let until_ms = parse_timeout(args.get(5), cx.db.now_ms())?;
    if !move_element(cx, &args, from, to)? {
        return Ok(wait_to_move(cx, until_ms));
    }
    if cx.db.logs() {
        cx.db.propagate(&[b"LMOVE", args.get(1), args.get(2), args.get(3), args.get(4)]);
    }
    Ok(Outcome::Done)
}

fn blmpop(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let several = Several::parse(&args, 2)?;
    let until_ms = parse_timeout(args.get(1), cx.db.now_ms())?;
    let keys = ready(cx, several.keys.clone());
    if take_of_first(cx, &args, keys, several.side, several.count)? {
        return Ok(Outcome::Done);
    }
    Ok(wait_to_take(cx, several.keys, until_ms))
}

fn blpop(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    pop_or_wait(cx, &args, Side::Left)
}

fn brpop(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    pop_or_wait(cx, &args, Side::Right)
}

fn brpoplpush(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let until_ms = parse_timeout(args.get(3), cx.db.now_ms())?;
    if !move_element(cx, &args, Side::Right, Side::Left)? {
        return Ok(wait_to_move(cx, until_ms));
    }
    if cx.db.logs() {
        cx.db.propagate(&[b"RPOPLPUSH", args.get(1), args.get(2)]);
    }
    Ok(Outcome::Done)
}

/// Of these keys, those to look at: one that is ready, all at first.
fn ready(cx: &Cx<'_>, keys: Range<usize>) -> Range<usize> {
    cx.served.map_or(keys, |at| at..at + 1)
}

fn pop_or_wait(cx: &mut Cx<'_>, args: &Args<'_>, side: Side) -> Result<Outcome, Fault> {
    let timeout = args.len() - 1;
    let until_ms = parse_timeout(args.get(timeout), cx.db.now_ms())?;
    for at in ready(cx, 1..timeout) {
        let key = args.get(at);
        let mut w = cx.db.open(key);
        let Some(element) = w.view::<List>()?.and_then(|list| list.end(side)) else { continue };
        cx.out.array(2);
        cx.out.bulk(key);
        write_element(cx.out, element);
        take(&mut w, side, 1, limits(cx.settings));
        w.commit(pop_event(side));
        if cx.db.logs() {
            cx.db.propagate(&[if side == Side::Left { b"LPOP" } else { b"RPOP" }, key]);
        }
        return Ok(Outcome::Done);
    }
    Ok(wait_to_take(cx, 1..timeout, until_ms))
}

fn wait_to_take(cx: &mut Cx<'_>, keys: Range<usize>, until_ms: Option<u64>) -> Outcome {
    let wait = Wait { until_ms, ..Wait::new(keys, Kind::List) };
    block(cx, wait, |cx| cx.out.null_array())
}

fn wait_to_move(cx: &mut Cx<'_>, until_ms: Option<u64>) -> Outcome {
    let wait = Wait { until_ms, target: Some(2), ..Wait::new([1], Kind::List) };
    block(cx, wait, |cx| cx.out.null())
}
