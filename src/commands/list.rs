//! Lists at one key: adding, taking, reading and changing elements.
//!
//! For: the commands of group `list` but for those that look at several keys (`list_move`) or wait
//! (`list_blocking`). May touch: what `Cx` carries.
//! Always: a list is told its limits by every command that changes it; a long element is stored and sent
//! without being copied.

use std::ops::Range;

use crate::command::cursor::int;
use crate::command::{Acl, Command, Cursor, Cx, Flags, Group, KeyFlags, KeySpec, Outcome, cmd};
use crate::config::{Directive, Settings};
use crate::fault::Fault;
use crate::keyspace::{Event, Write};
use crate::resp::{Args, BIG_ARG, Out, parse_i64};
use crate::value::list::{Element, Given, ListLimits, ListRef, Side, Stretch};
use crate::value::{Collection, List};

pub(super) const GROW: Flags = Flags::WRITE.union(Flags::DENY_OOM);
const GROW_FAST: Flags = GROW.union(Flags::FAST);
const TAKE_FAST: Flags = Flags::WRITE.union(Flags::FAST);

const READS_IT: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))];
const ADDS_TO_IT: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))];
const TAKES_OF_IT: &[KeySpec] =
    &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))];
const REMOVES_OF_IT: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))];

/// A row of this family.
pub(super) const fn row(name: &'static str, handler: crate::command::row::Handler) -> Command {
    cmd(name, handler).acl(Acl::LIST).group(Group::List)
}

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row("LINDEX", lindex)
        .arity(3)
        .flags(Flags::READONLY)
        .keys(READS_IT)
        .cost("O(N), N nodes on the way from the nearer end; O(1) at the ends.")
        .doc("Answers the element at a position of a list.", "key index"),
    row("LINSERT", linsert)
        .arity(5)
        .flags(GROW)
        .keys(ADDS_TO_IT)
        .since("2.2.0")
        .cost("O(N), N elements before the pivot.")
        .doc(
            "Puts an element beside the first one in a list that equals another.",
            "key where=<BEFORE | AFTER> pivot element",
        ),
    row("LLEN", llen)
        .arity(2)
        .flags(Flags::READONLY.union(Flags::FAST))
        .keys(&[KeySpec::one(1, KeyFlags::RO)])
        .doc("Answers the number of elements of a list.", "key"),
    row("LPOP", lpop)
        .args_since(&[("6.2.0", "count")])
        .arity(-2)
        .flags(TAKE_FAST)
        .keys(TAKES_OF_IT)
        .cost("O(N), N elements answered.")
        .history(&[("6.2.0", "Takes a count.")])
        .doc("Takes one or several elements from the head of a list and answers them.", "key [count]"),
    row("LPOS", lpos)
        .arity(-3)
        .flags(Flags::READONLY)
        .keys(READS_IT)
        .since("6.0.6")
        .cost("O(N), N elements looked at.")
        .doc(
            "Answers where in a list an element is.",
            "key element [RANK rank:integer] [COUNT num-matches:integer] [MAXLEN len:integer]",
        ),
    row("LPUSH", lpush)
        .arity(-3)
        .flags(GROW_FAST)
        .keys(ADDS_TO_IT)
        .cost("O(1) for each element.")
        .history(&[("2.4.0", "Takes more than one element.")])
        .doc("Puts elements in front of a list, which is made if need be.", "key element [element ...]"),
    row("LPUSHX", lpushx)
        .arity(-3)
        .flags(GROW_FAST)
        .keys(ADDS_TO_IT)
        .since("2.2.0")
        .cost("O(1) for each element.")
        .history(&[("4.0.0", "Takes more than one element.")])
        .doc("Puts elements in front of a list that exists.", "key element [element ...]"),
    row("LRANGE", lrange)
        .arity(4)
        .flags(Flags::READONLY)
        .keys(READS_IT)
        .cost("O(S+N), S nodes on the way to the first element from the nearer end, N elements answered.")
        .doc(
            "Answers a part of a list, between two positions that are both included.",
            "key start stop:integer",
        ),
    row("LREM", lrem)
        .arity(4)
        .flags(Flags::WRITE)
        .keys(REMOVES_OF_IT)
        .cost("O(N), N elements of the list.")
        .doc("Removes elements that equal a given one from a list.", "key count element"),
    row("LSET", lset)
        .arity(4)
        .flags(GROW)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))])
        .cost("O(N), N nodes on the way from the nearer end; O(1) at the ends.")
        .doc("Replaces the element at a position of a list.", "key index element"),
    row("LTRIM", ltrim)
        .arity(4)
        .flags(Flags::WRITE)
        .keys(REMOVES_OF_IT)
        .cost("O(N), N elements removed.")
        .doc("Removes what is outside of two positions of a list.", "key start stop:integer"),
    row("RPOP", rpop)
        .args_since(&[("6.2.0", "count")])
        .arity(-2)
        .flags(TAKE_FAST)
        .keys(TAKES_OF_IT)
        .cost("O(N), N elements answered.")
        .history(&[("6.2.0", "Takes a count.")])
        .doc("Takes one or several elements from the tail of a list and answers them.", "key [count]"),
    row("RPUSH", rpush)
        .arity(-3)
        .flags(GROW_FAST)
        .keys(ADDS_TO_IT)
        .cost("O(1) for each element.")
        .history(&[("2.4.0", "Takes more than one element.")])
        .doc("Puts elements behind a list, which is made if need be.", "key element [element ...]"),
    row("RPUSHX", rpushx)
        .arity(-3)
        .flags(GROW_FAST)
        .keys(ADDS_TO_IT)
        .since("2.2.0")
        .cost("O(1) for each element.")
        .history(&[("4.0.0", "Takes more than one element.")])
        .doc("Puts elements behind a list that exists.", "key element [element ...]"),
];

