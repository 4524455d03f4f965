//! Deadlines of hash fields.
//!
//! For: setting, taking away and telling when fields leave their hash. May touch: what `Cx` carries.
//! Always: a deadline is kept in unix milliseconds; a field whose deadline has come leaves at once, and the
//! key with its last field.

use super::expire::{Conditions, to_seconds};
use super::hash::{CHANGES, READ_FAST, READS, WRITE_FAST, hash, limits};
use super::string_set::Unit;
use crate::command::{Command, Cx, Handler, Outcome, int};
use crate::fault::Fault;
use crate::keyspace::{Db, Event};
use crate::resp::Args;
use crate::value::Hash;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    sets("HEXPIRE", hexpire).doc(
        "Lets fields leave after some seconds.",
        "key seconds [NX | XX | GT | LT] FIELDS <numfields:integer field [field ...]>",
    ),
    sets("HEXPIREAT", hexpireat).args_since(&[("9.0.0", "condition")]).doc(
        "Lets fields leave at a Unix time in seconds.",
        "key unix-time-seconds:integer [NX | XX | GT | LT] FIELDS <numfields:integer field [field ...]>",
    ),
    tells("HEXPIRETIME", hexpiretime).doc("Returns the Unix times in seconds at which fields leave.", LISTED),
    hash("HPERSIST", hpersist, WRITE_FAST, CHANGES)
        .arity(-5)
        .since("9.0.0")
        .cost(COST)
        .doc("Takes the deadlines of fields away.", LISTED),
    sets("HPEXPIRE", hpexpire).args_since(&[("9.0.0", "condition")]).doc(
        "Lets fields leave after some milliseconds.",
        "key milliseconds [NX | XX | GT | LT] FIELDS <numfields:integer field [field ...]>",
    ),
    sets("HPEXPIREAT", hpexpireat).args_since(&[("9.0.0", "condition")]).doc(
        "Lets fields leave at a Unix time in milliseconds.",
        "key unix-time-milliseconds:integer [NX | XX | GT | LT] FIELDS <numfields:integer field [field ...]>",
    ),
    tells("HPEXPIRETIME", hpexpiretime)
        .doc("Returns the Unix times in milliseconds at which fields leave.", LISTED),
    tells("HPTTL", hpttl).doc("Returns the milliseconds that fields have left.", LISTED),
    tells("HTTL", httl).doc("Returns the seconds that fields have left.", LISTED),
];

const LISTED: &str = "key FIELDS <numfields:integer field [field ...]>";
const COST: &str = "O(N), N fields named.";

/// A row of a command that sets deadlines.
const fn sets(name: &'static str, handler: Handler) -> Command {
    hash(name, handler, WRITE_FAST, CHANGES).arity(-6).since("9.0.0").cost(COST)
}

/// A row of a command that tells deadlines.
const fn tells(name: &'static str, handler: Handler) -> Command {
    hash(name, handler, READ_FAST, READS).arity(-5).since("9.0.0").cost(COST)
}

/// What these commands say of a field that is not there.
const NO_FIELD: i64 = -2;
/// What these commands say of a field without a deadline.
const NO_DEADLINE: i64 = -1;

fn hexpire(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    set(cx, args, Unit::Seconds)
}

fn hexpireat(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    set(cx, args, Unit::UnixSeconds)
}

fn hexpiretime(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    tell(cx, args, |deadline_ms, _| to_seconds(deadline_ms))
}

