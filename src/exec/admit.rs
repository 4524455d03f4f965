//! Admission: the checks between finding a row and running it, in Redis's order, each with a name.
//!
//! For: deciding whether a command may run now. May touch: the session, the configuration, the pause.
//! Always: a plain request does not come here: `run.rs` sees at one look that it would pass.

use std::sync::atomic::Ordering;

use crate::client::Session;
use crate::command::{Flags, Host, table::Entry};
use crate::config::{Directive, Settings};
use crate::fault::Fault;
use crate::keyspace::pause::What;
use crate::resp::Args;

/// Whether a command may run before authentication.
pub fn is_open(entry: &Entry) -> bool {
    entry.row.flags.contains(Flags::NO_AUTH)
}

/// The checks that need only the row: a container was called without one of its subcommands, or the arity is
/// wrong.
pub fn check(entry: &Entry, args: &Args<'_>) -> Result<(), Fault> {
    if !entry.subs.is_empty()
        && let Some(sub) = args.opt(1)
    {
        return Err(Fault::subcommand(entry.row.name, sub));
    }
    if entry.row.takes(args.len()) { Ok(()) } else { Err(Fault::arity(&entry.full_name)) }
}

/// What session and settings do not allow.
pub fn refusal(settings: &Settings, session: &Session, entry: &Entry) -> Option<Fault> {
    if session.is_special()
        && let Some(fault) = restriction(session, entry)
    {
        return Some(fault);
    }
    if entry.row.flags.intersects(Flags::GUARDED) { protection(settings, session, entry) } else { None }
}

/// What a transaction, a subscription or MONITOR does not allow.
#[cold]
fn restriction(session: &Session, entry: &Entry) -> Option<Fault> {
    let flags = entry.row.flags;
    if session.transaction.is_some() && flags.contains(Flags::NO_MULTI) {
        return Some(Fault::not_in_multi(&entry.full_name));
    }
    let is_resp2 = session.client.proto.load(Ordering::Relaxed) == 2;
    if is_resp2 && session.is_subscriber() && !flags.contains(Flags::SUBSCRIBER) {
        return Some(Fault::not_a_subscriber_command(&entry.full_name));
    }
    let touches_keys = Flags::READONLY.union(Flags::WRITE).union(Flags::MAY_REPLICATE);
    if session.monitors && flags.intersects(touches_keys) {
        return Some(Fault::MONITOR_KEYS);
    }
    None
}

/// `enable-debug-command`, `enable-module-command` and `dev-commands`: no, local or yes.
fn protection(settings: &Settings, session: &Session, entry: &Entry) -> Option<Fault> {
    let (directive, fault): (_, fn() -> Fault) = if entry.row.flags.contains(Flags::DEV) {
        (Directive::DevCommands, || Fault::DEV_REFUSED)
    } else if entry.full_name.starts_with("module") {
        (Directive::EnableModuleCommand, || Fault::MODULE_REFUSED)
    } else {
        (Directive::EnableDebugCommand, || Fault::DEBUG_REFUSED)
    };
    match settings.choice(directive) {
        "yes" => None,
        "local" if session.local => None,
        _ => Some(fault()),
    }
}

/// Whether it waits for the end of a pause.
pub fn is_paused(host: &Host, session: &Session, (entry, args): (&Entry, &Args<'_>), now_ms: u64) -> bool {
    match host.pause.what(now_ms) {
        What::Nothing => false,
        What::Writes => {
            entry.may_write(host, args)
                || entry.row.flags.contains(Flags::RUNS_QUEUE)
                    && session.transaction.as_ref().is_some_and(|transaction| transaction.writes)
        }
        // Redis lets nobody through but replicas, which do not come this way.
        What::All => true,
    }
}
