//! Strings that are numbers.
//!
//! For: INCR and its relatives. May touch: what `Cx` carries.
//! Always: a result that does not fit leaves the key as it was.

use std::ops::RangeInclusive;

use super::string::{CHANGES_IT, GROW_FAST, text};
use super::string_set::Lifetime;
use crate::command::cursor::int;
use crate::command::{Acl, Command, Cursor, Cx, Group, Outcome, cmd};
use crate::fault::Fault;
use crate::keyspace::{Deadline, Event, NewValue, ValueRef, Write};
use crate::resp::{Args, Out, Proto, parse_i64};
use crate::value::long_double::LongDouble;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    counter("DECR", decr)
        .arity(2)
        .doc("Takes one from the number that a key holds; a missing key is zero.", "key"),
    counter("DECRBY", decrby)
        .arity(3)
        .doc("Takes an integer from the number that a key holds; a missing key is zero.", "key decrement"),
    counter("INCR", incr)
        .arity(2)
        .doc("Adds one to the number that a key holds; a missing key is zero.", "key"),
    counter("INCRBY", incrby)
        .arity(3)
        .doc("Adds an integer to the number that a key holds; a missing key is zero.", "key increment"),
    counter("INCRBYFLOAT", incrbyfloat).arity(3).since("2.6.0").doc(
        "Adds a floating point number to the number that a key holds; a missing key is zero.",
        "key increment:double",
    ),
    counter("INCREX", increx).arity(-2).since("8.8.0").doc(
        "Adds to the number that a key holds, within bounds if wanted, and changes when the key expires.",
        "key [BYFLOAT increment:double | BYINT increment] [LBOUND lowerbound:string] \
         [UBOUND upperbound:string] [SATURATE] [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
         PXAT unix-time-milliseconds | PERSIST] [ENX]",
    ),
];

const fn counter(name: &'static str, handler: crate::command::Handler) -> Command {
    cmd(name, handler).flags(GROW_FAST).acl(Acl::STRING).keys(CHANGES_IT).group(Group::String)
}

fn decr(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    add(cx, args.get(1), -1)
}

fn decrby(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let by = int(args.get(2))?.checked_neg().ok_or(Fault::DECREMENT_OVERFLOW)?;
    add(cx, args.get(1), by)
}

fn incr(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    add(cx, args.get(1), 1)
}

fn incrby(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let by = int(args.get(2))?;
    add(cx, args.get(1), by)
}

fn incrbyfloat(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let key = args.get(1);
    let mut w = cx.db.open(key);
    // The type of the value is judged before the increment.
    let old = float_at(&w)?;
    let by = LongDouble::parse(args.get(2)).ok_or(Fault::NOT_A_FLOAT)?;
    let new = old.add(by);
    if new.is_nan_or_infinite() {
        return Err(Fault::NAN_OR_INFINITY);
    }
    let new = new.to_human();
    w.set(NewValue::Bytes(new.as_bytes()), Deadline::Keep);
    w.commit(Event::INCRBYFLOAT);
    if cx.db.logs() {
        cx.db.propagate(&[b"SET", key, new.as_bytes(), b"KEEPTTL"]);
    }
    cx.out.bulk(new.as_bytes());
    Ok(Outcome::Done)
}

