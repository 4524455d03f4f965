//! Several fields of a hash at once, with what becomes of them.
//!
//! For: reading fields and removing them or changing their deadlines, and setting fields with a deadline or
//! on a condition. May touch: what `Cx` carries.
//! Always: a condition holds for all fields of a command, or nothing is set.

use super::hash::{CHANGES_SEEN, GROW_FAST, INSERTS, WRITE_FAST, hash, limits};
use super::hash_expire::{deadline_ms, expired_at_once, fields_at, fields_word, millis};
use super::string_set::{Lifetime, Unit};
use crate::command::{Command, Cursor, Cx, KeyFlags, KeySpec, Outcome, int};
use crate::fault::Fault;
use crate::keyspace::{Event, Write};
use crate::resp::Args;
use crate::value::hash::Until;
use crate::value::{Hash, HashLimits, HashRef};

/// The rows of this file.
pub const ROWS: &[Command] = &[
    hash("HGETDEL", hgetdel, WRITE_FAST, TAKES).arity(-5).since("9.1.0").cost("O(N), N fields named.").doc(
        "Returns the values of fields and removes them.",
        "key FIELDS <numfields:integer field [field ...]>",
    ),
    hash("HGETEX", hgetex, WRITE_FAST, CHANGES_SEEN)
        .arity(-5)
        .since("9.0.0")
        .cost("O(N), N fields named.")
        .doc(
            "Returns the values of fields and changes when the fields leave.",
            "key expiration=[EX seconds | PX milliseconds | EXAT unix-time-seconds | \
         PXAT unix-time-milliseconds | PERSIST] FIELDS <numfields:integer field [field ...]>",
        ),
    hash("HSETEX", hsetex, GROW_FAST, INSERTS).arity(-6).since("9.0.0").cost("O(N), N fields named.").doc(
        "Sets the values of fields, on a condition and for a time if wanted.",
        "key key-condition=[NX | XX] fields-condition=[FNX | FXX] expiration=[EX seconds | \
         PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL] \
         FIELDS <numfields:integer <field value> [field value ...]>",
    ),
];

const TAKES: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))];

fn hgetdel(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let fields = fields_at(args, 2, Fault::NUMFIELDS)?;
    let mut w = cx.db.open(args.get(1));
    let is_there = w.view::<Hash>()?.is_some();
    cx.out.array(fields.len());
    if !is_there {
        fields.iter().for_each(|_| cx.out.null());
        return Ok(Outcome::Done);
    }
    let out = &mut *cx.out;
    let mut removed = 0;
    w.update(|hash: &mut Hash| {
        for field in fields.iter() {
            match hash.as_ref().get(field) {
                None => out.null(),
                Some(value) => {
                    out.item(value);
                    hash.remove(field);
                    removed += 1;
                }
            }
        }
    });
    match removed {
        0 => w.abandon_unchanged(),
        removed => w.commit_counting(Event::HDEL, removed),
    }
    Ok(Outcome::Done)
}

/// What HGETEX does to the fields that it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    Nothing,
    Persist,
    /// They get this deadline.
    At(u64),
    /// Their deadline has passed already.
    Remove,
}

impl Aim {
    fn deadline(self) -> Option<u64> {
        if let Aim::At(at) = self { Some(at) } else { None }
    }
}

fn hgetex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let word = fields_word(args, 2).ok_or(Fault::NUMFIELDS)?;
    let lifetime = read_lifetime(args, word)?;
    let fields = fields_at(args, word, Fault::NUMFIELDS)?;
    let (now_ms, seed) = (cx.db.now_ms(), limits(cx).seed);
    let key = args.get(1);
    let mut w = cx.db.open(key);
    w.count_lookup();
    let hash = w.view::<Hash>()?;
    // The key's type is judged before the time.
    let aim = match lifetime {
        Lifetime::Persist => Aim::Persist,
        Lifetime::Expiry(unit, text) => match deadline_ms(unit, text, now_ms, "hgetex")? {
            at if at <= now_ms => Aim::Remove,
            at => Aim::At(at),
        },
        Lifetime::Unsaid | Lifetime::Keep => Aim::Nothing,
    };
    cx.out.array(fields.len());
    if hash.is_none() || aim == Aim::Nothing {
        for field in fields.iter() {
            match hash.and_then(|hash| hash.get(field)) {
                Some(value) => cx.out.item(value),
                None => cx.out.null(),
            }
        }
        return Ok(Outcome::Done);
    }
    let out = &mut *cx.out;
    let mut changed: Vec<&[u8]> = Vec::new();
    w.update(|hash: &mut Hash| {
        for field in fields.iter() {
            match hash.as_ref().get(field) {
                None => out.null(),
                Some(value) => {
                    out.item(value);
                    if pursue(hash, field, aim, seed) {
                        changed.push(field);
                    }
                }
            }
        }
    });
    commit_aim(w, aim, &changed);
    propagate_aim(cx, key, aim, &changed);
    Ok(Outcome::Done)
}

