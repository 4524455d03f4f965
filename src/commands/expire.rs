//! Deadlines of keys.
//!
//! For: setting, taking away and telling when a key leaves. May touch: what `Cx` carries.
//! Always: a deadline is kept in unix milliseconds; a key whose deadline lies in the past leaves at once.

use crate::command::cursor::int;
use crate::command::row::{Acl, Command, Flags, Handler, cmd};
use crate::command::{Cx, KeyFlags, KeySpec, Outcome};
use crate::fault::Fault;
use crate::keyspace::{Db, Entry, Event};
use crate::resp::{Args, write_i64};

use super::generic::inspect;

/// The rows of this family.
pub const ROWS: &[Command] = &[
    sets("EXPIRE", expire)
        .args_since(&[("7.0.0", "condition")])
        .since("1.0.0")
        .history(&[("7.0.0", "Takes NX, XX, GT and LT.")])
        .doc("Lets a key leave after some seconds.", "key seconds [NX | XX | GT | LT]"),
    sets("EXPIREAT", expireat)
        .args_since(&[("7.0.0", "condition")])
        .since("1.2.0")
        .history(&[("7.0.0", "Takes NX, XX, GT and LT.")])
        .doc("Lets a key leave at a Unix time in seconds.", "key unix-time-seconds [NX | XX | GT | LT]"),
    tells("EXPIRETIME", expiretime)
        .since("7.0.0")
        .doc("Returns the Unix time in seconds at which a key leaves.", "key"),
    cmd("PERSIST", persist)
        .arity(2)
        .keys(CHANGED)
        .flags(Flags::WRITE.union(Flags::FAST))
        .acl(Acl::KEYSPACE)
        .since("2.2.0")
        .doc("Takes a key's deadline away.", "key"),
    sets("PEXPIRE", pexpire)
        .args_since(&[("7.0.0", "condition")])
        .since("2.6.0")
        .history(&[("7.0.0", "Takes NX, XX, GT and LT.")])
        .doc("Lets a key leave after some milliseconds.", "key milliseconds [NX | XX | GT | LT]"),
    sets("PEXPIREAT", pexpireat)
        .args_since(&[("7.0.0", "condition")])
        .since("2.6.0")
        .history(&[("7.0.0", "Takes NX, XX, GT and LT.")])
        .doc(
            "Lets a key leave at a Unix time in milliseconds.",
            "key unix-time-milliseconds [NX | XX | GT | LT]",
        ),
    tells("PEXPIRETIME", pexpiretime)
        .since("7.0.0")
        .doc("Returns the Unix time in milliseconds at which a key leaves.", "key"),
    tells("PTTL", pttl)
        .since("2.6.0")
        .history(&[("2.8.0", "Answers -2 for a key that does not exist.")])
        .doc("Returns the milliseconds a key has left.", "key")
        .tips(&["nondeterministic_output"]),
    tells("TTL", ttl)
        .since("1.0.0")
        .history(&[("2.8.0", "Answers -2 for a key that does not exist.")])
        .doc("Returns the seconds a key has left.", "key")
        .tips(&["nondeterministic_output"]),
];

const CHANGED: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))];
const SHOWN: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))];

/// A row of a command that sets a deadline.
const fn sets(name: &'static str, handler: Handler) -> Command {
    cmd(name, handler).arity(-3).keys(CHANGED).flags(Flags::WRITE.union(Flags::FAST)).acl(Acl::KEYSPACE)
}

/// A row of a command that tells a deadline.
const fn tells(name: &'static str, handler: Handler) -> Command {
    cmd(name, handler).arity(2).keys(SHOWN).flags(Flags::READONLY.union(Flags::FAST)).acl(Acl::KEYSPACE)
}

/// The unit of a time argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Seconds,
    Millis,
}

/// When a deadline is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    /// Only where there is none.
    nx: bool,
    /// Only where there is one.
    xx: bool,
    /// Only if it is later than the present one; none is latest.
    gt: bool,
    /// Only if it is earlier than the present one; none is latest.
    lt: bool,
}

impl Conditions {
    pub(super) fn parse<'a>(words: impl Iterator<Item = &'a [u8]>) -> Result<Conditions, Fault> {
        let mut conditions = Conditions::default();
        for word in words {
            let condition = match word.to_ascii_lowercase().as_slice() {
                b"nx" => &mut conditions.nx,
                b"xx" => &mut conditions.xx,
                b"gt" => &mut conditions.gt,
                b"lt" => &mut conditions.lt,
                _ => return Err(Fault::unsupported_option(word)),
            };
            *condition = true;
        }
        let Conditions { nx, xx, gt, lt } = conditions;
        if nx && (xx || gt || lt) {
            return Err(Fault::NX_WITH_OTHERS);
        }
        if gt && lt {
            return Err(Fault::GT_WITH_LT);
        }
        Ok(conditions)
    }

    /// Whether a key with the deadline `old` may get the deadline `new`, which may lie before all times.
    pub(super) fn allow(self, old: Option<u64>, new: i64) -> bool {
        match old.map(|old| i64::try_from(old).unwrap_or(i64::MAX)) {
            None => !self.xx && !self.gt,
            Some(old) => !self.nx && (!self.gt || new > old) && (!self.lt || new < old),
        }
    }
}

