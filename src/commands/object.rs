//! OBJECT: how a value is kept.
//!
//! For: what the server shows of encodings and accesses. May touch: what `Cx` carries.
//! Always: looking at an object is no access to it.

use crate::command::row::{Acl, Command, Flags, cmd, container};
use crate::command::{Cx, KeyFlags, KeySpec, Outcome};
use crate::fault::Fault;
use crate::keyspace::record::Touch;
use crate::keyspace::{Db, Entry, ValueRef, lfu};
use crate::resp::Args;

/// The rows of this family.
pub const ROWS: &[Command] = &[container("OBJECT", SUBCOMMANDS)
    .since("2.2.3")
    .doc("A container for commands that look at how values are kept.", "")];

const KEY: &[KeySpec] = &[KeySpec::one(2, KeyFlags::RO)];

const SUBCOMMANDS: &[Command] = &[
    cmd("ENCODING", object_encoding)
        .arity(3)
        .keys(KEY)
        .flags(Flags::READONLY)
        .acl(Acl::KEYSPACE)
        .since("2.2.3")
        .doc("Names the form in which a value is kept.", "key")
        .tips(&["nondeterministic_output"]),
    cmd("FREQ", object_freq)
        .arity(3)
        .keys(KEY)
        .flags(Flags::READONLY)
        .acl(Acl::KEYSPACE)
        .since("4.0.0")
        .doc("Returns the logarithmic counter of accesses to a value.", "key")
        .tips(&["nondeterministic_output"]),
    cmd("HELP", object_help)
        .arity(2)
        .flags(Flags::LOADING.union(Flags::STALE))
        .acl(Acl::KEYSPACE)
        .since("6.2.0")
        .doc("Lists the subcommands.", ""),
    cmd("IDLETIME", object_idletime)
        .arity(3)
        .keys(KEY)
        .flags(Flags::READONLY)
        .acl(Acl::KEYSPACE)
        .since("2.2.3")
        .doc("Returns the seconds since a value was last used.", "key")
        .tips(&["nondeterministic_output"]),
    cmd("REFCOUNT", object_refcount)
        .arity(3)
        .keys(KEY)
        .flags(Flags::READONLY)
        .acl(Acl::KEYSPACE)
        .since("2.2.3")
        .doc("Returns how many refer to a value, which is always one key.", "key")
        .tips(&["nondeterministic_output"]),
];

/// The access field counts seconds modulo this.
const LRU_WRAP: u64 = 1 << 24;

const HELP: &[&str] = &[
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Name the form in which the value of <key> is kept.",
    "FREQ <key>",
    "    Return the access counter of <key>. It grows with the logarithm of the",
    "    number of recent accesses, and needs an LFU maxmemory-policy.",
    "IDLETIME <key>",
    "    Return the seconds since <key> was last used. Not with an LFU",
    "    maxmemory-policy.",
    "REFCOUNT <key>",
    "    Return how many refer to the value of <key>.",
    "HELP",
    "    Print this help.",
];

fn object_encoding(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    match look(&mut cx.db, args.get(2), encoding) {
        Some(encoding) => cx.out.bulk(encoding.as_bytes()),
        None => cx.out.null(),
    }
    Ok(Outcome::Done)
}

fn object_freq(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let Some(lru) = look(&mut cx.db, args.get(2), Entry::lru) else {
        cx.out.null();
        return Ok(Outcome::Done);
    };
    let Touch::Lfu { decay_minutes, .. } = Touch::of(cx.settings) else { return Err(Fault::NO_FREQUENCY) };
    let counter = lfu::decayed(lru, cx.db.now_ms(), decay_minutes) & 0xff;
    cx.out.int(i64::from(counter));
    Ok(Outcome::Done)
}

fn object_help(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    cx.out.array(HELP.len());
    for line in HELP {
        cx.out.simple(line);
    }
    Ok(Outcome::Done)
}

fn object_idletime(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let Some(lru) = look(&mut cx.db, args.get(2), Entry::lru) else {
        cx.out.null();
        return Ok(Outcome::Done);
    };
    if let Touch::Lfu { .. } = Touch::of(cx.settings) {
        return Err(Fault::NO_IDLE_TIME);
    }
    let idle_s = (cx.db.now_ms() / 1000).wrapping_sub(u64::from(lru)) % LRU_WRAP;
    cx.out.int(idle_s as i64);
    Ok(Outcome::Done)
}

fn object_refcount(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    match look(&mut cx.db, args.get(2), |_| ()) {
        Some(()) => cx.out.int(1),
        None => cx.out.null(),
    }
    Ok(Outcome::Done)
}

/// Looks a key up: counted, but neither an access nor, where there is none, an event.
fn look<R>(db: &mut Db<'_>, key: &[u8], look: impl FnOnce(&Entry) -> R) -> Option<R> {
    let answer = db.peek(key).map(look);
    if answer.is_some() {
        db.record.counts.hits += 1;
    } else {
        db.record.counts.misses += 1;
    }
    answer
}

/// What OBJECT ENCODING says of a value.
pub(super) fn encoding(entry: &Entry) -> &'static str {
    if let Some(collection) = entry.collection() {
        return collection.encoding();
    }
    match entry.value() {
        ValueRef::Int(_) => "int",
        _ if entry.is_raw() || !entry.is_embeddable(0) => "raw",
        _ => "embstr",
    }
}
