//! OCHRE.CLOCK: moving the server's time, for tests.
//!
//! For: stopping, setting, advancing and speeding up the clock of the dataset. May touch: the clock,
//! deadlines, the pause.
//! Always: when a command that moves the clock has answered, everything that its time makes due has happened,
//! in the order of deadlines.

use super::help::write_help;
use crate::command::{Command, Cx, Flags, Group, Handler, Locks, Outcome, cmd, container};
use crate::exec::block::{Server, pass_time};
use crate::fault::Fault;
use crate::keyspace::expiry::refile_all;
use crate::resp::{Args, parse_i64};
use crate::value::number::parse_double;

const SINCE: &str = "0.1.0";
const ANY_TIME: Flags = Flags::LOADING.union(Flags::STALE);
const STEERS: Flags = ANY_TIME.union(Flags::DEV).union(Flags::NO_SCRIPT).union(Flags::NO_MULTI);
const COST: &str = "O(N log S), N keys that become due, S shards";

/// The rows.
pub const ROWS: &[Command] = &[container("OCHRE.CLOCK", SUBS)
    .group(Group::Server)
    .since(SINCE)
    .doc("Holds the commands that move the server's time.", "")];

const fn sub(name: &'static str, handler: Handler, arity: i16, flags: Flags) -> Command {
    cmd(name, handler).arity(arity).flags(flags).group(Group::Server).since(SINCE)
}

const SUBS: &[Command] = &[
    sub("ADVANCE", advance, 3, STEERS)
        .locks(Locks::All)
        .cost(COST)
        .doc("Moves the clock forward.", "milliseconds"),
    sub("FREEZE", freeze, 2, STEERS).locks(Locks::All).cost(COST).doc("Stops the clock.", ""),
    sub("HELP", help, 2, ANY_TIME).doc("Describes the subcommands.", ""),
    sub("RATE", rate, 3, STEERS)
        .locks(Locks::All)
        .cost(COST)
        .doc("Lets the clock run faster or slower.", "factor:double"),
    sub("RESUME", resume, 2, STEERS)
        .locks(Locks::All)
        .cost(COST)
        .doc("Lets the clock follow the machine's again.", ""),
    sub("SET", set, 3, STEERS).locks(Locks::All).cost(COST).doc("Sets the clock.", "unix-time-milliseconds"),
    sub("STATUS", status, 2, ANY_TIME.union(Flags::DEV)).doc("Describes the clock.", ""),
];

fn advance(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let by_ms = milliseconds(args.get(2))?;
    let now_ms = steer(cx, |cx| cx.db.space().clock.advance_ms(by_ms));
    cx.out.int(now_ms as i64);
    Ok(Outcome::Done)
}

fn freeze(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    steer(cx, |cx| cx.db.space().clock.freeze());
    cx.out.ok();
    Ok(Outcome::Done)
}

fn help(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    write_help(cx.out, "OCHRE.CLOCK", HELP);
    Ok(Outcome::Done)
}

fn rate(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let factor = parse_double(args.get(2)).filter(|factor| factor.is_finite() && *factor >= 0.0);
    let factor = factor.ok_or(Fault::CLOCK_RATE)?;
    steer(cx, |cx| cx.db.space().clock.set_rate(factor).expect("it is finite and not negative"));
    cx.out.ok();
    Ok(Outcome::Done)
}

fn resume(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    steer(cx, |cx| cx.db.space().clock.resume());
    cx.out.ok();
    Ok(Outcome::Done)
}

fn set(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let unix_ms = milliseconds(args.get(2))?;
    let now_ms = steer(cx, |cx| cx.db.space().clock.set_ms(unix_ms));
    cx.out.int(now_ms as i64);
    Ok(Outcome::Done)
}

fn status(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    let status = cx.db.space().clock.status();
    cx.out.map(4);
    cx.out.bulk(b"mode");
    cx.out.bulk(status.mode.as_bytes());
    cx.out.bulk(b"now-ms");
    cx.out.int(status.now_ms as i64);
    cx.out.bulk(b"rate");
    cx.out.double(status.rate);
    cx.out.bulk(b"offset-ms");
    cx.out.int(status.offset_ms);
    Ok(Outcome::Done)
}

/// Changes the clock and lets everything happen that follows from it. Returns the time, unix milliseconds.
fn steer(cx: &mut Cx<'_>, change: impl FnOnce(&Cx<'_>)) -> u64 {
    let space = cx.db.space();
    let setbacks = space.clock.setbacks();
    cx.host.pause.forget_if_over(cx.db.now_ms());
    change(cx);
    let now_ms = space.clock.now_ms();
    if space.clock.setbacks() != setbacks {
        refile_all(&mut cx.db, now_ms);
    }
    let server = Server::of(cx);
    pass_time(server, &mut cx.db, now_ms, space.expires_actively(now_ms));
    space.poke_all();
    now_ms
}

fn milliseconds(arg: &[u8]) -> Result<u64, Fault> {
    parse_i64(arg).and_then(|ms| u64::try_from(ms).ok()).ok_or(Fault::CLOCK_TIME)
}

const HELP: &[&str] = &[
    "ADVANCE <milliseconds>",
    "    Moves the clock forward, and answers its time once all that became due has happened.",
    "FREEZE",
    "    Stops the clock where it is.",
    "RATE <factor>",
    "    Lets the clock move that many seconds in one real second; 0 stops it.",
    "RESUME",
    "    Lets the clock follow the machine's again, wherever that is.",
    "SET <unix-milliseconds>",
    "    Sets the clock, forward or back, and answers its time. Keys that are gone stay gone.",
    "STATUS",
    "    Shows the clock's mode, time, rate, and how far it is ahead of the machine's.",
];