/// What became of a key that was to get a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    /// Nothing: it does not exist, or the conditions are against it.
    Not,
    /// It has the deadline.
    Done,
    /// The deadline lies in the past: it is gone.
    Gone,
}

fn expire(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let now_ms = cx.db.now_ms();
    set(cx, args, now_ms, Unit::Seconds)
}

fn expireat(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    set(cx, args, 0, Unit::Seconds)
}

fn expiretime(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    tell(cx, args, |deadline_ms, _| to_seconds(deadline_ms))
}

fn persist(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let mut key = cx.db.open(args.get(1));
    key.touch();
    let has_deadline = key.entry().is_some_and(|entry| entry.deadline_ms().is_some());
    if has_deadline {
        key.set_deadline(None);
        key.commit(Event::PERSIST);
    }
    cx.out.int(i64::from(has_deadline));
    Ok(Outcome::Done)
}

fn pexpire(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let now_ms = cx.db.now_ms();
    set(cx, args, now_ms, Unit::Millis)
}

fn pexpireat(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    set(cx, args, 0, Unit::Millis)
}

fn pexpiretime(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    tell(cx, args, |deadline_ms, _| deadline_ms)
}

fn pttl(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    tell(cx, args, u64::saturating_sub)
}

fn ttl(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    tell(cx, args, |deadline_ms, now_ms| to_seconds(deadline_ms.saturating_sub(now_ms)))
}

/// Milliseconds as seconds, rounded.
pub(super) fn to_seconds(ms: u64) -> u64 {
    ms.saturating_add(500) / 1000
}

/// Answers -2 for no key, -1 for no deadline, otherwise what `show` makes of the deadline and the present.
fn tell(cx: &mut Cx<'_>, args: Args<'_>, show: fn(u64, u64) -> u64) -> Result<Outcome, Fault> {
    let deadline_ms = inspect(&mut cx.db, args.get(1), |entry| entry.map(Entry::deadline_ms));
    cx.out.int(match deadline_ms {
        None => -2,
        Some(None) => -1,
        // A deadline is at most `i64::MAX`, and nothing that is shown exceeds it.
        Some(Some(deadline_ms)) => show(deadline_ms, cx.db.now_ms()) as i64,
    });
    Ok(Outcome::Done)
}

/// Sets the deadline `from_ms` plus the time in argument 2.
fn set(cx: &mut Cx<'_>, args: Args<'_>, from_ms: u64, unit: Unit) -> Result<Outcome, Fault> {
    let conditions = Conditions::parse(args.from(3).iter())?;
    let deadline = deadline(int(args.get(2))?, from_ms, unit);
    let deadline_ms = deadline.ok_or_else(|| Fault::invalid_expire(&cx.command.full_name))?;
    let done = set_deadline(&mut cx.db, args.get(1), deadline_ms, conditions);
    // PEXPIREAT says by itself what it does.
    let is_exact = from_ms == 0 && unit == Unit::Millis;
    if done == Set::Done && !is_exact && cx.db.logs() {
        let mut digits = Vec::new();
        write_i64(deadline_ms, &mut digits);
        let mut argv: Vec<&[u8]> = vec![b"PEXPIREAT", args.get(1), &digits];
        argv.extend(args.from(3).iter());
        cx.db.propagate(&argv);
    }
    cx.out.int(i64::from(done != Set::Not));
    Ok(Outcome::Done)
}

/// The deadline in unix milliseconds, before 1970 for negative ones; `None` when it does not fit.
fn deadline(time: i64, from_ms: u64, unit: Unit) -> Option<i64> {
    let ms = match unit {
        Unit::Seconds => time.checked_mul(1000)?,
        Unit::Millis => time,
    };
    ms.checked_add_unsigned(from_ms)
}