fn lindex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let Some(list) = cx.db.read_as::<List>(args.get(1))? else {
        cx.out.null();
        return Ok(Outcome::Done);
    };
    // The original looks at the key before it reads the position.
    match place(list.len(), int(args.get(2))?).and_then(|index| list.get(index)) {
        Some(element) => write_element(cx.out, element),
        None => cx.out.null(),
    }
    Ok(Outcome::Done)
}

fn linsert(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let side = match args.get(2) {
        word if word.eq_ignore_ascii_case(b"AFTER") => Side::Right,
        word if word.eq_ignore_ascii_case(b"BEFORE") => Side::Left,
        _ => return Err(Fault::SYNTAX),
    };
    let mut w = cx.db.open(args.get(1));
    let Some(list) = w.view::<List>()? else {
        cx.out.int(0);
        return Ok(Outcome::Done);
    };
    let len = list.len() + 1;
    let (pivot, element) = (args.get(3), given(&args, 4));
    if w.update(|list: &mut List| list.insert(pivot, side, element, limits(cx.settings))) {
        w.commit(Event::LINSERT);
        cx.out.int(len as i64);
    } else {
        w.abandon_unchanged();
        cx.out.int(-1);
    }
    Ok(Outcome::Done)
}

fn llen(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let len = cx.db.read_as::<List>(args.get(1))?.map_or(0, ListRef::len);
    cx.out.int(len as i64);
    Ok(Outcome::Done)
}

fn lpop(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    pop(cx, &args, Side::Left)
}

fn lpos(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let search = Search::parse(&args)?;
    let list = cx.db.read_as::<List>(args.get(1))?;
    let Some(count) = search.count else {
        match list.and_then(|list| search.first(list, args.get(2))) {
            Some(index) => cx.out.int(index as i64),
            None => cx.out.null(),
        }
        return Ok(Outcome::Done);
    };
    let reply = cx.out.deferred_array();
    let mut found = 0;
    if let Some(list) = list {
        search.each(list, args.get(2), |index| {
            cx.out.int(index as i64);
            found += 1;
            found != count
        });
    }
    cx.out.finish(reply, found);
    Ok(Outcome::Done)
}

fn lpush(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    push(cx, &args, Side::Left, false)
}

fn lpushx(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    push(cx, &args, Side::Left, true)
}

fn lrange(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (start, stop) = (int(args.get(2))?, int(args.get(3))?);
    let list = cx.db.read_as::<List>(args.get(1))?;
    let range = list.map_or(0..0, |list| span(list.len(), start, stop));
    let out = &mut *cx.out;
    out.array(range.len());
    if let Some(list) = list {
        list.stretches(range.start, range.len(), |stretch| match stretch {
            Stretch::Short(items) => out.items(items),
            Stretch::Long(shared) => out.bulk_shared(shared),
        });
    }
    Ok(Outcome::Done)
}

fn lrem(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let count = symmetric_int(args.get(2))?;
    let side = if count < 0 { Side::Right } else { Side::Left };
    let most = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let mut w = cx.db.open(args.get(1));
    let mut removed = 0;
    if w.view::<List>()?.is_some() {
        let wanted = args.get(3);
        removed = w.update(|list: &mut List| list.remove(wanted, side, most, limits(cx.settings)));
        if removed > 0 {
            w.commit_counting(Event::LREM, removed as u64);
        } else {
            w.abandon_unchanged();
        }
    }
    cx.out.int(removed as i64);
    Ok(Outcome::Done)
}

