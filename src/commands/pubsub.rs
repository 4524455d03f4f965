//! Pub/sub: subscribing to channels and patterns, publishing, and looking at channels.
//!
//! For: what these commands mean. May touch: what `Cx` carries.
//! Always: a session's own list and the channels' lists change in the same command.

use crate::client::{ReplyMode, Session};
use crate::command::row::{Acl, Command, Flags, Group, Handler, cmd, container};
use crate::command::{Cx, Host, KeyFlags, KeySpec, Outcome};
use crate::fault::Fault;
use crate::pubsub::{Seat, Sort};
use crate::resp::{Args, Out};

/// The rows of this family.
pub const ROWS: &[Command] = &[
    listens("PSUBSCRIBE", psubscribe, -2)
        .since("2.0.0")
        .cost("O(N) where N is the number of patterns to subscribe to.")
        .doc("Listens to the channels that match patterns.", "pattern [pattern ...]"),
    cmd("PUBLISH", publish)
        .arity(3)
        .flags(
            Flags::PUBSUB
                .union(Flags::MAY_REPLICATE)
                .union(Flags::LOADING)
                .union(Flags::STALE)
                .union(Flags::FAST),
        )
        .group(Group::PubSub)
        .since("2.0.0")
        .cost("O(N+M): N subscribers of the channel, M patterns of all clients")
        .doc("Sends a message to a channel.", "channel message"),
    container("PUBSUB", SUBCOMMANDS)
        .group(Group::PubSub)
        .since("2.8.0")
        .doc("A container for commands that look at channels.", ""),
    listens("PUNSUBSCRIBE", punsubscribe, -1)
        .since("2.0.0")
        .cost("O(N) where N is the number of patterns to unsubscribe.")
        .doc("Listens no more to the channels that match patterns, or any pattern.", "[pattern ...]"),
    cmd("SPUBLISH", spublish)
        .arity(3)
        .flags(
            Flags::PUBSUB
                .union(Flags::MAY_REPLICATE)
                .union(Flags::LOADING)
                .union(Flags::STALE)
                .union(Flags::FAST),
        )
        .keys(&[KeySpec::one(1, KeyFlags::NOT_KEY)])
        .locks(crate::command::Locks::None)
        .group(Group::PubSub)
        .since("7.0.0")
        .cost("O(N) where N is the number of subscribers of the channel.")
        .doc("Sends a message to a shard channel.", "shardchannel message"),
    listens("SSUBSCRIBE", ssubscribe, -2)
        .keys(SHARD_CHANNELS)
        .locks(crate::command::Locks::None)
        .since("7.0.0")
        .cost("O(N) where N is the number of shard channels to subscribe to.")
        .doc("Listens to shard channels.", "shardchannel [shardchannel ...]"),
    listens("SUBSCRIBE", subscribe, -2)
        .since("2.0.0")
        .cost("O(N) where N is the number of channels to subscribe to.")
        .doc("Listens to channels.", "channel [channel ...]"),
    listens("SUNSUBSCRIBE", sunsubscribe, -1)
        .keys(SHARD_CHANNELS)
        .locks(crate::command::Locks::None)
        .since("7.0.0")
        .cost("O(N) where N is the number of shard channels to unsubscribe.")
        .doc("Listens no more to shard channels, or to any.", "[shardchannel ...]"),
    listens("UNSUBSCRIBE", unsubscribe, -1)
        .since("2.0.0")
        .cost("O(N) where N is the number of channels to unsubscribe.")
        .doc("Listens no more to channels, or to any.", "[channel ...]"),
];

const SHARD_CHANNELS: &[KeySpec] = &[KeySpec::range(1, -1, 1, KeyFlags::NOT_KEY)];

const SUBCOMMANDS: &[Command] = &[
    looks("CHANNELS", channels, -2)
        .since("2.8.0")
        .cost("O(N) where N is the number of active channels.")
        .doc("Lists the channels that have subscribers.", "[pattern]"),
    cmd("HELP", help)
        .arity(2)
        .flags(Flags::LOADING.union(Flags::STALE))
        .group(Group::PubSub)
        .since("6.2.0")
        .doc("Lists the subcommands.", ""),
    looks("NUMPAT", numpat, 2).since("2.8.0").doc("Counts the patterns that are subscribed to.", ""),
    looks("NUMSUB", numsub, -2)
        .since("2.8.0")
        .cost("O(N) where N is the number of channels asked for.")
        .doc("Counts the subscribers of channels.", "[channel ...]"),
    looks("SHARDCHANNELS", shardchannels, -2)
        .since("7.0.0")
        .cost("O(N) where N is the number of active shard channels.")
        .doc("Lists the shard channels that have subscribers.", "[pattern]"),
    looks("SHARDNUMSUB", shardnumsub, -2)
        .since("7.0.0")
        .cost("O(N) where N is the number of shard channels asked for.")
        .doc("Counts the subscribers of shard channels.", "[shardchannel ...]"),
];

const HELP: &[&str] = &[
    "PUBSUB <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CHANNELS [<pattern>]",
    "    List the channels that have subscribers and match <pattern> (default: all).",
    "NUMPAT",
    "    Return how many patterns are subscribed to.",
    "NUMSUB [<channel> ...]",
    "    Return how many clients have subscribed to each of the channels; patterns",
    "    do not count.",
    "SHARDCHANNELS [<pattern>]",
    "    List the shard channels that have subscribers and match <pattern>.",
    "SHARDNUMSUB [<shardchannel> ...]",
    "    Return how many clients have subscribed to each of the shard channels.",
    "HELP",
    "    Print this help.",
];

