//! Streams: what is known of a stream, its groups and its consumers.
//!
//! For: XINFO. May touch: what `Cx` carries.
//! Always: groups and consumers come in the order of their names.

use super::help::write_help;
use super::stream::{write_entries, write_entry, write_id};
use crate::command::{
    Acl, Command, Cursor, Cx, Flags, Group, Handler, KeyFlags, KeySpec, Outcome, cmd, container,
};
use crate::fault::Fault;
use crate::resp::{Args, Out};
use crate::value::Stream;
use crate::value::stream::{self, Consumer, Remembered, StreamId};

/// Entries of each list that XINFO STREAM FULL answers unless COUNT says otherwise.
const FULL_COUNT: usize = 10;

const READS: &[KeySpec] = &[KeySpec::one(2, KeyFlags::RO.union(KeyFlags::ACCESS))];

/// The rows of this file.
pub const ROWS: &[Command] = &[container(
    "XINFO",
    &[
        sub("CONSUMERS", consumers, 4)
            .flags(Flags::READONLY)
            .keys(READS)
            .tips(&["nondeterministic_output"])
            .history(&[("7.2.0", "Shows inactive; idle counts attempts, too.")])
            .doc("Answers what is known of the consumers of a group.", "key group"),
        sub("GROUPS", groups, 3)
            .flags(Flags::READONLY)
            .keys(READS)
            .history(&[("7.0.0", "Shows entries-read and lag.")])
            .doc("Answers what is known of the groups of a stream.", "key"),
        sub("HELP", help, 2).flags(Flags::LOADING.union(Flags::STALE)).doc("Describes the subcommands.", ""),
        sub("STREAM", stream_info, -3)
            .flags(Flags::READONLY)
            .keys(READS)
            .history(STREAM_HISTORY)
            .doc("Answers what is known of a stream.", "key full-block=[FULL [COUNT count]]"),
    ],
)
.group(Group::Stream)
.since("5.0.0")
.doc("Commands that answer what is known of streams.", "")];

const STREAM_HISTORY: &[(&str, &str)] = &[
    ("6.0.0", "Takes FULL."),
    ("7.0.0", "Shows max-deleted-entry-id, entries-added, recorded-first-entry-id, entries-read and lag."),
    ("7.2.0", "Shows active-time; seen-time counts attempts, too."),
];

const fn sub(name: &'static str, handler: Handler, arity: i16) -> Command {
    cmd(name, handler).arity(arity).acl(Acl::STREAM).group(Group::Stream).since("5.0.0")
}

fn consumers(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (key, name) = (args.get(2), args.get(3));
    let now_ms = cx.db.now_ms();
    let stream = cx.db.read_as::<Stream>(key)?.ok_or(Fault::NO_SUCH_KEY)?;
    let group = stream.group(name).ok_or_else(|| Fault::no_group_at(key, name))?;
    cx.out.array(group.consumers_len());
    for (_, consumer) in group.consumers() {
        cx.out.map(4);
        cx.out.bulk(b"name");
        cx.out.bulk(consumer.name());
        let inactive = consumer.active_ms.map_or(-1, |at| now_ms.saturating_sub(at) as i64);
        int(cx.out, "pending", consumer.pending_len() as i64);
        int(cx.out, "idle", now_ms.saturating_sub(consumer.seen_ms) as i64);
        int(cx.out, "inactive", inactive);
    }
    Ok(Outcome::Done)
}

fn groups(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let stream = cx.db.read_as::<Stream>(args.get(2))?.ok_or(Fault::NO_SUCH_KEY)?;
    cx.out.array(stream.groups_len());
    for (name, group) in stream.groups() {
        cx.out.map(6);
        cx.out.bulk(b"name");
        cx.out.bulk(name);
        int(cx.out, "consumers", group.consumers_len() as i64);
        int(cx.out, "pending", group.pending_len() as i64);
        write_progress(cx.out, stream, group);
    }
    Ok(Outcome::Done)
}

fn stream_info(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let now_ms = cx.db.now_ms();
    let stream = cx.db.read_as::<Stream>(args.get(2))?.ok_or(Fault::NO_SUCH_KEY)?;
    let mut full = None;
    if args.len() > 3 {
        let mut cursor = Cursor::new(args, 3);
        let is_full = cursor.word("FULL") && (cursor.is_end() || cursor.left() == 2 && cursor.word("COUNT"));
        if !is_full {
            return Err(Fault::subcommand_arguments("XINFO", args.get(1)));
        }
        full = Some(match cursor.is_end() {
            true => FULL_COUNT,
            false => match cursor.int()? {
                0 => usize::MAX,
                ..0 => FULL_COUNT,
                count => count as usize,
            },
        });
    }
    let remembered = stream.idempotence().map(|it| it.remembered(now_ms));
    cx.out.map(if full.is_some() { 9 } else { 10 } + if remembered.is_some() { 6 } else { 0 });
    let log = stream.log();
    int(cx.out, "length", log.len() as i64);
    int(cx.out, "radix-tree-keys", log.block_count() as i64);
    int(cx.out, "radix-tree-nodes", log.radix_nodes() as i64);
    id(cx.out, "last-generated-id", log.last_id());
    id(cx.out, "max-deleted-entry-id", log.max_deleted_id());
    int(cx.out, "entries-added", log.entries_added() as i64);
    id(cx.out, "recorded-first-entry-id", log.first_id());
    if let Some(remembered) = remembered {
        write_remembered(cx.out, &remembered);
    }
    match full {
        Some(count) => write_full(cx.out, stream, count),
        None => write_short(cx.out, stream),
    }
    Ok(Outcome::Done)
}

