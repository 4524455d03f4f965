//! Strings: reading, joining and removing them.
//!
//! For: the commands of group `string` that neither set with options (`string_set`), count (`string_number`)
//! nor compare (`string_lcs`). May touch: what `Cx` carries.
//! Always: a value that was received into an allocation of its own is stored and sent without being copied.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::command::cursor::{int, reply_value, string_value, value_len};
use crate::command::{Acl, Command, Cx, Flags, Group, KeyFlags, KeySpec, Outcome, cmd};
use crate::config::{Directive, Settings};
use crate::fault::Fault;
use crate::keyspace::{Deadline, Event, Kind, NewValue, ValueRef, Write};
use crate::resp::Args;
use crate::value::number;

pub(super) const READ: Flags = Flags::READONLY;
pub(super) const READ_FAST: Flags = READ.union(Flags::FAST);
pub(super) const WRITE_FAST: Flags = Flags::WRITE.union(Flags::FAST);
pub(super) const GROW: Flags = Flags::WRITE.union(Flags::DENY_OOM);
pub(super) const GROW_FAST: Flags = GROW.union(Flags::FAST);

pub(super) const READS_IT: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))];
pub(super) const CHANGES_IT: &[KeySpec] =
    &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))];

/// The rows of this file.
pub const ROWS: &[Command] = &[
    cmd("APPEND", append)
        .arity(3)
        .flags(GROW_FAST)
        .acl(Acl::STRING)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))])
        .group(Group::String)
        .since("2.0.0")
        .cost("O(1) amortized, for a value that is small beside what is there.")
        .doc("Adds a string to the end of a key's value, or sets it when there is no key.", "key value"),
    cmd("DELEX", delex)
        .arity(-2)
        .flags(WRITE_FAST)
        .acl(Acl::STRING)
        .keys(&[KeySpec::one(1, KeyFlags::RM.union(KeyFlags::DELETE))])
        .group(Group::String)
        .since("8.4.0")
        .cost("O(1), or O(N) for IFDEQ and IFDNE, N bytes in the value.")
        .doc(
            "Removes a key when its value, or the digest of its value, passes a test.",
            "key [IFEQ comparison-value | IFNE comparison-value | IFDEQ digest | IFDNE digest]",
        ),
    cmd("DELIFEQ", delifeq)
        .arity(3)
        .flags(WRITE_FAST)
        .acl(Acl::STRING)
        .keys(&[KeySpec::one(1, KeyFlags::RM.union(KeyFlags::DELETE))])
        .group(Group::String)
        .since("9.0.0")
        .doc("Removes a key that holds exactly the given string.", "key value"),
    cmd("DIGEST", digest)
        .arity(2)
        .flags(READ_FAST)
        .acl(Acl::STRING)
        .keys(READS_IT)
        .group(Group::String)
        .since("8.4.0")
        .cost("O(N), N bytes in the value.")
        .doc("Answers the XXH3 hash of a string as 16 hexadecimal digits.", "key"),
    cmd("GET", get)
        .arity(2)
        .flags(READ_FAST)
        .acl(Acl::STRING)
        .keys(READS_IT)
        .group(Group::String)
        .doc("Answers the string that a key holds.", "key"),
    cmd("GETDEL", getdel)
        .arity(2)
        .flags(WRITE_FAST)
        .acl(Acl::STRING)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))])
        .group(Group::String)
        .since("6.2.0")
        .doc("Answers the string that a key holds and removes the key.", "key"),
    cmd("GETRANGE", getrange)
        .arity(4)
        .flags(READ)
        .acl(Acl::STRING)
        .keys(READS_IT)
        .group(Group::String)
        .since("2.4.0")
        .cost("O(N), N bytes in the answer.")
        .doc("Answers a part of a string, between two positions that are both included.", "key start end"),
    cmd("MGET", mget)
        .arity(-2)
        .flags(READ_FAST)
        .acl(Acl::STRING)
        .keys(&[KeySpec::range(1, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))])
        .tips(&["request_policy:multi_shard"])
        .group(Group::String)
        .cost("O(N), N keys.")
        .doc("Answers the strings of several keys as they are at one moment.", "key [key ...]"),
    cmd("MSET", mset)
        .arity(-3)
        .flags(GROW)
        .acl(Acl::STRING)
        .keys(&[KeySpec::range(1, -1, 2, KeyFlags::OW.union(KeyFlags::UPDATE))])
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .group(Group::String)
        .since("1.0.1")
        .cost("O(N), N keys.")
        .doc("Sets the strings of several keys at one moment.", "<key value> [key value ...]"),
    cmd("MSETNX", msetnx)
        .arity(-3)
        .flags(GROW)
        .acl(Acl::STRING)
        .keys(&[KeySpec::range(1, -1, 2, KeyFlags::OW.union(KeyFlags::INSERT))])
        .group(Group::String)
        .since("1.0.1")
        .cost("O(N), N keys.")
        .doc("Sets the strings of several keys if none of them exists.", "<key value> [key value ...]"),
    cmd("SETRANGE", setrange)
        .arity(4)
        .flags(GROW)
        .acl(Acl::STRING)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))])
        .group(Group::String)
        .since("2.2.0")
        .cost("O(M), M bytes in the value, and what growing the string takes.")
        .doc(
            "Overwrites a part of a string from an offset on, and makes it longer if need be.",
            "key offset value",
        ),
    cmd("STRLEN", strlen)
        .arity(2)
        .flags(READ_FAST)
        .acl(Acl::STRING)
        .keys(&[KeySpec::one(1, KeyFlags::RO)])
        .group(Group::String)
        .since("2.2.0")
        .doc("Answers the length of a string in bytes.", "key"),
    cmd("SUBSTR", getrange)
        .arity(4)
        .flags(READ)
        .acl(Acl::STRING)
        .keys(READS_IT)
        .group(Group::String)
        .cost("O(N), N bytes in the answer.")
        .doc("Answers a part of a string: GETRANGE by its first name.", "key start end"),
];