fn hpersist(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let fields = fields_at(args, 2, Fault::NUMFIELDS)?;
    let seed = limits(cx).seed;
    let mut w = cx.db.open(args.get(1));
    let is_there = w.view::<Hash>()?.is_some();
    cx.out.array(fields.len());
    if !is_there {
        fields.iter().for_each(|_| cx.out.int(NO_FIELD));
        return Ok(Outcome::Done);
    }
    let out = &mut *cx.out;
    let mut changes = 0;
    w.update(|hash: &mut Hash| {
        for field in fields.iter() {
            out.int(match hash.as_ref().deadline(field) {
                None => NO_FIELD,
                Some(None) => NO_DEADLINE,
                Some(Some(_)) => {
                    hash.set_deadline(field, None, seed);
                    changes += 1;
                    1
                }
            });
        }
    });
    match changes {
        0 => w.abandon_unchanged(),
        changes => w.commit_counting(Event::HPERSIST, changes),
    }
    Ok(Outcome::Done)
}

fn hpexpire(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    set(cx, args, Unit::Milliseconds)
}

fn hpexpireat(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    set(cx, args, Unit::UnixMilliseconds)
}

fn hpexpiretime(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    tell(cx, args, |deadline_ms, _| deadline_ms)
}

fn hpttl(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    tell(cx, args, u64::saturating_sub)
}

fn httl(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    tell(cx, args, |deadline_ms, now_ms| to_seconds(deadline_ms.saturating_sub(now_ms)))
}

/// Answers -2 for no field, -1 for no deadline, otherwise what `show` makes of the deadline and the present.
fn tell(cx: &mut Cx<'_>, args: Args<'_>, show: fn(u64, u64) -> u64) -> Result<Outcome, Fault> {
    let fields = fields_at(args, 2, Fault::SYNTAX)?;
    let now_ms = cx.db.now_ms();
    let hash = cx.db.read_as::<Hash>(args.get(1))?;
    cx.out.array(fields.len());
    for field in fields.iter() {
        cx.out.int(match hash.and_then(|hash| hash.deadline(field)) {
            None => NO_FIELD,
            Some(None) => NO_DEADLINE,
            // A deadline is at most `i64::MAX`, and nothing that is shown exceeds it.
            Some(Some(deadline_ms)) => show(deadline_ms, now_ms) as i64,
        });
    }
    Ok(Outcome::Done)
}

/// Gives fields the deadline in argument 2.
fn set(cx: &mut Cx<'_>, args: Args<'_>, unit: Unit) -> Result<Outcome, Fault> {
    let word = fields_word(args, 3).ok_or(Fault::NUMFIELDS)?;
    let conditions = Conditions::parse(args.from(3).iter().take(word - 3))?;
    let fields = fields_at(args, word, Fault::NUMFIELDS)?;
    let now_ms = cx.db.now_ms();
    let at = deadline_ms(unit, args.get(2), now_ms, &cx.command.full_name)?;
    let seed = limits(cx).seed;
    let key = args.get(1);
    let mut w = cx.db.open(key);
    let is_there = w.view::<Hash>()?.is_some();
    cx.out.array(fields.len());
    if !is_there {
        fields.iter().for_each(|_| cx.out.int(NO_FIELD));
        return Ok(Outcome::Done);
    }
    let out = &mut *cx.out;
    let (mut set, mut gone) = (0, Vec::new());
    w.update(|hash: &mut Hash| {
        for field in fields.iter() {
            out.int(match hash.as_ref().deadline(field) {
                None => NO_FIELD,
                Some(old) if !conditions.allow(old, at as i64) => 0,
                Some(_) if at <= now_ms => {
                    hash.remove(field);
                    gone.push(field);
                    2
                }
                Some(_) => {
                    hash.set_deadline(field, Some(at), seed);
                    set += 1;
                    1
                }
            });
        }
    });
    if !gone.is_empty() {
        w.commit_counting(Event::HEXPIRED, gone.len() as u64);
        expired_at_once(&mut cx.db, key, &gone);
    } else if set > 0 {
        w.commit_counting(Event::HEXPIRE, set);
        // HPEXPIREAT says by itself what it does.
        if unit != Unit::UnixMilliseconds && cx.db.logs() {
            let at = millis(at);
            let mut argv: Vec<&[u8]> = vec![b"HPEXPIREAT", key, &at];
            argv.extend(args.from(3).iter());
            cx.db.propagate(&argv);
        }
    } else {
        w.abandon_unchanged();
    }
    Ok(Outcome::Done)
}

