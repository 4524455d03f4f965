//! Setting strings with a condition or a lifetime.
//!
//! For: SET and its relatives, and the expiry options they share with others. May touch: what `Cx` carries.
//! Always: all options are read, and a relative time has become an absolute one, before the key is looked up.

use smallvec::SmallVec;

use super::string::{CHANGES_IT, GROW, GROW_FAST, Test, WRITE_FAST};
use crate::command::cursor::{int, reply_value, string_value};
use crate::command::{Acl, Command, Cursor, Cx, Group, KeyFlags, KeySpec, Outcome, cmd};
use crate::fault::Fault;
use crate::keyspace::{Db, Deadline, Event, Write};
use crate::resp::Args;

const SETS_IT: &[KeySpec] = &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE))];

/// The rows of this file.
pub const ROWS: &[Command] = &[
    cmd("GETEX", getex)
        .arity(-2)
        .flags(WRITE_FAST)
        .acl(Acl::STRING)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))
            .notes("RW and UPDATE because it changes the TTL")])
        .group(Group::String)
        .since("6.2.0")
        .doc(
            "Answers the string that a key holds and changes when the key expires.",
            "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | \
             PERSIST]",
        ),
    cmd("GETSET", getset)
        .arity(3)
        .flags(GROW_FAST)
        .acl(Acl::STRING)
        .keys(CHANGES_IT)
        .group(Group::String)
        .doc("Sets the string of a key and answers the one that was there.", "key value"),
    cmd("MSETEX", msetex)
        .arity(-4)
        .flags(GROW.union(crate::command::Flags::MOVABLE_KEYS))
        .acl(Acl::STRING)
        .keys(&[KeySpec::counted_by(1, 2, KeyFlags::OW.union(KeyFlags::UPDATE))])
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .group(Group::String)
        .since("9.1.0")
        .cost("O(N), N keys.")
        .doc(
            "Sets the strings of several keys at one moment, on a condition and for a time if wanted.",
            "numkeys <key value> [key value ...] [NX | XX] [EX seconds | PX milliseconds | \
             EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
        ),
    cmd("PSETEX", psetex)
        .arity(4)
        .flags(GROW)
        .acl(Acl::STRING)
        .keys(SETS_IT)
        .group(Group::String)
        .since("2.6.0")
        .doc("Sets the string of a key and its lifetime in milliseconds.", "key milliseconds value"),
    cmd("SET", set)
        .args_since(&[
            ("2.6.12", "nx xx seconds milliseconds"),
            ("6.0.0", "keepttl"),
            ("6.2.0", "get unix-time-seconds unix-time-milliseconds"),
        ])
        .arity(-3)
        .flags(GROW)
        .acl(Acl::STRING)
        .keys(&[KeySpec::one(
            1,
            KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE).union(KeyFlags::VARIABLE),
        )
        .notes("RW and ACCESS due to the optional `GET` argument")])
        .group(Group::String)
        .history(&[
            ("2.6.12", "Takes EX, PX, NX and XX."),
            ("6.0.0", "Takes KEEPTTL."),
            ("6.2.0", "Takes GET, EXAT and PXAT."),
            ("7.0.0", "Takes NX together with GET."),
            ("8.1.0", "Takes IFEQ."),
        ])
        .doc(
            "Sets the string of a key, whatever the key held before.",
            "key value [NX | XX | IFEQ comparison-value | IFNE comparison-value | IFDEQ digest | \
             IFDNE digest] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
             PXAT unix-time-milliseconds | KEEPTTL]",
        ),
    cmd("SETEX", setex)
        .arity(4)
        .flags(GROW)
        .acl(Acl::STRING)
        .keys(SETS_IT)
        .group(Group::String)
        .since("2.0.0")
        .doc("Sets the string of a key and its lifetime in seconds.", "key seconds value"),
    cmd("SETNX", setnx)
        .arity(3)
        .flags(GROW_FAST)
        .acl(Acl::STRING)
        .keys(&[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::INSERT))])
        .group(Group::String)
        .doc("Sets the string of a key that does not exist yet.", "key value"),
];

