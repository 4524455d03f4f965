//! Streams: reading ranges, deleting entries, setting counters.
//!
//! For: the commands of group `stream` that know nothing of consumers, but for XADD and XTRIM (`stream_add`)
//! and XREAD (`stream_read`). May touch: what `Cx` carries.
//! Always: a stream stays when it has lost its last entry.

use crate::command::{Acl, Command, Cursor, Cx, Flags, Group, KeyFlags, KeySpec, Outcome, cmd};
use crate::fault::Fault;
use crate::keyspace::Event;
use crate::resp::{Args, Out};
use crate::value::Stream;
use crate::value::stream::{Entry, StreamId};

pub(super) const READ: Flags = Flags::READONLY;
pub(super) const WRITE_FAST: Flags = Flags::WRITE.union(Flags::FAST);

pub(super) const READS_IT: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))];
pub(super) const UPDATES_IT: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))];
pub(super) const DELETES_FROM_IT: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))];

/// The rows of this file.
pub const ROWS: &[Command] = &[
    cmd("XDEL", xdel)
        .arity(-3)
        .flags(WRITE_FAST)
        .acl(Acl::STREAM)
        .keys(DELETES_FROM_IT)
        .group(Group::Stream)
        .since("5.0.0")
        .cost("O(1) for each entry.")
        .doc("Deletes entries of a stream and answers how many there were.", "key id [id ...]"),
    cmd("XLEN", xlen)
        .arity(2)
        .flags(READ.union(Flags::FAST))
        .acl(Acl::STREAM)
        .keys(&[KeySpec::one(1, KeyFlags::RO)])
        .group(Group::Stream)
        .since("5.0.0")
        .doc("Answers the number of entries of a stream.", "key"),
    cmd("XRANGE", xrange)
        .arity(-4)
        .flags(READ)
        .acl(Acl::STREAM)
        .keys(READS_IT)
        .group(Group::Stream)
        .since("5.0.0")
        .cost("O(N), N entries in the answer.")
        .history(&[("6.2.0", "Takes ranges without their ends.")])
        .doc(
            "Answers the entries between two identifiers, the oldest first.",
            "key start:string end:string [COUNT count]",
        ),
    cmd("XREVRANGE", xrevrange)
        .arity(-4)
        .flags(READ)
        .acl(Acl::STREAM)
        .keys(READS_IT)
        .group(Group::Stream)
        .since("5.0.0")
        .cost("O(N), N entries in the answer.")
        .history(&[("6.2.0", "Takes ranges without their ends.")])
        .doc(
            "Answers the entries between two identifiers, the newest first.",
            "key end:string start:string [COUNT count]",
        ),
    cmd("XSETID", xsetid)
        .args_since(&[("7.0.0", "entries-added max-deleted-id")])
        .arity(-3)
        .flags(WRITE_FAST.union(Flags::DENY_OOM))
        .acl(Acl::STREAM)
        .keys(UPDATES_IT)
        .group(Group::Stream)
        .since("5.0.0")
        .history(&[("7.0.0", "Takes ENTRIESADDED and MAXDELETEDID.")])
        .doc(
            "Sets the identifier above which new entries are numbered; for servers that repeat a stream.",
            "key last-id [ENTRIESADDED entries-added:integer] [MAXDELETEDID max-deleted-id]",
        ),
];

fn xdel(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let mut w = cx.db.open(args.get(1));
    // As in the real server, identifiers are looked at only where there is something to delete from.
    if w.view::<Stream>()?.is_none() {
        cx.out.int(0);
        return Ok(Outcome::Done);
    }
    let ids = args.from(2).iter().map(strict_id).collect::<Result<Vec<_>, _>>()?;
    let log = w.view::<Stream>()?.map(Stream::log);
    if !log.is_some_and(|log| ids.iter().any(|&id| log.has(id))) {
        cx.out.int(0);
        return Ok(Outcome::Done);
    }
    let deleted =
        w.update(|stream: &mut Stream| ids.iter().filter(|id| stream.log_mut().delete(**id)).count());
    w.commit_counting(Event::XDEL, deleted as u64);
    cx.out.int(deleted as i64);
    Ok(Outcome::Done)
}

fn xlen(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let len = cx.db.read_as::<Stream>(args.get(1))?.map_or(0, |stream| stream.log().len());
    cx.out.int(len as i64);
    Ok(Outcome::Done)
}

fn xrange(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    range(cx, args, false)
}

fn xrevrange(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    range(cx, args, true)
}

