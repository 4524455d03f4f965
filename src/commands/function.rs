//! Functions: calling them, and keeping their libraries.
//!
//! For: FCALL and its relative, FUNCTION. May touch: what `Cx` carries, the script room.
//! Always: a call is propagated as what its commands did, a change of the libraries as it came.

use super::help::write_help;
use crate::command::cursor::Cursor;
use crate::command::row::{Acl, Command, Flags, Group, Handler, Locks, cmd, container};
use crate::command::scripts::{Kind, ScriptFlags};
use crate::command::{Cx, Host, KeyFlags, KeySpec, Outcome, int};
use crate::config::Directive;
use crate::fault::Fault;
use crate::resp::{Args, Out};
use crate::script::functions::{self, Policy};
use crate::script::{Collision, FLAGS, Library};
use crate::value::{glob, payload};

/// The rows of this family.
pub const ROWS: &[Command] = &[
    calls("FCALL", fcall, Flags::empty(), &[NOTED])
        .writes_if(|host, args| may_write(host, args).unwrap_or(true))
        .doc("Calls a function.", "function numkeys [key ...] [arg ...]"),
    calls("FCALL_RO", fcall_ro, Flags::READONLY, &[NOTED_RO])
        .writes_if(|host, args| may_write(host, args).unwrap_or(false))
        .doc("Calls a function that only reads.", "function numkeys [key ...] [arg ...]"),
    container("FUNCTION", SUBCOMMANDS)
        .group(Group::Scripting)
        .since("7.0.0")
        .doc("A container for commands that manage libraries of functions.", ""),
];

const NOTED: KeySpec = KeySpec {
    notes: "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE",
    ..KeySpec::counted(2, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))
};
const NOTED_RO: KeySpec = KeySpec {
    notes: "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS",
    ..KeySpec::counted(2, KeyFlags::RO.union(KeyFlags::ACCESS))
};

const SUBCOMMANDS: &[Command] = &[
    changes("DELETE", delete, 3, Flags::empty())
        .cost("O(1) in the number of libraries.")
        .doc("Removes a library and its functions.", "library-name"),
    keeps("DUMP", dump, 2, Flags::NO_SCRIPT)
        .cost("O(N) for N functions.")
        .doc("Answers all libraries in serialized form.", ""),
    changes("FLUSH", flush, -2, Flags::empty())
        .cost("O(N) for N functions.")
        .doc("Removes every library.", "[ASYNC | SYNC]"),
    keeps("HELP", help, 2, Flags::LOADING.union(Flags::STALE)).doc("Lists the subcommands.", ""),
    keeps("KILL", kill, 2, Flags::NO_SCRIPT.union(Flags::ALLOW_BUSY))
        .doc("Ends the function that runs, unless it has changed the data.", "")
        .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]),
    keeps("LIST", list, -2, Flags::NO_SCRIPT)
        .cost("O(N) for N functions.")
        .doc(
            "Describes the libraries and their functions.",
            "[LIBRARYNAME library-name-pattern:string] [WITHCODE]",
        )
        .tips(&["nondeterministic_output_order"]),
    changes("LOAD", load, -3, Flags::DENY_OOM)
        .cost("O(N) for N bytes of the library.")
        .doc("Adds a library.", "[REPLACE] function-code"),
    changes("RESTORE", restore, -3, Flags::DENY_OOM)
        .cost("O(N) for N functions in the payload.")
        .doc("Adds the libraries of a payload.", "serialized-value policy=[FLUSH | APPEND | REPLACE]"),
    keeps("STATS", stats, 2, Flags::NO_SCRIPT.union(Flags::ALLOW_BUSY))
        .doc("Tells which function runs, and counts what is there.", "")
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
];

/// The version of the payloads that are written: the first that knows libraries, so that every server reads
/// them.
const PAYLOAD_VERSION: u16 = 10;
/// What stands before a library in a payload, and before one as release candidates wrote it.
const LIBRARY: u8 = 245;
const OLD_LIBRARY: u8 = 246;

const fn calls(name: &'static str, handler: Handler, flags: Flags, keys: &'static [KeySpec]) -> Command {
    let flags = flags
        .union(Flags::NO_SCRIPT)
        .union(Flags::STALE)
        .union(Flags::SKIP_MONITOR)
        .union(Flags::NO_MANDATORY_KEYS)
        .union(Flags::MOVABLE_KEYS);
    keeps(name, handler, -3, flags)
        .keys(keys)
        .locks(Locks::All)
        .cost("Depends on the function that is called.")
}