fn append(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let tail = args.get(2);
    let mut w = cx.db.open(args.get(1));
    let len = match w.string()?.map(value_len) {
        None => {
            w.set(string_value(&args, 2), Deadline::Clear);
            tail.len()
        }
        Some(len) => {
            let total = len + tail.len();
            check_len(total, cx.settings)?;
            w.edit(|bytes| bytes.extend_from_slice(tail));
            total
        }
    };
    w.commit(Event::APPEND);
    cx.out.int(len as i64);
    Ok(Outcome::Done)
}

fn delex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let key = args.get(1);
    if !matches!(args.len(), 2 | 4) {
        return Err(Fault::arity(&cx.command.full_name));
    }
    let mut w = cx.db.open(key);
    // As documented, a key that is not there is never asked whether the condition makes sense.
    let Some(entry) = w.entry() else {
        cx.out.int(0);
        return Ok(Outcome::Done);
    };
    if args.len() == 4 {
        if entry.kind() != Kind::String {
            return Err(Fault::CONDITION_NEEDS_STRING);
        }
        let test = Test::of(args.get(2), args.get(3)).ok_or(Fault::BAD_CONDITION)?;
        if !test.passes(entry.value())? {
            cx.out.int(0);
            return Ok(Outcome::Done);
        }
    }
    w.remove();
    w.commit(Event::DEL);
    propagate_del(cx, key);
    cx.out.int(1);
    Ok(Outcome::Done)
}

fn delifeq(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let key = args.get(1);
    let mut w = cx.db.open(key);
    if !w.string()?.is_some_and(|value| equals(value, args.get(2))) {
        cx.out.int(0);
        return Ok(Outcome::Done);
    }
    w.remove();
    w.commit(Event::DEL);
    propagate_del(cx, key);
    cx.out.int(1);
    Ok(Outcome::Done)
}

fn digest(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    match cx.db.read_string(args.get(1))? {
        None => cx.out.null(),
        Some(value) => cx.out.bulk(&digest_of(text(value, &mut itoa::Buffer::new()))),
    }
    Ok(Outcome::Done)
}

fn get(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    match cx.db.read_string(args.get(1))? {
        Some(value) => reply_value(cx.out, value),
        None => cx.out.null(),
    }
    Ok(Outcome::Done)
}

