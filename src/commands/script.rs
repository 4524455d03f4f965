//! Scripts: running them, and keeping them.
//!
//! For: EVAL and its relatives, SCRIPT. May touch: what `Cx` carries, the script room.
//! Always: a script runs with everything held; what these commands themselves are is never propagated, only
//! what the script's commands did.

use super::help::write_help;
use crate::command::row::{Acl, Command, Flags, Group, Handler, Locks, cmd, container};
use crate::command::scripts::{Kind, ScriptFlags, Sha};
use crate::command::{Cx, Host, KeyFlags, KeySpec, Outcome, int};
use crate::fault::Fault;
use crate::resp::Args;
use crate::script::{self, Given, How, Named};

/// The rows of this family.
pub const ROWS: &[Command] = &[
    runs("EVAL", eval, Flags::empty(), &[NOTED])
        .writes_if(|_, args| script::flags_of(args.get(1)).is_none_or(may_write))
        .since("2.6.0")
        .doc("Runs a Lua script.", "script numkeys [key ...] [arg ...]"),
    runs("EVALSHA", evalsha, Flags::empty(), &[KeySpec::counted(2, WRITTEN)])
        .writes_if(|host, args| known_flags(host, args).is_none_or(may_write))
        .since("2.6.0")
        .doc("Runs a Lua script that is known by its SHA1 digest.", "sha1 numkeys [key ...] [arg ...]"),
    runs("EVALSHA_RO", evalsha_ro, Flags::READONLY, &[KeySpec::counted(2, READ)])
        .writes_if(|host, args| known_flags(host, args).is_some_and(declares_writes))
        .since("7.0.0")
        .doc("Runs a Lua script by its SHA1 digest, if it only reads.", "sha1 numkeys [key ...] [arg ...]"),
    runs("EVAL_RO", eval_ro, Flags::READONLY, &[NOTED_RO])
        .writes_if(|_, args| script::flags_of(args.get(1)).is_some_and(declares_writes))
        .since("7.0.0")
        .doc("Runs a Lua script that only reads.", "script numkeys [key ...] [arg ...]"),
    container("SCRIPT", SUBCOMMANDS)
        .group(Group::Scripting)
        .since("2.6.0")
        .doc("A container for commands that manage Lua scripts.", ""),
];

const WRITTEN: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE);
const READ: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const NOTED: KeySpec = KeySpec {
    notes: "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE",
    ..KeySpec::counted(2, WRITTEN)
};
const NOTED_RO: KeySpec = KeySpec {
    notes: "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS",
    ..KeySpec::counted(2, READ)
};

/// The only engine there is.
const ENGINE: &[u8] = b"lua";

const SUBCOMMANDS: &[Command] = &[
    keeps("DEBUG", debug, -3, Flags::NO_SCRIPT)
        .args_since(&[("9.1.0", "engine")])
        .since("3.2.0")
        .doc("Takes NO: scripts are not debugged.", "mode=<YES | SYNC | NO> [engine]"),
    keeps("EXISTS", exists, -3, Flags::NO_SCRIPT.union(Flags::STALE))
        .since("2.6.0")
        .cost("O(N) for N digests.")
        .doc("Tells which scripts are known.", "sha1 [sha1 ...]")
        .tips(&["request_policy:all_shards", "response_policy:agg_logical_and"]),
    keeps("FLUSH", flush, -2, Flags::NO_SCRIPT.union(Flags::STALE))
        .args_since(&[("6.2.0", "flush-type")])
        .since("2.6.0")
        .cost("O(N) for N scripts.")
        .history(&[("6.2.0", "Takes ASYNC and SYNC.")])
        .doc("Forgets every script.", "[ASYNC | SYNC]")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    keeps("HELP", help, 2, Flags::LOADING.union(Flags::STALE))
        .since("5.0.0")
        .doc("Lists the subcommands.", ""),
    keeps("KILL", kill, 2, Flags::NO_SCRIPT.union(Flags::ALLOW_BUSY))
        .since("2.6.0")
        .doc("Ends the script that runs, unless it has changed the data.", "")
        .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]),
    keeps("LOAD", load, 3, Flags::NO_SCRIPT.union(Flags::STALE))
        .since("2.6.0")
        .cost("O(N) for N bytes of the script.")
        .doc("Compiles a script and keeps it.", "script")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    keeps("SHOW", show, 3, Flags::NO_SCRIPT.union(Flags::STALE))
        .since("8.0.0")
        .doc("Answers the text of a script.", "sha1"),
];

