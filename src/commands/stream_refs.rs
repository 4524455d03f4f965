//! Streams: deleting entries with regard to the consumers that have them pending.
//!
//! For: XDELEX and XACKDEL, and trimming with KEEPREF, DELREF or ACKED. May touch: what `Cx` carries.
//! Always: ACKED deletes only what every group was given and nobody has pending.

use super::stream::{DELETES_FROM_IT, WRITE_FAST, strict_id};
use crate::command::{Acl, Command, Cursor, Cx, Group, KeyFlags, KeySpec, Outcome, cmd};
use crate::fault::Fault;
use crate::keyspace::Event;
use crate::resp::{Args, Out};
use crate::value::Stream;
use crate::value::stream::{StreamId, Trim};

/// The rows of this file.
pub const ROWS: &[Command] = &[
    cmd("XACKDEL", xackdel)
        .arity(-6)
        .flags(WRITE_FAST)
        .acl(Acl::STREAM)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE).union(KeyFlags::DELETE))])
        .group(Group::Stream)
        .since("8.2.0")
        .cost("O(1) for each entry, times the number of groups unless KEEPREF.")
        .doc(
            "Acknowledges entries for a group, and deletes those that the other groups do not keep.",
            "key group [KEEPREF | DELREF | ACKED] IDS numids id [id ...]",
        ),
    cmd("XDELEX", xdelex)
        .arity(-5)
        .flags(WRITE_FAST)
        .acl(Acl::STREAM)
        .keys(DELETES_FROM_IT)
        .group(Group::Stream)
        .since("8.2.0")
        .cost("O(1) for each entry, times the number of groups unless KEEPREF.")
        .doc(
            "Deletes entries, in the way given for those that consumers have pending.",
            "key [KEEPREF | DELREF | ACKED] IDS numids id [id ...]",
        ),
];

/// There is no such entry, or nobody has it pending.
const NO_ENTRY: i64 = -1;
/// The entry was deleted.
const DELETED: i64 = 1;
/// The entry is kept because of a group.
const KEPT: i64 = 2;

/// What becomes of the pending marks of an entry that is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum References {
    /// They stay, and the entry goes.
    Keep,
    /// They go with it.
    Delete,
    /// The entry stays until there are none.
    Acknowledged,
}

impl References {
    /// The word for it.
    pub(super) fn of(word: &[u8]) -> Option<References> {
        let words = [
            ("KEEPREF", References::Keep),
            ("DELREF", References::Delete),
            ("ACKED", References::Acknowledged),
        ];
        words.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes())).map(|(_, how)| *how)
    }
}

/// Reads what follows IDS: a number, and that many identifiers.
pub(super) fn counted_ids(cursor: &mut Cursor<'_>) -> Result<Vec<StreamId>, Fault> {
    let count = cursor.int().ok().and_then(|count| usize::try_from(count).ok());
    let count = count.filter(|count| *count > 0).ok_or(Fault::NUMIDS)?;
    if count > cursor.left() {
        return Err(Fault::NUMIDS_MISMATCH);
    }
    cursor.by_ref().take(count).map(strict_id).collect()
}

/// Reads the words from argument `at` on: what becomes of references, and the identifiers.
fn parse(args: Args<'_>, at: usize) -> Result<(References, Vec<StreamId>), Fault> {
    let mut cursor = Cursor::new(args, at);
    let (mut how, mut ids) = (None, None);
    while let Some(word) = cursor.peek() {
        if let Some(said) = References::of(word) {
            cursor.next();
            if how.replace(said).is_some() {
                return Err(Fault::SYNTAX);
            }
        } else if cursor.left() > 1 && ids.is_none() && cursor.word("IDS") {
            ids = Some(counted_ids(&mut cursor)?);
        } else {
            return Err(Fault::SYNTAX);
        }
    }
    Ok((how.unwrap_or(References::Keep), ids.ok_or(Fault::SYNTAX)?))
}

