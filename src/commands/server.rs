//! Commands about the server as a whole: ROLE, SHUTDOWN, TIME.
//!
//! For: what concerns neither keys nor settings. May touch: what `Cx` carries.
//! Always: nothing here ends the process; SHUTDOWN asks the server to.

use crate::command::cx::Request;
use crate::command::{Acl, Command, Cursor, Cx, Flags, Group, Outcome, cmd};
use crate::fault::Fault;
use crate::resp::Args;

/// The rows of this family.
pub const ROWS: &[Command] = &[
    cmd("ROLE", role)
        .arity(1)
        .flags(Flags::NO_SCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::FAST))
        .acl(Acl::ADMIN.union(Acl::DANGEROUS))
        .group(Group::Server)
        .since("2.8.12")
        .cost("O(1)")
        .doc("Returns the server's part in replication.", ""),
    cmd("SHUTDOWN", shutdown).args_since(&[("7.0.0", "now force abort"), ("9.0.0", "safe failover")])
        .arity(-1)
        .flags(
            Flags::ADMIN
                .union(Flags::NO_SCRIPT)
                .union(Flags::LOADING)
                .union(Flags::STALE)
                .union(Flags::NO_MULTI)
                .union(Flags::ALLOW_BUSY)
                .union(Flags::ENDS_BATCH),
        )
        .group(Group::Server)
        .since("1.0.0")
        .cost("O(N) when saving, N keys in all databases, otherwise O(1)")
        .history(&[("7.0.0", "Takes NOW, FORCE and ABORT."), ("9.0.0", "Takes SAFE and FAILOVER.")])
        .doc(
            "Ends the server, after saving if asked to.",
            "abort-selector=[save-selector-block=<save-selector=[NOSAVE | SAVE] [NOW] [FORCE] [SAFE] [FAILOVER]> | \
             ABORT]",
        ),
    cmd("TIME", time)
        .arity(1)
        .flags(Flags::LOADING.union(Flags::STALE).union(Flags::FAST))
        .group(Group::Server)
        .since("2.6.0")
        .cost("O(1)")
        .doc("Returns the server's time.", "")
        .tips(&["nondeterministic_output"]),
];

/// A server that follows nobody and that nobody follows.
fn role(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    cx.out.array(3);
    cx.out.bulk(b"master");
    cx.out.int(0);
    cx.out.array(0);
    Ok(Outcome::Done)
}

/// What SHUTDOWN is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Modifiers {
    save: Option<bool>,
    now: bool,
    force: bool,
    failover: bool,
    abort: bool,
}

impl Modifiers {
    fn parse(args: Args<'_>) -> Result<Modifiers, Fault> {
        let mut asked = Modifiers::default();
        let mut cursor = Cursor::new(args, 1);
        let mut alters_shutdown = false;
        while !cursor.is_end() {
            if cursor.word("ABORT") {
                asked.abort = true;
                continue;
            }
            alters_shutdown = true;
            if cursor.word("NOSAVE") && asked.save != Some(true) {
                asked.save = Some(false);
            } else if cursor.word("SAVE") && asked.save != Some(false) {
                asked.save = Some(true);
            } else if cursor.word("NOW") {
                asked.now = true;
            } else if cursor.word("FORCE") {
                asked.force = true;
            } else if cursor.word("FAILOVER") {
                asked.failover = true;
            } else if !cursor.word("SAFE") {
                // SAFE spares the data of a cluster's primaries; here it changes nothing.
                return Err(Fault::SYNTAX);
            }
        }
        if asked.abort && alters_shutdown { Err(Fault::SYNTAX) } else { Ok(asked) }
    }
}

/// Answers nothing when the server ends: the connection's close is the answer.
fn shutdown(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let asked = Modifiers::parse(args)?;
    if asked.abort {
        return Err(Fault::NO_SHUTDOWN);
    }
    if asked.save != Some(false) && cx.host.busy_worker().is_some() {
        return Err(cx.host.scripts.running.busy());
    }
    if asked.failover {
        return Err(Fault::SHUTDOWN_FAILOVER);
    }
    tracing::warn!("User requested shutdown... (user request from client id={})", cx.session.client.id);
    if asked.save == Some(true) && !asked.force {
        tracing::warn!("Errors trying to shut down the server: saving is not possible.");
        return Err(Fault::SHUTDOWN_FAILED);
    }
    let Modifiers { save, now, force, .. } = asked;
    // The main thread is gone only when the server is ending already.
    let _ = cx.host.requests.send(Request::Shutdown { save, now, force });
    Ok(Outcome::Done)
}

fn time(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    const MICROSECONDS: u64 = 1_000_000;
    let now_us = cx.host.space.clock.now_us();
    cx.out.array(2);
    cx.out.bulk_int((now_us / MICROSECONDS) as i64);
    cx.out.bulk_int((now_us % MICROSECONDS) as i64);
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::OwnedArgs;

    fn parse(words: &str) -> Result<Modifiers, Fault> {
        let args: OwnedArgs = words.split(' ').map(str::as_bytes).collect();
        Modifiers::parse(args.as_args())
    }

    #[test]
    fn modifiers_of_shutdown_exclude_one_another_as_they_should() {
        let plain = Modifiers::default();
        assert_eq!(parse("SHUTDOWN"), Ok(plain));
        let save = Some(false);
        assert_eq!(parse("SHUTDOWN nosave NOSAVE now safe"), Ok(Modifiers { save, now: true, ..plain }));
        assert_eq!(parse("SHUTDOWN force"), Ok(Modifiers { force: true, ..plain }));
        assert_eq!(parse("SHUTDOWN abort ABORT"), Ok(Modifiers { abort: true, ..plain }));
        for wrong in ["nosave save", "save nosave", "abort now", "safe abort", "what", "now now what"] {
            assert_eq!(parse(&format!("SHUTDOWN {wrong}")), Err(Fault::SYNTAX), "{wrong}");
        }
    }
}