const fn keeps(name: &'static str, handler: Handler, arity: i16, flags: Flags) -> Command {
    cmd(name, handler).arity(arity).flags(flags).acl(Acl::SCRIPTING).group(Group::Scripting).since("7.0.0")
}

const fn changes(name: &'static str, handler: Handler, arity: i16, flags: Flags) -> Command {
    keeps(name, handler, arity, flags.union(Flags::WRITE).union(Flags::NO_SCRIPT))
        .locks(Locks::All)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
}

/// Whether the function that a request calls may write, if there is one of that name.
fn may_write(host: &Host, args: &Args<'_>) -> Option<bool> {
    let found = functions::find(&host.space, args.get(1)).ok()?;
    Some(!found.flags().contains(ScriptFlags::NO_WRITES))
}

fn fcall(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    call(cx, args, false)
}

fn fcall_ro(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    call(cx, args, true)
}

fn call(cx: &mut Cx<'_>, args: Args<'_>, is_read_only: bool) -> Result<Outcome, Fault> {
    let found = functions::find(&cx.host.space, args.get(1))?;
    let keys = int(args.get(2)).map_err(|_| Fault::BAD_KEY_COUNT)?;
    if keys > args.len() as i64 - 3 {
        return Err(Fault::TOO_FEW_KEYS);
    }
    let keys = usize::try_from(keys).map_err(|_| Fault::NEGATIVE_KEYS)?;
    functions::call(cx, &found, &args, keys, is_read_only)
}

/// The libraries have changed: the command is propagated as it came.
fn changed(cx: &mut Cx<'_>) {
    cx.db.record.dirty += 1;
}

fn delete(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    functions::delete(cx.host, args.get(2))?;
    changed(cx);
    cx.out.ok();
    Ok(Outcome::Done)
}

fn dump(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    let mut bytes = Vec::new();
    for library in functions::catalogue(&cx.host.space).libraries() {
        bytes.push(LIBRARY);
        payload::write_string(&mut bytes, &library.text);
    }
    cx.out.bulk(&payload::seal(bytes, PAYLOAD_VERSION));
    Ok(Outcome::Done)
}

fn flush(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let how = args.from(2);
    if how.len() > 1 {
        return Err(Fault::subcommand_arguments("FUNCTION", args.get(1)));
    }
    let is_known =
        how.iter().all(|word| word.eq_ignore_ascii_case(b"SYNC") || word.eq_ignore_ascii_case(b"ASYNC"));
    if !is_known {
        return Err(Fault::FUNCTION_FLUSH_MODE);
    }
    functions::flush(cx.host);
    changed(cx);
    cx.out.ok();
    Ok(Outcome::Done)
}

fn help(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    let lines = &[
        "DELETE <library name>",
        "    Removes a library and its functions.",
        "DUMP",
        "    Answers all libraries as a payload for RESTORE.",
        "FLUSH [ASYNC|SYNC]",
        "    Removes every library.",
        "KILL",
        "    Ends the function that runs, unless it has changed the data.",
        "LIST [LIBRARYNAME pattern] [WITHCODE]",
        "    Describes the libraries, with their functions and, if asked, their texts.",
        "LOAD [REPLACE] <library>",
        "    Adds a library; its first line names it.",
        "RESTORE <payload> [FLUSH|APPEND|REPLACE]",
        "    Adds the libraries of a payload. FLUSH removes all others, REPLACE those of the same names;",
        "    APPEND, which is the default, refuses to.",
        "STATS",
        "    Tells which function runs, its command and for how long, and counts libraries and functions.",
    ];
    write_help(cx.out, "FUNCTION", lines);
    Ok(Outcome::Done)
}

fn kill(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    cx.host.scripts.running.kill(Kind::Function)?;
    cx.out.ok();
    Ok(Outcome::Done)
}

