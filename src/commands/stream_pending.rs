//! Streams: acknowledging entries, and what has not been acknowledged.
//!
//! For: XACK and XPENDING. May touch: what `Cx` carries.
//! Always: a deleted entry stays pending until it is acknowledged or found missing by a claim.

use super::stream::{READ, READS_IT, UPDATES_IT, WRITE_FAST, range_end, range_start, strict_id, write_id};
use crate::command::{Acl, Command, Cursor, Cx, Group, Outcome, cmd};
use crate::fault::Fault;
use crate::resp::{Args, Out};
use crate::value::Stream;
use crate::value::stream::{self, Pending, StreamId};

/// Arguments of XPENDING at most; those behind the consumer are not looked at.
const PENDING_ARGS: usize = 9;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    cmd("XACK", xack)
        .arity(-4)
        .flags(WRITE_FAST)
        .acl(Acl::STREAM)
        .keys(UPDATES_IT)
        .group(Group::Stream)
        .since("5.0.0")
        .cost("O(1) for each entry.")
        .doc(
            "Takes entries off what a group has pending and answers how many were.",
            "key group id [id ...]",
        ),
    cmd("XPENDING", xpending)
        .args_since(&[("6.2.0", "min-idle-time")])
        .arity(-3)
        .flags(READ)
        .acl(Acl::STREAM)
        .keys(READS_IT)
        .tips(&["nondeterministic_output"])
        .group(Group::Stream)
        .since("5.0.0")
        .cost("O(N), N entries or consumers in the answer; with IDLE O(M), M entries looked at.")
        .history(&[("6.2.0", "Takes IDLE and ranges without their ends.")])
        .doc(
            "Answers which entries a group has pending, and who was given them.",
            "key group filters=[[IDLE min-idle-time:integer] start:string end:string count [consumer]]",
        ),
];

fn xack(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let name = args.get(2);
    let mut w = cx.db.open(args.get(1));
    w.count_lookup();
    // As in the real server, identifiers are looked at only where there is a group.
    let Some(group) = w.view::<Stream>()?.and_then(|stream| stream.group(name)) else {
        cx.out.int(0);
        return Ok(Outcome::Done);
    };
    let ids = args.from(3).iter().map(strict_id).collect::<Result<Vec<_>, _>>()?;
    if !ids.iter().any(|&id| group.pending(id).is_some()) {
        cx.out.int(0);
        return Ok(Outcome::Done);
    }
    let count = w.update(|stream: &mut Stream| match stream.group_mut(name) {
        Some((_, group)) => ids.iter().filter(|id| group.acknowledge(**id).is_some()).count(),
        None => 0,
    });
    w.commit_quietly(count as u64);
    cx.out.int(count as i64);
    Ok(Outcome::Done)
}

/// XPENDING's range.
struct Range<'a> {
    idle_ms: u64,
    start: StreamId,
    end: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Range<'a> {
    fn parse(args: Args<'a>) -> Result<Option<Range<'a>>, Fault> {
        match args.len() {
            3 => return Ok(None),
            6..=PENDING_ARGS => {}
            _ => return Err(Fault::SYNTAX),
        }
        let mut cursor = Cursor::new(args, 3);
        let mut idle_ms = 0;
        if cursor.word("IDLE") {
            idle_ms = cursor.int()?.max(0) as u64;
            if cursor.left() < 3 {
                return Err(Fault::SYNTAX);
            }
        }
        let (start, end) = (cursor.need()?, cursor.need()?);
        let count = cursor.int()?.max(0) as usize;
        let (start, end) = (range_start(start)?, range_end(end)?);
        Ok(Some(Range { idle_ms, start, end, count, consumer: cursor.next() }))
    }
}

fn xpending(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let range = Range::parse(args)?;
    let (key, name) = (args.get(1), args.get(2));
    let now_ms = cx.db.now_ms();
    let group = cx.db.read_as::<Stream>(key)?.and_then(|stream| stream.group(name));
    let group = group.ok_or_else(|| Fault::no_group(key, name))?;
    match range {
        None => write_summary(cx.out, group),
        Some(range) => write_range(cx.out, group, &range, now_ms),
    }
    Ok(Outcome::Done)
}

fn write_summary(out: &mut Out, group: &stream::Group) {
    out.array(4);
    out.int(group.pending_len() as i64);
    let Some((first, last)) = group.pending_bounds() else {
        out.null();
        out.null();
        out.null_array();
        return;
    };
    write_id(out, first);
    write_id(out, last);
    let head = out.deferred_array();
    let mut len = 0;
    for (_, consumer) in group.consumers().filter(|(_, consumer)| consumer.pending_len() > 0) {
        out.array(2);
        out.bulk(consumer.name());
        out.bulk_int(consumer.pending_len() as i64);
        len += 1;
    }
    out.finish(head, len);
}

fn write_range(out: &mut Out, group: &stream::Group, range: &Range<'_>, now_ms: u64) {
    let consumer = match range.consumer.map(|name| group.find_consumer(name)) {
        None => None,
        Some(Some(consumer)) => Some(consumer),
        Some(None) => return out.array(0),
    };
    let head = out.deferred_array();
    let mut len = 0;
    let mut write = |id, pending: &Pending| {
        if pending.is_idle(range.idle_ms, now_ms) && len < range.count {
            out.array(4);
            write_id(out, id);
            out.bulk(group.holder(pending));
            out.int(pending.idle_ms(now_ms));
            out.int(pending.deliveries as i64);
            len += 1;
        }
        len < range.count
    };
    match consumer {
        None => {
            let mut all = group.pending_from(range.start).take_while(|(id, _)| *id <= range.end);
            all.all(|(id, pending)| write(id, pending));
        }
        Some(consumer) => {
            let ids = group.consumer(consumer).pending_from(range.start);
            let mut all = ids.take_while(|id| *id <= range.end);
            all.all(|id| group.pending(id).is_none_or(|pending| write(id, pending)));
        }
    }
    out.finish(head, len);
}