fn getdel(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let key = args.get(1);
    let mut w = cx.db.open(key);
    w.count_lookup();
    let Some(value) = w.string()? else {
        cx.out.null();
        return Ok(Outcome::Done);
    };
    reply_value(cx.out, value);
    w.remove();
    w.commit(Event::DEL);
    propagate_del(cx, key);
    Ok(Outcome::Done)
}

fn getrange(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (start, end) = (int(args.get(2))?, int(args.get(3))?);
    let mut digits = itoa::Buffer::new();
    let Some(value) = cx.db.read_string(args.get(1))? else {
        cx.out.bulk(b"");
        return Ok(Outcome::Done);
    };
    let bytes = text(value, &mut digits);
    match number::range(bytes.len(), start, end) {
        None => cx.out.bulk(b""),
        Some(range) if range.len() == bytes.len() => reply_value(cx.out, value),
        Some(range) => cx.out.bulk(&bytes[range]),
    }
    Ok(Outcome::Done)
}

fn mget(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    cx.out.array(args.len() - 1);
    for key in args.from(1).iter() {
        match cx.db.read(key) {
            Some(entry) if entry.kind() == Kind::String => reply_value(cx.out, entry.value()),
            _ => cx.out.null(),
        }
    }
    Ok(Outcome::Done)
}

fn mset(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    set_pairs(cx, &args)?;
    cx.out.ok();
    Ok(Outcome::Done)
}

fn msetnx(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    check_pairs(cx, &args)?;
    let is_free = !(1..args.len()).step_by(2).any(|at| cx.db.peek(args.get(at)).is_some());
    if is_free {
        set_pairs(cx, &args)?;
    }
    cx.out.int(i64::from(is_free));
    Ok(Outcome::Done)
}

fn setrange(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let offset = usize::try_from(int(args.get(2))?).map_err(|_| Fault::OFFSET_RANGE)?;
    let part = args.get(3);
    let mut w = cx.db.open(args.get(1));
    let len = w.string()?.map_or(0, value_len);
    if part.is_empty() {
        cx.out.int(len as i64);
        return Ok(Outcome::Done);
    }
    let end = offset.saturating_add(part.len());
    check_len(end, cx.settings)?;
    with_bytes(&mut w, end, |bytes| bytes[offset..end].copy_from_slice(part))?;
    w.commit(Event::SETRANGE);
    cx.out.int(len.max(end) as i64);
    Ok(Outcome::Done)
}

fn strlen(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let len = cx.db.read_string(args.get(1))?.map_or(0, value_len);
    cx.out.int(len as i64);
    Ok(Outcome::Done)
}

