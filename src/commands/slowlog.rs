//! SLOWLOG and COMMANDLOG.
//!
//! For: reading and emptying the logs of notable commands. May touch: what is observed; never the keyspace.
//! Always: SLOWLOG is COMMANDLOG of the type `slow`.

use super::help::write_help;
use crate::command::{Command, Cx, Flags, Group, Handler, Outcome, cmd, container};
use crate::fault::Fault;
use crate::observe::slowlog::{Kind, SlowLog};
use crate::resp::{Args, Out, parse_i64};

const ANY_TIME: Flags = Flags::LOADING.union(Flags::STALE);
const READS: &[&str] = &["request_policy:all_nodes", "nondeterministic_output"];
const COUNTS: &[&str] = &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"];
const RESETS: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
const TYPE: &str = "<SLOW | LARGE-REQUEST | LARGE-REPLY>";

/// The rows of this file.
pub const ROWS: &[Command] = &[
    container(
        "COMMANDLOG",
        &[
            sub("GET", commandlog_get, 4, "8.1.0")
                .cost("O(N), N entries answered.")
                .doc("Answers the latest entries of a log.", "count <SLOW | LARGE-REQUEST | LARGE-REPLY>")
                .tips(READS),
            help_row(commandlog_help, "8.1.0"),
            sub("LEN", commandlog_len, 3, "8.1.0")
                .doc("Answers how many entries a log has.", TYPE)
                .tips(COUNTS),
            sub("RESET", commandlog_reset, 3, "8.1.0")
                .cost("O(N), N entries of the log.")
                .doc("Forgets the entries of a log.", TYPE)
                .tips(RESETS),
        ],
    )
    .group(Group::Server)
    .since("8.1.0")
    .doc("Commands about the logs of slow and large commands.", ""),
    container(
        "SLOWLOG",
        &[
            sub("GET", slowlog_get, -2, "2.2.12")
                .cost("O(N), N entries answered.")
                .history(&[("4.0.0", "Shows the client's address and name.")])
                .doc("Answers the latest entries of the slow log.", "[count]")
                .tips(READS),
            help_row(slowlog_help, "6.2.0"),
            sub("LEN", slowlog_len, 2, "2.2.12")
                .doc("Answers how many entries the slow log has.", "")
                .tips(COUNTS),
            sub("RESET", slowlog_reset, 2, "2.2.12")
                .cost("O(N), N entries of the log.")
                .doc("Forgets the entries of the slow log.", "")
                .tips(RESETS),
        ],
    )
    .group(Group::Server)
    .since("2.2.12")
    .doc("Commands about the slow log.", ""),
];

const fn sub(name: &'static str, handler: Handler, arity: i16, since: &'static str) -> Command {
    cmd(name, handler).arity(arity).flags(Flags::ADMIN.union(ANY_TIME)).group(Group::Server).since(since)
}

const fn help_row(handler: Handler, since: &'static str) -> Command {
    sub("HELP", handler, 2, since).flags(ANY_TIME).doc("Describes the subcommands.", "")
}

/// Entries that SLOWLOG GET answers when it is not told how many.
const DEFAULT_COUNT: usize = 10;

const COMMANDLOG_HELP: &[&str] = &[
    "GET <count> <type>",
    "    Answer the latest <count> entries of a log (-1: all). An entry is made of",
    "    its number, the unix time, the microseconds (slow) or bytes (large-request, large-reply),",
    "    the arguments, the client's address and the client's name.",
    "LEN <type>",
    "    Answer how many entries a log has.",
    "RESET <type>",
    "    Forget the entries of a log.",
];

const SLOWLOG_HELP: &[&str] = &[
    "GET [<count>]",
    "    Answer the latest <count> entries (default: 10, -1: all). An entry is made of",
    "    its number, the unix time, the microseconds, the arguments, the client's address and the client's name.",
    "LEN",
    "    Answer how many entries there are.",
    "RESET",
    "    Forget all entries.",
];

fn commandlog_get(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let count = count(args.get(2))?;
    let kind = kind(args.get(3))?;
    write_latest(&cx.host.observe.slowlog, kind, count, cx.out);
    Ok(Outcome::Done)
}

fn commandlog_help(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    write_help(cx.out, "COMMANDLOG", COMMANDLOG_HELP);
    Ok(Outcome::Done)
}

fn commandlog_len(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let kind = kind(args.get(2))?;
    cx.out.int(cx.host.observe.slowlog.len(kind) as i64);
    Ok(Outcome::Done)
}

fn commandlog_reset(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    cx.host.observe.slowlog.reset(kind(args.get(2))?);
    cx.out.ok();
    Ok(Outcome::Done)
}

fn slowlog_get(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let count = match args.len() {
        2 => Some(DEFAULT_COUNT),
        3 => count(args.get(2))?,
        _ => return Err(Fault::subcommand_arguments("SLOWLOG", args.get(1))),
    };
    write_latest(&cx.host.observe.slowlog, Kind::Slow, count, cx.out);
    Ok(Outcome::Done)
}

fn slowlog_help(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    write_help(cx.out, "SLOWLOG", SLOWLOG_HELP);
    Ok(Outcome::Done)
}

fn slowlog_len(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    cx.out.int(cx.host.observe.slowlog.len(Kind::Slow) as i64);
    Ok(Outcome::Done)
}

fn slowlog_reset(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    cx.host.observe.slowlog.reset(Kind::Slow);
    cx.out.ok();
    Ok(Outcome::Done)
}

/// How many entries; `None` is all.
fn count(arg: &[u8]) -> Result<Option<usize>, Fault> {
    match parse_i64(arg) {
        Some(-1) => Ok(None),
        Some(count) if count >= 0 => Ok(Some(count as usize)),
        _ => Err(Fault::LOG_COUNT),
    }
}

fn kind(arg: &[u8]) -> Result<Kind, Fault> {
    let named = |kind: &Kind| arg.eq_ignore_ascii_case(kind.name().as_bytes());
    Kind::ALL.into_iter().find(named).ok_or(Fault::LOG_TYPE)
}

fn write_latest(log: &SlowLog, kind: Kind, count: Option<usize>, out: &mut Out) {
    let entries = log.latest(kind, count);
    out.array(entries.len());
    for entry in entries {
        out.array(6);
        [entry.id, entry.at_s, entry.value].into_iter().for_each(|number| out.int(number as i64));
        out.array(entry.args.len());
        entry.args.iter().for_each(|arg| out.bulk(arg));
        out.bulk(entry.addr.as_bytes());
        out.bulk(&entry.name);
    }
}