/// What a stream remembers of its producers.
fn write_remembered(out: &mut Out, it: &Remembered) {
    int(out, "idmp-duration", it.duration_s as i64);
    int(out, "idmp-maxsize", it.max_size as i64);
    int(out, "pids-tracked", it.producers as i64);
    int(out, "iids-tracked", it.identifiers as i64);
    int(out, "iids-added", it.added as i64);
    int(out, "iids-duplicates", it.duplicates as i64);
}

fn write_short(out: &mut Out, stream: &Stream) {
    int(out, "groups", stream.groups_len() as i64);
    let log = stream.log();
    let (first, last) =
        (log.up(StreamId::MIN, StreamId::MAX).next(), log.down(StreamId::MIN, StreamId::MAX).next());
    for (name, entry) in [("first-entry", first), ("last-entry", last)] {
        out.bulk(name.as_bytes());
        match entry {
            Some(entry) => write_entry(out, &entry),
            None => out.null(),
        }
    }
}

fn write_full(out: &mut Out, stream: &Stream, count: usize) {
    out.bulk(b"entries");
    write_entries(out, stream.log().up(StreamId::MIN, StreamId::MAX).take(count));
    out.bulk(b"groups");
    out.array(stream.groups_len());
    for (name, group) in stream.groups() {
        // Only a group that has ever had one back tells of entries that nobody has.
        out.map(if group.has_released() { 8 } else { 7 });
        out.bulk(b"name");
        out.bulk(name);
        write_progress(out, stream, group);
        int(out, "pel-count", group.pending_len() as i64);
        out.bulk(b"pending");
        out.array(group.pending_len().min(count));
        for (id, pending) in group.pending_from(StreamId::MIN).take(count) {
            out.array(4);
            write_id(out, id);
            out.bulk(group.holder(pending));
            out.int(pending.delivered_ms as i64);
            out.int(pending.deliveries as i64);
        }
        out.bulk(b"consumers");
        out.array(group.consumers_len());
        for (_, consumer) in group.consumers() {
            write_consumer(out, group, consumer, count);
        }
        if group.has_released() {
            int(out, "nacked-count", group.released_len() as i64);
        }
    }
}

fn write_consumer(out: &mut Out, group: &stream::Group, consumer: &Consumer, count: usize) {
    out.map(5);
    out.bulk(b"name");
    out.bulk(consumer.name());
    int(out, "seen-time", consumer.seen_ms as i64);
    int(out, "active-time", consumer.active_ms.map_or(-1, |at| at as i64));
    int(out, "pel-count", consumer.pending_len() as i64);
    out.bulk(b"pending");
    out.array(consumer.pending_len().min(count));
    for id in consumer.pending_from(StreamId::MIN).take(count) {
        let pending = group.pending(id).expect("what a consumer has pending its group has, too");
        out.array(3);
        write_id(out, id);
        out.int(pending.delivered_ms as i64);
        out.int(pending.deliveries as i64);
    }
}

/// How far a group has got.
fn write_progress(out: &mut Out, stream: &Stream, group: &stream::Group) {
    id(out, "last-delivered-id", group.last_id);
    out.bulk(b"entries-read");
    int_or_null(out, group.entries_read);
    out.bulk(b"lag");
    int_or_null(out, stream.lag(group));
}

fn int(out: &mut Out, name: &str, number: i64) {
    out.bulk(name.as_bytes());
    out.int(number);
}

fn int_or_null(out: &mut Out, number: Option<i64>) {
    match number {
        Some(number) => out.int(number),
        None => out.null(),
    }
}

fn id(out: &mut Out, name: &str, id: StreamId) {
    out.bulk(name.as_bytes());
    write_id(out, id);
}

fn help(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    let lines = [
        "CONSUMERS <key> <groupname>",
        "    Answers what is known of the consumers of the group.",
        "GROUPS <key>",
        "    Answers what is known of the groups of the stream.",
        "STREAM <key> [FULL [COUNT <count>]]",
        "    Answers what is known of the stream, with FULL of all that is in it.",
    ];
    write_help(cx.out, "XINFO", &lines);
    Ok(Outcome::Done)
}