/// What a condition asks of the string that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test<'a> {
    /// It is this one.
    Equal(&'a [u8]),
    /// It is another one.
    Unequal(&'a [u8]),
    /// Its digest is this one.
    DigestEqual(&'a [u8]),
    /// Its digest is another one.
    DigestUnequal(&'a [u8]),
}

impl<'a> Test<'a> {
    /// The test that a word stands for.
    pub(super) fn of(word: &[u8], operand: &'a [u8]) -> Option<Test<'a>> {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        Some(match () {
            () if is("IFEQ") => Test::Equal(operand),
            () if is("IFNE") => Test::Unequal(operand),
            () if is("IFDEQ") => Test::DigestEqual(operand),
            () if is("IFDNE") => Test::DigestUnequal(operand),
            () => return None,
        })
    }

    /// Whether a key that does not exist passes.
    pub(super) fn passes_absent(self) -> bool {
        matches!(self, Test::Unequal(_) | Test::DigestUnequal(_))
    }

    /// Whether the value passes.
    ///
    /// # Errors
    /// [`Fault::DIGEST_LENGTH`] for a digest that cannot be one.
    pub(super) fn passes(self, value: ValueRef<'_>) -> Result<bool, Fault> {
        let digest_equals = |given: &[u8]| {
            if given.len() != DIGEST_DIGITS {
                return Err(Fault::DIGEST_LENGTH);
            }
            Ok(digest_of(text(value, &mut itoa::Buffer::new())).eq_ignore_ascii_case(given))
        };
        match self {
            Test::Equal(operand) => Ok(equals(value, operand)),
            Test::Unequal(operand) => Ok(!equals(value, operand)),
            Test::DigestEqual(given) => digest_equals(given),
            Test::DigestUnequal(given) => digest_equals(given).map(|equal| !equal),
        }
    }
}

/// Hexadecimal digits of a digest.
const DIGEST_DIGITS: usize = 16;

fn digest_of(bytes: &[u8]) -> [u8; DIGEST_DIGITS] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let hash = xxhash_rust::xxh3::xxh3_64(bytes);
    std::array::from_fn(|at| HEX[(hash >> (4 * (DIGEST_DIGITS - 1 - at)) & 15) as usize])
}

fn equals(value: ValueRef<'_>, operand: &[u8]) -> bool {
    text(value, &mut itoa::Buffer::new()) == operand
}

/// The bytes of a string value; an integer's digits lie in `digits`.
pub(super) fn text<'v>(value: ValueRef<'v>, digits: &'v mut itoa::Buffer) -> &'v [u8] {
    match value {
        ValueRef::Int(int) => digits.format(int).as_bytes(),
        ValueRef::Bytes(bytes) => bytes,
        ValueRef::Shared(shared) => shared,
    }
}

/// A string kept beyond the lookup that found it, for commands that read several. A large one is shared.
pub(super) enum Kept {
    /// More than a block holds.
    Shared(Arc<Vec<u8>>),
    /// A copy.
    Copied(SmallVec<[u8; 64]>),
}

impl Kept {
    /// Keeps the value; a missing one is empty.
    pub(super) fn of(value: Option<ValueRef<'_>>) -> Kept {
        match value {
            None => Kept::Copied(SmallVec::new()),
            Some(ValueRef::Shared(shared)) => Kept::Shared(Arc::clone(shared)),
            Some(value) => Kept::Copied(SmallVec::from_slice(text(value, &mut itoa::Buffer::new()))),
        }
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Kept::Shared(shared) => shared,
            Kept::Copied(bytes) => bytes,
        }
    }
}

/// Runs `change` on the bytes of the string, which is first made at least `len` bytes long with zeros; a
/// missing key becomes such a string. Says also whether it grew.
///
/// # Errors
/// [`Fault::WRONG_TYPE`]; then nothing is changed.
pub(super) fn with_bytes<R>(
    w: &mut Write<'_>,
    len: usize,
    change: impl FnOnce(&mut [u8]) -> R,
) -> Result<(R, bool), Fault> {
    let present = w.string()?.map(value_len);
    if present.is_none() {
        w.set(NewValue::Bytes(b""), Deadline::Clear);
    }
    let grows = present.unwrap_or(0) < len;
    if !grows && let Some(bytes) = w.bytes_mut() {
        return Ok((change(bytes), false));
    }
    let result = w.edit(|bytes| {
        if bytes.is_empty() {
            // Memory that comes zeroed is not touched before it is used.
            *bytes = vec![0; len];
        } else if grows {
            bytes.resize(len, 0);
        }
        change(bytes)
    });
    Ok((result, grows))
}

/// Refuses a string that would be longer than an argument may be.
fn check_len(len: usize, settings: &Settings) -> Result<(), Fault> {
    if len as u64 > settings.bytes(Directive::ProtoMaxBulkLen) { Err(Fault::STRING_TOO_LONG) } else { Ok(()) }
}

fn check_pairs(cx: &Cx<'_>, args: &Args<'_>) -> Result<(), Fault> {
    if args.len().is_multiple_of(2) { Err(Fault::arity(&cx.command.full_name)) } else { Ok(()) }
}

fn set_pairs(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Fault> {
    check_pairs(cx, args)?;
    for at in (1..args.len()).step_by(2) {
        let mut w = cx.db.open(args.get(at));
        w.set(string_value(args, at + 1), Deadline::Clear);
        w.commit(Event::SET);
    }
    Ok(())
}

fn propagate_del(cx: &mut Cx<'_>, key: &[u8]) {
    if cx.db.logs() {
        cx.db.propagate(&[b"DEL", key]);
    }
}