fn getex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let mut cursor = Cursor::new(args, 2);
    let mut lifetime = Lifetime::Unsaid;
    while !cursor.is_end() {
        if cursor.word("PERSIST") {
            lifetime.say(Lifetime::Persist)?;
        } else if !lifetime.read_expiry(&mut cursor)? {
            return Err(Fault::SYNTAX);
        }
    }
    let now_ms = cx.db.now_ms();
    let deadline = lifetime.deadline(now_ms, "getex")?;
    let key = args.get(1);
    let mut w = cx.db.open(key);
    w.count_lookup();
    match w.string()? {
        Some(value) => reply_value(cx.out, value),
        None => {
            cx.out.null();
            return Ok(Outcome::Done);
        }
    }
    match deadline {
        Deadline::Keep => {}
        Deadline::At(at) if at <= now_ms => {
            w.remove();
            w.commit(Event::EXPIRED);
            expired_at_once(&mut cx.db, key);
        }
        Deadline::At(at) => {
            w.set_deadline(Some(at));
            w.commit(Event::EXPIRE);
            if cx.db.logs() {
                cx.db.propagate(&[b"PEXPIREAT", key, itoa::Buffer::new().format(at).as_bytes()]);
            }
        }
        Deadline::Clear if w.entry().is_some_and(|entry| entry.deadline_ms().is_some()) => {
            w.set_deadline(None);
            w.commit(Event::PERSIST);
            if cx.db.logs() {
                cx.db.propagate(&[b"PERSIST", key]);
            }
        }
        Deadline::Clear => {}
    }
    Ok(Outcome::Done)
}

fn getset(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (key, value) = (args.get(1), args.get(2));
    let mut w = cx.db.open(key);
    w.count_lookup();
    match w.string()? {
        Some(old) => reply_value(cx.out, old),
        None => cx.out.null(),
    }
    w.set(string_value(&args, 2), Deadline::Clear);
    w.commit(Event::SET);
    if cx.db.logs() {
        cx.db.propagate(&[b"SET", key, value]);
    }
    Ok(Outcome::Done)
}

fn msetex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let count =
        int(args.get(1)).ok().filter(|count| (1..=MAX_NUMKEYS).contains(count)).ok_or(Fault::NUMKEYS)?;
    let first_option = 2 + 2 * count as usize;
    if args.len() < first_option {
        return Err(Fault::SYNTAX);
    }
    let mut cursor = Cursor::new(args, first_option);
    let (mut condition, mut lifetime) = (Condition::Always, Lifetime::Unsaid);
    while !cursor.is_end() {
        if cursor.word("NX") {
            condition.say(Condition::Absent)?;
        } else if cursor.word("XX") {
            condition.say(Condition::Present)?;
        } else if cursor.word("KEEPTTL") {
            lifetime.say(Lifetime::Keep)?;
        } else if !lifetime.read_expiry(&mut cursor)? {
            return Err(Fault::SYNTAX);
        }
    }
    let deadline = lifetime.deadline_when_set(cx.db.now_ms(), "msetex")?;
    let mut keys = (2..first_option).step_by(2);
    let is_met = match condition {
        Condition::Absent => keys.all(|at| cx.db.peek(args.get(at)).is_none()),
        Condition::Present => keys.all(|at| cx.db.peek(args.get(at)).is_some()),
        _ => true,
    };
    if is_met {
        for at in (2..first_option).step_by(2) {
            let mut w = cx.db.open(args.get(at));
            w.set(string_value(&args, at + 1), deadline);
            commit_set(w, deadline);
        }
        propagate_msetex(cx, &args, first_option, lifetime, deadline);
    }
    cx.out.int(i64::from(is_met));
    Ok(Outcome::Done)
}

fn psetex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    set_for(cx, &args, Unit::Milliseconds, "psetex")
}

fn set(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    if args.len() > 3 {
        return set_with_options(cx, &args);
    }
    let mut w = cx.db.open(args.get(1));
    w.set(string_value(&args, 2), Deadline::Clear);
    w.commit(Event::SET);
    cx.out.ok();
    Ok(Outcome::Done)
}

fn setex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    set_for(cx, &args, Unit::Seconds, "setex")
}

fn setnx(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let mut w = cx.db.open(args.get(1));
    let is_free = !w.exists();
    if is_free {
        w.set(string_value(&args, 2), Deadline::Clear);
        w.commit(Event::SET);
    }
    cx.out.int(i64::from(is_free));
    Ok(Outcome::Done)
}

/// Most keys that MSETEX takes.
const MAX_NUMKEYS: i64 = i32::MAX as i64;

/// How an expiry option gives its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
    UnixSeconds,
    UnixMilliseconds,
}

