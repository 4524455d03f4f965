//! Streams: making and removing groups and their consumers.
//!
//! For: XGROUP. May touch: what `Cx` carries.
//! Always: a group belongs to a stream, so all but CREATE with MKSTREAM need one.

use super::help::write_help;
use super::stream::{lenient_id, strict_id};
use crate::command::{
    Acl, Command, Cursor, Cx, Flags, Group, Handler, KeyFlags, KeySpec, Outcome, cmd, container,
};
use crate::fault::Fault;
use crate::keyspace::{Event, Write};
use crate::resp::Args;
use crate::value::Stream;
use crate::value::stream::{self, StreamId};

const GROW: Flags = Flags::WRITE.union(Flags::DENY_OOM);
const INSERTS: &[KeySpec] = &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT))];
const UPDATES: &[KeySpec] = &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::UPDATE))];
const DELETES: &[KeySpec] = &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::DELETE))];

/// The rows of this file.
pub const ROWS: &[Command] = &[container(
    "XGROUP",
    &[
        sub("CREATE", create, -5).flags(GROW).keys(INSERTS).history(&[("7.0.0", "Takes ENTRIESREAD.")]).doc(
            "Makes a group that goes on behind an entry.",
            "key group id-selector=<id | new-id=<$>> [MKSTREAM] [ENTRIESREAD entriesread:integer]",
        ),
        sub("CREATECONSUMER", createconsumer, 5)
            .since("6.2.0")
            .flags(GROW)
            .keys(INSERTS)
            .doc("Makes a consumer of a group.", "key group consumer"),
        sub("DELCONSUMER", delconsumer, 5)
            .flags(Flags::WRITE)
            .keys(DELETES)
            .doc("Removes a consumer and what it has pending.", "key group consumer"),
        sub("DESTROY", destroy, 4)
            .flags(Flags::WRITE)
            .keys(DELETES)
            .cost("O(N), N entries pending in the group.")
            .doc("Removes a group with its consumers.", "key group"),
        sub("HELP", help, 2).flags(Flags::LOADING.union(Flags::STALE)).doc("Describes the subcommands.", ""),
        sub("SETID", setid, -5)
            .flags(Flags::WRITE)
            .keys(UPDATES)
            .history(&[("7.0.0", "Takes ENTRIESREAD.")])
            .doc(
                "Sets the entry behind which a group goes on.",
                "key group id-selector=<id | new-id=<$>> [ENTRIESREAD entriesread:integer]",
            ),
    ],
)
.group(Group::Stream)
.since("5.0.0")
.doc("Commands about the groups of consumers of a stream.", "")];

const fn sub(name: &'static str, handler: Handler, arity: i16) -> Command {
    cmd(name, handler).arity(arity).acl(Acl::STREAM).group(Group::Stream).since("5.0.0")
}

/// The options of CREATE and SETID.
struct Options {
    makes_stream: bool,
    entries_read: Option<i64>,
}

impl Options {
    fn parse(args: Args<'_>, is_create: bool) -> Result<Options, Fault> {
        let wrong = || Fault::subcommand_arguments("XGROUP", args.get(1));
        let mut cursor = Cursor::new(args, 5);
        let mut options = Options { makes_stream: false, entries_read: None };
        while !cursor.is_end() {
            if is_create && cursor.word("MKSTREAM") {
                options.makes_stream = true;
            } else if cursor.left() > 1 && cursor.word("ENTRIESREAD") {
                options.entries_read = match cursor.int()? {
                    -1 => None,
                    ..-1 => return Err(Fault::ENTRIES_READ),
                    read => Some(read),
                };
            } else {
                return Err(wrong());
            }
        }
        Ok(options)
    }
}

/// Refuses more than `most` arguments: said twice, an option is too much, but keys are looked at before.
fn limit(args: Args<'_>, most: usize) -> Result<(), Fault> {
    if args.len() > most { Err(Fault::subcommand_arguments("XGROUP", args.get(1))) } else { Ok(()) }
}

/// The stream's last entry, for `$`.
fn last_entry(text: &[u8], stream: Option<&Stream>) -> Option<StreamId> {
    (text == b"$").then(|| stream.map_or(StreamId::MIN, |stream| stream.log().last_id()))
}

/// The stream, which has to be there.
fn existing<'w>(w: &'w Write<'_>) -> Result<&'w Stream, Fault> {
    w.view::<Stream>()?.ok_or(Fault::GROUP_NEEDS_KEY)
}