fn lset(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let mut w = cx.db.open(args.get(1));
    let len = w.view::<List>()?.ok_or(Fault::NO_SUCH_KEY)?.len();
    // The original looks at the key before it reads the position, of which it takes the low 32 bits.
    let index = int(args.get(2))? as i32;
    let index = place(len, index.into()).unwrap_or(len);
    if !w.update(|list: &mut List| list.set(index, given(&args, 3), limits(cx.settings))) {
        w.abandon_unchanged();
        return Err(Fault::INDEX_RANGE);
    }
    w.commit(Event::LSET);
    cx.out.ok();
    Ok(Outcome::Done)
}

fn ltrim(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (start, stop) = (int(args.get(2))?, int(args.get(3))?);
    let mut w = cx.db.open(args.get(1));
    if let Some(len) = w.view::<List>()?.map(ListRef::len) {
        let kept = span(len, start, stop);
        let (left, right) = if kept.is_empty() { (len, 0) } else { (kept.start, len - kept.end) };
        // The list learns its limits even if nothing goes, and the event is told.
        w.update(|list: &mut List| list.trim(left, right, limits(cx.settings)));
        if left + right > 0 {
            w.commit_counting(Event::LTRIM, (left + right) as u64);
        } else {
            w.also(Event::LTRIM);
            w.commit_quietly(0);
        }
    }
    cx.out.ok();
    Ok(Outcome::Done)
}

fn rpop(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    pop(cx, &args, Side::Right)
}

fn rpush(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    push(cx, &args, Side::Right, false)
}

fn rpushx(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    push(cx, &args, Side::Right, true)
}

/// What a list may become.
pub(super) fn limits(settings: &Settings) -> ListLimits {
    ListLimits {
        max_listpack_size: settings.int(Directive::ListMaxListpackSize),
        packed_threshold: settings.packed_threshold(),
    }
}

/// Argument `at` as an element; shared if it was received into an allocation of its own.
fn given<'a>(args: &'a Args<'_>, at: usize) -> Given<'a> {
    let text = args.get(at);
    Given { text, shared: if text.len() > BIG_ARG { args.shared(at) } else { None } }
}

/// Writes an element as a bulk.
#[inline]
pub(super) fn write_element(out: &mut Out, element: Element<'_>) {
    match element {
        Element::Item(item) => out.item(item),
        Element::Shared(bytes) => out.bulk_shared(bytes),
    }
}

/// The event of adding at an end.
pub(super) fn push_event(side: Side) -> Event {
    match side {
        Side::Left => Event::LPUSH,
        Side::Right => Event::RPUSH,
    }
}

/// The event of taking from an end.
pub(super) fn pop_event(side: Side) -> Event {
    match side {
        Side::Left => Event::LPOP,
        Side::Right => Event::RPOP,
    }
}

fn push(cx: &mut Cx<'_>, args: &Args<'_>, side: Side, only_existing: bool) -> Result<Outcome, Fault> {
    let mut w = cx.db.open(args.get(1));
    let list = w.view::<List>()?;
    if list.is_none() && only_existing {
        cx.out.int(0);
        return Ok(Outcome::Done);
    }
    let elements = (2..args.len()).map(|at| given(args, at));
    let len = w.update(|list: &mut List| {
        list.push(side, elements, limits(cx.settings));
        list.as_ref().len()
    });
    w.commit_counting(push_event(side), args.len() as u64 - 2);
    cx.out.int(len as i64);
    Ok(Outcome::Done)
}

fn pop(cx: &mut Cx<'_>, args: &Args<'_>, side: Side) -> Result<Outcome, Fault> {
    if args.len() > 3 {
        return Err(Fault::arity(if side == Side::Left { "lpop" } else { "rpop" }));
    }
    let count = args.opt(2).map(count).transpose()?;
    let mut w = cx.db.open(args.get(1));
    let Some(list) = w.view::<List>()? else {
        if count.is_some() {
            cx.out.null_array()
        } else {
            cx.out.null()
        }
        return Ok(Outcome::Done);
    };
    let taken = count.unwrap_or(1).min(list.len());
    if count.is_some() {
        cx.out.array(taken);
    }
    match list.end(side) {
        Some(element) if taken == 1 => write_element(cx.out, element),
        _ => list.each_from(side, taken, |element| write_element(cx.out, element)),
    }
    if taken > 0 {
        take(&mut w, side, taken, limits(cx.settings));
        w.commit_counting(pop_event(side), taken as u64);
    }
    Ok(Outcome::Done)
}