impl Unit {
    const WORDS: [(&'static str, Unit); 4] = [
        ("EX", Unit::Seconds),
        ("PX", Unit::Milliseconds),
        ("EXAT", Unit::UnixSeconds),
        ("PXAT", Unit::UnixMilliseconds),
    ];

    /// The unix milliseconds that `text` means.
    fn deadline_ms(self, text: &[u8], now_ms: u64, command: &str) -> Result<u64, Fault> {
        let time = int(text)?;
        let scale = if matches!(self, Unit::Seconds | Unit::UnixSeconds) { 1000 } else { 1 };
        let since = if matches!(self, Unit::Seconds | Unit::Milliseconds) { now_ms as i64 } else { 0 };
        let at = time.checked_mul(scale).and_then(|ms| ms.checked_add(since));
        at.filter(|_| time > 0).map(|at| at as u64).ok_or_else(|| Fault::invalid_expire(command))
    }
}

/// What the options say about when a key expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime<'a> {
    /// Nothing.
    Unsaid,
    /// As before.
    Keep,
    /// Never.
    Persist,
    /// At a time.
    Expiry(Unit, &'a [u8]),
}

impl<'a> Lifetime<'a> {
    /// Adds what an option says; a second time of the same kind replaces the first.
    pub(super) fn say(&mut self, more: Lifetime<'a>) -> Result<(), Fault> {
        let agrees = match (&*self, &more) {
            (Lifetime::Unsaid, _) => true,
            (Lifetime::Expiry(one, _), Lifetime::Expiry(other, _)) => one == other,
            (one, other) => one == other,
        };
        *self = more;
        if agrees { Ok(()) } else { Err(Fault::SYNTAX) }
    }