/// The group, which has to be there.
fn existing_group<'w>(w: &'w Write<'_>, args: Args<'_>) -> Result<&'w stream::Group, Fault> {
    existing(w)?.group(args.get(3)).ok_or_else(|| Fault::no_group_at(args.get(2), args.get(3)))
}

fn create(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let options = Options::parse(args, true)?;
    let name = args.get(3);
    let mut w = cx.db.open(args.get(2));
    let stream = w.view::<Stream>()?;
    if stream.is_none() && !options.makes_stream {
        return Err(Fault::GROUP_NEEDS_KEY);
    }
    limit(args, 8)?;
    let last_id = last_entry(args.get(4), stream).map_or_else(|| strict_id(args.get(4)), Ok)?;
    if stream.is_some_and(|stream| stream.group(name).is_some()) {
        return Err(Fault::GROUP_EXISTS);
    }
    let is_new = stream.is_none();
    let group = stream::Group::new(last_id, options.entries_read);
    w.update(|stream: &mut Stream| stream.add_group(name, group));
    if is_new {
        w.commit(Event::XGROUP_CREATE);
    } else {
        // Told of, but no change to those who watch the key.
        w.also(Event::XGROUP_CREATE);
        w.commit_quietly(1);
    }
    cx.out.ok();
    Ok(Outcome::Done)
}

fn createconsumer(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let now_ms = cx.db.now_ms();
    let (name, consumer) = (args.get(3), args.get(4));
    let mut w = cx.db.open(args.get(2));
    if existing_group(&w, args)?.find_consumer(consumer).is_some() {
        cx.out.int(0);
        return Ok(Outcome::Done);
    }
    w.update(|stream: &mut Stream| {
        stream.group_mut(name).map(|(_, group)| group.add_consumer(consumer, now_ms));
    });
    w.also(Event::XGROUP_CREATECONSUMER);
    w.commit_quietly(1);
    cx.out.int(1);
    Ok(Outcome::Done)
}

fn delconsumer(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let (name, consumer) = (args.get(3), args.get(4));
    let mut w = cx.db.open(args.get(2));
    let Some(key) = existing_group(&w, args)?.find_consumer(consumer) else {
        cx.out.int(0);
        return Ok(Outcome::Done);
    };
    let pending = w.update(|stream: &mut Stream| {
        stream.group_mut(name).map_or(0, |(_, group)| group.remove_consumer(key))
    });
    w.also(Event::XGROUP_DELCONSUMER);
    w.commit_quietly(1);
    cx.out.int(pending as i64);
    Ok(Outcome::Done)
}

fn destroy(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let name = args.get(3);
    let mut w = cx.db.open(args.get(2));
    if existing(&w)?.group(name).is_none() {
        cx.out.int(0);
        return Ok(Outcome::Done);
    }
    w.update(|stream: &mut Stream| stream.remove_group(name));
    w.commit_unwatched(Event::XGROUP_DESTROY);
    cx.out.int(1);
    Ok(Outcome::Done)
}

fn setid(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let options = Options::parse(args, false)?;
    let name = args.get(3);
    let mut w = cx.db.open(args.get(2));
    existing_group(&w, args)?;
    limit(args, 7)?;
    // Unlike CREATE it takes the ends of a range, too.
    let last_id = last_entry(args.get(4), w.view::<Stream>()?).map_or_else(|| lenient_id(args.get(4)), Ok)?;
    w.update(|stream: &mut Stream| {
        if let Some((_, group)) = stream.group_mut(name) {
            group.last_id = last_id;
            group.entries_read = options.entries_read;
        }
    });
    // As in the real server, those who wait do not hear of it.
    w.also(Event::XGROUP_SETID);
    w.commit_quietly(1);
    cx.out.ok();
    Ok(Outcome::Done)
}

fn help(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    let lines = [
        "CREATE <key> <groupname> <id|$> [option]",
        "    Makes a group that goes on behind an entry. Options:",
        "    * MKSTREAM",
        "      Makes an empty stream if there is none.",
        "    * ENTRIESREAD entries_read",
        "      Says how many entries the group was given (for servers).",
        "CREATECONSUMER <key> <groupname> <consumer>",
        "    Makes a consumer of the group.",
        "DELCONSUMER <key> <groupname> <consumer>",
        "    Removes the consumer and what it has pending.",
        "DESTROY <key> <groupname>",
        "    Removes the group with its consumers.",
        "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
        "    Sets the entry behind which the group goes on, and its counter.",
    ];
    write_help(cx.out, "XGROUP", &lines);
    Ok(Outcome::Done)
}