fn increx(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let options = IncrExOptions::parse(Cursor::new(args, 2))?;
    let now_ms = cx.db.now_ms();
    let deadline = options.lifetime.deadline(now_ms, "increx")?;
    let key = args.get(1);
    let step = options.step()?;
    let mut w = cx.db.open(key);
    let has_deadline = w.entry().is_some_and(|entry| entry.deadline_ms().is_some());
    let deadline = if options.only_fresh && has_deadline { Deadline::Keep } else { deadline };
    let mut digits = itoa::Buffer::new();
    let float;
    let (new, event) = match step {
        Step::Int { by, bounds } => {
            let old = int_at(&w)?;
            let Some((new, applied)) = bounded_sum(old, by, &bounds, options.saturates)? else {
                reply_ints(cx.out, old, 0);
                return Ok(Outcome::Done);
            };
            reply_ints(cx.out, new, applied);
            (digits.format(new).as_bytes(), Event::INCRBY)
        }
        Step::Float { by, lower, upper } => {
            let old = float_at(&w)?;
            let Some(new) = bounded_float_sum(old, by, lower, upper, options.saturates)? else {
                reply_floats(cx.out, &old.to_human(), "0");
                return Ok(Outcome::Done);
            };
            float = new.to_human();
            reply_floats(cx.out, &float, &new.add(old.negate()).to_human());
            (float.as_bytes(), Event::INCRBYFLOAT)
        }
    };
    if matches!(deadline, Deadline::At(at) if at <= now_ms) {
        drop(w);
        remove_expired(cx, key);
        return Ok(Outcome::Done);
    }
    w.set(parse_i64(new).map_or(NewValue::Bytes(new), NewValue::Int), deadline);
    let follows = match deadline {
        Deadline::At(_) => Some(Event::EXPIRE),
        Deadline::Clear if has_deadline => Some(Event::PERSIST),
        Deadline::Clear | Deadline::Keep => None,
    };
    if follows.is_some() {
        w.also(event);
    }
    w.commit(follows.unwrap_or(event));
    propagate_set(cx, key, new, deadline);
    Ok(Outcome::Done)
}

#[inline]
fn add(cx: &mut Cx<'_>, key: &[u8], by: i64) -> Result<Outcome, Fault> {
    let new = match cx.db.change_int(key, Event::INCRBY, |old| old.checked_add(by)) {
        Some(new) => new,
        None => add_slowly(cx, key, by)?,
    };
    cx.out.int(new);
    Ok(Outcome::Done)
}

#[inline(never)]
fn add_slowly(cx: &mut Cx<'_>, key: &[u8], by: i64) -> Result<i64, Fault> {
    let mut w = cx.db.open(key);
    let Some(new) = int_at(&w)?.checked_add(by) else { return Err(Fault::WOULD_OVERFLOW) };
    w.set_int(new);
    w.commit(Event::INCRBY);
    Ok(new)
}

/// The integer that the key holds; zero for a missing key.
#[inline]
fn int_at(w: &Write<'_>) -> Result<i64, Fault> {
    match w.string()? {
        Some(ValueRef::Int(int)) => Ok(int),
        Some(ValueRef::Bytes(bytes)) => int(bytes),
        Some(ValueRef::Shared(_)) => Err(Fault::NOT_AN_INTEGER),
        None => Ok(0),
    }
}

/// The number that the key holds; zero for a missing key.
fn float_at(w: &Write<'_>) -> Result<LongDouble, Fault> {
    match w.string()? {
        Some(value) => LongDouble::parse(text(value, &mut itoa::Buffer::new())).ok_or(Fault::NOT_A_FLOAT),
        None => Ok(LongDouble::parse(b"0").expect("zero is a number")),
    }
}

/// The largest finite number of INCREX BYFLOAT.
const LARGEST: &[u8] = b"1.18973149535723176502e+4932";

struct IncrExOptions<'a> {
    by: By<'a>,
    lower: Option<&'a [u8]>,
    upper: Option<&'a [u8]>,
    saturates: bool,
    lifetime: Lifetime<'a>,
    /// ENX: a deadline that is there stays.
    only_fresh: bool,
}

