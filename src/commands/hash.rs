//! Hashes: setting, reading and counting up fields.
//!
//! For: the commands of one hash that say nothing of its fields' deadlines. May touch: what `Cx` carries.
//! Always: a value that is set anew loses its field's deadline; one that is counted up keeps it.

use super::hash_expire::millis;
use crate::command::{Acl, Command, Cx, Flags, Group, Handler, KeyFlags, KeySpec, Outcome, cmd, int};
use crate::config::Directive;
use crate::fault::Fault;
use crate::keyspace::Event;
use crate::resp::{Args, parse_i64};
use crate::value::hash::Until;
use crate::value::long_double::LongDouble;
use crate::value::number::MAX_I64_LEN;
use crate::value::{Hash, HashLimits, HashRef, Item};

/// The value is returned.
pub(super) const READS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))];
/// Only facts about the value are returned.
const LOOKS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO)];
/// The value is changed and not returned.
pub(super) const CHANGES: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))];
/// The value is changed and returned.
pub(super) const CHANGES_SEEN: &[KeySpec] =
    &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))];
/// Something is added to the value.
pub(super) const INSERTS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))];
/// Something is taken out of the value.
const REMOVES: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))];

pub(super) const READ_FAST: Flags = Flags::READONLY.union(Flags::FAST);
pub(super) const WRITE_FAST: Flags = Flags::WRITE.union(Flags::FAST);
pub(super) const GROW_FAST: Flags = WRITE_FAST.union(Flags::DENY_OOM);

/// A row of this group.
pub(super) const fn hash(
    name: &'static str,
    handler: Handler,
    flags: Flags,
    keys: &'static [KeySpec],
) -> Command {
    cmd(name, handler).flags(flags).keys(keys).acl(Acl::HASH).group(Group::Hash).since("2.0.0")
}

/// The rows of this file.
pub const ROWS: &[Command] = &[
    hash("HDEL", hdel, WRITE_FAST, REMOVES)
        .arity(-3)
        .cost("O(N), N fields to remove.")
        .history(&[("2.4.0", "Takes more than one field.")])
        .doc("Removes fields of a hash; the key leaves with its last field.", "key field [field ...]"),
    hash("HEXISTS", hexists, READ_FAST, LOOKS).arity(3).doc("Tells whether a hash has a field.", "key field"),
    hash("HGET", hget, READ_FAST, READS).arity(3).doc("Returns the value of a field.", "key field"),
    hash("HGETALL", hgetall, Flags::READONLY, READS)
        .arity(2)
        .cost("O(N), N fields in the hash.")
        .doc("Returns all fields of a hash with their values.", "key")
        .tips(UNORDERED),
    hash("HINCRBY", hincrby, GROW_FAST, CHANGES_SEEN)
        .arity(4)
        .doc("Adds an integer to the value of a field; a missing one is zero.", "key field increment"),
    hash("HINCRBYFLOAT", hincrbyfloat, GROW_FAST, CHANGES_SEEN).arity(4).since("2.6.0").doc(
        "Adds a floating point number to the value of a field; a missing one is zero.",
        "key field increment:double",
    ),
    hash("HKEYS", hkeys, Flags::READONLY, READS)
        .arity(2)
        .cost("O(N), N fields in the hash.")
        .doc("Returns the names of all fields of a hash.", "key")
        .tips(UNORDERED),
    hash("HLEN", hlen, READ_FAST, LOOKS).arity(2).doc("Counts the fields of a hash.", "key"),
    hash("HMGET", hmget, READ_FAST, READS)
        .arity(-3)
        .cost("O(N), N fields to read.")
        .doc("Returns the values of several fields.", "key field [field ...]"),
    hash("HMSET", hmset, GROW_FAST, CHANGES)
        .arity(-4)
        .cost("O(N), N fields to set.")
        .doc("Sets the values of several fields.", "key <field value> [field value ...]"),
    hash("HSET", hset, GROW_FAST, CHANGES)
        .arity(-4)
        .cost("O(N), N fields to set.")
        .history(&[("4.0.0", "Takes more than one pair of field and value.")])
        .doc("Sets the values of fields and counts the new ones.", "key <field value> [field value ...]"),
    hash("HSETNX", hsetnx, GROW_FAST, INSERTS)
        .arity(4)
        .doc("Sets the value of a field that does not exist yet.", "key field value"),
    hash("HSTRLEN", hstrlen, READ_FAST, LOOKS)
        .arity(3)
        .since("3.2.0")
        .doc("Returns the length of the value of a field.", "key field"),
    hash("HVALS", hvals, Flags::READONLY, READS)
        .arity(2)
        .cost("O(N), N fields in the hash.")
        .doc("Returns the values of all fields of a hash.", "key")
        .tips(UNORDERED),
];