/// Does to a field that is there what was asked; tells whether that changed it.
fn pursue(hash: &mut Hash, field: &[u8], aim: Aim, seed: u64) -> bool {
    match aim {
        Aim::Nothing => false,
        Aim::Persist => {
            let has_deadline = hash.as_ref().deadline(field).flatten().is_some();
            has_deadline && hash.set_deadline(field, None, seed)
        }
        Aim::At(at) => hash.set_deadline(field, Some(at), seed),
        Aim::Remove => hash.remove(field),
    }
}

fn commit_aim(w: Write<'_>, aim: Aim, changed: &[&[u8]]) {
    let event = match aim {
        _ if changed.is_empty() => return w.abandon_unchanged(),
        Aim::At(_) => Event::HEXPIRE,
        Aim::Remove => Event::HEXPIRED,
        Aim::Persist | Aim::Nothing => Event::HPERSIST,
    };
    w.commit_counting(event, changed.len() as u64);
}

fn propagate_aim(cx: &mut Cx<'_>, key: &[u8], aim: Aim, changed: &[&[u8]]) {
    if aim == Aim::Remove {
        expired_at_once(&mut cx.db, key, changed);
        return;
    }
    if changed.is_empty() || !cx.db.logs() {
        return;
    }
    let (at, count) = (aim.deadline().map(millis), millis(changed.len() as u64));
    let mut argv: Vec<&[u8]> = Vec::with_capacity(changed.len() + 5);
    match &at {
        Some(at) => argv.extend([&b"HPEXPIREAT"[..], key, at]),
        None => argv.extend([&b"HPERSIST"[..], key]),
    }
    argv.extend([&b"FIELDS"[..], &count]);
    argv.extend(changed);
    cx.db.propagate(&argv);
}

fn hsetex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let options = SetOptions::parse(args)?;
    let (now_ms, limits) = (cx.db.now_ms(), limits(cx));
    let (key, pairs) = (args.get(1), options.pairs);
    let mut w = cx.db.open(key);
    let hash = w.view::<Hash>()?;
    // The key's type and condition are judged before the time, and the fields' condition after it.
    if options.key.is_some_and(|wanted| wanted != hash.is_some()) {
        w.touch();
        cx.out.int(0);
        return Ok(Outcome::Done);
    }
    let until = match options.lifetime {
        Lifetime::Expiry(unit, text) => Until::At(deadline_ms(unit, text, now_ms, "hsetex")?),
        Lifetime::Keep => Until::Kept,
        Lifetime::Unsaid | Lifetime::Persist => Until::Cleared,
    };
    if !options.fields_are_as_wanted(hash) {
        w.touch();
        cx.out.int(0);
        return Ok(Outcome::Done);
    }
    if matches!(until, Until::At(at) if at <= now_ms) {
        let gone = set_in_the_past(w, pairs);
        expired_at_once(&mut cx.db, key, &gone);
        // Those that were not there count as well.
        cx.db.record.counts.expired_fields += (pairs.len() / 2 - gone.len()) as u64;
    } else {
        set_pairs(w, pairs, until, &limits);
        propagate_hsetex(cx, key, &options, until);
    }
    cx.out.int(1);
    Ok(Outcome::Done)
}

/// What HSETEX was asked.
struct SetOptions<'a> {
    /// Whether the key has to be there.
    key: Option<bool>,
    /// Whether the fields have to be there.
    fields: Option<bool>,
    lifetime: Lifetime<'a>,
    /// Field, value, field, value, ...
    pairs: Args<'a>,
}