const fn runs(name: &'static str, handler: Handler, flags: Flags, keys: &'static [KeySpec]) -> Command {
    let flags = flags
        .union(Flags::NO_SCRIPT)
        .union(Flags::STALE)
        .union(Flags::SKIP_MONITOR)
        .union(Flags::NO_MANDATORY_KEYS)
        .union(Flags::MOVABLE_KEYS);
    cmd(name, handler)
        .arity(-3)
        .flags(flags)
        .keys(keys)
        .locks(Locks::All)
        .acl(Acl::SCRIPTING)
        .group(Group::Scripting)
        .cost("Depends on the script that is executed.")
}

const fn keeps(name: &'static str, handler: Handler, arity: i16, flags: Flags) -> Command {
    cmd(name, handler).arity(arity).flags(flags).acl(Acl::SCRIPTING).group(Group::Scripting)
}

/// Whether a script may write: unless it says that it does not.
fn may_write(flags: ScriptFlags) -> bool {
    !flags.contains(ScriptFlags::NO_WRITES)
}

/// Whether a script has said what it does, and not that it only reads.
fn declares_writes(flags: ScriptFlags) -> bool {
    flags.contains(ScriptFlags::DECLARED) && may_write(flags)
}

/// What the script says of which a request has the digest.
fn known_flags(host: &Host, args: &Args<'_>) -> Option<ScriptFlags> {
    host.scripts.find(args.get(1)).map(|script| script.flags)
}

fn eval(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    run(cx, args, Named::Text(args.get(1)), false)
}

fn evalsha(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    run(cx, args, sha(&args)?, false)
}

fn evalsha_ro(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    run(cx, args, sha(&args)?, true)
}

fn eval_ro(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    run(cx, args, Named::Text(args.get(1)), true)
}

/// By a digest of the wrong length nothing is found, whatever follows it.
fn sha<'a>(args: &Args<'a>) -> Result<Named<'a>, Fault> {
    let name = args.get(1);
    if name.len() == size_of::<Sha>() { Ok(Named::Sha(name)) } else { Err(Fault::NO_SCRIPT) }
}

fn run(cx: &mut Cx<'_>, args: Args<'_>, script: Named<'_>, is_read_only: bool) -> Result<Outcome, Fault> {
    let keys = int(args.get(2))?;
    if keys > args.len() as i64 - 3 {
        return Err(Fault::TOO_FEW_KEYS);
    }
    let keys = usize::try_from(keys).map_err(|_| Fault::NEGATIVE_KEYS)?;
    script::run(cx, &How { script, given: Given::of(args.from(3), keys), is_read_only })
}

fn debug(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    if args.len() > 4 {
        return Err(Fault::subcommand_arguments("SCRIPT", args.get(1)));
    }
    if let Some(engine) = args.opt(3).filter(|name| !name.eq_ignore_ascii_case(ENGINE)) {
        return Err(Fault::debugged_engine(engine));
    }
    if !cx.may_block {
        return Err(Fault::SCRIPT_DEBUG_QUEUED);
    }
    let is = |word: &[u8]| args.get(2).eq_ignore_ascii_case(word);
    if is(b"YES") || is(b"SYNC") {
        return Err(Fault::SCRIPT_DEBUG);
    }
    if !is(b"NO") {
        return Err(Fault::SCRIPT_DEBUG_MODE);
    }
    cx.out.ok();
    Ok(Outcome::Done)
}

fn exists(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let names = args.from(2);
    cx.out.array(names.len());
    for name in names.iter() {
        cx.out.int(i64::from(cx.host.scripts.find(name).is_some()));
    }
    Ok(Outcome::Done)
}

fn flush(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let how = args.from(2);
    let is_known =
        how.iter().all(|word| word.eq_ignore_ascii_case(b"SYNC") || word.eq_ignore_ascii_case(b"ASYNC"));
    if how.len() > 1 || !is_known {
        return Err(Fault::SCRIPT_FLUSH_MODE);
    }
    cx.host.scripts.flush();
    cx.out.ok();
    Ok(Outcome::Done)
}

fn help(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    let lines = &[
        "EXISTS <sha1> [<sha1> ...]",
        "    Tells for every digest whether its script is known.",
        "FLUSH [ASYNC|SYNC]",
        "    Forgets every script.",
        "KILL",
        "    Ends the script that runs, unless it has changed the data.",
        "LOAD <script>",
        "    Keeps a script without running it.",
        "SHOW <sha1>",
        "    Answers the text of a script.",
    ];
    write_help(cx.out, "SCRIPT", lines);
    Ok(Outcome::Done)
}

fn kill(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    cx.host.scripts.running.kill(Kind::Script)?;
    cx.out.ok();
    Ok(Outcome::Done)
}

fn load(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let sha = script::load(cx, args.get(2))?;
    cx.out.bulk(&sha);
    Ok(Outcome::Done)
}

fn show(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let script = cx.host.scripts.find(args.get(2)).ok_or(Fault::NO_SCRIPT)?;
    cx.out.bulk(&script.text);
    Ok(Outcome::Done)
}