const UNORDERED: &[&str] = &["nondeterministic_output_order"];

fn hdel(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let mut w = cx.db.open(args.get(1));
    let removed = match w.view::<Hash>()? {
        None => 0,
        Some(_) => w.update(|hash: &mut Hash| args.from(2).iter().filter(|field| hash.remove(field)).count()),
    };
    match removed {
        0 => w.abandon_unchanged(),
        removed => w.commit_counting(Event::HDEL, removed as u64),
    }
    cx.out.int(removed as i64);
    Ok(Outcome::Done)
}

fn hexists(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let hash = cx.db.read_as::<Hash>(args.get(1))?;
    cx.out.int(i64::from(hash.is_some_and(|hash| hash.contains(args.get(2)))));
    Ok(Outcome::Done)
}

fn hget(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    match cx.db.read_as::<Hash>(args.get(1))?.and_then(|hash| hash.get(args.get(2))) {
        Some(value) => cx.out.item(value),
        None => cx.out.null(),
    }
    Ok(Outcome::Done)
}

fn hgetall(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let hash = cx.db.read_as::<Hash>(args.get(1))?;
    cx.out.map(hash.map_or(0, HashRef::len));
    for (field, value) in hash.into_iter().flat_map(HashRef::iter) {
        cx.out.item(field);
        cx.out.item(value);
    }
    Ok(Outcome::Done)
}

fn hincrby(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let by = int(args.get(3))?;
    let limits = limits(cx);
    let (key, field) = (args.get(1), args.get(2));
    let mut w = cx.db.open(key);
    let hash = w.view::<Hash>()?;
    let old = match hash.and_then(|hash| hash.get(field)) {
        None => 0,
        Some(Item::Int(value)) => value,
        Some(Item::Bytes(text)) => parse_i64(text).ok_or(Fault::HASH_NOT_AN_INTEGER)?,
    };
    let new = old.checked_add(by).ok_or(Fault::WOULD_OVERFLOW)?;
    let has_deadlines = hash.is_some_and(|hash| hash.earliest_deadline().is_some());
    let deadline_ms = hash.and_then(|hash| hash.deadline(field)).flatten();
    let mut digits = itoa::Buffer::new();
    let text = digits.format(new).as_bytes();
    w.update(|hash: &mut Hash| hash.set(field, text, Until::Kept, &limits));
    w.commit(Event::HINCRBY);
    // Whoever follows may have let the field expire by then.
    if has_deadlines {
        propagate_value(cx, key, field, text, deadline_ms);
    }
    cx.out.int(new);
    Ok(Outcome::Done)
}

fn hincrbyfloat(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let by = LongDouble::parse(args.get(3)).ok_or(Fault::NOT_A_FLOAT)?;
    if by.is_nan_or_infinite() {
        return Err(Fault::INCREMENT_NAN_OR_INFINITY);
    }
    let limits = limits(cx);
    let (key, field) = (args.get(1), args.get(2));
    let mut w = cx.db.open(key);
    let hash = w.view::<Hash>()?;
    let new = match hash.and_then(|hash| hash.get(field)) {
        None => LongDouble::parse(b"0").expect("zero is a number").add(by),
        Some(item) => {
            let mut digits = [0; MAX_I64_LEN];
            LongDouble::parse(item.bytes(&mut digits)).ok_or(Fault::HASH_NOT_A_FLOAT)?.add(by)
        }
    };
    if new.is_nan_or_infinite() {
        return Err(Fault::NAN_OR_INFINITY);
    }
    let deadline_ms = hash.and_then(|hash| hash.deadline(field)).flatten();
    let text = new.to_human();
    w.update(|hash: &mut Hash| hash.set(field, text.as_bytes(), Until::Kept, &limits));
    w.commit(Event::HINCRBYFLOAT);
    propagate_value(cx, key, field, text.as_bytes(), deadline_ms);
    cx.out.bulk(text.as_bytes());
    Ok(Outcome::Done)
}

fn hkeys(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    list(cx, args.get(1), |(field, _)| field)
}