impl<'a> SetOptions<'a> {
    fn parse(args: Args<'a>) -> Result<SetOptions<'a>, Fault> {
        let word = fields_word(args, 2).ok_or(Fault::NUMFIELDS)?;
        let pairs = args.from(word + 2);
        let mut options = SetOptions { key: None, fields: None, lifetime: Lifetime::Unsaid, pairs };
        let mut cursor = Cursor::new(args, 2);
        while cursor.index() < word {
            if cursor.word("NX") {
                say(&mut options.key, false)?;
            } else if cursor.word("XX") {
                say(&mut options.key, true)?;
            } else if cursor.word("FNX") {
                say(&mut options.fields, false)?;
            } else if cursor.word("FXX") {
                say(&mut options.fields, true)?;
            } else if cursor.word("KEEPTTL") {
                options.lifetime.say(Lifetime::Keep)?;
            } else if !options.lifetime.read_expiry(&mut cursor)? {
                return Err(Fault::SYNTAX);
            }
        }
        if cursor.index() > word {
            return Err(Fault::SYNTAX);
        }
        let count = int(args.get(word + 1))?;
        let is_true = usize::try_from(count).is_ok_and(|count| count.checked_mul(2) == Some(pairs.len()));
        if count > 0 && is_true { Ok(options) } else { Err(Fault::NUMFIELDS) }
    }

    fn fields_are_as_wanted(&self, hash: Option<HashRef<'_>>) -> bool {
        self.fields.is_none_or(|wanted| {
            let mut fields = self.pairs.iter().step_by(2);
            fields.all(|field| hash.is_some_and(|hash| hash.contains(field)) == wanted)
        })
    }

    /// Whether the command does the same whenever and wherever it is run.
    fn is_exact(&self) -> bool {
        let is_absolute = match self.lifetime {
            Lifetime::Expiry(unit, _) => unit == Unit::UnixMilliseconds,
            _ => true,
        };
        self.key.is_none() && self.fields.is_none() && is_absolute
    }
}

/// Notes a condition, which must not contradict an earlier one.
fn say(condition: &mut Option<bool>, wanted: bool) -> Result<(), Fault> {
    if condition.replace(wanted) == Some(!wanted) { Err(Fault::SYNTAX) } else { Ok(()) }
}

/// Reads HGETEX's options, which end before argument `end`.
fn read_lifetime(args: Args<'_>, end: usize) -> Result<Lifetime<'_>, Fault> {
    let (mut cursor, mut lifetime) = (Cursor::new(args, 2), Lifetime::Unsaid);
    while cursor.index() < end {
        if cursor.word("PERSIST") {
            lifetime.say(Lifetime::Persist)?;
        } else if !lifetime.read_expiry(&mut cursor)? {
            return Err(Fault::SYNTAX);
        }
    }
    if cursor.index() == end { Ok(lifetime) } else { Err(Fault::SYNTAX) }
}

fn set_pairs(mut w: Write<'_>, pairs: Args<'_>, until: Until, limits: &HashLimits) {
    w.update(|hash: &mut Hash| {
        for at in (0..pairs.len()).step_by(2) {
            hash.set(pairs.get(at), pairs.get(at + 1), until, limits);
        }
    });
    let changes = pairs.len() as u64 / 2;
    if matches!(until, Until::At(_)) {
        w.also(Event::HSET);
        w.commit_counting(Event::HEXPIRE, changes);
    } else {
        w.commit_counting(Event::HSET, changes);
    }
}

/// Fields that are set with a deadline in the past are gone, and the events say that they had been set.
/// Returns those that were there.
fn set_in_the_past<'a>(mut w: Write<'_>, pairs: Args<'a>) -> Vec<&'a [u8]> {
    let mut gone = Vec::new();
    if w.exists() {
        w.update(|hash: &mut Hash| gone.extend(pairs.iter().step_by(2).filter(|field| hash.remove(field))));
        w.also(Event::HSET);
        w.also(Event::HEXPIRE);
        w.commit_counting(Event::HEXPIRED, gone.len() as u64);
    } else {
        for event in [Event::NEW, Event::HSET, Event::HEXPIRE, Event::HEXPIRED, Event::DEL] {
            w.also(event);
        }
    }
    gone
}

/// Conditions were met, and a time has become a deadline.
fn propagate_hsetex(cx: &mut Cx<'_>, key: &[u8], options: &SetOptions<'_>, until: Until) {
    if options.is_exact() || !cx.db.logs() {
        return;
    }
    let count = millis(options.pairs.len() as u64 / 2);
    let mut argv: Vec<&[u8]> = vec![b"HSETEX", key];
    let at;
    match until {
        Until::Cleared => {}
        Until::Kept => argv.push(b"KEEPTTL"),
        Until::At(at_ms) => {
            at = millis(at_ms);
            argv.extend([&b"PXAT"[..], &at]);
        }
    }
    argv.extend([&b"FIELDS"[..], &count]);
    argv.extend(options.pairs.iter());
    cx.db.propagate(&argv);
}