/// Fields that left because their new deadline had passed already count as expired, and that they are gone is
/// what is propagated.
pub(super) fn expired_at_once(db: &mut Db<'_>, key: &[u8], gone: &[&[u8]]) {
    db.record.counts.expired_fields += gone.len() as u64;
    if db.logs() && !gone.is_empty() {
        let mut argv: Vec<&[u8]> = vec![b"HDEL", key];
        argv.extend(gone);
        db.propagate(&argv);
    }
}

/// The place of the word FIELDS from argument `from` on, if something follows it.
pub(super) fn fields_word(args: Args<'_>, from: usize) -> Option<usize> {
    (from..args.len().saturating_sub(1)).find(|&at| args.get(at).eq_ignore_ascii_case(b"FIELDS"))
}

/// The fields that follow the word FIELDS at argument `word` and their number, which has to be true.
///
/// # Errors
/// [`Fault::SYNTAX`] without the word, [`Fault::NOT_AN_INTEGER`], or `mismatch`.
pub(super) fn fields_at(args: Args<'_>, word: usize, mismatch: Fault) -> Result<Args<'_>, Fault> {
    if fields_word(args, word) != Some(word) {
        return Err(Fault::SYNTAX);
    }
    let fields = args.from(word + 2);
    let count = int(args.get(word + 1))?;
    if count > 0 && count as usize == fields.len() { Ok(fields) } else { Err(mismatch) }
}

/// The unix milliseconds that `text` means. In contrast to those of keys, a deadline of zero and a time to
/// live of zero are allowed: they have passed already.
///
/// # Errors
/// [`Fault::NOT_AN_INTEGER`], [`Fault::invalid_expire`].
pub(super) fn deadline_ms(unit: Unit, text: &[u8], now_ms: u64, command: &str) -> Result<u64, Fault> {
    let time = int(text)?;
    let scale = if matches!(unit, Unit::Seconds | Unit::UnixSeconds) { 1000 } else { 1 };
    let since = if matches!(unit, Unit::Seconds | Unit::Milliseconds) { now_ms as i64 } else { 0 };
    let at = time.checked_mul(scale).and_then(|ms| ms.checked_add(since));
    at.filter(|_| time >= 0).map(i64::cast_unsigned).ok_or_else(|| Fault::invalid_expire(command))
}

/// Milliseconds as text.
pub(super) fn millis(ms: u64) -> Vec<u8> {
    itoa::Buffer::new().format(ms).as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_that_do_not_fit_or_lie_before_all_times_are_refused() {
        let now_ms = 1_795_244_031_957;
        for (unit, text, expected) in [
            (Unit::Seconds, "0", Some(now_ms)),
            (Unit::Seconds, "1", Some(1_795_244_032_957)),
            (Unit::Seconds, "-1", None),
            (Unit::Seconds, "9223372036854775", None),
            (Unit::UnixSeconds, "0", Some(0)),
            (Unit::UnixSeconds, "9223372036854775", Some(9_223_372_036_854_775_000)),
            (Unit::UnixSeconds, "9223372036854776", None),
            (Unit::Milliseconds, "-5", None),
            (Unit::Milliseconds, "9223372036854775807", None),
            (Unit::UnixMilliseconds, "9223372036854775807", Some(i64::MAX as u64)),
            (Unit::UnixMilliseconds, "-1", None),
        ] {
            let fault = || Fault::invalid_expire("hexpire");
            let got = deadline_ms(unit, text.as_bytes(), now_ms, "hexpire");
            assert_eq!(got, expected.ok_or_else(fault), "{unit:?} {text}");
        }
        assert_eq!(deadline_ms(Unit::Seconds, b"x", now_ms, "hexpire"), Err(Fault::NOT_AN_INTEGER));
    }
}