fn range(cx: &mut Cx<'_>, args: Args<'_>, is_reverse: bool) -> Result<Outcome, Fault> {
    let (start, end) = if is_reverse { (args.get(3), args.get(2)) } else { (args.get(2), args.get(3)) };
    let (start, end) = (range_start(start)?, range_end(end)?);
    let mut cursor = Cursor::new(args, 4);
    let mut count = usize::MAX;
    while !cursor.is_end() {
        if cursor.left() < 2 || !cursor.word("COUNT") {
            return Err(Fault::SYNTAX);
        }
        count = cursor.int()?.max(0) as usize;
    }
    let Some(stream) = cx.db.read_as::<Stream>(args.get(1))? else {
        cx.out.array(0);
        return Ok(Outcome::Done);
    };
    if count == 0 {
        cx.out.null_array();
    } else if is_reverse {
        write_entries(cx.out, stream.log().down(start, end).take(count));
    } else {
        write_entries(cx.out, stream.log().up(start, end).take(count));
    }
    Ok(Outcome::Done)
}

fn xsetid(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let last_id = strict_id(args.get(2))?;
    let (mut added, mut max_deleted) = (None, None);
    let mut cursor = Cursor::new(args, 3);
    while !cursor.is_end() {
        if cursor.left() < 2 {
            return Err(Fault::SYNTAX);
        }
        if cursor.word("ENTRIESADDED") {
            added = Some(u64::try_from(cursor.int()?).map_err(|_| Fault::SETID_ADDED_NEGATIVE)?);
        } else if cursor.word("MAXDELETEDID") {
            let id = strict_id(cursor.need()?)?;
            if last_id < id {
                return Err(Fault::SETID_BELOW_GIVEN_DELETED);
            }
            max_deleted = Some(id).filter(|id| *id != StreamId::MIN);
        } else {
            return Err(Fault::SYNTAX);
        }
    }
    let mut w = cx.db.open(args.get(1));
    let log = w.view::<Stream>()?.ok_or(Fault::NO_SUCH_KEY)?.log();
    if last_id < log.max_deleted_id() {
        return Err(Fault::SETID_BELOW_DELETED);
    }
    if log.has_above(last_id) {
        return Err(Fault::SETID_BELOW_LAST);
    }
    if !log.is_empty() && added.is_some_and(|added| added < log.len()) {
        return Err(Fault::SETID_ADDED);
    }
    let max_deleted = max_deleted.unwrap_or(log.max_deleted_id());
    let added = added.unwrap_or(log.entries_added());
    w.update(|stream: &mut Stream| stream.log_mut().set_ids(last_id, max_deleted, added));
    // Told of, but no change to those who watch the key.
    w.also(Event::XSETID);
    w.commit_quietly(1);
    cx.out.ok();
    Ok(Outcome::Done)
}

/// An identifier, a missing sequence number being 0.
pub(super) fn strict_id(text: &[u8]) -> Result<StreamId, Fault> {
    StreamId::parse(text, 0).ok_or(Fault::STREAM_ID)
}

/// The lower end of a range: `-`, `+`, an identifier, or one that is excluded.
pub(super) fn range_start(text: &[u8]) -> Result<StreamId, Fault> {
    match text.strip_prefix(b"(") {
        Some(text) => strict_id(text)?.successor().ok_or(Fault::RANGE_START),
        None => lenient_id(text),
    }
}

/// The upper end of a range; a missing sequence number is the highest.
pub(super) fn range_end(text: &[u8]) -> Result<StreamId, Fault> {
    let id = |text| StreamId::parse(text, u64::MAX).ok_or(Fault::STREAM_ID);
    match text.strip_prefix(b"(") {
        Some(text) => id(text)?.predecessor().ok_or(Fault::RANGE_END),
        None => special_id(text).map_or_else(|| id(text), Ok),
    }
}

/// [`strict_id`], or `-` or `+`, the lowest and the highest.
pub(super) fn lenient_id(text: &[u8]) -> Result<StreamId, Fault> {
    special_id(text).map_or_else(|| strict_id(text), Ok)
}

fn special_id(text: &[u8]) -> Option<StreamId> {
    match text {
        b"-" => Some(StreamId::MIN),
        b"+" => Some(StreamId::MAX),
        _ => None,
    }
}

/// Writes an identifier as a string.
pub(super) fn write_id(out: &mut Out, id: StreamId) {
    out.bulk(id.to_text().as_bytes());
}

/// Writes an entry: its identifier, and its fields and values in turn.
pub(super) fn write_entry(out: &mut Out, entry: &Entry<'_>) {
    out.array(2);
    write_id(out, entry.id);
    write_pairs(out, entry);
}

/// Writes an entry's fields and values in turn.
pub(super) fn write_pairs(out: &mut Out, entry: &Entry<'_>) {
    out.array(2 * entry.field_count());
    for (field, value) in entry.pairs() {
        out.item(field);
        out.item(value);
    }
}

/// Writes an array of entries.
pub(super) fn write_entries<'a>(out: &mut Out, entries: impl Iterator<Item = Entry<'a>>) {
    let head = out.deferred_array();
    let mut len = 0;
    for entry in entries {
        write_entry(out, &entry);
        len += 1;
    }
    out.finish(head, len);
}