    /// Reads an option that gives a time, if one is next.
    pub(super) fn read_expiry(&mut self, cursor: &mut Cursor<'a>) -> Result<bool, Fault> {
        for (word, unit) in Unit::WORDS {
            if cursor.word(word) {
                self.say(Lifetime::Expiry(unit, cursor.need()?))?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What becomes of the deadline of a key whose value stays: without a word about it, nothing.
    pub(super) fn deadline(self, now_ms: u64, command: &str) -> Result<Deadline, Fault> {
        Ok(match self {
            Lifetime::Unsaid | Lifetime::Keep => Deadline::Keep,
            Lifetime::Persist => Deadline::Clear,
            Lifetime::Expiry(unit, text) => Deadline::At(unit.deadline_ms(text, now_ms, command)?),
        })
    }

    /// What becomes of the deadline of a key that is set anew: without a word about it, it goes.
    fn deadline_when_set(self, now_ms: u64, command: &str) -> Result<Deadline, Fault> {
        if self == Lifetime::Unsaid { Ok(Deadline::Clear) } else { self.deadline(now_ms, command) }
    }

    /// Whether the option means the same whenever it is read.
    fn is_absolute(self) -> bool {
        matches!(self, Lifetime::Unsaid | Lifetime::Keep | Lifetime::Expiry(Unit::UnixMilliseconds, _))
    }
}

/// When SET sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition<'a> {
    Always,
    /// NX
    Absent,
    /// XX
    Present,
    /// IFEQ and its relatives.
    If(Test<'a>),
}

impl<'a> Condition<'a> {
    fn say(&mut self, more: Condition<'a>) -> Result<(), Fault> {
        let agrees = *self == Condition::Always || (*self == more && !matches!(more, Condition::If(_)));
        *self = more;
        if agrees { Ok(()) } else { Err(Fault::SYNTAX) }
    }

    fn is_met(self, w: &Write<'_>) -> Result<bool, Fault> {
        match self {
            Condition::Always => Ok(true),
            Condition::Absent => Ok(!w.exists()),
            Condition::Present => Ok(w.exists()),
            Condition::If(test) => match w.string()? {
                None => Ok(test.passes_absent()),
                Some(value) => test.passes(value),
            },
        }
    }

    /// The words for it, where every replica knows them.
    fn words(self) -> SmallVec<[&'a [u8]; 2]> {
        match self {
            Condition::Absent => SmallVec::from_slice(&[&b"NX"[..]]),
            Condition::Present => SmallVec::from_slice(&[&b"XX"[..]]),
            Condition::If(Test::Equal(operand)) => SmallVec::from_slice(&[&b"IFEQ"[..], operand]),
            Condition::Always | Condition::If(_) => SmallVec::new(),
        }
    }
}

struct SetOptions<'a> {
    condition: Condition<'a>,
    returns_old: bool,
    lifetime: Lifetime<'a>,
}

impl<'a> SetOptions<'a> {
    fn parse(mut cursor: Cursor<'a>) -> Result<SetOptions<'a>, Fault> {
        let mut options =
            SetOptions { condition: Condition::Always, returns_old: false, lifetime: Lifetime::Unsaid };
        while let Some(word) = cursor.peek() {
            if options.lifetime.read_expiry(&mut cursor)? {
                continue;
            }
            if cursor.word("NX") {
                options.condition.say(Condition::Absent)?;
            } else if cursor.word("XX") {
                options.condition.say(Condition::Present)?;
            } else if cursor.word("GET") {
                options.returns_old = true;
            } else if cursor.word("KEEPTTL") {
                options.lifetime.say(Lifetime::Keep)?;
            } else {
                cursor.next();
                let operand = cursor.need()?;
                options.condition.say(Condition::If(Test::of(word, operand).ok_or(Fault::SYNTAX)?))?;
            }
        }
        Ok(options)
    }

    /// Leaves word of what was done where the command as it came would not do the same, or says too much.
    fn propagate(&self, cx: &mut Cx<'_>, args: &Args<'_>, deadline: Deadline) {
        if !cx.db.logs() {
            return;
        }
        let is_foreign = matches!(self.condition, Condition::If(test) if !matches!(test, Test::Equal(_)));
        let is_verbatim = self.lifetime.is_absolute() && !is_foreign;
        let gives_time = matches!(deadline, Deadline::At(_));
        if is_verbatim && (gives_time || !self.returns_old) {
            return;
        }
        let mut digits = itoa::Buffer::new();
        let mut argv: SmallVec<[&[u8]; 8]> = SmallVec::from_slice(&[b"SET", args.get(1), args.get(2)]);
        match deadline {
            Deadline::At(at) => argv.extend_from_slice(&[b"PXAT", digits.format(at).as_bytes()]),
            Deadline::Keep => {
                argv.extend(self.condition.words());
                argv.push(b"KEEPTTL");
            }
            Deadline::Clear => argv.extend(self.condition.words()),
        }
        cx.db.propagate(&argv);
    }
}

fn set_with_options(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<Outcome, Fault> {
    let options = SetOptions::parse(Cursor::new(*args, 3))?;
    let now_ms = cx.db.now_ms();
    let deadline = options.lifetime.deadline_when_set(now_ms, "set")?;
    let key = args.get(1);
    let mut w = cx.db.open(key);
    if options.returns_old {
        w.count_lookup();
        match w.string()? {
            Some(value) => reply_value(cx.out, value),
            None => cx.out.null(),
        }
    }
    let is_met = options.condition.is_met(&w)?;
    if !options.returns_old {
        if is_met { cx.out.ok() } else { cx.out.null() }
    }
    if !is_met {
        return Ok(Outcome::Done);
    }
    match deadline {
        // A key that would have expired at once is not set; what was there goes.
        Deadline::At(at) if at <= now_ms => {
            if w.exists() {
                w.remove();
                w.commit(Event::EXPIRED);
                expired_at_once(&mut cx.db, key);
            }
        }
        _ => {
            w.set(string_value(args, 2), deadline);
            commit_set(w, deadline);
            options.propagate(cx, args, deadline);
        }
    }
    Ok(Outcome::Done)
}

/// SETEX and PSETEX.
fn set_for(cx: &mut Cx<'_>, args: &Args<'_>, unit: Unit, command: &str) -> Result<Outcome, Fault> {
    let (key, value) = (args.get(1), args.get(3));
    let at = unit.deadline_ms(args.get(2), cx.db.now_ms(), command)?;
    let mut w = cx.db.open(key);
    w.set(string_value(args, 3), Deadline::At(at));
    commit_set(w, Deadline::At(at));
    if cx.db.logs() {
        cx.db.propagate(&[b"SET", key, value, b"PXAT", itoa::Buffer::new().format(at).as_bytes()]);
    }
    cx.out.ok();
    Ok(Outcome::Done)
}

/// Ends the write of a value that was set with this deadline.
fn commit_set(mut w: Write<'_>, deadline: Deadline) {
    if let Deadline::At(_) = deadline {
        w.also(Event::SET);
        w.commit(Event::EXPIRE);
    } else {
        w.commit(Event::SET);
    }
}

/// Accounts for a key that was removed because its new deadline had passed already.
fn expired_at_once(db: &mut Db<'_>, key: &[u8]) {
    db.record.counts.expired += 1;
    if db.logs() {
        db.propagate_removal(key);
    }
}

/// MSETEX is propagated as it came, but for times that depend on when it is read.
fn propagate_msetex(
    cx: &mut Cx<'_>,
    args: &Args<'_>,
    first_option: usize,
    lifetime: Lifetime<'_>,
    deadline: Deadline,
) {
    let Deadline::At(at) = deadline else { return };
    if lifetime.is_absolute() || !cx.db.logs() {
        return;
    }
    let mut digits = itoa::Buffer::new();
    let mut argv: Vec<&[u8]> = args.iter().take(first_option).collect();
    let mut cursor = Cursor::new(*args, first_option);
    while let Some(word) = cursor.next() {
        if word.eq_ignore_ascii_case(b"NX") || word.eq_ignore_ascii_case(b"XX") {
            argv.push(word);
        } else {
            // The value of an option that gives a time.
            cursor.next();
        }
    }
    argv.extend_from_slice(&[b"PXAT", digits.format(at).as_bytes()]);
    cx.db.propagate(&argv);
}