/// Removes elements at an end; there are so many.
pub(super) fn take(w: &mut Write<'_>, side: Side, count: usize, limits: ListLimits) {
    w.update(|list: &mut List| list.drop(side, count, limits));
}

/// A number of elements that may be zero.
fn count(arg: &[u8]) -> Result<usize, Fault> {
    parse_i64(arg).and_then(|count| usize::try_from(count).ok()).ok_or(Fault::NOT_POSITIVE)
}

/// An integer that has a negation.
fn symmetric_int(arg: &[u8]) -> Result<i64, Fault> {
    let value = int(arg)?;
    if value == i64::MIN { Err(Fault::NO_NEGATION) } else { Ok(value) }
}

/// The position that `index`, negative from the end, means among `len`.
fn place(len: usize, index: i64) -> Option<usize> {
    let distance = usize::try_from(index.unsigned_abs()).ok()?;
    let index = if index < 0 { len.checked_sub(distance)? } else { distance };
    (index < len).then_some(index)
}

/// The positions between two, both included, each negative from the end; empty when they leave nothing.
fn span(len: usize, start: i64, stop: i64) -> Range<usize> {
    let len = len as i64;
    let start = if start < 0 { start.saturating_add(len).max(0) } else { start };
    let stop = if stop < 0 { stop.saturating_add(len) } else { stop.min(len - 1) };
    if start > stop { 0..0 } else { start as usize..stop as usize + 1 }
}

/// What LPOS looks for.
struct Search {
    /// From where.
    from: Side,
    /// Matches that are passed over.
    passed: u64,
    /// How many positions are answered, 0: all; without it a single one.
    count: Option<usize>,
    /// How many elements are looked at.
    most: usize,
}

impl Search {
    fn parse(args: &Args<'_>) -> Result<Search, Fault> {
        let mut search = Search { from: Side::Left, passed: 0, count: None, most: usize::MAX };
        let mut cursor = Cursor::new(*args, 3);
        while !cursor.is_end() {
            if cursor.word("RANK") {
                let rank = symmetric_int(cursor.need()?)?;
                search.from = if rank < 0 { Side::Right } else { Side::Left };
                search.passed = rank.unsigned_abs().checked_sub(1).ok_or(Fault::RANK_ZERO)?;
            } else if cursor.word("COUNT") {
                search.count = Some(count(cursor.need()?).map_err(|_| Fault::NEGATIVE_COUNT)?);
            } else if cursor.word("MAXLEN") {
                let most = count(cursor.need()?).map_err(|_| Fault::NEGATIVE_MAXLEN)?;
                search.most = if most == 0 { usize::MAX } else { most };
            } else {
                return Err(Fault::SYNTAX);
            }
        }
        Ok(search)
    }

    /// Hands the positions of matches to `each` until it says false.
    fn each(&self, list: ListRef<'_>, wanted: &[u8], mut each: impl FnMut(usize) -> bool) {
        let mut passed = 0;
        list.each_match(wanted, self.from, self.most, |index| {
            passed += 1;
            passed <= self.passed || each(index)
        });
    }

    fn first(&self, list: ListRef<'_>, wanted: &[u8]) -> Option<usize> {
        let mut first = None;
        self.each(list, wanted, |index| {
            first = Some(index);
            false
        });
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_from_either_end() {
        let cases = [(0, Some(0)), (2, Some(2)), (3, None), (-1, Some(2)), (-3, Some(0)), (-4, None)];
        for (index, expected) in cases {
            assert_eq!(place(3, index), expected, "{index}");
        }
        assert_eq!(
            (place(3, i64::MIN), place(3, i64::MAX), place(0, 0), place(0, -1)),
            (None, None, None, None)
        );
    }

    #[test]
    fn a_span_is_cut_at_both_ends() {
        let cases = [
            (0, -1, 0..3),
            (-100, 100, 0..3),
            (1, 1, 1..2),
            (-2, -1, 1..3),
            (2, 1, 0..0),
            (3, 5, 0..0),
            (0, -4, 0..0),
            (i64::MIN, i64::MAX, 0..3),
            (i64::MAX, i64::MIN, 0..0),
        ];
        for (start, stop, expected) in cases {
            assert_eq!(span(3, start, stop), expected, "{start} {stop}");
        }
        assert_eq!(span(0, 0, -1), 0..0);
    }
}