#[derive(Clone, Copy)]
enum By<'a> {
    One,
    Int(&'a [u8]),
    Float(&'a [u8]),
}

/// What INCREX adds, and within which bounds the result has to be.
enum Step {
    Int { by: i64, bounds: RangeInclusive<i64> },
    Float { by: LongDouble, lower: Option<LongDouble>, upper: Option<LongDouble> },
}

impl<'a> IncrExOptions<'a> {
    /// Every option may be given once.
    fn parse(mut cursor: Cursor<'a>) -> Result<IncrExOptions<'a>, Fault> {
        let mut options = IncrExOptions {
            by: By::One,
            lower: None,
            upper: None,
            saturates: false,
            lifetime: Lifetime::Unsaid,
            only_fresh: false,
        };
        while !cursor.is_end() {
            let is_first = if cursor.word("BYINT") {
                matches!(std::mem::replace(&mut options.by, By::Int(cursor.need()?)), By::One)
            } else if cursor.word("BYFLOAT") {
                matches!(std::mem::replace(&mut options.by, By::Float(cursor.need()?)), By::One)
            } else if cursor.word("LBOUND") {
                options.lower.replace(cursor.need()?).is_none()
            } else if cursor.word("UBOUND") {
                options.upper.replace(cursor.need()?).is_none()
            } else if cursor.word("SATURATE") {
                !std::mem::replace(&mut options.saturates, true)
            } else if cursor.word("ENX") {
                !std::mem::replace(&mut options.only_fresh, true)
            } else {
                let said = options.lifetime;
                let is_known = if cursor.word("PERSIST") {
                    options.lifetime = Lifetime::Persist;
                    true
                } else {
                    options.lifetime.read_expiry(&mut cursor)?
                };
                is_known && said == Lifetime::Unsaid
            };
            if !is_first {
                return Err(Fault::SYNTAX);
            }
        }
        match options.lifetime {
            Lifetime::Persist if options.only_fresh => Err(Fault::SYNTAX),
            Lifetime::Unsaid if options.only_fresh => Err(Fault::ENX_NEEDS_EXPIRY),
            _ => Ok(options),
        }
    }

    fn step(&self) -> Result<Step, Fault> {
        if let By::Float(by) = self.by {
            let bound = |bound: Option<&[u8]>, fault: Fault| match bound {
                None => Ok(None),
                Some(text) => LongDouble::parse(text).map(Some).ok_or(fault),
            };
            let by = LongDouble::parse(by).ok_or(Fault::INCREMENT_NOT_FLOAT)?;
            let lower = bound(self.lower, Fault::LBOUND_NOT_FLOAT)?;
            let upper = bound(self.upper, Fault::UBOUND_NOT_FLOAT)?;
            if matches!((lower, upper), (Some(lower), Some(upper)) if upper.is_below(lower)) {
                return Err(Fault::BOUNDS_CROSSED);
            }
            return Ok(Step::Float { by, lower, upper });
        }
        let number = |text: Option<&[u8]>, other: i64, fault: Fault| match text {
            None => Ok(other),
            Some(text) => parse_i64(text).ok_or(fault),
        };
        let by = if let By::Int(by) = self.by { Some(by) } else { None };
        let by = number(by, 1, Fault::INCREMENT_NOT_INTEGER)?;
        let lower = number(self.lower, i64::MIN, Fault::LBOUND_NOT_INTEGER)?;
        let upper = number(self.upper, i64::MAX, Fault::UBOUND_NOT_INTEGER)?;
        if lower > upper { Err(Fault::BOUNDS_CROSSED) } else { Ok(Step::Int { by, bounds: lower..=upper }) }
    }
}

/// The sum within the bounds and what was really added; `None` when it lies outside and is not to be brought
/// back.
fn bounded_sum(
    old: i64,
    by: i64,
    bounds: &RangeInclusive<i64>,
    saturates: bool,
) -> Result<Option<(i64, i64)>, Fault> {
    let sum = i128::from(old) + i128::from(by);
    let new = sum.clamp(i128::from(*bounds.start()), i128::from(*bounds.end()));
    if new != sum && !saturates {
        return Ok(None);
    }
    let new = i64::try_from(new).expect("the bounds are i64");
    let applied = new.checked_sub(old).ok_or(Fault::WOULD_OVERFLOW)?;
    Ok(Some((new, applied)))
}

/// The sum within the bounds; `None` when it lies outside and is not to be brought back.
fn bounded_float_sum(
    old: LongDouble,
    by: LongDouble,
    lower: Option<LongDouble>,
    upper: Option<LongDouble>,
    saturates: bool,
) -> Result<Option<LongDouble>, Fault> {
    let sum = old.add(by);
    if by.is_nan_or_infinite() || old.is_nan_or_infinite() {
        return Err(Fault::NAN_OR_INFINITY);
    }
    let largest = LongDouble::parse(LARGEST).expect("a number");
    let (lower, upper) = (lower.unwrap_or(largest.negate()), upper.unwrap_or(largest));
    let nearest = if sum.is_below(lower) {
        lower
    } else if upper.is_below(sum) {
        upper
    } else {
        return Ok(Some(sum));
    };
    match saturates {
        false => Ok(None),
        true if nearest.is_nan_or_infinite() || nearest.add(old.negate()).is_nan_or_infinite() => {
            Err(Fault::NAN_OR_INFINITY)
        }
        true => Ok(Some(nearest)),
    }
}

fn reply_ints(out: &mut Out, value: i64, applied: i64) {
    out.array(2);
    out.int(value);
    out.int(applied);
}

/// Both numbers are longer than an `f64` tells, so they are written as they are stored.
fn reply_floats(out: &mut Out, value: &str, applied: &str) {
    out.array(2);
    for number in [value, applied] {
        if out.proto() == Proto::Resp3 {
            out.raw(b",");
            out.raw(number.as_bytes());
            out.raw(b"\r\n");
        } else {
            out.bulk(number.as_bytes());
        }
    }
}

/// INCREX with a time that has passed already.
fn remove_expired(cx: &mut Cx<'_>, key: &[u8]) {
    let mut w = cx.db.open(key);
    if !w.exists() {
        return;
    }
    w.remove();
    w.commit(Event::DEL);
    if cx.db.logs() {
        cx.db.propagate_removal(key);
    }
}

/// INCREX is propagated as what it set.
fn propagate_set(cx: &mut Cx<'_>, key: &[u8], value: &[u8], deadline: Deadline) {
    if !cx.db.logs() {
        return;
    }
    match deadline {
        Deadline::Keep => cx.db.propagate(&[b"SET", key, value, b"KEEPTTL"]),
        Deadline::Clear => cx.db.propagate(&[b"SET", key, value]),
        Deadline::At(at) => {
            cx.db.propagate(&[b"SET", key, value, b"PXAT", itoa::Buffer::new().format(at).as_bytes()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_outside_its_bounds_is_refused_or_brought_to_the_nearer_one() {
        let sum = |old, by, bounds, saturates| bounded_sum(old, by, &bounds, saturates).unwrap();
        assert_eq!(sum(10, 5, 0..=15, false), Some((15, 5)));
        assert_eq!(sum(10, 6, 0..=15, false), None);
        assert_eq!(sum(10, 6, 0..=15, true), Some((15, 5)));
        assert_eq!(sum(50, 5, 0..=30, true), Some((30, -20)));
        assert_eq!(sum(i64::MAX, 1, i64::MIN..=i64::MAX, false), None);
        assert_eq!(sum(i64::MAX - 7, i64::MAX, i64::MIN..=i64::MAX, true), Some((i64::MAX, 7)));
        let far = bounded_sum(i64::MAX, -1, &(i64::MIN..=i64::MIN), true);
        assert_eq!(far, Err(Fault::WOULD_OVERFLOW));
    }

    #[test]
    fn floats_are_bounded_like_integers() {
        let float = |text: &str| LongDouble::parse(text.as_bytes()).unwrap();
        let sum = |old, by, lower: Option<&str>, upper: Option<&str>, saturates| {
            bounded_float_sum(float(old), float(by), lower.map(float), upper.map(float), saturates)
                .map(|sum| sum.map(LongDouble::to_human))
        };
        assert_eq!(sum("10", "5.5", None, Some("15.5"), false), Ok(Some("15.5".into())));
        assert_eq!(sum("10", "5.75", None, Some("15.5"), false), Ok(None));
        assert_eq!(sum("10", "-10", Some("5.5"), None, true), Ok(Some("5.5".into())));
        assert_eq!(sum("1e4932", "1e4932", None, None, false), Ok(None));
        assert_eq!(sum("10", "inf", None, None, true), Err(Fault::NAN_OR_INFINITY));
        assert_eq!(sum("1e4932", "1e4932", None, Some("3"), true), Ok(Some("3".into())));
    }
}
