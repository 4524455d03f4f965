//! Lists at several keys: moving an element, taking from the first list that has some.
//!
//! For: LMOVE, RPOPLPUSH and LMPOP, and what their blocking relatives do when there is something. May
//! touch: what `Cx` carries.
//! Always: both keys of a move are looked at before either changes.

use std::ops::Range;

use super::list::{GROW, limits, pop_event, push_event, row, take, write_element};
use crate::command::{Command, Cursor, Cx, Flags, KeyFlags, KeySpec, Outcome};
use crate::fault::Fault;
use crate::resp::{Args, parse_i64};
use crate::value::List;
use crate::value::list::{Element, OwnedElement, Side};

pub(super) const MOVES: &[KeySpec] = &[
    KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
    KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT)),
];

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row("LMOVE", lmove).arity(5).flags(GROW).keys(MOVES).since("6.2.0").doc(
        "Takes an element from an end of a list, puts it at an end of another and answers it.",
        "source destination wherefrom=<LEFT | RIGHT> whereto=<LEFT | RIGHT>",
    ),
    row("LMPOP", lmpop)
        .arity(-4)
        .flags(Flags::WRITE.union(Flags::MOVABLE_KEYS))
        .keys(&[KeySpec::counted(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))])
        .since("7.0.0")
        .cost("O(N+M), N keys given, M elements answered.")
        .doc(
            "Takes elements from the first of several lists that has any and answers them.",
            "numkeys key [key ...] where=<LEFT | RIGHT> [COUNT count]",
        ),
    row("RPOPLPUSH", rpoplpush).arity(3).flags(GROW).keys(MOVES).since("1.2.0").doc(
        "Takes the last element of a list, puts it in front of another and answers it.",
        "source destination",
    ),
];

fn lmove(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (from, to) = (side(args.get(3))?, side(args.get(4))?);
    if !move_element(cx, &args, from, to)? {
        cx.out.null();
    }
    Ok(Outcome::Done)
}

fn lmpop(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let several = Several::parse(&args, 1)?;
    if !take_of_first(cx, &args, several.keys, several.side, several.count)? {
        cx.out.null_array();
    }
    Ok(Outcome::Done)
}

fn rpoplpush(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    if !move_element(cx, &args, Side::Right, Side::Left)? {
        cx.out.null();
    }
    Ok(Outcome::Done)
}

/// An end of a list.
pub(super) fn side(word: &[u8]) -> Result<Side, Fault> {
    if word.eq_ignore_ascii_case(b"LEFT") {
        Ok(Side::Left)
    } else if word.eq_ignore_ascii_case(b"RIGHT") {
        Ok(Side::Right)
    } else {
        Err(Fault::SYNTAX)
    }
}

/// Moves an element from the list at argument 1 to that at argument 2 and answers it. False: there is none,
/// and nothing was answered.
pub(super) fn move_element(cx: &mut Cx<'_>, args: &Args<'_>, from: Side, to: Side) -> Result<bool, Fault> {
    let (source, destination) = (args.get(1), args.get(2));
    let limits = limits(cx.settings);
    let mut w = cx.db.open(source);
    let Some(element) = w.view::<List>()?.and_then(|list| list.end(from)).map(Element::to_owned) else {
        return Ok(false);
    };
    if source == destination {
        w.update(|list: &mut List| list.rotate(from, to, &element, limits));
        w.also(push_event(to));
        w.commit(pop_event(from));
    } else {
        drop(w);
        put(cx, destination, to, &element)?;
        let mut w = cx.db.open(source);
        take(&mut w, from, 1, limits);
        w.commit(pop_event(from));
    }
    write_element(cx.out, element.as_element());
    Ok(true)
}

/// Adds an element that the source loses next; the two are one change, which the source counts.
fn put(cx: &mut Cx<'_>, destination: &[u8], to: Side, element: &OwnedElement) -> Result<(), Fault> {
    let mut w = cx.db.open(destination);
    w.view::<List>()?;
    w.update(|list: &mut List| list.push_moved(to, element, limits(cx.settings)));
    w.commit_counting(push_event(to), 0);
    Ok(())
}

/// The arguments of LMPOP and BLMPOP.
pub(super) struct Several {
    /// Positions of the keys.
    pub keys: Range<usize>,
    /// The end to take from.
    pub side: Side,
    /// How many elements, at least one.
    pub count: usize,
}

impl Several {
    /// Reads them from the number of keys on, which is argument `at`.
    pub(super) fn parse(args: &Args<'_>, at: usize) -> Result<Several, Fault> {
        let keys = positive(args.get(at)).ok_or_else(|| Fault::not_above_zero("numkeys"))?;
        let end = at.saturating_add(1).saturating_add(keys);
        let side = side(args.opt(end).ok_or(Fault::SYNTAX)?)?;
        let mut cursor = Cursor::new(*args, end + 1);
        let mut count = 1;
        if cursor.word("COUNT") {
            count = positive(cursor.need()?).ok_or_else(|| Fault::not_above_zero("count"))?;
        }
        cursor.end()?;
        Ok(Several { keys: at + 1..end, side, count })
    }
}

pub(super) fn positive(arg: &[u8]) -> Option<usize> {
    parse_i64(arg).and_then(|number| usize::try_from(number).ok()).filter(|number| *number > 0)
}

/// Takes up to `count` elements from the first of the keys that holds a list and answers the key and them.
/// False: none does, and nothing was answered.
pub(super) fn take_of_first(
    cx: &mut Cx<'_>,
    args: &Args<'_>,
    keys: Range<usize>,
    side: Side,
    count: usize,
) -> Result<bool, Fault> {
    for at in keys {
        let key = args.get(at);
        let mut w = cx.db.open(key);
        let Some(list) = w.view::<List>()? else { continue };
        let taken = count.min(list.len());
        cx.out.array(2);
        cx.out.bulk(key);
        cx.out.array(taken);
        list.each_from(side, taken, |element| write_element(cx.out, element));
        take(&mut w, side, taken, limits(cx.settings));
        w.commit_counting(pop_event(side), taken as u64);
        if cx.db.logs() {
            let name: &[u8] = if side == Side::Left { b"LPOP" } else { b"RPOP" };
            cx.db.propagate(&[name, key, itoa::Buffer::new().format(taken).as_bytes()]);
        }
        return Ok(true);
    }
    Ok(false)
}