fn list(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let mut cursor = Cursor::new(args, 2);
    let (mut pattern, mut with_code) = (None, false);
    while let Some(word) = cursor.peek() {
        if !with_code && cursor.word("WITHCODE") {
            with_code = true;
        } else if pattern.is_none() && cursor.word("LIBRARYNAME") {
            pattern = Some(cursor.need().map_err(|_| Fault::NO_LIBRARY_PATTERN)?);
        } else {
            return Err(Fault::list_argument(word));
        }
    }
    let catalogue = functions::catalogue(&cx.host.space);
    let is_asked = |library: &&Library| pattern.is_none_or(|it| glob::matches(it, &library.name, true));
    let asked: Vec<&Library> = catalogue.libraries().filter(is_asked).collect();
    cx.out.array(asked.len());
    asked.into_iter().for_each(|library| describe(cx.out, library, with_code));
    Ok(Outcome::Done)
}

fn describe(out: &mut Out, library: &Library, with_code: bool) {
    out.map(if with_code { 4 } else { 3 });
    out.bulk(b"library_name");
    out.bulk(&library.name);
    out.bulk(b"engine");
    out.bulk(b"LUA");
    out.bulk(b"functions");
    out.array(library.functions.len());
    for function in &library.functions {
        out.map(3);
        out.bulk(b"name");
        out.bulk(&function.name);
        out.bulk(b"description");
        match &function.description {
            Some(text) => out.bulk(text),
            None => out.null(),
        }
        out.bulk(b"flags");
        let flags = FLAGS.iter().filter(|(_, flag)| function.flags.contains(*flag));
        out.set(flags.clone().count());
        flags.for_each(|(name, _)| out.simple(name));
    }
    if with_code {
        out.bulk(b"library_code");
        out.bulk(&library.text);
    }
}

fn load(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let mut collision = Collision::Refused;
    let text = args.get(args.len() - 1);
    for word in (2..args.len() - 1).map(|at| args.get(at)) {
        if !word.eq_ignore_ascii_case(b"REPLACE") {
            return Err(Fault::load_option(word));
        }
        collision = Collision::Replaced;
    }
    let name = functions::load(cx.host, text, collision)?;
    changed(cx);
    cx.out.bulk(&name);
    Ok(Outcome::Done)
}

fn restore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    if args.len() > 4 {
        return Err(Fault::subcommand_arguments("FUNCTION", args.get(1)));
    }
    let policy = match args.opt(3).map(<[u8]>::to_ascii_uppercase).as_deref() {
        None | Some(b"APPEND") => Policy::Join(Collision::Refused),
        Some(b"REPLACE") => Policy::Join(Collision::Replaced),
        Some(b"FLUSH") => Policy::Flush,
        Some(_) => return Err(Fault::RESTORE_POLICY),
    };
    functions::restore(cx.host, &texts(args.get(2))?, policy)?;
    changed(cx);
    cx.out.ok();
    Ok(Outcome::Done)
}

/// The texts of the libraries in a payload.
fn texts(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
    let mut rest = payload::unseal(bytes).ok_or(Fault::BAD_PAYLOAD)?;
    let mut texts = Vec::new();
    while let Some((&kind, behind)) = rest.split_first() {
        match kind {
            LIBRARY => rest = behind,
            OLD_LIBRARY => return Err(Fault::OLD_FUNCTION),
            _ => return Err(Fault::NOT_A_FUNCTION),
        }
        texts.push(payload::read_string(&mut rest).ok_or(Fault::BROKEN_LIBRARY)?);
    }
    Ok(texts)
}

fn stats(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    let (running, now_ns) = (&cx.host.scripts.running, cx.host.ticks.since_start_ns());
    let threshold_ms = cx.settings.int(Directive::BusyReplyThreshold);
    if running.kind() == Some(Kind::Script) && running.busy_worker(now_ns, threshold_ms).is_some() {
        return Err(Fault::BUSY);
    }
    let out = &mut *cx.out;
    out.map(2);
    out.bulk(b"running_script");
    let shown = running.function(now_ns, |name, command, ms| {
        out.map(3);
        out.bulk(b"name");
        out.bulk(name);
        out.bulk(b"command");
        out.array(command.len());
        command.iter().for_each(|arg| out.bulk(arg));
        out.bulk(b"duration_ms");
        out.int(ms as i64);
    });
    if shown.is_none() {
        out.null();
    }
    let (libraries, functions, _) = functions::catalogue(&cx.host.space).size();
    out.bulk(b"engines");
    out.map(1);
    out.bulk(b"LUA");
    out.map(2);
    out.bulk(b"libraries_count");
    out.int(libraries as i64);
    out.bulk(b"functions_count");
    out.int(functions as i64);
    Ok(Outcome::Done)
}