/// A row of a command that changes what its client listens to.
const fn listens(name: &'static str, handler: Handler, arity: i16) -> Command {
    let flags = Flags::PUBSUB.union(Flags::NO_SCRIPT).union(Flags::LOADING).union(Flags::STALE);
    cmd(name, handler).arity(arity).flags(flags.union(Flags::SUBSCRIBER)).group(Group::PubSub)
}

/// A row of a command that looks at channels.
const fn looks(name: &'static str, handler: Handler, arity: i16) -> Command {
    cmd(name, handler)
        .arity(arity)
        .flags(Flags::PUBSUB.union(Flags::LOADING).union(Flags::STALE))
        .acl(Acl::empty())
        .group(Group::PubSub)
}

fn psubscribe(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    join(cx, args, Sort::Pattern)
}

fn publish(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    send(cx, args, Sort::Channel)
}

fn channels(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    active(cx, args, Sort::Channel)
}

fn help(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    cx.out.array(HELP.len());
    HELP.iter().for_each(|line| cx.out.simple(line));
    Ok(Outcome::Done)
}

fn numpat(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    cx.out.int(cx.host.channels.count(Sort::Pattern) as i64);
    Ok(Outcome::Done)
}

fn numsub(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    subscribers(cx, args, Sort::Channel)
}

fn shardchannels(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    active(cx, args, Sort::Shard)
}

fn shardnumsub(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    subscribers(cx, args, Sort::Shard)
}

fn punsubscribe(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    leave(cx, args, Sort::Pattern)
}

fn spublish(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    send(cx, args, Sort::Shard)
}

fn ssubscribe(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    // Those of other sorts were allowed in a transaction before anybody thought of it.
    if !cx.may_block {
        return Err(Fault::SSUBSCRIBE_IN_MULTI);
    }
    join(cx, args, Sort::Shard)
}

fn subscribe(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    join(cx, args, Sort::Channel)
}

fn sunsubscribe(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    leave(cx, args, Sort::Shard)
}

fn unsubscribe(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    leave(cx, args, Sort::Channel)
}

/// The words that confirm a beginning and an end.
fn words(sort: Sort) -> (&'static [u8], &'static [u8]) {
    match sort {
        Sort::Channel => (b"subscribe", b"unsubscribe"),
        Sort::Pattern => (b"psubscribe", b"punsubscribe"),
        Sort::Shard => (b"ssubscribe", b"sunsubscribe"),
    }
}

fn seat(session: &Session) -> Seat {
    Seat { worker: session.client.worker, place: session.seat, client: session.client.id }
}

fn join(cx: &mut Cx<'_>, args: Args<'_>, sort: Sort) -> Result<Outcome, Fault> {
    let seat = seat(cx.session);
    let mine = cx.session.subscriptions.get_or_insert_default();
    for name in args.from(1).iter() {
        if mine.of_mut(sort).insert(name.into()) {
            cx.host.channels.subscribe(sort, name, seat);
        }
        confirm(cx.out, words(sort).0, Some(name), mine.count(sort));
    }
    confirmed(cx.session);
    Ok(Outcome::Done)
}

fn leave(cx: &mut Cx<'_>, args: Args<'_>, sort: Sort) -> Result<Outcome, Fault> {
    let seat = seat(cx.session);
    let mine = cx.session.subscriptions.get_or_insert_default();
    let word = words(sort).1;
    let all: Vec<Box<[u8]>>;
    let names: Vec<&[u8]> = if args.len() > 1 {
        args.from(1).iter().collect()
    } else {
        all = mine.of(sort).iter().cloned().collect();
        all.iter().map(|name| &**name).collect()
    };
    if names.is_empty() {
        confirm(cx.out, word, None, mine.count(sort));
    }
    for name in names {
        if mine.of_mut(sort).remove(name) {
            cx.host.channels.unsubscribe(sort, name, seat);
        }
        confirm(cx.out, word, Some(name), mine.count(sort));
    }
    confirmed(cx.session);
    Ok(Outcome::Done)
}

fn confirmed(session: &mut Session) {
    session.has_confirmed = session.reply != ReplyMode::On;
    session.note_subscriptions();
}

fn confirm(out: &mut Out, word: &[u8], name: Option<&[u8]>, count: usize) {
    out.push(3);
    out.bulk(word);
    match name {
        Some(name) => out.bulk(name),
        None => out.null(),
    }
    out.int(count as i64);
}

/// Ends all subscriptions of a session without telling it.
pub(crate) fn forget(host: &Host, session: &mut Session) {
    let Some(mine) = session.subscriptions.take() else { return };
    for sort in [Sort::Channel, Sort::Pattern, Sort::Shard] {
        mine.of(sort).iter().for_each(|name| host.channels.unsubscribe(sort, name, seat(session)));
    }
    session.note_subscriptions();
}

fn send(cx: &mut Cx<'_>, args: Args<'_>, sort: Sort) -> Result<Outcome, Fault> {
    let receivers = cx.host.channels.publish(sort, args.get(1), args.get(2));
    cx.out.int(receivers as i64);
    Ok(Outcome::Done)
}

fn active(cx: &mut Cx<'_>, args: Args<'_>, sort: Sort) -> Result<Outcome, Fault> {
    if args.len() > 3 {
        return Err(Fault::subcommand_arguments("PUBSUB", args.get(1)));
    }
    let names = cx.host.channels.active(sort, args.opt(2));
    cx.out.array(names.len());
    names.iter().for_each(|name| cx.out.bulk(name));
    Ok(Outcome::Done)
}

fn subscribers(cx: &mut Cx<'_>, args: Args<'_>, sort: Sort) -> Result<Outcome, Fault> {
    let names = args.from(2);
    cx.out.array(names.len() * 2);
    for name in names.iter() {
        cx.out.bulk(name);
        cx.out.int(cx.host.channels.subscribers(sort, name) as i64);
    }
    Ok(Outcome::Done)
}