fn set_deadline(db: &mut Db<'_>, key: &[u8], deadline_ms: i64, conditions: Conditions) -> Set {
    let (now_ms, index) = (db.now_ms(), db.index());
    let mut guard = db.open(key);
    guard.touch();
    let allowed = guard.entry().is_some_and(|entry| conditions.allow(entry.deadline_ms(), deadline_ms));
    if !allowed {
        return Set::Not;
    }
    match u64::try_from(deadline_ms).ok().filter(|&at| at > now_ms) {
        Some(at) => {
            guard.set_deadline(Some(at));
            guard.commit(Event::EXPIRE);
            Set::Done
        }
        None => {
            let entry = guard.take();
            guard.commit_silently();
            // What remains of it looks like a key that expired by itself, and its removal is what is
            // propagated.
            db.record.expired(index, entry);
            db.record.rewritten = true;
            db.record.dirty += 1;
            Set::Gone
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::trial::Trial;

    fn parse(words: &str) -> Result<Conditions, Fault> {
        Conditions::parse(words.split_whitespace().map(str::as_bytes))
    }

    #[test]
    fn conditions_that_exclude_each_other_are_refused_after_unknown_words() {
        for words in ["nx xx", "NX gt", "lt nx", "xx nx gt"] {
            assert_eq!(parse(words), Err(Fault::NX_WITH_OTHERS), "{words}");
        }
        assert_eq!(parse("gt lt"), Err(Fault::GT_WITH_LT));
        assert_eq!(parse("nx gt FOO"), Err(Fault::unsupported_option(b"FOO")));
        assert_eq!(parse("XX Lt xx"), Ok(Conditions { xx: true, lt: true, ..Conditions::default() }));
    }

    #[test]
    fn no_deadline_counts_as_the_latest() {
        for (words, old, new, allowed) in [
            ("", None, -5, true),
            ("nx", None, 5, true),
            ("nx", Some(1), 5, false),
            ("xx", None, 5, false),
            ("gt", None, i64::MAX, false),
            ("lt", None, i64::MAX, true),
            ("xx lt", None, 5, false),
            ("gt", Some(5), 5, false),
            ("gt", Some(5), 6, true),
            ("lt", Some(5), 5, false),
            ("lt", Some(5), -6, true),
            ("xx gt", Some(5), 6, true),
        ] {
            assert_eq!(parse(words).unwrap().allow(old, new), allowed, "{words:?} {old:?} {new}");
        }
    }

    #[test]
    fn deadlines_that_do_not_fit_are_refused() {
        let now_ms = 1_795_244_031_957;
        for (time, from_ms, unit, expected) in [
            (1, now_ms, Unit::Seconds, Some(1_795_244_032_957)),
            (9_223_372_036_854_775, now_ms, Unit::Seconds, None),
            (9_223_372_036_854_775, 0, Unit::Seconds, Some(9_223_372_036_854_775_000)),
            (9_223_372_036_854_776, 0, Unit::Seconds, None),
            (-9_223_372_036_854_775, now_ms, Unit::Seconds, Some(-9_223_370_241_610_743_043)),
            (-9_223_372_036_854_776, now_ms, Unit::Seconds, None),
            (i64::MAX, now_ms, Unit::Millis, None),
            (i64::MAX, 0, Unit::Millis, Some(i64::MAX)),
            (i64::MIN, now_ms, Unit::Millis, Some(-9_223_370_241_610_743_851)),
        ] {
            assert_eq!(deadline(time, from_ms, unit), expected, "{time} {unit:?}");
        }
    }

    #[test]
    fn seconds_are_rounded() {
        assert_eq!([0, 499, 500, 1499, 1500].map(to_seconds), [0, 0, 1, 1, 2]);
        assert_eq!(to_seconds(i64::MAX as u64), 9_223_372_036_854_776);
    }

    #[test]
    fn a_deadline_in_the_past_removes_the_key_as_its_expiry_would() {
        let mut trial = Trial::new();
        trial.set(b"a", b"1", None);
        for past in [trial.now_ms as i64, 0, i64::MIN] {
            trial.set(b"a", b"1", None);
            trial.run(|db| assert_eq!(set_deadline(db, b"a", past, Conditions::default()), Set::Gone));
            assert_eq!(trial.events(), ["0:expired=a"]);
            assert_eq!((trial.record.dirty, trial.record.rewritten, trial.effects().len()), (1, true, 1));
            trial.run(|db| assert!(db.peek(b"a").is_none()));
        }
        trial.run(|db| assert_eq!(set_deadline(db, b"a", 0, Conditions::default()), Set::Not));
        assert_eq!((trial.record.dirty, trial.events()), (0, vec![]));
    }

    #[test]
    fn a_deadline_to_come_is_kept() {
        let mut trial = Trial::new();
        trial.set(b"a", b"1", None);
        trial.run(|db| assert_eq!(set_deadline(db, b"a", 1_000_001, Conditions::default()), Set::Done));
        assert_eq!((trial.record.dirty, trial.events()), (1, vec!["0:expire=a".into()]));
        let later = parse("gt").unwrap();
        trial.run(|db| assert_eq!(set_deadline(db, b"a", 1_000_001, later), Set::Not));
        trial.run(|db| assert_eq!(db.peek(b"a").and_then(Entry::deadline_ms), Some(1_000_001)));
        trial.now_ms += 1;
        trial.run(|db| assert_eq!(set_deadline(db, b"a", 2_000_000, Conditions::default()), Set::Not));
    }
}