fn xackdel(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (how, ids) = parse(args, 3)?;
    let group = args.get(2);
    let mut w = cx.db.open(args.get(1));
    if w.view::<Stream>()?.is_none_or(|stream| stream.group(group).is_none()) {
        write_codes(cx.out, ids.iter().map(|_| NO_ENTRY));
        return Ok(Outcome::Done);
    }
    let mut deleted = 0;
    let (codes, changes) = w.update(|stream: &mut Stream| {
        let mut changes = 0;
        let codes: Vec<i64> = ids
            .iter()
            .map(|&id| {
                let is_acknowledged =
                    stream.group_mut(group).is_some_and(|(_, group)| group.acknowledge(id).is_some());
                changes += u64::from(is_acknowledged);
                if how == References::Delete {
                    changes += forget(stream, id);
                }
                if !is_acknowledged {
                    return NO_ENTRY;
                }
                if how == References::Acknowledged && is_needed(stream, id) {
                    return KEPT;
                }
                deleted += u64::from(stream.log_mut().delete(id));
                DELETED
            })
            .collect();
        (codes, changes + deleted)
    });
    match (changes, deleted) {
        (0, _) => w.abandon_unchanged(),
        (_, 0) => w.commit_quietly(changes),
        _ => w.commit_counting(Event::XDEL, changes),
    }
    write_codes(cx.out, codes.into_iter());
    Ok(Outcome::Done)
}

fn xdelex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (how, ids) = parse(args, 2)?;
    let mut w = cx.db.open(args.get(1));
    if w.view::<Stream>()?.is_none() {
        write_codes(cx.out, ids.iter().map(|_| NO_ENTRY));
        return Ok(Outcome::Done);
    }
    let mut deleted = 0;
    let (codes, changes) = w.update(|stream: &mut Stream| {
        let mut changes = 0;
        let codes: Vec<i64> = ids
            .iter()
            .map(|&id| {
                if how == References::Delete {
                    changes += forget(stream, id);
                }
                if how == References::Acknowledged && stream.log().has(id) && is_needed(stream, id) {
                    return KEPT;
                }
                let is_deleted = stream.log_mut().delete(id);
                deleted += u64::from(is_deleted);
                if is_deleted { DELETED } else { NO_ENTRY }
            })
            .collect();
        (codes, changes + deleted)
    });
    match (changes, deleted) {
        (0, _) => w.abandon_unchanged(),
        (_, 0) => w.commit_quietly(changes),
        _ => w.commit_counting(Event::XDEL, changes),
    }
    write_codes(cx.out, codes.into_iter());
    Ok(Outcome::Done)
}

fn write_codes(out: &mut Out, codes: impl ExactSizeIterator<Item = i64>) {
    out.array(codes.len());
    codes.for_each(|code| out.int(code));
}

/// Whether a group has the entry pending or has yet to be given it.
fn is_needed(stream: &Stream, id: StreamId) -> bool {
    stream.groups().any(|(_, group)| group.last_id < id || group.pending(id).is_some())
}

/// Takes the entry off what consumers have pending; answers how many had it.
fn forget(stream: &mut Stream, id: StreamId) -> u64 {
    if !stream.groups().any(|(_, group)| group.pending(id).is_some()) {
        return 0;
    }
    stream.groups_mut().map(|(_, group)| u64::from(group.acknowledge(id).is_some())).sum()
}

/// Trims as [`Log::trim`](crate::value::stream::Log::trim), with regard to groups.
pub(super) fn trim_with_references(
    stream: &mut Stream,
    trim: Trim,
    is_approximate: bool,
    limit: u64,
    how: References,
) -> u64 {
    let surplus = match trim {
        Trim::MaxLen(max) => stream.log().len().saturating_sub(max) as usize,
        Trim::MinId(_) => usize::MAX,
    };
    let last = match trim {
        Trim::MaxLen(_) => Some(StreamId::MAX),
        Trim::MinId(min) => min.predecessor(),
    };
    let Some(last) = last else { return 0 };
    let examined = if limit == 0 { usize::MAX } else { limit as usize };
    let oldest = stream.log().up(StreamId::MIN, last).map(|entry| entry.id).take(examined);
    if how == References::Acknowledged {
        let ids: Vec<_> = oldest.filter(|&id| !is_needed(stream, id)).take(surplus).collect();
        return ids.into_iter().filter(|&id| stream.log_mut().delete(id)).count() as u64;
    }
    let ids: Vec<_> = oldest.take(surplus).collect();
    let removed = stream.log_mut().trim(trim, is_approximate, limit);
    for id in ids.into_iter().take(removed as usize) {
        forget(stream, id);
    }
    removed
}