fn hlen(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let hash = cx.db.read_as::<Hash>(args.get(1))?;
    cx.out.int(hash.map_or(0, HashRef::len) as i64);
    Ok(Outcome::Done)
}

fn hmget(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let hash = cx.db.read_as::<Hash>(args.get(1))?;
    let fields = args.from(2);
    cx.out.array(fields.len());
    for field in fields.iter() {
        match hash.and_then(|hash| hash.get(field)) {
            Some(value) => cx.out.item(value),
            None => cx.out.null(),
        }
    }
    Ok(Outcome::Done)
}

fn hmset(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    set_pairs(cx, args)?;
    cx.out.ok();
    Ok(Outcome::Done)
}

fn hset(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let created = set_pairs(cx, args)?;
    cx.out.int(created as i64);
    Ok(Outcome::Done)
}

fn hsetnx(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let limits = limits(cx);
    let (key, field, value) = (args.get(1), args.get(2), args.get(3));
    let mut w = cx.db.open(key);
    let hash = w.view::<Hash>()?;
    if hash.is_some_and(|hash| hash.contains(field)) {
        w.touch();
        cx.out.int(0);
        return Ok(Outcome::Done);
    }
    let has_deadlines = hash.is_some_and(|hash| hash.earliest_deadline().is_some());
    w.update(|hash: &mut Hash| hash.set(field, value, Until::Cleared, &limits));
    w.commit(Event::HSET);
    // Whoever follows may still have a field that has expired here.
    if has_deadlines {
        propagate_value(cx, key, field, value, None);
    }
    cx.out.int(1);
    Ok(Outcome::Done)
}

fn hstrlen(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let value = cx.db.read_as::<Hash>(args.get(1))?.and_then(|hash| hash.get(args.get(2)));
    cx.out.int(value.map_or(0, Item::len) as i64);
    Ok(Outcome::Done)
}

fn hvals(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    list(cx, args.get(1), |(_, value)| value)
}

/// When a hash becomes large, as it is configured.
pub(super) fn limits(cx: &Cx<'_>) -> HashLimits {
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    HashLimits {
        max_entries: size(cx.settings.int(Directive::HashMaxListpackEntries).cast_unsigned()),
        max_value: size(cx.settings.bytes(Directive::HashMaxListpackValue)),
        seed: cx.host.identity.seed,
    }
}

/// Sets the fields that follow the key, and says how many are new.
fn set_pairs(cx: &mut Cx<'_>, args: Args<'_>) -> Result<usize, Fault> {
    if args.len() % 2 == 1 {
        return Err(Fault::arity(&cx.command.full_name));
    }
    let limits = limits(cx);
    let pairs = args.len() / 2 - 1;
    let mut w = cx.db.open(args.get(1));
    w.view::<Hash>()?;
    if pairs == 1 && w.update_in_place(|run| Hash::overwrite(run, args.get(2), args.get(3), &limits)) {
        w.commit(Event::HSET);
        return Ok(0);
    }
    let created = w.update(|hash: &mut Hash| {
        hash.expect(pairs, &limits);
        let fields = (2..args.len()).step_by(2);
        fields.filter(|&at| hash.set(args.get(at), args.get(at + 1), Until::Cleared, &limits)).count()
    });
    w.commit_counting(Event::HSET, pairs as u64);
    Ok(created)
}

/// Answers one part of every pair of field and value.
fn list(
    cx: &mut Cx<'_>,
    key: &[u8],
    part: for<'v> fn((Item<'v>, Item<'v>)) -> Item<'v>,
) -> Result<Outcome, Fault> {
    let hash = cx.db.read_as::<Hash>(key)?;
    cx.out.array(hash.map_or(0, HashRef::len));
    for pair in hash.into_iter().flat_map(HashRef::iter) {
        cx.out.item(part(pair));
    }
    Ok(Outcome::Done)
}

/// Says that a field has this value now, with this deadline or none.
fn propagate_value(cx: &mut Cx<'_>, key: &[u8], field: &[u8], value: &[u8], deadline_ms: Option<u64>) {
    if !cx.db.logs() {
        return;
    }
    match deadline_ms {
        None => cx.db.propagate(&[b"HSET", key, field, value]),
        Some(at) => cx.db.propagate(&[b"HSETEX", key, b"PXAT", &millis(at), b"FIELDS", b"1", field, value]),
    }
}
